//! Windows as a function sees them: tumbling ones, and those of batches. Source: docs/spec/event-source-mapping.md 5, 9.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{ARN, Stage, shards};
use serde_json::json;
use tailrace_mapping::{
    AnswerFault, GiveUp, Invoked, MappingError, MappingEvent, MappingState, Parameters, ShardState, Tags,
};
use tailrace_store::Engine;

fn window(seconds: i64) -> Parameters {
    Parameters { tumbling_window_s: Some(seconds), ..Parameters::default() }
}

fn answer(value: serde_json::Value) -> Invoked {
    Invoked::Answered(Bytes::from(value.to_string()))
}

/// The members of the event, in the names and forms of AWS; and the state on its way.
#[tokio::test]
async fn a_function_gets_window_and_state_and_a_last_call() {
    let mut stage = Stage::new(1).await;
    stage.create(window(60)).await;
    stage.write("k", 1).await;
    let call = stage.call().await;
    let shard_id = shards(&stage.mappings)[0].shard_id.clone();
    let mut event = call.event.clone();
    event["Records"] = json!([]);
    // The stage's clock stands at 1,000 s.
    let expected = |state: serde_json::Value, is_final: bool| {
        json!({
            "Records": [], "window": {"start": "1970-01-01T00:16:00Z", "end": "1970-01-01T00:17:00Z"}, "state": state,
            "shardId": shard_id, "eventSourceARN": ARN, "isFinalInvokeForWindow": is_final, "isWindowTerminatedEarly": false
        })
    };
    assert_eq!(event, expected(json!({}), false));
    assert_eq!(call.values(), [1]);
    call.answer(answer(json!({"state": {"sum": 1}})));
    stage.write("k", 2).await;
    let call = stage.call().await;
    assert_eq!((call.event["state"].clone(), call.values()), (json!({"sum": 1}), vec![2]));
    call.answer(answer(json!({"state": {"sum": 3}})));
    stage.mappings.drained().await.unwrap();
    stage.time.advance(30_000);
    let call = stage.call().await;
    assert_eq!(call.event, expected(json!({"sum": 3}), true));
    call.ok();
    stage.mappings.drained().await.unwrap();
}

#[tokio::test]
async fn an_answer_without_a_state_fails_its_batch() {
    let mut stage = Stage::new(1).await;
    stage.create(window(60)).await;
    stage.write("k", 1).await;
    for (n, wrong) in [json!(null), json!({}), json!({"state": null}), json!("x")].into_iter().enumerate() {
        let call = stage.call().await;
        assert_eq!(call.event["state"], json!({}));
        call.answer(answer(wrong));
        stage.until(|mappings| shards(mappings)[0].failed_invocations == n as u32 + 1).await;
        let error = shards(&stage.mappings)[0].last_error.clone().unwrap();
        assert!(error.starts_with("the answer has no state"), "{error}");
        stage.mappings.function_changed("f");
    }
    let call = stage.call().await;
    call.answer(answer(json!({"state": []})));
    stage.mappings.drained().await.unwrap();
}

/// With ReportBatchItemFailures the state is that of the records before the reported one.
#[tokio::test]
async fn a_partial_answer_carries_its_state_on() {
    let mut stage = Stage::new(1).await;
    let report = Some(vec!["ReportBatchItemFailures".to_owned()]);
    for n in 1..=3 {
        stage.write("k", n).await;
    }
    stage.create(Parameters { response_types: report, ..window(60) }).await;
    let call = stage.call().await;
    let failed = json!({"batchItemFailures": [{"itemIdentifier": call.sequence_number(1)}], "state": {"n": 1}});
    call.answer(answer(failed));
    let call = stage.call().await;
    assert_eq!((call.values(), call.event["state"].clone()), (vec![2, 3], json!({"n": 1})));
    call.answer(answer(json!({"state": {"n": 3}})));
    stage.mappings.drained().await.unwrap();
}

