//! What the runner shows of its mappings: plain data for people and for `tailrace mappings`.

use serde::Serialize;
use tailrace_core::SequenceNumber;
use tailrace_store::ShardNo;

use crate::config::Mapping;
use crate::machine::{LaneState, LastResult, ShardMachine, Status};

/// A shard's machine at one moment.
#[derive(Clone, Debug)]
pub(super) struct ShardSnapshot {
    pub status: Status,
}

impl ShardSnapshot {
    pub fn of(machine: &ShardMachine) -> ShardSnapshot {
        ShardSnapshot { status: machine.status() }
    }
}

/// A mapping with its shards.
#[derive(Clone, Debug, Serialize)]
pub struct MappingStatus {
    /// UUID.
    pub uuid: String,
    /// The function's name.
    pub function: String,
    /// The stream.
    pub event_source_arn: String,
    /// `Enabled`, `Disabled`, `Disabling` or `Deleting`.
    pub state: &'static str,
    /// As Lambda shows it.
    pub last_processing_result: String,
    /// The last trouble of the mapping itself.
    pub trouble: Option<String>,
    /// Its shards that are being processed, by number.
    pub shards: Vec<ShardStatus>,
}

/// A shard of a mapping.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    /// Its number.
    pub shard: u64,
    /// Every record up to this number is done, durably.
    pub position: String,
    /// Records that were read and are not done. If `lag_is_more`, there are others behind them.
    pub lag_records: usize,
    /// More records wait in the log.
    pub lag_is_more: bool,
    /// Age of the oldest record that is not done, milliseconds.
    pub lag_ms: u64,
    /// `idle`, `invoking`, `retrying`, or `blocked: no room to park`.
    pub state: &'static str,
    /// The last error, while it matters.
    pub error: Option<String>,
    /// Parked records.
    pub parked: u64,
    /// How often records may have been trimmed before they were read.
    pub trimmed_gaps: u64,
}

/// A shard that a failing record holds up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// UUID of the mapping.
    pub mapping: String,
    /// The function's name.
    pub function: String,
    /// The shard.
    pub shard: u64,
    /// Failed invocations of the batch so far.
    pub failed: u32,
    /// Those since the server started, whatever progress there was.
    pub failed_here: u32,
    /// Times in a row that the function could not be invoked.
    pub not_invoked: u32,
    /// The mapping's rules will give the batch up some time; otherwise it blocks until the stream drops it.
    pub bounded: bool,
    /// One of the rules is a bound on age, which ends also a batch that the function cannot be invoked for.
    pub ages: bool,
    /// The record is to be parked, and there is no room.
    pub parked_full: bool,
    /// The last error.
    pub error: String,
}

pub(super) fn shard_status(shard: ShardNo, status: &Status, now_ms: u64) -> ShardStatus {
    let (mut state, mut error) = ("idle", None::<String>);
    for lane in &status.lanes {
        match lane {
            LaneState::ParkedFull { error: text } => (state, error) = ("blocked: no room to park", Some(text.clone())),
            _ if state.starts_with("blocked") => {}
            LaneState::Retrying { error: text, .. } => (state, error) = ("retrying", Some(text.clone())),
            LaneState::Invoking if state == "idle" => state = "invoking",
            LaneState::Invoking | LaneState::Waiting => {}
        }
    }
    if let (Some(wanted), Some(error)) = (status.lanes_wanted, &mut error) {
        // Everything behind the failing record waits with it, whatever its lane.
        error.push_str(&format!(" (ParallelizationFactor becomes {wanted}, and more is read, when this is done)"));
    }
    ShardStatus {
        shard: shard.0,
        position: SequenceNumber(status.position).to_string(),
        lag_records: status.pending_records,
        lag_is_more: !status.caught_up && !status.ended,
        lag_ms: status.oldest_ms.map_or(0, |oldest| now_ms.saturating_sub(oldest)),
        state,
        error,
        parked: status.parked_records,
        trimmed_gaps: status.trimmed_gaps,
    }
}

pub(super) fn blocked(mapping: &Mapping, shard: ShardNo, status: &Status) -> Vec<Blocked> {
    let stuck = |error: &String| Blocked {
        mapping: mapping.uuid.clone(),
        function: mapping.function.clone(),
        shard: shard.0,
        failed: 0,
        failed_here: 0,
        not_invoked: 0,
        bounded: false,
        ages: false,
        parked_full: false,
        error: error.clone(),
    };
    let lanes = status.lanes.iter();
    lanes
        .filter_map(|lane| match lane {
            LaneState::ParkedFull { error } => Some(Blocked { parked_full: true, ..stuck(error) }),
            LaneState::Retrying { failed, failed_here, not_invoked, bounded, ages, error } => Some(Blocked {
                failed: *failed,
                failed_here: *failed_here,
                not_invoked: *not_invoked,
                bounded: *bounded,
                ages: *ages,
                ..stuck(error)
            }),
            LaneState::Waiting | LaneState::Invoking => None,
        })
        .collect()
}

/// LastProcessingResult in Lambda's words, and for what Lambda has no words in ours.
/// Source: docs/spec/event-source-mapping.md 4.
pub(super) fn last_processing_result<'a>(results: impl Iterator<Item = &'a LastResult>) -> String {
    match results.max_by_key(|last| last.at_ms) {
        None => "No records processed".to_owned(),
        Some(LastResult { error: None, .. }) => "OK".to_owned(),
        Some(LastResult { error: Some(reason), not_invoked: true, .. }) => format!("PROBLEM: {reason}"),
        Some(_) => "PROBLEM: Function call failed".to_owned(),
    }
}
