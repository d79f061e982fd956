//! Query and Scan of indexes: what is shown, what is fetched, what is refused, where pages go on. docs/spec/dynamodb-api.md 5.

use super::*;

/// Three orders of the shop `x`, with prices 1, 2 and 3, due on `d1` to `d3`.
async fn three(names: &[&str]) -> Bench {
    let bench = Bench::indexed(names).await;
    for i in 1..=3 {
        let item = set(whole(&format!("k{i}")), "price", n(i));
        bench.put_order(set(item, "due", s(&format!("d{i}")))).await;
    }
    bench
}

fn query(index: &str, condition: &str, values: Value) -> Value {
    json!({"TableName": "orders", "IndexName": index, "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values})
}

fn scan(index: &str) -> Value {
    json!({"TableName": "orders", "IndexName": index})
}

fn with(mut body: Value, members: Value) -> Value {
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn by_shop() -> Value {
    query("by-shop", "shop = :x", json!({":x": s("x")}))
}

fn by_due() -> Value {
    query("by-due", "pk = :p", json!({":p": s("p")}))
}

fn sort_keys(answer: &Value) -> Vec<&str> {
    answer["Items"].as_array().unwrap().iter().map(|item| item["sk"]["S"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn conditions_on_the_sort_key_choose_entries() {
    let bench = three(&[]).await;
    for (condition, expected) in [
        ("price = :v", vec!["k2"]),
        ("price < :v", vec!["k1"]),
        ("price <= :v", vec!["k1", "k2"]),
        ("price > :v", vec!["k3"]),
        ("price >= :v", vec!["k2", "k3"]),
        ("price BETWEEN :v AND :v", vec!["k2"]),
    ] {
        let body = query("by-shop", &format!("shop = :x AND {condition}"), json!({":x": s("x"), ":v": n(2)}));
        let answer = bench.ok("Query", body.clone()).await;
        assert_eq!(sort_keys(&answer), expected, "{condition}");
        let answer = bench.ok("Query", with(body, json!({"ScanIndexForward": false}))).await;
        assert_eq!(sort_keys(&answer), expected.into_iter().rev().collect::<Vec<_>>(), "{condition}, descending");
    }
    let many = |condition: &str, values: Value| {
        let values = with(json!({":x": s("x"), ":a": n(1)}), values);
        query("by-many", &format!("shop = :x AND area = :a{condition}"), values)
    };
    for (condition, values, expected) in [
        ("", json!({}), vec!["k1", "k2", "k3"]),
        (" AND due > :d", json!({":d": s("d1")}), vec!["k2", "k3"]),
        (" AND begins_with(due, :d)", json!({":d": s("d")}), vec!["k1", "k2", "k3"]),
        (" AND due = :d AND price > :v", json!({":d": s("d2"), ":v": n(1)}), vec!["k2"]),
        (" AND due = :d AND price > :v", json!({":d": s("d2"), ":v": n(2)}), vec![]),
        (
            " AND due = :d AND price = :v AND begins_with(tag, :t)",
            json!({":d": s("d2"), ":v": n(2), ":t": b("AA==")}),
            vec!["k2"],
        ),
    ] {
        let answer = bench.ok("Query", many(condition, values)).await;
        assert_eq!(sort_keys(&answer), expected, "{condition}");
    }
}

#[tokio::test]
async fn a_page_ends_with_the_keys_of_index_and_table_and_ties_are_neither_lost_nor_repeated() {
    let bench = Bench::indexed(&["by-shop"]).await;
    for i in 0..7 {
        bench.put_order(whole(&format!("k{i}"))).await;
    }
    for forward in [true, false] {
        let mut body = with(by_shop(), json!({"Limit": 2, "ScanIndexForward": forward}));
        let mut found = Vec::new();
        loop {
            let answer = bench.ok("Query", body.clone()).await;
            found.extend(sort_keys(&answer).into_iter().map(str::to_owned));
            let Some(key) = answer.get("LastEvaluatedKey") else { break };
            let last = answer["Items"].as_array().unwrap().last().unwrap();
            assert_eq!(key, &only(last, &["pk", "sk", "shop", "price"]));
            body["ExclusiveStartKey"] = key.clone();
        }
        found.sort();
        assert_eq!(found, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    }
    // The entry that a page goes on behind need not be there any more.
    let answer = bench.ok("Query", with(by_shop(), json!({"Limit": 3}))).await;
    bench.ok("DeleteItem", json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("k2")}})).await;
    let start = json!({"ExclusiveStartKey": answer["LastEvaluatedKey"]});
    assert_eq!(sort_keys(&bench.ok("Query", with(by_shop(), start)).await), ["k3", "k4", "k5", "k6"]);
}

#[tokio::test]
async fn a_page_of_an_index_ends_by_the_size_of_its_entries() {
    let bench = Bench::indexed(&["by-shop", "by-all"]).await;
    for i in 0..5 {
        bench.put_order(set(whole(&format!("k{i}")), "note", s(&"x".repeat(300_000)))).await;
    }
    assert_eq!(bench.ok("Query", by_shop()).await["Count"], 5);
    let whole = query("by-all", "shop = :x", json!({":x": s("x")}));
    assert_eq!(bench.ok("Query", whole).await["Count"], 4);
}

#[tokio::test]
async fn an_index_shows_what_it_holds() {
    let bench = three(&[]).await;
    let item =
        bench.ok("GetItem", json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("k1")}})).await["Item"].clone();
    let limited = |body: Value| with(body, json!({"Limit": 1}));
    let first = |answer: Value| answer["Items"][0].clone();
    let keys = only(&item, &["pk", "sk", "shop", "price"]);
    assert_eq!(first(bench.ok("Query", limited(by_shop())).await), keys);
    let projected = with(by_shop(), json!({"Select": "ALL_PROJECTED_ATTRIBUTES"}));
    assert_eq!(first(bench.ok("Query", limited(projected)).await), keys);
    let body = with(by_shop(), json!({"ProjectionExpression": "sk, price"}));
    assert_eq!(first(bench.ok("Query", limited(body)).await), only(&item, &["sk", "price"]));
    let all = query("by-all", "shop = :x", json!({":x": s("x")}));
    for select in ["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"] {
        assert_eq!(first(bench.ok("Query", limited(with(all.clone(), json!({"Select": select})))).await), item);
    }
    let count = bench.ok("Query", with(by_shop(), json!({"Select": "COUNT"}))).await;
    assert_eq!(count, json!({"Count": 3, "ScannedCount": 3}));
    let filtered = with(by_shop(), json!({"FilterExpression": "sk > :x"}));
    let filtered = with(filtered, json!({"ExpressionAttributeValues": {":x": s("x")}}));
    assert_eq!(bench.ok("Query", filtered).await["ScannedCount"], 3);
}

#[tokio::test]
async fn a_local_index_fetches_what_it_does_not_hold() {
    let bench = three(&[]).await;
    let item =
        bench.ok("GetItem", json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("k1")}})).await["Item"].clone();
    let first = |answer: &Value| answer["Items"][0].clone();
    for (operation, body) in [("Query", by_due()), ("Scan", scan("by-due"))] {
        let body = with(body, json!({"Limit": 2, "ReturnConsumedCapacity": "INDEXES"}));
        let charged = |answer: &Value| answer["ConsumedCapacity"].clone();
        let capacity = |table: f64| {
            json!({"TableName": "orders", "CapacityUnits": table + 0.5, "Table": {"CapacityUnits": table},
                "LocalSecondaryIndexes": {"by-due": {"CapacityUnits": 0.5}}})
        };
        let held = bench.ok(operation, body.clone()).await;
        assert_eq!((first(&held), charged(&held)), (only(&item, &["pk", "sk", "due"]), capacity(0.0)), "{operation}");
        let all = bench.ok(operation, with(body.clone(), json!({"Select": "ALL_ATTRIBUTES"}))).await;
        assert_eq!((first(&all), charged(&all)), (item.clone(), capacity(1.0)), "{operation}");
        assert_eq!(all["LastEvaluatedKey"], json!({"pk": s("p"), "sk": s("k2"), "due": s("d2")}));
        let part = bench.ok(operation, with(body, json!({"ProjectionExpression": "note, due"}))).await;
        assert_eq!((first(&part), charged(&part)), (only(&item, &["note", "due"]), capacity(1.0)), "{operation}");
    }
    // A scan's filter may name what the index does not hold; a query's may not.
    let filter = json!({"FilterExpression": "note = :n", "ExpressionAttributeValues": {":n": s("n")}});
    let answer = bench.ok("Scan", with(scan("by-due"), filter)).await;
    assert_eq!((first(&answer), &answer["Count"]), (only(&item, &["pk", "sk", "due"]), &json!(3)));
    // The index that holds everything is not fetched for.
    let body = with(query("by-price", "pk = :p", json!({":p": s("p")})), json!({"Select": "ALL_ATTRIBUTES"}));
    let answer = bench.ok("Query", with(body, json!({"ReturnConsumedCapacity": "INDEXES"}))).await;
    assert_eq!(answer["ConsumedCapacity"]["Table"]["CapacityUnits"], 0.0);
}

