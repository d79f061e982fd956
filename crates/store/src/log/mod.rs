//! The segmented log: write-ahead log and stream at once. One writer appends groups of commits and syncs each group
//! once; readers read a shard's records; a keeper prepares segments, indexes sealed ones, frees and cleans them.
//!
//! Invariants: a number is given out once in a data directory's life; nothing is readable before it is synced (readers
//! pass the published number, which never runs ahead of [`Group::commit`]); damage at or below a number that is known
//! synced is an error that names file and offset; what is above it is cut, and a new generation begins. A write or
//! sync that fails poisons the log: the process must end, since what is on the disk is then unknown.
//!
//! It deliberately does not know what keys, values and metas mean, and does not decide when a record may go: horizons
//! come from the pipeline.

pub mod codec;
mod frame;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tailrace_core::Lsn;

use crate::files::Files;
use crate::{LogRecord, ShardNo, StoreError};

pub use codec::{LoggedCommit, LoggedImage, LoggedWrite, frame_bytes_bound};

/// What is called once, from whichever thread, when the log can not go on (a failed sync or write, damage found by the
/// keeper). The embedded engine ends the process there.
pub type FatalHook = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// How a log is set up.
#[derive(Clone)]
pub struct LogSettings {
    /// Size of a segment, bytes. A frame is at most a quarter of it.
    pub segment_bytes: u64,
    /// Segments that are kept ready ahead of the writer.
    pub segments_ahead: usize,
    /// Freed segments that are kept for reuse.
    pub spares_max: usize,
    /// A sealed segment whose live record bytes are below this share is emptied by moving them.
    pub clean_live_percent: u64,
    /// Bytes of sealed segments' indexes that are kept in memory.
    pub index_cache_bytes: usize,
    /// Whether a thread of the log does the keeper's work; without it the work is done when it is needed, and by
    /// [`Log::keep`] (tests and simulation).
    pub background: bool,
    /// See [`FatalHook`].
    pub fatal: FatalHook,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: tailrace_core::limits::LOG_SEGMENT_BYTES,
            segments_ahead: 1,
            spares_max: 2,
            clean_live_percent: 12,
            index_cache_bytes: 16 * 1024 * 1024,
            background: true,
            fatal: Arc::new(|_| {}),
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The data directory's number, made when it was.
    pub uuid: [u8; 16],
    /// The last number in the log (zero in a new one). Everything up to it is synced.
    pub last: Lsn,
    /// The time of the last commit in the log, 0 in a new one; commit times must not fall below it.
    pub last_time_ms: u64,
    /// The new generation.
    pub generation: u64,
    /// The unsynced tail that was cut, if there was any: file and offset.
    pub cut: Option<(String, u64)>,
}

/// Records of a shard, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRead {
    /// The records.
    pub records: Vec<LogRecord>,
    /// Read on after this number: the last record's, or `published` when nothing is left up to it.
    pub next: Lsn,
    /// The limits ended the page, not the shard: there is more up to `published`.
    pub more: bool,
}

/// Room in the log that was promised to a commit; given back when dropped (drop it after its group is written).
#[derive(Debug)]
pub struct Reservation {
    _bytes: u64,
}

/// The log.
pub struct Log {
    recovered: Recovered,
}

/// A group of commits being put together; holds the writer until it is dropped.
pub struct Group<'a> {
    _log: &'a Log,
}

impl Log {
    /// Opens the log in `dir`, or makes one with `fresh_uuid`. `persisted`: the tree holds everything up to this number.
    /// Verifies everything from there on, cuts the unsynced tail, makes the rest durable, begins a new generation.
    ///
    /// # Errors
    /// `Corrupt` with file, offset, expected and found; `Full`; `Io`; `Invalid` for a newer format.
    pub fn open(
        _files: Arc<dyn Files>,
        _dir: &Path,
        _settings: LogSettings,
        _fresh_uuid: [u8; 16],
        _persisted: Lsn,
    ) -> Result<Arc<Log>, StoreError> {
        Err(StoreError::Closed)
    }

