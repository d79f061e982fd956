//! Damage that an operator sets aside: the log goes on without it, and says what is lost.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::*;
use crate::files::SectorFate;
use crate::log::{CheckedLog, SegmentNo, SetAsideError, check, set_aside};

/// Number, offset, and the numbers of each frame of a segment.
fn frames(disk: &SimFiles, path: &Path) -> Vec<(u64, Lsn, Lsn)> {
    let number = segment::number_of(&path.file_name().unwrap().to_string_lossy(), ".seg").unwrap();
    let file = disk.open(path).unwrap();
    let mut walker = Walker::new(file.as_ref(), &[7; 16], number).unwrap();
    let (mut at, mut found) = (segment::FIRST_FRAME_AT, Vec::new());
    while let Ok((offset, header, _)) = walker.next_frame(at, |_| Ok(())).unwrap() {
        at = offset + u64::from(header.len);
        found.push((offset, header.lsn, header.last()));
    }
    found
}

fn segments(disk: &SimFiles) -> Vec<PathBuf> {
    let all = disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(".seg"));
    all.filter(|path| !frames(disk, path).is_empty()).collect()
}

fn checked(disk: &SimFiles) -> CheckedLog {
    check(disk, Path::new(DIR)).unwrap()
}

/// The places that the check names as ones that can be set aside.
fn places(disk: &SimFiles) -> Vec<(SegmentNo, u64)> {
    let faults = checked(disk).faults;
    let can = faults.iter().filter(|fault| fault.detail.contains("can be set aside"));
    can.map(|fault| (crate::log::segment_number(Path::new(&fault.file)).unwrap(), fault.offset)).collect()
}

fn lost(log: &Log, shard: u64) -> Vec<RangeInclusive<Lsn>> {
    log.read(ShardNo(shard), Lsn::ZERO, usize::MAX, usize::MAX, Lsn(u64::MAX >> 1)).unwrap().lost
}

#[test]
fn a_damaged_old_record_is_named_set_aside_and_passed_over_and_everything_else_is_there() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 60);
    let last = *numbers.last().unwrap();
    let want: Vec<_> = (1..=3).map(|shard| records(&log, shard).unwrap()).collect();
    drop(log);
    let path = segments(&disk)[1].clone();
    let number = crate::log::segment_number(&path).unwrap();
    for (offset, first, of) in frames(&disk, &path) {
        let damaged = disk.killed();
        damaged.flip_bit(&path, offset + 70, 2);
        let faults = checked(&damaged).faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        let shard =
            want.iter().position(|all| all.iter().any(|record| Lsn(record.number.0) == first)).unwrap() as u64 + 1;
        let says =
            format!("numbers {first} to {of}, stream records {first} to {of} of shard {shard}; can be set aside");
        assert!(faults[0].detail.contains(&says), "{faults:?}, expected {says}");
        let log = open_at(&damaged.killed(), last.0).unwrap();
        assert!(
            matches!(records(&log, shard), Err(StoreError::Corrupt(_))),
            "it is damage as long as nobody set it aside"
        );
        drop(log);
        let place = places(&damaged)[0];
        assert_eq!(place.0, number);
        assert!(matches!(set_aside(&damaged, Path::new(DIR), number, 8, last, true), Err(SetAsideError::NoDamage(_))));
        set_aside(&damaged, Path::new(DIR), place.0, place.1, last, false).unwrap();
        let after = checked(&damaged);
        assert!(after.faults.is_empty() && after.set_aside.len() == 1, "{after:?}");
        // Durably, over any cut, and also when the log is read frame by frame because an index is gone.
        let left = damaged.survivor(0, &mut |_| SectorFate::Lost);
        let unindexed = left.killed();
        unindexed.remove(&path.with_extension("idx")).unwrap();
        for (left, rebuilt) in [(left, false), (unindexed, true)] {
            let log = open_at(&left, last.0).unwrap();
            log.set_shards(all_shards(0));
            log.keep().unwrap();
            for of in 1..=3 {
                let mut expected = want[of as usize - 1].clone();
                expected.retain(|record| Lsn(record.number.0) != first);
                assert_eq!(records(&log, of).unwrap(), expected, "shard {of}");
                assert_eq!(lost(&log, of), if of == shard { vec![first..=first] } else { vec![] }, "shard {of}");
            }
            // Whoever reads on behind it is not told again.
            assert_eq!(log.read(ShardNo(shard), first, 9, usize::MAX, last).unwrap().lost, []);
            write(&log, EpochMs(9999), &[commit(1, 777, 10)]).unwrap();
            drop(log);
            let log = open_at(&left.killed(), last.0).unwrap();
            assert_eq!(replayed_after(&log, last).unwrap().len(), 1, "rebuilt: {rebuilt}");
        }
    }
}

