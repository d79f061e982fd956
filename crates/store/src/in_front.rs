//! What tests put in front of an engine: it fails, waits or counts where it is asked to, and passes everything else on.

use std::ops::Deref;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::commit::{CommitId, CommitReceipt, CommitRequest, Outcome};
use crate::engine::*;
use crate::error::StoreError;

/// What stands in front of an engine. A method that is not written passes its call on.
pub trait Stand: Send + Sync + 'static {
    /// The engine behind.
    fn behind(&self) -> &dyn Engine;

    /// As [`Engine::get`].
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        self.behind().get(keys)
    }

    /// As [`Engine::page`].
    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.behind().page(range, limit)
    }

    /// As [`Engine::page_beside_log`].
    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>> {
        self.behind().page_beside_log(range, limit, shards)
    }

    /// As [`Engine::tally`].
    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>> {
        self.behind().tally(range, size, key)
    }

    /// As [`Engine::commit`].
    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        self.behind().commit(request)
    }

    /// As [`Engine::outcome`].
    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.behind().outcome(id)
    }

    /// As [`Engine::shards`].
    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        self.behind().shards(stream)
    }

    /// As [`Engine::read_log`].
    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        self.behind().read_log(shard, after, records_max, bytes_max)
    }

    /// As [`Engine::position`].
    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        self.behind().position(shard, position)
    }

    /// As [`Engine::wait_log`].
    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        self.behind().wait_log(shard, after)
    }

    /// As [`Engine::trim`].
    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        self.behind().trim(shard, horizon)
    }

    /// As [`Engine::reclaim`].
    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        self.behind().reclaim(range)
    }

    /// As [`Engine::refuses_commits`].
    fn refuses_commits(&self) -> Option<StoreError> {
        self.behind().refuses_commits()
    }

    /// As [`Engine::shutdown`].
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.behind().shutdown()
    }
}

/// An engine with something in front of it.
pub struct InFront<S>(pub S);

impl<S> Deref for InFront<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S: Stand> Engine for InFront<S> {
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>> {
        self.0.get(keys)
    }

    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.0.page(range, limit)
    }

    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>> {
        self.0.page_beside_log(range, limit, shards)
    }

    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>> {
        self.0.tally(range, size, key)
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        self.0.commit(request)
    }

    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.0.outcome(id)
    }

    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>> {
        self.0.shards(stream)
    }

    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        self.0.read_log(shard, after, records_max, bytes_max)
    }

    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>> {
        self.0.position(shard, position)
    }

    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()> {
        self.0.wait_log(shard, after)
    }

    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.trim(shard, horizon)
    }

    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.reclaim(range)
    }

    fn refuses_commits(&self) -> Option<StoreError> {
        self.0.refuses_commits()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.shutdown()
    }
}
