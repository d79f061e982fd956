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

mod cache;
mod chain;
mod check;
pub mod codec;
mod directory;
mod entries;
mod frame;
mod index;
mod keeper;
mod looked;
mod moved;
mod postings;
mod read;
mod recovery;
mod segment;
mod set_aside;
mod superblock;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tailrace_core::{EpochMs, Lsn};

use crate::files::Files;
use tailrace_store::{LogRecord, ShardNo, StoreError};

pub use check::{CheckedLog, LogFault, SetAsideError, check, set_aside};
pub use codec::{LoggedCommit, LoggedImage, LoggedWrite, frame_bytes_bound, value_of};
pub use frame::SegmentNo;
pub use keeper::Reservation;
pub use superblock::FORMAT;
pub use writer::Group;

/// What is called once, from whichever thread, when the log can not go on (a failed sync or write, damage found by the
/// keeper). The embedded engine ends the process there.
pub type FatalHook = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// How a log is set up.
#[derive(Clone)]
pub struct LogSettings {
    /// Size of a segment, bytes. A frame is at most a quarter of it.
    pub segment_bytes: u64,
    /// Size of the first segment after a start without a spare, so that starting does not wait for zeros.
    pub first_segment_bytes: u64,
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
            first_segment_bytes: tailrace_core::limits::LOG_FIRST_SEGMENT_BYTES,
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
    pub last_time_ms: EpochMs,
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
    /// Numbers up to `next` in which records of the shard are lost: they were damaged, and set aside by the operator.
    pub lost: Vec<RangeInclusive<Lsn>>,
}

/// How much there is of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// Segments that hold frames, the writer's included.
    pub segments: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Segments that stand ready, and spares.
    pub ready: usize,
}

/// The log.
pub struct Log {
    inner: Arc<Inner>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

pub(crate) struct Inner {
    files: Arc<dyn Files>,
    dir: PathBuf,
    settings: LogSettings,
    recovered: Recovered,
    /// The first segment that this process writes to.
    own_from: SegmentNo,
    set_aside: set_aside::SetAside,
    writer: Mutex<writer::Writer>,
    supply: keeper::Supply,
    directory: RwLock<directory::Directory>,
    cache: Mutex<cache::Cache>,
    poisoned: AtomicBool,
    poison: Mutex<Option<StoreError>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

/// The number of the segment in this file, if it is a segment's.
pub fn segment_number(file: &Path) -> Option<SegmentNo> {
    segment::number_of(file.file_name()?.to_str()?, ".seg")
}

impl Inner {
    fn frame_bytes_max(&self) -> u64 {
        self.settings.segment_bytes / tailrace_core::limits::LOG_FRAME_SEGMENT_FRACTION
    }

    /// Ends the log's life: what is on the disk is unknown from here on.
    fn fail(&self, error: StoreError) -> StoreError {
        let first = {
            let mut poison = self.poison.lock();
            let first = poison.is_none();
            poison.get_or_insert_with(|| error.clone());
            first
        };
        self.poisoned.store(true, Ordering::SeqCst);
        self.supply.wake_all();
        if first && !matches!(error, StoreError::Closed) {
            (self.settings.fatal)(&error);
        }
        error
    }

    fn healthy(&self) -> Result<(), StoreError> {
        if !self.poisoned.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(self.poison.lock().clone().unwrap_or(StoreError::Closed))
    }
}

impl Log {
    /// Opens the log in `dir`, or makes one with `fresh_uuid`. `persisted`: the tree holds everything up to this number.
    /// Verifies everything from there on, cuts the unsynced tail, makes the rest durable, begins a new generation.
    ///
    /// # Errors
    /// `Corrupt` with file, offset, expected and found; `Full`; `Io`; `NewerFormat`.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        settings: LogSettings,
        fresh_uuid: [u8; 16],
        persisted: Lsn,
    ) -> Result<Arc<Log>, StoreError> {
        let background = settings.background;
        let inner = Arc::new(recovery::open(files, dir, settings, fresh_uuid, persisted)?);
        let thread = if background { Some(keeper::spawn(inner.clone())?) } else { None };
        Ok(Arc::new(Log { inner, thread: Mutex::new(thread) }))
    }

    /// What opening found.
    pub fn recovered(&self) -> &Recovered {
        &self.inner.recovered
    }

    /// Gives every commit above `after`, in order, each `PutOfWrite` as the `Put` that it stands for; call it after open,
    /// before the first group.
    ///
    /// # Errors
    /// Damage, or the first error of `apply`.
    pub fn replay(
        &self,
        after: Lsn,
        apply: &mut dyn FnMut(Lsn, LoggedCommit) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        recovery::replay(&self.inner, after, apply)
    }

    /// Tells which shards there are, and their horizons; records of all others are dead. Call it once after replay:
    /// nothing is freed or cleaned before.
    pub fn set_shards(&self, horizons: BTreeMap<ShardNo, Lsn>) {
        self.inner.directory.write().set_horizons(horizons);
        self.inner.supply.wake();
    }

