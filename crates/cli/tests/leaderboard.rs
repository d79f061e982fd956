//! The first example, end to end: from its template over the wire to the function and its output.

mod support;

use std::path::Path;

use support::{Tailrace, example, run};

const LEVEL_UPS: [&str; 3] = [
    "[level-up] User 123 just leveled up! (1000 -> 1250)",
    "[level-up] User 202 just leveled up! (755 -> 980)",
    "[level-up] User 505 just leveled up! (40 -> 200)",
];

fn level_ups(stdout: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = stdout.lines().filter(|line| line.contains("leveled up")).collect();
    lines.sort_unstable();
    lines
}

fn up(dir: &Path, data: &Path) -> support::Ended {
    let arguments = ["up", &dir.to_string_lossy(), "--port", "0", "--exit-when-drained", "--data-dir"];
    run(&[&arguments[..], &[&*data.to_string_lossy()]].concat())
}

#[test]
fn it_shows_who_leveled_up_and_shows_nothing_twice() {
    let data = tempfile::tempdir().unwrap();
    let first = up(&example(), data.path());
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(level_ups(&first.stdout), LEVEL_UPS, "{}", first.stderr);
    for name in [
        "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:",
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS=http://127.0.0.1:",
        "AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:",
        "AWS_ENDPOINT_URL_FIREHOSE=http://127.0.0.1:",
        "AWS_REGION=us-east-1",
        "AWS_DEFAULT_REGION=us-east-1",
        "AWS_ACCESS_KEY_ID=",
        "AWS_SECRET_ACCESS_KEY=",
    ] {
        assert!(first.stdout.contains(&format!("export {name}")), "{name}: {}", first.stdout);
    }
    assert!(first.stderr.contains("played 9 writes"), "{}", first.stderr);
    assert!(first.stderr.contains("delivered to level-up"), "{}", first.stderr);

    let second = up(&example(), data.path());
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(level_ups(&second.stdout), [""; 0], "{}", second.stdout);
    assert!(!second.stderr.contains("played"), "{}", second.stderr);
    assert!(!second.stderr.contains("delivered"), "{}", second.stderr);
}

/// The same seed, table and threshold; its lines are those of Node.js on AWS, with time, request and level in front.
#[test]
fn its_twin_in_node_shows_the_same() {
    let data = tempfile::tempdir().unwrap();
    let twin = example().with_file_name("leaderboard-node");
    let ended = up(&twin, data.path());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut lines: Vec<String> = ended
        .stdout
        .lines()
        .filter_map(|line| line.rsplit_once("\tINFO\t"))
        .map(|(_, text)| format!("[level-up] {text}"))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, LEVEL_UPS, "{}", ended.stderr);
}

#[test]
fn serve_alone_goes_on_with_what_the_data_directory_holds() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(up(&example(), data.path()).code, 0);
    let server = Tailrace::start(&["serve"], data.path());
    let mappings = run(&["mappings", "--endpoint", &server.endpoint()]);
    assert!(mappings.stdout.contains("GameScores"), "{mappings:?}");
    assert!(mappings.stdout.contains("level-up"), "{mappings:?}");
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn a_failing_record_ends_the_wait_with_its_own_code_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["template.yaml", "writes.ndjson"] {
        std::fs::copy(example().join(file), dir.path().join(file)).unwrap();
    }
    std::fs::write(dir.path().join("app.py"), "def handler(event, context):\n    raise KeyError('no score')\n")
        .unwrap();
    let ended = up(dir.path(), &dir.path().join("data"));
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("KeyError"), "{}", ended.stderr);
    assert!(ended.stderr.contains("is blocked after"), "{}", ended.stderr);

    // Mended, it goes on with the very records that were in the way.
    std::fs::copy(example().join("app.py"), dir.path().join("app.py")).unwrap();
    let mended = up(dir.path(), &dir.path().join("data"));
    assert_eq!(mended.code, 0, "{}", mended.stderr);
    assert_eq!(level_ups(&mended.stdout), LEVEL_UPS);
}
