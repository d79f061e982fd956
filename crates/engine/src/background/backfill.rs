//! An index that an UpdateTable made is filled with the items from before it, beside the writes of clients.
//! Source: docs/spec/dynamodb-api.md 8.1.
//!
//! Invariants
//! - From the commit that makes the index on, every write of an item enters it. So an item that is read here and is another
//!   one at the commit of its entry has been entered by whoever changed it: its entry is left to him. An item that still is
//!   what was read is entered as it was read. The rows of the items are exclusive keys of the commit, so that neither
//!   overtakes the other.
//! - How far it is stands in a row ([`IndexBuild`]), which never runs ahead of entries that are durable; what was entered
//!   behind it is entered again after a crash, to the same effect.
//! - The index is told to be active in the commit that removes that row. An index, or a table, that goes meanwhile ends it: no
//!   commit enters anything into an index that the descriptor does not have.
//! - An item with a key attribute that the index cannot take is left out, as on AWS; so is one that cannot be read, which is named.
//!
//! A tick looks at a bounded number of items, some pages of them at once; an index after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tailrace_core::limits::{
    AWS_LIKE_LOOK, BACKFILL_INTERVAL, BACKFILL_PAGE_BYTES, BACKFILL_PAGE_ITEMS, BACKFILL_PAGES_AT_ONCE,
    BACKFILL_PAGES_PER_TICK,
};
use tailrace_core::{ApiError, EpochMs};
use tailrace_store::keyspace::{IndexBuild, IndexBuildKey, ItemKey, ItemSet, TableKey};
use tailrace_store::{
    Decision, Declared, Key, KeyRange, Page, PageLimit, ReadPoint, Seen, StoreError, Write, commit, commit_declared,
};

use super::{Failures, Progress, Task, Tick};
use crate::aside::aside;
use crate::db::{Db, StoredTable};
use crate::items::index_entries::{Entry, EntryWriter};
use crate::settings::Settings;
use crate::table::Table;
use crate::tables::counts::lacking;
use crate::tables::index::{Index, IndexStatus};
use crate::tables::states::TransitionKind;

/// What an entry takes if it is a usual one: a page has room for so many from its start.
const ENTRY_BYTES_EXPECTED: usize = 192;

/// The pass over the indexes that are being filled.
pub struct Backfill {
    /// The last index that the pass is through with.
    behind: Mutex<Option<Key>>,
    bounds: Bounds,
}

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Items of a commit.
    pub page_items: usize,
    /// Pages of a tick.
    pub pages_per_tick: usize,
}

impl Default for Backfill {
    fn default() -> Backfill {
        let (page_items, pages_per_tick) = (BACKFILL_PAGE_ITEMS, BACKFILL_PAGES_PER_TICK);
        Backfill::within(Bounds { page_items, pages_per_tick })
    }
}

impl Backfill {
    /// The pass with other bounds.
    pub(crate) fn within(bounds: Bounds) -> Backfill {
        Backfill { behind: Mutex::default(), bounds }
    }
}

/// What came of a tick's work on an index.
enum Outcome {
    /// There are more items.
    More(String),
    /// It is filled, or is not there any more.
    Done,
    /// It is filled, and is told to be on its way for a while.
    Waits,
}

/// Why the work on an index ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Api(ApiError),
    #[error("corrupt data: the row of an index that is being filled")]
    Row,
}

impl Task for Backfill {
    fn name(&self) -> &'static str {
        "backfill"
    }

    fn interval(&self, settings: &Settings) -> Duration {
        if settings.aws_like_states { AWS_LIKE_LOOK } else { BACKFILL_INTERVAL }
    }

    fn due<'a>(&'a self, db: &'a Db) -> BoxFuture<'a, ()> {
        db.index_made.notified().boxed()
    }

    fn tick<'a>(&'a self, db: &'a Db, now_ms: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let mut failures = Failures::default();
            let behind = self.behind.lock().take();
            let progress = match go_on(db, self.bounds, behind, now_ms, &mut failures).await {
                Ok(Some((behind, left))) => {
                    *self.behind.lock() = behind;
                    Progress::More(left)
                }
                Ok(None) => Progress::Done,
                Err(error) => {
                    failures.note("indexes that are being filled", error);
                    Progress::Done
                }
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// One tick: the last index that is done with, and what is next; `None` at the end of the pass.
async fn go_on(
    db: &Db,
    bounds: Bounds,
    behind: Option<Key>,
    now: EpochMs,
    failures: &mut Failures,
) -> Result<Option<(Option<Key>, String)>, StoreError> {
    let range = match &behind {
        Some(last) => IndexBuildKey::range().after(last),
        None => IndexBuildKey::range(),
    };
    let page = db.store.page(range, PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 }).await?;
    let Some((key, row)) = page.rows.first() else { return Ok(None) };
    match fill(db, bounds, key, row, now).await {
        Ok(Outcome::More(left)) => return Ok(Some((behind, left))),
        Ok(Outcome::Done | Outcome::Waits) => {}
        Err(Failure::Store(StoreError::Closed)) => return Err(StoreError::Closed),
        Err(error) => failures.note("an index that is being filled", error),
    }
    Ok(Some((Some(key.clone()), "indexes that are being filled".to_owned())))
}

