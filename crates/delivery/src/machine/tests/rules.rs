//! One test for each rule; the spec's section is named at each.

use std::time::Duration;

use super::*;
use crate::parked::row_bytes_max;
use tailrace_core::limits::PARKED_COMMIT_BYTES_MAX;

fn rules() -> Rules {
    Rules::default()
}

/// 5.1: window 0 sends what is there at once, and BatchSize bounds a batch.
#[test]
fn a_batch_is_what_is_there_up_to_batch_size() {
    let mut stage = Stage::new(Rules { batch_records_max: 3, ..rules() }, 1..=7);
    for expected in [vec![1, 2, 3], vec![4, 5, 6], vec![7]] {
        assert_eq!(stage.batch(), expected);
        stage.ok();
    }
    assert_eq!(stage.batch(), [] as [u64; 0]);
    assert_eq!(stage.checkpoint.low_water, RecordNo(7));
    stage.append([8]);
    assert_eq!(stage.batch(), [8]);
}

/// 5.1: a window is waited for, restarts when the last invocation ends, and a full batch does not wait.
#[test]
fn a_window_gathers_a_batch() {
    let mut stage = Stage::new(Rules { batch_records_max: 3, window: Duration::from_secs(5), ..rules() }, [1]);
    assert!(stage.in_flight.is_empty());
    stage.advance(4000);
    stage.append([2]);
    assert!(stage.in_flight.is_empty());
    assert_eq!(stage.wait(), 1000);
    assert_eq!(stage.batch(), [1, 2]);
    stage.append([3]);
    stage.advance(9000);
    stage.ok();
    assert!(stage.in_flight.is_empty(), "the window restarts when the invocation ends");
    stage.append([4, 5]);
    assert_eq!(stage.batch(), [3, 4, 5], "a full batch goes out at once");
}

/// 5.1: a batch stays within the target's bytes; a record above them alone is a batch of its own.
#[test]
fn the_payload_bound_splits_batches() {
    let mut stage = Stage::new(rules(), []);
    let size = |number, size: usize| Record { size, ..record(number) };
    stage.log = vec![size(1, 4 << 20), size(2, (2 << 20) + 1), size(3, 7 << 20), size(4, 10)];
    stage.wake_reader();
    for expected in [[1], [2], [3], [4]] {
        assert_eq!(stage.batch(), expected);
        stage.ok();
    }
    let mut stage = Stage::new(rules(), []);
    // Exactly 6,291,456 bytes.
    stage.log = vec![size(1, 6_291_456 - 40), size(2, 40), size(3, 1)];
    stage.wake_reader();
    assert_eq!(stage.batch(), [1, 2]);
}

/// 5.1: the end of the shard flushes at once; then the machine is finished, durably.
#[test]
fn the_end_of_the_shard_flushes_and_finishes() {
    let mut stage = Stage::new(Rules { window: Duration::from_secs(300), ..rules() }, [1, 2]);
    assert!(stage.in_flight.is_empty());
    stage.seal();
    assert_eq!(stage.batch(), [1, 2]);
    assert!(!stage.checkpoint.finished);
    stage.ok();
    assert!(stage.checkpoint.finished);
    assert_eq!(stage.seen.last(), Some(&Action::Finished));
}

/// 7.2: invocations of a failing batch = MaximumRetryAttempts + 1, with back-off 1, 2, 4 ...; then it is parked.
#[test]
fn retries_are_counted_and_then_the_batch_is_parked() {
    for (retries, waits) in [(0, vec![]), (1, vec![1000]), (3, vec![1000, 2000, 4000])] {
        let mut stage = Stage::new(Rules { retries_max: Some(retries), ..rules() }, [1, 2]);
        stage.append([3]);
        for wait in waits {
            assert_eq!(stage.batch(), [1, 2]);
            stage.fail();
            assert!(stage.in_flight.is_empty());
            assert_eq!(stage.wait(), wait);
        }
        stage.fail();
        assert_eq!(stage.parked_lsns(), [1, 2]);
        assert_eq!(stage.parked[0].reason, GiveUp::RetryAttemptsExhausted);
        assert_eq!((stage.parked[0].invocations, stage.parked[0].error.as_str()), (retries + 1, "boom"));
        assert_eq!(stage.checkpoint.low_water, RecordNo(2));
        assert_eq!(stage.batch(), [3], "the shard goes on at once");
    }
}

