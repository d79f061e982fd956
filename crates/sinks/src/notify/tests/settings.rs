//! What can be said of the sink, and what is wrong with what is said.

use serde_json::{Value, json};

use super::{Config, config};
use crate::notify::address::Destination;

fn error(to: &str, more: Value) -> String {
    let mut given = json!({ "to": to });
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let read: Config = match serde_json::from_value(given) {
        Ok(read) => read,
        Err(error) => return error.to_string(),
    };
    let made = read.validate();
    made.err().map_or("nothing".to_owned(), |error| error.to_string())
}

const HOOK: &str = "webhook+https://example.com/hook";
const MAIL: &str = "smtp://mail.example.com";
const QUEUE: &str = "sqs:https://sqs.eu-west-1.amazonaws.com/1/q";
const TOPIC: &str = "sns:arn:aws:sns:eu-west-1:123456789012:t";

#[test]
fn destinations() {
    let queue = |to: &str, more: Value| match config(to, &more).destination() {
        Ok(Destination::Queue(queue)) => {
            (queue.endpoint.to_string(), queue.name, queue.region, queue.is_fifo, queue.is_topic)
        }
        other => panic!("{to}: {other:?}"),
    };
    let expect = |endpoint: &str, name: &str, region: &str, is_fifo: bool, is_topic: bool| {
        (endpoint.to_owned(), name.to_owned(), region.to_owned(), is_fifo, is_topic)
    };
    assert_eq!(
        queue(QUEUE, json!({})),
        expect("https://sqs.eu-west-1.amazonaws.com/", &QUEUE[4..], "eu-west-1", false, false)
    );
    assert_eq!(
        queue("sqs:http://127.0.0.1:9324/000000000000/orders.fifo", json!({})),
        expect("http://127.0.0.1:9324/", "http://127.0.0.1:9324/000000000000/orders.fifo", "us-east-1", true, false)
    );
    assert_eq!(
        queue("sqs:arn:aws-cn:sqs:cn-north-1:1:q", json!({})),
        expect(
            "https://sqs.cn-north-1.amazonaws.com.cn/",
            "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
            "cn-north-1",
            false,
            false
        )
    );
    assert_eq!(
        queue("sqs:arn:aws:sqs:eu-west-1:1:q", json!({"endpoint": "http://localhost:4566"})),
        expect("http://localhost:4566/", "http://localhost:4566/1/q", "eu-west-1", false, false)
    );
    assert_eq!(
        queue(TOPIC, json!({"region": "eu-west-2"})),
        expect("https://sns.eu-west-1.amazonaws.com/", &TOPIC[4..], "eu-west-2", false, true)
    );
    assert_eq!(
        queue("sns:arn:aws-eusc:sns:eusc-de-east-1:1:t", json!({})).0,
        "https://sns.eusc-de-east-1.amazonaws.eu/"
    );
    let mailer = |to: &str| match config(to, &json!({"mail": {"from": "a@b.c", "to": "d@e.f"}})).destination() {
        Ok(Destination::Mail(mailer)) => (mailer.host, mailer.port, mailer.is_tls),
        other => panic!("{to}: {other:?}"),
    };
    assert_eq!(mailer(MAIL), ("mail.example.com".to_owned(), 587, false));
    assert_eq!(mailer("smtps://mail.example.com"), ("mail.example.com".to_owned(), 465, true));
    assert_eq!(mailer("smtp://[::1]:2525"), ("::1".to_owned(), 2525, false));
}

