//! GetItem. Source: docs/spec/dynamodb-api.md 2.5.
//!
//! The cheapest of the operations: one read of the store for the descriptor and the item together, nothing decoded that is
//! answered whole.

use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::codec::stored_size;
use tailrace_core::{ApiError, Item, Json};
use tailrace_store::Key;
use tailrace_store::keyspace::ItemKey;

use super::Request;
use super::consumed_capacity::{CapacityDetail, ConsumedCapacity, read_units};
use super::expression_parameters::{ExpressionMaps, Parameters};
use super::shown::Shown;
use super::stored_json::AnsweredItem;
use super::words::{Words, key_map_error};
use crate::db::Db;
use crate::failure::store_failure;
use crate::table::Table;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetItemOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<AnsweredItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

/// What a read of items by key can have an expression in.
pub(crate) static PROJECTION_ONLY: Parameters = Parameters {
    legacy: &["AttributesToGet"],
    expressions: &["ProjectionExpression"],
    with_values: &[],
    values_need: [""; 2],
};

/// Runs GetItem.
pub(crate) async fn get_item(db: &Db, mut request: Request<'_>) -> Result<GetItemOutput, ApiError> {
    let words = Words::of_read(db.settings().wording);
    let name = request.table_name(db)?;
    let capacity = CapacityDetail::of(&request.body);
    let consistent = request.boolean("ConsistentRead").unwrap_or(false);
    let key = request.body.take("Key").unwrap_or(Json::Null);
    let maps = ExpressionMaps::take(&mut request.body);
    let body = &request.body;
    let checks = || {
        PROJECTION_ONLY.check_mixing(body, words)?;
        PROJECTION_ONLY.check_maps(body, &maps, words)
    };
    let key = if words.is_current() {
        let key = read_item(key).map_err(|e| words.value(e))?;
        checks()?;
        key
    } else {
        checks()?;
        read_item(key).map_err(|e| words.value(e))?
    };
    let mut placeholders = maps.into_placeholders(words)?;
    let shown = Shown::read(body, &mut placeholders, words)?;
    placeholders.finish().map_err(|e| words.expression(e))?;

    let mut table = db.likely_table(&name).await?;
    let value = loop {
        match read(db, &table, &key, &shown).await {
            Ok(value) => break value,
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    };
    let units = read_units(value.as_ref().map_or(0, |value| stored_size(value)), consistent);
    Ok(GetItemOutput {
        item: value.map(|value| shown.of_stored(value)).transpose()?,
        consumed_capacity: capacity.answer(&name, units),
    })
}

/// The stored item. The descriptor is confirmed in the same read.
async fn read(db: &Db, table: &Table, key: &Item, shown: &Shown) -> Result<Option<bytes::Bytes>, ApiError> {
    let keys = [Db::table_key(&table.name), item_key(table, key)?];
    shown.check_key_paths(&table.key)?;
    let mut values = db.store().get(&keys).await.map_err(|e| store_failure(&e))?;
    let (item, descriptor) = (values.pop().flatten(), values.pop().flatten());
    let gone = || ApiError::not_found("Requested resource not found");
    let now = db.read_table(&table.name, &descriptor.ok_or_else(gone)?)?;
    if now.id == table.id { Ok(item) } else { Err(gone()) }
}

/// The key of the item that a `Key` means.
pub(crate) fn item_key(table: &Table, key: &Item) -> Result<Key, ApiError> {
    let bytes = table.key.bytes_of_key(key).map_err(key_map_error)?;
    Ok(ItemKey::key(table.id, bytes.hash().bucket, &bytes.partition, &bytes.sort))
}
