//! Stories of a delivery stream: its records come, while the server is cut off at every step, its bucket fails and its destination is
//! read again; afterwards the objects hold each acknowledged record once. Source: docs/spec/sinks.md 2, 8, 9.
//!
//! A life of the server is a runtime of its own, which is dropped where it stands; the store loses what it had not synced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, MonotonicMs};
use tailrace_delivery::Timer;
use tailrace_engine::background::Task;
use tailrace_engine::background::retention::Retention;
use tailrace_engine::{Db, Settings};
use tailrace_sinks::objects::S3Config;
use tailrace_sinks::objects::store::{Destination, ObjectWriter};
use tailrace_store::keyspace::KeyKind;
use tailrace_store::{Engine, ModelEngine, PageLimit};

use crate::{Buckets, DeliveryStreams, Dependencies, Functions, Invoked, execute};

const NAME: &str = "clicks";
/// A directory below a file: nothing can be written there.
const BLOCKED: &str = ".file/none";

/// Skips time: who waits for an instant has it, in a moment.
struct Skipping(Arc<ManualClock>);

impl Timer for Skipping {
    fn sleep_until(&self, time: MonotonicMs) -> BoxFuture<'static, ()> {
        let clock = Arc::clone(&self.0);
        async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            clock.advance(time.0.saturating_sub(clock.monotonic().0));
        }
        .boxed()
    }
}

/// A directory as every bucket, which now and then cannot be found, and a function whose answers are never twice the same.
struct World {
    store: Arc<ModelEngine>,
    clock: Arc<ManualClock>,
    rng: Arc<SeededRng>,
    directory: PathBuf,
    seed: AtomicU64,
    /// Calls to the outside until the life ends.
    life: AtomicU64,
    invocations: AtomicU64,
    /// Told of each invocation of a function that never answers.
    hangs: tokio::sync::Notify,
}

impl World {
    fn new(directory: &Path, seed: u64) -> Arc<World> {
        let clock = Arc::new(ManualClock::at(EpochMs(1_535_365_800_000)));
        std::fs::write(directory.join(".file"), "").unwrap();
        Arc::new(World {
            store: ModelEngine::new(clock.clone()),
            clock,
            rng: Arc::new(SeededRng::new(seed)),
            directory: directory.to_owned(),
            seed: AtomicU64::new(seed),
            life: AtomicU64::new(u64::MAX),
            invocations: AtomicU64::new(0),
            hangs: tokio::sync::Notify::new(),
        })
    }

    fn random(&self, below: u64) -> u64 {
        let next = |seed: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = self.seed.fetch_update(SeqCst, SeqCst, |seed| Some(next(seed))).unwrap_or(0);
        (next(before) >> 33) % below
    }

    /// The life ends at one of the calls to the outside.
    fn is_over(&self) -> bool {
        self.life.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1))).unwrap_or(0) <= 1
    }

    async fn streams(self: &Arc<World>) -> DeliveryStreams {
        let store: Arc<dyn Engine> = self.store.clone();
        let db = Db::open(store, self.clock.clone(), self.rng.clone(), Settings::default()).await.unwrap();
        DeliveryStreams::load(Dependencies {
            db: Arc::new(db),
            clock: self.clock.clone(),
            timer: Arc::new(Skipping(self.clock.clone())),
            rng: self.rng.clone(),
            functions: Arc::new(Outside(Arc::clone(self))),
            buckets: Arc::new(Outside(Arc::clone(self))),
            notices: Arc::new(|_| {}),
        })
        .await
        .unwrap()
    }

    /// Every object: its name, and its bytes.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
            let Ok(entries) = std::fs::read_dir(folder) else { return };
            for entry in entries.map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    walk(root, &path, found);
                } else if !entry.file_name().to_string_lossy().starts_with('.') {
                    let key = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                    found.insert(key, std::fs::read(path).unwrap());
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(&self.directory, &self.directory, &mut found);
        found
    }

    /// How many rows of a kind there are.
    async fn rows(&self, kind: KeyKind) -> usize {
        let all = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        self.store.page(kind.range(), all).await.unwrap().rows.len()
    }
}

struct Outside(Arc<World>);

impl Buckets for Outside {
    fn place(&self, bucket: &str) -> Result<ObjectWriter, String> {
        if self.0.random(6) == 0 {
            return Err("503".to_owned());
        }
        if self.0.is_over() {
            // As the end of the life is: nothing is written.
            return Err("the life is over".to_owned());
        }
        // Now and then the backup fails when the objects of the other bucket are there already.
        let is_blocked = bucket == "backup" && self.0.random(3) == 0;
        let to = Destination::Directory(self.0.directory.join(if is_blocked { BLOCKED } else { bucket }));
        Ok(ObjectWriter::new(&to, &S3Config::default()).unwrap())
    }
}

