//! Random rules, updates of them, filters, windows, outcomes, delays and crashes at any point, from the last durable checkpoint
//! each time, to the end of the shard. Afterwards: no record is lost, each key is in order, each record that was done in a window is
//! in what its last call got, once; a crash repeats no more than the invariant of the machine allows, no checkpoint was ahead of an
//! effect, and nothing was tried more often than the rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// What the world holds outside the machine.
struct World {
    rules: Rules,
    /// What updates make of the rules, one after the other.
    updates: Vec<Rules>,
    updated: usize,
    /// Numbers that the target does not want are its multiples.
    unwanted: u64,
    /// What the last call of each window got, or what was lost with it: numbers, by the window's bounds.
    ends: BTreeMap<(u64, u64), Vec<u64>>,
    /// The target says which record failed.
    reports: bool,
    log: Vec<Record>,
    poison: BTreeSet<u64>,
    seed: u64,
    durable: Checkpoint,
    parked: BTreeMap<u64, Parked>,
    /// Each successful delivery, in order.
    delivered: Vec<u64>,
    /// The batches that went out as planned, by their first record.
    planned: BTreeMap<u64, Vec<u64>>,
    /// The target itself says which records it will never take.
    rejects: bool,
}

/// The work under way in one life.
#[derive(Default)]
struct Life {
    fetch: Option<RecordNo>,
    invocations: Vec<Invocation>,
    commit: Option<(Checkpoint, Vec<Parked>)>,
    finished: bool,
}

impl World {
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn read(&mut self, after: RecordNo) -> LogRead {
        let most = 1 + self.random(40) as usize;
        let behind: Vec<Record> = self.log.iter().filter(|record| record.number() > after).cloned().collect();
        let more = behind.len() > most;
        let mut records: Vec<Record> = behind.into_iter().take(most).collect();
        let next = records.last().map_or(after, Record::number);
        let newest = records.last().map_or(EpochMs::ZERO, Record::time);
        let read = records.len();
        records.retain(|record| self.is_wanted(record.number().0));
        let unwanted = read - records.len();
        LogRead { records, unwanted, newest, next, more, ended: !more, horizon: RecordNo(1), damaged: None }
    }

    fn is_wanted(&self, number: u64) -> bool {
        !number.is_multiple_of(self.unwanted)
    }

    /// The target: in a window it keeps the numbers that it has seen.
    fn answer(&mut self, invocation: &Invocation) -> Answer {
        assert!(invocation.failed_before <= self.retries_max(), "a batch is tried too often");
        let splits = self.reports || self.updates.iter().any(|rules| rules.bisect);
        if invocation.plan.is_some() && !splits {
            let numbers = lsns(invocation);
            let first = self.planned.entry(numbers[0]).or_insert_with(|| numbers.clone());
            assert_eq!(*first, numbers, "a planned batch comes again as it was");
        }
        let outcome = self.outcome(invocation);
        let Some(window) = &invocation.window else { return outcome.into() };
        let mut state: Vec<u64> = match window.state.as_ref() {
            "{}" => Vec::new(),
            state => serde_json::from_str(state).expect("a state of this target"),
        };
        let bounds = (window.start_ms.0, window.end_ms.0);
        if window.is_final {
            assert!(invocation.records.is_empty());
            if outcome == Outcome::Done {
                self.ends.insert(bounds, state);
            }
            return outcome.into();
        }
        let inside = |record: &Record| (bounds.0..bounds.1).contains(&record.time().0);
        assert!(invocation.records.iter().all(inside), "a batch is of its window");
        let done = match outcome {
            Outcome::Done => invocation.records.len(),
            Outcome::FailedFrom { index, .. } => index,
            _ => 0,
        };
        state.extend(lsns(invocation).iter().take(done));
        Answer { outcome, state: Some(serde_json::to_string(&state).expect("numbers").into()) }
    }

    fn retries_max(&self) -> u32 {
        self.updates.iter().filter_map(|rules| rules.retries_max).max().unwrap_or(0)
    }

    /// A checkpoint calls nothing done that has no effect.
    fn check_commit(&self, checkpoint: &Checkpoint) {
        let lanes = checkpoint.done.len() as u64;
        for record in &self.log {
            let (number, done) = (record.number(), checkpoint.done[(record.key_hash % lanes) as usize]);
            let effective = self.delivered.contains(&number.0) || self.parked.contains_key(&number.0);
            assert!(number > done || effective || !self.is_wanted(number.0), "{number:?} is called done and is not");
        }
    }

