//! Query and Scan: docs/spec/dynamodb-api.md 5, 7.4.

use super::*;

async fn numbered(count: i64) -> Bench {
    let bench = Bench::new().await;
    for i in 0..count {
        bench.put("games", json!({"pk": s("a"), "sk": n(i), "odd": {"BOOL": i % 2 == 1}})).await;
    }
    bench.put("games", json!({"pk": s("b"), "sk": n(0)})).await;
    bench
}

fn sort_keys(answer: &Value) -> Vec<String> {
    let items = answer["Items"].as_array().unwrap();
    items.iter().map(|item| item["sk"].as_object().unwrap().values().next().unwrap().as_str().unwrap().into()).collect()
}

fn query(condition: &str, values: Value) -> Value {
    json!({"TableName": "games", "KeyConditionExpression": condition, "ExpressionAttributeValues": values})
}

#[tokio::test]
async fn key_conditions_choose_the_rows_in_order_of_value() {
    let bench = Bench::new().await;
    for number in ["-10", "-2", "0", "2", "10", "100"] {
        bench.put("games", json!({"pk": s("a"), "sk": {"N": number}})).await;
    }
    for (condition, value, expected) in [
        ("pk = :p AND sk = :v", 2, vec!["2"]),
        ("pk = :p AND sk < :v", 2, vec!["-10", "-2", "0"]),
        ("pk = :p AND sk <= :v", 2, vec!["-10", "-2", "0", "2"]),
        ("pk = :p AND sk > :v", 2, vec!["10", "100"]),
        (":v <= sk AND pk = :p", 2, vec!["2", "10", "100"]),
        ("pk = :p AND sk BETWEEN :v AND :v", -2, vec!["-2"]),
        ("pk = :p AND sk < :v", -10, vec![]),
    ] {
        let mut body = query(condition, json!({":p": s("a"), ":v": n(value)}));
        assert_eq!(sort_keys(&bench.ok("Query", body.clone()).await), expected, "{condition}");
        body["ScanIndexForward"] = json!(false);
        let reversed: Vec<&str> = expected.into_iter().rev().collect();
        assert_eq!(sort_keys(&bench.ok("Query", body).await), reversed, "{condition}, descending");
    }
}

#[tokio::test]
async fn text_sort_keys_sort_by_bytes_and_begin_with_prefixes() {
    let bench = Bench::new().await;
    for text in ["Z", "a", "ab", "abc", "b", "é"] {
        bench.put("texts", json!({"pk": s("a"), "sk": s(text)})).await;
    }
    let body = |condition: &str, values: Value| json!({"TableName": "texts", "KeyConditionExpression": condition, "ExpressionAttributeValues": values});
    let all = bench.ok("Query", body("pk = :p", json!({":p": s("a")}))).await;
    assert_eq!(sort_keys(&all), ["Z", "a", "ab", "abc", "b", "é"]);
    let prefix = bench.ok("Query", body("pk = :p AND begins_with(sk, :v)", json!({":p": s("a"), ":v": s("ab")}))).await;
    assert_eq!(sort_keys(&prefix), ["ab", "abc"]);
}

#[tokio::test]
async fn limit_comes_before_the_filter_and_pages_go_on_behind_the_last_item_read() {
    for forward in [true, false] {
        let bench = numbered(7).await;
        let mut body = query("pk = :p", json!({":p": s("a"), ":t": {"BOOL": true}}));
        body["FilterExpression"] = json!("odd = :t");
        body["Limit"] = json!(2);
        body["ScanIndexForward"] = json!(forward);
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let answer = bench.ok("Query", body.clone()).await;
            pages += 1;
            assert!(answer["ScannedCount"].as_u64().unwrap() <= 2);
            assert_eq!(answer["Count"].as_u64().unwrap() as usize, answer["Items"].as_array().unwrap().len());
            found.extend(sort_keys(&answer));
            match answer.get("LastEvaluatedKey") {
                Some(key) => body["ExclusiveStartKey"] = key.clone(),
                None => break,
            }
        }
        found.sort();
        assert_eq!((found, pages), (vec!["1".into(), "3".into(), "5".into()], 4));
    }
}

