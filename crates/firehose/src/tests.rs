//! Stories of a delivery stream: its records come, while the server is cut off at every step, its bucket and its endpoint fail and its
//! destination is read again; afterwards the objects, or the requests of different ids, hold each acknowledged record once. Source:
//! docs/spec/sinks.md 2, 8, 9.
//!
//! A life of the server is a runtime of its own, which is dropped where it stands; the store loses what it had not synced.

mod compressor;
mod functions;
mod index;
mod noted;
mod redshift;
mod retention;
mod take_over;
mod trouble;

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
use parking_lot::Mutex;
use serde_json::{Value, json};
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, MonotonicMs};
use tailrace_delivery::{Room, Timer};
use tailrace_engine::background::Task;
use tailrace_engine::{Caller, Db, Settings};
use tailrace_sinks::objects::S3Config;
use tailrace_sinks::objects::store::{Destination, ObjectWriter};
use tailrace_sinks::post::{NoReply, Post, Reply};
use tailrace_store::keyspace::KeyKind;
use tailrace_store::{Engine, MemoryEngine, Numbers, PageLimit};

use crate::{Buckets, DeliveryStreams, Dependencies, DoorError, Endpoints, Functions, Invoked, Notice, execute};

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
    store: Arc<dyn MemoryEngine>,
    clock: Arc<ManualClock>,
    rng: Arc<SeededRng>,
    directory: PathBuf,
    seed: AtomicU64,
    /// Calls to the outside until the life ends.
    life: AtomicU64,
    invocations: AtomicU64,
    /// Told of each invocation of a function, and of each request to an endpoint, that never answers.
    hangs: tokio::sync::Notify,
    /// Where the first call to what is `held` waits.
    hold: take_over::Hold,
    /// The requests that came to an endpoint, in their order.
    requests: Mutex<Vec<Asked>>,
    /// The clusters.
    clusters: Mutex<index::Held>,
    /// The loads that clusters of Redshift were asked for.
    loads: Mutex<Vec<redshift::Asked>>,
    /// What is told to people.
    notices: Mutex<Vec<Notice>>,
}

/// A request that came to an endpoint.
#[derive(Clone, Debug)]
struct Asked {
    id: String,
    at_ms: u64,
    records: Vec<String>,
    was_taken: bool,
}

impl World {
    fn new(directory: &Path, seed: u64) -> Arc<World> {
        World::over(directory, seed, Numbers::Shared)
    }

