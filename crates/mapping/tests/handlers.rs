//! The runner with real functions, of Python and of Node.js: what comes out, how soon, and how many a second.
//!
//! The bounds here are loose, since tests run beside other tests in a debug build; `cargo xtask bench` has the budgets.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tailrace_core::FunctionArn;

use common::{OneStream, open_stream, record_writer, request, write};
use parking_lot::Mutex;
use tailrace_core::EpochMs;
use tailrace_core::clock::Clock;
use tailrace_core::rng::SeededRng;
use tailrace_lambda::{FunctionConfig, Functions, InvokeContext, InvokeOutcome, LogLine, Settings};
use tailrace_mapping::{Dependencies, MappingEvent, Mappings, Observer, Parameters, Room, ShardState, SystemTimer};
use tailrace_store::ModelEngine;
use tokio::sync::mpsc;

struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "real processes need the real clock")]
    fn now(&self) -> EpochMs {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        EpochMs(since.as_millis() as u64)
    }

    #[expect(clippy::disallowed_methods, reason = "real processes need the real clock")]
    fn monotonic_ns(&self) -> u64 {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
    }
}

#[derive(Default)]
struct Durations(Mutex<Vec<(usize, Duration, Option<String>)>>);

impl Observer for Durations {
    fn on_event(&self, event: &MappingEvent) {
        if let MappingEvent::Batch { records, duration, error, .. } = event {
            self.0.lock().push((*records, *duration, error.clone()));
        }
    }
}

struct Server {
    _dir: tempfile::TempDir,
    functions: Arc<Functions>,
    logs: mpsc::Receiver<LogLine>,
    store: Arc<ModelEngine>,
    mappings: Mappings,
    batches: Arc<Durations>,
}

/// A function whose handler does nothing, by its runtime, file and code.
const NO_OPS: [[&str; 3]; 2] = [
    ["python3.13", "app.py", "def handler(event, context):\n    return None\n"],
    ["nodejs20.x", "app.js", "exports.handler = async () => {};\n"],
];

async fn server(code: &str) -> Server {
    server_of(["python3.13", "app.py", code]).await
}

async fn server_of([runtime, file, code]: [&str; 3]) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let code_dir = dir.path().join("code");
    std::fs::create_dir_all(&code_dir).unwrap();
    std::fs::write(code_dir.join(file), code).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    // Tests beside each other have tokens of their own: what is left of a process is found by its token.
    static SERVERS: AtomicU64 = AtomicU64::new(0);
    let seed = (u64::from(std::process::id()) << 32) + SERVERS.fetch_add(1, Ordering::Relaxed);
    let rng = Arc::new(SeededRng::new(seed));
    let (sender, logs) = mpsc::channel(tailrace_core::limits::FUNCTION_LOG_LINES_QUEUED_MAX);
    let functions =
        Arc::new(Functions::open(Settings::new(dir.path().join("state")), clock.clone(), rng.clone(), sender).unwrap());
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let mut config = FunctionConfig::new("f", FunctionArn::new(arn), runtime, "app.handler", code_dir);
    // Beside other tests it may take its time.
    config.timeout_s = 300;
    functions.put(config).unwrap();
    let store = ModelEngine::new(clock.clone());
    open_stream(store.as_ref(), 1).await;
    let batches = Arc::new(Durations::default());
    let mappings = Mappings::open(Dependencies {
        store: store.clone(),
        timer: Arc::new(SystemTimer(clock.clone())),
        clock: clock.clone(),
        rng,
        room: Room::default(),
        streams: Arc::new(OneStream),
        records: record_writer(store.clone(), clock.clone()).await,
        invoker: Arc::new(functions.clone()),
        observer: batches.clone(),
        region: "us-east-1".into(),
        account_id: "000000000000".into(),
    })
    .await
    .unwrap();
    Server { _dir: dir, functions, logs, store, mappings, batches }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_handler_sees_the_changes() {
    let mut server = server(
        "def handler(event, context):\n    for r in event['Records']:\n        \
         print(r['eventName'], r['dynamodb']['NewImage']['v']['N'], type(r['dynamodb']['ApproximateCreationDateTime']).__name__)\n",
    )
    .await;
    server.mappings.create(request("TRIM_HORIZON", Parameters::default())).await.unwrap();
    write(server.store.as_ref(), "a", 41).await;
    let line = loop {
        let line = server.logs.recv().await.unwrap();
        if line.text.contains("INSERT") {
            break line.text;
        }
    };
    assert_eq!(line, "INSERT 41 float", "a number with a fraction, as on AWS");
    server.mappings.drained().await.unwrap();
    server.mappings.shutdown().await;
    server.functions.stop(Duration::from_secs(5)).await;
}

/// Issue of a handler that raises: its exact error is shown, and the record is parked when its attempts are spent.
#[tokio::test(flavor = "multi_thread")]
async fn a_raising_handler_shows_its_error_and_the_record_is_parked() {
    let server = server("def handler(event, context):\n    raise ValueError('bad')\n").await;
    let once = Parameters { retry_attempts_max: Some(0), ..Parameters::default() };
    let uuid = server.mappings.create(request("TRIM_HORIZON", once)).await.unwrap().uuid();
    write(server.store.as_ref(), "a", 1).await;
    server.mappings.drained().await.unwrap();
    let parked = server.mappings.parked(&uuid, None, 10).await.unwrap();
    assert_eq!(parked[0].parked.error, "ValueError: bad");
    server.mappings.shutdown().await;
    server.functions.stop(Duration::from_secs(5)).await;
}

