//! Opening a log: what is synced is verified, what is not is kept if it is whole or cut, and a new generation begins.
//!
//! Invariants: the segments from the first one that the tree does not cover are read whole, and every frame must chain
//! to the one before; if the chain ends before a place that anything valid knows to be synced, that is damage and
//! opening stops; what is kept is written again and synced before it is shown (it may have been in the page cache only,
//! or its writeback may have failed without a word); a cut tail is taken off the file, and its numbers are not used
//! again, so that it can never come back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tailrace_core::{EpochMs, Lsn};

use super::cache::Cache;
use super::chain::Chain;
use super::directory::Directory;
use super::frame::{BadFrame, FrameKey, Header, Kind, Position, SegmentNo, corrupt};
use super::keeper::{self, LSN_RESERVE, Supply};
use super::segment::{self, FIRST_FRAME_AT, Segment, Walker, number_of};
use super::set_aside::SetAside;
use super::superblock::{Superblock, SuperblockFile, SyncedFile};
use super::writer::{Tail, Writer};
use super::{Inner, LogSettings, LoggedCommit, Recovered, codec, index};
use crate::files::Files;
use tailrace_store::StoreError;

/// What is known before the frames are read.
#[derive(Clone, Copy)]
struct Known {
    /// Everything before is synced.
    claim: Position,
    /// The tree holds everything up to here.
    persisted: Lsn,
}

/// What the walk over the segments found.
struct Scan {
    chain: Chain,
    last_time_ms: EpochMs,
    /// Where the last good frame ends.
    reached: Position,
    /// The last segment with a good frame.
    good: Option<SegmentNo>,
    /// Where the chain ended, and why.
    stop: Option<(PathBuf, u64, BadFrame)>,
    /// Per segment, where its first frame behind the claims begins.
    unclaimed: BTreeMap<SegmentNo, u64>,
}

