//! What is set for a table beside its descriptor: tags, encryption, policies, backups, insights, Kinesis.

use super::*;

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/users";

fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

async fn tagged(bench: &Bench) -> Value {
    bench.ok("ListTagsOfResource", json!({"ResourceArn": ARN})).await["Tags"].clone()
}

/// docs/spec/dynamodb-api.md 8.3
#[tokio::test]
async fn tags_are_set_replaced_and_taken_away_and_answered_without_a_body() {
    let bench = Bench::new().await;
    bench.ok("CreateTable", with(on_demand("users"), json!({"Tags": tags(&[("b", "1")])}))).await;
    assert_eq!(tagged(&bench).await, tags(&[("b", "1")]));
    let body = json!({"ResourceArn": ARN, "Tags": tags(&[("c", ""), ("a", "x y"), ("b", "2")])});
    assert_eq!(bench.ok("TagResource", body).await, Value::Null);
    assert_eq!(tagged(&bench).await, tags(&[("a", "x y"), ("b", "2"), ("c", "")]));
    let body = json!({"ResourceArn": ARN, "TagKeys": ["b", "never"]});
    assert_eq!(bench.ok("UntagResource", body).await, Value::Null);
    assert_eq!(tagged(&bench).await, tags(&[("a", "x y"), ("c", "")]));
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    bench.create("users", None).await;
    assert_eq!(tagged(&bench).await, json!([]), "they went with their table");
}

/// docs/spec/dynamodb-api.md 8.3: the texts; nothing of a request that is refused is done.
#[tokio::test]
async fn what_tags_may_not_be() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let too_many: Vec<(String, &str)> = (0..51).map(|n| (format!("k{n:02}"), "v")).collect();
    let too_many: Vec<(&str, &str)> = too_many.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let (long_key, long_value) = ("k".repeat(129), "v".repeat(257));
    let count = "Number of Tags exceed the current limit for the provided ResourceArn";
    let cases = [
        (tags(&[]), "Atleast one Tag needs to be provided as Input.".to_owned()),
        (tags(&[("ok", "1"), ("", "1")]), "The Tag Key provided is invalid, Key: ".to_owned()),
        (tags(&[("ok", "1"), (&long_key, "1")]), format!("The Tag Key provided is invalid, Key: {long_key}")),
        (tags(&[("ok", "1"), ("a#b", "1")]), "The Tag Key provided is invalid, Key: a#b".to_owned()),
        (tags(&[("ok", "1"), ("a", &long_value)]), format!("The Tag Value provided is invalid, Value: {long_value}")),
        (tags(&[("ok", "1"), ("a", "100%")]), "The Tag Value provided is invalid, Value: 100%".to_owned()),
        (tags(&[("ok", "1"), ("aws:x", "1")]), "Tag Key cannot be prefixed with aws:, Key: aws:x".to_owned()),
        (
            tags(&[("ok", "1"), ("d", "1"), ("d", "2")]),
            "Duplicate Tag Keys provided as input: Duplicate Tag Key found d".to_owned(),
        ),
        (tags(&too_many), count.to_owned()),
        (json!([{"Value": "v"}]), "The Tag Key provided is invalid, Key: null".to_owned()),
        (json!([{"Key": "k"}]), "The Tag Value provided is invalid, Value: null".to_owned()),
    ];
    for (given, expected) in cases {
        let expected = format!("ValidationException: {expected}");
        bench.refused("TagResource", json!({"ResourceArn": ARN, "Tags": given}), &expected).await;
        if given != json!([]) {
            bench.refused("CreateTable", with(on_demand("other"), json!({"Tags": given})), &expected).await;
        }
    }
    assert_eq!(tagged(&bench).await, json!([]));
    assert_eq!(bench.ok("ListTables", json!({})).await["TableNames"], json!(["users"]));

    bench.ok("TagResource", json!({"ResourceArn": ARN, "Tags": tags(&too_many[..50])})).await;
    let one_more = json!({"ResourceArn": ARN, "Tags": tags(&[("k00", "w"), ("k99", "w")])});
    bench.refused("TagResource", one_more, &format!("ValidationException: {count}")).await;
    bench.ok("TagResource", json!({"ResourceArn": ARN, "Tags": tags(&[("k00", "w"), ("k49", "ключ é 表")])})).await;
    let keys: Vec<&str> = too_many.iter().map(|(key, _)| *key).collect();
    for (keys, expected) in [
        (json!([]), "Atleast one Tag Key needs to be provided as Input."),
        (json!(["a", ""]), "The Tag Key provided is invalid, Key: "),
        (json!(keys), count),
    ] {
        let expected = format!("ValidationException: {expected}");
        bench.refused("UntagResource", json!({"ResourceArn": ARN, "TagKeys": keys}), &expected).await;
    }
}

