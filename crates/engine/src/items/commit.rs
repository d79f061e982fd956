//! The commit of changes of items: the one place where items are written.
//!
//! Invariants: the items, their stream records, the mark and nothing else are one commit; each table is the one that its changes were
//! made for, and still exists at the commit; its stream is that of the moment of the commit, not of the request.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::ApiError;
use tailrace_store::{Decision, Key, Write, commit};

use super::admission::{Metering, admit};
use super::idempotency::IdempotencyMark;
use super::plan::{Change, Plan, Seen, Written, plan};
use super::prepare::{inline_bytes_max, is_long, prepare};
use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::store_failure;

/// Commits changes: all of them, or none. `tables`: those of the changes, as they were last seen. `mark`: they are made once;
/// if they were made before, or refused, that is answered and nothing is done. `metering`: how they are charged where tables are
/// throttled.
///
/// The answers are what became of each change, in their order; of changes that were made before, the items as they are now.
///
/// # Errors
/// ResourceNotFoundException if a table is gone, a mark that is not that of the request, or the store's failure: nothing was
/// decided.
pub(crate) async fn commit_changes(
    db: &Db,
    tables: &[Arc<StoredTable>],
    changes: &[Change<'_>],
    mark: Option<&IdempotencyMark>,
    metering: Metering,
    caller: &Caller<'_>,
) -> Result<Committed, ApiError> {
    let shared = keys(tables, |table| &table.row_key);
    let mut exclusive = keys(changes, |change| &change.place.row);
    if let Some(mark) = mark {
        exclusive.to_mut().push(mark.key());
    }
    let mut prepared = Vec::new();
    let mut turns = None;
    let mut paid = Vec::new();
    let mut rounds_left = PREPARED_ROUNDS_MAX;
    loop {
        let committed = commit(db.store().as_ref(), &shared, &exclusive, |reads| {
            let seen = Seen { rows: reads.exclusive, prepared: &prepared, now_ms: reads.now_ms };
            let now = match confirm(db, tables, reads.shared) {
                Ok(now) => now,
                Err(error) => return Decision::Reject(Err(error)),
            };
            if rounds_left > 0 && takes_long(changes, &seen) {
                return Decision::Reject(Ok(Round::Long(reads.exclusive[..changes.len()].to_vec())));
            }
            #[cfg(test)]
            note_planned(db, changes, &seen);
            match plan(|table| now[table].as_ref(), changes, mark, &seen, caller) {
                Ok(mut plan) => {
                    if let Some(throttle) = &db.throttle {
                        let olds = &reads.exclusive[..changes.len()];
                        admit(throttle, |table| now[table].as_ref(), changes, olds, metering, &mut paid, &mut plan);
                    }
                    let Plan { writes, answers, made_before, too_large } = plan;
                    let decided = Ok(Round::Decided(Committed { answers, made_before, too_large }));
                    if writes.is_empty() { Decision::Reject(decided) } else { Decision::Apply(writes, decided) }
                }
                Err(error) => Decision::Reject(Err(error)),
            }
        })
        .await;
        let committed = committed.map_err(|e| store_failure(&e))?;
        caller.note_written(&committed.receipt.records);
        let olds = match committed.answer? {
            Round::Decided(committed) => {
                #[cfg(test)]
                db.item_commits.fetch_add(usize::from(!committed.too_large), std::sync::atomic::Ordering::Relaxed);
                return Ok(committed);
            }
            Round::Long(olds) => olds,
        };
        rounds_left -= 1;
        if turns.is_none() {
            let (taken, waited) = db.turns.take(changes.iter().map(|change| change.place.bucket)).await;
            turns = Some(taken);
            if waited {
                continue;
            }
        }
        prepared = prepare(changes, olds).await?;
    }
}

/// What became of changes.
pub(crate) struct Committed {
    /// Of each, in their order. One that was refused: none was made.
    pub answers: Vec<Result<Written, ApiError>>,
    /// The mark says that they were made before, or refused: nothing was done now.
    pub made_before: bool,
    /// They come to more than one commit takes: nothing was done, and there are no answers. Never of a single change.
    pub too_large: bool,
}

/// What a run of a commit came to.
enum Round {
    Decided(Committed),
    /// To work them out for these items takes long.
    Long(Vec<Option<Bytes>>),
}

/// So often the changes of large items are worked out again because the items were changed meanwhile; then they are made under
/// the latches, however long that takes.
const PREPARED_ROUNDS_MAX: u32 = 8;

/// Whether a change takes long that was not worked out for the item that is there.
fn takes_long(changes: &[Change<'_>], seen: &Seen<'_>) -> bool {
    let inline_bytes_max = inline_bytes_max(changes, seen.rows);
    changes.iter().zip(seen.rows).enumerate().any(|(index, (change, old))| {
        let prepared = seen.prepared.get(index).and_then(Option::as_ref);
        is_long(change, old.as_ref(), inline_bytes_max)
            && !prepared.is_some_and(|prepared| prepared.is_of(old.as_ref()))
    })
}

/// Commits one change of an item of `table`. The inner error is what became of it: the change was refused.
///
/// # Errors
/// As for [`commit_changes`].
pub(crate) async fn commit_change(
    db: &Db,
    table: &Arc<StoredTable>,
    change: Change<'_>,
    mark: Option<&IdempotencyMark>,
    caller: &Caller<'_>,
) -> Result<Result<Written, ApiError>, ApiError> {
    let (tables, changes) = (std::slice::from_ref(table), std::slice::from_ref(&change));
    // A write that is made once comes from inside, and waits for nobody.
    let metering = if mark.is_none() { Metering::Writes } else { Metering::None };
    let mut committed = commit_changes(db, tables, changes, mark, metering, caller).await?;
    Ok(committed.answers.pop().expect("invariant: a change has an answer"))
}

/// Makes the mark of a whole, whose parts were committed with marks of their own, and removes those.
///
/// # Errors
/// The store's failure.
pub(crate) async fn commit_mark(db: &Db, mark: &IdempotencyMark, parts: usize) -> Result<(), ApiError> {
    let keys: Vec<Key> = std::iter::once(mark.key()).chain((0..parts).map(|part| mark.part(part).key())).collect();
    let committed = commit(db.store().as_ref(), &[], &keys, |_| {
        let parts = keys[1..].iter().map(|key| Write::Delete { key: key.clone() });
        Decision::Apply(mark.writes(None).chain(parts).collect(), ())
    })
    .await;
    committed.map(|_| ()).map_err(|e| store_failure(&e))
}

/// The tables as the commit sees them.
fn confirm<'a>(
    db: &Db,
    tables: &'a [Arc<StoredTable>],
    rows: &[Option<Bytes>],
) -> Result<Cow<'a, [Arc<StoredTable>]>, ApiError> {
    let mut now = Cow::Borrowed(tables);
    for (index, (table, row)) in tables.iter().zip(rows).enumerate() {
        let confirmed = db.confirm(table, row.as_ref())?;
        if !Arc::ptr_eq(&confirmed, table) {
            now.to_mut()[index] = confirmed;
        }
    }
    Ok(now)
}

/// The keys of one thing need no list of their own.
fn keys<T>(things: &[T], key: impl Fn(&T) -> &Key) -> Cow<'_, [Key]> {
    match things {
        [thing] => Cow::Borrowed(std::slice::from_ref(key(thing))),
        things => Cow::Owned(things.iter().map(|thing| key(thing).clone()).collect()),
    }
}

/// Keeps in mind how large the items were that changes are worked out for under the latches.
#[cfg(test)]
fn note_planned(db: &Db, changes: &[Change<'_>], seen: &Seen<'_>) {
    for (index, (change, old)) in changes.iter().zip(seen.rows).enumerate() {
        if change.looks_into_the_item() && seen.prepared.get(index).is_none_or(Option::is_none) {
            let bytes = old.as_ref().map_or(0, Bytes::len);
            db.planned_bytes_max.fetch_max(bytes, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
