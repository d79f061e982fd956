//! What consumers read ahead is bounded over all of them, and none waits for another.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::codec::encode_stored;
use tailrace_core::limits::READ_AHEAD_SHARE_BYTES;
use tailrace_core::rng::SeededRng;
use tailrace_core::{AttributeValue, Bucket, BucketRange, EpochMs, Item, MappingId, ShardNo, StreamId};
use tailrace_delivery::{
    Answer, Batch, Consumer, Context, Definition, DeliveryEvent, Observer, Outcome, Room, Rules, Source, SystemTimer,
    Target,
};
use tailrace_engine::ViewType;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Engine, NewImage, Numbers, StoreError, Write, commit};
use tokio::sync::watch;

const STREAM: StreamId = StreamId(1);
const SHARDS: u32 = 40;
const RECORDS: usize = 12;
const RECORD_BYTES: usize = 200_000;
const ROOM_BYTES: usize = 8 << 20;

/// Answers when it is let.
struct Slow {
    answers: watch::Sender<bool>,
    taken: Arc<Mutex<BTreeMap<ShardNo, Vec<usize>>>>,
}

/// The number at which a record's item begins.
fn number(record: &StreamRecord) -> usize {
    match record.keys().unwrap().get("id") {
        Some(AttributeValue::S(id)) => id[..6].parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

impl Target for Slow {
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        Ok(record.meta.keys.len())
    }

    fn batch_bytes_max(&self) -> usize {
        6 << 20
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer> {
        let (mut answers, taken) = (self.answers.subscribe(), self.taken.clone());
        async move {
            answers.wait_for(|answers| *answers).await.unwrap();
            taken.lock().entry(batch.shard.no).or_default().extend(batch.records.iter().map(number));
            Outcome::Done.into()
        }
        .boxed()
    }
}

struct Nobody;

impl Observer for Nobody {
    fn on_event(&self, _: DeliveryEvent) {}
}

/// Lets everything work until nothing does.
async fn rest() {
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
    }
}

/// What is held of the consumer's shards, as they show themselves.
fn held_bytes(consumer: &Consumer) -> usize {
    consumer.running().iter().map(|shard| shard.pending_records * RECORD_BYTES).sum()
}

async fn fill(store: &dyn Engine) {
    let edge = |shard: u32| shard * 65_536 / SHARDS;
    let ranges: Vec<BucketRange> = (0..SHARDS)
        .map(|s| BucketRange { first: Bucket(edge(s) as u16), last: Bucket((edge(s + 1) - 1) as u16) })
        .collect();
    let open = Write::OpenStream { stream: STREAM, ranges: ranges.clone() };
    commit(store, &[], &[], |_| Decision::Apply(vec![open.clone()], ())).await.unwrap();
    for n in 0..RECORDS {
        for range in &ranges {
            let id = AttributeValue::S(format!("{n:06}{}", "x".repeat(RECORD_BYTES)));
            let keys = encode_stored(&Item::from([("id".to_owned(), id)])).into();
            let (kind, view) = (ChangeKind::Insert, ViewType::KeysOnly);
            let meta = RecordMeta { kind, view, by_service: false, caller: None, keys }.encode();
            let new = NewImage::None;
            let append = Write::Append { stream: STREAM, bucket: range.first, meta, old: None, new };
            commit(store, &[], &[], |_| Decision::Apply(vec![append.clone()], ())).await.unwrap();
        }
    }
}

/// Architecture, invariant 8. Each of forty shards would read everything that it has.
#[tokio::test]
async fn what_all_shards_read_ahead_is_bounded_and_all_of_it_is_delivered() {
    for numbers in Numbers::ALL {
        reads_ahead(numbers).await;
    }
}

async fn reads_ahead(numbers: Numbers) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(EpochMs(1_000_000)));
    let store = numbers.engine(clock.clone());
    let row = SettingKey { name: "sink".to_owned() }.encode();
    let (put, exclusive) = (Write::Put { key: row.clone(), value: "{}".into() }, [row.clone()]);
    commit(store.as_ref(), &[], &exclusive, |_| Decision::Apply(vec![put.clone()], ())).await.unwrap();
    fill(store.as_ref()).await;
    let (timer, room) = (Arc::new(SystemTimer(clock.clone())), Room::new(ROOM_BYTES));
    let context = Context::new(store.clone(), clock, timer, Arc::new(SeededRng::new(1)), room.clone());
    let (context, answers) = (Arc::new(context), watch::Sender::new(false));
    let taken = Arc::new(Mutex::new(BTreeMap::new()));
    let definition = Definition {
        id: MappingId(7),
        row,
        source: Source { stream: STREAM, partition_key: "id".to_owned() },
        target: Arc::new(Slow { answers: answers.clone(), taken: taken.clone() }),
        observer: Arc::new(Nobody),
    };
    let consumer = Consumer::new(context.clone(), definition, Rules { batch_records_max: 100, ..Rules::default() });
    consumer.start().await;
    rest().await;
    // A page ends with the record at which it is full.
    let bound = ROOM_BYTES + SHARDS as usize * (READ_AHEAD_SHARE_BYTES + RECORD_BYTES);
    let everything = SHARDS as usize * RECORDS * RECORD_BYTES;
    let held = held_bytes(&consumer);
    assert!(held <= bound && bound < everything / 3, "{held} of {everything} bytes are held; at most {bound}");
    assert!(room.taken() >= held, "{} bytes are counted, {held} are held", room.taken());
    let shards = consumer.running();
    assert_eq!(shards.len(), SHARDS as usize);
    assert!(shards.iter().all(|shard| shard.pending_records > 0), "each shard has what it can hand out");

    answers.send_replace(true);
    let mut changes = context.changes();
    while !consumer.is_drained().await.unwrap() {
        changes.changed().await.unwrap();
        assert!(held_bytes(&consumer) <= bound);
    }
    let expected: Vec<usize> = (0..RECORDS).collect();
    assert!(taken.lock().len() == SHARDS as usize && taken.lock().values().all(|taken| *taken == expected));
    consumer.stop().await;
    assert_eq!(room.taken(), 0);
}
