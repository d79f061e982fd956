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

#[test]
fn what_sam_built_is_preferred_and_every_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let error = find(dir.path(), None).unwrap_err().to_string();
    assert!(error.contains("looked for .aws-sam/build/template.yaml, template.yaml, template.yml"), "{error}");
    std::fs::create_dir_all(dir.path().join(".aws-sam/build")).unwrap();
    for name in ["template.json", "template.yml", "template.yaml", ".aws-sam/build/template.yaml"] {
        let text = if name.ends_with("json") { "{\"Resources\": {}}" } else { "Resources: {}" };
        std::fs::write(dir.path().join(name), text).unwrap();
        let found = find(dir.path(), None).unwrap();
        assert_eq!((&found.template, found.home.as_path()), (&dir.path().join(name), dir.path()));
        assert_eq!(read(&found.template, &Options::default()).unwrap(), Plan::default());
    }
    let built = dir.path().join(".aws-sam/build/template.yaml");
    std::fs::write(&built, function_with("CodeUri: F")).unwrap();
    std::fs::create_dir(dir.path().join(".aws-sam/build/F")).unwrap();
    let plan = read(&built, &Options::default()).unwrap();
    assert_eq!(plan.functions[0].code, CodeSource::Path(dir.path().join(".aws-sam/build/F")));
    let built = find(&dir.path().join(".aws-sam/build"), None).unwrap();
    assert_eq!(built.home, dir.path().canonicalize().unwrap(), "what is to stay is not among what is built");
}

#[test]
fn a_file_is_a_template_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, text) in [("app.template", "{\"Resources\": {}}"), ("stack.cfn", "Resources: {}")] {
        std::fs::write(dir.join(name), text).unwrap();
        let found = find(&dir.join(name), None).unwrap();
        assert_eq!((found.template.clone(), found.home), (dir.join(name), dir.to_owned()));
        assert_eq!(read(&found.template, &Options::default()).unwrap(), Plan::default());
    }
}

#[test]
fn a_build_that_is_older_than_its_sources_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let write = |name: &str, seconds: u64| {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "Resources: {}").unwrap();
        let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    };
    write("template.yaml", 1);
    write("src/app.py", 2);
    write(".aws-sam/build/template.yaml", 3);
    write(".aws-sam/build/F/app.py", 4);
    write("node_modules/x/index.js", 4);
    assert_eq!(find(dir, None).unwrap().notices, [""; 0]);
    write("src/app.py", 4);
    let (built, own) = (dir.join(".aws-sam/build/template.yaml"), dir.join("template.yaml"));
    let told =
        format!("{} is older than src/app.py: run `sam build`, or start with {}", built.display(), own.display());
    assert_eq!(find(dir, None).unwrap().notices, [told]);
}

