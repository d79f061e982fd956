//! The log on the simulated disk: power cuts, damage, full disks, and what survives them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_core::{Bucket, Lsn};

use super::segment::Walker;
use super::{Log, LogSettings, LoggedImage, LoggedWrite, check, codec, segment};
use crate::files::{Fault, FileErrorKind, FileOp, Files, SectorFate, SimFiles};
use tailrace_store::{BucketRange, LogRecord, ShardNo, StoreError, StreamId};

const DIR: &str = "/data/log";

fn settings() -> LogSettings {
    LogSettings { segment_bytes: 16 * 1024, background: false, ..LogSettings::default() }
}

fn open_at(disk: &SimFiles, persisted: u64) -> Result<Arc<Log>, StoreError> {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), settings(), [7; 16], Lsn(persisted))
}

fn open(disk: &SimFiles) -> Arc<Log> {
    open_at(disk, 0).unwrap()
}

/// A commit of one item and one record of `shard`, told by `n`.
fn commit(shard: u64, n: u64, bytes: usize) -> Vec<LoggedWrite> {
    let value = Bytes::from(format!("{n:>0bytes$}"));
    vec![
        LoggedWrite::Put { key: Bytes::from(format!("key {n}")), value },
        LoggedWrite::Append {
            shard: ShardNo(shard),
            meta: Bytes::from(format!("meta {n}")),
            old: Some(Bytes::from_static(b"before")),
            new: LoggedImage::OfWrite(0),
        },
    ]
}

fn write(log: &Log, time_ms: u64, commits: &[Vec<LoggedWrite>]) -> Result<Vec<Lsn>, StoreError> {
    let mut group = log.group();
    let numbers = commits.iter().map(|c| group.push(time_ms, c)).collect::<Result<Vec<_>, _>>()?;
    group.commit()?;
    Ok(numbers)
}

fn records(log: &Log, shard: u64) -> Result<Vec<LogRecord>, StoreError> {
    let (mut after, mut all) = (Lsn::ZERO, Vec::new());
    loop {
        let page = log.read(ShardNo(shard), after, 7, usize::MAX, Lsn(u64::MAX >> 1))?;
        all.extend(page.records);
        if !page.more {
            return Ok(all);
        }
        after = page.next;
    }
}

fn replayed(log: &Log) -> Result<Vec<(Lsn, Vec<LoggedWrite>)>, StoreError> {
    let mut all = Vec::new();
    log.replay(Lsn::ZERO, &mut |lsn, commit| {
        all.push((lsn, commit.writes));
        Ok(())
    })?;
    Ok(all)
}

fn replayed_after(log: &Log, after: Lsn) -> Result<Vec<Vec<LoggedWrite>>, StoreError> {
    let mut all = Vec::new();
    log.replay(after, &mut |_, commit| {
        all.push(commit.writes);
        Ok(())
    })?;
    Ok(all)
}

fn all_shards(horizon: u64) -> BTreeMap<ShardNo, Lsn> {
    (1..=3).map(|shard| (ShardNo(shard), Lsn(horizon))).collect()
}

/// A log with sealed and indexed segments: the numbers of its commits, `n` in order.
fn filled(disk: &SimFiles, groups: u64) -> (Arc<Log>, Vec<Lsn>) {
    let log = open(disk);
    let mut numbers = Vec::new();
    for g in 0..groups {
        let commits: Vec<_> = (0..3).map(|i| commit(1 + (g * 3 + i) % 3, g * 3 + i, 100)).collect();
        numbers.extend(write(&log, 1000 + g, &commits).unwrap());
        log.keep().unwrap();
    }
    (log, numbers)
}

#[test]
fn a_reopened_log_has_every_commit_and_every_record_and_goes_on_with_new_numbers() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 40);
    let before: Vec<_> = (1..=3).map(|shard| records(&log, shard).unwrap()).collect();
    assert_eq!(before.iter().map(Vec::len).sum::<usize>(), 120);
    assert_eq!(before[0][1].new.as_ref().unwrap().len(), 100);
    drop(log);
    for disk in [disk.killed(), disk.survivor(0, &mut |_| SectorFate::Lost)] {
        let log = open(&disk);
        assert_eq!(replayed(&log).unwrap().iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), numbers);
        for shard in 1..=3 {
            assert_eq!(records(&log, shard).unwrap(), before[shard as usize - 1]);
        }
        let next = write(&log, 5000, &[commit(1, 999, 10)]).unwrap()[0];
        assert!(next > *numbers.last().unwrap());
        assert_eq!(check(&disk, Path::new(DIR)).unwrap(), []);
    }
}

