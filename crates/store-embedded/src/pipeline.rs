//! The pipeline: the queue of commits, the committer that writes and syncs groups of them, the applier that makes
//! synced groups visible, and the keeper that flushes and compacts the tree.
//!
//! Invariants: tickets are given out under the queue's lock, numbers by the log in the order of the tickets (the log
//! itself takes numbers too, when it moves records); a group is applied only after its
//! sync and answered only after it is published; overlay entries outlive their commit's publication. A log that cannot
//! be written or synced ends the process through the fatal hook: what is on the disk is unknown then.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use tailrace_core::{Lsn, limits};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::readers::Readers;
use crate::latches::Latches;
use crate::log::{Log, LoggedImage, LoggedWrite, Reservation};
use crate::overlay::Overlay;
use crate::tree::{Change, Tree};
use crate::{FatalHook, reclaim};
use tailrace_core::clock::Clock;
use tailrace_store::shards::{Resolved, ResolvedWrite, ShardChange, ShardTable};
use tailrace_store::{NewImage, ShardNo, StoreError, Write};

/// How long a failed flush, compaction or reclaim waits before it is tried again: at first, and at most. Each try writes
/// until the disk is full again, so a disk that stays full is not tried all the time.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(500);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15);

/// What the threads and the engine's methods share.
pub(crate) struct Shared {
    pub clock: Arc<dyn Clock>,
    pub log: Arc<Log>,
    pub tree: Tree,
    pub latches: Latches,
    pub overlay: Overlay,
    pub readers: Readers,
    pub queue: Mutex<Queue>,
    pub filled: Condvar,
    /// Room for commits in flight, in units of [`limits::COMMIT_QUEUE_UNIT_BYTES`].
    pub room: Arc<Semaphore>,
    /// Everything up to this number is visible.
    pub published: AtomicU64,
    /// Every commit up to this ticket is visible.
    pub settled: AtomicU64,
    pub shards: RwLock<ShardTable>,
    pub tails: Mutex<HashMap<ShardNo, Tail>>,
    /// Answers that wrote nothing and wait for the ticket of what they have read.
    pub waiting: Mutex<Vec<(Ticket, Waiter)>>,
    pub keeper: Mutex<Keeper>,
    /// Told when there is work for the flusher, the compactor or the reclaimer, and when one of them has done some.
    pub keeper_wake: Condvar,
    pub trouble: RwLock<Trouble>,
    pub stop: AtomicBool,
    pub dead: Mutex<Option<StoreError>>,
    pub fatal: FatalHook,
}

/// The newest record of a shard, and who waits for newer ones.
pub(crate) struct Tail {
    pub newest: Lsn,
    pub grown: Arc<Notify>,
}

/// A commit's place in the queue: one for each commit, from 1 on at every start.
pub(crate) type Ticket = u64;

/// Who waits for a ticket.
type Waiter = oneshot::Sender<Result<(), StoreError>>;

/// A commit's answer: its first number, if it wrote.
pub(crate) type Reply = Result<Option<Lsn>, StoreError>;

/// Commits that are enqueued and not yet taken by the committer.
pub(crate) struct Queue {
    pub entries: VecDeque<Entry>,
    pub last_ticket: Ticket,
    pub last_ms: u64,
    /// Shards as they are behind the last queued commit. The record numbers in them are guesses: only the log knows.
    pub shards: ShardTable,
    /// The number that the next queued commit would have if the log took none itself.
    pub guess: Lsn,
    pub closed: bool,
}

/// Why the tree cannot be written at present, if it cannot.
#[derive(Default)]
pub(crate) struct Trouble {
    pub flush: Option<StoreError>,
    pub compaction: Option<StoreError>,
}

impl Trouble {
    pub fn any(&self) -> Option<&StoreError> {
        self.flush.as_ref().or(self.compaction.as_ref())
    }
}

/// What there is to do beside the commits.
#[derive(Default)]
pub(crate) struct Keeper {
    /// A memtable was sealed.
    pub sealed: bool,
    /// A range is to be reclaimed.
    pub reclaim: bool,
    /// The engine closes: nothing waits for compactions any more.
    pub closing: bool,
}

