//! The committer: the thread that takes what is queued, without a timer, and writes and syncs it as one group.
//!
//! Invariants: there is one; groups are applied in the order of the log. A log that cannot be written or synced ends
//! the process through the fatal hook: what is on the disk is unknown then.

use tailrace_core::Lsn;
use tailrace_store::StoreError;

use crate::applier::Hand;
use crate::queue::Entry;
use crate::state::EngineState;

/// A synced group, and the last number in the log behind it.
pub(crate) struct Group {
    pub commits: Vec<Entry>,
    pub last: Lsn,
}

/// Runs until the queue is closed and empty, or the engine ends.
pub(crate) fn run(state: &EngineState, mut hand: Hand) {
    while let Some(commits) = state.queue.take_group(|| state.stopped()) {
        state.turn_of("committer");
        match write(state, &commits) {
            Ok(last) => {
                if hand.apply(state, Group { commits, last }).is_err() {
                    return;
                }
            }
            Err(error) => {
                for commit in commits {
                    let _gone = commit.reply.send(Err(error.clone()));
                }
                return state.die(&error);
            }
        }
    }
}

/// Writes and syncs the commits as one group, and gives the last number in the log.
fn write(state: &EngineState, commits: &[Entry]) -> Result<Lsn, StoreError> {
    let mut writer = state.log.group();
    for Entry { lsn, time_ms, writes, .. } in commits {
        let given = writer.push(*time_ms, writes)?;
        if given != *lsn {
            return Err(StoreError::Io(format!("the log gave a commit the number {given}, which was promised {lsn}")));
        }
    }
    writer.commit()
}