    fn outcome(&mut self, invocation: &Invocation) -> Outcome {
        let bad = invocation.records.iter().position(|record| self.poison.contains(&record.number().0));
        if self.rejects && invocation.window.is_none() && self.random(4) > 0 {
            let is_poison = |(index, record): (usize, &Record)| {
                self.poison.contains(&record.number().0).then(|| (index, "never".to_owned()))
            };
            let rejected: Vec<_> = invocation.records.iter().enumerate().filter_map(is_poison).collect();
            let good = invocation.records.iter().filter(|record| !self.poison.contains(&record.number().0));
            self.delivered.extend(good.map(|record| record.number().0));
            return Outcome::DoneExcept(rejected);
        }
        let delivered: Vec<u64> = match (bad, self.random(10)) {
            (_, 0) => return Outcome::NotInvoked("throttled".into()),
            (_, 1) => return Outcome::Failed("chance".into()),
            (None, _) => invocation.records.iter().map(|record| record.number().0).collect(),
            (Some(index), _) if self.reports => {
                self.delivered.extend(invocation.records[..index].iter().map(|record| record.number().0));
                return Outcome::FailedFrom { index, error: "reported".into() };
            }
            (Some(_), _) => return Outcome::Failed("poison".into()),
        };
        self.delivered.extend(delivered);
        Outcome::Done
    }

    /// One life of the machine, until it finishes or crashes.
    fn live(&mut self, crash_in: u64, now_ms: &mut u64) -> bool {
        let bytes = self.parked.values().map(|parked| stored_bytes(&parked.logged)).sum();
        let parked = ParkedSize { records: self.parked.len() as u64, bytes };
        let mut machine = ShardMachine::new(self.rules.clone(), BATCH_BYTES_MAX, self.durable.clone(), parked);
        if self.durable.finished {
            return true;
        }
        let mut life = Life::default();
        let mut input = Input::Tick;
        for _ in 0..crash_in {
            for action in machine.step(input, now(*now_ms)) {
                match action {
                    Action::Fetch { after, .. } => assert!(life.fetch.replace(after).is_none()),
                    Action::Invoke(invocation) => life.invocations.push(invocation),
                    Action::Commit { checkpoint, parked } => {
                        assert!(life.commit.replace((checkpoint, parked)).is_none(), "one commit at a time");
                    }
                    Action::WindowLost { window, .. } => {
                        let numbers = serde_json::from_str(&window.state).unwrap_or_default();
                        self.ends.insert((window.start_ms.0, window.end_ms.0), numbers);
                    }
                    Action::Finished => life.finished = true,
                    Action::Stopped | Action::Trimmed { .. } => unreachable!("neither stopped nor trimmed"),
                }
            }
            if life.finished {
                assert_eq!((life.invocations.len(), life.commit.is_some()), (0, false));
                return true;
            }
            input = self.next_input(&machine, &mut life, now_ms);
        }
        false
    }

    fn next_input(&mut self, machine: &ShardMachine, life: &mut Life, now_ms: &mut u64) -> Input {
        loop {
            match self.random(5) {
                4 if self.updates.len() > 1 && self.random(8) == 0 => {
                    self.updated = (self.updated + 1) % self.updates.len();
                    self.rules = self.updates[self.updated].clone();
                    return Input::Configure(self.rules.clone());
                }
                0 if life.fetch.is_some() => {
                    let after = life.fetch.take().expect("some");
                    return Input::Fetched(self.read(after));
                }
                1 if !life.invocations.is_empty() => {
                    let index = self.random(life.invocations.len() as u64) as usize;
                    let invocation = life.invocations.swap_remove(index);
                    let answer = self.answer(&invocation);
                    return Input::Invoked { id: invocation.id, answer, jitter: self.random(1 << 31) as u32 };
                }
                2 if life.commit.is_some() => {
                    let (checkpoint, parked) = life.commit.take().expect("some");
                    self.durable = Checkpoint::decode(&checkpoint.encode()).expect("readable");
                    for record in parked {
                        assert!((1..=self.retries_max() + 1).contains(&record.invocations), "{}", record.invocations);
                        assert!(self.parked.insert(record.logged.number.0, record).is_none(), "parked once");
                    }
                    self.check_commit(&checkpoint);
                    return Input::Committed;
                }
                3 => match machine.next_wake() {
                    Some(at) => {
                        *now_ms = (*now_ms).max(at.0);
                        return Input::Tick;
                    }
                    None => {
                        let stuck = life.fetch.is_none() && life.invocations.is_empty() && life.commit.is_none();
                        assert!(!stuck, "the machine waits for nothing: {:?}", machine.status());
                    }
                },
                _ => {}
            }
        }
    }
}

