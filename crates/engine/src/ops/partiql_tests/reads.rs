//! `SELECT`: what is read, how, and in which order. Source: docs/spec/dynamodb-api.md 7.3.

use serde_json::json;

use super::column;
use crate::ops::item_tests::{Bench, n, s, ve};

/// `games` with four items in each of the partitions `a` and `b`.
async fn games() -> Bench {
    let bench = Bench::new().await;
    for pk in ["a", "b"] {
        for sk in 0..4 {
            bench.put("games", json!({"pk": s(pk), "sk": n(sk), "v": n(sk * 10)})).await;
        }
    }
    bench
}

#[tokio::test]
async fn the_key_in_a_condition_reads_items_or_ranges_and_the_rest_filters() {
    let bench = games().await;
    for (condition, expected) in [
        ("pk = 'a' AND sk = 1", "1"),
        ("sk = 1 AND 'a' = pk", "1"),
        ("pk = 'a'", "0 1 2 3"),
        ("pk = 'a' AND sk > 1", "2 3"),
        ("pk = 'a' AND 1 >= sk", "0 1"),
        ("pk = 'a' AND sk BETWEEN 1 AND 2", "1 2"),
        ("pk = 'a' AND sk > 0 AND sk < 3", "1 2"),
        ("pk = 'a' AND sk IN [3, 1, 1]", "1 3"),
        ("pk = 'a' AND (sk = 3 OR sk = 1)", "1 3"),
        ("pk = 'a' AND (sk = 1 OR v = 30)", "1 3"),
        ("pk = 'a' AND sk <> 1", "0 2 3"),
        ("pk = 'a' AND NOT sk = 1", "0 2 3"),
        ("pk = 'a' AND v = 10", "1"),
        ("pk = 'a' AND sk = 1 AND v = 11", ""),
        ("pk = 'a' AND sk = 1 AND sk = 2", ""),
        ("pk = 'a' AND pk = 'b'", ""),
        ("(pk = 'a' AND sk < 1) OR (pk = 'a' AND sk > 2)", "0 3"),
        ("(pk = 'b' AND sk > 2) OR (pk = 'a' AND sk = 1)", "3 1"),
        ("pk = 'a' OR (pk = 'b' AND sk = 1)", "0 1 2 3 1"),
        ("pk IN ['b', 'a', 'b'] AND sk IN [1, 2]", "1 2 1 2"),
        ("(pk = 'a' AND v = 10) OR (pk = 'a' AND v = 20)", "1 2"),
        ("pk = 'none'", ""),
        ("pk = 'none' AND sk = 1", ""),
    ] {
        let items = bench.items(&format!("SELECT * FROM games WHERE {condition}")).await;
        assert_eq!(column(&items, "sk").join(" "), expected, "{condition}");
    }
    for (condition, count) in
        [("v = 10", 2), ("pk = 'a' OR v = 10", 5), ("NOT pk = 'a'", 4), ("pk > 'a'", 4), ("1 = 1", 8)]
    {
        let items = bench.items(&format!("SELECT * FROM games WHERE {condition}")).await;
        assert_eq!(items.as_array().unwrap().len(), count, "{condition}");
    }
}

#[tokio::test]
async fn order_by_puts_partitions_and_their_items_in_order() {
    let bench = games().await;
    for (rest, expected) in [
        ("WHERE pk = 'a' ORDER BY sk", "a0 a1 a2 a3"),
        ("WHERE pk = 'a' ORDER BY sk DESC", "a3 a2 a1 a0"),
        ("WHERE pk = 'a' AND sk IN [1, 3] ORDER BY sk DESC NULLS LAST", "a3 a1"),
        ("WHERE pk IN ['b', 'a'] AND sk > 1", "b2 b3 a2 a3"),
        ("WHERE pk IN ['b', 'a'] AND sk > 1 ORDER BY pk", "a2 a3 b2 b3"),
        ("WHERE pk IN ['a', 'b'] AND sk > 1 ORDER BY pk DESC", "b2 b3 a2 a3"),
        ("WHERE pk IN ['b', 'a'] AND sk > 1 ORDER BY pk, sk DESC", "a3 a2 b3 b2"),
    ] {
        let items = bench.items(&format!("SELECT pk, sk FROM games {rest}")).await;
        let found: Vec<String> =
            column(&items, "pk").iter().zip(column(&items, "sk")).map(|(pk, sk)| format!("{pk}{sk}")).collect();
        assert_eq!(found.join(" "), expected, "{rest}");
    }
    bench
        .refuses(
            "SELECT * FROM games ORDER BY sk",
            &ve("Must have WHERE clause in the statement when using ORDER BY clause."),
        )
        .await;
    bench
        .refuses(
            "SELECT * FROM games WHERE pk = 'a' ORDER BY v",
            &ve("Attribute v in ORDER BY clause must be part of the primary key"),
        )
        .await;
}