    /// A shard's first readable number is now `horizon`, durably (call it after the commit that says so). Also makes a
    /// new shard known. An earlier horizon than the present one is ignored.
    pub fn set_horizon(&self, shard: ShardNo, horizon: Lsn) {
        self.inner.directory.write().set_horizon(shard, horizon);
        self.inner.supply.wake();
    }

    /// A shard was dropped, durably.
    pub fn drop_shard(&self, shard: ShardNo) {
        self.inner.directory.write().drop_shard(shard);
        self.inner.supply.wake();
    }

    /// The tree now holds everything up to `lsn`, durably.
    pub fn set_persisted(&self, lsn: Lsn) {
        self.inner.directory.write().set_persisted(lsn);
        self.inner.supply.wake();
    }

    /// Promises room for a frame of at most `bytes` ([`frame_bytes_bound`]); waits while a segment is being prepared.
    ///
    /// # Errors
    /// `Full` when the disk has no room for a further segment (tried again with every call); `Invalid` for a frame
    /// above the bound; `Io` when the log is poisoned.
    pub async fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        keeper::reserve(&self.inner, bytes as u64).await
    }

    /// Whether there can be room for a frame of at most `bytes`.
    ///
    /// # Errors
    /// `Invalid` for a frame above the bound.
    pub fn check_size(&self, bytes: usize) -> Result<(), StoreError> {
        keeper::check_size(&self.inner, bytes as u64)
    }

    /// Why a commit of this size would be refused at present, if it would. A log without room looks again whether there is
    /// some, so that the next answer is not this one for ever.
    pub fn refuses(&self, bytes: usize) -> Option<StoreError> {
        keeper::refuses(&self.inner, bytes as u64)
    }

    /// Begins a group. There is one at a time; a second caller waits.
    pub fn group(&self) -> Group<'_> {
        Group::new(&self.inner, self.inner.writer.lock())
    }

    /// Records of `shard` with numbers above `after`, not below its horizon and at most `published`. Every frame's
    /// checksum is verified.
    ///
    /// # Errors
    /// `Corrupt` with file and offset; `Io`.
    pub fn read(
        &self,
        shard: ShardNo,
        after: Lsn,
        records_max: usize,
        bytes_max: usize,
        published: Lsn,
    ) -> Result<LogRead, StoreError> {
        let read = read::read(&self.inner, shard, after, records_max, bytes_max, published, read::Reach::All)?;
        Ok(read.expect("invariant: nothing is out of this reach"))
    }

    /// The same, of what this process has written itself: the system has that in memory, so that nothing waits for the disk.
    /// `None`: some of it lies in segments from before the start.
    ///
    /// # Errors
    /// `Corrupt` with file and offset; `Io`.
    pub fn read_own(
        &self,
        shard: ShardNo,
        after: Lsn,
        records_max: usize,
        bytes_max: usize,
        published: Lsn,
    ) -> Result<Option<LogRead>, StoreError> {
        read::read(&self.inner, shard, after, records_max, bytes_max, published, read::Reach::Own)
    }

    /// The number of the shard's last record before `time_ms`, or the one before its horizon if there is none above that.
    /// The number after it is the horizon that trims everything older, and nothing that whoever read it has not read.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn position_at_time(&self, shard: ShardNo, time_ms: EpochMs, published: Lsn) -> Result<Lsn, StoreError> {
        read::position_at_time(&self.inner, shard, time_ms, published)
    }

    /// Does the keeper's work that is due, here and now (with `background: false`).
    ///
    /// # Errors
    /// `Full` when a segment could not be prepared; others are fatal.
    pub fn keep(&self) -> Result<(), StoreError> {
        keeper::keep(&self.inner)
    }

    /// How much there is.
    pub fn usage(&self) -> LogUsage {
        let (segments, bytes) = self.inner.directory.read().usage();
        LogUsage { segments, bytes, ready: self.inner.supply.ready() }
    }

    /// About how many bytes are in memory of what is retained: for each segment and each shard a fixed number, 24 for each
    /// 64 segments in a row in some of which a shard has records, and what the cache of indexes holds
    /// ([`LogSettings::index_cache_bytes`] at most). The writer's segment, and sealed ones that wait for their index, come on
    /// top.
    pub fn memory_bytes(&self) -> usize {
        self.inner.directory.read().memory_bytes() + self.inner.cache.lock().bytes()
    }

    /// Ends the keeper and gives everything back; a log that was closed goes on with the very next number. Dropping
    /// without it loses nothing but leaves a gap in the numbers.
    ///
    /// # Errors
    /// `Io`.
    pub fn close(&self) -> Result<(), StoreError> {
        self.stop();
        if self.inner.healthy().is_err() {
            return Ok(());
        }
        let writer = self.inner.writer.lock();
        let result = self.inner.supply.write_limit(writer.next(), writer.synced());
        let _ = self.inner.fail(StoreError::Closed);
        result
    }

    fn stop(&self) {
        self.inner.supply.stop();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log's keeper ended with a panic");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}