/// A commit in flight.
pub(crate) struct Entry {
    pub ticket: Ticket,
    pub time_ms: u64,
    pub content: Content,
    pub bytes: usize,
    pub room: (OwnedSemaphorePermit, Reservation),
    pub reply: oneshot::Sender<Reply>,
}

/// What a queued commit does.
pub(crate) enum Content {
    /// Rows and records, all resolved.
    Plain(Vec<LoggedWrite>),
    /// Writes that open, seal or drop shards: their rows hold the commit's number, so they are resolved when it is known.
    Structural(Vec<Write>),
    /// A horizon that moves up.
    Trim(ShardNo, Lsn),
}

/// A commit that is written and synced.
pub(crate) struct Written {
    pub ticket: Ticket,
    /// First number, if anything was written.
    pub lsn: Option<Lsn>,
    pub writes: Vec<LoggedWrite>,
    pub changes: Vec<ShardChange>,
    pub room: (OwnedSemaphorePermit, Reservation),
    pub reply: oneshot::Sender<Reply>,
}

/// A synced group, and the last number in the log behind it.
pub(crate) struct Group {
    pub commits: Vec<Written>,
    pub last: Lsn,
}

pub(crate) fn logged(writes: Vec<ResolvedWrite>) -> Vec<LoggedWrite> {
    let one = |write| match write {
        ResolvedWrite::Put { key, value } => LoggedWrite::Put { key: key.0, value },
        ResolvedWrite::Delete { key } => LoggedWrite::Delete { key: key.0 },
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

impl Shared {
    pub fn published(&self) -> Lsn {
        Lsn(self.published.load(Ordering::Acquire))
    }

    /// Puts the commit at the end of the queue, whose lock the caller holds. `pending`: the values that it leaves.
    pub fn enqueue(
        &self,
        queue: &mut Queue,
        time_ms: u64,
        content: Content,
        pending: &[LoggedWrite],
        bytes: usize,
        room: (OwnedSemaphorePermit, Reservation),
    ) -> oneshot::Receiver<Reply> {
        queue.last_ticket += 1;
        queue.last_ms = time_ms;
        let ticket = queue.last_ticket;
        for write in pending {
            match write {
                LoggedWrite::Put { key, value } => self.overlay.put(key.clone(), Some(value.clone()), ticket),
                LoggedWrite::Delete { key } => self.overlay.put(key.clone(), None, ticket),
                _ => {}
            }
        }
        let (reply, answer) = oneshot::channel();
        queue.entries.push_back(Entry { ticket, time_ms, content, bytes, room, reply });
        if queue.entries.len() == 1 {
            self.filled.notify_one();
        }
        answer
    }

    /// [`Shared::enqueue`] for a commit that is all resolved.
    pub fn enqueue_plain(
        &self,
        queue: &mut Queue,
        time_ms: u64,
        writes: Vec<LoggedWrite>,
        bytes: usize,
        room: (OwnedSemaphorePermit, Reservation),
    ) -> oneshot::Receiver<Reply> {
        let answer = self.enqueue(queue, time_ms, Content::Plain(Vec::new()), &writes, bytes, room);
        if let Some(entry) = queue.entries.back_mut() {
            entry.content = Content::Plain(writes);
        }
        answer
    }

    /// Waits until every commit up to `ticket` is published.
    pub async fn wait_settled(&self, ticket: Ticket) -> Result<(), StoreError> {
        if self.settled.load(Ordering::Acquire) >= ticket {
            return Ok(());
        }
        let answer = {
            let mut waiting = self.waiting.lock();
            // Looked at again under the lock: the applier settles first and then takes the waiting ones.
            if self.settled.load(Ordering::Acquire) >= ticket {
                return Ok(());
            }
            if let Some(error) = self.dead.lock().clone() {
                return Err(error);
            }
            let (reply, answer) = oneshot::channel();
            waiting.push((ticket, reply));
            answer
        };
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Ends everything if the result says that what was read is damaged: nothing is skipped in silence.
    pub fn checked<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Corrupt(_)) = &result {
            (self.fatal)(error);
        }
        result
    }

    /// Ends everything: what is on the disk is unknown, or a thread of the pipeline is gone.
    pub fn die(&self, error: &StoreError) {
        *self.dead.lock() = Some(error.clone());
        (self.fatal)(error);
        self.abandon(error);
        self.stop.store(true, Ordering::Release);
        self.wake_keeper(|_| ());
    }

    /// Answers everything that waits with `error`.
    pub fn abandon(&self, error: &StoreError) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        for entry in queue.entries.drain(..) {
            let _gone = entry.reply.send(Err(error.clone()));
        }
        drop(queue);
        for (_, reply) in self.waiting.lock().drain(..) {
            let _gone = reply.send(Err(error.clone()));
        }
    }

    pub fn wake_keeper(&self, tell: impl FnOnce(&mut Keeper)) {
        tell(&mut self.keeper.lock());
        self.keeper_wake.notify_all();
    }

    /// True if the tree has fallen so far behind that further groups should wait (or, while it cannot be written,
    /// be refused).
    pub fn is_behind(&self) -> bool {
        self.tree.sealed_memtables() >= limits::SEALED_MEMTABLES_MAX || self.tree.young_runs() >= limits::YOUNG_RUNS_MAX
    }
}

