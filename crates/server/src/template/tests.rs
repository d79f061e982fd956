//! Templates and what they become; each error with its place.

use std::path::Path;

use super::*;

fn plan_with(text: &str, options: &Options) -> Result<Plan, TemplateError> {
    let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Yaml };
    parse(text, format, Path::new("/app"), options)
}

#[track_caller]
fn plan(text: &str) -> Plan {
    plan_with(text, &Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    match plan_with(text, &Options::default()) {
        Ok(plan) => panic!("no error, but {plan:?}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

const LEADERBOARD: &str = r#"
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.13
    Timeout: 10
    Environment:
      Variables:
        LEVEL: info
        TABLE: !Ref GameScores
Resources:
  GameScores:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions:
        - {AttributeName: UserId, AttributeType: S}
      KeySchema:
        - {AttributeName: UserId, KeyType: HASH}
      BillingMode: PAY_PER_REQUEST
      StreamSpecification:
        StreamViewType: NEW_AND_OLD_IMAGES
      Tags: [{Key: a, Value: b}]
  LevelUp:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: app.handler
      MemorySize: 256
      Policies: [AWSLambdaDynamoDBExecutionRole]
      Environment:
        Variables:
          LEVEL: debug
          STREAM: !Sub "stream ${GameScores.StreamArn}"
      Events:
        Scores:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt GameScores.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 50
            MaximumBatchingWindowInSeconds: 2
            MaximumRetryAttempts: 3
            MaximumRecordAgeInSeconds: 3600
            BisectBatchOnFunctionError: true
            FunctionResponseTypes: [ReportBatchItemFailures]
            ParallelizationFactor: 2
            Enabled: false
        Web:
          Type: Api
          Properties: {Path: /, Method: get}
  Topic:
    Type: AWS::SNS::Topic
Outputs:
  Arn: {Value: !GetAtt LevelUp.Arn}
"#;

#[test]
fn a_sam_template_becomes_a_plan() {
    let plan = plan(LEADERBOARD);
    assert_eq!(
        plan.tables,
        [TablePlan {
            logical_id: "GameScores".into(),
            name: "GameScores".into(),
            key_schema: vec![("UserId".into(), KeyType::Hash)],
            attribute_definitions: vec![("UserId".into(), AttributeType::S)],
            pay_per_request: true,
            provisioned_throughput: None,
            stream: Some(ViewType::NewAndOldImages),
            class: None,
            deletion_protection: None,
            on_demand: Units::default(),
            warm: Units::default(),
        }]
    );
    let [function] = plan.functions.as_slice() else { panic!("{:?}", plan.functions) };
    assert_eq!(function.name, "LevelUp");
    assert_eq!(function.arn, "arn:aws:lambda:us-east-1:000000000000:function:LevelUp");
    assert_eq!((function.runtime.as_str(), function.handler.as_str()), ("python3.13", "app.handler"));
    assert_eq!(function.code_dir, Path::new("/app/src"));
    assert_eq!((function.timeout_s, function.memory_mb), (10, 256));
    let config = function.config(|id| Some(format!("arn-of-{id}"))).unwrap();
    let variables: Vec<(&str, &str)> = config.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("LEVEL", "debug"), ("STREAM", "stream arn-of-GameScores"), ("TABLE", "GameScores")]);
    assert_eq!(function.config(|_| None), None);
    assert_eq!(
        plan.mappings,
        [MappingPlan {
            logical_id: "LevelUpScores".into(),
            function: "LevelUp".into(),
            function_path: "Resources.LevelUp".into(),
            source: Source::StreamOf("GameScores".into()),
            source_path: "Resources.LevelUp.Properties.Events.Scores.Properties.Stream".into(),
            enabled: false,
            batch_size: 50,
            batching_window_s: 2,
            starting_position: StartingPosition::TrimHorizon,
            parallelization_factor: 2,
            retry_attempts_max: Some(3),
            record_age_max_s: Some(3600),
            bisect_on_error: true,
            report_item_failures: true,
        }]
    );
    assert_eq!(
        plan.skipped,
        [
            "Resources.LevelUp.Properties.Events.Web: events of type Api are not supported; skipped",
            "Resources.Topic: AWS::SNS::Topic is not supported; skipped",
        ]
    );
}

#[test]
fn plain_cloudformation_in_json_becomes_a_plan() {
    let plan = plan(
        r#"{"Resources": {
            "T": {"Type": "AWS::DynamoDB::Table", "Properties": {
                "TableName": {"Fn::Join": ["-", [{"Ref": "AWS::StackName"}, "t"]]},
                "AttributeDefinitions": [{"AttributeName": "h", "AttributeType": "B"}, {"AttributeName": "r", "AttributeType": "N"}],
                "KeySchema": [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
                "ProvisionedThroughput": {"ReadCapacityUnits": "5", "WriteCapacityUnits": 6},
                "StreamSpecification": {"StreamViewType": "KEYS_ONLY"}}},
            "F": {"Type": "AWS::Lambda::Function", "Properties": {
                "Code": {"S3Bucket": "local-dir", "S3Key": "/code/here"}, "Runtime": "provided.al2023",
                "FunctionName": "worker", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "ReservedConcurrentExecutions": 2}},
            "M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["T", "StreamArn"]}, "FunctionName": {"Fn::GetAtt": ["F", "Arn"]},
                "StartingPosition": "LATEST", "MaximumRetryAttempts": -1, "TumblingWindowInSeconds": 0}},
            "Role": {"Type": "AWS::IAM::Role"}
        }}"#,
    );
    let table = &plan.tables[0];
    assert_eq!(table.name, "tailrace-t");
    assert_eq!(table.key_schema, [("h".into(), KeyType::Hash), ("r".into(), KeyType::Range)]);
    assert_eq!(table.attribute_definitions, [("h".into(), AttributeType::B), ("r".into(), AttributeType::N)]);
    assert_eq!((table.pay_per_request, table.provisioned_throughput), (false, Some((5, 6))));
    assert_eq!(table.stream, Some(ViewType::KeysOnly));
    let function = &plan.functions[0];
    assert_eq!((function.name.as_str(), function.code_dir.as_path()), ("worker", Path::new("/code/here")));
    assert_eq!((function.timeout_s, function.memory_mb, function.reserved_concurrency), (3, 128, Some(2)));
    let mapping = &plan.mappings[0];
    assert_eq!((mapping.logical_id.as_str(), mapping.function.as_str()), ("M", "worker"));
    assert_eq!(mapping.source, Source::StreamOf("T".into()));
    assert_eq!((mapping.batch_size, mapping.batching_window_s, mapping.parallelization_factor), (100, 0, 1));
    assert_eq!((mapping.retry_attempts_max, mapping.record_age_max_s), (None, None));
    assert_eq!((mapping.enabled, mapping.bisect_on_error, mapping.report_item_failures), (true, false, false));
    assert_eq!(plan.skipped, ["Resources.Role: AWS::IAM::Role is not supported; skipped"]);
}

