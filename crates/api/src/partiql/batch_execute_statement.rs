//! BatchExecuteStatement. Source: docs/spec/dynamodb-api.md 7.3.

use serde::Serialize;
use tailrace_core::{ApiError, ErrorCode, Item, Json};

use super::PreparedStatement;
use super::prepared_statement::{read_all, return_item_on_failure};
use crate::items::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemsAnswer};
use crate::{Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct BatchExecuteStatementRequest {
    /// The statements, in the order of the request; at least one.
    pub statements: Vec<BatchStatement>,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// One statement.
#[derive(Clone, Debug, Default)]
pub struct BatchStatement {
    /// The statement.
    pub statement: PreparedStatement,
    /// `ConsistentRead`: every read is consistent; this one is charged as such.
    pub consistent_read: bool,
    /// A condition that does not hold brings the item.
    pub return_item_on_failure: bool,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchExecuteStatementAnswer {
    /// What became of each statement, in their order.
    pub responses: Vec<StatementResponse>,
    /// What the statements are charged, table by table, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// What became of one statement.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatementResponse {
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StatementFailure>,
    /// The table; a text that is no statement has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_name: Option<String>,
    /// What was read, or what the write returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<AnsweredItem>,
}

/// Why a statement was refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatementFailure {
    /// The class, in the words that are the batch's own.
    pub code: &'static str,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The current item, for a failed condition that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
}

impl From<ApiError> for StatementFailure {
    fn from(error: ApiError) -> StatementFailure {
        let code = match error.code {
            ErrorCode::ConditionalCheckFailedException => "ConditionalCheckFailed",
            ErrorCode::DuplicateItemException => "DuplicateItem",
            ErrorCode::ResourceNotFoundException => "ResourceNotFound",
            ErrorCode::TransactionConflictException => "TransactionConflict",
            ErrorCode::AccessDeniedException => "AccessDenied",
            ErrorCode::ProvisionedThroughputExceededException => "ProvisionedThroughputExceeded",
            ErrorCode::ThrottlingException => "ThrottlingError",
            ErrorCode::InternalServerError => "InternalServerError",
            _ => "ValidationError",
        };
        StatementFailure { code, message: error.message, item: error.item.map(|item| *item) }
    }
}

impl ItemsAnswer for BatchExecuteStatementAnswer {
    fn item_bytes(&self) -> usize {
        self.responses.iter().filter_map(|response| response.item.as_ref()).map(AnsweredItem::bytes).sum()
    }
}

impl BatchExecuteStatementRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, _reading: &Reading<'_>) -> Result<BatchExecuteStatementRequest, ApiError> {
        let capacity = CapacityDetail::of(&body);
        let statements = read_all(&mut body, "Statements", |mut body| {
            Ok(BatchStatement {
                statement: PreparedStatement::take(&mut body)?,
                consistent_read: member::boolean(&body, "ConsistentRead").unwrap_or(false),
                return_item_on_failure: return_item_on_failure(&body),
            })
        })?;
        Ok(BatchExecuteStatementRequest { statements, capacity })
    }
}
