//! The snapshot of a table that a sink's consumer begins with: kind ‖ uuid of the consumer ‖ part (u64).
//!
//! Part 0 is how far it is, part 1 the page that is under way, and part 2 + n says up to which numbers of the stream page n reaches.

use super::mapping::read_mapping;
use super::{KeyKind, MappingId, prefix_range, whole_u64};
use crate::engine::{Key, KeyRange};

/// The key of a row of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkSnapshotKey {
    /// The consumer.
    pub consumer: MappingId,
    /// The part.
    pub part: u64,
}

impl SinkSnapshotKey {
    /// How far it is.
    pub const PROGRESS: u64 = 0;
    /// The page that is under way.
    pub const STAGED: u64 = 1;
    /// What the first page reaches to; the next ones follow.
    pub const FIRST_PAGE: u64 = 2;

    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = parts_of(self.consumer);
        bytes.extend_from_slice(&self.part.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<SinkSnapshotKey> {
        let (consumer, rest) = read_mapping(KeyKind::SinkSnapshot.strip(&key.0)?)?;
        Some(SinkSnapshotKey { consumer, part: whole_u64(rest)? })
    }

    /// All rows of a snapshot, by part.
    pub fn consumer_range(consumer: MappingId) -> KeyRange {
        prefix_range(&parts_of(consumer))
    }
}

fn parts_of(consumer: MappingId) -> Vec<u8> {
    let mut bytes = KeyKind::SinkSnapshot.start(24);
    bytes.extend_from_slice(&consumer.0.to_be_bytes());
    bytes
}
