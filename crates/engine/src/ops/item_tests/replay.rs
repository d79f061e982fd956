//! Seeded: many writers of few keys, syncs that are held and power that is cut. Afterwards the stream, replayed from its
//! beginning, is the table; each record's old image is the record before it; what was acknowledged is in the stream; and the
//! indexes, and the rows of expiries, hold what the table does. Items that have expired are swept away meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use tailrace_core::codec::StoredItem;
use tailrace_store::keyspace::{ExpiryKey, ItemKey};
use tailrace_store::{Key, PageLimit, PlantedBug};

use super::indexes::index;
use super::*;
use crate::background::Task;
use crate::background::expire::Expire;
use crate::ops::power_cuts::{below, weather};
use crate::streams::record_meta::RecordMeta;
use crate::{IndexKind, IndexProjection};

const KEYS: u64 = 5;
const WRITERS: u64 = 8;
const WRITES_EACH: u64 = 25;
const NOW_S: u64 = 1_700_000_000;

/// One write; the mark that its new image has, if it was acknowledged and always makes a record.
async fn write(bench: &Bench, rng: &SeededRng, mark: u64) -> Option<String> {
    let key = json!({"pk": s(&format!("k{}", below(rng, KEYS)))});
    let mark = mark.to_string();
    match below(rng, 6) {
        0 | 1 => {
            // Some are due at once, some later, some never.
            let ttl = json!({"N": (NOW_S - 1 + 2 * below(rng, 2)).to_string()});
            let ttl = if below(rng, 3) == 0 { json!({"S": "never"}) } else { ttl };
            let item = json!({"pk": key["pk"], "mark": {"S": mark}, "ttl": ttl});
            bench.call("PutItem", json!({"TableName": "users", "Item": item})).await.ok().map(|_| mark)
        }
        2 => {
            let update = json!({"TableName": "users", "Key": key, "UpdateExpression": "SET mark = :m ADD n :one",
                "ExpressionAttributeValues": {":m": {"S": mark}, ":one": n(1)}});
            bench.call("UpdateItem", update).await.ok().map(|_| mark)
        }
        3 => {
            let item = json!({"pk": key["pk"], "mark": {"S": mark}});
            let put = json!({"TableName": "users", "Item": item, "ConditionExpression": "attribute_not_exists(pk)"});
            bench.call("PutItem", put).await.ok().map(|_| mark)
        }
        4 => {
            let write = json!([{"PutRequest": {"Item": {"pk": key["pk"], "mark": {"S": mark}}}}]);
            bench.call("BatchWriteItem", json!({"RequestItems": {"users": write}})).await.ok().map(|_| mark)
        }
        _ => {
            let _ = bench.call("DeleteItem", json!({"TableName": "users", "Key": key})).await;
            None
        }
    }
}

async fn writer(bench: &Bench, seed: u64, number: u64) -> Vec<String> {
    let rng = SeededRng::new(seed * 1000 + number);
    let mut acknowledged = Vec::new();
    for i in 0..WRITES_EACH {
        acknowledged.extend(write(bench, &rng, number * WRITES_EACH + i).await);
        for _ in 0..below(&rng, 3) {
            tokio::task::yield_now().await;
        }
    }
    acknowledged
}

/// Deletes what has expired, again and again.
async fn sweep(bench: &Bench) {
    loop {
        Expire::default().tick(&bench.db, EpochMs(NOW_S * 1000)).await;
        tokio::task::yield_now().await;
    }
}

