//! The registry of functions, and the way of an invocation to a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tailrace_core::rng::Rng;
use tokio::sync::mpsc;

use crate::config::{ConfigError, FunctionConfig};
use crate::invoke::{InvokeContext, InvokeOutcome, NotInvocable};
use crate::logs::LogLine;

/// Which client runs Python handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PythonClient {
    /// `awslambdaric` where the interpreter can import it, our own otherwise.
    #[default]
    Auto,
    /// Our own.
    Own,
    /// `awslambdaric`.
    Awslambdaric,
}

/// How functions are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A directory of this crate's own: the Python client, the ledger of processes, temporary directories.
    pub state_dir: PathBuf,
    /// Variables for every function, such as `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_REGION` and the credentials.
    pub environment: BTreeMap<String, String>,
    /// The Python interpreter; `None`: `python3.N` of the runtime from PATH, else `python3`.
    pub python: Option<PathBuf>,
    /// Which client runs Python handlers.
    pub python_client: PythonClient,
    /// Most invocations at once, all functions together.
    pub concurrency_max: usize,
    /// The longest that a process may take to ask for its first event.
    pub init_limit: Duration,
    /// A process without work for so long is stopped.
    pub idle_limit: Duration,
}

impl Settings {
    /// The defaults, with a state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            environment: BTreeMap::new(),
            python: None,
            python_client: PythonClient::Auto,
            concurrency_max: limits::FUNCTION_CONCURRENCY_DEFAULT_MAX,
            init_limit: Duration::from_millis(limits::FUNCTION_INIT_DEFAULT_MS),
            idle_limit: Duration::from_millis(limits::FUNCTION_IDLE_DEFAULT_MS),
        }
    }
}

/// Why the pool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the function directory {path}: {source}")]
pub struct OpenError {
    /// The path.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// The functions and their processes: a cheap handle.
#[derive(Clone)]
pub struct Functions {
    shared: Arc<Shared>,
}

struct Shared {
    functions: RwLock<BTreeMap<String, FunctionConfig>>,
}

impl Functions {
    /// Prepares the state directory, kills what an earlier server left running, and is ready for functions. Call it
    /// inside of a tokio runtime, with the data directory's lock held.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        logs: mpsc::Sender<LogLine>,
    ) -> Result<Functions, OpenError> {
        let _ = (settings, clock, rng, logs);
        Ok(Functions { shared: Arc::new(Shared { functions: RwLock::default() }) })
    }

    /// Adds a function, or replaces the one of the same name. Invocations that run finish with the old configuration;
    /// later ones see the new one.
    pub fn put(&self, config: FunctionConfig) -> Result<(), ConfigError> {
        config.validate()?;
        self.shared.functions.write().insert(config.name.clone(), config);
        Ok(())
    }

    /// Forgets a function; its processes stop once they are done. False: there was none.
    pub fn remove(&self, name: &str) -> bool {
        self.shared.functions.write().remove(name).is_some()
    }

    /// A function's configuration.
    pub fn get(&self, name: &str) -> Option<FunctionConfig> {
        self.shared.functions.read().get(name).cloned()
    }

    /// All configurations, by name.
    pub fn list(&self) -> Vec<FunctionConfig> {
        self.shared.functions.read().values().cloned().collect()
    }

    /// Starts a process for the function ahead of its first event, if it has none.
    pub fn warm(&self, name: &str) {
        let _ = name;
    }

    /// Runs the function on an event, and waits for the outcome. Dropping the future does not stop the function.
    pub async fn invoke(&self, name: &str, payload: Bytes, context: InvokeContext) -> InvokeOutcome {
        let _ = (payload, context);
        InvokeOutcome::NotInvocable { reason: NotInvocable::Unknown(name.to_owned()) }
    }

    /// Refuses new invocations, waits up to `drain` for the running ones, then stops every process.
    pub async fn stop(&self, drain: Duration) {
        let _ = drain;
    }
}
