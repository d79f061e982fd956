//! TransactWriteItems and TransactGetItems: what is an error, what is a reason, and what is done. docs/spec/dynamodb-api.md 7.2, 7.4.

use tailrace_core::{CancellationCode, CancellationReason};

use super::*;

const MISMATCH: &str = "The provided key element does not match the schema";
const FAILED: &str = "The conditional request failed";

fn put(pk: &str) -> Value {
    json!({"Put": {"TableName": "users", "Item": {"pk": s(pk)}}})
}

fn put_if(pk: &str, condition: &str) -> Value {
    json!({"Put": {"TableName": "users", "Item": {"pk": s(pk)}, "ConditionExpression": condition}})
}

fn check(pk: &str, condition: &str) -> Value {
    json!({"ConditionCheck": {"TableName": "users", "Key": {"pk": s(pk)}, "ConditionExpression": condition}})
}

fn delete(pk: &str) -> Value {
    json!({"Delete": {"TableName": "users", "Key": {"pk": s(pk)}}})
}

fn add(pk: &str, number: i64) -> Value {
    json!({"Update": {"TableName": "users", "Key": {"pk": s(pk)}, "UpdateExpression": "ADD n :n",
        "ExpressionAttributeValues": {":n": n(number)}}})
}

fn with(mut action: Value, member: &str, value: Value) -> Value {
    let (_, body) = action.as_object_mut().unwrap().iter_mut().next().unwrap();
    body[member] = value;
    action
}

fn get(pk: &str) -> Value {
    json!({"Get": {"TableName": "users", "Key": {"pk": s(pk)}}})
}

/// A reason as tests write it: code, text, item.
fn told(reason: &CancellationReason) -> String {
    let item = reason.item.as_ref().map(|item| serde_json::to_string(&item).unwrap()).unwrap_or_default();
    format!("{}:{}{item}", reason.code.name(), reason.message.as_deref().unwrap_or_default())
}

impl Bench {
    async fn transact(&self, actions: &[Value]) -> Result<Value, ApiError> {
        self.call("TransactWriteItems", json!({"TransactItems": actions})).await
    }

    /// Wants a cancelled transaction with these reasons.
    async fn cancelled(&self, actions: &[Value], reasons: &[&str]) {
        let error = self.transact(actions).await.expect_err("it is cancelled");
        let codes: Vec<&str> = error.reasons.iter().map(|reason| reason.code.name()).collect();
        let text = format!(
            "TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific \
             reasons [{}]",
            codes.join(", ")
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(error.reasons.iter().map(told).collect::<Vec<_>>(), reasons);
    }

    async fn not_transacted(&self, actions: Value, expected: &str) {
        self.refused("TransactWriteItems", json!({"TransactItems": actions}), expected).await;
    }

    async fn item(&self, pk: &str) -> Value {
        self.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s(pk)}})).await["Item"].take()
    }
}

#[tokio::test]
async fn all_actions_are_one_commit_with_all_of_its_records() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    for pk in ["deleted", "updated", "checked"] {
        bench.put("users", json!({"pk": s(pk), "n": n(1)})).await;
    }
    let before = bench.records().await.len();
    let elsewhere = json!({"Put": {"TableName": "games", "Item": {"pk": s("g"), "sk": n(1)}}});
    let actions =
        [put("new"), add("updated", 4), delete("deleted"), check("checked", "attribute_exists(pk)"), elsewhere];
    assert_eq!(bench.transact(&actions).await.unwrap(), json!({}));
    assert_eq!(bench.item("updated").await, json!({"pk": s("updated"), "n": n(5)}));
    assert_eq!(bench.item("deleted").await, Value::Null);
    assert_eq!(bench.item("new").await, json!({"pk": s("new")}));
    let game = bench.ok("GetItem", json!({"TableName": "games", "Key": {"pk": s("g"), "sk": n(1)}})).await;
    assert_eq!(game["Item"]["sk"], n(1));
    let records = bench.records().await.split_off(before);
    // In the order of the request, none of the check, at one time.
    assert_eq!(records.len(), 3);
    assert!(records.windows(2).all(|pair| pair[0].number.0 + 1 == pair[1].number.0));
    assert!(records.windows(2).all(|pair| pair[0].time_ms == pair[1].time_ms));
}