/// A run; what is wrong with what it left behind, if anything is.
async fn run(seed: u64, bug: Option<PlantedBug>) -> Result<(), String> {
    let bench = Bench::new().await;
    let mut users = Table::new("users".to_owned(), TableId(1), "uuid".to_owned(), EpochMs(0), schema(None));
    users.stream = Some(TableStream { id: STREAM, view: ViewType::NewAndOldImages });
    users.indexes = vec![
        index(1, "by-mark", IndexKind::Global, [&["mark"], &[]], IndexProjection::KeysOnly),
        index(2, "by-n", IndexKind::Global, [&["n"], &["mark"]], IndexProjection::All),
    ];
    bench.put_descriptor(&users).await;
    let specification = json!({"Enabled": true, "AttributeName": "ttl"});
    bench.ok("UpdateTimeToLive", json!({"TableName": "users", "TimeToLiveSpecification": specification})).await;
    let users = bench.db.table("users").await.unwrap();
    let time_to_live = users.time_to_live.clone().unwrap();
    if let Some(bug) = bug {
        bench.store.plant(bug);
    }
    let writers = join_all((0..WRITERS).map(|number| writer(&bench, seed, number)));
    let acknowledged: BTreeSet<String> = tokio::select! {
        done = writers => done.into_iter().flatten().collect(),
        () = weather(&bench.store, seed, 2, 20) => unreachable!("the weather has no end"),
        () = sweep(&bench) => unreachable!("the sweep has no end"),
    };
    bench.store.hold_syncs(false);

    let mut table: BTreeMap<String, Value> = BTreeMap::new();
    let mut marks = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    let mut swept = 0;
    for record in bench.records().await {
        let item = |bytes: &bytes::Bytes| serde_json::to_value(StoredItem::new(bytes).unwrap()).unwrap();
        let key = item(&RecordMeta::decode(&record.meta).unwrap().keys)["pk"]["S"].to_string();
        let (old, new) = (record.old.as_ref().map(item), record.new.as_ref().map(item));
        if !numbers.insert(record.number) {
            return Err(format!("number {} twice", record.number));
        }
        if old == new {
            return Err(format!("record {} without a change", record.number));
        }
        if table.get(&key) != old.as_ref() {
            return Err(format!("the chain of {key} breaks at {}", record.number));
        }
        match new {
            Some(new) => {
                marks.insert(new["mark"]["S"].as_str().unwrap_or_default().to_owned());
                table.insert(key, new);
            }
            None => {
                swept += usize::from(RecordMeta::decode(&record.meta).unwrap().by_service);
                drop(table.remove(&key));
            }
        }
    }
    let mut items = bench.ok("Scan", json!({"TableName": "users"})).await["Items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["pk"]["S"].to_string());
    if items != table.into_values().collect::<Vec<_>>() {
        return Err("the stream replayed is not the table".to_owned());
    }
    let numbered: Vec<Value> = items.iter().filter(|item| item.get("n").is_some()).cloned().collect();
    let keys = items.iter().map(|item| json!({"pk": item["pk"], "mark": item["mark"]})).collect();
    for (index, expected) in [(1, keys), (2, numbered)] {
        let mut entries = bench.entries_of(users.id, index).await;
        entries.sort_by_key(|item| item["pk"]["S"].to_string());
        if entries != expected {
            return Err(format!("index {index} has {entries:?}, not {expected:?}"));
        }
    }
    let all = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let rows = |range| async { bench.store.page(range, all).await.unwrap().rows };
    let due: BTreeSet<Key> = rows(ItemKey::table_range(users.id))
        .await
        .iter()
        .filter_map(|(key, item)| {
            time_to_live.instant(item).unwrap().map(|instant| time_to_live.row(&users, instant, key))
        })
        .collect();
    let expiries: BTreeSet<Key> =
        rows(ExpiryKey::range(users.id, time_to_live.generation)).await.into_iter().map(|(key, _)| key).collect();
    if expiries != due {
        return Err(format!("{} expiries, not {}", expiries.len(), due.len()));
    }
    if let Some(mark) = acknowledged.difference(&marks).next() {
        return Err(format!("write {mark} was acknowledged and is lost"));
    }
    if swept == 0 {
        return Err("nothing was swept: the run shows too little".to_owned());
    }
    if acknowledged.len() < 20 {
        return Err(format!("only {} writes were acknowledged: the run shows too little", acknowledged.len()));
    }
    Ok(())
}

const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

#[tokio::test]
async fn the_stream_replayed_is_the_table_whatever_is_cut() {
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
