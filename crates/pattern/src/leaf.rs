//! What a pattern asks of a scalar: alternatives, of which one has to hold.

use crate::node::Kind;
use crate::operators::{Cidr, Range, Wildcard, begins_ignoring_case, ends_ignoring_case, equals_ignoring_case};

/// The alternatives of a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leaf {
    /// Exact strings, ascending: there may be many.
    pub texts: Vec<Box<str>>,
    /// The others.
    pub tests: Vec<Test>,
    /// `exists: false` is among them: the path that has no scalar then.
    pub absent: Option<Vec<Box<str>>>,
}

/// One alternative. Strings that are compared without their case are kept in lower case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Null,
    Bool(bool),
    Number(f64),
    Prefix(Box<str>),
    PrefixIgnoringCase(Box<str>),
    Suffix(Box<str>),
    SuffixIgnoringCase(Box<str>),
    EqualsIgnoringCase(Box<str>),
    Wildcard(Wildcard),
    Numeric(Range),
    Cidr(Cidr),
    Present,
    /// None of these holds.
    AnythingBut(Leaf),
}

impl Leaf {
    /// One of the alternatives holds for the scalar.
    pub fn accepts(&self, scalar: &Kind<'_>) -> bool {
        let exact = match scalar {
            Kind::Text(text) => self.texts.binary_search_by(|own| own.as_ref().cmp(text.as_ref())).is_ok(),
            _ => false,
        };
        exact || self.tests.iter().any(|test| test.accepts(scalar))
    }
}

impl Test {
    fn accepts(&self, scalar: &Kind<'_>) -> bool {
        match (self, scalar) {
            (Test::Present, _) => true,
            (Test::AnythingBut(others), scalar) => !others.accepts(scalar),
            (Test::Null, Kind::Null) => true,
            (Test::Bool(own), Kind::Bool(value)) => own == value,
            (Test::Number(own), Kind::Number(value)) => own == value,
            (Test::Numeric(range), Kind::Number(value)) => range.contains(*value),
            (Test::Prefix(own), Kind::Text(text)) => text.starts_with(own.as_ref()),
            (Test::PrefixIgnoringCase(own), Kind::Text(text)) => begins_ignoring_case(text, own),
            (Test::Suffix(own), Kind::Text(text)) => text.ends_with(own.as_ref()),
            (Test::SuffixIgnoringCase(own), Kind::Text(text)) => ends_ignoring_case(text, own),
            (Test::EqualsIgnoringCase(own), Kind::Text(text)) => equals_ignoring_case(text, own),
            (Test::Wildcard(wildcard), Kind::Text(text)) => wildcard.matches(text),
            (Test::Cidr(cidr), Kind::Text(text)) => cidr.contains(text),
            _ => false,
        }
    }
}
