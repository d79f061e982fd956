//! ListTables. Source: docs/spec/dynamodb-api.md 2.4.

use serde::Serialize;
use tailrace_core::limits::LIST_PAGE_MAX;
use tailrace_core::{ApiError, Json};

use crate::{Reading, member};

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTablesRequest {
    /// The page begins behind this name, whether or not there is such a table.
    pub exclusive_start_table_name: Option<String>,
    /// Names of a page, at most.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTablesAnswer {
    /// The names, in the order of their bytes.
    pub table_names: Vec<String>,
    /// The last one, if more remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_table_name: Option<String>,
}

impl Default for ListTablesRequest {
    fn default() -> Self {
        Self { exclusive_start_table_name: None, limit: LIST_PAGE_MAX }
    }
}

impl ListTablesRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<ListTablesRequest, ApiError> {
        Ok(ListTablesRequest {
            exclusive_start_table_name: member::text(&body, "ExclusiveStartTableName").map(str::to_owned),
            limit: member::limit(&body, LIST_PAGE_MAX),
        })
    }
}
