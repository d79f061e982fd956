//! The bounds of delivery streams, with their sources.

use std::time::Duration;

/// Most delivery streams. Our bound; AWS has a quota of 5,000 an account.
pub const STREAMS_MAX: usize = 1000;
/// Most bytes of the records of a PutRecordBatch. Source: docs/spec/sinks.md 2.1.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Most tags of a delivery stream. Source: the service model.
pub const TAGS_MAX: usize = 50;
/// Names of a page of ListDeliveryStreams where nothing is said. Source: the API reference.
pub const LIST_PAGE: usize = 10;
/// Bytes of a flush where nothing is said, MiB. Source: docs/spec/sinks.md 2.1.
pub const SIZE_MIB: u64 = 5;
/// How long records are gathered where nothing is said. Source: docs/spec/sinks.md 2.1.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// Least buffer of a stream with dynamic partitioning, MiB. Source: docs/spec/sinks.md 2.3.
pub const PARTITIONED_SIZE_MIB_MIN: u64 = 64;
/// Most partitions of a flush. Source: docs/spec/sinks.md 2.3.
pub const PARTITIONS_MAX: usize = 500;
/// Most records of a flush: what is kept beside their bytes is bounded too.
pub const FLUSH_RECORDS_MAX: usize = 250_000;
/// Most of a flush's objects that are put at a time.
pub const PUTS_AT_ONCE: usize = 8;
/// Tries of a function that fails, after its first, where nothing is said. Source: docs/spec/sinks.md 8.
pub const RETRIES: u32 = 3;
/// Most tries after the first. Source: the guide.
pub const RETRIES_MAX: u32 = 300;
/// Bytes of the records of one invocation where nothing is said. Source: docs/spec/sinks.md 8.
pub const INVOKE_BYTES: usize = 1 << 20;
/// Least and most of them. Source: docs/spec/sinks.md 8.
pub const INVOKE_BYTES_RANGE: std::ops::RangeInclusive<f64> = 0.2..=3.0;
/// Most records of one invocation. Our bound: some 100 bytes of JSON stand around each.
pub const INVOKE_RECORDS_MAX: usize = 10_000;
/// Most bytes of what functions have made of one flush; records whose results would be beyond it fail. Our bound, twice the largest
/// flush.
pub const TRANSFORMED_BYTES_MAX: usize = 256 << 20;
/// About how many bytes of results are one row.
pub const TRANSFORMED_ROW_BYTES: usize = 1 << 20;
/// Most bytes of results in one commit; a single result may be above.
pub const TRANSFORMED_COMMIT_BYTES: usize = 4 << 20;
/// Most records of a request to an HTTP endpoint. Source: docs/spec/sinks.md 2.7.
pub const REQUEST_RECORDS_MAX: usize = 10_000;
/// Most bytes of its body, before compression. Source: docs/spec/sinks.md 2.7.
pub const REQUEST_BYTES_MAX: usize = 64 << 20;
/// How long an endpoint may take to answer. Source: docs/spec/sinks.md 2.7.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(180);
/// Most bytes of its answer. Source: docs/spec/sinks.md 2.7.
pub const REPLY_BYTES_MAX: usize = 1 << 20;
/// Most documents that are sent to an index, and are over, together. Our bound: a row has what was given up of them.
pub const PART_DOCUMENTS_MAX: usize = 1_000;
/// Most bytes of them; a single one may be above. Source: docs/spec/sinks.md 3.3, the size of a bulk.
pub const PART_BYTES_MAX: usize = 5 << 20;
/// How long what fails is sent again where nothing is said. Source: the API reference.
pub const RETRY: Duration = Duration::from_secs(300);
/// Of a load. Source: the API reference.
pub const LOAD_RETRY: Duration = Duration::from_secs(3600);
/// The first pause between; each of the others is twice the one before. Source: docs/spec/sinks.md 2.7.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest of them. Source: docs/spec/sinks.md 2.7.
pub const PAUSE_MAX: Duration = Duration::from_secs(120);
/// What a pause is longer or shorter at most, in hundredths. Source: docs/spec/sinks.md 2.7.
pub const PAUSE_SPREAD_PERCENT: u64 = 15;
/// Longest that a stop waits for a function or an endpoint. Our reason: most have answered by then, and a stop of the server waits for no
/// longer either.
pub const STOP_WAIT: Duration = Duration::from_secs(5);
/// Longest error that is kept of a record.
pub const ERROR_CHARS_MAX: usize = 1000;
