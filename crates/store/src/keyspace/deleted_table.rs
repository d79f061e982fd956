//! Deleted tables whose items are still to be handed to `Engine::reclaim`: kind ‖ table id. The row has no value. It is written
//! in the commit that deletes the table and goes once the store has written the range down ([`super::ReclaimKey`]).

use tailrace_core::TableId;

use super::{KeyKind, whole_u64};
use crate::engine::{Key, KeyRange};

/// The key of a deleted table's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedTableKey {
    /// The table.
    pub table: TableId,
}

impl DeletedTableKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::DeletedTable.start(8);
        bytes.extend_from_slice(&self.table.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<DeletedTableKey> {
        Some(DeletedTableKey { table: TableId(whole_u64(KeyKind::DeletedTable.strip(&key.0)?)?) })
    }

    /// All marks, by table.
    pub fn range() -> KeyRange {
        KeyKind::DeletedTable.range()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_sorts_by_its_table() {
        let keys = [0, 1, 255, 256, u64::MAX].map(|id| DeletedTableKey { table: TableId(id) });
        for key in keys {
            assert_eq!(DeletedTableKey::decode(&key.encode()), Some(key));
            assert!(DeletedTableKey::range().contains(key.encode().as_bytes()));
        }
        assert!(keys.map(DeletedTableKey::encode).is_sorted());
        assert_eq!(DeletedTableKey::decode(&Key::from_vec(vec![KeyKind::DeletedTable as u8; 8])), None);
    }
}
