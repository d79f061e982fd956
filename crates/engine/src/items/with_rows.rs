//! Items that follow from other rows, written in one commit with them: the groups of a view with what the view keeps of them and
//! how far it is. The items are an ordinary table's: what follows from them (entries in indexes, stream records, expiries,
//! counts) is made as for every write, by [`plan`], and nobody is asked whether the table's throughput allows it.
//!
//! What is written is decided by a closure over everything that was declared, as it stands at the commit's place in the order
//! of all commits. Like a commit's body it is pure, may run more than once, and runs under the latches: it should compare what it
//! is shown with what was worked out before, rather than work.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::limits::TRANSACTION_COMMIT_BYTES_MAX;
use tailrace_core::{ApiError, Item};
use tailrace_store::{Decision, Key, Write, commit};

use super::place::ItemPlace;
use super::plan::{Action, Change, Plan, Seen, bytes, plan};
use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::store_failure;
use crate::table::Table;

/// An item that a commit may change, by its key.
#[derive(Clone, Debug)]
pub struct ItemAt {
    place: ItemPlace,
    key: Item,
}

impl ItemAt {
    /// The item of `table` that has this key, and nothing but the key.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn of_key(table: &Table, key: Item) -> Result<ItemAt, ApiError> {
        Ok(ItemAt { place: ItemPlace::of_key(table, &key)?, key })
    }
}

/// What a commit is to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeclaredRows<'a> {
    /// Items that it may change.
    pub items: &'a [ItemAt],
    /// Rows that are no items and must not change under it.
    pub shared: &'a [Key],
    /// Rows that are no items and that it may write. One that is not declared may be written only if one of these owns it.
    pub exclusive: &'a [Key],
}

/// What is there: for each thing that was declared one entry, in the order in which they were declared.
#[derive(Clone, Copy, Debug)]
pub struct SeenRows<'a> {
    /// The stored items.
    pub items: &'a [Option<Bytes>],
    /// Values of the shared rows.
    pub shared: &'a [Option<Bytes>],
    /// Values of the exclusive rows.
    pub exclusive: &'a [Option<Bytes>],
}

/// What is decided.
#[derive(Debug)]
pub enum DecidedRows<T> {
    /// Write this; then answer `T`.
    Write {
        /// Items by their index among the declared ones, each once: the stored item that is to be there, `None` for none.
        items: Vec<(usize, Option<Bytes>)>,
        /// Puts and deletes of rows that are no items.
        rows: Vec<Write>,
        /// The answer.
        answer: T,
    },
    /// Write nothing; answer `T`.
    Nothing(T),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommittedRows<T> {
    /// It is durable.
    Done(T),
    /// It comes to more than one commit takes: nothing was written.
    TooLarge,
}

/// Commits what `decide` answers: all of it, or nothing. `table`: that of the items; none if there are none.
///
/// # Errors
/// ResourceNotFoundException if the table is gone, also if another one has its name; why the table refuses an item (an index that
/// cannot take it); the store's failure. Nothing was written.
pub async fn commit_with_rows<T: Send>(
    db: &Db,
    table: Option<&Arc<StoredTable>>,
    declared: DeclaredRows<'_>,
    mut decide: impl FnMut(&SeenRows<'_>) -> DecidedRows<T> + Send,
) -> Result<CommittedRows<T>, ApiError> {
    debug_assert!(table.is_some() || declared.items.is_empty(), "items without a table");
    let shared: Vec<Key> = table.iter().map(|table| &table.row_key).chain(declared.shared).cloned().collect();
    let items = declared.items.iter().map(|item| &item.place.row);
    let exclusive: Vec<Key> = items.chain(declared.exclusive).cloned().collect();
    let committed = commit(db.store().as_ref(), &shared, &exclusive, |reads| {
        let (descriptor, shared) = reads.shared.split_at(usize::from(table.is_some()));
        let now = match table.map(|table| db.confirm(table, descriptor[0].as_ref())).transpose() {
            Ok(now) => now,
            Err(error) => return Decision::Reject(Err(error)),
        };
        let (items, rows) = reads.exclusive.split_at(declared.items.len());
        let seen = SeenRows { items, shared, exclusive: rows };
        let (changed, rows, answer) = match decide(&seen) {
            DecidedRows::Write { items, rows, answer } => (items, rows, answer),
            DecidedRows::Nothing(answer) => return Decision::Reject(Ok(CommittedRows::Done(answer))),
        };
        let mut writes = Vec::new();
        if let Some(now) = &now {
            let olds: Vec<Option<Bytes>> = changed.iter().map(|(index, _)| items[*index].clone()).collect();
            let changes: Vec<Change<'_>> =
                changed.into_iter().map(|(index, new)| declared.items[index].becomes(new)).collect();
            let seen = Seen { rows: &olds, prepared: &[], now_ms: reads.now_ms };
            let planned = plan(|_| now.as_ref(), &changes, None, &seen, &Caller::default());
            match planned.and_then(Plan::into_writes) {
                Ok(Some(planned)) => writes = planned,
                Ok(None) => return Decision::Reject(Ok(CommittedRows::TooLarge)),
                Err(error) => return Decision::Reject(Err(error)),
            }
        }
        // Behind those of the items: a record names a write by its index.
        writes.extend(rows);
        if bytes(&writes) > TRANSACTION_COMMIT_BYTES_MAX {
            return Decision::Reject(Ok(CommittedRows::TooLarge));
        }
        Decision::Apply(writes, Ok(CommittedRows::Done(answer)))
    });
    committed.await.map_err(|e| store_failure(&e))?.answer
}

impl ItemAt {
    /// The change after which this stored item is there.
    fn becomes(&self, new: Option<Bytes>) -> Change<'_> {
        Change {
            table: 0,
            place: self.place.clone(),
            attributes: &self.key,
            action: new.map_or(Action::Delete, Action::Put),
            condition: None,
            return_item_on_failure: false,
        }
    }
}
