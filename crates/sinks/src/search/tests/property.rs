//! Random histories against a target that fails in every way: when all is quiet, the index is the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tailrace_core::RecordNo;
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_engine::streams::record::StreamRecord;

use super::fake::{Fake, Fault, ItemFault};
use super::{config, flush, record, sink, table};
use crate::search::Search;
use crate::sink::{Flush, Origin, Sink};

/// A change of an item; `None` removes it.
type Change = (u8, Option<(i8, bool)>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let put = (any::<i8>(), prop::bool::weighted(0.1));
    prop::collection::vec((0..8u8, prop::option::weighted(0.7, put)), 1..80)
}

/// The attributes that a change writes. What is poison the target never takes.
fn attributes((n, is_poison): (i8, bool)) -> Value {
    let text = if is_poison { "poison" } else { "x" };
    json!({"n": {"N": n.to_string()}, "t": {"S": text.repeat(1 + usize::from(n.unsigned_abs()))}})
}

fn key(item: u8) -> String {
    // Some are readable, some are not.
    ["a", "é", "~a", "a|b", "\"", "k\n", "z", "0"][usize::from(item)].to_owned()
}

/// The documents that the index must have: the last of each item that the target takes.
fn expected(changes: &[Change]) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    for (item, change) in changes {
        match change {
            None => {
                documents.remove(&key(*item));
            }
            Some((_, true)) => {}
            Some((n, false)) => {
                let text = "x".repeat(1 + usize::from(n.unsigned_abs()));
                documents.insert(key(*item), json!({"pk": key(*item), "n": n, "t": text}));
            }
        }
    }
    documents
}

fn records(changes: &[Change], first: u64) -> Vec<StreamRecord> {
    let record =
        |(number, (item, change)): (u64, &Change)| record(number, &key(*item), change.map(attributes).as_ref());
    (first..).zip(changes).map(record).collect()
}

/// Chance, from a seed.
#[derive(Clone)]
struct Dice(Arc<SeededRng>);

impl Dice {
    /// True in so many of 100 throws.
    fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn below(&self, end: u64) -> u64 {
        self.0.next_u64() % end
    }
}

/// A target in which `percent` of everything fails.
fn harass(fake: &Fake, dice: &Dice, percent: u64) {
    let faults = [
        Fault::Refuse(429),
        Fault::Refuse(503),
        Fault::Refuse(500),
        Fault::HangUp,
        Fault::DoneThenHangUp,
        Fault::DoneThen(502),
        Fault::DoneThenCut(30),
        Fault::DoneThenGarbage,
        Fault::DoneThenShort,
    ];
    let chance = dice.clone();
    fake.state().faults = Box::new(move |asked| {
        let fails = asked.path.ends_with("_bulk") && chance.percent(percent);
        fails.then(|| faults[chance.below(faults.len() as u64) as usize])
    });
    let item_faults = [ItemFault::Refuse(429), ItemFault::Refuse(503), ItemFault::DoneThen(503)];
    let chance = dice.clone();
    fake.state().item_faults = Box::new(move |_| {
        chance.percent(percent).then(|| item_faults[chance.below(item_faults.len() as u64) as usize])
    });
}

/// Brings a flush to the target as the runtime does: again until it is taken. Answers the numbers of what was rejected.
async fn bring(sink: &Search, flush: Flush) -> BTreeSet<RecordNo> {
    let mut last = None;
    for failed_before in 0..5_000 {
        let flush = Flush { failed_before, ..flush.clone() };
        match sink.flush(flush.clone()).await {
            Ok(flushed) => {
                return flushed.rejected.iter().map(|rejected| flush.records[rejected.index].number).collect();
            }
            Err(error) => last = Some(error),
        }
    }
    panic!("a flush is never taken: {last:?}");
}

