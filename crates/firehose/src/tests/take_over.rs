//! Two servers over one store: what one of them writes of a stream that the other has taken over, deleted or made.

use std::sync::atomic::AtomicBool;

use tailrace_store::{Key, StoreError};
use tokio::sync::Notify;

use super::*;
use crate::config::{Config, Kind};
use crate::row::{self, NotMade, Row, Stored};

/// Holds the first call to what is `held`, until it is let go.
#[derive(Default)]
pub struct Hold {
    is_taken: AtomicBool,
    began: Notify,
    let_go: Notify,
}

impl Hold {
    pub async fn first(&self) {
        if !self.is_taken.swap(true, SeqCst) {
            self.began.notify_one();
            self.let_go.notified().await;
        }
    }
}

impl World {
    async fn values(&self, kind: KeyKind) -> Vec<(Key, Bytes)> {
        let all = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        self.store.page(kind.range(), all).await.unwrap().rows
    }
}

/// A server is held in the middle of a flush, and another one delivers it; then the first goes on. Nothing is changed by it.
fn take_over(config: Value, kept: KeyKind) {
    for numbers in Numbers::ALL {
        let directory = tempfile::tempdir().unwrap();
        let world = World::over(directory.path(), 5, numbers);
        runtime().block_on(async {
            let first = world.streams().await;
            first.start().await;
            call(&first, "CreateDeliveryStream", config.clone()).await;
            call(&first, "PutRecordBatch", batch(&["a".to_owned()])).await;
            world.hold.began.notified().await;
            let second = world.streams().await;
            second.start().await;
            drained(&second).await;
            let (rows, objects) = (world.values(kept).await, world.objects());
            assert_eq!((rows.len(), objects.len()), (1, 1), "{numbers:?}");
            world.clock.advance(5_000);
            world.hold.let_go.notify_one();
            // It waits for what is under way.
            first.shutdown().await;
            assert_eq!(world.values(kept).await, rows, "{numbers:?}");
            assert_eq!(world.objects(), objects, "{numbers:?}");
            second.shutdown().await;
        });
    }
}

/// docs/spec/sinks.md 8: what a function has made is used again, also when another server took over meanwhile.
#[test]
fn what_a_function_answers_to_a_server_that_was_replaced_is_not_kept() {
    take_over(destination(json!({"ProcessingConfiguration": transforming("held")})), KeyKind::Transformed);
}

/// docs/spec/sinks.md 2.7: what was given up stays so, in the same words.
#[test]
fn a_request_that_a_replaced_server_gives_up_is_not_noted() {
    take_over(endpoint("held", 60, json!({})), KeyKind::Request);
}

#[test]
fn a_stream_that_another_server_deletes_leaves_no_rows_behind() {
    let configs =
        [destination(json!({"ProcessingConfiguration": transforming("held")})), endpoint("held", 60, json!({}))];
    for config in configs {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(directory.path(), 5);
        runtime().block_on(async {
            let first = world.streams().await;
            first.start().await;
            call(&first, "CreateDeliveryStream", config).await;
            call(&first, "PutRecordBatch", batch(&["a".to_owned()])).await;
            world.hold.began.notified().await;
            let second = world.streams().await;
            call(&second, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
            world.hold.let_go.notify_one();
            first.shutdown().await;
            for kind in [KeyKind::DeliveryStream, KeyKind::Transformed, KeyKind::Request, KeyKind::Owner] {
                assert_eq!(world.rows(kind).await, 0, "{kind:?}");
            }
        });
        assert_eq!(world.objects().len(), 0);
    }
}

/// A server that has seen the stream before it was deleted, and begins behind that, leaves nothing that nobody removes.
#[test]
fn a_stream_that_is_marked_as_deleted_is_claimed_by_nobody() {
    for numbers in Numbers::ALL {
        let directory = tempfile::tempdir().unwrap();
        let world = World::over(directory.path(), 5, numbers);
        runtime().block_on(async {
            let streams = world.streams().await;
            call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
            call(&streams, "PutRecordBatch", batch(&["a".to_owned()])).await;
            let store: &dyn Engine = world.store.as_ref();
            let seen = row::all(store).await.unwrap().pop().unwrap();
            let mut deleted = seen.row.clone();
            deleted.deleted = true;
            // The shard is still there for whoever looks; whoever claims it does so behind the mark.
            world.store.hold_syncs(true);
            let lift = async {
                streams.start().await;
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                world.store.hold_syncs(false);
            };
            let (marked, ()) = tokio::join!(row::change(store, &seen, deleted, BY_NOBODY), lift);
            assert!(marked.unwrap().is_some());
            streams.shutdown().await;
            assert_eq!(world.rows(KeyKind::Owner).await, 0, "{numbers:?}");
        });
    }
}

async fn make(store: &dyn Engine, name: &str, rows_max: usize) -> Result<Stored, NotMade> {
    let config = Config { kind: Kind::S3, members: serde_json::Map::new() };
    let row = Row::new(name, config, format!("uuid of {name}"), EpochMs(1));
    let made: Result<_, StoreError> = row::create(store, row, &format!("$delivery/{name}"), rows_max, BY_NOBODY).await;
    made.unwrap()
}

#[tokio::test]
async fn servers_count_their_streams_together() {
    for numbers in Numbers::ALL {
        let store = numbers.engine(Arc::new(ManualClock::at(EpochMs(1))));
        // Both have counted before either is made.
        store.hold_syncs(true);
        let lift = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            store.hold_syncs(false);
        };
        let (one, other, ()) = tokio::join!(make(store.as_ref(), "a", 1), make(store.as_ref(), "b", 1), lift);
        assert!(one.is_ok() && other.err() == Some(NotMade::Full(1)), "{numbers:?}");
        assert_eq!(make(store.as_ref(), "a", 1).await.err(), Some(NotMade::Exists));
        assert_eq!(make(store.as_ref(), "c", 1).await.err(), Some(NotMade::Full(1)));
        assert!(make(store.as_ref(), "c", 2).await.is_ok());
    }
}

/// A server that still cleans up after a deleted stream takes nothing from the one that has its name now.
#[tokio::test]
async fn a_row_is_removed_only_as_it_was_seen() {
    let store = Numbers::Shared.engine(Arc::new(ManualClock::at(EpochMs(1))));
    let store: &dyn Engine = store.as_ref();
    let made = make(store, "a", 9).await.ok().unwrap();
    let mut row = made.row.clone();
    row.deleted = true;
    let deleted = row::change(store, &made, row, BY_NOBODY).await.unwrap().unwrap();
    row::remove(store, &deleted).await.unwrap();
    let next = make(store, "a", 9).await.ok().unwrap();
    row::remove(store, &deleted).await.unwrap();
    assert!(row::all(store).await.unwrap().iter().any(|stored| stored.bytes == next.bytes));
    row::remove(store, &next).await.unwrap();
    assert_eq!(row::all(store).await.unwrap().len(), 0);
}
