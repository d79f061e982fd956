//! Random operations, flushes of random bounds, repeats, power cuts and sealed shards: at the end the view is what the table says, and so
//! is a view of the view. Source: docs/spec/sinks.md 6, property test.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tailrace_sinks::sink::Sink;
use tailrace_sinks::views::{View, remove};
use tailrace_store::{Engine, ModelEngine};

use crate::bench::{Bench, Positions, Source};
use crate::oracle;

#[derive(Clone, Debug)]
enum Step {
    Put {
        pk: u8,
        status: u8,
        day: u8,
        amount: Amount,
        tag: u8,
    },
    Delete {
        pk: u8,
    },
    /// Flushes some records of a shard. `second`: to the view of the view. `noted`: the runtime's checkpoint moves; else the records come
    /// again.
    Flush {
        second: bool,
        which: usize,
        records: usize,
        noted: bool,
    },
    /// The power is cut while a flush is under way, after so many turns of others, and the server starts again.
    Cut {
        second: bool,
        which: usize,
        records: usize,
        turns: usize,
    },
    Split {
        which: usize,
        second: bool,
    },
}

#[derive(Clone, Debug)]
enum Amount {
    Number(i16),
    Text(u8),
    Null,
    Missing,
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![
        6 => (-20i16..20).prop_map(Amount::Number),
        1 => (0u8..3).prop_map(Amount::Text),
        1 => Just(Amount::Null),
        1 => Just(Amount::Missing),
    ];
    let put = (0u8..12, 0u8..4, 0u8..4, amount, 0u8..4);
    let flush = (prop::bool::weighted(0.3), any::<usize>(), 1usize..12);
    prop_oneof![
        12 => put.prop_map(|(pk, status, day, amount, tag)| Step::Put { pk, status, day, amount, tag }),
        4 => (0u8..12).prop_map(|pk| Step::Delete { pk }),
        6 => (flush.clone(), any::<bool>()).prop_map(|((second, which, records), noted)| Step::Flush { second, which, records, noted }),
        2 => (flush, 0usize..12).prop_map(|((second, which, records), turns)| Step::Cut { second, which, records, turns }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, second)| Step::Split { which, second }),
    ]
}

/// Two views, one of the other.
struct Stage {
    bench: Bench,
    sources: [Source; 2],
    views: [View; 2],
    positions: [Positions; 2],
}

fn second_config() -> Value {
    json!({"to": "table:Second", "group_by": [{"path": "orders", "type": "N"}], "aggregates": {"days": "count", "total": "sum(total)"}})
}

/// The view of the view.
fn second_expected(items: &[Value]) -> Vec<Value> {
    let mut groups: std::collections::BTreeMap<String, (usize, Option<i128>)> = std::collections::BTreeMap::new();
    for item in items {
        let (days, total) = groups.entry(item["orders"]["N"].as_str().unwrap().to_owned()).or_default();
        *days += 1;
        if let Some(number) = item["total"]["N"].as_str() {
            *total = Some(total.unwrap_or_default() + number.parse::<i128>().unwrap());
        }
    }
    let group = |(orders, (days, total)): (String, (usize, Option<i128>))| {
        let mut item = json!({"orders": {"N": orders}, "days": {"N": days.to_string()}});
        if let Some(total) = total {
            item["total"] = json!({"N": total.to_string()});
        }
        item
    };
    let mut shown: Vec<Value> = groups.into_iter().map(group).collect();
    shown.sort_by_key(Value::to_string);
    shown
}

fn views(bench: &Bench) -> [View; 2] {
    [bench.view("v", 2, oracle::config("View")), bench.view("w", 1, second_config())]
}

impl Stage {
    async fn over(store: Arc<dyn Engine>, shards: usize) -> Stage {
        let bench = Bench::over(store, shards).await;
        let orders = bench.source("Orders").await;
        let views = views(&bench);
        views[0].prepare(orders.source.clone()).await.unwrap();
        let shown = bench.source_of("View").await;
        Stage { bench, sources: [orders, shown], views, positions: Default::default() }
    }

    async fn step(&mut self, step: &Step, model: Option<&ModelEngine>) {
        self.step_of(2, step, model).await;
    }