fn check_world(world: &World) {
    for record in &world.log {
        let number = record.number().0;
        let delivered = world.delivered.contains(&number);
        if !world.is_wanted(number) {
            assert!(!delivered && !world.parked.contains_key(&number), "record {number} is not wanted");
            continue;
        }
        assert!(delivered || world.parked.contains_key(&number), "record {number} is lost");
        assert!(
            !world.poison.contains(&number) || world.parked.contains_key(&number),
            "poison record {number} vanished"
        );
        if world.rules.tumbling_window.is_some() {
            let ends = world.ends.values().flatten().filter(|end| **end == number).count();
            let expected = usize::from(!world.parked.contains_key(&number));
            assert_eq!(ends, expected, "record {number} in the last calls of windows");
        }
    }
    let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for number in &world.delivered {
        let key = world.log[(*number - 1) as usize].key_hash;
        if seen.insert(*number) {
            let newest = newest.entry(key).or_default();
            assert!(*newest < *number, "key {key}: {number} was first delivered after {newest}");
            *newest = *number;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Architecture 2, invariant 6; spec 10.
    #[test]
    fn nothing_is_lost_reordered_or_repeated_without_need(
        seed in any::<u64>(),
        records in 1..120u64,
        keys in 1..12u64,
        batch_records_max in 1..20usize,
        lanes in prop::collection::vec(1..5u16, 1..12),
        (unwanted, filtered) in (2..6u64, any::<bool>()),
        updates in prop::collection::vec((1..20usize, 1..5u16, 0..3u32, any::<bool>()), 0..3),
        tumbling in prop::sample::select(vec![None, None, Some(7), Some(30)]),
        (retries, bisect) in (0..3u32, any::<bool>()),
        report_failures in any::<bool>(),
        window_ms in prop::sample::select(vec![0u64, 2000]),
        (plan, rejects) in (prop::sample::select(vec![None, Some(1)]), any::<bool>()),
        poison in prop::collection::btree_set(1..120u64, 0..6),
        crashes in prop::collection::vec(1..60u64, 0..12),
    ) {
        let rules = Rules {
            batch_records_max, lanes: lanes[0], retries_max: Some(retries), bisect, window: Duration::from_millis(window_ms),
            tumbling_window: tumbling.map(Duration::from_secs), plan, ..Rules::default()
        };
        let updates: Vec<Rules> = std::iter::once(rules.clone())
            .chain(updates.into_iter().map(|(batch_records_max, lanes, retries, bisect)| Rules {
                batch_records_max, lanes, retries_max: Some(retries), bisect, ..rules.clone()
            }))
            .collect();
        let batch_records_max = updates.iter().map(|rules| rules.batch_records_max).max().unwrap_or(1);
        let updated_lanes = updates.iter().map(|rules| rules.lanes).max().unwrap_or(1);
        let mut world = World {
            durable: Checkpoint::starting_after(RecordNo::ZERO, rules.lanes),
            rules,
            updates,
            updated: 0,
            unwanted: if filtered { unwanted } else { u64::MAX },
            ends: BTreeMap::new(),
            reports: report_failures,
            log: (1..=records).map(|number| Record { key_hash: number * 7 % keys, ..record(number) }).collect(),
            poison: poison.into_iter().filter(|number| *number <= records).collect(),
            seed,
            parked: BTreeMap::new(),
            delivered: Vec::new(),
            planned: BTreeMap::new(),
            rejects,
        };
        let mut now_ms = 0;
        for (life, crash_in) in crashes.into_iter().enumerate() {
            let low_water = world.durable.low_water;
            let (before, delivered_before) = (world.durable.clone(), world.delivered.len());
            let lanes_begun = world.rules.lanes;
            let over = world.live(crash_in, &mut now_ms);
            // Nothing that a checkpoint called done comes again.
            for number in &world.delivered[delivered_before..] {
                prop_assert!(*number > before.low_water.0, "record {} was done", number);
                prop_assert!(!world.parked.contains_key(number) || *number > low_water.0);
            }
            // What this life delivered and is not durable is at most two batches in each of the lanes that it had: those of
            // the checkpoint, and those of the rules once the former are drained.
            let lanes_now = world.durable.done.len() as u64;
            let lanes_most = before.done.len().max(usize::from(lanes_begun.max(updated_lanes)));
            let undone: BTreeSet<u64> = world.delivered[delivered_before..].iter().copied().filter(|number| {
                let key = world.log[(*number - 1) as usize].key_hash;
                RecordNo(*number) > world.durable.done[(key % lanes_now) as usize] && !world.parked.contains_key(number)
            }).collect();
            prop_assert!(undone.len() <= 2 * batch_records_max * lanes_most, "{} repeat", undone.len());
            if over { break }
            // The number of lanes may change between two lives.
            world.rules.lanes = lanes[(life + 1) % lanes.len()];
        }
        prop_assert!(world.live(u64::MAX, &mut now_ms), "the last life runs to the end");
        prop_assert!(world.durable.finished);
        prop_assert_eq!(world.durable.low_water, RecordNo(records));
        check_world(&world);
    }
}
