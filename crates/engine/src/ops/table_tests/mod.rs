//! The table operations and the streams, JSON in and JSON out, over the in-memory engine.

mod backfill;
mod background;
mod control;
mod create;
mod destinations;
mod figures;
mod index_updates;
mod indexes;
mod moved_items;
mod per_shard;
mod records;
mod settings;
mod states;
mod streams;
mod time_to_live;
mod update;

use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::rng::SeededRng;
use tailrace_core::{ApiError, EpochMs, Service};
use tailrace_store::{Engine, ModelEngine};

use crate::background::{Failures, Progress, tasks};
use crate::db::Db;
use crate::settings::Settings;
use crate::{Caller, Client, ops};

const START_MS: u64 = 1_700_000_000_000;
const ENVELOPE: &str = "ValidationException: 1 validation error detected: ";
const PARAMETER: &str = "ValidationException: One or more parameter values were invalid: ";

/// The database over an engine of this kind.
struct BenchOf<S> {
    db: Db,
    store: Arc<S>,
    clock: Arc<ManualClock>,
}

type Bench = BenchOf<ModelEngine>;

trait Fresh: Engine {
    fn fresh(clock: Arc<ManualClock>) -> Arc<Self>;
}

impl Fresh for ModelEngine {
    fn fresh(clock: Arc<ManualClock>) -> Arc<ModelEngine> {
        ModelEngine::new(clock)
    }
}

impl<S: Fresh> BenchOf<S> {
    async fn new() -> BenchOf<S> {
        BenchOf::with(Settings::default()).await
    }

    /// One shard in each stream, so that a test reads one order.
    async fn single() -> BenchOf<S> {
        BenchOf::with(Settings { shards_per_stream: 1, ..Settings::default() }).await
    }

    async fn with(settings: Settings) -> BenchOf<S> {
        let clock = Arc::new(ManualClock::at(EpochMs(START_MS)));
        let store = S::fresh(clock.clone());
        let db = Db::open(store.clone(), clock.clone(), Arc::new(SeededRng::new(1)), settings).await.unwrap();
        BenchOf { db, store, clock }
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, ApiError> {
        let service = match operation {
            "ListStreams" | "DescribeStream" | "GetShardIterator" | "GetRecords" => Service::Streams,
            _ => Service::DynamoDb,
        };
        let body = serde_json::to_vec(&body).unwrap();
        let caller = Caller::Client(Client { operation, host: Some("localhost:8000"), ..Client::default() });
        let answer = ops::execute(&self.db, service, operation, &body, &caller).await?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() })
    }

    async fn ok(&self, operation: &str, body: Value) -> Value {
        self.call(operation, body.clone()).await.unwrap_or_else(|e| panic!("{operation} {body}: {e}"))
    }

    #[track_caller]
    fn expect(&self, answer: Result<Value, ApiError>, expected: &str) {
        match answer {
            Ok(answer) => panic!("answered {answer}, not {expected}"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }

    async fn refused(&self, operation: &str, body: Value, expected: &str) {
        let answer = self.call(operation, body).await;
        self.expect(answer, expected);
    }

    /// A whole pass of every task in the background.
    async fn run_background(&self, now_ms: EpochMs) -> Result<(), String> {
        let mut failures = Failures::default();
        for task in tasks() {
            loop {
                let tick = task.tick(&self.db, now_ms).await;
                failures.append(tick.failures);
                if tick.progress == Progress::Done {
                    break;
                }
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.to_string()) }
    }

    /// Creates `name` with the key `pk` (S) and the stream of this view type, if any.
    async fn create(&self, name: &str, view: Option<&str>) -> Value {
        let mut body = on_demand(name);
        if let Some(view) = view {
            body["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
        }
        self.ok("CreateTable", body).await["TableDescription"].clone()
    }

    async fn describe(&self, name: &str) -> Value {
        self.ok("DescribeTable", json!({"TableName": name})).await["Table"].clone()
    }

    /// Puts `{pk, v}`.
    async fn put(&self, table: &str, pk: &str, v: i64) {
        let item = json!({"pk": {"S": pk}, "v": {"N": v.to_string()}});
        self.ok("PutItem", json!({"TableName": table, "Item": item})).await;
    }

    async fn shards(&self, arn: &str) -> Vec<Value> {
        let answer = self.ok("DescribeStream", json!({"StreamArn": arn})).await;
        answer["StreamDescription"]["Shards"].as_array().unwrap().clone()
    }

    async fn iterator(&self, arn: &str, shard: &Value, kind: &str) -> String {
        let body = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": kind});
        self.ok("GetShardIterator", body).await["ShardIterator"].as_str().unwrap().to_owned()
    }

    /// All records of a stream from its horizon, shard by shard.
    async fn records(&self, arn: &str) -> Vec<Value> {
        let mut records = Vec::new();
        for shard in self.shards(arn).await {
            let iterator = self.iterator(arn, &shard, "TRIM_HORIZON").await;
            let answer = self.ok("GetRecords", json!({"ShardIterator": iterator})).await;
            records.extend(answer["Records"].as_array().unwrap().iter().cloned());
        }
        records
    }
}

/// A CreateTable of an on-demand table with the key `pk` (S).
fn on_demand(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

/// The same with other members.
fn with(mut body: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}
