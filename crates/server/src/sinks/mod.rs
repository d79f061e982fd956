//! The sinks of the server: what `tailrace.yaml` says of them, the sinks that are made of it, and what the admin pages do with them.

mod build;
mod file;
mod secrets;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_engine::Db;
use tailrace_mapping::SystemTimer;
use tailrace_sinks::runtime::{Change, Dependencies, Happening, OpenError, SinkState, SinkStatus, Sinks};
use tailrace_store::StoreError;
use tokio::sync::mpsc;

pub(crate) use secrets::resolve as resolve_secrets;

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

/// Reads the sinks of the store, and makes of them what is configured.
///
/// # Errors
/// A configuration is wrong, or the store's.
pub async fn load(
    db: &Arc<Db>,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
    configured: &SinksFile,
    data_dir: &Path,
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
        build: Arc::new(build::Builder {
            db: Arc::clone(db),
            clock: Arc::clone(clock),
            data_dir: data_dir.to_owned(),
            base: configured.base.clone(),
        }),
        observe: Arc::new(observe),
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
        if sinks.is_drained().await? {
            return Ok(Vec::new());
        }
        let all = sinks.status().await?;
        let stuck = |sink: &&SinkStatus| {
            let shards = || sink.sources.iter().flat_map(|source| &source.shards);
            matches!(sink.state, SinkState::Waiting | SinkState::Blocked) || shards().any(|shard| shard.blocked)
        };
        let rests = |sink: &SinkStatus| {
            let begun = sink.sources.iter().all(|source| source.waits_for.is_none() && source.snapshot_items.is_none());
            let idle = sink.sources.iter().flat_map(|source| &source.shards).all(|shard| shard.drained);
            matches!(sink.state, SinkState::Paused | SinkState::Unconfigured)
                || (begun && idle && sink.building.is_none())
        };
        if all.iter().all(|sink| stuck(&sink) || rests(sink)) && all.iter().any(|sink| stuck(&sink)) {
            let why = |sink: &SinkStatus| {
                let error = sink.reason.as_ref().or(sink.last_error.as_ref());
                format!("{}: {}", sink.name, error.map_or("no error told", String::as_str))
            };
            return Ok(all.iter().filter(stuck).map(why).collect());
        }
        if changes.changed().await.is_err() {
            return Ok(Vec::new());
        }
    }
}
