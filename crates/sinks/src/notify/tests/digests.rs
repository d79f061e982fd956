//! Digests and throttles: many changes, few messages.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tailrace_core::ShardNo;
use tailrace_core::clock::ManualClock;
use tailrace_delivery::{Shard, Stopping, Waits};
use tokio::sync::watch;

use super::receiver::{Receiver, Reply};
use super::{Notify, TIME, config, flush, id_of, orders, record, sink, writer};
use crate::sink::{Flush, Origin, Rejected, Sink};

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

/// A template sees lists and objects, though each value is made when it is asked for.
#[tokio::test]
async fn the_records_of_a_template_are_as_lists_and_objects_are() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let to = format!("webhook+{}/", receiver.address);
    for (body, digest, seen) in [
        ("{{ records|length }} {{ records[-1].item.id }} {{ records[3] is undefined }}", true, "3 o3 True"),
        ("{% for r in records[1:]|reverse %}{{ r.keys.id }}{% endfor %}", true, "o3o2"),
        ("{{ records|map(attribute='new_image.id')|join(',') }}", true, "o1,o2,o3"),
        (
            "{% for name in records[0] %}{{ name }} {% endfor %}",
            true,
            "event_id event_name event_time is_ttl item keys new_image old_image sequence_number shard_id type ",
        ),
        ("{{ records[0].old_image is none }} {{ records[0].is_ttl }}", true, "True False"),
        ("{{ 'INSERT' in records[0]|tojson }} {{ records[0] is mapping }}", true, "True True"),
        (
            "{{ count }} {{ event_name }} {{ item.id }} {{ records[0].item == item }} {{ sink }}",
            false,
            "1 INSERT o1 True ping",
        ),
    ] {
        let more = if digest { json!({"digest": {"records": 10}, "body": body}) } else { json!({ "body": body }) };
        let (sink, _) = sink(&to, &more);
        let records = orders(if digest { 3 } else { 1 });
        assert_eq!(sink.flush(flush(records)).await.unwrap().rejected, [], "{body}");
        assert_eq!(receiver.take()[0].body, seen, "{body}");
    }
}

/// A damaged record is not sent, nor given up: it is an error until it is mended.
#[tokio::test]
async fn a_template_that_comes_to_a_damaged_record_ends_the_flush() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let more = json!({"digest": {"records": 10}, "body": "{% for r in records %}{{ r.new_image }}{% endfor %}"});
    let (sink, _) = sink(&format!("webhook+{}/", receiver.address), &more);
    let mut all = orders(3);
    all[1].new = Some(bytes::Bytes::from_static(b"\xff\xff"));
    let error = sink.flush(flush(all)).await.unwrap_err().to_string();
    assert!(error.contains("a stream record is damaged"), "{error}");
    assert_eq!(receiver.take().len(), 0);
}

/// Ten thousand changes are not ten thousand messages, and what waits is no failure.
#[tokio::test]
async fn a_throttle_holds_back_what_is_too_much_and_loses_nothing() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let more = json!({"throttle": {"messages": 10, "seconds": 60}});
    let (sink, clock) = sink(&format!("webhook+{}/", receiver.address), &more);
    // A flush has no more than what may be sent at once.
    assert_eq!(sink.bounds().records_max, 10);
    let all = orders(25);
    sink.flush(flush(all[..5].to_vec())).await.unwrap();
    assert_eq!(receiver.take().len(), 5);
    // Half of the next ten pass; the others wait, for as long as it takes.
    let mut waiting = tokio::spawn(sink.flush(flush(all[5..15].to_vec())));
    assert_eq!(receiver.wait_for(5).await.len(), 5);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    assert!(receiver.take().is_empty());
    clock.advance(59_999);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    assert!(receiver.take().is_empty());
    clock.advance(1);
    assert_eq!(waiting.await.unwrap().unwrap().stopped_at, None);
    assert_eq!(receiver.take().len(), 5);
    // A person does not wait: he is told.
    let retry = |records| Flush { origin: Origin::Retry, ..flush(records) };
    sink.flush(flush(all[15..20].to_vec())).await.unwrap();
    let error = sink.flush(retry(all[20..21].to_vec())).await.unwrap_err().to_string();
    assert!(error.contains("the throttle lets the next message through in 59 s"), "{error}");
}

/// Of shards that wait for the throttle each has its turn.
#[tokio::test]
async fn a_throttle_is_fair() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let more = json!({"throttle": {"messages": 4, "seconds": 60}, "concurrency": 1});
    let (sink, clock) = sink(&format!("webhook+{}/", receiver.address), &more);
    // The first turn is over, and all four wait for the next.
    sink.flush(flush(orders(4))).await.unwrap();
    assert_eq!(receiver.take().len(), 4);
    let waits = Waits::default();
    let shards: Vec<_> = (1..=4u64)
        .map(|no| {
            let records = (0..4).map(|n| record(no * 10 + n, &format!("s{no}"), Some(json!({})))).collect();
            let of = Flush { shard: Shard { no: ShardNo(no), id: format!("s{no}").into() }, ..flush(records) };
            tokio::spawn(sink.flush(Flush { waits: waits.clone(), ..of }))
        })
        .collect();
    while waits.count() < 4 {
        tokio::task::yield_now().await;
    }
    clock.advance(60_000);
    for round in 1..=4 {
        let asked = receiver.wait_for(4).await;
        let mut of: Vec<String> = asked.iter().map(|asked| asked.json()["data"]["keys"]["id"].to_string()).collect();
        of.sort_unstable();
        of.dedup();
        assert!(of.len() >= 3, "round {round}: {of:?}");
        clock.advance(60_000);
    }
    for shard in shards {
        shard.await.unwrap().unwrap();
    }
}

