//! Targets in memory, of which some are right and others broken on purpose: the kit passes those and finds these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tailrace_core::{RecordNo, ShardNo};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::StoreError;

use super::{History, POISON, Subject, key_of};
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Rejected, Sink, SinkError};
use crate::spec::SinkSpec;

/// A target in memory, and the ways in which sinks use one.
#[derive(Default)]
pub struct Memory {
    way: Way,
    start: &'static str,
    rebuilt: bool,
    objects: Mutex<BTreeMap<String, Vec<String>>>,
    /// Those of items.
    pages: Mutex<BTreeMap<String, Vec<String>>>,
    documents: Mutex<BTreeMap<String, (RecordNo, Option<i64>)>>,
    count: Mutex<Count>,
}

/// How it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// An object a flush, under the flush's name.
    #[default]
    Objects,
    /// As that, but without a plan: broken.
    ObjectsWithoutPlan,
    /// Documents with versions.
    Documents,
    /// As that, but the version is not looked at, and the flush forgets its last record: broken.
    Forgetful,
    /// It panics at every flush: broken.
    Panicking,
    /// As documents, but nobody is told of those that are not taken: broken.
    Silent,
    /// As documents, but some that were taken are told as not: broken.
    Slanderous,
    /// A sum, with the progress beside it.
    Sum,
    /// As that, but the progress is not looked at: broken.
    SumWithoutProgress,
}

#[derive(Default)]
struct Count {
    sum: i64,
    progress: BTreeMap<ShardNo, RecordNo>,
    pages: BTreeSet<u64>,
}

impl Memory {
    /// A target that is used so.
    #[allow(clippy::new_ret_no_self, reason = "who tests has the subject alone")]
    pub fn new(way: Way, start: &'static str) -> Arc<dyn Subject> {
        Arc::new(SharedMemory(Arc::new(Memory { way, start, ..Memory::default() })))
    }
}

struct SharedMemory(Arc<Memory>);

struct MemorySink(Arc<Memory>);

fn shown(record: &StreamRecord) -> (String, Option<i64>, Option<i64>) {
    let value = |item: Option<tailrace_core::Item>| match item.as_ref().and_then(|item| item.get("v")) {
        Some(tailrace_core::AttributeValue::N(number)) => number.to_string().parse().ok(),
        _ => None,
    };
    (key_of(record), value(record.old_image().unwrap()), value(record.new_image().unwrap()))
}

impl Sink for MemorySink {
    fn bounds(&self) -> Bounds {
        Bounds { records_max: 7, bytes_max: 1 << 20, window: std::time::Duration::ZERO }
    }

    fn plans(&self) -> bool {
        self.0.way == Way::Objects
    }

    fn needs(&self) -> Images {
        Images { old: true, new: true }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        Ok(record.new.as_ref().map_or(0, Bytes::len))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let memory = self.0.clone();
        async move {
            let rejected = memory.take(&flush);
            Ok(Flushed { rejected, ..Flushed::default() })
        }
        .boxed()
    }
}

impl Memory {
    fn has_poison(&self) -> bool {
        // A sum misses what is left out of it.
        !self.rebuilt && !matches!(self.way, Way::Sum | Way::SumWithoutProgress)
    }

