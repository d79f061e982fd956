//! CreateTable: one commit that takes the table's number and opens its stream.

use bytes::Bytes;
use tailrace_api::tables::{CreateTableAnswer, CreateTableRequest, TableStatus};
use tailrace_core::limits::AWS_LIKE_CREATING;
use tailrace_core::{ApiError, StreamId, TableId};
use tailrace_store::keyspace::{CounterKey, StreamNameKey, TableKey};
use tailrace_store::{Decision, Write, commit};

use crate::caller::Caller;
use crate::control;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::streams::{label, life};
use crate::table::{Table, TableStream};
use crate::tables::settings::{ResourcePolicy, TableSettings};
use crate::tables::states::{self, Transition, TransitionKind};
use crate::tables::{creation, description, encryption, policy, tags};

enum Outcome {
    Created(Box<Table>),
    /// With this descriptor.
    Exists(Bytes),
    LabelTaken,
    Corrupt(&'static str),
}

/// Runs CreateTable.
///
/// # Errors
/// What the client is to read.
pub async fn create_table(
    db: &Db,
    request: CreateTableRequest,
    caller: &Caller<'_>,
) -> Result<CreateTableAnswer, ApiError> {
    let now_ms = db.clock.now();
    let (mut wanted, view) = creation::plan(&request, db.rng.uuid(), now_ms)?;
    if db.settings.aws_like_states && !caller.is_inside() {
        let until = now_ms.plus(AWS_LIKE_CREATING);
        wanted.transitions.push(Transition { index: None, change: TransitionKind::Creating, until, of: None });
    }
    let settings = settings_of(db, &request)?;
    let audit = db.audited.read().contains(&wanted.name);
    let name = &request.table_name;
    loop {
        let label_ms = match view {
            Some(_) => Some(life::next_label(db, name, now_ms).await?),
            None => None,
        };
        wanted.latest_stream_label = label_ms.map(label::text);
        let mut keys = vec![TableKey::key(name), CounterKey::Table.encode()];
        if let Some(label) = &wanted.latest_stream_label {
            keys.extend([CounterKey::Stream.encode(), StreamNameKey::key(name, label)]);
        }
        let committed = commit(db.store.as_ref(), &[control::key()], &keys, |reads| {
            if let Some(row) = &reads.exclusive[0] {
                return Decision::Reject(Outcome::Exists(row.clone()));
            }
            let Some(id) = CounterKey::next(reads.exclusive[1].as_ref()) else {
                return Decision::Reject(Outcome::Corrupt("the counter of tables"));
            };
            let mut table = wanted.clone();
            table.id = TableId(id);
            let mut writes = vec![Write::Put { key: keys[1].clone(), value: CounterKey::value(id + 1) }];
            if let (Some(view), Some(created_ms)) = (view, label_ms) {
                if reads.exclusive[3].is_some() {
                    return Decision::Reject(Outcome::LabelTaken);
                }
                let Some(stream) = CounterKey::next(reads.exclusive[2].as_ref()) else {
                    return Decision::Reject(Outcome::Corrupt("the counter of streams"));
                };
                table.stream = Some(TableStream { id: StreamId(stream), view });
                writes.extend(life::open(&table, created_ms, db.settings.shards_per_stream));
            }
            writes.extend(settings.of_new_table(table.id));
            let mut row = table.encode();
            let of = ("CreateTable", &*table.name);
            writes.extend(control::table_record(reads.shared[0].as_ref(), of, (None, Some(&row)), caller));
            if audit {
                // In the same commit: the first write of a client keeps who asked for it.
                table.audit = true;
                let before = std::mem::replace(&mut row, table.encode());
                let (of, rows) = (("StartAudit", &*table.name), (Some(&before), Some(&row)));
                writes.extend(control::table_record(reads.shared[0].as_ref(), of, rows, &Caller::default()));
            }
            writes.push(Write::Put { key: keys[0].clone(), value: row });
            Decision::Apply(writes, Outcome::Created(Box::new(table)))
        })
        .await
        .map_err(|e| store_failure(&e))?;
        match committed.answer {
            Outcome::LabelTaken => {}
            Outcome::Corrupt(what) => return Err(corrupt_row(what)),
            Outcome::Exists(row) => {
                let there = db.read_table(name, &row)?;
                return Err(states::name_is_taken(&there, now_ms));
            }
            Outcome::Created(table) => {
                let mut described = description::describe(&db.settings, &table, TableStatus::Creating, now_ms);
                described.sse_description = encryption::describe(settings.encryption.as_ref());
                return Ok(CreateTableAnswer { table_description: description::as_created(described, request) });
            }
        }
    }
}

/// What the request sets beside the table's descriptor.
fn settings_of(db: &Db, request: &CreateTableRequest) -> Result<TableSettings, ApiError> {
    let mut settings = TableSettings::default();
    tags::set(&mut settings.tags, &request.tags)?;
    settings.encryption = encryption::of_new_table(request.sse_specification.as_ref(), &db.settings);
    if let Some(document) = &request.resource_policy {
        let (document, revision) = (policy::canonical(document)?, db.clock.now());
        settings.policy = Some(ResourcePolicy { document, revision });
    }
    Ok(settings)
}
