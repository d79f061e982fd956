use super::*;

fn function_with(property: &str) -> String {
    format!(
        r"
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: python3.12
      {property}
"
    )
}

/// The same function with a mapping that uses it.
fn used_function_with(property: &str) -> String {
    let mapping = "  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !Ref F, StartingPosition: LATEST, \
                   EventSourceArn: 'arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000'}}\n";
    function_with(property) + mapping
}

#[test]
fn what_sam_built_is_preferred_and_every_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let error = find(dir.path()).unwrap_err().to_string();
    assert!(error.contains("looked for .aws-sam/build/template.yaml, template.yaml, template.yml"), "{error}");
    std::fs::create_dir_all(dir.path().join(".aws-sam/build")).unwrap();
    for name in ["template.json", "template.yml", "template.yaml", ".aws-sam/build/template.yaml"] {
        let text = if name.ends_with("json") { "{\"Resources\": {}}" } else { "Resources: {}" };
        std::fs::write(dir.path().join(name), text).unwrap();
        let found = find(dir.path()).unwrap();
        assert_eq!(found, dir.path().join(name));
        assert_eq!(read(&found, &Options::default()).unwrap(), Plan::default());
    }
    let built = dir.path().join(".aws-sam/build/template.yaml");
    std::fs::write(&built, function_with("CodeUri: F")).unwrap();
    std::fs::create_dir(dir.path().join(".aws-sam/build/F")).unwrap();
    let plan = read(&built, &Options::default()).unwrap();
    assert_eq!(plan.functions[0].code_dir, dir.path().join(".aws-sam/build/F"));
}

#[test]
fn code_stays_where_it_is_when_the_working_directory_changes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::create_dir(dir.join("src")).unwrap();
    std::fs::write(dir.join("template.yaml"), function_with("CodeUri: src/")).unwrap();
    let up: std::path::PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(dir.strip_prefix("/").unwrap()).join("template.yaml");
    assert!(relative.is_relative());
    let plan = read(&relative, &Options::default()).unwrap();
    let code_dir = &plan.functions[0].code_dir;
    assert!(code_dir.is_absolute(), "{}", code_dir.display());
    assert_eq!(code_dir.canonicalize().unwrap(), dir.join("src"));
}

#[test]
fn code_that_is_not_there_is_told_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for file in ["app.zip", "app.py"] {
        std::fs::write(dir.join(file), "").unwrap();
    }
    let at = "Resources.F.Properties.CodeUri";
    let shown = dir.display();
    for (uri, expected) in [
        (
            "nothere/",
            format!(
                "{at}: the directory of the code cannot be used: {shown}/nothere/: No such file or directory (os error 2)"
            ),
        ),
        ("app.zip", format!("{at}: zip archives are not supported yet; give the directory instead of {shown}/app.zip")),
        ("app.py", format!("{at}: {shown}/app.py is a file; give the directory of the code")),
    ] {
        let property = format!("CodeUri: {uri}");
        std::fs::write(dir.join("template.yaml"), used_function_with(&property)).unwrap();
        let error = read(&dir.join("template.yaml"), &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{uri}");
        // A function that no mapping uses is named, and does not stop the start.
        std::fs::write(dir.join("template.yaml"), function_with(&property)).unwrap();
        let plan = read(&dir.join("template.yaml"), &Options::default()).unwrap();
        assert_eq!(plan.functions, []);
        assert_eq!(plan.skipped, [format!("Resources.F: not run, and no mapping uses it: {expected}")]);
    }
}

#[test]
fn a_malformed_template_names_its_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, expected) in [
        ("t.yaml", "Resources:\n  A: {}\n  A: {}\n", "Resources: the key \"A\" is given twice at line 3 column 3"),
        ("t.json", "{\"Resources\":\n {\"A\": {},\n \"A\": {}}}", "the key \"A\" is given twice at line 2"),
        ("t.json", "{\"Resources\":\n {\"A\": }}", "expected value at line 2 column 8"),
        (
            "t.yaml",
            "Resources:\n  - A: [\n",
            "while parsing a node, did not find expected node content at line 3 column 1",
        ),
        ("t.yaml", "[]", "a map with Resources is expected"),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let error = read(&file, &Options::default()).unwrap_err().to_string();
        assert_eq!(error, format!("the template {} is malformed: {expected}", file.display()));
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (name, template) in [("t.yaml", format!("Resources: {deep}")), ("t.json", format!("{{\"Resources\": {deep}}}"))]
    {
        let file = dir.path().join(name);
        std::fs::write(&file, template).unwrap();
        assert!(matches!(read(&file, &Options::default()), Err(TemplateFileError::Malformed { .. })), "{name}");
    }
}
