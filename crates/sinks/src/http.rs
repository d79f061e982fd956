//! What the HTTP clients of sinks have in common: whom they trust, how much of an answer they keep, and what an error says.

use std::error::Error;
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Response, redirect};

/// Characters of an answer that an error shows.
const SHOWN_CHARS_MAX: usize = 300;

/// The authorities that a user gave cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    /// There is none.
    #[error("there is no certificate in it; PEM is expected")]
    None,
    /// One cannot be read.
    #[error("{}", words(.0))]
    Unreadable(reqwest::Error),
}

/// A client that follows no redirection. It trusts the authorities in `ca`, PEM, alone, or the system's; over plain HTTP these
/// are not asked for, which a small container may be without.
pub(crate) fn builder(ca: Option<&str>, is_tls: bool) -> Result<ClientBuilder, CaError> {
    // Whoever was first has chosen for the process; all of Tailrace chooses the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(redirect::Policy::none());
    Ok(match ca {
        Some(pem) => {
            let authorities = Certificate::from_pem_bundle(pem.as_bytes()).map_err(CaError::Unreadable)?;
            if authorities.is_empty() {
                return Err(CaError::None);
            }
            builder.tls_certs_only(authorities)
        }
        None if !is_tls => builder.tls_certs_only([]),
        None => builder,
    })
}

/// The same with limits of time, for a whole request and for its connection, and without a proxy.
///
/// # Errors
/// Why there is none.
pub(crate) fn client(
    ca: Option<&str>,
    is_tls: bool,
    (timeout, connect_timeout): (Duration, Duration),
) -> Result<reqwest::Client, String> {
    builder(ca, is_tls)
        .map_err(|error| format!("ca: {error}"))?
        .user_agent(concat!("tailrace/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(connect_timeout)
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .map_err(|error| format!("the client: {}", words_without_url(error)))
}

/// The beginning of an answer's body, `bytes_max` of it.
pub(crate) async fn start(response: &mut Response, bytes_max: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < bytes_max {
        let Some(piece) = response.chunk().await? else { break };
        body.extend_from_slice(&piece[..piece.len().min(bytes_max - body.len())]);
    }
    Ok(body)
}

/// An error with what caused it: the last of them is what people look for.
pub(crate) fn words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words += ": ";
        words += &next.to_string();
        cause = next.source();
    }
    words
}

/// The same of a request, whose address may have a secret in it.
pub(crate) fn words_without_url(error: reqwest::Error) -> String {
    words(&error.without_url())
}

/// What a body says, in a line.
pub(crate) fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|char| !char.is_control()).take(SHOWN_CHARS_MAX).collect()
}
