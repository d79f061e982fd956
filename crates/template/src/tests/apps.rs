//! Several templates that are started together.

use super::*;

const DATA: &str = r#"{
 "Resources": {
  "OrdersA9B65338": {"Type": "AWS::DynamoDB::Table", "Properties": {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "StreamSpecification": {"StreamViewType": "NEW_IMAGE"}}},
  "TotalsX": {"Type": "AWS::DynamoDB::Table", "Properties": {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}},
  "Both": {"Type": "AWS::DynamoDB::Table", "Properties": {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}},
  "P4E0919BE": {"Type": "AWS::SSM::Parameter", "Properties": {
    "Name": "/app/stream", "Type": "String", "Value": {"Fn::GetAtt": ["OrdersA9B65338", "StreamArn"]}}},
  "Writer": {"Type": "Custom::CrossRegionExportWriter", "Properties": {"WriterProps": {
    "region": "us-west-2", "exports": {"/cdk/exports/Service/Datauseast1RefTotals": {"Ref": "TotalsX"}}}}}
 },
 "Outputs": {
  "ExportsStream": {"Value": {"Fn::GetAtt": ["OrdersA9B65338", "StreamArn"]}, "Export": {"Name": "Data:ExportsStream"}},
  "ExportsTotals": {"Value": {"Ref": "TotalsX"}, "Export": {"Name": {"Fn::Sub": "${AWS::StackName}:ExportsTotals"}}},
  "ExportsTotalsStream": {"Value": {"Fn::GetAtt": ["TotalsX", "StreamArn"]}, "Export": {"Name": "Data:TotalsStream"}},
  "Published": {"Value": {"Fn::GetAtt": ["OrdersA9B65338", "StreamArn"]}}
 }
}"#;

fn service(source: &str, variables: &str) -> String {
    format!(
        r#"{{"Parameters": {{"Stored": {{"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/app/stream"}}}},
 "Resources": {{
  "Reader": {{"Type": "Custom::CrossRegionExportReader", "Properties": {{}}}},
  "Both": {{"Type": "AWS::Lambda::Function", "Properties": {{"Code": {{"ZipFile": "def handler(e, c): pass"}},
    "Handler": "index.handler", "Runtime": "python3.12", "Environment": {{"Variables": {{{variables}}}}}}}}},
  "Mapping": {{"Type": "AWS::Lambda::EventSourceMapping", "Properties": {{"EventSourceArn": {source},
    "FunctionName": {{"Ref": "Both"}}, "StartingPosition": "LATEST"}}}}
 }}}}"#
    )
}

const IMPORT: &str = r#"{"Fn::ImportValue": "Data:ExportsStream"}"#;

fn stack(name: &str, text: &str) -> Stack {
    let (name, stack_name) = (name.to_owned(), name.replace('/', "-"));
    Stack { name, stack_name, format: Format::Json, text: text.to_owned(), dir: "/app".into() }
}

fn together(stacks: &[(&str, &str)], options: &Options) -> Result<Plan, TemplateError> {
    let stacks: Vec<Stack> = stacks.iter().map(|(name, text)| stack(name, text)).collect();
    parse_stacks(&stacks, &[], options)
}

#[track_caller]
fn both(service: &str) -> Plan {
    // The order does not matter to what is found.
    let options = Options::default();
    let plan = together(&[("Service", service), ("Data", DATA)], &options).unwrap_or_else(|error| panic!("{error}"));
    let other = together(&[("Data", DATA), ("Service", service)], &options).unwrap();
    assert_eq!((&plan.mappings, &plan.functions), (&other.mappings, &other.functions));
    plan
}

fn environment(plan: &Plan, name: &str) -> Option<String> {
    plan.functions[0].environment[name].resolve(|table| Some(StreamArn::new(format!("stream-of-{table}"))))
}

