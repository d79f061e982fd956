//! UpdateItem: docs/spec/dynamodb-api.md 2.5, 3.4, 4.7, 4.8.

use super::*;

fn update(expression: &str, values: Value, returned: &str) -> Value {
    let mut body = json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": expression,
        "ReturnValues": returned});
    if values != Value::Null {
        body["ExpressionAttributeValues"] = values;
    }
    body
}

#[tokio::test]
async fn a_counter_counts_and_returns_what_was_asked_for() {
    let bench = Bench::new().await;
    let count = "SET c = if_not_exists(c, :z) + :one";
    let values = json!({":z": n(0), ":one": n(1)});
    let answer = bench.ok("UpdateItem", update(count, values.clone(), "UPDATED_NEW")).await;
    assert_eq!(answer, json!({"Attributes": {"c": n(1)}}));
    let whole = |v| json!({"Attributes": {"pk": s("a"), "c": n(v)}});
    assert_eq!(bench.ok("UpdateItem", update(count, values.clone(), "ALL_OLD")).await, whole(1));
    assert_eq!(bench.ok("UpdateItem", update(count, values.clone(), "ALL_NEW")).await, whole(3));
    let answer = bench.ok("UpdateItem", update(count, values.clone(), "UPDATED_OLD")).await;
    assert_eq!(answer, json!({"Attributes": {"c": n(3)}}));
    assert_eq!(bench.ok("UpdateItem", update(count, values, "NONE")).await, json!({}));
}

#[tokio::test]
async fn an_update_without_an_expression_makes_the_item() {
    let bench = Bench::new().await;
    let body = json!({"TableName": "users", "Key": {"pk": s("a")}, "ReturnValues": "ALL_NEW"});
    assert_eq!(bench.ok("UpdateItem", body.clone()).await, json!({"Attributes": {"pk": s("a")}}));
    bench.put("users", json!({"pk": s("a"), "x": n(1)})).await;
    assert_eq!(bench.ok("UpdateItem", body).await, json!({"Attributes": {"pk": s("a"), "x": n(1)}}), "and keeps it");
}

#[tokio::test]
async fn removing_from_an_absent_item_makes_none() {
    let bench = Bench::new().await;
    assert_eq!(bench.ok("UpdateItem", update("REMOVE x", Value::Null, "ALL_NEW")).await, json!({}));
    assert_eq!(bench.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await, json!({}));
}

#[tokio::test]
async fn updated_values_come_as_fragments_and_nothing_as_nothing() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "m": {"M": {"a": n(1), "b": n(2)}}, "x": n(1)})).await;
    let answer = bench.ok("UpdateItem", update("SET m.a = :v", json!({":v": n(5)}), "UPDATED_NEW")).await;
    assert_eq!(answer, json!({"Attributes": {"m": {"M": {"a": n(5)}}}}));
    assert_eq!(bench.ok("UpdateItem", update("REMOVE x", Value::Null, "UPDATED_NEW")).await, json!({}));
}

#[tokio::test]
async fn updates_are_refused_in_their_words() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "x": s("text")})).await;
    let values = json!({":v": n(1)});
    let key =
        "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key";
    bench.refused("UpdateItem", update("SET pk = :v", values.clone(), "NONE"), &ve(key)).await;
    bench.refused("UpdateItem", update("REMOVE pk.x", Value::Null, "NONE"), &ve(key)).await;
    for (expression, text) in [
        ("SET x.y = :v", "The document path provided in the update expression is invalid for update"),
        ("SET y = x + :v", "An operand in the update expression has an incorrect data type"),
        ("SET y = z + :v", "The provided expression refers to an attribute that does not exist in the item"),
    ] {
        bench.refused("UpdateItem", update(expression, values.clone(), "NONE"), &ve(text)).await;
    }
    let syntax = "Invalid UpdateExpression: Syntax error; token: \"<EOF>\", near: \"a\"";
    bench.refused("UpdateItem", update("SET a", Value::Null, "NONE"), &enveloped(syntax)).await;
    let empty = json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": "", "ConditionExpression": ""});
    let text = "Invalid ConditionExpression: The expression can not be empty;";
    bench.refused("UpdateItem", empty, &enveloped(text)).await;
}

#[tokio::test]
async fn the_request_of_an_update_is_charged_too() {
    let bench = Bench::new().await;
    let long = s(&"x".repeat(205_000));
    let body = update("SET x = :v, y = :v", json!({":v": long}), "NONE");
    let error = bench.call("UpdateItem", body).await.unwrap_err().to_string();
    assert!(error.contains("Item size to update has exceeded the maximum allowed size"), "{error}");
}
