//! Batches whose bounds are durable before they go out, and records that a target will never take: what sinks need.
//! Source: docs/spec/sinks.md 1.

use std::time::Duration;

use super::*;

fn planned() -> Rules {
    Rules { batch_records_max: 3, plan: Some(1), ..Rules::default() }
}

/// The checkpoint's plan of its only lane: first and last number, and the version.
fn plan(checkpoint: &Checkpoint) -> Option<(u64, u64, u32)> {
    let attempt = checkpoint.attempts[0].as_ref()?;
    Some((attempt.first.0, attempt.last.0, attempt.plan?))
}

#[test]
fn a_batch_goes_out_only_when_its_bounds_are_durable() {
    let log = [1, 2].map(record).to_vec();
    let mut machine = machine(planned(), Checkpoint::starting_after(RecordNo::ZERO, 1));
    machine.step(Input::Tick, now(0));
    let read = LogRead { records: log, next: RecordNo(2), horizon: RecordNo(1), ..LogRead::default() };
    let actions = machine.step(Input::Fetched(read), now(0));
    let Some(Action::Commit { checkpoint, .. }) = actions.iter().find(|action| matches!(action, Action::Commit { .. }))
    else {
        panic!("no commit: {actions:?}")
    };
    assert_eq!((plan(checkpoint), checkpoint.low_water), (Some((1, 2, 1)), RecordNo::ZERO));
    assert!(!actions.iter().any(|action| matches!(action, Action::Invoke(_))), "{actions:?}");
    let actions = machine.step(Input::Committed, now(0));
    assert!(matches!(&actions[..], [Action::Invoke(invocation), ..] if invocation.plan == Some(1)), "{actions:?}");
}

/// docs/spec/sinks.md 1, "Repeat safety": a crash repeats the very same flush, whatever has come since.
#[test]
fn a_crash_repeats_the_planned_batch_and_no_other() {
    let mut before = Stage::new(planned(), [1, 2]);
    assert_eq!((before.batch(), plan(&before.checkpoint)), (vec![1, 2], Some((1, 2, 1))));
    // It goes out a second time with the same bounds when it has failed.
    before.fail();
    before.append([3, 4]);
    before.wait();
    assert_eq!((before.batch(), before.in_flight[0].plan), (vec![1, 2], Some(1)));
    let mut after = Stage::resume(planned(), 1..=9, before.checkpoint.clone());
    assert_eq!((after.batch(), after.in_flight[0].plan), (vec![1, 2], Some(1)));
    after.ok();
    assert_eq!((after.batch(), plan(&after.checkpoint)), (vec![3, 4, 5], Some((3, 5, 1))));
    // One that never failed shows no failure.
    let resumed = Stage::resume(planned(), 1..=9, after.checkpoint.clone());
    assert_eq!((resumed.batch(), resumed.machine.status().error), (vec![3, 4, 5], None));
}

/// What is left of a planned batch when a record of it is set aside is planned anew: under the old plan the target knows another one.
#[test]
fn a_planned_batch_that_lost_a_damaged_record_is_planned_anew() {
    let planned_1_to_3 = Stage::new(planned(), 1..=3).checkpoint;
    let mut stage = Stage::resume(planned(), [], planned_1_to_3);
    (stage.log, stage.damaged) = ((1..=5).map(record).collect(), Some(3));
    stage.wake_reader();
    assert!(stage.in_flight.is_empty(), "it may be mended");
    stage.input(Input::SkipDamaged(RecordNo(3)));
    assert_eq!((stage.batch(), plan(&stage.checkpoint)), (vec![1, 2], Some((1, 2, 1))));
    stage.ok();
    assert_eq!((stage.parked_lsns(), stage.batch()), (vec![3], vec![4, 5]));
}

/// A new version waits until what was planned under the old one is over, if it is told to hold; otherwise it plans anew.
#[test]
fn what_was_planned_is_finished_under_its_version() {
    let planned_under_1 = Stage::new(planned(), [1, 2]).checkpoint;
    let hold = Rules { hold: true, ..planned() };
    let mut held = Stage::resume(hold, 1..=9, planned_under_1.clone());
    assert_eq!(held.batch(), [1, 2]);
    held.ok();
    assert_eq!((held.batch(), plan(&held.checkpoint)), (vec![], None), "nothing new goes out");
    held.input(Input::Configure(Rules { plan: Some(2), ..planned() }));
    assert_eq!((held.batch(), held.in_flight[0].plan), (vec![3, 4, 5], Some(2)));
    let anew = Stage::resume(Rules { plan: Some(2), ..planned() }, 1..=9, planned_under_1);
    assert_eq!((anew.in_flight[0].plan, plan(&anew.checkpoint)), (Some(2), Some((1, 2, 2))));
}