#[tokio::test]
async fn a_page_ends_with_the_item_that_reaches_a_megabyte() {
    let bench = Bench::new().await;
    // Each item: pk 2 + 1, sk 2 + 2, b 1 + the text.
    for i in 1..=5 {
        bench.put("games", json!({"pk": s("a"), "sk": n(i), "b": s(&"x".repeat(262_136))})).await;
    }
    let mut body = query("pk = :p", json!({":p": s("a")}));
    body["ReturnConsumedCapacity"] = json!("TOTAL");
    body["Select"] = json!("COUNT");
    let answer = bench.ok("Query", body.clone()).await;
    assert_eq!(answer["Count"], 4);
    assert_eq!(answer["LastEvaluatedKey"], json!({"pk": s("a"), "sk": n(4)}));
    assert_eq!(answer["ConsumedCapacity"]["CapacityUnits"], 128.0);
    assert_eq!(answer.get("Items"), None, "COUNT has no items");
    body["ExclusiveStartKey"] = answer["LastEvaluatedKey"].clone();
    let answer = bench.ok("Query", body).await;
    assert_eq!((&answer["Count"], answer.get("LastEvaluatedKey")), (&json!(1), None));
}

/// Whether the call answers without a thread that may block: the only one is busy.
async fn answers_at_once(bench: &Bench, operation: &str, body: Value) -> bool {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let busy = tokio::task::spawn_blocking(move || held.recv().is_err());
    let call = bench.ok(operation, body);
    let at_once = tokio::select! {
        biased;
        _ = call => true,
        () = std::future::ready(()) => false,
    };
    drop(release);
    assert!(busy.await.unwrap());
    at_once
}

#[test]
fn other_requests_go_on_while_a_large_page_is_filtered_or_projected() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(large_pages_are_not_handled_at_once());
}

async fn large_pages_are_not_handled_at_once() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "text": s(&"x".repeat(20_000))})).await;
    for i in 0..70 {
        bench.put("games", json!({"pk": s("a"), "sk": n(i)})).await;
    }
    let filtered = |table: &str, limit: i64| {
        json!({"TableName": table, "FilterExpression": "contains(#t, :x)", "Limit": limit,
            "ExpressionAttributeNames": {"#t": "text"}, "ExpressionAttributeValues": {":x": s("x")}})
    };
    assert!(!answers_at_once(&bench, "Scan", filtered("users", 10)).await, "an item of 20 KB");
    assert!(!answers_at_once(&bench, "Scan", filtered("games", 70)).await, "70 items");
    assert!(answers_at_once(&bench, "Scan", filtered("games", 10)).await, "10 small items");
    let mut projected = json!({"TableName": "users", "ProjectionExpression": "pk"});
    assert!(!answers_at_once(&bench, "Scan", projected.clone()).await, "an item of 20 KB");
    assert_eq!(bench.ok("Scan", projected.clone()).await["Items"], json!([{"pk": s("a")}]));
    projected.as_object_mut().unwrap().remove("ProjectionExpression");
    assert!(answers_at_once(&bench, "Scan", projected).await, "nothing to be done");
    assert_eq!(bench.ok("Scan", filtered("users", 10)).await["Count"], json!(1));
    assert_eq!(bench.ok("Scan", filtered("games", 70)).await["Count"], json!(0));
}

#[tokio::test]
async fn segments_split_a_table_exactly_and_partitions_stay_together() {
    let bench = Bench::new().await;
    for i in 0..60 {
        bench.put("games", json!({"pk": s(&format!("p{}", i % 20)), "sk": n(i / 20)})).await;
    }
    for total in [1, 3, 7] {
        let mut seen = Vec::new();
        for segment in 0..total {
            let mut body = json!({"TableName": "games", "Segment": segment, "TotalSegments": total, "Limit": 4});
            loop {
                let answer = bench.ok("Scan", body.clone()).await;
                let items = answer["Items"].as_array().unwrap();
                seen.extend(items.iter().map(|item| (item["pk"]["S"].to_string(), item["sk"]["N"].to_string())));
                match answer.get("LastEvaluatedKey") {
                    Some(key) => body["ExclusiveStartKey"] = key.clone(),
                    None => break,
                }
            }
        }
        for three in seen.chunks(3) {
            assert!(three.iter().all(|(pk, _)| *pk == three[0].0), "partitions stay together");
            assert!(three.is_sorted_by_key(|(_, sk)| sk), "and in order");
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 60, "{total} segments");
    }
}

