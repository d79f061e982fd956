//! TransactGetItems: one read of the store for all of its items and their tables. Source: docs/spec/dynamodb-api.md 7.2.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use tailrace_api::items::{
    AnsweredItem, CapacityDetail, Charge, ItemProjection, ItemResponse, TRANSACTION_TOO_LARGE, TransactGet,
    TransactGetItemsAnswer, TransactGetItemsRequest, UnitKind,
};
use tailrace_core::codec::stored_size;
use tailrace_core::key::KeyError;
use tailrace_core::limits::{ANSWER_INLINE_BYTES_MAX, TRANSACTION_BYTES_MAX};
use tailrace_core::{ApiError, CancellationReason};
use tailrace_store::Key;

use crate::Caller;
use crate::aside::aside;
use crate::db::Db;
use crate::items::capacity::transaction_read_units;
use crate::items::key_errors::key_map_error;
use crate::items::place::ItemPlace;
use crate::items::projection::{check_projection, project};
use crate::items::table_set::TableSet;

/// Runs TransactGetItems.
///
/// # Errors
/// What the client is to read.
pub async fn transact_get_items(
    db: &Db,
    request: TransactGetItemsRequest,
    _caller: &Caller<'_>,
) -> Result<TransactGetItemsAnswer, ApiError> {
    let TransactGetItemsRequest { gets, capacity } = request;
    let mut tables = TableSet::likely(db, gets.iter().map(|get| get.table_name.as_str())).await?;
    let turn = db.wide_turn(gets.len()).await;
    let values = loop {
        match read(db, &tables, &gets).await {
            Ok(values) => break values,
            Err(error) => tables = tables.newer(db).await?.ok_or(error)?,
        }
    };
    let size = |value: &Option<Bytes>| value.as_ref().map_or(0, |value| stored_size(value));
    let bytes: usize = values.iter().map(size).sum();
    if bytes > TRANSACTION_BYTES_MAX {
        return Err(ApiError::validation(TRANSACTION_TOO_LARGE));
    }
    drop(turn);
    if let Some(throttle) = &db.throttle {
        for (index, value) in values.iter().enumerate() {
            throttle.take_read(tables.of(index).1, &transaction_read_units(size(value)).into());
        }
    }
    let mut charged: BTreeMap<String, Charge> = BTreeMap::new();
    for (index, value) in values.iter().enumerate().filter(|_| capacity != CapacityDetail::None) {
        *charged.entry(tables.of(index).1.name.clone()).or_default() += transaction_read_units(size(value)).into();
    }
    let projections: Vec<ItemProjection> = gets.into_iter().map(|get| get.projection).collect();
    let whole = projections.iter().all(|projection| matches!(projection, ItemProjection::Whole));
    let shown = move || projections.iter().zip(values).map(|(projection, value)| show(projection, value)).collect();
    Ok(TransactGetItemsAnswer {
        responses: aside(whole || bytes <= ANSWER_INLINE_BYTES_MAX, shown).await?,
        consumed_capacity: capacity.transaction(charged, UnitKind::Reads),
    })
}

/// The items, all of one point in time.
async fn read(db: &Db, tables: &TableSet, gets: &[TransactGet]) -> Result<Vec<Option<Bytes>>, ApiError> {
    let mut keys: Vec<Key> = tables.tables().iter().map(|table| table.row_key.clone()).collect();
    let count = keys.len();
    keys.extend(rows(tables, gets)?);
    check_throttled(db, tables, gets.len())?;
    let mut values = db.rows(&keys).await?;
    for (table, row) in tables.tables().iter().zip(values.drain(..count)) {
        db.confirm(table, row.as_ref())?;
    }
    Ok(values)
}

/// Refuses reads of tables that are throttled, each with its reason.
fn check_throttled(db: &Db, tables: &TableSet, gets: usize) -> Result<(), ApiError> {
    let Some(throttle) = &db.throttle else { return Ok(()) };
    let reason = |index| match throttle.check_read(tables.of(index).1, None) {
        Ok(()) => Ok(CancellationReason::NONE),
        Err(error) => CancellationReason::of(error),
    };
    let reasons = (0..gets).map(reason).collect::<Result<Vec<_>, _>>()?;
    if reasons.iter().all(|reason| *reason == CancellationReason::NONE) {
        Ok(())
    } else {
        Err(ApiError::cancelled(reasons))
    }
}

fn rows(tables: &TableSet, gets: &[TransactGet]) -> Result<Vec<Key>, ApiError> {
    let mut rows = Vec::with_capacity(gets.len());
    let mut reasons = vec![CancellationReason::NONE; gets.len()];
    let mut seen = HashSet::with_capacity(gets.len());
    for (index, get) in gets.iter().enumerate() {
        let (_, table) = tables.of(index);
        check_projection(&get.projection, table)?;
        match ItemPlace::find(table, &get.key, false) {
            Ok(place) => rows.push(place.row),
            Err(error @ KeyError::Empty { .. }) => return Err(key_map_error(error)),
            Err(error) => reasons[index] = CancellationReason::of(key_map_error(error))?,
        }
    }
    if !rows.iter().all(|row| seen.insert(row)) {
        return Err(ApiError::validation("Transaction request cannot include multiple operations on one item"));
    }
    if rows.len() < gets.len() { Err(ApiError::cancelled(reasons)) } else { Ok(rows) }
}

fn show(projection: &ItemProjection, value: Option<Bytes>) -> Result<ItemResponse, ApiError> {
    let item = value.map(|value| project(projection, value)).transpose()?;
    // What was asked for is not there: as if there were no item.
    let nothing = |item: &AnsweredItem| matches!(item, AnsweredItem::Made(item) if item.is_empty());
    Ok(ItemResponse { item: item.filter(|item| !nothing(item)) })
}
