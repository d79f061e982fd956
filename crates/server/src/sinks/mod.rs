//! The sinks of the server: what `tailrace.yaml` says of them, the sinks that are made of it, and what the admin pages do with them.

mod build;
mod file;
mod secrets;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_engine::Db;
use tailrace_mapping::SystemTimer;
use tailrace_sinks::runtime::{Change, Dependencies, Notice, OpenError, SinkStatus, Sinks};
use tokio::sync::mpsc;

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
    configured: &BTreeMap<String, Value>,
    data_dir: &Path,
    events: mpsc::Sender<Event>,
) -> Result<Sinks, OpenError> {
    let notices = move |notice: Notice| {
        let _ = events.try_send(Event::Notice(format!("sink {}: {}", notice.sink, notice.text)));
    };
    let dependencies = Dependencies {
        db: Arc::clone(db),
        clock: Arc::clone(clock),
        timer: Arc::new(SystemTimer(Arc::clone(clock))),
        rng: Arc::clone(rng),
        build: Arc::new(build::Builder { clock: Arc::clone(clock), db: Arc::clone(db), data_dir: data_dir.to_owned() }),
        notices: Arc::new(notices),
    };
    Sinks::load(dependencies, configured).await
}
