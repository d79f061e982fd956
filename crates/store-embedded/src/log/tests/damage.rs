//! Damage: what was synced and is not what it was is named, and never served.

use std::path::{Path, PathBuf};

use super::*;
use crate::log::check;

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
            named.extend(
                check(&damaged, Path::new(DIR)).unwrap().faults.iter().map(|f| format!("{} {}", f.file, f.offset)),
            );
            assert!(named.iter().any(|text| text.contains(&name)), "byte {offset} of {name}: {named:?}");
        }
    }
    assert!(flipped > 2000, "{flipped} bytes were tried");
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
fn a_missing_segment_and_an_older_tree_are_named_and_an_index_is_made_again() {
    let disk = SimFiles::new();
    let (log, numbers) = filled(&disk, 150);
    let middle = numbers[numbers.len() / 2];
    log.set_shards(all_shards(middle.0));
    log.set_persisted(*numbers.last().unwrap());
    log.keep().unwrap();
    let want = records(&log, 1).unwrap();
    assert!(!want.is_empty() && Lsn(want[0].number.0) >= middle);
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
        assert!(check(&damaged, Path::new(DIR)).unwrap().faults.iter().any(|fault| fault.file.ends_with(".seg")));
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
    assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, [], "a cut may have torn one of the two");
    disk.flip_bit(&path, 512 + 9, 0);
    let faults = check(&disk, Path::new(DIR)).unwrap().faults;
    assert!(faults.len() == 1 && faults[0].file.ends_with("synced"), "{faults:?}");
}

#[test]
fn a_commit_above_the_bound_is_refused_and_a_newer_format_and_a_missing_superblock_too() {
    let disk = SimFiles::new();
    let (log, _) = filled(&disk, 2);
    assert!(matches!(write(&log, EpochMs(1), &[commit(1, 1, 5000)]), Err(StoreError::Invalid(_))));
    drop(log);
    assert!(matches!(open_at(&SimFiles::new(), 5), Err(StoreError::Corrupt(_))));
    let path = PathBuf::from(DIR).join("superblock");
    let mut bytes = disk.content(&path).unwrap();
    for at in [0, 4096] {
        bytes[at + 8] = 2;
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[at..at + 352]);
        bytes[at + 352..at + 360].copy_from_slice(&checksum.to_le_bytes());
    }
    disk.overwrite(&path, bytes);
    let error = open_at(&disk, 0).unwrap_err();
    assert!(matches!(&error, StoreError::NewerFormat(text) if text.contains("format 2")), "{error}");
}

/// A directory of an earlier layout is intact, and says so: who thinks it is damaged sets things aside.
#[test]
fn a_superblock_of_an_earlier_layout_is_named_and_not_taken_for_damage() {
    let disk = SimFiles::new();
    drop(filled(&disk, 3));
    let path = Path::new(DIR).join("superblock");
    let mut content = vec![0; 8192];
    for at in [0, 4096] {
        let slot = &mut content[at..at + 88];
        slot[..8].copy_from_slice(b"TRAILRSB");
        (slot[8], slot[16]) = (1, 9);
        let checksum = xxhash_rust::xxh3::xxh3_64(&slot[..80]);
        slot[80..].copy_from_slice(&checksum.to_le_bytes());
    }
    disk.open(&path).unwrap().write_at(&content, 0).unwrap();
    for error in [open_at(&disk, 0).unwrap_err(), check(&disk, Path::new(DIR)).unwrap_err()] {
        assert!(!matches!(error, StoreError::Corrupt(_)) && error.to_string().contains("earlier layout"), "{error}");
    }
    assert_eq!(disk.content(&path).unwrap(), content);
}
