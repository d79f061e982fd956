//! What an audit trail keeps in the store, in two kinds of rows. The head of each of its chains: kind ‖ length of the trail's name u8 ‖
//! name ‖ `00` ‖ shard number u64, or `01` ‖ version u32 ‖ table name. What the values of a person are hidden with: kind ‖ length of the
//! trail's name u8 ‖ name ‖ 32 bytes that stand for the person.

use super::{KeyKind, prefix_range, read_u32, text, whole_u64};
use crate::engine::{Key, KeyRange, ShardNo};

/// A chain of an audit trail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditChain {
    /// The changes of a shard.
    Shard(ShardNo),
    /// The items that a table had when a version of the trail began.
    Snapshot {
        /// The version.
        version: u32,
        /// The table's name.
        table: String,
    },
}

/// The key of a chain's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChainKey {
    /// The trail's name; what is longer than 255 bytes is cut.
    pub trail: String,
    /// The chain.
    pub chain: AuditChain,
}

impl AuditChainKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes = of_trail(KeyKind::AuditChain, &self.trail);
        match &self.chain {
            AuditChain::Shard(shard) => {
                bytes.push(0);
                bytes.extend_from_slice(&shard.0.to_be_bytes());
            }
            AuditChain::Snapshot { version, table } => {
                bytes.push(1);
                bytes.extend_from_slice(&version.to_be_bytes());
                bytes.extend_from_slice(table.as_bytes());
            }
        }
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<AuditChainKey> {
        let (trail, rest) = read_trail(KeyKind::AuditChain, key)?;
        let (kind, rest) = rest.split_first()?;
        let chain = match kind {
            0 => AuditChain::Shard(ShardNo(whole_u64(rest)?)),
            1 => {
                let (version, table) = read_u32(rest)?;
                AuditChain::Snapshot { version, table: text(table)? }
            }
            _ => return None,
        };
        Some(AuditChainKey { trail, chain })
    }

    /// The heads of a trail's chains.
    pub fn trail_range(trail: &str) -> KeyRange {
        prefix_range(&of_trail(KeyKind::AuditChain, trail))
    }
}

/// The key of what the values of a person are hidden with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSubjectKey {
    /// The trail's name; what is longer than 255 bytes is cut.
    pub trail: String,
    /// Stands for the person.
    pub subject: [u8; 32],
}

impl AuditSubjectKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes = of_trail(KeyKind::AuditSubject, &self.trail);
        bytes.extend_from_slice(&self.subject);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<AuditSubjectKey> {
        let (trail, subject) = read_trail(KeyKind::AuditSubject, key)?;
        Some(AuditSubjectKey { trail, subject: subject.try_into().ok()? })
    }
}

fn of_trail(kind: KeyKind, trail: &str) -> Vec<u8> {
    let trail = &trail[..trail.floor_char_boundary(usize::from(u8::MAX))];
    let mut bytes = kind.start(trail.len() + 33);
    bytes.push(trail.len() as u8);
    bytes.extend_from_slice(trail.as_bytes());
    bytes
}

fn read_trail(kind: KeyKind, key: &Key) -> Option<(String, &[u8])> {
    let (length, rest) = kind.strip(&key.0)?.split_first()?;
    let (trail, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((text(trail)?, rest))
}
