//! A frame: one commit (or one batch of moved records) in a segment, with what proves that it is whole and in its place.
//!
//! Invariants: the checksum covers every byte of the frame but itself, and is seeded with the segment's number, so that
//! the frames of a recycled file's earlier life never verify; a frame begins with a mark that only who knows the data
//! directory's number can make, so that what clients store never looks like one; `prev` is the checksum of the frame before, so that no
//! frame can be missing in between; `synced` never claims more than was synced when the frame was written.

use std::path::Path;

use tailrace_core::{EpochMs, Lsn};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use tailrace_store::StoreError;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 64;
/// A frame's length is a multiple of this.
pub const ALIGN_BYTES: usize = 8;

const CHECKSUMMED_FROM: usize = 16;

/// A segment's number: they rise along the log, and none is used twice. 0 is none's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNo(pub u64);

impl SegmentNo {
    /// The number behind it.
    pub fn next(self) -> SegmentNo {
        SegmentNo(self.0 + 1)
    }

    /// The one so many numbers before it. `None`: there is none.
    pub fn before(self, count: u64) -> Option<SegmentNo> {
        self.0.checked_sub(count).map(SegmentNo)
    }
}

impl std::fmt::Display for SegmentNo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the frames of one segment begin with, and what their checksums are seeded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameKey {
    segment: SegmentNo,
    mark: u32,
}

impl FrameKey {
    /// The key of a segment in the data directory with this number.
    pub fn new(uuid: &[u8; 16], segment: SegmentNo) -> Self {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(uuid);
        bytes[16..].copy_from_slice(&segment.0.to_le_bytes());
        // Never zero, which is what an unused segment is full of.
        Self { segment, mark: (xxh3_64(&bytes) as u32).max(1) }
    }

    /// What the checksum of so many bytes in the segment is seeded with.
    pub fn seed(self, len: u32) -> u64 {
        self.segment.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (u64::from(len) << 32)
    }
}

/// A place in the log: a segment's number and an offset in it, in the order of the log. That everything before a place is
/// synced is what the superblock, the synced file and every frame claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub u64);

impl Position {
    pub fn new(segment: SegmentNo, offset: u64) -> Self {
        debug_assert!(segment.0 < 1 << 32 && offset < 1 << 32, "a place fits its 64 bits");
        Self(segment.0 << 32 | offset)
    }

    pub fn segment(self) -> SegmentNo {
        SegmentNo(self.0 >> 32)
    }

    pub fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "byte {} of segment {}", self.offset(), self.segment())
    }
}

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `codec::encode`.
    Commit,
    /// `moved::encode`.
    Moved,
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub len: u32,
    pub checksum: u64,
    pub generation: u64,
    pub lsn: Lsn,
    pub prev: u64,
    pub synced: Position,
    pub time_ms: EpochMs,
    pub span: u32,
    pub kind: Kind,
}

