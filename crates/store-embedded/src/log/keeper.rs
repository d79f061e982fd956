//! The keeper: prepares segments ahead of the writer, keeps the superblock's limit of numbers ahead, indexes sealed
//! segments, frees dead ones and empties almost dead ones.
//!
//! Invariants: a full disk shows only here, as `Full`, and is tried again whenever room is asked for; a segment is freed
//! only when the tree holds its commits, no live record is left in it, every older segment is indexed, and the superblock
//! says so; the move of a segment's live records is synced
//! before the segment goes. The keeper never waits for the writer without a limit, since the writer waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tailrace_core::Lsn;
use tokio::sync::Notify;

use super::chain::Freed;
use super::frame::{Position, SegmentNo};
use super::index::{self, RunAt};
use super::moved::{self, MovedRun};
use super::segment::{self, FIRST_FRAME_AT, Segment};
use super::superblock::{FREEING_MAX, Superblock, SuperblockFile};
use super::writer::Group;
use super::{Inner, read};
use crate::files::{File, FileError, FileOp, Files, SECTOR_BYTES};
use tailrace_store::StoreError;

/// Numbers are given out below a limit that the superblock already holds; it is moved on by this many, when half are left.
pub(super) const LSN_RESERVE: u64 = 1 << 20;
/// How long the cleaner waits for the writer.
const CLEANER_PATIENCE: Duration = Duration::from_millis(2);
/// Segments that the cleaner looks at before it does other work that is due: it reads the whole list of their runs.
const CLEANER_LOOKS_MAX: usize = 4;

/// A segment that stands ready: zero-filled or recycled, its header and its name durable.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub number: SegmentNo,
    pub file: Arc<dyn File>,
    pub bytes: u64,
}

/// A preparation of a segment: how many were begun up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Preparation(u64);

/// What the keeper supplies the writer with.
#[derive(Debug)]
pub(super) struct Supply {
    state: Mutex<SupplyState>,
    superblock: Mutex<SuperblockFile>,
    work: Condvar,
    done: Condvar,
    notify: Notify,
    lsn_limit: AtomicU64,
}

#[derive(Debug, Default)]
struct SupplyState {
    ready: VecDeque<Ready>,
    /// Numbers of the spare files.
    spares: Vec<SegmentNo>,
    next_number: SegmentNo,
    /// The preparation that was begun last.
    begun: Preparation,
    /// Which preparation failed last, and why, unless one succeeded since. It answers those who asked before it began:
    /// to anyone else it is the past.
    failed: Option<(Preparation, StoreError)>,
    /// More room is wanted than the usual number of segments has.
    short: bool,
    active_left: u64,
    reserved: u64,
    /// The largest reservation since there was none.
    largest: u64,
    due: bool,
    limit_wanted: Option<(Lsn, Position)>,
    stop: bool,
}

/// Room in the log that was promised to a commit; given back when dropped (drop it after its group is written).
pub struct Reservation {
    log: Arc<Inner>,
    bytes: u64,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation({} bytes)", self.bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.log.supply.state.lock().give_back(self.bytes);
    }
}

/// Room that the keeper itself holds.
struct Held<'a> {
    supply: &'a Supply,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.supply.state.lock().give_back(self.bytes);
    }
}

impl SupplyState {
    /// Whether there is so much room that nobody was promised.
    fn has_room(&self, bytes: u64) -> bool {
        let largest = self.largest.max(bytes);
        // A frame that no longer fits leaves up to its own length of a segment unused.
        let usable = |left: u64| left.saturating_sub(largest);
        let ready: u64 = self.ready.iter().map(|ready| usable(ready.bytes - FIRST_FRAME_AT)).sum();
        self.reserved + bytes <= usable(self.active_left) + ready
    }

    /// Promises so much room, if there is as much that nobody was promised.
    fn promise(&mut self, bytes: u64) -> bool {
        let promised = self.has_room(bytes);
        if promised {
            (self.reserved, self.largest) = (self.reserved + bytes, self.largest.max(bytes));
        }
        promised
    }

    /// The failure of a preparation that was begun after this one.
    fn failed_since(&self, begun: Preparation) -> Option<StoreError> {
        self.failed.as_ref().filter(|(number, _)| *number > begun).map(|(_, error)| error.clone())
    }

