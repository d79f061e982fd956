//! The snapshot of a table that a sink may begin with: its items, a page after the other, and then the stream from there on,
//! without a gap or a double, whatever is written meanwhile and wherever a crash cuts it off.
//!
//! A page is read together with the number, for each shard, that parts the shard's records: those up to it are in the page's items. The
//! numbers of each page are kept, and the consumer, which starts at a point before the first page, passes over a record whose
//! item lies in a page that has it already. Before a page is sent it is written into the store, so that what is sent again
//! after a crash is what was sent before. Source: docs/spec/sinks.md 1, "Backfill".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::codec::{StoredItem, encode_stored};
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_core::{EpochMs, Item, KeySchema, MappingId, RecordNo, ShardNo, StreamId, TableId, ViewType};
use tailrace_delivery::{each, read_row};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::{ChangeKind, RecordMeta};
use tailrace_store::keyspace::{ItemKey, SinkSnapshotKey};
use tailrace_store::{Decision, Engine, Key, PageLimit, ShardInfo, StoreError, Write, commit};

use crate::sink::Bounds;

const ROW_VERSION: u32 = 1;

/// Most items of a page.
pub const PAGE_ITEMS_MAX: usize = 1000;
/// Most bytes of its items, beside the last. Our reason: a page is one row, and an item may have 400 KB.
pub const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Rows that one commit removes.
const REMOVED_AT_ONCE: u64 = 500;

/// What a snapshot is of.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The consumer, or what its rows are under instead.
    pub consumer: MappingId,
    /// The table.
    pub table: TableId,
    /// Its primary key.
    pub key: KeySchema,
    /// Its stream.
    pub stream: StreamId,
}

/// How far a snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    v: u32,
    /// Pages that are at the target.
    pub pages: u64,
    /// Their items.
    pub items: u64,
    /// Items that the target will never take.
    pub rejected: u64,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rejected: Option<RejectedItem>,
    /// The key behind which the next page begins, base64.
    after: Option<String>,
    /// All of it is at the target.
    pub done: bool,
}

/// An item that the target will never take as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedItem {
    /// Its key, in DynamoDB's JSON.
    pub key: String,
    /// What the target said.
    pub error: String,
}

/// A page that is to be sent.
#[derive(Clone, Debug)]
pub struct StagedPage {
    /// Its number.
    pub page: u64,
    /// The version of the sink under which it was made.
    pub version: u32,
    /// Its items, as INSERTs.
    pub records: Vec<StreamRecord>,
    last: Option<String>,
    seen: Bytes,
}

/// The stored form of a page that is under way.
#[derive(Serialize, Deserialize)]
struct StagedRow {
    v: u32,
    /// The version of the sink that makes it; 0: of a program that did not note it.
    #[serde(default)]
    version: u32,
    page: u64,
    time_ms: EpochMs,
    /// The key of the last item; none: nothing is behind it.
    last: Option<String>,
    /// Shard and number of each item, and the item.
    items: Vec<(ShardNo, RecordNo, String)>,
}

/// What a page reaches to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reach {
    v: u32,
    /// The key of its last item, base64; none: it is the last page.
    last: Option<String>,
    /// The number of each shard.
    numbers: Vec<(ShardNo, RecordNo)>,
}

/// What its rows are called in errors.
const WHAT: &str = "a sink's snapshot";

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{WHAT}: {error}"))
}

fn encode(row: &impl Serialize) -> Bytes {
    serde_json::to_vec(row).expect("invariant: the rows of a snapshot have only string keys").into()
}

fn read<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, StoreError> {
    read_row(WHAT, ROW_VERSION, value)
}

fn row(consumer: MappingId, part: u64) -> Key {
    SinkSnapshotKey { consumer, part }.encode()
}

fn key_of(text: &str) -> Result<Bytes, StoreError> {
    BASE64.decode(text).map(Bytes::from).map_err(corrupt)
}

