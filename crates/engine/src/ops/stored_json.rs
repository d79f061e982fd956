//! Items in answers: straight from their stored bytes where nothing of them is changed, else decoded.

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::{ApiError, ErrorCode, Item};

/// An item of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AnsweredItem {
    /// As it is stored.
    Stored(Bytes),
    /// Made for the answer.
    Made(Item),
}

impl Serialize for AnsweredItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            AnsweredItem::Stored(bytes) => StoredItem::new(bytes).map_err(S::Error::custom)?.serialize(serializer),
            AnsweredItem::Made(item) => item.serialize(serializer),
        }
    }
}

/// Decodes a stored item.
pub(crate) fn decode(value: &[u8]) -> Result<Item, ApiError> {
    StoredItem::new(value).and_then(|item| item.decode()).map_err(corrupt)
}

/// The error answer for a row that is no item.
pub(crate) fn corrupt(error: CodecError) -> ApiError {
    tracing::error!(%error, "a stored item is corrupt");
    ApiError::new(ErrorCode::InternalServerError, format!("a stored item is corrupt: {error}"))
}
