//! Writes a small data directory as the operations leave it, for `tests/formats.rs`: one is kept for each format, for ever. Beside
//! it, in the file `rows`, every row, and every record of the streams, as that program read them.
//!
//!     cargo run -p tailrace-server --example data_fixture -- crates/server/tests/fixtures/data-N

#![allow(clippy::unwrap_used, reason = "what cannot be made fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, Service};
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_store::Engine;
use tailrace_store_embedded::log::LogSettings;
use tailrace_store_embedded::{EmbeddedEngine, Options};

#[path = "../tests/dump/mod.rs"]
mod dump;

async fn open(data: &Path, seed: u64) -> (Arc<EmbeddedEngine>, Db) {
    let clock = Arc::new(ManualClock::at(EpochMs(1_800_000_000_000 + seed)));
    let mut options = Options::new(clock.clone(), [9; 16]);
    options.log = LogSettings { segment_bytes: 64 * 1024, ..LogSettings::default() };
    let store = EmbeddedEngine::open(data, options).unwrap();
    let settings = Settings { shards_per_stream: 2, ..Settings::default() };
    let db = Db::open(store.clone(), clock, Arc::new(SeededRng::new(seed)), settings).await.unwrap();
    (store, db)
}

async fn call(db: &Db, operation: &str, body: &str) {
    let answer = ops::execute(db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await;
    answer.unwrap_or_else(|error| panic!("{operation} {body}: {error}"));
}

async fn put(db: &Db, n: u32) {
    let item = format!(
        r#"{{"pk":{{"S":"p{}"}},"sk":{{"N":"{n}"}},"a":{{"S":"a{}"}},"l":{{"B":"AAE="}},"until":{{"N":"19000000{n:02}"}},"v":{{"M":{{
        "s":{{"SS":["x","y"]}},"n":{{"NS":["1","-2.5"]}},"b":{{"BS":["AA=="]}},"l":{{"L":[{{"NULL":true}},{{"BOOL":false}}]}}}}}}}}"#,
        n % 5,
        n % 3
    );
    call(db, "PutItem", &format!(r#"{{"TableName":"games","Item":{item}}}"#)).await;
}

const GAMES: &str = r#"{"TableName":"games","BillingMode":"PAY_PER_REQUEST","Tags":[{"Key":"team","Value":"red"}],
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"},
    "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"},
        {"AttributeName":"a","AttributeType":"S"},{"AttributeName":"l","AttributeType":"B"}],
    "GlobalSecondaryIndexes":[{"IndexName":"all","Projection":{"ProjectionType":"ALL"},
        "KeySchema":[{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]}],
    "LocalSecondaryIndexes":[{"IndexName":"keys","Projection":{"ProjectionType":"KEYS_ONLY"},
        "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}]}]}"#;

fn table(name: &str) -> String {
    format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],
        "AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}]}}"#
    )
}

#[tokio::main]
async fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("say where the data directory is to be made"));
    let data = dir.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let (store, db) = open(&data, 1).await;
    call(&db, "CreateTable", GAMES).await;
    for name in ["gone", "users"] {
        call(&db, "CreateTable", &table(name)).await;
        call(&db, "PutItem", &format!(r#"{{"TableName":"{name}","Item":{{"pk":{{"S":"1"}}}}}}"#)).await;
    }
    for n in 0..20 {
        put(&db, n).await;
    }
    drop(db);
    store.shutdown().await.unwrap();
    drop(store);
    // The second life ends as a kill does: its writes are in the log alone.
    let (store, db) = open(&data, 2).await;
    let ttl = r#"{"TableName":"games","TimeToLiveSpecification":{"AttributeName":"until","Enabled":true}}"#;
    call(&db, "UpdateTimeToLive", ttl).await;
    for n in 15..30 {
        put(&db, n).await;
    }
    for n in 0..3 {
        let key = format!(r#"{{"pk":{{"S":"p{n}"}},"sk":{{"N":"{n}"}}}}"#);
        call(&db, "DeleteItem", &format!(r#"{{"TableName":"games","Key":{key}}}"#)).await;
    }
    let transaction = r#"{"ClientRequestToken":"once","TransactItems":[
        {"Put":{"TableName":"users","Item":{"pk":{"S":"2"}}}},
        {"Delete":{"TableName":"games","Key":{"pk":{"S":"p3"},"sk":{"N":"3"}}}}]}"#;
    call(&db, "TransactWriteItems", transaction).await;
    // An index that is being filled, and the rows of a table that is deleted: both are still to be done.
    let made = r#"{"TableName":"users","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"x","AttributeType":"S"}],
        "GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"late","Projection":{"ProjectionType":"ALL"},
        "KeySchema":[{"AttributeName":"x","KeyType":"HASH"}]}}]}"#;
    call(&db, "UpdateTable", made).await;
    call(&db, "DeleteTable", r#"{"TableName":"gone"}"#).await;
    std::fs::write(dir.join("rows"), dump::of(store.as_ref() as &dyn Engine).await).unwrap();
}
