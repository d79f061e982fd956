//! The offline check of a data directory changes nothing and asks for nothing but to read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_core::{Bucket, EpochMs, RecordNo};
use tailrace_store::{BucketRange, Decision, Engine, Key, NewImage, ShardNo, StoreError, StreamId, Write, commit};
use tailrace_store_embedded::files::{File, FileError, FileLock, Files, RealFiles};
use tailrace_store_embedded::{EmbeddedEngine, FatalHook, Options, check, check_with, set_aside};

/// A directory on a file system that is mounted read-only: whoever asks for more than to read fails the test.
#[derive(Debug)]
struct Mounted;

impl Files for Mounted {
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        panic!("{} was to be opened for writing", path.display())
    }
    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let file = RealFiles.open_to_read(path)?;
        assert!(file.write_at(b"x", 0).is_err(), "what is opened for reading cannot be written");
        Ok(file)
    }
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        panic!("{} was to be made", path.display())
    }
    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        panic!("{} was to be made", path.display())
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError> {
        RealFiles.list(dir)
    }
    fn rename(&self, from: &Path, _to: &Path) -> Result<(), FileError> {
        panic!("{} was to be renamed", from.display())
    }
    fn remove(&self, path: &Path) -> Result<(), FileError> {
        panic!("{} was to be removed", path.display())
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        panic!("{} was to be synced", dir.display())
    }
    fn room(&self, dir: &Path) -> Option<u64> {
        RealFiles.room(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError> {
        panic!("{} was to be locked", path.display())
    }
    fn is_locked(&self, path: &Path) -> Result<bool, FileError> {
        RealFiles.is_locked(path)
    }
}

/// The files below a directory, but for those that an engine renames or removes meanwhile.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            all.extend(contents(&entry.path()));
            continue;
        }
        match std::fs::read(entry.path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            bytes => all.push((entry.path(), bytes.unwrap())),
        }
    }
    all.sort();
    all
}

fn options() -> Options {
    let mut options = Options::new(Arc::new(ManualClock::at(EpochMs(1))), [1; 16]);
    // Records stay where they were appended.
    options.log.clean_live_percent = 0;
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_only_reads_and_says_when_a_server_has_the_directory_open() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let engine = EmbeddedEngine::open(&data, options()).unwrap();
    let key = [Key(Bytes::from_static(b"\x40item"))];
    let put = Write::Put { key: key[0].clone(), value: Bytes::from_static(b"value") };
    commit(engine.as_ref(), &[], &key, |_| Decision::Apply(vec![put.clone()], ())).await.unwrap();
    let beside = check(&data).unwrap();
    assert!(beside.in_use, "{beside:?}");
    engine.shutdown().await.unwrap();
    drop(engine);
    std::fs::remove_file(data.join("LOCK")).unwrap();
    let before = contents(&data);
    let report = check_with(Arc::new(Mounted), &data).unwrap();
    assert!(!report.in_use && report.faults.is_empty(), "{report:?}");
    assert_eq!(contents(&data), before, "the check changed something");
    drop(EmbeddedEngine::open(&data, options()).unwrap());
}

async fn put(engine: &dyn Engine, n: usize) -> RecordNo {
    let key = [Key(Bytes::from(format!("\x40item {n:02}")))];
    let put = Write::Put { key: key[0].clone(), value: Bytes::from(format!("value {n:03}")) };
    let (meta, new) = (Bytes::from(format!("meta {n:03}")), NewImage::OfWrite(0));
    let append = Write::Append { stream: StreamId(1), bucket: Bucket(7), meta, old: None, new };
    let writes = vec![put, append];
    commit(engine, &[], &key, |_| Decision::Apply(writes.clone(), ())).await.unwrap().receipt.records[0].number
}

async fn open_stream(engine: &dyn Engine) -> ShardNo {
    let marker = [Key(Bytes::from_static(b"\x01stream"))];
    let open = vec![
        Write::Put { key: marker[0].clone(), value: Bytes::from_static(b"open") },
        Write::OpenStream { stream: StreamId(1), ranges: vec![BucketRange::ALL] },
    ];
    commit(engine, &[], &marker, |_| Decision::Apply(open.clone(), ())).await.unwrap();
    engine.shards(StreamId(1)).await.unwrap()[0].shard
}