#[test]
fn what_a_stack_exports_another_imports_as_it_is() {
    for source in [
        IMPORT,
        r#"{"Fn::GetStackOutput": {"StackName": "Data", "Region": {"Ref": "AWS::Region"}, "OutputName": "Published"}}"#,
        r#"{"Ref": "Stored"}"#,
        r#""{{resolve:ssm:/app/stream}}""#,
    ] {
        let plan = both(&service(source, ""));
        assert_eq!(plan.mappings[0].source, Source::StreamOf("Data/OrdersA9B65338".to_owned()), "{source}");
        assert_eq!(plan.skipped, [""; 0], "{source}");
    }
    let variables = r#"
        "TOTALS": {"Fn::ImportValue": "Data:ExportsTotals"},
        "ACROSS": {"Fn::GetAtt": ["Reader", "/cdk/exports/Service/Datauseast1RefTotals"]},
        "PART": {"Fn::Sub": ["${S}/x", {"S": {"Fn::ImportValue": "Data:ExportsStream"}}]}"#;
    let plan = both(&service(IMPORT, variables));
    assert_eq!(environment(&plan, "TOTALS").as_deref(), Some("TotalsX"));
    assert_eq!(environment(&plan, "ACROSS").as_deref(), Some("TotalsX"));
    assert_eq!(environment(&plan, "PART").as_deref(), Some("stream-of-Data/OrdersA9B65338/x"));
}

#[test]
fn only_names_that_stacks_share_tell_the_stack() {
    let plan = both(&service(IMPORT, ""));
    let mut tables: Vec<(&str, &str)> =
        plan.tables.iter().map(|table| (table.logical_id.as_str(), table.name())).collect();
    tables.sort_unstable();
    let expected = [("Data/Both", "Data-Both"), ("Data/OrdersA9B65338", "OrdersA9B65338"), ("Data/TotalsX", "TotalsX")];
    assert_eq!(tables, expected);
    assert_eq!(
        (plan.functions[0].logical_id.as_str(), plan.functions[0].name.as_str()),
        ("Service/Both", "Service-Both")
    );
    assert_eq!(
        (plan.mappings[0].logical_id.as_str(), plan.mappings[0].function.as_str()),
        ("Service/Mapping", "Service-Both")
    );
    assert_eq!(plan.mappings[0].function_path, "Service: Resources.Mapping.Properties.FunctionName");
    assert_eq!(plan.stacks, ["Service", "Data"]);
    assert_eq!(
        ["Data/Both", "Service/Mapping", "Else"].map(|id| plan.stack_of(id)),
        [Some("Data"), Some("Service"), None]
    );
    // One stack alone has no name.
    let alone = together(&[("Data", DATA)], &Options::default()).unwrap();
    assert_eq!((alone.tables[2].logical_id.as_str(), alone.tables[2].name(), alone.stacks.len()), ("Both", "Both", 0));
}

