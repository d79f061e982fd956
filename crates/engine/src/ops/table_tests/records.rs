//! Records as GetRecords and a Lambda event hold them, positions, pages and retention.

use tailrace_core::{RecordNo, StreamArn};
use tailrace_store::Engine;

use super::*;
use crate::streams::record::StreamRecord;

async fn stream(bench: &Bench, view: &str) -> (String, Value) {
    let arn = bench.create("users", Some(view)).await["LatestStreamArn"].as_str().unwrap().to_owned();
    let shard = bench.shards(&arn).await[0].clone();
    (arn, shard)
}

fn numbers(answer: &Value) -> Vec<String> {
    let records = answer["Records"].as_array().unwrap();
    records.iter().map(|r| r["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()).collect()
}

/// docs/spec/streams.md 8, 8.1
#[tokio::test]
async fn a_record_has_its_members_and_is_the_same_on_every_reading() {
    let bench = Bench::single().await;
    let (arn, _) = stream(&bench, "NEW_AND_OLD_IMAGES").await;
    bench.put("users", "k", 1).await;
    bench.clock.advance(1_999);
    bench.put("users", "k", 2).await;
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": {"S": "k"}}})).await;
    let records = bench.records(&arn).await;
    assert_eq!(records, bench.records(&arn).await);
    let names: Vec<&Value> = records.iter().map(|record| &record["eventName"]).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let id = records[1]["eventID"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    assert_ne!(records[0]["eventID"], records[1]["eventID"]);
    let number = records[1]["dynamodb"]["SequenceNumber"].clone();
    assert_eq!(number.as_str().unwrap().len(), 21);
    assert_eq!(
        records[1],
        json!({
            "eventID": id,
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_001.0,
                "Keys": {"pk": {"S": "k"}},
                "NewImage": {"pk": {"S": "k"}, "v": {"N": "2"}},
                "OldImage": {"pk": {"S": "k"}, "v": {"N": "1"}},
                "SequenceNumber": number,
                "SizeBytes": 3 + (3 + 3) + (3 + 3),
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        })
    );
}

/// docs/spec/streams.md 8 (eventSourceARN; userIdentity in its two spellings)
#[tokio::test]
async fn a_lambda_event_adds_the_source() {
    let bench = Bench::single().await;
    let (arn, _) = stream(&bench, "KEYS_ONLY").await;
    bench.put("users", "k", 1).await;
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": {"S": "k"}}})).await;
    let id = bench.db.stream(&arn).await.unwrap().id;
    let shard = bench.store.shards(id).await.unwrap()[0].shard;
    let page = bench.store.read_log(shard, RecordNo::ZERO, 10, usize::MAX).await.unwrap();
    let writer = bench.db.record_writer();
    let mut record = StreamRecord::read(page.records[1].clone()).unwrap();
    let write = |record: &StreamRecord, event: bool| -> Value {
        let mut out = Vec::new();
        match event {
            true => writer.write_event(record, &StreamArn::new(&arn), &mut out).unwrap(),
            false => writer.record(record).unwrap().write_json(&mut out).unwrap(),
        }
        if event {
            assert_eq!(
                writer.event_bytes(record, &StreamArn::new(&arn)).unwrap(),
                out.len(),
                "measured as it is written"
            );
        }
        serde_json::from_slice(&out).unwrap()
    };
    let event = write(&record, true);
    assert_eq!(event["eventSourceARN"], json!(arn));
    assert_eq!(event["dynamodb"], bench.records(&arn).await[1]["dynamodb"]);
    assert_eq!(event.get("userIdentity"), None);
    record.meta.by_service = true;
    let service = "dynamodb.amazonaws.com";
    assert_eq!(write(&record, true)["userIdentity"], json!({"type": "Service", "principalId": service}));
    assert_eq!(write(&record, false)["userIdentity"], json!({"Type": "Service", "PrincipalId": service}));
}

/// docs/spec/streams.md 8, docs/spec/event-source-mapping.md 6: every byte of both forms. Functions and tests compare texts, and
/// languages tell `1.0` from `1`.
#[tokio::test]
async fn a_record_has_these_bytes() {
    let bench = Bench::single().await;
    let (arn, _) = stream(&bench, "NEW_AND_OLD_IMAGES").await;
    let item = json!({"pk": {"S": "k\"\u{e9}"}, "n": {"NS": ["1e2", "-12.50"]}, "b": {"B": "AAE="}, "t": {"BOOL": true},
        "l": {"L": [{"NULL": true}, {"M": {"x": {"SS": ["a", "b"]}}}]}});
    bench.ok("PutItem", json!({"TableName": "users", "Item": item})).await;
    bench.clock.advance(1_999);
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": item["pk"]}})).await;
    let id = bench.db.stream(&arn).await.unwrap().id;
    let shard = bench.store.shards(id).await.unwrap()[0].shard;
    let page = bench.store.read_log(shard, RecordNo::ZERO, 10, usize::MAX).await.unwrap();
    let writer = bench.db.record_writer();
    let image = r#"{"b":{"B":"AAE="},"l":{"L":[{"NULL":true},{"M":{"x":{"SS":["a","b"]}}}]},"n":{"NS":["-12.5","100"]},"pk":{"S":"k\"é"},"t":{"BOOL":true}}"#;
    let keys = r#"{"pk":{"S":"k\"é"}}"#;
    for (index, name, images, time) in
        [(0, "INSERT", "NewImage", "1700000000.0"), (1, "REMOVE", "OldImage", "1700000001.0")]
    {
        let mut record = StreamRecord::read(page.records[index].clone()).unwrap();
        record.meta.by_service = index == 1;
        let typed = writer.record(&record).unwrap();
        let (event_id, number) = (typed.event_id, record.sequence_number());
        let size = record.size_bytes().unwrap();
        let form = |identity: &str, source: &str| {
            format!(
                r#"{{"eventID":"{event_id}","eventName":"{name}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{{"ApproximateCreationDateTime":{time},"Keys":{keys},"{images}":{image},"SequenceNumber":"{number}","SizeBytes":{size},"StreamViewType":"NEW_AND_OLD_IMAGES"}}{identity}{source}}}"#
            )
        };
        let identity = |members| if index == 1 { members } else { "" };
        let (mut api, mut event) = (Vec::new(), Vec::new());
        typed.write_json(&mut api).unwrap();
        writer.write_event(&record, &StreamArn::new(&arn), &mut event).unwrap();
        let capital = identity(r#","userIdentity":{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"}"#);
        assert_eq!(String::from_utf8(api).unwrap(), form(capital, ""));
        let lower = identity(r#","userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#);
        let source = format!(r#","eventSourceARN":"{arn}""#);
        assert_eq!(String::from_utf8(event).unwrap(), form(lower, &source));
    }
}

/// docs/spec/streams.md 6: what each type of iterator reads
#[tokio::test]
async fn iterators_stand_where_their_type_says() {
    let bench = Bench::single().await;
    let (arn, shard) = stream(&bench, "KEYS_ONLY").await;
    let latest_before = bench.iterator(&arn, &shard, "LATEST").await;
    for pk in ["a", "b", "c"] {
        bench.put("users", pk, 1).await;
        bench.clock.advance(10_000);
    }
    let all = numbers(&bench.ok("GetRecords", json!({"ShardIterator": latest_before})).await);
    assert_eq!(all.len(), 3, "LATEST is bound when it is asked for");
    let read = |members: Value| {
        let body = with(json!({"StreamArn": arn, "ShardId": shard["ShardId"]}), members);
        let bench = &bench;
        async move {
            let iterator = bench.ok("GetShardIterator", body).await["ShardIterator"].clone();
            numbers(&bench.ok("GetRecords", json!({"ShardIterator": iterator})).await)
        }
    };
    let start = shard["SequenceNumberRange"]["StartingSequenceNumber"].clone();
    assert_eq!(read(json!({"ShardIteratorType": "TRIM_HORIZON"})).await, all);
    assert_eq!(read(json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": start})).await, all);
    assert_eq!(read(json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": all[1]})).await, all[1..]);
    assert_eq!(read(json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": all[1]})).await, all[2..]);
    assert_eq!(read(json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": all[2]})).await.len(), 0);
    assert_eq!(read(json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_700_000_009.5})).await, all[1..]);
    assert_eq!(read(json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1})).await, all);
    assert_eq!(read(json!({"ShardIteratorType": "LATEST"})).await.len(), 0);
}

/// docs/spec/streams.md 6: an instant has the precision of a millisecond, and the present one is not the future, even by a clock
/// that is a little ahead.
#[tokio::test]
async fn the_present_time_is_a_position() {
    let bench = Bench::single().await;
    let (arn, shard) = stream(&bench, "KEYS_ONLY").await;
    bench.clock.advance(999);
    bench.put("users", "a", 1).await;
    for (timestamp, found) in
        [(1_700_000_000.999, 1), (1_700_000_000.999_9, 1), (1_700_000_001.000_4, 0), (1_700_000_001.999_9, 0)]
    {
        let body = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "AT_TIMESTAMP",
                          "Timestamp": timestamp});
        let iterator = bench.ok("GetShardIterator", body).await["ShardIterator"].clone();
        let answer = bench.ok("GetRecords", json!({"ShardIterator": iterator})).await;
        assert_eq!(numbers(&answer).len(), found, "{timestamp}");
    }
}

/// docs/spec/streams.md 7: pages, an open shard's end, a closed shard's end
#[tokio::test]
async fn pages_end_as_the_shard_does() {
    let bench = Bench::single().await;
    let (arn, shard) = stream(&bench, "KEYS_ONLY").await;
    for pk in ["a", "b", "c"] {
        bench.put("users", pk, 1).await;
    }
    let iterator = bench.iterator(&arn, &shard, "TRIM_HORIZON").await;
    let first = bench.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 2})).await;
    assert_eq!(numbers(&first), numbers(&bench.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 2})).await));
    let second = bench.ok("GetRecords", json!({"ShardIterator": first["NextShardIterator"]})).await;
    assert_eq!((numbers(&first).len(), numbers(&second).len()), (2, 1));
    let empty = bench.ok("GetRecords", json!({"ShardIterator": second["NextShardIterator"]})).await;
    assert_eq!(empty["Records"], json!([]));
    bench.put("users", "d", 1).await;
    let late = bench.ok("GetRecords", json!({"ShardIterator": empty["NextShardIterator"]})).await;
    assert_eq!(numbers(&late).len(), 1);
    bench.ok("UpdateTable", json!({"TableName": "users", "StreamSpecification": {"StreamEnabled": false}})).await;
    let end = bench.ok("GetRecords", json!({"ShardIterator": late["NextShardIterator"]})).await;
    assert_eq!(end, json!({"Records": []}), "no NextShardIterator at a closed shard's end");
    let all = bench.ok("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!((numbers(&all).len(), all.get("NextShardIterator")), (4, None));
}

/// docs/spec/streams.md 7: a page has at most 1 MB, but at least one record, and the pages miss none.
#[tokio::test]
async fn a_page_ends_before_it_exceeds_a_megabyte() {
    let bench = Bench::single().await;
    let (arn, shard) = stream(&bench, "NEW_AND_OLD_IMAGES").await;
    let large = "x".repeat(300_000);
    for number in 0..6 {
        let item = json!({"pk": {"S": "k"}, "v": {"S": large}, "n": {"N": number.to_string()}});
        bench.ok("PutItem", json!({"TableName": "users", "Item": item})).await;
    }
    let mut iterator = json!(bench.iterator(&arn, &shard, "TRIM_HORIZON").await);
    let mut pages = Vec::new();
    while pages.iter().sum::<usize>() < 6 {
        let answer = bench.ok("GetRecords", json!({"ShardIterator": iterator})).await;
        let records = answer["Records"].as_array().unwrap();
        let bytes: u64 = records.iter().map(|record| record["dynamodb"]["SizeBytes"].as_u64().unwrap()).sum();
        assert!(bytes <= 1024 * 1024, "{bytes}");
        pages.push(records.len());
        iterator = answer["NextShardIterator"].clone();
    }
    assert_eq!(pages, [2, 1, 1, 1, 1], "an INSERT has one image, a MODIFY two");
}

/// docs/spec/streams.md 12, 7 (TrimmedDataAccessException), 5.1 (StartingSequenceNumber)
#[tokio::test]
async fn records_go_after_a_day_and_only_readers_who_missed_them_are_told() {
    let bench = Bench::single().await;
    let (arn, shard) = stream(&bench, "KEYS_ONLY").await;
    for pk in ["a", "b", "c"] {
        bench.put("users", pk, 1).await;
    }
    bench.clock.advance(24 * 60 * 60 * 1000 - 1000);
    let horizon = bench.iterator(&arn, &shard, "TRIM_HORIZON").await;
    let end = bench.iterator(&arn, &shard, "LATEST").await;
    let half = bench.ok("GetRecords", json!({"ShardIterator": horizon, "Limit": 1})).await["NextShardIterator"].clone();
    let number = numbers(&bench.ok("GetRecords", json!({"ShardIterator": horizon})).await)[1].clone();
    bench.run_background(bench.clock.now()).await.unwrap();
    assert_eq!(bench.records(&arn).await.len(), 3, "not a day old yet");

    bench.clock.advance(2_000);
    bench.put("users", "d", 1).await;
    bench.run_background(bench.clock.now()).await.unwrap();
    bench.run_background(bench.clock.now()).await.unwrap();
    let left = bench.records(&arn).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["dynamodb"]["Keys"]["pk"]["S"], "d");
    for iterator in [json!(horizon), json!(end)] {
        assert_eq!(numbers(&bench.ok("GetRecords", json!({"ShardIterator": iterator})).await).len(), 1);
    }
    let answer = bench.call("GetRecords", json!({"ShardIterator": half})).await;
    assert!(answer.unwrap_err().to_string().starts_with("TrimmedDataAccessException"));
    let old = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "AT_SEQUENCE_NUMBER",
                     "SequenceNumber": number});
    let answer = bench.call("GetShardIterator", old).await;
    assert!(answer.unwrap_err().to_string().starts_with("TrimmedDataAccessException"));
}

