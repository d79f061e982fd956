//! Every limit in one place, each with its source: an AWS limit, or our reason. Units are last in the names.

/// Largest request body, bytes. Source: spec/dynamodb-api.md 1.
pub const REQUEST_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest item, bytes by the item size rule. Source: spec/dynamodb-api.md 3.4.
pub const ITEM_BYTES_MAX: usize = 409_600;
/// Deepest nesting of an attribute value, the value itself counted. Source: spec/dynamodb-api.md 3.3.
pub const NESTING_LEVELS_MAX: usize = 32;
/// Largest partition key value, bytes. Source: spec/dynamodb-api.md 3.5.
pub const HASH_KEY_BYTES_MAX: usize = 2048;
/// Largest sort key value, bytes. Source: spec/dynamodb-api.md 3.5.
pub const RANGE_KEY_BYTES_MAX: usize = 1024;
/// Largest expression, bytes. Source: spec/dynamodb-api.md 4.1.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Most operators and functions in an expression. Source: spec/dynamodb-api.md 4.1.
pub const EXPRESSION_OPERATORS_MAX: usize = 300;
/// Most operands of IN. Source: spec/dynamodb-api.md 4.1.
pub const IN_OPERANDS_MAX: usize = 100;
/// Bytes of items after which a page of Query or Scan ends. Source: spec/dynamodb-api.md 5.2.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most keys of a BatchGetItem. Source: spec/dynamodb-api.md 7.1.
pub const BATCH_GET_KEYS_MAX: usize = 100;
/// Most writes of a BatchWriteItem. Source: spec/dynamodb-api.md 7.1.
pub const BATCH_WRITE_REQUESTS_MAX: usize = 25;
/// Most records of a GetRecords page. Source: spec/streams.md 7.
pub const GET_RECORDS_MAX: usize = 1000;
/// Bytes after which a GetRecords page ends. Source: spec/streams.md 7.
pub const GET_RECORDS_BYTES_MAX: usize = 1024 * 1024;
/// Life of a shard iterator, milliseconds. Source: spec/streams.md 6.
pub const SHARD_ITERATOR_LIFE_MS: u64 = 15 * 60 * 1000;
/// Default life of a stream record, milliseconds. Source: spec/streams.md 12.
pub const STREAM_RETENTION_MS: u64 = 24 * 60 * 60 * 1000;
/// Largest event or response of a synchronous invocation, bytes. Source: spec/event-source-mapping.md 5.1, 12.
pub const INVOKE_PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;
