//! docs/spec/sinks.md 2.3, 2.5 and 9: names and bytes are those of the flush, however often it is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tailrace_engine::streams::record::StreamRecord;

use super::fake_s3::{FakeS3, Fault};
use super::fixture::{AUGUST, Place, change, flush, sink};
use crate::objects::ObjectSink;
use crate::objects::manifest::Manifest;
use crate::sink::{Flush, Flushed, Origin, Sink};

const SHARD: &str = "shardId-00000001535365800000-00000007";

fn number(number: u64) -> String {
    format!("1{number:020}")
}

fn insert(number: u64, id: &str, customer: &str) -> StreamRecord {
    change(number, id, None, Some(json!({"customer": {"S": customer}, "total": {"N": number.to_string()}})))
}

async fn taken(sink: &ObjectSink, flush: &Flush) -> Flushed {
    sink.flush(flush.clone()).await.unwrap()
}

/// Sends a flush as the runtime does, until it is taken. How often it failed is bounded by the faults.
async fn insist(sink: &ObjectSink, flush: &Flush) -> (Flushed, usize) {
    for failed in 0..50 {
        if let Ok(flushed) = sink.flush(flush.clone()).await {
            return (flushed, failed);
        }
    }
    panic!("a flush is never taken");
}

fn keys(objects: &[(String, Bytes)]) -> Vec<&str> {
    objects.iter().map(|(key, _)| key.as_str()).collect()
}

