//! A server with a made-up API, and a client that writes and reads raw bytes. Every reply's request id and checksum are
//! checked as it is read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tailrace_core::rng::SeededRng;
use tailrace_core::{ApiError, ErrorCode};
use tailrace_wire::{
    AdminRequest, Api, Context, NotReady, Operation, Page, RestAnswer, RestRequest, ServeReport, Service, Settings,
    serve,
};
use tokio::sync::oneshot;

pub const AMZ_JSON: &str = "content-type: application/x-amz-json-1.0";
pub const TARGET: &str = "x-amz-target: DynamoDB_20120810.Echo";
pub const AUTH: &str = "authorization: AWS4-HMAC-SHA256 Credential=k/20260101/r/dynamodb/aws4_request, \
                        SignedHeaders=host, Signature=0\r\nx-amz-date: 20260101T000000Z";

/// A request to `POST /` with these header lines and a length.
pub fn post_with(headers: &[&str], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST / HTTP/1.1\r\nhost: localhost:8000\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// A complete call of Echo.
pub fn post(body: &str) -> Vec<u8> {
    post_with(&[AMZ_JSON, TARGET, AUTH], body)
}

#[derive(Default)]
struct State {
    calls: AtomicUsize,
    finished: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    not_ready: Mutex<Option<String>>,
    unblocked: (Mutex<bool>, Condvar),
}

#[derive(Clone, Default)]
struct Echo(Arc<State>);

impl Api for Echo {
    fn find(&self, operation: Operation<'_>) -> Result<(), ApiError> {
        let found = match operation.service {
            Service::DynamoDb => {
                ["Echo", "Who", "Slow", "Hang", "Block", "Panic", "Invalid", "Broken"].contains(&operation.name)
            }
            Service::Streams => operation.name == "ListStreams",
            Service::Firehose => operation.name == "Invalid",
        };
        if found { Ok(()) } else { Err(operation.service.api().unknown_operation(operation.name)) }
    }

    async fn call(&self, service: Service, operation: &str, body: Bytes, context: &Context) -> Result<Bytes, ApiError> {
        assert!(context.host().is_some_and(|host| host.starts_with("localhost")));
        self.0.calls.fetch_add(1, SeqCst);
        let now = self.0.now.fetch_add(1, SeqCst) + 1;
        self.0.most.fetch_max(now, SeqCst);
        let answer = match (service, operation) {
            (Service::Streams, _) => Ok(Bytes::from_static(br#"{"streams":true}"#)),
            (_, "Who") => Ok(format!("{} {}", context.access_key().unwrap_or("nobody"), context.request_id()).into()),
            (_, "Slow") => {
                tokio::time::sleep(Duration::from_millis(600)).await;
                Ok(body)
            }
            (_, "Block") => {
                let (unblocked, changed) = &self.0.unblocked;
                let wait = changed.wait_timeout_while(unblocked.lock().unwrap(), Duration::from_secs(20), |on| !*on);
                assert!(!wait.unwrap().1.timed_out());
                Ok(body)
            }
            (_, "Hang") => std::future::pending().await,
            (_, "Invalid") => Err(ApiError::validation("bad")),
            (_, "Panic") => panic!("on purpose"),
            (_, "Broken") => Err(ApiError::new(ErrorCode::InternalServerError, "broken")),
            _ => Ok(body),
        };
        self.0.now.fetch_sub(1, SeqCst);
        self.0.finished.fetch_add(1, SeqCst);
        answer
    }

    fn ready(&self) -> Result<(), NotReady> {
        self.0.not_ready.lock().unwrap().clone().map_or(Ok(()), |why| Err(NotReady::WritesRefused(why)))
    }

    async fn admin(&self, request: AdminRequest<'_>) -> Option<Page> {
        match request {
            AdminRequest::Get { path: "/_admin/page", query } => {
                let json = format!(r#"{{"query":"{}"}}"#, query.unwrap_or_default());
                Some(Page { status: 200, json: json.into() })
            }
            AdminRequest::Post { path: "/_admin/change", body } => {
                self.0.calls.fetch_add(1, SeqCst);
                Some(Page { status: 409, json: Bytes::copy_from_slice(body) })
            }
            AdminRequest::Delete { path: "/_aws/thing" } => {
                self.0.calls.fetch_add(1, SeqCst);
                Some(Page { status: 200, json: Bytes::from_static(br#"{"gone":1}"#) })
            }
            AdminRequest::Post { path: "/_admin/panic", .. } => panic!("on purpose"),
            _ => None,
        }
    }

    async fn rest(&self, request: RestRequest) -> RestAnswer {
        assert!(!request.path.ends_with("/panic"), "on purpose");
        let RestRequest { method, path, query, .. } = &request;
        let type_ = request.header("x-amz-invocation-type").unwrap_or_default();
        let told = format!("{method} {path} {} {type_} ", query.as_deref().unwrap_or_default());
        let headers = vec![("x-amzn-requestid", "0".repeat(52)), ("x-amz-log-result", "bG9n".to_owned())];
        RestAnswer { status: 202, headers, body: [told.as_bytes(), &request.body].concat().into() }
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<ServeReport>>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Server {
        let mut settings = Settings::default();
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let api = Echo::default();
        let state = Arc::clone(&api.0);
        let (stop, stopped) = oneshot::channel::<()>();
        let done = runtime.spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, api, settings, &SeededRng::new(1), stopped).await.unwrap()
        });
        Server { address, state, runtime, stop: Some(stop), done: Some(done) }
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    pub fn set_ready(&self, ready: Result<(), String>) {
        *self.state.not_ready.lock().unwrap() = ready.err();
    }

    /// Lets the calls of Block go on.
    pub fn unblock(&self) {
        *self.state.unblocked.0.lock().unwrap() = true;
        self.state.unblocked.1.notify_all();
    }

    pub fn calls(&self) -> usize {
        self.state.calls.load(SeqCst)
    }

    pub fn finished(&self) -> usize {
        self.state.finished.load(SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.state.most.load(SeqCst)
    }

    pub fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits until `done` holds; a test that waits in vain fails.
    pub fn until(&self, done: impl Fn() -> bool) {
        for _ in 0..12_000 {
            if done() {
                return;
            }
            self.pause(Duration::from_millis(5));
        }
        panic!("did not happen within 60 seconds");
    }

    pub fn stop(mut self) -> ServeReport {
        drop(self.stop.take());
        self.runtime.block_on(self.done.take().unwrap()).unwrap()
    }
}

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The server closed the connection behind it.
    pub closed: bool,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        // A server that refuses early may close while we still write; its answer is what counts.
        let _ = self.stream.write_all(bytes);
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn roundtrip(&mut self, bytes: &[u8]) -> Reply {
        self.send(bytes);
        self.receive()
    }

    pub fn try_roundtrip(&mut self, bytes: &[u8]) -> Option<Reply> {
        self.send(bytes);
        self.try_receive()
    }

    pub fn receive(&mut self) -> Reply {
        self.try_receive().expect("the server hung up without an answer")
    }

    /// The answer to HEAD.
    pub fn receive_head(&mut self) -> Reply {
        self.try_receive_head().expect("the server hung up without an answer")
    }

    /// What comes until the server closes.
    pub fn until_closed(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&bytes[..n]);
                true
            }
            Err(e) => panic!("{e}"),
        }
    }

    fn try_receive_head(&mut self) -> Option<Reply> {
        let end = loop {
            match self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if !self.fill() => return None,
                None => {}
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let closed = headers.iter().any(|(n, v)| n == "connection" && v == "close");
        Some(Reply { status, headers, body: Vec::new(), closed })
    }

    fn try_receive(&mut self) -> Option<Reply> {
        let mut reply = self.try_receive_head()?;
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.fill(), "the body ends early");
        }
        reply.body = self.buffer.drain(..length).collect();
        // The HTTP library's own answers, and the interim one, carry nothing.
        if !([100, 431].contains(&reply.status) || reply.status == 400 && reply.body.is_empty()) {
            let id = reply.header("x-amzn-requestid").expect("every answer has a request id");
            // Of the REST APIs they are UUIDs.
            let is_uuid = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            let is_name = id.len() == 52 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
            assert!(is_uuid || is_name, "{id}");
            assert_eq!(reply.header("x-amz-crc32"), Some(crc32fast::hash(&reply.body).to_string().as_str()));
        }
        Some(reply)
    }
}
