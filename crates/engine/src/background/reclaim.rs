//! The items of deleted tables, and the rows of deleted indexes, are handed to the store, which frees their space. DeleteTable
//! and UpdateTable do so themselves, right behind their commit; a pass does it where that failed or was interrupted.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::limits::RECLAIM_INTERVAL;
use tailrace_core::{EpochMs, TableId};
use tailrace_store::keyspace::{DeletedIndexKey, DeletedTableKey, ItemCountKey, ItemKey, ItemSet};
use tailrace_store::{Decision, Key, PageLimit, StoreError, Write, commit};

use super::{Failures, Progress, Task, Tick};
use crate::db::{Db, Settings};

/// Marks that one tick looks at.
const MARKS_PER_TICK: usize = 16;

/// The pass over the marks of deleted tables and indexes.
#[derive(Default)]
pub struct Reclaim {
    /// The last mark that was looked at.
    behind: Mutex<Option<Key>>,
}

/// Hands the items of a deleted table to the store, then forgets the table's mark and its counts.
///
/// # Errors
/// The store's; the next pass tries again.
pub(crate) async fn reclaim(db: &Db, table: TableId) -> Result<(), StoreError> {
    db.store.reclaim(ItemKey::with_indexes(table)).await?;
    let all = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let counts = db.store.page(ItemCountKey::with_indexes(table), all).await?.rows;
    forget(db, DeletedTableKey { table }.encode(), counts.into_iter().map(|(key, _)| key)).await
}

/// Hands the rows of a deleted index to the store, then forgets the index's mark and its count.
///
/// # Errors
/// The store's; the next pass tries again.
pub(crate) async fn reclaim_index(db: &Db, set: ItemSet) -> Result<(), StoreError> {
    db.store.reclaim(ItemKey::table_range(set)).await?;
    forget(db, DeletedIndexKey { set }.encode(), [ItemCountKey { set }.encode()]).await
}

/// Removes a mark, and with it the counts of what it stood for.
async fn forget(db: &Db, mark: Key, counts: impl IntoIterator<Item = Key>) -> Result<(), StoreError> {
    let counts: Vec<Key> = counts.into_iter().collect();
    let keys = [mark];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        Some(_) => {
            let rows = keys.iter().chain(&counts);
            Decision::Apply(rows.map(|key| Write::Delete { key: key.clone() }).collect(), ())
        }
        None => Decision::Reject(()),
    })
    .await?;
    Ok(())
}

impl Task for Reclaim {
    fn name(&self) -> &'static str {
        "reclaim"
    }

    fn interval(&self, _settings: &Settings) -> Duration {
        RECLAIM_INTERVAL
    }

    fn tick<'a>(&'a self, db: &'a Db, _now_ms: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let mut failures = Failures::default();
            let begin = self.behind.lock().take();
            let progress = match go_on(db, begin, &mut failures).await {
                Ok(Some(last)) => {
                    *self.behind.lock() = Some(last);
                    Progress::More("what was deleted".to_owned())
                }
                Ok(None) => Progress::Done,
                Err(error) => {
                    failures.note("what was deleted", error);
                    Progress::Done
                }
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// One tick, through the marks of tables, then those of indexes: the last mark that it looked at; `None` at the end of the pass.
async fn go_on(db: &Db, behind: Option<Key>, failures: &mut Failures) -> Result<Option<Key>, StoreError> {
    let limit = PageLimit { rows_max: MARKS_PER_TICK, cost_max: usize::MAX, cost: |_, _| 0 };
    let tables_are_behind = behind.as_ref().is_some_and(|last| DeletedIndexKey::decode(last).is_some());
    let ranges = [(!tables_are_behind).then(DeletedTableKey::range), Some(DeletedIndexKey::range())];
    for range in ranges.into_iter().flatten() {
        let range = match &behind {
            Some(last) if range.contains(last.as_bytes()) => range.after(last),
            _ => range,
        };
        let page = db.store.page(range, limit).await?;
        for (key, _) in &page.rows {
            let done = match (DeletedTableKey::decode(key), DeletedIndexKey::decode(key)) {
                (Some(DeletedTableKey { table }), _) => reclaim(db, table).await.map_err(|error| (table, error)),
                (None, Some(DeletedIndexKey { set })) => {
                    reclaim_index(db, set).await.map_err(|error| (set.table, error))
                }
                (None, None) => {
                    failures.note("what was deleted", "corrupt data: the key of a mark");
                    Ok(())
                }
            };
            if let Err((table, error)) = done {
                failures.note(format_args!("the items of table {}", table.0), error);
            }
        }
        if let Some((last, _)) = page.rows.last().filter(|_| page.limited) {
            return Ok(Some(last.clone()));
        }
    }
    Ok(None)
}