    fn give_back(&mut self, bytes: u64) {
        self.reserved -= bytes;
        if self.reserved == 0 {
            self.largest = 0;
        }
    }
}

impl Supply {
    pub fn new(superblock: SuperblockFile, spares: Vec<SegmentNo>, next_number: SegmentNo) -> Self {
        let lsn_limit = AtomicU64::new(superblock.now.lsn_limit.0);
        let state = SupplyState { spares, next_number, ..SupplyState::default() };
        Self {
            state: Mutex::new(state),
            superblock: Mutex::new(superblock),
            work: Condvar::new(),
            done: Condvar::new(),
            notify: Notify::new(),
            lsn_limit,
        }
    }

    pub fn wake(&self) {
        self.state.lock().due = true;
        self.work.notify_all();
    }

    pub fn wake_all(&self) {
        self.wake();
        self.done.notify_all();
        self.notify.notify_waiters();
    }

    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.wake_all();
    }

    pub fn ready(&self) -> usize {
        let state = self.state.lock();
        state.ready.len() + state.spares.len()
    }

    pub fn set_active_left(&self, bytes: u64) {
        self.state.lock().active_left = bytes;
    }

    /// Room for the keeper itself, if there is as much to spare.
    fn hold(&self, bytes: u64) -> Option<Held<'_>> {
        // Made only when it was promised: one that is dropped gives back what it never had, and takes the lock for it.
        let promised = self.state.lock().promise(bytes);
        promised.then(|| Held { supply: self, bytes })
    }

    pub fn give_back(&self, ready: Ready) {
        self.state.lock().ready.push_front(ready);
    }

    /// Makes `limit` the number below which all numbers given out are.
    pub fn write_limit(&self, limit: Lsn, synced: Position) -> Result<(), StoreError> {
        let mut superblock = self.superblock.lock();
        let next = Superblock { lsn_limit: limit, synced: superblock.now.synced.max(synced), ..superblock.now };
        superblock.write(next)?;
        self.lsn_limit.store(limit.0, Ordering::SeqCst);
        Ok(())
    }

    /// What was freed so far.
    fn freed(&self) -> Freed {
        self.superblock.lock().now.freed
    }

    /// Writes down that these segments are being freed, so that they may be missing from now on.
    fn write_freed(&self, freed: Freed, segments: &[SegmentNo]) -> Result<(), StoreError> {
        let mut superblock = self.superblock.lock();
        let freeing = std::array::from_fn(|i| segments.get(i).copied().unwrap_or_default());
        let next = Superblock { freed, freeing, ..superblock.now };
        superblock.write(next)
    }
}

/// Starts the keeper's thread.
pub(super) fn spawn(log: Arc<Inner>) -> Result<std::thread::JoinHandle<()>, StoreError> {
    let run = |log: &Inner| {
        loop {
            {
                let mut state = log.supply.state.lock();
                while !state.due && !state.stop {
                    log.supply.work.wait(&mut state);
                }
                if state.stop {
                    return;
                }
                state.due = false;
            }
            if log.healthy().is_err() {
                return;
            }
            if let Err(error) = keep(log)
                && !matches!(error, StoreError::Full(_))
            {
                let _ = log.fail(error);
                return;
            }
        }
    };
    // Without this thread writers would wait for segments and numbers for ever: a panic in it ends the log's life.
    let guarded = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&log))).is_err() {
            let _ = log.fail(StoreError::Io("the log's keeper ended with a panic".to_owned()));
        }
    };
    let thread = std::thread::Builder::new().name("log-keeper".to_owned()).spawn(guarded);
    thread.map_err(|error| StoreError::Io(format!("cannot start the log's keeper: {error}")))
}

/// Does all work that is due.
pub(super) fn keep(log: &Inner) -> Result<(), StoreError> {
    log.healthy()?;
    extend_limit(log)?;
    let mut prepared = prepare(log);
    // Freeing needs no room, and gives a full disk its second chance; an index that finds no room waits for it.
    let indexed = index_sealed(log);
    bury_dead(log)?;
    free_dead(log)?;
    if prepared.is_err() {
        prepared = prepare(log);
    }
    if indexed.is_err() {
        index_sealed(log)?;
    }
    if prepared.is_ok() && clean_some(log)? {
        free_dead(log)?;
        log.supply.wake();
    }
    prepared
}

