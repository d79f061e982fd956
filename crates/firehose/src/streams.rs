//! The delivery streams of a server: those that its store has, each with its consumer.
//!
//! Invariants: a row says what is to be before anything is done; one change of a stream is under way at a time, and is made whole once it
//! has begun. A stream that was deleted is cleaned up before its name is free, also after a crash.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{ApiError, EpochMs, ErrorCode, RecordNo, ShardNo};
use tailrace_delivery::{Consumer, Context, Definition, Room, Rules, Source, Timer, add_needed};
use tailrace_engine::streams::descriptor::Stream;
use tailrace_engine::streams::hidden;
use tailrace_engine::{Caller, Db, Pins, store_failure};
use tailrace_store::keyspace::{RequestKey, TransformedKey};
use tailrace_store::{Engine, StoreError};

use crate::config::Config;
use crate::deliver::{Delivery, Door};
use crate::events::Events;
use crate::limits::{FLUSH_RECORDS_MAX, STREAMS_MAX};
use crate::redshift::Table;
use crate::remote::{Remote, Sender};
use crate::row::{self, Asked, NotMade, Row, Stored};
use crate::transform::Transformer;
use crate::{Buckets, Clusters, Endpoints, Functions, Warehouses, answer, beside, config, records};

/// What the names of the log's streams begin with; no table can have such a name.
const LOG_NAME: &str = "$delivery/";

/// Something that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The delivery stream.
    pub stream: String,
    /// What happened.
    pub text: String,
}

/// What delivery streams work with.
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
    /// Runs functions.
    pub functions: Arc<dyn Functions>,
    /// Knows where buckets are.
    pub buckets: Arc<dyn Buckets>,
    /// Sends requests to HTTP endpoints.
    pub endpoints: Arc<dyn Endpoints>,
    /// Sends documents to clusters of OpenSearch.
    pub clusters: Arc<dyn Clusters>,
    /// Has tables of Redshift loaded.
    pub warehouses: Arc<dyn Warehouses>,
    /// Is told what happens; does not block.
    pub notices: Arc<dyn Fn(Notice) + Send + Sync>,
}

/// How a delivery stream stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// Its bucket; where records go elsewhere, that of what is not taken there.
    pub bucket: String,
    /// The host of its HTTP endpoint, or its index, or its table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The version of its destination.
    pub version: u32,
    /// Everything that is published is delivered, and durably noted.
    pub drained: bool,
    /// It fails, and no rule will ever end that.
    #[serde(default)]
    pub blocked: bool,
    /// Records that are known and not delivered.
    pub pending_records: u64,
    /// There may be others behind them.
    pub pending_is_more: bool,
    /// Age of the oldest of them, milliseconds.
    pub lag_ms: u64,
    /// Why it does not go on, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A delivery stream of this process.
struct Entry {
    name: String,
    /// The row as it was last seen.
    stored: Mutex<Arc<Stored>>,
    /// Held by who changes the stream.
    changing: tokio::sync::Mutex<()>,
    consumer: Mutex<Option<Arc<Consumer>>>,
    events: Arc<Events>,
}

struct Inner {
    context: Arc<Context>,
    db: Arc<Db>,
    functions: Arc<dyn Functions>,
    buckets: Arc<dyn Buckets>,
    endpoints: Arc<dyn Endpoints>,
    clusters: Arc<dyn Clusters>,
    warehouses: Arc<dyn Warehouses>,
    notices: Arc<dyn Fn(Notice) + Send + Sync>,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Streams are delivered.
    runs: AtomicBool,
}

/// The delivery streams of a server. A clone is the same.
#[derive(Clone)]
pub struct DeliveryStreams(Arc<Inner>);

/// Puts records into the delivery streams of a server for as long as it serves, and keeps nothing of it alive.
#[derive(Clone)]
pub struct Putter(Weak<Inner>);

impl Putter {
    /// Puts records into the stream of this name, in one commit.
    ///
    /// # Errors
    /// ResourceNotFoundException, ServiceUnavailableException, or the store's failure.
    pub async fn put(&self, name: &str, records: Vec<Vec<u8>>) -> Result<(), ApiError> {
        let stopped = || ApiError::new(ErrorCode::ServiceUnavailableException, "the server stops");
        DeliveryStreams(self.0.upgrade().ok_or_else(stopped)?).put(name, records).await.map(drop)
    }
}

