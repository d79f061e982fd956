//! Delivery streams: the request that a resource becomes, and what refers to one.

use serde_json::json;

use super::*;

#[test]
fn a_delivery_stream_is_the_request_that_makes_it() {
    let text = r#"
Parameters: {Seconds: {Type: Number, Default: 60}}
Conditions: {Never: !Equals [a, b]}
Resources:
  Lake: {Type: AWS::S3::Bucket, Properties: {BucketName: lake}}
  Role: {Type: AWS::IAM::Role}
  F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.12, InlineCode: "x = 1",
      Environment: {Variables: {NAME: !Ref Clicks, ARN: !GetAtt Clicks.Arn, OTHER: !Ref Named}}}}
  Clicks:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      ExtendedS3DestinationConfiguration:
        BucketARN: !GetAtt Lake.Arn
        RoleARN: !GetAtt Role.Arn
        Prefix: !If [Never, a/, !Ref AWS::NoValue]
        BufferingHints: {SizeInMBs: "64", IntervalInSeconds: !Ref Seconds}
        ProcessingConfiguration:
          Enabled: "true"
          Processors:
            - Type: Lambda
              Parameters: [{ParameterName: LambdaArn, ParameterValue: !GetAtt F.Arn}, {ParameterName: NumberOfRetries, ParameterValue: 1}]
      Tags: [{Key: team, Value: 7}]
      Colour: red
  Named: {Type: AWS::KinesisFirehose::DeliveryStream, Properties: {DeliveryStreamName: other}}
  Gone: {Type: AWS::KinesisFirehose::DeliveryStream, Condition: Never, Properties: {DeliveryStreamName: gone}}
"#;
    let plan = plan(text);
    let names: Vec<&str> = plan.delivery_streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["Clicks", "other"]);
    let parameters = json!([
        {"ParameterName": "LambdaArn", "ParameterValue": "arn:aws:lambda:us-east-1:000000000000:function:F"},
        {"ParameterName": "NumberOfRetries", "ParameterValue": "1"},
    ]);
    let expected = json!({
        "DeliveryStreamName": "Clicks",
        "ExtendedS3DestinationConfiguration": {
            "BucketARN": "arn:aws:s3:::lake",
            "RoleARN": "arn:aws:iam::000000000000:role/tailrace-Role",
            "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 60},
            "ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": "Lambda", "Parameters": parameters}]},
        },
        "Tags": [{"Key": "team", "Value": "7"}],
    });
    assert_eq!(plan.delivery_streams[0].request, expected);
    let variable = |name: &str| plan.functions[0].environment[name].resolve(|_| None).unwrap();
    assert_eq!((&*variable("NAME"), &*variable("OTHER")), ("Clicks", "other"));
    assert_eq!(variable("ARN"), "arn:aws:firehose:us-east-1:000000000000:deliverystream/Clicks");
    assert!(plan.skipped.iter().any(|line| line.contains("Resources.Clicks.Properties.Colour")), "{:?}", plan.skipped);
}
