//! The embedded engine: the segmented log in front, a tree of published rows behind, and a pipeline between them.
//!
//! Invariants: see `queue` (order), `committer` (durability), `applier` (visibility), `tree` (points in time), `latches` and `overlay` (what a
//! commit's body sees). Dropping the engine without [`Engine::shutdown`] is a process kill: nothing that was
//! acknowledged is lost, and the next open replays the log from where the tree's files end.
//!
//! What it does not do: it reads no clock and draws no randomness but the given ones, and interprets no value.

mod commit;
mod read;
#[cfg(test)]
mod read_tests;
pub(crate) mod readers;
#[cfg(test)]
mod tests;

pub(crate) use commit::submit;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::{EpochMs, Lsn, limits};

use crate::applier::{Applied, Hand};
use crate::changes::changes;
use crate::files::{FileLock, Files, RealFiles};
use crate::log::{Log, LogSettings, LoggedWrite, frame_bytes_bound};
use crate::maintenance::Chores;
use crate::published::Published;
use crate::queue::CommitQueue;
use crate::state::{End, EngineState};
use crate::tree::Tree;
use crate::{applier, committer, directory, latches, maintenance, overlay};
use tailrace_store::keyspace::{CounterKey, KeyKind, ReclaimKey, ShardKey};
use tailrace_store::shards::ShardTable;
use tailrace_store::{
    CommitId, CommitReceipt, CommitRequest, Engine, Key, KeyRange, LogPage, LogPosition, Outcome, Page, PageLimit,
    Reads, RecordNo, ShardInfo, ShardNo, StoreError, StreamId, Tally, Write,
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
    state: Arc<EngineState>,
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
        log.set_shards(shards.all().map(|info| (info.shard, Lsn(info.horizon.0))).collect::<BTreeMap<_, _>>());
        let recovered = log.recovered().clone();
        let next = log.group().next_lsn();
        let state = Arc::new(EngineState {
            clock: options.clock,
            log,
            tree,
            latches: latches::Latches::new(),
            overlay: overlay::Overlay::new(),
            readers: readers::Readers::new(),
            queue: CommitQueue::new(next, recovered.last_time_ms, shards.clone()),
            published: Published::new(recovered.last.max(applied), shards),
            publishing: Mutex::default(),
            chores: Chores::new(),
            end: End::new(options.fatal),
            #[cfg(test)]
            panicking: Mutex::default(),
        });
        let threads = start(&state)?;
        Ok(Arc::new(EmbeddedEngine { state, threads: Mutex::new(threads), lock: Mutex::new(Some(lock)) }))
    }

    /// The time of the newest commit; the epoch before the first. Commits never have an earlier time
    /// than the one before them, so this may be ahead of the clock.
    pub fn newest(&self) -> EpochMs {
        self.state.queue.tip().last_ms
    }

    /// Ends the engine as a killed process ends, while others still hold it.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.stop(false);
        self.state.abandon(&StoreError::Closed);
        self.lock.lock().take();
    }

    /// Ends the threads. With `drain`, what is queued is written first.
    fn stop(&self, drain: bool) {
        self.state.queue.close();
        if !drain {
            self.state.stop();
        }
        self.state.chores.tell(|work| work.closing = true);
        let mut threads = std::mem::take(&mut *self.threads.lock());
        // The first two are committer and applier; they may need the others, which end last.
        for thread in threads.drain(..threads.len().min(2)) {
            let _panicked = thread.join();
        }
        // What nobody takes any more must not keep the reclaimer waiting.
        self.state.abandon(&StoreError::Closed);
        self.state.stop();
        self.state.readers.close();
        for thread in threads {
            let _panicked = thread.join();
        }
        self.state.published.wake_all();
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        self.stop(false);
    }
}

fn start(state: &Arc<EngineState>) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let (to_applier, groups) = sync_channel(1);
    let applied = Arc::new(Applied::default());
    let hand = Hand::new(to_applier, applied.clone());
    let spawn = |name: &'static str, run: Box<dyn FnOnce() + Send>| {
        let state = state.clone();
        // Without one of these threads commits would wait for ever: a panic in one ends the process.
        let guarded = move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                state.die(&StoreError::Io(format!("the thread {name} ended with a panic")));
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(guarded)
            .map_err(|error| StoreError::Io(format!("cannot start the thread {name}: {error}")))
    };
    let [committer, applier, flusher, compactor, reclaimer] = std::array::from_fn(|_| state.clone());
    let mut threads = vec![
        spawn(
            "committer",
            Box::new(move || {
                tailrace_priority::of_commits();
                committer::run(&committer, hand);
            }),
        )?,
        spawn("applier", Box::new(move || applier::run(&applier, &groups, &applied)))?,
        spawn("flusher", Box::new(move || maintenance::run_flusher(&flusher)))?,
        spawn("compactor", Box::new(move || maintenance::run_compactor(&compactor)))?,
        spawn("reclaimer", Box::new(move || maintenance::run_reclaimer(&reclaimer)))?,
    ];
    for _ in 0..limits::READER_THREADS {
        let reader = state.clone();
        threads.push(spawn("reader", Box::new(move || reader.readers.serve()))?);
    }
    Ok(threads)
}

