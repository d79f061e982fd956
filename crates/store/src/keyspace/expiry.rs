//! When items expire: kind ‖ table id ‖ generation u32 ‖ instant, milliseconds u64 ‖ what follows the index in the item's key. The row has
//! no value.
//!
//! The row of an item goes in the item's own commit. The generation is that of the table's time to live: rows of one that has ended
//! are never taken for those of a later one. Within a generation the order is that of the instants.

use std::ops::Bound;

use bytes::Bytes;
use tailrace_core::{EpochMs, TableId, TtlGeneration};

use super::{ItemKey, KeyKind, prefix_range, read_u32, read_u64};
use crate::engine::{Key, KeyRange};

/// The key of an item's expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryKey {
    /// The table.
    pub table: TableId,
    /// Which of its times to live.
    pub generation: TtlGeneration,
    /// When the item expires.
    pub instant: EpochMs,
    /// The key of the item's row.
    pub item: Key,
}

impl ExpiryKey {
    /// The key.
    pub fn encode(&self) -> Key {
        ExpiryKey::key(self.table, self.generation, self.instant, &self.item)
    }

    /// The key, without building an `ExpiryKey` first. `item`: the key of an item of the table.
    pub fn key(table: TableId, generation: TtlGeneration, instant: EpochMs, item: &Key) -> Key {
        let place = ItemKey::place(table, item).expect("invariant: it is an item of the table");
        let mut bytes = prefix(table, generation, 8 + place.len());
        bytes.extend_from_slice(&instant.0.to_be_bytes());
        bytes.extend_from_slice(place);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ExpiryKey> {
        let rest = KeyKind::Expiry.strip(&key.0)?;
        let (table, rest) = read_u64(rest)?;
        let (generation, rest) = read_u32(rest)?;
        let (instant, place) = read_u64(rest)?;
        let table = TableId(table);
        let item = ItemKey::of_place(table, place);
        ItemKey::decode(&item)?;
        Some(ExpiryKey { table, generation: TtlGeneration(generation), instant: EpochMs(instant), item })
    }

    /// All rows of a time to live.
    pub fn range(table: TableId, generation: TtlGeneration) -> KeyRange {
        prefix_range(&prefix(table, generation, 0))
    }

    /// The rows of the instants from `from` on, before `before`, by instant.
    pub fn between(table: TableId, generation: TtlGeneration, from: EpochMs, before: EpochMs) -> KeyRange {
        let at = |instant: EpochMs| {
            let mut bytes = prefix(table, generation, 8);
            bytes.extend_from_slice(&instant.0.to_be_bytes());
            Bytes::from(bytes)
        };
        KeyRange { start: Bound::Included(at(from)), end: Bound::Excluded(at(before)), reverse: false }
    }
}

fn prefix(table: TableId, generation: TtlGeneration, capacity: usize) -> Vec<u8> {
    let mut bytes = KeyKind::Expiry.start(12 + capacity);
    bytes.extend_from_slice(&table.0.to_be_bytes());
    bytes.extend_from_slice(&generation.0.to_be_bytes());
    bytes
}
