//! Paths of expressions against the keys of a table and its indexes, and what a read shows of a stored item. Source: docs/spec/dynamodb-api.md 4.5, 6.

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, ItemProjection};
use tailrace_core::codec::StoredItem;
use tailrace_core::expr::{Condition, Path, nested_index_key, nested_key};
use tailrace_core::{ApiError, Item};

use super::stored_item::{corrupt, decode};
use crate::table::Table;
use crate::tables::index::Index;

/// Refuses a path that goes below a key attribute, of the table or of an index.
pub(crate) fn check_key_paths<'a>(table: &Table, paths: impl IntoIterator<Item = &'a Path>) -> Result<(), ApiError> {
    for path in paths.into_iter().filter(|path| path.is_nested()) {
        let key = path.head();
        if table.key.contains(key) {
            return Err(nested_key(key).into_api(false));
        }
        if table.live_indexes().flat_map(Index::attributes).any(|attribute| attribute.name == key) {
            return Err(nested_index_key(key).into_api(false));
        }
    }
    Ok(())
}

/// Refuses a condition on a path that goes below a key attribute.
///
/// # Errors
/// There is such a path.
pub(crate) fn check_condition_paths(condition: Option<&Condition>, table: &Table) -> Result<(), ApiError> {
    let mut paths: Vec<&Path> = Vec::new();
    if let Some(condition) = condition {
        condition.visit_paths(&mut |path| paths.push(path));
    }
    check_key_paths(table, paths)
}

/// Refuses a projection of a path that goes below a key attribute.
pub(crate) fn check_projection(projection: &ItemProjection, table: &Table) -> Result<(), ApiError> {
    match projection {
        ItemProjection::Paths(projection) => check_key_paths(table, projection.paths()),
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
