//! What was read of sealed segments: open files, and pieces of indexes up to a number of bytes, the least used going first.
//!
//! It holds nothing that is not on the disk: whoever misses something reads it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::entries::Entries;
use super::frame::SegmentNo;
use super::index::{Pages, Run};
use crate::files::File;

const OPEN_FILES_MAX: usize = 64;

/// A piece of an index.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Where its pages are.
    Pages(Arc<Pages>),
    /// A page of runs.
    Runs(Arc<Vec<Run>>),
    /// The entries of a run.
    Entries(Arc<Entries>),
}

/// Which piece of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Pages,
    /// The page with this number.
    Runs(usize),
    /// The block at this offset.
    Entries(u64),
}

/// Which file of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FileKind {
    Segment,
    Index,
}

impl Piece {
    fn bytes(&self) -> usize {
        const AROUND: usize = 200;
        AROUND
            + match self {
                Piece::Pages(pages) => pages.bytes(),
                Piece::Runs(runs) => runs.len() * size_of::<Run>(),
                Piece::Entries(entries) => entries.bytes(),
            }
    }
}

type Key = (SegmentNo, Part);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pieces: BTreeMap<Key, (Piece, u64)>,
    /// The pieces by when they were used last.
    used: BTreeMap<u64, Key>,
    bytes: usize,
    files: HashMap<(SegmentNo, FileKind), (Arc<dyn File>, u64)>,
    turn: u64,
}

impl Cache {
    /// Drops everything of a segment.
    pub fn forget(&mut self, segment: SegmentNo) {
        self.files.retain(|(of, _), _| *of != segment);
        let all = (segment, Part::Pages)..=(segment, Part::Entries(u64::MAX));
        let keys: Vec<Key> = self.pieces.range(all).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: Key) {
        if let Some((piece, turn)) = self.pieces.remove(&key) {
            self.used.remove(&turn);
            self.bytes -= piece.bytes();
        }
    }

    pub fn get(&mut self, segment: SegmentNo, part: Part) -> Option<Piece> {
        self.turn += 1;
        let (piece, turn) = self.pieces.get_mut(&(segment, part))?;
        self.used.remove(turn);
        *turn = self.turn;
        self.used.insert(self.turn, (segment, part));
        Some(piece.clone())
    }

    pub fn add(&mut self, segment: SegmentNo, part: Part, piece: Piece, bytes_max: usize) {
        let key = (segment, part);
        self.remove(key);
        self.turn += 1;
        self.bytes += piece.bytes();
        self.pieces.insert(key, (piece, self.turn));
        self.used.insert(self.turn, key);
        while self.bytes > bytes_max && self.pieces.len() > 1 {
            let Some(oldest) = self.used.values().next().copied() else { return };
            self.remove(oldest);
        }
    }

    pub fn file(&mut self, segment: SegmentNo, kind: FileKind) -> Option<Arc<dyn File>> {
        self.turn += 1;
        let (file, used) = self.files.get_mut(&(segment, kind))?;
        *used = self.turn;
        Some(file.clone())
    }

    pub fn add_file(&mut self, segment: SegmentNo, kind: FileKind, file: Arc<dyn File>) {
        if self.files.len() >= OPEN_FILES_MAX
            && let Some(oldest) = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(n, _)| *n)
        {
            self.files.remove(&oldest);
        }
        self.files.insert((segment, kind), (file, self.turn));
    }

    /// Bytes of the pieces of indexes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
