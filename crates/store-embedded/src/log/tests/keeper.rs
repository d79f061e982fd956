//! The keeper: segments are prepared, indexed, emptied and freed; full disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use tailrace_core::Lsn;

use super::*;
use crate::files::{File, FileError, FileLock, SectorFate};
use crate::log::check;

#[test]
fn a_log_whose_every_record_is_trimmed_opens_after_restarts_without_a_write() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 20);
    let last = *numbers.last().unwrap();
    drop(log);
    let mut next = last;
    for _ in 0..3 {
        let log = open_at(&disk.killed(), last.0).unwrap();
        log.set_shards(all_shards(last.0 + 1));
        log.keep().unwrap();
        drop(log);
        let log = open_at(&disk, last.0).unwrap();
        log.set_shards(all_shards(last.0 + 1));
        log.keep().unwrap();
        assert!(log.group().next_lsn() > next);
        next = log.group().next_lsn();
        assert_eq!(log.usage().segments, 2, "the last frame's segment and the writer's");
    }
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
}

#[test]
fn numbers_are_not_reused_when_everything_was_trimmed_and_freed_files_are_recycled() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 60);
    let last = *numbers.last().unwrap();
    log.set_shards(all_shards(last.0 + 1));
    log.set_persisted(last);
    log.keep().unwrap();
    assert!(log.usage().segments <= 2, "{:?}", log.usage());
    assert!(log.usage().ready >= 2, "{:?}", log.usage());
    assert_eq!(records(&log, 1).unwrap(), []);
    for g in 0..60 {
        write(&log, EpochMs(7000), &[commit(1, 1000 + g, 900)]).unwrap();
        log.keep().unwrap();
    }
    let want = records(&log, 1).unwrap();
    assert_eq!(want.len(), 60);
    drop(log);
    let disk = disk.survivor(usize::MAX, &mut |_| SectorFate::Lost);
    let log = open_at(&disk, last.0).unwrap();
    assert_eq!(records(&log, 1).unwrap().len(), 60 + records_before(&log, last));
    log.set_shards(all_shards(last.0 + 1));
    assert_eq!(records(&log, 1).unwrap(), want);
    assert!(log.group().next_lsn() > Lsn(want.last().unwrap().number.0));
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
}

fn records_before(log: &Log, lsn: Lsn) -> usize {
    records(log, 1).unwrap().iter().filter(|record| Lsn(record.number.0) <= lsn).count()
}

#[test]
fn a_segment_with_few_live_records_is_emptied_and_readers_see_the_same_records() {
    let disk = SimFiles::new();
    let (log, last) = sparse(&disk);
    let want = records(&log, 3).unwrap();
    assert_eq!(want.len(), 5);
    let before = log.usage().bytes;
    for _ in 0..20 {
        log.keep().unwrap();
        assert_eq!(records(&log, 3).unwrap(), want);
    }
    assert_eq!(log.group().next_lsn(), last.next(), "moving records takes no number");
    assert!(log.usage().bytes * 3 < before, "{} of {before} bytes are left", log.usage().bytes);
    assert_eq!(log.position_at_time(ShardNo(3), want[2].time_ms, last).unwrap(), Lsn(want[1].number.0));
    drop(log);
    let log = open_at(&disk.killed(), last.0).unwrap();
    assert_eq!(records(&log, 3).unwrap(), want);
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
}

