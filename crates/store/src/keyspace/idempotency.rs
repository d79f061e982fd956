//! Marks of what was done once and must not be done again: kind ‖ scope ‖ token. The value is versioned JSON (docs/format.md,
//! Idempotency mark).
//!
//! A mark is written in the commit of what it marks. A token that begins with another one of the same scope belongs to it:
//! a part of what the other one marks as a whole.
//!
//! A mark that ends has a second row beside it, kind ‖ end ‖ scope ‖ token, so that those that have ended are found without
//! looking at the others. Its value is empty. A mark that was made anew after its end leaves the row of its first end behind.

use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, ErrorCode};

use super::{KeyKind, read_u64};
use crate::engine::{Key, KeyRange};

/// Who gives out the tokens. The number is the second byte of the key; a number is never given to another scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IdempotencyScope {
    /// Lines of a `writes.ndjson`.
    PlayedLine = 0x01,
    /// Clients of TransactWriteItems.
    TransactWriteItems = 0x02,
    /// Clients of ExecuteTransaction.
    ExecuteTransaction = 0x03,
}

impl IdempotencyScope {
    /// Every scope.
    pub const ALL: [IdempotencyScope; 3] =
        [IdempotencyScope::PlayedLine, IdempotencyScope::TransactWriteItems, IdempotencyScope::ExecuteTransaction];

    fn of(byte: u8) -> Option<IdempotencyScope> {
        IdempotencyScope::ALL.into_iter().find(|known| *known as u8 == byte)
    }
}

/// The key of a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who gave out the token.
    pub scope: IdempotencyScope,
    /// The token.
    pub token: Bytes,
}

/// The value of a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyValue {
    version: u32,
    /// A digest of what was asked for: the same token with another request is a mistake.
    #[serde(with = "hex")]
    pub request: [u8; 32],
    /// The mark counts no longer from this instant on; `None`: it counts for ever.
    pub expires_ms: Option<EpochMs>,
    /// What was decided, if it was not to do it.
    pub refused: Option<Refused>,
}

/// A request that was refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The class of the error.
    pub code: ErrorCode,
    /// Its text.
    pub message: Option<String>,
}

/// The version that this code writes.
const VERSION: u32 = 1;

impl IdempotencyKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes = KeyKind::Idempotency.start(1 + self.token.len());
        bytes.push(self.scope as u8);
        bytes.extend_from_slice(&self.token);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<IdempotencyKey> {
        let (scope, token) = KeyKind::Idempotency.strip(&key.0)?.split_first()?;
        Some(IdempotencyKey { scope: IdempotencyScope::of(*scope)?, token: key.0.slice_ref(token) })
    }
}

/// The key of the row that says when a mark ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyExpiryKey {
    /// When the mark ends.
    pub at: EpochMs,
    /// The mark.
    pub mark: IdempotencyKey,
}

impl IdempotencyExpiryKey {
    /// The key.
    pub fn encode(&self) -> Key {
        let mut bytes = KeyKind::IdempotencyExpiry.start(8 + 1 + self.mark.token.len());
        bytes.extend_from_slice(&self.at.0.to_be_bytes());
        bytes.push(self.mark.scope as u8);
        bytes.extend_from_slice(&self.mark.token);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<IdempotencyExpiryKey> {
        let (at, rest) = read_u64(KeyKind::IdempotencyExpiry.strip(&key.0)?)?;
        let (scope, token) = rest.split_first()?;
        let mark = IdempotencyKey { scope: IdempotencyScope::of(*scope)?, token: key.0.slice_ref(token) };
        Some(IdempotencyExpiryKey { at: EpochMs(at), mark })
    }

    /// Those of marks that have ended at `now`, the first ended first.
    pub fn ended(now: EpochMs) -> KeyRange {
        let mut range = KeyKind::IdempotencyExpiry.range();
        if let Some(later) = now.0.checked_add(1) {
            let mut end = KeyKind::IdempotencyExpiry.start(8);
            end.extend_from_slice(&later.to_be_bytes());
            range.end = Bound::Excluded(Bytes::from(end));
        }
        range
    }
}

impl IdempotencyValue {
    /// A mark of a request that was done, or refused for good.
    pub fn new(request: [u8; 32], expires_ms: Option<EpochMs>, refused: Option<Refused>) -> IdempotencyValue {
        IdempotencyValue { version: VERSION, request, expires_ms, refused }
    }

    /// The row's value.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("invariant: a mark has string keys only").into()
    }

    /// Reads a row's value. `None`: it is no mark of a version that this code knows.
    pub fn decode(value: &[u8]) -> Option<IdempotencyValue> {
        serde_json::from_slice(value).ok().filter(|value: &IdempotencyValue| value.version == VERSION)
    }
}

/// Bytes as lower-case hexadecimal digits.
mod hex {
    use std::fmt::Write as _;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(64);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |index: usize| text.get(2 * index..2 * index + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let mut bytes = [0; 32];
        for (index, slot) in bytes.iter_mut().enumerate() {
            *slot = byte(index).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))?;
        }
        Ok(bytes)
    }
}