#[test]
fn a_group_costs_one_sync_and_a_closed_log_goes_on_with_the_very_next_number() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let before = disk.syncs();
    let commits: Vec<_> = (0..8).map(|n| commit(1, n, 100)).collect();
    let numbers = write(&log, 1, &commits).unwrap();
    assert_eq!(disk.syncs(), before + 1);
    log.close().unwrap();
    assert!(matches!(write(&log, 1, &commits), Err(StoreError::Closed)));
    drop(log);
    assert_eq!(open(&disk).group().next_lsn(), numbers.last().unwrap().next());
}

/// Writes `tail` with a sync that fails, and gives the disk on which nothing of it is synced.
fn unsynced_tail(disk: &SimFiles, log: &Log, tail: &[Vec<LoggedWrite>]) {
    disk.inject(Fault { op: FileOp::Sync, path_part: ".seg".into(), after: 0, times: 9, kind: FileErrorKind::Other });
    assert!(matches!(write(log, 9000, tail), Err(StoreError::Io(_))));
    disk.clear_faults();
}

/// Everything synced is there, and what else is there is a prefix of what was written.
fn assert_survived(disk: &SimFiles, synced: &[Vec<LoggedWrite>], tail: &[Vec<LoggedWrite>], highest: Lsn, what: &str) {
    let log = open_at(disk, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found: Vec<_> = replayed(&log).unwrap().into_iter().map(|(_, writes)| writes).collect();
    assert!(found.len() >= synced.len(), "{what}: a synced commit is lost");
    let all: Vec<_> = synced.iter().chain(tail).cloned().collect();
    assert_eq!(found[..], all[..found.len()], "{what}: something else is there");
    let mut next = log.group();
    assert!(next.next_lsn() > highest, "{what}: a number is used twice");
    next.push(9999, &commit(2, 777, 10)).unwrap();
    next.commit().unwrap();
    drop(log);
    // A second cut, of everything that the recovery did not sync, changes nothing any more.
    let again = open(&disk.survivor(0, &mut |_| SectorFate::Lost));
    let mut after: Vec<_> = replayed(&again).unwrap().into_iter().map(|(_, writes)| writes).collect();
    assert_eq!(after.pop(), Some(commit(2, 777, 10)), "{what}: the commit after the cut");
    assert_eq!(after, found, "{what}: after the second cut");
}

#[test]
fn whatever_a_power_cut_does_to_a_sector_of_the_tail_what_was_synced_is_there_and_nothing_is_invented() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let synced: Vec<_> = (0..6).map(|n| commit(1 + n % 2, n, 150)).collect();
    write(&log, 100, &synced[..3]).unwrap();
    write(&log, 100, &synced[3..]).unwrap();
    let tail: Vec<_> = (6..16).map(|n| commit(1, n, 200)).collect();
    unsynced_tail(&disk, &log, &tail);
    let highest = Lsn(log.group().next_lsn().0 - 1);
    let pending = disk.pending();
    assert!(pending.len() >= 8, "the tail is several sectors: {pending:?}");
    let fates =
        [SectorFate::Lost, SectorFate::Zeroed, SectorFate::Torn(1), SectorFate::Torn(77), SectorFate::Torn(511)];
    for victim in &pending {
        for fate in fates {
            for others in [SectorFate::Kept, SectorFate::Lost, SectorFate::Zeroed] {
                let left = disk.survivor(usize::MAX, &mut |p| {
                    if p.sector == victim.sector && p.path == victim.path { fate } else { others }
                });
                assert_survived(&left, &synced, &tail, highest, &format!("{victim:?} {fate:?}, others {others:?}"));
            }
        }
    }
    // Every subset of the last sectors: what a disk that reorders can leave.
    let few = &pending[pending.len() - 8..];
    for subset in 0u32..256 {
        let left = disk.survivor(0, &mut |p| match few.iter().position(|q| q == p) {
            Some(i) if subset & (1 << i) != 0 => SectorFate::Kept,
            _ => SectorFate::Lost,
        });
        assert_survived(&left, &synced, &tail, highest, &format!("subset {subset:#b}"));
    }
}

