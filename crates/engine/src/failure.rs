//! What a client reads when the store fails.

use tailrace_core::{ApiError, ErrorCode};
use tailrace_store::StoreError;

/// The error answer for a failure of the store: HTTP 500, so that SDKs try again; the text says what an operator can do.
pub fn store_failure(failure: &StoreError) -> ApiError {
    tracing::error!(error = %failure, "the store failed");
    ApiError::new(ErrorCode::InternalServerError, failure.to_string())
}

/// The error answer for a row that is not what this code wrote.
pub(crate) fn corrupt_row(what: &str) -> ApiError {
    tracing::error!(what, "corrupt data");
    ApiError::new(ErrorCode::InternalServerError, format!("corrupt data: {what}"))
}
