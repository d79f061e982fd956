//! Parked records by mapping, shard and number: kind ‖ uuid of the mapping ‖ shard number ‖ number in the shard.

use tailrace_core::RecordNo;

use super::mapping::read_mapping;
use super::{KeyKind, MappingId, prefix_range, read_u64, whole_u64};
use crate::engine::{Key, KeyRange, ShardNo};

/// The key of a parked record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    /// The mapping that parked it.
    pub mapping: MappingId,
    /// The shard that it comes from.
    pub shard: ShardNo,
    /// Its number.
    pub number: RecordNo,
}

impl ParkedKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = parked_in(self.mapping, self.shard);
        bytes.extend_from_slice(&self.number.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ParkedKey> {
        let (mapping, rest) = read_mapping(KeyKind::Parked.strip(&key.0)?)?;
        let (shard, rest) = read_u64(rest)?;
        Some(ParkedKey { mapping, shard: ShardNo(shard), number: RecordNo(whole_u64(rest)?) })
    }

    /// The parked records of a mapping, by shard and number.
    pub fn mapping_range(mapping: MappingId) -> KeyRange {
        prefix_range(&parked_of(mapping))
    }

    /// The parked records of a mapping's shard, by number.
    pub fn shard_range(mapping: MappingId, shard: ShardNo) -> KeyRange {
        prefix_range(&parked_in(mapping, shard))
    }
}

fn parked_of(mapping: MappingId) -> Vec<u8> {
    let mut bytes = KeyKind::Parked.start(32);
    bytes.extend_from_slice(&mapping.0.to_be_bytes());
    bytes
}

fn parked_in(mapping: MappingId, shard: ShardNo) -> Vec<u8> {
    let mut bytes = parked_of(mapping);
    bytes.extend_from_slice(&shard.0.to_be_bytes());
    bytes
}
