//! The tree: published rows in `lsm-tree`, with its flushes and compactions.
//!
//! Invariants: only the applier writes, a whole group under one sequence number, and a group is in one memtable; a
//! reader's snapshot is the newest published group, never the tree's own counter (a flush moves that one in the middle
//! of a group). A memtable is sealed with the row `CounterKey::Applied`, so that the tree on the disk says up to which
//! LSN it holds everything. A read that meets damage is an error that names the file.
//!
//! Sequence numbers are the tree's own, not LSNs: flushes and compactions take numbers too, and a snapshot must be
//! above the number of every version of the tree that it shall see.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::PartitioningPolicy;
use lsm_tree::{AbstractTree, AnyTree, Cache, Config, DescriptorTable, Guard, SequenceNumberCounter, Slice};
use parking_lot::{Mutex, RwLock};
use tailrace_core::Lsn;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::engine::{Key, KeyRange, Page, PageLimit, StoreError};
use crate::keyspace::CounterKey;

/// Open table files; above that the least used is closed. Our reason: far below the usual limit of 1,024 descriptors.
const OPEN_FILES_MAX: usize = 256;
/// Whether the filter and the index of a table are cut into pieces of a few KiB, by level. In one piece they are megabytes
/// in the large tables of the lower levels, and each read that finds them fallen out of the cache reads all of them.
const PARTITIONED: [bool; 2] = [false, true];
/// Runs in level 0 that are merged into level 1 together.
const YOUNG_RUNS_MERGED: u8 = 8;
/// Size of a table in the levels below, compressed; level 1 holds `YOUNG_RUNS_MERGED` of them, and each further level
/// ten times as much.
const TABLE_BYTES: u64 = 8 * 1024 * 1024;
/// A memtable with more entries than this is sealed early when it holds many versions of few keys.
const OVERWRITTEN_ENTRIES_MIN: usize = 32 * 1024;
/// "Many versions of few keys": on average so many of each.
const OVERWRITES_MAX: usize = 16;

/// One key's last version in a group.
pub(super) type Change = (Bytes, Option<Bytes>);

pub(super) struct Tree {
    tree: AnyTree,
    path: PathBuf,
    seqno: SequenceNumberCounter,
    /// Number of the newest published group.
    published: AtomicU64,
    /// Held (shared) from choosing a snapshot to having the tree's version for it; a flush or compaction takes it
    /// exclusively for an instant, so that no snapshot below its watermark is still on the way.
    choosing: RwLock<()>,
    memtable_bytes: u64,
    active: Mutex<Active>,
    /// The LSN that the newest sealed memtable reaches.
    sealed: AtomicU64,
}

#[derive(Default)]
struct Active {
    entries: usize,
    keys: HashSet<u64>,
}

