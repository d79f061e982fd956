//! Tumbling windows. Source: docs/spec/event-source-mapping.md 9. Records of the stage have their number as their second.

use std::sync::Arc;
use std::time::Duration;

use tailrace_core::limits::WINDOW_STATE_BYTES_MAX;

use super::*;

const LENGTH_S: u64 = 10;

fn windows() -> Rules {
    Rules { tumbling_window: Some(Duration::from_secs(LENGTH_S)), ..Rules::default() }
}

fn with_state(outcome: Outcome, state: &str) -> Answer {
    Answer { outcome, state: Some(Arc::from(state)) }
}

impl Stage {
    fn done(&mut self, state: &str) {
        self.answer(with_state(Outcome::Done, state));
    }

    /// The call that the target holds: records, start in seconds, state, whether it is the last one.
    fn window_call(&self) -> (Vec<u64>, u64, String, bool) {
        let invocation = self.in_flight.front().expect("a call is under way");
        let window = invocation.window.as_ref().expect("it is in a window");
        assert_eq!(window.end_ms.0 - window.start_ms.0, LENGTH_S * 1000);
        (lsns(invocation), window.start_ms.0 / 1000, window.state.to_string(), window.is_final)
    }

    fn idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    fn lost(&self) -> Vec<(&str, &str)> {
        let lost = |action: &'_ Action| match action {
            Action::WindowLost { window, error } => {
                Some((window.state.to_string().leak() as &str, error.clone().leak() as &str))
            }
            _ => None,
        };
        self.seen.iter().filter_map(lost).collect()
    }
}

fn call(records: &[u64], start_s: u64, state: &str, is_final: bool) -> (Vec<u64>, u64, String, bool) {
    (records.to_vec(), start_s, state.to_owned(), is_final)
}

/// Rows 1 to 3: the state goes from call to call, and the window ends with a call of its own before the next one begins.
#[test]
fn a_window_carries_its_state_and_ends_with_a_call_of_its_own() {
    let mut stage = Stage::new(windows(), [1001, 1002]);
    assert_eq!(stage.window_call(), call(&[1001, 1002], 1000, "{}", false));
    stage.done(r#"{"n":2}"#);
    assert!(stage.idle());
    stage.append([1005]);
    assert_eq!(stage.window_call(), call(&[1005], 1000, r#"{"n":2}"#, false));
    stage.append([1012, 1013, 1020]);
    stage.done(r#"{"n":3}"#);
    assert_eq!(stage.window_call(), call(&[], 1000, r#"{"n":3}"#, true));
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1012, 1013], 1010, "{}", false), "a batch is of one window");
    stage.done(r#"{"n":2}"#);
    assert_eq!(stage.window_call(), call(&[], 1010, r#"{"n":2}"#, true));
    stage.done("1");
    assert_eq!(stage.window_call(), call(&[1020], 1020, "{}", false));
}

/// A window ends by the clock as well, a moment after its end.
#[test]
fn a_window_ends_without_new_records() {
    let mut stage = Stage::new(windows(), [1003]);
    stage.done("7");
    assert!(stage.idle());
    assert_eq!(stage.wait(), 11_000);
    assert_eq!(stage.window_call(), call(&[], 1000, "7", true));
    stage.ok();
    assert_eq!(stage.machine.next_wake(), None, "an empty window makes no calls");
    assert!(stage.checkpoint.windows.as_ref().unwrap().open.is_none());
    // What was committed in a window that is over is in the next one: a clock was set back.
    stage.append([1004]);
    assert_eq!(stage.window_call(), call(&[1004], 1010, "{}", false));
}

/// What gathers for a batch does not wait beyond the window's end.
#[test]
fn a_batch_that_gathers_is_handed_out_when_its_window_ends() {
    let rules = Rules { window: Duration::from_secs(60), ..windows() };
    let mut stage = Stage::new(rules, [1003]);
    assert!(stage.idle());
    assert_eq!(stage.wait(), 11_000);
    assert_eq!(stage.window_call(), call(&[1003], 1000, "{}", false));
    stage.done("1");
    assert_eq!(stage.window_call(), call(&[], 1000, "1", true));
    stage.ok();
    stage.append([1014, 1015, 1022]);
    assert_eq!(stage.window_call(), call(&[1014, 1015], 1010, "{}", false));
}

/// An update makes windows while a batch fails: what is in hand is of one window, and the others wait for theirs.
#[test]
fn a_batch_from_before_there_were_windows_is_parted_by_them() {
    let log = [1001, 1002, 1012, 1013, 1021];
    let mut stage = Stage::new(Rules { bisect: true, ..Rules::default() }, log);
    stage.fail();
    assert_eq!(stage.batch(), [1001, 1002]);
    stage.fail();
    assert_eq!(stage.batch(), [1001]);
    stage.fail();
    let mut stage = Stage::resume(windows(), log, stage.checkpoint);
    assert_eq!(stage.in_flight[0].failed_before, 1, "its attempts are counted on");
    for (records, state) in [(vec![1001], "{}"), (vec![1002], "1")] {
        assert_eq!(stage.window_call(), call(&records, 1000, state, false));
        stage.done("1");
    }
    assert_eq!(stage.window_call(), call(&[], 1000, "1", true));
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1012, 1013], 1010, "{}", false));
    stage.done("2");
    assert_eq!(stage.window_call(), call(&[], 1010, "2", true));
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1021], 1020, "{}", false));
}

