//! The runner over the in-memory engine, with a scripted function and a clock that the tests move.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use common::engine::troubled;
use common::{ARN, STREAM, Stage, request, seal, sequence_number, shard_of, shards};
use tailrace_core::clock::Clock;
use tailrace_mapping::{Invoked, MappingError, MappingEvent, MappingState, Parameters, ShardState};
use tailrace_store::{Decision, Key, LogPosition, ShardNo, Write, commit};

fn batch(size: i64) -> Parameters {
    Parameters { batch_size: Some(size), ..Parameters::default() }
}

#[tokio::test]
async fn every_record_is_delivered_in_order_and_drained_says_so() {
    let mut stage = Stage::new(4).await;
    for n in 0..50 {
        stage.write(&format!("k{}", n % 7), n).await;
    }
    stage.create(batch(4)).await;
    let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut count = 0;
    while count < 50 {
        let call = stage.call().await;
        assert!(call.values().len() <= 4);
        for value in call.values() {
            seen.entry(value % 7).or_default().push(value);
            count += 1;
        }
        call.ok();
    }
    stage.mappings.drained().await.unwrap();
    assert!(seen.values().all(|values| values.is_sorted()), "{seen:?}");
    let status = &stage.mappings.status()[0];
    assert_eq!((status.state, status.last_processing_result.as_str()), (MappingState::Enabled, "OK"));
    assert!(status.shards.iter().all(|shard| shard.pending_records == 0 && shard.state == ShardState::Idle));
    // Woken by publish: no time passes.
    stage.write("later", 99).await;
    assert_eq!(stage.call().await.values(), [99]);
}

/// Spec 5: however large a batch may be and however long it gathers.
#[tokio::test]
async fn a_batch_is_of_one_shard() {
    let mut stage = Stage::new(4).await;
    for n in 0..40 {
        stage.write(&format!("k{}", n % 10), n).await;
    }
    stage.create(batch(10_000)).await;
    let (mut seen, mut batches) = (0, 0);
    while seen < 40 {
        let call = stage.call().await;
        let mut of_batch = BTreeSet::new();
        for value in call.values() {
            of_batch.insert(shard_of(stage.store.as_ref(), &format!("k{}", value % 10)).await);
            seen += 1;
        }
        assert_eq!(of_batch.len(), 1, "{:?}", call.values());
        batches += 1;
        call.ok();
    }
    assert!(batches > 1, "the keys lie in several shards");
}

/// Spec 5: an empty position needs no invocation, whatever time passes.
#[tokio::test]
async fn a_stream_without_records_calls_nobody() {
    let mut stage = Stage::new(4).await;
    stage.create(batch(10)).await;
    stage.mappings.drained().await.unwrap();
    stage.time.advance(3_600_000);
    stage.mappings.drained().await.unwrap();
    assert!(stage.calls.try_recv().is_err());
    // What is called first has the first record in it.
    stage.write("a", 1).await;
    assert_eq!(stage.call().await.values(), [1]);
}

/// Spec 5: LATEST is fixed inside the create call, also when the mapping begins disabled and the server restarts.
#[tokio::test]
async fn latest_is_fixed_when_the_mapping_is_made() {
    let stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let disabled = Parameters { enabled: Some(false), ..Parameters::default() };
    let uuid = stage.mappings.create(request("LATEST", disabled)).await.unwrap().uuid();
    stage.write("a", 2).await;
    let mut stage = Stage::open(stage.store, stage.time).await;
    let enable = Parameters { enabled: Some(true), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &enable).await.unwrap();
    assert_eq!(stage.call().await.values(), [2]);
}

#[tokio::test]
async fn a_failing_batch_is_retried_and_shown_as_blocking() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    stage.create(Parameters::default()).await;
    stage.call().await.fail();
    let call = stage.call_after(1000).await;
    let shard = &stage.mappings.overview().await.unwrap()[0].shards[0];
    assert_eq!((shard.state, shard.drained, shard.blocked), (ShardState::Retrying, false, false));
    assert_eq!((shard.failed_invocations, shard.last_error.as_deref()), (1, Some("ValueError: bad")));
    call.fail();
    // A change of the function does not wait for the back-off.
    stage.until(|mappings| shards(mappings)[0].failed_invocations == 2).await;
    assert_eq!(stage.mappings.failing_functions(), ["f"]);
    stage.mappings.function_changed("f");
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    assert!(stage.mappings.failing_functions().is_empty());
}

