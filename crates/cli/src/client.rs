//! A client of a running server, over HTTP like any other.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::Failure;

/// One connection to a server; made again when it breaks.
pub struct Client {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An error that the service answered.
#[derive(Debug)]
pub struct ServiceError {
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
        let authority = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match authority {
            Some(authority) if !authority.is_empty() && !authority.contains('/') => {
                let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
                let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
                Ok(Client { authority, sender: None })
            }
            _ => Err(Failure(format!("the endpoint {endpoint:?} is not of the form http://host:port"))),
        }
    }

    /// Calls an operation.
    pub async fn call(
        &mut self,
        service: &str,
        operation: &str,
        body: &Value,
    ) -> Result<Result<Value, ServiceError>, Failure> {
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
            .map_err(Failure::from)?;
        let (status, bytes) = self.send(request).await?;
        let answer: Value = serde_json::from_slice(&bytes)
            .map_err(|_| Failure(format!("{}: HTTP {status}, and no JSON: is this Tailrace?", self.authority)))?;
        if status == StatusCode::OK {
            return Ok(Ok(answer));
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let class = text("__type").rsplit('#').next().unwrap_or_default().to_owned();
        let message = if answer["message"].is_string() { text("message") } else { text("Message") };
        Ok(Err(ServiceError { class, message }))
    }

    /// Reads a page.
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::get(path).header("host", &self.authority).body(Full::default());
        self.send(request.map_err(Failure::from)?).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut sender = sender;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok((status, bytes))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .map_err(|e| Failure(format!("no server answers at http://{}: {e}", self.authority)))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender, or with the server.
        tokio::spawn(connection);
        Ok(sender)
    }
}
