//! Digests and throttles: many changes, few messages.

use std::time::Duration;

use serde_json::{Value, json};

use super::receiver::{Receiver, Reply};
use super::{flush, id_of, orders, sink};
use crate::sink::{Rejected, Sink};

#[tokio::test]
async fn a_digest_is_one_message_and_the_same_on_a_repeat() {
    let receiver = Receiver::start(|_| Reply::status(500)).await;
    let to = format!("webhook+{}/", receiver.address);
    let digest = json!({"digest": {"seconds": 300, "records": 1000}});
    let (one, _) = sink(&to, &digest);
    let bounds = one.bounds();
    assert_eq!((bounds.records_max, bounds.window, one.plans()), (1000, Duration::from_secs(300), true));
    one.flush(flush(orders(500))).await.unwrap_err();
    // A crash: another process sends it.
    receiver.state().replies = Box::new(|_| Reply::status(200));
    sink(&to, &digest).0.flush(flush(orders(500))).await.unwrap();
    let asked = receiver.take();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body);
    assert_eq!(asked[0].header("webhook-id"), asked[1].header("webhook-id"));
    let told = asked[0].json();
    assert_eq!((&told["type"], &told["timestamp"]), (&json!("Orders.digest"), &json!("2016-02-25T13:00:00.500Z")));
    let ids: Vec<&Value> =
        told["data"]["records"].as_array().unwrap().iter().map(|record| &record["data"]["event_id"]).collect();
    assert_eq!(
        ids,
        orders(500).iter().map(|record| json!(id_of(record))).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    // Other records, another message.
    sink(&to, &digest).0.flush(flush(orders(499))).await.unwrap();
    assert_ne!(receiver.take()[0].header("webhook-id"), asked[0].header("webhook-id"));
}

#[tokio::test]
async fn a_digest_has_records_as_a_function_gets_them() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let more = json!({"digest": {}, "values": "dynamodb-json"});
    let (sink, _) = sink(&format!("webhook+{}/", receiver.address), &more);
    sink.flush(flush(orders(3))).await.unwrap();
    let told = receiver.take()[0].json();
    let names: Vec<&Value> = told["Records"].as_array().unwrap().iter().map(|record| &record["eventName"]).collect();
    assert_eq!(names, ["INSERT", "INSERT", "INSERT"]);
}

#[tokio::test]
async fn a_template_of_a_digest_has_all_records() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let body = "{{ count }} of {{ table }}:{% for record in records %} {{ record.item.id }}{% endfor %}";
    let more = json!({"digest": {"records": 10}, "body": body, "content_type": "text/plain"});
    let (sink, _) = sink(&format!("webhook+{}/", receiver.address), &more);
    sink.flush(flush(orders(3))).await.unwrap();
    let asked = receiver.take();
    assert_eq!((asked[0].body.as_str(), asked[0].header("content-type")), ("3 of Orders: o1 o2 o3", "text/plain"));
}

#[tokio::test]
async fn a_template_that_never_ends_is_an_error_of_its_records() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let body = "{% for a in range(5000) %}{% for b in range(5000) %}x{% endfor %}{% endfor %}";
    let (sink, _) = sink(&format!("webhook+{}/", receiver.address), &json!({ "body": body }));
    let flushed = sink.flush(flush(orders(2))).await.unwrap();
    let [Rejected { index: 0, error }, Rejected { index: 1, .. }] = &flushed.rejected[..] else {
        panic!("{flushed:?}")
    };
    assert!(error.contains("body: engine ran out of fuel"), "{error}");
    assert!(receiver.take().is_empty());
}

/// Ten thousand changes are not ten thousand messages.
#[tokio::test]
async fn a_throttle_holds_back_what_is_too_much_and_loses_nothing() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let more = json!({"throttle": {"messages": 10, "seconds": 60}});
    let (sink, clock) = sink(&format!("webhook+{}/", receiver.address), &more);
    // A flush has no more than what may be sent at once.
    assert_eq!(sink.bounds().records_max, 10);
    let all = orders(25);
    sink.flush(flush(all[..10].to_vec())).await.unwrap();
    assert_eq!(receiver.take().len(), 10);
    let next = || flush(all[10..20].to_vec());
    for _ in 0..3 {
        let error = sink.flush(next()).await.unwrap_err().to_string();
        assert!(error.contains("the throttle lets the next message through in 59 s"), "{error}");
    }
    assert!(receiver.take().is_empty());
    clock.advance(60_000);
    sink.flush(next()).await.unwrap();
    assert_eq!(receiver.take().len(), 10);
    clock.advance(60_000);
    sink.flush(flush(all[20..].to_vec())).await.unwrap();
    // Half of the next ten pass, and only the others are sent later.
    let more = orders(40);
    let last = || flush(more[30..40].to_vec());
    sink.flush(last()).await.unwrap_err();
    assert_eq!(receiver.take().len(), 10);
    clock.advance(60_000);
    sink.flush(last()).await.unwrap();
    assert_eq!(receiver.take().len(), 5);
}
