//! Random histories over a way to the server that is cut anywhere: in the end the target equals the history.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tailrace_core::RecordNo;
use tailrace_delivery::Taken;
use tailrace_sinks::sink::{Flush, Origin, Sink};

use super::proxy::Proxy;
use super::{LABEL, Place, bring, flush, n, put, remove, s, source, url};

/// A sequence that a seed gives.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Source: Marsaglia, Xorshift RNGs, 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

const RECORDS: u64 = 3000;
const KEYS: u64 = 60;

/// The items, what is rejected (by number), and the records of a history: a shard's first half, and its child's.
#[allow(clippy::type_complexity)]
fn history(
    dice: &mut Dice,
) -> (BTreeMap<String, u64>, Vec<u64>, [Vec<tailrace_engine::streams::record::StreamRecord>; 2]) {
    let (mut items, mut rejected) = (BTreeMap::new(), Vec::new());
    let mut shards = [Vec::new(), Vec::new()];
    for number in 1..=RECORDS {
        let pk = format!("k{}", dice.roll(KEYS));
        let record = match dice.roll(20) {
            0..5 if items.remove(&pk).is_some() => remove(number, &pk),
            5 => {
                rejected.push(number);
                put(number, &pk, &[("v", n(&number.to_string())), ("note", s("nul \0"))])
            }
            6 => {
                rejected.push(number);
                // The table has a rule against it.
                put(number, &pk, &[("v", n("-1"))])
            }
            _ => {
                items.insert(pk.clone(), number);
                put(number, &pk, &[("v", n(&number.to_string())), ("note", s("\t\\ \"é\u{1F600}\n"))])
            }
        };
        shards[usize::from(number > RECORDS / 2)].push(record);
    }
    (items, rejected, shards)
}

async fn items_equal_history(schema: &str, seed: u64, cut_bytes: u64) {
    let mut dice = Dice(seed);
    let place = Place::new(schema).await;
    let proxy = Proxy::before(&url()).await;
    let settings =
        json!({"columns": {"v": "v.N bigint"}, "statement_timeout_seconds": 5, "connect_timeout_seconds": 5});
    let mut sink = place.sink_at(&proxy.address, settings.clone());
    sink.prepare(source()).await.unwrap();
    place.run("ALTER TABLE orders ADD CHECK (v > 0)").await;
    let (items, rejected, shards) = history(&mut dice);
    let (mut told, mut failed, mut epoch) = (Vec::new(), 0, 1);
    for (shard, records) in shards.iter().enumerate() {
        let mut done = 0;
        while done < records.len() {
            // As a sink that does not plan is given records: from where the last flush ended, or, as the process ended, from
            // before that, and with another end.
            let from =
                if dice.roll(6) == 0 { done.saturating_sub(usize::try_from(dice.roll(200)).unwrap()) } else { done };
            let end = (done + 1 + usize::try_from(dice.roll(300)).unwrap()).min(records.len());
            if from < done {
                epoch += 1;
                sink = place.sink_at(&proxy.address, settings.clone());
            }
            if dice.roll(3) > 0 {
                proxy.cut_after(i64::try_from(dice.roll(cut_bytes)).unwrap());
            }
            let mut sent = Flush { epoch, ..flush(records[from..end].to_vec()) };
            sent.shard.id = format!("shardId-00000001767225600000-0000000{shard}").into();
            match bring(&sink, sent).await {
                Ok(rejected) => {
                    told.extend(rejected.into_iter().map(|(index, _)| records[from + index].number.0));
                    done = end;
                }
                Err(_) => failed += 1,
            }
        }
    }
    let expected: Vec<String> = items.iter().map(|(pk, number)| format!("{pk}|{number}|{number}|{number}")).collect();
    let found = place.rows("SELECT pk, v, _lsn, doc->>'v' FROM orders ORDER BY pk COLLATE \"C\"").await;
    assert_eq!(found, expected);
    // One that a later record of its item replaces in the same flush never was one; how flushes fell together is chance.
    let told: BTreeSet<u64> = told.into_iter().collect();
    let rejected: BTreeSet<u64> = rejected.into_iter().collect();
    assert!(told.is_subset(&rejected), "{told:?} of {rejected:?}");
    let mut last = BTreeMap::new();
    for (shard, records) in shards.iter().enumerate() {
        last.extend(records.iter().map(|record| ((shard, record.meta.keys.clone()), record.number.0)));
    }
    let last: BTreeSet<u64> = last.into_values().filter(|number| rejected.contains(number)).collect();
    assert!(!last.is_empty() && last.is_subset(&told), "{last:?} in {told:?}");
    assert_eq!(place.rows("SELECT max(last_number), count(*) FROM _tailrace_progress").await, [format!("{RECORDS}|2")]);
    assert!(proxy.cuts() > 10, "{} cuts, {failed} flushes failed", proxy.cuts());
}

