//! Items that change between the two reads of an index that is fetched for.

use std::sync::atomic::Ordering;

use super::figures::watched;
use super::indexes::{definitions, schema};
use super::*;

/// docs/spec/dynamodb-api.md 5: what a query answers meets its key condition.
#[tokio::test]
async fn an_item_that_has_another_place_in_its_index_by_now_is_left_out() {
    let (bench, watched) = watched().await;
    let index = json!({"IndexName": "by-due", "KeySchema": schema(&["h:pk", "r:due"]),
        "Projection": {"ProjectionType": "KEYS_ONLY"}});
    let body = json!({"TableName": "users", "AttributeDefinitions": definitions(&["pk", "sk", "due"]),
        "KeySchema": schema(&["h:pk", "r:sk"]), "BillingMode": "PAY_PER_REQUEST", "LocalSecondaryIndexes": [index]});
    bench.ok("CreateTable", body).await;
    let s = |text: &str| json!({ "S": text });
    let item = |sk: &str, due: &str, note: &str| json!({"pk": s("p"), "sk": s(sk), "due": s(due), "note": s(note)});
    let put = async |item: Value| bench.ok("PutItem", json!({"TableName": "users", "Item": item})).await;
    for sk in ["moves", "changes", "goes", "stays"] {
        put(item(sk, "today", "old")).await;
    }
    watched.holds_fetches.store(true, Ordering::Relaxed);
    let body = json!({"TableName": "users", "IndexName": "by-due", "Select": "ALL_ATTRIBUTES", "ConsistentRead": true,
        "KeyConditionExpression": "pk = :p AND due = :d", "ExpressionAttributeValues": {":p": s("p"), ":d": s("today")}});
    let change = async {
        watched.fetch_came.notified().await;
        put(item("moves", "tomorrow", "old")).await;
        put(item("changes", "today", "new")).await;
        bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": s("p"), "sk": s("goes")}})).await;
        watched.fetch_goes.notify_one();
    };
    let (answer, ()) = tokio::join!(bench.ok("Query", body), change);
    assert_eq!(answer["Items"], json!([item("changes", "today", "new"), item("stays", "today", "old")]));
    assert_eq!((&answer["Count"], &answer["ScannedCount"]), (&json!(2), &json!(4)));
}
