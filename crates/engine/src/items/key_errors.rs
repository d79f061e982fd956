//! What is wrong with a key, in the words of the operations. Source: docs/spec/dynamodb-api.md 2.5.

use tailrace_api::PARAMETER_VALUES;
use tailrace_core::ApiError;
use tailrace_core::key::{KeyError, ScalarType, empty_key};

/// The error for a `Key` (and for a key in a batch, put or not). Source: docs/spec/dynamodb-api.md 2.5.
pub(crate) fn key_map_error(error: KeyError) -> ApiError {
    match error {
        KeyError::Missing { .. } | KeyError::Type { .. } | KeyError::Superfluous => {
            ApiError::validation("The provided key element does not match the schema")
        }
        KeyError::Empty { name, scalar } => {
            ApiError::validation(empty_key(&name, if scalar == ScalarType::B { "binary" } else { "string" }))
        }
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

/// The error for two requests of a batch that are for one item. Source: docs/spec/dynamodb-api.md 7.1, 7.3.
pub(crate) fn duplicate_keys() -> ApiError {
    ApiError::validation("Provided list of item keys contains duplicates")
}

fn too_long(error: &KeyError) -> ApiError {
    let text = match error {
        KeyError::HashTooLong => "Size of hashkey has exceeded the maximum size limit of2048 bytes",
        _ => "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
    };
    ApiError::validation(format!("{PARAMETER_VALUES}{text}"))
}
