//! What changes of items come to: writes, stream records and answers. Pure.
//!
//! It composes: any number of changes of different items of any tables are planned together, and either all of them are
//! done or none is. A transaction is n changes; a delete by time to live is a change by the service; whatever follows from
//! an item's old and new form (its stream record; later the entries of indexes) is made here.
//!
//! Invariants: a change that leaves the stored bytes as they are writes nothing and emits nothing; a plan with a refused
//! change writes nothing. Two changes of one item are refused before they come here.

use bytes::Bytes;
use tailrace_core::codec::{encode_stored, stored_size};
use tailrace_core::expr::{Condition, Update};
use tailrace_core::limits::ITEM_BYTES_MAX;
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, ErrorCode, Item};
use tailrace_store::Write;

use super::capacity::write_units;
use super::place::ItemPlace;
use super::stored_item::decode;
use crate::Caller;
use crate::streams::record_meta;
use crate::table::Table;

/// One change of one item.
pub(crate) struct Change<'a> {
    /// The item's table, by its index in the tables of the plan.
    pub table: usize,
    /// Where the item is.
    pub place: ItemPlace,
    /// The item that is put, or the key of the one that is changed: what the stream's record takes the key from.
    pub attributes: &'a Item,
    /// What is done.
    pub action: Action<'a>,
    /// What must hold of the item that is there.
    pub condition: Option<&'a Condition>,
    /// A condition that does not hold brings the item.
    pub return_item_on_failure: bool,
}

/// What is done to an item.
pub(crate) enum Action<'a> {
    /// It becomes this stored item.
    Put(Bytes),
    /// It is updated; `None`: it is made of its key, or stays.
    Update(Option<&'a Update>),
    /// It is removed.
    Delete,
}

/// A change that is made, or had nothing to do: the stored item before and after.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub old: Option<Bytes>,
    pub new: Option<Bytes>,
}

/// What changes come to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The writes of the commit; none if a change was refused.
    pub writes: Vec<Write>,
    /// What became of each change, in their order.
    pub answers: Vec<Result<Written, ApiError>>,
}

/// Plans changes. `tables`: those of the changes, as the commit sees them; `olds`: the stored items at the changes' places.
pub(crate) fn plan<'t>(
    table: impl Fn(usize) -> &'t Table,
    changes: &[Change<'_>],
    olds: &[Option<Bytes>],
    caller: &Caller<'_>,
) -> Plan {
    debug_assert_eq!(changes.len(), olds.len(), "every change has the item that it finds");
    let mut plan = Plan { writes: Vec::with_capacity(2 * changes.len()), answers: Vec::with_capacity(changes.len()) };
    for (change, old) in changes.iter().zip(olds) {
        let answer = change.outcome(old.as_ref()).map(|new| {
            let written = Written { old: old.clone(), new };
            plan.writes_of(table(change.table), change, &written, caller);
            written
        });
        plan.answers.push(answer);
    }
    if plan.answers.iter().any(Result::is_err) {
        plan.writes.clear();
    }
    plan
}

impl Plan {
    /// The writes of one change.
    fn writes_of(&mut self, table: &Table, change: &Change<'_>, written: &Written, caller: &Caller<'_>) {
        if written.old == written.new {
            return;
        }
        let key = change.place.row.clone();
        let put = written.new.is_some().then_some(self.writes.len());
        self.writes.push(match &written.new {
            Some(value) => Write::Put { key, value: value.clone() },
            None => Write::Delete { key },
        });
        if table.stream.is_some() {
            let keys = Bytes::from(encode_stored(&table.key.key_of(change.attributes)));
            let (bucket, old) = (change.place.bucket, written.old.clone());
            self.writes.extend(record_meta::append(table, bucket, keys, old, put, caller.is_service()));
        }
    }
}

impl Change<'_> {
    /// The stored item after the change.
    fn outcome(&self, old: Option<&Bytes>) -> Result<Option<Bytes>, ApiError> {
        self.check_condition(old)?;
        match &self.action {
            Action::Put(new) => Ok(Some(new.clone())),
            Action::Update(update) => updated(self.attributes, *update, old),
            Action::Delete => Ok(None),
        }
    }

    /// Holds the condition against the stored item.
    fn check_condition(&self, old: Option<&Bytes>) -> Result<(), ApiError> {
        let Some(condition) = self.condition else { return Ok(()) };
        let item = old.map(|old| decode(old)).transpose()?;
        let absent = Item::new();
        if condition.matches(item.as_ref().unwrap_or(&absent)) {
            return Ok(());
        }
        Err(ApiError {
            item: item.filter(|_| self.return_item_on_failure).map(Box::new),
            ..ApiError::new(ErrorCode::ConditionalCheckFailedException, "The conditional request failed")
        })
    }
}

/// The stored item after an update.
fn updated(key: &Item, update: Option<&Update>, old: Option<&Bytes>) -> Result<Option<Bytes>, ApiError> {
    let Some(update) = update else {
        return Ok(Some(old.cloned().unwrap_or_else(|| encode_stored(key).into())));
    };
    let before = old.map(|old| decode(old)).transpose()?;
    let after = update.apply(before.as_ref().unwrap_or(key)).map_err(|e| e.into_api(false))?;
    // Removing from an item that does not exist makes none. Source: docs/spec/streams.md 9.
    if before.is_none() && after == *key {
        return Ok(None);
    }
    if item_size(&after) > ITEM_BYTES_MAX {
        return Err(ApiError::validation("Item size to update has exceeded the maximum allowed size"));
    }
    Ok(Some(encode_stored(&after).into()))
}

impl Written {
    /// What the write is charged.
    pub fn units(&self) -> f64 {
        let size = |image: &Option<Bytes>| image.as_ref().map_or(0, |image| stored_size(image));
        write_units(size(&self.old), size(&self.new))
    }
}
