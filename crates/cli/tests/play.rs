//! The writes of a directory are played once per data directory, whatever happens in between.

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use support::{Tailrace, run};

const TEMPLATE: &str = "Resources:
  Counters:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Counters
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: Id, AttributeType: S}]
      KeySchema: [{AttributeName: Id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
";

const LINES: usize = 120;

#[test]
fn a_play_that_is_killed_again_and_again_counts_every_line_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("template.yaml"), TEMPLATE).unwrap();
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
        server.kill();
    }
    let data_dir = data.to_string_lossy().into_owned();
    let ended = run(&[&up[..], &["--port", "0", "--exit-when-drained", "--data-dir", &data_dir]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let server = Tailrace::start(&["serve"], &data);
    let item = server.call("DynamoDB_20120810.GetItem", r#"{"TableName":"Counters","Key":{"Id":{"S":"a"}}}"#);
    assert_eq!(item, format!(r#"{{"Item":{{"Id":{{"S":"a"}},"N":{{"N":"{LINES}"}}}}}}"#));
}

#[test]
fn a_line_that_cannot_be_played_is_named_and_the_others_are_played() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("template.yaml"), TEMPLATE).unwrap();
    let writes = "{\"PutItem\": {\"TableName\": \"Counters\", \"Item\": {\"Id\": {\"S\": \"a\"}}}}\nnot json\n\n\
                  {\"PutItem\": {\"TableName\": \"Nothing\", \"Item\": {\"Id\": {\"S\": \"a\"}}}}\n\
                  {\"PutItem\": {\"TableName\": \"Counters\", \"Item\": {\"Id\": {\"S\": \"b\"}}}}\n";
    std::fs::write(dir.path().join("writes.ndjson"), writes).unwrap();
    let data_dir = dir.path().join("data").to_string_lossy().into_owned();
    let up = ["up", &dir.path().to_string_lossy(), "--port", "0", "--exit-when-drained", "--data-dir", &data_dir];
    let ended = run(&up);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("writes.ndjson:2: not JSON"), "{}", ended.stderr);
    assert!(ended.stderr.contains("writes.ndjson:4: PutItem: ResourceNotFoundException"), "{}", ended.stderr);
    assert!(ended.stderr.contains("played 3 writes"), "{}", ended.stderr);
}
