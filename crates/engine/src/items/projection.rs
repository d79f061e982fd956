//! Paths of expressions against the key of a table, and what a read shows of a stored item. Source: docs/spec/dynamodb-api.md 4.5, 6.

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, ItemProjection};
use tailrace_core::codec::StoredItem;
use tailrace_core::expr::{Condition, Path, nested_key};
use tailrace_core::{ApiError, Item, KeySchema};

use super::stored_item::{corrupt, decode};

/// Refuses a path that goes below a key attribute.
pub(crate) fn check_key_paths<'a>(
    schema: &KeySchema,
    paths: impl IntoIterator<Item = &'a Path>,
) -> Result<(), ApiError> {
    let below = |path: &&Path| path.is_nested() && schema.contains(path.head());
    match paths.into_iter().find(below) {
        Some(path) => Err(nested_key(path.head()).into_api(false)),
        None => Ok(()),
    }
}

/// Refuses a condition on a path that goes below a key attribute.
///
/// # Errors
/// There is such a path.
pub(crate) fn check_condition_paths(condition: Option<&Condition>, schema: &KeySchema) -> Result<(), ApiError> {
    let mut paths: Vec<&Path> = Vec::new();
    if let Some(condition) = condition {
        condition.visit_paths(&mut |path| paths.push(path));
    }
    check_key_paths(schema, paths)
}

/// Refuses a projection of a path that goes below a key attribute.
pub(crate) fn check_projection(projection: &ItemProjection, schema: &KeySchema) -> Result<(), ApiError> {
    match projection {
        ItemProjection::Paths(projection) => check_key_paths(schema, projection.paths()),
        ItemProjection::Whole | ItemProjection::Attributes(_) => Ok(()),
    }
}

/// What is shown of a stored item; as little of it as can be is decoded.
pub(crate) fn project(projection: &ItemProjection, value: Bytes) -> Result<AnsweredItem, ApiError> {
    match projection {
        ItemProjection::Whole => Ok(AnsweredItem::Stored(value)),
        ItemProjection::Paths(projection) => Ok(AnsweredItem::Made(projection.apply(&decode(&value)?))),
        ItemProjection::Attributes(names) => {
            let stored = StoredItem::new(&value).map_err(corrupt)?;
            let mut item = Item::new();
            for name in names {
                if let Some(attribute) = stored.attribute(name).map_err(corrupt)? {
                    item.insert(name.clone(), attribute);
                }
            }
            Ok(AnsweredItem::Made(item))
        }
    }
}
