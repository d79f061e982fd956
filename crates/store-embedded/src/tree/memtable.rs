//! A memtable: published rows that are not in the tree's files yet, each with its versions and the numbers of the groups that
//! wrote them.
//!
//! A row is in a list by key, for pages, and in a table by the hash of its key: a search in the list goes over a dozen of
//! rows all over the memory, so single rows are read, and written again, without one.
//!
//! Invariants: only the applier writes, in rising order of groups; readers see a key's newest version of their snapshot
//! or older. A sealed memtable is never written again. The filter knows of every key of a group before it is published.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use crossbeam_epoch::{Guard, default_collector, pin};
use crossbeam_skiplist::SkipList;
use crossbeam_skiplist::base;
use hashbrown::HashTable;
use lsm_tree::InternalValue;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::effort::{Effort, LOOK_STEPS, Stop};
use super::merge::Bounds;
use super::{Seqno, internal};

/// What a row takes beside its bytes: in the list, in the table, itself, and the handles of key and value. Measured.
const ROW_BYTES: u64 = 304;
/// What each further version takes beside its bytes: its place in a list that grows by doubling, and the handle of its value.
const VERSION_BYTES: u64 = 88;
/// Parts of the table with a lock each, so that readers and the applier seldom meet.
const PARTS: usize = 64;

/// The hash of a key in this process: whoever makes up keys cannot know which of them meet.
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    xxh3_64_with_seed(key, *SEED)
}

/// A key in the list.
#[derive(Clone, PartialEq, Eq)]
struct ListedKey {
    /// The first bytes of the key, so that most comparisons need not follow its pointer.
    head: u128,
    key: Bytes,
}

impl ListedKey {
    fn new(key: &Bytes) -> ListedKey {
        let mut head = [0; 16];
        let len = key.len().min(16);
        head[..len].copy_from_slice(&key[..len]);
        ListedKey { head: u128::from_be_bytes(head), key: key.clone() }
    }
}

