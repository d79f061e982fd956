//! The runner under crashes at random points: every acknowledged record is accepted by the function, in order per key,
//! whatever was lost in between. A seed gives the same run.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::collections::BTreeMap;

use common::{Call, Stage, TestTime, new_store, open_stream};
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_mapping::Parameters;

const KEYS: u64 = 4;

/// What was written, and what the function accepted.
#[derive(Default)]
struct History {
    next: u64,
    written: BTreeMap<u64, Vec<u64>>,
    /// For each key, how many of its records were accepted at least once.
    accepted: BTreeMap<u64, usize>,
    repeats: usize,
}

impl History {
    /// The function accepts a batch: of each key it may see again what it saw, but must not miss anything before.
    fn accept(&mut self, call: Call, seed: u64) {
        for value in call.values() {
            let (key, index) = self
                .written
                .iter()
                .find_map(|(key, values)| values.iter().position(|v| *v == value).map(|index| (*key, index)))
                .unwrap_or_else(|| panic!("seed {seed}: {value} was never acknowledged"));
            let accepted = self.accepted.entry(key).or_default();
            assert!(index <= *accepted, "seed {seed}: {value} of key {key} came before an earlier record");
            if index == *accepted {
                *accepted += 1;
            } else {
                self.repeats += 1;
            }
        }
        call.ok();
    }

    async fn write(&mut self, stage: &Stage, key: u64) {
        self.next += 1;
        // A record that is delivered before its write is answered counts as written already.
        self.written.entry(key).or_default().push(self.next);
        stage.write(&format!("key {key}"), self.next).await;
    }
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

async fn live(stage: &mut Stage, history: &mut History, rng: &SeededRng, seed: u64) {
    for _ in 0..5 + rng.next_u64() % 30 {
        match rng.next_u64() % 10 {
            0..=3 => history.write(stage, rng.next_u64() % KEYS).await,
            4..=7 => {
                settle().await;
                match stage.calls.try_recv() {
                    Ok(call) if rng.next_u64() % 10 < 7 => history.accept(call, seed),
                    Ok(call) => call.fail(),
                    Err(_) => {}
                }
            }
            _ => stage.time.advance(rng.next_u64() % 3000),
        }
    }
    if rng.next_u64().is_multiple_of(2) {
        // The function accepts, and the checkpoint is lost in the crash.
        stage.store.hold_syncs(true);
        settle().await;
        while let Ok(call) = stage.calls.try_recv() {
            history.accept(call, seed);
        }
        settle().await;
    }
}

#[test]
fn nothing_is_lost_or_out_of_order_wherever_it_crashes() {
    let mut repeats = 0;
    for seed in 0..60 {
        let rng = SeededRng::new(seed);
        let time = TestTime::new();
        let store = new_store(&time);
        let mut history = History::default();
        let lives = 2 + rng.next_u64() % 5;
        for life in 0..=lives {
            // A life has a runtime of its own: when it is dropped, every task of it is gone at whatever it was doing.
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                if life == 0 {
                    open_stream(store.as_ref(), 2).await;
                }
                let mut stage = Stage::open(store.clone(), time.clone()).await;
                if life == 0 {
                    let (batch_size, parallelization_factor) = (Some(3), Some(1 + (seed % 3) as i64));
                    let bisect_on_error = Some(seed.is_multiple_of(2));
                    let parameters =
                        Parameters { batch_size, parallelization_factor, bisect_on_error, ..Parameters::default() };
                    stage.create(parameters).await;
                }
                if life < lives {
                    return live(&mut stage, &mut history, &rng, seed).await;
                }
                let Stage { mappings, calls, .. } = &mut stage;
                let mut drained = std::pin::pin!(mappings.drained());
                loop {
                    tokio::select! {
                        biased;
                        Some(call) = calls.recv() => history.accept(call, seed),
                        done = &mut drained => break done.unwrap(),
                    }
                }
            });
            drop(runtime);
            store.crash();
        }
        for (key, written) in &history.written {
            let accepted = history.accepted.get(key).copied().unwrap_or_default();
            assert_eq!(accepted, written.len(), "seed {seed}: records of key {key} are lost");
        }
        repeats += history.repeats;
    }
    assert!(repeats > 0, "no crash hit a batch that was accepted and not yet checkpointed");
}
