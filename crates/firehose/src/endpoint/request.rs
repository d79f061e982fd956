//! A request to an HTTP endpoint, and whether its answer says that it was taken. Source: docs/spec/sinks.md 2.7.
//!
//! Invariant: the id of a request follows from what it holds: the same id, the same records, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tailrace_core::EpochMs;
use tailrace_sinks::objects::encode::EncodeError;
use tailrace_sinks::post::{NoReply, Reply};

use crate::compress::Compression;
use crate::limits::{REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX};
use crate::transform::Flush;
use crate::uuid::uuid;

/// JSON around a record: `{"data":""},`.
const AROUND_RECORD_BYTES: usize = 12;
/// Around all of them: the id, the time, names.
const AROUND_REQUEST_BYTES: usize = 128;

/// How many records are in each request, of those of these sizes. Each has one at least.
pub fn counts(sizes: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut counts = Vec::new();
    let (mut count, mut bytes) = (0, AROUND_REQUEST_BYTES);
    for size in sizes {
        let added = size.div_ceil(3) * 4 + AROUND_RECORD_BYTES;
        if count > 0 && (count == REQUEST_RECORDS_MAX || bytes + added > REQUEST_BYTES_MAX) {
            counts.push(count);
            (count, bytes) = (0, AROUND_REQUEST_BYTES);
        }
        (count, bytes) = (count + 1, bytes + added);
    }
    if count > 0 {
        counts.push(count);
    }
    counts
}

/// The id of a request with these records of a flush, of which `before` are in requests before it.
pub fn id<'a>(flush: Flush, before: usize, records: impl Iterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    digest.update(flush.consumer.to_string());
    digest.update(flush.shard.0.to_be_bytes());
    digest.update(flush.first.0.to_be_bytes());
    digest.update((before as u64).to_be_bytes());
    for data in records {
        digest.update((data.len() as u64).to_be_bytes());
        digest.update(data);
    }
    uuid(&digest.finalize())
}

/// The body of a request.
///
/// # Errors
/// The compressor's.
pub fn body<'a>(
    id: &str,
    made_ms: EpochMs,
    records: impl Iterator<Item = &'a [u8]> + Clone,
    is_gzip: bool,
) -> Result<Vec<u8>, EncodeError> {
    let bytes: usize = records.clone().map(|data| data.len().div_ceil(3) * 4 + AROUND_RECORD_BYTES).sum();
    let mut text = String::with_capacity(AROUND_REQUEST_BYTES + bytes);
    text.push_str(&format!("{{\"requestId\":\"{id}\",\"timestamp\":{},\"records\":[", made_ms.0));
    for (index, data) in records.enumerate() {
        text.push_str(if index == 0 { "{\"data\":\"" } else { ",{\"data\":\"" });
        BASE64.encode_string(data, &mut text);
        text.push_str("\"}");
    }
    text.push_str("]}");
    if is_gzip { Compression::Gzip.of(text.into_bytes()) } else { Ok(text.into_bytes()) }
}

/// Why a request was not taken. The message may have secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// The service's code.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// No other try will end better.
    pub is_final: bool,
}

/// The status of a request that is too large for the endpoint.
const TOO_LARGE: u16 = 413;

/// Whether the request of this id was taken.
///
/// # Errors
/// It was not, or nobody knows.
pub fn judged(id: &str, answered: &Result<Reply, NoReply>) -> Result<(), NotTaken> {
    let failed = |code, message| Err(NotTaken { code, message, is_final: false });
    let reply = match answered {
        Ok(reply) => reply,
        Err(error @ NoReply::Unreachable(_)) => return failed("HttpEndpoint.ConnectionFailed", error.to_string()),
        Err(error @ NoReply::Timeout) => return failed("HttpEndpoint.RequestTimeout", error.to_string()),
        Err(error @ NoReply::Broken(_)) => return failed("HttpEndpoint.ConnectionReset", error.to_string()),
        Err(error @ NoReply::TooLarge) => return failed("HttpEndpoint.ResponseTooLarge", error.to_string()),
    };
    let said = format!("{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    if reply.status != 200 {
        return Err(NotTaken {
            code: "HttpEndpoint.DestinationException",
            message: format!("The following response was received from the endpoint destination. {said}"),
            is_final: reply.status == TOO_LARGE,
        });
    }
    let Some(wrong) = what_is_wrong(id, reply) else { return Ok(()) };
    let message =
        format!("The response received from the specified endpoint is invalid. {wrong} Raw response received: {said}");
    failed("HttpEndpoint.InvalidResponseFromDestination", message)
}

