//! The shape of a request's authentication: present and complete. Nothing is verified: any credential, region and
//! signature is accepted. Source: docs/spec/dynamodb-api.md 1.2, rows 1-4.

use std::fmt::Write as _;

use hyper::header::{AUTHORIZATION, DATE, HeaderMap};
use tailrace_core::{ApiError, ErrorCode};

const HEADER_PARTS: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];
const QUERY_PARTS: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];

/// Checks that the request carries authentication of one kind, with all of its parts.
///
/// # Errors
/// The error of the first of rows 1-4 that the request breaks.
pub fn check(headers: &HeaderMap, query: Option<&str>) -> Result<(), ApiError> {
    let header = headers.get(AUTHORIZATION);
    let in_query = query.is_some_and(|q| query_has(q, QUERY_PARTS[0]));
    match (header, in_query) {
        (Some(_), true) => Err(ApiError::new(
            ErrorCode::InvalidSignatureException,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
        )),
        (Some(value), false) if value.as_bytes().starts_with(b"AWS4-") => check_header(value.as_bytes(), headers),
        (None, true) => check_query(query.unwrap_or_default()),
        _ => Err(ApiError::new(
            ErrorCode::MissingAuthenticationTokenException,
            "Request is missing Authentication Token",
        )),
    }
}

fn check_header(value: &[u8], headers: &HeaderMap) -> Result<(), ApiError> {
    let mut present = [false; HEADER_PARTS.len()];
    for word in words(value) {
        for (part, present) in HEADER_PARTS.iter().zip(&mut present) {
            let rest = word.strip_prefix(part.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            *present |= rest.is_some_and(|rest| !rest.is_empty());
        }
    }
    let dated = headers.contains_key("x-amz-date") || headers.contains_key(DATE);
    if dated && present == [true; HEADER_PARTS.len()] {
        return Ok(());
    }
    let mut message = String::new();
    for (part, _) in HEADER_PARTS.iter().zip(present).filter(|(_, present)| !present) {
        let _ = write!(message, "Authorization header requires '{part}' parameter. ");
    }
    if !dated {
        message.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
    }
    let _ = write!(message, "Authorization={}", String::from_utf8_lossy(value));
    Err(ApiError::new(ErrorCode::IncompleteSignatureException, message))
}

fn check_query(query: &str) -> Result<(), ApiError> {
    let mut message = String::new();
    for part in QUERY_PARTS {
        if !query_has(query, part) {
            let _ = write!(message, "AWS query-string parameters must include '{part}'. ");
        }
    }
    if message.is_empty() {
        return Ok(());
    }
    message.push_str("Re-examine the query-string parameters.");
    Err(ApiError::new(ErrorCode::IncompleteSignatureException, message))
}

/// The words of an `Authorization` header: `name=value`, separated by commas or spaces. Without the first one, the algorithm.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    let ends = memchr::memchr2_iter(b',', b' ', value).chain([value.len()]);
    let words = ends.map(move |end| {
        let word = &value[begin..end];
        begin = end + 1;
        word
    });
    words.skip(1)
}

/// The id of the access key that an `Authorization` header names.
pub fn key_of_header(value: &[u8]) -> Option<&str> {
    let scope = words(value).find_map(|word| word.strip_prefix(b"Credential="))?;
    let end = memchr::memchr(b'/', scope).unwrap_or(scope.len());
    let key = std::str::from_utf8(&scope[..end]).ok()?;
    (!key.is_empty() && key.is_ascii()).then_some(key)
}

/// The one that a query names, as it is encoded there.
pub fn key_of_query(query: &str) -> Option<&str> {
    let credential = query.split('&').find_map(|pair| pair.strip_prefix(QUERY_PARTS[1])?.strip_prefix('='))?;
    let end = credential.find('%').unwrap_or(credential.len());
    key_of_scope(&credential[..end])
}

/// A credential is `KEY/DATE/REGION/SERVICE/aws4_request`.
fn key_of_scope(credential: &str) -> Option<&str> {
    credential.split('/').next().filter(|key| !key.is_empty())
}

fn query_has(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_key_is_found_where_the_request_names_it() {
        let scope = "20260101/us-east-1/dynamodb/aws4_request";
        let header = format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders=host, Signature=0");
        assert_eq!(key_of_header(header.as_bytes()), Some("AKIDEXAMPLE"));
        assert_eq!(key_of_header(format!("AWS4-X Signature=0,Credential=a/{scope}").as_bytes()), Some("a"));
        assert_eq!(key_of_header(b"AWS4-X Credential="), None);
        let query = format!("X-Amz-Date=1&X-Amz-Credential=AKIDEXAMPLE%2F{}", scope.replace('/', "%2F"));
        assert_eq!(key_of_query(&query), Some("AKIDEXAMPLE"));
        assert_eq!(key_of_query(&format!("X-Amz-Credential=AKIDEXAMPLE/{scope}")), Some("AKIDEXAMPLE"));
        assert_eq!(key_of_query("X-Amz-Date=1"), None);
    }
}
