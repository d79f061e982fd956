//! The embedded engine: the segmented log in front, a tree of published rows behind, and a pipeline between them.
//!
//! Invariants: see `pipeline` (order, durability, visibility), `tree` (points in time), `latches` and `overlay` (what a
//! commit's body sees). Dropping the engine without [`Engine::shutdown`] is a process kill: nothing that was
//! acknowledged is lost, and the next open replays the log from where the tree's files end.
//!
//! What it does not do: it reads no clock and draws no randomness but the given ones, and interprets no value.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex, RwLock};
use tailrace_core::clock::Clock;
use tailrace_core::{Lsn, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::files::{FileLock, Files, RealFiles};
use crate::log::{Log, LogSettings, LoggedWrite, Reservation, frame_bytes_bound};
use crate::pipeline::{Content, Keeper, Queue, Reply, Shared, Tail, Ticket, logged};
use crate::tree::Tree;
use crate::{directory, latches, overlay, pipeline, reclaim};
use tailrace_store::keyspace::{CounterKey, KeyKind};
use tailrace_store::shards::{ShardTable, before, decode_row, is_structural};
use tailrace_store::{
    CommitReceipt, CommitRequest, Engine, Key, KeyRange, LogPage, LogPosition, Page, PageLimit, Reads, ShardInfo,
    ShardNo, StoreError, StreamId, Write,
};

/// What is called when the engine cannot go on: a sync failed, or damage was found. It should end the process.
pub type FatalHook = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// How an embedded engine is set up.
#[derive(Clone)]
pub struct Options {
    /// The time of commits.
    pub clock: Arc<dyn Clock>,
    /// The uuid of the log, if the directory is new.
    pub fresh_uuid: [u8; 16],
    /// Size at which a memtable is sealed, bytes.
    pub memtable_bytes: u64,
    /// Size of the tree's block cache, bytes.
    pub cache_bytes: u64,
    /// Where the log and the directory's own files are.
    pub files: Arc<dyn Files>,
    /// The log's settings (its fatal hook is replaced by `fatal`).
    pub log: LogSettings,
    /// What ends the process.
    pub fatal: FatalHook,
}

impl Options {
    /// The defaults.
    pub fn new(clock: Arc<dyn Clock>, fresh_uuid: [u8; 16]) -> Options {
        Options {
            clock,
            fresh_uuid,
            memtable_bytes: limits::MEMTABLE_BYTES,
            cache_bytes: limits::BLOCK_CACHE_BYTES,
            files: Arc::new(RealFiles),
            log: LogSettings::default(),
            fatal: Arc::new(|error| {
                // Not `eprintln!`, which panics when nobody reads stderr: then the process would not end here.
                let why = format!("tailrace: the store cannot go on and ends here, so that nothing is lost: {error}\n");
                let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
                std::process::abort();
            }),
        }
    }
}

/// The embedded engine.
pub struct EmbeddedEngine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn FileLock>>>,
}

