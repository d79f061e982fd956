//! Functions that bring their own program: real ones in Rust and Go, and those that cannot be run.
//! docs/spec/lambda-runtime.md 7.4, 12 row 7.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Bench, is_left_out};
use serde_json::json;
use tailrace_lambda::{FunctionErrorKind, InvokeOutcome, LogStream, NotInvocable};

const EVENT: &str = r#"{"Records":[{"eventName":"INSERT","dynamodb":{"Keys":{"pk":{"S":"a"}}}}]}"#;

fn put(bench: &Bench, runtime: &str) {
    bench.put_with("", |config| {
        config.runtime = runtime.into();
        config.handler = "bootstrap".into();
    });
}

/// What every program of a provided runtime does here: it answers, prints, fails, goes on, and ends in silence.
async fn runs(mut bench: Bench, runtime: &str, printed: &str) {
    put(&bench, runtime);
    assert_eq!(bench.result(EVENT).await, r#"{"function":"f","records":1}"#);
    assert_eq!(bench.line().await.text, printed);
    let (document, kind, _) = bench.error(r#"{"fail":"no good"}"#).await;
    assert_eq!((kind, &document["errorMessage"]), (FunctionErrorKind::Handler, &json!("no good")));
    assert_eq!(bench.result("{}").await, r#"{"function":"f","records":0}"#);
    bench.functions.stop(Duration::from_secs(5)).await;
    assert_eq!(bench.lines_left(), []);
}

/// The example. Cargo puts those of a package beside the directory of its tests.
fn example() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().join("../examples/bootstrap")
}

#[tokio::test]
async fn a_program_in_rust_runs() {
    let bench = Bench::new();
    std::fs::copy(example(), bench.code_dir().join("bootstrap")).expect("cargo test builds the example");
    runs(bench, "provided.al2023", "INSERT \"a\"").await;
}

/// What a build writes, or a process has open that was forked meanwhile, is waited for. What stays open is told.
#[tokio::test]
async fn a_program_that_is_being_written_is_waited_for() {
    let bench = Bench::with(|settings| settings.init_limit = Duration::from_secs(60));
    let program = bench.code_dir().join("bootstrap");
    std::fs::copy(example(), &program).expect("cargo test builds the example");
    let open = || std::fs::OpenOptions::new().append(true).open(&program).unwrap();
    put(&bench, "provided.al2023");
    let (written, answer) = (open(), bench.result("{}"));
    // A start fails at once where nobody waits.
    let close = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(written);
    };
    assert_eq!(tokio::join!(answer, close).0, r#"{"function":"f","records":0}"#);
    // Another file: the one before runs, and nobody may write to it.
    std::fs::remove_file(&program).unwrap();
    std::fs::copy(example(), &program).unwrap();
    let _written = open();
    bench.put_with("", |config| {
        config.runtime = "provided.al2023".into();
        config.timeout_s = 4;
    });
    let InvokeOutcome::NotInvocable { reason: NotInvocable::CannotStart(why) } = bench.invoke("{}").await else {
        panic!("it was started")
    };
    assert!(why.ends_with("Text file busy (os error 26)"), "{why}");
    bench.stop().await;
}

#[tokio::test]
async fn a_program_in_go_runs() {
    if is_left_out("go") {
        eprintln!("left out: it needs go");
        return;
    }
    let bench = Bench::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(bench.code_dir().join("bootstrap")).arg(".").current_dir(source);
    let built = build.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=mod").status();
    assert!(built.expect("this test needs go in PATH; `cargo xtask test --without go` leaves it out").success());
    runs(bench, "provided.al2", "INSERT a").await;
}

/// A copy of this machine's own program that says it is for another one.
fn for_another_machine() -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.truncate(4096);
    // SPARC: nobody emulates it by chance.
    bytes[18..20].copy_from_slice(&[0x2b, 0]);
    bytes
}

#[tokio::test]
async fn a_program_that_does_not_run_is_told_with_what_helps() {
    let path = |bench: &Bench| -> PathBuf { bench.code_dir().canonicalize().unwrap().join("bootstrap") };
    let not_found = "Couldn't find valid bootstrap(s): [PATH]";
    let cases: [(Option<Vec<u8>>, u32, &str, &str); 5] = [
        (None, 0, not_found, "there is no PATH; a provided runtime runs a program of that name in the code directory"),
        (Some(b"#!/bin/sh\n".to_vec()), 0o644, not_found, "PATH is not executable: chmod +x PATH"),
        (
            Some(for_another_machine()),
            0o755,
            "fork/exec PATH: exec format error",
            "PATH is built for another machine, this",
        ),
        (
            Some(b"#!/no/such/shell\n".to_vec()),
            0o755,
            "fork/exec PATH: no such file or directory",
            "PATH names /no/such/shell",
        ),
        (Some(b"\0\0\0\0".to_vec()), 0o755, "fork/exec PATH: exec format error", "PATH is no program"),
    ];
    for (bytes, mode, error, why) in cases {
        let mut bench = Bench::new();
        let bootstrap = path(&bench);
        if let Some(bytes) = bytes {
            std::fs::write(&bootstrap, bytes).unwrap();
            std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        put(&bench, "provided.al2023");
        let words = |text: &str| text.replace("PATH", &bootstrap.display().to_string());
        for _ in 0..2 {
            let (document, kind, request_id) = bench.error("{}").await;
            assert_eq!(kind, FunctionErrorKind::Init);
            let message = format!("RequestId: {request_id} Error: {}", words(error));
            assert_eq!(document, json!({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": message}));
        }
        let line = bench.line().await;
        assert_eq!(line.stream, LogStream::Notice);
        assert!(line.text.starts_with(&words(why)), "{}", line.text);
        assert_eq!(bench.lines_left(), [], "it is told once");
        bench.stop().await;
    }
}
