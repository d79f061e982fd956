//! Signatures of AWS (SigV4), and who they are of.
//!
//! Invariant: nothing of a signer is shown but for whom it signs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use sha2::{Digest, Sha256};

use super::handed_out::HandedOut;
use super::{AccessError, Unanswered};
use crate::computed::computed;
use crate::objects::OneClient;
use crate::secret::Secret;

/// Signs requests to a service in a region.
pub(crate) struct Signer {
    /// As signatures name it: `sqs`, `sns`, `kinesis`, `es`, `aoss`.
    name: &'static str,
    region: String,
    credentials: Arc<HandedOut>,
    /// Of who is asked for them.
    timeout: Duration,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// The access key and its secret; without them, those of the environment or of the machine.
    pub key: Option<(&'a Secret, &'a Secret)>,
    /// The token of temporary ones.
    pub session_token: Option<&'a Secret>,
}

// The provider would show its secrets.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer for a service in a region. `http` asks who the machine is, if nothing else says it.
    ///
    /// # Errors
    /// What is said of the credentials cannot be.
    pub fn new(
        http: reqwest::Client,
        (name, region): (&'static str, &str),
        Keys { key, session_token }: Keys<'_>,
        timeout: Duration,
    ) -> Result<Signer, AccessError> {
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
        let connector = OneClient(HttpClient::new(http));
        let made = builder.with_bucket_name("none").with_region(region).with_http_connector(connector).build();
        let made = made.map_err(|error| AccessError(format!("the credentials: {error}")))?;
        let (region, credentials) = (region.to_owned(), HandedOut::new(made.credentials().clone()));
        Ok(Signer { name, region, credentials, timeout })
    }

    /// Adds to the headers of a request those that sign it; all of them are signed.
    ///
    /// # Errors
    /// Nobody says who asks.
    pub async fn sign(
        &self,
        method: Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: Bytes,
    ) -> Result<(), Unanswered> {
        let credentials = tokio::time::timeout(self.timeout, self.credentials.get_credential()).await;
        let credentials = credentials.map_err(|_| Unanswered("nobody answers who asks for credentials".to_owned()))?;
        let credentials = credentials.map_err(|error| Unanswered(format!("there are no credentials: {error}")))?;
        let digest = computed(body.len(), move || Sha256::digest(&body)).await;
        let digest = digest.map_err(|error| Unanswered(format!("no signature: {error}")))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|error| Unanswered(format!("the endpoint: {error}")))?;
        *request.headers_mut() = std::mem::take(headers);
        let authorizer = AwsAuthorizer::new(&credentials, self.name, &self.region);
        let signed = authorizer.try_authorize(&mut request, Some(&digest));
        *headers = std::mem::take(request.headers_mut());
        signed.map_err(|error| Unanswered(format!("no signature: {error}")))
    }

    /// A text without the secrets of the last signature: who answers may repeat them.
    pub fn hide(&self, said: &str) -> String {
        self.credentials.hide(said)
    }

    /// The same of an answer.
    pub fn hide_in(&self, said: Vec<u8>) -> Vec<u8> {
        self.credentials.hide_in(said)
    }
}
