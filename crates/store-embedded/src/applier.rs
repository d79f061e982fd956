//! The applier: the thread that makes synced groups visible and answers their commits.
//!
//! Invariants: there is one; a group is visible only after its sync, its shards before its rows, and answered only when it
//! is visible; overlay entries outlive their commit's publication.

use std::collections::HashSet;
use std::sync::mpsc::Receiver;

use tailrace_store::CommitReceipt;

use crate::committer::Group;
use crate::queue::{Entry, change, key_of};
use crate::state::EngineState;
use crate::tree::Change;

/// Runs until the committer has ended.
pub(crate) fn run(state: &EngineState, groups: &Receiver<Group>) {
    while let Ok(group) = groups.recv() {
        apply(state, group);
        // The tree may be so far behind that it must catch up first. If it cannot be written, commits are refused instead.
        if state.is_behind() {
            state.chores.wait_while(|| state.is_behind() && !state.stopped());
        }
    }
}

fn apply(state: &EngineState, Group { mut commits, last }: Group) {
    let Some(settled) = commits.last().map(|commit| commit.ticket) else { return };
    let changes = newest_of_each_key(&commits);
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
}

/// The last version of each key.
fn newest_of_each_key(commits: &[Entry]) -> Vec<Change> {
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(commits.len());
    let mut changes = Vec::with_capacity(commits.len());
    // From the newest to the oldest, so that the first version met of a key is its last one.
    for commit in commits.iter().rev() {
        for (index, write) in commit.writes.iter().enumerate().rev() {
            if key_of(write).is_some_and(|key| seen.insert(key)) {
                changes.extend(change(&commit.writes, index));
            }
        }
    }
    changes
}
