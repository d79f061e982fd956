//! Requests and answers of the operations on streams: one file an operation, and the record.

mod describe_stream;
mod get_records;
mod get_shard_iterator;
mod list_streams;
mod record;

pub use describe_stream::{
    DescribeStreamAnswer, DescribeStreamRequest, SequenceNumberRange, Shard, StreamDescription, StreamStatus,
};
pub use get_records::{GetRecordsAnswer, GetRecordsRequest};
pub use get_shard_iterator::{GetShardIteratorAnswer, GetShardIteratorRequest, ShardIteratorType};
pub use list_streams::{ListStreamsAnswer, ListStreamsRequest, Stream};
pub use record::{EventId, EventRecord, OperationType, Record};
