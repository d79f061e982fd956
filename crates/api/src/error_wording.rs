//! How an operation words its errors: the wording that is set, and whether the operation envelopes its texts.
//! Source: docs/spec/dynamodb-api.md, Two wordings, and 4.9.

use tailrace_core::attribute_json::ValueError;
use tailrace_core::expr::ExprError;
use tailrace_core::{ApiError, Wording};

/// Before a text that the newer layer envelopes.
pub const ENVELOPE: &str = "1 validation error detected: ";
/// Before most texts about values.
pub const PARAMETER_VALUES: &str = "One or more parameter values were invalid: ";

/// The wording of one operation's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorWording {
    /// The wording that is set.
    pub wording: Wording,
    /// PutItem, UpdateItem, DeleteItem: the `current` wording envelopes most texts.
    pub envelopes: bool,
}

impl ErrorWording {
    /// The wording of PutItem, UpdateItem and DeleteItem.
    pub fn of_write(wording: Wording) -> Self {
        Self { wording, envelopes: true }
    }

    /// The wording of a read.
    pub fn of_read(wording: Wording) -> Self {
        Self { wording, envelopes: false }
    }

    /// Whether it is the newer one.
    pub fn is_current(self) -> bool {
        self.wording == Wording::Current
    }

    /// What is wrong with a value.
    pub fn value(self, error: ValueError) -> ApiError {
        error.into_api(self.wording, self.envelopes)
    }

    /// What is wrong with an expression.
    pub fn expression(self, error: ExprError) -> ApiError {
        match error.classic {
            Some(text) if !self.is_current() => ApiError::validation(text),
            _ => error.into_api(self.envelopes && self.is_current()),
        }
    }

    /// A text that takes the operation's envelope, if it has one.
    pub fn enveloped(self, text: impl Into<String>) -> ApiError {
        self.expression(ExprError::enveloped(text))
    }

    /// A text that the newer wording of any operation envelopes.
    pub fn newer_enveloped(self, text: &str) -> ApiError {
        match self.wording {
            Wording::Current => ApiError::validation(format!("{ENVELOPE}{text}")),
            Wording::Classic => ApiError::validation(text),
        }
    }
}
