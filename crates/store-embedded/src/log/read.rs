//! Reading a shard's records: run by run, frame by frame, every frame's checksum verified.
//!
//! Invariants: nothing above the published number is read; nothing that does not verify is served; a page costs what the
//! shard's records cost, not what lies between them or was moved with them. Memory: what is read holds at most about four times its bytes,
//! whatever lies around it; a bounded cache of pieces of indexes and
//! of open files.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn, RecordNo};

use super::cache::{FileKind, Part, Piece};
use super::entries::{Entries, Entry};
use super::frame::{self, FrameKey, Kind, Position, SegmentNo, corrupt};
use super::index::{self, Run, RunAt};
use super::{Inner, LogRead, LoggedImage, LoggedWrite, codec, moved, segment};
use crate::files::{File, FileErrorKind};
use tailrace_store::{LogRecord, ShardNo, StoreError};

/// Frames that lie no further apart than this are read at once.
const GAP_BYTES_MAX: u64 = 8 * 1024;
/// Bytes that are read at once, unless one frame is larger.
const CHUNK_BYTES_MAX: u64 = 256 * 1024;
/// Entries that are looked up at once.
const ENTRIES_MAX: usize = 1024;

/// What a read may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Segments that this process has written, which the system has in memory since.
    Own,
    /// All of them, wherever they come from.
    All,
}

impl Reach {
    fn has(self, log: &Inner, segment: SegmentNo) -> bool {
        self == Reach::All || segment >= log.own_from
    }

    /// The first run of `shard` from this origin on, and whether its segment is within reach.
    fn run_from(self, log: &Inner, shard: ShardNo, origin: SegmentNo) -> Option<(RunAt, bool)> {
        let directory = log.directory.read();
        let at = directory.run_from(shard, origin)?;
        let host = directory.host_of(at);
        Some((at, host.is_none_or(|host| self.has(log, host.index.segment))))
    }
}

/// A segment that is being read: it is not recycled while this lives.
struct Source {
    segment: SegmentNo,
    file: Option<Arc<dyn File>>,
    _pin: Arc<()>,
}

impl Source {
    /// The segment's file. `None`: it was freed just now.
    fn file(&self, log: &Inner) -> Result<Option<Arc<dyn File>>, StoreError> {
        match &self.file {
            Some(file) => Ok(Some(file.clone())),
            None => file_of(log, self.segment, FileKind::Segment),
        }
    }
}

/// An open file of a sealed segment. `None`: the segment was freed between the look at the directory and now.
fn file_of(log: &Inner, segment: SegmentNo, kind: FileKind) -> Result<Option<Arc<dyn File>>, StoreError> {
    if let Some(file) = log.cache.lock().file(segment, kind) {
        return Ok(Some(file));
    }
    let path = match kind {
        FileKind::Segment => segment::path(&log.dir, segment),
        FileKind::Index => index::path(&log.dir, segment),
    };
    match log.files.open(&path) {
        Err(error) if error.kind == FileErrorKind::NotFound && log.directory.read().get(segment).is_none() => Ok(None),
        Err(error) => Err(error.into()),
        Ok(file) => {
            log.cache.lock().add_file(segment, kind, file.clone());
            Ok(Some(file))
        }
    }
}

/// What became of the look for a run.
enum Look<T> {
    Found(T),
    /// Nothing is left of it.
    Gone,
    /// It was moved or freed just now: look at the directory again.
    Again,
}

/// A piece of a sealed segment's index, out of the cache or the file.
fn piece(
    log: &Inner,
    segment: SegmentNo,
    part: Part,
    load: impl FnOnce(&dyn File) -> Result<Piece, StoreError>,
) -> Result<Option<Piece>, StoreError> {
    if let Some(piece) = log.cache.lock().get(segment, part) {
        return Ok(Some(piece));
    }
    let Some(file) = file_of(log, segment, FileKind::Index)? else { return Ok(None) };
    let piece = load(&*file)?;
    log.cache.lock().add(segment, part, piece.clone(), log.settings.index_cache_bytes);
    Ok(Some(piece))
}

