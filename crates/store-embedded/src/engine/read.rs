//! Reads: points, pages, the log, and the declared keys of a commit.
//!
//! Invariants: each read is of one point in time and of published rows only, but for the declared keys, which are read
//! under their latches and newest first (overlay, then tree). What is in memory and short runs where it is asked for; what
//! waits for the disk, or is long, goes on on a reader thread (`readers`) where it stopped.
//!
//! What it does not do: it changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use tailrace_core::{Lsn, limits};
use tailrace_store::keyspace::{CountChange, ItemCount};
use tailrace_store::{
    Declared, Key, KeyRange, LogPage, LogPosition, Page, PageLimit, ReadPoint, RecordNo, Seen, ShardNo, StoreError,
    Tally,
};

use crate::log::LogRead;
use crate::queue::Ticket;
use crate::state::EngineState;
use crate::tree::{Effort, Paging, Snapshot, Stop};

/// Numbers that a read of the log may lie behind and still be served on the runtime's own thread: what it reads was
/// written just now, and is in the system's memory, unless it was written before the start.
const SHORT_LOG_NUMBERS: u64 = 256;

/// Runs `read` on a reader thread.
async fn aside<T: Send + 'static>(
    state: &Arc<EngineState>,
    read: impl FnOnce(&EngineState) -> T + Send + 'static,
) -> Result<T, StoreError> {
    let there = state.clone();
    state.readers.run(move || read(&there)).await
}

/// The values of keys at a point in time, as many as the effort is enough for.
fn get_some(
    state: &EngineState,
    snapshot: &Snapshot,
    keys: &[Key],
    effort: &mut Effort,
) -> Result<Vec<Option<Bytes>>, StoreError> {
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        match state.tree.get_at(snapshot, &key.0, effort) {
            Ok(value) => values.push(value),
            Err(Stop::Aside) => break,
            Err(stop) => return Err(state.tree.failed(stop)),
        }
    }
    Ok(values)
}

/// The values of keys, all of one point in time.
pub(super) async fn get(state: &Arc<EngineState>, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
    let snapshot = state.tree.snapshot();
    let mut values = state.checked(get_some(state, &snapshot, keys, &mut Effort::inline()))?;
    if values.len() < keys.len() {
        let rest = keys[values.len()..].to_vec();
        let read = move |state: &EngineState| get_some(state, &snapshot, &rest, &mut Effort::unbounded());
        values.extend(state.checked(aside(state, read).await.flatten())?);
    }
    Ok(values)
}

/// A page of rows, all of one point in time.
pub(super) async fn page(state: &Arc<EngineState>, range: KeyRange, limit: PageLimit) -> Result<Page, StoreError> {
    if range.is_empty() {
        return Ok(Page::default());
    }
    let mut paging = Paging::new(&state.tree, range, limit);
    let mut done = state.checked(paging.run(&state.tree, &mut Effort::inline()))?;
    while !done {
        let read = move |state: &EngineState| {
            let done = paging.run_turn(&state.tree);
            done.map(|done| (paging, done))
        };
        (paging, done) = state.checked(aside(state, read).await.flatten())?;
    }
    Ok(paging.into_page())
}

/// A page of rows, and the number up to which the records of each shard are in them: the same for all, the LSN of the point in time.
pub(super) async fn page_beside_log(
    state: &Arc<EngineState>,
    range: KeyRange,
    limit: PageLimit,
    shards: &[ShardNo],
) -> Result<(Page, Vec<RecordNo>), StoreError> {
    let is_unknown = |shard: &&ShardNo| state.published.shards().get(**shard).is_none();
    if let Some(unknown) = shards.iter().find(is_unknown) {
        return Err(StoreError::NoSuchShard(*unknown));
    }
    let begin = move |state: &EngineState| {
        let _publishing = state.publishing.lock();
        (state.tree.snapshot(), state.published.last())
    };
    let (snapshot, last) = aside(state, begin).await?;
    let numbers = vec![RecordNo(last.0); shards.len()];
    if range.is_empty() {
        return Ok((Page::default(), numbers));
    }
    let mut paging = Paging::at(snapshot, range, limit);
    loop {
        let read = move |state: &EngineState| {
            let done = paging.run_turn(&state.tree);
            done.map(|done| (paging, done))
        };
        let done;
        (paging, done) = state.checked(aside(state, read).await.flatten())?;
        if done {
            return Ok((paging.into_page(), numbers));
        }
    }
}

