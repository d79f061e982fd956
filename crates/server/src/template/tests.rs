use super::*;

/// Reads one template.
fn read(file: &Path, options: &Options) -> Result<Plan, TemplateFileError> {
    super::read(&Templates::one(file), options)
}

/// The one file that was found.
#[track_caller]
fn file(found: &Found) -> &Path {
    let [stack] = found.templates.chosen.as_slice() else { panic!("{found:?}") };
    &stack.file
}

fn function_with(property: &str) -> String {
    format!(
        r"
Transform: AWS::Serverless-2016-10-31
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
    let error = find(dir.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("looked for .aws-sam/build/template.yaml, template.yaml, template.yml"), "{error}");
    std::fs::create_dir_all(dir.path().join(".aws-sam/build")).unwrap();
    for name in ["template.json", "template.yml", "template.yaml", ".aws-sam/build/template.yaml"] {
        let text = if name.ends_with("json") { "{\"Resources\": {}}" } else { "Resources: {}" };
        std::fs::write(dir.path().join(name), text).unwrap();
        let found = find(dir.path(), &[]).unwrap();
        assert_eq!((file(&found), found.home.as_path()), (dir.path().join(name).as_path(), dir.path()));
        assert_eq!(read(file(&found), &Options::default()).unwrap(), Plan::default());
    }
    let built = dir.path().join(".aws-sam/build/template.yaml");
    std::fs::write(&built, function_with("CodeUri: F")).unwrap();
    std::fs::create_dir(dir.path().join(".aws-sam/build/F")).unwrap();
    let plan = read(&built, &Options::default()).unwrap();
    assert_eq!(plan.functions[0].code, CodeSource::Path(dir.path().join(".aws-sam/build/F")));
    let built = find(&dir.path().join(".aws-sam/build"), &[]).unwrap();
    assert_eq!(built.home, dir.path().canonicalize().unwrap(), "what is to stay is not among what is built");
}

#[test]
fn a_file_is_a_template_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, text) in [("app.template", "{\"Resources\": {}}"), ("stack.cfn", "Resources: {}")] {
        std::fs::write(dir.join(name), text).unwrap();
        let found = find(&dir.join(name), &[]).unwrap();
        assert_eq!((file(&found), found.home.as_path()), (dir.join(name).as_path(), dir));
        assert_eq!(read(file(&found), &Options::default()).unwrap(), Plan::default());
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
    assert_eq!(find(dir, &[]).unwrap().notices, [""; 0]);
    write("src/app.py", 4);
    let (built, own) = (dir.join(".aws-sam/build/template.yaml"), dir.join("template.yaml"));
    let told =
        format!("{} is older than src/app.py: run `sam build`, or start with {}", built.display(), own.display());
    assert_eq!(find(dir, &[]).unwrap().notices, [told]);
}

#[test]
fn what_the_cdk_and_serverless_built_is_told_when_it_is_older_than_its_sources() {
    for (built, command) in [
        ("cdk.out/assembly-Dev/Orders.template.json", "cdk synth"),
        (".serverless/cloudformation-template-update-stack.json", "serverless package"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let write = |name: &str, seconds: u64| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "{\"Resources\": {}}").unwrap();
            let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        };
        write("src/app.ts", 2);
        write(built, 3);
        let built = dir.join(built);
        assert_eq!(find(&built, &[]).unwrap().notices, [""; 0]);
        write("src/app.ts", 4);
        let told = format!("{} is older than src/app.ts: run `{command}`", built.display());
        let found = find(&built, &[]).unwrap();
        assert_eq!((found.notices, found.home), (vec![told], dir));
    }
}

