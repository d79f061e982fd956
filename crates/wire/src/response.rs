//! Answers: the headers that every one of them carries. Source: docs/spec/dynamodb-api.md 1.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::{Response, StatusCode};

use tailrace_core::Service;
use tailrace_core::json_text::{U64_DIGITS_MAX, decimal_digits};

use crate::request_id::{REQUEST_ID_LEN, RequestId, RequestIds};

/// An answer on its way out.
pub type Answer = Response<Full<Bytes>>;

/// The content type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// None: the texts that the service sends bare.
    None,
    /// `application/x-amz-json-1.0`.
    AmzJson10,
    /// `application/x-amz-json-1.1`: of delivery streams.
    AmzJson11,
    /// `application/json`.
    Json,
    /// `text/plain; charset=utf-8`.
    Text,
    /// `text/xml`.
    Xml,
}

impl ContentType {
    /// The type of a request, which is also that of its answer; parameters, surrounding spaces and case do not count.
    /// `None`: not a type that the service takes.
    pub fn of_request(value: Option<&HeaderValue>, service: Option<Service>) -> Option<ContentType> {
        let value = value?.as_bytes();
        let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
        let media_type = value[..end].trim_ascii();
        let amazons = match service {
            Some(Service::Firehose) => ("application/x-amz-json-1.1", ContentType::AmzJson11),
            _ => ("application/x-amz-json-1.0", ContentType::AmzJson10),
        };
        let known = [amazons, ("application/json", ContentType::Json)];
        known.into_iter().find(|(name, _)| media_type.eq_ignore_ascii_case(name.as_bytes())).map(|(_, known)| known)
    }

    fn header(self) -> Option<HeaderValue> {
        match self {
            ContentType::None => None,
            ContentType::AmzJson10 => Some(HeaderValue::from_static("application/x-amz-json-1.0")),
            ContentType::AmzJson11 => Some(HeaderValue::from_static("application/x-amz-json-1.1")),
            ContentType::Json => Some(HeaderValue::from_static("application/json")),
            ContentType::Text => Some(HeaderValue::from_static("text/plain; charset=utf-8")),
            ContentType::Xml => Some(HeaderValue::from_static("text/xml")),
        }
    }
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Where what was written lies in the streams; for [`AS_OF`].
pub const LSN: HeaderName = HeaderName::from_static("x-tailrace-lsn");
/// What a read is to know of.
pub const AS_OF: HeaderName = HeaderName::from_static("x-tailrace-as-of");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");

/// Builds an answer with everything that every answer carries. `cross_origin`: the request came from a page that the
/// guard let in.
pub fn answer(ids: &RequestIds, status: u16, content_type: ContentType, body: Bytes, cross_origin: bool) -> Answer {
    answer_with(ids.next(), status, content_type, body, cross_origin)
}

/// [`answer`] to a request whose id is known to others.
pub fn answer_with(id: RequestId, status: u16, content_type: ContentType, body: Bytes, cross_origin: bool) -> Answer {
    let (id, checksum) = id_and_checksum(&id, &body);
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = StatusCode::from_u16(status).expect("invariant: our own statuses are valid");
    let headers = answer.headers_mut();
    headers.reserve(6);
    headers.insert(REQUEST_ID, id);
    if let Some(value) = content_type.header() {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(CRC32, checksum);
    if cross_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    answer
}

/// Both per-answer header values, cut from one allocation.
fn id_and_checksum(id: &RequestId, body: &[u8]) -> (HeaderValue, HeaderValue) {
    const CHECKSUM_DIGITS_MAX: usize = 10;
    let mut text = BytesMut::with_capacity(REQUEST_ID_LEN + CHECKSUM_DIGITS_MAX);
    text.put_slice(id);
    text.put_slice(decimal_digits(crc32fast::hash(body).into(), &mut [0; U64_DIGITS_MAX]));
    let mut id = text.freeze();
    let checksum = id.split_off(REQUEST_ID_LEN);
    let value = |bytes| HeaderValue::from_maybe_shared(bytes).expect("invariant: letters and digits");
    (value(id), value(checksum))
}

/// Turns an empty answer into that of a CORS preflight: what was asked for is allowed, for two days.
pub fn allow_preflight(answer: &mut Answer, request: &HeaderMap) {
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
    for (asked, allowed) in [
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
    ] {
        if let Some(value) = request.get(asked) {
            headers.insert(allowed, value.clone());
        }
    }
}
