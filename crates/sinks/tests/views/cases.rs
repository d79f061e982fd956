//! One test for each of the "consequences that naive versions miss" of docs/spec/sinks.md 6, named for it, and for what the definition
//! allows.

use serde_json::{Value, json};
use tailrace_sinks::sink::Sink;
use tailrace_sinks::views::View;

use crate::bench::{Bench, Positions, Source};

/// A view of `Orders` in `V`, and what it is made from.
struct Stage {
    bench: Bench,
    source: Source,
    view: View,
    positions: Positions,
}

impl Stage {
    async fn new(config: Value) -> Stage {
        let (bench, _) = Bench::on_the_model(1).await;
        let source = bench.source("Orders").await;
        let view = bench.view("v", 1, config);
        Stage { bench, source, view, positions: Positions::new() }
    }

    async fn put(&self, item: Value) {
        self.bench.put("Orders", item).await;
    }

    /// Flushes each record alone, so that each has to be right by itself; what the view shows then.
    async fn shown(&mut self) -> Vec<Value> {
        self.bench.catch_up(&self.view, &self.source, &mut self.positions, 1).await.unwrap();
        self.bench.items("View").await
    }
}

fn by_day(aggregates: Value) -> Value {
    json!({"to": "table:View", "where": {"status": ["SHIPPED"]}, "group_by": ["day"], "aggregates": aggregates})
}

fn order(pk: &str, day: &str, amount: Value) -> Value {
    json!({"pk": {"S": pk}, "status": {"S": "SHIPPED"}, "day": {"S": day}, "amount": amount})
}

fn n(text: &str) -> Value {
    json!({"N": text})
}

fn s(text: &str) -> Value {
    json!({"S": text})
}

#[tokio::test]
async fn a_modify_that_moves_the_item_to_another_group_is_taken_from_the_one_and_added_to_the_other() {
    let mut stage = Stage::new(by_day(json!({"orders": "count", "total": "sum(amount)"}))).await;
    stage.put(order("a", "mon", n("5"))).await;
    stage.put(order("b", "mon", n("7"))).await;
    stage.put(order("a", "tue", n("6"))).await;
    let expected = [
        json!({"day": s("mon"), "orders": n("1"), "total": n("7")}),
        json!({"day": s("tue"), "orders": n("1"), "total": n("6")}),
    ];
    assert_eq!(stage.shown().await, expected);
}

#[tokio::test]
async fn a_modify_that_enters_the_filter_only_adds_and_one_that_leaves_it_only_takes_away() {
    let mut stage = Stage::new(by_day(json!({"orders": "count", "total": "sum(amount)"}))).await;
    let mut packed = order("a", "mon", n("5"));
    packed["status"] = s("PACKED");
    stage.put(packed.clone()).await;
    assert_eq!(stage.shown().await, Vec::<Value>::new());
    stage.put(order("a", "mon", n("5"))).await;
    stage.put(order("b", "mon", n("1"))).await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "orders": n("2"), "total": n("6")})]);
    stage.put(packed).await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "orders": n("1"), "total": n("1")})]);
}

#[tokio::test]
async fn an_attribute_that_is_missing_or_of_the_wrong_type_counts_and_adds_nothing_to_sum_and_average() {
    let aggregates =
        json!({"orders": "count", "amounts": "count(amount)", "total": "sum(amount)", "mean": "avg(amount)"});
    let mut stage = Stage::new(by_day(aggregates)).await;
    stage.put(order("a", "mon", s("5"))).await;
    stage.put(order("b", "mon", json!({"NULL": true}))).await;
    stage.put(json!({"pk": s("c"), "status": s("SHIPPED"), "day": s("mon")})).await;
    // Without a number there is no sum, as in SQL.
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "orders": n("3"), "amounts": n("1")})]);
    stage.put(order("d", "mon", n("5"))).await;
    stage.put(order("e", "mon", n("6"))).await;
    let expected = json!({"day": s("mon"), "orders": n("5"), "amounts": n("3"), "total": n("11"), "mean": n("5.5")});
    assert_eq!(stage.shown().await, [expected]);
    // A number that becomes a text is taken away.
    stage.put(order("e", "mon", s("6"))).await;
    let expected = json!({"day": s("mon"), "orders": n("5"), "amounts": n("3"), "total": n("5"), "mean": n("5")});
    assert_eq!(stage.shown().await, [expected]);
}

