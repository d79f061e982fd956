//! `up --exit-when-drained` ends whatever the function does, and its code says how.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod support;

use std::path::Path;

use support::{Ended, Tailrace, run};

/// Two records of one table, handled by `app.py`; `function` and `mapping` are further properties.
fn up(dir: &Path, app: &str, function: &str, mapping: &str) -> Ended {
    let template = format!(
        "Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{{AttributeName: Id, AttributeType: S}}]
      KeySchema: [{{AttributeName: Id, KeyType: HASH}}]
      StreamSpecification: {{StreamViewType: NEW_IMAGE}}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: watch
      Runtime: python3.13
      CodeUri: .
      Handler: app.handler
      {function}
      Events:
        Things:
          Type: DynamoDB
          Properties: {{Stream: !GetAtt Things.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 1{mapping}}}
"
    );
    std::fs::write(dir.join("template.yaml"), template).unwrap();
    std::fs::write(dir.join("app.py"), app).unwrap();
    let put = |id: &str| format!(r#"{{"PutItem": {{"TableName": "Things", "Item": {{"Id": {{"S": "{id}"}}}}}}}}"#);
    std::fs::write(dir.join("writes.ndjson"), format!("{}\n{}\n", put("a"), put("b"))).unwrap();
    let (dir, data) = (dir.to_string_lossy(), dir.join("data"));
    run(&["up", &dir, "--port", "0", "--exit-when-drained", "--data-dir", &data.to_string_lossy()])
}

/// docs/spec/event-source-mapping.md 7.1: what cannot be invoked spends no retry, so no number of retries ends it.
#[test]
fn a_function_that_cannot_be_invoked_ends_the_wait_with_3_and_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let good = "def handler(event, context):\n    pass\n";
    let off = up(dir.path(), good, "ReservedConcurrentExecutions: 0", ", MaximumRetryAttempts: 2");
    assert_eq!(off.code, 3, "{}", off.stderr);
    assert!(off.stderr.contains("throttled: ReservedFunctionConcurrentInvocationLimitExceeded"), "{}", off.stderr);
    assert!(off.stderr.contains("is blocked after"), "{}", off.stderr);

    let on = up(dir.path(), good, "", ", MaximumRetryAttempts: 2");
    assert_eq!(on.code, 0, "{}", on.stderr);
}

/// An answer that names failed records is no delivery of those.
#[test]
fn failed_records_that_an_answer_names_are_shown_as_failed() {
    let dir = tempfile::tempdir().unwrap();
    let code = "def handler(event, context):
    failed = [r['dynamodb']['SequenceNumber'] for r in event['Records'] if r['dynamodb']['Keys']['Id']['S'] == 'b']
    return {'batchItemFailures': [{'itemIdentifier': number} for number in failed]}
";
    let ended = up(dir.path(), code, "", ", MaximumRetryAttempts: 0, FunctionResponseTypes: [ReportBatchItemFailures]");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for line in ["delivered to watch", "failed in watch: the function reported failed records"] {
        let lines = ended.stderr.lines().filter(|shown| shown.starts_with("1 record of ") && shown.ends_with(line));
        assert_eq!(lines.count(), 1, "{line}: {}", ended.stderr);
    }
}

/// What was given up does not block: the end says so, and the records can be seen, redriven and discarded.
#[test]
fn records_that_were_given_up_are_told_of_at_the_end_and_can_be_redriven() {
    let dir = tempfile::tempdir().unwrap();
    let bad = "def handler(event, context):\n    raise KeyError('Score')\n";
    let once = ", MaximumRetryAttempts: 0";
    let given_up = up(dir.path(), bad, "", once);
    assert_eq!(given_up.code, 0, "{}", given_up.stderr);
    let last = given_up.stderr.lines().last();
    assert_eq!(last, Some("2 records parked (tailrace parked shows them)"), "{}", given_up.stderr);
    assert!(given_up.stderr.contains("1 record of Things (shardId-"), "{}", given_up.stderr);
    assert!(given_up.stderr.contains("for watch was given up and is parked: KeyError: 'Score'"), "{}", given_up.stderr);

    let server = Tailrace::start(&["serve"], &dir.path().join("data"));
    let endpoint = server.endpoint();
    let parked = |arguments: &[&str]| run(&[&["parked", "--endpoint", &endpoint], arguments].concat());
    let shown = parked(&[]);
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!((shown.code, lines.len()), (0, 3), "{shown:?}");
    for word in ["watch", "Things", "shardId-", "1000000000000000000", "RetryAttemptsExhausted", "KeyError: 'Score'"] {
        assert!(lines[1].contains(word), "{word}: {}", shown.stdout);
    }
    let json = parked(&["watch", "--output", "json"]).stdout;
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["table"], &first["function"]), (&"Things".into(), &"watch".into()), "{json}");
    assert!(first["keys"]["Id"]["S"].is_string(), "{json}");
    assert_eq!(parked(&["none"]).stderr, "tailrace: no mapping has the uuid, function or table none [TR0019]\n");
    let unnamed = parked(&["--discard"]);
    assert_eq!(unnamed.code, 2, "not of every mapping by a slip");
    let uuid = first["mapping"].as_str().unwrap();
    let named = format!("; that of watch is the one to name: tailrace parked {uuid} --discard\n");
    assert!(unnamed.stderr.ends_with(&named), "{}", unnamed.stderr);
    let unnamed = parked(&["--skip"]);
    assert!(unnamed.code == 2 && unnamed.stderr.ends_with("; tailrace mappings shows them\n"), "{}", unnamed.stderr);

    let refused = parked(&["--redrive"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("did not take") && refused.stderr.contains("KeyError: 'Score'"), "{refused:?}");
    assert!(refused.stderr.ends_with("0 records redriven\n"), "{refused:?}");
    assert_eq!(parked(&["--output", "json"]).stdout.lines().count(), 2, "they stay");

    let (shard, number) = (&first["shard"], &first["sequenceNumber"]);
    let record = serde_json::json!({ "mapping": uuid, "shard": shard, "sequenceNumber": number }).to_string();
    let (status, body) = server.post("/_admin/parked/discard", &record);
    assert_eq!((status, body.as_str()), (200, "{}"));
    for (path, body, expected) in [
        ("/_admin/parked/discard", record.as_str(), 404),
        ("/_admin/parked/redrive", &record, 404),
        ("/_admin/damaged/skip", &record, 404),
        ("/_admin/parked/redrive", "{}", 400),
        ("/_admin/parked/other", &record, 404),
    ] {
        assert_eq!(server.post(path, body).0, expected, "{path} {body}");
    }

    let good = "def handler(event, context):\n    print('took', len(event['Records']))\n";
    std::fs::write(dir.path().join("app.py"), good).unwrap();
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    let _ = receiver.recv_timeout(tailrace_core::limits::FUNCTION_CODE_LOOK);
    let redriven = parked(&["Things", "--redrive"]);
    assert_eq!((redriven.code, redriven.stderr.as_str()), (0, "1 record redriven\n"));
    assert_eq!(parked(&["--output", "json"]).stdout, "");
    let discarded = parked(&[uuid, "--discard"]);
    assert_eq!((discarded.code, discarded.stderr.as_str()), (0, "0 records discarded\n"));
    assert!(server.interrupt().stdout.contains("took 1"));

    let nothing_left = up(dir.path(), good, "", once);
    assert_eq!(nothing_left.code, 0, "{}", nothing_left.stderr);
}
