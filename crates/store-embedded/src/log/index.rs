//! Where the records of a shard are in a segment: its runs, and the file that keeps the runs of a sealed segment.
//!
//! A run is the records of one shard that were appended in one segment, its origin; cleaning moves a run to another segment,
//! and its origin stays. The file is made to be read in small pieces: what is known of a segment, which runs it has, a page
//! of runs, the entries of a run.
//!
//! Invariants: the file is written after its segment is synced, under another name, and renamed when it is durable, so
//! that a damaged one is damage and never a torn write. It deliberately holds nothing that the frames do not: a missing
//! one is rebuilt from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn};
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Reader, put_varint};
use super::entries::{Entries, Entry};
use super::frame::{SegmentNo, corrupt, u32_at, u64_at};
use crate::files::{File, Files};
use tailrace_store::{ShardNo, StoreError};

const MAGIC: &[u8; 8] = b"TRLOGIDX";
const PREFIX_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;
/// Runs that are stored, and read, together.
const RUNS_PER_PAGE: usize = 64;
const SUMMARY_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Which run: those of a shard are ordered by their origin, which is also the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RunAt {
    pub shard: ShardNo,
    /// The segment that the records were appended in.
    pub origin: SegmentNo,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub at: RunAt,
    pub first: Lsn,
    pub last: Lsn,
    pub first_time_ms: EpochMs,
    pub last_time_ms: EpochMs,
    /// Bytes of its records.
    pub bytes: u64,
    /// Its entries, while they are in memory; else they are in the index file.
    pub entries: Option<Arc<Entries>>,
    /// Where they are in the index file: offset and length.
    pub block: (u64, u32),
}

impl Run {
    pub fn new(at: RunAt, entry: Entry) -> Self {
        let (first, time) = (entry.lsn, entry.time_ms);
        let entries = Some(Arc::default());
        Self { at, first, last: first, first_time_ms: time, last_time_ms: time, bytes: 0, entries, block: (0, 0) }
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

/// The numbers and the time that the runs of one origin span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub number: SegmentNo,
    pub first: Lsn,
    pub last: Lsn,
    pub first_time_ms: EpochMs,
}

/// What is known of a segment without its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    pub segment: SegmentNo,
    /// Where the segment's frames end.
    pub end: u64,
    /// First and last number; both zero in an empty segment.
    pub first: Lsn,
    pub last: Lsn,
    pub last_time_ms: EpochMs,
    /// Checksum of the frame before the first one.
    pub prev: u64,
    /// Checksum of the last frame.
    pub last_checksum: u64,
    /// Segments whose live records were moved into this one.
    pub sources: Vec<SegmentNo>,
    /// The origins of its runs, in order.
    pub origins: Vec<Origin>,
}

/// Where the pages of runs are in an index file.
#[derive(Debug, Default)]
pub(super) struct Pages {
    segment: SegmentNo,
    /// The first run of each page, and where the page is.
    pages: Vec<(RunAt, u64, u32)>,
    keys: (u64, u32),
    runs: usize,
    blocks_at: u64,
}

impl Pages {
    pub fn bytes(&self) -> usize {
        self.pages.len() * size_of::<(RunAt, u64, u32)>() + 96
    }

    /// The page that has the run, if the file has it.
    pub fn page_of(&self, at: RunAt) -> Option<usize> {
        self.pages.partition_point(|(first, ..)| *first <= at).checked_sub(1)
    }

    pub fn len(&self) -> usize {
        self.pages.len()
    }
}

/// The index file's path.
pub(super) fn path(dir: &Path, segment: SegmentNo) -> PathBuf {
    dir.join(format!("{:016x}.idx", segment.0))
}

