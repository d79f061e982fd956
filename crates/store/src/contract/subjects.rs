//! The engines under the contract, and the proof that the contract catches planted bugs.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tailrace_core::clock::ManualClock;

use super::*;
use crate::embedded::{EmbeddedEngine, Options};
use crate::files::{SectorFate, SimFiles};
use crate::log::LogSettings;
use crate::model::{ModelEngine, PlantedBug};

struct Model {
    engine: Arc<ModelEngine>,
    clock: Arc<ManualClock>,
}

impl Model {
    fn new(bug: Option<PlantedBug>) -> Model {
        let clock = Arc::new(ManualClock::at(1_000));
        let engine = ModelEngine::new(clock.clone());
        if let Some(bug) = bug {
            engine.plant(bug);
        }
        Model { engine, clock }
    }
}

impl Subject for Model {
    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }

    fn hold_syncs(&mut self, hold: bool) {
        self.engine.hold_syncs(hold);
    }

    fn crash(&mut self) {
        self.engine.crash();
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance(ms);
    }
}

/// The embedded engine with its log on a simulated disk, and its tree on a real one: the tree's files never run ahead
/// of the log, so a power cut concerns the log alone.
struct Embedded {
    engine: Option<Arc<EmbeddedEngine>>,
    files: SimFiles,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
    memtable_bytes: u64,
}

impl Embedded {
    fn new(memtable_bytes: u64) -> Embedded {
        let clock = Arc::new(ManualClock::at(1_000));
        let (files, dir) = (SimFiles::new(), tempfile::tempdir().unwrap());
        let mut subject = Embedded { engine: None, files, clock, dir, memtable_bytes };
        subject.open();
        subject
    }

    fn open(&mut self) {
        let options = Options {
            files: Arc::new(self.files.clone()),
            memtable_bytes: self.memtable_bytes,
            cache_bytes: 1 << 20,
            log: LogSettings { segment_bytes: 1 << 20, ..LogSettings::default() },
            fatal: Arc::new(|_| {}),
            ..Options::new(self.clock.clone(), [1; 16])
        };
        self.engine = Some(EmbeddedEngine::open(self.dir.path(), options).unwrap());
    }
}

impl Subject for Embedded {
    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone().unwrap()
    }

    fn hold_syncs(&mut self, hold: bool) {
        if hold {
            self.files.hold_syncs();
        } else {
            self.files.release_syncs();
        }
    }

    fn crash(&mut self) {
        let left = self.files.survivor(usize::MAX, &mut |_| SectorFate::Lost);
        self.files.power_off();
        let old = self.engine.take().unwrap();
        old.kill();
        self.files = left;
        self.open();
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance(ms);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a check; the panic's text if it fails.
fn failure(subject: &mut dyn Subject, check: Check) -> Option<String> {
    let done = runtime().block_on(async {
        let checked = AssertUnwindSafe(check(subject)).catch_unwind();
        tokio::time::timeout(Duration::from_secs(20), checked).await
    });
    match done {
        Ok(Ok(())) => None,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().cloned();
            Some(text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
        }
        Err(_) => Some("no end within 20 seconds".to_owned()),
    }
}

fn assert_passes(subject: &dyn Fn() -> Box<dyn Subject>) {
    let mut failed = Vec::new();
    for (name, check) in checks() {
        if let Some(why) = failure(&mut *subject(), check) {
            failed.push(format!("{name}: {why}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_model_keeps_the_contract() {
    assert_passes(&|| Box::new(Model::new(None)));
}

#[test]
fn the_embedded_engine_keeps_the_contract() {
    assert_passes(&|| Box::new(Embedded::new(1 << 20)));
}

#[test]
fn the_embedded_engine_keeps_the_contract_when_it_flushes_after_every_group() {
    assert_passes(&|| Box::new(Embedded::new(1)));
}

#[test]
fn every_planted_bug_is_caught() {
    use PlantedBug::*;
    for bug in [AckBeforeSync, PublishBeforeSync, RejectBeforeSync, NumberReused, RecordOutsideCommit] {
        let caught = checks().into_iter().find(|(_, check)| failure(&mut Model::new(Some(bug)), *check).is_some());
        assert!(caught.is_some(), "{bug:?} passes the contract");
    }
}
