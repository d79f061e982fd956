//! What an unmodified Python handler may return, and what it is told. docs/spec/lambda-runtime.md 12 rows 1, 4, 5, 8, 9.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use common::{ARN, Bench, RealClock};
use serde_json::{Value, json};
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tailrace_lambda::{FunctionErrorKind, InvokeContext, InvokeOutcome, LogStream, NotInvocable, PythonClient};

#[tokio::test]
async fn results_reach_the_caller_as_json() {
    let bench = Bench::new();
    bench.put(
        r#"
from collections import namedtuple
from decimal import Decimal
Failure = namedtuple("Failure", "itemIdentifier")
class Members:
    def _asdict(self):
        return {"a": Failure(1)}
class Odd:
    def _asdict(self):
        return Odd()
class Endless(tuple):
    def _asdict(self):
        return {"more": Endless()}
LOOP = [Failure(1)]
LOOP.append(LOOP)
def deep(value):
    for _ in range(900):
        value = [value]
    return value
RESULTS = {
    "dict": {"a": 1, "b": [True, None, 1.5]},
    "list": [1, 2],
    "none": None,
    "text": "plain",
    "bytes": b'{"raw": 1}',
    "decimal": {"d": [Decimal("1.10"), Decimal("12345678901234567890.123")], "nan": Decimal("NaN")},
    "text beyond ascii": "\u00e9\U0001F600",
    "named tuple": {"batchItemFailures": [Failure("1"), (Failure(Failure("2")),)]},
    "members": [Members()],
    "bytes inside": {b"key": [b"\xc3\xa9"]},
    "loop": LOOP,
    "odd": [Odd()],
    "endless": [Endless()],
    "deep": deep(1),
    "deep named tuple": deep(Failure("1")),
}
def handler(event, context):
    return RESULTS[event]
"#,
    );
    let deep = |value: &str| format!("{}{value}{}", "[".repeat(900), "]".repeat(900));
    for (event, expected) in [
        ("dict", r#"{"a": 1, "b": [true, null, 1.5]}"#),
        ("list", "[1, 2]"),
        ("none", "null"),
        ("text", r#""plain""#),
        ("bytes", r#"{"raw": 1}"#),
        ("decimal", r#"{"d": [1.10, 12345678901234567890.123], "nan": NaN}"#),
        ("text beyond ascii", "\"\u{e9}\u{1F600}\""),
        (
            "named tuple",
            r#"{"batchItemFailures": [{"itemIdentifier": "1"}, [{"itemIdentifier": {"itemIdentifier": "2"}}]]}"#,
        ),
        ("members", r#"[{"a": {"itemIdentifier": 1}}]"#),
        ("bytes inside", "{\"key\": [\"\u{e9}\"]}"),
        ("deep", &deep("1")),
        ("deep named tuple", &deep(r#"{"itemIdentifier": "1"}"#)),
    ] {
        assert_eq!(bench.result(&json!(event).to_string()).await, expected, "{event}");
    }
    for (event, error) in [
        ("loop", "Circular reference detected"),
        ("odd", "_asdict() must return a dict, not Odd"),
        ("endless", "maximum recursion depth exceeded"),
    ] {
        let (document, _, _) = bench.error(&json!(event).to_string()).await;
        assert_eq!(document["errorMessage"], format!("Unable to marshal response: {error}"), "{event}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_client_is_chosen_without_a_setting_and_sees_the_same_function() {
    let bench = Bench::with(|settings| settings.python_client = PythonClient::Auto);
    bench.put("import sys\ndef handler(event, context):\n    return [event, 'tailrace_runtime' in sys.modules]\n");
    assert_eq!(bench.result(r#"{"a":1}"#).await, r#"[{"a": 1}, false]"#);
    bench.stop().await;
}

/// docs/spec/lambda-runtime.md 6, row PYTHONPATH; 7.1, 7.2. The code directory is on the path of the handler and of what it
/// starts, but not yet when the client imports what it needs.
#[tokio::test]
async fn files_named_like_the_standard_library_do_not_stop_the_client() {
    let bench = Bench::new();
    for module in ["types", "token", "logging", "json", "socket", "ast", "decimal", "linecache", "http", "stringprep"] {
        bench.write(&format!("{module}.py"), "raise SystemError('not the standard library')\n");
    }
    bench.write("mine.py", "NAME = 'mine'\n");
    bench.write("lib/theirs.py", "NAME = 'theirs'\n");
    bench.put_with(
        r#"
import os, sys
import mine, theirs
def handler(event, context):
    if event == "fail":
        raise ValueError("bad")
    path = os.environ["PYTHONPATH"].split(":")
    return [mine.NAME, theirs.NAME, path, sys.path[:2] == path]
"#,
        |config| {
            let own = bench.code_dir().canonicalize().unwrap().join("lib").display().to_string();
            config.environment.insert("PYTHONPATH".into(), own);
        },
    );
    let (document, _, _) = bench.error(r#""fail""#).await;
    assert_eq!((&document["errorType"], &document["errorMessage"]), (&json!("ValueError"), &json!("bad")));
    assert!(document["stackTrace"][0].as_str().unwrap().contains("raise ValueError"), "{document}");
    let seen: Value = serde_json::from_str(&bench.result("{}").await).unwrap();
    let root = bench.code_dir().canonicalize().unwrap().display().to_string();
    assert_eq!(seen, json!(["mine", "theirs", [root, format!("{root}/lib")], true]));
    bench.stop().await;
}

#[tokio::test]
async fn a_result_that_is_no_json_is_a_marshal_error() {
    let bench = Bench::new();
    bench.put("def handler(event, context):\n    return {1, 2}\n");
    let (document, kind, request_id) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Handler);
    assert_eq!(
        document,
        json!({
            "errorMessage": "Unable to marshal response: Object of type set is not JSON serializable",
            "errorType": "Runtime.MarshalError", "requestId": request_id, "stackTrace": [],
        })
    );
    bench.stop().await;
}

/// An error that cannot be shown, or not as it is, is still the error of its invocation, and the process serves the next one.
#[tokio::test]
async fn an_error_is_told_also_where_nothing_can_be_printed() {
    for (code, error_type, message) in [
        ("import os; os.close(1); raise ValueError('bad')", "ValueError", "bad"),
        ("import sys; sys.stdout.close(); raise ValueError('bad')", "ValueError", "bad"),
        ("import sys; sys.stdout = None; raise ValueError('bad')", "ValueError", "bad"),
        (r"raise ValueError('\ud800')", "ValueError", r"\ud800"),
        (
            "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0, '__repr__': lambda self: 1 / 0})()",
            "Odd",
            "<exception str() failed>",
        ),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 7})()", "Odd", "<exception str() failed>"),
        ("e = ValueError('bad'); e.__traceback__ = None; raise e", "ValueError", "bad"),
        ("raise ValueError(type('S', (str,), {'encode': None})('bad'))", "ValueError", "bad"),
        (
            "import linecache; linecache.getline = linecache.getlines = None; raise ValueError('bad')",
            "ValueError",
            "bad",
        ),
        ("raise type('\u{9519}\u{8bef}', (Exception,), {})('bad')", "\u{9519}\u{8bef}", "bad"),
        ("raise type('Two\\r\\nLines', (Exception,), {})('bad')", "Two\r\nLines", "bad"),
    ] {
        let bench = Bench::new();
        bench.put(&format!("def handler(event, context):\n    {code}\n"));
        let (document, kind, _) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Handler, "{code}: {document}");
        assert_eq!((&document["errorType"], &document["errorMessage"]), (&json!(error_type), &json!(message)));
        for frame in document["stackTrace"].as_array().unwrap() {
            assert!(frame.as_str().unwrap().lines().count() <= 2, "no marks below the code: {document}");
        }
        let (document, kind, _) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Handler, "{code}: {document}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn the_event_comes_as_sent_and_the_context_is_filled() {
    let bench = Bench::new();
    bench.put_with(
        r#"
def handler(event, context):
    return {
        "event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
        "name": context.function_name, "version": context.function_version, "memory": context.memory_limit_in_mb,
        "group": context.log_group_name, "remaining": context.get_remaining_time_in_millis(),
        "client": context.client_context.custom if context.client_context else None,
        "app": context.client_context.client.app_title, "trace": context.w3c(),
    }
"#,
        |config| {
            config.memory_mb = 256;
            config.timeout_s = 7;
        },
    );
    let context = InvokeContext {
        request_id: Some("11111111-2222-4333-8444-555555555555".into()),
        client_context: Some(r#"{"custom":{"k":"v"},"client":{},"w3c":{"traceparent":"00-1","other":"x"}}"#.into()),
        ..InvokeContext::default()
    };
    let event = r#"{"text":"Gr\u00fc\u00dfe ðŸ", "n": 12345678901234567890}"#;
    let outcome = bench.functions.invoke("f", Bytes::from(event), context).await;
    let InvokeOutcome::Success { payload, request_id, .. } = outcome else { panic!("{outcome:?}") };
    let seen: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(request_id, "11111111-2222-4333-8444-555555555555");
    assert_eq!(seen["event"], serde_json::from_str::<Value>(event).unwrap());
    assert_eq!((&seen["app"], &seen["trace"]), (&Value::Null, &serde_json::json!({"traceparent": "00-1"})));
    assert_eq!(seen["id"], request_id);
    assert_eq!(seen["arn"], ARN);
    assert_eq!(seen["name"], "f");
    assert_eq!(seen["version"], "$LATEST");
    assert_eq!(seen["memory"], "256");
    assert_eq!(seen["group"], "/aws/lambda/f");
    assert_eq!(seen["client"], json!({"k": "v"}));
    let remaining = seen["remaining"].as_i64().unwrap();
    assert!((1..=7000).contains(&remaining), "{remaining}");
    bench.stop().await;
}

#[tokio::test]
async fn the_environment_is_built_from_nothing() {
    let bench = Bench::with(|settings| {
        settings.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), "http://127.0.0.1:8000".into());
        settings.environment.insert("AWS_REGION".into(), "eu-west-1".into());
    });
    bench.put_with(
        "import os\ndef handler(event, context):\n    return dict(os.environ, CWD=os.getcwd())\n",
        |config| {
            config.environment.insert("MINE".into(), "yes".into());
        },
    );
    let seen: Value = serde_json::from_str(&bench.result("{}").await).unwrap();
    let code_dir = bench.code_dir().canonicalize().unwrap().display().to_string();
    assert_eq!(seen["MINE"], "yes");
    assert_eq!(seen["AWS_ENDPOINT_URL_DYNAMODB"], "http://127.0.0.1:8000");
    assert_eq!(seen["AWS_REGION"], "eu-west-1");
    assert_eq!(seen["AWS_LAMBDA_FUNCTION_NAME"], "f");
    for (name, value) in [
        ("_HANDLER", "app.handler"),
        ("LAMBDA_TASK_ROOT", &*code_dir),
        ("CWD", &*code_dir),
        ("PWD", &*code_dir),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13"),
        ("LANG", "C.UTF-8"),
        ("TZ", ":UTC"),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    assert!(seen["AWS_LAMBDA_LOG_STREAM_NAME"].as_str().unwrap().contains("/[$LATEST]"));
    assert!(Path::new(seen["LAMBDA_RUNTIME_DIR"].as_str().unwrap()).join("tailrace_runtime.py").is_file());
    // Nothing of a function's own overrides what is reserved, and what would change the client is not there.
    for name in ["AWS_LAMBDA_MAX_CONCURRENCY", "_LAMBDA_TELEMETRY_LOG_FD"] {
        assert_eq!(seen.get(name), None, "{name}");
    }
    assert!(seen["AWS_LAMBDA_RUNTIME_API"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(seen["_X_AMZN_TRACE_ID"].as_str().unwrap().starts_with("Root=1-"));
    // CARGO_* and HOME are in this test's own environment.
    let names: Vec<&String> = seen.as_object().unwrap().keys().collect();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    for name in ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] {
        assert_eq!(seen[name], "/dev/null", "no profile of the user's");
    }
    let leaked: Vec<_> = names.iter().filter(|name| name.starts_with("CARGO") || *name == &"HOME").collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    bench.stop().await;
}

/// docs/spec/lambda-runtime.md 2, 3, 9: without one of the first headers one client or another crashes; those of what there is not
/// are left out. Answers come in one piece, in chunks, and behind an `Expect`.
#[tokio::test]
async fn a_runtime_gets_the_headers_that_clients_rely_on() {
    let bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import http.client, json, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
how = 0
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = c.getresponse()
    event = answer.read().decode()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    path = "/2018-06-01/runtime/invocation/%s/response" % headers["lambda-runtime-aws-request-id"]
    result = json.dumps([event, headers]).encode()
    if how == 0:
        c.request("POST", path, result)
    elif how == 1:
        c.request("POST", path, iter([result[:9], result[9:]]), {"Lambda-Runtime-Function-Response-Mode": "streaming"}, encode_chunked=True)
    else:
        c.putrequest("POST", path)
        c.putheader("Content-Length", str(len(result)))
        c.putheader("Expect", "100-continue")
        c.endheaders()
        assert c.sock.recv(100).startswith(b"HTTP/1.1 100"), "it is told to go on"
        c.send(result)
    posted = c.getresponse()
    assert (posted.status, posted.read()) == (202, b'{"status":"OK"}')
    how += 1
"#,
    );
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    let context = |n: u8| InvokeContext {
        request_id: Some(format!("11111111-2222-4333-8444-55555555555{n}")),
        client_context: Some(r#"{"custom":{}}"#.into()),
        cognito_identity: Some(r#"{"cognitoIdentityId":"i"}"#.into()),
        ..InvokeContext::default()
    };
    for n in 0..3 {
        let outcome = bench.functions.invoke("f", Bytes::from_static(br#"{"a": 1 }"#), context(n)).await;
        let InvokeOutcome::Success { payload, request_id, .. } = outcome else { panic!("{outcome:?}") };
        let (event, headers): (String, BTreeMap<String, String>) = serde_json::from_slice(&payload).unwrap();
        assert_eq!(event, r#"{"a": 1 }"#, "as it was sent");
        let mut left = headers.clone();
        let mut header = |name: &str| left.remove(name).unwrap_or_else(|| panic!("{name} in {headers:?}"));
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("content-length"), "9");
        assert_eq!(header("lambda-runtime-aws-request-id"), request_id);
        assert_eq!(header("lambda-runtime-invoked-function-arn"), ARN);
        assert!(header("lambda-runtime-deadline-ms").parse::<u64>().unwrap() > RealClock.now().0);
        let trace = header("lambda-runtime-trace-id");
        let parts: Vec<usize> = trace.split([';', '-', '=']).map(str::len).collect();
        assert_eq!(parts, [4, 1, 8, 24, 6, 16, 7, 1], "{trace}");
        assert_eq!(header("lambda-runtime-client-context"), r#"{"custom":{}}"#);
        assert_eq!(header("lambda-runtime-cognito-identity"), r#"{"cognitoIdentityId":"i"}"#);
        left.remove("date");
        assert_eq!(left, BTreeMap::new(), "and no others");
    }
    bench.stop().await;
}

/// docs/spec/lambda-runtime.md 6, row LD_LIBRARY_PATH.
#[tokio::test]
async fn the_libraries_beside_a_function_are_found() {
    let bench = Bench::new();
    bench.write_program(
        "bootstrap",
        r#"#!/usr/bin/env python3
import http.client, json, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = c.getresponse()
    answer.read()
    result = json.dumps(os.environ["LD_LIBRARY_PATH"])
    c.request("POST", "/2018-06-01/runtime/invocation/%s/response" % answer.headers["Lambda-Runtime-Aws-Request-Id"], result)
    c.getresponse().read()
"#,
    );
    bench.put_with("", |config| config.runtime = "provided.al2023".into());
    let root = bench.code_dir().canonicalize().unwrap().display().to_string();
    assert_eq!(bench.result("{}").await, json!(format!("{root}:{root}/lib")).to_string());
    bench.put_with("", |config| {
        config.runtime = "provided.al2023".into();
        config.environment.insert("LD_LIBRARY_PATH".into(), "/own".into());
    });
    assert_eq!(bench.result("{}").await, r#""/own""#);
    bench.put("import os\ndef handler(event, context):\n    return os.environ['LD_LIBRARY_PATH']\n");
    assert_eq!(bench.result("{}").await, json!(format!("{root}:{root}/lib")).to_string());
    bench.put_node("app.js", "exports.handler = async () => process.env.LD_LIBRARY_PATH;\n");
    assert_eq!(bench.result("{}").await, json!(format!("{root}:{root}/lib")).to_string());
    bench.stop().await;
}

/// The function's own modules are compiled below the state directory, and the interpreter's are used as they are: the first start in
/// a new directory does not compile them again.
#[tokio::test]
async fn only_the_functions_own_modules_are_compiled_and_not_beside_them() {
    let bench = Bench::new();
    bench.write("own/part.py", "X = 1\n");
    bench.put(
        r#"
import email.mime.text, os
import own.part
import traceback
def handler(event, context):
    # What the processes that it starts are told.
    told = os.environ["PYTHONPYCACHEPREFIX"]
    return [os.path.exists(traceback.__cached__ or ""), told, own.part.X]
"#,
    );
    let pycache = bench.dir.path().join("state/pycache").canonicalize().unwrap();
    // The second process reads what the first has written.
    for _ in 0..2 {
        let seen: (bool, String, u32) = serde_json::from_str(&bench.result("{}").await).unwrap();
        let code_dir = bench.code_dir().canonicalize().unwrap();
        let compiled = files(&pycache);
        let own = pycache.join(code_dir.strip_prefix("/").unwrap());
        let names = compiled.iter().filter(|file| file.starts_with(&own)).map(|file| file.file_name().unwrap());
        let names: Vec<_> = names.map(|name| name.to_string_lossy().split('.').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["app", "part"], "{compiled:?}");
        assert_eq!((seen.1.as_str(), seen.2), (pycache.to_str().unwrap(), 1));
        // An interpreter that came without compiled files has all of them there.
        assert!(!seen.0 || compiled.len() == 2, "{compiled:?}");
        assert!(!files(&code_dir).iter().any(|file| file.extension().is_some_and(|kind| kind == "pyc")));
        bench.functions.put(bench.functions.get("f").unwrap()).unwrap();
    }
    bench.stop().await;
}

/// The files below a directory, in order.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[tokio::test]
async fn output_comes_line_by_line_with_its_request_id() {
    let mut bench = Bench::new();
    bench.put(
        r#"
import sys
def handler(event, context):
    print("first", event)
    print("zwei: \u00fc", file=sys.stderr)
    sys.stdout.write("no end")
    sys.stdout.flush()
    sys.exit(0)
"#,
    );
    let (_, kind, request_id) = bench.error("7").await;
    assert_eq!(kind, FunctionErrorKind::Exit);
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        let line = bench.line().await;
        if line.stream == LogStream::Notice {
            continue;
        }
        assert_eq!(&*line.function, "f");
        assert_eq!(line.request_id.as_deref(), Some(request_id.as_str()));
        seen.insert((line.stream == LogStream::Stderr, line.text));
    }
    let expected = [(false, "first 7"), (false, "no end"), (true, "zwei: \u{fc}")];
    assert_eq!(seen, expected.map(|(stderr, text)| (stderr, text.to_owned())).into());
    bench.stop().await;
}

#[tokio::test]
async fn events_and_responses_are_bounded_at_six_megabytes() {
    let bench = Bench::new();
    bench.put(
        "def handler(event, context):\n    return 'x' * (event['n'] - 2) if 'n' in event else len(event['text'])\n",
    );
    let limit = limits::FUNCTION_RESPONSE_BYTES_MAX;
    assert_eq!(bench.result(&json!({"n": limit}).to_string()).await.len(), limit);
    for too_large in [limit + 1, 7 * 1024 * 1024] {
        let (document, kind, _) = bench.error(&json!({"n": too_large}).to_string()).await;
        assert_eq!(kind, FunctionErrorKind::ResponseTooLarge);
        assert_eq!(
            document,
            json!({
                "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
                "errorType": "Function.ResponseSizeTooLarge",
            })
        );
    }
    let text = "y".repeat(limits::INVOKE_PAYLOAD_BYTES_MAX - r#"{"text":""}"#.len());
    let event = format!(r#"{{"text":"{text}"}}"#);
    assert_eq!(event.len(), limits::INVOKE_PAYLOAD_BYTES_MAX);
    assert_eq!(bench.result(&event).await, text.len().to_string());
    let reason = NotInvocable::PayloadTooLarge { bytes: event.len() + 1 };
    assert_eq!(bench.invoke(&format!("{event} ")).await, InvokeOutcome::NotInvocable { reason });
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_invocations_over_five_processes_do_not_mix() {
    let bench = Bench::new();
    bench.put_with(
        r#"
import os, time
def handler(event, context):
    time.sleep(0.01)
    return [event, context.aws_request_id, os.getpid()]
"#,
        |config| config.reserved_concurrency = Some(5),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let functions = bench.functions.clone();
        tasks.spawn(async move {
            let context = InvokeContext { queue: true, ..InvokeContext::default() };
            (n, functions.invoke("f", Bytes::from(n.to_string()), context).await)
        });
    }
    let mut processes = BTreeSet::new();
    while let Some(done) = tasks.join_next().await {
        let (n, outcome) = done.unwrap();
        let InvokeOutcome::Success { payload, request_id, .. } = outcome else { panic!("{outcome:?}") };
        let (event, id, pid): (u64, String, i32) = serde_json::from_slice(&payload).unwrap();
        assert_eq!((event, id), (n, request_id));
        processes.insert(pid);
    }
    assert!((1..=5).contains(&processes.len()), "{processes:?}");
    bench.stop().await;
}

#[tokio::test]
async fn one_warm_process_serves_calls_in_a_row() {
    let bench = Bench::new();
    bench.put_with("import os\ndef handler(event, context):\n    return os.getpid()\n", |config| {
        config.reserved_concurrency = Some(1);
    });
    let first = bench.result("1").await;
    for _ in 0..100 {
        assert_eq!(bench.result("1").await, first);
    }
    bench.stop().await;
}
