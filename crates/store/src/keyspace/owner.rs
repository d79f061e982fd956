//! Owners by mapping and shard: kind ‖ uuid of the mapping ‖ shard number.

use super::mapping::read_mapping;
use super::{KeyKind, MappingId, prefix_range, whole_u64};
use crate::engine::{Key, KeyRange, ShardNo};

/// The key of the row that says who delivers a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerKey {
    /// The mapping.
    pub mapping: MappingId,
    /// The shard.
    pub shard: ShardNo,
}

impl OwnerKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = owners_of(self.mapping);
        bytes.extend_from_slice(&self.shard.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<OwnerKey> {
        let (mapping, rest) = read_mapping(KeyKind::Owner.strip(&key.0)?)?;
        Some(OwnerKey { mapping, shard: ShardNo(whole_u64(rest)?) })
    }

    /// The owners of a mapping's shards, by shard.
    pub fn mapping_range(mapping: MappingId) -> KeyRange {
        prefix_range(&owners_of(mapping))
    }
}

fn owners_of(mapping: MappingId) -> Vec<u8> {
    let mut bytes = KeyKind::Owner.start(24);
    bytes.extend_from_slice(&mapping.0.to_be_bytes());
    bytes
}