#[tokio::test]
async fn a_key_of_another_type_than_it_is_grouped_by_is_told_once() {
    let mut stage = Stage::new(by_day(json!({"orders": "count"}))).await;
    stage.put(order("a", "mon", n("5"))).await;
    stage.put(json!({"pk": s("b"), "status": s("SHIPPED")})).await;
    stage.put(json!({"pk": s("c"), "status": s("PACKED"), "day": n("1")})).await;
    stage.shown().await;
    assert_eq!(stage.view.notice(), None, "no key is none of another type, and what does not pass is not looked at");
    stage.put(json!({"pk": s("d"), "status": s("SHIPPED"), "day": n("1")})).await;
    stage.put(json!({"pk": s("e"), "status": s("SHIPPED"), "day": n("2")})).await;
    assert_eq!(stage.shown().await.len(), 1);
    let told = "day of an item is N, where group_by takes S: such items are in no group; write `group_by: [{path: day, type: N}]`";
    assert_eq!(stage.view.notice().as_deref(), Some(told));
    assert_eq!(stage.view.notice(), None);
}

#[tokio::test]
async fn a_remove_by_time_to_live_too_takes_away_what_the_old_image_says() {
    let mut stage = Stage::new(by_day(json!({"orders": "count", "total": "sum(amount)"}))).await;
    let specification = json!({"Enabled": true, "AttributeName": "ttl"});
    stage.bench.ok("UpdateTimeToLive", json!({"TableName": "Orders", "TimeToLiveSpecification": specification})).await;
    for (pk, amount) in [("a", "5"), ("b", "6"), ("c", "7")] {
        let mut item = order(pk, "mon", n(amount));
        if pk == "b" {
            item["ttl"] = n("1699999999");
        }
        stage.put(item).await;
    }
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "orders": n("3"), "total": n("18")})]);
    stage.bench.delete("Orders", "a").await;
    assert_eq!(tailrace_engine::background::expire::expire_at_once(&stage.bench.db).await.unwrap(), 1);
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "orders": n("1"), "total": n("7")})]);
}

#[tokio::test]
async fn a_group_that_becomes_empty_is_deleted_and_leaves_no_row() {
    let aggregates = json!({"orders": "count", "least": "min(amount)", "kinds": "count(distinct amount)"});
    let mut stage = Stage::new(by_day(aggregates)).await;
    stage.put(order("a", "mon", n("5"))).await;
    stage.put(order("b", "mon", n("5"))).await;
    assert_eq!(stage.shown().await.len(), 1);
    // Progress, group, two ordered members, one distinct value.
    assert_eq!(stage.bench.view_rows().await, (5, 0));
    stage.bench.delete("Orders", "a").await;
    stage.bench.delete("Orders", "b").await;
    assert_eq!(stage.shown().await, Vec::<Value>::new());
    assert_eq!(stage.bench.view_rows().await, (1, 0), "the progress stays");
}

#[tokio::test]
async fn the_extremes_are_found_again_when_they_are_taken_away() {
    let mut stage =
        Stage::new(by_day(json!({"least": "min(amount)", "most": "max(amount)", "best": "top(2, amount)"}))).await;
    let shows = |least: &str, most: &str, best: &[(&str, &str)]| {
        let element = |(pk, amount): &(&str, &str)| json!({"M": {"pk": s(pk), "amount": n(amount)}});
        let best: Vec<Value> = best.iter().map(element).collect();
        [json!({"day": s("mon"), "least": n(least), "most": n(most), "best": {"L": best}})]
    };
    for (pk, amount) in [("a", "-2"), ("b", "10"), ("c", "9.5"), ("d", "9.5"), ("e", "0")] {
        stage.put(order(pk, "mon", n(amount))).await;
    }
    assert_eq!(stage.shown().await, shows("-2", "10", &[("b", "10"), ("d", "9.5")]));
    stage.bench.delete("Orders", "b").await;
    stage.bench.delete("Orders", "a").await;
    assert_eq!(stage.shown().await, shows("0", "9.5", &[("d", "9.5"), ("c", "9.5")]));
    // The highest becomes the lowest.
    stage.put(order("d", "mon", n("-1"))).await;
    assert_eq!(stage.shown().await, shows("-1", "9.5", &[("c", "9.5"), ("e", "0")]));
    stage.bench.delete("Orders", "c").await;
    stage.bench.delete("Orders", "e").await;
    assert_eq!(stage.shown().await, shows("-1", "-1", &[("d", "-1")]));
}

