//! Streams are enabled, disabled, listed and described; iterators and their errors.

use super::*;

/// docs/spec/streams.md 2.1, 2.2, 2.3: the answer names the stream; disabled and enabled again it is another one.
#[tokio::test]
async fn a_stream_is_disabled_and_another_one_enabled() {
    let bench = Bench::new().await;
    let created = bench.create("users", Some("NEW_AND_OLD_IMAGES")).await;
    assert_eq!(created["LatestStreamLabel"], "2023-11-14T22:13:20.000");
    let first = created["LatestStreamArn"].as_str().unwrap().to_owned();
    assert_eq!(first, "arn:aws:dynamodb:us-east-1:000000000000:table/users/stream/2023-11-14T22:13:20.000");
    assert_eq!(created["StreamSpecification"], json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}));
    let on =
        json!({"TableName": "users", "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}});
    let off = json!({"TableName": "users", "StreamSpecification": {"StreamEnabled": false}});
    let enabled = "ValidationException: Table already has an enabled stream: TableName: users";
    bench.refused("UpdateTable", on.clone(), enabled).await;
    bench.put("users", "a", 1).await;

    bench.ok("UpdateTable", off.clone()).await;
    let table = bench.describe("users").await;
    assert_eq!((table.get("StreamSpecification"), &table["LatestStreamArn"]), (None, &json!(first)));
    bench.put("users", "b", 1).await;
    let answer = bench.ok("UpdateTable", on).await["TableDescription"].clone();
    let second = answer["LatestStreamArn"].as_str().unwrap().to_owned();
    assert_eq!(answer["TableStatus"], "UPDATING");
    assert_eq!(answer["LatestStreamLabel"], "2023-11-14T22:13:20.001", "labels of one instant differ");
    bench.put("users", "c", 1).await;

    let description = bench.ok("DescribeStream", json!({"StreamArn": first})).await["StreamDescription"].clone();
    assert_eq!(description["StreamStatus"], "DISABLED");
    for shard in description["Shards"].as_array().unwrap() {
        assert!(shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string(), "{shard}");
    }
    let keys = |records: Vec<Value>| -> Vec<Value> {
        records.into_iter().map(|record| record["dynamodb"]["Keys"]["pk"]["S"].clone()).collect()
    };
    assert_eq!(keys(bench.records(&first).await), ["a"], "a disabled stream stays readable");
    assert_eq!(keys(bench.records(&second).await), ["c"]);
    let listed = bench.ok("ListStreams", json!({"TableName": "users"})).await;
    assert_eq!(listed["Streams"].as_array().unwrap().len(), 2);
    assert_eq!(listed.get("LastEvaluatedStreamArn"), None);
}

/// docs/spec/streams.md 2.4, 12: a deleted table's stream reads for 24 hours, then it is gone.
#[tokio::test]
async fn the_stream_of_a_deleted_table_outlives_it_by_a_day() {
    let bench = Bench::new().await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.put("users", "a", 1).await;
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    bench.create("users", Some("KEYS_ONLY")).await;
    assert_eq!(bench.records(&arn).await.len(), 1, "no REMOVE for the items of a deleted table");
    bench.clock.advance(24 * 60 * 60 * 1000 - 1);
    let shard = bench.shards(&arn).await[0].clone();
    let token = bench.iterator(&arn, &shard, "TRIM_HORIZON").await;
    let both = bench.ok("ListStreams", json!({"TableName": "users"})).await;
    assert_eq!(both["Streams"].as_array().unwrap().len(), 2);
    bench.clock.advance(1);
    bench.run_background(bench.clock.now()).await.unwrap();
    let gone = format!("ResourceNotFoundException: Requested resource not found: Stream: {arn} not found");
    bench.refused("DescribeStream", json!({"StreamArn": arn}), &gone).await;
    bench.refused("GetRecords", json!({"ShardIterator": token}), &gone).await;
    let one = bench.ok("ListStreams", json!({"TableName": "users"})).await;
    assert_eq!(one["Streams"].as_array().unwrap().len(), 1);
}

/// docs/spec/streams.md 3
#[tokio::test]
async fn streams_are_listed_in_pages_that_survive_deletes() {
    let bench = Bench::new().await;
    for name in ["aaa", "bbb", "ccc"] {
        bench.create(name, Some("KEYS_ONLY")).await;
    }
    bench.create("none", None).await;
    for name in ["none", "unknown"] {
        assert_eq!(bench.ok("ListStreams", json!({"TableName": name})).await, json!({"Streams": []}));
    }
    let page = bench.ok("ListStreams", json!({"Limit": 1})).await;
    assert_eq!(page["Streams"][0]["TableName"], "aaa");
    let cursor = page["LastEvaluatedStreamArn"].clone();
    assert_eq!(cursor, page["Streams"][0]["StreamArn"]);
    bench.ok("DeleteTable", json!({"TableName": "aaa"})).await;
    bench.clock.advance(24 * 60 * 60 * 1000);
    bench.run_background(bench.clock.now()).await.unwrap();
    let rest = bench.ok("ListStreams", json!({"ExclusiveStartStreamArn": cursor})).await;
    let names: Vec<&Value> = rest["Streams"].as_array().unwrap().iter().map(|s| &s["TableName"]).collect();
    assert_eq!(names, ["bbb", "ccc"]);
    let elsewhere = json!({"ExclusiveStartStreamArn": cursor, "TableName": "bbb"});
    assert_eq!(bench.ok("ListStreams", elsewhere).await["Streams"].as_array().unwrap().len(), 1);
    for garbage in ["x", "arn:aws:dynamodb:us-east-1:000000000000:table/aaa", "nonsense-nonsense-nonsense-nonsense"] {
        let answer = bench.call("ListStreams", json!({"ExclusiveStartStreamArn": garbage})).await;
        assert!(answer.unwrap_err().to_string().starts_with("ValidationException: Invalid StreamArn"));
    }
}

/// docs/spec/streams.md 4 and 5.1
#[tokio::test]
async fn a_stream_is_described_in_pages() {
    let bench = Bench::new().await;
    let arn = bench.create("users", Some("NEW_IMAGE")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    let whole = bench.ok("DescribeStream", json!({"StreamArn": arn})).await["StreamDescription"].clone();
    assert_eq!(whole["StreamStatus"], "ENABLED");
    assert_eq!(whole["StreamViewType"], "NEW_IMAGE");
    assert_eq!(whole["KeySchema"], json!([{"AttributeName": "pk", "KeyType": "HASH"}]));
    assert_eq!(whole["CreationRequestDateTime"], 1_700_000_000.0);
    let shards = whole["Shards"].as_array().unwrap();
    assert_eq!(shards.len(), 4);
    let ids: Vec<&str> = shards.iter().map(|shard| shard["ShardId"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.starts_with("shardId-00000001700000000000-") && id.len() == 37));
    assert!(shards.iter().all(|shard| shard.get("ParentShardId").is_none()));
    assert!(shards.iter().all(|shard| shard["SequenceNumberRange"].get("EndingSequenceNumber").is_none()));
    let page = json!({"StreamArn": arn, "Limit": 1, "ExclusiveStartShardId": ids[1]});
    let page = bench.ok("DescribeStream", page).await["StreamDescription"].clone();
    assert_eq!((&page["Shards"][0]["ShardId"], &page["LastEvaluatedShardId"]), (&json!(ids[2]), &json!(ids[2])));
    let last = json!({"StreamArn": arn, "ExclusiveStartShardId": ids[3]});
    assert_eq!(bench.ok("DescribeStream", last).await["StreamDescription"]["Shards"], json!([]));
    for unknown in ["shardId-00000001414562045508-2bac9cd2", "nonexistent-shard-id-of-28-or-more-characters"] {
        let answer = bench.ok("DescribeStream", json!({"StreamArn": arn, "ExclusiveStartShardId": unknown})).await;
        assert_eq!(answer["StreamDescription"]["Shards"], json!([]), "{unknown}");
    }
    let children = json!({"StreamArn": arn, "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": ids[0]}});
    assert_eq!(bench.ok("DescribeStream", children).await["StreamDescription"]["Shards"], json!([]));
    let unknown = arn.replace("22:13", "22:14");
    let gone = format!("ResourceNotFoundException: Requested resource not found: Stream: {unknown} not found");
    bench.refused("DescribeStream", json!({"StreamArn": unknown}), &gone).await;
    let short = "ValidationException: Invalid StreamArn: fake-stream";
    bench.refused("DescribeStream", json!({"StreamArn": "fake-stream"}), short).await;
}

/// docs/spec/streams.md 4, 5.1: a shard that has ended is told of while it has a record, or if it never had one.
#[tokio::test]
async fn a_shard_that_has_ended_and_is_trimmed_whole_is_told_of_no_more() {
    let bench = Bench::new().await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.put("users", "a", 1).await;
    bench.clock.advance(23 * 60 * 60 * 1000);
    let off = json!({"TableName": "users", "StreamSpecification": {"StreamEnabled": false}});
    bench.ok("UpdateTable", off).await;
    let ids = |shards: &[Value]| shards.iter().map(|shard| shard["ShardId"].clone()).collect::<Vec<_>>();
    let before = bench.shards(&arn).await;
    let mut held = None;
    for shard in &before {
        let iterator = bench.iterator(&arn, shard, "TRIM_HORIZON").await;
        let page = bench.ok("GetRecords", json!({"ShardIterator": iterator})).await;
        held = held.or((page["Records"] != json!([])).then(|| shard.clone()));
    }
    let held = held.unwrap();
    bench.clock.advance(2 * 60 * 60 * 1000);
    bench.run_background(bench.clock.now()).await.unwrap();

    let after = bench.shards(&arn).await;
    let others: Vec<Value> = ids(&before).into_iter().filter(|id| *id != held["ShardId"]).collect();
    assert_eq!(ids(&after), others);
    for range in after.iter().map(|shard| &shard["SequenceNumberRange"]) {
        let number = |name: &str| range[name].as_str().unwrap().parse::<u128>().unwrap();
        assert!(number("StartingSequenceNumber") <= number("EndingSequenceNumber"), "{range}");
    }
    // A page that ended with it goes on behind it, a page of one that begins before it is full; and a reader who knows it comes to its end.
    let at = ids(&before).iter().position(|id| *id == held["ShardId"]).unwrap();
    let behind = json!({"StreamArn": arn, "ExclusiveStartShardId": held["ShardId"]});
    let behind = bench.ok("DescribeStream", behind).await["StreamDescription"].clone();
    assert_eq!(ids(behind["Shards"].as_array().unwrap()), others[at..]);
    let one = bench.ok("DescribeStream", json!({"StreamArn": arn, "Limit": 1})).await["StreamDescription"].clone();
    assert_eq!((&one["Shards"][0]["ShardId"], &one["LastEvaluatedShardId"]), (&others[0], &others[0]));
    let whole = bench.ok("DescribeStream", json!({"StreamArn": arn, "Limit": 3})).await["StreamDescription"].clone();
    assert_eq!(whole.get("LastEvaluatedShardId"), None, "nothing is behind the last that is told of");
    let iterator = bench.iterator(&arn, &held, "TRIM_HORIZON").await;
    assert_eq!(bench.ok("GetRecords", json!({"ShardIterator": iterator})).await, json!({"Records": []}));
}

/// docs/spec/streams.md 6, the errors
#[tokio::test]
async fn iterators_that_are_refused() {
    let bench = Bench::single().await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].clone();
    let shard = bench.shards(arn.as_str().unwrap()).await[0]["ShardId"].clone();
    let number = "100000000000000000001";
    let base = |members: Value| with(json!({"StreamArn": arn, "ShardId": shard}), members);
    for (members, class) in [
        (json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER"}), "ValidationException"),
        (json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}), "ValidationException"),
        (json!({"ShardIteratorType": "LATEST", "SequenceNumber": number}), "ValidationException"),
        (json!({"ShardIteratorType": "TRIM_HORIZON", "SequenceNumber": number}), "ValidationException"),
        (
            json!({"ShardIteratorType": "NEWEST"}),
            "ValidationException: 1 validation error detected: Value 'NEWEST' at 'shardIteratorType' failed to satisfy \
             constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, \
             TRIM_HORIZON]",
        ),
        (
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "x".repeat(21)}),
            "ValidationException: Invalid SequenceNumber",
        ),
        (
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "999999999999999999999"}),
            "ValidationException: Invalid SequenceNumber: 999999999999999999999 is beyond the shard's range",
        ),
        (json!({"ShardIteratorType": "AT_TIMESTAMP"}), "ValidationException"),
        (json!({"ShardIteratorType": "LATEST", "Timestamp": 1}), "ValidationException"),
        (json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_700_000_001.001}), "ValidationException"),
        (
            json!({"ShardIteratorType": "LATEST", "ShardId": "shardId-00000001414562045508-2bac9cd2"}),
            "ResourceNotFoundException: Requested resource not found: Shard does not exist",
        ),
    ] {
        let error = bench.call("GetShardIterator", base(members.clone())).await.unwrap_err().to_string();
        assert!(error.starts_with(class), "{members}: {error}");
    }
}

