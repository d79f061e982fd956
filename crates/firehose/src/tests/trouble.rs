//! A store that fails in the middle of a deletion.

use std::sync::atomic::AtomicBool;

use tailrace_core::{RecordNo, ShardNo, StreamId};
use tailrace_store::keyspace::DeliveryStreamKey;
use tailrace_store::{
    CommitId, CommitReceipt, CommitRequest, Key, KeyRange, LogPage, LogPosition, Outcome, Page, ShardInfo, StoreError,
    Tally,
};

use super::*;

/// The world's store, which does not let a delivery stream's row be removed while it `fails`.
struct Failing {
    inner: Arc<dyn Engine>,
    fails: AtomicBool,
}

impl Engine for Failing {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        self.inner.get(keys)
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.page(range, limit)
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        // A removal declares the row alone; whoever makes or changes one declares another row, too.
        if self.fails.load(SeqCst) && *request.declared.exclusive == [DeliveryStreamKey::key(NAME)] {
            return async { Err(StoreError::Io("planted".into())) }.boxed();
        }
        self.inner.commit(request)
    }

    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>> {
        self.inner.page_beside_log(range, limit, shards)
    }

    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>> {
        self.inner.tally(range, size, key)
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.inner.outcome(id)
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        self.inner.shards(stream)
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

/// A client that is told of a failure asks again, as SDKs do, and the name is free then.
#[test]
fn a_deletion_that_failed_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 7);
    runtime().block_on(async {
        let store = Arc::new(Failing { inner: world.store.clone(), fails: AtomicBool::new(true) });
        let streams = world.streams_over(store.clone()).await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
        let named = json!({"DeliveryStreamName": NAME});
        let ask = async |operation: &str| {
            let error = execute(&streams, operation, named.to_string().as_bytes()).await.unwrap_err();
            error.to_string()
        };
        let failed = ask("DeleteDeliveryStream").await;
        assert!(failed.starts_with("InternalServerError"), "{failed}");
        let not_found = "ResourceNotFoundException: Firehose clicks under account 000000000000 not found.";
        assert_eq!(ask("DescribeDeliveryStream").await, not_found);
        store.fails.store(false, SeqCst);
        call(&streams, "DeleteDeliveryStream", named.clone()).await;
        assert_eq!(world.rows(KeyKind::DeliveryStream).await, 0);
        assert_eq!(ask("DeleteDeliveryStream").await, not_found);
        call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
    });
}
