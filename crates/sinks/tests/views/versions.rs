//! Definitions that change: a new version is built beside the one that is shown, and takes its place.

use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::EpochMs;
use tailrace_engine::background::reclaim::Reclaim;
use tailrace_engine::background::{Progress, Task};
use tailrace_sinks::sink::Sink;
use tailrace_sinks::views::{Standing, View, limits, remove};
use tailrace_store::ModelEngine;

use crate::bench::{Bench, Positions, Source};
use crate::oracle;

struct Stage {
    bench: Bench,
    model: Arc<ModelEngine>,
    source: Source,
}

fn config(aggregates: Value) -> Value {
    json!({"to": "table:View", "group_by": ["day"], "aggregates": aggregates, "stream": "NEW_AND_OLD_IMAGES"})
}

fn s(text: &str) -> Value {
    json!({"S": text})
}

fn n(number: usize) -> Value {
    json!({"N": number.to_string()})
}

impl Stage {
    /// Orders of so many days, two each but one of the first.
    async fn new(days: usize) -> Stage {
        let (bench, model) = Bench::on_the_model(1).await;
        let source = bench.source("Orders").await;
        let stage = Stage { bench, model, source };
        for day in 0..days {
            for pk in 0..if day == 0 { 1 } else { 2 } {
                stage.put(&format!("{day}-{pk}"), &format!("d{day:04}"), pk + 1).await;
            }
        }
        stage
    }

    async fn put(&self, pk: &str, day: &str, amount: usize) {
        self.bench.put("Orders", json!({"pk": s(pk), "day": s(day), "amount": n(amount)})).await;
    }

    /// A version that is filled from a snapshot, which comes in two pages.
    async fn filled(&self, version: u32, config: Value) -> (View, Positions) {
        let view = self.bench.view("v", version, config);
        view.prepare(self.source.source.clone()).await.unwrap();
        let (positions, records) = self.bench.snapshot(&self.source).await;
        let half = records.len() / 2;
        for (page, records) in [&records[..half], &records[half..]].into_iter().enumerate() {
            let flush = self.bench.snapshot_flush(&self.source, page as u64, records.to_vec()).await;
            self.bench.flush(&view, flush).await;
        }
        (view, positions)
    }
}

#[tokio::test]
async fn a_changed_definition_is_built_beside_the_old_one_and_swapped_at_once() {
    let stage = Stage::new(3).await;
    let (old, mut old_positions) = stage.filled(1, config(json!({"orders": "count"}))).await;
    assert_eq!(old.standing().await.unwrap(), Standing::Live);
    let before = stage.bench.items("View").await;
    assert_eq!(before[1], json!({"day": s("d0001"), "orders": n(2)}));
    let narrower = json!({"to": "table:View", "where": {"day": [{"anything-but": "d0000"}]}, "group_by": ["day"],
        "aggregates": {"orders": "count", "most": "max(amount)"}});
    let (new, mut new_positions) = stage.filled(2, narrower).await;
    assert_eq!(new.standing().await.unwrap(), Standing::Building);
    assert_eq!(stage.bench.items("View").await, before, "nobody sees what is built");
    // Both go on.
    stage.put("2-1", "d0002", 9).await;
    stage.put("x", "d0003", 1).await;
    stage.bench.catch_up(&old, &stage.source, &mut old_positions, 10).await.unwrap();
    stage.bench.catch_up(&new, &stage.source, &mut new_positions, 10).await.unwrap();
    assert_eq!(stage.bench.items("View").await.len(), 4);
    let groups = stage.bench.source_of("View").await;
    let behind = stage.bench.snapshot(&groups).await.0;

    new.swap().await.unwrap();
    assert_eq!(new.standing().await.unwrap(), Standing::Live);
    let group = |day: &str, orders, most| json!({"day": s(day), "orders": n(orders), "most": n(most)});
    let expected = [group("d0001", 2, 2), group("d0002", 2, 9), group("d0003", 1, 1)];
    assert_eq!(stage.bench.items("View").await, expected);
    // The stream goes on, and has what differs, in one commit.
    let records = stage.bench.next_flush("w", &groups, &behind, (0, 100)).await.unwrap().records;
    let kinds: Vec<&str> = records.iter().map(|record| record.meta.kind.name()).collect();
    assert_eq!((kinds.iter().filter(|kind| **kind == "MODIFY").count(), kinds.len()), (3, 4));
    let numbers: Vec<u64> = records.iter().map(|record| record.number.0).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(stage.bench.rows_of(1).await, 0, "the rows of the old version are reclaimed");

    // The old one is told, the new one goes on, a swap more changes nothing.
    stage.put("y", "d0003", 5).await;
    let error = stage.bench.catch_up(&old, &stage.source, &mut old_positions, 10).await.unwrap_err().to_string();
    assert_eq!(error, "version 1 of the view v was replaced or removed");
    assert!(old.standing().await.is_err());
    new.swap().await.unwrap();
    stage.bench.catch_up(&new, &stage.source, &mut new_positions, 10).await.unwrap();
    assert_eq!(stage.bench.items("View").await[2], group("d0003", 2, 5));
}

