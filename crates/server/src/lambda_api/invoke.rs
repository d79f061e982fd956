//! Invoke: with its answer, as an event, or as a dry run. Source: docs/spec/event-source-mapping.md 12.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::IgnoredAny;
use tailrace_core::limits;
use tailrace_lambda::{InvokeContext, InvokeOutcome, LogTail, NotInvocable, ThrottleReason};
use tailrace_mapping::Constraints;
use tailrace_wire::RestAnswer;

use super::LambdaApi;
use super::error::{Class, LambdaError};
use super::events::{Full, Queued};
use super::functions::constrain_qualifier;
use super::request::Request;

/// The types of an invocation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    RequestResponse,
    Event,
    DryRun,
}

impl Type {
    /// What is none breaks a constraint, and stands for the usual one.
    fn read(request: &Request<'_>, constraints: &mut Constraints) -> Type {
        let given = request.header("x-amz-invocation-type");
        constraints.choice("invocationType", given, &["Event", "RequestResponse", "DryRun"]);
        match given {
            Some("Event") => Type::Event,
            Some("DryRun") => Type::DryRun,
            _ => Type::RequestResponse,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Type::RequestResponse => "RequestResponse",
            Type::Event => "Event",
            Type::DryRun => "DryRun",
        }
    }

    fn payload_bytes_max(self) -> usize {
        match self {
            Type::RequestResponse | Type::DryRun => limits::INVOKE_PAYLOAD_BYTES_MAX,
            Type::Event => limits::INVOKE_EVENT_BYTES_MAX,
        }
    }
}

impl LambdaApi {
    pub(super) async fn invoke(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let mut constraints = Constraints::default();
        self.constrain_function(request, &mut constraints);
        let kind = Type::read(request, &mut constraints);
        let log_type = request.header("x-amz-log-type");
        constraints.choice("logType", log_type, &["None", "Tail"]);
        constrain_qualifier(request, &mut constraints);
        constraints.check()?;
        let wants_log = log_type == Some("Tail");
        for name in ["x-amz-tenant-id", "x-amz-durable-execution-name"] {
            if request.header(name).is_some() {
                let text = format!("{name} is not supported by this server.");
                return Err(LambdaError::new(Class::InvalidParameterValue, text));
            }
        }
        let client_context = request.header("x-amz-client-context").map(client_context).transpose()?;
        let (config, reference) = self.function_of(request, true)?;
        let payload = payload(request, kind)?;
        if kind == Type::DryRun {
            return Ok(RestAnswer { status: 204, ..RestAnswer::default() });
        }
        let request_id = self.rng.uuid();
        let log_tail = wants_log.then(LogTail::default);
        let context = InvokeContext {
            request_id: Some(request_id.clone()),
            invoked_arn: Some(reference.arn),
            client_context,
            log_tail: log_tail.clone(),
            ..InvokeContext::default()
        };
        let mut headers = vec![("x-amzn-requestid", request_id)];
        if kind == Type::Event {
            let event = Queued { function: config.name, payload, context };
            return match self.events.add(event) {
                Ok(()) => Ok(RestAnswer { status: 202, headers, body: Bytes::new() }),
                Err(Full) => Err(throttled(ThrottleReason::ServerConcurrency.code())),
            };
        }
        let outcome = self.functions.invoke(&config.name, payload, context).await;
        let body = match outcome {
            InvokeOutcome::Success { payload, .. } => payload,
            InvokeOutcome::FunctionError { payload, .. } => {
                headers.push(("x-amz-function-error", "Unhandled".to_owned()));
                payload
            }
            InvokeOutcome::Throttled { reason } => return Err(throttled(reason.code())),
            InvokeOutcome::NotInvocable { reason } => return Err(not_invocable(&reason)),
        };
        headers.push(("x-amz-executed-version", config.version));
        if let Some(tail) = log_tail {
            headers.push(("x-amz-log-result", BASE64.encode(tail.bytes())));
        }
        Ok(RestAnswer { status: 200, headers, body })
    }
}

/// The event; none at all is an empty object.
fn payload(request: &Request<'_>, kind: Type) -> Result<Bytes, LambdaError> {
    let payload = request.body();
    let (bytes, max) = (payload.len(), kind.payload_bytes_max());
    if bytes > max {
        let text =
            format!("{bytes} byte payload is too large for the {} invocation type (limit {max} bytes)", kind.name());
        return Err(LambdaError::new(Class::RequestTooLarge, text));
    }
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    // As text: what is looked at without being read is not held against UTF-8.
    let read = std::str::from_utf8(payload).map_err(|error| error.to_string());
    match read.and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())) {
        Ok(_) => Ok(payload.clone()),
        Err(why) => Err(unreadable(&format!("Could not parse payload into json: {why}"))),
    }
}

/// The client context as the function gets it: the text of a JSON object, such as a header may hold. Line breaks are only
/// between its parts, and a delete character only in texts.
fn client_context(header: &str) -> Result<String, LambdaError> {
    if header.len() > limits::INVOKE_CLIENT_CONTEXT_BYTES_MAX {
        let max = limits::INVOKE_CLIENT_CONTEXT_BYTES_MAX;
        return Err(unreadable(&format!("the client context has {} bytes, more than {max}", header.len())));
    }
    let text = BASE64.decode(header).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.filter(|text| serde_json::from_str::<HashMap<String, IgnoredAny>>(text).is_ok());
    let text = text.map(|text| text.replace(['\r', '\n'], " ").replace('\u{7f}', r"\u007f"));
    text.ok_or_else(|| unreadable("Client context must be a valid Base64-encoded JSON object."))
}

fn unreadable(why: &str) -> LambdaError {
    LambdaError::new(Class::InvalidRequestContent, format!("Could not parse request body into json: {why}"))
}

fn throttled(reason: &'static str) -> LambdaError {
    LambdaError { reason: Some(reason), ..LambdaError::new(Class::TooManyRequests, "Rate Exceeded.") }
}

fn not_invocable(reason: &NotInvocable) -> LambdaError {
    let class = match reason {
        // It went away since it was looked for.
        NotInvocable::Unknown(_) => Class::ResourceNotFound,
        NotInvocable::PayloadTooLarge { .. } => Class::RequestTooLarge,
        NotInvocable::CannotStart(_) | NotInvocable::Withdrawn | NotInvocable::Stopping => Class::Service,
    };
    LambdaError::new(class, reason.to_string())
}

/// An invocation that was not run may be run later.
pub(super) fn is_temporary(outcome: &InvokeOutcome) -> bool {
    match outcome {
        InvokeOutcome::Throttled { .. } => true,
        InvokeOutcome::NotInvocable { reason } => matches!(reason, NotInvocable::CannotStart(_)),
        InvokeOutcome::Success { .. } | InvokeOutcome::FunctionError { .. } => false,
    }
}
