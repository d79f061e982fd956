//! UpdateTable: billing, throughput, stream, class and deletion protection, in one commit.
//!
//! A change is done when it is answered; the answer says UPDATING and echoes the old throughput and class, as AWS does.
//! Source: docs/spec/dynamodb-api.md 2.3, streams.md 2.2.

use std::sync::Arc;

use tailrace_api::tables::{
    OnDemandThroughputDescription, SseSpecification, StreamSpecification, TableStatus, UpdateTableAnswer,
    UpdateTableRequest,
};
use tailrace_core::{ApiError, EpochMs, StreamId, ViewType};
use tailrace_store::keyspace::{CounterKey, StreamKey, StreamNameKey, TableKey};
use tailrace_store::{Decision, Write, commit};

use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::streams::{label, life};
use crate::table::{Table, TableStream};
use crate::tables::{self, change, description, encryption, settings};

/// Runs UpdateTable.
///
/// # Errors
/// What the client is to read.
pub async fn update_table(
    db: &Db,
    request: UpdateTableRequest,
    _caller: &Caller<'_>,
) -> Result<UpdateTableAnswer, ApiError> {
    change::check(&request, db.settings.wording)?;
    loop {
        let old = tables::stored(db, &request.table_name).await?;
        let now_ms = db.clock.now();
        if let Some(specification) = &request.sse_specification {
            // Nothing else is asked for together with it.
            return encrypt(db, &old, specification, now_ms).await;
        }
        let mut new = Table::clone(&old);
        change::apply(&request, &mut new, now_ms)?;
        let stream = stream_change(db, &old, request.stream_specification, now_ms).await?;
        let Some(new) = store(db, &old, new, stream).await? else { continue };
        let status = if change::is_synchronous(&request) { TableStatus::Active } else { TableStatus::Updating };
        let mut told = new;
        told.throughput = old.throughput.clone();
        told.class = old.class.clone();
        let mut described = description::describe(&db.settings, &told, status, now_ms);
        if let Some(sent) = request.on_demand_throughput {
            // A limit that was cleared is echoed as it was sent.
            let echo = |sent: Option<i64>, stored: Option<i64>| sent.filter(|units| *units == -1).or(stored);
            let stored = told.on_demand.unwrap_or_default();
            described.on_demand_throughput = Some(OnDemandThroughputDescription {
                max_read_request_units: echo(sent.max_read_request_units, stored.read),
                max_write_request_units: echo(sent.max_write_request_units, stored.write),
            });
        }
        described.sse_description = encryption::describe(settings::read(db, told.id).await?.encryption.as_ref());
        // The change is done, whether or not its table can be counted.
        description::count_if_possible(db, &told, &mut described).await;
        return Ok(UpdateTableAnswer { table_description: described });
    }
}

/// Changes the table's encryption, which is one of its settings.
async fn encrypt(
    db: &Db,
    table: &Arc<StoredTable>,
    specification: &SseSpecification,
    now: EpochMs,
) -> Result<UpdateTableAnswer, ApiError> {
    let before = settings::change(db, table, tables::no_such_table(&table.name), |settings| {
        let before = settings.encryption.clone();
        encryption::change(&mut settings.encryption, specification, &db.settings)?;
        Ok(before)
    })
    .await?;
    let mut described = description::describe(&db.settings, table, TableStatus::Active, now);
    described.sse_description = encryption::updating(before.as_ref());
    description::count_if_possible(db, table, &mut described).await;
    Ok(UpdateTableAnswer { table_description: described })
}

/// What happens to the table's stream.
enum StreamChange {
    None,
    Enable { view: ViewType, created_ms: EpochMs },
    Disable { stream: StreamId },
}

async fn stream_change(
    db: &Db,
    table: &Table,
    specification: Option<StreamSpecification>,
    now_ms: EpochMs,
) -> Result<StreamChange, ApiError> {
    let Some(StreamSpecification { stream_enabled, stream_view_type }) = specification else {
        return Ok(StreamChange::None);
    };
    match (stream_enabled, &table.stream) {
        (true, Some(_)) => {
            Err(ApiError::validation(format!("Table already has an enabled stream: TableName: {}", table.name)))
        }
        (false, None) => {
            Err(ApiError::validation(format!("Table has no stream to disable: TableName: {}", table.name)))
        }
        (true, None) => Ok(StreamChange::Enable {
            view: stream_view_type.unwrap_or(ViewType::NewAndOldImages),
            created_ms: life::next_label(db, &table.name, now_ms).await?,
        }),
        (false, Some(stream)) => Ok(StreamChange::Disable { stream: stream.id }),
    }
}

enum Outcome {
    Stored(Box<Table>),
    /// The table changed since it was read: look again.
    Changed,
    Corrupt(&'static str),
}

/// Stores the new descriptor if the old one still stands; `None`: it does not.
async fn store(db: &Db, old: &StoredTable, mut new: Table, change: StreamChange) -> Result<Option<Table>, ApiError> {
    let mut keys = vec![TableKey::key(&old.name)];
    match &change {
        StreamChange::None => {}
        StreamChange::Enable { created_ms, .. } => {
            let label = label::text(*created_ms);
            keys.extend([CounterKey::Stream.encode(), StreamNameKey::key(&old.name, &label)]);
            new.latest_stream_label = Some(label);
        }
        StreamChange::Disable { stream } => {
            keys.push(StreamKey { stream: *stream }.encode());
            new.stream = None;
        }
    }
    let committed = commit(db.store.as_ref(), &[], &keys, |reads| {
        if reads.exclusive[0].as_ref() != Some(&old.row) {
            return Decision::Reject(Outcome::Changed);
        }
        let mut table = new.clone();
        let mut writes = Vec::new();
        match &change {
            StreamChange::None => {}
            StreamChange::Enable { view, created_ms } => {
                if reads.exclusive[2].is_some() {
                    return Decision::Reject(Outcome::Changed);
                }
                let Some(stream) = CounterKey::next(reads.exclusive[1].as_ref()) else {
                    return Decision::Reject(Outcome::Corrupt("the counter of streams"));
                };
                table.stream = Some(TableStream { id: StreamId(stream), view: *view });
                writes.extend(life::open(&table, *created_ms, db.settings.shards_per_stream));
            }
            StreamChange::Disable { .. } => match life::seal(&keys[1], reads.exclusive[1].as_ref(), reads.now_ms) {
                Some(sealing) => writes.extend(sealing),
                None => return Decision::Reject(Outcome::Corrupt("the descriptor of a stream")),
            },
        }
        writes.push(Write::Put { key: keys[0].clone(), value: table.encode_over(&old.row) });
        Decision::Apply(writes, Outcome::Stored(Box::new(table)))
    })
    .await
    .map_err(|e| store_failure(&e))?;
    match committed.answer {
        Outcome::Stored(table) => Ok(Some(*table)),
        Outcome::Changed => Ok(None),
        Outcome::Corrupt(what) => Err(corrupt_row(what)),
    }
}
