//! `tailrace logs`: what a function wrote, while its server runs, over a restart, and from the files alone.
//! Row: docs/spec/lambda-runtime.md 10.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use support::{COUNTERS_TEMPLATE, Ended, Process, Tailrace, run};

const FUNCTION: &str = "  Watch:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: watch, Runtime: python3.11, Handler: app.handler, CodeUri: src/}
";

const CODE: &str = "import sys
def handler(event, context):
    print('saw', event)
    print('to stderr', event, file=sys.stderr)
    if event == 'bad':
        raise ValueError('no good')
";

fn project(dir: &Path) {
    std::fs::create_dir_all(dir.join("src")).unwrap();
    let template = format!("Transform: AWS::Serverless-2016-10-31\n{COUNTERS_TEMPLATE}{FUNCTION}");
    std::fs::write(dir.join("template.yaml"), template).unwrap();
    std::fs::write(dir.join("src/app.py"), CODE).unwrap();
}

fn up(dir: &Path, data: &Path) -> Tailrace {
    Tailrace::start(&["up", &dir.to_string_lossy()], data)
}

fn invoke(server: &Tailrace, event: &str) {
    run(&["invoke", "watch", event, "--endpoint", &server.endpoint()]);
}

/// Time, request, stream and text of each line.
fn lines(ended: &Ended) -> Vec<[String; 4]> {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let parts = |line: &str| {
        let mut parts = line.splitn(4, ' ').map(str::to_owned);
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    };
    ended.stdout.lines().map(parts).collect()
}

#[test]
fn each_line_has_its_time_its_invocation_and_its_stream() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    project(dir.path());
    let server = up(dir.path(), data.path());
    invoke(&server, "\"one\"");
    invoke(&server, "\"bad\"");
    let endpoint = server.endpoint();
    // Lines are on their way to the files while the answer is on its way to the caller.
    let follow = Process::start(&["logs", "watch", "--follow", "--endpoint", &endpoint]);
    for _ in 0..2 {
        follow.stdout_line(" platform REPORT RequestId: ");
    }
    let shown = lines(&run(&["logs", "watch", "--endpoint", &endpoint]));
    for [time, request, ..] in &shown {
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
        assert_eq!(request.len(), 36, "{request}");
    }
    let request = shown[0][1].clone();
    let of_first: Vec<(&str, &str)> =
        shown.iter().filter(|line| line[1] == request).map(|line| (line[2].as_str(), line[3].as_str())).collect();
    assert_eq!(of_first[0], ("platform", format!("START RequestId: {request} Version: $LATEST").as_str()));
    for expected in [("stdout", "saw one"), ("stderr", "to stderr one")] {
        assert!(of_first.contains(&expected), "{of_first:?}");
    }
    assert!(shown.iter().any(|line| line[3].contains("ValueError: no good")), "{shown:?}");
    let one = lines(&run(&["logs", "watch", "--request", &request[..8], "--endpoint", &endpoint]));
    assert_eq!(one.len(), of_first.len());
    let last = lines(&run(&["logs", "watch", "-n", "2", "--endpoint", &endpoint]));
    assert_eq!(last, shown[shown.len() - 2..]);
    // The order of what a function and its host write at the same moment is nobody's.
    let json = run(&["logs", "watch", "-n", "5", "--output", "json", "--endpoint", &endpoint]).stdout;
    assert!(json.starts_with(r#"{"time":"20"#) && json.contains(r#""stream":"platform","text":"REPORT "#), "{json}");

    let wrong = run(&["logs", "wacth", "--endpoint", &endpoint]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("there is no function wacth; did you mean watch?"), "{}", wrong.stderr);
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn following_goes_on_over_a_restart_and_shows_each_line_once() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    project(dir.path());
    let server = up(dir.path(), data.path());
    let port = server.port();
    let follow = Process::start(&["logs", "watch", "-f", "--endpoint", &server.endpoint()]);
    invoke(&server, "1");
    follow.stdout_line(" stdout saw 1");
    assert_eq!(server.interrupt().code, 0);
    follow.stderr_line("trying again until the server is back");
    let server = Tailrace::start_at(port, &["up", &dir.path().to_string_lossy()], data.path());
    invoke(&server, "2");
    follow.stderr_line("connected again");
    follow.stdout_line(" stdout saw 2");
    invoke(&server, "3");
    follow.stdout_line(" stdout saw 3");
    let ended = follow.interrupt();
    assert_eq!(ended.code, 0);
    for n in 1..=3 {
        assert_eq!(ended.stdout.matches(&format!(" stdout saw {n}\n")).count(), 1, "{}", ended.stdout);
    }
}

#[test]
fn the_files_are_read_without_a_server() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    project(dir.path());
    let server = up(dir.path(), data.path());
    invoke(&server, "1");
    assert_eq!(server.interrupt().code, 0);
    let data_dir = data.path().to_string_lossy();
    let shown = lines(&run(&["logs", "watch", "--data-dir", &data_dir]));
    assert!(shown.iter().any(|line| line[2] == "stdout" && line[3] == "saw 1"), "{shown:?}");
    let wrong = run(&["logs", "other", "--data-dir", &data_dir]);
    assert!(wrong.stderr.contains("has nothing of a function other"), "{}", wrong.stderr);
}
