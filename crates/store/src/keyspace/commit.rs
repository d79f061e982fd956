//! Commits that had an id: kind ‖ when the id was made up, milliseconds u64 ‖ its 16 unique bytes. The value is empty. The
//! order is that of age, so those that are remembered no more are one range. Written by the engines only, in the commit
//! itself.

use std::ops::Bound;

use bytes::Bytes;
use tailrace_core::EpochMs;

use super::{KeyKind, read_u64};
use crate::commit::CommitId;
use crate::engine::{Key, KeyRange};

/// The key of a commit's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitKey {
    /// The commit.
    pub id: CommitId,
}

impl CommitKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = made_at(self.id.made_ms);
        bytes.extend_from_slice(&self.id.unique.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<CommitKey> {
        let (made_ms, rest) = read_u64(KeyKind::Commit.strip(&key.0)?)?;
        let unique = u128::from_be_bytes(rest.try_into().ok()?);
        Some(CommitKey { id: CommitId { made_ms: EpochMs(made_ms), unique } })
    }

    /// The commits whose ids were made up before `made_ms`.
    pub fn older_than(made_ms: EpochMs) -> KeyRange {
        KeyRange { end: Bound::Excluded(Bytes::from(made_at(made_ms))), ..KeyKind::Commit.range() }
    }
}

fn made_at(ms: EpochMs) -> Vec<u8> {
    let mut bytes = KeyKind::Commit.start(24);
    bytes.extend_from_slice(&ms.0.to_be_bytes());
    bytes
}