impl EmbeddedEngine {
    /// Opens the data directory, or makes one, and replays what the tree does not hold yet.
    ///
    /// # Errors
    /// One that names what is wrong: the directory is in use, cannot be read or written, is of a newer format, or
    /// holds damaged files.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Arc<EmbeddedEngine>, StoreError> {
        let path = path.as_ref();
        let lock = directory::enter(&*options.files, path)?;
        let (tree, applied) = Tree::open(&path.join("tree"), options.memtable_bytes, options.cache_bytes)?;
        let settings = LogSettings { fatal: options.fatal.clone(), ..options.log.clone() };
        let log = Log::open(options.files.clone(), &path.join("log"), settings, options.fresh_uuid, applied)?;
        replay(&log, &tree, applied)?;
        let shards = read_shards(&tree)?;
        log.set_shards(shards.all().map(|info| (info.shard, info.horizon)).collect::<BTreeMap<_, _>>());
        let recovered = log.recovered().clone();
        let queue = Queue {
            entries: VecDeque::new(),
            last_ticket: 0,
            guess: log.group().next_lsn(),
            last_ms: recovered.last_time_ms,
            shards: shards.clone(),
            closed: false,
        };
        let shared = Arc::new(Shared {
            clock: options.clock,
            log,
            tree,
            latches: latches::Latches::new(),
            overlay: overlay::Overlay::new(),
            queue: Mutex::new(queue),
            filled: Condvar::new(),
            room: Arc::new(Semaphore::new(limits::COMMIT_QUEUE_UNITS_MAX as usize)),
            published: AtomicU64::new(recovered.last.0.max(applied.0)),
            settled: AtomicU64::new(0),
            shards: RwLock::new(shards.clone()),
            tails: Mutex::new(HashMap::new()),
            waiting: Mutex::default(),
            keeper: Mutex::new(Keeper { sealed: true, reclaim: true, closing: false }),
            keeper_wake: Condvar::new(),
            trouble: RwLock::default(),
            stop: AtomicBool::new(false),
            dead: Mutex::new(None),
            fatal: options.fatal,
        });
        let threads = start(&shared, shards)?;
        Ok(Arc::new(EmbeddedEngine { shared, threads: Mutex::new(threads), lock: Mutex::new(Some(lock)) }))
    }

    /// The time of the newest commit, milliseconds since the epoch; 0 before the first. Commits never have an earlier time
    /// than the one before them, so this may be ahead of the clock.
    pub fn newest_ms(&self) -> u64 {
        self.shared.queue.lock().last_ms
    }

    /// Ends the engine as a killed process ends, while others still hold it.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.stop(false);
        self.shared.abandon(&StoreError::Closed);
        self.lock.lock().take();
    }

    /// Ends the threads. With `drain`, what is queued is written first.
    fn stop(&self, drain: bool) {
        self.shared.queue.lock().closed = true;
        if !drain {
            self.shared.stop.store(true, Ordering::Release);
        }
        self.shared.filled.notify_all();
        self.shared.wake_keeper(|keeper| keeper.closing = true);
        let mut threads = std::mem::take(&mut *self.threads.lock());
        // The first two are committer and applier; the applier may need the others, which end last.
        for thread in threads.drain(..threads.len().min(2)) {
            let _panicked = thread.join();
        }
        // What nobody takes any more must not keep the reclaimer waiting.
        self.shared.abandon(&StoreError::Closed);
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake_keeper(|_| ());
        for thread in threads {
            let _panicked = thread.join();
        }
        for tail in self.shared.tails.lock().values() {
            tail.grown.notify_waiters();
        }
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        self.stop(false);
    }
}

fn start(shared: &Arc<Shared>, shards: ShardTable) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let (to_applier, groups) = sync_channel(1);
    let spawn = |name: &'static str, run: Box<dyn FnOnce() + Send>| {
        let shared = shared.clone();
        // Without one of these threads commits would wait for ever: a panic in one ends the process.
        let guarded = move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                shared.die(&StoreError::Io(format!("the thread {name} ended with a panic")));
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(guarded)
            .map_err(|error| StoreError::Io(format!("cannot start the thread {name}: {error}")))
    };
    let [committer, applier, flusher, compactor, reclaimer] = std::array::from_fn(|_| shared.clone());
    Ok(vec![
        spawn("committer", Box::new(move || pipeline::run_committer(&committer, shards, &to_applier)))?,
        spawn("applier", Box::new(move || pipeline::run_applier(&applier, &groups)))?,
        spawn("flusher", Box::new(move || pipeline::run_flusher(&flusher)))?,
        spawn("compactor", Box::new(move || pipeline::run_compactor(&compactor)))?,
        spawn("reclaimer", Box::new(move || pipeline::run_reclaimer(&reclaimer)))?,
    ])
}

