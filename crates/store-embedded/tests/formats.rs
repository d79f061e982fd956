//! Data directories of every format that ever was open and hold what was written to them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_core::{EpochMs, IndexId, RecordNo, TableId};
use tailrace_store::keyspace::{CountChange, ItemCount, ItemCountKey, ItemSet};
use tailrace_store::{Engine, Key, StreamId};
use tailrace_store_embedded::{CheckReport, EmbeddedEngine, Options, check};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What `examples/format_fixture.rs` wrote: 20 items, the newest values 080 to 099, copies of all values but those of every
/// third number, a count, and 100 records.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_format_2_opens_with_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-2"), &data);
    assert_eq!(check(&data).unwrap(), CheckReport::default());
    let engine = EmbeddedEngine::open(&data, Options::new(Arc::new(ManualClock::at(EpochMs(0))), [1; 16])).unwrap();
    let keys: Vec<Key> = (0..20).map(|n| Key(Bytes::from(format!("\x40item {n:02}")))).collect();
    let values = engine.get(&keys).await.unwrap();
    for (n, value) in values.into_iter().enumerate() {
        assert_eq!(value.unwrap(), format!("value {:03}", 80 + n));
    }
    let copies: Vec<Key> = (0..100).map(|n| Key(Bytes::from(format!("\x40copy {n:02}")))).collect();
    for (n, value) in engine.get(&copies).await.unwrap().into_iter().enumerate() {
        // The last number of all has no successor.
        let expected = (n % 3 != 0 || n == 99).then(|| format!("value {n:03}"));
        assert_eq!(value, expected.map(Bytes::from), "{n}");
    }
    let set = ItemSet { table: TableId(300), index: IndexId(200) };
    let count = engine.get(&[ItemCountKey { set }.encode()]).await.unwrap().remove(0);
    // The sum of n - 50 for the numbers below 100 is below zero, and a count wraps.
    let expected = ItemCount { rows: 20, bytes: 0 }.changed(CountChange { rows: 0, bytes: -50 });
    assert_eq!(ItemCount::read(count.as_ref()), Some(expected));
    let mut seen = Vec::new();
    for shard in engine.shards(StreamId(1)).await.unwrap() {
        let page = engine.read_log(shard.shard, RecordNo::ZERO, 1000, usize::MAX).await.unwrap();
        assert!(page.records.is_sorted_by_key(|record| record.number));
        for record in page.records {
            let n: usize = std::str::from_utf8(&record.meta).unwrap().parse().unwrap();
            assert_eq!(record.new.unwrap(), format!("value {n:03}"));
            assert_eq!(
                record.old.map(|old| old.to_vec()),
                n.checked_sub(20).map(|n| format!("value {n:03}").into_bytes())
            );
            assert_eq!(record.time_ms, EpochMs(1_800_000_000_000));
            seen.push(n);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}
