//! ListBackups, ListExports and ListImports: nothing makes any, so there are none. Source: docs/spec/dynamodb-api.md 8.6.

use tailrace_api::tables::{
    ListBackupsAnswer, ListBackupsRequest, ListExportsAnswer, ListExportsRequest, ListImportsAnswer, ListImportsRequest,
};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;

/// Runs ListBackups.
///
/// # Errors
/// None.
pub async fn list_backups(
    _db: &Db,
    _request: ListBackupsRequest,
    _caller: &Caller<'_>,
) -> Result<ListBackupsAnswer, ApiError> {
    Ok(ListBackupsAnswer::default())
}

/// Runs ListExports.
///
/// # Errors
/// None.
pub async fn list_exports(
    _db: &Db,
    _request: ListExportsRequest,
    _caller: &Caller<'_>,
) -> Result<ListExportsAnswer, ApiError> {
    Ok(ListExportsAnswer::default())
}

/// Runs ListImports.
///
/// # Errors
/// None.
pub async fn list_imports(
    _db: &Db,
    _request: ListImportsRequest,
    _caller: &Caller<'_>,
) -> Result<ListImportsAnswer, ApiError> {
    Ok(ListImportsAnswer::default())
}
