//! What is done behind the operations: one bad row never holds up the others, and nothing is missed.

use tailrace_store::keyspace::{DeletedTableKey, SettingKey, StreamKey, TableId};
use tailrace_store::{Decision, Key, Write, commit};

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn write(bench: &Bench, writes: Vec<Write>) {
    let keys: Vec<Key> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Put { key, .. } | Write::Delete { key } => Some(key.clone()),
            _ => None,
        })
        .collect();
    commit(bench.store.as_ref(), &[], &keys, |_| Decision::Apply(writes.clone(), ())).await.unwrap();
}

fn put(key: Key, value: &'static [u8]) -> Write {
    Write::Put { key, value: bytes::Bytes::from_static(value) }
}

async fn stream_of(bench: &Bench, table: &str) -> tailrace_store::StreamId {
    bench.db.table(table).await.unwrap().stream.clone().unwrap().id
}

/// docs/spec/streams.md 12
#[tokio::test]
async fn a_stream_whose_row_cannot_be_read_keeps_no_other_from_its_retention() {
    let bench = Bench::single().await;
    bench.create("bad", Some("KEYS_ONLY")).await;
    let deleted = bench.create("deleted", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    let kept = bench.create("kept", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.put("kept", "a", 1).await;
    bench.ok("DeleteTable", json!({"TableName": "deleted"})).await;
    let bad = StreamKey { stream: stream_of(&bench, "bad").await };
    write(&bench, vec![put(bad.encode(), b"{\"version\":1")]).await;
    bench.clock.advance(DAY_MS);
    bench.clock.advance(1);
    let error = bench.run_background(bench.clock.now()).await.unwrap_err();
    assert!(error.contains("the descriptor of stream 1"), "{error}");
    assert!(bench.call("DescribeStream", json!({"StreamArn": deleted})).await.is_err(), "it was not forgotten");
    assert_eq!(bench.records(&kept).await, Vec::<Value>::new(), "it was not trimmed");
}

/// The same where it is the store that does not change one of them, whether it is to be trimmed or to be forgotten.
#[tokio::test]
async fn a_stream_that_the_store_does_not_change_keeps_no_other_from_its_retention() {
    for ended in [false, true] {
        let settings = Settings { shards_per_stream: 1, ..Settings::default() };
        let (bench, store) = super::figures::watched_with(settings).await;
        let mut arns = Vec::new();
        for table in ["stuck", "deleted", "kept"] {
            let made = bench.create(table, Some("KEYS_ONLY")).await;
            arns.push(made["LatestStreamArn"].as_str().unwrap().to_owned());
            bench.put(table, "a", 1).await;
        }
        let stuck = stream_of(&bench, "stuck").await;
        bench.ok("DeleteTable", json!({"TableName": "deleted"})).await;
        if ended {
            bench.ok("DeleteTable", json!({"TableName": "stuck"})).await;
        }
        bench.clock.advance(DAY_MS + 1);
        *store.stuck.lock() = Some(stuck);
        let error = bench.run_background(bench.clock.now()).await.unwrap_err();
        assert!(error.contains(&arns[0]) && error.ends_with(": the disk does not answer"), "{error}");
        assert_eq!(bench.records(&arns[0]).await.len(), 1, "ended: {ended}");
        assert!(bench.call("DescribeStream", json!({"StreamArn": arns[1]})).await.is_err(), "it was not forgotten");
        assert_eq!(bench.records(&arns[2]).await, Vec::<Value>::new(), "it was not trimmed");

        *store.stuck.lock() = None;
        bench.run_background(bench.clock.now()).await.unwrap();
        match ended {
            true => assert!(bench.call("DescribeStream", json!({"StreamArn": arns[0]})).await.is_err()),
            false => assert_eq!(bench.records(&arns[0]).await, Vec::<Value>::new()),
        }
    }
}

/// A crash right behind the commits of many DeleteTables, in a data directory with many settings.
#[tokio::test]
async fn the_items_of_every_deleted_table_are_reclaimed() {
    let bench = Bench::new().await;
    for n in 0..3 {
        let played: Vec<Write> = (0..500).map(|m| put(SettingKey::key(&format!("played/{n}-{m}")), b"1")).collect();
        write(&bench, played).await;
    }
    let marks: Vec<Key> = (1..=1500).map(|id| DeletedTableKey { table: TableId(id) }.encode()).collect();
    write(&bench, marks.iter().map(|key| put(key.clone(), b"")).collect()).await;
    bench.run_background(bench.clock.now()).await.unwrap();
    let left = tailrace_store::Engine::get(bench.store.as_ref(), &marks).await.unwrap();
    assert_eq!(left.iter().filter(|row| row.is_some()).count(), 0);
}

/// A tick looks at a bounded number of shards, whatever their streams, and the pass at every one of them.
#[tokio::test]
async fn retention_of_many_shards_is_many_short_ticks() {
    use crate::background::{Progress, Task};
    let bench = Bench::with(Settings { shards_per_stream: 100, ..Settings::default() }).await;
    let mut arns = Vec::new();
    for table in 0..5 {
        let name = format!("table-{table}");
        arns.push(bench.create(&name, Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned());
        for pk in 0..150 {
            bench.put(&name, &pk.to_string(), 1).await;
        }
    }
    bench.clock.advance(DAY_MS + 1);
    let retention = crate::background::retention::Retention::default();
    let horizons = async || {
        let mut moved = 0;
        for arn in &arns {
            let stream = bench.db.stream(arn).await.unwrap().id;
            let shards = tailrace_store::Engine::shards(bench.store.as_ref(), stream).await.unwrap();
            moved += shards.iter().filter(|shard| shard.horizon > shard.first).count();
        }
        moved
    };
    let (mut ticks, mut before) = (0, 0);
    loop {
        let tick = retention.tick(&bench.db, bench.clock.now()).await;
        assert!(tick.failures.is_empty(), "{}", tick.failures);
        ticks += 1;
        let now = horizons().await;
        assert!(now - before <= tailrace_core::limits::RETENTION_SHARDS_PER_TICK, "one tick moved {}", now - before);
        before = now;
        if tick.progress == Progress::Done {
            break;
        }
    }
    assert!(ticks >= 500 / tailrace_core::limits::RETENTION_SHARDS_PER_TICK, "{ticks} ticks");
    for arn in &arns {
        assert_eq!(bench.records(arn).await, Vec::<Value>::new());
    }
}

/// A job that is paused does nothing until it is resumed; its status says what was done and what failed.
#[tokio::test]
async fn a_job_is_paused_and_says_how_it_stands() {
    use crate::background::{Job, Wait, retention::Retention};
    let bench = Bench::single().await;
    bench.create("bad", Some("KEYS_ONLY")).await;
    let bad = StreamKey { stream: stream_of(&bench, "bad").await };
    let db = Arc::new(bench.db);
    let job = Job::new(db.clone(), Box::new(Retention::default()));
    assert_eq!((job.status().name, job.status().last_run_ms), ("retention", None));
    job.pause();
    assert_eq!(job.run().await, Wait::Resumed);
    assert_eq!(job.status().last_run_ms, None);
    job.resume();
    job.woken().await;
    assert_eq!(job.run().await, Wait::Interval(tailrace_core::limits::RETENTION_INTERVAL));
    let status = job.status();
    assert_eq!(
        (status.last_run_ms, status.last_pass_ms, status.last_error),
        (Some(EpochMs(START_MS)), Some(EpochMs(START_MS)), None)
    );

    let keys = [bad.encode()];
    commit(bench.store.as_ref(), &[], &keys, |_| Decision::Apply(vec![put(keys[0].clone(), b"{}")], ())).await.unwrap();
    bench.clock.advance(1000);
    job.run().await;
    let error = job.status().last_error.unwrap();
    assert!(error.starts_with("the descriptor of stream 1: corrupt data"), "{error}");
    assert_eq!(job.status().last_pass_ms, Some(EpochMs(START_MS + 1000)));
    assert_eq!(job.status().passes, 2);
}

/// A task of so many ticks a pass, which counts them.
struct Counted {
    ticks_per_pass: usize,
    ticks: Arc<std::sync::atomic::AtomicUsize>,
}

impl crate::background::Task for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn interval(&self, _settings: &Settings) -> std::time::Duration {
        std::time::Duration::MAX
    }

    fn due<'a>(&'a self, _db: &'a Db) -> futures_util::future::BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn tick<'a>(
        &'a self,
        _db: &'a Db,
        _now_ms: EpochMs,
    ) -> futures_util::future::BoxFuture<'a, crate::background::Tick> {
        let tick = self.ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let progress = match tick.is_multiple_of(self.ticks_per_pass) {
            true => Progress::Done,
            false => Progress::More("ticks".to_owned()),
        };
        Box::pin(std::future::ready(crate::background::Tick { progress, failures: Failures::default() }))
    }
}

/// A pass that is asked for runs though the job is paused, after what is left of the one that the pause has interrupted.
#[tokio::test]
async fn a_paused_job_makes_the_passes_that_are_asked_for_and_no_others() {
    use crate::background::{Job, JobState, Wait};
    use futures_util::FutureExt;
    let ticks = Arc::<std::sync::atomic::AtomicUsize>::default();
    let job =
        Job::new(Arc::new(Bench::single().await.db), Box::new(Counted { ticks_per_pass: 3, ticks: ticks.clone() }));
    let stands = || (ticks.load(std::sync::atomic::Ordering::Relaxed), job.status().passes, job.status().state);
    assert_eq!(stands(), (0, 0, JobState::Waiting));
    assert_eq!(job.run().await, Wait::Next);
    assert_eq!(stands(), (1, 0, JobState::Running));
    job.pause();
    assert_eq!(job.run().await, Wait::Resumed);
    assert_eq!(stands(), (1, 0, JobState::Paused));
    // What is due wakes a job that is paused no more than once: whoever runs it waits for an order.
    assert_eq!(job.resumed().now_or_never(), None);
    job.trigger();
    job.resumed().await;
    let run = async || {
        let mut waits = Vec::new();
        while waits.last() != Some(&Wait::Resumed) {
            waits.push(job.run().await);
        }
        waits
    };
    let passed = [Wait::Next, Wait::Next, Wait::Next, Wait::Next, Wait::Interval(std::time::Duration::MAX)];
    assert_eq!(run().await[..5], passed, "the rest of the one pass, and another one");
    assert_eq!(stands(), (6, 2, JobState::Paused));
    job.trigger();
    assert_eq!(job.status().state, JobState::Running);
    assert_eq!(run().await.len(), 4);
    assert_eq!(stands(), (9, 3, JobState::Paused));
    job.resume();
    assert_eq!(job.status().state, JobState::Waiting);
    assert_eq!(job.run().await, Wait::Next);
    assert_eq!(stands(), (10, 3, JobState::Running));
}