/// What no rule ends is blocked after three failures, and a restart judges it by what happens from then on.
#[tokio::test]
async fn a_shard_is_blocked_by_failures_of_this_run_only() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    stage.create(Parameters::default()).await;
    for failed in 1..=3 {
        stage.call().await.fail();
        stage.until(|mappings| shards(mappings)[0].failed_invocations == failed).await;
        assert_eq!(stage.shards()[0].blocked, failed == 3);
        if failed < 3 {
            stage.time.advance(60_000);
        }
    }
    stage.mappings.shutdown().await;

    let mut again = Stage::open(stage.store, stage.time).await;
    let call = again.call().await;
    let shard = again.shards().remove(0);
    assert_eq!((shard.failed_invocations, shard.blocked), (3, false), "its function may have been mended");
    call.fail();
    again.until(|mappings| shards(mappings)[0].blocked).await;
}

#[tokio::test]
async fn a_crash_repeats_only_what_was_in_flight() {
    let mut stage = Stage::new(1).await;
    for n in 1..=6 {
        stage.write("a", n).await;
    }
    stage.create(batch(2)).await;
    stage.call().await.ok();
    let call = stage.call().await;
    assert_eq!(call.values(), [3, 4]);
    stage.until(|mappings| shards(mappings)[0].pending_records == 4).await;
    stage.store.crash();
    // The server of before the crash is gone without a word; a new one starts on what is durable.
    let mut again = Stage::open(stage.store.clone(), stage.time.clone()).await;
    let first = again.call().await;
    assert!([[1, 2], [3, 4]].contains(&first.values()[..].try_into().unwrap()), "{:?}", first.values());
    let mut values = first.values();
    first.ok();
    while values.last() != Some(&6) {
        let call = again.call().await;
        values.extend(call.values());
        call.ok();
    }
    assert!(values.is_sorted() && values.ends_with(&[3, 4, 5, 6]), "{values:?}");
    again.mappings.drained().await.unwrap();
}

/// Architecture 6: parked records are kept, shown, survive a restart, and can be redriven or discarded.
#[tokio::test]
async fn parked_records_are_kept_and_redriven() {
    let mut stage = Stage::new(1).await;
    for n in 1..=3 {
        stage.write("a", n).await;
    }
    let once = Parameters { retry_attempts_max: Some(0), ..batch(3) };
    let uuid = stage.create(once).await.uuid();
    stage.call().await.fail();
    stage.mappings.drained().await.unwrap();
    assert_eq!(stage.shards()[0].parked_records, 3);
    assert!(stage.events.0.lock().iter().any(|e| matches!(e, MappingEvent::Parked { records: 3, .. })));

    let mut stage = Stage::open(stage.store, stage.time).await;
    let parked = stage.mappings.parked(&uuid, None, 10).await.unwrap();
    assert_eq!(parked.iter().map(|p| p.parked.error.as_str()).collect::<Vec<_>>(), ["ValueError: bad"; 3]);
    let redrive = stage.mappings.redrive_all(&uuid);
    let answers = async {
        for n in 1..=2 {
            let call = stage.calls.recv().await.unwrap();
            assert_eq!(call.values(), [n]);
            if n == 1 { call.ok() } else { call.fail() }
        }
    };
    let (redriven, ()) = tokio::join!(redrive, answers);
    let redriven = redriven.unwrap();
    assert_eq!((redriven.accepted, redriven.failed.unwrap()), (1, (parked[1].number(), "ValueError: bad".into())));
    stage.mappings.discard(&uuid, parked[1].shard.no, parked[1].number()).await.unwrap();
    let left = stage.mappings.parked(&uuid, None, 10).await.unwrap();
    assert_eq!(left.iter().map(|p| p.number()).collect::<Vec<_>>(), [parked[2].number()]);
    stage.until(|mappings| mappings.status()[0].shards.first().is_some_and(|shard| shard.parked_records == 1)).await;
}

/// Architecture 6: a full parking lot blocks the shard; discarding one frees it.
#[tokio::test]
async fn room_to_park_frees_the_shard() {
    let mut stage = Stage::new(1).await;
    for n in 1..=3 {
        stage.write("a", n).await;
    }
    let rules = Parameters { retry_attempts_max: Some(0), parked_records_max: Some(1), ..batch(1) };
    let uuid = stage.create(rules).await.uuid();
    stage.call().await.fail();
    stage.call().await.fail();
    stage.until(|mappings| shards(mappings)[0].state == ShardState::Blocked).await;
    assert!(stage.shards()[0].blocked);
    let parked = stage.mappings.parked(&uuid, None, 10).await.unwrap();
    stage.mappings.discard(&uuid, parked[0].shard.no, parked[0].number()).await.unwrap();
    assert_eq!(stage.call().await.values(), [3]);
}

