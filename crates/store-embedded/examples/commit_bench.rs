//! Commits per second of the whole embedded engine: N tasks, each commits a 100-byte item with a record of both images
//! and waits for its answer, over K keys.
//!
//!     cargo run --release -p tailrace-store --example commit_bench -- DIR [SECONDS] [KEYS]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tailrace_core::EpochMs;

use bytes::Bytes;
use tailrace_core::Bucket;
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_store::keyspace::{ItemKey, TableId};
use tailrace_store::{BucketRange, Decision, Engine, NewImage, StoreError, StreamId, Write, commit};
use tailrace_store_embedded::{EmbeddedEngine, Options};

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

async fn put(engine: &dyn Engine, n: u64, seed: u64) -> Result<(), StoreError> {
    let bucket = Bucket((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16);
    let key = ItemKey::key(TableId(1), bucket, format!("user {n:08}").as_bytes(), &[]);
    let item = Bytes::from(format!("{seed:0>100}"));
    let meta = Bytes::from(format!("MODIFY user {n:08}"));
    let (stream, exclusive) = (StreamId(1), [key]);
    commit(engine, &[], &exclusive, |reads| {
        let (old, meta, new) = (reads.exclusive[0].clone(), meta.clone(), NewImage::OfWrite(0));
        let put = Write::Put { key: exclusive[0].clone(), value: item.clone() };
        Decision::Apply(vec![put, Write::Append { stream, bucket, meta, old, new }], ())
    })
    .await
    .map(|_| ())
}

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("commit-bench");
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(8);
    let keys: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.map_err(|error| StoreError::Io(error.to_string()))?;
    for tasks in [64u64, 16] {
        let _ = std::fs::remove_dir_all(&base);
        let clock = Arc::new(ManualClock::at(EpochMs(1_700_000_000_000)));
        let engine = EmbeddedEngine::open(&base, Options::new(clock, [1; 16]))?;
        runtime.block_on(async {
            let range = |n: u16| BucketRange { first: Bucket(n * 0x4000), last: Bucket(n * 0x4000 + 0x3fff) };
            let open = Write::OpenStream { stream: StreamId(1), ranges: (0..4).map(range).collect() };
            commit(&*engine, &[], &[], |_| Decision::Apply(vec![open.clone()], ())).await?;
            let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let start = now();
            let running: Vec<_> = (0..tasks)
                .map(|task| {
                    let (engine, stop, done) = (engine.clone(), stop.clone(), done.clone());
                    tokio::spawn(async move {
                        let (rng, mut took) = (SeededRng::new(task), Vec::new());
                        while !stop.load(Ordering::Relaxed) {
                            let seed = rng.next_u64();
                            let begin = now();
                            put(&*engine, seed % keys, seed).await?;
                            took.push(begin.elapsed());
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok::<_, StoreError>(took)
                    })
                })
                .collect();
            let mut last = 0;
            let mut rates = Vec::new();
            for _ in 0..seconds {
                let (begin, before) = (now(), last);
                while begin.elapsed() < Duration::from_secs(1) {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                last = done.load(Ordering::Relaxed);
                rates.push(last - before);
            }
            stop.store(true, Ordering::Relaxed);
            let rate = last as f64 / start.elapsed().as_secs_f64();
            let mut took = Vec::new();
            for task in running {
                let one = task.await.map_err(|error| StoreError::Io(error.to_string()))?;
                took.extend(one?);
            }
            took.sort_unstable();
            let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
            println!(
                "{tasks} tasks, {keys} keys: {rate:.0} commits/s; p50 {:?}, p99 {:?}, p99.9 {:?}, most {:?}; each second {rates:?}",
                at(0.5),
                at(0.99),
                at(0.999),
                at(1.0)
            );
            Ok::<_, StoreError>(())
        })?;
        runtime.block_on(engine.shutdown())?;
    }
    let _ = std::fs::remove_dir_all(&base);
    Ok(())
}