/// Brings the tree up to the end of the log. Memory stays bounded: full memtables are flushed on the way.
fn replay(log: &Log, tree: &Tree, applied: Lsn) -> Result<(), StoreError> {
    log.replay(applied, &mut |lsn, commit| {
        let last = Lsn(lsn.0 + commit.span() - 1);
        let mut changes: HashMap<Bytes, Option<Bytes>> = HashMap::with_capacity(commit.writes.len());
        for write in commit.writes {
            match write {
                LoggedWrite::Put { key, value } => changes.insert(key, Some(value)),
                LoggedWrite::Delete { key } => changes.insert(key, None),
                _ => None,
            };
        }
        tree.apply(changes);
        if tree.seal_if_due(last, false) {
            // A full disk must not keep what is stored from being read. The log holds no more than the memtables that
            // waited for their flush when it was written, so neither does the memory.
            flush_if_there_is_room(log, tree)?;
        }
        Ok(())
    })
}

/// Flushes the tree; a full disk is told of and passed over, since all of it is in the log.
fn flush_if_there_is_room(log: &Log, tree: &Tree) -> Result<(), StoreError> {
    match tree.flush(&mut |covered| log.set_persisted(covered)) {
        Err(StoreError::Full(why)) => {
            tracing::error!(why, "the tree cannot be written; what it lacks stays in the log");
            Ok(())
        }
        flushed => flushed,
    }
}

fn read_shards(tree: &Tree) -> Result<ShardTable, StoreError> {
    let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let mut shards = Vec::new();
    for (key, value) in tree.page(&KeyKind::Shard.range(), limit)?.rows {
        let damaged = || StoreError::Corrupt(format!("the row of a shard cannot be read: key {:?}", key.0));
        shards.push(decode_row(&value).ok_or_else(damaged)?);
    }
    let counter = tree.get(&CounterKey::Shard.encode().0)?;
    let next = CounterKey::next(counter.as_ref())
        .ok_or_else(|| StoreError::Corrupt("the counter of shards is not a number".to_owned()))?;
    Ok(ShardTable::new(shards, next))
}

/// Room in the queue and in the log that a commit holds from before its body runs until it is published.
struct Room {
    permit: OwnedSemaphorePermit,
    reservation: Reservation,
    bytes: usize,
}

async fn take_room(shared: &Shared, bytes: usize) -> Result<Room, StoreError> {
    if let Some(why) = shared.trouble.read().any()
        && shared.is_behind()
    {
        return Err(why.clone());
    }
    let units = bytes.div_ceil(limits::COMMIT_QUEUE_UNIT_BYTES) as u32;
    let units = units.clamp(1, limits::COMMIT_QUEUE_UNITS_MAX);
    let permit = shared.room.clone().acquire_many_owned(units).await.map_err(|_| StoreError::Closed)?;
    Ok(Room { permit, reservation: shared.log.reserve(bytes).await?, bytes })
}

/// What became of one run of a commit's body.
enum Ran {
    /// The body's writes need this much room: get it and run the body again.
    NeedsRoom(usize),
    Enqueued(tokio::sync::oneshot::Receiver<Reply>),
    /// Nothing to write; what was read is durable once this ticket is settled.
    Nothing(Ticket),
}

/// Makes a commit: the way of every change into the store.
pub(crate) async fn submit(shared: &Shared, mut request: CommitRequest<'_>) -> Result<CommitReceipt, StoreError> {
    let mut bytes = limits::COMMIT_QUEUE_UNIT_BYTES;
    loop {
        let room = take_room(shared, bytes).await?;
        match shared.checked(run_body(shared, &mut request, room))? {
            Ran::NeedsRoom(needed) => bytes = needed,
            Ran::Nothing(read) => {
                shared.wait_settled(read).await?;
                return Ok(CommitReceipt { lsn: None });
            }
            Ran::Enqueued(answer) => {
                let lsn = answer.await.unwrap_or(Err(StoreError::Closed))?;
                return Ok(CommitReceipt { lsn });
            }
        }
    }
}

