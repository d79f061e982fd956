//! Reading a shard's records: run by run, frame by frame, every frame's checksum verified.
//!
//! Invariants: nothing above the published number is read; nothing that does not verify is served; a page costs what the
//! shard's records cost, not what lies between them. Memory: a bounded cache of index blocks and of open files.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::{Lsn, RecordNo};

use super::directory::RunAt;
use super::frame::{self, FrameKey, Kind, corrupt};
use super::index::{self, Entries, Entry};
use super::{Inner, LogRead, LoggedImage, LoggedWrite, codec, moved, segment};
use crate::files::{File, FileErrorKind};
use tailrace_store::{LogRecord, ShardNo, StoreError};

/// Frames that lie no further apart than this are read at once.
const GAP_BYTES_MAX: u64 = 8 * 1024;
/// Bytes that are read at once, unless one frame is larger.
const CHUNK_BYTES_MAX: u64 = 256 * 1024;
/// Entries that are looked up at once.
const ENTRIES_MAX: usize = 1024;
const OPEN_FILES_MAX: usize = 64;

/// Index blocks and open files of sealed segments, each with when it was used last.
#[derive(Debug, Default)]
pub(super) struct Cache {
    blocks: HashMap<RunAt, (Arc<Entries>, u64)>,
    blocks_bytes: usize,
    files: HashMap<u64, (Arc<dyn File>, u64)>,
    turn: u64,
}

impl Cache {
    pub fn forget(&mut self, segment: u64) {
        self.files.remove(&segment);
        self.blocks.retain(|at, _| at.0 != segment);
        self.blocks_bytes = self.blocks.values().map(|(entries, _)| entries.bytes()).sum();
    }

    fn block(&mut self, at: RunAt) -> Option<Arc<Entries>> {
        self.turn += 1;
        let (entries, used) = self.blocks.get_mut(&at)?;
        *used = self.turn;
        Some(entries.clone())
    }

    fn add_block(&mut self, at: RunAt, entries: &Arc<Entries>, bytes_max: usize) {
        self.blocks_bytes += entries.bytes();
        if let Some((before, _)) = self.blocks.insert(at, (entries.clone(), self.turn)) {
            self.blocks_bytes -= before.bytes();
        }
        while self.blocks_bytes > bytes_max && self.blocks.len() > 1 {
            let Some(oldest) = self.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(at, _)| *at) else { return };
            if let Some((entries, _)) = self.blocks.remove(&oldest) {
                self.blocks_bytes -= entries.bytes();
            }
        }
    }

    fn file(&mut self, segment: u64) -> Option<Arc<dyn File>> {
        self.turn += 1;
        let (file, used) = self.files.get_mut(&segment)?;
        *used = self.turn;
        Some(file.clone())
    }

    fn add_file(&mut self, segment: u64, file: Arc<dyn File>) {
        if self.files.len() >= OPEN_FILES_MAX
            && let Some(oldest) = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(n, _)| *n)
        {
            self.files.remove(&oldest);
        }
        self.files.insert(segment, (file, self.turn));
    }
}

/// What a page's bytes are counted by.
pub(super) fn size_of(record: &LogRecord) -> usize {
    let image = |image: &Option<Bytes>| image.as_ref().map_or(0, Bytes::len);
    record.meta.len() + image(&record.old) + image(&record.new)
}

/// A segment that is being read: it is not recycled while this lives.
struct Source {
    segment: u64,
    file: Option<Arc<dyn File>>,
    _pin: Arc<()>,
}

impl Source {
    /// The segment's file. `None`: it was freed just now.
    fn file(&self, log: &Inner) -> Result<Option<Arc<dyn File>>, StoreError> {
        if let Some(file) = &self.file {
            return Ok(Some(file.clone()));
        }
        if let Some(file) = log.cache.lock().file(self.segment) {
            return Ok(Some(file));
        }
        let Some(file) = open_unless_freed(log, self.segment, &segment::path(&log.dir, self.segment))? else {
            return Ok(None);
        };
        log.cache.lock().add_file(self.segment, file.clone());
        Ok(Some(file))
    }
}

/// Opens a file of a segment. `None`: the segment was freed between the look at the directory and now.
fn open_unless_freed(log: &Inner, segment: u64, path: &std::path::Path) -> Result<Option<Arc<dyn File>>, StoreError> {
    match log.files.open(path) {
        Err(error) if error.kind == FileErrorKind::NotFound => {
            if log.directory.read().segments.contains_key(&segment) {
                Err(error.into())
            } else {
                Ok(None)
            }
        }
        opened => Ok(Some(opened?)),
    }
}

/// What `pick` takes of a run's entries, and where to read their frames. `None`: the run is gone (moved or freed just now).
fn look_up<T>(log: &Inner, at: RunAt, pick: impl FnOnce(&Entries) -> T) -> Result<Option<(Source, T)>, StoreError> {
    let (source, block) = {
        let directory = log.directory.read();
        let Some(run) = directory.run(at) else { return Ok(None) };
        let segment = &directory.segments[&at.0];
        let source = Source { segment: at.0, file: segment.file.clone(), _pin: segment.pin.clone() };
        if let Some(entries) = &run.entries {
            return Ok(Some((source, pick(entries))));
        }
        (source, run.block)
    };
    let cached = log.cache.lock().block(at);
    let entries = match cached {
        Some(entries) => entries,
        None => {
            let Some(file) = open_unless_freed(log, at.0, &index::path(&log.dir, at.0))? else { return Ok(None) };
            let entries = Arc::new(index::load(file.as_ref(), block)?);
            log.cache.lock().add_block(at, &entries, log.settings.index_cache_bytes);
            entries
        }
    };
    Ok(Some((source, pick(&entries))))
}

