//! A target that is no function: what a sink will be needs nothing but this crate.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::codec::encode_stored;
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_core::rng::SeededRng;
use tailrace_core::{AttributeValue, BucketRange, EpochMs, Item, MappingId, StreamId};
use tailrace_delivery::{
    Answer, Batch, Consumer, Context, Definition, DeliveryEvent, GiveUp, Observer, Outcome, Room, Rules, Source,
    SystemTimer, Target,
};
use tailrace_engine::ViewType;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Engine, Key, NewImage, Numbers, StoreError, Write, commit};

const STREAM: StreamId = StreamId(1);
const SINK: MappingId = MappingId(7);

/// Takes keys, at most ten bytes of them at once, and refuses what a test says.
#[derive(Default)]
struct Shelf {
    batches: Mutex<Vec<Vec<String>>>,
    refuses: Mutex<Option<&'static str>>,
}

/// A clone is the same shelf.
#[derive(Clone, Default)]
struct ShelfTarget(Arc<Shelf>);

fn key(record: &StreamRecord) -> Result<String, StoreError> {
    match record.keys()?.get("id") {
        Some(AttributeValue::S(id)) => Ok(id.clone()),
        other => Err(StoreError::Corrupt(format!("no key: {other:?}"))),
    }
}

impl Target for ShelfTarget {
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        Ok(key(record)?.len())
    }

    fn batch_bytes_max(&self) -> usize {
        10
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer> {
        let mut keys: Vec<String> = batch.records.iter().map(|record| key(record).unwrap()).collect();
        let refused = *self.0.refuses.lock();
        let index = keys.iter().position(|key| Some(key.as_str()) == refused);
        keys.truncate(index.unwrap_or(keys.len()));
        if !keys.is_empty() {
            self.0.batches.lock().push(keys);
        }
        let outcome = match index {
            None => Outcome::Done,
            Some(index) => Outcome::FailedFrom { index, error: format!("no room for it at {}", batch.shard.id) },
        };
        async move { outcome.into() }.boxed()
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<DeliveryEvent>>);

impl Observer for Told {
    fn on_event(&self, event: DeliveryEvent) {
        self.0.lock().push(event);
    }
}

async fn write(store: &dyn Engine, id: &str) {
    let key = AttributeValue::S(id.to_owned());
    let keys = encode_stored(&Item::from([("id".to_owned(), key)])).into();
    let meta = RecordMeta { kind: ChangeKind::Insert, view: ViewType::KeysOnly, by_service: false, caller: None, keys }
        .encode();
    append(store, id, meta).await;
}

async fn append(store: &dyn Engine, id: &str, meta: bytes::Bytes) {
    let bucket = partition_hash(&key_value_bytes(&AttributeValue::S(id.to_owned())).unwrap()).bucket;
    let append = Write::Append { stream: STREAM, bucket, meta, old: None, new: NewImage::None };
    commit(store, &[], &[], |_| Decision::Apply(vec![append.clone()], ())).await.unwrap();
}

fn consumer(context: &Arc<Context>, target: &ShelfTarget, told: &Arc<Told>, row: &Key) -> Consumer {
    let definition = Definition {
        id: SINK,
        row: row.clone(),
        source: Source { stream: STREAM, partition_key: "id".to_owned() },
        target: Arc::new(target.clone()),
        observer: told.clone(),
    };
    Consumer::new(context.clone(), definition, Rules { retries_max: Some(0), ..Rules::default() })
}

async fn drained(context: &Context, consumer: &Consumer) {
    let mut changes = context.changes();
    while !consumer.is_drained().await.unwrap() {
        changes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_target_of_its_own_takes_records_and_knows_neither_checkpoints_nor_retries() {
    for numbers in Numbers::ALL {
        takes_records(numbers).await;
    }
}

async fn takes_records(numbers: Numbers) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(EpochMs(1_000_000)));
    let store = numbers.engine(clock.clone());
    let row = SettingKey { name: "sink".to_owned() }.encode();
    let put = Write::Put { key: row.clone(), value: "{}".into() };
    let open = Write::OpenStream { stream: STREAM, ranges: vec![BucketRange::ALL] };
    let exclusive = [row.clone()];
    commit(store.as_ref(), &[], &exclusive, |_| Decision::Apply(vec![put.clone(), open.clone()], ())).await.unwrap();
    let timer = Arc::new(SystemTimer(clock.clone()));
    let context = Arc::new(Context::new(store.clone(), clock, timer, Arc::new(SeededRng::new(1)), Room::default()));
    let (target, told) = (ShelfTarget::default(), Arc::new(Told::default()));
    for id in ["aaaa", "bbbb", "cccc", "dddd"] {
        write(store.as_ref(), id).await;
    }
    *target.0.refuses.lock() = Some("cccc");

    let sink = consumer(&context, &target, &told, &row);
    sink.start().await;
    drained(&context, &sink).await;
    // Ten bytes hold two keys. The third is refused, given up with what was behind it in its batch, and parked.
    assert_eq!(*target.0.batches.lock(), [["aaaa", "bbbb"]]);
    let parked = sink.parked(None, 10).await.unwrap();
    assert_eq!(
        parked.iter().map(|record| record.parked.reason).collect::<Vec<_>>(),
        [GiveUp::RetryAttemptsExhausted, GiveUp::RetryAttemptsExhausted]
    );
    assert!(parked[0].why().contains("no room for it at shardId-"), "{}", parked[0].why());
    let parked_event = |event: &DeliveryEvent| matches!(event, DeliveryEvent::Parked { records: 2, .. });
    assert!(told.0.lock().iter().any(parked_event));
    sink.stop().await;

    // Another life goes on at its checkpoint; what was parked can be handed over again.
    *target.0.refuses.lock() = None;
    let again = consumer(&context, &target, &told, &row);
    again.start().await;
    assert_eq!(again.skip_all_damaged(), 0);
    append(store.as_ref(), "e", "damaged".into()).await;
    write(store.as_ref(), "e").await;
    // What cannot be read holds the shard up until somebody says so.
    let mut changes = context.changes();
    while again.skip_all_damaged() != 1 {
        changes.changed().await.unwrap();
    }
    drained(&context, &again).await;
    let damaged = again.parked(None, 10).await.unwrap().pop().unwrap();
    assert_eq!(damaged.parked.reason, GiveUp::Damaged);
    again.discard((damaged.shard.no, damaged.number())).await.unwrap();
    assert_eq!(again.redrive_all().await.unwrap().accepted, 2);
    assert_eq!(*target.0.batches.lock(), [&["aaaa", "bbbb"] as &[&str], &["e"], &["cccc"], &["dddd"]]);
    again.stop().await;

    // A consumer whose row is gone claims nothing, and leaves nothing behind.
    Consumer::delete_rows(&context, SINK).await.unwrap();
    commit(store.as_ref(), &[], &exclusive, |_| Decision::Apply(vec![Write::Delete { key: row.clone() }], ()))
        .await
        .unwrap();
    write(store.as_ref(), "f").await;
    let gone = consumer(&context, &target, &told, &row);
    gone.start().await;
    gone.stop().await;
    assert_eq!(target.0.batches.lock().len(), 4);
    assert!(gone.shards(true).await.unwrap().1.is_empty());
}