impl DeliveryStreams {
    /// What puts records into them.
    pub fn putter(&self) -> Putter {
        Putter(Arc::downgrade(&self.0))
    }

    /// Reads the delivery streams of the store. Nothing is delivered before [`Self::start`].
    ///
    /// # Errors
    /// The store's.
    pub async fn load(dependencies: Dependencies) -> Result<DeliveryStreams, StoreError> {
        let Dependencies { db, clock, timer, rng, room, functions, buckets, endpoints, clusters, warehouses, notices } =
            dependencies;
        let context = Context::new(Arc::clone(db.store()), clock, timer, rng, room);
        let inner = Arc::new(Inner {
            context: Arc::new(context),
            functions,
            buckets,
            endpoints,
            clusters,
            warehouses,
            notices,
            entries: Mutex::default(),
            runs: AtomicBool::new(false),
            db,
        });
        for stored in row::all(inner.store()).await? {
            if stored.row.deleted {
                inner.clean(&stored).await?;
            } else {
                inner.enter(stored);
            }
        }
        inner.db.add_pins(&(Arc::clone(&inner) as Arc<dyn Pins>));
        Ok(DeliveryStreams(inner))
    }

    /// Delivers what there is, from now on.
    pub async fn start(&self) {
        self.0.runs.store(true, Ordering::Relaxed);
        for entry in self.0.all() {
            let _changing = entry.changing.lock().await;
            self.0.start(&entry).await;
        }
    }

    /// Stops: hands out nothing more, waits for what is under way and for its checkpoints. The records stay.
    pub async fn shutdown(&self) {
        self.0.runs.store(false, Ordering::Relaxed);
        let entries = self.0.all();
        for entry in &entries {
            if let Some(consumer) = &*entry.consumer.lock() {
                consumer.begin_to_stop();
            }
        }
        for entry in &entries {
            let _changing = entry.changing.lock().await;
            self.0.stop(entry).await;
        }
    }

    /// Something outside changed, a function or a bucket: what waits is tried again at once.
    pub fn wake(&self) {
        for entry in self.0.all() {
            if let Some(consumer) = &*entry.consumer.lock() {
                consumer.wake();
            }
        }
    }

    /// Has the damaged records of a stream set aside that hold it up; answers how many.
    ///
    /// # Errors
    /// ResourceNotFoundException.
    pub fn skip_damaged(&self, name: &str) -> Result<usize, ApiError> {
        let consumer = self.entry(name)?.consumer.lock().clone();
        Ok(consumer.map_or(0, |consumer| consumer.skip_all_damaged()))
    }

