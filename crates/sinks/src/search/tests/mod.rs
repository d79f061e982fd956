//! The sink against a search engine of our own that fails at every step. Source: docs/spec/sinks.md 3.3 and 9.

mod documents;
mod fake;
mod indexes;
mod kit;
mod property;
mod rules;
mod signed;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tailrace_core::codec::encode_stored;
use tailrace_core::{EpochMs, Item, Json, RecordNo, ShardNo, StreamArn, ViewType, attribute_json};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};

use super::{Config, Search};
use crate::sink::{Flush, KeyAttribute, KeyKind, Origin, SourceTable};

/// 2016-02-25T13:00:00Z.
pub const TIME: EpochMs = EpochMs(1_456_405_200_000);

/// The table Orders, with the keys `pk` and perhaps `sk` of these types.
pub fn table(pk: &str, sk: Option<&str>) -> SourceTable {
    let attribute = |name: &str, kind: &str| KeyAttribute {
        name: name.to_owned(),
        kind: match kind {
            "S" => KeyKind::S,
            "N" => KeyKind::N,
            _ => KeyKind::B,
        },
    };
    SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new("arn:orders"),
        partition_key: attribute("pk", pk),
        sort_key: sk.map(|kind| attribute("sk", kind)),
        view: ViewType::NewAndOldImages,
    }
}

/// An item, from its DynamoDB JSON.
pub fn item(json: &Value) -> Item {
    attribute_json::read_item(Json::parse(json.to_string().as_bytes()).unwrap()).unwrap()
}

pub fn stored(json: &Value) -> Bytes {
    encode_stored(&item(json)).into()
}

/// A record of the item with this `pk`: `new` are the attributes it has then, besides its key; `None`: it is removed.
pub fn record(number: u64, pk: &str, new: Option<&Value>) -> StreamRecord {
    let keys = json!({"pk": {"S": pk}});
    let kind = if new.is_some() { ChangeKind::Modify } else { ChangeKind::Remove };
    let view = ViewType::NewAndOldImages;
    StreamRecord {
        shard: ShardNo(1),
        number: RecordNo(number),
        time_ms: TIME,
        meta: RecordMeta { kind, view, by_service: false, caller: None, keys: stored(&keys) },
        old: None,
        new: new.map(|new| {
            let mut item = keys.clone();
            item.as_object_mut().unwrap().extend(new.as_object().unwrap().clone());
            stored(&item)
        }),
    }
}

pub fn flush(records: Vec<StreamRecord>) -> Flush {
    Flush {
        sink: "search".into(),
        version: 1,
        source: Arc::new(table("S", None)),
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

/// A configuration for the cluster at `address`, with more members.
pub fn config(address: &str, more: &Value) -> Config {
    let mut config = json!({ "to": format!("opensearch+{address}/orders") });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// The sink of a build, with pauses of nearly nothing.
pub fn sink(config: Config, build: u32) -> Search {
    named("search", config, build)
}

/// The same under another name.
pub fn named(name: &str, config: Config, build: u32) -> Search {
    let mut sink = Search::new(config, name, build, RecordWriter::of_directory("us-east-1", "d")).unwrap();
    Arc::get_mut(&mut sink.0).unwrap().pause = Duration::from_micros(100);
    sink
}
