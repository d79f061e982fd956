//! BatchGetItem and BatchWriteItem: docs/spec/dynamodb-api.md 7.1, 7.4.

use super::*;

#[tokio::test]
async fn a_batch_is_one_commit_unless_it_is_too_large_for_one() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    let commits = || bench.db.item_commits.load(std::sync::atomic::Ordering::Relaxed);
    let batch = |fill: &str| {
        let put =
            |i: usize| json!({"PutRequest": {"Item": {"pk": s(&format!("k{i}")), "fill": s(&fill.repeat(390_000))}}});
        json!({"RequestItems": {"users": (0..25).map(put).collect::<Vec<_>>()}})
    };
    bench.ok("BatchWriteItem", batch("x")).await;
    assert_eq!(commits(), 1);
    // With the old images it is more than a commit takes.
    bench.ok("BatchWriteItem", batch("y")).await;
    assert_eq!((commits(), bench.records().await.len()), (26, 50));
}

#[tokio::test]
async fn a_batch_writes_and_reads_over_tables() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("gone")})).await;
    let write = json!({"RequestItems": {
        "users": [{"PutRequest": {"Item": {"pk": s("a"), "v": n(1)}}}, {"DeleteRequest": {"Key": {"pk": s("gone")}}}],
        "games": [{"PutRequest": {"Item": {"pk": s("a"), "sk": n(1)}}}]}, "ReturnConsumedCapacity": "TOTAL"});
    let answer = bench.ok("BatchWriteItem", write).await;
    assert_eq!(answer["UnprocessedItems"], json!({}));
    assert_eq!(
        answer["ConsumedCapacity"],
        json!([{"TableName": "games", "CapacityUnits": 1.0}, {"TableName": "users", "CapacityUnits": 2.0}])
    );
    let read = json!({"RequestItems": {
        "users": {"Keys": [{"pk": s("a")}, {"pk": s("gone")}], "ProjectionExpression": "v"},
        "games": {"Keys": [{"pk": s("zz"), "sk": n(1)}], "ConsistentRead": true}}, "ReturnConsumedCapacity": "TOTAL"});
    let answer = bench.ok("BatchGetItem", read).await;
    assert_eq!(answer["Responses"], json!({"users": [{"v": n(1)}], "games": []}));
    assert_eq!(answer["UnprocessedKeys"], json!({}));
    let units: f64 =
        answer["ConsumedCapacity"].as_array().unwrap().iter().map(|c| c["CapacityUnits"].as_f64().unwrap()).sum();
    assert_eq!(units, 0.5 + 0.5 + 1.0);
}