#[test]
fn random_cuts_over_many_segments_and_restarts_lose_nothing_synced() {
    for seed in 0..60 {
        let rng = SeededRng::new(seed);
        let pick = |n: u64| rng.next_u64() % n;
        let mut disk = SimFiles::new();
        // What the tree does not hold, in order; what it holds, and how far the shards are trimmed.
        let mut expected: Vec<Vec<LoggedWrite>> = Vec::new();
        let (mut persisted, mut horizon) = (Lsn::ZERO, Lsn::ZERO);
        let (mut n, mut highest) = (0, Lsn::ZERO);
        for _ in 0..8 {
            let log = open_at(&disk, persisted.0).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let found = replayed_after(&log, persisted).unwrap();
            assert!(found.len() >= expected.len(), "seed {seed}: lost");
            assert_eq!(found[..expected.len()], expected[..], "seed {seed}");
            expected = found;
            log.set_shards(all_shards(horizon.0));
            assert!(log.group().next_lsn() > highest, "seed {seed}: a number used twice");
            for _ in 0..pick(12) {
                let group: Vec<_> =
                    (0..1 + pick(5)).map(|i| commit(1 + i % 3, n + i, 10 + pick(900) as usize)).collect();
                n += group.len() as u64;
                let numbers = write(&log, n, &group).unwrap();
                expected.extend(group);
                if pick(8) == 0 {
                    persisted = *numbers.last().unwrap();
                    expected.clear();
                    log.set_persisted(persisted);
                    if pick(2) == 0 {
                        horizon = persisted.next();
                        (1..=3).for_each(|shard| log.set_horizon(ShardNo(shard), horizon));
                    }
                }
                if pick(3) == 0 {
                    log.keep().unwrap();
                }
                let live = records(&log, 1).unwrap().into_iter().filter(|record| record.lsn >= horizon);
                assert!(live.is_sorted_by_key(|record| record.lsn), "seed {seed}");
            }
            let tail: Vec<_> = (0..pick(6)).map(|i| commit(2, 100_000 + n + i, 10 + pick(2000) as usize)).collect();
            if !tail.is_empty() {
                unsynced_tail(&disk, &log, &tail);
            }
            highest = Lsn(log.group().next_lsn().0 - 1);
            drop(log);
            disk = disk.survivor(pick(1 + disk.names_pending() as u64) as usize, &mut |p| match pick(5) {
                0 => SectorFate::Lost,
                1 => SectorFate::Zeroed,
                2 => SectorFate::Torn(pick(512) as usize),
                3 => SectorFate::Version(pick(1 + p.versions as u64) as usize),
                _ => SectorFate::Kept,
            });
        }
    }
}

#[test]
fn what_a_restart_shows_a_power_cut_right_after_it_does_not_take_back() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 2);
    unsynced_tail(&disk, &log, &[commit(1, 70, 700), commit(2, 71, 700)]);
    let restarted = disk.killed();
    let shown = replayed(&open(&restarted)).unwrap();
    assert_eq!(shown.len(), numbers.len() + 2, "the page cache still has the tail");
    let left = restarted.survivor(0, &mut |_| SectorFate::Lost);
    assert_eq!(replayed(&open(&left)).unwrap(), shown);
}

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
    assert_eq!(check(&disk, Path::new(DIR)).unwrap(), []);
}

#[test]
fn a_flipped_bit_in_what_was_synced_is_named_and_never_served() {
    let disk = SimFiles::new();
    let (log, _) = filled(&disk, 40);
    log.set_shards(all_shards(0));
    log.keep().unwrap();
    let want: Vec<_> = (1..=3).map(|shard| records(&log, shard).unwrap()).collect();
    drop(log);
    let mut flipped = 0;
    for path in disk.paths() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "synced" {
            continue;
        }
        for offset in meaningful(&disk, &path) {
            flipped += 1;
            let damaged = disk.killed();
            damaged.flip_bit(&path, offset, (offset % 8) as u8);
            let mut named = Vec::new();
            match open_at(&damaged.killed(), 60) {
                Err(error) => named.push(error.to_string()),
                Ok(log) => {
                    for shard in 1..=3 {
                        match records(&log, shard) {
                            Ok(found) => assert_eq!(found, want[shard as usize - 1], "{name} {offset}"),
                            Err(error) => named.push(error.to_string()),
                        }
                    }
                }
            }
            named.extend(check(&damaged, Path::new(DIR)).unwrap().iter().map(|f| format!("{} {}", f.file, f.offset)));
            assert!(named.iter().any(|text| text.contains(&name)), "byte {offset} of {name}: {named:?}");
        }
    }
    assert!(flipped > 2000, "{flipped} bytes were tried");
}

