//! The pipeline: the queue of commits, the committer that writes and syncs groups of them, the applier that makes
//! synced groups visible, and the keeper that flushes and compacts the tree.
//!
//! Invariants: tickets and numbers are given out under the queue's lock, and the log takes the commits in that order, so
//! that both it and the queue count the same; a group is applied only after its sync and answered only after it is
//! published, its shards before its rows; overlay entries outlive their commit's publication. A log that cannot be written
//! or synced ends the process through the fatal hook: what is on the disk is unknown then.

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
use crate::log::{Log, LoggedImage, LoggedWrite, Reservation, value_of};
use crate::overlay::Overlay;
use crate::tree::{Change, Tree};
use crate::{FatalHook, reclaim};
use tailrace_core::clock::Clock;
use tailrace_store::shards::{Resolved, ResolvedWrite, ShardChange, ShardTable};
use tailrace_store::{CommitReceipt, NewImage, RecordId, RecordIds, RecordNo, ShardNo, StoreError};

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
    pub newest: RecordNo,
    pub grown: Arc<Notify>,
}

/// A commit's place in the queue: one for each commit, from 1 on at every start.
pub(crate) type Ticket = u64;

/// Who waits for a ticket.
type Waiter = oneshot::Sender<Result<(), StoreError>>;

/// A commit's answer.
pub(crate) type Reply = Result<CommitReceipt, StoreError>;

/// Commits that are enqueued and not yet taken by the committer.
pub(crate) struct Queue {
    pub entries: VecDeque<Entry>,
    pub last_ticket: Ticket,
    pub last_ms: u64,
    /// Shards as they are behind the last queued commit.
    pub shards: ShardTable,
    /// The number of the next queued commit.
    pub next: Lsn,
    /// When the ids of commits that are too old to be remembered were last looked for.
    pub ids_swept_ms: u64,
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
    pub time_ms: u64,
    pub writes: Vec<LoggedWrite>,
    pub changes: Vec<ShardChange>,
    pub records: RecordIds,
    pub room: Room,
    pub reply: oneshot::Sender<Reply>,
}

/// A synced group, and the last number in the log behind it.
pub(crate) struct Group {
    pub commits: Vec<Entry>,
    pub last: Lsn,
}

fn logged(writes: Vec<ResolvedWrite>) -> Vec<LoggedWrite> {
    let one = |write| match write {
        ResolvedWrite::Put { key, value, same_as: None } => LoggedWrite::Put { key: key.0, value },
        ResolvedWrite::Put { key, same_as: Some(write), .. } => {
            LoggedWrite::PutOfWrite { key: key.0, write: write as u32, prefix: Bytes::new(), suffix: Bytes::new() }
        }
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

/// The key that the write at `index` sets, and its value.
fn change(writes: &[LoggedWrite], index: usize) -> Option<Change> {
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

impl Shared {
    pub fn published(&self) -> Lsn {
        Lsn(self.published.load(Ordering::Acquire))
    }

    /// Puts the commit, which is resolved behind all that is queued, at the end of the queue, whose lock the caller holds.
    pub fn enqueue(&self, queue: &mut Queue, time_ms: u64, resolved: Resolved, room: Room) -> oneshot::Receiver<Reply> {
        queue.last_ticket += 1;
        queue.last_ms = time_ms;
        let (ticket, lsn) = (queue.last_ticket, queue.next);
        queue.next = Lsn(lsn.0 + resolved.records.max(1));
        let changes = resolved.changes;
        let writes = logged(resolved.writes);
        for (key, value) in (0..writes.len()).filter_map(|index| change(&writes, index)) {
            self.overlay.put(key, value, ticket);
        }
        let records = records(&writes, lsn);
        let (reply, answer) = oneshot::channel();
        queue.entries.push_back(Entry { ticket, lsn, time_ms, writes, changes, records, room, reply });
        if queue.entries.len() == 1 {
            self.filled.notify_one();
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

/// The committer: takes what is queued, without a timer, writes and syncs it as one group.
pub(crate) fn run_committer(shared: &Shared, groups: &SyncSender<Group>) {
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
        match write_group(shared, &entries) {
            Ok(last) => {
                if groups.send(Group { commits: entries, last }).is_err() {
                    return;
                }
            }
            Err(error) => {
                for entry in entries {
                    let _gone = entry.reply.send(Err(error.clone()));
                }
                return shared.die(&error);
            }
        }
    }
}

fn take_group(entries: &mut VecDeque<Entry>) -> Vec<Entry> {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        bytes += entry.room.bytes;
        bytes <= limits::GROUP_BYTES_MAX
    };
    let count = entries.iter().take(limits::GROUP_COMMITS_MAX).take_while(fits).count();
    entries.drain(..count.max(1)).collect()
}

/// Writes and syncs the entries as one group, and gives the last number in the log.
fn write_group(shared: &Shared, entries: &[Entry]) -> Result<Lsn, StoreError> {
    let mut writer = shared.log.group();
    for Entry { lsn, time_ms, writes, .. } in entries {
        let given = writer.push(*time_ms, writes)?;
        if given != *lsn {
            return Err(StoreError::Io(format!("the log gave a commit the number {given}, which was promised {lsn}")));
        }
    }
    writer.commit()
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
    let mut seen: HashSet<Bytes> = HashSet::with_capacity(group.len());
    let mut changes: Vec<Change> = Vec::with_capacity(group.len());
    for entry in group.iter().rev() {
        for (key, value) in (0..entry.writes.len()).rev().filter_map(|index| change(&entry.writes, index)) {
            if seen.insert(key.clone()) {
                changes.push((key, value));
            }
        }
    }
    let keys: Vec<Bytes> = changes.iter().map(|(key, _)| key.clone()).collect();
    // Shards before rows: who sees the row of a stream finds its shards.
    let gone = apply_shards(shared, &group);
    shared.tree.apply(changes);
    shared.published.store(published.0, Ordering::Release);
    shared.settled.store(settled, Ordering::Release);
    wake_readers(shared, &group, &gone);
    for Entry { records, room, reply, .. } in group {
        drop(room);
        let _gone = reply.send(Ok(CommitReceipt { wrote: true, records }));
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

/// Publishes what became of shards, and gives those that get no more records.
fn apply_shards(shared: &Shared, group: &[Entry]) -> Vec<ShardNo> {
    let mut ended = Vec::new();
    let mut changes = group.iter().flat_map(|entry| &entry.changes).peekable();
    if changes.peek().is_none() {
        return ended;
    }
    let mut shards = shared.shards.write();
    for change in changes {
        shards.apply(change);
        match change {
            ShardChange::Set(info) => {
                shared.log.set_horizon(info.shard, Lsn(info.horizon.0));
                if info.sealed.is_some() {
                    ended.push(info.shard);
                }
            }
            ShardChange::Gone(shard) => {
                shared.log.drop_shard(*shard);
                ended.push(*shard);
            }
        }
    }
    ended
}

fn wake_readers(shared: &Shared, group: &[Entry], gone: &[ShardNo]) {
    let mut newest: BTreeMap<ShardNo, RecordNo> = BTreeMap::new();
    for record in group.iter().flat_map(|entry| entry.records.iter()) {
        newest.insert(record.shard, record.number);
    }
    if newest.is_empty() && gone.is_empty() {
        return;
    }
    let mut tails = shared.tails.lock();
    for (shard, number) in newest {
        let tail = tails.entry(shard).or_insert_with(|| Tail { newest: number, grown: Arc::default() });
        tail.newest = number;
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
