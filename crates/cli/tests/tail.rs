//! `tail` over what happens to the server and to the stream.

mod support;

use support::{COUNTERS, Process, Tailrace, stub};

fn tail(endpoint: &str, more: &[&str]) -> Process {
    Process::start(&[&["tail", "Counters", "--endpoint", endpoint], more].concat())
}

#[test]
fn it_shows_the_changes_of_a_table_one_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    server.call("DynamoDB_20120810.CreateTable", COUNTERS);
    server.count();
    server.count();
    let text = tail(&server.endpoint(), &["--from-start"]);
    assert_eq!(text.stdout_line("INSERT"), r#"INSERT Id="a" | N: 1"#);
    assert_eq!(text.stdout_line("MODIFY"), r#"MODIFY Id="a" | N: 1 -> 2"#);
    let json = tail(&server.endpoint(), &["--from-start", "--output", "json"]);
    json.stdout_line(r#""eventName":"INSERT""#);
    let modify = json.stdout_line(r#""eventName":"MODIFY""#);
    assert!(modify.contains(r#""OldImage":{"Id":{"S":"a"},"N":{"N":"1"}}"#), "{modify}");
}

#[test]
fn ctrl_c_ends_it_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    server.call("DynamoDB_20120810.CreateTable", COUNTERS);
    let tail = tail(&server.endpoint(), &[]);
    tail.stderr_line("waiting for changes of Counters");
    assert_eq!(tail.interrupt().code, 0);
}

#[test]
fn it_ends_with_0_when_its_reader_leaves_though_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    server.call("DynamoDB_20120810.CreateTable", COUNTERS);
    let (reader, writer) = std::io::pipe().unwrap();
    let tail = Process::start_with(
        &["tail", "Counters", "--endpoint", &server.endpoint()],
        writer.into(),
        std::process::Stdio::piped(),
    );
    tail.stderr_line("waiting for changes of Counters");
    drop(reader);
    assert_eq!(tail.wait().code, 0);
}

#[test]
fn it_outlives_a_restart_of_the_server_and_shows_each_record_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], dir.path());
    let port = server.port();
    server.call("DynamoDB_20120810.CreateTable", COUNTERS);
    let tail = tail(&server.endpoint(), &[]);
    tail.stderr_line("waiting for changes of Counters");
    server.count();
    tail.stdout_line("N: 1");
    server.kill();
    tail.stderr_line("trying again until the server is back");
    let server = Tailrace::start_at(port, &["serve"], dir.path());
    server.count();
    tail.stderr_line("connected again");
    tail.stdout_line("N: 1 -> 2");
    server.count();
    tail.stdout_line("N: 2 -> 3");
    let ended = tail.interrupt();
    assert_eq!((ended.code, ended.stdout.lines().count()), (0, 3), "{}", ended.stdout);
}

#[test]
fn it_reads_the_new_stream_of_a_table_that_was_made_again() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Tailrace::start(&["serve"], dir.path());
    let port = server.port();
    server.call("DynamoDB_20120810.CreateTable", COUNTERS);
    let tail = tail(&server.endpoint(), &[]);
    tail.stderr_line("waiting for changes of Counters");
    server.kill();
    tail.stderr_line("trying again until the server is back");
    std::fs::write(other.path().join("template.yaml"), support::COUNTERS_TEMPLATE).unwrap();
    let up = ["up", &other.path().to_string_lossy()];
    let server = Tailrace::start_at(port, &up, &other.path().join("data"));
    server.count();
    tail.stderr_line("Counters has a new stream; reading it from its beginning");
    tail.stdout_line("N: 1");
    assert_eq!(tail.interrupt().code, 0);
}

#[test]
fn it_ends_with_0_when_the_stream_has_ended_and_is_read() {
    let disable = r#"{"TableName":"Counters","StreamSpecification":{"StreamEnabled":false}}"#;
    for (operation, request, says) in [
        ("UpdateTable", disable, "the stream of Counters was disabled; its records are all shown"),
        ("DeleteTable", r#"{"TableName":"Counters"}"#, "the table Counters was deleted; its records are all shown"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Tailrace::start(&["serve"], dir.path());
        server.call("DynamoDB_20120810.CreateTable", COUNTERS);
        let tail = tail(&server.endpoint(), &[]);
        tail.stderr_line("waiting for changes of Counters");
        server.count();
        server.call(&format!("DynamoDB_20120810.{operation}"), request);
        let ended = tail.wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "INSERT Id=\"a\" | N: 1\n"), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().last(), Some(says));
    }
}

/// A service whose one shard forgets what was to be read next, once, and whose iterators do not last.
#[test]
fn it_reads_on_with_the_oldest_record_where_the_next_was_trimmed_and_says_so() {
    let mut asked = Vec::new();
    let port = stub::serve(move |target, body| {
        let operation = target.rsplit('.').next().unwrap();
        let error = |class: &str| stub::service(400, &format!(r#"{{"__type":"x#{class}","message":"No."}}"#));
        let record = |number: u32| {
            let keys = format!(r#"{{"Id":{{"S":"r{number}"}}}}"#);
            format!(r#"{{"eventName":"INSERT","dynamodb":{{"SequenceNumber":"{number}","Keys":{keys}}}}}"#)
        };
        let ok = |body: &str| stub::service(200, body);
        match operation {
            "DescribeTable" => ok(r#"{"Table":{"LatestStreamArn":"arn"}}"#),
            "DescribeStream" => ok(r#"{"StreamDescription":{"Shards":[{"ShardId":"shard-1"}]}}"#),
            "GetShardIterator" => {
                let ask: serde_json::Value = serde_json::from_str(body).unwrap();
                let kind = ask["ShardIteratorType"].as_str().unwrap();
                asked.push(format!("{kind} {}", ask["SequenceNumber"].as_str().unwrap_or("-")));
                ok(&format!(r#"{{"ShardIterator":"{}"}}"#, asked.len()))
            }
            _ => match (asked.len(), body.contains("spent")) {
                (1, false) => ok(&format!(r#"{{"Records":[{}],"NextShardIterator":"spent"}}"#, record(7))),
                (1, true) => error("ExpiredIteratorException"),
                (2, _) => error("TrimmedDataAccessException"),
                _ => {
                    assert_eq!(asked, ["TRIM_HORIZON -", "AFTER_SEQUENCE_NUMBER 7", "TRIM_HORIZON -"]);
                    ok(&format!(r#"{{"Records":[{}]}}"#, record(9)))
                }
            },
        }
    });
    let ended = tail(&format!("http://127.0.0.1:{port}"), &["--from-start"]).wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "INSERT Id=\"r7\"\nINSERT Id=\"r9\"\n"), "{}", ended.stderr);
    let says = "shard-1: records were trimmed before they were read; reading on with the oldest that is left";
    assert_eq!(ended.stderr.lines().next(), Some(says));
}
