//! A table's figures, and what depends on them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::{IndexId, RecordNo};
use tailrace_store::keyspace::{ItemCountKey, ItemSet, KeyKind, StreamKey, TableId};
use tailrace_store::{
    CommitReceipt, CommitRequest, Decision, Engine, InFront, Key, KeyRange, PageLimit, Reads, ShardInfo, ShardNo,
    Stand, StoreError, StreamId, Tally, Write, commit,
};

use tokio::sync::Notify;

use super::indexes::index;
use super::*;

/// The in-memory engine, in whose way something can be put.
pub(super) struct Watched {
    inner: Arc<ModelEngine>,
    counts_fail: AtomicBool,
    tallies_fail: AtomicBool,
    /// The bodies of commits run twice, as where there was no room at first.
    runs_twice: AtomicBool,
    /// Commits find no room.
    pub(super) full: AtomicBool,
    /// Commits that found none.
    pub(super) refused: AtomicUsize,
    /// What a commit has just opened does not show yet.
    shards_late: AtomicBool,
    /// Reads of several rows by their keys wait: for what happens between the two reads of an index that is fetched for.
    pub(super) holds_fetches: AtomicBool,
    /// Such a read has come.
    pub(super) fetch_came: Notify,
    /// It may go on.
    pub(super) fetch_goes: Notify,
    /// The stream whose shards and descriptor cannot be changed.
    pub(super) stuck: parking_lot::Mutex<Option<StreamId>>,
}

impl Watched {
    fn is_stuck(&self, keys: &[Key]) -> bool {
        self.stuck.lock().is_some_and(|stream| keys.contains(&StreamKey { stream }.encode()))
    }
}

fn no_answer() -> StoreError {
    StoreError::Io("the disk does not answer".to_owned())
}

impl Stand for Watched {
    fn behind(&self) -> &dyn Engine {
        self.inner.as_ref()
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<bytes::Bytes>>, StoreError>> {
        let is_count = |key: &Key| KeyKind::of(key.as_bytes()) == Some(KeyKind::ItemCount);
        if keys.len() > 1 && self.holds_fetches.swap(false, Ordering::Relaxed) {
            self.fetch_came.notify_one();
            return self.fetch_goes.notified().then(|()| self.inner.get(keys)).boxed();
        }
        match self.counts_fail.load(Ordering::Relaxed) && keys.iter().any(is_count) {
            true => std::future::ready(Err(no_answer())).boxed(),
            false => self.inner.get(keys),
        }
    }

    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>> {
        match self.tallies_fail.load(Ordering::Relaxed) {
            true => std::future::ready(Err(no_answer())).boxed(),
            false => self.inner.tally(range, size, key),
        }
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        if self.full.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return std::future::ready(Err(full())).boxed();
        }
        if self.is_stuck(request.declared.exclusive) {
            return std::future::ready(Err(no_answer())).boxed();
        }
        if !self.runs_twice.load(Ordering::Relaxed) {
            return self.inner.commit(request);
        }
        let CommitRequest { declared, mut body } = request;
        let twice = Box::new(move |reads: &Reads<'_>| {
            body(reads);
            body(reads)
        });
        self.inner.commit(CommitRequest { declared, body: twice })
    }

    fn refuses_commits(&self) -> Option<StoreError> {
        self.full.load(Ordering::Relaxed).then(full)
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        match self.shards_late.load(Ordering::Relaxed) {
            true => std::future::ready(Ok(Vec::new())).boxed(),
            false => self.inner.shards(stream),
        }
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let stuck = *self.stuck.lock();
            if let Some(stream) = stuck
                && self.inner.shards(stream).await?.iter().any(|info| info.shard == shard)
            {
                return Err(no_answer());
            }
            self.inner.trim(shard, horizon).await
        }
        .boxed()
    }
}

fn full() -> StoreError {
    StoreError::Full("the disk".to_owned())
}

pub(super) async fn watched() -> (Bench, Arc<InFront<Watched>>) {
    watched_with(Settings::default()).await
}

pub(super) async fn watched_with(settings: Settings) -> (Bench, Arc<InFront<Watched>>) {
    let mut bench = Bench::new().await;
    let inner = bench.store.clone();
    let watched = Arc::new(InFront(Watched {
        inner,
        counts_fail: AtomicBool::new(false),
        tallies_fail: AtomicBool::new(false),
        runs_twice: AtomicBool::new(false),
        full: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
        shards_late: AtomicBool::new(false),
        holds_fetches: AtomicBool::new(false),
        fetch_came: Notify::new(),
        fetch_goes: Notify::new(),
        stuck: parking_lot::Mutex::default(),
    }));
    let rng = Arc::new(SeededRng::new(2));
    bench.db = Db::open(watched.clone(), bench.clock.clone(), rng, settings).await.unwrap();
    (bench, watched)
}

