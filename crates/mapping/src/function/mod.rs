//! A function as a target of delivery: a batch becomes an event, the function is run on it, and its answer says what was done.

mod event;
mod response;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::limits::INVOKE_PAYLOAD_BYTES_MAX;
use tailrace_core::{FunctionReference, RecordNo, StreamArn};
use tailrace_delivery::{Batch, Outcome, Target};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_lambda::{Functions, InvokeContext, InvokeOutcome};
use tailrace_pattern::Filter;
use tailrace_store::StoreError;

use crate::config::Mapping;
use crate::events::{MappingEvent, Observer};
use response::Verdict;

/// How an invocation of a function ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invoked {
    /// The function answered, with this payload.
    Answered(Bytes),
    /// The function failed: an exception, a timeout, a crash, an error of its initialisation. The text says which.
    FunctionError(String),
    /// The function was not run: throttled, missing, not startable. Spends no retry.
    NotInvoked(String),
}

/// Runs functions.
pub trait Invoker: Send + Sync + 'static {
    /// Whether there is a function of this name.
    fn exists(&self, function: &str) -> bool;

    /// Runs the function on an event and waits for its end.
    fn invoke(&self, function: FunctionReference, event: Bytes) -> BoxFuture<'static, Invoked>;
}

impl Invoker for Arc<Functions> {
    fn exists(&self, function: &str) -> bool {
        self.get(function).is_some()
    }

    fn invoke(&self, function: FunctionReference, event: Bytes) -> BoxFuture<'static, Invoked> {
        let functions = self.clone();
        async move {
            let FunctionReference { name, arn } = function;
            let context = InvokeContext { invoked_arn: Some(arn), queue: true, ..InvokeContext::default() };
            match Functions::invoke(&functions, &name, event, context).await {
                InvokeOutcome::Success { payload, .. } => Invoked::Answered(payload),
                InvokeOutcome::FunctionError { payload, .. } => Invoked::FunctionError(error_text(&payload)),
                InvokeOutcome::Throttled { reason } => Invoked::NotInvoked(format!("throttled: {}", reason.code())),
                InvokeOutcome::NotInvocable { reason } => Invoked::NotInvoked(reason.to_string()),
            }
        }
        .boxed()
    }
}

/// `errorType: errorMessage` of an error document, or the document.
fn error_text(document: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(document).ok();
    let member = |name| parsed.as_ref().and_then(|value| value.get(name)).and_then(|value| value.as_str());
    match (member("errorType"), member("errorMessage")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (None, Some(message)) => message.to_owned(),
        _ => String::from_utf8_lossy(document).into_owned(),
    }
}

/// What a function needs from outside to be a target.
pub(crate) struct Environment {
    pub invoker: Arc<dyn Invoker>,
    pub records: RecordWriter,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
}

/// The function of one mapping. A clone is the same target.
#[derive(Clone)]
pub(crate) struct FunctionTarget(Arc<Inner>);

struct Inner {
    environment: Arc<Environment>,
    mapping: String,
    stream_arn: StreamArn,
    /// What an update of the mapping may change.
    settings: Mutex<Settings>,
}

#[derive(Clone)]
struct Settings {
    function: FunctionReference,
    report_failures: bool,
    /// Otherwise why a stored pattern is none for this program: its records wait.
    filter: Result<Arc<Filter>, String>,
}

impl FunctionTarget {
    /// The target of a mapping.
    pub fn new(environment: Arc<Environment>, mapping: &Mapping) -> FunctionTarget {
        let settings = Mutex::new(Settings::of(mapping));
        let (mapping, stream_arn) = (mapping.uuid(), mapping.source.arn.clone());
        FunctionTarget(Arc::new(Inner { environment, mapping, stream_arn, settings }))
    }

    /// Goes on as the mapping says now.
    pub fn configure(&self, mapping: &Mapping) {
        *self.0.settings.lock() = Settings::of(mapping);
    }

    /// The function's name.
    pub fn function(&self) -> String {
        self.0.settings.lock().function.name.clone()
    }
}

impl Settings {
    fn of(mapping: &Mapping) -> Settings {
        let filter = Filter::parse(mapping.filters.iter().map(String::as_str));
        Settings {
            function: mapping.function.clone(),
            report_failures: mapping.report_failures,
            filter: filter.map(Arc::new).map_err(|error| format!("FilterCriteria: {error}")),
        }
    }
}

impl Target for FunctionTarget {
    fn wants(&self, record: &StreamRecord) -> Result<bool, StoreError> {
        let inner = &self.0;
        let filter = inner.settings.lock().filter.clone();
        let filter = filter.map_err(StoreError::Corrupt)?;
        Ok(filter.is_empty() || inner.environment.records.passes(&filter, record, &inner.stream_arn)?)
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        // With the comma before it. The first has none, but a byte of slack is no matter.
        Ok(self.0.environment.records.event_bytes(record, &self.0.stream_arn)? + 1)
    }

    fn batch_bytes_max(&self) -> usize {
        INVOKE_PAYLOAD_BYTES_MAX - event::ENVELOPE_BYTES
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Outcome> {
        deliver(self.0.clone(), batch).boxed()
    }
}

async fn deliver(inner: Arc<Inner>, batch: Batch) -> Outcome {
    let Batch { shard, records, .. } = batch;
    let environment = &inner.environment;
    let event = match event::write(&environment.records, &inner.stream_arn, &records).await {
        Ok(event) => event,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let numbers: Vec<RecordNo> = records.iter().map(|record| record.number).collect();
    drop(records);
    let function = inner.settings.lock().function.clone();
    let name = function.name.clone();
    let from_ns = environment.clock.monotonic_ns();
    let invoked = environment.invoker.invoke(function, event).await;
    let duration = Duration::from_nanos(environment.clock.monotonic_ns().saturating_sub(from_ns));
    let mut ignored = false;
    let outcome = match invoked {
        Invoked::FunctionError(error) => Outcome::Failed(error),
        Invoked::NotInvoked(error) => Outcome::NotInvoked(error),
        Invoked::Answered(_) if !inner.settings.lock().report_failures => Outcome::Done,
        Invoked::Answered(payload) => match response::read(&payload, &numbers) {
            Verdict::AllDone => Outcome::Done,
            Verdict::NotJson => {
                ignored = true;
                Outcome::Done
            }
            Verdict::FailedFrom(index) => {
                Outcome::FailedFrom { index, error: "the function reported failed records".to_owned() }
            }
            Verdict::AllFailed(error) => Outcome::Failed(error),
        },
    };
    let (failed, error) = match &outcome {
        Outcome::Done => (0, None),
        Outcome::FailedFrom { index, error } => (numbers.len() - index, Some(error.clone())),
        Outcome::Failed(error) | Outcome::NotInvoked(error) => (numbers.len(), Some(error.clone())),
    };
    environment.observer.on_event(&MappingEvent::Batch {
        mapping: inner.mapping.clone(),
        function: name.clone(),
        shard: shard.clone(),
        records: numbers.len(),
        failed,
        error,
        duration,
    });
    if ignored {
        let mapping = inner.mapping.clone();
        environment.observer.on_event(&MappingEvent::AnswerIgnored { mapping, function: name, shard });
    }
    outcome
}