/// docs/spec/dynamodb-api.md 8.3: ten on a page.
#[tokio::test]
async fn tags_come_in_pages() {
    let bench = Bench::new().await;
    let all: Vec<(String, String)> = (0..23).map(|n| (format!("k{n:02}"), n.to_string())).collect();
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    bench.ok("CreateTable", with(on_demand("users"), json!({"Tags": tags(&all)}))).await;
    let mut body = json!({"ResourceArn": ARN});
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    loop {
        let page = bench.ok("ListTagsOfResource", body.clone()).await;
        sizes.push(page["Tags"].as_array().unwrap().len());
        seen.extend(page["Tags"].as_array().unwrap().iter().cloned());
        let Some(token) = page.get("NextToken") else { break };
        body["NextToken"] = token.clone();
    }
    assert_eq!((sizes, Value::Array(seen)), (vec![10, 10, 3], tags(&all)));
    bench.ok("UntagResource", json!({"ResourceArn": ARN, "TagKeys": ["k00", "k01", "k02"]})).await;
    let first = bench.ok("ListTagsOfResource", json!({"ResourceArn": ARN})).await;
    let exactly = json!({"ResourceArn": ARN, "NextToken": first["NextToken"]});
    assert_eq!(bench.ok("ListTagsOfResource", exactly).await.get("NextToken"), None, "ten are left, no more");
    let foreign = json!({"ResourceArn": ARN, "NextToken": "k12"});
    assert_eq!(bench.ok("ListTagsOfResource", foreign).await, first, "as without one");
}

/// docs/spec/dynamodb-api.md 8.3: the ARN.
#[tokio::test]
async fn which_arns_have_tags() {
    let bench = Bench::new().await;
    let stream = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    let only = "Invalid resource arn provided, only table or stream is accepted. Provided resource arn";
    for (arn, expected) in [
        (String::new(), "ValidationException: Invalid TableArn".to_owned()),
        ("users".to_owned(), format!("{PARAMETER}ARNs must start with 'arn:': users")),
        (
            "arn:aws:s3:::b".to_owned(),
            format!("{PARAMETER}Provided Arn is not a DynamoDB resource arn: arn:aws:s3:::b"),
        ),
        (format!("{ARN}/index/i"), format!("{PARAMETER}{only}: {ARN}/index/i")),
        (
            ARN.replace("us-east-1", "eu-west-1"),
            format!(
                "ValidationException: Invalid TableArn: Invalid ResourceArn provided as input {}",
                ARN.replace("us-east-1", "eu-west-1")
            ),
        ),
        (ARN.replace("000000000000", "111111111111"), "AccessDeniedException: Access is denied".to_owned()),
        (
            ARN.replace("users", "nobody"),
            format!(
                "ResourceNotFoundException: Requested resource not found: ResourceArn: {} not found",
                ARN.replace("users", "nobody")
            ),
        ),
        (
            stream.clone(),
            format!("ResourceNotFoundException: Requested resource not found: ResourceArn: {stream} not found"),
        ),
    ] {
        let body = json!({"ResourceArn": arn, "Tags": tags(&[("a", "b")]), "TagKeys": ["a"]});
        for operation in ["TagResource", "UntagResource", "ListTagsOfResource"] {
            bench.refused(operation, body.clone(), &expected).await;
        }
    }
    bench.refused("ListTagsOfResource", json!({}), "ValidationException: Invalid TableArn").await;
    let null = "Value null at 'tags' failed to satisfy constraint: Member must not be null";
    bench.refused("TagResource", json!({"ResourceArn": ARN}), &format!("{ENVELOPE}{null}")).await;
    let null = "Value null at 'tagKeys' failed to satisfy constraint: Member must not be null";
    bench.refused("UntagResource", json!({"ResourceArn": ARN}), &format!("{ENVELOPE}{null}")).await;
}

