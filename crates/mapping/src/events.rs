//! What happens in mappings, for whoever wants to see it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tailrace_core::{EpochMs, RecordNo};
use tailrace_delivery::{DeliveryEvent, GiveUp, Retry, Shard};

use crate::function::{AnswerFault, FunctionTarget};

/// Something that a person may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingEvent {
    /// A batch came back from the function.
    Batch {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The table whose stream they are of.
        table: String,
        /// The shard.
        shard: Shard,
        /// Records of the batch.
        records: usize,
        /// How many of them, the last ones, count as failed.
        failed: usize,
        /// Why; `None`: none failed.
        error: Option<String>,
        /// How long the function had it.
        duration: Duration,
        /// When what failed is tried again; `None`: at once, or not at all.
        retry: Option<Retry>,
    },
    /// Records were parked.
    Parked {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The table whose stream they are of.
        table: String,
        /// The shard.
        shard: Shard,
        /// How many.
        records: usize,
        /// Why.
        reason: GiveUp,
        /// The last error; empty if there was none.
        error: String,
    },
    /// The function's answer looks as if it were to name failed records and does not: the batch counts as processed. Told
    /// once, until the mapping changes or something else is wrong.
    AnswerIgnored {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The shard.
        shard: Shard,
        /// What is wrong with it.
        fault: AnswerFault,
    },
    /// The final call of a tumbling window was given up: what the window had gathered is lost.
    WindowLost {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The shard.
        shard: Shard,
        /// The window's first instant.
        start_ms: EpochMs,
        /// The first instant behind it.
        end_ms: EpochMs,
        /// The last error.
        error: String,
    },
    /// Records may have been trimmed before they were read.
    Trimmed {
        /// UUID of the mapping.
        mapping: String,
        /// The shard.
        shard: Shard,
        /// The position that was to be read on from.
        after: RecordNo,
        /// The first number that can still be read.
        horizon: RecordNo,
    },
    /// Records lay in a piece of the log that an operator has set aside: they are passed over.
    Lost {
        /// UUID of the mapping.
        mapping: String,
        /// The shard.
        shard: Shard,
        /// The numbers that are lost, those of other shards among them.
        numbers: RangeInclusive<RecordNo>,
    },
    /// A record cannot be read; its shard waits before it.
    Damaged {
        /// UUID of the mapping.
        mapping: String,
        /// The table whose stream it is of.
        table: String,
        /// The shard.
        shard: Shard,
        /// The record.
        number: RecordNo,
        /// What is wrong with it.
        error: String,
    },
    /// Another runner has taken the shard over.
    TakenOver {
        /// UUID of the mapping.
        mapping: String,
        /// The shard.
        shard: Shard,
    },
    /// Something is wrong with the mapping itself; it is tried again.
    Trouble {
        /// UUID of the mapping.
        mapping: String,
        /// The shard, if it is one's.
        shard: Option<Shard>,
        /// What.
        error: String,
    },
}

/// Someone to tell. Called from the runner's tasks: it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: &MappingEvent);
}

/// Tells nobody.
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&self, _event: &MappingEvent) {}
}

/// Tells what happens in the delivery of a mapping on, with the names that a person knows.
pub(crate) struct NamedEvents {
    pub mapping: String,
    pub table: String,
    pub target: FunctionTarget,
    pub observer: Arc<dyn Observer>,
}

impl tailrace_delivery::Observer for NamedEvents {
    fn on_event(&self, event: DeliveryEvent) {
        let (mapping, table) = (self.mapping.clone(), self.table.clone());
        self.observer.on_event(&match event {
            DeliveryEvent::Batch { shard, records, failed, error, duration, retry } => {
                let function = self.target.function();
                MappingEvent::Batch { mapping, function, table, shard, records, failed, error, duration, retry }
            }
            DeliveryEvent::Parked { shard, records, reason, error } => {
                let function = self.target.function();
                MappingEvent::Parked { mapping, function, table, shard, records, reason, error }
            }
            DeliveryEvent::WindowLost { shard, start_ms, end_ms, error } => {
                let function = self.target.function();
                MappingEvent::WindowLost { mapping, function, shard, start_ms, end_ms, error }
            }
            DeliveryEvent::Trimmed { shard, after, horizon } => {
                MappingEvent::Trimmed { mapping, shard, after, horizon }
            }
            DeliveryEvent::Lost { shard, numbers } => MappingEvent::Lost { mapping, shard, numbers },
            DeliveryEvent::Damaged { shard, number, error } => {
                MappingEvent::Damaged { mapping, table, shard, number, error }
            }
            DeliveryEvent::TakenOver { shard } => MappingEvent::TakenOver { mapping, shard },
            DeliveryEvent::Trouble { shard, error } => MappingEvent::Trouble { mapping, shard, error },
        });
    }
}
