//! What the runner needs from outside, as small traits: time, functions, streams, and someone to tell.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::RecordNo as Lsn;
use tailrace_core::clock::Clock;
use tailrace_lambda::{Functions, InvokeContext, InvokeOutcome};
use tailrace_store::{ShardNo, StoreError};

use crate::config::StreamSource;
use crate::machine::{GiveUp, Outcome};

/// Waits for a time of a [`Clock`].
pub trait Timer: Send + Sync + 'static {
    /// Resolves when the clock's monotonic time has reached so many milliseconds.
    fn sleep_until(&self, mono_ms: u64) -> BoxFuture<'static, ()>;
}

/// The timer of a real clock.
pub struct SystemTimer(pub Arc<dyn Clock>);

impl Timer for SystemTimer {
    fn sleep_until(&self, mono_ms: u64) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        async move {
            loop {
                let now_ns = clock.monotonic_ns();
                match mono_ms.saturating_mul(1_000_000).checked_sub(now_ns) {
                    None | Some(0) => return,
                    Some(left_ns) => tokio::time::sleep(Duration::from_nanos(left_ns)).await,
                }
            }
        }
        .boxed()
    }
}

/// Runs functions.
pub trait Invoker: Send + Sync + 'static {
    /// Whether there is a function of this name.
    fn exists(&self, function: &str) -> bool;

    /// Runs the function on an event and waits for its end.
    fn invoke(&self, function: String, arn: String, event: Bytes) -> BoxFuture<'static, Outcome>;
}

impl Invoker for Arc<Functions> {
    fn exists(&self, function: &str) -> bool {
        self.get(function).is_some()
    }

    fn invoke(&self, function: String, arn: String, event: Bytes) -> BoxFuture<'static, Outcome> {
        let functions = self.clone();
        async move {
            let context = InvokeContext { invoked_arn: Some(arn), queue: true, ..InvokeContext::default() };
            match Functions::invoke(&functions, &function, event, context).await {
                InvokeOutcome::Success { payload, .. } => Outcome::Answered(payload),
                InvokeOutcome::FunctionError { payload, .. } => Outcome::FunctionError(error_text(&payload)),
                InvokeOutcome::Throttled { reason } => Outcome::NotInvoked(format!("throttled: {}", reason.code())),
                InvokeOutcome::NotInvocable { reason } => Outcome::NotInvoked(reason.to_string()),
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

/// Finds streams by their ARNs.
pub trait Streams: Send + Sync + 'static {
    /// The stream of this ARN; `None`: there is none.
    fn find<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<Option<StreamSource>, StoreError>>;
}

/// Something that a person may want to see.
#[derive(Clone, Debug, PartialEq)]
pub enum MappingEvent {
    /// A batch came back from the function.
    Batch {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The shard.
        shard: ShardNo,
        /// Records of the batch.
        records: usize,
        /// `None`: the function answered. What the answer means is in the mapping's status.
        error: Option<String>,
        /// How long the function had it.
        duration: Duration,
    },
    /// Records were parked.
    Parked {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The table whose stream they are of.
        table: String,
        /// The shard.
        shard: ShardNo,
        /// How many.
        records: usize,
        /// Why.
        reason: GiveUp,
        /// The last error; empty if there was none.
        error: String,
    },
    /// The function's answer was to be read for failed records and is no JSON: the batch counts as processed.
    AnswerIgnored {
        /// UUID of the mapping.
        mapping: String,
        /// The function's name.
        function: String,
        /// The shard.
        shard: ShardNo,
    },
    /// Records may have been trimmed before they were read.
    Trimmed {
        /// UUID of the mapping.
        mapping: String,
        /// The shard.
        shard: ShardNo,
        /// The position that was to be read on from.
        after: Lsn,
        /// The first number that can still be read.
        horizon: Lsn,
    },
    /// Something is wrong with the mapping itself; it is tried again.
    Trouble {
        /// UUID of the mapping.
        mapping: String,
        /// The shard, if it is one's.
        shard: Option<ShardNo>,
        /// What.
        error: String,
    },
}

/// Someone to tell. Called from the runner's tasks: it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: &MappingEvent);
}

/// Tells nobody.
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&self, _event: &MappingEvent) {}
}
