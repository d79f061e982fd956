//! `ExclusiveStartKey`: where a page begins, and every way in which it can be wrong. Source: docs/spec/dynamodb-api.md 5.5.

use tailrace_core::attribute_json::{ValueErrorKind, read_item};
use tailrace_core::expr::ResolvedKeyCondition;
use tailrace_core::key::{KeyBytes, KeyError};
use tailrace_core::{ApiError, Item, Json, KeySchema};

use super::words::{Words, key_map_error};

const INVALID: &str = "The provided starting key is invalid";

/// Which operation it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starts {
    Query,
    Scan,
}

/// Takes the member out of a request and reads its values.
pub(crate) fn take_start_key(body: &mut Json, starts: Starts, words: Words) -> Result<Option<Item>, ApiError> {
    let Some(key) = body.take("ExclusiveStartKey") else { return Ok(None) };
    read_item(key).map(Some).map_err(|error| {
        let bare = match error.kind {
            ValueErrorKind::Number(_) | ValueErrorKind::Duplicates => true,
            ValueErrorKind::NullFalse | ValueErrorKind::EmptySet => starts == Starts::Query && words.is_current(),
            _ => false,
        };
        let text = error.text(words.wording);
        ApiError::validation(if bare { text.to_owned() } else { format!("{INVALID}: {text}") })
    })
}

/// The bytes of a start key.
pub(crate) fn start_key_bytes(
    schema: &KeySchema,
    key: &Item,
    starts: Starts,
    words: Words,
) -> Result<KeyBytes, ApiError> {
    schema.bytes_of_key(key).map_err(|error| match error {
        KeyError::Missing { .. } | KeyError::Type { .. } | KeyError::Superfluous => {
            if starts == Starts::Scan && !words.is_current() {
                return ApiError::validation(format!("{INVALID}: The provided key element does not match the schema"));
            }
            ApiError::validation(INVALID)
        }
        other => key_map_error(other),
    })
}

/// A query can only go on inside what it reads.
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
        "{INVALID}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. \
         TotalSegments: {total} Segment: {segment}"
    ))
}
