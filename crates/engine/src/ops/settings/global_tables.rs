//! The operations on global tables of version 2017.11.29: there are none, and none can be made. Source: docs/spec/dynamodb-api.md 2.

use std::convert::Infallible;

use tailrace_api::tables::{GlobalTableRequest, ListGlobalTablesAnswer, ListGlobalTablesRequest};
use tailrace_core::{ApiError, ErrorCode};

use crate::caller::Caller;
use crate::db::Db;
use crate::tables::rules::invalid;

/// Runs CreateGlobalTable.
///
/// # Errors
/// Always: AWS makes none of this version any more.
pub async fn create_global_table(
    _db: &Db,
    _request: GlobalTableRequest,
    _caller: &Caller<'_>,
) -> Result<Infallible, ApiError> {
    Err(invalid(
        "DynamoDB global tables version 2017.11.29 is not supported. We recommend using DynamoDB global tables version \
         2019.11.21, instead of version 2017.11.29 (Legacy).",
    ))
}

/// Runs DescribeGlobalTable, UpdateGlobalTable, DescribeGlobalTableSettings and UpdateGlobalTableSettings.
///
/// # Errors
/// Always: there is no global table.
pub async fn find_global_table(
    _db: &Db,
    request: GlobalTableRequest,
    _caller: &Caller<'_>,
) -> Result<Infallible, ApiError> {
    let name = request.global_table_name;
    let text = format!("Global table not found: Global table with name: '{name}' does not exist.");
    Err(ApiError::new(ErrorCode::GlobalTableNotFoundException, text))
}

/// Runs ListGlobalTables.
///
/// # Errors
/// None.
pub async fn list_global_tables(
    _db: &Db,
    _request: ListGlobalTablesRequest,
    _caller: &Caller<'_>,
) -> Result<ListGlobalTablesAnswer, ApiError> {
    Ok(ListGlobalTablesAnswer::default())
}
