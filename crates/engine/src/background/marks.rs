//! Idempotency marks that no longer count go, found by the instants of their ends.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::EpochMs;
use tailrace_core::limits::{MARKS_INTERVAL, MARKS_PER_TICK};
use tailrace_store::keyspace::{IdempotencyExpiryKey, IdempotencyValue};
use tailrace_store::{Decision, Key, PageLimit, StoreError, Write, commit};

use super::{Failures, Progress, Task, Tick};
use crate::db::Db;
use crate::settings::Settings;

/// The pass over the marks that have ended.
#[derive(Debug)]
pub struct Marks;

impl Task for Marks {
    fn name(&self) -> &'static str {
        "marks"
    }

    fn interval(&self, _settings: &Settings) -> Duration {
        MARKS_INTERVAL
    }

    fn tick<'a>(&'a self, db: &'a Db, now: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let mut failures = Failures::default();
            let progress = match remove_ended(db, now, &mut failures).await {
                Ok(true) => Progress::More("marks that have ended".to_owned()),
                Ok(false) => Progress::Done,
                Err(error) => {
                    failures.note("marks that have ended", error);
                    Progress::Done
                }
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// Removes some of the marks that have ended by `now`. Whether there may be more.
async fn remove_ended(db: &Db, now: EpochMs, failures: &mut Failures) -> Result<bool, StoreError> {
    let limit = PageLimit { rows_max: MARKS_PER_TICK, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(IdempotencyExpiryKey::ended(now), limit).await?;
    if page.rows.is_empty() {
        return Ok(false);
    }
    let mut marks: Vec<Key> = Vec::with_capacity(page.rows.len());
    for (row, _) in &page.rows {
        match IdempotencyExpiryKey::decode(row) {
            Some(end) => marks.push(end.mark.encode()),
            // It means no mark, so nothing is lost with it.
            None => failures.note("marks that have ended", "corrupt data: the key of an end"),
        }
    }
    commit(db.store.as_ref(), &[], &marks, |reads| {
        let mut writes: Vec<Write> = page.rows.iter().map(|(row, _)| Write::Delete { key: row.clone() }).collect();
        for (key, value) in marks.iter().zip(reads.exclusive) {
            // One that was made anew ends later, and has another row for that.
            let ended = |value: &IdempotencyValue| value.expires_ms.is_some_and(|at| at <= EpochMs(now.0));
            if value.as_ref().and_then(|value| IdempotencyValue::decode(value)).is_some_and(|value| ended(&value)) {
                writes.push(Write::Delete { key: key.clone() });
            }
        }
        Decision::Apply(writes, ())
    })
    .await?;
    Ok(page.limited)
}
