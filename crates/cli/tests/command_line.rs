//! The binary as a user meets it: exit codes, one clear line for what stands in the way, data on stdout.

mod support;

use support::{COUNTERS_TEMPLATE, Tailrace, run, stub};

#[test]
fn a_server_answers_health_checks_and_ends_with_0_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    let endpoint = server.endpoint();
    assert_eq!(run(&["healthcheck", "--endpoint", &endpoint]).code, 0);
    let mappings = run(&["mappings", "--endpoint", &endpoint, "--output", "json"]);
    assert_eq!((mappings.code, mappings.stdout.as_str()), (0, "{\"mappings\":[]}\n"));
    let beside = run(&["check", &dir.path().to_string_lossy()]);
    assert!(beside.stderr.contains("in use by another process"), "{}", beside.stderr);
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
    let check = |arguments: &[&str], says: &str, code: &str| {
        let ended = run(arguments);
        assert!(ended.stderr.ends_with(&format!(" [{code}]\n")), "{arguments:?}: {}", ended.stderr);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
    };
    let port = server.port().to_string();
    check(&["serve", "--port", &port, "--data-dir", "/nowhere/at/all"], "Address already in use", "TR0001");
    check(&["serve", "--port", "0", "--data-dir", &data_dir], "in use by another process", "TR0004");
    let holder = format!(", which listens on 127.0.0.1:{port}");
    check(&["serve", "--port", "0", "--data-dir", &data_dir], &holder, "TR0004");
    check(&["serve", "--port", "0", "--data-dir", "/proc/none"], "cannot use the data directory /proc/none", "TR0003");
    let host = ["--allowed-host", "http://a/b"];
    check(
        &[&["serve", "--port", "0", "--data-dir", "/proc/none"], &host[..]].concat(),
        "\"http://a/b\" is not a host",
        "TR0002",
    );
    check(
        &["up", "/nowhere/at/all", "--port", "0"],
        "cannot read /nowhere/at/all: No such file or directory",
        "TR0010",
    );
    check(&["up", &data_dir, "--port", "0"], "no template in", "TR0010");
    check(&["check", "/proc"], "/proc is not a data directory", "TR0003");
    let newer = tempfile::tempdir().unwrap();
    std::fs::write(newer.path().join("FORMAT"), "tailrace 999\n").unwrap();
    let newer = newer.path().to_string_lossy().into_owned();
    check(&["serve", "--port", "0", "--data-dir", &newer], "format 999 is newer", "TR0005");
    check(&["tail", "Nothing", "--endpoint", &server.endpoint()], "ResourceNotFoundException", "TR0019");
    for endpoint in ["ftp://x", "http://", "http://127.0.0.1:99999", "http://127.0.0.1:8000/page", "http://a b"] {
        check(&["healthcheck", "--endpoint", endpoint], "not of the form http://host:port", "TR0002");
    }
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
fn a_listener_that_is_no_tailrace_is_one_line_and_code_1() {
    let check = |port: u16, command: &[&str], says: &str| {
        let endpoint = format!("http://127.0.0.1:{port}");
        let ended = run(&[command, &["--endpoint", &endpoint]].concat());
        let expect = format!("tailrace: {}]\n", says.replace("PORT", &port.to_string()));
        assert_eq!((ended.code, ended.stderr), (1, expect), "{command:?}");
        assert_eq!(ended.stdout, "", "{command:?}");
    };
    let commands: [&[&str]; 3] = [&["healthcheck"], &["mappings"], &["tail", "Things"]];
    let foreign = "port PORT does not answer as Tailrace (http://127.0.0.1:PORT) [TR0017";
    for command in commands {
        for answer in [
            stub::page(200, "ready\n"),
            stub::page(404, "<html>\n<body>Not Found</body>\n</html>"),
            stub::service(200, "healthy: dynamodb.us-east-1.amazonaws.com "),
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        ] {
            let port = stub::serve(move |_, _| answer.clone());
            check(port, command, foreign);
        }
    }
    let not_ready = stub::serve(|_, _| stub::service(503, "not ready: starting or stopping\n"));
    check(not_ready, &["healthcheck"], "not ready: starting or stopping [TR0018");
    let (_listener, port) = stub::silent();
    std::thread::scope(|scope| {
        for command in commands {
            scope.spawn(move || check(port, command, "http://127.0.0.1:PORT did not answer within 5 seconds [TR0016"));
        }
    });
}

#[test]
fn every_command_that_answers_with_data_has_it_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    let endpoint = server.endpoint();
    let health = run(&["healthcheck", "--endpoint", &endpoint, "--output", "json"]);
    assert_eq!((health.code, health.stdout.as_str()), (0, "{\"ready\":true,\"reason\":null}\n"));
    server.interrupt();
    let health = run(&["healthcheck", "--endpoint", &endpoint, "--output", "json"]);
    assert_eq!(health.code, 1);
    assert!(health.stdout.starts_with(r#"{"ready":false,"reason":"no server answers at"#), "{}", health.stdout);
    assert!(health.stdout.ends_with("\"reasonCode\":\"TR0016\"}\n"), "{}", health.stdout);
    let checked = run(&["check", &dir.path().to_string_lossy(), "--output", "json"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{}", checked.stderr);
}

#[test]
fn the_first_ctrl_c_drains_and_the_second_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let template = "  Wait:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: wait
      Handler: app.handler
      Runtime: python3.13
      CodeUri: .
      Timeout: 600
      Events:
        Counters:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Counters.StreamArn, StartingPosition: TRIM_HORIZON}
";
    std::fs::write(dir.path().join("template.yaml"), format!("{COUNTERS_TEMPLATE}{template}")).unwrap();
    let handler = "import threading\n\ndef handler(event, context):\n    print('in the middle', flush=True)\n    \
                   threading.Event().wait()\n";
    std::fs::write(dir.path().join("app.py"), handler).unwrap();
    for signal in ["INT", "TERM"] {
        let server = Tailrace::start(&["up", &dir.path().to_string_lossy()], &dir.path().join("data"));
        if signal == "INT" {
            server.count();
        }
        server.process.stdout_line("in the middle");
        server.process.signal(signal);
        server.process.stderr_line("draining; a second Ctrl-C ends at once");
        let ended = server.process.signal_until_it_ends(signal);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        let says = "tailrace: ended at once; the next start delivers again what was not confirmed [TR0023]";
        assert_eq!(ended.stderr.lines().last(), Some(says), "{}", ended.stderr);
    }
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

/// docs/spec/dynamodb-api.md 1.4: nested past about 2,000 levels is no JSON to the service; neither is a crash.
#[test]
fn a_request_that_nests_deep_is_refused_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    for levels in [100, 1950, 1999, 2500, 100_000] {
        let open = r#"{"a":"#.repeat(levels);
        let deep = format!("{open}1{}", "}".repeat(levels));
        for body in [deep, open] {
            let answer = server.call("DynamoDB_20120810.ListTables", &body);
            let fine = answer.contains("TableNames") || answer.contains("SerializationException");
            assert!(fine, "{levels}: {answer}");
        }
    }
    assert_eq!(server.call("DynamoDB_20120810.ListTables", "{}"), r#"{"TableNames":[]}"#);
}
