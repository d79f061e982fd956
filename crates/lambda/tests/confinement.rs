//! What holds the processes of functions: memory, and what is left of them. docs/spec/lambda-runtime.md 11.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use common::{Bench, is_alive, is_dead_soon};
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

/// docs/spec/lambda-runtime.md 11: what a function burns, the database has first; also what it starts.
#[tokio::test]
async fn functions_run_at_a_lower_priority() {
    let bench = Bench::new();
    bench.put(
        "import os, subprocess\ndef handler(event, context):\n    \
         return [os.nice(0), int(subprocess.check_output(['nice']))]\n",
    );
    let own = rustix::process::getpriority_process(None).unwrap();
    let expected = (own + tailrace_core::limits::FUNCTION_NICENESS).min(19);
    assert_eq!(bench.result("{}").await, json!([expected, expected]).to_string().replace(',', ", "));
    bench.stop().await;
}

/// Where a control group can be made: forked twice, in a session of its own and without a variable, nothing else finds it.
#[tokio::test]
async fn a_daemon_that_emptied_its_environment_ends_with_its_function_where_there_are_control_groups() {
    let bench = Bench::new();
    bench.put(
        r#"
import os
def handler(event, context):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sh", ["sh", "-c", "echo $$ >&%d; exec %d>&- 1>&- 2>&-; exec sleep 600" % (write, write)], {})
        os._exit(0)
    os.wait()
    with open("/proc/self/cgroup") as groups:
        return [int(os.read(read, 20)), "/tailrace-" in groups.read()]
"#,
    );
    let (daemon, is_held): (i32, bool) = serde_json::from_str(&bench.result("{}").await).unwrap();
    assert!(is_alive(daemon));
    bench.stop().await;
    if is_held {
        assert!(is_dead_soon(daemon).await);
    } else {
        eprintln!("no control group can be made here");
        // SAFETY: it is ours, and was not reaped by us: its number may be taken only if it ended by itself.
        unsafe { libc::kill(daemon, libc::SIGKILL) };
    }
}
