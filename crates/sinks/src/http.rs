//! What the HTTP clients of sinks have in common: whom they trust, how much of an answer they keep, and what an error says.

use std::error::Error;

use reqwest::{Certificate, ClientBuilder, Response, redirect};

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
