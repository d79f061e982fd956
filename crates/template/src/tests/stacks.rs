//! Stacks inside of a stack.

use super::*;

/// The templates that are inside of others, by their paths.
fn inner(path: &Path) -> std::io::Result<String> {
    let text = match path.to_str().unwrap_or_default() {
        "/app/data.yaml" | "/app/again/data.yaml" => {
            r"
Parameters: {Name: {Type: String, Default: orders, AllowedPattern: '[a-z]*'}, Unused: {Type: String}}
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Ref Name
      AttributeDefinitions: [{AttributeName: a, AttributeType: S}]
      KeySchema: [{AttributeName: a, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Q: {Type: AWS::SQS::Queue}
Outputs: {Stream: {Value: !GetAtt T.StreamArn}, Queue: {Value: !Ref Q}}
"
        }
        "/app/work/work.yaml" => {
            r"
Transform: AWS::Serverless-2016-10-31
Parameters: {Stream: {Type: String}}
Resources:
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: python3.12
      CodeUri: src
      Environment: {Variables: {STREAM: !Ref Stream}}
      Events: {E: {Type: DynamoDB, Properties: {Stream: !Ref Stream, StartingPosition: LATEST}}}
"
        }
        "/app/circle.yaml" => {
            "Resources: {C: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: circle.yaml}}}"
        }
        _ => return Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    Ok(text.to_owned())
}

fn options() -> Options {
    Options {
        read: inner,
        locate: |dir, _, source| match source {
            CodeSource::Object { key, .. } if key == "data.json" => Ok(CodeSource::Path(dir.join("data.yaml"))),
            source => Ok(source.clone()),
        },
        ..Options::default()
    }
}

fn stacks(resources: &str) -> Result<Plan, TemplateError> {
    plan_with(&format!("Transform: AWS::Serverless-2016-10-31\nResources:\n{resources}"), &options())
}

const DATA: &str = "  Data: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: ./data.yaml}}\n";
const WORK: &str = "  Work:
    Type: AWS::Serverless::Application
    Properties: {Location: work/work.yaml, Parameters: {Stream: !GetAtt Data.Outputs.Stream}}
";

#[test]
fn the_stream_of_one_stack_goes_to_the_function_of_another() {
    // In either order of the text.
    for resources in [format!("{DATA}{WORK}"), format!("{WORK}{DATA}")] {
        let plan = stacks(&resources).unwrap();
        let table = &plan.tables[0];
        assert_eq!((table.logical_id.as_str(), table.name()), ("Data/T", "orders"));
        let function = &plan.functions[0];
        assert_eq!((function.logical_id.as_str(), function.name.as_str()), ("Work/Fn", "Work-Fn"));
        assert_eq!(function.code, CodeSource::Path("/app/work/src".into()));
        assert_eq!(function.code_path, "work/work.yaml: Resources.Fn.Properties.CodeUri");
        assert_eq!(function.environment["STREAM"].0, [Part::StreamOf("Data/T".into())]);
        let mapping = &plan.mappings[0];
        assert_eq!((mapping.logical_id.as_str(), mapping.function.as_str()), ("Work/FnE", "Work-Fn"));
        assert_eq!(mapping.source, Source::StreamOf("Data/T".into()));
        assert_eq!(plan.skipped, ["data.yaml: Resources.Q: AWS::SQS::Queue is not supported; skipped"]);
        let mut files = plan.files.clone();
        files.sort();
        files.dedup();
        assert_eq!(files, [Path::new("/app/data.yaml"), Path::new("/app/work/work.yaml")]);
    }
}

#[test]
fn a_template_is_found_by_its_asset_and_by_its_object() {
    for url in [
        "Properties: {TemplateURL: nowhere.yaml}, Metadata: {'aws:asset:path': data.yaml, 'aws:asset:property': TemplateURL}",
        "Properties: {TemplateURL: !Sub 'https://s3.${AWS::Region}.${AWS::URLSuffix}/assets-${AWS::AccountId}/data.json'}",
        "Properties: {TemplateURL: 's3://assets/data.json'}",
    ] {
        let plan = stacks(&format!("  Data: {{Type: AWS::CloudFormation::Stack, {url}}}\n")).unwrap();
        assert_eq!(plan.tables[0].logical_id, "Data/T", "{url}");
    }
}

#[test]
fn a_template_that_is_elsewhere_is_named_and_one_that_cannot_be_read_stops() {
    for (location, place) in [
        ("{ApplicationId: a, SemanticVersion: 1.0.0}", "a"),
        ("https://s3.amazonaws.com/b/other.json", "s3://b/other.json"),
    ] {
        let elsewhere = format!("  A: {{Type: AWS::Serverless::Application, Properties: {{Location: {location}}}}}\n");
        let plan = stacks(&elsewhere).unwrap();
        assert_eq!(plan.skipped, [format!("Resources.A: its template is not here ({place}); the stack is skipped")]);
    }
    let error = |resources: &str| stacks(resources).unwrap_err().to_string();
    let stack = |url: &str| format!("  A: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {url}}}}}\n");
    assert_eq!(error(&stack("missing.yaml")), "Resources.A.Properties.TemplateURL: missing.yaml: entity not found");
    let circle = error(&stack("circle.yaml"));
    assert!(circle.ends_with("the stacks go too deep, or in a circle"), "{circle}");
    let wrong = error(&format!("{DATA}{}", WORK.replace("Outputs.Stream", "Outputs.Strem")));
    assert_eq!(wrong, "data.yaml: Outputs: there is no output Strem; did you mean Stream?");
    let parameter = DATA.replace("}}\n", ", Parameters: {Name: BIG}}}\n");
    assert_eq!(error(&parameter), "data.yaml: Parameters.Name: \"BIG\" does not match AllowedPattern \"[a-z]*\"");
}

#[test]
fn two_stacks_of_one_template_keep_apart_and_parameters_reach_them() {
    let two =
        "  One: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: data.yaml, Parameters: {Name: ones}}}
  Two: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: data.yaml, Parameters: {Name: twos}}}
";
    let plan = stacks(two).unwrap();
    let tables: Vec<_> = plan.tables.iter().map(|table| (table.logical_id.as_str(), table.name())).collect();
    assert_eq!(tables, [("One/T", "ones"), ("Two/T", "twos")]);
    let queue = "  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: a.b
      Runtime: python3.12
      Environment: {Variables: {QUEUE: !GetAtt Data.Outputs.Queue}}
";
    let mut options = options();
    options.resources.insert("Data/Q".to_owned(), "given".to_owned());
    let plan = plan_with(&format!("Resources:\n{DATA}{queue}"), &options).unwrap();
    assert_eq!(plan.functions[0].environment["QUEUE"].as_literal().unwrap(), "given");
}

#[test]
fn the_names_of_the_cdk_are_short_and_never_too_long() {
    let template = |id: &str| {
        let stack = format!(
            "  {id}: {{Type: AWS::Serverless::Application, Properties: {{Location: work/work.yaml, Parameters: {{Stream: !GetAtt Data.Outputs.Stream}}}}}}\n"
        );
        stacks(&format!("{DATA}{stack}")).unwrap().functions[0].name.clone()
    };
    assert_eq!(template("WorkersNestedStackWorkersNestedStackResourceCEAEF017"), "Workers-Fn");
    let (one, other) = (template(&"x".repeat(80)), template(&"x".repeat(81)));
    assert_eq!((one.len(), other.len()), (64, 64));
    assert!(one != other && one.ends_with("xx-Fn"), "{one} {other}");
}

thread_local! {
    /// The templates that [`counted`] read.
    static READ: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// As [`inner`], with one template around another, and remembers what it read.
fn counted(path: &Path) -> std::io::Result<String> {
    READ.with_borrow_mut(|read| read.push(path.display().to_string()));
    match path.to_str().unwrap_or_default() {
        "/app/middle.yaml" => {
            Ok(format!("Resources:\n{DATA}Outputs: {{Stream: {{Value: !GetAtt Data.Outputs.Stream}}}}"))
        }
        _ => inner(path),
    }
}

/// However often its resources and outputs are asked for, by whom and at what level.
#[test]
fn each_template_inside_is_read_once() {
    let options = Options { read: counted, ..options() };
    let template = "
Resources:
  Middle: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: middle.yaml}}
  Work:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: work/work.yaml, Parameters: {Stream: !GetAtt Middle.Outputs.Stream}}
