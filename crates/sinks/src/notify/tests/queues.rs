//! SQS and SNS, as far as their answers go; the real protocols are tried by the wire tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::receiver::{Asked, Receiver, Reply};
use super::{flush, id_of, orders, record, sink};
use crate::sink::{Rejected, Sink};

/// The entries of a request to SQS.
pub fn entries(asked: &Asked) -> Vec<Value> {
    asked.json()["Entries"].as_array().unwrap().clone()
}

/// An answer that takes all entries but those that `failed` says.
pub fn answer(asked: &Asked, mut failed: impl FnMut(&Value) -> Option<(&'static str, bool)>) -> Reply {
    let (mut done, mut not) = (Vec::new(), Vec::new());
    for entry in entries(asked) {
        match failed(&entry) {
            None => done.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "x"})),
            Some((code, fault)) => {
                not.push(json!({"Id": entry["Id"], "Code": code, "Message": "no", "SenderFault": fault}))
            }
        }
    }
    Reply::body(200, json!({"Successful": done, "Failed": not}).to_string())
}

/// The entries of a request to SNS, with the names that SQS has for their members.
pub fn published(asked: &Asked) -> Vec<Value> {
    let form = reqwest::Url::parse(&format!("http://form?{}", asked.body)).unwrap();
    let form: BTreeMap<String, String> = form.query_pairs().into_owned().collect();
    let entry = |number: usize| {
        let member = |name: &str| form.get(&format!("PublishBatchRequestEntries.member.{number}.{name}")).cloned();
        let mut entry = json!({"Id": member("Id")?, "MessageBody": member("Message")});
        for name in ["MessageGroupId", "MessageDeduplicationId"] {
            entry[name] = member(name).into();
        }
        Some(entry)
    };
    (1..).map_while(entry).collect()
}

