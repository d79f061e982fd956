//! The binary as a user meets it: exit codes, one clear line for what stands in the way, data on stdout.

mod support;

use support::{Tailrace, run};

#[test]
fn a_server_answers_health_checks_and_ends_with_0_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    let endpoint = server.endpoint();
    assert_eq!(run(&["healthcheck", "--endpoint", &endpoint]).code, 0);
    let mappings = run(&["mappings", "--endpoint", &endpoint, "--output", "json"]);
    assert_eq!((mappings.code, mappings.stdout.as_str()), (0, "{\"mappings\":[]}\n"));
    let stopped = server.interrupt();
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    let gone = run(&["healthcheck", "--endpoint", &endpoint]);
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.starts_with("tailrace: no server answers at http://127.0.0.1:"), "{}", gone.stderr);
    let checked = run(&["check", &dir.path().to_string_lossy()]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{}", checked.stderr);
}

#[test]
fn what_stands_in_the_way_is_one_line_and_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    let data_dir = dir.path().to_string_lossy().into_owned();
    let check = |arguments: &[&str], says: &str| {
        let ended = run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
    };
    let port = server.port().to_string();
    check(&["serve", "--port", &port, "--data-dir", "/nowhere/at/all"], "Address already in use");
    check(&["serve", "--port", "0", "--data-dir", &data_dir], "in use by another process");
    check(&["serve", "--port", "0", "--data-dir", "/proc/none"], "cannot use the data directory /proc/none");
    let host = ["--allowed-host", "http://a/b"];
    check(&[&["serve", "--port", "0", "--data-dir", "/proc/none"], &host[..]].concat(), "\"http://a/b\" is not a host");
    check(&["up", "/nowhere/at/all", "--port", "0"], "cannot read /nowhere/at/all: No such file or directory");
    check(&["up", &data_dir, "--port", "0"], "no template in");
    check(&["check", &data_dir], "in use by another process");
    check(&["tail", "Nothing", "--endpoint", &server.endpoint()], "ResourceNotFoundException");
    check(&["healthcheck", "--endpoint", "ftp://x"], "not of the form http://host:port");
    assert_eq!(run(&["serve", "--port", "many"]).code, 2);
}

#[test]
fn a_server_can_be_killed_and_started_again_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        Tailrace::start(&["serve"], dir.path()).kill();
    }
    assert_eq!(Tailrace::start(&["serve"], dir.path()).interrupt().code, 0);
}

#[test]
fn tail_shows_the_changes_of_a_table_one_a_line() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    let table = r#"{"TableName":"Things","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"Id","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"Id","AttributeType":"S"}],
        "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;
    server.call("DynamoDB_20120810.CreateTable", table);
    for n in [1, 2] {
        let put = format!(r#"{{"TableName":"Things","Item":{{"Id":{{"S":"a"}},"n":{{"N":"{n}"}}}}}}"#);
        server.call("DynamoDB_20120810.PutItem", &put);
    }
    let lines = |output: &str| -> Vec<String> {
        let mut tail = Command::new(env!("CARGO_BIN_EXE_tailrace"))
            .args(["tail", "Things", "--from-start", "--output", output, "--endpoint", &server.endpoint()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(tail.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
        tail.kill().unwrap();
        tail.wait().unwrap();
        lines
    };
    assert_eq!(lines("text"), [r#"INSERT Id="a" | n: 1"#, r#"MODIFY Id="a" | n: 1 -> 2"#]);
    let json = lines("json");
    assert!(json[1].contains(r#""eventName":"MODIFY""#), "{json:?}");
    assert!(json[1].contains(r#""OldImage":{"Id":{"S":"a"},"n":{"N":"1"}}"#), "{json:?}");
}

#[test]
fn idle_connections_leave_the_store_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start_limited("-n 256", &["serve"], dir.path());
    let silent: Vec<_> =
        (0..260).map(|_| std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap()).collect();
    let table = r#"{"TableName":"Things","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"Id","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"Id","AttributeType":"S"}]}"#;
    server.call("DynamoDB_20120810.CreateTable", table);
    // More than a segment of the log holds.
    let text = "x".repeat(390_000);
    for n in 0..190 {
        let put = format!(r#"{{"TableName":"Things","Item":{{"Id":{{"S":"{n}"}},"text":{{"S":"{text}"}}}}}}"#);
        assert_eq!(server.call("DynamoDB_20120810.PutItem", &put), "{}", "{n}");
    }
    drop(silent);
    let stopped = server.interrupt();
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    let says =
        "the limit of open files is 256, so there may be 64 connections instead of 4096: raise it (ulimit -n) to 5120";
    assert_eq!(stopped.stderr.lines().filter(|line| *line == says).count(), 1, "{}", stopped.stderr);
}

#[test]
fn a_server_raises_its_own_limit_of_open_files_where_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start_limited("-S -n 256", &["serve"], dir.path());
    assert_eq!(server.call("DynamoDB_20120810.ListTables", "{}"), r#"{"TableNames":[]}"#);
    let stopped = server.interrupt();
    assert!(!stopped.stderr.contains("the limit of open files is 256"), "{}", stopped.stderr);
}
