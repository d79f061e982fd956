//! `ExclusiveStartKey` against the table and what is read of it. Source: docs/spec/dynamodb-api.md 5.5.

use tailrace_api::items::INVALID_START_KEY;
use tailrace_core::expr::ResolvedKeyCondition;
use tailrace_core::key::{KeyBytes, KeyError};
use tailrace_core::{ApiError, Item, KeySchema};

use super::key_errors::key_map_error;

/// What a start key that is no key of the table is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MismatchText {
    /// That it is invalid.
    Short,
    /// And that it does not match the schema: a scan in the older wording.
    Long,
}

/// The bytes of a start key.
///
/// # Errors
/// It is no key of the table.
pub(crate) fn start_key_bytes(schema: &KeySchema, key: &Item, text: MismatchText) -> Result<KeyBytes, ApiError> {
    schema.bytes_of_key(key).map_err(|error| match error {
        KeyError::Missing { .. } | KeyError::Type { .. } | KeyError::Superfluous => match text {
            MismatchText::Short => ApiError::validation(INVALID_START_KEY),
            MismatchText::Long => {
                ApiError::validation(format!("{INVALID_START_KEY}: The provided key element does not match the schema"))
            }
        },
        other => key_map_error(other),
    })
}

/// A query can only go on inside what it reads.
///
/// # Errors
/// The key lies outside of it.
pub(crate) fn check_within_query(
    schema: &KeySchema,
    key: &Item,
    condition: &ResolvedKeyCondition,
) -> Result<(), ApiError> {
    let same_partition = key.get(&schema.hash.name) == Some(&*condition.hash);
    let range_value = schema.range.as_ref().and_then(|range| key.get(&range.name));
    let in_range = match (&condition.range, range_value) {
        (Some(range), Some(value)) => Some(range.matches(value)),
        _ => None,
    };
    let text = match (same_partition, in_range) {
        (_, Some(false)) => "The provided starting key does not match the range key predicate",
        (true, _) => return Ok(()),
        (false, None) => "The provided starting key is outside query boundaries based on provided conditions",
        (false, Some(true)) => "The query can return at most one row and cannot be restarted",
    };
    Err(ApiError::validation(text))
}

/// A scan of a segment can only go on inside the segment.
pub(crate) fn wrong_segment(segment: u32, total: u32) -> ApiError {
    ApiError::validation(format!(
        "{INVALID_START_KEY}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. \
         TotalSegments: {total} Segment: {segment}"
    ))
}