#[test]
fn the_file_of_a_tool_stands_for_what_the_tool_makes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (file, hint) in [
        ("serverless.yml", "run `serverless package` first"),
        ("cdk.json", "run `cdk synth` first"),
        ("main.tf", "this is a Terraform project"),
    ] {
        let project = dir.join(file.replace('.', "-"));
        std::fs::create_dir(&project).unwrap();
        std::fs::write(project.join(file), "service: orders").unwrap();
        for path in [&project, &project.join(file)] {
            let error = find(path, &[]).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
    let project = dir.join("serverless-yml");
    std::fs::create_dir(project.join(".serverless")).unwrap();
    let packaged = project.join(".serverless/cloudformation-template-update-stack.json");
    std::fs::write(&packaged, "{\"Resources\": {}}").unwrap();
    assert_eq!(find(&project.join("serverless.yml"), &[]).unwrap().templates, Templates::one(packaged));
    // Somebody's template may be called so.
    let own = dir.join("serverless.yaml");
    let resources = "Resources:\n  T: {Type: AWS::DynamoDB::Table}\n";
    std::fs::write(&own, resources).unwrap();
    assert_eq!(find(&own, &[]).unwrap().templates, Templates::one(&own));
    std::fs::write(&own, format!("service: orders\nresources:\n  {}", resources.replace('\n', "\n  "))).unwrap();
    assert!(find(&own, &[]).unwrap_err().to_string().contains("run `serverless package` first"));
}

#[test]
fn what_terraform_keeps_for_itself_is_told_with_what_makes_a_template_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let how = "run `terraform plan -out tfplan && terraform show -json tfplan > tfplan.json`";
    let stream =
        b"{\"@level\":\"info\",\"@message\":\"Terraform 1.9.0\",\"type\":\"version\"}\n{\"@level\":\"info\"}\n";
    let state =
        br#"{"version": 4, "terraform_version": "1.9.0", "serial": 3, "lineage": "x", "outputs": {}, "resources": []}"#;
    let large = [&b"PK\x03\x04\x14\x00tfplan"[..], &[0xff; 2 * 1024 * 1024]].concat();
    for (name, content, expected) in [
        (
            "tfplan",
            &large[..],
            "a plan of Terraform, which only Terraform reads: `terraform show -json FILE > tfplan.json` writes what is read here",
        ),
        ("plan.json", stream, &format!("what `terraform plan -json` tells while it works, and no plan: {how}")),
        (
            "terraform.tfstate",
            state,
            "a state as Terraform keeps it: `terraform show -json FILE > tfplan.json` writes what is read here",
        ),
        (
            "main.tf",
            b"resource \"aws_dynamodb_table\" \"orders\" {\n}\n",
            &format!("a configuration of Terraform: {how}"),
        ),
        ("app.zip", b"PK\x03\x04\x14\x00app.py", "a zip archive"),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, content).unwrap();
        let shown = file.display().to_string();
        let error = read(&file, &Options::default()).unwrap_err().to_string();
        assert_eq!(error, format!("{shown} is no template, but {}", expected.replace("FILE", &shown)));
    }
}

#[test]
fn an_archive_that_terraform_has_not_built_is_told_with_what_builds_it() {
    let dir = tempfile::tempdir().unwrap();
    let values = |kind: &str, more: &str| {
        format!(
            r#"{{"address": "{kind}.x", "mode": "managed", "type": "{kind}", "values": {{
                "function_name": "worker", "starting_position": "LATEST", "handler": "a.b", "runtime": "python3.12", {more}}}}}"#
        )
    };
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000";
    let function = values("aws_lambda_function", r#""filename": "builds/worker.zip""#);
    let mapping = values("aws_lambda_event_source_mapping", &format!(r#""event_source_arn": "{arn}""#));
    let file = dir.path().join("tfplan.json");
    let plan = r#"{"terraform_version": "1.9.0", "planned_values": {"root_module": {"resources": ["#;
    std::fs::write(&file, format!("{plan}{function}, {mapping}]}}}}}}")).unwrap();
    let error = read(&file, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("builds/worker.zip: No such file or directory"), "{error}");
    assert!(error.contains("`terraform apply -target module.NAME.null_resource.archive`"), "{error}");
}

/// A plan tells each resource several times: it may be larger than a template of CloudFormation.
#[test]
fn a_plan_of_terraform_may_be_larger_than_a_template() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, beginning: &str| {
        let file = dir.path().join(name);
        let filler = " ".repeat(2 * 1024 * 1024);
        std::fs::write(&file, format!("{beginning}{filler}}}")).unwrap();
        super::read(&Templates::one(file), &Options::default())
    };
    assert!(read("tfplan.json", r#"{"terraform_version": "1.9.0", "planned_values": {}"#).is_ok());
    let error = read("template.json", r#"{"Resources": {}"#).unwrap_err().to_string();
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
}

/// As `tailrace up --template <(command)` gives it: it can be read once.
#[test]
fn a_template_may_come_by_a_pipe() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let text =
        format!("{}Resources:\n  Orders: {{Type: AWS::Serverless::SimpleTable}}\n", "# a long head\n".repeat(1000));
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, text.as_bytes()));
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
    assert_eq!(read(&path, &Options::default()).unwrap().tables.len(), 1);
    writing.join().unwrap().unwrap();
}

#[test]
fn templates_under_other_names_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let template = "Resources:\n  T: {Type: AWS::DynamoDB::Table}\n";
    std::fs::create_dir_all(dir.join("infra/stacks")).unwrap();
    std::fs::create_dir_all(dir.join("node_modules/x")).unwrap();
    std::fs::write(dir.join("node_modules/x/template.yaml"), template).unwrap();
    std::fs::write(dir.join("docker-compose.yml"), "services: {}").unwrap();
    let error = || find(dir, &[]).unwrap_err().to_string();
    assert!(error().ends_with(", tfplan.json, .amplify/artifacts/cdk.out/manifest.json"), "{}", error());
    let deep = dir.join("infra/stacks/orders.yaml");
    std::fs::write(&deep, template).unwrap();
    assert!(error().ends_with(&format!("; did you mean {}?", deep.display())), "{}", error());
    let own = dir.join("stack.yml");
    std::fs::write(&own, template).unwrap();
    let expected = format!("; there are templates: {}, {}", own.display(), deep.display());
    assert!(error().ends_with(&expected), "{}", error());
}

