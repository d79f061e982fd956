//! The offline check of a log: every superblock slot, every segment header, every frame and its place in the chain,
//! every index against the frames it was made from.
//!
//! It reports and changes nothing. It does not report a torn tail above everything that is known to be synced: opening
//! cuts that. Beside an open log, what changes under it may look like damage.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use tailrace_core::Lsn;

use super::chain::Chain;
use super::entries::Entry;
use super::frame::{BadFrame, FrameKey, Header, Position, SegmentNo};
use super::index::{self, Run, SegmentIndex};
use super::moved;
use super::segment::{self, FIRST_FRAME_AT, Segment, Walker, number_of};
use super::set_aside::{Lost, SetAside};
use super::superblock::{SuperblockFile, SyncedFile};
use crate::files::{File, FileErrorKind, Files};
use tailrace_store::{ShardNo, StoreError};

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

/// What the check of a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedLog {
    /// What is wrong.
    pub faults: Vec<LogFault>,
    /// What was damaged and set aside.
    pub set_aside: Vec<LogFault>,
}

/// A piece of a segment that holds something else than the frames that were synced there.
#[derive(Clone, Debug)]
struct Damage {
    lost: Lost,
    bad: BadFrame,
}

struct Check<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    uuid: [u8; 16],
    faults: Vec<LogFault>,
    /// Those of the faults that can be set aside.
    damages: Vec<Damage>,
    set_aside: SetAside,
    known: Vec<LogFault>,
    /// No number at or above was ever given out.
    lsn_limit: Lsn,
    chain: Chain,
    reached: Position,
    claim: Position,
    /// Where the chain ended for now: damage, if something valid behind it, or a claim, shows that it went on.
    stop: Option<Damage>,
}

/// Why a piece is not set aside.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SetAsideError {
    /// The place is none in a segment.
    #[error("{0}: not a segment's file and an offset, as the check names them")]
    NoPlace(String),
    /// Nothing is damaged there.
    #[error("{0}: the check names no damage there that can be set aside")]
    NoDamage(String),
    /// Acknowledged writes would be lost.
    #[error(
        "{place}: {lost}: the tree holds numbers up to {persisted} only, so that acknowledged writes would be lost"
    )]
    LosesWrites {
        /// File and offset.
        place: String,
        /// What is in the piece.
        lost: String,
        /// The tree holds everything up to here.
        persisted: Lsn,
    },
    /// The directory cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Verifies every byte of a log that matters: superblock, every frame, every index.
///
/// # Errors
/// When a file can not be read at all; damage is in the answer.
pub fn check(files: &dyn Files, dir: &Path) -> Result<CheckedLog, StoreError> {
    let (faults, set_aside, _) = run(files, dir)?;
    Ok(CheckedLog { faults, set_aside })
}

/// Sets aside what the check names as damage at this place, durably, and says what is lost. `persisted`: the tree holds
/// everything up to this number; what is above it are acknowledged writes, which are lost only if `lose_writes` says so.
///
/// # Errors
/// When nothing there can be set aside, or not without losing writes; the file layer's.
pub fn set_aside(
    files: &dyn Files,
    dir: &Path,
    segment: SegmentNo,
    offset: u64,
    persisted: Lsn,
    lose_writes: bool,
) -> Result<String, SetAsideError> {
    let path = segment::path(dir, segment);
    let (_, _, damages) = run(files, dir)?;
    let damage = damages.into_iter().find(|damage| (damage.lost.segment, damage.lost.from) == (segment, offset));
    let place = format!("{}:{offset}", path.display());
    let Some(Damage { lost, .. }) = damage else { return Err(SetAsideError::NoDamage(place)) };
    if lost.last > persisted && lost.first <= lost.last && !lose_writes {
        return Err(SetAsideError::LosesWrites { place, lost: lost.to_string(), persisted });
    }
    let text = format!("{}: bytes {} to {}: {lost}", path.display(), lost.from, lost.to);
    let names = files.list(dir).map_err(StoreError::from)?;
    SetAside::open(files, dir, &names)?.add(files, dir, lost)?;
    Ok(text)
}