#[tokio::test]
async fn items_equal_history_on_a_way_that_is_cut_early() {
    items_equal_history("faults_early", 7, 4_000).await;
}

#[tokio::test]
async fn items_equal_history_on_a_way_that_is_cut_anywhere() {
    items_equal_history("faults_anywhere", 11, 60_000).await;
}

/// Planned flushes come again as they were. Each change is there once, in its order.
#[tokio::test]
async fn a_change_log_has_every_change_once_on_a_way_that_is_cut() {
    let mut dice = Dice(23);
    let place = Place::new("faults_log").await;
    let proxy = Proxy::before(&url()).await;
    let settings = json!({"mode": "append", "statement_timeout_seconds": 5, "connect_timeout_seconds": 5});
    let mut sink = place.sink_at(&proxy.address, settings.clone());
    let (_, _, [records, _]) = history(&mut dice);
    let (mut done, mut epoch, mut rejected) = (0, 1, 0);
    while done < records.len() {
        let end = (done + 1 + usize::try_from(dice.roll(200)).unwrap()).min(records.len());
        loop {
            if dice.roll(3) > 0 {
                proxy.cut_after(i64::try_from(dice.roll(40_000)).unwrap());
            }
            match bring(&sink, Flush { epoch, ..flush(records[done..end].to_vec()) }).await {
                Ok(refused) => {
                    // The process ends before it puts that down, every now and then.
                    if dice.roll(4) > 0 {
                        rejected += refused.len();
                        break;
                    }
                }
                Err(_) => {}
            }
            epoch += 1;
            sink = place.sink_at(&proxy.address, settings.clone());
        }
        done = end;
    }
    let counted = "SELECT count(*), count(DISTINCT _lsn), min(_lsn), max(_lsn) FROM orders";
    let nul = records.iter().filter(|record| record.number.0 > 0).count() - rejected;
    assert_eq!(place.rows(counted).await[0].split('|').take(2).collect::<Vec<_>>(), [nul.to_string(), nul.to_string()]);
    assert!(rejected > 0 && proxy.cuts() > 3, "{} cuts", proxy.cuts());
}

#[tokio::test]
async fn a_server_that_is_down_is_told_of_and_goes_on_afterwards() {
    let place = Place::new("faults_down").await;
    let proxy = Proxy::before(&url()).await;
    let sink = place.sink_at(&proxy.address, json!({"connect_timeout_seconds": 2}));
    bring(&sink, flush(vec![put(1, "a", &[])])).await.unwrap();
    proxy.down(true);
    for _ in 0..3 {
        let error = bring(&sink, flush(vec![put(2, "b", &[])])).await.unwrap_err();
        assert!(error.0.starts_with("127.0.0.1: "), "{error}");
    }
    proxy.down(false);
    proxy.cut_after(-1);
    bring(&sink, flush(vec![put(2, "b", &[])])).await.unwrap();
    assert_eq!(place.rows("SELECT pk FROM orders ORDER BY 1").await, ["a", "b"]);
}