impl Header {
    /// The last number given out up to and with the frame. Moved records take no number of their own, so that whoever
    /// gives out numbers ahead of the log is not disturbed: their frame bears the number that comes next.
    pub fn last(&self) -> Lsn {
        Lsn((self.lsn.0 + u64::from(self.span)).saturating_sub(1))
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadFrame {
    pub expected: String,
    pub found: String,
}

impl BadFrame {
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }

    /// That nothing there looks like a frame: what an end looks like.
    pub fn is_no_frame(&self) -> bool {
        self.expected == "a frame" || self.expected.starts_with("a frame (mark")
    }

    pub fn at(&self, file: &Path, offset: u64) -> StoreError {
        corrupt(file, offset, &self.expected, &self.found)
    }
}

/// The error of damage: file, offset, what was expected and what was found.
pub(super) fn corrupt(file: &Path, offset: u64, expected: &str, found: &str) -> StoreError {
    StoreError::Corrupt(format!("{}: at byte {offset}: expected {expected}, found {found}", file.display()))
}

/// Appends a frame to `out`. `header.len` and `header.checksum` are filled in here; the header is returned whole, with what
/// `body` gives.
pub(super) fn append<T>(
    out: &mut Vec<u8>,
    key: FrameKey,
    header: Header,
    body: impl FnOnce(&mut Vec<u8>) -> T,
) -> (Header, T) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    let of_body = body(out);
    let len = (out.len() - start).next_multiple_of(ALIGN_BYTES);
    out.resize(start + len, 0);
    let frame = &mut out[start..];
    let len = u32::try_from(len).expect("invariant: a frame is at most a quarter of a segment");
    frame[0..4].copy_from_slice(&key.mark.to_le_bytes());
    frame[4..8].copy_from_slice(&len.to_le_bytes());
    frame[16..24].copy_from_slice(&header.generation.to_le_bytes());
    frame[24..32].copy_from_slice(&header.lsn.0.to_le_bytes());
    frame[32..40].copy_from_slice(&header.prev.to_le_bytes());
    frame[40..48].copy_from_slice(&header.synced.0.to_le_bytes());
    frame[48..56].copy_from_slice(&header.time_ms.0.to_le_bytes());
    frame[56..60].copy_from_slice(&header.span.to_le_bytes());
    let kind: u32 = match header.kind {
        Kind::Commit => 1,
        Kind::Moved => 2,
    };
    frame[60..64].copy_from_slice(&kind.to_le_bytes());
    let checksum = xxh3_64_with_seed(&frame[CHECKSUMMED_FROM..], key.seed(len));
    frame[8..16].copy_from_slice(&checksum.to_le_bytes());
    (Header { len, checksum, ..header }, of_body)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("invariant: eight bytes"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes"))
}

/// Whether these bytes begin like a frame.
pub(super) fn begins(key: FrameKey, bytes: &[u8]) -> bool {
    bytes.len() >= 4 && u32_at(bytes, 0) == key.mark
}

/// The length that a header claims, if it can be one in `room` bytes.
pub(super) fn claimed_len(key: FrameKey, header: &[u8], room: u64) -> Result<usize, BadFrame> {
    let mark = u32_at(header, 0);
    if mark != key.mark {
        return Err(BadFrame::new(format!("a frame (mark {:#010x})", key.mark), format!("{mark:#010x}")));
    }
    let len = u32_at(header, 4);
    if (len as usize) < HEADER_BYTES || !(len as usize).is_multiple_of(ALIGN_BYTES) || u64::from(len) > room {
        return Err(BadFrame::new(format!("a frame length of {HEADER_BYTES} to {room}"), len.to_string()));
    }
    Ok(len as usize)
}

/// Verifies a whole frame (exactly `claimed_len` bytes).
pub(super) fn verify(frame: &[u8], key: FrameKey) -> Result<Header, BadFrame> {
    let len = claimed_len(key, frame, frame.len() as u64)?;
    let stored = u64_at(frame, 8);
    let computed = xxh3_64_with_seed(&frame[CHECKSUMMED_FROM..len], key.seed(len as u32));
    if stored != computed {
        return Err(BadFrame::new(format!("frame checksum {stored:#018x}"), format!("{computed:#018x}")));
    }
    let kind = match u32_at(frame, 60) {
        1 => Kind::Commit,
        2 => Kind::Moved,
        other => return Err(BadFrame::new("frame kind 1 or 2", other.to_string())),
    };
    let span = u32_at(frame, 56);
    if (span == 0) != (kind == Kind::Moved) {
        return Err(BadFrame::new("a frame span that suits its kind", span.to_string()));
    }
    Ok(Header {
        len: len as u32,
        checksum: stored,
        generation: u64_at(frame, 16),
        lsn: Lsn(u64_at(frame, 24)),
        prev: u64_at(frame, 32),
        synced: Position(u64_at(frame, 40)),
        time_ms: EpochMs(u64_at(frame, 48)),
        span,
        kind,
    })
}