/// Counts a range and reads a row at the same point in time, a page of the range after the other.
pub(super) async fn tally(
    state: &Arc<EngineState>,
    range: KeyRange,
    size: fn(&[u8]) -> usize,
    key: &Key,
) -> Result<Tally, StoreError> {
    let limit = PageLimit {
        rows_max: limits::TALLY_PAGE_ROWS,
        cost_max: limits::TALLY_PAGE_BYTES,
        cost: |key, value| key.len() + value.len(),
    };
    let snapshot = state.tree.snapshot();
    let (at, key) = (snapshot.clone(), [key.clone()]);
    let read = move |state: &EngineState| get_some(state, &at, &key, &mut Effort::unbounded());
    let value = state.checked(aside(state, read).await.flatten())?.pop().flatten();
    let (mut count, mut left) = (CountChange::default(), Some(range).filter(|range| !range.is_empty()));
    while let Some(range) = left {
        let mut paging = Paging::at(snapshot.clone(), range.clone(), limit);
        loop {
            let read = move |state: &EngineState| {
                let done = paging.run_turn(&state.tree);
                done.map(|done| (paging, done))
            };
            let done;
            (paging, done) = state.checked(aside(state, read).await.flatten())?;
            if done {
                break;
            }
        }
        let page = paging.into_page();
        let ItemCount { rows, bytes } = page.rows.iter().map(|(_, value)| size(value)).collect();
        count += CountChange { rows: rows as i64, bytes: bytes as i64 };
        left = page.rows.last().filter(|_| page.limited).map(|(last, _)| range.after(last));
    }
    Ok(Tally { count: ItemCount::default().changed(count), value })
}

