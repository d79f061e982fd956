//! Makes the data directory what a template asks for: tables, functions, mappings.
//!
//! Invariants
//! - [`check`] changes nothing, and finds whatever can be found before the first change, so that a start that fails leaves
//!   what was there.
//! - Nothing that holds data or a place in a stream is lost: a table that would have to be made anew stops the start; a
//!   mapping that the template no longer has is disabled, and a function or a table that it no longer has is kept.

mod error;
mod indexes;
mod record;
mod settings;
mod step;
mod table;
#[cfg(test)]
mod tests;
mod there;

use std::collections::{BTreeMap, BTreeSet};

use tailrace_core::{ApiError, ErrorCode, StreamArn};
use tailrace_engine::Db;
use tailrace_firehose::DeliveryStreams;
use tailrace_lambda::Functions;

use crate::{functions, packages};

use crate::mappings::{Known, Mappings};
use crate::template::{DeliveryStreamPlan, MappingPlan, Plan, Source, table_of};
pub use error::ApplyError;
use record::{Record, RecordedMapping};
use step::{describe, settled};
use table::Changes;
use there::There;

/// A plan that can be applied, as far as can be known before the first change.
struct Checked {
    plan: Plan,
    /// What the tables need, by logical id.
    tables: BTreeMap<String, Changes>,
    before: Record,
}

/// A plan whose tables and functions are made.
pub struct Made {
    plan: Plan,
    before: Record,
    /// The ARNs of the streams of its tables, by logical id.
    streams: BTreeMap<String, StreamArn>,
}

impl Made {
    /// Its delivery streams, which are still to be made.
    pub fn delivery_streams(&self) -> &[DeliveryStreamPlan] {
        &self.plan.delivery_streams
    }
}

/// Checks a plan against what is there; then makes its tables and functions, and tells what is kept as it is.
///
/// # Errors
/// What stands in the way.
pub async fn begin(plan: Plan, db: &Db, functions: &Functions, tell: impl Fn(String)) -> Result<Made, ApplyError> {
    let mut checked = check(plan, db, functions).await?;
    let (plan, packages) = packages::make(checked.plan, functions.packages(), &tell).await?;
    checked.plan = plan;
    tables_and_functions(checked, packages, db, functions, tell).await
}

/// Compares a plan with what is there. Changes nothing.
async fn check(plan: Plan, db: &Db, functions: &Functions) -> Result<Checked, ApplyError> {
    let before = Record::read(db.store().as_ref()).await?;
    let mut tables = BTreeMap::new();
    for table in &plan.tables {
        let there = There::look(db, table.name()).await.map_err(|error| of_table(table.name(), error))?;
        let changes = match there {
            Some(there) => table::changes(table, &there, before.tables.get(table.name()))?,
            None => table::creation(table),
        };
        tables.insert(table.logical_id.clone(), changes);
    }
    for mapping in &plan.mappings {
        let name = &mapping.function;
        if !plan.functions.iter().any(|function| function.name == *name) && functions.get(name).is_none() {
            return Err(ApplyError::Template(format!(
                "{}: there is no function {name:?}, neither in the template nor in the data directory",
                mapping.function_path
            )));
        }
        if let Source::Arn(arn) = &mapping.source
            && let Err(error) = db.stream(arn.as_str()).await
        {
            let hint = hint_of_stream(db, arn).await;
            return Err(ApplyError::Template(format!("{}: {error}{hint}", mapping.source_path)));
        }
    }
    Ok(Checked { plan, tables, before })
}

/// What there is here in the place of a stream that is not: one of AWS has a time of its own in its ARN.
async fn hint_of_stream(db: &Db, arn: &StreamArn) -> String {
    let Some(name) = table_of(arn) else { return String::new() };
    match describe(db, name).await.ok().flatten().map(|table| table.latest_stream_arn) {
        Some(Some(own)) => format!("; the stream of the table {name} here is {own}"),
        Some(None) => format!("; the table {name} here has no stream"),
        None => format!("; a template that makes the table {name} and is started with this one gives its stream"),
    }
}

async fn tables_and_functions(
    checked: Checked,
    mut packages: packages::Made,
    db: &Db,
    functions: &Functions,
    tell: impl Fn(String),
) -> Result<Made, ApplyError> {
    let Checked { plan, mut tables, before } = checked;
    let mut streams = BTreeMap::new();
    // Ahead of the changes: a start that ends in the midst of them must not lose sight of what it made.
    Record::of_tables(&plan.tables).with(&before).write(db.store().as_ref()).await?;
    for table in &plan.tables {
        let failed = |error| of_table(table.name(), error);
        let changes = tables.remove(&table.logical_id).unwrap_or_default();
        if !changes.steps.is_empty() {
            // What a client began before the last stop may still be under way.
            settled(db, table.name()).await.map_err(failed)?;
        }
        for step in changes.steps {
            step.run(db, table.name()).await.map_err(failed)?;
        }
        changes.notices.into_iter().for_each(&tell);
        let described = describe(db, table.name()).await.map_err(failed)?;
        if let Some(arn) = described.and_then(|described| described.latest_stream_arn) {
            streams.insert(table.logical_id.clone(), arn);
        }
    }
    for function in &plan.functions {
        let package = packages.remove(&function.name).unwrap_or_default();
        let config = function.config(package, |table| streams.get(table).cloned()).ok_or_else(|| {
            let name = &function.name;
            ApplyError::Template(format!("function {name}: a variable names the stream of a table that has none"))
        })?;
        functions::put(db.store().as_ref(), functions, config).await?;
    }
    Ok(Made { plan, before, streams })
}