/// docs/spec/streams.md 6 and 7: a token's life, its secrecy, and that it survives a restart
#[tokio::test]
async fn iterators_expire_and_cannot_be_forged() {
    let bench = Bench::single().await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    let shard = bench.shards(&arn).await[0].clone();
    let token = bench.iterator(&arn, &shard, "LATEST").await;
    assert_ne!(token, bench.iterator(&arn, &shard, "LATEST").await);
    let forged = token.replace("table/users", "table/other");
    for bad in ["nonsense", &forged, &token[..token.len() - 4]] {
        let answer = bench.call("GetRecords", json!({"ShardIterator": bad})).await;
        bench.expect(answer, "ValidationException: Invalid ShardIterator");
    }
    let settings = Settings { shards_per_stream: 1, ..Settings::default() };
    let rng = Arc::new(SeededRng::new(99));
    let db = Db::open(bench.store.clone(), bench.clock.clone(), rng, settings).await.unwrap();
    let restarted = Bench { db, store: bench.store.clone(), clock: bench.clock.clone() };
    bench.clock.advance(15 * 60 * 1000);
    let page = restarted.ok("GetRecords", json!({"ShardIterator": token})).await;
    assert_eq!(page["Records"], json!([]));
    bench.clock.advance(1);
    let answer = bench.call("GetRecords", json!({"ShardIterator": token})).await;
    bench.expect(answer, "ExpiredIteratorException: The provided iterator exceeds the maximum age allowed.");
    bench.ok("GetRecords", json!({"ShardIterator": page["NextShardIterator"]})).await;
}

