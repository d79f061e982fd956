//! What an operator can choose of the engine.

use std::collections::BTreeSet;
use std::time::Duration;

/// What an operator can choose of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The region in ARNs and records.
    pub region: String,
    /// The account in ARNs: 12 digits.
    pub account_id: String,
    /// Which of the two wordings of AWS the errors have.
    pub wording: tailrace_core::Wording,
    /// Shards of a new stream, 1 to [`SHARDS_PER_STREAM_MAX`](tailrace_core::limits::SHARDS_PER_STREAM_MAX).
    pub shards_per_stream: usize,
    /// How long a record of a stream, and a disabled stream, can be read.
    pub stream_retention: Duration,
    /// For how long a record is kept, at most, that a sink has not delivered yet.
    pub pinned_retention: Duration,
    /// Tables and indexes stay in the states CREATING, UPDATING and DELETING for a short time, with what AWS refuses in them.
    pub aws_like_states: bool,
    /// How long after its instant an expired item is deleted, at least.
    pub ttl_delay: Duration,
    /// The tables that are throttled by their throughput.
    pub throttled: ThrottledTables,
    /// The changes of a table can be brought to Kinesis data streams.
    pub kinesis_destinations: bool,
}

impl Settings {
    /// Region and account as ARNs have them: `us-east-1:000000000000`.
    pub fn arn_scope(&self) -> String {
        format!("{}:{}", self.region, self.account_id)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            wording: tailrace_core::Wording::Current,
            shards_per_stream: 4,
            stream_retention: tailrace_core::limits::STREAM_RETENTION,
            pinned_retention: tailrace_core::limits::PINNED_RETENTION,
            aws_like_states: false,
            ttl_delay: Duration::ZERO,
            throttled: ThrottledTables::None,
            kinesis_destinations: false,
        }
    }
}

/// Which tables are throttled by their throughput.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ThrottledTables {
    /// None.
    #[default]
    None,
    /// Each that has a throughput, or limits on demand.
    All,
    /// Those of these that do.
    Named(BTreeSet<String>),
}
