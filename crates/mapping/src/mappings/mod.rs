//! The event source mappings of a server: those that its store holds, each with its consumer.
//!
//! Invariants: a mapping's row says what is to be (enabled, deleting) before its tasks are told. A change is made whole once it
//! has begun, whether its caller waits for it or goes away: the row and the tasks never part.
//! What it does not do: it decides nothing about a record (delivery does), and nothing about who is right when two processes
//! change a mapping (the store does: the module `row`).

mod operations;
mod parked;
mod status;
mod tagging;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::MappingId;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_delivery::{Consumer, Context, Definition, Room, Source, Timer};
use tailrace_engine::streams::record::RecordWriter;
use tailrace_store::{Engine, StoreError};
use tokio::sync::watch;

pub use operations::Begun;
pub use status::{Described, MappingState, MappingStatus};

use crate::config::{Mapping, StreamSource};
use crate::error::MappingError;
use crate::events::{NamedEvents, Observer};
use crate::function::{Environment, FunctionTarget, Invoker};
use crate::row::{self, Stored};

/// Finds streams by their ARNs.
pub trait Streams: Send + Sync + 'static {
    /// The stream of this ARN; `None`: there is none.
    fn find<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<Option<StreamSource>, StoreError>>;
}

/// What mappings work with.
pub struct Dependencies {
    /// The store.
    pub store: Arc<dyn Engine>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// Chance, for uuids and the spread of back-offs.
    pub rng: Arc<dyn Rng>,
    /// Room in memory for records that are read ahead.
    pub room: Room,
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

/// A mapping of this process.
struct Entry {
    /// The mapping as its row was last seen.
    stored: Mutex<Stored>,
    consumer: Consumer,
    target: FunctionTarget,
    /// Held from reading the row to writing it.
    writing: tokio::sync::Mutex<()>,
    /// Held by a call that changes the mapping.
    changing: tokio::sync::Mutex<()>,
    /// Who waits for that call.
    caller: Mutex<Caller>,
    /// The state that the mapping has until that call is over; `None`: that of its row.
    under_way: Mutex<Option<MappingState>>,
}

/// The caller of a change, who holds something as long as he waits: he may go away while the change goes on.
#[derive(Clone, Default)]
struct Caller(Weak<()>);

impl Caller {
    fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Entry {
    /// The right to change the mapping. A change whose caller waits for it is in the way; one that nobody waits for any more is
    /// waited for.
    async fn change(&self, caller: Caller) -> Result<Change<'_>, MappingError> {
        let changing = match self.changing.try_lock() {
            Ok(changing) => changing,
            Err(_) if self.caller.lock().is_gone() => self.changing.lock().await,
            Err(_) => return Err(MappingError::InUse),
        };
        *self.caller.lock() = caller;
        Ok(changing)
    }

    fn mapping(&self) -> Mapping {
        self.stored.lock().0.clone()
    }

    /// Shows this state until the answer is dropped, which ends the change.
    fn passes_through<'a>(&'a self, change: Change<'a>, state: MappingState, context: &'a Context) -> UnderWay<'a> {
        *self.under_way.lock() = Some(state);
        context.changed();
        UnderWay { entry: self, change: Some(change), context }
    }
}

/// The right to change a mapping.
type Change<'a> = tokio::sync::MutexGuard<'a, ()>;

/// A change of state that is under way.
struct UnderWay<'a> {
    entry: &'a Entry,
    change: Option<Change<'a>>,
    context: &'a Context,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // Under the lock: whoever sees that it is over finds nothing in the way.
        let mut state = self.entry.under_way.lock();
        *state = None;
        self.change = None;
        drop(state);
        self.context.changed();
    }
}

