//! The states that show with `--aws-like-states`, what is refused in them, and how they end.

use tailrace_core::limits::{
    AWS_LIKE_ALLOCATION, AWS_LIKE_BACKFILL, AWS_LIKE_CREATING, AWS_LIKE_DELETING, AWS_LIKE_INDEX_DELETING,
    AWS_LIKE_UPDATING,
};

use super::indexes::{definitions, index};
use super::*;

const IN_USE: &str = "ResourceInUseException: Attempt to change a resource which is still in use: ";

async fn bench() -> Bench {
    Bench::with(Settings { aws_like_states: true, ..Settings::default() }).await
}

/// `users` with the index `old`, active.
async fn active() -> Bench {
    let bench = bench().await;
    bench.ok("CreateTable", body()).await;
    wait(&bench, AWS_LIKE_CREATING).await;
    bench
}

fn body() -> Value {
    let old = json!([index("old", &["h:a"])]);
    with(on_demand("users"), json!({"AttributeDefinitions": definitions(&["pk", "a"]), "GlobalSecondaryIndexes": old}))
}

/// Lets so much time pass, and the background do what is due then.
async fn wait(bench: &Bench, length: std::time::Duration) {
    bench.clock.advance(length.as_millis() as u64);
    bench.run_background(bench.clock.now()).await.unwrap();
}

async fn status(bench: &Bench) -> Value {
    bench.describe("users").await["TableStatus"].clone()
}

async fn of_index(bench: &Bench, at: usize) -> (Value, Option<Value>) {
    let index = bench.describe("users").await["GlobalSecondaryIndexes"][at].clone();
    (index["IndexStatus"].clone(), index.get("Backfilling").cloned())
}

fn name() -> Value {
    json!({"TableName": "users"})
}

fn change(members: Value) -> Value {
    with(name(), members)
}

