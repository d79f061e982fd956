//! CreateTable, DescribeTable, ListTables, DeleteTable and the constants.

use super::*;

/// docs/spec/dynamodb-api.md 2.1, rows 1-18, 34-35, and streams.md 2.1: one member changed, one text.
#[tokio::test]
async fn what_create_table_refuses() {
    let bench = Bench::new().await;
    let definition = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let units = |r: i64, w: i64| json!({"ReadCapacityUnits": r, "WriteCapacityUnits": w});
    let provisioned = |members: Value| {
        let base = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5, 5)});
        with(with(on_demand("table"), base), members)
    };
    let cases = [
        (
            json!({"ProvisionedThroughput": units(1, 1)}),
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            json!({"BillingMode": "PROVISIONED"}),
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            json!({"BillingMode": null}),
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            json!({"OnDemandThroughput": {"MaxWriteRequestUnits": 0}}),
            "Requested MaxWriteRequestUnits for OnDemandThroughput for table is outside of valid range",
        ),
        (
            json!({"KeySchema": [key("other", "HASH")]}),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [other], AttributeDefinitions: [pk]",
        ),
        (
            json!({"AttributeDefinitions": [definition("pk"), definition("z")]}),
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ),
        (json!({"GlobalSecondaryIndexes": []}), "List of GlobalSecondaryIndexes is empty"),
        (json!({"LocalSecondaryIndexes": []}), "List of LocalSecondaryIndexes is empty"),
        (
            json!({"SSESpecification": {"Enabled": false, "SSEType": "KMS"}}),
            "SSEType can not be specified if Enabled is false",
        ),
        (
            json!({"SSESpecification": {"Enabled": false, "KMSMasterKeyId": "x"}}),
            "KMSMasterKeyId can not be specified if Enabled is false",
        ),
        (
            json!({"SSESpecification": {"KMSMasterKeyId": "x"}}),
            "SSEType KMS is required if KMSMasterKeyId is specified",
        ),
        (
            json!({"SSESpecification": {"Enabled": true, "KMSMasterKeyId": "x"}}),
            "SSEType KMS is required if KMSMasterKeyId is specified",
        ),
        (json!({"SSESpecification": {"Enabled": true, "SSEType": "AES256"}}), "SSEType AES256 is not supported"),
        (
            json!({"GlobalTableSourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/t"}),
            "GlobalTableSourceArn is not supported by Tailrace yet",
        ),
        (json!({"ReplicaUpdates": [{"Create": {}}]}), "ReplicaUpdates is not supported by Tailrace yet"),
        (json!({"MultiRegionConsistency": "STRONG"}), "MultiRegionConsistency is not supported by Tailrace yet"),
        (
            json!({"GlobalTableWitnessUpdates": [{"Create": {}}]}),
            "GlobalTableWitnessUpdates is not supported by Tailrace yet",
        ),
        (json!({"VectorIndexUpdates": [{"Delete": {}}]}), "VectorIndexUpdates is not supported by Tailrace yet"),
        (
            json!({"StreamSpecification": {"StreamEnabled": false, "StreamViewType": "KEYS_ONLY"}}),
            "Table is being created with a stream disabled, UpdateViewType should not be specified",
        ),
        (
            json!({"StreamSpecification": {"StreamEnabled": true}}),
            "Table is being created with a stream enabled, UpdateViewType is required",
        ),
    ];
    for (members, expected) in cases {
        bench.refused("CreateTable", with(on_demand("table"), members), &format!("{PARAMETER}{expected}")).await;
    }
    let limit = provisioned(json!({"OnDemandThroughput": {"MaxReadRequestUnits": 5}}));
    let expected =
        "MaxReadRequestUnits for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED.";
    bench.refused("CreateTable", limit, &format!("{PARAMETER}{expected}")).await;
    let warm = provisioned(json!({"WarmThroughput": {"ReadUnitsPerSecond": 1}}));
    let expected = "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than ReadCapacityUnits of \
                    ProvisionedThroughput";
    bench.refused("CreateTable", warm, &format!("{PARAMETER}{expected}")).await;

    let two = json!([definition("pk"), definition("sk")]);
    let bare = [
        (
            provisioned(json!({"ProvisionedThroughput": units(2_000_000_000_000, 1)})),
            "Given value 2000000000000 for ReadCapacityUnits is out of bounds",
        ),
        (
            with(on_demand("table"), json!({"KeySchema": [key("pk", "HASH"), key("sk", "RANGE")]})),
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        (
            with(
                on_demand("table"),
                json!({"AttributeDefinitions": two, "KeySchema": [key("pk", "HASH"), key("pk", "RANGE")]}),
            ),
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
        (
            with(on_demand("table"), json!({"KeySchema": [key("pk", "RANGE")]})),
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            with(
                on_demand("table"),
                json!({"AttributeDefinitions": two, "KeySchema": [key("pk", "HASH"), key("sk", "HASH")]}),
            ),
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ),
        (
            with(on_demand("table"), json!({"AttributeDefinitions": [definition("pk"), definition("pk")]})),
            "Attribute Name is duplicated: pk",
        ),
        (
            with(on_demand("table"), json!({"TableClass": "x"})),
            "Invalid table-class parameter provided. Please try again with a valid table-class value: [STANDARD, \
             STANDARD_INFREQUENT_ACCESS].",
        ),
    ];
    for (body, expected) in bare {
        bench.refused("CreateTable", body, &format!("ValidationException: {expected}")).await;
    }
    let spec = with(on_demand("table"), json!({"StreamSpecification": {"StreamViewType": "KEYS_ONLY"}}));
    let null =
        "Value null at 'streamSpecification.streamEnabled' failed to satisfy constraint: Member must not be null";
    bench.refused("CreateTable", spec, &format!("{ENVELOPE}{null}")).await;
    let spec = json!({"StreamSpecification": {"StreamEnabled": true, "StreamViewType": "new_image"}});
    let view = "Value 'new_image' at 'streamSpecification.streamViewType' failed to satisfy constraint: Member must \
                satisfy enum value set: [OLD_IMAGE, KEYS_ONLY, NEW_AND_OLD_IMAGES, NEW_IMAGE]";
    bench.refused("CreateTable", with(on_demand("table"), spec), &format!("{ENVELOPE}{view}")).await;
    assert_eq!(bench.ok("ListTables", json!({})).await, json!({"TableNames": []}), "a refused table was made");
}

/// docs/spec/dynamodb-api.md 2.2: members of the description, present and absent.
#[tokio::test]
async fn a_table_is_described_as_it_was_created() {
    let bench = Bench::new().await;
    let created = bench
        .ok(
            "CreateTable",
            json!({
                "TableName": "games",
                "AttributeDefinitions": [
                    {"AttributeName": "user", "AttributeType": "S"},
                    {"AttributeName": "at", "AttributeType": "N"},
                ],
                "KeySchema": [
                    {"AttributeName": "user", "KeyType": "HASH"},
                    {"AttributeName": "at", "KeyType": "RANGE"},
                ],
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
                "TableClass": "STANDARD",
                "DeletionProtectionEnabled": true,
            }),
        )
        .await["TableDescription"]
        .clone();
    assert_eq!(created["TableStatus"], "CREATING");
    assert_eq!(created["AttributeDefinitions"][0]["AttributeName"], "user", "as it was sent");
    assert_eq!(created.get("WarmThroughput"), None);
    assert_eq!(created["TableClassSummary"], json!({"TableClass": "STANDARD"}), "not yet, as with billing");
    let described = bench.describe("games").await;
    let id = created["TableId"].clone();
    assert_eq!(
        described,
        json!({
            "AttributeDefinitions": [
                {"AttributeName": "at", "AttributeType": "N"},
                {"AttributeName": "user", "AttributeType": "S"},
            ],
            "TableName": "games",
            "KeySchema": [
                {"AttributeName": "user", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            "TableStatus": "ACTIVE",
            "CreationDateTime": 1_700_000_000.0,
            "ProvisionedThroughput":
                {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
            "TableSizeBytes": 0,
            "ItemCount": 0,
            "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/games",
            "TableId": id,
            "WarmThroughput": {"ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 6, "Status": "ACTIVE"},
            "DeletionProtectionEnabled": true,
            "TableClassSummary": {"TableClass": "STANDARD", "LastUpdateDateTime": 1_700_000_000.0},
        })
    );
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/games";
    assert_eq!(bench.describe(arn).await["TableName"], "games");
    let foreign = json!({"TableName": "arn:aws:dynamodb:eu-west-1:000000000000:table/games"});
    let region = "Invalid AWS region in 'arn:aws:dynamodb:eu-west-1:000000000000:table/games'";
    bench.refused("DescribeTable", foreign, &format!("{ENVELOPE}{region}")).await;
}

/// docs/spec/dynamodb-api.md 2.2 (BillingModeSummary, WarmThroughput, live figures)
#[tokio::test]
async fn an_on_demand_table_counts_its_items() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    bench.put("users", "a", 1).await;
    bench.put("users", "b", 12).await;
    let table = bench.describe("users").await;
    assert_eq!(table["ItemCount"], 2);
    assert_eq!(table["TableSizeBytes"], 12);
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table["WarmThroughput"]["ReadUnitsPerSecond"], 12_000);
    assert_eq!(table["ProvisionedThroughput"]["ReadCapacityUnits"], 0);
}

/// docs/spec/dynamodb-api.md 2.1 row 36, 2.2 (DELETING, protected), 1.6 (RNF)
#[tokio::test]
async fn a_deleted_table_is_gone_and_its_name_free_with_no_items() {
    let bench = Bench::new().await;
    let first = bench.create("users", None).await;
    let taken = "ResourceInUseException: Table already exists: users";
    bench.refused("CreateTable", on_demand("users"), taken).await;
    bench.put("users", "a", 1).await;

    bench.ok("UpdateTable", json!({"TableName": "users", "DeletionProtectionEnabled": true})).await;
    let protected = "ValidationException: Resource cannot be deleted as it is currently protected against deletion. \
                     Disable deletion protection first.";
    bench.refused("DeleteTable", json!({"TableName": "users"}), protected).await;
    bench.ok("UpdateTable", json!({"TableName": "users", "DeletionProtectionEnabled": false})).await;

    let deleted = bench.ok("DeleteTable", json!({"TableName": "users"})).await["TableDescription"].clone();
    assert_eq!(deleted["TableStatus"], "DELETING");
    assert_eq!((deleted.get("KeySchema"), deleted.get("CreationDateTime")), (None, None));
    let gone = "ResourceNotFoundException: Requested resource not found: Table: users not found";
    for operation in ["DescribeTable", "DeleteTable"] {
        bench.refused(operation, json!({"TableName": "users"}), gone).await;
    }
    let get = json!({"TableName": "users", "Key": {"pk": {"S": "a"}}});
    bench.refused("GetItem", get.clone(), "ResourceNotFoundException: Requested resource not found").await;

    let second = bench.create("users", None).await;
    assert_ne!(first["TableId"], second["TableId"]);
    assert_eq!(bench.ok("GetItem", get).await, json!({}));
}

/// A crash right behind the commit of DeleteTable: the tick hands the items to the store.
#[tokio::test]
async fn an_interrupted_reclaim_is_finished_by_the_tick() {
    use tailrace_store::keyspace::{ItemKey, TableId};
    use tailrace_store::{Engine, PageLimit, Write};
    let bench = Bench::new().await;
    bench.create("users", None).await;
    bench.put("users", "a", 1).await;
    let table = bench.db.table("users").await.unwrap();
    let mark = tailrace_store::keyspace::DeletedTableKey { table: table.id }.encode();
    let store: &dyn Engine = bench.store.as_ref();
    let keys = [Db::table_key("users"), mark];
    tailrace_store::commit(store, &[], &keys, |_| {
        let writes = vec![
            Write::Delete { key: keys[0].clone() },
            Write::Put { key: keys[1].clone(), value: bytes::Bytes::new() },
        ];
        tailrace_store::Decision::Apply(writes, ())
    })
    .await
    .unwrap();
    let items = || async {
        let limit = PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 };
        store.page(ItemKey::table_range(TableId(table.id.0)), limit).await.unwrap().rows.len()
    };
    assert_eq!(items().await, 1);
    bench.run_background(bench.clock.now()).await.unwrap();
    assert_eq!(items().await, 0);
    assert_eq!(store.get(&keys[1..]).await.unwrap(), [None]);
}

/// docs/spec/dynamodb-api.md 2.4
#[tokio::test]
async fn tables_are_listed_in_pages() {
    let bench = Bench::new().await;
    for name in ["bbb", "aaa", "ccc", "Zzz"] {
        bench.create(name, None).await;
    }
    let all = json!({"TableNames": ["Zzz", "aaa", "bbb", "ccc"]});
    assert_eq!(bench.ok("ListTables", json!({})).await, all);
    assert_eq!(bench.ok("ListTables", json!({"Limit": 4})).await, all, "no more remain");
    let page = bench.ok("ListTables", json!({"Limit": 2})).await;
    assert_eq!(page, json!({"TableNames": ["Zzz", "aaa"], "LastEvaluatedTableName": "aaa"}));
    let page = bench.ok("ListTables", json!({"ExclusiveStartTableName": "aab"})).await;
    assert_eq!(page, json!({"TableNames": ["bbb", "ccc"]}));
    let both = "ValidationException: 3 validation errors detected: Value '!' at 'exclusiveStartTableName' failed to \
                satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '!' at \
                'exclusiveStartTableName' failed to satisfy constraint: Member must have length greater than or equal to \
                3; Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100";
    bench.refused("ListTables", json!({"ExclusiveStartTableName": "!", "Limit": 101}), both).await;
}

/// docs/spec/dynamodb-api.md 2.4, 1.1 rows 4, 5, 7
#[tokio::test]
async fn constants_and_what_is_no_operation() {
    let bench = Bench::new().await;
    let limits = bench.ok("DescribeLimits", json!({})).await;
    assert_eq!(limits["AccountMaxReadCapacityUnits"], 80_000);
    assert_eq!(limits["TableMaxWriteCapacityUnits"], 40_000);
    let endpoints = json!({"Endpoints": [{"Address": "localhost:8000", "CachePeriodInMinutes": 1440}]});
    assert_eq!(bench.ok("DescribeEndpoints", json!({})).await, endpoints);
    bench.refused("NoSuchOperation", json!({}), "UnknownOperationException").await;
    let named = "UnknownOperationException: Tailrace does not have the operation SearchVectors yet";
    bench.refused("SearchVectors", json!({}), named).await;
    for body in [&b""[..], b"[]", b"nonsense", b"{", b"1"] {
        let answer = ops::execute(&bench.db, Service::DynamoDb, "ListTables", body, &Caller::default()).await;
        let error = answer.expect_err("no request");
        assert_eq!((error.to_string().as_str(), error.message), ("SerializationException", None));
    }
}
