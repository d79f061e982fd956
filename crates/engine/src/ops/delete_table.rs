//! DeleteTable: one commit that drops the descriptor and the settings, seals the stream and notes the items for reclaiming; the space comes
//! back behind it. Source: docs/spec/dynamodb-api.md 2.2, streams.md 2.4.

use tailrace_api::tables::{DeleteTableAnswer, DeleteTableRequest, TableStatus};
use tailrace_core::ApiError;
use tailrace_store::keyspace::{DeletedTableKey, StreamKey, TableKey, TableSettingsKey};
use tailrace_store::{Decision, Write, commit};

use crate::background::reclaim::reclaim;
use crate::caller::Caller;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::streams::life;
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
    _caller: &Caller<'_>,
) -> Result<DeleteTableAnswer, ApiError> {
    let name = &request.table_name;
    loop {
        let table = tables::stored(db, name).await?;
        if table.deletion_protection {
            return Err(ApiError::validation(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection \
                 first.",
            ));
        }
        let mut described = description::describe(&db.settings, &table, TableStatus::Deleting, db.clock.now());
        described.sse_description = encryption::describe(settings::read(db, table.id).await?.encryption.as_ref());
        description::count_if_possible(db, &table, &mut described).await;
        let settings = TableSettingsKey { table: table.id }.encode();
        let mut keys = vec![TableKey::key(name), DeletedTableKey { table: table.id }.encode()];
        if let Some(stream) = &table.stream {
            keys.push(StreamKey { stream: stream.id }.encode());
        }
        keys.push(settings.clone());
        let committed = commit(db.store.as_ref(), &[], &keys, |reads| {
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
            Decision::Apply(writes, Outcome::Deleted)
        })
        .await
        .map_err(|e| store_failure(&e))?;
        match committed.answer {
            Outcome::Changed => {}
            Outcome::Corrupt(what) => return Err(corrupt_row(what)),
            Outcome::Deleted => {
                // The answer does not depend on it: what fails here is finished by the next pass.
                if let Err(error) = reclaim(db, table.id).await {
                    tracing::warn!(table = %name, %error, "the items of a deleted table are reclaimed later");
                }
                return Ok(DeleteTableAnswer { table_description: description::as_deleted(described) });
            }
        }
    }
}
