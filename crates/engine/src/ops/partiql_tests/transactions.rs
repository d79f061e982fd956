//! ExecuteTransaction. Source: docs/spec/dynamodb-api.md 7.2, 7.3.

use serde_json::{Value, json};
use tailrace_core::ApiError;

use crate::ops::item_tests::{Bench, n, s, ve};
use crate::table::ViewType;

impl Bench {
    async fn transaction(&self, texts: &[&str]) -> Result<Value, ApiError> {
        self.call("ExecuteTransaction", transaction(texts)).await
    }

    async fn refuses_transaction(&self, texts: &[&str], expected: &str) {
        assert_eq!(self.transaction(texts).await.unwrap_err().to_string(), expected, "{texts:?}");
    }

    /// It is cancelled for these reasons: code and text of each.
    async fn cancels(&self, texts: &[&str], reasons: &[(&str, Option<&str>)]) {
        let error = self.transaction(texts).await.unwrap_err();
        let found: Vec<(&str, Option<&str>)> =
            error.reasons.iter().map(|reason| (reason.code.name(), reason.message.as_deref())).collect();
        assert_eq!(found, reasons, "{texts:?}: {error}");
        let codes: Vec<&str> = reasons.iter().map(|(code, _)| *code).collect();
        assert!(error.to_string().ends_with(&format!("specific reasons [{}]", codes.join(", "))), "{error}");
    }
}

fn transaction(texts: &[&str]) -> Value {
    let statements: Vec<Value> = texts.iter().map(|text| json!({"Statement": text})).collect();
    json!({"TransactStatements": statements})
}

const NONE: (&str, Option<&str>) = ("None", None);
const FAILED: (&str, Option<&str>) = ("ConditionalCheckFailed", Some("The conditional request failed"));

#[tokio::test]
async fn reads_answer_in_their_order() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    let texts = [
        "SELECT * FROM users WHERE pk = 'none'",
        "SELECT n FROM users WHERE pk = 'a'",
        "SELECT * FROM texts WHERE pk = 'a' AND sk = 'b'",
    ];
    let answer = bench.transaction(&texts).await.unwrap();
    assert_eq!(answer, json!({"Responses": [{}, {"Item": {"n": n(1)}}, {}]}));
}

#[tokio::test]
async fn writes_are_all_made_or_none_is() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    let answer = bench
        .transaction(&[
            "INSERT INTO users VALUE {'pk': 'b'}",
            "UPDATE users SET n = n + 1 WHERE pk = 'a' AND n = 1",
            "DELETE FROM users WHERE pk = 'q'",
            "INSERT INTO texts VALUE {'pk': 'x', 'sk': 'y'}",
        ])
        .await
        .unwrap();
    assert_eq!(answer, json!({"Responses": []}));
    assert_eq!(bench.items("SELECT n FROM users WHERE pk = 'a'").await, json!([{"n": n(2)}]));
    assert_eq!(bench.records().await.len(), 3);
    let (insert, update) = ("INSERT INTO users VALUE {'pk': 'c'}", "UPDATE users SET n = 9 WHERE pk = 'a' AND n = 7");
    bench.cancels(&[insert, update], &[NONE, FAILED]).await;
    let duplicate = ("DuplicateItem", Some("Duplicate primary key exists in table"));
    bench.cancels(&["INSERT INTO users VALUE {'pk': 'b'}", update], &[duplicate, FAILED]).await;
    assert_eq!(bench.records().await.len(), 3);
}

#[tokio::test]
async fn exists_checks_an_item_without_changing_it() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    let insert = "INSERT INTO users VALUE {'pk': 'b'}";
    bench.cancels(&["EXISTS(SELECT * FROM users WHERE pk = 'a' AND n = 2)", insert], &[FAILED, NONE]).await;
    bench.cancels(&["EXISTS(SELECT * FROM users WHERE pk = 'q' AND n IS MISSING)"], &[FAILED]).await;
    bench.transaction(&["EXISTS(SELECT n FROM users WHERE pk = 'a' AND n = 1)", insert]).await.unwrap();
    assert_eq!(bench.items("SELECT pk FROM users WHERE pk = 'b'").await, json!([{"pk": s("b")}]));
    let condition = ve(
        "Validation failed in TransactStatements[0]: EXISTS() must contain a single item read with additional condition",
    );
    bench.refuses_transaction(&["EXISTS(SELECT * FROM users WHERE pk = 'a')"], &condition).await;
    bench.refuses_transaction(&["EXISTS(SELECT * FROM users WHERE n = 1)"], &condition).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_told_before_anything_is_done() {
    let bench = Bench::new().await;
    let read = "SELECT * FROM users WHERE pk = 'a'";
    let insert = "INSERT INTO users VALUE {'pk': 'a'}";
    let mixed = ve("ExecuteTransaction API does not support both read and write operations in the same request.");
    bench.refuses_transaction(&[read, insert], &mixed).await;
    bench.refuses_transaction(&[read, "EXISTS(SELECT * FROM users WHERE pk = 'a' AND n = 1)"], &mixed).await;
    let twice = ve("Transaction request cannot include multiple operations on one item");
    bench.refuses_transaction(&[read, read], &twice).await;
    bench.refuses_transaction(&[insert, "DELETE FROM users WHERE pk = 'a'"], &twice).await;
    bench.refuses_transaction(&["foo"], &ve("Unsupported operation: Id")).await;
    bench
        .refuses_transaction(
            &[read, "SELECT"],
            &ve("Statement wasn't well formed, can't be processed: Unexpected term"),
        )
        .await;
    bench
        .refuses_transaction(
            &["SELECT * FROM nope WHERE pk = 'a'"],
            "ResourceNotFoundException: Requested resource not found",
        )
        .await;
    let failed = |text: &str| ve(&format!("Validation failed in TransactStatements[0]: {text}"));
    let returning = failed("RETURNING clause is not supported in ExecuteTransaction.");
    bench.refuses_transaction(&["UPDATE users SET n = 9 WHERE pk = 'a' RETURNING ALL NEW *"], &returning).await;
    bench.refuses_transaction(&["DELETE FROM users WHERE pk = 'a' RETURNING ALL OLD *"], &returning).await;
    let index = failed("Reads on indices are not supported within transactions.");
    bench.refuses_transaction(&["SELECT * FROM users.i WHERE pk = 'a'"], &index).await;
    let key = failed("Select statements within ExecuteTransaction must specify the primary key in the where clause.");
    for rest in ["", "WHERE n = 1", "WHERE pk = 'a' AND n = 1", "WHERE pk = 'a' OR pk = 'b'", "WHERE pk IN ['a']"] {
        bench.refuses_transaction(&[&format!("SELECT * FROM users {rest}")], &key).await;
    }
    let parameters = failed("Number of parameters in request and statement don't match.");
    bench.refuses_transaction(&["UPDATE users SET n = ? WHERE pk = 'a'"], &parameters).await;
    let mandatory = failed("Where clause does not contain a mandatory equality on all key attributes");
    bench.refuses_transaction(&["UPDATE users SET n = 1"], &mandatory).await;
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string \
                 value. Key: pk";
    bench.refuses_transaction(&["INSERT INTO users VALUE {'pk': ''}"], &ve(empty)).await;
}

