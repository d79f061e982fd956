//! DeleteItem. Source: docs/spec/dynamodb-api.md 2.5, 4.8.

use std::sync::Arc;

use tailrace_api::items::{AnsweredItem, DeleteItemRequest, ReturnValues, WriteItemAnswer};
use tailrace_core::ApiError;

use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::items::capacity::write_charge;
use crate::items::commit::commit_change;
use crate::items::idempotency::IdempotencyMark;
use crate::items::item_collection::item_collection;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change, Written};
use crate::items::projection::check_condition_paths;

/// Runs DeleteItem.
///
/// # Errors
/// What the client is to read.
pub async fn delete_item(
    db: &Db,
    request: DeleteItemRequest,
    caller: &Caller<'_>,
) -> Result<WriteItemAnswer, ApiError> {
    let (table, written) = delete(db, &request, None, caller).await?;
    Ok(WriteItemAnswer {
        consumed_capacity: request.capacity.answer_with(&table.name, || write_charge(&table, &written)),
        item_collection_metrics: item_collection(request.item_collection_metrics, &table, &request.key),
        attributes: written.old.filter(|_| request.return_values == ReturnValues::AllOld).map(AnsweredItem::Stored),
    })
}

/// The write. `mark`: it is made once.
pub(super) async fn delete(
    db: &Db,
    request: &DeleteItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<(Arc<StoredTable>, Written), ApiError> {
    let mut table = db.likely_table(&request.table_name).await?;
    loop {
        match delete_into(db, &table, request, mark, caller).await {
            Ok(decided) => return Ok((table, decided?)),
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    }
}

async fn delete_into(
    db: &Db,
    table: &Arc<StoredTable>,
    request: &DeleteItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<Result<Written, ApiError>, ApiError> {
    let place = ItemPlace::of_key(table, &request.key)?;
    check_condition_paths(request.condition.as_ref(), table)?;
    let change = Change {
        table: 0,
        place,
        attributes: &request.key,
        action: Action::Delete,
        condition: request.condition.as_ref(),
        return_item_on_failure: request.return_item_on_failure,
    };
    commit_change(db, table, change, mark, caller).await
}