";
    let plan = plan_with(template, &options).unwrap();
    assert_eq!((plan.tables.len(), plan.functions.len(), plan.mappings.len()), (1, 1, 1));
    let mut read = READ.take();
    read.sort();
    assert_eq!(read, ["/app/data.yaml", "/app/middle.yaml", "/app/work/work.yaml"]);
}

/// Ten stacks, in each of them ten, and so on: told once there are too many, and not read for hours.
#[test]
fn stacks_that_multiply_have_a_bound() {
    fn read(path: &Path) -> std::io::Result<String> {
        READ.with_borrow_mut(|read| read.push(path.display().to_string()));
        let next = match path.to_str().unwrap_or_default() {
            "/app/a.yaml" => "b.yaml",
            "/app/b.yaml" => "c.yaml",
            "/app/c.yaml" => "d.yaml",
            _ => return Ok("Resources: {}\n".to_owned()),
        };
        let stack =
            |n: u32| format!("  S{n}: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {next}}}}}\n");
        Ok(format!("Resources:\n{}", (0..10).map(stack).collect::<String>()))
    }
    let options = Options { read, ..options() };
    let template = "Resources:\n  A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: a.yaml}}\n";
    let error = plan_with(template, &options).unwrap_err().to_string();
    assert!(error.ends_with("the template has more than 500 stacks"), "{error}");
    assert_eq!(READ.take().len(), 500);
}