/// docs/spec/dynamodb-api.md 2.1 row 35: without Enabled.
#[tokio::test]
async fn a_type_of_encryption_asks_for_it_and_nothing_for_none() {
    let bench = Bench::new().await;
    let sse = |sse: Value| with(on_demand("users"), json!({"SSESpecification": sse}));
    let created = bench.ok("CreateTable", sse(json!({"SSEType": "KMS"}))).await["TableDescription"].clone();
    assert_eq!(created["SSEDescription"]["Status"], "ENABLED");
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    let created = bench.ok("CreateTable", sse(json!({}))).await["TableDescription"].clone();
    assert_eq!(created.get("SSEDescription"), None);
}

/// docs/spec/dynamodb-api.md 2.1 row 35, 2.2: kept and told back.
#[tokio::test]
async fn encryption_is_told_of_by_the_arn_of_its_key() {
    let bench = Bench::new().await;
    let key = "arn:aws:kms:us-east-1:000000000000:key/0f0e0d0c-1111-2222-3333-444455556666";
    let id = key.rsplit('/').next().unwrap();
    let sse = json!({"SSESpecification": {"Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": id}});
    let created = bench.ok("CreateTable", with(on_demand("users"), sse)).await["TableDescription"].clone();
    let enabled = json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key});
    assert_eq!(created["SSEDescription"], enabled);
    assert_eq!(bench.describe("users").await["SSEDescription"], enabled);

    let update = |sse: Value| bench.call("UpdateTable", json!({"TableName": "users", "SSESpecification": sse}));
    let again = update(json!({"Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": key})).await;
    let same = "Table is already encrypted with given KMSMasterKeyId. Use KMSMasterKeyId parameter if you want to change \
                Master Key";
    bench.expect(again, &format!("{PARAMETER}{same}"));
    let updated = update(json!({"Enabled": true})).await.unwrap()["TableDescription"].clone();
    assert_eq!(updated["TableStatus"], "ACTIVE");
    assert_eq!(updated["SSEDescription"], json!({"Status": "UPDATING", "SSEType": "KMS", "KMSMasterKeyArn": key}));
    let aws_key = bench.describe("users").await["SSEDescription"]["KMSMasterKeyArn"].clone();
    assert!(aws_key.as_str().unwrap().starts_with("arn:aws:kms:us-east-1:000000000000:key/") && aws_key != key);
    update(json!({"Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": "alias/aws/dynamodb"})).await.unwrap();
    assert_eq!(bench.describe("users").await["SSEDescription"]["KMSMasterKeyArn"], aws_key, "always the same");
    update(json!({"Enabled": false})).await.unwrap();
    assert_eq!(bench.describe("users").await.get("SSEDescription"), None);
    for off in [json!({"Enabled": false}), json!({})] {
        bench.expect(update(off).await, &format!("{PARAMETER}Table is already encrypted by default"));
    }
    update(json!({"SSEType": "KMS"})).await.unwrap();
    assert_eq!(bench.describe("users").await["SSEDescription"]["KMSMasterKeyArn"], aws_key, "a type alone asks for it");
    update(json!({"SSEType": "KMS", "KMSMasterKeyId": id})).await.unwrap();
    assert_eq!(bench.describe("users").await["SSEDescription"], enabled);
    update(json!({"Enabled": false})).await.unwrap();
    let from_default = update(json!({"Enabled": true})).await.unwrap()["TableDescription"].clone();
    assert_eq!(from_default["SSEDescription"], json!({"Status": "UPDATING"}));
    let both = json!({"TableName": "users", "SSESpecification": {"Enabled": false}, "TableClass": "STANDARD"});
    let alone = "Server-Side Encryption modification must be the only operation in the request";
    bench.refused("UpdateTable", both, &format!("{PARAMETER}{alone}")).await;
}