/// The machine's invariant: a crash must not bring back, behind newer records, what was given up before them.
#[test]
fn nothing_newer_goes_out_before_what_was_given_up_is_durable() {
    let rules = Rules { retries_max: Some(0), batch_records_max: 1, ..rules() };
    let mut machine = machine(rules, Checkpoint::starting_after(RecordNo::ZERO, 1));
    machine.step(Input::Tick, now(0));
    let read = LogRead {
        records: vec![record(1), record(2)],
        unwanted: 0,
        newest: record(2).time(),
        next: RecordNo(2),
        more: false,
        ended: false,
        horizon: RecordNo(1),
        damaged: None,
    };
    let invoked = |actions: Vec<Action>| {
        actions.into_iter().find_map(|action| match action {
            Action::Invoke(invocation) => Some(invocation),
            _ => None,
        })
    };
    let first = invoked(machine.step(Input::Fetched(read), now(0))).unwrap();
    let answer = Outcome::Failed("boom".into()).into();
    // The failure is in a commit, and what it makes of the record in the next one.
    machine.step(Input::Invoked { id: first.id, answer, jitter: 0 }, now(0));
    let actions = machine.step(Input::Committed, now(0));
    assert!(actions.iter().any(|action| matches!(action, Action::Commit { parked, .. } if parked.len() == 1)));
    assert!(invoked(actions).is_none(), "the commit is not durable yet");
    let second = invoked(machine.step(Input::Committed, now(0))).unwrap();
    assert_eq!(second.records[0].number(), RecordNo(2));
}

/// 7.2: by default a failing batch is retried for ever, at most every 60 s.
#[test]
fn without_a_bound_a_failing_batch_blocks_its_shard() {
    let mut stage = Stage::new(rules(), [1]);
    for wait in [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000] {
        stage.fail();
        assert_eq!(stage.wait(), wait);
    }
    let Status { state, failed, not_invoked, blocked, error, .. } = stage.machine.status();
    assert_eq!((state, failed, not_invoked, blocked), (ShardState::Retrying, 8, 0, true));
    assert_eq!(error.as_deref(), Some("boom"));
    assert!(stage.parked.is_empty());
}

/// 7.2: partial progress resets the counter: retries 3, [3,4,5] of which 5 fails: once, then [5] four times.
#[test]
fn partial_progress_resets_the_counter() {
    let mut stage = Stage::new(Rules { retries_max: Some(3), ..rules() }, [3, 4, 5]);
    stage.report(5);
    assert_eq!(stage.checkpoint.low_water, RecordNo(4));
    for _ in 0..3 {
        assert_eq!(stage.batch(), [5]);
        stage.report(5);
        stage.wait();
    }
    stage.report(5);
    assert_eq!(stage.parked_lsns(), [5]);
    assert_eq!(stage.parked[0].invocations, 4);
}

/// 7.1: what was not invoked spends no retry.
#[test]
fn a_throttle_spends_no_retry() {
    let mut stage = Stage::new(Rules { retries_max: Some(0), ..rules() }, [1]);
    for wait in [1000, 2000, 4000] {
        stage.answer(Outcome::NotInvoked("throttled".into()));
        assert_eq!(stage.wait(), wait);
        assert_eq!(stage.batch(), [1]);
    }
    // Retries bound the batch, and do not end this.
    let Status { state, failed, not_invoked, blocked, .. } = stage.machine.status();
    assert_eq!((state, failed, not_invoked, blocked), (ShardState::Retrying, 0, 3, true));
    assert!(stage.machine.status().last.is_some_and(|last| last.not_invoked));
    stage.ok();
    assert!(stage.parked.is_empty());
}

/// 7.2: records that are too old are dropped before the first try and while retrying; younger ones go on.
#[test]
fn old_records_are_given_up() {
    // Record n was made at n s; the stage's wall clock begins at 1000 s.
    let rules = Rules { record_age_max: Some(Duration::from_secs(100)), ..rules() };
    let mut stage = Stage::new(rules, [899, 900, 902]);
    assert_eq!(stage.parked_lsns(), [899]);
    assert_eq!((stage.parked[0].reason, stage.parked[0].invocations), (GiveUp::RecordAgeExceeded, 1));
    assert_eq!(stage.batch(), [900, 902]);
    stage.fail();
    stage.wait();
    assert_eq!(stage.parked_lsns(), [899, 900]);
    stage.wait();
    assert_eq!(stage.batch(), [902]);
    stage.ok();
    assert_eq!(stage.checkpoint.low_water, RecordNo(902));
}

