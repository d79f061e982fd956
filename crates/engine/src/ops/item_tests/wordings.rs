//! The texts and the order of faults in both wordings: docs/spec/dynamodb-api.md 1.4, 2.5, 4.3, 4.9.

use super::*;

#[tokio::test]
async fn value_errors_take_the_envelope_in_the_current_wording_of_writes() {
    let current = Bench::new().await;
    let classic = Bench::with(Wording::Classic).await;
    let put = |value: Value| json!({"TableName": "users", "Item": {"pk": s("a"), "x": value}});
    let opvi = |text: &str| format!("One or more parameter values were invalid: {text}");
    for (value, text) in [
        (json!({"SS": []}), opvi("An string set  may not be empty")),
        (json!({"NULL": false}), opvi("Null attribute value types must have the value of true")),
        (json!({"N": "x"}), "The parameter cannot be converted to a numeric value: x".to_owned()),
    ] {
        current.refused("PutItem", put(value.clone()), &enveloped(&text)).await;
        classic.refused("PutItem", put(value.clone()), &ve(&text)).await;
        current.refused("GetItem", json!({"TableName": "users", "Key": {"pk": value}}), &ve(&text)).await;
    }
    let empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
    current.refused("PutItem", put(json!({})), &ve(empty)).await;
    current
        .refused("PutItem", put(json!({"S": 1})), "SerializationException: NUMBER_VALUE cannot be converted to String")
        .await;
}

#[tokio::test]
async fn json_types_are_reported_before_missing_members() {
    let bench = Bench::new().await;
    let error = "SerializationException: TRUE_VALUE cannot be converted to String";
    bench.refused("PutItem", json!({"Item": {"pk": {"S": true}}}), error).await;
}

/// docs/spec/dynamodb-api.md 1.4: unknown members are ignored, those that only other operations have included.
#[tokio::test]
async fn members_of_other_operations_are_ignored() {
    let bench = Bench::new().await;
    let item = json!({"pk": s("a"), "v": n(1)});
    let with = |member: &str, others: Value| {
        let mut body =
            json!({"TableName": "users", member: if member == "Item" { item.clone() } else { json!({"pk": s("a")}) }});
        body.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        body
    };
    for others in [
        json!({"UpdateExpression": "junk("}),
        json!({"AttributeUpdates": {"a": 1}, "ConditionExpression": "attribute_not_exists(zz)"}),
        json!({"FilterExpression": "", "ProjectionExpression": ""}),
    ] {
        bench.ok("PutItem", with("Item", others)).await;
    }
    for others in [json!({"ExpressionAttributeValues": {":a": n(1)}}), json!({"FilterExpression": "", "IndexName": 1})]
    {
        assert_eq!(bench.ok("GetItem", with("Key", others)).await["Item"], item);
    }
    bench.ok("UpdateItem", with("Key", json!({"ProjectionExpression": "", "KeyConditions": {"a": {}}}))).await;
    bench.ok("DeleteItem", with("Key", json!({"AttributesToGet": ["a", "a"], "UpdateExpression": ""}))).await;
    bench.ok("Scan", json!({"TableName": "users", "KeyConditionExpression": "", "QueryFilter": {}, "a": [[]]})).await;
    let part = json!({"Keys": [{"pk": s("a")}], "FilterExpression": "", "ExpressionAttributeValues": {}});
    bench.ok("BatchGetItem", json!({"RequestItems": {"users": part}})).await;
    let put = json!({"PutRequest": {"Item": item, "Key": {}}, "Put": {}});
    bench.ok("BatchWriteItem", json!({"RequestItems": {"users": [put]}})).await;
}

