//! DeleteItem. Source: docs/spec/dynamodb-api.md 2.5, 4.8.

use tailrace_core::ApiError;

use super::Request;
use super::item_write::{WriteKey, Written, write_item};
use super::stored_json::AnsweredItem;
use super::words::{Words, key_map_error};
use super::write_request::{ReturnValues, WriteKind, WriteOutput, WriteRequest};
use crate::db::Db;
use crate::table::Table;

/// Runs DeleteItem.
pub(crate) async fn delete_item(db: &Db, mut request: Request<'_>) -> Result<WriteOutput, ApiError> {
    let words = Words::of_write(db.settings().wording);
    let name = request.table_name(db)?;
    let write = WriteRequest::read(WriteKind::Delete, &mut request.body, words)?;
    let mut table = db.likely_table(&name).await?;
    let written = loop {
        match delete(db, &table, &write).await {
            Ok(written) => break written,
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    };
    Ok(WriteOutput {
        consumed_capacity: write.capacity.answer(&table.name, written.units()),
        attributes: written.old.filter(|_| write.return_values == ReturnValues::AllOld).map(AnsweredItem::Stored),
    })
}

async fn delete(db: &Db, table: &Table, write: &WriteRequest) -> Result<Written, ApiError> {
    let key = WriteKey::of_key(&table.key, &write.attributes).map_err(key_map_error)?;
    write.check_condition_paths(&table.key)?;
    write_item(db, table, &key, &mut |old| {
        write.check_condition(old)?;
        Ok(None)
    })
    .await
}
