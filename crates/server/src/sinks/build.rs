//! Makes a sink of what is configured.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tailrace_engine::Db;
use tailrace_sinks::audit;
use tailrace_sinks::runtime::Build;
use tailrace_sinks::sink::{Sink, SinkError};
use tailrace_sinks::spec::{Kind, SinkSpec, SpecError, Start};
use tailrace_sinks::views::{self, View};

use super::secrets;

/// Makes sinks.
pub struct Builder {
    /// The database.
    pub db: Arc<Db>,
    /// The data directory, in which no key of an audit trail is to lie.
    pub data_dir: PathBuf,
}

/// The settings of the sink itself, with secrets in them.
fn settings(spec: &SinkSpec) -> Result<Value, SpecError> {
    let mut settings = Value::Object(spec.settings.clone());
    secrets::resolve(&mut settings).map_err(|text| wrong(spec, text))?;
    Ok(settings)
}

fn wrong(spec: &SinkSpec, error: impl std::fmt::Display) -> SpecError {
    SpecError(format!("sinks.{}: {error}", spec.name))
}

/// Checks the settings of a sink, as far as that can be done without its target.
///
/// # Errors
/// What is wrong.
pub fn check(spec: &SinkSpec) -> Result<(), SpecError> {
    if spec.kind == Kind::View {
        return view_config(spec)?.validate().map(|_| ()).map_err(|error| wrong(spec, error));
    }
    settings(spec).map(|_| ())
}

fn view_config(spec: &SinkSpec) -> Result<views::Config, SpecError> {
    if spec.from.len() > 1 {
        return Err(wrong(spec, format!("a view has one table in `from`, not {}", spec.from.len())));
    }
    if spec.start == Start::Latest {
        let text = "`start: latest` is not for a view: what it has not added it cannot take away; snapshot and trim_horizon are";
        return Err(wrong(spec, text));
    }
    serde_json::from_value(settings(spec)?).map_err(|error| wrong(spec, error))
}

impl Build for Builder {
    fn build(&self, spec: &SinkSpec, version: u32) -> Result<Arc<dyn Sink>, SpecError> {
        if spec.kind == Kind::View {
            let view = View::new(view_config(spec)?, &spec.name, version, Arc::clone(&self.db));
            return Ok(Arc::new(view.map_err(|error| wrong(spec, error))?));
        }
        if spec.kind == Kind::Audit {
            let config: audit::Config = serde_json::from_value(settings(spec)?).map_err(|error| wrong(spec, error))?;
            config.validate(&self.data_dir).map_err(|error| wrong(spec, error))?;
            let place = config.place().map_err(|error| wrong(spec, error))?;
            let sink = audit::Audit::new(config, place, Arc::clone(&self.db)).map_err(|error| wrong(spec, error))?;
            return Ok(Arc::new(sink));
        }
        Err(wrong(spec, format!("sinks of the kind {} are not here yet", spec.kind.name())))
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
}
