//! A segment: its file, its header, what is known of it, and the walk over its frames.
//!
//! Invariants: the header is durable before the first frame is written; a group of frames begins at a sector's start, so
//! that no unsynced sector holds synced bytes; a segment's number is never used twice.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn};
use xxhash_rust::xxh3::xxh3_64;

use super::codec;
use super::codec::{LoggedImage, LoggedWrite};
use super::entries::Entry;
use super::frame::{self, BadFrame, FrameKey, Header, Kind, Position, SegmentNo, u32_at, u64_at};
use super::index::{Origin, Run, RunAt, SegmentIndex};
use super::looked::LookedList;
use super::moved::{self, MovedNote};
use super::set_aside::Lost;
use crate::files::{File, SECTOR_BYTES};
use tailrace_store::{ShardNo, StoreError};

/// Where the first frame of a segment is.
pub(super) const FIRST_FRAME_AT: u64 = SECTOR_BYTES as u64;
const MAGIC: &[u8; 8] = b"TRLOGSEG";
const HEADER_BYTES: usize = 64;
const WINDOW_BYTES: usize = 1024 * 1024;

pub(super) fn path(dir: &Path, number: SegmentNo) -> PathBuf {
    dir.join(format!("{:016x}.seg", number.0))
}

pub(super) fn spare_path(dir: &Path, number: SegmentNo) -> PathBuf {
    dir.join(format!("{:016x}.spare", number.0))
}

/// The number in a file's name with this ending.
pub(super) fn number_of(name: &str, ending: &str) -> Option<SegmentNo> {
    u64::from_str_radix(name.strip_suffix(ending)?, 16).ok().map(SegmentNo)
}

