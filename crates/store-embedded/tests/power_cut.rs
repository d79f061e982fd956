//! Power cuts of the whole embedded engine, over the file layer that forgets: no reply, read or record precedes its sync;
//! everything acknowledged, read or streamed before the cut is there after it, whatever became of the unsynced sectors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_core::{Bucket, EpochMs, RecordNo, TableId};
use tailrace_store::keyspace::{CountChange, ItemCount, ItemCountKey};
use tailrace_store::{BucketRange, Decision, Engine, Key, LogRecord, NewImage, ShardNo, StreamId, Write, commit};
use tailrace_store_embedded::files::{SectorFate, SimFiles};
use tailrace_store_embedded::log::LogSettings;
use tailrace_store_embedded::{EmbeddedEngine, Options};

const STREAM: StreamId = StreamId(1);
const KEYS: u64 = 12;
const WRITERS: u64 = 8;

fn key(k: u64) -> Key {
    Key(Bytes::from(format!("\x40item {k:04}")))
}

/// A row that always has the item's value, as an index of everything has.
fn copy(k: u64) -> Key {
    Key(Bytes::from(format!("\x40copy {k:04}")))
}

/// A row that goes with each change of the item, and another one that comes, as in an index over what has changed.
fn moved(k: u64, side: u64) -> Key {
    Key(Bytes::from(format!("\x40moved {k:04} {side}")))
}

fn number(value: &Bytes) -> u64 {
    std::str::from_utf8(value).unwrap().trim_start_matches('0').parse().unwrap_or(0)
}

fn open(dir: &Path, disk: &SimFiles) -> Result<Arc<EmbeddedEngine>, String> {
    open_with(dir, disk, tailrace_core::limits::MEMTABLE_BYTES)
}

fn open_with(dir: &Path, disk: &SimFiles, memtable_bytes: u64) -> Result<Arc<EmbeddedEngine>, String> {
    let mut options = Options::new(Arc::new(ManualClock::at(EpochMs(1_000))), [3; 16]);
    options.files = Arc::new(disk.clone());
    options.log = LogSettings { segment_bytes: 64 * 1024, ..LogSettings::default() };
    options.memtable_bytes = memtable_bytes;
    options.fatal = Arc::new(|_| {});
    EmbeddedEngine::open(dir, options).map_err(|error| error.to_string())
}

async fn open_stream(engine: &dyn Engine) {
    let marker = [Key(Bytes::from_static(b"\x01stream"))];
    let ranges = vec![
        BucketRange { first: Bucket(0), last: Bucket(32767) },
        BucketRange { first: Bucket(32768), last: Bucket(65535) },
    ];
    commit(engine, &[], &marker, |reads| {
        if reads.exclusive[0].is_some() {
            return Decision::Reject(());
        }
        let put = Write::Put { key: marker[0].clone(), value: Bytes::from_static(b"open") };
        Decision::Apply(vec![put, Write::OpenStream { stream: STREAM, ranges: ranges.clone() }], ())
    })
    .await
    .unwrap();
}

/// Counts the items in its rows, and what was added to them in its bytes.
fn count_key() -> Key {
    ItemCountKey { set: TableId(1).into() }.encode()
}

/// Adds one to the item, and changes what follows from it; its record has both images.
async fn add_one(engine: &dyn Engine, k: u64) -> Result<(u64, RecordNo), String> {
    let key = key(k);
    let bucket = Bucket((k * 65536 / KEYS) as u16);
    let done = commit(engine, &[], std::slice::from_ref(&key), |reads| {
        let old = reads.exclusive[0].clone();
        let next = old.as_ref().map_or(0, number) + 1;
        let value = Bytes::from(format!("{next:0>200}"));
        let meta = Bytes::from(format!("{k}"));
        let here = Write::Put { key: moved(k, next % 2), value: Bytes::from(next.to_string()) };
        let put = Write::Put { key: key.clone(), value };
        let same = Write::PutSame { key: copy(k), of: 0 };
        let gone = Write::Delete { key: moved(k, 1 - next % 2) };
        let by = CountChange { rows: i64::from(old.is_none()), bytes: 1 };
        let count = Write::Count { set: TableId(1).into(), by };
        let append = Write::Append { stream: STREAM, bucket, meta, old, new: NewImage::OfWrite(0) };
        Decision::Apply(vec![put, same, here, gone, count, append], next)
    });
    let done = done.await.map_err(|error| error.to_string())?;
    Ok((done.answer, done.receipt.records[0].number))
}

async fn all_records(engine: &dyn Engine) -> Result<BTreeMap<ShardNo, Vec<LogRecord>>, String> {
    let mut all = BTreeMap::new();
    for shard in engine.shards(STREAM).await.map_err(|error| error.to_string())? {
        let (mut after, mut records) = (RecordNo::ZERO, Vec::new());
        loop {
            let page = engine.read_log(shard.shard, after, 100, 1 << 20).await.map_err(|error| error.to_string())?;
            records.extend(page.records);
            after = page.next;
            if !page.more {
                break;
            }
        }
        all.insert(shard.shard, records);
    }
    Ok(all)
}

