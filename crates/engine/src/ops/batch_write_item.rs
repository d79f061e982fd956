//! BatchWriteItem: one commit, because that costs least; nobody is promised that. Source: docs/spec/dynamodb-api.md 7.1.
//!
//! A batch that is too large for one commit, that is made once, or whose tables may be throttled, is a commit for each item, run together.
//! Everything that can be refused is refused before anything is written. The operation speaks the older wording only.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tailrace_api::items::{
    BatchWrite, BatchWriteItemAnswer, BatchWriteItemRequest, CapacityDetail, Charge, ItemCollectionMetrics,
};
use tailrace_core::codec::encode_stored;
use tailrace_core::{ApiError, Item};

use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::items::admission::Metering;
use crate::items::capacity::write_charge;
use crate::items::commit::{commit_change, commit_changes, commit_mark};
use crate::items::idempotency::{IdempotencyMark, decided_before};
use crate::items::index_entries::check_index_keys;
use crate::items::index_key_errors::IndexKeySource;
use crate::items::item_collection::note_item_collection;
use crate::items::key_errors::duplicate_keys;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change, Written};
use crate::throttle::is_throttled;

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
        unprocessed_items: written.unprocessed,
        consumed_capacity: (capacity != CapacityDetail::None).then_some(consumed),
        item_collection_metrics: written.collections,
    })
}

/// What a batch came to.
#[derive(Default)]
pub(super) struct WrittenBatch {
    /// What it is charged, by table, if that was asked for.
    charged: BTreeMap<String, Charge>,
    collections: BTreeMap<String, Vec<ItemCollectionMetrics>>,
    /// What was not written because its table is throttled, by table as it was sent.
    unprocessed: BTreeMap<String, Vec<BatchWrite>>,
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
    let (tables, changes) = changes(db, request).await?;
    let mut batch = WrittenBatch::default();
    let numbers: Vec<usize> = changes.iter().map(|change| change.table).collect();
    // Of tables that may be throttled each write is admitted by itself.
    let metered = db.throttle.as_ref().is_some_and(|throttle| tables.iter().any(|table| throttle.meters_writes(table)));
    let answers = match mark {
        None if metered => commit_each(db, &tables, changes, None, caller).await?,
        None => {
            let committed = commit_changes(db, &tables, &changes, None, Metering::Writes, caller).await?;
            if committed.too_large { commit_each(db, &tables, changes, None, caller).await? } else { committed.answers }
        }
        Some(mark) => {
            let answers = commit_each(db, &tables, changes, Some(mark), caller).await?;
            commit_mark(db, mark, numbers.len()).await?;
            answers
        }
    };
    let sent = request.tables.iter().flat_map(|part| part.writes.iter().map(|write| (&part.sent_as, write)));
    let (mut throttled, mut any_written) = (None, false);
    for ((number, answer), (sent_as, write)) in numbers.into_iter().zip(answers).zip(sent) {
        let table = &tables[number];
        let written = match answer {
            Ok(written) => written,
            Err(error) if is_throttled(&error) => {
                batch.unprocessed.entry(sent_as.clone()).or_default().push(write.clone());
                throttled = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        any_written = true;
        let (BatchWrite::Put(attributes) | BatchWrite::Delete(attributes)) = write;
        note_item_collection(&mut batch.collections, request.item_collection_metrics, table, attributes);
        if request.capacity != CapacityDetail::None {
            *batch.charged.entry(table.name.clone()).or_default() += write_charge(table, &written);
        }
    }
    // Only if nothing at all could be written, that is the error. Source: docs/spec/dynamodb-api.md 7.1.
    match throttled.filter(|_| !any_written) {
        Some(error) => Err(error),
        None => Ok(batch),
    }
}

/// Commits each change by itself, all at once. `mark`: each with a mark of its own.
async fn commit_each(
    db: &Db,
    tables: &[Arc<StoredTable>],
    changes: Vec<Change<'_>>,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<Vec<Result<Written, ApiError>>, ApiError> {
    let commits = changes.into_iter().enumerate().map(|(index, change)| async move {
        let part = mark.map(|mark| mark.part(index));
        let table = &tables[change.table];
        match commit_change(db, table, Change { table: 0, ..change }, part.as_ref(), caller).await? {
            Err(error) if !is_throttled(&error) => Err(error),
            decided => Ok(decided),
        }
    });
    join_all(commits).await.into_iter().collect()
}

async fn changes<'a>(
    db: &Db,
    request: &'a BatchWriteItemRequest,
) -> Result<(Vec<Arc<StoredTable>>, Vec<Change<'a>>), ApiError> {
    let mut tables: Vec<Arc<StoredTable>> = Vec::new();
    let mut changes = Vec::new();
    // A table may be named twice, by its name and by its ARN.
    let mut seen = HashSet::new();
    for part in &request.tables {
        let table = db.table(&part.table_name).await?;
        let known = tables.iter().position(|known| known.id == table.id);
        let number = known.unwrap_or_else(|| {
            tables.push(Arc::clone(&table));
            tables.len() - 1
        });
        for write in &part.writes {
            let change = change(&table, number, write)?;
            if !seen.insert(change.place.row.clone()) {
                return Err(duplicate_keys());
            }
            changes.push(change);
        }
    }
    Ok((tables, changes))
}

fn change<'a>(table: &StoredTable, number: usize, write: &'a BatchWrite) -> Result<Change<'a>, ApiError> {
    let (place, attributes, action): (_, &Item, _) = match write {
        BatchWrite::Put(item) => {
            let place = ItemPlace::of_batched_item(table, item)?;
            let new = Bytes::from(encode_stored(item));
            check_index_keys(table, &new).map_err(|e| e.into_api(IndexKeySource::Put))?;
            (place, item, Action::Put(new))
        }
        BatchWrite::Delete(key) => (ItemPlace::of_key(table, key)?, key, Action::Delete),
    };
    Ok(Change { table: number, place, attributes, action, condition: None, return_item_on_failure: false })
}
