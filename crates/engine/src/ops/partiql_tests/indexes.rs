//! `SELECT` from an index. Source: docs/spec/dynamodb-api.md 7.3, 5.4.

use serde_json::{Value, json};

use super::column;
use crate::ops::item_tests::{Bench, n, s, ve};

/// `orders` with a local index of all attributes, a global one of keys, and a global one of several key attributes.
async fn orders() -> Bench {
    let bench = Bench::new().await;
    let key = |names: &[(&str, &str)]| -> Value {
        names.iter().map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})).collect()
    };
    let index = |name: &str, names: &[(&str, &str)], projection: &str| json!({"IndexName": name, "KeySchema": key(names), "Projection": {"ProjectionType": projection}});
    let types = [("pk", "S"), ("sk", "S"), ("shop", "S"), ("area", "S"), ("price", "N"), ("due", "S")];
    let types: Vec<Value> = types.map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind})).into();
    let body = json!({
        "TableName": "orders",
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": key(&[("pk", "HASH"), ("sk", "RANGE")]),
        "AttributeDefinitions": types,
        "LocalSecondaryIndexes": [index("by-price", &[("pk", "HASH"), ("price", "RANGE")], "KEYS_ONLY")],
        "GlobalSecondaryIndexes": [
            index("by-shop", &[("shop", "HASH"), ("price", "RANGE")], "KEYS_ONLY"),
            index("by-many", &[("shop", "HASH"), ("area", "HASH"), ("due", "RANGE"), ("price", "RANGE")], "ALL"),
        ],
    });
    bench.ok("CreateTable", body).await;
    for (number, (shop, due)) in [("x", "mon"), ("y", "mon"), ("x", "tue"), ("x", "mon")].into_iter().enumerate() {
        let number = number as i64;
        let item = json!({
            "pk": s("p"), "sk": s(&format!("s{number}")), "shop": s(shop), "area": s("a"), "price": n(number * 10),
            "due": s(due), "note": s("hello"),
        });
        bench.put("orders", item).await;
    }
    bench
}

#[tokio::test]
async fn the_keys_of_the_index_say_what_is_read() {
    let bench = orders().await;
    for (from, rest, expected) in [
        ("by-shop", "", "s0 s1 s2 s3"),
        ("by-shop", "WHERE shop = 'x' ORDER BY price", "s0 s2 s3"),
        ("by-shop", "WHERE shop = 'x' AND price > 0 ORDER BY price DESC", "s3 s2"),
        ("by-shop", "WHERE shop IN ['y', 'x'] AND price IN [0, 10] ORDER BY shop", "s0 s1"),
        ("by-shop", "WHERE shop = 'x' AND sk <> 's2'", "s0 s3"),
        ("by-price", "WHERE pk = 'p' AND price BETWEEN 10 AND 20", "s1 s2"),
        ("by-price", "WHERE pk = 'p' AND price >= 20 ORDER BY price DESC", "s3 s2"),
        ("by-many", "WHERE shop = 'x' AND area = 'a'", "s0 s3 s2"),
        ("by-many", "WHERE shop = 'x' AND area = 'a' AND due = 'mon'", "s0 s3"),
        ("by-many", "WHERE shop = 'x' AND area = 'a' AND due = 'mon' AND price > 0", "s3"),
        ("by-many", "WHERE shop = 'x' AND area = 'a' AND due IN ['tue', 'mon'] AND price > 0", "s3 s2"),
        ("by-many", "WHERE shop = 'x' AND note = 'hello'", "s0 s2 s3"),
    ] {
        let items = bench.items(&format!("SELECT * FROM orders.\"{from}\" {rest}")).await;
        let mut found = column(&items, "sk");
        if !rest.contains("= 'p'") && !rest.contains("ORDER") && !rest.contains("area") {
            found.sort();
        }
        assert_eq!(found.join(" "), expected, "{from} {rest}");
    }
    let keys = bench.items("SELECT * FROM orders.\"by-shop\" WHERE shop = 'y'").await;
    assert_eq!(keys, json!([{"pk": s("p"), "sk": s("s1"), "shop": s("y"), "price": n(10)}]));
    let fetched = bench.items("SELECT note FROM orders.\"by-price\" WHERE pk = 'p' AND price = 10").await;
    assert_eq!(fetched, json!([{"note": s("hello")}]));
}

#[tokio::test]
async fn pages_of_an_index_are_its_entries() {
    let bench = orders().await;
    let mut body = json!({"Statement": "SELECT sk FROM orders.\"by-shop\" WHERE shop IN ['x', 'y']", "Limit": 1});
    let mut found = Vec::new();
    loop {
        let page = bench.ok("ExecuteStatement", body.clone()).await;
        found.extend(column(&page["Items"], "sk"));
        let Some(token) = page.get("NextToken") else { break };
        body["NextToken"] = token.clone();
    }
    assert_eq!(found.join(" "), "s0 s2 s3 s1");
}

#[tokio::test]
async fn what_an_index_cannot_answer_is_refused() {
    let bench = orders().await;
    let projected = "One or more parameter values were invalid: Global secondary index by-shop does not project [note]";
    bench.refuses("SELECT note FROM orders.\"by-shop\" WHERE shop = 'x'", &ve(projected)).await;
    bench.refuses("SELECT * FROM orders.nope", &ve("The table does not have the specified index")).await;
    bench
        .refuses(
            "SELECT * FROM orders.\"by-shop\" WHERE shop = 'x' ORDER BY pk",
            &ve("Attribute pk in ORDER BY clause must be part of the primary key"),
        )
        .await;
    let partition =
        "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.";
    bench.refuses("SELECT * FROM orders WHERE sk = 's1' ORDER BY sk", &ve(partition)).await;
    let consistent = json!({"Statement": "SELECT * FROM orders.\"by-shop\"", "ConsistentRead": true});
    let text = "Strongly consistent read is not supported on Global Secondary Indexes";
    bench.refused("ExecuteStatement", consistent, &ve(text)).await;
    bench
        .ok("ExecuteStatement", json!({"Statement": "SELECT * FROM orders.\"by-price\"", "ConsistentRead": true}))
        .await;
}

#[tokio::test]
async fn the_ranges_of_an_index_are_charged_together_at_the_index() {
    let bench = orders().await;
    let body = json!({
        "Statement": "SELECT sk FROM orders.\"by-shop\" WHERE shop IN ['x', 'y']", "ReturnConsumedCapacity": "INDEXES",
    });
    let expected = json!({
        "TableName": "orders",
        "CapacityUnits": 1.0,
        "Table": {"CapacityUnits": 0.0},
        "GlobalSecondaryIndexes": {"by-shop": {"CapacityUnits": 1.0}},
    });
    assert_eq!(bench.ok("ExecuteStatement", body).await["ConsumedCapacity"], expected);
}