/// Spec 4: disabling waits for the call that is under way; enabling goes on behind it.
#[tokio::test]
async fn disable_waits_and_enable_resumes() {
    let mut stage = Stage::new(1).await;
    for n in 1..=4 {
        stage.write("a", n).await;
    }
    let uuid = stage.create(batch(2)).await.uuid();
    let call = stage.call().await;
    let disable = Parameters { enabled: Some(false), ..Parameters::default() };
    let disabling = stage.mappings.update(&uuid, None, &disable);
    let answer = async {
        stage.until(|mappings| mappings.status()[0].state == MappingState::Disabling).await;
        let refused = stage.mappings.update(&uuid, None, &Parameters::default()).await;
        assert_eq!(refused, Err(MappingError::InUse));
        call.ok();
    };
    let (disabled, ()) = tokio::join!(disabling, answer);
    assert!(!disabled.unwrap().enabled);
    assert_eq!(stage.mappings.status()[0].state, MappingState::Disabled);
    assert!(stage.calls.try_recv().is_err());
    let enable = Parameters { enabled: Some(true), ..batch(10) };
    stage.mappings.update(&uuid, None, &enable).await.unwrap();
    assert_eq!(stage.call().await.values(), [3, 4]);
}

/// Spec 7.2: the wait before a retry is decided with the failure, and told with table and mapping.
#[tokio::test]
async fn a_failing_batch_is_told_with_the_time_of_its_next_try() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    let from = stage.time.clock.now();
    stage.call().await.fail();
    stage.until(|mappings| mappings.status()[0].shards.iter().any(|shard| shard.state == ShardState::Retrying)).await;
    let told = stage.events.0.lock().iter().find_map(|event| match event {
        MappingEvent::Batch { mapping, table, records: 1, failed: 1, error: Some(_), retry: Some(retry), .. } => {
            Some((mapping.clone(), table.clone(), *retry))
        }
        _ => None,
    });
    let (mapping, table, retry) = told.expect("the failure is told with its next try");
    assert_eq!((mapping, table.as_str()), (uuid, "T"));
    assert_eq!(retry.at_ms, from.plus(retry.after));
    assert!((500..=1000).contains(&retry.after.as_millis()), "{retry:?}");
    let ms = retry.after.as_millis() as u64;
    stage.time.advance(ms - 1);
    assert!(stage.calls.try_recv().is_err());
    stage.time.advance(1);
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    let last = stage.events.0.lock().last().cloned();
    assert!(matches!(last, Some(MappingEvent::Batch { error: None, retry: None, .. })), "{last:?}");
}

/// Spec 4: an update and a deletion are answered when they are decided, and are in the way of others until they are over.
#[tokio::test]
async fn a_change_may_be_answered_before_what_is_under_way_has_ended() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    let call = stage.call().await;
    let disable = Parameters { enabled: Some(false), ..Parameters::default() };
    let begun = stage.mappings.begin_update(&uuid, None, &disable).await.unwrap();
    assert_eq!((begun.state, begun.mapping.enabled), (MappingState::Disabling, false));
    let shown = stage.mappings.describe(&uuid).await.unwrap();
    assert_eq!((shown.state, shown.last_processing_result.as_str()), (MappingState::Disabling, "No records processed"));
    assert_eq!(stage.mappings.begin_update(&uuid, None, &disable).await, Err(MappingError::InUse));
    assert_eq!(stage.mappings.begin_delete(&uuid).await, Err(MappingError::InUse));
    call.ok();
    stage.until(|mappings| mappings.status()[0].state == MappingState::Disabled).await;
    let shown = stage.mappings.describe(&uuid).await.unwrap();
    assert_eq!(shown.last_processing_result, "OK");
    let enable = Parameters { enabled: Some(true), ..Parameters::default() };
    let begun = stage.mappings.begin_update(&uuid, None, &enable).await.unwrap();
    assert_eq!(begun.state, MappingState::Enabling);
    stage.until(|mappings| mappings.status()[0].state == MappingState::Enabled).await;
    stage.write("a", 2).await;
    let call = stage.call().await;
    assert_eq!(stage.mappings.begin_delete(&uuid).await.unwrap().state, MappingState::Deleting);
    assert_eq!(stage.mappings.describe(&uuid).await.unwrap().state, MappingState::Deleting);
    call.ok();
    stage.until(|mappings| mappings.status().is_empty()).await;
    let wrong = Parameters { batch_size: Some(0), ..Parameters::default() };
    assert_eq!(stage.mappings.begin_update(&uuid, None, &wrong).await, Err(MappingError::NotFound));
}

