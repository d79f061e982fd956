//! UpdateTable: billing, throughput, stream, class, deletion protection and global indexes, in one commit.
//!
//! A change is done when it is answered, but for a new index, which the background fills (`background::backfill`); the answer
//! says UPDATING where AWS takes a while, and echoes the old throughput and class, as AWS does.
//! Source: docs/spec/dynamodb-api.md 2.3, 8.1, streams.md 2.2.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::tables::{
    self as api, BillingMode, OnDemandThroughputDescription, SseSpecification, StreamSpecification, TableDescription,
    TableStatus, UpdateTableAnswer, UpdateTableRequest,
};
use tailrace_core::limits::{
    AWS_LIKE_ALLOCATION, AWS_LIKE_BACKFILL, AWS_LIKE_INDEX_DELETING, AWS_LIKE_UPDATING, TABLE_UPDATE_ROUNDS_MAX,
};
use tailrace_core::{ApiError, EpochMs, ErrorCode, IndexId, StreamId, ViewType};
use tailrace_store::keyspace::{
    CounterKey, DeletedIndexKey, IndexBuild, IndexBuildKey, ItemSet, StreamKey, StreamNameKey, TableKey,
};
use tailrace_store::{Decision, Write, commit};

use crate::IndexStatus;
use crate::caller::Caller;
use crate::control;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::reclaim::reclaim_index;
use crate::streams::{label, life};
use crate::table::{Table, TableStream, Throughput};
use crate::tables::index_changes::{self, IndexChanges};
use crate::tables::rules::decreases_today;
use crate::tables::states::{self, Changing, Transition, TransitionKind};
use crate::tables::{self, change, description, encryption, settings};

/// Runs UpdateTable.
///
/// # Errors
/// What the client is to read.
pub async fn update_table(
    db: &Db,
    request: UpdateTableRequest,
    caller: &Caller<'_>,
) -> Result<UpdateTableAnswer, ApiError> {
    change::check(&request, db.settings.wording)?;
    let as_aws = db.settings.aws_like_states && !caller.is_inside();
    for _ in 0..TABLE_UPDATE_ROUNDS_MAX {
        let old = tables::stored(db, &request.table_name).await?;
        let now = db.clock.now();
        index_changes::check_states(&request, &old, now)?;
        states::check_update(&old, change::asks(&request), now)?;
        if let Some(specification) = &request.sse_specification {
            // Nothing else is asked for together with it.
            return encrypt(db, &old, specification, now, caller).await;
        }
        let mut new = Table::clone(&old);
        let indexes = change::apply(&request, &mut new, now)?;
        let stream = stream_change(db, &old, request.stream_specification, now).await?;
        let changes_nothing =
            new == **old && matches!(stream, StreamChange::None) && indexes == IndexChanges::default();
        let mut told = new.clone();
        if as_aws {
            let of_table = !change::leaves_active(&request) && !changes_nothing;
            put_under_way(&mut new, &indexes, of_table.then(|| change::changing(&request)), now);
        } else if let Some(deleted) = indexes.deleted {
            index_changes::remove(&mut new, deleted);
        }
        let Some(stored) = store(db, &old, new, stream, &indexes, caller).await? else { continue };
        told.stream = stored.stream;
        told.latest_stream_label = stored.latest_stream_label;
        let mut described = describe(db, &request, &old, told, &indexes, now).await;
        described.sse_description = encryption::describe(settings::read(db, old.id).await?.encryption.as_ref());
        if indexes.created.is_some() {
            db.index_made.notify_one();
        }
        if let Some(index) = indexes.deleted.filter(|_| !as_aws) {
            reclaim_rows(db, &old, index).await;
        }
        return Ok(UpdateTableAnswer { table_description: described });
    }
    Err(ApiError::new(ErrorCode::InternalServerError, "the table changes too often to be updated"))
}

