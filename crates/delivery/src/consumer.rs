//! A consumer: a target that reads a stream by some rules. What it knows durably are its checkpoints and parked records; here
//! is the handle of a process that runs it.
//!
//! Invariants: tasks are stopped by letting what is under way end, never by dropping it; what tasks are told is a level, not
//! a message, so that one that starts late sees the newest.
//! What it does not do: it decides nothing about a record (the machine does), and it stores no configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tailrace_core::limits::{GET_RECORDS_MAX, MAPPING_FETCH_BYTES_MAX, MAPPING_ROWS_PER_PAGE};
use tailrace_core::{EpochMs, MappingId, RecordNo, ShardNo, StreamId};
use tailrace_store::{Key, LogPosition, ShardInfo, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::machine::{Answer, Checkpoint, LastResult, ParkedSize, Rules, ShardState, Status};
use crate::observer::{DeliveryEvent, Observer, Shard};
use crate::pages::Bound;
use crate::parked::{self, ParkedRecord};
use crate::status::{self, ShardStatus};
use crate::target::{Batch, Target, Waits};
use crate::{checkpoints, ownership, supervisor};

/// The stream that a consumer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The stream.
    pub stream: StreamId,
    /// The name of its table's partition key: records of one value keep their order.
    pub partition_key: String,
}

/// What makes a consumer.
pub struct Definition {
    /// Its id, under which its checkpoints and parked records are.
    pub id: MappingId,
    /// The row whose presence says that the consumer exists: no shard is claimed without it.
    pub row: Key,
    /// What it reads.
    pub source: Source,
    /// Who takes the records.
    pub target: Arc<dyn Target>,
    /// Who is told what happens.
    pub observer: Arc<dyn Observer>,
}

/// What the tasks of a consumer are told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Control {
    pub rules: Arc<Rules>,
    /// Raised to retry at once.
    pub wakes: u64,
    /// Raised when the rules or the target's own configuration changed.
    pub changes: u64,
    /// Raised when parked records were removed.
    pub removals: u64,
    /// Damaged records that are to be set aside.
    pub skips: Arc<BTreeMap<ShardNo, RecordNo>>,
    pub stop: bool,
}

/// What the tasks of a consumer have in common.
pub(crate) struct Core {
    pub context: Arc<Context>,
    pub id: MappingId,
    pub row: Key,
    pub source: Source,
    pub target: Arc<dyn Target>,
    observer: Arc<dyn Observer>,
    /// Parked records that were removed and that their shard's machine does not know of. Held while parked rows are removed
    /// or counted.
    pub removed: tokio::sync::Mutex<HashMap<ShardNo, ParkedSize>>,
    /// Records that are being redriven.
    pub redriving: Mutex<BTreeSet<(ShardNo, RecordNo)>>,
    pub machines: Mutex<BTreeMap<ShardNo, (Shard, Status)>>,
    /// Batches that wait for their turn at the target, of each shard that is worked on.
    waits: Mutex<BTreeMap<ShardNo, Waits>>,
    pub finished: Mutex<BTreeSet<ShardNo>>,
    /// Shards that another runner has taken over.
    pub elsewhere: Mutex<BTreeSet<ShardNo>>,
    pub trouble: Mutex<Option<String>>,
}

impl Core {
    /// Hands a batch to the target; the answer, and what is to be told of it.
    pub async fn deliver(&self, batch: Batch) -> (Answer, DeliveryEvent) {
        let (shard, records) = (batch.shard.clone(), batch.records.len());
        let from_ns = self.context.clock.monotonic_ns();
        let answer = self.target.deliver(batch).await;
        let duration = Duration::from_nanos(self.context.clock.monotonic_ns().saturating_sub(from_ns));
        let event = DeliveryEvent::batch(shard, records, &answer.outcome, duration);
        (answer, event)
    }

    pub fn tell(&self, event: DeliveryEvent) {
        self.observer.on_event(event);
    }

    pub fn trouble(&self, shard: Option<&Shard>, error: String) {
        tracing::warn!(consumer = %self.id, shard = shard.map(|shard| &*shard.id), %error, "delivery in trouble");
        *self.trouble.lock() = Some(error.clone());
        self.tell(DeliveryEvent::Trouble { shard: shard.cloned(), error });
        self.context.changed();
    }

