//! The operations on global tables of version 2017.11.29, of which there are none. Source: docs/spec/dynamodb-api.md 2.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use crate::{Reading, member};

/// A request about a global table, whatever it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalTableRequest {
    /// The global table's name.
    pub global_table_name: String,
}

/// A request for a page of global tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListGlobalTablesRequest;

/// A page of global tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListGlobalTablesAnswer {
    /// Always none.
    pub global_tables: [(); 0],
}

impl GlobalTableRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A name of a wrong length.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<GlobalTableRequest, ApiError> {
        let name = member::text(&body, "GlobalTableName").unwrap_or_default();
        if !(3..=255).contains(&name.len()) {
            let text = "TableName must be at least 3 characters long and at most 255 characters long";
            return Err(ApiError::validation(text));
        }
        Ok(GlobalTableRequest { global_table_name: name.to_owned() })
    }
}

impl ListGlobalTablesRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(_body: Json, _reading: &Reading<'_>) -> Result<ListGlobalTablesRequest, ApiError> {
        Ok(ListGlobalTablesRequest)
    }
}
