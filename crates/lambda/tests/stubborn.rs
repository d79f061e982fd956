//! Processes that leave their group, ignore SIGTERM or leave others behind that hold their pipes: a timeout and a stop
//! keep to their bounds. docs/spec/lambda-runtime.md 5.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Bench, is_dead_soon};
use serde_json::Value;
use tailrace_lambda::{FunctionErrorKind, InvokeContext, InvokeOutcome, NotInvocable};

/// Far above what the bounds add up to, and far below for ever.
const BOUND: Duration = Duration::from_secs(60);

/// Writes the numbers of what it starts to PIDS, says so in its output, and goes on for ever.
const HANDLER: &str = r#"
import os, signal, time

def forever():
    while True:
        time.sleep(600)

def note(*pids):
    with open(os.environ["PIDS"], "w") as file:
        file.write(" ".join(map(str, pids)))
    # In one piece, whatever else is written meanwhile.
    os.write(1, b"noted\n")

def left_its_group():
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        forever()
    try:
        os.setpgid(child, child)
    except OSError:
        pass
    os.setpgid(0, child)
    note(os.getpid(), child)

def new_session():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.write(write, b"x")
        forever()
    os.read(read, 1)
    os.setpgid(0, child)
    os.setsid()
    note(os.getpid(), child)

def daemon_at_the_pipes():
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, b"%d" % os.getpid())
            while True:
                os.write(1, b"still here\n")
                time.sleep(0.001)
        os._exit(0)
    os.wait()
    note(os.getpid(), int(os.read(read, 20)))

def handler(event, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    globals()[event]()
    forever()
"#;

const WAYS: [&str; 3] = ["left_its_group", "new_session", "daemon_at_the_pipes"];

fn bench(timeout_s: u32) -> (Bench, std::path::PathBuf) {
    let bench = Bench::new();
    let pids = bench.dir.path().join("pids");
    bench.put_with(HANDLER, |config| {
        config.timeout_s = timeout_s;
        config.environment.insert("PIDS".into(), pids.display().to_string());
    });
    (bench, pids)
}

async fn all_are_dead(pids: &std::path::Path) -> bool {
    for pid in std::fs::read_to_string(pids).unwrap().split(' ') {
        if !is_dead_soon(pid.parse().unwrap()).await {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_timeout_ends_whatever_the_process_did_to_get_away() {
    for way in WAYS {
        let (bench, pids) = bench(5);
        let event = Value::from(way).to_string();
        let outcome = tokio::time::timeout(BOUND, bench.error(&event)).await;
        let (_, kind, _) = outcome.unwrap_or_else(|_| panic!("{way}: the timeout is told in time"));
        assert_eq!(kind, FunctionErrorKind::Timeout, "{way}");
        assert!(all_are_dead(&pids).await, "{way}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_stop_ends_whatever_the_process_did_to_get_away() {
    for way in WAYS {
        let (mut bench, pids) = bench(600);
        let functions = bench.functions.clone();
        let event = Bytes::from(Value::from(way).to_string());
        let running = tokio::spawn(async move { functions.invoke("f", event, InvokeContext::default()).await });
        while bench.line().await.text != "noted" {}
        let stopped = tokio::time::timeout(BOUND, bench.functions.stop(Duration::from_millis(1))).await;
        assert!(stopped.is_ok(), "{way}: the stop has an end");
        assert_eq!(running.await.unwrap(), InvokeOutcome::NotInvocable { reason: NotInvocable::Stopping }, "{way}");
        assert!(all_are_dead(&pids).await, "{way}");
    }
}
