//! A database over an engine, and a runtime of sinks in small: it reads the shards of a stream, parents before children, and flushes what
//! it reads to views, with whatever bounds a test asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::codec::StoredItem;
use tailrace_core::rng::SeededRng;
use tailrace_core::{Bucket, EpochMs, RecordNo, Service, ShardNo, StreamArn, ViewType};
use tailrace_delivery::Shard;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_sinks::sink::{Flush, Flushed, KeyAttribute, KeyKind, Origin, Sink, SinkError, SourceTable};
use tailrace_sinks::views::{Config, View};
use tailrace_store::keyspace::{DroppedViewKey, ItemKey, KeyKind as RowKind, ViewRowKey, ViewVersion};
use tailrace_store::{BucketRange, Decision, Engine, ModelEngine, PageLimit, Write, commit};

pub const ALL: PageLimit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };

/// A database.
pub struct Bench {
    pub db: Arc<Db>,
    pub store: Arc<dyn Engine>,
}

/// A table whose stream views are computed from.
#[derive(Clone)]
pub struct Source {
    pub source: Arc<SourceTable>,
    stream: tailrace_core::StreamId,
}

/// How far a sink is, by shard: the runtime's checkpoints.
pub type Positions = BTreeMap<ShardNo, RecordNo>;

impl Bench {
    /// One over the model, and the model, so that its power can be cut.
    pub async fn on_the_model(shards: usize) -> (Bench, Arc<ModelEngine>) {
        let store = ModelEngine::new(Arc::new(ManualClock::at(EpochMs(1_700_000_000_000))));
        (Bench::over(store.clone(), shards).await, store)
    }

    /// One over this engine, whose streams have so many shards.
    pub async fn over(store: Arc<dyn Engine>, shards: usize) -> Bench {
        let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
        let settings = Settings { shards_per_stream: shards, ..Settings::default() };
        let db = Db::open(store.clone(), clock, Arc::new(SeededRng::new(1)), settings).await.unwrap();
        Bench { db: Arc::new(db), store }
    }

    /// Calls an operation.
    pub async fn call(&self, operation: &str, body: Value) -> Result<Value, String> {
        let body = body.to_string();
        let answer = ops::execute(&self.db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await;
        answer.map(|answer| serde_json::from_slice(&answer).unwrap_or_default()).map_err(|error| error.to_string())
    }

    /// Calls an operation, and wants an answer.
    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        self.call(operation, body.clone()).await.unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
    }

    /// Makes the table `name` with the key `pk` (S) and both images in its stream.
    pub async fn source(&self, name: &str) -> Source {
        self.ok(
            "CreateTable",
            json!({
                "TableName": name,
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            }),
        )
        .await;
        self.source_of(name).await
    }

    /// The table `name` as a source.
    pub async fn source_of(&self, name: &str) -> Source {
        let table = self.db.table(name).await.unwrap();
        let attribute = |key: &tailrace_core::key::KeyAttribute| KeyAttribute {
            name: key.name.clone(),
            kind: match key.scalar.name() {
                "S" => KeyKind::S,
                "N" => KeyKind::N,
                _ => KeyKind::B,
            },
        };
        let source = Arc::new(SourceTable {
            table: name.to_owned(),
            stream_arn: StreamArn::new(format!("arn:aws:dynamodb:us-east-1:000000000000:table/{name}/stream/x")),
            partition_key: attribute(&table.key.hash),
            sort_key: table.key.range.as_ref().map(attribute),
            view: ViewType::NewAndOldImages,
        });
        Source { source, stream: table.stream.as_ref().unwrap().id }
    }

    pub async fn put(&self, table: &str, item: Value) {
        self.ok("PutItem", json!({"TableName": table, "Item": item})).await;
    }

    pub async fn delete(&self, table: &str, pk: &str) {
        self.ok("DeleteItem", json!({"TableName": table, "Key": {"pk": {"S": pk}}})).await;
    }

    /// A version of a view.
    pub fn view(&self, name: &str, version: u32, config: Value) -> View {
        let config: Config = serde_json::from_value(config).unwrap();
        View::new(config, name, version, self.db.clone()).unwrap()
    }

    /// The items of a table.
    pub async fn items(&self, table: &str) -> Vec<Value> {
        let Ok(table) = self.db.table(table).await else { return Vec::new() };
        let rows = self.store.page(ItemKey::table_range(table.id), ALL).await.unwrap().rows;
        let mut items: Vec<Value> =
            rows.iter().map(|(_, row)| serde_json::to_value(StoredItem::new(row).unwrap()).unwrap()).collect();
        items.sort_by_key(Value::to_string);
        items
    }

    /// How many rows of versions of views there are, and marks of dropped ones.
    pub async fn view_rows(&self) -> (usize, usize) {
        let rows = |range| async { self.store.page(range, ALL).await.unwrap().rows.len() };
        (rows(RowKind::ViewRow.range()).await, rows(DroppedViewKey::range()).await)
    }

