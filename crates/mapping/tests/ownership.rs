//! Two runners over one store: the store decides who delivers a shard, and which mapping a stream and a function have.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::collections::BTreeMap;
use tailrace_core::StreamArn;

use common::{ARN, Stage, request, shards};
use tailrace_core::rng::{Rng, SeededRng};
use tailrace_mapping::{MappingError, MappingEvent, Parameters, ShardState};

fn batch(size: i64) -> Parameters {
    Parameters { batch_size: Some(size), ..Parameters::default() }
}

fn was_taken_over(stage: &Stage) -> bool {
    stage.events.0.lock().iter().any(|event| matches!(event, MappingEvent::TakenOver { .. }))
}

/// The runner that starts later is the owner at once. The earlier one's checkpoint is refused, and it delivers nothing more.
#[tokio::test]
async fn a_second_runner_takes_a_shard_over_and_fences_the_first_out() {
    let mut first = Stage::new(1).await;
    for n in 1..=4 {
        first.write("a", n).await;
    }
    first.create(batch(2)).await;
    let in_flight = first.call().await;
    assert_eq!(in_flight.values(), [1, 2]);

    // A restart takes over without waiting: what was in flight comes again, at most.
    let mut second = Stage::open(first.store.clone(), first.time.clone()).await;
    let again = second.call().await;
    assert_eq!(again.values(), [1, 2]);
    in_flight.ok();
    // The next batch goes out ahead of the sync; then the commit is refused.
    let ahead = first.call().await;
    assert_eq!(ahead.values(), [3, 4]);
    ahead.ok();
    first.until(|_| was_taken_over(&first)).await;
    let overview = first.mappings.overview().await.unwrap();
    assert_eq!(overview[0].shards[0].state, ShardState::Elsewhere);
    assert!(
        overview[0].shards[0].position < common::sequence_number(tailrace_core::RecordNo(2)),
        "its checkpoint was refused"
    );

    again.ok();
    let call = second.call().await;
    assert_eq!(call.values(), [3, 4]);
    call.ok();
    second.mappings.drained().await.unwrap();
    second.write("a", 5).await;
    assert_eq!(second.call().await.values(), [5]);
    assert!(first.calls.try_recv().is_err(), "the first delivers nothing more");
}

/// A runner that had nothing to commit learns of the other one before it hands anything out.
#[tokio::test]
async fn an_idle_runner_that_was_fenced_out_delivers_nothing() {
    let mut first = Stage::new(1).await;
    first.create(batch(2)).await;
    first.until(|mappings| shards(mappings).first().is_some_and(|shard| shard.state == ShardState::Idle)).await;
    let mut second = Stage::open(first.store.clone(), first.time.clone()).await;
    second.until(|mappings| shards(mappings).first().is_some_and(|shard| shard.state == ShardState::Idle)).await;
    first.write("a", 1).await;
    assert_eq!(second.call().await.values(), [1]);
    first.until(|_| was_taken_over(&first)).await;
    assert!(first.calls.try_recv().is_err());
}

/// A runner whose batch fails learns of the other one before it tries again.
#[tokio::test]
async fn a_runner_that_was_fenced_out_retries_nothing() {
    let mut first = Stage::new(1).await;
    first.write("a", 1).await;
    first.create(batch(2)).await;
    first.call().await.fail();
    first.until(|mappings| shards(mappings).first().is_some_and(|shard| shard.state == ShardState::Retrying)).await;
    let mut second = Stage::open(first.store.clone(), first.time.clone()).await;
    let call = second.call().await;
    assert_eq!(call.values(), [1]);
    call.ok();
    let mut changes = first.mappings.changes();
    first.time.advance(1000);
    while !was_taken_over(&first) {
        assert!(first.calls.try_recv().is_err(), "it hands the batch out again");
        changes.changed().await.unwrap();
    }
    assert!(first.calls.try_recv().is_err());
}

