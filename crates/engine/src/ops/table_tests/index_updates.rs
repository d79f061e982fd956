//! UpdateTable of global secondary indexes.

use tailrace_core::{Bucket, EpochMs, IndexId, TableId};
use tailrace_store::keyspace::{DeletedIndexKey, ItemKey, ItemSet};
use tailrace_store::{Decision, Engine, PageLimit, Write, commit};

use super::indexes::{definitions, index, schema};
use super::*;

fn units(r: i64, w: i64) -> Value {
    json!({"ReadCapacityUnits": r, "WriteCapacityUnits": w})
}

/// `users` with the key `pk` and the index `old` of the attribute `a`, billed by request.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.ok("CreateTable", with_index(on_demand("users"))).await;
    bench
}

fn with_index(body: Value) -> Value {
    let old = json!([index("old", &["h:a"])]);
    with(body, json!({"AttributeDefinitions": definitions(&["pk", "a"]), "GlobalSecondaryIndexes": old}))
}

fn update(updates: Value, members: Value) -> Value {
    with(json!({"TableName": "users", "GlobalSecondaryIndexUpdates": updates}), members)
}

fn create(name: &str, attribute: &str) -> Value {
    json!({"Create": index(name, &[&format!("h:{attribute}")])})
}

fn delete(name: &str) -> Value {
    json!({"Delete": {"IndexName": name}})
}

const ONLY: &str = "The only Updates for index: old when TableThroughputMode is PAY_PER_REQUEST can be to OnDemandThroughput, \
                    WarmThroughput";
const NO_WARMTH: &str =
    "WarmThroughput must have at least one of ReadUnitsPerSecond or WriteUnitsPerSecond specified for index: old";

async fn global(bench: &Bench) -> Value {
    bench.describe("users").await["GlobalSecondaryIndexes"].clone()
}