#[tokio::test]
async fn a_page_that_is_fetched_ends_by_the_size_of_the_items() {
    let bench = Bench::indexed(&["by-due"]).await;
    for i in 0..6 {
        bench.put_order(set(whole(&format!("k{i}")), "note", s(&"x".repeat(300_000)))).await;
    }
    let body = with(by_due(), json!({"Select": "ALL_ATTRIBUTES"}));
    let answer = bench.ok("Query", body.clone()).await;
    assert_eq!(sort_keys(&answer), ["k0", "k1", "k2", "k3"]);
    let rest = with(body, json!({"ExclusiveStartKey": answer["LastEvaluatedKey"]}));
    let answer = bench.ok("Query", rest).await;
    assert_eq!((sort_keys(&answer), answer.get("LastEvaluatedKey")), (vec!["k4", "k5"], None));
}

#[tokio::test]
async fn projected_reads_never_touch_the_table() {
    use std::sync::atomic::Ordering::Relaxed;
    let bench = three(&[]).await;
    bench.db.rows_at_once_max.store(0, Relaxed);
    bench.ok("Query", by_due()).await;
    bench.ok("Scan", scan("by-shop")).await;
    // The table's descriptor alone.
    assert_eq!(bench.db.rows_at_once_max.load(Relaxed), 1);
    bench.ok("Query", with(by_due(), json!({"Select": "ALL_ATTRIBUTES"}))).await;
    assert_eq!(bench.db.rows_at_once_max.load(Relaxed), 3, "the items of a page in one read");
}