/// See [`super::Log::open`].
pub(super) fn open(
    files: Arc<dyn Files>,
    dir: &Path,
    settings: LogSettings,
    fresh_uuid: [u8; 16],
    persisted: Lsn,
) -> Result<Inner, StoreError> {
    files.create_dir(dir)?;
    let mut names = files.list(dir)?;
    if !SuperblockFile::exists(&names) {
        create(files.as_ref(), dir, &names, fresh_uuid, persisted)?;
        names = files.list(dir)?;
    }
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        files.remove(&dir.join(name))?;
    }
    let mut superblock = SuperblockFile::open(files.as_ref(), dir)?;
    let (claims, claimed) = SyncedFile::open(files.as_ref(), dir)?;
    let uuid = superblock.now.uuid;

    if persisted < superblock.now.freed.last {
        let (expected, found) = (superblock.now.freed.last, persisted);
        return Err(corrupt(
            &dir.join("superblock"),
            0,
            &format!("a tree that holds everything up to {expected}, for those segments of the log were freed"),
            &format!("one that holds numbers up to {found}: it is missing, or an older copy"),
        ));
    }
    if finish_freeing(files.as_ref(), dir, &names, &superblock.now.freeing)? {
        names = files.list(dir)?;
    }
    let set_aside = SetAside::open(files.as_ref(), dir, &names)?;
    let mut segments = load(files.as_ref(), dir, &names)?;
    let numbers: Vec<SegmentNo> = segments.keys().copied().collect();
    superblock.now.freed.verify_kept(&dir.join("superblock"), numbers.iter().copied())?;
    let first = numbers.iter().position(|n| !segments[n].indexed || segments[n].index.last > persisted);
    let first = first.unwrap_or(numbers.len());
    let indexed = segments.values().filter(|segment| segment.indexed);
    let indexed = indexed.map(|segment| Position::new(segment.index.segment, segment.index.end)).max();
    let claim = claimed.max(superblock.now.synced).max(indexed.unwrap_or_default());
    let known = Known { claim, persisted };
    let mut chain = Chain::new(superblock.now.freed);
    for number in &numbers[..first] {
        chain.enter(*number);
        let mut follows = chain.took_indexed(&segments[number].index);
        if follows.is_err()
            && let Some(lost) = set_aside.at(Position::new(*number, FIRST_FRAME_AT))
        {
            chain.skip(lost);
            follows = chain.took_indexed(&segments[number].index);
        }
        follows.map_err(|bad| bad.at(&segment::path(dir, *number), FIRST_FRAME_AT))?;
    }
    let scan = scan(files.as_ref(), dir, &uuid, &mut segments, &numbers, first, chain, &set_aside, known)?;
    secure_tail(files.as_ref(), dir, &mut segments, &scan)?;

    let unused: Vec<SegmentNo> =
        numbers[first..].iter().copied().filter(|n| scan.good.is_none_or(|good| *n > good)).collect();
    let spares = recycle(files.as_ref(), dir, &settings, &names, &mut segments, &unused)?;
    let highest =
        names.iter().filter_map(|name| [".seg", ".spare", ".idx"].iter().find_map(|ending| number_of(name, ending)));
    let mut next_number = highest.max().unwrap_or_default().next();

    let next = Lsn(superblock.now.lsn_limit.0.max(scan.chain.last.0 + 1).max(persisted.0 + 1));
    let generation = superblock.now.generation + 1;
    let lsn_limit = Lsn(next.0 + LSN_RESERVE);
    let synced = superblock.now.synced.max(scan.reached);
    superblock.write(Superblock { generation, lsn_limit, synced, ..superblock.now })?;

    let mut spares = spares;
    let first_bytes = settings.segment_bytes.min(settings.first_segment_bytes);
    let (number, spare) = (next_number, spares.pop());
    next_number = number.next();
    let active = keeper::make_segment(files.as_ref(), dir, number, spare, first_bytes, &uuid, generation)?;
    segments.insert(number, Segment::new(number, Some(active.file.clone()), active.bytes));

    let cut = scan.stop.filter(|(_, _, bad)| !bad.expected.starts_with("a frame"));
    let cut = cut.map(|(path, offset, _)| (path.display().to_string(), offset));
    if let Some((file, offset)) = &cut {
        tracing::warn!(file, offset, "cut what was written but never synced, and so never acknowledged");
    }
    let (last, last_time_ms) = (scan.chain.last, scan.last_time_ms);
    let writer = Writer {
        tail: Tail {
            segment: number,
            key: FrameKey::new(&uuid, number),
            file: active.file,
            capacity: active.bytes,
            offset: FIRST_FRAME_AT,
        },
        generation,
        next,
        prev: scan.chain.prev,
        synced: scan.reached,
        last,
        last_time_ms,
        claims,
        buffer: Vec::new(),
    };
    let directory = Directory::new(segments, persisted, |number| {
        let file = files.open(&index::path(dir, number))?;
        index::load_keys(&*file, &index::open(&*file, number)?.1)
    })?;
    let supply = Supply::new(superblock, spares, next_number);
    supply.set_active_left(active.bytes - FIRST_FRAME_AT);
    supply.wake();
    Ok(Inner {
        files,
        dir: dir.to_path_buf(),
        settings,
        recovered: Recovered { uuid, last, last_time_ms, generation, cut },
        own_from: number,
        set_aside,
        writer: Mutex::new(writer),
        supply,
        directory: RwLock::new(directory),
        cache: Mutex::new(Cache::default()),
        poisoned: AtomicBool::new(false),
        poison: Mutex::new(None),
    })
}

fn create(files: &dyn Files, dir: &Path, names: &[String], uuid: [u8; 16], persisted: Lsn) -> Result<(), StoreError> {
    let path = dir.join("superblock");
    if persisted > Lsn::ZERO || names.iter().any(|name| name.ends_with(".seg")) {
        return Err(corrupt(&path, 0, "the superblock of a log that holds commits", "no such file"));
    }
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        files.remove(&dir.join(name))?;
    }
    if !names.iter().any(|name| name == "synced") {
        SyncedFile::create(files, dir)?;
    }
    SuperblockFile::create(files, dir, uuid)
}

/// What the index files say; segments without one are known by name only.
fn load(files: &dyn Files, dir: &Path, names: &[String]) -> Result<BTreeMap<SegmentNo, Segment>, StoreError> {
    let mut segments = BTreeMap::new();
    for number in names.iter().filter_map(|name| number_of(name, ".seg")) {
        let bytes = files.open(&segment::path(dir, number))?.size()?;
        let mut found = Segment::new(number, None, bytes);
        found.sealed = true;
        segments.insert(number, found);
    }
    for number in names.iter().filter_map(|name| number_of(name, ".idx")) {
        let path = index::path(dir, number);
        match segments.get_mut(&number) {
            Some(found) => {
                found.index = index::open(files.open(&path)?.as_ref(), number)?.0;
                found.indexed = true;
            }
            // A segment that is freed loses its index first.
            None => return Err(corrupt(&segment::path(dir, number), 0, "the segment of an index", "no such file")),
        }
    }
    Ok(segments)
}