/// Spec 13: delete waits for the in-flight call; nothing of the mapping is left.
#[tokio::test]
async fn what_is_changed_before_the_start_is_never_run_by_the_old_rules() {
    let stage = Stage::new(1).await;
    let uuid = stage.create(Parameters { enabled: Some(true), ..Parameters::default() }).await.uuid();
    stage.mappings.shutdown().await;
    stage.write("a", 1).await;

    let mut stage = Stage::load(stage.store, stage.time).await;
    let disabled = Parameters { enabled: Some(false), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &disabled).await.unwrap();
    stage.mappings.start().await;
    stage.mappings.drained().await.unwrap();
    assert!(stage.calls.try_recv().is_err());

    // And what is not changed runs from the start on.
    let enabled = Parameters { enabled: Some(true), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &enabled).await.unwrap();
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    stage.mappings.shutdown().await;
    stage.write("a", 2).await;
    let mut stage = Stage::load(stage.store, stage.time).await;
    assert!(stage.calls.try_recv().is_err());
    stage.mappings.start().await;
    let call = stage.call().await;
    assert_eq!(call.values(), [2]);
    call.ok();
}

#[tokio::test]
async fn delete_waits_and_leaves_nothing() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    let call = stage.call().await;
    let answer = async {
        stage.until(|mappings| mappings.status()[0].state == MappingState::Deleting).await;
        call.ok();
    };
    let (deleted, ()) = tokio::join!(stage.mappings.delete(&uuid), answer);
    deleted.unwrap();
    assert_eq!(stage.mappings.get(&uuid), Err(MappingError::NotFound));
    let again = Stage::open(stage.store, stage.time).await;
    assert!(again.mappings.list().is_empty());
}

/// Spec 2: the errors that need a look at functions, streams and other mappings.
#[tokio::test]
async fn what_create_and_update_refuse() {
    let stage = Stage::new(1).await;
    let create = |change: fn(&mut tailrace_mapping::CreateMapping)| {
        let mut wanted = request("LATEST", Parameters::default());
        change(&mut wanted);
        stage.mappings.create(wanted)
    };
    let error = create(|r| r.function = Some("other".into())).await.unwrap_err();
    assert_eq!(error.to_string(), "Function does not exist");
    let error = create(|r| r.event_source_arn = Some(format!("{ARN}0"))).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Stream not found: {ARN}0"));
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/T";
    let error = create(|r| r.event_source_arn = Some("arn:aws:dynamodb:us-east-1:000000000000:table/T".into())).await;
    let text = "Only streams of DynamoDB tables are supported for event source mappings of this server, not";
    assert_eq!(error.unwrap_err().to_string(), format!("{text} {table}"));
    let error = create(|r| r.function = Some("f:bad!qual".into())).await.unwrap_err();
    assert!(
        matches!(&error, MappingError::Validation(text) if text.contains("'f:bad!qual' at 'functionName'")),
        "{error}"
    );
    let mapping = create(|_| {}).await.unwrap();
    let error = create(|_| {}).await.unwrap_err();
    let text = format!(
        "The event source arn (\" {ARN} \") and function (\" f \") provided mapping already exists. \
         Please update or delete the existing mapping with UUID {}",
        mapping.uuid()
    );
    assert_eq!(error.to_string(), text);
    // The function of an ARN is the server's whatever region and account it names.
    let foreign = create(|r| r.function = Some("arn:aws:lambda:eu-west-1:123456789012:function:f".into())).await;
    assert_eq!(foreign.unwrap_err().to_string(), text);
    // Nor can another mapping become it.
    let other = create(|r| r.function = Some("f:$LATEST".into())).await.unwrap();
    let (defaults, other_uuid) = (Parameters::default(), other.uuid());
    let update = |function| stage.mappings.update(&other_uuid, Some(function), &defaults);
    assert_eq!(update("f").await.unwrap_err().to_string(), text);
    assert_eq!(update("f:$LATEST").await.unwrap().function.arn, other.function.arn);
}

