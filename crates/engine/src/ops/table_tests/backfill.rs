//! An index that an UpdateTable makes holds, once it is active, exactly the entries of the items that are there: beside writers,
//! over power cuts, and whatever goes meanwhile.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tailrace_core::{EpochMs, IndexId, TableId};
use tailrace_store::keyspace::{IndexBuild, IndexBuildKey, ItemKey, ItemSet};
use tailrace_store::{Decision, Engine, Key, PageLimit, Write, commit};

use super::indexes::{definitions, index};
use super::*;
use crate::background::Task;
use crate::ops::power_cuts::{below, weather};
use tailrace_core::codec::stored_size;

use crate::background::backfill::{Backfill, Bounds};
use crate::items::index_entries::entries_of;

const TABLE: TableId = TableId(1);
const SET: ItemSet = ItemSet { table: TABLE, index: IndexId(1) };

/// `users`, with these items.
async fn filled(items: impl IntoIterator<Item = Value>) -> Bench {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let puts: Vec<Value> = items.into_iter().map(|item| json!({"PutRequest": {"Item": item}})).collect();
    for puts in puts.chunks(25) {
        bench.ok("BatchWriteItem", json!({"RequestItems": {"users": puts}})).await;
    }
    bench
}

fn item(n: u64) -> Value {
    json!({"pk": {"S": format!("{n}")}, "a": {"S": format!("{}", n % 7)}, "v": {"N": n.to_string()}})
}

/// Makes the index `new` of the attribute `a`, which holds everything.
async fn make(bench: &Bench) -> Value {
    make_with(bench, json!({"ProjectionType": "ALL"})).await
}

/// Makes the index `new` of the attribute `a`.
async fn make_with(bench: &Bench, projection: Value) -> Value {
    let body = json!({
        "TableName": "users",
        "AttributeDefinitions": definitions(&["a"]),
        "GlobalSecondaryIndexUpdates": [{"Create": with(index("new", &["h:a"]), json!({"Projection": projection}))}],
    });
    bench.ok("UpdateTable", body).await
}

async fn rows(bench: &Bench, set: ItemSet) -> BTreeMap<Key, bytes::Bytes> {
    let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    bench.store.page(ItemKey::table_range(set), limit).await.unwrap().rows.into_iter().collect()
}

/// The entries that the index should have.
async fn expected(bench: &Bench) -> BTreeMap<Key, bytes::Bytes> {
    let table = bench.db.table("users").await.unwrap();
    let items = rows(bench, TABLE.into()).await;
    items.values().filter_map(|item| entries_of(&table.indexes[0], item, &table).unwrap()).collect()
}