#[tokio::test]
async fn a_large_view_is_swapped_in_several_commits_and_goes_on_where_the_power_was_cut() {
    let days = limits::SWAP_AT_ONCE_GROUPS_MAX + 100;
    let mut stage = Stage::new(days).await;
    let (_old, _) = stage.filled(1, config(json!({"orders": "count"}))).await;
    let fewer = json!({"to": "table:View", "where": {"day": [{"anything-but": {"prefix": "d03"}}]}, "group_by": ["day"],
        "aggregates": {"orders": "count", "total": "sum(amount)"}});
    let (new, positions) = stage.filled(2, fewer.clone()).await;
    for turns in 0..6 {
        stage.model.hold_syncs(true);
        let cut = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
                stage.model.hold_syncs(false);
                stage.model.hold_syncs(true);
            }
            stage.model.crash();
        };
        let _ = tokio::join!(new.swap(), cut);
        stage.bench = Bench::over(stage.bench.store.clone(), 1).await;
    }
    let new = stage.bench.view("v", 2, fewer);
    new.prepare(stage.source.source.clone()).await.unwrap();
    // It goes on wherever it was cut off, if only with the rows of the old one.
    new.swap().await.unwrap();
    let items = stage.bench.items("View").await;
    assert_eq!(items.len(), days - 100);
    assert!(items.iter().all(|item| item.get("total").is_some()));
    // The rows of the old one are given back by the swap, or behind the operations where it was cut off.
    let reclaim = Reclaim::default();
    while let Progress::More(_) = reclaim.tick(&stage.bench.db, EpochMs::ZERO).await.progress {}
    assert_eq!(stage.bench.rows_of(1).await, 0);
    stage.put("0-0", "d0001", 4).await;
    stage.bench.catch_up(&new, &stage.source, &mut positions.clone(), 10).await.unwrap();
    let items = stage.bench.items("View").await;
    assert_eq!(items[0], json!({"day": s("d0001"), "orders": n(3), "total": n(7)}));
}

#[tokio::test]
async fn a_changed_key_makes_the_table_anew_when_the_version_takes_its_place() {
    let stage = Stage::new(2).await;
    let (old, mut old_positions) = stage.filled(1, config(json!({"orders": "count"}))).await;
    let by_amount = json!({"to": "table:View", "group_by": [{"path": "amount", "type": "N"}, "day"], "aggregates": {"orders": "count"}});
    let (new, mut positions) = stage.filled(2, by_amount).await;
    stage.put("x", "d0001", 2).await;
    stage.bench.catch_up(&old, &stage.source, &mut old_positions, 10).await.unwrap();
    assert_eq!(stage.bench.items("View").await.len(), 2);
    new.swap().await.unwrap();
    stage.bench.catch_up(&new, &stage.source, &mut positions, 10).await.unwrap();
    let group = |amount, day: &str, orders| json!({"amount": n(amount), "day": s(day), "orders": n(orders)});
    let expected = [group(1, "d0000", 1), group(1, "d0001", 1), group(2, "d0001", 2)];
    assert_eq!(stage.bench.items("View").await, expected);
    assert!(stage.bench.catch_up(&old, &stage.source, &mut old_positions, 10).await.is_err());
    assert_eq!(stage.bench.items("View").await, expected, "the old version does not make its table again");
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_one_that_is_being_built_and_a_removed_view_leaves_its_table() {
    let stage = Stage::new(3).await;
    let (one, _) = stage.filled(1, config(json!({"orders": "count"}))).await;
    let (two, _) = stage.filled(2, config(json!({"orders": "count", "total": "sum(amount)"}))).await;
    assert!(stage.bench.rows_of(2).await > 0);
    let (three, _) = stage.filled(3, config(json!({"total": "sum(amount)"}))).await;
    assert_eq!(stage.bench.rows_of(2).await, 0);
    assert_eq!(two.swap().await.unwrap_err().to_string(), "version 2 of the view v was replaced or removed");
    let changed = stage.bench.view("v", 3, config(json!({"orders": "count"})));
    let error = changed.prepare(stage.source.source.clone()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "version 3 of the view v is there with another definition: a changed definition is a new version"
    );
    assert_eq!(one.standing().await.unwrap(), Standing::Live);
    three.swap().await.unwrap();
    let items = stage.bench.items("View").await;
    assert_eq!(items[0], json!({"day": s("d0000"), "total": n(1)}));
    remove(&stage.bench.db, "v").await.unwrap();
    assert_eq!(stage.bench.view_rows().await, (0, 0));
    assert_eq!(stage.bench.items("View").await, items);
    let error = three.standing().await.unwrap_err().to_string();
    assert_eq!(error, "version 3 of the view v was replaced or removed");
    // The name is free again.
    let (again, _) = stage.filled(1, oracle::config("Other")).await;
    assert_eq!(again.standing().await.unwrap(), Standing::Live);
}

#[tokio::test]
async fn another_table_is_filled_at_once_and_leaves_the_old_one_as_it_was() {
    let stage = Stage::new(2).await;
    let (old, _) = stage.filled(1, config(json!({"orders": "count"}))).await;
    let elsewhere = json!({"to": "table:Users", "group_by": ["day"], "aggregates": {"orders": "count"}});
    let (new, _) = stage.filled(2, elsewhere).await;
    assert_eq!(new.standing().await.unwrap(), Standing::Live);
    assert!(old.standing().await.is_err());
    assert_eq!(stage.bench.items("Users").await, stage.bench.items("View").await);
    assert_eq!(stage.bench.rows_of(1).await, 0);
}