/// Architecture invariant 7: a child is processed only when its parent is finished.
#[tokio::test]
async fn a_child_comes_after_its_parent() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let parent = stage.store.shards(STREAM).await.unwrap()[0].shard;
    seal(stage.store.as_ref(), parent, true).await;
    stage.write("a", 2).await;
    stage.create(Parameters::default()).await;
    let call = stage.call().await;
    assert_eq!(call.values(), [1]);
    assert_eq!(stage.mappings.status()[0].shards.len(), 1);
    call.ok();
    let call = stage.call().await;
    assert_eq!(call.values(), [2]);
    call.ok();
    stage.mappings.drained().await.unwrap();
    // Disabled: every shard ends, and drained holds without an open one.
    let child = stage.store.shards(STREAM).await.unwrap().last().unwrap().shard;
    assert_ne!(child, ShardNo(0));
    seal(stage.store.as_ref(), child, false).await;
    stage.mappings.drained().await.unwrap();
}

#[tokio::test]
async fn a_panic_is_told_and_the_shard_starts_again() {
    let mut stage = Stage::new(1).await;
    stage.function.panics.lock().push_back(());
    stage.write("a", 1).await;
    stage.create(Parameters::default()).await;
    stage.until(|mappings| mappings.status()[0].trouble.is_some()).await;
    let trouble = stage.mappings.status()[0].trouble.clone().unwrap();
    assert!(trouble.contains("planted panic"), "{trouble}");
    stage.time.advance(1000);
    let call = stage.call().await;
    assert_eq!(call.values(), [1]);
    call.ok();
    stage.mappings.drained().await.unwrap();
    assert_eq!(stage.mappings.status()[0].trouble, None);
}

/// Spec 7.4, over real record numbers.
#[tokio::test]
async fn a_partial_failure_goes_on_from_the_reported_record() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let second = stage.write("a", 2).await;
    let report = Parameters { response_types: Some(vec!["ReportBatchItemFailures".into()]), ..Parameters::default() };
    stage.create(report).await;
    let call = stage.call().await;
    assert_eq!(call.sequence_number(1), sequence_number(second));
    let payload = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, call.sequence_number(1));
    call.answer(Invoked::Answered(Bytes::from(payload)));
    assert_eq!(stage.call().await.values(), [2]);
}

/// A graceful stop waits for the batch under way and keeps its checkpoint; the next start repeats nothing.
#[tokio::test]
async fn a_graceful_stop_repeats_nothing() {
    let mut stage = Stage::new(1).await;
    for n in 1..=4 {
        stage.write("a", n).await;
    }
    stage.create(batch(2)).await;
    let call = stage.call().await;
    let answer = async {
        call.ok();
    };
    tokio::join!(stage.mappings.shutdown(), answer);
    let mut seen = Vec::new();
    while let Ok(call) = stage.calls.try_recv() {
        seen.extend(call.values());
    }
    assert!(seen.is_empty(), "nothing is handed out after the stop: {seen:?}");
    let mut again = Stage::open(stage.store, stage.time).await;
    assert_eq!(again.call().await.values(), [3, 4]);
}

/// docs/spec/streams.md 12: records that go when all of them are done leave no gap, whatever else was written since.
#[tokio::test]
async fn a_start_behind_trimmed_records_that_are_done_counts_no_gap() {
    let mut stage = Stage::new(1).await;
    for n in 1..=2 {
        stage.write("a", n).await;
    }
    stage.create(batch(10)).await;
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    stage.mappings.shutdown().await;
    // Numbers that no record of the shard has: here checkpoints, elsewhere other tables' writes.
    let other = [Key(Bytes::from_static(b"other"))];
    for _ in 0..5 {
        let put = Write::Put { key: other[0].clone(), value: Bytes::new() };
        commit(stage.store.as_ref(), &[], &other, |_| Decision::Apply(vec![put.clone()], ())).await.unwrap();
    }
    stage.time.advance(1_000);
    let shard = stage.store.shards(STREAM).await.unwrap()[0].shard;
    let last_expired = stage.store.position(shard, LogPosition::Time(stage.time.clock.now())).await.unwrap();
    stage.store.trim(shard, last_expired.next()).await.unwrap();
    stage.write("a", 3).await;
    let mut again = Stage::open(stage.store, stage.time).await;
    let call = again.call().await;
    assert_eq!(call.values(), [3]);
    assert_eq!(again.shards()[0].trimmed_gaps, 0);
    call.ok();
}