/// Runners come at any moment, none leaves: nothing is lost, each key keeps its order, and what repeats was in flight at a
/// take-over.
#[tokio::test]
async fn take_overs_at_any_moment_lose_nothing_and_repeat_only_what_was_in_flight() {
    const BATCH: usize = 2;
    for seed in 0..40 {
        let rng = SeededRng::new(seed);
        let mut stages = vec![Stage::new(2).await];
        stages[0].create(batch(BATCH as i64)).await;
        let mut accepted: BTreeMap<u64, u32> = BTreeMap::new();
        let mut order: BTreeMap<u64, u64> = BTreeMap::new();
        let mut written = 0;
        let mut held = Vec::new();
        for _ in 0..60 {
            match rng.next_u64() % 8 {
                0..=2 => {
                    written += 1;
                    stages[0].write(&format!("k{}", written % 3), written).await;
                }
                3 if stages.len() < 4 => {
                    let (store, time) = (stages[0].store.clone(), stages[0].time.clone());
                    stages.push(Stage::open(store, time).await);
                }
                _ => {
                    for _ in 0..20 {
                        tokio::task::yield_now().await;
                    }
                    held.extend(stages.iter_mut().filter_map(|stage| stage.calls.try_recv().ok()));
                    if !held.is_empty() {
                        let index = (rng.next_u64() % held.len() as u64) as usize;
                        accept(held.swap_remove(index), &mut accepted, &mut order);
                    }
                }
            }
        }
        held.drain(..).for_each(|call| accept(call, &mut accepted, &mut order));
        let take_overs = stages.len() - 1;
        let mut last = stages.pop().unwrap();
        let others = stages;
        let mut drained = std::pin::pin!(last.mappings.drained());
        loop {
            tokio::select! {
                biased;
                Some(call) = last.calls.recv() => accept(call, &mut accepted, &mut order),
                done = &mut drained => break done.unwrap(),
            }
        }
        drop(others);
        assert_eq!(accepted.len() as u64, written, "seed {seed}: records are lost");
        let repeats: u32 = accepted.values().map(|times| times - 1).sum();
        // Two shards; of each, a batch in flight and the one whose checkpoint was not yet durable.
        let most = take_overs * 2 * 2 * BATCH;
        assert!(repeats as usize <= most, "seed {seed}: {repeats} repeats in {take_overs} take-overs");
    }
}

fn accept(call: common::Call, accepted: &mut BTreeMap<u64, u32>, order: &mut BTreeMap<u64, u64>) {
    for value in call.values() {
        let newest = order.entry(value % 3).or_default();
        assert!(accepted.contains_key(&value) || *newest < value, "{value} was first seen after {newest}");
        *newest = value.max(*newest);
        *accepted.entry(value).or_default() += 1;
    }
    call.ok();
}

/// Names of mappings are unique in the store, not in one process.
#[tokio::test]
async fn two_processes_cannot_make_the_same_mapping() {
    let first = Stage::new(1).await;
    let second = Stage::open(first.store.clone(), first.time.clone()).await;
    second.time.advance(1);
    let third = Stage::open(first.store.clone(), first.time.clone()).await;
    let uuid = first.create(Parameters::default()).await.uuid();
    let refused = third.mappings.create(request("LATEST", Parameters::default())).await.unwrap_err();
    let (source_arn, function) = (StreamArn::new(ARN), "f".to_owned());
    assert_eq!(refused, MappingError::Conflict { source_arn, function, uuid: uuid.clone() });
    // Nor by a change of the function; and a name is free again when its mapping is gone.
    let mut qualified = request("LATEST", Parameters::default());
    qualified.function = Some("f:1".into());
    let other = third.mappings.create(qualified).await.unwrap().uuid();
    let defaults = Parameters::default();
    let rename = || third.mappings.update(&other, Some("f"), &defaults);
    assert!(matches!(rename().await, Err(MappingError::Conflict { .. })));
    first.mappings.delete(&uuid).await.unwrap();
    assert_eq!(rename().await.unwrap().function.arn, "arn:aws:lambda:us-east-1:000000000000:function:f");
    // The name that it had is free as well.
    let mut qualified = request("LATEST", Parameters::default());
    qualified.function = Some("f:1".into());
    first.mappings.create(qualified).await.unwrap();
}

/// A mapping is changed only from what the caller has seen.
#[tokio::test]
async fn a_change_of_a_mapping_that_another_process_changed_is_refused_once() {
    let first = Stage::new(1).await;
    let disabled =
        |batch_size| Parameters { enabled: Some(false), batch_size: Some(batch_size), ..Parameters::default() };
    let uuid = first.create(disabled(5)).await.uuid();
    let second = Stage::open(first.store.clone(), first.time.clone()).await;
    second.mappings.update(&uuid, None, &disabled(6)).await.unwrap();
    assert_eq!(first.mappings.update(&uuid, None, &disabled(7)).await, Err(MappingError::InUse));
    assert_eq!(first.mappings.get(&uuid).unwrap().rules.batch_records_max, 6);
    assert_eq!(first.mappings.update(&uuid, None, &disabled(7)).await.unwrap().rules.batch_records_max, 7);
    // What is gone is not found, and nothing of it is left.
    second.mappings.delete(&uuid).await.unwrap_err();
    second.mappings.delete(&uuid).await.unwrap();
    assert_eq!(first.mappings.delete(&uuid).await, Err(MappingError::NotFound));
}
