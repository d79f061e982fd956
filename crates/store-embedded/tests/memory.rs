//! What a store takes in memory, as the allocator counts it. Alone in its binary: nothing else may allocate beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_core::{Bucket, EpochMs};
use tailrace_store::{BucketRange, Decision, Engine, Key, NewImage, StreamId, Write, commit};
use tailrace_store_embedded::{EmbeddedEngine, Options};

struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: as the caller has it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: as the caller has it.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn open(dir: &Path) -> Arc<EmbeddedEngine> {
    EmbeddedEngine::open(dir, Options::new(Arc::new(ManualClock::at(EpochMs(1))), [1; 16])).unwrap()
}

async fn write(engine: &dyn Engine, writes: Vec<Write>) {
    commit(engine, &[], &[], |_| Decision::Apply(writes.clone(), ())).await.unwrap();
}

fn key(n: usize) -> Key {
    Key(Bytes::from(format!("\x40a key of thirty bytes {n:08}")))
}

/// What a row of 33 and 40 bytes takes that is written so many times, on average, in a memtable that is not full.
async fn bytes_a_row(dir: &Path, times: usize) -> i64 {
    const ROWS: usize = 10_000;
    let engine = open(dir);
    write(&*engine, vec![Write::Put { key: key(ROWS), value: Bytes::new() }]).await;
    let before = HELD.load(Relaxed);
    for _ in 0..times {
        for piece in 0..ROWS / 100 {
            let put = |n| Write::Put { key: key(n), value: Bytes::from(vec![7; 40]) };
            write(&*engine, (piece * 100..(piece + 1) * 100).map(put).collect()).await;
        }
    }
    // So that the last group's writes are dropped.
    write(&*engine, vec![Write::Put { key: key(ROWS), value: Bytes::new() }]).await;
    (HELD.load(Relaxed) - before) / ROWS as i64
}

async fn rows_take_what_they_are_counted_for() {
    let dir = tempfile::tempdir().unwrap();
    for times in [1, 2, 5, 6] {
        let found = bytes_a_row(&dir.path().join(times.to_string()), times as usize).await;
        // What a memtable counts: see there.
        let counted = 304 + 33 + 40 + (times - 1) * (88 + 40);
        assert!(found <= counted * 11 / 10, "{found} bytes a row that is written {times} times, counted as {counted}");
    }
}

/// Deleted rows whose records have old images of 256 KiB: 32 MiB of log for some KiB of rows.
async fn a_replay_holds_no_more_than_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    write(&*engine, vec![Write::OpenStream { stream: StreamId(1), ranges: vec![BucketRange::ALL] }]).await;
    for n in 0..128 {
        let (meta, old) = (Bytes::new(), Some(Bytes::from(vec![7; 256 * 1024])));
        let append = Write::Append { stream: StreamId(1), bucket: Bucket(0), meta, old, new: NewImage::None };
        write(&*engine, vec![Write::Delete { key: key(n) }, append]).await;
    }
    drop(engine);
    let before = HELD.load(Relaxed);
    let _engine = open(dir.path());
    let held = HELD.load(Relaxed) - before;
    assert!(held < 4 * 1024 * 1024, "{held} bytes are held for 128 deleted rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_what_it_is_counted_for() {
    rows_take_what_they_are_counted_for().await;
    a_replay_holds_no_more_than_its_rows().await;
}
