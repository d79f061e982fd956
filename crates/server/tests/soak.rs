//! The soak of `cargo xtask soak`, short: every record's effect once, in the order of its key, whatever fails.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

#[path = "../examples/soak/run.rs"]
mod run;

use std::sync::Arc;

use run::{House, Uncalled, nothing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_of_a_moody_function_are_those_of_a_serial_replay() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path(), 42).await;
    let expected = house.write(500, 100).await;
    let effects = house.soak().await;
    assert_eq!(effects.records, 50_000);
    assert!(effects.failures > 10, "the function fails: {}", effects.failures);
    assert_eq!(effects.states, expected);
    // The same records for a filter that matches none of them.
    let mappings = house.mappings(Arc::new(Uncalled)).await;
    for mapping in mappings.list() {
        mappings.delete(&mapping.uuid()).await.unwrap();
    }
    house.map(&mappings, "filtered", nothing()).await;
    mappings.drained().await.unwrap();
    mappings.shutdown().await;
    house.db.store().shutdown().await.unwrap();
}
