//! Throttling where it is asked for. docs/spec/dynamodb-api.md 7.1 to 7.4. The clock is moved by hand.

use std::collections::BTreeSet;

use tailrace_core::limits::THROTTLE_BURST;

use super::*;
use crate::background::Task;
use crate::background::expire::Expire;
use crate::settings::ThrottledTables;

const TABLE: &str = "ProvisionedThroughputExceededException: The level of configured provisioned throughput for the table was \
     exceeded. Consider increasing your provisioning level with the UpdateTable API.";
const INDEX: &str = "ProvisionedThroughputExceededException: The level of configured provisioned throughput for one or more global \
     secondary indexes of the table was exceeded. Consider increasing your provisioning level for the under-provisioned global \
     secondary indexes with the UpdateTable API.";
const BURST: usize = THROTTLE_BURST.as_secs() as usize;

async fn throttled(throttled: ThrottledTables) -> Bench {
    let bench = Bench::with_settings(Settings { throttled, ..Settings::default() }).await;
    bench.ok("CreateTable", provisioned("metered", 1, 1)).await;
    let on_demand = json!({"TableName": "plain", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST"});
    bench.ok("CreateTable", on_demand).await;
    bench
}

/// A table with a global index `by-g` of these units.
fn provisioned(name: &str, units: i64, index_units: i64) -> Value {
    json!({"TableName": name, "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "S"}],
        "ProvisionedThroughput": {"ReadCapacityUnits": units, "WriteCapacityUnits": units},
        "GlobalSecondaryIndexes": [{"IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
            "ProvisionedThroughput": {"ReadCapacityUnits": index_units, "WriteCapacityUnits": index_units}}]})
}

fn put(pk: &str) -> Value {
    json!({"TableName": "metered", "Item": {"pk": s(pk)}})
}

fn get(pk: &str) -> Value {
    json!({"TableName": "metered", "Key": {"pk": s(pk)}, "ConsistentRead": true})
}

impl Bench {
    /// Writes so many units.
    async fn spend_writes(&self, units: usize) {
        let text = "x".repeat(1024 * (units - 1));
        self.put("metered", json!({"pk": s("spent"), "t": s(&text)})).await;
    }

    async fn spend_reads(&self, times: usize) {
        for _ in 0..times {
            self.ok("GetItem", get("none")).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_throttled_that_was_not_asked_for() {
    let named = ThrottledTables::Named(BTreeSet::from(["other".to_owned()]));
    for asked in [ThrottledTables::None, named] {
        let bench = throttled(asked).await;
        bench.spend_writes(BURST + 10).await;
        bench.ok("PutItem", put("a")).await;
    }
}

#[tokio::test]
async fn a_burst_is_admitted_and_then_the_rate() {
    let bench = throttled(ThrottledTables::Named(BTreeSet::from(["metered".to_owned()]))).await;
    bench.spend_writes(BURST).await;
    bench.refused("PutItem", put("a"), TABLE).await;
    let error = bench.call("PutItem", put("a")).await.unwrap_err();
    let reason = error.throttling.unwrap();
    assert_eq!(reason.reason, "TableWriteProvisionedThroughputExceeded");
    assert_eq!(reason.resource, bench.db.settings().table_arn("metered").to_string());
    // Reads are another bucket.
    assert_eq!(bench.ok("GetItem", get("a")).await, json!({}));
    bench.clock.advance(1_000);
    bench.ok("PutItem", put("a")).await;
    bench.refused("DeleteItem", json!({"TableName": "metered", "Key": {"pk": s("a")}}), TABLE).await;
    // What is saved up ends with the burst.
    bench.clock.advance(10 * THROTTLE_BURST.as_millis() as u64);
    bench.spend_writes(BURST).await;
    bench.refused("PutItem", put("a"), TABLE).await;
}

#[tokio::test]
async fn what_was_admitted_is_paid_in_full() {
    let bench = throttled(ThrottledTables::All).await;
    bench.spend_writes(BURST - 1).await;
    // One unit is left: an item of 11 units is written for it, and owes 10.
    bench.put("metered", json!({"pk": s("large"), "t": s(&"x".repeat(10 * 1024))})).await;
    bench.clock.advance(10_000);
    bench.refused("PutItem", put("a"), TABLE).await;
    bench.clock.advance(1_000);
    bench.ok("PutItem", put("a")).await;
    // A condition that does not hold is paid, too.
    let failing =
        json!({"TableName": "metered", "Item": {"pk": s("a")}, "ConditionExpression": "attribute_not_exists(pk)"});
    bench.clock.advance(1_000);
    bench.refused("PutItem", failing.clone(), "ConditionalCheckFailedException: The conditional request failed").await;
    bench.refused("PutItem", failing, TABLE).await;
}

#[tokio::test]
async fn reads_of_tables_and_indexes_are_throttled_each_by_its_own() {
    let bench = throttled(ThrottledTables::All).await;
    let scan = |index: bool| match index {
        true => json!({"TableName": "metered", "IndexName": "by-g"}),
        false => json!({"TableName": "metered"}),
    };
    bench.spend_reads(BURST).await;
    bench.refused("GetItem", get("a"), TABLE).await;
    bench.refused("Scan", scan(false), TABLE).await;
    let select = json!({"Statement": "SELECT * FROM metered WHERE pk = 'a'"});
    bench.refused("ExecuteStatement", select, TABLE).await;
    for _ in 0..2 * BURST {
        bench.ok("Scan", scan(true)).await;
    }
    bench.refused("Scan", scan(true), INDEX).await;
    let reason = bench.call("Scan", scan(true)).await.unwrap_err().throttling.unwrap();
    assert_eq!(reason.reason, "IndexReadProvisionedThroughputExceeded");
    assert_eq!(reason.resource, bench.db.settings().index_arn("metered", "by-g").to_string());
    bench.clock.advance(1_000);
    bench.ok("Scan", scan(true)).await;
    bench.ok("GetItem", get("a")).await;
}

#[tokio::test]
async fn an_index_without_units_holds_back_the_writes_that_touch_it() {
    let bench = throttled(ThrottledTables::All).await;
    let grown =
        json!({"TableName": "metered", "ProvisionedThroughput": {"ReadCapacityUnits": 100, "WriteCapacityUnits": 100}});
    bench.ok("UpdateTable", grown).await;
    bench.clock.advance(10_000);
    let entered = |pk: &str, g: &str| json!({"TableName": "metered", "Item": {"pk": s(pk), "g": s(g)}});
    // Each moves the entry: two units of the index.
    for number in 0..BURST / 2 + 1 {
        bench.ok("PutItem", entered("a", &number.to_string())).await;
    }
    bench.refused("PutItem", entered("a", "x"), INDEX).await;
    bench.ok("PutItem", put("b")).await;
    // An entry that stays as it is costs nothing.
    bench.ok("PutItem", entered("a", &(BURST / 2).to_string())).await;
}

#[tokio::test]
async fn an_update_of_the_table_counts_from_its_moment_and_a_new_table_begins_anew() {
    let bench = throttled(ThrottledTables::All).await;
    bench.spend_writes(BURST + 4).await;
    let units = |units: i64| json!({"TableName": "metered", "ProvisionedThroughput": {"ReadCapacityUnits": units, "WriteCapacityUnits": units}});
    bench.clock.advance(2_000);
    bench.ok("UpdateTable", units(4)).await;
    bench.refused("PutItem", put("a"), TABLE).await;
    bench.clock.advance(1_000);
    bench.ok("PutItem", put("a")).await;
    bench.ok("UpdateTable", json!({"TableName": "metered", "BillingMode": "PAY_PER_REQUEST"})).await;
    bench.spend_writes(350).await;
    bench.ok("DeleteTable", json!({"TableName": "metered"})).await;
    bench.ok("CreateTable", provisioned("metered", 1, 1)).await;
    bench.spend_writes(BURST).await;
    bench.refused("PutItem", put("a"), TABLE).await;
}

#[tokio::test]
async fn a_table_on_demand_is_throttled_by_its_own_limits() {
    let bench = throttled(ThrottledTables::All).await;
    let on_demand = json!({"TableName": "metered", "BillingMode": "PAY_PER_REQUEST",
        "OnDemandThroughput": {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": 1}});
    bench.ok("UpdateTable", on_demand).await;
    bench.spend_writes(BURST).await;
    let text = "ThrottlingException: Throughput exceeds the maximum OnDemandThroughput configured on table or index";
    bench.refused("PutItem", put("a"), text).await;
    bench.spend_reads(BURST + 1).await;
    let transaction = json!({"TransactItems": [{"Put": put("a")}]});
    let error = bench.call("TransactWriteItems", transaction).await.unwrap_err();
    assert_eq!(error.reasons[0].code.name(), "ThrottlingError");
}

#[tokio::test]
async fn a_batch_leaves_what_is_throttled_and_fails_only_if_all_of_it_is() {
    let bench = throttled(ThrottledTables::All).await;
    bench.spend_writes(BURST - 2).await;
    let request = |pk: &str| json!({"PutRequest": {"Item": {"pk": s(pk)}}});
    let arn = bench.db.settings().table_arn("metered").to_string();
    let batch = json!({"RequestItems": {&arn: [request("a"), request("b"), request("c"),
        {"DeleteRequest": {"Key": {"pk": s("d")}}}], "plain": [request("e")]}});
    let answer = bench.ok("BatchWriteItem", batch).await;
    let left = json!({&arn: [request("c"), {"DeleteRequest": {"Key": {"pk": s("d")}}}]});
    assert_eq!(answer, json!({"UnprocessedItems": left}));
    bench.refused("BatchWriteItem", json!({"RequestItems": left}), TABLE).await;
    bench.clock.advance(2_000);
    assert_eq!(bench.ok("BatchWriteItem", json!({"RequestItems": left})).await, json!({"UnprocessedItems": {}}));

    bench.spend_reads(BURST - 1).await;
    let keys = |keys: &[&str]| {
        let keys: Vec<Value> = keys.iter().map(|pk| json!({"pk": s(pk)})).collect();
        json!({"Keys": keys, "ConsistentRead": true, "ProjectionExpression": "pk"})
    };
    let answer = bench.ok("BatchGetItem", json!({"RequestItems": {"metered": keys(&["a", "b", "c"])}})).await;
    assert_eq!(answer["Responses"], json!({"metered": [{"pk": s("a")}]}));
    assert_eq!(answer["UnprocessedKeys"], json!({"metered": keys(&["b", "c"])}));
    bench.refused("BatchGetItem", json!({"RequestItems": answer["UnprocessedKeys"]}), TABLE).await;
}

#[tokio::test]
async fn a_transaction_tells_the_throttled_tables_among_its_reasons() {
    let bench = throttled(ThrottledTables::All).await;
    // Three actions of two units each are admitted with one unit, and owe five.
    bench.spend_writes(BURST - 1).await;
    let puts = json!({"TransactItems": [{"Put": put("a")}, {"Put": put("b")}, {"Put": {"TableName": "plain", "Item": {"pk": s("u")}}}]});
    bench.ok("TransactWriteItems", puts.clone()).await;
    bench.clock.advance(3_000);
    let error = bench.call("TransactWriteItems", puts.clone()).await.unwrap_err();
    let codes: Vec<&str> = error.reasons.iter().map(|reason| reason.code.name()).collect();
    assert_eq!(codes, ["ProvisionedThroughputExceeded", "ProvisionedThroughputExceeded", "None"]);
    assert_eq!(
        format!("ProvisionedThroughputExceededException: {}", error.reasons[0].message.as_ref().unwrap()),
        TABLE
    );
    bench.clock.advance(1_000);
    bench.ok("TransactWriteItems", puts).await;

    bench.spend_reads(BURST).await;
    let gets = json!({"TransactItems": [{"Get": {"TableName": "plain", "Key": {"pk": s("u")}}},
        {"Get": {"TableName": "metered", "Key": {"pk": s("a")}}}]});
    let error = bench.call("TransactGetItems", gets).await.unwrap_err();
    let codes: Vec<&str> = error.reasons.iter().map(|reason| reason.code.name()).collect();
    assert_eq!(codes, ["None", "ProvisionedThroughputExceeded"]);
}

#[tokio::test]
async fn a_batch_of_statements_tells_what_was_throttled_statement_by_statement() {
    let bench = throttled(ThrottledTables::All).await;
    bench.spend_writes(BURST - 1).await;
    let insert = |pk: &str| json!({"Statement": format!("INSERT INTO metered VALUE {{'pk': '{pk}'}}")});
    let answer = bench.ok("BatchExecuteStatement", json!({"Statements": [insert("a"), insert("b")]})).await;
    assert_eq!(answer["Responses"][0], json!({"TableName": "metered"}));
    assert_eq!(answer["Responses"][1]["Error"]["Code"], "ProvisionedThroughputExceeded");
    let error = bench.call("ExecuteTransaction", json!({"TransactStatements": [insert("c")]})).await.unwrap_err();
    assert_eq!(error.reasons[0].code.name(), "ProvisionedThroughputExceeded");
    bench.refused("ExecuteStatement", insert("d"), TABLE).await;
}

#[tokio::test]
async fn expired_items_go_whatever_the_table_may_write() {
    let bench = throttled(ThrottledTables::All).await;
    let ttl = json!({"TableName": "metered", "TimeToLiveSpecification": {"AttributeName": "e", "Enabled": true}});
    bench.ok("UpdateTimeToLive", ttl).await;
    let instant = bench.db.clock().now().0 / 1000 + 1;
    bench.put("metered", json!({"pk": s("old"), "e": {"N": instant.to_string()}})).await;
    bench.spend_writes(BURST + 100).await;
    bench.refused("PutItem", put("a"), TABLE).await;
    bench.clock.advance(2_000);
    let tick = Expire::default().tick(&bench.db, bench.db.clock().now()).await;
    assert!(tick.failures.is_empty(), "{tick:?}");
    assert_eq!(bench.ok("GetItem", get("old")).await, json!({}));
}
