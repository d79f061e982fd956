//! What is done to delivery streams is noted for audit trails: docs/sinks.md, What is done to tables.

use tailrace_core::{AttributeValue, RecordNo};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Client, control};

use super::*;
use crate::ensure;

/// The records of the control stream: action, resource, before and after, and the operation and the key of who asked.
async fn actions(db: &Db) -> Vec<(String, String, [Value; 2], (String, String))> {
    let stream = db.control_stream().await.unwrap().unwrap();
    let mut all = Vec::new();
    for shard in db.store().shards(stream.id).await.unwrap() {
        let page = db.store().read_log(shard.shard, RecordNo::ZERO, 1000, usize::MAX).await.unwrap();
        for logged in page.records {
            let record = StreamRecord::read(logged).unwrap();
            let keys = record.keys().unwrap();
            let text = |name: &str| match keys.get(name) {
                Some(AttributeValue::S(text)) => text.clone(),
                _ => String::new(),
            };
            let images =
                [control::BEFORE, control::AFTER].map(|name| serde_json::from_str(&text(name)).unwrap_or_default());
            let caller = record.meta.caller.as_ref().map(|caller| caller.client().unwrap()).unwrap_or_default();
            let by = (caller.operation.to_owned(), caller.access_key.unwrap_or_default().to_owned());
            all.push((text(control::ACTION), text(control::RESOURCE), images, by));
        }
    }
    all
}

/// Each change is a record in its own commit, with who asked; what is refused and what changes nothing is none. No secret is in it.
#[test]
fn every_change_is_noted_with_who_asked_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 1);
    runtime().block_on(async {
        let streams = world.streams().await;
        // Before anybody wants to know there is nothing to note it in.
        call(&streams, "CreateDeliveryStream", endpoint("good", 300, json!({}))).await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        streams.db().open_control().await.unwrap();
        let attributes = json!([{"AttributeName": "stage", "AttributeValue": "hunter2"}]);
        let more = json!({"RequestConfiguration": {"CommonAttributes": attributes},
            "EndpointConfiguration": {"Url": "https://good/hunter2?token=hunter2", "AccessKey": "hunter2"}});
        let destination = "destinationId-000000000001";
        let named = json!({"DeliveryStreamName": NAME});
        let with = |more: Value| {
            let mut body = named.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let update = |version: &str| {
            with(json!({"CurrentDeliveryStreamVersionId": version, "DestinationId": destination,
                "HttpEndpointDestinationUpdate": {"RetryOptions": {"DurationInSeconds": 7}}}))
        };
        for (operation, body) in [
            ("CreateDeliveryStream", endpoint("good", 300, more)),
            ("TagDeliveryStream", with(json!({"Tags": [{"Key": "team", "Value": "lake"}]}))),
            ("UpdateDestination", update("1")),
            ("UpdateDestination", update("1")),
            ("StartDeliveryStreamEncryption", named.clone()),
            ("StopDeliveryStreamEncryption", named.clone()),
            ("UntagDeliveryStream", with(json!({"TagKeys": ["team"]}))),
            ("DescribeDeliveryStream", named.clone()),
            ("DeleteDeliveryStream", named.clone()),
        ] {
            let client = Client { operation, access_key: Some("AKIA"), ..Client::default() };
            // The second update is of a version that is there no more.
            let done = execute(&streams, operation, body.to_string().as_bytes(), &Caller::Client(client)).await;
            assert!(done.is_ok() || operation == "UpdateDestination", "{operation}: {done:?}");
        }
        let all = actions(streams.db()).await;
        let names: Vec<&str> = all.iter().map(|(name, ..)| &**name).collect();
        let expected = [
            "CreateDeliveryStream",
            "TagDeliveryStream",
            "UpdateDestination",
            "StartDeliveryStreamEncryption",
            "StopDeliveryStreamEncryption",
            "UntagDeliveryStream",
            "DeleteDeliveryStream",
        ];
        assert_eq!(names, expected);
        for (name, resource, _, by) in &all {
            assert_eq!((&**resource, by), ("deliverystream/clicks", &(name.clone(), "AKIA".to_owned())));
        }
        // Each begins with what the one before has left, and the last leaves nothing.
        assert_eq!((&all[0].2[0], &all[6].2[1]), (&Value::Null, &Value::Null));
        for pair in all.windows(2) {
            assert_eq!(pair[0].2[1], pair[1].2[0]);
        }
        let [tagged, updated, encrypted] = [1, 2, 3].map(|at: usize| &all[at].2[1]);
        assert_eq!(tagged["Tags"], json!({"team": "lake"}));
        let shown = &updated["Destination"]["HttpEndpointDestinationDescription"];
        assert_eq!((&updated["VersionId"], &shown["RetryOptions"]["DurationInSeconds"]), (&json!("2"), &json!(7)));
        assert_eq!(shown["EndpointConfiguration"]["Url"], "https://good/***");
        assert_eq!(encrypted["DeliveryStreamEncryptionConfiguration"]["KeyType"], "AWS_OWNED_CMK");
        assert!(!format!("{all:?}").contains("hunter2"), "{all:#?}");
    });
}

/// A template makes and changes delivery streams as a client does.
#[test]
fn what_a_template_does_is_noted() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 1);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.db().open_control().await.unwrap();
        let mut request = endpoint("good", 300, json!({}));
        for retry in [300, 300, 7] {
            request["HttpEndpointDestinationConfiguration"]["RetryOptions"]["DurationInSeconds"] = retry.into();
            ensure(&streams, &request).await.unwrap();
        }
        request["Tags"] = json!([{"Key": "team", "Value": "lake"}]);
        ensure(&streams, &request).await.unwrap();
        let names: Vec<String> = actions(streams.db()).await.into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["CreateDeliveryStream", "UpdateDestination", "TagDeliveryStream"]);
    });
}