/// A tick's work on one index.
async fn fill(db: &Db, bounds: Bounds, key: &Key, row: &Bytes, now: EpochMs) -> Result<Outcome, Failure> {
    let (Some(IndexBuildKey { set }), Some(build)) = (IndexBuildKey::decode(key), IndexBuild::decode(row)) else {
        return Err(Failure::Row);
    };
    let table = db.find_table(&build.table).await.map_err(Failure::Api)?;
    let Some(table) = table.filter(|table| being_filled(table, set).is_some()) else {
        give_up(db, key, row).await?;
        return Ok(Outcome::Done);
    };
    if is_not_begun(&table, set, now) {
        return Ok(Outcome::Waits);
    }
    let mut range = ItemKey::table_range(set.table);
    if let Some(last) = &build.behind {
        range = range.after(last);
    }
    let Some(entered) = enter_pages(db, bounds, &table, set, range).await? else { return Ok(Outcome::Done) };
    let waits = table.under_way(Some(set.index), now) == Some(TransitionKind::Creating);
    if !entered.more && !waits {
        begin_counting(db, &table, set).await?;
        let lacks = lacking(db.store.as_ref(), set).await?;
        activate(db, key, &table, set, lacks).await?;
        return Ok(Outcome::Done);
    }
    if entered.last.is_some() {
        note_progress(db, key, row, &IndexBuild { behind: entered.last, ..build }).await?;
    }
    if !entered.more {
        return Ok(Outcome::Waits);
    }
    let index = being_filled(&table, set).map_or("", |index| index.name.as_str());
    Ok(Outcome::More(format!("the index {index} of the table {}", table.name)))
}

/// The index, if it is there and being filled.
fn being_filled(table: &Table, set: ItemSet) -> Option<&Index> {
    let wanted = |index: &&Index| index.id == set.index && index.status == IndexStatus::Creating;
    table.indexes.iter().find(wanted).filter(|_| table.id == set.table)
}

/// The index is told not to be filled yet.
fn is_not_begun(table: &Table, set: ItemSet, now: EpochMs) -> bool {
    being_filled(table, set).is_some_and(|index| table.index_status(index, now).1 == Some(false))
}

/// What a tick has entered.
#[derive(Default)]
struct Entered {
    /// The last item that was looked at.
    last: Option<Key>,
    /// There may be more behind it.
    more: bool,
}

/// Enters the next pages of items, several at once; `None`: the index is gone.
async fn enter_pages(
    db: &Db,
    bounds: Bounds,
    table: &Arc<StoredTable>,
    set: ItemSet,
    range: KeyRange,
) -> Result<Option<Entered>, Failure> {
    let limit = PageLimit { rows_max: bounds.page_items, cost_max: BACKFILL_PAGE_BYTES, cost: |_, value| value.len() };
    let pages = futures_util::stream::try_unfold(Some(range), async |range| {
        let Some(range) = range else { return Ok(None) };
        let page = db.store.page(range.clone(), limit).await?;
        let next = page.rows.last().filter(|_| page.limited).map(|(last, _)| range.after(last));
        Ok::<_, Failure>(Some((page, next)))
    });
    let mut entering = pages
        .take(bounds.pages_per_tick)
        .map_ok(|page| async move {
            let entered = Entered { last: page.rows.last().map(|(key, _)| key.clone()), more: page.limited };
            Ok::<_, Failure>(enter(db, table, set, page).await?.then_some(entered))
        })
        .try_buffered(BACKFILL_PAGES_AT_ONCE)
        .boxed();
    let mut all = Entered::default();
    while let Some(entered) = entering.try_next().await? {
        let Some(entered) = entered else { return Ok(None) };
        all = Entered { last: entered.last.or(all.last), more: entered.more };
    }
    Ok(Some(all))
}

