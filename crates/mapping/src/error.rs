//! Why a call on mappings failed: a kind for whoever called, and AWS's name and message where it has them.
//! Source: docs/spec/event-source-mapping.md 1, 2, 4.

use tailrace_core::{ErrorKind, StreamArn};
use tailrace_delivery::RedriveError;
use tailrace_store::StoreError;

/// Why a call on mappings failed. `Display` gives AWS's message where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// InvalidParameterValueException.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// ValidationException.
    #[error("{0}")]
    Validation(String),
    /// ResourceConflictException.
    #[error(
        "The event source arn (\" {source_arn} \") and function (\" {function} \") provided mapping already exists. \
         Please update or delete the existing mapping with UUID {uuid}"
    )]
    Conflict {
        /// The stream.
        source_arn: StreamArn,
        /// The function.
        function: String,
        /// The mapping that exists.
        uuid: String,
    },
    /// ResourceNotFoundException.
    #[error("The resource you requested does not exist.")]
    NotFound,
    /// ResourceInUseException.
    #[error("Cannot update the event source mapping because it is in use.")]
    InUse,
    /// A parked record is with its function already (ours).
    #[error("the record is being redriven already")]
    Redriving,
    /// The store cannot do it now.
    #[error("{0}")]
    Unavailable(String),
    /// ServiceException.
    #[error("{0}")]
    Internal(String),
}

impl MappingError {
    /// What the caller does, and the status of our own pages. Lambda's API answers [`MappingError::InUse`] with 400.
    pub fn kind(&self) -> ErrorKind {
        match self {
            MappingError::InvalidParameterValue(_) | MappingError::Validation(_) => ErrorKind::Invalid,
            MappingError::NotFound => ErrorKind::NotFound,
            MappingError::Conflict { .. } | MappingError::InUse | MappingError::Redriving => ErrorKind::Conflict,
            MappingError::Unavailable(_) => ErrorKind::Unavailable,
            MappingError::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<StoreError> for MappingError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            tailrace_store::StoreErrorKind::Retryable | tailrace_store::StoreErrorKind::Closed => {
                MappingError::Unavailable(error.to_string())
            }
            _ => MappingError::Internal(error.to_string()),
        }
    }
}

impl From<RedriveError> for MappingError {
    fn from(error: RedriveError) -> Self {
        match error {
            RedriveError::NotFound => MappingError::NotFound,
            RedriveError::InProgress => MappingError::Redriving,
            RedriveError::Store(error) => error.into(),
        }
    }
}

pub(crate) fn invalid<T>(message: impl Into<String>) -> Result<T, MappingError> {
    Err(MappingError::InvalidParameterValue(message.into()))
}

#[cfg(test)]
mod tests {
    use tailrace_core::Advice;

    use super::*;

    #[test]
    fn the_kind_says_status_and_what_to_do() {
        let conflict =
            MappingError::Conflict { source_arn: StreamArn::new("s"), function: "f".into(), uuid: "u".into() };
        let text = String::new;
        for (error, status, advice) in [
            (MappingError::Validation(text()), 400, Advice::Refuse),
            (MappingError::InvalidParameterValue(text()), 400, Advice::Refuse),
            (RedriveError::NotFound.into(), 404, Advice::Refuse),
            (conflict, 409, Advice::Refuse),
            (MappingError::InUse, 409, Advice::Refuse),
            (RedriveError::InProgress.into(), 409, Advice::Refuse),
            (StoreError::Full(text()).into(), 503, Advice::Retry),
            (StoreError::Closed.into(), 503, Advice::Retry),
            (StoreError::Corrupt(text()).into(), 500, Advice::Stop),
        ] {
            assert_eq!((error.kind().http_status(), error.kind().advice()), (status, advice), "{error:?}");
        }
    }
}
