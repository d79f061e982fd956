//! The applier: the thread that makes synced groups visible and answers their commits.
//!
//! Invariants: there is one; a group is visible only after its sync, its shards before its rows, and answered only when it
//! is visible; overlay entries outlive their commit's publication.

use std::collections::HashSet;
use std::sync::mpsc::Receiver;

use tailrace_store::keyspace::ItemSet;
use tailrace_store::{CommitReceipt, StoreError};

use crate::changes::changes;
use crate::committer::Group;
use crate::queue::{Entry, key_of};
use crate::state::EngineState;

/// Runs until the committer has ended.
pub(crate) fn run(state: &EngineState, groups: &Receiver<Group>) {
    let mut unreadable = HashSet::new();
    while let Ok(group) = groups.recv() {
        if let Err(error) = apply(state, group, &mut unreadable) {
            return state.die(&error);
        }
        // The tree may be so far behind that it must catch up first. If it cannot be written, commits are refused instead.
        if state.is_behind() {
            state.chores.wait_while(|| state.is_behind() && !state.stopped());
        }
    }
}

/// # Errors
/// A count that the group changes is in a damaged block. Nothing of the group is visible then, and its commits wait.
fn apply(
    state: &EngineState,
    Group { mut commits, last }: Group,
    unreadable: &mut HashSet<ItemSet>,
) -> Result<(), StoreError> {
    let Some(settled) = commits.last().map(|commit| commit.ticket) else { return Ok(()) };
    let changes = changes(commits.iter().map(|commit| &commit.writes[..]), |key| state.tree.get(key), unreadable)?;
    // Shards before rows: who sees the row of a stream finds its shards.
    let ended = state.published.apply_shards(&commits, &state.log);
    state.tree.apply(changes);
    state.published.advance(last, settled);
    state.published.wake_readers(&commits, &ended);
    let mut written = Vec::with_capacity(commits.len());
    for Entry { records, room, reply, writes, .. } in commits.drain(..) {
        drop(room);
        let _gone = reply.send(Ok(CommitReceipt { wrote: true, records }));
        written.push(writes);
    }
    state.published.answer_settled();
    for key in written.iter().flatten().filter_map(key_of) {
        state.overlay.drop_settled(key, settled);
    }
    if state.tree.seal_if_due(last, false) {
        state.chores.tell(|work| work.sealed = true);
    }
    Ok(())
}