/// What is set beside the descriptor cannot be changed in this state, whose words these are; backups do not know the table.
async fn settings_are_refused(bench: &Bench, in_use: &str) {
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/users";
    let of = |members: Value| with(json!({"ResourceArn": arn}), members);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": arn},
    ]});
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/changes";
    for (operation, body) in [
        ("TagResource", of(json!({"Tags": [{"Key": "a", "Value": "b"}]}))),
        ("UntagResource", of(json!({"TagKeys": ["a"]}))),
        ("PutResourcePolicy", of(json!({"Policy": policy.to_string()}))),
        ("DeleteResourcePolicy", of(json!({}))),
        ("EnableKinesisStreamingDestination", change(json!({"StreamArn": stream}))),
    ] {
        bench.refused(operation, body, in_use).await;
    }
    let unknown = "TableNotFoundException: Table not found: users";
    let specification = json!({"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}});
    bench.refused("UpdateContinuousBackups", change(specification), unknown).await;
    bench.refused("DescribeContinuousBackups", name(), unknown).await;
}

/// docs/spec/dynamodb-api.md 2.2 (CREATING), 2.1 row 36: all indexes flip with the table.
#[tokio::test]
async fn a_new_table_is_creating_for_a_while() {
    let bench = bench().await;
    let created = bench.ok("CreateTable", body()).await["TableDescription"].clone();
    assert_eq!((&created["TableStatus"], created.get("WarmThroughput")), (&json!("CREATING"), None));
    assert_eq!((status(&bench).await, of_index(&bench, 0).await), (json!("CREATING"), (json!("CREATING"), None)));
    let being_created = format!("{IN_USE}Table is being created: users");
    bench.refused("CreateTable", body(), &being_created).await;
    bench.refused("DeleteTable", name(), &being_created).await;
    bench.refused("UpdateTable", change(json!({"DeletionProtectionEnabled": true})), &being_created).await;
    let not_there = "ResourceNotFoundException: Requested resource not found";
    bench.refused("PutItem", change(json!({"Item": {"pk": {"S": "1"}}})), not_there).await;
    bench.refused("Scan", name(), not_there).await;
    let describing = "ValidationException: Cannot describe time to live while table is in CREATING state: Current table state is \
                      CREATING";
    bench.refused("DescribeTimeToLive", name(), describing).await;
    let ttl = change(json!({"TimeToLiveSpecification": {"Enabled": true, "AttributeName": "t"}}));
    bench.refused("UpdateTimeToLive", ttl, &format!("{IN_USE}Table users is being created")).await;
    settings_are_refused(&bench, &being_created).await;
    assert_eq!(bench.ok("ListTables", json!({})).await, json!({"TableNames": ["users"]}));
    wait(&bench, AWS_LIKE_CREATING).await;
    assert_eq!((status(&bench).await, of_index(&bench, 0).await), (json!("ACTIVE"), (json!("ACTIVE"), None)));
    bench.put("users", "1", 1).await;
    bench.refused("CreateTable", body(), "ResourceInUseException: Table already exists: users").await;
}

/// docs/spec/dynamodb-api.md 2.2 (DELETING)
#[tokio::test]
async fn a_deleted_table_is_deleting_for_a_while() {
    let bench = active().await;
    bench.put("users", "1", 1).await;
    assert_eq!(bench.ok("DeleteTable", name()).await["TableDescription"]["TableStatus"], "DELETING");
    assert_eq!(status(&bench).await, "DELETING");
    let being_deleted = format!("{IN_USE}Table is being deleted: users");
    bench.refused("DeleteTable", name(), &being_deleted).await;
    bench.refused("UpdateTable", change(json!({"BillingMode": "PAY_PER_REQUEST"})), &being_deleted).await;
    bench.refused("CreateTable", body(), "ResourceInUseException: Table already exists: users").await;
    let describing = "ValidationException: Cannot describe time to live while table is in DELETING state: Current table state is \
                      DELETING";
    bench.refused("DescribeTimeToLive", name(), describing).await;
    settings_are_refused(&bench, &being_deleted).await;
    let get = change(json!({"Key": {"pk": {"S": "1"}}}));
    bench.refused("GetItem", get, "ResourceNotFoundException: Requested resource not found").await;
    wait(&bench, AWS_LIKE_DELETING - std::time::Duration::from_millis(1)).await;
    assert_eq!(status(&bench).await, "DELETING");
    wait(&bench, std::time::Duration::from_millis(1)).await;
    let gone = "ResourceNotFoundException: Requested resource not found: Table: users not found";
    bench.refused("DescribeTable", name(), gone).await;
    bench.ok("CreateTable", body()).await;
}

/// docs/spec/dynamodb-api.md 2.2 (UPDATING), 2.3 (what is synchronous)
#[tokio::test]
async fn a_changed_table_is_updating_for_a_while() {
    let bench = active().await;
    bench.ok("UpdateTable", change(json!({"DeletionProtectionEnabled": false}))).await;
    assert_eq!(status(&bench).await, "ACTIVE");
    for same in [json!({"TableClass": "STANDARD"}), json!({"BillingMode": "PAY_PER_REQUEST"})] {
        let answer = bench.ok("UpdateTable", change(same)).await;
        assert_eq!(
            (&answer["TableDescription"]["TableStatus"], status(&bench).await),
            (&json!("UPDATING"), json!("ACTIVE"))
        );
    }
    bench.ok("UpdateTable", change(json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"}))).await;
    assert_eq!(status(&bench).await, "UPDATING");
    bench.put("users", "1", 1).await;
    bench.refused("DeleteTable", name(), &format!("{IN_USE}Table: users is in the process of being updated.")).await;
    let units = change(json!({"BillingMode": "PAY_PER_REQUEST"}));
    bench.refused("UpdateTable", units, &format!("{IN_USE}Table IOPS are currently being updated. Table: users")).await;
    wait(&bench, AWS_LIKE_UPDATING).await;
    assert_eq!(status(&bench).await, "ACTIVE");
    bench.ok("DeleteTable", name()).await;
}

/// docs/spec/dynamodb-api.md 2.2 (UPDATING): what is done beside a change that is under way, and why the rest is not.
#[tokio::test]
async fn what_is_refused_while_a_table_is_updating_depends_on_both_changes() {
    let stream = json!({"StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}});
    let class = json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"});
    let limits = json!({"OnDemandThroughput": {"MaxReadRequestUnits": 5}});
    let old = json!([{"Update": {"IndexName": "old", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}}]);
    let units = json!({"BillingMode": "PROVISIONED", "GlobalSecondaryIndexUpdates": old,
        "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}});
    let indexes = "Cannot delete table while indexes are being created, updated, or deleted.".to_owned();
    let at = "Table: users Stream: LABEL Operation: ENABLE";
    let cases = [
        (
            &stream,
            "Cannot delete table while stream is being enabled/disabled.".to_owned(),
            vec![
                (&class, format!("Can't update table class when stream status is being updated. {at}")),
                (&stream, format!("A stream status change is currently in progress. {at}")),
                (&units, format!("Can't change table IOPS when stream status is being updated. {at}")),
                (&limits, "OnDemandThroughput cannot be updated while stream status update is in progress".to_owned()),
            ],
        ),
        (
            &units,
            indexes,
            vec![
                (&limits, "OnDemandThroughput cannot be updated while BillingMode update is in progress".to_owned()),
                (&stream, "Can't enable or disable stream while table IOPS are being updated. Table: users".to_owned()),
                (&units, "Table IOPS are currently being updated. Table: users".to_owned()),
                (&class, "Table is being updated: users".to_owned()),
            ],
        ),
        (
            &class,
            "Table: users is in the process of being updated.".to_owned(),
            vec![(
                &class,
                "Can't update table class when a table class update is in progress. Table: users \
                 TableClassUpdateInProgress: STANDARD_INFREQUENT_ACCESS"
                    .to_owned(),
            )],
        ),
    ];
    for (first, deletion, refused) in cases {
        let bench = active().await;
        bench.ok("UpdateTable", change(first.clone())).await;
        bench.refused("DeleteTable", name(), &format!("{IN_USE}{deletion}")).await;
        let label = bench.describe("users").await["LatestStreamLabel"].as_str().unwrap_or_default().to_owned();
        for (second, text) in refused {
            let text = text.replace("LABEL", &label);
            bench.refused("UpdateTable", change(second.clone()), &format!("{IN_USE}{text}")).await;
        }
        for beside in
            [json!({"DeletionProtectionEnabled": false}), json!({"WarmThroughput": {"ReadUnitsPerSecond": 20_000}})]
        {
            let answer = bench.ok("UpdateTable", change(beside)).await;
            assert_eq!(answer["TableDescription"]["TableStatus"], "UPDATING", "done beside {first}");
        }
        bench.ok("UpdateTable", change(json!({"SSESpecification": {"Enabled": true}}))).await;
        assert_eq!(status(&bench).await, "UPDATING");
        wait(&bench, AWS_LIKE_UPDATING).await;
        assert_eq!(status(&bench).await, "ACTIVE");
    }
}

/// docs/spec/dynamodb-api.md 8.1: units and limits of an index are changed while its table is ACTIVE.
#[tokio::test]
async fn an_index_is_updated_while_its_table_is_active() {
    let bench = active().await;
    let of_old = |members: Value| {
        let update = with(json!({"IndexName": "old"}), members);
        change(json!({"GlobalSecondaryIndexUpdates": [{"Update": update}]}))
    };
    bench.ok("UpdateTable", of_old(json!({"OnDemandThroughput": {"MaxReadRequestUnits": 5}}))).await;
    assert_eq!((status(&bench).await, of_index(&bench, 0).await), (json!("ACTIVE"), (json!("UPDATING"), None)));
    let again = of_old(json!({"OnDemandThroughput": {"MaxReadRequestUnits": 6}}));
    let updated = format!("{IN_USE}Index is being updated. Table: users Index: old");
    bench.refused("UpdateTable", again.clone(), &updated).await;
    let indexes = "Cannot delete table while indexes are being created, updated, or deleted.";
    bench.refused("DeleteTable", name(), &format!("{IN_USE}{indexes}")).await;
    wait(&bench, AWS_LIKE_UPDATING).await;
    assert_eq!(of_index(&bench, 0).await, (json!("ACTIVE"), None));
    bench.ok("UpdateTable", again).await;
    wait(&bench, AWS_LIKE_UPDATING).await;
    bench.ok("UpdateTable", of_old(json!({"WarmThroughput": {"ReadUnitsPerSecond": 12_001}}))).await;
    assert_eq!((status(&bench).await, of_index(&bench, 0).await), (json!("ACTIVE"), (json!("ACTIVE"), None)));
}

/// docs/spec/dynamodb-api.md 8.1 (create states)
#[tokio::test]
async fn a_new_index_is_allocated_then_filled_then_active() {
    let bench = active().await;
    let item = json!({"pk": {"S": "1"}, "a": {"S": "x"}});
    bench.ok("PutItem", change(json!({"Item": item}))).await;
    let create = json!([{"Create": index("new", &["h:a"])}]);
    let body = change(json!({"AttributeDefinitions": definitions(&["a"]), "GlobalSecondaryIndexUpdates": create}));
    bench.ok("UpdateTable", body).await;
    let creating = |backfilling: bool| (json!("CREATING"), Some(json!(backfilling)));
    bench.run_background(bench.clock.now()).await.unwrap();
    assert_eq!((status(&bench).await, of_index(&bench, 1).await), (json!("UPDATING"), creating(false)));
    wait(&bench, AWS_LIKE_UPDATING).await;
    assert_eq!((status(&bench).await, of_index(&bench, 1).await), (json!("UPDATING"), creating(false)));
    let delete = change(json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "new"}}]}));
    wait(&bench, AWS_LIKE_ALLOCATION - AWS_LIKE_UPDATING).await;
    assert_eq!((status(&bench).await, of_index(&bench, 1).await), (json!("ACTIVE"), creating(true)));
    let indexes = "Cannot delete table while indexes are being created, updated, or deleted.";
    bench.refused("DeleteTable", name(), &format!("{IN_USE}{indexes}")).await;
    wait(&bench, AWS_LIKE_BACKFILL).await;
    assert_eq!(of_index(&bench, 1).await, (json!("ACTIVE"), None));

    bench.ok("UpdateTable", delete).await;
    assert_eq!((status(&bench).await, of_index(&bench, 1).await), (json!("UPDATING"), (json!("DELETING"), None)));
    bench.refused("DeleteTable", name(), &format!("{IN_USE}{indexes}")).await;
    wait(&bench, AWS_LIKE_INDEX_DELETING).await;
    let table = bench.describe("users").await;
    assert_eq!(
        (&table["TableStatus"], table["GlobalSecondaryIndexes"].as_array().unwrap().len()),
        (&json!("ACTIVE"), 1)
    );
}

/// docs/spec/dynamodb-api.md 8.1 (index delete in the allocation phase)
#[tokio::test]
async fn an_index_that_is_being_allocated_cannot_be_deleted() {
    let bench = active().await;
    let create = json!([{"Create": index("new", &["h:a"])}]);
    let body = change(json!({"AttributeDefinitions": definitions(&["a"]), "GlobalSecondaryIndexUpdates": create}));
    bench.ok("UpdateTable", body).await;
    let delete = change(json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "new"}}]}));
    let phase = "Index creation is in resource allocation phase. Retry deletion during backfilling phase or when the index is \
                 active. Table: users Index: new";
    bench.refused("UpdateTable", delete.clone(), &format!("{IN_USE}{phase}")).await;
    wait(&bench, AWS_LIKE_ALLOCATION).await;
    bench.ok("UpdateTable", delete).await;
    wait(&bench, AWS_LIKE_INDEX_DELETING).await;
    assert_eq!(bench.describe("users").await["GlobalSecondaryIndexes"].as_array().unwrap().len(), 1);
}

