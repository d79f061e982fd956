//! Where every sink stands: the one type that the admin page and the command line look at.

use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};
use tailrace_core::EpochMs;
use tailrace_delivery::ShardStatus;
use tailrace_store::StoreError;

use super::snapshot::{self, RejectedItem};
use super::{Entry, Phase, Running, Sinks, drive};

/// What a table waits for that ends by itself.
const PREPARING: &str = "the target is made ready";
const FINISHING: &str = "what was planned under the configuration before is finished";

/// The state of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkState {
    /// It delivers, or has nothing to deliver.
    Running,
    /// It waits for something: a table, a stream, the target.
    Waiting,
    /// It brings a snapshot to the target.
    Snapshot,
    /// The target does not take what it is sent; it is tried again.
    Retrying,
    /// Too much was set aside: nothing goes on before some of it is retried or discarded.
    Blocked,
    /// A person has paused it.
    Paused,
    /// It is in the configuration no more.
    Unconfigured,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Where to, without secrets.
    pub to: String,
    /// Its kind.
    pub kind: String,
    /// Its state.
    pub state: SinkState,
    /// Why it is in this state, if that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of its configuration.
    pub version: u32,
    /// It is the one that is to be shown, and the target was not told so yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapping: bool,
    /// The version that is built beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<Box<SinkStatus>>,
    /// Flushes that were confirmed since the server began.
    pub flushes: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes at the target.
    pub bytes: u64,
    /// When the last flush ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_flush_ms: Option<EpochMs>,
    /// Its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Records that are known and not at the target, all tables together.
    pub lag_records: u64,
    /// There may be others behind them.
    pub lag_is_more: bool,
    /// Age of the oldest of them, milliseconds.
    pub lag_ms: u64,
    /// Records that were set aside.
    pub parked: u64,
    /// How often changes may have been lost since the version began, all tables together: they were trimmed before they were read, at the end
    /// of what is kept for sinks. It stands in the checkpoints, and nobody knows how many changes those were.
    #[serde(default)]
    pub trimmed_gaps: u64,
    /// Its tables.
    pub sources: Vec<SourceStatus>,
}

/// A table of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// The table.
    pub table: String,
    /// Why it does not go on, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Items that the snapshot has brought to the target, while it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_items: Option<u64>,
    /// Items of the snapshot that the target did not take: they are there when they are written again, or the sink is rebuilt.
    #[serde(default)]
    pub snapshot_rejected: u64,
    /// The last of them, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_last_rejected: Option<RejectedItem>,
    /// The shards of its stream, oldest first.
    pub shards: Vec<ShardStatus>,
}

impl Sinks {
    /// Every sink, with every shard that it delivers.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self) -> Result<Vec<SinkStatus>, StoreError> {
        let mut all = Vec::new();
        for entry in self.all() {
            let running = entry.running.lock().clone();
            let Some((live, building)) = running.split_first() else { continue };
            let mut status = self.generation(&entry, live).await?;
            if let Some(building) = building.first() {
                status.building = Some(Box::new(self.generation(&entry, building).await?));
            }
            all.push(status);
        }
        Ok(all)
    }

    /// Whether everything that is published is at its target, or set aside, and durably noted, for every sink that runs.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_drained(&self) -> Result<bool, StoreError> {
        for entry in self.all() {
            if entry.row().paused || !entry.configured {
                continue;
            }
            let running = entry.running.lock().clone();
            for generation in running {
                for table in &generation.spec.sources() {
                    let consumer = {
                        let sources = generation.sources.lock();
                        let source = sources.get(table).filter(|source| source.phase == Phase::Streaming);
                        source.and_then(super::SourceRun::consumer)
                    };
                    match consumer {
                        Some(consumer) if consumer.is_drained().await? => {}
                        _ => return Ok(false),
                    }
                }
            }
        }
        Ok(true)
    }

    async fn generation(&self, entry: &Entry, running: &Running) -> Result<SinkStatus, StoreError> {
        let mut row = entry.row();
        let paused = row.paused;
        let generation = row.generation(running.version.number);
        let swapping = generation.as_ref().is_some_and(|generation| generation.swap);
        let begun = generation.map(|generation| std::mem::take(&mut generation.sources)).unwrap_or_default();
        let (stats, spec) = (&running.stats, &running.spec);
        let last = stats.last.lock().clone();
        let mut status = SinkStatus {
            name: entry.name.clone(),
            to: spec.shown_to(),
            kind: spec.kind.name().to_owned(),
            state: SinkState::Running,
            reason: None,
            version: running.version.number,
            swapping,
            building: None,
            flushes: stats.flushes.load(Relaxed),
            records: stats.records.load(Relaxed),
            bytes: stats.bytes.load(Relaxed),
            last_flush_ms: last.as_ref().map(|(at, _)| *at),
            last_error: last.and_then(|(_, error)| error),
            lag_records: 0,
            lag_is_more: false,
            lag_ms: 0,
            parked: 0,
            trimmed_gaps: 0,
            sources: Vec::new(),
        };
        for table in &spec.sources() {
            let phase = running.sources.lock().get(table).map(|source| source.phase.clone());
            let phase = phase.unwrap_or(Phase::Waiting(drive::NOT_BEGUN.to_owned()));
            let source = begun.iter().find(|source| source.table == *table);
            let shards = match source {
                Some(source) => {
                    let consumer = drive::consumer_of(&self.inner, entry, running, source)?;
                    let is_to_run = phase == Phase::Streaming && !paused && entry.configured;
                    consumer.shards(is_to_run).await?.0
                }
                None => Vec::new(),
            };
            let taken = match source {
                Some(source) if source.snapshot => {
                    snapshot::progress(self.inner.store(), source.snapshot_id()?).await?
                }
                _ => snapshot::Progress::default(),
            };
            status.add(table, phase, taken, shards);
        }
        if status.state == SinkState::Running && status.last_error.is_some() {
            status.state = SinkState::Retrying;
        }
        if paused {
            (status.state, status.reason) = (SinkState::Paused, None);
        } else if !entry.configured {
            let text = "it is not in tailrace.yaml; its place is kept".to_owned();
            (status.state, status.reason) = (SinkState::Unconfigured, Some(text));
        }
        Ok(status)
    }
}

