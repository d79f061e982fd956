//! Making a synced group visible, and answering its commits.
//!
//! Invariants: groups are applied one at a time, in the order of the log; a group is visible only after its sync, its shards
//! before its rows, and answered only when it is visible; overlay entries outlive their commit's publication.
//!
//! The committer applies a small group itself: handing it over would cost two switches of threads, more than the work. A
//! large one goes to a thread of its own, the applier, so that the next group's sync does not wait for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use parking_lot::Mutex;
use tailrace_core::limits::APPLIED_BY_THE_COMMITTER_MAX;
use tailrace_store::keyspace::ItemSet;
use tailrace_store::{CommitReceipt, StoreError};

use crate::changes::changes;
use crate::committer::Group;
use crate::queue::{Entry, key_of};
use crate::state::EngineState;

/// The committer's end: applies groups, or hands them over.
pub(crate) struct Hand {
    to_applier: SyncSender<Group>,
    applied: Arc<Applied>,
    /// Groups that were handed over.
    handed: u64,
}

/// The engine ends.
pub(crate) struct Ended;

impl Hand {
    pub fn new(to_applier: SyncSender<Group>, applied: Arc<Applied>) -> Hand {
        Hand { to_applier, applied, handed: 0 }
    }

    /// Has a group applied, behind all that came before it.
    ///
    /// # Errors
    /// The engine ends.
    pub fn apply(&mut self, state: &EngineState, group: Group) -> Result<(), Ended> {
        let small = group.commits.len() <= APPLIED_BY_THE_COMMITTER_MAX;
        if small && self.applied.groups.load(Ordering::Acquire) == self.handed {
            return publish(state, &self.applied, group);
        }
        self.handed += 1;
        self.to_applier.send(group).map_err(|_| Ended)
    }
}

/// What committer and applier share.
#[derive(Default)]
pub(crate) struct Applied {
    /// How many groups the applier has applied.
    groups: AtomicU64,
    /// Counts that cannot be read and were named. Held while a group is applied.
    unreadable: Mutex<HashSet<ItemSet>>,
}

/// The applier: runs until the committer has ended.
pub(crate) fn run(state: &EngineState, groups: &Receiver<Group>, applied: &Applied) {
    while let Ok(group) = groups.recv() {
        state.turn_of("applier");
        if publish(state, applied, group).is_err() {
            return;
        }
        applied.groups.fetch_add(1, Ordering::Release);
    }
}

fn publish(state: &EngineState, applied: &Applied, group: Group) -> Result<(), Ended> {
    if let Err(error) = apply(state, group, &mut applied.unreadable.lock()) {
        state.die(&error);
        return Err(Ended);
    }
    // The tree may be so far behind that it must catch up first. If it cannot be written, commits are refused instead.
    if state.is_behind() {
        state.chores.wait_while(|| state.is_behind() && !state.stopped());
    }
    Ok(())
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
    {
        let _publishing = state.publishing.lock();
        state.tree.apply(changes);
        state.published.advance(last, settled);
    }
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
