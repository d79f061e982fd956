//! Every way in which a function fails, with the exact document. docs/spec/lambda-runtime.md 4, 5, 12 rows 2, 3.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::time::Duration;
use tailrace_core::FunctionArn;

use bytes::Bytes;
use common::{Bench, is_dead_soon};
use serde_json::{Value, json};
use tailrace_core::limits;
use tailrace_lambda::{FunctionConfig, FunctionErrorKind, InvokeContext, InvokeOutcome, NotInvocable, ThrottleReason};

/// A handler that does what the event says.
const HANDLER: &str = r#"
import ctypes, os, signal, subprocess, sys, time
def handler(event, context):
    if event == "raise":
        raise ValueError("bad \u00fcmlaut")
    if event == "exit 0":
        sys.exit(0)
    if event == "exit 3":
        sys.exit(3)
    if event == "_exit 4":
        os._exit(4)
    if event == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if event == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "loop":
        while True:
            pass
    if event == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "600"])
        with open(os.environ["PIDS"], "w") as pids:
            pids.write("%d %d" % (os.getpid(), child.pid))
        while True:
            time.sleep(1)
    return os.getpid()
"#;

#[tokio::test]
async fn an_exception_is_reported_with_its_trace_and_the_process_lives_on() {
    let bench = Bench::new();
    bench.put(HANDLER);
    let pid = bench.result("1").await;
    let (document, kind, request_id) = bench.error(r#""raise""#).await;
    assert_eq!(kind, FunctionErrorKind::Handler);
    assert_eq!(document["errorMessage"], "bad \u{fc}mlaut");
    assert_eq!(document["errorType"], "ValueError");
    assert_eq!(document["requestId"], request_id);
    let trace = document["stackTrace"].as_array().unwrap();
    assert_eq!(trace.len(), 1, "only the handler's own frames: {trace:?}");
    assert!(trace[0].as_str().unwrap().contains("app.py\", line 5, in handler\n    raise ValueError("), "{trace:?}");
    assert_eq!(bench.result("1").await, pid);
    bench.stop().await;
}

#[tokio::test]
async fn a_process_that_ends_gives_an_exit_error_and_the_next_call_a_new_process() {
    let bench = Bench::new();
    bench.put(HANDLER);
    let mut pid = bench.result("1").await;
    for (event, reason) in [
        ("exit 0", "Runtime exited without providing a reason"),
        ("exit 3", "Runtime exited with error: exit status 3"),
        ("_exit 4", "Runtime exited with error: exit status 4"),
        ("segv", "Runtime exited with error: signal: segmentation fault"),
        ("kill", "Runtime exited with error: signal: killed"),
    ] {
        let (document, kind, request_id) = bench.error(&json!(event).to_string()).await;
        assert_eq!(kind, FunctionErrorKind::Exit, "{event}");
        let message = format!("RequestId: {request_id} Error: {reason}");
        assert_eq!(document, json!({"errorType": "Runtime.ExitError", "errorMessage": message}), "{event}");
        let next = bench.result("1").await;
        assert_ne!(next, pid, "{event}");
        pid = next;
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_timeout_has_its_exact_text_and_the_next_call_a_new_process() {
    let bench = Bench::new();
    bench.put_with(HANDLER, |config| config.timeout_s = 4);
    let pid = bench.result("1").await;
    let (document, kind, request_id) = bench.error(r#""loop""#).await;
    assert_eq!(kind, FunctionErrorKind::Timeout);
    let message = format!("RequestId: {request_id} Error: Task timed out after 4.00 seconds");
    assert_eq!(document, json!({"errorType": "Sandbox.Timedout", "errorMessage": message}));
    assert_ne!(bench.result("1").await, pid);
    bench.stop().await;
}

#[tokio::test]
async fn a_timeout_kills_what_ignores_sigterm_and_its_children() {
    let bench = Bench::new();
    let pids = bench.dir.path().join("pids");
    bench.put_with(HANDLER, |config| {
        config.timeout_s = 5;
        config.environment.insert("PIDS".into(), pids.display().to_string());
    });
    let (document, kind, _) = bench.error(r#""stubborn""#).await;
    assert_eq!(kind, FunctionErrorKind::Timeout, "{document}");
    for pid in std::fs::read_to_string(&pids).unwrap().split(' ') {
        assert!(is_dead_soon(pid.parse().unwrap()).await, "{pid} lives");
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_timeout_in_the_middle_of_a_huge_response_is_a_timeout() {
    let bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import os, socket, time
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
s = socket.create_connection((host, int(port)))
head = " HTTP/1.1\r\nHost: %s:%s\r\n" % (host, port)
s.sendall(("GET /2018-06-01/runtime/invocation/next" + head + "\r\n").encode())
answer = s.recv(65536).decode().lower()
id = answer.split("lambda-runtime-aws-request-id: ")[1].split("\r\n")[0]
s.sendall(("POST /2018-06-01/runtime/invocation/%s/response" % id + head + "Content-Length: 5000000\r\n\r\n").encode())
s.sendall(b"x" * 1000000)
time.sleep(600)
"#,
    );
    bench.put_with("", |config| {
        config.runtime = "provided.al2023".into();
        config.timeout_s = 4;
    });
    let (document, kind, request_id) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Timeout);
    let message = format!("RequestId: {request_id} Error: Task timed out after 4.00 seconds");
    assert_eq!(document["errorMessage"], message);
    bench.stop().await;
}

#[tokio::test]
async fn code_that_cannot_be_loaded_answers_with_its_init_error() {
    let rows: &[(&str, &str, &str, &str)] = &[
        (
            "import nothing_like_this\n",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nothing_like_this'",
        ),
        (
            "",
            "absent.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'absent': No module named 'absent'",
        ),
        ("", "app.missing", "Runtime.HandlerNotFound", "Handler 'missing' missing on module 'app'"),
        (
            "",
            "app",
            "Runtime.MalformedHandlerName",
            "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
        ),
        ("", "sys.handler", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
        ("raise ValueError('at import')\n", "app.handler", "ValueError", "at import"),
    ];
    for (code, handler, error_type, message) in rows {
        let bench = Bench::new();
        bench.put_with(code, |config| config.handler = (*handler).into());
        let (document, kind, _) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Init, "{handler}");
        assert_eq!(document["errorType"], *error_type);
        assert_eq!(document["errorMessage"], *message);
        assert_eq!(document["requestId"], "");
        assert!(document["stackTrace"].is_array());
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_syntax_error_names_file_and_line() {
    let bench = Bench::new();
    bench.put("x = 1\ndef handler(:\n");
    let (document, kind, _) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Init);
    assert_eq!(document["errorType"], "Runtime.UserCodeSyntaxError");
    let message = document["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("Syntax error in module 'app': invalid syntax (app.py, line 2)"), "{message}");
    let trace = document["stackTrace"][0].as_str().unwrap();
    assert!(trace.contains("app.py\" Line 2\n    def handler(:"), "{trace}");
    bench.stop().await;
}

#[tokio::test]
async fn a_process_that_ends_while_it_loads_gives_an_exit_error() {
    for (code, reason) in [
        ("import sys\nsys.exit(0)\n", "Runtime exited without providing a reason"),
        ("import sys\nsys.exit(3)\n", "Runtime exited with error: exit status 3"),
    ] {
        let bench = Bench::new();
        bench.put(code);
        let (document, kind, request_id) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Exit);
        let message = format!("RequestId: {request_id} Error: {reason}");
        assert_eq!(document, json!({"errorType": "Runtime.ExitError", "errorMessage": message}));
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_slow_start_gets_one_more_try_inside_of_the_timeout() {
    // Long enough that a busy machine gets a process to its first line.
    let bench = Bench::with(|settings| settings.init_limit = Duration::from_secs(5));
    let starts = bench.dir.path().join("starts");
    let code = format!(
        "import time\nwith open({:?}, 'a') as f:\n    f.write('x')\ntime.sleep(SLEEP)\ndef handler(e, c):\n    return 'in'\n",
        starts.display().to_string()
    );
    bench.put_with(&code.replace("SLEEP", "5.5"), |config| config.timeout_s = 60);
    assert_eq!(bench.result("{}").await, "\"in\"");
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "xx");

    bench.put_with(&code.replace("SLEEP", "60"), |config| config.timeout_s = 6);
    let (document, kind, request_id) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Timeout);
    let message = format!("RequestId: {request_id} Error: Task timed out after 6.00 seconds");
    assert_eq!(document["errorMessage"], message);
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "xxxx");
    bench.stop().await;
}

#[tokio::test]
async fn failed_starts_are_spaced_out() {
    let bench = Bench::new();
    bench.put("raise ValueError('no')\n");
    let clock = common::RealClock;
    let began = tailrace_core::clock::Clock::monotonic_ns(&clock);
    for _ in 0..4 {
        assert_eq!(bench.error("{}").await.1, FunctionErrorKind::Init);
    }
    let took = Duration::from_nanos(tailrace_core::clock::Clock::monotonic_ns(&clock) - began);
    assert!(took >= Duration::from_millis(700), "pauses of 100, 200 and 400 ms: {took:?}");
    bench.stop().await;
}

/// docs/spec/lambda-runtime.md 5, "back off restarts": ten callers that fail together are one failed start.
#[tokio::test]
async fn starts_that_fail_together_lengthen_the_pause_once() {
    let bench = Bench::with(|settings| settings.concurrency_max = 10);
    bench.put("raise ValueError('no')\n");
    let clock = common::RealClock;
    let began = tailrace_core::clock::Clock::monotonic_ns(&clock);
    for _ in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let functions = bench.functions.clone();
            calls
                .spawn(async move { functions.invoke("f", Bytes::from_static(b"{}"), InvokeContext::default()).await });
        }
        while let Some(outcome) = calls.join_next().await {
            assert!(matches!(outcome.unwrap(), InvokeOutcome::FunctionError { .. }));
        }
    }
    let took = Duration::from_nanos(tailrace_core::clock::Clock::monotonic_ns(&clock) - began);
    // Doubled by each of the ten, the pause is at its longest after the first round, and there are two.
    assert!(took < 2 * limits::FUNCTION_RESTART_PAUSE_MAX, "{took:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_function_that_cannot_start_waits_without_a_place_that_others_need() {
    let bench = Bench::with(|settings| settings.concurrency_max = 1);
    bench.write("good.py", "def handler(event, context):\n    return 'good'\n");
    bench.put("raise ValueError('no')\n");
    // The next pause is ten seconds long.
    for _ in 0..8 {
        bench.error("{}").await;
    }
    let functions = bench.functions.clone();
    let waiting =
        tokio::spawn(async move { functions.invoke("f", Bytes::from_static(b"{}"), InvokeContext::default()).await });
    tokio::task::yield_now().await;
    let good = FunctionConfig::new("g", FunctionArn::new(common::ARN), "python3.13", "good.handler", bench.code_dir());
    bench.functions.put(good).unwrap();
    let outcome = bench.functions.invoke("g", Bytes::from_static(b"{}"), InvokeContext::default()).await;
    assert!(matches!(outcome, InvokeOutcome::Success { .. }), "{outcome:?}");
    assert!(!waiting.is_finished(), "the pause is longer than that");

    // Nor does a stop wait for the pause.
    let clock = common::RealClock;
    let began = tailrace_core::clock::Clock::monotonic_ns(&clock);
    bench.functions.end_pauses();
    let stopping = InvokeOutcome::NotInvocable { reason: NotInvocable::Stopping };
    assert_eq!(waiting.await.unwrap(), stopping);
    bench.stop().await;
    let took = Duration::from_nanos(tailrace_core::clock::Clock::monotonic_ns(&clock) - began);
    assert!(took < limits::FUNCTION_RESTART_PAUSE_MAX, "{took:?}");
}

#[tokio::test]
async fn asking_for_more_work_with_an_invocation_open_ends_it() {
    let bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import http.client, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    c.getresponse().read()
"#,
    );
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    let (document, kind, _) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Exit);
    assert_eq!(document["errorType"], "Runtime.ExitError");
    bench.stop().await;
}

/// docs/spec/lambda-runtime.md 9: what comes in trailers behind a response is how it failed.
#[tokio::test]
async fn a_streamed_answer_that_fails_midway_is_an_error_of_the_function() {
    let bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import base64, json, os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
s = socket.create_connection((host, int(port)))
head = " HTTP/1.1\r\nHost: %s:%s\r\n" % (host, port)
while True:
    s.sendall(("GET /2018-06-01/runtime/invocation/next" + head + "\r\n").encode())
    answer, _, body = s.recv(65536).decode().partition("\r\n\r\n")
    id = answer.lower().split("lambda-runtime-aws-request-id: ")[1].split("\r\n")[0]
    trailers = "".join("Lambda-Runtime-Function-Error-%s: %s\r\n" % pair for pair in json.loads(body).items())
    post = "POST /2018-06-01/runtime/invocation/%s/response" % id + head + "Transfer-Encoding: chunked\r\n"
    post += "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
    s.sendall((post + "\r\n6\r\n\"begun\r\n0\r\n" + trailers + "\r\n").encode())
    assert b" 202 " in s.recv(65536)
"#,
    );
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    // Base64 of {"errorType":"Mine","errorMessage":"midway"}, and of a text.
    let whole = "eyJlcnJvclR5cGUiOiJNaW5lIiwiZXJyb3JNZXNzYWdlIjoibWlkd2F5In0=";
    let nothing = json!({ "errorType": "Mine", "errorMessage": "" });
    for (trailers, expected) in [
        (json!({ "Type": "Mine", "Body": whole }), json!({ "errorType": "Mine", "errorMessage": "midway" })),
        (json!({ "Body": whole }), json!({ "errorType": "Mine", "errorMessage": "midway" })),
        (json!({ "Type": "Mine" }), nothing.clone()),
        (json!({ "Type": "Mine", "Body": "dGV4dA==" }), nothing.clone()),
        (json!({ "Type": "Mine", "Body": "*" }), nothing),
    ] {
        let (document, kind, _) = bench.error(&trailers.to_string()).await;
        assert_eq!((kind, document), (FunctionErrorKind::Handler, expected), "{trailers}");
    }
    assert_eq!(bench.result("{}").await, "\"begun", "without trailers it is a result");
    bench.stop().await;
}

/// docs/spec/lambda-runtime.md 2: a runtime may ask anew whenever nothing is open; the last call gets the event.
#[tokio::test]
async fn a_runtime_that_asks_anew_gets_the_event_there() {
    let mut bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import http.client, os, select
def ask():
    c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    return c
calls = [ask(), ask()]
# Whichever the host saw first.
sockets = [call.sock for call in calls]
refused = calls.pop(sockets.index(select.select(sockets, [], [])[0][0])).getresponse()
text = "%d %s" % (refused.status, refused.read().decode())
print("refused", flush=True)
answer = calls[0].getresponse()
answer.read()
path = "/2018-06-01/runtime/invocation/%s/response" % answer.headers["Lambda-Runtime-Aws-Request-Id"]
calls[0].request("POST", path, text)
calls[0].getresponse().read()
ask().getresponse()
"#,
    );
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    bench.functions.warm("f");
    assert_eq!(bench.line().await.text, "refused");
    let state = r#"403 {"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}"#;
    assert_eq!(bench.result("{}").await, state);
    bench.stop().await;
}

