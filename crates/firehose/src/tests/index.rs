//! Stories of a delivery stream to an index. Source: docs/spec/sinks.md 2.8.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tailrace_core::clock::Clock;
use tailrace_sinks::search::{Documents, Indexed, Refusal};
use tailrace_store::keyspace::KeyKind;

use super::{NAME, Outside, World, batch, call, drained, is_below, runtime, sorted, story};
use crate::{ClusterAt, Clusters, DoorError};

/// What clusters have, and were asked for.
#[derive(Debug, Default)]
pub struct Held {
    /// The documents: by their index and id.
    documents: BTreeMap<(String, String), String>,
    /// The bulks that came: when, and what was in them.
    bulks: Vec<(u64, Documents)>,
}

impl Held {
    fn texts(&self) -> Vec<String> {
        sorted(self.documents.values().cloned().collect())
    }
}

/// A cluster at each host: `good` takes what has no `bad` in it, `flaky` too, but now and then not yet, or says nothing of what it has
/// taken; `down` takes nothing, and `mute` everything, and never answers. Nobody knows of a domain.
impl Clusters for Outside {
    fn index(&self, at: &ClusterAt, documents: Documents) -> BoxFuture<'static, Result<Vec<Indexed>, DoorError>> {
        let (world, host) = (Arc::clone(&self.0), at.to_string());
        if matches!(at, ClusterAt::Domain { .. }) {
            return async { Err(DoorError::Nowhere("nothing says where it is".to_owned())) }.boxed();
        }
        async move {
            let is = |name: &str| host == format!("https://{name}/");
            let refusal = |status, words: &str| Refusal { status, words: words.to_owned() };
            let mut indexed = Vec::new();
            {
                let mut held = world.clusters.lock();
                held.bulks.push((world.clock.monotonic().0, documents.clone()));
                for (place, document) in documents.all.into_iter().enumerate() {
                    let text = String::from_utf8(document.body.to_vec()).unwrap();
                    assert!(!text.contains('\n'), "{text}");
                    indexed.push(if is("down") {
                        Indexed::Again(refusal(503, "busy"))
                    } else if text.contains("bad") {
                        Indexed::Rejected(refusal(400, "mapper_parsing_exception"))
                    } else if is("flaky") && world.random(4) == 0 {
                        Indexed::Again(refusal(429, "too many"))
                    } else {
                        let given = format!("given {} {place}", held.bulks.len());
                        held.documents.insert((documents.index.clone(), document.id.unwrap_or(given)), text);
                        Indexed::Done
                    });
                }
            }
            if is("mute") {
                world.hangs.notify_one();
                return std::future::pending().await;
            }
            if world.is_over() || (is("flaky") && world.random(4) == 0) {
                return Ok(vec![Indexed::Unknown("reset".to_owned()); indexed.len()]);
            }
            Ok(indexed)
        }
        .boxed()
    }
}

fn to_index(host: &str, retry_s: u64, more: Value) -> Value {
    let mut config = json!({
        "ClusterEndpoint": format!("https://{host}/"), "IndexName": "clicks", "RoleARN": "r",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
        "RetryOptions": {"DurationInSeconds": retry_s},
        "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r"}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"DeliveryStreamName": NAME, "AmazonopensearchserviceDestinationConfiguration": config})
}

fn update(version: u32, more: Value) -> Value {
    json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": version.to_string(),
        "DestinationId": "destinationId-000000000001", "AmazonopensearchserviceDestinationUpdate": more})
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn raw(line: &Value) -> String {
    String::from_utf8(BASE64.decode(line["rawData"].as_str().unwrap()).unwrap()).unwrap()
}