/// 7.2, "Records older than MaximumRecordAge are dropped ... while retrying": at their time, not at the next try.
#[test]
fn a_record_is_given_up_when_it_becomes_too_old() {
    // Record n was made at n s; the stage's wall clock begins at 1000 s.
    let rules = Rules { record_age_max: Some(Duration::from_secs(100)), ..rules() };
    for (lsns, waits, parked) in [
        // The back-off before the fourth try is longer than the record has left.
        (vec![905], vec![1000, 2000, 2001], vec![905]),
        (vec![905, 950], vec![1000, 2000, 2001], vec![905]),
        // The younger one still waits for the rest of its back-off.
        (vec![902, 950], vec![1000, 1001, 999], vec![902]),
        (vec![950], vec![1000, 2000, 4000], vec![]),
    ] {
        let mut stage = Stage::new(rules.clone(), lsns.clone());
        for wait in waits {
            if !stage.in_flight.is_empty() {
                stage.fail();
            }
            assert_eq!(stage.wait(), wait, "{lsns:?}");
        }
        assert_eq!(stage.parked_lsns(), parked, "{lsns:?}");
        assert!(stage.parked.iter().all(|parked| parked.reason == GiveUp::RecordAgeExceeded));
    }
    // A function that cannot be invoked at all: the same.
    let mut stage = Stage::new(rules.clone(), [902]);
    stage.answer(Outcome::NotInvoked("throttled".into()));
    stage.wait();
    stage.answer(Outcome::NotInvoked("throttled".into()));
    assert_eq!(stage.wait(), 1001);
    assert_eq!((stage.parked_lsns(), stage.checkpoint.low_water), (vec![902], RecordNo(902)));
    // A clock that is set back postpones it, and does not keep the machine busy.
    let mut machine = super::machine(rules, Checkpoint::starting_after(RecordNo::ZERO, 1));
    machine.step(Input::Tick, now(0));
    machine.step(
        Input::Fetched(LogRead { records: vec![record(902)], next: RecordNo(902), ..LogRead::default() }),
        now(0),
    );
    let (id, outcome) = (InvocationId(0), Outcome::Failed("boom".into()));
    machine.step(Input::Invoked { id, answer: outcome.into(), jitter: u32::MAX }, now(1500));
    assert_eq!(machine.next_wake(), Some(MonotonicMs(2001)));
    machine.step(Input::Committed, now(1500));
    machine.step(Input::Tick, Now { wall: EpochMs(1_000_000), monotonic: MonotonicMs(2001) });
    assert_eq!(machine.next_wake(), Some(MonotonicMs(2500)), "the retry comes first again");
}

/// 7.3: bisecting isolates one bad record of 100; the others are done once and in order; no retry is spent on splits.
#[test]
fn bisecting_isolates_a_bad_record() {
    let mut stage = Stage::new(Rules { retries_max: Some(1), bisect: true, ..rules() }, 1..=100);
    let mut done = Vec::new();
    let mut tries_of_bad = 0;
    while !stage.in_flight.is_empty() {
        let batch = stage.batch();
        if batch.contains(&37) {
            tries_of_bad += u32::from(batch == [37]);
            stage.fail();
            if batch == [37] && tries_of_bad == 1 {
                assert_eq!(stage.wait(), 1000);
            }
        } else {
            done.extend(batch);
            stage.ok();
        }
    }
    assert_eq!(tries_of_bad, 2);
    assert_eq!(stage.parked_lsns(), [37]);
    assert_eq!(done, (1..=100).filter(|n| *n != 37).collect::<Vec<_>>());
    assert_eq!(stage.checkpoint.low_water, RecordNo(100));
}

/// 7.3: a partial response splits at the reported number instead of in halves.
#[test]
fn a_partial_response_is_not_bisected() {
    let rules = Rules { bisect: true, ..rules() };
    let mut stage = Stage::new(rules, 1..=8);
    stage.report(3);
    assert_eq!(stage.batch(), [3, 4, 5, 6, 7, 8]);
    stage.fail();
    assert_eq!(stage.batch(), [3, 4, 5], "a hard failure still bisects");
}

/// Architecture 6: a full parking lot blocks the shard and says so, until there is room or the bound is raised.
#[test]
fn a_full_parking_lot_blocks() {
    let rules = Rules { retries_max: Some(0), parked_records_max: 2, ..rules() };
    let mut stage = Stage::new(rules.clone(), [1, 2, 3]);
    stage.append([4]);
    stage.fail();
    assert_eq!(stage.parked_lsns(), [1, 2]);
    let Status { state, blocked, error, .. } = stage.machine.status();
    assert_eq!((state, blocked, error.as_deref()), (ShardState::Blocked, true, Some("boom")));
    assert_eq!(stage.checkpoint.low_water, RecordNo(2));
    assert!(stage.in_flight.is_empty());
    stage.input(Input::ParkedRemoved(ParkedSize { records: 1, bytes: 7 }));
    assert_eq!(stage.parked_lsns(), [1, 2, 3]);
    assert_eq!(stage.batch(), [4]);
    stage.fail();
    assert!(stage.in_flight.is_empty());
    stage.input(Input::Configure(Rules { parked_records_max: 9, ..rules }));
    assert_eq!(stage.parked_lsns(), [1, 2, 3, 4]);
}

/// 7.2: a change of the configuration wakes what waits; one of the function as well.
#[test]
fn a_change_retries_at_once() {
    let mut stage = Stage::new(rules(), [1]);
    stage.fail();
    stage.input(Input::Wake);
    assert_eq!(stage.batch(), [1]);
    stage.fail();
    stage.input(Input::Configure(Rules { batch_records_max: 5, ..rules() }));
    assert_eq!(stage.batch(), [1]);
}

/// Section 4: disabling waits for what is under way; enabling goes on behind it, attempts included.
#[test]
fn stopping_keeps_the_checkpoint_and_the_attempts() {
    let rules = Rules { batch_records_max: 2, retries_max: Some(2), ..rules() };
    let mut stage = Stage::new(rules.clone(), 1..=4);
    stage.ok();
    assert_eq!(stage.batch(), [3, 4]);
    stage.input(Input::Stop);
    assert_ne!(stage.seen.last(), Some(&Action::Stopped), "an invocation is under way");
    stage.fail();
    assert_eq!(stage.seen.last(), Some(&Action::Stopped));
    assert_eq!(stage.checkpoint.low_water, RecordNo(2));

    let mut again = Stage::resume(rules, 1..=6, stage.checkpoint);
    assert_eq!(again.batch(), [3, 4], "the failing batch keeps its bounds");
    again.fail();
    again.wait();
    again.fail();
    assert_eq!(again.parked_lsns(), [3, 4], "three invocations in all");
    assert_eq!(again.batch(), [5, 6]);
}

