//! From paths and placeholders as written to what they stand for: the passes that every kind of expression shares.
//!
//! Faults come out in the order of the API's own parser. Over the whole expression first: function names, reserved
//! words and list indexes, left to right ([`check_path_words`]). Only then, part by part: undefined placeholders and
//! everything that needs their values. Source: docs/spec/dynamodb-api.md 4.2, 4.5, 4.6.

use std::sync::Arc;

use super::error::{ExprError, ExprKind};
use super::path::{Clash, Element, Path, clash};
use super::placeholders::Placeholders;
use super::reserved::is_reserved;
use super::syntax::{RawElement, RawPath};
use crate::limits;
use crate::value::AttributeValue;

/// Refuses reserved words that stand bare in a path, and list indexes out of range.
pub(super) fn check_path_words(kind: ExprKind, path: &RawPath<'_>) -> Result<(), ExprError> {
    for element in path {
        match element {
            RawElement::Bare(word) if is_reserved(word) => {
                return Err(ExprError::invalid(
                    kind,
                    format_args!("Attribute name is a reserved keyword; reserved keyword: {word}"),
                ));
            }
            RawElement::Index(digits) if list_index(digits).is_none() => {
                return Err(ExprError::invalid(
                    kind,
                    format_args!("List index is not within the allowable range; index: [{digits}]"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The index that `digits` write: at most 2^31 - 1.
fn list_index(digits: &str) -> Option<u32> {
    digits.parse::<i32>().ok().and_then(|index| u32::try_from(index).ok())
}

/// Puts the names behind a path's placeholders.
pub(super) fn resolve_path(
    kind: ExprKind,
    raw: &RawPath<'_>,
    placeholders: &mut Placeholders,
) -> Result<Path, ExprError> {
    let mut elements = Vec::with_capacity(raw.len());
    for element in raw {
        elements.push(match *element {
            RawElement::Bare(name) => Element::Name(name.to_owned()),
            RawElement::Index(digits) => {
                Element::Index(list_index(digits).expect("invariant: check_path_words saw every index"))
            }
            RawElement::Placeholder(key) => match placeholders.name(key) {
                Some(name) => Element::Name(name.to_owned()),
                None => {
                    return Err(ExprError::invalid(
                        kind,
                        format_args!(
                            "An expression attribute name used in the document path is not defined; \
                             attribute name: {key}"
                        ),
                    ));
                }
            },
        });
    }
    checked_path(kind, elements)
}

/// The path of `elements`, the first of which is a name.
///
/// # Errors
/// It has too many.
pub fn checked_path(kind: ExprKind, elements: Vec<Element>) -> Result<Path, ExprError> {
    if elements.len() > limits::NESTING_LEVELS_MAX {
        return Err(ExprError::invalid(
            kind,
            format_args!("The document path has too many nesting levels; nesting levels: {}", elements.len()),
        ));
    }
    Ok(Path::of(elements))
}

/// The value behind a `:key`.
pub(super) fn resolve_value(
    kind: ExprKind,
    key: &str,
    placeholders: &mut Placeholders,
) -> Result<Arc<AttributeValue>, ExprError> {
    placeholders.value(key).ok_or_else(|| {
        ExprError::invalid(
            kind,
            format_args!("An expression attribute value used in expression is not defined; attribute value: {key}"),
        )
    })
}

/// Resolves the paths of a projection, or the targets of an update, none of which may stand in another's way.
/// The last is looked at first, as in the API's own parser, which shows in an expression with several faults.
pub(super) fn resolve_distinct_paths<'a>(
    kind: ExprKind,
    raw: impl DoubleEndedIterator<Item = &'a RawPath<'a>>,
    placeholders: &mut Placeholders,
) -> Result<Vec<Path>, ExprError> {
    let mut seen = DistinctPaths::default();
    let mut paths: Vec<Path> = Vec::new();
    for raw in raw.rev() {
        let path = resolve_path(kind, raw, placeholders)?;
        seen.add(kind, &path)?;
        paths.push(path);
    }
    paths.reverse();
    Ok(paths)
}

/// Refuses paths of a statement of which one stands in another's way; the first is looked at first.
pub(super) fn check_distinct_paths<'a>(mut paths: impl Iterator<Item = &'a Path>) -> Result<(), ExprError> {
    let mut seen = DistinctPaths::default();
    paths.try_for_each(|path| seen.add(ExprKind::Statement, path))
}

/// Paths none of which stands in another's way.
#[derive(Default)]
struct DistinctPaths(std::collections::BTreeSet<Path>);

impl DistinctPaths {
    fn add(&mut self, kind: ExprKind, path: &Path) -> Result<(), ExprError> {
        // A clash shares the first element, and the set is ordered by elements: only that run is worth a look.
        let head = Path::attribute(path.head());
        for other in self.0.range(head..).take_while(|other| other.head() == path.head()) {
            if let Some(clash) = clash(path, other) {
                let verb = match clash {
                    Clash::Overlap => "overlap",
                    Clash::Conflict => "conflict",
                };
                return Err(ExprError::invalid(
                    kind,
                    format_args!(
                        "Two document paths {verb} with each other; must remove or rewrite one of these paths; \
                         path one: {path}, path two: {other}"
                    ),
                ));
            }
        }
        self.0.insert(path.clone());
        Ok(())
    }
}

/// `The expression contains too many operators`. The API's own parser stops counting at the first that is too many.
pub fn too_many_operators(kind: ExprKind) -> ExprError {
    let count = limits::EXPRESSION_OPERATORS_MAX + 1;
    ExprError::invalid(kind, format_args!("The expression contains too many operators; operator count: {count}"))
}

/// `Incorrect operand type for operator or function`.
pub(super) fn wrong_operand_type(kind: ExprKind, operator: &str, type_name: &str) -> ExprError {
    ExprError::invalid(
        kind,
        format_args!(
            "Incorrect operand type for operator or function; operator or function: {operator}, \
             operand type: {type_name}"
        ),
    )
}

/// `Incorrect number of operands`.
pub(super) fn wrong_operand_count(kind: ExprKind, function: &str, count: usize) -> ExprError {
    ExprError::invalid(
        kind,
        format_args!(
            "Incorrect number of operands for operator or function; operator or function: {function}, \
             number of operands: {count}"
        ),
    )
}

/// `Operator or function requires a document path`.
pub(super) fn path_required(kind: ExprKind, function: &str) -> ExprError {
    ExprError::invalid(
        kind,
        format_args!("Operator or function requires a document path; operator or function: {function}"),
    )
}

/// `The first operand must be distinct from the remaining operands`.
pub(super) fn not_distinct(kind: ExprKind, operator: &str, path: &Path) -> ExprError {
    ExprError::invalid(
        kind,
        format_args!(
            "The first operand must be distinct from the remaining operands for this operator or function; \
             operator: {operator}, first operand: {path}"
        ),
    )
}

/// `The function is not allowed to be used this way in an expression`.
pub(super) fn misused_function(kind: ExprKind, function: &str) -> ExprError {
    ExprError::invalid(
        kind,
        format_args!("The function is not allowed to be used this way in an expression; function: {function}"),
    )
}

/// `Invalid function name`.
pub(super) fn unknown_function(kind: ExprKind, function: &str) -> ExprError {
    ExprError::invalid(kind, format_args!("Invalid function name; function: {function}"))
}
