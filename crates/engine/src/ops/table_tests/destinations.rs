//! The Kinesis destinations of a table, as far as the operations go; who delivers is the sinks'.

use tailrace_core::{RecordNo, StreamId};

use super::*;
use crate::streams::record::StreamRecord;
use crate::tables::destinations::Destination;

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/changes";
const STATE: &str = "ValidationException: Table is not in a valid state to enable Kinesis Streaming Destination: ";
const ENABLE: &str = "EnableKinesisStreamingDestination must be DISABLED or ENABLE_FAILED to perform ENABLE operation.";
const DISABLE: &str = "KinesisStreamingDestination must be ACTIVE to perform DISABLE operation.";
const UPDATE: &str = "Kinesis streaming is not in ACTIVE state. Updates are only allowed in ACTIVE state.";

async fn bench() -> Bench {
    let bench = Bench::with(Settings { kinesis_destinations: true, shards_per_stream: 1, ..Settings::default() }).await;
    bench.create("users", None).await;
    bench
}

fn of(stream: &str) -> Value {
    json!({"TableName": "users", "StreamArn": stream})
}

fn precise(precision: &str) -> Value {
    with(
        of(STREAM),
        json!({"UpdateKinesisStreamingConfiguration": {"ApproximateCreationDateTimePrecision": precision}}),
    )
}

async fn told(bench: &Bench) -> Value {
    let described = bench.ok("DescribeKinesisStreamingDestination", json!({"TableName": "users"})).await;
    described["KinesisDataStreamDestinations"].clone()
}

