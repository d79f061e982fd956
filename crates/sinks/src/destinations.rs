//! The Kinesis destinations of tables: what the operations have written down, delivered. Source: docs/spec/sinks.md 5.
//!
//! Each destination has a stream of its own in the log, which has every change since it was switched on, and a consumer that brings it to the
//! data stream. One task makes of what the rows say what runs ([`tailrace_engine::Destination`] tells the states), at the start and after each
//! change.
//!
//! # What once means here
//!
//! As of the sink ([`crate::kinesis`]): at least once, an item's changes in order. A record that a data stream does not take for its size is
//! left out, as AWS does, and told.
//!
//! Invariant: nothing of a destination is removed before its consumer has stopped and its row says that it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{ApiError, MappingId, RecordNo, ShardNo, StreamArn, StreamId};
use tailrace_delivery::{
    Answer, Batch, Consumer, Context, Definition, DeliveryEvent, Observer, Outcome, Room, Rules, Source, Target, Timer,
    add_needed,
};
use tailrace_engine::streams::descriptor::Stream;
use tailrace_engine::streams::hidden;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Db, Destination, DestinationStatus, Pins, TimePrecision, ViewType};
use tailrace_store::StoreError;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::runtime::key_attribute;
use crate::runtime::row::consumer_id;
use crate::sink::{Flush, Flushed, Origin, Sink, SourceTable};
use crate::spec::SpecError;

/// How long one that is switched off goes on, at most, to bring what was written before. AWS takes one to two seconds.
const LAST_CHANGES_MAX: Duration = Duration::from_secs(2);
/// Between two looks whether it has brought everything.
const LOOK: Duration = Duration::from_millis(50);
/// When a look at the rows that failed is repeated.
const AGAIN: Duration = Duration::from_secs(1);

/// Makes the sink of a data stream: by its ARN, with times of this precision. `None`: the server knows of no Kinesis. An error: none can
/// be made as it is configured.
pub type Build = Arc<dyn Fn(&str, TimePrecision) -> Result<Option<Arc<dyn Sink>>, SpecError> + Send + Sync>;

/// What destinations work with.
pub struct Dependencies {
    /// The database.
    pub db: Arc<Db>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// Chance, for the spread of back-offs.
    pub rng: Arc<dyn Rng>,
    /// Room in memory for records that are read ahead.
    pub room: Room,
    /// Makes sinks.
    pub build: Build,
    /// Is told what a person may want to know; does not block.
    pub notices: Arc<dyn Fn(String) + Send + Sync>,
    /// The runtime that delivers.
    pub runtime: Handle,
}

struct Inner {
    db: Arc<Db>,
    context: Arc<Context>,
    build: Build,
    notices: Arc<dyn Fn(String) + Send + Sync>,
    running: Mutex<BTreeMap<StreamId, Arc<Consumer>>>,
    /// Everything that there was at the start runs.
    looked: AtomicBool,
    /// Those of which it was told that nothing is delivered.
    waiting: Mutex<BTreeSet<StreamId>>,
    /// The streams of all destinations that were seen, and who reads them: also where nothing is delivered.
    pinned: Mutex<BTreeMap<StreamId, MappingId>>,
}

/// The Kinesis destinations of a server.
pub struct Destinations {
    inner: Arc<Inner>,
    stop: watch::Sender<bool>,
    task: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    runtime: Handle,
}

/// Why a look at the rows came to no end.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sink(#[from] SpecError),
}

impl Destinations {
    /// Reads what there is. Nothing is delivered before [`Self::start`].
    ///
    /// # Errors
    /// The store's.
    pub async fn load(dependencies: Dependencies) -> Result<Destinations, ApiError> {
        let Dependencies { db, clock, timer, rng, room, build, notices, runtime } = dependencies;
        let context = Arc::new(Context::new(Arc::clone(db.store()), clock, timer, rng, room));
        let inner = Inner {
            db,
            context,
            build,
            notices,
            running: Mutex::default(),
            looked: AtomicBool::new(false),
            waiting: Mutex::default(),
            pinned: Mutex::default(),
        };
        let inner = Arc::new(inner);
        inner.pin(&inner.db.kinesis_destinations().await?);
        inner.db.add_pins(&(Arc::clone(&inner) as Arc<dyn Pins>));
        Ok(Destinations { inner, stop: watch::Sender::new(false), task: tokio::sync::Mutex::default(), runtime })
    }

