//! PutItem. Source: docs/spec/dynamodb-api.md 2.5, 4.8.

use bytes::Bytes;
use tailrace_core::ApiError;
use tailrace_core::codec::encode_stored;

use super::Request;
use super::item_write::{WriteKey, Written, write_item};
use super::stored_json::AnsweredItem;
use super::words::{Words, item_key_error};
use super::write_request::{ReturnValues, WriteKind, WriteOutput, WriteRequest};
use crate::db::Db;
use crate::table::Table;

/// Runs PutItem.
pub(crate) async fn put_item(db: &Db, mut request: Request<'_>) -> Result<WriteOutput, ApiError> {
    let words = Words::of_write(db.settings().wording);
    let name = request.table_name(db)?;
    let write = WriteRequest::read(WriteKind::Put, &mut request.body, words)?;
    let mut table = db.likely_table(&name).await?;
    let written = loop {
        match put(db, &table, &write).await {
            Ok(written) => break written,
            Err(error) => table = db.newer_table(&table).await?.ok_or(error)?,
        }
    };
    Ok(WriteOutput {
        consumed_capacity: write.capacity.answer(&table.name, written.units()),
        attributes: written.old.filter(|_| write.return_values == ReturnValues::AllOld).map(AnsweredItem::Stored),
    })
}

async fn put(db: &Db, table: &Table, write: &WriteRequest) -> Result<Written, ApiError> {
    let schema = &table.key;
    let key = WriteKey::of_item(schema, &write.attributes).map_err(item_key_error)?;
    write.check_condition_paths(schema)?;
    let new = Bytes::from(encode_stored(&write.attributes));
    write_item(db, table, &key, &mut |old| {
        write.check_condition(old)?;
        Ok(Some(new.clone()))
    })
    .await
}
