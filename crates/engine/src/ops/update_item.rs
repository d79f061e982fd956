//! UpdateItem. Source: docs/spec/dynamodb-api.md 2.5, 3.4, 4.7, 4.8.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, ReturnValues, UpdateItemRequest, WriteItemAnswer};
use tailrace_api::{ErrorWording, PARAMETER_VALUES};
use tailrace_core::expr::{Path, Update};
use tailrace_core::{ApiError, AttributeValue, Item, KeySchema};

use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::items::capacity::write_charge;
use crate::items::commit::commit_change;
use crate::items::idempotency::IdempotencyMark;
use crate::items::index_key_errors::{IndexKeyError, IndexKeyFault, IndexKeySource, type_mismatch};
use crate::items::item_collection::item_collection;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change, Written};
use crate::items::projection::{check_condition_paths, check_key_paths};
use crate::items::stored_item::decode;
use crate::table::Table;

/// Runs UpdateItem.
///
/// # Errors
/// What the client is to read.
pub async fn update_item(
    db: &Db,
    request: UpdateItemRequest,
    caller: &Caller<'_>,
) -> Result<WriteItemAnswer, ApiError> {
    let (table, written) = update(db, &request, None, caller).await?;
    Ok(WriteItemAnswer {
        consumed_capacity: request.capacity.answer_with(&table.name, || write_charge(&table, &written)),
        item_collection_metrics: item_collection(request.item_collection_metrics, &table, &request.key),
        attributes: attributes(&request, written)?,
    })
}

/// The write. `mark`: it is made once.
pub(super) async fn update(
    db: &Db,
    request: &UpdateItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<(Arc<StoredTable>, Written), ApiError> {
    let mut table = db.likely_table(&request.table_name).await?;
    loop {
        match update_into(db, &table, request, mark, caller).await {
            Ok(decided) => return Ok((table, decided?)),
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    }
}

async fn update_into(
    db: &Db,
    table: &Arc<StoredTable>,
    request: &UpdateItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<Result<Written, ApiError>, ApiError> {
    let place = ItemPlace::of_key(table, &request.key)?;
    if let Some(update) = &request.update {
        check_targets(table, update)?;
    }
    check_condition_paths(request.condition.as_ref(), table)?;
    if let Some(update) = &request.update {
        let wording = ErrorWording::of_write(db.settings().wording);
        update.check_request_charge().map_err(|e| wording.expression(e))?;
    }
    let change = Change {
        table: 0,
        place,
        attributes: &request.key,
        action: Action::Update(request.update.as_ref()),
        condition: request.condition.as_ref(),
        return_item_on_failure: request.return_item_on_failure,
    };
    commit_change(db, table, change, mark, caller).await
}

/// Refuses an update of a key attribute, of an index's to a value of another type, and a path below one.
fn check_targets(table: &Table, update: &Update) -> Result<(), ApiError> {
    check_no_key_target(&table.key, update)?;
    check_index_key_types(table, update)?;
    check_update_paths(table, update)
}

/// Refuses an update of a key attribute.
pub(super) fn check_no_key_target(schema: &KeySchema, update: &Update) -> Result<(), ApiError> {
    let mut paths: Vec<&Path> = Vec::new();
    update.visit_targets(&mut |path| paths.push(path));
    if let Some(path) = paths.iter().find(|path| schema.contains(path.head())) {
        return Err(ApiError::validation(format!(
            "{PARAMETER_VALUES}Cannot update attribute {}. This attribute is part of the key",
            path.head()
        )));
    }
    Ok(())
}

/// Refuses a path below a key attribute: on the left an index's only, since the table's are not updated at all.
pub(super) fn check_update_paths(table: &Table, update: &Update) -> Result<(), ApiError> {
    let mut paths: Vec<&Path> = Vec::new();
    update.visit_targets(&mut |path| paths.push(path));
    update.visit_read_paths(&mut |path| paths.push(path));
    check_key_paths(table, paths)
}

/// Refuses values of the request that a key attribute of an index is set to, or that are added to it, of another type. What an update makes of
/// other values is known in the commit only.
pub(super) fn check_index_key_types(table: &Table, update: &Update) -> Result<(), ApiError> {
    if table.indexes.is_empty() {
        return Ok(());
    }
    let mut refused = None;
    update.visit_values(&mut |path, value| {
        let mut keys = table.live_indexes().flat_map(|index| index.attributes().map(move |key| (index, key)));
        let wrong = keys.find(|(_, key)| !path.is_nested() && key.name == path.head() && !key.scalar.admits(value));
        if let (Some((index, key)), None) = (wrong, &refused) {
            refused = Some(type_mismatch(&index.name, &key.name, key.scalar, value.type_name()));
        }
    });
    refused.map_or(Ok(()), Err)
}

/// Refuses an empty value of the request that a key attribute of an index is set to, before anything is read.
/// Source: docs/spec/dynamodb-api.md 7.2, empty key strings.
pub(super) fn check_no_empty_index_value(table: &Table, update: &Update) -> Result<(), ApiError> {
    let mut refused = None;
    update.visit_values(&mut |path, value| {
        let is_empty = match value {
            AttributeValue::S(text) => text.is_empty(),
            AttributeValue::B(bytes) => bytes.is_empty(),
            _ => false,
        };
        let mut keys = table.live_indexes().flat_map(|index| index.attributes().map(move |key| (index, key)));
        let empty =
            keys.find(|(_, key)| is_empty && !path.is_nested() && key.name == path.head() && key.scalar.admits(value));
        if let (Some((index, key)), None) = (empty, &refused) {
            let error = IndexKeyError::new(index, key, IndexKeyFault::Empty(key.scalar));
            refused = Some(error.into_api(IndexKeySource::Update));
        }
    });
    refused.map_or(Ok(()), Err)
}

/// The member `Attributes` of the answer.
fn attributes(request: &UpdateItemRequest, written: Written) -> Result<Option<AnsweredItem>, ApiError> {
    let touched = |image: Option<Bytes>| -> Result<Option<AnsweredItem>, ApiError> {
        let (Some(image), Some(update)) = (image, &request.update) else { return Ok(None) };
        let touched: Item = update.touched(&decode(&image)?);
        Ok((!touched.is_empty()).then_some(AnsweredItem::Made(touched)))
    };
    match request.return_values {
        ReturnValues::None => Ok(None),
        ReturnValues::AllOld => Ok(written.old.map(AnsweredItem::Stored)),
        ReturnValues::AllNew => Ok(written.new.map(AnsweredItem::Stored)),
        ReturnValues::UpdatedOld => touched(written.old),
        ReturnValues::UpdatedNew => touched(written.new),
    }
}
