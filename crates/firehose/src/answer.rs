//! The errors that clients read, in the service's words where they are known.

use tailrace_core::{ApiError, ErrorCode};

/// ResourceNotFoundException. Recorded.
pub fn not_found(name: &str, account: &str) -> ApiError {
    ApiError::not_found(format!("Firehose {name} under account {account} not found."))
}

/// ResourceInUseException. Recorded.
pub fn in_use(name: &str, account: &str) -> ApiError {
    let text = format!("Firehose {name} under accountId {account} already exists");
    ApiError::new(ErrorCode::ResourceInUseException, text)
}

/// InvalidArgumentException.
pub fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgumentException, text)
}

/// LimitExceededException.
pub fn limit(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::LimitExceededException, text)
}
