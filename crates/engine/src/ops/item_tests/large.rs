//! Items of many attributes: whatever is done to them, nobody is held up by it.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use tailrace_core::limits::PLAN_INLINE_BYTES_MAX;

use super::*;

/// An item of some 300 KB in small attributes.
fn large(pk: &str) -> Value {
    let mut item = json!({"pk": s(pk), "n": n(0)});
    for i in 0..20_000 {
        item[format!("a{i:05}")] = n(i);
    }
    item
}

fn add(pk: &str) -> Value {
    json!({"TableName": "users", "Key": {"pk": s(pk)}, "UpdateExpression": "ADD n :one", "ReturnValues": "UPDATED_NEW",
        "ConditionExpression": "n >= :zero", "ExpressionAttributeValues": {":one": n(1), ":zero": n(0)}})
}

#[tokio::test]
async fn a_large_item_is_changed_away_from_the_latches_and_by_all_who_change_it() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    bench.put("users", large("a")).await;
    let adds = join_all((0..5).map(|_| bench.call("UpdateItem", add("a")))).await;
    let mut sums: Vec<Value> = adds.into_iter().map(|answer| answer.unwrap()["Attributes"]["n"].clone()).collect();
    sums.sort_by_key(Value::to_string);
    assert_eq!(sums, (1..=5).map(n).collect::<Vec<_>>());
    assert_eq!(bench.records().await.len(), 6);
    let mut refused = add("a");
    refused["ConditionExpression"] = json!("n < :zero");
    let failed = "ConditionalCheckFailedException: The conditional request failed";
    bench.refused("UpdateItem", refused, failed).await;
    let put = json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionExpression": "attribute_not_exists(pk)"});
    bench.refused("PutItem", put, failed).await;
    let most = bench.db.planned_bytes_max.load(Ordering::Relaxed);
    assert!(most <= PLAN_INLINE_BYTES_MAX, "an item of {most} bytes was looked into under its latch");
}

#[tokio::test]
async fn small_items_are_changed_where_they_are() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "n": n(0)})).await;
    bench.ok("UpdateItem", add("a")).await;
    assert_ne!(bench.db.planned_bytes_max.load(Ordering::Relaxed), 0);
}
