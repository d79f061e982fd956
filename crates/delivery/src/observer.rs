//! Someone to tell what happens in delivery, and the name that a shard has for people.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tailrace_core::{EpochMs, RecordNo};
use tailrace_engine::streams::descriptor::shard_id;
use tailrace_store::{ShardInfo, ShardNo};

use crate::machine::{GiveUp, Outcome};

/// A shard, with the name that clients know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number.
    pub no: ShardNo,
    /// Its `ShardId`.
    pub id: Arc<str>,
}

impl Shard {
    /// The shard of an engine's description.
    pub fn of(info: &ShardInfo) -> Shard {
        Shard { no: info.shard, id: shard_id(info).into() }
    }
}

/// The next try of what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// When, by the wall clock.
    pub at_ms: EpochMs,
    /// From now on.
    pub after: Duration,
}

/// Something that a person may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryEvent {
    /// A batch came back from the target.
    Batch {
        /// The shard.
        shard: Shard,
        /// Its records; none in the final call of a window.
        records: usize,
        /// How many of them, the last ones, failed.
        failed: usize,
        /// Why; `None`: none failed.
        error: Option<String>,
        /// How long the target had it.
        duration: Duration,
        /// When what failed is tried again; `None`: at once, or not at all.
        retry: Option<Retry>,
    },
    /// Records were parked.
    Parked {
        /// The shard.
        shard: Shard,
        /// How many.
        records: usize,
        /// Why.
        reason: GiveUp,
        /// The last error; empty if there was none.
        error: String,
    },
    /// Records may have been trimmed before they were read.
    Trimmed {
        /// The shard.
        shard: Shard,
        /// The position that was to be read on from.
        after: RecordNo,
        /// The first number that can still be read.
        horizon: RecordNo,
    },
    /// Records lay in a piece of the log that an operator has set aside: they are passed over.
    Lost {
        /// The shard.
        shard: Shard,
        /// The numbers that are lost, those of other shards among them.
        numbers: RangeInclusive<RecordNo>,
    },
    /// A record cannot be read; the shard waits before it.
    Damaged {
        /// The shard.
        shard: Shard,
        /// The record.
        number: RecordNo,
        /// What is wrong with it.
        error: String,
    },
    /// Another runner has taken the shard over; this one delivers it no more.
    TakenOver {
        /// The shard.
        shard: Shard,
    },
    /// The final call of a window was given up: what the window had gathered is lost.
    WindowLost {
        /// The shard.
        shard: Shard,
        /// The window's first instant.
        start_ms: EpochMs,
        /// The first instant behind it.
        end_ms: EpochMs,
        /// The last error.
        error: String,
    },
    /// Something is wrong with the consumer itself; it is tried again.
    Trouble {
        /// The shard, if it is one's.
        shard: Option<Shard>,
        /// What.
        error: String,
    },
}

impl DeliveryEvent {
    /// A batch that came back, and is not tried again.
    pub(crate) fn batch(shard: Shard, records: usize, outcome: &Outcome, duration: Duration) -> DeliveryEvent {
        let failure = outcome.failure(records);
        let (failed, error) = failure.map_or((0, None), |(failed, error)| (failed, Some(error.to_owned())));
        DeliveryEvent::Batch { shard, records, failed, error, duration, retry: None }
    }
}

/// Someone to tell. Called from the consumer's tasks: it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: DeliveryEvent);
}
