//! Requests to web addresses and to AWS's services. Every one has a time limit, and of an answer only its beginning is kept.
//!
//! Invariant: no error that comes from here has the address in it, in which there may be a secret.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use super::config::{Config, ConfigError};
use crate::http;
pub(super) use crate::http::{shown, words_without_url as words};

/// Bytes of an answer that are kept. Our reason: an answer to a batch has some hundred for each of ten messages.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest pause that a receiver is granted.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// A client.
pub(super) fn client(config: &Config, is_tls: bool) -> Result<reqwest::Client, ConfigError> {
    http::client(config.ca.as_deref(), is_tls, (config.timeout(), config.connect_timeout())).map_err(ConfigError)
}

/// The beginning of an answer's body.
pub(super) async fn start(response: &mut Response) -> Result<Vec<u8>, String> {
    http::start(response, ANSWER_BYTES_MAX).await.map_err(words)
}

/// `Retry-After` in seconds; as a date it is not read.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(PAUSE_MAX))
}
