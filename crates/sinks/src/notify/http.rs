//! Requests to web addresses and to AWS's services. Every one has a time limit, and of an answer only its beginning is kept.
//!
//! Invariant: no error that comes from here has the address in it, in which there may be a secret.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Response, redirect};

use super::config::{Config, ConfigError};

/// Bytes of an answer that are kept. Our reason: an answer to a batch has some hundred for each of ten messages.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of an answer that an error shows.
const SHOWN_CHARS_MAX: usize = 300;
/// Longest pause that a receiver is granted.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// A client. Over plain HTTP the system's authorities are not asked for, which a small container may be without.
pub(super) fn client(config: &Config, is_tls: bool) -> Result<reqwest::Client, ConfigError> {
    // Whoever was first has chosen for the process; all of Tailrace chooses the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tailrace/", env!("CARGO_PKG_VERSION")))
        .timeout(config.timeout())
        .connect_timeout(config.connect_timeout())
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true);
    if let Some(ca) = &config.ca {
        let told = |error: reqwest::Error| ConfigError(format!("ca: {}", words(error)));
        let authorities = Certificate::from_pem_bundle(ca.as_bytes()).map_err(told)?;
        if authorities.is_empty() {
            return Err(ConfigError("ca: there is no certificate in it; PEM is expected".to_owned()));
        }
        builder = builder.tls_certs_only(authorities);
    } else if !is_tls {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ConfigError(format!("the client: {}", words(error))))
}

/// The beginning of an answer's body.
pub(super) async fn start(response: &mut Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        let Some(piece) = response.chunk().await.map_err(words)? else { break };
        body.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - body.len())]);
    }
    Ok(body)
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

/// An error with what caused it: the last of them is what people look for.
pub(super) fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words += ": ";
        words += &next.to_string();
        cause = next.source();
    }
    words
}
