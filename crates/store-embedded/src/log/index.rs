//! Where the records of a shard are in a segment: one run per shard (and one per moved run), and the file that keeps
//! the runs of a sealed segment.
//!
//! Invariants: a run's numbers rise and its times do not fall; the file is written after its segment is synced, under
//! another name, and renamed when it is durable, so that a damaged one is damage and never a torn write. It deliberately
//! holds nothing that the frames do not: a missing one is rebuilt from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::Lsn;
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Reader, put_varint};
use super::frame::{corrupt, u32_at, u64_at};
use crate::files::{File, Files};
use tailrace_store::{ShardNo, StoreError};

const MAGIC: &[u8; 8] = b"TRLOGIDX";
const PREFIX_BYTES: usize = 16;
/// Every so many entries one is stored whole, so that a search needs no walk from the start.
const ENTRIES_PER_RESTART: u32 = 64;
const RESTART_BYTES: usize = 28;
const INDEX_HEADER_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// A record's place: its number, its time, and its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub lsn: Lsn,
    pub time_ms: u64,
    pub offset: u32,
    pub len: u32,
}

/// The entries of a run, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    restarts: Vec<(Entry, u32)>,
    packed: Vec<u8>,
    count: u32,
    last: Entry,
}

impl Entries {
    pub fn push(&mut self, entry: Entry) {
        debug_assert!(self.count == 0 || entry.lsn > self.last.lsn, "a run's numbers rise");
        if self.count.is_multiple_of(ENTRIES_PER_RESTART) {
            self.restarts.push((entry, self.packed.len() as u32));
        } else {
            put_varint(&mut self.packed, entry.lsn.0 - self.last.lsn.0);
            put_varint(&mut self.packed, entry.time_ms - self.last.time_ms);
            put_varint(&mut self.packed, u64::from(entry.offset - self.last.offset) / 8);
            put_varint(&mut self.packed, u64::from(entry.len) / 8);
        }
        self.count += 1;
        self.last = entry;
    }

    /// Whether both hold the same entries.
    pub fn same_as(&self, other: &Self) -> bool {
        self.count == other.count && self.restarts == other.restarts && self.packed == other.packed
    }

    pub fn bytes(&self) -> usize {
        self.packed.len() + self.restarts.len() * 32 + 64
    }

    /// Entries in order for which `wanted` holds, from the first one that may (`before` holds for a prefix of the run),
    /// at most `max`.
    pub fn select(&self, before: impl Fn(&Entry) -> bool, wanted: impl Fn(&Entry) -> bool, max: usize) -> Vec<Entry> {
        let mut found = Vec::new();
        self.walk(&before, |entry| {
            if !before(&entry) {
                if !wanted(&entry) || found.len() >= max {
                    return false;
                }
                found.push(entry);
            }
            true
        });
        found
    }

    /// The last entry for which `before` holds (it holds for a prefix of the run).
    pub fn last_of(&self, before: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let mut last = None;
        self.walk(&before, |entry| {
            let is_before = before(&entry);
            if is_before {
                last = Some(entry);
            }
            is_before
        });
        last
    }

    /// Gives `visit` the entries in order until it says no, from the last whole one for which `before` holds.
    fn walk(&self, before: impl Fn(&Entry) -> bool, mut visit: impl FnMut(Entry) -> bool) {
        let block = self.restarts.partition_point(|(entry, _)| before(entry)).saturating_sub(1);
        let Some((mut entry, mut at)) = self.restarts.get(block).map(|(e, p)| (*e, *p as usize)) else { return };
        let mut index = block as u32 * ENTRIES_PER_RESTART;
        while visit(entry) {
            index += 1;
            if index >= self.count {
                return;
            }
            if index.is_multiple_of(ENTRIES_PER_RESTART) {
                (entry, at) = {
                    let (entry, at) = self.restarts[(index / ENTRIES_PER_RESTART) as usize];
                    (entry, at as usize)
                };
            } else {
                entry.lsn.0 += self.varint(&mut at);
                entry.time_ms += self.varint(&mut at);
                entry.offset += self.varint(&mut at) as u32 * 8;
                entry.len = self.varint(&mut at) as u32 * 8;
            }
        }
    }

