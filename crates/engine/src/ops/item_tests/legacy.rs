//! The parameters that expressions replaced: docs/spec/dynamodb-api.md 6.

use super::*;

/// docs/spec/dynamodb-api.md 2.5 and 3.5, wherever a name can stand.
#[tokio::test]
async fn names_of_attributes_are_neither_empty_nor_too_long() {
    let bench = Bench::new().await;
    let classic = Bench::with(Wording::Classic).await;
    let (key, too_long) = (json!({"pk": s("a")}), "ä".repeat(32_768));
    let put = |name: &str| json!({"TableName": "users", "Item": {"pk": s("a"), name: n(1)}});
    let nested = |name: &str| json!({"TableName": "users", "Item": {"pk": s("a"), "l": {"L": [{"M": {name: n(1)}}]}}});
    let delete = |name: &str| json!({"TableName": "users", "Key": {"pk": s("a"), name: n(1)}});
    let expected = |name: &str| json!({"TableName": "users", "Item": key, "Expected": {name: {"Exists": false}}});
    let updates = |name: &str| json!({"TableName": "users", "Key": key, "AttributeUpdates": {name: {"Value": n(1)}}});
    let get = |name: Value| json!({"TableName": "users", "Key": key, "AttributesToGet": ["a", name]});
    let batch = |name: Value| json!({"RequestItems": {"users": {"Keys": [key], "AttributesToGet": [name]}}});
    let write = |name: &str| json!({"RequestItems": {"users": [{"PutRequest": {"Item": {"pk": s("a"), name: n(1)}}}]}});
    let scan = |name: &str| json!({"TableName": "users", "ScanFilter": {name: {"ComparisonOperator": "NULL"}}});
    let long = "Attribute name is too large, must be less than 65536 bytes";
    for (name, text) in [("", "Empty attribute name"), (too_long.as_str(), long)] {
        for (operation, body) in [
            ("PutItem", put(name)),
            ("PutItem", nested(name)),
            ("DeleteItem", delete(name)),
            ("PutItem", expected(name)),
            ("UpdateItem", updates(name)),
        ] {
            bench.refused(operation, body.clone(), &enveloped(text)).await;
            classic.refused(operation, body, &ve(text)).await;
        }
        for (operation, body) in [
            ("GetItem", get(json!(name))),
            ("BatchGetItem", batch(json!(name))),
            ("BatchWriteItem", write(name)),
            ("Scan", scan(name)),
        ] {
            bench.refused(operation, body, &ve(text)).await;
        }
        let value = json!({"TableName": "users", "Item": key, "ConditionExpression": "x <> :v",
            "ExpressionAttributeValues": {":v": {"M": {name: n(1)}}}});
        let text = format!("ExpressionAttributeValues contains invalid value: {text} for key :v");
        bench.refused("PutItem", value, &enveloped(&text)).await;
    }
    bench.refused("GetItem", get(Value::Null), &ve("Empty attribute name")).await;
    bench.refused("BatchGetItem", batch(Value::Null), &ve("Empty attribute name")).await;
    let longest = "a".repeat(65_535);
    bench.put("users", json!({"pk": s("a"), "l": {"L": [{"M": {longest.as_str(): n(1)}}]}})).await;
    assert_eq!(bench.ok("Scan", json!({"TableName": "users"})).await["Count"], json!(1), "nothing else was stored");
}

#[tokio::test]
async fn attributes_to_get_picks_attributes() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "x": n(1), "y": n(2)})).await;
    let get = |names: Value| json!({"TableName": "users", "Key": {"pk": s("a")}, "AttributesToGet": names});
    assert_eq!(bench.ok("GetItem", get(json!(["y", "zz"]))).await, json!({"Item": {"y": n(2)}}));
    let text = "One or more parameter values were invalid: Duplicate value in attribute name: y";
    bench.refused("GetItem", get(json!(["y", "y"])), &ve(text)).await;
}