    fn over(directory: &Path, seed: u64, numbers: Numbers) -> Arc<World> {
        let clock = Arc::new(ManualClock::at(EpochMs(1_535_365_800_000)));
        std::fs::write(directory.join(".file"), "").unwrap();
        Arc::new(World {
            store: numbers.engine(clock.clone()),
            clock,
            rng: Arc::new(SeededRng::new(seed)),
            directory: directory.to_owned(),
            seed: AtomicU64::new(seed),
            life: AtomicU64::new(u64::MAX),
            invocations: AtomicU64::new(0),
            hangs: tokio::sync::Notify::new(),
            hold: take_over::Hold::default(),
            requests: Mutex::default(),
            clusters: Mutex::default(),
            loads: Mutex::default(),
            notices: Mutex::default(),
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
        self.streams_over(self.store.clone()).await
    }

    /// The same over a store that stands before the world's.
    async fn streams_over(self: &Arc<World>, store: Arc<dyn Engine>) -> DeliveryStreams {
        let world = Arc::clone(self);
        let db = Db::open(store, self.clock.clone(), self.rng.clone(), Settings::default()).await.unwrap();
        DeliveryStreams::load(Dependencies {
            db: Arc::new(db),
            clock: self.clock.clone(),
            timer: Arc::new(Skipping(self.clock.clone())),
            rng: self.rng.clone(),
            room: Room::default(),
            functions: Arc::new(Outside(Arc::clone(self))),
            buckets: Arc::new(Outside(Arc::clone(self))),
            endpoints: Arc::new(Outside(Arc::clone(self))),
            clusters: Arc::new(Outside(Arc::clone(self))),
            warehouses: Arc::new(Outside(Arc::clone(self))),
            notices: Arc::new(move |notice| world.notices.lock().push(notice)),
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

/// Whether it is an object of the stream in the folder, below the hour that is in its name: the clock goes on while a bucket is slow.
fn is_below(folder: &str, key: &str) -> bool {
    key.strip_prefix(folder).and_then(|rest| rest.split_once("/clicks-1-")).is_some_and(|(hour, name)| {
        hour.len() == "YYYY/MM/DD/HH".len() && name.starts_with(&format!("{}-", hour.replace('/', "-")))
    })
}

/// Of changes that no operation makes.
const BY_NOBODY: crate::row::Asked<'_> = crate::row::Asked { operation: "", caller: &Caller::Service };

struct Outside(Arc<World>);

impl Buckets for Outside {
    fn place(&self, bucket: &str) -> Result<ObjectWriter, DoorError> {
        if self.0.random(6) == 0 {
            return Err(DoorError::NotNow("503".to_owned()));
        }
        if self.0.is_over() {
            // As the end of the life is: nothing is written.
            return Err(DoorError::NotNow("the life is over".to_owned()));
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
            if function == "slow" {
                world.hangs.notify_one();
                // Not as long as a stop waits for it.
                for _ in 0..2 {
                    tokio::task::yield_now().await;
                }
            } else if function == "held" {
                world.hold.first().await;
            } else if world.random(5) == 0 || world.is_over() {
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

/// An endpoint at each host: what `flaky` is sent it takes or not, and says so or not; `picky` takes what has no `bad`; `down` takes nothing,
/// `full` finds everything too large, `mute` takes everything and says nothing, `halting` says nothing to the second request; `held` finds everything too
/// large; `good` takes everything, and says so.
impl Endpoints for Outside {
    fn post(&self, post: Post) -> BoxFuture<'static, Result<Reply, NoReply>> {
        let world = Arc::clone(&self.0);
        async move {
            let headers: BTreeMap<&str, &str> =
                post.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(headers["x-amz-firehose-protocol-version"], "1.0");
            assert_eq!(headers["x-amz-firehose-access-key"], "hunter2");
            assert_eq!(headers["content-type"], "application/json");
            let arn = "arn:aws:firehose:us-east-1:000000000000:deliverystream/clicks";
            assert_eq!(headers["x-amz-firehose-source-arn"], arn);
            let body: Value = serde_json::from_slice(&post.body).unwrap();
            let id = body["requestId"].as_str().unwrap().to_owned();
            assert_eq!(headers["x-amz-firehose-request-id"], id);
            let data = |record: &Value| BASE64.decode(record["data"].as_str().unwrap()).unwrap();
            let records = body["records"].as_array().unwrap().iter().map(data);
            let records: Vec<String> = records.map(|data| String::from_utf8(data).unwrap()).collect();
            let host = post.to.to_string();
            let is = |name: &str| host == format!("https://{name}/");
            let takes = match world.random(3) {
                _ if is("good") || is("mute") || is("halting") => true,
                _ if is("picky") => !records.iter().any(|record| record.contains("bad")),
                chance => is("flaky") && chance > 0,
            };
            let asked = Asked { id: id.clone(), at_ms: world.clock.monotonic().0, records, was_taken: takes };
            let number = {
                let mut requests = world.requests.lock();
                requests.push(asked);
                requests.len()
            };
            if is("mute") || (is("halting") && number == 2) {
                world.hangs.notify_one();
                return std::future::pending().await;
            }
            if is("held") {
                world.hold.first().await;
            }
            if world.is_over() || (is("flaky") && world.random(4) == 0) {
                return Err(NoReply::Broken("reset".to_owned()));
            }
            let (status, body) = match takes {
                true => (200, json!({"requestId": id, "timestamp": 1})),
                false if is("full") || is("held") => (413, json!({"requestId": id, "timestamp": 1})),
                false => (500, json!({"requestId": id, "timestamp": 1, "errorMessage": "not hunter2"})),
            };
            let content_type = Some("application/json".to_owned());
            Ok(Reply { status, content_type, is_encoded: false, body: body.to_string().into_bytes() })
        }
        .boxed()
    }
}

fn endpoint(host: &str, retry_s: u64, more: Value) -> Value {
    let mut config = json!({
        "EndpointConfiguration": {"Url": format!("https://{host}/"), "AccessKey": "hunter2"},
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
        "RetryOptions": {"DurationInSeconds": retry_s},
        "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r"}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"DeliveryStreamName": NAME, "HttpEndpointDestinationConfiguration": config})
}

async fn call(streams: &DeliveryStreams, operation: &str, body: Value) -> Value {
    let answer = execute(streams, operation, body.to_string().as_bytes(), &Caller::default()).await;
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

/// A story with lives that end badly: the texts that were acknowledged, and the world. Every other one is told over a store that numbers the
/// records of each shard by themselves.
fn story(directory: &Path, seed: u64, config: Value, text: impl Fn(u64) -> String) -> (Vec<String>, Arc<World>) {
    let world = World::over(directory, seed, Numbers::ALL[seed as usize % 2]);
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
    for seed in 0..60 {
        let directory = tempfile::tempdir().unwrap();
        let delimiter = json!({"Enabled": true, "Processors": [{"Type": "AppendDelimiterToRecord"}]});
        let config = destination(json!({"ProcessingConfiguration": delimiter, "Prefix": "raw/"}));
        let (acknowledged, world) = story(directory.path(), seed, config, |n| format!("record {n}"));
        // The names of one second do not sort by their records; the first line of each does.
        let mut objects: Vec<Vec<String>> = Vec::new();
        for (key, bytes) in world.objects() {
            assert!(is_below("lake/raw/", &key), "{key}");
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
    for seed in 100..160 {
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
        let (bad, rest): (Vec<String>, Vec<String>) =
            acknowledged.iter().cloned().partition(|text| text.starts_with("fail") || text.starts_with("lose"));
        let good: Vec<String> = rest.into_iter().filter(|text| !text.starts_with("drop")).collect();
        assert_eq!(sorted(delivered), sorted(good), "story {seed}");
        assert_eq!(sorted(failed), sorted(bad), "story {seed}");
        assert_eq!(backup, acknowledged.iter().map(String::len).sum::<usize>(), "story {seed}");
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}

/// What requests of different ids held, of those that were taken; and that the same id had the same records each time.
fn taken(world: &World, seed: u64) -> Vec<String> {
    let (mut by_id, mut held) = (BTreeMap::new(), Vec::new());
    for asked in world.requests.lock().iter() {
        let (records, was_taken) = by_id.entry(asked.id.clone()).or_insert_with(|| (asked.records.clone(), false));
        assert_eq!(*records, asked.records, "story {seed}: request {} had other records before", asked.id);
        if asked.was_taken && !std::mem::replace(was_taken, true) {
            held.extend(asked.records.clone());
        }
    }
    held
}

/// docs/spec/sinks.md 2.7, 9: a request comes again with its id and its records, after whatever failure and whatever crash.
#[test]
fn requests_of_different_ids_hold_each_acknowledged_record_once() {
    for seed in 200..260 {
        let directory = tempfile::tempdir().unwrap();
        let config = endpoint("flaky", 7200, json!({"S3BackupMode": "AllData"}));
        let (acknowledged, world) = story(directory.path(), seed, config, |n| format!("{n},"));
        assert_eq!(taken(&world, seed), acknowledged, "story {seed}");
        let objects = world.objects();
        assert!(objects.keys().all(|key| is_below("lake/", key)), "story {seed}: {objects:?}");
        let numbers = String::from_utf8(objects.into_values().flatten().collect()).unwrap();
        assert_eq!(
            sorted(numbers.split_inclusive(',').map(str::to_owned).collect()),
            sorted(acknowledged),
            "story {seed}"
        );
    }
}

/// docs/spec/sinks.md 2.7: what is given up is in the bucket, in the same words after each crash (the story looks), and is not sent again.
#[test]
fn what_an_endpoint_does_not_take_is_in_the_bucket_once() {
    for seed in 300..360 {
        let directory = tempfile::tempdir().unwrap();
        let text = |n: u64| format!("{}{n}", if n.is_multiple_of(5) { "bad " } else { "" });
        let (acknowledged, world) = story(directory.path(), seed, endpoint("picky", 3, json!({})), text);
        let mut failed = Vec::new();
        for (key, bytes) in world.objects() {
            assert!(is_below("lake/http-endpoint-failed/", &key), "{key}");
            for line in String::from_utf8(bytes).unwrap().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(
                    (&line["subsequenceNumber"], line["errorMessage"].as_str().unwrap().contains("hunter2")),
                    (&json!(0), false)
                );
                failed.push(String::from_utf8(BASE64.decode(line["rawData"].as_str().unwrap()).unwrap()).unwrap());
            }
        }
        let held = taken(&world, seed);
        assert!(held.iter().all(|text| !text.starts_with("bad")), "story {seed}");
        assert!(acknowledged.iter().filter(|text| text.starts_with("bad")).all(|text| failed.contains(text)));
        // A request that was taken, and whose answer was lost until it was given up, may be in both.
        let both = failed.iter().filter(|text| held.contains(text)).count();
        assert_eq!(held.len() + failed.len() - both, acknowledged.len(), "story {seed}");
        assert!(world.notices.lock().iter().all(|notice| !notice.text.contains("hunter2")));
    }
}

/// docs/spec/sinks.md 2.7: pauses of 1 s, doubled, with 15 % of spread; the last try is when RetryOptions say; 413 is final.
#[test]
fn a_request_is_tried_for_as_long_as_it_may_be() {
    for (host, retry_s, attempts) in [("down", 60, 7), ("down", 0, 1), ("full", 60, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(directory.path(), 5);
        runtime().block_on(async {
            let streams = world.streams().await;
            streams.start().await;
            call(&streams, "CreateDeliveryStream", endpoint(host, retry_s, json!({}))).await;
            call(&streams, "PutRecordBatch", batch(&["one".to_owned(), "two".to_owned()])).await;
            drained(&streams).await;
            assert_eq!(streams.status().await.unwrap()[0].last_error, None);
        });
        let times: Vec<u64> = world.requests.lock().iter().map(|asked| asked.at_ms).collect();
        assert_eq!(times.len(), attempts, "{host} {times:?}");
        for (index, pause) in
            times.windows(2).map(|pair| pair[1] - pair[0]).enumerate().take(attempts.saturating_sub(2))
        {
            assert!((850 << index..=1150 << index).contains(&pause), "{host} {times:?}");
        }
        if attempts > 1 {
            assert_eq!(times[attempts - 1] - times[0], retry_s * 1000, "the last one is when the time is over");
        }
        let objects = world.objects();
        let (key, bytes) = objects.first_key_value().unwrap();
        assert!(objects.len() == 1 && key.starts_with("lake/http-endpoint-failed/2018/"), "{key}");
        let lines = String::from_utf8(bytes.clone()).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert_eq!(line["errorCode"], "HttpEndpoint.DestinationException");
            assert_eq!(line["attemptsMade"], attempts);
            assert!(line["dataId"].as_str().unwrap().ends_with(".0") && line.get("lambdaArn").is_none(), "{line}");
        }
    }
}

/// docs/spec/sinks.md 2.7: what a function makes of records is what is sent, the same each time.
#[test]
fn results_of_a_function_are_requests() {
    let text = |n: u64| match n % 7 {
        3 => format!("drop {n}"),
        4 => format!("fail {n}"),
        _ => format!("a{n}"),
    };
    for seed in 400..430 {
        let directory = tempfile::tempdir().unwrap();
        let config = endpoint("flaky", 7200, json!({"ProcessingConfiguration": transforming("f")}));
        let (acknowledged, world) = story(directory.path(), seed, config, text);
        let held = taken(&world, seed).into_iter().map(|made| made.split_once(':').unwrap().0.to_owned()).collect();
        let good = acknowledged.iter().filter(|text| text.starts_with('a')).cloned().collect();
        assert_eq!(sorted(held), sorted(good), "story {seed}");
        assert!(world.objects().keys().all(|key| key.starts_with("lake/processing-failed/")), "story {seed}");
    }
}

/// A flush that is larger than a request may be: after a crash between its two requests, and a failure behind them, the first is not sent again.
#[test]
fn a_request_that_was_taken_does_not_come_again_with_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 21);
    let hints = json!({"BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 900}});
    runtime().block_on(async {
        let streams = world.streams().await;
        call(&streams, "CreateDeliveryStream", endpoint("halting", 7200, hints)).await;
        for part in 0..17 {
            let texts: Vec<String> = (0..4).map(|n| format!("{part}.{n} {}", "x".repeat(1_000_000))).collect();
            call(&streams, "PutRecordBatch", batch(&texts)).await;
        }
        streams.start().await;
        world.hangs.notified().await;
    });
    world.store.crash();
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        drained(&streams).await;
    });
    let requests = world.requests.lock();
    let counts: Vec<usize> = requests.iter().map(|asked| asked.records.len()).collect();
    assert_eq!(counts, [50, 17, 17, 1], "the first, the second twice, and that of the next flush");
    assert!(requests[1].id == requests[2].id && requests[1].records == requests[2].records);
    assert_eq!(requests.iter().map(|asked| &asked.id).collect::<std::collections::BTreeSet<_>>().len(), 3);
}

/// Neither a new destination nor the end of the stream waits for an endpoint that does not answer, or for the next try; what is sent by the
/// next version has the same id if it is the same.
#[test]
fn an_endpoint_that_fails_holds_up_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", endpoint("mute", 7200, json!({}))).await;
        call(&streams, "PutRecordBatch", batch(&["a".to_owned()])).await;
        world.hangs.notified().await;
        let update = json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": "1",
            "DestinationId": "destinationId-000000000001",
            "HttpEndpointDestinationUpdate": {"EndpointConfiguration": {"Url": "https://good/", "AccessKey": "hunter2"}}});
        call(&streams, "UpdateDestination", update).await;
        drained(&streams).await;
        let ids: Vec<String> = world.requests.lock().iter().map(|asked| asked.id.clone()).collect();
        assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
        let described = call(&streams, "DescribeDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        assert!(!described.to_string().contains("hunter2"), "{described}");
        let status = streams.status().await.unwrap();
        assert_eq!((status[0].endpoint.as_deref(), &*status[0].bucket), (Some("https://good/"), "lake"));

        // From an endpoint to a bucket nothing is merged.
        let bucket = json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": "2",
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r", "Prefix": "p/"}});
        call(&streams, "UpdateDestination", bucket).await;
        let described = call(&streams, "DescribeDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        let destination = &described["DeliveryStreamDescription"]["Destinations"][0];
        assert_eq!(destination["ExtendedS3DestinationDescription"]["Prefix"], "p/");
        assert!(destination.get("HttpEndpointDestinationDescription").is_none(), "{destination}");

        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        call(&streams, "CreateDeliveryStream", endpoint("mute", 7200, json!({}))).await;
        call(&streams, "PutRecordBatch", batch(&["b".to_owned()])).await;
        world.hangs.notified().await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        for kind in [KeyKind::DeliveryStream, KeyKind::Request, KeyKind::Transformed, KeyKind::Checkpoint] {
            assert_eq!(world.rows(kind).await, 0, "{kind:?}");
        }
    });
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
    assert!(objects.len() == 1 && is_below("lake/processing-failed/", key), "{key}");
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
        let again = execute(&streams, "UpdateDestination", update.to_string().as_bytes(), &Caller::default())
            .await
            .unwrap_err()
            .to_string();
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
