//! Expired items are deleted, and the expiries of times to live that have ended are handed to the store.
//! Source: docs/spec/dynamodb-api.md 8.2.
//!
//! A pass goes through the times to live, and through the rows of what is due of each by instant: it looks at nothing that has not
//! expired. Whether an item is still due is decided in the commit that deletes it, by the item as it is then: one that was renewed
//! meanwhile stays. A delete is the service's own, and its record says so; nothing is charged.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tailrace_core::limits::{EXPIRE_INTERVAL, EXPIRE_TABLES_PER_TICK, EXPIRED_PER_COMMIT, EXPIRED_PER_TICK};
use tailrace_core::{ApiError, EpochMs, ErrorCode, Item};
use tailrace_store::keyspace::{ExpiryKey, ItemKey, TimeToLiveKey};
use tailrace_store::{Key, PageLimit, StoreError};

use super::{Failures, Progress, Task, Tick, expiry_fill};
use crate::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::items::admission::Metering;
use crate::items::commit::commit_changes;
use crate::items::expiry::Due;
use crate::items::place::ItemPlace;
use crate::items::plan::{Action, Change, Written};
use crate::reclaim::reclaim_expiries;
use crate::settings::Settings;
use crate::tables::time_to_live::{Expiries, TimeToLiveRow};

/// The pass over all times to live.
#[derive(Default)]
pub struct Expire {
    place: Mutex<Place>,
}

/// Where a tick begins.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The last time to live that was looked at to its end.
    behind: Option<Key>,
    /// Of the next one: the last expiry that was looked at.
    within: Option<Key>,
}