#[tokio::test]
async fn wrong_keys_and_targets_are_reasons() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "s": s("x")})).await;
    let other_type =
        ("ValidationError", Some("Key attribute's data type should match its data type in table's schema: Key pk"));
    let insert = "INSERT INTO users VALUE {'pk': 'b'}";
    bench.cancels(&[insert, "UPDATE users SET n = 1 WHERE pk = 1"], &[NONE, other_type]).await;
    bench.cancels(&["INSERT INTO users VALUE {'pk': 1}"], &[other_type]).await;
    bench.cancels(&["SELECT * FROM users WHERE pk = 1"], &[other_type]).await;
    let missing =
        ("ValidationError", Some("One or more parameter values were invalid: Missing the key pk in the item"));
    bench.cancels(&["INSERT INTO users VALUE {'n': 1}"], &[missing]).await;
    let key =
        "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key";
    bench.cancels(&["UPDATE users SET pk = 'b' WHERE pk = 'a'"], &[("ValidationError", Some(key))]).await;
    let operand = "An operand in the update expression has an incorrect data type";
    bench.cancels(&["UPDATE users SET n = s + 1 WHERE pk = 'a'"], &[("ValidationError", Some(operand))]).await;
}

#[tokio::test]
async fn a_token_makes_a_transaction_once_and_is_not_that_of_another_operation() {
    let bench = Bench::new().await;
    let with = |text: &str| {
        let mut body = transaction(&[text]);
        body["ClientRequestToken"] = json!("token");
        body
    };
    let insert = with("INSERT INTO users VALUE {'pk': 'a'}");
    for _ in 0..2 {
        assert_eq!(bench.ok("ExecuteTransaction", insert.clone()).await, json!({"Responses": []}));
    }
    let other = bench.call("ExecuteTransaction", with("INSERT INTO users VALUE {'pk': 'b'}")).await.unwrap_err();
    assert!(other.to_string().starts_with("IdempotentParameterMismatchException"), "{other}");
    let put = json!({"ClientRequestToken": "token", "TransactItems": [{"Put": {"TableName": "users", "Item": {"pk": s("c")}}}]});
    bench.ok("TransactWriteItems", put).await;
    assert_eq!(bench.items("SELECT * FROM users").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn statements_of_a_transaction_are_charged_twice() {
    let bench = Bench::new().await;
    let mut body = transaction(&["INSERT INTO users VALUE {'pk': 'a'}"]);
    body["ReturnConsumedCapacity"] = json!("TOTAL");
    let answer = bench.ok("ExecuteTransaction", body).await;
    assert_eq!(answer["ConsumedCapacity"][0]["CapacityUnits"], json!(2.0));
    let mut body = transaction(&["SELECT * FROM users WHERE pk = 'a'"]);
    body["ReturnConsumedCapacity"] = json!("TOTAL");
    let answer = bench.ok("ExecuteTransaction", body).await;
    assert_eq!(answer["ConsumedCapacity"][0]["ReadCapacityUnits"], json!(2.0));
}

#[tokio::test]
async fn a_transaction_of_statements_is_as_large_as_one_of_actions() {
    let bench = Bench::new().await;
    let insert = |pk: usize, bytes: usize| json!({"Statement": format!("INSERT INTO users VALUE {{'pk': '{pk}', 't': ?}}"), "Parameters": [s(&"x".repeat(bytes))]});
    let inserts = |count: usize, bytes: usize| json!({"TransactStatements": (0..count).map(|pk| insert(pk, bytes)).collect::<Vec<Value>>()});
    let too_large = "Collection size of items exceeded, which can also be caused by the aggregate size of the items in the \
                     transaction exceeding the 4MB limit";
    bench.refused("ExecuteTransaction", inserts(11, 390_000), &ve(too_large)).await;
    bench.ok("ExecuteTransaction", inserts(10, 390_000)).await;
    let error = bench.call("ExecuteTransaction", inserts(1, 420_000)).await.unwrap_err();
    let text = "Item size has exceeded the maximum allowed size";
    assert_eq!((error.reasons[0].code.name(), error.reasons[0].message.as_deref()), ("ValidationError", Some(text)));
}
