//! A stage for the runner: an in-memory engine, a clock that the test moves, and a function that the test scripts.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests unwrap")]

pub mod engine;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::codec::encode_stored;
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_core::rng::SeededRng;
use tailrace_core::{
    AttributeValue, Bucket, EpochMs, FunctionReference, Item, MonotonicMs, Number, RecordNo, SequenceNumber, StreamArn,
};
use tailrace_engine::streams::record::RecordWriter;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_engine::{Db, Settings, ViewType};
use tailrace_mapping::{
    CreateMapping, Dependencies, Invoked, Invoker, Mapping, MappingEvent, Mappings, Observer, Parameters, Room,
    ShardState, ShardStatus, Stopping, StreamSource, Streams, Timer, Waits,
};
use tailrace_store::{
    BucketRange, Decision, Engine, MemoryEngine, NewImage, Numbers, ShardNo, StoreError, StreamId, Write, commit,
};
use tokio::sync::{mpsc, oneshot, watch};

pub const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/T/stream/2026-01-01T00:00:00.000";
pub const STREAM: StreamId = StreamId(1);

/// A clock that the test moves, and the timer that follows it.
pub struct TestTime {
    pub clock: Arc<ManualClock>,
    moved: watch::Sender<u64>,
}

impl TestTime {
    pub fn new() -> Arc<TestTime> {
        Arc::new(TestTime { clock: Arc::new(ManualClock::at(EpochMs(1_000_000))), moved: watch::Sender::new(0) })
    }

    pub fn advance(&self, ms: u64) {
        self.clock.advance(ms);
        self.moved.send_modify(|count| *count += 1);
    }
}

/// An empty store. The test binary `per_shard` has the tests of other files once more, and its stores number the records of each shard by
/// themselves.
pub fn new_store(time: &TestTime) -> Arc<dyn MemoryEngine> {
    let numbers = if env!("CARGO_CRATE_NAME") == "per_shard" { Numbers::PerShard } else { Numbers::Shared };
    numbers.engine(time.clock.clone())
}

struct TestTimer(Arc<TestTime>);

impl Timer for TestTimer {
    fn sleep_until(&self, at: MonotonicMs) -> BoxFuture<'static, ()> {
        let time = self.0.clone();
        async move {
            let mut moved = time.moved.subscribe();
            while time.clock.monotonic() < at {
                moved.changed().await.unwrap();
            }
        }
        .boxed()
    }
}

/// A batch that the function holds.
pub struct Call {
    pub event: serde_json::Value,
    /// Is told that the function has no room for the batch.
    pub waits: Waits,
    /// Says when the batch is wanted back.
    pub recalled: Stopping,
    /// The function that was named.
    pub function: String,
    reply: oneshot::Sender<Invoked>,
}

impl Call {
    /// The numbers in the batch's items.
    pub fn values(&self) -> Vec<u64> {
        values(&self.event)
    }

    pub fn sequence_number(&self, index: usize) -> String {
        self.event["Records"][index]["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()
    }

    pub fn answer(self, outcome: Invoked) {
        let _ = self.reply.send(outcome);
    }

    pub fn ok(self) {
        self.answer(Invoked::Answered(Bytes::from_static(b"null")));
    }

    /// The function has no room for the batch until it is wanted back.
    pub async fn wait_until_recalled(self) {
        self.waits.set(true);
        self.recalled.told().await;
        self.waits.set(false);
        self.answer(Invoked::NotInvoked("called off".into()));
    }

    pub fn fail(self) {
        self.answer(Invoked::FunctionError("ValueError: bad".into()));
    }
}

pub fn values(event: &serde_json::Value) -> Vec<u64> {
    let records = event["Records"].as_array().unwrap();
    records.iter().map(|r| r["dynamodb"]["NewImage"]["v"]["N"].as_str().unwrap().parse().unwrap()).collect()
}

pub struct FakeFunction {
    calls: mpsc::UnboundedSender<Call>,
    pub panics: Mutex<VecDeque<()>>,
}

impl Invoker for FakeFunction {
    fn exists(&self, function: &str) -> bool {
        ["f", "g"].contains(&function)
    }

