//! Web addresses. Source: docs/spec/sinks.md 1; <https://www.standardwebhooks.com>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::receiver::{Receiver, Reply};
use super::{flush, id_of, orders, record, sink};
use crate::sink::{Flushed, Origin, Rejected, Sink, SinkError};

fn to(receiver: &Receiver) -> String {
    format!("webhook+{}/hook", receiver.address)
}

const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];

#[tokio::test]
async fn a_change_is_a_signed_request() {
    let receiver = Receiver::start(|_| Reply::status(204)).await;
    let headers = json!({"secrets": SECRETS, "headers": {"Authorization": "Bearer t"}});
    let (sink, clock) = sink(&to(&receiver), &headers);
    let change = record(7, "o7", Some(json!({"total": {"N": "12.50"}, "tags": {"SS": ["a"]}, "raw": {"B": "AAE="}})));
    let flushed = sink.flush(flush(vec![change.clone()])).await.unwrap();
    assert!(flushed.rejected.is_empty() && flushed.bytes > 100);
    let [asked] = &receiver.take()[..] else { panic!("one request") };
    let expected = json!({
        "type": "Orders.insert", "timestamp": "2016-02-25T13:00:00.007Z",
        "data": {"table": "Orders", "event_name": "INSERT", "event_id": id_of(&change), "shard_id": "shardId-1",
            "sequence_number": change.sequence_number().to_string(), "is_ttl": false, "keys": {"id": "o7"},
            "new_image": {"id": "o7", "total": 12.5, "tags": ["a"], "raw": "AAE="}},
    });
    assert_eq!(asked.json(), expected);
    assert_eq!(asked.header("webhook-id"), id_of(&change));
    // When it is sent, not when the change was.
    let sent_s = tailrace_core::clock::Clock::now(&*clock).seconds().to_string();
    assert_eq!(asked.header("webhook-timestamp"), sent_s);
    assert_eq!((asked.header("content-type"), asked.header("authorization")), ("application/json", "Bearer t"));
    let signed = SECRETS.map(|secret| {
        let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{sent_s}.{}", id_of(&change), asked.body).as_bytes());
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    });
    assert_eq!(asked.header("webhook-signature"), signed.join(" "));
}

#[tokio::test]
async fn a_change_is_what_a_function_gets_if_that_is_asked_for() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let (sink, _) = sink(&to(&receiver), &json!({"values": "dynamodb-json"}));
    let removed = record(1, "o1", None);
    sink.flush(flush(vec![removed.clone()])).await.unwrap();
    let asked = receiver.take();
    let event = asked[0].json();
    assert_eq!((&event["eventID"], &event["eventName"]), (&json!(id_of(&removed)), &json!("REMOVE")));
    assert_eq!(event["dynamodb"]["OldImage"], json!({"id": {"S": "o1"}}));
    assert_eq!(asked[0].header("webhook-signature"), "");
}

#[tokio::test]
async fn a_template_makes_what_a_chat_room_takes() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let body = r#"{"text": {{ ("Order " ~ item.id ~ ": " ~ new_image.v) | tojson }}}"#;
    let (sink, _) = sink(&to(&receiver), &json!({ "body": body }));
    let mut all = orders(1);
    all.push(record(2, "o2", Some(json!({}))));
    let flushed = sink.flush(flush(all)).await.unwrap();
    assert_eq!(receiver.take()[0].json(), json!({"text": "Order o1: 1"}));
    // What a record does not have is an error of that record alone.
    let [Rejected { index: 1, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.contains("body: undefined value"), "{error}");
}