/// The state is in the store with the checkpoint.
#[tokio::test]
async fn a_state_outlives_a_restart() {
    let mut stage = Stage::new(1).await;
    stage.create(window(60)).await;
    stage.write("k", 1).await;
    stage.call().await.answer(answer(json!({"state": {"sum": 1}})));
    stage.mappings.drained().await.unwrap();
    stage.mappings.shutdown().await;
    let mut stage = Stage::open(stage.store, stage.time).await;
    stage.write("k", 2).await;
    let call = stage.call().await;
    assert_eq!(call.event["state"], json!({"sum": 1}));
}

/// A redriven record is a window of its own, begun and ended with it.
#[tokio::test]
async fn a_redriven_record_is_a_window_of_its_own() {
    let mut stage = Stage::new(1).await;
    let uuid = stage.create(Parameters { retry_attempts_max: Some(0), ..window(60) }).await.uuid();
    stage.write("k", 1).await;
    stage.call().await.fail();
    stage.until(|mappings| shards(mappings)[0].parked_records == 1).await;
    let (redriven, ()) = tokio::join!(stage.mappings.redrive_all(&uuid), async {
        let call = stage.calls.recv().await.unwrap();
        assert_eq!((call.values(), call.event["state"].clone()), (vec![1], json!({})));
        assert_eq!(call.event["isFinalInvokeForWindow"], json!(true));
        call.ok();
    });
    assert_eq!(redriven.unwrap().accepted, 1);
}

#[tokio::test]
async fn a_last_call_that_is_given_up_is_told() {
    let mut stage = Stage::new(1).await;
    stage.create(Parameters { retry_attempts_max: Some(0), ..window(60) }).await;
    stage.write("k", 1).await;
    stage.call().await.answer(answer(json!({"state": 1})));
    stage.mappings.drained().await.unwrap();
    stage.time.advance(60_000);
    stage.call().await.fail();
    stage.mappings.drained().await.unwrap();
    let lost =
        |event: &MappingEvent| matches!(event, MappingEvent::WindowLost { error, .. } if error == "ValueError: bad");
    stage.until(|_| stage.events.0.lock().iter().any(lost)).await;
}

/// Section 9: a function that is gone holds its shard up as long as the stream keeps the records of the window, and no longer.
#[tokio::test]
async fn a_last_call_that_nobody_takes_is_given_up_when_the_stream_has_dropped_its_window() {
    let mut stage = Stage::new(1).await;
    stage.create(window(60)).await;
    let last = stage.write("k", 1).await;
    stage.call().await.answer(answer(json!({"state": 1})));
    stage.mappings.drained().await.unwrap();
    stage.time.advance(60_000);
    let gone = || Invoked::NotInvoked("no function is named f".into());
    stage.call().await.answer(gone());
    stage.call_after(60_000).await.answer(gone());
    stage.until(|mappings| shards(mappings)[0].not_invoked == 2).await;
    let shard = stage.store.shards(common::STREAM).await.unwrap()[0].shard;
    stage.store.trim(shard, last.next()).await.unwrap();
    stage.time.advance(60_000);
    let lost = |event: &MappingEvent| matches!(event, MappingEvent::WindowLost { error, .. } if error == "no function is named f");
    stage.until(|_| stage.events.0.lock().iter().any(lost)).await;
    stage.write("k", 2).await;
    let call = stage.call().await;
    assert_eq!((call.values(), call.event["state"].clone()), (vec![2], json!({})));
}

