//! How much of a cluster's rate the search sink reaches: the same documents by a plain client's bulks, whose bodies are made
//! beforehand, and by the sink, in turns.
//!
//!     cargo run --release -p tailrace-sinks --example search_rate -- http://127.0.0.1:9200 200000

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tailrace_core::codec::encode_stored;
use tailrace_core::{AttributeValue, EpochMs, Item, Number, RecordNo, ShardNo, StreamArn, ViewType};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_sinks::search::{Config, Search};
use tailrace_sinks::sink::{Flush, KeyAttribute, KeyKind, Origin, Sink, SourceTable};

/// Documents of a bulk.
const BULK: u64 = 500;

/// How often the two take turns.
const ROUNDS: u64 = 3;

type Anything = Box<dyn Error + Send + Sync>;

fn item(number: u64) -> Result<Item, Anything> {
    let text = |value: String| AttributeValue::S(value);
    let count = |value: u64| Number::parse(&value.to_string()).map(AttributeValue::N);
    Ok(Item::from([
        ("pk".to_owned(), text(format!("order-{number:08}"))),
        ("customer".to_owned(), text(format!("customer-{}", number % 1_000))),
        ("note".to_owned(), text("a note of some words, as people write them with an order".to_owned())),
        ("total".to_owned(), count(number * 37 % 10_000)?),
        ("lines".to_owned(), AttributeValue::L(vec![count(number % 7)?, count(number % 11)?])),
    ]))
}

fn record(number: u64) -> Result<StreamRecord, Anything> {
    let item = item(number)?;
    let keys: Item = item.iter().filter(|(name, _)| *name == "pk").map(|(n, v)| (n.clone(), v.clone())).collect();
    let view = ViewType::NewImage;
    Ok(StreamRecord {
        shard: ShardNo(1),
        number: RecordNo(number + 1),
        time_ms: EpochMs(1_700_000_000_000),
        meta: RecordMeta {
            kind: ChangeKind::Insert,
            view,
            by_service: false,
            caller: None,
            keys: encode_stored(&keys).into(),
        },
        old: None,
        new: Some(encode_stored(&item).into()),
    })
}

/// The body of a bulk as a plain client sends it.
fn body(first: u64, last: u64) -> String {
    let document = |number: u64| {
        let action = json!({"index": {"_id": format!("order-{number:08}")}});
        let document = json!({
            "pk": format!("order-{number:08}"), "customer": format!("customer-{}", number % 1_000),
            "note": "a note of some words, as people write them with an order", "total": number * 37 % 10_000,
            "lines": [number % 7, number % 11],
        });
        format!("{action}\n{document}\n")
    };
    (first..last).map(document).collect()
}

#[allow(clippy::disallowed_methods, reason = "a measurement is of real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let mut arguments = std::env::args().skip(1);
    let (Some(cluster), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("search_rate CLUSTER DOCUMENTS".into());
    };
    let count: u64 = count.parse()?;
    let source = Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new("arn:orders"),
        partition_key: KeyAttribute { name: "pk".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewImage,
    });
    let starts = || (0..count).step_by(BULK as usize);
    let bodies: Vec<String> = starts().map(|first| body(first, (first + BULK).min(count))).collect();
    let mut flushes = Vec::new();
    for first in starts() {
        flushes.push((first..(first + BULK).min(count)).map(record).collect::<Result<Vec<_>, _>>()?);
    }
    let mut totals = [Duration::ZERO; 2];
    for round in 0..ROUNDS {
        let index = format!("rate-{round}");
        let config: Config = serde_json::from_value(json!({
            "to": format!("opensearch+{cluster}/{index}-sink"), "alias": false, "flush": {"records": BULK},
            "settings": {"index": {"number_of_replicas": 0}},
        }))?;
        let sink = Search::new(config, "rate", 1, RecordWriter::of_directory("us-east-1", "rate"))?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        for name in [format!("{index}-plain"), format!("{index}-sink")] {
            http.delete(format!("{cluster}/{name}")).send().await?;
        }
        let settings = json!({"settings": {"index": {"number_of_replicas": 0}}}).to_string();
        let make =
            http.put(format!("{cluster}/{index}-plain")).header("content-type", "application/json").body(settings);
        make.send().await?.error_for_status()?;
        sink.prepare(source.clone()).await?;
        let mut turns = [0, 1];
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            let begin = now();
            if turn == 0 {
                for body in &bodies {
                    let request = http.post(format!("{cluster}/{index}-plain/_bulk"));
                    let answer =
                        request.header("content-type", "application/x-ndjson").body(body.clone()).send().await?;
                    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
                    if answer["errors"] != false {
                        return Err("the plain client's bulk failed".into());
                    }
                }
            } else {
                for records in &flushes {
                    let flush = Flush {
                        sink: "rate".into(),
                        version: 1,
                        source: source.clone(),
                        shard: Shard { no: ShardNo(1), id: "shardId-1".into() },
                        origin: Origin::Stream,
                        epoch: 1,
                        taken: None,
                        failed_before: 0,
                        waits: tailrace_delivery::Waits::default(),
                        stopping: tailrace_delivery::Stopping::default(),
                        records: records.clone(),
                    };
                    if !sink.flush(flush).await?.rejected.is_empty() {
                        return Err("the sink's documents were rejected".into());
                    }
                }
            }
            totals[turn] += begin.elapsed();
        }
        for name in [format!("{index}-plain"), format!("{index}-sink")] {
            http.post(format!("{cluster}/{name}/_refresh")).send().await?;
            let told = http.get(format!("{cluster}/{name}/_count")).send().await?.bytes().await?;
            let told: serde_json::Value = serde_json::from_slice(&told)?;
            if told["count"] != count {
                return Err(format!("{name} has {} documents", told["count"]).into());
            }
            http.delete(format!("{cluster}/{name}")).send().await?;
        }
    }
    let rate = |total: Duration| (ROUNDS * count) as f64 / total.as_secs_f64();
    let [plain, sink] = totals.map(rate);
    println!("plain {plain:.0}/s, sink {sink:.0}/s: {:.2} of it", sink / plain);
    Ok(())
}
