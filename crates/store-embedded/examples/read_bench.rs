//! Reads per second of the embedded engine, without HTTP: points that are in memtables, in cached blocks, and spread over
//! many tables; scans in pages of 1 MB; pages of 100 rows; the head of a queue behind deleted rows.
//!
//!     cargo run --release -p tailrace-store-embedded --example read_bench -- DIR [MANY_KEYS]
//!
//! DIR should be on the disk to be measured; a directory in it is made and removed.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_core::{Bucket, EpochMs, TableId};
use tailrace_store::keyspace::ItemKey;
use tailrace_store::{Decision, Engine, Key, KeyRange, PageLimit, StoreError, Write, commit};
use tailrace_store_embedded::{EmbeddedEngine, Options};

/// The bench is a shell of its own: it owns the clock that it measures with.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

const SECONDS: u64 = 3;
const SMALL_KEYS: u64 = 10_000;

fn key(table: u64, n: u64) -> Key {
    let bucket = Bucket((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16);
    ItemKey::key(TableId(table), bucket, format!("user {n:08}").as_bytes(), &[])
}

async fn write_all(engine: &dyn Engine, n: u64, write: impl Fn(u64) -> Write) -> Result<(), StoreError> {
    for from in (0..n).step_by(500) {
        let writes: Vec<Write> = (from..n.min(from + 500)).map(&write).collect();
        commit(engine, &[], &[], |_| Decision::Apply(writes.clone(), ())).await?;
    }
    Ok(())
}

async fn fill(engine: &dyn Engine, table: u64, keys: u64) -> Result<(), StoreError> {
    write_all(engine, keys, |n| {
        let words = (0..6)
            .map(|w| (n ^ w).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .fold(String::new(), |t, w| t + &format!("{w:016x}"));
        Write::Put { key: key(table, n), value: Bytes::from(format!("{n:0>20}{words}")) }
    })
    .await
}

/// Runs `one` over and over in so many tasks, and prints the rate and the latencies.
async fn race<F, R>(what: &str, tasks: u64, one: F) -> Result<(), StoreError>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), StoreError>> + Send,
{
    let (one, start) = (Arc::new(one), now());
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let one = one.clone();
            tokio::spawn(async move {
                let (rng, mut took) = (SeededRng::new(task), Vec::new());
                while start.elapsed() < Duration::from_secs(SECONDS) {
                    let begin = now();
                    one(rng.next_u64()).await?;
                    took.push(begin.elapsed());
                    if took.len().is_multiple_of(16) {
                        tokio::task::yield_now().await;
                    }
                }
                Ok::<_, StoreError>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in running {
        took.extend(task.await.map_err(|error| StoreError::Io(error.to_string()))??);
    }
    let rate = took.len() as f64 / start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{what}: {rate:.0}/s; p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
    Ok(())
}

async fn gets(engine: &Arc<EmbeddedEngine>, what: &str, table: u64, keys: u64) -> Result<(), StoreError> {
    let engine = engine.clone();
    race(what, 64, move |random| {
        let (engine, key) = (engine.clone(), [key(table, random % keys)]);
        async move {
            let values = engine.get(&key).await?;
            assert!(values[0].is_some(), "every key is there");
            Ok(())
        }
    })
    .await
}

async fn scan(engine: &Arc<EmbeddedEngine>, table: u64) -> Result<(), StoreError> {
    let limit = PageLimit { rows_max: usize::MAX, cost_max: 1 << 20, cost: |key, value| key.len() + value.len() };
    for turn in ["first", "again"] {
        let (mut range, mut rows, start) = (ItemKey::table_range(TableId(table)), 0, now());
        loop {
            let page = engine.page(range.clone(), limit).await?;
            rows += page.rows.len();
            let Some((last, _)) = page.rows.last().filter(|_| page.limited) else { break };
            range.start = Bound::Excluded(last.0.clone());
        }
        println!(
            "a scan in pages of 1 MB, {turn}: {:.0} rows/s of {rows}",
            rows as f64 / start.elapsed().as_secs_f64()
        );
    }
    let engine = engine.clone();
    race("pages of 100 rows, 16 tasks", 16, move |random| {
        let range = ItemKey::table_range(TableId(table));
        let (engine, start) = (engine.clone(), Bound::Included(key(table, random % 1_000_000).0));
        async move {
            let limit = PageLimit { rows_max: 100, cost_max: 1 << 20, cost: |key, value| key.len() + value.len() };
            engine.page(KeyRange { start, ..range }, limit).await.map(|_| ())
        }
    })
    .await
}

async fn queue(engine: &Arc<EmbeddedEngine>) -> Result<(), StoreError> {
    const ITEMS: u64 = 200_000;
    let key = |n: u64| ItemKey::key(TableId(9), Bucket(7), b"queue", format!("{n:08}").as_bytes());
    write_all(&**engine, ITEMS, |n| Write::Put { key: key(n), value: Bytes::from_static(b"an item") }).await?;
    write_all(&**engine, ITEMS - 1, |n| Write::Delete { key: key(n) }).await?;
    let limit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    for turn in ["first", "second"] {
        let start = now();
        let page = engine.page(ItemKey::table_range(TableId(9)), limit).await?;
        println!(
            "the head behind {ITEMS} deleted rows, {turn} reader: {:?} ({} row)",
            start.elapsed(),
            page.rows.len()
        );
    }
    Ok(())
}

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned())).join("read-bench");
    let many: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.map_err(|error| StoreError::Io(error.to_string()))?;
    let _ = std::fs::remove_dir_all(&base);
    let open =
        || EmbeddedEngine::open(&base, Options::new(Arc::new(ManualClock::at(EpochMs(1_700_000_000_000))), [1; 16]));
    runtime.block_on(async {
        let engine = open()?;
        fill(&*engine, 1, SMALL_KEYS).await?;
        gets(&engine, "points in a memtable", 1, SMALL_KEYS).await?;
        engine.shutdown().await?;
        drop(engine);
        let engine = open()?;
        gets(&engine, "points in cached blocks", 1, SMALL_KEYS).await?;
        queue(&engine).await?;
        fill(&*engine, 2, many).await?;
        gets(&engine, &format!("points of {many} keys"), 2, many).await?;
        scan(&engine, 2).await?;
        engine.shutdown().await
    })?;
    let _ = std::fs::remove_dir_all(&base);
    Ok(())
}
