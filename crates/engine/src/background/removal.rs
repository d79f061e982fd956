//! Tables and indexes that are told to be on their way out for a while (`--aws-like-states`) go when that while is over.
//! Source: docs/spec/dynamodb-api.md 2.2 (states), 8.1.
//!
//! A pass goes through the tables by name. Where the setting is off nothing is found, but for what was deleted before the last
//! stop, which goes at once.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::limits::{AWS_LIKE_LOOK, REMOVAL_INTERVAL};
use tailrace_core::{ApiError, EpochMs};
use tailrace_store::keyspace::TableKey;
use tailrace_store::{Key, PageLimit, StoreError};

use super::{Failures, Progress, Task, Tick};
use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::ops::{remove_index, remove_table};
use crate::settings::Settings;
use crate::tables::states::TransitionKind;

/// Tables that one tick looks at.
const TABLES_PER_TICK: usize = 64;

/// The pass over all tables.
#[derive(Default)]
pub struct Removal {
    /// The last table that was looked at.
    behind: Mutex<Option<Key>>,
}

impl Task for Removal {
    fn name(&self) -> &'static str {
        "removal"
    }

    fn interval(&self, settings: &Settings) -> Duration {
        if settings.aws_like_states { AWS_LIKE_LOOK } else { REMOVAL_INTERVAL }
    }

    fn tick<'a>(&'a self, db: &'a Db, now_ms: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let mut failures = Failures::default();
            let behind = self.behind.lock().take();
            let progress = match go_on(db, behind, now_ms, &mut failures).await {
                Ok(Some(last)) => {
                    *self.behind.lock() = Some(last);
                    Progress::More("tables that are to go".to_owned())
                }
                Ok(None) => Progress::Done,
                Err(error) => {
                    failures.note("tables that are to go", error);
                    Progress::Done
                }
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// One tick: the last table that it looked at; `None` at the end of the pass.
async fn go_on(db: &Db, behind: Option<Key>, now: EpochMs, failures: &mut Failures) -> Result<Option<Key>, StoreError> {
    let range = match &behind {
        Some(last) => TableKey::range().after(last),
        None => TableKey::range(),
    };
    let limit = PageLimit { rows_max: TABLES_PER_TICK, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(range, limit).await?;
    for (key, row) in &page.rows {
        let Some(TableKey { name }) = TableKey::decode(key) else { continue };
        // What cannot be read is told of by whoever wants to use it.
        let Ok(table) = db.read_table(&name, row) else { continue };
        if let Err(error) = remove_due(db, &table, now).await {
            failures.note(format_args!("the table {name}"), error);
        }
    }
    Ok(page.rows.last().filter(|_| page.limited).map(|(last, _)| last.clone()))
}

/// Removes the table, or the one of its indexes, whose time is over.
async fn remove_due(db: &Db, table: &StoredTable, now: EpochMs) -> Result<(), ApiError> {
    let is_due = |until: EpochMs| until <= now || !db.settings.aws_like_states;
    let due = table.transitions.iter().filter(|t| t.change == TransitionKind::Deleting && is_due(t.until));
    for transition in due {
        match transition.index {
            None => return remove_table(db, table, &Caller::Service).await.map(|_| ()),
            Some(index) => remove_index(db, table, index, &Caller::Service).await?,
        }
    }
    Ok(())
}