/// Spec 4: a batch that waits for a place of its function, which others have, is in the way of no change, and is not run behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_for_its_function_is_in_the_way_of_no_change() {
    const CODE: &str = "import os, time\ndef handler(event, context):\n    print('called', flush=True)\n    \
                        while 'hold' in event and not os.path.exists(event['hold']): time.sleep(0.005)\n";
    let mut server = server(CODE).await;
    let mut config = server.functions.get("f").unwrap();
    config.reserved_concurrency = Some(1);
    server.functions.put(config).unwrap();
    let release = server._dir.path().join("release");
    let (functions, event) = (server.functions.clone(), format!(r#"{{"hold":"{}"}}"#, release.display()));
    let held = tokio::spawn(async move { functions.invoke("f", event.into(), InvokeContext::default()).await });
    while server.logs.recv().await.unwrap().text != "called" {}
    let uuid = server.mappings.create(request("TRIM_HORIZON", Parameters::default())).await.unwrap().uuid();
    write(server.store.as_ref(), "a", 1).await;
    let queued = async || {
        let mut changes = server.mappings.changes();
        while !common::shards(&server.mappings).iter().any(|shard| shard.state == ShardState::Queued) {
            changes.changed().await.unwrap();
        }
    };
    queued().await;
    let pattern = r#"{"dynamodb":{"NewImage":{"v":{"N":["1","2"]}}}}"#;
    let filtered = Parameters { filters: Some(vec![Some(pattern.into())]), ..Parameters::default() };
    server.mappings.update(&uuid, None, &filtered).await.unwrap();
    queued().await;
    let disabled = Parameters { enabled: Some(false), ..Parameters::default() };
    server.mappings.update(&uuid, None, &disabled).await.unwrap();
    assert!(!held.is_finished(), "the function is busy all the while");
    std::fs::write(&release, "").unwrap();
    assert!(matches!(held.await.unwrap(), InvokeOutcome::Success { .. }));
    server.mappings.shutdown().await;
    server.functions.stop(Duration::from_secs(5)).await;
    while let Ok(line) = server.logs.try_recv() {
        assert_ne!(line.text, "called", "nothing is handed out behind the change");
    }
    assert_eq!(*server.batches.0.lock(), [], "what is handed back is no batch of the function");
}

/// Architecture 7: records/s through one no-op handler with batch 1000, and committed -> handler answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_op_handler_keeps_up() {
    for no_op in NO_OPS {
        keeps_up(no_op).await;
    }
}

async fn keeps_up(no_op: [&str; 3]) {
    const RECORDS: u64 = 20_000;
    let server = server_of(no_op).await;
    let batch = Parameters { batch_size: Some(1000), ..Parameters::default() };
    let uuid = server.mappings.create(request("TRIM_HORIZON", batch)).await.unwrap().uuid();
    // The start of the interpreter is not what is measured.
    write(server.store.as_ref(), "first", 0).await;
    server.mappings.drained().await.unwrap();
    let enabled = |enabled| Parameters { enabled: Some(enabled), ..Parameters::default() };
    server.mappings.update(&uuid, None, &enabled(false)).await.unwrap();
    server.batches.0.lock().clear();
    for n in 0..RECORDS {
        write(server.store.as_ref(), &format!("k{}", n % 100), n).await;
    }
    let clock = RealClock;
    let from_ns = clock.monotonic_ns();
    server.mappings.update(&uuid, None, &enabled(true)).await.unwrap();
    server.mappings.drained().await.unwrap();
    let seconds = (clock.monotonic_ns() - from_ns) as f64 / 1e9;
    let rate = RECORDS as f64 / seconds;
    let batches = server.batches.0.lock().clone();
    assert!(batches.iter().all(|(_, _, error)| error.is_none()), "{batches:?}");
    assert_eq!(batches.iter().map(|(records, _, _)| *records as u64).sum::<u64>(), RECORDS, "each record once");
    let mut in_function: Vec<Duration> = batches.iter().map(|(_, duration, _)| *duration).collect();
    in_function.sort_unstable();
    println!(
        "{} batches, with the function for {:?} each (median)",
        in_function.len(),
        in_function[in_function.len() / 2]
    );
    let mut latencies = Vec::new();
    for n in 0..200 {
        let from_ns = clock.monotonic_ns();
        write(server.store.as_ref(), "idle", n).await;
        server.mappings.drained().await.unwrap();
        latencies.push((clock.monotonic_ns() - from_ns) / 1000);
    }
    latencies.sort_unstable();
    println!(
        "{}: {rate:.0} records/s; commit -> answered and checkpointed p50 {} us, p99 {} us",
        no_op[0], latencies[100], latencies[197]
    );
    assert!(rate > 200.0, "{rate} records/s");
    server.mappings.shutdown().await;
    server.functions.stop(Duration::from_secs(5)).await;
}
