//! Event source mappings by uuid: kind ‖ the 16 bytes of the uuid.

use std::fmt;

use super::KeyKind;
use crate::engine::{Key, KeyRange};

/// The uuid of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingId(pub u128);

impl MappingId {
    /// Reads a uuid in its usual text form, in either case. `None`: the text is no uuid.
    pub fn parse(text: &str) -> Option<MappingId> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let digits = groups.concat();
        if lengths != [8, 4, 4, 4, 12] || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(MappingId)
    }
}

impl fmt::Display for MappingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

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
