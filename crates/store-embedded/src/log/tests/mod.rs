//! The log on the simulated disk: power cuts, damage, full disks, and what survives them.

mod codec;
mod cuts;
mod damage;
mod gaps;
mod keeper;
mod scale;
mod set_aside;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn};

use super::segment::Walker;
use super::{Log, LogSettings, LoggedImage, LoggedWrite, segment};
use crate::files::{Fault, FileErrorKind, FileOp, Files, SimFiles};
use tailrace_store::{LogRecord, ShardNo, StoreError};

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

fn write(log: &Log, time_ms: EpochMs, commits: &[Vec<LoggedWrite>]) -> Result<Vec<Lsn>, StoreError> {
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
        numbers.extend(write(&log, EpochMs(1000 + g), &commits).unwrap());
        log.keep().unwrap();
    }
    (log, numbers)
}

/// Writes `tail` with a sync that fails, and gives the disk on which nothing of it is synced.
fn unsynced_tail(disk: &SimFiles, log: &Log, tail: &[Vec<LoggedWrite>]) {
    disk.inject(Fault { op: FileOp::Sync, path_part: ".seg".into(), after: 0, times: 9, kind: FileErrorKind::Other });
    assert!(matches!(write(log, EpochMs(9000), tail), Err(StoreError::Io(_))));
    disk.clear_faults();
}

/// Offsets of a file that hold something, sampled.
fn meaningful(disk: &SimFiles, path: &Path) -> Vec<u64> {
    let name = path.file_name().unwrap().to_string_lossy();
    let len = disk.content(path).unwrap().len() as u64;
    let Some(number) = segment::number_of(&name, ".seg") else {
        return if name == "superblock" { (0..360).chain(4096..4456).collect() } else { (0..len).step_by(5).collect() };
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

/// A log whose shard 3 has a few records far apart between many of shard 1; shard 1 is trimmed.
fn sparse(disk: &SimFiles) -> (Arc<Log>, Lsn) {
    let log = open(disk);
    let mut last = Lsn::ZERO;
    for n in 0..200 {
        last = *write(&log, EpochMs(1000 + n), &[commit(if n % 40 == 7 { 3 } else { 1 }, n, 300)])
            .unwrap()
            .last()
            .unwrap();
        log.keep().unwrap();
    }
    log.set_shards(BTreeMap::from([(ShardNo(1), last.next()), (ShardNo(3), Lsn::ZERO)]));
    log.set_persisted(last);
    (log, last)
}

fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
