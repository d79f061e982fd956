//! Where the records of a table come from: the stream that a sink follows, as its row has it, or as it begins.

use bytes::Bytes;
use tailrace_core::ApiError;
use tailrace_core::suggest::nearest;
use tailrace_delivery::Consumer;
use tailrace_engine::control;
use tailrace_store::keyspace::TableKey;
use tailrace_store::{Key, LogPosition, PageLimit, StoreError};

use super::drive::{Stuck, forgets, has_ended};
use super::row::{SourceRow, consumer_id};
use super::snapshot;
use super::{Entry, Inner, Running};
use crate::spec::{Filtering, Start};

/// Tables among which one that is not there is looked for. Our reason: it is a word of help, and a page of rows.
const TABLES_LOOKED_AT_MAX: usize = 256;

/// The source as its row has it, or made now.
pub(super) async fn find_source(
    inner: &Inner,
    entry: &Entry,
    running: &Running,
    table: &str,
) -> Result<SourceRow, Stuck> {
    let mut row = entry.row();
    let number = running.version.number;
    let generation = row.generation(number).ok_or(Stuck::Stopped)?;
    let known = generation.sources.iter().find(|source| source.table == table).cloned();
    let (replay_ms, rebuilds) = (generation.replay_ms, generation.rebuild);
    if table == control::TABLE {
        return match known {
            Some(known) => Ok(known),
            None => control_source(inner, entry, running).await,
        };
    }
    let failed = |error: ApiError| Stuck::Failed(error.to_string());
    let is_successor = known.is_some();
    let stream = if let Some(known) = known {
        // What its stream had is delivered to its end, whatever became of the table; then what the next one had, if there is one.
        let Some(next) = inner.stream_after(&known).await.map_err(failed)? else { return Ok(known) };
        if known.snapshot && !snapshot::progress(inner.store(), known.snapshot_id()?).await?.done {
            return Ok(known);
        }
        if !has_ended(inner, &known).await? || forgets(inner, running, &known).await? {
            return Ok(known);
        }
        // Between two streams there may be changes that neither has: a log goes on, and what holds a table begins anew.
        if running.spec.kind.filtering() != Filtering::Records {
            let text = format!(
                "{table} was made anew, or has a new stream: `tailrace sinks rebuild {}` begins with it",
                entry.name
            );
            return Err(Stuck::Waits(text));
        }
        next
    } else {
        let found = inner.db.find_table(table).await.map_err(failed)?;
        let found = found.ok_or_else(|| Stuck::Waits(missing(table)))?;
        let without = || Stuck::Waits(format!("the table {table} has no stream: set StreamSpecification"));
        let label = found.latest_stream_label.as_deref().filter(|_| found.stream.is_some()).ok_or_else(without)?;
        inner.db.stream(inner.db.settings().stream_arn(table, label).as_str()).await.map_err(failed)?
    };
    let needs = running.version.sink.needs();
    if (needs.new && !stream.view.has_new()) || (needs.old && !stream.view.has_old()) {
        let needed = if needs.old { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE or NEW_AND_OLD_IMAGES" };
        let has = stream.view.name();
        return Err(Stuck::Waits(format!("the stream of {table} has {has}; this sink needs {needed}")));
    }
    if is_successor {
        inner.notice(&entry.name, format!("{table} has a new stream: it is followed from its beginning"));
    }
    let consumer = inner.rng.uuid();
    let id = consumer_id(&consumer)?;
    let start = if rebuilds && !running.spec.is_log() { Start::Snapshot } else { running.spec.start };
    let (position, is_snapshot) = match (replay_ms, start) {
        // All that it ever had is missing.
        _ if is_successor => (None, false),
        (Some(time_ms), _) => (Some(LogPosition::Time(time_ms)), false),
        // It follows a stream that has ended: no change of this one is left out, and the items come beside them.
        (None, Start::Snapshot) if rebuilds && running.spec.is_log() => (Some(LogPosition::Horizon), false),
        (None, Start::Snapshot) => (Some(LogPosition::End), true),
        (None, Start::Latest) => (Some(LogPosition::End), false),
        (None, Start::TrimHorizon) => (Some(LogPosition::Horizon), false),
    };
    let again = (rebuilds && !is_successor && !is_snapshot).then(|| inner.rng.uuid());
    let beside = match position {
        Some(position) => Consumer::begin_at(&inner.context, id, stream.id, 1, position).await?,
        None => Vec::new(),
    };
    let source = SourceRow {
        table: table.to_owned(),
        table_id: stream.table_id,
        stream: stream.id,
        stream_arn: stream.arn(inner.db.settings()),
        key: stream.key.clone(),
        view: stream.view,
        consumer,
        snapshot: is_snapshot || again.is_some(),
        again,
        since: number,
    };
    add_source(inner, entry, number, &source, &beside).await?;
    Ok(source)
}

/// What is waited for where a table is not there.
pub(super) fn missing(table: &str) -> String {
    format!("there is no table {table}")
}

/// The table that was likely meant by one that is not there, among the first ones of the database.
pub(super) async fn near(inner: &Inner, table: &str) -> Option<String> {
    let limit = PageLimit { rows_max: TABLES_LOOKED_AT_MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = inner.store().page(TableKey::range(), limit).await.ok()?;
    let names: Vec<String> = page.rows.iter().filter_map(|(key, _)| Some(TableKey::decode(key)?.name)).collect();
    nearest(table, names.iter().map(String::as_str)).map(str::to_owned)
}

/// The stream of what is done to tables, which is made if there is none, as a source.
async fn control_source(inner: &Inner, entry: &Entry, running: &Running) -> Result<SourceRow, Stuck> {
    let stream = inner.db.open_control().await.map_err(|error| Stuck::Failed(error.to_string()))?;
    let consumer = inner.rng.uuid();
    let source = SourceRow {
        table: control::TABLE.to_owned(),
        table_id: stream.table_id,
        stream: stream.id,
        stream_arn: stream.arn(inner.db.settings()),
        key: stream.key.clone(),
        view: stream.view,
        consumer: consumer.clone(),
        snapshot: false,
        again: None,
        since: running.version.number,
    };
    // It begins with the oldest record that there is, wherever the tables begin.
    let (id, oldest) = (consumer_id(&consumer)?, LogPosition::Horizon);
    let beside = Consumer::begin_at(&inner.context, id, stream.id, 1, oldest).await?;
    add_source(inner, entry, running.version.number, &source, &beside).await?;
    Ok(source)
}

/// Notes a source in the sink's row, with rows of its consumer; the source that the table had before goes.
async fn add_source(
    inner: &Inner,
    entry: &Entry,
    number: u32,
    source: &SourceRow,
    beside: &[(Key, Bytes)],
) -> Result<(), StoreError> {
    let added = source.clone();
    entry
        .change(inner.store(), beside, |row| {
            let mut left = Vec::new();
            if let Some(generation) = row.generation(number) {
                generation.sources.retain(|other| {
                    let stays = other.table != added.table;
                    if !stays {
                        left.extend(other.uuids());
                    }
                    stays
                });
                generation.sources.push(added);
            }
            row.dropping.extend(left);
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_meant_where_a_letter_or_two_of_its_name_are_others() {
        let near = |table: &str| nearest(table, ["Orders", "Users"]);
        for (table, expect) in
            [("Order", Some("Orders")), ("orders", Some("Orders")), ("Ordesr", Some("Orders")), ("Items", None)]
        {
            assert_eq!(near(table), expect, "{table}");
        }
        assert_eq!(nearest("Orders", Vec::new()), None);
    }
}