/// 7.1: what a stop refused is no problem of the function, and is not shown as one after the next start.
#[test]
fn a_batch_that_a_stop_refused_leaves_no_trace() {
    let mut stage = Stage::new(rules(), 1..=4);
    stage.input(Input::Stop);
    stage.answer(Outcome::NotInvoked("the server is stopping".into()));
    assert_eq!(stage.seen.last(), Some(&Action::Stopped));
    assert_eq!(stage.machine.status().last, None);
    assert_eq!(stage.checkpoint, Checkpoint::starting_after(RecordNo::ZERO, 1));
}

/// 5: sub-batch bounds survive a restart, also when the batch size became smaller meanwhile.
#[test]
fn a_bisection_goes_on_after_a_restart() {
    let rules = Rules { retries_max: Some(0), bisect: true, ..rules() };
    let mut stage = Stage::new(rules.clone(), 1..=8);
    stage.fail();
    stage.fail();
    assert_eq!(stage.batch(), [1, 2]);
    let mut again = Stage::resume(rules, 1..=8, stage.checkpoint);
    for expected in [vec![1, 2], vec![3, 4], vec![5, 6, 7, 8]] {
        assert_eq!(again.batch(), expected);
        again.ok();
    }
    assert_eq!(again.checkpoint.low_water, RecordNo(8));
}

/// Section 4: a batch that fails goes out again by the new rules, in pieces of at most BatchSize; the first counts its attempts on.
/// A restart remembers them.
#[test]
fn a_smaller_batch_size_reaches_a_batch_that_fails() {
    let mut stage = Stage::new(Rules { batch_records_max: 10, retries_max: Some(3), ..rules() }, 1..=8);
    stage.fail();
    stage.wait();
    stage.fail();
    let smaller = Rules { batch_records_max: 3, retries_max: Some(3), ..rules() };
    stage.input(Input::Configure(smaller.clone()));
    assert_eq!((stage.batch(), stage.in_flight[0].failed_before), (vec![1, 2, 3], 2));
    stage.fail();
    let mut stage = Stage::resume(smaller.clone(), 1..=9, stage.checkpoint);
    assert_eq!((stage.batch(), stage.in_flight[0].failed_before), (vec![1, 2, 3], 3));
    stage.ok();
    assert_eq!((stage.batch(), stage.in_flight[0].failed_before), (vec![4, 5, 6], 0));
    stage.ok();
    assert_eq!(stage.batch(), [7, 8], "what failed is not mixed with what came later");
    stage.ok();
    assert_eq!(stage.batch(), [9]);
    // The same at a start: the update was the last thing that an earlier one did.
    let mut stage = Stage::new(Rules { batch_records_max: 10, ..rules() }, 1..=8);
    stage.fail();
    let stage = Stage::resume(Rules { batch_records_max: 5, ..rules() }, 1..=8, stage.checkpoint);
    assert_eq!(stage.batch(), [1, 2, 3, 4, 5]);
}

/// Section 4: so does a batch that waits for a place of the function. It has not failed, and no restart says that it has.
#[test]
fn a_smaller_batch_size_reaches_a_batch_that_waits_at_the_target() {
    let mut stage = Stage::new(Rules { batch_records_max: 10, ..rules() }, 1..=5);
    let smaller = Rules { batch_records_max: 2, ..rules() };
    stage.input(Input::Configure(smaller.clone()));
    stage.answer(Outcome::NotInvoked("called back".into()));
    assert_eq!((stage.batch(), stage.machine.status().error), (vec![1, 2], None));
    stage.ok();
    assert_eq!(stage.batch(), [3, 4]);
    let mut again = Stage::resume(smaller, 1..=5, stage.checkpoint);
    assert_eq!((again.batch(), again.machine.status().error), (vec![3, 4], None));
    again.input(Input::Horizon(RecordNo(5)));
    again.answer(Outcome::NotInvoked("called back".into()));
    assert_eq!(again.parked_lsns(), [3, 4]);
    // The commit of another lane has the pieces in it.
    let rules = |batch_records_max| Rules { batch_records_max, lanes: 2, ..rules() };
    let mut stage = Stage::resume(rules(10), 1..=8, Checkpoint::starting_after(RecordNo::ZERO, 2));
    stage.input(Input::Configure(rules(2)));
    stage.answer(Outcome::NotInvoked("called back".into()));
    stage.answer(Outcome::NotInvoked("called back".into()));
    stage.ok();
    let bisect = stage.checkpoint.attempts[1].as_ref().map(|attempt| attempt.bisect.clone());
    assert_eq!(bisect, Some(vec![RecordNo(7)]));
    let again = Stage::resume(rules(2), 1..=8, stage.checkpoint);
    assert_eq!(again.in_flight.iter().map(lsns).collect::<Vec<_>>(), [[6, 8], [1, 3]]);
    assert_eq!(again.machine.status().error, None);
}