/// docs/spec/streams.md 6, 7, 12: who has read every record that went has missed none, however far the shard's numbers have
/// gone on since.
#[tokio::test]
async fn a_reader_who_has_read_everything_is_never_told_that_it_missed_something() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let bench = Bench::single().await;
    let (arn, shard) = stream(&bench, "KEYS_ONLY").await;
    bench.create("other", None).await;
    for pk in ["a", "b", "c"] {
        bench.put("users", pk, 1).await;
    }
    let page =
        bench.ok("GetRecords", json!({"ShardIterator": bench.iterator(&arn, &shard, "TRIM_HORIZON").await})).await;
    let last = numbers(&page)[2].clone();
    let at = |kind: &str, number: &str| json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": kind, "SequenceNumber": number});
    let after_last = at("AFTER_SEQUENCE_NUMBER", &last);
    let held = bench.ok("GetShardIterator", after_last.clone()).await["ShardIterator"].clone();
    bench.put("other", "x", 1).await;
    for expected in [&[][..], &["d"]] {
        if !expected.is_empty() {
            bench.clock.advance(1_000);
            bench.put("users", "d", 1).await;
        }
        // An iterator lives for a quarter of an hour, so only the retention is told that a day has gone by.
        bench.run_background(EpochMs(START_MS + DAY_MS + 1)).await.unwrap();
        let fresh = bench.ok("GetShardIterator", after_last.clone()).await["ShardIterator"].clone();
        for iterator in [&fresh, &held] {
            let answer = bench.ok("GetRecords", json!({"ShardIterator": iterator})).await;
            let records = answer["Records"].as_array().unwrap();
            let keys: Vec<&str> = records.iter().map(|r| r["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap()).collect();
            assert_eq!(keys, expected);
        }
        let answer = bench.call("GetShardIterator", at("AT_SEQUENCE_NUMBER", &last)).await;
        assert!(answer.unwrap_err().to_string().starts_with("TrimmedDataAccessException"), "that record has gone");
        let start = bench.shards(&arn).await[0]["SequenceNumberRange"]["StartingSequenceNumber"].clone();
        bench.ok("GetShardIterator", at("AT_SEQUENCE_NUMBER", start.as_str().unwrap())).await;
    }
}

#[test]
fn other_requests_go_on_while_a_large_page_of_records_is_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let bench = Bench::single().await;
        let (arn, shard) = stream(&bench, "NEW_IMAGE").await;
        for n in 0..600 {
            bench.put("users", &n.to_string(), n).await;
        }
        let iterator = bench.iterator(&arn, &shard, "TRIM_HORIZON").await;
        let at_once = async |limit: usize| {
            let (release, held) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || held.recv().is_err());
            let call = bench.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": limit}));
            let at_once = tokio::select! {
                biased;
                _ = call => true,
                () = std::future::ready(()) => false,
            };
            drop(release);
            assert!(busy.await.unwrap());
            at_once
        };
        assert!(at_once(100).await);
        assert!(!at_once(600).await);
        assert_eq!(bench.records(&arn).await.len(), 600);
    });
}
