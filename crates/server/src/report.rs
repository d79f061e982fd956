//! What the server tells of its work: the records that were given up, and what happens as it happens. Plain data; the admin
//! page and the command line share it. The state of mappings is `tailrace_mapping`'s own type.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tailrace_core::ShardNo;

/// A record that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedReport {
    /// UUID of the mapping; empty: a sink has set it aside.
    pub mapping: String,
    /// The function's name, or the sink's.
    pub function: String,
    /// The table whose stream it is of.
    pub table: String,
    /// The shard's number.
    pub shard: ShardNo,
    /// Its `ShardId`.
    pub shard_id: String,
    /// Its number.
    pub sequence_number: String,
    /// `RetryAttemptsExhausted`, `RecordAgeExceeded`, `Damaged` or `Rejected`.
    pub reason: String,
    /// The last error; empty if there was none.
    pub error: String,
    /// Invocations that it was part of since the last progress.
    pub invocations: u32,
    /// Time since it was committed.
    #[serde(rename = "ageMs", with = "tailrace_core::time::as_ms")]
    pub age: Duration,
    /// The key of its item, as the stream has it; null if it cannot be read.
    pub keys: serde_json::Value,
}

/// A page of them, by mapping, shard and number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParkedPage {
    /// The records.
    pub parked: Vec<ParkedReport>,
    /// What to ask for the next page with; missing: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What names a record to the operations on parked and damaged ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordName {
    /// UUID of the mapping.
    pub mapping: String,
    /// The shard's number.
    pub shard: ShardNo,
    /// The record's number.
    pub sequence_number: String,
}

/// What became of a redrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveAnswer {
    /// The function accepted the record, which is parked no longer.
    pub accepted: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A function that is to be run, and the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvokeRequest {
    /// The function's name.
    pub function: String,
    /// The event.
    #[serde(default)]
    pub event: serde_json::Value,
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeAnswer {
    /// Its result, or its error document; null if it was not run.
    pub payload: serde_json::Value,
    /// Why it failed, or was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it ran.
    #[serde(rename = "durationMs", with = "tailrace_core::time::as_ms")]
    pub duration: Duration,
}

impl InvokeAnswer {
    pub(crate) fn refused(why: impl std::fmt::Display) -> InvokeAnswer {
        InvokeAnswer { payload: serde_json::Value::Null, error: Some(why.to_string()), duration: Duration::ZERO }
    }
}

/// Every mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MappingsPage {
    /// As they stand.
    pub mappings: Vec<tailrace_mapping::MappingStatus>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A function printed a line, or there is something to say about it.
    Log(tailrace_lambda::LogLine),
    /// A batch was worked on.
    Batch {
        /// UUID of the mapping.
        mapping: String,
        /// The function.
        function: String,
        /// The table whose stream it is of.
        table: String,
        /// The `ShardId`.
        shard: String,
        /// Its records.
        records: usize,
        /// How many of them, the last ones, failed.
        failed: usize,
        /// Why they failed; `None`: all are delivered.
        error: Option<String>,
        /// When those that failed are tried again; `None`: at once, or not at all.
        retry: Option<tailrace_mapping::Retry>,
    },
    /// A sink brought records to its target, or could not.
    Flush {
        /// The sink.
        sink: String,
        /// The table whose records they are.
        table: String,
        /// How many.
        records: usize,
        /// Why they are sent again; `None`: they are there.
        error: Option<String>,
    },
    /// A notice for the operator.
    Notice(String),
}
