//! The kit that every sink passes, on receivers on loopback with a thread of their own, which fail as well: at every step of what is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tailrace_core::clock::ManualClock;
use tokio::runtime::Runtime;

use super::mails::{Server, usual};
use super::queues::{answer, answer_of_topic, entries, published};
use super::receiver::{Asked, Receiver, Reply};
use super::{TIME, writer};
use crate::kit::{History, POISON, Subject, assert_passes, finds_something};
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
        let (is_queue, is_topic) = (to.starts_with("sqs"), to.starts_with("sns"));
        let has_poison = more.get("digest").is_none();
        let replies = move |asked: &Asked| {
            if is_queue || is_topic {
                return queue(asked, is_topic, &shared, &mut seed);
            }
            let whim = whim(&mut seed);
            if whim == 0 {
                return Reply::status(503);
            }
            let told = asked.json();
            if has_poison && is_poison(&told["data"]) {
                return Reply::status(400);
            }
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
        if is_topic {
            settings["endpoint"] = receiver.address.clone().into();
        }
        Arc::new(Shop { receiver, taken, settings, start, _runtime: runtime })
    }
}

/// What no receiver ever takes. It tells of the item after the change: the one that takes it away is taken.
fn is_poison(told: &Value) -> bool {
    told["new_image"]["v"] == POISON
}

/// A queue or a topic, in which each entry has a fate of its own; a FIFO one takes each id once.
fn queue(asked: &Asked, is_topic: bool, taken: &Mutex<Vec<Taken>>, seed: &mut u64) -> Reply {
    let data = |entry: &Value| {
        let told: Value = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        told["data"].clone()
    };
    let all = if is_topic { published(asked) } else { entries(asked) };
    let keys: BTreeSet<String> = all.iter().map(|entry| data(entry)["keys"].to_string()).collect();
    assert_eq!(keys.len(), all.len(), "of a key one message is under way");
    let mut hangs_up = false;
    let fate = |entry: &Value| {
        let whim = whim(seed);
        hangs_up |= whim == 1;
        if whim == 0 {
            return Some(("InternalError", false));
        }
        let (told, text) = (data(entry), |name: &str| entry[name].as_str().map(str::to_owned));
        if is_poison(&told) {
            return Some((if is_topic { "InvalidParameter" } else { "InvalidMessageContents" }, true));
        }
        let (mut taken, once) = (taken.lock(), text("MessageDeduplicationId"));
        if once.as_ref().is_none_or(|once| !taken.iter().any(|(id, ..)| id == once)) {
            let id = once.unwrap_or_else(|| told["event_id"].as_str().unwrap().to_owned());
            taken.push((id, text("MessageGroupId").unwrap_or_default(), told));
        }
        None
    };
    let reply = if is_topic { answer_of_topic(asked, fate) } else { answer(asked, fate) };
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

    fn has_poison(&self) -> bool {
        self.settings.get("digest").is_none()
    }

    fn check(&self, history: &History) -> Result<(), String> {
        assert!(!self.receiver.address.is_empty());
        check(self.taken.lock().iter().map(|(id, _, told)| (id, told)), self.start, history)
    }
}

/// What a receiver sees that passes over ids that it knows: each change of a key once, in order.
fn check<'a>(
    taken: impl Iterator<Item = (&'a String, &'a Value)>,
    start: &str,
    history: &History,
) -> Result<(), String> {
    let (mut known, mut found) = (BTreeSet::new(), BTreeMap::<String, Vec<Value>>::new());
    let mut last = BTreeMap::<String, Value>::new();
    for (id, told) in taken {
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
    if start == "snapshot" {
        // The first changes may be in the snapshot; the last that is told of an item is what it is.
        let is_end = |(key, all): (&String, &Vec<Value>)| found.get(key).is_none_or(|found| all.ends_with(found));
        let is_last = |(key, v): (&String, &i64)| last.get(key).is_some_and(|told| *told == json!(v));
        let is_right = expected.iter().all(is_end) && history.items.iter().all(is_last);
        return if is_right { Ok(()) } else { Err(format!("{found:#?} and {last:#?} instead of {expected:#?}")) };
    }
    if found == expected { Ok(()) } else { Err(format!("{found:#?} instead of {expected:#?}")) }
}

/// A mail server, and what its mailbox comes to have.
struct Post {
    server: Server,
    start: &'static str,
    /// Runs the server.
    _runtime: Runtime,
}

/// A letter that programs can read, too.
const LETTER: &str =
    "{{ {'event_name': event_name, 'keys': keys, 'old_image': old_image, 'new_image': new_image} | tojson }}";

impl Post {
    /// At any step of a letter's way the server refuses for now, or hangs up, before the letter is taken or after it.
    fn subject(start: &'static str) -> Arc<dyn Subject> {
        let mut seed = 7;
        // A letter has six steps.
        let mut seldom = move || if whim(&mut seed) < 3 { whim(&mut seed) } else { 9 };
        let answers = move |command: &str| match (command, seldom()) {
            (_, 0) => Some("451 not now".to_owned()),
            (_, 1) => None,
            ("RCPT TO:<nobody@example.com>", _) => Some("550 no such user".to_owned()),
            _ => usual(command),
        };
        let runtime = runtime();
        let server = runtime.block_on(Server::start(answers));
        Arc::new(Post { server, start, _runtime: runtime })
    }
}

impl Subject for Post {
    fn config(&self) -> Value {
        let to = format!("{{{{ 'nobody' if new_image and new_image.v == {POISON} else 'ann' }}}}@example.com");
        json!({
            "to": self.server.to, "start": self.start, "tls": "none", "body": LETTER,
            "mail": {"from": "The shop <shop@example.com>", "to": to},
        })
    }

    fn sink(&self, spec: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        let config = serde_json::from_value(Value::Object(spec.settings.clone())).unwrap();
        Arc::new(Notify::new(&config, writer(), Arc::new(ManualClock::at(TIME))).unwrap())
    }

    fn has_poison(&self) -> bool {
        true
    }

    fn check(&self, history: &History) -> Result<(), String> {
        let read = |(_, letter): &(Vec<String>, String)| {
            let id = letter.lines().find(|line| line.starts_with("Message-ID: ")).unwrap().to_owned();
            // Long lines are folded: quoted-printable.
            let unfolded = letter.replace("=\r\n", "");
            let text = unfolded.lines().find(|line| line.starts_with('{')).unwrap();
            (id, serde_json::from_str::<Value>(text).unwrap())
        };
        let letters: Vec<(String, Value)> = self.server.mailbox.lock().letters.iter().map(read).collect();
        check(letters.iter().map(|(id, told)| (id, told)), self.start, history)
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

#[test]
fn every_change_comes_to_a_topic_at_least_once_and_to_a_fifo_topic_once() {
    let more = || json!({"access_key_id": "a", "secret_access_key": "b"});
    assert_passes(|| Shop::subject("sns:arn:aws:sns:us-east-1:1:orders", more(), "trim_horizon"), 10);
    assert_passes(|| Shop::subject("sns:arn:aws:sns:us-east-1:1:orders.fifo", more(), "trim_horizon"), 15);
}

#[test]
fn every_change_comes_to_a_mailbox_at_least_once_and_in_order() {
    assert_passes(|| Post::subject("trim_horizon"), 6);
    assert_passes(|| Post::subject("snapshot"), 4);
}

/// The kit sees what is lost: with one try a message that was refused is given up.
#[test]
fn the_kit_sees_what_is_given_up() {
    assert!(finds_something(|| Shop::subject("webhook+{}/hook", json!({"tries_max": 1}), "trim_horizon"), 20));
}