#[test]
fn a_stack_of_an_assembly_is_chosen_by_any_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cdk.out");
    std::fs::create_dir_all(out.join("assembly-Prod")).unwrap();
    let stack = |file: &str, name: &str, display: &str| {
        format!(
            r#"{{"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region",
                "properties": {{"templateFile": "{file}", "stackName": "{name}"}}, "displayName": "{display}"}}"#
        )
    };
    let write = |path: &str, artifacts: &str| {
        let manifest = format!(r#"{{"version": "48.0.0", "artifacts": {{{artifacts}}}}}"#);
        std::fs::write(out.join(path), manifest).unwrap();
    };
    let assets = r#""Orders.assets": {"type": "cdk:asset-manifest", "properties": {"file": "Orders.assets.json"}}"#;
    let orders = stack("Orders.template.json", "Orders", "Orders");
    write("manifest.json", &format!(r#"{assets}, "Orders": {orders}"#));
    let found = |path: &Path, stack: Option<&str>| find(path, stack).map_err(|error| error.to_string());
    let one = found(dir.path(), None).unwrap();
    assert_eq!((one.template, one.home), (out.join("Orders.template.json"), dir.path().canonicalize().unwrap()));
    let stage = r#""assembly-Prod": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Prod", "displayName": "Prod"}}"#;
    write("manifest.json", &format!(r#"{assets}, "Orders": {orders}, {stage}"#));
    let of_stage = stack("ProdBills1.template.json", "Prod-Bills", "Prod/Bills (Prod-Bills)");
    write("assembly-Prod/manifest.json", &format!(r#""ProdBills1": {of_stage}"#));
    let shown = out.display();
    assert_eq!(found(&out, None), Err(format!("{shown} has 2 stacks: choose one with --stack: Orders, Prod/Bills")));
    assert_eq!(found(&out, Some("Bill")), Err(format!("{shown} has no stack Bill: it has Orders, Prod/Bills")));
    for name in ["Prod/Bills", "Prod-Bills", "ProdBills1"] {
        let template = found(&out, Some(name)).unwrap().template;
        assert_eq!(template, out.join("assembly-Prod/ProdBills1.template.json"), "{name}");
    }
    assert_eq!(found(&out.join("manifest.json"), Some("Orders")).unwrap().template, out.join("Orders.template.json"));
    let template = dir.path().join("template.yaml");
    std::fs::write(&template, "Resources: {}").unwrap();
    let error = found(dir.path(), Some("Orders")).unwrap_err();
    assert_eq!(
        error,
        format!("--stack Orders chooses among the stacks of a cdk.out, and {} is one template", template.display())
    );
}

#[test]
fn a_project_that_is_not_built_yet_is_told_how() {
    for (file, expected) in [
        ("serverless.yml", "; this is a Serverless project: run `serverless package` first"),
        ("cdk.json", "; this is a CDK project: run `cdk synth` first"),
        ("manifest.json", ".serverless/cloudformation-template-update-stack.json"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), "{\"name\": \"a page\"}").unwrap();
        let error = find(dir.path(), None).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let packaged = dir.path().join(".serverless/cloudformation-template-update-stack.json");
    std::fs::create_dir(packaged.parent().unwrap()).unwrap();
    std::fs::write(&packaged, "{\"Resources\": {}}").unwrap();
    for path in [dir.path().to_owned(), dir.path().join(".serverless")] {
        let found = find(&path, None).unwrap();
        let home = found.home.canonicalize().unwrap();
        assert_eq!((found.template, home), (packaged.clone(), dir.path().canonicalize().unwrap()));
    }
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
    let CodeSource::Path(code_dir) = &plan.functions[0].code else { panic!("a directory is expected") };
    assert!(code_dir.is_absolute(), "{}", code_dir.display());
    assert_eq!(code_dir.canonicalize().unwrap(), dir.join("src"));
}

/// A function with this code and a mapping, or without one.
fn mapped(property: &str, is_mapped: bool) -> String {
    let events = "Events: {E: {Type: DynamoDB, Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: LATEST}}}";
    let table = "
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: table
      AttributeDefinitions: [{AttributeName: a, AttributeType: S}]
      KeySchema: [{AttributeName: a, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
";
    let events = if is_mapped { events } else { "" };
    format!("{}      {events}{table}", function_with(property))
}

#[test]
fn code_that_is_not_there_is_told_at_start_and_stops_only_what_is_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let shown = dir.display();
    for (property, expected) in [
        (
            "CodeUri: nothere/",
            format!(
                "Resources.F.Properties.CodeUri: function F: the code cannot be used: {shown}/nothere/: No such file or \
                 directory (os error 2)"
            ),
        ),
        (
            "CodeUri: s3://bucket/a/code.zip",
            "Resources.F.Properties.CodeUri: function F: the code is in the bucket bucket, as a/code.zip: say which directory \
             of this machine that is (--resource bucket=DIR; `aws s3 cp s3://bucket/a/code.zip DIR/a/code.zip` fetches it), \
             or which store has it (--s3-endpoint URL, with the credentials of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
                .to_owned(),
        ),
    ] {
        let template = dir.join("template.yaml");
        std::fs::write(&template, mapped(property, true)).unwrap();
        assert_eq!(read(&template, &Options::default()).unwrap_err().to_string(), expected);
        std::fs::write(&template, mapped(property, false)).unwrap();
        let plan = read(&template, &Options::default()).unwrap();
        assert_eq!(plan.functions, []);
        assert_eq!(plan.skipped, [format!("{expected}; no mapping uses the function: it is left out")]);
    }
}

#[test]
fn an_object_of_a_bucket_is_found_where_tools_leave_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for directory in ["asset.0123abcd", "asset.4567", "bucket/a", "asset.listed"] {
        std::fs::create_dir_all(dir.join(directory)).unwrap();
    }
    std::fs::write(dir.join("orders.zip"), "").unwrap();
    std::fs::write(dir.join("bucket/a/code.zip"), "").unwrap();
    let assets = r#"{"version": "39.0.0", "dockerImages": {}, "files": {"89ef": {"displayName": "F/Code",
        "source": {"path": "asset.listed", "packaging": "zip"},
        "destinations": {"current_account-current_region": {"bucketName": "cdk-x", "objectKey": "prefix/89ef.zip"}}}}}"#;
    std::fs::write(dir.join("Stack.assets.json"), assets).unwrap();
    let mut options = Options::default();
    options.resources.insert("mine".to_owned(), dir.join("bucket").display().to_string());
    for (uri, expected) in [
        ("s3://cdk-assets/0123abcd.zip", "asset.0123abcd"),
        ("s3://cdk-x/prefix/89ef.zip", "asset.listed"),
        ("s3://serverless/app/dev/17-2026/orders.zip", "orders.zip"),
        ("s3://mine/a/code.zip", "bucket/a/code.zip"),
    ] {
        std::fs::write(dir.join("template.yaml"), mapped(&format!("CodeUri: {uri}"), true)).unwrap();
        let plan = read(&dir.join("template.yaml"), &options).unwrap();
        assert_eq!(plan.functions[0].code, CodeSource::Path(dir.join(expected)), "{uri}");
    }
    std::fs::write(dir.join("template.yaml"), mapped("CodeUri: s3://mine/b.zip", true)).unwrap();
    let error = read(&dir.join("template.yaml"), &options).unwrap_err().to_string();
    assert!(error.contains("the bucket mine is ") && error.ends_with("bucket/b.zip is not there"), "{error}");
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

#[test]
fn devices_and_pipes_are_read_to_a_limit_and_not_included() {
    let zero = Path::new("/dev/zero");
    assert_eq!(read_included(zero).unwrap_err().to_string(), "it is not a regular file");
    assert_eq!(read_parameters(zero, CONFIG_ENVIRONMENT).unwrap_err(), "it is larger than 1048576 bytes");
    let error = read(zero, &Options::default()).unwrap_err().to_string();
    assert_eq!(error, "cannot read the template /dev/zero: it is larger than 1048576 bytes");
}

/// It is not read by itself; that it has something to say, or nothing that can be understood, is told.
#[test]
fn what_a_file_of_parameters_beside_the_template_has_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("template.yaml");
    std::fs::write(&template, "Parameters: {Stage: {Type: String, Default: dev}}\nResources: {}").unwrap();
    let config = dir.path().join("samconfig.toml");
    let told = |text: &str, given: &[(&str, &str)]| {
        std::fs::write(&config, text).unwrap();
        let parameters = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let beside = parameters_file_beside(&template);
        let options = Options { parameters_file_beside: beside, parameters, ..Options::default() };
        read(&template, &options).unwrap().skipped
    };
    let shown = format!("{} beside the template is not read by itself", config.display());
    let values = "[default.deploy.parameters]\nparameter_overrides = 'Stage=prod'\n";
    let takes = format!("{shown}: --parameters-file {} takes its values (Stage)", config.display());
    assert_eq!(told(values, &[]), [takes]);
    assert_eq!(told(values, &[("Stage", "test")]), [""; 0], "nothing of it is missed");
    assert_eq!(told("[default.deploy.parameters]\nstack_name = 'x'\n", &[]), [""; 0]);
    let malformed = told("a = = b\n", &[]);
    assert!(malformed[0].starts_with(&format!("{shown}, nor could it be: ")), "{malformed:?}");
}
