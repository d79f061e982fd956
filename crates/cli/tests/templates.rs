//! Templates in many shapes: each directory of `tests/templates` is started as its user would start it, and its functions run.
//!
//! In a directory: a template, its code, `writes.ndjson`, and `expect.txt`, whose lines the output has. If they are there:
//! `args.txt` holds further arguments, one a line, and `told.txt` texts that stderr has. What a line of output has in front
//! of what the handler printed does not matter, nor does the order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};

use support::{Ended, command, run};

/// Directories that run at the same time.
const AT_ONCE: usize = 4;

#[test]
fn every_template_starts_and_its_functions_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/templates");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir());
    // To work on one: `CASE=name cargo test --test templates`.
    if let Ok(name) = std::env::var("CASE") {
        cases.retain(|case| case.file_name().is_some_and(|file| *file == *name));
    }
    cases.sort();
    assert!(!cases.is_empty(), "no case");
    let faults: Vec<String> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..AT_ONCE)
            .map(|lane| {
                let cases = &cases;
                scope.spawn(move || {
                    let own = cases.iter().skip(lane).step_by(AT_ONCE);
                    own.filter_map(|case| check(case)).collect::<Vec<String>>()
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A project whose template has a parameter without a default.
fn with_parameter() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/templates/sam-parameter"), dir.path());
    dir
}

#[test]
fn a_parameter_without_a_value_is_asked_for_by_every_way_to_give_it() {
    let project = with_parameter();
    let dir = project.path();
    let environments = "[default.deploy.parameters]\nparameter_overrides = 'Sender=file'\n\
                        [prod.deploy.parameters]\nparameter_overrides = 'Sender=production'\n";
    std::fs::write(dir.join("samconfig.toml"), environments).unwrap();
    let (shown, config) = (dir.to_string_lossy(), dir.join("samconfig.toml").display().to_string());
    let up = ["up", &*shown, "--port", "0", "--exit-when-drained"];
    let ended = run(&up);
    let expected = format!(
        "tailrace: Resources.Fn.Properties.Environment.Variables.SENDER: the parameter Sender has no default and no value; give it \
         with --parameter Sender=VALUE, in a file with --parameters-file FILE ({config} beside the template is not read by \
         itself), or as the variable TAILRACE_PARAM_Sender (line 19) [TR0013]"
    );
    assert_eq!((ended.code, ended.stderr.lines().last()), (1, Some(expected.as_str())), "{}", ended.stderr);
    let file = ["--parameters-file", &config];
    let prod = ["--parameters-file", &config, "--config-env", "prod"];
    let flag = ["--parameter-overrides", "ParameterKey=Sender,ParameterValue=\"a flag\""];
    for (given, variable, expected) in [
        (&file[..], None, "SENDER file"),
        (&prod[..], None, "SENDER production"),
        (&file[..], Some("variable"), "SENDER variable"),
        (&flag[..], Some("variable"), "SENDER a flag"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().to_string_lossy();
        let arguments = [&up[..], given, &["--data-dir", &*data]].concat();
        let mut command = command(&arguments);
        command.envs(variable.map(|value| ("TAILRACE_PARAM_Sender", value)));
        let output = command.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.lines().any(|line| line == format!("[Fn] {expected}")), "{expected}: {stdout}");
    }
    for (arguments, expected) in [
        (
            ["--parameter", "Sneder=x"],
            "Parameters.Sneder: the template has no such parameter; did you mean Sender? [TR0013]",
        ),
        (["--parameter", "Sender"], "--parameter: \"Sender\" is no pair: NAME=VALUE is expected [TR0002]"),
        (["--config-env", "prod"], "--config-env: it is of a samconfig.toml, which --parameters-file names [TR0002]"),
        (["--resource", "=x"], "--resource: \"=x\" is not NAME=VALUE [TR0002]"),
        (
            ["--parameters-file", "/nothing"],
            "--parameters-file: /nothing: No such file or directory (os error 2) [TR0002]",
        ),
    ] {
        let ended = run(&[&up[..], &arguments].concat());
        let last = ended.stderr.lines().last();
        assert_eq!((ended.code, last), (1, Some(format!("tailrace: {expected}").as_str())), "{arguments:?}");
    }
}

/// What is wrong with what a directory does; `None`: nothing.
fn check(case: &Path) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    copy(case, dir.path());
    let (project, data) = (dir.path().to_string_lossy(), dir.path().join(".tailrace"));
    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(case.join(name)).unwrap_or_default();
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.replace("$DIR", &project)).collect()
    };
    let (given, data) = (lines("args.txt"), data.to_string_lossy());
    let mut arguments = vec!["up", &project, "--port", "0", "--exit-when-drained", "--data-dir", &data];
    arguments.extend(given.iter().map(String::as_str));
    let Ended { code, stdout, stderr } = run(&arguments);
    let expected = lines("expect.txt");
    let printed = expected.iter().filter(|line| !stdout.lines().any(|had| had.ends_with(line.as_str())));
    let told = lines("told.txt");
    let told = told.iter().filter(|text| !stderr.contains(text.as_str()));
    let missing: Vec<&String> = printed.chain(told).collect();
    if code == 0 && missing.is_empty() && !expected.is_empty() {
        return None;
    }
    let name = case.file_name().unwrap().to_string_lossy();
    Some(format!("== {name}: code {code}, missing {missing:?}\n{stdout}-- stderr\n{stderr}"))
}

/// A copy, so that what handlers and interpreters write does not stay.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// What `sam build` and `cdk synth` write is made anew each time: the project's own configuration lies above it.
#[test]
fn the_sinks_of_a_project_run_with_the_template_that_a_tool_has_built() {
    let template = "Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName: things\n      \
                    BillingMode: PAY_PER_REQUEST\n      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]\n      \
                    KeySchema: [{AttributeName: id, KeyType: HASH}]\n      \
                    StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}\n";
    let write = r#"{"PutItem": {"TableName": "things", "Item": {"id": {"S": "a"}}}}"#;
    for (built, name) in [(".aws-sam/build", "template.yaml"), ("cdk.out", "Stack.template.json")] {
        let work = tempfile::tempdir().unwrap();
        let project = work.path().join("project");
        std::fs::create_dir_all(project.join(built)).unwrap();
        let text = if name.ends_with("json") {
            let assembly = r#"{"version": "36.0.0", "artifacts": {"Stack": {"type": "aws:cloudformation:stack",
                "properties": {"templateFile": "Stack.template.json"}}}}"#;
            std::fs::write(project.join(built).join("manifest.json"), assembly).unwrap();
            r#"{"Resources": {"T": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "things",
                "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}}}}"#
        } else {
            template
        };
        std::fs::write(project.join(built).join(name), text).unwrap();
        std::fs::write(project.join("writes.ndjson"), format!("{write}\n")).unwrap();
        let sinks = "sinks: {lake: {from: things, to: ./lake, flush: {seconds: 0}}}\n";
        std::fs::write(project.join("tailrace.yaml"), sinks).unwrap();
        let ended = run(&["up", &*project.to_string_lossy(), "--port", "0", "--exit-when-drained"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains("1 record of things delivered to lake"), "{}", ended.stderr);
        assert!(project.join("lake").is_dir(), "{built}: {}", ended.stderr);
    }
}
