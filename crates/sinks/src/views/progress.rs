//! How far a version of a view is: one row for each shard, and one for the snapshot of its source. It moves in the commits that
//! apply the records, each from what the one before left, so what is applied is applied once, whoever sends it and how often.
//! Source: docs/spec/sinks.md 1 and 6.

use bytes::Bytes;
use tailrace_core::RecordNo;
use tailrace_store::Key;
use tailrace_store::keyspace::{ViewRow, ViewRowKey, ViewVersion};

use crate::sink::{Flush, Origin, SinkError};

/// What is applied of what a flush is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every record of the shard up to this one.
    Shard(RecordNo),
    /// Every page of the snapshot before this one, and so many records of it.
    Snapshot {
        /// The page.
        page: u64,
        /// Records.
        records: u64,
    },
}

impl Progress {
    /// The key of its row.
    pub fn key(version: ViewVersion, flush: &Flush) -> Key {
        let row = match flush.origin {
            Origin::Stream | Origin::Retry => ViewRow::Shard(flush.shard.no),
            Origin::Snapshot { .. } => ViewRow::Snapshot(flush.source.table.clone()),
        };
        ViewRowKey { version, row }.encode()
    }

    /// Reads the row's value.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: Option<&Bytes>, origin: Origin) -> Result<Progress, SinkError> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        let read = match (value, origin) {
            (None, Origin::Stream | Origin::Retry) => Some(Progress::Shard(RecordNo::ZERO)),
            (None, Origin::Snapshot { .. }) => Some(Progress::Snapshot { page: 0, records: 0 }),
            (Some(value), Origin::Stream | Origin::Retry) => number(value).map(|last| Progress::Shard(RecordNo(last))),
            (Some(value), Origin::Snapshot { .. }) => {
                let (page, records) = value.split_at(value.len().min(8));
                number(page).zip(number(records)).map(|(page, records)| Progress::Snapshot { page, records })
            }
        };
        read.ok_or_else(|| SinkError("corrupt data: how far a view is".to_owned()))
    }

    /// The row's value: the last number u64; or the page u64 ‖ the records of it u64, big endian.
    pub fn encode(self) -> Bytes {
        match self {
            Progress::Shard(last) => Bytes::copy_from_slice(&last.0.to_be_bytes()),
            Progress::Snapshot { page, records } => [page.to_be_bytes(), records.to_be_bytes()].concat().into(),
        }
    }

    /// How many of the first records of a flush are applied.
    ///
    /// # Errors
    /// A page of a snapshot is not the one that was begun.
    pub fn applied(self, flush: &Flush) -> Result<usize, SinkError> {
        let all = flush.records.len();
        match (self, flush.origin) {
            (Progress::Shard(last), _) => Ok(flush.records.partition_point(|record| record.number <= last)),
            (Progress::Snapshot { page: at, .. }, Origin::Snapshot { page, .. }) if at > page => Ok(all),
            (Progress::Snapshot { page: at, records }, Origin::Snapshot { page, .. }) if at == page => {
                let records = usize::try_from(records).unwrap_or(usize::MAX);
                let other =
                    || SinkError(format!("page {page} of the snapshot has {all} records, and {records} are applied"));
                if records <= all { Ok(records) } else { Err(other()) }
            }
            (Progress::Snapshot { .. }, _) => Ok(0),
        }
    }

    /// What is applied once the first `count` records of a flush are, at least one.
    pub fn behind(flush: &Flush, count: usize) -> Progress {
        match flush.origin {
            Origin::Stream | Origin::Retry => Progress::Shard(flush.records[count - 1].number),
            Origin::Snapshot { page, .. } => Progress::Snapshot { page, records: count as u64 },
        }
    }
}
