//! Functions by name: kind ‖ name.

use super::{KeyKind, text};
use crate::engine::{Key, KeyRange};

/// The key of a function's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionKey {
    /// The function's name.
    pub name: String,
}

impl FunctionKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes = KeyKind::Function.start(self.name.len());
        bytes.extend_from_slice(self.name.as_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<FunctionKey> {
        Some(FunctionKey { name: text(KeyKind::Function.strip(&key.0)?)? })
    }

    /// All functions, by name.
    pub fn range() -> KeyRange {
        KeyKind::Function.range()
    }
}
