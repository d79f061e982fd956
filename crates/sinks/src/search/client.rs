//! Requests to a cluster. Every one has a timeout, and nothing of an answer is kept beyond a bound.
//!
//! Invariant: no error that comes from here names a secret: they are in a header alone, or in nothing that is sent.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{AnswerReader, Op, Outcome, Refusal, TargetError};
use super::config::{Auth, ConfigError};
use crate::aws::signer::{Keys, Signer};
use crate::hidden::{self, Hidden};
use crate::http;
use crate::sink::SinkError;

/// Most of an answer that is kept, bytes, if it is none to a bulk. Our reason: the aliases of an index are few; and of an error
/// the first words count.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What a bulk is called in errors.
pub(super) const BULK: &str = "a bulk";

/// A cluster.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// Its address, without a `/` at its end.
    cluster: String,
    /// What it knows us by.
    hidden: Hidden,
    /// Who signs for us.
    signer: Option<Arc<Signer>>,
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
    /// Nothing was done.
    Refused(Refusal),
}

/// How a cluster is spoken to.
pub(super) struct Access<'a> {
    /// Who asks.
    pub auth: Option<&'a Auth>,
    /// The certificates of the authorities that are trusted instead of the system's, PEM.
    pub ca: Option<&'a str>,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

impl Answered {
    /// What became of each of the `documents` of a bulk of so many `bytes`; `None`: they are to be sent in halves of it.
    ///
    /// # Errors
    /// The cluster refuses the whole bulk, and not for what it is at this moment or for its size.
    pub fn settled(self, documents: usize, bytes: usize) -> Result<Option<Vec<Outcome>>, Refusal> {
        match self {
            Answered::Outcomes(outcomes) => Ok(Some(outcomes)),
            Answered::Refused(Refusal { status: 413, .. }) if documents > 1 => Ok(None),
            Answered::Refused(Refusal { status: 413, .. }) => {
                let words = format!("the target takes no bulk of {bytes} bytes");
                Ok(Some(vec![Outcome::Rejected(Refusal { status: 413, words })]))
            }
            Answered::Refused(refusal) if matches!(refusal.status, 429 | 502 | 503 | 504) => {
                Ok(Some(vec![Outcome::Again(refusal); documents]))
            }
            Answered::Refused(refusal) => Err(refusal),
        }
    }
}

impl Client {
    /// A client of the cluster at `cluster`.
    pub fn new(access: &Access<'_>, cluster: &str) -> Result<Client, ConfigError> {
        let authorization = access.auth.and_then(authorization);
        let builder = http::builder(access.ca, !cluster.starts_with("http://"));
        let built = builder
            .map_err(|error| ConfigError(format!("ca: {error}")))?
            .default_headers(headers(authorization.as_deref())?)
            .timeout(access.timeout)
            .connect_timeout(access.connect_timeout)
            .no_proxy()
            .tcp_nodelay(true)
            .build();
        let http = built.map_err(|error| told("the client", error))?;
        http.get(format!("{cluster}/")).build().map_err(|error| told("the address", error))?;
        let hidden = Hidden::new(authorization.iter().flat_map(|value| hidden::of_header(value)));
        let signer = match access.auth {
            Some(Auth::Aws(aws)) => {
                let (service, region) = aws.signs_for(cluster)?;
                let key = aws.access_key_id.as_ref().zip(aws.secret_access_key.as_ref());
                let keys = Keys { key, session_token: aws.session_token.as_ref() };
                let signer = Signer::new(http.clone(), (service, &region), keys, access.timeout);
                Some(Arc::new(signer.map_err(|error| ConfigError(format!("auth.aws: {error}")))?))
            }
            _ => None,
        };
        Ok(Client { http, cluster: cluster.to_owned(), hidden, signer })
    }

    /// Sends a request that is no bulk.
    ///
    /// # Errors
    /// There is no whole answer, or it says that the cluster knows nobody of these credentials, or has a failure.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, SinkError> {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}/{path}", self.cluster));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut response = self.send(&what, request, body).await?;
        let status = response.status();
        let body = http::start(&mut response, ANSWER_BYTES_MAX).await.map_err(|error| self.failed(&what, error))?;
        let answer = self.answer(status, body);
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
        let mut request =
            self.http.post(format!("{}/{path}", self.cluster)).header(CONTENT_TYPE, "application/x-ndjson");
        if body.is_gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let mut response = self.send(BULK, request, body.bytes).await?;
        let status = response.status();
        if status == StatusCode::OK {
            let mut reader = AnswerReader::new(ops);
            while let Some(piece) = response.chunk().await.map_err(|error| self.failed(BULK, error))? {
                reader.feed(&piece).map_err(|error| SinkError(error.to_string()))?;
            }
            let outcomes = reader.finish().map_err(|error| SinkError(error.to_string()))?;
            return Ok(Answered::Outcomes(outcomes));
        }
        // Of an answer that says no, the words are for people alone: what cannot be read is not missed.
        let body = http::start(&mut response, ANSWER_BYTES_MAX).await.unwrap_or_default();
        Ok(Answered::Refused(self.answer(status, body).refusal()))
    }

    /// Sends a request, signed where it has to be.
    async fn send(&self, what: &str, request: RequestBuilder, body: Bytes) -> Result<Response, SinkError> {
        let mut request = request.build().map_err(|error| self.failed(what, error))?;
        if let Some(signer) = &self.signer {
            let (method, url) = (request.method().clone(), request.url().clone());
            let signed = signer.sign(method, &url, request.headers_mut(), body.clone()).await;
            signed.map_err(|error| SinkError(format!("{what} to {}: {error}", self.cluster)))?;
        }
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        self.http.execute(request).await.map_err(|error| self.failed(what, error))
    }

    /// An answer; the words of one that says no are shown, without what they repeat of our credentials.
    fn answer(&self, status: StatusCode, body: Vec<u8>) -> Answer {
        match status.is_success() {
            true => Answer { status, body },
            false => {
                let said = self.hidden.hide(&String::from_utf8_lossy(&body));
                let said = self.signer.as_ref().map_or(said.clone(), |signer| signer.hide(&said));
                Answer { status, body: said.into_bytes() }
            }
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
        SinkError(format!("{what}: {}", self.refusal()))
    }

    fn refusal(&self) -> Refusal {
        let status = self.status.as_u16();
        match serde_json::from_slice::<ToldError>(&self.body) {
            Ok(told) => told.error.refusal(status),
            // Something between us and the cluster, or a refusal in plain text.
            Err(_) => TargetError::plain(&String::from_utf8_lossy(&self.body)).refusal(status),
        }
    }
}

#[derive(Deserialize)]
struct ToldError {
    error: TargetError,
}

/// The header that shows who asks.
fn authorization(auth: &Auth) -> Option<String> {
    match auth {
        Auth::Basic { user, password } => {
            Some(format!("Basic {}", BASE64.encode(format!("{user}:{}", password.expose()))))
        }
        Auth::ApiKey(key) => Some(format!("ApiKey {}", key.expose())),
        Auth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
        // Each request has one of its own.
        Auth::Aws(_) => None,
    }
}

fn headers(authorization: Option<&str>) -> Result<HeaderMap, ConfigError> {
    let Some(value) = authorization else { return Ok(HeaderMap::new()) };
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| ConfigError("auth: a key or a token is printable ASCII without line ends".to_owned()))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn told(what: &str, error: reqwest::Error) -> ConfigError {
    ConfigError(format!("{what}: {}", http::words(&error.without_url())))
}
