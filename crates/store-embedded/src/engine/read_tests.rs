//! What reads do on the runtime's threads: they walk a bounded number of steps, and never wait for the disk.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tests::{options, put_rows};
use super::*;
use crate::files::{File, FileError};
use tailrace_store::{BucketRange, Decision, NewImage, commit};

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

/// The system's files for the log. What was written through them is in the system's memory, and nothing else is: a thread of
/// the runtime that reads that waits for the disk.
#[derive(Clone, Debug, Default)]
struct ColdFiles(Arc<Written>);

#[derive(Debug, Default)]
struct Written {
    pages: Mutex<HashSet<(PathBuf, u64)>>,
    waits: AtomicU64,
}

#[derive(Debug)]
struct ColdFile {
    file: Arc<dyn File>,
    written: Arc<Written>,
}

impl Written {
    fn pages(path: &Path, offset: u64, len: u64) -> impl Iterator<Item = (PathBuf, u64)> {
        const PAGE_BYTES: u64 = 4096;
        let last = (offset + len).div_ceil(PAGE_BYTES);
        (offset / PAGE_BYTES..last).map(move |page| (path.to_owned(), page))
    }

    fn note(&self, path: &Path, offset: u64, len: u64) {
        self.pages.lock().extend(Written::pages(path, offset, len));
    }

