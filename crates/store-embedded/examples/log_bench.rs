//! Commits per second of the log alone: groups of 64 and 16 commits, each a put of a 100-byte item and a record with both
//! images, every group synced; then one reader over all records.
//!
//!     cargo run --release -p tailrace-store-embedded --example log_bench -- DIR [SECONDS]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tailrace_core::{EpochMs, Lsn};
use tailrace_store::{ShardNo, StoreError};
use tailrace_store_embedded::files::RealFiles;
use tailrace_store_embedded::log::{Log, LogSettings, LoggedImage, LoggedWrite};

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn commit(n: u64) -> Vec<LoggedWrite> {
    let mut key = b"i\0\0\0\0\0\0\0\x07ab".to_vec();
    key.extend_from_slice(format!("user {:08}", n % 10_000).as_bytes());
    let item = Bytes::from(format!("{n:0>100}"));
    let meta = Bytes::from(format!("MODIFY user {:08}", n % 10_000));
    vec![
        LoggedWrite::Put { key: Bytes::from(key), value: item.clone() },
        LoggedWrite::Append { shard: ShardNo(1 + n % 4), meta, old: Some(item), new: LoggedImage::OfWrite(0) },
    ]
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("log-bench");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(8u64).max(1);
    for group_commits in [64, 16, 1] {
        let _ = std::fs::remove_dir_all(&base);
        let log = Log::open(std::sync::Arc::new(RealFiles), &base, LogSettings::default(), [1; 16], Lsn::ZERO)?;
        log.set_shards(BTreeMap::from([1, 2, 3, 4].map(|shard| (ShardNo(shard), Lsn::ZERO))));
        let (start, mut took, mut n) = (now(), Vec::new(), 0);
        let mut last = Lsn::ZERO;
        while start.elapsed() < Duration::from_secs(seconds) {
            let commits: Vec<_> = (n..n + group_commits).map(commit).collect();
            n += group_commits;
            let begin = now();
            let mut group = log.group();
            for writes in &commits {
                group.push(EpochMs(n), writes)?;
            }
            last = group.commit()?;
            took.push(begin.elapsed());
        }
        let rate = n as f64 / start.elapsed().as_secs_f64();
        took.sort();
        let usage = log.usage();
        println!(
            "groups of {group_commits}: {rate:.0} commits/s, a group p50 {:?} p99 {:?} p99.9 {:?} max {:?}; {} bytes a commit",
            percentile(&took, 0.5),
            percentile(&took, 0.99),
            percentile(&took, 0.999),
            took[took.len() - 1],
            usage.bytes / n.max(1),
        );
        let (start, mut after, mut count) = (now(), Lsn::ZERO, 0);
        loop {
            let page = log.read(ShardNo(1), after, 1000, 1024 * 1024, last)?;
            count += page.records.len();
            after = page.next;
            if !page.more {
                break;
            }
        }
        println!("  one reader of one of 4 shards: {:.0} records/s", count as f64 / start.elapsed().as_secs_f64());
        drop(log);
        let start = now();
        let log = Log::open(std::sync::Arc::new(RealFiles), &base, LogSettings::default(), [1; 16], last)?;
        println!("  opened again in {:?} ({:?})", start.elapsed(), log.usage());
        log.close()?;
    }
    let _ = std::fs::remove_dir_all(&base);
    Ok(())
}
