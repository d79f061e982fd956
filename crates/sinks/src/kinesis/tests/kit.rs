//! The kit that every sink passes, on a data stream on loopback that does not take every record, and hangs up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{order, told};
use crate::kinesis::{Kinesis, Memory};
use crate::kit::{History, POISON, Subject, assert_passes};
use crate::notify::tests::receiver::{Asked, Receiver, Reply};
use crate::notify::tests::writer;
use crate::sink::Sink;
use crate::spec::SinkSpec;

struct Shop {
    receiver: Receiver,
    /// What the data stream has: partition key and record.
    taken: Arc<Mutex<Vec<(String, Value)>>>,
    start: &'static str,
    /// Runs the receiver.
    _runtime: Runtime,
}

fn whim(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % 10
}

/// Takes what it likes of a request: the rest has failed. Now and then it takes some and hangs up, or is not there. A request with a record that
/// it never takes is refused as a whole.
fn put(asked: &Asked, taken: &Mutex<Vec<(String, Value)>>, seed: &mut u64) -> Reply {
    let all = told(asked);
    let keys: BTreeSet<&String> = all.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), all.len(), "a request has one record of an item");
    let at_all = whim(seed);
    if at_all == 0 {
        return Reply::status(500);
    }
    let v = |told: &Value| told["dynamodb"]["NewImage"]["v"]["N"].as_str()?.parse::<i64>().ok();
    let is_poison = |(_, told): &(String, Value)| v(told) == Some(POISON);
    if let Some(index) = all.iter().position(is_poison) {
        let message = format!("Value at 'records.{}.member.data' failed to satisfy constraint", index + 1);
        return Reply::body(400, json!({"__type": "ValidationException", "message": message}).to_string());
    }
    let mut outcomes = Vec::new();
    for record in all {
        outcomes.push(match whim(seed) {
            0 => json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"}),
            _ => {
                taken.lock().push(record);
                json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"})
            }
        });
    }
    if at_all == 1 { Reply::HangUp } else { Reply::body(200, json!({"Records": outcomes}).to_string()) }
}

impl Shop {
    fn subject(start: &'static str) -> Arc<dyn Subject> {
        let taken: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let (shared, mut seed) = (taken.clone(), 7);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let receiver = runtime.block_on(Receiver::start(move |asked| put(asked, &shared, &mut seed)));
        Arc::new(Shop { receiver, taken, start, _runtime: runtime })
    }
}

impl Subject for Shop {
    fn config(&self) -> Value {
        json!({"to": "kinesis:changes", "start": self.start, "endpoint": self.receiver.address, "access_key_id": "a", "secret_access_key": "b"})
    }

    fn sink(&self, spec: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        let config = serde_json::from_value(Value::Object(spec.settings.clone())).unwrap();
        Arc::new(Kinesis::new(&config, writer(), Memory::default()).unwrap())
    }

    fn has_poison(&self) -> bool {
        true
    }

    fn check(&self, history: &History) -> Result<(), String> {
        // What a reader sees that passes over ids that it knows: each change of an item once, in order.
        let (mut known, mut found) = (BTreeSet::new(), BTreeMap::<String, Vec<Value>>::new());
        for (_, told) in self.taken.lock().iter() {
            if known.insert(told["eventID"].as_str().unwrap().to_owned()) {
                let image = |name: &str| {
                    let number = told["dynamodb"][name]["v"]["N"].as_str();
                    number.map(|number| number.parse::<i64>().unwrap())
                };
                let change = json!([told["eventName"], image("OldImage"), image("NewImage")]);
                found.entry(order(told).to_owned()).or_default().push(change);
            }
        }
        let mut changes = history.changes.clone();
        changes.sort_by_key(|(_, number, ..)| *number);
        let mut expected = BTreeMap::<String, Vec<Value>>::new();
        for (.., event, key, old, new) in changes {
            expected.entry(key).or_default().push(json!([event, old, new]));
        }
        if self.start == "snapshot" {
            // The first changes may be in the snapshot; the last that is told of an item is what it is.
            let last = |key: &String| found.get(key).and_then(|all| all.last()).map(|told| told[2].clone());
            let is_last = |(key, v): (&String, &i64)| last(key) == Some(json!(v));
            let is_end = |(key, all): (&String, &Vec<Value>)| {
                let Some(found) = found.get(key) else { return true };
                all.ends_with(found) || all.ends_with(&found[1..])
            };
            let is_right = expected.iter().all(is_end) && history.items.iter().all(is_last);
            return if is_right { Ok(()) } else { Err(format!("{found:#?} instead of {expected:#?}")) };
        }
        if found == expected { Ok(()) } else { Err(format!("{found:#?} instead of {expected:#?}")) }
    }
}

#[test]
fn every_change_comes_to_a_data_stream_at_least_once_and_in_order() {
    assert_passes(|| Shop::subject("trim_horizon"), 20);
    assert_passes(|| Shop::subject("snapshot"), 10);
}