/// docs/spec/dynamodb-api.md 8.1, 2.3
#[tokio::test]
async fn what_update_table_refuses_of_indexes() {
    let bench = bench().await;
    let a = || json!({"AttributeDefinitions": definitions(&["a"])});
    let one = "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
               GlobalSecondaryIndexUpdate.Delete must not be null";
    let both = json!({"Delete": {"IndexName": "old"}, "Create": index("new", &["h:a"])});
    let limited = json!({"IndexName": "old", "OnDemandThroughput": {"MaxReadRequestUnits": 0}});
    let with_units = with(index("new", &["h:a"]), json!({"ProvisionedThroughput": units(1, 1)}));
    let cases = [
        (update(json!([{}]), json!({})), one),
        (
            update(json!([both]), a()),
            "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
        ),
        (
            update(json!([create("new", "a"), delete("new")]), a()),
            "Only one global secondary index update per index is allowed simultaneously. Index: new",
        ),
        (update(json!([create("new", "a")]), json!({})), "AttributeDefinitions is not specified for index: new"),
        (
            update(json!([create("new", "pk")]), a()),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [pk], AttributeDefinitions: [a]",
        ),
        (update(json!([{"Update": {"IndexName": "old", "ProvisionedThroughput": units(1, 1)}}]), json!({})), ONLY),
        (update(json!([{"Update": {"IndexName": "old"}}]), json!({})), ONLY),
        (update(json!([{"Update": {"IndexName": "old", "OnDemandThroughput": {}}}]), json!({})), ONLY),
        (
            update(json!([{"Create": with_units}]), a()),
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: new when BillingMode is \
             PAY_PER_REQUEST",
        ),
        (update(json!([{"Update": {"IndexName": "old", "WarmThroughput": {}}}]), json!({})), NO_WARMTH),
        (
            update(json!([{"Update": {"IndexName": "old", "WarmThroughput": {}}}]), json!({"TableName": "nobody"})),
            NO_WARMTH,
        ),
        (
            update(
                json!([{"Update": {"IndexName": "old", "WarmThroughput": {"WriteUnitsPerSecond": 3_999}}}]),
                json!({}),
            ),
            "Requested WriteUnitsPerSecond for WarmThroughput for index old is lower than current WarmThroughput, decreasing \
             WarmThroughput is not supported",
        ),
        (
            update(json!([create("new", "a")]), with(a(), json!({"WarmThroughput": {"ReadUnitsPerSecond": 20_000}}))),
            "Create global secondary index cannot be specified when updating WarmThroughput",
        ),
        (
            with(
                json!({"TableName": "users"}),
                json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(1, 1)}),
            ),
            "ProvisionedThroughput must be specified for index: old",
        ),
        (
            update(json!([{"Update": limited}]), json!({})),
            "Requested MaxReadRequestUnits for OnDemandThroughput for index : old is outside of valid range",
        ),
        (
            update(json!([create("new", "a")]), with(a(), json!({"DeletionProtectionEnabled": true}))),
            "DeletionProtection modification must be the only operation in the request",
        ),
    ];
    for (body, expected) in cases {
        bench.refused("UpdateTable", body, &format!("{PARAMETER}{expected}")).await;
    }
    let stream = json!({"StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}});
    let only_one = "LimitExceededException: Subscriber limit exceeded: Only 1 online index can be created or deleted \
                    simultaneously per table";
    let others = [
        (
            update(json!([create("new", "a")]), with(a(), json!({"ProvisionedThroughput": units(1, 1)}))),
            "ValidationException: One or more parameter values were invalid: You cannot create or delete index while updating table IOPS",
        ),
        (
            update(json!([delete("old")]), json!({"BillingMode": "PAY_PER_REQUEST"})),
            "ValidationException: One or more parameter values were invalid: You cannot create or delete index while updating table IOPS",
        ),
        (
            update(json!([delete("old")]), stream),
            "ValidationException: One or more parameter values were invalid: You cannot create or delete index while changing stream status",
        ),
        (update(json!([create("new", "a"), create("other", "a")]), a()), only_one),
        (update(json!([create("new", "a"), delete("old")]), a()), only_one),
        (
            update(json!([create("old", "a")]), a()),
            "ValidationException: Attempting to create an index which already exists",
        ),
        (
            update(json!([delete("other")]), json!({})),
            "ResourceNotFoundException: Requested resource not found: Index other for table users",
        ),
        (
            update(
                json!([{"Update": {"IndexName": "other", "WarmThroughput": {"ReadUnitsPerSecond": 12001}}}]),
                json!({}),
            ),
            "ResourceNotFoundException: Requested resource not found: Index other for table users",
        ),
        (
            update(json!([delete("old")]), json!({"TableName": "nobody"})),
            "ResourceNotFoundException: Requested resource not found: Table: nobody not found",
        ),
    ];
    for (body, expected) in others {
        bench.refused("UpdateTable", body, expected).await;
    }
    let null = update(json!([{"Create": {"IndexName": "new", "KeySchema": schema(&["h:a"])}}]), a());
    let at = "Value null at 'globalSecondaryIndexUpdates.1.member.create.projection' failed to satisfy constraint: Member \
              must not be null";
    bench.refused("UpdateTable", null, &format!("{ENVELOPE}{at}")).await;
    assert_eq!(global(&bench).await.as_array().unwrap().len(), 1, "a refused request changed something");
}

/// docs/spec/dynamodb-api.md 8.1: local ones come and go with their table.
#[tokio::test]
async fn a_local_index_cannot_be_deleted() {
    let bench = Bench::new().await;
    let members = json!({
        "AttributeDefinitions": definitions(&["pk", "sk", "a"]),
        "KeySchema": schema(&["h:pk", "r:sk"]),
        "LocalSecondaryIndexes": [index("local", &["h:pk", "r:a"])],
    });
    bench.ok("CreateTable", with(on_demand("users"), members)).await;
    let expected = "ValidationException: Cannot delete an index that is not a GlobalSecondaryIndex: local";
    bench.refused("UpdateTable", update(json!([delete("local")]), json!({})), expected).await;
}

/// docs/spec/dynamodb-api.md 2.1 row 31, 8.1
#[tokio::test]
async fn a_table_has_at_most_twenty_global_indexes() {
    let bench = Bench::new().await;
    let twenty: Value = (0..20).map(|n| index(&format!("idx{n}"), &["h:pk"])).collect();
    bench.ok("CreateTable", with(on_demand("users"), json!({"GlobalSecondaryIndexes": twenty}))).await;
    let body = update(json!([create("more", "pk")]), json!({"AttributeDefinitions": definitions(&["pk"])}));
    let expected = "LimitExceededException: Subscriber limit exceeded: Number of global secondary indexes exceeds per-table \
                    limit of 20";
    bench.refused("UpdateTable", body, expected).await;
}

/// docs/spec/dynamodb-api.md 8.1 (create states), 2.3 (AttributeDefinitions are merged; a type that is known stays).
#[tokio::test]
async fn a_new_index_is_creating_until_it_is_filled() {
    let bench = bench().await;
    let mixed = json!([
        {"AttributeName": "a", "AttributeType": "N"},
        {"AttributeName": "b", "AttributeType": "N"},
        {"AttributeName": "unused", "AttributeType": "S"},
    ]);
    let new = json!({"Create": index("new", &["h:b", "r:a"])});
    let body = update(json!([new]), json!({"AttributeDefinitions": mixed}));
    let answered = bench.ok("UpdateTable", body.clone()).await["TableDescription"].clone();
    assert_eq!(answered["TableStatus"], "UPDATING");
    let status = |indexes: &Value| (indexes[1]["IndexStatus"].clone(), indexes[1].get("Backfilling").cloned());
    assert_eq!(status(&answered["GlobalSecondaryIndexes"]), (json!("CREATING"), Some(json!(false))));
    let table = bench.describe("users").await;
    assert_eq!(table["TableStatus"], "ACTIVE");
    assert_eq!(status(&table["GlobalSecondaryIndexes"]), (json!("CREATING"), Some(json!(true))));
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    assert_eq!(table["AttributeDefinitions"], json!([attribute("a", "S"), attribute("b", "N"), attribute("pk", "S")]));

    let second = update(json!([create("third", "a")]), json!({"AttributeDefinitions": definitions(&["a"])}));
    let only_one = "LimitExceededException: Subscriber limit exceeded: Only 1 online index can be created or deleted \
                    simultaneously per table";
    bench.refused("UpdateTable", second.clone(), only_one).await;
    bench.refused("UpdateTable", body, "ValidationException: Attempting to create an index which already exists").await;
    bench.run_background(EpochMs(START_MS)).await.unwrap();
    assert_eq!(status(&global(&bench).await), (json!("ACTIVE"), None));
    bench.ok("UpdateTable", second).await;
}

/// docs/spec/dynamodb-api.md 8.1: deleting prunes definitions, and the name is free again.
#[tokio::test]
async fn a_deleted_index_is_gone_with_its_rows_and_definitions() {
    let bench = bench().await;
    bench.ok("PutItem", json!({"TableName": "users", "Item": {"pk": {"S": "1"}, "a": {"S": "x"}}})).await;
    let rows = async |index: u32| {
        let set = ItemSet { table: TableId(1), index: IndexId(index) };
        let limit = PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 };
        bench.store.page(ItemKey::table_range(set), limit).await.unwrap().rows.len()
    };
    assert_eq!(rows(1).await, 1);
    let answered = bench.ok("UpdateTable", update(json!([delete("old")]), json!({}))).await["TableDescription"].clone();
    assert_eq!(answered["TableStatus"], "UPDATING");
    assert_eq!(answered["GlobalSecondaryIndexes"][0]["IndexStatus"], "DELETING");
    let table = bench.describe("users").await;
    assert_eq!((table.get("GlobalSecondaryIndexes"), &table["AttributeDefinitions"]), (None, &definitions(&["pk"])));
    assert_eq!(rows(1).await, 0);

    let again = update(json!([create("old", "a")]), json!({"AttributeDefinitions": definitions(&["a"])}));
    bench.ok("UpdateTable", again).await;
    bench.run_background(EpochMs(START_MS)).await.unwrap();
    assert_eq!((rows(1).await, rows(2).await), (0, 1), "a number is never used again");
}

