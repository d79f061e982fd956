//! A client of a running server, over HTTP like any other. Every call has a time limit, and what answers is held to be
//! the service only if it says so: a foreign page is never shown as an answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tailrace_core::limits::CLIENT_CALL;
use tailrace_server::Code;
use tokio::net::TcpStream;

use crate::Failure;
use crate::say::on_one_line;

/// How long a call may take as a rule, from the connection to the last byte of the answer.
const CALL: Duration = CLIENT_CALL;

/// Every answer of the service carries it, and hardly any other server's does.
const MARK_OF_THE_SERVICE: &str = "x-amz-crc32";

/// One connection to a server; made again when it breaks.
pub struct Client {
    authority: String,
    port: u16,
    sender: Option<SendRequest<Full<Bytes>>>,
    limit: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nobody is there, or the connection broke, or the time is up: it may be otherwise soon.
    Unreachable(String),
    /// Somebody else is there.
    Foreign(String),
}

impl From<NoAnswer> for Failure {
    fn from(why: NoAnswer) -> Failure {
        match why {
            NoAnswer::Unreachable(text) => Failure::new(Code::NoServer, text),
            NoAnswer::Foreign(text) => Failure::new(Code::ForeignServer, text),
        }
    }
}

/// An error that the service answered.
#[derive(Debug)]
pub struct ServiceError {
    /// The HTTP status.
    pub status: StatusCode,
    /// Its class.
    pub class: String,
    /// Its text.
    pub message: String,
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.message.is_empty() { f.write_str(&self.class) } else { write!(f, "{}: {}", self.class, self.message) }
    }
}

/// The services by their prefixes in `X-Amz-Target`.
pub const DYNAMODB: &str = "DynamoDB_20120810";
/// As above, for streams.
pub const STREAMS: &str = "DynamoDBStreams_20120810";

impl Client {
    /// A client of `http://host:port`; it connects when it is used.
    pub fn new(endpoint: &str) -> Result<Client, Failure> {
        const HTTP: u16 = 80;
        let authority = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = authority.and_then(|text| text.parse::<hyper::http::uri::Authority>().ok());
        let named = authority.as_ref().and_then(|authority| {
            let host = authority.host();
            let port = match authority.port_u16() {
                Some(port) => port,
                // Neither a port that is no port, nor a user.
                None if host != authority.as_str() => return None,
                None => HTTP,
            };
            (!host.is_empty() && !authority.as_str().contains('@')).then_some((host, port))
        });
        match named {
            Some((host, port)) => Ok(Client { authority: format!("{host}:{port}"), port, sender: None, limit: CALL }),
            None => Err(Failure::new(
                Code::Setting,
                format_args!("the endpoint {endpoint:?} is not of the form http://host:port"),
            )),
        }
    }

    /// With so much time for a call.
    pub fn patient(mut self, limit: Duration) -> Client {
        self.limit = limit;
        self
    }

