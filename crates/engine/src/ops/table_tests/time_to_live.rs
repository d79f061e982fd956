//! Time to live: texts, what expires and what does not, and that nothing else goes. Source: docs/spec/dynamodb-api.md 8.2.

use std::time::Duration;

use futures_util::future::join_all;
use tailrace_core::codec::encode_stored;
use tailrace_core::limits::{EXPIRED_PER_COMMIT, EXPIRED_PER_TICK, EXPIRY_FILL_ROWS_PER_TICK, ITEM_BYTES_MAX};
use tailrace_core::size::item_size;
use tailrace_core::{AttributeValue, Item, Number, TableId, TtlGeneration};
use tailrace_store::keyspace::{ExpiryKey, ItemKey, KeyKind, TimeToLiveKey};
use tailrace_store::{Decision, Key, PageLimit, Write, commit};

use super::*;
use crate::background::Task;
use crate::background::expire::{self, Expire, expire_at_once};
use crate::background::expiry_fill::ExpiryFill;
use crate::items::place::ItemPlace;
use crate::ops::power_cuts::{below, weather};
use crate::tables::time_to_live::{Expiries, TimeToLiveRow};

const NOW_S: u64 = START_MS / 1000;

fn specification(table: &str, attribute: &str, enabled: bool) -> Value {
    json!({"TableName": table, "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": enabled}})
}

impl Bench {
    async fn enable(&self, table: &str, attribute: &str) {
        self.ok("UpdateTimeToLive", specification(table, attribute, true)).await;
    }

    async fn disable(&self, table: &str, attribute: &str) {
        self.ok("UpdateTimeToLive", specification(table, attribute, false)).await;
    }

    /// Puts `{pk, <attribute>: value}`.
    async fn put_expiring(&self, table: &str, pk: &str, attribute: &str, value: Value) {
        self.ok("PutItem", json!({"TableName": table, "Item": {"pk": {"S": pk}, attribute: value}})).await;
    }

