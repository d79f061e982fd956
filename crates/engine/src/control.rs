//! The control stream: a stream of Tailrace's own, whose records are what was done to tables and to what else stands around the
//! items, by whom. The audit trail is made from it.
//!
//! A record is appended in the commit of the change itself ([`record`]), so there is none without the other. The stream has one shard,
//! so all of it is in one order; it is kept as long as other streams' records are, and delivered like theirs; no operation of the API
//! lists or reads it. It begins with [`Db::open_control`], when there is first somebody to read it, and ends never.
//!
//! A record is an INSERT without images. Its keys, a stored item, are the whole action: texts named [`RESOURCE`], [`ACTION`] and, where
//! there is one, [`BEFORE`] and [`AFTER`], which are JSON documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::codec::encode_stored;
use tailrace_core::{ApiError, AttributeValue, ErrorCode, Item, StreamId};
use tailrace_store::keyspace::{SettingKey, StreamKey, TableKey};
use tailrace_store::{Decision, Key, PageLimit, Write, commit};

use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::streams::descriptor::Stream;
use crate::streams::hidden;
use crate::table::Table;
use crate::tables;

/// Stands for the table's name of the stream; no table can have it.
pub const TABLE: &str = "$control";
/// What the action was done to: `table/Orders`. The partition key of the stream's records.
pub const RESOURCE: &str = "resource";
/// The action: the name of an operation as a rule.
pub const ACTION: &str = "action";
/// What it was done to, before: a JSON document.
pub const BEFORE: &str = "before";
/// The same, after.
pub const AFTER: &str = "after";

/// Tables that are looked at at once.
const TABLES_PER_PAGE: usize = 256;

/// The setting that holds the stream's number.
const SETTING: &str = "control-stream";

/// Something that was done.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// Its name: that of an operation as a rule.
    pub name: &'a str,
    /// What it was done to: `table/Orders`, `mapping/UUID`, `sink/lake`.
    pub resource: &'a str,
    /// The thing before, JSON; `None`: it was not there.
    pub before: Option<&'a [u8]>,
    /// The thing after; `None`: it is there no more.
    pub after: Option<&'a [u8]>,
}

/// The row that says whether there is a control stream: a commit that is to leave a record declares it as shared.
pub fn key() -> Key {
    SettingKey::key(SETTING)
}

/// The write that appends a record, in the commit of what was done. `row`: what the commit read of [`key`]; `None` if there is no
/// control stream.
pub fn record(row: Option<&Bytes>, action: &Action<'_>, caller: &Caller<'_>) -> Option<Write> {
    let stream = stream_id(row?)?;
    let text = |bytes: &[u8]| AttributeValue::S(String::from_utf8_lossy(bytes).into_owned());
    let mut keys = Item::from([
        (RESOURCE.to_owned(), AttributeValue::S(action.resource.to_owned())),
        (ACTION.to_owned(), AttributeValue::S(action.name.to_owned())),
    ]);
    keys.extend(action.before.map(|before| (BEFORE.to_owned(), text(before))));
    keys.extend(action.after.map(|after| (AFTER.to_owned(), text(after))));
    Some(hidden::append(stream, &encode_stored(&keys), caller))
}

/// [`record`] of a change of a table's row or of its settings'.
pub(crate) fn table_record(
    row: Option<&Bytes>,
    (name, table): (&str, &str),
    (before, after): (Option<&Bytes>, Option<&Bytes>),
    caller: &Caller<'_>,
) -> Option<Write> {
    let resource = table_resource(table);
    let (before, after) = (before.map(|row| &row[..]), after.map(|row| &row[..]));
    record(row, &Action { name, resource: &resource, before, after }, caller)
}

fn table_resource(table: &str) -> String {
    format!("table/{table}")
}

fn stream_id(row: &Bytes) -> Option<StreamId> {
    <[u8; 8]>::try_from(&row[..]).ok().map(|id| StreamId(u64::from_be_bytes(id)))
}

