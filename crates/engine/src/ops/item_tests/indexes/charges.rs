//! What writes of a table with indexes are charged, and the item collections that they tell. docs/spec/dynamodb-api.md 7.4.

use super::*;

/// `ConsumedCapacity` with the arms of indexes that have units.
fn capacity(table: f64, local: &[(&str, f64)], global: &[(&str, f64)]) -> Value {
    let arms = |arms: &[(&str, f64)]| -> BTreeMap<String, Value> {
        arms.iter().map(|(name, units)| ((*name).to_owned(), json!({"CapacityUnits": units}))).collect()
    };
    let total = table + local.iter().chain(global).map(|(_, units)| units).sum::<f64>();
    let mut answer = json!({"TableName": "orders", "CapacityUnits": total, "Table": {"CapacityUnits": table}});
    if !local.is_empty() {
        answer["LocalSecondaryIndexes"] = json!(arms(local));
    }
    if !global.is_empty() {
        answer["GlobalSecondaryIndexes"] = json!(arms(global));
    }
    answer
}

async fn put(bench: &Bench, item: Value) -> Value {
    let body = json!({"TableName": "orders", "Item": item, "ReturnConsumedCapacity": "INDEXES"});
    bench.ok("PutItem", body).await["ConsumedCapacity"].clone()
}

#[tokio::test]
async fn a_write_is_charged_at_the_indexes_whose_entries_it_changes() {
    let bench = Bench::indexed(&["by-due", "by-shop", "by-tag"]).await;
    let everywhere = capacity(1.0, &[("by-due", 1.0)], &[("by-shop", 1.0), ("by-tag", 1.0)]);
    assert_eq!(put(&bench, whole("a")).await, everywhere);
    assert_eq!(put(&bench, whole("a")).await, capacity(1.0, &[], &[]), "nothing changed");
    let item = set(whole("a"), "rest", s("another"));
    assert_eq!(put(&bench, item.clone()).await, capacity(1.0, &[], &[]), "nothing of an entry changed");
    // What is projected, and then grows: the larger of both counts.
    let item = set(item, "note", s(&"x".repeat(1500)));
    assert_eq!(put(&bench, item.clone()).await, capacity(2.0, &[], &[("by-tag", 2.0)]));
    let item = set(item, "note", s("small"));
    assert_eq!(put(&bench, item.clone()).await, capacity(2.0, &[], &[("by-tag", 2.0)]));
    // A key that moves: removed and written.
    let item = set(item, "due", s("tuesday"));
    assert_eq!(put(&bench, item.clone()).await, capacity(1.0, &[("by-due", 2.0)], &[]));
    assert_eq!(put(&bench, without(item, &["tag"])).await, capacity(1.0, &[], &[("by-tag", 1.0)]));
    let key = json!({"pk": s("p"), "sk": s("a")});
    let update = json!({"TableName": "orders", "Key": key, "UpdateExpression": "SET price = :v",
        "ExpressionAttributeValues": {":v": n(8)}, "ReturnConsumedCapacity": "INDEXES"});
    let answer = bench.ok("UpdateItem", update).await;
    assert_eq!(answer["ConsumedCapacity"], capacity(1.0, &[], &[("by-shop", 2.0)]));
    let delete = json!({"TableName": "orders", "Key": key, "ReturnConsumedCapacity": "INDEXES"});
    let answer = bench.ok("DeleteItem", delete.clone()).await;
    assert_eq!(answer["ConsumedCapacity"], capacity(1.0, &[("by-due", 1.0)], &[("by-shop", 1.0)]));
    assert_eq!(bench.ok("DeleteItem", delete).await["ConsumedCapacity"], capacity(1.0, &[], &[]), "nothing was there");
    let total = json!({"TableName": "orders", "Item": whole("a"), "ReturnConsumedCapacity": "TOTAL"});
    let answer = bench.ok("PutItem", total).await;
    assert_eq!(answer["ConsumedCapacity"], json!({"TableName": "orders", "CapacityUnits": 4.0}));
}

#[tokio::test]
async fn a_batch_sums_the_arms_and_a_transaction_doubles_that_of_the_table() {
    let bench = Bench::indexed(&["by-due", "by-shop"]).await;
    let writes = json!([{"PutRequest": {"Item": whole("a")}}, {"PutRequest": {"Item": without(whole("b"), &["due"])}}]);
    let batch = json!({"RequestItems": {"orders": writes}, "ReturnConsumedCapacity": "INDEXES"});
    let answer = bench.ok("BatchWriteItem", batch).await;
    assert_eq!(answer["ConsumedCapacity"], json!([capacity(2.0, &[("by-due", 1.0)], &[("by-shop", 2.0)])]));
    let put = |sk: &str| json!({"Put": {"TableName": "orders", "Item": whole(sk)}});
    let body = json!({"TransactItems": [put("c"), put("d")], "ReturnConsumedCapacity": "INDEXES"});
    let consumed = bench.ok("TransactWriteItems", body).await["ConsumedCapacity"][0].clone();
    let arm = |units: f64| json!({"CapacityUnits": units, "WriteCapacityUnits": units});
    assert_eq!(consumed["Table"], arm(4.0));
    assert_eq!(consumed["LocalSecondaryIndexes"]["by-due"], arm(2.0));
    assert_eq!(consumed["GlobalSecondaryIndexes"]["by-shop"], arm(2.0));
    assert_eq!(consumed["CapacityUnits"], 8.0);
}

#[tokio::test]
async fn item_collections_are_told_of_tables_with_a_local_index() {
    let key = json!({"pk": s("p"), "sk": s("a")});
    let asked = |mut body: Value| {
        body["ReturnItemCollectionMetrics"] = json!("SIZE");
        body
    };
    let metrics = json!({"ItemCollectionKey": {"pk": s("p")}, "SizeEstimateRangeGB": [0.0, 1.0]});
    let put = json!({"TableName": "orders", "Item": whole("a")});
    let update = json!({"TableName": "orders", "Key": key, "UpdateExpression": "REMOVE rest"});
    let delete = json!({"TableName": "orders", "Key": key});
    let bench = Bench::indexed(&["by-due"]).await;
    for (operation, body) in [("PutItem", &put), ("UpdateItem", &update), ("DeleteItem", &delete)] {
        assert_eq!(bench.ok(operation, asked(body.clone())).await["ItemCollectionMetrics"], metrics, "{operation}");
        assert_eq!(bench.ok(operation, body.clone()).await.get("ItemCollectionMetrics"), None, "{operation}");
    }
    let writes = json!([{"PutRequest": {"Item": whole("a")}}, {"PutRequest": {"Item": whole("b")}}]);
    let batch = json!({"RequestItems": {"orders": writes}});
    let answer = bench.ok("BatchWriteItem", asked(batch.clone())).await;
    assert_eq!(answer["ItemCollectionMetrics"], json!({"orders": [metrics]}), "each once");
    assert_eq!(bench.ok("BatchWriteItem", batch).await, json!({"UnprocessedItems": {}}));
    let check = json!({"ConditionCheck": {"TableName": "orders", "Key": {"pk": s("q"), "sk": s("a")},
        "ConditionExpression": "attribute_not_exists(pk)"}});
    let transaction = json!({"TransactItems": [{"Put": put}, check]});
    let answer = bench.ok("TransactWriteItems", asked(transaction)).await;
    assert_eq!(answer, json!({"ItemCollectionMetrics": {"orders": [metrics]}}));
    let bench = Bench::indexed(&["by-shop"]).await;
    assert_eq!(bench.ok("PutItem", asked(put)).await, json!({}), "there are no item collections");
}