/// docs/spec/sinks.md 2.8, 9: after each crash and each failure a document is there once, and what is none, or refused, is told once and in
/// the same words (the story looks).
#[test]
fn an_index_and_its_bucket_hold_each_acknowledged_record_once() {
    let text = |n: u64| match n % 9 {
        4 => format!("{{\"bad\":{n}}}"),
        7 => format!("no json {n}"),
        _ => format!("{{\"n\":{n}}}"),
    };
    for seed in 500..560 {
        let directory = tempfile::tempdir().unwrap();
        let config = to_index("flaky", 7200, json!({"S3BackupMode": "AllDocuments"}));
        let (acknowledged, world) = story(directory.path(), seed, config, text);
        let (good, bad): (Vec<String>, Vec<String>) =
            acknowledged.iter().cloned().partition(|text| text.starts_with("{\"n\""));
        let held = world.clusters.lock();
        assert_eq!(held.texts(), sorted(good), "story {seed}");
        let (mut failed, mut backup) = (Vec::new(), String::new());
        for (key, bytes) in world.objects() {
            if !is_below("lake/AmazonOpenSearchService-failed/", &key) {
                assert!(is_below("lake/", &key), "{key}");
                backup += std::str::from_utf8(&bytes).unwrap();
                continue;
            }
            for line in lines(&bytes) {
                let is_json = raw(&line).starts_with('{');
                assert_eq!((&line["errorCode"], &line["esIndexName"]), (&json!("400"), &json!("clicks-2018-08-27")));
                assert_eq!(line["attemptsMade"].as_u64().unwrap() > 0, is_json, "what is no JSON is not sent: {line}");
                failed.push(raw(&line));
            }
        }
        assert_eq!(sorted(failed), sorted(bad), "story {seed}");
        assert_eq!(backup.len(), acknowledged.concat().len(), "story {seed}");
    }
}

/// docs/spec/sinks.md 2.8: the rules of tries are those of 2.7; what is written of a document.
#[test]
fn what_a_cluster_does_not_take_in_time_is_in_the_bucket() {
    for (retry_s, attempts) in [(60, 7), (0, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(directory.path(), 5);
        runtime().block_on(async {
            let streams = world.streams().await;
            streams.start().await;
            let config = to_index("down", retry_s, json!({"TypeName": "t", "IndexRotationPeriod": "OneMonth"}));
            call(&streams, "CreateDeliveryStream", config).await;
            call(&streams, "PutRecordBatch", batch(&["{\"n\": 1}".to_owned(), "{\"n\":\n2}".to_owned()])).await;
            drained(&streams).await;
            let status = streams.status().await.unwrap();
            assert_eq!((&status[0].last_error, status[0].endpoint.as_deref()), (&None, Some("https://down/ clicks")));
        });
        let held = world.clusters.lock();
        assert_eq!(held.bulks.len(), attempts);
        let (_, first) = &held.bulks[0];
        assert_eq!((&*first.index, first.kind.as_deref()), ("clicks-2018-08", Some("t")));
        assert_eq!(
            held.bulks[attempts - 1].0 - held.bulks[0].0,
            retry_s * 1000,
            "the last one is when the time is over"
        );
        let objects = world.objects();
        let (key, bytes) = objects.first_key_value().unwrap();
        assert!(objects.len() == 1 && key.starts_with("lake/AmazonOpenSearchService-failed/2018/"), "{key}");
        let lines = lines(bytes);
        for (place, line) in lines.iter().enumerate() {
            let mut line = line.clone();
            assert!(line["arrivalTimestamp"].as_u64() <= line["attemptEndingTimestamp"].as_u64(), "{line}");
            for instant in ["arrivalTimestamp", "attemptEndingTimestamp"] {
                line.as_object_mut().unwrap().remove(instant);
            }
            let expected = json!({
                "attemptsMade": attempts, "errorCode": "503", "errorMessage": "503: busy",
                "rawData": BASE64.encode(if place == 0 { "{\"n\": 1}" } else { "{\"n\":\n2}" }),
                "esDocumentId": first.all[place].id, "esIndexName": "clicks-2018-08", "esTypeName": "t"});
            assert_eq!(line, expected);
        }
        assert_eq!(lines.len(), 2);
    }
}

/// docs/spec/sinks.md 2.8: the index of a record is that of its arrival; NO_DOCUMENT_ID leaves ids to the cluster.
#[test]
fn a_flush_may_be_of_several_indexes() {
    for format in ["FIREHOSE_DEFAULT", "NO_DOCUMENT_ID"] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(directory.path(), 8);
        runtime().block_on(async {
            let streams = world.streams().await;
            let more = json!({"IndexRotationPeriod": "OneHour", "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 900},
                "DocumentIdOptions": {"DefaultDocumentIdFormat": format}});
            call(&streams, "CreateDeliveryStream", to_index("good", 0, more)).await;
            for n in 0..3 {
                call(&streams, "PutRecordBatch", batch(&[format!("{{\"n\":{n}}}"), format!("{{\"m\":{n}}}")])).await;
                world.clock.advance(20 * 60_000);
            }
            streams.start().await;
            drained(&streams).await;
        });
        let held = world.clusters.lock();
        let counts: Vec<(&str, usize)> = held.bulks.iter().map(|(_, bulk)| (&*bulk.index, bulk.all.len())).collect();
        assert_eq!(counts, [("clicks-2018-08-27-10", 4), ("clicks-2018-08-27-11", 2)]);
        let ids: BTreeSet<&Option<String>> =
            held.bulks.iter().flat_map(|(_, bulk)| bulk.all.iter().map(|document| &document.id)).collect();
        let expected = if format == "FIREHOSE_DEFAULT" { 6 } else { 1 };
        assert_eq!((ids.len(), ids.contains(&None)), (expected, expected == 1));
    }
}

