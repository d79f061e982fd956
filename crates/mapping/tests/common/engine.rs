//! An engine that stands before another one, counts commits that write, and fails reads of the log where a test wants it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::RecordNo;
use tailrace_store::{CommitReceipt, CommitRequest, Engine, InFront, Key, LogPage, ShardNo, Stand, StoreError};

/// What stands before it.
pub struct Trouble {
    inner: Arc<dyn Engine>,
    /// Reads of the log that succeed before the next one fails.
    pub reads_left: AtomicU64,
    /// Commits that wrote something.
    pub commits: AtomicU64,
    /// What the next page that has records says is lost.
    pub lost: Mutex<Option<RangeInclusive<RecordNo>>>,
    /// What the next `get` waits for before it answers what it found.
    held: Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
    /// What the next read of the log waits for.
    held_read: Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
}

/// It before `inner`.
#[allow(dead_code, reason = "each test file uses some of these")]
pub fn troubled(inner: Arc<dyn Engine>) -> InFront<Trouble> {
    InFront(Trouble {
        inner,
        reads_left: AtomicU64::new(u64::MAX),
        commits: AtomicU64::new(0),
        lost: Mutex::default(),
        held: Mutex::default(),
        held_read: Mutex::default(),
    })
}

impl Trouble {
    /// The next read of the log begins only when this is sent.
    #[allow(dead_code, reason = "each test file uses some of these")]
    pub fn hold_next_read(&self) -> tokio::sync::oneshot::Sender<()> {
        let (release, held) = tokio::sync::oneshot::channel();
        *self.held_read.lock() = Some(held);
        release
    }

    /// The next `get` answers what it finds only when this is sent.
    #[allow(dead_code, reason = "each test file uses some of these")]
    pub fn hold_next_get(&self) -> tokio::sync::oneshot::Sender<()> {
        let (release, held) = tokio::sync::oneshot::channel();
        *self.held.lock() = Some(held);
        release
    }
}

impl Stand for Trouble {
    fn behind(&self) -> &dyn Engine {
        self.inner.as_ref()
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        async move {
            let held = self.held.lock().take();
            let found = self.inner.get(keys).await;
            if let Some(held) = held {
                let _ = held.await;
            }
            found
        }
        .boxed()
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        async move {
            let receipt = self.inner.commit(request).await?;
            self.commits.fetch_add(u64::from(receipt.wrote), SeqCst);
            Ok(receipt)
        }
        .boxed()
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        if self.reads_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
            return async { Err(StoreError::Io("planted".into())) }.boxed();
        }
        async move {
            let held = self.held_read.lock().take();
            if let Some(held) = held {
                let _ = held.await;
            }
            let mut page = self.inner.read_log(shard, after, records_max, bytes_max).await?;
            if !page.records.is_empty() {
                page.lost.extend(self.lost.lock().take());
            }
            Ok(page)
        }
        .boxed()
    }
}
