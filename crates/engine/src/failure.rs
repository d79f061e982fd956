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

#[cfg(test)]
mod tests {
    use tailrace_store::{ShardNo, StoreErrorKind};

    use super::*;

    /// What the store says that its caller should do, and what a client gets: always what SDKs try again, since a client
    /// that does is right wherever the outcome is unknown, and harms nothing where it is not.
    #[test]
    fn every_failure_of_the_store_is_answered_with_what_sdks_try_again() {
        let text = || "/data/log/1.seg".to_owned();
        for (failure, kind, message) in [
            (
                StoreError::Full(text()),
                StoreErrorKind::Retryable,
                "the data directory has no room for more: /data/log/1.seg",
            ),
            (StoreError::InUse(text()), StoreErrorKind::Retryable, "/data/log/1.seg"),
            (StoreError::Io(text()), StoreErrorKind::OutcomeUnknown, "/data/log/1.seg"),
            (StoreError::NoSuchShard(ShardNo(7)), StoreErrorKind::Refused, "no such shard: 7"),
            (StoreError::Invalid(text()), StoreErrorKind::Refused, "invalid commit: /data/log/1.seg"),
            (StoreError::AlreadyCommitted, StoreErrorKind::Refused, "the commit was made before"),
            (StoreError::NoDataDirectory(text()), StoreErrorKind::Refused, "/data/log/1.seg"),
            (StoreError::NewerFormat(text()), StoreErrorKind::Refused, "/data/log/1.seg"),
            (StoreError::EarlierFormat(text()), StoreErrorKind::Refused, "/data/log/1.seg"),
            (StoreError::Corrupt(text()), StoreErrorKind::Corrupt, "corrupt data: /data/log/1.seg"),
            (StoreError::Closed, StoreErrorKind::Closed, "the store is shutting down"),
        ] {
            assert_eq!(failure.kind(), kind, "{failure:?}");
            let answer = store_failure(&failure);
            assert_eq!((answer.code, answer.code.http_status()), (ErrorCode::InternalServerError, 500), "{failure:?}");
            assert_eq!(answer.message.as_deref(), Some(message));
        }
    }
}