impl SinkStatus {
    /// Why it does not go on by itself; `None`: it does, or has not tried yet.
    pub fn stuck(&self) -> Option<&str> {
        let error = self.last_error.as_deref();
        let shards = || self.sources.iter().flat_map(|source| &source.shards).filter(|shard| shard.blocked);
        match (self.state, self.reason.as_deref()) {
            // It is not to go on.
            (SinkState::Paused | SinkState::Unconfigured, _) => None,
            // What came of the first try, if that is over.
            _ if self.is_starting() => error,
            (SinkState::Waiting | SinkState::Blocked, reason) => reason.or(error).or(Some("no error told")),
            (_, reason) => {
                let blocked = shards().next()?;
                reason.or(error).or(blocked.last_error.as_deref()).or(Some("no error told"))
            }
        }
    }

    /// A table of it goes on, or is about to, whatever another one waits for.
    pub fn goes_on(&self) -> bool {
        if matches!(self.state, SinkState::Paused | SinkState::Unconfigured) {
            return false;
        }
        let has_failed = self.last_error.is_some();
        self.sources.iter().any(|source| match source.waits_for.as_deref() {
            Some(drive::NOT_BEGUN | PREPARING | FINISHING) => !has_failed,
            Some(_) => false,
            None if source.snapshot_items.is_some() => !has_failed,
            // Behind a shard that nothing ends may be others that wait for it.
            None => {
                source.shards.iter().any(|shard| !shard.drained) && !source.shards.iter().any(|shard| shard.blocked)
            }
        })
    }

    /// No task of it has looked at one of its tables yet: it goes on within a moment.
    pub fn is_starting(&self) -> bool {
        self.state == SinkState::Waiting && self.reason.as_deref() == Some(drive::NOT_BEGUN)
    }

    fn add(&mut self, table: &str, phase: Phase, taken: snapshot::Progress, shards: Vec<ShardStatus>) {
        let (mut waits_for, mut snapshot_items) = (None, None);
        match phase {
            Phase::Waiting(reason) => {
                self.reason.get_or_insert_with(|| reason.clone());
                self.state = SinkState::Waiting;
                waits_for = Some(reason);
            }
            Phase::Preparing => waits_for = Some(PREPARING.to_owned()),
            Phase::Snapshot => {
                snapshot_items = Some(taken.items);
                if self.state == SinkState::Running {
                    self.state = SinkState::Snapshot;
                }
            }
            Phase::Finishing => waits_for = Some(FINISHING.to_owned()),
            Phase::Streaming => {}
        }
        for shard in &shards {
            self.lag_records += shard.pending_records as u64;
            self.lag_is_more |= shard.pending_is_more;
            self.lag_ms = self.lag_ms.max(u64::try_from(shard.lag.as_millis()).unwrap_or(u64::MAX));
            self.parked += shard.parked_records;
            self.trimmed_gaps += shard.trimmed_gaps;
            if shard.queued_batches > 0 && self.state == SinkState::Running {
                self.reason = Some("changes wait for the throttle".to_owned());
            }
            if shard.blocked && shard.state == tailrace_delivery::ShardState::Blocked {
                self.state = SinkState::Blocked;
                self.reason = shard.last_error.clone();
            }
        }
        self.sources.push(SourceStatus {
            table: table.to_owned(),
            waits_for,
            snapshot_items,
            snapshot_rejected: taken.rejected,
            snapshot_last_rejected: taken.last_rejected,
            shards,
        });
    }
}
