//! GetItem: one read of the store for the descriptor and the item together, nothing decoded that is answered whole.
//! Source: docs/spec/dynamodb-api.md 2.5.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, GetItemAnswer, GetItemRequest, ItemProjection};
use tailrace_core::ApiError;
use tailrace_core::codec::stored_size;
use tailrace_core::limits::ANSWER_INLINE_BYTES_MAX;

use crate::Caller;
use crate::aside::aside;
use crate::db::{Db, StoredTable};
use crate::items::capacity::read_units;
use crate::items::place::ItemPlace;
use crate::items::projection::{check_projection, project};
use crate::items::read::read_item;

/// Runs GetItem.
///
/// # Errors
/// What the client is to read.
pub async fn get_item(db: &Db, request: GetItemRequest, _caller: &Caller<'_>) -> Result<GetItemAnswer, ApiError> {
    let mut table = db.likely_table(&request.table_name).await?;
    let value = loop {
        match get(db, &table, &request).await {
            Ok(value) => break value,
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    };
    let units = read_units(value.as_ref().map_or(0, |value| stored_size(value)), request.consistent_read);
    if let Some(throttle) = &db.throttle {
        throttle.take_read(&table, &units.into());
    }
    let consumed_capacity = request.capacity.answer(&request.table_name, units);
    let item = match value {
        Some(value) if matches!(request.projection, ItemProjection::Whole) => Some(AnsweredItem::Stored(value)),
        Some(value) => {
            let projection = request.projection;
            let short = value.len() <= ANSWER_INLINE_BYTES_MAX;
            Some(aside(short, move || project(&projection, value)).await?)
        }
        None => None,
    };
    Ok(GetItemAnswer { item, consumed_capacity })
}

async fn get(db: &Db, table: &Arc<StoredTable>, request: &GetItemRequest) -> Result<Option<Bytes>, ApiError> {
    let place = ItemPlace::of_key(table, &request.key)?;
    check_projection(&request.projection, table)?;
    if let Some(throttle) = &db.throttle {
        throttle.check_read(table, None)?;
    }
    read_item(db, table, place.row).await
}
