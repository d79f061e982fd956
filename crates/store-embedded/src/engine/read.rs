//! Reads: points, pages, the log, and the declared keys of a commit.
//!
//! Invariants: each read is of one point in time and of published rows only, but for the declared keys, which are read
//! under their latches and newest first (overlay, then tree). What may touch the disk for long runs on a thread that may
//! block.
//!
//! What it does not do: it changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::Lsn;
use tailrace_store::shards::before;
use tailrace_store::{Key, KeyRange, LogPage, LogPosition, Page, PageLimit, ShardNo, StoreError};

use crate::pipeline::{Shared, Ticket};

/// Runs `read` here if it is short, else on a thread that may block.
async fn read_aside<T: Send + 'static>(
    shared: &Arc<Shared>,
    short: bool,
    read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if short {
        return shared.checked(read(shared));
    }
    let aside = shared.clone();
    let done = tokio::task::spawn_blocking(move || read(&aside)).await;
    shared.checked(done.unwrap_or_else(|error| Err(StoreError::Io(format!("a read ended early: {error}")))))
}

/// Rows that a page may have and still be read on the runtime's own thread.
const SHORT_PAGE_ROWS: usize = 32;
/// Numbers that a read of the log may lie behind and still be served on the runtime's own thread.
const SHORT_LOG_NUMBERS: u64 = 256;

/// The values of keys, all of one point in time.
pub(super) async fn get(shared: &Arc<Shared>, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
    shared.checked(shared.tree.get_all(keys))
}

/// A page of rows, all of one point in time.
pub(super) async fn page(shared: &Arc<Shared>, range: KeyRange, limit: PageLimit) -> Result<Page, StoreError> {
    let short = limit.rows_max <= SHORT_PAGE_ROWS;
    read_aside(shared, short, move |shared| shared.tree.page(&range, limit)).await
}

/// Published records of a shard.
pub(super) async fn log(
    shared: &Arc<Shared>,
    shard: ShardNo,
    after: Lsn,
    records_max: usize,
    bytes_max: usize,
) -> Result<LogPage, StoreError> {
    let published = shared.published();
    let short = after.0.saturating_add(SHORT_LOG_NUMBERS) >= published.0;
    let read = move |shared: &Shared| {
        // The shard as of a moment not before `published`: a seal that is seen here may lie above it.
        let info = shared.shards.read().get(shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
        let from = after.max(before(info.horizon));
        let found = shared.log.read(shard, from, records_max, bytes_max, published)?;
        let sealed = info.sealed.is_some_and(|last| last <= published);
        let ended = sealed && !found.more;
        Ok(LogPage {
            next: found.next.max(after),
            records: found.records,
            ended,
            more: found.more,
            horizon: info.horizon,
        })
    };
    read_aside(shared, short, read).await
}

/// The number to read after for a position.
pub(super) async fn position(shared: &Arc<Shared>, shard: ShardNo, position: LogPosition) -> Result<Lsn, StoreError> {
    let published = shared.published();
    let info = shared.shards.read().get(shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
    match position {
        LogPosition::Horizon => Ok(before(info.horizon)),
        LogPosition::End => Ok(published),
        LogPosition::Time(ms) => {
            let read = move |shared: &Shared| shared.log.position_at_time(shard, ms, published);
            read_aside(shared, false, read).await
        }
    }
}

/// The values of a commit's declared keys.
pub(super) struct Declared {
    pub shared: Vec<Option<Bytes>>,
    pub exclusive: Vec<Option<Bytes>>,
    /// The newest commit that wrote one of them and was not published yet.
    pub newest_read: Ticket,
}

/// Reads a commit's declared keys; the caller holds their latches.
pub(super) fn declared(shared: &Shared, shared_keys: &[Key], exclusive_keys: &[Key]) -> Result<Declared, StoreError> {
    let mut newest_read: Ticket = 0;
    let mut read = |keys: &[Key]| -> Result<Vec<Option<Bytes>>, StoreError> {
        keys.iter()
            .map(|key| match shared.overlay.get(&key.0) {
                Some((value, ticket)) => {
                    newest_read = newest_read.max(ticket);
                    Ok(value)
                }
                None => shared.tree.get(&key.0),
            })
            .collect()
    };
    let (shared_values, exclusive_values) = (read(shared_keys)?, read(exclusive_keys)?);
    Ok(Declared { shared: shared_values, exclusive: exclusive_values, newest_read })
}
