//! The embedded engine under the contract.

use std::sync::Arc;

use tailrace_core::EpochMs;
use tailrace_core::clock::ManualClock;
use tailrace_store::Engine;
use tailrace_store::contract::{Subject, assert_passes};

use crate::files::{SectorFate, SimFiles};
use crate::log::LogSettings;
use crate::{EmbeddedEngine, Options};

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
        let clock = Arc::new(ManualClock::at(EpochMs(1_000)));
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

#[test]
fn the_embedded_engine_keeps_the_contract() {
    assert_passes(&|| Box::new(Embedded::new(1 << 20)));
}

#[test]
fn the_embedded_engine_keeps_the_contract_when_it_flushes_after_every_group() {
    assert_passes(&|| Box::new(Embedded::new(1)));
}
