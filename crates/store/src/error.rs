//! Why the store could not do what it was asked. The kind says what the caller does about it.

use crate::engine::ShardNo;

/// Why the store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk: nothing was written, reads go on, and writes work again once there is room.
    #[error("the data directory has no room for more: {0}")]
    Full(String),
    /// What was read is not what was written; the message names file, offset and what was expected.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// The operating system refused; the message names the file.
    #[error("{0}")]
    Io(String),
    /// The directory is no data directory; the message names it.
    #[error("{0}")]
    NoDataDirectory(String),
    /// Another process has the data directory; the message names it.
    #[error("{0}")]
    InUse(String),
    /// A newer version wrote a file; the message names it. Nothing was changed.
    #[error("{0}")]
    NewerFormat(String),
    /// An older version wrote the data directory, and this one does not read it; the message names it. Nothing was changed.
    #[error("{0}")]
    EarlierFormat(String),
    /// There is no such shard (any more).
    #[error("no such shard: {}", .0.0)]
    NoSuchShard(ShardNo),
    /// A commit broke the contract of `Write` (for example appended to a stream that is not open).
    #[error("invalid commit: {0}")]
    Invalid(String),
    /// The commit of this id was made before; it is not made again.
    #[error("the commit was made before")]
    AlreadyCommitted,
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

/// What a caller does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Nothing was done; the same call may succeed later.
    Retryable,
    /// A commit may or may not have been made: [`Engine::outcome`](crate::Engine::outcome) knows, if it has an id.
    OutcomeUnknown,
    /// The call can never succeed as it is.
    Refused,
    /// Stored data is damaged: nothing goes on before an operator has looked.
    Corrupt,
    /// The engine ends; of a commit under way the outcome is unknown.
    Closed,
}

impl StoreError {
    /// What the caller does about it.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            StoreError::Full(_) => StoreErrorKind::Retryable,
            StoreError::Io(_) => StoreErrorKind::OutcomeUnknown,
            StoreError::InUse(_) => StoreErrorKind::Retryable,
            StoreError::NoSuchShard(_)
            | StoreError::Invalid(_)
            | StoreError::AlreadyCommitted
            | StoreError::NoDataDirectory(_)
            | StoreError::NewerFormat(_)
            | StoreError::EarlierFormat(_) => StoreErrorKind::Refused,
            StoreError::Corrupt(_) => StoreErrorKind::Corrupt,
            StoreError::Closed => StoreErrorKind::Closed,
        }
    }
}
