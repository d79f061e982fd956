//! DeleteItem. Source: spec/dynamodb-api.md 2.5, 4.8.

use tailrace_core::ApiError;

use super::Request;
use super::item_write::{WriteKey, write_item};
use super::stored_json::AnsweredItem;
use super::words::{Words, key_map_error};
use super::write_request::{ReturnValues, WriteKind, WriteOutput, WriteRequest};
use crate::db::Db;

/// Runs DeleteItem.
pub(crate) async fn delete_item(db: &Db, mut request: Request<'_>) -> Result<WriteOutput, ApiError> {
    let words = Words::of_write(db.settings().wording);
    let name = request.table_name(db)?;
    let write = WriteRequest::read(WriteKind::Delete, &mut request.body, words)?;
    let table = db.table(&name).await?;
    let schema = &table.key;
    let key = WriteKey::of_key(schema, &write.attributes).map_err(key_map_error)?;
    write.check_condition_paths(schema)?;
    let written = write_item(db, &table, &key, &mut |old| {
        write.check_condition(old)?;
        Ok(None)
    })
    .await?;
    Ok(WriteOutput {
        consumed_capacity: write.capacity.answer(&table.name, written.units()),
        attributes: written.old.filter(|_| write.return_values == ReturnValues::AllOld).map(AnsweredItem::Stored),
    })
}
