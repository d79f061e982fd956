//! Web addresses: a POST for each message, signed as Standard Webhooks has it.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use tailrace_core::clock::Clock;

use super::Sent;
use super::config::{Config, ConfigError};
use super::http;
use super::message::{Content, Message};
use super::signature::{SigningKey, signature};
use crate::hidden::{self, Hidden};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Most further headers.
const HEADERS_MAX: usize = 50;

/// A web address.
pub(super) struct Webhook {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    keys: Vec<SigningKey>,
    /// What a receiver knows us by.
    hidden: Hidden,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    pub fn new(config: &Config, url: Url, clock: Arc<dyn Clock>) -> Result<Webhook, ConfigError> {
        let http = http::client(config, url.scheme() == "https")?;
        let of_headers = config.headers.values().flat_map(|value| hidden::of_header(value.expose()));
        let hidden = Hidden::new(hidden::of_address(&url).chain(of_headers));
        Ok(Webhook { http, url, headers: headers(config)?, keys: config.signing_keys()?, hidden, clock })
    }

    pub async fn send(&self, message: &Message) -> Sent {
        let Content::Text { text, .. } = &message.content else {
            return Sent::Rejected("a letter is not for a web address".to_owned());
        };
        let id = &message.due.id;
        // When it is sent, not when the change was: receivers refuse what is old.
        let timestamp_s = self.clock.now().seconds();
        let mut request = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(ID, id)
            .header(TIMESTAMP, timestamp_s);
        if !self.keys.is_empty() {
            request = request.header(SIGNATURE, signature(&self.keys, id, timestamp_s, text.as_bytes()));
        }
        let mut response = match request.body(Bytes::from(text.clone())).send().await {
            Ok(response) => response,
            Err(error) => return Sent::again(http::words(error)),
        };
        let (status, after) = (response.status(), http::retry_after(&response));
        // The status has been told; what cannot be read of the body changes nothing.
        let body = http::start(&mut response).await.unwrap_or_default();
        if status.is_success() {
            return Sent::Done;
        }
        let said = self.hidden.hide(&String::from_utf8_lossy(&body));
        let error = match http::shown(said.as_bytes()) {
            words if words.is_empty() => status.to_string(),
            words => format!("{status}: {words}"),
        };
        if passes_later(status) { Sent::Again { error, after } } else { Sent::Rejected(error) }
    }
}

/// Whether the same request may be taken another time: the receiver is in need, or whoever runs it or us has something to mend.
fn passes_later(status: StatusCode) -> bool {
    !status.is_client_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::MISDIRECTED_REQUEST
                | StatusCode::LOCKED
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The headers of every request.
fn headers(config: &Config) -> Result<HeaderMap, ConfigError> {
    let content_type = config.content_type.as_deref().unwrap_or("application/json");
    let content_type = HeaderValue::from_str(content_type)
        .map_err(|_| ConfigError("content_type is no value of a header".to_owned()))?;
    if config.headers.len() > HEADERS_MAX {
        return Err(ConfigError(format!("headers are {HEADERS_MAX} at most")));
    }
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    for (name, value) in &config.headers {
        let read = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| ConfigError(format!("headers: {name:?} is no name of a header")))?;
        let is_ours = [ID, TIMESTAMP, SIGNATURE, CONTENT_TYPE].contains(&read);
        if is_ours || matches!(read.as_str(), "content-length" | "host" | "transfer-encoding" | "connection") {
            return Err(ConfigError(format!("headers: {name} is set by the sink")));
        }
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| ConfigError(format!("headers.{name} is to be printable ASCII without line ends")))?;
        value.set_sensitive(true);
        headers.insert(read, value);
    }
    Ok(headers)
}