#[tokio::test]
async fn a_flush_is_one_object_named_by_its_first_and_last_record() {
    for place in Place::both().await {
        let sink = sink(place.settings(json!({})));
        let flushed = taken(&sink, &flush(vec![insert(3, "a", "c1"), insert(5, "b", "c2")])).await;
        let objects = place.objects().await;
        let name = format!("2018/08/27/10/lake-v1-{SHARD}-{}-{}.jsonl", number(3), number(5));
        assert_eq!(keys(&objects), [name]);
        assert_eq!(flushed, Flushed { bytes: objects[0].1.len() as u64, ..Flushed::default() });
        assert_eq!(objects[0].1.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}

/// docs/spec/sinks.md 2.2: all times of a key are that of the oldest record, which need not be the first.
#[tokio::test]
async fn the_time_of_a_key_is_that_of_the_oldest_record() {
    let place = Place::Directory(tempfile::tempdir().unwrap());
    let settings = json!({
        "partition_by": "dt=!{timestamp:yyyy-MM-dd'T'HHmm}/!{firehose:random-string}", "time_zone": "+02:00", "compression": "gzip",
    });
    let sink = sink(place.settings(settings));
    let mut late = insert(3, "a", "c");
    late.time_ms = tailrace_core::EpochMs(AUGUST.0 + 3_600_000);
    taken(&sink, &flush(vec![late, insert(5, "b", "c")])).await;
    let objects = place.objects().await;
    let (folder, name) = objects[0].0.rsplit_once('/').unwrap();
    assert_eq!(folder.split('/').next().unwrap(), "dt=2018-08-27T1230");
    assert_eq!(folder.split('/').nth(1).unwrap().len(), 11);
    assert!(name.ends_with(".jsonl.gz"));
}

#[tokio::test]
async fn partitions_are_objects_of_their_own() {
    for place in Place::both().await {
        let settings = json!({
            "partition_by": "c=!{partitionKeyFromQuery:customer}/",
            "partition_keys": {"customer": ".dynamodb.NewImage.customer.S // .dynamodb.OldImage.customer.S | lower"},
            "manifest": true,
        });
        let sink = sink(place.settings(settings));
        let removed = change(9, "b", Some(json!({"customer": {"S": "a/B"}})), None);
        let nobody = change(10, "c", None, Some(json!({})));
        let records = vec![insert(3, "a", "a/B"), insert(5, "b", "C"), insert(7, "c", "a/B"), removed, nobody];
        let flushed = taken(&sink, &flush(records)).await;
        assert_eq!(flushed.rejected.len(), 1);
        assert_eq!(flushed.rejected[0].index, 4);
        assert_eq!(flushed.rejected[0].error, "processing-failed: the partition key `customer` is not in the record");
        let objects = place.objects().await;
        let manifest = format!("_manifest/2018-08-27-10/lake-v1-{SHARD}.json");
        let first = format!("c=a%2FB/lake-v1-{SHARD}-{}-{}.jsonl", number(3), number(7));
        let second = format!("c=C/lake-v1-{SHARD}-{}-{}.jsonl", number(5), number(5));
        let third = format!("c=a%2Fb/lake-v1-{SHARD}-{}-{}.jsonl", number(9), number(9));
        assert_eq!(keys(&objects), [manifest.as_str(), &second, &first, &third]);
        let manifest: Manifest = serde_json::from_slice(&objects[0].1).unwrap();
        assert_eq!(manifest.objects.keys().collect::<Vec<_>>(), [&second, &first, &third]);
        let noted = &manifest.objects[&first];
        assert_eq!((noted.rows, noted.bytes, noted.last.as_str()), (2, objects[2].1.len(), number(7).as_str()));
        assert_eq!((manifest.table.as_str(), manifest.shard.as_deref(), manifest.version), ("Orders", Some(SHARD), 1));
    }
}

/// docs/spec/sinks.md 2.3: records beyond the last partition go to the error output, those of known partitions do not.
#[tokio::test]
async fn partitions_beyond_the_bound_are_rejected() {
    let place = Place::Directory(tempfile::tempdir().unwrap());
    let settings = json!({
        "partition_by": "!{partitionKeyFromQuery:id}/", "partition_keys": {"id": ".dynamodb.Keys.id.S"}, "partitions_max": 3,
    });
    let sink = sink(place.settings(settings));
    let records = (0..6).map(|id| insert(id, &format!("i{}", id % 5), "c")).collect();
    let flushed = taken(&sink, &flush(records)).await;
    let rejected: Vec<usize> = flushed.rejected.iter().map(|rejected| rejected.index).collect();
    assert_eq!(rejected, [3, 4]);
    assert_eq!(
        flushed.rejected[0].error,
        "activePartitionExceeded: 3 partitions of one flush are the most (partitions_max)"
    );
    assert_eq!(place.objects().await.len(), 3);
    let config: crate::objects::Config = serde_json::from_value(json!({"to": "x"})).unwrap();
    assert_eq!(config.partitions_max, 500);
}

#[tokio::test]
async fn values_that_no_key_can_have_are_rejected() {
    let place = Place::Directory(tempfile::tempdir().unwrap());
    let settings = json!({
        "partition_by": "x/!{partitionKeyFromQuery:c}/y", "partition_keys": {"c": ".dynamodb.NewImage.customer.S"},
    });
    let sink = sink(place.settings(settings));
    let long = "l".repeat(600);
    let records =
        vec![insert(1, "a", ".."), insert(2, "b", "ok"), insert(3, "c", &long), insert(4, "d", &"m".repeat(300))];
    let flushed = taken(&sink, &flush(records)).await;
    let errors: Vec<&str> = flushed.rejected.iter().map(|rejected| rejected.error.as_str()).collect();
    assert!(
        errors[0].starts_with("processing-failed: no object can be named") && errors[0].contains("`..`"),
        "{errors:?}"
    );
    assert!(errors[1].starts_with("processing-failed: a prefix of 604 characters"), "{errors:?}");
    assert!(errors[2].contains("a part of it is longer than 245 bytes"), "{errors:?}");
    assert_eq!(place.objects().await.len(), 1);
}

#[tokio::test]
async fn pages_of_a_snapshot_have_names_of_their_own() {
    let place = Place::Directory(tempfile::tempdir().unwrap());
    let snapshot = |page| Flush {
        origin: Origin::Snapshot { page, made_by: 1 },
        ..flush(vec![insert(3, "a", "c"), insert(3, "b", "d")])
    };
    let whole = sink(place.settings(json!({"manifest": true, "partition_by": "s/!{timestamp:yyyy}/"})));
    taken(&whole, &snapshot(0)).await;
    // Both items have the number of one point of the stream, and ids of their own.
    let lines = place.objects().await.into_iter().find(|(key, _)| key.ends_with("0.jsonl")).unwrap().1;
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["eventID"].to_string();
    let ids: std::collections::BTreeSet<String> = std::str::from_utf8(&lines).unwrap().lines().map(id).collect();
    assert_eq!(ids.len(), 2);
    taken(&whole, &snapshot(1)).await;
    let parts = json!({
        "partition_by": "c=!{partitionKeyFromQuery:c}/", "partition_keys": {"c": ".dynamodb.NewImage.customer.S"},
    });
    taken(&sink(place.settings(parts)), &snapshot(0)).await;
    assert_eq!(
        keys(&place.objects().await),
        [
            "_manifest/2018-08-27-10/lake-v1-Orders-snapshot.json",
            "c=c/lake-v1-Orders-snapshot-0000000000-0000.jsonl",
            "c=d/lake-v1-Orders-snapshot-0000000000-0001.jsonl",
            "s/2018/lake-v1-Orders-snapshot-0000000000.jsonl",
            "s/2018/lake-v1-Orders-snapshot-0000000001.jsonl",
        ]
    );
}

/// A table's name may have 255 bytes, and so may that of a file: the longest names are shortened, the same at each repeat.
#[tokio::test]
async fn a_snapshot_of_a_table_with_the_longest_name_has_names_that_are_taken() {
    let place = Place::Directory(tempfile::tempdir().unwrap());
    let named = |table: &str, page| {
        let given = flush(vec![insert(3, "a", "c")]);
        let source = crate::sink::SourceTable { table: table.to_owned(), ..(*given.source).clone() };
        let origin = Origin::Snapshot { page, made_by: 1 };
        Flush { sink: "s".repeat(64).into(), version: u32::MAX, source: Arc::new(source), origin, ..given }
    };
    let long = "Orders".repeat(42) + "abc";
    let sink = sink(place.settings(json!({"manifest": true, "compression": "gzip", "partition_by": "p/"})));
    for (table, page) in [(&long, 0), (&long, 0), (&long, 1), (&long.replace('a', "b"), 0)] {
        assert_eq!(taken(&sink, &named(table, page)).await.rejected, []);
    }
    let objects = place.objects().await;
    assert_eq!(objects.len(), 2 + 3, "{:?}", keys(&objects));
    // With what a warehouse puts behind.
    assert!(named(&long, 0).name().len() + 1 + 16 + ".manifest".len() <= crate::objects::store::KEY_PART_BYTES_MAX);
    assert!(
        named(&long[..120], 0).name().len() + 1 + 16 + ".manifest".len() <= crate::objects::store::KEY_PART_BYTES_MAX
    );
}

#[tokio::test]
async fn locked_objects_are_kept_from_now_on() {
    let place = Place::S3(FakeS3::start().await);
    let sink = sink(place.settings(json!({"lock": {"mode": "GOVERNANCE", "days": 2}, "manifest": true})));
    taken(&sink, &flush(vec![insert(3, "a", "c")])).await;
    let Place::S3(fake) = &place else { unreachable!() };
    let puts = &fake.state.lock().puts;
    assert_eq!(puts[0]["x-amz-object-lock-retain-until-date"], "2018-08-29T10:30:05.678Z");
    assert!(!puts[1].contains_key("x-amz-object-lock-mode"), "a manifest is written again");
}

/// docs/spec/sinks.md 2.5: 412 and another checksum is an error, but for the same flush of another release.
#[tokio::test]
async fn an_object_of_other_bytes_is_replaced_only_if_another_release_wrote_it() {
    let place = Place::S3(FakeS3::start().await);
    let sink = sink(place.settings(json!({})));
    let flush = flush(vec![insert(3, "a", "c")]);
    taken(&sink, &flush).await;
    let clean = place.objects().await;
    let Place::S3(fake) = &place else { unreachable!() };
    let change = |release: &'static str| {
        let mut state = fake.state.lock();
        let object = state.objects.values_mut().next().unwrap();
        object.body = "other".into();
        object.headers.insert("x-amz-meta-tailrace-release", release.parse().unwrap());
    };
    change(env!("CARGO_PKG_VERSION"));
    let error = sink.flush(flush.clone()).await.unwrap_err().to_string();
    assert!(error.contains("holds other bytes than those that belong there"), "{error}");
    change("0.0.1");
    taken(&sink, &flush).await;
    assert_eq!(place.objects().await, clean);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::None),
        1 => Just(Fault::Refuse(503)),
        1 => Just(Fault::Refuse(500)),
        1 => Just(Fault::HangUp),
        1 => Just(Fault::EffectThenHangUp),
        1 => Just(Fault::EffectThenRefuse(500)),
    ]
}