/// Runs the body under its latches, and enqueues what it decides. Short and blocking: never across an await.
fn run_body(shared: &Shared, request: &mut CommitRequest<'_>, room: Room) -> Result<Ran, StoreError> {
    let _latched = shared.latches.take(request.shared, request.exclusive);
    let mut newest_read: Ticket = 0;
    let mut read = |keys: &[Key]| -> Result<Vec<Option<Bytes>>, StoreError> {
        keys.iter()
            .map(|key| match shared.overlay.get(&key.0) {
                Some((value, ticket)) => {
                    newest_read = newest_read.max(ticket);
                    Ok(value)
                }
                None => shared.tree.get(&key.0),
            })
            .collect()
    };
    let (shared_values, exclusive_values) = (read(request.shared)?, read(request.exclusive)?);
    let now_ms = shared.clock.now_ms().max(shared.queue.lock().last_ms);
    let reads = Reads { shared: &shared_values, exclusive: &exclusive_values, now_ms };
    let Some(writes) = (request.body)(&reads).filter(|writes| !writes.is_empty()) else {
        return Ok(Ran::Nothing(newest_read));
    };
    let needed = bytes_bound(&writes);
    if needed > room.bytes {
        return Ok(Ran::NeedsRoom(needed));
    }
    let mut queue = shared.queue.lock();
    if queue.closed {
        return Err(shared.dead.lock().clone().unwrap_or(StoreError::Closed));
    }
    let time_ms = now_ms.max(queue.last_ms);
    // Resolved here even if that must be done again: what is invalid is refused before it is queued.
    let structural = writes.iter().any(is_structural).then(|| writes.clone());
    let resolved = {
        let guess = queue.guess;
        queue.shards.resolve(writes, guess, time_ms)?
    };
    queue.guess = Lsn(queue.guess.0 + resolved.span);
    let pending = logged(resolved.writes);
    let room = (room.permit, room.reservation);
    Ok(Ran::Enqueued(match structural {
        Some(writes) => {
            let content = Content::Structural(writes);
            shared.enqueue(&mut queue, time_ms, content, &pending, needed, room)
        }
        None => shared.enqueue_plain(&mut queue, time_ms, pending, needed, room),
    }))
}

/// An upper bound of the bytes that the writes take in the log, the rows of shards that they may open included.
fn bytes_bound(writes: &[Write]) -> usize {
    /// A shard's row with its key; the numbers in it have bounds.
    const SHARD_ROW_BYTES_MAX: usize = 512;
    /// Kinds, lengths and numbers around one write.
    const AROUND_BYTES_MAX: usize = 64;
    let frame = frame_bytes_bound(&[]);
    let of = |write: &Write| match write {
        Write::Put { key, value } => key.0.len() + value.len(),
        Write::Delete { key } => key.0.len(),
        Write::Append { meta, old, .. } => meta.len() + old.as_ref().map_or(0, Bytes::len),
        Write::OpenStream { ranges, .. } => (ranges.len() + 1) * SHARD_ROW_BYTES_MAX,
        Write::Seal { children, .. } => (children.len() + 2) * SHARD_ROW_BYTES_MAX,
        // Each of its shards loses one row; a stream has far fewer shards than this allows for.
        Write::DropStream { .. } => 64 * SHARD_ROW_BYTES_MAX,
    };
    frame + writes.iter().map(|write| of(write) + AROUND_BYTES_MAX).sum::<usize>()
}

/// Runs `read` here if it is short, else on a thread that may block.
async fn read_aside<T: Send + 'static>(
    shared: &Arc<Shared>,
    short: bool,
    read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if short {
        return shared.checked(read(shared));
    }
    let aside = shared.clone();
    let done = tokio::task::spawn_blocking(move || read(&aside)).await;
    shared.checked(done.unwrap_or_else(|error| Err(StoreError::Io(format!("a read ended early: {error}")))))
}

/// Rows that a page may have and still be read on the runtime's own thread.
const SHORT_PAGE_ROWS: usize = 32;
/// Numbers that a read of the log may lie behind and still be served on the runtime's own thread.
const SHORT_LOG_NUMBERS: u64 = 256;

