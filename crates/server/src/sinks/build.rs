//! Makes a sink of what is configured.

use std::sync::Arc;

use serde_json::Value;
use tailrace_engine::Db;
use tailrace_sinks::runtime::Build;
use tailrace_sinks::sink::Sink;
use tailrace_sinks::spec::{Kind, SinkSpec, SpecError};
use tailrace_sinks::warehouse::Warehouse;

use super::secrets;

/// Makes sinks.
pub struct Builder {
    /// The database.
    pub db: Arc<Db>,
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
    settings(spec).map(|_| ())
}

impl Build for Builder {
    fn build(&self, spec: &SinkSpec, version: u32) -> Result<Arc<dyn Sink>, SpecError> {
        let _ = version;
        let settings = settings(spec)?;
        if spec.kind == Kind::Warehouse {
            let config = serde_json::from_value(settings).map_err(|error| wrong(spec, error))?;
            return Ok(Arc::new(Warehouse::new(&spec.name, config, None).map_err(|error| wrong(spec, error))?));
        }
        Err(wrong(spec, format!("sinks of the kind {} are not here yet", spec.kind.name())))
    }
}