fn any_settings() -> impl Strategy<Value = Value> {
    let format = prop_oneof![
        Just(json!({"format": "json"})),
        Just(json!({"format": "json", "compression": "gzip", "values": "plain"})),
        Just(json!({"format": "csv", "compression": "zstd", "columns": {"c": "customer.S"}})),
        Just(json!({"format": "parquet", "columns": {"c": "customer.S", "t": "total.N decimal(9,0)"}})),
    ];
    (format, any::<bool>(), any::<bool>()).prop_map(|(mut settings, partitions, manifest)| {
        let more = if partitions {
            json!({
                "partition_by": "!{firehose:random-string}/!{timestamp:ss}/!{partitionKeyFromQuery:c}/",
                "partition_keys": {"c": ".dynamodb.NewImage.customer.S // .dynamodb.NewImage.customer"}, "partitions_max": 2,
            })
        } else {
            json!({"partition_by": "!{timestamp:ss}"})
        };
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings["manifest"] = json!(manifest);
        settings
    })
}

fn any_flushes() -> impl Strategy<Value = Vec<Flush>> {
    let record = (0..6u64, "[abc]", 0..5000u64);
    prop::collection::vec(prop::collection::vec(record, 1..6), 1..4).prop_map(|flushes| {
        let mut next = 1;
        let mut numbered = |(gap, customer, time): (u64, String, u64)| {
            next += 1 + gap;
            let mut record = insert(next, &format!("i{gap}"), &customer);
            record.time_ms.0 += time * 1000;
            record
        };
        flushes.into_iter().map(|records| flush(records.into_iter().map(&mut numbered).collect())).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// docs/spec/sinks.md 9: keys and bytes of a run with failures and repeats are those of a clean one, what was rejected
    /// included; and those of a directory are those of a bucket.
    #[test]
    fn a_run_with_failures_leaves_what_a_clean_one_leaves(
        settings in any_settings(),
        flushes in any_flushes(),
        faults in prop::collection::vec(any_fault(), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let [clean, _] = Place::both().await;
            let rough = Place::S3(FakeS3::start().await);
            let clean_sink = sink(clean.settings(settings.clone()));
            let rough_sink = sink(rough.settings(settings.clone()));
            let Place::S3(fake) = &rough else { unreachable!() };
            fake.fail(faults);
            for flush in &flushes {
                let expect = taken(&clean_sink, flush).await;
                let (flushed, _) = insist(&rough_sink, flush).await;
                prop_assert_eq!(&flushed, &expect);
                // After a crash before the checkpoint it comes once more.
                prop_assert_eq!(insist(&rough_sink, flush).await.0, expect);
            }
            let (clean, rough): (BTreeMap<_, _>, BTreeMap<_, _>) =
                (clean.objects().await.into_iter().collect(), rough.objects().await.into_iter().collect());
            prop_assert_eq!(clean, rough);
            Ok(())
        })?;
    }
}

/// Two owners of a shard at once, of which one is to be stopped by its checkpoint, do no harm here.
#[tokio::test]
async fn two_owners_leave_one_object() {
    for place in Place::both().await {
        let (one, other) = (sink(place.settings(json!({}))), Arc::new(sink(place.settings(json!({})))));
        let flush = flush((1..200).map(|number| insert(number, "a", "c")).collect());
        let (first, second) = tokio::join!(insist(&one, &flush), insist(&other, &flush));
        assert_eq!(first.0, second.0);
        assert_eq!(place.objects().await.len(), 1);
    }
}
