//! A statement's text and its parameters.

use tailrace_core::attribute_json::read_value;
use tailrace_core::{ApiError, AttributeValue, Json, Wording};

use crate::ErrorWording;

/// A statement that is to be run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreparedStatement {
    /// `Statement`.
    pub text: String,
    /// `Parameters`: what stands for its `?`, in their order.
    pub parameters: Vec<AttributeValue>,
}

impl PreparedStatement {
    /// Takes the two members out of a body whose structure is valid.
    ///
    /// # Errors
    /// A parameter is no value.
    pub(super) fn take(body: &mut Json) -> Result<PreparedStatement, ApiError> {
        let text = match body.take("Statement") {
            Some(Json::String(text)) => text,
            _ => String::new(),
        };
        let parameters = match body.take("Parameters") {
            Some(Json::Array(parameters)) => parameters,
            _ => Vec::new(),
        };
        let wording = ErrorWording::of_read(Wording::Classic);
        let parameters = parameters.into_iter().map(|value| read_value(value).map_err(|e| wording.value(e)));
        Ok(PreparedStatement { text, parameters: parameters.collect::<Result<_, _>>()? })
    }
}

/// `ReturnValuesOnConditionCheckFailure` of a statement: a condition that does not hold brings the item.
pub(super) fn return_item_on_failure(body: &Json) -> bool {
    crate::member::text(body, "ReturnValuesOnConditionCheckFailure") == Some("ALL_OLD")
}

/// The members of a list of statements, each read by `read`.
pub(super) fn read_all<T>(
    body: &mut Json,
    member: &str,
    read: impl Fn(Json) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    match body.take(member) {
        Some(Json::Array(members)) => members.into_iter().map(read).collect(),
        _ => Ok(Vec::new()),
    }
}
