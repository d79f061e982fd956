//! Indexes of tables, and what is set of tables beside their keys.

use tailrace_api::tables::{
    ContributorInsightsMode, KeyType, PointInTimeRecoverySpecification, ProjectionType, ProvisionedThroughput,
    SseSpecification, SseType, Tag, TimePrecision,
};

use super::*;
use crate::{InsightsPlan, KinesisPlan};

/// A table with the key `a` (S), `b` (N) and these attributes beside them and properties.
fn indexed(more_attributes: &str, properties: &str) -> String {
    let billing = billing(properties);
    format!(
        r"
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions:
        - {{AttributeName: a, AttributeType: S}}
        - {{AttributeName: b, AttributeType: N}}{more_attributes}
      KeySchema: [{{AttributeName: a, KeyType: HASH}}, {{AttributeName: b, KeyType: RANGE}}]
      {billing}
      {properties}
"
    )
}

const C: &str = "\n        - {AttributeName: c, AttributeType: B}";
const KEY_OF_C: &str = "KeySchema: [{AttributeName: c, KeyType: HASH}]";

#[test]
fn secondary_indexes_become_those_of_the_request() {
    let template = indexed(
        C,
        "GlobalSecondaryIndexes:
        - IndexName: by-c
          KeySchema: [{AttributeName: c, KeyType: HASH}, {AttributeName: a, KeyType: RANGE}]
          Projection: {ProjectionType: INCLUDE, NonKeyAttributes: [x, !Ref 'AWS::NoValue', y]}
          OnDemandThroughput: {MaxReadRequestUnits: 5}
          ContributorInsightsSpecification: {Enabled: true, Mode: THROTTLED_KEYS}
        - !Ref AWS::NoValue
        - IndexName: by-b
          KeySchema: [{AttributeName: b, KeyType: HASH}]
          Projection: {ProjectionType: KEYS_ONLY}
      LocalSecondaryIndexes:
        - IndexName: local
          KeySchema: [{AttributeName: a, KeyType: HASH}, {AttributeName: c, KeyType: RANGE}]
          Projection: {ProjectionType: ALL}",
    );
    let plan = plan(&template);
    assert_eq!(plan.skipped, Vec::<String>::new());
    let request = &plan.tables[0].request;
    let global = request.global_secondary_indexes.as_deref().unwrap();
    let [by_c, by_b] = global else { panic!("{global:?}") };
    assert_eq!((by_c.index_name.as_str(), by_b.index_name.as_str()), ("by-c", "by-b"));
    assert_eq!(by_c.key_schema, [key("c", KeyType::Hash), key("a", KeyType::Range)]);
    assert_eq!(by_c.projection.projection_type, Some(ProjectionType::Include));
    assert_eq!(by_c.projection.non_key_attributes, Some(vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(by_c.on_demand_throughput.unwrap().max_read_request_units, Some(5));
    assert_eq!(by_b.projection.projection_type, Some(ProjectionType::KeysOnly));
    assert_eq!(by_b.projection.non_key_attributes, None);
    let local = request.local_secondary_indexes.as_deref().unwrap();
    assert_eq!(local[0].key_schema, [key("a", KeyType::Hash), key("c", KeyType::Range)]);
    let mode = Some(ContributorInsightsMode::ThrottledKeys);
    let insights = InsightsPlan { index: Some("by-c".to_owned()), enabled: true, mode };
    assert_eq!(plan.tables[0].settings.contributor_insights, [insights]);
}

#[test]
fn units_of_an_index_go_with_the_billing_of_its_table() {
    let index = |billing: &str| {
        indexed(
            C,
            &format!(
                "{billing}
      GlobalSecondaryIndexes:
        - IndexName: by-c
          {KEY_OF_C}
          Projection: {{ProjectionType: ALL}}
          ProvisionedThroughput: {{ReadCapacityUnits: 3, WriteCapacityUnits: 4}}"
            ),
        )
    };
    let units = |template: &str| {
        plan(template).tables[0].request.global_secondary_indexes.as_ref().unwrap()[0].provisioned_throughput
    };
    let provisioned = index("ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}");
    let three = ProvisionedThroughput { read_capacity_units: 3, write_capacity_units: 4 };
    assert_eq!(units(&provisioned), Some(three));
    let on_demand = index("BillingMode: PAY_PER_REQUEST");
    assert_eq!(units(&on_demand), None);
    let why = "not applied: the table is billed per request";
    let at = "Resources.T.Properties.GlobalSecondaryIndexes.0.ProvisionedThroughput";
    check_skipped(&on_demand, &[&format!("{at}: {why}")]);
}

#[test]
fn indexes_that_cannot_be_stop_with_their_place() {
    let at = "Resources.T.Properties";
    let global = |index: &str| indexed(C, &format!("GlobalSecondaryIndexes: [{{{index}}}]"));
    let all = "Projection: {ProjectionType: ALL}";
    for (template, expected) in [
        (
            global("IndexName: by"),
            format!(
                "{at}.GlobalSecondaryIndexes.0.IndexName: an index's name has 3 to 255 of the characters a-z, A-Z, 0-9, `_`, `-` \
             and `.`, and \"by\" has not"
            ),
        ),
        (global("IndexName: by-c"), format!("{at}.GlobalSecondaryIndexes.0.KeySchema: this property is required")),
        (
            global(&format!("IndexName: by-c, {KEY_OF_C}")),
            format!("{at}.GlobalSecondaryIndexes.0.Projection: this property is required"),
        ),
        (
            global(&format!("IndexName: by-c, {KEY_OF_C}, Projection: {{ProjectionType: INCLUDE}}")),
            format!("{at}.GlobalSecondaryIndexes.0.Projection.NonKeyAttributes: this property is required"),
        ),
        (
            global(&format!("IndexName: by-c, {KEY_OF_C}, Projection: {{ProjectionType: ALL, NonKeyAttributes: [x]}}")),
            format!(
                "{at}.GlobalSecondaryIndexes.0.Projection.NonKeyAttributes: only a projection of the type INCLUDE names \
                 attributes"
            ),
        ),
        (
            global(&format!("IndexName: by-c, KeySchema: [{{AttributeName: c, KeyType: RANGE}}], {all}")),
            format!(
                "{at}.GlobalSecondaryIndexes.0.KeySchema: one to 4 HASH keys, and at most 4 RANGE keys behind them"
            ),
        ),
        (
            indexed("", &format!("GlobalSecondaryIndexes: [{{IndexName: by-c, {KEY_OF_C}, {all}}}]")),
            format!("{at}.GlobalSecondaryIndexes: c of the index by-c is not in AttributeDefinitions"),
        ),
        (indexed(C, ""), format!("{at}.AttributeDefinitions: c is defined, and no key uses it")),
        (
            indexed(C, &format!("LocalSecondaryIndexes: [{{IndexName: loc, {KEY_OF_C}, {all}}}]")),
            format!("{at}.LocalSecondaryIndexes.0.KeySchema: the table's HASH key, and one RANGE key behind it"),
        ),
        (
            indexed(
                C,
                &format!(
                    "GlobalSecondaryIndexes: [{{IndexName: by-c, {KEY_OF_C}, {all}}}, {{IndexName: by-c, {KEY_OF_C}, {all}}}]"
                ),
            ),
            format!("{at}.GlobalSecondaryIndexes.1.IndexName: there are two indexes by-c"),
        ),
    ] {
        check_error(&template, &expected);
    }
}

#[test]
fn what_is_set_of_a_table_is_read() {
    let template = indexed(
        "",
        r#"Tags: [{Key: team, Value: !Sub "${AWS::StackName}-x"}, {Key: none, Value: !GetAtt Other.Arn}]
      SSESpecification: {SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: alias/mine}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 7}
      ContributorInsightsSpecification: {Enabled: true}
      ResourcePolicy:
        PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: "*", Sid: !Ref "AWS::NoValue"}]}
      KinesisStreamSpecification:
        StreamArn: arn:aws:kinesis:us-east-1:000000000000:stream/s
        ApproximateCreationDateTimePrecision: MICROSECOND
      StreamSpecification:
        StreamViewType: KEYS_ONLY
        ResourcePolicy: {PolicyDocument: {Version: 2012-10-17}}"#,
    ) + "  Other: {Type: AWS::SNS::Topic}\n";
    let plan = plan(&template);
    let (request, settings) = (&plan.tables[0].request, &plan.tables[0].settings);
    assert_eq!(request.tags, [Tag { key: "team".into(), value: "tailrace-x".into() }]);
    let key_id = Some("alias/mine".to_owned());
    let encryption = SseSpecification { enabled: Some(true), sse_type: Some(SseType::Kms), kms_master_key_id: key_id };
    assert_eq!(request.sse_specification, Some(encryption));
    let policy = r#"{"Statement":[{"Effect":"Allow","Principal":"*"}],"Version":"2012-10-17"}"#;
    let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(same(request.resource_policy.as_deref().unwrap()), same(policy));
    let recovery = PointInTimeRecoverySpecification { enabled: true, period_days: Some(7) };
    assert_eq!(settings.point_in_time_recovery, Some(recovery));
    let insights = InsightsPlan { index: None, enabled: true, mode: None };
    assert_eq!(settings.contributor_insights, [insights]);
    let stream_arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned();
    assert_eq!(settings.kinesis, Some(KinesisPlan { stream_arn, precision: Some(TimePrecision::Microsecond) }));
    assert_eq!(settings.stream_policy.as_deref(), Some(r#"{"Version":"2012-10-17"}"#));
    let skipped: Vec<&str> = plan.skipped.iter().map(String::as_str).collect();
    let at = "Resources.T.Properties";
    assert!(skipped.iter().any(|line| line.starts_with(&format!("{at}.Tags.1.Value: not applied: "))), "{skipped:?}");
    for kept in [
        "SSESpecification: kept and told back; nothing is encrypted",
        "ResourcePolicy: kept and told back; nothing enforces it",
        "StreamSpecification.ResourcePolicy: kept and told back; nothing enforces it",
    ] {
        assert!(skipped.contains(&format!("{at}.{kept}").as_str()), "{kept}: {skipped:?}");
    }
}

#[test]
fn a_simple_table_has_tags_encryption_and_recovery() {
    let plan = plan(
        r"
Globals: {SimpleTable: {SSESpecification: {SSEEnabled: true}}}
Resources:
  Simple:
    Type: AWS::Serverless::SimpleTable
    Properties:
      Tags: {team: one, cost: 5}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: false}
",
    );
    let (request, settings) = (&plan.tables[0].request, &plan.tables[0].settings);
    let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
    assert_eq!(request.tags, [tag("team", "one"), tag("cost", "5")]);
    assert_eq!(request.sse_specification.as_ref().unwrap().sse_type, Some(SseType::Kms));
    let off = PointInTimeRecoverySpecification { enabled: false, period_days: None };
    assert_eq!(settings.point_in_time_recovery, Some(off));
}