/// How far the snapshot of a consumer is.
///
/// # Errors
/// The store's.
pub async fn progress(store: &dyn Engine, consumer: MappingId) -> Result<Progress, StoreError> {
    let stored = store.get(&[row(consumer, SinkSnapshotKey::PROGRESS)]).await?.pop().flatten();
    let none = Progress { v: ROW_VERSION, ..Progress::default() };
    stored.map_or(Ok(none), |stored| read(&stored))
}

/// The page that is to be sent next: the one that was under way, or a new one, which is durable when it is answered. `None`: all
/// of the table is at the target.
///
/// # Errors
/// The store's.
pub async fn stage(
    store: &dyn Engine,
    scope: &Scope,
    (version, bounds): (u32, Bounds),
    now_ms: EpochMs,
) -> Result<Option<StagedPage>, StoreError> {
    let keys = [SinkSnapshotKey::PROGRESS, SinkSnapshotKey::STAGED].map(|part| row(scope.consumer, part));
    let stored = store.get(&keys).await?;
    let progress: Option<Progress> = stored[0].as_deref().map(read).transpose()?;
    let progress = progress.unwrap_or(Progress { v: ROW_VERSION, ..Progress::default() });
    if progress.done {
        return Ok(None);
    }
    if let Some(staged) = &stored[1] {
        return staged_page(scope, staged).map(Some);
    }
    let mut range = ItemKey::table_range(scope.table);
    if let Some(after) = &progress.after {
        range = range.after(&Key(key_of(after)?));
    }
    // A page is one flush, and comes again as a whole.
    let limit = PageLimit {
        rows_max: PAGE_ITEMS_MAX.min(bounds.records_max.max(1)),
        cost_max: PAGE_BYTES_MAX.min(bounds.bytes_max.max(1)),
        cost: |_, value| value.len(),
    };
    let (page, shards, numbers) = loop {
        let shards = store.shards(scope.stream).await?;
        let numbers: Vec<ShardNo> = shards.iter().map(|info| info.shard).collect();
        let (page, reached) = match store.page_beside_log(range.clone(), limit, &numbers).await {
            Err(StoreError::NoSuchShard(_)) => continue,
            page => page?,
        };
        // A shard that came meanwhile may have records that are in the page, and no number says which.
        if store.shards(scope.stream).await?.iter().map(|info| info.shard).eq(numbers.iter().copied()) {
            break (page, shards, numbers.into_iter().zip(reached).collect::<Vec<_>>());
        }
    };
    let last = page.rows.last().filter(|_| page.limited).map(|(key, _)| BASE64.encode(&key.0));
    let items = page.rows.iter().map(|(key, value)| {
        let (shard, number) = place(&shards, &numbers, key)?;
        Ok((shard, number, BASE64.encode(value)))
    });
    let items = items.collect::<Result<Vec<_>, StoreError>>()?;
    let page = progress.pages;
    let staged = StagedRow { v: ROW_VERSION, version, page, time_ms: now_ms, last: last.clone(), items };
    let value = encode(&staged);
    let reach = encode(&Reach { v: ROW_VERSION, last, numbers });
    let reach_key = row(scope.consumer, SinkSnapshotKey::FIRST_PAGE + progress.pages);
    let exclusive = [keys[0].clone(), keys[1].clone(), reach_key.clone()];
    let committed = commit(store, &[], &exclusive, |reads| {
        if reads.exclusive[0] != stored[0] || reads.exclusive[1].is_some() {
            return Decision::Reject(false);
        }
        let puts = [(keys[1].clone(), value.clone()), (reach_key.clone(), reach.clone())];
        Decision::Apply(puts.map(|(key, value)| Write::Put { key, value }).to_vec(), true)
    });
    if !committed.await?.answer {
        return Err(StoreError::Io("another server takes the snapshot as well".to_owned()));
    }
    staged_page(scope, &value).map(Some)
}

