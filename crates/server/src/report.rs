//! What the server tells of its work: the state of every mapping, and what happens as it happens. Plain data; the admin
//! page and the command line share it.

use serde::{Deserialize, Serialize};

/// A mapping as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingReport {
    /// Its uuid.
    pub uuid: String,
    /// The stream.
    pub stream_arn: String,
    /// The table whose stream it is.
    pub table: String,
    /// The function's name.
    pub function: String,
    /// `Enabled`, `Disabled` or what else its state is.
    pub state: String,
    /// As Lambda shows it.
    pub last_processing_result: String,
    /// The shards of its stream, oldest first.
    pub shards: Vec<ShardReport>,
}

/// A mapping's place in one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardReport {
    /// The shard.
    pub shard_id: String,
    /// The sequence number up to which every record is done.
    pub position: String,
    /// `waiting` (for its parent, or for the mapping to be enabled), `starting`, `idle`, `invoking`, `retrying`,
    /// `blocked`, `finished`, or `stream ended` (finished, and no other shard will come).
    pub state: String,
    /// Records that are known and not done.
    #[serde(rename = "lagRecords")]
    pub pending_records: usize,
    /// There may be others behind them.
    #[serde(rename = "lagIsMore")]
    pub pending_is_more: bool,
    /// Age of the oldest of them, milliseconds; 0 if there is none.
    pub lag_ms: u64,
    /// Records that were set aside.
    #[serde(rename = "parked")]
    pub parked_records: u64,
    /// The last error, while it matters; otherwise why records were set aside.
    #[serde(rename = "error", default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Every record that is published is done, durably.
    pub drained: bool,
    /// A failing record holds the shard up, and no rule will ever give it up.
    pub blocked: bool,
}

/// A record that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedReport {
    /// UUID of the mapping.
    pub mapping: String,
    /// The function's name.
    pub function: String,
    /// The table whose stream it is of.
    pub table: String,
    /// The shard's number.
    pub shard: u64,
    /// The shard; empty when the stream no longer keeps it.
    pub shard_id: String,
    /// Its number.
    pub sequence_number: String,
    /// `RetryAttemptsExhausted` or `RecordAgeExceeded`.
    pub reason: String,
    /// The last error; empty if there was none.
    pub error: String,
    /// Invocations that it was part of since the last progress.
    pub invocations: u32,
    /// Time since it was committed, milliseconds.
    pub age_ms: u64,
    /// The key of its item, as the stream has it.
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

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A function printed a line, or there is something to say about it.
    Log(tailrace_lambda::LogLine),
    /// A batch was worked on.
    Batch {
        /// The function.
        function: String,
        /// The shard's number.
        shard: u64,
        /// Its records.
        records: usize,
        /// Why it failed; `None`: delivered.
        error: Option<String>,
    },
    /// A notice for the operator.
    Notice(String),
}