#[test]
fn a_name_that_is_given_twice_and_what_is_wrong_name_their_stacks() {
    let named = DATA.replace(
        r#""TotalsX": {"Type": "AWS::DynamoDB::Table", "Properties": {"#,
        r#""TotalsX": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "totals", "#,
    );
    let check = |stacks: &[(&str, &str)], expected: &str| {
        assert_eq!(together(stacks, &Options::default()).unwrap_err().to_string(), expected);
    };
    check(
        &[("Prod/Data", &named), ("Test/Data", &named)],
        "Test/Data: Resources.TotalsX.Properties.TableName: the table name \"totals\" is taken by Prod/Data/TotalsX",
    );
    let no_stream = service(r#"{"Fn::ImportValue": "Data:TotalsStream"}"#, "");
    check(
        &[("Data", DATA), ("Service", &no_stream)],
        "Service: Resources.Mapping.Properties.EventSourceArn: the table Data/TotalsX has no StreamSpecification",
    );
    let wrong = service("{\"Ref\": \"Nothing\"}", "");
    check(
        &[("Data", DATA), ("Service", &wrong)],
        "Service: Resources.Mapping.Properties.EventSourceArn: there is no parameter and no resource Nothing",
    );
    check(
        &[("Data", DATA), ("Service", "{")],
        "Service: the template is malformed: EOF while parsing an object at line 1 column 1",
    );
    let one = r#"{"Resources": {}, "Outputs": {"A": {"Value": {"Fn::ImportValue": "b"}, "Export": {"Name": "a"}}}}"#;
    let other = r#"{"Outputs": {"B": {"Value": {"Fn::ImportValue": "a"}, "Export": {"Name": "b"}}}}"#;
    let taker = service(r#"{"Fn::ImportValue": "a"}"#, "");
    check(
        &[("One", one), ("Other", other), ("Service", &taker)],
        "Service: One: Other: Outputs.B.Value: the references between the stacks go too deep, or in a circle",
    );
}

#[test]
fn what_a_stack_exports_that_is_not_started_names_it() {
    let options = Options {
        read: |file| match file.to_str() {
            Some("/app/Data.template.json") => Ok(DATA.to_owned()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        },
        ..Options::default()
    };
    let other = |name: &str| StackFile {
        name: format!("Prod/{name}"),
        stack_name: name.to_owned(),
        file: format!("/app/{name}.template.json").into(),
    };
    let others = [other("Gone"), other("Data")];
    let variables = r#"
        "AA": {"Fn::ImportValue": "Data:ExportsTotals"}, "BB": {"Fn::ImportValue": "Else:Name"}, "CC": {"Ref": "Stored"},
        "DD": {"Fn::GetStackOutput": {"StackName": "Data", "OutputName": "Published"}}"#;
    let source = r#""arn:aws:dynamodb:us-east-1:000000000000:table/x/stream/2026-01-01T00:00:00.000""#;
    let plan = parse_stacks(&[stack("Service", &service(source, variables))], &others, &options).unwrap();
    assert_eq!(
        plan.skipped,
        [
            "function Both: AA is a stand-in for the export Data:ExportsTotals: ExportsTotals; give it with --stack \
             Prod/Data, which has it, or --resource import:Data:ExportsTotals=VALUE",
            "function Both: BB is a stand-in for the export Else:Name: Name; give it with --resource import:Else:Name=VALUE",
            "function Both: CC is a stand-in for the parameter Stored (AWS::SSM::Parameter::Value<String> /app/stream): stream; \
             give it with --stack Prod/Data, which has it, or --parameter Stored=VALUE",
            "function Both: DD is a stand-in for the output Published of the stack Data: Published; give it with --stack \
             Prod/Data, which has it, or --resource output:Data.Published=VALUE",
        ]
    );
    let error = parse_stacks(&[stack("Service", &service(IMPORT, ""))], &others, &options).unwrap_err().to_string();
    assert_eq!(
        error,
        "Resources.Mapping.Properties.EventSourceArn: its value is needed, and comes from the export Data:ExportsStream, which \
         is not here: give it with --stack Prod/Data, which has it, or --resource import:Data:ExportsStream=VALUE"
    );
}

#[test]
fn what_is_given_goes_to_the_stack_that_has_it() {
    let queue = r#"{"Parameters": {"Stage": {"Type": "String"}}, "Resources": {"Q": {"Type": "AWS::SQS::Queue"},
        "F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": "x"}, "Handler": "index.handler",
            "Runtime": "python3.12", "Environment": {"Variables": {"QUEUE": {"Ref": "Q"}, "STAGE": {"Ref": "Stage"}}}}}}}"#;
    let mut options = Options::default();
    options.parameters.insert("Stage".to_owned(), "test".to_owned());
    options.shared_parameters.insert("Other".to_owned(), "x".to_owned());
    options.resources.insert("A/B/Q".to_owned(), "of-a".to_owned());
    options.resources.insert("Q".to_owned(), "of-all".to_owned());
    let stacks = [("A/B", queue), ("C", queue), ("Data", DATA)];
    let plan = together(&stacks, &options).unwrap();
    let queues: Vec<(&str, String)> = plan
        .functions
        .iter()
        .map(|function| (function.name.as_str(), function.environment["QUEUE"].resolve(|_| None).unwrap()))
        .collect();
    assert_eq!(queues, [("A-B-F", "of-a".to_owned()), ("C-F", "of-all".to_owned())]);
    assert_eq!(plan.skipped[0], "Parameters.Other: no template has such a parameter; its value is not used");
    assert_eq!(plan.skipped[1], "A/B: Resources.Q: AWS::SQS::Queue is not supported; skipped");
    options.parameters.insert("C/Stage".to_owned(), "of-c".to_owned());
    let plan = together(&stacks, &options).unwrap();
    let stages = plan.functions.iter().map(|function| function.environment["STAGE"].resolve(|_| None).unwrap());
    assert_eq!(stages.collect::<Vec<_>>(), ["test", "of-c"]);
    for unknown in ["Data/Stage", "C/Stag"] {
        let mut options = options.clone();
        options.parameters.insert(unknown.to_owned(), "test".to_owned());
        let error = together(&stacks, &options).unwrap_err().to_string();
        assert!(error.starts_with(&format!("Parameters.{unknown}: no template has such a parameter")), "{error}");
    }
    options.parameters.insert("Stag".to_owned(), "test".to_owned());
    let error = together(&stacks, &options).unwrap_err().to_string();
    assert_eq!(error, "Parameters.Stag: no template has such a parameter; did you mean Stage?");
}

