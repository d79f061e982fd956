//! Counting a table's items: what it reads at once, where it stops, and what depends on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::RecordNo;
use tailrace_core::limits::{ITEM_BYTES_MAX, STATISTICS_BYTES_MAX, STATISTICS_PAGE_BYTES};
use tailrace_store::keyspace::{ItemKey, TableId};
use tailrace_store::{
    CommitId, CommitReceipt, CommitRequest, Engine, Key, KeyRange, LogPage, LogPosition, Outcome, Page, PageLimit,
    ShardInfo, ShardNo, StoreError, StreamId,
};

use super::*;

/// The in-memory engine, with an eye on the pages of items that are read from it.
struct Watched {
    inner: Arc<ModelEngine>,
    largest_page_bytes: AtomicUsize,
    items_fail: AtomicBool,
    /// What a commit has just opened does not show yet.
    shards_late: AtomicBool,
}

impl Engine for Watched {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<bytes::Bytes>>, StoreError>> {
        self.inner.get(keys)
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move {
            let page = self.inner.page(range.clone(), limit).await?;
            if !range.contains(ItemKey::key(TableId(1), tailrace_core::Bucket::LAST, b"~", &[]).as_bytes()) {
                return Ok(page);
            }
            if self.items_fail.load(Ordering::Relaxed) {
                return Err(StoreError::Io("the disk does not answer".to_owned()));
            }
            let bytes = page.rows.iter().map(|(_, value)| value.len()).sum();
            self.largest_page_bytes.fetch_max(bytes, Ordering::Relaxed);
            Ok(page)
        }
        .boxed()
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.inner.outcome(id)
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        self.inner.commit(request)
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        match self.shards_late.load(Ordering::Relaxed) {
            true => std::future::ready(Ok(Vec::new())).boxed(),
            false => self.inner.shards(stream),
        }
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        self.inner.read_log(shard, after, records_max, bytes_max)
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        self.inner.position(shard, position)
    }

    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        self.inner.wait_log(shard, after)
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.trim(shard, horizon)
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.reclaim(range)
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.shutdown()
    }
}

async fn watched() -> (Bench, Arc<Watched>) {
    let mut bench = Bench::new().await;
    let inner = bench.store.clone();
    let watched = Arc::new(Watched {
        inner,
        largest_page_bytes: AtomicUsize::new(0),
        items_fail: AtomicBool::new(false),
        shards_late: AtomicBool::new(false),
    });
    let rng = Arc::new(SeededRng::new(2));
    bench.db = Db::open(watched.clone(), bench.clock.clone(), rng, Settings::default()).await.unwrap();
    (bench, watched)
}

/// docs/spec/dynamodb-api.md 2.2: the figures are live, and asking for them takes little memory however large the items are.
#[tokio::test]
async fn large_items_are_counted_a_megabyte_at_a_time_and_up_to_a_bound() {
    let (bench, watched) = watched().await;
    bench.create("users", None).await;
    let large = "x".repeat(400_000);
    let items = STATISTICS_BYTES_MAX / 400_000 + 20;
    for pk in 0..items {
        let item = json!({"pk": {"S": pk.to_string()}, "v": {"S": large}});
        bench.ok("PutItem", json!({"TableName": "users", "Item": item})).await;
        if pk == 9 {
            let table = bench.describe("users").await;
            assert_eq!((&table["ItemCount"], &table["TableSizeBytes"]), (&json!(10), &json!(10 * (400_000 + 4))));
        }
    }
    let table = bench.describe("users").await;
    let (counted, bytes) = (table["ItemCount"].as_u64().unwrap(), table["TableSizeBytes"].as_u64().unwrap());
    assert!(counted < items && bytes >= STATISTICS_BYTES_MAX, "{counted} of {items} items, {bytes} bytes");
    let largest = watched.largest_page_bytes.load(Ordering::Relaxed);
    assert!(largest > 0 && largest < STATISTICS_PAGE_BYTES + ITEM_BYTES_MAX, "{largest} bytes were read at once");
}

/// A change that is done is not answered with an error because the table could not be counted afterwards.
#[tokio::test]
async fn a_table_that_cannot_be_counted_can_be_updated_and_deleted() {
    let (bench, watched) = watched().await;
    bench.create("users", None).await;
    bench.put("users", "a", 1).await;
    watched.items_fail.store(true, Ordering::Relaxed);
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