/// Spec 4: what was trimmed behind the point at which a mapping begins is counted and told, also when it was disabled until then; what
/// was before that point is not its loss.
#[tokio::test]
async fn records_that_were_trimmed_before_a_mapping_ever_ran_are_told() {
    let mut stage = Stage::new(1).await;
    let shard = stage.store.shards(STREAM).await.unwrap()[0].shard;
    let first = stage.write("a", 1).await;
    stage.store.trim(shard, first.next()).await.unwrap();
    let second = stage.write("a", 2).await;
    stage.write("a", 3).await;
    let disabled = Parameters { enabled: Some(false), ..Parameters::default() };
    let late = stage.create(disabled).await;
    let mut other = request("TRIM_HORIZON", Parameters::default());
    other.function = Some("g".into());
    let other = stage.mappings.create(other).await.unwrap();
    let call = stage.call().await;
    assert_eq!((call.function.as_str(), call.values()), ("g", vec![2, 3]));
    call.ok();
    stage.store.trim(shard, second.next()).await.unwrap();
    let enabled = Parameters { enabled: Some(true), ..Parameters::default() };
    stage.mappings.update(&late.uuid(), None, &enabled).await.unwrap();
    let call = stage.call().await;
    assert_eq!((call.function.as_str(), call.values()), ("f", vec![3]));
    call.ok();
    stage.mappings.drained().await.unwrap();
    let gaps = |uuid: &str| {
        let status = stage.mappings.status().into_iter().find(|status| status.uuid == uuid).unwrap();
        status.shards[0].trimmed_gaps
    };
    assert_eq!((gaps(&late.uuid()), gaps(&other.uuid())), (1, 0));
    let told = |event: &&MappingEvent| matches!(event, MappingEvent::Trimmed { .. });
    assert_eq!(stage.events.0.lock().iter().filter(told).count(), 1);
}

/// The same of a shard that waits for its parent: all that it ever had is the mapping's.
#[tokio::test]
async fn records_that_were_trimmed_while_their_shard_waited_for_its_parent_are_told() {
    let mut stage = Stage::new(1).await;
    stage.create(Parameters::default()).await;
    stage.write("a", 1).await;
    let slow = stage.call().await;
    let parent = stage.store.shards(STREAM).await.unwrap()[0].shard;
    seal(stage.store.as_ref(), parent, true).await;
    let second = stage.write("a", 2).await;
    stage.write("a", 3).await;
    let child = stage.store.shards(STREAM).await.unwrap().last().unwrap().shard;
    stage.store.trim(child, second.next()).await.unwrap();
    slow.ok();
    let call = stage.call().await;
    assert_eq!(call.values(), [3]);
    assert_eq!(stage.shards().iter().map(|shard| shard.trimmed_gaps).collect::<Vec<_>>(), [1]);
    call.ok();
}

/// A shard whose log cannot be read is tried again, but not beside a call of the function that still runs.
#[tokio::test]
async fn a_failed_shard_starts_again_only_when_its_batch_is_back() {
    let stage = Stage::new(1).await;
    let page = tailrace_core::limits::GET_RECORDS_MAX as u64;
    for n in 0..page + 1 {
        stage.write("a", n).await;
    }
    let engine = Arc::new(troubled(stage.store.clone()));
    let mut stage = Stage::load_over(engine.clone(), stage.store, stage.time).await;
    engine.reads_left.store(1, SeqCst);
    stage.create(batch(page as i64)).await;
    let call = stage.call().await;
    assert_eq!(call.values().len() as u64, page);
    // The next page cannot be read. Time enough passes for many a restart.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        stage.time.advance(100);
    }
    assert!(stage.calls.try_recv().is_err(), "the batch is handed out twice at once");
    call.ok();
    stage.until(|mappings| mappings.status()[0].trouble.is_some()).await;
    let trouble = stage.mappings.status()[0].trouble.clone().unwrap();
    assert!(trouble.contains("planted"), "{trouble}");
    engine.reads_left.store(u64::MAX, SeqCst);
    stage.time.advance(1000);
    stage.call().await.ok();
}

