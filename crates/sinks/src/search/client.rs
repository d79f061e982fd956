//! Requests to a cluster. Every one has a timeout, and nothing of an answer is kept beyond a bound.
//!
//! Invariant: no error that comes from here names a secret: they are in a header alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{AnswerReader, Op, Outcome, TargetError};
use super::config::{Auth, Config, ConfigError};
use crate::http;
use crate::sink::SinkError;

/// Most of an answer that is kept, bytes, if it is none to a bulk. Our reason: the aliases of an index are few; and of an error
/// the first words count.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A cluster.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// Its address, without a `/` at its end.
    cluster: String,
}

/// An answer that is none to a bulk.
pub(super) struct Answer {
    pub status: StatusCode,
    body: Vec<u8>,
}

/// The body of a bulk.
#[derive(Clone, Debug)]
pub(super) struct BulkBody {
    pub bytes: Bytes,
    pub is_gzip: bool,
}

/// What a cluster says to a bulk.
pub(super) enum Answered {
    /// What became of each document.
    Outcomes(Vec<Outcome>),
    /// The bulk is too large.
    TooLarge,
    /// Not now: why.
    Again(String),
}

impl Client {
    /// A client of the cluster at `cluster`.
    pub fn new(config: &Config, cluster: &str) -> Result<Client, ConfigError> {
        let builder = http::builder(config.ca.as_deref(), !cluster.starts_with("http://"));
        let built = builder
            .map_err(|error| ConfigError(format!("ca: {error}")))?
            .default_headers(headers(config.auth.as_ref())?)
            .timeout(config.timeout())
            .connect_timeout(std::time::Duration::from_secs(config.connect_timeout_seconds))
            .no_proxy()
            .tcp_nodelay(true)
            .build();
        let http = built.map_err(|error| told("the client", error))?;
        http.get(format!("{cluster}/")).build().map_err(|error| told("the address", error))?;
        Ok(Client { http, cluster: cluster.to_owned() })
    }

    /// Sends a request that is no bulk.
    ///
    /// # Errors
    /// There is no whole answer, or it says that the cluster knows nobody of these credentials, or has a failure.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, SinkError> {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}/{path}", self.cluster));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(|error| self.failed(&what, error))?;
        let status = response.status();
        let body = http::start(&mut response, ANSWER_BYTES_MAX).await.map_err(|error| self.failed(&what, error))?;
        let answer = Answer { status, body };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Err(answer.error(&what))
            }
            status if status.is_server_error() || status.is_redirection() => Err(answer.error(&what)),
            _ => Ok(answer),
        }
    }

    /// Sends a bulk that does `ops`.
    ///
    /// # Errors
    /// There is no whole answer, or it is none to a bulk: what became of the documents is not known.
    pub async fn bulk(&self, path: &str, body: BulkBody, ops: Vec<Op>) -> Result<Answered, SinkError> {
        const WHAT: &str = "a bulk";
        let mut request =
            self.http.post(format!("{}/{path}", self.cluster)).header(CONTENT_TYPE, "application/x-ndjson");
        if body.is_gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let sent = request.body(body.bytes).send().await;
        let mut response = sent.map_err(|error| self.failed(WHAT, error))?;
        let status = response.status();
        if status == StatusCode::OK {
            let mut reader = AnswerReader::new(ops);
            while let Some(piece) = response.chunk().await.map_err(|error| self.failed(WHAT, error))? {
                reader.feed(&piece).map_err(|error| SinkError(error.to_string()))?;
            }
            let outcomes = reader.finish().map_err(|error| SinkError(error.to_string()))?;
            return Ok(Answered::Outcomes(outcomes));
        }
        // Of an answer that says no, the words are for people alone: what cannot be read is not missed.
        let body = http::start(&mut response, ANSWER_BYTES_MAX).await.unwrap_or_default();
        let error = Answer { status, body }.error(WHAT);
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Answered::TooLarge),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Ok(Answered::Again(error.0)),
            _ => Err(error),
        }
    }

    fn failed(&self, what: &str, error: reqwest::Error) -> SinkError {
        SinkError(format!("{what} to {}: {}", self.cluster, http::words(&error.without_url())))
    }
}

impl Answer {
    /// The answer as `T`.
    ///
    /// # Errors
    /// It is none.
    pub fn read<'a, T: Deserialize<'a>>(&'a self, what: &str) -> Result<T, SinkError> {
        serde_json::from_slice(&self.body).map_err(|error| SinkError(format!("{what}: the answer is damaged: {error}")))
    }

    /// The type of the error that it tells.
    pub fn error_kind(&self) -> Option<String> {
        serde_json::from_slice(&self.body).ok().and_then(|told: ToldError| told.error.kind)
    }

    /// It is an error: in the cluster's words.
    pub fn error(&self, what: &str) -> SinkError {
        let status = self.status.as_u16();
        let words = match serde_json::from_slice::<ToldError>(&self.body) {
            Ok(told) => told.error.text(status),
            // Something between us and the cluster, or a refusal in plain text.
            Err(_) => TargetError::plain(&String::from_utf8_lossy(&self.body)).text(status),
        };
        SinkError(format!("{what}: {words}"))
    }
}

#[derive(Deserialize)]
struct ToldError {
    error: TargetError,
}

fn headers(auth: Option<&Auth>) -> Result<HeaderMap, ConfigError> {
    let value = match auth {
        None => return Ok(HeaderMap::new()),
        Some(Auth::Basic { user, password }) => {
            format!("Basic {}", BASE64.encode(format!("{user}:{}", password.expose())))
        }
        Some(Auth::ApiKey(key)) => format!("ApiKey {}", key.expose()),
        Some(Auth::Bearer(token)) => format!("Bearer {}", token.expose()),
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| ConfigError("auth: a key or a token is printable ASCII without line ends".to_owned()))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn told(what: &str, error: reqwest::Error) -> ConfigError {
    ConfigError(format!("{what}: {}", http::words(&error.without_url())))
}
