//! What is below `/_admin/` and `/_aws/`: pages of JSON for the command line and for scripts, and the operations that change what they show.
//!
//! A page is read with GET, which a link in a web page can do as well, so a page changes nothing. What changes something is
//! a POST of `application/json`, which passes the checks of `Host` and `Origin` as every request does, and whose content type
//! no form of a foreign page can send.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tailrace_core::ErrorKind;
use tailrace_core::limits::KEPT_LOG_WAIT;
use tailrace_engine::Db;
use tailrace_engine::background::JobStatus;
use tailrace_engine::background::expire::expire_at_once;
use tailrace_engine::streams::roll::{Children, roll_over};
use tailrace_firehose::{DeliveryStreams, StreamStatus};
use tailrace_mapping::MappingError;
use tailrace_sinks::runtime::{SinkChangeError, Sinks};
use tailrace_wire::{AdminRequest, Page};

use crate::background::{JobAction, Jobs};
use crate::lambda_api::unescaped;
use crate::logs::{FunctionLogs, Place, Selection};
use crate::mappings::Mappings;
use crate::parked;
use crate::report::{InvokeRequest, MappingsPage, RecordName};
use crate::sinks::{ForgetRequest, SinkRequest, SinksPage};
use crate::template::did_you_mean;

/// Answers a request below `/_admin/` or `/_aws/`; `None`: there is nothing at this path.
pub async fn answer(
    db: &Db,
    mappings: &Mappings,
    (sinks, streams, logs, jobs): (&Sinks, &DeliveryStreams, &FunctionLogs, &Jobs),
    request: AdminRequest<'_>,
) -> Option<Page> {
    Some(match request {
        AdminRequest::Get { path: "/_admin/logs", query } => self::logs(mappings, logs, query).await,
        AdminRequest::Get { path: "/_admin/mappings", .. } => match mappings.overview().await {
            Ok(mappings) => page(200, &MappingsPage { mappings }),
            Err(error) => failure(&error.into()),
        },
        AdminRequest::Get { path: "/_admin/parked", query } => {
            let parameter = |wanted: &str| parameter(query, wanted);
            outcome(mappings.parked(parameter("mapping").as_deref(), parameter("after").as_deref()).await)
        }
        AdminRequest::Post { path: "/_admin/parked/redrive", body } => match read::<RecordName>(body) {
            Ok(name) => outcome(mappings.redrive(&name).await),
            Err(refusal) => refusal,
        },
        AdminRequest::Post { path: "/_admin/parked/discard", body } => match read::<RecordName>(body) {
            Ok(name) => outcome(mappings.discard(&name).await.map(|()| Done {})),
            Err(refusal) => refusal,
        },
        AdminRequest::Post { path: "/_admin/damaged/skip", body } => match read::<RecordName>(body) {
            Ok(name) => outcome(mappings.skip_damaged(&name).map(|()| Done {})),
            Err(refusal) => refusal,
        },
        AdminRequest::Get { path: "/_admin/sinks", .. } => match sinks.status().await {
            Ok(sinks) => page(200, &SinksPage { sinks }),
            Err(error) => failure(&error.into()),
        },
        AdminRequest::Get { path: "/_admin/sinks/parked", query } => {
            let parameter = |wanted: &str| parameter(query, wanted);
            let (name, table) = (parameter("name").unwrap_or_default(), parameter("table").unwrap_or_default());
            let after = parameter("after");
            sink_outcome(parked::of_sink(sinks, (&name, &table), after.as_deref(), db.clock().now()).await)
        }
        AdminRequest::Get { path: "/_admin/sinks/trail", query } => {
            sink_outcome(crate::sinks::trail(db, sinks, &parameter(query, "name").unwrap_or_default()).await)
        }
        AdminRequest::Post { path: "/_admin/delivery-streams", body } => match read::<StreamRequest>(body) {
            Ok(StreamRequest { name, action: StreamAction::Skip }) => match streams.skip_damaged(&name) {
                Ok(skipped) => page(200, &Skipped { skipped }),
                Err(error) => message(ErrorKind::NotFound, &error.to_string()),
            },
            Err(refusal) => refusal,
        },
        AdminRequest::Get { path: "/_admin/delivery-streams", .. } => match streams.status().await {
            Ok(delivery_streams) => page(200, &DeliveryStreamsPage { delivery_streams }),
            Err(error) => failure(&error.into()),
        },
        AdminRequest::Post { path: "/_admin/sinks", body } => match read::<SinkRequest>(body) {
            Ok(SinkRequest { name, change }) => sink_outcome(sinks.change(&name, change).await),
            Err(refusal) => refusal,
        },
        AdminRequest::Post { path: "/_admin/sinks/forget", body } => match read::<ForgetRequest>(body) {
            Ok(request) => sink_outcome(crate::sinks::forget(sinks, request).await),
            Err(refusal) => refusal,
        },
        AdminRequest::Get { path: "/_admin/background", .. } => page(200, &JobsPage { jobs: jobs.status() }),
        AdminRequest::Post { path: "/_admin/background", body } => match read::<JobRequest>(body) {
            Ok(JobRequest { name, action }) => match jobs.act(&name, action) {
                Ok(status) => page(200, &status),
                Err(error) => message(ErrorKind::NotFound, &error.to_string()),
            },
            Err(refusal) => refusal,
        },
        AdminRequest::Post { path: "/_admin/shards", body } => match read::<ShardsRequest>(body) {
            Ok(ShardsRequest { table, action }) => match roll_over(db, &table, action.children()).await {
                Ok(sealed) => page(200, &serde_json::json!({ "sealed": sealed })),
                Err(error) if error.code.http_status() < 500 => message(ErrorKind::NotFound, &error.to_string()),
                Err(error) => message(ErrorKind::Internal, &error.to_string()),
            },
            Err(refusal) => refusal,
        },
        AdminRequest::Post { path: "/_admin/invoke", body } => match read::<InvokeRequest>(body) {
            Ok(request) => {
                let known: Vec<String> = mappings.functions().into_iter().map(|config| config.name).collect();
                let is_known = known.contains(&request.function) || request.function.starts_with("arn:");
                let hint = match is_known {
                    true => String::new(),
                    false => did_you_mean(&request.function, known.iter().map(String::as_str)),
                };
                let mut answer = mappings.invoke(request).await;
                if let Some(error) = answer.error.as_mut().filter(|_| answer.payload.is_null()) {
                    error.push_str(&hint);
                }
                page(200, &answer)
            }
            Err(refusal) => refusal,
        },
        // As LocalStack has it.
        AdminRequest::Delete { path: "/_aws/dynamodb/expired" } => match expire_at_once(db).await {
            Ok(expired) => page(200, &serde_json::json!({ "ExpiredItems": expired })),
            Err(error) => message(ErrorKind::Internal, &error.to_string()),
        },
        _ => return None,
    })
}