#[test]
fn what_a_stack_inside_lacks_is_told_with_what_gives_it() {
    let without = WORK.replace(", Parameters: {Stream: !GetAtt Data.Outputs.Stream}", "");
    let error = stacks(&without).unwrap_err().to_string();
    let why = "the parameter Stream has no default and no value; give it among the Parameters of the stack Work";
    assert!(error.ends_with(why), "{error}");
    // A stand-in of a stack inside is given for the stack and the resource.
    let queue = "  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: a.b
      Runtime: python3.12
      Environment: {Variables: {QUEUE: !GetAtt Data.Outputs.Queue}}
";
    let plan = stacks(&format!("{DATA}{queue}")).unwrap();
    let told = plan.skipped.iter().find(|line| line.contains("QUEUE")).unwrap();
    assert!(told.ends_with("; give it with --resource Data/Q=VALUE"), "{told}");
}

#[test]
fn the_stream_of_a_stack_that_is_elsewhere_can_be_given() {
    let data = DATA.replace("./data.yaml", "https://s3.amazonaws.com/b/other.yaml");
    let plan = stacks(&format!("{data}{WORK}")).unwrap();
    assert_eq!(plan.mappings, []);
    let told = "work/work.yaml: Resources.Fn.Properties.Events.E.Properties.Stream: records of Data.Outputs.Stream \
                (AWS::CloudFormation::Stack) are not delivered here; the mapping is skipped; --resource Data.Outputs.Stream=VALUE gives \
                the ARN of a table's stream";
    assert!(plan.skipped.iter().any(|line| line == told), "{:#?}", plan.skipped);
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000";
    let mut options = options();
    options.resources.insert("Data.Outputs.Stream".to_owned(), arn.to_owned());
    let plan =
        plan_with(&format!("Transform: AWS::Serverless-2016-10-31\nResources:\n{data}{WORK}"), &options).unwrap();
    assert_eq!(plan.mappings[0].source, Source::Arn(StreamArn::new(arn)));
}