    /// Calls an operation.
    pub async fn call(
        &mut self,
        service: &str,
        operation: &str,
        body: &Value,
    ) -> Result<Result<Value, ServiceError>, NoAnswer> {
        let request = Request::post("/")
            .header("host", &self.authority)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("{service}.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=tailrace/20260101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=0",
            )
            .body(Full::from(body.to_string()))
            .expect("invariant: an authority and words of our own are header values");
        let (status, bytes) = self.send(request).await?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| self.foreign())?;
        if status == StatusCode::OK {
            return Ok(Ok(answer));
        }
        Ok(Err(service_error(status, &answer)))
    }

    /// Reads a page.
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), NoAnswer> {
        let request = Request::get(path).header("host", &self.authority).body(Full::default());
        self.send(request.expect("invariant: an authority is a header value, and paths are ours")).await
    }

    /// Reads a page of ours: what it says, and its text. Another server that speaks the same API answers any path with a page of its own.
    pub async fn page<T: DeserializeOwned>(&mut self, path: &str) -> Result<(T, String), Failure> {
        let (status, body) = self.get(path).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let page = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK);
        Ok((page.ok_or_else(|| self.refused(status, &text))?, text))
    }

    /// Posts a request to a path of ours: what is answered if it was done.
    pub async fn ask<T: DeserializeOwned>(&mut self, path: &str, request: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_value(request).map_err(|error| Failure::new(Code::Internal, error))?;
        let (status, body) = self.post(path, &body).await?;
        let answer = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK);
        answer.ok_or_else(|| self.refused(status, &String::from_utf8_lossy(&body)))
    }

    /// Posts JSON to a path of ours.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<(StatusCode, Bytes), NoAnswer> {
        let request = Request::post(path).header("host", &self.authority).header("content-type", "application/json");
        let request = request.body(Full::from(body.to_string()));
        self.send(request.expect("invariant: an authority is a header value, and paths are ours")).await
    }

    /// What to tell of a page that is not what was asked for: the server's own reason, if it gives one.
    pub fn refused(&self, status: StatusCode, body: &str) -> Failure {
        let error = service_error(status, &serde_json::from_str(body).unwrap_or_default());
        match error.message.as_str() {
            "" => self.foreign().into(),
            message => Failure::new(Code::Refused, on_one_line(message)),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), NoAnswer> {
        // A call that does not end in an answer leaves no connection behind: the next one makes a new one.
        let sender = self.sender.take().filter(|sender| !sender.is_closed());
        let (answer, sender) =
            tokio::time::timeout(self.limit, self.exchange(sender, request)).await.map_err(|_| {
                let seconds = self.limit.as_secs();
                NoAnswer::Unreachable(format!("http://{} did not answer within {seconds} seconds", self.authority))
            })??;
        let (status, headers, bytes) = answer;
        if !headers.contains_key(MARK_OF_THE_SERVICE) {
            return Err(self.foreign());
        }
        self.sender = Some(sender);
        Ok((status, bytes))
    }

    async fn exchange(
        &self,
        sender: Option<SendRequest<Full<Bytes>>>,
        request: Request<Full<Bytes>>,
    ) -> Result<((StatusCode, HeaderMap, Bytes), SendRequest<Full<Bytes>>), NoAnswer> {
        let broken = |error: hyper::Error| {
            if error.is_parse() {
                return self.foreign();
            }
            NoAnswer::Unreachable(format!("the connection to http://{} broke: {error}", self.authority))
        };
        let mut sender = match sender {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await.map_err(broken)?;
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let limited = http_body_util::Limited::new(body, tailrace_core::limits::CLIENT_ANSWER_BYTES_MAX);
        let bytes = limited.collect().await.map_err(|error| {
            NoAnswer::Unreachable(format!("the answer of http://{} broke off: {error}", self.authority))
        })?;
        Ok(((head.status, head.headers, bytes.to_bytes()), sender))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        let unreachable = |error: &dyn std::fmt::Display| {
            let text = format!("no server answers at http://{}: {error}", self.authority);
            NoAnswer::Unreachable(format!("{text}; --endpoint or TAILRACE_ENDPOINT says where it is"))
        };
        let stream = TcpStream::connect(&self.authority).await.map_err(|e| unreachable(&e))?;
        stream.set_nodelay(true).map_err(|e| unreachable(&e))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
        // It ends with the sender, or with the server.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn foreign(&self) -> NoAnswer {
        let Client { authority, port, .. } = self;
        NoAnswer::Foreign(format!("port {port} does not answer as Tailrace (http://{authority})"))
    }
}

fn service_error(status: StatusCode, answer: &Value) -> ServiceError {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let class = text("__type").rsplit('#').next().unwrap_or_default().to_owned();
    let message = if answer["message"].is_string() { text("message") } else { text("Message") };
    ServiceError { status, class, message }
}
