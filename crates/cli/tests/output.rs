//! Nobody reads: a server goes on serving, and a command that shows data ends as pipes end.

mod support;

use std::process::Stdio;

use support::{Process, Tailrace, call, closed, example, full, port_in, run_with_stdout};

const SCORE: &str = r#"{"TableName":"GameScores","Key":{"UserId":{"S":"900"}},"UpdateExpression":"SET Score = :s",
    "ExpressionAttributeValues":{":s":{"N":"SCORE"}}}"#;

fn score(port: u16, score: u32) {
    let answer = call(port, "DynamoDB_20120810.UpdateItem", &SCORE.replace("SCORE", &score.to_string()));
    assert_eq!(answer, "{}");
}

fn start(data: &tempfile::TempDir, stdout: Stdio, stderr: Stdio) -> Process {
    let (dir, data_dir) = (example(), data.path().to_string_lossy().into_owned());
    Process::start_with(&["up", &dir.to_string_lossy(), "--port", "0", "--data-dir", &data_dir], stdout, stderr)
}

#[test]
fn up_serves_on_without_stderr() {
    let data = tempfile::tempdir().unwrap();
    let server = start(&data, Stdio::piped(), closed());
    let port = port_in(&server.stdout_line("export AWS_ENDPOINT_URL_DYNAMODB="));
    for level in [100, 300, 500] {
        score(port, level);
        if level > 100 {
            server.stdout_line(&format!("User 900 just leveled up! ({} -> {level})", level - 200));
        }
    }
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn up_serves_on_when_the_reader_of_stderr_leaves() {
    let data = tempfile::tempdir().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let server = start(&data, Stdio::piped(), writer.into());
    let port = port_in(&server.stdout_line("export AWS_ENDPOINT_URL_DYNAMODB="));
    std::io::Read::read_exact(&mut reader, &mut [0; 10]).unwrap();
    drop(reader);
    for level in [100, 300, 500] {
        score(port, level);
    }
    // Shown behind lines on stderr that could not be written.
    server.stdout_line("User 900 just leveled up! (300 -> 500)");
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn up_serves_on_without_stdout_and_still_tells_of_deliveries() {
    for stdout in [closed(), full()] {
        let data = tempfile::tempdir().unwrap();
        let server = start(&data, stdout, Stdio::piped());
        let port = port_in(&server.stderr_line("listening on"));
        server.stderr_line("played 9 writes");
        score(port, 1);
        server.stderr_line("delivered to level-up");
        score(port, 300);
        server.stderr_line("delivered to level-up");
        score(port, 500);
        server.stderr_line("delivered to level-up");
        let ended = server.interrupt();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
}

#[test]
fn a_command_that_shows_data_ends_as_pipes_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Tailrace::start(&["serve"], data.path());
    server.call("DynamoDB_20120810.CreateTable", support::COUNTERS);
    server.count();
    let endpoint = server.endpoint();
    for arguments in [
        &["mappings"][..],
        &["mappings", "--output", "json"],
        &["healthcheck", "--output", "json"],
        &["tail", "Counters", "--from-start"],
        &["tail", "Counters", "--from-start", "--output", "json"],
    ] {
        let arguments = [arguments, &["--endpoint", &endpoint]].concat();
        let ended = run_with_stdout(&arguments, closed());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{arguments:?}");
        let ended = run_with_stdout(&arguments, full());
        let why = "tailrace: cannot write to stdout: No space left on device (os error 28) [TR0021]\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (1, why), "{arguments:?}");
    }
}
