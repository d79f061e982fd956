//! The model under the contract, and the proof that the contract catches planted bugs.

use tailrace_core::clock::ManualClock;

use super::*;
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

#[test]
fn the_model_keeps_the_contract() {
    assert_passes(&|| Box::new(Model::new(None)));
}

#[test]
fn every_planted_bug_is_caught() {
    use PlantedBug::*;
    for bug in [AckBeforeSync, PublishBeforeSync, RejectBeforeSync, NumberReused, RecordOutsideCommit] {
        let caught = checks().into_iter().find(|(_, check)| failure(&mut Model::new(Some(bug)), *check).is_some());
        assert!(caught.is_some(), "{bug:?} passes the contract");
    }
}