/// A crash right behind the commit that took an index out of its table.
#[tokio::test]
async fn the_rows_of_a_deleted_index_are_reclaimed_after_a_crash() {
    let bench = bench().await;
    let set = ItemSet { table: TableId(1), index: IndexId(7) };
    let keys = [DeletedIndexKey { set }.encode(), ItemKey::key(set, Bucket(1), b"p", b"s")];
    let value = bytes::Bytes::from_static(b"row");
    commit(bench.store.as_ref(), &[], &keys, |_| {
        let writes = keys.iter().map(|key| Write::Put { key: key.clone(), value: value.clone() });
        Decision::Apply(writes.collect(), ())
    })
    .await
    .unwrap();
    bench.run_background(EpochMs(START_MS)).await.unwrap();
    assert_eq!(bench.store.get(&keys).await.unwrap(), [None, None]);
}

/// docs/spec/dynamodb-api.md 2.3, 8.1: billing with indexes.
#[tokio::test]
async fn indexes_follow_their_table_to_another_billing_mode() {
    let bench = bench().await;
    let of_old = |members: Value| json!([{"Update": with(json!({"IndexName": "old"}), members)}]);
    let given = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5, 5)});
    let body = update(of_old(json!({"ProvisionedThroughput": units(2, 3)})), given);
    let answered = bench.ok("UpdateTable", body).await["TableDescription"].clone();
    let index = &answered["GlobalSecondaryIndexes"][0];
    assert_eq!(
        (&index["IndexStatus"], &index["ProvisionedThroughput"]["ReadCapacityUnits"]),
        (&json!("UPDATING"), &json!(0))
    );
    let index = global(&bench).await[0].clone();
    let now = (&index["IndexStatus"], &index["ProvisionedThroughput"]["ReadCapacityUnits"]);
    assert_eq!(now, (&json!("ACTIVE"), &json!(2)));
    assert_eq!(index["WarmThroughput"]["ReadUnitsPerSecond"], 12_000, "it never decreases");

    let same = update(of_old(json!({"ProvisionedThroughput": units(2, 3)})), json!({}));
    let expected = "ValidationException: The provisioned throughput for the index old will not change. The requested value \
                    equals the current value. Current ReadCapacityUnits provisioned for the index: 2. Requested \
                    ReadCapacityUnits: 2. Current WriteCapacityUnits provisioned for the index: 3. Requested \
                    WriteCapacityUnits: 3. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request \
                    higher limits.";
    bench.refused("UpdateTable", same, expected).await;
    let create = update(json!([create("new", "a")]), json!({"AttributeDefinitions": definitions(&["a"])}));
    let expected = format!("{PARAMETER}Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: new");
    bench.refused("UpdateTable", create, &expected).await;
    let limit = || json!({"OnDemandThroughput": {"MaxWriteRequestUnits": 5}});
    let expected = "MaxWriteRequestUnits for OnDemandThroughput for index : old cannot be specified when the table \
                    BillingMode is PROVISIONED";
    bench.refused("UpdateTable", update(of_old(limit()), json!({})), &format!("{PARAMETER}{expected}")).await;
    let new =
        with(with(super::indexes::index("new", &["h:a"]), limit()), json!({"ProvisionedThroughput": units(1, 1)}));
    let create = update(json!([{"Create": new}]), json!({"AttributeDefinitions": definitions(&["a"])}));
    let expected = "MaxWriteRequestUnits for OnDemandThroughput for index: new cannot be specified when table BillingMode is \
                    PROVISIONED.";
    bench.refused("UpdateTable", create, &format!("{PARAMETER}{expected}")).await;

    bench.clock.advance(1000);
    bench.ok("UpdateTable", update(of_old(json!({"ProvisionedThroughput": units(1, 9)})), json!({}))).await;
    let throughput = global(&bench).await[0]["ProvisionedThroughput"].clone();
    assert_eq!(throughput["NumberOfDecreasesToday"], 1);
    assert_eq!(throughput["LastIncreaseDateTime"], throughput["LastDecreaseDateTime"]);

    let of_table = bench.describe("users").await["ProvisionedThroughput"]["NumberOfDecreasesToday"].clone();
    bench.clock.advance(1000);
    bench.ok("UpdateTable", json!({"TableName": "users", "BillingMode": "PAY_PER_REQUEST"})).await;
    let given_up = global(&bench).await[0]["ProvisionedThroughput"].clone();
    assert_eq!((&given_up["ReadCapacityUnits"], &given_up["NumberOfDecreasesToday"]), (&json!(0), &json!(2)));
    assert_ne!(given_up["LastDecreaseDateTime"], throughput["LastDecreaseDateTime"]);
    assert_eq!(bench.describe("users").await["ProvisionedThroughput"]["NumberOfDecreasesToday"], of_table);
    let limits = |read: i64| update(of_old(json!({"OnDemandThroughput": {"MaxReadRequestUnits": read}})), json!({}));
    bench.ok("UpdateTable", limits(9)).await;
    assert_eq!(global(&bench).await[0]["OnDemandThroughput"], json!({"MaxReadRequestUnits": 9}));
    bench.ok("UpdateTable", limits(-1)).await;
    assert_eq!(global(&bench).await[0].get("OnDemandThroughput"), None);
}