/// An earlier version handed such a batch out whole, in the window of its first record: its checkpoint is read, and what is left of
/// the batch goes to its own windows.
#[test]
fn a_batch_that_an_earlier_version_put_into_one_window_is_parted() {
    let log = [1001, 1012, 1013];
    let mut before = Stage::new(windows(), [1001]);
    before.fail();
    let mut mixed = before.checkpoint;
    mixed.attempts[0].as_mut().expect("it failed").last = RecordNo(1013);
    let mut stage = Stage::resume(windows(), log, mixed.clone());
    assert_eq!(stage.window_call(), call(&[1001], 1000, "{}", false));
    stage.done("1");
    assert_eq!(stage.window_call(), call(&[], 1000, "1", true));
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1012, 1013], 1010, "{}", false));
    // Its first record was done, and what failed is of another window than the open one.
    mixed.attempts[0].as_mut().expect("it failed").first = RecordNo(1012);
    (mixed.low_water, mixed.done[0]) = (RecordNo(1001), RecordNo(1001));
    let mut stage = Stage::resume(windows(), log, mixed);
    assert_eq!(stage.window_call(), call(&[], 1000, "{}", true));
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1012, 1013], 1010, "{}", false));
}

/// The state is durable with the records that it is of.
#[test]
fn a_window_goes_on_after_a_restart() {
    let mut stage = Stage::new(windows(), [1001, 1002]);
    stage.done(r#"{"n":2}"#);
    let mut stage = Stage::resume(windows(), [1001, 1002, 1003, 1011], stage.checkpoint);
    assert_eq!(stage.window_call(), call(&[1003], 1000, r#"{"n":2}"#, false));
    stage.fail();
    // Nothing of what failed is in the state.
    let mut stage = Stage::resume(windows(), [1001, 1002, 1003, 1011], stage.checkpoint);
    assert_eq!(stage.window_call(), call(&[1003], 1000, r#"{"n":2}"#, false));
    stage.done(r#"{"n":3}"#);
    assert_eq!(stage.window_call(), call(&[], 1000, r#"{"n":3}"#, true));
    // The final call is repeated if nobody knows that it ended.
    let mut stage = Stage::resume(windows(), [1001, 1002, 1003, 1011], stage.checkpoint);
    assert_eq!(stage.window_call(), call(&[], 1000, r#"{"n":3}"#, true));
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1011], 1010, "{}", false));
}

#[test]
fn a_state_is_that_of_the_records_that_are_done() {
    let rules = Rules { bisect: true, retries_max: Some(0), ..windows() };
    let mut stage = Stage::new(rules, [1001, 1002, 1003, 1004]);
    stage.fail();
    assert_eq!(stage.window_call(), call(&[1001, 1002], 1000, "{}", false));
    stage.done("2");
    assert_eq!(stage.window_call(), call(&[1003, 1004], 1000, "2", false), "the second half goes on from the first");
    stage.answer(with_state(Outcome::FailedFrom { index: 1, error: "reported".into() }, "3"));
    assert_eq!(stage.window_call(), call(&[1004], 1000, "3", false));
    stage.answer(with_state(Outcome::FailedFrom { index: 0, error: "reported".into() }, "wrong"));
    assert_eq!(stage.parked_lsns(), [1004]);
    stage.append([1010]);
    assert_eq!(stage.window_call(), call(&[], 1000, "3", true), "a call of which nothing is done leaves the state");
}

/// Row 4.
#[test]
fn a_state_above_a_megabyte_ends_its_window_early() {
    let mut stage = Stage::new(Rules { batch_records_max: 1, ..windows() }, [1001, 1002, 1003]);
    let largest = "1".repeat(WINDOW_STATE_BYTES_MAX);
    stage.done(&largest);
    assert_eq!(stage.window_call(), call(&[1002], 1000, &largest, false));
    let large = "1".repeat(WINDOW_STATE_BYTES_MAX + 1);
    stage.done(&large);
    assert_eq!(stage.window_call(), call(&[], 1000, &large, true));
    assert!(stage.in_flight[0].window.as_ref().unwrap().terminated_early);
    stage.ok();
    assert_eq!(stage.window_call(), call(&[1003], 1000, "{}", false), "what is left of the window begins anew");
    assert!(!stage.in_flight[0].window.as_ref().unwrap().terminated_early);
}

/// The state takes room in the event.
#[test]
fn a_state_makes_batches_smaller() {
    let mut stage = Stage::new(windows(), [1001]);
    let size = record(1001).size;
    stage.done(&"1".repeat(BATCH_BYTES_MAX - 2 * size));
    // That state ends its window.
    stage.ok();
    stage.machine.batch_bytes_max = 3 * size;
    stage.append([1002]);
    stage.done(&"1".repeat(size));
    stage.append([1003, 1004, 1005]);
    assert_eq!(stage.batch(), [1003, 1004]);
}

/// Rows 3 and 6: the final call is tried as a batch is, and what is given up is told.
#[test]
fn a_final_call_has_the_attempts_of_a_batch() {
    let rules = || Rules { retries_max: Some(2), ..windows() };
    let mut stage = Stage::new(rules(), [1001, 1011]);
    stage.done("1");
    stage.answer(Outcome::NotInvoked("throttled".into()));
    stage.wait();
    stage.fail();
    assert!(stage.idle());
    assert_eq!(stage.machine.status().state, ShardState::Retrying);
    assert_eq!(stage.wait(), 1000);
    assert_eq!(stage.in_flight[0].failed_before, 1);
    stage.fail();
    // The tries are counted on over a restart.
    let mut stage = Stage::resume(rules(), [1001, 1011], stage.checkpoint);
    assert_eq!((stage.window_call(), stage.in_flight[0].failed_before), (call(&[], 1000, "1", true), 2));
    stage.fail();
    assert_eq!(stage.lost(), [("1", "boom")]);
    assert_eq!(stage.window_call(), call(&[1011], 1010, "{}", false));
}

#[test]
fn a_final_call_is_given_up_at_the_age_of_its_window() {
    let rules = Rules { record_age_max: Some(Duration::from_secs(60)), ..windows() };
    let mut stage = Stage::new(rules, [1001]);
    stage.done("1");
    stage.wait();
    stage.fail();
    while stage.lost().is_empty() {
        stage.wait();
        if !stage.idle() {
            stage.fail();
        }
    }
    assert!((60_000..135_000).contains(&stage.now_ms), "{}", stage.now_ms);
}

/// Row 6: nobody who is never there holds the shard up longer than one who fails: the age of the window counts either way.
#[test]
fn a_final_call_that_is_never_made_is_given_up_at_the_age_of_its_window() {
    let rules = Rules { record_age_max: Some(Duration::from_secs(60)), ..windows() };
    let mut stage = Stage::new(rules, [1001]);
    stage.done("1");
    stage.wait();
    while stage.lost().is_empty() {
        stage.answer(Outcome::NotInvoked("no function is named f".into()));
        stage.wait();
    }
    // The window ended at 10 s: to the millisecond, and not at the next try.
    assert_eq!((stage.lost(), stage.now_ms), (vec![("1", "no function is named f")], 70_001));
    assert!(stage.idle());
    assert!(stage.checkpoint.windows.as_ref().unwrap().open.is_none());
}

/// Row 6: without a rule that bounds it a window is bounded as its records are, by what the stream keeps.
#[test]
fn a_final_call_is_given_up_when_the_stream_keeps_nothing_of_its_window() {
    for outcome in [Outcome::NotInvoked("gone".into()), Outcome::Failed("gone".into())] {
        let mut stage = Stage::new(windows(), [1001, 1002]);
        stage.done("2");
        stage.wait();
        stage.answer(outcome.clone());
        stage.input(Input::Horizon(RecordNo(1002)));
        assert!(stage.lost().is_empty(), "one of its records is still there");
        stage.input(Input::Wake);
        stage.answer(outcome.clone());
        stage.input(Input::Horizon(RecordNo(1003)));
        assert_eq!(stage.lost(), [("2", "gone")]);
        stage.append([1012]);
        assert_eq!(stage.window_call(), call(&[1012], 1010, "{}", false));

        // What has become too old while nothing ran is tried once.
        let mut stage = Stage::new(windows(), [1001]);
        stage.done("1");
        let mut stage = Stage::resume(windows(), [1012], stage.checkpoint);
        stage.input(Input::Horizon(RecordNo(1005)));
        assert_eq!(stage.window_call(), call(&[], 1000, "1", true));
        stage.answer(outcome);
        assert_eq!(stage.lost(), [("1", "gone")]);
        assert_eq!(stage.window_call(), call(&[1012], 1010, "{}", false));
    }
}

/// A checkpoint of before the last record was kept: it is one of those that are done.
#[test]
fn a_window_of_an_earlier_checkpoint_is_bounded_too() {
    let mut stage = Stage::new(windows(), [1001]);
    stage.done("1");
    let mut checkpoint = stage.checkpoint;
    checkpoint.windows.as_mut().unwrap().open.as_mut().unwrap().last = None;
    let mut stage = Stage::resume(windows(), [1001, 1012], checkpoint);
    stage.fail();
    stage.input(Input::Horizon(RecordNo(1001)));
    assert!(stage.lost().is_empty());
    stage.input(Input::Horizon(RecordNo(1002)));
    assert_eq!(stage.lost(), [("1", "boom")]);
}

/// A final call that waits for its turn waits no longer than its window may be old.
#[test]
fn a_final_call_that_waits_for_its_turn_is_recalled_at_its_age() {
    let rules = Rules { record_age_max: Some(Duration::from_secs(60)), ..windows() };
    let mut stage = Stage::new(rules, [1001]);
    stage.done("1");
    stage.wait();
    let id = stage.in_flight[0].id;
    stage.wait();
    assert_eq!((stage.now_ms, stage.seen.last()), (70_001, Some(&Action::Recall(id))));
    assert_eq!(stage.machine.next_wake(), None, "once");
    stage.answer(Outcome::NotInvoked("called off".into()));
    assert_eq!(stage.lost(), [("1", "called off")]);
}

/// What can never be delivered is given up whatever the rules say, a final call too: its state is more than an event holds.
#[test]
fn a_final_call_that_can_never_be_made_is_given_up_at_once() {
    let mut stage = Stage::new(windows(), [1001, 1011]);
    stage.done("1");
    stage.answer(Outcome::Undeliverable("too large".into()));
    assert_eq!(stage.lost(), [("1", "too large")]);
    assert_eq!(stage.window_call(), call(&[1011], 1010, "{}", false));
}

/// Row 5.
#[test]
fn the_end_of_a_shard_ends_its_window() {
    let mut stage = Stage::new(windows(), [1001]);
    stage.seal();
    stage.done("1");
    assert!(!stage.checkpoint.finished);
    assert_eq!(stage.window_call(), call(&[], 1000, "1", true));
    stage.ok();
    assert!(stage.checkpoint.finished);
    assert_eq!(stage.seen.last(), Some(&Action::Finished));
}

/// A window is ended properly when its length changes or there are to be none, and lanes come back behind it.
#[test]
fn an_update_ends_the_open_window() {
    let mut stage = Stage::new(windows(), [1001]);
    stage.done("1");
    stage.input(Input::Configure(Rules { tumbling_window: Some(Duration::from_secs(20)), ..windows() }));
    assert_eq!(stage.window_call(), call(&[], 1000, "1", true));
    stage.ok();
    stage.append([1011]);
    let window = stage.in_flight[0].window.clone().unwrap();
    assert_eq!((window.start_ms, window.end_ms), (EpochMs(1_000_000), EpochMs(1_020_000)));
    stage.done("2");
    stage.input(Input::Configure(Rules { lanes: 3, ..Rules::default() }));
    assert!(stage.in_flight[0].window.as_ref().unwrap().is_final);
    stage.ok();
    stage.append([1012, 1013]);
    assert_eq!(stage.in_flight.len(), 2);
    assert!(stage.in_flight.iter().all(|invocation| invocation.window.is_none()));
    // While the lanes of before are drained, no batch is in a window.
    stage.input(Input::Configure(windows()));
    stage.fail();
    stage.ok();
    stage.wait();
    assert!(stage.in_flight[0].window.is_none());
    stage.ok();
    stage.append([1014]);
    assert_eq!(stage.window_call().0, [1014]);
}

/// While the lanes of earlier rules are drained each batch is a window of its own, and no batch is of two.
#[test]
fn while_lanes_are_drained_a_batch_is_of_one_window() {
    let two = Rules { lanes: 2, batch_records_max: 3, ..Rules::default() };
    let odd = [1001, 1003, 1011, 1013, 1015, 1021];
    let mut stage = Stage::resume(two.clone(), odd, Checkpoint::starting_after(RecordNo::ZERO, 2));
    assert_eq!(stage.batch(), [1001, 1003, 1011]);
    stage.input(Input::Configure(Rules { batch_records_max: 3, ..windows() }));
    stage.fail();
    stage.wait();
    // What failed before comes again in its windows, and what waits is taken by them.
    for expected in [&[1001, 1003][..], &[1011, 1013, 1015], &[1021]] {
        assert_eq!((stage.batch(), &stage.in_flight[0].window), (expected.to_vec(), &None));
        stage.ok();
    }
    stage.append([1022]);
    assert_eq!(stage.window_call(), call(&[1022], 1020, "{}", false));
}

/// Section 5.2: a record that is above the bound by itself is bisected to, and given up at once, whatever the rules say of retries.
#[test]
fn what_can_never_be_delivered_is_parked_alone() {
    let mut stage = Stage::new(Rules::default(), 1..=4);
    let undeliverable = || Outcome::Undeliverable("too large".into());
    stage.answer(undeliverable());
    assert_eq!(stage.batch(), [1, 2]);
    stage.ok();
    assert_eq!(stage.batch(), [3, 4]);
    stage.answer(undeliverable());
    assert_eq!(stage.batch(), [3]);
    stage.answer(undeliverable());
    assert_eq!(stage.batch(), [4]);
    stage.ok();
    assert_eq!(stage.parked_lsns(), [3]);
    let parked = &stage.parked[0];
    assert_eq!((parked.reason, parked.invocations, parked.error.as_str()), (GiveUp::Undeliverable, 1, "too large"));
    assert_eq!(stage.machine.status().state, ShardState::Idle);
}

/// Records that the target does not want count as done, in commits that are far between.
#[test]
fn what_is_passed_over_is_committed_now_and_then() {
    let mut machine = machine(Rules::default(), Checkpoint::starting_after(RecordNo::ZERO, 2));
    let read = |from: u64, unwanted: usize| {
        let next = RecordNo(from + unwanted as u64);
        Input::Fetched(LogRead { unwanted, next, more: true, ..LogRead::default() })
    };
    let commits = |actions: Vec<Action>| {
        let low_water = |action: Action| match action {
            Action::Commit { checkpoint, .. } => Some(checkpoint.low_water.0),
            _ => None,
        };
        actions.into_iter().find_map(low_water)
    };
    machine.step(Input::Tick, now(0));
    assert_eq!(commits(machine.step(read(0, 1000), now(10))), None);
    assert_eq!(machine.next_wake(), Some(MonotonicMs(1010)));
    assert_eq!(commits(machine.step(read(1000, 1000), now(900))), None);
    assert_eq!(commits(machine.step(Input::Tick, now(1010))), Some(2000));
    machine.step(Input::Committed, now(1011));
    assert_eq!(machine.next_wake(), None);
    assert_eq!(commits(machine.step(read(2000, PASSED_OVER_COMMIT_RECORDS), now(1020))), Some(102_000));
}
