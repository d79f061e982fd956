//! What an operator has set aside: pieces of segments that are damaged, and that the log goes on without.
//!
//! A note says where the piece is, which numbers and which shards' records are lost in it, and what the frame behind it
//! follows, so that the chain goes on. Invariants: nothing is set aside but what the check names as damage; frames whose
//! rows the tree does not hold only on the plainer word that writes are lost; readers skip what is noted, and say so.

use std::ops::RangeInclusive;
use std::path::Path;

use bytes::Bytes;
use tailrace_core::Lsn;
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Reader, put_varint};
use super::frame::{Position, SegmentNo, corrupt, u32_at, u64_at};
use crate::files::{Files, read_all};
use tailrace_store::{ShardNo, StoreError};

const NAME: &str = "set-aside";
const MAGIC: &[u8; 8] = b"TRLOGSET";
const HEAD_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 8;

/// A piece of a segment that cannot be read, and what is lost with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub segment: SegmentNo,
    /// Where the piece begins and ends: with the good frames around it.
    pub from: u64,
    pub to: u64,
    /// The checksum that the frame behind it says it follows.
    pub prev: u64,
    /// The numbers between the good frames around it; the last is below the first if none is lost.
    pub first: Lsn,
    pub last: Lsn,
    /// The shards that have records in it, with the first and the last number of each. `None`: nobody knows.
    pub shards: Option<Vec<(ShardNo, Lsn, Lsn)>>,
}

impl Lost {
    /// What is lost of a shard.
    fn of(&self, shard: ShardNo) -> Option<RangeInclusive<Lsn>> {
        match &self.shards {
            None if self.first <= self.last => Some(self.first..=self.last),
            // Frames that take no number hold records that were moved: older ones, of whichever shard.
            None => (self.from > 0).then(|| Lsn::ZERO.next()..=self.last),
            Some(shards) => shards.iter().find(|(of, ..)| *of == shard).map(|(_, first, last)| *first..=*last),
        }
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let none = self.first > self.last;
        match (none, &self.shards) {
            (false, _) => write!(f, "numbers {} to {}", self.first, self.last)?,
            // Records that were moved take no number between the frames around them.
            (true, None) if self.from > 0 => {
                return write!(
                    f,
                    "no number of a commit, but perhaps older stream records, of shards that nobody knows"
                );
            }
            (true, Some(shards)) if !shards.is_empty() => write!(f, "no number of a commit")?,
            (true, _) => return write!(f, "no number is lost in it"),
        }
        match &self.shards {
            None => write!(f, ", of shards that nobody knows"),
            Some(shards) if shards.is_empty() => write!(f, ", no stream record"),
            Some(shards) => {
                for (i, (shard, first, last)) in shards.iter().enumerate() {
                    let before = if i == 0 { ", stream records" } else { "," };
                    write!(f, "{before} {first} to {last} of shard {}", shard.0)?;
                }
                Ok(())
            }
        }
    }
}

/// All notes, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SetAside {
    notes: Vec<Lost>,
}

impl SetAside {
    /// The notes in `dir`; none if there is no such file.
    pub fn open(files: &dyn Files, dir: &Path, names: &[String]) -> Result<Self, StoreError> {
        if !names.iter().any(|name| name == NAME) {
            return Ok(Self::default());
        }
        let path = dir.join(NAME);
        let bytes = read_all(&*files.open(&path)?)?;
        let end = bytes.len().saturating_sub(CHECKSUM_BYTES);
        if end < HEAD_BYTES || &bytes[..8] != MAGIC || xxh3_64(&bytes[..end]) != u64_at(&bytes, end) {
            return Err(corrupt(&path, 0, "notes with a valid checksum", "ones that do not verify"));
        }
        if u32_at(&bytes, 8) > super::superblock::FORMAT {
            return Err(StoreError::NewerFormat(format!("{} has a newer format", path.display())));
        }
        let content = Bytes::from(bytes).slice(HEAD_BYTES..end);
        decode(&content).ok_or_else(|| corrupt(&path, HEAD_BYTES as u64, "notes of this format", "other bytes"))
    }

    /// Adds a note, durably.
    pub fn add(&mut self, files: &dyn Files, dir: &Path, lost: Lost) -> Result<(), StoreError> {
        self.notes.retain(|note| (note.segment, note.from) != (lost.segment, lost.from));
        self.notes.push(lost);
        self.notes.sort_by_key(|note| (note.segment, note.from));
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&super::superblock::FORMAT.to_le_bytes());
        put_varint(&mut bytes, self.notes.len() as u64);
        for Lost { segment, from, to, prev, first, last, shards } in &self.notes {
            [segment.0, *from, *to, *prev, first.0, last.0].into_iter().for_each(|n| put_varint(&mut bytes, n));
            // 0 is "nobody knows"; a count is stored one higher.
            put_varint(&mut bytes, shards.as_ref().map_or(0, |shards| shards.len() as u64 + 1));
            for (shard, first, last) in shards.iter().flatten() {
                [shard.0, first.0, last.0].into_iter().for_each(|n| put_varint(&mut bytes, n));
            }
        }
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let temporary = dir.join("set-aside.tmp");
        let _ = files.remove(&temporary);
        let file = files.create(&temporary)?;
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        files.rename(&temporary, &dir.join(NAME))?;
        files.sync_dir(dir)?;
        Ok(())
    }

    /// The note of the piece that begins exactly there.
    pub fn at(&self, place: Position) -> Option<&Lost> {
        self.notes.iter().find(|note| (note.segment, note.from) == (place.segment(), place.offset()))
    }

    /// Whether a place is in a noted piece.
    pub fn covers(&self, place: Position) -> bool {
        self.of_segment(place.segment()).any(|note| (note.from..note.to).contains(&place.offset()))
    }

    /// The notes of a segment.
    pub fn of_segment(&self, segment: SegmentNo) -> impl Iterator<Item = &Lost> {
        self.notes.iter().filter(move |note| note.segment == segment)
    }

    /// What is lost of a shard above `after` and up to `to`.
    pub fn lost_of(&self, shard: ShardNo, after: Lsn, to: Lsn) -> Vec<RangeInclusive<Lsn>> {
        let within = |lost: RangeInclusive<Lsn>| (*lost.start()).max(after.next())..=(*lost.end()).min(to);
        self.notes.iter().filter_map(|note| note.of(shard)).map(within).filter(|lost| !lost.is_empty()).collect()
    }
}

fn decode(content: &Bytes) -> Option<SetAside> {
    let mut from = Reader::new(content);
    let mut notes = Vec::new();
    for _ in 0..from.varint()? {
        let segment = SegmentNo(from.varint()?);
        let (begin, to, prev) = (from.varint()?, from.varint()?, from.varint()?);
        let (first, last) = (Lsn(from.varint()?), Lsn(from.varint()?));
        let shards = match from.varint()?.checked_sub(1) {
            None => None,
            Some(count) => {
                let mut shards = Vec::new();
                for _ in 0..count {
                    shards.push((ShardNo(from.varint()?), Lsn(from.varint()?), Lsn(from.varint()?)));
                }
                Some(shards)
            }
        };
        notes.push(Lost { segment, from: begin, to, prev, first, last, shards });
    }
    Some(SetAside { notes })
}
