//! PutItem. Source: docs/spec/dynamodb-api.md 2.5, 4.8.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, PutItemRequest, ReturnValues, WriteItemAnswer};
use tailrace_core::ApiError;
use tailrace_core::codec::{encode_stored, stored_size};
use tailrace_core::limits::ITEM_BYTES_MAX;

use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::items::capacity::write_charge;
use crate::items::commit::commit_change;
use crate::items::idempotency::IdempotencyMark;
use crate::items::index_entries::check_index_keys;
use crate::items::index_key_errors::IndexKeySource;
use crate::items::item_collection::item_collection;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change, Written};
use crate::items::projection::check_condition_paths;

/// Runs PutItem.
///
/// # Errors
/// What the client is to read.
pub async fn put_item(db: &Db, request: PutItemRequest, caller: &Caller<'_>) -> Result<WriteItemAnswer, ApiError> {
    let (table, written) = put(db, &request, None, caller).await?;
    Ok(WriteItemAnswer {
        consumed_capacity: request.capacity.answer_with(&table.name, || write_charge(&table, &written)),
        item_collection_metrics: item_collection(request.item_collection_metrics, &table, &request.item),
        attributes: written.old.filter(|_| request.return_values == ReturnValues::AllOld).map(AnsweredItem::Stored),
    })
}

/// The write. `mark`: it is made once.
pub(super) async fn put(
    db: &Db,
    request: &PutItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<(Arc<StoredTable>, Written), ApiError> {
    let mut table = db.likely_table(&request.table_name).await?;
    loop {
        match put_into(db, &table, request, mark, caller).await {
            Ok(decided) => return Ok((table, decided?)),
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    }
}

async fn put_into(
    db: &Db,
    table: &Arc<StoredTable>,
    request: &PutItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<Result<Written, ApiError>, ApiError> {
    let place = ItemPlace::of_item(table, &request.item)?;
    let new = Bytes::from(encode_stored(&request.item));
    check_index_keys(table, &new).map_err(|e| e.into_api(IndexKeySource::Put))?;
    check_condition_paths(request.condition.as_ref(), table)?;
    if stored_size(&new) > ITEM_BYTES_MAX {
        return Err(ApiError::validation("Item size has exceeded the maximum allowed size"));
    }
    let change = Change {
        table: 0,
        place,
        attributes: &request.item,
        action: Action::Put(new),
        condition: request.condition.as_ref(),
        return_item_on_failure: request.return_item_on_failure,
    };
    commit_change(db, table, change, mark, caller).await
}
