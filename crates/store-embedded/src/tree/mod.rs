//! The tree: published rows in memtables of our own and in the tables of `lsm-tree`, with flushes and compactions.
//!
//! Invariants: only the applier writes, a whole group under one sequence number, and a group is in one memtable; a
//! reader takes the view (`view`) and its snapshot, the newest published group, together. A memtable is sealed with the row
//! `CounterKey::Applied`, so that the tree on the disk says up to which LSN it holds everything. A read that meets damage
//! is an error that names the file.
//!
//! Why the memtables are not the library's: it keeps them behind the lock under which it also writes and syncs its
//! manifest, so that each flush and compaction held up every read and write for 40 to 100 ms on a busy disk. Reads and
//! writes here never take a lock of the library (docs/adr/0001).
//!
//! Sequence numbers are the tree's own, one for each group, not LSNs: they need not survive more than the tables do.

pub(crate) mod damage;
mod effort;
mod gaps;
mod known;
mod memtable;
mod merge;
mod paging;
mod table;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::PartitioningPolicy;
use lsm_tree::file_accessor::FileAccessor;
use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, DescriptorTable, InternalValue, SequenceNumberCounter, ValueType,
};
use parking_lot::{Mutex, RwLock};
use tailrace_core::Lsn;

use damage::explain;
pub(crate) use effort::{Effort, Stop};
use gaps::Gaps;
use known::KnownRows;
use memtable::Memtable;
pub(crate) use memtable::key_hash;
pub(crate) use paging::Paging;
use table::TableReader;
use tailrace_store::keyspace::CounterKey;
use tailrace_store::{KeyRange, Page, PageLimit, ReadPoint, StoreError};
use view::{Run, Sealed, View};

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
/// A memtable with more versions than this is sealed early when they are of few keys.
const OVERWRITTEN_VERSIONS_MIN: usize = 32 * 1024;
/// "Many versions of few keys": on average so many of each.
const OVERWRITES_MAX: usize = 16;

/// The number of a group in the tree.
pub(crate) type Seqno = u64;

/// One key's last version in a group.
pub(crate) type Change = (Bytes, Option<Bytes>);

pub(crate) struct Tree {
    tables: AnyTree,
    path: PathBuf,
    view: RwLock<Arc<View>>,
    /// Held while the tables of a new view are listed and put into it, so that an older list never replaces a newer one.
    listing: Mutex<()>,
    /// Every view that a reader may hold, the present one included; their tables' files must stay.
    held: Mutex<Vec<Weak<View>>>,
    /// Held (shared) while tables are written; exclusively while files of tables that came to nothing are removed.
    pub(crate) writing: RwLock<()>,
    /// Number of the newest published group. Stored by `gaps`, and before that by nobody else.
    published: AtomicU64,
    gaps: Arc<Gaps>,
    known: KnownRows,
    /// The open files of tables.
    files: FileAccessor,
    memtable_bytes: u64,
    #[cfg(test)]
    pub(crate) hooks: tests::Hooks,
}

/// A point in time: a published group, and a view that has it.
#[derive(Clone)]
pub(crate) struct Snapshot {
    view: Arc<View>,
    seqno: Seqno,
    /// See [`Gaps::epoch`].
    epoch: u64,
}

impl Snapshot {
    /// What says later which memtables were written since: it keeps nothing alive.
    pub fn point(&self) -> ReadPoint {
        ReadPoint(self.view.active.begins())
    }
}

/// A row as the tables have it.
pub(crate) fn internal(key: Bytes, value: Option<Bytes>, seqno: Seqno) -> InternalValue {
    match value {
        Some(value) => InternalValue::from_components(key, value, seqno, ValueType::Value),
        None => InternalValue::new_tombstone(key, seqno),
    }
}

