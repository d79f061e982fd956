//! What a log that retains many segments of many shards costs: memory, a group, a horizon of every shard that moves, a page,
//! and the next start.
//!
//!     cargo run --release -p tailrace-store-embedded --example log_memory -- DIR [SEGMENTS] [SHARDS]
//!
//! A directory in DIR is made and removed; 1,000 segments of 10,000 shards take 2 GB.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn};
use tailrace_store::{ShardNo, StoreError};
use tailrace_store_embedded::files::RealFiles;
use tailrace_store_embedded::log::{Log, LogSettings, LoggedImage, LoggedWrite};

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let done = act();
    (done, start.elapsed())
}

/// The process's resident memory, bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn append(shard: u64) -> LoggedWrite {
    LoggedWrite::Append { shard: ShardNo(shard), meta: Bytes::from_static(b"m"), old: None, new: LoggedImage::None }
}

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("log-memory");
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (segments, shards) = (number(1000) as usize, number(10_000));
    let _ = std::fs::remove_dir_all(&base);
    let settings = LogSettings { segment_bytes: 256 * 1024, background: false, ..LogSettings::default() };
    let all: BTreeMap<ShardNo, Lsn> = (1..=shards).map(|shard| (ShardNo(shard), Lsn::ZERO)).collect();
    let log = Log::open(Arc::new(RealFiles), &base, settings.clone(), [1; 16], Lsn::ZERO)?;
    log.set_shards(all.clone());
    let numbers: Vec<u64> = (1..=shards).collect();
    let commits: Vec<Vec<LoggedWrite>> =
        numbers.chunks(1000).map(|some| some.iter().copied().map(append).collect()).collect();
    let (mut time_ms, mut last, mut in_memory, mut shown) = (0, Lsn::ZERO, 0, 0);
    while log.usage().segments < segments {
        time_ms += 1;
        let (done, took) = timed(|| {
            let mut group = log.group();
            commits.iter().try_for_each(|writes| group.push(EpochMs(time_ms), writes).map(drop))?;
            group.commit()
        });
        last = done?;
        log.set_persisted(last);
        let (kept, tick) = timed(|| log.keep());
        kept?;
        in_memory = in_memory.max(log.memory_bytes());
        if log.usage().segments >= shown + segments.div_ceil(5) {
            shown = log.usage().segments;
            let (resident, counted) = (resident() >> 20, log.memory_bytes() >> 20);
            println!(
                "{shown} segments: a group {took:?}, a tick {tick:?}; resident {resident} MiB, of that counted {counted} MiB"
            );
        }
    }
    let (moved, took) = timed(|| -> Result<(), StoreError> {
        for shard in 1..=shards {
            let position = log.position_at_time(ShardNo(shard), EpochMs(time_ms / 10), last)?;
            log.set_horizon(ShardNo(shard), position.next());
        }
        log.keep()
    });
    moved?;
    println!("a horizon for each of {shards} shards, a tenth of the way: {took:?}; {:?}", log.usage());
    let (page, took) = timed(|| log.read(ShardNo(shards / 2), Lsn(last.0 / 2), 1, 1 << 20, last));
    println!("a page of {} record in the middle: {took:?}", page?.records.len());
    log.close()?;
    drop(log);
    let (log, took) = timed(|| Log::open(Arc::new(RealFiles), &base, settings, [1; 16], last));
    println!("opened again in {took:?}; counted {} MiB", log?.memory_bytes() >> 20);
    let _ = std::fs::remove_dir_all(&base);
    Ok(())
}