/// A run in a sealed segment's index.
fn indexed_run(log: &Inner, segment: SegmentNo, at: RunAt) -> Result<Look<Run>, StoreError> {
    let pages = piece(log, segment, Part::Pages, |file| Ok(Piece::Pages(Arc::new(index::open(file, segment)?.1))))?;
    let Some(Piece::Pages(pages)) = pages else { return Ok(Look::Again) };
    let Some(page) = pages.page_of(at) else { return Ok(Look::Gone) };
    let load = |file: &dyn File| Ok(Piece::Runs(Arc::new(index::load_page(file, &pages, page)?)));
    let Some(Piece::Runs(runs)) = piece(log, segment, Part::Runs(page), load)? else { return Ok(Look::Again) };
    let found = runs.binary_search_by_key(&at, |run| run.at).ok().map(|i| runs[i].clone());
    Ok(found.map_or(Look::Gone, Look::Found))
}

/// What `pick` takes of a run and its entries, and where to read their frames.
fn look_up<T>(log: &Inner, at: RunAt, pick: impl FnOnce(&Run, &Entries) -> T) -> Result<Look<(Source, T)>, StoreError> {
    let source = {
        let directory = log.directory.read();
        let Some(host) = directory.host_of(at) else { return Ok(Look::Gone) };
        let source = Source { segment: host.index.segment, file: host.file.clone(), _pin: host.pin.clone() };
        if !host.indexed {
            let run = host.runs.get(at).and_then(|run| Some((run, run.entries.as_deref()?)));
            return Ok(run.map_or(Look::Gone, |(run, entries)| Look::Found((source, pick(run, entries)))));
        }
        source
    };
    let run = match indexed_run(log, source.segment, at)? {
        Look::Found(run) => run,
        Look::Gone => return Ok(Look::Gone),
        Look::Again => return Ok(Look::Again),
    };
    let load = |file: &dyn File| Ok(Piece::Entries(Arc::new(index::load_entries(file, run.block)?)));
    match piece(log, source.segment, Part::Entries(run.block.0), load)? {
        Some(Piece::Entries(entries)) => Ok(Look::Found((source, pick(&run, &entries)))),
        _ => Ok(Look::Again),
    }
}

/// A run without its entries. `None`: nothing is left of it.
pub(super) fn run(log: &Inner, at: RunAt) -> Result<Option<Run>, StoreError> {
    loop {
        let host = {
            let directory = log.directory.read();
            let Some(host) = directory.host_of(at) else { return Ok(None) };
            if !host.indexed {
                return Ok(host.runs.get(at).map(|run| Run { entries: None, ..run.clone() }));
            }
            host.index.segment
        };
        match indexed_run(log, host, at)? {
            Look::Found(run) => return Ok(Some(run)),
            Look::Gone => return Ok(None),
            Look::Again => {}
        }
    }
}

/// See [`super::Log::read`]. `None`: it would have to go beyond its reach.
pub(super) fn read(
    log: &Inner,
    shard: ShardNo,
    after: Lsn,
    records_max: usize,
    bytes_max: usize,
    published: Lsn,
    reach: Reach,
) -> Result<Option<LogRead>, StoreError> {
    let (horizon, mut origin) = {
        let directory = log.directory.read();
        let horizon = directory.horizon(shard);
        (horizon, directory.origin_after(after.max(Lsn(horizon.0.saturating_sub(1)))))
    };
    let from = after.max(Lsn(horizon.0.saturating_sub(1)));
    let mut next = from;
    let mut page = LogRead::default();
    let mut bytes = 0;
    let mut full = records_max == 0;
    while next < published && !full {
        let Some((at, within_reach)) = reach.run_from(log, shard, origin) else { break };
        if !within_reach {
            return Ok(None);
        }
        let max = ENTRIES_MAX.min(records_max - page.records.len());
        let pick =
            |run: &Run, entries: &Entries| (run.first, entries.select(|e| e.lsn <= next, |e| e.lsn <= published, max));
        let (source, (first, entries)) = match look_up(log, at, pick)? {
            Look::Found(found) => found,
            Look::Again => continue,
            Look::Gone => {
                origin = at.origin.next();
                continue;
            }
        };
        if first > published {
            break;
        }
        if entries.is_empty() {
            origin = at.origin.next();
            continue;
        }
        // It may have been moved since it was looked for, into an own segment, but out of none.
        debug_assert!(reach.has(log, source.segment), "segment {} is out of reach", source.segment);
        let Some(file) = source.file(log)? else { continue };
        fetch(log, &*file, &source, at, &entries, &mut |lsn, record| {
            let Some(record) = record else {
                next = lsn;
                return true;
            };
            bytes += record.bytes();
            // A record larger than a page is a page of its own, so that every reader comes past it.
            full = bytes > bytes_max && !page.records.is_empty();
            if !full {
                next = Lsn(record.number.0);
                page.records.push(record);
                full = page.records.len() >= records_max;
            }
            !full
        })?;
        origin = at.origin;
    }
    if full && next < published {
        let Some(more) = has_more(log, shard, next, published, reach)? else { return Ok(None) };
        page.more = more;
    }
    page.next = if page.more { next } else { next.max(published) };
    page.lost = log.set_aside.lost_of(shard, from, page.next);
    for lost in &page.lost {
        let (first, last) = (lost.start().0, lost.end().0);
        tracing::warn!(shard = shard.0, first, last, "stream records that were set aside are passed over");
    }
    Ok(Some(page))
}

