//! How many records a second an object sink takes: `object_rate DIR RECORDS [SETTINGS]`, where SETTINGS is a JSON object of the
//! sink's settings beside its destination; without it, several are measured. One shard, one flush at a time, as it is delivered.
//! What it writes can be read by anything that reads such files.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::codec::encode_stored;
use tailrace_core::{EpochMs, Json, RecordNo, ShardNo, StreamArn, ViewType};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_sinks::objects::{Config, ObjectSink};
use tailrace_sinks::sink::{Flush, KeyAttribute, KeyKind, Origin, Sink, SourceTable};

const START: EpochMs = EpochMs(1_795_933_244_000);

fn stored(item: &Value) -> Result<bytes::Bytes, Box<dyn Error>> {
    let item = Json::parse(item.to_string().as_bytes())?;
    let item = tailrace_core::attribute_json::read_item(item).map_err(|error| error.current)?;
    Ok(encode_stored(&item).into())
}

/// An order: nine attributes, some 300 bytes.
fn order(number: u64, status: &str) -> Value {
    json!({
        "id": {"S": format!("order-{number:09}")}, "customer": {"S": format!("customer-{}", number % 1000)},
        "status": {"S": status}, "total": {"N": format!("{}.{:02}", number % 500, number % 100)},
        "currency": {"S": "EUR"}, "paid": {"BOOL": number.is_multiple_of(2)}, "note": {"S": "leave it at the door, please"},
        "lines": {"L": [{"M": {"sku": {"S": format!("sku-{}", number % 77)}, "count": {"N": "2"}}}]},
        "address": {"M": {"city": {"S": "Lisbon"}, "street": {"S": "Rua Augusta 1"}}},
    })
}

fn record(number: u64) -> Result<StreamRecord, Box<dyn Error>> {
    let (new, old) = (stored(&order(number, "SHIPPED"))?, stored(&order(number, "PLACED"))?);
    let keys = stored(&json!({"id": {"S": format!("order-{number:09}")}}))?;
    let meta =
        RecordMeta { kind: ChangeKind::Modify, view: ViewType::NewAndOldImages, by_service: false, caller: None, keys };
    let time_ms = EpochMs(START.0 + number / 100);
    Ok(StreamRecord { shard: ShardNo(7), number: RecordNo(number + 1), time_ms, meta, old: Some(old), new: Some(new) })
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
async fn measure(directory: &str, records: &[StreamRecord], settings: &Value) -> Result<(), Box<dyn Error>> {
    let mut config = settings.clone();
    config["to"] = json!(directory);
    let config: Config = serde_json::from_value(config)?;
    let clock = Arc::new(ManualClock::at(START));
    let sink = ObjectSink::new(&config, RecordWriter::of_directory("us-east-1", "rate"), clock)?;
    let source = Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new(
            "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/2026-11-29T00:00:00.000",
        ),
        partition_key: KeyAttribute { name: "id".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewAndOldImages,
    });
    let bounds = sink.bounds();
    let (mut rest, mut bytes, mut flushes) = (records, 0, 0);
    let started = Instant::now();
    while !rest.is_empty() {
        let (mut count, mut size) = (0, 0);
        while count < rest.len().min(bounds.records_max) && size < bounds.bytes_max {
            size += sink.size(&rest[count])?;
            count += 1;
        }
        let flush = Flush {
            sink: "rate".into(),
            version: 1,
            source: Arc::clone(&source),
            shard: Shard { no: ShardNo(7), id: "shardId-00000001795933244000-00000007".into() },
            origin: Origin::Stream,
            epoch: 1,
            taken: None,
            failed_before: 0,
            waits: tailrace_delivery::Waits::default(),
            stopping: tailrace_delivery::Stopping::default(),
            records: rest[..count].to_vec(),
        };
        bytes += sink.flush(flush).await?.bytes;
        flushes += 1;
        rest = &rest[count..];
    }
    let seconds = started.elapsed().as_secs_f64();
    let (rate, megabytes) = (records.len() as f64 / seconds, bytes as f64 / 1e6);
    println!("{rate:>9.0} records/s {megabytes:>8.1} MB {flushes:>4} flushes  {settings}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("object_rate DIR RECORDS [SETTINGS]")?;
    let count: u64 = arguments.next().ok_or("object_rate DIR RECORDS [SETTINGS]")?.parse()?;
    let settings = match arguments.next() {
        Some(settings) => vec![serde_json::from_str(&settings)?],
        None => vec![
            json!({"format": "json", "partition_by": "json/"}),
            json!({"format": "json", "partition_by": "plain/", "values": "plain"}),
            json!({"format": "json", "partition_by": "gzip/", "compression": "gzip"}),
            json!({"format": "json", "partition_by": "zstd/", "compression": "zstd"}),
            json!({"format": "csv", "partition_by": "csv/"}),
            json!({"format": "parquet", "partition_by": "parquet/"}),
            json!({
                "format": "parquet", "partition_by": "columns/", "values": "plain",
                "columns": {"total": "total.N decimal(12,2)", "status": "status.S", "city": "address.city.S", "paid": "paid.BOOL"},
            }),
            json!({
                "format": "json", "partition_by": "parts/c=!{partitionKeyFromQuery:c}/",
                "partition_keys": {"c": ".dynamodb.NewImage.customer.S | hash-mod(32)"}, "manifest": true,
            }),
        ],
    };
    let records = (0..count).map(record).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for settings in settings {
        runtime.block_on(measure(&directory, &records, &settings))?;
    }
    Ok(())
}