#[test]
fn a_simple_table_has_a_text_key_called_id() {
    let plan = plan(
        r"
Resources:
  A: {Type: AWS::Serverless::SimpleTable}
  B:
    Type: AWS::Serverless::SimpleTable
    Properties: {TableName: bees, PrimaryKey: {Name: n, Type: Number}, SSESpecification: {SSEEnabled: true}}
",
    );
    let seen: Vec<_> = plan.tables.iter().map(|table| (table.name.as_str(), &table.attribute_definitions[0])).collect();
    // An id that is too short for a table's name gets the stack's name, as the names have that CloudFormation makes.
    assert_eq!(seen, [("tailrace-A", &("id".into(), AttributeType::S)), ("bees", &("n".into(), AttributeType::N))]);
    assert_eq!(plan.skipped, ["Resources.B.Properties.SSESpecification: not applied"]);
}

/// The table name that an expression gives, in a template with parameters, conditions and mappings.
fn name(expression: &str, options: &Options) -> Result<String, TemplateError> {
    let text = format!(
        r#"
Parameters:
  Stage: {{Type: String, Default: dev, AllowedValues: [dev, prod]}}
  Bare: {{Type: String}}
  Names: {{Type: CommaDelimitedList, Default: "a, bbb,c"}}
  Count: {{Type: Number, Default: 3}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsDev: !Not [!Condition IsProd]
  Both: !And [!Condition IsProd, !Condition IsDev]
  Any: !Or [!Condition IsProd, {{Condition: IsDev}}]
  Three: !Equals [!Ref Count, "3"]
  Loop: !Not [!Condition Loop]
Mappings:
  ByStage: {{dev: {{n: small}}, prod: {{n: large}}}}
Resources:
  T:
    Type: AWS::Serverless::SimpleTable
    Properties:
      TableName: {expression}
  Off: {{Type: AWS::Serverless::SimpleTable, Condition: IsProd}}
  Queue: {{Type: AWS::SQS::Queue}}
  S:
    Type: AWS::Serverless::SimpleTable
    Properties: {{TableName: other}}
"#
    );
    plan_with(&text, options).map(|plan| plan.tables[0].name.clone())
}

#[test]
fn intrinsic_functions_resolve() {
    for (expression, expected) in [
        ("!Ref Stage", "dev"),
        ("{Ref: Stage}", "dev"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Join ['', [!Ref S, 2]]", "other2"),
        ("!Ref AWS::NoValue", "tailrace-T"),
        (
            "!Join [_, !Split [/, !Join [_, !Split [':', !GetAtt S.Arn]]]]",
            "arn_aws_dynamodb_us-east-1_000000000000_table_other",
        ),
        ("!Join [-, !Split [/, !Select [5, !Split [':', {\"Fn::GetAtt\": S.Arn}]]]]", "table-other"),
        ("!Sub '${AWS::StackName}-${Stage}-${S}'", "tailrace-dev-other"),
        ("!Sub ['${a}-${Stage}', {a: !Ref Count}]", "3-dev"),
        ("!Sub '${AWS::Partition}.${AWS::URLSuffix}.${AWS::AccountId}'", "aws.amazonaws.com.000000000000"),
        ("!Join [., [a, !Ref Stage, !If [IsProd, x, !Ref 'AWS::NoValue'], b]]", "a.dev.b"),
        ("!Join ['', !Ref Names]", "abbbc"),
        ("!Join ['', [abc, !Join [x, !Ref AWS::NotificationARNs]]]", "abc"),
        ("!Select [1, !Ref Names]", "bbb"),
        ("!Select ['0', !Split ['-', xxx-y]]", "xxx"),
        ("!FindInMap [ByStage, !Ref Stage, n]", "small"),
        ("!If [IsProd, p, ddd]", "ddd"),
        ("!If [IsDev, ppp, d]", "ppp"),
        ("!If [Both, p, ddd]", "ddd"),
        ("!If [Any, ppp, d]", "ppp"),
        ("!If [Three, ppp, d]", "ppp"),
    ] {
        assert_eq!(name(expression, &Options::default()).unwrap(), expected, "{expression}");
    }
    let mut options = Options::default();
    options.parameters.insert("Stage".into(), "prod".into());
    assert_eq!(name("!FindInMap [ByStage, !Ref Stage, n]", &options).unwrap(), "large");
    assert_eq!(name("!Sub '${Off}2'", &options).unwrap(), "Off2");
    assert_eq!(name("", &options).unwrap(), "tailrace-T");
    let literal = plan(&function_with("Environment: {Variables: {TEXT: !Sub '${AWS::Region} ${!x}'}}"));
    assert_eq!(literal.functions[0].environment["TEXT"].resolve(|_| None).unwrap(), "us-east-1 ${x}");
}

#[test]
fn what_cannot_be_resolved_names_its_place() {
    let at = "Resources.T.Properties.TableName";
    for (expression, expected) in [
        ("!Ref Nothing", format!("{at}: there is no parameter and no resource Nothing")),
        ("!Ref Bare", format!("{at}: the parameter Bare has no default and no value")),
        ("!Ref Queue", format!("{at}: it refers to Queue, and AWS::SQS::Queue is not supported")),
        ("!GetAtt S.Name", format!("{at}: the attribute S.Name cannot be resolved")),
        ("!Ref Off", format!("{at}: the resource Off is left out, since its condition IsProd does not hold")),
        ("!Sub '${Missing}'", format!("{at}: there is no parameter and no resource Missing")),
        ("!Sub '${Stage'", format!("{at}: Fn::Sub: a `${{` is not closed")),
        ("!Sub '${Names}'", format!("{at}: Fn::Sub: ${{Names}} is a list, no text")),
        ("!If [Unknown, a, b]", format!("{at}: there is no condition Unknown")),
        ("!If [Loop, a, b]", "Conditions.Loop: the references go in a circle".into()),
        ("!Ref T", format!("{at}: the references go in a circle")),
        ("!ImportValue x", format!("{at}: Fn::ImportValue cannot be resolved here")),
        ("!Base64 x", format!("{at}: Fn::Base64 cannot be resolved here")),
        ("!Select [9, !Ref Names]", format!("{at}: Fn::Select: there is no element 9")),
        ("!FindInMap [ByStage, test, n]", format!("{at}: Fn::FindInMap: Mappings has no \"test\" there")),
        ("!GetAtt S.StreamArn", format!("{at}: a name is expected, not the ARN of a stream")),
        ("'{{resolve:ssm:x}}'", format!("{at}: the dynamic reference {{{{resolve:ssm:x}}}} cannot be resolved here")),
        ("[a]", format!("{at}: a name is expected, not a list")),
    ] {
        assert_eq!(name(expression, &Options::default()).unwrap_err().to_string(), expected, "{expression}");
    }
    let mut options = Options::default();
    options.parameters.insert("Stage".into(), "test".into());
    let error = name("x", &options).unwrap_err().to_string();
    assert_eq!(error, "Parameters.Stage: \"test\" is not among AllowedValues");
    let mut options = Options::default();
    options.parameters.insert("Stag".into(), "dev".into());
    assert_eq!(name("x", &options).unwrap_err().to_string(), "Parameters.Stag: the template has no such parameter");
}

#[test]
fn a_resource_whose_condition_does_not_hold_is_left_out() {
    let plan = plan(
        r"
Conditions: {Never: !Equals [a, b], Always: !Equals [a, a]}
Resources:
  A: {Type: AWS::Serverless::SimpleTable, Condition: Never}
  B: {Type: AWS::Serverless::SimpleTable, Condition: Always}
",
    );
    assert_eq!(plan.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["tailrace-B"]);
}

/// A table with one more property.
fn table_with(property: &str) -> String {
    format!(
        r"
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]
      KeySchema: [{{AttributeName: a, KeyType: HASH}}]
      {property}
"
    )
}

#[test]
fn properties_of_tables_that_are_not_supported_stop() {
    let at = "Resources.T.Properties";
    for (property, expected) in [
        (
            "GlobalSecondaryIndexes: [{IndexName: i}]",
            format!("{at}.GlobalSecondaryIndexes: global secondary indexes are not supported yet"),
        ),
        (
            "LocalSecondaryIndexes: [{IndexName: i}]",
            format!("{at}.LocalSecondaryIndexes: local secondary indexes are not supported yet"),
        ),
        (
            "TimeToLiveSpecification: {AttributeName: x, Enabled: true}",
            format!(
                "{at}.TimeToLiveSpecification: time to live is not supported yet: items would stay that the template lets \
                 expire"
            ),
        ),
        (
            "ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}\n      OnDemandThroughput: {MaxReadRequestUnits: 1}",
            format!("{at}.OnDemandThroughput: a table that is PROVISIONED has none"),
        ),
        (
            "WarmThroughput: {ReadUnitsPerSecond: 11999}",
            format!(
                "{at}.WarmThroughput.ReadUnitsPerSecond: an integer from 12000 to {} is expected, not 11999",
                i64::MAX
            ),
        ),
        ("BillingMode: FREE", format!("{at}.BillingMode: PAY_PER_REQUEST or PROVISIONED is expected, not \"FREE\"")),
        ("StreamSpecification: {}", format!("{at}.StreamSpecification.StreamViewType: this property is required")),
        (
            "StreamSpecification: {StreamViewType: ALL}",
            format!(
                "{at}.StreamSpecification.StreamViewType: KEYS_ONLY or NEW_IMAGE or OLD_IMAGE or NEW_AND_OLD_IMAGES is \
                 expected, not \"ALL\""
            ),
        ),
        (
            "ProvisionedThroughput: {ReadCapacityUnits: 0, WriteCapacityUnits: 1}",
            format!(
                "{at}.ProvisionedThroughput.ReadCapacityUnits: an integer from 1 to {} is expected, not 0",
                tailrace_core::limits::CAPACITY_UNITS_MAX
            ),
        ),
    ] {
        check_error(&table_with(property), &expected);
    }
    // What is empty, or left out by a condition, does no harm.
    plan(&table_with("GlobalSecondaryIndexes: []"));
    plan(&table_with("GlobalSecondaryIndexes: !Ref AWS::NoValue"));
    plan(&table_with("StreamSpecification: !Ref AWS::NoValue"));
}

#[track_caller]
fn check_skipped(template: &str, expected: &[&str]) {
    assert_eq!(plan(template).skipped, expected, "{template}");
}

#[test]
fn what_does_no_harm_is_named_and_skipped() {
    let at = "Resources.T.Properties";
    for (property, why) in [
        ("BilingMode: PAY_PER_REQUEST", "this property is not known; skipped"),
        ("Foo: {Bar: !GetAtt Nothing.Arn}", "this property is not known; skipped"),
        ("PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}", "not applied"),
        ("TimeToLiveSpecification: {AttributeName: x, Enabled: false}", "not applied"),
        ("KinesisStreamSpecification: {StreamArn: x}", "not applied"),
    ] {
        let name = property.split_once(':').unwrap().0;
        check_skipped(&table_with(property), &[&format!("{at}.{name}: {why}")]);
    }
    check_skipped(
        &table_with("StreamSpecification: {StreamViewType: NEW_IMAGE, Foo: 1}"),
        &[&format!("{at}.StreamSpecification.Foo: this property is not known; skipped")],
    );
    check_skipped(
        &table_with(
            "BillingMode: PAY_PER_REQUEST\n      ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}",
        ),
        &[&format!("{at}.ProvisionedThroughput: not applied: the table is billed per request")],
    );
    let at = "Resources.F.Properties";
    for property in ["VpcConfig: {SubnetIds: [a]}", "Layers: [arn]", "FileSystemConfigs: [{Arn: a}]"] {
        let name = property.split_once(':').unwrap().0;
        check_skipped(&function_with(property), &[&format!("{at}.{name}: not applied")]);
    }
    let at = "Resources.M.Properties";
    for (property, why) in [
        ("FilterCriteria: {Filters: []}", "not applied"),
        ("DestinationConfig: {OnFailure: {}}", "not applied"),
        ("KmsKeyArn: x", "not applied"),
        ("KMSKeyArn: x", "not applied"),
        ("Tags: [{Key: a, Value: b}]", "not applied"),
        ("MetricsConfig: {Metrics: [EventCount]}", "not applied"),
        ("Topics: [x]", "this property is not known; skipped"),
    ] {
        let name = property.split_once(':').unwrap().0;
        check_skipped(&mapping_with(property), &[&format!("{at}.{name}: {why}")]);
    }
    for reference in ["elsewhere:live", "arn:aws:lambda:us-east-1:000000000000:function:elsewhere:live"] {
        let template = mapping_with("").replace("FunctionName: elsewhere", &format!("FunctionName: {reference}"));
        let why = "FunctionName: there are no versions and aliases; live is the function itself";
        check_skipped(&template, &[&format!("{at}.{why}")]);
        assert_eq!(plan(&template).mappings[0].function, "elsewhere");
    }
    let latest =
        mapping_with("").replace("FunctionName: elsewhere", "FunctionName: 000000000000:function:elsewhere:$LATEST");
    check_skipped(&latest, &[]);
    assert_eq!(plan(&latest).mappings[0].function, "elsewhere");
}

#[test]
fn globals_are_checked() {
    let with = |globals: &str| format!("Globals: {globals}\nResources: {{}}");
    check_skipped(
        &with("{Api: {Cors: x}, Function: {Timeout: 3}, SimpleTable: , HttpApi: }"),
        &["Globals.Api: not supported; skipped", "Globals.HttpApi: not supported; skipped"],
    );
    check_error(&with("{Function: hi}"), "Globals.Function: a map is expected, not \"hi\"");
    check_error(&with("{SimpleTable: [1]}"), "Globals.SimpleTable: a map is expected, not a list");
}

#[test]
fn a_tables_key_is_checked() {
    let table = |key: &str, attributes: &str| {
        format!(
            "Resources: {{T: {{Type: AWS::DynamoDB::Table, Properties: {{KeySchema: {key}, AttributeDefinitions: {attributes}}}}}}}"
        )
    };
    let (a, b) = ("{AttributeName: a, AttributeType: S}", "{AttributeName: b, AttributeType: S}");
    let at = "Resources.T.Properties";
    check_error(
        &table("[{AttributeName: a, KeyType: RANGE}]", &format!("[{a}]")),
        &format!("{at}.KeySchema: one HASH key, and at most one RANGE key behind it"),
    );
    check_error(
        &table("[{AttributeName: a, KeyType: HASH}]", &format!("[{a}, {b}]")),
        &format!("{at}.AttributeDefinitions: b is defined, and no key uses it"),
    );
    check_error(
        &table("[{AttributeName: a, KeyType: HASH}]", &format!("[{b}]")),
        &format!("{at}.AttributeDefinitions: b is defined, and no key uses it"),
    );
    check_error(
        &table("[{AttributeName: a, KeyType: HASH}]", "[]"),
        &format!("{at}.KeySchema: a is not in AttributeDefinitions"),
    );
    check_error(
        &table("[{AttributeName: a}]", &format!("[{a}]")),
        &format!("{at}.KeySchema.0.KeyType: this property is required"),
    );
}

/// A function with one more property.
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
fn properties_of_functions_that_are_not_supported_stop() {
    let at = "Resources.F.Properties";
    for (property, expected) in [
        ("ImageUri: x", format!("{at}.ImageUri: images are not supported; give the directory of the code")),
        (
            "InlineCode: x",
            format!("{at}.InlineCode: code in the template is not supported; give the directory of the code"),
        ),
        ("PackageType: Image", format!("{at}.PackageType: Zip is expected, not \"Image\"")),
        (
            "CodeUri: s3://bucket/key",
            format!("{at}.CodeUri: the code is at s3://bucket/key: a directory of this machine is expected"),
        ),
        (
            "CodeUri: {Bucket: b, Key: k}",
            format!("{at}.CodeUri: the code is in the bucket b: a directory of this machine is expected"),
        ),
        ("Timeout: 901", format!("{at}.Timeout: an integer from 1 to 900 is expected, not 901")),
        ("Timeout: soon", format!("{at}.Timeout: an integer from 1 to 900 is expected, not \"soon\"")),
        ("MemorySize: 64", format!("{at}.MemorySize: an integer from 128 to 10240 is expected, not 64")),
        ("Events: {E: {Type: DynamoDB}}", format!("{at}.Events.E.Properties: this property is required")),
        ("Environment: {Variables: {A: [1]}}", format!("{at}.Environment.Variables.A: a text is expected, not a list")),
    ] {
        check_error(&function_with(property), &expected);
    }
    check_error(
        &function_with("").replace("python3.12", "java21"),
        &format!("{at}.Runtime: {}", tailrace_lambda::ConfigError::UnsupportedRuntime("java21".into())),
    );
    check_error(
        &function_with("Environment: {Variables: {AWS_REGION: x}}"),
        &format!("{at}.Environment.Variables: {}", tailrace_lambda::ConfigError::ReservedVariable("AWS_REGION".into())),
    );
}

#[test]
fn code_is_found_relative_to_the_template() {
    for (property, expected) in [
        ("", "/app"),
        ("CodeUri: .", "/app"),
        ("CodeUri: ./", "/app"),
        ("CodeUri: ./src/", "/app/src"),
        ("CodeUri: ../shared", "/app/../shared"),
        ("CodeUri: /abs/olute", "/abs/olute"),
        ("CodeUri: {Bucket: local-dir, Key: /else/where}", "/else/where"),
    ] {
        assert_eq!(plan(&function_with(property)).functions[0].code_dir, Path::new(expected), "{property}");
    }
}

/// A mapping with one more property.
fn mapping_with(property: &str) -> String {
    format!(
        r"
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]
      KeySchema: [{{AttributeName: a, KeyType: HASH}}]
      StreamSpecification: {{StreamViewType: NEW_IMAGE}}
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: elsewhere
      EventSourceArn: !GetAtt T.StreamArn
      StartingPosition: LATEST
      {property}
"
    )
}

