//! PutItem and DeleteItem: docs/spec/dynamodb-api.md 2.5, 4.8, 7.4.

use super::*;

#[tokio::test]
async fn an_item_that_is_put_is_read_back_in_canonical_form() {
    let bench = Bench::new().await;
    let item = json!({"pk": s("a"), "z": {"N": "0012.50"}, "m": {"M": {"y": {"SS": ["b", "a"]}, "x": {"NULL": true}}}});
    assert_eq!(bench.ok("PutItem", json!({"TableName": "users", "Item": item})).await, json!({}));
    let answer = bench.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    let stored = json!({"pk": s("a"), "z": {"N": "12.5"}, "m": {"M": {"y": {"SS": ["a", "b"]}, "x": {"NULL": true}}}});
    assert_eq!(answer, json!({"Item": stored}));
}

#[tokio::test]
async fn put_and_delete_answer_the_old_item() {
    let bench = Bench::new().await;
    let put = |v| json!({"TableName": "users", "Item": {"pk": s("a"), "v": n(v)}, "ReturnValues": "ALL_OLD"});
    assert_eq!(bench.ok("PutItem", put(1)).await, json!({}), "nothing was replaced");
    assert_eq!(bench.ok("PutItem", put(2)).await, json!({"Attributes": {"pk": s("a"), "v": n(1)}}));
    let delete = json!({"TableName": "users", "Key": {"pk": s("a")}, "ReturnValues": "ALL_OLD"});
    assert_eq!(bench.ok("DeleteItem", delete.clone()).await, json!({"Attributes": {"pk": s("a"), "v": n(2)}}));
    assert_eq!(bench.ok("DeleteItem", delete).await, json!({}), "nothing was deleted");
    let answer = bench.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    assert_eq!(answer, json!({}));
}

#[tokio::test]
async fn a_condition_decides_and_a_failed_one_can_bring_the_item() {
    let bench = Bench::new().await;
    let put = json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionExpression": "attribute_not_exists(pk)"});
    bench.ok("PutItem", put.clone()).await;
    let failed = "ConditionalCheckFailedException: The conditional request failed";
    bench.refused("PutItem", put.clone(), failed).await;
    let mut telling = put;
    telling["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let error = bench.call("PutItem", telling).await.unwrap_err();
    assert_eq!(serde_json::to_value(error.item.unwrap()).unwrap(), json!({"pk": s("a")}));

    let delete = |key: &str| {
        json!({"TableName": "users", "Key": {"pk": s(key)}, "ConditionExpression": "#v = :v",
            "ExpressionAttributeNames": {"#v": "v"}, "ExpressionAttributeValues": {":v": n(1)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    };
    let error = bench.call("DeleteItem", delete("none")).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.item), (failed, None), "there is no item to bring");
    bench.refused("DeleteItem", delete("a"), failed).await;
    bench.put("users", json!({"pk": s("a"), "v": n(1)})).await;
    bench.ok("DeleteItem", delete("a")).await;
}

#[tokio::test]
async fn keys_of_items_are_checked() {
    let bench = Bench::new().await;
    let opvi = |text: &str| ve(&format!("One or more parameter values were invalid: {text}"));
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
                 empty string value. Key: pk";
    let long = s(&"x".repeat(2049));
    let long_range = s(&"x".repeat(1025));
    for (table, item, expected) in [
        ("games", json!({"pk": s("a")}), opvi("Missing the key sk in the item")),
        ("games", json!({"sk": n(1)}), opvi("Missing the key pk in the item")),
        ("games", json!({"pk": s("a"), "sk": s("b")}), opvi("Type mismatch for key sk expected: N actual: S")),
        ("users", json!({"pk": s("")}), ve(empty)),
        ("users", json!({"pk": long}), opvi("Size of hashkey has exceeded the maximum size limit of2048 bytes")),
        (
            "texts",
            json!({"pk": s("a"), "sk": long_range}),
            opvi("Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
        ),
    ] {
        bench.refused("PutItem", json!({"TableName": table, "Item": item}), &expected).await;
    }
    let schema = ve("The provided key element does not match the schema");
    for (table, key, expected) in [
        ("games", json!({"pk": s("a")}), schema.clone()),
        ("games", json!({"pk": s("a"), "sk": s("b")}), schema.clone()),
        ("users", json!({"pk": s("a"), "more": s("b")}), schema.clone()),
        ("users", json!({}), schema),
        ("users", json!({"pk": s("")}), ve(empty)),
    ] {
        for operation in ["GetItem", "DeleteItem", "UpdateItem"] {
            bench.refused(operation, json!({"TableName": table, "Key": key}), &expected).await;
        }
    }
    let missing = "ResourceNotFoundException: Requested resource not found";
    bench.refused("PutItem", json!({"TableName": "nope", "Item": {"pk": s("a")}}), missing).await;
    bench.refused("GetItem", json!({"TableName": "nope", "Key": {"pk": s("a")}}), missing).await;
}

#[tokio::test]
async fn an_item_may_have_400_kilobytes_and_no_more() {
    let bench = Bench::new().await;
    // pk 2 + 1, b 1: 4 bytes besides the text.
    let item = |length: usize| json!({"TableName": "users", "Item": {"pk": s("a"), "b": s(&"x".repeat(length))}});
    bench.ok("PutItem", item(409_596)).await;
    bench.refused("PutItem", item(409_597), &ve("Item size has exceeded the maximum allowed size")).await;
    let update = json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": "SET c = :c",
        "ExpressionAttributeValues": {":c": s("x")}});
    bench.refused("UpdateItem", update, &ve("Item size to update has exceeded the maximum allowed size")).await;
}

#[tokio::test]
async fn writes_are_charged_by_the_larger_image() {
    let bench = Bench::new().await;
    let put = |length: usize, detail: &str| json!({"TableName": "users", "Item": {"pk": s("a"), "b": s(&"x".repeat(length))}, "ReturnConsumedCapacity": detail});
    let total = |units: f64| json!({"ConsumedCapacity": {"TableName": "users", "CapacityUnits": units}});
    assert_eq!(bench.ok("PutItem", put(10, "NONE")).await, json!({}));
    assert_eq!(bench.ok("PutItem", put(1021, "TOTAL")).await, total(2.0));
    assert_eq!(bench.ok("PutItem", put(10, "TOTAL")).await, total(2.0), "the old item was larger");
    let indexes = json!({"ConsumedCapacity":
        {"TableName": "users", "CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}}});
    assert_eq!(bench.ok("PutItem", put(10, "INDEXES")).await, indexes);
    let delete = json!({"TableName": "users", "Key": {"pk": s("none")}, "ReturnConsumedCapacity": "TOTAL"});
    assert_eq!(bench.ok("DeleteItem", delete).await, total(1.0), "a missing item costs one unit");
}