/// Shards with the first and the last number of what is lost of each.
type Records = Option<Vec<(ShardNo, Lsn, Lsn)>>;
type Found = (Vec<LogFault>, Vec<LogFault>, Vec<Damage>);

fn run(files: &dyn Files, dir: &Path) -> Result<Found, StoreError> {
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
    let Some(newest) = newest else { return Ok((faults, Vec::new(), Vec::new())) };
    if SyncedFile::is_damaged(files, dir)? {
        faults.push(fault(&dir.join("synced"), 0, "a valid slot, found none"));
    }
    let (_, claimed) = SyncedFile::open(files, dir)?;
    let (chain, claim) = (Chain::new(newest.freed), claimed.max(newest.synced));
    let reached = Position::default();
    let set_aside = match SetAside::open(files, dir, &names) {
        Err(StoreError::Corrupt(detail)) => {
            faults.push(fault(&dir.join("set-aside"), 0, &detail));
            SetAside::default()
        }
        opened => opened?,
    };
    let mut check = Check {
        files,
        dir,
        uuid: newest.uuid,
        faults,
        damages: Vec::new(),
        set_aside,
        known: Vec::new(),
        lsn_limit: newest.lsn_limit,
        chain,
        reached,
        claim,
        stop: None,
    };
    // What is left of segments that were being freed is removed by the next start.
    let numbers = |ending: &str| -> Vec<SegmentNo> {
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
            Some(mut damage) => {
                // Nothing behind it says which numbers it had.
                damage.lost.last = Lsn(check.lsn_limit.0 - 1);
                check.damaged(damage);
            }
            None => {
                let detail = format!("frames up to {}, found them end at {}", check.claim, check.reached);
                check.faults.push(fault(dir, 0, &detail));
            }
        }
    }
    Ok((check.faults, check.known, check.damages))
}

fn fault(file: &Path, offset: u64, detail: &str) -> LogFault {
    LogFault { file: file.display().to_string(), offset, detail: detail.to_owned() }
}

fn bad_at(file: &Path, offset: u64, bad: &BadFrame) -> LogFault {
    fault(file, offset, &format!("expected {}, found {}", bad.expected, bad.found))
}

