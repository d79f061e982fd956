//! What is wrong with an expression or its placeholders, in the exact words of the API.
//!
//! Whether an operation puts `1 validation error detected: ` in front is the caller's knowledge (operation and wording);
//! whether a text takes that prefix at all is known here. Source: docs/spec/dynamodb-api.md 4.9.

use crate::error::ApiError;

/// The prefix that the newer request layer of PutItem, UpdateItem and DeleteItem puts before most texts.
const ENVELOPE: &str = "1 validation error detected: ";

/// The parameter that an expression came in, as the texts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExprKind {
    /// `ConditionExpression`.
    Condition,
    /// `FilterExpression`.
    Filter,
    /// `KeyConditionExpression`.
    KeyCondition,
    /// `ProjectionExpression`.
    Projection,
    /// `UpdateExpression`.
    Update,
    /// A part of a PartiQL statement: no parameter of its own, and so no prefix and no envelope.
    Statement,
}

impl ExprKind {
    /// The parameter's name.
    pub fn parameter(self) -> &'static str {
        match self {
            ExprKind::Condition => "ConditionExpression",
            ExprKind::Filter => "FilterExpression",
            ExprKind::KeyCondition => "KeyConditionExpression",
            ExprKind::Projection => "ProjectionExpression",
            ExprKind::Update => "UpdateExpression",
            ExprKind::Statement => "Statement",
        }
    }
}

/// A fault in an expression, in its placeholders, or in applying it to an item. Always a ValidationException.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// The text without any envelope.
    pub text: String,
    /// Whether operations with an envelope put it before this text.
    pub enveloped: bool,
    /// The text in the `classic` wording, where that is another one.
    pub classic: Option<&'static str>,
}

impl ExprError {
    /// A text that takes the envelope where the operation has one.
    pub fn enveloped(text: impl Into<String>) -> Self {
        Self { text: text.into(), enveloped: true, classic: None }
    }

    /// A text that always stands alone.
    pub fn bare(text: impl Into<String>) -> Self {
        Self { text: text.into(), enveloped: false, classic: None }
    }

    /// `Invalid KeyConditionExpression: <detail>`; in the `classic` wording the detail alone.
    pub(crate) fn key_condition(detail: &'static str) -> Self {
        Self::bare(format!("Invalid KeyConditionExpression: {detail}")).with_classic(detail)
    }

    /// The same with another text in the `classic` wording.
    #[must_use]
    pub(crate) fn with_classic(self, text: &'static str) -> Self {
        Self { classic: Some(text), ..self }
    }

    /// `Invalid <X>Expression: <detail>`; of a statement the detail alone.
    pub(crate) fn invalid(kind: ExprKind, detail: impl std::fmt::Display) -> Self {
        if kind == ExprKind::Statement {
            return Self::bare(detail.to_string());
        }
        Self::enveloped(format!("Invalid {}: {detail}", kind.parameter()))
    }

    /// `One or more parameter values were invalid: <detail>`.
    pub(crate) fn parameter_values(detail: impl std::fmt::Display) -> Self {
        Self::enveloped(format!("One or more parameter values were invalid: {detail}"))
    }

    /// The same text, but never enveloped.
    #[must_use]
    pub(crate) fn unenveloped(self) -> Self {
        Self { enveloped: false, ..self }
    }

    /// The error answer. `operation_envelopes`: PutItem, UpdateItem or DeleteItem in the `current` wording.
    pub fn into_api(self, operation_envelopes: bool) -> ApiError {
        if operation_envelopes && self.enveloped {
            ApiError::validation(format!("{ENVELOPE}{}", self.text))
        } else {
            ApiError::validation(self.text)
        }
    }
}

impl std::fmt::Display for ExprError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ExprError {}