#[test]
fn items_of_a_bucket_with_which_a_table_would_begin_are_named() {
    let template =
        indexed("", "ImportSourceSpecification: {InputFormat: CSV, S3BucketSource: {S3Bucket: b, S3KeyPrefix: p}}");
    check_skipped(
        &template,
        &["Resources.T.Properties.ImportSourceSpecification: not applied: nothing is imported, the table begins empty"],
    );
}

/// How a table is billed changes nothing of what is kept, so that what AWS refuses is told, and starts.
#[test]
fn units_that_are_missing_are_told() {
    let why = "AWS refuses a table without it, unless BillingMode is PAY_PER_REQUEST; billed per request";
    let told = format!("Resources.T.Properties.ProvisionedThroughput: {why}");
    let without = table_with("").replace("BillingMode: PAY_PER_REQUEST", "");
    for template in
        [without, table_with("BillingMode: PROVISIONED"), table_with("ProvisionedThroughput: !Ref AWS::NoValue")]
    {
        let plan = plan(&template);
        assert!(plan.tables[0].is_on_demand(), "{template}");
        assert_eq!(plan.skipped, [told.as_str()], "{template}");
    }
    let index = "BillingMode: PROVISIONED
      ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}
      GlobalSecondaryIndexes: [{IndexName: by-b, KeySchema: [{AttributeName: b, KeyType: HASH}], Projection: {ProjectionType: ALL}}]";
    let why = "AWS refuses an index of a PROVISIONED table without it; it has the units that it had, or 5 of each";
    let at = "Resources.T.Properties.GlobalSecondaryIndexes.0.ProvisionedThroughput";
    check_skipped(&indexed("", index), &[&format!("{at}: {why}")]);
    // SAM's own table has no billing mode, and is billed per request.
    let simple = "Transform: AWS::Serverless-2016-10-31\nResources: {Simple: {Type: AWS::Serverless::SimpleTable}}";
    check_skipped(simple, &[]);
}