    /// Changes whenever [`Self::status`] may have changed.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.context.changes()
    }

    /// How every delivery stream stands, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self) -> Result<Vec<StreamStatus>, StoreError> {
        let mut all = Vec::new();
        for entry in self.0.all() {
            let row = entry.row();
            let destination = config::read(&row.config()).ok();
            let remote = destination.as_ref().and_then(|destination| destination.remote.as_ref());
            let table = destination.as_ref().and_then(|destination| destination.table.as_ref());
            let mut status = StreamStatus {
                name: row.name,
                endpoint: remote.map(Remote::shown).or_else(|| table.map(Table::shown)),
                bucket: destination.map(|destination| destination.place.bucket).unwrap_or_default(),
                version: row.version,
                drained: false,
                blocked: false,
                pending_records: 0,
                pending_is_more: false,
                lag_ms: 0,
                last_error: None,
            };
            let consumer = entry.consumer.lock().clone();
            let shards = match consumer {
                Some(consumer) => consumer.shards(true).await?.0,
                None => {
                    if self.0.runs.load(Ordering::Relaxed) {
                        (status.blocked, status.last_error) = (true, Some("its row cannot be read".to_owned()));
                    }
                    Vec::new()
                }
            };
            status.drained = !shards.is_empty() && shards.iter().all(|shard| shard.drained);
            for shard in shards {
                status.blocked |= shard.blocked;
                status.pending_records += shard.pending_records as u64;
                status.pending_is_more |= shard.pending_is_more;
                status.lag_ms = status.lag_ms.max(u64::try_from(shard.lag.as_millis()).unwrap_or(u64::MAX));
                status.last_error = status.last_error.or(shard.last_error);
            }
            status.last_error = status.last_error.or_else(|| entry.events.error());
            all.push(status);
        }
        Ok(all)
    }

    /// Whether everything that was put is delivered, and durably noted.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_drained(&self) -> Result<bool, StoreError> {
        for entry in self.0.all() {
            let consumer = entry.consumer.lock().clone();
            let drained = match consumer {
                Some(consumer) => consumer.is_drained().await?,
                None => false,
            };
            if !drained {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Resolves when every stream has delivered everything, but for those that cannot go on: their names, and why.
    ///
    /// # Errors
    /// The store's.
    pub async fn settled(&self) -> Result<Vec<String>, StoreError> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if let Some(blocked) = self.progress().await? {
                return Ok(blocked);
            }
            if changes.changed().await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    /// As [`Self::settled`], at this moment; `None`: something is under way.
    ///
    /// # Errors
    /// The store's.
    pub async fn progress(&self) -> Result<Option<Vec<String>>, StoreError> {
        if self.is_drained().await? {
            return Ok(Some(Vec::new()));
        }
        let all = self.status().await?;
        if !all.iter().all(|stream| stream.blocked || stream.drained) || !all.iter().any(|stream| stream.blocked) {
            return Ok(None);
        }
        let why = |stream: &StreamStatus| {
            format!("{}: {}", stream.name, stream.last_error.as_deref().unwrap_or("no error told"))
        };
        Ok(Some(all.iter().filter(|stream| stream.blocked).map(why).collect()))
    }

    /// The row of a stream.
    ///
    /// # Errors
    /// ResourceNotFoundException.
    pub(crate) fn row(&self, name: &str) -> Result<Row, ApiError> {
        self.entry(name).map(|entry| entry.row())
    }

    /// The names of all streams, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.entries.lock().keys().cloned().collect()
    }

    /// The ARN of a stream.
    pub(crate) fn arn(&self, name: &str) -> String {
        self.0.arn(name)
    }

    /// Now.
    pub(crate) fn now(&self) -> EpochMs {
        self.0.context.clock.now()
    }

    /// The database.
    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.0.db
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// ResourceInUseException, LimitExceededException, or the store's failure.
    pub(crate) async fn create(
        &self,
        name: &str,
        destination: Config,
        with: impl FnOnce(&mut Row),
        asked: Asked<'_>,
    ) -> Result<(), ApiError> {
        let inner = &self.0;
        let in_use = || answer::in_use(name, self.account());
        if inner.entries.lock().contains_key(name) {
            return Err(in_use());
        }
        let mut row = Row::new(name, destination, inner.context.rng.uuid(), self.now());
        with(&mut row);
        let made = row::create(inner.store(), row, &format!("{LOG_NAME}{name}"), STREAMS_MAX, asked).await;
        let stored = made.map_err(|error| store_failure(&error))?.map_err(|not_made| match not_made {
            NotMade::Exists => in_use(),
            NotMade::Full(count) => {
                answer::limit(format!("There are {count} delivery streams, and {STREAMS_MAX} are the most."))
            }
        })?;
        let entry = inner.enter(stored);
        let _changing = entry.changing.lock().await;
        inner.start(&entry).await;
        Ok(())
    }

    /// Changes the row of a stream, unless `change` refuses.
    ///
    /// # Errors
    /// What `change` answers, ResourceNotFoundException, or the store's failure.
    pub(crate) async fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Row) -> Result<(), ApiError>,
        asked: Asked<'_>,
    ) -> Result<(), ApiError> {
        let entry = self.entry(name)?;
        let _changing = entry.changing.lock().await;
        let mut row = self.still(&entry)?;
        change(&mut row)?;
        self.store(&entry, row, asked).await
    }

    /// Replaces the destination of a stream. A flush that is under way ends under the destination from before; one that fails at that
    /// moment is brought to the new one.
    ///
    /// # Errors
    /// As of [`Self::change`].
    pub(crate) async fn update(
        &self,
        name: &str,
        change: impl FnOnce(&Row) -> Result<Config, ApiError>,
        asked: Asked<'_>,
    ) -> Result<(), ApiError> {
        let entry = self.entry(name)?;
        let _changing = entry.changing.lock().await;
        let mut row = self.still(&entry)?;
        let changed = change(&row)?;
        row.set_config(changed);
        row.version += 1;
        row.updated_ms = Some(self.now());
        self.0.stop(&entry).await;
        let stored = self.store(&entry, row, asked).await;
        self.0.start(&entry).await;
        stored
    }

    /// Deletes a stream, with the records that it has not delivered.
    ///
    /// # Errors
    /// ResourceNotFoundException, or the store's failure.
    pub(crate) async fn delete(&self, name: &str, asked: Asked<'_>) -> Result<(), ApiError> {
        let find = || self.0.entries.lock().get(name).cloned();
        let not_found = || answer::not_found(name, self.account());
        let entry = find().ok_or_else(not_found)?;
        let _changing = entry.changing.lock().await;
        if !find().is_some_and(|there| Arc::ptr_eq(&there, &entry)) {
            return Err(not_found());
        }
        let mut row = entry.row();
        // One that is marked was left there by a deletion that failed: this one goes on with it.
        if !row.deleted {
            row.deleted = true;
            // First: what cannot be deleted goes on.
            self.store(&entry, row, asked).await?;
        }
        self.0.stop(&entry).await;
        let stored = Arc::clone(&entry.stored.lock());
        self.0.clean(&stored).await.map_err(|error| store_failure(&error))?;
        self.0.entries.lock().remove(name);
        Ok(())
    }

    /// Puts records into a stream: their ids, and whether encryption is switched on.
    ///
    /// # Errors
    /// ResourceNotFoundException, ServiceUnavailableException, or the store's failure.
    pub(crate) async fn put(&self, name: &str, data: Vec<Vec<u8>>) -> Result<(Vec<String>, bool), ApiError> {
        let entry = self.entry(name)?;
        let seen = Arc::clone(&entry.stored.lock());
        let ids = records::put(self.0.store(), &seen, data, self.account(), &Caller::default()).await?;
        Ok((ids, seen.row.encryption.is_some()))
    }

    pub(crate) fn account(&self) -> &str {
        &self.0.db.settings().account_id
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, ApiError> {
        let entry = self.0.entries.lock().get(name).cloned();
        entry.filter(|entry| !entry.stored.lock().row.deleted).ok_or_else(|| answer::not_found(name, self.account()))
    }

    /// The row, if it was not deleted while its turn was waited for.
    fn still(&self, entry: &Entry) -> Result<Row, ApiError> {
        let row = entry.row();
        if row.deleted { Err(answer::not_found(&entry.name, self.account())) } else { Ok(row) }
    }

    async fn store(&self, entry: &Entry, row: Row, asked: Asked<'_>) -> Result<(), ApiError> {
        let seen = Arc::clone(&entry.stored.lock());
        let stored = row::change(self.0.store(), &seen, row, asked).await.map_err(|error| store_failure(&error))?;
        let changed = || ApiError::new(ErrorCode::InternalServerError, "another server changes the delivery stream");
        *entry.stored.lock() = Arc::new(stored.ok_or_else(changed)?);
        Ok(())
    }
}

