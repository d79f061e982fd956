//! Document paths: where in an item a value is.

use std::fmt;

use crate::value::{AttributeValue, Item};

/// One step of a document path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// An attribute, or a member of a map.
    Name(String),
    /// An element of a list.
    Index(u32),
}

/// A document path; its first element is always a name. Printed as the error texts print it: `[m, a, [0]]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Element>);

impl Path {
    /// The path of a top-level attribute.
    pub fn attribute(name: impl Into<String>) -> Path {
        Path(vec![Element::Name(name.into())])
    }

    /// A path of `elements`; the caller has seen that the first is a name.
    pub(super) fn of(elements: Vec<Element>) -> Path {
        debug_assert!(matches!(elements.first(), Some(Element::Name(_))));
        Path(elements)
    }

    /// The steps, outermost first.
    pub fn elements(&self) -> &[Element] {
        &self.0
    }

    /// The top-level attribute that the path starts from.
    pub fn head(&self) -> &str {
        match &self.0[0] {
            Element::Name(name) => name,
            Element::Index(_) => unreachable!("invariant: a path starts with a name"),
        }
    }

    /// Whether the path goes below its top-level attribute.
    pub fn is_nested(&self) -> bool {
        self.0.len() > 1
    }

    /// The value at the path, if there is one.
    pub fn get<'a>(&self, item: &'a Item) -> Option<&'a AttributeValue> {
        let mut value = item.get(self.head())?;
        for element in &self.0[1..] {
            value = match (element, value) {
                (Element::Name(name), AttributeValue::M(members)) => members.get(name)?,
                (Element::Index(index), AttributeValue::L(elements)) => elements.get(*index as usize)?,
                _ => return None,
            };
        }
        Some(value)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, element) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            match element {
                Element::Name(name) => f.write_str(name)?,
                Element::Index(index) => write!(f, "[{index}]")?,
            }
        }
        f.write_str("]")
    }
}

/// How two paths of one expression stand in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// One is the other, or holds it.
    Overlap,
    /// One sees a map where the other sees a list.
    Conflict,
}

/// The clash of two paths, if any.
pub(super) fn clash(one: &Path, two: &Path) -> Option<Clash> {
    for (a, b) in one.0.iter().zip(&two.0) {
        match (a, b) {
            _ if a == b => {}
            (Element::Name(_), Element::Name(_)) | (Element::Index(_), Element::Index(_)) => return None,
            _ => return Some(Clash::Conflict),
        }
    }
    Some(Clash::Overlap)
}
