//! Code is edited while `up` runs, and what runs next is what was saved.

mod support;

use std::path::Path;

use support::Tailrace;

const TEMPLATE: &str = "Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: Id, AttributeType: S}]
      KeySchema: [{AttributeName: Id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: watch
      Runtime: python3.13
      CodeUri: .
      Handler: app.handler
      Events:
        Things:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Things.StreamArn, StartingPosition: TRIM_HORIZON}
";

/// Waits until the handler has left its mark so often.
fn wait_for(mark: &Path, times: usize) {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    for _ in 0..600 {
        if std::fs::read(mark).is_ok_and(|marks| marks.len() >= times) {
            return;
        }
        let _ = receiver.recv_timeout(std::time::Duration::from_millis(50));
    }
    panic!("{} is not written {times} times", mark.display());
}

#[test]
fn mended_code_takes_over_the_record_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (failed, mended) = (dir.path().join("failed"), dir.path().join("mended"));
    let handler = |mark: &Path, then: &str| {
        format!("def handler(event, context):\n    open({:?}, 'a').write('x')\n    {then}\n", mark.to_string_lossy())
    };
    std::fs::write(dir.path().join("template.yaml"), TEMPLATE).unwrap();
    std::fs::write(dir.path().join("app.py"), handler(&failed, "raise ValueError('not yet')")).unwrap();
    let server = Tailrace::start(&["up", &dir.path().to_string_lossy()], &dir.path().join("data"));
    server.call("DynamoDB_20120810.PutItem", r#"{"TableName":"Things","Item":{"Id":{"S":"a"}}}"#);
    wait_for(&failed, 3);
    std::fs::write(dir.path().join("app.py"), handler(&mended, "return None")).unwrap();
    wait_for(&mended, 1);
    let ended = server.interrupt();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("[watch] the code has changed; the next invocation runs it"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 record of shard"), "{}", ended.stderr);
}

#[test]
fn an_edited_template_is_told_of_once_and_a_touched_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("template.yaml");
    std::fs::write(&template, TEMPLATE).unwrap();
    std::fs::write(dir.path().join("app.py"), "def handler(event, context):\n    pass\n").unwrap();
    let server = Tailrace::start(&["up", &dir.path().to_string_lossy()], &dir.path().join("data"));
    std::fs::write(&template, TEMPLATE).unwrap();
    let edited = TEMPLATE.replace("watch", "see");
    std::fs::write(&template, &edited).unwrap();
    let told = server.process.stderr_line("has changed");
    assert_eq!(told, format!("{} has changed; the next start applies it", template.display()));
    std::fs::write(&template, edited + "# more\n").unwrap();
    server.process.stderr_line("has changed");
    let ended = server.interrupt();
    assert_eq!((ended.code, ended.stderr.matches("has changed").count()), (0, 2), "{}", ended.stderr);
}
