//! The writer: gives out numbers, chains frames, writes and syncs groups.
//!
//! Invariants: one group at a time; a number is given out at most once, below the limit that the superblock already
//! holds; the directory hears of a frame after it is synced; after a failed write or sync nothing is ever written again.

use std::sync::Arc;

use parking_lot::MutexGuard;
use tailrace_core::{EpochMs, Lsn};

use super::codec::{self, LoggedWrite, frame_bytes_bound};
use super::frame::{self, FrameKey, Header, Kind, Position, SegmentNo};
use super::index::RunAt;
use super::moved::{self, MovedRun};
use super::segment::{FIRST_FRAME_AT, Noted, Segment, note_writes};
use super::superblock::SyncedFile;
use super::{Inner, keeper};
use crate::files::{File, SECTOR_BYTES};
use tailrace_store::StoreError;

/// Where the next frame goes.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub segment: SegmentNo,
    pub key: FrameKey,
    pub file: Arc<dyn File>,
    pub capacity: u64,
    pub offset: u64,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) tail: Tail,
    pub(super) generation: u64,
    pub(super) next: Lsn,
    pub(super) prev: u64,
    /// Everything before is synced.
    pub(super) synced: Position,
    /// The last number that is synced.
    pub(super) last: Lsn,
    pub(super) last_time_ms: EpochMs,
    pub(super) claims: SyncedFile,
    pub(super) buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn next(&self) -> Lsn {
        self.next
    }

    pub(super) fn synced(&self) -> Position {
        self.synced
    }
}

struct Placed {
    part: usize,
    offset: u64,
    header: Header,
    content: Noted,
}

/// What of a group goes into one segment.
struct Part {
    tail: Tail,
    start: u64,
    bytes: Vec<u8>,
}

/// A group of commits being put together; holds the writer until it is dropped.
pub struct Group<'a> {
    log: &'a Inner,
    writer: MutexGuard<'a, Writer>,
    parts: Vec<Part>,
    placed: Vec<Placed>,
    prev: u64,
    time_ms: EpochMs,
    bytes: usize,
}

impl<'a> Group<'a> {
    pub(super) fn new(log: &'a Inner, mut writer: MutexGuard<'a, Writer>) -> Self {
        // A group begins with a sector of its own: a sector that a cut damages then holds nothing that was synced.
        let mut tail = writer.tail.clone();
        tail.offset = tail.offset.next_multiple_of(SECTOR_BYTES as u64);
        let (prev, time_ms) = (writer.prev, writer.last_time_ms);
        let mut bytes = std::mem::take(&mut writer.buffer);
        bytes.clear();
        let parts = vec![Part { start: tail.offset, tail, bytes }];
        Self { log, writer, parts, placed: Vec::new(), prev, time_ms, bytes: 0 }
    }

    /// The number that the next pushed commit gets.
    pub fn next_lsn(&self) -> Lsn {
        self.writer.next
    }

    /// Bytes of the frames so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a commit and returns its first number. A time before the last commit's counts as that one's: times never
    /// fall along the log.
    ///
    /// # Errors
    /// `Full` if there is no segment for it (never within a reservation); `Invalid` above the frame's bound; `Io` when
    /// the log is poisoned.
    pub fn push(&mut self, time_ms: EpochMs, writes: &[LoggedWrite]) -> Result<Lsn, StoreError> {
        self.time_ms = self.time_ms.max(time_ms);
        let bound = frame_bytes_bound(writes) as u64;
        self.append(Kind::Commit, codec::span(writes), bound, |out, _| {
            codec::encode(writes, out);
            note_writes(writes)
        })
    }

    /// Adds the live records of a segment. `gone`: its runs of which nothing is left.
    pub(super) fn push_moved(
        &mut self,
        source: SegmentNo,
        runs: &[MovedRun],
        gone: Vec<RunAt>,
    ) -> Result<Lsn, StoreError> {
        self.append(Kind::Moved, 0, moved::bytes_bound(runs) as u64, |out, key| {
            let runs = moved::encode(source, runs, key, out);
            Noted::Moved { source, runs, gone }
        })
    }

