//! A toy engine that numbers the records of each shard by themselves, as an engine of several nodes would: two records may
//! have the same number, and a number says nothing about another shard, but for those that ended before this one began: a
//! shard begins above every number that there was when it was opened. Tests run the contract over it, and the tests
//! of the layers above that read streams, so that nothing comes to rest on one order of all numbers.
//!
//! It is as simple as it can be, not fast: what is queued and what is published are two copies of everything, and a sync
//! makes them one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::EpochMs;
use tailrace_core::clock::Clock;
use tailrace_core::limits::COMMIT_ID_LIFE;
use tokio::sync::watch;

use crate::commit::*;
use crate::engine::*;
use crate::error::StoreError;
use crate::keyspace::{CommitKey, ItemCount, ItemCountKey};
use crate::model::ModelEngine;
use crate::shards::{Resolved, ResolvedWrite, ShardChange, ShardTable};

/// An engine in memory, with a power switch.
pub trait MemoryEngine: Engine {
    /// While held, nothing becomes durable. Lifting it makes everything so.
    fn hold_syncs(&self, hold: bool);

    /// The power fails and comes back: what was not durable is gone. Syncs are held no longer.
    fn crash(&self);
}

impl MemoryEngine for ModelEngine {
    fn hold_syncs(&self, hold: bool) {
        ModelEngine::hold_syncs(self, hold);
    }

    fn crash(&self) {
        ModelEngine::crash(self);
    }
}

/// How an engine in memory numbers records. A test that must not rest on it runs over each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// All in one order: [`ModelEngine`].
    Shared,
    /// Those of each shard by themselves: [`PerShardEngine`].
    PerShard,
}

impl Numbers {
    /// Each way.
    pub const ALL: [Numbers; 2] = [Numbers::Shared, Numbers::PerShard];

    /// An empty engine that numbers so.
    pub fn engine(self, clock: Arc<dyn Clock>) -> Arc<dyn MemoryEngine> {
        match self {
            Numbers::Shared => ModelEngine::new(clock),
            Numbers::PerShard => PerShardEngine::new(clock),
        }
    }
}

/// The engine.
pub struct PerShardEngine {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

/// How far everything is published, and how often the power failed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    life: u64,
    synced: u64,
}

#[derive(Default)]
struct State {
    tip: World,
    published: World,
    holding: bool,
    closed: bool,
}

#[derive(Clone, Default)]
struct World {
    rows: BTreeMap<Bytes, Bytes>,
    shards: ShardTable,
    records: BTreeMap<ShardNo, Vec<LogRecord>>,
    /// The last number of each shard; before its first record, the one before its first.
    last: BTreeMap<ShardNo, u64>,
    /// The highest number that any shard had or was sealed at, also one that is forgotten.
    highest: u64,
    now_ms: EpochMs,
    /// How many commits there were, and the last one of each key.
    commits: u64,
    written: BTreeMap<Bytes, u64>,
}

impl World {
    fn read(&self, keys: &[Key], newest: &mut u64) -> Vec<Option<Bytes>> {
        let mut read = |key: &Key| {
            *newest = (*newest).max(self.written.get(&key.0).copied().unwrap_or_default());
            self.rows.get(&key.0).cloned()
        };
        keys.iter().map(&mut read).collect()
    }

    fn resolve(&mut self, writes: Vec<Write>, now_ms: EpochMs) -> Result<Resolved, StoreError> {
        let (last, highest) = (&self.last, self.highest);
        let next = |shard: ShardNo, before: &[ResolvedWrite]| {
            let appended = |to: &dyn Fn(ShardNo) -> bool| {
                let counts =
                    |write: &&ResolvedWrite| matches!(write, ResolvedWrite::Append { shard, .. } if to(*shard));
                before.iter().filter(counts).count() as u64
            };
            RecordNo(match last.get(&shard) {
                Some(last) => last + appended(&|of| of == shard) + 1,
                // It is opened in this commit: no shard comes further than if it had all the records before.
                None => highest + appended(&|_| true) + 1,
            })
        };
        self.shards.resolve(writes, &next, now_ms)
    }

