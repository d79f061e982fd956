//! What is done to a sink at a person's word, and what a changed configuration makes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tailrace_core::limits::MAPPING_ROWS_PER_PAGE;
use tailrace_core::{AttributeValue, EpochMs, RecordNo, ShardNo};
use tailrace_delivery::{Consumer, ParkedRecord, Redriven, checkpoints};
use tailrace_engine::Caller;
use tailrace_engine::control::{self, Action};
use tailrace_store::keyspace::CheckpointKey;
use tailrace_store::{Key, StoreError};

use super::row::{Earlier, Generation, SinkRow, SourceRow, Stored};
use super::{Entry, Inner, OpenError, Running, Sinks, drive, row, snapshot};
use crate::spec::{Filtering, Kind, SinkSpec, Start, shown_config};

/// What is to be done to a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "action")]
pub enum Change {
    /// Nothing more is delivered; its place is kept.
    Pause,
    /// It goes on.
    Resume,
    /// It begins anew with a snapshot of its tables.
    Rebuild,
    /// It delivers again what the stream has from a time on.
    Replay {
        /// The time, milliseconds since the epoch.
        #[serde(rename = "fromMs")]
        from_ms: EpochMs,
    },
    /// What was set aside is tried again.
    Retry,
    /// What was set aside is removed for good.
    Discard,
    /// Damaged records that shards stand before are set aside.
    Skip,
    /// It is removed, with its place; what is at the target stays.
    Remove,
}

impl Change {
    /// Its name in the control stream.
    fn name(self) -> &'static str {
        match self {
            Change::Pause => "PauseSink",
            Change::Resume => "ResumeSink",
            Change::Rebuild => "RebuildSink",
            Change::Replay { .. } => "ReplaySink",
            Change::Retry => "RetrySink",
            Change::Discard => "DiscardSinkRecords",
            Change::Skip => "SkipDamagedSinkRecords",
            Change::Remove => "RemoveSink",
        }
    }
}