    /// The packed bytes were made by `push`, or verified by a checksum over what `push` made.
    fn varint(&self, at: &mut usize) -> u64 {
        let (mut n, mut shift) = (0, 0);
        while let Some(byte) = self.packed.get(*at) {
            *at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                break;
            }
        }
        n
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        for (entry, at) in &self.restarts {
            out.extend_from_slice(&entry.lsn.0.to_le_bytes());
            out.extend_from_slice(&entry.time_ms.to_le_bytes());
            for n in [entry.offset, entry.len, *at] {
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        out.extend_from_slice(&self.packed);
        let checksum = xxh3_64(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    fn decode(block: &[u8]) -> Option<Self> {
        let end = block.len().checked_sub(8).filter(|end| *end >= 8)?;
        if xxh3_64(&block[..end]) != u64_at(block, end) {
            return None;
        }
        let (count, restarts) = (u32_at(block, 0), u32_at(block, 4) as usize);
        let packed_at = 8 + restarts.checked_mul(RESTART_BYTES)?;
        if packed_at > end {
            return None;
        }
        let restart = |i: usize| {
            let at = 8 + i * RESTART_BYTES;
            let entry = Entry {
                lsn: Lsn(u64_at(block, at)),
                time_ms: u64_at(block, at + 8),
                offset: u32_at(block, at + 16),
                len: u32_at(block, at + 20),
            };
            (entry, u32_at(block, at + 24))
        };
        let restarts = (0..restarts).map(restart).collect();
        Some(Self { restarts, packed: block[packed_at..end].to_vec(), count, last: Entry::default() })
    }
}

/// A run: consecutive records of one shard in one segment.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub shard: ShardNo,
    /// It was moved here from another segment.
    pub moved: bool,
    pub first: Lsn,
    pub last: Lsn,
    pub first_time_ms: u64,
    pub last_time_ms: u64,
    /// Bytes of its records.
    pub bytes: u64,
    /// Its entries, while they are in memory; else they are in the index file.
    pub entries: Option<Arc<Entries>>,
    /// Where they are in the index file: offset and length.
    pub block: (u64, u32),
}

impl Run {
    pub fn new(shard: ShardNo, moved: bool, entry: Entry) -> Self {
        let (first, time) = (entry.lsn, entry.time_ms);
        let entries = Some(Arc::default());
        let (first_time_ms, last_time_ms) = (time, time);
        Self { shard, moved, first, last: first, first_time_ms, last_time_ms, bytes: 0, entries, block: (0, 0) }
    }

    pub fn push(&mut self, entry: Entry, bytes: u64) {
        self.last = entry.lsn;
        self.last_time_ms = entry.time_ms;
        self.bytes += bytes;
        if let Some(entries) = &mut self.entries {
            Arc::make_mut(entries).push(entry);
        }
    }
}

/// What an index file says about its segment.
#[derive(Clone, Debug)]
pub(super) struct SegmentIndex {
    pub segment: u64,
    /// Where the segment's frames end.
    pub end: u64,
    /// First and last number; both zero in an empty segment.
    pub first: Lsn,
    pub last: Lsn,
    pub last_time_ms: u64,
    /// Checksum of the frame before the first one.
    pub prev: u64,
    /// Checksum of the last frame.
    pub last_checksum: u64,
    /// Segments whose live records were moved into this one.
    pub sources: Vec<u64>,
    pub runs: Vec<Run>,
}

/// The index file's path.
pub(super) fn path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:016x}.idx"))
}

/// Writes the index file durably; returns the runs' blocks.
pub(super) fn write(files: &dyn Files, dir: &Path, index: &SegmentIndex) -> Result<Vec<(u64, u32)>, StoreError> {
    let mut blocks = Vec::new();
    let mut spans = Vec::new();
    for run in &index.runs {
        let start = blocks.len();
        let entries = run.entries.as_ref().expect("invariant: a run without an index file is in memory");
        entries.encode(&mut blocks);
        spans.push((start as u64, (blocks.len() - start) as u32));
    }
    let mut body = Vec::new();
    let (first, last) = (index.first.0, index.last.0);
    for n in [index.segment, index.end, first, last, index.last_time_ms, index.prev, index.last_checksum] {
        put_varint(&mut body, n);
    }
    put_varint(&mut body, index.sources.len() as u64);
    index.sources.iter().for_each(|source| put_varint(&mut body, *source));
    put_varint(&mut body, index.runs.len() as u64);
    for (run, (start, len)) in index.runs.iter().zip(&spans) {
        let numbers = [run.shard.0, u64::from(run.moved), run.first.0, run.last.0, run.first_time_ms, run.last_time_ms];
        numbers.into_iter().for_each(|n| put_varint(&mut body, n));
        [run.bytes, *start, u64::from(*len)].into_iter().for_each(|n| put_varint(&mut body, n));
    }
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&super::superblock::FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let base = bytes.len() as u64;
    bytes.extend_from_slice(&blocks);

    let (to, temporary) = (path(dir, index.segment), dir.join(format!("{:016x}.idx.tmp", index.segment)));
    let _ = files.remove(&temporary);
    let file = files.create(&temporary)?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    files.rename(&temporary, &to)?;
    files.sync_dir(dir)?;
    Ok(spans.into_iter().map(|(start, len)| (base + start, len)).collect())
}