    /// The keys of the items of a table, sorted.
    async fn keys(&self, table: &str) -> Vec<String> {
        let answer = self.ok("Scan", json!({"TableName": table})).await;
        let items = answer["Items"].as_array().unwrap();
        let mut keys: Vec<String> = items.iter().map(|item| item["pk"]["S"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    }

    /// Rows of a kind.
    async fn rows_of(&self, kind: KeyKind) -> Vec<Key> {
        let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        let page = self.store.page(kind.range(), limit).await.unwrap();
        page.rows.into_iter().map(|(key, _)| key).collect()
    }

    /// Whether items from before a time to live was enabled are still to be entered.
    async fn is_filling(&self) -> bool {
        let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        let rows = self.store.page(TimeToLiveKey::range(), limit).await.unwrap().rows;
        rows.iter().any(|(_, row)| TimeToLiveRow::decode(row).unwrap().expiries == Expiries::Filling)
    }

    async fn sweep(&self) {
        self.run_background(self.clock.now()).await.unwrap();
    }
}

fn n(value: impl ToString) -> Value {
    json!({"N": value.to_string()})
}

#[tokio::test]
async fn time_to_live_is_enabled_described_and_disabled_in_the_words_of_the_service() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    let described = async || bench.ok("DescribeTimeToLive", json!({"TableName": "table"})).await;
    let disabled = json!({"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}});
    assert_eq!(described().await, disabled);
    let update = async |attribute: &str, enabled: bool, expected: &str| {
        bench.refused("UpdateTimeToLive", specification("table", attribute, enabled), expected).await;
    };
    update("ttl", false, "ValidationException: TimeToLive is already disabled").await;
    let answer = bench.ok("UpdateTimeToLive", specification("table", "ttl", true)).await;
    assert_eq!(answer, json!({"TimeToLiveSpecification": {"Enabled": true, "AttributeName": "ttl"}}));
    let enabled = json!({"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}});
    assert_eq!(described().await, enabled);
    update("ttl", true, "ValidationException: TimeToLive is already enabled").await;
    let other = "ValidationException: TimeToLive is active on a different AttributeName: current AttributeName is ttl";
    update("other", true, other).await;
    update("other", false, other).await;
    let answer = bench.ok("UpdateTimeToLive", specification("table", "ttl", false)).await;
    assert_eq!(answer, json!({"TimeToLiveSpecification": {"Enabled": false, "AttributeName": "ttl"}}));
    assert_eq!(described().await, disabled);
    // A key attribute will do, and so will the same one again.
    bench.enable("table", "pk").await;
    bench.disable("table", "pk").await;
    bench.enable("table", "ttl").await;
}

#[tokio::test]
async fn a_wrong_request_about_time_to_live_is_refused_in_the_words_of_the_control_plane() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    let no_table = "ResourceNotFoundException: Requested resource not found: Table: none not found";
    bench.refused("DescribeTimeToLive", json!({"TableName": "none"}), no_table).await;
    bench.refused("UpdateTimeToLive", specification("none", "ttl", true), no_table).await;
    let null =
        |path: &str| format!("{ENVELOPE}Value null at '{path}' failed to satisfy constraint: Member must not be null");
    bench.refused("UpdateTimeToLive", json!({"TableName": "table"}), &null("timeToLiveSpecification")).await;
    let body = json!({"TableName": "table", "TimeToLiveSpecification": {"AttributeName": "ttl"}});
    bench.refused("UpdateTimeToLive", body, &null("timeToLiveSpecification.enabled")).await;
    let body = json!({"TableName": "table", "TimeToLiveSpecification": {"Enabled": true}});
    bench.refused("UpdateTimeToLive", body, &null("timeToLiveSpecification.attributeName")).await;
    let empty = format!(
        "{ENVELOPE}Value '' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have \
         length greater than or equal to 1"
    );
    bench.refused("UpdateTimeToLive", specification("table", "", true), &empty).await;
    let required = "ValidationException: The parameter 'TableName' is required but was not present in the request";
    for operation in ["DescribeTimeToLive", "UpdateTimeToLive"] {
        let mut body = specification("table", "ttl", true);
        body.as_object_mut().unwrap().remove("TableName");
        bench.refused(operation, body, required).await;
    }
    // The ARN of a table is its name, too.
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/table";
    bench.enable(arn, "ttl").await;
    let described = bench.ok("DescribeTimeToLive", json!({"TableName": arn})).await;
    assert_eq!(described["TimeToLiveDescription"]["TimeToLiveStatus"], "ENABLED");
}

#[tokio::test]
async fn an_item_goes_when_the_clock_is_past_its_number_and_the_record_names_the_service() {
    let bench = Bench::single().await;
    let arn = bench.create("table", Some("NEW_AND_OLD_IMAGES")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.enable("table", "ttl").await;
    bench.put_expiring("table", "later", "ttl", n(NOW_S + 10)).await;
    bench.put_expiring("table", "fraction", "ttl", n(format!("{NOW_S}.5"))).await;
    bench.put_expiring("table", "now", "ttl", n(NOW_S)).await;
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["fraction", "later", "now"], "the clock is at the number, not past it");
    bench.clock.advance(1);
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["fraction", "later"]);
    bench.clock.advance(499);
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["fraction", "later"]);
    bench.clock.advance(1);
    // Expired, and there until it is deleted.
    let got = bench.ok("GetItem", json!({"TableName": "table", "Key": {"pk": {"S": "fraction"}}})).await;
    assert_eq!(got["Item"]["ttl"], n(format!("{NOW_S}.5")));
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["later"]);
    let records = bench.records(&arn).await;
    let by_service = json!({"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"});
    let removed: Vec<&Value> = records.iter().filter(|record| record["eventName"] == "REMOVE").collect();
    assert_eq!(removed.len(), 2);
    for (record, pk) in removed.iter().zip(["now", "fraction"]) {
        assert_eq!(record["userIdentity"], by_service);
        assert_eq!(record["dynamodb"]["Keys"], json!({"pk": {"S": pk}}));
        assert_eq!(record["dynamodb"]["OldImage"]["pk"], json!({"S": pk}));
        assert_eq!(record["dynamodb"].get("NewImage"), None);
    }
    let others = records.iter().filter(|record| record["eventName"] != "REMOVE");
    assert!(others.into_iter().all(|record| record.get("userIdentity").is_none()));
    // A client's delete is no service's.
    bench.ok("DeleteItem", json!({"TableName": "table", "Key": {"pk": {"S": "later"}}})).await;
    assert_eq!(bench.records(&arn).await.last().unwrap().get("userIdentity"), None);
    assert_eq!(bench.rows_of(KeyKind::Expiry).await, []);
}

#[tokio::test]
async fn what_is_no_recent_number_at_the_top_never_expires() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    bench.enable("table", "ttl").await;
    let five_years_s = 5 * 365 * 24 * 60 * 60;
    let stays = [
        ("absent", json!({"NULL": true})),
        ("text", json!({"S": (NOW_S - 10).to_string()})),
        ("list", json!({"L": [n(NOW_S - 10)]})),
        ("map", json!({"M": {"ttl": n(NOW_S - 10)}})),
        ("set", json!({"NS": [(NOW_S - 10).to_string()]})),
        ("milliseconds", n(START_MS - 10)),
        ("too-old", n(NOW_S - five_years_s - 1)),
        ("zero", n(0)),
        ("negative", n(-5)),
        ("huge", n("9e125")),
        ("tiny", n("1e-130")),
    ];
    for (pk, value) in &stays {
        bench.put_expiring("table", pk, "ttl", value.clone()).await;
    }
    bench.put_expiring("table", "other-attribute", "expires", n(NOW_S - 10)).await;
    bench.put_expiring("table", "old", "ttl", n(NOW_S - five_years_s + 1)).await;
    bench.put_expiring("table", "scientific", "ttl", n(format!("{}e1", (NOW_S - 10) / 10))).await;
    bench.sweep().await;
    let mut expected: Vec<&str> = stays.iter().map(|(pk, _)| *pk).chain(["other-attribute"]).collect();
    expected.sort_unstable();
    assert_eq!(bench.keys("table").await, expected);
    assert_eq!(expire_at_once(&bench.db).await, Ok(0));
}