impl Task for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn interval(&self, _settings: &Settings) -> Duration {
        EXPIRE_INTERVAL
    }

    fn tick<'a>(&'a self, db: &'a Db, now: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let place = std::mem::take(&mut *self.place.lock());
            let now = now.minus(db.settings.ttl_delay);
            let mut failures = Failures::default();
            let progress = match go_on(db, place, now, &mut failures).await {
                Ok(Some(next)) => {
                    *self.place.lock() = next;
                    Progress::More("expired items".to_owned())
                }
                Ok(None) => Progress::Done,
                Err(error) => {
                    failures.note("times to live", error);
                    Progress::Done
                }
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// One tick: where the next one begins, `None` at the end of the pass.
async fn go_on(db: &Db, mut place: Place, now: EpochMs, failures: &mut Failures) -> Result<Option<Place>, StoreError> {
    let (rows, more) = times_to_live(db, place.behind.as_ref(), EXPIRE_TABLES_PER_TICK).await?;
    // A store that refuses commits is asked once a pass whether it still does.
    let refuses = db.store.refuses_commits().is_some();
    let mut left = if refuses { EXPIRED_PER_COMMIT } else { EXPIRED_PER_TICK };
    for (key, row) in rows {
        if left == 0 {
            return Ok(Some(place));
        }
        let swept = sweep(db, &key, &row, now, place.within.take(), left, failures).await;
        if db.store.refuses_commits().is_some() {
            if let Err(error) = swept {
                failures.note("a time to live", error);
            }
            return Ok(None);
        }
        match swept {
            Ok(Swept { looked_at, next: Some(next), .. }) if looked_at > 0 => {
                return Ok(Some(Place { within: Some(next), ..place }));
            }
            Ok(swept) => left -= swept.looked_at,
            Err(error) => failures.note("a time to live", error),
        }
        place.behind = Some(key);
    }
    Ok(more.then_some(place))
}

/// Rows of times to live behind one of them, and whether there may be more.
pub(super) async fn times_to_live(
    db: &Db,
    behind: Option<&Key>,
    rows_max: usize,
) -> Result<(Vec<(Key, bytes::Bytes)>, bool), StoreError> {
    let range = TimeToLiveKey::range();
    let range = match behind {
        Some(behind) => range.after(behind),
        None => range,
    };
    let page = db.store.page(range, PageLimit { rows_max, cost_max: usize::MAX, cost: |_, _| 0 }).await?;
    Ok((page.rows, page.limited))
}

/// A time to live as its row has it.
///
/// # Errors
/// The row is none.
pub(super) fn read(key: &Key, row: &[u8]) -> Result<(TimeToLiveKey, TimeToLiveRow), ApiError> {
    let read = TimeToLiveKey::decode(key).zip(TimeToLiveRow::decode(row));
    read.ok_or_else(|| corrupt_row("the row of a time to live"))
}

/// What a look at a time to live came to.
#[derive(Debug, Default)]
struct Swept {
    /// Rows of expiries.
    looked_at: usize,
    /// Items that were deleted.
    deleted: u64,
    /// The last row, if there may be more behind it.
    next: Option<Key>,
}

/// Deletes what is due at `now` of one time to live, behind the row `within`, `rows_max` items at most; or reclaims its rows, if it
/// has ended.
async fn sweep(
    db: &Db,
    key: &Key,
    row: &[u8],
    now: EpochMs,
    within: Option<Key>,
    rows_max: usize,
    failures: &mut Failures,
) -> Result<Swept, ApiError> {
    let (key, row) = read(key, row)?;
    let table = match row.expiries {
        Expiries::Ended => None,
        Expiries::Filling | Expiries::Filled => db.find_table(&row.table).await?.filter(|table| table.id == key.table),
    };
    let Some(table) = table else {
        reclaim_expiries(db, key).await.map_err(|e| store_failure(&e))?;
        return Ok(Swept::default());
    };
    let due = Due::at(now, key.generation);
    let range = ExpiryKey::between(key.table, key.generation, due.from, due.before);
    // The row that it was found in may have gone meanwhile, and this be another's.
    let range = match within.filter(|last| range.contains(last.as_bytes())) {
        Some(last) => range.after(&last),
        None => range,
    };
    let limit = PageLimit { rows_max, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(range, limit).await.map_err(|e| store_failure(&e))?;
    let mut items = Vec::with_capacity(page.rows.len());
    for (key, _) in &page.rows {
        match ExpiryKey::decode(key) {
            Some(expiry) => items.push(expiry.item),
            None => failures.note(&table.name, corrupt_row("the key of an expiry")),
        }
    }
    // Together: their commits share a sync.
    let commits = items.chunks(EXPIRED_PER_COMMIT).map(|items| delete(db, &table, due, items));
    let mut deleted = 0;
    for outcome in join_all(commits).await {
        deleted += outcome.0;
        outcome.1.into_iter().for_each(|error| failures.note(&table.name, error));
    }
    let next = page.rows.last().filter(|_| page.limited).map(|(last, _)| last.clone());
    Ok(Swept { looked_at: page.rows.len(), deleted, next })
}

/// Deletes those items of a table that are due, in one commit, or one for each if they are too much for one: how many there were.
/// An item that cannot be read takes no other with it.
pub(crate) async fn delete(db: &Db, table: &Arc<StoredTable>, due: Due, items: &[Key]) -> (u64, Vec<ApiError>) {
    match delete_together(db, table, due, items).await {
        Ok(Some(deleted)) => (deleted, Vec::new()),
        // Nothing expires in a table that is gone.
        Err(error) if error.code == ErrorCode::ResourceNotFoundException => (0, Vec::new()),
        // One by one would not help: it is no item's fault.
        Err(error) if items.len() == 1 || db.store.refuses_commits().is_some() => (0, vec![error]),
        Ok(None) | Err(_) => {
            let mut outcome = (0, Vec::new());
            for item in items {
                match delete_together(db, table, due, std::slice::from_ref(item)).await {
                    Ok(deleted) => outcome.0 += deleted.expect("invariant: a single change is never too large"),
                    Err(error) => outcome.1.push(error),
                }
            }
            outcome
        }
    }
}

/// Deletes them in one commit; `None`: they come to more than it takes, and nothing was done.
async fn delete_together(db: &Db, table: &Arc<StoredTable>, due: Due, items: &[Key]) -> Result<Option<u64>, ApiError> {
    let read_key = |row: &Key| -> Option<(ItemPlace, Item)> {
        let key = ItemKey::decode(row)?;
        let attributes = table.key.read_key(&key.partition, &key.sort)?;
        Some((ItemPlace { row: row.clone(), bucket: key.bucket }, attributes))
    };
    let keys: Option<Vec<_>> = items.iter().map(read_key).collect();
    let keys = keys.ok_or_else(|| corrupt_row("the key of an item that expires"))?;
    let changes: Vec<Change<'_>> = keys
        .iter()
        .map(|(place, attributes)| Change {
            table: 0,
            place: place.clone(),
            attributes,
            action: Action::Expire(due),
            condition: None,
            return_item_on_failure: false,
        })
        .collect();
    let committed =
        commit_changes(db, std::slice::from_ref(table), &changes, None, Metering::None, &Caller::Service).await?;
    if committed.too_large {
        return Ok(None);
    }
    let mut deleted = 0;
    for answer in committed.answers {
        deleted += u64::from(matches!(answer?, Written { old: Some(_), new: None }));
    }
    Ok(Some(deleted))
}

/// Deletes everything that has expired by now, whatever delay is set: how many items that were.
///
/// # Errors
/// The first failure; what could be deleted is.
pub async fn expire_at_once(db: &Db) -> Result<u64, ApiError> {
    let now = db.clock.now();
    let (mut deleted, mut behind) = (0, None);
    let mut failures = Failures::default();
    loop {
        let (rows, more) =
            times_to_live(db, behind.as_ref(), EXPIRE_TABLES_PER_TICK).await.map_err(|e| store_failure(&e))?;
        for (key, row) in rows {
            let (id, _) = read(&key, &row)?;
            while expiry_fill::step(db, id, &mut failures).await? == expiry_fill::Step::More {}
            let mut within = None;
            loop {
                let swept = sweep(db, &key, &row, now, within, EXPIRED_PER_TICK, &mut failures).await?;
                deleted += swept.deleted;
                within = swept.next;
                if within.is_none() {
                    break;
                }
            }
            behind = Some(key);
        }
        if !more {
            break;
        }
    }
    if failures.is_empty() {
        return Ok(deleted);
    }
    Err(ApiError::new(ErrorCode::InternalServerError, failures.to_string()))
}