/// Which answers come again, and which reject the record.
#[tokio::test]
async fn a_status_says_whether_the_record_ever_passes() {
    for (status, passes_later) in [
        (302, true),
        (400, false),
        (401, true),
        (402, false),
        (403, true),
        (404, true),
        (405, true),
        (406, false),
        (407, true),
        (408, true),
        (409, false),
        (410, false),
        (413, false),
        (415, false),
        (421, true),
        (422, false),
        (423, true),
        (425, true),
        (429, true),
        (500, true),
        (501, true),
        (502, true),
        (503, true),
        (504, true),
        (507, true),
    ] {
        let receiver = Receiver::start(move |_| Reply::body(status, "because\n<b>so</b>")).await;
        let (sink, _) = sink(&to(&receiver), &json!({}));
        let error = match sink.flush(flush(orders(1))).await {
            Ok(flushed) => {
                assert!(!passes_later, "{status}");
                let [Rejected { index: 0, error }] = &flushed.rejected[..] else { panic!("{status}: {flushed:?}") };
                error.clone()
            }
            Err(SinkError(error)) => {
                assert!(passes_later, "{status}: {error}");
                error
            }
        };
        assert!(error.starts_with(&status.to_string()) && error.ends_with(": because <b>so</b>"), "{error}");
    }
}

/// What a receiver says is shown, but for what it knows us by.
#[tokio::test]
async fn what_a_receiver_repeats_of_the_address_is_not_shown() {
    let said = "Cannot POST /services/T0/hunter2hunter2?k=hunter2-key (Bearer hunter2-token), hunter2-key and hunter2-token for shop";
    let receiver = Receiver::start(move |_| Reply::body(404, said)).await;
    let to = format!("webhook+{}/services/T0/hunter2hunter2?k=hunter2-key", receiver.address);
    let (sink, _) = sink(&to, &json!({"headers": {"Authorization": "Bearer hunter2-token"}}));
    let error = sink.flush(flush(orders(1))).await.unwrap_err().to_string();
    assert_eq!(error, "404 Not Found: Cannot POST /***?*** (***), *** and *** for shop");
}

#[tokio::test]
async fn a_receiver_that_hangs_or_hangs_up_gets_the_change_again() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (sink, _) = sink(&to(&receiver), &json!({"timeout_seconds": 1}));
    let change = || flush(orders(1));
    let error = sink.flush(change()).await.unwrap_err().to_string();
    assert!(error.contains("timed out") && !error.contains(&receiver.address), "{error}");
    receiver.state().replies = Box::new(|_| Reply::HangUp);
    sink.flush(change()).await.unwrap_err();
    receiver.state().replies = Box::new(|_| Reply::status(200));
    assert_eq!(sink.flush(change()).await.unwrap().rejected, []);
    let ids: Vec<String> = receiver.take().iter().map(|asked| asked.header("webhook-id").to_owned()).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == id_of(&orders(1)[0])), "{ids:?}");
}

/// What was taken is not sent again by the same process, and the order of a key is kept.
#[tokio::test]
async fn a_flush_that_comes_again_sends_what_is_left() {
    // Three changes of each of four orders; the second of o2 is refused twice.
    let mut refusals = 2;
    let receiver = Receiver::start(move |asked| {
        let data = &asked.json()["data"];
        if data["keys"]["id"] == "o2" && data["new_image"]["v"] == 2 && refusals > 0 {
            refusals -= 1;
            return Reply::status(503);
        }
        Reply::status(200)
    })
    .await;
    let (sink, _) = sink(&to(&receiver), &json!({"concurrency": 2}));
    let change = |number: u64| {
        let (key, value) = (format!("o{}", number % 4), number / 4);
        record(number, &key, Some(json!({"v": {"N": value.to_string()}})))
    };
    let all: Vec<_> = (4..16).map(change).collect();
    assert!(sink.flush(flush(all.clone())).await.is_err());
    assert!(sink.flush(flush(all.clone())).await.is_err());
    // A flush without a plan may have another end.
    assert_eq!(sink.flush(flush(all[..11].to_vec())).await.unwrap().rejected, []);
    let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for asked in receiver.take() {
        let data = asked.json()["data"].clone();
        seen.entry(data["keys"]["id"].as_str().unwrap().to_owned())
            .or_default()
            .push(data["new_image"]["v"].as_i64().unwrap());
    }
    assert_eq!(seen["o0"], [1, 2, 3]);
    assert_eq!(seen["o1"], [1, 2, 3]);
    assert_eq!(seen["o2"], [1, 2, 2, 2, 3]);
    assert_eq!(seen["o3"], [1, 2]);
}

