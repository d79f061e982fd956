//! ClientRequestToken: a transaction is made once. docs/spec/dynamodb-api.md 7.2.

use tailrace_core::limits::REQUEST_TOKEN_LIFE;
use tailrace_store::keyspace::KeyKind;
use tailrace_store::{Page, PageLimit};

use super::*;
use crate::background::marks::Marks;
use crate::background::{Progress, Task};

fn add(token: &str, number: &str) -> Value {
    json!({"ClientRequestToken": token, "ReturnConsumedCapacity": "TOTAL", "TransactItems": [
        {"Update": {"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": "ADD n :n",
            "ExpressionAttributeValues": {":n": {"N": number}}}}]})
}

const MISMATCH: &str = "IdempotentParameterMismatchException";

impl Bench {
    async fn n(&self) -> Value {
        self.ok("GetItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await["Item"]["n"].take()
    }

    async fn rows(&self, kind: KeyKind) -> usize {
        let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        let Page { rows, .. } = self.store.page(kind.range(), limit).await.unwrap();
        rows.len()
    }
}

#[tokio::test]
async fn a_transaction_with_a_token_is_made_once_and_told_as_reads_then() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    let capacity =
        |member: &str| json!({"ConsumedCapacity": [{"TableName": "users", "CapacityUnits": 2.0, member: 2.0}]});
    assert_eq!(bench.ok("TransactWriteItems", add("t", "1")).await, capacity("WriteCapacityUnits"));
    for _ in 0..2 {
        assert_eq!(bench.ok("TransactWriteItems", add("t", "1")).await, capacity("ReadCapacityUnits"));
    }
    assert_eq!(bench.n().await, n(1));
    assert_eq!(bench.records().await.len(), 1);
    bench.ok("TransactWriteItems", add("u", "1")).await;
    assert_eq!(bench.n().await, n(2));
}

#[tokio::test]
async fn what_is_compared_is_what_the_request_means() {
    let bench = Bench::new().await;
    bench.ok("TransactWriteItems", add("t", "1")).await;
    // Another order of members, another spelling of the number, another wish for capacity.
    let same = r#"{"TransactItems":[{"Update":{"ExpressionAttributeValues":{":n":{"N":"1.0"}},
        "UpdateExpression":"ADD n :n","TableName":"users","Key":{"pk":{"S":"a"}}}}],"ClientRequestToken":"t"}"#;
    bench.ok("TransactWriteItems", serde_json::from_str(same).unwrap()).await;
    bench.refused("TransactWriteItems", add("t", "2"), MISMATCH).await;
    let condition = |value: &str| {
        json!({"ClientRequestToken": "c", "TransactItems": [{"Put": {"TableName": "users",
        "Item": {"pk": s("b")}, "ConditionExpression": "#a <> :v", "ExpressionAttributeNames": {"#a": value},
        "ExpressionAttributeValues": {":v": s("x")}}}]})
    };
    bench.ok("TransactWriteItems", condition("a")).await;
    bench.ok("TransactWriteItems", condition("a")).await;
    bench.refused("TransactWriteItems", condition("b"), MISMATCH).await;
    assert_eq!(bench.n().await, n(1));
}

/// What is wrong with the request itself is named before its token, and what is wrong with an action behind it.
#[tokio::test]
async fn a_token_of_another_request_is_named_before_a_wrong_key() {
    let bench = Bench::new().await;
    let delete = |token: &str, key: Value| {
        let actions = json!([{"Delete": {"TableName": "users", "Key": key}}]);
        json!({"ClientRequestToken": token, "TransactItems": actions})
    };
    let cancelled = "TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific \
        reasons [ValidationError]";
    bench.ok("TransactWriteItems", delete("t", json!({"pk": s("a")}))).await;
    bench.refused("TransactWriteItems", delete("t", json!({"pk": n(1)})), MISMATCH).await;
    bench.refused("TransactWriteItems", delete("u", json!({"pk": n(1)})), cancelled).await;
    // Nothing is kept of what was cancelled.
    bench.ok("TransactWriteItems", delete("u", json!({"pk": s("a")}))).await;
    let empty = "ValidationException: One or more parameter values are not valid. The AttributeValue for a key attribute \
        cannot contain an empty string value. Key: pk";
    bench.refused("TransactWriteItems", delete("t", json!({"pk": s("")})), empty).await;
}

#[tokio::test]
async fn a_transaction_that_was_cancelled_can_be_tried_again() {
    let bench = Bench::new().await;
    let put = json!({"ClientRequestToken": "t", "TransactItems": [{"Put": {"TableName": "users", "Item": {"pk": s("a")},
        "ConditionExpression": "attribute_not_exists(pk)"}}]});
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    assert!(bench.call("TransactWriteItems", put.clone()).await.unwrap_err().reasons.len() == 1);
    assert_eq!(bench.rows(KeyKind::Idempotency).await, 0);
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    bench.ok("TransactWriteItems", put.clone()).await;
    bench.ok("TransactWriteItems", put).await;
}

#[tokio::test]
async fn of_two_at_once_one_is_made() {
    let bench = Bench::new().await;
    let calls = (0..20).map(|_| bench.call("TransactWriteItems", add("t", "1")));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(bench.n().await, n(1));
}

#[tokio::test]
async fn a_token_counts_ten_minutes_and_its_rows_go() {
    let bench = Bench::new().await;
    let rows = || async { (bench.rows(KeyKind::Idempotency).await, bench.rows(KeyKind::IdempotencyExpiry).await) };
    let sweep = || async {
        let tick = Marks.tick(&bench.db, bench.db.clock().now()).await;
        assert!(tick.failures.is_empty() && tick.progress == Progress::Done, "{tick:?}");
    };
    bench.ok("TransactWriteItems", add("t", "1")).await;
    bench.clock.advance(REQUEST_TOKEN_LIFE.as_millis() as u64 - 1);
    sweep().await;
    bench.ok("TransactWriteItems", add("t", "1")).await;
    assert_eq!((bench.n().await, rows().await), (n(1), (1, 1)));
    bench.clock.advance(1);
    // Made again before anyone has removed the first mark: it is another one, and ends later.
    bench.ok("TransactWriteItems", add("t", "1")).await;
    assert_eq!((bench.n().await, rows().await), (n(2), (1, 2)));
    sweep().await;
    assert_eq!(rows().await, (1, 1));
    bench.ok("TransactWriteItems", add("t", "1")).await;
    assert_eq!(bench.n().await, n(2));
    bench.clock.advance(REQUEST_TOKEN_LIFE.as_millis() as u64);
    sweep().await;
    assert_eq!(rows().await, (0, 0));
}

#[tokio::test]
async fn marks_that_have_ended_go_in_bounded_ticks() {
    let bench = Bench::new().await;
    for token in 0..tailrace_core::limits::MARKS_PER_TICK + 1 {
        bench.ok("TransactWriteItems", add(&token.to_string(), "1")).await;
    }
    bench.clock.advance(REQUEST_TOKEN_LIFE.as_millis() as u64);
    let now_ms = bench.db.clock().now();
    assert!(matches!(Marks.tick(&bench.db, now_ms).await.progress, Progress::More(_)));
    assert_eq!(bench.rows(KeyKind::Idempotency).await, 1);
    assert_eq!(Marks.tick(&bench.db, now_ms).await.progress, Progress::Done);
    assert_eq!(bench.rows(KeyKind::IdempotencyExpiry).await, 0);
}