/// docs/spec/sinks.md 1, "Poison records": they are set aside in the commit that steps over them, and never stop the shard.
#[test]
fn records_that_the_target_will_never_take_are_parked_and_the_others_are_done() {
    let mut stage = Stage::new(planned(), 1..=5);
    stage.answer(Outcome::DoneExcept(vec![(0, "no number".into()), (2, "too deep".into())]));
    assert_eq!(stage.parked_lsns(), [1, 3]);
    assert_eq!((stage.parked[1].reason, stage.parked[1].error.as_str()), (GiveUp::Rejected, "too deep"));
    assert_eq!((stage.checkpoint.low_water, stage.batch()), (RecordNo(3), vec![4, 5]));
    assert_eq!((stage.machine.status().parked_records, stage.machine.status().error), (2, None));
    stage.answer(Outcome::DoneExcept(Vec::new()));
    assert_eq!((stage.checkpoint.low_water, stage.parked.len()), (RecordNo(5), 2));
}

/// docs/spec/sinks.md 1: a target that stops early keeps what it has taken and what it will never take; the others come again.
#[test]
fn a_batch_that_ends_early_parks_what_was_rejected_before_its_end() {
    let mut stage = Stage::new(Rules { batch_records_max: 5, ..Rules::default() }, 1..=5);
    let rejected = vec![(0, "no number".into()), (2, "too deep".into())];
    stage.answer(Outcome::DoneUntil { index: 4, rejected, error: "stopped".into() });
    assert_eq!((stage.parked_lsns(), stage.checkpoint.low_water), (vec![1, 3], RecordNo(4)));
    assert_eq!(stage.batch(), [5]);
    // Nothing is rejected.
    stage.append(6..=8);
    stage.ok();
    stage.answer(Outcome::DoneUntil { index: 2, rejected: Vec::new(), error: "stopped".into() });
    assert_eq!((stage.parked.len(), stage.checkpoint.low_water, stage.batch()), (2, RecordNo(7), vec![8]));
    // None of them is left.
    stage.answer(Outcome::DoneUntil { index: 1, rejected: vec![(0, "no".into())], error: String::new() });
    assert_eq!((stage.parked_lsns(), stage.checkpoint.low_water), (vec![1, 3, 8], RecordNo(8)));
}

/// Without room for them nothing is lost: the rest waits, the status says why, and what is parked does not come again.
#[test]
fn a_full_lot_holds_the_batch_up() {
    let mut stage = Stage::new(Rules { parked_records_max: 1, ..planned() }, 1..=3);
    let both = || Outcome::DoneExcept(vec![(0, "no".into()), (1, "neither".into())]);
    stage.answer(both());
    let status = stage.machine.status();
    assert_eq!((status.state, status.error.as_deref()), (ShardState::Blocked, Some("neither")));
    assert_eq!((stage.checkpoint.low_water, stage.parked_lsns()), (RecordNo::ZERO, vec![1]));
    // The first is retried, which makes room for the second.
    stage.input(Input::ParkedRemoved(ParkedSize { records: 1, bytes: 0 }));
    assert_eq!((stage.checkpoint.low_water, stage.parked_lsns()), (RecordNo(3), vec![1, 2]));
    assert_eq!((stage.batch(), stage.machine.status().state), (vec![], ShardState::Idle));
}

