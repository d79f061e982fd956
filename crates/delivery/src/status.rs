//! What is shown of a consumer's shards: one type from the machine to the screen.
//!
//! A shard that is worked on is shown as its machine stands; one that rests, as its checkpoint says. What it does not do: it
//! keeps no state.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, RecordNo, SequenceNumber, ShardNo};

use crate::consumer::Unread;
use crate::machine::{Checkpoint, LastResult, ParkedSize, ShardState, Status};
use crate::observer::Shard;
use crate::parked::ParkedRecord;

/// Why nothing will come to a consumer any more.
pub const STREAM_ENDED: &str = "the stream is disabled or its table was deleted";

/// A consumer's place in a shard. The page `/_admin/mappings` has its fields, under the names given here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Its number.
    pub shard: ShardNo,
    /// Its `ShardId`.
    pub shard_id: String,
    /// The sequence number up to which every record is done, durably.
    pub position: String,
    /// What it is doing.
    pub state: ShardState,
    /// Batches that wait for their turn at the target: others have all its places.
    #[serde(default)]
    pub queued_batches: usize,
    /// Records that are known and not done.
    #[serde(rename = "lagRecords")]
    pub pending_records: usize,
    /// There may be others behind them.
    #[serde(rename = "lagIsMore")]
    pub pending_is_more: bool,
    /// Age of the oldest of them, milliseconds; 0 if there is none.
    #[serde(rename = "lagMs", with = "tailrace_core::time::as_ms")]
    pub lag: Duration,
    /// Records that were set aside.
    #[serde(rename = "parked")]
    pub parked_records: u64,
    /// The last error, while it matters; otherwise why records were set aside.
    #[serde(rename = "error", default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Failed invocations of the batch in hand since the last progress.
    #[serde(default)]
    pub failed_invocations: u32,
    /// Times in a row that the target could not be invoked.
    #[serde(default)]
    pub not_invoked: u32,
    /// The sequence number of the next record, which cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// How often records may have been trimmed before they were read.
    #[serde(default)]
    pub trimmed_gaps: u64,
    /// Every record that is published is done, durably.
    pub drained: bool,
    /// Something holds the shard up that no rule will ever end.
    pub blocked: bool,
}

impl ShardStatus {
    /// A shard that is worked on, without a look at the log: what its machine has not read is behind `pending_is_more`.
    pub(crate) fn running(shard: &Shard, status: &Status, queued_batches: usize, now_ms: EpochMs) -> ShardStatus {
        let state = match status.state {
            ShardState::Invoking if queued_batches > 0 => ShardState::Queued,
            state => state,
        };
        ShardStatus {
            shard: shard.no,
            shard_id: shard.id.to_string(),
            position: SequenceNumber(status.position).to_string(),
            state,
            queued_batches,
            pending_records: status.pending_records,
            pending_is_more: !status.caught_up && !status.ended,
            lag: status.oldest_ms.map_or(Duration::ZERO, |oldest| now_ms.since(oldest)),
            parked_records: status.parked_records,
            last_error: status.error.clone(),
            failed_invocations: status.failed,
            not_invoked: status.not_invoked,
            damaged: status.damaged.map(|number| SequenceNumber(number).to_string()),
            trimmed_gaps: status.trimmed_gaps,
            drained: is_idle(status),
            blocked: status.blocked,
        }
    }

    /// A shard that is not worked on; `unread` are the records behind its checkpoint.
    pub(crate) fn resting(
        shard: &Shard,
        state: ShardState,
        (position, checkpoint): (RecordNo, Option<&Checkpoint>),
        unread: Unread,
        parked: (ParkedSize, Option<ParkedRecord>),
        now_ms: EpochMs,
    ) -> ShardStatus {
        let (Unread { records: pending_records, is_more: pending_is_more, oldest_ms }, (size, first)) =
            (unread, parked);
        let failing = checkpoint.and_then(|checkpoint| checkpoint.attempts.iter().flatten().next());
        let ended = (state == ShardState::StreamEnded).then(|| STREAM_ENDED.to_owned());
        let error = failing.map(|attempt| attempt.error.clone());
        ShardStatus {
            shard: shard.no,
            shard_id: shard.id.to_string(),
            position: SequenceNumber(position).to_string(),
            state,
            queued_batches: 0,
            pending_records,
            pending_is_more,
            lag: oldest_ms.map_or(Duration::ZERO, |oldest| now_ms.since(oldest)),
            parked_records: size.records,
            last_error: error.or_else(|| first.map(|first| because(&first))).or(ended),
            failed_invocations: failing.map_or(0, |attempt| attempt.invocations),
            not_invoked: 0,
            damaged: None,
            trimmed_gaps: checkpoint.map_or(0, |checkpoint| checkpoint.trimmed_gaps),
            drained: state.is_over(),
            blocked: false,
        }
    }
}

/// Everything that was read is done, durably, and nothing was left to read.
pub(crate) fn is_idle(status: &Status) -> bool {
    status.durable && status.caught_up && status.pending_records == 0
}

pub(crate) fn because(parked: &ParkedRecord) -> String {
    format!("parked: {}", parked.why())
}

/// LastProcessingResult in Lambda's words, and for what Lambda has no words in ours.
/// Source: docs/spec/event-source-mapping.md 4.
pub fn last_processing_result<'a>(results: impl Iterator<Item = &'a LastResult>) -> String {
    match results.max_by_key(|last| last.at_ms) {
        None => "No records processed".to_owned(),
        Some(LastResult { error: None, .. }) => "OK".to_owned(),
        Some(LastResult { error: Some(reason), not_invoked: true, .. }) => format!("PROBLEM: {reason}"),
        Some(_) => "PROBLEM: Function call failed".to_owned(),
    }
}
