//! Settings of tables follow the template.

use super::*;

#[tokio::test]
async fn tags_follow_the_template_and_those_of_others_stay() {
    let project = Project::new();
    let with = |tags: &str| table_template(&format!("{KEY}Tags: [{tags}]"));
    let shown = async |server: &Server| {
        let arn = table(server).await["TableArn"].clone();
        let answer = call(server, "ListTagsOfResource", json!({"ResourceArn": arn})).await;
        let tags = answer["Tags"].as_array().unwrap().clone();
        let text = |tag: &Value, name: &str| tag[name].as_str().unwrap().to_owned();
        tags.iter().map(|tag| format!("{}={}", text(tag, "Key"), text(tag, "Value"))).collect::<Vec<_>>()
    };
    let (seen, _) = project.run(&with("{Key: a, Value: '1'}, {Key: b, Value: '2'}"), shown).await;
    assert_eq!(seen, ["a=1", "b=2"]);
    let own = async |server: &Server| {
        let arn = table(server).await["TableArn"].clone();
        let body = json!({"ResourceArn": arn, "Tags": [{"Key": "own", "Value": "0"}]});
        let body = body.to_string();
        let answer =
            ops::execute(server.db(), Service::DynamoDb, "TagResource", body.as_bytes(), &Caller::default()).await;
        answer.unwrap();
    };
    project.run(&with("{Key: a, Value: '1'}, {Key: b, Value: '2'}"), own).await;
    let (seen, told) = project.run(&with("{Key: a, Value: '3'}, {Key: c, Value: '4'}"), shown).await;
    assert_eq!((seen, told), (vec!["a=3".to_owned(), "c=4".to_owned(), "own=0".to_owned()], vec![]));
    let (seen, _) = project.run(&table_template(KEY), shown).await;
    assert_eq!(seen, ["own=0"]);
}

#[tokio::test]
async fn encryption_recovery_insights_and_policies_follow_the_template_and_end_with_it() {
    let project = Project::new();
    let shown = async |server: &Server| {
        let table = table(server).await;
        let name = json!({"TableName": "table"});
        let backups = call(server, "DescribeContinuousBackups", name.clone()).await;
        let recovery = &backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
        let insights = call(server, "DescribeContributorInsights", name.clone()).await;
        let kinesis = call(server, "DescribeKinesisStreamingDestination", name).await;
        let policy = async |arn: &Value| {
            let body = json!({"ResourceArn": arn}).to_string();
            let answer =
                ops::execute(server.db(), Service::DynamoDb, "GetResourcePolicy", body.as_bytes(), &Caller::default())
                    .await;
            answer.is_ok()
        };
        json!([
            table["SSEDescription"]["SSEType"],
            table["SSEDescription"]["KMSMasterKeyArn"],
            recovery["PointInTimeRecoveryStatus"],
            recovery["RecoveryPeriodInDays"],
            insights["ContributorInsightsStatus"],
            kinesis["KinesisDataStreamDestinations"].as_array().map_or(0, Vec::len),
            policy(&table["TableArn"]).await,
            policy(&table["LatestStreamArn"]).await,
        ])
    };
    let document = "{Version: 2012-10-17, Statement: [{Effect: Allow, Principal: '*', Action: 'dynamodb:GetItem', Resource: '*'}]}";
    let stream = "StreamSpecification: {StreamViewType: KEYS_ONLY";
    let with = |key: &str, days: u32| {
        table_template(&format!(
            "{KEY}SSESpecification: {{SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: {key}}}
PointInTimeRecoverySpecification: {{PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: {days}}}
ContributorInsightsSpecification: {{Enabled: true}}
KinesisStreamSpecification: {{StreamArn: 'arn:aws:kinesis:us-east-1:000000000000:stream/s'}}
ResourcePolicy: {{PolicyDocument: {document}}}
{stream}, ResourcePolicy: {{PolicyDocument: {document}}}}}"
        ))
    };
    let arn = |id: &str| format!("arn:aws:kms:us-east-1:000000000000:key/{id}");
    let on = |id: &str, days: u32| json!(["KMS", arn(id), "ENABLED", days, "FAILED", 1, true, true]);
    assert_eq!(project.run(&with("one", 7), shown).await.0, on("one", 7));
    assert_eq!(project.run(&with("one", 7), shown).await.0, on("one", 7));
    assert_eq!(project.run(&with(&arn("two"), 8), shown).await.0, on("two", 8));
    assert_eq!(project.run(&with(&arn("two"), 8), shown).await.0, on("two", 8));
    let off = json!([null, null, "DISABLED", null, "DISABLED", 0, false, false]);
    let bare = table_template(&format!("{KEY}{stream}}}"));
    assert_eq!(project.run(&bare, shown).await.0, off);
    assert_eq!(project.run(&bare, shown).await.0, off);
    let alias =
        |key: &str| table_template(&format!("{KEY}SSESpecification: {{SSEEnabled: true, KMSMasterKeyId: {key}}}"));
    let key = async |server: &Server| table(server).await["SSEDescription"]["KMSMasterKeyArn"].clone();
    let (first, _) = project.run(&alias("alias/first"), key).await;
    let (same, _) = project.run(&alias("alias/first"), key).await;
    let (second, _) = project.run(&alias("alias/second"), key).await;
    assert!(first.is_string() && first == same && second.is_string() && second != first, "{first} {same} {second}");
}

/// One destination is live at a time: the one that a template asks for from now on takes the place of one that a client has switched on, and
/// what the template has asked for all along takes nobody's.
#[tokio::test]
async fn a_kinesis_destination_of_the_template_takes_the_place_of_a_clients() {
    let project = Project::new();
    let arn = |stream: &str| format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
    let started = async |stream: &str| {
        let template = table_template(&format!("{KEY}KinesisStreamSpecification: {{StreamArn: '{}'}}", arn(stream)));
        // Nobody is there, and nothing is written.
        let there = |config: &mut Config| config.kinesis_endpoint = Some("http://127.0.0.1:9".to_owned());
        project.try_start_with(&template, there).await.unwrap()
    };
    let live = async |server: &Server| {
        let described = call(server, "DescribeKinesisStreamingDestination", json!({"TableName": "table"})).await;
        let all = described["KinesisDataStreamDestinations"].as_array().unwrap().clone();
        let is_off = |one: &Value| ["DISABLING", "DISABLED"].contains(&one["DestinationStatus"].as_str().unwrap());
        all.into_iter().filter(|one| !is_off(one)).map(|one| one["StreamArn"].clone()).collect::<Vec<_>>()
    };
    let (server, _) = started("first").await;
    assert_eq!(live(&server).await, [arn("first")]);
    call(&server, "DisableKinesisStreamingDestination", json!({"TableName": "table", "StreamArn": arn("first")})).await;
    call(&server, "EnableKinesisStreamingDestination", json!({"TableName": "table", "StreamArn": arn("own")})).await;
    server.stop().await.unwrap();
    let (server, told) = started("first").await;
    assert_eq!((live(&server).await, told), (vec![json!(arn("own"))], vec![]));
    server.stop().await.unwrap();
    let (server, told) = started("second").await;
    assert_eq!(live(&server).await, [arn("second")]);
    let told = told.join("\n");
    assert!(told.contains(&format!("no more to {}, which a client had switched on", arn("own"))), "{told}");
    server.stop().await.unwrap();
}
