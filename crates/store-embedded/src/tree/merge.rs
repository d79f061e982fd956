//! The rows of a range of keys: memtables and tables merged, each key in its newest version.
//!
//! Invariant: a source that was added earlier holds newer versions of a key than a later one.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::Bytes;

use super::effort::{Effort, Stop};
use super::memtable::MemtableCursor;
use super::table::RunCursor;

/// A range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub start: Bound<Bytes>,
    pub end: Bound<Bytes>,
}

impl Bounds {
    /// Whether a key lies before the start.
    pub fn is_below(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) => key < &start[..],
            Bound::Excluded(start) => key <= &start[..],
            Bound::Unbounded => false,
        }
    }

    /// Whether a key lies behind the end.
    pub fn is_above(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Included(end) => key > &end[..],
            Bound::Excluded(end) => key >= &end[..],
            Bound::Unbounded => false,
        }
    }
}

/// Where rows come from.
pub(super) enum Source<'a, 'g> {
    Memtable(MemtableCursor<'a, 'g>),
    Run(RunCursor<'a>),
}

impl<'a: 'g, 'g> Source<'a, 'g> {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Source::Memtable(cursor) => cursor.key().map(|key| &key[..]),
            Source::Run(cursor) => cursor.key(),
        }
    }

    fn advance(&mut self, effort: &mut Effort) -> Result<(), Stop> {
        match self {
            Source::Memtable(cursor) => cursor.advance(effort),
            Source::Run(cursor) => cursor.advance(effort),
        }
    }
}

/// Merges sources. After a stop it is of no use any more.
pub(super) struct Merge<'a, 'g> {
    sources: Vec<Source<'a, 'g>>,
    /// The sources that have rows, by the keys that they are at.
    order: Vec<usize>,
    reverse: bool,
}

impl<'a: 'g, 'g> Merge<'a, 'g> {
    /// The newest source is first.
    pub fn new(sources: Vec<Source<'a, 'g>>, reverse: bool) -> Merge<'a, 'g> {
        let mut merge = Merge { order: Vec::with_capacity(sources.len()), sources, reverse };
        for source in 0..merge.sources.len() {
            merge.insert(source);
        }
        merge
    }

    /// Puts a source to its place in the order, unless it is at its end.
    fn insert(&mut self, source: usize) {
        if self.sources[source].key().is_none() {
            return;
        }
        // Most often it is still the first one.
        let at = match self.order.first() {
            Some(first) if self.compare(*first, source).is_lt() => {
                1 + self.order[1..].partition_point(|other| self.compare(*other, source).is_lt())
            }
            _ => 0,
        };
        self.order.insert(at, source);
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let keys = self.sources[a].key().cmp(&self.sources[b].key());
        (if self.reverse { keys.reverse() } else { keys }).then(a.cmp(&b))
    }

    /// The source of the next key's newest version.
    fn first(&self) -> Option<&Source<'a, 'g>> {
        self.order.first().map(|source| &self.sources[*source])
    }

    /// The next key; `None` behind the last one.
    pub fn key(&self) -> Option<&[u8]> {
        self.first()?.key()
    }

    /// Whether the next key is not deleted.
    pub fn is_alive(&self) -> bool {
        match self.first() {
            Some(Source::Memtable(cursor)) => cursor.value().is_some(),
            Some(Source::Run(cursor)) => cursor.is_alive(),
            None => false,
        }
    }

    /// The next row, if its key is not deleted.
    pub fn row(&self) -> Option<(Bytes, Bytes)> {
        match self.first()? {
            Source::Memtable(cursor) => Some((cursor.key()?.clone(), cursor.value()?.clone())),
            Source::Run(cursor) => Some((Bytes::copy_from_slice(cursor.key()?), cursor.value()?)),
        }
    }

    /// On to the next key: past all versions of this one.
    pub fn advance(&mut self, effort: &mut Effort) -> Result<(), Stop> {
        let key = self.key();
        let versions = self.order.iter().take_while(|source| self.sources[**source].key() == key).count();
        for _ in 0..versions {
            // The ones that are not moved yet are before all others: they are at a key that is passed.
            let source = self.order.remove(0);
            self.sources[source].advance(effort)?;
            self.insert(source);
        }
        Ok(())
    }
}