/// See [`super::Log::read`].
pub(super) fn read(
    log: &Inner,
    shard: ShardNo,
    after: Lsn,
    records_max: usize,
    bytes_max: usize,
    published: Lsn,
) -> Result<LogRead, StoreError> {
    let horizon = log.directory.read().horizon(shard);
    let mut next = after.max(Lsn(horizon.0.saturating_sub(1)));
    let mut page = LogRead::default();
    let mut bytes = 0;
    let mut full = records_max == 0;
    while next < published && !full {
        let found = log.directory.read().run_after(shard, next);
        let Some(at) = found else { break };
        let max = ENTRIES_MAX.min(records_max - page.records.len());
        let pick = |entries: &Entries| entries.select(|e| e.lsn <= next, |e| e.lsn <= published, max);
        let Some((source, entries)) = look_up(log, at, pick)? else { continue };
        if entries.is_empty() {
            break;
        }
        let Some(file) = source.file(log)? else { continue };
        let key = FrameKey::new(&log.recovered.uuid, source.segment);
        let ended = !fetch(&*file, key, shard, &entries, &mut |record| {
            bytes += size_of(&record);
            // A record larger than a page is a page of its own, so that every reader comes past it.
            full = bytes > bytes_max && !page.records.is_empty();
            if !full {
                next = Lsn(record.number.0);
                page.records.push(record);
                full = page.records.len() >= records_max;
            }
            !full
        })?;
        if ended {
            break;
        }
    }
    let more = {
        let directory = log.directory.read();
        let at = directory.run_after(shard, next);
        at.and_then(|at| directory.run(at)).is_some_and(|run| run.first <= published && run.last > next)
    };
    page.more = more && next < published && full;
    page.next = if page.more { next } else { next.max(published) };
    Ok(page)
}

/// All records of a run from `horizon` on.
pub(super) fn read_run(log: &Inner, at: RunAt, horizon: Lsn) -> Result<Vec<LogRecord>, StoreError> {
    let Some(shard) = log.directory.read().run(at).map(|run| run.shard) else { return Ok(Vec::new()) };
    let Some((source, entries)) =
        look_up(log, at, |entries| entries.select(|e| e.lsn < horizon, |_| true, usize::MAX))?
    else {
        return Ok(Vec::new());
    };
    let mut records = Vec::with_capacity(entries.len());
    let Some(file) = source.file(log)? else { return Ok(Vec::new()) };
    let key = FrameKey::new(&log.recovered.uuid, source.segment);
    fetch(&*file, key, shard, &entries, &mut |record| {
        records.push(record);
        true
    })?;
    Ok(records)
}

/// See [`super::Log::position_at_time`].
pub(super) fn position_at_time(log: &Inner, shard: ShardNo, time_ms: u64, published: Lsn) -> Result<Lsn, StoreError> {
    loop {
        let (at, last, horizon) = {
            let directory = log.directory.read();
            let at = directory.last_run(shard, |run| run.first_time_ms < time_ms);
            (at, at.and_then(|at| directory.run(at)).map(|run| (run.last, run.last_time_ms)), directory.horizon(shard))
        };
        let before = match (at, last) {
            (Some(_), Some((last, last_ms))) if last_ms < time_ms => last,
            (Some(at), _) => match look_up(log, at, |entries| entries.last_of(|entry| entry.time_ms < time_ms))? {
                Some((_, entry)) => entry.map_or(Lsn::ZERO, |entry| entry.lsn),
                None => continue,
            },
            (None, _) => Lsn::ZERO,
        };
        return Ok(before.max(Lsn(horizon.0.saturating_sub(1))).min(published));
    }
}

/// Reads the records of `entries` (of one run) and gives them to `take` until it says no; says whether it never did.
fn fetch(
    file: &dyn File,
    key: FrameKey,
    shard: ShardNo,
    entries: &[Entry],
    take: &mut dyn FnMut(LogRecord) -> bool,
) -> Result<bool, StoreError> {
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
        for same_frame in now.chunk_by(|a, b| a.offset == b.offset) {
            let offset = u64::from(same_frame[0].offset);
            let at = (offset - start) as usize;
            let bytes = chunk.slice(at..at + same_frame[0].len as usize);
            if !frame_records(key, file, shard, offset, &bytes, same_frame, take)? {
                return Ok(false);
            }
        }
        rest = later;
    }
    Ok(true)
}

fn frame_records(
    key: FrameKey,
    file: &dyn File,
    shard: ShardNo,
    offset: u64,
    bytes: &Bytes,
    entries: &[Entry],
    take: &mut dyn FnMut(LogRecord) -> bool,
) -> Result<bool, StoreError> {
    let header = frame::verify(bytes, key).map_err(|bad| bad.at(file.path(), offset))?;
    let bad = |found: &str| corrupt(file.path(), offset, &format!("records of shard {}", shard.0), found);
    let body = bytes.slice(frame::HEADER_BYTES..);
    match header.kind {
        Kind::Commit => {
            let writes = codec::decode(&body).ok_or_else(|| bad("a commit that does not decode"))?;
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
                    if !take(LogRecord { shard, number: RecordNo(lsn.0), time_ms: header.time_ms, meta, old, new }) {
                        return Ok(false);
                    }
                }
                lsn = lsn.next();
            }
        }
        Kind::Moved => {
            let (_, runs) = moved::decode(&body).ok_or_else(|| bad("moved records that do not decode"))?;
            let records = runs.into_iter().filter(|run| run.shard == shard).flat_map(|run| run.records);
            for record in records {
                if entries.binary_search_by_key(&Lsn(record.number.0), |entry| entry.lsn).is_ok() && !take(record) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}
