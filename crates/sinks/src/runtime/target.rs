//! A sink as a target of delivery: what passes, what the sink is shown of it, and what its answer means.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tailrace_core::clock::Clock;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::{EpochMs, RecordNo, SequenceNumber, StreamArn};
use tailrace_delivery::{Answer, Batch, Outcome, Target};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::ChangeKind;
use tailrace_pattern::Filter;
use tailrace_store::StoreError;

use super::snapshot::Reaches;
use crate::plain_item::PlainItem;
use crate::sink::{Flush, Flushed, Origin, Sink, SinkError, SourceTable};
use crate::spec::{Filtering, SinkSpec};

/// A version of a sink.
pub struct Version {
    /// Its number.
    pub number: u32,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// What passes.
    pub filter: Option<Filter>,
    /// Which records pass as events, and who writes these.
    pub events: Option<(Filter, RecordWriter)>,
    /// What the sink is shown of it.
    pub filtering: Filtering,
    /// The tables that the target was made ready for in this process.
    prepared: tokio::sync::Mutex<BTreeSet<String>>,
}

impl Version {
    /// A version that is not prepared yet.
    pub fn new(number: u32, sink: Arc<dyn Sink>, spec: &SinkSpec, records: RecordWriter) -> Version {
        let (filter, filtering) = (spec.filter.clone(), spec.kind.filtering());
        let events = spec.events.clone().map(|events| (events, records));
        Version { number, sink, filter, events, filtering, prepared: tokio::sync::Mutex::default() }
    }

    /// Makes the target ready, if that was not done.
    pub async fn prepare(&self, source: &Arc<SourceTable>) -> Result<(), SinkError> {
        let mut prepared = self.prepared.lock().await;
        if !prepared.contains(&source.table) {
            self.sink.prepare(source.clone()).await?;
            prepared.insert(source.table.clone());
        }
        Ok(())
    }

    fn passes(&self, image: Option<&bytes::Bytes>) -> Result<bool, StoreError> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let Some(image) = image else { return Ok(false) };
        let corrupt = |error: CodecError| StoreError::Corrupt(format!("a stream record: {error}"));
        let item = StoredItem::new(image).map_err(corrupt)?;
        filter.passes(&PlainItem::new(&item)).map_err(corrupt)
    }

    /// Whether the record passes, and if so as what it is shown. A stream without old images says of none whether it passed: what
    /// ends to pass is then removed in any case.
    pub fn shown_as(&self, record: &StreamRecord, stream: &StreamArn) -> Result<Option<ChangeKind>, StoreError> {
        let kind = record.meta.kind;
        if let Some((events, records)) = &self.events
            && !records.passes(events, record, stream)?
        {
            return Ok(None);
        }
        if self.filter.is_none() || self.filtering == Filtering::Own {
            return Ok(Some(kind));
        }
        if self.filtering == Filtering::Records {
            let image = if kind == ChangeKind::Remove { record.old.as_ref() } else { record.new.as_ref() };
            return Ok(self.passes(image)?.then_some(kind));
        }
        let new_in = kind != ChangeKind::Remove && self.passes(record.new.as_ref())?;
        let old_in = kind != ChangeKind::Insert && (!record.meta.view.has_old() || self.passes(record.old.as_ref())?);
        Ok(match (old_in, new_in) {
            (false, false) => None,
            (false, true) => Some(ChangeKind::Insert),
            (true, true) => Some(ChangeKind::Modify),
            (true, false) => Some(ChangeKind::Remove),
        })
    }
}

/// What a sink has done since the process began.
#[derive(Debug, Default)]
pub struct Stats {
    /// Flushes that were confirmed.
    pub flushes: AtomicU64,
    /// Their records.
    pub records: AtomicU64,
    /// Their bytes at the target.
    pub bytes: AtomicU64,
    /// When the last one was, and its error if it failed.
    pub last: Mutex<Option<(EpochMs, Option<String>)>>,
}

/// What the target of one source is given.
pub struct SinkTarget {
    /// The sink's name.
    pub name: Arc<str>,
    /// The table.
    pub source: Arc<SourceTable>,
    /// The version that records are read for.
    pub version: RwLock<Arc<Version>>,
    /// What a snapshot has already.
    pub reaches: RwLock<Arc<Reaches>>,
    /// Counts.
    pub stats: Arc<Stats>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Told after each flush: its records, and its error.
    pub flushed: Arc<dyn Fn(usize, Option<String>) + Send + Sync>,
    /// Told what the sink itself has to say.
    pub notice: Arc<dyn Fn(String) + Send + Sync>,
}

