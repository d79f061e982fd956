//! UpdateTimeToLive: one commit of the descriptor and of the time to live's own row. Source: docs/spec/dynamodb-api.md 8.2.
//!
//! From the commit on each item's own commit writes its expiry, or does so no more. The items from before get theirs behind it
//! (`background::expiry_fill`), and the rows of one that was disabled are reclaimed behind it.

use tailrace_api::tables::{UpdateTimeToLiveAnswer, UpdateTimeToLiveRequest};
use tailrace_core::ApiError;
use tailrace_store::keyspace::{TableKey, TimeToLiveKey};
use tailrace_store::{Decision, Write, commit};

use crate::caller::Caller;
use crate::control;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::reclaim::reclaim_expiries;
use crate::table::Table;
use crate::tables::time_to_live::{TimeToLiveRow, apply};
use crate::tables::{self, states};

enum Outcome {
    Stored,
    /// The table changed since it was read: look again.
    Changed,
    Corrupt,
}

/// Runs UpdateTimeToLive.
///
/// # Errors
/// What the client is to read.
pub async fn update_time_to_live(
    db: &Db,
    request: UpdateTimeToLiveRequest,
    caller: &Caller<'_>,
) -> Result<UpdateTimeToLiveAnswer, ApiError> {
    let asked = request.time_to_live_specification;
    loop {
        let old = tables::stored(db, &request.table_name).await?;
        states::check_update_of_time_to_live(&old, db.clock.now())?;
        let mut new = Table::clone(&old);
        apply(&asked, &mut new)?;
        let changed = new.time_to_live.as_ref().or(old.time_to_live.as_ref());
        let generation = changed.expect("invariant: one of the two is enabled").generation;
        let key = TimeToLiveKey { table: old.id, generation };
        let keys = [TableKey::key(&old.name), key.encode()];
        let committed = commit(db.store.as_ref(), &[control::key()], &keys, |reads| {
            if reads.exclusive[0].as_ref() != Some(&old.row) {
                return Decision::Reject(Outcome::Changed);
            }
            let value = match &reads.exclusive[1] {
                None if asked.enabled => TimeToLiveRow::new(&new).encode(),
                Some(row) if !asked.enabled => match TimeToLiveRow::decode(row) {
                    Some(stood) => stood.ended().encode_over(row),
                    None => return Decision::Reject(Outcome::Corrupt),
                },
                _ => return Decision::Reject(Outcome::Corrupt),
            };
            let row = new.encode_over(&old.row);
            let of = ("UpdateTimeToLive", &*old.name);
            let record = control::table_record(reads.shared[0].as_ref(), of, (Some(&old.row), Some(&row)), caller);
            let writes = [Write::Put { key: keys[0].clone(), value: row }, Write::Put { key: keys[1].clone(), value }];
            Decision::Apply(writes.into_iter().chain(record).collect(), Outcome::Stored)
        })
        .await
        .map_err(|e| store_failure(&e))?;
        match committed.answer {
            Outcome::Changed => continue,
            Outcome::Corrupt => return Err(corrupt_row("the row of a time to live")),
            Outcome::Stored => {}
        }
        // The answer does not depend on it: what fails here is finished by the next pass.
        if !asked.enabled
            && let Err(error) = reclaim_expiries(db, key).await
        {
            tracing::warn!(table = old.name, %error, "the expiries of a table are reclaimed later");
        }
        return Ok(UpdateTimeToLiveAnswer { time_to_live_specification: asked });
    }
}
