//! The head of a chain: a row of the store that says what the chain ends with and where in the place that lies.
//!
//! Invariants: the row is written when the segment that it tells of is durable in the place, and only over the row that the segment was
//! made behind; so a segment is made again, after a crash, behind the very head that it was first made behind, and what lies in
//! the place beyond the head was never confirmed. What is tried is noted in the row first, since the next try may be of other bytes. Of two servers that write it at once, one finds another row than it read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, RecordNo};
use tailrace_store::keyspace::AuditChainKey;
use tailrace_store::{Engine, Swap, compare_and_set};

use super::chain::Hash;
use super::place::Tried;
use crate::sink::SinkError;

/// The version that this code writes.
const HEAD_VERSION: u32 = 1;

/// Different tries at a segment that are noted. Our reason: a row stays small, and of two keys, or two lengths, one is the latest.
const TRIES_MAX: usize = 8;

/// The head of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub(super) v: u32,
    /// The chain: a path in the place.
    pub chain: String,
    /// The place.
    pub place: String,
    /// The hash of the last line, hex.
    pub(super) hash: String,
    /// How many entries.
    pub entries: u64,
    /// How many segments.
    pub segments: u64,
    /// The last record that it holds; of a snapshot, the number of its last page.
    pub last: RecordNo,
    /// The file that the last segment is in: the number of the file's first entry.
    pub file: u64,
    /// Where the last segment begins there, bytes.
    pub last_at: u64,
    /// Where it ends.
    pub end: u64,
    /// Of a snapshot: how often its sink was removed, and made again, since its first one.
    #[serde(default)]
    pub life: u32,
    /// How many entries were signed.
    pub signed_entries: u64,
    /// The time of the last record that was signed.
    pub signed_ms: EpochMs,
    /// The place in which the control chain tells of it; empty: in none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) told: String,
    /// Segments that were to come behind it, the latest last: each is noted before it is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tried: Vec<Tried>,
}

impl Head {
    /// A head with this hash, all else as in `like`.
    pub fn with_hash(self, hash: &Hash) -> Head {
        Head { hash: hash.to_string(), ..self }
    }

    /// The head of a chain without segments.
    pub fn of_new(chain: String, place: String) -> Head {
        Head {
            v: HEAD_VERSION,
            chain,
            place,
            hash: Hash::NONE.to_string(),
            entries: 0,
            segments: 0,
            last: RecordNo::ZERO,
            file: 0,
            last_at: 0,
            end: 0,
            life: 0,
            signed_entries: 0,
            signed_ms: EpochMs::ZERO,
            told: String::new(),
            tried: Vec::new(),
        }
    }

    /// The head before this segment is tried behind it; `None`: that is noted already.
    pub(super) fn trying(&self, segment: Tried) -> Option<Head> {
        if self.tried.contains(&segment) {
            return None;
        }
        let mut head = self.clone();
        if head.tried.len() == TRIES_MAX {
            head.tried.remove(0);
        }
        head.tried.push(segment);
        Some(head)
    }

    /// Of a snapshot: it is over, and the next one is a chain of its own.
    pub fn over(self) -> Head {
        let next = Head::of_new(self.chain, self.place);
        Head { life: self.life + 1, ..next }
    }

    /// Of a chain without segments whose row was left by one that is over: the folder is another one.
    pub fn begun_anew(self, chain: &str) -> Head {
        match self.life {
            life if self.segments == 0 && life > 0 => Head { chain: format!("{chain}-{}", life + 1), ..self },
            _ => self,
        }
    }

    /// The hash of the last line.
    ///
    /// # Errors
    /// The row holds none.
    pub fn hash(&self) -> Result<Hash, SinkError> {
        Hash::parse(self.hash.as_bytes()).ok_or_else(|| corrupt(&self.chain))
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// It is no head of a version that this code knows.
    pub fn decode(row: &Bytes, key: &AuditChainKey) -> Result<Head, SinkError> {
        let head = serde_json::from_slice::<Head>(row).ok().filter(|head| head.v == HEAD_VERSION);
        head.ok_or_else(|| corrupt(&format!("{} {:?}", key.trail, key.chain)))
    }

    /// The value of its row.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("invariant: names are strings").into()
    }
}

fn corrupt(of: &str) -> SinkError {
    SinkError(format!("the head of the audit chain {of} cannot be read"))
}

/// The head's row as it stands.
///
/// # Errors
/// The store's failure.
pub async fn read(store: &dyn Engine, key: &AuditChainKey) -> Result<Option<Bytes>, SinkError> {
    let mut rows = store.get(&[key.encode()]).await.map_err(|error| SinkError(error.to_string()))?;
    Ok(rows.pop().flatten())
}

/// Writes a head over the row that was read.
///
/// # Errors
/// Somebody else has written it since, or the store's failure.
pub async fn write(
    store: &dyn Engine,
    key: &AuditChainKey,
    read: Option<&Bytes>,
    head: &Head,
) -> Result<(), SinkError> {
    match compare_and_set(store, &key.encode(), read, Some(head.encode())).await {
        Ok(Swap::Done) => Ok(()),
        Ok(Swap::Differs(_)) => Err(written_by_another(head)),
        Err(error) => Err(SinkError(error.to_string())),
    }
}

/// The row is another one than was read.
pub fn written_by_another(head: &Head) -> SinkError {
    SinkError(format!("another server writes the audit chain {}", head.chain))
}