/// Keeps in the descriptor what is to be told as under way, and how long. `of_table`: the table is, and what of it.
fn put_under_way(table: &mut Table, changes: &IndexChanges, of_table: Option<Option<Changing>>, now: EpochMs) {
    if let Some(of) = of_table {
        let until = now.plus(AWS_LIKE_UPDATING);
        table.put_under_way(Transition { index: None, change: TransitionKind::Updating, until, of }, now);
    }
    let mut put = |index, change, length| {
        table.put_under_way(Transition { index, change, until: now.plus(length), of: None }, now);
    };
    for updated in &changes.updated {
        put(Some(*updated), TransitionKind::Updating, AWS_LIKE_UPDATING);
    }
    if let Some(created) = changes.created {
        put(None, TransitionKind::Updating, AWS_LIKE_ALLOCATION);
        put(Some(created), TransitionKind::Creating, AWS_LIKE_ALLOCATION + AWS_LIKE_BACKFILL);
    }
    if let Some(deleted) = changes.deleted {
        put(Some(deleted), TransitionKind::Deleting, AWS_LIKE_INDEX_DELETING);
        table
            .indexes
            .iter_mut()
            .filter(|index| index.id == deleted)
            .for_each(|index| index.status = IndexStatus::Deleting);
    }
}

/// The table as the answer tells of it: with its old throughput and class, and when units were changed last; warm throughput that was asked
/// for is on its way. `told`: as it is now, with the index that goes.
async fn describe(
    db: &Db,
    request: &UpdateTableRequest,
    old: &Table,
    mut told: Table,
    changes: &IndexChanges,
    now: EpochMs,
) -> TableDescription {
    // What leaves it ACTIVE is also done while another change is under way.
    let status = if change::leaves_active(request) { old.status(now) } else { TableStatus::Updating };
    // Units that are given up are told to be gone.
    let to_on_demand = told.billing.mode == BillingMode::PayPerRequest && told.billing.mode != old.billing.mode;
    if !to_on_demand {
        told.throughput = Throughput {
            read: old.throughput.read,
            write: old.throughput.write,
            decreases_that_day: decreases_today(&old.throughput, now),
            ..told.throughput
        };
    }
    told.class = old.class.clone();
    told.warm = old.warm;
    let updates = || request.index_updates().iter().filter_map(|update| update.update.as_ref());
    for index in &mut told.indexes {
        if let Some(old) = old.indexes.iter().find(|old| old.id == index.id) {
            index.throughput = old.throughput.clone();
            index.warm = old.warm;
        }
    }
    let id_of = |name: &str| told.indexes.iter().find(|index| index.name == name).map(|index| index.id);
    let mut described = description::describe(&db.settings, &told, status, now);
    for index in described.global_secondary_indexes.iter_mut().flatten() {
        let Some(id) = id_of(&index.index_name) else { continue };
        // One that is still being filled can be changed meanwhile, and stays what it is.
        if changes.updated.contains(&id) && index.index_status == api::IndexStatus::Active {
            index.index_status = api::IndexStatus::Updating;
        }
        let warms = updates().any(|update| update.index_name == index.index_name && update.warm_throughput.is_some());
        if let Some(warm) = index.warm_throughput.as_mut().filter(|_| warms) {
            warm.status = TableStatus::Updating;
        }
        if changes.deleted == Some(id) {
            (index.index_status, index.backfilling) = (api::IndexStatus::Deleting, None);
        }
        if changes.created == Some(id) {
            index.backfilling = Some(false);
            let mut created = request.index_updates().iter().filter_map(|update| update.create.as_ref());
            index.warm_throughput.take_if(|_| created.all(|created| created.warm_throughput.is_none()));
        }
    }
    if to_on_demand {
        description::forget_on_demand_since(&mut described);
    }
    let warms = request.warm_throughput.is_some_and(|warm| !warm.is_empty());
    if let Some(warm) = described.warm_throughput.as_mut().filter(|_| warms) {
        warm.status = TableStatus::Updating;
    }
    if let Some(sent) = request.on_demand_throughput {
        // A limit that was cleared is echoed as it was sent.
        let echo = |sent: Option<i64>, stored: Option<i64>| sent.filter(|units| *units == -1).or(stored);
        let stored = told.on_demand.unwrap_or_default();
        described.on_demand_throughput = Some(OnDemandThroughputDescription {
            max_read_request_units: echo(sent.max_read_request_units, stored.read),
            max_write_request_units: echo(sent.max_write_request_units, stored.write),
        });
    }
    // The change is done, whether or not its table can be counted.
    description::count_if_possible(db, &told, &mut described).await;
    described
}

