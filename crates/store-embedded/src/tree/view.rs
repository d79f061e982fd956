//! A view: the memtables and the tables of one moment. A reader takes the present one and reads it without any lock,
//! whatever is flushed or compacted meanwhile: the view keeps its tables' files.
//!
//! Invariant: for a key, a source earlier in the order (active memtable, sealed ones from the newest, runs as the tree
//! lists them) holds newer versions than a later one.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_epoch::Guard;
use tailrace_core::Lsn;
use xxhash_rust::xxh3::xxh3_64;

use super::Seqno;
use super::effort::{Effort, FILTER_STEPS, LOOK_STEPS, Stop};
use super::memtable::{Memtable, MemtableCursor, key_hash};
use super::merge::{Bounds, Merge, Source};
use super::table::{RunCursor, TableReader};

/// A memtable that is no longer written, and the LSN that it reaches.
#[derive(Clone)]
pub(super) struct Sealed {
    pub rows: Arc<Memtable>,
    pub reaches: Lsn,
}

/// Tables without overlap, in key order.
pub(super) type Run = Vec<Arc<TableReader>>;

#[derive(Clone)]
pub(super) struct View {
    pub active: Arc<Memtable>,
    /// Newest first.
    pub sealed: Vec<Sealed>,
    /// Newest first.
    pub runs: Arc<Vec<Run>>,
    /// How many of the runs are in level 0.
    pub young_runs: usize,
}

impl View {
    /// One that holds nothing.
    pub fn new(active: Memtable) -> View {
        View { active: Arc::new(active), sealed: Vec::new(), runs: Arc::default(), young_runs: 0 }
    }

    /// The memtables, newest first.
    fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(self.sealed.iter().map(|sealed| &sealed.rows))
    }

    /// The value of a key in the newest version up to `snapshot`, which is not older than the view's tables.
    pub fn get(&self, key: &Bytes, snapshot: Seqno, effort: &mut Effort) -> Result<Option<Bytes>, Stop> {
        let hash = key_hash(key);
        for memtable in self.memtables() {
            effort.take(FILTER_STEPS + LOOK_STEPS)?;
            if let Some(found) = memtable.get(key, hash, snapshot) {
                return Ok(found);
            }
        }
        // The filters of the library's tables have a hash of their own.
        let hash = xxh3_64(key);
        for run in self.runs.iter() {
            let Some(table) = table_of(run, key) else { continue };
            if let Some(found) = table.get(key, hash, effort)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What was written to a key since a view was taken whose active memtable begins with `before`: `Some(None)` if nothing was. `None`:
    /// the view cannot say, because a memtable that was written since then is on the disk already.
    pub fn since(&self, before: Seqno, key: &Bytes, snapshot: Seqno) -> Option<Option<Option<Bytes>>> {
        let hash = key_hash(key);
        let mut found = None;
        for memtable in self.memtables() {
            found = found.or_else(|| memtable.get(key, hash, snapshot));
            if memtable.begins() == before {
                return Some(found);
            }
        }
        None
    }

    /// The rows of the bounds, each in its newest version up to `snapshot`, which is not older than the view's tables.
    pub fn merge<'a: 'g, 'g>(
        &'a self,
        bounds: &'a Bounds,
        (snapshot, reverse): (Seqno, bool),
        guard: &'g Guard,
        effort: &mut Effort,
    ) -> Result<Merge<'a, 'g>, Stop> {
        let mut sources = Vec::with_capacity(1 + self.sealed.len() + self.runs.len());
        for memtable in self.memtables() {
            sources.push(Source::Memtable(MemtableCursor::new(memtable, bounds, (snapshot, reverse), guard, effort)?));
        }
        for run in self.runs.iter() {
            sources.push(Source::Run(RunCursor::new(run, bounds, reverse, effort)?));
        }
        Ok(Merge::new(sources, reverse))
    }
}

fn table_of<'a>(run: &'a Run, key: &[u8]) -> Option<&'a TableReader> {
    let at = run.partition_point(|table| table.last_key() < key);
    run.get(at).filter(|table| table.first_key() <= key).map(|table| &**table)
}