#[tokio::test]
async fn a_runtime_that_posts_nonsense_is_told_so() {
    let bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import http.client, json, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None, headers={}):
    c.request(method, "/2018-06-01/runtime/" + path, body, headers)
    answer = c.getresponse()
    return answer.status, answer.read().decode(), answer.headers
seen = [call("POST", "invocation/x/response", "1")[:2]]
while True:
    _, _, headers = call("GET", "invocation/next")
    id = headers["Lambda-Runtime-Aws-Request-Id"]
    seen += [call("POST", "invocation/x/response", "1")[:2], call("POST", "init/error", "{}")[:2],
             call("GET", "nothing")[:1], call("GET", "invocation/next", None, {"Origin": "http://evil"})[:1],
             call("GET", "invocation/next", None, {"Host": "evil"})[:1], headers["Content-Type"]]
    call("POST", "invocation/%s/response" % id, json.dumps(seen))
    seen = []
"#,
    );
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    let state = r#"{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}"#;
    let id = r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
    let seen: Value = serde_json::from_str(&bench.result("{}").await).unwrap();
    assert_eq!(seen, json!([[403, state], [400, id], [403, state], [404], [403], [403], "application/json"]));
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    let bench = Bench::new();
    let code_dir = bench.code_dir().canonicalize().unwrap();
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    let (document, kind, request_id) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Init);
    let message =
        format!("RequestId: {request_id} Error: Couldn't find valid bootstrap(s): [{}/bootstrap]", code_dir.display());
    assert_eq!(document, json!({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": message}));

    bench.put_with("", |config| config.code_dir = "/nothing/here".into());
    let reason = NotInvocable::CannotStart("the code directory /nothing/here of function f is not there".into());
    assert_eq!(bench.invoke("{}").await, InvokeOutcome::NotInvocable { reason });
    let unknown = bench.functions.invoke("g", Bytes::from_static(b"{}"), InvokeContext::default()).await;
    assert_eq!(unknown, InvokeOutcome::NotInvocable { reason: NotInvocable::Unknown("g".into()) });
    bench.stop().await;
}

#[tokio::test]
async fn concurrency_limits_throttle_callers_and_hold_back_pollers() {
    let bench = Bench::new();
    let slow = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n";
    bench.put_with(slow, |config| config.reserved_concurrency = Some(1));
    let functions = bench.functions.clone();
    let long =
        tokio::spawn(async move { functions.invoke("f", Bytes::from_static(b"0.5"), InvokeContext::default()).await });
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let throttled = InvokeOutcome::Throttled { reason: ThrottleReason::ReservedConcurrency };
    assert_eq!(bench.invoke("0").await, throttled);
    let queued = InvokeContext { queue: true, ..InvokeContext::default() };
    let outcome = bench.functions.invoke("f", Bytes::from_static(b"0"), queued.clone()).await;
    assert!(matches!(outcome, InvokeOutcome::Success { .. }), "{outcome:?}");
    assert!(matches!(long.await.unwrap(), InvokeOutcome::Success { .. }));

    bench.put_with(slow, |config| config.reserved_concurrency = Some(0));
    assert_eq!(bench.functions.invoke("f", Bytes::from_static(b"0"), queued).await, throttled);
    bench.stop().await;
}
