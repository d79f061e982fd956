//! Writes that are made once.

use bytes::Bytes;
use tailrace_core::codec::encode_stored;
use tailrace_core::{AttributeValue, Item};
use tailrace_store::keyspace::IdempotencyScope;

use super::*;
use crate::IdempotencyMark;
use crate::items::commit::commit_change;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change};

fn mark(token: &'static str) -> IdempotencyMark {
    let token = Bytes::from_static(token.as_bytes());
    IdempotencyMark { scope: IdempotencyScope::PlayedLine, token, request: [1; 32], expires_ms: None }
}

impl Bench {
    async fn once(&self, operation: &str, body: &Value, token: &'static str) -> Result<(), ApiError> {
        let request = ops::read_write(&self.db, operation, body.to_string().as_bytes())?;
        ops::write_once(&self.db, &request, &mark(token), &Caller::default()).await
    }
}

#[tokio::test]
async fn a_write_with_a_mark_is_made_once() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    let add = json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": n(1)}});
    for token in ["one", "one", "two"] {
        bench.once("UpdateItem", &add, token).await.unwrap();
    }
    let item = bench.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    assert_eq!(item["Item"]["n"], n(2));
    assert_eq!(bench.records().await.len(), 2);
}

#[tokio::test]
async fn what_was_refused_is_refused_again_and_what_could_not_be_tried_is_tried() {
    let bench = Bench::new().await;
    let put = json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionExpression": "attribute_not_exists(pk)"});
    bench.put("users", json!({"pk": s("a")})).await;
    let failed = "ConditionalCheckFailedException: The conditional request failed";
    assert_eq!(bench.once("PutItem", &put, "put").await.unwrap_err().to_string(), failed);
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    assert_eq!(bench.once("PutItem", &put, "put").await.unwrap_err().to_string(), failed);
    let elsewhere = json!({"TableName": "later", "Item": {"pk": s("a")}});
    assert!(bench.once("PutItem", &elsewhere, "later").await.is_err());
    bench.put_table("later", 9, None, None).await;
    bench.once("PutItem", &elsewhere, "later").await.unwrap();
}

#[tokio::test]
async fn a_batch_that_was_cut_off_goes_on_where_it_was() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    let [a, b] = ["a", "b"].map(|pk| json!({"PutRequest": {"Item": {"pk": s(pk)}}}));
    let batch = json!({"RequestItems": {"users": [a, b]}});
    // The first of the two was written when the server died, and a function has changed it since.
    let table = bench.db.table("users").await.unwrap();
    let item = Item::from([("pk".to_owned(), AttributeValue::S("a".to_owned()))]);
    let change = Change {
        table: 0,
        place: ItemPlace::of_item(&table, &item).unwrap(),
        attributes: &item,
        action: Action::Put(encode_stored(&item).into()),
        condition: None,
        return_item_on_failure: false,
    };
    let part = mark("batch").part(0);
    commit_change(&bench.db, &table, change, Some(&part), &Caller::default()).await.unwrap().unwrap();
    bench.put("users", json!({"pk": s("a"), "note": n(1)})).await;

    for _ in 0..2 {
        bench.once("BatchWriteItem", &batch, "batch").await.unwrap();
    }
    let note = bench.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    assert_eq!(note["Item"]["note"], n(1));
    assert_eq!(bench.records().await.len(), 3);
    // The line's mark stands for those of its parts.
    let keys = [part.key(), mark("batch").part(1).key(), mark("batch").key()];
    let rows = bench.store.get(&keys).await.unwrap();
    assert_eq!(rows.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
}