    fn apply(&mut self, resolved: Resolved, now_ms: EpochMs) -> RecordIds {
        self.commits += 1;
        self.now_ms = now_ms;
        let mut records = RecordIds::None;
        for change in &resolved.changes {
            if let ShardChange::Set(info) = change {
                self.last.entry(info.shard).or_insert(info.first.before().0);
                self.highest = self.highest.max(info.sealed.unwrap_or_default().0);
            }
        }
        let values: Vec<Option<Bytes>> = resolved.writes.iter().map(value).collect();
        for write in resolved.writes {
            match write {
                ResolvedWrite::Put { key, value, .. } => {
                    self.written.insert(key.0.clone(), self.commits);
                    self.rows.insert(key.0, value);
                }
                ResolvedWrite::Delete { key } => {
                    self.rows.remove(&key.0);
                    self.written.insert(key.0, self.commits);
                }
                ResolvedWrite::Count { set, by } => {
                    let key = ItemCountKey { set }.encode().0;
                    let count = ItemCount::read(self.rows.get(&key)).expect("invariant: only counts are written there");
                    self.written.insert(key.clone(), self.commits);
                    self.rows.insert(key, count.changed(by).value());
                }
                ResolvedWrite::Append { shard, meta, old, new } => {
                    let last = self.last.get_mut(&shard).expect("invariant: a shard is opened before it has a record");
                    *last += 1;
                    self.highest = self.highest.max(*last);
                    let number = RecordNo(*last);
                    let new = match new {
                        NewImage::None => None,
                        NewImage::OfWrite(of) => values[of].clone(),
                    };
                    let record = LogRecord { shard, number, time_ms: now_ms, meta, old, new };
                    self.records.entry(shard).or_default().push(record);
                    records.push(RecordId { shard, number });
                }
            }
        }
        let shards = &self.shards;
        self.last.retain(|shard, _| shards.get(*shard).is_some());
        self.records.retain(|shard, records| {
            let Some(info) = shards.get(*shard) else { return false };
            records.retain(|record| record.number >= info.horizon);
            true
        });
        records
    }

    fn shard(&self, shard: ShardNo) -> Result<(&ShardInfo, &[LogRecord]), StoreError> {
        let info = self.shards.get(shard).ok_or(StoreError::NoSuchShard(shard))?;
        Ok((info, self.records.get(&shard).map_or(&[], Vec::as_slice)))
    }

    fn page(&self, range: &KeyRange, limit: PageLimit) -> Page {
        let mut rows: Vec<_> = self.rows.iter().filter(|(key, _)| range.contains(key)).collect();
        if range.reverse {
            rows.reverse();
        }
        let (mut page, mut cost) = (Page::default(), 0usize);
        for (key, value) in rows {
            if page.rows.len() >= limit.rows_max || cost >= limit.cost_max {
                page.limited = true;
                break;
            }
            cost = cost.saturating_add((limit.cost)(key, value));
            page.rows.push((Key(key.clone()), value.clone()));
        }
        page
    }

    fn end(&self, shard: ShardNo) -> RecordNo {
        RecordNo(self.last.get(&shard).copied().unwrap_or_default())
    }
}

fn value(write: &ResolvedWrite) -> Option<Bytes> {
    match write {
        ResolvedWrite::Put { value, .. } => Some(value.clone()),
        _ => None,
    }
}

impl PerShardEngine {
    /// An empty engine.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<PerShardEngine> {
        let (progress, _) = watch::channel(Progress { life: 0, synced: 0 });
        Arc::new(PerShardEngine { clock, state: Mutex::default(), progress })
    }

    fn sync(&self, state: &mut State) {
        if !state.holding {
            state.published = state.tip.clone();
            self.progress.send_modify(|progress| progress.synced = state.published.commits);
        }
    }

    async fn wait(&self, life: u64, commit: u64) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let seen = progress.wait_for(|now| now.life != life || now.synced >= commit).await;
        match seen {
            Ok(now) if now.life == life => Ok(()),
            _ => Err(StoreError::Closed),
        }
    }

    /// The answer, and the commit that must be published before it is given.
    #[allow(clippy::type_complexity, reason = "a toy")]
    fn make(&self, request: CommitRequest<'_>) -> Result<(u64, u64, Result<CommitReceipt, StoreError>), StoreError> {
        let CommitRequest { declared, mut body } = request;
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let life = self.progress.borrow().life;
        let tip = &mut state.tip;
        let now_ms = self.clock.now().max(tip.now_ms);
        let mut newest = 0;
        if let Some(id) = declared.id {
            if id.is_forgotten(now_ms) {
                return Err(CommitId::forgotten());
            }
            if tip.read(&[CommitKey { id }.encode()], &mut newest)[0].is_some() {
                return Ok((life, newest, Err(StoreError::AlreadyCommitted)));
            }
        }
        let (shared, exclusive) = (tip.read(declared.shared, &mut newest), tip.read(declared.exclusive, &mut newest));
        let streams: Vec<_> = declared.streams.iter().map(|stream| tip.shards.states(*stream)).collect();
        if !streams.is_empty() {
            newest = tip.commits;
        }
        let reads = Reads { shared: &shared, exclusive: &exclusive, streams: &streams, now_ms };
        let Some(mut writes) = body(&reads).filter(|writes| !writes.is_empty()) else {
            return Ok((life, newest, Ok(CommitReceipt::default())));
        };
        if let Some(id) = declared.id {
            writes.push(Write::Put { key: CommitKey { id }.encode(), value: Bytes::new() });
            let old = CommitKey::older_than(now_ms.minus(COMMIT_ID_LIFE));
            tip.rows.retain(|key, _| !old.contains(key));
        }
        let resolved = tip.resolve(writes, now_ms)?;
        if resolved.writes.is_empty() {
            return Ok((life, tip.commits, Ok(CommitReceipt::default())));
        }
        let records = tip.apply(resolved, now_ms);
        let commit = tip.commits;
        self.sync(&mut state);
        Ok((life, commit, Ok(CommitReceipt { wrote: true, records })))
    }
}