/// How long an audit trail that is to stop is waited for, so that it tells of that itself. Our reason: it gathers for a second.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// Why something was not done to a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkChangeError {
    /// There is none of this name.
    #[error("there is no sink {0}")]
    NotFound(String),
    /// It cannot be done to this sink.
    #[error("{0}")]
    Refused(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Records that were set aside and are at the target now.
    #[serde(default)]
    pub retried: u64,
    /// Records that were discarded.
    #[serde(default)]
    pub discarded: u64,
    /// Damaged records that are parked as soon as all before them is done.
    #[serde(default)]
    pub skipped: u64,
    /// Why the first one that was tried and is not there is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The row with the configuration of this start.
pub(super) async fn reconfigure(inner: &Inner, stored: Stored, config: &Value) -> Result<Option<Stored>, OpenError> {
    let mut row = stored.row.clone();
    row.ended = false;
    let wanted = stored.row.building.as_ref().unwrap_or(&stored.row.live);
    if wanted.config == *config {
        return match stored.row.ended {
            true => Ok(row::put(inner.store(), Some(&stored), row, &[]).await?),
            false => Ok(Some(stored)),
        };
    }
    let resource = format!("sink/{}", row.name);
    let [before, after] = [&wanted.config, config].map(|config| shown_config(config).to_string());
    let (before, after) = (Some(before.as_bytes()), Some(after.as_bytes()));
    let action = Action { name: "ConfigureSink", resource: &resource, before, after };
    let noted = inner.db.note_action(&action, &Caller::default()).await;
    noted.map_err(|error| StoreError::Io(error.to_string()))?;
    change_config(&mut row, config, |spec, version| {
        inner.version(spec, version).is_ok_and(|version| version.sink.plans())
    });
    row.modified_ms = inner.context.clock.now();
    let read = |config: &Value| SinkSpec::read(&stored.row.name, config).ok();
    if let Some(before) = read(&stored.row.live.config).filter(|before| before.kind == Kind::View)
        && read(config).is_none_or(|now| now.kind != Kind::View)
    {
        let removed = inner.build.removed(&before).await;
        removed.map_err(|error| StoreError::Io(error.to_string()))?;
    }
    Ok(row::put(inner.store(), Some(&stored), row, &[]).await?)
}

/// What a changed configuration makes of a sink. What was done stays done wherever it still counts: another target is begun anew, another
/// form goes on from where the old one was, once what was planned under that one is over.
fn change_config(row: &mut SinkRow, config: &Value, plans: impl Fn(&SinkSpec, u32) -> bool) {
    let next = row.next_version();
    let read = |config: &Value| SinkSpec::read(&row.name, config).ok();
    let (before, now) = (read(&row.live.config), read(config));
    let same_place = match (&before, &now) {
        (Some(before), Some(now)) => now.has_place_of(before),
        _ => false,
    };
    let beside = now.as_ref().is_some_and(|now| now.kind.builds_beside());
    if same_place && beside {
        row.replace(Generation::new(next, config.clone()), true);
        return;
    }
    // A view of another table cannot go on: what is in the old one is not in it.
    let begins_with_all = now.as_ref().is_none_or(|now| now.start == Start::Snapshot || now.kind == Kind::View);
    // What passes no more is to go, and what passes now to come, though nobody changes it.
    let other_items =
        now.as_ref().is_some_and(SinkSpec::holds_items) && row.live.config.get("where") != config.get("where");
    let starts_over = begins_with_all && (!same_place || other_items);
    // Nothing that is built beside has a meaning for another target.
    if let Some(building) = row.building.take() {
        row.dropping.extend(building.uuids());
    }
    if starts_over {
        row.replace(Generation { swap: beside, ..Generation::new(next, config.clone()) }, false);
        return;
    }
    let planned = before.as_ref().is_some_and(|before| same_place && plans(before, row.live.version));
    go_on(row, config, &now.map(|now| now.sources()).unwrap_or_default(), planned);
}

/// Another version goes on where the live one is, with those of its tables that it still has. `planned`: what was planned under that one
/// goes before it.
fn go_on(row: &mut SinkRow, config: &Value, from: &[String], planned: bool) {
    let next = Generation::new(row.next_version(), config.clone());
    let live = std::mem::replace(&mut row.live, next);
    let Generation { version, config: old, sources, mut earlier, rebuild, replay_ms, swap } = live;
    let (stay, leave): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| from.contains(&source.table));
    row.dropping.extend(leave.iter().flat_map(SourceRow::uuids));
    // Only where all before it is finished, something may be planned under what is replaced now.
    let has_begun = |source: &&SourceRow| earlier.iter().all(|earlier| earlier.finished.contains(&source.table));
    let (begun, others): (Vec<_>, Vec<_>) = stay.iter().partition(has_begun);
    if planned && !begun.is_empty() {
        let finished = others.into_iter().map(|source| source.table.clone()).collect();
        earlier.push(Earlier { version, config: old, finished });
    }
    row.live.sources = stay;
    row.live.earlier = earlier;
    row.live.forget_finished();
    (row.live.rebuild, row.live.replay_ms, row.live.swap) = (rebuild, replay_ms, swap);
}

/// A log begins anew with the items of its tables, and leaves out no change for that: its consumers keep their places in the streams, and
/// what is set aside. Those of the tables of `ended` have brought all that their streams had; another follows.
fn rebuild_log(row: &mut SinkRow, spec: &SinkSpec, ended: &[String], planned: bool, uuid: impl Fn() -> String) {
    let (config, from) = (row.live.config.clone(), spec.sources());
    let stay: Vec<String> = from.iter().filter(|table| !ended.contains(table)).cloned().collect();
    go_on(row, &config, &stay, planned && !spec.kind.notes_progress());
    if spec.kind.notes_progress() {
        row.live.earlier.clear();
    }
    let (version, sources) = (row.live.version, &mut row.live.sources);
    row.dropping.extend(sources.iter_mut().filter_map(|source| source.begin_again(version, uuid())));
    row.live.rebuild = row.live.sources.len() < from.len();
}