/// Requests are signed for the region that the host names, as the SDKs have it.
#[test]
fn the_region_of_a_queue_is_that_of_its_host() {
    let region = |host: &str, more: Value| match config(&format!("sqs:https://{host}/1/q"), &more).destination() {
        Ok(Destination::Queue(queue)) => queue.region,
        other => panic!("{host}: {other:?}"),
    };
    for (host, expected) in [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs.us-east-2.api.aws", "us-east-2"),
        ("eu-central-1.queue.amazonaws.com", "eu-central-1"),
        ("queue.amazonaws.com", "us-east-1"),
        ("vpce-0a1b2c3d-4e5f.sqs.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("vpce-0a1b2c3d-4e5f-us-west-2a.sqs.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ("sqs-fips.us-west-1.amazonaws.com", "us-west-1"),
        ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs.cn-northwest-1.api.amazonwebservices.com.cn", "cn-northwest-1"),
        ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("sqs.eu-west-2.localhost.localstack.cloud:4566", "eu-west-2"),
        ("eu-west-2.queue.localhost.localstack.cloud:4566", "eu-west-2"),
        ("shop-orders-1.example.com", "us-east-1"),
        ("127.0.0.1:9324", "us-east-1"),
    ] {
        assert_eq!(region(host, json!({})), expected, "{host}");
        assert_eq!(region(host, json!({"region": "sa-east-1"})), "sa-east-1", "{host}");
    }
    assert_eq!(region("queues.example.com", json!({"endpoint": "https://sqs.eu-north-1.amazonaws.com"})), "eu-north-1");
}

#[test]
fn what_is_wrong_is_told_in_a_sentence_without_its_secrets() {
    let mail = |more: Value| {
        let mut settings = json!({"mail": {"from": "shop@example.com", "to": "ann@example.com"}});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    for (to, more, part) in [
        (HOOK, json!({}), "nothing"),
        (MAIL, mail(json!({})), "nothing"),
        (QUEUE, json!({}), "nothing"),
        (TOPIC, json!({"subject": "{{ type }}"}), "nothing"),
        ("webhook+ftp://example.com", json!({}), "to is none of"),
        ("webhook+https://u:hunter2@example.com", json!({}), "say headers"),
        ("webhook+https://", json!({}), "to is no address"),
        ("smtp://u:hunter2@mail", mail(json!({})), "say auth"),
        ("smtp://mail/path", mail(json!({})), "with nothing behind"),
        ("sqs:orders", json!({}), "to is no queue"),
        ("sns:https://sns/x", json!({}), "to is no topic"),
        ("sns:arn:aws:sqs:eu-west-1:1:q", json!({}), "is of sqs, not of sns"),
        (QUEUE, json!({"endpoint": "localhost:9324"}), "endpoint"),
        (HOOK, json!({"colour": 1}), "unknown field `colour`"),
        (HOOK, json!({"mail": {"from": "a@b.c", "to": "d@e.f"}}), "mail is for smtp(s) alone"),
        (HOOK, json!({"subject": "x"}), "subject is for smtp(s), sns and sqs alone"),
        (QUEUE, json!({"subject": "x"}), "a message in a queue has none"),
        (MAIL, mail(json!({"secrets": ["whsec_x"]})), "secrets is for webhook+http(s) alone"),
        (MAIL, json!({}), "mail is missing"),
        ("smtps://mail", mail(json!({"tls": "starttls"})), "tls is for smtp:// alone"),
        (MAIL, mail(json!({"tls": "none", "auth": {"user": "u", "password": "hunter2"}})), "would show the password"),
        (MAIL, json!({"mail": {"from": "a@b.c", "to": []}}), "mail has 1 to 100 recipients"),
        (HOOK, json!({"secrets": "hunter2"}), "secrets: each is whsec_"),
        (HOOK, json!({"digest": {"records": 0}}), "digest gathers for 0 to 3600 seconds"),
        (HOOK, json!({"digest": {"minutes": 1}}), "unknown field `minutes`"),
        (HOOK, json!({"throttle": {"messages": 1, "seconds": 0}}), "throttle lets 1 to 10000 messages"),
        (HOOK, json!({"concurrency": 65}), "concurrency is from 1 to 64"),
        (HOOK, json!({"tries_max": 0}), "tries_max is at least 1"),
        (HOOK, json!({"timeout_seconds": 0}), "timeout_seconds and"),
        (QUEUE, json!({"access_key_id": "a"}), "come together"),
        (HOOK, json!({"body": "{{ keys.id"}), "body: syntax error"),
        (HOOK, json!({"body": "{{ nwe_image.id }}"}), "body: `nwe_image` is not known; known are sink, table"),
        (HOOK, json!({"body": "{{ item.id }}", "digest": {}}), "`item` is of one record, and a digest has several"),
        (
            HOOK,
            json!({"body": "{% for r in records %}{{ loop.index }}{{ r.item.id }}{{ range(3) }}{% endfor %}", "digest": {}}),
            "nothing",
        ),
        (HOOK, json!({"body": "{{ item.id | no_such_filter }}"}), "body: unknown filter"),
    ] {
        let told = error(to, more.clone());
        assert!(told.contains(part), "{to} {more}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn what_only_shows_when_the_sink_is_made_is_told_by_the_check_too() {
    for (to, more, part) in [
        (MAIL, json!({"mail": {"from": "nobody", "to": "a@b.c"}}), "mail.from: \"nobody\" is no address"),
        (MAIL, json!({"mail": {"from": "a@b.c", "to": "nobody"}}), "mail.to: \"nobody\" is no address"),
        (HOOK, json!({"headers": {"Webhook-Id": "x"}}), "is set by the sink"),
        (HOOK, json!({"headers": {"a b": "x"}}), "is no name of a header"),
        (HOOK, json!({"headers": {"a": "hunter2\n"}}), "headers.a is to be printable"),
        (HOOK, json!({"ca": "x"}), "ca: there is no certificate in it"),
        (MAIL, json!({"ca": "x", "mail": {"from": "a@b.c", "to": "d@e.f"}}), "ca: there is no certificate in it"),
    ] {
        let told = error(to, more.clone());
        assert!(told.contains(part) && !told.contains("hunter2"), "{to} {more}: {told}");
    }
}
