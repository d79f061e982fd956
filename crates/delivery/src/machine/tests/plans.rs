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
