//! The backfill beside writers, without HTTP: items a second that a new index of a filled table takes, and the rate of 64
//! writers meanwhile beside their rate before.
//!
//!     cargo run --release -p tailrace-server --example backfill_bench -- DIR [ITEMS]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tailrace_core::Service;
use tailrace_core::clock::Clock;
use tailrace_engine::background::backfill::Backfill;
use tailrace_engine::background::{Job, Wait};
use tailrace_engine::{Caller, Db, IndexStatus, Settings, ops};
use tailrace_server::clock::{SystemClock, SystemRng};
use tailrace_store_embedded::{EmbeddedEngine, Options};

const WRITERS: u64 = 64;
const SECONDS_ALONE: u64 = 4;

async fn call(db: &Db, operation: &str, body: String) {
    let answer = ops::execute(db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await;
    answer.unwrap_or_else(|error| panic!("{operation} {body}: {error}"));
}

/// An item of about 100 bytes.
fn item(n: u64, round: u64) -> String {
    let pad = "x".repeat(60);
    format!(r#"{{"pk":{{"S":"{n:010}"}},"a":{{"S":"{}"}},"v":{{"S":"{pad}{round}"}}}}"#, n % 1000)
}

async fn fill(db: &Arc<Db>, items: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let tasks = (0..WRITERS).map(|_| {
        let (db, next) = (Arc::clone(db), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let first = next.fetch_add(25, Ordering::Relaxed);
                if first >= items {
                    return;
                }
                let puts: Vec<String> =
                    (first..first + 25).map(|n| format!(r#"{{"PutRequest":{{"Item":{}}}}}"#, item(n, 0))).collect();
                let body = format!(r#"{{"RequestItems":{{"users":[{}]}}}}"#, puts.join(","));
                call(&db, "BatchWriteItem", body).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a loader does not fail");
    }
}

/// Processor time of this process, from /proc in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    fields.sum::<f64>() / 100.0
}

/// What writers count, and what ends them.
#[derive(Default)]
struct Writing {
    writes: AtomicU64,
    over: AtomicBool,
}

fn write(db: &Arc<Db>, items: u64) -> (Arc<Writing>, Vec<tokio::task::JoinHandle<()>>) {
    let writing = Arc::new(Writing::default());
    let tasks = (0..WRITERS).map(|writer| {
        let (db, writing) = (Arc::clone(db), Arc::clone(&writing));
        tokio::spawn(async move {
            for round in 1u64.. {
                if writing.over.load(Ordering::Relaxed) {
                    return;
                }
                let n = (writer * 7_919 + round).wrapping_mul(0x9E37_79B9) % items;
                call(&db, "PutItem", format!(r#"{{"TableName":"users","Item":{}}}"#, item(n, round))).await;
                writing.writes.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let tasks = tasks.collect();
    (writing, tasks)
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("backfill-bench");
    let items = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(500_000u64);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the directory can be made");
    let clock = Arc::new(SystemClock::default());
    let store = EmbeddedEngine::open(dir.clone(), Options::new(clock.clone(), [7; 16])).expect("the store opens");
    let rng = Arc::new(SystemRng::open().expect("there is randomness"));
    let db = Db::open(store, clock.clone(), rng, Settings::default()).await.expect("the database opens");
    let db = Arc::new(db);
    let table = r#"{"TableName":"users","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}]}"#;
    call(&db, "CreateTable", table.to_owned()).await;
    fill(&db, items).await;
    println!("{items} items");

    let seconds = |from: u64| (clock.monotonic_ns() - from) as f64 / 1e9;
    for with_writers in [false, true] {
        let mut alone = 0.0;
        let mut writers = None;
        if with_writers {
            let (writing, tasks) = write(&db, items);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (before, from) = (writing.writes.load(Ordering::Relaxed), clock.monotonic_ns());
            tokio::time::sleep(Duration::from_secs(SECONDS_ALONE)).await;
            alone = (writing.writes.load(Ordering::Relaxed) - before) as f64 / seconds(from);
            writers = Some((writing, tasks));
        }
        let written = |writers: &Option<(Arc<Writing>, Vec<_>)>| {
            writers.as_ref().map_or(0, |(writing, _)| writing.writes.load(Ordering::Relaxed))
        };
        let name = if with_writers { "second" } else { "first" };
        let create = format!(
            r#"{{"TableName":"users","AttributeDefinitions":[{{"AttributeName":"a","AttributeType":"S"}}],
            "GlobalSecondaryIndexUpdates":[{{"Create":{{"IndexName":"{name}",
            "KeySchema":[{{"AttributeName":"a","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"KEYS_ONLY"}}}}}}]}}"#
        );
        call(&db, "UpdateTable", create).await;
        let (before, from, cpu) = (written(&writers), clock.monotonic_ns(), cpu_seconds());
        let job = Job::new(Arc::clone(&db), Box::new(Backfill::default()));
        while job.run().await == Wait::Next {
            tokio::task::yield_now().await;
        }
        let took = seconds(from);
        let beside = (written(&writers) - before) as f64 / took;
        let table = db.table("users").await.expect("the table is there");
        assert!(table.indexes.iter().all(|index| index.status == IndexStatus::Active), "it is filled");
        let each = (cpu_seconds() - cpu) * 1e6 / items as f64;
        println!("backfill: {:.0} items/s in {took:.2} s, {each:.1} us of processor time an item", items as f64 / took);
        if let Some((writing, tasks)) = writers {
            println!("writers: {alone:.0}/s before, {beside:.0}/s beside it: {:.0} %", 100.0 * beside / alone);
            writing.over.store(true, Ordering::Relaxed);
            for task in tasks {
                task.await.expect("a writer does not fail");
            }
        } else {
            let delete = r#"{"TableName":"users","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"first"}}]}"#;
            call(&db, "UpdateTable", delete.to_owned()).await;
        }
    }
    db.store().shutdown().await.expect("the store closes");
    let _ = std::fs::remove_dir_all(&dir);
}
