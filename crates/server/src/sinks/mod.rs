//! The sinks of the server: what `tailrace.yaml` says of them, the sinks that are made of it, and what the admin pages do with them.

mod build;
mod file;
mod reading;
mod secrets;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{ApiError, Json, attribute_json};
use tailrace_engine::Db;
use tailrace_firehose::Putter;
use tailrace_mapping::{Room, SystemTimer};
use tailrace_sinks::audit::{self, ChainHead};
use tailrace_sinks::delivery_stream::PutRecords;
use tailrace_sinks::runtime::{
    Change, Dependencies, Happening, OpenError, SinkChangeError, SinkState, SinkStatus, Sinks, SourceStatus,
};
use tailrace_sinks::spec::Start;
use tailrace_store::StoreError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub(crate) use reading::{Names, read as read_section};

pub use file::{ConfigFileError, NAMES, SinksFile, beside, read};

use crate::report::Event;

/// Every sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinksPage {
    /// The sinks, by name.
    pub sinks: Vec<SinkStatus>,
}

/// What is to be done to a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkRequest {
    /// Its name.
    pub name: String,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// What the store knows of an audit trail, for whoever holds what lies in its place against it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrailPage {
    /// Its chains, as they were last confirmed.
    pub heads: Vec<ChainHead>,
    /// It began with the oldest records that the streams of its tables had.
    pub from_trim_horizon: bool,
    /// Records that are known and not in it, all tables together.
    pub lag_records: u64,
    /// Its tables of which nothing is entered for now.
    #[serde(default)]
    pub waiting: Vec<WaitingTable>,
}

/// A table that a trail is to have, and that is not entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingTable {
    /// Its name.
    pub table: String,
    /// What it waits for.
    pub reason: String,
}

/// The trail of this name.
///
/// # Errors
/// There is none, or the store's.
pub async fn trail(db: &Db, sinks: &Sinks, name: &str) -> Result<TrailPage, SinkChangeError> {
    let heads = audit::heads(db, name).await.map_err(|error| SinkChangeError::Refused(error.to_string()))?;
    let status = sinks.status().await?.into_iter().find(|status| status.name == name);
    if heads.is_empty() && status.is_none() {
        return Err(SinkChangeError::NotFound(name.to_owned()));
    }
    let from_trim_horizon = sinks.start_of(name) == Some(Start::TrimHorizon);
    let lag_records = status.as_ref().map_or(0, |status| status.lag_records);
    let sources = status.into_iter().flat_map(|status| status.sources);
    let waiting = sources
        .filter_map(|SourceStatus { table, waits_for, .. }| waits_for.map(|reason| WaitingTable { table, reason }));
    Ok(TrailPage { heads, from_trim_horizon, lag_records, waiting: waiting.collect() })
}

/// Who is to be forgotten by an audit trail that hides values under keys of persons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetRequest {
    /// The trail.
    pub name: String,
    /// The value of the attribute that names the person, as the API has it: `{"S": "ann"}`.
    pub subject: Value,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// There was something to forget.
    pub forgotten: bool,
}

/// Forgets a person.
///
/// # Errors
/// There is no such trail, or the store's.
pub async fn forget(
    sinks: &Sinks,
    ForgetRequest { name, subject }: ForgetRequest,
) -> Result<Forgotten, SinkChangeError> {
    let refused = |error: &dyn std::fmt::Display| SinkChangeError::Refused(format!("subject: {error}"));
    let text = subject.to_string();
    let json = Json::parse(text.as_bytes()).map_err(|error| refused(&error))?;
    let person = attribute_json::read_value(json).map_err(|error| refused(&error.current))?;
    Ok(Forgotten { forgotten: sinks.forget(&name, person).await? })
}

/// The delivery streams, as a sink puts records into one.
struct Streams(Putter);

impl PutRecords for Streams {
    fn put(&self, stream: &str, records: Vec<Vec<u8>>) -> BoxFuture<'static, Result<(), ApiError>> {
        let (streams, stream) = (self.0.clone(), stream.to_owned());
        async move { streams.put(&stream, records).await }.boxed()
    }
}

/// Reads the sinks of the store, and makes of them what is configured.
///
/// # Errors
/// A configuration is wrong, or the store's.
pub async fn load(
    db: &Arc<Db>,
    (clock, rng, room, runtime): (&Arc<dyn Clock>, &Arc<dyn Rng>, &Room, &Handle),
    configured: &SinksFile,
    data_dir: &Path,
    streams: Putter,
    events: mpsc::Sender<Event>,
) -> Result<Sinks, OpenError> {
    let observe = move |sink: &str, happening: Happening| {
        let _ = events.try_send(match happening {
            Happening::Flush { table, records, error } => Event::Flush { sink: sink.to_owned(), table, records, error },
            Happening::Notice(text) => Event::Notice(format!("sink {sink}: {text}")),
        });
    };
    let dependencies = Dependencies {
        db: Arc::clone(db),
        clock: Arc::clone(clock),
        timer: Arc::new(SystemTimer(Arc::clone(clock))),
        rng: Arc::clone(rng),
        room: room.clone(),
        build: Arc::new(build::Builder {
            db: Arc::clone(db),
            clock: Arc::clone(clock),
            data_dir: data_dir.to_owned(),
            base: configured.base.clone(),
            streams: Arc::new(Streams(streams)),
        }),
        observe: Arc::new(observe),
        runtime: runtime.clone(),
    };
    Sinks::load(dependencies, &configured.sinks).await
}

