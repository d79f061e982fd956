//! FilterCriteria in the runner: what is passed over counts as done, and batches are made of what is left.
//! Source: docs/spec/event-source-mapping.md 5.1, 8.1.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use common::engine::troubled;
use common::{Stage, TestTime, new_store, open_stream, request, sequence_number, shards};
use tailrace_mapping::{MappingError, Parameters, ShardState};
use tailrace_store::Engine;

const EVEN: &str = r#"{"dynamodb":{"NewImage":{"v":{"N":[{"suffix":"0"},{"suffix":"2"},{"suffix":"4"},{"suffix":"6"},{"suffix":"8"}]}}}}"#;
const NONE: &str = r#"{"eventName":["REMOVE"]}"#;

fn filtered(patterns: &[&str]) -> Parameters {
    Parameters {
        filters: Some(patterns.iter().map(|text| Some((*text).to_owned())).collect()),
        ..Parameters::default()
    }
}

/// 5.1: BatchSize counts matching records only.
#[tokio::test]
async fn a_batch_is_made_of_matching_records_only() {
    let mut stage = Stage::new(1).await;
    for n in 0..20 {
        stage.write("k", n).await;
    }
    stage.create(Parameters { batch_size: Some(4), ..filtered(&[EVEN]) }).await;
    for expected in [vec![0, 2, 4, 6], vec![8, 10, 12, 14], vec![16, 18]] {
        let call = stage.call().await;
        assert_eq!(call.values(), expected);
        call.ok();
    }
    stage.mappings.drained().await.unwrap();
}

/// 8.1: a record that is left out counts as processed; many of them do not make a commit each.
#[tokio::test]
async fn the_checkpoint_steps_over_what_is_left_out() {
    let time = TestTime::new();
    let store = new_store(&time);
    open_stream(store.as_ref(), 1).await;
    let engine = Arc::new(troubled(store.clone()));
    let stage = Stage::load_over(engine.clone(), store, time).await;
    stage.create(filtered(&[NONE])).await;
    stage.mappings.drained().await.unwrap();
    let commits = engine.commits.load(SeqCst);
    for n in 0..50 {
        stage.write("k", n).await;
    }
    let last = stage.write("k", 50).await;
    stage.mappings.drained().await.unwrap();
    assert_eq!(engine.commits.load(SeqCst), commits, "nothing is committed yet");
    stage.time.advance(1000);
    stage.until(|mappings| shards(mappings)[0].position == sequence_number(last)).await;
    assert_eq!(engine.commits.load(SeqCst), commits + 1);
    assert_eq!(shards(&stage.mappings)[0].state, ShardState::Idle);
    // A stop waits for no second.
    let last = stage.write("k", 51).await;
    stage.mappings.drained().await.unwrap();
    stage.mappings.shutdown().await;
    let shard = stage.mappings.overview().await.unwrap().remove(0).shards.remove(0);
    assert_eq!((shard.position, shard.pending_records), (sequence_number(last), 0));
}

/// A failing batch holds what is left out behind it up to no one: it is passed over once the batch is done.
#[tokio::test]
async fn what_is_left_out_behind_a_failing_batch_is_not_read_as_done() {
    let mut stage = Stage::new(1).await;
    let first = stage.write("k", 2).await;
    stage.create(filtered(&[EVEN])).await;
    stage.call().await.fail();
    for n in [3, 5, 7] {
        stage.write("k", n).await;
    }
    let again = stage.call_after(1000).await;
    assert_eq!(again.values(), [2]);
    let before = sequence_number(tailrace_core::RecordNo(first.0 - 1));
    assert!(shards(&stage.mappings)[0].position <= before);
    again.ok();
    stage.mappings.drained().await.unwrap();
}

