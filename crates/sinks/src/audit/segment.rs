//! A segment: what one flush adds to a chain. Pure: the same records behind the same head are the same bytes.

use tailrace_core::{EpochMs, RecordNo};
use tailrace_engine::control;

use super::chain::{Hash, Line};
use super::entry::{self, Parent, Range, SegmentHead, Values};
use super::sign::Signer;
use crate::sink::{Flush, Origin};

/// Where a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The hash of its last line.
    pub hash: Hash,
    /// How many entries it has: the number of the next one.
    pub entries: u64,
    /// How many segments.
    pub segments: u64,
    /// Of a chain without segments: the one that it goes on from.
    pub parent: Option<Parent>,
    /// Of a chain that had its segments in another place: that.
    pub continues: Option<String>,
}

/// Records that were lost before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// They come behind this one.
    pub after: RecordNo,
    /// And before this one.
    pub before: RecordNo,
    /// How they were lost.
    pub reason: &'static str,
}

/// A segment.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The hash of its last line.
    pub hash: Hash,
    /// How many entries the chain has with it.
    pub entries: u64,
    /// The time of its last record.
    pub time_ms: EpochMs,
}

/// What segments of a trail have in common.
pub struct Style<'a> {
    /// How entries show values.
    pub values: &'a Values,
    /// Who signs this one.
    pub signer: Option<&'a Signer>,
}

/// The segment that holds `flush` in `chain`, behind `base`.
pub fn build(flush: &Flush, chain: &str, base: &Base, gap: Option<Gap>, style: &Style<'_>) -> Segment {
    let records = &flush.records;
    let range = match flush.origin {
        Origin::Stream | Origin::Retry => Range::Records(flush.first(), flush.last()),
        Origin::Snapshot { page, .. } => Range::Page(page),
    };
    let source = &flush.source;
    let head = SegmentHead {
        trail: &flush.sink,
        version: flush.version,
        chain,
        table: &source.table,
        stream: source.stream_arn.as_str(),
        key: [Some(&source.partition_key.name), source.sort_key.as_ref().map(|key| &*key.name)],
        values: style.values.name(),
        range,
        entries: records.len() as u64 + u64::from(gap.is_some()),
        seq: base.entries,
        segment: base.segments,
        parent: base.parent.as_ref(),
        continues: base.continues.as_deref(),
    };
    let mut line = Line::default();
    let stored = |record: &tailrace_engine::streams::record::StreamRecord| {
        let image = |image: &Option<bytes::Bytes>| image.as_ref().map_or(0, |image| image.len());
        record.meta.keys.len() + image(&record.old) + image(&record.new)
    };
    let images: usize = records.iter().map(stored).sum();
    let mut bytes = Vec::with_capacity(1024 + records.len() * ENTRY_BYTES_USUAL + images + images / 2);
    let mut seq = base.entries;
    head.write(&mut line);
    let mut hash = line.push_to(&base.hash, &mut bytes);
    if let Some(Gap { after, before, reason }) = gap {
        entry::write_gap(&mut line, after, before, reason, &source.table, seq);
        hash = line.push_to(&hash, &mut bytes);
        seq += 1;
    }
    let is_control = source.table == control::TABLE;
    for record in records {
        let written = match is_control {
            true => entry::write_control(&mut line, record, seq),
            false => entry::write_record(&mut line, record, &source.table, seq, style.values),
        };
        if let Err(error) = written {
            entry::write_damaged(&mut line, record, &source.table, seq, &error);
        }
        hash = line.push_to(&hash, &mut bytes);
        seq += 1;
    }
    if let Some(signer) = style.signer {
        signer.push_line(&hash, seq, &mut bytes);
    }
    let time_ms = records.last().map_or(EpochMs::ZERO, |record| record.time_ms);
    Segment { bytes, hash, entries: seq, time_ms }
}

/// What an entry has besides keys and images.
const ENTRY_BYTES_USUAL: usize = 420;
