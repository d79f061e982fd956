//! The warehouse sink on a real PostgreSQL, at the address in TAILRACE_TEST_POSTGRES: `cargo xtask test` starts one and gives it.
//! Spec: docs/spec/sinks.md 4.2 and 9.

mod faults;
mod proxy;
mod tables;
mod values;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tailrace_core::codec::encode_stored;
use tailrace_core::{AttributeValue, EpochMs, Item, Number, RecordNo, ShardNo, StreamArn};
use tailrace_delivery::Shard;
use tailrace_engine::ViewType;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_sinks::sink::{Flush, KeyAttribute, KeyKind, Origin, Sink, SinkError, SourceTable};
use tailrace_sinks::warehouse::Warehouse;

pub const LABEL: &str = "2026-01-01T00:00:00.000";

/// The server's address.
pub fn url() -> String {
    std::env::var("TAILRACE_TEST_POSTGRES")
        .expect("TAILRACE_TEST_POSTGRES is the address of a PostgreSQL for tests; `cargo xtask test` starts one")
}

/// A schema of a test's own, emptied, and a client that looks into it.
pub struct Place {
    pub schema: String,
    pub client: tokio_postgres::Client,
}

impl Place {
    pub async fn new(schema: &str) -> Place {
        let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")).await.unwrap();
        client.batch_execute(&format!("SET search_path = {schema}")).await.unwrap();
        Place { schema: schema.to_owned(), client }
    }

    pub fn sink(&self, settings: Value) -> Warehouse {
        self.sink_at(&url(), settings)
    }

    pub fn sink_at(&self, url: &str, settings: Value) -> Warehouse {
        let mut all = json!({"to": url, "table": format!("{}.orders", self.schema)});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        Warehouse::new("wh", serde_json::from_value(all).unwrap(), None).unwrap()
    }

    /// Every row of a query, its fields as text with bars between.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let messages = self.client.simple_query(sql).await.unwrap();
        let row = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                let fields: Vec<String> =
                    (0..row.len()).map(|column| row.get(column).unwrap_or("NULL").to_owned()).collect();
                Some(fields.join("|"))
            }
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    pub async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }
}

pub fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub fn n(text: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(text).unwrap())
}

pub fn source_of(partition_key: KeyKind, sort_key: Option<KeyKind>) -> Arc<SourceTable> {
    let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
    Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new(format!("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/{LABEL}")),
        partition_key: attribute("pk", partition_key),
        sort_key: sort_key.map(|kind| attribute("sk", kind)),
        view: ViewType::NewAndOldImages,
    })
}

pub fn source() -> Arc<SourceTable> {
    source_of(KeyKind::S, None)
}

/// A change of an item with this key, which leaves it with the key and these attributes; `None`: which removes it.
pub fn change(number: u64, keys: &[(&str, AttributeValue)], left: Option<&[(&str, AttributeValue)]>) -> StreamRecord {
    let item_of = |attributes: &[(&str, AttributeValue)]| -> Item {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let keys = item_of(keys);
    let new = left.map(|attributes| {
        let mut item = keys.clone();
        item.extend(item_of(attributes));
        Bytes::from(encode_stored(&item))
    });
    StreamRecord {
        shard: ShardNo(1),
        number: RecordNo(number),
        time_ms: EpochMs(1_767_323_045_000 + number),
        meta: RecordMeta {
            kind: if new.is_some() { ChangeKind::Modify } else { ChangeKind::Remove },
            view: ViewType::NewAndOldImages,
            by_service: false,
            caller: None,
            keys: Bytes::from(encode_stored(&keys)),
        },
        old: None,
        new,
    }
}

pub fn put(number: u64, pk: &str, attributes: &[(&str, AttributeValue)]) -> StreamRecord {
    change(number, &[("pk", s(pk))], Some(attributes))
}

pub fn remove(number: u64, pk: &str) -> StreamRecord {
    change(number, &[("pk", s(pk))], None)
}

pub fn flush(records: Vec<StreamRecord>) -> Flush {
    Flush {
        sink: "wh".into(),
        version: 1,
        source: source(),
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

/// Brings a flush: the records that were rejected.
pub async fn bring(sink: &Warehouse, flush: Flush) -> Result<Vec<(usize, String)>, SinkError> {
    let flushed = sink.flush(flush).await?;
    Ok(flushed.rejected.into_iter().map(|rejected| (rejected.index, rejected.error)).collect())
}
