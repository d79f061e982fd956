//! The commit of changes of items: the one place where items are written.
//!
//! Invariants: the items, their stream records and nothing else are one commit; each table is the one that its changes were
//! made for, and still exists at the commit; its stream is that of the moment of the commit, not of the request.

use std::borrow::Cow;
use std::sync::Arc;

use tailrace_core::ApiError;
use tailrace_store::{Decision, Key, commit};

use super::plan::{Change, Written, plan};
use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::store_failure;

/// Commits changes: all of them, or none. `tables`: those of the changes, as they were last seen.
///
/// The answers are what became of each change, in their order.
///
/// # Errors
/// ResourceNotFoundException if a table is gone, or the store's failure: nothing was decided.
pub(crate) async fn commit_changes(
    db: &Db,
    tables: &[Arc<StoredTable>],
    changes: &[Change<'_>],
    caller: &Caller<'_>,
) -> Result<Vec<Result<Written, ApiError>>, ApiError> {
    let shared = keys(tables, |table| &table.row_key);
    let exclusive = keys(changes, |change| &change.place.row);
    let committed = commit(db.store().as_ref(), &shared, &exclusive, |reads| {
        let confirmed: Result<Vec<_>, _> =
            tables.iter().zip(reads.shared).map(|(table, row)| db.confirm(table, row.as_ref())).collect();
        let now = match confirmed {
            Ok(now) => now,
            Err(error) => return Decision::Reject(Err(error)),
        };
        let plan = plan(|table| now[table].as_ref(), changes, reads.exclusive, caller);
        if plan.writes.is_empty() {
            Decision::Reject(Ok(plan.answers))
        } else {
            Decision::Apply(plan.writes, Ok(plan.answers))
        }
    })
    .await;
    committed.map_err(|e| store_failure(&e))?.answer
}

/// Commits one change. The inner error is what became of it: the change was refused.
///
/// # Errors
/// As for [`commit_changes`].
pub(crate) async fn commit_change(
    db: &Db,
    table: &Arc<StoredTable>,
    change: Change<'_>,
    caller: &Caller<'_>,
) -> Result<Result<Written, ApiError>, ApiError> {
    let mut answers = commit_changes(db, std::slice::from_ref(table), std::slice::from_ref(&change), caller).await?;
    Ok(answers.pop().expect("invariant: a change has an answer"))
}

/// The keys of one thing need no list of their own.
fn keys<T>(things: &[T], key: impl Fn(&T) -> &Key) -> Cow<'_, [Key]> {
    match things {
        [thing] => Cow::Borrowed(std::slice::from_ref(key(thing))),
        things => Cow::Owned(things.iter().map(|thing| key(thing).clone()).collect()),
    }
}
