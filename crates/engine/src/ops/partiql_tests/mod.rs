//! The operations on PartiQL statements, JSON in and JSON out, over the in-memory engine and the tables of `item_tests`.

mod batches;
mod indexes;
mod model;
mod pages;
mod reads;
mod transactions;
mod writes;

use serde_json::{Value, json};
use tailrace_core::ApiError;

use super::item_tests::Bench;

impl Bench {
    /// Runs a statement.
    async fn statement(&self, text: &str) -> Result<Value, ApiError> {
        self.call("ExecuteStatement", json!({"Statement": text})).await
    }

    /// The items that a statement answers.
    async fn items(&self, text: &str) -> Value {
        self.statement(text).await.unwrap_or_else(|error| panic!("{text}: {error}"))["Items"].clone()
    }

    /// The statement is refused with this error: `Class: text`.
    async fn refuses(&self, text: &str, expected: &str) {
        match self.statement(text).await {
            Ok(answer) => panic!("{text} answered {answer}, not {expected}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
        }
    }
}

/// The values of one attribute of items, without their types.
fn column(items: &Value, name: &str) -> Vec<String> {
    let items = items.as_array().unwrap();
    let text = |item: &Value| item[name].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    items.iter().map(text).collect()
}
