//! What is published beside the rows: how far, the shards, and who waits for either.
//!
//! Invariants: only the applier moves it on; a ticket is settled when the number of its commit is published; who waits for
//! a ticket is answered once, when it is settled or the engine has ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tailrace_core::Lsn;
use tailrace_store::shards::{ShardChange, ShardTable};
use tailrace_store::{RecordNo, ShardNo, StoreError};
use tokio::sync::{Notify, oneshot};

use crate::log::Log;
use crate::queue::{Entry, Ticket};

/// The newest record of a shard, and who waits for newer ones.
struct Tail {
    newest: RecordNo,
    grown: Arc<Notify>,
}

/// Who waits for a ticket.
type Waiter = oneshot::Sender<Result<(), StoreError>>;

pub(crate) struct Published {
    /// Everything up to this number is visible.
    last: AtomicU64,
    /// Every commit up to this ticket is visible.
    settled: AtomicU64,
    shards: RwLock<ShardTable>,
    tails: Mutex<HashMap<ShardNo, Tail>>,
    /// Answers that wrote nothing and wait for the ticket of what they have read.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    waiters: Vec<(Ticket, Waiter)>,
    /// Why nothing is settled any more.
    ended: Option<StoreError>,
}

impl Published {
    pub fn new(last: Lsn, shards: ShardTable) -> Published {
        Published {
            last: AtomicU64::new(last.0),
            settled: AtomicU64::new(0),
            shards: RwLock::new(shards),
            tails: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Everything up to this number is visible.
    pub fn last(&self) -> Lsn {
        Lsn(self.last.load(Ordering::Acquire))
    }

    pub fn shards(&self) -> RwLockReadGuard<'_, ShardTable> {
        self.shards.read()
    }

    #[cfg(test)]
    pub fn shards_unless_they_change(&self) -> Option<RwLockReadGuard<'_, ShardTable>> {
        self.shards.try_read()
    }

    /// Publishes what a group does to shards, and gives those that get no more records.
    pub fn apply_shards(&self, group: &[Entry], log: &Log) -> Vec<ShardNo> {
        let mut ended = Vec::new();
        let mut changes = group.iter().flat_map(|entry| &entry.changes).peekable();
        if changes.peek().is_none() {
            return ended;
        }
        let mut shards = self.shards.write();
        for change in changes {
            shards.apply(change);
            match change {
                ShardChange::Set(info) => {
                    log.set_horizon(info.shard, Lsn(info.horizon.0));
                    if info.sealed.is_some() {
                        ended.push(info.shard);
                    }
                }
                ShardChange::Gone(shard) => {
                    log.drop_shard(*shard);
                    ended.push(*shard);
                }
            }
        }
        ended
    }

    /// The rows and shards up to here are visible now.
    pub fn advance(&self, last: Lsn, settled: Ticket) {
        self.last.store(last.0, Ordering::Release);
        self.settled.store(settled, Ordering::Release);
    }

    /// Wakes who waits for records of the group, or for the end of a shard.
    pub fn wake_readers(&self, group: &[Entry], ended: &[ShardNo]) {
        let mut newest: BTreeMap<ShardNo, RecordNo> = BTreeMap::new();
        for record in group.iter().flat_map(|entry| entry.records.iter()) {
            newest.insert(record.shard, record.number);
        }
        if newest.is_empty() && ended.is_empty() {
            return;
        }
        let mut tails = self.tails.lock();
        for (shard, number) in newest {
            let tail = tails.entry(shard).or_insert_with(|| Tail { newest: number, grown: Arc::default() });
            tail.newest = number;
            tail.grown.notify_waiters();
        }
        for shard in ended {
            if let Some(tail) = tails.remove(shard) {
                tail.grown.notify_waiters();
            }
        }
    }

    /// Answers who waits for what is settled.
    pub fn answer_settled(&self) {
        let settled = self.settled.load(Ordering::Acquire);
        let mut waiting = self.waiting.lock();
        for (_, reply) in waiting.waiters.extract_if(.., |(ticket, _)| *ticket <= settled) {
            let _gone = reply.send(Ok(()));
        }
    }

    /// Waits until every commit up to `ticket` is visible.
    pub async fn wait_settled(&self, ticket: Ticket) -> Result<(), StoreError> {
        let is_settled = || self.settled.load(Ordering::Acquire) >= ticket;
        if is_settled() {
            return Ok(());
        }
        let answer = {
            let mut waiting = self.waiting.lock();
            // Looked at again under the lock: the applier settles first and then takes the waiting ones.
            if is_settled() {
                return Ok(());
            }
            if let Some(error) = &waiting.ended {
                return Err(error.clone());
            }
            let (reply, answer) = oneshot::channel();
            waiting.waiters.push((ticket, reply));
            answer
        };
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits until a shard may have records above `after`, or has ended, or `stopped` says so.
    pub async fn wait_grown(&self, shard: ShardNo, after: RecordNo, stopped: impl Fn() -> bool) {
        let is_open = || self.shards().get(shard).is_some_and(|info| info.sealed.is_none());
        // Nothing is kept for a shard that gets no records.
        while is_open() && !stopped() {
            let (newest, grown) = {
                let mut tails = self.tails.lock();
                // A shard that nothing was appended to since the start may have records up to the start's end.
                let first = || Tail { newest: RecordNo(self.last().0), grown: Arc::default() };
                let tail = tails.entry(shard).or_insert_with(first);
                (tail.newest, tail.grown.clone())
            };
            let mut grown = std::pin::pin!(grown.notified());
            grown.as_mut().enable();
            let newer = self.tails.lock().get(&shard).is_some_and(|tail| tail.newest > after);
            if !is_open() || stopped() || newest > after || newer {
                return;
            }
            grown.await;
        }
    }

    /// Answers everybody who waits for a ticket with `error`, now and from now on.
    pub fn abandon(&self, error: &StoreError) {
        let mut waiting = self.waiting.lock();
        waiting.ended = Some(error.clone());
        for (_, reply) in waiting.waiters.drain(..) {
            let _gone = reply.send(Err(error.clone()));
        }
    }

    /// Wakes everybody who waits for records: the engine has ended.
    pub fn wake_all(&self) {
        for tail in self.tails.lock().values() {
            tail.grown.notify_waiters();
        }
    }
}