/// docs/sinks.md: of equal values the item with the higher key is first, a longer partition key before a shorter one.
#[tokio::test]
async fn of_equal_values_the_higher_key_is_first() {
    let mut stage = Stage::new(by_day(json!({"best": "top(3, amount)"}))).await;
    for pk in ["b", "z", "aa", "a"] {
        stage.put(order(pk, "mon", n("5"))).await;
    }
    let best = |keys: [&str; 3]| keys.map(|pk| json!({"M": {"pk": s(pk), "amount": n("5")}}));
    let shows = |keys| [json!({"day": s("mon"), "best": {"L": best(keys)}})];
    assert_eq!(stage.shown().await, shows(["aa", "z", "b"]));
    stage.bench.delete("Orders", "z").await;
    assert_eq!(stage.shown().await, shows(["aa", "b", "a"]));
}

#[tokio::test]
async fn extremes_are_of_numbers_then_strings_then_binaries_and_long_strings_are_passed_over() {
    let mut stage = Stage::new(by_day(json!({"least": "min(amount)", "most": "max(amount)"}))).await;
    for (pk, amount) in [("a", s("x\u{0}y")), ("b", s("x")), ("c", json!({"BOOL": true})), ("d", s(&"z".repeat(1025)))]
    {
        stage.put(order(pk, "mon", amount)).await;
    }
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "least": s("x"), "most": s("x\u{0}y")})]);
    stage.put(order("e", "mon", json!({"B": "AAE="}))).await;
    stage.put(order("f", "mon", n("1e125"))).await;
    let least = format!("1{}", "0".repeat(125));
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "least": n(&least), "most": {"B": "AAE="}})]);
}

#[tokio::test]
async fn sums_are_exact_decimals() {
    let mut stage = Stage::new(by_day(json!({"total": "sum(amount)"}))).await;
    stage.put(order("a", "mon", n("0.1"))).await;
    stage.put(order("b", "mon", n("0.2"))).await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "total": n("0.3")})]);
    stage.put(order("c", "mon", n("99999999999999999999999999999999999999"))).await;
    stage.put(order("d", "mon", n("1e-130"))).await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "total": n("99999999999999999999999999999999999999")})]);
    // What has more digits than a number is rounded where it is shown, and nowhere else.
    stage.bench.delete("Orders", "c").await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "total": n("0.3")})]);
    stage.bench.delete("Orders", "a").await;
    stage.bench.delete("Orders", "b").await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "total": n(&format!("0.{}1", "0".repeat(129)))})]);
}

#[tokio::test]
async fn a_late_start_has_the_snapshot_and_then_the_stream_behind_it() {
    let mut stage = Stage::new(by_day(json!({"orders": "count", "total": "sum(amount)", "most": "max(amount)"}))).await;
    for (pk, amount) in [("a", "1"), ("b", "2"), ("c", "4"), ("d", "8")] {
        stage.put(order(pk, "mon", n(amount))).await;
    }
    let (positions, records) = stage.bench.snapshot(&stage.source).await;
    stage.positions = positions;
    let view = stage.view.clone();
    view.prepare(stage.source.source.clone()).await.unwrap();
    for _ in 0..2 {
        // The pages come twice, and the first one in part: what is applied is not applied again.
        let first = stage.bench.snapshot_flush(&stage.source, 0, records[..3].to_vec()).await;
        stage.bench.flush(&view, first).await;
        let second = stage.bench.snapshot_flush(&stage.source, 1, records[3..].to_vec()).await;
        stage.bench.flush(&view, second).await;
    }
    let shown = stage.bench.items("View").await;
    assert_eq!(shown, [json!({"day": s("mon"), "orders": n("4"), "total": n("15"), "most": n("8")})]);
    stage.put(order("d", "mon", n("9"))).await;
    stage.bench.delete("Orders", "a").await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "orders": n("3"), "total": n("15"), "most": n("9")})]);
}

#[tokio::test]
async fn what_was_never_added_cannot_be_taken_away_and_the_error_says_to_rebuild() {
    let mut stage = Stage::new(by_day(json!({"orders": "count"}))).await;
    stage.put(order("a", "mon", n("1"))).await;
    // As if the view had begun here, without a snapshot.
    let (positions, _) = stage.bench.snapshot(&stage.source).await;
    stage.positions = positions;
    stage.bench.delete("Orders", "a").await;
    let error =
        stage.bench.catch_up(&stage.view, &stage.source, &mut stage.positions, 1).await.unwrap_err().to_string();
    assert!(error.contains("rebuild the view"), "{error}");
}