#[test]
fn damage_that_stops_each_start_is_set_aside_but_writes_that_only_the_log_has_need_a_plainer_word() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let commits: Vec<_> = (0..60).map(|n| commit(1 + n % 3, n, 700)).collect();
    let numbers: Vec<Lsn> =
        commits.iter().map(|c| write(&log, EpochMs(5), std::slice::from_ref(c)).unwrap()[0]).collect();
    log.close().unwrap();
    drop(log);
    let path = segments(&disk)[1].clone();
    let frames = frames(&disk, &path);
    for at in [0, frames.len() / 2, frames.len() - 1] {
        let (offset, first, _) = frames[at];
        let damaged = disk.killed();
        damaged.flip_bit(&path, offset + 3, 2);
        for persisted in [*numbers.last().unwrap(), Lsn(first.0 - 1)] {
            let disk = damaged.killed();
            assert!(matches!(open_at(&disk.killed(), persisted.0), Err(StoreError::Corrupt(_))));
            let place = places(&disk)[0];
            if persisted < first {
                let refused = set_aside(&disk, Path::new(DIR), place.0, place.1, persisted, false).unwrap_err();
                assert!(refused.to_string().contains("acknowledged writes would be lost"), "{refused}");
                assert!(open_at(&disk.killed(), persisted.0).is_err());
            }
            set_aside(&disk, Path::new(DIR), place.0, place.1, persisted, persisted < first).unwrap();
            assert_eq!(checked(&disk).faults, []);
            for _ in 0..2 {
                let log = open_at(&disk, persisted.0).unwrap();
                let kept = commits.iter().zip(&numbers).filter(|(_, lsn)| **lsn > persisted && **lsn != first);
                let kept: Vec<_> = kept.map(|(commit, _)| commit.clone()).collect();
                assert_eq!(replayed_after(&log, persisted).unwrap(), kept);
                log.set_shards(all_shards(0));
                log.keep().unwrap();
                // Nobody had written down whose record it was.
                assert_eq!(lost(&log, 1), [first..=first]);
                drop(log);
                assert_eq!(checked(&disk).faults, []);
            }
        }
    }
}

#[test]
fn damage_at_the_very_end_a_damaged_header_and_a_missing_segment_can_be_set_aside() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let numbers: Vec<Lsn> = (0..60).map(|n| write(&log, EpochMs(5), &[commit(1, n, 700)]).unwrap()[0]).collect();
    drop(log);
    let all = segments(&disk);
    let persisted = Lsn(numbers[0].0 + 1);
    let (end, header, missing) = (disk.killed(), disk.killed(), disk.killed());
    let (last_frame, ..) = *frames(&disk, all.last().unwrap()).last().unwrap();
    end.flip_bit(all.last().unwrap(), last_frame + 100, 1);
    header.flip_bit(&all[2], 20, 1);
    let in_missing = frames(&disk, &all[2]).len();
    missing.remove(&all[2]).unwrap();
    for (disk, lost) in [(end, 1), (header, 0), (missing, in_missing)] {
        assert!(open_at(&disk.killed(), persisted.0).is_err());
        for (segment, offset) in places(&disk) {
            let refused = set_aside(&disk, Path::new(DIR), segment, offset, persisted, false);
            assert_eq!(refused.is_err(), lost > 0);
            if refused.is_err() {
                set_aside(&disk, Path::new(DIR), segment, offset, persisted, true).unwrap();
            }
        }
        let report = checked(&disk);
        assert_eq!(report.faults, []);
        assert!(report.set_aside.iter().all(|piece| piece.detail.starts_with("set aside up to byte ")), "{report:?}");
        let log = open_at(&disk, persisted.0).unwrap();
        assert_eq!(replayed_after(&log, persisted).unwrap().len(), 58 - lost);
        write(&log, EpochMs(9), &[commit(1, 99, 10)]).unwrap();
        drop(log);
        let log = open_at(&disk.killed(), persisted.0).unwrap();
        assert_eq!(replayed_after(&log, persisted).unwrap().len(), 59 - lost);
        assert_eq!(checked(&disk).faults, []);
    }
}