/// Waits until numbers below `next` may be given out.
pub(super) fn await_limit(log: &Inner, next: Lsn, synced: Position) -> Result<(), StoreError> {
    let limit = log.supply.lsn_limit.load(Ordering::SeqCst);
    if next.0 + LSN_RESERVE / 2 < limit {
        return Ok(());
    }
    let mut state = log.supply.state.lock();
    if state.limit_wanted.is_none() {
        state.limit_wanted = Some((next, synced));
        state.due = true;
        log.supply.work.notify_all();
    }
    if !log.settings.background {
        drop(state);
        return extend_limit(log);
    }
    while next.0 > log.supply.lsn_limit.load(Ordering::SeqCst) {
        log.healthy()?;
        log.supply.done.wait(&mut state);
    }
    Ok(())
}

fn extend_limit(log: &Inner) -> Result<(), StoreError> {
    let Some((next, synced)) = log.supply.state.lock().limit_wanted else { return Ok(()) };
    let written = log.supply.write_limit(Lsn(next.0 + LSN_RESERVE), synced);
    log.supply.state.lock().limit_wanted = None;
    log.supply.done.notify_all();
    written.map_err(|error| log.fail(error))
}

/// Takes the next segment, which is already prepared unless the disk is full or slow.
pub(super) fn take_segment(log: &Inner) -> Result<Ready, StoreError> {
    if !log.settings.background && log.supply.state.lock().ready.is_empty() {
        prepare(log)?;
    }
    let mut state = log.supply.state.lock();
    let begun = state.begun;
    loop {
        log.healthy()?;
        if let Some(ready) = state.ready.pop_front() {
            state.due = true;
            log.supply.work.notify_all();
            return Ok(ready);
        }
        if let Some(error) = state.failed_since(begun) {
            return Err(error);
        }
        state.due = true;
        log.supply.work.notify_all();
        log.supply.done.wait(&mut state);
    }
}

/// See [`super::Log::check_size`].
pub(super) fn check_size(log: &Inner, bytes: u64) -> Result<(), StoreError> {
    let max = log.frame_bytes_max();
    if bytes > max {
        return Err(StoreError::Invalid(format!("a commit of {bytes} bytes is above the bound of {max}")));
    }
    Ok(())
}

/// Promises room.
pub(super) async fn reserve(log: &Arc<Inner>, bytes: u64) -> Result<Reservation, StoreError> {
    check_size(log, bytes)?;
    let begun = log.supply.state.lock().begun;
    loop {
        let changed = log.supply.notify.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if let Some(reservation) = try_reserve(log, bytes, begun)? {
            return Ok(reservation);
        }
        changed.await;
    }
}

/// `begun`: the preparation that was begun last when the caller first asked.
fn try_reserve(log: &Arc<Inner>, bytes: u64, begun: Preparation) -> Result<Option<Reservation>, StoreError> {
    log.healthy()?;
    // A group of its own costs the frame up to a sector of alignment.
    let bytes = bytes + SECTOR_BYTES as u64;
    loop {
        let mut state = log.supply.state.lock();
        if state.promise(bytes) {
            return Ok(Some(Reservation { log: log.clone(), bytes }));
        }
        if let Some(error) = state.failed_since(begun) {
            return Err(error);
        }
        (state.short, state.due) = (true, true);
        log.supply.work.notify_all();
        if log.settings.background {
            return Ok(None);
        }
        drop(state);
        let _ = prepare(log);
    }
}

/// See [`super::Log::refuses`].
pub(super) fn refuses(log: &Inner, bytes: u64) -> Option<StoreError> {
    let mut state = log.supply.state.lock();
    if state.has_room(bytes + SECTOR_BYTES as u64) {
        return None;
    }
    let (_, why) = state.failed.clone()?;
    (state.short, state.due) = (true, true);
    log.supply.work.notify_all();
    Some(why)
}