/// The committer: takes what is queued, without a timer, writes and syncs it as one group. `shards` are those of the
/// log's end.
pub(crate) fn run_committer(shared: &Shared, mut shards: ShardTable, groups: &SyncSender<Group>) {
    loop {
        let entries = {
            let mut queue = shared.queue.lock();
            while queue.entries.is_empty() {
                if queue.closed || shared.stop.load(Ordering::Acquire) {
                    return;
                }
                shared.filled.wait(&mut queue);
            }
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            take_group(&mut queue.entries)
        };
        let (mut entries, mut commits) = (VecDeque::from(entries), Vec::new());
        match write_group(shared, &mut shards, &mut entries, &mut commits) {
            Ok(last) => {
                if groups.send(Group { commits, last }).is_err() {
                    return;
                }
            }
            Err(error) => {
                let replies = commits.into_iter().map(|commit| commit.reply);
                for reply in replies.chain(entries.into_iter().map(|entry| entry.reply)) {
                    let _gone = reply.send(Err(error.clone()));
                }
                return shared.die(&error);
            }
        }
    }
}

fn take_group(entries: &mut VecDeque<Entry>) -> Vec<Entry> {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        bytes += entry.bytes;
        bytes <= limits::GROUP_BYTES_MAX
    };
    let count = entries.iter().take(limits::GROUP_COMMITS_MAX).take_while(fits).count();
    entries.drain(..count.max(1)).collect()
}

/// Writes and syncs the entries as one group, and gives the last number in the log. What it has got through is in
/// `commits`, what it has not is still in `entries`, so that after an error all of them can be answered.
fn write_group(
    shared: &Shared,
    shards: &mut ShardTable,
    entries: &mut VecDeque<Entry>,
    commits: &mut Vec<Written>,
) -> Result<Lsn, StoreError> {
    let mut writer = shared.log.group();
    commits.reserve(entries.len());
    while let Some(Entry { ticket, time_ms, content, room, reply, .. }) = entries.pop_front() {
        let late = |resolved: Resolved| (logged(resolved.writes), resolved.changes);
        let (writes, changes) = match content {
            Content::Plain(writes) => (writes, Vec::new()),
            Content::Structural(writes) => match shards.resolve(writes, writer.next_lsn(), time_ms) {
                Ok(resolved) => late(resolved),
                Err(error) => return answer_one(reply, error),
            },
            Content::Trim(shard, horizon) => match shards.trim(shard, horizon) {
                Ok(Some(resolved)) => late(resolved),
                // Trimmed further, or dropped, by a commit that was queued before.
                Ok(None) | Err(_) => (Vec::new(), Vec::new()),
            },
        };
        let lsn = match writes.is_empty() {
            true => None,
            false => match writer.push(time_ms, &writes) {
                Ok(lsn) => Some(lsn),
                Err(error) => return answer_one(reply, error),
            },
        };
        commits.push(Written { ticket, lsn, writes, changes, room, reply });
    }
    writer.commit()
}

fn answer_one(reply: oneshot::Sender<Reply>, error: StoreError) -> Result<Lsn, StoreError> {
    let _gone = reply.send(Err(error.clone()));
    Err(error)
}

