//! The sink on a database that is played: what it asks, in which order, and what comes of it whatever goes wrong. What the real
//! PostgreSQL makes of the statements is seen in `tests/postgres.rs` of this crate.

mod database;
mod faults;
mod kit;
mod load;
mod merging;
mod redshift;
mod retries;
mod tls;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tailrace_core::codec::encode_stored;
use tailrace_core::{AttributeValue, EpochMs, Item, Number, RecordNo, ShardNo, StreamArn};
use tailrace_delivery::Shard;
use tailrace_engine::ViewType;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};

use super::session::Connector;
use super::{Config, Stage, Warehouse};
use crate::sink::{Flush, KeyAttribute, KeyKind, Origin, SourceTable};

pub fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub fn n(text: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(text).unwrap())
}

pub fn source(label: &str) -> Arc<SourceTable> {
    Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new(format!("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/{label}")),
        partition_key: KeyAttribute { name: "pk".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewAndOldImages,
    })
}

fn record(number: u64, kind: ChangeKind, keys: &Item, new: Option<&Item>) -> StreamRecord {
    StreamRecord {
        shard: ShardNo(1),
        number: RecordNo(number),
        time_ms: EpochMs(1_767_323_045_678),
        meta: RecordMeta {
            kind,
            view: ViewType::NewAndOldImages,
            by_service: false,
            caller: None,
            keys: Bytes::from(encode_stored(keys)),
        },
        old: None,
        new: new.map(|item| Bytes::from(encode_stored(item))),
    }
}

/// A change that leaves the item `pk` with these attributes.
pub fn put(number: u64, pk: &str, attributes: &[(&str, AttributeValue)]) -> StreamRecord {
    let keys: Item = [("pk".to_owned(), s(pk))].into();
    let mut item = keys.clone();
    item.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    record(number, ChangeKind::Modify, &keys, Some(&item))
}

/// A change that removes the item `pk`.
pub fn remove(number: u64, pk: &str) -> StreamRecord {
    record(number, ChangeKind::Remove, &[("pk".to_owned(), s(pk))].into(), None)
}

pub fn flush(records: Vec<StreamRecord>) -> Flush {
    Flush {
        sink: "wh".into(),
        version: 1,
        source: source("2026-01-01T00:00:00.000"),
        shard: Shard { no: ShardNo(1), id: "shardId-00000001767225600000-00000001".into() },
        origin: Origin::Stream,
        epoch: 1,
        taken: None,
        failed_before: 0,
        waits: tailrace_delivery::Waits::default(),
        stopping: tailrace_delivery::Stopping::default(),
        records,
    }
}

pub fn config(settings: Value) -> Config {
    let mut all = json!({"to": "postgres://u@h/d", "table": "orders", "columns": {"total": "total.N numeric(6,2)"}});
    for (name, value) in settings.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

pub fn warehouse(settings: Value, connector: Arc<dyn Connector>, stage: Option<Arc<dyn Stage>>) -> Warehouse {
    let config = config(settings);
    let checked = config.check().unwrap();
    Warehouse::with("wh", config, checked, connector, stage).unwrap()
}
