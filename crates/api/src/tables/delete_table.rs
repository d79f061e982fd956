//! DeleteTable. Source: docs/spec/dynamodb-api.md 2.2, 2.4.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use super::table_description::TableDescription;
use crate::Reading;

/// The request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteTableRequest {
    /// The table's name.
    pub table_name: String,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteTableAnswer {
    /// The table as it was, without what defines it.
    pub table_description: TableDescription,
}

impl DeleteTableRequest {
    /// A request for the table of this name.
    pub fn of(table_name: impl Into<String>) -> DeleteTableRequest {
        DeleteTableRequest { table_name: table_name.into() }
    }

    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<DeleteTableRequest, ApiError> {
        Ok(DeleteTableRequest { table_name: reading.take_table_name(&mut body)? })
    }
}