#[tokio::test]
async fn every_condition_that_fails_is_a_reason_and_nothing_is_done() {
    let bench = Bench::streaming(ViewType::KeysOnly).await;
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    let showing = |action| with(action, "ReturnValuesOnConditionCheckFailure", json!("ALL_OLD"));
    let actions = [
        put("new"),
        showing(put_if("a", "attribute_not_exists(pk)")),
        check("b", "attribute_exists(pk)"),
        showing(put_if("c", "attribute_exists(pk)")),
    ];
    let failed = format!("ConditionalCheckFailed:{FAILED}");
    let with_item = format!("{failed}{}", r#"{"n":{"N":"1"},"pk":{"S":"a"}}"#);
    bench.cancelled(&actions, &["None:", &with_item, &failed, &failed]).await;
    assert_eq!(bench.item("new").await, Value::Null);
    assert_eq!(bench.records().await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_an_item_when_it_is_changed_is_a_reason() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "txt": s("x"), "big": s(&"x".repeat(400_000))})).await;
    let set = |expression: &str, values: Value| {
        json!({"Update": {"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": expression,
            "ExpressionAttributeValues": values}})
    };
    let one = json!({":v": n(1)});
    for (action, text) in [
        (set("SET m.x = :v", one.clone()), "The document path provided in the update expression is invalid for update"),
        (set("SET t = txt + :v", one.clone()), "An operand in the update expression has an incorrect data type"),
        (
            set("SET t = gone + :v", one.clone()),
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        (
            set("SET more = :v", json!({":v": s(&"x".repeat(20_000))})),
            "Item size to update has exceeded the maximum allowed size",
        ),
        (
            set("SET pk = :v", one),
            "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key",
        ),
    ] {
        bench.cancelled(&[action, put("b")], &[&format!("ValidationError:{text}"), "None:"]).await;
    }
}

#[tokio::test]
async fn keys_of_a_wrong_form_are_reasons_that_hide_the_others() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a")})).await;
    let key = |key: Value| json!({"Delete": {"TableName": "users", "Key": key}});
    let item = |item: Value| json!({"Put": {"TableName": "users", "Item": item}});
    let mismatch = format!("ValidationError:{MISMATCH}");
    for action in [key(json!({"pk": n(1)})), key(json!({"x": s("a")})), key(json!({"pk": s("a"), "x": s("a")}))] {
        bench.cancelled(&[action, put_if("a", "attribute_not_exists(pk)")], &[&mismatch, "None:"]).await;
    }
    let invalid = "ValidationError:One or more parameter values were invalid:";
    let wrong = format!("{invalid} Type mismatch for key pk expected: S actual: N");
    bench
        .cancelled(&[put("x"), item(json!({"pk": n(1)})), item(json!({"pk": n(1)}))], &["None:", &wrong, &wrong])
        .await;
    bench.cancelled(&[item(json!({"x": n(1)}))], &[&format!("{invalid} Missing the key pk in the item")]).await;
    let long = format!("{invalid} Size of hashkey has exceeded the maximum size limit of2048 bytes");
    bench.cancelled(&[delete(&"x".repeat(2049))], &[&long]).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_its_error() {
    let bench = Bench::new().await;
    let wrong = json!({"Put": {"TableName": "users", "Item": {"pk": n(1)}}});
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
                 empty string value. Key: pk";
    let values = |action, names: &str, value: Value| with(action, names, value);
    let one_item = "Transaction request cannot include multiple operations on one item";
    for (actions, text) in [
        (json!([put(""), wrong]), empty),
        (json!([delete("")]), empty),
        (json!([put("a"), delete("a"), wrong]), one_item),
        (json!([{}]), "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"),
        (
            json!([{"Put": put("a")["Put"], "Delete": delete("b")["Delete"]}]),
            "TransactItems can only contain one of Check, Put, Update or Delete",
        ),
        (json!([put_if("a", "")]), "Invalid ConditionExpression: The expression can not be empty;"),
        (
            json!([put_if("a", &"x".repeat(4097))]),
            "Invalid ConditionExpression: Expression size has exceeded the maximum allowed size; expression size: 4097",
        ),
        (
            json!([put_if("a", "a = :v")]),
            "Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :v",
        ),
        (
            json!([values(put_if("a", "attribute_exists(pk)"), "ExpressionAttributeValues", json!({":v": n(1)}))]),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}",
        ),
        (
            json!([values(delete("a"), "ExpressionAttributeValues", json!({":v": n(1)}))]),
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            json!([put_if("a", "attribute_exists(pk.x)")]),
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk",
        ),
        (
            json!([with(put("a"), "Item", json!({"pk": s("a"), "x": s(&"x".repeat(409_600))}))]),
            "Item size has exceeded the maximum allowed size",
        ),
        (
            json!([with(put("a"), "Item", json!({"pk": s("a"), "x": {"SS": []}}))]),
            "One or more parameter values were invalid: An string set  may not be empty",
        ),
    ] {
        bench.not_transacted(actions, &ve(text)).await;
    }
    let nowhere = with(put("a"), "TableName", json!("nowhere"));
    bench.not_transacted(json!([wrong, nowhere]), "ResourceNotFoundException: Requested resource not found").await;
    // Values that nothing can use do no harm in a put.
    bench.transact(&[values(put("a"), "ExpressionAttributeValues", json!({":v": n(1)}))]).await.unwrap();
}

