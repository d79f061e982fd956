//! Data directories that the operations wrote, of every format that ever was, open and hold what was written to them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dump;

use std::path::Path;
use std::sync::Arc;

use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, Service};
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_store::Engine;
use tailrace_store::keyspace::KeyKind;
use tailrace_store_embedded::{CheckReport, EmbeddedEngine, Options, check};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// How many rows an answer has, and how many items a table or an index is said to have.
async fn answer(db: &Db, operation: &str, body: &str) -> serde_json::Value {
    let answer = ops::execute(db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

/// What `examples/data_fixture.rs` wrote.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_format_2_holds_every_row_and_record_that_was_written() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-2");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&fixture.join("data"), &data);
    assert_eq!(check(&data).unwrap(), CheckReport::default());
    let clock = Arc::new(ManualClock::at(EpochMs(1_800_000_000_000)));
    let store = EmbeddedEngine::open(&data, Options::new(clock.clone(), [1; 16])).unwrap();
    let written = std::fs::read_to_string(fixture.join("rows")).unwrap();
    let found = dump::of(store.as_ref() as &dyn Engine).await;
    for (found, written) in found.lines().zip(written.lines()) {
        assert_eq!(found, written);
    }
    assert_eq!(found.lines().count(), written.lines().count());
    for kind in [KeyKind::ItemCount, KeyKind::Expiry, KeyKind::TableSettings, KeyKind::IdempotencyExpiry] {
        let start = format!("row {}", std::ascii::escape_default(kind as u8));
        assert!(written.lines().any(|line| line.starts_with(&start)), "the fixture has a row of the kind {kind:?}");
    }
    // And the operations understand it.
    let db = Db::open(store, clock, Arc::new(SeededRng::new(3)), Settings::default()).await.unwrap();
    let described = answer(&db, "DescribeTable", r#"{"TableName":"games"}"#).await;
    assert_eq!(described["Table"]["ItemCount"], 26);
    assert_eq!(described["Table"]["GlobalSecondaryIndexes"][0]["ItemCount"], 26);
    for index in ["", r#","IndexName":"all""#, r#","IndexName":"keys""#] {
        let scanned = answer(&db, "Scan", &format!(r#"{{"TableName":"games"{index}}}"#)).await;
        assert_eq!(scanned["Count"], 26, "{index}");
    }
    let lived = answer(&db, "DescribeTimeToLive", r#"{"TableName":"games"}"#).await;
    assert_eq!(lived["TimeToLiveDescription"]["AttributeName"], "until");
    let tables = answer(&db, "ListTables", "{}").await;
    assert_eq!(tables["TableNames"], serde_json::json!(["games", "users"]));
}
