//! Code of functions in every form in which templates name it: each starts, and what it printed is what its author wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Ended, run};

const HANDLER: &str = "def handler(event, context):\n    print('RAN', len(event['Records']))\n";

/// A table with a stream, and a function that has it.
fn template(function: &str, more: &str) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Orders
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{{AttributeName: pk, AttributeType: S}}]
      KeySchema: [{{AttributeName: pk, KeyType: HASH}}]
      StreamSpecification: {{StreamViewType: KEYS_ONLY}}
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      {function}
      Events:
        S: {{Type: DynamoDB, Properties: {{Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON}}}}
{more}"
    )
}

/// A directory with a template and one write.
fn project(template: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "template.yaml", template);
    write(dir.path(), "writes.ndjson", r#"{"PutItem": {"TableName": "Orders", "Item": {"pk": {"S": "a"}}}}"#);
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn zip(dir: &Path, archive: &str, from: &str) {
    let zipped =
        Command::new("python3").args(["-m", "zipfile", "-c", archive, from]).current_dir(dir).status().unwrap();
    assert!(zipped.success());
}

fn up(path: &Path, more: &[&str]) -> Ended {
    run(&[&["up", &path.to_string_lossy(), "--port", "0", "--exit-when-drained"], more].concat())
}

#[track_caller]
fn check_prints(path: &Path, more: &[&str], expected: &str) -> Ended {
    let ended = up(path, more);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.lines().any(|line| line.ends_with(expected)), "{ended:?}");
    ended
}

#[test]
fn one_file_is_the_code() {
    let dir = project(&template("CodeUri: ./worker.py\n      Handler: worker.handler", ""));
    write(dir.path(), "worker.py", HANDLER);
    check_prints(dir.path(), &[], "RAN 1");
}

#[test]
fn an_archive_is_the_code_also_without_its_template_at_a_later_start() {
    let dir = project(&template("CodeUri: code.zip\n      Handler: app.handler", ""));
    write(dir.path(), "app.py", HANDLER);
    zip(dir.path(), "code.zip", "app.py");
    check_prints(dir.path(), &[], "RAN 1");
    // The second start must not have swept what the first unpacked.
    std::fs::remove_file(dir.path().join("app.py")).unwrap();
    write(dir.path(), "writes.ndjson", r#"{"PutItem": {"TableName": "Orders", "Item": {"pk": {"S": "b"}}}}"#);
    check_prints(dir.path(), &[], "RAN 1");
}

#[test]
fn code_in_the_template_is_index() {
    let inline = "Handler: index.handler
      InlineCode: |
        def handler(e, c):
            print('RAN', len(e['Records']), __name__)";
    check_prints(project(&template(inline, "")).path(), &[], "RAN 1 index");
}

#[test]
fn layers_from_a_directory_and_from_an_archive_are_imported_and_the_last_one_counts() {
    let function = "CodeUri: src
      Handler: app.handler
      Layers: [!Ref First, !Ref Second, 'arn:aws:lambda:us-east-1:017000801446:layer:Powertools:7']";
    let more = "  First: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: first}}
  Second: {Type: AWS::Lambda::LayerVersion, Properties: {Content: second.zip}}
";
    let dir = project(&template(function, more));
    let handler = "import both, one, two\ndef handler(e, c):\n    print('RAN', one.NAME, two.NAME, both.NAME)\n";
    write(dir.path(), "src/app.py", handler);
    for (file, name) in [
        ("first/python/one.py", "one"),
        ("first/python/both.py", "first"),
        ("python/lib/python3.12/site-packages/two.py", "two"),
        ("python/both.py", "second"),
    ] {
        write(dir.path(), file, &format!("NAME = '{name}'\n"));
    }
    zip(dir.path(), "second.zip", "python");
    std::fs::remove_dir_all(dir.path().join("python")).unwrap();
    let ended = check_prints(dir.path(), &[], "RAN one two second");
    assert!(ended.stderr.contains("layer:Powertools:7 is not here"), "{}", ended.stderr);
}

#[test]
fn an_archive_that_leads_out_stops_the_start_and_names_function_and_place() {
    let dir = project(&template("CodeUri: code.zip\n      Handler: app.handler", ""));
    let script = "import zipfile; zipfile.ZipFile('code.zip', 'w').writestr('../out.py', '')";
    assert!(Command::new("python3").args(["-c", script]).current_dir(dir.path()).status().unwrap().success());
    let ended = up(dir.path(), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("Resources.Fn.Properties.CodeUri: function Fn: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("the entry \"../out.py\" of the zip archive leads out of it"), "{}", ended.stderr);
}

#[test]
fn packages_that_are_not_installed_are_named_with_the_command() {
    let dir = project(&template("CodeUri: src\n      Handler: app.handler\n      # later", ""));
    write(dir.path(), "src/app.py", "import tailrace_has_no_such_package\n");
    write(dir.path(), "src/requirements.txt", "tailrace-has-no-such-package\n");
    let ended = up(dir.path(), &[]);
    assert_eq!(ended.code, 3, "a shard is blocked: {ended:?}");
    let src = dir.path().join("src");
    let told = format!(
        "[Fn] the module tailrace_has_no_such_package is missing: run `pip install -r {src}/requirements.txt -t {src}`",
        src = src.display()
    );
    assert_eq!(ended.stderr.matches(&told).count(), 1, "{}", ended.stderr);
}

#[test]
fn a_project_too_large_to_watch_says_so() {
    let dir = project(&template("CodeUri: .\n      Handler: app.handler", ""));
    write(dir.path(), "app.py", HANDLER);
    for n in 0..2000 {
        write(dir.path(), &format!("data/{n}.json"), "");
    }
    let ended = check_prints(dir.path(), &[], "RAN 1");
    let told = "has more than 2000 entries: changes of what lies deepest are not seen";
    assert_eq!(ended.stderr.matches(told).count(), 1, "{}", ended.stderr);
}

#[test]
fn the_template_in_use_is_named_also_where_a_directory_is_given_by_the_flag() {
    let dir = project(&template("CodeUri: app.py\n      Handler: app.handler", ""));
    write(dir.path(), "app.py", HANDLER);
    let file = dir.path().join("template.yaml");
    let told = format!("template {}\n", file.display());
    assert!(check_prints(&file, &[], "RAN 1").stderr.contains(&told));
    let other = project("Resources: {}");
    let ended = check_prints(other.path(), &["--template", &dir.path().to_string_lossy()], "RAN 1");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
}

#[test]
fn the_cases_that_users_sent_give_their_right_results() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for case in ["code-is-one-file", "inline-code", "cdk-asset-code"] {
        let dir = tempfile::tempdir().unwrap();
        check_prints(&cases.join(case), &["--data-dir", &dir.path().to_string_lossy()], "RAN 1");
    }
}
