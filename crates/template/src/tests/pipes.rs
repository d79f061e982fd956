//! Pipes: to a function, to queues, topics and API destinations.

use serde_json::json;

use super::*;

/// A template with a table, a function and a pipe with more properties, and more resources.
fn pipe(target: &str, more: &str, resources: &str) -> String {
    format!(
        r#"
Transform: AWS::Serverless-2016-10-31
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: orders
      AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]
      KeySchema: [{{AttributeName: a, KeyType: HASH}}]
      BillingMode: PAY_PER_REQUEST
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
fn a_pipe_to_a_delivery_stream_is_a_sink() {
    let stream = "  Clicks:\n    Type: AWS::KinesisFirehose::DeliveryStream\n    Properties:\n      \
                  S3DestinationConfiguration: {BucketARN: arn:aws:s3:::b, RoleARN: arn:aws:iam::000000000000:role/r}";
    let expected = json!({"from": "orders", "to": "firehose:Clicks", "newline": false, "values": "dynamodb-json",
                          "start": "trim_horizon", "events": [{"eventName": ["INSERT"]}]});
    for target in ["!GetAtt Clicks.Arn", "arn:aws:firehose:us-east-1:000000000000:deliverystream/Clicks"] {
        let plan = plan(&pipe(target, "      Name: out", stream));
        assert_eq!(
            plan.sinks,
            [SinkPlan { logical_id: "P".into(), name: "out".into(), config: expected.clone() }],
            "{target}"
        );
        assert_eq!((plan.delivery_streams.len(), plan.mappings.len()), (1, 0));
    }
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
    // It is found by its ARN, however that is written; so is the connection.
    for target in [
        "!If [Yes, !GetAtt Dest.Arn, x]",
        "!Sub '${Dest.Arn}'",
        "!Sub ['${To}', {To: !GetAtt [Dest, Arn]}]",
        "{'Fn::GetAtt': Dest.Arn}",
        "!Join ['', [!GetAtt Dest.Arn]]",
        "!Ref Dest",
    ] {
        let resources = resources.replace("!GetAtt Conn.Arn", "!Sub '${Conn.Arn}'");
        let found = plan(&(pipe(target, "", &resources) + "Conditions: {Yes: !Equals [a, a]}\n"));
        assert_eq!(found.sinks.len(), 1, "{target}: {:?}", found.skipped);
        assert_eq!(found.sinks[0].config["to"], "webhook+https://example.com/hook", "{target}");
    }
    let given = Options {
        resources: BTreeMap::from([("Dest.Arn".to_owned(), "arn:aws:events:x:1:api-destination/d/1".to_owned())]),
        ..Options::default()
    };
    assert_eq!(plan_with(&pipe("!GetAtt Dest.Arn", "", resources), &given).unwrap().sinks.len(), 1);
    let other = resources.replace("HttpMethod: POST", "HttpMethod: PUT");
    check_error(
        &pipe("!GetAtt Dest.Arn", "", &other),
        "Resources.Dest.Properties.HttpMethod: a sink sends by POST, not by PUT",
    );
}

/// The type of the body is a header like others, wherever it is said.
#[test]
fn the_headers_of_a_request_are_those_of_the_pipe_and_of_its_connection() {
    let resources = r"
  Conn:
    Type: AWS::Events::Connection
    Properties:
      AuthorizationType: API_KEY
      AuthParameters:
        ApiKeyAuthParameters: {ApiKeyName: X-Key, ApiKeyValue: k}
        InvocationHttpParameters: {HeaderParameters: [{Key: content-type, Value: application/x-shop}, {Key: Host, Value: h}]}
  Dest:
    Type: AWS::Events::ApiDestination
    Properties: {ConnectionArn: !GetAtt Conn.Arn, HttpMethod: POST, InvocationEndpoint: 'https://example.com/hook'}
";
    let more = "      TargetParameters: {HttpParameters: {HeaderParameters: {Content-Type: text/plain, X-Shop: s, x-key: no}}}";
    let found = plan(&pipe("!GetAtt Dest.Arn", more, resources));
    let config = &found.sinks[0].config;
    assert_eq!(config["content_type"], "application/x-shop");
    assert_eq!(config["headers"], json!({"X-Key": "k", "X-Shop": "s"}));
    assert_eq!(found.skipped, ["Resources.Conn: the header Host is set by the sink"]);
    let of_a_record = more.replace("X-Shop: s", "X-Shop: $.eventName");
    let at = "Resources.P.Properties.TargetParameters.HttpParameters.HeaderParameters.X-Shop";
    check_error(
        &pipe("!GetAtt Dest.Arn", &of_a_record, resources),
        &format!("{at}: not here yet, and without it the request would be another"),
    );
    // A secret that is not here: nobody would take the requests.
    let secret = resources.replace("ApiKeyValue: k", "ApiKeyValue: '{{resolve:secretsmanager:shop}}'");
    let found = plan(&pipe("!GetAtt Dest.Arn", "", &secret));
    let told = "Resources.Conn.Properties.AuthParameters.ApiKeyAuthParameters.ApiKeyValue: the secret shop is not here; give it with \
                --resource secretsmanager:shop=VALUE; the pipe is skipped";
    assert_eq!((found.sinks.len(), found.skipped), (0, vec![told.to_owned()]));
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
    // So is one that is stopped, or whose target is not here, whatever it says besides.
    let other = "      Enrichment: !GetAtt F.Arn\n      TargetParameters: {InputTemplate: x}\n      DesiredState: ";
    let bus = "arn:aws:events:us-east-1:000000000000:event-bus/default";
    for (target, state, told) in [
        (bus, "RUNNING", format!("{at}.Target: {bus} cannot be reached here; the pipe is skipped")),
        ("!GetAtt F.Arn", "STOPPED", "Resources.P: DesiredState is STOPPED: the pipe is left out".to_owned()),
        (
            "arn:aws:sqs:us-east-1:000000000000:q",
            "STOPPED",
            "Resources.P: DesiredState is STOPPED: the pipe is left out".to_owned(),
        ),
    ] {
        let found = plan(&pipe(target, &format!("{other}{state}"), ""));
        assert_eq!((found.mappings.len(), found.sinks.len(), found.skipped), (0, 0, vec![told]));
    }
    let kinesis = pipe("!GetAtt F.Arn", "", "")
        .replace("!GetAtt Orders.StreamArn", "arn:aws:kinesis:us-east-1:000000000000:stream/s");
    assert!(plan(&kinesis).mappings.is_empty());
}
