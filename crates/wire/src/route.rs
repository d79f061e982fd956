//! From a request to its answer: the checks before an operation, in the service's order (docs/spec/dynamodb-api.md 1.1).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use tailrace_core::{ApiError, ErrorCode, Json, limits};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::{AdminRequest, Api, Context, Page};
use crate::auth;
use crate::body::{self, BodyBudget, BodyError, Share};
use crate::connection::{Phase, Watch};
use crate::error_body;
use crate::foreign;
use crate::guard::Guard;
use crate::gzip;
use crate::memory;
use crate::request_id::{RequestId, RequestIds};
use crate::response::{AS_OF, Answer, ContentType, LSN, allow_preflight, answer, answer_with};
use crate::rest;
use crate::target::Operation;

/// What all connections share.
pub struct WireState<A> {
    /// What stands behind the wire.
    pub api: A,
    /// Who may talk.
    pub guard: Guard,
    /// The text of `GET /`.
    pub healthy: Bytes,
    /// Names for answers.
    pub ids: RequestIds,
    /// Room for bodies.
    pub budget: Arc<BodyBudget>,
    /// Room for large answers that are not written yet, in bytes.
    pub answers: Arc<BodyBudget>,
    /// Room for requests that are being worked on.
    pub in_flight: Arc<Semaphore>,
    /// Room for large bodies that are being worked on, in bytes.
    pub large: Arc<Semaphore>,
}

/// The service and the operation.
const TARGET: &str = "x-amz-target";

/// Answers a request.
pub async fn handle<A: Api>(shared: Arc<WireState<A>>, request: Request<Incoming>, watch: Arc<Watch>) -> Answer {
    let (head, body) = request.into_parts();
    let cross_origin = head.headers.contains_key(ORIGIN);
    if let Err(foreign) = shared.guard.check(&head.uri, &head.headers) {
        watch.enter(Phase::Writing);
        let error = ApiError::new(ErrorCode::AccessDeniedException, foreign.to_string());
        // Without the CORS header, so that the page cannot even read why.
        return close(answer(&shared.ids, 403, ContentType::Json, error_body::render(&error).into(), false));
    }
    if let Err(status) = check_framing(&head) {
        watch.enter(Phase::Writing);
        return close(answer(&shared.ids, status, ContentType::None, Bytes::new(), cross_origin));
    }
    let expects_continue = head.headers.contains_key(EXPECT);
    let body = body::read(body, expects_continue, &watch, &shared.budget).await;
    watch.enter(Phase::Busy);
    let answer = match body {
        Ok((body, share)) => dispatch(&shared, &head, body, share, cross_origin).await,
        Err(why) if rest::is_rest_path(head.uri.path()) => close(rest::refuse_body(&shared, &why, cross_origin)),
        Err(why) => close(refuse_body(&shared, &why, cross_origin)),
    };
    watch.enter(Phase::Writing);
    answer
}

/// What HTTP itself demands and the library lets pass: a `Host` (RFC 9112, 3.2), and no coding of the body that we cannot
/// undo (6.1).
fn check_framing(head: &Parts) -> Result<(), u16> {
    let hosts = head.headers.get_all(HOST).iter().count();
    if hosts > 1 || hosts == 0 && head.version == Version::HTTP_11 {
        return Err(400);
    }
    let codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if codings.map(|coding| coding.as_bytes().trim_ascii()).all(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        return Ok(());
    }
    Err(501)
}

fn refuse_body<A>(shared: &WireState<A>, why: &BodyError, cross_origin: bool) -> Answer {
    let (status, body) = refusal(why);
    answer(&shared.ids, status, ContentType::AmzJson10, body, cross_origin)
}

fn refusal(why: &BodyError) -> (u16, Bytes) {
    match why {
        BodyError::TooLarge => (413, Bytes::new()),
        BodyError::NoRoom => (503, Bytes::from_static(BUSY)),
        BodyError::Broken => (400, error_body::render(&ApiError::bare(ErrorCode::SerializationException)).into()),
    }
}

/// The body of a 503: SDKs retry it.
pub const BUSY: &[u8] =
    br#"{"__type":"com.amazon.coral.service#ServiceUnavailableException","message":"The server is at its limit of connections or of buffered bodies."}"#;