/// What a stack exports of one inside of it, which is read anew whenever the stack is looked into.
fn with_a_stack_inside(path: &Path) -> std::io::Result<String> {
    READ.with_borrow_mut(|read| read.push(path.display().to_string()));
    match path.to_str() {
        Some("/app/Outer.json") => Ok(r#"{"Resources": {"In": {"Type": "AWS::CloudFormation::Stack",
            "Properties": {"TemplateURL": "inner.json"}}},
            "Outputs": {"O": {"Value": {"Fn::GetAtt": ["In", "Outputs.O"]}, "Export": {"Name": "Outer:O"}}}}"#
            .to_owned()),
        Some("/app/inner.json") => Ok(r#"{"Resources": {}, "Outputs": {"O": {"Value": "x"}}}"#.to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    }
}

thread_local! {
    static READ: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[test]
fn what_others_may_have_is_looked_for_once() {
    let options = Options { read: with_a_stack_inside, ..Options::default() };
    let others =
        [StackFile { name: "Outer".to_owned(), stack_name: "Outer".to_owned(), file: "/app/Outer.json".into() }];
    let import = r#"{"Fn::ImportValue": "Outer:O"}"#;
    let source = r#""arn:aws:dynamodb:us-east-1:000000000000:table/x/stream/2026-01-01T00:00:00.000""#;
    let variables = format!(r#""AA": {import}, "BB": {import}, "CC": {import}"#);
    let plan = parse_stacks(&[stack("Service", &service(source, &variables))], &others, &options).unwrap();
    assert_eq!(plan.skipped.iter().filter(|line| line.contains("--stack Outer, which has it")).count(), 3);
    assert_eq!(READ.take(), ["/app/Outer.json", "/app/inner.json"]);
}

fn tables_of(plan: &Plan) -> Vec<(&str, &str)> {
    plan.tables.iter().map(|table| (table.logical_id.as_str(), table.name())).collect()
}

#[test]
fn ids_that_loops_make_in_two_stacks_are_told_apart() {
    let table = r#"{"Type": "AWS::DynamoDB::Table", "Properties": {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}}"#;
    let looped = |list: &str| {
        format!(
            r#"{{"Transform": "AWS::LanguageExtensions", "Parameters": {{"Names": {{"Type": "CommaDelimitedList", "Default": "{list}"}}}},
            "Resources": {{"Fn::ForEach::Tables": ["N", {{"Ref": "Names"}}, {{"Table${{N}}": {table}}}]}}}}"#
        )
    };
    let (one, two) = (looped("A,B"), looped("B,C"));
    let plan = together(&[("One", &one), ("Two", &two)], &Options::default()).unwrap();
    let expected = [
        ("One/TableA", "TableA"),
        ("One/TableB", "One-TableB"),
        ("Two/TableB", "Two-TableB"),
        ("Two/TableC", "TableC"),
    ];
    assert_eq!(tables_of(&plan), expected);
    // What is given for a resource of a loop is for the stack that has it.
    let queues = one.replace(table, r#"{"Type": "AWS::SQS::Queue"}"#).replace("Table${N}", "Queue${N}");
    let queues = queues.replace(
        r#""Resources": {"#,
        r#""Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": "x"}, "Handler": "index.handler",
            "Runtime": "python3.12", "Environment": {"Variables": {"QUEUE": {"Ref": "QueueA"}}}}},"#,
    );
    let mut options = Options::default();
    options.resources.insert("QueueA".to_owned(), "given".to_owned());
    let plan = together(&[("One", &queues), ("Two", &two)], &options).unwrap();
    assert_eq!(environment(&plan, "QUEUE").as_deref(), Some("given"));
}