/// Whether the shard may have records above `after`, up to `published`. `None`: who knows lies out of reach.
fn has_more(log: &Inner, shard: ShardNo, after: Lsn, published: Lsn, reach: Reach) -> Result<Option<bool>, StoreError> {
    let mut origin = log.directory.read().origin_after(after);
    loop {
        let Some((at, within_reach)) = reach.run_from(log, shard, origin) else { return Ok(Some(false)) };
        if !within_reach {
            return Ok(None);
        }
        match run(log, at)? {
            Some(run) if run.last > after => return Ok(Some(run.first <= published)),
            _ => origin = at.origin.next(),
        }
    }
}

/// All records of a run from `horizon` on.
pub(super) fn read_run(log: &Inner, at: RunAt, horizon: Lsn) -> Result<Vec<LogRecord>, StoreError> {
    loop {
        let pick = |_: &Run, entries: &Entries| entries.select(|e| e.lsn < horizon, |_| true, usize::MAX);
        let (source, entries) = match look_up(log, at, pick)? {
            Look::Found(found) => found,
            Look::Again => continue,
            Look::Gone => return Ok(Vec::new()),
        };
        let Some(file) = source.file(log)? else { continue };
        let mut records = Vec::with_capacity(entries.len());
        fetch(log, &*file, &source, at, &entries, &mut |_, record| {
            records.extend(record);
            true
        })?;
        return Ok(records);
    }
}

/// See [`super::Log::position_at_time`].
pub(super) fn position_at_time(
    log: &Inner,
    shard: ShardNo,
    time_ms: EpochMs,
    published: Lsn,
) -> Result<Lsn, StoreError> {
    let (horizon, mut origin) = {
        let directory = log.directory.read();
        (directory.horizon(shard), directory.origin_before(time_ms))
    };
    let mut before = Lsn::ZERO;
    while let Some(up_to) = origin {
        let Some(at) = log.directory.read().run_up_to(shard, up_to) else { break };
        let Some(run) = run(log, at)?.filter(|run| run.first_time_ms < time_ms) else {
            origin = at.origin.before(1);
            continue;
        };
        if run.last_time_ms < time_ms {
            before = run.last;
            break;
        }
        match look_up(log, at, |_, entries| entries.last_of(|entry| entry.time_ms < time_ms))? {
            Look::Found((_, entry)) => {
                before = entry.map_or(Lsn::ZERO, |entry| entry.lsn);
                break;
            }
            Look::Again => {}
            Look::Gone => origin = at.origin.before(1),
        }
    }
    Ok(before.max(Lsn(horizon.0.saturating_sub(1))).min(published))
}

