//! What becomes of each document, of a bulk as a whole, and of a flush.

use serde_json::{Value, json};
use tailrace_core::{EpochMs, RecordNo};
use tailrace_engine::streams::record::StreamRecord;

use super::fake::{Fake, Fault, ItemFault};
use super::{TIME, config, flush, record, sink, table};
use crate::search::Search;
use crate::sink::{Flush, Flushed, Origin, Rejected, Sink, SinkError};

async fn started(more: Value) -> (Fake, Search) {
    let fake = Fake::start().await;
    let sink = sink(config(&fake.address, &more), 1);
    sink.prepare(table("S", None).into()).await.unwrap();
    (fake, sink)
}

fn puts(count: u64) -> Vec<StreamRecord> {
    (1..=count).map(|number| record(number, &format!("k{number}"), Some(&json!({"n": {"N": "1"}})))).collect()
}

fn lines(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Spec: sinks.md 3.3, the lines of a bulk; TTL deletes are deletes.
#[tokio::test]
async fn a_bulk_has_external_versions_from_the_records_numbers() {
    let (fake, sink) = started(json!({})).await;
    let mut expired = record(9, "b", None);
    expired.meta.by_service = true;
    let records = vec![record(7, "a", Some(&json!({"n": {"N": "1.50"}}))), expired];
    assert_eq!(sink.flush(flush(records)).await.unwrap().rejected, []);
    let state = fake.state();
    let [bulk] = state.bulks()[..] else { panic!("not one bulk") };
    assert_eq!(bulk.path, "/orders-v1/_bulk");
    assert!(bulk.query.starts_with("refresh=false&timeout=30s&filter_path=errors,"), "{}", bulk.query);
    let expected = "{\"index\":{\"_id\":\"a\",\"version\":7,\"version_type\":\"external\"}}\n\
                    {\"n\":1.5,\"pk\":\"a\"}\n\
                    {\"delete\":{\"_id\":\"b\",\"version\":9,\"version_type\":\"external\"}}\n";
    assert_eq!(bulk.body, expected);
    let index = &state.indexes["orders-v1"];
    assert_eq!(index.documents["a"], (7, json!({"pk": "a", "n": 1.5})));
    assert_eq!(index.tombstones["b"], 9);
}

/// Spec: sinks.md 9, an out-of-order resend must not win.
#[tokio::test]
async fn an_old_repeat_changes_nothing() {
    let (fake, sink) = started(json!({})).await;
    let old = vec![record(1, "a", Some(&json!({"n": {"N": "1"}}))), record(2, "b", Some(&json!({})))];
    let newer = vec![record(3, "a", Some(&json!({"n": {"N": "2"}}))), record(4, "b", None)];
    for records in [&old, &newer, &old, &newer, &old] {
        assert_eq!(sink.flush(flush(records.clone())).await.unwrap().rejected, []);
    }
    assert_eq!(fake.state().documents("orders-v1"), [("a".to_owned(), json!({"pk": "a", "n": 2}))].into());
}

/// Spec: sinks.md 3.3: statuses 429 and 503 are retried for those items only; a delete of nothing is done.
#[tokio::test]
async fn only_what_was_refused_is_sent_again() {
    let (fake, sink) = started(json!({})).await;
    let mut left =
        vec![("k2", ItemFault::Refuse(429)), ("k4", ItemFault::DoneThen(503)), ("k2", ItemFault::Refuse(503))];
    fake.state().item_faults = Box::new(move |id| {
        let at = left.iter().position(|(key, _)| *key == id)?;
        Some(left.remove(at).1)
    });
    let mut records = puts(5);
    records.push(record(6, "never there", None));
    assert_eq!(sink.flush(flush(records)).await.unwrap().rejected, []);
    let state = fake.state();
    let ids = |body: &str| -> Vec<String> {
        let id = |line: &Value| line["index"]["_id"].as_str().or(line["delete"]["_id"].as_str()).map(str::to_owned);
        lines(body).iter().filter_map(id).collect()
    };
    let sent: Vec<Vec<String>> = state.bulks().iter().map(|bulk| ids(&bulk.body)).collect();
    assert_eq!(sent, [vec!["k1", "k2", "k3", "k4", "k5", "never there"], vec!["k2", "k4"], vec!["k2"]]);
    assert_eq!(state.documents("orders-v1").len(), 5);
}

#[tokio::test]
async fn what_is_refused_for_longer_than_moments_is_an_error() {
    let (fake, sink) = started(json!({})).await;
    fake.state().item_faults = Box::new(|id| (id == "k2").then_some(ItemFault::Refuse(429)));
    let error = sink.flush(flush(puts(3))).await.unwrap_err();
    assert_eq!(error.to_string(), "1 of 3 documents were refused 4 times: 429: refused: by a test");
    fake.state().item_faults = Box::new(|_| None);
    assert_eq!(sink.flush(flush(puts(3))).await.unwrap().rejected, []);
    assert_eq!(fake.state().documents("orders-v1").len(), 3);
}

/// Spec: sinks.md 3.3, mapping errors go to the error output, with the reason, and stop nothing.
#[tokio::test]
async fn what_the_mapping_does_not_take_is_rejected() {
    let (fake, sink) = started(json!({})).await;
    let mut records = puts(3);
    records[1] = record(2, "k2", Some(&json!({"n": {"S": "poison"}})));
    // Whether it is rejected does not depend on what follows.
    records.push(record(4, "k2", Some(&json!({}))));
    let mut keys_alone = record(5, "k5", Some(&json!({})));
    keys_alone.new = None;
    records.push(keys_alone);
    let flushed = sink.flush(flush(records)).await.unwrap();
    let rejected = |index: usize, error: &str| Rejected { index, error: error.to_owned() };
    let expected = [
        rejected(1, "400: mapper_parsing_exception: failed to parse"),
        rejected(4, "it holds no item: the view of its stream is NEW_AND_OLD_IMAGES"),
    ];
    assert_eq!(flushed.rejected, expected);
    assert_eq!(fake.state().documents("orders-v1").keys().collect::<Vec<_>>(), ["k1", "k2", "k3"]);
}

/// Spec: sinks.md 3.3: status 413 halves the bulk.
#[tokio::test]
async fn a_bulk_that_is_too_large_is_halved() {
    let (fake, sink) = started(json!({})).await;
    let text = "x".repeat(1_000);
    let mut records: Vec<StreamRecord> =
        (1..=200).map(|number| record(number, &format!("k{number}"), Some(&json!({"t": {"S": text}})))).collect();
    records[9] = record(10, "huge", Some(&json!({"t": {"S": "x".repeat(90_000)}})));
    fake.state().bytes_max = 80_000;
    let flushed = sink.flush(flush(records.clone())).await.unwrap();
    let [Rejected { index: 9, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.starts_with("413: the target takes no bulk of 90"), "{error}");
    let bulks = fake.state().bulks().len();
    assert_eq!(fake.state().documents("orders-v1").len(), 199);
    // What was learned is kept: of the next flush no bulk is too large.
    records.remove(9);
    for record in &mut records {
        record.number = RecordNo(record.number.0 + 1_000);
    }
    fake.state().asked.clear();
    sink.flush(flush(records)).await.unwrap();
    let state = fake.state();
    assert!(state.bulks().iter().all(|bulk| bulk.body.len() <= 80_000) && state.bulks().len() < bulks);
}

#[tokio::test]
async fn a_flush_that_fails_again_and_again_is_sent_in_smaller_bulks() {
    let (fake, sink) = started(json!({"flush": {"bytes": 4_096}})).await;
    for (failed_before, expected) in [(0, 2), (1, 2), (2, 3), (4, 5), (1_000, 60)] {
        fake.state().asked.clear();
        sink.flush(Flush { failed_before, ..flush(puts(60)) }).await.unwrap();
        assert_eq!(fake.state().bulks().len(), expected, "after {failed_before} failures");
    }
}

/// Spec: sinks.md 9, an answer that is lost, cut or damaged is never a success; the repeat has the effect once.
#[tokio::test]
async fn a_bulk_whose_answer_is_not_whole_is_an_error() {
    for fault in [
        Fault::HangUp,
        Fault::DoneThenHangUp,
        Fault::DoneThen(500),
        Fault::DoneThen(301),
        Fault::DoneThenCut(0),
        Fault::DoneThenCut(50),
        Fault::DoneThenCut(99),
        Fault::DoneThenGarbage,
        Fault::DoneThenShort,
        Fault::Refuse(500),
        Fault::Refuse(401),
        Fault::Refuse(400),
    ] {
        let (fake, sink) = started(json!({})).await;
        fake.state().fail("_bulk", &[fault]);
        let error = sink.flush(flush(puts(3))).await.expect_err("not a success");
        assert!(!error.to_string().is_empty());
        assert_eq!(sink.flush(flush(puts(3))).await.unwrap().rejected, [], "{fault:?}");
        assert_eq!(fake.state().documents("orders-v1").len(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn a_bulk_that_is_refused_for_the_moment_is_sent_again() {
    let (fake, sink) = started(json!({})).await;
    fake.state().fail("_bulk", &[Fault::Refuse(429), Fault::Refuse(503), Fault::DoneThen(504)]);
    assert_eq!(sink.flush(flush(puts(3))).await.unwrap().rejected, []);
    assert_eq!(fake.state().bulks().len(), 4);
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for() {
    let (fake, sink) = started(json!({"timeout_seconds": 1})).await;
    fake.state().fail("_bulk", &[Fault::Silence]);
    let error = sink.flush(flush(puts(1))).await.unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[tokio::test]
async fn a_target_that_is_down_is_named() {
    let fake = Fake::start().await;
    let sink = sink(config(&fake.address, &json!({"auth": {"bearer": "hunter2"}})), 1);
    let address = fake.address.clone();
    drop(fake);
    // The task ends at its next wait: the port refuses, or hangs up.
    let SinkError(error) = sink.flush(flush(puts(1))).await.unwrap_err();
    assert!(error.starts_with(&format!("a bulk to {address}: ")), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn credentials_go_with_every_request() {
    for (auth, expected) in [
        (json!({"basic": {"user": "u", "password": "p:w"}}), "Basic dTpwOnc="),
        (json!({"api_key": "aWQ6a2V5"}), "ApiKey aWQ6a2V5"),
        (json!({"bearer": "token"}), "Bearer token"),
    ] {
        let (fake, sink) = started(json!({ "auth": auth })).await;
        sink.flush(flush(puts(1))).await.unwrap();
        sink.swap().await.unwrap();
        let state = fake.state();
        assert!(state.asked.iter().all(|asked| asked.authorization.as_deref() == Some(expected)));
        assert!(state.asked.len() > 4);
    }
}

#[tokio::test]
async fn bodies_are_zipped_if_wanted() {
    let (fake, sink) = started(json!({"gzip": true})).await;
    sink.flush(flush(puts(100))).await.unwrap();
    let state = fake.state();
    assert!(state.bulks()[0].is_gzip);
    assert_eq!(state.documents("orders-v1").len(), 100);
}

/// Spec: sinks.md 1, a snapshot's items carry the point's number, below that of every change that follows.
#[tokio::test]
async fn a_snapshot_is_written_under_the_same_rule() {
    let (fake, sink) = started(json!({})).await;
    let at = |number: u64, n: &str| record(number, "a", Some(&json!({"n": {"N": n}})));
    let page = Flush {
        origin: Origin::Snapshot { page: 0, made_by: 1 },
        ..flush(vec![at(0, "1"), record(0, "b", Some(&json!({})))])
    };
    sink.flush(page.clone()).await.unwrap();
    sink.flush(flush(vec![at(1, "2"), record(2, "b", None)])).await.unwrap();
    sink.flush(page).await.unwrap();
    assert_eq!(fake.state().documents("orders-v1"), [("a".to_owned(), json!({"pk": "a", "n": 2}))].into());
}

#[tokio::test]
async fn items_of_two_tables_do_not_share_an_index() {
    let (_fake, sink) = started(json!({})).await;
    let mut other = table("S", None);
    other.table = "Users".to_owned();
    let error = sink.prepare(other.clone().into()).await.unwrap_err();
    assert!(error.to_string().contains("orders-v1 has the items of Orders"), "{error}");
    let (_fake, sink) = started(json!({"mode": "log"})).await;
    sink.prepare(other.into()).await.unwrap();
}

/// Spec: sinks.md 3.3, rotation is for change logs: `_id` = eventID, `create`, 409 = done.
#[tokio::test]
async fn a_log_has_every_change_once() {
    let (fake, sink) = started(json!({"mode": "log", "rotation": "OneDay", "types": {"n": "string"}})).await;
    let mut records = puts(3);
    records[1] = record(2, "k1", None);
    records[1].meta.by_service = true;
    records[1].old = records[0].new.clone();
    records[2].time_ms = EpochMs(TIME.0 + 24 * 3_600_000);
    for _ in 0..2 {
        assert_eq!(sink.flush(flush(records.clone())).await.unwrap().rejected, []);
    }
    let state = fake.state();
    assert_eq!(state.indexes.keys().collect::<Vec<_>>(), ["orders-2016-02-25", "orders-2016-02-26"]);
    let documents = state.documents("orders-2016-02-25");
    assert_eq!(documents.len(), 2);
    let removal = documents.values().find(|document| document["event_name"] == "REMOVE").unwrap();
    let id = documents.iter().find(|(_, document)| *document == removal).unwrap().0;
    assert_eq!(id.len(), 32);
    let expected = json!({
        "table": "Orders", "event_name": "REMOVE", "event_id": id, "shard_id": "shardId-1",
        "sequence_number": "100000000000000000002", "lsn": 2, "event_time": TIME.0, "is_ttl": true,
        "keys": {"pk": "k1"}, "old_image": {"pk": "k1", "n": "1"},
    });
    assert_eq!(*removal, expected);
}

#[tokio::test]
async fn the_entries_of_a_snapshot_are_told_apart_by_their_keys() {
    let (fake, sink) = started(json!({"mode": "log"})).await;
    let page = |keys: &[&str]| {
        let records = keys.iter().map(|key| record(5, key, Some(&json!({})))).collect();
        Flush { origin: Origin::Snapshot { page: 0, made_by: 1 }, ..flush(records) }
    };
    sink.flush(page(&["a", "b"])).await.unwrap();
    sink.flush(page(&["b", "c"])).await.unwrap();
    assert_eq!(fake.state().documents("orders").len(), 3);
}

/// An index of a log that was removed, by age or by hand, is made again; one of items is missed.
#[tokio::test]
async fn an_index_that_is_gone() {
    let (fake, sink) = started(json!({"mode": "log"})).await;
    fake.state().indexes.clear();
    let error = sink.flush(flush(puts(1))).await.unwrap_err();
    assert!(error.to_string().contains("is made anew"), "{error}");
    assert_eq!(sink.flush(flush(puts(1))).await, Ok(Flushed { bytes: 305, ..Flushed::default() }));
    let (fake, sink) = started(json!({})).await;
    fake.state().indexes.clear();
    let error = sink.flush(flush(puts(1))).await.unwrap_err();
    assert!(error.to_string().contains("a rebuild of the sink makes it anew"), "{error}");
}

#[tokio::test]
async fn the_bounds_are_those_of_the_configuration() {
    let (_fake, sink) = started(json!({"flush": {"records": 7, "bytes": 1_000, "seconds": 3}})).await;
    let bounds = sink.bounds();
    assert_eq!((bounds.records_max, bounds.bytes_max, bounds.window.as_secs()), (7, 1_000, 3));
    let put = record(1, "k", Some(&json!({"t": {"S": "x".repeat(500)}})));
    let size = sink.size(&put).unwrap();
    assert!((500..800).contains(&size), "{size}");
    let damaged = StreamRecord { new: Some(vec![0xff; 12].into()), ..put };
    assert!(sink.size(&damaged).is_err());
    let error = sink.flush(flush(vec![damaged])).await.unwrap_err();
    assert!(error.to_string().contains("the record 100000000000000000001 of Orders"), "{error}");
}
