//! What the template of the last start asked for: one JSON row, so that what a template no longer has is told apart from
//! what was made by calls of the API. Described in docs/format.md.

use std::collections::{BTreeMap, BTreeSet};
use tailrace_core::StreamArn;

use serde::{Deserialize, Serialize};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Engine, StoreError, Write, commit};

use crate::template::TablePlan;

/// The setting that holds the row.
const SETTING: &str = "template";

/// The version of the row.
const VERSION: u32 = 1;

/// The functions, mappings and tables of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    v: u32,
    /// The functions' names.
    pub functions: BTreeSet<String>,
    /// The mappings.
    pub mappings: BTreeSet<RecordedMapping>,
    /// Its tables, by name.
    #[serde(default)]
    pub tables: BTreeMap<String, RecordedTable>,
}

/// What a template asked for of a table, so far as it is taken back when a template has it no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedTable {
    /// The attribute by which its items were to expire.
    pub time_to_live: Option<String>,
    /// Its global indexes.
    pub indexes: BTreeSet<String>,
    /// The keys of its tags.
    pub tags: BTreeSet<String>,
    /// The key that it was to be encrypted with, as the template named it; empty: the default one.
    pub encryption: Option<String>,
    /// It was to be restorable.
    pub recovery: bool,
    /// The indexes whose insights were asked for; empty: the table itself.
    pub insights: BTreeSet<String>,
    /// The stream of Kinesis that its changes were to go to.
    pub kinesis: Option<String>,
    /// It had a policy.
    pub policy: bool,
    /// Its stream had one.
    pub stream_policy: bool,
}

impl RecordedTable {
    /// What is recorded of a plan.
    pub fn of(table: &TablePlan) -> RecordedTable {
        let (request, settings) = (&table.request, &table.settings);
        let expires = settings.time_to_live.as_ref().filter(|asked| asked.enabled);
        let encrypted = request.sse_specification.as_ref().filter(|asked| asked.is_on());
        let insights = settings.contributor_insights.iter().filter(|asked| asked.enabled);
        let indexes = request.global_secondary_indexes.iter().flatten();
        RecordedTable {
            time_to_live: expires.map(|asked| asked.attribute_name.clone()),
            indexes: indexes.map(|index| index.index_name.clone()).collect(),
            tags: request.tags.iter().map(|tag| tag.key.clone()).collect(),
            encryption: encrypted.map(|asked| asked.kms_master_key_id.clone().unwrap_or_default()),
            recovery: settings.point_in_time_recovery.is_some_and(|asked| asked.enabled),
            insights: insights.map(|asked| asked.index.clone().unwrap_or_default()).collect(),
            kinesis: settings.kinesis.as_ref().map(|asked| asked.stream_arn.clone()),
            policy: request.resource_policy.is_some(),
            stream_policy: settings.stream_policy.is_some(),
        }
    }

    /// Everything in either; of what there can be but one, what this one has.
    fn with(&self, other: &RecordedTable) -> RecordedTable {
        let union = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.union(other).cloned().collect();
        RecordedTable {
            time_to_live: self.time_to_live.clone().or_else(|| other.time_to_live.clone()),
            indexes: union(&self.indexes, &other.indexes),
            tags: union(&self.tags, &other.tags),
            encryption: self.encryption.clone().or_else(|| other.encryption.clone()),
            recovery: self.recovery || other.recovery,
            insights: union(&self.insights, &other.insights),
            kinesis: self.kinesis.clone().or_else(|| other.kinesis.clone()),
            policy: self.policy || other.policy,
            stream_policy: self.stream_policy || other.stream_policy,
        }
    }
}

/// A mapping that a template asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordedMapping {
    /// Its logical id.
    pub id: String,
    /// The function's name.
    pub function: String,
    /// The stream's ARN.
    pub stream: StreamArn,
    /// The mapping that was made for it, or found: calls of the API may give it another function. `None`: it is not made yet, or an
    /// earlier version wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl RecordedMapping {
    /// The same mapping of a template, as a function and a table tell it.
    pub fn is_same(&self, other: &RecordedMapping) -> bool {
        self.function == other.function && self.table() == other.table()
    }

    /// The table of the stream. It outlives a stream: a mapping of the table's earlier stream is still the template's.
    pub fn table(&self) -> &str {
        self.stream.as_str().split_once("/stream/").map_or(self.stream.as_str(), |(table, _)| table)
    }
}

impl Record {
    /// A record of nothing.
    fn empty() -> Record {
        Record { v: VERSION, ..Record::default() }
    }

    /// The record of these tables, without functions and mappings yet.
    pub fn of_tables(tables: &[TablePlan]) -> Record {
        let tables = tables.iter().map(|table| (table.name().to_owned(), RecordedTable::of(table)));
        Record { tables: tables.collect(), ..Record::empty() }
    }

    /// Everything in either; of what there can be but one, what this one has.
    pub fn with(&self, other: &Record) -> Record {
        let mut tables = other.tables.clone();
        for (name, table) in &self.tables {
            tables.entry(name.clone()).and_modify(|other| *other = table.with(other)).or_insert_with(|| table.clone());
        }
        Record {
            functions: self.functions.union(&other.functions).cloned().collect(),
            mappings: self.mappings.union(&other.mappings).cloned().collect(),
            tables,
            ..*self
        }
    }

    /// The record of the last start; empty if there was none.
    ///
    /// # Errors
    /// The store's; the record cannot be read.
    pub async fn read(store: &dyn Engine) -> Result<Record, StoreError> {
        let rows = store.get(&[SettingKey::key(SETTING)]).await?;
        let Some(row) = rows.into_iter().next().flatten() else {
            return Ok(Record::empty());
        };
        let record: Record =
            serde_json::from_slice(&row).map_err(|e| StoreError::Corrupt(format!("the setting {SETTING:?}: {e}")))?;
        if record.v != VERSION {
            let why = format!("the setting {SETTING:?} has version {}, and this is {VERSION}", record.v);
            return Err(StoreError::NewerFormat(why));
        }
        Ok(record)
    }

    /// Keeps the record.
    ///
    /// # Errors
    /// The store's.
    pub async fn write(&self, store: &dyn Engine) -> Result<(), StoreError> {
        let key = SettingKey::key(SETTING);
        let value = serde_json::to_vec(self).expect("invariant: a record can be written as JSON");
        let value = bytes::Bytes::from(value);
        let keys = [key.clone()];
        let stored = commit(store, &[], &keys, |reads| match &reads.exclusive[0] {
            Some(present) if *present == value => Decision::Reject(()),
            _ => Decision::Apply(vec![Write::Put { key: key.clone(), value: value.clone() }], ()),
        });
        stored.await.map(drop)
    }
}