/// The descriptor that requests are checked by before their commit is kept in memory.
#[tokio::test]
async fn the_first_write_behind_an_update_meets_the_indexes_as_they_are_now() {
    let bench = Bench::new().await;
    bench.create("users", None).await;
    let key = json!({"pk": {"S": "a"}});
    let put = json!({"TableName": "users", "Item": {"pk": {"S": "a"}, "a": {"N": "1"}}});
    let set = json!({"TableName": "users", "Key": key, "UpdateExpression": "SET a = :a",
        "ExpressionAttributeValues": {":a": {"N": "1"}}});
    let transact = json!({"TransactItems": [{"Update": set}]});
    let calls = [("PutItem", put), ("UpdateItem", set), ("TransactWriteItems", transact)];
    let mismatch = "Type mismatch for Index Key a Expected: S Actual: N IndexName: new";
    for (operation, body) in calls {
        bench.ok("PutItem", json!({"TableName": "users", "Item": key})).await;
        let definitions = json!({"AttributeDefinitions": definitions(&["a"])});
        bench.ok("UpdateTable", update(json!([create("new", "a")]), definitions)).await;
        let error = bench.call(operation, body.clone()).await.unwrap_err();
        let texts = format!("{error} {:?}", error.reasons);
        assert!(texts.contains(mismatch), "{operation}: {texts}");
        bench.run_background(EpochMs(START_MS)).await.unwrap();
        bench.ok("UpdateTable", update(json!([delete("new")]), json!({}))).await;
        bench.ok(operation, body).await;
    }
}