/// Region and account are in every ARN: a directory that is started with others says so, until it has its first ones back.
#[tokio::test]
async fn a_directory_knows_the_region_and_account_that_it_was_first_started_with() {
    let bench = Bench::new().await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    assert_eq!(bench.db.former_arn_scope(), None);
    let settings = |region: &str, account_id: &str| Settings {
        region: region.to_owned(),
        account_id: account_id.to_owned(),
        ..Settings::default()
    };
    for (settings, former) in [
        (settings("eu-west-1", "000000000000"), Some("us-east-1:000000000000")),
        (settings("us-east-1", "000000000001"), Some("us-east-1:000000000000")),
        (Settings::default(), None),
    ] {
        let rng = Arc::new(SeededRng::new(2));
        let db = Db::open(bench.store.clone(), bench.clock.clone(), rng, settings).await.unwrap();
        assert_eq!(db.former_arn_scope(), former);
        assert_eq!(db.stream(&arn).await.is_ok(), former.is_none());
    }
}

/// A label that is taken is passed by, whatever has become of its stream's descriptor.
#[tokio::test]
async fn a_stream_is_enabled_beside_a_label_whose_stream_is_lost() {
    use tailrace_store::{Decision, Write};
    let bench = Bench::new().await;
    let key = tailrace_store::keyspace::StreamNameKey::key("users", "2023-11-14T22:13:20.000");
    let keys = [key.clone()];
    let lost = bytes::Bytes::copy_from_slice(&77u64.to_be_bytes());
    tailrace_store::commit(bench.store.as_ref(), &[], &keys, |_| {
        Decision::Apply(vec![Write::Put { key: key.clone(), value: lost.clone() }], ())
    })
    .await
    .unwrap();
    let created = tokio::time::timeout(std::time::Duration::from_secs(10), bench.create("users", Some("KEYS_ONLY")));
    assert_eq!(created.await.expect("it does not end")["LatestStreamLabel"], "2023-11-14T22:13:20.001");
}

