//! BatchGetItem. Source: docs/spec/dynamodb-api.md 7.1.

use std::collections::{BTreeMap, HashSet};

use tailrace_api::items::{BatchGetItemAnswer, BatchGetItemRequest, CapacityDetail, KeysAndAttributes};
use tailrace_core::ApiError;
use tailrace_core::codec::stored_size;
use tailrace_core::limits::BATCH_GET_BYTES_MAX;

use crate::Caller;
use crate::db::Db;
use crate::failure::store_failure;
use crate::items::capacity::read_units;
use crate::items::place::ItemPlace;
use crate::items::projection::{check_projection, project};

/// Runs BatchGetItem.
///
/// # Errors
/// What the client is to read.
pub async fn batch_get_item(
    db: &Db,
    request: BatchGetItemRequest,
    _caller: &Caller<'_>,
) -> Result<BatchGetItemAnswer, ApiError> {
    let BatchGetItemRequest { tables, capacity } = request;
    let mut keys = Vec::new();
    let mut seen = HashSet::new();
    for part in &tables {
        let table = db.table(&part.table_name).await?;
        check_projection(&part.projection, &table.key)?;
        for key in &part.sent.keys {
            let row = ItemPlace::of_key(&table, key)?.row;
            if !seen.insert(row.clone()) {
                return Err(ApiError::validation("Provided list of item keys contains duplicates"));
            }
            keys.push(row);
        }
    }
    let values = db.store().get(&keys).await.map_err(|e| store_failure(&e))?;
    let mut values = values.into_iter();
    let mut answer = BatchGetItemAnswer::default();
    let mut charged: BTreeMap<String, f64> = BTreeMap::new();
    let mut bytes_read = 0;
    for mut part in tables {
        let mut units = 0.0;
        let mut left = Vec::new();
        let items = answer.responses.entry(part.table_name.clone()).or_default();
        for (key, value) in std::mem::take(&mut part.sent.keys).into_iter().zip(values.by_ref()) {
            let size = value.as_ref().map_or(0, |value| stored_size(value));
            if bytes_read + size > BATCH_GET_BYTES_MAX {
                left.push(key);
                continue;
            }
            bytes_read += size;
            units += read_units(size, part.sent.consistent_read.unwrap_or(false));
            if let Some(value) = value {
                items.push(project(&part.projection, value)?);
            }
        }
        *charged.entry(part.table_name).or_default() += units;
        if !left.is_empty() {
            answer.unprocessed_keys.insert(part.sent_as, KeysAndAttributes { keys: left, ..part.sent });
        }
    }
    let charged = charged.iter().filter_map(|(table, units)| capacity.answer(table, *units)).collect();
    answer.consumed_capacity = (capacity != CapacityDetail::None).then_some(charged);
    Ok(answer)
}