/// The applier: puts the last version of each key of a synced group into the tree, publishes, answers, wakes.
pub(crate) fn run_applier(shared: &Shared, groups: &Receiver<Group>) {
    while let Ok(group) = groups.recv() {
        apply_group(shared, group);
        if shared.is_behind() {
            wait_for_keeper(shared);
        }
    }
}

fn apply_group(shared: &Shared, group: Group) {
    let Group { commits: group, last: published } = group;
    let Some(settled) = group.last().map(|commit| commit.ticket) else { return };
    // From the newest to the oldest, so that the first version met of a key is its last one.
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(group.len());
    let mut changes: Vec<Change> = Vec::with_capacity(group.len());
    for write in group.iter().rev().flat_map(|entry| entry.writes.iter().rev()) {
        match write {
            LoggedWrite::Put { key, value } if seen.insert(key) => changes.push((key.clone(), Some(value.clone()))),
            LoggedWrite::Delete { key } if seen.insert(key) => changes.push((key.clone(), None)),
            _ => {}
        }
    }
    let keys: Vec<Bytes> = changes.iter().map(|(key, _)| key.clone()).collect();
    shared.tree.apply(changes);
    let mut gone = Vec::new();
    for change in group.iter().flat_map(|entry| &entry.changes) {
        shared.shards.write().apply(change);
        match change {
            ShardChange::Set(info) => {
                shared.log.set_horizon(info.shard, info.horizon);
                if info.sealed.is_some() {
                    gone.push(info.shard);
                }
            }
            ShardChange::Gone(shard) => {
                shared.log.drop_shard(*shard);
                gone.push(*shard);
            }
        }
    }
    shared.published.store(published.0, Ordering::Release);
    shared.settled.store(settled, Ordering::Release);
    wake_readers(shared, &group, &gone);
    for Written { lsn, room, reply, .. } in group {
        drop(room);
        let _gone = reply.send(Ok(lsn));
    }
    {
        let mut waiting = shared.waiting.lock();
        for (_, reply) in waiting.extract_if(.., |(ticket, _)| *ticket <= settled) {
            let _gone = reply.send(Ok(()));
        }
    }
    for key in &keys {
        shared.overlay.drop_settled(key, settled);
    }
    if shared.tree.seal_if_due(published, false) {
        shared.wake_keeper(|keeper| keeper.sealed = true);
    }
}

fn wake_readers(shared: &Shared, group: &[Written], gone: &[ShardNo]) {
    let mut newest: BTreeMap<ShardNo, Lsn> = BTreeMap::new();
    for entry in group {
        let Some(mut lsn) = entry.lsn else { continue };
        for write in &entry.writes {
            if let LoggedWrite::Append { shard, .. } = write {
                newest.insert(*shard, lsn);
                lsn = lsn.next();
            }
        }
    }
    if newest.is_empty() && gone.is_empty() {
        return;
    }
    let mut tails = shared.tails.lock();
    for (shard, lsn) in newest {
        let tail = tails.entry(shard).or_insert_with(|| Tail { newest: lsn, grown: Arc::default() });
        tail.newest = lsn;
        tail.grown.notify_waiters();
    }
    for shard in gone {
        if let Some(tail) = tails.remove(shard) {
            tail.grown.notify_waiters();
        }
    }
}

/// The applier waits while the tree is behind, unless the tree cannot be written: then commits are refused instead.
fn wait_for_keeper(shared: &Shared) {
    let mut keeper = shared.keeper.lock();
    let given_up = || shared.stop.load(Ordering::Acquire) || shared.trouble.read().any().is_some();
    while shared.is_behind() && !keeper.closing && !given_up() {
        shared.keeper_wake.wait(&mut keeper);
    }
}

/// Tries of something that failed, further and further apart.
struct Retries {
    pause: Duration,
    told: Option<String>,
}

impl Retries {
    fn new() -> Retries {
        Retries { pause: RETRY_AFTER_MIN, told: None }
    }

