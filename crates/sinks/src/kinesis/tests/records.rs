//! What is told of a change, and what it is told to.

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tailrace_engine::streams::record::StreamRecord;

use super::super::Config;
use super::{answer, sink, told};
use crate::notify::tests::receiver::Receiver;
use crate::notify::tests::{TIME, flush, id_of, orders, record, stored};
use crate::sink::{Flush, Origin, Sink};

/// What is sent of one change: partition key, and the text.
async fn sent(flush: Flush, more: &Value) -> Vec<(String, Value)> {
    let receiver = Receiver::start(|asked| answer(asked, |_| false)).await;
    sink(&receiver, more).flush(flush).await.unwrap();
    receiver.take().iter().flat_map(told).collect()
}

/// docs/spec/sinks.md 5, row "envelope": as recorded, with the precision; rows "eventID", "time", "partition key" and "images".
#[tokio::test]
async fn a_change_is_told_as_the_destination_of_a_table_tells_it() {
    let mut change = record(7, "o1", Some(json!({"v": {"N": "2"}})));
    change.meta.kind = tailrace_engine::streams::record_meta::ChangeKind::Modify;
    change.old = Some(stored(&json!({"id": {"S": "o1"}, "v": {"N": "1"}})));
    let id = id_of(&change);
    let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let all = sent(flush(vec![change.clone()]), &json!({})).await;
    let expected = json!({
        "awsRegion": "us-east-1", "eventID": uuid, "eventName": "MODIFY", "userIdentity": null,
        "recordFormat": "application/json", "tableName": "Orders",
        "dynamodb": {
            "ApproximateCreationDateTime": TIME.0 + 7, "ApproximateCreationDateTimePrecision": "MILLISECOND",
            "Keys": {"id": {"S": "o1"}}, "NewImage": {"id": {"S": "o1"}, "v": {"N": "2"}},
            "OldImage": {"id": {"S": "o1"}, "v": {"N": "1"}}, "SizeBytes": 18,
        },
        "eventSource": "aws:dynamodb",
    });
    // The MD5 of `{"id":{"S":"o1"}}`, as md5sum has it.
    assert_eq!(all, [("73E90A41D3A057A10F394ECACDCE277B".to_owned(), expected)]);
    let all = sent(flush(vec![change]), &json!({"precision": "MICROSECOND"})).await;
    let times = ["ApproximateCreationDateTime", "ApproximateCreationDateTimePrecision"];
    let times = times.map(|name| all[0].1["dynamodb"][name].clone());
    assert_eq!(times, [json!((TIME.0 + 7) * 1000), json!("MICROSECOND")]);
}

