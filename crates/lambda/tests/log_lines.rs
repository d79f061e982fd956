//! What the log of a function holds: its output, cut by invocation, and the lines that AWS writes around each.
//! docs/spec/lambda-runtime.md 10.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use bytes::Bytes;
use common::Bench;
use tailrace_lambda::{InvokeContext, InvokeOutcome, LogLine, LogStream, LogTail};

async fn invoke(bench: &Bench, request_id: &str, event: &str) {
    let context = InvokeContext { request_id: Some(request_id.into()), ..InvokeContext::default() };
    bench.functions.invoke("f", Bytes::copy_from_slice(event.as_bytes()), context).await;
}

/// The lines until the report of this invocation: stream, id and text, figures left out.
async fn lines(bench: &mut Bench, request_id: &str) -> Vec<(LogStream, String, String)> {
    let mut seen = Vec::new();
    loop {
        let LogLine { stream, request_id: id, text, .. } = bench.any_line().await;
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let is_last = text.starts_with("REPORT") && id == request_id;
        let text = text.split('\t').map(|part| part.split(": ").next().unwrap()).collect::<Vec<_>>().join("|");
        if stream != LogStream::Notice {
            seen.push((stream, id, text));
        }
        if is_last {
            return seen;
        }
    }
}

const REPORT: &str = "REPORT RequestId|Duration|Billed Duration|Memory Size|Max Memory Used|";

/// Both runtimes; output without a line end is a line of its invocation, however fast the next one comes.
#[tokio::test]
async fn start_end_and_report_are_around_what_each_invocation_prints() {
    let python =
        "import os\ndef handler(event, context):\n    os.write(1, b'out' + event.encode())\n    os.write(2, b'err')\n";
    let node = "const { writeSync } = require('fs');\nexports.handler = async (event) => { writeSync(1, 'out' + event); writeSync(2, 'err'); };\n";
    for is_node in [false, true] {
        let mut bench = Bench::new();
        let mut config = if is_node { bench.node("app.js", node) } else { bench.python(python) };
        // One that is slow to ask for the next event gets no second one beside it.
        config.reserved_concurrency = Some(1);
        bench.functions.put(config).unwrap();
        for n in 1..=20 {
            invoke(&bench, &format!("r-{n}"), &format!("\"{n}\"")).await;
        }
        for n in 1..=20 {
            let id = format!("r-{n}");
            let seen = lines(&mut bench, &id).await;
            assert!(seen.iter().all(|(_, other, _)| *other == id), "{id}: {seen:?}");
            let of = |wanted: &[LogStream]| -> Vec<String> {
                seen.iter().filter(|(s, ..)| wanted.contains(s)).map(|(.., text)| text.clone()).collect()
            };
            let report = if n == 1 { format!("{REPORT}Init Duration|") } else { REPORT.to_owned() };
            let platform = [LogStream::Stdout, LogStream::Platform];
            assert_eq!(of(&platform), ["START RequestId", &format!("out{n}"), "END RequestId", &report], "{id}");
            assert_eq!(of(&[LogStream::Stderr]), ["err"], "{id}");
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_report_tells_how_an_invocation_ended_that_its_process_did_not_survive() {
    for (code, status) in [
        ("while True: pass", "Status: timeout\t"),
        ("import os; os._exit(3)", "Status: error\tError Type: Runtime.ExitError\t"),
    ] {
        let mut bench = Bench::new();
        bench.put_with(
            &format!("def handler(event, context):\n    print('begun', flush=True)\n    {code}\n"),
            |config| {
                config.timeout_s = 4;
            },
        );
        invoke(&bench, "r-1", "{}").await;
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text: &String| !text.starts_with("REPORT")) {
            texts.push(bench.any_line().await.text);
        }
        let report = texts.pop().unwrap();
        let rest: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.starts_with("no python")).collect();
        assert_eq!(rest, ["START RequestId: r-1 Version: $LATEST", "begun", "END RequestId: r-1"]);
        assert!(report.ends_with(status), "{report:?}");
        assert!(!report.contains("Max Memory Used: 0 MB"), "{report:?}");
        if status.contains("timeout") {
            assert!(report.contains("\tDuration: 4000.00 ms\tBilled Duration: 4000 ms\t"), "{report:?}");
        }
        bench.stop().await;
    }
}

/// A start that fails is an invocation that failed: it has its lines, behind what the process wrote, in the caller's tail as well.
#[tokio::test]
async fn an_invocation_whose_process_does_not_start_has_its_lines() {
    let program = "#!/bin/sh\necho begun\nexit 3\n";
    for (runtime, app, bootstrap, error_type, written) in [
        (
            "python3.13",
            "import nothing_like_this\n",
            "",
            "Runtime.ImportModuleError",
            "[ERROR] Runtime.ImportModuleError",
        ),
        ("provided.al2023", "", program, "Runtime.ExitError", "begun"),
        ("provided.al2023", "", "", "Runtime.InvalidEntrypoint", ""),
    ] {
        let mut bench = Bench::new();
        if !bootstrap.is_empty() {
            bench.write_program("bootstrap", bootstrap);
        }
        bench.put_with(app, |config| config.runtime = runtime.into());
        let log_tail = LogTail::default();
        let context = InvokeContext {
            request_id: Some("r-1".into()),
            log_tail: Some(log_tail.clone()),
            ..InvokeContext::default()
        };
        let outcome = bench.functions.invoke("f", Bytes::from_static(b"{}"), context).await;
        assert!(matches!(outcome, InvokeOutcome::FunctionError { .. }), "{outcome:?}");
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text: &String| !text.starts_with("REPORT")) {
            let line = bench.any_line().await;
            if line.stream != LogStream::Notice {
                assert_eq!(line.request_id.as_deref(), Some("r-1"), "{line:?}");
                texts.push(line.text);
            }
        }
        let tail = String::from_utf8(log_tail.bytes()).unwrap();
        assert!(tail.ends_with(&format!("{}\n", texts[texts.len() - 3..].join("\n"))), "{tail}\n{texts:?}");
        let report = texts.pop().unwrap();
        assert!(report.ends_with(&format!("\tStatus: error\tError Type: {error_type}\t")), "{report:?}");
        assert_eq!(texts.pop().as_deref(), Some("END RequestId: r-1"));
        assert_eq!(texts.pop().as_deref(), Some("START RequestId: r-1 Version: $LATEST"));
        assert!(texts.concat().starts_with(written), "{texts:?}");
        bench.stop().await;
    }
}

