//! A search engine on loopback that has the rules this sink lives by: external versions, tombstones, `create`, aliases that
//! change at once; and fails where it is told to, before or after it has done what it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::kit::POISON;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused, with this status, and nothing is done.
    Refuse(u16),
    /// The connection is cut, and nothing is done.
    HangUp,
    /// It is done, and the connection cut.
    DoneThenHangUp,
    /// It is done, and this status answered.
    DoneThen(u16),
    /// It is done, and the answer cut after this percentage of it.
    DoneThenCut(usize),
    /// It is done, and the answer is no JSON.
    DoneThenGarbage,
    /// It is done, and the answer is a whole document that lacks the last item.
    DoneThenShort,
    /// Nobody ever answers.
    Silence,
}

/// What goes wrong with one document of a bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemFault {
    /// It is refused, with this status.
    Refuse(u16),
    /// It is done, and this status told.
    DoneThen(u16),
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    /// All headers.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub sent: Bytes,
    /// Unzipped.
    pub body: String,
    pub is_gzip: bool,
}

#[derive(Clone, Debug, Default)]
pub struct FakeIndex {
    /// What it was made with.
    pub body: Value,
    /// Documents by id, with their versions.
    pub documents: BTreeMap<String, (u64, Value)>,
    /// Versions of deleted documents.
    pub tombstones: BTreeMap<String, u64>,
    pub refreshes: usize,
}

type Faults = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;
type ItemFaults = Box<dyn FnMut(&str) -> Option<ItemFault> + Send>;

pub struct State {
    pub indexes: BTreeMap<String, FakeIndex>,
    pub aliases: BTreeMap<String, BTreeSet<String>>,
    pub templates: BTreeMap<String, Value>,
    /// Largest body it takes.
    pub bytes_max: usize,
    pub asked: Vec<Asked>,
    pub faults: Faults,
    pub item_faults: ItemFaults,
    /// What everything is refused with, as somebody who may not.
    pub refusal: Option<String>,
}

impl Default for State {
    fn default() -> State {
        State {
            indexes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            templates: BTreeMap::new(),
            bytes_max: usize::MAX,
            asked: Vec::new(),
            faults: Box::new(|_| None),
            item_faults: Box::new(|_| None),
            refusal: None,
        }
    }
}

impl State {
    /// The bulks that came: their paths and bodies.
    pub fn bulks(&self) -> Vec<&Asked> {
        self.asked.iter().filter(|asked| asked.path.ends_with("/_bulk")).collect()
    }

    /// The documents of an index, by id.
    pub fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        let documents = self.indexes.get(index).map(|index| index.documents.clone()).unwrap_or_default();
        documents.into_iter().map(|(id, (_, document))| (id, document)).collect()
    }

    /// Fails the next requests whose path contains `part`, one after the other.
    pub fn fail(&mut self, part: &'static str, faults: &[Fault]) {
        let faults: Vec<Fault> = faults.to_vec();
        let mut faults = faults.into_iter();
        self.faults = Box::new(move |asked| asked.path.contains(part).then(|| faults.next()).flatten());
    }
}

pub struct Fake {
    pub address: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move {
                    // A connection that is cut, as faults do it, ends with an error.
                    let _ = connection.await;
                });
            }
        });
        Fake { address, state, task }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

type Body = BoxBody<Bytes, io::Error>;

fn whole(status: u16, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never: Infallible| match never {}).boxed();
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body).unwrap()
}

