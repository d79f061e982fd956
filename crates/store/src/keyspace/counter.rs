//! Counters of what is numbered for ever: kind ‖ which. The value is the next number, u64 big endian; a missing row
//! means 1. A number is taken in the commit that uses it, so it is never given out twice.

use bytes::Bytes;

use super::KeyKind;
use crate::engine::Key;

/// The key of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CounterKey {
    /// The next table id.
    Table = 1,
    /// The next stream id.
    Stream = 2,
    /// The next shard number. Written by the engines only.
    Shard = 3,
    /// The LSN up to which the tree on the disk holds everything. Written by the embedded engine only.
    Applied = 4,
    /// The next number of a version of a view.
    View = 5,
}

impl CounterKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::Counter.start(1);
        bytes.push(self as u8);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<CounterKey> {
        match KeyKind::Counter.strip(&key.0)? {
            [1] => Some(CounterKey::Table),
            [2] => Some(CounterKey::Stream),
            [3] => Some(CounterKey::Shard),
            [4] => Some(CounterKey::Applied),
            [5] => Some(CounterKey::View),
            _ => None,
        }
    }

    /// The next number, from the row's value. `None`: the value is no counter.
    pub fn next(value: Option<&Bytes>) -> Option<u64> {
        match value {
            None => Some(1),
            Some(bytes) => super::whole_u64(bytes),
        }
    }

    /// The row's value when `next` is the next number.
    pub fn value(next: u64) -> Bytes {
        Bytes::copy_from_slice(&next.to_be_bytes())
    }
}
