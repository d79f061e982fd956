//! Freed segments: what is missing because it was freed never hides what is missing because it is lost.

use std::path::{Path, PathBuf};

use tailrace_core::Lsn;

use super::*;
use crate::log::check;

/// A log whose first segments were freed and whose later ones, with 40 commits, have no index yet; the last freed number.
fn behind_a_gap(disk: &SimFiles) -> Lsn {
    let (log, numbers) = filled(disk, 60);
    let last = *numbers.last().unwrap();
    log.set_shards(all_shards(last.0 + 1));
    log.set_persisted(last);
    log.keep().unwrap();
    for n in 0..40 {
        write(&log, EpochMs(8000 + n), &[commit(1, 1000 + n, 700)]).unwrap();
    }
    last
}

fn files_of(disk: &SimFiles, ending: &str) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

fn assert_damage_is_named(disk: &SimFiles, persisted: Lsn, what: &str) {
    let error = match open_at(&disk.killed(), persisted.0) {
        Ok(log) => panic!("{what}: opened with {} commits", replayed_after(&log, persisted).unwrap().len()),
        Err(error) => error,
    };
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("/data/log")), "{what}: {error}");
    assert_ne!(check(disk, Path::new(DIR)).unwrap().faults, [], "{what}: the check");
}

#[test]
fn the_first_segment_behind_a_freed_gap_cannot_go_unnoticed() {
    let disk = SimFiles::new();
    let freed = behind_a_gap(&disk);
    assert_eq!(replayed_after(&open_at(&disk.killed(), freed.0).unwrap(), freed).unwrap().len(), 40);
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
    let segments = files_of(&disk, ".seg");
    assert!(segments.len() > 3 && !segments[0].to_string_lossy().ends_with("0001.seg"), "{segments:?}");
    for (which, segment) in segments[..segments.len() - 1].iter().enumerate() {
        for offset in [0, 513, 530, 600] {
            let damaged = disk.killed();
            damaged.flip_bit(segment, offset, 1);
            assert_damage_is_named(&damaged, freed, &format!("segment {which}, byte {offset}"));
        }
        let missing = disk.killed();
        missing.remove(segment).unwrap();
        assert_damage_is_named(&missing, freed, &format!("segment {which} is missing"));
    }
}

#[test]
fn a_kept_segment_between_freed_ones_cannot_go_missing_with_its_index() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let mut last = Lsn::ZERO;
    for n in 0..200 {
        // Every fifth segment or so keeps half of its records.
        last =
            *write(&log, EpochMs(1000 + n), &[commit(if n % 40 < 8 { 3 } else { 1 }, n, 700)]).unwrap().last().unwrap();
        log.keep().unwrap();
    }
    log.set_shards(BTreeMap::from([(ShardNo(1), last.next()), (ShardNo(3), Lsn::ZERO)]));
    log.set_persisted(last);
    log.keep().unwrap();
    let want = records(&log, 3).unwrap();
    drop(log);
    assert_eq!(records(&open_at(&disk.killed(), last.0).unwrap(), 3).unwrap(), want);
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
    let indexes = files_of(&disk, ".idx");
    assert!(indexes.len() > 3, "{indexes:?}");
    for index in &indexes {
        let damaged = disk.killed();
        damaged.remove(index).unwrap();
        damaged.remove(&index.with_extension("seg")).unwrap();
        assert_damage_is_named(&damaged, last, &format!("{index:?} and its segment are missing"));
        // The index alone is made again, unless what follows the segment is gone: then it alone says where that ends.
        let unindexed = disk.killed();
        unindexed.remove(index).unwrap();
        match open_at(&unindexed, last.0) {
            Ok(log) => assert_eq!(records(&log, 3).unwrap(), want),
            Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error}"),
        }
    }
}

#[test]
fn a_crash_while_segments_are_freed_is_finished_by_the_next_start() {
    for op in [FileOp::Sync, FileOp::SyncDir, FileOp::Rename, FileOp::Remove, FileOp::Write] {
        for after in 0..60 {
            let disk = SimFiles::new();
            let (log, numbers) = filled(&disk, 60);
            let last = *numbers.last().unwrap();
            log.set_shards(all_shards(last.0 + 1));
            log.set_persisted(last);
            let kind = FileErrorKind::Other;
            disk.inject(Fault { op, path_part: DIR.into(), after, times: usize::MAX, kind });
            let failed = log.keep().is_err();
            drop(log);
            for kept in 0..=disk.names_pending() {
                let left = disk.survivor(kept, &mut |_| crate::files::SectorFate::Kept);
                let what = format!("{op} {after} {kept}");
                let log = open_at(&left, last.0).unwrap_or_else(|error| panic!("{what}: {error}"));
                log.set_shards(all_shards(last.0 + 1));
                log.keep().unwrap();
                assert!(log.usage().segments <= 2, "{what}: {:?}", log.usage());
                drop(log);
                assert_eq!(check(&left, Path::new(DIR)).unwrap().faults, [], "{what}");
            }
            if !failed {
                break;
            }
        }
    }
}

#[test]
fn a_segment_that_was_too_small_for_its_first_frame_does_not_keep_others_from_being_freed() {
    let disk = SimFiles::new();
    let mut persisted = Lsn::ZERO;
    for life in 0..3 {
        let settings = LogSettings { first_segment_bytes: 2048, ..settings() };
        let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), settings, [7; 16], persisted).unwrap();
        log.set_shards(all_shards(persisted.0 + 1));
        for n in 0..40 {
            persisted = write(&log, EpochMs(n), &[commit(1, n, 3000)]).unwrap()[0];
            log.set_persisted(persisted);
            log.set_horizon(ShardNo(1), persisted.next());
            log.keep().unwrap();
        }
        assert!(log.usage().segments <= 3, "life {life}: {:?}", log.usage());
        assert!(disk.used_bytes() < 8 * 16 * 1024, "life {life}: {} bytes", disk.used_bytes());
        drop(log);
        assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
    }
}
