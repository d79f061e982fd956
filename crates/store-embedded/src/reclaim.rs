//! Removing the rows of a range that nothing can reach any more: a deleted table's items, and the ids of commits that are
//! remembered no more.
//!
//! The range is written down (`ReclaimKey`) before anything is removed and forgotten after its last row is gone, so a
//! crash resumes. Whole table files go at once; the rows that share a file with others are deleted in small commits.

use std::sync::Arc;

use crate::engine::submit;
use crate::state::EngineState;
use tailrace_core::limits::COMMIT_ID_LIFE;
use tailrace_store::keyspace::{CommitKey, ReclaimKey};
use tailrace_store::{CommitReceipt, CommitRequest, Key, KeyRange, PageLimit, Reads, StoreError, Write};

/// Rows that one commit removes: small enough not to be felt by the commits beside it.
const ROWS_MAX: usize = 512;
/// Bytes of rows that are read for one such commit.
const ROWS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Removes what is written down. No row can come into a range any more, so one pass is enough.
pub(crate) fn run(state: &Arc<EngineState>, stopped: &dyn Fn() -> bool) -> Result<(), StoreError> {
    let waiter = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| StoreError::Io(format!("cannot wait for commits: {error}")))?;
    // This thread is no task: it may wait for a commit here.
    let delete = |keys: Vec<Key>| {
        let writes: Vec<Write> = keys.into_iter().map(|key| Write::Delete { key }).collect();
        let body = Box::new(move |_: &Reads<'_>| Some(writes.clone()));
        waiter.block_on(submit(state, CommitRequest::new(&[], &[], body)))
    };
    let now_ms = state.clock.now().max(state.queue.tip().last_ms);
    let forgotten = CommitKey::older_than(now_ms.minus(COMMIT_ID_LIFE));
    empty(state, forgotten, stopped, &delete)?;
    let listed = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    for (row, end) in state.tree.page(&ReclaimKey::range(), listed)?.rows {
        let Some(key) = ReclaimKey::decode(&row) else { continue };
        state.tree.drop_files(&key.start, &end)?;
        empty(state, key.of_row(end), stopped, &delete)?;
        delete(vec![row])?;
    }
    Ok(())
}

/// Removes the rows of a range, a few at a time.
fn empty(
    state: &EngineState,
    mut range: KeyRange,
    stopped: &dyn Fn() -> bool,
    delete: &dyn Fn(Vec<Key>) -> Result<CommitReceipt, StoreError>,
) -> Result<(), StoreError> {
    let limit = PageLimit { rows_max: ROWS_MAX, cost_max: ROWS_BYTES_MAX, cost: |key, value| key.len() + value.len() };
    loop {
        if stopped() {
            return Err(StoreError::Closed);
        }
        let page = state.tree.page(&range, limit)?;
        let keys: Vec<Key> = page.rows.into_iter().map(|(key, _)| key).collect();
        let Some(last) = keys.last() else { return Ok(()) };
        // Behind the last one that was removed: the page must not step over all the removed ones again.
        range = range.after(last);
        delete(keys)?;
    }
}
