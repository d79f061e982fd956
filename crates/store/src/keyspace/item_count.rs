//! How many rows a table has, or one of its indexes, and how large they are: kind ‖ table id ‖ index id (varint). The value is
//! rows u64 ‖ bytes u64, big endian; a missing row means none of either.
//!
//! Written by the engines only, which add up the [`Write::Count`](crate::Write::Count)s of commits; it goes when the table's
//! range, or the index's, is handed to `Engine::reclaim`, or by a commit that deletes it.

use bytes::Bytes;

use tailrace_core::{IndexId, TableId};

use super::{ItemSet, KeyKind, prefix_range, push_varint, read_u64, read_varint, whole_u64};
use crate::engine::{Key, KeyRange};

/// The key of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemCountKey {
    /// The table, or its index.
    pub set: ItemSet,
}

/// What a table holds, or one of its indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemCount {
    /// Its rows.
    pub rows: u64,
    /// Their sizes together, bytes, as the layers above count them.
    pub bytes: u64,
}

/// A change of a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountChange {
    /// Rows that came, less those that went.
    pub rows: i64,
    /// By how many bytes all of them have grown.
    pub bytes: i64,
}

impl ItemCountKey {
    /// The key.
    pub fn encode(self) -> Key {
        // Nearly every index has a number of one byte.
        let mut bytes = of_table(self.set.table, 1);
        push_varint(&mut bytes, self.set.index.0);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &[u8]) -> Option<ItemCountKey> {
        let (table, rest) = read_u64(KeyKind::ItemCount.strip(key)?)?;
        let (index, rest) = read_varint(rest)?;
        let set = ItemSet { table: TableId(table), index: IndexId(index) };
        rest.is_empty().then_some(ItemCountKey { set })
    }

    /// The counts of a table and of all its indexes.
    pub fn with_indexes(table: TableId) -> KeyRange {
        prefix_range(&of_table(table, 0))
    }
}

fn of_table(table: TableId, capacity: usize) -> Vec<u8> {
    let mut bytes = KeyKind::ItemCount.start(8 + capacity);
    bytes.extend_from_slice(&table.0.to_be_bytes());
    bytes
}

impl ItemCount {
    /// The row's value.
    pub fn value(self) -> Bytes {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&self.rows.to_be_bytes());
        value[8..].copy_from_slice(&self.bytes.to_be_bytes());
        Bytes::copy_from_slice(&value)
    }

    /// The count of a row's value, or of a missing row. `None`: the value is no count.
    pub fn read(value: Option<&Bytes>) -> Option<ItemCount> {
        let Some(value) = value else { return Some(ItemCount::default()) };
        let (rows, rest) = read_u64(value)?;
        Some(ItemCount { rows, bytes: whole_u64(rest)? })
    }

    /// The count after a change. It wraps, so that changes come to the same in any order and any grouping.
    pub fn changed(self, by: CountChange) -> ItemCount {
        ItemCount { rows: self.rows.wrapping_add_signed(by.rows), bytes: self.bytes.wrapping_add_signed(by.bytes) }
    }
}

impl std::iter::FromIterator<usize> for ItemCount {
    /// The count of rows of these sizes.
    fn from_iter<T: IntoIterator<Item = usize>>(sizes: T) -> ItemCount {
        let add = |count: ItemCount, size| ItemCount { rows: count.rows + 1, bytes: count.bytes + size as u64 };
        sizes.into_iter().fold(ItemCount::default(), add)
    }
}

impl CountChange {
    /// What makes one count of the other.
    pub fn between(from: ItemCount, to: ItemCount) -> CountChange {
        CountChange { rows: to.rows.wrapping_sub(from.rows) as i64, bytes: to.bytes.wrapping_sub(from.bytes) as i64 }
    }

    /// True if nothing changes.
    pub fn is_none(self) -> bool {
        self == CountChange::default()
    }
}

impl std::ops::AddAssign for CountChange {
    fn add_assign(&mut self, other: CountChange) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}