fn policy(action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": action, "Resource": ARN},
    ]})
    .to_string()
}

/// docs/spec/dynamodb-api.md 8.6
#[tokio::test]
async fn policies_have_revisions() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let get = || bench.call("GetResourcePolicy", json!({"ResourceArn": ARN}));
    let none = "PolicyNotFoundException: Resource-based policy not found for the provided ResourceArn: ";
    bench.expect(get().await, &format!("{none}{ARN}"));
    let put = |policy: String, more: Value| {
        bench.call("PutResourcePolicy", with(json!({"ResourceArn": ARN, "Policy": policy}), more))
    };
    let first = put(policy("dynamodb:GetItem"), json!({"ExpectedRevisionId": "NO_POLICY"})).await.unwrap();
    assert_eq!(first, json!({"RevisionId": START_MS.to_string()}));
    bench.clock.advance(1_000);
    let spaced = policy("dynamodb:GetItem").replace(':', " : ").replace("dynamodb : ", "dynamodb:");
    let spaced = spaced.replace("arn : aws : iam :  : 000000000000 : root", "arn:aws:iam::000000000000:root");
    let spaced = spaced.replace(&ARN.replace(':', " : ").replace("dynamodb : ", "dynamodb:"), ARN);
    assert_eq!(put(spaced, json!({})).await.unwrap(), first, "the same policy");
    let reordered = format!(
        r#"{{"Statement":[{{"Resource":"{ARN}","Action":["dynamodb:GetItem"],"Principal":{{"AWS":"000000000000"}},"Effect":"Allow"}}],
            "Version":"2012-10-17"}}"#
    );
    assert_eq!(put(reordered, json!({})).await.unwrap(), first, "the same policy with other words");
    let second = put(policy("dynamodb:PutItem"), json!({"ExpectedRevisionId": first["RevisionId"]})).await.unwrap();
    assert_eq!(second, json!({"RevisionId": (START_MS + 1_000).to_string()}));
    let kept = get().await.unwrap();
    assert_eq!(kept["RevisionId"], second["RevisionId"]);
    let document: Value = serde_json::from_str(kept["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(document["Statement"][0]["Action"], "dynamodb:PutItem");
    let stale = put(policy("*"), json!({"ExpectedRevisionId": first["RevisionId"]})).await;
    let why = format!(
        "Requested update for policy with revision id {START_MS}, but the policy associated to target table users has \
         revision id {}.",
        START_MS + 1_000
    );
    bench.expect(stale, &format!("{none}{why}"));
    let present = put(policy("*"), json!({"ExpectedRevisionId": "NO_POLICY"})).await.unwrap_err();
    assert!(present.to_string().starts_with(&format!("{none}Requested policy update expecting none")), "{present}");

    let delete = || bench.call("DeleteResourcePolicy", json!({"ResourceArn": ARN}));
    bench.clock.advance(1_000);
    assert_eq!(delete().await.unwrap(), second);
    bench.clock.advance(1_000);
    let deleted = json!({"RevisionId": (START_MS + 2_000).to_string()});
    assert_eq!(delete().await.unwrap(), deleted, "when that was");
    let third = put(policy("dynamodb:PutItem"), json!({})).await.unwrap();
    assert_eq!(third, json!({"RevisionId": (START_MS + 3_000).to_string()}));
    assert_eq!(delete().await.unwrap(), third);
    let stale = json!({"ResourceArn": ARN, "ExpectedRevisionId": "1"});
    assert!(bench.call("DeleteResourcePolicy", stale).await.unwrap_err().to_string().starts_with(none));
    bench.create("others", None).await;
    let never = json!({"ResourceArn": ARN.replace("users", "others")});
    assert_eq!(bench.ok("DeleteResourcePolicy", never).await, json!({}), "it never had one");
    let large = put(" ".repeat(20_481), json!({})).await;
    bench.expect(large, &format!("{PARAMETER}Maximum policy size of 20480 bytes exceeded"));
    let nobody = json!({"ResourceArn": ARN.replace("users", "nobody"), "Policy": policy("*")});
    let gone = "ResourceNotFoundException: Requested resource not found: Table: nobody not found";
    bench.refused("PutResourcePolicy", nobody, gone).await;
}

#[tokio::test]
async fn a_stream_has_a_policy_of_its_own() {
    let bench = Bench::new().await;
    let body = json!({
        "ResourcePolicy": policy("*"),
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"},
    });
    let created = bench.ok("CreateTable", with(on_demand("users"), body)).await;
    let stream = created["TableDescription"]["LatestStreamArn"].clone();
    let of_table = bench.ok("GetResourcePolicy", json!({"ResourceArn": ARN})).await;
    assert_eq!(of_table["RevisionId"], START_MS.to_string());
    let error = bench.call("GetResourcePolicy", json!({"ResourceArn": stream})).await.unwrap_err();
    assert!(error.to_string().starts_with("PolicyNotFoundException"), "{error}");
    let put = json!({"ResourceArn": stream, "Policy": policy("dynamodb:GetRecords")});
    bench.ok("PutResourcePolicy", put).await;
    bench.ok("DeleteResourcePolicy", json!({"ResourceArn": ARN})).await;
    let of_stream = bench.ok("GetResourcePolicy", json!({"ResourceArn": stream})).await;
    assert!(of_stream["Policy"].as_str().unwrap().contains("dynamodb:GetRecords"));
    let faulty = with(on_demand("other"), json!({"ResourcePolicy": "{}"}));
    let text = format!("{PARAMETER}Invalid policy document: Syntax error at position (1,3)");
    bench.refused("CreateTable", faulty, &text).await;
}

/// docs/spec/dynamodb-api.md 8.4
#[tokio::test]
async fn point_in_time_recovery_is_switched_and_has_a_window() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let describe = || async {
        let answer = bench.ok("DescribeContinuousBackups", json!({"TableName": "users"})).await;
        assert_eq!(answer["ContinuousBackupsDescription"]["ContinuousBackupsStatus"], "ENABLED");
        answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"].clone()
    };
    let update = |specification: Value| {
        let body = json!({"TableName": "users", "PointInTimeRecoverySpecification": specification});
        bench.call("UpdateContinuousBackups", body)
    };
    assert_eq!(describe().await, json!({"PointInTimeRecoveryStatus": "DISABLED"}));
    let on = json!({"PointInTimeRecoveryEnabled": true});
    let answer = update(on.clone()).await.unwrap();
    let start = START_MS as f64 / 1000.0;
    let enabled = |days: u32, earliest: f64, latest: f64| {
        json!({"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": days,
            "EarliestRestorableDateTime": earliest, "LatestRestorableDateTime": latest})
    };
    let told = &answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
    assert_eq!(*told, enabled(35, start, start));
    bench.clock.advance(600_000);
    update(json!({"PointInTimeRecoveryEnabled": true, "RecoveryPeriodInDays": 1})).await.unwrap();
    assert_eq!(describe().await, enabled(1, start, start + 300.0));
    bench.clock.advance(2 * 24 * 60 * 60 * 1000);
    let now = start + 600.0 + 2.0 * 86_400.0;
    assert_eq!(describe().await, enabled(1, now - 86_400.0, now - 300.0));
    let both = update(json!({"PointInTimeRecoveryEnabled": false, "RecoveryPeriodInDays": 3})).await;
    let text = "Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.";
    bench.expect(both, &format!("ValidationException: {text}"));
    update(json!({"PointInTimeRecoveryEnabled": false})).await.unwrap();
    assert_eq!(describe().await, json!({"PointInTimeRecoveryStatus": "DISABLED"}));
    update(on).await.unwrap();
    assert_eq!(describe().await, enabled(35, now, now), "it begins anew");
    let days = "Value '36' at 'pointInTimeRecoverySpecification.recoveryPeriodInDays' failed to satisfy constraint: Member \
                must have value less than or equal to 35";
    let many = update(json!({"PointInTimeRecoveryEnabled": true, "RecoveryPeriodInDays": 36})).await;
    bench.expect(many, &format!("{ENVELOPE}{days}"));
    let nobody = json!({"TableName": "nobody"});
    bench.refused("DescribeContinuousBackups", nobody, "TableNotFoundException: Table not found: nobody").await;
}