    fn read(&self, path: &Path, offset: u64, len: u64) {
        let there = self.pages.lock();
        let waits = Written::pages(path, offset, len).any(|page| !there.contains(&page));
        if waits && tokio::runtime::Handle::try_current().is_ok() {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ColdFiles {
    fn file(&self, file: Result<Arc<dyn File>, FileError>) -> Result<Arc<dyn File>, FileError> {
        Ok(Arc::new(ColdFile { file: file?, written: self.0.clone() }))
    }
}

impl Files for ColdFiles {
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.0.read(path, 0, 1);
        self.file(RealFiles.open(path))
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.0.read(path, 0, 1);
        self.file(RealFiles.open_to_read(path))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.file(RealFiles.create(path))
    }

    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        RealFiles.create_dir(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError> {
        RealFiles.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let mut pages = self.0.pages.lock();
        let moved: Vec<_> = pages.extract_if(|(path, _)| path == from).collect();
        pages.retain(|(path, _)| path != to);
        pages.extend(moved.into_iter().map(|(_, page)| (to.to_owned(), page)));
        RealFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.0.pages.lock().retain(|(of, _)| of != path);
        RealFiles.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        RealFiles.sync_dir(dir)
    }

    fn room(&self, dir: &Path) -> Option<u64> {
        RealFiles.room(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError> {
        RealFiles.lock(path)
    }

    fn is_locked(&self, path: &Path) -> Result<bool, FileError> {
        RealFiles.is_locked(path)
    }
}

impl File for ColdFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn size(&self) -> Result<u64, FileError> {
        self.file.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.written.read(self.path(), offset, buf.len() as u64);
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FileError> {
        self.written.note(self.path(), offset, data.len() as u64);
        self.file.write_at(data, offset)
    }

    fn zero_fill(&self, offset: u64, len: u64) -> Result<(), FileError> {
        self.written.note(self.path(), offset, len);
        self.file.zero_fill(offset, len)
    }

    fn set_len(&self, len: u64) -> Result<(), FileError> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), FileError> {
        self.file.sync_data()
    }
}

/// From here on, what is said of the runtime's threads is of reads only, and the system has no block in memory.
fn begin_cold(engine: &EmbeddedEngine, files: &ColdFiles) {
    files.0.waits.store(0, Ordering::Relaxed);
    let hooks = &engine.state.tree.hooks;
    hooks.disk.cold.store(true, Ordering::Relaxed);
    hooks.disk.waits.store(0, Ordering::Relaxed);
    hooks.steps.store(0, Ordering::Relaxed);
}

/// Nothing has waited for the disk on the runtime, or walked there for long.
fn assert_short(engine: &EmbeddedEngine, files: &ColdFiles) {
    let hooks = &engine.state.tree.hooks;
    let (steps, waits) = (hooks.steps.load(Ordering::Relaxed), hooks.disk.waits.load(Ordering::Relaxed));
    // A step that does not fit in any more is counted, too: a block at most.
    assert!(steps <= limits::READ_INLINE_STEPS_MAX + 64, "{steps} steps");
    assert_eq!(waits, 0, "waits for the disk");
    assert_eq!(files.0.waits.load(Ordering::Relaxed), 0, "waits for the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_long_runs_on_the_runtime_behind_200_000_deleted_items() {
    const ITEMS: usize = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let files = ColdFiles::default();
    let open = || {
        let options = Options { cache_bytes: 256 << 10, files: Arc::new(files.clone()), ..options() };
        EmbeddedEngine::open(dir.path(), options).unwrap()
    };
    let engine = open();
    files.0.waits.store(0, Ordering::Relaxed);
    write_all(&*engine, 0..ITEMS, |key| Write::Put { key, value: Bytes::from_static(b"an item") }).await;
    write_all(&*engine, 0..ITEMS - 1, |key| Write::Delete { key }).await;
    for reverse in [false, true] {
        let page = engine.page(queue(reverse), ONE).await.unwrap();
        assert_eq!((&page.rows[0].0, page.rows.len()), (&key(ITEMS - 1), 1));
    }
    put_rows(&*engine, &[key(7)], &Bytes::from_static(b"again")).await;
    assert_eq!(engine.page(queue(false), ONE).await.unwrap().rows[0].0, key(7));
    assert_short(&engine, &files);
    engine.shutdown().await.unwrap();
    drop(engine);
    // From files, none of whose blocks the system says it has in memory.
    let engine = open();
    begin_cold(&engine, &files);
    assert_eq!(engine.page(queue(false), ONE).await.unwrap().rows[0].0, key(7));
    assert_eq!(engine.page(queue(true), ONE).await.unwrap().rows[0].0, key(ITEMS - 1));
    let some = [key(3), key(7), key(ITEMS - 1), key(ITEMS)];
    let values = engine.get(&some).await.unwrap();
    let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
    assert_eq!(values, [None, Some(&b"again"[..]), Some(&b"an item"[..]), None]);
    assert_short(&engine, &files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_read_cold_keys_aside_and_lose_no_update() {
    const COUNTERS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    // Everything is flushed soon, and no block stays in the cache.
    let files = ColdFiles::default();
    let open = || {
        let files = Arc::new(files.clone());
        let options = Options { cache_bytes: 0, memtable_bytes: 8 << 10, files, ..options() };
        EmbeddedEngine::open(dir.path(), options).unwrap()
    };
    let engine = open();
    begin_cold(&engine, &files);
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
    assert_short(&engine, &files);
    engine.shutdown().await.unwrap();
    drop(engine);
    assert_eq!(open().get(&counters).await.unwrap(), values);
}

async fn append(engine: &dyn Engine, bytes: usize) -> RecordNo {
    let (stream, bucket, meta) = (StreamId(1), BucketRange::ALL.first, Bytes::from(vec![b'x'; bytes]));
    let record = Write::Append { stream, bucket, meta, old: None, new: NewImage::None };
    let committed = commit(engine, &[], &[], |_| Decision::Apply(vec![record.clone()], ()));
    committed.await.unwrap().receipt.records[0].number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_from_before_the_start_are_read_aside_and_fresh_ones_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let open = |files: &ColdFiles| {
        let options = Options { files: Arc::new(files.clone()), ..options() };
        EmbeddedEngine::open(dir.path(), options).unwrap()
    };
    let engine = open(&ColdFiles::default());
    let stream = Write::OpenStream { stream: StreamId(1), ranges: vec![BucketRange::ALL] };
    commit(&*engine, &[], &[], |_| Decision::Apply(vec![stream.clone()], ())).await.unwrap();
    let shard = engine.shards(StreamId(1)).await.unwrap()[0].shard;
    let mut numbers = Vec::new();
    // Some segments that are sealed, and one that is not.
    for bytes in [60_000; 40].into_iter().chain([10; 20]) {
        numbers.push(append(&*engine, bytes).await);
    }
    engine.shutdown().await.unwrap();
    drop(engine);

    let files = ColdFiles::default();
    let engine = open(&files);
    begin_cold(&engine, &files);
    for (from, records_max) in [(55, 100), (55, 3), (20, 100), (20, 1), (38, 2)] {
        let page = engine.read_log(shard, numbers[from], records_max, usize::MAX).await.unwrap();
        let found: Vec<RecordNo> = page.records.iter().map(|record| record.number).collect();
        let expected: Vec<RecordNo> = numbers[from + 1..].iter().copied().take(records_max).collect();
        assert_eq!(found, expected);
        assert_eq!(page.more, from + 1 + records_max < numbers.len());
    }
    assert_short(&engine, &files);

    // A commit without a record first, so that the new segment does not begin with the number that comes next in the shard.
    put_rows(&*engine, &[key(1)], &Bytes::from_static(b"a row")).await;
    let last = *numbers.last().unwrap();
    let end = engine.position(shard, LogPosition::End).await.unwrap();
    let fresh = [append(&*engine, 10).await, append(&*engine, 10).await];
    for (after, expected) in [(last, &fresh[..]), (end, &fresh[..]), (fresh[0], &fresh[1..]), (fresh[1], &[])] {
        for records_max in [1, 100] {
            // What is read aside is never there at once.
            let page = engine.read_log(shard, after, records_max, usize::MAX).now_or_never();
            let page = page.expect("a fresh record was read on another thread").unwrap();
            let found: Vec<RecordNo> = page.records.iter().map(|record| record.number).collect();
            assert_eq!(found, expected[..records_max.min(expected.len())]);
        }
    }
    let both = engine.read_log(shard, numbers[58], 100, usize::MAX).await.unwrap();
    assert_eq!(both.records.len(), 3, "one from before, and two fresh ones");
    assert_short(&engine, &files);
}