impl Functions for Outside {
    /// What says `drop` is dropped, what says `fail` fails, what says `lose` is not answered; all else gets a number that no invocation
    /// gives twice, and a partition key that follows from it.
    fn invoke(&self, function: &str, event: Bytes) -> BoxFuture<'static, Invoked> {
        let (world, function) = (Arc::clone(&self.0), function.to_owned());
        async move {
            if function == "hangs" {
                world.invocations.fetch_add(1, SeqCst);
                world.hangs.notify_one();
                return std::future::pending().await;
            }
            if world.random(5) == 0 || world.is_over() {
                return Invoked::NotInvoked("no process is left".to_owned());
            }
            if function == "broken" {
                world.invocations.fetch_add(1, SeqCst);
                return Invoked::Failed("Error: no".to_owned());
            }
            let event: Value = serde_json::from_slice(&event).unwrap();
            assert_eq!(event["deliveryStreamArn"], "arn:aws:firehose:us-east-1:000000000000:deliverystream/clicks");
            let mut records = Vec::new();
            for record in event["records"].as_array().unwrap() {
                let data = String::from_utf8(BASE64.decode(record["data"].as_str().unwrap()).unwrap()).unwrap();
                let number = world.invocations.fetch_add(1, SeqCst);
                let result = if data.contains("drop") {
                    json!({"result": "Dropped"})
                } else if data.contains("fail") {
                    json!({"result": "ProcessingFailed"})
                } else if data.contains("lose") {
                    continue;
                } else {
                    let keys = json!({"partitionKeys": {"third": number % 3}});
                    json!({"result": "Ok", "data": BASE64.encode(format!("{data}:{number}\n")), "metadata": keys})
                };
                let mut result = result;
                result["recordId"] = record["recordId"].clone();
                records.push(result);
            }
            Invoked::Answered(json!({ "records": records }).to_string().into())
        }
        .boxed()
    }
}

async fn call(streams: &DeliveryStreams, operation: &str, body: Value) -> Value {
    let answer = execute(streams, operation, body.to_string().as_bytes()).await;
    serde_json::from_slice(&answer.unwrap_or_else(|error| panic!("{operation} {body}: {error}"))).unwrap()
}

fn destination(more: Value) -> Value {
    let hints = json!({"SizeInMBs": 1, "IntervalInSeconds": 0});
    let mut config = json!({"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r", "BufferingHints": hints});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"DeliveryStreamName": NAME, "ExtendedS3DestinationConfiguration": config})
}

fn transforming(function: &str) -> Value {
    let parameters = json!([{"ParameterName": "LambdaArn", "ParameterValue": function}]);
    json!({"Enabled": true, "Processors": [{"Type": "Lambda", "Parameters": parameters}]})
}

fn batch(texts: &[String]) -> Value {
    let records: Vec<Value> = texts.iter().map(|text| json!({"Data": BASE64.encode(text)})).collect();
    json!({"DeliveryStreamName": NAME, "Records": records})
}

async fn drained(streams: &DeliveryStreams) {
    let mut changes = streams.changes();
    loop {
        changes.borrow_and_update();
        if streams.status().await.unwrap().iter().all(|stream| stream.drained) {
            return;
        }
        changes.changed().await.unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A story with lives that end badly: the texts that were acknowledged, and the world.
fn story(directory: &Path, seed: u64, config: Value, text: impl Fn(u64) -> String) -> (Vec<String>, Arc<World>) {
    let world = World::new(directory, seed);
    runtime().block_on(async { drop(call(&world.streams().await, "CreateDeliveryStream", config).await) });
    let (mut acknowledged, mut seen) = (Vec::new(), BTreeMap::new());
    for _ in 0..1 + seed % 4 {
        world.life.store(2 + world.random(12), SeqCst);
        let life = runtime();
        life.block_on(async {
            let streams = world.streams().await;
            streams.start().await;
            for _ in 0..15 {
                let texts: Vec<String> =
                    (0..1 + world.random(6)).map(|n| text(acknowledged.len() as u64 + n)).collect();
                world.clock.advance(1);
                call(&streams, "PutRecordBatch", batch(&texts)).await;
                acknowledged.extend(texts);
                for _ in 0..world.random(40) {
                    tokio::task::yield_now().await;
                }
                if world.life.load(SeqCst) == 0 {
                    break;
                }
            }
        });
        drop(life);
        world.store.crash();
        for (key, bytes) in world.objects() {
            assert_eq!(*seen.entry(key).or_insert_with(|| bytes.clone()), bytes, "story {seed}: an object was changed");
        }
    }
    world.life.store(u64::MAX, SeqCst);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        drained(&streams).await;
        streams.shutdown().await;
    });
    let objects = world.objects();
    for (key, bytes) in &seen {
        assert_eq!(objects.get(key), Some(bytes), "story {seed}: {key} is not what a crash left");
    }
    (acknowledged, world)
}