async fn only(bench: &Bench) -> Destination {
    let mut all = bench.db.kinesis_destinations().await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn is_told(bench: &Bench, status: &str) {
    assert_eq!(told(bench).await, json!([{"StreamArn": STREAM, "DestinationStatus": status}]));
}

/// What a stream of a destination has: event, and `v` before and after.
async fn captured(bench: &Bench, stream: StreamId) -> Vec<(&'static str, Value, Value)> {
    let shards = bench.store.shards(stream).await.unwrap();
    let page = bench.store.read_log(shards[0].shard, RecordNo::ZERO, 100, usize::MAX).await.unwrap();
    let value = |item: Option<tailrace_core::Item>| match item.as_ref().and_then(|item| item.get("v")) {
        Some(tailrace_core::AttributeValue::N(number)) => json!(number.to_string()),
        _ => Value::Null,
    };
    let read = |logged| {
        let record = StreamRecord::read(logged).unwrap();
        (record.meta.kind.name(), value(record.old_image().unwrap()), value(record.new_image().unwrap()))
    };
    page.records.into_iter().map(read).collect()
}

/// docs/spec/sinks.md 5, rows "images" and "begins with": each change from the next one on, with both images, whatever the table's stream is.
#[tokio::test]
async fn every_change_is_kept_with_both_images_from_the_next_one_on() {
    let bench = bench().await;
    bench.put("users", "a", 1).await;
    let enabled = bench.ok("EnableKinesisStreamingDestination", of(STREAM)).await;
    let enabling = json!({"DestinationStatus": "ENABLING", "EnableKinesisStreamingConfiguration": {}});
    assert_eq!(enabled, with(of(STREAM), enabling));
    is_told(&bench, "ENABLING").await;
    let stream = only(&bench).await.stream;
    bench.put("users", "a", 2).await;
    // The same again is no change.
    bench.put("users", "a", 2).await;
    let specification = json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"});
    bench.ok("UpdateTable", json!({"TableName": "users", "StreamSpecification": specification})).await;
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": {"S": "a"}}})).await;
    let off = json!({"TableName": "users", "StreamSpecification": {"StreamEnabled": false}});
    bench.ok("UpdateTable", off).await;
    let put = json!({"Put": {"TableName": "users", "Item": {"pk": {"S": "b"}, "v": {"N": "3"}}}});
    bench.ok("TransactWriteItems", json!({"TransactItems": [put]})).await;
    let expected =
        [("MODIFY", json!("1"), json!("2")), ("REMOVE", json!("2"), Value::Null), ("INSERT", Value::Null, json!("3"))];
    assert_eq!(captured(&bench, stream).await, expected);
    // Nobody sees it but who delivers.
    let described = bench.describe("users").await;
    assert_eq!(described.get("StreamSpecification"), None);
    let streams = bench.ok("ListStreams", json!({})).await["Streams"].clone();
    assert_eq!(streams.as_array().unwrap().len(), 1, "{streams}");
}

/// docs/spec/sinks.md 5: the states, what is refused in them, and the recorded texts.
#[tokio::test]
async fn the_states_follow_one_another() {
    let bench = bench().await;
    bench.refused("DisableKinesisStreamingDestination", of(STREAM), &format!("{STATE}{DISABLE}")).await;
    let unknown = format!("No streaming destination with streamArn: {STREAM} found for table with tableName: users");
    bench.refused("UpdateKinesisStreamingDestination", precise("MICROSECOND"), &format!("{STATE}{unknown}")).await;
    let nothing = "ValidationException: Streaming destination cannot be updated with given parameters: \
                   UpdateKinesisStreamingConfiguration cannot be null or contain only null values";
    bench.refused("UpdateKinesisStreamingDestination", of(STREAM), nothing).await;
    let gone = "ResourceNotFoundException: Requested resource not found: Table: bad-table not found";
    for operation in ["Enable", "Disable", "Update", "Describe"] {
        let config = json!({"ApproximateCreationDateTimePrecision": "MICROSECOND"});
        let mut body = json!({"TableName": "bad-table"});
        if operation != "Describe" {
            body["StreamArn"] = STREAM.into();
        }
        if operation == "Update" {
            body["UpdateKinesisStreamingConfiguration"] = config;
        }
        bench.refused(&format!("{operation}KinesisStreamingDestination"), body, gone).await;
    }
    let other = of(&format!("{STREAM}-2"));
    let all_refused = async |bench: &Bench| {
        for body in [of(STREAM), other.clone()] {
            bench.refused("EnableKinesisStreamingDestination", body, &format!("{STATE}{ENABLE}")).await;
        }
    };
    bench.ok("EnableKinesisStreamingDestination", of(STREAM)).await;
    all_refused(&bench).await;
    bench.refused("DisableKinesisStreamingDestination", of(STREAM), &format!("{STATE}{DISABLE}")).await;
    bench.refused("UpdateKinesisStreamingDestination", precise("MICROSECOND"), &format!("{STATE}{UPDATE}")).await;
    bench.db.activate_destination(&only(&bench).await).await.unwrap();
    is_told(&bench, "ACTIVE").await;
    all_refused(&bench).await;

    let uuid = bench.describe("users").await["TableId"].as_str().unwrap().to_owned();
    let same = |precision: &str| {
        format!(
            "ValidationException: Invalid Request: Precision is already set to the desired value of {precision} for tableId: {uuid}, kdsArn: {STREAM}"
        )
    };
    // What was not set is milliseconds.
    bench.refused("UpdateKinesisStreamingDestination", precise("MILLISECOND"), &same("MILLISECOND")).await;
    let updating = bench.ok("UpdateKinesisStreamingDestination", precise("MICROSECOND")).await;
    assert_eq!(updating, with(precise("MICROSECOND"), json!({"DestinationStatus": "UPDATING"})));
    let micro = |status: &str| json!([{"StreamArn": STREAM, "DestinationStatus": status, "ApproximateCreationDateTimePrecision": "MICROSECOND"}]);
    assert_eq!(told(&bench).await, micro("UPDATING"));
    all_refused(&bench).await;
    bench.refused("DisableKinesisStreamingDestination", of(STREAM), &format!("{STATE}{DISABLE}")).await;
    bench.db.activate_destination(&only(&bench).await).await.unwrap();
    assert_eq!(told(&bench).await, micro("ACTIVE"));
    bench.refused("UpdateKinesisStreamingDestination", precise("MICROSECOND"), &same("MICROSECOND")).await;

    let configured =
        json!({"EnableKinesisStreamingConfiguration": {"ApproximateCreationDateTimePrecision": "MICROSECOND"}});
    let with_parameters =
        "ValidationException: Stream cannot be disabled using EnableKinesisStreamingConfiguration parameters";
    bench.refused("DisableKinesisStreamingDestination", with(of(STREAM), configured), with_parameters).await;
    bench.put("users", "a", 1).await;
    let disabling = json!({"DestinationStatus": "DISABLING", "EnableKinesisStreamingConfiguration": {}});
    for _ in 0..2 {
        let answer = bench.ok("DisableKinesisStreamingDestination", of(STREAM)).await;
        assert_eq!(answer, with(of(STREAM), disabling.clone()));
    }
    bench.put("users", "a", 2).await;
    assert_eq!(told(&bench).await, micro("DISABLING"));
    all_refused(&bench).await;
    bench.refused("UpdateKinesisStreamingDestination", precise("MILLISECOND"), &format!("{STATE}{UPDATE}")).await;
    let former = only(&bench).await;
    assert_eq!(captured(&bench, former.stream).await, [("INSERT", Value::Null, json!("1"))]);
    bench.db.end_destination(&former).await.unwrap();
    is_told(&bench, "DISABLED").await;
    assert_eq!(bench.db.orphaned_captures().await.unwrap(), [(former.stream, former.consumer.clone())]);
    bench.db.drop_capture(former.stream).await.unwrap();
    assert_eq!(bench.store.shards(former.stream).await.unwrap(), []);
    bench.refused("DisableKinesisStreamingDestination", of(STREAM), &format!("{STATE}{DISABLE}")).await;

    // The entry stays, and is switched on again.
    bench.ok("EnableKinesisStreamingDestination", of(STREAM)).await;
    is_told(&bench, "ENABLING").await;
    let new = only(&bench).await;
    assert!(new.stream != former.stream && new.consumer != former.consumer);
    // What is said of the former one is no concern of this one.
    bench.db.end_destination(&former).await.unwrap();
    is_told(&bench, "ENABLING").await;

    // One that cannot be reached has failed: its stream gets nothing more, and another one may be asked for.
    bench.db.end_destination(&new).await.unwrap();
    assert_eq!(told(&bench).await[0]["DestinationStatus"], "ENABLE_FAILED");
    bench.put("users", "a", 3).await;
    assert_eq!(captured(&bench, new.stream).await, Vec::<(&str, Value, Value)>::new());
    bench.ok("EnableKinesisStreamingDestination", of(&format!("{STREAM}-2"))).await;
}

/// docs/spec/sinks.md 5: entries that are off stay, the newest first, up to a bound.
#[tokio::test]
async fn those_that_are_off_are_remembered_up_to_a_bound() {
    let bench = bench().await;
    for number in 0..12 {
        bench.ok("EnableKinesisStreamingDestination", of(&format!("{STREAM}-{number}"))).await;
        bench.db.activate_destination(&only(&bench).await).await.unwrap();
        bench.ok("DisableKinesisStreamingDestination", of(&format!("{STREAM}-{number}"))).await;
        bench.db.end_destination(&only(&bench).await).await.unwrap();
    }
    let told = told(&bench).await;
    let arns: Vec<&str> = told.as_array().unwrap().iter().map(|one| one["StreamArn"].as_str().unwrap()).collect();
    let expected: Vec<String> = (2..12).rev().map(|number| format!("{STREAM}-{number}")).collect();
    assert_eq!(arns, expected);
}

/// With its table a destination goes; what is left in the log is found by who delivers.
#[tokio::test]
async fn a_deleted_table_ends_its_destination() {
    let bench = bench().await;
    bench.ok("EnableKinesisStreamingDestination", of(STREAM)).await;
    let former = only(&bench).await;
    assert_eq!(bench.db.orphaned_captures().await.unwrap(), []);
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    bench.create("users", None).await;
    assert_eq!((told(&bench).await, bench.db.kinesis_destinations().await.unwrap()), (json!([]), vec![]));
    // A look that came too late changes nothing.
    bench.db.activate_destination(&former).await.unwrap();
    bench.db.end_destination(&former).await.unwrap();
    let orphans = bench.db.orphaned_captures().await.unwrap();
    assert_eq!(orphans, [(former.stream, former.consumer)]);
    for _ in 0..2 {
        bench.db.drop_capture(former.stream).await.unwrap();
    }
    assert_eq!(bench.db.orphaned_captures().await.unwrap(), []);
    assert_eq!(bench.store.shards(former.stream).await.unwrap(), []);
}
