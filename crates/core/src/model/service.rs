//! The services that answer on the port, and which of them an operation belongs to.

use super::{Api, dynamodb, firehose, streams};

/// A service: the prefix of `X-Amz-Target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The table API.
    DynamoDb,
    /// The streams API.
    Streams,
    /// Delivery streams.
    Firehose,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 3] = [Service::DynamoDb, Service::Streams, Service::Firehose];

    /// The service's prefix in `X-Amz-Target`, without the dot.
    pub fn target_prefix(self) -> &'static str {
        match self {
            Service::DynamoDb => "DynamoDB_20120810",
            Service::Streams => "DynamoDBStreams_20120810",
            Service::Firehose => "Firehose_20150804",
        }
    }

    /// The operations of the service.
    pub fn api(self) -> &'static Api {
        match self {
            Service::DynamoDb => dynamodb(),
            Service::Streams => streams(),
            Service::Firehose => firehose(),
        }
    }
}
