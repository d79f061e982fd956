//! What an audit trail in a directory takes, and what it costs a writer that records keep who asked.
//!
//!     cargo run --release -p tailrace-sinks --example audit_bench -- DIR [RECORDS] [WRITES]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed. Records have items of about 150 bytes; four shards
//! flush side by side. The writers' figure is processor time for each PutItem, with and without an audit, in turns.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::codec::encode_stored;
use tailrace_core::rng::SeededRng;
use tailrace_core::{AttributeValue, EpochMs, Item, RecordNo, Service};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordCaller, RecordMeta};
use tailrace_engine::{Caller, Client, Db, Settings, ViewType, ops};
use tailrace_sinks::audit::directory::Directory;
use tailrace_sinks::audit::verify::{Trusted, verify};
use tailrace_sinks::audit::{Audit, Config, ShownValues};
use tailrace_sinks::sink::{Flush, KeyAttribute, KeyKind, Origin, Sink, SourceTable};
use tailrace_store_embedded::{EmbeddedEngine, Options};

const WRITERS: u64 = 32;
const ROUNDS: usize = 6;
const CLIENT: Client<'_> = Client {
    operation: "PutItem",
    access_key: Some("AKIDEXAMPLEAKIDEXAMP"),
    request_id: Some("0123456789ABCDEFGHIJKLMNOPQRSTUV0123456789ABCDEFGHIJ"),
    host: None,
    written: None,
};

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}

/// Processor time of this process, from /proc in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    fields.sum::<f64>() / 100.0
}

async fn call(db: &Db, operation: &str, body: &str) {
    let answer = ops::execute(db, Service::DynamoDb, operation, body.as_bytes(), &Caller::Client(CLIENT)).await;
    answer.unwrap_or_else(|error| panic!("{operation} {body}: {error}"));
}

fn item(n: u64, round: u64) -> Item {
    let s = |text: String| AttributeValue::S(text);
    Item::from([
        ("pk".to_owned(), s(format!("customer-{n:010}"))),
        ("status".to_owned(), s(format!("SHIPPED-{round}"))),
        ("note".to_owned(), s("x".repeat(60))),
        ("total".to_owned(), AttributeValue::N((n as i64 * 7 % 1000).into())),
    ])
}

fn record(shard: &tailrace_store::ShardInfo, number: u64) -> StreamRecord {
    let stored = |item: &Item| Bytes::from(encode_stored(item));
    let keys = Item::from([("pk".to_owned(), item(number, 0)["pk"].clone())]);
    StreamRecord {
        shard: shard.shard,
        number: RecordNo(number),
        time_ms: EpochMs(1_700_000_000_000 + number / 100),
        meta: RecordMeta {
            kind: ChangeKind::Modify,
            view: ViewType::NewAndOldImages,
            by_service: false,
            caller: RecordCaller::of(&CLIENT),
            keys: stored(&keys),
        },
        old: Some(stored(&item(number, 0))),
        new: Some(stored(&item(number, 1))),
    }
}

async fn trail(db: &Arc<Db>, dir: &Path, records: u64, images: ShownValues) {
    let table = db.find_table("Orders").await.expect("the store reads").expect("there is a table");
    let arn = db.settings().stream_arn("Orders", table.latest_stream_label.as_deref().expect("there is a stream"));
    let stream = db.stream(arn.as_str()).await.expect("there is a stream");
    let shards = db.store().shards(stream.id).await.expect("there are shards");
    let source = Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: arn,
        partition_key: KeyAttribute { name: "pk".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewAndOldImages,
    });
    let name = format!("{images:?}");
    let place = Arc::new(Directory::new(dir.join(&name)));
    let audit = Audit::new(Config { images, ..Config::default() }, place.clone(), Arc::clone(db)).expect("it is right");
    let bounds = audit.bounds();
    let size = audit.size(&record(&shards[0], 1)).expect("it is measured");
    let at_once = (bounds.bytes_max / size).min(bounds.records_max) as u64;
    let each = records / shards.len() as u64;
    let made: Vec<Vec<Flush>> = shards
        .iter()
        .map(|shard| {
            let flush = |first: u64| Flush {
                sink: name.as_str().into(),
                version: 1,
                source: Arc::clone(&source),
                shard: Shard::of(shard),
                origin: Origin::Stream,
                epoch: 1,
                taken: None,
                failed_before: 0,
                waits: tailrace_delivery::Waits::default(),
                stopping: tailrace_delivery::Stopping::default(),
                records: (first..(first + at_once).min(each + 1)).map(|number| record(shard, number)).collect(),
            };
            (1..=each).step_by(at_once as usize).map(flush).collect()
        })
        .collect();
    let (from, cpu) = (start(), cpu_seconds());
    let tasks = made.into_iter().map(|flushes| {
        let audit = audit.clone();
        tokio::spawn(async move {
            let mut bytes = 0;
            for flush in flushes {
                bytes += audit.flush(flush).await.expect("it is taken").bytes;
            }
            bytes
        })
    });
    let mut bytes = 0;
    for task in tasks.collect::<Vec<_>>() {
        bytes += task.await.expect("a shard does not fail");
    }
    let (took, used) = (from.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{name}: {:.0} records/s, {:.0} MB/s, {:.2} us of processor time a record, {at_once} records a flush",
        records as f64 / took,
        bytes as f64 / took / 1e6,
        used * 1e6 / records as f64
    );
    let from = start();
    let report = verify(place.as_ref(), &Trusted::default(), |_, _| {}).await.expect("it reads");
    assert_eq!(report.faults, []);
    println!("{name}: verified at {:.0} records/s", records as f64 / from.elapsed().as_secs_f64());
}

async fn writers(db: &Arc<Db>, writes: u64) {
    let mut spent = [Vec::new(), Vec::new()];
    for round in 0..2 * ROUNDS {
        let audit = round % 2 == 1;
        db.set_audit("Orders", audit, &Caller::default()).await.expect("there is a table");
        let next = Arc::new(AtomicU64::new(0));
        let cpu = cpu_seconds();
        let tasks = (0..WRITERS).map(|_| {
            let (db, next) = (Arc::clone(db), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= writes {
                        return;
                    }
                    let item = serde_json::to_string(&item(n % 10_000, round as u64)).expect("an item is JSON");
                    call(&db, "PutItem", &format!(r#"{{"TableName":"Orders","Item":{item}}}"#)).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a writer does not fail");
        }
        spent[usize::from(audit)].push((cpu_seconds() - cpu) * 1e6 / writes as f64);
    }
    for (what, mut spent) in ["without audit", "with audit"].into_iter().zip(spent) {
        spent.sort_by(f64::total_cmp);
        println!("a PutItem {what}: {:.2} us of processor time (median of {ROUNDS}; {spent:.2?})", spent[ROUNDS / 2]);
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("audit-bench");
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (records, writes) = (number(1_000_000), number(200_000));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the directory can be made");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
    let store = EmbeddedEngine::open(dir.join("data"), Options::new(clock.clone(), [7; 16])).expect("the store opens");
    let db = Db::open(store, clock, Arc::new(SeededRng::new(1)), Settings::default()).await.expect("it opens");
    let db = Arc::new(db);
    let table = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
        "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;
    call(&db, "CreateTable", table).await;
    if records > 0 {
        trail(&db, &dir.join("trails"), records, ShownValues::Full).await;
        trail(&db, &dir.join("trails"), records, ShownValues::Hash).await;
    }
    if writes > 0 {
        writers(&db, writes).await;
    }
    db.store().shutdown().await.expect("it ends");
    let _ = std::fs::remove_dir_all(&dir);
}