/// Changes the table's encryption, which is one of its settings.
async fn encrypt(
    db: &Db,
    table: &Arc<StoredTable>,
    specification: &SseSpecification,
    now: EpochMs,
    caller: &Caller<'_>,
) -> Result<UpdateTableAnswer, ApiError> {
    let before = settings::change(db, table, tables::no_such_table(&table.name), ("UpdateTable", caller), |settings| {
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
    /// The table, and its row.
    Stored(Box<Table>, Bytes),
    /// The table changed since it was read: look again.
    Changed,
    Corrupt(&'static str),
}

/// Stores the new descriptor if the old one still stands; `None`: it does not.
async fn store(
    db: &Db,
    old: &StoredTable,
    mut new: Table,
    change: StreamChange,
    indexes: &IndexChanges,
    caller: &Caller<'_>,
) -> Result<Option<Table>, ApiError> {
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
    let of_indexes = index_writes(&new, indexes);
    keys.extend(of_indexes.iter().map(|write| match write {
        Write::Put { key, .. } | Write::Delete { key } => key.clone(),
        other => unreachable!("invariant: {other:?} is no row of an index"),
    }));
    let committed = commit(db.store.as_ref(), &[control::key()], &keys, |reads| {
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
        writes.extend(of_indexes.iter().cloned());
        let row = table.encode_over(&old.row);
        let of = ("UpdateTable", &*table.name);
        writes.extend(control::table_record(reads.shared[0].as_ref(), of, (Some(&old.row), Some(&row)), caller));
        writes.push(Write::Put { key: keys[0].clone(), value: row.clone() });
        Decision::Apply(writes, Outcome::Stored(Box::new(table), row))
    })
    .await
    .map_err(|e| store_failure(&e))?;
    match committed.answer {
        Outcome::Stored(table, row) => {
            // The next request is checked by it, not by the one that was last seen.
            db.read_table(&table.name, &row)?;
            if let Some(throttle) = &db.throttle {
                throttle.adjust(&table);
            }
            Ok(Some(*table))
        }
        Outcome::Changed => Ok(None),
        Outcome::Corrupt(what) => Err(corrupt_row(what)),
    }
}

/// The rows that go with the changes of a table's indexes.
fn index_writes(new: &Table, changes: &IndexChanges) -> Vec<Write> {
    let set = |index: IndexId| ItemSet { table: new.id, index };
    let mut writes = Vec::new();
    if let Some(created) = changes.created {
        let build = IndexBuild { table: new.name.clone(), behind: None };
        writes.push(Write::Put { key: IndexBuildKey { set: set(created) }.encode(), value: build.encode() });
    }
    if let Some(deleted) = changes.deleted {
        writes.push(Write::Delete { key: IndexBuildKey { set: set(deleted) }.encode() });
        // One that stays for a while is removed by the background.
        if new.indexes.iter().all(|index| index.id != deleted) {
            writes.push(Write::Put { key: DeletedIndexKey { set: set(deleted) }.encode(), value: Bytes::new() });
        }
    }
    writes
}

/// Takes an index out of its table; nothing, if it is not there or the table has changed since it was read.
///
/// # Errors
/// The store's failure.
pub(crate) async fn remove_index(
    db: &Db,
    table: &StoredTable,
    index: IndexId,
    caller: &Caller<'_>,
) -> Result<(), ApiError> {
    let mut new = Table::clone(table);
    index_changes::remove(&mut new, index);
    let changes = IndexChanges { deleted: Some(index), ..IndexChanges::default() };
    if store(db, table, new, StreamChange::None, &changes, caller).await?.is_some() {
        reclaim_rows(db, table, index).await;
    }
    Ok(())
}

/// Hands the rows of a deleted index to the store. No answer depends on it: what fails here is finished by the next pass.
async fn reclaim_rows(db: &Db, table: &Table, index: IndexId) {
    if let Err(error) = reclaim_index(db, ItemSet { table: table.id, index }).await {
        tracing::warn!(table = %table.name, %error, "the rows of a deleted index are reclaimed later");
    }
}