/// docs/spec/dynamodb-api.md 8.6
#[tokio::test]
async fn contributor_insights_that_are_asked_for_fail_with_a_reason() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    bench.create("other", None).await;
    let describe = || bench.ok("DescribeContributorInsights", json!({"TableName": "users"}));
    assert_eq!(describe().await, json!({"TableName": "users", "ContributorInsightsStatus": "DISABLED"}));
    let update = |action: &str| {
        let body = json!({"TableName": "users", "ContributorInsightsAction": action});
        bench.call("UpdateContributorInsights", body)
    };
    assert_eq!(update("DISABLE").await.unwrap()["ContributorInsightsStatus"], "DISABLED");
    let mode = "ACCESSED_AND_THROTTLED_KEYS";
    let enabling =
        json!({"TableName": "users", "ContributorInsightsStatus": "ENABLING", "ContributorInsightsMode": mode});
    assert_eq!(update("ENABLE").await.unwrap(), enabling);
    let failed = describe().await;
    assert_eq!(
        (&failed["ContributorInsightsStatus"], &failed["ContributorInsightsMode"]),
        (&json!("FAILED"), &json!(mode))
    );
    assert_eq!(failed["LastUpdateDateTime"], START_MS as f64 / 1000.0);
    let why = failed["FailureException"]["ExceptionDescription"].as_str().unwrap();
    assert!(why.contains("Tailrace"), "{why}");
    let summary = json!({"TableName": "users", "ContributorInsightsStatus": "FAILED", "ContributorInsightsMode": mode});
    let one = json!({"ContributorInsightsSummaries": [summary.clone()]});
    assert_eq!(bench.ok("ListContributorInsights", json!({"TableName": "users"})).await, one);
    assert_eq!(bench.ok("ListContributorInsights", json!({})).await, one);
    let page = bench.ok("ListContributorInsights", json!({"MaxResults": 1})).await;
    assert_eq!(page, json!({"ContributorInsightsSummaries": [], "NextToken": "other"}));
    let next = json!({"MaxResults": 1, "NextToken": "other"});
    assert_eq!(bench.ok("ListContributorInsights", next).await["ContributorInsightsSummaries"], json!([summary]));
    assert_eq!(update("DISABLE").await.unwrap()["ContributorInsightsStatus"], "DISABLING");
    assert_eq!(describe().await["ContributorInsightsStatus"], "DISABLED");

    let index = json!({"TableName": "users", "IndexName": "by-x"});
    let gone = "ResourceNotFoundException: Requested resource not found: Index by-x for table users";
    bench.refused("DescribeContributorInsights", index, gone).await;
    let short = "ValidationException: IndexName must be at least 3 characters long and at most 255 characters long";
    bench.refused("DescribeContributorInsights", json!({"TableName": "users", "IndexName": "x"}), short).await;
}