/// docs/spec/dynamodb-api.md 2.2: the figures are live.
#[tokio::test]
async fn every_change_of_an_item_is_in_the_figures_at_once_and_a_deleted_table_takes_its_count_along() {
    let bench = Bench::new().await;
    for round in 0..2 {
        bench.create("users", None).await;
        let (mut items, mut bytes) = (0, 0);
        for (operation, members, rows, grown) in [
            ("PutItem", json!({"Item": {"pk": {"S": "a"}, "v": {"S": "12345"}}}), 1, 3 + 6),
            ("PutItem", json!({"Item": {"pk": {"S": "b"}}}), 1, 3),
            // The same again, and a condition that does not hold.
            ("PutItem", json!({"Item": {"pk": {"S": "b"}}}), 0, 0),
            ("DeleteItem", json!({"Key": {"pk": {"S": "c"}}}), 0, 0),
            (
                "UpdateItem",
                json!({
                    "Key": {"pk": {"S": "a"}},
                    "UpdateExpression": "SET v = :v",
                    "ExpressionAttributeValues": {":v": {"S": "1"}},
                }),
                0,
                -4,
            ),
            ("UpdateItem", json!({"Key": {"pk": {"S": "d"}}}), 1, 3),
            ("DeleteItem", json!({"Key": {"pk": {"S": "a"}}}), -1, -5),
        ] {
            bench.ok(operation, with(json!({"TableName": "users"}), members)).await;
            (items, bytes) = (items + rows, bytes + grown);
            let table = bench.describe("users").await;
            assert_eq!((&table["ItemCount"], &table["TableSizeBytes"]), (&json!(items), &json!(bytes)), "{operation}");
        }
        let puts: Vec<Value> =
            (0..20).map(|n| json!({"PutRequest": {"Item": {"pk": {"S": format!("{n:02}")}}}})).collect();
        bench.ok("BatchWriteItem", json!({"RequestItems": {"users": puts}})).await;
        let deleted = bench.ok("DeleteTable", json!({"TableName": "users"})).await["TableDescription"].clone();
        assert_eq!((&deleted["ItemCount"], &deleted["TableSizeBytes"]), (&json!(items + 20), &json!(bytes + 20 * 4)));
        let counts = ItemCountKey::with_indexes(TableId(round + 1));
        let all = PageLimit { rows_max: 9, cost_max: 9, cost: |_, _| 1 };
        assert!(bench.store.page(counts, all).await.unwrap().rows.is_empty());
    }
}