/// Section 4: a trimmed position goes on at the horizon, and the loss is counted and reported.
#[test]
fn a_trimmed_position_continues_at_the_horizon() {
    let trimmed = |machine: &mut ShardMachine| {
        machine.step(Input::Tick, now(0));
        let records = (6..=9).map(record).collect();
        let read = LogRead { records, next: RecordNo(9), horizon: RecordNo(6), ..LogRead::default() };
        machine.step(Input::Fetched(read), now(0))
    };
    let mut machine = super::machine(rules(), Checkpoint::starting_after(RecordNo(2), 1));
    let actions = trimmed(&mut machine);
    assert_eq!(actions[0], Action::Trimmed { after: RecordNo(2), horizon: RecordNo(6) });
    let batch = actions.iter().find_map(|action| match action {
        Action::Invoke(invocation) => Some(invocation.records[0].number()),
        _ => None,
    });
    assert_eq!(batch, Some(RecordNo(6)));
    assert_eq!(machine.status().trimmed_gaps, 1);
    let mut at_the_edge = super::machine(rules(), Checkpoint::starting_after(RecordNo(5), 1));
    trimmed(&mut at_the_edge);
    assert_eq!(at_the_edge.status().trimmed_gaps, 0, "nothing lay between");
}

/// A failing batch that was trimmed before a restart is gone: a change of the lanes does not wait for it.
#[test]
fn a_trimmed_batch_holds_no_change_of_the_lanes_up() {
    let mut stage = Stage::new(rules(), [1, 2]);
    stage.fail();
    let mut machine = super::machine(Rules { lanes: 2, ..rules() }, stage.checkpoint);
    machine.step(Input::Tick, now(0));
    let read = LogRead { next: RecordNo(4), horizon: RecordNo(5), more: true, ..LogRead::default() };
    let actions = machine.step(Input::Fetched(read), now(0));
    assert!(matches!(actions.last(), Some(Action::Fetch { after: RecordNo(4), .. })), "{actions:?}");
    assert_eq!(machine.status().lanes_wanted, None);
}

/// 7.2: without bounds a poison record blocks only as long as the stream keeps it.
#[test]
fn a_failing_record_that_the_stream_drops_is_given_up() {
    let mut stage = Stage::new(Rules { batch_records_max: 1, ..rules() }, [1, 2]);
    stage.fail();
    stage.input(Input::Horizon(RecordNo(2)));
    assert_eq!(stage.parked_lsns(), [1]);
    assert_eq!(stage.parked[0].reason, GiveUp::RecordAgeExceeded);
    assert_eq!(stage.batch(), [2], "a record that never failed is tried");
}

/// 5.2: lanes run side by side, each in order; the low-water mark is the slowest lane's.
#[test]
fn lanes_run_side_by_side() {
    let rules = Rules { batch_records_max: 2, lanes: 2, ..rules() };
    let mut stage = Stage::resume(rules, 1..=8, Checkpoint::starting_after(RecordNo::ZERO, 2));
    let lanes: Vec<Vec<u64>> = stage.in_flight.iter().map(lsns).collect();
    assert_eq!(lanes, [[2, 4], [1, 3]]);
    stage.ok();
    assert_eq!(
        (stage.checkpoint.low_water, &stage.checkpoint.done[..]),
        (RecordNo(0), &[RecordNo(5), RecordNo(0)][..])
    );
    stage.fail();
    stage.ok();
    assert_eq!(stage.checkpoint.low_water, RecordNo(0), "lane 1 holds the mark back");
    assert_eq!(stage.checkpoint.done[0], RecordNo(8));
}

/// Architecture 6: changing the number of lanes drains first.
#[test]
fn changing_the_lanes_drains_first() {
    let two = Rules { batch_records_max: 2, lanes: 2, ..rules() };
    let mut stage = Stage::resume(two.clone(), 1..=4, Checkpoint::starting_after(RecordNo::ZERO, 2));
    stage.input(Input::Configure(Rules { lanes: 1, ..two }));
    assert_eq!(stage.machine.status().lanes_wanted, Some(1));
    stage.ok();
    stage.append([5, 6]);
    assert_eq!(stage.batch(), [1, 3]);
    stage.ok();
    assert_eq!([stage.batch(), lsns(&stage.in_flight[1])], [[6], [5]]);
    stage.append([7, 8]);
    stage.ok();
    assert_eq!(stage.in_flight.len(), 1, "nothing is read while a lane is not empty");
    stage.ok();
    assert_eq!(stage.batch(), [7, 8], "one lane now");
    assert_eq!(stage.machine.status().lanes_wanted, None);
    stage.ok();
    assert_eq!(stage.checkpoint.done, [RecordNo(8)]);
}

