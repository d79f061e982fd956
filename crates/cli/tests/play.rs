//! The writes of a directory are played once per data directory, whatever happens in between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use support::{COUNTERS_TEMPLATE, Ended, Tailrace, run};

const LINES: usize = 120;

#[test]
fn a_play_that_is_killed_again_and_again_counts_every_line_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("template.yaml"), COUNTERS_TEMPLATE).unwrap();
    let mut writes = String::new();
    for _ in 0..LINES {
        let values = r#"{":one": {"N": "1"}}"#;
        let update = r#""UpdateExpression": "ADD N :one""#;
        writeln!(
            writes,
            r#"{{"UpdateItem": {{"TableName": "Counters", "Key": {{"Id": {{"S": "a"}}}}, {update}, "ExpressionAttributeValues": {values}}}}}"#
        )
        .unwrap();
    }
    std::fs::write(dir.path().join("writes.ndjson"), writes).unwrap();
    let data = dir.path().join("data");
    let up = ["up", &dir.path().to_string_lossy()];
    for wait_ms in [3, 11, 23, 37, 5, 17] {
        let server = Tailrace::start(&up, &data);
        // Into the middle of the play, somewhere else each time; where exactly does not matter.
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let _ = receiver.recv_timeout(Duration::from_millis(wait_ms));
        // Another writer of the same item must make no line skipped or undone.
        let note = format!(
            r#"{{"TableName":"Counters","Key":{{"Id":{{"S":"a"}}}},"UpdateExpression":"SET Note = :n",
                "ExpressionAttributeValues":{{":n":{{"N":"{wait_ms}"}}}}}}"#
        );
        server.call("DynamoDB_20120810.UpdateItem", &note);
        server.kill();
    }
    self::up(dir.path(), &data);
    let server = Tailrace::start(&["serve"], &data);
    let item = server.call("DynamoDB_20120810.GetItem", r#"{"TableName":"Counters","Key":{"Id":{"S":"a"}}}"#);
    assert_eq!(item, format!(r#"{{"Item":{{"Id":{{"S":"a"}},"N":{{"N":"{LINES}"}},"Note":{{"N":"17"}}}}}}"#));
}

fn up(dir: &Path, data: &Path) -> Ended {
    if !dir.join("template.yaml").exists() {
        std::fs::write(dir.join("template.yaml"), COUNTERS_TEMPLATE).unwrap();
    }
    let (dir, data) = (dir.to_string_lossy(), data.to_string_lossy());
    let ended = run(&["up", &dir, "--port", "0", "--exit-when-drained", "--data-dir", &data]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

fn put(id: &str) -> String {
    format!(r#"{{"PutItem": {{"TableName": "Counters", "Item": {{"Id": {{"S": "{id}"}}}}}}}}"#)
}

/// What it says besides where it listens, and of what template.
fn talk(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| !line.contains("listening on") && !line.starts_with("template ")).collect()
}

#[test]
fn a_line_that_cannot_be_played_is_named_and_the_others_are_played() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        put("a"),
        "not json".to_owned(),
        String::new(),
        put("a").replace("Counters", "Nothing"),
        r#"{"Put\nItem": {}}"#.to_owned(),
        r#"{"DeleteTable": {"TableName": "Counters"}}"#.to_owned(),
        put("b"),
        r#"{"PutItem": {"TableName": "Counters", "Item": {"Id": {"S": "c"}}}, "DeleteItem": {}}"#.to_owned(),
    ];
    let mut file = format!("\u{feff}{}\r\n", lines.join("\r\n")).into_bytes();
    file.extend(b"\xff\xfe\n");
    std::fs::write(dir.path().join("writes.ndjson"), file).unwrap();
    let data = dir.path().join("data");
    let ended = up(dir.path(), &data);
    let operations = "is not one of PutItem, UpdateItem, DeleteItem, BatchWriteItem";
    let writes = dir.path().join("writes.ndjson");
    assert_eq!(
        talk(&ended),
        [
            "writes.ndjson:2: not JSON: expected ident at line 1 column 2",
            "writes.ndjson:4: PutItem: ResourceNotFoundException: Requested resource not found",
            &format!("writes.ndjson:5: \"Put\\nItem\" {operations}"),
            &format!("writes.ndjson:6: \"DeleteTable\" {operations}"),
            r#"writes.ndjson:8: not of the form {"PutItem": {...}}"#,
            "writes.ndjson:9: not JSON: expected value at line 1 column 1",
            &format!("played 2 writes from {}; 6 lines refused", writes.display()),
        ]
    );
    // What was refused stays so until it is mended, and is named again.
    let next = up(dir.path(), &data);
    let again = talk(&next);
    assert_eq!(again[1..7], talk(&ended)[..6]);
    assert_eq!(again[7], format!("played 0 writes from {}; 6 lines refused", writes.display()));
    let server = Tailrace::start(&["serve"], &data);
    let count = server.call("DynamoDB_20120810.Scan", r#"{"TableName":"Counters","Select":"COUNT"}"#);
    assert_eq!(count, r#"{"Count":2,"ScannedCount":2}"#);
}

#[test]
fn a_file_that_changed_and_a_second_file_play_what_is_new_and_say_so() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = one.path().join("data");
    let write = |dir: &Path, ids: &[&str]| {
        let lines: Vec<String> = ids.iter().map(|id| put(id)).collect();
        std::fs::write(dir.join("writes.ndjson"), lines.join("\n")).unwrap();
    };
    let path = |dir: &Path| dir.join("writes.ndjson").display().to_string();
    let (first, second) = (path(one.path()), path(two.path()));
    let canonical = |path: &str| std::fs::canonicalize(path).unwrap().display().to_string();

    write(one.path(), &["a", "b"]);
    assert_eq!(talk(&up(one.path(), &data)), [format!("played 2 writes from {first}")]);
    write(one.path(), &["c", "b", "d"]);
    assert_eq!(
        talk(&up(one.path(), &data)),
        [
            format!("lines of {first} played into this data directory before: 1 of 3; to play: 2"),
            format!("played 2 writes from {first}")
        ]
    );
    write(two.path(), &["e", "f", "g", "h", "i"]);
    assert_eq!(talk(&up(two.path(), &data)), [format!("played 5 writes from {second}")]);
    // The first is known, whatever was played since.
    assert_eq!(
        talk(&up(one.path(), &data)),
        [format!(
            "lines of {first} played into this data directory before from {}: 3 of 3; to play: 0",
            canonical(&second)
        )]
    );
    assert_eq!(talk(&up(one.path(), &data)), [""; 0]);
}