impl SinkTarget {
    /// Brings records to the target.
    pub async fn send(&self, version: &Version, flush: Flush) -> Result<Flushed, SinkError> {
        let records = flush.records.len();
        let done = version.sink.flush(flush).await;
        let error = match &done {
            Ok(Flushed { behind: Some(at), .. }) => Some(self.lost_behind(*at)),
            Ok(flushed) => {
                self.stats.flushes.fetch_add(1, Relaxed);
                self.stats.records.fetch_add(flushed.stopped_at.unwrap_or(records) as u64, Relaxed);
                self.stats.bytes.fetch_add(flushed.bytes, Relaxed);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        *self.stats.last.lock() = Some((self.clock.now(), error.clone()));
        let records = done.as_ref().ok().and_then(|flushed| flushed.stopped_at).unwrap_or(records);
        (self.flushed)(records, error);
        if let Some(text) = version.sink.notice() {
            (self.notice)(text);
        }
        done
    }

    fn lost_behind(&self, at: RecordNo) -> String {
        let (table, at) = (&self.source.table, SequenceNumber(at));
        format!(
            "the target has the changes of {table} up to {at} only, though it had more: what it lacks is brought again"
        )
    }

    async fn take(&self, batch: Batch) -> Outcome {
        let version = self.version.read().clone();
        if batch.plan.is_some_and(|plan| plan != version.number) {
            return Outcome::NotInvoked(format!("the configuration of {} is being changed", self.name));
        }
        if let Err(error) = version.prepare(&self.source).await {
            *self.stats.last.lock() = Some((self.clock.now(), Some(error.to_string())));
            return Outcome::Failed(error.to_string());
        }
        let mut records = batch.records;
        // Elsewhere a record is shown as it is; that it passes was seen when it was read.
        if version.filtering == Filtering::Table && version.filter.is_some() {
            for record in &mut records {
                match version.shown_as(record, &self.source.stream_arn) {
                    Ok(Some(kind)) => show_as(record, kind),
                    Ok(None) => {}
                    Err(error) => return Outcome::Failed(error.to_string()),
                }
            }
        }
        let flush = Flush {
            sink: self.name.clone(),
            version: version.number,
            source: self.source.clone(),
            shard: batch.shard,
            origin: if batch.redriven { Origin::Retry } else { Origin::Stream },
            epoch: batch.epoch,
            taken: batch.taken,
            failed_before: batch.failed_before,
            records,
            waits: batch.waits,
            stopping: batch.stopping,
        };
        match self.send(&version, flush).await {
            Ok(Flushed { behind: Some(at), .. }) => {
                tracing::warn!(sink = &*self.name, table = self.source.table, at = %SequenceNumber(at), "the target is behind");
                Outcome::Behind { at, error: self.lost_behind(at) }
            }
            Ok(Flushed { rejected, stopped_at, .. }) => {
                let rejected = rejected.into_iter().map(|rejected| (rejected.index, rejected.error)).collect();
                match (stopped_at, "the sink is stopped".to_owned()) {
                    (None, _) => Outcome::DoneExcept(rejected),
                    (Some(0), error) => Outcome::NotInvoked(error),
                    (Some(index), error) => Outcome::DoneUntil { index, rejected, error },
                }
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// Shows a record as another change than it was: the image that is not of it goes.
fn show_as(record: &mut StreamRecord, kind: ChangeKind) {
    if record.meta.kind == kind {
        return;
    }
    record.meta.kind = kind;
    match kind {
        ChangeKind::Insert => record.old = None,
        ChangeKind::Remove => record.new = None,
        ChangeKind::Modify => {}
    }
}

/// The target of a source. A clone is the same.
#[derive(Clone)]
pub struct Door(pub Arc<SinkTarget>);

impl Target for Door {
    fn wants(&self, record: &StreamRecord) -> Result<bool, StoreError> {
        let reaches = self.0.reaches.read().clone();
        if !reaches.is_empty() && reaches.has(record)? {
            return Ok(false);
        }
        let version = self.0.version.read().clone();
        Ok(version.shown_as(record, &self.0.source.stream_arn)?.is_some())
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        self.0.version.read().sink.size(record)
    }

    fn batch_bytes_max(&self) -> usize {
        self.0.version.read().sink.bounds().bytes_max
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer> {
        let target = self.0.clone();
        async move { target.take(batch).await.into() }.boxed()
    }
}
