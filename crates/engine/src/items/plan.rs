//! What changes of items come to: writes, stream records and answers. Pure.
//!
//! It composes: any number of changes of different items of any tables are planned together, and either all of them are
//! done or none is. A transaction is n changes; a delete by time to live is a change by the service; whatever follows from
//! an item's old and new form (its entries in indexes, its stream record) is made here.
//!
//! Invariants: a change that leaves the stored bytes as they are writes nothing and emits nothing; a plan with a refused
//! change writes nothing. Two changes of one item are refused before they come here.

use bytes::Bytes;
use tailrace_core::codec::{encode_stored, stored_size};
use tailrace_core::expr::{Condition, Update};
use tailrace_core::limits::{ITEM_BYTES_MAX, TRANSACTION_COMMIT_BYTES_MAX};
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, EpochMs, ErrorCode, Item};
use tailrace_store::Write;
use tailrace_store::keyspace::ItemSet;

use super::capacity::write_units;
use super::expiry::{self, Due};
use super::idempotency::IdempotencyMark;
use super::index_entries::{Entry, check_index_keys, entry_changes};
use super::index_key_errors::IndexKeySource;
use super::place::ItemPlace;
use super::prepare::Prepared;
use super::stored_item::decode;
use crate::Caller;
use crate::streams::record_meta;
use crate::table::Table;
use crate::tables::counts::Counts;

#[cfg(test)]
mod tests;

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
    /// It stays as it is: only the condition counts.
    Check,
    /// It is removed if it has expired, else it stays.
    Expire(Due),
}

/// A change that is made, or had nothing to do: the stored item before and after. Of a change that was made before, both
/// are the item as it is now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub old: Option<Bytes>,
    pub new: Option<Bytes>,
}

/// What a plan sees of the store.
pub(crate) struct Seen<'a> {
    /// The stored items at the changes' places, in their order; behind them the row of the mark, if there is to be one.
    pub rows: &'a [Option<Bytes>],
    /// What was worked out before, of some of the changes in their order; empty: of none.
    pub prepared: &'a [Option<Prepared>],
    /// The instant of the commit.
    pub now_ms: EpochMs,
}

/// What changes come to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The writes of the commit; of a change that was refused there are none, and then there are none of the others either.
    pub writes: Vec<Write>,
    /// What became of each change, in their order.
    pub answers: Vec<Result<Written, ApiError>>,
    /// The mark says that they were made before, or refused.
    pub made_before: bool,
    /// They come to more than one commit takes: there are neither writes nor answers.
    pub too_large: bool,
}

/// Plans changes. `table`: the tables of the changes by their index, as the commit sees them. `mark`: they are made once.
///
/// # Errors
/// The mark cannot be read, or is that of another request: nothing is decided.
pub(crate) fn plan<'t>(
    table: impl Fn(usize) -> &'t Table,
    changes: &[Change<'_>],
    mark: Option<&IdempotencyMark>,
    seen: &Seen<'_>,
    caller: &Caller<'_>,
) -> Result<Plan, ApiError> {
    let (olds, mark_row) = seen.rows.split_at(changes.len());
    if let Some(mark) = mark
        && let Some(decided) = mark.decided(mark_row[0].as_ref(), seen.now_ms)?
    {
        let now = |old: &Option<Bytes>| Written { old: old.clone(), new: old.clone() };
        let answers = olds.iter().map(|old| decided.clone().map(|()| now(old))).collect();
        return Ok(Plan { answers, made_before: true, ..Plan::default() });
    }
    let mut plan = Plan {
        writes: Vec::with_capacity(3 * changes.len() + 2),
        answers: Vec::with_capacity(changes.len()),
        ..Plan::default()
    };
    let mut counts = Counts::default();
    for (index, (change, old)) in changes.iter().zip(olds).enumerate() {
        let prepared = seen.prepared.get(index).and_then(Option::as_ref);
        let outcome = prepared.and_then(|prepared| prepared.outcome(old.as_ref()));
        let outcome = outcome.unwrap_or_else(|| match &change.action {
            Action::Expire(due) => due.outcome(table(change.table), old.as_ref()),
            _ => change.outcome(old.as_ref()),
        });
        let answer = change.check_index_keys(table(change.table)).and(outcome).and_then(|new| {
            let written = Written { old: old.clone(), new };
            plan.add_writes(table(change.table), change, &written, &mut counts, caller)?;
            Ok(written)
        });
        plan.answers.push(answer);
    }
    let refused = plan.answers.iter().find_map(|answer| answer.as_ref().err());
    match refused {
        Some(_) => plan.writes.clear(),
        None => plan.writes.extend(counts.writes()),
    }
    if changes.len() > 1 && bytes(&plan.writes) > TRANSACTION_COMMIT_BYTES_MAX {
        return Ok(Plan { too_large: true, ..Plan::default() });
    }
    if let [change] = changes
        && bytes(&plan.writes) > TRANSACTION_COMMIT_BYTES_MAX
    {
        plan.writes.clear();
        plan.answers = vec![Err(entries_too_large(table(change.table)))];
        return Ok(plan);
    }
    // Behind the others: a record names a write by its index.
    plan.writes.extend(mark.into_iter().flat_map(|mark| mark.writes(refused)));
    Ok(plan)
}

