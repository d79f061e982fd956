//! Where Kinesis is, for the destinations of tables.
//!
//! ```yaml
//! kinesis: {endpoint: "http://localhost:4567", access_key_id: "${env:ID}", secret_access_key: "${env:KEY}"}
//! ```
//!
//! With this section, or with an endpoint from the command line, destinations are delivered to; without an endpoint to AWS's own, of the region
//! that a stream's ARN names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::ApiError;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_engine::streams::record::RecordWriter;
use tailrace_engine::{Db, TimePrecision};
use tailrace_mapping::{Room, SystemTimer};
use tailrace_sinks::destinations::{Dependencies, Destinations};
use tailrace_sinks::kinesis::{Config, Kinesis, Memory};
use tailrace_sinks::sink::Sink;
use tailrace_sinks::spec::SpecError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::report::Event;
use crate::sinks::{Names, read_section};

/// What a section may not say: each destination says it itself.
const OF_DESTINATIONS: [&str; 2] = ["to", "precision"];
/// A stream, where only the rest is checked.
const ANY_STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/any";

/// Where Kinesis is.
#[derive(Clone)]
pub struct Place {
    /// The section of the configuration, as it is written.
    section: Value,
    /// Relative paths of its secrets are meant from there.
    base: PathBuf,
}

impl Place {
    /// What the configuration and the command line say; `None`: neither says anything.
    pub fn new(section: &Value, base: &Path, endpoint: Option<&str>) -> Option<Place> {
        let mut section = section.clone();
        if let Some(endpoint) = endpoint {
            if section.is_null() {
                section = json!({});
            }
            section["endpoint"] = endpoint.into();
        }
        (!section.is_null()).then(|| Place { section, base: base.to_owned() })
    }

    /// The settings of the stream with this ARN.
    fn config(&self, stream_arn: &str) -> Result<Config, SpecError> {
        let Some(members) = self.section.as_object() else {
            return Err(wrong("a map is expected, like {endpoint: \"http://localhost:4567\"}"));
        };
        if let Some(name) = OF_DESTINATIONS.iter().find(|name| members.contains_key(**name)) {
            return Err(wrong(format!("`{name}` is said by each destination")));
        }
        let mut written = self.section.clone();
        written["to"] = format!("kinesis:{stream_arn}").into();
        read_section(&written, &self.base, Names { never: &OF_DESTINATIONS, ..Names::default() }).map_err(wrong)
    }

    /// Checks it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        self.config(ANY_STREAM)?.validate().map_err(wrong)
    }

    fn sink(
        &self,
        (stream_arn, precision): (&str, TimePrecision),
        records: RecordWriter,
        memory: Memory,
    ) -> Result<Arc<dyn Sink>, SpecError> {
        let config = Config { precision, ..self.config(stream_arn)? };
        Ok(Arc::new(Kinesis::new(&config, records, memory).map_err(|error| SpecError(error.to_string()))?))
    }
}

/// What is wrong with the section.
fn wrong(error: impl std::fmt::Display) -> SpecError {
    SpecError(format!("kinesis: {error}"))
}

/// Reads the destinations of the store.
///
/// # Errors
/// The store's.
pub async fn load(
    db: &Arc<Db>,
    (clock, rng, room, runtime): (&Arc<dyn Clock>, &Arc<dyn Rng>, &Room, &Handle),
    place: Option<Place>,
    events: mpsc::Sender<Event>,
) -> Result<Destinations, ApiError> {
    // One for all: the numbers of shards are given once.
    let (records, memory) = (db.record_writer(), Memory::default());
    let build = move |stream_arn: &str, precision| {
        let sink = |place: &Place| place.sink((stream_arn, precision), records.clone(), memory.clone());
        place.as_ref().map(sink).transpose()
    };
    let dependencies = Dependencies {
        db: Arc::clone(db),
        clock: Arc::clone(clock),
        timer: Arc::new(SystemTimer(Arc::clone(clock))),
        rng: Arc::clone(rng),
        room: room.clone(),
        build: Arc::new(build),
        notices: Arc::new(move |text| drop(events.try_send(Event::Notice(text)))),
        runtime: runtime.clone(),
    };
    Destinations::load(dependencies).await
}
