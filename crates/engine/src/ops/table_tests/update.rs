//! UpdateTable.

use super::*;

fn units(r: i64, w: i64) -> Value {
    json!({"ReadCapacityUnits": r, "WriteCapacityUnits": w})
}

async fn update(bench: &Bench, members: Value) -> Value {
    bench.ok("UpdateTable", with(json!({"TableName": "users"}), members)).await["TableDescription"].clone()
}

/// docs/spec/dynamodb-api.md 2.3: members that cannot be combined, or are not enough.
#[tokio::test]
async fn what_update_table_refuses() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let required = "ValidationException: At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
                    GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, \
                    ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, \
                    WarmThroughput or TableClass is required";
    let unit_text =
        "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST";
    let unit_text = format!("{PARAMETER}{unit_text}");
    let no_updates = format!("{PARAMETER}List of GlobalSecondaryIndexUpdates is empty");
    let limits = json!({"MaxReadRequestUnits": 5});
    let stream = json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"});
    let cases: Vec<(Value, String)> = vec![
        (json!({}), required.to_owned()),
        (json!({"GlobalSecondaryIndexUpdates": []}), required.to_owned()),
        (
            json!({"GlobalSecondaryIndexUpdates": [], "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}]}),
            required.to_owned(),
        ),
        (json!({"GlobalSecondaryIndexUpdates": [], "DeletionProtectionEnabled": true}), no_updates.clone()),
        (json!({"GlobalSecondaryIndexUpdates": [], "BillingMode": "PAY_PER_REQUEST"}), no_updates.clone()),
        (json!({"GlobalSecondaryIndexUpdates": [], "OnDemandThroughput": limits}), no_updates),
        (
            json!({"WarmThroughput": {"ReadUnitsPerSecond": 20_000}, "BillingMode": "PAY_PER_REQUEST"}),
            format!("{PARAMETER}WarmThroughput must be the only operation in the request"),
        ),
        (
            json!({"OnDemandThroughput": limits, "StreamSpecification": stream}),
            format!("{PARAMETER}OnDemandThroughput can only be combined with BillingMode in an UpdateTable request"),
        ),
        (
            json!({"DeletionProtectionEnabled": true, "BillingMode": "PAY_PER_REQUEST"}),
            format!("{PARAMETER}DeletionProtection modification must be the only operation in the request"),
        ),
        (
            json!({"DeletionProtectionEnabled": true, "TableClass": "STANDARD"}),
            format!("{PARAMETER}TableClass modification must be the only operation in the request"),
        ),
        (
            json!({"StreamSpecification": stream, "ProvisionedThroughput": units(1, 1)}),
            format!("{PARAMETER}You cannot modify stream status while updating table IOPS"),
        ),
        (json!({"ProvisionedThroughput": units(1, 1)}), unit_text),
        (
            json!({"BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": units(1, 1)}),
            format!("{PARAMETER}ProvisionedThroughput cannot be specified when BillingMode is PAY_PER_REQUEST"),
        ),
        (
            json!({"BillingMode": "PROVISIONED"}),
            format!("{PARAMETER}ProvisionedThroughput must be specified when BillingMode is PROVISIONED"),
        ),
        (json!({"ReplicaUpdates": [{}]}), format!("{PARAMETER}ReplicaUpdates is not supported by Tailrace yet")),
        (json!({"VectorIndexes": [{}]}), format!("{PARAMETER}VectorIndexes is not supported by Tailrace yet")),
        (
            json!({"StreamSpecification": {"StreamEnabled": true}}),
            format!("{PARAMETER}If stream is being enabled then UpdateViewType is required"),
        ),
        (
            json!({"StreamSpecification": {"StreamEnabled": false, "StreamViewType": "KEYS_ONLY"}}),
            format!("{PARAMETER}If stream is being disabled, then UpdateViewType must not be specified"),
        ),
        (
            json!({"StreamSpecification": {"StreamEnabled": false}}),
            "ValidationException: Table has no stream to disable: TableName: users".to_owned(),
        ),
    ];
    for (members, expected) in cases {
        bench.refused("UpdateTable", with(json!({"TableName": "users"}), members), &expected).await;
    }
    let described = bench.describe("users").await;
    assert_eq!((&described["DeletionProtectionEnabled"], described.get("OnDemandThroughput")), (&json!(false), None));
    let gone = "ResourceNotFoundException: Requested resource not found: Table: nobody not found";
    bench.refused("UpdateTable", json!({"TableName": "nobody", "BillingMode": "PAY_PER_REQUEST"}), gone).await;
}

/// docs/spec/dynamodb-api.md 2.2 (billing, throughput, warm throughput), 2.3 (responses, same throughput, PAY_PER_REQUEST again)
#[tokio::test]
async fn billing_goes_there_and_back() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    bench.clock.advance(5_000);
    let again = update(&bench, json!({"BillingMode": "PAY_PER_REQUEST"})).await;
    assert_eq!(again["TableStatus"], "UPDATING");
    assert_eq!(again["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"], 1_700_000_000.0, "nothing changes");

    let to = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5, 20_000)});
    let answer = update(&bench, to).await;
    assert_eq!(answer["ProvisionedThroughput"]["ReadCapacityUnits"], 0, "the old throughput is echoed");
    let table = bench.describe("users").await;
    assert_eq!(table["ProvisionedThroughput"]["WriteCapacityUnits"], 20_000);
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PROVISIONED");
    assert_eq!(table["WarmThroughput"]["ReadUnitsPerSecond"], 12_000, "never decreases");
    assert_eq!(table["WarmThroughput"]["WriteUnitsPerSecond"], 20_000);

    let same = "ValidationException: The provisioned throughput for the table will not change. The requested value equals \
                the current value. Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. \
                Current WriteCapacityUnits provisioned for the table: 20000. Requested WriteCapacityUnits: 20000. Refer to \
                the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.";
    let body = json!({"TableName": "users", "ProvisionedThroughput": units(5, 20_000)});
    bench.refused("UpdateTable", body, same).await;
    let answer = update(&bench, json!({"ProvisionedThroughput": units(4, 30_000)})).await;
    let at = 1_700_000_005.0;
    let told = json!({"ReadCapacityUnits": 5, "WriteCapacityUnits": 20_000, "NumberOfDecreasesToday": 0,
        "LastIncreaseDateTime": at, "LastDecreaseDateTime": at});
    assert_eq!(answer["ProvisionedThroughput"], told, "the old units and count, the new instants");
    let table = bench.describe("users").await;
    assert_eq!(table["ProvisionedThroughput"]["NumberOfDecreasesToday"], 1);
    assert_eq!(table["ProvisionedThroughput"]["LastIncreaseDateTime"], at);
    bench.clock.advance(1_000);
    let answer = update(&bench, json!({"ProvisionedThroughput": units(3, 30_000)})).await;
    assert_eq!(answer["ProvisionedThroughput"]["NumberOfDecreasesToday"], 1);
    bench.clock.advance(24 * 60 * 60 * 1000);
    assert_eq!(bench.describe("users").await["ProvisionedThroughput"]["NumberOfDecreasesToday"], 0);
    let answer = update(&bench, json!({"ProvisionedThroughput": units(2, 30_000)})).await;
    assert_eq!(answer["ProvisionedThroughput"]["NumberOfDecreasesToday"], 0, "the count is that of the day");

    bench.clock.advance(1_000);
    let answer = update(&bench, json!({"BillingMode": "PAY_PER_REQUEST"})).await;
    let given_up = json!({"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 1,
        "LastIncreaseDateTime": at, "LastDecreaseDateTime": at + 24.0 * 60.0 * 60.0 + 2.0});
    assert_eq!(answer["ProvisionedThroughput"], given_up, "a decrease that is not counted");
    assert_eq!(answer["BillingModeSummary"], json!({"BillingMode": "PAY_PER_REQUEST"}));
    assert_eq!(answer["TableThroughputModeSummary"], json!({"TableThroughputMode": "PAY_PER_REQUEST"}));
    let table = bench.describe("users").await;
    assert_eq!(table["ProvisionedThroughput"], given_up);
    assert_eq!(
        table["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"],
        table["ProvisionedThroughput"]["LastDecreaseDateTime"]
    );
}

