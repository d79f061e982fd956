//! What is set for a table beside its descriptor, which every commit of its items reads: kind ‖ table id. The row goes with the
//! table, in the same commit.

use tailrace_core::TableId;

use super::{KeyKind, whole_u64};
use crate::engine::{Key, KeyRange};

/// The key of a table's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSettingsKey {
    /// The table.
    pub table: TableId,
}

impl TableSettingsKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::TableSettings.start(8);
        bytes.extend_from_slice(&self.table.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<TableSettingsKey> {
        Some(TableSettingsKey { table: TableId(whole_u64(KeyKind::TableSettings.strip(&key.0)?)?) })
    }

    /// The settings of all tables, by table.
    pub fn range() -> KeyRange {
        KeyKind::TableSettings.range()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_sorts_by_its_table() {
        let keys = [0, 1, 255, 256, u64::MAX].map(|id| TableSettingsKey { table: TableId(id) });
        for key in keys {
            assert_eq!(TableSettingsKey::decode(&key.encode()), Some(key));
            assert!(TableSettingsKey::range().contains(key.encode().as_bytes()));
        }
        assert!(keys.map(TableSettingsKey::encode).is_sorted());
        assert_eq!(TableSettingsKey::decode(&Key::from_vec(vec![KeyKind::TableSettings as u8; 8])), None);
    }
}
