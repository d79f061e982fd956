//! Requests that are signed: each signature is made again from what came, by the rules of AWS's documentation alone. Source: "Create a signed
//! AWS API request".

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::fake::{Asked, Fake};
use super::{config, flush, record, sink, table};
use crate::search::{Cluster, ClusterConfig, Document, Documents, Indexed};
use crate::sink::Sink;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "session-token-of-a-test";

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(text: &[u8], is_kept: impl Fn(u8) -> bool) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || is_kept(byte);
    text.iter().map(|byte| if is_plain(*byte) { (*byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'%' => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    bytes
}

/// Checks the signature of a request.
fn verify(asked: &Asked, service: &str, region: &str) {
    let authorization = asked.authorization.as_deref().unwrap();
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=AKID/").unwrap();
    let (scope, rest) = rest.split_once(", SignedHeaders=").unwrap();
    let (signed, signature) = rest.split_once(", Signature=").unwrap();
    let time = &asked.headers["x-amz-date"];
    assert_eq!(scope, format!("{}/{region}/{service}/aws4_request", &time[..8]));
    let names: Vec<&str> = signed.split(';').collect();
    for name in asked
        .headers
        .keys()
        .filter(|name| *name == "host" || name.starts_with("x-amz-") || name.starts_with("content-t"))
    {
        assert!(names.contains(&name.as_str()), "{name} is not signed: {signed}");
    }
    let digest = hex(&Sha256::digest(&asked.sent));
    // Serverless asks for it.
    assert_eq!(asked.headers["x-amz-content-sha256"], digest);
    let mut query: Vec<String> = asked
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            format!("{}={}", encoded(&decoded(name), |_| false), encoded(&decoded(value), |_| false))
        })
        .collect();
    query.sort();
    let headers: String = names.iter().map(|name| format!("{name}:{}\n", asked.headers[*name].trim())).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{digest}",
        asked.method,
        encoded(asked.path.as_bytes(), |byte| byte == b'/'),
        query.join("&"),
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let key = ["aws4_request", service, region, &time[..8]]
        .iter()
        .rev()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    assert_eq!(hex(&hmac(&key, &to_sign)), signature, "{canonical}");
}

#[tokio::test]
async fn every_request_of_a_sink_is_signed() {
    for (gzip, service) in [(false, "es"), (true, "aoss")] {
        let fake = Fake::start().await;
        let aws = json!({"region": "eu-west-1", "service": service, "access_key_id": "AKID", "secret_access_key": SECRET, "session_token": TOKEN});
        let settings = json!({"auth": {"aws": aws}, "gzip": gzip, "template": {"template": {}}});
        let sink = sink(config(&fake.address, &settings), 1);
        let records = vec![record(1, "a b/\u{e9}", Some(&json!({"n": {"N": "1"}}))), record(2, "c", None)];
        sink.prepare(Arc::new(table("S", None))).await.unwrap();
        sink.flush(flush(records)).await.unwrap();
        sink.swap().await.unwrap();
        let state = fake.state();
        assert!(state.asked.len() > 3 && state.bulks().len() == 1, "{:?}", state.asked);
        for asked in &state.asked {
            assert_eq!(asked.headers["x-amz-security-token"], TOKEN);
            verify(asked, service, "eu-west-1");
        }
    }
}

/// A cluster that does not take a signature repeats what was signed.
#[tokio::test]
async fn documents_of_others_are_signed_and_the_token_is_not_shown() {
    let fake = Fake::start().await;
    let aws = json!({"region": "r", "access_key_id": "AKID", "secret_access_key": SECRET, "session_token": TOKEN});
    let config: ClusterConfig =
        serde_json::from_value(json!({"endpoint": fake.address, "auth": {"aws": aws}})).unwrap();
    assert!(!format!("{config:?}").contains(TOKEN));
    let cluster = Cluster::new(&config).unwrap();
    // So many that the digest is made elsewhere.
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let all = vec![Document { id: Some("1".to_owned()), body: body.into() }];
    let documents = Documents { index: "logs".to_owned(), kind: None, all };
    assert_eq!(cluster.index(documents.clone()).await, [Indexed::Done]);
    verify(&fake.state().asked[0], "es", "r");
    fake.state().refusal = Some(format!("The canonical string should have been 'x-amz-security-token:{TOKEN}'"));
    let refused = cluster.index(documents).await;
    let [Indexed::Again(refusal)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(
        (refusal.status, &*refusal.words),
        (403, "The canonical string should have been 'x-amz-security-token:***'")
    );
}