/// What breaks the rules in an answer that says 200.
fn what_is_wrong(id: &str, reply: &Reply) -> Option<&'static str> {
    let media = reply.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
    if !media.trim().eq_ignore_ascii_case("application/json") {
        return Some("Its content type is not application/json.");
    }
    if reply.is_encoded {
        return Some("It has a Content-Encoding.");
    }
    let Ok(Value::Object(members)) = serde_json::from_slice(&reply.body) else {
        return Some("It is no JSON object.");
    };
    match members.get("requestId") {
        Some(Value::String(said)) if said == id => {}
        Some(Value::String(_)) => return Some("Its requestId is not that of the request."),
        _ => return Some("It has no requestId."),
    }
    match members.get("timestamp") {
        Some(Value::Number(_)) => None,
        Some(_) => Some("Its timestamp is no number."),
        None => Some("It has no timestamp."),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tailrace_core::{MappingId, RecordNo, ShardNo};

    use super::*;

    /// docs/spec/sinks.md 2.7: 10,000 records and 64 MiB of a body at most.
    #[test]
    fn requests_hold_what_one_may() {
        assert_eq!(counts(std::iter::empty()), Vec::<usize>::new());
        assert_eq!(counts(std::iter::repeat_n(1, 20_001)), [10_000, 10_000, 1]);
        let large = 1_024_000;
        let parts = counts(std::iter::repeat_n(large, 100));
        assert_eq!(parts, [49, 49, 2]);
        let record = vec![b'x'; large];
        let full = body(
            "00000000-0000-0000-0000-000000000000",
            EpochMs(u64::MAX),
            std::iter::repeat_n(&record[..], 49),
            false,
        );
        assert!((REQUEST_BYTES_MAX - 2 * large..=REQUEST_BYTES_MAX).contains(&full.unwrap().len()));
    }

    #[test]
    fn a_body_is_that_of_the_guide_and_its_id_follows_from_it() {
        let flush = Flush { consumer: MappingId(1), shard: ShardNo(2), first: RecordNo(3) };
        let records = || [b"hello".as_slice(), b""].into_iter();
        let id_of = |before| id(flush, before, records());
        assert_eq!((id_of(0), id_of(0).len()), (id_of(0), 36));
        let others = [
            id_of(1),
            id(flush, 0, [b"hell".as_slice(), b"o"].into_iter()),
            id(flush, 0, [b"hello".as_slice()].into_iter()),
        ];
        assert!(others.iter().all(|other| *other != id_of(0)));
        let plain = body("ed4acda5", EpochMs(1_578_090_901_599), records(), false).unwrap();
        let expected =
            r#"{"requestId":"ed4acda5","timestamp":1578090901599,"records":[{"data":"aGVsbG8="},{"data":""}]}"#;
        assert_eq!(String::from_utf8(plain).unwrap(), expected);
        let mut unpacked = String::new();
        let packed = body("ed4acda5", EpochMs(1_578_090_901_599), records(), true).unwrap();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, expected);
    }

    #[test]
    fn an_answer_that_breaks_the_rules_is_a_failure() {
        let reply = |status, content_type: &str, body: &str| Reply {
            status,
            content_type: Some(content_type.to_owned()),
            is_encoded: false,
            body: body.as_bytes().to_vec(),
        };
        let json = "application/json";
        let good = r#"{"requestId":"i","timestamp":1578090903599}"#;
        for taken in [reply(200, json, good), reply(200, "Application/JSON; charset=utf-8", good)] {
            assert_eq!(judged("i", &Ok(taken)), Ok(()));
        }
        let encoded = Reply { is_encoded: true, ..reply(200, json, good) };
        let bare = Reply { content_type: None, ..reply(200, json, good) };
        for (wrong, code, part) in [
            (Ok(reply(201, json, good)), "DestinationException", "destination. 201: {\"requestId\":\"i\""),
            (Ok(reply(403, json, "no")), "DestinationException", "destination. 403: no"),
            (Ok(reply(200, "text/plain", good)), "InvalidResponseFromDestination", "content type"),
            (Ok(bare), "InvalidResponseFromDestination", "content type"),
            (Ok(encoded), "InvalidResponseFromDestination", "Content-Encoding"),
            (
                Ok(reply(200, json, "ok")),
                "InvalidResponseFromDestination",
                "no JSON object. Raw response received: 200: ok",
            ),
            (
                Ok(reply(200, json, r#"{"requestId":null,"timestamp":1}"#)),
                "InvalidResponseFromDestination",
                "no requestId",
            ),
            (
                Ok(reply(200, json, r#"{"requestId":"j","timestamp":1}"#)),
                "InvalidResponseFromDestination",
                "not that of",
            ),
            (Ok(reply(200, json, r#"{"requestId":"i"}"#)), "InvalidResponseFromDestination", "no timestamp"),
            (
                Ok(reply(200, json, r#"{"requestId":"i","timestamp":"1"}"#)),
                "InvalidResponseFromDestination",
                "no number",
            ),
            (Err(NoReply::Unreachable("x".to_owned())), "ConnectionFailed", "no connection: x"),
            (Err(NoReply::Timeout), "RequestTimeout", "no answer in time"),
            (Err(NoReply::Broken("x".to_owned())), "ConnectionReset", "broke: x"),
            (Err(NoReply::TooLarge), "ResponseTooLarge", "too large"),
        ] {
            let not_taken = judged("i", &wrong).unwrap_err();
            assert_eq!(not_taken.code, format!("HttpEndpoint.{code}"), "{wrong:?}");
            assert!(not_taken.message.contains(part) && !not_taken.is_final, "{not_taken:?}");
        }
        assert!(judged("i", &Ok(reply(413, json, ""))).unwrap_err().is_final);
    }
}