#[tokio::test]
async fn an_index_has_contributor_insights_of_its_own_until_it_is_deleted() {
    let bench = Bench::new().await;
    let index = json!({
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "S"}],
        "GlobalSecondaryIndexes": [{"IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"}}],
    });
    bench.ok("CreateTable", with(on_demand("users"), index)).await;
    let enable = json!({"TableName": "users", "IndexName": "by-g", "ContributorInsightsAction": "ENABLE",
        "ContributorInsightsMode": "THROTTLED_KEYS"});
    let answer = bench.ok("UpdateContributorInsights", enable).await;
    assert_eq!((&answer["IndexName"], &answer["ContributorInsightsMode"]), (&json!("by-g"), &json!("THROTTLED_KEYS")));
    let of = |body: Value| bench.ok("DescribeContributorInsights", body);
    assert_eq!(of(json!({"TableName": "users"})).await["ContributorInsightsStatus"], "DISABLED");
    let described = of(json!({"TableName": "users", "IndexName": "by-g"})).await;
    assert_eq!((&described["ContributorInsightsStatus"], &described["IndexName"]), (&json!("FAILED"), &json!("by-g")));
    let listed = || bench.ok("ListContributorInsights", json!({"TableName": "users"}));
    assert_eq!(listed().await["ContributorInsightsSummaries"][0]["IndexName"], "by-g");
    let delete = json!({"TableName": "users", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-g"}}]});
    bench.ok("UpdateTable", delete).await;
    assert_eq!(listed().await["ContributorInsightsSummaries"], json!([]));
}

/// docs/spec/dynamodb-api.md 8.6
#[tokio::test]
async fn backups_are_listed_from_an_arn_of_this_region() {
    let bench = Bench::new().await;
    let start = format!("{ARN}/backup/01791525400213-63b4d36a");
    let from = |arn: &str| json!({"ExclusiveStartBackupArn": arn});
    assert_eq!(bench.ok("ListBackups", from(&start)).await, json!({"BackupSummaries": []}));
    let other = "ValidationException: Invalid Request: The supplied ExclusiveStartBackupArn does not match the region";
    bench.refused("ListBackups", from(&start.replace("us-east-1", "us-west-2")), other).await;
}

/// docs/spec/dynamodb-api.md 8.6
#[tokio::test]
async fn a_kinesis_stream_that_is_asked_for_fails_with_a_reason() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/changes";
    let describe = || bench.ok("DescribeKinesisStreamingDestination", json!({"TableName": "users"}));
    assert_eq!(describe().await, json!({"TableName": "users", "KinesisDataStreamDestinations": []}));
    let body = json!({"TableName": "users", "StreamArn": stream});
    let enabled = bench.ok("EnableKinesisStreamingDestination", body.clone()).await;
    let enabling = json!({"DestinationStatus": "ENABLING", "EnableKinesisStreamingConfiguration": {}});
    assert_eq!(enabled, with(body.clone(), enabling));
    let failed = describe().await["KinesisDataStreamDestinations"][0].clone();
    assert_eq!((&failed["DestinationStatus"], &failed["StreamArn"]), (&json!("ENABLE_FAILED"), &json!(stream)));
    assert!(failed["DestinationStatusDescription"].as_str().unwrap().contains("Tailrace"));
    let state = "ValidationException: Table is not in a valid state to enable Kinesis Streaming Destination: ";
    let active = "KinesisStreamingDestination must be ACTIVE to perform DISABLE operation.";
    bench.refused("DisableKinesisStreamingDestination", body.clone(), &format!("{state}{active}")).await;
    let nothing = "ValidationException: Streaming destination cannot be updated with given parameters: \
                   UpdateKinesisStreamingConfiguration cannot be null or contain only null values";
    bench.refused("UpdateKinesisStreamingDestination", body.clone(), nothing).await;
    let precision =
        json!({"UpdateKinesisStreamingConfiguration": {"ApproximateCreationDateTimePrecision": "MICROSECOND"}});
    let error = bench.call("UpdateKinesisStreamingDestination", with(body, precision)).await.unwrap_err();
    assert!(error.to_string().starts_with(state), "{error}");
    for other in [ARN, "arn:aws:firehose:us-east-1:000000000000:deliverystream/s"] {
        let body = json!({"TableName": "users", "StreamArn": other});
        let enabled = bench.ok("EnableKinesisStreamingDestination", body).await;
        assert_eq!(enabled["DestinationStatus"], "ENABLING");
        let failed = describe().await["KinesisDataStreamDestinations"][0].clone();
        assert_eq!((&failed["DestinationStatus"], &failed["StreamArn"]), (&json!("ENABLE_FAILED"), &json!(other)));
    }
    let short =
        "Value 'arn' at 'streamArn' failed to satisfy constraint: Member must have length greater than or equal to 37";
    let body = json!({"TableName": "users", "StreamArn": "arn"});
    bench.refused("EnableKinesisStreamingDestination", body, &format!("{ENVELOPE}{short}")).await;
}

