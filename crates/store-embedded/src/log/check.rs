//! The offline check of a log: every superblock slot, every segment header, every frame and its place in the chain,
//! every index against the frames it was made from.
//!
//! It reports and changes nothing. It does not report a torn tail above everything that is known to be synced: opening
//! cuts that. It must not run beside an open log.

use std::path::Path;

use tailrace_core::Lsn;

use super::frame::{BadFrame, Position};
use super::index::{self, SegmentIndex};
use super::recovery::follows;
use super::segment::{self, FIRST_FRAME_AT, Segment, Walker, number_of};
use super::superblock::{SuperblockFile, SyncedFile};
use crate::files::Files;
use tailrace_store::StoreError;

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

struct Check<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    uuid: [u8; 16],
    faults: Vec<LogFault>,
    prev: Option<(u64, u64)>,
    last: Lsn,
    reached: Position,
    claim: Position,
    /// Where the chain ended for now: damage, if a claim turns out to lie behind it.
    stop: Option<LogFault>,
}

/// Verifies every byte of a log that matters: superblock, every frame, every index. The log must not be open.
///
/// # Errors
/// When a file can not be read at all; damage is in the answer.
pub fn check(files: &dyn Files, dir: &Path) -> Result<Vec<LogFault>, StoreError> {
    let names = files.list(dir)?;
    let mut faults = Vec::new();
    let mut newest: Option<super::superblock::Superblock> = None;
    match SuperblockFile::slots(files, dir) {
        Ok(slots) => {
            for (offset, slot) in slots {
                match slot {
                    Some(slot) => newest = newest.filter(|n| n.sequence >= slot.sequence).or(Some(slot)),
                    None => faults.push(fault(&dir.join("superblock"), offset, "a valid slot, found a damaged one")),
                }
            }
        }
        Err(StoreError::Corrupt(detail)) => faults.push(fault(&dir.join("superblock"), 0, &detail)),
        Err(error) => return Err(error),
    }
    let Some(newest) = newest else { return Ok(faults) };
    if SyncedFile::is_damaged(files, dir)? {
        faults.push(fault(&dir.join("synced"), 0, "a valid slot, found none"));
    }
    let (_, claimed) = SyncedFile::open(files, dir)?;
    let claim = claimed.max(newest.synced);
    let (prev, last, stop) = (None, Lsn::ZERO, None);
    let mut check =
        Check { files, dir, uuid: newest.uuid, faults, prev, last, reached: Position::default(), claim, stop };
    for number in names.iter().filter_map(|name| number_of(name, ".idx")) {
        let segment = segment::path(dir, number);
        if !names.iter().any(|name| number_of(name, ".seg") == Some(number)) {
            check.faults.push(fault(&segment, 0, "the segment of an index, found no such file"));
        }
    }
    for number in names.iter().filter_map(|name| number_of(name, ".seg")) {
        check.segment(number, names.iter().any(|name| number_of(name, ".idx") == Some(number)))?;
    }
    if check.claim > check.reached {
        let missing = fault(dir, 0, &format!("frames up to {}, found them end at {}", check.claim, check.reached));
        check.faults.push(check.stop.take().unwrap_or(missing));
    }
    Ok(check.faults)
}

fn fault(file: &Path, offset: u64, detail: &str) -> LogFault {
    LogFault { file: file.display().to_string(), offset, detail: detail.to_owned() }
}

fn bad(file: &Path, offset: u64, bad: &BadFrame) -> LogFault {
    fault(file, offset, &format!("expected {}, found {}", bad.expected, bad.found))
}

impl Check<'_> {
    fn segment(&mut self, number: u64, indexed: bool) -> Result<(), StoreError> {
        let path = segment::path(self.dir, number);
        let index = if indexed { self.index(number)? } else { None };
        let file = self.files.open(&path)?;
        if let Err(found) = segment::verify_header(file.as_ref(), number, &self.uuid)? {
            self.faults.push(bad(&path, 0, &found));
        }
        let mut walker = Walker::new(file.as_ref(), &self.uuid, number)?;
        let mut noted = Segment::new(number, None, 0);
        let mut at = FIRST_FRAME_AT;
        let mut chain = self.prev.filter(|(before, _)| before + 1 == number).map(|(_, checksum)| checksum);
        loop {
            let last = self.last;
            match walker.next_frame(at, |header| follows(chain, last, header))? {
                Ok((offset, header, body)) => {
                    self.claim = self.claim.max(header.synced);
                    chain = Some(header.checksum);
                    (self.prev, self.last) = (Some((number, header.checksum)), header.last());
                    at = offset + u64::from(header.len);
                    self.reached = Position::new(number, at);
                    match segment::note_frame(&header, &body) {
                        Some(content) => drop(noted.note(offset, &header, &content)),
                        None => self.faults.push(fault(&path, offset, "a body of this format, found other bytes")),
                    }
                }
                Err(found) => {
                    self.ended(&path, at, &found, index.as_ref(), &noted)?;
                    self.claim = self.claim.max(walker.claims_from(at)?);
                    return Ok(());
                }
            }
        }
    }

    /// The segment's chain ended at `at`: where its index says that it does, or damaged, or (without one) perhaps cut.
    fn ended(
        &mut self,
        path: &Path,
        at: u64,
        found: &BadFrame,
        index: Option<&SegmentIndex>,
        noted: &Segment,
    ) -> Result<(), StoreError> {
        let Some(index) = index else {
            if noted.index.last > Lsn::ZERO || self.stop.is_none() {
                self.stop = Some(bad(path, at, found));
            }
            return Ok(());
        };
        if index.end != at {
            self.faults.push(bad(path, at, found));
            (self.last, self.prev) = (self.last.max(index.last), Some((index.segment, index.last_checksum)));
            self.reached = Position::new(index.segment, index.end);
            return Ok(());
        }
        let index_path = index::path(self.dir, index.segment);
        let file = self.files.open(&index_path)?;
        let mut same = index.runs.len() == noted.index.runs.len();
        for (stored, rebuilt) in index.runs.iter().zip(&noted.index.runs) {
            match index::load(file.as_ref(), stored.block) {
                Ok(entries) => {
                    let rebuilt_entries = rebuilt.entries.as_ref().expect("invariant: noted runs are in memory");
                    same &= entries.same_as(rebuilt_entries);
                    same &= (stored.shard, stored.first, stored.last) == (rebuilt.shard, rebuilt.first, rebuilt.last);
                }
                Err(StoreError::Corrupt(detail)) => self.faults.push(fault(&index_path, stored.block.0, &detail)),
                Err(error) => return Err(error),
            }
        }
        if !same {
            self.faults.push(fault(&index_path, 0, "the runs of the segment's frames, found others"));
        }
        Ok(())
    }

    fn index(&mut self, number: u64) -> Result<Option<SegmentIndex>, StoreError> {
        let path = index::path(self.dir, number);
        match index::open(self.files.open(&path)?.as_ref(), number) {
            Ok(index) => {
                self.claim = self.claim.max(Position::new(number, index.end));
                Ok(Some(index))
            }
            Err(StoreError::Corrupt(detail)) => {
                self.faults.push(fault(&path, 0, &detail));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
