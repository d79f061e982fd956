//! The model: the whole [`Engine`] on ordered maps, deterministic, with crashes, for tests of everything above it.
//!
//! Invariants: one lock orders everything; what is published is what is synced. [`ModelEngine::hold_syncs`] keeps
//! commits enqueued but not durable until it is lifted; [`ModelEngine::crash`] loses exactly what was not synced and
//! leaves the engine running on what was. A [`PlantedBug`] breaks one rule on purpose, so that a test of the rule can be
//! shown to catch it.
//!
//! Its records are numbered across all shards, as the embedded engine's are.
//!
//! What it does not do: it never touches a disk, reads no clock but the given one, and keeps all it ever synced.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::limits::COMMIT_ID_LIFE;
use tailrace_core::{EpochMs, Lsn, RecordNo};
use tokio::sync::watch;

use crate::commit::{CommitId, CommitReceipt, CommitRequest, NewImage, Outcome, Reads, RecordId, RecordIds, Write};
use crate::engine::{
    Engine, Key, KeyRange, LogPage, LogPosition, LogRecord, Page, PageLimit, ShardInfo, ShardNo, StreamId, Tally,
};
use crate::error::StoreError;
use crate::keyspace::{CommitKey, ItemCount, ItemCountKey};
use crate::shards::{Resolved, ResolvedWrite, ShardTable, shared_numbers};

/// A rule that the model breaks on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A commit is answered before it is synced.
    AckBeforeSync,
    /// A commit is visible before it is synced.
    PublishBeforeSync,
    /// A failed condition is answered before what it has read is synced.
    RejectBeforeSync,
    /// After a crash the next number follows from the last readable record, so trimmed ones are given out again.
    NumberReused,
    /// The records of a commit become durable after its items.
    RecordOutsideCommit,
    /// After a crash the counts of the last commit are added once more.
    CountedTwice,
}

/// The in-memory engine.
pub struct ModelEngine {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    published: watch::Sender<Published>,
}

/// What waiters look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Published {
    /// Raised by every crash: what was waiting before it is lost.
    life: u64,
    lsn: Lsn,
}

struct State {
    published: Image,
    pending: VecDeque<Synced>,
    overlay: HashMap<Bytes, (Option<Bytes>, Lsn)>,
    tip_shards: ShardTable,
    next: Lsn,
    last_ms: EpochMs,
    holding: bool,
    closed: bool,
    bug: Option<PlantedBug>,
    /// Everything synced, in order: what a crash leaves.
    journal: Vec<Synced>,
    /// Records that [`PlantedBug::RecordOutsideCommit`] has not synced yet.
    late: Vec<Synced>,
}

/// A commit, or a range that was reclaimed.
#[derive(Clone)]
enum Synced {
    Commit { lsn: Lsn, time_ms: EpochMs, resolved: Resolved },
    Reclaim(KeyRange),
}

/// What readers see.
#[derive(Clone, Default)]
struct Image {
    rows: BTreeMap<Bytes, Bytes>,
    shards: ShardTable,
    records: BTreeMap<ShardNo, Vec<LogRecord>>,
    last: Lsn,
}

impl Image {
    fn apply(&mut self, synced: &Synced) {
        let (lsn, time_ms, resolved) = match synced {
            Synced::Commit { lsn, time_ms, resolved } => (*lsn, *time_ms, resolved),
            Synced::Reclaim(range) => return self.rows.retain(|key, _| !range.contains(key)),
        };
        let mut record_lsn = lsn;
        for write in &resolved.writes {
            match write {
                ResolvedWrite::Put { key, value, .. } => {
                    self.rows.insert(key.0.clone(), value.clone());
                }
                ResolvedWrite::Delete { key } => {
                    self.rows.remove(&key.0);
                }
                ResolvedWrite::Count { set, by } => {
                    let key = ItemCountKey { set: *set }.encode().0;
                    // One that cannot be read stays as it is.
                    if let Some(count) = ItemCount::read(self.rows.get(&key)) {
                        self.rows.insert(key, count.changed(*by).value());
                    }
                }
                ResolvedWrite::Append { shard, meta, old, new } => {
                    let new = match new {
                        NewImage::None => None,
                        // With `PlantedBug::RecordOutsideCommit` the write is not beside it.
                        NewImage::OfWrite(index) => match resolved.writes.get(*index) {
                            Some(ResolvedWrite::Put { value, .. }) => Some(value.clone()),
                            _ => None,
                        },
                    };
                    let (meta, old) = (meta.clone(), old.clone());
                    let record = LogRecord { shard: *shard, number: RecordNo(record_lsn.0), time_ms, meta, old, new };
                    self.records.entry(*shard).or_default().push(record);
                    record_lsn = record_lsn.next();
                }
            }
        }
        for change in &resolved.changes {
            self.shards.apply(change);
        }
        let shards = &self.shards;
        if !resolved.changes.is_empty() {
            self.records.retain(|shard, records| {
                let Some(info) = shards.get(*shard) else { return false };
                records.retain(|record| record.number >= info.horizon);
                true
            });
        }
        self.last = self.last.max(last_of(lsn, resolved));
    }
}

