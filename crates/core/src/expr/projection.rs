//! Projections: which parts of an item an answer holds. Source: docs/spec/dynamodb-api.md 4.5.

use std::collections::BTreeMap;

use super::error::{ExprError, ExprKind};
use super::path::{Element, Path};
use super::placeholders::Placeholders;
use super::resolve::{check_distinct_paths, check_path_words, resolve_distinct_paths};
use super::syntax;
use crate::value::{AttributeValue, Item};

/// A set of document paths, none of which stands in another's way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection {
    paths: Vec<Path>,
    attributes: BTreeMap<String, Pick>,
    /// The names under which a statement's answer has the values at `paths`; `None`: they stay where they are.
    names: Option<Vec<String>>,
}

/// What to keep of a value.
#[derive(Clone, Debug, PartialEq)]
enum Pick {
    All,
    Members(BTreeMap<String, Pick>),
    Elements(BTreeMap<u32, Pick>),
}

impl Projection {
    /// Parses and checks a `ProjectionExpression`.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Projection, ExprError> {
        let kind = ExprKind::Projection;
        let raw = syntax::projection(text)?;
        raw.iter().try_for_each(|path| check_path_words(kind, path))?;
        Ok(Projection::of(resolve_distinct_paths(kind, raw.iter(), placeholders)?))
    }

    /// A projection on `paths`. A path below another adds nothing to it.
    pub(crate) fn of(paths: Vec<Path>) -> Projection {
        let mut attributes = BTreeMap::new();
        for path in &paths {
            let pick = attributes.entry(path.head().to_owned()).or_insert_with(|| blank(&path.elements()[1..]));
            add(pick, &path.elements()[1..]);
        }
        Projection { paths, attributes, names: None }
    }

    /// The projection of a statement: each value stands in the answer under a name of its own.
    ///
    /// # Errors
    /// Two paths stand in each other's way.
    pub fn named(columns: Vec<(String, Path)>) -> Result<Projection, ExprError> {
        let (names, paths): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        check_distinct_paths(paths.iter())?;
        Ok(Projection { names: Some(names), ..Projection::of(paths) })
    }

    /// The paths, in written order.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The parts of `item` that the projection names. Missing ones are left out; the elements of a list close up.
    pub fn apply(&self, item: &Item) -> Item {
        match &self.names {
            None => pick_members(item, &self.attributes),
            Some(names) => {
                let values =
                    names.iter().zip(&self.paths).map(|(name, path)| Some((name.clone(), path.get(item)?.clone())));
                values.flatten().collect()
            }
        }
    }
}

/// An empty pick that the first of `rest` can be added to.
fn blank(rest: &[Element]) -> Pick {
    match rest.first() {
        None => Pick::All,
        Some(Element::Name(_)) => Pick::Members(BTreeMap::new()),
        Some(Element::Index(_)) => Pick::Elements(BTreeMap::new()),
    }
}

fn add(pick: &mut Pick, rest: &[Element]) {
    let Some((first, below)) = rest.split_first() else {
        *pick = Pick::All;
        return;
    };
    let next = match (pick, first) {
        (Pick::Members(members), Element::Name(name)) => members.entry(name.clone()).or_insert_with(|| blank(below)),
        (Pick::Elements(elements), Element::Index(index)) => elements.entry(*index).or_insert_with(|| blank(below)),
        // Already whole, or (refused before by the check for conflicts) a list and a map at one place.
        _ => return,
    };
    add(next, below);
}

fn pick_members(members: &Item, picks: &BTreeMap<String, Pick>) -> Item {
    let one = |(name, pick): (&String, &Pick)| Some((name.clone(), pick_value(members.get(name)?, pick)?));
    picks.iter().filter_map(one).collect()
}

fn pick_value(value: &AttributeValue, pick: &Pick) -> Option<AttributeValue> {
    match (pick, value) {
        (Pick::All, value) => Some(value.clone()),
        (Pick::Members(picks), AttributeValue::M(members)) => {
            let picked = pick_members(members, picks);
            (!picked.is_empty()).then_some(AttributeValue::M(picked))
        }
        (Pick::Elements(picks), AttributeValue::L(elements)) => {
            let one = |(index, pick): (&u32, &Pick)| pick_value(elements.get(*index as usize)?, pick);
            let picked: Vec<_> = picks.iter().filter_map(one).collect();
            (!picked.is_empty()).then_some(AttributeValue::L(picked))
        }
        _ => None,
    }
}
