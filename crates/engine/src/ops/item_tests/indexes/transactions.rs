//! Transactions over tables with indexes. docs/spec/dynamodb-api.md 2.5, 7.2, 7.4.

use super::*;

fn put(item: Value) -> Value {
    json!({"Put": {"TableName": "orders", "Item": item}})
}

fn update(sk: &str, name: &str, value: Value) -> Value {
    json!({"Update": {"TableName": "orders", "Key": {"pk": s("p"), "sk": s(sk)}, "UpdateExpression": "SET #n = :v",
        "ExpressionAttributeNames": {"#n": name}, "ExpressionAttributeValues": {":v": value}}})
}

#[tokio::test]
async fn entries_are_written_with_the_items_of_a_transaction_or_not_at_all() {
    let bench = Bench::indexed(&[]).await;
    bench.put_order(whole("gone")).await;
    let delete = json!({"Delete": {"TableName": "orders", "Key": {"pk": s("p"), "sk": s("gone")}}});
    let fails = json!({"ConditionCheck": {"TableName": "orders", "Key": {"pk": s("p"), "sk": s("x")},
        "ConditionExpression": "attribute_exists(pk)"}});
    let actions = |last: &[Value]| [&[put(whole("a")), put(whole("b")), delete.clone()], last].concat();
    assert!(bench.call("TransactWriteItems", json!({"TransactItems": actions(&[fails])})).await.is_err());
    assert_eq!(bench.entry_counts().await, [1; 6]);
    bench.ok("TransactWriteItems", json!({"TransactItems": actions(&[])})).await;
    assert_eq!(bench.entry_counts().await, [2; 6]);
    assert_eq!(bench.entries(2).await, [whole("a"), whole("b")]);
}

#[tokio::test]
async fn what_an_index_cannot_take_is_a_reason_and_an_empty_key_an_error() {
    let bench = Bench::indexed(&["by-shop"]).await;
    bench.put_order(whole("there")).await;
    let mismatch = "One or more parameter values were invalid: Type mismatch for Index Key shop Expected: S Actual: N \
                    IndexName: by-shop";
    let unsupported = "The update expression attempted to update the secondary index key to unsupported type";
    let copied = json!({"Update": {"TableName": "orders", "Key": {"pk": s("p"), "sk": s("there")},
        "UpdateExpression": "SET shop = price"}});
    for (action, text) in [
        (put(set(whole("a"), "shop", n(1))), mismatch),
        (update("there", "shop", n(1)), mismatch),
        (copied, unsupported),
    ] {
        let actions = json!({"TransactItems": [put(whole("b")), action]});
        let error = bench.call("TransactWriteItems", actions).await.unwrap_err();
        let reasons: Vec<_> =
            error.reasons.iter().map(|reason| (reason.code.name(), reason.message.as_deref())).collect();
        assert_eq!(reasons, [("None", None), ("ValidationError", Some(text))]);
    }
    let fails = |mut action: Value| {
        action["Put"]["ConditionExpression"] = json!("attribute_exists(absent)");
        action
    };
    let both_fail = [fails(put(set(whole("a"), "shop", n(1)))), fails(put(whole("b")))];
    let error = bench.call("TransactWriteItems", json!({"TransactItems": both_fail})).await.unwrap_err();
    let codes: Vec<_> = error.reasons.iter().map(|reason| reason.code.name()).collect();
    assert_eq!(codes, ["ValidationError", "ConditionalCheckFailed"], "named before a condition that does not hold");
    assert_eq!(bench.entries(3).await.len(), 1);
    let empty = "ValidationException: One or more parameter values are not valid. A value specified for a secondary index \
                 key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. \
                 IndexName: by-shop, IndexKey: shop";
    let actions = json!({"TransactItems": [put(whole("b")), put(set(whole("a"), "shop", s("")))]});
    bench.refused("TransactWriteItems", actions, empty).await;
    let empty = "ValidationException: One or more parameter values are not valid. The update expression attempted to update a \
                 secondary index key to a value that is not supported. The AttributeValue for a key attribute cannot contain \
                 an empty string value.";
    let actions = json!({"TransactItems": [put(whole("b")), update("there", "shop", s(""))]});
    bench.refused("TransactWriteItems", actions, empty).await;
}

/// Distinct partition keys, by table, of tables with a local index.
#[tokio::test]
async fn item_collections_are_told_of_tables_with_a_local_index() {
    let bench = Bench::indexed(&["by-due"]).await;
    let order = |pk: &str, sk: &str| put(json!({"pk": s(pk), "sk": s(sk)}));
    let check = json!({"ConditionCheck": {"TableName": "orders", "Key": {"pk": s("c"), "sk": s("1")},
        "ConditionExpression": "attribute_not_exists(pk)"}});
    let elsewhere = json!({"Put": {"TableName": "users", "Item": {"pk": s("x")}}});
    let actions = json!([order("b", "1"), order("a", "1"), order("b", "2"), check, elsewhere]);
    let answer = |size: &str| json!({"TransactItems": actions, "ReturnItemCollectionMetrics": size});
    let collection = |pk: &str| json!({"ItemCollectionKey": {"pk": s(pk)}, "SizeEstimateRangeGB": [0.0, 1.0]});
    let told = bench.ok("TransactWriteItems", answer("SIZE")).await;
    assert_eq!(told, json!({"ItemCollectionMetrics": {"orders": [collection("b"), collection("a")]}}));
    assert_eq!(bench.ok("TransactWriteItems", answer("NONE")).await, json!({}));
}