#[tokio::test]
async fn reads_that_an_index_does_not_allow_are_refused_in_their_words() {
    let bench = three(&[]).await;
    let consistent = ve("Consistent reads are not supported on global secondary indexes");
    let all = format!(
        "{PARAMETER}Select type ALL_ATTRIBUTES is not supported for global secondary index by-shop because its projection type \
         is not ALL"
    );
    let unprojected = |names: &str| format!("{PARAMETER}Global secondary index by-shop does not project [{names}]");
    for (members, expected) in [
        (json!({"ConsistentRead": true}), &consistent),
        (json!({"ConsistentRead": true, "Select": "ALL_ATTRIBUTES"}), &consistent),
        (json!({"Select": "ALL_ATTRIBUTES"}), &all),
        (json!({"ProjectionExpression": "rest.a, note, sk"}), &unprojected("note, rest")),
    ] {
        bench.refused("Query", with(by_shop(), members.clone()), expected).await;
        bench.refused("Scan", with(scan("by-shop"), members), expected).await;
    }
    let legacy = json!({"TableName": "orders", "IndexName": "by-shop", "AttributesToGet": ["note"],
        "KeyConditions": {"shop": {"ComparisonOperator": "EQ", "AttributeValueList": [s("x")]}}});
    bench.refused("Query", legacy, &unprojected("note")).await;
    let scalars = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed:";
    let filter = |name: &str, text: &str| with(query(name, text, json!({":x": s("x")})), json!({}));
    for (body, condition, expected) in [
        (
            filter("by-shop", "shop = :x"),
            "note = :x AND rest.a = :x",
            format!("{PARAMETER}Secondary index by-shop does not project one or more filter attributes: [note, rest]"),
        ),
        (
            filter("by-due", "pk = :x"),
            "shop = :x",
            format!("{PARAMETER}Secondary index by-due does not project one or more filter attributes: [shop]"),
        ),
        (filter("by-shop", "shop = :x"), "attribute_exists(pk.a)", ve(&format!("{scalars} Key: pk"))),
        (filter("by-due", "pk = :x"), "attribute_exists(shop.a)", ve(&format!("{scalars} IndexKey: shop"))),
        (filter("by-shop", "shop = :x"), "attribute_exists(price.a)", ve(&format!("{scalars} IndexKey: price"))),
        (
            filter("by-shop", "shop = :x"),
            "price = :x",
            ve("Filter Expression can only contain non-primary key attributes: Primary key attribute: price"),
        ),
    ] {
        bench.refused("Query", with(body, json!({"FilterExpression": condition})), &expected).await;
    }
    // The key condition comes before what is selected, and that behind the start key.
    let body = with(query("by-shop", "rest = :x", json!({":x": s("x")})), json!({"Select": "ALL_ATTRIBUTES"}));
    bench.refused("Query", body, &ve("Query condition missed key schema element: shop")).await;
    let empty = "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
                 AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-shop, IndexKey: shop";
    bench.refused("Query", query("by-shop", "shop = :x", json!({":x": s("")})), &ve(empty)).await;
    let body = with(by_shop(), json!({"Select": "ALL_ATTRIBUTES", "ExclusiveStartKey": {"pk": s("p")}}));
    bench.refused("Query", body, &ve("The provided starting key is invalid")).await;
    for name in ["by-no", "BY-SHOP", "orders"] {
        bench.refused("Scan", scan(name), &ve(&format!("The table does not have the specified index: {name}"))).await;
    }
    // A global index's filter sees what the index holds.
    let filter = json!({"FilterExpression": "attribute_exists(note)"});
    assert_eq!(bench.ok("Scan", with(scan("by-shop"), filter)).await["Count"], 0);
    // A local one may be read consistently.
    assert_eq!(bench.ok("Query", with(by_due(), json!({"ConsistentRead": true}))).await["Count"], 3);
}