#[tokio::test]
async fn columns_are_answered_under_their_last_name() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "m": {"M": {"x": n(1)}}, "l": {"L": [n(7), n(8)]}})).await;
    let items = bench.items("SELECT m.x, l[1], zz FROM users WHERE pk = 'a'").await;
    assert_eq!(items, json!([{"x": n(1), "l[1]": n(8)}]));
    assert_eq!(bench.items("SELECT zz FROM users").await, json!([{}]));
    assert_eq!(bench.items("SELECT zz FROM users WHERE pk = 'a'").await, json!([{}]));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let bench = games().await;
    let not_found = "ResourceNotFoundException: Requested resource not found";
    bench.refuses("SELECT * FROM nope", not_found).await;
    bench.refuses("SELECT * FROM nope WHERE pk = 'a'", not_found).await;
    bench.refuses("SELECT * FROM games.nope", &ve("The table does not have the specified index")).await;
    let other_type =
        |key: &str| ve(&format!("Key attribute's data type should match its data type in table's schema: Key {key}"));
    bench.refuses("SELECT * FROM games WHERE pk = 1", &other_type("pk")).await;
    bench.refuses("SELECT * FROM games WHERE pk = 'a' AND sk = 'x'", &other_type("sk")).await;
    bench
        .refuses(
            "SELECT * FROM games WHERE pk = {'a': 1}",
            &ve("Key value must be of type S, N, or B. Key name: pk, Key type: M"),
        )
        .await;
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                 string value. Key: pk";
    bench.refuses("SELECT * FROM users WHERE pk = ''", &ve(empty)).await;
    bench.refuses("SELECT * FROM games WHERE pk = ''", &ve(empty)).await;
    bench
        .refuses(
            "SELECT * FROM games WHERE pk.x = 'a'",
            &ve("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk"),
        )
        .await;
    bench
        .refuses(
            "SELECT * FROM games WHERE (pk = 'a' AND sk > 1) OR (pk = 'a' AND sk > 2)",
            &ve("Overlapping conditions with range keys are not supported in where clause"),
        )
        .await;
    bench
        .refuses(
            "EXISTS(SELECT * FROM games WHERE pk = 'a')",
            &ve("EXISTS can only be used in ExecuteTransaction write requests."),
        )
        .await;
}

#[tokio::test]
async fn parameters_stand_for_values() {
    let bench = games().await;
    let call = |parameters| {
        bench.call(
            "ExecuteStatement",
            json!({"Statement": "SELECT sk FROM games WHERE pk = ? AND sk = ?", "Parameters": parameters}),
        )
    };
    assert_eq!(call(json!([s("a"), n(2)])).await.unwrap()["Items"], json!([{"sk": n(2)}]));
    assert_eq!(call(json!([s("a"), n(2), n(3)])).await.unwrap()["Items"], json!([{"sk": n(2)}]));
    let refused = |error: tailrace_core::ApiError, expected: &str| assert_eq!(error.to_string(), ve(expected));
    refused(call(json!([s("a")])).await.unwrap_err(), "Number of parameters in request and statement don't match.");
    refused(
        call(json!([])).await.unwrap_err(),
        "1 validation error detected: Value '[]' at 'parameters' failed to satisfy constraint: Member must have length greater \
         than or equal to 1",
    );
    refused(
        call(json!([s("a"), {"N": "x"}])).await.unwrap_err(),
        "The parameter cannot be converted to a numeric value: x",
    );
    bench
        .refused(
            "ExecuteStatement",
            json!({"Statement": ""}),
            &ve("1 validation error detected: Value '' at 'statement' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1"),
        )
        .await;
}

#[tokio::test]
async fn reads_are_charged_as_the_operation_that_they_are() {
    let bench = games().await;
    for (rest, consistent, units) in [
        ("WHERE pk = 'a' AND sk = 1", false, 0.5),
        ("WHERE pk = 'none' AND sk = 1", true, 1.0),
        ("WHERE pk = 'a'", false, 0.5),
        ("WHERE pk IN ['a', 'b']", true, 2.0),
        ("", false, 0.5),
    ] {
        let body = json!({
            "Statement": format!("SELECT * FROM games {rest}"), "ConsistentRead": consistent, "ReturnConsumedCapacity": "INDEXES",
        });
        let answer = bench.ok("ExecuteStatement", body).await;
        let expected = json!({"TableName": "games", "CapacityUnits": units, "Table": {"CapacityUnits": units}});
        assert_eq!(answer["ConsumedCapacity"], expected, "{rest}");
    }
}