/// The row of an item is that of its attribute as it is now, and is written only when that changes.
#[tokio::test]
async fn an_expiry_follows_its_item() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    bench.put_expiring("table", "a", "ttl", n(NOW_S + 5)).await;
    assert_eq!(bench.rows_of(KeyKind::Expiry).await, [], "a table without time to live pays nothing");
    bench.enable("table", "ttl").await;
    bench.put_expiring("table", "a", "ttl", n(NOW_S + 10)).await;
    let first = bench.rows_of(KeyKind::Expiry).await;
    assert_eq!(first.len(), 1);
    let update = async |expression: &str, value: Option<Value>| {
        let mut body = json!({
            "TableName": "table",
            "Key": {"pk": {"S": "a"}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": {"#t": "ttl"},
        });
        if let Some(value) = value {
            body["ExpressionAttributeValues"] = json!({":v": value});
        }
        bench.ok("UpdateItem", body).await;
        bench.rows_of(KeyKind::Expiry).await
    };
    let moved = update("SET #t = :v", Some(n(NOW_S + 20))).await;
    assert!(moved.len() == 1 && moved != first);
    assert_eq!(update("REMOVE #t", None).await, []);
    assert_eq!(update("SET #t = :v", Some(n(NOW_S + 10))).await, first);
    bench.ok("DeleteItem", json!({"TableName": "table", "Key": {"pk": {"S": "a"}}})).await;
    assert_eq!(bench.rows_of(KeyKind::Expiry).await, []);
}