/// Reads an index file's header; the entries of the runs stay on the disk.
pub(super) fn open(file: &dyn File, segment: u64) -> Result<SegmentIndex, StoreError> {
    let bad = |offset: u64, expected: &str, found: &str| corrupt(file.path(), offset, expected, found);
    let file_len = file.size()?;
    let mut prefix = [0; PREFIX_BYTES];
    if file_len < PREFIX_BYTES as u64 {
        return Err(bad(0, "an index file", &format!("{file_len} bytes")));
    }
    file.read_at(&mut prefix, 0)?;
    let len = u32_at(&prefix, 12);
    if &prefix[..8] != MAGIC {
        return Err(bad(0, "an index file's magic", &format!("{:02x?}", &prefix[..8])));
    }
    if len > INDEX_HEADER_BYTES_MAX || PREFIX_BYTES as u64 + u64::from(len) + 8 > file_len {
        return Err(bad(12, "a header length within the file", &len.to_string()));
    }
    let mut bytes = vec![0; PREFIX_BYTES + len as usize + 8];
    file.read_at(&mut bytes, 0)?;
    let end = PREFIX_BYTES + len as usize;
    let (stored, computed) = (u64_at(&bytes, end), xxh3_64(&bytes[..end]));
    if stored != computed {
        let expected = format!("index header checksum {stored:#018x}");
        return Err(bad(0, &expected, &format!("{computed:#018x}")));
    }
    if u32_at(&prefix, 8) > super::superblock::FORMAT {
        return Err(StoreError::NewerFormat(format!("{} has a newer format", file.path().display())));
    }
    let body = Bytes::from(bytes).slice(PREFIX_BYTES..end);
    let index = decode(&body, end as u64 + 8).ok_or_else(|| bad(16, "an index header", "other bytes"))?;
    let blocks: u64 = index.runs.iter().map(|run| u64::from(run.block.1)).sum();
    if index.segment != segment || end as u64 + 8 + blocks != file_len {
        return Err(bad(0, &format!("the index of segment {segment}"), &format!("that of {}", index.segment)));
    }
    Ok(index)
}

fn decode(body: &Bytes, base: u64) -> Option<SegmentIndex> {
    let mut from = Reader::new(body);
    let mut index = SegmentIndex {
        segment: from.varint()?,
        end: from.varint()?,
        first: Lsn(from.varint()?),
        last: Lsn(from.varint()?),
        last_time_ms: from.varint()?,
        prev: from.varint()?,
        last_checksum: from.varint()?,
        sources: Vec::new(),
        runs: Vec::new(),
    };
    for _ in 0..from.varint()? {
        index.sources.push(from.varint()?);
    }
    for _ in 0..from.varint()? {
        index.runs.push(Run {
            shard: ShardNo(from.varint()?),
            moved: from.varint()? != 0,
            first: Lsn(from.varint()?),
            last: Lsn(from.varint()?),
            first_time_ms: from.varint()?,
            last_time_ms: from.varint()?,
            bytes: from.varint()?,
            entries: None,
            block: (base + from.varint()?, u32::try_from(from.varint()?).ok()?),
        });
    }
    Some(index)
}

/// Reads a run's entries.
pub(super) fn load(file: &dyn File, block: (u64, u32)) -> Result<Entries, StoreError> {
    let mut bytes = vec![0; block.1 as usize];
    file.read_at(&mut bytes, block.0)?;
    Entries::decode(&bytes).ok_or_else(|| {
        corrupt(file.path(), block.0, "an index block with a valid checksum", "one that does not verify")
    })
}