/// Removes what is left of segments that a crash kept from being freed whole. Says whether anything was.
fn finish_freeing(files: &dyn Files, dir: &Path, names: &[String], freeing: &[SegmentNo]) -> Result<bool, StoreError> {
    let has = |path: &Path| path.file_name().is_some_and(|name| names.iter().any(|n| n.as_str() == name));
    let mut removed = false;
    for path_of in [index::path, segment::path] {
        for path in freeing.iter().map(|number| path_of(dir, *number)).filter(|path| has(path)) {
            files.remove(&path)?;
            removed = true;
        }
        if removed {
            files.sync_dir(dir)?;
        }
    }
    Ok(removed)
}

#[expect(clippy::too_many_arguments, reason = "all of it is what opening knows so far")]
fn scan(
    files: &dyn Files,
    dir: &Path,
    uuid: &[u8; 16],
    segments: &mut BTreeMap<SegmentNo, Segment>,
    numbers: &[SegmentNo],
    first: usize,
    chain: Chain,
    set_aside: &SetAside,
    known: Known,
) -> Result<Scan, StoreError> {
    let before = numbers[..first].last().map(|number| &segments[number].index);
    let mut scan = Scan {
        chain,
        last_time_ms: before.map_or(EpochMs(0), |index| index.last_time_ms),
        reached: before.map_or(Position::default(), |index| Position::new(index.segment, index.end)),
        good: None,
        stop: None,
        unclaimed: BTreeMap::new(),
    };
    for number in &numbers[first..] {
        scan.chain.enter(*number);
        let file = files.open(&segment::path(dir, *number))?;
        let mut found = Segment::new(*number, None, segments[number].bytes);
        found.sealed = true;
        let mut at = FIRST_FRAME_AT;
        let stop = match segment::verify_header(file.as_ref(), *number, uuid)? {
            Err(bad) if set_aside.at(Position::new(*number, 0)).is_none() => (0, bad),
            _ => {
                let mut walker = Walker::new(file.as_ref(), uuid, *number)?;
                let mut passed = None;
                loop {
                    let chain = scan.chain;
                    match walker.next_frame(at, |header| chain.follows(header))? {
                        Err(bad) => match set_aside.at(Position::new(*number, at)).filter(|_| passed != Some(at)) {
                            None => break (at, bad),
                            Some(lost) => {
                                found.note_lost(lost, scan.chain.prev);
                                scan.chain.skip(lost);
                                (passed, at) = (Some(lost.to), lost.to);
                                scan.good = Some(*number);
                                scan.reached = Position::new(*number, at);
                            }
                        },
                        Ok((offset, header, body)) => {
                            let noted = segment::note_frame(&header, &body, walker.key)
                                .ok_or_else(|| undecodable(&file, offset))?;
                            found.note(offset, &header, &noted);
                            scan.chain.took(*number, &header);
                            (scan.last_time_ms, scan.good) = (header.time_ms, Some(*number));
                            at = offset + u64::from(header.len);
                            scan.reached = Position::new(*number, at);
                            if scan.reached > known.claim {
                                scan.unclaimed.entry(*number).or_insert(offset);
                            }
                        }
                    }
                }
            }
        };
        let index = segments[number].indexed.then(|| &segments[number].index);
        // What is indexed was synced, and so was what segments behind it were freed after.
        let ends = index.map(|index| (index.end, format!("(its index knows of frames up to byte {})", index.end)));
        let kept =
            scan.chain.is_kept(*number).then(|| (at.max(FIRST_FRAME_AT + 1), "(it was kept for its frames)".into()));
        if let Some((end, why)) = ends.or(kept)
            && at < end
        {
            return Err(corrupt(file.path(), stop.0, &format!("{} {why}", stop.1.expected), &stop.1.found));
        }
        match index {
            Some(index) => scan.chain.ended(index),
            None => drop(segments.insert(*number, found)),
        }
        if scan.good == Some(*number) || scan.stop.is_none() {
            scan.stop = Some((file.path().to_path_buf(), stop.0, stop.1));
        }
    }
    verify_claims(files, dir, uuid, segments, &numbers[first..], &scan, known)?;
    Ok(scan)
}

fn undecodable(file: &Arc<dyn crate::files::File>, offset: u64) -> StoreError {
    corrupt(file.path(), offset, "a frame of this format", "a body that does not decode")
}

