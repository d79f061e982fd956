//! Pipes: to a function, to queues, topics and API destinations.

use serde_json::json;

use super::*;

/// A template with a table, a function and a pipe with more properties, and more resources.
fn pipe(target: &str, more: &str, resources: &str) -> String {
    format!(
        r#"
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: orders
      AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]
      KeySchema: [{{AttributeName: a, KeyType: HASH}}]
      StreamSpecification: {{StreamViewType: NEW_IMAGE}}
  F:
    Type: AWS::Serverless::Function
    Properties: {{Handler: app.handler, Runtime: python3.13}}
{resources}
  P:
    Type: AWS::Pipes::Pipe
    Properties:
      RoleArn: arn:aws:iam::000000000000:role/r
      Source: !GetAtt Orders.StreamArn
      Target: {target}
      SourceParameters:
        FilterCriteria: {{Filters: [{{Pattern: '{{"eventName": ["INSERT"]}}'}}]}}
        DynamoDBStreamParameters:
          StartingPosition: TRIM_HORIZON
          BatchSize: 10
          MaximumRetryAttempts: 4
          ParallelizationFactor: 2
          OnPartialBatchItemFailure: AUTOMATIC_BISECT
{more}
"#
    )
}

#[test]
fn a_pipe_to_a_function_is_a_mapping_of_bare_records() {
    let plan = plan(&pipe("!GetAtt F.Arn", "      DesiredState: STOPPED\n      Description: x", ""));
    let [mapping] = &plan.mappings[..] else { panic!("{:?}", plan.mappings) };
    assert_eq!((mapping.function.as_str(), &mapping.source), ("F", &Source::StreamOf("Orders".into())));
    assert_eq!((mapping.enabled, mapping.bare_records, mapping.report_item_failures), (false, true, true));
    assert_eq!((mapping.batch_size, mapping.parallelization_factor, mapping.bisect_on_error), (10, 2, true));
    assert_eq!((mapping.retry_attempts_max, mapping.record_age_max_s), (Some(4), None));
    assert_eq!(
        (mapping.starting_position, &mapping.filters[..]),
        (StartingPosition::TrimHorizon, &[r#"{"eventName": ["INSERT"]}"#.to_owned()][..])
    );
    assert_eq!((plan.skipped.len(), plan.sinks.len()), (0, 0));
}

#[test]
fn a_pipe_to_a_queue_or_a_topic_is_a_sink() {
    let queue = "arn:aws:sqs:us-east-1:000000000000:q.fifo";
    let parameters =
        "      TargetParameters: {SqsQueueParameters: {MessageGroupId: $.dynamodb.Keys.a.S}}\n      Name: orders-out";
    let plan_of = |target: &str, more: &str| plan(&pipe(target, more, ""));
    let found = plan_of(queue, parameters);
    let expected = json!({"from": "orders", "to": format!("sqs:{queue}"), "values": "dynamodb-json", "start": "trim_horizon", "tries_max": 5,
                          "events": [{"eventName": ["INSERT"]}]});
    assert_eq!(found.sinks, [SinkPlan { logical_id: "P".into(), name: "orders-out".into(), config: expected }]);
    let group = "Resources.P.Properties.TargetParameters.SqsQueueParameters.MessageGroupId: a FIFO queue gets a group for each partition key, \
                 and the eventID against repeats";
    assert!(found.skipped.contains(&group.to_owned()), "{:?}", found.skipped);
    let topic = "arn:aws:sns:us-east-1:000000000000:t";
    assert_eq!(plan_of(topic, "").sinks[0].config["to"], format!("sns:{topic}"));
    // One of the template is not here, unless its ARN is given.
    let own = pipe("!GetAtt Q.Arn", "", "  Q: {Type: AWS::SQS::Queue}");
    let found = plan(&own);
    let told = "Resources.P.Properties.Target: Q.Arn (AWS::SQS::Queue) is not here; give it with --resource Q.Arn=VALUE; the pipe is skipped";
    assert!(found.sinks.is_empty() && found.skipped.contains(&told.to_owned()), "{:?}", found.skipped);
    let given = Options { resources: BTreeMap::from([("Q.Arn".to_owned(), queue.to_owned())]), ..Options::default() };
    assert_eq!(plan_with(&own, &given).unwrap().sinks[0].config["to"], format!("sqs:{queue}"));
}

#[test]
fn a_pipe_to_an_api_destination_is_a_webhook() {
    let resources = r"
  Conn:
    Type: AWS::Events::Connection
    Properties:
      AuthorizationType: BASIC
      AuthParameters:
        BasicAuthParameters: {Username: u, Password: p}
        InvocationHttpParameters: {HeaderParameters: [{Key: X-Shop, Value: s}]}
  Dest:
    Type: AWS::Events::ApiDestination
    Properties: {ConnectionArn: !GetAtt Conn.Arn, HttpMethod: POST, InvocationEndpoint: 'https://example.com/hook', InvocationRateLimitPerSecond: 5}
";
    let found = plan(&pipe("!GetAtt Dest.Arn", "", resources));
    let config = &found.sinks[0].config;
    assert_eq!(config["to"], "webhook+https://example.com/hook");
    assert_eq!(config["headers"], json!({"Authorization": "Basic dTpw", "X-Shop": "s"}));
    assert_eq!(config["throttle"], json!({"messages": 5, "seconds": 1}));
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
    let other = resources.replace("HttpMethod: POST", "HttpMethod: PUT");
    check_error(
        &pipe("!GetAtt Dest.Arn", "", &other),
        "Resources.Dest.Properties.HttpMethod: a sink sends by POST, not by PUT",
    );
}

#[test]
fn what_would_change_what_a_target_gets_stops_the_reading() {
    let at = "Resources.P.Properties";
    let unlike = "and without this one the target would get something else";
    check_error(
        &pipe("!GetAtt F.Arn", "      TargetParameters: {InputTemplate: '{\"a\": <$.eventName>}'}", ""),
        &format!("{at}.TargetParameters.InputTemplate: templates of the input are not here yet, {unlike}"),
    );
    check_error(
        &pipe("!GetAtt F.Arn", "      Enrichment: !GetAtt F.Arn", ""),
        &format!("{at}.Enrichment: an enrichment is not here yet, and without it the target would get something else"),
    );
    // From another source, or to another target, it is none of ours.
    let found = plan(&pipe("arn:aws:states:us-east-1:000000000000:stateMachine:s", "", ""));
    let told = format!(
        "{at}.Target: arn:aws:states:us-east-1:000000000000:stateMachine:s cannot be reached here; the pipe is skipped"
    );
    assert_eq!((found.mappings.len(), found.sinks.len(), found.skipped), (0, 0, vec![told]));
    let kinesis = pipe("!GetAtt F.Arn", "", "")
        .replace("!GetAtt Orders.StreamArn", "arn:aws:kinesis:us-east-1:000000000000:stream/s");
    assert!(plan(&kinesis).mappings.is_empty());
}
