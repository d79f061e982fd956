//! The kit that every sink passes, on receivers on loopback with a thread of their own, which fail as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tokio::runtime::Runtime;

use super::queues::{answer, entries};
use super::receiver::{Asked, Receiver, Reply};
use super::{TIME, writer};
use crate::kit::{History, Subject, assert_passes, finds_something};
use crate::notify::Notify;
use crate::sink::Sink;
use crate::spec::SinkSpec;

/// A message as a receiver remembers it: id, group, and what it tells.
type Taken = (String, String, Value);

struct Shop {
    receiver: Receiver,
    taken: Arc<Mutex<Vec<Taken>>>,
    settings: Value,
    start: &'static str,
    /// Runs the receiver.
    _runtime: Runtime,
}

/// What a receiver does with the next request: now and then it has its effect and hangs up, or refuses.
fn whim(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % 10
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Shop {
    fn subject(to: &str, more: Value, start: &'static str) -> Arc<dyn Subject> {
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let (shared, mut seed) = (taken.clone(), 7);
        let is_queue = to.starts_with("sqs");
        let replies = move |asked: &Asked| {
            if is_queue {
                return queue(asked, &shared, &mut seed);
            }
            let whim = whim(&mut seed);
            if whim == 0 {
                return Reply::status(503);
            }
            let told = asked.json();
            for told in told["data"]["records"].as_array().unwrap_or(&vec![told.clone()]) {
                let id = told["data"]["event_id"].as_str().unwrap().to_owned();
                shared.lock().push((id, String::new(), told["data"].clone()));
            }
            if whim == 1 { Reply::HangUp } else { Reply::status(200) }
        };
        let runtime = runtime();
        let receiver = runtime.block_on(Receiver::start(replies));
        let mut settings = json!({"to": to.replace("{}", &receiver.address), "start": start});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Arc::new(Shop { receiver, taken, settings, start, _runtime: runtime })
    }
}

/// A queue, in which each entry has a fate of its own; a FIFO queue takes each id once.
fn queue(asked: &Asked, taken: &Mutex<Vec<Taken>>, seed: &mut u64) -> Reply {
    let data = |entry: &Value| {
        let told: Value = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        told["data"].clone()
    };
    let keys: BTreeSet<String> = entries(asked).iter().map(|entry| data(entry)["keys"].to_string()).collect();
    assert_eq!(keys.len(), entries(asked).len(), "of a key one message is under way");
    let mut hangs_up = false;
    let reply = answer(asked, |entry| {
        let whim = whim(seed);
        hangs_up |= whim == 1;
        if whim == 0 {
            return Some(("InternalError", false));
        }
        let (told, text) = (data(entry), |name: &str| entry[name].as_str().map(str::to_owned));
        let (mut taken, once) = (taken.lock(), text("MessageDeduplicationId"));
        if once.as_ref().is_none_or(|once| !taken.iter().any(|(id, ..)| id == once)) {
            let id = once.unwrap_or_else(|| told["event_id"].as_str().unwrap().to_owned());
            taken.push((id, text("MessageGroupId").unwrap_or_default(), told));
        }
        None
    });
    if hangs_up { Reply::HangUp } else { reply }
}

impl Subject for Shop {
    fn config(&self) -> Value {
        self.settings.clone()
    }

    fn sink(&self, spec: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        let config = serde_json::from_value(Value::Object(spec.settings.clone())).unwrap();
        Arc::new(Notify::new(&config, writer(), Arc::new(ManualClock::at(TIME))).unwrap())
    }

    fn check(&self, history: &History) -> Result<(), String> {
        assert!(!self.receiver.address.is_empty());
        // What a receiver sees that passes over ids that it knows: each change of a key once, in order.
        let (mut known, mut found) = (BTreeSet::new(), BTreeMap::<String, Vec<Value>>::new());
        let mut last = BTreeMap::<String, Value>::new();
        for (id, _, told) in self.taken.lock().iter() {
            if !known.insert(id.clone()) {
                continue;
            }
            let key = told["keys"]["id"].as_str().unwrap().to_owned();
            last.insert(key.clone(), told["new_image"]["v"].clone());
            if told["event_name"] != "SNAPSHOT" {
                let change = json!([told["event_name"], told["old_image"]["v"], told["new_image"]["v"]]);
                found.entry(key).or_default().push(change);
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
            let is_end = |(key, all): (&String, &Vec<Value>)| found.get(key).is_none_or(|found| all.ends_with(found));
            let is_last = |(key, v): (&String, &i64)| last.get(key).is_some_and(|told| *told == json!(v));
            let is_right = expected.iter().all(is_end) && history.items.iter().all(is_last);
            return if is_right { Ok(()) } else { Err(format!("{found:#?} and {last:#?} instead of {expected:#?}")) };
        }
        if found == expected { Ok(()) } else { Err(format!("{found:#?} instead of {expected:#?}")) }
    }
}

#[test]
fn every_change_comes_to_a_web_address_at_least_once_and_in_order() {
    assert_passes(|| Shop::subject("webhook+{}/hook", json!({}), "trim_horizon"), 10);
    assert_passes(|| Shop::subject("webhook+{}/hook", json!({"digest": {"seconds": 0}}), "trim_horizon"), 8);
    assert_passes(|| Shop::subject("webhook+{}/hook", json!({}), "snapshot"), 8);
}

#[test]
fn every_change_comes_to_a_fifo_queue_once_and_in_order() {
    let more = || json!({"access_key_id": "a", "secret_access_key": "b"});
    assert_passes(|| Shop::subject("sqs:{}/1/orders.fifo", more(), "trim_horizon"), 20);
}

/// Who reads a plain queue has no order of it; what was sent had one.
#[test]
fn every_change_comes_to_a_queue_at_least_once() {
    let more = || json!({"access_key_id": "a", "secret_access_key": "b"});
    assert_passes(|| Shop::subject("sqs:{}/1/orders", more(), "trim_horizon"), 10);
}

/// The kit sees what is lost: with one try a message that was refused is given up.
#[test]
fn the_kit_sees_what_is_given_up() {
    assert!(finds_something(|| Shop::subject("webhook+{}/hook", json!({"tries_max": 1}), "trim_horizon"), 20));
}