#[test]
fn properties_of_mappings_that_are_not_supported_stop() {
    let at = "Resources.M.Properties";
    for (property, expected) in [
        (
            "FilterCriteria: {Filters: [{Pattern: x}]}",
            format!(
                "{at}.FilterCriteria.Filters: filters are not supported yet: the function would get records that the \
                 template leaves out"
            ),
        ),
        (
            "DestinationConfig: {OnFailure: {Destination: x}}",
            format!(
                "{at}.DestinationConfig.OnFailure: destinations are not supported yet: records that are given up are parked \
                 instead"
            ),
        ),
        (
            "TumblingWindowInSeconds: 5",
            format!(
                "{at}.TumblingWindowInSeconds: tumbling windows are not supported yet: the function would get events without \
                 a window"
            ),
        ),
        ("BatchSize: 0", format!("{at}.BatchSize: an integer from 1 to 10000 is expected, not 0")),
        ("BatchSize: 10001", format!("{at}.BatchSize: an integer from 1 to 10000 is expected, not 10001")),
        (
            "MaximumBatchingWindowInSeconds: 301",
            format!("{at}.MaximumBatchingWindowInSeconds: an integer from 0 to 300 is expected, not 301"),
        ),
        (
            "ParallelizationFactor: 11",
            format!("{at}.ParallelizationFactor: an integer from 1 to 10 is expected, not 11"),
        ),
        (
            "MaximumRetryAttempts: -2",
            format!("{at}.MaximumRetryAttempts: an integer from -1 to 10000 is expected, not -2"),
        ),
        (
            "MaximumRecordAgeInSeconds: 59",
            format!(
                "{at}.MaximumRecordAgeInSeconds: it must be either -1 (forever) or between 60 and 604800 (inclusive)"
            ),
        ),
        (
            "FunctionResponseTypes: [Other]",
            format!("{at}.FunctionResponseTypes: ReportBatchItemFailures is expected, not \"Other\""),
        ),
        ("Enabled: maybe", format!("{at}.Enabled: true or false is expected, not \"maybe\"")),
    ] {
        check_error(&mapping_with(property), &expected);
    }
    assert_eq!(plan(&mapping_with("Enabled: 'false'")).mappings[0].function, "elsewhere");
    let timestamp = mapping_with("").replace("LATEST", "AT_TIMESTAMP");
    check_error(
        &timestamp,
        &format!("{at}.StartingPosition: TRIM_HORIZON or LATEST is expected, not \"AT_TIMESTAMP\""),
    );
    check_error(
        &mapping_with("").replace("StartingPosition: LATEST", ""),
        &format!("{at}.StartingPosition: this property is required"),
    );
    check_error(
        &mapping_with("").replace("!GetAtt T.StreamArn", "arn:aws:sqs:x"),
        &format!("{at}.EventSourceArn: the ARN of a DynamoDB stream is expected, not \"arn:aws:sqs:x\""),
    );
    check_error(
        &mapping_with("").replace("StreamSpecification: {StreamViewType: NEW_IMAGE}", ""),
        &format!("{at}.EventSourceArn: the table T has no StreamSpecification"),
    );
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000";
    let plan = plan(&mapping_with("").replace("!GetAtt T.StreamArn", arn));
    assert_eq!(plan.mappings[0].source, Source::Arn(arn.into()));
}

