//! Commits per second of the whole embedded engine, without HTTP: tasks that each read an item, put it and append a
//! record with both images, over 10,000 keys of 100 bytes.
//!
//!     cargo run --release -p tailrace-store --example store_bench -- DIR [SECONDS]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tailrace_core::clock::Clock;
use tailrace_core::{Bucket, EpochMs};
use tailrace_store::{BucketRange, Decision, Engine, Key, NewImage, StoreError, StreamId, Write, commit};
use tailrace_store_embedded::{EmbeddedEngine, Options};

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

struct WallClock(std::time::Instant);

impl Clock for WallClock {
    fn now(&self) -> EpochMs {
        EpochMs(1_800_000_000_000 + self.0.elapsed().as_millis() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

async fn put(engine: &dyn Engine, n: u64) -> Result<(), StoreError> {
    let k = n.wrapping_mul(0x9E37_79B9) % 10_000;
    let key = [Key(Bytes::from(format!("\x40item {k:08}")))];
    let bucket = (k * 65536 / 10_000) as u16;
    let done = commit(engine, &[], &key, |reads| {
        let value = Bytes::from(format!("{n:0>100}"));
        let (old, meta) = (reads.exclusive[0].clone(), Bytes::from(format!("MODIFY {k:08}")));
        let put = Write::Put { key: key[0].clone(), value };
        Decision::Apply(
            vec![
                put,
                Write::Append { stream: StreamId(1), bucket: Bucket(bucket), meta, old, new: NewImage::OfWrite(0) },
            ],
            (),
        )
    });
    done.await.map(|_| ())
}

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("store-bench");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(8u64).max(1);
    for tasks in [64u64, 16] {
        let _ = std::fs::remove_dir_all(&base);
        let begin = now();
        let engine = EmbeddedEngine::open(&base, Options::new(Arc::new(WallClock(now())), [1; 16]))?;
        println!("opened an empty directory in {:?}", begin.elapsed());
        let marker = [Key(Bytes::from_static(b"\x01bench"))];
        let ranges: Vec<_> =
            (0..4u16).map(|i| BucketRange { first: Bucket(i * 16384), last: Bucket(i * 16384 + 16383) }).collect();
        let open = || Write::OpenStream { stream: StreamId(1), ranges: ranges.clone() };
        commit(engine.as_ref(), &[], &marker, |_| Decision::Apply(vec![open()], ())).await?;
        let start = now();
        let running = (0..tasks).map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let (mut n, mut took) = (task << 32, Vec::new());
                while start.elapsed() < Duration::from_secs(seconds) {
                    let begin = now();
                    put(engine.as_ref(), n).await?;
                    took.push(begin.elapsed());
                    n += 1;
                }
                Ok::<_, StoreError>(took)
            })
        });
        let mut took = Vec::new();
        for task in running.collect::<Vec<_>>() {
            took.extend(task.await.expect("a task of the bench ends")?);
        }
        took.sort();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "{tasks} tasks: {:.0} commits/s, p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
            took.len() as f64 / start.elapsed().as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999),
            took[took.len() - 1]
        );
        engine.shutdown().await?;
    }
    let _ = std::fs::remove_dir_all(&base);
    Ok(())
}