    /// A step, where the first view is of this version: 1 is the former one.
    async fn step_of(&mut self, version: u32, step: &Step, model: Option<&ModelEngine>) {
        match step {
            Step::Put { pk, status, day, amount, tag } => {
                let status = ["SHIPPED", "PAID", "PACKED", ""][usize::from(*status)];
                let mut item = json!({"pk": {"S": format!("k{pk:02}")}, "status": {"S": status}});
                if let Some(day) = ["mon", "tue", "wed"].get(usize::from(*day)) {
                    item["day"] = json!({"S": day});
                }
                match amount {
                    Amount::Number(number) => item["amount"] = json!({"N": number.to_string()}),
                    Amount::Text(text) => item["amount"] = json!({"S": format!("t{text}")}),
                    Amount::Null => item["amount"] = json!({"NULL": true}),
                    Amount::Missing => {}
                }
                match tag {
                    0 => {}
                    1 => item["tag"] = json!({"NULL": true}),
                    tag => item["tag"] = json!({"S": tag.to_string()}),
                }
                self.bench.put("Orders", item).await;
            }
            Step::Delete { pk } => self.bench.delete("Orders", &format!("k{pk:02}")).await,
            Step::Flush { second, which, records, noted } => {
                let at = usize::from(*second);
                let (source, positions) = (&self.sources[at], &self.positions[at]);
                let Some(flush) = self.bench.next_flush("v", source, positions, (*which, *records)).await else {
                    return;
                };
                let (shard, last) = (flush.shard.no, flush.last());
                self.views[at].flush(flush).await.unwrap();
                if *noted {
                    self.positions[at].insert(shard, last);
                }
            }
            Step::Cut { second, which, records, turns } => {
                let Some(model) = model else { return };
                let at = usize::from(*second);
                let (source, positions) = (&self.sources[at], &self.positions[at]);
                let Some(flush) = self.bench.next_flush("v", source, positions, (*which, *records)).await else {
                    return;
                };
                model.hold_syncs(true);
                let cut = async {
                    for _ in 0..*turns {
                        tokio::task::yield_now().await;
                        // A commit that waits is let through, once in a while.
                        if turns % 3 == 0 {
                            model.hold_syncs(false);
                            model.hold_syncs(true);
                        }
                    }
                    model.crash();
                };
                let _ = tokio::join!(self.views[at].flush(flush), cut);
                let store = self.bench.store.clone();
                let shards = self.bench.db.settings().shards_per_stream;
                self.bench = Bench::over(store, shards).await;
                self.views = views(&self.bench);
                if version == 1 {
                    self.views[0] = self.bench.view("v", 1, former_config());
                }
            }
            Step::Split { which, second } => self.bench.split(&self.sources[usize::from(*second)], *which).await,
        }
    }

    /// Brings both views up to date and holds them against their tables.
    async fn check(&mut self, records_max: usize) {
        for at in 0..2 {
            let Stage { bench, sources, views, positions } = &mut *self;
            bench.catch_up(&views[at], &sources[at], &mut positions[at], records_max).await.unwrap();
        }
        assert_eq!(self.bench.items("View").await, oracle::expected(&self.bench.items("Orders").await));
        assert_eq!(self.bench.items("Second").await, second_expected(&self.bench.items("View").await));
    }