fn seal(bytes: &mut Vec<u8>, from: usize) {
    let checksum = xxh3_64(&bytes[from..]);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

/// Writes the index file durably. The runs are in the order of [`RunAt`] and in memory.
pub(super) fn write(files: &dyn Files, dir: &Path, index: &SegmentIndex, runs: &[Run]) -> Result<(), StoreError> {
    let (mut blocks, mut pages, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let mut firsts = Vec::new();
    let back = |at: RunAt| index.segment.0 - at.origin.0;
    let mut shard_before = 0;
    for page in runs.chunks(RUNS_PER_PAGE) {
        let from = pages.len();
        for run in page {
            put_varint(&mut keys, run.at.shard.0 - shard_before);
            put_varint(&mut keys, back(run.at));
            shard_before = run.at.shard.0;
            let start = blocks.len();
            let entries = run.entries.as_ref().expect("invariant: a run without an index file is in memory");
            entries.encode(&mut blocks);
            let (last, time) = (run.last.0 - run.first.0, run.last_time_ms.0 - run.first_time_ms.0);
            let block = (start as u64, (blocks.len() - start) as u64);
            let ends = [run.at.shard.0, back(run.at), run.first.0, last, run.first_time_ms.0, time];
            ends.into_iter().chain([run.bytes, block.0, block.1]).for_each(|n| put_varint(&mut pages, n));
        }
        seal(&mut pages, from);
        firsts.push((page[0].at, (pages.len() - from) as u64));
    }
    seal(&mut keys, 0);

    let mut summary = Vec::new();
    let mut put = |n: u64| put_varint(&mut summary, n);
    [index.segment.0, index.end, index.first.0, index.last.0].into_iter().for_each(&mut put);
    [index.last_time_ms.0, index.prev, index.last_checksum].into_iter().for_each(&mut put);
    put(index.sources.len() as u64);
    index.sources.iter().map(|source| source.0).for_each(&mut put);
    put(index.origins.len() as u64);
    for origin in &index.origins {
        let back = index.segment.0 - origin.number.0;
        [back, origin.first.0, origin.last.0 - origin.first.0, origin.first_time_ms.0].into_iter().for_each(&mut put);
    }
    [runs.len() as u64, keys.len() as u64, blocks.len() as u64, firsts.len() as u64].into_iter().for_each(&mut put);
    for (first, len) in firsts {
        [first.shard.0, back(first), len].into_iter().for_each(&mut put);
    }

    let mut bytes = Vec::with_capacity(PREFIX_BYTES + summary.len() + keys.len() + pages.len() + blocks.len() + 8);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&super::superblock::FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(summary.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&summary);
    seal(&mut bytes, 0);
    [keys, pages, blocks].iter().for_each(|part| bytes.extend_from_slice(part));

    let (to, temporary) = (path(dir, index.segment), dir.join(format!("{:016x}.idx.tmp", index.segment.0)));
    let _ = files.remove(&temporary);
    let file = files.create(&temporary)?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    files.rename(&temporary, &to)?;
    files.sync_dir(dir)?;
    Ok(())
}

/// Reads what an index file says of its segment, and where its pages are; the runs stay on the disk.
pub(super) fn open(file: &dyn File, segment: SegmentNo) -> Result<(SegmentIndex, Pages), StoreError> {
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
    if len > SUMMARY_BYTES_MAX || (PREFIX_BYTES + CHECKSUM_BYTES) as u64 + u64::from(len) > file_len {
        return Err(bad(12, "a summary's length within the file", &len.to_string()));
    }
    let end = PREFIX_BYTES + len as usize;
    let bytes = read_sealed(file, 0, (end + CHECKSUM_BYTES) as u32, "an index summary")?;
    if u32_at(&prefix, 8) > super::superblock::FORMAT {
        return Err(StoreError::NewerFormat(format!("{} has a newer format", file.path().display())));
    }
    let summary = bytes.slice(PREFIX_BYTES..);
    let (index, pages, blocks) = summary_of(&summary, (end + CHECKSUM_BYTES) as u64)
        .ok_or_else(|| bad(16, "an index summary", "other bytes"))?;
    if index.segment != segment || pages.blocks_at + blocks != file_len {
        return Err(bad(0, &format!("the index of segment {segment}"), &format!("that of {}", index.segment)));
    }
    Ok((index, pages))
}

/// Bytes that end with their checksum, without it.
fn read_sealed(file: &dyn File, offset: u64, len: u32, what: &str) -> Result<Bytes, StoreError> {
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, offset)?;
    let end = bytes.len().saturating_sub(CHECKSUM_BYTES);
    let computed = xxh3_64(&bytes[..end]);
    if bytes.len() < CHECKSUM_BYTES || u64_at(&bytes, end) != computed {
        let expected = format!("{what} with a valid checksum");
        return Err(corrupt(file.path(), offset, &expected, "one that does not verify"));
    }
    bytes.truncate(end);
    Ok(Bytes::from(bytes))
}

fn summary_of(summary: &Bytes, keys_at: u64) -> Option<(SegmentIndex, Pages, u64)> {
    let mut from = Reader::new(summary);
    let mut index = SegmentIndex {
        segment: SegmentNo(from.varint()?),
        end: from.varint()?,
        first: Lsn(from.varint()?),
        last: Lsn(from.varint()?),
        last_time_ms: EpochMs(from.varint()?),
        prev: from.varint()?,
        last_checksum: from.varint()?,
        ..SegmentIndex::default()
    };
    for _ in 0..from.varint()? {
        index.sources.push(SegmentNo(from.varint()?));
    }
    for _ in 0..from.varint()? {
        let (number, first) = (index.segment.before(from.varint()?)?, from.varint()?);
        let last = Lsn(first.checked_add(from.varint()?)?);
        index.origins.push(Origin { number, first: Lsn(first), last, first_time_ms: EpochMs(from.varint()?) });
    }
    let runs = usize::try_from(from.varint()?).ok()?;
    let keys = (keys_at, u32::try_from(from.varint()?).ok()?);
    let (blocks, count) = (from.varint()?, from.varint()?);
    let mut at = keys_at + u64::from(keys.1);
    let mut pages = Vec::new();
    for _ in 0..count {
        let shard = ShardNo(from.varint()?);
        let first = RunAt { shard, origin: index.segment.before(from.varint()?)? };
        let len = u32::try_from(from.varint()?).ok()?;
        pages.push((first, at, len));
        at += u64::from(len);
    }
    Some((index.clone(), Pages { segment: index.segment, pages, keys, runs, blocks_at: at }, blocks))
}

/// Which runs there are, in order.
pub(super) fn load_keys(file: &dyn File, pages: &Pages) -> Result<Vec<RunAt>, StoreError> {
    let bytes = read_sealed(file, pages.keys.0, pages.keys.1, "an index's list of runs")?;
    let mut from = Reader::new(&bytes);
    let mut shard = 0u64;
    let mut key = || {
        shard = shard.checked_add(from.varint()?)?;
        Some(RunAt { shard: ShardNo(shard), origin: pages.segment.before(from.varint()?)? })
    };
    let keys: Option<Vec<RunAt>> = (0..pages.runs).map(|_| key()).collect();
    keys.ok_or_else(|| corrupt(file.path(), pages.keys.0, "an index's list of runs", "other bytes"))
}

/// A page of runs, in order.
pub(super) fn load_page(file: &dyn File, pages: &Pages, page: usize) -> Result<Vec<Run>, StoreError> {
    let (_, offset, len) = pages.pages[page];
    let bytes = read_sealed(file, offset, len, "a page of an index")?;
    let mut from = Reader::new(&bytes);
    let mut run = || {
        let shard = ShardNo(from.varint()?);
        let at = RunAt { shard, origin: pages.segment.before(from.varint()?)? };
        let first = from.varint()?;
        let last = Lsn(first.checked_add(from.varint()?)?);
        let first_time_ms = from.varint()?;
        let last_time_ms = first_time_ms.checked_add(from.varint()?)?;
        let bytes = from.varint()?;
        let block = (pages.blocks_at + from.varint()?, u32::try_from(from.varint()?).ok()?);
        let first = Lsn(first);
        Some(Run {
            at,
            first,
            last,
            first_time_ms: EpochMs(first_time_ms),
            last_time_ms: EpochMs(last_time_ms),
            bytes,
            entries: None,
            block,
        })
    };
    let count = RUNS_PER_PAGE.min(pages.runs - page * RUNS_PER_PAGE);
    let runs: Option<Vec<Run>> = (0..count).map(|_| run()).collect();
    runs.ok_or_else(|| corrupt(file.path(), offset, "a page of an index", "other bytes"))
}

/// All runs, in order.
pub(super) fn load_runs(file: &dyn File, pages: &Pages) -> Result<Vec<Run>, StoreError> {
    let mut runs = Vec::with_capacity(pages.runs);
    for page in 0..pages.len() {
        runs.extend(load_page(file, pages, page)?);
    }
    Ok(runs)
}

/// A run's entries.
pub(super) fn load_entries(file: &dyn File, block: (u64, u32)) -> Result<Entries, StoreError> {
    let mut bytes = vec![0; block.1 as usize];
    file.read_at(&mut bytes, block.0)?;
    Entries::decode(&bytes).ok_or_else(|| {
        corrupt(file.path(), block.0, "an index block with a valid checksum", "one that does not verify")
    })
}