    /// Takes a flush, but for the records that are told.
    fn take(&self, flush: &Flush) -> Vec<Rejected> {
        let is_poison = |record: &StreamRecord| self.has_poison() && shown(record).2 == Some(POISON);
        let (poison, records): (Vec<_>, Vec<_>) =
            flush.records.iter().enumerate().partition(|(_, record)| is_poison(record));
        let told = |index| Rejected { index, error: "never".to_owned() };
        let mut rejected: Vec<Rejected> = poison.into_iter().map(|(index, _)| told(index)).collect();
        let records: Vec<&StreamRecord> = records.into_iter().map(|(_, record)| record).collect();
        match self.way {
            Way::Silent => rejected.clear(),
            Way::Panicking => panic!("at every flush"),
            Way::Slanderous if rejected.is_empty() => rejected.push(told(0)),
            _ => {}
        }
        match self.way {
            Way::Objects | Way::ObjectsWithoutPlan => {
                let line = |record: &StreamRecord| {
                    let (key, old, new) = shown(record);
                    format!("{} {} {key} {old:?} {new:?}", record.shard.0, record.meta.kind.name())
                };
                let is_page = matches!(flush.origin, Origin::Snapshot { .. });
                let objects = if is_page { &self.pages } else { &self.objects };
                objects.lock().insert(flush.name(), records.into_iter().map(line).collect());
            }
            Way::Documents | Way::Forgetful | Way::Panicking | Way::Silent | Way::Slanderous => {
                let mut documents = self.documents.lock();
                let forgets = usize::from(self.way == Way::Forgetful);
                for record in &records[..records.len().saturating_sub(forgets)] {
                    let (key, _, new) = shown(record);
                    let known = documents.entry(key).or_insert((RecordNo::ZERO, None));
                    if known.0 <= record.number {
                        *known = (record.number, new);
                    }
                }
            }
            Way::Sum | Way::SumWithoutProgress => {
                let mut count = self.count.lock();
                let checks = self.way == Way::Sum;
                if let Origin::Snapshot { page, .. } = flush.origin
                    && !count.pages.insert(page)
                    && checks
                {
                    return rejected;
                }
                for record in records {
                    let (_, old, new) = shown(record);
                    if flush.origin == Origin::Stream {
                        let done = count.progress.entry(record.shard).or_default();
                        if *done >= record.number && checks {
                            continue;
                        }
                        *done = record.number;
                    }
                    count.sum += new.unwrap_or(0) - old.unwrap_or(0);
                }
            }
        }
        rejected
    }
}

impl Subject for SharedMemory {
    fn config(&self) -> Value {
        json!({"to": "./kit", "start": self.0.start})
    }

    fn sink(&self, _: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        Arc::new(MemorySink(self.0.clone()))
    }

    fn is_rebuilt(&self) -> bool {
        self.0.rebuilt
    }

    fn has_poison(&self) -> bool {
        self.0.has_poison()
    }

    fn check(&self, history: &History) -> Result<(), String> {
        match self.0.way {
            Way::Objects | Way::ObjectsWithoutPlan => {
                let mut lines: Vec<String> = self.0.objects.lock().values().flatten().cloned().collect();
                let line = |(shard, _, kind, key, old, new): &(
                    ShardNo,
                    RecordNo,
                    String,
                    String,
                    Option<i64>,
                    Option<i64>,
                )| { format!("{} {kind} {key} {old:?} {new:?}", shard.0) };
                let mut expected: Vec<String> = history.changes.iter().map(line).collect();
                lines.sort();
                expected.sort();
                if lines == expected { Ok(()) } else { Err(format!("{lines:#?} instead of {expected:#?}")) }
            }
            Way::Documents | Way::Forgetful | Way::Panicking | Way::Silent | Way::Slanderous => {
                let documents = self.0.documents.lock();
                let found: BTreeMap<String, i64> =
                    documents.iter().filter_map(|(key, (_, value))| Some((key.clone(), (*value)?))).collect();
                if found == history.items { Ok(()) } else { Err(format!("{found:?} instead of {:?}", history.items)) }
            }
            Way::Sum | Way::SumWithoutProgress => {
                let (sum, expected) = (self.0.count.lock().sum, history.items.values().sum::<i64>());
                if sum == expected { Ok(()) } else { Err(format!("{sum} instead of {expected}")) }
            }
        }
    }
}

mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use tailrace_store::{LogPosition, Numbers};

    use super::super::{ITEMS_MAX, TABLE, assert_passes, each, finds_something, runtime, trial, world};
    use super::*;
    use crate::runtime::{Change, Sinks};

    #[test]
    fn objects_are_written_once_each() {
        assert_passes(|| Memory::new(Way::Objects, "trim_horizon"), 60);
    }

    /// docs/spec/sinks.md 1, "Backfill": whatever is written while a log begins anew with the items of its table, no change is left out of it,
    /// and none is in it twice.
    #[test]
    fn a_rebuild_of_a_log_leaves_out_no_change() {
        let mut pages = 0;
        for (seed, numbers) in each(150) {
            let memory = Memory { way: Way::Objects, start: "trim_horizon", rebuilt: true, ..Memory::default() };
            let memory = Arc::new(memory);
            let told = trial(Arc::new(SharedMemory(memory.clone())), numbers, seed, 1 + seed % 5);
            assert_eq!(told, Ok(()), "story {seed}, numbers {numbers:?}");
            pages += memory.pages.lock().len();
        }
        assert!(pages > 600, "{pages} pages of items");
    }

    #[test]
    fn documents_come_to_what_the_table_is() {
        assert_passes(|| Memory::new(Way::Documents, "trim_horizon"), 60);
        assert_passes(|| Memory::new(Way::Documents, "snapshot"), 60);
    }

    /// docs/spec/sinks.md 1, "Backfill": a snapshot at a point and the stream from there, without a gap or a double.
    #[test]
    fn a_sum_counts_each_change_once_with_a_snapshot_and_without() {
        assert_passes(|| Memory::new(Way::Sum, "trim_horizon"), 60);
        assert_passes(|| Memory::new(Way::Sum, "snapshot"), 60);
    }

    /// docs/spec/sinks.md 1, "Retention": what is trimmed while a sink is stalled is counted, and a restart does not forget it.
    #[test]
    fn what_was_trimmed_before_it_was_read_is_counted_over_restarts() {
        for numbers in Numbers::ALL {
            let world = world(Memory::new(Way::Documents, "trim_horizon"), numbers, 1);
            world.weather.calm.store(true, SeqCst);
            runtime().block_on(async {
                let db = world.db().await;
                world.make_table(&db).await;
                let gaps = async |sinks: &Sinks| sinks.status().await.unwrap()[0].trimmed_gaps;
                let drained = async |sinks: &Sinks| {
                    while !sinks.is_drained().await.unwrap() {
                        tokio::task::yield_now().await;
                    }
                };
                let mut expected = 0;
                for life in 0..3 {
                    let sinks = world.sinks(&db).await;
                    assert_eq!(gaps(&sinks).await, expected, "{numbers:?} {life}");
                    sinks.start().await;
                    drained(&sinks).await;
                    sinks.change("kit", Change::Pause).await.unwrap();
                    for number in 0..ITEMS_MAX {
                        world.put(&db, &format!("order-{number}"), life).await;
                    }
                    // As at the end of what is kept for it, in some of the shards.
                    let stream = db.find_table(TABLE).await.unwrap().unwrap().stream.as_ref().unwrap().id;
                    let shards = world.store.shards(stream).await.unwrap();
                    for shard in &shards[..1 + usize::from(life == 1)] {
                        let last = world.store.position(shard.shard, LogPosition::End).await.unwrap();
                        world.store.trim(shard.shard, last.next()).await.unwrap();
                        expected += 1;
                    }
                    sinks.change("kit", Change::Resume).await.unwrap();
                    drained(&sinks).await;
                    assert_eq!(gaps(&sinks).await, expected, "{numbers:?} {life}");
                    sinks.shutdown().await;
                }
            });
        }
    }

    /// Nothing of such a sink is confirmed, however long it runs; and each of its panics is printed.
    #[test]
    fn a_story_ends_when_a_sink_panics() {
        for numbers in Numbers::ALL {
            let told = trial(Memory::new(Way::Panicking, "trim_horizon"), numbers, 1, 1).unwrap_err();
            assert_eq!(told, "a problem with Orders: the shard's task panicked: at every flush");
        }
    }

    #[test]
    fn the_kit_finds_what_is_broken() {
        for (way, start) in [
            (Way::ObjectsWithoutPlan, "trim_horizon"),
            (Way::Forgetful, "trim_horizon"),
            (Way::Silent, "trim_horizon"),
            (Way::Silent, "snapshot"),
            (Way::Slanderous, "trim_horizon"),
            (Way::Slanderous, "snapshot"),
            (Way::SumWithoutProgress, "trim_horizon"),
            (Way::SumWithoutProgress, "snapshot"),
        ] {
            assert!(finds_something(|| Memory::new(way, start), 60), "{way:?} passes");
        }
    }
}