impl Db {
    /// Makes the control stream, if there is none.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn open_control(&self) -> Result<Stream, ApiError> {
        let now_ms = self.clock.now();
        let keys = [key(), hidden::counter_key()];
        let opened = commit(self.store.as_ref(), &[], &keys, |reads| {
            if reads.exclusive[0].is_some() {
                return Decision::Reject(true);
            }
            let Some(id) = hidden::next_id(reads.exclusive[1].as_ref()) else { return Decision::Reject(false) };
            let setting = Write::Put { key: keys[0].clone(), value: Bytes::copy_from_slice(&id.0.to_be_bytes()) };
            Decision::Apply(hidden::open(id, TABLE, RESOURCE, now_ms).into_iter().chain([setting]).collect(), true)
        });
        if !opened.await.map_err(|e| store_failure(&e))?.answer {
            return Err(corrupt_row("the counter of streams"));
        }
        self.control_stream().await?.ok_or_else(|| corrupt_row("the control stream"))
    }

    /// The control stream, if there is one.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn control_stream(&self) -> Result<Option<Stream>, ApiError> {
        let rows = self.rows(&[key()]).await?;
        let Some(row) = &rows[0] else { return Ok(None) };
        let id = stream_id(row).ok_or_else(|| corrupt_row("the number of the control stream"))?;
        let rows = self.rows(&[StreamKey { stream: id }.encode()]).await?;
        let stream = rows[0].as_ref().and_then(|row| Stream::decode(row));
        stream.map(Some).ok_or_else(|| corrupt_row("the descriptor of the control stream"))
    }

    /// Appends a record of something whose own commit could not; nothing, if there is no control stream. Such a record is lost if the
    /// process ends between the two: so it comes before what it tells of.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_action(&self, action: &Action<'_>, caller: &Caller<'_>) -> Result<(), ApiError> {
        let shared = [key()];
        let noted =
            commit(self.store.as_ref(), &shared, &[], |reads| match record(reads.shared[0].as_ref(), action, caller) {
                Some(record) => Decision::Apply(vec![record], ()),
                None => Decision::Reject(()),
            });
        noted.await.map(|_| ()).map_err(|e| store_failure(&e))
    }

    /// Lets the records of a table's streams keep who asked for a change, or no more. Both are actions of the control stream, which is
    /// made if there is none. Nothing, if it is so already.
    ///
    /// # Errors
    /// ResourceNotFoundException if there is no such table, or the store's failure.
    pub async fn set_audit(&self, table: &str, audit: bool, caller: &Caller<'_>) -> Result<(), ApiError> {
        self.open_control().await?;
        loop {
            let old = tables::stored(self, table).await?;
            if old.audit == audit {
                return Ok(());
            }
            if self.store_audit(&old, audit, caller).await? {
                return Ok(());
            }
        }
    }

    /// [`Self::set_audit`] of every table: on for those that are named, off for all others. Without names, and as long as none was ever
    /// named, it is a look at the tables.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn settle_audit(&self, audited: &BTreeSet<String>, caller: &Caller<'_>) -> Result<(), ApiError> {
        // A table that is made from here on has it from its first write on.
        self.audited.write().clone_from(audited);
        let mut range = TableKey::range();
        loop {
            let limit = PageLimit { rows_max: TABLES_PER_PAGE, cost_max: usize::MAX, cost: |_, _| 0 };
            let page = self.store.page(range.clone(), limit).await.map_err(|e| store_failure(&e))?;
            for (key, row) in &page.rows {
                let Some(TableKey { name }) = TableKey::decode(key) else { continue };
                // What cannot be read is told of by whoever wants to use it.
                let Ok(table) = self.read_table(&name, row) else { continue };
                let wanted = audited.contains(&name);
                if table.audit != wanted {
                    match self.set_audit(&name, wanted, caller).await {
                        // It is gone since.
                        Err(error) if error.code == ErrorCode::ResourceNotFoundException => {}
                        set => set?,
                    }
                }
            }
            match page.rows.last().filter(|_| page.limited) {
                Some((last, _)) => range = range.after(last),
                None => return Ok(()),
            }
        }
    }

    /// False: the table has changed since it was read.
    async fn store_audit(&self, old: &Arc<StoredTable>, audit: bool, caller: &Caller<'_>) -> Result<bool, ApiError> {
        let mut new = Table::clone(old);
        new.audit = audit;
        let name = if audit { "StartAudit" } else { "StopAudit" };
        let (shared, row_key) = ([key()], std::slice::from_ref(&old.row_key));
        let stored = commit(self.store.as_ref(), &shared, row_key, |reads| {
            if reads.exclusive[0].as_ref() != Some(&old.row) {
                return Decision::Reject(false);
            }
            let value = new.encode_over(&old.row);
            let of = (name, &*old.name);
            let record = table_record(reads.shared[0].as_ref(), of, (Some(&old.row), Some(&value)), caller);
            let put = Write::Put { key: old.row_key.clone(), value };
            Decision::Apply([put].into_iter().chain(record).collect(), true)
        });
        Ok(stored.await.map_err(|e| store_failure(&e))?.answer)
    }
}