/// docs/spec/dynamodb-api.md 2.3: OnDemandThroughput merges, -1 clears; deletion protection and class.
#[tokio::test]
async fn settings_are_kept_and_cleared() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    update(&bench, json!({"OnDemandThroughput": {"MaxReadRequestUnits": 10}})).await;
    let both = update(&bench, json!({"OnDemandThroughput": {"MaxWriteRequestUnits": 20}})).await;
    assert_eq!(both["OnDemandThroughput"], json!({"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 20}));
    let cleared = update(&bench, json!({"OnDemandThroughput": {"MaxReadRequestUnits": -1}})).await;
    assert_eq!(cleared["OnDemandThroughput"], json!({"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": 20}));
    assert_eq!(bench.describe("users").await["OnDemandThroughput"], json!({"MaxWriteRequestUnits": 20}));

    let protected = update(&bench, json!({"DeletionProtectionEnabled": true})).await;
    assert_eq!((&protected["TableStatus"], &protected["DeletionProtectionEnabled"]), (&json!("ACTIVE"), &json!(true)));
    let class = update(&bench, json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"})).await;
    assert_eq!(class.get("TableClassSummary"), None, "the old class is echoed");
    let described = bench.describe("users").await["TableClassSummary"].clone();
    assert_eq!(described, json!({"TableClass": "STANDARD_INFREQUENT_ACCESS", "LastUpdateDateTime": 1_700_000_000.0}));
}

/// docs/spec/dynamodb-api.md 2.2, 2.3: the class that a table has.
#[tokio::test]
async fn the_class_that_a_table_has_already_changes_nothing() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let standard = || json!({"TableClass": "STANDARD"});
    assert_eq!(update(&bench, standard()).await["TableStatus"], "UPDATING");
    assert_eq!(bench.describe("users").await.get("TableClassSummary"), None, "it is the class of a table without one");
    update(&bench, json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"})).await;
    let set = bench.describe("users").await["TableClassSummary"].clone();
    bench.clock.advance(1_000);
    update(&bench, json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"})).await;
    assert_eq!(bench.describe("users").await["TableClassSummary"], set);
    update(&bench, standard()).await;
    let back = json!({"TableClass": "STANDARD", "LastUpdateDateTime": 1_700_000_001.0});
    assert_eq!(bench.describe("users").await["TableClassSummary"], back);
}

/// docs/spec/dynamodb-api.md 2.2: warm throughput never decreases; what was not sent stays as it is.
#[tokio::test]
async fn one_member_of_warm_throughput_leaves_the_other_as_it_is() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let warm = json!({"ReadUnitsPerSecond": 15_000, "WriteUnitsPerSecond": 9_000});
    let answer = update(&bench, json!({"WarmThroughput": warm})).await;
    let coming = json!({"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "UPDATING"});
    assert_eq!((&answer["TableStatus"], &answer["WarmThroughput"]), (&json!("ACTIVE"), &coming), "the old numbers");
    assert_eq!(bench.describe("users").await["WarmThroughput"], with(warm, json!({"Status": "ACTIVE"})));
    update(&bench, json!({"WarmThroughput": {"ReadUnitsPerSecond": 16_000}})).await;
    update(&bench, json!({"WarmThroughput": {"WriteUnitsPerSecond": 10_000}})).await;
    let warm = json!({"ReadUnitsPerSecond": 16_000, "WriteUnitsPerSecond": 10_000, "Status": "ACTIVE"});
    assert_eq!(bench.describe("users").await["WarmThroughput"], warm);
    for (member, units) in [("ReadUnitsPerSecond", 15_000), ("ReadUnitsPerSecond", 1), ("WriteUnitsPerSecond", 9_999)] {
        let less = json!({"TableName": "users", "WarmThroughput": {member: units}});
        let expected = format!(
            "{PARAMETER}Requested {member} for WarmThroughput for table is lower than current WarmThroughput, decreasing \
             WarmThroughput is not supported"
        );
        bench.refused("UpdateTable", less, &expected).await;
    }
    assert_eq!(bench.describe("users").await["WarmThroughput"], warm);
}

/// docs/spec/dynamodb-api.md 2.1: the answer has it as on its way.
#[tokio::test]
async fn the_warm_throughput_of_a_new_table_is_on_its_way() {
    let bench = Bench::new().await;
    let warm = json!({"ReadUnitsPerSecond": 12_001, "WriteUnitsPerSecond": 4_001});
    let body = with(on_demand("users"), json!({"WarmThroughput": warm}));
    let created = bench.ok("CreateTable", body).await["TableDescription"].clone();
    assert_eq!(created["WarmThroughput"], with(warm.clone(), json!({"Status": "UPDATING"})));
    assert_eq!(bench.describe("users").await["WarmThroughput"], with(warm, json!({"Status": "ACTIVE"})));
}

/// Rewrites a row as a newer program would have written it: with members that this one does not know.
async fn as_if_newer(bench: &Bench, key: tailrace_store::Key, members: &[(&str, Value)]) {
    let mut row: Value = serde_json::from_slice(&row(bench, key.clone()).await).unwrap();
    for (pointer, value) in members {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        row.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    let value = bytes::Bytes::from(serde_json::to_vec(&row).unwrap());
    let keys = [key.clone()];
    tailrace_store::commit(bench.store.as_ref(), &[], &keys, |_| {
        tailrace_store::Decision::Apply(vec![tailrace_store::Write::Put { key: key.clone(), value: value.clone() }], ())
    })
    .await
    .unwrap();
}

async fn row(bench: &Bench, key: tailrace_store::Key) -> bytes::Bytes {
    tailrace_store::Engine::get(bench.store.as_ref(), &[key]).await.unwrap()[0].clone().unwrap()
}

/// docs/format.md, Table descriptor and Stream descriptor: rows may have members that a newer program added. They are kept, and
/// neither a change nor a deletion waits for a row that reads as this program would have written it.
#[tokio::test]
async fn a_table_that_a_newer_program_wrote_is_updated_and_deleted() {
    let bench = Bench::new().await;
    bench.create("users", Some("KEYS_ONLY")).await;
    let stream = bench.db.table("users").await.unwrap().stream.clone().unwrap().id;
    let stream_key = tailrace_store::keyspace::StreamKey { stream }.encode();
    let added = [("/x_new", json!({"a": [1, null]})), ("/billing/x_new", json!(true))];
    as_if_newer(&bench, Db::table_key("users"), &added).await;
    as_if_newer(&bench, stream_key.clone(), &[("/x_new", json!("kept"))]).await;

    let ends = async |operation: &str, body: Value| {
        let call = tokio::time::timeout(std::time::Duration::from_secs(10), bench.ok(operation, body));
        call.await.unwrap_or_else(|_| panic!("{operation} does not end"))
    };
    ends("UpdateTable", json!({"TableName": "users", "TableClass": "STANDARD_INFREQUENT_ACCESS"})).await;
    ends("UpdateTable", json!({"TableName": "users", "StreamSpecification": {"StreamEnabled": false}})).await;
    let table: Value = serde_json::from_slice(&row(&bench, Db::table_key("users")).await).unwrap();
    assert_eq!((&table["x_new"], &table["billing"]["x_new"]), (&json!({"a": [1, null]}), &json!(true)));
    assert_eq!((&table["class"]["class"], &table["stream"]), (&json!("STANDARD_INFREQUENT_ACCESS"), &json!(null)));
    let stream: Value = serde_json::from_slice(&row(&bench, stream_key).await).unwrap();
    assert_eq!((&stream["x_new"], &stream["disabled_ms"]), (&json!("kept"), &json!(START_MS)));
    ends("DeleteTable", json!({"TableName": "users"})).await;
    assert_eq!(bench.ok("ListTables", json!({})).await, json!({"TableNames": []}));
}