/// Offsets of a file that hold something, sampled.
fn meaningful(disk: &SimFiles, path: &Path) -> Vec<u64> {
    let name = path.file_name().unwrap().to_string_lossy();
    let len = disk.content(path).unwrap().len() as u64;
    let Some(number) = segment::number_of(&name, ".seg") else {
        return if name == "superblock" { (0..72).chain(4096..4168).collect() } else { (0..len).step_by(5).collect() };
    };
    let file = disk.open(path).unwrap();
    let mut walker = Walker::new(file.as_ref(), &[7; 16], number).unwrap();
    let mut at = segment::FIRST_FRAME_AT;
    let mut found = Vec::new();
    while let Ok((offset, header, _)) = walker.next_frame(at, |_| Ok(())).unwrap() {
        at = offset + u64::from(header.len);
        found.extend((offset..at).step_by(7));
    }
    if !found.is_empty() {
        found.extend(0..64);
    }
    found
}

#[test]
fn damage_in_the_last_acknowledged_group_stops_the_start() {
    let disk = SimFiles::new();
    let (log, _) = filled(&disk, 3);
    drop(log);
    let path = disk.paths().into_iter().find(|p| p.to_string_lossy().ends_with("0001.seg")).unwrap();
    let last = *meaningful(&disk, &path).iter().filter(|at| **at > 512).max().unwrap();
    let damaged = disk.killed();
    damaged.flip_bit(&path, last, 3);
    let error = open_at(&damaged, 0).unwrap_err().to_string();
    assert!(error.contains("0001.seg: at byte") && error.contains("known to be synced"), "{error}");
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
        write(&log, 7000, &[commit(1, 1000 + g, 900)]).unwrap();
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
    assert!(log.group().next_lsn() > want.last().unwrap().lsn);
    assert_eq!(check(&disk, Path::new(DIR)).unwrap(), []);
}

fn records_before(log: &Log, lsn: Lsn) -> usize {
    records(log, 1).unwrap().iter().filter(|record| record.lsn <= lsn).count()
}

/// A log whose shard 3 has a few records far apart between many of shard 1; shard 1 is trimmed.
fn sparse(disk: &SimFiles) -> (Arc<Log>, Lsn) {
    let log = open(disk);
    let mut last = Lsn::ZERO;
    for n in 0..200 {
        last = *write(&log, 1000 + n, &[commit(if n % 40 == 7 { 3 } else { 1 }, n, 300)]).unwrap().last().unwrap();
        log.keep().unwrap();
    }
    log.set_shards(BTreeMap::from([(ShardNo(1), last.next()), (ShardNo(3), Lsn::ZERO)]));
    log.set_persisted(last);
    (log, last)
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
    assert_eq!(log.position_at_time(ShardNo(3), want[2].time_ms, last).unwrap(), want[1].lsn);
    drop(log);
    let log = open_at(&disk.killed(), last.0).unwrap();
    assert_eq!(records(&log, 3).unwrap(), want);
    assert_eq!(check(&disk, Path::new(DIR)).unwrap(), []);
}

#[test]
fn damage_in_moved_records_at_the_very_end_of_the_log_stops_the_start() {
    let disk = SimFiles::new();
    let (log, last) = sparse(&disk);
    (0..20).for_each(|_| log.keep().unwrap());
    drop(log);
    let path =
        disk.paths().into_iter().rfind(|p| p.to_string_lossy().ends_with(".seg") && !meaningful(&disk, p).is_empty());
    let path = path.unwrap();
    let at = *meaningful(&disk, &path).iter().filter(|at| **at > 512).max().unwrap();
    disk.flip_bit(&path, at, 5);
    let error = open_at(&disk, last.0).unwrap_err().to_string();
    assert!(error.contains("known to be synced") && error.contains(&path.display().to_string()), "{error}");
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
        write(&log, 1, &[commit(1, n, 1800)]).expect("what is reserved has room");
    }
    assert_eq!(records(&log, 1).unwrap().len(), held.len());
    drop(held);
    disk.set_room(None);
    log.reserve(2000).now_or_never().expect("nothing to wait for").expect("room again");
}

