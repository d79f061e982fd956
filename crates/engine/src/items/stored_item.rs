//! Stored items, decoded.

use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::{ApiError, ErrorCode, Item};

/// Decodes a stored item.
pub(crate) fn decode(value: &[u8]) -> Result<Item, ApiError> {
    StoredItem::new(value).and_then(|item| item.decode()).map_err(corrupt)
}

/// The error answer for a row that is no item.
pub(crate) fn corrupt(error: CodecError) -> ApiError {
    tracing::error!(%error, "a stored item is corrupt");
    ApiError::new(ErrorCode::InternalServerError, format!("a stored item is corrupt: {error}"))
}