/// More than one commit holds is parked by several, and the batch is over with the last.
#[test]
fn what_one_commit_parks_of_a_batch_is_bounded() {
    const IMAGE: usize = 800_000;
    let rules = Rules { batch_records_max: 30, parked_bytes_max: u64::MAX, ..planned() };
    let large = |number| {
        let logged = LogRecord { new: Some(Bytes::from(vec![b' '; IMAGE])), ..record(number).logged };
        Record { logged, ..record(number) }
    };
    let mut stage = Stage::resume(rules, [], Checkpoint::starting_after(RecordNo::ZERO, 1));
    stage.log = (1..=30).map(large).collect();
    stage.wake_reader();
    let rejected = (0..30).map(|index| (index, "no".to_owned())).collect();
    stage.answer(Outcome::DoneExcept(rejected));
    assert_eq!(stage.parked_lsns(), (1..=30).collect::<Vec<_>>());
    assert_eq!(stage.checkpoint.low_water, RecordNo(30));
    let parking = |action: &&Action| matches!(action, Action::Commit { parked, .. } if !parked.is_empty());
    let mut commits = stage.seen.iter().filter(parking);
    assert!(commits.clone().count() >= 4, "30 rows of over a million bytes");
    let Some(Action::Commit { checkpoint, .. }) = commits.next() else { unreachable!() };
    assert_eq!(plan(checkpoint), Some((1, 30, 1)), "a crash between them brings the batch back");
}

