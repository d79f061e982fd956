//! What is set for a table beside its descriptor: a row of its own, so that the descriptor, which every commit of items confirms,
//! stays small. Stored as versioned JSON (docs/format.md, Table settings).
//!
//! Invariants: the row is changed only in a commit that sees the table's descriptor, and goes in the commit that deletes the table, so
//! there are no settings without a table. A table without a row has nothing set. What a program keeps in lists is kept in lists in the
//! row: of an object, a member that was taken out would come back as one that a newer program added.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_api::tables::{ContributorInsightsMode, DestinationStatus, Tag, TimePrecision};
use tailrace_core::{ApiError, EpochMs, StreamId, TableId};
use tailrace_store::keyspace::TableSettingsKey;
use tailrace_store::{Decision, Write, commit};

use crate::caller::Caller;
use crate::control;
use crate::db::{Db, StoredTable};
use crate::failure::{corrupt_row, store_failure};
use crate::json_row;

/// The version that this code writes.
const SETTINGS_VERSION: u32 = 1;

/// What is set for a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableSettings {
    version: u32,
    /// Its tags, by key.
    #[serde(default, with = "tags")]
    pub tags: Vec<Tag>,
    /// The key that it was asked to be encrypted with.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The policy of the table.
    #[serde(default)]
    pub policy: Option<ResourcePolicy>,
    /// When the table's policy was deleted last.
    #[serde(default)]
    pub policy_deleted_ms: Option<EpochMs>,
    /// The policies of its streams, by label.
    #[serde(default)]
    pub stream_policies: Vec<StreamPolicy>,
    /// Point-in-time recovery, if it is on.
    #[serde(default)]
    pub point_in_time_recovery: Option<PointInTimeRecovery>,
    /// Contributor insights that were asked for, of the table and its indexes.
    #[serde(default)]
    pub contributor_insights: Vec<ContributorInsights>,
    /// The Kinesis stream that was asked for, as rows had it when there was one at most: read, and written as none.
    #[serde(default)]
    pub kinesis_destination: Option<FormerKinesisDestination>,
    /// The Kinesis destinations, the newest first.
    #[serde(default)]
    pub kinesis_destinations: Vec<KinesisDestination>,
}

/// A key of KMS. Nothing is encrypted with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    pub kms_key_arn: String,
}

/// A policy. Nothing enforces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourcePolicy {
    pub document: String,
    /// Milliseconds since the epoch, as AWS makes them; each one later than that before it.
    pub revision: EpochMs,
}

/// The policy of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamPolicy {
    pub label: String,
    pub policy: ResourcePolicy,
}

/// Point-in-time recovery that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PointInTimeRecovery {
    pub since_ms: EpochMs,
    pub period_days: u32,
}

/// Contributor insights of a table or an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContributorInsights {
    /// `None`: of the table itself.
    pub index: Option<String>,
    pub mode: ContributorInsightsMode,
    pub enabled: bool,
    pub updated_ms: EpochMs,
}

/// A Kinesis stream that the table was asked to fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KinesisDestination {
    pub stream_arn: String,
    /// `None`: it was not set, which is milliseconds.
    pub precision: Option<TimePrecision>,
    pub status: DestinationStatus,
    /// The stream that has the changes for it, and the uuid of who delivers them; `None`: nothing is delivered, and nothing is left of it.
    pub capture: Option<Capture>,
}

/// What delivers to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capture {
    pub stream: StreamId,
    pub consumer: String,
}

/// As it was asked for when nothing filled one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormerKinesisDestination {
    stream_arn: String,
    precision: Option<TimePrecision>,
}

impl Default for TableSettings {
    fn default() -> Self {
        TableSettings {
            version: SETTINGS_VERSION,
            tags: Vec::new(),
            encryption: None,
            policy: None,
            policy_deleted_ms: None,
            stream_policies: Vec::new(),
            point_in_time_recovery: None,
            contributor_insights: Vec::new(),
            kinesis_destination: None,
            kinesis_destinations: Vec::new(),
        }
    }
}