impl Entry {
    fn row(&self) -> Row {
        self.stored.lock().row.clone()
    }
}

impl Inner {
    fn store(&self) -> &dyn Engine {
        self.context.store.as_ref()
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().values().cloned().collect()
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:firehose:{}:deliverystream/{name}", self.db.settings().arn_scope())
    }

    fn enter(&self, stored: Stored) -> Arc<Entry> {
        let name = stored.row.name.clone();
        let entry = Arc::new(Entry {
            name: name.clone(),
            stored: Mutex::new(Arc::new(stored)),
            changing: tokio::sync::Mutex::default(),
            consumer: Mutex::default(),
            events: Arc::new(Events::new(Arc::clone(&self.notices), name.clone())),
        });
        self.entries.lock().insert(name, Arc::clone(&entry));
        entry
    }

    /// Lets the consumer of a stream run, if streams do. Who calls holds the stream's turn.
    async fn start(self: &Arc<Self>, entry: &Arc<Entry>) {
        if !self.runs.load(Ordering::Relaxed) || entry.consumer.lock().is_some() {
            return;
        }
        let row = entry.row();
        let consumer_id = match row.consumer_id() {
            Ok(id) => id,
            Err(error) => return self.notice(&row.name, error.to_string()),
        };
        let destination = config::read(&row.config()).map(Arc::new);
        if let Err(error) = &destination {
            self.notice(&row.name, format!("its records wait: {error}"));
        }
        let remote = destination.as_ref().ok().and_then(|destination| destination.remote.as_ref());
        entry.events.forget();
        let rules = Rules {
            batch_records_max: remote.map_or(FLUSH_RECORDS_MAX, Remote::records_max),
            window: destination.as_ref().map_or(std::time::Duration::ZERO, |destination| destination.window),
            plan: Some(row.version),
            ..Rules::default()
        };
        let delivery = Delivery {
            name: row.name.clone(),
            version: row.version,
            consumer: consumer_id,
            destination,
            buckets: Arc::clone(&self.buckets),
            transformer: Transformer {
                store: Arc::clone(&self.context.store),
                functions: Arc::clone(&self.functions),
                clock: Arc::clone(&self.context.clock),
                timer: Arc::clone(&self.context.timer),
                rng: Arc::clone(&self.context.rng),
                arn: self.arn(&row.name),
                region: self.db.settings().region.clone(),
            },
            sender: Sender {
                store: Arc::clone(&self.context.store),
                endpoints: Arc::clone(&self.endpoints),
                clusters: Arc::clone(&self.clusters),
                warehouses: Arc::clone(&self.warehouses),
                clock: Arc::clone(&self.context.clock),
                timer: Arc::clone(&self.context.timer),
                rng: Arc::clone(&self.context.rng),
                arn: self.arn(&row.name),
                events: Arc::clone(&entry.events),
            },
        };
        let definition = Definition {
            id: consumer_id,
            // It goes with the commit that marks the stream as deleted, and its owners after it: nobody claims a shard between.
            row: hidden::descriptor_key(row.stream),
            source: Source { stream: row.stream, partition_key: records::PARTITION.to_owned() },
            target: Arc::new(Door(Arc::new(delivery))),
            observer: Arc::clone(&entry.events) as _,
        };
        let consumer = Arc::new(Consumer::new(Arc::clone(&self.context), definition, rules));
        *entry.consumer.lock() = Some(Arc::clone(&consumer));
        consumer.start().await;
    }

