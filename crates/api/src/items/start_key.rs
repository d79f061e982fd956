//! `ExclusiveStartKey`: its values, and how they can be wrong. Source: docs/spec/dynamodb-api.md 5.5.

use tailrace_core::attribute_json::{ValueErrorKind, read_item};
use tailrace_core::{ApiError, Item, Json};

use crate::ErrorWording;

/// What texts about a start key begin with.
pub const INVALID_START_KEY: &str = "The provided starting key is invalid";

/// Which operation it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartKeyOf {
    Query,
    Scan,
}

/// Takes the member out of a request and reads its values.
pub(super) fn take_start_key(body: &mut Json, of: StartKeyOf, wording: ErrorWording) -> Result<Option<Item>, ApiError> {
    let Some(key) = body.take("ExclusiveStartKey") else { return Ok(None) };
    read_item(key).map(Some).map_err(|error| {
        let bare = match error.kind {
            ValueErrorKind::Number(_) | ValueErrorKind::Duplicates => true,
            ValueErrorKind::NullFalse | ValueErrorKind::EmptySet => of == StartKeyOf::Query && wording.is_current(),
            _ => false,
        };
        let text = error.text(wording.wording);
        ApiError::validation(if bare { text.to_owned() } else { format!("{INVALID_START_KEY}: {text}") })
    })
}