impl Tree {
    /// Opens the tree in `path`, or makes one. Also gives the LSN up to which it holds everything.
    pub fn open(path: &Path, memtable_bytes: u64, cache_bytes: u64) -> Result<(Tree, Lsn), StoreError> {
        let (seqno, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let tree = Config::new(path, seqno.clone(), visible)
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(OPEN_FILES_MAX))))
            .filter_block_partitioning_policy(PartitioningPolicy::new(PARTITIONED))
            .index_block_partitioning_policy(PartitioningPolicy::new(PARTITIONED))
            .open()
            .map_err(|error| explain(path, &error))?;
        let highest = tree.get_highest_seqno().unwrap_or(0);
        seqno.set(highest + 1);
        let tree = Tree {
            tree,
            path: path.to_owned(),
            seqno,
            published: AtomicU64::new(highest),
            choosing: RwLock::new(()),
            memtable_bytes,
            active: Mutex::default(),
            sealed: AtomicU64::new(0),
        };
        let applied = tree.get(&CounterKey::Applied.encode().0)?;
        let applied = match applied {
            None => Lsn::ZERO,
            Some(value) => Lsn(CounterKey::next(Some(&value))
                .ok_or_else(|| StoreError::Corrupt(format!("{}: the applied LSN is not a number", path.display())))?),
        };
        tree.sealed.store(applied.0, Ordering::Release);
        Ok((tree, applied))
    }

    fn snapshot(&self) -> u64 {
        self.published.load(Ordering::Acquire) + 1
    }

    /// The published value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let _choosing = self.choosing.read();
        self.get_at(key, self.snapshot())
    }

    /// The values of keys, all of one point in time.
    pub fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let _choosing = self.choosing.read();
        let snapshot = self.snapshot();
        keys.iter().map(|key| self.get_at(&key.0, snapshot)).collect()
    }

    fn get_at(&self, key: &[u8], snapshot: u64) -> Result<Option<Bytes>, StoreError> {
        let found = self.tree.get(key, snapshot).map_err(|error| explain(&self.path, &error))?;
        Ok(found.map(Bytes::from))
    }

    /// A page of rows, all of one point in time.
    pub fn page(&self, range: &KeyRange, limit: PageLimit) -> Result<Page, StoreError> {
        if range.is_empty() {
            return Ok(Page::default());
        }
        let bounds: (Bound<Bytes>, Bound<Bytes>) = (range.start.clone(), range.end.clone());
        let rows = {
            let _choosing = self.choosing.read();
            self.tree.range(bounds, self.snapshot(), None)
        };
        if range.reverse { self.take(rows.rev(), limit) } else { self.take(rows, limit) }
    }

    fn take(&self, rows: impl Iterator<Item = lsm_tree::IterGuardImpl>, limit: PageLimit) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let mut cost = 0usize;
        for row in rows {
            if page.rows.len() >= limit.rows_max || cost >= limit.cost_max {
                page.limited = true;
                break;
            }
            let (key, value) = row.into_inner().map_err(|error| explain(&self.path, &error))?;
            cost = cost.saturating_add((limit.cost)(&key, &value));
            page.rows.push((Key(Bytes::from(key)), Bytes::from(value)));
        }
        Ok(page)
    }

    /// Puts a group in and makes it visible at once.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let seqno = self.seqno.next();
        let mut active = self.active.lock();
        for (key, value) in changes {
            active.entries += 1;
            active.keys.insert(xxh3_64(&key));
            self.put(key, value, seqno);
        }
        drop(active);
        self.published.store(seqno, Ordering::Release);
    }

    fn put(&self, key: Bytes, value: Option<Bytes>, seqno: u64) {
        match value {
            Some(value) => self.tree.insert(Slice::from(key), Slice::from(value), seqno),
            None => self.tree.remove(Slice::from(key), seqno),
        };
    }

    /// Seals the memtable, which reaches up to `applied`, if it is full or overwritten (or `now`). True if it was sealed.
    pub fn seal_if_due(&self, applied: Lsn, now: bool) -> bool {
        let mut active = self.active.lock();
        let overwritten =
            active.entries >= OVERWRITTEN_ENTRIES_MIN && active.keys.len() * OVERWRITES_MAX < active.entries;
        let full = self.tree.active_memtable().size() >= self.memtable_bytes;
        if active.entries == 0 || !(now || full || overwritten) {
            return false;
        }
        let seqno = self.seqno.next();
        self.put(CounterKey::Applied.encode().0, Some(CounterKey::value(applied.0)), seqno);
        self.published.store(seqno, Ordering::Release);
        self.tree.rotate_memtable();
        self.sealed.store(applied.0, Ordering::Release);
        *active = Active::default();
        true
    }

    /// Sealed memtables that are not on the disk yet.
    pub fn sealed_memtables(&self) -> usize {
        self.tree.sealed_memtable_count()
    }

    /// Runs of tables that a read may have to look through in level 0.
    pub fn young_runs(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// The oldest snapshot that a reader may still choose.
    fn watermark(&self) -> u64 {
        let _nobody_is_choosing = self.choosing.write();
        self.snapshot()
    }

    /// Writes the sealed memtables to the disk; gives the LSN up to which the disk then holds everything.
    pub fn flush(&self) -> Result<Lsn, StoreError> {
        let covered = Lsn(self.sealed.load(Ordering::Acquire));
        let lock = self.tree.get_flush_lock();
        let flushed = self.tree.flush(&lock, self.watermark());
        flushed.map_err(|error| explain(&self.path, &error))?;
        Ok(covered)
    }

    /// Compacts until there is nothing to do, or `stop` says so.
    pub fn compact(&self, stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let strategy = Arc::new(
            Leveled::default().with_l0_threshold(YOUNG_RUNS_MERGED).with_table_target_size(TABLE_BYTES),
        );
        loop {
            let before = self.tree.current_version().id();
            let compacted = self.tree.compact(strategy.clone(), self.watermark());
            compacted.map_err(|error| explain(&self.path, &error))?;
            if stop() || self.tree.current_version().id() == before {
                return Ok(());
            }
        }
    }

    /// Removes the table files that lie wholly in the range. Rows of the range that are elsewhere stay.
    pub fn drop_files(&self, start: &Bytes, end: &Bytes) -> Result<(), StoreError> {
        let range = (Bound::Included(start.as_ref()), Bound::Excluded(end.as_ref()));
        self.tree.drop_range::<&[u8], _>(range).map_err(|error| explain(&self.path, &error))
    }
}

