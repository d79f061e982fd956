//! Items that were there before a table's time to live was enabled are entered by their expiry, beside all writes.
//!
//! Invariants: an item is entered as it is at the commit that enters it; how far the walk is stands in the time to live's row, and
//! moves in that commit, so that a crash costs nothing. What was written since the time to live was enabled has its row already.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::limits::{
    EXPIRE_TABLES_PER_TICK, EXPIRY_FILL_BYTES_PER_TICK, EXPIRY_FILL_INTERVAL, EXPIRY_FILL_ROWS_PER_TICK,
};
use tailrace_core::{ApiError, EpochMs};
use tailrace_store::keyspace::{ItemKey, TimeToLiveKey};
use tailrace_store::{Decision, Key, PageLimit, Write, commit};

use super::expire::{read, times_to_live};
use super::{Failures, Progress, Task, Tick};
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::settings::Settings;
use crate::table::TimeToLive;
use crate::tables::time_to_live::Expiries;

/// The pass over all times to live.
#[derive(Default)]
pub struct ExpiryFill {
    /// The last time to live that was looked at to its end.
    behind: Mutex<Option<Key>>,
}

impl Task for ExpiryFill {
    fn name(&self) -> &'static str {
        "expiry-fill"
    }

    fn interval(&self, _settings: &Settings) -> Duration {
        EXPIRY_FILL_INTERVAL
    }

    fn tick<'a>(&'a self, db: &'a Db, _now: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let mut failures = Failures::default();
            let mut behind = self.behind.lock().take();
            let more = match go_on(db, &mut behind, &mut failures).await {
                Ok(more) => more,
                Err(error) => {
                    failures.note("times to live", error);
                    None
                }
            };
            let progress = match more {
                Some(what) => {
                    *self.behind.lock() = behind;
                    Progress::More(what)
                }
                None => Progress::Done,
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// One tick: what is next, `None` at the end of the pass.
async fn go_on(db: &Db, behind: &mut Option<Key>, failures: &mut Failures) -> Result<Option<String>, ApiError> {
    let page = times_to_live(db, behind.as_ref(), EXPIRE_TABLES_PER_TICK).await;
    let (rows, more) = page.map_err(|e| store_failure(&e))?;
    for (key, row) in rows {
        match read(&key, &row) {
            Ok((id, row)) if row.expiries == Expiries::Filling => match step(db, id, failures).await {
                Ok(Step::More) => return Ok(Some(format!("the items of {}", row.table))),
                Ok(Step::Done) => {}
                Err(error) => failures.note(&row.table, error),
            },
            Ok(_) => {}
            Err(error) => failures.note("a time to live", error),
        }
        *behind = Some(key);
    }
    Ok(more.then(|| "further tables".to_owned()))
}

/// Where the walk over a table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be further items.
    More,
    /// Nothing is left to do.
    Done,
}

/// Enters the next items of a table. Safe beside another one: whoever comes second begins again.
///
/// # Errors
/// The store's failure, or a row that cannot be read.
pub(super) async fn step(db: &Db, id: TimeToLiveKey, failures: &mut Failures) -> Result<Step, ApiError> {
    let key = id.encode();
    let Some(value) = db.rows(std::slice::from_ref(&key)).await?.pop().flatten() else { return Ok(Step::Done) };
    let (_, row) = read(&key, &value)?;
    let table = db.find_table(&row.table).await?.filter(|table| table.id == id.table);
    let is_this = |time_to_live: &&TimeToLive| time_to_live.generation == id.generation;
    let Some((table, time_to_live)) =
        table.as_ref().and_then(|table| Some((table, table.time_to_live.as_ref().filter(is_this)?)))
    else {
        return Ok(Step::Done);
    };
    if row.expiries != Expiries::Filling {
        return Ok(Step::Done);
    }
    let range = match row.behind() {
        None => ItemKey::table_range(table.id),
        Some(Some(last)) => ItemKey::table_range(table.id).after(&last),
        Some(None) => return Err(corrupt_row("how far the expiries of a table are written")),
    };
    let limit = PageLimit {
        rows_max: EXPIRY_FILL_ROWS_PER_TICK,
        cost_max: EXPIRY_FILL_BYTES_PER_TICK,
        cost: |_, value| value.len(),
    };
    let page = db.store.page(range, limit).await.map_err(|e| store_failure(&e))?;
    let last = page.rows.last().filter(|_| page.limited).map(|(last, _)| last);
    let mut keys = vec![key];
    for (item, stored) in &page.rows {
        match time_to_live.instant(stored) {
            Ok(Some(_)) => keys.push(item.clone()),
            Ok(None) => {}
            Err(error) => failures.note(&table.name, error),
        }
    }
    let moved = row.filled_up_to(last).encode_over(&value);
    let shared = std::slice::from_ref(&table.row_key);
    let committed = commit(db.store.as_ref(), shared, &keys, |reads| {
        let now = match db.confirm(table, reads.shared[0].as_ref()) {
            Ok(now) => now,
            // Gone.
            Err(_) => return Decision::Reject(Step::Done),
        };
        let Some(time_to_live) = now.time_to_live.as_ref().filter(is_this) else {
            return Decision::Reject(Step::Done);
        };
        if reads.exclusive[0].as_ref() != Some(&value) {
            return Decision::Reject(Step::More);
        }
        let mut writes = vec![Write::Put { key: keys[0].clone(), value: moved.clone() }];
        for (item, stored) in keys.iter().zip(reads.exclusive).skip(1) {
            // What was changed since is as its own commit wrote it.
            if let Some(instant) = stored.as_ref().and_then(|stored| time_to_live.instant(stored).ok().flatten()) {
                let key = time_to_live.row(&now, instant, item);
                writes.push(Write::Put { key, value: bytes::Bytes::new() });
            }
        }
        Decision::Apply(writes, if last.is_some() { Step::More } else { Step::Done })
    })
    .await
    .map_err(|e| store_failure(&e))?;
    Ok(committed.answer)
}
