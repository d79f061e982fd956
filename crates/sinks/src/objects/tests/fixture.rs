//! Records, flushes and places.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::codec::encode_stored;
use tailrace_core::{EpochMs, Json, RecordNo, ShardNo, StreamArn, ViewType};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};

use super::fake_s3::FakeS3;
use crate::objects::store::{Destination, ObjectWriter};
use crate::objects::{Config, ObjectSink, S3Config};
use crate::sink::{Flush, KeyAttribute, KeyKind, Origin, SourceTable};

/// 27 August 2018, 10:30:05.678 UTC.
pub const AUGUST: EpochMs = EpochMs(1_535_365_805_678);

/// A stored item of its wire JSON.
pub fn stored(item: &Value) -> Bytes {
    let item = Json::parse(item.to_string().as_bytes()).unwrap();
    encode_stored(&tailrace_core::attribute_json::read_item(item).unwrap()).into()
}

/// A change of the item with this id.
pub fn change(number: u64, id: &str, old: Option<Value>, new: Option<Value>) -> StreamRecord {
    let with_id = |mut item: Value| {
        item["id"] = json!({"S": id});
        stored(&item)
    };
    let kind = match (&old, &new) {
        (None, _) => ChangeKind::Insert,
        (_, Some(_)) => ChangeKind::Modify,
        (_, None) => ChangeKind::Remove,
    };
    let keys = stored(&json!({"id": {"S": id}}));
    StreamRecord {
        shard: ShardNo(7),
        number: RecordNo(number),
        time_ms: EpochMs(AUGUST.0 + number),
        meta: RecordMeta { kind, view: ViewType::NewAndOldImages, by_service: false, caller: None, keys },
        old: old.map(with_id),
        new: new.map(with_id),
    }
}

pub fn source() -> Arc<SourceTable> {
    Arc::new(SourceTable {
        table: "Orders".to_owned(),
        stream_arn: StreamArn::new(
            "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/2018-08-27T10:00:00.000",
        ),
        partition_key: KeyAttribute { name: "id".to_owned(), kind: KeyKind::S },
        sort_key: None,
        view: ViewType::NewAndOldImages,
    })
}

pub fn flush(records: Vec<StreamRecord>) -> Flush {
    Flush {
        sink: "lake".into(),
        version: 1,
        source: source(),
        shard: Shard { no: ShardNo(7), id: "shardId-00000001535365800000-00000007".into() },
        origin: Origin::Stream,
        epoch: 1,
        taken: None,
        failed_before: 0,
        waits: tailrace_delivery::Waits::default(),
        stopping: tailrace_delivery::Stopping::default(),
        records,
    }
}

pub fn records() -> RecordWriter {
    RecordWriter::of_directory("us-east-1", "test")
}

/// A sink of these settings.
pub fn sink(config: Value) -> ObjectSink {
    let config: Config = serde_json::from_value(config).unwrap();
    ObjectSink::new(&config, records(), Arc::new(ManualClock::at(AUGUST))).unwrap()
}

/// A place, and what holds it open.
pub enum Place {
    Directory(tempfile::TempDir),
    S3(FakeS3),
}

impl Place {
    pub async fn both() -> [Place; 2] {
        [Place::Directory(tempfile::tempdir().unwrap()), Place::S3(FakeS3::start().await)]
    }

    pub fn to(&self) -> String {
        match self {
            Place::Directory(directory) => directory.path().join("lake").display().to_string(),
            Place::S3(_) => "s3://bucket/lake/".to_owned(),
        }
    }

    /// The settings of a sink that writes here.
    pub fn settings(&self, more: Value) -> Value {
        let mut settings = json!({"to": self.to()});
        if let Place::S3(fake) = self {
            settings["s3"] = fake.settings();
        }
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    }

    pub fn writer(&self) -> ObjectWriter {
        let s3: S3Config = match self {
            Place::Directory(_) => S3Config::default(),
            Place::S3(fake) => serde_json::from_value(fake.settings()).unwrap(),
        };
        ObjectWriter::new(&Destination::parse(&self.to()).unwrap(), &s3).unwrap()
    }

    /// All objects.
    pub async fn objects(&self) -> Vec<(String, Bytes)> {
        let writer = self.writer();
        let mut objects = Vec::new();
        for listed in writer.list("", None, 10_000).await.unwrap() {
            let stored = writer.get(&listed.key).await.unwrap().unwrap();
            assert_eq!(stored.body.len() as u64, listed.bytes);
            objects.push((listed.key, stored.body));
        }
        objects
    }
}