#[tokio::test]
async fn batches_are_refused_in_their_words() {
    let bench = Bench::new().await;
    let users = |writes: Value| json!({"RequestItems": {"users": writes}});
    let put = |item: Value| json!({"PutRequest": {"Item": item}});
    let delete = |key: &str| json!({"DeleteRequest": {"Key": {"pk": s(key)}}});
    let duplicates = ve("Provided list of item keys contains duplicates");
    let schema = ve("The provided key element does not match the schema");
    let two = ve("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
                  datatypes");
    let many = |table: &str, count: usize| {
        (
            table.to_owned(),
            json!((0..count).map(|i| put(json!({"pk": s(&i.to_string()), "sk": n(1)}))).collect::<Vec<_>>()),
        )
    };
    let over: serde_json::Map<String, Value> = [many("users", 13), many("games", 13)].into_iter().collect();
    for (body, expected) in [
        (json!({"RequestItems": {}}), ve("The requestItems parameter is required for BatchWriteItem")),
        (users(json!([put(json!({"pk": s("a")})), delete("a")])), duplicates.clone()),
        (users(json!([{}])), two.clone()),
        (users(json!([{"PutRequest": {"Item": {"pk": s("a")}}, "DeleteRequest": {"Key": {"pk": s("b")}}}])), two),
        (users(json!([put(json!({"x": s("a")}))])), schema.clone()),
        (users(json!([put(json!({"pk": n(1)}))])), schema),
        (
            users(json!([put(json!({"pk": s("a"), "x": {"SS": []}}))])),
            ve("One or more parameter values were invalid: An string set  may not be empty"),
        ),
        (
            users(json!([put(json!({"pk": s("a"), "x": s(&"x".repeat(409_600))}))])),
            ve("Item size has exceeded the maximum allowed size"),
        ),
        (
            json!({"RequestItems": {"nope": [delete("a")]}}),
            "ResourceNotFoundException: Requested resource not found".to_owned(),
        ),
        (
            json!({"RequestItems": {"nope": [put(json!({"pk": s("a"), "x": s(&"x".repeat(409_600))}))]}}),
            ve("Item size has exceeded the maximum allowed size"),
        ),
        (json!({"RequestItems": over}), ve("Too many items requested for the BatchWriteItem call")),
    ] {
        bench.refused("BatchWriteItem", body, &expected).await;
    }
    assert_eq!(bench.ok("Scan", json!({"TableName": "users"})).await["Count"], json!(0), "nothing was done");
    let keys = |keys: Value| json!({"RequestItems": {"users": {"Keys": keys}}});
    bench.refused("BatchGetItem", keys(json!([{"pk": s("a")}, {"pk": s("a")}])), &duplicates).await;
    // A BatchGetItem is looked over for them before its tables are: whatever else is wrong with the keys.
    for twice in [json!({"pk": n(1)}), json!({"pk": s("")}), json!({"other": s("a")})] {
        bench.refused("BatchGetItem", keys(json!([{"pk": s("a")}, twice, twice])), &duplicates).await;
    }
    let nope = json!({"RequestItems": {"nope": {"Keys": [{"pk": n(1)}, {"pk": {"N": "1.0"}}]}}});
    bench.refused("BatchGetItem", nope, &duplicates).await;
    let mixed = json!({"RequestItems": {"users": {"Keys": [{"pk": s("a")}], "AttributesToGet": ["a"]},
        "games": {"Keys": [{"pk": s("a"), "sk": n(1)}], "ProjectionExpression": "a"}}});
    let text = "Can not use both expression and non-expression parameters in the same request: Non-expression \
                parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}";
    bench.refused("BatchGetItem", mixed, &ve(text)).await;
}

/// docs/spec/dynamodb-api.md 7.1: 52 items of 300 KB fit.
#[tokio::test]
async fn what_goes_over_16_megabytes_is_left_unprocessed() {
    let bench = Bench::new().await;
    let big = s(&"x".repeat(307_196));
    for i in 0..60 {
        bench.put("users", json!({"pk": s(&format!("k{i:02}")), "b": big})).await;
    }
    let keys = |range: std::ops::Range<usize>| -> Vec<Value> {
        range.map(|i| json!({"pk": s(&format!("k{i:02}"))})).collect()
    };
    let part = |keys: Vec<Value>| {
        json!({"Keys": keys, "ConsistentRead": true, "ProjectionExpression": "#p",
            "ExpressionAttributeNames": {"#p": "pk"}})
    };
    let answer = bench.ok("BatchGetItem", json!({"RequestItems": {"users": part(keys(0..60))}})).await;
    assert_eq!(answer["Responses"]["users"], json!(keys(0..52)));
    let rest = json!({"users": part(keys(52..60))});
    assert_eq!(answer["UnprocessedKeys"], rest);
    let answer = bench.ok("BatchGetItem", json!({"RequestItems": rest})).await;
    assert_eq!(answer["Responses"]["users"], json!(keys(52..60)));
    assert_eq!(answer["UnprocessedKeys"], json!({}));

    // The same table by name and by ARN: each part keeps what is left of it.
    let arn = bench.db.settings().table_arn("users");
    let twice = json!({"RequestItems": {arn.as_str(): {"Keys": keys(0..54), "ConsistentRead": true}, "users": part(keys(54..60))}});
    let answer = bench.ok("BatchGetItem", twice).await;
    let found = |name: &str| answer["Responses"][name].as_array().unwrap().len();
    assert_eq!((found(arn.as_str()), found("users")), (52, 0));
    let rest = json!({arn.as_str(): {"Keys": keys(52..54), "ConsistentRead": true}, "users": part(keys(54..60))});
    assert_eq!(answer["UnprocessedKeys"], rest);
}

/// A hundred large items are not all held before the answer is full.
#[tokio::test]
async fn a_batch_is_read_in_steps() {
    let bench = Bench::new().await;
    let keys: Vec<Value> = (0..100).map(|i| json!({"pk": s(&format!("k{i:03}"))})).collect();
    for key in &keys {
        bench.put("users", key.clone()).await;
    }
    let answer = bench.ok("BatchGetItem", json!({"RequestItems": {"users": {"Keys": keys}}})).await;
    assert_eq!(answer["Responses"]["users"], json!(keys), "in the order of the request");
    let most = bench.db.rows_at_once_max.load(std::sync::atomic::Ordering::Relaxed);
    assert!(most <= tailrace_core::limits::BATCH_GET_STEP_KEYS, "{most} rows at once");
}

/// docs/spec/dynamodb-api.md 1.6 and 7.1: an ARN is accepted for the name; duplicates are a table's.
#[tokio::test]
async fn a_table_may_be_named_twice_in_a_batch() {
    let bench = Bench::new().await;
    let arn = bench.db.settings().table_arn("users");
    let put = |key: &str| json!({"PutRequest": {"Item": {"pk": s(key)}}});
    let delete = |key: &str| json!({"DeleteRequest": {"Key": {"pk": s(key)}}});
    let write = |a: Value, b: Value| json!({"RequestItems": {"users": [a], arn.as_str(): [b]}, "ReturnConsumedCapacity": "TOTAL"});
    let read = |a: &str, b: &str| {
        json!({"RequestItems": {"users": {"Keys": [{"pk": s(a)}]}, arn.as_str(): {"Keys": [{"pk": s(b)}]}},
            "ReturnConsumedCapacity": "TOTAL"})
    };
    let duplicates = ve("Provided list of item keys contains duplicates");
    bench.refused("BatchWriteItem", write(put("a"), delete("a")), &duplicates).await;
    bench.refused("BatchGetItem", read("a", "a"), &duplicates).await;
    let answer = bench.ok("BatchWriteItem", write(put("a"), put("b"))).await;
    assert_eq!(answer["UnprocessedItems"], json!({}));
    assert_eq!(answer["ConsumedCapacity"], json!([{"TableName": "users", "CapacityUnits": 2.0}]));
    let answer = bench.ok("BatchGetItem", read("a", "b")).await;
    assert_eq!(answer["Responses"], json!({"users": [{"pk": s("a")}], arn.as_str(): [{"pk": s("b")}]}));
    assert_eq!(answer["ConsumedCapacity"], json!([{"TableName": "users", "CapacityUnits": 1.0}]));
    // Equal keys of two tables are two keys.
    bench.put_table("others", 9, None, None).await;
    bench.ok("BatchWriteItem", json!({"RequestItems": {"users": [put("c")], "others": [delete("c")]}})).await;
}

/// docs/spec/dynamodb-api.md 2.5: the newer layer looks at values before it looks at what goes with what; 1.6: a table is told by the name that
/// it was asked for by.
#[tokio::test]
async fn a_batch_of_reads_tells_of_values_first_and_of_tables_as_they_were_named() {
    let bench = Bench::new().await;
    let part = json!({"Keys": [{"pk": {"N": "abc"}}], "AttributesToGet": ["a"], "ProjectionExpression": "a"});
    let text = "The parameter cannot be converted to a numeric value: abc";
    bench.refused("BatchGetItem", json!({"RequestItems": {"users": part}}), &ve(text)).await;
    bench.put("users", json!({"pk": s("a")})).await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/users";
    let answer = bench.ok("BatchGetItem", json!({"RequestItems": {arn: {"Keys": [{"pk": s("a")}]}}})).await;
    assert_eq!(answer["Responses"][arn], json!([{"pk": s("a")}]));
}