/// Resolves when every sink has brought everything to its target, but for those that cannot go on: their names, and why.
///
/// # Errors
/// The store's.
pub async fn settled(sinks: &Sinks) -> Result<Vec<String>, StoreError> {
    let mut changes = sinks.changes();
    loop {
        changes.borrow_and_update();
        if let Some(stuck) = progress(sinks).await? {
            return Ok(stuck);
        }
        if changes.changed().await.is_err() {
            return Ok(Vec::new());
        }
    }
}

/// As [`settled`], at this moment; `None`: something is under way.
///
/// # Errors
/// The store's.
pub async fn progress(sinks: &Sinks) -> Result<Option<Vec<String>>, StoreError> {
    if sinks.is_drained().await? {
        return Ok(Some(Vec::new()));
    }
    Ok(standstill(&sinks.status().await?))
}

/// Why sinks do not go on, if some do not and nothing is under way in any of them.
fn standstill(all: &[SinkStatus]) -> Option<Vec<String>> {
    let rests = |sink: &SinkStatus| {
        let begun = sink.sources.iter().all(|source| source.waits_for.is_none() && source.snapshot_items.is_none());
        let idle = sink.sources.iter().flat_map(|source| &source.shards).all(|shard| shard.drained);
        matches!(sink.state, SinkState::Paused | SinkState::Unconfigured) || (begun && idle && sink.building.is_none())
    };
    // One table of a sink may wait while another one's changes are on their way.
    let stands = |sink: &SinkStatus| match sink.stuck() {
        Some(_) => !sink.goes_on(),
        None => rests(sink),
    };
    let why: Vec<String> = all.iter().filter_map(|sink| Some(format!("{}: {}", sink.name, sink.stuck()?))).collect();
    (!why.is_empty() && all.iter().all(stands)).then_some(why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sink(state: &str, reason: &str, sources: Value) -> SinkStatus {
        let status = json!({"name": "lake", "to": "./lake", "kind": "objects", "state": state, "reason": reason,
            "version": 1, "flushes": 0, "records": 0, "bytes": 0, "lagRecords": 0, "lagIsMore": false, "lagMs": 0,
            "parked": 0, "sources": sources});
        serde_json::from_value(status).unwrap()
    }

    fn table(drained: bool, blocked: bool) -> Value {
        let state = if blocked { "blocked" } else { "idle" };
        json!({"table": "Orders", "shards": [{"shard": 1, "shardId": "s", "position": "0", "state": state,
            "lagRecords": 0, "lagIsMore": false, "lagMs": 0, "parked": 0, "error": "no", "drained": drained,
            "blocked": blocked}]})
    }

    #[test]
    fn a_table_that_waits_does_not_end_the_wait_for_the_others_of_its_sink() {
        let missing = json!({"table": "Missing", "waitsFor": "there is no table Missing", "shards": []});
        let waits = |other: Value| sink("waiting", "there is no table Missing", json!([missing, other]));
        let told = Some(vec!["lake: there is no table Missing".to_owned()]);
        let about_to = |why: &str| json!({"table": "Orders", "waitsFor": why, "shards": []});
        for (other, expect) in [
            (table(false, false), None),
            (about_to("it has not begun"), None),
            (about_to("the target is made ready"), None),
            (json!({"table": "Orders", "snapshotItems": 3, "shards": []}), None),
            (table(true, false), told.clone()),
            (table(false, true), told.clone()),
            (about_to("there is no table Orders"), told.clone()),
        ] {
            assert_eq!(standstill(&[waits(other.clone())]), expect, "{other}");
        }
        // What failed on its way there is tried again and again.
        let failed = SinkStatus { last_error: Some("no".to_owned()), ..waits(about_to("the target is made ready")) };
        assert_eq!(standstill(&[failed]), told);
    }

    #[test]
    fn a_sink_that_is_paused_stands_in_nobodys_way() {
        let paused = sink("paused", "", json!([table(false, true)]));
        let waits = sink(
            "waiting",
            "there is no table T",
            json!([{"table": "T", "waitsFor": "there is no table T", "shards": []}]),
        );
        assert_eq!(standstill(&[paused, waits]), Some(vec!["lake: there is no table T".to_owned()]));
    }
}