/// What was renewed between the sweep's look and its commit stays; so does what the table lets expire no more.
#[tokio::test]
async fn what_is_not_due_at_the_commit_stays() {
    use crate::items::expiry::Due;
    let bench = Bench::single().await;
    let arn = bench.create("table", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.enable("table", "ttl").await;
    for pk in ["expired", "gone", "renewed"] {
        bench.put_expiring("table", pk, "ttl", n(NOW_S - 1)).await;
    }
    // The look.
    let table = bench.db.table("table").await.unwrap();
    let due = Due::at(EpochMs(START_MS), table.time_to_live.as_ref().unwrap().generation);
    let page = PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 };
    let rows = bench.store.page(ItemKey::table_range(table.id), page).await.unwrap().rows;
    let found: Vec<Key> = rows.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found.len(), 3);
    // What happens before the commit.
    bench.put_expiring("table", "renewed", "ttl", n(NOW_S + 100)).await;
    bench.ok("DeleteItem", json!({"TableName": "table", "Key": {"pk": {"S": "gone"}}})).await;
    let records = bench.records(&arn).await.len();
    assert_eq!(expire::delete(&bench.db, &table, due, &found).await, (1, vec![]));
    assert_eq!(bench.keys("table").await, ["renewed"]);
    assert_eq!(bench.records(&arn).await.len(), records + 1);

    bench.put_expiring("table", "expired", "ttl", n(NOW_S - 1)).await;
    bench.disable("table", "ttl").await;
    assert_eq!(expire::delete(&bench.db, &table, due, &found).await, (0, vec![]));
    bench.enable("table", "ttl").await;
    assert_eq!(expire::delete(&bench.db, &table, due, &found).await, (0, vec![]), "it was found by an earlier one");
    bench.ok("DeleteTable", json!({"TableName": "table"})).await;
    assert_eq!(expire::delete(&bench.db, &table, due, &found).await, (0, vec![]));
}

#[tokio::test]
async fn items_from_before_expire_too_and_the_walk_goes_on_where_it_was() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    let total = 2 * EXPIRY_FILL_ROWS_PER_TICK + 10;
    for n_th in 0..total {
        bench.put_expiring("table", &format!("{n_th:04}"), "ttl", n(NOW_S + 1)).await;
    }
    bench.enable("table", "ttl").await;
    let tick = async |task: &ExpiryFill| {
        let tick = task.tick(&bench.db, bench.clock.now()).await;
        assert!(tick.failures.is_empty(), "{}", tick.failures);
        tick.progress
    };
    // Each tick is one of another process: what is done stands in rows.
    let more = Progress::More("the items of table".to_owned());
    assert_eq!(tick(&ExpiryFill::default()).await, more);
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), EXPIRY_FILL_ROWS_PER_TICK);
    // Writes go on beside it.
    bench.put_expiring("table", "0000", "ttl", n(NOW_S + 100)).await;
    bench.put_expiring("table", "0001", "ttl", json!({"S": "never"})).await;
    assert_eq!(tick(&ExpiryFill::default()).await, more);
    assert_eq!(tick(&ExpiryFill::default()).await, Progress::Done);
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), total - 1);
    bench.clock.advance(1_001);
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["0000", "0001"]);
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), 1);
}

/// Puts, moves on when items expire, and deletes.
async fn writer(bench: &Bench, seed: u64) {
    let rng = SeededRng::new(seed);
    for _ in 0..40 {
        let key = json!({"pk": {"S": format!("{:04}", below(&rng, FILLED_ITEMS))}});
        let seconds = n(NOW_S + [0, 1, 50][below(&rng, 3) as usize]);
        // Without an answer the power was cut; it is there, or not.
        let _answer = match below(&rng, 4) {
            0 => bench.call("DeleteItem", json!({"TableName": "table", "Key": key})).await,
            1 => bench.call("PutItem", json!({"TableName": "table", "Item": key})).await,
            2 => bench.call("PutItem", json!({"TableName": "table", "Item": with(key, json!({"ttl": seconds}))})).await,
            _ => {
                let update = json!({
                    "UpdateExpression": "SET #t = :at",
                    "ExpressionAttributeNames": {"#t": "ttl"},
                    "ExpressionAttributeValues": {":at": seconds},
                });
                bench.call("UpdateItem", with(json!({"TableName": "table", "Key": key}), update)).await
            }
        };
        for _ in 0..below(&rng, 4) {
            tokio::task::yield_now().await;
        }
    }
}

/// More than three ticks' worth.
const FILLED_ITEMS: u64 = 3 * EXPIRY_FILL_ROWS_PER_TICK as u64 + 50;

