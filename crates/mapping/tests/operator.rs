//! What an operator sees and says: damaged records, what is written and what is not, and the names of shards.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use common::engine::troubled;
use common::{STREAM, Stage, append, request, sequence_number, shards, write_damaged};
use tailrace_core::RecordNo;
use tailrace_mapping::{GiveUp, Invoked, MappingError, MappingEvent, Parameters, ShardState};
use tailrace_store::Write;

fn batch(size: i64) -> Parameters {
    Parameters { batch_size: Some(size), ..Parameters::default() }
}

/// Issue "one damaged old stream record": it is named with shard and number, stops no other shard, and goes on the
/// operator's word, kept as it is.
#[tokio::test]
async fn a_damaged_record_stops_its_shard_only_and_can_be_set_aside() {
    let mut stage = Stage::new(2).await;
    stage.write("a", 1).await;
    let damaged = write_damaged(stage.store.as_ref(), "a").await;
    stage.write("a", 2).await;
    let infos = stage.store.shards(STREAM).await.unwrap();
    let uuid = stage.create(batch(10)).await.uuid();
    let call = stage.call().await;
    assert_eq!(call.values(), [1]);
    call.ok();
    let stands = |shard: &&tailrace_mapping::ShardStatus| shard.state == ShardState::Damaged;
    stage.until(|mappings| shards(mappings).iter().find(stands).is_some_and(|shard| shard.blocked)).await;
    let shown = stage.mappings.overview().await.unwrap().remove(0).shards;
    let shown = shown.iter().find(stands).unwrap();
    assert_eq!(shown.damaged.as_deref(), Some(&*sequence_number(damaged)));
    let error = shown.last_error.clone().unwrap();
    assert!(error.contains(&sequence_number(damaged)) && error.contains("meta"), "{error}");
    assert!(!shown.drained);
    let info = infos.iter().find(|info| info.shard == shown.shard).unwrap();
    assert_eq!(shown.shard_id, tailrace_engine::streams::descriptor::shard_id(info));
    let told = stage.events.0.lock().iter().any(|event| {
        matches!(event, MappingEvent::Damaged { shard, number, .. } if *number == damaged && *shard.id == *shown.shard_id)
    });
    assert!(told);

    // The other shard goes on.
    let bucket = |key: &str| match append(key) {
        Write::Append { bucket, .. } => bucket,
        _ => unreachable!(),
    };
    let key = (0..).map(|n| format!("k{n}")).find(|key| !info.range.contains(bucket(key))).unwrap();
    stage.write(&key, 9).await;
    let call = stage.call().await;
    assert_eq!(call.values(), [9]);
    call.ok();

    let (shard, another) = (shown.shard, RecordNo(damaged.0 + 1));
    assert_eq!(stage.mappings.skip_damaged(&uuid, shard, another), Err(MappingError::NotFound));
    stage.mappings.skip_damaged(&uuid, shard, damaged).unwrap();
    let call = stage.call().await;
    assert_eq!(call.values()[0], 2);
    call.ok();
    let parked = stage.mappings.parked(&uuid, None, 10).await.unwrap();
    assert_eq!((parked[0].number(), parked[0].parked.reason), (damaged, GiveUp::Damaged));
    assert_eq!(parked[0].parked.logged.meta, Bytes::from_static(b"damaged"));
    let refused = stage.mappings.redrive(&uuid, shard, damaged).await.unwrap().unwrap();
    assert!(refused.contains("meta"), "{refused}");

    // A restart does not meet it again.
    stage.mappings.shutdown().await;
    let mut again = Stage::open(stage.store, stage.time).await;
    again.write("a", 3).await;
    while again.call().await.values() != [3] {}
}

/// A row that says what it said is not written: every start gives a mapping the rules of its template.
#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let stage = Stage::new(1).await;
    let engine = Arc::new(troubled(stage.store.clone()));
    let stage = Stage::load_over(engine.clone(), stage.store, stage.time).await;
    let off = Parameters { enabled: Some(false), ..batch(7) };
    let made = stage.create(off.clone()).await;
    let commits = engine.commits.load(SeqCst);
    stage.time.advance(1);
    let uuid = made.uuid();
    assert_eq!(stage.mappings.update(&uuid, Some("f"), &off).await.unwrap(), made);
    assert_eq!(engine.commits.load(SeqCst), commits, "nothing differs");
    let changed = stage.mappings.update(&uuid, None, &batch(8)).await.unwrap();
    assert_eq!((engine.commits.load(SeqCst), changed.modified_ms), (commits + 1, made.modified_ms.next()));
}

/// A redrive of a record that is with its function already is refused as a conflict.
#[tokio::test]
async fn a_record_is_redriven_once_at_a_time() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let once = Parameters { retry_attempts_max: Some(0), ..batch(1) };
    let uuid = stage.mappings.create(request("TRIM_HORIZON", once)).await.unwrap().uuid();
    stage.call().await.fail();
    stage.mappings.drained().await.unwrap();
    let parked = stage.mappings.parked(&uuid, None, 1).await.unwrap().remove(0);
    let (shard, number) = (parked.shard.no, parked.number());
    let mappings = &stage.mappings;
    let during = async {
        let call = stage.calls.recv().await.unwrap();
        assert_eq!(call.values(), [1], "the record is what the function saw before");
        assert_eq!(mappings.redrive(&uuid, shard, number).await, Err(MappingError::Redriving));
        call.answer(Invoked::Answered(Bytes::new()));
    };
    let (redriven, ()) = tokio::join!(mappings.redrive(&uuid, shard, number), during);
    assert_eq!(redriven, Ok(None));
    assert_eq!(mappings.redrive(&uuid, shard, number).await, Err(MappingError::NotFound));
    assert_eq!(mappings.discard(&uuid, shard, number).await, Err(MappingError::NotFound));
}