#[test]
fn projects_below_a_directory_are_named_with_what_makes_templates_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::create_dir_all(dir.join("backend/infra")).unwrap();
    std::fs::create_dir_all(dir.join("services/orders")).unwrap();
    std::fs::write(dir.join("backend/infra/cdk.json"), "{}").unwrap();
    std::fs::write(dir.join("services/orders/serverless.yml"), "service: orders").unwrap();
    let error = || find(dir, &[]).unwrap_err().to_string();
    let expected = format!(
        "; {} is a CDK project: run `cdk synth` first; {} is a Serverless project: run `serverless package` first",
        dir.join("backend/infra").display(),
        dir.join("services/orders").display()
    );
    assert!(error().ends_with(&expected), "{}", error());
    // What is built is named before, and an assembly as it is started.
    let out = dir.join("backend/cdk.out");
    assembly(&out);
    std::fs::write(out.join("Orders.template.json"), r#"{"Resources": {"T": {"Type": "AWS::DynamoDB::Table"}}}"#)
        .unwrap();
    assert!(error().ends_with(&format!("; did you mean {}?", out.display())), "{}", error());
}

/// A cloud assembly with two stacks, of which the first in the order of names needs the other, and a stage with a third.
fn assembly(out: &Path) {
    std::fs::create_dir_all(out.join("assembly-Prod")).unwrap();
    let stack = |file: &str, properties: &str, display: &str, dependencies: &str| {
        format!(
            r#"{{"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region",
                "properties": {{"templateFile": "{file}"{properties}}}, "dependencies": [{dependencies}], "displayName": "{display}"}}"#
        )
    };
    let write = |path: &str, artifacts: &str| {
        let manifest = format!(r#"{{"version": "48.0.0", "artifacts": {{{artifacts}}}}}"#);
        std::fs::write(out.join(path), manifest).unwrap();
    };
    let assets = r#""Orders.assets": {"type": "cdk:asset-manifest", "properties": {"file": "Orders.assets.json"}}"#;
    let orders = stack("Orders.template.json", "", "Orders", r#""Tables", "Orders.assets""#);
    let tables = stack("Tables.template.json", "", "Tables", "");
    let stage = r#""assembly-Prod": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Prod", "displayName": "Prod"}}"#;
    write("manifest.json", &format!(r#"{assets}, "Orders": {orders}, {stage}, "Tables": {tables}"#));
    let of_stage = stack(
        "ProdBills1.template.json",
        r#", "stackName": "Prod-Bills""#,
        "Prod/Bills (Prod-Bills)",
        r#""ProdBills1.assets""#,
    );
    write("assembly-Prod/manifest.json", &format!(r#""ProdBills1": {of_stage}"#));
}

/// Stages have stacks of one name on AWS: a name has always been that of one, whose tables are called as if it were alone.
#[test]
fn a_name_that_stacks_of_several_stages_have_is_that_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cdk.out");
    let (mut stages, mut names) = (Vec::new(), Vec::new());
    for stage in ["Dev", "Prod"] {
        let folder = out.join(format!("assembly-{stage}"));
        std::fs::create_dir_all(&folder).unwrap();
        let stack = format!(
            r#"{{"type": "aws:cloudformation:stack", "displayName": "{stage}/Orders (orders)",
                "properties": {{"templateFile": "{stage}.template.json", "stackName": "orders"}}}}"#
        );
        let manifest = format!(r#"{{"version": "48.0.0", "artifacts": {{"{stage}Orders": {stack}}}}}"#);
        std::fs::write(folder.join("manifest.json"), manifest).unwrap();
        stages.push(format!(
            r#""assembly-{stage}": {{"type": "cdk:cloud-assembly",
                "properties": {{"directoryName": "assembly-{stage}", "displayName": "{stage}"}}}}"#
        ));
        names.push(format!("{stage}/Orders"));
    }
    let manifest = format!(r#"{{"version": "48.0.0", "artifacts": {{{}}}}}"#, stages.join(", "));
    std::fs::write(out.join("manifest.json"), manifest).unwrap();
    let chosen = |wanted: &str| {
        let found = find(&out, &[wanted.to_owned()]).unwrap();
        found.templates.chosen.into_iter().map(|stack| stack.name).collect::<Vec<_>>()
    };
    assert_eq!(chosen("orders"), names[..1]);
    assert_eq!(chosen("*/Orders"), names);
}

/// An earlier version put it beside a template below a build directory.
#[test]
fn data_that_is_there_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let stage = dir.join("cdk.out/assembly-Dev");
    std::fs::create_dir_all(&stage).unwrap();
    assert_eq!(home_of(&stage), dir);
    std::fs::create_dir(stage.join(".tailrace")).unwrap();
    assert_eq!(home_of(&stage), stage);
}

#[test]
fn stacks_of_an_assembly_are_chosen_by_any_of_their_names_and_by_patterns() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cdk.out");
    assembly(&out);
    let found = |wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(|wanted| (*wanted).to_owned()).collect();
        let names = |stacks: Vec<StackFile>| stacks.into_iter().map(|stack| stack.name).collect::<Vec<_>>().join(" ");
        let found = find(&out, &wanted).map_err(|error| error.to_string())?;
        assert_eq!(found.home, dir.path().canonicalize().unwrap());
        Ok((names(found.templates.chosen), names(found.templates.others)))
    };
    let shown = out.display();
    for (wanted, chosen, others) in [
        (&["Orders"][..], "Orders", "Prod/Bills Tables"),
        (&["Prod/Bills"], "Prod/Bills", "Tables Orders"),
        (&["Prod-Bills"], "Prod/Bills", "Tables Orders"),
        (&["ProdBills1"], "Prod/Bills", "Tables Orders"),
        (&["Prod/*"], "Prod/Bills", "Tables Orders"),
        (&["*s"], "Tables Orders", "Prod/Bills"),
        (&["?rders", "T*b*s"], "Tables Orders", "Prod/Bills"),
        (&["**ls"], "Prod/Bills", "Tables Orders"),
        (&[ALL_STACKS], "Prod/Bills Tables Orders", ""),
    ] {
        assert_eq!(found(wanted), Ok((chosen.to_owned(), others.to_owned())), "{wanted:?}");
    }
    let has = "Orders, Prod/Bills, Tables";
    for wanted in ["Bill", "Prod", "*/Orders", ""] {
        let expected = format!("{shown} has no stack {wanted}: it has {has}");
        assert_eq!(found(&["Tables", wanted]), Err(expected), "{wanted:?}");
    }
    let choose = "choose with --stack, which may be repeated and takes patterns, or all of them with --all-stacks";
    assert_eq!(found(&[]), Err(format!("{shown} has 3 stacks: {choose}: {has}")));

    let of_stage = find(&out.join("manifest.json"), &["Prod-Bills".to_owned()]).unwrap();
    let expected = StackFile {
        name: "Prod/Bills".to_owned(),
        stack_name: "Prod-Bills".to_owned(),
        file: out.join("assembly-Prod/ProdBills1.template.json"),
    };
    assert_eq!(of_stage.templates.chosen, [expected]);
    assert_eq!(
        file(&find(&out.join("assembly-Prod"), &[]).unwrap()),
        out.join("assembly-Prod/ProdBills1.template.json")
    );
    let template = dir.path().join("template.yaml");
    std::fs::write(&template, "Resources: {}").unwrap();
    let error = find(dir.path(), &["Orders".to_owned()]).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("--stack Orders chooses among the stacks of a cdk.out, and {} is one template", template.display())
    );
    assert_eq!(file(&find(dir.path(), &[ALL_STACKS.to_owned()]).unwrap()), template);
}