#[test]
fn a_stream_may_be_named_in_other_ways() {
    let template = |source: &str| mapping_with("").replace("!GetAtt T.StreamArn", source);
    for source in
        ["!Sub '${T.StreamArn}'", "!Sub ['${Arn}', {Arn: !GetAtt T.StreamArn}]", "!Join ['', [!GetAtt T.StreamArn]]"]
    {
        assert_eq!(plan(&template(source)).mappings[0].source, Source::StreamOf("T".into()), "{source}");
    }
    let conditions = "
Conditions: {Yes: !Equals [a, a], No: !Equals [a, b]}";
    for (events, expected) in [
        ("!If [Yes, {E: $E}, !Ref AWS::NoValue]", 1),
        ("!If [No, {E: $E}, !Ref AWS::NoValue]", 0),
        ("!If [No, {}, !If [Yes, {E: $E}, {}]]", 1),
        ("{E: !If [Yes, $E, !Ref AWS::NoValue]}", 1),
        ("{E: !If [No, $E, !Ref AWS::NoValue]}", 0),
        ("{E: {Type: DynamoDB, Properties: !If [Yes, $P, {}]}}", 1),
    ] {
        let properties = "{Stream: !GetAtt GameScores.StreamArn, StartingPosition: LATEST}";
        let events = events.replace("$E", "{Type: DynamoDB, Properties: $P}").replace("$P", properties);
        let (head, tail) = LEADERBOARD.split_once("      Events:\n").unwrap();
        let tail = tail.split_once("  Topic:").unwrap().1;
        let template = format!("{head}      Events: {events}\n  Topic:{tail}{conditions}");
        let mappings = plan(&template).mappings;
        assert_eq!(mappings.len(), expected, "{events}");
        assert!(mappings.iter().all(|mapping| mapping.source == Source::StreamOf("GameScores".into())));
    }
}