/// Reads the records of `entries` (of one run) and gives them to `take` until it says no. A record that was set aside is
/// given as its number.
fn fetch(
    log: &Inner,
    file: &dyn File,
    source: &Source,
    at: RunAt,
    entries: &[Entry],
    take: &mut dyn FnMut(Lsn, Option<LogRecord>) -> bool,
) -> Result<(), StoreError> {
    let key = FrameKey::new(&log.recovered.uuid, source.segment);
    let moved = at.origin != source.segment;
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let start = u64::from(first.offset);
        let mut end = start + u64::from(first.len);
        let mut count = 0;
        for entry in rest {
            let (from, to) = (u64::from(entry.offset), u64::from(entry.offset) + u64::from(entry.len));
            if from > end + GAP_BYTES_MAX || to > (start + CHUNK_BYTES_MAX).max(end) {
                break;
            }
            end = end.max(to);
            count += 1;
        }
        let mut chunk = vec![0; (end - start) as usize];
        file.read_at(&mut chunk, start)?;
        let chunk = Bytes::from(chunk);
        let (now, later) = rest.split_at(count);
        let in_use = |bytes: usize, of: usize| 2 * bytes >= of;
        let places = now.chunk_by(|a, b| a.offset == b.offset);
        let chunk_in_use = in_use(places.map(|place| place[0].len as usize).sum(), chunk.len());
        for in_one_place in now.chunk_by(|a, b| a.offset == b.offset) {
            let offset = u64::from(in_one_place[0].offset);
            let from = (offset - start) as usize;
            let bytes = chunk.slice(from..from + in_one_place[0].len as usize);
            let read = if moved {
                moved_record(key, file, at.shard, offset, &bytes, in_one_place[0].lsn).map(|record| vec![record])
            } else {
                frame_records(key, file, at.shard, offset, &bytes, in_one_place)
            };
            let goes_on = match read {
                Ok(mut records) => {
                    let frame_in_use = in_use(records.iter().map(LogRecord::bytes).sum(), bytes.len());
                    // Whoever keeps them keeps the chunk.
                    if !chunk_in_use || !frame_in_use {
                        records = records.iter().map(LogRecord::detached).collect();
                    }
                    records.into_iter().all(|record| take(Lsn(record.number.0), Some(record)))
                }
                Err(StoreError::Corrupt(_)) if log.set_aside.covers(Position::new(source.segment, offset)) => {
                    in_one_place.iter().all(|entry| take(entry.lsn, None))
                }
                Err(error) => return Err(error),
            };
            if !goes_on {
                return Ok(());
            }
        }
        rest = later;
    }
    Ok(())
}

fn moved_record(
    key: FrameKey,
    file: &dyn File,
    shard: ShardNo,
    offset: u64,
    bytes: &Bytes,
    lsn: Lsn,
) -> Result<LogRecord, StoreError> {
    let found = moved::record(bytes, key).filter(|found| (found.shard, found.number.0) == (shard, lsn.0));
    let bad =
        || corrupt(file.path(), offset, &format!("record {lsn} of shard {}", shard.0), "bytes that do not verify");
    found.ok_or_else(bad)
}

/// The records of a commit's frame that `entries` name.
fn frame_records(
    key: FrameKey,
    file: &dyn File,
    shard: ShardNo,
    offset: u64,
    bytes: &Bytes,
    entries: &[Entry],
) -> Result<Vec<LogRecord>, StoreError> {
    let mut records = Vec::with_capacity(entries.len());
    let header = frame::verify(bytes, key).map_err(|bad| bad.at(file.path(), offset))?;
    let bad = |found: &str| corrupt(file.path(), offset, &format!("records of shard {}", shard.0), found);
    let body = bytes.slice(frame::HEADER_BYTES..);
    let writes = match header.kind {
        Kind::Commit => codec::decode(&body).ok_or_else(|| bad("a commit that does not decode"))?,
        Kind::Moved => return Err(bad("moved records")),
    };
    let mut lsn = header.lsn;
    for write in &writes {
        let LoggedWrite::Append { shard: of, meta, old, new } = write else { continue };
        if *of == shard && entries.iter().any(|entry| entry.lsn == lsn) {
            let new = match new {
                LoggedImage::None => None,
                LoggedImage::Inline(bytes) => Some(bytes.clone()),
                LoggedImage::OfWrite(index) => {
                    let value = codec::value_of(&writes, *index as usize);
                    Some(value.ok_or_else(|| bad("a new image that names no put"))?)
                }
            };
            let (meta, old) = (meta.clone(), old.clone());
            let (number, time_ms) = (RecordNo(lsn.0), header.time_ms);
            records.push(LogRecord { shard, number, time_ms, meta, old, new });
        }
        lsn = lsn.next();
    }
    Ok(records)
}
