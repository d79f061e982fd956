//! The sinks of a server: those that its store holds, each with its consumers.
//!
//! Invariants: a sink's row says what is to be before anything is done; one change of a sink is under way at a time, and it is made whole
//! once it has begun, whether its caller waits or goes away.
//! What it does not do: it decides nothing about a record (delivery does), and knows no target (the folders beside it do).

pub mod row;
pub mod snapshot;

mod as_of;
mod drive;
mod operations;
mod source;
mod status;
mod target;

pub(crate) use drive::key_attribute;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{ApiError, AttributeValue, RecordNo, ShardNo, StreamId};
use tailrace_delivery::{Consumer, Context, Room, Timer, add_needed};
use tailrace_engine::streams::descriptor::Stream;
use tailrace_engine::{Caller, Db, Pins};
use tailrace_store::{Engine, Key, StoreError};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use operations::{Change, Changed, SinkChangeError};
pub use status::{SinkState, SinkStatus, SourceStatus};

use crate::sink::Sink;
use crate::spec::{self, Kind, SinkSpec, SpecError, Start};
use row::{Generation, SinkRow, Stored};
use target::{SinkTarget, Stats, Version};

/// Most sinks of a server.
pub const SINKS_MAX: usize = 1000;

/// Makes a sink of what is configured.
pub trait Build: Send + Sync + 'static {
    /// The sink of a version of a configuration.
    ///
    /// # Errors
    /// What is wrong with its settings, without a secret.
    fn build(&self, spec: &SinkSpec, version: u32) -> Result<Arc<dyn Sink>, SpecError>;

    /// A sink was removed: what the server itself keeps for it goes as well.
    fn removed(&self, spec: &SinkSpec) -> BoxFuture<'static, Result<(), crate::sink::SinkError>> {
        let _ = spec;
        Box::pin(async { Ok(()) })
    }

    /// A person whom a trail knows by this value is to be forgotten. False: it knows of none.
    fn forget(
        &self,
        spec: &SinkSpec,
        person: AttributeValue,
    ) -> BoxFuture<'static, Result<bool, crate::sink::SinkError>> {
        let _ = person;
        let text = format!("{} keeps nothing of persons", spec.name);
        Box::pin(async { Err(crate::sink::SinkError(text)) })
    }
}

/// Something that a person may want to know of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A flush has ended.
    Flush {
        /// The table whose records it had.
        table: String,
        /// How many.
        records: usize,
        /// Why it comes again; `None`: it is confirmed.
        error: Option<String>,
    },
    /// Anything else, in words.
    Notice(String),
}

/// Is told what happens to which sink; does not block.
pub type Observe = Arc<dyn Fn(&str, Happening) + Send + Sync>;

/// What sinks work with.
pub struct Dependencies {
    /// The database.
    pub db: Arc<Db>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// Chance, for uuids and the spread of back-offs.
    pub rng: Arc<dyn Rng>,
    /// Room in memory for records that are read ahead.
    pub room: Room,
    /// Makes sinks.
    pub build: Arc<dyn Build>,
    /// Is told what happens to which sink; does not block.
    pub observe: Observe,
    /// The runtime that delivers.
    pub runtime: Handle,
}

/// A sink of this process.
struct Entry {
    name: String,
    /// The row as it was last seen. Held by who changes it.
    stored: tokio::sync::Mutex<Stored>,
    /// The row, for who looks.
    shown: Mutex<SinkRow>,
    /// Its generations that run, or are to.
    running: Mutex<Vec<Arc<Running>>>,
    /// Held by a call that changes the sink.
    changing: tokio::sync::Mutex<()>,
    /// It is in the configuration of this start.
    configured: bool,
}

/// A generation of a sink in this process.
struct Running {
    spec: SinkSpec,
    version: Arc<Version>,
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    /// A task for each table.
    tasks: tokio::sync::Mutex<Option<tokio::task::JoinSet<()>>>,
    sources: Mutex<BTreeMap<String, SourceRun>>,
}

/// A table of a generation in this process.
struct SourceRun {
    phase: Phase,
    held: Option<Held>,
}

impl SourceRun {
    fn consumer(&self) -> Option<Arc<Consumer>> {
        self.held.as_ref().map(|held| held.consumer.clone())
    }
}

/// What brings a table's records: it stays from one try to the next, and while nothing runs it says how far it was.
#[derive(Clone)]
struct Held {
    target: Arc<SinkTarget>,
    consumer: Arc<Consumer>,
}

/// What is done with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It cannot begin yet, for this reason.
    Waiting(String),
    /// The target is made ready.
    Preparing,
    /// The snapshot is brought to the target.
    Snapshot,
    /// What was planned under the configuration before is finished.
    Finishing,
    /// Its stream is delivered.
    Streaming,
}

struct Inner {
    db: Arc<Db>,
    context: Arc<Context>,
    build: Arc<dyn Build>,
    observe: Observe,
    rng: Arc<dyn Rng>,
    runtime: Handle,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// The server stops: nothing is begun any more but by who asks for it.
    is_closing: AtomicBool,
}

