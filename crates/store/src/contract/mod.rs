//! The contract of [`Engine`], as checks that every engine must pass. Each check states one promise that a caller relies
//! on, and needs nothing but the trait and a power switch.
//!
//! The checks are shown to mean something by the model's planted bugs: each bug fails at least one of them
//! (`tests/contract.rs`).

#![allow(clippy::unwrap_used, reason = "a check fails by a panic")]

mod commits;
mod counts;
mod ids;
mod races;
mod shards;
mod streams;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::Bucket;

use crate::commit::*;
use crate::engine::*;
use crate::error::StoreError;
use crate::keyspace::SettingKey;

/// An engine under test, with its power switch and its clock.
pub trait Subject: Send + Sync {
    /// The engine, opened.
    fn engine(&self) -> Arc<dyn Engine>;
    /// While held, nothing becomes durable.
    fn hold_syncs(&mut self, hold: bool);
    /// The power fails: what is not synced is gone. Then the engine is opened again.
    fn crash(&mut self);
    /// Moves the engine's clock.
    fn advance_ms(&self, ms: u64);
}

/// A promise, held against a subject; it panics where the promise is broken.
pub type Check = for<'a> fn(&'a mut dyn Subject) -> BoxFuture<'a, ()>;

/// Every check, by name.
pub fn checks() -> Vec<(&'static str, Check)> {
    let all = [commits::CHECKS, counts::CHECKS, ids::CHECKS, streams::CHECKS, shards::CHECKS, races::CHECKS];
    all.into_iter().flatten().copied().collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a check; the panic's text if it fails.
pub fn failure(subject: &mut dyn Subject, check: Check) -> Option<String> {
    let done = runtime().block_on(async {
        let checked = AssertUnwindSafe(check(subject)).catch_unwind();
        tokio::time::timeout(Duration::from_secs(20), checked).await
    });
    match done {
        Ok(Ok(())) => None,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().cloned();
            Some(text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
        }
        Err(_) => Some("no end within 20 seconds".to_owned()),
    }
}

/// Runs every check, each on a subject of its own.
///
/// # Panics
/// With the name of every check that failed, and why.
pub fn assert_passes(subject: &dyn Fn() -> Box<dyn Subject>) {
    let mut failed = Vec::new();
    for (name, check) in checks() {
        if let Some(why) = failure(&mut *subject(), check) {
            failed.push(format!("{name}: {why}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Long enough for an engine that would answer to answer.
const MOMENT: Duration = Duration::from_millis(60);

fn key(name: &str) -> Key {
    SettingKey::key(name)
}

fn put(name: &str, value: impl Into<Bytes>) -> Write {
    Write::Put { key: key(name), value: value.into() }
}

fn append(stream: u64, bucket: u16, meta: impl Into<Bytes>) -> Write {
    Write::Append {
        stream: StreamId(stream),
        bucket: Bucket(bucket),
        meta: meta.into(),
        old: None,
        new: NewImage::None,
    }
}

/// Makes a commit of these writes, with the keys that they set declared.
async fn write(engine: &dyn Engine, writes: Vec<Write>) -> Result<CommitReceipt, StoreError> {
    write_named(engine, None, writes).await
}

/// [`write`], with a commit id.
async fn write_named(
    engine: &dyn Engine,
    id: Option<CommitId>,
    writes: Vec<Write>,
) -> Result<CommitReceipt, StoreError> {
    let keys: Vec<Key> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Put { key, .. } | Write::PutSame { key, .. } | Write::Delete { key } => Some(key.clone()),
            _ => None,
        })
        .collect();
    let declared = Declared { id, exclusive: &keys, ..Declared::default() };
    Ok(commit_declared(engine, declared, |_| Decision::Apply(writes.clone(), ())).await?.receipt)
}

/// Makes a commit of these writes, one of which appends, and gives the record.
async fn append_one(engine: &dyn Engine, writes: Vec<Write>) -> RecordId {
    let receipt = write(engine, writes).await.unwrap();
    assert_eq!(receipt.records.len(), 1);
    receipt.records[0]
}

fn write_later(
    subject: &dyn Subject,
    writes: Vec<Write>,
) -> tokio::task::JoinHandle<Result<CommitReceipt, StoreError>> {
    let engine = subject.engine();
    tokio::spawn(async move { write(&*engine, writes).await })
}

async fn get(engine: &dyn Engine, name: &str) -> Option<Bytes> {
    engine.get(&[key(name)]).await.unwrap().remove(0)
}

async fn rows(engine: &dyn Engine, range: KeyRange, rows_max: usize) -> Page {
    engine.page(range, PageLimit { rows_max, cost_max: usize::MAX, cost: |_, _| 1 }).await.unwrap()
}

fn names(page: &Page) -> Vec<String> {
    page.rows.iter().map(|(key, _)| SettingKey::decode(key).unwrap().name).collect()
}

const ALL: BucketRange = BucketRange::ALL;

/// Opens a stream of one shard.
async fn open_stream(engine: &dyn Engine, stream: u64) -> ShardNo {
    let open = Write::OpenStream { stream: StreamId(stream), ranges: vec![ALL] };
    write(engine, vec![open]).await.unwrap();
    engine.shards(StreamId(stream)).await.unwrap()[0].shard
}

async fn read_all(engine: &dyn Engine, shard: ShardNo) -> Vec<LogRecord> {
    let mut after = engine.position(shard, LogPosition::Horizon).await.unwrap();
    let mut records = Vec::new();
    loop {
        let page = engine.read_log(shard, after, 100, usize::MAX).await.unwrap();
        after = page.next;
        records.extend(page.records);
        if !page.more {
            return records;
        }
    }
}

async fn metas(engine: &dyn Engine, shard: ShardNo) -> Vec<String> {
    let records = read_all(engine, shard).await;
    records.into_iter().map(|record| String::from_utf8(record.meta.to_vec()).unwrap()).collect()
}

/// True if the task is not done a moment from now.
async fn is_waiting<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    tokio::time::timeout(MOMENT, task).await.is_err()
}
