//! The play against crashes at every one of its commits, and what a line may be.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_core::{EpochMs, Service};
use tailrace_engine::{Caller, Db, Settings, ops};
use tailrace_store::ModelEngine;

use super::lines::{LINE_BYTES_MAX, Lines};
use super::play;

struct Bench {
    db: Arc<Db>,
    store: Arc<ModelEngine>,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

const WRITES: &str = r#"
{"UpdateItem": {"TableName": "Counters", "Key": {"Id": {"S": "a"}}, "UpdateExpression": "ADD N :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}}
{"UpdateItem": {"TableName": "Counters", "Key": {"Id": {"S": "a"}}, "UpdateExpression": "ADD N :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}}
{"UpdateItem": {"TableName": "Counters", "Key": {"Id": {"S": "a"}}, "UpdateExpression": "ADD N :two", "ExpressionAttributeValues": {":two": {"N": "2"}}}}
{"PutItem": {"TableName": "Counters", "Item": {"Id": {"S": "b"}}, "ConditionExpression": "attribute_not_exists(Id)"}}
{"PutItem": {"TableName": "Counters", "Item": {"Id": {"S": "b"}}, "ConditionExpression": "attribute_not_exists(Id)"}}
{"UpdateItem": {"TableName": "Counters", "Key": {"Id": {"S": "a"}}, "UpdateExpression": "ADD N :two", "ExpressionAttributeValues": {":two": {"N": "2"}}}}
"#;
/// What they add up to.
const SUM: &str = "6";

impl Bench {
    async fn new(writes: &str) -> Bench {
        let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
        let store = ModelEngine::new(clock.clone());
        let db = Db::open(store.clone(), clock, Arc::new(SeededRng::new(1)), Settings::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench { db: Arc::new(db), store, file: dir.path().join("writes.ndjson"), _dir: dir };
        bench.write(writes);
        let table = json!({ "TableName": "Counters", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{ "AttributeName": "Id", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "Id", "KeyType": "HASH" }] });
        bench.call("CreateTable", &table).await;
        bench
    }

    fn write(&self, writes: &str) {
        std::fs::write(&self.file, writes).unwrap();
    }

    async fn call(&self, operation: &str, request: &Value) -> Value {
        let body = request.to_string();
        let answer =
            ops::execute(&self.db, Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    async fn play(&self) {
        play(&self.file, &self.db).await.unwrap();
    }

    async fn sum(&self) -> Value {
        let ask = json!({ "TableName": "Counters", "Key": { "Id": { "S": "a" } } });
        self.call("GetItem", &ask).await["Item"]["N"]["N"].clone()
    }
}

/// Plays again and again, each time into a crash at the first commit, and lets a function write to the same item
/// between the crashes. `kept`: the commit was durable before the crash.
async fn crashes_at_every_commit(kept: impl Fn(u32) -> bool) {
    let bench = Bench::new(WRITES).await;
    let mut crashes = 0;
    loop {
        bench.store.hold_syncs(true);
        let ended = play(&bench.file, &bench.db).now_or_never();
        if kept(crashes) {
            bench.store.hold_syncs(false);
        }
        bench.store.crash();
        if let Some(ended) = ended {
            ended.unwrap();
            break;
        }
        let note = json!({ "TableName": "Counters", "Key": { "Id": { "S": "a" } }, "UpdateExpression": "SET Note = :n",
            "ExpressionAttributeValues": { ":n": { "N": crashes.to_string() } } });
        bench.call("UpdateItem", &note).await;
        crashes += 1;
        assert!(crashes < 100, "the play gets no further");
    }
    assert!(crashes >= 7, "{crashes} crashes: one for each line and one for the file's name");
    assert_eq!(bench.sum().await, SUM);
}

#[tokio::test]
async fn a_crash_right_after_a_commit_repeats_no_line() {
    crashes_at_every_commit(|_| true).await;
}

#[tokio::test]
async fn a_crash_right_before_a_commit_loses_no_line() {
    crashes_at_every_commit(|crash| crash % 2 == 1).await;
}

#[tokio::test]
async fn a_batch_is_not_repeated_by_a_crash_before_it_is_done() {
    let put = |id: &str| format!(r#"{{"PutRequest": {{"Item": {{"Id": {{"S": "{id}"}}}}}}}}"#);
    let batch = format!(r#"{{"BatchWriteItem": {{"RequestItems": {{"Counters": [{}, {}]}}}}}}"#, put("c"), put("d"));
    let bench = Bench::new(&batch).await;
    let ask = |id: &str| json!({ "TableName": "Counters", "Key": { "Id": { "S": id } } });
    let mut crashes = 0;
    while bench.call("GetItem", &ask("c")).await == json!({}) {
        bench.store.hold_syncs(true);
        assert!(play(&bench.file, &bench.db).now_or_never().is_none(), "the play was cut off before its end");
        bench.store.hold_syncs(false);
        bench.store.crash();
        crashes += 1;
        assert!(crashes < 10, "the play gets no further");
    }
    // A function changes one item and removes the other; the next start must leave both as they are.
    let mut note = ask("c");
    note["UpdateExpression"] = json!("SET Note = :n");
    note["ExpressionAttributeValues"] = json!({ ":n": { "N": "1" } });
    bench.call("UpdateItem", &note).await;
    bench.call("DeleteItem", &ask("d")).await;
    bench.play().await;
    assert_eq!(bench.call("GetItem", &ask("c")).await["Item"]["Note"]["N"], "1");
    assert_eq!(bench.call("GetItem", &ask("d")).await, json!({}));
}

#[tokio::test]
async fn what_was_decided_is_not_tried_again_and_what_could_not_be_is() {
    let bench = Bench::new(WRITES).await;
    bench.play().await;
    bench.call("DeleteItem", &json!({ "TableName": "Counters", "Key": { "Id": { "S": "b" } } })).await;
    bench.play().await;
    let item = bench.call("GetItem", &json!({ "TableName": "Counters", "Key": { "Id": { "S": "b" } } })).await;
    assert_eq!(item, json!({}), "the second put was refused while the item was there, and that was that");
    // A table that is not there yet decides nothing: once it is there the line is played.
    let bench = Bench::new(&WRITES.replace("Counters", "Others")).await;
    bench.play().await;
    let table = json!({ "TableName": "Others", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "Id", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "Id", "KeyType": "HASH" }] });
    bench.call("CreateTable", &table).await;
    bench.play().await;
    bench.play().await;
    let ask = json!({ "TableName": "Others", "Key": { "Id": { "S": "a" } } });
    assert_eq!(bench.call("GetItem", &ask).await["Item"]["N"]["N"], SUM);
}

#[tokio::test]
async fn a_file_that_changes_plays_the_lines_that_it_gained() {
    let bench = Bench::new(WRITES).await;
    bench.play().await;
    bench.play().await;
    assert_eq!(bench.sum().await, SUM);
    // Fewer lines, other lines, another order, and one text once more.
    let mut lines: Vec<&str> = WRITES.lines().filter(|line| line.contains("ADD")).rev().collect();
    lines.push(lines[3]);
    let hundred = lines[0].replace(r#"{"N": "2"}"#, r#"{"N": "100"}"#);
    lines[0] = &hundred;
    bench.write(&lines.join("\r\n"));
    bench.play().await;
    bench.play().await;
    assert_eq!(bench.sum().await, "107", "6 were there; 100 are new, and one of the ones");
}

#[track_caller]
fn check(line: &str, expect: &str) {
    let group = Lines::of(line.as_bytes()).next_group().unwrap();
    let text = match group[0].parse() {
        Ok((operation, request)) => format!("{operation} {request}"),
        Err(why) => why.to_string(),
    };
    assert_eq!(text, expect, "{line}");
}

#[test]
fn a_line_is_a_write_or_says_why_not() {
    check(r#"{"PutItem": {"a": 1}}"#, r#"PutItem {"a": 1}"#);
    check("\u{feff}{\"DeleteItem\": {}}", "DeleteItem {}");
    let operations = "is not one of PutItem, UpdateItem, DeleteItem, BatchWriteItem";
    check(r#"{"DeleteTable": {"TableName": "Counters"}}"#, &format!(r#""DeleteTable" {operations}"#));
    check(r#"{"Put\nItem": {}}"#, &format!(r#""Put\nItem" {operations}"#));
    check(r#"["PutItem"]"#, r#"not of the form {"PutItem": {...}}"#);
    check(r#"{"PutItem": {}, "DeleteItem": {}}"#, r#"not of the form {"PutItem": {...}}"#);
    check("nothing", "not JSON: expected ident at line 1 column 2");
}

/// A file of any length is read in groups, and what is in them does not depend on where one ends.
#[test]
fn lines_come_in_groups_with_their_numbers_and_a_line_that_is_too_long_is_passed_over() {
    let long = "x".repeat(LINE_BYTES_MAX);
    let mut text = String::new();
    // Each of them twice, and a blank line behind each pair.
    for n in 0..1500 {
        text += &format!("{n}\n  {n}\r\n\n");
    }
    text += &format!("{long}\n{long}y\r\n{long}{long}\nlast");
    let (mut lines, mut seen, mut groups) = (Lines::of(text.as_bytes()), Vec::new(), 0);
    loop {
        let group = lines.next_group().unwrap();
        if group.is_empty() {
            break;
        }
        groups += 1;
        assert!(group.len() <= 1000, "{}", group.len());
        seen.extend(group);
    }
    assert!(groups >= 6, "{groups}");
    assert_eq!(seen.len(), 3004);
    assert_eq!((seen[0].number, seen[1].number, seen[2].number, seen[2999].number), (1, 2, 4, 4499));
    assert_eq!(seen[0].mark().request, seen[1].mark().request, "the same text");
    assert_ne!(seen[0].mark().token, seen[1].mark().token, "and another time");
    let why: Vec<String> = seen[3000..].iter().map(|line| line.parse().unwrap_err().to_string()).collect();
    let too_long = format!("longer than {LINE_BYTES_MAX} bytes");
    let not_json = "not JSON: expected value at line 1 column 1";
    assert_eq!(why, [not_json, &too_long, &too_long, "not JSON: expected value at line 1 column 1"]);
    assert_eq!(seen[3003].number, 4504);
}
