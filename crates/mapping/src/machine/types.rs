//! The words between the state machine and whoever runs it: records, inputs, actions, outcomes, status.
//! Plain data; the rules are in the sibling modules.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::RecordNo as Lsn;

use super::checkpoint::Checkpoint;

/// The instant of a step. Delays are counted on the monotonic time, ages of records on the wall clock, so that a
/// clock that is set back holds up no retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Milliseconds since an arbitrary fixed point; never steps back.
    pub mono_ms: u64,
}

/// A stream record, ready to be handed to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub lsn: Lsn,
    /// When it was committed, wall-clock milliseconds.
    pub time_ms: u64,
    /// A hash of its partition key that is the same in every run: it chooses the lane.
    pub key_hash: u64,
    /// Its JSON as the function sees it: one element of the event's `Records`.
    pub event: Bytes,
}

/// What was read from the shard's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRead {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Read on after this number.
    pub next: Lsn,
    /// More could have been read at once.
    pub more: bool,
    /// The shard is sealed and holds nothing behind `next`.
    pub ended: bool,
    /// Numbers below this one are trimmed.
    pub horizon: Lsn,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered, with this payload.
    Answered(Bytes),
    /// The function failed: an exception, a timeout, a crash, an error of its initialisation. The text says which.
    FunctionError(String),
    /// The function was not run: throttled, missing, not startable. Spends no retry.
    NotInvoked(String),
}

/// What happened; see [`super::ShardMachine::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed (also the very first input).
    Tick,
    /// The answer to [`Action::Fetch`].
    Fetched(LogRead),
    /// The end of an [`Action::Invoke`].
    Invoked {
        /// The invocation.
        id: InvocationId,
        /// How it ended.
        outcome: Outcome,
        /// A random number, for the spread of a back-off.
        jitter: u32,
    },
    /// The [`Action::Commit`] under way is durable.
    Committed,
    /// The rules changed; what waits to be retried is retried at once.
    Configure(super::Rules),
    /// Something outside changed (the function's code, its limits): what waits to be retried is retried at once.
    Wake,
    /// Parked records of this shard were removed.
    ParkedRemoved {
        /// How many.
        records: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Records below this number are trimmed: a failing record among them is given up.
    Horizon(Lsn),
    /// Hand out nothing more, wait for what is under way, commit, and answer [`Action::Stopped`].
    Stop,
}

/// The number of an invocation, unique in a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// A batch to hand to the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its number.
    pub id: InvocationId,
    /// The lane it belongs to.
    pub lane: u16,
    /// How many invocations of this batch failed before (0: the first try).
    pub failed_before: u32,
    /// The records, in order; at least one.
    pub records: Vec<Record>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the log and answer with [`Input::Fetched`]. At most one is under way.
    Fetch {
        /// Records above this number.
        after: Lsn,
        /// At most so many.
        records_max: usize,
        /// End after about so many stored bytes.
        bytes_max: usize,
        /// Nothing was left to read the last time: wait for something first.
        wait: bool,
    },
    /// Invoke the function and answer with [`Input::Invoked`]. At most one per lane is under way.
    Invoke(Invocation),
    /// Make checkpoint and parked records durable in one commit and answer with [`Input::Committed`].
    /// At most one is under way.
    Commit {
        /// The shard's new checkpoint.
        checkpoint: Checkpoint,
        /// Records that it steps over, to be kept.
        parked: Vec<Parked>,
    },
    /// Records may have been trimmed before they were read: everything after the first and below the second number.
    Trimmed {
        /// The position that was to be read on from.
        after: Lsn,
        /// The first number that can still be read.
        horizon: Lsn,
    },
    /// The function's answer was to be read for failed records and is no JSON: the batch counts as processed.
    AnswerIgnored,
    /// The shard is sealed, everything of it is done, and a checkpoint that says so is durable. The machine's end.
    Finished,
    /// The answer to [`Input::Stop`]: nothing is under way, everything known is durable. The machine's end.
    Stopped,
}

/// Why a record was given up. The names are AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GiveUp {
    /// MaximumRetryAttempts are spent.
    RetryAttemptsExhausted,
    /// Older than MaximumRecordAgeInSeconds, or failing until the stream itself no longer kept it.
    RecordAgeExceeded,
}

impl GiveUp {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            GiveUp::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            GiveUp::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}

/// A record that was set aside by the failure rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// A copy of the record.
    pub record: Record,
    /// Why.
    pub reason: GiveUp,
    /// The last error; empty if there was none.
    pub error: String,
    /// Invocations that it was part of since the last progress; at least 1, as AWS counts.
    pub invocations: u32,
    /// When its batch first failed, wall-clock milliseconds.
    pub first_failed_ms: Option<u64>,
    /// When it was given up, wall-clock milliseconds.
    pub parked_ms: u64,
}

/// What keeps a lane from its next batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum LaneState {
    /// Nothing to do, or a batch is being gathered.
    Waiting,
    /// A batch is with the function.
    Invoking,
    /// The batch failed and will be tried again.
    Retrying {
        /// Failed invocations of the batch since the last progress; 0 if the function could not be invoked at all.
        failed: u32,
        /// Failed invocations since the machine began, whatever progress there was.
        failed_here: u32,
        /// Times in a row that the function could not be invoked. Only the batch's age ends that.
        not_invoked: u32,
        /// The rules will give the batch up some time.
        bounded: bool,
        /// One of them is a bound on its age.
        ages: bool,
        /// The last error.
        error: String,
    },
    /// Records are to be parked, and there is no room for them: free some, or raise the bound.
    ParkedFull {
        /// The last error.
        error: String,
    },
}

/// A machine as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Every record up to here is done, durably.
    pub position: Lsn,
    /// Everything up to here was read.
    pub read: Lsn,
    /// Nothing was left to read the last time.
    pub caught_up: bool,
    /// The shard is sealed and was read to its end.
    pub ended: bool,
    /// Records that were read and are not done.
    pub pending_records: usize,
    /// Commit time of the oldest of them.
    pub oldest_ms: Option<u64>,
    /// Everything that is done is durable as well.
    pub durable: bool,
    /// The lanes.
    pub lanes: Vec<LaneState>,
    /// ParallelizationFactor is to become this, and waits until everything that was read is done.
    pub lanes_wanted: Option<usize>,
    /// Parked records of the shard.
    pub parked_records: u64,
    /// Their bytes.
    pub parked_bytes: u64,
    /// How often records may have been trimmed before they were read.
    pub trimmed_gaps: u64,
    /// The last result.
    pub last: Option<super::LastResult>,
}
