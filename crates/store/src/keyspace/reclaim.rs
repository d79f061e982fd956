//! Ranges whose rows are being removed: kind ‖ the first key of the range. The value is the range's end: a range that
//! was handed to `Engine::reclaim` stays written down until its last row is gone, so that a crash resumes the work.
//! Written by the engines only.

use bytes::Bytes;

use super::KeyKind;
use crate::engine::{Key, KeyRange};

/// The key of a range that is being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimKey {
    /// The first key of the range.
    pub start: Bytes,
}

impl ReclaimKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes = KeyKind::Reclaim.start(self.start.len());
        bytes.extend_from_slice(&self.start);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ReclaimKey> {
        Some(ReclaimKey { start: key.0.slice_ref(KeyKind::Reclaim.strip(&key.0)?) })
    }

    /// All ranges that are being removed.
    pub fn range() -> KeyRange {
        KeyKind::Reclaim.range()
    }
}