#[tokio::test]
async fn tries_may_be_limited() {
    let receiver =
        Receiver::start(|asked| Reply::status(if asked.json()["data"]["keys"]["id"] == "o2" { 500 } else { 200 }))
            .await;
    let (sink, _) = sink(&to(&receiver), &json!({"tries_max": 3, "concurrency": 1}));
    let all = || flush(orders(4));
    assert!(sink.flush(all()).await.is_err() && sink.flush(all()).await.is_err());
    let flushed = sink.flush(all()).await.unwrap();
    let [Rejected { index: 1, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.starts_with("given up after 3 tries: 500"), "{error}");
    assert_eq!(receiver.take().len(), 3 + 3);
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_has_it() {
    let receiver = Receiver::start(|_| Reply::Answer {
        status: 429,
        header: Some(("retry-after", "60".to_owned())),
        body: String::new(),
    })
    .await;
    let (sink, clock) = sink(&to(&receiver), &json!({}));
    sink.flush(flush(orders(1))).await.unwrap_err();
    let error = sink.flush(flush(orders(1))).await.unwrap_err().to_string();
    assert!(error.contains("Retry-After") && error.contains("59 s"), "{error}");
    assert_eq!(receiver.take().len(), 1, "no request before that");
    clock.advance(60_000);
    receiver.state().replies = Box::new(|_| Reply::status(200));
    sink.flush(flush(orders(1))).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_has_ids_of_its_own() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let (sink, _) = sink(&to(&receiver), &json!({}));
    // Items of a snapshot have the number of one point of their shard.
    let items = || vec![record(5, "a", Some(json!({}))), record(5, "b", Some(json!({})))];
    let page = |page: u64| crate::sink::Flush { origin: Origin::Snapshot { page, made_by: 1 }, ..flush(items()) };
    for number in [0, 0, 1] {
        let flushed = sink.flush(page(number)).await;
        assert_eq!(flushed, Ok(Flushed { bytes: sink_bytes(&receiver), ..Flushed::default() }));
    }
    let asked = receiver.state().asked.clone();
    assert!(asked.iter().all(|asked| asked.json()["type"] == "Orders.snapshot"));
    let ids: std::collections::BTreeSet<String> =
        asked.iter().map(|asked| asked.json()["data"]["event_id"].to_string()).collect();
    assert_eq!((asked.len(), ids.len()), (6, 2), "an item that comes again has the same id");
    receiver.take();
    // Another version may send it, or another process; another snapshot, or another table of that name, has others.
    let arn = |arn: &str| {
        let source = (*flush(items()).source).clone();
        std::sync::Arc::new(crate::sink::SourceTable { stream_arn: tailrace_core::StreamArn::new(arn), ..source })
    };
    sink.flush(crate::sink::Flush { version: 2, ..page(0) }).await.unwrap();
    let before = receiver.take();
    assert!(before.iter().all(|asked| ids.contains(&asked.json()["data"]["event_id"].to_string())));
    let rebuilt = crate::sink::Flush { origin: Origin::Snapshot { page: 0, made_by: 2 }, ..flush(items()) };
    sink.flush(rebuilt).await.unwrap();
    sink.flush(crate::sink::Flush { source: arn("arn:other"), ..page(0) }).await.unwrap();
    let others = receiver.take();
    assert!(others.iter().all(|asked| !ids.contains(&asked.json()["data"]["event_id"].to_string())));
}

/// Each message is made when its turn comes: one that cannot be made holds up none before it, and none is held in memory meanwhile.
#[tokio::test]
async fn what_is_before_a_damaged_record_is_sent_once() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let (sink, _) = sink(&to(&receiver), &json!({"concurrency": 1}));
    let mut all = orders(5);
    all[3].new = Some(bytes::Bytes::from_static(b"\xff\xff"));
    for _ in 0..2 {
        let error = sink.flush(flush(all.clone())).await.unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
    assert_eq!(receiver.take().len(), 3);
    assert_eq!(sink.flush(flush(orders(5))).await.unwrap().rejected, []);
    assert_eq!(receiver.take().len(), 2);
}

/// The bytes of the last two requests.
fn sink_bytes(receiver: &Receiver) -> u64 {
    let asked = receiver.state().asked.clone();
    asked.iter().rev().take(2).map(|asked| asked.body.len() as u64).sum()
}