/// The session of an owner that hangs inside of its transaction has the progress; the server ends it.
#[tokio::test]
async fn an_owner_that_hangs_is_waited_out_and_then_fenced() {
    let place = Place::new("faults_hang").await;
    let sink = place.sink(json!({"statement_timeout_seconds": 1}));
    bring(&sink, flush(vec![put(1, "a", &[])])).await.unwrap();
    let hung = Place { schema: place.schema.clone(), client: second_client().await };
    hung.run("SET search_path = faults_hang; SET idle_in_transaction_session_timeout = 2000; BEGIN; SELECT * FROM _tailrace_progress FOR UPDATE").await;
    let next = || Flush { epoch: 2, ..flush(vec![put(2, "b", &[])]) };
    let mut waited = 0;
    while let Err(error) = bring(&sink, next()).await {
        assert!(error.0.contains("timeout"), "{error}");
        waited += 1;
    }
    assert!(waited > 0);
    let error = bring(&sink, flush(vec![put(3, "c", &[])])).await.unwrap_err();
    assert!(error.0.contains("the target has seen epoch 2, and this one has 1"), "{error}");
    assert_eq!(place.rows("SELECT pk FROM orders ORDER BY 1").await, ["a", "b"]);
}

/// docs/spec/sinks.md 4.2: the target's progress is trusted over the source's.
#[tokio::test]
async fn a_database_that_was_restored_says_how_far_it_is() {
    let place = Place::new("faults_restored").await;
    let sink = place.sink(json!({}));
    bring(&sink, flush(vec![put(1, "a", &[])])).await.unwrap();
    bring(&sink, flush(vec![put(2, "b", &[])])).await.unwrap();
    place.run("DELETE FROM orders WHERE pk = 'b'; UPDATE _tailrace_progress SET last_number = 1").await;
    let took = |last| Some(Taken { mark: 1, last: RecordNo(last) });
    let next = || Flush { taken: took(2), ..flush(vec![put(3, "c", &[])]) };
    let behind = sink.flush(next()).await.unwrap();
    assert_eq!((behind.behind, behind.rejected.len()), (Some(RecordNo(1)), 0));
    assert_eq!(place.rows("SELECT pk FROM orders ORDER BY 1").await, ["a"], "nothing was brought");
    let again = Flush { taken: took(1), ..flush(vec![put(2, "b", &[]), put(3, "c", &[])]) };
    assert_eq!(sink.flush(again).await.unwrap().behind, None);
    assert_eq!(place.rows("SELECT pk FROM orders ORDER BY 1").await, ["a", "b", "c"]);
    // The same when the sink's settings have changed since: its progress goes on.
    place.run("DELETE FROM orders WHERE pk = 'c'; UPDATE _tailrace_progress SET last_number = 2").await;
    let changed = |taken, records| Flush { version: 2, taken, ..flush(records) };
    let behind = sink.flush(changed(took(3), vec![put(4, "d", &[])])).await.unwrap();
    assert_eq!(behind.behind, Some(RecordNo(2)));
    let second = Some(Taken { mark: 2, last: RecordNo(2) });
    let brought = sink.flush(changed(second, vec![put(3, "c", &[]), put(4, "d", &[])])).await.unwrap();
    assert_eq!(brought.behind, None);
    assert_eq!(place.rows("SELECT pk FROM orders ORDER BY 1").await, ["a", "b", "c", "d"]);
    let next =
        || Flush { version: 2, taken: Some(Taken { mark: 2, last: RecordNo(4) }), ..flush(vec![put(5, "e", &[])]) };
    place.run("TRUNCATE _tailrace_progress").await;
    let error = sink.flush(next()).await.unwrap_err();
    assert!(error.0.ends_with("fill it anew: tailrace sinks rebuild wh"), "{error}");
}