    async fn stop(&self, entry: &Entry) {
        let consumer = entry.consumer.lock().clone();
        if let Some(consumer) = consumer {
            consumer.stop().await;
            *entry.consumer.lock() = None;
        }
    }

    /// Removes what a deleted stream has left, and its row. Safe to repeat.
    async fn clean(&self, stored: &Stored) -> Result<(), StoreError> {
        let consumer = stored.row.consumer_id()?;
        Consumer::delete_rows(&self.context, consumer).await?;
        beside::remove(self.store(), TransformedKey::range, consumer).await?;
        beside::remove(self.store(), RequestKey::range, consumer).await?;
        row::remove(self.store(), stored).await
    }

    fn notice(&self, stream: &str, text: String) {
        (self.notices)(Notice { stream: stream.to_owned(), text });
    }
}

/// A stream keeps what it has not delivered.
impl Pins for Inner {
    fn needed<'a>(&'a self, stream: &'a Stream) -> BoxFuture<'a, Result<BTreeMap<ShardNo, RecordNo>, StoreError>> {
        async move {
            let mut needed = BTreeMap::new();
            for entry in self.all() {
                let stored = Arc::clone(&entry.stored.lock());
                if stored.row.stream == stream.id {
                    add_needed(self.store(), stored.row.consumer_id()?, stream.id, &mut needed).await?;
                }
            }
            Ok(needed)
        }
        .boxed()
    }
}
