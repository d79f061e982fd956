//! Settings of the data directory as a whole, by name: kind ‖ name. Its uuid, secrets that it made for itself. There are few:
//! what grows with use has a kind of its own.

use super::{KeyKind, text};
use crate::engine::{Key, KeyRange};

/// The key of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingKey {
    /// Its name; by custom lower case, words separated by `-`, and `/` before a variable part.
    pub name: String,
}

impl SettingKey {
    /// The uuid of the data directory.
    pub const DIRECTORY_UUID: &'static str = "directory-uuid";

    /// The key of the setting `name`.
    pub fn key(name: &str) -> Key {
        let mut bytes = KeyKind::Setting.start(name.len());
        bytes.extend_from_slice(name.as_bytes());
        Key::from_vec(bytes)
    }

    /// The key.
    pub fn encode(&self) -> Key {
        SettingKey::key(&self.name)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<SettingKey> {
        Some(SettingKey { name: text(KeyKind::Setting.strip(&key.0)?)? })
    }

    /// All settings, by name.
    pub fn range() -> KeyRange {
        KeyKind::Setting.range()
    }
}
