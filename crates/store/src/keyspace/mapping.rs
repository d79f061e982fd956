//! Event source mappings by uuid: kind ‖ the 16 bytes of the uuid.

use tailrace_core::MappingId;

use super::KeyKind;
use crate::engine::{Key, KeyRange};

/// The key of a mapping's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingKey {
    /// The mapping.
    pub mapping: MappingId,
}

impl MappingKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::Mapping.start(16);
        bytes.extend_from_slice(&self.mapping.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<MappingKey> {
        let uuid: [u8; 16] = KeyKind::Mapping.strip(&key.0)?.try_into().ok()?;
        Some(MappingKey { mapping: MappingId(u128::from_be_bytes(uuid)) })
    }

    /// All mappings, by uuid.
    pub fn range() -> KeyRange {
        KeyKind::Mapping.range()
    }
}

/// Reads the uuid at the front of `bytes`.
pub(super) fn read_mapping(bytes: &[u8]) -> Option<(MappingId, &[u8])> {
    let (uuid, rest) = bytes.split_first_chunk::<16>()?;
    Some((MappingId(u128::from_be_bytes(*uuid)), rest))
}
