//! Makes a sink of what is configured: each kind from settings of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tailrace_core::AttributeValue;
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_engine::{Caller, Db};
use tailrace_sinks::audit::{self, Audit};
use tailrace_sinks::delivery_stream::{self, DeliveryStreamSink, PutRecords};
use tailrace_sinks::kinesis::{self, Kinesis};
use tailrace_sinks::notify::{self, Notify};
use tailrace_sinks::objects::store::{Destination, ObjectError, ObjectWriter, Over, PlaceError, Put};
use tailrace_sinks::objects::{self, ObjectSink, S3Config};
use tailrace_sinks::runtime::Build;
use tailrace_sinks::search::{self, Search};
use tailrace_sinks::secret::Secret;
use tailrace_sinks::sink::{Sink, SinkError};
use tailrace_sinks::spec::{Kind, SinkSpec, SpecError, Start};
use tailrace_sinks::views::{self, View};
use tailrace_sinks::warehouse::{self, Stage, Staging, Warehouse};

use super::reading::{self, Names};

/// Makes sinks.
pub struct Builder {
    /// The database.
    pub db: Arc<Db>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Everything durable.
    pub data_dir: PathBuf,
    /// Where the configuration lies: what it says of files is meant from there.
    pub base: PathBuf,
    /// The delivery streams.
    pub streams: Arc<dyn PutRecords>,
}

fn wrong(spec: &SinkSpec, error: impl std::fmt::Display) -> SpecError {
    SpecError(format!("sinks.{}: {error}", spec.name))
}

/// What every sink may say: it is not among the settings of its kind.
const OF_EVERY_SINK: [&str; 5] = ["from", "where", "events", "start", "optional"];

/// The settings of the sink itself, with secrets in them. Relative paths of secrets are meant from `base`.
fn settings<T: DeserializeOwned>(spec: &SinkSpec, base: &Path) -> Result<T, SpecError> {
    let names = Names { also: &OF_EVERY_SINK, also_of: "what every sink has", ..Names::default() };
    reading::read(&Value::Object(spec.settings.clone()), base, names).map_err(|text| wrong(spec, text))
}

/// The settings of a view.
fn view(spec: &SinkSpec, base: &Path) -> Result<views::Config, SpecError> {
    if spec.from.len() > 1 {
        return Err(wrong(spec, format!("a view has one table in `from`, not {}", spec.from.len())));
    }
    if spec.start == Start::Latest {
        let text = "`start: latest` is not for a view, which cannot take away what it has not added: snapshot and trim_horizon are";
        return Err(wrong(spec, text));
    }
    settings(spec, base)
}

/// Checks the settings of a sink, as far as that can be done without its target; `base` is the directory of the file that has them.
///
/// # Errors
/// What is wrong.
pub fn check(spec: &SinkSpec, base: &Path) -> Result<(), SpecError> {
    match spec.kind {
        Kind::Objects => settings::<objects::Config>(spec, base)?.validate().map_err(|error| wrong(spec, error)),
        Kind::Search | Kind::SearchLog => {
            let config = settings::<search::Config>(spec, base)?;
            if spec.from.len() > 1 && !config.takes_several_tables() {
                let text = "an index of items has one table in `from`: equal keys of two would be one document. Give each a sink, or say `mode: log`";
                return Err(wrong(spec, text));
            }
            config.validate().map_err(|error| wrong(spec, error))
        }
        Kind::Warehouse => settings::<warehouse::Config>(spec, base)?.validate().map_err(|error| wrong(spec, error)),
        // Whether a key lies in the data directory is seen when that is known.
        Kind::Audit => {
            let config = settings::<audit::Config>(spec, base)?;
            config.validate(&PathBuf::new()).map_err(|error| wrong(spec, error))?;
            config.place(Arc::new(ManualClock::default())).map(|_| ()).map_err(|error| wrong(spec, error))
        }
        Kind::View => view(spec, base)?.validate().map(|_| ()).map_err(|error| wrong(spec, error)),
        Kind::Notify => settings::<notify::Config>(spec, base)?.validate().map_err(|error| wrong(spec, error)),
        Kind::DeliveryStream => {
            settings::<delivery_stream::Config>(spec, base)?.validate().map_err(|error| wrong(spec, error))
        }
        Kind::Kinesis => settings::<kinesis::Config>(spec, base)?.validate().map_err(|error| wrong(spec, error)),
    }
}

/// A path that is meant from `base`.
fn from_base(base: &Path, path: &str) -> Option<String> {
    let path = Path::new(path);
    let is_relative = path.is_relative() && !path.as_os_str().is_empty();
    is_relative.then(|| base.join(path)).and_then(|path| path.to_str().map(str::to_owned))
}

/// A setting with another member `key`.
fn with_key(setting: &Value, key: String) -> Value {
    let mut setting = setting.clone();
    setting["key"] = key.into();
    setting
}