    /// What opening found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Gives every commit above `after`, in order; call it after open, before the first group.
    ///
    /// # Errors
    /// Damage, or the first error of `apply`.
    pub fn replay(
        &self,
        _after: Lsn,
        _apply: &mut dyn FnMut(Lsn, LoggedCommit) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    /// Tells which shards there are, and their horizons; records of all others are dead. Call it once after replay:
    /// nothing is freed or cleaned before.
    pub fn set_shards(&self, _horizons: BTreeMap<ShardNo, Lsn>) {}

    /// A shard's first readable number is now `horizon`, durably (call it after the commit that says so). Also makes a
    /// new shard known.
    pub fn set_horizon(&self, _shard: ShardNo, _horizon: Lsn) {}

    /// A shard was dropped, durably.
    pub fn drop_shard(&self, _shard: ShardNo) {}

    /// The tree now holds everything up to `lsn`, durably.
    pub fn set_persisted(&self, _lsn: Lsn) {}

    /// Promises room for a frame of at most `bytes` ([`frame_bytes_bound`]); waits while a segment is being prepared.
    ///
    /// # Errors
    /// `Full` when the disk has no room for a further segment (tried again with every call); `Invalid` for a frame
    /// above the bound; `Io` when the log is poisoned.
    pub async fn reserve(&self, _bytes: usize) -> Result<Reservation, StoreError> {
        Err(StoreError::Closed)
    }

    /// Begins a group. There is one at a time; a second caller waits.
    pub fn group(&self) -> Group<'_> {
        Group { _log: self }
    }

    /// Records of `shard` with numbers above `after`, not below its horizon and at most `published`. Every frame's
    /// checksum is verified.
    ///
    /// # Errors
    /// `Corrupt` with file and offset; `Io`.
    pub fn read(
        &self,
        _shard: ShardNo,
        _after: Lsn,
        _records_max: usize,
        _bytes_max: usize,
        _published: Lsn,
    ) -> Result<LogRead, StoreError> {
        Err(StoreError::Closed)
    }

    /// The number to read after so that the first record is the shard's first one at or after `time_ms` and not below
    /// its horizon; `published` if there is none. The number after it is the horizon that trims everything older.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn position_at_time(&self, _shard: ShardNo, _time_ms: u64, _published: Lsn) -> Result<Lsn, StoreError> {
        Err(StoreError::Closed)
    }

    /// Does the keeper's work that is due, here and now (with `background: false`).
    ///
    /// # Errors
    /// `Full` when a segment could not be prepared; others are fatal.
    pub fn keep(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    /// Ends the keeper and gives everything back. Dropping does the same.
    ///
    /// # Errors
    /// `Io`.
    pub fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Group<'_> {
    /// The number that the next pushed commit gets.
    pub fn next_lsn(&self) -> Lsn {
        Lsn::ZERO
    }

    /// Adds a commit and returns its first number. Commit times must not fall.
    ///
    /// # Errors
    /// `Full` if there is no segment for it (never within a reservation); `Io` when the log is poisoned.
    pub fn push(&mut self, _time_ms: u64, _writes: &[LoggedWrite]) -> Result<Lsn, StoreError> {
        Err(StoreError::Closed)
    }

    /// Bytes of the frames so far.
    pub fn bytes(&self) -> usize {
        0
    }

    /// Writes the group and syncs it; returns its last number. Only after this may any of it be acknowledged,
    /// published or read. A group that is dropped without it leaves no trace but a gap in the numbers.
    ///
    /// # Errors
    /// Any error poisons the log and calls the fatal hook: what is on the disk is unknown.
    pub fn commit(self) -> Result<Lsn, StoreError> {
        Err(StoreError::Closed)
    }
}

/// A fault that the offline check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFault {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What was expected, and what was found.
    pub detail: String,
}

/// Verifies every byte of a log that matters: superblock, every frame, every index. The log must not be open.
///
/// # Errors
/// When a file can not be read at all; damage is in the answer.
pub fn check(_files: &dyn Files, _dir: &Path) -> Result<Vec<LogFault>, StoreError> {
    Err(StoreError::Closed)
}