#[tokio::test]
async fn the_overview_shows_every_shard_whether_or_not_it_is_worked_on() {
    let mut stage = Stage::new(2).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    let last = stage.write("a", 1).await;
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    let overview = stage.mappings.overview().await.unwrap();
    assert_eq!((overview[0].table.as_str(), overview[0].last_processing_result.as_str()), ("T", "OK"));
    assert!(overview[0].shards.iter().all(|shard| shard.state == ShardState::Idle && shard.drained));

    let disable = Parameters { enabled: Some(false), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &disable).await.unwrap();
    stage.write("a", 2).await;
    stage.time.advance(500);
    let overview = stage.mappings.overview().await.unwrap();
    assert_eq!((overview[0].state, overview[0].last_processing_result.as_str()), (MappingState::Disabled, "OK"));
    assert_eq!(overview[0].shards.len(), 2);
    let behind: Vec<_> = overview[0].shards.iter().filter(|shard| shard.pending_records > 0).collect();
    assert_eq!(behind.len(), 1);
    assert_eq!(
        (behind[0].state, behind[0].pending_records, behind[0].lag),
        (ShardState::Waiting, 1, Duration::from_millis(500))
    );
    assert!(behind[0].position >= sequence_number(last));

    let enable = Parameters { enabled: Some(true), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &enable).await.unwrap();
    stage.call().await.ok();
    for info in stage.store.shards(STREAM).await.unwrap() {
        seal(stage.store.as_ref(), info.shard, false).await;
    }
    stage.mappings.drained().await.unwrap();
    // Spec 4: a stream that is disabled while mapped leaves the mapping enabled, with a problem.
    let overview = stage.mappings.overview().await.unwrap();
    assert!(overview[0].shards.iter().all(|shard| shard.state == ShardState::StreamEnded && shard.drained));
    let problem = "the stream is disabled or its table was deleted";
    assert!(overview[0].shards.iter().all(|shard| shard.last_error.as_deref() == Some(problem)));
    assert_eq!(
        (overview[0].state, overview[0].last_processing_result.as_str()),
        (MappingState::Enabled, &*format!("PROBLEM: {problem}"))
    );
}

/// Section 4: what waits is shown from the first moment on, also before the mapping has looked at it.
#[tokio::test]
async fn what_waits_is_shown_before_the_first_look_at_it() {
    let stage = Stage::new(1).await;
    for n in 0..3 {
        stage.write("a", n).await;
    }
    let engine = Arc::new(troubled(stage.store.clone()));
    let release = engine.hold_next_read();
    let mut stage = Stage::load_over(engine.clone(), stage.store, stage.time).await;
    stage.create(Parameters::default()).await;
    stage.until(|mappings| !shards(mappings).is_empty()).await;
    stage.time.advance(500);
    // Without a look at the log nobody knows.
    assert_eq!((stage.shards()[0].pending_records, stage.shards()[0].pending_is_more), (0, true));
    let shard = stage.mappings.overview().await.unwrap()[0].shards[0].clone();
    assert_eq!((shard.pending_records, shard.pending_is_more, shard.drained), (3, false, false));
    assert_eq!(shard.lag, Duration::from_millis(500));
    release.send(()).unwrap();
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    let shard = stage.mappings.overview().await.unwrap()[0].shards[0].clone();
    assert_eq!((shard.pending_records, shard.pending_is_more, shard.drained), (0, false, true));
}

/// A stream whose shard rolled over goes on: its finished shards are no problem.
#[tokio::test]
async fn a_shard_that_was_rolled_over_is_finished() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    stage.create(Parameters::default()).await;
    stage.call().await.ok();
    let parent = stage.store.shards(STREAM).await.unwrap()[0].shard;
    seal(stage.store.as_ref(), parent, true).await;
    stage.mappings.drained().await.unwrap();
    let overview = &stage.mappings.overview().await.unwrap()[0];
    assert_eq!(
        overview.shards.iter().map(|shard| shard.state).collect::<Vec<_>>(),
        [ShardState::Finished, ShardState::Idle]
    );
    assert_eq!(overview.last_processing_result, "No records processed");
}