/// docs/spec/dynamodb-api.md 2, 8.6
#[tokio::test]
async fn what_there_is_nothing_of_is_listed_as_nothing() {
    let bench = Bench::new().await;
    for (operation, member) in [
        ("ListBackups", "BackupSummaries"),
        ("ListExports", "ExportSummaries"),
        ("ListImports", "ImportSummaryList"),
        ("ListGlobalTables", "GlobalTables"),
    ] {
        assert_eq!(bench.ok(operation, json!({})).await, json!({member: []}), "{operation}");
    }
    let name = json!({"GlobalTableName": "glob", "ReplicaUpdates": [], "ReplicationGroup": []});
    let none = "GlobalTableNotFoundException: Global table not found: Global table with name: 'glob' does not exist.";
    for operation in
        ["DescribeGlobalTable", "UpdateGlobalTable", "DescribeGlobalTableSettings", "UpdateGlobalTableSettings"]
    {
        bench.refused(operation, name.clone(), none).await;
    }
    let version = "DynamoDB global tables version 2017.11.29 is not supported. We recommend using DynamoDB global tables \
                   version 2019.11.21, instead of version 2017.11.29 (Legacy).";
    bench.refused("CreateGlobalTable", name, &format!("{PARAMETER}{version}")).await;
    let backwards = json!({"TimeRangeLowerBound": 2, "TimeRangeUpperBound": 1.5});
    let text = format!("{PARAMETER}Time range lower bound must be less than or equal to upper bound");
    bench.refused("ListBackups", backwards, &text).await;
}