impl Check<'_> {
    fn damaged(&mut self, damage: Damage) {
        let Damage { lost, bad: BadFrame { expected, found } } = &damage;
        let path = segment::path(self.dir, lost.segment);
        let detail = format!(
            "expected {expected}, found {found}; nothing can be read up to byte {}: {lost}; can be set aside",
            lost.to
        );
        self.faults.push(fault(&path, lost.from, &detail));
        self.damages.push(damage);
    }

    /// Which records the index says are in a piece of the segment: those of commits, and moved ones that do not verify.
    fn records_in(&mut self, file: &dyn File, number: SegmentNo, piece: Range<u64>) -> Result<Records, StoreError> {
        let path = index::path(self.dir, number);
        let (key, index_file) = (FrameKey::new(&self.uuid, number), self.files.open(&path)?);
        let runs = || index::load_runs(&*index_file, &index::open(&*index_file, number)?.1);
        let Some(runs) = self.pages(&path, runs)? else { return Ok(None) };
        let mut shards: BTreeMap<ShardNo, (Lsn, Lsn)> = BTreeMap::new();
        for run in runs {
            let Some(entries) = self.pages(&path, || index::load_entries(&*index_file, run.block))? else {
                return Ok(None);
            };
            let is_before = |entry: &Entry| u64::from(entry.offset) < piece.start;
            for entry in entries.select(is_before, |entry| u64::from(entry.offset) < piece.end, usize::MAX) {
                if run.at.origin != number {
                    let mut bytes = vec![0; entry.len as usize];
                    file.read_at(&mut bytes, u64::from(entry.offset))?;
                    if moved::record(&bytes.into(), key).is_some() {
                        continue;
                    }
                }
                let (first, last) = shards.entry(run.at.shard).or_insert((entry.lsn, entry.lsn));
                (*first, *last) = ((*first).min(entry.lsn), (*last).max(entry.lsn));
            }
        }
        Ok(Some(shards.into_iter().map(|(shard, (first, last))| (shard, first, last)).collect()))
    }

    fn segment(&mut self, number: SegmentNo, indexed: bool) -> Result<(), StoreError> {
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
            let (prev, first, last, shards) = (0, Lsn(1), Lsn::ZERO, None);
            let lost = Lost { segment: number, from: 0, to: FIRST_FRAME_AT, prev, first, last, shards };
            match self.set_aside.at(Position::new(number, 0)) {
                Some(lost) => self.known.push(fault(&path, 0, &format!("set aside up to byte {}: {lost}", lost.to))),
                None => self.damaged(Damage { lost, bad: found }),
            }
        }
        let mut walker = Walker::new(file.as_ref(), &self.uuid, number)?;
        let mut noted = Segment::new(number, None, 0);
        let (mut at, mut whole) = (FIRST_FRAME_AT, true);
        self.chain.enter(number);
        let kept = self.chain.is_kept(number);
        let mut passed = None;
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
            if let Some(lost) = self.set_aside.at(Position::new(number, at)).filter(|_| passed != Some(at)).cloned() {
                self.known.push(fault(&path, at, &format!("set aside up to byte {}: {lost}", lost.to)));
                self.chain.skip(&lost);
                (at, whole, passed) = (lost.to, false, Some(lost.to));
                self.reached = Position::new(number, at);
                continue;
            }
            let (before, prev) = (self.chain.last, self.chain.prev);
            let lost = |to, prev, last, shards| Lost {
                segment: number,
                from: at,
                to,
                prev,
                first: before.next(),
                last,
                shards,
            };
            if let Some((offset, header)) = self.known_frame(&mut walker, at, indexed)? {
                let last = Lsn(header.lsn.0.saturating_sub(1));
                match self.stop.take() {
                    Some(mut stop) if offset == FIRST_FRAME_AT => {
                        (stop.lost.prev, stop.lost.last) = (header.prev, last);
                        self.damaged(stop);
                    }
                    // The piece here stands for all that is missing in between.
                    stop => {
                        if let Some(Damage { lost, bad: found }) = stop.filter(|stop| !stop.bad.is_no_frame()) {
                            self.faults.push(bad_at(&segment::path(self.dir, lost.segment), lost.from, &found));
                        }
                        let shards = if indexed { self.records_in(&*file, number, at..offset)? } else { None };
                        self.damaged(Damage { lost: lost(offset, header.prev, last, shards), bad });
                    }
                }
                self.chain.resume_at(&header);
                (at, whole) = (offset, false);
                continue;
            }
            match &index {
                Some(index) => {
                    let shards = self.records_in(&*file, number, at..index.end)?;
                    self.damaged(Damage { lost: lost(index.end, index.last_checksum, index.last, shards), bad });
                    self.chain.ended(index);
                    self.reached = Position::new(number, index.end);
                    whole = false;
                    break;
                }
                None if !kept && noted.is_empty() && self.stop.is_some() => {}
                None => {
                    let damage = Damage { lost: lost(file.size()?, prev, before, None), bad };
                    match kept && noted.is_empty() {
                        true => self.damaged(damage),
                        false => self.stop = Some(damage),
                    }
                }
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

    fn index(&mut self, number: SegmentNo) -> Result<Option<SegmentIndex>, StoreError> {
        let path = index::path(self.dir, number);
        let file = self.files.open(&path)?;
        let found = self.pages(&path, || index::open(&*file, number))?.map(|(index, _)| index);
        if let Some(index) = &found {
            self.claim = self.claim.max(Position::new(number, index.end));
        }
        Ok(found)
    }
}