#[test]
fn a_sync_that_fails_is_fatal_and_nothing_is_written_after_it() {
    let disk = SimFiles::new();
    let told = Arc::new(AtomicUsize::new(0));
    let counter = told.clone();
    let fatal = Arc::new(move |error: &StoreError| {
        assert!(error.to_string().contains("cannot sync /data/log/"), "{error}");
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let settings = LogSettings { fatal, ..settings() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), settings, [7; 16], Lsn::ZERO).unwrap();
    unsynced_tail(&disk, &log, &[commit(1, 1, 10)]);
    assert!(write(&log, 2, &[commit(1, 2, 10)]).is_err());
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(records(&log, 1).unwrap(), []);
}

#[test]
fn acknowledging_before_the_sync_is_caught_by_a_power_cut() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 2);
    disk.lie_about_syncs(true);
    write(&log, 9, &[commit(1, 50, 10)]).unwrap();
    drop(log);
    let left = disk.survivor(0, &mut |_| SectorFate::Lost);
    assert_eq!(replayed(&open(&left)).unwrap().len(), numbers.len(), "the acknowledged commit is missing");
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
        last = *write(&log, 5000 + n, &[commit(2, 1000 + n, 500)]).unwrap().last().unwrap();
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
fn a_missing_segment_and_an_older_tree_are_named_and_an_index_is_made_again() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 150);
    let middle = numbers[numbers.len() / 2];
    log.set_shards(all_shards(middle.0));
    log.set_persisted(*numbers.last().unwrap());
    log.keep().unwrap();
    let want = records(&log, 1).unwrap();
    assert!(!want.is_empty() && want[0].lsn >= middle);
    drop(log);
    let last = numbers.last().unwrap().0;
    // The segments before were freed: a tree that does not hold what was in them is not this log's.
    for older in [0, middle.0 / 2] {
        let error = open_at(&disk.killed(), older).unwrap_err().to_string();
        assert!(error.contains("superblock") && error.contains("missing, or an older copy"), "{error}");
    }
    let of = |ending: &str| -> Vec<PathBuf> {
        disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    };
    let (segments, indexes) = (of(".seg"), of(".idx"));
    assert!(segments.len() > 4 && indexes.len() > 3, "{segments:?}");
    for index in &indexes {
        let damaged = disk.killed();
        damaged.remove(&index.with_extension("seg")).unwrap();
        let error = open_at(&damaged, last).unwrap_err().to_string();
        assert!(error.contains(&index.with_extension("seg").display().to_string()), "{error}");
        assert!(check(&damaged, Path::new(DIR)).unwrap().iter().any(|fault| fault.file.ends_with(".seg")));
        let unindexed = disk.killed();
        unindexed.remove(index).unwrap();
        let log = open_at(&unindexed, last).unwrap();
        log.set_shards(all_shards(middle.0));
        assert_eq!(records(&log, 1).unwrap(), want);
    }
}

#[test]
fn the_check_names_a_claim_that_cannot_be_read() {
    let disk = SimFiles::new();
    let (log, _) = filled(&disk, 3);
    log.close().unwrap();
    let path = Path::new(DIR).join("synced");
    disk.flip_bit(&path, 9, 0);
    assert_eq!(check(&disk, Path::new(DIR)).unwrap(), [], "a cut may have torn one of the two");
    disk.flip_bit(&path, 512 + 9, 0);
    let faults = check(&disk, Path::new(DIR)).unwrap();
    assert!(faults.len() == 1 && faults[0].file.ends_with("synced"), "{faults:?}");
}

