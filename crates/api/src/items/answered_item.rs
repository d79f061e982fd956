//! Items in answers: straight from their stored bytes where nothing of them is changed, else decoded.

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use tailrace_core::Item;
use tailrace_core::codec::StoredItem;

/// An item of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AnsweredItem {
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
