//! The offline check of a log: every superblock slot, every segment header, every frame and its place in the chain,
//! every index against the frames it was made from.
//!
//! It reports and changes nothing. It does not report a torn tail above everything that is known to be synced: opening
//! cuts that. Beside an open log, what changes under it may look like damage.

use std::path::Path;

use super::chain::Chain;
use super::frame::{BadFrame, Header, Position};
use super::index::{self, Run, SegmentIndex};
use super::segment::{self, FIRST_FRAME_AT, Segment, Walker, number_of};
use super::superblock::{SuperblockFile, SyncedFile};
use crate::files::{FileErrorKind, Files};
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

/// A piece of a segment that holds something else than the frames that were synced there.
#[derive(Clone, Debug)]
struct Damage {
    segment: u64,
    from: u64,
    /// Where the next good frame begins, or the segment ends.
    to: u64,
    bad: BadFrame,
}

struct Check<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    uuid: [u8; 16],
    faults: Vec<LogFault>,
    chain: Chain,
    reached: Position,
    claim: Position,
    /// Where the chain ended for now: damage, if something valid behind it, or a claim, shows that it went on.
    stop: Option<Damage>,
}

/// Verifies every byte of a log that matters: superblock, every frame, every index.
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
    let (chain, claim) = (Chain::new(newest.freed), claimed.max(newest.synced));
    let reached = Position::default();
    let mut check = Check { files, dir, uuid: newest.uuid, faults, chain, reached, claim, stop: None };
    // What is left of segments that were being freed is removed by the next start.
    let numbers = |ending: &str| -> Vec<u64> {
        let numbers = names.iter().filter_map(|name| number_of(name, ending));
        numbers.filter(|number| !newest.freeing.contains(number)).collect()
    };
    let (segments, indexes) = (numbers(".seg"), numbers(".idx"));
    for number in indexes.iter().filter(|number| !segments.contains(number)) {
        check.faults.push(fault(&segment::path(dir, *number), 0, "the segment of an index, found no such file"));
    }
    if let Err(StoreError::Corrupt(detail)) =
        newest.freed.verify_kept(&dir.join("superblock"), segments.iter().copied())
    {
        check.faults.push(fault(&dir.join("superblock"), 0, &detail));
    }
    for number in segments {
        check.segment(number, indexes.contains(&number))?;
    }
    if check.claim > check.reached {
        match check.stop.take() {
            Some(damage) => check.damaged(&damage),
            None => {
                let detail = format!("frames up to {}, found them end at {}", check.claim, check.reached);
                check.faults.push(fault(dir, 0, &detail));
            }
        }
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
    fn damaged(&mut self, damage: &Damage) {
        let path = segment::path(self.dir, damage.segment);
        let BadFrame { expected, found } = &damage.bad;
        let detail = format!("expected {expected}, found {found}; nothing can be read up to byte {}", damage.to);
        self.faults.push(fault(&path, damage.from, &detail));
    }

    fn segment(&mut self, number: u64, indexed: bool) -> Result<(), StoreError> {
        let path = segment::path(self.dir, number);
        let index = if indexed { self.index(number)? } else { None };
        let file = match self.files.open(&path) {
            Err(error) if error.kind == FileErrorKind::NotFound => {
                self.faults.push(fault(&path, 0, "the file that was listed, found no such file"));
                return Ok(());
            }
            opened => opened?,
        };
        if let Err(found) = segment::verify_header(file.as_ref(), number, &self.uuid)? {
            self.faults.push(bad(&path, 0, &found));
        }
        let mut walker = Walker::new(file.as_ref(), &self.uuid, number)?;
        let mut noted = Segment::new(number, None, 0);
        let (mut at, mut whole) = (FIRST_FRAME_AT, true);
        self.chain.enter(number);
        let kept = self.chain.is_kept(number);
        loop {
            let chain = self.chain;
            let bad = match walker.next_frame(at, |header| chain.follows(header))? {
                Ok((offset, header, body)) => {
                    self.claim = self.claim.max(header.synced);
                    self.chain.took(number, &header);
                    at = offset + u64::from(header.len);
                    self.reached = Position::new(number, at);
                    match segment::note_frame(&header, &body, walker.key) {
                        Some(content) => drop(noted.note(offset, &header, &content)),
                        None => self.faults.push(fault(&path, offset, "a body of this format, found other bytes")),
                    }
                    continue;
                }
                Err(bad) => bad,
            };
            if index.as_ref().is_some_and(|index| at >= index.end) {
                break;
            }
            let damage = |to| Damage { segment: number, from: at, to, bad };
            if let Some((offset, header)) = self.known_frame(&mut walker, at, indexed)? {
                match self.stop.take() {
                    Some(stop) if offset == FIRST_FRAME_AT => self.damaged(&stop),
                    stop => {
                        stop.iter().for_each(|stop| self.damaged(stop));
                        self.damaged(&damage(offset));
                    }
                }
                self.chain.resume_at(&header);
                (at, whole) = (offset, false);
                continue;
            }
            match &index {
                Some(index) => {
                    self.damaged(&damage(index.end));
                    self.chain.ended(index);
                    self.reached = Position::new(number, index.end);
                    whole = false;
                    break;
                }
                None if kept && noted.is_empty() => self.damaged(&damage(file.size()?)),
                None if !noted.is_empty() || self.stop.is_none() => self.stop = Some(damage(file.size()?)),
                None => {}
            }
            self.claim = self.claim.max(walker.claims_from(at)?);
            return Ok(());
        }
        match &index {
            Some(index) if whole => {
                self.chain.ended(index);
                self.compare(index, &noted)
            }
            _ => Ok(()),
        }
    }

    /// The first valid frame from `at` on that shows that the chain went on to it: it knows of more that is synced than
    /// was found, or stands in a segment whose every frame was synced.
    fn known_frame(&self, walker: &mut Walker<'_>, at: u64, synced: bool) -> Result<Option<(u64, Header)>, StoreError> {
        let mut from = at;
        while let Some((offset, header)) = walker.find_frame(from)? {
            if synced || header.synced > self.reached {
                return Ok(Some((offset, header)));
            }
            from = offset + u64::from(header.len);
        }
        Ok(None)
    }

    /// That the index says what the frames say.
    fn compare(&mut self, index: &SegmentIndex, noted: &Segment) -> Result<(), StoreError> {
        let index_path = index::path(self.dir, index.segment);
        let file = self.files.open(&index_path)?;
        let runs = self.pages(&index_path, || index::load_runs(&*file, &index::open(&*file, index.segment)?.1))?;
        let keys = self.pages(&index_path, || index::load_keys(&*file, &index::open(&*file, index.segment)?.1))?;
        let (Some(runs), Some(keys)) = (runs, keys) else { return Ok(()) };
        let rebuilt = noted.runs.sorted();
        let mut same = *index == noted.index && keys.iter().copied().eq(runs.iter().map(|run| run.at));
        same &= runs.len() == rebuilt.len();
        for (stored, rebuilt) in runs.iter().zip(&rebuilt) {
            if let Some(entries) = self.pages(&index_path, || index::load_entries(&*file, stored.block))? {
                let of = |run: &Run| (run.at, run.first, run.last, run.first_time_ms, run.last_time_ms, run.bytes);
                same &= rebuilt.entries.as_ref().is_some_and(|rebuilt| entries.same_as(rebuilt));
                same &= of(stored) == of(rebuilt);
            }
        }
        if !same {
            self.faults.push(fault(&index_path, 0, "the runs of the segment's frames, found others"));
        }
        Ok(())
    }

    /// What `load` gives. `None`: it is damaged, and that is told.
    fn pages<T>(&mut self, path: &Path, load: impl FnOnce() -> Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match load() {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::Corrupt(detail)) => {
                self.faults.push(fault(path, 0, &detail));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn index(&mut self, number: u64) -> Result<Option<SegmentIndex>, StoreError> {
        let path = index::path(self.dir, number);
        let file = self.files.open(&path)?;
        let found = self.pages(&path, || index::open(&*file, number))?.map(|(index, _)| index);
        if let Some(index) = &found {
            self.claim = self.claim.max(Position::new(number, index.end));
        }
        Ok(found)
    }
}