    /// The rows of one version.
    pub async fn rows_of(&self, version: u64) -> usize {
        self.store.page(ViewRowKey::range(ViewVersion(version)), ALL).await.unwrap().rows.len()
    }

    /// Seals a shard that is open, and halves it.
    pub async fn split(&self, source: &Source, which: usize) {
        let shards = self.store.shards(source.stream).await.unwrap();
        let open: Vec<_> = shards.iter().filter(|shard| shard.sealed.is_none()).collect();
        let shard = open[which % open.len()];
        let (first, last) = (shard.range.first.0, shard.range.last.0);
        if first == last {
            return;
        }
        let middle = first + (last - first) / 2;
        let half = |first, last| BucketRange { first: Bucket(first), last: Bucket(last) };
        let children = vec![half(first, middle), half(middle + 1, last)];
        let shard = shard.shard;
        let seal = Write::Seal { shard, children };
        commit(self.store.as_ref(), &[], &[], |_| Decision::Apply(vec![seal.clone()], ())).await.unwrap();
    }

    /// The next flush of a shard that may be flushed: at most so many records behind its position. `None`: there is none. `which`: one
    /// of the shards that have something.
    pub async fn next_flush(
        &self,
        sink: &str,
        source: &Source,
        positions: &Positions,
        (which, records_max): (usize, usize),
    ) -> Option<Flush> {
        let shards = self.store.shards(source.stream).await.unwrap();
        let mut done: BTreeMap<ShardNo, bool> = BTreeMap::new();
        let mut ready = Vec::new();
        for shard in &shards {
            let parent_is_done = shard.parent.is_none_or(|parent| done.get(&parent).copied().unwrap_or(true));
            let after = positions.get(&shard.shard).copied().unwrap_or_default();
            let page = self.store.read_log(shard.shard, after, records_max, usize::MAX).await.unwrap();
            done.insert(shard.shard, parent_is_done && page.ended && page.records.is_empty());
            if parent_is_done && !page.records.is_empty() {
                ready.push((shard.clone(), page.records));
            }
        }
        let count = ready.len();
        let (info, records) = ready.into_iter().nth(which % count.max(1))?;
        Some(Flush {
            sink: sink.into(),
            version: 1,
            source: source.source.clone(),
            shard: Shard::of(&info),
            origin: Origin::Stream,
            epoch: 1,
            taken: None,
            failed_before: 0,
            waits: tailrace_delivery::Waits::default(),
            stopping: tailrace_delivery::Stopping::default(),
            records: records.into_iter().map(|record| StreamRecord::read(record).unwrap()).collect(),
        })
    }

    /// Flushes everything that there is, so many records at a time.
    pub async fn catch_up(
        &self,
        view: &View,
        source: &Source,
        positions: &mut Positions,
        records_max: usize,
    ) -> Result<(), SinkError> {
        view.prepare(source.source.clone()).await?;
        while let Some(flush) = self.next_flush("v", source, positions, (0, records_max)).await {
            let (shard, last) = (flush.shard.no, flush.last());
            view.flush(flush).await?;
            positions.insert(shard, last);
        }
        Ok(())
    }

    /// The positions of the ends of all shards, and the items of the source, as records of a snapshot.
    pub async fn snapshot(&self, source: &Source) -> (Positions, Vec<StreamRecord>) {
        let shards = self.store.shards(source.stream).await.unwrap();
        let mut positions = Positions::new();
        for shard in &shards {
            let end = self.store.position(shard.shard, tailrace_store::LogPosition::End).await.unwrap();
            positions.insert(shard.shard, end);
        }
        let table = self.db.table(&source.source.table).await.unwrap();
        let rows = self.store.page(ItemKey::table_range(table.id), ALL).await.unwrap().rows;
        let record = |row: bytes::Bytes| {
            let item = StoredItem::new(&row).unwrap().decode().unwrap();
            let keys = tailrace_core::codec::encode_stored(&table.key.key_of(&item)).into();
            let view = ViewType::NewAndOldImages;
            StreamRecord {
                shard: shards[0].shard,
                number: RecordNo(1),
                time_ms: EpochMs(1),
                meta: RecordMeta { kind: ChangeKind::Insert, view, by_service: false, caller: None, keys },
                old: None,
                new: Some(row),
            }
        };
        (positions, rows.into_iter().map(|(_, row)| record(row)).collect())
    }

    /// A page of a snapshot.
    pub async fn snapshot_flush(&self, source: &Source, page: u64, records: Vec<StreamRecord>) -> Flush {
        let shards = self.store.shards(source.stream).await.unwrap();
        Flush {
            sink: "v".into(),
            version: 1,
            source: source.source.clone(),
            shard: Shard::of(&shards[0]),
            origin: Origin::Snapshot { page, made_by: 1 },
            epoch: 1,
            taken: None,
            failed_before: 0,
            waits: tailrace_delivery::Waits::default(),
            stopping: tailrace_delivery::Stopping::default(),
            records,
        }
    }

    /// Flushes, and wants it taken.
    pub async fn flush(&self, view: &View, flush: Flush) -> Flushed {
        view.flush(flush).await.unwrap()
    }
}