#[tokio::test]
async fn start_keys_of_an_index_are_refused_in_their_words() {
    let bench = three(&[]).await;
    let key = json!({"pk": s("p"), "sk": s("k1"), "shop": s("x"), "price": n(1)});
    let invalid = "The provided starting key is invalid";
    let other = "The provided starting key is outside query boundaries based on provided conditions";
    let predicate = "The provided starting key does not match the range key predicate";
    let once = "The query can return at most one row and cannot be restarted";
    let empty = "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
                 AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-shop, IndexKey: shop";
    let empty_of_table = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string \
         value. Key: pk";
    let plain = |start: Value| with(by_shop(), json!({"ExclusiveStartKey": start}));
    let ranged = |start: Value| {
        let body = query("by-shop", "shop = :x AND price > :v", json!({":x": s("x"), ":v": n(1)}));
        with(body, json!({"ExclusiveStartKey": start}))
    };
    for (body, text) in [
        (plain(without(key.clone(), &["price"])), invalid),
        (plain(without(key.clone(), &["sk"])), invalid),
        (plain(set(key.clone(), "note", s("n"))), invalid),
        (plain(set(key.clone(), "price", s("1"))), invalid),
        (plain(set(key.clone(), "pk", n(1))), invalid),
        (plain(set(key.clone(), "shop", s(""))), empty),
        (plain(set(key.clone(), "pk", s(""))), empty_of_table),
        (plain(set(key.clone(), "shop", s("y"))), other),
        (ranged(key.clone()), predicate),
        (ranged(set(set(key.clone(), "price", n(2)), "shop", s("y"))), once),
    ] {
        bench.refused("Query", body, &ve(text)).await;
    }
    assert_eq!(sort_keys(&bench.ok("Query", plain(key.clone())).await), ["k2", "k3"]);
    let start = |key: Value| with(scan("by-shop"), json!({"ExclusiveStartKey": key}));
    bench.refused("Scan", start(without(key.clone(), &["pk"])), &ve(invalid)).await;
    // Segments of an index are ranges of its own partitions.
    let segment = tailrace_core::key::partition_hash(b"x").bucket.0 / 32_768;
    let body = with(start(key.clone()), json!({"Segment": 1 - segment, "TotalSegments": 2}));
    let text = format!(
        "{invalid}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: 2 Segment: {}",
        1 - segment
    );
    bench.refused("Scan", body, &ve(&text)).await;
    assert_eq!(bench.ok("Scan", with(start(key), json!({"Segment": segment, "TotalSegments": 2}))).await["Count"], 2);
    let many = json!({"pk": s("p"), "sk": s("k1"), "shop": s("x"), "area": n(1), "due": s("d1"), "price": n(1), "tag": b("AA==")});
    let body = query(
        "by-many",
        "shop = :x AND area = :a AND due = :d AND price >= :a",
        json!({":x": s("x"), ":a": n(1), ":d": s("d2")}),
    );
    bench.refused("Query", with(body, json!({"ExclusiveStartKey": many})), &ve(predicate)).await;
}