    /// Counts the shard's batches that wait for their turn.
    pub fn waits(&self, shard: &Shard) -> Waits {
        let context = Arc::downgrade(&self.context);
        let changed = move || {
            if let Some(context) = context.upgrade() {
                context.changed();
            }
        };
        self.waits.lock().entry(shard.no).or_insert_with(|| Waits::new(changed)).clone()
    }

    fn waiting(&self, shard: ShardNo) -> usize {
        self.waits.lock().get(&shard).map_or(0, Waits::count)
    }

    /// The shard's task has ended.
    pub fn hide(&self, shard: ShardNo) {
        self.machines.lock().remove(&shard);
        self.waits.lock().remove(&shard);
    }

    pub fn show(&self, shard: &Shard, status: Status) {
        self.machines.lock().insert(shard.no, (shard.clone(), status));
        self.context.changed();
    }
}

/// A consumer of this process.
pub struct Consumer {
    pub(crate) core: Arc<Core>,
    pub(crate) control: watch::Sender<Control>,
    /// The supervisor, if it runs.
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Consumer {
    /// A consumer that does not run yet.
    pub fn new(context: Arc<Context>, definition: Definition, rules: Rules) -> Consumer {
        let Definition { id, row, source, target, observer } = definition;
        let core = Core {
            context,
            id,
            row,
            source,
            target,
            observer,
            removed: tokio::sync::Mutex::default(),
            redriving: Mutex::default(),
            machines: Mutex::default(),
            waits: Mutex::default(),
            finished: Mutex::default(),
            elsewhere: Mutex::default(),
            trouble: Mutex::default(),
        };
        let control =
            Control { rules: Arc::new(rules), wakes: 0, changes: 0, removals: 0, skips: Arc::default(), stop: false };
        Consumer { core: Arc::new(core), control: watch::Sender::new(control), task: tokio::sync::Mutex::default() }
    }

    /// The rows that let a new consumer of `stream` begin where `position` is now, for the commit that makes it. Without them it is
    /// to have everything that was ever in the stream: what was trimmed before it was read is told.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_at(
        context: &Context,
        id: MappingId,
        stream: StreamId,
        lanes: u16,
        position: LogPosition,
    ) -> Result<Vec<(Key, Bytes)>, StoreError> {
        checkpoints::at(context.store.as_ref(), id, stream, lanes, position).await
    }

    /// Removes everything that a consumer has in the store but the row that defines it. Owners go first: who still delivers
    /// for it commits nothing any more. Safe to repeat.
    ///
    /// # Errors
    /// The store's.
    pub async fn delete_rows(context: &Context, id: MappingId) -> Result<(), StoreError> {
        let store = context.store.as_ref();
        ownership::delete_all(store, id).await?;
        parked::delete_all(store, id).await?;
        checkpoints::delete_all(store, id).await
    }

    /// Its id.
    pub fn id(&self) -> MappingId {
        self.core.id
    }

    /// Runs, if it does not yet.
    pub async fn start(&self) {
        let mut task = self.task.lock().await;
        // It may have ended by itself, or be ending for a caller who stopped it and did not wait.
        let is_over = |running: &JoinHandle<()>| running.is_finished() || self.control.borrow().stop;
        if task.as_ref().is_some_and(is_over) {
            self.end(&mut task).await;
        }
        if task.is_none() {
            self.core.elsewhere.lock().clear();
            self.control.send_modify(|control| control.stop = false);
            *task = Some(tokio::spawn(supervisor::run(self.core.clone(), self.control.subscribe())));
        }
    }

    /// Hands out nothing more. Does not wait.
    pub fn begin_to_stop(&self) {
        self.control.send_modify(|control| control.stop = true);
    }

    /// Hands out nothing more, waits for what is under way and for its checkpoint.
    pub async fn stop(&self) {
        let mut task = self.task.lock().await;
        self.begin_to_stop();
        self.end(&mut task).await;
    }

    /// Waits for the end of the supervisor, which was told to stop or has ended.
    async fn end(&self, task: &mut Option<JoinHandle<()>>) {
        if let Some(running) = task.as_mut()
            && let Err(error) = running.await
        {
            self.core.trouble(None, format!("the supervisor ended early: {error}"));
        }
        *task = None;
        self.core.machines.lock().clear();
        self.core.waits.lock().clear();
    }