/// Seeded: writers beside the walk over the items from before, power cuts under both.
#[tokio::test]
async fn writers_and_power_cuts_leave_exactly_the_expiries_of_the_items() {
    for seed in 0..20 {
        let bench = Bench::new().await;
        bench.create("table", None).await;
        let item = |n_th: u64| json!({"pk": {"S": format!("{n_th:04}")}, "ttl": n(NOW_S + n_th % 3 * 30)});
        let puts: Vec<Value> = (0..FILLED_ITEMS).map(|n_th| json!({"PutRequest": {"Item": item(n_th)}})).collect();
        for puts in puts.chunks(25) {
            bench.ok("BatchWriteItem", json!({"RequestItems": {"table": puts}})).await;
        }
        bench.enable("table", "ttl").await;
        let work = async {
            let writers = join_all((0..4).map(|number| writer(&bench, seed * 10 + number)));
            let walk = async {
                // A power cut ends the process that walks.
                while bench.is_filling().await {
                    ExpiryFill::default().tick(&bench.db, bench.clock.now()).await;
                    tokio::task::yield_now().await;
                }
            };
            futures_util::future::join(writers, walk).await;
        };
        tokio::select! {
            () = work => {}
            () = weather(&bench.store, seed, 3, 40) => unreachable!("the weather has no end"),
        }
        bench.store.hold_syncs(false);
        let table = bench.db.table("table").await.unwrap();
        let time_to_live = table.time_to_live.as_ref().unwrap();
        let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
        let items = bench.store.page(ItemKey::table_range(table.id), limit).await.unwrap().rows;
        let instant = |stored: &[u8]| time_to_live.instant(stored).unwrap();
        let expiry = |(key, stored): &(Key, bytes::Bytes)| Some(time_to_live.row(&table, instant(stored)?, key));
        let mut expected: Vec<Key> = items.iter().filter_map(expiry).collect();
        expected.sort();
        assert_eq!(bench.rows_of(KeyKind::Expiry).await, expected, "seed {seed}");
        bench.clock.advance(40_000);
        bench.sweep().await;
        let stays = |stored: &[u8]| instant(stored).is_none_or(|at| at >= bench.clock.now());
        let left: Vec<&Key> = items.iter().filter(|(_, stored)| stays(stored)).map(|(key, _)| key).collect();
        assert_eq!(bench.rows_of(KeyKind::Item).await.iter().collect::<Vec<_>>(), left, "seed {seed}");
    }
}

#[tokio::test]
async fn a_flood_of_expired_items_is_many_short_ticks() {
    let bench = Bench::new().await;
    for table in ["one", "two"] {
        bench.create(table, None).await;
        bench.enable(table, "ttl").await;
        for n_th in 0..EXPIRED_PER_TICK + 50 {
            bench.put_expiring(table, &n_th.to_string(), "ttl", n(NOW_S - 1)).await;
        }
    }
    let expire = Expire::default();
    let mut before = bench.rows_of(KeyKind::Expiry).await.len();
    let mut ticks = 0;
    loop {
        let tick = expire.tick(&bench.db, bench.clock.now()).await;
        assert!(tick.failures.is_empty(), "{}", tick.failures);
        ticks += 1;
        let now = bench.rows_of(KeyKind::Expiry).await.len();
        assert!(before - now <= EXPIRED_PER_TICK, "one tick deleted {}", before - now);
        before = now;
        if tick.progress == Progress::Done {
            break;
        }
    }
    assert!(ticks >= 3 && before == 0, "{ticks} ticks, {before} left");
    assert!(bench.keys("one").await.is_empty() && bench.keys("two").await.is_empty());
}

/// The rows of a time to live go when it ends, however it does, and are never taken for those of another.
#[tokio::test]
async fn the_expiries_of_a_time_to_live_that_ended_are_reclaimed() {
    let bench = Bench::new().await;
    bench.create("table", None).await;
    bench.enable("table", "ttl").await;
    bench.put_expiring("table", "a", "ttl", n(NOW_S - 1)).await;
    bench.disable("table", "ttl").await;
    assert_eq!((bench.rows_of(KeyKind::Expiry).await, bench.rows_of(KeyKind::TimeToLive).await), (vec![], vec![]));
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["a"]);
    // By another attribute it has no expiry.
    bench.enable("table", "expires").await;
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["a"]);
    bench.put_expiring("table", "b", "expires", n(NOW_S + 5)).await;
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), 1);
    bench.ok("DeleteTable", json!({"TableName": "table"})).await;
    // One of the same name is another one.
    bench.create("table", None).await;
    bench.put_expiring("table", "b", "expires", n(NOW_S - 5)).await;
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["b"]);
    assert_eq!((bench.rows_of(KeyKind::Expiry).await, bench.rows_of(KeyKind::TimeToLive).await), (vec![], vec![]));
}