#[test]
fn the_parts_of_a_streams_arn_can_be_taken_out() {
    let variable = |expression: &str| {
        let template = LEADERBOARD.replace("!Sub \"stream ${GameScores.StreamArn}\"", expression);
        let text =
            plan_with(&template, &Options::default()).map(|plan| plan.functions[0].environment["STREAM"].clone());
        text.map(|text| text.resolve(|id| Some(format!("arn:x:table/{id}/stream/2026-01-01T00:00:00.000"))).unwrap())
    };
    let of = |n: u32| variable(&format!("!Select [{n}, !Split [/, !GetAtt GameScores.StreamArn]]")).unwrap();
    assert_eq!(of(1), "GameScores");
    assert_eq!(of(2), "stream");
    assert_eq!(of(3), "2026-01-01T00:00:00.000");
    // A time has colons of its own.
    let error = variable("!Select [5, !Split [':', !GetAtt GameScores.StreamArn]]").unwrap_err().to_string();
    assert!(error.ends_with("STREAM: Fn::Split: a text is expected, not the ARN of a stream"), "{error}");
}

#[test]
fn names_are_checked() {
    let table = |name: &str| {
        format!("Resources: {{A: {{Type: AWS::Serverless::SimpleTable, Properties: {{TableName: {name}}}}}}}")
    };
    let message = "a table's name has 3 to 255 of the characters a-z, A-Z, 0-9, `_`, `-` and `.`, and";
    for name in ["ab", "a/b", "a b", "arn:aws:dynamodb:us-east-1:000000000000:table/abc"] {
        check_error(&table(name), &format!("Resources.A.Properties.TableName: {message} \"{name}\" has not"));
    }
    plan(&table("a_b-c.9"));
    let message = "a function's name has 1 to 64 of the characters a-z, A-Z, 0-9, `_` and `-`, and";
    let long = "x".repeat(65);
    for name in ["a.b", "a:b", &long] {
        let expected = format!("Resources.F.Properties.FunctionName: {message} \"{name}\" has not");
        check_error(&function_with(&format!("FunctionName: '{name}'")), &expected);
    }
    plan(&function_with("FunctionName: _a-9"));
    check_error(
        &function_with("").replace("  F:", &format!("  {long}:")),
        &format!("Resources.{long}: {message} \"{long}\" has not"),
    );
}

