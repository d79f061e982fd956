//! Node.js handlers that go wrong, and modules that cannot be loaded: the exact errors. docs/spec/lambda-runtime.md 4, 7.3.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::time::Duration;

use common::Bench;
use serde_json::{Value, json};
use tailrace_lambda::{FunctionErrorKind, LogStream};

/// The error of one invocation of a handler.
async fn error_of(file: &str, code: &str) -> (Value, FunctionErrorKind) {
    let bench = Bench::new();
    bench.put_node(file, code);
    let (document, kind, _) = bench.error("{}").await;
    bench.stop().await;
    (document, kind)
}

/// Row 4: `{"errorType","errorMessage","trace":[..]}`, whatever was thrown and however.
#[tokio::test]
async fn an_error_of_a_handler_is_told_as_lambda_tells_it() {
    let named = "class Mine extends Error { constructor() { super('bad'); this.name = 'Mine'; } }";
    for (code, error_type, message) in [
        ("async () => { throw new TypeError('bad'); }", "TypeError", "bad"),
        ("() => { throw new Error('bad'); }", "Error", "bad"),
        ("(event, context, callback) => callback(new RangeError('bad'))", "RangeError", "bad"),
        ("(event, context, callback) => callback('bad')", "string", "bad"),
        ("(event, context) => context.fail(new Error('bad'))", "Error", "bad"),
        ("(event, context) => context.done('bad')", "string", "bad"),
        ("(event, context) => context.fail()", "string", "handled"),
        ("() => Promise.reject()", "string", "handled"),
        ("async () => { throw 7; }", "number", "7"),
        ("async () => { throw new Mine(); }", "Mine", "bad"),
        ("async () => ({ big: 1n })", "Error", "Unable to stringify response body"),
        ("async () => { const a = {}; a.a = a; return a; }", "Error", "Unable to stringify response body"),
        ("async () => { throw new Error('\\ud800'); }", "Error", "\u{fffd}"),
    ] {
        let (document, kind) = error_of("app.js", &format!("{named}\nexports.handler = {code};\n")).await;
        assert_eq!(kind, FunctionErrorKind::Handler, "{code}");
        assert_eq!(
            (&document["errorType"], &document["errorMessage"]),
            (&json!(error_type), &json!(message)),
            "{code}"
        );
        assert!(document["trace"].is_array(), "{document}");
    }
    let (document, _) = error_of("app.js", "exports.handler = async () => { throw new TypeError('bad'); };\n").await;
    let trace: Vec<&str> = document["trace"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(trace[0], "TypeError: bad");
    assert!(trace[1].contains("app.js:1:"), "{trace:?}");
    assert!(!trace.iter().any(|line| line.contains("tailrace_runtime")), "the client has no place in it: {trace:?}");
}

/// An error that cannot be described is still the error of its invocation, and the process serves the next one.
#[tokio::test]
async fn an_error_is_told_also_where_it_cannot_be_described() {
    let handled = "callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack";
    for (code, error_type, message) in [
        ("throw Object.defineProperty(new Error('x'), 'message', { get() { throw 1; } });", "handled", handled),
        ("throw { toString() { throw new Error('no'); } };", "handled", handled),
        ("throw Object.create(null);", "handled", handled),
        ("throw Object.assign(new Error('bad'), { toJSON() { throw 1; }, big: 1n });", "Error", "bad"),
        ("throw Object.assign(new Error('bad'), { stack: 7, name: null });", "null", "bad"),
        ("try { require('fs').closeSync(1); } catch {} throw new Error('bad');", "Error", "bad"),
        ("console.log = null; throw new Error('bad');", "Error", "bad"),
    ] {
        let bench = Bench::new();
        bench.put_node("app.js", &format!("exports.handler = async () => {{ {code} }};\n"));
        for _ in 0..2 {
            let (document, kind, _) = bench.error("{}").await;
            assert_eq!(kind, FunctionErrorKind::Handler, "{code}: {document}");
            assert_eq!((&document["errorType"], &document["errorMessage"]), (&json!(error_type), &json!(message)));
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn an_error_is_printed_as_lambda_prints_it() {
    // What is no error is printed as one; its document has another type.
    for (thrown, error_type, code) in
        [("Object.assign(new Error('bad'), { code: 'E' })", "Error", json!("E")), ("'bad'", "string", json!(null))]
    {
        let mut bench = Bench::new();
        bench.put_node("app.js", &format!("exports.handler = async () => {{ throw {thrown}; }};\n"));
        let (document, ..) = bench.error("{}").await;
        assert_eq!((&document["errorType"], &document["errorMessage"]), (&json!(error_type), &json!("bad")));
        let line = loop {
            let line = bench.line().await;
            if line.stream == LogStream::Stdout {
                break line.text;
            }
        };
        let (head, json) = line.split_once("\tERROR\tInvoke Error \t").unwrap();
        assert!(head.len() > 24, "{head}");
        let printed: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (&printed["errorType"], &printed["errorMessage"], &printed["code"]),
            (&json!("Error"), &json!("bad"), &code)
        );
        assert_eq!(printed["stack"][0], "Error: bad");
        bench.stop().await;
    }
}

/// Rows of section 4: what keeps a module from being loaded.
#[tokio::test]
async fn what_cannot_be_loaded_is_told_by_its_kind() {
    let good = "exports.handler = async () => 1;\n";
    for (handler, file, code, error_type, message) in [
        ("app", "app.js", good, "Runtime.MalformedHandlerName", "Bad handler"),
        (
            "../app.handler",
            "app.js",
            good,
            "Runtime.MalformedHandlerName",
            "'../app.handler' is not a valid handler name.",
        ),
        ("app.other", "app.js", good, "Runtime.HandlerNotFound", "app.other is undefined or not exported"),
        ("app.a.b", "app.js", good, "Runtime.HandlerNotFound", "app.a.b is undefined or not exported"),
        ("app.handler", "app.js", "exports.handler = 7;", "Runtime.HandlerNotFound", "app.handler is not a function"),
        ("app.handler", "other.js", good, "Runtime.ImportModuleError", "Error: Cannot find module 'app'"),
        (
            "app.handler",
            "app.js",
            "require('./gone')",
            "Runtime.ImportModuleError",
            "Error: Cannot find module './gone'",
        ),
        ("app.handler", "app.mjs", "import './gone.mjs'", "Runtime.ImportModuleError", "Error: Cannot find module '"),
        (
            "app.handler",
            "app.js",
            "exports.handler = {",
            "Runtime.UserCodeSyntaxError",
            "SyntaxError: Unexpected end of input",
        ),
        (
            "app.handler",
            "app.mjs",
            "export const = 1;",
            "Runtime.UserCodeSyntaxError",
            "SyntaxError: Unexpected token '='",
        ),
        ("app.handler", "app.js", "throw new RangeError('at the top')", "RangeError", "at the top"),
        ("app.handler", "app.mjs", "throw new RangeError('at the top')", "RangeError", "at the top"),
    ] {
        let bench = Bench::new();
        let mut config = bench.node(file, code);
        config.handler = handler.into();
        bench.functions.put(config).unwrap();
        let (document, kind, _) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Init, "{handler} {code}: {document}");
        assert_eq!(document["errorType"], error_type, "{handler} {code}: {document}");
        let told = document["errorMessage"].as_str().unwrap();
        assert!(told.starts_with(message), "{handler} {code}: {told}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_syntax_error_names_file_and_line() {
    for (file, code) in [("app.js", "const a = 1;\nconst b = ;\n"), ("app.mjs", "export const a = 1;\nconst b = ;\n")] {
        let (document, _) = error_of(file, code).await;
        let trace = document["trace"].to_string();
        assert!(trace.contains(&format!("{file}:2")), "{trace}");
    }
}

/// On AWS the SDK is a part of the runtime; here it is told how it is brought.
#[tokio::test]
async fn a_missing_package_is_told_with_the_command_that_brings_it() {
    for (file, code, command) in [
        ("app.js", "require('@aws-sdk/client-dynamodb')", "npm install @aws-sdk/client-dynamodb"),
        ("app.mjs", "import '@aws-sdk/lib-dynamodb'", "npm install @aws-sdk/lib-dynamodb"),
        ("app.js", "require('aws-sdk/clients/dynamodb')", "npm install aws-sdk"),
        ("app.mjs", "import 'no-such-package/part.js'", "npm install no-such-package"),
    ] {
        let (document, _) = error_of(file, code).await;
        let message = document["errorMessage"].as_str().unwrap();
        assert!(message.contains(command), "{message}");
        assert_eq!(message.contains("on AWS the SDK"), command.contains("aws-sdk"), "{message}");
    }
    let (document, _) = error_of("app.mjs", "import './gone.mjs'").await;
    assert!(!document["errorMessage"].as_str().unwrap().contains("npm"), "{document}");
}

/// What was unpacked of an archive is ours, and goes when the code changes: a package belongs elsewhere.
#[tokio::test]
async fn a_missing_package_of_an_archive_is_not_installed_in_what_was_unpacked() {
    let project = tempfile::tempdir().unwrap();
    let places = ["project", "started"].map(|name| project.path().join(name));
    let node_path = places.clone().map(|place| place.join("node_modules")).to_vec();
    let bench = Bench::with(|settings| settings.node_path = node_path);
    let mut config = bench.node("app.js", "require('no-such-package')");
    let unpacked = project.path().join("functions/packages/0a1b");
    std::fs::create_dir_all(&unpacked).unwrap();
    std::fs::copy(config.code_dir.join("app.js"), unpacked.join("app.js")).unwrap();
    config.code_dir = unpacked;
    bench.functions.put(config).unwrap();
    let (document, _, _) = bench.error("{}").await;
    let message = document["errorMessage"].as_str().unwrap();
    let [first, last] = places.map(|place| place.display().to_string());
    let expected = format!("npm install no-such-package (in {first}, or in {last})");
    assert!(message.ends_with(&expected), "{message}");
    bench.stop().await;
}

/// An error that nobody catches is the invocation's, and ends the environment.
#[tokio::test]
async fn an_error_that_nobody_catches_is_told_and_ends_the_process() {
    let pid = "exports.handler = async (event) => { if (event === 'pid') return process.pid; ";
    for (code, error_type, message) in [
        ("setTimeout(() => { throw new RangeError('stray'); }); await new Promise(() => {}); }", "RangeError", "stray"),
        (
            "setTimeout(() => Promise.reject(new RangeError('stray'))); await new Promise(() => {}); }",
            "Runtime.UnhandledPromiseRejection",
            "RangeError: stray",
        ),
        (
            "Promise.reject('text'); await new Promise((r) => setTimeout(r, 50)); }",
            "Runtime.UnhandledPromiseRejection",
            "text",
        ),
    ] {
        let bench = Bench::new();
        bench.put_node("app.js", &format!("{pid}{code};\n"));
        let first = bench.result("\"pid\"").await;
        let (document, kind, _) = bench.error("{}").await;
        assert_eq!(kind, FunctionErrorKind::Handler, "{document}");
        assert_eq!(
            (&document["errorType"], &document["errorMessage"]),
            (&json!(error_type), &json!(message)),
            "{code}"
        );
        assert_ne!(bench.result("\"pid\"").await, first, "another process");
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_process_that_ends_in_the_middle_or_waits_for_nothing_is_told() {
    for (code, error_type, message) in [
        ("async () => process.exit(0)", "Runtime.ExitError", "Runtime exited without providing a reason"),
        ("async () => process.exit(3)", "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ("async () => process.kill(process.pid, 'SIGKILL')", "Runtime.ExitError", "signal: killed"),
        ("async () => { await new Promise(() => {}); }", "Runtime.NodeJsExit", "a Promise that was never settled"),
        ("async () => { for (;;); }", "Sandbox.Timedout", "Task timed out after 4.00 seconds"),
    ] {
        let bench = Bench::new();
        let mut config = bench.node("app.js", &format!("exports.handler = {code};\n"));
        config.timeout_s = 4;
        bench.functions.put(config).unwrap();
        let (document, _, _) = bench.error("{}").await;
        assert_eq!(document["errorType"], error_type, "{code}: {document}");
        assert!(document["errorMessage"].as_str().unwrap().contains(message), "{code}: {document}");
        bench.stop().await;
    }
    // A function without a promise that never calls back has nothing to say; AWS takes that for a success.
    let bench = Bench::new();
    bench.put_node("app.js", "exports.handler = (event, context, callback) => {};\n");
    assert_eq!(bench.result("{}").await, "null");
    bench.stop().await;
}

#[tokio::test]
async fn a_module_that_takes_too_long_or_waits_for_nothing_fails_its_start() {
    let bench = Bench::with(|settings| settings.init_limit = Duration::from_millis(500));
    let mut config =
        bench.node("app.mjs", "await new Promise((r) => setTimeout(r, 60000));\nexport const handler = 1;\n");
    config.timeout_s = 1;
    bench.functions.put(config).unwrap();
    let (document, kind, _) = bench.error("{}").await;
    assert_eq!((kind, &document["errorType"]), (FunctionErrorKind::Timeout, &json!("Sandbox.Timedout")));
    bench.stop().await;

    let (document, kind) = error_of("app.mjs", "await new Promise(() => {});\nexport const handler = 1;\n").await;
    assert_eq!(kind, FunctionErrorKind::Exit);
    assert!(document["errorMessage"].as_str().unwrap().ends_with("exit status 13"), "{document}");
}

/// Of another major version than the runtime's is told once, and a node that is not there is told by name.
#[tokio::test]
async fn the_node_in_use_is_told_when_it_is_another_and_missed_by_name() {
    let mut bench = Bench::with(|settings| settings.node = None);
    let mut config = bench.node("app.js", "exports.handler = async () => process.versions.node.split('.')[0];\n");
    config.runtime = "nodejs8.10".into();
    bench.functions.put(config).unwrap();
    let major = bench.result("{}").await.replace('"', "");
    let line = bench.line().await;
    assert_eq!(line.stream, LogStream::Notice);
    assert!(line.text.starts_with("no Node.js of nodejs8.10 in PATH; f runs with /"), "{}", line.text);
    assert!(line.text.contains(&format!("(v{major}.")), "{}", line.text);
    bench.stop().await;

    let mut bench = Bench::with(|settings| settings.node = Some("/no/such/node".into()));
    bench.put_node("app.js", "");
    // At the start of a server, before there is an event.
    bench.functions.look_for_interpreter("f").await;
    assert_eq!(bench.line().await.text, "/no/such/node does not run as Node.js 18 or later");
    let outcome = format!("{:?}", bench.invoke("{}").await);
    assert!(outcome.contains("/no/such/node does not run as Node.js 18 or later"), "{outcome}");
    bench.stop().await;
}
