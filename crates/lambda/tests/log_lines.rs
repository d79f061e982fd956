//! What the log of a function holds: its output, cut by invocation, and the lines that AWS writes around each.
//! docs/spec/lambda-runtime.md 10.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use bytes::Bytes;
use common::Bench;
use tailrace_lambda::{InvokeContext, LogLine, LogStream};

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
        if is_node {
            bench.put_node("app.js", node)
        } else {
            bench.put(python)
        }
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
                config.timeout_s = 1;
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
        bench.stop().await;
    }
}