/// So that the table of a start with one stack is that of a start with all.
#[test]
fn a_short_id_names_a_table_alike_alone_and_among_others() {
    let short = r#"{"Resources": {"T": {"Type": "AWS::DynamoDB::Table", "Properties": {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}}}}"#;
    let options = Options::default();
    assert_eq!(tables_of(&together(&[("One", short)], &options).unwrap()), [("T", "tailrace-T")]);
    let plan = together(&[("One", short), ("Data", DATA)], &options).unwrap();
    assert_eq!(tables_of(&plan)[0], ("One/T", "tailrace-T"));
    let plan = together(&[("One", short), ("Two", short)], &options).unwrap();
    assert_eq!(tables_of(&plan), [("One/T", "One-T"), ("Two/T", "Two-T")]);
}

/// As whoever deploys them one after the other hands the outputs of the one to the other.
#[test]
fn a_parameter_that_nothing_gives_has_the_output_of_its_name() {
    let work = service(r#"{"Ref": "Published"}"#, "").replacen(
        "{",
        r#"{"Parameters": {"Published": {"Type": "String"}}, "#,
        1,
    );
    let work = work.replacen(
        r#""Parameters": {"Stored": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/app/stream"}},"#,
        "",
        1,
    );
    let options = Options::default();
    let plan = together(&[("Service", &work), ("Data", DATA)], &options).unwrap();
    assert_eq!(plan.mappings[0].source, Source::StreamOf("Data/OrdersA9B65338".into()));
    let told = "Service: Parameters.Published: nothing gives it; it has the value of the output Published of Data";
    assert_eq!(plan.skipped.iter().filter(|line| *line == told).count(), 1, "{:#?}", plan.skipped);
    // What is given goes before, and an output that two others have is nobody's.
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000";
    let mut given = Options::default();
    given.parameters.insert("Published".to_owned(), arn.to_owned());
    let plan = together(&[("Service", &work), ("Data", DATA)], &given).unwrap();
    assert_eq!(plan.mappings[0].source, Source::Arn(StreamArn::new(arn)));
    let missing = |stacks: &[(&str, &str)]| together(stacks, &options).unwrap_err().to_string();
    let error = missing(&[("Service", &work), ("Data", DATA), ("More", DATA)]);
    assert!(error.contains("the parameter Published has no default and no value"), "{error}");
    let error = plan_with(&work, &options).unwrap_err().to_string();
    assert!(error.contains("give it with --parameter Published=VALUE"), "{error}");
}

#[test]
fn what_an_output_gives_a_parameter_names_the_parameter_where_it_is_of_no_use() {
    let work = r#"{"Parameters": {"Published": {"Type": "String"}}, "Resources": {"T": {"Type": "AWS::DynamoDB::Table", "Properties": {
        "TableName": {"Ref": "Published"}, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}}}}"#;
    let error = |outputs: &str| {
        let data = format!(r#"{{"Resources": {{"Q": {{"Type": "AWS::SQS::Queue"}}}}, "Outputs": {outputs}}}"#);
        together(&[("Service", work), ("Data", &data)], &Options::default()).unwrap_err().to_string()
    };
    let why = "nothing gives the parameter Published, which has the value of the output Published of Data; \
               --parameter Published=VALUE gives it another";
    let at = "Service: Resources.T.Properties.TableName";
    let stream = together(&[("Service", work), ("Data", DATA)], &Options::default()).unwrap_err().to_string();
    assert_eq!(stream, format!("{at}: a name is expected, not the ARN of a stream: {why}"));
    let of_queue = error(r#"{"Published": {"Value": {"Fn::GetAtt": ["Q", "QueueName"]}}}"#);
    assert!(of_queue.starts_with(at), "{of_queue}");
    assert!(of_queue.contains("give it with --parameter Published=VALUE, or --resource "), "{of_queue}");
    let wrong = error(r#"{"Published": {"Value": {"Ref": "Nobody"}}}"#);
    assert_eq!(
        wrong,
        format!("Service: Data: Outputs.Published.Value: there is no parameter and no resource Nobody: {why}")
    );
}
