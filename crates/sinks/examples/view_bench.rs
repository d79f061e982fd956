//! Records per second that a view of 1,000 groups takes, without the reading of the log: changes of items of about 300 bytes with both
//! images, in flushes of the view's own bounds, of four shards at the same time.
//!
//!     cargo run --release -p tailrace-sinks --example view_bench -- DIR [SECONDS]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tailrace_core::attribute_json::read_item;
use tailrace_core::clock::Clock;
use tailrace_core::codec::encode_stored;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, Json, RecordNo, ShardNo, StreamArn, ViewType};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_engine::{Db, Settings};
use tailrace_sinks::sink::{Flush, KeyAttribute, KeyKind, Origin, Sink, SourceTable};
use tailrace_sinks::views::{Config, View};
use tailrace_store_embedded::{EmbeddedEngine, Options};

const SHARDS: u64 = 4;
const GROUPS: u64 = 1000;
const ITEMS: u64 = 100_000;

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

struct WallClock(std::time::Instant);

impl Clock for WallClock {
    fn now(&self) -> EpochMs {
        EpochMs(1_800_000_000_000 + self.0.elapsed().as_millis() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

fn stored(item: Value) -> Bytes {
    let json = Json::parse(item.to_string().as_bytes()).expect("it is JSON");
    encode_stored(&read_item(json).expect("it is an item")).into()
}

/// The item `n` after its `round`th change.
fn item(n: u64, round: u64) -> Bytes {
    let group = (n.wrapping_mul(0x9E37_79B9) + round) % GROUPS;
    stored(json!({
        "pk": {"S": format!("order-{n:08}")}, "status": {"S": "SHIPPED"}, "shippedDay": {"S": format!("day-{group:04}")},
        "amount": {"N": format!("{}.{:02}", n % 1000, round % 100)}, "note": {"S": "x".repeat(200)},
    }))
}

fn flush(source: &Arc<SourceTable>, shard: u64, records_max: u64, round: u64) -> Flush {
    let own = ITEMS / SHARDS;
    let records = (0..records_max).map(|at| {
        let change = round * records_max + at;
        let (n, changes) = (shard * own + change % own, change / own);
        let meta = RecordMeta {
            kind: if changes == 0 { ChangeKind::Insert } else { ChangeKind::Modify },
            view: ViewType::NewAndOldImages,
            by_service: false,
            caller: None,
            keys: stored(json!({"pk": {"S": format!("order-{n:08}")}})),
        };
        let old = (changes > 0).then(|| item(n, changes - 1));
        let (number, new) = (RecordNo(1 + change), Some(item(n, changes)));
        StreamRecord { shard: ShardNo(shard + 1), number, time_ms: EpochMs(1), meta, old, new }
    });
    Flush {
        sink: "daily".into(),
        version: 1,
        source: source.clone(),
        shard: Shard { no: ShardNo(shard + 1), id: format!("shardId-{shard}").into() },
        origin: Origin::Stream,
        epoch: 1,
        taken: None,
        failed_before: 0,
        waits: tailrace_delivery::Waits::default(),
        stopping: tailrace_delivery::Stopping::default(),
        records: records.collect(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("view-bench");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5u64).max(1);
    for (what, aggregates) in [
        ("count, sum, avg", json!({"orders": "count", "total": "sum(amount)", "mean": "avg(amount)"})),
        (
            "count, sum, min, max, top",
            json!({"orders": "count", "total": "sum(amount)", "least": "min(amount)", "most": "max(amount)", "best": "top(10, amount)"}),
        ),
        ("count distinct", json!({"kinds": "count(distinct amount)"})),
    ] {
        let _ = std::fs::remove_dir_all(&base);
        let clock = Arc::new(WallClock(now()));
        let store = EmbeddedEngine::open(&base, Options::new(clock.clone(), [7; 16]))?;
        let db = Arc::new(Db::open(store.clone(), clock, Arc::new(SeededRng::new(1)), Settings::default()).await?);
        let config = json!({"to": "table:Daily", "where": {"status": ["SHIPPED"]}, "group_by": ["shippedDay"], "aggregates": aggregates});
        let config: Config = serde_json::from_value(config)?;
        let view = View::new(config, "daily", 1, db)?;
        let source = Arc::new(SourceTable {
            table: "Orders".to_owned(),
            stream_arn: StreamArn::new("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/x"),
            partition_key: KeyAttribute { name: "pk".to_owned(), kind: KeyKind::S },
            sort_key: None,
            view: ViewType::NewAndOldImages,
        });
        view.prepare(source.clone()).await?;
        let records_max = view.bounds().records_max as u64;
        let (mut records, mut spent, mut round) = (0, Duration::ZERO, 0);
        while spent < Duration::from_secs(seconds) {
            let flushes: Vec<Flush> = (0..SHARDS).map(|shard| flush(&source, shard, records_max, round)).collect();
            let begun = now();
            let tasks: Vec<_> = flushes.into_iter().map(|flush| tokio::spawn(view.flush(flush))).collect();
            for task in tasks {
                task.await??;
            }
            spent += begun.elapsed();
            records += SHARDS * records_max;
            round += 1;
        }
        println!("{what}: {:.0} records/s", records as f64 / spent.as_secs_f64());
        use tailrace_store::Engine;
        store.shutdown().await?;
    }
    std::fs::remove_dir_all(&base)?;
    Ok(())
}
