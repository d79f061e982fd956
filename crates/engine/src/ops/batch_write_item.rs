//! BatchWriteItem: a commit for each item, run together. Source: docs/spec/dynamodb-api.md 7.1.
//!
//! Everything that can be refused is refused before anything is written. The operation speaks the older wording only.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tailrace_api::items::{BatchWrite, BatchWriteItemAnswer, BatchWriteItemRequest, CapacityDetail, Charge};
use tailrace_core::codec::encode_stored;
use tailrace_core::{ApiError, Item};

use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::items::capacity::write_charge;
use crate::items::collections::Collections;
use crate::items::commit::{commit_change, commit_mark};
use crate::items::idempotency::{IdempotencyMark, decided_before};
use crate::items::index_entries::check_index_keys;
use crate::items::index_key_errors::IndexKeySource;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change};

/// Runs BatchWriteItem.
///
/// # Errors
/// What the client is to read.
pub async fn batch_write_item(
    db: &Db,
    request: BatchWriteItemRequest,
    caller: &Caller<'_>,
) -> Result<BatchWriteItemAnswer, ApiError> {
    let written = write_batch(db, &request, None, caller).await?;
    let capacity = request.capacity;
    let consumed = written.charged.into_iter().filter_map(|(table, charge)| capacity.answer(&table, charge)).collect();
    Ok(BatchWriteItemAnswer {
        unprocessed_items: BTreeMap::new(),
        consumed_capacity: (capacity != CapacityDetail::None).then_some(consumed),
        item_collection_metrics: written.collections.by_table,
    })
}

/// What a batch came to.
#[derive(Default)]
pub(super) struct WrittenBatch {
    /// What it is charged, by table, if that was asked for.
    charged: BTreeMap<String, Charge>,
    collections: Collections,
}

/// The writes. `mark`: each is made once, with a mark of its own until all are made; a batch
/// that was cut off goes on where it was.
pub(super) async fn write_batch(
    db: &Db,
    request: &BatchWriteItemRequest,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<WrittenBatch, ApiError> {
    if let Some(mark) = mark
        && let Some(decided) = decided_before(db, mark).await?
    {
        return decided.map(|()| WrittenBatch::default());
    }
    let changes = changes(db, request).await?;
    let count = changes.len();
    let items: Vec<(Arc<StoredTable>, &Item)> =
        changes.iter().map(|(table, change)| (Arc::clone(table), change.attributes)).collect();
    let commits = changes.into_iter().enumerate().map(|(index, (table, change))| async move {
        let part = mark.map(|mark| mark.part(index));
        let written = commit_change(db, &table, change, part.as_ref(), caller).await??;
        Ok::<_, ApiError>((table, written))
    });
    let mut batch = WrittenBatch::default();
    for done in join_all(commits).await {
        let (table, written) = done?;
        if request.capacity != CapacityDetail::None {
            *batch.charged.entry(table.name.clone()).or_default() += write_charge(&table, &written);
        }
    }
    for (table, item) in items {
        batch.collections.note(request.item_collection_metrics, &table, item);
    }
    if let Some(mark) = mark {
        commit_mark(db, mark, count).await?;
    }
    Ok(batch)
}

async fn changes<'a>(
    db: &Db,
    request: &'a BatchWriteItemRequest,
) -> Result<Vec<(Arc<StoredTable>, Change<'a>)>, ApiError> {
    let mut changes = Vec::new();
    // A table may be named twice, by its name and by its ARN.
    let mut seen = HashSet::new();
    for part in &request.tables {
        let table = db.table(&part.table_name).await?;
        for write in &part.writes {
            let change = change(&table, write)?;
            if !seen.insert(change.place.row.clone()) {
                return Err(ApiError::validation("Provided list of item keys contains duplicates"));
            }
            changes.push((Arc::clone(&table), change));
        }
    }
    Ok(changes)
}

fn change<'a>(table: &StoredTable, write: &'a BatchWrite) -> Result<Change<'a>, ApiError> {
    let (place, attributes, action): (_, &Item, _) = match write {
        BatchWrite::Put(item) => {
            let place = ItemPlace::of_batched_item(table, item)?;
            let new = Bytes::from(encode_stored(item));
            check_index_keys(table, &new).map_err(|e| e.into_api(IndexKeySource::Put))?;
            (place, item, Action::Put(new))
        }
        BatchWrite::Delete(key) => (ItemPlace::of_key(table, key)?, key, Action::Delete),
    };
    Ok(Change { table: 0, place, attributes, action, condition: None, return_item_on_failure: false })
}