/// A change log that goes on under a newer version, behind an answer that nobody heard.
#[tokio::test]
async fn a_newer_version_tells_of_what_was_refused_before() {
    let place = Place::new("faults_refused_before").await;
    let sink = place.sink(json!({"mode": "append"}));
    let records = || flush(vec![put(1, "a", &[]), put(2, "b", &[("note", s("nul \0"))]), put(3, "c", &[])]);
    assert_eq!(bring(&sink, records()).await.unwrap().len(), 1);
    let taken = Some(Taken { mark: 1, last: RecordNo::ZERO });
    for _ in 0..2 {
        let rejected = bring(&sink, Flush { version: 2, taken, ..records() }).await.unwrap();
        assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
    }
    assert_eq!(place.rows("SELECT pk FROM orders ORDER BY 1").await, ["a", "c"]);
    let refused = place.rows("SELECT number, generation % 1000 FROM _tailrace_rejected").await;
    assert_eq!(refused, ["2|2"]);
}

async fn second_client() -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Shards are flushed at once, by sessions that are serializable if the database is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shards_do_not_get_in_each_others_way() {
    let place = Place::new("faults_shards").await;
    let serializable = format!("{}&options=-c%20default_transaction_isolation%3Dserializable", sslmode(&url()));
    let sink = std::sync::Arc::new(place.sink_at(&serializable, json!({"connections": 8})));
    let shard = |shard: u64| {
        let sink = sink.clone();
        async move {
            for round in 0..20 {
                let records =
                    (0..50).map(|index| put(1 + round * 50 + index, &format!("{shard}-{index}"), &[])).collect();
                let mut sent = flush(records);
                sent.shard.id = format!("shardId-00000001767225600000-0000000{shard}").into();
                while bring(&sink, sent.clone()).await.is_err() {}
            }
        }
    };
    let shards: Vec<_> = (0..8).map(|number| tokio::spawn(shard(number))).collect();
    for shard in shards {
        shard.await.unwrap();
    }
    assert_eq!(place.rows("SELECT count(*), min(_lsn), max(_lsn) FROM orders").await, ["400|951|1000"]);
}

fn sslmode(url: &str) -> String {
    if url.contains('?') { url.to_owned() } else { format!("{url}?sslmode=disable") }
}

/// Snapshot, stream, rebuild: what is gone at the source goes.
#[tokio::test]
async fn a_rebuild_leaves_what_the_source_has() {
    let place = Place::new("faults_rebuild").await;
    let sink = place.sink(json!({}));
    let page = |version, number, records| Flush {
        origin: Origin::Snapshot { page: number, made_by: 1 },
        version,
        ..flush(records)
    };
    bring(&sink, page(1, 0, (0..100).map(|item| put(9, &format!("k{item:03}"), &[])).collect())).await.unwrap();
    sink.snapshot_done(source(), 1, 1).await.unwrap();
    bring(&sink, flush(vec![remove(10, "k000"), put(11, "k100", &[])])).await.unwrap();
    assert_eq!(place.rows("SELECT count(*), min(pk), max(pk) FROM orders").await, ["100|k001|k100"]);
    // Half of them are gone unseen.
    bring(&sink, page(2, 0, (0..50).map(|item| put(20, &format!("k{item:03}"), &[])).collect())).await.unwrap();
    assert_eq!(place.rows("SELECT count(*) FROM orders").await, ["101"]);
    sink.snapshot_done(source(), 2, 2).await.unwrap();
    assert_eq!(place.rows("SELECT count(*), max(pk), max(_lsn) FROM orders").await, ["50|k049|20"]);
    let held = "SELECT generation, sink, source, stream, version FROM _tailrace_targets";
    assert_eq!(place.rows(held).await, [format!("1000000002|wh|Orders|{LABEL}|2")]);
    // The progress of the version before stays: a sink whose settings changed goes on from there.
    let generations = "SELECT DISTINCT generation FROM _tailrace_progress ORDER BY 1";
    assert_eq!(place.rows(generations).await, ["1000000001", "1000000002"]);
}
