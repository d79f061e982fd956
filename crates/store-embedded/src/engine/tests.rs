//! The embedded engine on real files: what the contract suite cannot see from outside.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::EpochMs;
use tailrace_core::clock::ManualClock;
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{BucketRange, Decision, Declared, Seen, commit_declared};

use super::*;
use crate::check::{CheckReport, check};
use crate::files::{Fault, FileErrorKind, FileOp, SectorFate, SimFiles};

pub(super) fn options() -> Options {
    let log = LogSettings { segment_bytes: 1 << 20, ..LogSettings::default() };
    Options { fatal: Arc::new(|_| {}), log, ..Options::new(Arc::new(ManualClock::at(EpochMs(1_000))), [7; 16]) }
}

async fn put(engine: &dyn Engine, name: &str, value: &'static [u8]) {
    let key = SettingKey::key(name);
    let write = Write::Put { key: key.clone(), value: Bytes::from_static(value) };
    let body = Box::new(move |_: &Reads<'_>| Some(vec![write.clone()]));
    let receipt = engine.commit(CommitRequest::new(&[], &[key], body)).await.unwrap();
    assert!(receipt.wrote);
}

async fn get(engine: &dyn Engine, name: &str) -> Option<Bytes> {
    engine.get(&[SettingKey::key(name)]).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill_and_after_a_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    put(&*engine, "a", b"1").await;
    drop(engine);
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
    put(&*engine, "a", b"2").await;
    engine.shutdown().await.unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"2"[..]));
    assert!(
        EmbeddedEngine::open(dir.path(), options()).err().unwrap().to_string().contains("in use by another process")
    );
    assert!(check(dir.path()).unwrap().in_use);
    engine.shutdown().await.unwrap();
    assert_eq!(check(dir.path()).unwrap(), CheckReport::default());
}

fn simulated(files: &SimFiles, fatal: FatalHook) -> Options {
    Options { files: Arc::new(files.clone()), fatal, ..options() }
}

