//! The sink against receivers of our own that fail at every step. Source: docs/spec/sinks.md 1 and 9.

mod digests;
mod kit;
mod mails;
mod queues;
pub mod receiver;
mod settings;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::codec::encode_stored;
use tailrace_core::{EpochMs, Json, RecordNo, ShardNo, StreamArn, ViewType, attribute_json};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};

use super::{Config, Notify};
use crate::sink::{Flush, KeyAttribute, KeyKind, Origin, SourceTable};

/// 2016-02-25T13:00:00Z.
pub const TIME: EpochMs = EpochMs(1_456_405_200_000);

pub fn stored(item: &Value) -> Bytes {
    let item = Json::parse(item.to_string().as_bytes()).unwrap();
    encode_stored(&attribute_json::read_item(item).unwrap()).into()
}

/// A change of the order `id`; without `new` it is removed.
pub fn record(number: u64, id: &str, new: Option<Value>) -> StreamRecord {
    let keys = json!({"id": {"S": id}});
    let with_id = |item: Value| {
        let mut item = item;
        item["id"] = keys["id"].clone();
        stored(&item)
    };
    StreamRecord {
        shard: ShardNo(1),
        number: RecordNo(number),
        time_ms: EpochMs(TIME.0 + number),
        meta: RecordMeta {
            kind: if new.is_some() { ChangeKind::Insert } else { ChangeKind::Remove },
            view: ViewType::NewAndOldImages,
            by_service: false,
            caller: None,
            keys: stored(&keys),
        },
        old: if new.is_some() { None } else { Some(with_id(json!({}))) },
        new: new.map(with_id),
    }
}

/// So many orders, each of another key.
pub fn orders(count: u64) -> Vec<StreamRecord> {
    (1..=count)
        .map(|number| record(number, &format!("o{number}"), Some(json!({"v": {"N": number.to_string()}}))))
        .collect()
}

pub fn flush(records: Vec<StreamRecord>) -> Flush {
    let source = SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new("arn:orders"),
        partition_key: KeyAttribute { name: "id".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewAndOldImages,
    };
    Flush {
        sink: "ping".into(),
        version: 1,
        source: Arc::new(source),
        shard: Shard { no: ShardNo(1), id: "shardId-1".into() },
        origin: Origin::Stream,
        epoch: 1,
        taken: None,
        failed_before: 0,
        waits: tailrace_delivery::Waits::default(),
        stopping: tailrace_delivery::Stopping::default(),
        records,
    }
}

pub fn config(to: &str, more: &Value) -> Config {
    let mut config = json!({ "to": to });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

pub fn writer() -> RecordWriter {
    RecordWriter::of_directory("us-east-1", "d")
}

pub fn id_of(record: &StreamRecord) -> String {
    writer().event_id(record).to_string()
}

/// The sink, which waits for nearly nothing, and its clock, which stands still.
pub fn sink(to: &str, more: &Value) -> (Notify, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(EpochMs(TIME.0 + 60_000)));
    let mut sink = Notify::new(&config(to, more), writer(), clock.clone()).unwrap();
    Arc::get_mut(&mut sink.0).unwrap().wait_max = Duration::from_millis(10);
    (sink, clock)
}
