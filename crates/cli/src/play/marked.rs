//! A store that adds a mark to the commits that are made through it, so that a write and the mark that says that it was
//! made are one.
//!
//! It is for one caller that makes one operation of one commit at a time. The mark goes with every commit between
//! [`MarkedEngine::begin`] and [`MarkedEngine::end`], also with one whose body decides to write nothing: a condition
//! that failed, or an item that is already so, was decided at that moment and must not be decided again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tailrace_core::RecordNo;
use tailrace_store::{
    CommitId, CommitReceipt, CommitRequest, Declared, Engine, Key, KeyRange, LogPage, LogPosition, Outcome, Page,
    PageLimit, Reads, ShardInfo, ShardNo, StoreError, StreamId, Write,
};

/// The store below, and the mark.
pub struct MarkedEngine {
    below: Arc<dyn Engine>,
    mark: Mutex<Option<Mark>>,
}

#[derive(Clone)]
struct Mark {
    key: Key,
    value: Bytes,
    made: bool,
}

impl MarkedEngine {
    /// Adds nothing until [`MarkedEngine::begin`].
    pub fn new(below: Arc<dyn Engine>) -> MarkedEngine {
        MarkedEngine { below, mark: Mutex::new(None) }
    }

    /// Adds a mark to the commits from here on.
    pub fn begin(&self, key: Key, value: Bytes) {
        *self.mark() = Some(Mark { key, value, made: false });
    }

    /// Adds none any more. True: a commit was made, and the mark with it.
    pub fn end(&self) -> bool {
        self.mark().take().is_some_and(|mark| mark.made)
    }

    fn mark(&self) -> MutexGuard<'_, Option<Mark>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MarkedEngine {
    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        let Some(Mark { key, value, .. }) = self.mark().clone() else { return self.below.commit(request) };
        Box::pin(async move {
            let CommitRequest { declared: all, mut body } = request;
            let declared = all.exclusive.len();
            let mut keys = all.exclusive.to_vec();
            keys.push(key.clone());
            let body = Box::new(move |reads: &Reads<'_>| {
                let its_own = Reads { exclusive: &reads.exclusive[..declared], ..*reads };
                // Behind the others: a record names a write by its index.
                let mut writes = body(&its_own).unwrap_or_default();
                writes.push(Write::Put { key: key.clone(), value: value.clone() });
                Some(writes)
            });
            let receipt =
                self.below.commit(CommitRequest { declared: Declared { exclusive: &keys, ..all }, body }).await?;
            if let Some(mark) = &mut *self.mark() {
                mark.made = true;
            }
            Ok(receipt)
        })
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.below.outcome(id)
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        self.below.get(keys)
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.below.page(range, limit)
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        self.below.shards(stream)
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        self.below.read_log(shard, after, records_max, bytes_max)
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        self.below.position(shard, position)
    }

    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        self.below.wait_log(shard, after)
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        self.below.trim(shard, horizon)
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        self.below.reclaim(range)
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.below.shutdown()
    }
}