    /// Delivers from now on, and follows every change of a destination.
    pub async fn start(&self) {
        let (inner, stop) = (Arc::clone(&self.inner), self.stop.subscribe());
        *self.task.lock().await = Some(self.runtime.spawn(async move { inner.follow(stop).await }));
    }

    /// Stops: hands out nothing more, waits for what is under way and for its checkpoints.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let running: Vec<_> = self.inner.running.lock().values().cloned().collect();
        running.iter().for_each(|consumer| consumer.begin_to_stop());
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
        let running = std::mem::take(&mut *self.inner.running.lock());
        for consumer in running.into_values() {
            consumer.stop().await;
        }
    }

    /// Whether everything that was written is delivered, and durably noted.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_drained(&self) -> Result<bool, StoreError> {
        if !self.inner.looked.load(Ordering::Acquire) {
            return Ok(false);
        }
        let running: Vec<_> = self.inner.running.lock().values().cloned().collect();
        for consumer in running {
            if !consumer.is_drained().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Destinations {
    /// Changes whenever [`Self::is_drained`] may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.context.changes()
    }

    /// Resolves when everything is delivered.
    ///
    /// # Errors
    /// The store's.
    pub async fn settled(&self) -> Result<(), StoreError> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.is_drained().await? || changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Inner {
    fn pin(&self, all: &[Destination]) {
        let ids = all.iter().filter_map(|one| Some((one.stream, consumer_id(&one.consumer).ok()?)));
        *self.pinned.lock() = ids.collect();
    }

    async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let looked = self.look(&stop).await;
            self.looked.fetch_or(looked.is_ok(), Ordering::AcqRel);
            self.context.changed();
            let again = async {
                if looked.is_ok() {
                    std::future::pending::<()>().await;
                }
                self.wait(AGAIN).await;
            };
            if let Err(error) = &looked {
                tracing::warn!(%error, "the Kinesis destinations of tables are looked at again");
            }
            tokio::select! {
                () = self.db.destinations_changed() => {}
                () = again => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn wait(&self, length: Duration) {
        self.context.timer.sleep_until(self.context.clock.monotonic().plus(length)).await;
    }

    /// Makes of what the rows say what runs.
    async fn look(self: &Arc<Self>, stop: &watch::Receiver<bool>) -> Result<(), LookError> {
        let all = self.db.kinesis_destinations().await?;
        self.pin(&all);
        let gone: Vec<StreamId> = {
            let running = self.running.lock();
            running.keys().filter(|stream| all.iter().all(|one| one.stream != **stream)).copied().collect()
        };
        for stream in gone {
            self.stop(stream).await;
        }
        // With its table a destination goes, and with it what was not delivered. One that has ended may be from before a crash.
        self.remove_orphans().await?;
        if *stop.borrow() {
            return Ok(());
        }
        // Side by side: one that waits for an answer of its data stream holds up no other.
        let settled = join_all(all.iter().map(|one| self.settle(one, stop))).await;
        settled.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }

    /// Removes what is kept for streams that no destination has; their descriptors stay until then, so that a crash in between is repeated. What a
    /// server that knows nothing of this claimed in between goes behind it: from then on nobody can claim any more. Safe to repeat.
    async fn remove_orphans(&self) -> Result<(), LookError> {
        for (stream, consumer) in self.db.orphaned_captures().await? {
            self.stop(stream).await;
            let consumer = consumer_id(&consumer)?;
            Consumer::delete_rows(&self.context, consumer).await?;
            self.db.drop_capture(stream).await?;
            Consumer::delete_rows(&self.context, consumer).await?;
        }
        Ok(())
    }

    /// Brings one destination to where its row says that it goes.
    async fn settle(self: &Arc<Self>, one: &Destination, stop: &watch::Receiver<bool>) -> Result<(), LookError> {
        match one.status {
            DestinationStatus::Enabling | DestinationStatus::Updating => {
                self.stop(one.stream).await;
                match self.run(one).await {
                    Err(LookError::Sink(error)) if one.status == DestinationStatus::Enabling => {
                        self.notice(
                            &format!("{} of {}", one.stream_arn, one.table),
                            &format!("it has failed: {error}"),
                        );
                        self.db.end_destination(one).await?;
                        self.remove_orphans().await?;
                    }
                    run => {
                        run?;
                        self.db.activate_destination(one).await?;
                    }
                }
            }
            DestinationStatus::Disabling => {
                match self.run(one).await {
                    // Nothing can be brought.
                    Err(LookError::Sink(_)) => {}
                    run => run?,
                }
                self.bring_the_last(one.stream, stop).await?;
                self.stop(one.stream).await;
                if !*stop.borrow() {
                    // First: without its checkpoint it would begin anew after a crash.
                    self.db.end_destination(one).await?;
                    self.remove_orphans().await?;
                }
            }
            DestinationStatus::Active => self.run(one).await?,
            DestinationStatus::Disabled | DestinationStatus::EnableFailed => {}
        }
        Ok(())
    }

    /// Lets the consumer of a destination run, if the server knows where Kinesis is.
    async fn run(self: &Arc<Self>, one: &Destination) -> Result<(), LookError> {
        if self.running.lock().contains_key(&one.stream) {
            return Ok(());
        }
        let name: Arc<str> = format!("{} of {}", one.stream_arn, one.table).into();
        let built = (self.build)(&one.stream_arn, one.precision)?;
        let Some(sink) = built else {
            if self.waiting.lock().insert(one.stream) {
                self.notice(&name, "its changes wait: the server was started without an endpoint for Kinesis");
            }
            return Ok(());
        };
        let bounds = sink.bounds();
        let source = SourceTable {
            table: one.table.clone(),
            // It has none that anybody could read.
            stream_arn: StreamArn::new(""),
            partition_key: key_attribute(&one.key.hash),
            sort_key: one.key.range.as_ref().map(key_attribute),
            view: ViewType::NewAndOldImages,
        };
        let (inner, told) = (Arc::downgrade(self), Arc::clone(&name));
        let notices = Arc::clone(&self.notices);
        let definition = Definition {
            id: consumer_id(&one.consumer)?,
            // It goes with the stream: nobody claims a shard of it behind that.
            row: hidden::descriptor_key(one.stream),
            source: Source { stream: one.stream, partition_key: one.key.hash.name.clone() },
            target: Arc::new(Door { name: told, sink, source: Arc::new(source), notices }),
            observer: Arc::new(Events { inner, name, told: Mutex::default() }),
        };
        let rules = Rules { batch_records_max: bounds.records_max, window: bounds.window, ..Rules::default() };
        let consumer = Arc::new(Consumer::new(Arc::clone(&self.context), definition, rules));
        self.running.lock().insert(one.stream, Arc::clone(&consumer));
        consumer.start().await;
        Ok(())
    }

    async fn stop(&self, stream: StreamId) {
        let consumer = self.running.lock().get(&stream).cloned();
        if let Some(consumer) = consumer {
            consumer.stop().await;
            self.running.lock().remove(&stream);
        }
    }

    /// Waits until everything is brought, but not for long.
    async fn bring_the_last(&self, stream: StreamId, stop: &watch::Receiver<bool>) -> Result<(), LookError> {
        let Some(consumer) = self.running.lock().get(&stream).cloned() else { return Ok(()) };
        let end = self.context.clock.monotonic().plus(LAST_CHANGES_MAX);
        while !consumer.is_drained().await? && self.context.clock.monotonic() < end && !*stop.borrow() {
            self.wait(LOOK).await;
        }
        Ok(())
    }

    fn notice(&self, name: &str, text: &str) {
        (self.notices)(format!("Kinesis destination {name}: {text}"));
    }
}

/// A destination keeps what it has not delivered.
impl Pins for Inner {
    fn needed<'a>(&'a self, stream: &'a Stream) -> BoxFuture<'a, Result<BTreeMap<ShardNo, RecordNo>, StoreError>> {
        async move {
            let mut needed = BTreeMap::new();
            let consumer = self.pinned.lock().get(&stream.id).copied();
            if let Some(consumer) = consumer {
                add_needed(self.context.store.as_ref(), consumer, stream.id, &mut needed).await?;
            }
            Ok(needed)
        }
        .boxed()
    }
}

/// A data stream as a target of delivery.
struct Door {
    name: Arc<str>,
    sink: Arc<dyn Sink>,
    source: Arc<SourceTable>,
    notices: Arc<dyn Fn(String) + Send + Sync>,
}

impl Target for Door {
    fn wants(&self, _: &StreamRecord) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        self.sink.size(record)
    }

    fn batch_bytes_max(&self) -> usize {
        self.sink.bounds().bytes_max
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer> {
        let (name, notices) = (Arc::clone(&self.name), Arc::clone(&self.notices));
        let flush = Flush {
            sink: Arc::clone(&self.name),
            version: 1,
            source: Arc::clone(&self.source),
            shard: batch.shard,
            origin: Origin::Stream,
            epoch: batch.epoch,
            taken: batch.taken,
            failed_before: batch.failed_before,
            records: batch.records,
            waits: batch.waits,
            stopping: batch.stopping,
        };
        let flushed = self.sink.flush(flush);
        async move {
            let outcome = match flushed.await {
                Err(error) => Outcome::Failed(error.to_string()),
                Ok(Flushed { rejected, stopped_at, .. }) => {
                    // As AWS does: nobody could look at what is set aside of a destination.
                    if let Some(first) = rejected.first() {
                        let count = rejected.len();
                        notices(format!("Kinesis destination {name}: {count} changes are left out: {}", first.error));
                    }
                    match (stopped_at, "the server stops".to_owned()) {
                        (None, _) => Outcome::DoneExcept(Vec::new()),
                        (Some(0), error) => Outcome::NotInvoked(error),
                        (Some(index), error) => Outcome::DoneUntil { index, rejected: Vec::new(), error },
                    }
                }
            };
            outcome.into()
        }
        .boxed()
    }
}

/// Tells what happens on.
struct Events {
    inner: std::sync::Weak<Inner>,
    name: Arc<str>,
    /// The error that was told last, until it is well again.
    told: Mutex<Option<String>>,
}

impl Observer for Events {
    fn on_event(&self, event: DeliveryEvent) {
        let Some(inner) = self.inner.upgrade() else { return };
        let text = match event {
            DeliveryEvent::Batch { error: Some(error), .. } => {
                let mut told = self.told.lock();
                if told.as_ref() == Some(&error) {
                    return;
                }
                *told = Some(error.clone());
                format!("changes are not delivered yet, and are tried again: {error}")
            }
            DeliveryEvent::Batch { error: None, .. } => match self.told.lock().take() {
                Some(_) => "changes are delivered again".to_owned(),
                None => return,
            },
            DeliveryEvent::Trimmed { .. } => {
                "changes may be lost: they were trimmed before they were delivered".to_owned()
            }
            DeliveryEvent::Lost { .. } => "changes are lost: their piece of the log was set aside".to_owned(),
            DeliveryEvent::Damaged { error, .. } => {
                format!("a damaged record holds it up (switched off and on again, it goes on behind it): {error}")
            }
            DeliveryEvent::TakenOver { .. } => "another server has taken it over".to_owned(),
            DeliveryEvent::Trouble { error, .. } => format!("a problem: {error}"),
            DeliveryEvent::Parked { .. } | DeliveryEvent::WindowLost { .. } => return,
        };
        inner.notice(&self.name, &text);
    }
}

#[cfg(test)]
mod tests;