/// Flips a bit of the first place in the log that holds `text`.
fn damage(data: &Path, text: &[u8]) {
    let place = |(path, bytes): (PathBuf, Vec<u8>)| {
        let at = bytes.windows(text.len()).position(|found| found == text)?;
        Some((path, bytes, at))
    };
    let (path, mut bytes, at) = contents(&data.join("log")).into_iter().find_map(place).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Who reads a damaged record is told where the damage is; everybody else goes on.
#[tokio::test]
async fn damage_in_the_log_is_an_error_of_who_reads_it_and_of_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    let fatal: FatalHook = Arc::new(move |_| told.store(true, Ordering::SeqCst));
    let engine = EmbeddedEngine::open(&data, Options { fatal, ..options() }).unwrap();
    let shard = open_stream(engine.as_ref()).await;
    let mut numbers = Vec::new();
    for n in 0..30 {
        numbers.push(put(engine.as_ref(), n).await);
    }
    damage(&data, b"meta 012");
    let read = engine.read_log(shard, RecordNo::ZERO, 1000, usize::MAX).await;
    assert!(matches!(&read, Err(StoreError::Corrupt(why)) if why.contains(".seg")), "{read:?}");
    assert!(put(engine.as_ref(), 30).await > numbers[29]);
    let values = engine.get(&[Key(Bytes::from_static(b"\x40item 12"))]).await.unwrap();
    assert!(values[0].is_some(), "the row is in the tree");
    assert!(!ended.load(Ordering::SeqCst), "the process goes on");
    engine.shutdown().await.unwrap();
}

/// One damaged record in the middle: the store opens, everything but that record can be read, and whoever reads the shard
/// is told which number is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_on_without_a_record_that_was_set_aside_and_its_readers_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let engine = EmbeddedEngine::open(&data, options()).unwrap();
    open_stream(engine.as_ref()).await;
    let mut numbers = Vec::new();
    for n in 0..30 {
        numbers.push(put(engine.as_ref(), n).await);
    }
    engine.shutdown().await.unwrap();
    drop(engine);
    // What is put in a second life is in the log alone.
    let engine = EmbeddedEngine::open(&data, options()).unwrap();
    numbers.push(put(engine.as_ref(), 30).await);
    numbers.push(put(engine.as_ref(), 31).await);
    drop(engine);

    damage(&data, b"meta 012");
    damage(&data, b"meta 030");
    let place = |line: &String| {
        let (file, rest) = line.split_once(": offset ").unwrap();
        format!("{file}:{}", rest.split_once(':').unwrap().0)
    };
    let faults = check(&data).unwrap().faults;
    assert!(faults.len() == 2, "{faults:?}");
    let refused = set_aside(&data, &place(&faults[1]), false).unwrap_err().to_string();
    assert!(refused.contains("acknowledged writes would be lost"), "{refused}");
    assert!(set_aside(&data, "0000000000000001.seg:5", false).unwrap_err().to_string().contains("no damage there"));
    set_aside(&data, &place(&faults[0]), false).unwrap();
    set_aside(&data, &place(&faults[1]), true).unwrap();
    let report = check(&data).unwrap();
    assert!(report.faults.is_empty() && report.set_aside.len() == 2, "{report:?}");

    let engine = EmbeddedEngine::open(&data, options()).unwrap();
    let shard = engine.shards(StreamId(1)).await.unwrap()[0].shard;
    let page = engine.read_log(shard, RecordNo::ZERO, 1000, usize::MAX).await.unwrap();
    let found: Vec<RecordNo> = page.records.iter().map(|record| record.number).collect();
    let expected = |n: &usize| *n != 12 && *n != 30;
    assert_eq!(found, (0..32).filter(expected).map(|n| numbers[n]).collect::<Vec<_>>());
    assert_eq!(page.lost, [numbers[12]..=numbers[12], numbers[30]..=numbers[30]]);
    let keys: Vec<Key> = (0..32).map(|n| Key(Bytes::from(format!("\x40item {n:02}")))).collect();
    let values = engine.get(&keys).await.unwrap();
    // The row of the old record was in the tree; the write that only the log had is lost, as was said.
    assert_eq!((0..32).filter(|n| values[*n].is_none()).collect::<Vec<_>>(), [30]);
    assert!(put(engine.as_ref(), 32).await > numbers[31]);
    engine.shutdown().await.unwrap();
}
