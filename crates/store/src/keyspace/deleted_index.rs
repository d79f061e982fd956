//! Deleted indexes whose rows are still to be handed to `Engine::reclaim`: kind ‖ table id ‖ index id (u32). The row has no
//! value. It is written in the commit that takes the index out of its table's descriptor, and goes once the store has
//! written the range down ([`super::ReclaimKey`]).

use super::index_build::{read_set, set_key};
use super::{ItemSet, KeyKind};
use crate::engine::{Key, KeyRange};

/// The key of a deleted index's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedIndexKey {
    /// The index.
    pub set: ItemSet,
}

impl DeletedIndexKey {
    /// The key.
    pub fn encode(self) -> Key {
        Key::from_vec(set_key(KeyKind::DeletedIndex, self.set))
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<DeletedIndexKey> {
        read_set(KeyKind::DeletedIndex.strip(&key.0)?).map(|set| DeletedIndexKey { set })
    }

    /// All marks, by table and index.
    pub fn range() -> KeyRange {
        KeyKind::DeletedIndex.range()
    }
}
