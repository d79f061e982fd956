//! The exact error documents that the host itself writes. Source: docs/spec/lambda-runtime.md 2, 4.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use bytes::Bytes;
use tailrace_core::limits;

/// The answer to a post that is accepted.
pub(crate) const STATUS_OK: &str = r#"{"status":"OK"}"#;
/// The answer to a post for another invocation than the open one.
pub(crate) const INVALID_REQUEST_ID: &str = r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
/// The answer to a call that this state does not allow.
pub(crate) const INVALID_STATE: &str =
    r#"{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}"#;

/// The timeout of `timeout_s` seconds passed.
pub(crate) fn timed_out(request_id: &str, timeout_s: u32) -> Bytes {
    // The seconds keep two decimals, as AWS prints them.
    error_first(
        "Sandbox.Timedout",
        &format!("RequestId: {request_id} Error: Task timed out after {timeout_s}.00 seconds"),
    )
}

/// The process ended while the invocation was open.
pub(crate) fn exited(request_id: &str, status: ExitStatus) -> Bytes {
    let reason = match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
        (None, None) => "Runtime exited without providing a reason".to_owned(),
    };
    error_first("Runtime.ExitError", &format!("RequestId: {request_id} Error: {reason}"))
}

/// The runtime asked for work before it had answered. Ours.
pub(crate) fn broke_protocol(request_id: &str) -> Bytes {
    let text = format!("RequestId: {request_id} Error: Runtime asked for the next event before it answered this one");
    error_first("Runtime.ExitError", &text)
}

/// There is no `bootstrap` that can be executed; `error` in AWS's words.
pub(crate) fn invalid_entrypoint(request_id: &str, error: &str) -> Bytes {
    error_first("Runtime.InvalidEntrypoint", &format!("RequestId: {request_id} Error: {error}"))
}

/// The answer is over the limit.
pub(crate) fn response_too_large() -> Bytes {
    Bytes::from(format!(
        r#"{{"errorMessage":"Response payload size exceeded maximum allowed payload size ({} bytes).","errorType":"Function.ResponseSizeTooLarge"}}"#,
        limits::FUNCTION_RESPONSE_BYTES_MAX
    ))
}

/// An error that a runtime tells of behind the beginning of its response: its own document, or one with what it is called.
pub(crate) fn broken_off(error_type: Option<&str>, body: Option<Vec<u8>>) -> Bytes {
    let body = body.filter(|body| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok());
    body.map_or_else(|| error_first(error_type.unwrap_or("Runtime.Unknown"), ""), Bytes::from)
}

/// Most characters of an error's type that are shown. Ours: names of classes are shorter.
const ERROR_TYPE_CHARS_MAX: usize = 256;

/// What an error is called by its document.
pub(crate) fn error_type(document: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Document {
        #[serde(rename = "errorType")]
        error_type: Option<String>,
    }
    let told = serde_json::from_slice::<Document>(document).ok()?.error_type?;
    // It comes from the runtime, and stands in lines of the log that nobody cuts.
    Some(told.chars().filter(|char| !char.is_control()).take(ERROR_TYPE_CHARS_MAX).collect())
}

/// A document in the order `errorType`, `errorMessage`.
fn error_first(error_type: &str, message: &str) -> Bytes {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    Bytes::from(format!(r#"{{"errorType":{},"errorMessage":{}}}"#, quote(error_type), quote(message)))
}

/// A signal as AWS words it: the words of Go's runtime for Linux.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "hangup",
        libc::SIGINT => "interrupt",
        libc::SIGQUIT => "quit",
        libc::SIGILL => "illegal instruction",
        libc::SIGTRAP => "trace/breakpoint trap",
        libc::SIGABRT => "aborted",
        libc::SIGBUS => "bus error",
        libc::SIGFPE => "floating point exception",
        libc::SIGKILL => "killed",
        libc::SIGUSR1 => "user defined signal 1",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGUSR2 => "user defined signal 2",
        libc::SIGPIPE => "broken pipe",
        libc::SIGALRM => "alarm clock",
        libc::SIGTERM => "terminated",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: Bytes, expected: &str) {
        assert_eq!(std::str::from_utf8(&document).unwrap(), expected);
    }

    /// docs/spec/lambda-runtime.md 4, each row.
    #[test]
    fn each_document_has_its_exact_bytes() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        check(
            timed_out("r-1", 1),
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: r-1 Error: Task timed out after 1.00 seconds"}"#,
        );
        check(
            exited("r-1", exit(0)),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r-1 Error: Runtime exited without providing a reason"}"#,
        );
        check(
            exited("r-1", exit(127)),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r-1 Error: Runtime exited with error: exit status 127"}"#,
        );
        check(
            exited("r-1", ExitStatus::from_raw(libc::SIGSEGV)),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r-1 Error: Runtime exited with error: signal: segmentation fault"}"#,
        );
        check(
            response_too_large(),
            r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#,
        );
    }
}
