//! Sinks by name: kind ‖ the name.

use bytes::Bytes;

use super::KeyKind;
use crate::engine::{Key, KeyRange};

/// The key of a sink's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkKey {
    /// Its name.
    pub name: String,
}

impl SinkKey {
    /// The key.
    pub fn key(name: &str) -> Key {
        let mut bytes = KeyKind::Sink.start(name.len());
        bytes.extend_from_slice(name.as_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<SinkKey> {
        let name: Bytes = key.0.slice_ref(KeyKind::Sink.strip(&key.0)?);
        Some(SinkKey { name: String::from_utf8(name.to_vec()).ok()? })
    }

    /// All sinks, by name.
    pub fn range() -> KeyRange {
        KeyKind::Sink.range()
    }
}
