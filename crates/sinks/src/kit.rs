//! The test kit that every sink passes: a small shop whose items come, change and go, while the sink is crashed, refused and cut off at every
//! step; afterwards its target has to hold what the table's history says. Source: docs/spec/sinks.md 9.
//!
//! A life of the server is a runtime of its own, which is dropped where it stands: before a flush, while it is sent, with half of it taken,
//! after it was sent and before it is confirmed, after that. Shards are sealed in between, with children; now and then a second server runs the
//! same sink; the store loses what it had not synced. Every story is told
//! over an engine that numbers all records in one order, and over one that numbers those of each shard by themselves.
//!
//! A sink that cannot be run here (its target answers over a network that the kit does not have) runs against a fake of its target; what counts
//! is that the fake has the target's semantics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, MonotonicMs, RecordNo, Service, ShardNo};
use tailrace_delivery::{Room, Timer};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_store::{Decision, Engine, MemoryEngine, Numbers, StoreError, Write, commit};
use tokio::sync::Notify;

use crate::runtime::{Build, Change, Dependencies, Sinks};
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Sink, SinkError, SourceTable};
use crate::spec::{SinkSpec, SpecError};

/// The table of the shop.
pub const TABLE: &str = "Orders";

/// A sink under test.
pub trait Subject: Send + Sync + 'static {
    /// What is said of it, but for `from`.
    fn config(&self) -> Value;

    /// The sink, as a server makes it that begins.
    fn sink(&self, spec: &SinkSpec, version: u32) -> Arc<dyn Sink>;

    /// The same for a sink that needs the database.
    fn sink_of(&self, db: &Arc<Db>, spec: &SinkSpec, version: u32) -> Arc<dyn Sink> {
        let _ = db;
        self.sink(spec, version)
    }

    /// Whether it is rebuilt amid its stories.
    fn is_rebuilt(&self) -> bool {
        false
    }

    /// Whether the target holds what it should, when everything has been delivered.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self, history: &History) -> Result<(), String>;
}

/// What was done to the table.
#[derive(Debug, Default)]
pub struct History {
    /// The items as they are: by key, with the member `v`.
    pub items: BTreeMap<String, i64>,
    /// Every change that the stream has, in the order of each shard: event, key, and `v` before and after.
    #[allow(clippy::type_complexity, reason = "a test")]
    pub changes: Vec<(ShardNo, RecordNo, String, String, Option<i64>, Option<i64>)>,
    /// The sink began with a snapshot.
    pub snapshot: bool,
}

/// Skips time: who waits for an instant has it, in a moment.
struct Skipping(Arc<ManualClock>);

impl Timer for Skipping {
    fn sleep_until(&self, time: MonotonicMs) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let left = time.0.saturating_sub(clock.monotonic().0);
            clock.advance(left);
        }
        .boxed()
    }
}

/// What happens to flushes: by chance, and the end of a life at one of them.
struct Weather {
    seed: AtomicU64,
    /// Flushes until the life ends; far above all: never.
    life: AtomicU64,
    /// Where in the flush it ends.
    place: AtomicU64,
    ended: Notify,
    calm: std::sync::atomic::AtomicBool,
}

impl Weather {
    fn random(&self, below: u64) -> u64 {
        let next = |seed: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = self.seed.fetch_update(SeqCst, SeqCst, |seed| Some(next(seed))).unwrap_or(0);
        (next(before) >> 33) % below
    }

    /// The power goes: nothing of this life comes back.
    async fn end(&self) {
        self.ended.notify_one();
        std::future::pending::<()>().await;
    }
}

/// A sink in bad weather.
struct Exposed {
    inner: Arc<dyn Sink>,
    weather: Arc<Weather>,
}

impl Sink for Exposed {
    fn bounds(&self) -> Bounds {
        Bounds {
            records_max: self.inner.bounds().records_max.min(7),
            window: std::time::Duration::ZERO,
            ..self.inner.bounds()
        }
    }

    fn plans(&self) -> bool {
        self.inner.plans()
    }

    fn needs(&self) -> Images {
        self.inner.needs()
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        self.inner.size(record)
    }