    /// Goes on by other rules, or with a target that goes by others: what waits to be retried is retried at once, and what waits
    /// for its turn at the target comes back and goes out again.
    pub fn configure(&self, rules: Rules) {
        self.control.send_modify(|control| {
            control.rules = Arc::new(rules);
            control.changes += 1;
        });
    }

    /// Something outside changed, the target for one: what waits to be retried is retried at once.
    pub fn wake(&self) {
        self.control.send_modify(|control| control.wakes += 1);
    }

    /// The shards that are worked on, by number, without a look at store and log.
    pub fn running(&self) -> Vec<ShardStatus> {
        let now_ms = self.core.context.clock.now();
        let machines = self.core.machines.lock();
        let shown = |(shard, status): &(Shard, Status)| {
            ShardStatus::running(shard, status, self.core.waiting(shard.no), now_ms)
        };
        machines.values().map(shown).collect()
    }

    /// What each shard that is worked on did last.
    pub fn last_results(&self) -> Vec<LastResult> {
        self.core.machines.lock().values().filter_map(|(_, status)| status.last.clone()).collect()
    }

    /// What is known durably of each shard that was begun.
    ///
    /// # Errors
    /// The store's.
    pub async fn checkpoints(&self) -> Result<BTreeMap<ShardNo, Checkpoint>, StoreError> {
        checkpoints::all(self.core.context.store.as_ref(), self.core.id).await
    }

    /// Some shard of it is worked on.
    pub fn is_running(&self) -> bool {
        !self.core.machines.lock().is_empty()
    }

    /// What the stored checkpoints say: whether the stream has ended and all of it is done, and the last results.
    ///
    /// # Errors
    /// The store's.
    pub async fn stored_results(&self) -> Result<(bool, Vec<LastResult>), StoreError> {
        let store = self.core.context.store.as_ref();
        let checkpoints = checkpoints::all(store, self.core.id).await?;
        let infos = store.shards(self.core.source.stream).await?;
        let ended = infos.iter().all(|info| is_over(info, &checkpoints));
        Ok((ended, checkpoints.into_values().filter_map(|checkpoint| checkpoint.last).collect()))
    }

    /// The last trouble of the consumer itself.
    pub fn trouble(&self) -> Option<String> {
        self.core.trouble.lock().clone()
    }

    /// Every shard of the stream, running or not; and the last results of the stored checkpoints. `enabled`: it is to run.
    ///
    /// # Errors
    /// The store's.
    pub async fn shards(&self, enabled: bool) -> Result<(Vec<ShardStatus>, Vec<LastResult>), StoreError> {
        let store = self.core.context.store.as_ref();
        let checkpoints = checkpoints::all(store, self.core.id).await?;
        let infos = store.shards(self.core.source.stream).await?;
        let finished = |shard: ShardNo| checkpoints.get(&shard).is_some_and(|checkpoint| checkpoint.finished);
        // A stream that goes on has an open shard. One that was disabled, or whose table was deleted, has none.
        let ended = infos.iter().all(|info| is_over(info, &checkpoints));
        let open_parent = |parent: ShardNo| !finished(parent) && infos.iter().any(|info| info.shard == parent);
        let mut shards = Vec::with_capacity(infos.len());
        for info in &infos {
            let shard = Shard::of(info);
            let running = self.core.machines.lock().get(&info.shard).map(|(_, status)| status.clone());
            let state = match (finished(info.shard), running) {
                (false, Some(running)) => {
                    shards.push(self.running_shard(&shard, info.sealed.is_some(), &running).await?);
                    continue;
                }
                (true, _) if ended => ShardState::StreamEnded,
                (true, _) => ShardState::Finished,
                (false, None) if self.core.elsewhere.lock().contains(&info.shard) => ShardState::Elsewhere,
                (false, None) if enabled && !info.parent.is_some_and(open_parent) => ShardState::Starting,
                (false, None) => ShardState::Waiting,
            };
            let checkpoint = checkpoints.get(&info.shard);
            let position =
                checkpoint.map_or(RecordNo(info.first.0.saturating_sub(1)), |checkpoint| checkpoint.low_water);
            let unread = match state.is_over() {
                true => Unread::default(),
                false => self.unread(info.shard, position).await?,
            };
            let parked = parked::summary(store, self.core.id, info.shard).await?;
            let now_ms = self.core.context.clock.now();
            shards.push(ShardStatus::resting(&shard, state, (position, checkpoint), unread, parked, now_ms));
        }
        let results = checkpoints.into_values().filter_map(|checkpoint| checkpoint.last).collect();
        Ok((shards, results))
    }

