//! The Lambda API: operations that are paths, on the same port. Source: docs/spec/event-source-mapping.md 1.
//!
//! What is checked here is what comes before an operation: the shape of the authentication. Which operations there are, and
//! what they answer, is the [`Api`]'s.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use serde_json::json;
use tailrace_core::limits;

use crate::api::Api;
use crate::auth;
use crate::body::{BodyError, Share};
use crate::response::{Answer, ContentType, REQUEST_ID, answer};
use crate::route::{BUSY, Finished, WireState, permits};

/// A request of the Lambda API.
#[derive(Clone, Debug)]
pub struct RestRequest {
    /// GET, POST, ...
    pub method: String,
    /// The path, its escapes as they came.
    pub path: String,
    /// What stands behind the `?`.
    pub query: Option<String>,
    /// The body; it may be anything.
    pub body: Bytes,
    headers: HeaderMap,
}

impl RestRequest {
    /// A header's value, if there is one and it is text. The name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside those that every answer has; one of the same name takes the place of that.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON document, or nothing.
    pub body: Bytes,
}

/// The header with the name of an error.
pub(crate) const ERROR_TYPE: &str = "x-amzn-errortype";

/// Paths of the Lambda API begin with a date: `/2015-03-31/functions`.
pub(crate) fn is_rest_path(path: &str) -> bool {
    path.strip_prefix('/').and_then(|rest| rest.split('/').next()).is_some_and(|date| {
        date.len() == 10
            && date.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
    })
}

/// Answers a request of the Lambda API. What has begun is finished, whatever the client does.
pub(crate) async fn handle<A: Api>(
    shared: &Arc<WireState<A>>,
    head: &Parts,
    body: Bytes,
    share: Share,
    cross_origin: bool,
) -> Answer {
    let answered = call(shared, head, body, share).await;
    let RestAnswer { status, headers, body } = answered;
    let is_large = body.len() >= limits::HTTP_LARGE_BODY_BYTES;
    let held = if is_large { shared.answers.hold(body) } else { Ok(body) };
    match held {
        Ok(body) => built(shared, RestAnswer { status, headers, body }, cross_origin),
        Err(_) => built(shared, busy(), cross_origin),
    }
}

/// Answers a request whose body was not taken in.
pub(crate) fn refuse_body<A>(shared: &WireState<A>, why: &BodyError, cross_origin: bool) -> Answer {
    let refusal = match why {
        BodyError::TooLarge => {
            let text = format!("Request must be smaller than {} bytes.", limits::REQUEST_BODY_BYTES_MAX);
            refused(413, "RequestEntityTooLargeException", &text)
        }
        BodyError::NoRoom => busy(),
        BodyError::Broken => refused(400, "SerializationException", "The body of the request is broken."),
    };
    built(shared, refusal, cross_origin)
}

/// The answer with its headers; its id is a UUID.
fn built<A>(shared: &WireState<A>, answered: RestAnswer, cross_origin: bool) -> Answer {
    let RestAnswer { status, headers, body } = answered;
    let content_type = if body.is_empty() { ContentType::None } else { ContentType::Json };
    let mut answer = answer(&shared.ids, status, content_type, body, cross_origin);
    let id = HeaderValue::try_from(shared.ids.next_uuid()).expect("invariant: letters, digits and hyphens");
    answer.headers_mut().insert(REQUEST_ID, id);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

async fn call<A: Api>(shared: &Arc<WireState<A>>, head: &Parts, body: Bytes, share: Share) -> RestAnswer {
    if let Err(error) = auth::check(&head.headers, head.uri.query()) {
        return refused(403, error.code.class(), error.message.as_deref().unwrap_or_default());
    }
    let Ok(permit) = permits(&shared.in_flight, 1).await else { return failed_inside() };
    let request = RestRequest {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers.clone(),
        body,
    };
    let shared = Arc::clone(shared);
    let call = async move {
        let answer = AssertUnwindSafe(shared.api.rest(request)).catch_unwind().await;
        drop((shared, permit, share));
        answer.unwrap_or_else(|_| failed_inside())
    };
    Finished::new(call.boxed(), false).await
}

fn busy() -> RestAnswer {
    RestAnswer { status: 503, headers: error_type("ServiceUnavailableException"), body: Bytes::from_static(BUSY) }
}

fn failed_inside() -> RestAnswer {
    refused(500, "ServiceException", "The operation failed inside.")
}

fn refused(status: u16, name: &str, message: &str) -> RestAnswer {
    // Both spellings of the member: the models of these errors, and those who read them, differ in it.
    let body = json!({ "message": message, "Message": message }).to_string();
    RestAnswer { status, headers: error_type(name), body: body.into() }
}

fn error_type(name: &str) -> Vec<(&'static str, String)> {
    vec![(ERROR_TYPE, name.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_begins_with_a_date_is_one_of_the_lambda_api() {
        for path in ["/2015-03-31/functions", "/2017-03-31/tags/arn", "/2015-03-31"] {
            assert!(is_rest_path(path), "{path}");
        }
        for path in ["/", "/2015-03-3/functions", "/20150331xx/functions", "/health/live", "/_admin/mappings"] {
            assert!(!is_rest_path(path), "{path}");
        }
    }
}