#[tokio::test]
async fn expected_decides_a_write() {
    let bench = Bench::new().await;
    let put = |v: i64, expected: Value| json!({"TableName": "users", "Item": {"pk": s("a"), "v": n(v)}, "Expected": expected});
    bench.ok("PutItem", put(1, json!({"pk": {"Exists": false}}))).await;
    let failed = "ConditionalCheckFailedException: The conditional request failed";
    bench.refused("PutItem", put(2, json!({"pk": {"Exists": false}})), failed).await;
    bench.ok("PutItem", put(2, json!({"v": {"Value": n(1)}}))).await;
    let mut either = put(3, json!({"v": {"Value": n(9)}, "pk": {"ComparisonOperator": "NOT_NULL"}}));
    bench.refused("PutItem", either.clone(), failed).await;
    either["ConditionalOperator"] = json!("OR");
    bench.ok("PutItem", either).await;
    let alone = json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionalOperator": "OR"});
    bench.refused("PutItem", alone, &enveloped("ConditionalOperator cannot be used without Filter or Expected")).await;
    let both = put(1, json!({"v": {"Value": n(1), "Exists": false}}));
    let text = "One or more parameter values were invalid: Value cannot be used when Exists is false for Attribute: v";
    bench.refused("PutItem", both, &enveloped(text)).await;
}

#[tokio::test]
async fn attribute_updates_put_add_and_delete() {
    let bench = Bench::new().await;
    let update = |updates: Value| json!({"TableName": "users", "Key": {"pk": s("a")}, "AttributeUpdates": updates, "ReturnValues": "ALL_NEW"});
    let answer =
        bench.ok("UpdateItem", update(json!({"x": {"Value": n(1)}, "set": {"Value": {"SS": ["a", "b"]}}}))).await;
    assert_eq!(answer["Attributes"], json!({"pk": s("a"), "x": n(1), "set": {"SS": ["a", "b"]}}));
    let change = json!({"x": {"Action": "ADD", "Value": n(4)}, "set": {"Action": "DELETE", "Value": {"SS": ["a"]}}});
    assert_eq!(
        bench.ok("UpdateItem", update(change)).await["Attributes"],
        json!({"pk": s("a"), "x": n(5), "set": {"SS": ["b"]}})
    );
    let gone = bench.ok("UpdateItem", update(json!({"x": {"Action": "DELETE"}, "set": {"Action": "DELETE"}}))).await;
    assert_eq!(gone["Attributes"], json!({"pk": s("a")}));
    let key =
        "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key";
    bench.refused("UpdateItem", update(json!({"pk": {"Value": s("b")}})), &ve(key)).await;
    let empty =
        json!({"TableName": "users", "Key": {"pk": s("new")}, "AttributeUpdates": {}, "ReturnValues": "ALL_NEW"});
    assert_eq!(bench.ok("UpdateItem", empty).await["Attributes"], json!({"pk": s("new")}));
}

#[tokio::test]
async fn key_conditions_and_filters_choose_rows() {
    let bench = Bench::new().await;
    for i in 0..5 {
        bench.put("games", json!({"pk": s("a"), "sk": n(i), "odd": {"BOOL": i % 2 == 1}})).await;
    }
    let argument = |value: Value| json!({"ComparisonOperator": "EQ", "AttributeValueList": [value]});
    let above = json!({"ComparisonOperator": "GT", "AttributeValueList": [n(1)]});
    let mut query = json!({"TableName": "games", "KeyConditions": {"pk": argument(s("a")), "sk": above},
        "AttributesToGet": ["sk"]});
    assert_eq!(bench.ok("Query", query.clone()).await["Items"], json!([{"sk": n(2)}, {"sk": n(3)}, {"sk": n(4)}]));
    query["QueryFilter"] = json!({"odd": argument(json!({"BOOL": true}))});
    let answer = bench.ok("Query", query.clone()).await;
    assert_eq!((&answer["Items"], &answer["ScannedCount"]), (&json!([{"sk": n(3)}]), &json!(3)));
    query["QueryFilter"] = json!({"sk": argument(n(1))});
    let text = "QueryFilter can only contain non-primary key attributes: Primary key attribute: sk";
    bench.refused("Query", query, &ve(text)).await;
    let scan = json!({"TableName": "games", "ScanFilter": {"odd": argument(json!({"BOOL": true})), "sk": above}});
    assert_eq!(bench.ok("Scan", scan).await["Count"], json!(1));
    let not_indexable = json!({"TableName": "games", "KeyConditions": {"pk": {"ComparisonOperator": "NE",
        "AttributeValueList": [s("a")]}}});
    let text = "Attempted conditional constraint is not an indexable operation";
    bench.refused("Query", not_indexable, &ve(text)).await;
}