/// What somebody outside has seen, and so must still be true after a cut.
#[derive(Default)]
struct Seen {
    /// The highest number of each item that a reply or a read has shown.
    items: BTreeMap<u64, u64>,
    /// Records that a reader has got.
    records: BTreeMap<RecordNo, LogRecord>,
    /// Numbers of acknowledged commits.
    acknowledged: BTreeSet<RecordNo>,
}

/// Compares what is there with what was seen; says what is broken.
async fn verify(engine: &dyn Engine, seen: &Seen) -> Result<(), String> {
    let following = (0..KEYS).flat_map(|k| [copy(k), moved(k, 0), moved(k, 1)]);
    let keys: Vec<Key> = (0..KEYS).map(key).chain(following).chain([count_key()]).collect();
    let mut values = engine.get(&keys).await.map_err(|error| error.to_string())?;
    let count = ItemCount::read(values.pop().flatten().as_ref()).ok_or("the count cannot be read")?;
    let following = values.split_off(KEYS as usize);
    for (k, (item, rows)) in values.iter().zip(following.chunks(3)).enumerate() {
        let n = item.as_ref().map(number);
        let here = |side| n.filter(|n| n % 2 == side).map(|n| Bytes::from(n.to_string()));
        if *rows != [item.clone(), here(0), here(1)] {
            return Err(format!("item {k} is {n:?}, and what follows from it is {rows:?}"));
        }
    }
    let items: BTreeMap<u64, u64> =
        values.iter().enumerate().filter_map(|(k, v)| Some((k as u64, number(v.as_ref()?)))).collect();
    if count != (ItemCount { rows: items.len() as u64, bytes: items.values().sum() }) {
        return Err(format!("{count:?} for {items:?}"));
    }
    for (k, n) in &seen.items {
        if items.get(k).is_none_or(|found| found < n) {
            return Err(format!("item {k} was seen as {n} and is {:?}", items.get(k)));
        }
    }
    let (mut rebuilt, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for (shard, records) in all_records(engine).await? {
        let mut last = RecordNo::ZERO;
        for record in records {
            if record.number <= last || numbers.insert(record.number, record.clone()).is_some() {
                return Err(format!("number {} of shard {shard:?} is out of order or used twice", record.number));
            }
            last = record.number;
            let k: u64 = std::str::from_utf8(&record.meta).unwrap().parse().unwrap();
            let before = rebuilt.insert(k, record.new.as_ref().map_or(0, number));
            if before != record.old.as_ref().map(number) {
                return Err(format!(
                    "record {} of item {k}: the image before is not the one after the last",
                    record.number
                ));
            }
        }
    }
    if rebuilt != items {
        return Err(format!("the stream gives {rebuilt:?} and the table holds {items:?}"));
    }
    for (lsn, record) in &seen.records {
        if numbers.get(lsn) != Some(record) {
            return Err(format!("record {lsn} was read before the cut and is {:?}", numbers.get(lsn)));
        }
    }
    match seen.acknowledged.iter().find(|lsn| !numbers.contains_key(lsn)) {
        Some(lsn) => Err(format!("commit {lsn} was acknowledged and is gone")),
        None => Ok(()),
    }
}

/// Writes and reads until the power goes after `commits` acknowledged ones; gives what the disk holds then.
async fn run_until_cut(engine: Arc<EmbeddedEngine>, disk: &SimFiles, seen: &Arc<Mutex<Seen>>, commits: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    let goal = seen.lock().acknowledged.len() + commits;
    for w in 0..WRITERS {
        let (engine, seen, disk) = (engine.clone(), seen.clone(), disk.clone());
        tasks.spawn(async move {
            let mut k = w;
            while let Ok((n, lsn)) = add_one(engine.as_ref(), k % KEYS).await {
                let mut seen = seen.lock();
                seen.acknowledged.insert(lsn);
                let item = seen.items.entry(k % KEYS).or_default();
                *item = (*item).max(n);
                k += 5;
                if seen.acknowledged.len() >= goal {
                    disk.power_off();
                }
            }
        });
    }
    let (reader, seen) = (engine.clone(), seen.clone());
    tasks.spawn(async move {
        let shards: Vec<ShardNo> = reader.shards(STREAM).await.unwrap().iter().map(|info| info.shard).collect();
        let mut after = BTreeMap::new();
        let mut turns = 0;
        while turns < 400 {
            turns += 1;
            for shard in &shards {
                let from = after.entry(*shard).or_insert(RecordNo::ZERO);
                let Ok(page) = reader.read_log(*shard, *from, 50, 1 << 20).await else { return };
                *from = page.next;
                seen.lock().records.extend(page.records.into_iter().map(|record| (record.number, record)));
            }
            let Ok(values) = reader.get(&[key(turns % KEYS)]).await else { return };
            if let Some(value) = &values[0] {
                let mut seen = seen.lock();
                let item = seen.items.entry(turns % KEYS).or_default();
                *item = (*item).max(number(value));
            }
            tokio::task::yield_now().await;
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

fn cut(disk: &SimFiles, rng: &SeededRng) -> SimFiles {
    let names = rng.next_u64() as usize % (1 + disk.names_pending());
    disk.survivor(names, &mut |pending| match rng.next_u64() % 5 {
        0 => SectorFate::Lost,
        1 => SectorFate::Zeroed,
        2 => SectorFate::Torn((rng.next_u64() % 512) as usize),
        3 => SectorFate::Version(rng.next_u64() as usize % (1 + pending.versions)),
        _ => SectorFate::Kept,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_was_acknowledged_read_or_streamed_before_a_power_cut_is_there_after_it() {
    for seed in 0..4 {
        // Every other time the tree takes part: it is flushed again and again, and the log goes behind it.
        let memtable_bytes = if seed % 2 == 0 { tailrace_core::limits::MEMTABLE_BYTES } else { 32 * 1024 };
        let rng = SeededRng::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut disk = SimFiles::new();
        let seen = Arc::new(Mutex::new(Seen::default()));
        for round in 0..8 {
            let engine = open_with(dir.path(), &disk, memtable_bytes);
            let engine = engine.unwrap_or_else(|error| panic!("seed {seed} round {round}: {error}"));
            open_stream(engine.as_ref()).await;
            let now = std::mem::take(&mut *seen.lock());
            verify(engine.as_ref(), &now).await.unwrap_or_else(|error| panic!("seed {seed} round {round}: {error}"));
            *seen.lock() = now;
            run_until_cut(engine, &disk, &seen, 20 + (rng.next_u64() % 200) as usize).await;
            disk = cut(&disk, &rng);
        }
        assert!(seen.lock().acknowledged.len() >= 160);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_reply_read_or_record_precedes_its_sync() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), SimFiles::new());
    let engine = open(dir.path(), &disk).unwrap();
    open_stream(engine.as_ref()).await;
    let (_, first) = add_one(engine.as_ref(), 0).await.unwrap();
    let shard = engine.shards(STREAM).await.unwrap()[0].shard;

    disk.hold_syncs();
    let writer = tokio::spawn({
        let engine = engine.clone();
        async move { add_one(engine.as_ref(), 0).await }
    });
    let waiting = disk.clone();
    let within = std::time::Duration::from_secs(20);
    assert!(
        tokio::task::spawn_blocking(move || waiting.wait_for_held_sync(within)).await.unwrap(),
        "nothing is synced"
    );
    // A condition that fails on the pending value must not tell of it before it is durable.
    let refused = tokio::spawn({
        let engine = engine.clone();
        async move {
            let key = [key(0)];
            commit(engine.as_ref(), &[], &key, |reads| Decision::Reject(reads.exclusive[0].clone())).await
        }
    });
    for _ in 0..200 {
        tokio::task::yield_now().await;
        assert!(!writer.is_finished(), "a reply precedes its sync");
        assert!(!refused.is_finished(), "a refusal that has read a pending value precedes its sync");
        let value = engine.get(&[key(0)]).await.unwrap()[0].clone().unwrap();
        assert_eq!(number(&value), 1, "a read precedes the sync");
        assert!(engine.read_log(shard, first, 10, 1 << 20).await.unwrap().records.is_empty(), "a record does");
    }
    disk.release_syncs();
    let (n, number_of) = writer.await.unwrap().unwrap();
    assert_eq!(n, 2);
    assert_eq!(number(refused.await.unwrap().unwrap().answer.as_ref().unwrap()), 2);
    assert_eq!(engine.read_log(shard, first, 10, 1 << 20).await.unwrap().records[0].number, number_of);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_disk_that_only_says_that_it_synced_is_caught() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), SimFiles::new());
    let engine = open(dir.path(), &disk).unwrap();
    open_stream(engine.as_ref()).await;
    add_one(engine.as_ref(), 0).await.unwrap();
    disk.lie_about_syncs(true);
    let seen = Arc::new(Mutex::new(Seen::default()));
    run_until_cut(engine, &disk, &seen, 50).await;
    let left = disk.survivor(0, &mut |_| SectorFate::Lost);
    let seen = std::mem::take(&mut *seen.lock());
    let found = match open(dir.path(), &left) {
        Err(error) => Err(error),
        Ok(engine) => verify(engine.as_ref(), &seen).await,
    };
    assert!(found.is_err(), "acknowledged before it was synced, and nobody noticed");
}