async fn run(before: Vec<Change>, changes: Vec<Change>, seed: u64, mode: &str) -> Result<(), TestCaseError> {
    let dice = Dice(Arc::new(SeededRng::new(seed)));
    let fake = Fake::start().await;
    let config = config(&fake.address, &json!({"mode": mode, "flush": {"bytes": 600 + dice.below(2_000)}}));
    let sink = sink(config, 1);
    sink.prepare(table("S", None).into()).await.unwrap();
    harass(&fake, &dice, dice.below(12));
    // Some of what is poison may be too large as well; an entry of the log fits always.
    let least = if mode == "log" { 1_500 } else { 300 };
    fake.state().bytes_max = least + dice.below(3_000) as usize;

    // The snapshot: what the table held at a point of the stream, under that point's number.
    let point = 5;
    let held = expected(&before);
    let mut rejected = BTreeSet::new();
    let of_snapshot = |key: &String| record(point, key, Some(&json!({"n": {"N": held[key]["n"].to_string()}})));
    let page: Vec<StreamRecord> = held.keys().map(of_snapshot).collect();
    if !page.is_empty() {
        let snapshot = Flush { origin: Origin::Snapshot { page: 0, made_by: 1 }, ..flush(page.clone()) };
        bring(&sink, snapshot.clone()).await;
        if dice.percent(30) {
            bring(&sink, snapshot).await;
        }
    }

    // The stream, in flushes of any size; now and then an earlier one is repeated, as an owner does that does not know yet that
    // it is none any more, or as after a crash, with other ends.
    let records = records(&changes, point + 1);
    let (mut begin, mut sent) = (0, Vec::<Flush>::new());
    while begin < records.len() {
        let end = (begin + 1 + dice.below(20) as usize).min(records.len());
        let next = flush(records[begin..end].to_vec());
        if dice.percent(30) {
            // A crash in the middle: what has come of it stays, and the next try has another end.
            let cut = begin + 1 + dice.below((end - begin) as u64) as usize;
            let _ = sink.flush(flush(records[begin..cut].to_vec())).await;
        }
        rejected.extend(bring(&sink, next.clone()).await);
        sent.push(next);
        if dice.percent(30) {
            let old = sent[dice.below(sent.len() as u64) as usize].clone();
            let _ = sink.flush(old).await;
        }
        begin = end;
    }

    // The error output has the poison records, and nothing else.
    let is_poison = |record: &&StreamRecord| {
        changes[(record.number.0 - point - 1) as usize].1.is_some_and(|(_, is_poison)| is_poison)
    };
    let poison: BTreeSet<RecordNo> = records.iter().filter(is_poison).map(|record| record.number).collect();
    let too_large = |record: &&StreamRecord| !poison.contains(&record.number) && rejected.contains(&record.number);
    let bytes_max = fake.state().bytes_max;
    for record in records.iter().filter(too_large) {
        let bytes = record.new.as_ref().map_or(0, |new| new.len());
        prop_assert!(
            bytes + 150 > bytes_max,
            "a record of {bytes} bytes was rejected by a target that takes {bytes_max}"
        );
    }
    prop_assert!(poison.is_subset(&rejected), "{poison:?} of {rejected:?}");

    let state = fake.state();
    if mode == "log" {
        let numbers = |document: &Value| document["lsn"].as_u64().unwrap();
        let logged: Vec<u64> = state.documents("orders").values().map(numbers).filter(|lsn| *lsn != point).collect();
        let taken = records.iter().filter(|record| !rejected.contains(&record.number));
        prop_assert_eq!(logged.len(), taken.count());
        let snapshot = state.documents("orders").values().filter(|document| document["lsn"] == point).count();
        prop_assert_eq!(snapshot, page.len());
        return Ok(());
    }
    // A record that was too large for the target is one that it does not take.
    let taken: Vec<Change> = records
        .iter()
        .zip(&changes)
        .filter(|(record, _)| !rejected.contains(&record.number))
        .map(|(_, change)| *change)
        .collect();
    let mut documents: BTreeMap<String, Value> =
        held.iter().map(|(key, document)| (key.clone(), json!({"pk": key, "n": document["n"]}))).collect();
    for (item, change) in &taken {
        match change {
            None => documents.remove(&key(*item)),
            Some(_) => documents.insert(key(*item), expected(&[(*item, *change)])[&key(*item)].clone()),
        };
    }
    let found: BTreeMap<String, Value> = state
        .documents("orders-v1")
        .into_values()
        .map(|document| (document["pk"].as_str().unwrap().to_owned(), document))
        .collect();
    prop_assert_eq!(found, documents);
    Ok(())
}

fn block_on(future: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Spec: sinks.md 9, the fault matrix.
    #[test]
    fn the_index_is_the_table(before in changes(), changes in changes(), seed in any::<u64>()) {
        block_on(run(before, changes, seed, "items"))?;
    }

    /// Spec: sinks.md 3.3, a log has every change once.
    #[test]
    fn the_log_is_the_history(before in changes(), changes in changes(), seed in any::<u64>()) {
        block_on(run(before, changes, seed, "log"))?;
    }
}
