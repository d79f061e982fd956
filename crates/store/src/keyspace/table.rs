//! Table descriptors by name: kind ‖ name. The order of the bytes is the order of ListTables.

use std::ops::Bound;

use super::{KeyKind, text};
use crate::engine::{Key, KeyRange};

/// The key of a table's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableKey {
    /// The table's name.
    pub name: String,
}

impl TableKey {
    /// The key of the table `name`.
    pub fn key(name: &str) -> Key {
        let mut bytes = KeyKind::Table.start(name.len());
        bytes.extend_from_slice(name.as_bytes());
        Key::from_vec(bytes)
    }

    /// The key.
    pub fn encode(&self) -> Key {
        TableKey::key(&self.name)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<TableKey> {
        Some(TableKey { name: text(KeyKind::Table.strip(&key.0)?)? })
    }

    /// All tables.
    pub fn range() -> KeyRange {
        KeyKind::Table.range()
    }

    /// The tables whose names come after `name`, whether or not there is a table of that name.
    pub fn range_after(name: &str) -> KeyRange {
        KeyRange { start: Bound::Excluded(TableKey::key(name).0), ..KeyKind::Table.range() }
    }
}
