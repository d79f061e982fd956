//! Requests to AWS's services, and to what speaks like them: credentials and signatures are those of the object store's client.

pub(crate) mod address;
pub(crate) mod handed_out;
pub(crate) mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use self::handed_out::HandedOut;
use crate::http;
use crate::objects::OneClient;
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
pub(crate) struct Service {
    http: reqwest::Client,
    /// As signatures name it: `sqs`, `sns`, `kinesis`.
    name: &'static str,
    region: String,
    endpoint: Url,
    credentials: Arc<HandedOut>,
    /// Of who is asked for them.
    timeout: Duration,
    /// Bytes of an answer that are kept.
    answer_bytes_max: usize,
}

/// An answer, without the secrets of who asked.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

// The provider would show its secrets.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).field("region", &self.region).finish_non_exhaustive()
    }
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
        let mut builder = match key {
            Some((id, secret)) => {
                AmazonS3Builder::new().with_access_key_id(id.expose()).with_secret_access_key(secret.expose())
            }
            None => AmazonS3Builder::from_env(),
        };
        if let Some(token) = session_token {
            builder = builder.with_token(token.expose());
        }
        // No bucket is ever asked for: what is wanted is who the machine is.
        let connector = OneClient(HttpClient::new(http.clone()));
        let made = builder.with_bucket_name("none").with_region(region).with_http_connector(connector).build();
        let made = made.map_err(|error| AccessError(format!("the credentials: {error}")))?;
        let credentials = HandedOut::new(made.credentials().clone());
        Ok(Service { http, name, region: region.to_owned(), endpoint, credentials, timeout, answer_bytes_max })
    }

    /// Posts a body.
    ///
    /// # Errors
    /// There is no whole answer: nobody knows what was done.
    pub async fn post(&self, headers: &[(HeaderName, &str)], body: Bytes) -> Result<Answer, Unanswered> {
        let credentials = tokio::time::timeout(self.timeout, self.credentials.get_credential()).await;
        let credentials = credentials.map_err(|_| Unanswered("nobody answers who asks for credentials".to_owned()))?;
        let credentials = credentials.map_err(|error| Unanswered(format!("there are no credentials: {error}")))?;
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.method_mut() = Method::POST;
        let uri = self.endpoint.as_str().parse().map_err(|error| Unanswered(format!("the endpoint: {error}")))?;
        *request.uri_mut() = uri;
        for (name, value) in headers {
            let value =
                HeaderValue::from_str(value).map_err(|_| Unanswered(format!("{name} is no value of a header")))?;
            request.headers_mut().insert(name, value);
        }
        let authorizer = AwsAuthorizer::new(&credentials, self.name, &self.region);
        let signed = authorizer.try_authorize(&mut request, None);
        signed.map_err(|error| Unanswered(format!("no signature: {error}")))?;
        let sent = self.http.post(self.endpoint.clone()).headers(request.headers().clone()).body(body).send().await;
        let broken = |error| Unanswered(http::words_without_url(error));
        let mut response = sent.map_err(broken)?;
        let status = response.status();
        let body = http::start(&mut response, self.answer_bytes_max).await.map_err(broken)?;
        Ok(Answer { status, body: self.credentials.hide_in(body) })
    }
}

/// The header of a body's type.
pub(crate) fn content_type(value: &'static str) -> (HeaderName, &'static str) {
    (CONTENT_TYPE, value)
}
