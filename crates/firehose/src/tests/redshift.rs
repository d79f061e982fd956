//! Stories of a delivery stream to a table of Redshift. Source: docs/spec/sinks.md 2.9.

use tailrace_sinks::warehouse::load::{CopyCommand, LoadError};

use super::*;
use crate::{Load, Warehouses};

/// A load that a cluster was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    at_ms: u64,
    load: Load,
    /// What it has loaded; `None`: it said no.
    loaded: Option<String>,
}

/// What the objects hold that a manifest names, and their names.
fn read(world: &World, manifest: &str) -> (Vec<String>, String) {
    let objects = world.objects();
    let of = |address: &str| String::from_utf8(objects[address.strip_prefix("s3://").unwrap()].clone()).unwrap();
    let manifest: Value = serde_json::from_str(&of(manifest)).unwrap();
    let entries = manifest["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["mandatory"] == true), "{manifest}");
    let names: Vec<String> = entries.iter().map(|entry| entry["url"].as_str().unwrap().to_owned()).collect();
    let text = names.iter().map(|name| of(name)).collect();
    (names, text)
}

/// A cluster at each host: `good` loads everything; `flaky` too, but now and then it says no, or nothing; `down` loads nothing; `mute` loads, and never
/// answers.
impl Warehouses for Outside {
    fn load(&self, load: Load) -> BoxFuture<'static, Result<Result<(), LoadError>, DoorError>> {
        let world = Arc::clone(&self.0);
        async move {
            assert_eq!((&*load.login.user, load.login.password.expose(), &*load.role), ("u", "hunter2", "role"));
            let is = |name: &str| load.login.host == name;
            let loads = !(is("down") || (is("flaky") && world.random(3) == 0));
            let loaded = loads.then(|| read(&world, &load.manifest).1);
            world.loads.lock().push(Asked { at_ms: world.clock.monotonic().0, load: load.clone(), loaded });
            if is("mute") {
                world.hangs.notify_one();
                return std::future::pending().await;
            }
            if world.is_over() || (is("flaky") && world.random(4) == 0) {
                return Ok(Err(LoadError::Unknown("reset".to_owned())));
            }
            let refused = || LoadError::Refused { code: "XX000".to_owned(), text: "Load into table failed".to_owned() };
            Ok(if loads { Ok(()) } else { Err(refused()) })
        }
        .boxed()
    }
}

fn to_table(host: &str, retry_s: u64, more: Value) -> Value {
    let mut config = json!({
        "ClusterJDBCURL": format!("jdbc:redshift://{host}:5439/dev"), "RoleARN": "role", "Username": "u", "Password": "hunter2",
        "CopyCommand": {"DataTableName": "clicks", "DataTableColumns": "a", "CopyOptions": "CSV"},
        "RetryOptions": {"DurationInSeconds": retry_s},
        "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r", "Prefix": "p/",
                            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0}}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"DeliveryStreamName": NAME, "RedshiftDestinationConfiguration": config})
}

fn update(version: u32, more: Value) -> Value {
    json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": version.to_string(),
        "DestinationId": "destinationId-000000000001", "RedshiftDestinationUpdate": more})
}

/// At least once: a load that comes again, after a lost answer or by the next life, has the same manifest and the same objects, and manifests
/// hold each record once.
#[test]
fn manifests_hold_each_acknowledged_record_once_and_each_is_loaded() {
    for seed in 700..730 {
        let directory = tempfile::tempdir().unwrap();
        let config = to_table("flaky", 7200, json!({}));
        let (acknowledged, world) = story(directory.path(), seed, config, |n| format!("{n}\n"));
        let mut by_manifest = BTreeMap::new();
        for Asked { load, loaded, .. } in world.loads.lock().iter() {
            assert!(load.manifest.starts_with("s3://lake/p/manifests/2018/"), "{load:?}");
            assert_eq!(load.copy, CopyCommand::new("clicks", "a", "CSV").unwrap());
            if let Some(loaded) = loaded {
                let before = by_manifest.entry(load.manifest.clone()).or_insert_with(|| loaded.clone());
                assert_eq!(before, loaded, "story {seed}");
            }
        }
        let found: Vec<String> =
            by_manifest.values().flat_map(|text| text.lines()).map(|line| format!("{line}\n")).collect();
        assert_eq!(sorted(found), sorted(acknowledged), "story {seed}");
        let records = world.objects().into_keys().filter(|key| is_below("lake/p/", key)).count();
        assert_eq!((records, world.objects().len()), (by_manifest.len(), 2 * by_manifest.len()), "story {seed}");
    }
}

