//! A mapping over an embedded store, with a function of this process that fails at random: what `soak` measures and a test of
//! the same name checks. Nothing of it depends on time but the pauses after failures.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_core::{FunctionReference, Service, StreamArn};
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_mapping::{
    CreateMapping, Dependencies, Invoked, Invoker, Mappings, NoObserver, Parameters, Room, Stopping, StreamSource,
    Streams, SystemTimer, Waits,
};
use tailrace_server::clock::SystemClock;
use tailrace_store::StoreError;
use tailrace_store_embedded::{EmbeddedEngine, Options};

/// Writers, each with keys of its own: the order of a key's writes is known.
const WRITERS: u64 = 32;

/// Items of a BatchWriteItem.
const BATCH_ITEMS: u64 = 25;

/// What is done with a key's next value; the order counts.
fn fold(state: u64, value: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(value + 1)
}

/// A database with one table and its stream.
pub struct House {
    pub db: Arc<Db>,
    pub clock: Arc<SystemClock>,
    seed: u64,
    stream_arn: String,
}

async fn call(db: &Db, operation: &str, body: &str) -> serde_json::Value {
    let answer = ops::execute(db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{operation} {body}: {error}"));
    serde_json::from_slice(&answer).expect("answers are JSON")
}

impl House {
    /// Opens a store in an empty directory.
    pub async fn open(dir: &Path, seed: u64) -> House {
        let clock = Arc::new(SystemClock::default());
        let store = EmbeddedEngine::open(dir, Options::new(clock.clone(), [7; 16])).expect("the store opens");
        let rng = Arc::new(SeededRng::new(seed));
        let db = Db::open(store, clock.clone(), rng, Settings::default()).await.expect("the database opens");
        let table = r#"{"TableName":"events","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
            "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}"#;
        let made = call(&db, "CreateTable", table).await;
        let stream_arn = made["TableDescription"]["LatestStreamArn"].as_str().expect("a stream").to_owned();
        House { db: Arc::new(db), clock, seed, stream_arn }
    }

    /// Writes each of the keys so often, and answers what a serial replay makes of each.
    pub async fn write(&self, keys: u64, rounds: u64) -> HashMap<String, u64> {
        let writer = |writer: u64| {
            let db = Arc::clone(&self.db);
            tokio::spawn(async move {
                let own: Vec<u64> = (0..keys).filter(|key| key % WRITERS == writer).collect();
                for round in 0..rounds {
                    for keys in own.chunks(BATCH_ITEMS as usize) {
                        let put = |key: &u64| {
                            format!(r#"{{"PutRequest":{{"Item":{{"pk":{{"S":"k{key}"}},"n":{{"N":"{round}"}}}}}}}}"#)
                        };
                        let puts: Vec<String> = keys.iter().map(put).collect();
                        let body = format!(r#"{{"RequestItems":{{"events":[{}]}}}}"#, puts.join(","));
                        call(&db, "BatchWriteItem", &body).await;
                    }
                }
            })
        };
        for task in (0..WRITERS).map(writer).collect::<Vec<_>>() {
            task.await.expect("a writer does not fail");
        }
        let replayed = (0..rounds).fold(0, fold);
        (0..keys).map(|key| (format!("k{key}"), replayed)).collect()
    }

    /// Mappings whose functions are `invoker`.
    pub async fn mappings(&self, invoker: Arc<dyn Invoker>) -> Mappings {
        let dependencies = Dependencies {
            store: Arc::clone(self.db.store()),
            timer: Arc::new(SystemTimer(self.clock.clone())),
            clock: self.clock.clone(),
            rng: Arc::new(SeededRng::new(self.seed + 1)),
            room: Room::default(),
            streams: Arc::new(TheStream(Arc::clone(&self.db))),
            records: self.db.record_writer(),
            invoker,
            observer: Arc::new(NoObserver),
            region: self.db.settings().region.clone(),
            account_id: self.db.settings().account_id.clone(),
        };
        Mappings::open(dependencies).await.expect("the mappings open")
    }

    /// Maps a function to the stream.
    pub async fn map(&self, mappings: &Mappings, function: &str, parameters: Parameters) {
        let request = CreateMapping {
            function: Some(function.to_owned()),
            event_source_arn: Some(self.stream_arn.clone()),
            starting_position: Some("TRIM_HORIZON".to_owned()),
            parameters,
        };
        mappings.create(request).await.expect("the mapping is made");
    }

    /// Delivers everything to a function that fails at random, and answers its effects.
    pub async fn soak(&self) -> Effects {
        let function = Arc::new(Moody { seed: self.seed, effects: Mutex::default(), calls: AtomicU64::new(0) });
        let mappings = self.mappings(function.clone()).await;
        let parameters = Parameters {
            batch_size: Some(100),
            parallelization_factor: Some(10),
            bisect_on_error: Some(true),
            response_types: Some(vec!["ReportBatchItemFailures".to_owned()]),
            ..Parameters::default()
        };
        self.map(&mappings, "moody", parameters).await;
        mappings.drained().await.expect("everything is delivered");
        mappings.shutdown().await;
        std::mem::take(&mut function.effects.lock())
    }
}

/// What a function did.
#[derive(Default)]
pub struct Effects {
    /// By key.
    pub states: HashMap<String, u64>,
    /// Calls that failed, whole or in part.
    pub failures: u64,
    /// Records that were processed.
    pub records: u64,
}

/// A function that fails at random: before it does anything, or in the midst of a batch, which it reports.
struct Moody {
    seed: u64,
    effects: Mutex<Effects>,
    calls: AtomicU64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(borrow)]
    records: Vec<EventRecord<'a>>,
}

#[derive(Deserialize)]
struct EventRecord<'a> {
    #[serde(borrow)]
    dynamodb: Change<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    #[serde(borrow)]
    new_image: Image<'a>,
    sequence_number: &'a str,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow)]
    pk: Tagged<'a>,
    n: Tagged<'a>,
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(alias = "S", alias = "N")]
    value: &'a str,
}