    /// Waits for the next try, or for the end; tells of each kind of failure once.
    fn wait(&mut self, shared: &Shared, what: &str, error: &StoreError) {
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            tracing::error!(%error, "{what}; trying again until it can");
            self.told = Some(text);
        }
        let until = shared.clock.monotonic_ns() + self.pause.as_nanos() as u64;
        let mut keeper = shared.keeper.lock();
        loop {
            let left = until.saturating_sub(shared.clock.monotonic_ns());
            if left == 0 || shared.stop.load(Ordering::Acquire) || keeper.closing {
                break;
            }
            if shared.keeper_wake.wait_for(&mut keeper, Duration::from_nanos(left)).timed_out() {
                break;
            }
        }
        self.pause = (self.pause * 2).min(RETRY_AFTER_MAX);
    }

    fn succeeded(&mut self, what: &str) {
        if self.told.take().is_some() {
            tracing::info!("{what} again");
        }
        self.pause = RETRY_AFTER_MIN;
    }
}

/// True for what passes when there is room again. Anything else of a disk may have lost what was written before.
fn passes(error: &StoreError) -> bool {
    matches!(error, StoreError::Full(_))
}

/// The flusher: writes sealed memtables to the disk, and tells the log how far the tree has come.
pub(crate) fn run_flusher(shared: &Shared) {
    let mut retries = Retries::new();
    let stopped = || shared.stop.load(Ordering::Acquire);
    loop {
        {
            let mut keeper = shared.keeper.lock();
            while !keeper.sealed && shared.trouble.read().flush.is_none() {
                if stopped() {
                    return;
                }
                shared.keeper_wake.wait(&mut keeper);
            }
            if stopped() {
                return;
            }
            keeper.sealed = false;
        }
        let mut covered = |covered| {
            shared.log.set_persisted(covered);
            shared.wake_keeper(|_| ());
        };
        match shared.tree.flush(&mut covered) {
            Ok(()) => {
                if shared.trouble.write().flush.take().is_some() {
                    retries.succeeded("the tree can be written");
                    shared.wake_keeper(|_| ());
                }
            }
            Err(error) if passes(&error) => {
                shared.trouble.write().flush = Some(error.clone());
                shared.wake_keeper(|_| ());
                retries.wait(shared, "the tree cannot be written", &error);
            }
            Err(error) => return shared.die(&error),
        }
    }
}

/// The compactor: merges tables after flushes. It never waits for a commit: the applier may wait for it.
pub(crate) fn run_compactor(shared: &Shared) {
    let stopped = || shared.stop.load(Ordering::Acquire);
    let mut retries = Retries::new();
    let mut runs = usize::MAX;
    loop {
        {
            let mut keeper = shared.keeper.lock();
            // What needs room waits until the memtables have had it.
            while shared.tree.young_runs() == runs || shared.trouble.read().flush.is_some() {
                if stopped() {
                    return;
                }
                shared.keeper_wake.wait(&mut keeper);
            }
        }
        if stopped() {
            return;
        }
        let done = shared.tree.compact(&stopped, &mut || shared.wake_keeper(|_| ()));
        runs = shared.tree.young_runs();
        match done {
            Ok(()) => {
                if shared.trouble.write().compaction.take().is_some() {
                    retries.succeeded("the tree can be compacted");
                    shared.wake_keeper(|_| ());
                }
            }
            Err(error) if passes(&error) => {
                shared.trouble.write().compaction = Some(error.clone());
                shared.wake_keeper(|_| ());
                runs = usize::MAX;
                retries.wait(shared, "the tree cannot be compacted", &error);
            }
            Err(error) => return shared.die(&error),
        }
    }
}

/// The reclaimer: removes ranges that nothing can reach any more, in commits of its own, which wait like any others.
pub(crate) fn run_reclaimer(shared: &Arc<Shared>) {
    let stopped = || shared.stop.load(Ordering::Acquire) || shared.keeper.lock().closing;
    let mut retries = Retries::new();
    loop {
        {
            let mut keeper = shared.keeper.lock();
            while !keeper.reclaim {
                if keeper.closing || shared.stop.load(Ordering::Acquire) {
                    return;
                }
                shared.keeper_wake.wait(&mut keeper);
            }
            keeper.reclaim = false;
        }
        match reclaim::run(shared, &stopped) {
            Ok(()) => retries.succeeded("deleted tables' space can be reclaimed"),
            Err(StoreError::Closed) => return,
            Err(error) if passes(&error) => {
                retries.wait(shared, "a deleted table's space cannot be reclaimed", &error);
                shared.keeper.lock().reclaim = true;
            }
            Err(error) => return shared.die(&error),
        }
    }
}
