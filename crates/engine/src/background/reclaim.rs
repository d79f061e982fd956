//! The items of deleted tables are handed to the store, which frees their space. DeleteTable does so itself, right behind its
//! commit; a pass does it for those where that failed or was interrupted.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::limits::RECLAIM_INTERVAL;
use tailrace_core::{EpochMs, TableId};
use tailrace_store::keyspace::{DeletedTableKey, ItemCountKey, ItemKey};
use tailrace_store::{Decision, Key, PageLimit, StoreError, Write, commit};

use super::{Failures, Progress, Task, Tick};
use crate::db::{Db, Settings};

/// Marks that one tick looks at.
const MARKS_PER_TICK: usize = 16;

/// The pass over the marks of deleted tables.
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
    let keys = [DeletedTableKey { table }.encode()];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        Some(_) => {
            let rows = keys.iter().chain(counts.iter().map(|(key, _)| key));
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
            let range = match self.behind.lock().take() {
                Some(last) => DeletedTableKey::range().after(&last),
                None => DeletedTableKey::range(),
            };
            let limit = PageLimit { rows_max: MARKS_PER_TICK, cost_max: usize::MAX, cost: |_, _| 0 };
            let page = match db.store.page(range, limit).await {
                Ok(page) => page,
                Err(error) => {
                    failures.note("deleted tables", error);
                    return Tick { progress: Progress::Done, failures };
                }
            };
            for (key, _) in &page.rows {
                match DeletedTableKey::decode(key) {
                    Some(DeletedTableKey { table }) => {
                        if let Err(error) = reclaim(db, table).await {
                            failures.note(format_args!("the items of table {}", table.0), error);
                        }
                    }
                    None => failures.note("deleted tables", "corrupt data: the key of a mark"),
                }
            }
            let progress = match page.rows.last() {
                Some((last, _)) if page.limited => {
                    *self.behind.lock() = Some(last.clone());
                    Progress::More("the items of deleted tables".to_owned())
                }
                _ => Progress::Done,
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}