/// A segment's header.
pub(super) fn header(number: SegmentNo, uuid: &[u8; 16], generation: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&super::superblock::FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.0.to_le_bytes());
    bytes[24..40].copy_from_slice(uuid);
    bytes[40..48].copy_from_slice(&generation.to_le_bytes());
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Verifies the header of an open segment.
pub(super) fn verify_header(
    file: &dyn File,
    number: SegmentNo,
    uuid: &[u8; 16],
) -> Result<Result<(), BadFrame>, StoreError> {
    if file.size()? < FIRST_FRAME_AT {
        return Ok(Err(BadFrame::new("a segment header", "a file that ends before")));
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(&mut bytes, 0)?;
    let (stored, computed) = (u64_at(&bytes, 56), xxh3_64(&bytes[..56]));
    if &bytes[..8] != MAGIC || stored != computed {
        let expected = format!("segment header checksum {stored:#018x}");
        return Ok(Err(BadFrame::new(expected, format!("{computed:#018x}"))));
    }
    if u32_at(&bytes, 8) > super::superblock::FORMAT {
        return Err(StoreError::NewerFormat(format!("{} has a newer format", file.path().display())));
    }
    if u64_at(&bytes, 16) != number.0 || &bytes[24..40] != uuid {
        let expected = format!("segment {number} of this data directory");
        return Ok(Err(BadFrame::new(expected, format!("segment {} or another directory's", u64_at(&bytes, 16)))));
    }
    Ok(Ok(()))
}

/// The runs of a segment that has no index file yet.
#[derive(Debug, Default)]
pub(super) struct Runs {
    list: LookedList<Run>,
    of: HashMap<RunAt, usize>,
}

impl Runs {
    pub fn get(&self, at: RunAt) -> Option<&Run> {
        self.of.get(&at).map(|i| self.list.at(*i))
    }

    pub fn keys(&self) -> impl Iterator<Item = RunAt> {
        self.list.iter().map(|run| run.at)
    }

    /// All of them, in order.
    pub fn sorted(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = self.list.iter().cloned().collect();
        runs.sort_unstable_by_key(|run| run.at);
        runs
    }

    /// Adds an entry to its run; says whether it is the run's first.
    fn push(&mut self, at: RunAt, entry: Entry, bytes: u64) -> bool {
        let count = self.list.len();
        let i = *self.of.entry(at).or_insert(count);
        if i == count {
            self.list.push(Run::new(at, entry));
        }
        self.list.at_mut(i).push(entry, bytes);
        i == count
    }
}

/// What is known of a segment that holds frames.
#[derive(Debug)]
pub(super) struct Segment {
    pub index: SegmentIndex,
    /// Its runs, until the index file is durable.
    pub runs: Runs,
    /// How many of its runs may be read.
    pub live_runs: usize,
    /// The file, while it is the writer's.
    pub file: Option<Arc<dyn File>>,
    pub bytes: u64,
    pub sealed: bool,
    /// The index file is durable.
    pub indexed: bool,
    /// Its records were moved away.
    pub superseded: bool,
    /// Held by whoever reads the file: a segment in use is not recycled.
    pub pin: Arc<()>,
}

impl Segment {
    pub fn new(number: SegmentNo, file: Option<Arc<dyn File>>, bytes: u64) -> Self {
        Self {
            index: SegmentIndex { segment: number, end: FIRST_FRAME_AT, ..SegmentIndex::default() },
            runs: Runs::default(),
            live_runs: 0,
            file,
            bytes,
            sealed: false,
            indexed: false,
            superseded: false,
            pin: Arc::new(()),
        }
    }

    /// True while it holds no frame.
    pub fn is_empty(&self) -> bool {
        self.index.end == FIRST_FRAME_AT
    }

    /// Notes a piece that was set aside behind the frames so far, the last of which has this checksum.
    pub fn note_lost(&mut self, lost: &Lost, prev: u64) {
        let index = &mut self.index;
        if index.end == FIRST_FRAME_AT {
            (index.first, index.prev) = (lost.first, prev);
        }
        (index.last, index.last_checksum, index.end) = (index.last.max(lost.last), lost.prev, lost.to);
    }

    /// Notes a frame; returns the runs that began with it.
    pub fn note(&mut self, offset: u64, header: &Header, content: &Noted) -> Vec<RunAt> {
        let index = &mut self.index;
        if index.end == FIRST_FRAME_AT {
            (index.first, index.prev) = (header.lsn, header.prev);
        }
        index.last = header.last();
        index.last_time_ms = header.time_ms;
        index.last_checksum = header.checksum;
        index.end = offset + u64::from(header.len);
        let mut begun = Vec::new();
        match content {
            Noted::Records(records) => {
                let (number, time_ms) = (index.segment, header.time_ms);
                for (i, (shard, bytes)) in records.iter().enumerate() {
                    let lsn = Lsn(header.lsn.0 + i as u64);
                    let (at, entry) = (
                        RunAt { shard: *shard, origin: number },
                        Entry { lsn, time_ms, offset: offset as u32, len: header.len },
                    );
                    spread(&mut index.origins, number, lsn, time_ms);
                    if self.runs.push(at, entry, u64::from(*bytes)) {
                        begun.push(at);
                    }
                }
            }
            Noted::Moved { source, runs, .. } => {
                index.sources.push(*source);
                for (at, records) in runs {
                    for record in records {
                        let MovedNote { lsn, time_ms, bytes, offset: inside, len } = *record;
                        let entry = Entry { lsn, time_ms, offset: offset as u32 + inside, len };
                        spread(&mut index.origins, at.origin, lsn, time_ms);
                        if self.runs.push(*at, entry, u64::from(bytes)) {
                            begun.push(*at);
                        }
                    }
                }
            }
        }
        begun
    }
}

/// Makes the origin with this number span the record.
fn spread(origins: &mut Vec<Origin>, number: SegmentNo, lsn: Lsn, time_ms: EpochMs) {
    match origins.binary_search_by_key(&number, |origin| origin.number) {
        Ok(i) => {
            let origin = &mut origins[i];
            (origin.first, origin.last) = (origin.first.min(lsn), origin.last.max(lsn));
            origin.first_time_ms = origin.first_time_ms.min(time_ms);
        }
        Err(i) => origins.insert(i, Origin { number, first: lsn, last: lsn, first_time_ms: time_ms }),
    }
}

/// What the index needs to know of a frame.
#[derive(Clone, Debug)]
pub(super) enum Noted {
    /// Shard and bytes of each record of a commit.
    Records(Vec<(ShardNo, u32)>),
    /// A moved frame.
    Moved {
        /// The segment that it replaces.
        source: SegmentNo,
        /// The runs that were moved.
        runs: Vec<(RunAt, Vec<MovedNote>)>,
        /// The runs of the source of which nothing was left.
        gone: Vec<RunAt>,
    },
}

/// The records of a commit, as the index notes them.
pub(super) fn note_writes(writes: &[LoggedWrite]) -> Noted {
    let records = writes.iter().filter_map(|write| match write {
        LoggedWrite::Append { shard, meta, old, new } => {
            let new = match new {
                LoggedImage::None => 0,
                LoggedImage::Inline(bytes) => bytes.len(),
                LoggedImage::OfWrite(index) => codec::value_len(writes, *index as usize),
            };
            Some((*shard, (meta.len() + old.as_ref().map_or(0, Bytes::len) + new) as u32))
        }
        _ => None,
    });
    Noted::Records(records.collect())
}

/// What a verified frame's body holds. `None`: the body does not decode, though its checksum holds.
pub(super) fn note_frame(header: &Header, body: &Bytes, key: FrameKey) -> Option<Noted> {
    Some(match header.kind {
        Kind::Commit => note_writes(&codec::decode(body)?),
        Kind::Moved => {
            let (source, runs) = moved::notes(body, key)?;
            Noted::Moved { source, runs, gone: Vec::new() }
        }
    })
}

/// Reads the frames of a segment in order, a window at a time.
pub(super) struct Walker<'a> {
    file: &'a dyn File,
    pub key: FrameKey,
    len: u64,
    window: Bytes,
    window_at: u64,
}