    fn invoke(
        &self,
        function: FunctionReference,
        event: Bytes,
        waits: Waits,
        recalled: Stopping,
    ) -> BoxFuture<'static, Invoked> {
        assert!(self.panics.lock().pop_front().is_none(), "planted panic");
        let (reply, outcome) = oneshot::channel();
        let event = serde_json::from_slice(&event).unwrap();
        let function = function.name;
        let sent = self.calls.send(Call { event, reply, waits, recalled, function });
        async move {
            match sent {
                Ok(()) => outcome.await.unwrap_or(Invoked::NotInvoked("nobody answered".into())),
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

pub struct OneStream;

impl Streams for OneStream {
    fn find<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<Option<StreamSource>, StoreError>> {
        async move { Ok((arn == ARN).then(source)) }.boxed()
    }
}

pub fn source() -> StreamSource {
    StreamSource { id: STREAM, arn: StreamArn::new(ARN), partition_key: "id".into() }
}

#[derive(Default)]
pub struct Events(pub Mutex<Vec<MappingEvent>>);

impl Observer for Events {
    fn on_event(&self, event: &MappingEvent) {
        self.0.lock().push(event.clone());
    }
}

pub struct Stage {
    pub store: Arc<dyn MemoryEngine>,
    pub time: Arc<TestTime>,
    pub function: Arc<FakeFunction>,
    pub calls: mpsc::UnboundedReceiver<Call>,
    pub events: Arc<Events>,
    pub mappings: Mappings,
}

impl Stage {
    /// A stream of `shards` shards, and no mapping.
    pub async fn new(shards: u32) -> Stage {
        let time = TestTime::new();
        let store = new_store(&time);
        open_stream(store.as_ref(), shards).await;
        Stage::open(store, time).await
    }

    /// A server that starts on what `store` holds.
    pub async fn open(store: Arc<dyn MemoryEngine>, time: Arc<TestTime>) -> Stage {
        let stage = Stage::load(store, time).await;
        stage.mappings.start().await;
        stage
    }

    /// The same, before any mapping runs.
    pub async fn load(store: Arc<dyn MemoryEngine>, time: Arc<TestTime>) -> Stage {
        let engine: Arc<dyn Engine> = store.clone();
        Stage::load_over(engine, store, time).await
    }

    /// The same over `engine`, which stands before `store`.
    pub async fn load_over(engine: Arc<dyn Engine>, store: Arc<dyn MemoryEngine>, time: Arc<TestTime>) -> Stage {
        let (sender, calls) = mpsc::unbounded_channel();
        let function = Arc::new(FakeFunction { calls: sender, panics: Mutex::default() });
        let events = Arc::new(Events::default());
        let seed = time.clock.now();
        let mappings = Mappings::load(Dependencies {
            store: engine,
            clock: time.clock.clone(),
            timer: Arc::new(TestTimer(time.clone())),
            rng: Arc::new(SeededRng::new(seed.0)),
            room: Room::default(),
            streams: Arc::new(OneStream),
            records: record_writer(store.clone(), time.clock.clone()).await,
            invoker: function.clone(),
            observer: events.clone(),
            region: "us-east-1".into(),
            account_id: "000000000000".into(),
        })
        .await
        .unwrap();
        Stage { store, time, function, calls, events, mappings }
    }

    pub async fn create(&self, parameters: Parameters) -> Mapping {
        self.mappings.create(request("TRIM_HORIZON", parameters)).await.unwrap()
    }

    pub async fn write(&self, key: &str, value: u64) -> RecordNo {
        write(self.store.as_ref(), key, value).await
    }

    pub async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// Lets the runner work until `seen` holds of what it shows.
    pub async fn until(&self, seen: impl Fn(&Mappings) -> bool) {
        let mut changes = self.mappings.changes();
        loop {
            changes.borrow_and_update();
            if seen(&self.mappings) {
                return;
            }
            changes.changed().await.unwrap();
        }
    }

    /// The shards that are worked on, of the only mapping.
    pub fn shards(&self) -> Vec<ShardStatus> {
        shards(&self.mappings)
    }

    /// Lets time pass until the function is called.
    pub async fn call_after(&mut self, ms: u64) -> Call {
        self.until(|mappings| mappings.status()[0].shards.iter().any(|shard| shard.state == ShardState::Retrying))
            .await;
        self.time.advance(ms);
        self.call().await
    }
}

pub fn shards(mappings: &Mappings) -> Vec<ShardStatus> {
    mappings.status().remove(0).shards
}

pub fn request(position: &str, parameters: Parameters) -> CreateMapping {
    CreateMapping {
        function: Some("f".into()),
        event_source_arn: Some(ARN.into()),
        starting_position: Some(position.into()),
        parameters,
    }
}

pub async fn open_stream(store: &dyn Engine, shards: u32) {
    let edge = |shard: u32| shard * 65_536 / shards;
    let ranges: Vec<BucketRange> = (0..shards)
        .map(|s| BucketRange { first: Bucket(edge(s) as u16), last: Bucket((edge(s + 1) - 1) as u16) })
        .collect();
    commit(store, &[], &[], |_| {
        Decision::Apply(vec![Write::OpenStream { stream: STREAM, ranges: ranges.clone() }], ())
    })
    .await
    .unwrap();
}

pub fn append(key: &str) -> Write {
    let id = AttributeValue::S(key.to_owned());
    let bucket = partition_hash(&key_value_bytes(&id).unwrap()).bucket;
    let keys = Item::from([("id".to_owned(), id)]);
    let (kind, view) = (ChangeKind::Insert, ViewType::NewAndOldImages);
    let meta = RecordMeta { kind, view, by_service: false, caller: None, keys: encode_stored(&keys).into() }.encode();
    Write::Append { stream: STREAM, bucket, meta, old: None, new: NewImage::OfWrite(0) }
}

/// The open shard that gets the records of a key.
pub async fn shard_of(store: &dyn Engine, key: &str) -> ShardNo {
    let bucket = partition_hash(&key_value_bytes(&AttributeValue::S(key.to_owned())).unwrap()).bucket;
    let shards = store.shards(STREAM).await.unwrap();
    shards.iter().find(|info| info.range.contains(bucket)).unwrap().shard
}

/// Puts an item and its record in one commit.
pub async fn write(store: &dyn Engine, key: &str, value: u64) -> RecordNo {
    let item = Item::from([
        ("id".to_owned(), AttributeValue::S(key.to_owned())),
        ("v".to_owned(), AttributeValue::N(Number::parse(&value.to_string()).unwrap())),
    ]);
    let item_key =
        tailrace_store::keyspace::ItemKey::key(tailrace_store::keyspace::TableId(1), Bucket(0), key.as_bytes(), &[]);
    let put = Write::Put { key: item_key.clone(), value: encode_stored(&item).into() };
    let committed =
        commit(store, &[], std::slice::from_ref(&item_key), |_| Decision::Apply(vec![put.clone(), append(key)], ()))
            .await
            .unwrap();
    committed.receipt.records[0].number
}

/// Appends a record of the key that nobody can read.
pub async fn write_damaged(store: &dyn Engine, key: &str) -> RecordNo {
    let Write::Append { stream, bucket, .. } = append(key) else { unreachable!() };
    let meta = Bytes::from_static(b"damaged");
    let damaged = Write::Append { stream, bucket, meta, old: None, new: NewImage::None };
    let committed = commit(store, &[], &[], |_| Decision::Apply(vec![damaged.clone()], ())).await.unwrap();
    committed.receipt.records[0].number
}

/// Closes every open shard; `children`: opens one child for each.
pub async fn seal(store: &dyn Engine, shard: ShardNo, children: bool) {
    let info = store.shards(STREAM).await.unwrap().into_iter().find(|info| info.shard == shard).unwrap();
    let children = if children { vec![info.range] } else { Vec::new() };
    commit(store, &[], &[], |_| Decision::Apply(vec![Write::Seal { shard, children: children.clone() }], ()))
        .await
        .unwrap();
}

pub fn sequence_number(number: RecordNo) -> String {
    SequenceNumber(number).to_string()
}

pub async fn record_writer(store: Arc<dyn Engine>, clock: Arc<dyn Clock>) -> RecordWriter {
    let db = Db::open(store, clock, Arc::new(SeededRng::new(3)), Settings::default()).await.unwrap();
    db.record_writer()
}
