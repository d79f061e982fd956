//! Checkpoints by mapping and shard: kind ‖ uuid of the mapping ‖ shard number.

use super::mapping::read_mapping;
use super::{KeyKind, MappingId, prefix_range, whole_u64};
use crate::engine::{Key, KeyRange, ShardNo};

/// The key of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointKey {
    /// The mapping.
    pub mapping: MappingId,
    /// The shard.
    pub shard: ShardNo,
}

impl CheckpointKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = checkpoints_of(self.mapping);
        bytes.extend_from_slice(&self.shard.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<CheckpointKey> {
        let (mapping, rest) = read_mapping(KeyKind::Checkpoint.strip(&key.0)?)?;
        Some(CheckpointKey { mapping, shard: ShardNo(whole_u64(rest)?) })
    }

    /// The checkpoints of a mapping, by shard.
    pub fn mapping_range(mapping: MappingId) -> KeyRange {
        prefix_range(&checkpoints_of(mapping))
    }
}

fn checkpoints_of(mapping: MappingId) -> Vec<u8> {
    let mut bytes = KeyKind::Checkpoint.start(24);
    bytes.extend_from_slice(&mapping.0.to_be_bytes());
    bytes
}