/// Who says that a sink is to stop, and how it is told.
fn stopping() -> (watch::Sender<bool>, Stopping) {
    let (stop, told) = watch::channel(false);
    (stop, Stopping::watching(told, |told| *told))
}

/// A sink that sends one message at a time, and after a stop what is before those that were begun, however slow the machine is.
fn patient(receiver: &Receiver) -> Notify {
    let config = config(&format!("webhook+{}/", receiver.address), &json!({"concurrency": 1}));
    Notify::new(&config, writer(), Arc::new(ManualClock::at(TIME))).unwrap()
}

/// A stop waits for no throttle, and what was sent does not come again.
#[tokio::test]
async fn a_flush_that_is_told_to_stop_says_how_far_it_came() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let more = json!({"throttle": {"messages": 10, "seconds": 60}});
    let (sink, _clock) = sink(&format!("webhook+{}/", receiver.address), &more);
    sink.flush(flush(orders(3))).await.unwrap();
    let (stop, stopping) = stopping();
    let of = Flush { stopping: stopping.clone(), ..flush(orders(10)) };
    let flushing = tokio::spawn(sink.flush(of));
    receiver.wait_for(10).await;
    stop.send_replace(true);
    assert_eq!(flushing.await.unwrap().unwrap().stopped_at, Some(7));
    // One that has not begun begins nothing.
    let of = Flush { stopping, ..flush(orders(10)[7..].to_vec()) };
    assert_eq!(sink.flush(of).await.unwrap().stopped_at, Some(0));
    assert!(receiver.take().is_empty());
}

/// What is before a message that was begun would come again with it: it is sent too.
#[tokio::test]
async fn a_stop_leaves_no_holes() {
    let (stop, stopping) = stopping();
    let receiver = Receiver::start(move |asked| {
        if asked.json()["data"]["keys"]["id"] == "b" {
            stop.send_replace(true);
        }
        Reply::status(200)
    })
    .await;
    // One at a time, and of keys in turns: the first of a, the first of b, the second of a.
    let sink = patient(&receiver);
    let change = |number, id: &str| record(number, id, Some(json!({})));
    let records = vec![change(1, "a"), change(2, "a"), change(3, "b"), change(4, "c")];
    let told = records.iter().map(id_of);
    let expected: Vec<String> = told.enumerate().filter_map(|(n, id)| (n < 3).then_some(id)).collect();
    let flushed = sink.flush(Flush { stopping, ..flush(records) }).await.unwrap();
    assert_eq!(flushed.stopped_at, Some(3));
    let ids: Vec<String> = receiver.take().iter().map(|asked| asked.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [0, 2, 1].map(|index: usize| expected[index].clone()));
}

/// What was rejected before a stop is told with it: nothing behind it comes again for that.
#[tokio::test]
async fn a_stop_tells_what_was_rejected_before_it() {
    let (stop, stopping) = stopping();
    let receiver = Receiver::start(move |asked| {
        let id = asked.json()["data"]["keys"]["id"].clone();
        if id == "o4" {
            stop.send_replace(true);
        }
        Reply::status(if id == "o2" { 400 } else { 200 })
    })
    .await;
    let sink = patient(&receiver);
    let flushed = sink.flush(Flush { stopping, ..flush(orders(6)) }).await.unwrap();
    assert_eq!(flushed.stopped_at, Some(4));
    let [Rejected { index: 1, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.starts_with("400"), "{error}");
}

/// The bounds of a digest are durable: it comes again as it is, and what of it was taken is not sent again by the same process.
#[tokio::test]
async fn a_digest_that_is_told_to_stop_comes_again_as_it_is() {
    let (stop, told) = stopping();
    let receiver = Receiver::start(move |_| {
        stop.send_replace(true);
        Reply::status(200)
    })
    .await;
    // The last order has not what the template asks for: the digest becomes two, and the second of them two again.
    let body = "{% for record in records %}{{ record.item.id }} {{ record.item.v }}{% endfor %}";
    let more = json!({"digest": {}, "body": body});
    let (sink, _clock) = sink(&format!("webhook+{}/", receiver.address), &more);
    let mut records = orders(4);
    records[3] = record(4, "o4", Some(json!({})));
    let stopped = sink.flush(Flush { stopping: told, ..flush(records.clone()) }).await.unwrap();
    assert_eq!((stopped.stopped_at, stopped.rejected.len()), (Some(0), 0));
    let flushed = sink.flush(flush(records)).await.unwrap();
    assert_eq!(flushed.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [3]);
    let bodies: Vec<String> = receiver.take().into_iter().map(|asked| asked.body).collect();
    assert_eq!(bodies, ["o1 1o2 2", "o3 3"]);
}
