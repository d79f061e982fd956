//! How the frames of the log follow each other: from frame to frame, from segment to segment, and over what was freed.
//!
//! Invariants: a frame follows the one whose checksum it names, and its numbers are above that one's. Behind the last
//! segment that was freed nothing is ever taken for a beginning: the superblock holds the checksum of the last frame that
//! was freed. Before it, where segments are kept between freed ones, a segment may begin without its predecessor, if that
//! one's index says where it ends; how many such segments there must be is in the superblock, too.

use std::path::Path;

use tailrace_core::Lsn;

use super::frame::{BadFrame, Header, SegmentNo, corrupt};
use super::index::SegmentIndex;
use super::set_aside::Lost;
use tailrace_store::StoreError;

/// What was freed of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Freed {
    /// The last segment that was freed, 0 before the first one.
    pub segment: SegmentNo,
    /// The last number in the freed segments: the tree must hold everything up to it, for nothing else does.
    pub last: Lsn,
    /// The checksum of the last frame of that last segment.
    pub checksum: u64,
    /// How many segments before it are kept.
    pub kept_below: u64,
}

impl Freed {
    /// Damage, if of the segments that are there (`numbers`) not as many are before the last freed one as must be.
    pub fn verify_kept(&self, superblock: &Path, numbers: impl Iterator<Item = SegmentNo>) -> Result<(), StoreError> {
        let found = numbers.filter(|number| *number < self.segment).count() as u64;
        if found == self.kept_below {
            return Ok(());
        }
        let (kept, segment) = (self.kept_below, self.segment);
        Err(corrupt(superblock, 0, &format!("{kept} segments before number {segment}"), &format!("{found}")))
    }
}

/// Where the chain stands while segments are gone through in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    freed: Freed,
    /// Checksum of the last frame.
    pub prev: u64,
    /// The last number.
    pub last: Lsn,
    /// The segment of the last frame.
    segment: SegmentNo,
    /// An index says that the segment ends with the last frame.
    proven: bool,
    /// The next frame may follow one that was freed.
    may_jump: bool,
}

impl Chain {
    /// Before the first segment.
    pub fn new(freed: Freed) -> Self {
        Self { freed, prev: 0, last: Lsn::ZERO, segment: SegmentNo::default(), proven: true, may_jump: false }
    }

    /// Goes on to a segment.
    pub fn enter(&mut self, number: SegmentNo) {
        let freed = self.freed;
        if self.segment < freed.segment && freed.segment < number {
            (self.prev, self.last) = (freed.checksum, self.last.max(freed.last));
            (self.segment, self.proven) = (freed.segment, true);
        }
        self.may_jump = number < freed.segment && self.proven;
    }

    /// True for a segment that has certainly held a frame: others behind it were freed.
    pub fn is_kept(&self, number: SegmentNo) -> bool {
        number < self.freed.segment
    }

    /// That a frame follows what came before.
    pub fn follows(&self, header: &Header) -> Result<(), BadFrame> {
        self.comes_next(header.prev, header.lsn)
    }

    fn comes_next(&self, prev: u64, lsn: Lsn) -> Result<(), BadFrame> {
        if prev != self.prev && !self.may_jump {
            let expected = format!("the frame after the one with checksum {:#018x}", self.prev);
            return Err(BadFrame::new(expected, format!("the one after {prev:#018x}")));
        }
        if lsn <= self.last {
            return Err(BadFrame::new(format!("a number above {}", self.last), lsn.to_string()));
        }
        Ok(())
    }

    /// The frame is the last one now.
    pub fn took(&mut self, number: SegmentNo, header: &Header) {
        (self.prev, self.last) = (header.checksum, header.last());
        (self.segment, self.proven, self.may_jump) = (number, false, false);
    }

    /// The segment of this index follows what came before, without a look at its frames.
    pub fn took_indexed(&mut self, index: &SegmentIndex) -> Result<(), BadFrame> {
        self.comes_next(index.prev, index.first)?;
        self.ended(index);
        Ok(())
    }

    /// Goes on behind a piece that was set aside.
    pub fn skip(&mut self, lost: &Lost) {
        (self.prev, self.last) = (lost.prev, self.last.max(lost.last));
        (self.segment, self.proven, self.may_jump) = (lost.segment, false, false);
    }

    /// Goes on with a frame that follows one which cannot be read.
    pub fn resume_at(&mut self, header: &Header) {
        self.prev = header.prev;
        self.last = self.last.min(Lsn(header.lsn.0.saturating_sub(1)));
    }

    /// The segment ends as its index says.
    pub fn ended(&mut self, index: &SegmentIndex) {
        (self.prev, self.last) = (index.last_checksum, index.last);
        (self.segment, self.proven, self.may_jump) = (index.segment, true, false);
    }
}