/// Prepares segments until enough stand ready.
pub(super) fn prepare(log: &Inner) -> Result<(), StoreError> {
    loop {
        let (begun, number, spare) = {
            let mut state = log.supply.state.lock();
            if state.ready.len() >= log.settings.segments_ahead && !state.short {
                return Ok(());
            }
            state.short = false;
            state.begun.0 += 1;
            let number = state.next_number;
            state.next_number = number.next();
            (state.begun, number, state.spares.pop())
        };
        let made = make(log.files.as_ref(), log, number, spare);
        let result = {
            let mut state = log.supply.state.lock();
            match made {
                Ok(ready) => {
                    state.ready.push_back(ready);
                    state.failed = None;
                    Ok(())
                }
                Err(error) => {
                    state.failed = Some((begun, error.clone()));
                    Err(error)
                }
            }
        };
        log.supply.done.notify_all();
        log.supply.notify.notify_waiters();
        result?;
    }
}

fn make(files: &dyn Files, log: &Inner, number: SegmentNo, spare: Option<SegmentNo>) -> Result<Ready, StoreError> {
    let (uuid, generation) = (&log.recovered.uuid, log.recovered.generation);
    make_segment(files, &log.dir, number, spare, log.settings.segment_bytes, uuid, generation)
}

/// Makes a segment, out of a spare if there is one: under its final name only when it is whole and durable.
pub(super) fn make_segment(
    files: &dyn Files,
    dir: &std::path::Path,
    number: SegmentNo,
    spare: Option<SegmentNo>,
    bytes: u64,
    uuid: &[u8; 16],
    generation: u64,
) -> Result<Ready, StoreError> {
    let temporary = match spare {
        Some(spare) => segment::spare_path(dir, spare),
        None => dir.join(format!("{:016x}.seg.tmp", number.0)),
    };
    if spare.is_none() && files.room(dir).is_some_and(|room| room < bytes) {
        // To fill a disk with zeros only to learn that they do not fit would starve everything else that writes.
        let found = std::io::Error::from_raw_os_error(libc::ENOSPC);
        return Err(FileError::new(FileOp::Create, &temporary, &found).into());
    }
    let made = (|| {
        let file = match spare {
            Some(_) => files.open(&temporary)?,
            None => {
                let file = files.create(&temporary)?;
                file.zero_fill(0, bytes)?;
                file
            }
        };
        let bytes = file.size()?;
        file.write_at(&segment::header(number, uuid, generation), 0)?;
        file.sync_data()?;
        drop(file);
        let path = segment::path(dir, number);
        files.rename(&temporary, &path)?;
        files.sync_dir(dir)?;
        Ok(Ready { number, file: files.open(&path)?, bytes })
    })();
    if made.is_err() {
        // What was made so far would keep the room that is missing.
        let _ = files.remove(&temporary);
    }
    made
}

fn index_sealed(log: &Inner) -> Result<(), StoreError> {
    loop {
        let found = log.directory.read().to_index().map(|segment| (segment.index.clone(), segment.runs.sorted()));
        let Some((index, runs)) = found else { return Ok(()) };
        index::write(log.files.as_ref(), &log.dir, &index, &runs)?;
        log.directory.write().indexed(index.segment);
    }
}

