//! Node.js handlers whose calls go well: each style of module and of handler. docs/spec/lambda-runtime.md 3, 6, 7.3.
//!
//! They need node in PATH; `NODE` names another one.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use bytes::Bytes;
use common::Bench;
use serde_json::{Value, json};
use tailrace_lambda::{InvokeContext, InvokeOutcome, LogStream};

async fn value(bench: &Bench, event: &str) -> Value {
    serde_json::from_str(&bench.result(event).await).unwrap()
}

/// Row 7.3: `.js`, `.mjs`, `.cjs`, and what package.json says of `.js`.
#[tokio::test]
async fn each_kind_of_module_is_loaded() {
    let esm = "export const handler = async (event) => ({ ...event, seen: import.meta.url.length > 0 });\n";
    let cjs = "exports.handler = async (event) => ({ ...event, seen: typeof require === 'function' });\n";
    let dynamic = "for (const name of ['handler']) module.exports[name] = async (e) => ({ ...e, seen: true });\n";
    for (file, package, code) in [
        ("index.mjs", None, esm),
        ("index.cjs", None, cjs),
        ("index.js", None, cjs),
        ("index.js", None, dynamic),
        ("index.js", Some(r#"{"type":"module"}"#), esm),
        ("index.js", Some(r#"{"type":"commonjs"}"#), cjs),
        ("index.cjs", Some(r#"{"type":"module"}"#), cjs),
        ("index.mjs", Some(r#"{"name":"x"}"#), esm),
    ] {
        let bench = Bench::new();
        if let Some(package) = package {
            bench.write("package.json", package);
        }
        bench.put_node(file, code);
        assert_eq!(value(&bench, r#"{"a":1}"#).await, json!({"a": 1, "seen": true}), "{file} {package:?}");
        bench.stop().await;
    }
}

/// As on AWS, where nothing is above the code: the package.json of the project that it lies in does not count.
#[tokio::test]
async fn what_lies_above_the_code_does_not_say_what_its_modules_are() {
    let cjs = "const { two } = require('./lib/two');\nexports.handler = async (event) => event.n + two;\n";
    let esm = "export const handler = async (event) => event.n + 2;\n";
    for (inner, code, lib) in [
        (None, cjs, "exports.two = 2;\n"),
        (Some("{}"), cjs, "exports.two = 2;\n"),
        (Some(r#"{"type":"module"}"#), esm, "export const two = 2;\n"),
    ] {
        let bench = Bench::new();
        bench.write("package.json", r#"{"type":"module"}"#);
        bench.write("dist/lib/two.js", lib);
        if let Some(inner) = inner {
            bench.write("dist/package.json", inner);
        }
        let mut config = bench.node("dist/index.js", code);
        config.code_dir = config.code_dir.join("dist");
        config.handler = "index.handler".into();
        bench.functions.put(config).unwrap();
        assert_eq!(bench.result(r#"{"n":1}"#).await, "3", "{inner:?}");
        bench.stop().await;
    }
}

/// The first dot behind the last slash splits the handler; the function may lie in an object.
#[tokio::test]
async fn a_handler_may_lie_in_a_folder_and_in_an_object() {
    for (handler, file, code) in [
        ("src/handlers/app.handler", "src/handlers/app.js", "exports.handler = async () => 'here'"),
        ("./src/app.handler", "src/app.mjs", "export const handler = async () => 'here'"),
        ("index.api.v1.run", "index.js", "exports.api = { v1: { run: async () => 'here' } }"),
        ("index.default", "index.mjs", "export default async () => 'here'"),
        ("lib.handler", "lib/index.js", "exports.handler = async () => 'here'"),
        ("named.handler", "node_modules/named/index.js", "exports.handler = async () => 'here'"),
    ] {
        let bench = Bench::new();
        let mut config = bench.node(file, code);
        config.handler = handler.into();
        bench.functions.put(config).unwrap();
        assert_eq!(bench.result("{}").await, "\"here\"", "{handler}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn each_style_of_handler_answers() {
    for (code, expected) in [
        ("async (event) => event.n + 1", "2"),
        ("(event) => Promise.resolve(event.n)", "1"),
        ("(event, context, callback) => callback(null, event.n)", "1"),
        ("(event, context, callback) => { setTimeout(() => callback(undefined, 'later'), 5); }", "\"later\""),
        ("(event, context) => context.done(null, 'done')", "\"done\""),
        ("(event, context) => context.succeed('succeed')", "\"succeed\""),
        ("(event, context, callback) => { callback(null, 1); callback(null, 2); }", "1"),
        ("async (event, context, callback) => { callback(null, 'first'); return 'second'; }", "\"first\""),
        // As on AWS: a result that is returned without a promise is not looked at.
        ("() => 'returned'", "null"),
        ("async () => undefined", "null"),
        // A clock that a test library has put in place of the real one.
        ("async () => { globalThis.Date = class { static now() { return 0; } }; console.log(1); return 1; }", "1"),
        ("async () => 'Gr\\u00fc\\u00dfe'", "\"Gr\u{fc}\u{df}e\""),
        ("async () => Buffer.from('ab')", r#"{"type":"Buffer","data":[97,98]}"#),
    ] {
        let bench = Bench::new();
        bench.put_node("app.js", &format!("exports.handler = {code};\n"));
        assert_eq!(bench.result(r#"{"n":1}"#).await, expected, "{code}");
        assert_eq!(bench.result(r#"{"n":1}"#).await, expected, "{code}, again");
        bench.stop().await;
    }
}

/// Row 7.3: handlers of the newer runtimes return their result, whichever node runs them.
#[tokio::test]
async fn from_nodejs24_on_a_handler_returns_its_result() {
    let run = async |file: &str, code: &str| {
        let bench = Bench::new();
        let mut config = bench.node(file, code);
        config.runtime = "nodejs24.x".into();
        bench.functions.put(config).unwrap();
        let outcome = bench.invoke(r#"{"n":1}"#).await;
        bench.stop().await;
        match outcome {
            InvokeOutcome::Success { payload, .. } => serde_json::from_slice(&payload).unwrap(),
            InvokeOutcome::FunctionError { payload, .. } => {
                serde_json::from_slice::<Value>(&payload).unwrap()["errorType"].clone()
            }
            other => panic!("{code}: {other:?}"),
        }
    };
    for (code, expected) in [
        ("async (event) => event.n + 1", json!(2)),
        ("() => 'returned'", json!("returned")),
        ("(event) => Promise.resolve(event.n)", json!(1)),
        ("async () => undefined", json!(null)),
        ("async () => { throw new RangeError('no'); }", json!("RangeError")),
        ("() => { throw 'text'; }", json!("string")),
        ("async () => 1n", json!("Runtime.JSONStringifyError")),
        ("() => new Promise(() => {})", json!("Runtime.ExitError")),
        (
            "async () => { Promise.reject(new Error('stray')); await new Promise((r) => setTimeout(r, 50)); }",
            json!("Runtime.ExitError"),
        ),
        (
            "async () => { process.on('uncaughtException', () => {}); setTimeout(() => { throw 1; }); await new Promise((r) => setTimeout(r, 20)); return 6; }",
            json!(6),
        ),
        ("(event, context, callback) => callback(null, 1)", json!("Runtime.CallbackHandlerDeprecated")),
        ("async (event, context, callback) => 1", json!("Runtime.CallbackHandlerDeprecated")),
        ("(event, context) => context.done(null, 1)", json!("TypeError")),
        ("async (event, context) => 'callbackWaitsForEmptyEventLoop' in context", json!(false)),
        ("async (event, context) => [context.w3c(), /^Root=/.test(context.xRayTraceId)]", json!([{}, true])),
        ("awslambda.streamifyResponse((event, stream) => stream.end('5'))", json!("Error")),
        // Those that write to a stream have three.
        ("awslambda.streamifyResponse(async (event, stream, context) => stream.end('5'))", json!(5)),
    ] {
        assert_eq!(run("app.js", &format!("exports.handler = {code};\n")).await, expected, "{code}");
    }
    assert_eq!(run("app.mjs", "export default { handler: async () => 1 };\n").await, json!(1));
    let mut bench = Bench::new();
    let mut config = bench.node("app.mjs", "console.log('loading');\nexport const handler = async () => 1;\n");
    config.runtime = "nodejs24.x".into();
    bench.functions.put(config).unwrap();
    bench.result("{}").await;
    let mut line = bench.line().await;
    while line.stream != LogStream::Stdout {
        line = bench.line().await;
    }
    assert!(line.text.ends_with("Z\t-\tINFO\tloading"), "{}", line.text);
    bench.stop().await;
}

/// Row 7.3: `callbackWaitsForEmptyEventLoop` is true for callbacks; results of async handlers are sent at once.
#[tokio::test]
async fn a_callback_waits_for_what_is_under_way_unless_it_is_told_not_to() {
    let wait = "const began = Date.now(); setTimeout(() => console.log('waited'), 2000);";
    for (code, waits) in [
        (format!("(event, context, callback) => {{ {wait} callback(null, 1); }}"), true),
        (
            format!(
                "(event, context, callback) => {{ context.callbackWaitsForEmptyEventLoop = false; {wait} callback(null, 1); }}"
            ),
            false,
        ),
        (format!("async () => {{ {wait} return 1; }}"), false),
        (format!("(event, context) => {{ {wait} context.succeed(1); }}"), false),
    ] {
        let bench = Bench::new();
        bench.put_node("app.js", &format!("exports.handler = {code};\n"));
        let InvokeOutcome::Success { duration, .. } = bench.invoke("{}").await else { panic!("{code}") };
        assert_eq!(duration.as_millis() >= 2000, waits, "{code}: {duration:?}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn the_context_is_filled() {
    let bench = Bench::new();
    let mut config = bench.node(
        "app.mjs",
        r#"
export const handler = async (event, context) => ({
    event, id: context.awsRequestId, arn: context.invokedFunctionArn, name: context.functionName,
    version: context.functionVersion, memory: context.memoryLimitInMB, group: context.logGroupName,
    stream: /^\d{4}\/\d\d\/\d\d\/\[\$LATEST\][0-9a-f]{32}$/.test(context.logStreamName),
    waits: context.callbackWaitsForEmptyEventLoop, client: context.clientContext, identity: context.identity,
    remaining: context.getRemainingTimeInMillis() > 0 && context.getRemainingTimeInMillis() <= 7000,
    trace: /^Root=1-/.test(process.env._X_AMZN_TRACE_ID), runtime: process.env.AWS_EXECUTION_ENV,
    tenant: 'tenantId' in context && context.tenantId === undefined,
    root: process.env.LAMBDA_TASK_ROOT === process.cwd(), own: process.env.OWN, endpoint: process.env.AWS_LAMBDA_RUNTIME_API.split(':')[0],
});
"#,
    );
    config.memory_mb = 256;
    config.timeout_s = 7;
    config.environment.insert("OWN".into(), "mine".into());
    bench.functions.put(config).unwrap();
    assert_eq!(
        bench.result_with_contexts().await,
        json!({
            "event": {"t": "ü"}, "id": "11111111-2222-4333-8444-555555555555", "arn": common::ARN, "name": "f",
            "version": "$LATEST", "memory": "256", "group": "/aws/lambda/f", "stream": true, "waits": true,
            "client": {"custom": {"k": "ü"}}, "identity": {"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"},
            "remaining": true, "trace": true, "runtime": "AWS_Lambda_nodejs20.x", "root": true, "own": "mine",
            "endpoint": "127.0.0.1", "tenant": true,
        })
    );
    bench.stop().await;
}

/// Row 10: the lines are those of AWS, one for each call, with the request's id; `undefined` before the first request.
#[tokio::test]
async fn the_console_writes_time_request_and_level() {
    let mut bench = Bench::new();
    bench.put_node(
        "app.js",
        r#"
console.log('loading');
exports.handler = async (event) => {
    console.log('a %s', 'b', { c: [1] });
    console.warn('two\nlines');
    console.error(new RangeError('bad').message);
    console.debug(1); console.info(2); console.trace(3);
    process.stdout.write('plain\n');
};
"#,
    );
    let context = InvokeContext { request_id: Some("r-1".into()), ..InvokeContext::default() };
    bench.functions.invoke("f", Bytes::from_static(b"{}"), context).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line: &String| line != "plain") {
        let line = bench.line().await;
        assert!(line.stream != LogStream::Stderr, "{line:?}");
        if line.stream == LogStream::Stdout {
            let text = match line.text.split_once('\t') {
                Some((time, rest)) => {
                    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
                    rest.to_owned()
                }
                None => line.text,
            };
            seen.push(text);
        }
    }
    assert_eq!(
        seen,
        [
            "undefined\tINFO\tloading",
            "r-1\tINFO\ta b { c: [ 1 ] }",
            "r-1\tWARN\ttwo\nlines",
            "r-1\tERROR\tbad",
            "r-1\tDEBUG\t1",
            "r-1\tINFO\t2",
            "r-1\tTRACE\t3",
            "plain",
        ]
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_module_may_wait_at_its_top() {
    let bench = Bench::new();
    let code = "const loaded = await new Promise((done) => setTimeout(() => done('loaded'), 20));\nexport const handler = async () => loaded;\n";
    bench.put_node("app.mjs", code);
    assert_eq!(bench.result("{}").await, "\"loaded\"");
    bench.stop().await;
}

/// Section 9: what a handler streams is its response.
#[tokio::test]
async fn a_streaming_handler_answers_with_what_it_wrote() {
    let bench = Bench::new();
    bench.put_node(
        "app.mjs",
        r#"
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
    stream.setContentType('text/plain');
    await pipeline(Readable.from(['{"a":', event.n + '', '}']), stream);
});
export const failing = awslambda.streamifyResponse(async () => { throw new Error('bad'); });
export const open = awslambda.streamifyResponse(async (event, stream) => { stream.write('x'); });
"#,
    );
    assert_eq!(bench.result(r#"{"n":7}"#).await, r#"{"a":7}"#);
    for (handler, message) in [("app.failing", "bad"), ("app.open", "Response stream is not finished.")] {
        let mut config = bench.functions.get("f").unwrap();
        config.handler = handler.into();
        bench.functions.put(config).unwrap();
        assert_eq!(bench.error("{}").await.0["errorMessage"], message);
    }
    bench.stop().await;
}

/// Packages are found beside the function and above it, and last in the directories of the settings, as AWS finds its SDK.
#[tokio::test]
async fn packages_are_found_beside_the_function_above_it_and_in_the_directories_of_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared/node_modules");
    std::fs::create_dir_all(shared.join("theirs")).unwrap();
    std::fs::write(shared.join("theirs/index.js"), "module.exports = 'theirs';").unwrap();
    let bench = Bench::with(|settings| settings.node_path = vec![shared]);
    bench.write("node_modules/above/index.js", "module.exports = 'above';");
    bench.write("src/node_modules/beside/index.js", "module.exports = 'beside';");
    let code = "const names = ['beside', 'above', 'theirs'].map(require);\nexports.handler = async () => names;\n";
    bench.put_node("src/app.js", code);
    let mut config = bench.functions.get("f").unwrap();
    config.code_dir = bench.code_dir().join("src");
    config.handler = "app.handler".into();
    bench.functions.put(config).unwrap();
    assert_eq!(value(&bench, "{}").await, json!(["beside", "above", "theirs"]));
    bench.stop().await;
}

/// `callbackWaitsForEmptyEventLoop` aside, what one invocation leaves open is not the next one's matter.
#[tokio::test]
async fn many_invocations_over_several_processes_do_not_mix() {
    let bench = Bench::new();
    bench.put_node(
        "app.mjs",
        "export const handler = async (event, context) => {\n  await new Promise((r) => setTimeout(r, event.n % 7));\n  return [event.n, context.awsRequestId];\n};\n",
    );
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..60 {
        let functions = bench.functions.clone();
        calls.spawn(async move {
            let context = InvokeContext { request_id: Some(format!("r-{n}")), queue: true, ..InvokeContext::default() };
            (n, functions.invoke("f", Bytes::from(json!({ "n": n }).to_string()), context).await)
        });
        if n % 4 == 3 {
            calls.join_next().await;
        }
    }
    while let Some(call) = calls.join_next().await {
        let (n, outcome) = call.unwrap();
        let InvokeOutcome::Success { payload, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), json!([n, format!("r-{n}")]));
    }
    bench.stop().await;
}

/// Row 6: on AWS ES modules find packages along NODE_PATH, too: each form of a package, and of an import.
#[tokio::test]
async fn an_es_module_imports_packages_of_a_layer() {
    let bench = Bench::new();
    let layer = bench.dir.path().join("layer");
    for (path, text) in [
        ("bare/index.js", "exports.said = 'bare';"),
        ("main/package.json", r#"{"main":"lib/start.js"}"#),
        ("main/lib/start.js", "exports.said = 'main';"),
        ("exported/package.json", r#"{"type":"module","exports":{".":"./src/own.js","./part":"./src/part.js"}}"#),
        ("exported/src/own.js", "import { said as inner } from 'bare';\nexport const said = `exports of ${inner}`;"),
        ("exported/src/part.js", "export const said = 'part';"),
        ("@scope/named/package.json", r#"{"exports":{"import":"./esm.mjs","require":"./cjs.cjs"}}"#),
        ("@scope/named/esm.mjs", "export const said = 'scoped';"),
        ("@scope/named/cjs.cjs", "exports.said = 'required';"),
        ("bare/deep/file.js", "exports.said = 'subpath';"),
    ] {
        let path = layer.join("nodejs/node_modules").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let code = "import bare from 'bare';\n\
                import main from 'main';\n\
                import { said as exported } from 'exported';\n\
                import { said as part } from 'exported/part';\n\
                import { said as scoped } from '@scope/named';\n\
                import deep from 'bare/deep/file.js';\n\
                export const handler = async () => {\n\
                  const late = await import('@scope/named');\n\
                  const missing = await import('nowhere').catch((error) => error.code);\n\
                  return [bare.said, main.said, exported, part, scoped, deep.said, late.said, missing];\n\
                };\n";
    let expected =
        json!(["bare", "main", "exports of bare", "part", "scoped", "subpath", "scoped", "ERR_MODULE_NOT_FOUND"]);
    // Of a CommonJS handler what it imports while it runs.
    let later = "exports.handler = async () => (await import('./index.mjs')).handler();\n";
    for (file, code) in [("index.mjs", code), ("later.cjs", later)] {
        let mut config = bench.node(file, code);
        config.layers.push(layer.clone());
        bench.functions.put(config).unwrap();
        assert_eq!(value(&bench, "{}").await, expected, "{file}");
    }
    bench.stop().await;
}