/// The shard of an item, and the number up to which it is in the page.
fn place(shards: &[ShardInfo], numbers: &[(ShardNo, RecordNo)], key: &Key) -> Result<(ShardNo, RecordNo), StoreError> {
    let item = ItemKey::decode(key).ok_or_else(|| corrupt("the key of an item"))?;
    let holds = |info: &ShardInfo| info.range.first <= item.bucket && item.bucket <= info.range.last;
    // The newest of them: children come behind their parents.
    let newest = shards.iter().zip(numbers).filter(|(info, _)| holds(info)).map(|(_, number)| *number).next_back();
    Ok(newest.unwrap_or((ShardNo(0), RecordNo::ZERO)))
}

fn staged_page(scope: &Scope, stored: &Bytes) -> Result<StagedPage, StoreError> {
    let staged: StagedRow = read(stored)?;
    let mut records = Vec::with_capacity(staged.items.len());
    for (shard, number, item) in staged.items {
        let item = Bytes::from(BASE64.decode(item).map_err(corrupt)?);
        let decoded = StoredItem::new(&item).and_then(|item| item.decode()).map_err(corrupt)?;
        let of_key = |name: &String| {
            scope.key.hash.name == *name || scope.key.range.as_ref().is_some_and(|range| range.name == *name)
        };
        let keys: Item = decoded.into_iter().filter(|(name, _)| of_key(name)).collect();
        let keys = Bytes::from(encode_stored(&keys));
        let meta = RecordMeta {
            kind: ChangeKind::Insert,
            view: ViewType::NewAndOldImages,
            by_service: false,
            caller: None,
            keys,
        };
        records.push(StreamRecord { shard, number, time_ms: staged.time_ms, meta, old: None, new: Some(item) });
    }
    Ok(StagedPage { page: staged.page, version: staged.version, records, last: staged.last, seen: stored.clone() })
}

/// The first `taken` items of the page are at the target, but for those that it will never take. Of the others, if there are any, the page
/// is from now on.
///
/// # Errors
/// The store's.
pub async fn confirm(
    store: &dyn Engine,
    scope: &Scope,
    page: &StagedPage,
    taken: usize,
    rejected: &[RejectedItem],
) -> Result<(), StoreError> {
    let mut left: StagedRow = read(&page.seen)?;
    left.items.drain(..taken.min(left.items.len()));
    let is_whole = left.items.is_empty();
    let left = encode(&left);
    let keys = [SinkSnapshotKey::PROGRESS, SinkSnapshotKey::STAGED].map(|part| row(scope.consumer, part));
    let committed = commit(store, &[], &keys, |reads| {
        if reads.exclusive[1].as_ref() != Some(&page.seen) {
            return Decision::Reject(None);
        }
        let before = match reads.exclusive[0].as_deref().map(read::<Progress>).transpose() {
            Ok(before) => before.unwrap_or_default(),
            Err(error) => return Decision::Reject(Some(Err(error))),
        };
        let progress = Progress {
            v: ROW_VERSION,
            pages: if is_whole { page.page + 1 } else { before.pages },
            items: before.items + taken as u64,
            rejected: before.rejected + rejected.len() as u64,
            last_rejected: rejected.last().cloned().or(before.last_rejected),
            after: if is_whole { page.last.clone() } else { before.after },
            done: is_whole && page.last.is_none(),
        };
        let put = Write::Put { key: keys[0].clone(), value: encode(&progress) };
        let staged = match is_whole {
            true => Write::Delete { key: keys[1].clone() },
            false => Write::Put { key: keys[1].clone(), value: left.clone() },
        };
        Decision::Apply(vec![put, staged], Some(Ok(())))
    });
    let lost = || StoreError::Io("another server takes the snapshot as well".to_owned());
    committed.await?.answer.ok_or_else(lost)?
}

/// What the pages of a snapshot reach to: which records of the stream they have already.
#[derive(Clone, Debug, Default)]
pub struct Reaches {
    /// The table and its primary key.
    of: Option<(TableId, KeySchema)>,
    /// By the key of the last item; the last page has none.
    pages: Vec<(Option<Bytes>, BTreeMap<ShardNo, RecordNo>)>,
}