/// Of a single change: the copies in its indexes are more than one commit takes.
fn entries_too_large(table: &Table) -> ApiError {
    ApiError::validation(format!(
        "The item is too large to be written with its entries in the {} secondary indexes of the table {}",
        table.live_indexes().count(),
        table.name
    ))
}

/// About how many bytes writes take in the log.
pub(super) fn bytes(writes: &[Write]) -> usize {
    let of = |write: &Write| match write {
        Write::Put { key, value } => key.as_bytes().len() + value.len(),
        Write::PutSame { key, .. } | Write::Delete { key } => key.as_bytes().len(),
        Write::Append { meta, old, .. } => meta.len() + old.as_ref().map_or(0, Bytes::len),
        _ => 0,
    };
    writes.iter().map(of).sum()
}

impl Plan {
    /// The writes, if every change is made. `None`: they come to more than one commit takes.
    ///
    /// # Errors
    /// Why the first one of them that is refused is.
    pub fn into_writes(self) -> Result<Option<Vec<Write>>, ApiError> {
        match self.answers.into_iter().find_map(Result::err) {
            Some(error) => Err(error),
            None => Ok((!self.too_large).then_some(self.writes)),
        }
    }

    /// Adds the writes of one change.
    ///
    /// # Errors
    /// An index of the table cannot take the new item.
    fn add_writes(
        &mut self,
        table: &Table,
        change: &Change<'_>,
        written: &Written,
        counts: &mut Counts,
        caller: &Caller<'_>,
    ) -> Result<(), ApiError> {
        if written.old == written.new {
            return Ok(());
        }
        let size = |image: Option<&Bytes>| image.map(|image| stored_size(image));
        counts.note(table.id.into(), size(written.old.as_ref()), size(written.new.as_ref()));
        let key = change.place.row.clone();
        let put = written.new.is_some().then_some(self.writes.len());
        self.writes.push(match &written.new {
            Some(value) => Write::Put { key, value: value.clone() },
            None => Write::Delete { key },
        });
        let entries = entry_changes(table, written.old.as_ref(), written.new.as_ref());
        for entry in entries.map_err(|e| e.into_api(change.index_key_source()))? {
            if entry.index.is_counted() {
                let set = ItemSet { table: table.id, index: entry.index.id };
                let size = |entry: &Option<Entry>| size(entry.as_ref().map(|entry| &entry.value));
                counts.note(set, size(&entry.before), size(&entry.after));
            }
            entry.add_writes(put.zip(written.new.as_ref()), &mut self.writes);
        }
        if table.stream.is_some() || !table.captures.is_empty() {
            let keys = encode_stored(&table.key.key_of(change.attributes));
            let (bucket, old) = (change.place.bucket, written.old.clone());
            let of_captures = (&keys[..], written.old.as_ref(), put);
            self.writes.extend(record_meta::captures(table, bucket, of_captures, caller));
            self.writes.extend(record_meta::append(table, bucket, &keys, old, put, caller));
        }
        let (old, new) = (written.old.as_ref(), written.new.as_ref());
        self.writes.extend(expiry::writes(table, &change.place.row, old, new));
        Ok(())
    }
}

impl Change<'_> {
    /// Whether what comes of it depends on what is in the item.
    pub fn looks_into_the_item(&self) -> bool {
        self.condition.is_some() || matches!(self.action, Action::Update(Some(_)))
    }

    /// What the attributes of the new item come from.
    fn index_key_source(&self) -> IndexKeySource {
        match self.action {
            Action::Update(Some(update)) if update.is_legacy() => IndexKeySource::LegacyUpdate,
            Action::Update(_) => IndexKeySource::Update,
            Action::Put(_) | Action::Delete | Action::Check | Action::Expire(_) => IndexKeySource::Put,
        }
    }

    /// Refuses an item that an index cannot take, if it is to be named before a condition that does not hold; otherwise its
    /// writes tell.
    fn check_index_keys(&self, table: &Table) -> Result<(), ApiError> {
        match (&self.action, self.condition) {
            (Action::Put(new), Some(_)) => {
                check_index_keys(table, new).map_err(|error| error.into_api(IndexKeySource::Put))
            }
            _ => Ok(()),
        }
    }

    /// The stored item after the change.
    pub fn outcome(&self, old: Option<&Bytes>) -> Result<Option<Bytes>, ApiError> {
        self.check_condition(old)?;
        match &self.action {
            Action::Put(new) => Ok(Some(new.clone())),
            Action::Update(update) => updated(self.attributes, *update, old),
            Action::Delete => Ok(None),
            // Whether an item has expired only its table can tell.
            Action::Check | Action::Expire(_) => Ok(old.cloned()),
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