/// docs/spec/sinks.md 2.9: what is given up is named by a manifest of errors, and stays in the bucket.
#[test]
fn what_is_not_loaded_in_time_is_in_a_manifest_of_errors() {
    for (retry_s, attempts) in [(60, 7), (0, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(directory.path(), 5);
        runtime().block_on(async {
            let streams = world.streams().await;
            streams.start().await;
            call(&streams, "CreateDeliveryStream", to_table("down", retry_s, json!({}))).await;
            call(&streams, "PutRecordBatch", batch(&["1\n".to_owned(), "2\n".to_owned()])).await;
            drained(&streams).await;
            let status = streams.status().await.unwrap();
            assert_eq!((&status[0].last_error, status[0].endpoint.as_deref()), (&None, Some("down:5439/dev clicks")));
            assert_eq!(status[0].bucket, "lake");
            // The next one is loaded.
            call(&streams, "UpdateDestination", update(1, json!({"ClusterJDBCURL": "jdbc:redshift://good:5439/dev"})))
                .await;
            call(&streams, "PutRecordBatch", batch(&["3\n".to_owned()])).await;
            drained(&streams).await;
        });
        let loads = world.loads.lock().clone();
        assert_eq!(loads.len(), attempts + 1);
        assert_eq!(loads[attempts - 1].at_ms - loads[0].at_ms, retry_s * 1000, "the last one is when the time is over");
        assert_eq!(loads[attempts].loaded.as_deref(), Some("3\n"));
        let errors: Vec<String> = world.objects().into_keys().filter(|key| is_below("lake/p/errors/", key)).collect();
        let [errors] = &errors[..] else { panic!("{errors:?}") };
        let (names, text) = read(&world, &format!("s3://{errors}"));
        assert_eq!((&names, &*text), (&read(&world, &loads[0].load.manifest).0, "1\n2\n"));
        let notices = world.notices.lock();
        assert!(notices.iter().any(|notice| notice.text.contains("2 records could not be delivered")), "{notices:?}");
        assert!(notices.iter().all(|notice| !notice.text.contains("hunter2")), "{notices:?}");
    }
}

/// A flush that was given up stays so when its manifest of errors could not be written at once: only a life that ends before the answer is
/// durable has it loaded again.
#[test]
fn what_was_given_up_is_not_loaded_any_more() {
    let mut repeats = 0;
    for seed in 800..830 {
        let directory = tempfile::tempdir().unwrap();
        let config = to_table("down", 0, json!({}));
        let (acknowledged, world) = story(directory.path(), seed, config, |n| format!("{n}\n"));
        let mut found = Vec::new();
        for key in world.objects().into_keys().filter(|key| is_below("lake/p/errors/", key)) {
            let (_, text) = read(&world, &format!("s3://{key}"));
            found.extend(text.lines().map(|line| format!("{line}\n")));
        }
        assert_eq!(sorted(found), sorted(acknowledged), "story {seed}");
        let loads: Vec<String> = world.loads.lock().iter().map(|asked| asked.load.manifest.clone()).collect();
        let manifests = loads.iter().collect::<std::collections::BTreeSet<_>>().len();
        repeats += loads.len() - manifests;
    }
    // Without the note there are some twenty: a bucket fails at one of six calls.
    assert!(repeats <= 5, "{repeats} loads came again");
}

/// What a function drops, or fails, is not loaded; the records as they came are in the backup.
#[test]
fn results_of_a_function_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        let backup = json!({"BucketARN": "arn:aws:s3:::backup", "RoleARN": "r"});
        let more = json!({"ProcessingConfiguration": transforming("f"), "S3BackupMode": "Enabled", "S3BackupConfiguration": backup});
        call(&streams, "CreateDeliveryStream", to_table("good", 0, more)).await;
        call(&streams, "PutRecordBatch", batch(&["drop".to_owned(), "fail".to_owned()])).await;
        drained(&streams).await;
        assert_eq!(world.loads.lock().len(), 0, "nothing is to be loaded");
        call(&streams, "PutRecordBatch", batch(&["drop".to_owned(), "a".to_owned()])).await;
        drained(&streams).await;
    });
    let loads = world.loads.lock().clone();
    assert_eq!(loads.len(), 1);
    assert!(loads[0].loaded.as_ref().unwrap().starts_with("a:"), "{loads:?}");
    let objects = world.objects();
    let backup: Vec<&[u8]> =
        objects.iter().filter(|(key, _)| key.starts_with("backup/")).map(|(_, bytes)| &bytes[..]).collect();
    assert_eq!(backup.len(), 2);
    assert!(backup.contains(&&b"dropa"[..]), "{backup:?}");
    assert!(objects.keys().any(|key| is_below("lake/p/processing-failed/", key)), "{objects:?}");
}

/// Neither a new destination nor the end of the stream waits for a cluster that does not answer.
#[test]
fn a_cluster_that_fails_holds_up_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", to_table("mute", 7200, json!({}))).await;
        call(&streams, "PutRecordBatch", batch(&["1\n".to_owned()])).await;
        world.hangs.notified().await;
        call(&streams, "UpdateDestination", update(1, json!({"ClusterJDBCURL": "jdbc:redshift://good:5439/dev"})))
            .await;
        drained(&streams).await;
        let described = call(&streams, "DescribeDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        let shown = &described["DeliveryStreamDescription"]["Destinations"][0]["RedshiftDestinationDescription"];
        assert_eq!(shown["ClusterJDBCURL"], "jdbc:redshift://good:5439/dev");
        assert!(!described.to_string().contains("hunter2"), "{described}");
        call(&streams, "UpdateDestination", update(2, json!({"ClusterJDBCURL": "jdbc:redshift://mute:5439/dev"})))
            .await;
        call(&streams, "PutRecordBatch", batch(&["2\n".to_owned()])).await;
        world.hangs.notified().await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        for kind in [KeyKind::DeliveryStream, KeyKind::Request, KeyKind::Checkpoint, KeyKind::Owner] {
            assert_eq!(world.rows(kind).await, 0, "{kind:?}");
        }
    });
}
