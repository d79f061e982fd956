//! The offline check of a data directory changes nothing and asks for nothing but to read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_store::{Decision, Engine, Key, Write, commit};
use tailrace_store_embedded::files::{File, FileError, FileLock, Files, RealFiles};
use tailrace_store_embedded::{EmbeddedEngine, Options, check, check_with};

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

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(contents(&entry.path())),
            false => all.push((entry.path(), std::fs::read(entry.path()).unwrap())),
        }
    }
    all.sort();
    all
}

fn options() -> Options {
    Options::new(Arc::new(ManualClock::at(1)), [1; 16])
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
