//! Requests to web addresses and to AWS's services. Every one has a time limit, and of an answer only its beginning is kept.
//!
//! Invariant: no error that comes from here has the address in it, in which there may be a secret.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use super::config::{Config, ConfigError};
use crate::http;

/// Bytes of an answer that are kept. Our reason: an answer to a batch has some hundred for each of ten messages.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of an answer that an error shows.
const SHOWN_CHARS_MAX: usize = 300;
/// Longest pause that a receiver is granted.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// A client.
pub(super) fn client(config: &Config, is_tls: bool) -> Result<reqwest::Client, ConfigError> {
    let builder = http::builder(config.ca.as_deref(), is_tls).map_err(|error| ConfigError(format!("ca: {error}")))?;
    builder
        .user_agent(concat!("tailrace/", env!("CARGO_PKG_VERSION")))
        .timeout(config.timeout())
        .connect_timeout(config.connect_timeout())
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .map_err(|error| ConfigError(format!("the client: {}", words(error))))
}

/// The beginning of an answer's body.
pub(super) async fn start(response: &mut Response) -> Result<Vec<u8>, String> {
    http::start(response, ANSWER_BYTES_MAX).await.map_err(words)
}

/// What a body says, in a line.
pub(super) fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|char| !char.is_control()).take(SHOWN_CHARS_MAX).collect()
}

/// `Retry-After` in seconds; as a date it is not read.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(PAUSE_MAX))
}

/// An error with what caused it.
pub(super) fn words(error: reqwest::Error) -> String {
    http::words(&error.without_url())
}
