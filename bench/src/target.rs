//! What stands for the targets of sinks where what a sink costs is measured: it takes everything, at once and unread, so that it
//! uses little of the processors that it shares with the server.

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves until it is killed: HTTP, and mails beside.
///
/// # Errors
/// A port is taken.
pub fn serve(port: u16, mail_port: u16) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mails = TcpListener::bind(("127.0.0.1", mail_port)).await?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = mails.accept().await {
                tokio::spawn(take_mails(stream));
            }
        });
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    })
}

async fn answer(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let operation = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = head.uri.path();
    let (status, text) = match operation.rsplit('.').next().unwrap_or_default() {
        "PutRecords" => (StatusCode::OK, records(count(&body, b"\"PartitionKey\""))),
        "SendMessageBatch" => (StatusCode::OK, queued(count(&body, b"\"MessageBody\""))),
        _ if body.starts_with(b"Action=PublishBatch") => (StatusCode::OK, published(count(&body, b".Message="))),
        _ if path.ends_with("/_bulk") => (StatusCode::OK, indexed(count(&body, b"\n") / 2)),
        // The index is there, and says nothing of itself.
        _ if head.method == Method::GET && path.ends_with("/_mapping") => (StatusCode::NOT_FOUND, "{}".to_owned()),
        _ => (StatusCode::OK, r#"{"acknowledged":true}"#.to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

fn count(bytes: &[u8], word: &[u8]) -> usize {
    // By the first byte: a body has few of it.
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == word[0]);
    starts.filter(|(at, _)| bytes[*at..].starts_with(word)).count()
}

fn list(count: usize, one: impl Fn(usize) -> String, between: &str) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(between)
}

/// PutRecords of Kinesis.
fn records(count: usize) -> String {
    let one = |number| format!(r#"{{"SequenceNumber":"{number}","ShardId":"shardId-000000000000"}}"#);
    format!(r#"{{"FailedRecordCount":0,"Records":[{}]}}"#, list(count, one, ","))
}

/// SendMessageBatch of SQS.
fn queued(count: usize) -> String {
    let one = |id| format!(r#"{{"Id":"{id}","MessageId":"m","MD5OfMessageBody":"d41d8cd98f00b204e9800998ecf8427e"}}"#);
    format!(r#"{{"Successful":[{}]}}"#, list(count, one, ","))
}

/// PublishBatch of SNS.
fn published(count: usize) -> String {
    let one = |id| format!("<member><Id>{id}</Id><MessageId>m</MessageId></member>");
    let done = list(count, one, "");
    format!(
        "<PublishBatchResponse><PublishBatchResult><Failed/><Successful>{done}</Successful></PublishBatchResult></PublishBatchResponse>"
    )
}

/// A bulk of a search engine, of documents alone.
fn indexed(count: usize) -> String {
    let mut text = r#"{"errors":false,"items":["#.to_owned();
    let _ = write!(text, "{}]}}", list(count, |_| r#"{"index":{"status":201}}"#.to_owned(), ","));
    text
}

/// One connection of a mail client. Source: RFC 5321.
async fn take_mails(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(1 << 20, stream);
    stream.write_all(b"220 localhost\r\n").await?;
    let (mut line, mut is_data) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer: &[u8] = match is_data {
            true if line == b".\r\n" => b"250 taken\r\n",
            true => continue,
            false if line.starts_with(b"EHLO") => b"250-localhost\r\n250 8BITMIME\r\n",
            false if line.starts_with(b"DATA") => b"354 go on\r\n",
            false if line.starts_with(b"QUIT") => b"221 bye\r\n",
            false => b"250 ok\r\n",
        };
        is_data = answer.starts_with(b"354");
        stream.write_all(answer).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    use serde_json::Value;

    use crate::generator::exchange;

    /// A target in a thread of its own: its two connections.
    fn target() -> (TcpStream, TcpStream) {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, mail_port) = (free(), free());
        std::thread::spawn(move || super::serve(port, mail_port));
        let connect = |port: u16| loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => return stream,
                // It does not listen yet.
                Err(_) => std::thread::yield_now(),
            }
        };
        (connect(port), connect(mail_port))
    }

    #[test]
    fn each_service_is_answered_with_an_outcome_for_each_of_what_was_sent() {
        let (mut http, _) = target();
        let mut post = |path: &str, operation: &str, body: &str| {
            let length = body.len();
            let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nx-amz-target: {operation}\r\n");
            let request = format!("{head}content-length: {length}\r\n\r\n{body}");
            String::from_utf8(exchange(&mut http, request.as_bytes()).unwrap()).unwrap()
        };
        let put = r#"{"Records":[{"Data":"eA==","PartitionKey":"a"},{"Data":"eQ==","PartitionKey":"b"}]}"#;
        let put: Value = serde_json::from_str(&post("/", "Kinesis_20131202.PutRecords", put)).unwrap();
        assert_eq!(put["Records"].as_array().map(Vec::len), Some(2));
        let sent = r#"{"Entries":[{"Id":"0","MessageBody":"x"},{"Id":"1","MessageBody":"y"}]}"#;
        let sent: Value = serde_json::from_str(&post("/", "AmazonSQS.SendMessageBatch", sent)).unwrap();
        assert_eq!(sent["Successful"][1]["Id"], "1");
        let form = "Action=PublishBatch&PublishBatchRequestEntries.member.1.Id=0&PublishBatchRequestEntries.member.1.Message=x";
        let published = post("/", "", form);
        assert!(published.contains("<Successful><member><Id>0</Id>"), "{published}");
        assert_eq!(published.matches("<member>").count(), 1);
        let bulk = "{\"index\":{\"_id\":\"1\"}}\n{}\n{\"index\":{\"_id\":\"2\"}}\n{}\n";
        let bulk: Value = serde_json::from_str(&post("/index/_bulk?refresh=false", "", bulk)).unwrap();
        assert_eq!((&bulk["errors"], bulk["items"].as_array().map(Vec::len)), (&Value::Bool(false), Some(2)));
        assert!(!post("/hook", "", "{}").is_empty());
    }

    #[test]
    fn a_mail_is_taken() {
        let (_, mut mails) = target();
        let mut answers = BufReader::new(mails.try_clone().unwrap()).lines().map(Result::unwrap);
        assert_eq!(answers.next().as_deref(), Some("220 localhost"));
        for (said, answer) in [
            ("EHLO me\r\n", "250-localhost"),
            ("", "250 8BITMIME"),
            ("MAIL FROM:<a@b>\r\n", "250 ok"),
            ("DATA\r\n", "354 go on"),
            ("Subject: QUIT\r\n\r\nQUIT\r\n..\r\n.\r\n", "250 taken"),
            ("QUIT\r\n", "221 bye"),
        ] {
            mails.write_all(said.as_bytes()).unwrap();
            assert_eq!(answers.next().as_deref(), Some(answer), "{said}");
        }
    }
}
