//! The host side of the Lambda Runtime API: one listener for one process. Source: docs/spec/lambda-runtime.md 2, 3, 9.
//!
//! Every listener is on the loopback with a port of its own, so a call needs no name of its sender. It refuses what a
//! web page could send there (a foreign Host, an Origin, fetch metadata), holds a bounded number of connections, and
//! reads a bounded body. A response over the limit is read to its end and answered with 202, since some clients end
//! when a post is refused; only the caller of the function hears of it.

use std::convert::Infallible;
use std::sync::Arc;
use tailrace_core::FunctionArn;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tailrace_core::limits;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::document;
use crate::environment::{Delivery, Environment};

/// Why a runtime's call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not in this state.
    State,
    /// Not the open invocation.
    RequestId,
    /// The process is dying.
    Closed,
}

/// A runtime's answer to an invocation.
pub(crate) enum Answer {
    Result(Bytes),
    Error(Bytes),
    TooLarge,
}

const PREFIX: &str = "/2018-06-01/runtime/";

/// Serves the process of `environment` until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, environment: Arc<Environment>) {
    let free = Arc::new(Semaphore::new(limits::FUNCTION_HOST_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: a pause lets some come back.
                tracing::warn!(%error, "cannot accept a runtime's connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let environment = environment.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let environment = environment.clone();
                async move { Ok::<_, Infallible>(handle(request, &environment).await) }
            });
            // An error here is a connection that broke; the runner sees whether the process did.
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

async fn handle(request: Request<Incoming>, environment: &Arc<Environment>) -> Response<Full<Bytes>> {
    if !is_from_a_runtime(&request, environment) {
        return answer(StatusCode::FORBIDDEN, document::INVALID_STATE);
    }
    let path = request.uri().path().to_owned();
    let Some(call) = path.strip_prefix(PREFIX) else { return answer(StatusCode::NOT_FOUND, "") };
    let parts: Vec<&str> = call.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => match environment.next().await {
            Ok(delivery) => event(delivery),
            // It is being ended, and hears of that by a signal: an answer would make it complain in its last moment.
            Err(Refusal::Closed) => std::future::pending().await,
            Err(refusal) => refuse(refusal),
        },
        (&Method::POST, ["invocation", request_id, kind @ ("response" | "error")]) => {
            let expected = environment.expects(request_id);
            // Read in either case: a body left unread would cost the runtime its connection.
            let body = read(request).await;
            if let Err(refusal) = expected {
                return refuse(refusal);
            }
            let answered = match (body, *kind) {
                (Body::Whole(bytes), "response") => Answer::Result(bytes),
                (Body::Whole(bytes) | Body::Failed(bytes), _) => Answer::Error(bytes),
                (Body::TooLarge, _) => Answer::TooLarge,
                (Body::Broken, _) => return answer(StatusCode::BAD_REQUEST, ""),
            };
            accept(environment.answer(request_id, answered))
        }
        (&Method::POST, ["init", "error"]) => match read(request).await {
            Body::Whole(bytes) | Body::Failed(bytes) => accept(environment.init_error(bytes)),
            Body::TooLarge => accept(environment.init_error(document::response_too_large())),
            Body::Broken => answer(StatusCode::BAD_REQUEST, ""),
        },
        _ => answer(StatusCode::NOT_FOUND, ""),
    }
}

/// A page in a browser can reach a loopback port, but not without telling where it is from.
fn is_from_a_runtime(request: &Request<Incoming>, environment: &Environment) -> bool {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return false;
    }
    let Some(port) = environment.port.get() else { return false };
    headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| host == format!("127.0.0.1:{port}"))
}

enum Body {
    Whole(Bytes),
    /// The trailers behind it say that the function failed midway: the error's document.
    Failed(Bytes),
    TooLarge,
    Broken,
}

/// Reads the body; keeps what is within the response limit, and stops for good at the bound of a post.
async fn read(request: Request<Incoming>) -> Body {
    let mut body = request.into_body();
    let mut kept = BytesMut::new();
    let mut seen = 0;
    let mut failed = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Body::Broken };
        if let Some(trailers) = frame.trailers_ref() {
            failed = failure(trailers);
        }
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        if seen <= limits::FUNCTION_RESPONSE_BYTES_MAX {
            kept.extend_from_slice(data);
        } else {
            kept = BytesMut::new();
            if seen > limits::FUNCTION_POST_BYTES_MAX {
                return Body::TooLarge;
            }
        }
    }
    match failed {
        Some(document) => Body::Failed(document),
        None if seen > limits::FUNCTION_RESPONSE_BYTES_MAX => Body::TooLarge,
        None => Body::Whole(kept.freeze()),
    }
}

/// The error that the trailers of a streamed response tell of.
fn failure(trailers: &HeaderMap) -> Option<Bytes> {
    let error_type = trailers.get("lambda-runtime-function-error-type");
    let body = trailers.get("lambda-runtime-function-error-body");
    error_type.or(body)?;
    let error_type = error_type.and_then(|error_type| error_type.to_str().ok());
    let body = body.and_then(|body| BASE64.decode(body.as_bytes()).ok());
    Some(document::broken_off(error_type, body))
}

/// The answer to `next`. Without any of the first four headers one client or another crashes.
fn event(delivery: Delivery) -> Response<Full<Bytes>> {
    let context = &delivery.context;
    let mut response = Response::new(Full::new(delivery.payload));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("lambda-runtime-deadline-ms"), HeaderValue::from(delivery.deadline_ms.0));
    let texts = [
        ("lambda-runtime-aws-request-id", Some(&*delivery.request_id)),
        ("lambda-runtime-invoked-function-arn", context.invoked_arn.as_ref().map(FunctionArn::as_str)),
        ("lambda-runtime-trace-id", context.trace_id.as_deref()),
        ("lambda-runtime-client-context", context.client_context.as_deref()),
        ("lambda-runtime-cognito-identity", context.cognito_identity.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn accept(taken: Result<(), Refusal>) -> Response<Full<Bytes>> {
    match taken {
        Ok(()) => answer(StatusCode::ACCEPTED, document::STATUS_OK),
        Err(refusal) => refuse(refusal),
    }
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    match refusal {
        Refusal::RequestId => answer(StatusCode::BAD_REQUEST, document::INVALID_REQUEST_ID),
        Refusal::State => answer(StatusCode::FORBIDDEN, document::INVALID_STATE),
        Refusal::Closed => answer(StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}

fn answer(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
