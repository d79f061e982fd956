//! `INSERT`, `UPDATE` and `DELETE`. Source: docs/spec/dynamodb-api.md 7.3.

use serde_json::json;

use crate::ops::item_tests::{Bench, n, s, ve};
use crate::table::ViewType;

const FAILED: &str = "ConditionalCheckFailedException: The conditional request failed";

#[tokio::test]
async fn an_insert_makes_an_item_that_is_not_there() {
    let bench = Bench::new().await;
    assert_eq!(bench.items("INSERT INTO users VALUE {'pk': 'a', 'n': 1, 's': <<1, 2>>}").await, json!([]));
    let stored = json!([{"pk": s("a"), "n": n(1), "s": {"NS": ["1", "2"]}}]);
    assert_eq!(bench.items("SELECT * FROM users").await, stored);
    bench
        .refuses(
            "INSERT INTO users VALUE {'pk': 'a', 'n': 2}",
            "DuplicateItemException: Duplicate primary key exists in table",
        )
        .await;
    assert_eq!(bench.items("SELECT * FROM users").await, stored);
    let missing = "One or more parameter values were invalid: Missing the key pk in the item";
    bench.refuses("INSERT INTO users VALUE {'n': 1}", &ve(missing)).await;
    bench
        .refuses(
            "INSERT INTO users VALUE {'pk': 1}",
            &ve("Key attribute's data type should match its data type in table's schema: Key pk"),
        )
        .await;
    bench
        .refuses(
            "INSERT INTO users VALUE {'pk': ''}",
            &ve("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
                 string value. Key: pk"),
        )
        .await;
    bench
        .refuses("INSERT INTO nope VALUE {'pk': 'a'}", "ResourceNotFoundException: Requested resource not found")
        .await;
    bench.refuses("INSERT INTO users.i VALUE {'pk': 'a'}", &ve("This operation is not supported on an index")).await;
    let large =
        json!({"Statement": "INSERT INTO users VALUE {'pk': 'l', 'v': ?}", "Parameters": [s(&"x".repeat(409_600))]});
    bench.refused("ExecuteStatement", large, &ve("Item size has exceeded the maximum allowed size")).await;
}

#[tokio::test]
async fn an_update_changes_an_item_that_is_there_and_meets_the_rest_of_the_condition() {
    let bench = Bench::new().await;
    bench.put("games", json!({"pk": s("a"), "sk": n(1), "v": n(1), "l": {"L": [n(1), n(2)]}})).await;
    bench.items("UPDATE games SET v = v + 1 REMOVE l[0] WHERE pk = 'a' AND sk = 1 AND (v = 1 OR v = 5)").await;
    let stored = json!([{"pk": s("a"), "sk": n(1), "v": n(2), "l": {"L": [n(2)]}}]);
    assert_eq!(bench.items("SELECT * FROM games").await, stored);
    for condition in ["pk = 'a' AND sk = 1 AND v = 1", "pk = 'a' AND sk = 2", "pk = 'a' AND sk = 1 AND pk > 'b'"] {
        bench.refuses(&format!("UPDATE games SET v = 9 WHERE {condition}"), FAILED).await;
    }
    assert_eq!(bench.items("SELECT * FROM games").await, stored);
    let mandatory = ve("Where clause does not contain a mandatory equality on all key attributes");
    for rest in
        ["", "WHERE pk = 'a'", "WHERE v = 1", "WHERE pk = 'a' AND sk IN [1]", "WHERE pk = 'a' AND sk = 1 OR v = 1"]
    {
        bench.refuses(&format!("UPDATE games SET v = 9 {rest}"), &mandatory).await;
        bench.refuses(&format!("DELETE FROM games {rest}"), &mandatory).await;
    }
    bench
        .refuses(
            "UPDATE games SET v = 9 WHERE pk = 'a' AND pk = 'b' AND sk = 1",
            &ve("Multiple conditions on same key pk. Only single item Update/Insert/Delete are supported"),
        )
        .await;
    bench
        .refuses(
            "UPDATE games SET pk = 'b' WHERE pk = 'a' AND sk = 1",
            &ve("One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key"),
        )
        .await;
    bench
        .refuses(
            "UPDATE games SET v = zz WHERE pk = 'a' AND sk = 1",
            &ve("The provided expression refers to an attribute that does not exist in the item"),
        )
        .await;
    bench
        .refuses(
            "UPDATE games SET zz.x = 1 WHERE pk = 'a' AND sk = 1",
            &ve("The document path provided in the update expression is invalid for update"),
        )
        .await;
    bench.refuses("UPDATE games.i SET v = 1 WHERE pk = 'a'", &ve("This operation is not supported on an index")).await;
}

#[tokio::test]
async fn an_update_returns_the_item_or_what_it_modified_before_and_after() {
    for (returning, expected) in [
        ("", json!([])),
        (
            "RETURNING ALL OLD *",
            json!([{"pk": s("a"), "n": n(1), "l": {"L": [n(1), n(2)]}, "m": {"M": {"x": n(1), "y": n(2)}}}]),
        ),
        (
            "RETURNING ALL NEW *",
            json!([{"pk": s("a"), "n": n(2), "l": {"L": [n(1), n(7)]}, "m": {"M": {"x": n(5), "y": n(2)}}}]),
        ),
        ("RETURNING MODIFIED OLD *", json!([{"n": n(1), "l": {"L": [n(2)]}, "m": {"M": {"x": n(1)}}}])),
        ("RETURNING MODIFIED NEW *", json!([{"n": n(2), "l": {"L": [n(7)]}, "m": {"M": {"x": n(5)}}}])),
    ] {
        let bench = Bench::new().await;
        bench
            .put(
                "users",
                json!({"pk": s("a"), "n": n(1), "l": {"L": [n(1), n(2)]}, "m": {"M": {"x": n(1), "y": n(2)}}}),
            )
            .await;
        let text = format!("UPDATE users SET n = 2 SET l[1] = 7 SET m.x = 5 REMOVE zz WHERE pk = 'a' {returning}");
        assert_eq!(bench.items(&text).await, expected, "{returning}");
    }
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a")})).await;
    assert_eq!(bench.items("UPDATE users REMOVE n WHERE pk = 'a' RETURNING MODIFIED NEW *").await, json!([]));
}

#[tokio::test]
async fn a_delete_takes_an_item_away_and_asks_nothing_of_one_that_is_not_there() {
    let bench = Bench::new().await;
    let item = json!({"pk": s("a"), "sk": n(1), "v": n(1)});
    bench.put("games", item.clone()).await;
    bench.refuses("DELETE FROM games WHERE pk = 'a' AND sk = 1 AND v = 2", FAILED).await;
    let text = "DELETE FROM games WHERE pk = 'a' AND sk = 1 AND v = 1 RETURNING ALL OLD *";
    assert_eq!(bench.items(text).await, json!([item]));
    assert_eq!(bench.items(text).await, json!([]));
    assert_eq!(bench.items("DELETE FROM games WHERE pk = 'a' AND sk = 1").await, json!([]));
}

/// docs/spec/dynamodb-api.md 1.3: with the item, the text is in `Message`.
#[tokio::test]
async fn a_failed_condition_brings_the_item_where_that_is_asked_for() {
    let bench = Bench::new().await;
    let item = json!({"pk": s("a"), "n": n(1)});
    bench.put("users", item).await;
    let text = "UPDATE users SET n = 2 WHERE pk = 'a' AND n = 5";
    let with = json!({"Statement": text, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"});
    let error = bench.call("ExecuteStatement", with).await.unwrap_err();
    assert_eq!((error.message_member(), error.item.map(|item| item.len())), ("Message", Some(2)));
    let error = bench.statement(text).await.unwrap_err();
    assert_eq!((error.message_member(), error.item), ("message", None));
}

#[tokio::test]
async fn every_write_that_changes_something_emits_its_record() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    for text in [
        "INSERT INTO users VALUE {'pk': 'a', 'n': 1}",
        "UPDATE users SET n = 2 WHERE pk = 'a'",
        "UPDATE users SET n = 2 WHERE pk = 'a'",
        "DELETE FROM users WHERE pk = 'a'",
        "DELETE FROM users WHERE pk = 'a'",
    ] {
        bench.items(text).await;
    }
    assert_eq!(bench.records().await.len(), 3);
}

#[tokio::test]
async fn writes_are_charged_as_the_operation_that_they_are() {
    let bench = Bench::new().await;
    let charged = |text: &str| {
        let body = json!({"Statement": text, "Parameters": [s(&"x".repeat(1500))], "ReturnConsumedCapacity": "TOTAL"});
        let bench = &bench;
        async move { bench.ok("ExecuteStatement", body).await["ConsumedCapacity"]["CapacityUnits"].clone() }
    };
    assert_eq!(charged("INSERT INTO users VALUE {'pk': 'a', 'v': ?}").await, json!(2.0));
    assert_eq!(charged("UPDATE users SET n = 1 WHERE pk = 'a' AND v = ?").await, json!(2.0));
    assert_eq!(charged("DELETE FROM users WHERE pk = 'none'").await, json!(1.0));
}
