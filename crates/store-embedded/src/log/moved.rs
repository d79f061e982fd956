//! The body of a frame of moved records: all live records of one sealed segment, which the frame replaces.
//!
//! Invariants: one frame holds all that is left of its source, so that the move is as atomic as a frame; records keep
//! number, time, shard and origin. Each record has a checksum of its own and can be read alone: a page of moved records costs
//! what it returns, not what was moved with them.

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn, RecordNo};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::codec::{Reader, put_bytes, put_varint};
use super::frame::{ALIGN_BYTES, FrameKey, HEADER_BYTES, SegmentNo, u32_at, u64_at};
use super::index::RunAt;
use tailrace_store::{LogRecord, ShardNo};

/// Source and count of runs.
const HEAD_BYTES: usize = 16;
/// Shard, origin and count of a run.
const RUN_BYTES: usize = 24;
/// Checksum and length of a record.
const RECORD_HEAD_BYTES: usize = 12;
/// Numbers, lengths and padding around a record's bytes.
const RECORD_AROUND_BYTES_MAX: usize = RECORD_HEAD_BYTES + 6 * 10 + 1 + ALIGN_BYTES;

/// The live records of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MovedRun {
    pub at: RunAt,
    pub records: Vec<LogRecord>,
}

/// A moved record as the index notes it: number, time, bytes, and where it is in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MovedNote {
    pub lsn: Lsn,
    pub time_ms: EpochMs,
    pub bytes: u32,
    pub offset: u32,
    pub len: u32,
}

/// The runs of a frame, with what the index notes of their records.
pub(super) type RunNotes = Vec<(RunAt, Vec<MovedNote>)>;

/// An upper bound of what these records take in a frame.
pub(super) fn bytes_bound(runs: &[MovedRun]) -> usize {
    let records = |run: &MovedRun| run.records.iter().map(|r| r.bytes() + RECORD_AROUND_BYTES_MAX).sum::<usize>();
    HEADER_BYTES + HEAD_BYTES + runs.iter().map(|run| RUN_BYTES + records(run)).sum::<usize>() + ALIGN_BYTES
}

/// Appends the body of a frame, which begins at a multiple of 8, and gives what the index notes of it.
pub(super) fn encode(source: SegmentNo, runs: &[MovedRun], key: FrameKey, out: &mut Vec<u8>) -> RunNotes {
    let frame = out.len() - HEADER_BYTES;
    out.extend_from_slice(&source.0.to_le_bytes());
    out.extend_from_slice(&(runs.len() as u64).to_le_bytes());
    let mut notes = Vec::with_capacity(runs.len());
    for MovedRun { at, records } in runs {
        for n in [at.shard.0, at.origin.0, records.len() as u64] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let note = |record: &LogRecord| {
            let start = out.len();
            put_record(at.shard, record, key, out);
            let (offset, len) = ((start - frame) as u32, (out.len() - start) as u32);
            MovedNote { lsn: Lsn(record.number.0), time_ms: record.time_ms, bytes: record.bytes() as u32, offset, len }
        };
        notes.push((*at, records.iter().map(note).collect()));
    }
    notes
}

fn put_record(shard: ShardNo, record: &LogRecord, key: FrameKey, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + RECORD_HEAD_BYTES, 0);
    for n in [shard.0, record.number.0, record.time_ms.0] {
        put_varint(out, n);
    }
    out.push(u8::from(record.old.is_some()) | u8::from(record.new.is_some()) << 1);
    put_bytes(out, &record.meta);
    for image in [&record.old, &record.new].into_iter().flatten() {
        put_bytes(out, image);
    }
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN_BYTES), 0);
    let len = (out.len() - start) as u32;
    out[start + 8..start + 12].copy_from_slice(&len.to_le_bytes());
    let checksum = xxh3_64_with_seed(&out[start + 8..], key.seed(len));
    out[start..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// A moved record out of exactly its bytes. `None`: these bytes are no such record of the segment.
pub(super) fn record(bytes: &Bytes, key: FrameKey) -> Option<LogRecord> {
    if bytes.len() < RECORD_HEAD_BYTES || u32_at(bytes, 8) as usize != bytes.len() {
        return None;
    }
    if xxh3_64_with_seed(&bytes[8..], key.seed(bytes.len() as u32)) != u64_at(bytes, 0) {
        return None;
    }
    let content = bytes.slice(RECORD_HEAD_BYTES..);
    let mut from = Reader::new(&content);
    let (shard, number, time_ms) = (ShardNo(from.varint()?), RecordNo(from.varint()?), from.varint()?);
    let flags = from.byte()?;
    let meta = from.bytes()?;
    let old = if flags & 1 != 0 { Some(from.bytes()?) } else { None };
    let new = if flags & 2 != 0 { Some(from.bytes()?) } else { None };
    Some(LogRecord { shard, number, time_ms: EpochMs(time_ms), meta, old, new })
}

/// The source of a frame's body, and what the index notes of its records.
pub(super) fn notes(body: &Bytes, key: FrameKey) -> Option<(SegmentNo, RunNotes)> {
    let word = |at: usize| body.get(at..at + 8).map(|bytes| u64_at(bytes, 0));
    let (source, count) = (SegmentNo(word(0)?), word(8)?);
    let mut at = HEAD_BYTES;
    let mut runs = Vec::new();
    for _ in 0..count {
        let run = RunAt { shard: ShardNo(word(at)?), origin: SegmentNo(word(at + 8)?) };
        let count = word(at + 16)?;
        at += RUN_BYTES;
        let mut notes = Vec::new();
        for _ in 0..count {
            let len = u32_at(body.get(at + 8..at + 12)?, 0) as usize;
            let found = record(&body.slice(at..at.checked_add(len).filter(|end| *end <= body.len())?), key)?;
            if found.shard != run.shard {
                return None;
            }
            let (offset, len, bytes) = ((HEADER_BYTES + at) as u32, len as u32, found.bytes() as u32);
            notes.push(MovedNote { lsn: Lsn(found.number.0), time_ms: found.time_ms, bytes, offset, len });
            at += len as usize;
        }
        runs.push((run, notes));
    }
    body[at..].iter().all(|byte| *byte == 0).then_some((source, runs))
}