/// Section 9: a state may have more than a megabyte, but its window has to be ended with it.
#[tokio::test]
async fn a_state_that_no_event_has_room_for_fails_its_batch() {
    // What the event has beside it: the envelope, and a kilobyte for the window.
    let most = tailrace_core::limits::INVOKE_PAYLOAD_BYTES_MAX - 14 - 1024;
    let of = |bytes: usize| json!({"state": "x".repeat(bytes - 2)});
    let mut stage = Stage::new(1).await;
    stage.create(window(60)).await;
    stage.write("k", 1).await;
    stage.call().await.answer(answer(of(most + 1)));
    stage.until(|mappings| shards(mappings)[0].failed_invocations == 1).await;
    let error = shards(&stage.mappings)[0].last_error.clone().unwrap();
    assert_eq!(error, format!("the state has {} bytes, and no event has room for more than {most}", most + 1));
    stage.call_after(1_000).await.answer(answer(of(most)));
    let call = stage.call().await;
    assert_eq!(call.event["state"].as_str().map(str::len), Some(most - 2));
    assert_eq!(
        (&call.event["isFinalInvokeForWindow"], &call.event["isWindowTerminatedEarly"]),
        (&json!(true), &json!(true))
    );
    call.ok();
    stage.mappings.drained().await.unwrap();
}

