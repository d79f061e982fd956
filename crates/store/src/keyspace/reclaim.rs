//! Ranges whose rows are being removed: kind ‖ the first key of the range. The value is the range's end: a range that
//! was handed to `Engine::reclaim` stays written down until its last row is gone, so that a crash resumes the work.
//! Written by the engines only.

use std::ops::Bound;

use bytes::Bytes;

use super::KeyKind;
use crate::engine::{Key, KeyRange};

/// Exclusive upper end of every key of the keyspace.
const END: [u8; 1] = [0xff];

/// The key of a range that is being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimKey {
    /// The first key of the range.
    pub start: Bytes,
}

impl ReclaimKey {
    /// The row that says that `range` is being removed.
    pub fn row(range: &KeyRange) -> (Key, Bytes) {
        let after = |key: &Bytes| Bytes::from([key.as_ref(), &[0]].concat());
        let start = match &range.start {
            Bound::Included(start) => start.clone(),
            Bound::Excluded(start) => after(start),
            Bound::Unbounded => Bytes::new(),
        };
        let end = match &range.end {
            Bound::Included(end) => after(end),
            Bound::Excluded(end) => end.clone(),
            Bound::Unbounded => Bytes::copy_from_slice(&END),
        };
        (ReclaimKey { start }.encode(), end)
    }

    /// The range that a row says is being removed.
    pub fn of_row(self, value: Bytes) -> KeyRange {
        KeyRange { start: Bound::Included(self.start), end: Bound::Excluded(value), reverse: false }
    }

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
