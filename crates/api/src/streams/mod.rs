//! Requests and answers of DynamoDB Streams: one file an operation.