/// What goes together, what does not, and what is kept: section 2.
#[tokio::test]
async fn windows_metrics_key_and_tags_are_kept_and_checked() {
    let stage = Stage::new(1).await;
    let tags =
        |pairs: &[(&str, &str)]| -> Tags { pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() };
    let parameters = Parameters {
        metrics: Some(vec!["EventCount".into()]),
        kms_key_arn: Some("arn:aws:kms:us-east-1:000000000000:key/k".into()),
        tags: Some(tags(&[("team", "a")])),
        ..window(60)
    };
    let mapping = stage.create(parameters).await;
    let (uuid, arn) = (mapping.uuid(), mapping.arn("us-east-1", "000000000000"));
    let update = async |parameters: Parameters| stage.mappings.update(&uuid, None, &parameters).await;
    let error = update(Parameters { parallelization_factor: Some(2), ..Parameters::default() }).await.unwrap_err();
    assert!(matches!(error, MappingError::InvalidParameterValue(_)), "{error}");
    for (parameters, part) in [
        (window(901), "'tumblingWindowInSeconds'"),
        (window(-1), "'tumblingWindowInSeconds'"),
        (Parameters { metrics: Some(vec!["Other".into()]), ..Parameters::default() }, "'metricsConfig.metrics'"),
        (Parameters { kms_key_arn: Some("no-arn".into()), ..Parameters::default() }, "'kMSKeyArn'"),
        (
            Parameters { unsupported: vec!["ProvisionedPollerConfig".into()], ..Parameters::default() },
            "ProvisionedPollerConfig",
        ),
    ] {
        let error = update(parameters).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    stage.mappings.tag(&arn, tags(&[("team", "b"), ("stage", "x")])).await.unwrap();
    stage.mappings.untag(&arn, vec!["stage".into(), "none".into()]).await.unwrap();
    assert_eq!(stage.mappings.tags(&arn).unwrap(), tags(&[("team", "b")]));
    assert_eq!(stage.mappings.tags(&arn.replace("us-east-1", "eu-west-1")), Err(MappingError::NotFound));
    assert!(stage.mappings.tag(&arn, tags(&[("aws:x", "y")])).await.is_err());
    assert!(stage.mappings.tag(&arn, (0..50).map(|n| (n.to_string(), String::new())).collect()).await.is_err());
    let stage = Stage::open(stage.store, stage.time).await;
    let mapping = stage.mappings.get(&uuid).unwrap();
    assert_eq!(mapping.metrics, ["EventCount"]);
    assert_eq!(mapping.kms_key_arn.as_deref(), Some("arn:aws:kms:us-east-1:000000000000:key/k"));
    assert_eq!(mapping.tags, tags(&[("team", "b")]));
    let nothing = Parameters { kms_key_arn: Some(String::new()), metrics: Some(Vec::new()), ..window(0) };
    let mapping = stage.mappings.update(&uuid, None, &nothing).await.unwrap();
    assert_eq!((mapping.kms_key_arn, mapping.metrics.len(), mapping.rules.tumbling_window), (None, 0, None));
}

/// Spec 4: nothing that runs knows tags, so their calls wait for no change and are in the way of none.
#[tokio::test]
async fn tags_wait_for_no_change() {
    let mut stage = Stage::new(1).await;
    let tags = |value: &str| Tags::from([("team".to_owned(), value.to_owned())]);
    let mapping = stage.create(Parameters::default()).await;
    let (uuid, arn) = (mapping.uuid(), mapping.arn("us-east-1", "000000000000"));
    stage.write("k", 1).await;
    let held = stage.call().await;
    let off = Parameters { enabled: Some(false), ..Parameters::default() };
    let begun = stage.mappings.begin_update(&uuid, None, &off).await.unwrap();
    assert_eq!(begun.state, MappingState::Disabling);
    stage.mappings.tag(&arn, tags("a")).await.unwrap();
    stage.mappings.tag(&arn, Tags::from([("stage".to_owned(), "x".to_owned())])).await.unwrap();
    stage.mappings.untag(&arn, vec!["stage".into()]).await.unwrap();
    held.ok();
    stage.until(|mappings| mappings.status()[0].state == MappingState::Disabled).await;
    // Neither took the other one back, in memory or on disk.
    let stage = Stage::open(stage.store, stage.time).await;
    let mapping = stage.mappings.get(&uuid).unwrap();
    assert_eq!((mapping.enabled, mapping.tags), (false, tags("a")));
    // Another process has changed the mapping meanwhile.
    let other = Stage::open(stage.store.clone(), stage.time.clone()).await;
    other.mappings.update(&uuid, None, &Parameters { batch_size: Some(7), ..off }).await.unwrap();
    stage.mappings.tag(&arn, tags("b")).await.unwrap();
    let mapping = stage.mappings.get(&uuid).unwrap();
    assert_eq!((mapping.rules.batch_records_max, mapping.tags), (7, tags("b")));
}

/// A disable whose caller goes away half-way is done to its end, and the mapping can be enabled again.
#[tokio::test]
async fn a_change_whose_caller_goes_away_is_made_whole() {
    let mut stage = Stage::new(1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    stage.write("k", 1).await;
    let held = stage.call().await;
    let enabled = |enabled| Parameters { enabled: Some(enabled), ..Parameters::default() };
    {
        let disabled = enabled(false);
        let mut disable = Box::pin(stage.mappings.update(&uuid, None, &disabled));
        tokio::select! {
            biased;
            _ = &mut disable => unreachable!("a batch is under way"),
            () = stage.until(|mappings| !mappings.get(&uuid).unwrap().enabled) => {}
        }
    }
    let on = enabled(true);
    let (enabled, ()) = tokio::join!(stage.mappings.update(&uuid, None, &on), async { held.ok() });
    assert!(enabled.unwrap().enabled);
    stage.write("k", 2).await;
    assert_eq!(stage.call().await.values(), [2]);
}

/// So is an update that stops the tasks for a moment: nobody is left with a mapping that is enabled and does not run.
#[tokio::test]
async fn a_filter_whose_caller_goes_away_does_not_leave_its_mapping_dead() {
    let mut stage = Stage::new(1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    stage.write("k", 1).await;
    let held = stage.call().await;
    let pattern = r#"{"dynamodb":{"NewImage":{"v":{"N":["3"]}}}}"#;
    {
        let filtered = Parameters { filters: Some(vec![Some(pattern.into())]), ..Parameters::default() };
        let mut update = Box::pin(stage.mappings.update(&uuid, None, &filtered));
        tokio::select! {
            biased;
            _ = &mut update => unreachable!("a batch is under way"),
            () = stage.until(|mappings| !mappings.get(&uuid).unwrap().filters.is_empty()) => {}
        }
    }
    held.ok();
    stage.write("k", 2).await;
    stage.write("k", 3).await;
    assert_eq!(stage.call().await.values(), [3]);
}

/// A lane that waits for its turn says so, and says when it waits no longer.
#[tokio::test]
async fn a_batch_that_waits_for_a_slot_is_shown() {
    let mut stage = Stage::new(1).await;
    stage.create(Parameters::default()).await;
    stage.write("k", 1).await;
    let call = stage.call().await;
    stage.until(|mappings| shards(mappings)[0].state == ShardState::Invoking).await;
    call.waits.set(true);
    stage.until(|mappings| shards(mappings)[0].state == ShardState::Queued).await;
    assert_eq!(shards(&stage.mappings)[0].queued_batches, 1);
    call.waits.set(false);
    stage.until(|mappings| shards(mappings)[0].state == ShardState::Invoking).await;
    call.ok();
    stage.mappings.drained().await.unwrap();
}

/// Section 4: each change reaches a batch that waits for its turn, and waits for nobody else's.
#[tokio::test]
async fn a_change_reaches_a_batch_that_waits_for_its_turn() {
    let mut stage = Stage::new(1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    let parameters = Parameters::default;
    stage.write("k", 1).await;
    let call = stage.call().await;
    assert_eq!(call.function, "f");
    let (to_g, same) = (Some("g"), parameters());
    let (updated, ()) = tokio::join!(stage.mappings.update(&uuid, to_g, &same), call.wait_until_recalled());
    updated.unwrap();
    let call = stage.call().await;
    assert_eq!((call.function.as_str(), call.values()), ("g", vec![1]));

    let pattern = r#"{"dynamodb":{"NewImage":{"v":{"N":["3"]}}}}"#;
    let filtered = Parameters { filters: Some(vec![Some(pattern.into())]), ..parameters() };
    let (updated, ()) = tokio::join!(stage.mappings.update(&uuid, None, &filtered), call.wait_until_recalled());
    updated.unwrap();
    for n in 2..=3 {
        stage.write("k", n).await;
    }
    let call = stage.call().await;
    assert_eq!(call.values(), [3]);

    let disabled = Parameters { enabled: Some(false), ..parameters() };
    let (updated, ()) = tokio::join!(stage.mappings.update(&uuid, None, &disabled), call.wait_until_recalled());
    updated.unwrap();
    assert_eq!(stage.mappings.describe(&uuid).await.unwrap().last_processing_result, "No records processed");
    assert!(stage.calls.try_recv().is_err());

    let enabled = Parameters { enabled: Some(true), ..parameters() };
    stage.mappings.update(&uuid, None, &enabled).await.unwrap();
    let call = stage.call().await;
    stage.time.advance(100_000);
    let aged = Parameters { record_age_max_s: Some(60), ..parameters() };
    let (updated, ()) = tokio::join!(stage.mappings.update(&uuid, None, &aged), call.wait_until_recalled());
    updated.unwrap();
    stage.mappings.drained().await.unwrap();
    assert_eq!(stage.shards()[0].parked_records, 1);

    stage.write("k", 3).await;
    let call = stage.call().await;
    let (deleted, ()) = tokio::join!(stage.mappings.delete(&uuid), call.wait_until_recalled());
    deleted.unwrap();
    let told = stage.events.0.lock().iter().any(|event| matches!(event, MappingEvent::Batch { .. }));
    assert!(!told, "that a batch came back is no news of its function");
}

/// Section 7.2: it waits no longer than its records may be old.
#[tokio::test]
async fn a_batch_that_waits_for_its_turn_is_given_up_at_its_age() {
    let mut stage = Stage::new(1).await;
    stage.create(Parameters { record_age_max_s: Some(60), ..Parameters::default() }).await;
    stage.write("k", 1).await;
    let call = stage.call().await;
    stage.time.advance(60_001);
    call.wait_until_recalled().await;
    stage.mappings.drained().await.unwrap();
    let parked = |event: &MappingEvent| {
        matches!(event, MappingEvent::Parked { records: 1, reason: GiveUp::RecordAgeExceeded, .. })
    };
    assert!(stage.events.0.lock().iter().any(parked));
}

/// Near misses are told once, until something changes.
#[tokio::test]
async fn an_answer_that_nearly_names_failures_is_told_once() {
    let mut stage = Stage::new(1).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    let told = |stage: &Stage| -> Vec<AnswerFault> {
        let events = stage.events.0.lock();
        let fault = |event: &MappingEvent| match event {
            MappingEvent::AnswerIgnored { fault, .. } => Some(fault.clone()),
            _ => None,
        };
        events.iter().filter_map(fault).collect()
    };
    let answered = async |stage: &mut Stage, value: serde_json::Value| {
        stage.write("k", 1).await;
        stage.call().await.answer(answer(value));
        stage.mappings.drained().await.unwrap();
    };
    let failed = json!({"batchItemFailures": [{"itemIdentifier": "1"}]});
    for _ in 0..3 {
        answered(&mut stage, failed.clone()).await;
    }
    assert_eq!(told(&stage), [AnswerFault::NotAskedFor]);
    let report = Parameters { response_types: Some(vec!["ReportBatchItemFailures".into()]), ..Parameters::default() };
    stage.mappings.update(&uuid, None, &report).await.unwrap();
    for _ in 0..2 {
        answered(&mut stage, json!(failed.to_string())).await;
        answered(&mut stage, json!({"statusCode": 200})).await;
        answered(&mut stage, json!({"statusCode": 200})).await;
    }
    use AnswerFault::{JsonInText, StatusCode};
    assert_eq!(told(&stage)[1..], [JsonInText, StatusCode, JsonInText, StatusCode]);
}

/// Section 5.1: an item can have more than 6 MB as an event. It is no try of its function, and holds up nobody for ever.
#[tokio::test]
async fn a_record_that_is_too_large_as_an_event_is_parked() {
    use tailrace_core::codec::encode_stored;
    use tailrace_core::{AttributeValue, Item};
    use tailrace_store::{Decision, NewImage, Write, commit};

    let mut stage = Stage::new(1).await;
    stage.write("k", 1).await;
    let nulls = AttributeValue::L(vec![AttributeValue::Null; 500_000]);
    let item = Item::from([("id".to_owned(), AttributeValue::S("k".into())), ("nulls".to_owned(), nulls)]);
    let Write::Append { stream, bucket, meta, .. } = common::append("k") else { unreachable!() };
    let old = Some(Bytes::from(encode_stored(&item)));
    let large = Write::Append { stream, bucket, meta, old, new: NewImage::None };
    let engine: Arc<dyn Engine> = stage.store.clone();
    commit(engine.as_ref(), &[], &[], |_| Decision::Apply(vec![large.clone()], ())).await.unwrap();
    stage.write("k", 2).await;
    let uuid = stage.create(Parameters::default()).await.uuid();
    for expected in [1, 2] {
        let call = stage.call().await;
        assert_eq!(call.values(), [expected]);
        call.ok();
    }
    stage.mappings.drained().await.unwrap();
    let parked = stage.mappings.parked(&uuid, None, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].why().contains("more than 6291456"), "{}", parked[0].why());
}

/// docs/spec/event-source-mapping.md 5: a batch is gathered for its window, and has what is there when that ends, though the log is looked at only now and then.
#[tokio::test]
async fn a_batch_has_what_is_there_when_its_window_ends() {
    let mut stage = Stage::new(1).await;
    stage.create(Parameters { batching_window_s: Some(10), ..Parameters::default() }).await;
    stage.write("k", 1).await;
    stage.until(|mappings| shards(mappings)[0].pending_records == 1).await;
    stage.write("k", 2).await;
    stage.time.advance(50);
    stage.until(|mappings| shards(mappings)[0].pending_records == 2).await;
    stage.write("k", 3).await;
    stage.time.advance(9_949);
    stage.until(|mappings| shards(mappings)[0].pending_records == 3).await;
    stage.write("k", 4).await;
    stage.time.advance(1);
    let call = stage.call().await;
    assert_eq!(call.values(), [1, 2, 3, 4]);
    call.ok();
    stage.mappings.drained().await.unwrap();
}