/// The checkpoints of a sink without what is planned: its target knows what it has of that, and the next version plans it anew.
async fn without_plans(inner: &Inner, row: &SinkRow) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let mut rows = Vec::new();
    for source in &row.live.sources {
        let mapping = source.consumer_id()?;
        for (shard, mut checkpoint) in checkpoints(inner.store(), mapping).await? {
            if checkpoint.forget_plans() {
                rows.push((CheckpointKey { mapping, shard }.encode(), checkpoint.encode().into()));
            }
        }
    }
    Ok(rows)
}

/// What was built beside has taken the place of what was live: the old one ends.
pub(super) async fn take_over(inner: &Arc<Inner>, entry: &Arc<Entry>, running: &Arc<Running>) {
    let _changing = entry.changing.lock().await;
    let number = running.version.number;
    let is_building = |row: &SinkRow| row.building.as_ref().is_some_and(|building| building.version == number);
    if !is_building(&entry.row()) || *running.stop.borrow() {
        return;
    }
    let old: Vec<Arc<Running>> = {
        let mut all = entry.running.lock();
        std::mem::replace(&mut *all, vec![running.clone()])
    };
    // Before the target is told: what the old one sends later could make again what the target has removed.
    for old in old.iter().filter(|old| old.version.number != number) {
        drive::stop(old).await;
    }
    let mut stop = running.stop.subscribe();
    let mut failures = 0;
    loop {
        let changed = entry.change(inner.store(), &[], |row| {
            if is_building(row) {
                row.take_over();
            }
        });
        let Err(error) = changed.await else { break };
        failures += 1;
        inner.notice(&entry.name, format!("version {number} has caught up, and could not be noted yet: {error}"));
        let pause = inner.context.clock.monotonic().plus(drive::back_off(failures, inner.rng.next_u64()));
        tokio::select! {
            () = inner.context.timer.sleep_until(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
    drive::start_swap(inner, entry, running).await;
    drive::clean(inner, entry).await;
}

impl Sinks {
    /// Does something to a sink. It is done whole, whether the caller waits or goes away.
    ///
    /// # Errors
    /// There is no such sink, it cannot be done to it, or the store's.
    pub async fn change(&self, name: &str, change: Change) -> Result<Changed, SinkChangeError> {
        self.whole(name, move |sinks, entry| async move { sinks.change_entry(&entry, change).await }).await
    }

    /// Does something to a sink to its end, also if the caller goes away meanwhile.
    async fn whole<T, F>(&self, name: &str, work: impl FnOnce(Sinks, Arc<Entry>) -> F) -> Result<T, SinkChangeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SinkChangeError>> + Send + 'static,
    {
        let entry = self.inner.entries.lock().get(name).cloned();
        let entry = entry.ok_or_else(|| SinkChangeError::NotFound(name.to_owned()))?;
        let done = self.inner.runtime.spawn(work(self.clone(), entry));
        done.await.map_err(|error| StoreError::Io(error.to_string()))?
    }

    /// Forgets a person whom an audit trail knows by this value of its `subject`: what the trail holds of them can be read by nobody any
    /// more. False: there was nothing to forget. It is done whole, whether the caller waits or goes away.
    ///
    /// # Errors
    /// There is no such trail, it knows no persons, it is in the middle of a segment, or the store's.
    pub async fn forget(&self, name: &str, person: AttributeValue) -> Result<bool, SinkChangeError> {
        let forget = move |sinks: Sinks, entry: Arc<Entry>| async move {
            let _changing = entry.changing.lock().await;
            sinks.stop_all(&entry).await;
            let forgotten = sinks.forget_between_segments(&entry, person).await;
            sinks.start_entry(&entry).await;
            forgotten
        };
        self.whole(name, forget).await
    }

    /// A segment that was tried, and is not known to have arrived, has to come again with the same codes: nobody is forgotten before.
    async fn forget_between_segments(&self, entry: &Entry, person: AttributeValue) -> Result<bool, SinkChangeError> {
        let (inner, spec) = (&self.inner, entry.running.lock().first().map(|running| running.spec.clone()));
        let spec = spec.ok_or_else(|| SinkChangeError::NotFound(entry.name.clone()))?;
        for source in &entry.row().live.sources {
            let checkpoints = checkpoints(inner.store(), source.consumer_id()?).await?;
            if checkpoints.iter().any(|(_, checkpoint)| checkpoint.attempts.iter().any(Option::is_some)) {
                let text = format!("a segment of {} is on its way: when it has arrived, try again", entry.name);
                return Err(SinkChangeError::Refused(text));
            }
        }
        inner.build.forget(&spec, person).await.map_err(|error| SinkChangeError::Refused(error.to_string()))
    }

    async fn change_entry(&self, entry: &Arc<Entry>, change: Change) -> Result<Changed, SinkChangeError> {
        let inner = &self.inner;
        let _changing = entry.changing.lock().await;
        let live = entry.running.lock().first().cloned();
        let kind = live.as_ref().map(|running| running.spec.kind);
        let now_ms = inner.context.clock.now();
        self.note(entry, change).await?;
        match change {
            Change::Pause => {
                entry.change(inner.store(), &[], |row| (row.paused, row.modified_ms) = (true, now_ms)).await?;
                self.stop_all(entry).await;
            }
            Change::Resume => {
                if !entry.configured {
                    return Err(not_configured(entry));
                }
                entry.change(inner.store(), &[], |row| (row.paused, row.modified_ms) = (false, now_ms)).await?;
                self.start_entry(entry).await;
            }
            Change::Retry => return self.retry(entry).await,
            Change::Discard => return self.discard(entry).await,
            Change::Skip => return self.skip(entry),
            Change::Rebuild | Change::Replay { .. } => {
                let replay_ms = match change {
                    Change::Replay { from_ms } => Some(from_ms),
                    _ => None,
                };
                let beside = kind.is_some_and(Kind::builds_beside);
                if replay_ms.is_some() && beside {
                    let text =
                        format!("{} holds what its table holds: there is nothing to replay; rebuild it", entry.name);
                    return Err(SinkChangeError::Refused(text));
                }
                if kind == Some(Kind::Audit) {
                    return Err(SinkChangeError::Refused("an audit trail is written once".to_owned()));
                }
                if !entry.configured {
                    return Err(not_configured(entry));
                }
                let log = live.filter(|live| replay_ms.is_none() && live.spec.is_log());
                let mut ended = Vec::new();
                if let Some(log) = &log {
                    for source in &entry.row().live.sources {
                        if self.waits_for_a_rebuild(log.spec.kind, source).await? {
                            let aside = parked_records(inner, source).await?;
                            if aside > 0 {
                                let text = format!(
                                    "{aside} records of the former stream of {} are set aside: retry or discard them first",
                                    source.table
                                );
                                return Err(SinkChangeError::Refused(text));
                            }
                            ended.push(source.table.clone());
                        } else {
                            self.refuse_between_streams(entry, source).await?;
                        }
                    }
                } else {
                    self.refuse_to_forget(entry).await?;
                }
                let replay_ms = match replay_ms {
                    Some(from_ms) => Some(self.replay_from(entry, from_ms, now_ms).await?),
                    None => None,
                };
                let begin = |row: &mut SinkRow| {
                    row.modified_ms = now_ms;
                    if let Some(log) = &log {
                        return rebuild_log(row, &log.spec, &ended, log.version.sink.plans(), || inner.rng.uuid());
                    }
                    let config = row.building.as_ref().unwrap_or(&row.live).config.clone();
                    let mut next = Generation::new(row.next_version(), config);
                    (next.rebuild, next.replay_ms) = (replay_ms.is_none(), replay_ms);
                    row.replace(next, beside);
                };
                // What cannot be made, a file of a secret is gone for one, is told before anything ends.
                let mut wanted = entry.row();
                begin(&mut wanted);
                let newest = wanted.building.as_ref().unwrap_or(&wanted.live);
                self.running(&wanted.name, newest).map_err(|error| SinkChangeError::Refused(error.to_string()))?;
                self.stop_all(entry).await;
                let plans = match log.as_ref().filter(|log| log.spec.kind.notes_progress()) {
                    Some(_) => without_plans(inner, &entry.row()).await?,
                    None => Vec::new(),
                };
                entry.change(inner.store(), &plans, begin).await?;
                let row = entry.row();
                let generations = std::iter::once(&row.live).chain(&row.building);
                let running =
                    generations.map(|generation| self.running(&row.name, generation)).collect::<Result<Vec<_>, _>>();
                *entry.running.lock() = running.map_err(|error| SinkChangeError::Refused(error.to_string()))?;
                self.start_entry(entry).await;
            }
            Change::Remove => {
                self.stop_all(entry).await;
                let beside = kind.is_some_and(Kind::builds_beside);
                // A crash may come before the rest, and then somebody who resumes it: that begins anew, under a version that nothing at
                // the target is of.
                let all = |row: &mut SinkRow| {
                    let config = row.building.as_ref().unwrap_or(&row.live).config.clone();
                    let next = Generation::new(row.next_version(), config);
                    let building = row.building.take();
                    row.dropping.extend(building.iter().flat_map(Generation::uuids));
                    row.replace(Generation { swap: beside, ..next }, false);
                    row.paused = true;
                };
                let spec = entry.running.lock().first().map(|running| running.spec.clone());
                entry.change(inner.store(), &[], all).await?;
                let row = entry.row();
                if let Ok(next) = self.running(&row.name, &row.live) {
                    *entry.running.lock() = vec![next];
                }
                drive::clean(inner, entry).await;
                if let Some(spec) = spec {
                    let removed = inner.build.removed(&spec).await;
                    removed.map_err(|error| SinkChangeError::Refused(error.to_string()))?;
                }
                if entry.row().dropping.is_empty() {
                    // Its versions are not given again: what is at the target has names with them. The one that it has now never ran.
                    let forget = |row: &mut SinkRow| {
                        let version = row.live.version.saturating_sub(1);
                        (row.removed, row.live) = (true, Generation::new(version, Value::Null));
                    };
                    entry.change(inner.store(), &[], forget).await?;
                    inner.entries.lock().remove(&entry.name);
                    inner.context.changed();
                    self.settle_audits().await;
                }
            }
        }
        Ok(Changed::default())
    }

    /// Notes in the control stream what is about to be done. An audit trail that is to stop has it, and what was before it, if that does not
    /// take long.
    async fn note(&self, entry: &Arc<Entry>, change: Change) -> Result<(), SinkChangeError> {
        let inner = &self.inner;
        let resource = format!("sink/{}", entry.name);
        let row = entry.row();
        let config = shown_config(&row.building.as_ref().unwrap_or(&row.live).config).to_string();
        let action = Action { name: change.name(), resource: &resource, before: Some(config.as_bytes()), after: None };
        let noted = inner.db.note_action(&action, &Caller::default()).await;
        noted.map_err(|error| SinkChangeError::Refused(error.to_string()))?;
        match change {
            Change::Pause | Change::Remove if is_to_run(entry) => drop(self.wait_for_last_entries(entry).await?),
            // Nobody has told it of this yet.
            Change::Remove => drop(self.bring_last_entries(entry).await?),
            _ => {}
        }
        Ok(())
    }

    /// Lets an audit trail that does not run have what the control stream says up to now: that it stops, as a rule. Not for long. Whether
    /// it has all of it.
    pub(super) async fn bring_last_entries(&self, entry: &Arc<Entry>) -> Result<bool, StoreError> {
        let Some(running) = entry.running.lock().first().cloned() else { return Ok(false) };
        if running.spec.kind != Kind::Audit || !drive::start_only(&self.inner, entry, &running, control::TABLE).await {
            return Ok(false);
        }
        let brought = self.wait_for_last_entries(entry).await;
        drive::stop(&running).await;
        brought
    }

    /// The last entries of a trail that was taken out of the configuration, once.
    pub(super) async fn end_trail(&self, entry: &Arc<Entry>) -> Result<(), StoreError> {
        let _changing = entry.changing.lock().await;
        if !entry.row().ended && self.bring_last_entries(entry).await? {
            entry.change(self.inner.store(), &[], |row| row.ended = true).await?;
        }
        Ok(())
    }

    /// Waits until an audit trail that runs has all of the control stream, or for as long as that may take: whether it has.
    async fn wait_for_last_entries(&self, entry: &Entry) -> Result<bool, StoreError> {
        let Some(running) = entry.running.lock().first().cloned() else { return Ok(false) };
        if !running.spec.sources().iter().any(|table| table == control::TABLE) {
            return Ok(false);
        }
        let context = &self.inner.context;
        let until = context.clock.monotonic().plus(LAST_ENTRIES);
        let (mut changes, mut stop) = (context.changes(), running.stop.subscribe());
        loop {
            changes.borrow_and_update();
            let control = running.sources.lock().get(control::TABLE).and_then(super::SourceRun::consumer);
            if let Some(control) = control
                && control.is_drained().await?
            {
                return Ok(true);
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(false),
                () = context.timer.sleep_until(until) => return Ok(false),
            }
        }
    }

    async fn stop_all(&self, entry: &Entry) {
        let running = entry.running.lock().clone();
        for generation in &running {
            drive::begin_to_stop(generation);
        }
        for generation in &running {
            drive::stop(generation).await;
        }
    }

    /// Records of a sink that were set aside: those of a table behind `after`, at most a page.
    ///
    /// # Errors
    /// There is no such sink, it has not begun with the table, or the store's.
    pub async fn parked(
        &self,
        name: &str,
        table: &str,
        after: Option<(ShardNo, RecordNo)>,
    ) -> Result<Vec<ParkedRecord>, SinkChangeError> {
        let entry = self.inner.entries.lock().get(name).cloned();
        let entry = entry.ok_or_else(|| SinkChangeError::NotFound(name.to_owned()))?;
        let found = consumers(&self.inner, &entry)?.into_iter().find(|(source, _)| source.table == table);
        let Some((_, consumer)) = found else {
            return Err(SinkChangeError::Refused(format!("{name} has not begun with a table {table}")));
        };
        Ok(consumer.parked(after, MAPPING_ROWS_PER_PAGE).await?)
    }

    /// What is set aside of a sink that does not hold what its table holds would be nowhere after it has begun anew.
    async fn refuse_to_forget(&self, entry: &Entry) -> Result<(), SinkChangeError> {
        let spec = entry.running.lock().first().map(|running| running.spec.clone());
        if spec.is_none_or(|spec| spec.kind.filtering() != Filtering::Records) {
            return Ok(());
        }
        let mut parked = 0;
        for source in &entry.row().live.sources {
            parked += parked_records(&self.inner, source).await?;
        }
        if parked > 0 {
            let text = format!("{parked} records of {} are set aside: retry or discard them first", entry.name);
            return Err(SinkChangeError::Refused(text));
        }
        Ok(())
    }

    /// From when on a replay is to bring records, so that none is left out that was not brought yet.
    async fn replay_from(&self, entry: &Entry, from_ms: EpochMs, now_ms: EpochMs) -> Result<EpochMs, SinkChangeError> {
        let (name, live) = (&entry.name, entry.row().live);
        let refused = |text: String| Err(SinkChangeError::Refused(text));
        let Some(spec) = entry.running.lock().first().map(|running| running.spec.clone()) else { return Ok(from_ms) };
        let mut from_ms = from_ms;
        for table in &spec.from {
            let Some(source) = live.sources.iter().find(|source| source.table == *table) else {
                match live.replay_ms {
                    // What it was to begin with then, it begins with now.
                    Some(before_ms) => from_ms = from_ms.min(before_ms),
                    None if spec.start == Start::Latest && !live.rebuild => {}
                    None => return refused(format!("{name} has not begun with {table} yet: wait until it has")),
                }
                continue;
            };
            if source.snapshot && !snapshot::progress(self.inner.store(), source.snapshot_id()?).await?.done {
                return refused(format!("the snapshot of {table} is not done yet: wait, or rebuild {name}"));
            }
            self.refuse_between_streams(entry, source).await?;
        }
        for (_, consumer) in consumers(&self.inner, entry)? {
            for shard in consumer.shards(true).await?.0 {
                let lag_ms = u64::try_from(shard.lag.as_millis()).unwrap_or(u64::MAX);
                from_ms = from_ms.min(EpochMs(now_ms.0.saturating_sub(lag_ms)));
            }
        }
        Ok(from_ms)
    }

    /// The table has another stream, which is not followed by itself, and all of the former one is brought.
    async fn waits_for_a_rebuild(&self, kind: Kind, source: &SourceRow) -> Result<bool, StoreError> {
        if kind.filtering() == Filtering::Records || !drive::has_ended(&self.inner, source).await? {
            return Ok(false);
        }
        let next = self.inner.stream_after(source).await.map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(next.is_some())
    }

    /// What begins anew begins with the stream that the table has now: what was not brought of those before would be left out.
    async fn refuse_between_streams(&self, entry: &Entry, source: &SourceRow) -> Result<(), SinkChangeError> {
        let now = self.inner.stream_of(&source.table).await.map_err(|error| StoreError::Io(error.to_string()))?;
        if now == Some(source.stream) || (now.is_none() && drive::has_ended(&self.inner, source).await?) {
            return Ok(());
        }
        let (name, table) = (&entry.name, &source.table);
        let text = format!(
            "{table} was made anew, deleted, or has another stream, and {name} is not done with the former one: let it bring that first"
        );
        Err(SinkChangeError::Refused(text))
    }

    /// Removes what was set aside.
    async fn discard(&self, entry: &Entry) -> Result<Changed, SinkChangeError> {
        let mut changed = Changed::default();
        for (_, consumer) in consumers(&self.inner, entry)? {
            loop {
                let page = consumer.parked(None, MAPPING_ROWS_PER_PAGE).await?;
                if page.is_empty() {
                    break;
                }
                for record in page {
                    let discarded = consumer.discard((record.shard.no, record.number())).await;
                    discarded.map_err(|error| SinkChangeError::Refused(error.to_string()))?;
                    changed.discarded += 1;
                }
            }
        }
        self.inner.context.changed();
        Ok(changed)
    }

    /// Has the damaged records set aside that shards stand before.
    fn skip(&self, entry: &Entry) -> Result<Changed, SinkChangeError> {
        let mut changed = Changed::default();
        for (_, consumer) in running_consumers(&self.inner, entry)? {
            changed.skipped += consumer.skip_all_damaged() as u64;
        }
        Ok(changed)
    }

    /// Hands what was set aside to the target again, until one is refused.
    async fn retry(&self, entry: &Entry) -> Result<Changed, SinkChangeError> {
        let mut changed = Changed::default();
        for (_, consumer) in running_consumers(&self.inner, entry)? {
            let redriven = consumer.redrive_all().await;
            let Redriven { accepted, failed } =
                redriven.map_err(|error| SinkChangeError::Refused(error.to_string()))?;
            changed.retried += accepted as u64;
            changed.error = changed.error.or(failed.map(|(_, error)| error));
        }
        self.inner.context.changed();
        Ok(changed)
    }
}

/// How many records of a table are set aside.
pub(super) async fn parked_records(inner: &Inner, source: &SourceRow) -> Result<u64, StoreError> {
    tailrace_delivery::parked_records(inner.store(), source.consumer_id()?).await
}

fn not_configured(entry: &Entry) -> SinkChangeError {
    let text = format!("{} is in no tailrace.yaml of this server: put it back, or remove it", entry.name);
    SinkChangeError::Refused(text)
}

fn is_to_run(entry: &Entry) -> bool {
    entry.configured && !entry.row().paused
}

/// The consumers of the tables that a sink has begun with, whether they run or not.
fn consumers(inner: &Arc<Inner>, entry: &Entry) -> Result<Vec<(SourceRow, Arc<Consumer>)>, StoreError> {
    let Some(running) = entry.running.lock().first().cloned() else { return Ok(Vec::new()) };
    let mut row = entry.row();
    let generation = row.generation(running.version.number);
    let sources = generation.map(|generation| std::mem::take(&mut generation.sources)).unwrap_or_default();
    let with_consumer = |source: SourceRow| {
        let consumer = drive::consumer_of(inner, entry, &running, &source)?;
        Ok((source, consumer))
    };
    sources.into_iter().map(with_consumer).collect()
}

/// The same of a sink that delivers.
fn running_consumers(inner: &Arc<Inner>, entry: &Entry) -> Result<Vec<(SourceRow, Arc<Consumer>)>, SinkChangeError> {
    if !is_to_run(entry) {
        return Err(SinkChangeError::Refused(format!("{} does not run: resume it first", entry.name)));
    }
    Ok(consumers(inner, entry)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tailrace_core::key::{KeyAttribute, KeySchema, ScalarType};
    use tailrace_core::{StreamArn, StreamId, TableId, ViewType};

    use super::*;

    fn source(table: &str, consumer: &str) -> SourceRow {
        let key = KeySchema { hash: KeyAttribute { name: "id".into(), scalar: ScalarType::S }, range: None };
        SourceRow {
            table: table.into(),
            table_id: TableId(1),
            stream: StreamId(1),
            stream_arn: StreamArn::new("arn"),
            key,
            view: ViewType::NewAndOldImages,
            consumer: consumer.into(),
            snapshot: false,
            again: None,
            since: 1,
        }
    }

    fn changed(before: Value, after: Value) -> SinkRow {
        let mut row = SinkRow::new("s", before, None, EpochMs(1));
        row.live.sources = vec![source("A", "a"), source("B", "b")];
        change_config(&mut row, &after, |_, _| true);
        row
    }

    #[test]
    fn another_form_goes_on_when_what_was_planned_is_over() {
        let before = json!({"from": ["A", "B"], "to": "s3://lake/"});
        let row = changed(before.clone(), json!({"from": "A", "to": "s3://lake/", "format": "parquet"}));
        assert_eq!((row.live.version, row.live.sources.len(), row.dropping.clone()), (2, 1, vec!["b".to_owned()]));
        let earlier = |row: &SinkRow| -> Vec<(u32, Vec<String>)> {
            row.live.earlier.iter().map(|earlier| (earlier.version, earlier.finished.clone())).collect()
        };
        assert_eq!((earlier(&row), &row.live.earlier[0].config), (vec![(1, vec![])], &before));
        // A second change before that keeps the one under which something is planned.
        let mut twice = row;
        change_config(&mut twice, &json!({"from": "A", "to": "s3://lake/", "format": "csv"}), |_, _| true);
        assert_eq!((earlier(&twice), twice.live.version), (vec![(1, vec![])], 3));
        // A table that is further has something planned under the one between.
        let csv = json!({"from": ["A", "B"], "to": "s3://lake/", "format": "csv"});
        let mut two = changed(before, csv);
        two.live.earlier[0].finished.push("A".to_owned());
        let parquet = json!({"from": ["A", "B"], "to": "s3://lake/", "format": "parquet"});
        change_config(&mut two, &parquet, |_, _| true);
        assert_eq!(earlier(&two), [(1, vec!["A".to_owned()]), (2, vec!["B".to_owned()])]);
        let read: Generation = serde_json::from_value(serde_json::to_value(&two.live).unwrap()).unwrap();
        assert_eq!(read, two.live);
        let one = json!({"version": 2, "config": {}, "sources": [], "earlier": {"version": 1, "config": {}}});
        assert_eq!(serde_json::from_value::<Generation>(one).unwrap().earlier[0].version, 1);
    }

    #[test]
    fn another_target_is_begun_as_its_start_says() {
        let goes_on =
            changed(json!({"from": ["A", "B"], "to": "s3://lake/"}), json!({"from": ["A", "B"], "to": "s3://other/"}));
        assert_eq!((goes_on.live.sources.len(), goes_on.live.earlier), (2, vec![]));
        let anew = changed(
            json!({"from": ["A", "B"], "to": "postgres://a/x"}),
            json!({"from": ["A", "B"], "to": "postgres://b/x"}),
        );
        assert_eq!((anew.live.sources.len(), anew.dropping), (0, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn another_definition_of_a_view_is_built_beside_it() {
        let view = |aggregates: Value| json!({"from": "A", "to": "table:V", "aggregates": aggregates});
        let mut row = changed(view(json!({"n": "count"})), view(json!({"n": "count", "s": "sum(x)"})));
        assert_eq!((row.live.version, row.live.sources.len()), (1, 2));
        assert_eq!(row.building.as_ref().map(|building| building.version), Some(2));
        row.take_over();
        assert_eq!((row.live.version, row.live.swap, row.building), (2, true, None));
        assert_eq!(row.dropping, ["a", "b"]);
    }
}