    fn prepare(&self, source: Arc<SourceTable>) -> BoxFuture<'static, Result<(), SinkError>> {
        let (inner, weather) = (self.inner.clone(), self.weather.clone());
        async move {
            if !weather.calm.load(SeqCst) && weather.random(8) == 0 {
                return Err(SinkError("the target does not answer".to_owned()));
            }
            inner.prepare(source).await
        }
        .boxed()
    }

    fn swap(&self) -> BoxFuture<'static, Result<(), SinkError>> {
        self.inner.swap()
    }

    fn snapshot_done(
        &self,
        source: Arc<SourceTable>,
        since: u32,
        version: u32,
    ) -> BoxFuture<'static, Result<(), SinkError>> {
        self.inner.snapshot_done(source, since, version)
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let (inner, weather) = (self.inner.clone(), self.weather.clone());
        async move {
            if weather.calm.load(SeqCst) {
                return inner.flush(flush).await;
            }
            let ends = weather.life.fetch_sub(1, SeqCst) <= 1;
            let place = if ends { weather.place.load(SeqCst) } else { weather.random(4 * PLACES) };
            match place {
                BEFORE => {}
                AFTER => drop(inner.flush(flush.clone()).await?),
                AMID => cut_off(inner.flush(flush.clone()), weather.random(MOVES_MAX)).await,
                HALF => {
                    if let Some(half) = first_half(inner.as_ref(), &flush) {
                        inner.flush(half).await?;
                    }
                }
                _ => return inner.flush(flush).await,
            }
            // The line breaks, or the power goes.
            if ends {
                weather.end().await;
            }
            Err(SinkError("the line broke".to_owned()))
        }
        .boxed()
    }
}

/// Where a flush is cut off: nothing is sent; its effect is there, and nobody is told; it is on its way; half of it is taken.
const BEFORE: u64 = 0;
const AFTER: u64 = 1;
const AMID: u64 = 2;
const HALF: u64 = 3;
const PLACES: u64 = 4;
/// A flush that is cut off on its way has been moved on less often than so.
const MOVES_MAX: u64 = 12;