/// As [`answer`], for a topic.
pub fn answer_of_topic(asked: &Asked, mut failed: impl FnMut(&Value) -> Option<(&'static str, bool)>) -> Reply {
    let (mut done, mut not) = (String::new(), String::new());
    for entry in published(asked) {
        let id = entry["Id"].as_str().unwrap();
        match failed(&entry) {
            None => done.push_str(&format!("<member><Id>{id}</Id><MessageId>m</MessageId></member>")),
            Some((code, fault)) => not.push_str(&format!(
                "<member><Id>{id}</Id><Code>{code}</Code><Message>no</Message><SenderFault>{fault}</SenderFault></member>"
            )),
        }
    }
    Reply::body(
        200,
        format!(
            "<PublishBatchResponse><PublishBatchResult><Failed>{not}</Failed><Successful>{done}</Successful>\
             </PublishBatchResult></PublishBatchResponse>"
        ),
    )
}

fn credentials() -> Value {
    json!({"access_key_id": "AKID", "secret_access_key": "hunter2", "session_token": "token"})
}

#[tokio::test]
async fn a_queue_gets_ten_messages_a_request() {
    let receiver = Receiver::start(|asked| answer(asked, |_| None)).await;
    let url = format!("{}/1/orders", receiver.address);
    let (sink, _) = sink(&format!("sqs:{url}"), &credentials());
    let mut all = orders(24);
    // Of a key that has several changes, one is in a request.
    all.push(record(25, "o1", None));
    assert_eq!(sink.flush(flush(all.clone())).await.unwrap().rejected, []);
    let asked = receiver.take();
    let mut counts: Vec<usize> = asked.iter().map(|asked| entries(asked).len()).collect();
    counts.sort_unstable();
    assert!(counts.ends_with(&[10, 10]) && counts.iter().sum::<usize>() == 25, "{counts:?}");
    let both = [&all[0], &all[24]].map(id_of);
    assert!(!asked.iter().any(|asked| both.iter().all(|id| asked.body.contains(id))));
    let first = &asked[0];
    assert_eq!(first.header("x-amz-target"), "AmazonSQS.SendMessageBatch");
    assert_eq!(first.header("content-type"), "application/x-amz-json-1.0");
    assert_eq!(first.header("x-amz-security-token"), "token");
    let signed = first.header("authorization");
    assert!(
        signed.starts_with("AWS4-HMAC-SHA256 Credential=AKID/") && signed.contains("/us-east-1/sqs/aws4_request"),
        "{signed}"
    );
    assert!(
        signed.contains(
            "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target,"
        ),
        "{signed}"
    );
    assert_eq!(first.json()["QueueUrl"], url);
    let message = &entries(first)[0];
    assert!(message.get("MessageGroupId").is_none() && message.get("MessageDeduplicationId").is_none());
    let told: Value = serde_json::from_str(message["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(told["type"], "Orders.insert");
    // The repeat of a key comes after its first.
    assert!(asked.last().unwrap().body.contains(&id_of(&all[24])));
}

#[tokio::test]
async fn a_fifo_queue_has_a_group_for_each_key_and_knows_repeats_by_their_ids() {
    let receiver = Receiver::start(|asked| answer(asked, |_| None)).await;
    let (sink, _) = sink(&format!("sqs:{}/1/orders.fifo", receiver.address), &credentials());
    let all = vec![record(1, "a", Some(json!({}))), record(2, "b", Some(json!({}))), record(3, "a", None)];
    sink.flush(flush(all.clone())).await.unwrap();
    let sent: Vec<Value> = receiver.take().iter().flat_map(entries).collect();
    let group = |index: usize| sent[index]["MessageGroupId"].as_str().unwrap().to_owned();
    assert_eq!((group(0) == group(1), group(0) == group(2), group(0).len()), (false, true, 32));
    let ids: Vec<&str> = sent.iter().map(|entry| entry["MessageDeduplicationId"].as_str().unwrap()).collect();
    assert_eq!(ids, all.iter().map(|record| format!("ping-{}", id_of(record))).collect::<Vec<_>>());
}

/// A queue passes over an id that it had: what two sinks send of one record are two messages, each the same on a repeat.
#[tokio::test]
async fn two_sinks_may_send_to_one_fifo_queue() {
    let receiver = Receiver::start(|asked| answer(asked, |_| None)).await;
    let to = format!("sqs:{}/1/orders.fifo", receiver.address);
    for name in ["first", "second", "first"] {
        // Another process each time.
        let (sink, _) = sink(&to, &credentials());
        sink.flush(crate::sink::Flush { sink: name.into(), ..flush(orders(1)) }).await.unwrap();
    }
    let sent: Vec<Value> = receiver.take().iter().flat_map(entries).collect();
    let id = |index: usize| sent[index]["MessageDeduplicationId"].as_str().unwrap();
    assert!(id(0) != id(1) && id(0) == id(2), "{sent:?}");
}

#[tokio::test]
async fn a_message_that_fails_alone_comes_again_alone_or_is_rejected() {
    let mut tries = 0;
    let receiver = Receiver::start(move |asked| {
        tries += 1;
        let first = tries == 1;
        answer(asked, |entry| {
            let body = entry["MessageBody"].as_str().unwrap();
            match body {
                _ if body.contains("\"id\":\"o2\"") => Some(("InvalidMessageContents", true)),
                _ if first && body.contains("\"id\":\"o3\"") => Some(("InternalError", false)),
                _ => None,
            }
        })
    })
    .await;
    let (sink, _) = sink(&format!("sqs:{}/1/orders", receiver.address), &credentials());
    let error = sink.flush(flush(orders(5))).await.unwrap_err().to_string();
    assert!(error.contains("InternalError"), "{error}");
    let flushed = sink.flush(flush(orders(5))).await.unwrap();
    let [Rejected { index: 1, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.starts_with("InvalidMessageContents"), "{error}");
    let counts: Vec<usize> = receiver.take().iter().map(|asked| entries(asked).len()).collect();
    assert_eq!(counts, [5, 1]);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_no_fault_of_its_records() {
    for (status, body) in [
        (400, json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "none"}).to_string()),
        (403, json!({"__type": "InvalidClientTokenId", "message": "none"}).to_string()),
        (500, "broken".to_owned()),
        (503, json!({"__type": "InvalidMessageContents", "message": "but 503"}).to_string()),
        (200, "not JSON".to_owned()),
        (200, json!({"Successful": []}).to_string()),
    ] {
        let reply = body.clone();
        let receiver = Receiver::start(move |_| Reply::body(status, reply.clone())).await;
        let (sink, _) = sink(&format!("sqs:{}/1/orders", receiver.address), &credentials());
        let error = sink.flush(flush(orders(2))).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn of_a_batch_that_is_refused_whole_the_one_to_blame_is_found() {
    let receiver = Receiver::start(|asked| {
        if asked.body.contains("o3") {
            let error = json!({"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": "no"});
            return Reply::body(400, error.to_string());
        }
        answer(asked, |_| None)
    })
    .await;
    let (sink, _) = sink(&format!("sqs:{}/1/orders", receiver.address), &credentials());
    let flushed = sink.flush(flush(orders(5))).await.unwrap();
    assert_eq!(flushed.rejected, [Rejected { index: 2, error: "InvalidMessageContents: no".to_owned() }]);
}

#[tokio::test]
async fn limits_of_bytes_are_kept() {
    let receiver = Receiver::start(|asked| answer(asked, |_| None)).await;
    let (one, _) = sink(&format!("sqs:{}/1/orders", receiver.address), &credentials());
    let large =
        |number: u64, bytes: usize| record(number, &format!("o{number}"), Some(json!({"v": {"S": "x".repeat(bytes)}})));
    let all = vec![large(1, 100_000), large(2, 100_000), large(3, 100_000), large(4, 400_000), large(5, 1_048_576)];
    let flushed = one.flush(flush(all.clone())).await.unwrap();
    let [Rejected { index: 4, error }] = &flushed.rejected[..] else { panic!("{flushed:?}") };
    assert!(error.contains("1048576 are the most"), "{error}");
    let mut counts: Vec<usize> = receiver.take().iter().map(|asked| entries(asked).len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2], "the bytes of a request have a limit too");
    // A digest that is too large becomes several, and only what is too large alone is rejected.
    let mut settings = credentials();
    settings["digest"] = json!({});
    let (digest, _) = sink(&format!("sqs:{}/1/orders", receiver.address), &settings);
    let flushed = digest.flush(flush(all)).await.unwrap();
    assert_eq!(flushed.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [4]);
    let records: BTreeMap<String, usize> = receiver
        .take()
        .iter()
        .flat_map(entries)
        .map(|entry| {
            let body: Value = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
            (entry["MessageBody"].to_string(), body["data"]["records"].as_array().unwrap().len())
        })
        .collect();
    let mut counts: Vec<usize> = records.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2]);
    // A topic takes less.
    settings["endpoint"] = receiver.address.clone().into();
    let (topic, _) = sink("sns:arn:aws:sns:us-east-1:1:orders", &settings);
    let flushed = topic.flush(flush(vec![large(1, 262_144)])).await.unwrap();
    assert!(flushed.rejected[0].error.contains("262144 are the most"), "{flushed:?}");
}

#[tokio::test]
async fn a_topic_gets_a_form() {
    let receiver = Receiver::start(|_| {
        Reply::body(
            200,
            "<PublishBatchResponse><PublishBatchResult><Failed><member><Id>1</Id><Code>InvalidParameter</Code><Message>no</Message>\
             <SenderFault>true</SenderFault></member></Failed><Successful><member><Id>0</Id></member></Successful>\
             </PublishBatchResult></PublishBatchResponse>",
        )
    })
    .await;
    let mut settings = credentials();
    let more = json!({"endpoint": receiver.address, "subject": "Order {{ item.id }}", "body": "a+b & {{ item.id }}"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (sink, _) = sink("sns:arn:aws:sns:eu-west-1:1:orders.fifo", &settings);
    let flushed = sink.flush(flush(orders(2))).await.unwrap();
    assert_eq!(flushed.rejected, [Rejected { index: 1, error: "InvalidParameter: no".to_owned() }]);
    let asked = &receiver.take()[0];
    assert!(asked.header("authorization").contains("/eu-west-1/sns/aws4_request"));
    let form = reqwest::Url::parse(&format!("http://form?{}", asked.body)).unwrap();
    let form: BTreeMap<String, String> = form.query_pairs().into_owned().collect();
    let entry = |name: &str| form[&format!("PublishBatchRequestEntries.member.2.{name}")].clone();
    assert_eq!(
        (form["Action"].as_str(), form["TopicArn"].as_str()),
        ("PublishBatch", "arn:aws:sns:eu-west-1:1:orders.fifo")
    );
    assert_eq!((entry("Message"), entry("Subject")), ("a+b & o2".to_owned(), "Order o2".to_owned()));
    assert_eq!(
        (entry("MessageDeduplicationId"), entry("MessageGroupId").len()),
        (format!("ping-{}", id_of(&orders(2)[1])), 32)
    );
    let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>";
    receiver.state().replies = Box::new(move |_| Reply::body(404, refusal));
    let error = sink.flush(flush(orders(2))).await.unwrap_err().to_string();
    assert_eq!(error, "NotFound: Topic does not exist");
}