#[tokio::test]
async fn members_that_break_a_constraint_are_told_with_their_place() {
    let bench = Bench::new().await;
    let at = |value: &str, path: &str, must: &str| {
        enveloped(&format!("Value {value} at '{path}' failed to satisfy constraint: Member must {must}"))
    };
    let null = |path: &str| at("null", path, "not be null");
    bench.not_transacted(json!([]), &at("'[]'", "transactItems", "have length greater than or equal to 1")).await;
    bench.not_transacted(json!([{"Put": {"TableName": "users"}}]), &null("transactItems.1.member.put.item")).await;
    bench
        .not_transacted(json!([put("a"), {"Delete": {"Key": {}}}]), &null("transactItems.2.member.delete.tableName"))
        .await;
    let unconditional = json!([{"ConditionCheck": {"TableName": "users", "Key": {}}}]);
    bench.not_transacted(unconditional, &null("transactItems.1.member.conditionCheck.conditionExpression")).await;
    let no_update = json!([{"Update": {"TableName": "users", "Key": {}}}]);
    bench.not_transacted(no_update, &null("transactItems.1.member.update.updateExpression")).await;
    let short = at("'a'", "transactItems.1.member.put.tableName", "have length greater than or equal to 3");
    bench.not_transacted(json!([with(put("a"), "TableName", json!("a"))]), &short).await;
    let returned = "transactItems.1.member.put.returnValuesOnConditionCheckFailure";
    let returned = at("'NEW'", returned, "satisfy enum value set: [ALL_OLD, NONE]");
    bench.not_transacted(json!([with(put("a"), "ReturnValuesOnConditionCheckFailure", json!("NEW"))]), &returned).await;
    let token = "t".repeat(37);
    let long = at(&format!("'{token}'"), "clientRequestToken", "have length less than or equal to 36");
    bench.refused("TransactWriteItems", json!({"TransactItems": [put("a")], "ClientRequestToken": token}), &long).await;
    let many: Vec<Value> = (0..101).map(|i| put(&format!("p{i}"))).collect();
    let error = bench.transact(&many).await.unwrap_err().to_string();
    assert!(error.ends_with(
        "at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100"
    ));
    assert!(error.starts_with(
        "ValidationException: 1 validation error detected: Value '[TransactWriteItem(put=Put(item={pk=AttributeValue("
    ));
    bench.transact(&many[..100]).await.unwrap();
    let no_get = json!({"TransactItems": [{}]});
    bench.refused("TransactGetItems", no_get, &null("transactItems.1.member.get")).await;
}

