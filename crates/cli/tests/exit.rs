//! `up --exit-when-drained` ends whatever the function does, and its code says how.

mod support;

use std::path::Path;

use support::{Ended, run};

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

/// spec/event-source-mapping.md 7.1: what cannot be invoked spends no retry, so no number of retries ends it.
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
