//! The runner: event source mappings that live. It keeps their rows, and a supervisor task for each enabled one.
//!
//! Invariants: a mapping's row says what is to be (enabled, deleting) before its tasks are told; tasks are stopped by
//! letting what is under way end, never by dropping it; no task ends in silence.
//! It does not decide what happens to a record: that is [`crate::machine`].

mod overview;
mod rows;
mod shard;
mod status;
mod supervisor;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tailrace_core::RecordNo as Lsn;
use tailrace_core::clock::Clock;
use tailrace_core::limits::{BACKOFF_FIRST_MS, BACKOFF_MS_MAX, MAPPING_ROWS_PER_PAGE, MAPPINGS_MAX};
use tailrace_core::rng::Rng;
use tailrace_engine::streams::descriptor::shard_id;
use tailrace_engine::streams::record::RecordWriter;
use tailrace_store::keyspace::MappingId;
use tailrace_store::{Engine, LogPosition, ShardNo, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use overview::{MappingOverview, ShardOverview};
pub use rows::ParkedRecord;
pub use status::{Blocked, MappingStatus, ShardStatus};

use crate::config::{
    CreateMapping, Mapping, MappingError, Parameters, StartingPosition, StreamSource, function_reference,
};
use crate::event;
use crate::machine::{Checkpoint, Outcome, Record, Rules, Status, failed_records};
use crate::seams::{Invoker, MappingEvent, Observer, Streams, Timer};
use status::ShardSnapshot;

/// What the runner works with.
pub struct Dependencies {
    /// The store.
    pub store: Arc<dyn Engine>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// Chance, for uuids and the spread of back-offs.
    pub rng: Arc<dyn Rng>,
    /// Finds streams.
    pub streams: Arc<dyn Streams>,
    /// Writes their records.
    pub records: RecordWriter,
    /// Runs functions.
    pub invoker: Arc<dyn Invoker>,
    /// Is told what happens.
    pub observer: Arc<dyn Observer>,
    /// The region in ARNs.
    pub region: String,
    /// The account in ARNs.
    pub account_id: String,
}

/// What all tasks share.
struct Shared {
    store: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    rng: Arc<dyn Rng>,
    streams: Arc<dyn Streams>,
    records: RecordWriter,
    invoker: Arc<dyn Invoker>,
    observer: Arc<dyn Observer>,
    region: String,
    account_id: String,
    changes: watch::Sender<u64>,
}

impl Shared {
    fn mono_ms(&self) -> u64 {
        self.clock.monotonic_ns() / 1_000_000
    }

    fn tell(&self, event: &MappingEvent) {
        self.observer.on_event(event);
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn trouble(&self, work: &Work, shard: Option<ShardNo>, error: String) {
        tracing::warn!(mapping = %work.uuid, shard = shard.map(|s| s.0), %error, "event source mapping in trouble");
        *work.trouble.lock() = Some(error.clone());
        self.tell(&MappingEvent::Trouble { mapping: work.uuid.clone(), shard, error });
        self.changed();
    }

    /// Waits before the `n`th try of something that failed.
    async fn pause(&self, n: u32) {
        let ms = (BACKOFF_FIRST_MS << n.saturating_sub(1).min(16)).min(BACKOFF_MS_MAX);
        self.timer.sleep_until(self.mono_ms() + ms).await;
    }
}

/// The function that a mapping invokes.
#[derive(Clone, Debug)]
struct Target {
    function: String,
    arn: String,
}

/// What the tasks of one mapping share.
struct Work {
    id: MappingId,
    uuid: String,
    source: Arc<StreamSource>,
    target: Mutex<Target>,
    /// Parked records that were removed and that their shard's machine does not know of: count and bytes. Held while
    /// parked rows are removed or counted.
    removed: tokio::sync::Mutex<HashMap<ShardNo, (u64, u64)>>,
    shown: Mutex<BTreeMap<ShardNo, ShardSnapshot>>,
    finished: Mutex<BTreeSet<ShardNo>>,
    trouble: Mutex<Option<String>>,
}

impl Work {
    fn show(&self, shard: ShardNo, snapshot: ShardSnapshot) {
        self.shown.lock().insert(shard, snapshot);
    }
}

/// What the tasks of a mapping are told. A level, not a message: a task that starts late sees the newest.
#[derive(Clone, Debug, PartialEq)]
struct Control {
    rules: Arc<Rules>,
    /// Raised to retry at once.
    wakes: u64,
    /// Raised when parked records were removed.
    removals: u64,
    stop: bool,
}

/// A mapping of this process.
struct Entry {
    mapping: Mutex<Mapping>,
    work: Arc<Work>,
    control: watch::Sender<Control>,
    /// Held by a call that changes the mapping; guards its supervisor, if it runs.
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Entry {
    fn new(mapping: Mapping) -> Entry {
        let rules = Arc::new(mapping.rules.clone());
        let work = Work {
            id: mapping.id(),
            uuid: mapping.uuid.clone(),
            source: Arc::new(mapping.source.clone()),
            target: Mutex::new(Target { function: mapping.function.clone(), arn: mapping.function_arn.clone() }),
            removed: tokio::sync::Mutex::default(),
            shown: Mutex::default(),
            finished: Mutex::default(),
            trouble: Mutex::default(),
        };
        let control = Control { rules, wakes: 0, removals: 0, stop: false };
        Entry {
            mapping: Mutex::new(mapping),
            work: Arc::new(work),
            control: watch::Sender::new(control),
            task: tokio::sync::Mutex::default(),
        }
    }

    fn start(&self, shared: &Arc<Shared>, task: &mut Option<JoinHandle<()>>) {
        if task.is_none() {
            self.control.send_modify(|control| control.stop = false);
            *task = Some(tokio::spawn(supervisor::run(shared.clone(), self.work.clone(), self.control.subscribe())));
        }
    }

    /// Hands out nothing more, waits for what is under way and for its checkpoint.
    async fn stop(&self, shared: &Shared, task: &mut Option<JoinHandle<()>>) {
        self.control.send_modify(|control| control.stop = true);
        if let Some(running) = task.as_mut()
            && let Err(error) = running.await
        {
            shared.trouble(&self.work, None, format!("the supervisor ended early: {error}"));
        }
        *task = None;
        self.work.shown.lock().clear();
    }
}

/// The event source mappings of a server.
pub struct Mappings {
    shared: Arc<Shared>,
    entries: Mutex<BTreeMap<MappingId, Arc<Entry>>>,
    creating: tokio::sync::Mutex<()>,
}

/// What a redrive did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Redriven {
    /// Records that the function accepted; they are parked no longer.
    pub accepted: usize,
    /// The record at which it stopped, and why.
    pub failed: Option<(Lsn, String)>,
}

impl Mappings {
    /// Reads the mappings of the store, finishes deletions that a crash interrupted, and starts what is enabled.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(dependencies: Dependencies) -> Result<Mappings, StoreError> {
        let mappings = Mappings::load(dependencies).await?;
        mappings.start().await;
        Ok(mappings)
    }

    /// As [`Self::open`], but nothing runs before [`Self::start`], or a call that makes or changes a mapping starts that
    /// one: for a caller who has changes to make before a record is delivered by the old rules.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(dependencies: Dependencies) -> Result<Mappings, StoreError> {
        let Dependencies { store, clock, timer, rng, streams, records, invoker, observer, region, account_id } =
            dependencies;
        let changes = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            store,
            clock,
            timer,
            rng,
            streams,
            records,
            invoker,
            observer,
            region,
            account_id,
            changes,
        });
        let mut entries = BTreeMap::new();
        for mapping in rows::mappings(shared.store.as_ref()).await? {
            let id = mapping.id();
            if mapping.deleting {
                rows::delete_mapping(shared.store.as_ref(), id).await?;
                continue;
            }
            entries.insert(id, Arc::new(Entry::new(mapping)));
        }
        Ok(Mappings { shared, entries: Mutex::new(entries), creating: tokio::sync::Mutex::default() })
    }

    /// Starts every enabled mapping that does not run.
    pub async fn start(&self) {
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        for entry in entries {
            let mut task = entry.task.lock().await;
            let starts = {
                let mapping = entry.mapping.lock();
                mapping.enabled && !mapping.deleting
            };
            if starts {
                entry.start(&self.shared, &mut task);
            }
        }
    }

    /// CreateEventSourceMapping. LATEST is fixed, durably, before this returns.
    ///
    /// # Errors
    /// As docs/spec/event-source-mapping.md 2 has them.
    pub async fn create(&self, request: CreateMapping) -> Result<Mapping, MappingError> {
        let (arn, position) = request.check()?;
        let (function, function_arn) = self.function(&request.function)?;
        let source = self.shared.streams.find(arn).await?;
        let source = source.ok_or_else(|| MappingError::InvalidParameterValue(format!("Stream not found: {arn}")))?;
        let _creating = self.creating.lock().await;
        let existing = self.entries.lock().values().map(|entry| entry.mapping.lock().clone()).collect::<Vec<_>>();
        self.refuse_duplicate(None, &source.arn, &function, &function_arn)?;
        if existing.len() >= MAPPINGS_MAX {
            return Err(MappingError::InvalidParameterValue(format!("There are {MAPPINGS_MAX} mappings already.")));
        }
        let (uuid, now_ms) = (self.shared.rng.uuid(), self.shared.clock.now_ms());
        let parameters = &request.parameters;
        let mapping = Mapping::new(uuid, (function, function_arn), source, position, parameters, now_ms);
        let mut checkpoints = Vec::new();
        if position == StartingPosition::Latest {
            for info in self.shared.store.shards(mapping.source.id).await? {
                let end = self.shared.store.position(info.shard, LogPosition::End).await?;
                checkpoints.push((info.shard, Checkpoint::starting_after(end, mapping.rules.lanes)));
            }
        }
        rows::put_mapping(self.shared.store.as_ref(), &mapping, &checkpoints).await?;
        let entry = Arc::new(Entry::new(mapping.clone()));
        if mapping.enabled {
            entry.start(&self.shared, &mut *entry.task.lock().await);
        }
        self.entries.lock().insert(mapping.id(), entry);
        self.shared.changed();
        Ok(mapping)
    }

    /// UpdateEventSourceMapping. Disabling returns when nothing is under way any more; the checkpoint stays.
    ///
    /// # Errors
    /// As docs/spec/event-source-mapping.md 2 and 4 have them.
    pub async fn update(
        &self,
        uuid: &str,
        function: Option<&str>,
        parameters: &Parameters,
    ) -> Result<Mapping, MappingError> {
        let entry = self.entry(uuid)?;
        parameters.check()?;
        let mut task = entry.task.try_lock().map_err(|_| MappingError::InUse)?;
        let mut mapping = entry.mapping.lock().clone();
        let mut creating = None;
        if let Some(reference) = function {
            creating = Some(self.creating.lock().await);
            (mapping.function, mapping.function_arn) = self.function(reference)?;
            let Mapping { source, function, function_arn, .. } = &mapping;
            self.refuse_duplicate(Some(uuid), &source.arn, function, function_arn)?;
        }
        parameters.apply(&mut mapping.rules);
        mapping.enabled = parameters.enabled.unwrap_or(mapping.enabled);
        mapping.modified_ms = self.shared.clock.now_ms();
        rows::put_mapping(self.shared.store.as_ref(), &mapping, &[]).await?;
        *entry.mapping.lock() = mapping.clone();
        drop(creating);
        let (function, arn) = (mapping.function.clone(), mapping.function_arn.clone());
        *entry.work.target.lock() = Target { function, arn };
        entry.control.send_modify(|control| {
            control.rules = Arc::new(mapping.rules.clone());
            control.wakes += 1;
        });
        match mapping.enabled {
            true => entry.start(&self.shared, &mut task),
            false => entry.stop(&self.shared, &mut task).await,
        }
        self.shared.changed();
        Ok(mapping)
    }

    /// DeleteEventSourceMapping: waits for what is under way, then removes the mapping, its checkpoints and its parked
    /// records.
    ///
    /// # Errors
    /// Unknown, in use, or the store's.
    pub async fn delete(&self, uuid: &str) -> Result<Mapping, MappingError> {
        let entry = self.entry(uuid)?;
        let mut task = entry.task.try_lock().map_err(|_| MappingError::InUse)?;
        let mut mapping = entry.mapping.lock().clone();
        mapping.deleting = true;
        rows::put_mapping(self.shared.store.as_ref(), &mapping, &[]).await?;
        *entry.mapping.lock() = mapping.clone();
        entry.stop(&self.shared, &mut task).await;
        rows::delete_mapping(self.shared.store.as_ref(), mapping.id()).await?;
        self.entries.lock().remove(&mapping.id());
        self.shared.changed();
        Ok(mapping)
    }

    /// GetEventSourceMapping.
    ///
    /// # Errors
    /// There is none of this uuid.
    pub fn get(&self, uuid: &str) -> Result<Mapping, MappingError> {
        Ok(self.entry(uuid)?.mapping.lock().clone())
    }

    /// All mappings, by uuid.
    pub fn list(&self) -> Vec<Mapping> {
        self.entries.lock().values().map(|entry| entry.mapping.lock().clone()).collect()
    }

    /// A function's code or limits changed, or it came or went: what waits to be retried is retried at once.
    pub fn function_changed(&self, function: &str) {
        for entry in self.entries.lock().values().filter(|entry| entry.mapping.lock().function == function) {
            entry.control.send_modify(|control| control.wakes += 1);
        }
    }

    /// Where every mapping and shard stands.
    pub fn status(&self) -> Vec<MappingStatus> {
        let now_ms = self.shared.clock.now_ms();
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        entries
            .iter()
            .map(|entry| {
                let mapping = entry.mapping.lock().clone();
                let shown = entry.work.shown.lock();
                let state = match (mapping.deleting, mapping.enabled, entry.task.try_lock().is_err()) {
                    (true, _, _) => "Deleting",
                    (false, true, _) => "Enabled",
                    (false, false, true) => "Disabling",
                    (false, false, false) => "Disabled",
                };
                MappingStatus {
                    last_processing_result: status::last_processing_result(
                        shown.values().filter_map(|shown| shown.status.last.as_ref()),
                    ),
                    uuid: mapping.uuid,
                    function: mapping.function,
                    event_source_arn: mapping.source.arn,
                    state,
                    trouble: entry.work.trouble.lock().clone(),
                    shards: shown.iter().map(|(no, s)| status::shard_status(*no, &s.status, now_ms)).collect(),
                }
            })
            .collect()
    }

    /// Shards that a failing record holds up right now.
    pub fn blocked(&self) -> Vec<Blocked> {
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        let mut blocked = Vec::new();
        for entry in entries {
            let mapping = entry.mapping.lock().clone();
            for (shard, snapshot) in entry.work.shown.lock().iter() {
                blocked.extend(status::blocked(&mapping, *shard, &snapshot.status));
            }
        }
        blocked
    }

    /// Changes whenever [`Self::status`] may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Resolves when every record that is published has been processed (or parked) and checkpointed, in every enabled
    /// mapping. While records come faster than they go, it does not.
    ///
    /// # Errors
    /// The store's.
    pub async fn drained(&self) -> Result<(), StoreError> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if self.is_drained().await? || changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn is_drained(&self) -> Result<bool, StoreError> {
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        for entry in entries {
            if !entry.mapping.lock().enabled {
                continue;
            }
            for info in self.shared.store.shards(entry.work.source.id).await? {
                if entry.work.finished.lock().contains(&info.shard) {
                    continue;
                }
                let status = entry.work.shown.lock().get(&info.shard).map(|snapshot| snapshot.status.clone());
                let idle = |status: &Status| status.durable && status.caught_up && status.pending_records == 0;
                let Some(status) = status.filter(idle).filter(|_| info.sealed.is_none()) else { return Ok(false) };
                if !self.shared.store.read_log(info.shard, status.read, 1, 1).await?.records.is_empty() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Stops all mappings: hands out nothing more, waits for what is under way and for its checkpoints. The rows stay.
    pub async fn shutdown(&self) {
        let entries: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        for entry in &entries {
            entry.control.send_modify(|control| control.stop = true);
        }
        for entry in &entries {
            entry.stop(&self.shared, &mut *entry.task.lock().await).await;
        }
    }

    /// Parked records of a mapping behind `after`, by shard and number, at most `max`.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn parked(
        &self,
        uuid: &str,
        after: Option<(ShardNo, Lsn)>,
        max: usize,
    ) -> Result<Vec<ParkedRecord>, MappingError> {
        let id = self.entry(uuid)?.work.id;
        Ok(rows::parked(self.shared.store.as_ref(), id, after, max.clamp(1, MAPPING_ROWS_PER_PAGE)).await?)
    }

    /// The ids of the shards of a mapping's stream that are still known.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn shard_ids(&self, uuid: &str) -> Result<BTreeMap<ShardNo, String>, MappingError> {
        let source = self.entry(uuid)?.work.source.id;
        let shards = self.shared.store.shards(source).await?;
        Ok(shards.iter().map(|info| (info.shard, shard_id(info))).collect())
    }

    /// Hands parked records to the function again, one after the other in their order, beside the mapping's own
    /// batches; the ones that it accepts are parked no longer. Stops at the first that fails. `only`: just this one.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn redrive(&self, uuid: &str, only: Option<(ShardNo, Lsn)>) -> Result<Redriven, MappingError> {
        let entry = self.entry(uuid)?;
        let (mut after, mut accepted) = (only.map(|(shard, lsn)| (shard, Lsn(lsn.0.saturating_sub(1)))), 0);
        loop {
            let max = if only.is_some() { 1 } else { MAPPING_ROWS_PER_PAGE };
            let page = rows::parked(self.shared.store.as_ref(), entry.work.id, after, max).await?;
            for record in &page {
                if only.is_some_and(|only| only != (record.shard, record.lsn)) {
                    return Err(MappingError::NotFound);
                }
                if let Some(error) = self.hand_again(&entry, record).await {
                    return Ok(Redriven { accepted, failed: Some((record.lsn, error)) });
                }
                self.remove_parked(&entry, record).await?;
                accepted += 1;
            }
            match page.last() {
                None if only.is_some() && accepted == 0 => return Err(MappingError::NotFound),
                Some(last) if only.is_none() => after = Some((last.shard, last.lsn)),
                _ => return Ok(Redriven { accepted, failed: None }),
            }
        }
    }

    /// Removes a parked record for good.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn discard(&self, uuid: &str, shard: ShardNo, lsn: Lsn) -> Result<(), MappingError> {
        let entry = self.entry(uuid)?;
        let after = Some((shard, Lsn(lsn.0.saturating_sub(1))));
        let found = rows::parked(self.shared.store.as_ref(), entry.work.id, after, 1).await?;
        match found.first() {
            Some(record) if (record.shard, record.lsn) == (shard, lsn) => self.remove_parked(&entry, record).await,
            _ => Err(MappingError::NotFound),
        }
    }

    /// `None`: the function accepted the record.
    async fn hand_again(&self, entry: &Entry, record: &ParkedRecord) -> Option<String> {
        let record = Record {
            lsn: record.lsn,
            time_ms: record.time_ms,
            key_hash: 0,
            event: record.event.get().as_bytes().to_vec().into(),
        };
        let target = entry.work.target.lock().clone();
        let records = [record];
        let outcome = self.shared.invoker.invoke(target.function, target.arn, event::envelope(&records)).await;
        let report_failures = entry.mapping.lock().rules.report_failures;
        match outcome {
            Outcome::Answered(payload) if report_failures => failed_records(&payload, &records),
            Outcome::Answered(_) => None,
            Outcome::FunctionError(error) | Outcome::NotInvoked(error) => Some(error),
        }
    }

    async fn remove_parked(&self, entry: &Entry, record: &ParkedRecord) -> Result<(), MappingError> {
        let mut removed = entry.work.removed.lock().await;
        let store = self.shared.store.as_ref();
        if !rows::delete_parked(store, entry.work.id, record).await? {
            return Ok(());
        }
        let counted = removed.entry(record.shard).or_default();
        *counted = (counted.0 + 1, counted.1 + record.event.get().len() as u64);
        drop(removed);
        entry.control.send_modify(|control| control.removals += 1);
        Ok(())
    }

    fn entry(&self, uuid: &str) -> Result<Arc<Entry>, MappingError> {
        let id = MappingId::parse(uuid).ok_or(MappingError::NotFound)?;
        self.entries.lock().get(&id).cloned().ok_or(MappingError::NotFound)
    }

    /// One mapping for a stream and a function. Called with `creating` held.
    fn refuse_duplicate(
        &self,
        own_uuid: Option<&str>,
        source_arn: &str,
        function: &str,
        function_arn: &str,
    ) -> Result<(), MappingError> {
        let is_same = |m: &Mapping| {
            m.source.arn == source_arn && m.function_arn == function_arn && own_uuid != Some(m.uuid.as_str())
        };
        match self.list().into_iter().find(is_same) {
            None => Ok(()),
            Some(Mapping { uuid, .. }) => {
                let (source_arn, function) = (source_arn.to_owned(), function.to_owned());
                Err(MappingError::Conflict { source_arn, function, uuid })
            }
        }
    }

    fn function(&self, reference: &str) -> Result<(String, String), MappingError> {
        function_reference(reference, &self.shared.region, &self.shared.account_id)
            .filter(|(name, _)| self.shared.invoker.exists(name))
            .ok_or_else(|| MappingError::InvalidParameterValue("Function does not exist".into()))
    }
}
