//! The test kit that every sink passes: a small shop whose items come, change and go, while the sink is crashed, refused and cut off at every
//! step; afterwards its target has to hold what the table's history says. Source: docs/spec/sinks.md 9.
//!
//! A life of the server is a runtime of its own, which is dropped where it stands: before a flush, while it is sent, with half of it taken,
//! after it was sent and before it is confirmed, after that. Shards are sealed in between, with children; now and then a second server runs the
//! same sink; the store loses what it had not synced. Every story is told
//! over an engine that numbers all records in one order, and over one that numbers those of each shard by themselves.
//!
//! Some items of the shop are such as the target never takes, where there are such: those records have to be in the error output, each once,
//! and nothing else.
//!
//! A sink that cannot be run here (its target answers over a network that the kit does not have) runs against a fake of its target; what counts
//! is that the fake has the target's semantics.

mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

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

use crate::notify::tests::writer;
use crate::runtime::{Build, Change, Dependencies, Happening, Sinks};
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Sink, SinkError, SourceTable};
use crate::spec::{SinkSpec, SpecError};

/// The table of the shop.
pub const TABLE: &str = "Orders";
/// The member `v` of items that a target never takes; of all others it is below 1,000.
pub const POISON: i64 = 66_666;
/// Of so many writes one is of such an item, where the target has them.
const POISON_ONE_IN: u64 = 12;
/// The shop has so many items at most.
const ITEMS_MAX: u64 = 9;

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

    /// Whether some items of the shop are such as the target never takes. Not of a log that is rebuilt: its error output has to be empty for that.
    fn has_poison(&self) -> bool {
        false
    }

    /// Whether the target never takes the record of a change, by `v` before and after.
    fn refuses(&self, old: Option<i64>, new: Option<i64>) -> bool {
        let _ = old;
        new == Some(POISON)
    }

    /// What else is in an item, beside its key and `v`.
    fn attributes(&self, v: i64) -> Value {
        let _ = v;
        json!({})
    }

    /// Whether the target holds what it should, when everything has been delivered.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self, history: &History) -> Result<(), String>;
}

/// What was done to the table, but for what the target never takes.
#[derive(Debug, Default)]
pub struct History {
    /// The items as they are: by key, with the member `v`.
    pub items: BTreeMap<String, i64>,
    /// Every change that the stream has and the target takes, in the order of each shard: event, key, and `v` before and after.
    #[allow(clippy::type_complexity, reason = "a test")]
    pub changes: Vec<(ShardNo, RecordNo, String, String, Option<i64>, Option<i64>)>,
    /// The sink began with a snapshot.
    pub snapshot: bool,
    /// The changes that the target never takes: key, number, and the id of the record.
    poison: Vec<(String, RecordNo, String)>,
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
    /// The first change of each item that came from the stream.
    streamed: Mutex<BTreeMap<String, RecordNo>>,
    /// A sink panicked: it would be begun again and again, for as long as the story goes.
    panicked: Mutex<Option<String>>,
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
        // An audit trail also has what is done to tables.
        if flush.origin == Origin::Stream && flush.source.table == TABLE {
            let mut streamed = weather.streamed.lock();
            for record in &flush.records {
                let first = streamed.entry(key_of(record)).or_insert(record.number);
                *first = record.number.min(*first);
            }
        }
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
    fn begins_with_items(&self) -> bool {
        self.configured.values().any(|config| config["start"] == "snapshot")
    }

    async fn db(&self) -> Arc<Db> {
        let store: Arc<dyn Engine> = self.store.clone();
        let settings = Settings { shards_per_stream: 2, ..Settings::default() };
        Arc::new(Db::open(store, self.clock.clone(), self.rng.clone(), settings).await.unwrap())
    }

    async fn sinks(&self, db: &Arc<Db>) -> Sinks {
        let build = Builder { db: db.clone(), subject: self.subject.clone(), weather: self.weather.clone() };
        let weather = self.weather.clone();
        let observe = move |_: &str, happening| match happening {
            Happening::Notice(text) if text.contains("panicked") => *weather.panicked.lock() = Some(text),
            _ => {}
        };
        let dependencies = Dependencies {
            db: db.clone(),
            clock: self.clock.clone(),
            timer: Arc::new(Skipping(self.clock.clone())),
            rng: self.rng.clone(),
            room: Room::default(),
            build: Arc::new(build),
            observe: Arc::new(observe),
            runtime: tokio::runtime::Handle::current(),
        };
        Sinks::load(dependencies, &self.configured).await.unwrap()
    }