#[tokio::test]
async fn an_index_is_read_once_it_is_whole_and_until_it_goes() {
    for (status, expected) in [
        (IndexStatus::Creating, "Cannot read from backfilling global secondary index: by-shop"),
        (IndexStatus::Deleting, "The table does not have the specified index: by-shop"),
    ] {
        let bench = Bench::new().await;
        let mut table = orders(&["by-shop"]);
        table.indexes[0].status = status;
        bench.put_descriptor(&table).await;
        bench.refused("Query", by_shop(), &ve(expected)).await;
        bench.refused("Scan", scan("by-shop"), &ve(expected)).await;
    }
}

#[tokio::test]
async fn a_read_of_an_index_is_charged_there() {
    let bench = three(&[]).await;
    let answer = |units: f64| {
        json!({"TableName": "orders", "CapacityUnits": units, "Table": {"CapacityUnits": 0.0},
            "GlobalSecondaryIndexes": {"by-shop": {"CapacityUnits": units}}})
    };
    let detailed = |body: Value| with(body, json!({"ReturnConsumedCapacity": "INDEXES"}));
    assert_eq!(bench.ok("Query", detailed(by_shop())).await["ConsumedCapacity"], answer(0.5));
    let nothing = detailed(query("by-shop", "shop = :x", json!({":x": s("none")})));
    assert_eq!(bench.ok("Query", nothing).await["ConsumedCapacity"], answer(0.5));
    let total = with(scan("by-shop"), json!({"ReturnConsumedCapacity": "TOTAL"}));
    assert_eq!(bench.ok("Scan", total).await["ConsumedCapacity"], json!({"TableName": "orders", "CapacityUnits": 0.5}));
}
