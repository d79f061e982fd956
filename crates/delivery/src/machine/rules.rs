//! The rules of a consumer, as its state machines need them. Their ranges are the business of whoever configures one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tailrace_core::limits;

/// What a shard's state machine goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// BatchSize: most records of a batch.
    pub batch_records_max: usize,
    /// MaximumBatchingWindowInSeconds: how long a batch is gathered; 0 sends what is there at once.
    #[serde(rename = "window_ms", with = "tailrace_core::time::as_ms")]
    pub window: Duration,
    /// Between two batches of a lane at least, unless one is full: a record that comes after a rest goes out at once, and of many that come
    /// one after the other, those of this time go together. 0: each as soon as the one before is done.
    #[serde(skip)]
    pub pace: Duration,
    /// ParallelizationFactor: lanes, each with its own order.
    pub lanes: u16,
    /// MaximumRetryAttempts: invocations of a failing batch after its first; `None`: for ever.
    pub retries_max: Option<u32>,
    /// MaximumRecordAgeInSeconds; `None`: as long as the stream keeps the record.
    #[serde(rename = "record_age_ms_max", with = "tailrace_core::time::as_ms_option", default)]
    pub record_age_max: Option<Duration>,
    /// BisectBatchOnFunctionError.
    pub bisect: bool,
    /// TumblingWindowInSeconds; `None`: no windows. With windows there is one lane.
    #[serde(rename = "tumbling_window_ms", with = "tailrace_core::time::as_ms_option", default)]
    pub tumbling_window: Option<Duration>,
    /// The bounds of a batch are made durable before it goes out, under this version: after a crash the very same batch goes out
    /// again. `None`: a batch may have other bounds when it comes again.
    #[serde(skip)]
    pub plan: Option<u32>,
    /// What the target takes is noted in the checkpoint under this mark, and told to it with each later batch: a
    /// target that has lost some of it since can say so ([`Outcome::Behind`](super::Outcome::Behind)). `None`: it is not noted. With a
    /// mark there is one lane.
    #[serde(skip)]
    pub mark: Option<u32>,
    /// Nothing goes out but what is in hand, or was planned or failing in the checkpoint.
    #[serde(skip)]
    pub hold: bool,
    /// Most parked records of the shard.
    pub parked_records_max: u64,
    /// Most bytes of parked records of the shard.
    pub parked_bytes_max: u64,
}

impl Default for Rules {
    /// What a consumer has that names nothing. Source: docs/spec/event-source-mapping.md 2.
    fn default() -> Self {
        Self {
            batch_records_max: limits::MAPPING_BATCH_RECORDS as usize,
            window: Duration::ZERO,
            pace: Duration::ZERO,
            lanes: 1,
            retries_max: None,
            record_age_max: None,
            bisect: false,
            tumbling_window: None,
            plan: None,
            mark: None,
            hold: false,
            parked_records_max: limits::PARKED_RECORDS_MAX,
            parked_bytes_max: limits::PARKED_BYTES_MAX,
        }
    }
}

impl Rules {
    /// A batch that was invoked so often is given up. Source: docs/spec/event-source-mapping.md 7.2.
    pub(crate) fn exhausted(&self, failed_invocations: u32) -> bool {
        self.retries_max.is_some_and(|retries| failed_invocations > retries)
    }

    /// Batches wait for something.
    pub(crate) fn gathers(&self) -> bool {
        !self.window.is_zero() || !self.pace.is_zero()
    }

    /// The number of lanes, at least one.
    pub(crate) fn lanes(&self) -> usize {
        if self.tumbling_window.is_some() || self.mark.is_some() { 1 } else { usize::from(self.lanes.max(1)) }
    }

    /// Failures of a record will end by themselves before the stream drops it.
    pub(crate) fn bounded(&self) -> bool {
        self.retries_max.is_some() || self.record_age_max.is_some()
    }

    /// Most records read ahead and not yet in a batch: two batches for each lane, at least one page.
    pub(crate) fn waiting_records_max(&self) -> usize {
        (2 * self.batch_records_max).max(limits::GET_RECORDS_MAX) * self.lanes()
    }
}
