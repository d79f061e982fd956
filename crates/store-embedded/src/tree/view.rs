//! A view: the memtables and the tables of one moment. A reader takes the present one and reads it without any lock,
//! whatever is flushed or compacted meanwhile: the view keeps its tables' files.
//!
//! Invariant: for a key, a source earlier in the order (active memtable, sealed ones from the newest, runs as the tree
//! lists them) holds newer versions than a later one.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::merge::{BoxedIterator, Merger};
use lsm_tree::mvcc_stream::MvccStream;
use lsm_tree::{InternalValue, Slice, Table};
use tailrace_core::Lsn;
use xxhash_rust::xxh3::xxh3_64;

use super::Seqno;
use super::memtable::Memtable;

/// A memtable that is no longer written, and the LSN that it reaches.
#[derive(Clone)]
pub(super) struct Sealed {
    pub rows: Arc<Memtable>,
    pub reaches: Lsn,
}

/// Tables without overlap, in key order.
type Run = Vec<Table>;

#[derive(Clone, Default)]
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
    /// The value of a key in the newest version up to `snapshot`, which is not older than the view's tables.
    pub fn get(&self, key: &Bytes, snapshot: Seqno) -> lsm_tree::Result<Option<Bytes>> {
        let memtables = std::iter::once(&self.active).chain(self.sealed.iter().map(|sealed| &sealed.rows));
        for memtable in memtables {
            if let Some(found) = memtable.get(key, snapshot) {
                return Ok(found);
            }
        }
        // The filters of all tables are asked with one hash.
        let hash = xxh3_64(key);
        for run in self.runs.iter() {
            let Some(table) = table_of(run, key) else { continue };
            if let Some(found) = table.get(key, Seqno::MAX, hash)? {
                return Ok((!found.is_tombstone()).then(|| Bytes::from(found.value)));
            }
        }
        Ok(None)
    }

    /// The rows of the bounds, each in its newest version up to `snapshot`, which is not older than the view's tables.
    pub fn range<'a>(
        &'a self,
        start: &'a Bound<Bytes>,
        end: &'a Bound<Bytes>,
        snapshot: Seqno,
    ) -> impl DoubleEndedIterator<Item = lsm_tree::Result<InternalValue>> + 'a {
        let mut sources: Vec<BoxedIterator<'a>> = Vec::with_capacity(1 + self.sealed.len() + self.runs.len());
        sources.push(Box::new(self.active.range(start, end, snapshot).map(Ok)));
        for sealed in &self.sealed {
            sources.push(Box::new(sealed.rows.range(start, end, snapshot).map(Ok)));
        }
        let bounds = || (start.clone().map(Slice::from), end.clone().map(Slice::from));
        for run in self.runs.iter() {
            let tables = overlapping(run, start, end);
            if let [table] = tables {
                sources.push(Box::new(table.range(bounds())));
            } else if !tables.is_empty() {
                sources.push(Box::new(tables.iter().flat_map(move |table| table.range(bounds()))));
            }
        }
        MvccStream::new(Merger::new(sources)).filter(|row| row.as_ref().map_or(true, |row| !row.is_tombstone()))
    }
}

fn table_of<'a>(run: &'a [Table], key: &[u8]) -> Option<&'a Table> {
    let at = run.partition_point(|table| table.metadata.key_range.max().as_ref() < key);
    run.get(at).filter(|table| table.metadata.key_range.min().as_ref() <= key)
}

fn overlapping<'a>(run: &'a [Table], start: &Bound<Bytes>, end: &Bound<Bytes>) -> &'a [Table] {
    let first = match start {
        Bound::Included(key) | Bound::Excluded(key) => {
            run.partition_point(|table| table.metadata.key_range.max().as_ref() < key.as_ref())
        }
        Bound::Unbounded => 0,
    };
    let behind = match end {
        Bound::Included(key) | Bound::Excluded(key) => {
            run.partition_point(|table| table.metadata.key_range.min().as_ref() <= key.as_ref())
        }
        Bound::Unbounded => run.len(),
    };
    run.get(first..behind).unwrap_or_default()
}