#[test]
fn several_templates_have_names_and_their_faults_have_places() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["data/template.yaml", "my app/template.yaml", "data/queue.template.yaml", "more/data/template.yaml"];
    let paths: Vec<PathBuf> = paths.iter().map(|path| dir.path().join(path)).collect();
    for path in &paths {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "Resources:\n  Q: {Type: AWS::SQS::Queue}\n").unwrap();
    }
    let found = find_all(&paths, &[]).unwrap();
    let names: Vec<&str> = found.templates.chosen.iter().map(|stack| stack.stack_name.as_str()).collect();
    assert_eq!(names, ["data", "my-app", "queue", "data-2"]);
    assert_eq!(found.home, dir.path().join("data"));
    std::fs::write(&paths[2], function_with("CodeUri: .\n      Timeout: 0")).unwrap();
    std::fs::write(&paths[1], "Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n").unwrap();
    let error = super::read(&found.templates, &Options::default()).unwrap_err().to_string();
    assert_eq!(error, "my-app: Resources.T.Properties.KeySchema: this property is required (line 2)");
}

#[test]
fn a_project_that_is_not_built_yet_is_told_how() {
    for (file, expected) in [
        ("serverless.yml", "; this is a Serverless project: run `serverless package` first"),
        ("cdk.json", "; this is a CDK project: run `cdk synth` first"),
        ("manifest.json", ", tfplan.json, .amplify/artifacts/cdk.out/manifest.json"),
        (
            "amplify/backend.ts",
            "; this is an Amplify project: `npx ampx sandbox` makes .amplify/artifacts/cdk.out, which is read here (and deploys to AWS)",
        ),
        (
            "sst.config.ts",
            "; this is an SST project: of SST 2, `npx sst build --to cdk.out` makes what is read here; SST 3 makes no template, so \
             that its tables and functions have to be written in one (`tailrace init` shows how)",
        ),
        (
            "Pulumi.yaml",
            "; this is a Pulumi project, and Pulumi makes no template: its tables and functions have to be written in one \
             (`tailrace init` shows how)",
        ),
        (
            ".chalice/config.json",
            "; this is a Chalice project: run `chalice package build && tailrace up build/sam.json`",
        ),
        (
            "cdktf.json",
            "; this is a project of the CDK for Terraform: run `cdktf synth`, and `terraform plan -out tfplan && terraform show \
             -json tfplan > tfplan.json` in cdktf.out/stacks/NAME",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(file), "{\"name\": \"a page\"}").unwrap();
        let error = find(dir.path(), &[]).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let packaged = dir.path().join(".serverless/cloudformation-template-update-stack.json");
    std::fs::create_dir(packaged.parent().unwrap()).unwrap();
    std::fs::write(&packaged, "{\"Resources\": {}}").unwrap();
    for path in [dir.path().to_owned(), dir.path().join(".serverless")] {
        let found = find(&path, &[]).unwrap();
        let home = found.home.canonicalize().unwrap();
        assert_eq!((file(&found), home), (packaged.as_path(), dir.path().canonicalize().unwrap()));
    }
}

/// Its assembly lies deeper than the CDK's, and what is to stay beside it in the project.
#[test]
fn what_amplify_made_is_found_in_its_project() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let out = dir.join(".amplify/artifacts/cdk.out");
    std::fs::create_dir_all(&out).unwrap();
    let stack = r#"{"type": "aws:cloudformation:stack", "displayName": "amplify-app-me-sandbox",
        "properties": {"templateFile": "amplify-app-me-sandbox.template.json"}}"#;
    let manifest = format!(r#"{{"version": "48.0.0", "artifacts": {{"amplify-app-me-sandbox": {stack}}}}}"#);
    std::fs::write(out.join("manifest.json"), manifest).unwrap();
    for path in [&dir, &out] {
        let found = find(path, &[]).unwrap();
        assert_eq!(file(&found), out.join("amplify-app-me-sandbox.template.json"));
        assert_eq!(found.home.canonicalize().unwrap(), dir);
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
      BillingMode: PAY_PER_REQUEST
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
    let unreadable = read_parameters(zero, CONFIG_ENVIRONMENT).unwrap_err();
    assert!(matches!(unreadable, ParametersFileError::Unreadable(_)));
    assert_eq!(unreadable.to_string(), "it is larger than 1048576 bytes");
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