/// The last number of the commit that begins with `lsn`: each record takes one, and each commit at least one.
fn last_of(lsn: Lsn, resolved: &Resolved) -> Lsn {
    Lsn(lsn.0 + resolved.records.max(1) - 1)
}

/// What a commit comes to before anything is waited for.
struct Made {
    life: u64,
    waits_for: Lsn,
    /// `None`: it was made before.
    receipt: Option<CommitReceipt>,
}

impl State {
    fn value(&self, key: &Key) -> (Option<Bytes>, Lsn) {
        match self.overlay.get(&key.0) {
            Some((value, lsn)) => (value.clone(), *lsn),
            None => (self.published.rows.get(&key.0).cloned(), Lsn::ZERO),
        }
    }

    fn enqueue(&mut self, time_ms: EpochMs, resolved: Resolved) -> Lsn {
        let lsn = self.next;
        let last = last_of(lsn, &resolved);
        self.next = last.next();
        self.last_ms = time_ms;
        for write in &resolved.writes {
            match write {
                ResolvedWrite::Put { key, value, .. } => {
                    self.overlay.insert(key.0.clone(), (Some(value.clone()), last));
                }
                ResolvedWrite::Delete { key } => {
                    self.overlay.insert(key.0.clone(), (None, last));
                }
                ResolvedWrite::Append { .. } | ResolvedWrite::Count { .. } => {}
            }
        }
        self.pending.push_back(Synced::Commit { lsn, time_ms, resolved });
        last
    }

    fn sync(&mut self) {
        self.journal.append(&mut self.late);
        for synced in std::mem::take(&mut self.pending) {
            self.published.apply(&synced);
            match (self.bug, synced) {
                (Some(PlantedBug::RecordOutsideCommit), Synced::Commit { lsn, time_ms, resolved }) => {
                    let (records, rows) = resolved
                        .writes
                        .iter()
                        .cloned()
                        .partition(|write| matches!(write, ResolvedWrite::Append { .. }));
                    let part = |writes| Resolved { writes, ..resolved.clone() };
                    self.journal.push(Synced::Commit { lsn, time_ms, resolved: part(rows) });
                    self.late.push(Synced::Commit { lsn, time_ms, resolved: part(records) });
                }
                (_, synced) => self.journal.push(synced),
            }
        }
        self.overlay.clear();
    }
}

