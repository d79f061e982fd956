//! Who did what to a table, in the commit that did it: docs/spec/sinks.md 7.

use tailrace_core::{AttributeValue, RecordNo};
use tailrace_store::{LogRecord, StreamId};

use super::*;
use crate::control::{ACTION, AFTER, Action, BEFORE, RESOURCE, TABLE};
use crate::streams::record::StreamRecord;
use crate::streams::record_meta::RecordMeta;

const CALLER: Client<'_> =
    Client { operation: "", access_key: Some("AKIDEXAMPLE"), request_id: Some("R7"), host: None, written: None };

async fn ok(bench: &Bench, operation: &str, body: Value) {
    let caller = Caller::Client(Client { operation, ..CALLER });
    let body = serde_json::to_vec(&body).unwrap();
    ops::execute(&bench.db, Service::DynamoDb, operation, &body, &caller).await.unwrap();
}

async fn log(bench: &Bench, stream: StreamId) -> Vec<LogRecord> {
    let mut records = Vec::new();
    for shard in bench.store.shards(stream).await.unwrap() {
        records.extend(bench.store.read_log(shard.shard, RecordNo::ZERO, 1000, usize::MAX).await.unwrap().records);
    }
    records
}

/// Action, resource and operation of each record of the control stream, with the documents before and after.
async fn actions(bench: &Bench) -> Vec<([String; 3], [Option<Value>; 2])> {
    let stream = bench.db.control_stream().await.unwrap().unwrap();
    let mut actions = Vec::new();
    for record in log(bench, stream.id).await {
        let record = StreamRecord::read(record).unwrap();
        let keys = record.keys().unwrap();
        let text = |name: &str| match keys.get(name) {
            Some(AttributeValue::S(text)) => Some(text.clone()),
            other => {
                assert_eq!(other, None);
                None
            }
        };
        let caller = record.meta.caller.as_ref().map(|caller| caller.client().unwrap());
        let operation = caller.map_or("nobody", |caller| {
            assert_eq!(Client { operation: "", ..caller }, CALLER);
            caller.operation
        });
        let json = |name: &str| text(name).map(|text| serde_json::from_str(&text).unwrap());
        actions.push((
            [text(ACTION).unwrap(), text(RESOURCE).unwrap(), operation.to_owned()],
            [json(BEFORE), json(AFTER)],
        ));
    }
    actions
}

#[tokio::test]
async fn each_change_of_a_table_is_a_record_of_the_commit_that_made_it() {
    let bench = Bench::single().await;
    ok(&bench, "CreateTable", on_demand("before")).await;
    assert_eq!(bench.db.control_stream().await.unwrap(), None, "nobody reads it: there is none");
    let opened = bench.db.open_control().await.unwrap();
    assert_eq!(bench.db.open_control().await.unwrap(), opened, "it is made once");

    ok(&bench, "CreateTable", on_demand("users")).await;
    let on = json!({"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"});
    ok(&bench, "UpdateTable", json!({"TableName": "users", "StreamSpecification": on})).await;
    let off = json!({"StreamEnabled": false});
    ok(&bench, "UpdateTable", json!({"TableName": "users", "StreamSpecification": off})).await;
    let ttl = json!({"Enabled": true, "AttributeName": "ends"});
    ok(&bench, "UpdateTimeToLive", json!({"TableName": "users", "TimeToLiveSpecification": ttl})).await;
    let arn = bench.db.settings().table_arn("users");
    let tags = json!([{"Key": "a", "Value": "b"}]);
    ok(&bench, "TagResource", json!({"ResourceArn": arn.as_str(), "Tags": tags})).await;
    // Nothing changes, or nothing is done.
    ok(&bench, "TagResource", json!({"ResourceArn": arn.as_str(), "Tags": tags})).await;
    bench.call("CreateTable", on_demand("users")).await.unwrap_err();
    bench.put("users", "a", 1).await;
    ok(&bench, "DescribeTable", json!({"TableName": "users"})).await;
    ok(&bench, "DeleteTable", json!({"TableName": "users"})).await;

    let actions = actions(&bench).await;
    let names: Vec<&str> = actions.iter().map(|([action, ..], _)| action.as_str()).collect();
    assert_eq!(names, ["CreateTable", "UpdateTable", "UpdateTable", "UpdateTimeToLive", "TagResource", "DeleteTable"]);
    for ([action, resource, operation], _) in &actions {
        assert_eq!((resource.as_str(), operation), ("table/users", action));
    }
    let (_, [before, after]) = &actions[0];
    assert_eq!((before, &after.as_ref().unwrap()["name"]), (&None, &json!("users")));
    let (_, [before, after]) = &actions[1];
    let stream = |document: &Option<Value>| document.as_ref().unwrap()["stream"]["view"].clone();
    assert_eq!((stream(before), stream(after)), (Value::Null, json!("NEW_IMAGE")));
    let (_, [before, after]) = &actions[5];
    assert_eq!((&before.as_ref().unwrap()["name"], after), (&json!("users"), &None));
}