fn file_checksum(file: &Path) -> Result<u128, StoreError> {
    use std::io::Read;
    let failed = |error: std::io::Error| StoreError::Io(format!("cannot read {}: {error}", file.display()));
    let mut reader = std::fs::File::open(file).map_err(failed)?;
    let mut hash = Xxh3::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match reader.read(&mut piece).map_err(failed)? {
            0 => return Ok(hash.digest128()),
            read => hash.update(&piece[..read]),
        }
    }
}

/// What an error of the tree means to the caller. The tree does not say which file was damaged, so the table files are
/// compared with the checksums in their directory: slow, but damage ends the process anyway.
fn explain(path: &Path, error: &lsm_tree::Error) -> StoreError {
    use std::io::ErrorKind;
    match error {
        lsm_tree::Error::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            StoreError::Full(format!("{}: {io}", path.display()))
        }
        lsm_tree::Error::Io(io) if !matches!(io.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
            StoreError::Io(format!("{}: {io}", path.display()))
        }
        other => {
            let files = damaged_files(path);
            let named = if files.is_empty() { path.display().to_string() } else { files.join(", ") };
            StoreError::Corrupt(format!("{named}: {other}"))
        }
    }
}

/// One line for each damaged file of a tree that is not open.
pub(super) fn check(path: &Path) -> Vec<String> {
    let mut lines = damaged_files(path);
    for line in &mut lines {
        line.push_str(": differs from its checksum, or cannot be read");
    }
    // The tables' checksums do not cover the manifest's own framing: opening it does.
    if lines.is_empty()
        && path.join("current").exists()
        && let Err(error) = Tree::open(path, u64::MAX, 0)
    {
        lines.push(error.to_string());
    }
    lines
}

/// The files of a tree that differ from what their manifest says, read without opening the tree.
fn damaged_files(path: &Path) -> Vec<String> {
    let Ok(bytes) = std::fs::read(path.join("current")) else {
        return vec![path.join("current").display().to_string()];
    };
    let Some(id) = bytes.first_chunk::<8>() else {
        return vec![path.join("current").display().to_string()];
    };
    let manifest = path.join(format!("v{}", u64::from_le_bytes(*id)));
    match manifest_tables(&manifest) {
        None => vec![manifest.display().to_string()],
        Some(tables) => tables
            .into_iter()
            .map(|(id, checksum)| (path.join("tables").join(id.to_string()), checksum))
            .filter(|(file, checksum)| file_checksum(file).ok() != Some(*checksum))
            .map(|(file, _)| file.display().to_string())
            .collect(),
    }
}

/// Table numbers and checksums of a manifest. `None`: the manifest cannot be read.
fn manifest_tables(manifest: &Path) -> Option<Vec<(u64, u128)>> {
    let reader = sfa::Reader::new(manifest).ok()?;
    let section = reader.toc().section(b"tables")?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut section.buf_reader(manifest).ok()?, &mut bytes).ok()?;
    let mut rest = &bytes[..];
    let mut take = |count: usize| {
        let (head, tail) = rest.split_at_checked(count)?;
        rest = tail;
        Some(head)
    };
    let mut tables = Vec::new();
    let levels = take(1)?[0];
    for _ in 0..levels {
        let runs = take(1)?[0];
        for _ in 0..runs {
            let count = u32::from_le_bytes(take(4)?.try_into().ok()?);
            for _ in 0..count {
                let id = u64::from_le_bytes(take(8)?.try_into().ok()?);
                take(1)?;
                let checksum = u128::from_le_bytes(take(16)?.try_into().ok()?);
                take(8)?;
                tables.push((id, checksum));
            }
        }
    }
    Some(tables)
}