/// What is behind a planned batch is not looked at by its rules: others may want what these pass over.
#[test]
fn what_is_not_planned_is_not_passed_over_while_the_rest_waits() {
    let hold = Rules { hold: true, window: Duration::from_secs(5), ..planned() };
    let mut machine = machine(hold, Stage::new(planned(), [1, 2]).checkpoint);
    let actions = machine.step(Input::Tick, now(0));
    assert!(matches!(actions[..], [Action::Fetch { .. }]), "{actions:?}");
    // 5 is not wanted by the filter of the old rules; 6 is damaged.
    let damaged = Damaged { logged: record(6).logged, error: "bad bytes".into() };
    let (records, next) = ([1, 2, 3, 4].map(record).to_vec(), RecordNo(5));
    let read =
        LogRead { records, next, unwanted: 1, horizon: RecordNo(1), damaged: Some(damaged), ..LogRead::default() };
    let actions = machine.step(Input::Fetched(read), now(0));
    let [Action::Invoke(Invocation { id, records, .. })] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(records.len(), 2);
    assert_eq!((machine.status().damaged, machine.status().pending_records), (None, 2));
    // Nothing more is read, however long it takes.
    let answer = Outcome::Done.into();
    let actions = machine.step(Input::Invoked { id: *id, answer, jitter: 0 }, now(60_000));
    let [Action::Commit { checkpoint, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((checkpoint.low_water, plan(checkpoint)), (RecordNo(2), None));
    assert_eq!(machine.step(Input::Committed, now(60_000)), []);
    assert_eq!(machine.next_wake(), None);
}

#[test]
fn a_window_gathers_what_is_planned() {
    let rules = Rules { window: Duration::from_secs(5), ..planned() };
    let mut stage = Stage::new(rules, [1]);
    assert_eq!((stage.batch(), plan(&stage.checkpoint)), (vec![], None));
    stage.append([2]);
    stage.wait();
    assert_eq!((stage.batch(), plan(&stage.checkpoint)), (vec![1, 2], Some((1, 2, 1))));
}

/// docs/spec/sinks.md 4.2: the target's progress is trusted over the checkpoint.
#[test]
fn what_a_target_has_lost_is_read_again() {
    let marked = Rules { mark: Some(1), ..planned() };
    let mut stage = Stage::new(marked.clone(), 1..=6);
    assert_eq!(stage.in_flight[0].taken, None, "nothing was taken yet");
    stage.ok();
    stage.ok();
    assert_eq!(stage.checkpoint.low_water, RecordNo(6));
    // The reader waits at the end; what comes is of a target that was restored.
    stage.append([7]);
    assert_eq!((stage.batch(), stage.in_flight[0].taken), (vec![7], Some(took(1, 6))));
    stage.answer(Outcome::Behind { at: RecordNo(2), error: "restored".into() });
    assert_eq!((stage.checkpoint.low_water, plan(&stage.checkpoint)), (RecordNo(2), Some((3, 5, 1))));
    assert_eq!((stage.batch(), stage.in_flight[0].taken), (vec![3, 4, 5], Some(took(1, 2))));
    stage.ok();
    assert_eq!(stage.batch(), [6, 7]);
    stage.ok();
    assert_eq!((stage.checkpoint.low_water, stage.parked_lsns()), (RecordNo(7), vec![]));
    // A restart goes on from there; under another mark it is told what was taken under that one.
    let resumed = Stage::resume(marked.clone(), 1..=9, stage.checkpoint.clone());
    assert_eq!(resumed.in_flight[0].taken, Some(took(1, 7)));
    let mut other = Stage::resume(Rules { mark: Some(2), plan: Some(2), ..marked }, 1..=9, stage.checkpoint.clone());
    assert_eq!(other.in_flight[0].taken, Some(took(1, 7)));
    other.answer(Outcome::Behind { at: RecordNo(5), error: "restored".into() });
    assert_eq!((other.batch(), other.in_flight[0].taken), (vec![6, 7, 8], Some(took(2, 5))));
    // Who was told nothing cannot be behind it: that is a failure.
    let mut unmarked = Stage::resume(planned(), 1..=9, stage.checkpoint);
    assert_eq!(unmarked.in_flight[0].taken, None);
    unmarked.answer(Outcome::Behind { at: RecordNo(2), error: "who knows".into() });
    assert_eq!((unmarked.checkpoint.low_water, unmarked.batch()), (RecordNo(7), vec![]), "it is tried again");
}

fn took(mark: u32, last: u64) -> Taken {
    Taken { mark, last: RecordNo(last) }
}

/// What the stream has dropped meanwhile cannot be brought again, and that is told.
#[test]
fn what_a_target_has_lost_and_the_log_too_is_counted() {
    let mut stage = Stage::new(Rules { mark: Some(1), ..planned() }, 1..=6);
    stage.ok();
    stage.ok();
    stage.horizon = RecordNo(5);
    stage.append([7]);
    stage.answer(Outcome::Behind { at: RecordNo(2), error: "restored".into() });
    assert_eq!((stage.batch(), stage.machine.status().trimmed_gaps), (vec![5, 6, 7], 1));
    let told = Action::Trimmed { after: RecordNo(2), horizon: RecordNo(5) };
    assert!(stage.seen.contains(&told), "{:?}", stage.seen);
}

/// What was being read when the target went back is of another place, even if nothing is read from there any more.
#[test]
fn what_was_being_read_when_the_target_went_back_is_not_taken() {
    let mut stage = Stage::new(Rules { mark: Some(1), plan: None, ..planned() }, 1..=6);
    stage.ok();
    stage.ok();
    stage.append([7]);
    // The reader waits behind 7, and the sink is stopped: what comes then must not pass for all that there is behind 2.
    let id = stage.in_flight.pop_front().expect("a batch").id;
    let now = now(stage.now_ms);
    stage.machine.step(Input::Stop, now);
    let answer = Outcome::Behind { at: RecordNo(2), error: "restored".into() }.into();
    let mut actions = stage.machine.step(Input::Invoked { id, answer, jitter: 0 }, now);
    let read = LogRead { records: vec![record(8)], next: RecordNo(8), horizon: RecordNo(1), ..LogRead::default() };
    actions.extend(stage.machine.step(Input::Fetched(read), now));
    actions.extend(stage.machine.step(Input::Committed, now));
    let commits = actions.iter().filter_map(|action| match action {
        Action::Commit { checkpoint, .. } => Some(checkpoint.low_water),
        _ => None,
    });
    assert_eq!(commits.collect::<Vec<_>>(), [RecordNo(2)], "{actions:?}");
    assert_eq!(actions.last(), Some(&Action::Stopped));
}

/// What is rejected of a batch that a stop ends early is set aside before the machine stops, and what was done before it stays done.
#[test]
fn a_stop_keeps_what_is_done_of_a_batch_and_parks_what_was_rejected() {
    let mut stage = Stage::new(Rules { mark: Some(1), plan: None, batch_records_max: 6, ..Rules::default() }, 1..=6);
    stage.input(Input::Stop);
    let rejected = vec![(1, "no".to_owned())];
    stage.answer(Outcome::DoneUntil { index: 4, rejected, error: "the sink is stopped".into() });
    assert_eq!((stage.checkpoint.low_water, stage.parked_lsns()), (RecordNo(4), vec![2]));
    assert_eq!(stage.seen.last(), Some(&Action::Stopped));
    let again = Stage::resume(planned(), 1..=6, stage.checkpoint);
    assert_eq!((again.batch(), again.machine.status().error), (vec![5, 6], None));
}
