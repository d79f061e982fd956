//! BatchExecuteStatement. Source: docs/spec/dynamodb-api.md 7.3.

use serde_json::{Value, json};

use crate::ops::item_tests::{Bench, n, s, ve};

impl Bench {
    async fn batch(&self, texts: &[&str]) -> Result<Value, tailrace_core::ApiError> {
        let statements: Vec<Value> = texts.iter().map(|text| json!({"Statement": text})).collect();
        self.call("BatchExecuteStatement", json!({"Statements": statements})).await
    }

    async fn refuses_batch(&self, texts: &[&str], expected: &str) {
        assert_eq!(self.batch(texts).await.unwrap_err().to_string(), expected, "{texts:?}");
    }
}

fn error(table: Option<&str>, code: &str, message: &str) -> Value {
    let mut answer = json!({"Error": {"Code": code, "Message": message}});
    if let Some(table) = table {
        answer["TableName"] = json!(table);
    }
    answer
}

#[tokio::test]
async fn each_statement_has_an_answer_of_its_own() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    let answer = bench
        .batch(&[
            "INSERT INTO users VALUE {'pk': 'b'}",
            "INSERT INTO users VALUE {'pk': 'a'}",
            "UPDATE users SET n = 1 WHERE pk = 'none'",
            "DELETE FROM users WHERE pk = 'q'",
            "UPDATE users SET n = 2 WHERE n = 1",
            "UPDATE nope SET n = 1 WHERE pk = 'a'",
            "UPDATE users",
            "UPDATE users SET n = ? WHERE pk = 'c'",
            "EXISTS(SELECT * FROM users WHERE pk = 'a')",
        ])
        .await
        .unwrap();
    let users = Some("users");
    assert_eq!(
        answer,
        json!({"Responses": [
            {"TableName": "users"},
            error(users, "DuplicateItem", "Duplicate primary key exists in table"),
            error(users, "ConditionalCheckFailed", "The conditional request failed"),
            {"TableName": "users"},
            error(users, "ValidationError", "Where clause does not contain a mandatory equality on all key attributes"),
            error(Some("nope"), "ResourceNotFound", "Requested resource not found"),
            error(None, "ValidationError", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
            error(users, "ValidationError", "Number of parameters in request and statement don't match."),
            error(users, "ValidationError", "EXISTS can only be used in ExecuteTransaction write requests."),
        ]})
    );
    let answer = bench
        .batch(&[
            "SELECT n FROM users WHERE pk = 'a'",
            "SELECT n FROM users WHERE pk = 'none'",
            "SELECT n FROM users WHERE pk = 'c' AND n = 1",
            "SELECT n FROM users WHERE pk = 1",
            "foo",
        ])
        .await
        .unwrap();
    let primary_key =
        "Select statements within BatchExecuteStatement must specify the primary key in the where clause.";
    let other_type = "Key attribute's data type should match its data type in table's schema: Key pk";
    assert_eq!(
        answer,
        json!({"Responses": [
            {"TableName": "users", "Item": {"n": n(1)}},
            {"TableName": "users"},
            error(users, "ValidationError", primary_key),
            error(users, "ValidationError", other_type),
            error(None, "ValidationError", "Unsupported operation: Id"),
        ]})
    );
}

#[tokio::test]
async fn a_batch_is_refused_as_a_whole_for_what_its_statements_are_together() {
    let bench = Bench::new().await;
    let (read, write) = ("SELECT * FROM users WHERE pk = 'a'", "INSERT INTO users VALUE {'pk': 'a'}");
    let mixed = ve("Read and write requests together in the same batch is not supported.");
    bench.refuses_batch(&[read, write], &mixed).await;
    let twice = ve("Provided list of item keys contains duplicates");
    bench.refuses_batch(&[read, read], &twice).await;
    bench.refuses_batch(&[write, "DELETE FROM users WHERE pk = 'a'"], &twice).await;
    assert_eq!(bench.items("SELECT * FROM users").await, json!([]));
    let text = bench.batch(&[read; 26]).await.unwrap_err().to_string();
    assert!(text.ends_with("Member must have length less than or equal to 25"), "{text}");
    let empty = "1 validation error detected: Value '[]' at 'statements' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1";
    bench.refuses_batch(&[], &ve(empty)).await;
    let null = "1 validation error detected: Value null at 'statements.1.member.statement' failed to satisfy constraint: \
                Member must not be null";
    bench.refused("BatchExecuteStatement", json!({"Statements": [{}]}), &ve(null)).await;
}