/// A crash between the commit that disables and the reclaiming: the row says so, and a pass finishes it.
#[tokio::test]
async fn an_ending_that_was_interrupted_is_finished() {
    use crate::tables::time_to_live::{TimeToLiveRow, apply};
    use tailrace_store::keyspace::TimeToLiveKey;
    use tailrace_store::{Decision, Write, commit};
    let bench = Bench::new().await;
    bench.create("table", None).await;
    bench.enable("table", "ttl").await;
    bench.put_expiring("table", "a", "ttl", n(NOW_S - 1)).await;
    let table = bench.db.table("table").await.unwrap();
    let generation = table.time_to_live.as_ref().unwrap().generation;
    let keys = [Db::table_key("table"), TimeToLiveKey { table: table.id, generation }.encode()];
    commit(bench.store.as_ref(), &[], &keys, |reads| {
        let mut ended = crate::Table::clone(&table);
        let asked = tailrace_api::tables::TimeToLiveSpecification { enabled: false, attribute_name: "ttl".to_owned() };
        apply(&asked, &mut ended).unwrap();
        let row = TimeToLiveRow::decode(reads.exclusive[1].as_ref().unwrap()).unwrap().ended();
        let writes = [ended.encode(), row.encode()].into_iter().zip(&keys);
        Decision::Apply(writes.map(|(value, key)| Write::Put { key: key.clone(), value }).collect(), ())
    })
    .await
    .unwrap();
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), 1);
    bench.sweep().await;
    assert_eq!((bench.rows_of(KeyKind::Expiry).await, bench.rows_of(KeyKind::TimeToLive).await), (vec![], vec![]));
    assert_eq!(bench.keys("table").await, ["a"]);
}

/// 2.2, states.
#[tokio::test]
async fn a_table_that_comes_or_goes_has_no_time_to_live_to_tell_of() {
    let bench = Bench::with(Settings { aws_like_states: true, ..Settings::default() }).await;
    bench.create("table", None).await;
    let refused = async |state: &str, text: &str| {
        let expected = format!(
            "ValidationException: Cannot describe time to live while table is in {state} state: Current table state is {state}"
        );
        bench.refused("DescribeTimeToLive", json!({"TableName": "table"}), &expected).await;
        let expected = format!("ResourceInUseException: Attempt to change a resource which is still in use: {text}");
        bench.refused("UpdateTimeToLive", specification("table", "ttl", true), &expected).await;
    };
    refused("CREATING", "Table table is being created").await;
    bench.clock.advance(60_000);
    bench.enable("table", "ttl").await;
    bench.ok("DeleteTable", json!({"TableName": "table"})).await;
    refused("DELETING", "Table is being deleted: table").await;
}

/// `expire_at_once` waits for no delay, no walk and no pass; the sweep does.
#[tokio::test]
async fn a_delay_holds_for_the_sweep_alone() {
    let bench = Bench::with(Settings { ttl_delay: Duration::from_secs(60), ..Settings::default() }).await;
    bench.create("table", None).await;
    bench.put_expiring("table", "before", "ttl", n(NOW_S - 30)).await;
    bench.enable("table", "ttl").await;
    bench.put_expiring("table", "early", "ttl", n(NOW_S - 61)).await;
    bench.put_expiring("table", "after", "ttl", n(NOW_S - 30)).await;
    bench.put_expiring("table", "later", "ttl", n(NOW_S + 30)).await;
    bench.sweep().await;
    assert_eq!(bench.keys("table").await, ["after", "before", "later"]);
    assert_eq!(expire_at_once(&bench.db).await, Ok(2));
    assert_eq!(bench.keys("table").await, ["later"]);
}

