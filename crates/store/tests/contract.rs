//! The contract suite from outside of the crate: over the model, over an engine that numbers the records of each shard by
//! themselves, and over a broken model, to show that the contract catches what it is for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use tailrace_core::EpochMs;

use tailrace_core::clock::ManualClock;
use tailrace_store::contract::{PerShardEngine, Subject, assert_passes, checks, failure};
use tailrace_store::{Engine, ModelEngine, PlantedBug};

struct Model {
    engine: Arc<ModelEngine>,
    clock: Arc<ManualClock>,
}

impl Model {
    fn new(bug: Option<PlantedBug>) -> Model {
        let clock = Arc::new(ManualClock::at(EpochMs(1_000)));
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

struct PerShard {
    engine: Arc<PerShardEngine>,
    clock: Arc<ManualClock>,
}

impl Subject for PerShard {
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
    assert_passes(&|| Box::new(Model::new(None)));
}

#[test]
fn an_engine_with_numbers_for_each_shard_keeps_the_contract() {
    assert_passes(&|| {
        let clock = Arc::new(ManualClock::at(EpochMs(1_000)));
        Box::new(PerShard { engine: PerShardEngine::new(clock.clone()), clock })
    });
}

#[test]
fn every_planted_bug_is_caught() {
    use PlantedBug::*;
    for bug in [AckBeforeSync, PublishBeforeSync, RejectBeforeSync, NumberReused, RecordOutsideCommit, CountedTwice] {
        let caught = checks().into_iter().find(|(_, check)| failure(&mut Model::new(Some(bug)), *check).is_some());
        assert!(caught.is_some(), "{bug:?} passes the contract");
    }
}
