//! A store that speaks as much of S3 as the sink does, and fails as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use md5::Md5;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// The token of who asks. Whoever is refused reads it in the answer.
const TOKEN: &str = "token+of/hours==";

/// What goes wrong with a request that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// An answer of this status, before any effect.
    Refuse(u16),
    /// The connection ends before any effect.
    HangUp,
    /// The effect, and then the connection ends.
    EffectThenHangUp,
    /// The effect, and then an answer of this status.
    EffectThenRefuse(u16),
    /// The effect, and no answer.
    EffectThenSilence,
}

#[derive(Clone, Debug)]
pub struct FakeObject {
    pub body: Bytes,
    pub headers: HeaderMap,
}

#[derive(Debug, Default)]
pub struct State {
    pub objects: BTreeMap<String, FakeObject>,
    pub faults: VecDeque<Fault>,
    /// Headers of each request that writes.
    pub puts: Vec<HeaderMap>,
    pub gets: usize,
    /// How many of the answers to reads are a refusal.
    pub refuse_reads: bool,
}

pub struct FakeS3 {
    port: u16,
    pub state: Arc<Mutex<State>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeS3 {
    pub async fn start() -> FakeS3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        FakeS3 { port, state, server }
    }

    pub fn settings(&self) -> Value {
        json!({
            "endpoint": format!("http://127.0.0.1:{}", self.port), "access_key_id": "id", "secret_access_key": "hidden", "session_token": TOKEN,
            "timeout_seconds": 5,
        })
    }

    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.extend(faults);
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            // A hang-up is an error of the service.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

#[derive(Debug, thiserror::Error)]
#[error("hang up")]
struct HungUp;

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Answer, HungUp> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HungUp)?.to_bytes();
    let key = parts.uri.path().strip_prefix("/bucket").unwrap_or_default().trim_start_matches('/').to_owned();
    let key = key.replace("%3D", "=").replace("%25", "%");
    if parts.method == Method::PUT {
        return put(state, key, parts.headers, body).await;
    }
    let mut state = state.lock();
    state.gets += 1;
    if state.refuse_reads {
        return Ok(refusal(403));
    }
    if key.is_empty() {
        return Ok(list(&state, parts.uri.query().unwrap_or_default()));
    }
    let Some(object) = state.objects.get(&key) else { return Ok(refusal(404)) };
    let mut response = Response::builder()
        .header("etag", tag(&object.body))
        .header("last-modified", "Mon, 27 Aug 2018 10:30:05 GMT")
        .header("content-length", object.body.len());
    for (name, value) in object.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-")) {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(object.body.clone())).unwrap())
}

async fn put(state: Arc<Mutex<State>>, key: String, headers: HeaderMap, body: Bytes) -> Result<Answer, HungUp> {
    let fault = {
        let mut state = state.lock();
        state.puts.push(headers.clone());
        state.faults.pop_front().unwrap_or(Fault::None)
    };
    match fault {
        Fault::Refuse(status) => return Ok(refusal(status)),
        Fault::HangUp => return Err(HungUp),
        _ => {}
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    if header("x-amz-checksum-sha256") != Some(BASE64.encode(Sha256::digest(&body)).as_str()) {
        return Ok(refusal(400));
    }
    {
        let mut state = state.lock();
        let there = state.objects.get(&key).map(|object| tag(&object.body));
        let fits = match (header("if-none-match"), header("if-match")) {
            (Some("*"), _) => there.is_none(),
            (_, Some(expect)) => there.as_deref() == Some(expect),
            _ => true,
        };
        if !fits {
            return Ok(refusal(412));
        }
        state.objects.insert(key, FakeObject { body: body.clone(), headers: headers.clone() });
    }
    match fault {
        Fault::EffectThenHangUp => Err(HungUp),
        Fault::EffectThenRefuse(status) => Ok(refusal(status)),
        Fault::EffectThenSilence => std::future::pending().await,
        _ => Ok(Response::builder().header("etag", tag(&body)).body(Full::default()).unwrap()),
    }
}

fn tag(body: &[u8]) -> String {
    format!("\"{}\"", crate::objects::store::hex(&Md5::digest(body)))
}

fn refusal(status: u16) -> Answer {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        412 => "PreconditionFailed",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Because of {TOKEN}.</Message></Error>");
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Full::new(body.into())).unwrap()
}

fn list(state: &State, query: &str) -> Answer {
    let parameter = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.replace("%2F", "/").replace("%3D", "=").replace("%25", "%"))
    };
    let (prefix, after) = (parameter("prefix").unwrap_or_default(), parameter("start-after").unwrap_or_default());
    let mut contents = String::new();
    for (key, object) in state.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after) {
        contents += &format!(
            "<Contents><Key>{key}</Key><LastModified>2018-08-27T10:30:05.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            tag(&object.body).trim_matches('"'),
            object.body.len()
        );
    }
    let body = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
    Response::new(Full::new(body.into()))
}