/// Brings the tree up to the end of the log, in groups, as it was brought there when they were written. Memory stays bounded:
/// full memtables are flushed on the way.
fn replay(log: &Log, tree: &Tree, applied: Lsn) -> Result<(), StoreError> {
    let mut unreadable = HashSet::new();
    let mut apply = |group: &mut Vec<Vec<LoggedWrite>>, last: Lsn| {
        if group.is_empty() {
            return Ok(());
        }
        let changes = changes(group.iter().map(Vec::as_slice), |key| tree.get(key), &mut unreadable)?;
        tree.apply(changes.into_iter().map(|(key, value)| (owned(&key), value.as_ref().map(owned))));
        group.clear();
        if tree.seal_if_due(last, false) {
            // A full disk must not keep what is stored from being read. The log holds no more than the memtables that
            // waited for their flush when it was written, so neither does the memory.
            flush_if_there_is_room(log, tree)?;
        }
        Ok(())
    };
    let (mut group, mut bytes, mut last) = (Vec::new(), 0, applied);
    log.replay(applied, &mut |lsn, commit| {
        last = Lsn(lsn.0 + commit.span() - 1);
        bytes += frame_bytes_bound(&commit.writes);
        group.push(commit.writes);
        if group.len() < limits::GROUP_COMMITS_MAX && bytes < limits::GROUP_BYTES_MAX {
            return Ok(());
        }
        bytes = 0;
        apply(&mut group, last)
    })?;
    apply(&mut group, last)
}

/// The bytes in memory of their own: those of a write that is replayed are a part of the piece of the log that was read, with
/// the images of records and all else that is in it, and a row in a memtable would keep all of it.
fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
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
        shards.push(ShardKey::read(&value).ok_or_else(damaged)?);
    }
    let counter = tree.get(&CounterKey::Shard.encode().0)?;
    let next = CounterKey::next(counter.as_ref())
        .ok_or_else(|| StoreError::Corrupt("the counter of shards is not a number".to_owned()))?;
    Ok(ShardTable::new(shards, next))
}

impl Engine for EmbeddedEngine {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        read::get(&self.state, keys).boxed()
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        read::page(&self.state, range, limit).boxed()
    }

    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>> {
        read::page_beside_log(&self.state, range, limit, shards).boxed()
    }

    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>> {
        read::tally(&self.state, range, size, key).boxed()
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        commit::submit(&self.state, request).boxed()
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        commit::outcome(&self.state, id).boxed()
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        async move { Ok(self.state.published.shards().of(stream)) }.boxed()
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        read::log(&self.state, shard, after, records_max, bytes_max).boxed()
    }

    fn refuses_commits(&self) -> Option<StoreError> {
        commit::refusal(&self.state)
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        read::position(&self.state, shard, position).boxed()
    }

    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        self.state.published.wait_grown(shard, after, || self.state.stopped()).boxed()
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.state.queue.tip().shards.get(shard).ok_or(StoreError::NoSuchShard(shard))?;
            let body = Box::new(move |_: &Reads<'_>| Some(vec![Write::Trim { shard, horizon }]));
            commit::submit(&self.state, CommitRequest::new(&[], &[], body)).await.map(|_| ())
        }
        .boxed()
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (key, value) = ReclaimKey::row(&range);
            let exclusive = [key.clone()];
            let put = [Write::Put { key, value }];
            let body = Box::new(|_: &Reads<'_>| Some(put.to_vec()));
            commit::submit(&self.state, CommitRequest::new(&[], &exclusive, body)).await?;
            self.state.chores.tell(|work| work.reclaim = true);
            Ok(())
        }
        .boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.stop(true);
            if let Some(error) = self.state.died_of() {
                return Err(error);
            }
            // With everything in the tree's files the next start has nothing to replay.
            if self.state.tree.seal_if_due(self.state.published.last(), true) {
                flush_if_there_is_room(&self.state.log, &self.state.tree)?;
            }
            self.state.log.close()?;
            self.lock.lock().take();
            Ok(())
        }
        .boxed()
    }
}