#[test]
fn a_stream_goes_to_a_function_once() {
    let twice = LEADERBOARD.replace(
        "        Web:",
        "        Again:\n          Type: DynamoDB\n          Properties: {Stream: !GetAtt GameScores.StreamArn, \
         StartingPosition: LATEST}\n        Web:",
    );
    check_error(
        &twice,
        "Resources.LevelUp.Properties.Events.Again.Properties.Stream: the function LevelUp has this stream already, by \
         Resources.LevelUp.Properties.Events.Scores.Properties.Stream",
    );
}

#[test]
fn malformed_templates_are_told_so() {
    check_error("[]", "the template is malformed: a map with Resources is expected");
    check_error("Other: {}", "Resources: there are none");
    check_error("Resources: []", "Resources: a map is expected");
    check_error("Resources: {A: {}}", "Resources.A: there is no Type");
    check_error(
        "Resources: {A: {Type: AWS::Serverless::SimpleTable, Properties: []}}",
        "Resources.A.Properties: a map is expected, not a list",
    );
    check_error(
        "Resources: {A: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: Bee}}, Bee: {Type: AWS::Serverless::SimpleTable}}",
        "Resources.Bee: the table name \"Bee\" is taken by A",
    );
    for text in ["Resources: {", "{\"Resources\": "] {
        assert!(matches!(plan_with(text, &Options::default()), Err(TemplateError::Malformed(_))), "{text}");
    }
    let transform = plan("Transform: [AWS::Serverless-2016-10-31, Mine]\nResources: {}");
    assert_eq!(transform.skipped, ["Transform: \"Mine\" is not applied"]);
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
        std::fs::write(dir.join("template.yaml"), function_with(&format!("CodeUri: {uri}"))).unwrap();
        let error = read(&dir.join("template.yaml"), &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{uri}");
    }
}