#[tokio::test]
async fn a_transaction_takes_four_megabytes_and_what_follows_from_them() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    let large = |pk: String| with(put(&pk), "Item", json!({"pk": s(&pk), "x": s(&"x".repeat(400_000))}));
    let too_large = "Collection size of items exceeded, which can also be caused by the aggregate size of the items in \
                     the transaction exceeding the 4MB limit";
    let batch = |from: usize, to: usize| (from..to).map(|i| large(format!("p{i:02}"))).collect::<Vec<_>>();
    bench.not_transacted(json!(batch(0, 11)), &ve(too_large)).await;
    for from in [0, 10, 20, 30] {
        bench.transact(&batch(from, from + 10)).await.unwrap();
    }
    // Old images are not what was sent, but a commit must fit into the log.
    let deletes = |to: usize| (0..to).map(|i| delete(&format!("p{i:02}"))).collect::<Vec<_>>();
    bench.not_transacted(json!(deletes(40)), &ve(too_large)).await;
    bench.transact(&deletes(30)).await.unwrap();
    let gets = |from: usize| (from..40).map(|i| get(&format!("p{i:02}"))).collect::<Vec<_>>();
    assert_eq!(
        bench.ok("TransactGetItems", json!({"TransactItems": gets(30)})).await["Responses"][9]["Item"]["pk"],
        s("p39")
    );
    bench.put("users", json!({"pk": s("p29"), "x": s(&"x".repeat(400_000))})).await;
    bench.refused("TransactGetItems", json!({"TransactItems": gets(29)}), &ve(too_large)).await;
}

#[tokio::test]
async fn items_are_read_in_the_order_of_the_request() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "m": {"M": {"x": n(1), "y": n(2)}}})).await;
    bench.put("games", json!({"pk": s("g"), "sk": n(1)})).await;
    let gets = json!([
        {"Get": {"TableName": "games", "Key": {"pk": s("g"), "sk": {"N": "1.0"}}}},
        get("gone"),
        with(with(get("a"), "ProjectionExpression", json!("#m.x")), "ExpressionAttributeNames", json!({"#m": "m"})),
    ]);
    let answer =
        bench.ok("TransactGetItems", json!({"TransactItems": gets, "ReturnConsumedCapacity": "INDEXES"})).await;
    let capacity = |table: &str, units: f64| {
        json!({"TableName": table, "CapacityUnits": units, "ReadCapacityUnits": units,
            "Table": {"CapacityUnits": units, "ReadCapacityUnits": units}})
    };
    let expected = json!({
        "Responses": [{"Item": {"pk": s("g"), "sk": n(1)}}, {}, {"Item": {"m": {"M": {"x": n(1)}}}}],
        "ConsumedCapacity": [capacity("games", 2.0), capacity("users", 4.0)],
    });
    assert_eq!(answer, expected);
    let nothing = json!({"TransactItems": [with(get("a"), "ProjectionExpression", json!("zzz"))]});
    assert_eq!(bench.ok("TransactGetItems", nothing).await, json!({"Responses": [{}]}));
}

#[tokio::test]
async fn reads_that_make_no_sense_are_refused() {
    let bench = Bench::new().await;
    let read = |gets: Value| json!({"TransactItems": gets});
    let one_item = "Transaction request cannot include multiple operations on one item";
    for (gets, text) in [
        (json!([get("a"), get("a")]), ve(one_item)),
        (
            json!([with(get("a"), "ExpressionAttributeNames", json!({"#a": "a"}))]),
            ve("ExpressionAttributeNames can only be specified when using expressions"),
        ),
        (
            json!([with(get("a"), "ProjectionExpression", json!("pk.x"))]),
            ve("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk"),
        ),
        (
            json!([with(get("a"), "TableName", json!("nowhere"))]),
            "ResourceNotFoundException: Requested resource not found".to_owned(),
        ),
    ] {
        bench.refused("TransactGetItems", read(gets), &text).await;
    }
    let wrong = json!({"Get": {"TableName": "users", "Key": {"pk": n(1)}}});
    let error = bench.call("TransactGetItems", read(json!([get("a"), wrong]))).await.unwrap_err();
    assert_eq!(error.reasons.iter().map(told).collect::<Vec<_>>(), ["None:", &format!("ValidationError:{MISMATCH}")]);
    assert_eq!(error.reasons[1].code, CancellationCode::ValidationError);
}