#[test]
fn of_moved_records_only_those_that_are_damaged_are_lost() {
    let disk = SimFiles::new();
    let (log, last) = sparse(&disk);
    (0..20).for_each(|_| log.keep().unwrap());
    let want = records(&log, 3).unwrap();
    drop(log);
    let path = segments(&disk).last().unwrap().clone();
    let content = disk.content(&path).unwrap();
    let victim = &want[2];
    let at = content.windows(victim.meta.len()).rposition(|bytes| bytes == victim.meta).unwrap() as u64;
    disk.flip_bit(&path, at, 1);
    // The log ends with it, and nothing behind shows whose records they are until the segment has an index.
    assert!(open_at(&disk.killed(), last.0).is_err());
    for (segment, offset) in places(&disk) {
        set_aside(&disk, Path::new(DIR), segment, offset, last, true).unwrap();
    }
    let log = open_at(&disk, last.0).unwrap();
    let found = records(&log, 3).unwrap();
    assert!(found.len() < want.len() && found.iter().all(|record| want.contains(record)));
    drop(log);

    let disk = SimFiles::new();
    let (log, last) = sparse(&disk);
    (0..20).for_each(|_| log.keep().unwrap());
    for n in 0..60 {
        write(&log, EpochMs(5000), &[commit(1, 900 + n, 900)]).unwrap();
        log.keep().unwrap();
    }
    let last = Lsn(log.group().next_lsn().0 - 1).max(last);
    log.set_persisted(last);
    drop(log);
    let with = |path: &PathBuf| disk.content(path).unwrap().windows(7).any(|bytes| bytes == &victim.meta[..]);
    let path = segments(&disk).into_iter().rfind(with).unwrap();
    let content = disk.content(&path).unwrap();
    let at = content.windows(victim.meta.len()).rposition(|bytes| bytes == victim.meta).unwrap() as u64;
    disk.flip_bit(&path, at, 1);
    let unindexed = disk.killed();
    unindexed.remove(&path.with_extension("idx")).unwrap();
    let number = victim.number.0;
    // Whoever sets it aside is told what is lost, as far as anybody knows.
    for (disk, says) in [
        (&disk, format!("no number of a commit, stream records {number} to {number} of shard 3")),
        (&unindexed, "perhaps older stream records, of shards that nobody knows".to_owned()),
    ] {
        let faults = checked(disk).faults;
        assert!(faults.iter().any(|fault| fault.detail.contains(&says)), "{faults:?}, expected {says}");
    }
    for (segment, offset) in places(&disk) {
        set_aside(&disk, Path::new(DIR), segment, offset, last, false).unwrap();
    }
    let log = open_at(&disk, last.0).unwrap();
    let expected: Vec<_> = want.iter().filter(|record| Lsn(record.number.0) != Lsn(victim.number.0)).cloned().collect();
    assert_eq!(records(&log, 3).unwrap(), expected);
    assert_eq!(lost(&log, 3), [Lsn(victim.number.0)..=Lsn(victim.number.0)]);

    // Without an index nobody knows whose records were moved there: every reader of older ones is told.
    for (segment, offset) in places(&unindexed) {
        set_aside(&unindexed, Path::new(DIR), segment, offset, last, false).unwrap();
    }
    let log = open_at(&unindexed, last.0).unwrap();
    let found = records(&log, 3).unwrap();
    assert!(!found.contains(victim) && found.iter().all(|record| want.contains(record)));
    let told = lost(&log, 3);
    assert!(
        want.iter()
            .all(|record| found.contains(record) || told.iter().any(|lost| lost.contains(&Lsn(record.number.0))))
    );
}

#[test]
fn damaged_notes_are_named() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 60);
    drop(log);
    let path = segments(&disk)[1].clone();
    let (offset, ..) = frames(&disk, &path)[1];
    disk.flip_bit(&path, offset + 70, 2);
    let last = *numbers.last().unwrap();
    let place = places(&disk)[0];
    set_aside(&disk, Path::new(DIR), place.0, place.1, last, false).unwrap();
    let notes = Path::new(DIR).join("set-aside");
    for at in 0..disk.content(&notes).unwrap().len() as u64 {
        let damaged = disk.killed();
        damaged.flip_bit(&notes, at, 1);
        assert!(matches!(open_at(&damaged.killed(), last.0), Err(StoreError::Corrupt(_))));
        assert!(checked(&damaged).faults.iter().any(|fault| fault.file.ends_with("set-aside")));
    }
}