impl Invoker for Moody {
    fn exists(&self, _function: &str) -> bool {
        true
    }

    fn invoke(
        &self,
        _function: FunctionReference,
        event: Bytes,
        _waits: Waits,
        _recalled: Stopping,
    ) -> BoxFuture<'static, Invoked> {
        let rng = SeededRng::new(self.seed.wrapping_add(self.calls.fetch_add(1, Ordering::Relaxed)));
        let event: Event<'_> = serde_json::from_slice(&event).expect("an event");
        let mut effects = self.effects.lock();
        let answer = match rng.next_u64() % 1000 {
            0..10 => Invoked::FunctionError("Error: a bad mood".to_owned()),
            mood => {
                let good = match mood {
                    10..60 => (rng.next_u64() % event.records.len() as u64) as usize,
                    _ => event.records.len(),
                };
                for EventRecord { dynamodb } in &event.records[..good] {
                    let value = dynamodb.new_image.n.value.parse().expect("a number");
                    let state = effects.states.entry(dynamodb.new_image.pk.value.to_owned()).or_default();
                    *state = fold(*state, value);
                }
                effects.records += good as u64;
                Invoked::Answered(match event.records.get(good) {
                    None => Bytes::from_static(b"null"),
                    Some(bad) => {
                        let id = bad.dynamodb.sequence_number;
                        format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{id}"}}]}}"#).into()
                    }
                })
            }
        };
        effects.failures += u64::from(answer != Invoked::Answered(Bytes::from_static(b"null")));
        async move { answer }.boxed()
    }
}

/// Finds the stream of the table.
struct TheStream(Arc<Db>);

impl Streams for TheStream {
    fn find<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<Option<StreamSource>, StoreError>> {
        async move {
            let stream = self.0.stream(arn).await.map_err(|error| StoreError::Io(error.to_string()))?;
            let partition_key = stream.key.hash.name.clone();
            Ok(Some(StreamSource { id: stream.id, arn: StreamArn::new(arn.to_owned()), partition_key }))
        }
        .boxed()
    }
}

/// A function that nobody calls.
pub struct Uncalled;

impl Invoker for Uncalled {
    fn exists(&self, _function: &str) -> bool {
        true
    }

    fn invoke(
        &self,
        function: FunctionReference,
        _event: Bytes,
        _waits: Waits,
        _recalled: Stopping,
    ) -> BoxFuture<'static, Invoked> {
        async move { panic!("{} was called", function.name) }.boxed()
    }
}

/// A filter that no record of the table matches.
pub fn nothing() -> Parameters {
    let pattern = r#"{"dynamodb":{"NewImage":{"n":{"N":[{"prefix":"x"}]}}}}"#.to_owned();
    Parameters { filters: Some(vec![Some(pattern)]), ..Parameters::default() }
}
