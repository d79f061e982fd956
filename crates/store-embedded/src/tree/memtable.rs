//! A memtable: published rows that are not in the tree's files yet, each with the number of the group that wrote it.
//!
//! Invariants: only the applier writes, in rising order of groups; readers see a key's newest version of their snapshot
//! or older. A sealed memtable is never written again. The filter knows of every key of a group before it is published.

use std::cmp::{Ordering, Reverse};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use crossbeam_epoch::{Guard, default_collector, pin};
use crossbeam_skiplist::SkipList;
use crossbeam_skiplist::base;
use lsm_tree::InternalValue;

use super::effort::{Effort, LOOK_STEPS, Stop};
use super::merge::Bounds;
use super::{Seqno, internal};

/// What an entry takes beside its bytes: two handles, the number, the key's beginning, the list's own links.
const ENTRY_BYTES: u64 = 128;
/// Versions of a key that are stepped over one by one; further ones are jumped over.
const VERSIONS_STEPPED: u32 = 3;

/// A key's version: by key, then newest first.
#[derive(Clone, PartialEq, Eq)]
struct Version {
    /// The first bytes of the key, so that most comparisons need not follow its pointer.
    head: u128,
    key: Bytes,
    seqno: Reverse<Seqno>,
}

impl Version {
    fn new(key: &Bytes, seqno: Seqno) -> Version {
        let mut head = [0; 16];
        let len = key.len().min(16);
        head[..len].copy_from_slice(&key[..len]);
        Version { head: u128::from_be_bytes(head), key: key.clone(), seqno: Reverse(seqno) }
    }

    /// Before all versions of a key.
    fn before(key: &Bytes) -> Version {
        Version::new(key, Seqno::MAX)
    }

    /// Behind all versions of a key: there is no group 0.
    fn behind(key: &Bytes) -> Version {
        Version::new(key, 0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        // Where the padded beginnings differ, so do the keys, and in the same way.
        self.head.cmp(&other.head).then_with(|| self.key.cmp(&other.key)).then_with(|| self.seqno.cmp(&other.seqno))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a key may be in the memtable: one word for each key, a few bits of it.
struct Filter {
    words: Vec<AtomicU64>,
}

impl Filter {
    /// For a memtable of about so many bytes.
    fn new(bytes: u64) -> Filter {
        // Eight entries to a word if rows are as small as they get; one in fifty foreign keys then passes.
        let words = (bytes / (8 * ENTRY_BYTES)).clamp(64, 1 << 15).next_power_of_two();
        Filter { words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    fn word_and_bits(&self, hash: u64) -> (&AtomicU64, u64) {
        let bit = |n: u32| 1u64 << ((hash >> (6 * n)) & 63);
        // The bits are from the low half of the hash, the word is from the high one.
        let word = (hash >> 32) as usize & (self.words.len() - 1);
        (&self.words[word], bit(0) | bit(1) | bit(2) | bit(3))
    }

    fn add(&self, hash: u64) {
        let (word, bits) = self.word_and_bits(hash);
        word.fetch_or(bits, Relaxed);
    }

    fn may_hold(&self, hash: u64) -> bool {
        let (word, bits) = self.word_and_bits(hash);
        word.load(Relaxed) & bits == bits
    }
}

type Entry<'a, 'g> = base::Entry<'a, 'g, Version, Option<Bytes>>;

pub(super) struct Memtable {
    /// Nothing is ever removed from it, so a guard may be held for as long as it takes.
    rows: SkipList<Version, Option<Bytes>>,
    bytes: AtomicU64,
    filter: Filter,
}

impl Memtable {
    /// An empty one that will be sealed at about so many bytes.
    pub fn new(bytes_max: u64) -> Memtable {
        Memtable {
            rows: SkipList::new(default_collector().clone()),
            bytes: AtomicU64::new(0),
            filter: Filter::new(bytes_max),
        }
    }

    /// Adds a version of the key with this hash; `None` deletes the key.
    pub fn insert(&self, key: &Bytes, hash: u64, value: Option<Bytes>, seqno: Seqno) {
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len);
        self.bytes.fetch_add(ENTRY_BYTES + bytes as u64, Relaxed);
        self.filter.add(hash);
        let guard = pin();
        self.rows.insert(Version::new(key, seqno), value, &guard).release(&guard);
    }

    /// About what it takes in memory, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The newest version, up to `snapshot`, of the key with this hash. `None`: the memtable does not know the key.
    pub fn get(&self, key: &Bytes, hash: u64, snapshot: Seqno) -> Option<Option<Bytes>> {
        if !self.filter.may_hold(hash) {
            return None;
        }
        Some(self.version(key, snapshot, &pin())?.value().clone())
    }

    fn version<'a: 'g, 'g>(&'a self, key: &Bytes, snapshot: Seqno, guard: &'g Guard) -> Option<Entry<'a, 'g>> {
        let found = self.rows.lower_bound(Bound::Included(&Version::new(key, snapshot)), guard)?;
        (found.key().key == key).then_some(found)
    }

    /// The newest version of every key, in key order: what the tree's files need of it.
    pub fn newest<'a: 'g, 'g>(&'a self, guard: &'g Guard) -> impl Iterator<Item = InternalValue> + 'g {
        let mut last: Option<&Bytes> = None;
        self.rows.iter(guard).filter_map(move |entry| {
            let Version { key, seqno, .. } = entry.key();
            if last == Some(key) {
                return None;
            }
            last = Some(key);
            Some(internal(key.clone(), entry.value().clone(), seqno.0))
        })
    }
}

/// Walks over the keys of a memtable, each in its newest version up to a snapshot.
pub(super) struct MemtableCursor<'a, 'g> {
    memtable: &'a Memtable,
    bounds: &'a Bounds,
    snapshot: Seqno,
    reverse: bool,
    guard: &'g Guard,
    at: Option<Entry<'a, 'g>>,
}

impl<'a: 'g, 'g> MemtableCursor<'a, 'g> {
    /// At the first key of the bounds.
    pub fn new(
        memtable: &'a Memtable,
        bounds: &'a Bounds,
        (snapshot, reverse): (Seqno, bool),
        guard: &'g Guard,
        effort: &mut Effort,
    ) -> Result<MemtableCursor<'a, 'g>, Stop> {
        effort.take(LOOK_STEPS)?;
        let rows = &memtable.rows;
        let first = match (reverse, &bounds.start, &bounds.end) {
            (false, Bound::Included(key), _) => rows.lower_bound(Bound::Included(&Version::before(key)), guard),
            (false, Bound::Excluded(key), _) => rows.lower_bound(Bound::Excluded(&Version::behind(key)), guard),
            (false, Bound::Unbounded, _) => rows.front(guard),
            (true, _, Bound::Included(key)) => rows.upper_bound(Bound::Included(&Version::behind(key)), guard),
            (true, _, Bound::Excluded(key)) => rows.upper_bound(Bound::Excluded(&Version::before(key)), guard),
            (true, _, Bound::Unbounded) => rows.back(guard),
        };
        let mut cursor = MemtableCursor { memtable, bounds, snapshot, reverse, guard, at: None };
        cursor.settle(first, effort)?;
        Ok(cursor)
    }

    /// The key that the cursor is at; `None` behind the last one.
    pub fn key(&self) -> Option<&'g Bytes> {
        self.at.as_ref().map(|entry| &entry.key().key)
    }

    /// The value there; `None` if the key is deleted.
    pub fn value(&self) -> Option<&'g Bytes> {
        self.at.as_ref().and_then(|entry| entry.value().as_ref())
    }