/// Stops if anything valid knows of a synced place that the chain does not reach.
fn verify_claims(
    files: &dyn Files,
    dir: &Path,
    uuid: &[u8; 16],
    segments: &BTreeMap<SegmentNo, Segment>,
    scanned: &[SegmentNo],
    scan: &Scan,
    Known { mut claim, persisted }: Known,
) -> Result<(), StoreError> {
    for number in scanned.iter().filter(|number| scan.good.is_none_or(|good| **number >= good)) {
        let file = files.open(&segment::path(dir, *number))?;
        let from = if scan.good == Some(*number) { segments[number].index.end } else { FIRST_FRAME_AT };
        claim = claim.max(Walker::new(file.as_ref(), uuid, *number)?.claims_from(from)?);
    }
    let known = if claim > scan.reached {
        format!("(everything before {claim} is known to be synced, and whole frames end at {})", scan.reached)
    } else if persisted > scan.chain.last {
        format!("(the tree holds numbers up to {persisted}, and the last number in the log is {})", scan.chain.last)
    } else {
        return Ok(());
    };
    Err(match &scan.stop {
        Some((path, offset, bad)) => corrupt(path, *offset, &format!("{} {known}", bad.expected), &bad.found),
        None => corrupt(dir, 0, &format!("a log {known}"), "no segment that holds them"),
    })
}

/// Writes what nobody knew to be synced once more and syncs it; takes the cut tail off its file.
fn secure_tail(
    files: &dyn Files,
    dir: &Path,
    segments: &mut BTreeMap<SegmentNo, Segment>,
    scan: &Scan,
) -> Result<(), StoreError> {
    for (number, from) in &scan.unclaimed {
        let file = files.open(&segment::path(dir, *number))?;
        let mut tail = vec![0; (segments[number].index.end - from) as usize];
        file.read_at(&mut tail, *from)?;
        file.write_at(&tail, *from)?;
        file.sync_data()?;
    }
    let last = scan.good.and_then(|number| segments.get_mut(&number).map(|segment| (number, segment)));
    if let Some((number, last)) = last
        && !last.indexed
        && last.bytes > last.index.end
    {
        let file = files.open(&segment::path(dir, number))?;
        file.set_len(last.index.end)?;
        file.sync_data()?;
        last.bytes = last.index.end;
    }
    Ok(())
}

/// Turns segments that hold nothing into spares, as far as there is use for them; gives the numbers of all spares.
fn recycle(
    files: &dyn Files,
    dir: &Path,
    settings: &LogSettings,
    names: &[String],
    segments: &mut BTreeMap<SegmentNo, Segment>,
    unused: &[SegmentNo],
) -> Result<Vec<SegmentNo>, StoreError> {
    let spares_max = settings.spares_max + settings.segments_ahead + 1;
    let mut spares = Vec::new();
    for number in names.iter().filter_map(|name| number_of(name, ".spare")) {
        let path = segment::spare_path(dir, number);
        if spares.len() < spares_max && files.open(&path)?.size()? == settings.segment_bytes {
            spares.push(number);
        } else {
            files.remove(&path)?;
        }
    }
    for number in unused {
        let Some(segment) = segments.remove(number) else { continue };
        let path = segment::path(dir, *number);
        if spares.len() < spares_max && segment.bytes == settings.segment_bytes {
            files.rename(&path, &segment::spare_path(dir, *number))?;
            spares.push(*number);
        } else {
            files.remove(&path)?;
        }
    }
    files.sync_dir(dir)?;
    Ok(spares)
}

/// See [`super::Log::replay`].
pub(super) fn replay(
    log: &Inner,
    after: Lsn,
    apply: &mut dyn FnMut(Lsn, LoggedCommit) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let wanted: Vec<(SegmentNo, u64)> = {
        let directory = log.directory.read();
        let wanted = directory.all().filter(|(_, segment)| segment.index.last > after);
        wanted.map(|(number, segment)| (number, segment.index.end)).collect()
    };
    for (number, end) in wanted {
        let file = log.files.open(&segment::path(&log.dir, number))?;
        let mut walker = Walker::new(file.as_ref(), &log.recovered.uuid, number)?;
        let mut at = FIRST_FRAME_AT;
        while at < end {
            let (offset, header, body): (u64, Header, Bytes) = match walker.next_frame(at, |_| Ok(()))? {
                Ok(found) => found,
                Err(bad) => match log.set_aside.at(Position::new(number, at)).filter(|lost| lost.to > at) {
                    Some(lost) => {
                        at = lost.to;
                        continue;
                    }
                    None => return Err(bad.at(file.path(), at)),
                },
            };
            at = offset + u64::from(header.len);
            if header.kind == Kind::Commit && header.last() > after {
                let writes = codec::decode(&body).ok_or_else(|| undecodable(&file, offset))?;
                apply(header.lsn, LoggedCommit { time_ms: header.time_ms, writes: codec::resolved(writes) })?;
            }
        }
    }
    Ok(())
}
