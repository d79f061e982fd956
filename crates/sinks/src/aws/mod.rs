//! Requests to AWS's services, and to what speaks like them: credentials and signatures are those of the object store's client.

pub(crate) mod address;
pub(crate) mod handed_out;
pub(crate) mod settings;
pub(crate) mod signer;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use self::signer::{Keys, Signer};
use crate::http;
use crate::secret::Secret;

/// How services are reached, and who asks.
pub(crate) struct Access<'a> {
    /// The authorities that are trusted instead of the system's, PEM.
    pub ca: Option<&'a str>,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// The access key and its secret; without them, those of the environment or of the machine.
    pub key: Option<(&'a Secret, &'a Secret)>,
    /// The token of temporary ones.
    pub session_token: Option<&'a Secret>,
}

/// The settings of an access cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AccessError(String);

/// There is no whole answer to a request: nobody knows what was done. The text is for people and holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unanswered(String);

/// A service in a region.
#[derive(Debug)]
pub(crate) struct Service {
    http: reqwest::Client,
    signer: Signer,
    endpoint: Url,
    /// Bytes of an answer that are kept.
    answer_bytes_max: usize,
}

/// An answer, without the secrets of who asked.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

impl Service {
    pub fn new(
        access: &Access<'_>,
        (name, region): (&'static str, &str),
        endpoint: Url,
        answer_bytes_max: usize,
    ) -> Result<Service, AccessError> {
        let Access { ca, timeout, connect_timeout, key, session_token } = *access;
        let is_tls = endpoint.scheme() == "https";
        let http = http::client(ca, is_tls, (timeout, connect_timeout)).map_err(AccessError)?;
        let signer = Signer::new(http.clone(), (name, region), Keys { key, session_token }, timeout)?;
        Ok(Service { http, signer, endpoint, answer_bytes_max })
    }

    /// Posts a body.
    ///
    /// # Errors
    /// There is no whole answer: nobody knows what was done.
    pub async fn post(&self, headers: &[(HeaderName, &str)], body: Bytes) -> Result<Answer, Unanswered> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let value =
                HeaderValue::from_str(value).map_err(|_| Unanswered(format!("{name} is no value of a header")))?;
            all.insert(name, value);
        }
        self.signer.sign(Method::POST, &self.endpoint, &mut all, body.clone()).await?;
        let sent = self.http.post(self.endpoint.clone()).headers(all).body(body).send().await;
        let broken = |error| Unanswered(http::words_without_url(error));
        let mut response = sent.map_err(broken)?;
        let status = response.status();
        let body = http::start(&mut response, self.answer_bytes_max).await.map_err(broken)?;
        Ok(Answer { status, body: self.signer.hide_in(body) })
    }
}

/// The header of a body's type.
pub(crate) fn content_type(value: &'static str) -> (HeaderName, &'static str) {
    (CONTENT_TYPE, value)
}
