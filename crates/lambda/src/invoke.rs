//! What goes into an invocation and what comes out of it.
//! Source: docs/spec/lambda-runtime.md 3-5; docs/spec/event-source-mapping.md 7, 12.

use std::sync::Arc;
use std::time::Duration;
use tailrace_core::FunctionArn;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::logs::LogTail;

/// What an invocation carries beside its event. The default is right for an event source mapping, `queue` aside.
#[derive(Clone, Debug, Default)]
pub struct InvokeContext {
    /// The request id; `None`: a fresh one.
    pub request_id: Option<String>,
    /// The ARN as the caller named the function, qualifier included; `None`: the function's own.
    pub invoked_arn: Option<FunctionArn>,
    /// The client context, JSON text.
    pub client_context: Option<String>,
    /// The identity, JSON text.
    pub cognito_identity: Option<String>,
    /// The X-Ray trace header; `None`: a fresh one that is not sampled.
    pub trace_id: Option<String>,
    /// At the concurrency limit: wait for a free slot instead of being throttled. Pollers wait, callers of the API do
    /// not. A function with a reserved concurrency of 0 throttles in either case.
    pub queue: bool,
    /// Is told when the invocation waits for a slot, and when it waits no longer.
    pub on_wait: Option<OnWait>,
    /// Calls the invocation off while it waits for its turn. Once a process has it, nothing does.
    pub withdraw: Option<Withdraw>,
    /// Gets the end of what the invocation writes, complete when its outcome is there.
    pub log_tail: Option<LogTail>,
}

/// Someone to tell that an invocation waits for its turn: true when it begins to, false when it has one or gives up.
#[derive(Clone)]
pub struct OnWait(pub Arc<dyn Fn(bool) + Send + Sync>);

impl OnWait {
    pub(crate) fn begin(&self) -> Waiting {
        (self.0)(true);
        Waiting(self.clone())
    }
}

impl std::fmt::Debug for OnWait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnWait")
    }
}

/// Someone who may call an invocation off: when the future is over, he does.
#[derive(Clone)]
pub struct Withdraw(pub Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl std::fmt::Debug for Withdraw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Withdraw")
    }
}

/// An invocation waits while this lives.
pub(crate) struct Waiting(OnWait);

impl Drop for Waiting {
    fn drop(&mut self) {
        (self.0.0)(false);
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvokeOutcome {
    /// The handler returned.
    Success {
        /// Its result, JSON bytes as the runtime posted them.
        payload: Bytes,
        /// The invocation's request id.
        request_id: String,
        /// From the hand-over of the event to the answer.
        duration: Duration,
    },
    /// The function failed. For Invoke this is HTTP 200 with `X-Amz-Function-Error: Unhandled`; for a mapping it
    /// counts as a try.
    FunctionError {
        /// The exact error document.
        payload: Bytes,
        /// What went wrong.
        kind: FunctionErrorKind,
        /// The invocation's request id.
        request_id: String,
        /// From the hand-over of the event to the end; zero when the event was never handed over.
        duration: Duration,
    },
    /// Too many invocations at once: try again later. It does not count as a try.
    Throttled {
        /// Which limit.
        reason: ThrottleReason,
    },
    /// The function cannot be invoked now, through no fault of its code. It does not count as a try.
    NotInvocable {
        /// Why.
        reason: NotInvocable,
    },
}

/// What went wrong in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionErrorKind {
    /// The handler raised, and the runtime reported it.
    Handler,
    /// The function's code could not be loaded.
    Init,
    /// The timeout passed, and the process group was killed.
    Timeout,
    /// The process ended in the middle.
    Exit,
    /// The answer was larger than 6 MB.
    ResponseTooLarge,
}

/// Which concurrency limit refused an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThrottleReason {
    /// The function's reserved concurrency.
    ReservedConcurrency,
    /// The server's limit of concurrent invocations.
    ServerConcurrency,
}

impl ThrottleReason {
    /// The `Reason` member of TooManyRequestsException.
    pub fn code(self) -> &'static str {
        match self {
            ThrottleReason::ReservedConcurrency => "ReservedFunctionConcurrentInvocationLimitExceeded",
            ThrottleReason::ServerConcurrency => "ConcurrentInvocationLimitExceeded",
        }
    }
}

/// Why a function cannot be invoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInvocable {
    /// No function has this name.
    #[error("no function is named {0:?}")]
    Unknown(String),
    /// The event is larger than 6 MB.
    #[error("the event has {bytes} bytes, more than {max}", max = tailrace_core::limits::INVOKE_PAYLOAD_BYTES_MAX)]
    PayloadTooLarge {
        /// The event's size.
        bytes: usize,
    },
    /// The process could not be started: no interpreter, no code directory, no process left.
    #[error("{0}")]
    CannotStart(String),
    /// It was called off while it waited for its turn.
    #[error("it was called off while it waited for its turn")]
    Withdrawn,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}
