//! gzip: large answers for clients that ask for it, and bodies of requests that come in it. Source: docs/spec/dynamodb-api.md 1.
//!
//! Invariant: what a body unfolds to is bounded as a body is, and counted against the same budget, before there is memory for it.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use tailrace_core::limits;

use crate::body::{BodyError, Share};

/// Bytes that one byte of gzip unfolds to, at most: what Deflate can do.
const RATIO_MAX: usize = 1032;

const PIECE_BYTES: usize = 16 * 1024;

fn is_gzip(coding: &[u8]) -> bool {
    let coding = coding.trim_ascii();
    coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
}

/// The client names gzip among what it takes. `*` names nothing: who has not heard of it may send that.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(|coding| {
        let mut parts = coding.split(|byte| *byte == b';');
        let named = parts.next().is_some_and(is_gzip);
        named && !parts.any(|weight| is_zero_weight(weight.trim_ascii()))
    })
}

/// `q=0`, `q=0.000`: not wanted.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let weight = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    weight.is_some_and(|weight| weight.starts_with(b"0") && weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

/// The body is in gzip.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|coding| is_gzip(coding.as_bytes()))
}

/// The header of what [`compressed`] gives.
pub(crate) fn coding() -> (HeaderName, HeaderValue) {
    (CONTENT_ENCODING, HeaderValue::from_static("gzip"))
}

/// The body in gzip; `None` if that is no shorter.
pub(crate) fn compressed(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().filter(|coded| coded.len() < body.len()).map(Bytes::from)
}

/// The bytes that a body in gzip may unfold to.
pub(crate) fn unfolded_bytes_max(body: &[u8]) -> usize {
    body.len().saturating_mul(RATIO_MAX).min(limits::REQUEST_BODY_BYTES_MAX)
}

/// Unfolds a body. Its bytes are added to the share.
///
/// # Errors
/// It is no gzip, it is longer than a body may be, or there is no room for it.
pub(crate) fn unfolded(body: &[u8], share: &mut Share) -> Result<Bytes, BodyError> {
    let (mut decoder, mut whole, mut piece) = (MultiGzDecoder::new(body), Vec::new(), [0; PIECE_BYTES]);
    loop {
        let bytes = decoder.read(&mut piece).map_err(|_| BodyError::Broken)?;
        if bytes == 0 {
            return Ok(whole.into());
        }
        if whole.len() + bytes > limits::REQUEST_BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        share.grow(bytes)?;
        whole.extend_from_slice(&piece[..bytes]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_only_by_who_names_it() {
        for (value, accepted) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("br,gzip ; q=1.0,*;q=0", true),
            ("identity", false),
            ("*", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("gzipped", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(is_accepted(&headers), accepted, "{value:?}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn nothing_unfolds_to_more_than_the_ratio_says() {
        let zeros = vec![0; 4 * 1024 * 1024];
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&zeros).unwrap();
        let coded = encoder.finish().unwrap();
        assert!(unfolded_bytes_max(&coded) >= zeros.len(), "{} bytes", coded.len());
    }
}
