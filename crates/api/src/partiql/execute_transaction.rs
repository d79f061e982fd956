//! ExecuteTransaction. Source: docs/spec/dynamodb-api.md 7.2, 7.3.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use super::PreparedStatement;
use super::prepared_statement::{read_all, return_item_on_failure};
use crate::items::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemResponse, ItemsAnswer};
use crate::{Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct ExecuteTransactionRequest {
    /// The statements, in the order of the request; at least one.
    pub statements: Vec<TransactStatement>,
    /// `ClientRequestToken`: the transaction is made once.
    pub token: Option<String>,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// One statement.
#[derive(Clone, Debug, Default)]
pub struct TransactStatement {
    /// The statement.
    pub statement: PreparedStatement,
    /// A condition that does not hold brings the item.
    pub return_item_on_failure: bool,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExecuteTransactionAnswer {
    /// One for each read, in their order; none of writes.
    pub responses: Vec<ItemResponse>,
    /// What the statements are charged, table by table, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

impl ItemsAnswer for ExecuteTransactionAnswer {
    fn item_bytes(&self) -> usize {
        self.responses.iter().filter_map(|response| response.item.as_ref()).map(AnsweredItem::bytes).sum()
    }
}

impl ExecuteTransactionRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, _reading: &Reading<'_>) -> Result<ExecuteTransactionRequest, ApiError> {
        let token = member::text(&body, "ClientRequestToken").map(str::to_owned);
        let capacity = CapacityDetail::of(&body);
        let statements = read_all(&mut body, "TransactStatements", |mut body| {
            Ok(TransactStatement {
                statement: PreparedStatement::take(&mut body)?,
                return_item_on_failure: return_item_on_failure(&body),
            })
        })?;
        Ok(ExecuteTransactionRequest { statements, token, capacity })
    }
}