    /// Deletes everything: nothing may be left of any group. `snapshots`: those that a version was built from.
    async fn empty(&mut self, records_max: usize, snapshots: usize) {
        for pk in 0..12u8 {
            self.bench.delete("Orders", &format!("k{pk:02}")).await;
        }
        self.check(records_max).await;
        let shards: usize = self.positions.iter().map(Positions::len).sum();
        let rows = self.bench.view_rows().await.0;
        assert!(rows <= shards + snapshots, "only how far each shard and snapshot is is left");
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_view_is_what_a_recomputation_says_whatever_is_cut_repeated_and_sealed(
        steps in prop::collection::vec(step(), 1..120), shards in 1usize..4, records_max in 1usize..40,
    ) {
        run(async {
            let model = ModelEngine::new(Arc::new(tailrace_core::clock::ManualClock::at(tailrace_core::EpochMs(1))));
            let mut stage = Stage::over(model.clone(), shards).await;
            for (at, step) in steps.iter().enumerate() {
                stage.step(step, Some(&model)).await;
                if at % 40 == 39 {
                    stage.check(records_max).await;
                }
            }
            stage.check(records_max).await;
            stage.empty(records_max, 0).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn a_view_in_the_embedded_store_is_what_a_recomputation_says(steps in prop::collection::vec(step(), 100..200)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let clock = Arc::new(tailrace_core::clock::ManualClock::at(tailrace_core::EpochMs(1)));
            let options = tailrace_store_embedded::Options::new(clock, [7; 16]);
            let store: Arc<dyn Engine> = tailrace_store_embedded::EmbeddedEngine::open(directory.path(), options).unwrap();
            let mut stage = Stage::over(store.clone(), 2).await;
            for step in &steps {
                stage.step(step, None).await;
            }
            stage.check(7).await;
            stage.empty(100, 0).await;
            store.shutdown().await.unwrap();
        });
    }
}

/// A version with another definition than the oracle's.
fn former_config() -> Value {
    json!({"to": "table:View", "where": {"status": ["SHIPPED", "PACKED"]}, "group_by": ["day"],
        "aggregates": {"orders": "count", "least": "min(tag)"}, "stream": "NEW_AND_OLD_IMAGES"})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A version is built from a snapshot beside the one that is shown, and takes its place, while the power is cut at any moment and
    /// writes go on.
    #[test]
    fn a_version_that_takes_the_place_of_another_is_what_a_recomputation_says(
        before in prop::collection::vec(step(), 1..40), meanwhile in prop::collection::vec(step(), 1..60),
        after in prop::collection::vec(step(), 1..30), cuts in prop::collection::vec(0usize..30, 0..4), page in 1usize..6,
    ) {
        run(async {
            let model = ModelEngine::new(Arc::new(tailrace_core::clock::ManualClock::at(tailrace_core::EpochMs(1))));
            let mut stage = Stage::over(model.clone(), 2).await;
            remove(&stage.bench.db, "v").await.unwrap();
            let views = |bench: &Bench, version: u32| match version {
                1 => bench.view("v", 1, former_config()),
                version => bench.view("v", version, oracle::config("View")),
            };
            stage.views[0] = views(&stage.bench, 1);
            for step in &before {
                stage.step_of(1, step, Some(&model)).await;
            }
            // The snapshot, page by page, some of them twice.
            let mut next = views(&stage.bench, 2);
            let (mut positions, records) = stage.bench.snapshot(&stage.sources[0]).await;
            stage.views[0].prepare(stage.sources[0].source.clone()).await.unwrap();
            next.prepare(stage.sources[0].source.clone()).await.unwrap();
            for (number, records) in records.chunks(page).enumerate() {
                for _ in 0..1 + number % 2 {
                    let flush = stage.bench.snapshot_flush(&stage.sources[0], number as u64, records.to_vec()).await;
                    stage.bench.flush(&next, flush).await;
                }
            }
            for (at, step) in meanwhile.iter().enumerate() {
                stage.step_of(1, step, Some(&model)).await;
                next = views(&stage.bench, 2);
                if let Some(flush) = stage.bench.next_flush("v", &stage.sources[0], &positions, (at, 1 + at % 5)).await {
                    let (shard, last) = (flush.shard.no, flush.last());
                    stage.bench.flush(&next, flush).await;
                    if at % 3 > 0 {
                        positions.insert(shard, last);
                    }
                }
            }
            for turns in cuts {
                next.prepare(stage.sources[0].source.clone()).await.unwrap();
                model.hold_syncs(true);
                let cut = async {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                        model.hold_syncs(turns % 2 == 0);
                    }
                    model.crash();
                };
                let _ = tokio::join!(next.swap(), cut);
                stage.bench = Bench::over(model.clone(), 2).await;
                next = views(&stage.bench, 2);
            }
            next.prepare(stage.sources[0].source.clone()).await.unwrap();
            next.swap().await.unwrap();
            stage.views = [next, stage.bench.view("w", 1, second_config())];
            stage.positions[0] = positions;
            for step in &after {
                stage.step_of(2, step, Some(&model)).await;
            }
            stage.check(7).await;
            stage.empty(7, 1).await;
            assert_eq!(stage.bench.view_rows().await.1, 0, "nothing waits to be reclaimed");
        });
    }
}

/// Flushes that two servers send at the same time, and one of them a little later again, are applied once.
#[test]
fn two_servers_that_flush_the_same_shard_apply_it_once() {
    run(async {
        let (bench, model) = Bench::on_the_model(1).await;
        let source = bench.source("Orders").await;
        let other = Bench::over(model.clone(), 1).await;
        let one = bench.view("v", 1, oracle::config("View"));
        let two = other.view("v", 1, oracle::config("View"));
        one.prepare(source.source.clone()).await.unwrap();
        two.prepare(source.source.clone()).await.unwrap();
        for round in 0..20i64 {
            for n in 0..10i64 {
                let pk = (round * 7 + n * 3) % 12;
                let item = json!({"pk": {"S": format!("k{pk:02}")}, "status": {"S": "PAID"}, "day": {"S": "mon"},
                    "amount": {"N": (round - n).to_string()}});
                bench.put("Orders", item).await;
            }
            let all = bench.next_flush("v", &source, &Positions::new(), (0, 1000)).await.unwrap();
            model.hold_syncs(true);
            let release = async {
                for _ in 0..round {
                    tokio::task::yield_now().await;
                }
                model.hold_syncs(false);
            };
            let (first, second, ()) = tokio::join!(one.flush(all.clone()), two.flush(all), release);
            first.unwrap();
            second.unwrap();
            assert_eq!(bench.items("View").await, oracle::expected(&bench.items("Orders").await));
        }
    });
}