impl Inner {
    fn store(&self) -> &dyn Engine {
        self.context.store.as_ref()
    }

    fn notice(&self, sink: &str, text: impl Into<String>) {
        (self.observe)(sink, Happening::Notice(text.into()));
    }
}

/// The sinks of a server. A clone is the same.
#[derive(Clone)]
pub struct Sinks {
    inner: Arc<Inner>,
}

/// Why the sinks cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A configuration is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Entry {
    /// Changes the row, with `beside` in the same commit.
    async fn change(
        &self,
        store: &dyn Engine,
        beside: &[(Key, bytes::Bytes)],
        change: impl FnOnce(&mut SinkRow),
    ) -> Result<(), StoreError> {
        let mut stored = self.stored.lock().await;
        let mut next = stored.row.clone();
        change(&mut next);
        let put = row::put(store, Some(&stored), next, beside).await?;
        *stored = put.ok_or_else(|| StoreError::Io(format!("another server changes the sink {}", self.name)))?;
        *self.shown.lock() = stored.row.clone();
        Ok(())
    }

    fn row(&self) -> SinkRow {
        self.shown.lock().clone()
    }
}

impl Sinks {
    /// Reads the sinks of the store and makes of them what `configured` says: by name, the configuration of each. Nothing runs before
    /// [`Self::start`].
    ///
    /// # Errors
    /// A configuration is wrong: nothing was changed. Or the store's.
    pub async fn load(dependencies: Dependencies, configured: &BTreeMap<String, Value>) -> Result<Sinks, OpenError> {
        let Dependencies { db, clock, timer, rng, room, build, observe, runtime } = dependencies;
        if configured.len() > SINKS_MAX {
            return Err(SpecError(format!("sinks: {} of them, more than {SINKS_MAX}", configured.len())).into());
        }
        for (name, config) in configured {
            let spec = SinkSpec::read(name, config)?;
            build.build(&spec, 1)?;
        }
        let context = Context::new(Arc::clone(db.store()), clock, timer, rng.clone(), room);
        let inner = Inner {
            db,
            context: Arc::new(context),
            build,
            observe,
            rng,
            runtime,
            entries: Mutex::default(),
            is_closing: AtomicBool::new(false),
        };
        let sinks = Sinks { inner: Arc::new(inner) };
        let mut known: BTreeMap<String, Stored> = BTreeMap::new();
        for stored in row::all(sinks.inner.store()).await? {
            known.insert(stored.row.name.clone(), stored);
        }
        for (name, config) in configured {
            let now_ms = sinks.inner.context.clock.now();
            let stored = match known.remove(name) {
                None => {
                    let row = SinkRow::new(name, config.clone(), None, now_ms);
                    row::put(sinks.inner.store(), None, row, &[]).await?
                }
                Some(removed) if removed.row.removed => {
                    let row = SinkRow::new(name, config.clone(), Some(&removed.row), now_ms);
                    row::put(sinks.inner.store(), Some(&removed), row, &[]).await?
                }
                Some(stored) => operations::reconfigure(&sinks.inner, stored, config).await?,
            };
            let changed = || StoreError::Io(format!("another server changes the sink {name}"));
            sinks.enter(stored.ok_or_else(changed)?, true)?;
        }
        for (_, stored) in known.into_iter().filter(|(_, stored)| !stored.row.removed) {
            let name = stored.row.name.clone();
            if let Err(error) = sinks.enter(stored, false) {
                sinks.inner.notice(
                    &name,
                    format!("it is not configured any more, and what it was is not understood: {error}"),
                );
            }
        }
        sinks.inner.db.add_pins(&(sinks.inner.clone() as Arc<dyn Pins>));
        Ok(sinks)
    }

    fn enter(&self, stored: Stored, configured: bool) -> Result<(), SpecError> {
        let row = stored.row.clone();
        let running = match &row.building {
            None => vec![self.running(&row.name, &row.live)?],
            Some(building) => {
                let building_runs = self.running(&row.name, building)?;
                // The one that is shown until then reaches its target as it is said now.
                let config = spec::reached_as(&row.live.config, &building.config);
                match self.running(&row.name, &Generation { config, ..row.live.clone() }) {
                    Ok(live) => vec![live, building_runs],
                    Err(error) => {
                        let text =
                            format!("what it was is not delivered any more until what it is to be is built: {error}");
                        self.inner.notice(&row.name, text);
                        vec![building_runs]
                    }
                }
            }
        };
        let entry = Entry {
            name: row.name.clone(),
            stored: tokio::sync::Mutex::new(stored),
            running: Mutex::new(running),
            changing: tokio::sync::Mutex::default(),
            configured,
            shown: Mutex::new(row),
        };
        self.inner.entries.lock().insert(entry.name.clone(), Arc::new(entry));
        Ok(())
    }

    fn running(&self, name: &str, generation: &Generation) -> Result<Arc<Running>, SpecError> {
        let spec = SinkSpec::read(name, &generation.config)?;
        let version = self.inner.version(&spec, generation.version)?;
        Ok(Arc::new(Running {
            version,
            stats: Arc::default(),
            stop: watch::Sender::new(false),
            tasks: tokio::sync::Mutex::default(),
            sources: Mutex::default(),
            spec,
        }))
    }

