//! A function as a target of delivery: a batch becomes an event, the function is run on it, and its answer says what was done.

mod event;
mod response;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::limits::INVOKE_PAYLOAD_BYTES_MAX;
use tailrace_core::{FunctionReference, RecordNo, StreamArn};
use tailrace_delivery::{Answer, Batch, Outcome, Stopping, Target, Waits, WindowCall};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_lambda::{Functions, InvokeContext, InvokeOutcome, OnWait, Withdraw};
use tailrace_pattern::Filter;
use tailrace_store::StoreError;

use crate::config::Mapping;
use crate::events::{MappingEvent, Observer};
pub use response::AnswerFault;
use response::Verdict;

/// How an invocation of a function ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invoked {
    /// The function answered, with this payload.
    Answered(Bytes),
    /// The function failed: an exception, a timeout, a crash, an error of its initialisation. The text says which.
    FunctionError(String),
    /// The function was not run: throttled, missing, not startable, called off while it waited. Spends no retry.
    NotInvoked(String),
}

/// Runs functions.
pub trait Invoker: Send + Sync + 'static {
    /// Whether there is a function of this name.
    fn exists(&self, function: &str) -> bool;

    /// Runs the function on an event and waits for its end. `waits` is told while it cannot run yet because others do; when
    /// `recalled` says so meanwhile it is not run. Once it runs, nothing breaks it off.
    fn invoke(
        &self,
        function: FunctionReference,
        event: Bytes,
        waits: Waits,
        recalled: Stopping,
    ) -> BoxFuture<'static, Invoked>;
}

impl Invoker for Arc<Functions> {
    fn exists(&self, function: &str) -> bool {
        self.get(function).is_some()
    }

    fn invoke(
        &self,
        function: FunctionReference,
        event: Bytes,
        waits: Waits,
        recalled: Stopping,
    ) -> BoxFuture<'static, Invoked> {
        let functions = self.clone();
        async move {
            let FunctionReference { name, arn } = function;
            let on_wait = Some(OnWait(Arc::new(move |begins| waits.set(begins))));
            let withdraw = Withdraw(Arc::new(move || {
                let recalled = recalled.clone();
                async move { recalled.told().await }.boxed()
            }));
            let (invoked_arn, withdraw) = (Some(arn), Some(withdraw));
            let context = InvokeContext { invoked_arn, queue: true, on_wait, withdraw, ..InvokeContext::default() };
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
    /// What was wrong with an answer the last time that it was told.
    told_fault: Mutex<Option<AnswerFault>>,
}

#[derive(Clone)]
struct Settings {
    function: FunctionReference,
    report_failures: bool,
    bare_records: bool,
    /// Otherwise why a stored pattern is none for this program: its records wait.
    filter: Result<Arc<Filter>, String>,
    tumbling_window: Option<Duration>,
}

impl FunctionTarget {
    /// The target of a mapping.
    pub fn new(environment: Arc<Environment>, mapping: &Mapping) -> FunctionTarget {
        let settings = Mutex::new(Settings::of(mapping));
        let (mapping, stream_arn) = (mapping.uuid(), mapping.source.arn.clone());
        FunctionTarget(Arc::new(Inner { environment, mapping, stream_arn, settings, told_fault: Mutex::default() }))
    }

