//! The item operations, JSON in and JSON out, over the in-memory engine. The tables' names of the tests are `users` (hash
//! key `pk`, S), `games` (hash key `pk`, S, and range key `sk`, N) and `texts` (hash key `pk`, S, and range key `sk`, S).

mod atomicity;
mod batches;
mod indexes;
mod large;
mod legacy;
mod once;
mod pages;
mod reads;
mod records;
mod replay;
mod throttling;
mod tokens;
mod transactions;
mod updates;
mod wordings;
mod writes;

use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::key::{KeyAttribute, ScalarType};
use tailrace_core::model::Wording;
use tailrace_core::rng::SeededRng;
use tailrace_core::{ApiError, EpochMs, KeySchema, RecordNo, Service};
use tailrace_store::keyspace::TableId;
use tailrace_store::{BucketRange, Decision, Engine, LogRecord, ModelEngine, StreamId, Write, commit};

use crate::db::Db;
use crate::settings::Settings;
use crate::table::{Table, TableStream, ViewType};
use crate::{Caller, ops};

pub(super) const STREAM: StreamId = StreamId(7);

pub(super) struct Bench {
    pub db: Db,
    store: Arc<ModelEngine>,
    clock: Arc<ManualClock>,
}

pub(super) fn schema(range: Option<ScalarType>) -> KeySchema {
    let attribute = |name: &str, scalar| KeyAttribute { name: name.to_owned(), scalar };
    KeySchema { hash: attribute("pk", ScalarType::S), range: range.map(|scalar| attribute("sk", scalar)) }
}

impl Bench {
    pub async fn new() -> Bench {
        Bench::with(Wording::Current).await
    }

    pub async fn with(wording: Wording) -> Bench {
        Bench::with_settings(Settings { wording, ..Settings::default() }).await
    }

    pub async fn with_settings(settings: Settings) -> Bench {
        let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
        let store = ModelEngine::new(clock.clone());
        let rng = Arc::new(SeededRng::new(1));
        let db = Db::open(store.clone(), clock.clone(), rng, settings).await.unwrap();
        let bench = Bench { db, store, clock };
        bench.put_table("users", 1, None, None).await;
        bench.put_table("games", 2, Some(ScalarType::N), None).await;
        bench.put_table("texts", 3, Some(ScalarType::S), None).await;
        bench
    }

    /// Gives `users` a stream of one shard.
    pub async fn streaming(view: ViewType) -> Bench {
        let bench = Bench::new().await;
        bench.put_table("users", 1, None, Some(TableStream { id: STREAM, view })).await;
        bench
    }

    pub async fn put_table(&self, name: &str, id: u64, range: Option<ScalarType>, stream: Option<TableStream>) {
        let mut table = Table::new(name.to_owned(), TableId(id), "uuid".to_owned(), EpochMs(0), schema(range));
        table.stream = stream;
        self.put_descriptor(&table).await;
    }

    /// Puts a table, and opens its stream if it has one.
    pub async fn put_descriptor(&self, table: &Table) {
        let opened = table.stream.as_ref().map(|stream| stream.id);
        let key = Db::table_key(&table.name);
        commit(self.store.as_ref(), &[], std::slice::from_ref(&key), |_| {
            let mut writes = vec![Write::Put { key: key.clone(), value: table.encode() }];
            if let Some(stream) = opened {
                writes.push(Write::OpenStream { stream, ranges: vec![BucketRange::ALL] });
            }
            Decision::Apply(writes, ())
        })
        .await
        .unwrap();
    }

    pub async fn call(&self, operation: &str, body: Value) -> Result<Value, ApiError> {
        let body = serde_json::to_vec(&body).unwrap();
        let answer = ops::execute(&self.db, Service::DynamoDb, operation, &body, &Caller::default()).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    /// Calls, and wants an answer.
    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        self.call(operation, body.clone()).await.unwrap_or_else(|e| panic!("{operation} {body}: {e}"))
    }

    /// Calls, and wants this error: `Class: text`, or a class without a text.
    pub async fn refused(&self, operation: &str, body: Value, expected: &str) {
        match self.call(operation, body.clone()).await {
            Ok(answer) => panic!("{operation} {body} answered {answer}, not {expected}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{operation} {body}"),
        }
    }

    pub async fn put(&self, table: &str, item: Value) {
        self.ok("PutItem", json!({"TableName": table, "Item": item})).await;
    }

    /// The records of the stream.
    pub async fn records(&self) -> Vec<LogRecord> {
        let shards = self.store.shards(STREAM).await.unwrap();
        self.store.read_log(shards[0].shard, RecordNo::ZERO, 1000, usize::MAX).await.unwrap().records
    }
}

pub(super) fn ve(text: &str) -> String {
    format!("ValidationException: {text}")
}

/// A ValidationException in the newer layer's envelope.
pub(super) fn enveloped(text: &str) -> String {
    ve(&format!("1 validation error detected: {text}"))
}

pub(super) fn s(text: &str) -> Value {
    json!({"S": text})
}

pub(super) fn n(number: i64) -> Value {
    json!({"N": number.to_string()})
}
