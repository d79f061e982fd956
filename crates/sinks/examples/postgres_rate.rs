//! How many rows a second the warehouse sink brings into a PostgreSQL.
//!
//! `cargo run --release -p tailrace-sinks --example postgres_rate -- postgres://user@host/database [records]`
//! makes a table `tailrace_rate` there, anew, and prints a line for new items, one for changes of them and one for a change log.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::clock::Clock;
use tailrace_core::codec::encode_stored;
use tailrace_core::{AttributeValue, EpochMs, Item, Number, RecordNo, ShardNo, StreamArn};
use tailrace_delivery::Shard;
use tailrace_engine::ViewType;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_sinks::sink::{Flush, KeyAttribute, KeyKind, Origin, Sink, SourceTable};
use tailrace_sinks::warehouse::Warehouse;
use tokio_postgres::NoTls;

struct Monotonic(std::time::Instant);

impl Monotonic {
    // A measurement has the real clock.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Monotonic {
        Monotonic(std::time::Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> EpochMs {
        EpochMs(self.monotonic().0)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn record(number: u64, item: u64) -> StreamRecord {
    let keys: Item = [("pk".to_owned(), AttributeValue::S(format!("customer-{item:08}")))].into();
    let mut left = keys.clone();
    left.insert("total".to_owned(), AttributeValue::N(Number::from(i64::try_from(number).unwrap_or_default())));
    left.insert("status".to_owned(), AttributeValue::S("SHIPPED".to_owned()));
    left.insert("note".to_owned(), AttributeValue::S("x".repeat(200)));
    StreamRecord {
        shard: ShardNo(1),
        number: RecordNo(number),
        time_ms: EpochMs(1_767_323_045_678),
        meta: RecordMeta {
            kind: ChangeKind::Modify,
            view: ViewType::NewAndOldImages,
            by_service: false,
            keys: Bytes::from(encode_stored(&keys)),
            caller: None,
        },
        old: None,
        new: Some(Bytes::from(encode_stored(&left))),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the address of a PostgreSQL is missing")?;
    let records: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("DROP SCHEMA IF EXISTS tailrace_rate CASCADE; CREATE SCHEMA tailrace_rate").await?;
    let source = Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new(
            "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/2026-01-01T00:00:00.000",
        ),
        partition_key: KeyAttribute { name: "pk".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewAndOldImages,
    });
    let clock = Monotonic::start();
    for (name, mode, first) in
        [("new items", "merge", 1), ("changed items", "merge", records + 1), ("change log", "append", 1)]
    {
        let sink = Warehouse::new(
            "rate",
            serde_json::from_value(serde_json::json!({
                "to": url, "mode": mode, "table": format!("tailrace_rate.{mode}"), "columns": {"total": "total.N numeric"},
            }))?,
            None,
        )?;
        sink.prepare(source.clone()).await?;
        let all: Vec<StreamRecord> = (0..records).map(|index| record(first + index, index)).collect();
        let begin = clock.monotonic_ns();
        for part in all.chunks(sink.bounds().records_max) {
            let flushed = sink.flush(Flush {
                sink: "rate".into(),
                version: 1,
                source: source.clone(),
                shard: Shard { no: ShardNo(1), id: "shardId-00000001767225600000-00000001".into() },
                origin: Origin::Stream,
                epoch: 1,
                taken: None,
                failed_before: 0,
                waits: tailrace_delivery::Waits::default(),
                stopping: tailrace_delivery::Stopping::default(),
                records: part.to_vec(),
            });
            flushed.await?;
        }
        let rate = u128::from(records) * 1_000_000_000 / u128::from(clock.monotonic_ns() - begin);
        println!("{name}: {rate} rows/s");
    }
    Ok(())
}