/// A piece of the log that was set aside is passed over, and whoever has a mapping on the stream is told which numbers are lost.
#[tokio::test]
async fn what_was_set_aside_in_the_log_is_told() {
    let stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let engine = Arc::new(troubled(stage.store.clone()));
    let mut stage = Stage::load_over(engine.clone(), stage.store, stage.time).await;
    let numbers = RecordNo(7)..=RecordNo(9);
    *engine.lost.lock() = Some(numbers.clone());
    stage.create(batch(10)).await;
    let call = stage.call().await;
    assert_eq!(call.values(), [1]);
    call.ok();
    let is_it = |event: &MappingEvent| matches!(event, MappingEvent::Lost { numbers: told, .. } if *told == numbers);
    assert!(stage.events.0.lock().iter().any(is_it));
}

/// The word that a damaged record is to be set aside outlives a stop of its shard, and so it is not lost when it was given
/// while something before the record still failed.
#[tokio::test]
async fn the_word_to_set_a_damaged_record_aside_outlives_a_stop() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let damaged = write_damaged(stage.store.as_ref(), "a").await;
    stage.write("a", 2).await;
    let uuid = stage.create(batch(10)).await.uuid();
    let call = stage.call().await;
    let stands = |shard: &&tailrace_mapping::ShardStatus| shard.damaged.is_some();
    stage.until(|mappings| shards(mappings).iter().any(|shard| stands(&shard))).await;
    let shard = stage.shards().remove(0).shard;
    stage.mappings.skip_damaged(&uuid, shard, damaged).unwrap();
    // The batch before it fails, and the mapping is disabled before the retry.
    let off = Parameters { enabled: Some(false), ..Parameters::default() };
    let fail = async {
        tokio::task::yield_now().await;
        call.fail();
    };
    let (disabled, ()) = tokio::join!(stage.mappings.update(&uuid, None, &off), fail);
    disabled.unwrap();
    let on = Parameters { enabled: Some(true), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &on).await.unwrap();
    let call = stage.call().await;
    assert_eq!(call.values(), [1]);
    call.ok();
    assert_eq!(stage.call().await.values(), [2], "nobody has to say it twice");
}

/// Two who redrive one record at the same moment hand it over once.
#[tokio::test]
async fn a_record_that_was_just_redriven_is_not_handed_over_again() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let engine = Arc::new(troubled(stage.store.clone()));
    let once = Parameters { retry_attempts_max: Some(0), ..batch(1) };
    let uuid = stage.mappings.create(request("TRIM_HORIZON", once)).await.unwrap().uuid();
    stage.call().await.fail();
    stage.mappings.drained().await.unwrap();
    stage.mappings.shutdown().await;
    let mut stage = Stage::load_over(engine.clone(), stage.store, stage.time).await;
    let parked = stage.mappings.parked(&uuid, None, 1).await.unwrap().remove(0);
    let (shard, number) = (parked.shard.no, parked.number());
    let mappings = &stage.mappings;
    // The second one's look at the record is answered late.
    let late = engine.hold_next_get();
    let mut second = Box::pin(mappings.redrive(&uuid, shard, number));
    tokio::select! {
        biased;
        _ = &mut second => unreachable!("it waits"),
        () = std::future::ready(()) => {}
    }
    let first = async {
        let first = mappings.redrive(&uuid, shard, number).await;
        late.send(()).unwrap();
        first
    };
    let mut calls = 0;
    let accept = async {
        while let Some(call) = stage.calls.recv().await {
            calls += 1;
            call.ok();
        }
    };
    let (first, second) = tokio::select! {
        both = async { tokio::join!(first, second) } => both,
        () = accept => unreachable!("the function stays"),
    };
    assert_eq!(calls, 1, "{first:?} {second:?}");
    assert!([&first, &second].contains(&&Ok(None)));
}

/// Who disables a mapping, or deletes it, may go away before what is under way has ended.
#[tokio::test]
async fn a_disable_that_nobody_waited_for_does_not_keep_a_mapping_from_being_enabled() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let uuid = stage.create(batch(1)).await.uuid();
    let call = stage.call().await;
    let [off, on] = [false, true].map(|enabled| Parameters { enabled: Some(enabled), ..Parameters::default() });
    let go_away = || async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = stage.mappings.update(&uuid, None, &off) => unreachable!("a call is under way"),
        () = go_away() => {}
    }
    call.ok();
    assert!(stage.mappings.update(&uuid, None, &on).await.unwrap().enabled);
    stage.write("a", 2).await;
    let call = stage.call().await;
    assert_eq!(call.values(), [2]);

    tokio::select! {
        biased;
        _ = stage.mappings.delete(&uuid) => unreachable!("a call is under way"),
        () = go_away() => {}
    }
    assert_eq!(stage.mappings.update(&uuid, None, &on).await, Err(MappingError::InUse), "it goes");
    call.ok();
    stage.mappings.delete(&uuid).await.unwrap();
}
