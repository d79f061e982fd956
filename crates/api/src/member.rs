//! Members of a request's body, whose types the model has validated.

use tailrace_core::Json;

/// A string member.
pub(crate) fn text<'a>(body: &'a Json, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Json::as_str)
}

/// A boolean member.
pub(crate) fn boolean(body: &Json, name: &str) -> Option<bool> {
    body.get(name).and_then(Json::as_lenient_bool)
}

/// An integer member of 32 bits.
pub(crate) fn integer(body: &Json, name: &str) -> Option<i32> {
    body.get(name).and_then(Json::as_saturated_i32)
}

/// The member `Limit`, whose bounds the model has made sure of; `default` if it was not sent.
pub(crate) fn limit(body: &Json, default: usize) -> usize {
    integer(body, "Limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(default)
}
