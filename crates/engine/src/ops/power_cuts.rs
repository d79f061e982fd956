//! Seeded power cuts under the tests of operations, which run beside them until they are done.

use tailrace_core::rng::{Rng, SeededRng};
use tailrace_store::ModelEngine;

/// A number below `bound`.
pub(super) fn below(rng: &SeededRng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// Holds syncs, and then lets them through or, once in so many times, cuts the power; for ever, with at most `pause_max` turns of
/// others in between.
pub(super) async fn weather(store: &ModelEngine, seed: u64, cut_once_in: u64, pause_max: u64) {
    let rng = SeededRng::new(seed);
    loop {
        store.hold_syncs(true);
        for _ in 0..below(&rng, 20) {
            tokio::task::yield_now().await;
        }
        match below(&rng, cut_once_in) {
            0 => store.crash(),
            _ => store.hold_syncs(false),
        }
        for _ in 0..below(&rng, pause_max) {
            tokio::task::yield_now().await;
        }
    }
}