    async fn make_table(&self, db: &Db) {
        let create = json!({"TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}});
        self.do_to(db, "CreateTable", create).await;
    }

    /// One write of the shop, by chance.
    async fn write(&self, db: &Db) {
        let key = format!("order-{}", self.weather.random(ITEMS_MAX));
        if self.weather.random(5) == 0 {
            return self.do_to(db, "DeleteItem", json!({"TableName": TABLE, "Key": {"id": {"S": key}}})).await;
        }
        let value = self.weather.random(1000) as i64;
        let is_poison = self.subject.has_poison() && self.weather.random(POISON_ONE_IN) == 0;
        self.put(db, &key, if is_poison { POISON } else { value }).await;
    }

    async fn put(&self, db: &Db, key: &str, v: i64) {
        let mut item = json!({"id": {"S": key}, "v": {"N": v.to_string()}});
        item.as_object_mut().unwrap().extend(self.subject.attributes(v).as_object().unwrap().clone());
        self.do_to(db, "PutItem", json!({"TableName": TABLE, "Item": item})).await;
    }

    async fn do_to(&self, db: &Db, operation: &'static str, body: Value) {
        self.clock.advance(1);
        ops::execute(db, Service::DynamoDb, operation, body.to_string().as_bytes(), &Caller::default()).await.unwrap();
    }

    /// The error output of the sink, by the ids of its records.
    async fn error_output(&self, sinks: &Sinks) -> Vec<String> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = sinks.parked("kit", TABLE, after).await.unwrap();
            let Some(last) = page.last() else { return ids };
            after = Some((last.shard.no, last.number()));
            let id = |logged| writer().event_id(&StreamRecord::read(logged).unwrap()).to_string();
            ids.extend(page.into_iter().map(|record| id(record.parked.logged)));
        }
    }

    /// Whether the error output has the records that the target never takes, each once, and nothing else. Of items of a snapshot it has none:
    /// they are counted.
    fn check_error_output(&self, found: &[String], history: &History) -> Result<(), String> {
        let streamed = self.weather.streamed.lock();
        // Where an item's changes begin to come depends on when its page of the snapshot was taken.
        let is_of_stream = |key: &String, number: &RecordNo| {
            !history.snapshot || streamed.get(key).is_some_and(|first| first <= number)
        };
        let poison = history.poison.iter().filter(|(key, number, _)| is_of_stream(key, number));
        let mut expected: Vec<&String> = poison.map(|(.., id)| id).collect();
        let mut found: Vec<&String> = found.iter().collect();
        expected.sort();
        found.sort();
        if found == expected {
            Ok(())
        } else {
            Err(format!("the error output has {found:#?} instead of {expected:#?}"))
        }
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
        let mut history = History { snapshot: self.begins_with_items(), ..History::default() };
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
                    let key = key_of(&record);
                    let (old, new) = (value(record.old_image().unwrap()), value(record.new_image().unwrap()));
                    if self.subject.has_poison() && self.subject.refuses(old, new) {
                        history.poison.push((key, number, writer().event_id(&record).to_string()));
                        continue;
                    }
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

/// The key of a record's item.
fn key_of(record: &StreamRecord) -> String {
    match record.keys().unwrap().get("id") {
        Some(tailrace_core::AttributeValue::S(key)) => key.clone(),
        other => panic!("{other:?}"),
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
    let world = world(subject, numbers, seed);
    runtime().block_on(async {
        let db = world.db().await;
        world.make_table(&db).await;
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
        if world.begins_with_items() && world.subject.has_poison() {
            // What a target has of an item that it does not take as it is now depends on when the snapshot was.
            for number in 0..ITEMS_MAX {
                world.put(&db, &format!("order-{number}"), number as i64).await;
            }
        }
        world.weather.calm.store(true, SeqCst);
        let mut looks = 0;
        while !sinks.is_drained().await.unwrap() {
            tokio::task::yield_now().await;
            if let Some(text) = world.weather.panicked.lock().take() {
                return Err(text);
            }
            looks += 1;
            // A disk or a socket needs time of this machine, not of the story.
            if looks > 20_000 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            if looks == 80_000 {
                return Err(format!("it does not come to an end: {:#?}", sinks.status().await.unwrap()));
            }
        }
        let error_output = world.error_output(&sinks).await;
        sinks.shutdown().await;
        let history = world.history(&db).await;
        world.subject.check(&history)?;
        world.check_error_output(&error_output, &history)
    })
}

/// A world in which nothing has happened.
fn world(subject: Arc<dyn Subject>, numbers: Numbers, seed: u64) -> World {
    let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
    let weather = Weather {
        seed: AtomicU64::new(seed),
        life: AtomicU64::new(u64::MAX),
        place: AtomicU64::new(0),
        ended: Notify::new(),
        calm: std::sync::atomic::AtomicBool::new(false),
        streamed: Mutex::default(),
        panicked: Mutex::default(),
    };
    let mut config = subject.config();
    config["from"] = TABLE.into();
    World {
        store: numbers.engine(clock.clone()),
        clock,
        rng: Arc::new(SeededRng::new(seed)),
        weather: Arc::new(weather),
        subject,
        configured: BTreeMap::from([("kit".to_owned(), config)]),
    }
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