/// Moves a flush on some times, and drops it where it stands.
async fn cut_off<T>(flush: BoxFuture<'static, T>, moves: u64) {
    let (mut flush, mut left) = (flush, moves);
    std::future::poll_fn(|context| {
        if left == 0 || flush.poll_unpin(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        std::task::Poll::Pending
    })
    .await;
}

/// The first half of a flush, for a sink that may get one with another end: what a target has that took a part.
fn first_half(sink: &dyn Sink, flush: &Flush) -> Option<Flush> {
    let count = flush.records.len() / 2;
    let may_be = !sink.plans() && flush.origin == Origin::Stream && count > 0;
    may_be.then(|| Flush { records: flush.records[..count].to_vec(), ..flush.clone() })
}

struct Builder {
    db: Arc<Db>,
    subject: Arc<dyn Subject>,
    weather: Arc<Weather>,
}

impl Build for Builder {
    fn build(&self, spec: &SinkSpec, version: u32) -> Result<Arc<dyn Sink>, SpecError> {
        Ok(Arc::new(Exposed { inner: self.subject.sink_of(&self.db, spec, version), weather: self.weather.clone() }))
    }
}

/// The world of a trial.
struct World {
    store: Arc<dyn MemoryEngine>,
    clock: Arc<ManualClock>,
    rng: Arc<SeededRng>,
    weather: Arc<Weather>,
    subject: Arc<dyn Subject>,
    configured: BTreeMap<String, Value>,
}

impl World {
    async fn db(&self) -> Arc<Db> {
        let store: Arc<dyn Engine> = self.store.clone();
        let settings = Settings { shards_per_stream: 2, ..Settings::default() };
        Arc::new(Db::open(store, self.clock.clone(), self.rng.clone(), settings).await.unwrap())
    }

    async fn sinks(&self, db: &Arc<Db>) -> Sinks {
        let build = Builder { db: db.clone(), subject: self.subject.clone(), weather: self.weather.clone() };
        let dependencies = Dependencies {
            db: db.clone(),
            clock: self.clock.clone(),
            timer: Arc::new(Skipping(self.clock.clone())),
            rng: self.rng.clone(),
            room: Room::default(),
            build: Arc::new(build),
            observe: Arc::new(|_, _| {}),
        };
        Sinks::load(dependencies, &self.configured).await.unwrap()
    }

    /// One write of the shop, by chance.
    async fn write(&self, db: &Db) {
        let key = format!("order-{}", self.weather.random(9));
        let (operation, body) = match self.weather.random(5) {
            0 => ("DeleteItem", json!({"TableName": TABLE, "Key": {"id": {"S": key}}})),
            _ => {
                let value = self.weather.random(1000).to_string();
                ("PutItem", json!({"TableName": TABLE, "Item": {"id": {"S": key}, "v": {"N": value}}}))
            }
        };
        self.clock.advance(1);
        ops::execute(db, Service::DynamoDb, operation, body.to_string().as_bytes(), &Caller::default()).await.unwrap();
    }

    /// Seals an open shard of the stream; two children share what it had.
    async fn split(&self, db: &Db) {
        let Some(table) = db.find_table(TABLE).await.unwrap() else { return };
        let Some(stream) = &table.stream else { return };
        let shards = self.store.shards(stream.id).await.unwrap();
        let open: Vec<_> =
            shards.iter().filter(|info| info.sealed.is_none() && info.range.first < info.range.last).collect();
        let Some(chosen) = open.get(self.weather.random(open.len().max(1) as u64) as usize) else { return };
        let (first, last) = (chosen.range.first.0, chosen.range.last.0);
        let middle = first + (last - first) / 2;
        let half = |first, last| tailrace_core::BucketRange {
            first: tailrace_core::Bucket(first),
            last: tailrace_core::Bucket(last),
        };
        let seal = Write::Seal { shard: chosen.shard, children: vec![half(first, middle), half(middle + 1, last)] };
        let store: &dyn Engine = self.store.as_ref();
        commit(store, &[], &[], |_| Decision::Apply(vec![seal.clone()], ())).await.unwrap();
    }

    /// What was done to the table, from its stream.
    async fn history(&self, db: &Db) -> History {
        let table = db.find_table(TABLE).await.unwrap().unwrap();
        let stream = table.stream.as_ref().unwrap();
        let mut history = History {
            snapshot: self.configured.values().any(|config| config["start"] == "snapshot"),
            ..History::default()
        };
        let value = |image: Option<tailrace_core::Item>| {
            let item = image?;
            let number = match item.get("v")? {
                tailrace_core::AttributeValue::N(number) => number.to_string(),
                other => panic!("{other:?}"),
            };
            Some(number.parse().unwrap())
        };
        for info in self.store.shards(stream.id).await.unwrap() {
            let mut after = RecordNo::ZERO;
            loop {
                let page = self.store.read_log(info.shard, after, 1000, usize::MAX).await.unwrap();
                for logged in page.records {
                    let number = logged.number;
                    let record = StreamRecord::read(logged).unwrap();
                    let key = match record.keys().unwrap().get("id") {
                        Some(tailrace_core::AttributeValue::S(key)) => key.clone(),
                        other => panic!("{other:?}"),
                    };
                    let (old, new) = (value(record.old_image().unwrap()), value(record.new_image().unwrap()));
                    history.changes.push((
                        info.shard,
                        number,
                        record.meta.kind.name().to_owned(),
                        key.clone(),
                        old,
                        new,
                    ));
                }
                if !page.more {
                    break;
                }
                after = page.next;
            }
        }
        // Of one key the later change has the higher number; of two it does not matter.
        let mut ordered = history.changes.clone();
        ordered.sort_by_key(|(_, number, ..)| *number);
        for (.., key, _, new) in ordered {
            match new {
                Some(new) => drop(history.items.insert(key, new)),
                None => drop(history.items.remove(&key)),
            }
        }
        history
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A shop's story from `seed`, with `lives` that end badly, over a store that numbers records so; then everything is delivered.
///
/// # Errors
/// What is wrong at the target.
pub fn trial(subject: Arc<dyn Subject>, numbers: Numbers, seed: u64, lives: u64) -> Result<(), String> {
    let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
    let weather = Weather {
        seed: AtomicU64::new(seed),
        life: AtomicU64::new(u64::MAX),
        place: AtomicU64::new(0),
        ended: Notify::new(),
        calm: std::sync::atomic::AtomicBool::new(false),
    };
    let mut config = subject.config();
    config["from"] = TABLE.into();
    let world = World {
        store: numbers.engine(clock.clone()),
        clock,
        rng: Arc::new(SeededRng::new(seed)),
        weather: Arc::new(weather),
        subject,
        configured: BTreeMap::from([("kit".to_owned(), config)]),
    };
    runtime().block_on(async {
        let db = world.db().await;
        let create = json!({"TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}});
        let body = create.to_string();
        ops::execute(&db, Service::DynamoDb, "CreateTable", body.as_bytes(), &Caller::default()).await.unwrap();
        for _ in 0..world.weather.random(20) {
            world.write(&db).await;
        }
    });
    for _ in 0..lives {
        world.weather.life.store(1 + world.weather.random(6), SeqCst);
        // A third of the lives come to their last write.
        world.weather.place.store(world.weather.random(PLACES + PLACES / 2), SeqCst);
        let life = runtime();
        life.block_on(async {
            let db = world.db().await;
            let sinks = world.sinks(&db).await;
            sinks.start().await;
            // Now and then a second server runs the same sink, wrongly: who owns a shard is decided in the store. Not
            // amid rebuilds: a server does not see that another one has begun a version anew, and a flush can come under the names of both.
            // (One server has a data directory to itself: this is what several over one store will need.)
            let mut others = Vec::new();
            let wrong_at = if world.subject.is_rebuilt() { u64::MAX } else { world.weather.random(120) };
            let writes = async {
                for number in 0..40 {
                    if number == wrong_at {
                        let sinks = world.sinks(&world.db().await).await;
                        sinks.start().await;
                        others.push(sinks);
                    }
                    world.write(&db).await;
                    for _ in 0..world.weather.random(4) {
                        tokio::task::yield_now().await;
                    }
                    if world.weather.random(25) == 0 {
                        world.split(&db).await;
                    }
                    if world.subject.is_rebuilt() && world.weather.random(25) == 0 {
                        let sinks = sinks.clone();
                        tokio::spawn(async move { sinks.change("kit", Change::Rebuild).await });
                    }
                }
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = world.weather.ended.notified() => {}
                () = writes => {}
            }
        });
        // Its tasks end where they stand.
        drop(life);
        world.store.crash();
    }
    world.weather.life.store(u64::MAX, SeqCst);
    runtime().block_on(async {
        let db = world.db().await;
        let sinks = world.sinks(&db).await;
        sinks.start().await;
        for _ in 0..20 {
            world.write(&db).await;
        }
        world.weather.calm.store(true, SeqCst);
        let mut looks = 0;
        while !sinks.is_drained().await.unwrap() {
            tokio::task::yield_now().await;
            looks += 1;
            // A disk or a socket needs time of this machine, not of the story.
            if looks > 20_000 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            if looks == 80_000 {
                return Err(format!("it does not come to an end: {:#?}", sinks.status().await.unwrap()));
            }
        }
        sinks.shutdown().await;
        let history = world.history(&db).await;
        world.subject.check(&history)
    })
}

/// Many stories.
///
/// # Panics
/// With the seed of the first that ends with another target than it should.
pub fn assert_passes(subject: impl Fn() -> Arc<dyn Subject>, stories: u64) {
    for (seed, numbers) in each(stories) {
        if let Err(wrong) = trial(subject(), numbers, seed, 1 + seed % 5) {
            panic!("story {seed}, numbers {numbers:?}: {wrong}");
        }
    }
}

/// Whether some of the stories finds something wrong: for a sink that is broken on purpose.
pub fn finds_something(subject: impl Fn() -> Arc<dyn Subject>, stories: u64) -> bool {
    each(stories).any(|(seed, numbers)| trial(subject(), numbers, seed, 1 + seed % 5).is_err())
}

/// The stories, each with every way to number records.
fn each(stories: u64) -> impl Iterator<Item = (u64, Numbers)> {
    (0..stories).flat_map(|seed| Numbers::ALL.map(|numbers| (seed, numbers)))
}

/// A target in memory, and the ways in which sinks use one.
#[derive(Default)]
pub struct Memory {
    way: Way,
    start: &'static str,
    rebuilt: bool,
    objects: Mutex<BTreeMap<String, Vec<String>>>,
    /// Those of items.
    pages: Mutex<BTreeMap<String, Vec<String>>>,
    documents: Mutex<BTreeMap<String, (RecordNo, Option<i64>)>>,
    count: Mutex<Count>,
}

/// How it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// An object a flush, under the flush's name.
    #[default]
    Objects,
    /// As that, but without a plan: broken.
    ObjectsWithoutPlan,
    /// Documents with versions.
    Documents,
    /// As that, but the version is not looked at, and the flush forgets its last record: broken.
    Forgetful,
    /// A sum, with the progress beside it.
    Sum,
    /// As that, but the progress is not looked at: broken.
    SumWithoutProgress,
}

#[derive(Default)]
struct Count {
    sum: i64,
    progress: BTreeMap<ShardNo, RecordNo>,
    pages: BTreeSet<u64>,
}

impl Memory {
    /// A target that is used so.
    #[allow(clippy::new_ret_no_self, reason = "who tests has the subject alone")]
    pub fn new(way: Way, start: &'static str) -> Arc<dyn Subject> {
        Arc::new(SharedMemory(Arc::new(Memory { way, start, ..Memory::default() })))
    }
}

struct SharedMemory(Arc<Memory>);

struct MemorySink(Arc<Memory>);

fn shown(record: &StreamRecord) -> (String, Option<i64>, Option<i64>) {
    let value = |item: Option<tailrace_core::Item>| match item.as_ref().and_then(|item| item.get("v")) {
        Some(tailrace_core::AttributeValue::N(number)) => number.to_string().parse().ok(),
        _ => None,
    };
    let key = match record.keys().unwrap().get("id") {
        Some(tailrace_core::AttributeValue::S(key)) => key.clone(),
        other => panic!("{other:?}"),
    };
    (key, value(record.old_image().unwrap()), value(record.new_image().unwrap()))
}

impl Sink for MemorySink {
    fn bounds(&self) -> Bounds {
        Bounds { records_max: 7, bytes_max: 1 << 20, window: std::time::Duration::ZERO }
    }

    fn plans(&self) -> bool {
        self.0.way == Way::Objects
    }

    fn needs(&self) -> Images {
        Images { old: true, new: true }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        Ok(record.new.as_ref().map_or(0, Bytes::len))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let memory = self.0.clone();
        async move {
            memory.take(&flush);
            Ok(Flushed::default())
        }
        .boxed()
    }
}

impl Memory {
    fn take(&self, flush: &Flush) {
        match self.way {
            Way::Objects | Way::ObjectsWithoutPlan => {
                let line = |record: &StreamRecord| {
                    let (key, old, new) = shown(record);
                    format!("{} {} {key} {old:?} {new:?}", record.shard.0, record.meta.kind.name())
                };
                let is_page = matches!(flush.origin, Origin::Snapshot { .. });
                let objects = if is_page { &self.pages } else { &self.objects };
                objects.lock().insert(flush.name(), flush.records.iter().map(line).collect());
            }
            Way::Documents | Way::Forgetful => {
                let mut documents = self.documents.lock();
                let forgets = usize::from(self.way == Way::Forgetful);
                for record in &flush.records[..flush.records.len() - forgets] {
                    let (key, _, new) = shown(record);
                    let known = documents.entry(key).or_insert((RecordNo::ZERO, None));
                    if known.0 <= record.number {
                        *known = (record.number, new);
                    }
                }
            }
            Way::Sum | Way::SumWithoutProgress => {
                let mut count = self.count.lock();
                let checks = self.way == Way::Sum;
                if let Origin::Snapshot { page, .. } = flush.origin
                    && !count.pages.insert(page)
                    && checks
                {
                    return;
                }
                for record in &flush.records {
                    let (_, old, new) = shown(record);
                    if flush.origin == Origin::Stream {
                        let done = count.progress.entry(record.shard).or_default();
                        if *done >= record.number && checks {
                            continue;
                        }
                        *done = record.number;
                    }
                    count.sum += new.unwrap_or(0) - old.unwrap_or(0);
                }
            }
        }
    }
}

impl Subject for SharedMemory {
    fn config(&self) -> Value {
        json!({"to": "./kit", "start": self.0.start})
    }

    fn sink(&self, _: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        Arc::new(MemorySink(self.0.clone()))
    }

    fn is_rebuilt(&self) -> bool {
        self.0.rebuilt
    }

    fn check(&self, history: &History) -> Result<(), String> {
        match self.0.way {
            Way::Objects | Way::ObjectsWithoutPlan => {
                let mut lines: Vec<String> = self.0.objects.lock().values().flatten().cloned().collect();
                let line = |(shard, _, kind, key, old, new): &(
                    ShardNo,
                    RecordNo,
                    String,
                    String,
                    Option<i64>,
                    Option<i64>,
                )| { format!("{} {kind} {key} {old:?} {new:?}", shard.0) };
                let mut expected: Vec<String> = history.changes.iter().map(line).collect();
                lines.sort();
                expected.sort();
                if lines == expected { Ok(()) } else { Err(format!("{lines:#?} instead of {expected:#?}")) }
            }
            Way::Documents | Way::Forgetful => {
                let documents = self.0.documents.lock();
                let found: BTreeMap<String, i64> =
                    documents.iter().filter_map(|(key, (_, value))| Some((key.clone(), (*value)?))).collect();
                if found == history.items { Ok(()) } else { Err(format!("{found:?} instead of {:?}", history.items)) }
            }
            Way::Sum | Way::SumWithoutProgress => {
                let (sum, expected) = (self.0.count.lock().sum, history.items.values().sum::<i64>());
                if sum == expected { Ok(()) } else { Err(format!("{sum} instead of {expected}")) }
            }
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn objects_are_written_once_each() {
        assert_passes(|| Memory::new(Way::Objects, "trim_horizon"), 60);
    }

    /// docs/spec/sinks.md 1, "Backfill": whatever is written while a log begins anew with the items of its table, no change is left out of it,
    /// and none is in it twice.
    #[test]
    fn a_rebuild_of_a_log_leaves_out_no_change() {
        let mut pages = 0;
        for (seed, numbers) in each(150) {
            let memory = Memory { way: Way::Objects, start: "trim_horizon", rebuilt: true, ..Memory::default() };
            let memory = Arc::new(memory);
            let told = trial(Arc::new(SharedMemory(memory.clone())), numbers, seed, 1 + seed % 5);
            assert_eq!(told, Ok(()), "story {seed}, numbers {numbers:?}");
            pages += memory.pages.lock().len();
        }
        assert!(pages > 600, "{pages} pages of items");
    }

    #[test]
    fn documents_come_to_what_the_table_is() {
        assert_passes(|| Memory::new(Way::Documents, "trim_horizon"), 60);
        assert_passes(|| Memory::new(Way::Documents, "snapshot"), 60);
    }

    /// docs/spec/sinks.md 1, "Backfill": a snapshot at a point and the stream from there, without a gap or a double.
    #[test]
    fn a_sum_counts_each_change_once_with_a_snapshot_and_without() {
        assert_passes(|| Memory::new(Way::Sum, "trim_horizon"), 60);
        assert_passes(|| Memory::new(Way::Sum, "snapshot"), 60);
    }

    #[test]
    fn the_kit_finds_what_is_broken() {
        for (way, start) in [
            (Way::ObjectsWithoutPlan, "trim_horizon"),
            (Way::Forgetful, "trim_horizon"),
            (Way::SumWithoutProgress, "trim_horizon"),
            (Way::SumWithoutProgress, "snapshot"),
        ] {
            assert!(finds_something(|| Memory::new(way, start), 60), "{way:?} passes");
        }
    }
}
