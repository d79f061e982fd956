//! Requests to AWS's services, and to what speaks like them: credentials and signatures are those of the object store's client.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::config::{Config, ConfigError};
use super::http;
use crate::objects::OneClient;

/// A service in a region.
pub(super) struct Service {
    http: reqwest::Client,
    /// `sqs` or `sns`.
    name: &'static str,
    region: String,
    endpoint: Url,
    credentials: AwsCredentialProvider,
    /// Of who is asked for them.
    timeout: Duration,
}

/// An answer.
pub(super) struct Answer {
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
    pub fn new(config: &Config, name: &'static str, region: &str, endpoint: Url) -> Result<Service, ConfigError> {
        let http = http::client(config, endpoint.scheme() == "https")?;
        let mut builder = match (&config.access_key_id, &config.secret_access_key) {
            (Some(id), Some(secret)) => {
                AmazonS3Builder::new().with_access_key_id(id.expose()).with_secret_access_key(secret.expose())
            }
            _ => AmazonS3Builder::from_env(),
        };
        if let Some(token) = &config.session_token {
            builder = builder.with_token(token.expose());
        }
        // No bucket is ever asked for: what is wanted is who the machine is.
        let connector = OneClient(HttpClient::new(http.clone()));
        let made = builder.with_bucket_name("none").with_region(region).with_http_connector(connector).build();
        let made = made.map_err(|error| ConfigError(format!("the credentials: {error}")))?;
        let credentials = made.credentials().clone();
        let timeout = Duration::from_secs(config.timeout_seconds);
        Ok(Service { http, name, region: region.to_owned(), endpoint, credentials, timeout })
    }

    /// Posts a body.
    ///
    /// # Errors
    /// There is no whole answer: nobody knows what was done.
    pub async fn post(&self, headers: &[(HeaderName, &str)], body: Bytes) -> Result<Answer, String> {
        let credentials = tokio::time::timeout(self.timeout, self.credentials.get_credential()).await;
        let credentials = credentials.map_err(|_| "nobody answers who asks for credentials".to_owned())?;
        let credentials = credentials.map_err(|error| format!("there are no credentials: {error}"))?;
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.as_str().parse().map_err(|error| format!("the endpoint: {error}"))?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| format!("{name} is no value of a header"))?;
            request.headers_mut().insert(name, value);
        }
        let authorizer = AwsAuthorizer::new(&credentials, self.name, &self.region);
        authorizer.try_authorize(&mut request, None).map_err(|error| format!("no signature: {error}"))?;
        let sent = self.http.post(self.endpoint.clone()).headers(request.headers().clone()).body(body).send().await;
        let mut response = sent.map_err(http::words)?;
        let status = response.status();
        let body = http::start(&mut response).await?;
        Ok(Answer { status, body })
    }
}

/// The header of a body's type.
pub(super) fn content_type(value: &'static str) -> (HeaderName, &'static str) {
    (CONTENT_TYPE, value)
}