/// A parameter of a query, without its escapes.
fn parameter(query: Option<&str>, wanted: &str) -> Option<String> {
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| unescaped(value))
}

/// What a function wrote: `function`, and `after`, `request` and `wait` as [`Selection`] and [`FunctionLogs::page`] have them.
async fn logs(mappings: &Mappings, logs: &FunctionLogs, query: Option<&str>) -> Page {
    let function = parameter(query, "function").unwrap_or_default();
    let after = match parameter(query, "after") {
        None => None,
        Some(text) => match Place::parse(&text) {
            Some(place) => Some(place),
            None => return message(ErrorKind::Invalid, "after is not what an earlier page gave as next"),
        },
    };
    let known: Vec<String> = mappings.functions().into_iter().map(|config| config.name).collect();
    if !known.contains(&function) {
        let kept = logs.functions().await;
        if !kept.contains(&function) {
            let hint = did_you_mean(&function, known.iter().chain(&kept).map(String::as_str));
            return message(ErrorKind::NotFound, &format!("there is no function {function}{hint}"));
        }
    }
    let wait = parameter(query, "wait").is_some_and(|wait| wait == "true").then_some(KEPT_LOG_WAIT);
    let selection = Selection { function, after, request: parameter(query, "request") };
    match logs.page(selection, wait).await {
        Ok(found) => page(200, &found),
        Err(error) => message(ErrorKind::Internal, &error.to_string()),
    }
}

/// The answer to `GET /_admin/delivery-streams`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStreamsPage {
    /// How each of them stands, by name.
    pub delivery_streams: Vec<StreamStatus>,
}

/// The body of `POST /_admin/delivery-streams`.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamRequest {
    /// The delivery stream's name.
    pub name: String,
    /// What is to be done to it.
    pub action: StreamAction,
}

/// What is to be done to a delivery stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamAction {
    /// Damaged records that hold it up are set aside.
    Skip,
}

/// The answer to `skip`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Damaged records that are set aside as soon as all before them is done.
    pub skipped: usize,
}

/// The answer to `GET /_admin/background`.
#[derive(Serialize)]
struct JobsPage {
    /// How each of them stands.
    jobs: Vec<JobStatus>,
}

/// The body of `POST /_admin/background`.
#[derive(Deserialize)]
struct JobRequest {
    /// The job's name.
    name: String,
    /// What it is to do.
    action: JobAction,
}

/// The body of `POST /_admin/shards`.
#[derive(Deserialize)]
struct ShardsRequest {
    /// The table whose stream's open shards are sealed.
    table: String,
    /// Into what.
    action: ShardsAction,
}

/// What is done to open shards.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShardsAction {
    /// A child each takes their place.
    Roll,
    /// Two children each.
    Split,
}

impl ShardsAction {
    fn children(self) -> Children {
        match self {
            ShardsAction::Roll => Children::One,
            ShardsAction::Split => Children::Halves,
        }
    }
}

/// An answer that says no more than that it was done.
#[derive(Serialize)]
struct Done {}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Page> {
    serde_json::from_slice(body)
        .map_err(|error| message(ErrorKind::Invalid, &format!("the body is not what it should be: {error}")))
}

fn outcome(result: Result<impl Serialize, MappingError>) -> Page {
    match result {
        Ok(document) => page(200, &document),
        Err(error) => failure(&error),
    }
}

fn sink_outcome(result: Result<impl Serialize, SinkChangeError>) -> Page {
    match result {
        Ok(document) => page(200, &document),
        Err(error @ SinkChangeError::NotFound(_)) => message(ErrorKind::NotFound, &error.to_string()),
        Err(error @ SinkChangeError::Refused(_)) => message(ErrorKind::Conflict, &error.to_string()),
        Err(SinkChangeError::Store(error)) => failure(&error.into()),
    }
}

fn failure(error: &MappingError) -> Page {
    match error {
        MappingError::NotFound => message(error.kind(), "There is no such mapping, or no such record in it."),
        other => message(other.kind(), &other.to_string()),
    }
}

fn message(kind: ErrorKind, text: &str) -> Page {
    page(kind.http_status(), &serde_json::json!({ "Message": text }))
}

fn page(status: u16, document: &impl Serialize) -> Page {
    let json = serde_json::to_vec(document).expect("invariant: reports can be written as JSON");
    Page { status, json: Bytes::from(json) }
}