#[tokio::test]
async fn a_batch_returns_items_and_is_charged_table_by_table() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "n": n(1)})).await;
    let body = json!({"ReturnConsumedCapacity": "TOTAL", "Statements": [
        {"Statement": "UPDATE users SET n = 2 WHERE pk = 'a' RETURNING ALL NEW *"},
        {"Statement": "UPDATE users SET n = 2 WHERE pk = 'b'"},
        {"Statement": "INSERT INTO texts VALUE {'pk': ?, 'sk': 'x'}", "Parameters": [s("p")]},
    ]});
    let answer = bench.ok("BatchExecuteStatement", body).await;
    assert_eq!(answer["Responses"][0], json!({"TableName": "users", "Item": {"pk": s("a"), "n": n(2)}}));
    let expected = json!([
        {"TableName": "texts", "CapacityUnits": 1.0},
        {"TableName": "users", "CapacityUnits": 2.0},
    ]);
    assert_eq!(answer["ConsumedCapacity"], expected);
    let body = json!({"Statements": [{
        "Statement": "DELETE FROM users WHERE pk = 'a' AND n = 9", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }]});
    let answer = bench.ok("BatchExecuteStatement", body).await;
    assert_eq!(answer["Responses"][0]["Error"]["Item"], json!({"pk": s("a"), "n": n(2)}));
}

/// docs/spec/dynamodb-api.md 7.4: what a condition was not true of is charged by its size, whether it is shown or not.
#[tokio::test]
async fn a_statement_of_a_batch_that_fails_is_charged_by_the_item_that_it_met() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "n": n(1), "fat": s(&"x".repeat(4500))})).await;
    for shown in ["ALL_OLD", "NONE"] {
        for statement in ["UPDATE users SET n = 2 WHERE pk = 'a' AND n = 9", "INSERT INTO users VALUE {'pk': 'a'}"] {
            let body = json!({"ReturnConsumedCapacity": "TOTAL", "Statements": [
                {"Statement": statement, "ReturnValuesOnConditionCheckFailure": shown},
            ]});
            let answer = bench.ok("BatchExecuteStatement", body).await;
            let charged = json!([{"TableName": "users", "CapacityUnits": 5.0}]);
            assert_eq!(answer["ConsumedCapacity"], charged, "{statement}, {shown}");
            let error = &answer["Responses"][0]["Error"];
            assert_eq!(error.get("Item").is_some(), shown == "ALL_OLD", "{statement}");
        }
    }
}

/// A statement may have the table's ARN; the answer names the table, and it is charged once.
#[tokio::test]
async fn a_batch_names_tables_by_their_names() {
    let bench = Bench::new().await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/users";
    let body = json!({"ReturnConsumedCapacity": "TOTAL", "Statements": [
        {"Statement": format!("UPDATE \"{arn}\" SET n = 2 WHERE pk = 'a'")},
        {"Statement": "INSERT INTO users VALUE {'pk': 'b'}"},
    ]});
    let answer = bench.ok("BatchExecuteStatement", body).await;
    let names: Vec<&Value> =
        answer["Responses"].as_array().unwrap().iter().map(|answer| &answer["TableName"]).collect();
    assert_eq!(names, ["users", "users"]);
    assert_eq!(answer["ConsumedCapacity"], json!([{"TableName": "users", "CapacityUnits": 2.0}]));
}
