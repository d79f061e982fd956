//! A segment: its file, its header, what is known of it, and the walk over its frames.
//!
//! Invariants: the header is durable before the first frame is written; a group of frames begins at a sector's start, so
//! that no unsynced sector holds synced bytes; a segment's number is never used twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::Lsn;
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{LoggedImage, LoggedWrite};
use super::frame::{self, BadFrame, FrameKey, Header, Kind, Position, u32_at, u64_at};
use super::index::{Entry, Run, SegmentIndex};
use super::{codec, moved};
use crate::files::{File, SECTOR_BYTES};
use tailrace_store::{LogRecord, ShardNo, StoreError};

/// Where the first frame of a segment is.
pub(super) const FIRST_FRAME_AT: u64 = SECTOR_BYTES as u64;
const MAGIC: &[u8; 8] = b"TRLOGSEG";
const HEADER_BYTES: usize = 64;
const WINDOW_BYTES: usize = 1024 * 1024;

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.seg"))
}

pub(super) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.spare"))
}

/// The number in a file's name with this ending.
pub(super) fn number_of(name: &str, ending: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(ending)?, 16).ok()
}

/// A segment's header.
pub(super) fn header(number: u64, uuid: &[u8; 16], generation: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&super::superblock::FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..40].copy_from_slice(uuid);
    bytes[40..48].copy_from_slice(&generation.to_le_bytes());
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Verifies the header of an open segment.
pub(super) fn verify_header(file: &dyn File, number: u64, uuid: &[u8; 16]) -> Result<Result<(), BadFrame>, StoreError> {
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
    if u64_at(&bytes, 16) != number || &bytes[24..40] != uuid {
        let expected = format!("segment {number} of this data directory");
        return Ok(Err(BadFrame::new(expected, format!("segment {} or another directory's", u64_at(&bytes, 16)))));
    }
    Ok(Ok(()))
}

/// What is known of a segment that holds frames.
#[derive(Debug)]
pub(super) struct Segment {
    pub index: SegmentIndex,
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
    pub fn new(number: u64, file: Option<Arc<dyn File>>, bytes: u64) -> Self {
        let index = SegmentIndex {
            segment: number,
            end: FIRST_FRAME_AT,
            first: Lsn::ZERO,
            last: Lsn::ZERO,
            last_time_ms: 0,
            prev: 0,
            last_checksum: 0,
            sources: Vec::new(),
            runs: Vec::new(),
        };
        let pin = Arc::new(());
        Self { index, file, bytes, sealed: false, indexed: false, superseded: false, pin }
    }

    /// True while it holds no frame.
    pub fn is_empty(&self) -> bool {
        self.index.end == FIRST_FRAME_AT
    }

    /// Notes a frame; returns the runs that began with it.
    pub fn note(&mut self, offset: u64, header: &Header, content: &Noted) -> Vec<usize> {
        let index = &mut self.index;
        if index.end == FIRST_FRAME_AT {
            (index.first, index.prev) = (header.lsn, header.prev);
        }
        index.last = header.last();
        index.last_time_ms = header.time_ms;
        index.last_checksum = header.checksum;
        index.end = offset + u64::from(header.len);
        let place = |lsn: Lsn, time_ms: u64| Entry { lsn, time_ms, offset: offset as u32, len: header.len };
        let mut begun = Vec::new();
        match content {
            Noted::Records(records) => {
                for (i, (shard, bytes)) in records.iter().enumerate() {
                    let entry = place(Lsn(header.lsn.0 + i as u64), header.time_ms);
                    let run = index.runs.iter().position(|run| !run.moved && run.shard == *shard);
                    let run = run.unwrap_or_else(|| {
                        index.runs.push(Run::new(*shard, false, entry));
                        begun.push(index.runs.len() - 1);
                        index.runs.len() - 1
                    });
                    index.runs[run].push(entry, u64::from(*bytes));
                }
            }
            Noted::Moved(source, runs) => {
                index.sources.push(*source);
                for (shard, records) in runs {
                    let Some((lsn, time_ms, _)) = records.first() else { continue };
                    let mut run = Run::new(*shard, true, place(*lsn, *time_ms));
                    for (lsn, time_ms, bytes) in records {
                        run.push(place(*lsn, *time_ms), u64::from(*bytes));
                    }
                    index.runs.push(run);
                    begun.push(index.runs.len() - 1);
                }
            }
        }
        begun
    }
}

/// Number, time and size of a moved record.
pub(super) type MovedNote = (Lsn, u64, u32);

/// What the index needs to know of a frame.
#[derive(Clone, Debug)]
pub(super) enum Noted {
    /// Shard and bytes of each record of a commit.
    Records(Vec<(ShardNo, u32)>),
    /// The source and the runs of a moved frame.
    Moved(u64, Vec<(ShardNo, Vec<MovedNote>)>),
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

pub(super) fn note_moved(source: u64, runs: &[moved::MovedRun]) -> Noted {
    let size = |record: &LogRecord| {
        let image = |image: &Option<Bytes>| image.as_ref().map_or(0, Bytes::len);
        (record.meta.len() + image(&record.old) + image(&record.new)) as u32
    };
    let note = |record: &LogRecord| (Lsn(record.number.0), record.time_ms, size(record));
    Noted::Moved(source, runs.iter().map(|run| (run.shard, run.records.iter().map(note).collect())).collect())
}

/// What a verified frame's body holds. `None`: the body does not decode, though its checksum holds.
pub(super) fn note_frame(header: &Header, body: &Bytes) -> Option<Noted> {
    Some(match header.kind {
        Kind::Commit => note_writes(&codec::decode(body)?),
        Kind::Moved => {
            let (source, runs) = moved::decode(body)?;
            note_moved(source, &runs)
        }
    })
}

/// Reads the frames of a segment in order, a window at a time.
pub(super) struct Walker<'a> {
    file: &'a dyn File,
    key: FrameKey,
    len: u64,
    window: Bytes,
    window_at: u64,
}

impl<'a> Walker<'a> {
    pub fn new(file: &'a dyn File, uuid: &[u8; 16], number: u64) -> Result<Self, StoreError> {
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