#[tokio::test]
async fn distinct_values_are_counted_whatever_their_type_and_length() {
    let mut stage = Stage::new(by_day(json!({"kinds": "count(distinct amount)"}))).await;
    let long = "y".repeat(2000);
    let values = [
        n("1"),
        n("1.0"),
        s("1"),
        json!({"L": [n("1")]}),
        json!({"L": [n("1")]}),
        json!({"BOOL": true}),
        s(&long),
        s(&long),
    ];
    for (at, value) in values.iter().enumerate() {
        stage.put(order(&at.to_string(), "mon", value.clone())).await;
    }
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "kinds": n("5")})]);
    stage.bench.delete("Orders", "6").await;
    stage.bench.delete("Orders", "0").await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "kinds": n("5")})]);
    stage.bench.delete("Orders", "7").await;
    stage.bench.delete("Orders", "1").await;
    assert_eq!(stage.shown().await, [json!({"day": s("mon"), "kinds": n("3")})]);
}

#[tokio::test]
async fn keys_are_of_their_types_and_several_make_partition_and_sort_key() {
    let config = json!({"to": "table:View", "group_by": [{"path": "to.zip", "type": "N"}, {"path": "day", "name": "shipped"}],
        "aggregates": {"orders": "count"}});
    let mut stage = Stage::new(config).await;
    let item = |pk: &str, zip: Value, day: Value| json!({"pk": s(pk), "to": {"M": {"zip": zip}}, "day": day});
    stage.put(item("a", n("10"), s("mon"))).await;
    stage.put(item("b", n("10.0"), s("mon"))).await;
    stage.put(item("c", n("9"), s("mon"))).await;
    // None of these is in a group.
    stage.put(item("d", s("10"), s("mon"))).await;
    stage.put(item("e", n("10"), s(""))).await;
    stage.put(item("f", n("10"), s(&"x".repeat(1025)))).await;
    stage.put(json!({"pk": s("g"), "day": s("mon")})).await;
    let expected = [
        json!({"shipped": s("mon"), "zip": n("10"), "orders": n("2")}),
        json!({"shipped": s("mon"), "zip": n("9"), "orders": n("1")}),
    ];
    let mut shown = stage.shown().await;
    shown.sort_by_key(|item| item["zip"].to_string());
    assert_eq!(shown, expected);
    let key = json!([{"AttributeName": "zip", "KeyType": "HASH"}, {"AttributeName": "shipped", "KeyType": "RANGE"}]);
    let described = stage.bench.ok("DescribeTable", json!({"TableName": "View"})).await;
    assert_eq!(described["Table"]["KeySchema"], key);
    assert_eq!(described["Table"]["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
}

#[tokio::test]
async fn more_keys_than_two_are_composed_to_one_sort_key() {
    let config = json!({"to": "table:View", "group_by": ["country", "city", {"path": "floor", "type": "N"}, {"path": "door", "type": "B"}],
        "aggregates": {"orders": "count"}});
    let mut stage = Stage::new(config).await;
    for (pk, city) in [("a", "x#1"), ("b", "x"), ("c", "x#1"), ("d", "back\\slash")] {
        stage
            .put(json!({"pk": s(pk), "country": s("it"), "city": s(city), "floor": n("1"), "door": {"B": "AAE="}}))
            .await;
    }
    let group = |sort: &str, city: &str, orders: &str| json!({"country": s("it"), "city#floor#door": s(sort), "city": s(city), "floor": n("1"), "door": {"B": "AAE="}, "orders": n(orders)});
    let mut shown = stage.shown().await;
    shown.sort_by_key(|item| item["city"].to_string());
    let expected = [
        group("back\\\\slash#1#AAE=", "back\\slash", "1"),
        group("x#1#AAE=", "x", "1"),
        group("x\\#1#1#AAE=", "x#1", "2"),
    ];
    let mut expected = expected.to_vec();
    expected.sort_by_key(|item| item["city"].to_string());
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn without_a_key_all_items_are_one_group_and_the_sources_key_gives_its_type() {
    let mut stage = Stage::new(json!({"to": "table:View", "aggregates": {"orders": "count"}})).await;
    stage.put(json!({"pk": s("a")})).await;
    stage.put(json!({"pk": s("b")})).await;
    assert_eq!(stage.shown().await, [json!({"group": s("all"), "orders": n("2")})]);
    // A view of the view, by a number.
    let second =
        stage.bench.view("w", 1, json!({"to": "table:Second", "group_by": ["pk"], "aggregates": {"n": "count"}}));
    stage.bench.catch_up(&second, &stage.source, &mut Positions::new(), 10).await.unwrap();
    assert_eq!(stage.bench.items("Second").await.len(), 2);
}

#[tokio::test]
async fn the_items_are_streamed_and_indexed_like_any_others() {
    let mut config = by_day(json!({"orders": "count", "total": "sum(amount)"}));
    config["stream"] = json!("NEW_AND_OLD_IMAGES");
    let mut stage = Stage::new(config).await;
    stage.put(order("a", "mon", n("5"))).await;
    stage.shown().await;
    let index = json!({"IndexName": "by-total", "KeySchema": [{"AttributeName": "total", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"}});
    stage
        .bench
        .ok(
            "UpdateTable",
            json!({"TableName": "View", "AttributeDefinitions": [{"AttributeName": "total", "AttributeType": "N"}],
            "GlobalSecondaryIndexUpdates": [{"Create": index}]}),
        )
        .await;
    stage.put(order("a", "mon", n("5"))).await;
    stage.put(order("a", "mon", n("6"))).await;
    stage.bench.delete("Orders", "a").await;
    assert_eq!(stage.shown().await, Vec::<Value>::new());
    let groups = stage.bench.source_of("View").await;
    let records = stage.bench.next_flush("w", &groups, &Positions::new(), (0, 100)).await.unwrap().records;
    let kinds: Vec<&str> = records.iter().map(|record| record.meta.kind.name()).collect();
    // A write that changes nothing emits nothing.
    assert_eq!(kinds, ["INSERT", "MODIFY", "REMOVE"]);
    assert!(records.iter().all(|record| !record.meta.by_service));
    assert!(records.windows(2).all(|pair| pair[0].new == pair[1].old));
}

#[tokio::test]
async fn a_view_is_not_written_to_its_source_nor_into_a_circle_nor_over_another_view() {
    let (bench, _) = Bench::on_the_model(1).await;
    let orders = bench.source("Orders").await;
    let config = |table: &str| json!({"to": format!("table:{table}"), "group_by": ["pk"], "aggregates": {"n": "count"}, "stream": "NEW_AND_OLD_IMAGES"});
    let prepare = async |name: &str, source: &Source, table: &str| {
        bench.view(name, 1, config(table)).prepare(source.source.clone()).await.map_err(|error| error.to_string())
    };
    let itself = prepare("a", &orders, "Orders").await.unwrap_err();
    assert_eq!(itself, "the view a is of the table Orders, and cannot be written to it");
    prepare("a", &orders, "Alpha").await.unwrap();
    let shared = prepare("b", &orders, "Alpha").await.unwrap_err();
    assert_eq!(shared, "the views a and b cannot both be written to the table Alpha");
    let a = bench.source_of("Alpha").await;
    let circle = prepare("b", &a, "Orders").await.unwrap_err();
    assert_eq!(circle, "views cannot feed each other: Alpha -> Orders -> Alpha");
    prepare("b", &a, "Beta").await.unwrap();
}

#[tokio::test]
async fn a_table_that_has_another_key_is_refused_and_one_that_is_deleted_is_made_again_with_all_groups() {
    let mut stage = Stage::new(by_day(json!({"orders": "count"}))).await;
    let table = json!({"TableName": "View", "AttributeDefinitions": [{"AttributeName": "other", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"});
    stage.bench.ok("CreateTable", table).await;
    let error = stage.view.prepare(stage.source.source.clone()).await.unwrap_err().to_string();
    let expected =
        "the table View has the key (other N), and the view v needs (day S): name another table, or delete it";
    assert_eq!(error, expected);
    stage.bench.ok("DeleteTable", json!({"TableName": "View"})).await;
    stage.put(order("a", "mon", n("5"))).await;
    stage.put(order("b", "tue", n("5"))).await;
    assert_eq!(stage.shown().await.len(), 2);
    // Somebody writes into it: the group's next change puts it right.
    stage.bench.put("View", json!({"day": s("mon"), "orders": n("77"), "mine": s("x")})).await;
    stage.put(order("c", "mon", n("5"))).await;
    let expected = [json!({"day": s("mon"), "orders": n("2")}), json!({"day": s("tue"), "orders": n("1")})];
    assert_eq!(stage.shown().await, expected);
    stage.bench.ok("DeleteTable", json!({"TableName": "View"})).await;
    stage.put(order("d", "mon", n("5"))).await;
    let flush = stage.bench.next_flush("v", &stage.source, &stage.positions, (0, 10)).await.unwrap();
    let error = stage.view.flush(flush.clone()).await.unwrap_err().to_string();
    assert!(error.contains("ResourceNotFoundException"), "{error}");
    stage.bench.flush(&stage.view, flush).await;
    let expected = [json!({"day": s("mon"), "orders": n("3")}), json!({"day": s("tue"), "orders": n("1")})];
    assert_eq!(stage.bench.items("View").await, expected);
}