impl Reaches {
    /// Those of a snapshot that is done; none, if it is forgotten already.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(store: &dyn Engine, scope: &Scope) -> Result<Reaches, StoreError> {
        let mut pages: Vec<(Option<Bytes>, BTreeMap<ShardNo, RecordNo>)> = Vec::new();
        each(store, SinkSnapshotKey::consumer_range(scope.consumer), |key, value| {
            let part = SinkSnapshotKey::decode(&key).ok_or_else(|| corrupt("a key"))?.part;
            if part >= SinkSnapshotKey::FIRST_PAGE {
                let Reach { last, numbers, .. } = read(&value)?;
                let numbers: BTreeMap<ShardNo, RecordNo> = numbers.into_iter().collect();
                let last = last.as_deref().map(key_of).transpose()?;
                // Pages between which nothing was written are one.
                match pages.last_mut().filter(|(_, known)| *known == numbers) {
                    Some(known) => known.0 = last,
                    None => pages.push((last, numbers)),
                }
            }
            Ok(())
        })
        .await?;
        Ok(Reaches { of: Some((scope.table, scope.key.clone())), pages })
    }

    /// No record is passed over.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Whether the snapshot has what the record wrote.
    ///
    /// # Errors
    /// Corrupt.
    pub fn has(&self, record: &StreamRecord) -> Result<bool, StoreError> {
        let (Some((table, schema)), false) = (&self.of, self.pages.is_empty()) else { return Ok(false) };
        let keys = record.keys()?;
        let bytes =
            |name: &str| keys.get(name).and_then(key_value_bytes).ok_or_else(|| corrupt("a record without its key"));
        let partition = bytes(&schema.hash.name)?;
        let sort = schema.range.as_ref().map(|range| bytes(&range.name)).transpose()?.unwrap_or_default();
        let key = ItemKey::key(*table, partition_hash(&partition).bucket, &partition, &sort);
        let page = self.pages.partition_point(|(last, _)| last.as_ref().is_some_and(|last| *last < key.0));
        let reached = self.pages.get(page).and_then(|(_, numbers)| numbers.get(&record.shard));
        Ok(reached.is_some_and(|reached| record.number <= *reached))
    }

    /// Every record of `shard` behind this number is wanted; `None`: every record of it is.
    pub fn end(&self, shard: ShardNo) -> Option<RecordNo> {
        self.pages.iter().filter_map(|(_, numbers)| numbers.get(&shard)).max().copied()
    }
}

/// Forgets what the pages reach to, when no record of their time will come again. How far it came stays.
///
/// # Errors
/// The store's.
pub async fn forget_reaches(store: &dyn Engine, consumer: MappingId) -> Result<(), StoreError> {
    remove(store, consumer, SinkSnapshotKey::FIRST_PAGE).await
}

/// Removes everything of the snapshot of a consumer. Safe to repeat.
///
/// # Errors
/// The store's.
pub async fn delete(store: &dyn Engine, consumer: MappingId) -> Result<(), StoreError> {
    remove(store, consumer, SinkSnapshotKey::PROGRESS).await
}

async fn remove(store: &dyn Engine, consumer: MappingId, from: u64) -> Result<(), StoreError> {
    let limit = PageLimit { rows_max: REMOVED_AT_ONCE as usize, cost_max: usize::MAX, cost: |_, _| 0 };
    let mut range = SinkSnapshotKey::consumer_range(consumer);
    range.start = std::ops::Bound::Included(row(consumer, from).0);
    loop {
        let page = store.page(range.clone(), limit).await?;
        let keys: Vec<Key> = page.rows.into_iter().map(|(key, _)| key).collect();
        if !keys.is_empty() {
            let deletes = || keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
            commit(store, &[], &keys, |_| Decision::Apply(deletes(), ())).await?;
        }
        if !page.limited {
            return Ok(());
        }
    }
}