impl ModelEngine {
    /// An empty engine.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<ModelEngine> {
        let state = State {
            published: Image::default(),
            pending: VecDeque::new(),
            overlay: HashMap::new(),
            tip_shards: ShardTable::default(),
            next: Lsn(1),
            last_ms: EpochMs::ZERO,
            holding: false,
            closed: false,
            bug: None,
            journal: Vec::new(),
            late: Vec::new(),
        };
        let (published, _) = watch::channel(Published { life: 0, lsn: Lsn::ZERO });
        Arc::new(ModelEngine { clock, state: Mutex::new(state), published })
    }

    /// Breaks one rule from now on.
    pub fn plant(&self, bug: PlantedBug) {
        self.state.lock().bug = Some(bug);
    }

    /// While held, commits are enqueued and neither durable, visible nor answered. Lifting it syncs them.
    pub fn hold_syncs(&self, hold: bool) {
        let mut state = self.state.lock();
        state.holding = hold;
        if !hold {
            self.sync(&mut state);
        }
    }

    /// Commits that wait to be synced.
    pub fn held(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// The power fails and comes back: what was not synced is gone, and its commits answer [`StoreError::Closed`].
    /// Syncs are held no longer, and an engine that was shut down runs again.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        let mut image = Image::default();
        for synced in &state.journal {
            image.apply(synced);
        }
        if state.bug == Some(PlantedBug::CountedTwice)
            && let Some(Synced::Commit { lsn, time_ms, resolved }) = state.journal.last()
        {
            let counts = |write: &&ResolvedWrite| matches!(write, ResolvedWrite::Count { .. });
            let writes = resolved.writes.iter().filter(counts).cloned().collect();
            let resolved = Resolved { writes, changes: Vec::new(), records: resolved.records };
            image.apply(&Synced::Commit { lsn: *lsn, time_ms: *time_ms, resolved });
        }
        if state.bug == Some(PlantedBug::NumberReused) {
            let records = image.records.values().flatten().map(|record| Lsn(record.number.0));
            state.next = records.max().unwrap_or(Lsn::ZERO).next();
        }
        state.tip_shards = image.shards.clone();
        state.published = image;
        state.pending.clear();
        state.late.clear();
        state.overlay.clear();
        state.holding = false;
        state.closed = false;
        self.published.send_modify(|published| published.life += 1);
    }

    fn sync(&self, state: &mut State) {
        state.sync();
        let lsn = Lsn(state.next.0 - 1);
        self.published.send_modify(|published| published.lsn = lsn);
    }

    fn sync_unless_held(&self, state: &mut State) {
        if !state.holding {
            self.sync(state);
        } else if state.bug == Some(PlantedBug::PublishBeforeSync) {
            if let Some(synced) = state.pending.back() {
                state.published.apply(synced);
            }
            self.published.send_modify(|_| {});
        }
    }

    async fn wait(&self, life: u64, lsn: Lsn) -> Result<(), StoreError> {
        let mut published = self.published.subscribe();
        let seen = published.wait_for(|now| now.life != life || now.lsn >= lsn).await;
        match seen {
            Ok(now) if now.life == life => Ok(()),
            _ => Err(StoreError::Closed),
        }
    }

    fn commit_now(&self, request: CommitRequest<'_>) -> Result<Made, StoreError> {
        let CommitRequest { declared, mut body } = request;
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let life = self.published.borrow().life;
        let now_ms = self.clock.now().max(state.last_ms);
        if let Some(id) = declared.id {
            if id.is_forgotten(now_ms) {
                return Err(CommitId::forgotten());
            }
            let (made, waits_for) = state.value(&CommitKey { id }.encode());
            if made.is_some() {
                return Ok(Made { life, waits_for, receipt: None });
            }
        }
        let mut newest_read = Lsn::ZERO;
        let mut read = |keys: &[Key]| -> Vec<Option<Bytes>> {
            keys.iter()
                .map(|key| {
                    let (value, lsn) = state.value(key);
                    newest_read = newest_read.max(lsn);
                    value
                })
                .collect()
        };
        let (shared, exclusive) = (read(declared.shared), read(declared.exclusive));
        let streams: Vec<_> = declared.streams.iter().map(|stream| state.tip_shards.states(*stream)).collect();
        if !streams.is_empty() {
            newest_read = Lsn(state.next.0 - 1);
        }
        let early = state.bug == Some(PlantedBug::RejectBeforeSync);
        let nothing = |newest_read| {
            let waits_for = if early { Lsn::ZERO } else { newest_read };
            Ok(Made { life, waits_for, receipt: Some(CommitReceipt::default()) })
        };
        let reads = Reads { shared: &shared, exclusive: &exclusive, streams: &streams, now_ms };
        let Some(mut writes) = body(&reads).filter(|writes| !writes.is_empty()) else { return nothing(newest_read) };
        if let Some(id) = declared.id {
            writes.push(Write::Put { key: CommitKey { id }.encode(), value: Bytes::new() });
        }
        let first = state.next;
        let resolved = state.tip_shards.resolve(writes, &shared_numbers(RecordNo(first.0)), now_ms)?;
        if resolved.writes.is_empty() {
            // What was to be done is done already, by commits that may not be durable yet.
            return nothing(Lsn(first.0 - 1));
        }
        let mut records = RecordIds::None;
        let shards = resolved.writes.iter().filter_map(|write| match write {
            ResolvedWrite::Append { shard, .. } => Some(*shard),
            _ => None,
        });
        for (shard, number) in shards.zip(first.0..) {
            records.push(RecordId { shard, number: RecordNo(number) });
        }
        let last = state.enqueue(now_ms, resolved);
        if declared.id.is_some() {
            let old = CommitKey::older_than(now_ms.minus(COMMIT_ID_LIFE));
            state.pending.push_back(Synced::Reclaim(old));
        }
        self.sync_unless_held(&mut state);
        let early = state.bug == Some(PlantedBug::AckBeforeSync);
        let waits_for = if early { Lsn::ZERO } else { last };
        Ok(Made { life, waits_for, receipt: Some(CommitReceipt { wrote: true, records }) })
    }
}

