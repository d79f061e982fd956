//! Event patterns: the language of a mapping's FilterCriteria, which is that of Event Ruler.
//! Source: docs/spec/event-source-mapping.md 8.
//!
//! A pattern is compiled once, and matched against anything that implements [`Node`]: JSON, or stored bytes that are looked at
//! only where the pattern asks. Nothing is built for an event that does not match.
//!
//! Invariants:
//! - What the cost of a match depends on is bounded by the pattern's length and the event's size: no operator backtracks.
//! - A pattern says the same of an event in each of its forms.
//!
//! What it does not do: no I/O, and it knows no record, stream or mapping. Many patterns at once are tried one after another.

mod compile;
mod error;
mod filter;
mod json;
mod leaf;
mod node;
mod operators;

pub use compile::OPERATORS;
pub use error::{FilterError, PatternError, Reason};
pub use filter::Filter;
pub use node::{Kind, Node};

use compile::Field;
use leaf::Leaf;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// What `$or` makes of it: alternatives, each of which asks for all its fields.
    alternatives: Vec<Vec<Field>>,
}

impl Pattern {
    /// Compiles the text of a pattern.
    ///
    /// # Errors
    /// It is no pattern; the error says where and why.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        Ok(Pattern { alternatives: compile::compile(text)? })
    }

    /// Whether the event matches.
    ///
    /// # Errors
    /// The event's, as far as it was looked at.
    pub fn matches<N: Node>(&self, event: &N) -> Result<bool, N::Error> {
        for fields in &self.alternatives {
            if all_match(fields, Some(event), event)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Every field matches in `object`. Without an object, or in what is none, no member is there.
fn all_match<N: Node>(fields: &[Field], object: Option<&N>, event: &N) -> Result<bool, N::Error> {
    for field in fields {
        let value = match object {
            Some(object) => object.member(&field.name)?,
            None => None,
        };
        for leaf in &field.leaves {
            if !leaf_matches(leaf, value.as_ref(), event)? {
                return Ok(false);
            }
        }
        if !field.inner.is_empty() && !inner_matches(&field.inner, value.as_ref(), event)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The fields below a field match: in its object, or all of them in one of its array's objects.
fn inner_matches<N: Node>(fields: &[Field], value: Option<&N>, event: &N) -> Result<bool, N::Error> {
    let Some(value) = value else { return all_match(fields, None, event) };
    match value.kind()? {
        Kind::Object => all_match(fields, Some(value), event),
        // With no object at all, what asks for absence may still match.
        Kind::Array => Ok(any_object_matches(fields, value, event)? || all_match(fields, None, event)?),
        _ => all_match(fields, None, event),
    }
}

fn any_object_matches<N: Node>(fields: &[Field], array: &N, event: &N) -> Result<bool, N::Error> {
    array.any_element(&mut |element| match element.kind()? {
        Kind::Object => all_match(fields, Some(&element), event),
        Kind::Array => any_object_matches(fields, &element, event),
        _ => Ok(false),
    })
}

fn leaf_matches<N: Node>(leaf: &Leaf, value: Option<&N>, event: &N) -> Result<bool, N::Error> {
    if let Some(value) = value
        && any_scalar(value, &mut |scalar| leaf.accepts(scalar))?
    {
        return Ok(true);
    }
    match &leaf.absent {
        // Absence is of the whole event, not of one element of an array.
        Some(path) => Ok(!has_leaf(event, path)?),
        None => Ok(false),
    }
}

/// A scalar of the value, or of the arrays that it is made of, passes.
fn any_scalar<N: Node>(value: &N, passes: &mut dyn FnMut(&Kind<'_>) -> bool) -> Result<bool, N::Error> {
    match value.kind()? {
        Kind::Object => Ok(false),
        Kind::Array => value.any_element(&mut |element| any_scalar(&element, passes)),
        scalar => Ok(passes(&scalar)),
    }
}

/// There is a scalar at the path, in whatever element of whatever array.
fn has_leaf<N: Node>(value: &N, path: &[Box<str>]) -> Result<bool, N::Error> {
    match (value.kind()?, path) {
        (Kind::Array, path) => value.any_element(&mut |element| has_leaf(&element, path)),
        (Kind::Object, [name, path @ ..]) => match value.member(name)? {
            Some(member) => has_leaf(&member, path),
            None => Ok(false),
        },
        (Kind::Object, []) => Ok(false),
        (_, path) => Ok(path.is_empty()),
    }
}
