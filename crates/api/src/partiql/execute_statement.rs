//! ExecuteStatement. Source: docs/spec/dynamodb-api.md 7.3.

use serde::Serialize;
use tailrace_core::{ApiError, Item, Json};

use super::PreparedStatement;
use super::prepared_statement::return_item_on_failure;
use crate::items::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemsAnswer};
use crate::{Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct ExecuteStatementRequest {
    /// The statement.
    pub statement: PreparedStatement,
    /// `ConsistentRead`: every read is consistent; this one is charged as such.
    pub consistent_read: bool,
    /// `Limit`: most rows that are read.
    pub limit: Option<usize>,
    /// `NextToken`: where the page begins.
    pub next_token: Option<String>,
    /// A condition that does not hold brings the item.
    pub return_item_on_failure: bool,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExecuteStatementAnswer {
    /// What was read, or what a write returns.
    pub items: Vec<AnsweredItem>,
    /// Where the next page begins; none: there is nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// The key of the last row that was read, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_key: Option<Item>,
    /// What the statement is charged, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<ConsumedCapacity>,
}

impl ItemsAnswer for ExecuteStatementAnswer {
    fn item_bytes(&self) -> usize {
        self.items.iter().map(AnsweredItem::bytes).sum()
    }
}

impl ExecuteStatementRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, _reading: &Reading<'_>) -> Result<ExecuteStatementRequest, ApiError> {
        Ok(ExecuteStatementRequest {
            statement: PreparedStatement::take(&mut body)?,
            consistent_read: member::boolean(&body, "ConsistentRead").unwrap_or(false),
            limit: member::integer(&body, "Limit").and_then(|limit| usize::try_from(limit).ok()),
            next_token: member::text(&body, "NextToken").map(str::to_owned),
            return_item_on_failure: return_item_on_failure(&body),
            capacity: CapacityDetail::of(&body),
        })
    }
}
