//! Restarts and power cuts: what was synced is there, and nothing is invented.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tailrace_core::Lsn;
use tailrace_core::rng::{Rng, SeededRng};

use super::*;
use crate::files::SectorFate;
use crate::log::check;

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
        let next = write(&log, EpochMs(5000), &[commit(1, 999, 10)]).unwrap()[0];
        assert!(next > *numbers.last().unwrap());
        assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
    }
}

#[test]
fn a_group_costs_one_sync_and_a_closed_log_goes_on_with_the_very_next_number() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let before = disk.syncs();
    let commits: Vec<_> = (0..8).map(|n| commit(1, n, 100)).collect();
    let numbers = write(&log, EpochMs(1), &commits).unwrap();
    assert_eq!(disk.syncs(), before + 1);
    log.close().unwrap();
    assert!(matches!(write(&log, EpochMs(1), &commits), Err(StoreError::Closed)));
    drop(log);
    assert_eq!(open(&disk).group().next_lsn(), numbers.last().unwrap().next());
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
    next.push(EpochMs(9999), &commit(2, 777, 10)).unwrap();
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
    write(&log, EpochMs(100), &synced[..3]).unwrap();
    write(&log, EpochMs(100), &synced[3..]).unwrap();
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
                let numbers = write(&log, EpochMs(n), &group).unwrap();
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
                let live = records(&log, 1).unwrap().into_iter().filter(|record| Lsn(record.number.0) >= horizon);
                assert!(live.is_sorted_by_key(|record| Lsn(record.number.0)), "seed {seed}");
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
    assert!(write(&log, EpochMs(2), &[commit(1, 2, 10)]).is_err());
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(records(&log, 1).unwrap(), []);
}

#[test]
fn acknowledging_before_the_sync_is_caught_by_a_power_cut() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 2);
    disk.lie_about_syncs(true);
    write(&log, EpochMs(9), &[commit(1, 50, 10)]).unwrap();
    drop(log);
    let left = disk.survivor(0, &mut |_| SectorFate::Lost);
    assert_eq!(replayed(&open(&left)).unwrap().len(), numbers.len(), "the acknowledged commit is missing");
}
