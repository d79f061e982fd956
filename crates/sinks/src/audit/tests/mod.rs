//! The audit trail over the in-memory engine: docs/spec/sinks.md 7 and 9.

mod crashes;
mod faults;
mod kit;
mod lineage;
mod locked;
mod memory;
mod shown;
mod vectors;

use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, RecordNo, Service};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Caller, Client, Db, Settings, ops};
use tailrace_store::{Decision, Engine, ModelEngine, ShardInfo, Write, commit};

use super::place::Place;
use super::verify::{Report, Trusted, verify};
use super::*;
use crate::sink::{KeyAttribute, KeyKind};

use self::memory::MemoryPlace;

const START_MS: u64 = 1_700_000_000_000;

/// A database with a table `Orders` (hash key `pk`, S) whose stream has one shard.
struct Bench {
    db: Arc<Db>,
    store: Arc<ModelEngine>,
    clock: Arc<ManualClock>,
    calls: std::sync::atomic::AtomicU64,
}

impl Bench {
    async fn new() -> Bench {
        let clock = Arc::new(ManualClock::at(EpochMs(START_MS)));
        let store = ModelEngine::new(clock.clone());
        let settings = Settings { shards_per_stream: 1, ..Settings::default() };
        let db = Db::open(store.clone(), clock.clone(), Arc::new(SeededRng::new(1)), settings).await.unwrap();
        let bench = Bench { db: Arc::new(db), store, clock, calls: std::sync::atomic::AtomicU64::default() };
        let table = json!({
            "TableName": "Orders",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        });
        bench.call("CreateTable", table).await;
        bench.db.set_audit("Orders", true, &Caller::default()).await.unwrap();
        bench
    }

    async fn call(&self, operation: &str, body: Value) {
        let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("REQUEST{call}");
        let (access_key, request_id) = (Some("AKIDEXAMPLE"), Some(&*id));
        let caller = Caller::Client(Client { operation, access_key, request_id, host: None, written: None });
        let body = serde_json::to_vec(&body).unwrap();
        ops::execute(&self.db, Service::DynamoDb, operation, &body, &caller).await.unwrap();
        self.clock.advance(7);
    }

    async fn put(&self, pk: &str, v: &str) {
        self.call("PutItem", json!({"TableName": "Orders", "Item": {"pk": {"S": pk}, "v": {"S": v}}})).await;
    }

    async fn delete(&self, pk: &str) {
        self.call("DeleteItem", json!({"TableName": "Orders", "Key": {"pk": {"S": pk}}})).await;
    }

    async fn source(&self) -> Arc<SourceTable> {
        let table = self.db.find_table("Orders").await.unwrap().unwrap();
        let stream = table.stream.clone().unwrap();
        let arn = self.db.settings().stream_arn("Orders", table.latest_stream_label.as_deref().unwrap());
        source("Orders", arn, stream.view, "pk")
    }

    async fn shards(&self, source: &SourceTable) -> Vec<ShardInfo> {
        let stream = match source.table.as_str() {
            control::TABLE => self.db.control_stream().await.unwrap().unwrap(),
            _ => self.db.stream(source.stream_arn.as_str()).await.unwrap(),
        };
        self.store.shards(stream.id).await.unwrap()
    }

    async fn records(&self, shard: &ShardInfo) -> Vec<StreamRecord> {
        let page = self.store.read_log(shard.shard, RecordNo::ZERO, 10_000, usize::MAX).await.unwrap();
        page.records.into_iter().map(|record| StreamRecord::read(record).unwrap()).collect()
    }

    /// The flushes that bring the records of the table's only shard, so many at once.
    async fn flushes(&self, at_once: usize) -> Vec<Flush> {
        let source = self.source().await;
        let shard = &self.shards(&source).await[0];
        let records = self.records(shard).await;
        records.chunks(at_once).map(|records| flush(&source, shard, records.to_vec())).collect()
    }

    /// The flush that brings all of what was done to tables so far.
    async fn control_flush(&self) -> Flush {
        let stream = self.db.control_stream().await.unwrap().unwrap();
        let source = source(control::TABLE, stream.arn(self.db.settings()), stream.view, control::RESOURCE);
        let shard = &self.shards(&source).await[0];
        flush(&source, shard, self.records(shard).await)
    }

    fn trail(&self, config: Config, place: Arc<dyn Place>) -> Audit {
        Audit::new(config, place, Arc::clone(&self.db)).unwrap()
    }

    /// What another process finds: the same store, and nothing in memory.
    async fn deliver(&self, config: &Config, place: &Arc<dyn Place>, flushes: &[Flush]) {
        let trail = self.trail(config.clone(), Arc::clone(place));
        for flush in flushes {
            trail.flush(flush.clone()).await.unwrap();
        }
    }
}

fn source(
    table: &str,
    stream_arn: tailrace_core::StreamArn,
    view: tailrace_engine::ViewType,
    key: &str,
) -> Arc<SourceTable> {
    let partition_key = KeyAttribute { name: key.to_owned(), kind: KeyKind::S };
    Arc::new(SourceTable { table: table.to_owned(), stream_arn, partition_key, sort_key: None, view })
}

fn flush(source: &Arc<SourceTable>, shard: &ShardInfo, records: Vec<StreamRecord>) -> Flush {
    Flush {
        sink: "trail".into(),
        version: 1,
        source: Arc::clone(source),
        shard: Shard::of(shard),
        origin: Origin::Stream,
        epoch: 1,
        taken: None,
        failed_before: 0,
        waits: tailrace_delivery::Waits::default(),
        stopping: tailrace_delivery::Stopping::default(),
        records,
    }
}

/// The report of a trail that has no fault.
async fn sound(place: &dyn Place) -> Report {
    let report = verify(place, &Trusted::default(), |_, _| {}).await.unwrap();
    assert_eq!(report.faults, []);
    report
}

/// The entries of a trail, heads of segments left out.
async fn entries(place: &dyn Place) -> Vec<Value> {
    let mut entries = Vec::new();
    let report =
        verify(place, &Trusted::default(), |_, line| entries.push(serde_json::from_slice::<Value>(line).unwrap()))
            .await;
    assert_eq!(report.unwrap().faults, []);
    entries.retain(|entry| entry["event_name"] != "SEGMENT" && entry["event_name"] != "SIGNATURE");
    entries
}