/// The event source mappings of a server. A clone is the same.
#[derive(Clone)]
pub struct Mappings {
    context: Arc<Context>,
    environment: Arc<Environment>,
    streams: Arc<dyn Streams>,
    region: String,
    account_id: String,
    entries: Arc<Mutex<BTreeMap<MappingId, Arc<Entry>>>>,
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
        let Dependencies { store, clock, timer, rng, room, streams, records, invoker, observer, region, account_id } =
            dependencies;
        let environment = Environment { invoker, records, observer };
        let mappings = Mappings {
            context: Arc::new(Context::new(store, clock, timer, rng, room)),
            environment: Arc::new(environment),
            streams,
            region,
            account_id,
            entries: Arc::default(),
        };
        for (mapping, bytes) in row::all(mappings.store()).await? {
            match mapping.deleting {
                true => mappings.delete_rows(&mapping).await?,
                false => drop(mappings.enter((mapping, bytes))),
            }
        }
        Ok(mappings)
    }

    fn store(&self) -> &dyn Engine {
        self.context.store.as_ref()
    }

    /// Makes a stored mapping one of this process. It does not run yet.
    fn enter(&self, stored: Stored) -> Arc<Entry> {
        let mapping = &stored.0;
        let target = FunctionTarget::new(self.environment.clone(), mapping);
        let observer = NamedEvents {
            mapping: mapping.uuid(),
            table: mapping.source.table().to_owned(),
            target: target.clone(),
            observer: self.environment.observer.clone(),
        };
        let source = Source { stream: mapping.source.id, partition_key: mapping.source.partition_key.clone() };
        let (id, row) = (mapping.id, row::key(mapping.id));
        let (consumed_by, observer) = (Arc::new(target.clone()), Arc::new(observer));
        let definition = Definition { id, row, source, target: consumed_by, observer };
        let consumer = Consumer::new(self.context.clone(), definition, mapping.rules.clone());
        let (writing, changing) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let (caller, under_way, stored) = (Mutex::default(), Mutex::default(), Mutex::new(stored));
        let entry = Arc::new(Entry { stored, consumer, target, writing, changing, caller, under_way });
        self.entries.lock().insert(id, entry.clone());
        entry
    }

    /// Starts every enabled mapping that does not run.
    pub async fn start(&self) {
        for entry in self.all() {
            let _changing = entry.changing.lock().await;
            let mapping = entry.mapping();
            if mapping.runs() {
                entry.consumer.start().await;
            }
        }
    }

    /// Stops all mappings: hands out nothing more, waits for what is under way and for its checkpoints. The rows stay.
    pub async fn shutdown(&self) {
        let entries = self.all();
        for entry in &entries {
            entry.consumer.begin_to_stop();
        }
        for entry in &entries {
            let _changing = entry.changing.lock().await;
            let _writing = entry.writing.lock().await;
            entry.consumer.stop().await;
        }
    }

    /// GetEventSourceMapping.
    ///
    /// # Errors
    /// There is none of this uuid.
    pub fn get(&self, uuid: &str) -> Result<Mapping, MappingError> {
        Ok(self.entry(uuid)?.mapping())
    }

    /// All mappings, by uuid.
    pub fn list(&self) -> Vec<Mapping> {
        self.all().iter().map(|entry| entry.mapping()).collect()
    }

    /// A function's code or limits changed, or it came or went: what waits to be retried is retried at once.
    pub fn function_changed(&self, function: &str) {
        for entry in self.all().iter().filter(|entry| entry.mapping().function.name == function) {
            entry.consumer.wake();
        }
    }

    /// Changes whenever [`Self::status`] may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.context.changes()
    }

    /// Resolves when every record that is published has been processed (or parked) and checkpointed, in every enabled
    /// mapping. While records come faster than they go, it does not.
    ///
    /// # Errors
    /// The store's.
    pub async fn drained(&self) -> Result<(), StoreError> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.is_drained().await? || changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// As [`Self::drained`], at this moment.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_drained(&self) -> Result<bool, StoreError> {
        for entry in self.all() {
            if entry.mapping().enabled && !entry.consumer.is_drained().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().values().cloned().collect()
    }

    fn entry(&self, uuid: &str) -> Result<Arc<Entry>, MappingError> {
        let id = MappingId::parse(uuid).ok_or(MappingError::NotFound)?;
        self.entries.lock().get(&id).cloned().ok_or(MappingError::NotFound)
    }
}
