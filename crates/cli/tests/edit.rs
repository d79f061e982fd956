//! Code is edited while `up` runs, and what runs next is what was saved.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

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

/// What a function reads at its start is edited as its code is; what it writes itself starts nothing anew.
#[test]
fn edited_data_takes_over_the_record_that_fails_and_what_the_function_writes_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (failed, mended) = (dir.path().join("failed"), dir.path().join("mended"));
    let handler = format!(
        "import json, pathlib\nhere = pathlib.Path(__file__).parent\nsettings = json.loads((here / 'settings.json').read_text())\n\
         def handler(event, context):\n    (here / 'seen.json').write_text(json.dumps(event))\n    \
         open({:?} if settings['ready'] else {:?}, 'a').write('x')\n    assert settings['ready']\n",
        mended.to_string_lossy(),
        failed.to_string_lossy()
    );
    std::fs::write(dir.path().join("template.yaml"), TEMPLATE).unwrap();
    std::fs::write(dir.path().join("app.py"), handler).unwrap();
    std::fs::write(dir.path().join("settings.json"), r#"{"ready": false}"#).unwrap();
    let server = Tailrace::start(&["up", &dir.path().to_string_lossy()], &dir.path().join("data"));
    server.call("DynamoDB_20120810.PutItem", r#"{"TableName":"Things","Item":{"Id":{"S":"a"}}}"#);
    wait_for(&failed, 3);
    std::fs::write(dir.path().join("settings.json"), r#"{"ready": true}"#).unwrap();
    wait_for(&mended, 1);
    let ended = server.interrupt();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let told = "[watch] settings.json has changed; the next invocation starts with it";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(!ended.stderr.contains("seen.json has changed"), "{}", ended.stderr);
}

/// A project with the template, whose handler prints who it is.
fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("template.yaml"), TEMPLATE).unwrap();
    let handler =
        "import os\ndef handler(event, context):\n    print('RAN', os.environ.get('WHO'), len(event['Records']))\n";
    std::fs::write(dir.path().join("app.py"), handler).unwrap();
    dir
}

fn up(dir: &Path) -> Tailrace {
    Tailrace::start(&["up", &dir.to_string_lossy()], &dir.join("data"))
}

#[test]
fn an_edited_template_is_applied_and_a_touched_one_is_not() {
    let dir = project();
    let template = dir.path().join("template.yaml");
    let server = up(dir.path());
    std::fs::write(&template, TEMPLATE).unwrap();
    let more = "      Environment: {Variables: {WHO: edited}}
  Others:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Others
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: Id, AttributeType: S}]
      KeySchema: [{AttributeName: Id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
";
    let event = "          Properties: {Stream: !GetAtt Others.StreamArn, StartingPosition: TRIM_HORIZON}\n";
    let edited = format!("{TEMPLATE}        Others:\n          Type: DynamoDB\n{event}{more}");
    std::fs::write(&template, &edited).unwrap();
    let told = server.process.stderr_line("has changed");
    assert_eq!(
        told,
        format!(
            "{} has changed and is applied: new table Others, changed function watch, new mapping FunctionOthers",
            template.display()
        )
    );
    server.call("DynamoDB_20120810.PutItem", r#"{"TableName":"Others","Item":{"Id":{"S":"a"}}}"#);
    server.process.stdout_line("RAN edited 1");
    // What cannot be done is told, and everything goes on as it was.
    std::fs::write(&template, edited.replace("AttributeName: Id", "AttributeName: Other")).unwrap();
    let told = server.process.stderr_line("is not applied");
    assert!(told.contains("a key cannot be changed") && told.ends_with("what runs goes on as it was"), "{told}");
    std::fs::write(&template, "Resources: [").unwrap();
    server.process.stderr_line("is malformed");
    server.call("DynamoDB_20120810.PutItem", r#"{"TableName":"Things","Item":{"Id":{"S":"a"}}}"#);
    server.process.stdout_line("RAN edited 1");
    let ended = server.interrupt();
    assert_eq!((ended.code, ended.stderr.matches("has changed").count()), (0, 3), "{}", ended.stderr);
}

#[test]
fn new_lines_of_the_writes_are_played() {
    let dir = project();
    let line = |id: &str| format!(r#"{{"PutItem": {{"TableName": "Things", "Item": {{"Id": {{"S": "{id}"}}}}}}}}"#);
    let server = up(dir.path());
    let writes = dir.path().join("writes.ndjson");
    std::fs::write(&writes, line("a") + "\n").unwrap();
    server.process.stderr_line("played 1 write from");
    std::fs::write(&writes, line("a") + "\n" + &line("b") + "\n" + &line("c") + "\n").unwrap();
    server.process.stderr_line("played 2 writes from");
    assert_eq!(server.interrupt().code, 0);
}

#[test]
fn code_that_is_one_file_and_a_layer_in_an_archive_are_reloaded_when_they_change() {
    let dir = project();
    let zip = |text: &str| {
        let script = "import sys, zipfile; zipfile.ZipFile('layer.zip', 'w').writestr('python/shared.py', sys.argv[1])";
        let mut python = std::process::Command::new("python3");
        assert!(python.args(["-c", script, text]).current_dir(dir.path()).status().unwrap().success());
    };
    zip("NAME = 'first'");
    let handler = |text: &str| {
        let handler = format!("import shared\ndef handler(event, context):\n    print('RAN {text}', shared.NAME)\n");
        std::fs::write(dir.path().join("app.py"), handler).unwrap();
    };
    handler("one");
    let layer = "  Layer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layer.zip}}\n";
    let template = TEMPLATE.replace("CodeUri: .", "CodeUri: app.py\n      Layers: [!Ref Layer]") + layer;
    std::fs::write(dir.path().join("template.yaml"), template).unwrap();
    let server = up(dir.path());
    let put = |id: &str| {
        let item = format!(r#"{{"TableName":"Things","Item":{{"Id":{{"S":"{id}"}}}}}}"#);
        server.call("DynamoDB_20120810.PutItem", &item);
    };
    put("a");
    server.process.stdout_line("RAN one first");
    handler("changed");
    server.process.stderr_line("app.py has changed and is applied: changed function watch");
    put("b");
    server.process.stdout_line("RAN changed first");
    zip("NAME = 'second one'");
    server.process.stderr_line("layer.zip has changed and is applied: changed function watch");
    put("c");
    server.process.stdout_line("RAN changed second one");
    assert_eq!(server.interrupt().code, 0);
}
