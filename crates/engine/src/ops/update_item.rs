//! UpdateItem. Source: docs/spec/dynamodb-api.md 2.5, 3.4, 4.7, 4.8.

use bytes::Bytes;
use tailrace_core::codec::encode_stored;
use tailrace_core::expr::{Path, Update};
use tailrace_core::limits::ITEM_BYTES_MAX;
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, Item, KeySchema};

use super::Request;
use super::expression_parameters::check_key_paths;
use super::item_write::{WriteKey, Written, write_item};
use super::stored_json::{AnsweredItem, decode};
use super::words::{PARAMETER_VALUES, Words, key_map_error};
use super::write_request::{ReturnValues, WriteKind, WriteOutput, WriteRequest};
use crate::db::Db;
use crate::table::Table;

/// Runs UpdateItem.
pub(crate) async fn update_item(db: &Db, mut request: Request<'_>) -> Result<WriteOutput, ApiError> {
    let words = Words::of_write(db.settings().wording);
    let name = request.table_name(db)?;
    let write = WriteRequest::read(WriteKind::Update, &mut request.body, words)?;
    let mut table = db.likely_table(&name).await?;
    let written = loop {
        match update(db, &table, &write, words).await {
            Ok(written) => break written,
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    };
    Ok(WriteOutput {
        consumed_capacity: write.capacity.answer(&table.name, written.units()),
        attributes: attributes(&write, written)?,
    })
}

async fn update(db: &Db, table: &Table, write: &WriteRequest, words: Words) -> Result<Written, ApiError> {
    let schema = &table.key;
    let key = WriteKey::of_key(schema, &write.attributes).map_err(key_map_error)?;
    if let Some(update) = &write.update {
        check_targets(schema, update)?;
    }
    write.check_condition_paths(schema)?;
    if let Some(update) = &write.update {
        update.check_request_charge().map_err(|e| words.expression(e))?;
    }
    write_item(db, table, &key, &mut |old| {
        write.check_condition(old)?;
        change(write, old)
    })
    .await
}

/// Refuses an update of a key attribute, and a path below one on the right-hand side.
fn check_targets(schema: &KeySchema, update: &Update) -> Result<(), ApiError> {
    let mut paths: Vec<&Path> = Vec::new();
    update.visit_targets(&mut |path| paths.push(path));
    if let Some(path) = paths.iter().find(|path| schema.contains(path.head())) {
        return Err(ApiError::validation(format!(
            "{PARAMETER_VALUES}Cannot update attribute {}. This attribute is part of the key",
            path.head()
        )));
    }
    paths.clear();
    update.visit_read_paths(&mut |path| paths.push(path));
    check_key_paths(schema, paths)
}

/// The stored item after the update.
fn change(write: &WriteRequest, old: Option<&Bytes>) -> Result<Option<Bytes>, ApiError> {
    let Some(update) = &write.update else {
        // Without an update the item is made from its key, or stays.
        return Ok(Some(old.cloned().unwrap_or_else(|| encode_stored(&write.attributes).into())));
    };
    let before = old.map(|old| decode(old)).transpose()?;
    let after = update.apply(before.as_ref().unwrap_or(&write.attributes)).map_err(|e| e.into_api(false))?;
    // Removing from an item that does not exist makes none. Source: docs/spec/streams.md 9.
    if before.is_none() && after == write.attributes {
        return Ok(None);
    }
    if item_size(&after) > ITEM_BYTES_MAX {
        return Err(ApiError::validation("Item size to update has exceeded the maximum allowed size"));
    }
    Ok(Some(encode_stored(&after).into()))
}

/// The member `Attributes` of the answer.
fn attributes(write: &WriteRequest, written: Written) -> Result<Option<AnsweredItem>, ApiError> {
    let touched = |image: Option<Bytes>| -> Result<Option<AnsweredItem>, ApiError> {
        let (Some(image), Some(update)) = (image, &write.update) else { return Ok(None) };
        let touched: Item = update.touched(&decode(&image)?);
        Ok((!touched.is_empty()).then_some(AnsweredItem::Made(touched)))
    };
    match write.return_values {
        ReturnValues::None => Ok(None),
        ReturnValues::AllOld => Ok(written.old.map(AnsweredItem::Stored)),
        ReturnValues::AllNew => Ok(written.new.map(AnsweredItem::Stored)),
        ReturnValues::UpdatedOld => touched(written.old),
        ReturnValues::UpdatedNew => touched(written.new),
    }
}