impl TableSettings {
    pub fn decode(row: Option<&Bytes>) -> Option<TableSettings> {
        let Some(row) = row else { return Some(TableSettings::default()) };
        let mut settings = serde_json::from_slice::<TableSettings>(row).ok()?;
        let former = settings.kinesis_destination.take();
        settings.kinesis_destinations.extend(former.map(|FormerKinesisDestination { stream_arn, precision }| {
            KinesisDestination { stream_arn, precision, status: DestinationStatus::EnableFailed, capture: None }
        }));
        Some(settings).filter(|settings| settings.version == SETTINGS_VERSION)
    }

    /// The write that keeps them for a table that is new; `None`: nothing is set.
    pub fn of_new_table(&self, table: TableId) -> Option<Write> {
        let anything = *self != TableSettings::default();
        anything.then(|| Write::Put { key: TableSettingsKey { table }.encode(), value: json_row::encode(self) })
    }
}

/// What is set for a table.
///
/// # Errors
/// The store's failure, or a row that is none.
pub(crate) async fn read(db: &Db, table: TableId) -> Result<TableSettings, ApiError> {
    let rows = db.rows(&[TableSettingsKey { table }.encode()]).await?;
    TableSettings::decode(rows[0].as_ref()).ok_or_else(corrupt)
}

/// Changes what is set for a table. `change` may be called more than once; a change of nothing writes nothing. With the operation and who
/// called it.
///
/// # Errors
/// That of `change`; `gone` if the table is; the store's failure.
pub(crate) async fn change<A: Send>(
    db: &Db,
    table: &Arc<StoredTable>,
    gone: ApiError,
    (operation, caller): (&str, &Caller<'_>),
    change: impl Fn(&mut TableSettings) -> Result<A, ApiError> + Send + Sync,
) -> Result<A, ApiError> {
    let (shared, exclusive) =
        ([table.row_key.clone(), control::key()], [TableSettingsKey { table: table.id }.encode()]);
    let committed = commit(db.store.as_ref(), &shared, &exclusive, |reads| {
        if db.confirm(table, reads.shared[0].as_ref()).is_err() {
            return Decision::Reject(Err(gone.clone()));
        }
        let row = reads.exclusive[0].as_ref();
        let Some(old) = TableSettings::decode(row) else { return Decision::Reject(Err(corrupt())) };
        let mut new = old.clone();
        match change(&mut new) {
            Ok(answer) if new == old => Decision::Reject(Ok(answer)),
            Ok(answer) => {
                let value = row.map_or_else(|| json_row::encode(&new), |row| json_row::encode_over(row, &new));
                let of = (operation, &*table.name);
                let record = control::table_record(reads.shared[1].as_ref(), of, (row, Some(&value)), caller);
                let put = Write::Put { key: exclusive[0].clone(), value };
                Decision::Apply([put].into_iter().chain(record).collect(), Ok(answer))
            }
            Err(error) => Decision::Reject(Err(error)),
        }
    })
    .await
    .map_err(|e| store_failure(&e))?;
    committed.answer
}

fn corrupt() -> ApiError {
    corrupt_row("the settings of a table")
}

/// Tags in a row: a list of `key` and `value`. On the wire their names are others.
mod tags {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tailrace_api::tables::Tag;

    #[derive(Serialize, Deserialize)]
    struct Row {
        key: String,
        value: String,
    }

    pub fn serialize<S: Serializer>(tags: &[Tag], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(tags.iter().map(|tag| Row { key: tag.key.clone(), value: tag.value.clone() }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Tag>, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|Row { key, value }| Tag { key, value }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/format.md, Table settings: a row from when there was one destination at most, which had failed.
    #[test]
    fn a_destination_of_former_rows_is_read() {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
        let row =
            format!(r#"{{"version":1,"kinesis_destination":{{"stream_arn":"{arn}","precision":"MICROSECOND"}}}}"#);
        let settings = TableSettings::decode(Some(&Bytes::from(row.clone()))).unwrap();
        let [destination] = &settings.kinesis_destinations[..] else { panic!("{settings:?}") };
        assert_eq!((destination.stream_arn.as_str(), destination.status), (arn, DestinationStatus::EnableFailed));
        // What is written over it has it once.
        let written = json_row::encode_over(row.as_bytes(), &settings);
        assert_eq!(TableSettings::decode(Some(&written)), Some(settings));
    }
}