#[tokio::test]
async fn a_scan_filters_projects_and_counts() {
    let bench = numbered(4).await;
    let body = json!({"TableName": "games", "FilterExpression": "odd = :t AND sk > :v", "ProjectionExpression": "sk",
        "ExpressionAttributeValues": {":t": {"BOOL": true}, ":v": n(1)}});
    let answer = bench.ok("Scan", body).await;
    assert_eq!(answer, json!({"Items": [{"sk": n(3)}], "Count": 1, "ScannedCount": 5}));
    let answer = bench.ok("Scan", json!({"TableName": "users", "ReturnConsumedCapacity": "TOTAL"})).await;
    let capacity = json!({"TableName": "users", "CapacityUnits": 0.5});
    assert_eq!(answer, json!({"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": capacity}));
}

#[tokio::test]
async fn queries_are_refused_in_their_words() {
    let bench = numbered(1).await;
    let values = json!({":p": s("a"), ":v": n(1)});
    for (condition, text) in [
        ("pk = :p AND odd = :v", "Query condition missed key schema element: sk"),
        ("pk > :p AND sk = :v", "Query key condition not supported"),
        (
            "pk = :v AND sk = :p",
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
    ] {
        bench.refused("Query", query(condition, values.clone()), &ve(text)).await;
    }
    let with = |member: &str, value: Value| {
        let mut body = query("pk = :p AND sk = :v", values.clone());
        body[member] = value;
        body
    };
    let newer = |text: &str| enveloped(text);
    for (member, value, expected) in [
        ("IndexName", json!("some-index"), ve("The table does not have the specified index: some-index")),
        (
            "FilterExpression",
            json!("sk > :v"),
            ve("Filter Expression can only contain non-primary key attributes: Primary key attribute: sk"),
        ),
        (
            "Select",
            json!("SPECIFIC_ATTRIBUTES"),
            newer("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"),
        ),
        (
            "Select",
            json!("ALL_PROJECTED_ATTRIBUTES"),
            newer("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"),
        ),
    ] {
        bench.refused("Query", with(member, value), &expected).await;
    }
    let mut body = with("Select", json!("COUNT"));
    body["ProjectionExpression"] = json!("odd");
    let text = "Cannot specify the ProjectionExpression when choosing to get only the Count";
    bench.refused("Query", body, &ve(text)).await;
    let text = "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.";
    bench.refused("Query", json!({"TableName": "games"}), &ve(text)).await;
}

#[tokio::test]
async fn an_index_is_not_found_whatever_its_name() {
    let bench = numbered(1).await;
    let long = "a".repeat(256);
    for name in ["some-index", "a", "a b", "é", long.as_str()] {
        let expected = ve(&format!("The table does not have the specified index: {name}"));
        let mut body = query("pk = :p", json!({":p": s("a")}));
        body["IndexName"] = json!(name);
        bench.refused("Query", body, &expected).await;
        bench.refused("Scan", json!({"TableName": "games", "IndexName": name}), &expected).await;
    }
    let scan = |name: &str| json!({"TableName": "games", "IndexName": name});
    let text = "Value at 'IndexName' failed to satisfy constraint: Member must have length greater than or equal to 1";
    bench.refused("Scan", scan(""), &enveloped(text)).await;
    let error = bench.call("Scan", scan(&"é".repeat(1_000_000))).await.unwrap_err().to_string();
    assert!(error.len() < 4300, "{} bytes", error.len());
}

#[tokio::test]
async fn start_keys_are_refused_in_their_words() {
    let bench = numbered(3).await;
    let start = |condition: &str, key: Value| {
        let mut body = query(condition, json!({":p": s("a"), ":v": n(1)}));
        if !condition.contains(":v") {
            body["ExpressionAttributeValues"] = json!({":p": s("a")});
        }
        body["ExclusiveStartKey"] = key;
        body
    };
    let invalid = "The provided starting key is invalid";
    for (condition, key, text) in [
        ("pk = :p", json!({"pk": s("a")}), invalid),
        ("pk = :p", json!({"pk": s("a"), "sk": s("x")}), invalid),
        ("pk = :p", json!({"pk": s("a"), "sk": n(1), "x": n(1)}), invalid),
        (
            "pk = :p",
            json!({"pk": s("b"), "sk": n(1)}),
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        (
            "pk = :p AND sk > :v",
            json!({"pk": s("a"), "sk": n(1)}),
            "The provided starting key does not match the range key predicate",
        ),
        (
            "pk = :p AND sk >= :v",
            json!({"pk": s("b"), "sk": n(1)}),
            "The query can return at most one row and cannot be restarted",
        ),
    ] {
        bench.refused("Query", start(condition, key), &ve(text)).await;
    }
    let scan = |members: Value| {
        let mut body = json!({"TableName": "games"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    bench.refused("Scan", scan(json!({"ExclusiveStartKey": {"pk": s("a")}})), &ve(invalid)).await;
    let classic = Bench::with(Wording::Classic).await;
    let text = "The provided starting key is invalid: The provided key element does not match the schema";
    classic.refused("Scan", scan(json!({"ExclusiveStartKey": {"pk": s("a")}})), &ve(text)).await;
    let set = "The provided starting key is invalid: One or more parameter values were invalid: An string set  may not \
               be empty";
    bench.refused("Scan", scan(json!({"ExclusiveStartKey": {"pk": {"SS": []}}})), &ve(set)).await;
    let absent = json!({"pk": s("a"), "sk": n(1)});
    let segment = tailrace_core::key::partition_hash(b"a").bucket.0 / 32_768;
    let other = scan(json!({"ExclusiveStartKey": absent, "Segment": 1 - segment, "TotalSegments": 2}));
    let text = format!(
        "{invalid}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: 2 \
         Segment: {}",
        1 - segment
    );
    bench.refused("Scan", other, &ve(&text)).await;
    for (members, text) in [
        (
            json!({"TotalSegments": 2}),
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        ),
        (
            json!({"Segment": 1}),
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        ),
        (
            json!({"Segment": 2, "TotalSegments": 2}),
            "The Segment parameter is zero-based and must be less than parameter TotalSegments",
        ),
    ] {
        bench.refused("Scan", scan(members), &ve(text)).await;
    }
}

#[tokio::test]
async fn key_values_that_no_item_can_have_are_refused() {
    let bench = numbered(1).await;
    let prefix = "One or more parameter values were invalid: ";
    let long = |length: usize| s(&"x".repeat(length));
    let text = format!("{prefix}Size of hashkey has exceeded the maximum size limit of2048 bytes");
    bench.refused("Query", query("pk = :p", json!({":p": long(2049)})), &ve(&text)).await;
    assert_eq!(bench.ok("Query", query("pk = :p", json!({":p": long(2048)}))).await["Count"], json!(0));
    let texts = |condition: &str, value: Value| {
        let mut body = query(condition, json!({":p": s("a"), ":v": value}));
        body["TableName"] = json!("texts");
        body
    };
    let text = format!("{prefix}Aggregated size of all range keys has exceeded the size limit of 1024 bytes");
    bench.refused("Query", texts("pk = :p AND sk > :v", long(1025)), &ve(&text)).await;
    assert_eq!(bench.ok("Query", texts("pk = :p AND sk > :v", long(1024))).await["Count"], json!(0));
    let text = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                string value. Key: sk";
    bench.refused("Query", texts("pk = :p AND begins_with(sk, :v)", s("")), &ve(text)).await;
}
