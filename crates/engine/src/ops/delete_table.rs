//! DeleteTable: one commit that drops the descriptor and the settings, seals the stream and notes the items for reclaiming; the space comes
//! back behind it. Source: docs/spec/dynamodb-api.md 2.2, streams.md 2.4.

use tailrace_api::tables::{DeleteTableAnswer, DeleteTableRequest, TableStatus};
use tailrace_core::limits::AWS_LIKE_DELETING;
use tailrace_core::{ApiError, EpochMs};
use tailrace_store::keyspace::{DeletedTableKey, StreamKey, TableKey, TableSettingsKey};
use tailrace_store::{Decision, Write, commit};

use crate::caller::Caller;
use crate::control;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::reclaim::reclaim_table;
use crate::streams::life;
use crate::table::Table;
use crate::tables::states::{self, Transition, TransitionKind};
use crate::tables::{self, description, encryption, settings};

enum Outcome {
    Deleted,
    /// The table changed since it was read: look again.
    Changed,
    Corrupt(&'static str),
}

/// Runs DeleteTable.
///
/// # Errors
/// What the client is to read.
pub async fn delete_table(
    db: &Db,
    request: DeleteTableRequest,
    caller: &Caller<'_>,
) -> Result<DeleteTableAnswer, ApiError> {
    let now = db.clock.now();
    let as_aws = db.settings.aws_like_states && !caller.is_inside();
    loop {
        let table = tables::stored(db, &request.table_name).await?;
        states::check_delete(&table, as_aws, now)?;
        if table.deletion_protection {
            return Err(ApiError::validation(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection \
                 first.",
            ));
        }
        let mut described = description::describe(&db.settings, &table, TableStatus::Deleting, now);
        described.sse_description = encryption::describe(settings::read(db, table.id).await?.encryption.as_ref());
        description::count_if_possible(db, &table, &mut described).await;
        let done = match as_aws {
            true => put_under_way(db, &table, now, caller).await?,
            false => remove_table(db, &table, caller).await?,
        };
        if done {
            return Ok(DeleteTableAnswer { table_description: description::as_deleted(described) });
        }
    }
}

/// Lets the table be told as DELETING, until the background removes it; false: it has changed.
async fn put_under_way(db: &Db, table: &StoredTable, now: EpochMs, caller: &Caller<'_>) -> Result<bool, ApiError> {
    let mut going = Table::clone(table);
    let until = now.plus(AWS_LIKE_DELETING);
    going.put_under_way(Transition { index: None, change: TransitionKind::Deleting, until, of: None }, now);
    let new = going.encode_over(&table.row);
    let (shared, row_key) = ([control::key()], std::slice::from_ref(&table.row_key));
    let committed = commit(db.store.as_ref(), &shared, row_key, |reads| {
        if reads.exclusive[0].as_ref() != Some(&table.row) {
            return Decision::Reject(false);
        }
        let of = ("DeleteTable", &*table.name);
        let record = control::table_record(reads.shared[0].as_ref(), of, (Some(&table.row), Some(&new)), caller);
        let put = Write::Put { key: table.row_key.clone(), value: new.clone() };
        Decision::Apply([put].into_iter().chain(record).collect(), true)
    });
    Ok(committed.await.map_err(|e| store_failure(&e))?.answer)
}

/// Removes a table; false: it has changed since it was read. `caller`: who wants it removed.
///
/// # Errors
/// The store's failure, or the row of its stream is corrupt.
pub(crate) async fn remove_table(db: &Db, table: &StoredTable, caller: &Caller<'_>) -> Result<bool, ApiError> {
    let name = &table.name;
    let mut keys = vec![TableKey::key(name), DeletedTableKey { table: table.id }.encode()];
    if let Some(stream) = &table.stream {
        keys.push(StreamKey { stream: stream.id }.encode());
    }
    let settings = TableSettingsKey { table: table.id }.encode();
    keys.push(settings.clone());
    let committed = commit(db.store.as_ref(), &[control::key()], &keys, |reads| {
        if reads.exclusive[0].as_ref() != Some(&table.row) {
            return Decision::Reject(Outcome::Changed);
        }
        let mut writes = vec![
            Write::Delete { key: keys[0].clone() },
            Write::Put { key: keys[1].clone(), value: bytes::Bytes::new() },
            Write::Delete { key: settings.clone() },
        ];
        if table.stream.is_some() {
            match life::seal(&keys[2], reads.exclusive[2].as_ref(), reads.now_ms) {
                Some(closing) => writes.extend(closing),
                None => return Decision::Reject(Outcome::Corrupt("the descriptor of a stream")),
            }
        }
        let of = ("DeleteTable", &**name);
        writes.extend(control::table_record(reads.shared[0].as_ref(), of, (Some(&table.row), None), caller));
        Decision::Apply(writes, Outcome::Deleted)
    })
    .await
    .map_err(|e| store_failure(&e))?;
    match committed.answer {
        Outcome::Changed => Ok(false),
        Outcome::Corrupt(what) => Err(corrupt_row(what)),
        Outcome::Deleted => {
            if let Some(throttle) = &db.throttle {
                throttle.forget(table.id);
            }
            if !table.captures.is_empty() {
                db.destinations_changed.notify_one();
            }
            // The answer does not depend on it: what fails here is finished by the next pass.
            if let Err(error) = reclaim_table(db, table.id).await {
                tracing::warn!(table = %name, %error, "the items of a deleted table are reclaimed later");
            }
            Ok(true)
        }
    }
}