/// As an export does between stacks that are deployed apart; in any order of the text, and beside a stack that asks for it itself.
#[test]
fn what_a_stack_inside_exports_another_imports() {
    fn read(path: &Path) -> std::io::Result<String> {
        match path.to_str().unwrap_or_default() {
            "/app/exports.yaml" => {
                let data = inner(Path::new("/app/data.yaml"))?;
                Ok(data.replace(
                    "Stream: {Value: !GetAtt T.StreamArn}",
                    "Stream: {Value: !GetAtt T.StreamArn, Export: {Name: orders-stream}}",
                ))
            }
            "/app/work/imports.yaml" => {
                let work = inner(Path::new("/app/work/work.yaml"))?;
                Ok(work
                    .replace("Parameters: {Stream: {Type: String}}", "")
                    .replace("!Ref Stream", "!ImportValue orders-stream"))
            }
            "/app/middle.yaml" => {
                Ok("Resources:\n  Data: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: exports.yaml}}"
                    .to_owned())
            }
            _ => inner(path),
        }
    }
    let options = Options { read, ..options() };
    let data = "  Middle: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: middle.yaml}}\n";
    let by_import = "  Imports: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: work/imports.yaml}}\n";
    let by_parameter = WORK.replace("!GetAtt Data.Outputs.Stream", "!ImportValue orders-stream");
    for resources in [format!("{data}{by_import}{by_parameter}"), format!("{by_parameter}{by_import}{data}")] {
        let text = format!("Transform: AWS::Serverless-2016-10-31\nResources:\n{resources}");
        let plan = plan_with(&text, &options).unwrap();
        let sources: Vec<&Source> = plan.mappings.iter().map(|mapping| &mapping.source).collect();
        assert_eq!(sources, [&Source::StreamOf("Middle/Data/T".into()); 2], "{:#?}", plan.skipped);
    }
    // A template that was looked for, and is not here, is told as it is without.
    let elsewhere = data.replace("middle.yaml", "https://s3.amazonaws.com/b/other.json");
    let function = "  F:
    Type: AWS::Serverless::Function
    Properties: {Handler: a.b, Runtime: python3.12, Environment: {Variables: {QUEUE: !ImportValue queue}}}
";
    let text = format!("Transform: AWS::Serverless-2016-10-31\nResources:\n{function}{elsewhere}");
    let plan = plan_with(&text, &options).unwrap();
    let told = plan
        .skipped
        .iter()
        .filter(|line| line.ends_with("its template is not here (s3://b/other.json); the stack is skipped"));
    assert_eq!(told.count(), 1, "{:#?}", plan.skipped);
    let alone = format!("Resources:\n{by_import}");
    let error = plan_with(&alone, &options).unwrap_err().to_string();
    assert!(error.contains("give it with --resource import:orders-stream=VALUE"), "{error}");
}

/// Whoever looks for an export does not ask a stack that has none what it gets: that may be an export whose place is not known yet.
#[test]
fn exports_of_stacks_inside_are_found_in_any_order() {
    const TABLE: &str = "
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: a, AttributeType: S}]
      KeySchema: [{AttributeName: a, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
";
    fn read(path: &Path) -> std::io::Result<String> {
        Ok(match path.to_str().unwrap_or_default() {
            // It has its parameter from the other, and exports nothing.
            "/app/takes.yaml" => {
                format!("Parameters: {{P: {{Type: String}}}}\nResources:\n  T:{TABLE}      TableName: !Ref P\n")
            }
            "/app/first.yaml" => "Resources: {}\nOutputs: {O: {Value: one, Export: {Name: first}}}\n".to_owned(),
            "/app/second.yaml" => "Parameters: {P: {Type: String}}
Resources: {}
Outputs: {O: {Value: !Sub 'two-of-${P}', Export: {Name: second}}}
"
            .to_owned(),
            _ => return Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        })
    }
    let options = Options { read, ..options() };
    let stack = |id: &str, file: &str, parameter: &str| {
        let parameters = match parameter {
            "" => String::new(),
            export => format!(", Parameters: {{P: !ImportValue {export}}}"),
        };
        format!("  {id}: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {file}{parameters}}}}}\n")
    };
    let mut parts = [
        stack("Takes", "takes.yaml", "second"),
        stack("Second", "second.yaml", "first"),
        stack("First", "first.yaml", ""),
        format!("  T:{TABLE}      TableName: !ImportValue first\n"),
    ];
    for n in 0..2 * parts.len() {
        parts.rotate_left(1);
        if n == parts.len() {
            parts.swap(0, 1);
        }
        let text = format!("Resources:\n{}", parts.concat());
        let plan = plan_with(&text, &options).unwrap();
        let mut names: Vec<&str> = plan.tables.iter().map(TablePlan::name).collect();
        names.sort_unstable();
        assert_eq!((names, plan.skipped.as_slice()), (vec!["one", "two-of-one"], &[][..]), "{text}");
    }
}