impl MemoryEngine for PerShardEngine {
    fn hold_syncs(&self, hold: bool) {
        let mut state = self.state.lock();
        state.holding = hold;
        self.sync(&mut state);
    }

    fn crash(&self) {
        let mut state = self.state.lock();
        state.tip = state.published.clone();
        (state.holding, state.closed) = (false, false);
        self.progress.send_modify(|progress| progress.life += 1);
    }
}

impl Engine for PerShardEngine {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move { Ok(self.state.lock().published.read(keys, &mut 0)) }.boxed()
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move { Ok(self.state.lock().published.page(&range, limit)) }.boxed()
    }

    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>> {
        async move {
            let image = &self.state.lock().published;
            let end = |shard: &ShardNo| Ok(image.end(*shard).max(image.shard(*shard)?.0.horizon.before()));
            let numbers = shards.iter().map(end).collect::<Result<_, StoreError>>()?;
            Ok((image.page(&range, limit), numbers))
        }
        .boxed()
    }

    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>> {
        async move { Ok(Tally::of(&self.state.lock().published.rows, &range, size, key)) }.boxed()
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        async move {
            let (life, commit, answer) = self.make(request)?;
            self.wait(life, commit).await?;
            answer
        }
        .boxed()
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        async move {
            let (life, mut newest) = (self.progress.borrow().life, 0);
            let made = {
                let state = self.state.lock();
                if id.is_forgotten(self.clock.now().max(state.tip.now_ms)) {
                    return Ok(Outcome::Unknown);
                }
                state.tip.read(&[CommitKey { id }.encode()], &mut newest)[0].is_some()
            };
            self.wait(life, newest).await?;
            Ok(if made { Outcome::Committed } else { Outcome::NotCommitted })
        }
        .boxed()
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        async move { Ok(self.state.lock().published.shards.of(stream)) }.boxed()
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        async move {
            let state = self.state.lock();
            let (info, records) = state.published.shard(shard)?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            let mut left = records.iter().filter(|record| record.number > after).peekable();
            while let Some(record) = left.peek() {
                let images = record.old.iter().chain(&record.new).map(Bytes::len).sum::<usize>();
                bytes += record.meta.len() + images;
                if page.len() >= records_max || (bytes > bytes_max && !page.is_empty()) {
                    break;
                }
                page.extend(left.next().cloned());
            }
            let more = left.peek().is_some();
            let next = page.last().map_or(after, |record: &LogRecord| record.number);
            let ended = info.sealed.is_some() && !more;
            Ok(LogPage { records: page, next, ended, more, horizon: info.horizon, lost: Vec::new() })
        }
        .boxed()
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        async move {
            let state = self.state.lock();
            let (info, records) = state.published.shard(shard)?;
            let horizon = info.horizon.before();
            Ok(match position {
                LogPosition::Horizon => horizon,
                LogPosition::End => state.published.end(shard).max(horizon),
                LogPosition::Time(ms) => {
                    records.iter().rfind(|record| record.time_ms < ms).map_or(horizon, |record| record.number)
                }
            })
        }
        .boxed()
    }

    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        async move {
            let mut progress = self.progress.subscribe();
            let waits = || {
                let state = self.state.lock();
                let open = state.published.shards.get(shard).is_some_and(|info| info.sealed.is_none());
                open && !state.closed && state.published.end(shard) <= after
            };
            while waits() && progress.changed().await.is_ok() {}
        }
        .boxed()
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.state.lock().tip.shard(shard)?;
            let body = Box::new(move |_: &Reads<'_>| Some(vec![Write::Trim { shard, horizon }]));
            self.commit(CommitRequest::new(&[], &[], body)).await.map(|_| ())
        }
        .boxed()
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let mut state = self.state.lock();
            state.tip.rows.retain(|key, _| !range.contains(key));
            self.sync(&mut state);
            Ok(())
        }
        .boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let mut state = self.state.lock();
            (state.closed, state.holding) = (true, false);
            self.sync(&mut state);
            Ok(())
        }
        .boxed()
    }
}
