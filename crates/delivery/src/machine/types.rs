//! The words between the state machine and whoever runs it: records, inputs, actions, outcomes, status.
//! Plain data; the rules are in the sibling modules.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, MonotonicMs, RecordNo};
use tailrace_store::LogRecord;

use super::checkpoint::{Checkpoint, Taken};
use super::window::{OpenWindow, WindowCall};

/// The instant of a step. Delays are counted on the monotonic time, ages of records on the wall clock, so that a
/// clock that is set back holds up no retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// By the wall clock.
    pub wall: EpochMs,
    /// By the clock that never steps back.
    pub monotonic: MonotonicMs,
}

/// A stream record as the machine sees it: number, time, lane and sizes. What it says is opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// A hash of its partition key that is the same in every run: it chooses the lane.
    pub key_hash: u64,
    /// What it adds to a batch, in the target's bytes.
    pub size: usize,
    /// The log's record.
    pub logged: LogRecord,
}

impl Record {
    /// Its number.
    pub fn number(&self) -> RecordNo {
        self.logged.number
    }

    /// When it was committed.
    pub fn time(&self) -> EpochMs {
        self.logged.time_ms
    }

    /// The bytes that it takes when it is parked.
    pub fn stored_bytes(&self) -> u64 {
        stored_bytes(&self.logged)
    }
}

/// The bytes of a record of the log.
pub(crate) fn stored_bytes(logged: &LogRecord) -> u64 {
    logged.bytes() as u64
}

/// A record that cannot be read: nothing behind it is read before it is readable again, trimmed, or set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// What the log holds of it.
    pub logged: LogRecord,
    /// What is wrong with it.
    pub error: String,
}

/// What was read from the shard's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRead {
    /// The records that the target wants, in order.
    pub records: Vec<Record>,
    /// How many others were passed over: they are done.
    pub unwanted: usize,
    /// When the last of them all was committed; zero: there was none.
    pub newest: EpochMs,
    /// Read on after this number.
    pub next: RecordNo,
    /// More could have been read at once.
    pub more: bool,
    /// The shard is sealed and holds nothing behind `next`.
    pub ended: bool,
    /// Numbers below this one are trimmed.
    pub horizon: RecordNo,
    /// The record right behind `next`, which cannot be read.
    pub damaged: Option<Damaged>,
}

/// How an invocation of the target ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every record of the batch is done.
    Done,
    /// Every record is done but these, by rising index, which the target will never take, each with the reason. They are parked.
    DoneExcept(Vec<(usize, String)>),
    /// As `DoneExcept` for the records before an index; the others are not done.
    DoneUntil {
        /// The first record that is not done.
        index: usize,
        /// Of those before it, those that the target will never take.
        rejected: Vec<(usize, String)>,
        /// Why the others are not done.
        error: String,
    },
    /// The records before this index are done, the others are not.
    FailedFrom {
        /// The first record that is not done.
        index: usize,
        /// Why.
        error: String,
    },
    /// Nothing of the batch counts as done. The text says why.
    Failed(String),
    /// Nothing of the batch counts as done, and nothing of it ever will be while it is in one batch: it is split, and one
    /// record alone is given up.
    Undeliverable(String),
    /// Nothing was tried: no room, not startable, switched off. Spends no retry.
    NotInvoked(String),
    /// The target has lost what it took behind this number: that is read again, and the batch with it. From a target to which nothing
    /// was told that it took, it counts as `Failed`.
    Behind {
        /// The last record that it still has.
        at: RecordNo,
        /// Why.
        error: String,
    },
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The state that the target carries on in its window, as JSON; `None` without a window.
    pub state: Option<Arc<str>>,
}

impl Outcome {
    /// How many of a batch's records, the last ones, are not done, and why; `None`: there are none.
    pub(crate) fn failure(&self, records: usize) -> Option<(usize, &str)> {
        match self {
            Outcome::Done | Outcome::DoneExcept(_) => None,
            Outcome::FailedFrom { index, error } | Outcome::DoneUntil { index, error, .. } => {
                Some((records.saturating_sub(*index), error))
            }
            Outcome::Failed(error)
            | Outcome::NotInvoked(error)
            | Outcome::Undeliverable(error)
            | Outcome::Behind { error, .. } => Some((records, error)),
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Answer { outcome, state: None }
    }
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
        answer: Answer,
        /// A random number, for the spread of a back-off.
        jitter: u32,
    },
    /// The [`Action::Commit`] under way is durable.
    Committed,
    /// The rules or the target's own configuration changed; what waits to be retried is retried at once, and what waits at the
    /// target is recalled.
    Configure(super::Rules),
    /// Something outside changed (the target itself, its limits): what waits to be retried is retried at once.
    Wake,
    /// Parked records of this shard were removed.
    ParkedRemoved(super::ParkedSize),
    /// So much of this shard is parked, durably; the answer to a commit that is not told of yet.
    ParkedIs(super::ParkedSize),
    /// Records below this number are trimmed: a failing record among them is given up.
    Horizon(RecordNo),
    /// What is to be read waits for room in memory: it comes when there is some, or when nothing of the shard is held any more.
    Crowded,
    /// An operator's word: the damaged record of this number is set aside when everything before it is done.
    SkipDamaged(RecordNo),
    /// Hand out nothing more, wait for what is under way, commit, and answer [`Action::Stopped`].
    Stop,
}