impl Engine for ModelEngine {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move {
            let state = self.state.lock();
            Ok(keys.iter().map(|key| state.published.rows.get(&key.0).cloned()).collect())
        }
        .boxed()
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move {
            if range.is_empty() {
                return Ok(Page::default());
            }
            let state = self.state.lock();
            let bounds: (Bound<&Bytes>, Bound<&Bytes>) = (range.start.as_ref(), range.end.as_ref());
            let rows = state.published.rows.range::<Bytes, _>(bounds);
            if range.reverse { Ok(take_page(rows.rev(), limit)) } else { Ok(take_page(rows, limit)) }
        }
        .boxed()
    }

    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>> {
        async move {
            let state = self.state.lock();
            let image = &state.published;
            let known = |shard: &ShardNo| match image.shards.get(*shard) {
                Some(_) => Ok(RecordNo(image.last.0)),
                None => Err(StoreError::NoSuchShard(*shard)),
            };
            let numbers = shards.iter().map(known).collect::<Result<_, _>>()?;
            if range.is_empty() {
                return Ok((Page::default(), numbers));
            }
            let bounds: (Bound<&Bytes>, Bound<&Bytes>) = (range.start.as_ref(), range.end.as_ref());
            let rows = image.rows.range::<Bytes, _>(bounds);
            let page = if range.reverse { take_page(rows.rev(), limit) } else { take_page(rows, limit) };
            Ok((page, numbers))
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
            let Made { life, waits_for, receipt } = self.commit_now(request)?;
            self.wait(life, waits_for).await?;
            receipt.ok_or(StoreError::AlreadyCommitted)
        }
        .boxed()
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        async move {
            let (life, made, waits_for) = {
                let state = self.state.lock();
                if id.is_forgotten(self.clock.now().max(state.last_ms)) {
                    return Ok(Outcome::Unknown);
                }
                let (made, waits_for) = state.value(&CommitKey { id }.encode());
                (self.published.borrow().life, made, waits_for)
            };
            self.wait(life, waits_for).await?;
            Ok(if made.is_some() { Outcome::Committed } else { Outcome::NotCommitted })
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
            let image = &state.published;
            let info = image.shards.get(shard).ok_or(StoreError::NoSuchShard(shard))?;
            let all = image.records.get(&shard).map_or(&[][..], Vec::as_slice);
            let from = all.partition_point(|record| record.number <= after || record.number < info.horizon);
            let mut page = LogPage {
                records: Vec::new(),
                next: after.max(RecordNo(image.last.0)),
                ended: info.sealed.is_some(),
                more: false,
                horizon: info.horizon,
                lost: Vec::new(),
            };
            let mut bytes = 0;
            for record in &all[from..] {
                let image_bytes = |image: &Option<Bytes>| image.as_ref().map_or(0, Bytes::len);
                bytes += record.meta.len() + image_bytes(&record.old) + image_bytes(&record.new);
                if page.records.len() >= records_max || (bytes > bytes_max && !page.records.is_empty()) {
                    page.more = true;
                    page.ended = false;
                    page.next = page.records.last().map_or(after, |record| record.number);
                    break;
                }
                page.records.push(record.clone());
            }
            Ok(page)
        }
        .boxed()
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        async move {
            let state = self.state.lock();
            let image = &state.published;
            let info = image.shards.get(shard).ok_or(StoreError::NoSuchShard(shard))?;
            let records = image.records.get(&shard).map_or(&[][..], Vec::as_slice);
            Ok(match position {
                LogPosition::Horizon => info.horizon.before(),
                LogPosition::End => RecordNo(image.last.0),
                LogPosition::Time(ms) => records
                    .iter()
                    .rfind(|record| record.time_ms < ms && record.number >= info.horizon)
                    .map_or(info.horizon.before(), |record| record.number),
            })
        }
        .boxed()
    }

    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        async move {
            let mut published = self.published.subscribe();
            loop {
                published.borrow_and_update();
                {
                    let state = self.state.lock();
                    let image = &state.published;
                    let open = image.shards.get(shard).is_some_and(|info| info.sealed.is_none());
                    let newest = image.records.get(&shard).and_then(|records| records.last());
                    if !open || state.closed || newest.is_some_and(|record| record.number > after) {
                        return;
                    }
                }
                if published.changed().await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.state.lock().tip_shards.get(shard).ok_or(StoreError::NoSuchShard(shard))?;
            let body = Box::new(move |_: &Reads<'_>| Some(vec![Write::Trim { shard, horizon }]));
            self.commit(CommitRequest::new(&[], &[], body)).await.map(|_| ())
        }
        .boxed()
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let mut state = self.state.lock();
            state.pending.push_back(Synced::Reclaim(range));
            self.sync_unless_held(&mut state);
            Ok(())
        }
        .boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let mut state = self.state.lock();
            state.closed = true;
            state.holding = false;
            self.sync(&mut state);
            Ok(())
        }
        .boxed()
    }
}

fn take_page<'a>(rows: impl Iterator<Item = (&'a Bytes, &'a Bytes)>, limit: PageLimit) -> Page {
    let mut page = Page::default();
    let mut cost = 0usize;
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
