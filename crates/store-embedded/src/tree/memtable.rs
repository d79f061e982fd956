//! A memtable: published rows that are not in the tree's files yet, each with the number of the group that wrote it.
//!
//! Invariants: only the applier writes, in rising order of groups; readers see a key's newest version of their snapshot
//! or older. A sealed memtable is never written again.

use std::cmp::Reverse;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use lsm_tree::InternalValue;

use super::{Seqno, internal};

/// What an entry takes beside its bytes: two handles, the number, the list's own links.
const ENTRY_BYTES: u64 = 112;

/// A key's version: newest first.
type Version = (Bytes, Reverse<Seqno>);

#[derive(Default)]
pub(super) struct Memtable {
    rows: SkipMap<Version, Option<Bytes>>,
    bytes: AtomicU64,
}

impl Memtable {
    /// Adds a version; `None` deletes the key.
    pub fn insert(&self, key: Bytes, value: Option<Bytes>, seqno: Seqno) {
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len);
        self.bytes.fetch_add(ENTRY_BYTES + bytes as u64, Ordering::Relaxed);
        self.rows.insert((key, Reverse(seqno)), value);
    }

    /// About what it takes in memory, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The newest version of a key up to `snapshot`. `None`: the memtable does not know the key.
    pub fn get(&self, key: &Bytes, snapshot: Seqno) -> Option<Option<Bytes>> {
        let found = self.rows.lower_bound(Bound::Included(&(key.clone(), Reverse(snapshot))))?;
        (found.key().0 == key).then(|| found.value().clone())
    }

    /// Every version up to `snapshot` of the keys in the bounds, in key order, newest first.
    pub fn range(
        &self,
        start: &Bound<Bytes>,
        end: &Bound<Bytes>,
        snapshot: Seqno,
    ) -> impl DoubleEndedIterator<Item = InternalValue> {
        // The newest version of a key sorts before all others of it, the number 0 behind them.
        let before = |key: &Bytes| (key.clone(), Reverse(Seqno::MAX));
        let behind = |key: &Bytes| (key.clone(), Reverse(0));
        let start = match start {
            Bound::Included(key) => Bound::Included(before(key)),
            Bound::Excluded(key) => Bound::Excluded(behind(key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let end = match end {
            Bound::Included(key) => Bound::Included(behind(key)),
            Bound::Excluded(key) => Bound::Excluded(before(key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let seen = move |seqno: &Reverse<Seqno>| seqno.0 <= snapshot;
        self.rows
            .range((start, end))
            .filter(move |entry| seen(&entry.key().1))
            .map(|entry| internal(entry.key().0.clone(), entry.value().clone(), entry.key().1.0))
    }

    /// The newest version of every key, in key order: what the tree's files need of it.
    pub fn newest(&self) -> impl Iterator<Item = InternalValue> {
        let mut last: Option<Bytes> = None;
        self.rows.iter().filter_map(move |entry| {
            let (key, seqno) = entry.key();
            if last.as_ref() == Some(key) {
                return None;
            }
            last = Some(key.clone());
            Some(internal(key.clone(), entry.value().clone(), seqno.0))
        })
    }
}
