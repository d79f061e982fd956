//! Requests written byte by byte: each row of docs/spec/dynamodb-api.md 1, 1.1, 1.2 and 1.3, malformed HTTP, slow clients,
//! and who may talk to a server on loopback.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::{AMZ_JSON, AUTH, Server, TARGET, post, post_with};

#[track_caller]
fn check(server: &Server, request: impl AsRef<[u8]>, status: u16, body: &str) -> support::Reply {
    let reply = server.client().roundtrip(request.as_ref());
    assert_eq!((reply.status, reply.text()), (status, body), "{}", String::from_utf8_lossy(request.as_ref()));
    reply
}

fn coral(class: &str) -> String {
    format!(r#"{{"__type":"com.amazon.coral.service#{class}"}}"#)
}

#[test]
fn an_operation_gets_its_body_and_answers_with_all_headers() {
    let server = Server::start();
    for content_type in ["application/x-amz-json-1.0", "application/json"] {
        let request = post_with(&[&format!("content-type: {content_type}"), TARGET, AUTH], r#"{"a":1}"#);
        let reply = check(&server, request, 200, r#"{"a":1}"#);
        assert_eq!(reply.header("content-type"), Some(content_type));
        assert_eq!(reply.header("x-amz-crc32"), Some("1444654255"));
        assert_eq!(reply.header("content-length"), Some("7"));
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert_eq!(reply.header("connection"), None);
    }
    let spaced = post_with(&["content-type:  application/json ; charset=utf-8", TARGET, AUTH], "{}");
    assert_eq!(check(&server, spaced, 200, "{}").header("content-type"), Some("application/json"));
    let shouted = post_with(&["content-type: Application/X-Amz-JSON-1.0", TARGET, AUTH], "{}");
    assert_eq!(check(&server, shouted, 200, "{}").header("content-type"), Some("application/x-amz-json-1.0"));
}

#[test]
fn an_operation_is_told_who_asks_and_the_id_that_the_answer_carries() {
    let server = Server::start();
    let who = "x-amz-target: DynamoDB_20120810.Who";
    let reply = server.client().roundtrip(&post_with(&[AMZ_JSON, who, AUTH], "{}"));
    let (key, id) = reply.text().split_once(' ').map(|(key, id)| (key.to_owned(), id.to_owned())).unwrap();
    assert_eq!((key.as_str(), Some(id.as_str())), ("k", reply.header("x-amzn-requestid")));
}

#[test]
fn both_prefixes_reach_their_service_and_unknown_targets_do_not() {
    let server = Server::start();
    let with = |target: &str| post_with(&[AMZ_JSON, &format!("x-amz-target: {target}"), AUTH], "{}");
    check(&server, with("DynamoDBStreams_20120810.ListStreams"), 200, r#"{"streams":true}"#);
    for bad in
        ["DynamoDB_20120810.Nothing", "DynamoDB_20111205.Echo", "Echo", "DynamoDBStreams_20120810.Echo", "a.b.c", ""]
    {
        check(&server, with(bad), 400, &coral("UnknownOperationException"));
    }
    check(&server, post_with(&[AMZ_JSON, AUTH], "{}"), 400, &coral("UnknownOperationException"));
}

#[test]
fn checks_come_in_the_order_of_the_service() {
    let server = Server::start();
    let se = coral("SerializationException");
    // Row 3 before 4: a content type that is not taken, then a body that is no JSON.
    let reply = check(&server, post_with(&["content-type: text/xml"], "{"), 404, "<UnknownOperationException/>\n");
    assert_eq!(reply.header("x-amz-crc32"), Some("3552371480"));
    assert_eq!(reply.header("content-type"), None);
    check(&server, "PUT / HTTP/1.1\r\nhost: localhost\r\n\r\n", 404, "<UnknownOperationException/>\n");
    check(&server, "DELETE /x HTTP/1.1\r\nhost: localhost\r\n\r\n", 404, "<UnknownOperationException/>\n");
    // Row 4 before 5 and 6.
    check(&server, post_with(&[AMZ_JSON], "{"), 400, &se);
    check(&server, post_with(&[AMZ_JSON, TARGET], "hello"), 400, &se);
    // Also where only a strict reader sees that it is none, and not where only a sloppy one thinks so.
    let unknown = [AMZ_JSON, "x-amz-target: DynamoDB_20120810.No"];
    let mut latin_1 = post_with(&unknown, "{\"a\":\"ab\"}");
    let at = latin_1.len() - 3;
    latin_1[at] = 0xff;
    assert_eq!(server.client().roundtrip(&latin_1).text(), se);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check(&server, post_with(&unknown, &deep(2001)), 400, &se);
    for json in [deep(200).as_str(), "\u{feff}{}", r#"{"a":"\ud800"}"#] {
        check(&server, post_with(&unknown, json), 400, &coral("UnknownOperationException"));
    }
    // Row 5 before 6.
    check(
        &server,
        post_with(&[AMZ_JSON, "x-amz-target: DynamoDB_20120810.No"], "{}"),
        400,
        &coral("UnknownOperationException"),
    );
    // Row 6 before 7: an empty body of any content type still has to authenticate.
    let missing = r#"{"__type":"com.amazon.coral.service#MissingAuthenticationTokenException","message":"Request is missing Authentication Token"}"#;
    check(&server, post_with(&[TARGET], ""), 400, missing);
    // Row 7.
    let reply = check(&server, post_with(&[TARGET, AUTH], ""), 400, &se);
    assert_eq!(reply.header("content-type"), Some("application/x-amz-json-1.0"));
}

#[test]
fn authentication_must_be_there_and_complete() {
    let server = Server::start();
    let coral_message = |class: &str, message: &str| {
        format!(r#"{{"__type":"com.amazon.coral.service#{class}","message":"{message}"}}"#)
    };
    let missing = coral_message("MissingAuthenticationTokenException", "Request is missing Authentication Token");
    check(&server, post_with(&[AMZ_JSON, TARGET], "{}"), 400, &missing);
    check(&server, post_with(&[AMZ_JSON, TARGET, "authorization: Bearer x"], "{}"), 400, &missing);
    let incomplete = coral_message(
        "IncompleteSignatureException",
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
         Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a \
         'X-Amz-Date' or a 'Date' header. Authorization=AWS4-",
    );
    check(&server, post_with(&[AMZ_JSON, TARGET, "authorization: AWS4-"], "{}"), 400, &incomplete);
    let no_signature = coral_message(
        "IncompleteSignatureException",
        "Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host",
    );
    let header = "authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host\r\nx-amz-date: 20260101T000000Z";
    check(&server, post_with(&[AMZ_JSON, TARGET, header], "{}"), 400, &no_signature);
    let no_date = "authorization: AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host,Signature=c";
    let reply = server.client().roundtrip(&post_with(&[AMZ_JSON, TARGET, no_date], "{}"));
    assert!(reply.text().contains("existence of either a 'X-Amz-Date' or a 'Date' header"), "{}", reply.text());

    let query = |query: &str, headers: &[&str]| {
        String::from_utf8(post_with(headers, "{}")).unwrap().replacen("POST / ", &format!("POST /?{query} "), 1)
    };
    let both = coral_message(
        "InvalidSignatureException",
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    );
    check(&server, query("X-Amz-Algorithm=a", &[AMZ_JSON, TARGET, AUTH]), 400, &both);
    let parts = coral_message(
        "IncompleteSignatureException",
        "AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include \
         'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string \
         parameters.",
    );
    check(&server, query("X-Amz-Algorithm=a&X-Amz-Signature=b", &[AMZ_JSON, TARGET]), 400, &parts);
    let whole = "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d&X-Amz-Date=e";
    check(&server, query(whole, &[AMZ_JSON, TARGET]), 200, "{}");
}

#[test]
fn errors_have_their_type_status_and_checksum() {
    let server = Server::start();
    let call =
        |operation: &str| post_with(&[AMZ_JSON, &format!("x-amz-target: DynamoDB_20120810.{operation}"), AUTH], "{}");
    let ve = r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"bad"}"#;
    let reply = check(&server, call("Invalid"), 400, ve);
    assert_eq!(reply.header("content-type"), Some("application/x-amz-json-1.0"));
    let ise = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"broken"}"#;
    check(&server, call("Broken"), 500, ise);
    let fault =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"The operation failed inside."}"#;
    check(&server, call("Panic"), 500, fault);
    check(&server, post("{}"), 200, "{}");
}

#[test]
fn get_answers_the_healthy_text_on_the_root_and_a_hint_elsewhere() {
    let server = Server::start();
    for path in ["/", "/?x=1"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let reply = check(&server, request, 200, "healthy: dynamodb.us-east-1.amazonaws.com ");
        assert_eq!(reply.header("x-amz-crc32"), Some("3128867991"));
        assert_eq!(reply.header("content-type"), None);
        assert_eq!(reply.header("content-length"), Some("42"));
    }
    for path in ["/metrics", "/anything/else"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let reply = server.client().roundtrip(request.as_bytes());
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("/health/ready"), "{}", reply.text());
    }
}

#[test]
fn health_and_admin_pages() {
    let server = Server::start();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    check(&server, get("/health/live"), 200, "live\n");
    check(&server, get("/health/ready"), 200, "ready\n");
    server.set_ready(Err("recovering".to_owned()));
    check(&server, get("/health/ready"), 503, "not ready: writes are refused: recovering\n");
    check(&server, get("/health/live"), 200, "live\n");
    check(&server, get("/_admin/page?x=1"), 200, r#"{"query":"x=1"}"#);
    check(&server, get("/_admin/none"), 404, r#"{"Message":"There is no such page."}"#);
    let reply = server.client().roundtrip(&post_with(&["content-type: application/json"], "{}"));
    assert_eq!(reply.status, 400);
}

/// docs/spec/event-source-mapping.md 1: the Lambda API is paths; its requests are authenticated as the others are.
#[test]
fn a_path_with_a_date_is_an_operation_of_the_lambda_api() {
    let server = Server::start();
    let put = |path: &str, headers: &[&str]| {
        let headers = headers.join("\r\n");
        format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes()
    };
    let asked = put("/2015-03-31/things/a%3Ab?Marker=x", &[AUTH, "X-Amz-Invocation-Type: Event"]);
    let reply = server.client().roundtrip(&asked);
    assert_eq!((reply.status, reply.text()), (202, "PUT /2015-03-31/things/a%3Ab Marker=x Event {}"));
    assert_eq!(reply.header("x-amzn-requestid"), Some(&*"0".repeat(52)), "an operation may name its request itself");
    assert_eq!(reply.header("x-amz-log-result"), Some("bG9n"));
    let reply = server.client().roundtrip(&put("/2015-03-31/things", &["x: y"]));
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (403, Some("MissingAuthenticationTokenException")));
    let reply = server.client().roundtrip(&put("/2015-03-31/panic", &[AUTH]));
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (500, Some("ServiceException")));
}

/// What other tools have for a DELETE is one here, guarded by host and origin; nothing else is deleted.
#[test]
fn a_delete_of_what_other_tools_have() {
    let server = Server::start();
    let delete = |path: &str, headers: &[&str]| format!("DELETE {path} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
    let host = "host: localhost";
    check(&server, delete("/_aws/thing", &[host]), 200, r#"{"gone":1}"#);
    check(&server, delete("/_aws/thing", &[host, "origin: http://localhost:3000"]), 200, r#"{"gone":1}"#);
    check(&server, delete("/_aws/none", &[host]), 404, r#"{"Message":"There is no such page."}"#);
    check(&server, delete("/other", &[host]), 404, "<UnknownOperationException/>\n");
    for foreign in [&["host: evil.example"][..], &[host, "origin: http://evil.example"]] {
        assert_eq!(server.client().roundtrip(delete("/_aws/thing", foreign).as_bytes()).status, 403, "{foreign:?}");
    }
    assert_eq!(server.calls(), 2);
}

/// What changes something below `/_admin/` is guarded as an operation is: by host, origin and content type.
#[test]
fn admin_posts_answer_with_the_status_of_their_kind_and_only_to_pages_of_this_machine() {
    let server = Server::start();
    let post = |path: &str, headers: &[&str]| {
        let headers = headers.join("\r\n");
        format!("POST {path} HTTP/1.1\r\n{headers}\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}")
    };
    let (host, json) = ("host: localhost", "content-type: application/json");
    check(&server, post("/_admin/change", &[host, json]), 409, r#"{"a":1}"#);
    check(&server, post("/_admin/change", &[host, json, "origin: http://localhost:3000"]), 409, r#"{"a":1}"#);
    check(&server, post("/_admin/none", &[host, json]), 404, r#"{"Message":"There is no such page."}"#);
    check(&server, post("/_admin/page", &[host, json]), 404, r#"{"Message":"There is no such page."}"#);
    let inside = r#"{"Message":"The operation failed inside."}"#;
    check(&server, post("/_admin/panic", &[host, json]), 500, inside);
    assert_eq!(server.calls(), 2);

    for foreign in [
        &["host: evil.example:8000", json] as &[&str],
        &[host, json, "origin: http://evil.example"],
        &[host, json, "origin: null"],
    ] {
        assert_eq!(server.client().roundtrip(post("/_admin/change", foreign).as_bytes()).status, 403, "{foreign:?}");
    }
    // What a form of any page can send without asking first.
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let content_type = format!("content-type: {form}");
        let reply = server.client().roundtrip(post("/_admin/change", &[host, &content_type]).as_bytes());
        assert_eq!(reply.status, 400, "{form}");
    }
    assert_eq!(server.client().roundtrip(post("/_admin/change", &[host]).as_bytes()).status, 400);
    let get = "GET /_admin/change HTTP/1.1\r\nhost: localhost\r\n\r\n";
    check(&server, get, 404, r#"{"Message":"There is no such page."}"#);
    assert_eq!(server.calls(), 2, "nothing foreign changed anything");
}

#[test]
fn health_pages_answer_head_and_no_other_page_is_healthy() {
    let server = Server::start();
    let head = |path: &str| format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut client = server.client();
    for (path, status, length) in [("/health/live", 200, "5"), ("/health/ready", 200, "6"), ("/health/x", 404, "36")] {
        client.send(head(path).as_bytes());
        let reply = client.receive_head();
        assert_eq!((reply.status, reply.header("content-length")), (status, Some(length)), "{path}");
    }
    server.set_ready(Err("recovering".to_owned()));
    client.send(head("/health/ready").as_bytes());
    assert_eq!(client.receive_head().status, 503);
    assert_eq!(client.roundtrip(&post("{}")).text(), "{}", "no body came behind the heads");
    let no_page = r#"{"Message":"There is no such page."}"#;
    for path in ["/health/", "/health/lively", "/health/live/x"] {
        check(&server, format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 404, no_page);
    }
}

#[test]
fn pages_of_this_machine_may_call_and_foreign_ones_may_not() {
    let server = Server::start();
    let origin = "origin: http://localhost:3000";
    let reply = check(&server, post_with(&[AMZ_JSON, TARGET, AUTH, origin], "{}"), 200, "{}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let reply = server.client().roundtrip(&post_with(&[AMZ_JSON, origin], "{"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "on errors too");
    let preflight = "OPTIONS / HTTP/1.1\r\nhost: localhost\r\norigin: http://127.0.0.1:1\r\n\
                     access-control-request-method: POST\r\naccess-control-request-headers: x-amz-target\r\n\r\n";
    let reply = check(&server, preflight, 200, "");
    assert_eq!(reply.header("access-control-max-age"), Some("172800"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("x-amz-target"));
    assert_eq!(reply.header("x-amz-crc32"), Some("0"));
    assert_eq!(reply.header("content-length"), Some("0"));

    for foreign in ["origin: http://evil.example", "origin: null", "origin: http://localhost.evil.example"] {
        let reply = server.client().roundtrip(&post_with(&[AMZ_JSON, TARGET, AUTH, foreign], "{}"));
        assert_eq!(reply.status, 403, "{foreign}");
        assert!(reply.text().contains("not this server"), "{}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    // A name that an attacker's DNS points to this machine.
    let rebound = "GET /_admin/page HTTP/1.1\r\nhost: evil.example:8000\r\n\r\n";
    assert_eq!(server.client().roundtrip(rebound.as_bytes()).status, 403);
    assert_eq!(server.calls(), 1, "nothing foreign reached an operation");
}

#[test]
fn a_body_over_the_limit_is_answered_413() {
    let server = Server::start();
    let head = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\n{AMZ_JSON}\r\n{TARGET}\r\n{AUTH}\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let limit = 16 * 1024 * 1024;
    let mut at_limit = head(limit).into_bytes();
    at_limit.resize(at_limit.len() + limit, b' ');
    // Spaces are no JSON, but they are a body that is taken.
    assert_eq!(server.client().roundtrip(&at_limit).status, 200);
    let mut above = head(limit + 1).into_bytes();
    above.resize(above.len() + limit + 1, b' ');
    let reply = check(&server, above, 413, "");
    assert_eq!(reply.header("x-amz-crc32"), Some("0"));
    // Without a length, the limit holds all the same.
    let mut chunked = post_with(&[AMZ_JSON, TARGET, AUTH, "transfer-encoding: chunked"], "");
    for _ in 0..17 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.resize(chunked.len() + 0x10_0000, b' ');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let chunked = String::from_utf8(chunked).unwrap().replacen("content-length: 0\r\n", "", 1);
    check(&server, chunked, 413, "");
}

/// docs/spec/dynamodb-api.md 1: compression only if asked, and the checksum (which the client here checks) of what is sent.
#[test]
fn large_answers_are_compressed_for_who_asks() {
    let server = Server::start();
    let gzip = "accept-encoding: deflate, gzip";
    let text = |length: usize| format!(r#"{{"a":"{}"}}"#, "xyz ".repeat(length / 4));
    for (headers, length, coded) in [
        (&[gzip] as &[&str], 100 * 1024, true),
        (&[gzip], 20 * 1024, true),
        (&[gzip], 100, false),
        (&[], 100 * 1024, false),
        (&["accept-encoding: identity"], 100 * 1024, false),
        (&["accept-encoding: gzip;q=0"], 100 * 1024, false),
    ] {
        let body = text(length);
        let reply = server.client().roundtrip(&post_with(&[&[AMZ_JSON, TARGET, AUTH], headers].concat(), &body));
        assert_eq!(reply.header("content-encoding"), coded.then_some("gzip"), "{headers:?} {length}");
        assert_eq!(reply.header("content-type"), Some("application/x-amz-json-1.0"));
        let sent = if coded { unzip(reply.body()) } else { reply.body().to_vec() };
        assert!(sent == body.as_bytes(), "{headers:?} {length}");
        assert!(!coded || reply.body().len() < length / 10);
    }
}

#[test]
fn a_compressed_body_is_read_and_one_that_unfolds_without_end_is_not() {
    let server = Server::start();
    let coded = |headers: &[&str], body: &[u8]| {
        let mut request = post_with(&[&[AMZ_JSON, "content-encoding: gzip"], headers].concat(), "");
        let at = request.len() - "0\r\n\r\n".len();
        request.splice(at.., format!("{}\r\n\r\n", body.len()).into_bytes());
        request.extend_from_slice(body);
        request
    };
    let (whole, limit) = (zip(br#"{"a":1}"#), 16 * 1024 * 1024);
    check(&server, coded(&[TARGET, AUTH], &whole), 200, r#"{"a":1}"#);
    let parts = [zip(br#"{"a""#), zip(b":1}")].concat();
    check(&server, coded(&[TARGET, AUTH], &parts), 200, r#"{"a":1}"#);
    // What is no gzip is no JSON: row 4 of the order of checks.
    let se = coral("SerializationException");
    for broken in [&whole[..whole.len() - 1], br#"{"a":1}"#, &zip(b"hello"), &[&whole[..], b"x"].concat()] {
        check(&server, coded(&[], broken), 400, &se);
    }
    check(&server, coded(&[TARGET, AUTH], &zip(b"")), 400, &se);
    assert_eq!(server.client().roundtrip(&coded(&[TARGET, AUTH], &zip(&vec![b' '; limit]))).status, 200);
    let calls = server.calls();
    let mut client = server.client();
    let reply = client.roundtrip(&coded(&[TARGET, AUTH], &zip(&vec![b' '; limit + 1])));
    assert_eq!((reply.status, reply.text(), reply.closed), (413, "", false));
    // A whole gigabyte in a megabyte.
    let bomb = zip(&vec![0; 32 * 1024 * 1024]).repeat(32);
    assert_eq!(client.roundtrip(&coded(&[TARGET, AUTH], &bomb)).status, 413);
    assert_eq!(server.calls(), calls);
    // Other codings are not known, and what is coded so is no JSON.
    check(&server, post_with(&[AMZ_JSON, "content-encoding: br"], "\u{8}{}"), 400, &se);
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut whole).expect("gzip");
    whole
}

#[test]
fn a_client_that_asks_first_is_spared_a_body_over_the_limit() {
    let server = Server::start();
    let limit = 16 * 1024 * 1024;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\n{AMZ_JSON}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        limit + 1
    );
    let reply = check(&server, head, 413, "");
    assert!(reply.closed);
}

#[test]
fn what_http_demands_of_a_request_is_asked_for() {
    let server = Server::start();
    let status = |request: &str| {
        let reply = server.client().roundtrip(request.as_bytes());
        (reply.status, reply.closed)
    };
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), (400, true), "no host");
    assert_eq!(status("GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n"), (400, true), "two hosts");
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n").0, 200, "HTTP/1.0 has no host");
    let post = "POST / HTTP/1.1\r\nhost: localhost\r\n";
    let coded = format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(status(&coded), (501, true), "a coding that nobody undoes");
    // Two lengths: the chunks count, and nothing that may be meant as a second request is taken from the connection.
    let second = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for lengths in
        ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        let mut client = server.client();
        client.send(format!("{post}{lengths}\r\n\r\n0\r\n\r\n{second}").as_bytes());
        let reply = client.receive();
        assert!(reply.closed, "{lengths}");
        assert!(client.until_closed().is_empty(), "{lengths}");
    }
}

#[test]
fn malformed_requests_are_refused_and_the_next_client_is_served() {
    let server = Server::start();
    let chunked = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    for (what, bytes) in [
        ("no HTTP", "hello\r\n\r\n".to_owned()),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned()),
        ("bad length", "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned()),
        ("two lengths", "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_owned()),
        ("bad header", "GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned()),
        ("bad chunk size", format!("{chunked}xyz\r\n")),
        ("bad chunk end", format!("{chunked}2\r\n{{}}xx0\r\n\r\n")),
    ] {
        let reply = server.client().try_roundtrip(bytes.as_bytes()).unwrap_or_else(|| panic!("no answer: {what}"));
        assert_eq!(reply.status, 400, "{what}");
        assert!(reply.closed, "{what}");
    }
    check(&server, post("{}"), 200, "{}");
    assert_eq!(server.calls(), 1);
}

#[test]
fn huge_headers_are_refused() {
    let server = Server::start();
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(200 * 1024));
    // The server stops reading, so the answer may be lost to a client that is still writing.
    assert!(server.client().try_roundtrip(huge.as_bytes()).is_none_or(|reply| reply.status == 431));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(server.client().roundtrip(many.as_bytes()).status, 431);
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(20 * 1024));
    assert_eq!(server.client().roundtrip(large.as_bytes()).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.client();
    let requests: Vec<u8> = (0..20).flat_map(|i| post(&format!(r#"{{"n":{i}}}"#))).collect();
    client.send(&requests);
    for i in 0..20 {
        assert_eq!(client.receive().text(), format!(r#"{{"n":{i}}}"#));
    }
}

#[test]
fn a_body_may_arrive_in_pieces_and_in_chunks() {
    let server = Server::start();
    let mut client = server.client();
    let request = post(r#"{"a":"b"}"#);
    for byte in &request {
        client.send(std::slice::from_ref(byte));
    }
    assert_eq!(client.receive().text(), r#"{"a":"b"}"#);
    let chunked = String::from_utf8(post_with(&[AMZ_JSON, TARGET, AUTH, "transfer-encoding: chunked"], "")).unwrap();
    let chunked = chunked.replacen("content-length: 0\r\n", "", 1) + "3\r\n{\"a\r\n6\r\n\":\"b\"}\r\n0\r\n\r\n";
    assert_eq!(client.roundtrip(chunked.as_bytes()).text(), r#"{"a":"b"}"#);
    let expect = post_with(&[AMZ_JSON, TARGET, AUTH, "expect: 100-continue"], "{}");
    client.send(&expect);
    assert_eq!(client.receive().status, 100);
    assert_eq!(client.receive().text(), "{}");
}

#[test]
fn slow_clients_are_cut_and_quick_ones_are_not() {
    let server = Server::with(|settings| {
        settings.head_limit = Duration::from_millis(200);
        settings.body_limit = Duration::from_millis(200);
        settings.idle_limit = Duration::from_millis(400);
    });
    let cut = |send: &[u8]| {
        let mut client = server.client();
        client.send(send);
        client.until_closed()
    };
    assert!(cut(b"").is_empty(), "a connection that says nothing");
    assert!(cut(b"POST / HTTP/1.1\r\nhost: local").is_empty(), "a head that stops");
    assert!(cut(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{").is_empty(), "a body that stops");
    // One that the machine holds up is cut, too, and comes again.
    let served = |request: &[u8]| {
        let mut tries = (0..50).map(|_| server.client());
        tries.find_map(|mut client| client.try_roundtrip(request).map(|reply| (client, reply))).unwrap()
    };
    let (mut idle, reply) = served(&post("{}"));
    assert_eq!(reply.status, 200);
    assert!(idle.until_closed().is_empty(), "a connection without a further request");
    // The server's own time is not the client's: an operation may take longer than any of these.
    let slow = post_with(&[AMZ_JSON, "x-amz-target: DynamoDB_20120810.Slow", AUTH], "{}");
    assert_eq!(served(&slow).1.status, 200);
}

#[test]
fn a_head_that_drips_is_cut_all_the_same() {
    let server = Server::with(|settings| settings.head_limit = Duration::from_millis(200));
    let mut client = server.client();
    let mut bytes = 0;
    while client.try_send(b"x").is_ok() && bytes < 1000 {
        bytes += 1;
        server.pause(Duration::from_millis(20));
    }
    assert!(bytes < 100, "cut after {bytes} drops");
}

#[test]
fn an_operation_outlives_its_client() {
    let server = Server::start();
    let mut client = server.client();
    client.send(&post_with(&[AMZ_JSON, "x-amz-target: DynamoDB_20120810.Slow", AUTH], "{}"));
    server.until(|| server.calls() == 1);
    drop(client);
    server.until(|| server.finished() == 1);
}

#[test]
fn a_stop_finishes_what_has_begun_and_closes_the_rest() {
    let server = Server::start();
    // One that the machine holds up is cut, too, and comes again.
    let served = |request: &[u8]| {
        let mut tries = (0..50).map(|_| server.client());
        tries.find_map(|mut client| client.try_roundtrip(request).map(|reply| (client, reply))).unwrap()
    };
    let (mut idle, reply) = served(&post("{}"));
    assert_eq!(reply.status, 200);
    let mut busy = server.client();
    busy.send(&post_with(&[AMZ_JSON, "x-amz-target: DynamoDB_20120810.Slow", AUTH], "{}"));
    server.until(|| server.calls() == 2);
    let report = server.stop();
    assert_eq!((report.connections_cut, report.requests_left), (0, 0));
    let reply = busy.receive();
    assert_eq!((reply.status, reply.text()), (200, "{}"));
    assert!(idle.until_closed().is_empty());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let server = Server::with(|settings| settings.shutdown_limit = Duration::from_millis(100));
    let mut stuck = server.client();
    stuck.send(&post_with(&[AMZ_JSON, "x-amz-target: DynamoDB_20120810.Hang", AUTH], "{}"));
    server.until(|| server.calls() == 1);
    let report = server.stop();
    assert_eq!((report.connections_cut, report.requests_left), (1, 1));
}