#[tokio::test]
async fn a_table_that_goes_slowly_is_recorded_when_it_is_asked_to_go_and_when_it_goes() {
    let bench = Bench::with(Settings { aws_like_states: true, ..Settings::default() }).await;
    bench.db.open_control().await.unwrap();
    ok(&bench, "CreateTable", on_demand("users")).await;
    bench.clock.advance(60_000);
    ok(&bench, "DeleteTable", json!({"TableName": "users"})).await;
    bench.clock.advance(60_000);
    bench.run_background(bench.clock.now()).await.unwrap();
    let actions: Vec<[String; 3]> = actions(&bench).await.into_iter().map(|(action, _)| action).collect();
    let deleted = |operation: &str| ["DeleteTable", "table/users", operation].map(str::to_owned);
    assert_eq!(actions[1..], [deleted("DeleteTable"), deleted("nobody")], "by the service, in the end");
}

#[tokio::test]
async fn audit_on_and_off_are_actions_and_say_what_records_keep() {
    let bench = Bench::single().await;
    bench.create("users", Some("NEW_AND_OLD_IMAGES")).await;
    let caller = &Caller::Client(CALLER);
    let no_table = bench.db.set_audit("nobody", true, caller).await.unwrap_err();
    assert!(no_table.to_string().starts_with("ResourceNotFoundException"), "{no_table}");
    let put = |pk: &str| json!({"TableName": "users", "Item": {"pk": {"S": pk}}});
    ok(&bench, "PutItem", put("a")).await;
    bench.db.set_audit("users", true, caller).await.unwrap();
    bench.db.set_audit("users", true, caller).await.unwrap();
    ok(&bench, "PutItem", put("b")).await;
    bench.db.set_audit("users", false, caller).await.unwrap();
    ok(&bench, "PutItem", put("c")).await;
    let names: Vec<[String; 3]> = actions(&bench).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(
        names,
        [["StartAudit", "table/users", ""], ["StopAudit", "table/users", ""]].map(|a| a.map(str::to_owned))
    );

    let stream = bench.db.find_table("users").await.unwrap().unwrap().stream.clone().unwrap();
    let metas: Vec<RecordMeta> =
        log(&bench, stream.id).await.iter().map(|record| RecordMeta::decode(&record.meta).unwrap()).collect();
    let kept: Vec<Option<Client<'_>>> =
        metas.iter().map(|meta| meta.caller.as_ref().map(|caller| caller.client().unwrap())).collect();
    assert_eq!(kept, [None, Some(Client { operation: "PutItem", ..CALLER }), None]);

    // No reader sees it.
    let arn = bench.describe("users").await["LatestStreamArn"].as_str().unwrap().to_owned();
    let shown = Value::Array(bench.records(&arn).await).to_string();
    assert!(!shown.contains("AKID") && !shown.contains("R7"), "{shown}");
    let seen = bench.records(&arn).await.len();
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn audits_are_settled_for_all_tables_at_once() {
    let bench = Bench::single().await;
    for name in ["old", "both", "new", "none"] {
        bench.create(name, Some("NEW_AND_OLD_IMAGES")).await;
    }
    let caller = &Caller::Client(CALLER);
    let none = std::collections::BTreeSet::new();
    bench.db.settle_audit(&none, caller).await.unwrap();
    assert_eq!(bench.db.control_stream().await.unwrap(), None, "nobody reads it: there is none");
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    bench.db.settle_audit(&named(&["old", "both", "nowhere"]), caller).await.unwrap();
    bench.db.settle_audit(&named(&["both", "new"]), caller).await.unwrap();
    let names: Vec<String> =
        actions(&bench).await.into_iter().map(|([action, table, _], _)| format!("{action} {table}")).collect();
    let expected = ["StartAudit table/both", "StartAudit table/old", "StartAudit table/new", "StopAudit table/old"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn no_operation_lists_or_reads_the_control_stream_and_it_is_trimmed_as_others_are() {
    let bench = Bench::single().await;
    let stream = bench.db.open_control().await.unwrap();
    let action = Action { name: "PauseSink", resource: "sink/lake", before: None, after: None };
    bench.db.note_action(&action, &Caller::Client(CALLER)).await.unwrap();
    let names: Vec<[String; 3]> = actions(&bench).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(names, [["PauseSink", "sink/lake", ""].map(str::to_owned)]);
    assert_eq!(bench.ok("ListStreams", json!({})).await["Streams"], json!([]));
    let arn = stream.arn(bench.db.settings());
    assert!(arn.as_str().contains(TABLE));
    assert!(bench.call("DescribeStream", json!({"StreamArn": arn.as_str()})).await.is_err());
    bench.clock.advance(24 * 60 * 60 * 1000 + 1);
    bench.run_background(bench.clock.now()).await.unwrap();
    assert_eq!(actions(&bench).await, []);
    bench.db.note_action(&action, &Caller::Client(CALLER)).await.unwrap();
    assert_eq!(actions(&bench).await.len(), 1);
}
