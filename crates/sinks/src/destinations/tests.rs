//! Two servers over one store, one of which removes a destination that the other one still believes in.

use serde_json::json;
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, MonotonicMs, Service};
use tailrace_engine::{Caller, Settings, ops};
use tailrace_store::keyspace::KeyKind;
use tailrace_store::{Engine, MemoryEngine, Numbers, PageLimit};

use super::*;
use crate::sink::{Bounds, Images, SinkError};

/// It takes everything.
struct Willing;

impl Sink for Willing {
    fn bounds(&self) -> Bounds {
        Bounds { records_max: 10, bytes_max: 1 << 20, window: Duration::ZERO }
    }

    fn plans(&self) -> bool {
        false
    }

    fn needs(&self) -> Images {
        Images::default()
    }

    fn size(&self, _: &StreamRecord) -> Result<usize, StoreError> {
        Ok(1)
    }

    fn flush(&self, _: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        async { Ok(Flushed::default()) }.boxed()
    }
}

/// Nobody waits for long.
struct AtOnce;

impl Timer for AtOnce {
    fn sleep_until(&self, _: MonotonicMs) -> BoxFuture<'static, ()> {
        tokio::task::yield_now().boxed()
    }
}

struct World {
    store: Arc<dyn MemoryEngine>,
    clock: Arc<ManualClock>,
}

impl World {
    /// With a table whose destination has something to deliver.
    async fn with_a_destination(numbers: Numbers) -> World {
        let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
        let world = World { store: numbers.engine(clock.clone()), clock };
        let db = world.db().await;
        let table = json!({"TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]});
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/changes";
        for (operation, body) in [
            ("CreateTable", table),
            ("EnableKinesisStreamingDestination", json!({"TableName": "Orders", "StreamArn": arn})),
            ("PutItem", json!({"TableName": "Orders", "Item": {"pk": {"S": "k"}}})),
        ] {
            let body = body.to_string();
            ops::execute(&db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await.unwrap();
        }
        world
    }

    async fn db(&self) -> Arc<Db> {
        let store: Arc<dyn Engine> = self.store.clone();
        let rng = Arc::new(SeededRng::new(1));
        let settings = Settings { kinesis_destinations: true, ..Settings::default() };
        Arc::new(Db::open(store, self.clock.clone(), rng, settings).await.unwrap())
    }

    /// The destinations of another server.
    async fn destinations(&self) -> Destinations {
        let dependencies = Dependencies {
            db: self.db().await,
            clock: self.clock.clone(),
            timer: Arc::new(AtOnce),
            rng: Arc::new(SeededRng::new(1)),
            room: Room::default(),
            build: Arc::new(|_, _| Ok(Some(Arc::new(Willing)))),
            notices: Arc::new(|_| {}),
            runtime: tokio::runtime::Handle::current(),
        };
        Destinations::load(dependencies).await.unwrap()
    }

    async fn rows(&self, kind: KeyKind) -> usize {
        let all = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        self.store.page(kind.range(), all).await.unwrap().rows.len()
    }

    async fn assert_nothing_is_left(&self, when: &str) {
        for kind in [KeyKind::Owner, KeyKind::Checkpoint, KeyKind::Parked] {
            assert_eq!(self.rows(kind).await, 0, "{kind:?} {when}");
        }
    }

    /// What is committed is published when everybody has done what they can without.
    async fn lift(&self) {
        turns().await;
        self.store.hold_syncs(false);
        turns().await;
    }
}

async fn turns() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Whoever begins with a stream whose removal is committed, and not seen by anybody yet, leaves nothing that nobody removes.
#[tokio::test]
async fn a_stream_that_is_being_removed_is_claimed_by_nobody() {
    for numbers in Numbers::ALL {
        let world = World::with_a_destination(numbers).await;
        let (first, second) = (world.destinations().await, world.destinations().await);
        let seen = second.inner.db.kinesis_destinations().await.unwrap().remove(0);
        first.inner.db.end_destination(&seen).await.unwrap();
        world.store.hold_syncs(true);
        let claim = async {
            second.inner.run(&seen).await.unwrap();
            world.lift().await;
        };
        let (removed, ()) = tokio::join!(first.inner.remove_orphans(), claim);
        removed.unwrap();
        second.shutdown().await;
        world.assert_nothing_is_left(&format!("{numbers:?}")).await;
    }
}

/// The claim is committed first, and seen by nobody yet when the rows are removed.
#[tokio::test]
async fn a_claim_before_a_removal_is_removed_behind_it() {
    for numbers in Numbers::ALL {
        let world = World::with_a_destination(numbers).await;
        let (first, second) = (world.destinations().await, world.destinations().await);
        let seen = second.inner.db.kinesis_destinations().await.unwrap().remove(0);
        first.inner.db.end_destination(&seen).await.unwrap();
        world.store.hold_syncs(true);
        second.inner.run(&seen).await.unwrap();
        turns().await;
        let (removed, ()) = tokio::join!(first.inner.remove_orphans(), world.lift());
        removed.unwrap();
        second.shutdown().await;
        world.assert_nothing_is_left(&format!("{numbers:?}")).await;
    }
}