/// Published records of a shard. Damage in what is read is that reader's error and ends nothing else: the rows are in the
/// tree, what is committed does not depend on it, and the operator can set it aside.
pub(super) async fn log(
    state: &Arc<EngineState>,
    shard: ShardNo,
    after: RecordNo,
    records_max: usize,
    bytes_max: usize,
) -> Result<LogPage, StoreError> {
    let published = state.published.last();
    let read = move |state: &EngineState, bytes_max, own: bool| {
        // The shard as of a moment not before `published`: a seal that is seen here may lie above it.
        let info = state.published.shards().get(shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
        // A record's number is its LSN.
        let from = Lsn(after.max(info.horizon.before()).0);
        let found = match own {
            true => state.log.read_own(shard, from, records_max, bytes_max, published)?,
            false => Some(state.log.read(shard, from, records_max, bytes_max, published)?),
        };
        let sealed = info.sealed.is_some_and(|last| last.0 <= published.0);
        let page = |found: LogRead| LogPage {
            next: RecordNo(found.next.0).max(after),
            records: found.records,
            ended: sealed && !found.more,
            more: found.more,
            horizon: info.horizon,
            lost: found.lost.iter().map(|lost| RecordNo(lost.start().0)..=RecordNo(lost.end().0)).collect(),
        };
        Ok(found.map(page))
    };
    if after.0.saturating_add(SHORT_LOG_NUMBERS) >= published.0 {
        let short_max = bytes_max.min(limits::LOG_READ_INLINE_BYTES_MAX);
        let page: Option<LogPage> = read(state, short_max, true)?;
        // One that was cut short for the runtime's sake is read again in full.
        let is_whole = |page: &LogPage| !page.more || page.records.len() >= records_max || short_max == bytes_max;
        if let Some(page) = page.filter(is_whole) {
            return Ok(page);
        }
    }
    let page = aside(state, move |state| read(state, bytes_max, false)).await.flatten()?;
    Ok(page.expect("invariant: nothing is kept from a reader thread"))
}

/// The number to read after for a position.
pub(super) async fn position(
    state: &Arc<EngineState>,
    shard: ShardNo,
    position: LogPosition,
) -> Result<RecordNo, StoreError> {
    let published = state.published.last();
    let info = state.published.shards().get(shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
    match position {
        LogPosition::Horizon => Ok(info.horizon.before()),
        LogPosition::End => Ok(RecordNo(published.0)),
        LogPosition::Time(ms) => {
            let read = move |state: &EngineState| state.log.position_at_time(shard, ms, published);
            Ok(RecordNo(aside(state, read).await.flatten()?.0))
        }
    }
}

/// The values of a commit's declared keys.
pub(super) struct Rows {
    pub shared: Vec<Option<Bytes>>,
    pub exclusive: Vec<Option<Bytes>>,
    /// The newest commit that wrote one of them and was not published yet.
    pub newest_read: Ticket,
}

/// Published values of a commit's keys, fetched before their latches are taken.
pub(super) struct Fetched {
    at: ReadPoint,
    values: HashMap<Key, Option<Bytes>>,
}

/// Reads a commit's declared keys; the caller holds their latches. `None`: some of them are not in memory, or it would
/// take long: [`fetch`] them without the latches, and come again.
pub(super) fn declared(
    state: &EngineState,
    Declared { shared, exclusive, seen, .. }: Declared<'_>,
    fetched: Option<&Fetched>,
) -> Result<Option<Rows>, StoreError> {
    let mut newest_read = 0;
    let mut pending = |key: &Key| {
        let (value, ticket) = state.overlay.get(&key.0)?;
        newest_read = newest_read.max(ticket);
        Some(value)
    };
    // A commit of one item has two keys, its table's descriptor and its own.
    let pending: SmallVec<[Option<Option<Bytes>>; 4]> = shared.iter().chain(exclusive).map(&mut pending).collect();
    // Nobody else changes the keys now, and what is pending no more is published: a snapshot that is taken from here on has the
    // newest value.
    let now = state.tree.snapshot();
    let mut effort = Effort::inline();
    let mut read = |key: &Key, seen: Option<(ReadPoint, &Bytes)>| {
        let known = match (fetched.and_then(|fetched| Some((fetched.at, fetched.values.get(key)?))), seen) {
            (Some((at, value)), _) => state.tree.get_since(&now, at, &key.0, || value.clone()),
            (None, Some((at, value))) => state.tree.get_since(&now, at, &key.0, || Some(value.clone())),
            (None, None) => None,
        };
        known.map_or_else(|| state.tree.get_at(&now, &key.0, &mut effort), Ok)
    };
    let mut pending = pending.into_iter();
    let mut read_all = |keys: &[Key], seen: Option<Seen<'_>>| {
        let before = |n: usize| seen.and_then(|seen| Some((seen.at, seen.values.get(n)?)));
        let value = |(n, (key, pending)): (usize, (&Key, Option<Option<Bytes>>))| match pending {
            Some(value) => Ok(value),
            None => read(key, before(n)),
        };
        keys.iter().zip(&mut pending).enumerate().map(value).collect::<Result<Vec<_>, Stop>>()
    };
    let values = read_all(shared, None).and_then(|shared| Ok((shared, read_all(exclusive, seen)?)));
    match values {
        Ok((shared, exclusive)) => Ok(Some(Rows { shared, exclusive, newest_read })),
        Err(Stop::Aside) => Ok(None),
        Err(stop) => Err(state.tree.failed(stop)),
    }
}

/// Fetches the published values of keys on a reader thread.
pub(super) async fn fetch(state: &Arc<EngineState>, keys: impl Iterator<Item = &Key>) -> Result<Fetched, StoreError> {
    let keys: Vec<Key> = keys.cloned().collect();
    let read = move |state: &EngineState| {
        let snapshot = state.tree.snapshot();
        let values = get_some(state, &snapshot, &keys, &mut Effort::unbounded())?;
        Ok(Fetched { at: snapshot.point(), values: keys.into_iter().zip(values).collect() })
    };
    state.checked(aside(state, read).await.flatten())
}
