//! Why a statement is not run; a transaction tells the kinds apart.

use tailrace_core::ApiError;

/// Why a statement is not run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// It asks for what it may not ask for.
    Statement(ApiError),
    /// A value that a key attribute cannot have, or an item that is too large.
    Key(ApiError),
    /// There is no such table, or the store failed.
    Table(ApiError),
}

impl Refusal {
    /// A statement that asks for what it may not, with this text.
    pub fn statement(text: impl Into<String>) -> Refusal {
        Refusal::Statement(ApiError::validation(text))
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        match refusal {
            Refusal::Statement(error) | Refusal::Key(error) | Refusal::Table(error) => error,
        }
    }
}
