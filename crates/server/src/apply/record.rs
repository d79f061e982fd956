//! What the template of the last start asked for: one JSON row, so that what a template no longer has is told apart from
//! what was made by calls of the API. Described in docs/format.md.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Engine, StoreError, Write, commit};

/// The setting that holds the row.
const SETTING: &str = "template";

/// The version of the row.
const VERSION: u32 = 1;

/// The functions and mappings of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    v: u32,
    /// The functions' names.
    pub functions: BTreeSet<String>,
    /// The mappings.
    pub mappings: BTreeSet<RecordedMapping>,
}

/// A mapping that a template asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordedMapping {
    /// Its logical id.
    pub id: String,
    /// The function's name.
    pub function: String,
    /// The stream's ARN.
    pub stream: String,
}

impl RecordedMapping {
    /// The table of the stream. It outlives a stream: a mapping of the table's earlier stream is still the template's.
    pub fn table(&self) -> &str {
        self.stream.split_once("/stream/").map_or(self.stream.as_str(), |(table, _)| table)
    }
}

impl Record {
    /// The record of these functions and mappings.
    pub fn new(functions: BTreeSet<String>, mappings: BTreeSet<RecordedMapping>) -> Record {
        Record { v: VERSION, functions, mappings }
    }

    /// Everything in either.
    pub fn with(&self, other: &Record) -> Record {
        let functions = self.functions.union(&other.functions).cloned().collect();
        Record::new(functions, self.mappings.union(&other.mappings).cloned().collect())
    }

    /// The record of the last start; empty if there was none.
    ///
    /// # Errors
    /// The store's; the record cannot be read.
    pub async fn read(store: &dyn Engine) -> Result<Record, StoreError> {
        let rows = store.get(&[SettingKey::key(SETTING)]).await?;
        let Some(row) = rows.into_iter().next().flatten() else {
            return Ok(Record::new(BTreeSet::new(), BTreeSet::new()));
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