#[test]
fn what_clients_store_never_looks_like_a_frame() {
    let disk = SimFiles::new();
    let log = open(&disk);
    write(&log, 1, &[commit(1, 1, 100)]).unwrap();
    drop(log);
    // Whatever begins like a frame of one directory does not in another: a client cannot know the mark.
    let other = SimFiles::new();
    drop(Log::open(Arc::new(other.clone()), Path::new(DIR), settings(), [8; 16], Lsn::ZERO).unwrap());
    let log = Log::open(Arc::new(other.clone()), Path::new(DIR), settings(), [8; 16], Lsn::ZERO).unwrap();
    write(&log, 1, &[commit(1, 1, 100)]).unwrap();
    drop(log);
    let begins = |disk: &SimFiles| {
        let path = disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(".seg"));
        let contents = path.map(|path| disk.content(&path).unwrap());
        let frames = contents.filter(|content| content.get(512..516).is_some_and(|mark| mark != [0; 4]));
        frames.map(|content| content[512..516].to_vec()).next().unwrap()
    };
    assert_ne!(begins(&disk), begins(&other));
    // Values full of another directory's frame beginnings, each claiming a long frame, are passed over unread.
    let mut hostile = Vec::new();
    while hostile.len() < 2000 {
        hostile.extend_from_slice(&begins(&other));
        hostile.extend_from_slice(&2048_u32.to_le_bytes());
    }
    let log = open(&disk);
    let key = Bytes::from_static(b"key");
    for _ in 0..20 {
        write(&log, 2, &[vec![LoggedWrite::Put { key: key.clone(), value: Bytes::from(hostile.clone()) }]]).unwrap();
        log.keep().unwrap();
    }
    drop(log);
    let before = disk.bytes_read();
    assert_eq!(replayed(&open(&disk)).unwrap().len(), 21);
    let read = disk.bytes_read() - before;
    assert!(read < 6 * disk.used_bytes(), "{read} bytes read of {}", disk.used_bytes());
}

#[test]
fn a_commit_above_the_bound_is_refused_and_a_newer_format_and_a_missing_superblock_too() {
    let disk = SimFiles::new();
    let (log, _) = filled(&disk, 2);
    assert!(matches!(write(&log, 1, &[commit(1, 1, 5000)]), Err(StoreError::Invalid(_))));
    drop(log);
    assert!(matches!(open_at(&SimFiles::new(), 5), Err(StoreError::Corrupt(_))));
    let path = PathBuf::from(DIR).join("superblock");
    let mut bytes = disk.content(&path).unwrap();
    for at in [0, 4096] {
        bytes[at + 8] = 2;
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[at..at + 80]);
        bytes[at + 80..at + 88].copy_from_slice(&checksum.to_le_bytes());
    }
    disk.overwrite(&path, bytes);
    let error = open_at(&disk, 0).unwrap_err();
    assert!(matches!(&error, StoreError::Invalid(text) if text.contains("format 2")), "{error}");
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
        write(&log, n, &[commit(1, n, 700)]).unwrap();
        drop(reservation);
        want += 1;
    }
    assert_eq!(records(&log, 1).unwrap().len(), want);
    log.close().unwrap();
    assert_eq!(check(&disk, Path::new(DIR)).unwrap(), []);
}

fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn any_write() -> impl Strategy<Value = LoggedWrite> {
    let image = prop_oneof![
        Just(LoggedImage::None),
        any::<u32>().prop_map(LoggedImage::OfWrite),
        bytes().prop_map(LoggedImage::Inline)
    ];
    let shard = || any::<u64>().prop_map(ShardNo);
    prop_oneof![
        (bytes(), bytes()).prop_map(|(key, value)| LoggedWrite::Put { key, value }),
        bytes().prop_map(|key| LoggedWrite::Delete { key }),
        (shard(), bytes(), proptest::option::of(bytes()), image)
            .prop_map(|(shard, meta, old, new)| LoggedWrite::Append { shard, meta, old, new }),
        (shard(), any::<u64>(), any::<(u16, u16)>(), proptest::option::of(0..u64::MAX), any::<u64>()).prop_map(
            |(shard, stream, (first, last), parent, created_ms)| LoggedWrite::OpenShard {
                shard,
                stream: StreamId(stream),
                range: BucketRange { first: Bucket(first), last: Bucket(last) },
                parent: parent.map(ShardNo),
                created_ms,
            }
        ),
        (shard(), any::<u64>()).prop_map(|(shard, n)| LoggedWrite::SealShard { shard, last: Lsn(n) }),
        shard().prop_map(|shard| LoggedWrite::DropShard { shard }),
        (shard(), any::<u64>()).prop_map(|(shard, n)| LoggedWrite::Trim { shard, horizon: Lsn(n) }),
    ]
}

proptest! {
    #[test]
    fn a_commit_reads_back_as_it_was_written(writes in proptest::collection::vec(any_write(), 0..12)) {
        let mut body = Vec::new();
        codec::encode(&writes, &mut body);
        prop_assert!(body.len() + 72 <= codec::frame_bytes_bound(&writes) + 10);
        prop_assert_eq!(codec::decode(&Bytes::from(body)), Some(writes));
    }

    #[test]
    fn decoding_any_bytes_does_not_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = codec::decode(&Bytes::from(body.clone()));
        let _ = super::moved::decode(&Bytes::from(body));
    }
}