#[test]
fn a_crash_anywhere_in_the_cleaner_changes_no_record() {
    for op in [FileOp::Sync, FileOp::SyncDir, FileOp::Rename, FileOp::Remove, FileOp::Write] {
        for after in 0..40 {
            let disk = SimFiles::new();
            let (log, last) = sparse(&disk);
            let want = records(&log, 3).unwrap();
            let fault = Fault { op, path_part: DIR.into(), after, times: 1000, kind: FileErrorKind::Other };
            disk.inject(fault);
            let failed = (0..20).any(|_| log.keep().is_err());
            drop(log);
            for kept in [0, 1, usize::MAX] {
                for fate in [SectorFate::Lost, SectorFate::Kept, SectorFate::Zeroed] {
                    let left = disk.survivor(kept, &mut |_| fate);
                    let what = format!("{op} {after} {kept} {fate:?}");
                    let log = open_at(&left, last.0).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(records(&log, 3).unwrap(), want, "{what}");
                    log.set_shards(BTreeMap::from([(ShardNo(1), last.next()), (ShardNo(3), Lsn::ZERO)]));
                    (0..10).for_each(|_| log.keep().unwrap());
                    assert_eq!(records(&log, 3).unwrap(), want, "{what}, cleaned again");
                }
            }
            if !failed {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_reservations_keeps_what_is_reserved_and_recovers() {
    let disk = SimFiles::new();
    let log = open(&disk);
    log.keep().unwrap();
    disk.set_room(Some(disk.used_bytes()));
    let mut held = Vec::new();
    let refused = loop {
        match log.reserve(2000).now_or_never().expect("nothing to wait for") {
            Ok(reservation) => held.push(reservation),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, StoreError::Full(text) if text.contains(".seg")), "{refused}");
    assert!(held.len() >= 5, "{} reservations", held.len());
    for n in 0..held.len() as u64 {
        write(&log, EpochMs(1), &[commit(1, n, 1800)]).expect("what is reserved has room");
    }
    assert_eq!(records(&log, 1).unwrap().len(), held.len());
    drop(held);
    disk.set_room(None);
    log.reserve(2000).now_or_never().expect("nothing to wait for").expect("room again");
}

#[test]
fn the_log_opens_after_a_full_disk_kept_a_segment_from_being_indexed() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 8);
    log.set_shards(BTreeMap::from([(ShardNo(1), Lsn::ZERO), (ShardNo(2), Lsn::ZERO), (ShardNo(3), Lsn::ZERO)]));
    let kind = FileErrorKind::Full;
    disk.inject(Fault { op: FileOp::Create, path_part: ".idx".into(), after: 0, times: usize::MAX, kind });
    let mut last = *numbers.last().unwrap();
    for n in 0..200 {
        last = *write(&log, EpochMs(5000 + n), &[commit(2, 1000 + n, 500)]).unwrap().last().unwrap();
        assert!(matches!(log.keep(), Ok(()) | Err(StoreError::Full(_))));
    }
    // Everything of shard 2 is dead and in the tree: its segments lie behind ones without an index.
    log.set_persisted(last);
    log.set_horizon(ShardNo(2), last.next());
    let want = records(&log, 1).unwrap();
    for _ in 0..5 {
        assert!(matches!(log.keep(), Ok(()) | Err(StoreError::Full(_))));
    }
    drop(log);
    disk.clear_faults();
    for disk in [disk.killed(), disk.survivor(0, &mut |_| SectorFate::Lost)] {
        let log = open_at(&disk, last.0).unwrap();
        assert_eq!(records(&log, 1).unwrap(), want);
        log.set_shards(all_shards(0));
        log.set_horizon(ShardNo(2), last.next());
        log.keep().unwrap();
        assert!(log.usage().segments < 6, "the dead segments are freed once there is room: {:?}", log.usage());
        assert_eq!(records(&log, 1).unwrap(), want);
        drop(log);
        open_at(&disk, last.0).unwrap();
    }
}

#[test]
fn the_keeper_thread_prepares_indexes_and_frees() {
    let disk = SimFiles::new();
    let settings = LogSettings { background: true, ..settings() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), settings, [7; 16], Lsn::ZERO).unwrap();
    log.set_shards(all_shards(0));
    let mut want = 0;
    for n in 0..500 {
        let reservation = futures_executor(log.reserve(1500)).unwrap();
        write(&log, EpochMs(n), &[commit(1, n, 700)]).unwrap();
        drop(reservation);
        want += 1;
    }
    assert_eq!(records(&log, 1).unwrap().len(), want);
    log.close().unwrap();
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
}

/// A disk on which making a file panics once it is armed.
#[derive(Debug)]
struct Panicking(SimFiles, Arc<AtomicBool>);

impl Files for Panicking {
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.0.open(path)
    }
    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.0.open_to_read(path)
    }
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        assert!(!self.1.load(Ordering::SeqCst), "planted");
        self.0.create(path)
    }
    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        self.0.create_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError> {
        self.0.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        self.0.sync_dir(dir)
    }
    fn room(&self, dir: &Path) -> Option<u64> {
        self.0.room(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError> {
        self.0.lock(path)
    }
    fn is_locked(&self, path: &Path) -> Result<bool, FileError> {
        self.0.is_locked(path)
    }
}

#[test]
fn a_panic_of_the_keeper_is_fatal_and_leaves_no_writer_waiting() {
    let armed = Arc::new(AtomicBool::new(false));
    let (tell, told) = std::sync::mpsc::channel();
    let fatal = Arc::new(move |error: &StoreError| tell.send(error.to_string()).unwrap());
    let settings = LogSettings { background: true, fatal, ..settings() };
    let files = Arc::new(Panicking(SimFiles::new(), armed.clone()));
    let log = Log::open(files, Path::new(DIR), settings, [7; 16], Lsn::ZERO).unwrap();
    armed.store(true, Ordering::SeqCst);
    let (mut held, mut refused) = (Vec::new(), None);
    while refused.is_none() {
        match futures_executor(log.reserve(1500)) {
            Ok(reservation) => held.push(reservation),
            Err(error) => refused = Some(error),
        }
    }
    assert!(matches!(refused, Some(StoreError::Io(_))), "{refused:?}");
    assert!(write(&log, EpochMs(1), &[commit(1, 1, 10)]).is_err());
    assert!(told.recv().unwrap().contains("keeper ended with a panic"));
}