/// Parked records, and what keeps a batch from being done, are shown whether or not the mapping runs.
#[tokio::test]
async fn what_is_parked_or_failing_is_shown_while_the_mapping_rests() {
    let mut stage = Stage::new(1).await;
    for n in 1..=2 {
        stage.write("a", n).await;
    }
    let uuid = stage.create(Parameters { retry_attempts_max: Some(0), ..batch(2) }).await.uuid();
    stage.call().await.fail();
    stage.mappings.drained().await.unwrap();
    let parked = || async {
        let shard = stage.mappings.overview().await.unwrap()[0].shards[0].clone();
        (shard.state, shard.parked_records, shard.last_error.unwrap())
    };
    let because = "parked: RetryAttemptsExhausted: ValueError: bad";
    assert_eq!(parked().await, (ShardState::Idle, 2, because.into()));
    let told = stage.events.0.lock().iter().any(|event| {
        matches!(event, MappingEvent::Parked { function, table, records: 2, .. } if function == "f" && table == "T")
    });
    assert!(told);
    let disable = Parameters { enabled: Some(false), retry_attempts_max: Some(-1), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &disable).await.unwrap();
    assert_eq!(parked().await, (ShardState::Waiting, 2, because.into()));

    let enable = Parameters { enabled: Some(true), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &enable).await.unwrap();
    stage.write("a", 3).await;
    stage.call().await.answer(Invoked::FunctionError("KeyError: now".into()));
    stage.until(|mappings| shards(mappings)[0].state == ShardState::Retrying).await;
    stage.mappings.update(&uuid, None, &disable).await.unwrap();
    let shard = stage.mappings.overview().await.unwrap()[0].shards[0].clone();
    assert_eq!((shard.parked_records, shard.last_error.as_deref()), (2, Some("KeyError: now")));
}

/// Spec 4 and 7.1: a function that cannot be invoked is told apart from one that fails, with the reason.
#[tokio::test]
async fn a_function_that_cannot_be_invoked_is_shown_with_the_reason() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    stage.create(Parameters { retry_attempts_max: Some(0), ..Parameters::default() }).await;
    let refuse = || Invoked::NotInvoked("throttled: no slot".into());
    stage.call().await.answer(refuse());
    for tries in 1..=3 {
        stage.until(|mappings| shards(mappings)[0].not_invoked == tries).await;
        let shard = stage.shards().remove(0);
        assert_eq!((shard.failed_invocations, shard.last_error.as_deref()), (0, Some("throttled: no slot")));
        assert_eq!(shard.blocked, tries == 3, "no bound on age ends it");
        stage.time.advance(60_000);
        stage.call().await.answer(refuse());
    }
    let overview = &stage.mappings.overview().await.unwrap()[0];
    assert_eq!(overview.last_processing_result, "PROBLEM: throttled: no slot");
    stage.mappings.shutdown().await;
    let again = Stage::open(stage.store, stage.time).await;
    let overview = &again.mappings.overview().await.unwrap()[0];
    assert_eq!(overview.last_processing_result, "PROBLEM: throttled: no slot", "also behind a restart");
}

/// A change of ParallelizationFactor waits for the failing batch, and the shard says so.
#[tokio::test]
async fn a_change_of_lanes_that_waits_is_shown() {
    let mut stage = Stage::new(1).await;
    stage.write("a", 1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    stage.call().await.fail();
    stage.until(|mappings| shards(mappings)[0].state == ShardState::Retrying).await;
    let lanes = Parameters { parallelization_factor: Some(4), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &lanes).await.unwrap();
    let waits = "ValueError: bad (ParallelizationFactor becomes 4, and more is read, when this is done)";
    stage.until(|mappings| shards(mappings)[0].last_error.as_deref() == Some(waits)).await;
    // The change itself retries.
    stage.call().await.ok();
    stage.mappings.drained().await.unwrap();
    assert_eq!(stage.shards()[0].last_error, None);
}

/// Spec 5.2: several batches of a shard are with the function at once, and each partition key stays in order.
#[tokio::test]
async fn lanes_invoke_side_by_side_and_keep_each_key_in_order() {
    let mut stage = Stage::new(1).await;
    for n in 0..60 {
        stage.write(&format!("k{}", n % 10), n).await;
    }
    stage.create(Parameters { parallelization_factor: Some(4), ..batch(3) }).await;
    let (mut seen, mut held, mut most): (Vec<u64>, Vec<_>, _) = (Vec::new(), Vec::new(), 0);
    while seen.len() < 60 {
        // Every lane that can have a batch under way has one before the newest is answered.
        held.push(stage.call().await);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        while let Ok(call) = stage.calls.try_recv() {
            held.push(call);
        }
        most = most.max(held.len());
        let call = held.pop().unwrap();
        seen.extend(call.values());
        call.ok();
        while let Some(call) = held.pop() {
            seen.extend(call.values());
            call.ok();
        }
    }
    stage.mappings.drained().await.unwrap();
    assert!((2..=4).contains(&most), "{most} batches at once");
    for key in 0..10 {
        let values: Vec<u64> = seen.iter().copied().filter(|value| value % 10 == key).collect();
        assert!(values.len() == 6 && values.is_sorted(), "key {key}: {values:?}");
    }
}