#[tokio::test]
async fn what_time_to_live_removes_says_so_and_has_the_old_image_alone() {
    let mut change = record(7, "o1", None);
    (change.meta.by_service, change.old) = (true, Some(stored(&json!({"id": {"S": "o1"}}))));
    let all = sent(flush(vec![change]), &json!({})).await;
    let told = &all[0].1;
    assert_eq!(told["userIdentity"], json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"}));
    assert_eq!((&told["eventName"], told["dynamodb"].get("NewImage")), (&json!("REMOVE"), None));
    assert_eq!(told["dynamodb"]["OldImage"], json!({"id": {"S": "o1"}}));
}

/// Row "partition key": of the whole key, in 32 digits, and of the text of Keys, so that anybody can make it.
#[tokio::test]
async fn the_partition_key_is_that_of_the_item() {
    let keyed = |number: u64, key: &Value| {
        let mut change = record(number, "x", None);
        change.meta.keys = stored(key);
        change
    };
    let keys = [
        json!({"id": {"S": "a \"quote\" and \u{e9}"}, "at": {"N": "7"}}),
        json!({"id": {"S": "a \"quote\" and \u{e9}"}, "at": {"N": "8"}}),
        json!({"id": {"B": "AAE="}}),
    ];
    let changes: Vec<StreamRecord> = keys.iter().zip(1..).map(|(key, number)| keyed(number, key)).collect();
    let all = sent(flush(changes), &json!({})).await;
    assert_eq!(all.len(), 3);
    for (key, told) in all {
        // serde_json's maps are sorted, as are the attributes of an item.
        let text = told["dynamodb"]["Keys"].to_string();
        let digest: [u8; 16] = Md5::digest(text).into();
        assert_eq!(key, format!("{:032X}", u128::from_be_bytes(digest)), "{told}");
    }
}

/// The items of a snapshot share the number of one point: their ids are their own, and the same whenever they are sent.
#[tokio::test]
async fn items_of_a_snapshot_have_ids_of_their_own() {
    let page = || {
        let mut all = orders(3);
        all.iter_mut().for_each(|record| record.number = tailrace_core::RecordNo(9));
        Flush { origin: Origin::Snapshot { page: 0, made_by: 1 }, ..flush(all) }
    };
    let ids = |all: Vec<(String, Value)>| all.into_iter().map(|(_, told)| told["eventID"].clone()).collect::<Vec<_>>();
    let (one, again) = (ids(sent(page(), &json!({})).await), ids(sent(page(), &json!({})).await));
    assert_eq!(one, again);
    assert!(one[0] != one[1] && one[1] != one[2] && one[0] != one[2], "{one:?}");
}

#[test]
fn a_stream_is_a_name_or_an_arn() {
    let stream = |to: &str, more: Value| {
        let mut config = json!({ "to": to });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<Config>(config).unwrap().stream()
    };
    let of = |to: &str, more: Value| {
        let stream = stream(to, more).unwrap();
        (stream.name, stream.arn.is_some(), stream.endpoint.to_string(), stream.region)
    };
    let expected = |name: &str, has_arn: bool, endpoint: &str, region: &str| {
        (name.to_owned(), has_arn, endpoint.to_owned(), region.to_owned())
    };
    let arn = "kinesis:arn:aws:kinesis:eu-west-1:000000000000:stream/s";
    assert_eq!(of(arn, json!({})), expected("s", true, "https://kinesis.eu-west-1.amazonaws.com/", "eu-west-1"));
    let china = "kinesis:arn:aws-cn:kinesis:cn-north-1:000000000000:stream/s";
    assert_eq!(of(china, json!({})), expected("s", true, "https://kinesis.cn-north-1.amazonaws.com.cn/", "cn-north-1"));
    let here = json!({"endpoint": "http://127.0.0.1:4567"});
    assert_eq!(of("kinesis:s", here.clone()), expected("s", false, "http://127.0.0.1:4567/", "us-east-1"));
    assert_eq!(of(arn, here), expected("s", true, "http://127.0.0.1:4567/", "eu-west-1"));
    let region = json!({"region": "sa-east-1"});
    assert_eq!(of("kinesis:s", region), expected("s", false, "https://kinesis.sa-east-1.amazonaws.com/", "sa-east-1"));
    let host = json!({"endpoint": "https://kinesis-fips.us-west-2.amazonaws.com"});
    assert_eq!(of("kinesis:s", host).3, "us-west-2");
    for (to, more, part) in [
        ("kinesis:s", json!({}), "say `region`"),
        ("kinesis:", json!({"region": "x"}), "names no data stream"),
        ("kinesis:a/b", json!({"region": "x"}), "names no data stream"),
        ("kinesis:arn:aws:sqs:eu-west-1:1:q", json!({}), "names no data stream"),
        ("kinesis:arn:aws:kinesis:eu-west-1:1:s", json!({}), "names no data stream"),
        ("kinesis:s", json!({"endpoint": "ftp://h"}), "endpoint is http(s)://host"),
        ("kinesis:s", json!({"region": "r", "access_key_id": "a"}), "come together"),
        ("kinesis:s", json!({"region": "r", "timeout_seconds": 0}), "from 1 to 600"),
    ] {
        let error = stream(to, more).unwrap_err().to_string();
        assert!(error.contains(part), "{to}: {error}");
    }
}
