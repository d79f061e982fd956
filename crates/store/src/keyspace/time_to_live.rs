//! Times to live: kind ‖ table id ‖ generation u32. A row stands from the commit that enables a time to live until its expiries
//! ([`super::ExpiryKey`]) were handed to `Engine::reclaim`, which is some time after it was disabled or its table deleted.

use tailrace_core::{TableId, TtlGeneration};

use super::{KeyKind, read_u32, read_u64};
use crate::engine::{Key, KeyRange};

/// The key of a time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLiveKey {
    /// The table.
    pub table: TableId,
    /// Which of its times to live.
    pub generation: TtlGeneration,
}

impl TimeToLiveKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::TimeToLive.start(12);
        bytes.extend_from_slice(&self.table.0.to_be_bytes());
        bytes.extend_from_slice(&self.generation.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<TimeToLiveKey> {
        let (table, rest) = read_u64(KeyKind::TimeToLive.strip(&key.0)?)?;
        let (generation, rest) = read_u32(rest)?;
        rest.is_empty().then_some(TimeToLiveKey { table: TableId(table), generation: TtlGeneration(generation) })
    }

    /// All of them, by table.
    pub fn range() -> KeyRange {
        KeyKind::TimeToLive.range()
    }
}