/// Enters the items of a page; false: the index is gone.
async fn enter(db: &Db, table: &Arc<StoredTable>, set: ItemSet, page: Page) -> Result<bool, Failure> {
    let of = Arc::clone(table);
    // A page of items takes more than a request may on the runtime's threads.
    let entries = aside(false, move || Ok(entries(&of, set, page))).await.map_err(Failure::Api)?;
    if entries.items.is_empty() {
        return Ok(true);
    }
    let shared = [table.row_key.clone()];
    let seen = Some(Seen { at: entries.at, values: &entries.values });
    let declared = Declared { shared: &shared, exclusive: &entries.items, seen, ..Declared::default() };
    let committed = commit_declared(db.store.as_ref(), declared, |reads| {
        let now = reads.shared[0].as_ref().and_then(|row| db.read_table(&table.name, row).ok());
        if now.is_none_or(|now| being_filled(&now, set).is_none()) {
            return Decision::Reject(false);
        }
        let found = reads.exclusive.iter().zip(&entries.values).zip(&entries.made);
        let unchanged = found.filter(|((found, read), _)| found.as_ref() == Some(read));
        let put = |Entry { key, value }: &Entry| Write::Put { key: key.clone(), value: value.clone() };
        let writes: Vec<Write> = unchanged.map(|(_, entry)| put(entry)).collect();
        if writes.is_empty() { Decision::Reject(true) } else { Decision::Apply(writes, true) }
    });
    Ok(committed.await?.answer)
}

/// The items of a page that have an entry, as they were read, and their entries.
#[derive(Default)]
struct Entries {
    at: ReadPoint,
    items: Vec<Key>,
    values: Vec<Bytes>,
    made: Vec<Entry>,
}

fn entries(table: &Table, set: ItemSet, page: Page) -> Entries {
    let Some(index) = being_filled(table, set) else { return Entries::default() };
    let count = page.rows.len();
    let mut made = EntryWriter::new(table, index, count * ENTRY_BYTES_EXPECTED);
    let (mut items, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (key, item) in page.rows {
        match made.push(&item) {
            Ok(true) => {
                items.push(key);
                values.push(item);
            }
            Ok(false) => {}
            // An index without one item is of more use than none; who reads the item is told.
            Err(error) => {
                let (table, index) = (&table.name, &index.name);
                tracing::error!(%table, %index, item = ?key, %error, "an item cannot be read: the index is filled without it");
            }
        }
    }
    Entries { at: page.at, items, values, made: made.finish() }
}

/// Keeps how far it is, unless the index has gone meanwhile, and the row with it.
async fn note_progress(db: &Db, key: &Key, row: &Bytes, build: &IndexBuild) -> Result<(), StoreError> {
    tailrace_store::compare_and_set(db.store.as_ref(), key, Some(row), Some(build.encode())).await.map(|_| ())
}

/// Removes the row of an index that is not there any more, or is not being filled.
async fn give_up(db: &Db, key: &Key, row: &Bytes) -> Result<(), StoreError> {
    tailrace_store::compare_and_set(db.store.as_ref(), key, Some(row), None).await.map(|_| ())
}

/// From here on each change of an entry is counted. What was entered before is not: [`lacking`] tells it then.
async fn begin_counting(db: &Db, table: &StoredTable, set: ItemSet) -> Result<(), Failure> {
    let keys = [TableKey::key(&table.name)];
    let committed = commit(db.store.as_ref(), &[], &keys, |reads| {
        let Some(row) = &reads.exclusive[0] else { return Decision::Reject(Ok(())) };
        let now = match db.read_table(&table.name, row) {
            Ok(now) => now,
            Err(error) => return Decision::Reject(Err(error)),
        };
        if being_filled(&now, set).is_none_or(|index| index.counted) {
            return Decision::Reject(Ok(()));
        }
        let mut counted = Table::clone(&now);
        counted.indexes.iter_mut().filter(|index| index.id == set.index).for_each(|index| index.counted = true);
        Decision::Apply(vec![Write::Put { key: keys[0].clone(), value: counted.encode_over(row) }], Ok(()))
    });
    committed.await?.answer.map_err(Failure::Api)
}

/// Tells the index to be active, unless it has gone meanwhile.
async fn activate(db: &Db, key: &Key, table: &StoredTable, set: ItemSet, lacks: Write) -> Result<(), Failure> {
    let keys = [TableKey::key(&table.name), key.clone()];
    let committed = commit(db.store.as_ref(), &[], &keys, |reads| {
        let forget = Write::Delete { key: keys[1].clone() };
        let Some(row) = &reads.exclusive[0] else { return Decision::Apply(vec![forget], Ok(())) };
        let now = match db.read_table(&table.name, row) {
            Ok(now) => now,
            Err(error) => return Decision::Reject(Err(error)),
        };
        let mut active = Table::clone(&now);
        if being_filled(&now, set).is_none() {
            return Decision::Apply(vec![forget], Ok(()));
        }
        active
            .indexes
            .iter_mut()
            .filter(|index| index.id == set.index)
            .for_each(|index| index.status = IndexStatus::Active);
        active.transitions.retain(|transition| transition.index != Some(set.index));
        let put = Write::Put { key: keys[0].clone(), value: active.encode_over(row) };
        Decision::Apply(vec![put, forget, lacks.clone()], Ok(()))
    });
    committed.await?.answer.map_err(Failure::Api)
}