/// Section 4: an update replaces the filters whole, an empty list takes them away; records that were read ahead and not handed
/// out go by the new ones.
#[tokio::test]
async fn an_update_changes_the_filters_also_of_what_was_read_ahead() {
    let mut stage = Stage::new(1).await;
    for n in 0..10 {
        stage.write("k", n).await;
    }
    let small = Parameters { batch_size: Some(2), ..filtered(&[EVEN]) };
    let uuid = stage.create(small).await.uuid();
    let held = stage.call().await;
    assert_eq!(held.values(), [0, 2]);
    let update = {
        let parameters = filtered(&[r#"{"dynamodb":{"NewImage":{"v":{"N":["5","7"]}}}}"#]);
        let mappings = &stage.mappings;
        let update = mappings.update(&uuid, None, &parameters);
        // It waits for the batch under way.
        let (updated, ()) = tokio::join!(update, async { held.ok() });
        updated.unwrap()
    };
    assert_eq!(update.filters.len(), 1);
    let call = stage.call().await;
    assert_eq!(call.values(), [5, 7]);
    call.ok();
    stage.mappings.drained().await.unwrap();
    stage.mappings.update(&uuid, None, &filtered(&[])).await.unwrap();
    assert_eq!(stage.mappings.get(&uuid).unwrap().filters, Vec::<String>::new());
    stage.write("k", 11).await;
    let call = stage.call().await;
    assert_eq!(call.values(), [11]);
    call.ok();
    // What no update names stays as it is.
    stage.mappings.update(&uuid, None, &filtered(&[EVEN, NONE])).await.unwrap();
    stage.mappings.update(&uuid, None, &Parameters::default()).await.unwrap();
    let mut stage = Stage::open(stage.store, stage.time).await;
    assert_eq!(stage.mappings.get(&uuid).unwrap().filters, [EVEN, NONE]);
    stage.write("k", 13).await;
    stage.write("k", 14).await;
    assert_eq!(stage.call().await.values(), [14]);
}

/// Section 8.1, every recorded form of what is no pattern; and the bounds of section 2.
#[tokio::test]
async fn what_is_no_filter_is_refused_with_the_text_of_aws() {
    let stage = Stage::new(1).await;
    let refused = async |filters: Vec<Option<String>>| {
        let parameters = Parameters { filters: Some(filters), ..Parameters::default() };
        let created = stage.mappings.create(request("LATEST", parameters)).await;
        created.expect_err("refused")
    };
    let wrong =
        ["plain text", r#"{"eventSource":"#, r#"{"eventSource":"aws:sqs"}"#, r#"{"eventSource":[]}"#, "null", "{}", ""];
    for pattern in wrong.into_iter().map(|text| Some(text.to_owned())).chain([None]) {
        let error = refused(vec![pattern]).await;
        assert_eq!(error, MappingError::InvalidParameterValue("Invalid filter pattern definition.".into()));
    }
    let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(4096));
    let text = refused(vec![Some(NONE.into()), Some(long.clone())]).await.to_string();
    assert_eq!(
        text,
        format!(
            "1 validation error detected: Value '{long}' at 'filterCriteria.filters.2.member.pattern' failed to satisfy \
             constraint: Member must have length less than or equal to 4096"
        )
    );
    assert!(refused(vec![Some(NONE.into()); 11]).await.to_string().contains("'filterCriteria.filters'"));
    stage.create(Parameters { filters: Some(vec![Some(NONE.into()); 10]), ..Parameters::default() }).await;
}

/// A record that cannot be read stops the shard whatever its filter would say of it: nobody knows what it says.
#[tokio::test]
async fn a_damaged_record_is_not_left_out() {
    let stage = Stage::new(1).await;
    stage.create(filtered(&[NONE])).await;
    stage.write("k", 1).await;
    let engine: &dyn Engine = stage.store.as_ref();
    let damaged = common::write_damaged(engine, "k").await;
    stage.until(|mappings| shards(mappings).iter().any(|shard| shard.state == ShardState::Damaged)).await;
    assert_eq!(shards(&stage.mappings)[0].damaged, Some(sequence_number(damaged)));
}
