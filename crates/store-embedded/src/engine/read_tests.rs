//! What reads do on the runtime's threads: they walk a bounded number of steps, and never wait for the disk.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use super::tests::{options, put_rows};
use super::*;
use tailrace_store::{Decision, commit};

const ONE: PageLimit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };

fn key(n: usize) -> Key {
    Key(Bytes::from(format!("\x40queue {n:06}")))
}

fn queue(reverse: bool) -> KeyRange {
    KeyRange { start: Bound::Included(key(0).0), end: Bound::Excluded(key(999_999).0), reverse }
}

async fn write_all(engine: &dyn Engine, rows: std::ops::Range<usize>, write: fn(Key) -> Write) {
    for from in rows.clone().step_by(2_000) {
        let writes: Vec<Write> = (from..rows.end.min(from + 2_000)).map(|n| write(key(n))).collect();
        commit(engine, &[], &[], |_| Decision::Apply(writes.clone(), ())).await.unwrap();
    }
}

/// From here on, what is said of the runtime's threads is of reads only, and the system has no block in memory.
fn begin_cold(engine: &EmbeddedEngine) {
    let hooks = &engine.state.tree.hooks;
    hooks.disk.cold.store(true, Ordering::Relaxed);
    hooks.disk.waits.store(0, Ordering::Relaxed);
    hooks.steps.store(0, Ordering::Relaxed);
}

/// Nothing has waited for the disk on the runtime, or walked there for long.
fn assert_short(engine: &EmbeddedEngine) {
    let hooks = &engine.state.tree.hooks;
    let (steps, waits) = (hooks.steps.load(Ordering::Relaxed), hooks.disk.waits.load(Ordering::Relaxed));
    // A step that does not fit in any more is counted, too: a block at most.
    assert!(steps <= limits::READ_INLINE_STEPS_MAX + 64, "{steps} steps");
    assert_eq!(waits, 0, "waits for the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_long_runs_on_the_runtime_behind_200_000_deleted_items() {
    const ITEMS: usize = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = Options { cache_bytes: 256 << 10, ..options() };
        EmbeddedEngine::open(dir.path(), options).unwrap()
    };
    let engine = open();
    write_all(&*engine, 0..ITEMS, |key| Write::Put { key, value: Bytes::from_static(b"an item") }).await;
    write_all(&*engine, 0..ITEMS - 1, |key| Write::Delete { key }).await;
    for reverse in [false, true] {
        let page = engine.page(queue(reverse), ONE).await.unwrap();
        assert_eq!((&page.rows[0].0, page.rows.len()), (&key(ITEMS - 1), 1));
    }
    put_rows(&*engine, &[key(7)], &Bytes::from_static(b"again")).await;
    assert_eq!(engine.page(queue(false), ONE).await.unwrap().rows[0].0, key(7));
    assert_short(&engine);
    engine.shutdown().await.unwrap();
    drop(engine);
    // From files, none of whose blocks the system says it has in memory.
    let engine = open();
    begin_cold(&engine);
    assert_eq!(engine.page(queue(false), ONE).await.unwrap().rows[0].0, key(7));
    assert_eq!(engine.page(queue(true), ONE).await.unwrap().rows[0].0, key(ITEMS - 1));
    let some = [key(3), key(7), key(ITEMS - 1), key(ITEMS)];
    let values = engine.get(&some).await.unwrap();
    let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
    assert_eq!(values, [None, Some(&b"again"[..]), Some(&b"an item"[..]), None]);
    assert_short(&engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_read_cold_keys_aside_and_lose_no_update() {
    const COUNTERS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    // Everything is flushed soon, and no block stays in the cache.
    let open = || {
        let options = Options { cache_bytes: 0, memtable_bytes: 8 << 10, ..options() };
        EmbeddedEngine::open(dir.path(), options).unwrap()
    };
    let engine = open();
    begin_cold(&engine);
    let adding: Vec<_> = (0..8)
        .map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for n in 0..COUNTERS * 4 {
                    let keys = [key((n * 7 + task) % COUNTERS)];
                    commit(&*engine, &[key(COUNTERS)], &keys, |reads| {
                        let before = reads.exclusive[0].as_deref().map_or(0, |value| value.len());
                        let value = Bytes::from(vec![b'x'; before + 1]);
                        Decision::Apply(vec![Write::Put { key: keys[0].clone(), value }], ())
                    })
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    for task in adding {
        task.await.unwrap();
    }
    let counters: Vec<Key> = (0..COUNTERS).map(key).collect();
    let values = engine.get(&counters).await.unwrap();
    let sum: usize = values.iter().map(|value| value.as_ref().map_or(0, Bytes::len)).sum();
    assert_eq!(sum, 8 * COUNTERS * 4);
    assert_short(&engine);
    engine.shutdown().await.unwrap();
    drop(engine);
    assert_eq!(open().get(&counters).await.unwrap(), values);
}