/// Makes the mappings of a plan, disables those that an earlier template had and this one has not, and keeps in mind what
/// this one has. To be called before a mapping runs, so that no record is delivered by the rules of an earlier template.
///
/// # Errors
/// What cannot be made.
pub async fn mappings(made: Made, db: &Db, mappings: &Mappings, tell: impl Fn(String)) -> Result<(), ApplyError> {
    let Made { plan, before, streams } = made;
    let mut wanted: Vec<(&MappingPlan, RecordedMapping)> = Vec::with_capacity(plan.mappings.len());
    for mapping in &plan.mappings {
        let stream = match &mapping.source {
            Source::Arn(arn) => Some(arn.clone()),
            Source::StreamOf(table) => streams.get(table).cloned(),
        };
        let stream =
            stream.ok_or_else(|| ApplyError::Template(format!("{}: its table has no stream", mapping.source_path)))?;
        let (id, function) = (mapping.logical_id.clone(), mapping.function.clone());
        wanted.push((mapping, RecordedMapping { id, function, stream, uuid: None }));
    }
    let mut earlier: Vec<Option<&RecordedMapping>> = Vec::with_capacity(wanted.len());
    for (_, mapping) in &wanted {
        let same = before.mappings.iter().find(|old| old.is_same(mapping) && old.stream == mapping.stream);
        // As CloudFormation does: another function's name is a change of the mapping, and it keeps its place.
        let renamed = || {
            before.mappings.iter().find(|old| {
                let is_free = || !wanted.iter().any(|(_, new)| new.is_same(old));
                old.id == mapping.id && old.stream == mapping.stream && is_free()
            })
        };
        earlier.push(same.or_else(renamed));
    }
    for ((_, mapping), earlier) in wanted.iter_mut().zip(&earlier) {
        mapping.uuid = earlier.and_then(|old| old.uuid.clone());
    }
    let mut now = Record::of_tables(&plan.tables);
    now.functions = plan.functions.iter().map(|function| function.name.clone()).collect();
    now.mappings = wanted.iter().map(|(_, mapping)| mapping.clone()).collect();
    // Ahead of the changes: a start that ends in the midst of them must not lose sight of a mapping that it made.
    now.with(&before).write(db.store().as_ref()).await?;
    // Those that are there first: one that has another function by now gives that name free by it.
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|index| !wanted[*index].1.uuid.as_deref().is_some_and(|uuid| mappings.has(uuid)));
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for index in order {
        let (plan, mapping) = &mut wanted[index];
        let known = Known {
            uuid: mapping.uuid.as_deref().filter(|uuid| !taken.contains(*uuid)),
            function: earlier[index].map(|old| old.function.as_str()),
        };
        let failed = |error| ApplyError::Mapping { id: plan.logical_id.clone(), error };
        let uuid = mappings.ensure(plan, &mapping.stream, known).await.map_err(failed)?;
        taken.insert(uuid.clone());
        mapping.uuid = Some(uuid);
    }
    now.mappings = wanted.iter().map(|(_, mapping)| mapping.clone()).collect();
    for old in before.mappings.iter().filter(|old| !now.mappings.iter().any(|new| new.is_same(old))) {
        if old.uuid.as_ref().is_some_and(|uuid| taken.contains(uuid)) {
            // It was renamed.
            continue;
        }
        let failed = |error| ApplyError::Mapping { id: old.id.clone(), error };
        if mappings.disable(&old.function, &old.stream, old.uuid.as_deref()).await.map_err(failed)? {
            tell(format!(
                "mapping {} ({} to {}): {}: disabled; its position is kept",
                old.id,
                old.table().rsplit('/').next().unwrap_or_default(),
                old.function,
                why_not(&plan, &old.function),
            ));
        }
    }
    for name in before.functions.difference(&now.functions) {
        tell(format!("function {name}: {}; it is kept", why_not(&plan, name)));
    }
    now.write(db.store().as_ref()).await?;
    Ok(())
}

/// Why a plan has a function no longer.
fn why_not(plan: &Plan, function: &str) -> &'static str {
    match plan.not_run.iter().any(|one| one.function == function) {
        true => "what the template has of it now cannot run here",
        false => "no longer in the template",
    }
}

/// Makes the delivery streams of a plan, or changes them. One that cannot be had here is told of: who puts records into it reads that it is
/// not there. One that the template has no more is kept, with the records that it has not delivered.
///
/// # Errors
/// The store's.
pub async fn delivery_streams(
    plans: &[DeliveryStreamPlan],
    streams: &DeliveryStreams,
    tell: impl Fn(String),
) -> Result<(), ApplyError> {
    for plan in plans {
        match tailrace_firehose::ensure(streams, &plan.request).await {
            Ok(_) => {}
            Err(error) if error.code == ErrorCode::InternalServerError => {
                return Err(ApplyError::DeliveryStream { name: plan.name.clone(), error });
            }
            Err(error) => {
                tell(format!("Resources.{}: the delivery stream {} is not made: {error}", plan.logical_id, plan.name))
            }
        }
    }
    Ok(())
}

fn of_table(name: &str, error: ApiError) -> ApplyError {
    ApplyError::Table { name: name.to_owned(), error }
}
