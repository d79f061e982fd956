//! The sink against servers of our own that fail at every step. Source: docs/spec/sinks.md 1, 5 and 9.

mod kit;
mod records;
mod requests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{Config, Kinesis, Memory, PAUSE};
use crate::notify::tests::receiver::{Asked, Receiver, Reply};
use crate::notify::tests::writer;

/// The records of a request: partition key, and what was told.
pub fn told(asked: &Asked) -> Vec<(String, Value)> {
    let body = asked.json();
    let record = |record: &Value| {
        let data = BASE64.decode(record["Data"].as_str().unwrap()).unwrap();
        (record["PartitionKey"].as_str().unwrap().to_owned(), serde_json::from_slice(&data).unwrap())
    };
    body["Records"].as_array().unwrap().iter().map(record).collect()
}

/// The order of a record: `id` of its keys.
pub fn order(told: &Value) -> &str {
    told["dynamodb"]["Keys"]["id"]["S"].as_str().unwrap()
}

/// An answer that takes all records but those that `failed` says.
pub fn answer(asked: &Asked, mut failed: impl FnMut(&Value) -> bool) -> Reply {
    let mut count = 0;
    let outcome = |(_, told): (String, Value)| match failed(&told) {
        true => {
            count += 1;
            json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
        }
        false => json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"}),
    };
    let records: Vec<Value> = told(asked).into_iter().map(outcome).collect();
    Reply::body(200, json!({"FailedRecordCount": count, "Records": records}).to_string())
}

pub fn config(receiver: &Receiver, more: &Value) -> Config {
    let mut config = json!({"to": "kinesis:changes", "endpoint": receiver.address, "access_key_id": "AKID", "secret_access_key": "hunter2"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// The sink, which waits for nearly nothing.
pub fn sink(receiver: &Receiver, more: &Value) -> Kinesis {
    sink_with(receiver, more, Memory::default())
}

pub fn sink_with(receiver: &Receiver, more: &Value, memory: Memory) -> Kinesis {
    let mut sink = Kinesis::new(&config(receiver, more), writer(), memory).unwrap();
    let inner = std::sync::Arc::get_mut(&mut sink.0).unwrap();
    (inner.pause, inner.stop_wait) = (PAUSE / 50, PAUSE / 50);
    sink
}