/// docs/spec/streams.md 5: a roll-over is one child a shard, a split two; an item's records go on in the children, behind the parents'.
#[tokio::test]
async fn open_shards_are_rolled_over_and_split() {
    use crate::streams::roll::{Children, roll_over};
    let bench = Bench::new().await;
    let arn = bench.create("users", Some("NEW_IMAGE")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.create("plain", None).await;
    let mut sealed = Vec::new();
    for (version, children) in [Children::One, Children::Halves, Children::One].into_iter().enumerate() {
        for key in ["a", "b", "c", "d", "e"] {
            bench.put("users", key, version as i64).await;
        }
        sealed.push(roll_over(&bench.db, "users", children).await.unwrap());
    }
    assert_eq!(sealed, [4, 4, 8]);
    for key in ["a", "b", "c", "d", "e"] {
        bench.put("users", key, 3).await;
    }
    let shards = bench.shards(&arn).await;
    assert_eq!(shards.len(), 4 + 4 + 8 + 8);
    let description = bench.ok("DescribeStream", json!({"StreamArn": arn})).await["StreamDescription"].clone();
    let described = description["Shards"].as_array().unwrap();
    let is_open = |shard: &&Value| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null();
    assert_eq!(described.iter().filter(is_open).count(), 8);
    let parents: Vec<&Value> = described.iter().skip(4).map(|shard| &shard["ParentShardId"]).collect();
    let twice = |parent: &Value| parents.iter().filter(|of| **of == parent).count();
    assert_eq!(
        described.iter().map(|shard| twice(&shard["ShardId"])).collect::<Vec<_>>()[..8],
        [1, 1, 1, 1, 2, 2, 2, 2]
    );
    // Shard by shard in the order of the description, parents come before their children.
    let records = bench.records(&arn).await;
    assert_eq!(records.len(), 20);
    for key in ["a", "b", "c", "d", "e"] {
        let of_key = records.iter().filter(|record| record["dynamodb"]["Keys"]["pk"]["S"] == key);
        let versions: Vec<&Value> = of_key.map(|record| &record["dynamodb"]["NewImage"]["v"]["N"]).collect();
        assert_eq!(versions, ["0", "1", "2", "3"], "{key}");
    }
    assert_eq!(roll_over(&bench.db, "plain", Children::One).await, Ok(0));
    assert!(roll_over(&bench.db, "none", Children::One).await.is_err());
}

/// Who asks while somebody else's roll-over is not seen yet is told what its own one has sealed: the children.
#[tokio::test]
async fn roll_overs_at_once_count_what_each_has_sealed() {
    use crate::streams::roll::{Children, roll_over};
    let bench = Bench::new().await;
    let arn = bench.create("users", Some("NEW_IMAGE")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.store.hold_syncs(true);
    let roll = |children| roll_over(&bench.db, "users", children);
    let lift = async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        bench.store.hold_syncs(false);
    };
    let (one, other, ()) = tokio::join!(roll(Children::One), roll(Children::Halves), lift);
    let description = bench.ok("DescribeStream", json!({"StreamArn": arn})).await["StreamDescription"].clone();
    let described = description["Shards"].as_array().unwrap();
    let is_sealed = |shard: &&Value| !shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null();
    assert_eq!(described.iter().filter(is_sealed).count(), one.unwrap() + other.unwrap());
    assert_eq!(described.len(), 4 + 4 + 8);
}