/// Takes out the runs that lie below their shards' horizons now.
fn bury_dead(log: &Inner) -> Result<(), StoreError> {
    loop {
        let mut doubtful = Vec::new();
        let more = log.directory.write().bury_dead(&mut doubtful);
        let mut looked_at = Vec::with_capacity(doubtful.len());
        for (at, horizon) in doubtful {
            looked_at.push((at, read::run(log, at)?.is_none_or(|run| run.last < horizon)));
        }
        let mut directory = log.directory.write();
        for (at, is_dead) in looked_at {
            match is_dead {
                true => directory.bury(at),
                false => directory.cut(at),
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// Frees what nothing needs any more.
fn free_dead(log: &Inner) -> Result<(), StoreError> {
    // Those that never held a frame go first, durably: the superblock counts the segments before the last freed one.
    let empty = log.directory.read().empty();
    remove(log, &empty)?;
    loop {
        let (dead, freed) = {
            let directory = log.directory.read();
            let dead = directory.dead(FREEING_MAX);
            let freed = directory.freed_with(log.supply.freed(), &dead);
            (dead, freed)
        };
        if dead.is_empty() {
            return Ok(());
        }
        log.supply.write_freed(freed, &dead)?;
        remove(log, &dead)?;
    }
}

/// Takes segments out of the directory, and their files away.
fn remove(log: &Inner, numbers: &[SegmentNo]) -> Result<(), StoreError> {
    if numbers.is_empty() {
        return Ok(());
    }
    let removed: Vec<(SegmentNo, Segment)> = {
        let mut directory = log.directory.write();
        numbers.iter().filter_map(|number| Some((*number, directory.remove(*number)?))).collect()
    };
    // Index files go first, durably: one without its segment is damage, never a segment that was being freed.
    for (number, _) in removed.iter().filter(|(_, segment)| segment.indexed) {
        log.files.remove(&index::path(&log.dir, *number))?;
    }
    log.files.sync_dir(&log.dir)?;
    for (number, segment) in removed {
        log.cache.lock().forget(number);
        // A reader that still holds the segment goes on reading the removed file; a recycled one would change under it.
        let unread = Arc::strong_count(&segment.pin) == 1 && segment.bytes == log.settings.segment_bytes;
        let spare = unread && log.supply.state.lock().spares.len() < log.settings.spares_max;
        let path = segment::path(&log.dir, number);
        if spare {
            log.files.rename(&path, &segment::spare_path(&log.dir, number))?;
        } else {
            log.files.remove(&path)?;
        }
        log.files.sync_dir(&log.dir)?;
        if spare {
            log.supply.state.lock().spares.push(number);
        }
    }
    Ok(())
}

/// Looks at some segments of which something died, and moves the live records of the first one that is almost dead to the
/// tail, in one frame. Says whether there is more to do at once.
fn clean_some(log: &Inner) -> Result<bool, StoreError> {
    let bytes_max = log.frame_bytes_max() / 2;
    for _ in 0..CLEANER_LOOKS_MAX {
        let Some(number) = log.directory.read().to_clean() else { return Ok(false) };
        let Some((runs, gone)) = almost_dead(log, number, bytes_max)? else {
            log.directory.write().cleaned(number);
            continue;
        };
        // A busy writer seals segments, and each of them wakes the keeper again.
        let Some(writer) = log.writer.try_lock_for(CLEANER_PATIENCE) else { return Ok(false) };
        // What was promised to commits is not the cleaner's to take.
        let bytes = moved::bytes_bound(&runs) as u64;
        let Some(_room) = log.supply.hold(2 * bytes + 8 * SECTOR_BYTES as u64) else { return Ok(false) };
        let mut group = Group::new(log, writer);
        group.push_moved(number, &runs, gone)?;
        group.commit()?;
        return Ok(true);
    }
    Ok(log.directory.read().to_clean().is_some())
}

/// Live records to be moved, and runs of which none is left.
type Leftover = (Vec<MovedRun>, Vec<RunAt>);

/// The live records of a segment, and its runs of which none is left. `None`: there are too many of them to move.
fn almost_dead(log: &Inner, number: SegmentNo, bytes_max: u64) -> Result<Option<Leftover>, StoreError> {
    if log.set_aside.of_segment(number).next().is_some() {
        // What is lost in it is told by its place, which must stay as long as anything is left around it.
        return Ok(None);
    }
    let file = log.files.open(&index::path(&log.dir, number))?;
    let (index, pages) = index::open(&*file, number)?;
    let mut live = index::load_runs(&*file, &pages)?;
    {
        let directory = log.directory.read();
        live.retain(|run| directory.is_live(run.at, number));
        let bytes: u64 = live.iter().map(|run| directory.live_bytes(run)).sum();
        if bytes > bytes_max || bytes * 100 >= log.settings.clean_live_percent * index.end {
            return Ok(None);
        }
    }
    let (mut runs, mut gone) = (Vec::new(), Vec::new());
    for at in live.iter().map(|run| run.at) {
        let horizon = log.directory.read().horizon(at.shard);
        let records = read::read_run(log, at, horizon)?;
        match records.is_empty() {
            true => gone.push(at),
            false => runs.push(MovedRun { at, records }),
        }
    }
    Ok((moved::bytes_bound(&runs) as u64 <= bytes_max).then_some((runs, gone)))
}
