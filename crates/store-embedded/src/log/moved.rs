//! The body of a frame of moved records: all live records of one sealed segment, which the frame replaces.
//!
//! Invariants: one frame holds all that is left of its source, so that the move is as atomic as a frame; records keep
//! number, time and shard; a run of the source stays a run, so that runs of a shard never overlap.

use bytes::Bytes;
use tailrace_core::{Lsn, RecordNo};

use super::codec::{Reader, put_bytes, put_varint};
use tailrace_store::{LogRecord, ShardNo};

/// The live records of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MovedRun {
    pub shard: ShardNo,
    pub records: Vec<LogRecord>,
}

pub(super) fn encode(source: u64, runs: &[MovedRun], out: &mut Vec<u8>) {
    put_varint(out, source);
    put_varint(out, runs.len() as u64);
    for run in runs {
        put_varint(out, run.shard.0);
        put_varint(out, run.records.len() as u64);
        for record in &run.records {
            put_varint(out, record.number.0);
            put_varint(out, record.time_ms);
            out.push(u8::from(record.old.is_some()) | u8::from(record.new.is_some()) << 1);
            put_bytes(out, &record.meta);
            for image in [&record.old, &record.new].into_iter().flatten() {
                put_bytes(out, image);
            }
        }
    }
}

pub(super) fn decode(body: &Bytes) -> Option<(u64, Vec<MovedRun>)> {
    let mut from = Reader::new(body);
    let source = from.varint()?;
    let mut runs = Vec::new();
    for _ in 0..from.varint()? {
        let shard = ShardNo(from.varint()?);
        let mut records = Vec::new();
        for _ in 0..from.varint()? {
            let (lsn, time_ms) = (Lsn(from.varint()?), from.varint()?);
            let flags = from.byte()?;
            let meta = from.bytes()?;
            let old = if flags & 1 != 0 { Some(from.bytes()?) } else { None };
            let new = if flags & 2 != 0 { Some(from.bytes()?) } else { None };
            records.push(LogRecord { shard, number: RecordNo(lsn.0), time_ms, meta, old, new });
        }
        runs.push(MovedRun { shard, records });
    }
    from.only_zeros_left().then_some((source, runs))
}