/// A part that was sent whole is not sent again for the next one, of which nobody knows.
#[test]
fn a_part_that_is_over_does_not_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 21);
    runtime().block_on(async {
        let streams = world.streams().await;
        let hints = json!({"BufferingHints": {"SizeInMBs": 100, "IntervalInSeconds": 900}});
        call(&streams, "CreateDeliveryStream", to_index("good", 7200, hints)).await;
        for part in 0..5 {
            let texts: Vec<String> = (0..500).map(|n| format!("{{\"n\":{}}}", part * 500 + n)).collect();
            call(&streams, "PutRecordBatch", batch(&texts)).await;
        }
        // It dies behind the second part.
        world.life.store(2, std::sync::atomic::Ordering::SeqCst);
        streams.start().await;
        while world.clusters.lock().bulks.len() < 3 {
            tokio::task::yield_now().await;
        }
    });
    world.store.crash();
    world.life.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        drained(&streams).await;
    });
    let held = world.clusters.lock();
    assert_eq!(held.documents.len(), 2_500);
    let first = |documents: &Documents| documents.all[0].id.clone();
    let again = held.bulks.iter().filter(|(_, bulk)| first(bulk) == first(&held.bulks[0].1)).count();
    assert_eq!(again, 1, "{:?}", held.bulks.iter().map(|(_, bulk)| bulk.all.len()).collect::<Vec<_>>());
}

/// Neither a new destination nor the end of the stream waits for a cluster that does not answer, or that nobody knows.
#[test]
fn a_cluster_that_fails_holds_up_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", to_index("mute", 7200, json!({}))).await;
        call(&streams, "PutRecordBatch", batch(&["{}".to_owned()])).await;
        world.hangs.notified().await;
        let arn = "arn:aws:es:us-east-1:000000000000:domain/logs";
        call(&streams, "UpdateDestination", update(1, json!({ "DomainARN": arn }))).await;
        let mut changes = streams.changes();
        while streams.status().await.unwrap()[0].last_error.as_deref() != Some("nothing says where it is") {
            changes.changed().await.unwrap();
        }
        assert_eq!(streams.status().await.unwrap()[0].endpoint, Some(format!("{arn} clicks")));
        call(&streams, "UpdateDestination", update(2, json!({"ClusterEndpoint": "https://good/"}))).await;
        drained(&streams).await;
        let described = call(&streams, "DescribeDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        let destination = &described["DeliveryStreamDescription"]["Destinations"][0];
        let shown = &destination["AmazonopensearchserviceDestinationDescription"];
        assert_eq!((&shown["ClusterEndpoint"], shown.get("DomainARN")), (&json!("https://good/"), None));
        {
            let held = world.clusters.lock();
            assert_eq!(held.documents.len(), 1, "the same id at each of them: {held:?}");
        }
        call(&streams, "UpdateDestination", update(3, json!({"ClusterEndpoint": "https://mute/"}))).await;
        call(&streams, "PutRecordBatch", batch(&["{}".to_owned()])).await;
        world.hangs.notified().await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        for kind in [KeyKind::DeliveryStream, KeyKind::Request, KeyKind::Checkpoint] {
            assert_eq!(world.rows(kind).await, 0, "{kind:?}");
        }
    });
}
