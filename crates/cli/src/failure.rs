//! Why a command failed: the one line that the user reads, and its code.

use std::fmt;

use tailrace_server::{Code, StartError};
use tailrace_store::StoreError;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    /// A failure of this kind, with what is to be said about it.
    pub fn new(code: Code, text: impl fmt::Display) -> Failure {
        Failure { code, text: text.to_string() }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is said about it, without the code.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.text, self.code)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        Failure::new(error.code(), error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new(Code::of_store(&error), error)
    }
}

/// A task that ended with a panic.
impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Failure {
        Failure::new(Code::Internal, error)
    }
}

/// An answer that is none of Tailrace's.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::new(Code::ForeignServer, error)
    }
}

/// An error that an operation answered.
impl From<tailrace_core::ApiError> for Failure {
    fn from(error: tailrace_core::ApiError) -> Failure {
        Failure::new(Code::Refused, error)
    }
}