impl Ord for ListedKey {
    fn cmp(&self, other: &ListedKey) -> Ordering {
        // Where the padded beginnings differ, so do the keys, and in the same way.
        self.head.cmp(&other.head).then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for ListedKey {
    fn partial_cmp(&self, other: &ListedKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A key, and what was written to it.
struct Row {
    key: Bytes,
    versions: RwLock<Versions>,
}

/// The versions of a row; of a deleted one without a value.
struct Versions {
    seqno: Seqno,
    value: Option<Bytes>,
    /// Those before the newest, in the order of their groups.
    older: Vec<(Seqno, Option<Bytes>)>,
}

impl Row {
    /// The newest version up to `snapshot`. `None`: there was none yet.
    fn at(&self, snapshot: Seqno) -> Option<Option<Bytes>> {
        let versions = self.versions.read();
        if versions.seqno <= snapshot {
            return Some(versions.value.clone());
        }
        let behind = versions.older.partition_point(|(seqno, _)| *seqno <= snapshot);
        Some(versions.older[behind.checked_sub(1)?].1.clone())
    }

    fn add(&self, value: Option<Bytes>, seqno: Seqno) {
        let mut versions = self.versions.write();
        let before = (versions.seqno, std::mem::replace(&mut versions.value, value));
        versions.seqno = seqno;
        if versions.older.is_empty() {
            // Many rows are written twice, few much more often: a list begins with places for four.
            versions.older.reserve_exact(1);
        }
        versions.older.push(before);
    }
}

/// Whether a key may be in the memtable: one word for each key, a few bits of it.
struct Filter {
    words: Vec<AtomicU64>,
}

impl Filter {
    /// For a memtable of about so many bytes.
    fn new(bytes: u64) -> Filter {
        // Five rows to a word if they are as small as they get; one in a hundred foreign keys then passes.
        let words = (bytes / (5 * ROW_BYTES)).clamp(64, 1 << 15).next_power_of_two();
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

type Entry<'a, 'g> = base::Entry<'a, 'g, ListedKey, Arc<Row>>;

pub(super) struct Memtable {
    /// The first group that may be in it: it has all that was written from there on until it was sealed.
    begins: Seqno,
    /// Nothing is ever removed from it, so a guard may be held for as long as it takes.
    list: SkipList<ListedKey, Arc<Row>>,
    table: Vec<RwLock<HashTable<Arc<Row>>>>,
    filter: Filter,
    bytes: AtomicU64,
    rows: AtomicUsize,
    versions: AtomicUsize,
}

impl Memtable {
    /// An empty one for the groups from `begins` on, that will be sealed at about so many bytes.
    pub fn new(bytes_max: u64, begins: Seqno) -> Memtable {
        Memtable {
            begins,
            list: SkipList::new(default_collector().clone()),
            table: (0..PARTS).map(|_| RwLock::default()).collect(),
            filter: Filter::new(bytes_max),
            bytes: AtomicU64::new(0),
            rows: AtomicUsize::new(0),
            versions: AtomicUsize::new(0),
        }
    }

    /// The first group that may be in it; no other memtable of the tree begins with it.
    pub fn begins(&self) -> Seqno {
        self.begins
    }

    /// Adds a version of a key; `None` deletes it. Only the applier may.
    pub fn insert(&self, key: &Bytes, value: Option<Bytes>, seqno: Seqno) {
        let hash = key_hash(key);
        let value_bytes = value.as_ref().map_or(0, Bytes::len) as u64;
        self.versions.fetch_add(1, Relaxed);
        if let Some(row) = self.row(key, hash) {
            self.bytes.fetch_add(VERSION_BYTES + value_bytes, Relaxed);
            row.add(value, seqno);
            return;
        }
        self.rows.fetch_add(1, Relaxed);
        self.bytes.fetch_add(ROW_BYTES + key.len() as u64 + value_bytes, Relaxed);
        self.filter.add(hash);
        let versions = RwLock::new(Versions { seqno, value, older: Vec::new() });
        let row = Arc::new(Row { key: key.clone(), versions });
        self.part(hash).write().insert_unique(hash, row.clone(), |row| key_hash(&row.key));
        let guard = pin();
        self.list.insert(ListedKey::new(key), row, &guard).release(&guard);
    }

    fn part(&self, hash: u64) -> &RwLock<HashTable<Arc<Row>>> {
        // Within a part the table looks at the other bits.
        &self.table[(hash >> 40) as usize % PARTS]
    }

    fn row(&self, key: &Bytes, hash: u64) -> Option<Arc<Row>> {
        if !self.filter.may_hold(hash) {
            return None;
        }
        self.part(hash).read().find(hash, |row| row.key == key).cloned()
    }

    /// About what it takes in memory, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many keys it holds.
    pub fn rows(&self) -> usize {
        self.rows.load(Relaxed)
    }

    /// How many versions of them.
    pub fn versions(&self) -> usize {
        self.versions.load(Relaxed)
    }

    /// The newest version, up to `snapshot`, of the key with this [`key_hash`]. `None`: the memtable does not know the key.
    pub fn get(&self, key: &Bytes, hash: u64, snapshot: Seqno) -> Option<Option<Bytes>> {
        if !self.filter.may_hold(hash) {
            return None;
        }
        let part = self.part(hash).read();
        part.find(hash, |row| row.key == key)?.at(snapshot)
    }

    /// The newest version of every key, in key order: what the tree's files need of it.
    pub fn newest<'a: 'g, 'g>(&'a self, guard: &'g Guard) -> impl Iterator<Item = InternalValue> + 'g {
        self.list.iter(guard).map(|entry| {
            let versions = entry.value().versions.read();
            internal(entry.key().key.clone(), versions.value.clone(), versions.seqno)
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
    at: Option<(Entry<'a, 'g>, Option<Bytes>)>,
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
        let list = &memtable.list;
        let listed = |bound: &Bound<Bytes>| bound.as_ref().map(ListedKey::new);
        let first = match reverse {
            false => list.lower_bound(listed(&bounds.start).as_ref(), guard),
            true => list.upper_bound(listed(&bounds.end).as_ref(), guard),
        };
        let mut cursor = MemtableCursor { memtable, bounds, snapshot, reverse, guard, at: None };
        cursor.settle(first, effort)?;
        Ok(cursor)
    }

    /// The key that the cursor is at; `None` behind the last one.
    pub fn key(&self) -> Option<&'g Bytes> {
        self.at.as_ref().map(|(entry, _)| &entry.key().key)
    }

    /// The value there; `None` if the key is deleted.
    pub fn value(&self) -> Option<&Bytes> {
        self.at.as_ref().and_then(|(_, value)| value.as_ref())
    }

    /// On to the next key.
    pub fn advance(&mut self, effort: &mut Effort) -> Result<(), Stop> {
        let Some((at, _)) = self.at.take() else { return Ok(()) };
        let next = self.behind(&at, effort)?;
        self.settle(next, effort)
    }

    /// The next key, in the cursor's direction.
    fn behind(&self, entry: &Entry<'a, 'g>, effort: &mut Effort) -> Result<Option<Entry<'a, 'g>>, Stop> {
        if self.reverse {
            // The list has no way back: each step is a search.
            effort.take(LOOK_STEPS)?;
            return Ok(self.memtable.list.upper_bound(Bound::Excluded(entry.key()), self.guard));
        }
        effort.take(1)?;
        Ok(entry.next())
    }

    /// Stops at the first key from `next` on that has a version of the snapshot, if it is within the bounds.
    fn settle(&mut self, mut next: Option<Entry<'a, 'g>>, effort: &mut Effort) -> Result<(), Stop> {
        while let Some(entry) = next {
            let key = &entry.key().key;
            let outside = if self.reverse { self.bounds.is_below(key) } else { self.bounds.is_above(key) };
            if outside {
                break;
            }
            if let Some(value) = entry.value().at(self.snapshot) {
                self.at = Some((entry, value));
                break;
            }
            next = self.behind(&entry, effort)?;
        }
        Ok(())
    }
}
