//! The commit of one item: read, condition, new item, stream record. Shared by every operation that writes.
//!
//! Invariants: the item, its stream record and nothing else are one commit; a write that leaves the stored bytes as they
//! are writes nothing and emits nothing; the table is the one that the key was made for, and still exists at the commit.

use bytes::Bytes;
use tailrace_core::codec::{encode_stored, stored_size};
use tailrace_core::expr::Condition;
use tailrace_core::key::{KeyBytes, KeyError};
use tailrace_core::{ApiError, ErrorCode, Item, KeySchema};
use tailrace_store::keyspace::ItemKey;
use tailrace_store::{Decision, Write, commit};

use super::consumed_capacity::write_units;
use super::stored_json::decode;
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::record_meta;
use crate::table::Table;

/// What the item is to become. It sees the stored item before, and is run again if the commit is.
pub(crate) type Change<'a> = dyn FnMut(Option<&Bytes>) -> Result<Option<Bytes>, ApiError> + Send + 'a;

/// A key, ready for a commit.
pub(crate) struct WriteKey {
    bytes: KeyBytes,
    /// The key attributes as a stored item: what the stream's record tells.
    stored: Bytes,
}

/// A write that was made, or had nothing to change.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub old: Option<Bytes>,
    pub new: Option<Bytes>,
}

impl WriteKey {
    /// The key of an item that has more attributes.
    pub fn of_item(schema: &KeySchema, item: &Item) -> Result<WriteKey, KeyError> {
        let bytes = schema.bytes_of_item(item)?;
        Ok(WriteKey { bytes, stored: encode_stored(&schema.key_of(item)).into() })
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &KeyBytes {
        &self.bytes
    }

    /// A key that is given alone.
    pub fn of_key(schema: &KeySchema, key: &Item) -> Result<WriteKey, KeyError> {
        let bytes = schema.bytes_of_key(key)?;
        Ok(WriteKey { bytes, stored: encode_stored(key).into() })
    }
}

impl Written {
    /// What the write is charged.
    pub fn units(&self) -> f64 {
        let size = |image: &Option<Bytes>| image.as_ref().map_or(0, |image| stored_size(image));
        write_units(size(&self.old), size(&self.new))
    }
}

/// Commits a change of the item at `key` of `table`.
///
/// # Errors
/// What the change answers, ResourceNotFoundException if the table is gone, or the store's failure.
pub(crate) async fn write_item(
    db: &Db,
    table: &Table,
    key: &WriteKey,
    change: &mut Change<'_>,
) -> Result<Written, ApiError> {
    let bucket = key.bytes.hash().bucket;
    let item_key = ItemKey::key(table.id, bucket, &key.bytes.partition, &key.bytes.sort);
    let shared = [Db::table_key(&table.name)];
    let exclusive = [item_key.clone()];
    let committed = commit(db.store().as_ref(), &shared, &exclusive, |reads| {
        // The stream of the table as it is now: it may have been switched since the request was read.
        let now = match &reads.shared[0] {
            Some(descriptor) => db.read_table(&table.name, descriptor),
            None => Err(ApiError::not_found("Requested resource not found")),
        };
        let now = match now {
            Ok(now) if now.id == table.id => now,
            // The table was deleted and made anew: the item's table is gone.
            Ok(_) => return Decision::Reject(Err(ApiError::not_found("Requested resource not found"))),
            Err(error) => return Decision::Reject(Err(error)),
        };
        let old = reads.exclusive[0].clone();
        let new = match change(old.as_ref()) {
            Ok(new) => new,
            Err(error) => return Decision::Reject(Err(error)),
        };
        let written = Written { old: old.clone(), new: new.clone() };
        if old == new {
            return Decision::Reject(Ok(written));
        }
        let put = new.is_some().then_some(0);
        let mut writes = vec![match new {
            Some(value) => Write::Put { key: item_key.clone(), value },
            None => Write::Delete { key: item_key.clone() },
        }];
        writes.extend(record_meta::append(&now, bucket, key.stored.clone(), old, put, false));
        Decision::Apply(writes, Ok(written))
    })
    .await;
    committed.map_err(|e| store_failure(&e))?.answer
}

/// Holds a condition against the stored item; `tell`: a failure brings the item.
///
/// # Errors
/// ConditionalCheckFailedException.
pub(crate) fn check_condition(condition: Option<&Condition>, old: Option<&Bytes>, tell: bool) -> Result<(), ApiError> {
    let Some(condition) = condition else { return Ok(()) };
    let item = old.map(|old| decode(old)).transpose()?;
    let absent = Item::new();
    if condition.matches(item.as_ref().unwrap_or(&absent)) {
        return Ok(());
    }
    Err(ApiError {
        item: item.filter(|_| tell).map(Box::new),
        ..ApiError::new(ErrorCode::ConditionalCheckFailedException, "The conditional request failed")
    })
}
