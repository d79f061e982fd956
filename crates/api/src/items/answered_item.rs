//! Items in answers: straight from their stored bytes where nothing of them is changed, else decoded.

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use tailrace_core::Item;
use tailrace_core::codec::StoredItem;
use tailrace_core::size::item_size;

/// An item of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AnsweredItem {
    /// As it is stored.
    Stored(Bytes),
    /// Made for the answer.
    Made(Item),
}

/// An answer that may hold large items, or many.
pub trait ItemsAnswer: Serialize + Send + 'static {
    /// About how many bytes of items it holds.
    fn item_bytes(&self) -> usize;
}

impl AnsweredItem {
    /// About how many bytes it has.
    pub fn bytes(&self) -> usize {
        match self {
            AnsweredItem::Stored(bytes) => bytes.len(),
            AnsweredItem::Made(item) => item_size(item),
        }
    }
}

impl Serialize for AnsweredItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            AnsweredItem::Stored(bytes) => StoredItem::new(bytes).map_err(S::Error::custom)?.serialize(serializer),
            AnsweredItem::Made(item) => item.serialize(serializer),
        }
    }
}
