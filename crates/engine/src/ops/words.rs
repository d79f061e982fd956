//! How an operation words its errors: the wording that is set, and whether the operation envelopes its texts.
//! Source: docs/spec/dynamodb-api.md, Two wordings, and 4.9.

use tailrace_core::ApiError;
use tailrace_core::attribute_json::ValueError;
use tailrace_core::expr::ExprError;
use tailrace_core::key::{KeyError, ScalarType};
use tailrace_core::model::Wording;

/// Before a text that the newer layer envelopes.
pub(crate) const ENVELOPE: &str = "1 validation error detected: ";
/// Before most texts about values.
pub(crate) const PARAMETER_VALUES: &str = "One or more parameter values were invalid: ";

/// An operation's way with words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub wording: Wording,
    /// PutItem, UpdateItem, DeleteItem: the `current` wording envelopes most texts.
    pub envelopes: bool,
}

impl Words {
    /// The words of PutItem, UpdateItem and DeleteItem.
    pub fn of_write(wording: Wording) -> Self {
        Self { wording, envelopes: true }
    }

    /// The words of a read.
    pub fn of_read(wording: Wording) -> Self {
        Self { wording, envelopes: false }
    }

    pub fn is_current(self) -> bool {
        self.wording == Wording::Current
    }

    pub fn value(self, error: ValueError) -> ApiError {
        error.into_api(self.wording, self.envelopes)
    }

    pub fn expression(self, error: ExprError) -> ApiError {
        error.into_api(self.envelopes && self.is_current())
    }

    /// A text that takes the operation's envelope, if it has one.
    pub fn enveloped(self, text: impl Into<String>) -> ApiError {
        self.expression(ExprError::enveloped(text))
    }
}

/// A text that the newer wording of any operation envelopes.
pub(crate) fn newer_enveloped(wording: Wording, text: &str) -> ApiError {
    match wording {
        Wording::Current => ApiError::validation(format!("{ENVELOPE}{text}")),
        Wording::Classic => ApiError::validation(text),
    }
}

/// The error for a `Key` (and for a key in a batch, put or not). Source: docs/spec/dynamodb-api.md 2.5.
pub(crate) fn key_map_error(error: KeyError) -> ApiError {
    match error {
        KeyError::Missing { .. } | KeyError::Type { .. } | KeyError::Superfluous => {
            ApiError::validation("The provided key element does not match the schema")
        }
        KeyError::Empty { name, scalar } => empty_key(&name, scalar),
        KeyError::HashTooLong | KeyError::RangeTooLong => too_long(&error),
    }
}

/// The error for the key attributes of an item that is put. Source: docs/spec/dynamodb-api.md 2.5.
pub(crate) fn item_key_error(error: KeyError) -> ApiError {
    match error {
        KeyError::Missing { name } => {
            ApiError::validation(format!("{PARAMETER_VALUES}Missing the key {name} in the item"))
        }
        KeyError::Type { name, expected, actual } => ApiError::validation(format!(
            "{PARAMETER_VALUES}Type mismatch for key {name} expected: {} actual: {actual}",
            expected.name()
        )),
        other => key_map_error(other),
    }
}

fn empty_key(name: &str, kind: ScalarType) -> ApiError {
    let what = if kind == ScalarType::B { "binary" } else { "string" };
    ApiError::validation(format!(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
         {what} value. Key: {name}"
    ))
}

fn too_long(error: &KeyError) -> ApiError {
    let text = match error {
        KeyError::HashTooLong => "Size of hashkey has exceeded the maximum size limit of2048 bytes",
        _ => "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
    };
    ApiError::validation(format!("{PARAMETER_VALUES}{text}"))
}