    /// Goes on as the mapping says now.
    pub fn configure(&self, mapping: &Mapping) {
        *self.0.settings.lock() = Settings::of(mapping);
        *self.0.told_fault.lock() = None;
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
            bare_records: mapping.bare_records,
            tumbling_window: mapping.rules.tumbling_window,
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
        let window = self.0.settings.lock().tumbling_window.map_or(0, |_| event::WINDOW_BYTES_MAX);
        INVOKE_PAYLOAD_BYTES_MAX - event::ENVELOPE_BYTES - window
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer> {
        deliver(self.0.clone(), batch).boxed()
    }
}

async fn deliver(inner: Arc<Inner>, batch: Batch) -> Answer {
    let Batch { shard, records, window, waits, recalled, .. } = batch;
    let environment = &inner.environment;
    let Settings { function, report_failures, bare_records, tumbling_window, .. } = inner.settings.lock().clone();
    // Records that are redriven make a window of their own: it is begun and ended with them.
    let alone = || Some(WindowCall::alone(records.first()?.time_ms, tumbling_window?));
    let window = window.or_else(alone);
    let in_window = window.as_ref().map(|window| (window, &*shard.id));
    let form = match in_window {
        Some((window, shard_id)) => event::Form::Window(window, shard_id),
        None if bare_records => event::Form::Bare,
        None => event::Form::Records,
    };
    let event = match event::write(&environment.records, &inner.stream_arn, &records, form).await {
        Ok(event) => event,
        Err(error) => return Outcome::Failed(error.to_string()).into(),
    };
    let numbers: Vec<RecordNo> = records.iter().map(|record| record.number).collect();
    drop(records);
    let name = function.name.clone();
    let (bytes, too_large) = (event.len(), event.len() > INVOKE_PAYLOAD_BYTES_MAX);
    let invoked = match too_large {
        true => None,
        false => Some(environment.invoker.invoke(function, event, waits, recalled).await),
    };
    let wants_state = window.is_some_and(|window| !window.is_final);
    let (answer, fault) = match invoked {
        None => {
            let error = format!("the event has {bytes} bytes, more than {INVOKE_PAYLOAD_BYTES_MAX}");
            (Outcome::Undeliverable(error).into(), None)
        }
        Some(Invoked::FunctionError(error)) => (Outcome::Failed(error).into(), None),
        Some(Invoked::NotInvoked(error)) => (Outcome::NotInvoked(error).into(), None),
        Some(Invoked::Answered(payload)) => judge(&payload, report_failures, wants_state, &numbers),
    };
    // Whoever answers so once does it with every batch: one line is enough.
    if let Some(fault) = fault.filter(|fault| inner.told_fault.lock().replace(fault.clone()).as_ref() != Some(fault)) {
        let mapping = inner.mapping.clone();
        environment.observer.on_event(&MappingEvent::AnswerIgnored { mapping, function: name, shard, fault });
    }
    answer
}

/// What the answer of a function says of the records, and of the state if one is wanted.
fn judge(
    payload: &[u8],
    report_failures: bool,
    wants_state: bool,
    records: &[RecordNo],
) -> (Answer, Option<AnswerFault>) {
    let (outcome, fault) = if report_failures {
        match response::read(payload, records) {
            Verdict::AllDone => (Outcome::Done, None),
            Verdict::Ignored(fault) => (Outcome::Done, Some(fault)),
            Verdict::FailedFrom(index) => {
                (Outcome::FailedFrom { index, error: "the function reported failed records".to_owned() }, None)
            }
            Verdict::AllFailed(error) => (Outcome::Failed(error), None),
        }
    } else {
        (Outcome::Done, response::names_failures(payload).then_some(AnswerFault::NotAskedFor))
    };
    if !wants_state || !matches!(outcome, Outcome::Done | Outcome::FailedFrom { .. }) {
        return (outcome.into(), fault);
    }
    match response::state(payload) {
        // The final call of its window could never be made.
        Some(state) if state.len() > event::STATE_BYTES_MAX => {
            let (bytes, most) = (state.len(), event::STATE_BYTES_MAX);
            let error = format!("the state has {bytes} bytes, and no event has room for more than {most}");
            (Outcome::Failed(error).into(), fault)
        }
        Some(state) => (Answer { outcome, state: Some(state) }, fault),
        None => {
            let error = "the answer has no state; in a tumbling window a function returns {\"state\": ...}";
            (Outcome::Failed(error.to_owned()).into(), fault)
        }
    }
}