    fn append(
        &mut self,
        kind: Kind,
        span: u64,
        bound: u64,
        body: impl FnOnce(&mut Vec<u8>, FrameKey) -> Noted,
    ) -> Result<Lsn, StoreError> {
        self.log.healthy()?;
        keeper::check_size(self.log, bound)?;
        let span = u32::try_from(span).map_err(|_| StoreError::Invalid("too many records in a commit".to_owned()))?;
        keeper::await_limit(self.log, Lsn(self.writer.next.0 + u64::from(span)), self.writer.synced)?;
        loop {
            let part = self.part();
            if part.start + part.bytes.len() as u64 + bound <= part.tail.capacity {
                break;
            }
            let ready = keeper::take_segment(self.log)?;
            let key = FrameKey::new(&self.log.recovered.uuid, ready.number);
            let (segment, file, capacity) = (ready.number, ready.file, ready.bytes);
            let tail = Tail { segment, key, file, capacity, offset: FIRST_FRAME_AT };
            self.parts.push(Part { start: FIRST_FRAME_AT, tail, bytes: Vec::new() });
        }
        let header = Header {
            len: 0,
            checksum: 0,
            generation: self.writer.generation,
            lsn: self.writer.next,
            prev: self.prev,
            synced: self.writer.synced,
            time_ms: self.time_ms,
            span,
            kind,
        };
        let part = self.part();
        let offset = part.start + part.bytes.len() as u64;
        let key = part.tail.key;
        let (header, content) = frame::append(&mut part.bytes, key, header, |out| body(out, key));
        debug_assert!(u64::from(header.len) <= bound, "the bound of a frame's bytes holds");
        self.prev = header.checksum;
        self.writer.next = Lsn(header.last().0 + 1);
        self.bytes += header.len as usize;
        self.placed.push(Placed { part: self.parts.len() - 1, offset, header, content });
        Ok(header.lsn)
    }

    fn part(&mut self) -> &mut Part {
        self.parts.last_mut().expect("invariant: a group has a part")
    }

    /// Writes the group and syncs it; returns its last number. Only after this may any of it be acknowledged,
    /// published or read. A group that is dropped without it leaves no trace but a gap in the numbers.
    ///
    /// # Errors
    /// Any error poisons the log and calls the fatal hook: what is on the disk is unknown.
    pub fn commit(mut self) -> Result<Lsn, StoreError> {
        self.log.healthy()?;
        match self.write() {
            Ok(last) => Ok(last),
            Err(error) => Err(self.log.fail(error)),
        }
    }

    fn write(&mut self) -> Result<Lsn, StoreError> {
        let Some(last) = self.placed.last() else { return Ok(self.writer.last) };
        let (number, end) = (self.parts[last.part].tail.segment, last.offset + u64::from(last.header.len));
        let (last, synced) = (last.header.last(), Position::new(number, end));
        for part in self.parts.iter().filter(|part| !part.bytes.is_empty()) {
            part.tail.file.write_at(&part.bytes, part.start)?;
        }
        for part in self.parts.iter().filter(|part| !part.bytes.is_empty()) {
            part.tail.file.sync_data()?;
        }
        self.writer.claims.claim(synced)?;

        let mut directory = self.log.directory.write();
        for part in &self.parts[1..] {
            let (number, file) = (part.tail.segment, part.tail.file.clone());
            directory.seal(self.writer.tail.segment);
            directory.insert(number, Segment::new(number, Some(file), part.tail.capacity));
            self.writer.tail = part.tail.clone();
        }
        for placed in &self.placed {
            let place = Position::new(self.parts[placed.part].tail.segment, placed.offset);
            directory.note(place, &placed.header, &placed.content);
        }
        drop(directory);
        let part = self.parts.last().expect("invariant: a group has a part");
        self.writer.tail.offset = part.start + part.bytes.len() as u64;
        (self.writer.prev, self.writer.synced, self.writer.last_time_ms) = (self.prev, synced, self.time_ms);
        self.writer.last = last;
        let tail = &self.writer.tail;
        self.log.supply.set_active_left(tail.capacity.saturating_sub(tail.offset));
        if self.parts.len() > 1 {
            self.log.supply.wake();
        }
        self.parts.truncate(1);
        Ok(last)
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // Segments that were taken but not written go back, unless the log is lost anyway.
        for part in self.parts.drain(1..).rev() {
            let Tail { segment: number, file, capacity: bytes, .. } = part.tail;
            self.log.supply.give_back(keeper::Ready { number, file, bytes });
        }
        if let Some(part) = self.parts.first_mut() {
            self.writer.buffer = std::mem::take(&mut part.bytes);
        }
    }
}