fn cut() -> io::Error {
    io::Error::other("cut")
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let text = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let mut asked = Asked {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        headers: request.headers().iter().map(text).collect(),
        sent: Bytes::new(),
        body: String::new(),
        is_gzip: header("content-encoding").as_deref() == Some("gzip"),
    };
    let body = request.into_body().collect().await.map_err(|_| cut())?.to_bytes();
    asked.sent = body.clone();
    if asked.is_gzip {
        GzDecoder::new(&*body).read_to_string(&mut asked.body).unwrap();
    } else {
        asked.body = String::from_utf8(body.to_vec()).unwrap();
    }
    let refusal = state.lock().refusal.clone();
    if let Some(words) = refusal {
        return Ok(whole(403, &words));
    }
    let fault = {
        let mut state = state.lock();
        state.asked.push(asked.clone());
        (state.faults)(&asked)
    };
    match fault {
        Some(Fault::Refuse(status)) => {
            return Ok(whole(status, r#"{"error":{"type":"refused","reason":"by a test"}}"#));
        }
        Some(Fault::HangUp) => return Err(cut()),
        Some(Fault::Silence) => return std::future::pending().await,
        _ => {}
    }
    let (status, told) = state.lock().done(&asked);
    Ok(match fault {
        Some(Fault::DoneThenHangUp) => return Err(cut()),
        Some(Fault::DoneThen(status)) => whole(status, "<html>no</html>"),
        Some(Fault::DoneThenGarbage) => whole(200, "<html>welcome</html>"),
        Some(Fault::DoneThenShort) => whole(200, &short(&told)),
        Some(Fault::DoneThenCut(percent)) => {
            let text = told.to_string();
            let start = Bytes::from(text[..text.len() * percent / 100].to_owned());
            let frames = stream::iter([Ok(Frame::data(start)), Err(cut())]);
            Response::new(StreamBody::new(frames).boxed())
        }
        _ => whole(status, &told.to_string()),
    })
}

fn short(told: &Value) -> String {
    let mut told = told.clone();
    told["items"].as_array_mut().map(Vec::pop);
    told.to_string()
}

fn error(status: u16, kind: &str, reason: &str) -> (u16, Value) {
    (status, json!({"error": {"type": kind, "reason": reason}, "status": status}))
}

fn acknowledged() -> (u16, Value) {
    (200, json!({"acknowledged": true}))
}

impl State {
    fn done(&mut self, asked: &Asked) -> (u16, Value) {
        let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        let body = || serde_json::from_str::<Value>(&asked.body).unwrap();
        match (asked.method.as_str(), parts.as_slice()) {
            ("POST", [index, "_bulk"]) => self.bulk(index, asked),
            ("POST", [index, "_refresh"]) => match self.indexes.get_mut(*index) {
                Some(index) => {
                    index.refreshes += 1;
                    (200, json!({"_shards": {"failed": 0}}))
                }
                None => error(404, "index_not_found_exception", "no such index"),
            },
            ("GET", ["_alias", alias]) => match self.aliases.get(*alias) {
                Some(holders) => {
                    let holder = |index: &String| (index.clone(), json!({"aliases": {*alias: {}}}));
                    (200, Value::Object(holders.iter().map(holder).collect()))
                }
                None => (404, json!({"error": "alias [orders] missing", "status": 404})),
            },
            ("GET", [pattern, "_mapping"]) => {
                // Aliases are found like indexes, and told by the indexes that have them.
                let fits = |name: &String| match pattern.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => name == pattern,
                };
                let meant = |name: &String| {
                    fits(name) || self.aliases.iter().any(|(alias, holders)| fits(alias) && holders.contains(name))
                };
                let marks = |(name, index): (&String, &FakeIndex)| {
                    let meta = index.body["mappings"].get("_meta")?;
                    meant(name).then(|| (name.clone(), json!({"mappings": {"_meta": meta}})))
                };
                (200, Value::Object(self.indexes.iter().filter_map(marks).collect()))
            }
            ("PUT", [index, "_mapping"]) => match self.indexes.get_mut(*index) {
                Some(index) => {
                    index.body["mappings"]["_meta"] = body()["_meta"].clone();
                    acknowledged()
                }
                None => error(404, "index_not_found_exception", "no such index"),
            },
            ("POST", ["_aliases"]) => self.change_aliases(&body()["actions"]),
            ("PUT", ["_index_template", name]) => {
                self.templates.insert((*name).to_owned(), body());
                acknowledged()
            }
            ("HEAD", [name]) => match self.indexes.contains_key(*name) || self.aliases.contains_key(*name) {
                true => (200, Value::Null),
                false => (404, Value::Null),
            },
            ("PUT", [index]) => {
                if self.indexes.contains_key(*index) || self.aliases.contains_key(*index) {
                    return error(400, "resource_already_exists_exception", "it is there");
                }
                let body = body();
                for alias in body["aliases"].as_object().into_iter().flatten() {
                    self.aliases.entry(alias.0.clone()).or_default().insert((*index).to_owned());
                }
                self.indexes.insert((*index).to_owned(), FakeIndex { body, ..FakeIndex::default() });
                acknowledged()
            }
            ("DELETE", [index]) => match self.remove(index) {
                true => acknowledged(),
                false => error(404, "index_not_found_exception", "no such index"),
            },
            _ => error(405, "no_such_request", &asked.path),
        }
    }

    fn remove(&mut self, index: &str) -> bool {
        self.aliases.values_mut().for_each(|holders| {
            holders.remove(index);
        });
        self.aliases.retain(|_, holders| !holders.is_empty());
        self.indexes.remove(index).is_some()
    }

    fn change_aliases(&mut self, actions: &Value) -> (u16, Value) {
        for action in actions.as_array().unwrap() {
            let (word, what) = action.as_object().unwrap().iter().next().unwrap();
            let name = |member: &str| what[member].as_str().unwrap_or_default().to_owned();
            match word.as_str() {
                "add" if !self.indexes.contains_key(&name("index")) => {
                    return error(404, "index_not_found_exception", "no such index");
                }
                "add" => {
                    self.aliases.entry(name("alias")).or_default().insert(name("index"));
                }
                "remove" => {
                    if let Some(holders) = self.aliases.get_mut(&name("alias")) {
                        holders.remove(&name("index"));
                    }
                }
                "remove_index" => {
                    self.remove(&name("index"));
                }
                _ => return error(400, "illegal_argument_exception", word),
            }
        }
        acknowledged()
    }

    fn bulk(&mut self, index: &str, asked: &Asked) -> (u16, Value) {
        if asked.body.len() > self.bytes_max {
            return error(413, "too_large", "the body is too large");
        }
        assert!(asked.body.ends_with('\n'), "a bulk ends with a line end");
        let (mut lines, mut items) = (asked.body.lines(), Vec::new());
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_str(line).unwrap();
            let (op, meta) = action.as_object().unwrap().iter().next().unwrap();
            let document = (op != "delete").then(|| lines.next().unwrap());
            let given = format!("given-{}", self.asked.len() * 1_000 + items.len());
            let id = meta["_id"].as_str().unwrap_or(&given).to_owned();
            let fault = (self.item_faults)(&id);
            let (status, told) = match fault {
                Some(ItemFault::Refuse(status)) => error(status, "refused", "by a test"),
                _ => self.one(index, op, &id, meta, document),
            };
            let (status, mut told) = match fault {
                Some(ItemFault::DoneThen(status)) => error(status, "too_late", "by a test"),
                _ => (status, told),
            };
            told["status"] = status.into();
            items.push(json!({ op: told }));
        }
        let errors = items.iter().any(|item| item.to_string().contains("\"error\""));
        (200, json!({"errors": errors, "items": items}))
    }

    fn one(&mut self, index: &str, op: &str, id: &str, meta: &Value, document: Option<&str>) -> (u16, Value) {
        assert!(!id.is_empty() && id.len() <= 512, "{id}");
        let is_plain = op == "index" && meta.get("version").is_none();
        if is_plain && !self.indexes.contains_key(index) {
            self.indexes.insert(index.to_owned(), FakeIndex::default());
        }
        let Some(index) = self.indexes.get_mut(index) else {
            return error(404, "index_not_found_exception", "no such index");
        };
        let document = document.map(|text| serde_json::from_str::<Value>(text).unwrap());
        // A document is read before its version is looked at.
        let is_poison = |document: &Value| {
            let v = [&document["v"], &document["new_image"]["v"]];
            document.to_string().contains("poison") || v.contains(&&POISON.into())
        };
        if document.as_ref().is_some_and(is_poison) {
            return error(400, "mapper_parsing_exception", "failed to parse");
        }
        let conflict = || error(409, "version_conflict_engine_exception", "there is a newer one");
        if op == "create" {
            if index.documents.contains_key(id) {
                return conflict();
            }
            index.documents.insert(id.to_owned(), (1, document.unwrap()));
            return (201, json!({}));
        }
        if is_plain {
            let version = index.documents.get(id).map_or(1, |(version, _)| version + 1);
            index.documents.insert(id.to_owned(), (version, document.unwrap()));
            return (if version == 1 { 201 } else { 200 }, json!({}));
        }
        assert_eq!(meta["version_type"], "external");
        let version = meta["version"].as_u64().unwrap();
        let there = index.documents.get(id).map(|(version, _)| *version);
        if there.or(index.tombstones.get(id).copied()).is_some_and(|there| there >= version) {
            return conflict();
        }
        match document {
            Some(document) => {
                index.tombstones.remove(id);
                index.documents.insert(id.to_owned(), (version, document));
                (if there.is_some() { 200 } else { 201 }, json!({}))
            }
            None => {
                index.tombstones.insert(id.to_owned(), version);
                index.documents.remove(id);
                (if there.is_some() { 200 } else { 404 }, json!({}))
            }
        }
    }
}