#[tokio::test]
async fn maps_need_expressions_that_can_use_them() {
    let current = Bench::new().await;
    let classic = Bench::with(Wording::Classic).await;
    let names = "ExpressionAttributeNames can only be specified when using expressions";
    let values = "ExpressionAttributeValues can only be specified when using expressions";
    let put = |map: &str, content: Value| json!({"TableName": "users", "Item": {"pk": s("a")}, map: content});
    let with_names = put("ExpressionAttributeNames", json!({"#a": "a"}));
    let with_values = put("ExpressionAttributeValues", json!({":a": s("a")}));
    current.refused("PutItem", with_names.clone(), &enveloped(names)).await;
    classic.refused("PutItem", with_names, &ve(names)).await;
    current.refused("PutItem", with_values.clone(), &enveloped(values)).await;
    classic.refused("PutItem", with_values, &ve(&format!("{values}: ConditionExpression is null"))).await;
    let update = json!({"TableName": "users", "Key": {"pk": s("a")}, "ExpressionAttributeValues": {":a": s("a")}});
    let none = "UpdateExpression and ConditionExpression are null";
    classic.refused("UpdateItem", update, &ve(&format!("{values}: {none}"))).await;
    let scan = json!({"TableName": "users", "ExpressionAttributeValues": {":a": s("a")}});
    current.refused("Scan", scan.clone(), &ve(&format!("{values}: FilterExpression is null"))).await;
    let each = "FilterExpression is null and KeyConditionExpression is null";
    current.refused("Query", scan.clone(), &ve(&format!("{values}: {each}"))).await;
    let both = "FilterExpression and KeyConditionExpression are null";
    classic.refused("Query", scan, &ve(&format!("{values}: {both}"))).await;
}

/// docs/spec/dynamodb-api.md 2.5 rows 5 (newer) and 8, 9 (older): an expression is parsed before the next one is looked at.
#[tokio::test]
async fn the_first_wrong_expression_is_reported_whatever_is_wrong_with_the_next() {
    let current = Bench::new().await;
    let classic = Bench::with(Wording::Classic).await;
    let long = "x".repeat(4097);
    let update = |update: &str, condition: &str| json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": update, "ConditionExpression": condition});
    let syntax = "Invalid UpdateExpression: Syntax error; token: \"junk\", near: \"junk(\"";
    let size = "Invalid UpdateExpression: Expression size has exceeded the maximum allowed size;";
    let empty = |name: &str| format!("Invalid {name}: The expression can not be empty;");
    for (body, text) in [
        (update("junk(", &long), syntax.to_owned()),
        (update("junk(", ""), syntax.to_owned()),
        (update(&long, ""), size.to_owned()),
        (update("", "junk("), empty("UpdateExpression")),
        (update("", &long), empty("UpdateExpression")),
        (update("REMOVE a", ""), empty("ConditionExpression")),
    ] {
        current.refused("UpdateItem", body.clone(), &enveloped(&text)).await;
        classic.refused("UpdateItem", body, &ve(&text)).await;
    }
    current.refused("UpdateItem", update("", ""), &enveloped(&empty("ConditionExpression"))).await;
    classic.refused("UpdateItem", update("", ""), &ve(&empty("UpdateExpression"))).await;
    let query = |filter: &str, projection: &str, key: &str| {
        json!({"TableName": "users", "FilterExpression": filter, "ProjectionExpression": projection,
            "KeyConditionExpression": key})
    };
    let filter = "Invalid FilterExpression: Syntax error; token: \"<EOF>\", near: \"(\"";
    current.refused("Query", query("junk(", &long, ""), &ve(filter)).await;
    current.refused("Query", query("a = b", "", &long), &ve(&empty("ProjectionExpression"))).await;
    let scan = json!({"TableName": "users", "FilterExpression": long, "ProjectionExpression": ""});
    let text = "Invalid FilterExpression: Expression size has exceeded the maximum allowed size; expression size: 4097";
    current.refused("Scan", scan, &ve(text)).await;
}

/// docs/spec/dynamodb-api.md 4.3
#[tokio::test]
async fn a_placeholder_for_nothing_is_refused() {
    let bench = Bench::new().await;
    let names = |names: Value| {
        json!({"TableName": "users", "Key": {"pk": s("a")}, "ProjectionExpression": "#a",
            "ExpressionAttributeNames": names})
    };
    let invalid = |text: &str| ve(&format!("ExpressionAttributeNames contains invalid value: {text} for key #a"));
    bench.refused("GetItem", names(json!({"#a": null})), &invalid("null")).await;
    bench.refused("GetItem", names(json!({"#a": ""})), &invalid("Empty attribute name")).await;
    bench.refused("GetItem", names(json!({})), &ve("ExpressionAttributeNames must not be empty")).await;
    let key = "ExpressionAttributeNames contains invalid key: Syntax error; key: \"b\"";
    bench.refused("GetItem", names(json!({"#a": null, "b": "x"})), &ve(key)).await;
}