impl Engine for EmbeddedEngine {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move { self.shared.checked(self.shared.tree.get_all(keys)) }.boxed()
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        let short = limit.rows_max <= SHORT_PAGE_ROWS;
        async move { read_aside(&self.shared, short, move |shared| shared.tree.page(&range, limit)).await }.boxed()
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        submit(&self.shared, request).boxed()
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        async move { Ok(self.shared.shards.read().of(stream)) }.boxed()
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: Lsn,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        async move {
            let published = self.shared.published();
            let short = after.0.saturating_add(SHORT_LOG_NUMBERS) >= published.0;
            let read = move |shared: &Shared| {
                // The shard as of a moment not before `published`: a seal that is seen here may lie above it.
                let info = shared.shards.read().get(shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
                let from = after.max(before(info.horizon));
                let found = shared.log.read(shard, from, records_max, bytes_max, published)?;
                let sealed = info.sealed.is_some_and(|last| last <= published);
                let ended = sealed && !found.more;
                Ok(LogPage {
                    next: found.next.max(after),
                    records: found.records,
                    ended,
                    more: found.more,
                    lost: found.lost,
                    horizon: info.horizon,
                })
            };
            read_aside(&self.shared, short, read).await
        }
        .boxed()
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<Lsn, StoreError>> {
        async move {
            let published = self.shared.published();
            let info = self.shared.shards.read().get(shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
            match position {
                LogPosition::Horizon => Ok(before(info.horizon)),
                LogPosition::End => Ok(published),
                LogPosition::Time(ms) => {
                    let read = move |shared: &Shared| shared.log.position_at_time(shard, ms, published);
                    read_aside(&self.shared, false, read).await
                }
            }
        }
        .boxed()
    }

    fn wait_log(&self, shard: ShardNo, after: Lsn) -> BoxFuture<'_, ()> {
        async move {
            loop {
                let (newest, grown) = {
                    let mut tails = self.shared.tails.lock();
                    // A shard that nothing was appended to since the start may have records up to the start's end.
                    let first = Tail { newest: self.shared.published(), grown: Arc::default() };
                    let tail = tails.entry(shard).or_insert(first);
                    (tail.newest, tail.grown.clone())
                };
                let mut grown = std::pin::pin!(grown.notified());
                grown.as_mut().enable();
                let open = self.shared.shards.read().get(shard).is_some_and(|info| info.sealed.is_none());
                let stopped = self.shared.stop.load(Ordering::Acquire);
                let newer = self.shared.tails.lock().get(&shard).is_some_and(|tail| tail.newest > after);
                if !open || stopped || newest > after || newer {
                    return;
                }
                grown.await;
            }
        }
        .boxed()
    }

    fn trim(&self, shard: ShardNo, horizon: Lsn) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let shared = &self.shared;
            let room = take_room(shared, limits::COMMIT_QUEUE_UNIT_BYTES).await?;
            let answer = {
                let mut queue = shared.queue.lock();
                if queue.closed {
                    return Err(StoreError::Closed);
                }
                if queue.shards.get(shard).is_none() {
                    return Err(StoreError::NoSuchShard(shard));
                }
                let time_ms = shared.clock.now_ms().max(queue.last_ms);
                let (content, bytes) = (Content::Trim(shard, horizon), room.bytes);
                shared.enqueue(&mut queue, time_ms, content, &[], bytes, (room.permit, room.reservation))
            };
            answer.await.unwrap_or(Err(StoreError::Closed)).map(|_| ())
        }
        .boxed()
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (key, value) = reclaim::row(&range);
            let exclusive = [key.clone()];
            let put = [Write::Put { key, value }];
            let body = Box::new(|_: &Reads<'_>| Some(put.to_vec()));
            submit(&self.shared, CommitRequest { shared: &[], exclusive: &exclusive, body }).await?;
            self.shared.wake_keeper(|keeper| keeper.reclaim = true);
            Ok(())
        }
        .boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.stop(true);
            if let Some(error) = self.shared.dead.lock().clone() {
                return Err(error);
            }
            // With everything in the tree's files the next start has nothing to replay.
            if self.shared.tree.seal_if_due(self.shared.published(), true) {
                flush_if_there_is_room(&self.shared.log, &self.shared.tree)?;
            }
            self.shared.log.close()?;
            self.lock.lock().take();
            Ok(())
        }
        .boxed()
    }
}
