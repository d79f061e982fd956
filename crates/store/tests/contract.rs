//! The contract suite from outside of the crate: over the model, over an engine that numbers the records of each shard by
//! themselves, and over a broken model, to show that the contract catches what it is for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use tailrace_core::EpochMs;

use tailrace_core::clock::ManualClock;
use tailrace_store::contract::{Subject, assert_passes, checks, failure};
use tailrace_store::{Engine, MemoryEngine, ModelEngine, Numbers, PlantedBug};

struct InMemory {
    engine: Arc<dyn MemoryEngine>,
    clock: Arc<ManualClock>,
}

impl InMemory {
    fn new(numbers: Numbers) -> InMemory {
        let clock = Arc::new(ManualClock::at(EpochMs(1_000)));
        InMemory { engine: numbers.engine(clock.clone()), clock }
    }

    fn broken(bug: PlantedBug) -> InMemory {
        let clock = Arc::new(ManualClock::at(EpochMs(1_000)));
        let engine = ModelEngine::new(clock.clone());
        engine.plant(bug);
        InMemory { engine, clock }
    }
}

impl Subject for InMemory {
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

#[test]
fn the_model_keeps_the_contract() {
    assert_passes(&|| Box::new(InMemory::new(Numbers::Shared)));
}

#[test]
fn an_engine_with_numbers_for_each_shard_keeps_the_contract() {
    assert_passes(&|| Box::new(InMemory::new(Numbers::PerShard)));
}

#[test]
fn every_planted_bug_is_caught() {
    use PlantedBug::*;
    for bug in [AckBeforeSync, PublishBeforeSync, RejectBeforeSync, NumberReused, RecordOutsideCommit, CountedTwice] {
        let caught = checks().into_iter().find(|(_, check)| failure(&mut InMemory::broken(bug), *check).is_some());
        assert!(caught.is_some(), "{bug:?} passes the contract");
    }
}