#[tokio::test]
async fn expression_faults_come_before_the_table_is_looked_up() {
    let bench = Bench::new().await;
    let put = |expression: &str| {
        json!({"TableName": "nope", "Item": {"pk": s("a")}, "ConditionExpression": expression,
            "ExpressionAttributeValues": {":v": s("a"), ":w": s("b")}})
    };
    let unused = "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}";
    bench.refused("PutItem", put("x = :v"), &enveloped(unused)).await;
    let undefined = "Invalid ConditionExpression: An expression attribute value used in expression is not defined; \
                     attribute value: :z";
    bench.refused("PutItem", put("x = :z"), &enveloped(undefined)).await;
    let get = json!({"TableName": "nope", "Key": {"pk": s("a")}, "ProjectionExpression": "#a"});
    let name = "Invalid ProjectionExpression: An expression attribute name used in the document path is not defined; \
                attribute name: #a";
    bench.refused("GetItem", get, &ve(name)).await;
}

#[tokio::test]
async fn faults_are_reported_in_the_order_of_the_wording() {
    let current = Bench::new().await;
    let classic = Bench::with(Wording::Classic).await;
    // A wrong value of the item, wrong ReturnValues and an unused placeholder at once.
    let request = json!({"TableName": "users", "Item": {"pk": s("a"), "x": {"SS": []}}, "ReturnValues": "ALL_NEW",
        "ExpressionAttributeNames": {"#a": "a"}});
    let set = "One or more parameter values were invalid: An string set  may not be empty";
    let names = "ExpressionAttributeNames can only be specified when using expressions";
    current.refused("PutItem", request.clone(), &enveloped(set)).await;
    classic.refused("PutItem", request, &ve(names)).await;
    // ReturnValues and a syntax error: PutItem reports the expression first, DeleteItem the other.
    let wrong = "ReturnValues can only be ALL_OLD or NONE";
    let with = |member: &str| json!({"TableName": "users", member: {"pk": s("a")}, "ReturnValues": "ALL_NEW", "ConditionExpression": "("});
    current.refused("DeleteItem", with("Key"), &enveloped(wrong)).await;
    classic.refused("DeleteItem", with("Key"), &ve(wrong)).await;
    let error = current.call("PutItem", with("Item")).await.unwrap_err().to_string();
    assert!(error.contains("Invalid ConditionExpression: Syntax error"), "{error}");
    classic.refused("PutItem", with("Item"), &ve(wrong)).await;
    // UpdateItem names the first bad choice alone, as spec 2.5 row 1 has it; the older wording joins them.
    let two = json!({"TableName": "users", "Key": {"pk": s("a")}, "AttributeUpdates": {"q": {"Action": "x"}},
        "ConditionalOperator": "x"});
    let error = current.call("UpdateItem", two.clone()).await.unwrap_err().to_string();
    assert!(error.contains("[ADD, DELETE, PUT]") && !error.contains("errors detected"), "{error}");
    let error = classic.call("UpdateItem", two).await.unwrap_err().to_string();
    assert!(error.contains("2 validation errors detected"), "{error}");
}

#[tokio::test]
async fn values_of_expressions_keep_or_lose_their_wrapper() {
    let current = Bench::new().await;
    let classic = Bench::with(Wording::Classic).await;
    let put = |value: Value| {
        json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionExpression": "x = :v",
            "ExpressionAttributeValues": {":v": value}})
    };
    let number = "The parameter cannot be converted to a numeric value: x";
    current.refused("PutItem", put(json!({"N": "x"})), &enveloped(number)).await;
    let wrapped = |text: &str| format!("ExpressionAttributeValues contains invalid value: {text} for key :v");
    classic.refused("PutItem", put(json!({"N": "x"})), &ve(&wrapped(number))).await;
    let set = "One or more parameter values were invalid: An string set  may not be empty";
    current.refused("PutItem", put(json!({"SS": []})), &enveloped(&wrapped(set))).await;
}

#[tokio::test]
async fn expressions_and_the_parameters_they_replaced_do_not_mix() {
    let bench = Bench::new().await;
    let request = json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionExpression": "attribute_exists(pk)",
        "Expected": {"x": {"Exists": false}}});
    let text = "Can not use both expression and non-expression parameters in the same request: Non-expression \
                parameters: {Expected} Expression parameters: {ConditionExpression}";
    bench.refused("PutItem", request, &enveloped(text)).await;
}