#[tokio::test]
async fn writes_are_charged_twice_and_checks_as_writes() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "x": s(&"x".repeat(1500))})).await;
    let actions = json!([check("a", "attribute_exists(pk)"), put("b"), delete("gone"),
        {"Put": {"TableName": "games", "Item": {"pk": s("g"), "sk": n(1)}}}]);
    let request = |detail: &str| json!({"TransactItems": actions, "ReturnConsumedCapacity": detail});
    let capacity =
        |table: &str, units: f64| json!({"TableName": table, "CapacityUnits": units, "WriteCapacityUnits": units});
    let total = bench.ok("TransactWriteItems", request("TOTAL")).await;
    assert_eq!(total, json!({"ConsumedCapacity": [capacity("games", 2.0), capacity("users", 8.0)]}));
    let indexes = bench.ok("TransactWriteItems", request("INDEXES")).await;
    assert_eq!(indexes["ConsumedCapacity"][1]["Table"], json!({"CapacityUnits": 8.0, "WriteCapacityUnits": 8.0}));
    assert_eq!(bench.ok("TransactWriteItems", request("NONE")).await, json!({}));
}

#[tokio::test]
async fn large_items_are_changed_away_from_the_latches() {
    let bench = Bench::new().await;
    for pk in ["a", "b", "c", "d", "e", "f"] {
        bench.put("users", json!({"pk": s(pk), "x": s(&"x".repeat(30_000))})).await;
    }
    let actions: Vec<Value> = ["a", "b", "c", "d", "e"].into_iter().map(|pk| add(pk, 1)).collect();
    let checked = check("f", "attribute_exists(pk)");
    bench.transact(&[actions.as_slice(), &[checked]].concat()).await.unwrap();
    assert_eq!(bench.item("e").await["n"], n(1));
    assert_eq!(bench.item("f").await["n"], Value::Null);
    assert_eq!(bench.db.planned_bytes_max.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_table_that_was_made_anew_is_the_one_that_is_written() {
    let bench = Bench::new().await;
    bench.transact(&[put("a")]).await.unwrap();
    bench.put_table("users", 9, Some(ScalarType::S), None).await;
    bench
        .cancelled(
            &[put("a")],
            &["ValidationError:One or more parameter values were invalid: Missing the key sk in the item"],
        )
        .await;
    let ranged = json!({"Put": {"TableName": "users", "Item": {"pk": s("a"), "sk": s("b")}}});
    bench.put_table("users", 10, None, None).await;
    bench.transact(&[ranged]).await.unwrap();
    assert_eq!(bench.item("a").await["sk"], s("b"));
}

/// docs/spec/dynamodb-api.md 3.4: of an update in a transaction the finished item alone is weighed.
#[tokio::test]
async fn an_update_in_a_transaction_may_make_the_largest_item() {
    let bench = Bench::new().await;
    let update = |bytes: usize| {
        let value = s(&"x".repeat(bytes - "pkaq".len()));
        json!({"TransactItems": [{"Update": {"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": "SET q = :v",
            "ExpressionAttributeValues": {":v": value}}}]})
    };
    bench.ok("TransactWriteItems", update(409_600)).await;
    let error = bench.call("TransactWriteItems", update(409_601)).await.unwrap_err().to_string();
    assert!(error.contains("[ValidationError]"), "{error}");
}

/// docs/spec/dynamodb-api.md 7.2: an empty key is refused before the tables are looked for; what a list of too many echoes ends as it began.
#[tokio::test]
async fn what_needs_no_table_is_refused_before_one_is_looked_for() {
    let bench = Bench::new().await;
    let delete = |table: &str, key: &str| json!({"Delete": {"TableName": table, "Key": {"pk": s(key)}}});
    let text = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: pk";
    let body = json!({"TransactItems": [delete("nowhere", "a"), delete("users", "")]});
    bench.refused("TransactWriteItems", body, &ve(text)).await;
    let many: Vec<Value> = (0..101).map(|n| delete("users", &format!("{n}"))).collect();
    let error = bench.call("TransactWriteItems", json!({"TransactItems": many})).await.unwrap_err().to_string();
    assert!(error.contains("]' at 'transactItems' failed to satisfy constraint"), "{error}");
}