const PYTHON_LOGGING: &str = "
import json, logging, sys, traceback
log = logging.getLogger('mine')
logging.addLevelName(25, 'NOTICE')
log.warning('at the start')
def handler(event, context):
    log.debug('too little')
    log.warning('two %s', 'words', extra={'order': 7, 'level': 'mine', 'errorType': 'mine'})
    log.log(25, 'between')
    log.log(99, 'above')
    log.info({'text': '\\u00fc'})
    print('as it is')
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception('caught')
        print(json.dumps({'trace': traceback.format_tb(sys.exc_info()[2])}))
    raise ValueError('bad')
";
const NODE_LOGGING: &str = "
exports.handler = async () => {
    console.debug('too little');
    console.warn('two %s', 'words');
    console.info({ order: 7 });
    console.error('caught', new RangeError('no'));
    console.log(5);
    console.error({ err: Object.assign(new RangeError('in it'), { code: 'E1' }) });
    console.error(new RangeError('alone'));
    throw new TypeError('bad');
};
";

/// LoggingConfig: what is logged, what fails and what the platform says are objects of one line, from the level on that is asked
/// for; what is printed stays as it is.
#[tokio::test]
async fn lines_are_json_where_that_is_asked_for() {
    for is_node in [false, true] {
        let mut bench = Bench::new();
        let mut config = if is_node { bench.node("app.js", NODE_LOGGING) } else { bench.python(PYTHON_LOGGING) };
        config.logging.json = true;
        bench.functions.put(config).unwrap();
        invoke(&bench, "r-1", "{}").await;
        let (mut seen, mut texts): (Vec<serde_json::Value>, Vec<String>) = (Vec::new(), Vec::new());
        while seen.last().is_none_or(|line| line["type"] != "platform.report") {
            let LogLine { stream, text, .. } = bench.any_line().await;
            if stream != LogStream::Notice {
                seen.push(serde_json::from_str(&text).unwrap_or_else(|_| text.clone().into()));
                texts.push(text);
            }
        }
        let report = &seen.last().unwrap()["record"];
        let error = if is_node { "TypeError" } else { "ValueError" };
        assert_eq!((&report["status"], &report["errorType"]), (&"error".into(), &error.into()), "{report}");
        if !is_node {
            // Before the first invocation there is no request.
            let first = seen.remove(0);
            assert_eq!((&first["message"], &first["requestId"]), (&"at the start".into(), &"".into()));
        }
        assert_eq!((&seen[0]["type"], &seen[0]["record"]["requestId"]), (&"platform.start".into(), &"r-1".into()));
        let own = &seen[1..seen.len() - 1];
        for line in own.iter().filter(|line| line.is_object() && line["trace"].is_null()) {
            assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
            assert_eq!(line["requestId"], "r-1", "{line}");
        }
        let part = |line: usize, names: &[&str]| -> Vec<serde_json::Value> {
            names.iter().map(|name| own[line][*name].clone()).collect()
        };
        assert_eq!(own.len(), if is_node { 7 } else { 8 }, "{own:?}");
        if is_node {
            assert_eq!(part(0, &["level", "message"]), ["WARN", "two words"]);
            assert_eq!(part(1, &["level", "message"]), [serde_json::json!("INFO"), serde_json::json!({ "order": 7 })]);
            assert_eq!(part(2, &["level", "errorType", "errorMessage"]), ["ERROR", "RangeError", "no"]);
            assert!(
                own[2]["stackTrace"].is_array() && own[2]["message"].as_str().unwrap().starts_with("caught RangeError")
            );
            assert_eq!(part(3, &["level", "message"]), [serde_json::json!("INFO"), 5.into()]);
            let error = |line: usize, of: &serde_json::Value, text: &str, kind: &str| {
                assert_eq!(
                    (&own[line]["level"], &of["errorType"], &of["errorMessage"]),
                    (&"ERROR".into(), &kind.into(), &text.into())
                );
                assert!(of["stackTrace"].as_array().is_some_and(|trace| trace.len() > 1), "{of}");
            };
            error(4, &own[4]["message"]["err"], "in it", "RangeError");
            assert_eq!(own[4]["message"]["err"]["code"], "E1");
            error(5, &own[5]["message"], "alone", "RangeError");
            error(6, &own[6]["message"], "bad", "TypeError");
        } else {
            assert_eq!(part(0, &["level", "message", "logger"]), ["WARNING", "two words", "mine"]);
            assert_eq!((&own[0]["order"], &own[0]["errorType"]), (&7.into(), &serde_json::Value::Null));
            // Levels of the function's own are rounded to those that AWS knows.
            assert_eq!(part(1, &["level", "message"]), ["INFO", "between"]);
            assert_eq!(part(2, &["level", "message"]), ["CRITICAL", "above"]);
            assert_eq!(own[3]["message"], serde_json::json!({ "text": "\u{fc}" }));
            assert!(texts.iter().any(|text| text.contains('\u{fc}')), "text is as it is: {texts:?}");
            assert_eq!(own[4], "as it is");
            assert_eq!(part(5, &["message", "errorType"]), ["caught", "ZeroDivisionError"]);
            assert!(own[5]["location"].as_str().unwrap().contains("app.py:handler:"), "{}", own[5]);
            assert_eq!(own[5]["stackTrace"], own[6]["trace"], "as Python prints it");
            assert_eq!(part(7, &["level", "errorType", "errorMessage"]), ["ERROR", "ValueError", "bad"]);
        }
        bench.stop().await;
    }
}