#[tokio::test]
async fn values_that_nest_too_deep_are_refused_at_any_depth() {
    let bench = Bench::new().await;
    let put = |levels: usize| {
        let nested = format!("{}{{\"NULL\":true}}{}", r#"{"L":["#.repeat(levels), "]}".repeat(levels));
        format!(r#"{{"TableName":"users","Item":{{"pk":{{"S":"a"}},"x":{nested}}}}}"#)
    };
    let answer = async |levels: usize| {
        ops::execute(&bench.db, Service::DynamoDb, "PutItem", put(levels).as_bytes(), &Caller::default()).await
    };
    answer(31).await.unwrap();
    let text = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond \
                supported limit";
    for (levels, expected) in [
        (32, enveloped(text)),
        (61, enveloped(text)),
        (62, ve(text)),
        (990, ve(text)),
        (1100, "SerializationException".into()),
    ] {
        assert_eq!(answer(levels).await.unwrap_err().to_string(), expected, "{levels}");
    }
}

/// docs/spec/dynamodb-api.md 3.3
#[tokio::test]
async fn a_value_to_compare_with_may_nest_one_level_deeper_than_what_is_stored() {
    let bench = Bench::new().await;
    let nested = |containers: usize| (1..containers).fold(json!({"M": {}}), |inner, _| json!({"M": {"a": inner}}));
    let request = |operation: &str, containers: usize| {
        let mut body = json!({"TableName": "users", "ExpressionAttributeValues": {":v": nested(containers)}});
        let (member, expression, text) = match operation {
            "PutItem" => ("Item", "ConditionExpression", "x <> :v"),
            _ => ("Key", "UpdateExpression", "SET x = :v"),
        };
        body[member] = json!({"pk": s("a")});
        body[expression] = json!(text);
        body
    };
    bench.ok("PutItem", request("PutItem", 32)).await;
    bench.ok("UpdateItem", request("UpdateItem", 31)).await;
    bench.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    let short = "Nesting Levels have exceeded supported limits";
    bench.refused("UpdateItem", request("UpdateItem", 32), &ve(short)).await;
    let long = "ExpressionAttributeValues contains invalid value: Nesting Levels have exceeded supported limits: \
                Attributes in the item have nested levels beyond supported limit for key :v";
    for operation in ["PutItem", "UpdateItem"] {
        bench.refused(operation, request(operation, 33), &enveloped(long)).await;
    }
    let put = json!({"TableName": "users", "Key": {"pk": s("a")},
        "UpdateExpression": format!("SET x{} = :v", ".a".repeat(30)), "ExpressionAttributeValues": {":v": {"L": []}}});
    bench.ok("UpdateItem", put).await;
    let deeper = json!({"TableName": "users", "Key": {"pk": s("a")},
        "UpdateExpression": format!("SET x{}[0] = :v", ".a".repeat(30)), "ExpressionAttributeValues": {":v": {"M": {}}}});
    bench.refused("UpdateItem", deeper, &ve(short)).await;
}

/// docs/spec/dynamodb-api.md 5.4, 7.1, 2.3: texts of one wording, or of what several tables come to.
#[tokio::test]
async fn the_older_wording_says_segments_and_what_an_update_of_a_table_needs() {
    let classic = Bench::with(Wording::Classic).await;
    let scan = json!({"TableName": "users", "Segment": 2, "TotalSegments": 2});
    let text = "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than \
                TotalSegments: 2";
    classic.refused("Scan", scan, &ve(text)).await;
    let text = "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or \
                SSESpecification or ReplicaUpdates is required";
    classic.refused("UpdateTable", json!({"TableName": "users"}), &ve(text)).await;
}

#[tokio::test]
async fn a_hundred_keys_of_all_tables_together_are_what_a_batch_may_get() {
    let bench = Bench::new().await;
    let keys = |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"pk": s(&format!("k{n}"))})).collect() };
    let texts =
        |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"pk": s(&format!("k{n}")), "sk": s("x")})).collect() };
    let both = |most: usize| json!({"RequestItems": {"users": {"Keys": keys(50)}, "texts": {"Keys": texts(most)}}});
    bench.ok("BatchGetItem", both(50)).await;
    bench.refused("BatchGetItem", both(51), &ve("Too many items requested for the BatchGetItem call")).await;
}