#[tokio::test]
async fn key_conditions_stand_beside_a_filter_or_a_projection_but_no_other_key_condition() {
    let bench = Bench::new().await;
    for i in 0..3 {
        bench.put("games", json!({"pk": s("a"), "sk": n(i), "v": n(i)})).await;
    }
    let query = |members: Value| {
        let equal = json!({"ComparisonOperator": "EQ", "AttributeValueList": [s("a")]});
        let mut body = json!({"TableName": "games", "KeyConditions": {"pk": equal}});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    let filter = json!({"FilterExpression": "v > :v", "ExpressionAttributeValues": {":v": n(1)}});
    assert_eq!(bench.ok("Query", query(filter)).await["Items"], json!([{"pk": s("a"), "sk": n(2), "v": n(2)}]));
    let projection = json!({"ProjectionExpression": "#v", "ExpressionAttributeNames": {"#v": "v"}});
    assert_eq!(bench.ok("Query", query(projection)).await["Items"], json!([{"v": n(0)}, {"v": n(1)}, {"v": n(2)}]));
    let mixing = |legacy: &str, expressions: &str| {
        ve(&format!(
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
             {{{legacy}}} Expression parameters: {{{expressions}}}"
        ))
    };
    for (members, legacy, expressions) in [
        (json!({"KeyConditionExpression": "pk = :p"}), "KeyConditions", "KeyConditionExpression"),
        (
            json!({"KeyConditionExpression": "pk = :p", "ProjectionExpression": "v"}),
            "KeyConditions",
            "ProjectionExpression, KeyConditionExpression",
        ),
        (json!({"AttributesToGet": ["v"], "ProjectionExpression": "v"}), "AttributesToGet", "ProjectionExpression"),
        (
            json!({"AttributesToGet": ["v"], "KeyConditionExpression": "pk = :p"}),
            "AttributesToGet, KeyConditions",
            "KeyConditionExpression",
        ),
    ] {
        bench.refused("Query", query(members), &mixing(legacy, expressions)).await;
    }
}

#[tokio::test]
async fn a_null_instead_of_a_condition_is_refused() {
    let bench = Bench::new().await;
    let filter = "The filter condition for an attribute cannot be null: v";
    // The null counts before what is wrong with the other attribute.
    let attributes = json!({"a": {"ComparisonOperator": "EQ"}, "v": null});
    bench.refused("Scan", json!({"TableName": "users", "ScanFilter": attributes}), &ve(filter)).await;
    let equal = json!({"ComparisonOperator": "EQ", "AttributeValueList": [s("a")]});
    let query = json!({"TableName": "users", "KeyConditions": {"pk": equal}, "QueryFilter": attributes});
    bench.refused("Query", query, &ve(filter)).await;
    let query = json!({"TableName": "users", "KeyConditions": {"pk": equal, "v": null}});
    bench.refused("Query", query, &ve(filter)).await;
    let put = json!({"TableName": "users", "Item": {"pk": s("a")}, "Expected": {"a": {"Exists": true}, "v": null}});
    let expected =
        "One or more parameter values were invalid: ExpectedAttributeValue must not be null for Attribute: v";
    bench.refused("PutItem", put.clone(), &enveloped(expected)).await;
    Bench::with(Wording::Classic).await.refused("PutItem", put, &ve(expected)).await;
}