    async fn running_shard(&self, shard: &Shard, sealed: bool, status: &Status) -> Result<ShardStatus, StoreError> {
        let (waiting, now_ms) = (self.core.waiting(shard.no), self.core.context.clock.now());
        let mut shown = ShardStatus::running(shard, status, waiting, now_ms);
        shown.drained &= !sealed;
        // What the machine has not looked at yet, or since a moment ago.
        if shown.pending_records == 0 && !status.ended {
            let Unread { records, is_more, oldest_ms } = self.unread(shard.no, status.read).await?;
            (shown.pending_records, shown.pending_is_more) = (records, is_more);
            shown.lag = oldest_ms.map_or(shown.lag, |oldest| now_ms.since(oldest));
            shown.drained &= records == 0;
        }
        if shown.last_error.is_none() && shown.parked_records > 0 {
            let first = parked::first(self.core.context.store.as_ref(), self.core.id, shard.no).await?;
            shown.last_error = first.map(|first| status::because(&first));
        }
        Ok(shown)
    }

    /// What lies behind `after`, as far as one page goes.
    async fn unread(&self, shard: ShardNo, after: RecordNo) -> Result<Unread, StoreError> {
        let Core { context, source, .. } = &*self.core;
        let bound = Bound { records: GET_RECORDS_MAX, bytes: MAPPING_FETCH_BYTES_MAX };
        // Whoever looks at twenty consumers of a stream does not read it twenty times.
        match context.pages.read(context.store.as_ref(), source.stream, shard, after, bound).await {
            Ok(page) => {
                let oldest_ms = page.records.first().map(|record| record.time_ms);
                let mut is_more = page.more;
                if !page.records.is_empty() && !page.more && !page.ended {
                    // Of a page that was read a while ago: something may have come since.
                    let behind = context.store.read_log(shard, page.next, 1, 1).await?;
                    is_more = !behind.records.is_empty();
                }
                Ok(Unread { records: page.records.len(), is_more, oldest_ms })
            }
            Err(StoreError::NoSuchShard(_)) => Ok(Unread::default()),
            Err(error) => Err(error),
        }
    }

    /// Whether every record that is published is done (or parked) and checkpointed. Shards that another runner has taken
    /// over are its business.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_drained(&self) -> Result<bool, StoreError> {
        for info in self.core.context.store.shards(self.core.source.stream).await? {
            let is_mine = |shards: &Mutex<BTreeSet<ShardNo>>| !shards.lock().contains(&info.shard);
            if !is_mine(&self.core.finished) || !is_mine(&self.core.elsewhere) {
                continue;
            }
            let status = self.core.machines.lock().get(&info.shard).map(|(_, status)| status.clone());
            let idle = status.filter(status::is_idle).filter(|_| info.sealed.is_none());
            let Some(status) = idle else { return Ok(false) };
            match self.core.context.store.read_log(info.shard, status.read, 1, MAPPING_FETCH_BYTES_MAX).await {
                Ok(page) if !page.records.is_empty() => return Ok(false),
                Ok(_) | Err(StoreError::NoSuchShard(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Parked records behind `after`, by shard and number, at most `max`.
    ///
    /// # Errors
    /// The store's.
    pub async fn parked(
        &self,
        after: Option<(ShardNo, RecordNo)>,
        max: usize,
    ) -> Result<Vec<ParkedRecord>, StoreError> {
        let max = max.clamp(1, MAPPING_ROWS_PER_PAGE);
        parked::page(self.core.context.store.as_ref(), self.core.id, after, max).await
    }
}

/// Records of a shard that nobody has looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    pub records: usize,
    /// There are others behind them.
    pub is_more: bool,
    /// When the first of them was committed.
    pub oldest_ms: Option<EpochMs>,
}

/// The shard is sealed, and everything of it is done.
fn is_over(info: &ShardInfo, checkpoints: &BTreeMap<ShardNo, Checkpoint>) -> bool {
    info.sealed.is_some() && checkpoints.get(&info.shard).is_some_and(|checkpoint| checkpoint.finished)
}
