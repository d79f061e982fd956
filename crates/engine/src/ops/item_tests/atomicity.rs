//! Seeded: transactions over few keys of two tables, syncs that are held and power that is cut. Afterwards each transaction is
//! there whole or not at all, in the items and in the records, which stand together; what was acknowledged is there; and a
//! transaction that is sent again with its token after the cut is made once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tailrace_core::codec::StoredItem;
use tailrace_store::PlantedBug;

use super::*;
use crate::ops::power_cuts::{below, weather};
use crate::streams::record_meta::RecordMeta;

const KEYS: u64 = 6;
const WRITERS: u64 = 6;
const TRANSACTIONS_EACH: u64 = 15;

/// What a writer knows of its transaction: on how many items it works, and whether it was acknowledged.
type Known = BTreeMap<String, (usize, bool)>;

/// A transaction that leaves `mark` in two or three items. An acknowledged one was perhaps sent twice.
async fn transact(bench: &Bench, rng: &SeededRng, mark: &str) -> (usize, bool) {
    let first = below(rng, KEYS);
    let count = 2 + below(rng, 2);
    let action = |index: u64| {
        let key = json!({"pk": s(&format!("k{}", (first + index) % KEYS))});
        match (first + index) % 3 {
            0 => json!({"Put": {"TableName": "users", "Item": {"pk": key["pk"], "mark": s(mark)}}}),
            _ => json!({"Update": {"TableName": "users", "Key": key, "UpdateExpression": "SET mark = :m ADD n :one",
                "ExpressionAttributeValues": {":m": s(mark), ":one": n(1)}}}),
        }
    };
    let actions: Vec<Value> = (0..count).map(action).collect();
    let request = json!({"TransactItems": actions, "ClientRequestToken": mark});
    let mut done = bench.call("TransactWriteItems", request.clone()).await.is_ok();
    if !done || below(rng, 3) == 0 {
        done = bench.call("TransactWriteItems", request).await.is_ok();
    }
    (actions.len(), done)
}

async fn writer(bench: &Bench, seed: u64, number: u64) -> Known {
    let rng = SeededRng::new(seed * 1000 + number);
    let mut known = Known::new();
    for i in 0..TRANSACTIONS_EACH {
        let mark = format!("w{number}-{i}");
        let outcome = transact(bench, &rng, &mark).await;
        known.insert(mark, outcome);
        for _ in 0..below(&rng, 3) {
            tokio::task::yield_now().await;
        }
    }
    known
}

/// A run; what is wrong with what it left behind, if anything is.
async fn run(seed: u64, bug: Option<PlantedBug>) -> Result<(), String> {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    if let Some(bug) = bug {
        bench.store.plant(bug);
    }
    let writers = join_all((0..WRITERS).map(|number| writer(&bench, seed, number)));
    let known: Known = tokio::select! {
        done = writers => done.into_iter().flatten().collect(),
        () = weather(&bench.store, seed, 2, 20) => unreachable!("the weather has no end"),
    };
    bench.store.hold_syncs(false);

    let mut table: BTreeMap<String, Value> = BTreeMap::new();
    let mut made: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in bench.records().await {
        let item = |bytes: &bytes::Bytes| serde_json::to_value(StoredItem::new(bytes).unwrap()).unwrap();
        let key = item(&RecordMeta::decode(&record.meta).unwrap().keys)["pk"]["S"].to_string();
        if table.get(&key) != record.old.as_ref().map(item).as_ref() {
            return Err(format!("the chain of {key} breaks at {}", record.number));
        }
        let Some(new) = record.new.as_ref().map(item) else { return Err("a new image is missing".to_owned()) };
        made.entry(new["mark"]["S"].as_str().unwrap().to_owned()).or_default().push(record.number.0);
        table.insert(key, new);
    }
    for (mark, numbers) in &made {
        let (count, _) = known[mark];
        if numbers.len() != count {
            return Err(format!("transaction {mark} has {} records of {count}", numbers.len()));
        }
        if numbers.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
            return Err(format!("the records of {mark} do not stand together"));
        }
    }
    let mut items = bench.ok("Scan", json!({"TableName": "users"})).await["Items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["pk"]["S"].to_string());
    if items != table.into_values().collect::<Vec<_>>() {
        return Err("the stream replayed is not the table".to_owned());
    }
    let acknowledged = known.iter().filter(|(_, (_, done))| *done);
    if let Some((mark, _)) = acknowledged.clone().find(|(mark, _)| !made.contains_key(*mark)) {
        return Err(format!("transaction {mark} was acknowledged and is lost"));
    }
    if acknowledged.count() < 20 {
        return Err("few transactions were acknowledged: the run shows too little".to_owned());
    }
    Ok(())
}

const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

#[tokio::test]
async fn a_transaction_is_made_whole_or_not_at_all_whatever_is_cut() {
    for seed in SEEDS {
        assert_eq!(run(seed, None).await, Ok(()), "seed {seed}");
    }
}

#[tokio::test]
async fn the_runs_find_planted_bugs() {
    for bug in [PlantedBug::AckBeforeSync, PlantedBug::RecordOutsideCommit] {
        let mut found = false;
        for seed in SEEDS {
            found |= run(seed, Some(bug)).await.is_err();
        }
        assert!(found, "{bug:?} was not found");
    }
}