impl<'a> Walker<'a> {
    pub fn new(file: &'a dyn File, uuid: &[u8; 16], number: SegmentNo) -> Result<Self, StoreError> {
        Ok(Self { file, key: FrameKey::new(uuid, number), len: file.size()?, window: Bytes::new(), window_at: 0 })
    }

    fn bytes(&mut self, at: u64, len: usize) -> Result<Bytes, StoreError> {
        let inside = at >= self.window_at && at + len as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let size = len.max(WINDOW_BYTES.min((self.len - at) as usize));
            let mut window = vec![0; size];
            self.file.read_at(&mut window, at)?;
            (self.window, self.window_at) = (Bytes::from(window), at);
        }
        let start = (at - self.window_at) as usize;
        Ok(self.window.slice(start..start + len))
    }

    /// The frame at exactly `at`, verified: header and body.
    pub fn frame_at(&mut self, at: u64) -> Result<Result<(Header, Bytes), BadFrame>, StoreError> {
        if at + frame::HEADER_BYTES as u64 > self.len {
            return Ok(Err(BadFrame::new("a frame", "the end of the file")));
        }
        let head = self.bytes(at, frame::HEADER_BYTES)?;
        let len = match frame::claimed_len(self.key, &head, self.len - at) {
            Ok(len) => len,
            Err(bad) => return Ok(Err(bad)),
        };
        let whole = self.bytes(at, len)?;
        Ok(frame::verify(&whole, self.key).map(|header| (header, whole.slice(frame::HEADER_BYTES..))))
    }

    /// The frame that follows a frame which ended at `at`: right behind it, or at the next sector's start (a new group).
    pub fn next_frame(
        &mut self,
        at: u64,
        fits: impl Fn(&Header) -> Result<(), BadFrame>,
    ) -> Result<Result<(u64, Header, Bytes), BadFrame>, StoreError> {
        let mut first = None;
        let aligned = at.next_multiple_of(SECTOR_BYTES as u64);
        for at in [at, aligned] {
            match self.frame_at(at)?.and_then(|(header, body)| fits(&header).map(|()| (at, header, body))) {
                Ok(found) => return Ok(Ok(found)),
                // The damage that is worth telling is that of something that looks like a frame.
                Err(bad) => {
                    if first.is_none() || !bad.expected.starts_with("a frame") {
                        first = Some(bad);
                    }
                }
            }
        }
        Ok(Err(first.expect("invariant: two places were tried")))
    }

    /// The first valid frame from `at` on, wherever it begins.
    pub fn find_frame(&mut self, at: u64) -> Result<Option<(u64, Header)>, StoreError> {
        let mut at = at.next_multiple_of(frame::ALIGN_BYTES as u64);
        while at + frame::HEADER_BYTES as u64 <= self.len {
            let window = self.bytes(at, WINDOW_BYTES.min((self.len - at) as usize))?;
            let (key, words) = (self.key, window.chunks_exact(frame::ALIGN_BYTES));
            let Some(skipped) = words.enumerate().find(|(_, word)| frame::begins(key, word)).map(|(i, _)| i) else {
                at += (window.len() as u64).next_multiple_of(frame::ALIGN_BYTES as u64);
                continue;
            };
            at += (skipped * frame::ALIGN_BYTES) as u64;
            match self.frame_at(at)? {
                Ok((header, _)) => return Ok(Some((at, header))),
                Err(_) => at += frame::ALIGN_BYTES as u64,
            }
        }
        Ok(None)
    }

    /// The furthest position that any valid frame from `at` on knows to be synced: what tells damage from a torn tail.
    pub fn claims_from(&mut self, mut at: u64) -> Result<Position, StoreError> {
        let mut claim = Position::default();
        while let Some((offset, header)) = self.find_frame(at)? {
            claim = claim.max(header.synced);
            at = offset + u64::from(header.len);
        }
        Ok(claim)
    }
}