/// docs/spec/dynamodb-api.md 8.1: an index is warmed up while it and its table stay as they are.
#[tokio::test]
async fn the_warm_throughput_of_an_index_comes_while_it_is_active() {
    let bench = bench().await;
    let warmer = json!([{"Update": {"IndexName": "old", "WarmThroughput": {"ReadUnitsPerSecond": 12_001}}}]);
    let told = bench.ok("UpdateTable", update(warmer, json!({}))).await["TableDescription"].clone();
    let index = &told["GlobalSecondaryIndexes"][0];
    assert_eq!((&told["TableStatus"], &index["IndexStatus"]), (&json!("ACTIVE"), &json!("ACTIVE")));
    let coming = json!({"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "UPDATING"});
    assert_eq!(index["WarmThroughput"], coming, "the old numbers");
    let warm = json!({"ReadUnitsPerSecond": 12_001, "WriteUnitsPerSecond": 4_000, "Status": "ACTIVE"});
    assert_eq!(global(&bench).await[0]["WarmThroughput"], warm);
    let limit = json!([{"Update": {"IndexName": "old", "OnDemandThroughput": {"MaxReadRequestUnits": 9}}}]);
    let told = bench.ok("UpdateTable", update(limit, json!({}))).await["TableDescription"].clone();
    let status = &told["GlobalSecondaryIndexes"][0]["IndexStatus"];
    assert_eq!((&told["TableStatus"], status), (&json!("ACTIVE"), &json!("UPDATING")));
}