/// An item that cannot be read is told of and takes no other with it.
#[tokio::test]
async fn a_damaged_item_keeps_no_other_from_expiring() {
    use crate::items::place::ItemPlace;
    use tailrace_store::{Decision, Write, commit};
    let bench = Bench::new().await;
    bench.create("table", None).await;
    bench.enable("table", "ttl").await;
    for pk in ["a", "b", "c"] {
        bench.put_expiring("table", pk, "ttl", n(NOW_S - 1)).await;
    }
    let table = bench.db.table("table").await.unwrap();
    let key = tailrace_core::Item::from([("pk".to_owned(), tailrace_core::AttributeValue::S("b".to_owned()))]);
    let keys = [ItemPlace::of_key(&table, &key).unwrap().row];
    commit(bench.store.as_ref(), &[], &keys, |_| {
        Decision::Apply(vec![Write::Put { key: keys[0].clone(), value: bytes::Bytes::from_static(b"\x05\xff") }], ())
    })
    .await
    .unwrap();
    let error = bench.run_background(bench.clock.now()).await.unwrap_err();
    assert!(error.contains("table: ") && error.contains("corrupt"), "{error}");
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), 1);
    assert_eq!(table.id, TableId(1));
}

/// A full disk is tried once a pass, not once an item, and told in few words; what is due goes when there is room.
#[tokio::test]
async fn a_full_disk_is_tried_once_a_pass() {
    use std::sync::atomic::Ordering;
    let (bench, store) = super::figures::watched().await;
    for table in ["one", "two"] {
        bench.create(table, None).await;
        bench.enable(table, "ttl").await;
        for n_th in 0..EXPIRED_PER_TICK + 50 {
            bench.put_expiring(table, &n_th.to_string(), "ttl", n(NOW_S - 1)).await;
        }
    }
    store.full.store(true, Ordering::Relaxed);
    let tick = Expire::default().tick(&bench.db, bench.clock.now()).await;
    assert_eq!(tick.progress, Progress::Done);
    assert_eq!(store.refused.load(Ordering::Relaxed), 1);
    let told = tick.failures.to_string();
    assert_eq!(told.matches("the data directory has no room for more: the disk").count(), 1, "{told}");
    store.full.store(false, Ordering::Relaxed);
    bench.run_background(bench.clock.now()).await.unwrap();
    assert!(bench.keys("one").await.is_empty() && bench.keys("two").await.is_empty());
}

/// Numbers of one digit take more bytes than they are counted for.
#[tokio::test]
async fn items_that_are_too_much_for_one_commit_are_deleted_in_several() {
    let bench = Bench::single().await;
    let arn = bench.create("table", Some("OLD_IMAGE")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.enable("table", "ttl").await;
    let table = bench.db.table("table").await.unwrap();
    let number = |value: u64| AttributeValue::N(Number::from(value as i64));
    let mut writes = Vec::new();
    for n in 0..EXPIRED_PER_COMMIT {
        let item = Item::from([
            ("pk".to_owned(), AttributeValue::S(n.to_string())),
            ("ttl".to_owned(), number(NOW_S - 1)),
            ("large".to_owned(), AttributeValue::L(vec![number(1); 136_000])),
        ]);
        assert!(item_size(&item) <= ITEM_BYTES_MAX);
        let place = ItemPlace::of_item(&table, &item).unwrap();
        let expiry = ExpiryKey::key(table.id, TtlGeneration(1), EpochMs((NOW_S - 1) * 1000), &place.row);
        writes.push(Write::Put { key: place.row, value: encode_stored(&item).into() });
        writes.push(Write::Put { key: expiry, value: bytes::Bytes::new() });
    }
    let keys: [Key; 0] = [];
    commit(bench.store.as_ref(), &[], &keys, |_| Decision::Apply(writes.clone(), ())).await.unwrap();
    bench.sweep().await;
    assert_eq!(bench.rows_of(KeyKind::Item).await.len(), 0);
    assert_eq!(bench.rows_of(KeyKind::Expiry).await.len(), 0);
    assert!(!bench.records(&arn).await.is_empty());
}