/// Case: an operation that AWS has and Tailrace has not names itself.
#[tokio::test]
async fn an_operation_that_is_not_there_yet_names_itself() {
    let bench = Bench::new().await;
    let text = "UnknownOperationException: Tailrace does not have the operation CreateBackup yet";
    bench.refused("CreateBackup", json!({}), text).await;
    bench.refused("MakeCoffee", json!({}), "UnknownOperationException").await;
}

/// What a newer program set for a table outlives a change by this one, and what is taken out stays out.
#[tokio::test]
async fn settings_of_a_newer_program_are_kept() {
    let bench = Bench::new().await;
    let body = json!({"Tags": tags(&[("a", "1"), ("b", "2")])});
    bench.ok("CreateTable", with(on_demand("users"), body)).await;
    let id = bench.db.find_table("users").await.unwrap().unwrap().id;
    let key = tailrace_store::keyspace::TableSettingsKey { table: id }.encode();
    let row = || async {
        let rows = Engine::get(bench.store.as_ref(), std::slice::from_ref(&key)).await.unwrap();
        serde_json::from_slice::<Value>(rows[0].as_ref().unwrap()).unwrap()
    };
    let newer = with(row().await, json!({"x_new": {"y": 1}}));
    let value = bytes::Bytes::from(serde_json::to_vec(&newer).unwrap());
    tailrace_store::commit(bench.store.as_ref(), &[], std::slice::from_ref(&key), |_| {
        tailrace_store::Decision::Apply(vec![tailrace_store::Write::Put { key: key.clone(), value: value.clone() }], ())
    })
    .await
    .unwrap();
    bench.ok("UntagResource", json!({"ResourceArn": ARN, "TagKeys": ["a"]})).await;
    let after = row().await;
    assert_eq!((&after["x_new"], &after["tags"]), (&json!({"y": 1}), &json!([{"key": "b", "value": "2"}])));
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    assert_eq!(Engine::get(bench.store.as_ref(), std::slice::from_ref(&key)).await.unwrap(), [None]);
}

/// Whoever changes settings sees the table in the same commit: of one that is gone, or made again, nothing is kept.
#[tokio::test]
async fn settings_are_changed_for_the_table_that_was_found_or_not_at_all() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let found = bench.db.find_table("users").await.unwrap().unwrap();
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    bench.create("users", None).await;
    let gone = ApiError::not_found("gone");
    let asked = ("TagResource", &Caller::default());
    let answer = crate::tables::settings::change(&bench.db, &found, gone.clone(), asked, |settings| {
        settings.tags.push(tailrace_api::tables::Tag { key: "a".to_owned(), value: "b".to_owned() });
        Ok(())
    });
    assert_eq!(answer.await, Err(gone));
    assert_eq!(tagged(&bench).await, json!([]));
    let rows = bench.store.page(
        tailrace_store::keyspace::TableSettingsKey::range(),
        tailrace_store::PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 },
    );
    assert!(rows.await.unwrap().rows.is_empty(), "not even a row that nobody finds");
}