#[test]
fn objects_hold_each_acknowledged_record_once_and_in_order() {
    for seed in 0..30 {
        let directory = tempfile::tempdir().unwrap();
        let delimiter = json!({"Enabled": true, "Processors": [{"Type": "AppendDelimiterToRecord"}]});
        let config = destination(json!({"ProcessingConfiguration": delimiter, "Prefix": "raw/"}));
        let (acknowledged, world) = story(directory.path(), seed, config, |n| format!("record {n}"));
        // The names of one second do not sort by their records; the first line of each does.
        let mut objects: Vec<Vec<String>> = Vec::new();
        for (key, bytes) in world.objects() {
            assert!(key.starts_with("lake/raw/2018/08/27/10/clicks-1-2018-08-27-10-30-"), "{key}");
            objects.push(String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect());
        }
        objects.sort_by_key(|lines| lines[0]["record ".len()..].parse::<u64>().unwrap());
        assert_eq!(objects.concat(), acknowledged, "story {seed}");
    }
}

/// docs/spec/sinks.md 8: the result of a function is kept with the flush, so that a repeat has the same names and bytes.
#[test]
fn a_function_that_never_answers_twice_the_same_leaves_each_record_once() {
    let text = |n: u64| match n % 7 {
        3 => format!("drop {n}"),
        4 => format!("fail {n}"),
        5 => format!("lose {n}"),
        letter => format!("{}{n}", char::from(b'a' + letter as u8)),
    };
    for seed in 100..130 {
        let directory = tempfile::tempdir().unwrap();
        let partitions = json!({
            "ProcessingConfiguration": transforming("f"), "DynamicPartitioningConfiguration": {"Enabled": true},
            "Prefix": "p=!{partitionKeyFromLambda:third}/", "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
            "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 1}, "S3BackupMode": "Enabled",
            "S3BackupConfiguration": {"BucketARN": "arn:aws:s3:::backup", "RoleARN": "r"}});
        let (acknowledged, world) = story(directory.path(), seed, destination(partitions), text);
        let (mut delivered, mut failed, mut backup) = (Vec::new(), Vec::new(), 0);
        for (key, bytes) in world.objects() {
            let text = String::from_utf8(bytes).unwrap();
            if key.starts_with("lake/errors/processing-failed/") {
                for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                    let raw = String::from_utf8(BASE64.decode(line["rawData"].as_str().unwrap()).unwrap()).unwrap();
                    let lost = raw.starts_with("lose");
                    let code = if lost { "Lambda.MissingRecordId" } else { "Lambda.ProcessingFailedStatus" };
                    assert_eq!((&line["errorCode"], &line["lambdaArn"]), (&json!(code), &json!("f")));
                    failed.push(raw);
                }
            } else if key.starts_with("backup/") {
                backup += text.len();
            } else {
                for line in text.lines() {
                    let (data, number) = line.split_once(':').unwrap();
                    let partition = number.parse::<u64>().unwrap() % 3;
                    assert!(key.starts_with(&format!("lake/p={partition}/clicks-1-2018-")), "{key} {line}");
                    delivered.push(data.to_owned());
                }
            }
        }
        let sorted = |mut texts: Vec<String>| {
            texts.sort_unstable();
            texts
        };
        let (bad, rest): (Vec<String>, Vec<String>) =
            acknowledged.iter().cloned().partition(|text| text.starts_with("fail") || text.starts_with("lose"));
        let good: Vec<String> = rest.into_iter().filter(|text| !text.starts_with("drop")).collect();
        assert_eq!(sorted(delivered), sorted(good), "story {seed}");
        assert_eq!(sorted(failed), sorted(bad), "story {seed}");
        assert_eq!(backup, acknowledged.iter().map(String::len).sum::<usize>(), "story {seed}");
    }
}

#[test]
fn a_function_that_fails_is_tried_again_and_then_its_records_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 7);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", destination(json!({"ProcessingConfiguration": transforming("broken")})))
            .await;
        call(&streams, "PutRecordBatch", batch(&["one".to_owned(), "two".to_owned()])).await;
        drained(&streams).await;
    });
    let objects = world.objects();
    let (key, bytes) = objects.first_key_value().unwrap();
    assert!(objects.len() == 1 && key.starts_with("lake/processing-failed/2018/08/27/10/clicks-1-"), "{key}");
    let lines: Vec<Value> =
        String::from_utf8(bytes.clone()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((&line["errorCode"], &line["attemptsMade"]), (&json!("Lambda.FunctionError"), &json!(4)));
        assert_eq!(line["errorMessage"], "Error: no");
    }
}