/// Architecture 6: the next batch goes out while the checkpoint syncs, but not the one after it.
#[test]
fn one_batch_goes_out_ahead_of_the_sync() {
    let mut machine =
        super::machine(Rules { batch_records_max: 1, ..rules() }, Checkpoint::starting_after(RecordNo::ZERO, 1));
    machine.step(Input::Tick, now(0));
    let read = LogRead { records: (1..=3).map(record).collect(), next: RecordNo(3), ..LogRead::default() };
    machine.step(Input::Fetched(read), now(0));
    let ok = |id| Input::Invoked { id: InvocationId(id), answer: Outcome::Done.into(), jitter: 0 };
    let kinds = |actions: Vec<Action>| -> Vec<&str> {
        let kind = |action: &Action| match action {
            Action::Commit { .. } => "commit",
            Action::Invoke(_) => "invoke",
            _ => "other",
        };
        actions.iter().map(kind).collect()
    };
    assert_eq!(kinds(machine.step(ok(0), now(0))), ["commit", "invoke"]);
    assert_eq!(kinds(machine.step(ok(1), now(0))), [] as [&str; 0], "the first commit is not durable");
    assert_eq!(kinds(machine.step(Input::Committed, now(0))), ["commit", "invoke"]);
}

/// Architecture 6, ten lanes given up at once: what one commit parks fits into a frame of the log, and all of it is parked.
#[test]
fn what_one_commit_parks_is_bounded() {
    const IMAGE: usize = 800_000;
    let lanes = 10;
    let rules = Rules { lanes, record_age_max: Some(Duration::from_millis(1)), parked_bytes_max: u64::MAX, ..rules() };
    let large = |number| {
        let logged = LogRecord { new: Some(Bytes::from(vec![b' '; IMAGE])), ..record(number).logged };
        Record { size: IMAGE, logged, ..record(number) }
    };
    let mut stage = Stage::resume(rules, [], Checkpoint::starting_after(RecordNo::ZERO, lanes));
    stage.log = (1..=70).map(large).collect();
    stage.wake_reader();
    assert_eq!(stage.parked_lsns().len(), 70);
    assert_eq!(stage.checkpoint.low_water, RecordNo(70));
    let mut parked: Vec<u64> = stage.parked_lsns();
    parked.sort_unstable();
    assert_eq!(parked, (1..=70).collect::<Vec<_>>());
    let row = |parked: &Parked| row_bytes_max(&parked.logged, &parked.error);
    for action in &stage.seen {
        if let Action::Commit { parked, .. } = action {
            let bytes: u64 = parked.iter().map(row).sum();
            assert!(bytes <= PARKED_COMMIT_BYTES_MAX, "{} records of {bytes} bytes in one commit", parked.len());
        }
    }
}

/// A record that cannot be read stops its shard, whatever the lane, and is named; an operator's word parks it.
#[test]
fn a_damaged_record_is_named_and_set_aside_on_an_operators_word() {
    let two = Rules { lanes: 2, batch_records_max: 1, ..rules() };
    let mut stage = Stage::resume(two.clone(), [], Checkpoint::starting_after(RecordNo::ZERO, 2));
    (stage.log, stage.damaged) = ((1..=6).map(record).collect(), Some(4));
    stage.wake_reader();
    let shown = |stage: &Stage| {
        let Status { state, damaged, blocked, caught_up, .. } = stage.machine.status();
        (state, damaged, blocked, caught_up)
    };
    assert_eq!(shown(&stage), (ShardState::Damaged, Some(RecordNo(4)), false, false));
    stage.ok();
    stage.ok();
    stage.input(Input::SkipDamaged(RecordNo(4)));
    assert_eq!(stage.batch(), [3], "what was before it is done first");
    assert_eq!(stage.parked_lsns(), [] as [u64; 0]);
    stage.input(Input::SkipDamaged(RecordNo(5)));
    stage.ok();
    assert_eq!((stage.parked_lsns(), stage.parked[0].reason), (vec![4], GiveUp::Damaged));
    assert!(stage.parked[0].error.contains("bad bytes"));
    assert!(stage.checkpoint.low_water >= RecordNo(4), "no restart meets it again");
    assert_eq!((lsns(&stage.in_flight[0]), lsns(&stage.in_flight[1])), (vec![6], vec![5]));
    stage.ok();
    stage.ok();
    assert_eq!(shown(&stage), (ShardState::Idle, None, false, true));
}

/// Nobody's word: the shard stands, is blocked once all before the record is done, and looks again from time to time.
#[test]
fn a_damaged_record_is_read_again() {
    let mut stage = Stage::new(Rules { window: Duration::from_secs(5), ..rules() }, []);
    (stage.log, stage.damaged) = ([1, 2, 3].map(record).to_vec(), Some(2));
    stage.wake_reader();
    assert_eq!(stage.batch(), [1], "no window is waited for: nothing more can come");
    stage.ok();
    assert!(stage.machine.status().blocked);
    assert_eq!(stage.wait(), 60_000);
    assert!(stage.in_flight.is_empty());
    // Mended, or trimmed: it goes on by itself.
    stage.damaged = None;
    stage.horizon = RecordNo(3);
    stage.input(Input::Wake);
    stage.wait();
    assert_eq!(stage.batch(), [3]);
    assert_eq!((stage.machine.status().damaged, stage.machine.status().trimmed_gaps), (None, 1));
}