/// A template makes and changes its tables one request after the other, and plays into them at once.
#[tokio::test]
async fn whoever_is_inside_need_not_wait() {
    let bench = bench().await;
    let inside = async |operation: &str, body: Value| {
        let body = serde_json::to_vec(&body).unwrap();
        ops::execute(&bench.db, Service::DynamoDb, operation, &body, &Caller::default()).await.unwrap();
    };
    inside("CreateTable", body()).await;
    assert_eq!(status(&bench).await, "ACTIVE");
    inside("UpdateTable", change(json!({"TableClass": "STANDARD"}))).await;
    inside("UpdateTable", change(json!({"DeletionProtectionEnabled": true}))).await;
    bench.put("users", "1", 1).await;
}

/// What a server with the setting has left behind goes at once on one without it.
#[tokio::test]
async fn a_table_that_was_to_go_goes_without_the_setting_too() {
    let bench = active().await;
    bench.ok("DeleteTable", name()).await;
    let rng = Arc::new(SeededRng::new(2));
    let db = Db::open(bench.store.clone(), bench.clock.clone(), rng, Settings::default()).await.unwrap();
    let bench = Bench { db, ..bench };
    bench.run_background(bench.clock.now()).await.unwrap();
    assert_eq!(bench.ok("ListTables", json!({})).await, json!({"TableNames": []}));
}