#[tokio::test]
async fn a_count_that_cannot_be_read_is_counted_anew_and_holds_up_no_write() {
    let bench = Bench::new().await;
    let by_v = json!([index("by-v", &["h:v"])]);
    let body = with(
        on_demand("users"),
        json!({"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "v", "AttributeType": "N"}], "GlobalSecondaryIndexes": by_v}),
    );
    bench.ok("CreateTable", body).await;
    for pk in ["a", "b"] {
        bench.put("users", pk, 1).await;
    }
    let figures = async || {
        let table = bench.describe("users").await;
        let index = &table["GlobalSecondaryIndexes"][0];
        [&table["ItemCount"], &table["TableSizeBytes"], &index["ItemCount"], &index["IndexSizeBytes"]].map(Value::clone)
    };
    let before = figures().await;
    for index in [0, 1] {
        let set = ItemSet { table: TableId(1), index: IndexId(index) };
        let damaged = Write::Put { key: ItemCountKey { set }.encode(), value: bytes::Bytes::from_static(b"?") };
        commit(bench.store.as_ref(), &[], &[], |_| Decision::Apply(vec![damaged.clone()], ())).await.unwrap();
    }
    bench.put("users", "c", 1).await;
    let now = figures().await;
    assert_eq!((&now[0], &now[2]), (&json!(3), &json!(3)));
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": {"S": "c"}}})).await;
    assert_eq!(figures().await, before);
}

/// A crash may come between the two commits of it.
#[tokio::test]
async fn a_table_that_was_not_counted_anew_to_the_end_is_counted_when_it_is_asked_for_again() {
    let (mut bench, watched) = watched().await;
    bench.create("users", None).await;
    bench.put("users", "a", 1).await;
    let key = ItemCountKey { set: TableId(1).into() }.encode();
    let damaged = Write::Put { key: key.clone(), value: bytes::Bytes::from_static(b"?") };
    commit(bench.store.as_ref(), &[], &[], |_| Decision::Apply(vec![damaged.clone()], ())).await.unwrap();
    watched.tallies_fail.store(true, Ordering::Relaxed);
    for round in 0..2 {
        let answer = bench.call("DescribeTable", json!({"TableName": "users"})).await;
        assert!(answer.unwrap_err().to_string().starts_with("InternalServerError"), "{round}");
    }
    // More goes meanwhile than comes.
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": {"S": "a"}}})).await;
    watched.tallies_fail.store(false, Ordering::Relaxed);
    let rng = Arc::new(SeededRng::new(3));
    bench.db = Db::open(watched.clone(), bench.clock.clone(), rng, Settings::default()).await.unwrap();
    bench.put("users", "b", 1).await;
    let (one, other) = tokio::join!(bench.describe("users"), bench.describe("users"));
    assert_eq!((&one["ItemCount"], &other["ItemCount"]), (&json!(1), &json!(1)));
    assert_eq!(bench.describe("users").await["TableSizeBytes"], one["TableSizeBytes"]);
}

#[tokio::test]
async fn a_write_that_is_worked_out_again_is_paid_once() {
    let throttled = crate::settings::ThrottledTables::All;
    let (bench, watched) = watched_with(Settings { throttled, ..Settings::default() }).await;
    let units = json!({"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}});
    let mut body = with(on_demand("users"), units);
    body["BillingMode"] = json!("PROVISIONED");
    bench.ok("CreateTable", body).await;
    watched.runs_twice.store(true, Ordering::Relaxed);
    // Of the 300 units that it has at first.
    let put =
        |kib: usize| json!({"TableName": "users", "Item": {"pk": {"S": "a"}, "t": {"S": "x".repeat(1024 * kib - 5)}}});
    bench.ok("PutItem", put(200)).await;
    bench.ok("PutItem", put(200)).await;
    let refused = bench.call("PutItem", put(1)).await.unwrap_err().to_string();
    assert!(refused.starts_with("ProvisionedThroughputExceededException"), "{refused}");
}

/// A change that is done is not answered with an error because the table could not be counted afterwards.
#[tokio::test]
async fn a_table_that_cannot_be_counted_can_be_updated_and_deleted() {
    let (bench, watched) = watched().await;
    bench.create("users", None).await;
    bench.put("users", "a", 1).await;
    watched.counts_fail.store(true, Ordering::Relaxed);
    let answer = bench.call("DescribeTable", json!({"TableName": "users"})).await;
    assert!(answer.unwrap_err().to_string().starts_with("InternalServerError"));
    let protect = |on: bool| json!({"TableName": "users", "DeletionProtectionEnabled": on});
    let updated = bench.ok("UpdateTable", protect(true)).await["TableDescription"].clone();
    assert_eq!((&updated["DeletionProtectionEnabled"], &updated["ItemCount"]), (&json!(true), &json!(0)));
    bench.ok("UpdateTable", protect(false)).await;
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    assert_eq!(bench.ok("ListTables", json!({})).await, json!({"TableNames": []}));
}

/// docs/spec/streams.md 2.4, 12: a table is deleted, and a stream disabled, before the shards of the stream show. They are sealed
/// nevertheless, read for a day, and are then forgotten.
#[tokio::test]
async fn a_stream_that_ends_before_its_shards_show_is_sealed_and_forgotten() {
    let (bench, watched) = watched().await;
    let mut arns = Vec::new();
    for (table, operation, members) in [
        ("deleted", "DeleteTable", json!({})),
        ("disabled", "UpdateTable", json!({"StreamSpecification": {"StreamEnabled": false}})),
    ] {
        arns.push(bench.create(table, Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned());
        watched.shards_late.store(true, Ordering::Relaxed);
        bench.ok(operation, with(json!({"TableName": table}), members)).await;
        watched.shards_late.store(false, Ordering::Relaxed);
    }
    for arn in &arns {
        let shards = bench.shards(arn).await;
        let sealed = |shard: &Value| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string();
        assert!(shards.len() == 4 && shards.iter().all(sealed), "{shards:?}");
    }
    bench.run_background(EpochMs(START_MS + 24 * 60 * 60 * 1000)).await.unwrap();
    assert_eq!(bench.ok("ListStreams", json!({})).await, json!({"Streams": []}));
}

/// Its items were not counted, and the types of its key attributes not kept: told would be no items, and fewer with each delete.
#[tokio::test]
async fn a_table_from_before_the_counts_is_refused_by_name_and_its_row_stays() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    let stored = bench.db.table("table").await.unwrap();
    let mut row: Value = serde_json::from_slice(&stored.row).unwrap();
    for later in ["attributes", "indexes", "indexes_made", "transitions", "time_to_live", "times_to_live_made"] {
        row.as_object_mut().unwrap().remove(later).unwrap();
    }
    let (key, value) = (stored.row_key.clone(), bytes::Bytes::from(serde_json::to_vec(&row).unwrap()));
    let put = tailrace_store::Write::Put { key: key.clone(), value: value.clone() };
    let keys = [key];
    let body = |_: &tailrace_store::Reads<'_>| tailrace_store::Decision::Apply(vec![put.clone()], ());
    tailrace_store::commit(bench.store.as_ref(), &[], &keys, body).await.unwrap();
    let expected = "InternalServerError: the descriptor of table table cannot be read: it has an earlier layout, from \
                    before the first release, which is not read any more; nothing is damaged";
    for operation in ["DescribeTable", "Scan", "DeleteTable"] {
        bench.refused(operation, json!({"TableName": "table"}), expected).await;
    }
    let put = json!({"TableName": "table", "Item": {"pk": {"S": "a"}}});
    bench.refused("PutItem", put, expected).await;
    assert_eq!(bench.store.get(&keys).await.unwrap(), [Some(value)]);
}