async fn is_active(bench: &Bench) -> bool {
    bench.describe("users").await["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
}

/// What DescribeTable tells of the index: its items and their bytes.
async fn told(bench: &Bench) -> (u64, u64) {
    let index = &bench.describe("users").await["GlobalSecondaryIndexes"][0];
    (index["ItemCount"].as_u64().unwrap(), index["IndexSizeBytes"].as_u64().unwrap())
}

/// What it should tell.
fn counted(entries: &BTreeMap<Key, bytes::Bytes>) -> (u64, u64) {
    (entries.len() as u64, entries.values().map(|entry| stored_size(entry) as u64).sum())
}

async fn progress(bench: &Bench) -> Option<IndexBuild> {
    let row = bench.store.get(&[IndexBuildKey { set: SET }.encode()]).await.unwrap().pop().unwrap();
    row.map(|row| IndexBuild::decode(&row).unwrap())
}

fn small() -> Backfill {
    Backfill::within(Bounds { page_items: 7, pages_per_tick: 3 })
}

/// docs/spec/dynamodb-api.md 8.1: items whose key attribute is missing, of a wrong type, empty or too long are left out.
#[tokio::test]
async fn an_index_is_filled_with_the_items_that_it_can_take() {
    let others = [
        json!({"pk": {"S": "missing"}}),
        json!({"pk": {"S": "number"}, "a": {"N": "1"}}),
        json!({"pk": {"S": "empty"}, "a": {"S": ""}}),
        json!({"pk": {"S": "long"}, "a": {"S": "x".repeat(2049)}}),
    ];
    let bench = filled((0..1500).map(item).chain(others)).await;
    make(&bench).await;
    assert!(rows(&bench, SET).await.is_empty());
    bench.run_background(EpochMs(START_MS)).await.unwrap();
    assert!(is_active(&bench).await);
    let entries = rows(&bench, SET).await;
    assert_eq!((entries.len(), progress(&bench).await), (1500, None));
    assert_eq!(entries, expected(&bench).await);
    assert_eq!(told(&bench).await, counted(&entries));
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_left_out_and_the_index_is_filled() {
    let bench = filled((0..20).map(item)).await;
    let damaged = ItemKey::key(TABLE, tailrace_core::Bucket(7), b"damaged", &[]);
    commit(bench.store.as_ref(), &[], &[], |_| {
        let value = bytes::Bytes::from_static(b"\xff\xff\xff no item");
        Decision::Apply(vec![Write::Put { key: damaged.clone(), value }], ())
    })
    .await
    .unwrap();
    make(&bench).await;
    bench.run_background(EpochMs(START_MS)).await.unwrap();
    assert!(is_active(&bench).await);
    assert_eq!((rows(&bench, SET).await.len(), progress(&bench).await), (20, None));
}

/// A tick is bounded, and another process goes on where one has stopped.
#[tokio::test]
async fn the_backfill_goes_on_where_it_was() {
    let bench = filled((0..100).map(item)).await;
    make(&bench).await;
    let mut entered = Vec::new();
    loop {
        // Nothing is kept in memory: each tick is a new process.
        let tick = small().tick(&bench.db, EpochMs(START_MS)).await;
        assert!(tick.failures.is_empty(), "{}", tick.failures);
        entered.push(rows(&bench, SET).await.len());
        match progress(&bench).await {
            Some(build) => assert_eq!((build.table.as_str(), build.behind.is_some()), ("users", true)),
            None => break,
        }
    }
    assert_eq!(entered, [21, 42, 63, 84, 100]);
    assert!(is_active(&bench).await);
    assert_eq!(small().tick(&bench.db, EpochMs(START_MS)).await.progress, Progress::Done);
}

/// Puts, moves, changes and removes items, some of them such that they leave the index or come into it.
async fn writer(bench: &Bench, seed: u64, writes: u64) {
    let rng = SeededRng::new(seed);
    for _ in 0..writes {
        let key = json!({"pk": {"S": below(&rng, 120).to_string()}});
        let _ = match below(&rng, 6) {
            // Beside its keys and what else an index may hold of it.
            4 | 5 => {
                let value = json!({":o": {"N": below(&rng, 1000).to_string()}});
                let body = json!({"TableName": "users", "Key": key, "UpdateExpression": "SET o = :o"});
                bench.call("UpdateItem", with(body, json!({"ExpressionAttributeValues": value}))).await
            }
            0 => bench.call("DeleteItem", json!({"TableName": "users", "Key": key})).await,
            1 => bench.call("PutItem", json!({"TableName": "users", "Item": key})).await,
            _ => {
                let item = with(key, json!({"a": {"S": below(&rng, 5).to_string()}}));
                bench.call("PutItem", json!({"TableName": "users", "Item": item})).await
            }
        };
        for _ in 0..below(&rng, 4) {
            tokio::task::yield_now().await;
        }
    }
}

/// Seeded: writers beside the backfill, power cuts under both.
#[tokio::test]
async fn writers_and_power_cuts_leave_an_index_that_is_its_table() {
    for seed in 0..40 {
        let bench = filled((0..100).map(item)).await;
        let projection = match seed % 3 {
            0 => json!({"ProjectionType": "ALL"}),
            1 => json!({"ProjectionType": "KEYS_ONLY"}),
            _ => json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v"]}),
        };
        make_with(&bench, projection).await;
        let work = async {
            let writers = join_all((0..4).map(|n| writer(&bench, seed * 10 + n, 60)));
            let backfill = async {
                // A power cut ends the process that fills it.
                while progress(&bench).await.is_some() {
                    small().tick(&bench.db, EpochMs(START_MS)).await;
                    tokio::task::yield_now().await;
                }
            };
            futures_util::future::join(writers, backfill).await;
        };
        tokio::select! {
            () = work => {}
            () = weather(&bench.store, seed, 3, 40) => unreachable!("the weather has no end"),
        }
        bench.store.hold_syncs(false);
        assert!(is_active(&bench).await, "seed {seed}");
        let (found, wanted) = (rows(&bench, SET).await, expected(&bench).await);
        assert!(found == wanted, "seed {seed}: {} entries, not {}", found.len(), wanted.len());
        assert_eq!(told(&bench).await, counted(&found), "seed {seed}");
    }
}

/// docs/spec/dynamodb-api.md 8.1 (index delete is allowed while it is filled)
#[tokio::test]
async fn an_index_or_a_table_that_goes_ends_its_backfill_and_leaves_nothing() {
    for body in [
        json!({"TableName": "users", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "new"}}]}),
        json!({"TableName": "users"}),
    ] {
        let operation = if body.get("GlobalSecondaryIndexUpdates").is_some() { "UpdateTable" } else { "DeleteTable" };
        let bench = filled((0..100).map(item)).await;
        make(&bench).await;
        small().tick(&bench.db, EpochMs(START_MS)).await;
        assert!(!rows(&bench, SET).await.is_empty());
        // One tick is under way when it goes.
        let task = small();
        let (tick, answer) = tokio::join!(task.tick(&bench.db, EpochMs(START_MS)), bench.call(operation, body));
        assert!(tick.failures.is_empty() && answer.is_ok(), "{} {answer:?}", tick.failures);
        bench.run_background(EpochMs(START_MS)).await.unwrap();
        assert_eq!((rows(&bench, SET).await.len(), progress(&bench).await), (0, None), "{operation}");
    }
}

/// The job that runs the task is woken by an UpdateTable.
#[tokio::test]
async fn a_new_index_wakes_the_backfill() {
    use crate::background::{Job, Wait};
    let bench = filled((0..10).map(item)).await;
    let db = Arc::new(bench.db);
    let job = Job::new(Arc::clone(&db), Box::new(Backfill::default()));
    assert!(matches!(job.run().await, Wait::Interval(_)));
    let body = json!({
        "TableName": "users",
        "AttributeDefinitions": definitions(&["a"]),
        "GlobalSecondaryIndexUpdates": [{"Create": index("new", &["h:a"])}],
    });
    let body = serde_json::to_vec(&body).unwrap();
    ops::execute(&db, Service::DynamoDb, "UpdateTable", &body, &Caller::default()).await.unwrap();
    job.woken().await;
    while job.run().await == Wait::Next {}
    assert_eq!(db.table("users").await.unwrap().indexes[0].status, crate::IndexStatus::Active);
}