/// The sink with paths that do not depend on where the process was started.
fn located(spec: &SinkSpec, base: &Path) -> SinkSpec {
    let mut spec = spec.clone();
    if spec.kind == Kind::Objects && spec.to.starts_with('.') {
        spec.settings.extend(from_base(base, &spec.to).map(|to| ("to".to_owned(), to.into())));
    }
    let dir = spec.settings.get("dir").and_then(Value::as_str);
    if let Some(dir) = dir.filter(|_| spec.kind == Kind::Audit).and_then(|dir| from_base(base, dir)) {
        spec.settings.insert("dir".to_owned(), dir.into());
    }
    let key = spec.settings.get("sign").and_then(|sign| sign.get("key")).and_then(Value::as_str);
    if let Some(key) = key.filter(|_| spec.kind == Kind::Audit).and_then(|key| from_base(base, key)) {
        spec.settings.insert("sign".to_owned(), with_key(&spec.settings["sign"], key));
    }
    spec
}

impl Build for Builder {
    fn build(&self, spec: &SinkSpec, version: u32) -> Result<Arc<dyn Sink>, SpecError> {
        let base = &self.base;
        let spec = &located(spec, base);
        Ok(match spec.kind {
            Kind::Objects => {
                let config: objects::Config = settings(spec, base)?;
                let sink = ObjectSink::new(&config, self.db.record_writer(), self.clock.clone());
                Arc::new(sink.map_err(|error| wrong(spec, error))?)
            }
            Kind::Search | Kind::SearchLog => {
                let sink = Search::new(settings(spec, base)?, &spec.name, version, self.db.record_writer());
                Arc::new(sink.map_err(|error| wrong(spec, error))?)
            }
            Kind::Warehouse => {
                let config: warehouse::Config = settings(spec, base)?;
                let stage = config.staging.as_ref().map(staged).transpose().map_err(|error| wrong(spec, error))?;
                Arc::new(Warehouse::new(&spec.name, config, stage).map_err(|error| wrong(spec, error))?)
            }
            Kind::Audit => {
                let config: audit::Config = settings(spec, base)?;
                config.validate(&self.data_dir).map_err(|error| wrong(spec, error))?;
                let place = config.place(self.clock.clone()).map_err(|error| wrong(spec, error))?;
                Arc::new(Audit::new(config, place, self.db.clone()).map_err(|error| wrong(spec, error))?)
            }
            Kind::View => {
                let view = View::new(view(spec, base)?, &spec.name, version, self.db.clone());
                Arc::new(view.map_err(|error| wrong(spec, error))?)
            }
            Kind::Notify => {
                let config: notify::Config = settings(spec, base)?;
                let sink = Notify::new(&config, self.db.record_writer(), self.clock.clone());
                Arc::new(sink.map_err(|error| wrong(spec, error))?)
            }
            Kind::DeliveryStream => {
                let config: delivery_stream::Config = settings(spec, base)?;
                let sink = DeliveryStreamSink::new(&config, self.db.record_writer(), Arc::clone(&self.streams));
                Arc::new(sink.map_err(|error| wrong(spec, error))?)
            }
            Kind::Kinesis => {
                let config: kinesis::Config = settings(spec, base)?;
                let sink = Kinesis::new(&config, self.db.record_writer(), kinesis::Memory::default());
                Arc::new(sink.map_err(|error| wrong(spec, error))?)
            }
        })
    }

    fn removed(&self, spec: &SinkSpec) -> BoxFuture<'static, Result<(), SinkError>> {
        let (db, kind, name) = (Arc::clone(&self.db), spec.kind, spec.name.clone());
        async move {
            match kind {
                Kind::Audit => audit::removed(&db, &name).await,
                Kind::View => views::remove(&db, &name).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn forget(&self, spec: &SinkSpec, person: AttributeValue) -> BoxFuture<'static, Result<bool, SinkError>> {
        let config = match spec.kind {
            Kind::Audit => settings::<audit::Config>(spec, &self.base).map(Some),
            _ => Ok(None),
        };
        let (db, name) = (Arc::clone(&self.db), spec.name.clone());
        async move {
            let config = config.map_err(|error| SinkError(error.to_string()))?;
            let master = config.as_ref().filter(|config| config.subject.is_some()).and_then(audit::Config::master_key);
            let text = || SinkError(format!("{name} is no audit trail with a `subject`: it knows no persons"));
            audit::forget_subject(&db, &name, &master.ok_or_else(text)?, &person, &Caller::default()).await
        }
        .boxed()
    }
}

/// Where Redshift reads rows from.
struct Staged(ObjectWriter);

fn staged(staging: &Staging) -> Result<Arc<dyn Stage>, PlaceError> {
    let secret = |secret: &Option<Secret>| secret.clone();
    let s3 = S3Config {
        region: staging.region.clone(),
        access_key_id: secret(&staging.access_key_id),
        secret_access_key: secret(&staging.secret_access_key),
        session_token: secret(&staging.session_token),
        ..S3Config::default()
    };
    Ok(Arc::new(Staged(ObjectWriter::new(&Destination::parse(&staging.to)?, &s3)?)))
}

impl Stage for Staged {
    fn put(&self, key: String, body: Bytes, content_type: &'static str) -> BoxFuture<'static, Result<(), ObjectError>> {
        let writer = self.0.clone();
        let how = Put { over: Over::Anything, lock: None, content_type };
        async move { writer.put(&key, body, how).await }.boxed()
    }

    fn address(&self, key: &str) -> String {
        self.0.address(key)
    }
}
