//! The items of deleted tables, the rows of deleted indexes and those of dropped versions of views are reclaimed where whoever dropped them
//! could not do so, or was interrupted.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::limits::RECLAIM_INTERVAL;
use tailrace_core::{EpochMs, TableId};
use tailrace_store::keyspace::{DeletedIndexKey, DeletedTableKey, DroppedViewKey, ItemSet, ViewVersion};
use tailrace_store::{Key, PageLimit, StoreError};

use super::{Failures, Progress, Task, Tick};
use crate::db::Db;
use crate::reclaim::{reclaim_index, reclaim_table, reclaim_view};
use crate::settings::Settings;

/// Marks that one tick looks at.
const MARKS_PER_TICK: usize = 16;

/// The pass over the marks of deleted tables and indexes, and of dropped versions of views.
#[derive(Default)]
pub struct Reclaim {
    /// The last mark that was looked at.
    behind: Mutex<Option<Key>>,
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

/// What a mark says was deleted.
enum Deleted {
    Table(TableId),
    Index(ItemSet),
    View(ViewVersion),
}

impl Deleted {
    /// Reads the key of a mark.
    fn decode(key: &Key) -> Option<Deleted> {
        let table = || DeletedTableKey::decode(key).map(|key| Deleted::Table(key.table));
        let index = || DeletedIndexKey::decode(key).map(|key| Deleted::Index(key.set));
        let view = || DroppedViewKey::decode(key).map(|key| Deleted::View(key.version));
        table().or_else(index).or_else(view)
    }

    async fn reclaim(&self, db: &Db) -> Result<(), StoreError> {
        match self {
            Deleted::Table(table) => reclaim_table(db, *table).await,
            Deleted::Index(set) => reclaim_index(db, *set).await,
            Deleted::View(version) => reclaim_view(db, *version).await,
        }
    }
}

impl std::fmt::Display for Deleted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Deleted::Table(table) | Deleted::Index(ItemSet { table, .. }) => {
                write!(f, "the items of table {}", table.0)
            }
            Deleted::View(version) => write!(f, "the rows of version {} of a view", version.0),
        }
    }
}

/// One tick, through the marks of tables, then those of indexes, then those of views: the last mark that it looked at; `None` at
/// the end of the pass.
async fn go_on(db: &Db, behind: Option<Key>, failures: &mut Failures) -> Result<Option<Key>, StoreError> {
    let limit = PageLimit { rows_max: MARKS_PER_TICK, cost_max: usize::MAX, cost: |_, _| 0 };
    for range in [DeletedTableKey::range(), DeletedIndexKey::range(), DroppedViewKey::range()] {
        let range = match &behind {
            Some(last) if range.contains(last.as_bytes()) => range.after(last),
            // The kinds are looked at in the order of their keys: this one was.
            Some(last) if range.clone().after(last).is_empty() => continue,
            _ => range,
        };
        let page = db.store.page(range, limit).await?;
        for (key, _) in &page.rows {
            let Some(deleted) = Deleted::decode(key) else {
                failures.note("what was deleted", "corrupt data: the key of a mark");
                continue;
            };
            if let Err(error) = deleted.reclaim(db).await {
                failures.note(deleted, error);
            }
        }
        if let Some((last, _)) = page.rows.last().filter(|_| page.limited) {
            return Ok(Some(last.clone()));
        }
    }
    Ok(None)
}