    /// On to the next key.
    pub fn advance(&mut self, effort: &mut Effort) -> Result<(), Stop> {
        let Some(at) = self.at.take() else { return Ok(()) };
        let next = self.behind(&at, effort)?;
        self.settle(next, effort)
    }

    /// The first entry of the next key, in the cursor's direction.
    fn behind(&self, entry: &Entry<'a, 'g>, effort: &mut Effort) -> Result<Option<Entry<'a, 'g>>, Stop> {
        let (key, rows) = (&entry.key().key, &self.memtable.rows);
        if self.reverse {
            // The list has no way back: each step is a search.
            effort.take(LOOK_STEPS)?;
            return Ok(rows.upper_bound(Bound::Excluded(&Version::before(key)), self.guard));
        }
        let mut next = entry.next();
        for _ in 0..VERSIONS_STEPPED {
            effort.take(1)?;
            let Some(there) = &next else { return Ok(None) };
            if there.key().key != key {
                return Ok(next);
            }
            next = there.next();
        }
        effort.take(LOOK_STEPS)?;
        Ok(rows.lower_bound(Bound::Excluded(&Version::behind(key)), self.guard))
    }

    /// Stops at the first key from `next` on that has a version of the snapshot, if it is within the bounds.
    fn settle(&mut self, mut next: Option<Entry<'a, 'g>>, effort: &mut Effort) -> Result<(), Stop> {
        while let Some(entry) = next {
            let Version { key, seqno, .. } = entry.key();
            let outside = if self.reverse { self.bounds.is_below(key) } else { self.bounds.is_above(key) };
            if outside {
                break;
            }
            // Forwards, the first version of a key is the newest one. Backwards it is the oldest one.
            if !self.reverse && seqno.0 <= self.snapshot {
                self.at = Some(entry);
                break;
            }
            effort.take(LOOK_STEPS)?;
            if let Some(found) = self.memtable.version(key, self.snapshot, self.guard) {
                self.at = Some(found);
                break;
            }
            next = self.behind(&entry, effort)?;
        }
        Ok(())
    }
}