/// The number of an invocation, unique in a machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// A batch to hand to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its number.
    pub id: InvocationId,
    /// The lane it belongs to.
    pub lane: u16,
    /// How many invocations of this batch failed before (0: the first try).
    pub failed_before: u32,
    /// The version under which its bounds were made durable; `None`: they were not ([`Rules::plan`](super::Rules::plan)).
    pub plan: Option<u32>,
    /// What the target took before, and under which mark.
    pub taken: Option<Taken>,
    /// The records, in order; none only in the final call of a window.
    pub records: Vec<Record>,
    /// The tumbling window that it is in.
    pub window: Option<WindowCall>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the log and answer with [`Input::Fetched`]. At most one is under way: another takes the place of one that is.
    Fetch {
        /// Records above this number.
        after: RecordNo,
        /// At most so many.
        records_max: usize,
        /// End after about so many stored bytes.
        bytes_max: usize,
        /// Nothing was left to read the last time: wait for something first.
        wait: bool,
        /// It waits for no room in memory: without it nothing of the shard goes on.
        at_once: bool,
        /// Not sooner than then, unless a tick is due, which comes behind it: a batch is gathered, and looking at every record as it
        /// comes would cost more than all else that is done for it.
        not_before: Option<MonotonicMs>,
    },
    /// Invoke the target and answer with [`Input::Invoked`]. At most one per lane is under way.
    Invoke(Invocation),
    /// The batch is wanted back if the target has not begun with it: the rules have changed, or its records have become too old.
    /// The invocation is answered as ever, with [`Outcome::NotInvoked`] if it comes back.
    Recall(InvocationId),
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
        after: RecordNo,
        /// The first number that can still be read.
        horizon: RecordNo,
    },
    /// The final call of a window was given up: its state is lost.
    WindowLost {
        /// The window.
        window: OpenWindow,
        /// The last error.
        error: String,
    },
    /// The shard is sealed, everything of it is done, and a checkpoint that says so is durable. The machine's end.
    Finished,
    /// The answer to [`Input::Stop`]: nothing is under way, everything known is durable. The machine's end.
    Stopped,
}

/// Why a record was given up. The names are AWS's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GiveUp {
    /// MaximumRetryAttempts are spent.
    RetryAttemptsExhausted,
    /// Older than MaximumRecordAgeInSeconds, or failing until the stream itself no longer kept it.
    RecordAgeExceeded,
    /// It is too large for the target, by itself (ours).
    Undeliverable,
    /// The target said that it will never take it (ours).
    Rejected,
    /// It could not be read, and an operator had it set aside (ours).
    Damaged,
}

impl GiveUp {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            GiveUp::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            GiveUp::RecordAgeExceeded => "RecordAgeExceeded",
            GiveUp::Undeliverable => "Undeliverable",
            GiveUp::Rejected => "Rejected",
            GiveUp::Damaged => "Damaged",
        }
    }
}

/// A record that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The record.
    pub logged: LogRecord,
    /// Why.
    pub reason: GiveUp,
    /// The last error; empty if there was none.
    pub error: String,
    /// Invocations that it was part of since the last progress; at least 1, as AWS counts. 0 for a damaged one.
    pub invocations: u32,
    /// When its batch first failed, wall-clock milliseconds.
    pub first_failed_ms: Option<EpochMs>,
    /// When it was given up, wall-clock milliseconds.
    pub parked_ms: EpochMs,
}

/// What a shard of a consumer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// It waits for its parent, or for its consumer to be enabled.
    Waiting,
    /// Its task begins.
    Starting,
    /// Nothing to do, or a batch is being gathered.
    Idle,
    /// A batch is with the target.
    Invoking,
    /// A batch waits for its turn at the target: others have all its places.
    Queued,
    /// A batch failed and will be tried again.
    Retrying,
    /// Records are to be parked, and there is no room for them: free some, or raise the bound.
    Blocked,
    /// The next record cannot be read.
    Damaged,
    /// Another runner delivers it.
    Elsewhere,
    /// Everything of it is done, and no record will come.
    Finished,
    /// As finished, and no other shard of its stream will come either.
    #[serde(rename = "stream ended")]
    StreamEnded,
}

impl ShardState {
    /// Everything of the shard is done, for ever.
    pub fn is_over(self) -> bool {
        matches!(self, ShardState::Finished | ShardState::StreamEnded)
    }
}

impl std::fmt::Display for ShardState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ShardState::Waiting => "waiting",
            ShardState::Starting => "starting",
            ShardState::Idle => "idle",
            ShardState::Invoking => "invoking",
            ShardState::Queued => "queued",
            ShardState::Retrying => "retrying",
            ShardState::Blocked => "blocked",
            ShardState::Damaged => "damaged",
            ShardState::Elsewhere => "elsewhere",
            ShardState::Finished => "finished",
            ShardState::StreamEnded => "stream ended",
        })
    }
}

/// A machine as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Every record up to here is done, durably.
    pub position: RecordNo,
    /// Everything up to here was read.
    pub read: RecordNo,
    /// Nothing was left to read the last time.
    pub caught_up: bool,
    /// The shard is sealed and was read to its end.
    pub ended: bool,
    /// Records that were read and are not done.
    pub pending_records: usize,
    /// Commit time of the oldest of them.
    pub oldest_ms: Option<EpochMs>,
    /// Everything that is done is durable as well.
    pub durable: bool,
    /// What it is doing: the worst of its lanes.
    pub state: ShardState,
    /// The last error, while it matters.
    pub error: Option<String>,
    /// Failed invocations of the batch in hand since the last progress, the most of any lane.
    pub failed: u32,
    /// Times in a row that the target could not be invoked, the most of any lane.
    pub not_invoked: u32,
    /// Something holds the shard up that no rule will ever end.
    pub blocked: bool,
    /// The record that cannot be read.
    pub damaged: Option<RecordNo>,
    /// The number of lanes is to become this, and waits until everything that was read is done.
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