fn close(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn dispatch<A: Api>(
    shared: &Arc<WireState<A>>,
    head: &Parts,
    body: Bytes,
    share: Share,
    cross_origin: bool,
) -> Answer {
    let plain = |status, content_type, body| answer(&shared.ids, status, content_type, body, cross_origin);
    let path = head.uri.path();
    if head.method == Method::POST && path.len() == 1 {
        return post(shared, head, body, share, cross_origin).await;
    }
    if head.method == Method::OPTIONS {
        let mut preflight = plain(200, ContentType::None, Bytes::new());
        allow_preflight(&mut preflight, &head.headers);
        return preflight;
    }
    if rest::is_rest_path(path) {
        return rest::handle(shared, head, body, share, cross_origin).await;
    }
    if head.method != Method::POST
        && let Some((status, content_type, body)) = foreign::answer(head)
    {
        return plain(status, content_type, body);
    }
    let is_health = path.starts_with("/health/");
    match head.method {
        Method::GET => {}
        // The library leaves the body out.
        Method::HEAD if is_health => {}
        Method::POST if path.starts_with(ADMIN) => {
            let page = admin_post(shared, head, body, share).await;
            return plain(page.status, ContentType::Json, page.json);
        }
        Method::POST => return post(shared, head, body, share, cross_origin).await,
        // No page of another origin sends a DELETE without asking first.
        Method::DELETE if path.starts_with(AWS) => {
            let page = admin_change(shared, head, body, share).await;
            return plain(page.status, ContentType::Json, page.json);
        }
        _ => return plain(404, ContentType::None, Bytes::from_static(UNKNOWN)),
    }
    match path {
        "/health/live" => plain(200, ContentType::Text, Bytes::from_static(b"live\n")),
        "/health/ready" => match shared.api.ready() {
            Ok(()) => plain(200, ContentType::Text, Bytes::from_static(b"ready\n")),
            Err(why) => plain(503, ContentType::Text, format!("not ready: {why}\n").into()),
        },
        _ if path.starts_with(ADMIN) => {
            let page = shared.api.admin(AdminRequest::Get { path, query: head.uri.query() }).await;
            let page = page.unwrap_or_else(no_page);
            plain(page.status, ContentType::Json, page.json)
        }
        _ if is_health => plain(404, ContentType::Json, Bytes::from_static(NO_PAGE)),
        "/" => plain(200, ContentType::None, shared.healthy.clone()),
        _ => plain(404, ContentType::Json, Bytes::from_static(NO_SUCH_PAGE)),
    }
}

/// What begins with this is ours.
const ADMIN: &str = "/_admin/";

/// What begins with this is of tools that stand in for AWS: they have it for what the API cannot ask for.
const AWS: &str = "/_aws/";

const NO_PAGE: &[u8] = br#"{"Message":"There is no such page."}"#;

/// A scraper that asks for `/metrics` is not to take the healthy text for metrics.
const NO_SUCH_PAGE: &[u8] = br#"{"Message":"There is no such page. GET /health/ready tells whether the server is ready, GET /_admin/mappings how the mappings stand; operations are POSTed to /."}"#;

const UNKNOWN: &[u8] = b"<UnknownOperationException/>\n";

const NOT_JSON: &[u8] = br#"{"Message":"What is posted here is JSON, with the content type application/json."}"#;

const FAILED_INSIDE: &[u8] = br#"{"Message":"The operation failed inside."}"#;

fn page(status: u16, json: &'static [u8]) -> Page {
    Page { status, json: Bytes::from_static(json) }
}

fn no_page() -> Page {
    page(404, NO_PAGE)
}

/// A POST below `/_admin/`, as guarded as an operation: its host and origin were checked, and its content type is one that a
/// page of another origin cannot send without asking first.
async fn admin_post<A: Api>(shared: &Arc<WireState<A>>, head: &Parts, body: Bytes, share: Share) -> Page {
    if ContentType::of_request(head.headers.get(CONTENT_TYPE), None) != Some(ContentType::Json) {
        return page(400, NOT_JSON);
    }
    admin_change(shared, head, body, share).await
}

/// What changes something, done to its end.
async fn admin_change<A: Api>(shared: &Arc<WireState<A>>, head: &Parts, body: Bytes, share: Share) -> Page {
    let deletes = head.method == Method::DELETE;
    let Ok(permit) = permits(&shared.in_flight, 1).await else { return page(500, FAILED_INSIDE) };
    let (path, shared) = (head.uri.path().to_owned(), Arc::clone(shared));
    let call = async move {
        let request = match deletes {
            true => AdminRequest::Delete { path: &path },
            false => AdminRequest::Post { path: &path, body: &body },
        };
        let call = shared.api.admin(request);
        let answer = AssertUnwindSafe(call).catch_unwind().await;
        drop((permit, share));
        answer.map_or_else(|_| page(500, FAILED_INSIDE), |answer| answer.unwrap_or_else(no_page))
    };
    Finished::new(call.boxed(), false).await
}

/// Rows 3-7 of the order of checks; the rest are the operation's.
async fn post<A: Api>(
    shared: &Arc<WireState<A>>,
    head: &Parts,
    body: Bytes,
    share: Share,
    cross_origin: bool,
) -> Answer {
    let operation = operation_of(head.headers.get(TARGET));
    if operation.is_none()
        && let Some((status, content_type, body)) = foreign::answer(head)
    {
        return answer(&shared.ids, status, content_type, body, cross_origin);
    }
    let service = operation.map(|operation| operation.service);
    let content_type = ContentType::of_request(head.headers.get(CONTENT_TYPE), service);
    if content_type.is_none() && !body.is_empty() {
        return answer(&shared.ids, 404, ContentType::None, Bytes::from_static(UNKNOWN), cross_origin);
    }
    let content_type = content_type.unwrap_or(ContentType::AmzJson10);
    let id = shared.ids.next();
    let (body, share) = match unfolded(shared, head, body, share).await {
        Ok(unfolded) => unfolded,
        Err(why) => {
            let (status, body) = refusal(&why);
            return answer_with(id, status, content_type, body, cross_origin);
        }
    };
    let (status, body, written) = match operate(shared, head, operation, body, share, id).await {
        Ok((body, written)) => (200, body, written),
        Err(error) => (error.code.http_status(), error_body::render_of(service, &error).into(), None),
    };
    let asked = body.len() >= limits::GZIP_ANSWER_BYTES_MIN && gzip::is_accepted(&head.headers);
    let coded = asked.then(|| aside(body.len() > limits::GZIP_INLINE_BYTES_MAX, || gzip::compressed(&body))).flatten();
    let is_coded = coded.is_some();
    let sent = coded.unwrap_or(body);
    let is_large = sent.len() >= limits::HTTP_LARGE_BODY_BYTES;
    let held = if is_large { shared.answers.hold(sent) } else { Ok(sent) };
    let Ok(sent) = held else {
        return answer_with(id, 503, content_type, Bytes::from_static(BUSY), cross_origin);
    };
    // The checksum is that of the bytes as they are sent: SDKs look at them before they unfold them.
    let mut answer = answer_with(id, status, content_type, sent, cross_origin);
    if is_coded {
        answer.headers_mut().extend([gzip::coding()]);
    }
    if let Some(written) = written {
        answer.headers_mut().insert(LSN, written);
    }
    answer
}

/// The body without its coding. One that may become large is unfolded away from small ones, and takes its turn.
async fn unfolded<A>(
    shared: &WireState<A>,
    head: &Parts,
    body: Bytes,
    mut share: Share,
) -> Result<(Bytes, Share), BodyError> {
    if body.is_empty() || !gzip::is_coded(&head.headers) {
        return Ok((body, share));
    }
    let bytes_max = gzip::unfolded_bytes_max(&body);
    let is_large = bytes_max >= limits::HTTP_LARGE_BODY_BYTES;
    let _large = if is_large { permits(&shared.large, bytes_max).await.ok() } else { None };
    let unfolded = aside(is_large, || gzip::unfolded(&body, &mut share))?;
    Ok((unfolded, share))
}

async fn operate<A: Api>(
    shared: &Arc<WireState<A>>,
    head: &Parts,
    operation: Option<Operation<'_>>,
    body: Bytes,
    share: Share,
    request_id: RequestId,
) -> Result<(Bytes, Option<HeaderValue>), ApiError> {
    let is_large = body.len() >= limits::HTTP_LARGE_BODY_BYTES;
    let leaves_much_behind = body.len() >= limits::HTTP_TRIM_BODY_BYTES;
    let large = if is_large { Some(permits(&shared.large, body.len()).await?) } else { None };
    // A body that is no JSON comes before a bad target and bad authentication. The operation finds that out itself when
    // it reads the body, so it is looked for here only when one of the other two is wrong: nothing is parsed twice.
    let or_not_json = |error: ApiError| {
        let is_json = body.is_empty() || aside(is_large, || Json::check(&body)).is_ok();
        if is_json { error } else { ApiError::bare(ErrorCode::SerializationException) }
    };
    let unknown = || ApiError::bare(ErrorCode::UnknownOperationException);
    operation.ok_or_else(unknown).and_then(|operation| shared.api.find(operation)).map_err(or_not_json)?;
    auth::check(&head.headers, head.uri.query()).map_err(or_not_json)?;
    if body.is_empty() {
        return Err(ApiError::bare(ErrorCode::SerializationException));
    }
    let authorization = head.headers.get(AUTHORIZATION).cloned();
    let query = head.uri.query().filter(|_| authorization.is_none()).map(str::to_owned);
    let context = Context {
        host: head.headers.get(HOST).cloned(),
        authorization,
        query,
        request_id,
        as_of: head.headers.get(AS_OF).cloned(),
        written: std::sync::OnceLock::new(),
    };
    let target = head.headers.get(TARGET).cloned();
    let permit = permits(&shared.in_flight, 1).await?;
    let shared = Arc::clone(shared);
    let call = async move {
        let operation = operation_of(target.as_ref()).expect("invariant: read before");
        let call = shared.api.call(operation.service, operation.name, body, &context);
        // A fault of one operation is that request's answer, and nobody else's.
        let result = AssertUnwindSafe(call).catch_unwind().await;
        // While no other large body is read, and out of the way of small ones.
        aside(leaves_much_behind, || {
            if leaves_much_behind {
                memory::give_back()
            }
        });
        drop((shared, permit, large, share));
        let inside = |_| Err(ApiError::new(ErrorCode::InternalServerError, "The operation failed inside."));
        result.unwrap_or_else(inside).map(|body| (body, context.written.into_inner()))
    };
    Finished::new(call.boxed(), is_large).await
}

pub(crate) async fn permits(room: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    match Arc::clone(room).try_acquire_many_owned(permits) {
        Ok(permit) => Ok(permit),
        Err(_) => {
            let permit = Arc::clone(room).acquire_many_owned(permits).await;
            permit.map_err(|_| ApiError::bare(ErrorCode::InternalServerError))
        }
    }
}

/// Runs what takes long without holding up the other connections of its thread.
fn aside<T>(takes_long: bool, work: impl FnOnce() -> T) -> T {
    let many_threads = || Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if takes_long && many_threads() { tokio::task::block_in_place(work) } else { work() }
}

fn operation_of(target: Option<&HeaderValue>) -> Option<Operation<'_>> {
    target.and_then(|value| value.to_str().ok()).and_then(Operation::parse)
}

/// A call that is finished even when nobody waits for it any more: a client that hangs up must not leave an operation
/// of several commits half done. It keeps its place among the requests in flight until then.
pub(crate) struct Finished<T: Send + 'static> {
    call: Option<BoxFuture<'static, T>>,
    /// The next poll, the first one, reads a large body.
    reads_large_body: bool,
}

impl<T: Send + 'static> Finished<T> {
    pub(crate) fn new(call: BoxFuture<'static, T>, reads_large_body: bool) -> Finished<T> {
        Finished { call: Some(call), reads_large_body }
    }
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<T> {
        let takes_long = std::mem::take(&mut self.reads_large_body);
        let call = self.call.as_mut().expect("invariant: not polled after its end");
        let result = aside(takes_long, || call.as_mut().poll(cx));
        if result.is_ready() {
            self.call = None;
        }
        result
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        // The server waits for these through the in-flight permits; when the runtime itself ends there is nobody left.
        if let (Some(call), Ok(runtime)) = (self.call.take(), Handle::try_current()) {
            drop(runtime.spawn(call));
        }
    }
}