#[test]
fn a_deleted_stream_leaves_neither_rows_nor_records() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 9);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        let slow = json!({"ProcessingConfiguration": transforming("f"),
                          "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0}});
        call(&streams, "CreateDeliveryStream", destination(slow.clone())).await;
        call(&streams, "PutRecordBatch", batch(&["one".to_owned()])).await;
        drained(&streams).await;
        assert_eq!((world.rows(KeyKind::DeliveryStream).await, world.rows(KeyKind::Stream).await), (1, 1));
        assert!(world.rows(KeyKind::Transformed).await > 0, "what the function made stays until the next flush");
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        for kind in [
            KeyKind::DeliveryStream,
            KeyKind::Stream,
            KeyKind::Shard,
            KeyKind::Transformed,
            KeyKind::Checkpoint,
            KeyKind::Owner,
        ] {
            assert_eq!(world.rows(kind).await, 0, "{kind:?}");
        }
        // Its name is free, and the new stream has none of its records.
        call(&streams, "CreateDeliveryStream", destination(slow)).await;
        drained(&streams).await;
        assert_eq!(world.objects().len(), 1, "those of the deleted stream alone");
    });
}

#[test]
fn an_updated_destination_is_that_of_the_records_that_follow() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", destination(json!({"Prefix": "one/"}))).await;
        call(&streams, "PutRecordBatch", batch(&["a".to_owned()])).await;
        drained(&streams).await;
        let update = json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": "1",
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": {"Prefix": "two/", "CompressionFormat": "GZIP"}});
        call(&streams, "UpdateDestination", update.clone()).await;
        let again =
            execute(&streams, "UpdateDestination", update.to_string().as_bytes()).await.unwrap_err().to_string();
        assert!(
            again.starts_with("ConcurrentModificationException: Cannot update firehose: arn:aws:firehose:"),
            "{again}"
        );
        call(&streams, "PutRecordBatch", batch(&["b".to_owned()])).await;
        drained(&streams).await;
        streams.shutdown().await;
    });
    let keys: Vec<String> = world.objects().into_keys().collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys[0].starts_with("lake/one/") && keys[0].contains("/clicks-1-"), "{keys:?}");
    assert!(keys[1].starts_with("lake/two/") && keys[1].contains("/clicks-2-") && keys[1].ends_with(".gz"), "{keys:?}");
}

/// Neither a new destination nor the end of the stream or of the server waits for a function that does not answer.
#[test]
fn a_function_that_never_answers_holds_up_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        let hanging = destination(json!({"ProcessingConfiguration": transforming("hangs")}));
        call(&streams, "CreateDeliveryStream", hanging.clone()).await;
        call(&streams, "PutRecordBatch", batch(&["a".to_owned()])).await;
        world.hangs.notified().await;
        let update = json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": "1",
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": {"ProcessingConfiguration": {"Enabled": false}}});
        call(&streams, "UpdateDestination", update).await;
        drained(&streams).await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        call(&streams, "CreateDeliveryStream", hanging).await;
        call(&streams, "PutRecordBatch", batch(&["b".to_owned()])).await;
        world.hangs.notified().await;
        streams.shutdown().await;
        assert_eq!(streams.status().await.unwrap().len(), 1);
        streams.start().await;
        world.hangs.notified().await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
    });
    assert_eq!(world.objects().into_values().collect::<Vec<_>>(), [b"a"]);
}

/// docs/spec/sinks.md 1, "Retention": what is not delivered pins the trimming of the log, up to a cap.
#[test]
fn what_waits_outlives_the_retention_of_streams_but_not_the_cap() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 13);
    let days_pass = async |streams: &DeliveryStreams, days: u64| {
        world.clock.advance(days * 86_400_000);
        let tick = Retention::default().tick(streams.db(), world.clock.now()).await;
        assert!(tick.failures.is_empty());
    };
    runtime().block_on(async {
        let streams = world.streams().await;
        call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
        call(&streams, "PutRecordBatch", batch(&["waits".to_owned()])).await;
        days_pass(&streams, 2).await;
        streams.start().await;
        drained(&streams).await;
        streams.shutdown().await;
        assert_eq!(world.objects().into_values().collect::<Vec<_>>(), [b"waits"]);
        call(&streams, "PutRecordBatch", batch(&["too long".to_owned()])).await;
        days_pass(&streams, 8).await;
        call(&streams, "PutRecordBatch", batch(&["later".to_owned()])).await;
        streams.start().await;
        drained(&streams).await;
    });
    let mut bodies: Vec<Vec<u8>> = world.objects().into_values().collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [b"later", b"waits"]);
}
