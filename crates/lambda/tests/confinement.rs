//! What holds the processes of functions: memory, and what is left of them. docs/spec/lambda-runtime.md 11.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use common::Bench;
use serde_json::json;

/// A control group kills it, or Python hears that there is no more, or Node.js ends itself: whichever, it ends there.
#[tokio::test]
async fn a_function_cannot_take_far_more_memory_than_it_has() {
    let bench = Bench::new();
    bench.put("def handler(event, context):\n    return len(bytearray(1 << 30)) if event else 'small'\n");
    let (document, _, _) = bench.error("1").await;
    let told = [&document["errorType"], &document["errorMessage"]].map(|member| member.as_str().unwrap().to_owned());
    assert!(told[0] == "MemoryError" || told[1].ends_with("signal: killed"), "{document}");
    assert_eq!(bench.result("0").await, "\"small\"");
    bench.stop().await;

    let bench = Bench::new();
    let mut config = bench.node(
        "app.js",
        "exports.handler = async (event) => { const all = []; while (event) all.push(new Array(1e5).fill({})); return 'small'; };\n",
    );
    config.timeout_s = 60;
    bench.functions.put(config).unwrap();
    let (document, _, _) = bench.error("1").await;
    assert_eq!(document["errorType"], json!("Runtime.ExitError"), "{document}");
    let message = document["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("signal: aborted") || message.ends_with("signal: killed"), "{message}");
    assert_eq!(bench.result("0").await, "\"small\"");
    bench.stop().await;
}