/// A batch that failed before a start is read again whole, but for what an operator has set aside: what is before that goes out alone.
#[test]
fn a_damaged_record_of_a_batch_that_failed_is_set_aside_too() {
    let mut stage = Stage::new(rules(), 1..=5);
    stage.fail();
    let mut stage = Stage::resume(rules(), [], stage.checkpoint);
    (stage.log, stage.damaged) = ((1..=5).map(record).collect(), Some(3));
    stage.wake_reader();
    assert!(stage.in_flight.is_empty());
    let status = stage.machine.status();
    assert_eq!((status.damaged, status.blocked), (Some(RecordNo(3)), true));
    stage.input(Input::SkipDamaged(RecordNo(3)));
    assert_eq!((stage.batch(), stage.in_flight[0].failed_before), (vec![1, 2], 1));
    stage.ok();
    assert_eq!((stage.parked_lsns(), stage.batch()), (vec![3], vec![4, 5]));
    assert_eq!(stage.in_flight[0].failed_before, 0);
    stage.ok();
    assert_eq!(stage.checkpoint.low_water, RecordNo(5));
}

/// While a batch is gathered the log is looked at now and then, of a short window twice; whoever has nothing waits for the first record.
#[test]
fn what_gathers_a_batch_does_not_look_at_every_record() {
    for (window_ms, pause_ms) in [(0, None), (20, Some(10)), (1_000, Some(50)), (300_000, Some(50))] {
        let rules = Rules { window: Duration::from_millis(window_ms), batch_records_max: 5, ..rules() };
        let mut machine = machine(rules, Checkpoint::starting_after(RecordNo::ZERO, 1));
        let read = |numbers: std::ops::RangeInclusive<u64>, more: bool| {
            let next = RecordNo(*numbers.end());
            Input::Fetched(LogRead { records: numbers.map(record).collect(), next, more, ..LogRead::default() })
        };
        let not_before = |actions: Vec<Action>| {
            let fetch = actions.into_iter().find_map(|action| match action {
                Action::Fetch { not_before, .. } => Some(not_before),
                _ => None,
            });
            fetch.expect("it reads on")
        };
        assert_eq!(not_before(machine.step(Input::Tick, now(0))), None);
        let nothing = Input::Fetched(LogRead::default());
        assert_eq!(not_before(machine.step(nothing, now(0))), None, "nothing waits");
        assert_eq!(not_before(machine.step(read(1..=1, true), now(7))), None, "there is more");
        let at = pause_ms.map(|pause| now(7 + pause).monotonic);
        assert_eq!(not_before(machine.step(read(2..=3, false), now(7))), at, "{window_ms} ms");
    }
}

/// With a pace a record that comes after a rest goes out at once, and those that follow it wait for the end of its time; a full batch does not.
#[test]
fn a_pace_lets_the_first_go_and_gathers_the_others() {
    let rules = Rules { pace: Duration::from_millis(100), batch_records_max: 3, ..rules() };
    let mut machine = machine(rules, Checkpoint::starting_after(RecordNo::ZERO, 1));
    let read = |numbers: std::ops::RangeInclusive<u64>| {
        let next = RecordNo(*numbers.end());
        Input::Fetched(LogRead { records: numbers.map(record).collect(), next, ..LogRead::default() })
    };
    let out = |actions: Vec<Action>| {
        actions.into_iter().find_map(|action| match action {
            Action::Invoke(invocation) => Some((invocation.id, lsns(&invocation))),
            _ => None,
        })
    };
    let done = |machine: &mut ShardMachine, id, at| {
        let actions = machine.step(Input::Invoked { id, answer: Outcome::Done.into(), jitter: 0 }, now(at));
        if actions.iter().any(|action| matches!(action, Action::Commit { .. })) {
            assert_eq!(out(machine.step(Input::Committed, now(at))), None);
        }
    };
    machine.step(Input::Tick, now(0));
    let (first, numbers) = out(machine.step(read(1..=1), now(1_000))).expect("it comes after a rest");
    assert_eq!(numbers, [1]);
    done(&mut machine, first, 1_005);
    assert_eq!(out(machine.step(read(2..=2), now(1_010))), None);
    assert_eq!(machine.next_wake(), Some(now(1_100).monotonic));
    assert_eq!(out(machine.step(read(3..=3), now(1_060))), None);
    let (second, numbers) = out(machine.step(Input::Tick, now(1_100))).expect("the time of the first is over");
    assert_eq!(numbers, [2, 3]);
    done(&mut machine, second, 1_110);
    let (third, numbers) = out(machine.step(read(4..=6), now(1_120))).expect("it is full");
    assert_eq!(numbers, [4, 5, 6]);
    done(&mut machine, third, 1_130);
    assert_eq!(out(machine.step(read(7..=7), now(2_000))).map(|(_, numbers)| numbers), Some(vec![7]), "after a rest");
}

