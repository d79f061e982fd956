//! Requests and their failures: what is sent again, and in which order.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tailrace_delivery::Stopping;
use tailrace_engine::streams::record::StreamRecord;

use super::super::REPEATS_MAX;
use super::{answer, order, sink, sink_with, told};
use crate::kinesis::Memory;
use crate::notify::tests::receiver::{Asked, Receiver, Reply};
use crate::notify::tests::{flush, orders, record};
use crate::sink::{Flush, Origin, Rejected, Sink};

/// The orders of each request.
fn asked_for(asked: &[Asked]) -> Vec<Vec<String>> {
    let orders = |asked| told(asked).iter().map(|(_, told)| order(told).to_owned()).collect();
    asked.iter().map(orders).collect()
}

fn change(number: u64, id: &str) -> StreamRecord {
    record(number, id, Some(json!({"v": {"N": number.to_string()}})))
}

#[tokio::test]
async fn a_request_is_signed_and_names_the_stream() {
    let receiver = Receiver::start(|asked| answer(asked, |_| false)).await;
    let more = json!({"to": "kinesis:arn:aws:kinesis:eu-west-1:000000000000:stream/changes", "session_token": "token"});
    let flushed = sink(&receiver, &more).flush(flush(orders(2))).await.unwrap();
    let [asked] = &receiver.take()[..] else { panic!("one request") };
    assert_eq!(asked.header("x-amz-target"), "Kinesis_20131202.PutRecords");
    assert_eq!(asked.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(asked.header("x-amz-security-token"), "token");
    assert!(asked.header("authorization").contains("/eu-west-1/kinesis/aws4_request"));
    let body = asked.json();
    assert_eq!(
        (&body["StreamName"], &body["StreamARN"]),
        (&json!("changes"), &json!("arn:aws:kinesis:eu-west-1:000000000000:stream/changes"))
    );
    let bytes: usize = told(asked).iter().map(|(_, told)| told.to_string().len()).sum();
    assert_eq!((flushed.bytes, flushed.rejected, flushed.stopped_at), (bytes as u64, vec![], None));
}

#[tokio::test]
async fn a_token_that_the_service_repeats_is_not_shown() {
    let text = r#"{"__type": "InvalidSignatureException", "message": "x-amz-security-token:token+of/hours== and token+of\/hours=="}"#;
    let receiver = Receiver::start(move |_| Reply::body(400, text)).await;
    let sink = sink(&receiver, &json!({"session_token": "token+of/hours=="}));
    let error = sink.flush(flush(orders(1))).await.unwrap_err().to_string();
    assert_eq!(error, "InvalidSignatureException: x-amz-security-token:*** and ***");
}

/// docs/spec/sinks.md 5, X: only what failed is sent again, and nothing newer of an item before it.
#[tokio::test]
async fn what_a_server_did_not_take_is_sent_again_alone_and_before_what_is_newer_of_its_item() {
    let mut tries = 0;
    let receiver = Receiver::start(move |asked| {
        tries += 1;
        let first = tries == 1;
        answer(asked, |told| first && order(told) == "o2")
    })
    .await;
    let changes = ["o1", "o2", "o3", "o2", "o1"].iter().zip(1..).map(|(id, number)| change(number, id)).collect();
    let flushed = sink(&receiver, &json!({})).flush(flush(changes)).await.unwrap();
    assert_eq!((flushed.rejected, flushed.stopped_at), (vec![], None));
    let asked = receiver.take();
    assert_eq!(asked_for(&asked), [vec!["o1", "o2", "o3"], vec!["o2", "o1"], vec!["o2"]]);
    // The version of each.
    let versions = asked.iter().flat_map(told).map(|(_, told)| told["dynamodb"]["NewImage"]["v"]["N"].clone());
    assert_eq!(versions.collect::<Vec<Value>>(), ["1", "2", "3", "2", "5", "4"]);
}

#[tokio::test]
async fn what_is_not_taken_for_long_makes_the_flush_come_again_without_what_was_taken() {
    let receiver = Receiver::start(|asked| answer(asked, |told| order(told) == "o2")).await;
    let sink = sink(&receiver, &json!({}));
    let changes = || vec![change(1, "o1"), change(2, "o2"), change(3, "o2"), change(4, "o1")];
    let error = sink.flush(flush(changes())).await.unwrap_err().to_string();
    assert_eq!(error, "ProvisionedThroughputExceededException: slow down");
    let asked = asked_for(&receiver.take());
    assert_eq!(asked[..2], [vec!["o1", "o2"], vec!["o2", "o1"]]);
    assert_eq!(asked[2..], vec![vec!["o2"]; REPEATS_MAX as usize - 1]);
    receiver.state().replies = Box::new(|asked| answer(asked, |_| false));
    // It comes again with another end, as a flush without a plan may.
    let more = [changes(), vec![change(5, "o3")]].concat();
    sink.flush(flush(more)).await.unwrap();
    assert_eq!(asked_for(&receiver.take()), [vec!["o2", "o3"], vec!["o2"]]);
    // What was known is forgotten then; and an operator's retry sends it whatever is known.
    sink.flush(Flush { origin: Origin::Retry, ..flush(vec![change(1, "o1")]) }).await.unwrap();
    assert_eq!(asked_for(&receiver.take()), [vec!["o1"]]);
}

#[tokio::test]
async fn what_was_taken_of_a_flush_that_comes_again_in_parts_is_sent_once() {
    let receiver = Receiver::start(|asked| answer(asked, |told| order(told) == "o2")).await;
    let memory = Memory::default();
    let sink = sink_with(&receiver, &json!({}), memory.clone());
    let changes: Vec<StreamRecord> = (1..=5).map(|number| change(number, &format!("o{number}"))).collect();
    sink.flush(flush(changes.clone())).await.unwrap_err();
    // It ends before, and fails again.
    sink.flush(flush(changes[..3].to_vec())).await.unwrap_err();
    receiver.take();
    receiver.state().replies = Box::new(|asked| answer(asked, |_| false));
    for (part, sent) in [(0..2, &["o2"][..]), (2..4, &[]), (4..5, &[])] {
        sink.flush(flush(changes[part].to_vec())).await.unwrap();
        assert_eq!(asked_for(&receiver.take()).concat(), sent);
    }
    assert!(memory.0.lock().is_empty(), "nothing is kept of what does not come again");
}

/// What a stop leaves open comes again without what was taken, also to the sink that takes this one's place.
#[tokio::test]
async fn a_stop_breaks_off_a_request_that_hangs_and_forgets_nothing_that_was_taken() {
    let mut tries = 0;
    let receiver = Receiver::start(move |asked| {
        tries += 1;
        if tries == 1 { answer(asked, |told| order(told) == "o2") } else { Reply::Silence }
    })
    .await;
    let memory = Memory::default();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let changes = || vec![change(1, "o1"), change(2, "o2"), change(3, "o3")];
    let stopping = Stopping::watching(stopped, |stop| *stop);
    // A request may take ten minutes, and a stop waits for it a moment.
    let slow = sink_with(&receiver, &json!({"timeout_seconds": 600}), memory.clone());
    let flush_of_it = slow.flush(Flush { stopping, ..flush(changes()) });
    let stopper = async {
        let asked = receiver.wait_for(2).await;
        stop.send_replace(true);
        asked
    };
    let (flushed, asked) = tokio::join!(flush_of_it, stopper);
    assert_eq!(flushed.unwrap().stopped_at, Some(1));
    assert_eq!(asked_for(&asked), [vec!["o1", "o2", "o3"], vec!["o2"]]);
    receiver.state().replies = Box::new(|asked| answer(asked, |_| false));
    let precise = sink_with(&receiver, &json!({"precision": "MICROSECOND"}), memory);
    precise.flush(flush(changes()[1..].to_vec())).await.unwrap();
    assert_eq!(asked_for(&receiver.take()), [vec!["o2"]], "o3 was taken");
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_comes_again_whole() {
    for lost in [Reply::HangUp, Reply::Silence] {
        let reply = lost.clone();
        let receiver = Receiver::start(move |_| reply.clone()).await;
        let sink = sink(&receiver, &json!({"timeout_seconds": 1}));
        assert!(!sink.flush(flush(orders(2))).await.unwrap_err().to_string().contains("hunter2"));
        receiver.state().replies = Box::new(|asked| answer(asked, |_| false));
        sink.flush(flush(orders(2))).await.unwrap();
        assert_eq!(asked_for(&receiver.take()), vec![vec!["o1", "o2"]; 2], "{lost:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_no_fault_of_its_records() {
    for (status, body) in [
        (
            400,
            json!({"__type": "ResourceNotFoundException", "message": "Stream changes under account 1 not found."})
                .to_string(),
        ),
        (
            400,
            json!({"__type": "com.amazonaws.kinesis#ProvisionedThroughputExceededException", "message": "x"})
                .to_string(),
        ),
        (400, json!({"__type": "ValidationException", "message": "Value at 'streamName' is wrong"}).to_string()),
        (400, json!({"__type": "AccessDeniedException", "Message": "x"}).to_string()),
        (500, json!({"__type": "ValidationException", "message": "but 500"}).to_string()),
        (503, "no".to_owned()),
        (200, "no JSON".to_owned()),
        (200, json!({"FailedRecordCount": 0, "Records": []}).to_string()),
    ] {
        let reply = body.clone();
        let receiver = Receiver::start(move |_| Reply::body(status, reply.clone())).await;
        let error = sink(&receiver, &json!({})).flush(flush(orders(2))).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2") && receiver.take().len() == 1, "{status} {body}: {error}");
    }
    // A record that the answer does not tell of was perhaps not taken.
    let receiver = Receiver::start(|_| Reply::body(200, json!({"Records": [{}]}).to_string())).await;
    let error = sink(&receiver, &json!({})).flush(flush(orders(1))).await.unwrap_err().to_string();
    assert_eq!(error, "the answer does not tell what became of a record");
}

#[tokio::test]
async fn of_a_request_that_is_refused_whole_the_record_to_blame_is_rejected() {
    for (status, body) in [
        (400, json!({"__type": "ValidationException", "message": "records.2.data is too long"}).to_string()),
        (413, String::new()),
    ] {
        let reply = body.clone();
        let receiver = Receiver::start(move |asked| {
            let is_bad = told(asked).iter().any(|(_, told)| order(told) == "o3");
            if is_bad { Reply::body(status, reply.clone()) } else { answer(asked, |_| false) }
        })
        .await;
        let changes = [orders(5), vec![change(6, "o3"), change(7, "o4")]].concat();
        let flushed = sink(&receiver, &json!({})).flush(flush(changes)).await.unwrap();
        let indexes: Vec<usize> = flushed.rejected.iter().map(|rejected| rejected.index).collect();
        assert_eq!((indexes, flushed.stopped_at), (vec![2, 5], None), "{:?}", flushed.rejected);
        let mut taken = BTreeMap::<String, usize>::new();
        for asked in asked_for(&receiver.take()).into_iter().filter(|all| !all.contains(&"o3".to_owned())) {
            asked.into_iter().for_each(|id| *taken.entry(id).or_default() += 1);
        }
        let once = [("o1", 1), ("o2", 1), ("o4", 2), ("o5", 1)].map(|(id, count)| (id.to_owned(), count));
        assert_eq!(taken, BTreeMap::from(once));
    }
}

/// docs/spec/sinks.md 5, row "too large": it never stops the shard; and a request has 5 MiB and 500 records at most.
#[tokio::test]
async fn limits_of_records_and_requests_are_kept() {
    let receiver = Receiver::start(|asked| answer(asked, |_| false)).await;
    let sink = sink(&receiver, &json!({}));
    let large =
        |number: u64, bytes: usize| record(number, &format!("o{number}"), Some(json!({"v": {"S": "x".repeat(bytes)}})));
    let flushed = sink.flush(flush(vec![large(1, 1 << 20), change(2, "o2")])).await.unwrap();
    let [Rejected { index: 0, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.ends_with("; 1048576 are the most"), "{error}");
    assert_eq!(asked_for(&receiver.take()), [vec!["o2"]]);
    // Of the record that has just as many bytes as a data stream takes, its partition key with it.
    let sink_of = &sink;
    let rejected = async |text: usize| sink_of.flush(flush(vec![large(1, text)])).await.unwrap().rejected.len();
    rejected(1000).await;
    let rest = told(&receiver.take()[0])[0].1.to_string().len() - 1000;
    // SizeBytes has seven digits then, and four before.
    let most = (1 << 20) - 32 - (rest + 3);
    assert_eq!((rejected(most).await, rejected(most + 1).await), (0, 1));
    receiver.take();
    let flushed = sink.flush(flush((1..=7).map(|number| large(number, 1_000_000)).collect())).await.unwrap();
    assert_eq!(flushed.rejected, []);
    assert_eq!(asked_for(&receiver.take()).iter().map(Vec::len).collect::<Vec<_>>(), [5, 2]);
    sink.flush(flush(orders(501))).await.unwrap();
    assert_eq!(asked_for(&receiver.take()).iter().map(Vec::len).collect::<Vec<_>>(), [500, 1]);
}

#[tokio::test]
async fn a_flush_that_is_told_to_stop_says_how_far_it_came() {
    let (stop, told_to) = tokio::sync::watch::channel(false);
    let receiver = Receiver::start(move |asked| {
        stop.send_replace(true);
        answer(asked, |_| false)
    })
    .await;
    let changes = vec![change(1, "o1"), change(2, "o2"), change(3, "o1"), change(4, "o3")];
    let flush = Flush { stopping: Stopping::watching(told_to, |told| *told), ..flush(changes) };
    let flushed = sink(&receiver, &json!({})).flush(flush).await.unwrap();
    assert_eq!(asked_for(&receiver.take()), [vec!["o1", "o2", "o3"]]);
    assert_eq!(flushed.stopped_at, Some(2));
}
