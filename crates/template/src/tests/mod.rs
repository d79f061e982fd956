//! Templates and what they become.

mod amplify;
mod apps;
mod code;
mod delivery_streams;
mod filters;
mod language;
mod not_here;
mod pipes;
mod resolving;
mod slips;
mod stacks;
mod support;
mod table_settings;
mod terraform;
mod texts;

use std::collections::BTreeMap;
use std::path::Path;

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, KeyType, ProvisionedThroughput,
    StreamSpecification, Tag,
};
use tailrace_core::code::{CodeSource, Package};
use tailrace_core::key::ScalarType;
use tailrace_core::{StartingPosition, StreamArn, ViewType};

use super::*;

fn key(name: &str, key_type: KeyType) -> KeySchemaElement {
    KeySchemaElement { attribute_name: name.to_owned(), key_type }
}

fn attribute(name: &str, attribute_type: ScalarType) -> AttributeDefinition {
    AttributeDefinition { attribute_name: name.to_owned(), attribute_type }
}

/// Reads one template, which lies in `/app`.
fn parse(text: &str, format: Format, options: &Options) -> Result<Plan, TemplateError> {
    let (name, stack_name, text) = (String::new(), String::new(), text.to_owned());
    parse_stacks(&[Stack { name, stack_name, format, text, dir: "/app".into() }], &[], options)
}

fn plan_with(text: &str, options: &Options) -> Result<Plan, TemplateError> {
    let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Yaml };
    parse(text, format, options)
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
            request: CreateTableRequest {
                table_name: "GameScores".into(),
                key_schema: vec![key("UserId", KeyType::Hash)],
                attribute_definitions: vec![attribute("UserId", ScalarType::S)],
                billing_mode: Some(BillingMode::PayPerRequest),
                stream_specification: Some(StreamSpecification::enabled(ViewType::NewAndOldImages)),
                tags: vec![Tag { key: "a".into(), value: "b".into() }],
                ..CreateTableRequest::default()
            },
            settings: TableSettings::default(),
        }]
    );
    let [function] = plan.functions.as_slice() else { panic!("{:?}", plan.functions) };
    assert_eq!(function.name, "LevelUp");
    assert_eq!(function.arn, "arn:aws:lambda:us-east-1:000000000000:function:LevelUp");
    assert_eq!((function.runtime.as_str(), function.handler.as_str()), ("python3.13", "app.handler"));
    assert_eq!(function.code, CodeSource::Path("/app/src".into()));
    assert_eq!((function.timeout_s, function.memory_mb), (10, 256));
    let package = Package { code_dir: "/app/src".into(), layers: vec!["/app/layer".into()] };
    let config = function.config(package.clone(), |id| Some(StreamArn::new(format!("arn-of-{id}")))).unwrap();
    let variables: Vec<(&str, &str)> = config.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("LEVEL", "debug"), ("STREAM", "stream arn-of-GameScores"), ("TABLE", "GameScores")]);
    assert_eq!(config.layers, package.layers);
    assert_eq!(function.config(package, |_| None), None);
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
            filters: Vec::new(),
            tumbling_window_s: 0,
            metrics: Vec::new(),
            kms_key_arn: None,
            tags: BTreeMap::new(),
            report_item_failures: true,
            bare_records: false,
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
    assert_eq!(table.name(), "tailrace-t");
    let request = &table.request;
    assert_eq!(request.key_schema, [key("h", KeyType::Hash), key("r", KeyType::Range)]);
    assert_eq!(request.attribute_definitions, [attribute("h", ScalarType::B), attribute("r", ScalarType::N)]);
    let units = ProvisionedThroughput { read_capacity_units: 5, write_capacity_units: 6 };
    assert_eq!((table.is_on_demand(), request.provisioned_throughput), (false, Some(units)));
    assert_eq!(table.stream(), Some(ViewType::KeysOnly));
    let function = &plan.functions[0];
    assert_eq!((function.name.as_str(), &function.code), ("worker", &CodeSource::Path("/code/here".into())));
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
Transform: AWS::Serverless-2016-10-31
Resources:
  A: {Type: AWS::Serverless::SimpleTable}
  B:
    Type: AWS::Serverless::SimpleTable
    Properties: {TableName: bees, PrimaryKey: {Name: n, Type: Number}, SSESpecification: {SSEEnabled: true}}
",
    );
    let seen: Vec<_> =
        plan.tables.iter().map(|table| (table.name(), table.request.attribute_definitions[0].clone())).collect();
    // An id that is too short for a table's name gets the stack's name, as the names have that CloudFormation makes.
    assert_eq!(seen, [("tailrace-A", attribute("id", ScalarType::S)), ("bees", attribute("n", ScalarType::N))]);
    assert_eq!(plan.skipped, ["Resources.B.Properties.SSESpecification: kept and told back; nothing is encrypted"]);
}

/// What AWS needs of a table that has no throughput, where these properties give none.
fn billing(properties: &str) -> &'static str {
    let is_given = ["BillingMode", "ProvisionedThroughput"].iter().any(|name| properties.contains(name));
    if is_given { "" } else { "BillingMode: PAY_PER_REQUEST" }
}

/// A table with one more property.
fn table_with(property: &str) -> String {
    let billing = billing(property);
    format!(
        r"
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]
      KeySchema: [{{AttributeName: a, KeyType: HASH}}]
      {billing}
      {property}
"
    )
}

#[track_caller]
fn check_skipped(template: &str, expected: &[&str]) {
    assert_eq!(plan(template).skipped, expected, "{template}");
}

/// A function with one more property.
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

/// The same function, with a mapping that uses it.
fn used_function_with(property: &str) -> String {
    let mapping = "  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !Ref F, StartingPosition: LATEST, \
                   EventSourceArn: 'arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000'}}\n";
    function_with(property) + mapping
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
      BillingMode: PAY_PER_REQUEST
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
