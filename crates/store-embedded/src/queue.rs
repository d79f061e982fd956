//! The queue of commits: where each gets its place in the order of all.
//!
//! Invariants: ticket and number are given out under the queue's lock, and the log takes the commits in that order, so that
//! both count the same; `shards` are those behind the last queued commit, and what a commit does to shards is decided
//! here; the values that a commit leaves are in the overlay before it can be taken.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tailrace_core::{EpochMs, Lsn, limits};
use tailrace_store::shards::{Resolved, ResolvedWrite, ShardChange, ShardTable};
use tailrace_store::{CommitReceipt, NewImage, RecordId, RecordIds, RecordNo, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::log::{LoggedImage, LoggedWrite, Reservation, value_of};
use crate::overlay::Overlay;
use crate::tree::Change;

/// A commit's place in the queue: one for each commit, from 1 on at every start.
pub(crate) type Ticket = u64;

/// A commit's answer.
pub(crate) type Reply = Result<CommitReceipt, StoreError>;

/// Commits that are decided and not yet taken by the committer.
pub(crate) struct CommitQueue {
    tip: Mutex<Tip>,
    filled: Condvar,
    /// Room for commits in flight, in units of [`limits::COMMIT_QUEUE_UNIT_BYTES`].
    pub room: Arc<Semaphore>,
}

/// The queue's end: what the next commit comes behind.
pub(crate) struct Tip {
    entries: VecDeque<Entry>,
    /// The last ticket that was given out.
    pub ticket: Ticket,
    /// The number of the next commit.
    pub next: Lsn,
    /// The time of the last one.
    pub last_ms: EpochMs,
    /// Shards as they are behind the last one.
    pub shards: ShardTable,
    /// When the ids of commits that are too old to be remembered were last looked for.
    pub ids_swept_ms: EpochMs,
    pub closed: bool,
}

/// Room in the queue and in the log that a commit holds until it is published.
pub(crate) struct Room {
    pub permit: OwnedSemaphorePermit,
    pub reservation: Reservation,
    pub bytes: usize,
}

/// A commit in flight: everything about it is decided.
pub(crate) struct Entry {
    pub ticket: Ticket,
    /// Its first number.
    pub lsn: Lsn,
    pub time_ms: EpochMs,
    pub writes: Vec<LoggedWrite>,
    pub changes: Vec<ShardChange>,
    pub records: RecordIds,
    pub room: Room,
    pub reply: oneshot::Sender<Reply>,
}

impl CommitQueue {
    pub fn new(next: Lsn, last_ms: EpochMs, shards: ShardTable) -> CommitQueue {
        let entries = VecDeque::new();
        let tip = Tip { entries, ticket: 0, next, last_ms, shards, ids_swept_ms: last_ms, closed: false };
        let room = Arc::new(Semaphore::new(limits::COMMIT_QUEUE_UNITS_MAX as usize));
        CommitQueue { tip: Mutex::new(tip), filled: Condvar::new(), room }
    }

    /// The queue's end, which stays where it is as long as this is held.
    pub fn tip(&self) -> MutexGuard<'_, Tip> {
        self.tip.lock()
    }

    /// Puts a commit, which is resolved behind all that is queued, at the end.
    pub fn push(
        &self,
        tip: &mut Tip,
        overlay: &Overlay,
        time_ms: EpochMs,
        resolved: Resolved,
        room: Room,
    ) -> oneshot::Receiver<Reply> {
        tip.ticket += 1;
        tip.last_ms = time_ms;
        let (ticket, lsn) = (tip.ticket, tip.next);
        tip.next = Lsn(lsn.0 + resolved.records.max(1));
        let changes = resolved.changes;
        let writes = logged(resolved.writes);
        for (key, value) in (0..writes.len()).filter_map(|index| change(&writes, index)) {
            overlay.put(key, value, ticket);
        }
        let records = records(&writes, lsn);
        let (reply, answer) = oneshot::channel();
        tip.entries.push_back(Entry { ticket, lsn, time_ms, writes, changes, records, room, reply });
        if tip.entries.len() == 1 {
            self.filled.notify_one();
        }
        answer
    }

    /// Takes the commits that are to be synced together, and waits for one if there is none. `None`: `stopped` says so, or
    /// the queue is closed and empty.
    pub fn take_group(&self, stopped: impl Fn() -> bool) -> Option<Vec<Entry>> {
        let mut tip = self.tip.lock();
        while tip.entries.is_empty() && !tip.closed && !stopped() {
            self.filled.wait(&mut tip);
        }
        if tip.entries.is_empty() || stopped() {
            return None;
        }
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.room.bytes;
            bytes <= limits::GROUP_BYTES_MAX
        };
        let count = tip.entries.iter().take(limits::GROUP_COMMITS_MAX).take_while(fits).count();
        Some(tip.entries.drain(..count.max(1)).collect())
    }

    /// Takes no more commits; what is queued is still to be taken.
    pub fn close(&self) {
        self.tip.lock().closed = true;
        self.filled.notify_all();
    }

    /// Answers all that is queued with `error`, and takes no more.
    pub fn abandon(&self, error: &StoreError) {
        let mut tip = self.tip.lock();
        tip.closed = true;
        for entry in tip.entries.drain(..) {
            let _gone = entry.reply.send(Err(error.clone()));
        }
        drop(tip);
        self.filled.notify_all();
    }
}

fn logged(writes: Vec<ResolvedWrite>) -> Vec<LoggedWrite> {
    let one = |write| match write {
        ResolvedWrite::Put { key, value, same_as: None } => LoggedWrite::Put { key: key.0, value },
        ResolvedWrite::Put { key, same_as: Some(write), .. } => {
            LoggedWrite::PutOfWrite { key: key.0, write: write as u32, prefix: Bytes::new(), suffix: Bytes::new() }
        }
        ResolvedWrite::Delete { key } => LoggedWrite::Delete { key: key.0 },
        ResolvedWrite::Count { set, by } => LoggedWrite::Count { set, by },
        ResolvedWrite::Append { shard, meta, old, new } => {
            let new = match new {
                NewImage::None => LoggedImage::None,
                NewImage::OfWrite(index) => LoggedImage::OfWrite(index as u32),
            };
            LoggedWrite::Append { shard, meta, old, new }
        }
    };
    writes.into_iter().map(one).collect()
}

/// The key that the write at `index` sets, and its value.
pub(crate) fn change(writes: &[LoggedWrite], index: usize) -> Option<Change> {
    match &writes[index] {
        LoggedWrite::Put { key, value } => Some((key.clone(), Some(value.clone()))),
        LoggedWrite::PutOfWrite { key, .. } => Some((key.clone(), value_of(writes, index))),
        LoggedWrite::Delete { key } => Some((key.clone(), None)),
        _ => None,
    }
}

fn records(writes: &[LoggedWrite], first: Lsn) -> RecordIds {
    let mut records = RecordIds::None;
    let shards = writes.iter().filter_map(|write| match write {
        LoggedWrite::Append { shard, .. } => Some(*shard),
        _ => None,
    });
    for (shard, number) in shards.zip(first.0..) {
        records.push(RecordId { shard, number: RecordNo(number) });
    }
    records
}

/// The key that a write sets or removes.
pub(crate) fn key_of(write: &LoggedWrite) -> Option<&Bytes> {
    match write {
        LoggedWrite::Put { key, .. } | LoggedWrite::PutOfWrite { key, .. } | LoggedWrite::Delete { key } => Some(key),
        _ => None,
    }
}
