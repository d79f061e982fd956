//! What a write takes in the log: each image once, however many indexes have a copy of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, Service};
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_store_embedded::{EmbeddedEngine, Options};

const INDEXES: usize = 20;
const ITEMS: usize = 10;
const ITEM_BYTES: usize = 400_000;
/// What comes beside the images: keys of 200 entries, metas of 10 records, frame and sectors.
const AROUND_BYTES: u64 = 100_000;

/// Bytes of the log's segments without the zeros that they end with.
fn written(log: &Path) -> u64 {
    const PIECE_BYTES: usize = 512;
    let files = std::fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "seg"));
    let end = |path| {
        let bytes = std::fs::read(path).unwrap();
        let mut pieces = bytes.chunks(PIECE_BYTES);
        pieces.rposition(|piece| piece != &[0; PIECE_BYTES][..piece.len()]).map_or(0, |last| (last + 1) * PIECE_BYTES)
    };
    segments.map(end).sum::<usize>() as u64
}

async fn call(db: &Db, operation: &str, body: &Value) -> Value {
    let body = serde_json::to_vec(body).unwrap();
    let answer = ops::execute(db, Service::DynamoDb, operation, &body, &Caller::default()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{operation}: {error}"));
    serde_json::from_slice(&answer).unwrap()
}

/// Puts of all the items, whose large attribute is filled with `filler`.
fn puts(filler: &str) -> Value {
    let put = |n: usize| {
        let item = json!({"pk": {"S": format!("item {n}")}, "g": {"S": "a"}, "v": {"S": filler.repeat(ITEM_BYTES)}});
        json!({"Put": {"TableName": "wide", "Item": item}})
    };
    json!({"TransactItems": (0..ITEMS).map(put).collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_into_20_full_indexes_takes_each_image_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(EpochMs(1_800_000_000_000)));
    let store = EmbeddedEngine::open(dir.path(), Options::new(clock.clone(), [1; 16])).unwrap();
    let db = Db::open(store, clock, Arc::new(SeededRng::new(3)), Settings::default()).await.unwrap();
    let index = |n: usize| {
        json!({
            "IndexName": format!("i{n:02}"),
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        })
    };
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let table = json!({
        "TableName": "wide",
        "AttributeDefinitions": [attribute("pk"), attribute("g")],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "GlobalSecondaryIndexes": (0..INDEXES).map(index).collect::<Vec<_>>(),
    });
    call(&db, "CreateTable", &table).await;
    let images = (ITEMS * ITEM_BYTES) as u64;
    // New items have a new image each, which the records share; changed ones have the old one in their records as well.
    for (filler, copies) in [("x", 1), ("y", 2)] {
        let before = written(&dir.path().join("log"));
        call(&db, "TransactWriteItems", &puts(filler)).await;
        let grown = written(&dir.path().join("log")) - before;
        let expected = copies * images..copies * images + AROUND_BYTES;
        assert!(expected.contains(&grown), "{grown} bytes for {copies} x {images} of images");
        let query = json!({
            "TableName": "wide",
            "IndexName": "i13",
            "KeyConditionExpression": "g = :g",
            "ExpressionAttributeValues": {":g": {"S": "a"}},
            "Limit": 1,
        });
        let found = call(&db, "Query", &query).await;
        assert_eq!(found["Items"][0]["v"]["S"].as_str().unwrap(), filler.repeat(ITEM_BYTES));
    }
    db.store().shutdown().await.unwrap();
}