fn refusal(dir: &Path, options: Options) -> String {
    EmbeddedEngine::open(dir, options).err().expect("the directory is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_told_that_the_directory_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _first = EmbeddedEngine::open(dir.path(), options()).unwrap();
    let expected = format!("the data directory {} is in use by another process", dir.path().display());
    assert_eq!(refusal(dir.path(), options()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_format_an_earlier_and_a_broken_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(EmbeddedEngine::open(dir.path(), options()).unwrap());
    let file = dir.path().join("FORMAT");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "tailrace 2\n");
    std::fs::write(&file, "tailrace 3\n").unwrap();
    let expected = format!("{}: format 3 is newer than this tailrace, which knows formats up to 2", file.display());
    assert_eq!(refusal(dir.path(), options()), expected);
    std::fs::write(&file, "tailrace 1\n").unwrap();
    let expected = format!("{}: format 1 is of an earlier tailrace, and this one knows format 2 only", file.display());
    assert_eq!(refusal(dir.path(), options()), expected);
    std::fs::write(&file, "hello").unwrap();
    assert!(refusal(dir.path(), options()).contains("FORMAT: offset 0: expected `tailrace <number>`, found \"hello\""));
    std::fs::remove_file(&file).unwrap();
    assert!(refusal(dir.path(), options()).contains("FORMAT: missing beside a log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_one_clear_error() {
    let (files, dir) = (SimFiles::new(), tempfile::tempdir().unwrap());
    let kind = FileErrorKind::Other;
    files.inject(Fault { op: FileOp::Lock, path_part: "LOCK".to_owned(), after: 0, times: 1, kind });
    let refused = refusal(dir.path(), simulated(&files, Arc::new(|_| {})));
    assert!(refused.starts_with(&format!("cannot lock {}: ", dir.path().join("LOCK").display())), "{refused}");
    let not_a_directory = dir.path().join("file");
    std::fs::write(&not_a_directory, "").unwrap();
    let refused = refusal(&not_a_directory, options());
    assert!(refused.contains(&not_a_directory.display().to_string()), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_calls_the_fatal_hook_and_loses_nothing_that_was_acknowledged() {
    let (files, dir) = (SimFiles::new(), tempfile::tempdir().unwrap());
    let called = Arc::new(Mutex::new(Vec::new()));
    let hook = called.clone();
    let options = simulated(&files, Arc::new(move |error| hook.lock().push(error.to_string())));
    let engine = EmbeddedEngine::open(dir.path(), options).unwrap();
    put(&*engine, "a", b"1").await;
    let kind = FileErrorKind::Other;
    files.inject(Fault { op: FileOp::Sync, path_part: ".seg".to_owned(), after: 0, times: usize::MAX, kind });
    let key = SettingKey::key("a");
    let write = Write::Put { key: key.clone(), value: Bytes::from_static(b"2") };
    let body = Box::new(move |_: &Reads<'_>| Some(vec![write.clone()]));
    let failed = engine.commit(CommitRequest::new(&[], &[key], body)).await;
    assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
    assert!(called.lock().iter().any(|text| text.contains(".seg")), "{:?}", called.lock());
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]), "an unsynced write is not shown");
    let left = files.survivor(usize::MAX, &mut |_| SectorFate::Lost);
    drop(engine);
    let engine = EmbeddedEngine::open(dir.path(), simulated(&left, Arc::new(|_| {}))).unwrap();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() {
    let (files, dir) = (SimFiles::new(), tempfile::tempdir().unwrap());
    let engine = EmbeddedEngine::open(dir.path(), simulated(&files, Arc::new(|error| panic!("{error}")))).unwrap();
    put(&*engine, "first", b"1").await;
    files.set_room(Some(files.used_bytes()));
    let value = Bytes::from(vec![7; 100_000]);
    let attempt = async |n: usize| {
        let key = SettingKey::key(&format!("k{n:03}"));
        let write = Write::Put { key: key.clone(), value: value.clone() };
        let body = Box::new(move |_: &Reads<'_>| Some(vec![write.clone()]));
        engine.commit(CommitRequest::new(&[], &[key], body)).await
    };
    let mut acknowledged = 0;
    let refused = loop {
        match attempt(acknowledged).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "the disk never fills");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    assert_eq!(get(&*engine, "first").await.as_deref(), Some(&b"1"[..]), "reads go on");
    files.set_room(None);
    attempt(acknowledged).await.unwrap();
    let left = files.killed();
    engine.kill();
    let engine = EmbeddedEngine::open(dir.path(), simulated(&left, Arc::new(|_| {}))).unwrap();
    for n in 0..=acknowledged {
        assert_eq!(get(&*engine, &format!("k{n:03}")).await.as_ref(), Some(&value), "{n}");
    }
}

/// Fills a directory whose tree then has one file, which no compaction replaces, and shuts it down.
async fn filled(dir: &Path) {
    let engine = EmbeddedEngine::open(dir, options()).unwrap();
    for n in 0..200 {
        put(&*engine, &format!("key {n:03}"), b"a value that is long enough to be recognised").await;
    }
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_tree_file_is_named_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let tables = dir.path().join("tree/tables");
    let table = std::fs::read_dir(&tables).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&table).unwrap();
    let (mut on_read, mut on_open) = (0, 0);
    for offset in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 0x10;
        std::fs::write(&table, damaged).unwrap();
        let found = check(dir.path()).unwrap().faults;
        assert!(found.iter().any(|line| line.contains(&table.display().to_string())), "{offset}: {found:?}");
        let told = Arc::new(Mutex::new(Vec::new()));
        let hook = told.clone();
        let fatal: FatalHook = Arc::new(move |error| hook.lock().push(error.to_string()));
        match EmbeddedEngine::open(dir.path(), Options { fatal, ..options() }) {
            Err(error) => {
                assert!(error.to_string().contains(&table.display().to_string()), "{offset}: {error}");
                on_open += 1;
            }
            Ok(engine) => {
                for n in 0..200 {
                    match engine.get(&[SettingKey::key(&format!("key {n:03}"))]).await {
                        Ok(values) => {
                            let value = values[0].as_deref();
                            assert_eq!(value, Some(&b"a value that is long enough to be recognised"[..]), "{offset}");
                        }
                        Err(error) => {
                            assert!(error.to_string().contains(&table.display().to_string()), "{offset}: {error}");
                            let told = told.lock();
                            assert!(told.contains(&error.to_string()), "{error} is not among {told:?}");
                            on_read += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(on_read > 0 && on_open > 0, "{on_read} {on_open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_flushes_and_replays_within_bounds_and_keeps_shards() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options { memtable_bytes: 32 << 10, ..options() };
    let mut engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    for round in 0..4u32 {
        for n in 0..200u32 {
            let (name, value) = (format!("k{:03}", (n * 7 + round) % 300), (round * 1000 + n).to_string());
            let write = Write::Put { key: SettingKey::key(&name), value: Bytes::from(value.clone()) };
            let body = Box::new(move |_: &Reads<'_>| Some(vec![write.clone()]));
            let exclusive = [SettingKey::key(&name)];
            engine.commit(CommitRequest::new(&[], &exclusive, body)).await.unwrap();
            assert_eq!(get(&*engine, &name).await.unwrap(), value);
        }
        let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        let before = engine.page(SettingKey::range(), limit).await.unwrap().rows;
        drop(engine);
        engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
        assert_eq!(engine.page(SettingKey::range(), limit).await.unwrap().rows, before);
        assert!(engine.state.tree.sealed_memtables() <= limits::SEALED_MEMTABLES_MAX);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reclaimed_range_goes_on_emptying_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    for n in 0..30 {
        let writes: Vec<Write> = (0..40)
            .map(|m| Write::Put { key: SettingKey::key(&format!("m{n:02}{m:02}")), value: Bytes::from_static(b"x") })
            .collect();
        let body = Box::new(move |_: &Reads<'_>| Some(writes.clone()));
        engine.commit(CommitRequest::new(&[], &[], body)).await.unwrap();
    }
    put(&*engine, "n", b"stays").await;
    let range = tailrace_store::keyspace::prefix_range(SettingKey::key("m").as_bytes());
    engine.reclaim(range.clone()).await.unwrap();
    drop(engine);
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    let limit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let waiting = engine.clone();
    tokio::task::spawn_blocking(move || wait_reclaimed(&waiting)).await.unwrap();
    assert!(engine.page(range, limit).await.unwrap().rows.is_empty());
    assert_eq!(get(&*engine, "n").await.as_deref(), Some(&b"stays"[..]));
}

/// The keys of a range that nothing can reach any more, and the range.
fn unreachable(n: usize) -> (Vec<Key>, KeyRange) {
    let key = |n: usize| Key(Bytes::from(format!("\x40gone {n:06}")));
    let range = KeyRange {
        start: Bound::Included(Bytes::from_static(b"\x40gone ")),
        end: Bound::Excluded(Bytes::from_static(b"\x40gone!")),
        reverse: false,
    };
    ((0..n).map(key).collect(), range)
}

pub(super) async fn put_rows(engine: &dyn Engine, keys: &[Key], value: &Bytes) {
    let put = |key: &Key| Write::Put { key: key.clone(), value: value.clone() };
    for keys in keys.chunks(50) {
        let writes: Vec<Write> = keys.iter().map(put).collect();
        let body = Box::new(move |_: &Reads<'_>| Some(writes.clone()));
        engine.commit(CommitRequest::new(&[], &[], body)).await.unwrap();
    }
}

/// Waits until no range is being removed any more.
fn wait_reclaimed(engine: &EmbeddedEngine) {
    let limit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let state = &engine.state;
    while !state.tree.page(&KeyKind::Reclaim.range(), limit).unwrap().rows.is_empty() {
        state.chores.wait_a_while(std::time::Duration::from_millis(20));
    }
}

fn tree_bytes(dir: &Path) -> u64 {
    let tables = std::fs::read_dir(dir.join("tree/tables")).unwrap();
    // One that goes meanwhile counts nothing.
    tables.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_go_on_while_a_range_is_removed_and_its_space_comes_back_without_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options { memtable_bytes: 16 << 10, ..options() };
    let engine = EmbeddedEngine::open(dir.path(), small).unwrap();
    let (keys, range) = unreachable(4000);
    let value = Bytes::from((0..200u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>());
    put_rows(&*engine, &keys, &value).await;
    put(&*engine, "kept", b"1").await;
    let before = tree_bytes(dir.path());
    assert!(before > 500_000, "{before}");
    engine.reclaim(range.clone()).await.unwrap();
    let others: Vec<Key> = (0..3000).map(|n| Key(Bytes::from(format!("\x40other {n:06}")))).collect();
    let short = Bytes::from_static(b"some value");
    let writing = put_rows(&*engine, &others, &short);
    tokio::time::timeout(std::time::Duration::from_secs(60), writing).await.expect("writes go on");
    let waiting = engine.clone();
    tokio::task::spawn_blocking(move || wait_reclaimed(&waiting)).await.unwrap();
    let limit = PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 };
    assert!(engine.page(range, limit).await.unwrap().rows.is_empty());
    assert_eq!(get(&*engine, "kept").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(engine.get(&others[..1]).await.unwrap()[0].as_deref(), Some(&b"some value"[..]));
    engine.shutdown().await.unwrap();
    assert!(tree_bytes(dir.path()) * 3 < before, "{} of {before} bytes are left", tree_bytes(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_fills_files_of_its_own_gives_their_space_back_without_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options { memtable_bytes: 1 << 20, log: LogSettings::default(), ..options() };
    let engine = EmbeddedEngine::open(dir.path(), small).unwrap();
    let (keys, range) = unreachable(3000);
    let noise = (0..2000u64).flat_map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).to_le_bytes());
    put_rows(&*engine, &keys, &Bytes::from(noise.collect::<Vec<_>>())).await;
    // Once they are compacted, most of the rows are in tables that hold nothing else.
    engine.state.tree.seal_if_due(engine.state.published.last(), true);
    engine.state.tree.flush(&mut |_| ()).unwrap();
    engine.state.tree.compact(&|| false, &mut || ()).unwrap();
    let before = tree_bytes(dir.path());
    assert!(before > 20 << 20, "{before}");
    engine.reclaim(range).await.unwrap();
    let waiting = engine.clone();
    tokio::task::spawn_blocking(move || wait_reclaimed(&waiting)).await.unwrap();
    // A compaction that was under way holds its tables until it ends.
    let engine = engine.clone();
    let shrunk = tokio::task::spawn_blocking(move || {
        let state = &engine.state;
        while tree_bytes(dir.path()) * 2 >= before {
            assert!(
                state.chores.wait_a_while(std::time::Duration::from_secs(120)),
                "{} of {before} bytes are left",
                tree_bytes(dir.path())
            );
        }
    });
    shrunk.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shutdown_ends_while_a_range_is_removed_and_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options { memtable_bytes: 16 << 10, ..options() };
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    let (keys, range) = unreachable(5000);
    put_rows(&*engine, &keys, &Bytes::from_static(b"some value of some length")).await;
    engine.reclaim(range.clone()).await.unwrap();
    let ending = tokio::time::timeout(std::time::Duration::from_secs(60), engine.shutdown());
    ending.await.expect("the shutdown ends").unwrap();
    drop(engine);
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    let waiting = engine.clone();
    tokio::task::spawn_blocking(move || wait_reclaimed(&waiting)).await.unwrap();
    let limit = PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 };
    assert!(engine.page(range, limit).await.unwrap().rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_older_tree_is_refused_once_the_log_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options {
        memtable_bytes: 32 << 10,
        log: LogSettings { segment_bytes: 256 << 10, ..LogSettings::default() },
        ..options()
    };
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    put(&*engine, "first", b"1").await;
    engine.shutdown().await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&dir.path().join("tree"), &copy.path().join("tree"));
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    let keys: Vec<Key> = (0..400).map(|n| Key(Bytes::from(format!("\x40row {n:06}")))).collect();
    put_rows(&*engine, &keys, &Bytes::from(vec![7; 1000])).await;
    engine.shutdown().await.unwrap();
    drop(engine);
    // A start frees what is not needed any more.
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    put_rows(&*engine, &keys, &Bytes::from(vec![8; 1000])).await;
    engine.shutdown().await.unwrap();
    drop(engine);
    let tree = dir.path().join("tree");
    std::fs::rename(&tree, dir.path().join("aside")).unwrap();
    let refused = refusal(dir.path(), small());
    assert!(refused.contains("superblock") && refused.contains("missing, or an older copy"), "{refused}");
    let _made = std::fs::remove_dir_all(&tree);
    copy_dir(&copy.path().join("tree"), &tree);
    assert!(refusal(dir.path(), small()).contains("missing, or an older copy"));
    std::fs::remove_dir_all(&tree).unwrap();
    std::fs::rename(dir.path().join("aside"), &tree).unwrap();
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    assert_eq!(engine.get(&keys[..1]).await.unwrap()[0].as_deref(), Some(&vec![8; 1000][..]));
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn the_offline_check_makes_nothing_and_says_what_is_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for path in [dir.path(), &missing] {
        let error = check(path).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not a data directory: it has no file FORMAT", path.display()));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Nothing of the log may go before the tree's files hold it durably: here a flush takes for ever, and then the power goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_a_flush_is_not_durable_nothing_of_the_log_goes() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let small = || Options {
        memtable_bytes: 256 << 10,
        log: LogSettings { segment_bytes: 128 << 10, ..LogSettings::default() },
        ..options()
    };
    let engine = EmbeddedEngine::open(dir.path(), small()).unwrap();
    let (keys, _) = unreachable(1500);
    {
        let held = engine.clone();
        let (release, until) = std::sync::mpsc::channel::<()>();
        let holding = std::thread::spawn(move || {
            let _no_table_is_written = held.state.tree.writing.write();
            until.recv().ok();
        });
        put_rows(&*engine, &keys, &Bytes::from(vec![7; 300])).await;
        assert!(engine.state.tree.sealed_memtables() >= 2, "{}", engine.state.tree.sealed_memtables());
        // The keeper has had its turn with everything that it was told.
        engine.state.log.keep().unwrap();
        copy_dir(dir.path(), &copy.path().join("left"));
        drop(release);
        holding.join().unwrap();
    }
    drop(engine);
    let engine = EmbeddedEngine::open(copy.path().join("left"), small()).unwrap();
    for value in engine.get(&keys).await.unwrap() {
        assert_eq!(value.as_deref(), Some(&[7; 300][..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_stream_is_not_seen_before_its_shards() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    let reading = engine.state.published.shards();
    let maker = tokio::spawn({
        let engine = engine.clone();
        async move {
            let key = SettingKey::key("stream");
            let put = Write::Put { key: key.clone(), value: Bytes::new() };
            let open = Write::OpenStream { stream: StreamId(1), ranges: vec![BucketRange::ALL] };
            let body = Box::new(move |_: &Reads<'_>| Some(vec![put.clone(), open.clone()]));
            engine.commit(CommitRequest::new(&[], &[key], body)).await
        }
    });
    // Nobody gets the shards to read any more once the applier waits to change them.
    while engine.state.published.shards_unless_they_change().is_some() {
        std::thread::yield_now();
    }
    assert_eq!(engine.state.tree.get(&SettingKey::key("stream").0).unwrap(), None);
    drop(reading);
    maker.await.unwrap().unwrap();
    assert!(get(&*engine, "stream").await.is_some());
    assert_eq!(engine.shards(StreamId(1)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_needs_more_room_than_usual_runs_its_body_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    for bytes in [1, 20_000, 200_000] {
        let key = SettingKey::key("a");
        let put = Write::Put { key: key.clone(), value: Bytes::from(vec![1; bytes]) };
        let mut runs = 0;
        let body = Box::new(|_: &Reads<'_>| {
            runs += 1;
            Some(vec![put.clone()])
        });
        engine.commit(CommitRequest::new(&[], &[key], body)).await.unwrap();
        assert_eq!(runs, 1, "{bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_above_the_bound_is_refused_at_once_beside_a_full_queue() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    let in_flight = limits::COMMIT_QUEUE_UNITS_MAX - 8;
    let _in_flight = engine.state.queue.room.clone().acquire_many_owned(in_flight).await.unwrap();
    let key = SettingKey::key("large");
    let write = Write::Put { key: key.clone(), value: Bytes::from(vec![7; 1 << 20]) };
    let body = Box::new(move |_: &Reads<'_>| Some(vec![write.clone()]));
    let exclusive = [key];
    let answer = engine.commit(CommitRequest::new(&[], &exclusive, body)).now_or_never();
    assert!(matches!(answer, Some(Err(StoreError::Invalid(_)))), "{answer:?}");
}

/// Groups of all sizes, so that both threads apply some; memtables are sealed, flushed and merged beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_is_overlooked_by_who_has_seen_rows_before_and_what_is_answered_is_visible() {
    const WRITERS: usize = 240;
    const ROUNDS: usize = 8;
    const COMMITS: usize = 8;
    const KEYS: usize = 120;
    let dir = tempfile::tempdir().unwrap();
    let small = Options { memtable_bytes: 64 << 10, ..options() };
    let engine = EmbeddedEngine::open(dir.path(), small).unwrap();
    let number = |value: &Bytes| std::str::from_utf8(value).unwrap().parse::<usize>().unwrap();
    let name = |n: usize| format!("k{:03}", n % KEYS);
    for n in 0..KEYS {
        put(&*engine, &name(n), b"0").await;
    }
    // Some commits for a page: what they have seen is older and older.
    let write = async move |engine: &EmbeddedEngine, n: usize, round: usize| {
        let limit = PageLimit { rows_max: 3, cost_max: usize::MAX, cost: |_, _| 0 };
        let range = KeyRange { start: Bound::Included(SettingKey::key(&name(n)).0), ..SettingKey::range() };
        let page = engine.page(range, limit).await.unwrap();
        let (keys, values): (Vec<Key>, Vec<Bytes>) = page.rows.into_iter().unzip();
        for commit in 0..COMMITS {
            let filler = SettingKey::key(&format!("{n} {round} {commit}"));
            let exclusive: Vec<Key> = keys.iter().cloned().chain([filler.clone()]).collect();
            let seen = Some(Seen { at: page.at, values: &values });
            let declared = Declared { exclusive: &exclusive, seen, ..Declared::default() };
            let committed = commit_declared(engine, declared, |reads| {
                let new = number(reads.exclusive[0].as_ref().unwrap()) + 1;
                let put = Write::Put { key: keys[0].clone(), value: new.to_string().into() };
                let filler = Write::Put { key: filler.clone(), value: Bytes::from_static(&[7; 300]) };
                Decision::Apply(vec![put, filler], new)
            });
            let new = committed.await.unwrap().answer;
            let found = number(&get(engine, &name(n)).await.unwrap());
            assert!(found >= new, "{found} was found behind {new}");
        }
    };
    // Fewer and fewer at once.
    let rounds = |n: usize| n % ROUNDS + 1;
    let writers = (0..WRITERS).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for round in 0..rounds(n) {
                write(&engine, n, round).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut sum = 0;
    for n in 0..KEYS {
        sum += number(&get(&*engine, &name(n)).await.unwrap());
    }
    assert_eq!(sum, COMMITS * (0..WRITERS).map(rounds).sum::<usize>());
    assert!(tree_bytes(dir.path()) > 100_000, "little was flushed");
}

/// What guards the log's own thread: `log::tests::keeper`.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_any_thread_is_fatal_and_leaves_no_writer_waiting() {
    // Groups are large enough for the applier.
    const WRITERS: usize = 200;
    let write = async |engine: &EmbeddedEngine, n: usize| {
        let key = SettingKey::key(&format!("{n}"));
        let put = Write::Put { key: key.clone(), value: Bytes::from_static(&[7; 2000]) };
        let body = Box::new(move |_: &Reads<'_>| Some(vec![put.clone()]));
        engine.commit(CommitRequest::new(&[], &[key], body)).await
    };
    for thread in ["committer", "applier", "flusher", "compactor", "reclaimer"] {
        let dir = tempfile::tempdir().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let fatal = Arc::new(move |error: &StoreError| tell.send(error.to_string()).unwrap());
        // Memtables are sealed, flushed and merged, and whoever waits for that waits for the thread.
        let engine =
            EmbeddedEngine::open(dir.path(), Options { memtable_bytes: 64 << 10, fatal, ..options() }).unwrap();
        *engine.state.panicking.lock() = Some(thread);
        engine.state.chores.tell(|work| work.reclaim = true);
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    loop {
                        if let Err(error) = write(&engine, n).await {
                            return error;
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            let error = writer.await.unwrap();
            assert!(matches!(error, StoreError::Io(_) | StoreError::Closed), "{thread}: {error:?}");
        }
        let why = format!("the thread {thread} ended with a panic");
        assert!(told.recv().unwrap().contains(&why));
        assert!(write(&engine, 0).await.unwrap_err().to_string().contains(&why), "{thread}");
    }
}