impl Tree {
    /// Opens the tree in `path`, or makes one. Also gives the LSN up to which it holds everything.
    pub fn open(path: &Path, memtable_bytes: u64, cache_bytes: u64) -> Result<(Tree, Lsn), StoreError> {
        let files = Arc::new(DescriptorTable::new(OPEN_FILES_MAX));
        let (seqno, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let tables = Config::new(path, seqno.clone(), visible)
            .use_cache(Arc::new(Cache::with_capacity_bytes(cache_bytes)))
            .use_descriptor_table(Some(files.clone()))
            .filter_block_partitioning_policy(PartitioningPolicy::new(PARTITIONED))
            .index_block_partitioning_policy(PartitioningPolicy::new(PARTITIONED))
            .open()
            .map_err(|error| explain(path, &error))?;
        let highest = tables.get_highest_seqno().unwrap_or(0);
        seqno.set(highest + 1);
        let tree = Tree {
            tables,
            path: path.to_owned(),
            view: RwLock::new(Arc::new(View::new(Memtable::new(memtable_bytes, highest + 1)))),
            listing: Mutex::default(),
            held: Mutex::default(),
            writing: RwLock::default(),
            published: AtomicU64::new(highest),
            gaps: Arc::default(),
            known: KnownRows::default(),
            files: FileAccessor::DescriptorTable(files),
            memtable_bytes,
            #[cfg(test)]
            hooks: tests::Hooks::default(),
        };
        tree.list_tables(None)?;
        let applied = match tree.get(&CounterKey::Applied.encode().0)? {
            None => Lsn::ZERO,
            Some(value) => Lsn(CounterKey::next(Some(&value))
                .ok_or_else(|| StoreError::Corrupt(format!("{}: the applied LSN is not a number", path.display())))?),
        };
        Ok((tree, applied))
    }

    /// The newest published group. Its number is taken while the view is held: it is then neither older than the view's
    /// tables nor newer than its memtables. What is remembered of a read (`known`, `gaps`) counts from this number on, so
    /// that a view without a group of it would be remembered as if the group had never been.
    pub fn snapshot(&self) -> Snapshot {
        let epoch = self.gaps.epoch();
        let present = self.view.read();
        let view = present.clone();
        #[cfg(test)]
        self.hooks.view_taken();
        Snapshot { view, seqno: self.published.load(Ordering::Acquire), epoch }
    }

    fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// The published value of a key, from the disk if need be.
    pub fn get(&self, key: &Bytes) -> Result<Option<Bytes>, StoreError> {
        self.get_at(&self.snapshot(), key, &mut Effort::unbounded()).map_err(|stop| self.failed(stop))
    }

    /// The value of a key at a point in time.
    pub fn get_at(&self, snapshot: &Snapshot, key: &Bytes, effort: &mut Effort) -> Result<Option<Bytes>, Stop> {
        let known = KnownRows::holds(key);
        if known && let Some(found) = self.known.get(key, snapshot.seqno) {
            return Ok(found);
        }
        let found = snapshot.view.get(key, snapshot.seqno, effort);
        if known && let Ok(value) = &found {
            self.known.learn(key, value, snapshot.seqno);
        }
        #[cfg(test)]
        self.hooks.took(effort);
        found
    }

    /// The value of a key at a point in time, given its value at an earlier one: without a look at the tables. `None`: what
    /// came in between is on the disk already.
    pub fn get_since(
        &self,
        now: &Snapshot,
        before: ReadPoint,
        key: &Bytes,
        value: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Option<Bytes>> {
        Some(now.view.since(before.0, key, now.seqno)?.unwrap_or_else(value))
    }

    /// A page of rows, all of one point in time, from the disk if need be.
    pub fn page(&self, range: &KeyRange, limit: PageLimit) -> Result<Page, StoreError> {
        let mut paging = Paging::new(self, range.clone(), limit);
        while !paging.run(self, &mut Effort::unbounded())? {}
        Ok(paging.into_page())
    }

    /// What a read's stop means, if it is for good.
    pub fn failed(&self, stop: Stop) -> StoreError {
        match stop {
            Stop::Failed(error) => explain(&self.path, &error),
            Stop::Aside => StoreError::Io("a read that may wait did not go on".to_owned()),
        }
    }

    /// Puts a group in and makes it visible at once.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let seqno = self.published.load(Ordering::Acquire) + 1;
        let memtable = self.view().active.clone();
        let mut puts = Vec::new();
        for (key, value) in changes {
            if value.is_some() {
                puts.push(key.clone());
            }
            if KnownRows::holds(&key) {
                self.known.forget(&key, seqno);
            }
            memtable.insert(&key, value, seqno);
        }
        self.gaps.publish(&self.published, seqno, puts);
    }

    /// Seals the memtable, which reaches up to `applied`, if it is full or overwritten (or `now`). True if it was sealed.
    pub fn seal_if_due(&self, applied: Lsn, now: bool) -> bool {
        let active = self.view().active.clone();
        let versions = active.versions();
        let overwritten = versions >= OVERWRITTEN_VERSIONS_MIN && active.rows() * OVERWRITES_MAX < versions;
        let full = active.bytes() >= self.memtable_bytes;
        if versions == 0 || !(now || full || overwritten) {
            return false;
        }
        let seqno = self.published.load(Ordering::Acquire) + 1;
        let key = CounterKey::Applied.encode().0;
        active.insert(&key, Some(CounterKey::value(applied.0)), seqno);
        self.gaps.publish(&self.published, seqno, vec![key]);
        self.change_view(|view| {
            let rows = std::mem::replace(&mut view.active, Arc::new(Memtable::new(self.memtable_bytes, seqno + 1)));
            view.sealed.insert(0, Sealed { rows, reaches: applied });
        });
        true
    }

    fn change_view(&self, change: impl FnOnce(&mut View)) {
        let mut present = self.view.write();
        let mut next = View::clone(&present);
        change(&mut next);
        let next = Arc::new(next);
        {
            // Before anyone can take it: whoever removes files must know of every view that a reader may have.
            let mut held = self.held.lock();
            held.retain(|view| view.strong_count() > 0);
            held.push(Arc::downgrade(&next));
        }
        let old = std::mem::replace(&mut *present, next);
        drop(present);
        #[cfg(test)]
        self.hooks.view_replaced();
        // Perhaps the last holder of tables that are compacted away: their files go with it, outside of the lock.
        drop(old);
    }

    /// Brings the view's tables up to date; `flushed` is in them now.
    fn list_tables(&self, flushed: Option<&Sealed>) -> Result<(), StoreError> {
        let _listing = self.listing.lock();
        let version = self.tables.current_version();
        let young_runs = version.l0().run_count();
        let view = self.view();
        let mut known: HashMap<_, _> = view.runs.iter().flatten().map(|table| (table.id(), table.clone())).collect();
        drop(view);
        let mut reader = |table: &lsm_tree::Table| match known.remove(&table.id()) {
            Some(reader) => Ok(reader),
            None => self.open_table(table).map(Arc::new).map_err(|error| explain(&self.path, &error)),
        };
        let runs = version.iter_levels().flat_map(|level| level.iter());
        let runs = runs.map(|run| run.iter().map(&mut reader).collect()).collect::<Result<Vec<Run>, StoreError>>()?;
        // The readers of tables that are no more go with the last view that has them.
        drop(known);
        let runs = Arc::new(runs);
        #[cfg(test)]
        self.hooks.tables_listed();
        self.change_view(|view| {
            (view.runs, view.young_runs) = (runs, young_runs);
            if let Some(flushed) = flushed {
                view.sealed.retain(|sealed| !Arc::ptr_eq(&sealed.rows, &flushed.rows));
            }
        });
        Ok(())
    }

    fn open_table(&self, table: &lsm_tree::Table) -> lsm_tree::Result<TableReader> {
        TableReader::open(
            table,
            self.tables.id(),
            &self.files,
            #[cfg(test)]
            &self.hooks.disk,
        )
    }

    /// Sealed memtables that are not on the disk yet.
    pub fn sealed_memtables(&self) -> usize {
        self.view.read().sealed.len()
    }

    /// Runs of tables that a read may have to look through in level 0.
    pub fn young_runs(&self) -> usize {
        self.view.read().young_runs
    }

    /// Writes the sealed memtables to the disk, the oldest first; tells `covered` up to which LSN the disk then holds
    /// everything, each time.
    pub fn flush(&self, covered: &mut dyn FnMut(Lsn)) -> Result<(), StoreError> {
        let _one_at_a_time = self.tables.get_flush_lock();
        while let Some(oldest) = self.view().sealed.last().cloned() {
            self.written(|| {
                let guard = crossbeam_epoch::pin();
                let Some((tables, _)) = self.tables.flush_to_tables(oldest.rows.newest(&guard).map(Ok))? else {
                    return Ok(());
                };
                self.tables.register_tables(&tables, None, None, &[], Seqno::MAX)
            })?;
            self.list_tables(Some(&oldest))?;
            covered(oldest.reaches);
        }
        Ok(())
    }

    /// Writes tables. What a full disk left of them is removed again: nothing else would before the next start.
    fn written(&self, write: impl FnOnce() -> lsm_tree::Result<()>) -> Result<(), StoreError> {
        let done = {
            let _writing = self.writing.read();
            write().map_err(|error| explain(&self.path, &error))
        };
        if matches!(done, Err(StoreError::Full(_))) {
            self.remove_orphans();
        }
        done
    }

    /// Removes the files of tables that no version and no reader has.
    fn remove_orphans(&self) {
        // The other writer's unfinished tables are nobody's, too: it removes them if it fails.
        let Some(_nobody_writes) = self.writing.try_write() else { return };
        // Tables that are being listed are perhaps in no version any more, and not yet in a view. The next try that finds
        // the disk full removes what stays now.
        let Some(_nobody_lists) = self.listing.try_lock() else { return };
        let views: Vec<Arc<View>> = self.held.lock().iter().filter_map(Weak::upgrade).collect();
        let mut known: HashSet<u64> =
            views.iter().flat_map(|view| view.runs.iter().flatten()).map(|table| table.id()).collect();
        known.extend(self.tables.current_version().iter_tables().map(|table| table.id()));
        let Ok(files) = std::fs::read_dir(self.path.join("tables")) else { return };
        for file in files.flatten() {
            let id = file.file_name().to_str().and_then(|name| name.parse().ok());
            if id.is_some_and(|id: u64| !known.contains(&id)) {
                // One that cannot be removed now is at the next start.
                let _left = std::fs::remove_file(file.path());
            }
        }
    }

    /// Compacts until there is nothing to do, or `stop` says so; tells of each step. Readers hold the tables of their
    /// view, so that no older version of a row need be kept for them.
    pub fn compact(&self, stop: &dyn Fn() -> bool, step: &mut dyn FnMut()) -> Result<(), StoreError> {
        let strategy =
            Arc::new(Leveled::default().with_l0_threshold(YOUNG_RUNS_MERGED).with_table_target_size(TABLE_BYTES));
        loop {
            let before = self.tables.current_version().id();
            self.written(|| self.tables.compact(strategy.clone(), Seqno::MAX))?;
            self.list_tables(None)?;
            step();
            if stop() || self.tables.current_version().id() == before {
                return Ok(());
            }
        }
    }

    /// Removes the table files that lie wholly in the range. Rows of the range that are elsewhere stay.
    pub fn drop_files(&self, start: &Bytes, end: &Bytes) -> Result<(), StoreError> {
        use std::ops::Bound;
        let range = (Bound::Included(start.as_ref()), Bound::Excluded(end.as_ref()));
        let _writing = self.writing.read();
        self.tables.drop_range::<&[u8], _>(range).map_err(|error| explain(&self.path, &error))?;
        // The library keeps the version before, and with it the files, for snapshots that it does not know are gone.
        let kept = self.tables.get_version_history_lock().maintenance(&self.path, Seqno::MAX);
        kept.map_err(|error| explain(&self.path, &error))?;
        self.list_tables(None)?;
        // Older rows of the range may have come to light.
        self.gaps.forget(start, end);
        Ok(())
    }
}