/// There is no room for more: what is gathered goes out, and what was trimmed meanwhile is told.
#[test]
fn without_room_for_more_nothing_is_waited_for() {
    let mut machine =
        machine(Rules { window: Duration::from_secs(300), ..rules() }, Checkpoint::starting_after(RecordNo::ZERO, 1));
    machine.step(Input::Tick, now(0));
    let read = |numbers: std::ops::RangeInclusive<u64>, horizon: u64| {
        let (next, horizon) = (RecordNo(*numbers.end()), RecordNo(horizon));
        Input::Fetched(LogRead { records: numbers.map(record).collect(), next, horizon, ..LogRead::default() })
    };
    let actions = machine.step(read(1..=2, 1), now(0));
    assert!(matches!(actions[..], [Action::Fetch { wait: true, at_once: false, .. }]), "{actions:?}");
    assert!(machine.held_bytes() > 0);
    let actions = machine.step(Input::Crowded, now(0));
    assert!(matches!(&actions[..], [Action::Invoke(invocation)] if lsns(invocation) == [1, 2]), "{actions:?}");
    assert!(!machine.status().caught_up);
    let actions = machine.step(read(7..=8, 7), now(0));
    assert!(matches!(actions[0], Action::Trimmed { after: RecordNo(2), horizon: RecordNo(7) }), "{actions:?}");
    machine.step(Input::Invoked { id: InvocationId(0), answer: Outcome::Done.into(), jitter: 0 }, now(0));
    assert_eq!(machine.held_bytes(), [7, 8].map(|number| record(number).logged.bytes()).iter().sum::<usize>());
}

/// Section 4: a change reaches a batch that waits for its turn at the target. That it comes back is nobody's failure, and it goes out
/// again at once.
#[test]
fn a_change_recalls_what_waits_at_the_target() {
    let mut stage = Stage::new(rules(), [1, 2]);
    let recalls = |stage: &Stage| stage.seen.iter().filter(|action| matches!(action, Action::Recall(_))).count();
    let id = stage.in_flight[0].id;
    stage.input(Input::Configure(Rules { lanes: 2, ..rules() }));
    assert!(stage.seen.contains(&Action::Recall(id)));
    stage.answer(Outcome::NotInvoked("called off".into()));
    assert_eq!(stage.batch(), [1, 2]);
    let status = stage.machine.status();
    assert_eq!((status.state, status.not_invoked, status.last), (ShardState::Invoking, 0, None));
    // Twice is once more, and what the target has begun with it ends.
    stage.input(Input::Configure(rules()));
    assert_eq!(recalls(&stage), 2);
    stage.ok();
    assert_eq!(stage.checkpoint.low_water, RecordNo(2));
    stage.append([3]);
    stage.answer(Outcome::NotInvoked("throttled".into()));
    assert_eq!(
        (stage.machine.status().state, recalls(&stage)),
        (ShardState::Retrying, 2),
        "that was about the other batch"
    );
}

/// Section 7.2, "immediate wake-up": what was not invoked since something was missing goes out at once if it came meanwhile.
#[test]
fn a_target_that_comes_while_it_is_missed_is_tried_at_once() {
    let mut stage = Stage::new(rules(), [1]);
    stage.input(Input::Wake);
    stage.answer(Outcome::NotInvoked("no function is named f".into()));
    assert_eq!((stage.batch(), stage.machine.status().state), (vec![1], ShardState::Invoking));
    stage.answer(Outcome::NotInvoked("no function is named f".into()));
    assert_eq!(stage.machine.status().state, ShardState::Retrying);
}

/// Section 7.2: a record becomes too old also while its batch waits for its turn, and when the rule changes meanwhile.
#[test]
fn what_becomes_too_old_while_it_waits_at_the_target_is_given_up() {
    let aged = || Rules { record_age_max: Some(Duration::from_secs(60)), ..rules() };
    let mut stage = Stage::new(aged(), [1000, 1030]);
    let id = stage.in_flight[0].id;
    assert_eq!((stage.wait(), stage.seen.last()), (60_001, Some(&Action::Recall(id))));
    assert_eq!(stage.machine.next_wake(), None, "it is recalled once");
    stage.answer(Outcome::NotInvoked("called off".into()));
    let parked = &stage.parked[0];
    assert_eq!(stage.parked_lsns(), [1000]);
    assert_eq!((parked.reason, parked.error.as_str()), (GiveUp::RecordAgeExceeded, "called off"));
    stage.wait();
    assert_eq!(stage.batch(), [1030]);

    // One that the target has begun with is done when it is.
    let mut stage = Stage::new(aged(), [1000]);
    stage.wait();
    stage.ok();
    assert_eq!((stage.parked.len(), stage.checkpoint.low_water), (0, RecordNo(1000)));

    let mut stage = Stage::new(rules(), [900]);
    assert_eq!(stage.machine.next_wake(), None);
    stage.input(Input::Configure(aged()));
    stage.answer(Outcome::NotInvoked("called off".into()));
    assert_eq!(stage.parked_lsns(), [900]);
}
