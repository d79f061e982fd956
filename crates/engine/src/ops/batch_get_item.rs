//! BatchGetItem. Source: docs/spec/dynamodb-api.md 7.1.
//!
//! The items are read in steps, so that besides those that are answered only those of one step are held.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::items::{
    AnsweredItem, BatchGetItemAnswer, BatchGetItemRequest, CapacityDetail, ItemProjection, KeysAndAttributes, TableKeys,
};
use tailrace_core::codec::stored_size;
use tailrace_core::limits::{ANSWER_INLINE_BYTES_MAX, BATCH_GET_BYTES_MAX, BATCH_GET_STEP_KEYS};
use tailrace_core::{ApiError, Item};
use tailrace_store::Key;

use crate::Caller;
use crate::aside::aside;
use crate::db::{Db, StoredTable};
use crate::items::capacity::read_units;
use crate::items::key_errors::duplicate_keys;
use crate::items::place::ItemPlace;
use crate::items::projection::{check_projection, project};

/// One item that is asked for.
struct Wanted {
    /// Its part of the request.
    part: usize,
    key: Item,
}

/// Runs BatchGetItem.
///
/// # Errors
/// What the client is to read.
pub async fn batch_get_item(
    db: &Db,
    request: BatchGetItemRequest,
    _caller: &Caller<'_>,
) -> Result<BatchGetItemAnswer, ApiError> {
    let BatchGetItemRequest { mut tables, capacity } = request;
    let (read_from, rows, mut wanted) = wanted(db, &mut tables).await?;
    let projections: Arc<[ItemProjection]> =
        tables.iter_mut().map(|part| std::mem::take(&mut part.projection)).collect();
    let mut answer = BatchGetItemAnswer::default();
    let mut charged: BTreeMap<&str, f64> = BTreeMap::new();
    for part in &tables {
        answer.responses.entry(part.sent_as.clone()).or_default();
        charged.entry(&part.table_name).or_default();
    }
    let mut left: Vec<Vec<Item>> = tables.iter().map(|_| Vec::new()).collect();
    let mut bytes_read = 0;
    // Keys of throttled tables are left; if all of them are, that is the error.
    let (mut throttled, mut any_read) = (None, false);
    for (rows, wanted) in rows.chunks(BATCH_GET_STEP_KEYS).zip(wanted.chunks_mut(BATCH_GET_STEP_KEYS)) {
        let bytes_before = bytes_read;
        let mut taken = Vec::with_capacity(rows.len());
        for (wanted, value) in wanted.iter_mut().zip(db.rows(rows).await?) {
            let table = &read_from[wanted.part];
            if let Some(throttle) = &db.throttle
                && let Err(error) = throttle.check_read(table, None)
            {
                throttled = Some(error);
                left[wanted.part].push(std::mem::take(&mut wanted.key));
                continue;
            }
            any_read = true;
            let size = value.as_ref().map_or(0, |value| stored_size(value));
            if bytes_read + size > BATCH_GET_BYTES_MAX {
                left[wanted.part].push(std::mem::take(&mut wanted.key));
                continue;
            }
            bytes_read += size;
            let part = &tables[wanted.part];
            let units = read_units(size, part.sent.consistent_read.unwrap_or(false));
            *charged.entry(&part.table_name).or_default() += units;
            if let Some(throttle) = &db.throttle {
                throttle.take_read(table, &units.into());
            }
            taken.extend(value.map(|value| (wanted.part, value)));
        }
        for (part, item) in projected(&projections, taken, bytes_read - bytes_before).await? {
            answer.responses.entry(tables[part].sent_as.clone()).or_default().push(item);
        }
    }
    if let Some(error) = throttled.filter(|_| !any_read) {
        return Err(error);
    }
    let charged = charged.iter().filter_map(|(table, units)| capacity.answer(table, *units)).collect();
    answer.consumed_capacity = (capacity != CapacityDetail::None).then_some(charged);
    for (part, keys) in tables.into_iter().zip(left) {
        if !keys.is_empty() {
            answer.unprocessed_keys.insert(part.sent_as, KeysAndAttributes { keys, ..part.sent });
        }
    }
    Ok(answer)
}

/// The tables of the parts, and the rows that are asked for, in the order of the request; takes the keys out of it.
///
/// # Errors
/// Two keys are equal as values, whatever else is wrong with them or with their tables; or else the first of all other faults.
async fn wanted(db: &Db, tables: &mut [TableKeys]) -> Result<(Vec<Arc<StoredTable>>, Vec<Key>, Vec<Wanted>), ApiError> {
    let (read_from, rows) = match rows(db, tables).await {
        Ok(found) => found,
        Err(_) if tables.iter().any(|table| has_duplicates(&table.sent.keys)) => return Err(duplicate_keys()),
        Err(error) => return Err(error),
    };
    let of = |(part, table): (usize, &mut TableKeys)| {
        std::mem::take(&mut table.sent.keys).into_iter().map(move |key| Wanted { part, key })
    };
    Ok((read_from, rows, tables.iter_mut().enumerate().flat_map(of).collect()))
}

async fn rows(db: &Db, tables: &[TableKeys]) -> Result<(Vec<Arc<StoredTable>>, Vec<Key>), ApiError> {
    let mut read_from = Vec::with_capacity(tables.len());
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for table_keys in tables {
        let table = db.table(&table_keys.table_name).await?;
        check_projection(&table_keys.projection, &table)?;
        for key in &table_keys.sent.keys {
            let row = ItemPlace::of_key(&table, key)?.row;
            if !seen.insert(row.clone()) {
                return Err(duplicate_keys());
            }
            rows.push(row);
        }
        read_from.push(table);
    }
    Ok((read_from, rows))
}

/// Keys that are equal as values; there are 100 at most.
fn has_duplicates(keys: &[Item]) -> bool {
    keys.iter().enumerate().any(|(at, key)| keys[..at].contains(key))
}

/// What is answered of the items of a step, each with its part of the request. `bytes`: their size.
async fn projected(
    projections: &Arc<[ItemProjection]>,
    items: Vec<(usize, Bytes)>,
    bytes: usize,
) -> Result<Vec<(usize, AnsweredItem)>, ApiError> {
    let projections = Arc::clone(projections);
    let whole = projections.iter().all(|projection| matches!(projection, ItemProjection::Whole));
    let project =
        move || items.into_iter().map(|(part, item)| Ok((part, project(&projections[part], item)?))).collect();
    aside(whole || bytes <= ANSWER_INLINE_BYTES_MAX, project).await
}