    /// Starts every sink that is configured and not paused.
    pub async fn start(&self) {
        self.settle_audits().await;
        for entry in self.all() {
            let _changing = entry.changing.lock().await;
            self.start_entry(&entry).await;
        }
        // A trail that was taken out of the configuration has that as its last entry.
        let is_to_end = |entry: &Arc<Entry>| !entry.configured && !entry.row().paused && !entry.row().ended;
        for entry in self.all().into_iter().filter(is_to_end) {
            let sinks = self.clone();
            self.inner.runtime.spawn(async move {
                if let Err(error) = sinks.end_trail(&entry).await {
                    tracing::warn!(sink = entry.name, %error, "the trail does not have its last entries");
                }
            });
        }
    }

    /// Lets the records of tables keep who asked for a change where an audit trail is made of them: before the first write of a client is
    /// taken.
    async fn settle_audits(&self) {
        let entries = self.all();
        let audits = entries.iter().filter(|entry| entry.configured).flat_map(|entry| entry.running.lock().clone());
        let audits = audits.filter(|running| running.spec.kind == Kind::Audit);
        let tables = audits.flat_map(|running| running.spec.from.clone()).collect();
        if let Err(error) = self.inner.db.settle_audit(&tables, &Caller::default()).await {
            // Each table of a trail is tried again when its stream is.
            tracing::warn!(%error, "which tables have an audit is not settled");
        }
    }

    async fn start_entry(&self, entry: &Arc<Entry>) {
        if !entry.configured || entry.row().paused {
            return;
        }
        drive::clean(&self.inner, entry).await;
        let running = entry.running.lock().clone();
        for generation in running {
            drive::start(&self.inner, entry, &generation).await;
        }
    }

    /// Stops all sinks: hands out nothing more, waits for what is under way and for its checkpoints. The rows stay.
    pub async fn shutdown(&self) {
        self.inner.is_closing.store(true, SeqCst);
        let entries = self.all();
        for generation in entries.iter().flat_map(|entry| entry.running.lock().clone()) {
            drive::begin_to_stop(&generation);
        }
        for entry in &entries {
            let _changing = entry.changing.lock().await;
            let running = entry.running.lock().clone();
            for generation in running {
                drive::stop(&generation).await;
            }
        }
    }

    /// Changes whenever [`Self::status`] may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.context.changes()
    }

    /// Where a sink begins, if there is one of this name.
    pub fn start_of(&self, name: &str) -> Option<Start> {
        let entry = self.inner.entries.lock().get(name).cloned()?;
        let running = entry.running.lock();
        running.first().map(|running| running.spec.start)
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.inner.entries.lock().values().cloned().collect()
    }
}

impl Inner {
    /// The stream that came after the one that is followed, of the table or of one of its name.
    async fn stream_after(&self, source: &row::SourceRow) -> Result<Option<Stream>, ApiError> {
        self.db.stream_after(source.stream_arn.as_str()).await
    }

    /// The stream that the table has now, if there is the table and it has one.
    async fn stream_of(&self, table: &str) -> Result<Option<StreamId>, ApiError> {
        let found = self.db.find_table(table).await?;
        Ok(found.and_then(|found| found.stream.as_ref().map(|stream| stream.id)))
    }

    fn version(&self, spec: &SinkSpec, number: u32) -> Result<Arc<Version>, SpecError> {
        let sink = self.build.build(spec, number)?;
        Ok(Arc::new(Version::new(number, sink, spec, self.db.record_writer())))
    }
}

/// The sink goes on with the stream that comes after the one of its table.
fn follows(name: &str, generation: &Generation) -> bool {
    SinkSpec::read(name, &generation.config).is_ok_and(|spec| spec.kind.filtering() == spec::Filtering::Records)
}

/// A sink that is configured keeps what it has not delivered, also while it is paused: of the streams that it will follow, all.
impl Pins for Inner {
    fn needed<'a>(&'a self, stream: &'a Stream) -> BoxFuture<'a, Result<BTreeMap<ShardNo, RecordNo>, StoreError>> {
        async move {
            let mut needed: BTreeMap<ShardNo, RecordNo> = BTreeMap::new();
            let entries: Vec<Arc<Entry>> =
                self.entries.lock().values().filter(|entry| entry.configured).cloned().collect();
            for row in entries.iter().map(|entry| entry.row()) {
                for generation in std::iter::once(&row.live).chain(&row.building) {
                    for source in &generation.sources {
                        let is_later = source.table == stream.table && source.stream < stream.id;
                        if source.stream == stream.id {
                            add_needed(self.store(), source.consumer_id()?, stream.id, &mut needed).await?;
                        } else if is_later && follows(&row.name, generation) {
                            for info in self.store().shards(stream.id).await? {
                                needed.insert(info.shard, RecordNo::ZERO);
                            }
                        }
                    }
                }
            }
            Ok(needed)
        }
        .boxed()
    }
}
