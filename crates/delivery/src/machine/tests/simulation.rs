//! Random rules, updates of them, filters, windows, outcomes, delays, stops, trims, targets that are restored from a backup, and
//! crashes at any point, from the last durable checkpoint each time, to the end of the shard. Afterwards: no record is lost but those
//! of a gap that was told, each key is in order, each record that was done in a window is in what its last call got, once; a crash
//! repeats no more than the invariant of the machine allows, a stop repeats nothing, no checkpoint was ahead of an effect, and nothing
//! was tried more or less often than the rules say. Where nothing but calls and their failures happens, each call is the one that AWS
//! would make.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::attempts::Attempts;
use super::*;

/// All records are wanted.
const NONE_UNWANTED: u64 = u64::MAX;

/// What the world holds outside the machine.
struct World {
    rules: Rules,
    /// What updates make of the rules, one after the other.
    updates: Vec<Rules>,
    updated: usize,
    /// Numbers that the target does not want are its multiples.
    unwanted: u64,
    /// What updates make of the filter, one after the other.
    filters: VecDeque<u64>,
    /// It is stored: the next life begins with it.
    filter_next: Option<u64>,
    /// Unwanted by one filter of those that there were.
    ever_unwanted: BTreeSet<u64>,
    /// Records that a checkpoint called done while the target did not want them.
    passed_over: BTreeSet<u64>,
    /// What the last call of each window got, or what was lost with it: numbers, by the window's bounds.
    ends: BTreeMap<(u64, u64), Vec<u64>>,
    /// Updates make an end of windows.
    loses_windows: bool,
    /// What the target got while there were no windows yet.
    windowless: BTreeSet<u64>,
    /// The target says which record failed.
    reports: bool,
    log: Vec<Record>,
    poison: BTreeSet<u64>,
    seed: u64,
    durable: Checkpoint,
    parked: BTreeMap<u64, Parked>,
    /// The calls of each record that failed with it.
    failed_calls: BTreeMap<u64, u32>,
    /// What AWS would call, where nothing but failures happens.
    attempts: Option<Attempts>,
    windows_lost: u32,
    /// Each successful delivery, in order.
    delivered: Vec<u64>,
    /// The batches that went out as planned, by their first record.
    planned: BTreeMap<u64, Vec<u64>>,
    /// The target itself says which records it will never take.
    rejects: bool,
    /// There is no room in memory but for what a shard without records reads.
    crowds: bool,
    /// The shard is stopped now and then.
    stops: bool,
    /// The stream drops records that were not read.
    trims: bool,
    /// The first record that the stream still has.
    horizon: u64,
    /// The gaps that were told, by their first and behind their last number.
    gaps: Vec<(u64, u64)>,
    /// How often the target may still be restored.
    restores: u32,
    /// The last record that the target has taken.
    progress: RecordNo,
    /// A backup of the target: how much was delivered by then, and its progress.
    backup: (usize, RecordNo),
    /// The target was restored, and no checkpoint has gone back since.
    restored: bool,
    told_behind: bool,
    /// Behind here records may be set aside again: the target was restored.
    again_behind: u64,
}

/// How a life ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Finished,
    Stopped,
    Crashed,
}

/// The work under way in one life.
#[derive(Default)]
struct Life {
    fetch: Option<RecordNo>,
    /// It waits for room in memory, or does not.
    crowded: Option<bool>,
    invocations: Vec<Invocation>,
    commit: Option<(Checkpoint, Vec<Parked>)>,
    recalled: BTreeSet<InvocationId>,
    stopping: bool,
    next: VecDeque<Input>,
}

impl Life {
    fn waits_for_room(&self, machine: &ShardMachine) -> bool {
        self.crowded == Some(true) && machine.held_bytes() > 0
    }
}

impl World {
    /// A world in which nothing but the log's end comes.
    fn new(rules: Rules, log: Vec<Record>, seed: u64) -> World {
        World {
            durable: Checkpoint::starting_after(RecordNo::ZERO, rules.lanes),
            updates: vec![rules.clone()],
            rules,
            updated: 0,
            unwanted: NONE_UNWANTED,
            filters: VecDeque::new(),
            filter_next: None,
            ever_unwanted: BTreeSet::new(),
            passed_over: BTreeSet::new(),
            ends: BTreeMap::new(),
            loses_windows: false,
            windowless: BTreeSet::new(),
            reports: false,
            log,
            poison: BTreeSet::new(),
            seed,
            parked: BTreeMap::new(),
            failed_calls: BTreeMap::new(),
            attempts: None,
            windows_lost: 0,
            delivered: Vec::new(),
            planned: BTreeMap::new(),
            rejects: false,
            crowds: false,
            stops: false,
            trims: false,
            horizon: 1,
            gaps: Vec::new(),
            restores: 0,
            progress: RecordNo::ZERO,
            backup: (0, RecordNo::ZERO),
            restored: false,
            told_behind: false,
            again_behind: u64::MAX,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn read(&mut self, after: RecordNo) -> LogRead {
        let most = 1 + self.random(40) as usize;
        if self.trims && self.random(6) == 0 {
            let newest = self.log.len() as u64;
            self.horizon = self.horizon.max((after.0 + self.random(20)).min(newest));
        }
        let is_there = |record: &&Record| record.number() > after && record.number().0 >= self.horizon;
        let behind: Vec<Record> = self.log.iter().filter(is_there).cloned().collect();
        let more = behind.len() > most;
        let mut records: Vec<Record> = behind.into_iter().take(most).collect();
        let next = records.last().map_or(after, Record::number);
        let newest = records.last().map_or(EpochMs::ZERO, Record::time);
        let read = records.len();
        records.retain(|record| self.is_wanted(record.number().0));
        let unwanted = read - records.len();
        LogRead { records, unwanted, newest, next, more, ended: !more, horizon: RecordNo(self.horizon), damaged: None }
    }

    fn is_wanted(&self, number: u64) -> bool {
        !number.is_multiple_of(self.unwanted)
    }

    /// The machine is begun anew with a filter: nothing else may know of it.
    fn filter_by(&mut self, unwanted: u64) {
        self.unwanted = unwanted;
        let numbers = 1..=self.log.len() as u64;
        self.ever_unwanted.extend(numbers.filter(|number| number.is_multiple_of(unwanted)));
    }

    /// The target: in a window it keeps the numbers that it has seen.
    fn answer(&mut self, invocation: &Invocation) -> Answer {
        assert!(invocation.failed_before <= self.retries().1, "a batch is tried too often");
        assert!(lsns(invocation).iter().all(|number| self.is_wanted(*number)), "all of a batch is wanted");
        if invocation.taken.is_some_and(|taken| self.progress < taken.last) {
            self.again_behind = self.again_behind.min(self.progress.0);
            self.told_behind = true;
            return Outcome::Behind { at: self.progress, error: "restored".into() }.into();
        }
        self.restored = false;
        let splits =
            self.reports || self.trims || self.rules.mark.is_some() || self.updates.iter().any(|rules| rules.bisect);
        if invocation.plan.is_some() && !splits {
            let numbers = lsns(invocation);
            let first = self.planned.entry(numbers[0]).or_insert_with(|| numbers.clone());
            assert_eq!(*first, numbers, "a planned batch comes again as it was");
        }
        let outcome = self.outcome(invocation);
        let taken =
            invocation.records.len() - outcome.failure(invocation.records.len()).map_or(0, |(failed, _)| failed);
        if !matches!(outcome, Outcome::NotInvoked(_)) {
            for number in lsns(invocation).split_off(taken) {
                *self.failed_calls.entry(number).or_default() += 1;
            }
        }
        if let Some(last) = taken.checked_sub(1) {
            self.progress = self.progress.max(invocation.records[last].number());
        }
        let Some(window) = &invocation.window else {
            self.windowless.extend(lsns(invocation));
            return outcome.into();
        };
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
        // A window that an update has ended is over: what it did not get is in the next one.
        let from = if self.loses_windows { 0 } else { bounds.0 };
        let inside = |record: &Record| (from..bounds.1).contains(&record.time().0);
        assert!(invocation.records.iter().all(inside), "a batch is of its window");
        let done = match outcome {
            Outcome::Done => invocation.records.len(),
            Outcome::FailedFrom { index, .. } => index,
            _ => 0,
        };
        state.extend(lsns(invocation).iter().take(done));
        Answer { outcome, state: Some(serde_json::to_string(&state).expect("numbers").into()) }
    }

    fn is_in_a_gap(&self, number: u64) -> bool {
        self.gaps.iter().any(|(first, behind)| (*first..*behind).contains(&number))
    }

    /// What the target has is what it had at an earlier time.
    fn restore(&mut self) {
        self.restores -= 1;
        self.delivered.truncate(self.backup.0);
        self.progress = self.progress.min(self.backup.1);
        (self.restored, self.told_behind) = (true, false);
    }

    /// The least and the most of what updates make of MaximumRetryAttempts.
    fn retries(&self) -> (u32, u32) {
        let all = || self.updates.iter().filter_map(|rules| rules.retries_max);
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }

    /// A checkpoint is durable.
    fn commit(&mut self, checkpoint: Checkpoint) {
        let is_done = |record: &&Record, checkpoint: &Checkpoint| {
            record.number() <= checkpoint.done[(record.key_hash % checkpoint.done.len() as u64) as usize]
        };
        let newly = |record: &&Record| is_done(record, &checkpoint) && !is_done(record, &self.durable);
        let unwanted = |record: &&Record| !self.is_wanted(record.number().0);
        let passed_over: Vec<u64> =
            self.log.iter().filter(newly).filter(unwanted).map(|record| record.number().0).collect();
        self.passed_over.extend(passed_over);
        self.durable = checkpoint;
    }

    /// A checkpoint calls nothing done that has no effect, unless the target did not want it then.
    fn check_commit(&self, checkpoint: &Checkpoint) {
        let lanes = checkpoint.done.len() as u64;
        for record in &self.log {
            let (number, done) = (record.number(), checkpoint.done[(record.key_hash % lanes) as usize]);
            assert!(number > done || self.is_over(number.0), "{number:?} is called done and is not");
        }
    }

    fn is_over(&self, number: u64) -> bool {
        let passed = self.passed_over.contains(&number) || self.is_in_a_gap(number);
        passed || self.delivered.contains(&number) || self.parked.contains_key(&number)
    }

    /// A record is given up when it failed as often as the rules say, and was called so often.
    fn check_parked(&self, parked: &Parked) {
        let number = parked.logged.number.0;
        assert!(self.is_wanted(number), "{number} is parked and was not wanted");
        let failed = match self.ever_unwanted.contains(&number) {
            // Another filter may have put it into a batch that had failed before.
            true => u32::MAX - 1,
            false => self.failed_calls.get(&number).copied().unwrap_or(0),
        };
        let (least, most) = match parked.reason {
            GiveUp::RetryAttemptsExhausted => (self.retries().0 + 1, failed),
            // AWS tells 1 of what became too old before its first call.
            GiveUp::RecordAgeExceeded => (1, failed.max(1)),
            // The last call was a success but for it.
            GiveUp::Rejected => (1, failed + 1),
            GiveUp::Undeliverable | GiveUp::Damaged => panic!("nothing here is {:?}", parked.reason),
        };
        let most = most.min(self.retries().1 + 1);
        assert!((least..=most).contains(&parked.invocations), "{parked:?}: {least} to {most} calls");
    }

    fn outcome(&mut self, invocation: &Invocation) -> Outcome {
        let bad = invocation.records.iter().position(|record| self.poison.contains(&record.number().0));
        if self.rejects && invocation.window.is_none() && self.random(4) > 0 {
            let is_poison = |(index, record): (usize, &Record)| {
                self.poison.contains(&record.number().0).then(|| (index, "never".to_owned()))
            };
            let rejected: Vec<_> = invocation.records.iter().enumerate().filter_map(is_poison).collect();
            // Now and then it stops early.
            let whole = invocation.records.len();
            let index = if self.random(3) == 0 { 1 + self.random(whole as u64) as usize } else { whole };
            let rejected: Vec<_> = rejected.into_iter().filter(|(rejected, _)| *rejected < index).collect();
            let taken = invocation.records[..index].iter();
            let good = taken.filter(|record| !self.poison.contains(&record.number().0));
            self.delivered.extend(good.map(|record| record.number().0));
            return match index < whole {
                true => Outcome::DoneUntil { index, rejected, error: "stopped".into() },
                false => Outcome::DoneExcept(rejected),
            };
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

    fn parked_size(&self) -> ParkedSize {
        let bytes = self.parked.values().map(|parked| stored_bytes(&parked.logged)).sum();
        ParkedSize { records: self.parked.len() as u64, bytes }
    }

    /// One life of the machine, until it finishes, stops or crashes.
    fn live(&mut self, crash_in: u64, now_ms: &mut u64) -> End {
        let parked = self.parked_size();
        if let Some(filter) = self.filter_next.take() {
            self.filter_by(filter);
        }
        let mut machine = ShardMachine::new(self.rules.clone(), BATCH_BYTES_MAX, self.durable.clone(), parked);
        if self.durable.finished {
            return End::Finished;
        }
        let mut life = Life::default();
        let mut input = Input::Tick;
        for _ in 0..crash_in {
            for action in machine.step(input, now(*now_ms)) {
                match action {
                    // Behind a target that was restored, one takes the place of another.
                    Action::Fetch { after, at_once, .. } => {
                        let other = life.fetch.replace(after);
                        life.crowded = (at_once || !self.crowds).then_some(false);
                        assert!(other.is_none() || self.again_behind < u64::MAX, "one fetch at a time");
                    }
                    Action::Invoke(invocation) => {
                        assert!(!life.stopping, "nothing goes out behind a stop");
                        if let (Some(length), None) = (self.rules.tumbling_window, &invocation.window) {
                            let aligned = |record: &Record| record.time().0 / length.as_millis() as u64;
                            let windows: BTreeSet<u64> = invocation.records.iter().map(aligned).collect();
                            assert_eq!(windows.len(), 1, "a batch that is a window of its own is in one");
                        }
                        if let Some(attempts) = &mut self.attempts {
                            attempts.called(&invocation);
                        }
                        life.invocations.push(invocation);
                    }
                    Action::Commit { checkpoint, parked } => {
                        assert!(life.commit.replace((checkpoint, parked)).is_none(), "one commit at a time");
                    }
                    Action::WindowLost { window, .. } => {
                        self.windows_lost += 1;
                        let numbers = serde_json::from_str(&window.state).unwrap_or_default();
                        self.ends.insert((window.start_ms.0, window.end_ms.0), numbers);
                    }
                    Action::Recall(id) => {
                        assert!(life.invocations.iter().any(|invocation| invocation.id == id), "it is out");
                        life.recalled.insert(id);
                    }
                    Action::Finished | Action::Stopped => {
                        assert_eq!((life.invocations.len(), life.commit.is_some()), (0, false), "all came back before");
                        assert!(machine.pending_records() > 0 || machine.held_bytes() == 0, "all is given back");
                        assert!(life.stopping || action == Action::Finished, "nobody said stop");
                        return if action == Action::Stopped { End::Stopped } else { End::Finished };
                    }
                    Action::Trimmed { after, horizon } => self.gaps.push((after.0 + 1, horizon.0)),
                }
            }
            input = match life.next.pop_front() {
                Some(input) => input,
                None => self.next_input(&machine, &mut life, now_ms),
            };
        }
        End::Crashed
    }

    fn next_input(&mut self, machine: &ShardMachine, life: &mut Life, now_ms: &mut u64) -> Input {
        loop {
            if self.stops && !life.stopping && self.random(80) == 0 {
                life.stopping = true;
                return Input::Stop;
            }
            // UpdateEventSourceMapping with another filter: it is stored, what is under way ends, and the machine begins anew.
            if !life.stopping && !self.filters.is_empty() && self.random(40) == 0 {
                self.filter_next = self.filters.pop_front();
                life.stopping = true;
                return Input::Stop;
            }
            if self.restores > 0 && self.random(30) == 0 {
                self.restore();
            } else if self.random(15) == 0 {
                self.backup = (self.delivered.len(), self.progress);
            }
            match self.random(5) {
                4 if self.updates.len() > 1 && self.random(8) == 0 => {
                    self.updated = (self.updated + 1) % self.updates.len();
                    self.rules = self.updates[self.updated].clone();
                    return Input::Configure(self.rules.clone());
                }
                0 if life.fetch.is_some() && life.crowded.is_none() => {
                    life.crowded = Some(machine.held_bytes() > 0);
                    if life.crowded == Some(true) {
                        return Input::Crowded;
                    }
                }
                0 if life.fetch.is_some() && !life.waits_for_room(machine) => {
                    let after = life.fetch.take().expect("some");
                    return Input::Fetched(self.read(after));
                }
                1 if !life.invocations.is_empty() => {
                    let index = self.random(life.invocations.len() as u64) as usize;
                    let invocation = life.invocations.swap_remove(index);
                    let recalled = life.recalled.contains(&invocation.id) || life.stopping;
                    let answer = match recalled && self.random(2) == 0 {
                        true => Outcome::NotInvoked("called off".into()).into(),
                        false => self.answer(&invocation),
                    };
                    if let Some(attempts) = &mut self.attempts {
                        attempts.answered(&invocation, &answer.outcome);
                    }
                    return Input::Invoked { id: invocation.id, answer, jitter: self.random(1 << 31) as u32 };
                }
                2 if life.commit.is_some() => {
                    let (checkpoint, parked) = life.commit.take().expect("some");
                    self.commit(Checkpoint::decode(&checkpoint.encode()).expect("readable"));
                    let knows = self.told_behind && checkpoint.taken.is_none_or(|taken| taken.last <= self.progress);
                    self.restored &= !knows;
                    for record in parked {
                        self.check_parked(&record);
                        let number = record.logged.number.0;
                        let other = self.parked.insert(number, record);
                        assert!(other.is_none() || number > self.again_behind, "parked once");
                    }
                    if self.again_behind == u64::MAX && !self.restored {
                        self.check_commit(&checkpoint);
                        return Input::Committed;
                    }
                    life.next.push_back(Input::Committed);
                    return Input::ParkedIs(self.parked_size());
                }
                3 => match machine.next_wake() {
                    Some(at) => {
                        *now_ms = (*now_ms).max(at.0);
                        return Input::Tick;
                    }
                    None => {
                        let no_fetch = life.fetch.is_none() || life.waits_for_room(machine);
                        let stuck = no_fetch && life.invocations.is_empty() && life.commit.is_none();
                        assert!(!stuck, "the machine waits for nothing: {:?}", machine.status());
                    }
                },
                _ => {}
            }
        }
    }
}

/// A log of so many records, of so many keys.
fn log(records: u64, keys: u64) -> Vec<Record> {
    (1..=records).map(|number| Record { key_hash: number * 7 % keys, ..record(number) }).collect()
}

fn check_world(world: &World) {
    for record in &world.log {
        let number = record.number().0;
        let delivered = world.delivered.contains(&number);
        let passed_over = world.passed_over.contains(&number);
        // Nothing came behind the restoring: nothing was handed to the target, which could have said so.
        if world.restored && !delivered {
            continue;
        }
        let in_a_gap = world.is_in_a_gap(number);
        assert!(world.is_over(number), "record {number} is lost");
        assert!(
            !world.poison.contains(&number) || world.parked.contains_key(&number) || in_a_gap || passed_over,
            "poison record {number} vanished"
        );
        if world.rules.tumbling_window.is_some() {
            let ends = world.ends.values().flatten().filter(|end| **end == number).count();
            match world.parked.get(&number) {
                // Its window went on from an older checkpoint, and it was not there any more; or it had none.
                None if in_a_gap || world.windowless.contains(&number) => assert!(ends <= 1),
                // A crash may bring back what was delivered, and then a filter does not want it any more.
                None if passed_over => assert!(ends <= 1),
                None => assert_eq!(ends, 1, "record {number} in the last calls of windows"),
                // A crash may bring it back behind its window, and then it has become too old.
                Some(parked) if parked.reason == GiveUp::RecordAgeExceeded && delivered => assert!(ends <= 1),
                Some(_) => assert_eq!(ends, 0, "record {number} is parked"),
            }
        }
    }
    let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    // What one filter did not want may come to another behind newer records, which a crash has brought back.
    for number in world.delivered.iter().filter(|number| !world.ever_unwanted.contains(number)) {
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
        filters in prop::collection::vec(prop::sample::select(vec![2, 3, 5, NONE_UNWANTED]), 0..4),
        // With each its windows, if there are any.
        updates in prop::collection::vec((1..20usize, 1..5u16, 0..3u32, any::<bool>(), any::<bool>()), 0..3),
        tumbling in prop::sample::select(vec![None, None, Some(7), Some(30)]),
        // An update brings them to a shard that has begun without.
        windows_from in prop::sample::select(vec![0usize, 0, 1, 2, 5]),
        // Of records that are 880 s old at the start, and older.
        age in prop::sample::select(vec![None, None, Some(1_000), Some(1_100)]),
        (retries, bisect) in (0..3u32, any::<bool>()),
        report_failures in any::<bool>(),
        window_ms in prop::sample::select(vec![0u64, 2000]),
        (plan, rejects) in (prop::sample::select(vec![None, Some(1)]), any::<bool>()),
        poison in prop::collection::btree_set(1..120u64, 0..6),
        crashes in prop::collection::vec(1..60u64, 0..12),
        (stops, trims, crowds) in (any::<bool>(), prop::bool::weighted(0.3), any::<bool>()),
        restores in prop::sample::select(vec![0u32, 0, 1, 3]),
    ) {
        let tumbling = tumbling.filter(|_| restores == 0).map(Duration::from_secs);
        let windowed: Vec<bool> = std::iter::once(true).chain(updates.iter().map(|update| update.4)).collect();
        let loses_windows = tumbling.is_some() && windowed.contains(&false);
        // What plans its batches has no windows: they would part a batch whose bounds are promised.
        let plan = plan.filter(|_| windows_from == 0 && !loses_windows);
        let rules = Rules {
            batch_records_max, lanes: lanes[0], retries_max: Some(retries), bisect, window: Duration::from_millis(window_ms),
            tumbling_window: tumbling.filter(|_| windows_from == 0),
            record_age_max: age.map(Duration::from_secs), plan, mark: (restores > 0).then_some(1), ..Rules::default()
        };
        let updates: Vec<Rules> = std::iter::once(rules.clone())
            .chain(updates.iter().map(|&(batch_records_max, lanes, retries, bisect, windowed)| Rules {
                batch_records_max, lanes, retries_max: Some(retries), bisect,
                tumbling_window: rules.tumbling_window.filter(|_| windowed), ..rules.clone()
            }))
            .collect();
        let batch_records_max = updates.iter().map(|rules| rules.batch_records_max).max().unwrap_or(1);
        let updated_lanes = updates.iter().map(|rules| rules.lanes).max().unwrap_or(1);
        let mut world = World {
            updates,
            loses_windows,
            // A target with a plan or a mark changes in another way: what is planned is done before.
            filters: filters.into_iter().filter(|_| plan.is_none() && restores == 0).collect(),
            reports: report_failures,
            poison: poison.into_iter().filter(|number| *number <= records).collect(),
            rejects,
            crowds,
            stops,
            trims,
            restores,
            ..World::new(rules, log(records, keys), seed)
        };
        world.filter_by(if filtered { unwanted } else { NONE_UNWANTED });
        let mut now_ms = 0;
        for (life, crash_in) in crashes.into_iter().enumerate() {
            let low_water = world.durable.low_water;
            let (before, delivered_before) = (world.durable.clone(), world.delivered.len());
            let lanes_begun = world.rules.lanes;
            let end = world.live(crash_in, &mut now_ms);
            let delivered_now = world.delivered.get(delivered_before..).unwrap_or_default();
            // Nothing that a checkpoint called done comes again, where the target has lost nothing.
            for number in delivered_now.iter().filter(|_| restores == 0) {
                prop_assert!(*number > before.low_water.0, "record {} was done", number);
                prop_assert!(!world.parked.contains_key(number) || *number > low_water.0);
            }
            // What this life delivered and is not durable is at most two batches in each of the lanes that it had: those of
            // the checkpoint, and those of the rules once the former are drained.
            let lanes_now = world.durable.done.len() as u64;
            let lanes_most = before.done.len().max(usize::from(lanes_begun.max(updated_lanes)));
            let undone: BTreeSet<u64> = delivered_now.iter().copied().filter(|number| {
                let key = world.log[(*number - 1) as usize].key_hash;
                RecordNo(*number) > world.durable.done[(key % lanes_now) as usize] && !world.parked.contains_key(number)
            }).collect();
            let repeat_most = if end == End::Crashed { 2 * batch_records_max * lanes_most } else { 0 };
            prop_assert!(undone.len() <= repeat_most, "{} repeat behind {:?}", undone.len(), end);
            if end == End::Finished { break }
            // The number of lanes may change between two lives.
            world.rules.lanes = lanes[(life + 1) % lanes.len()];
            if life + 1 >= windows_from {
                world.rules.tumbling_window = tumbling;
                for (rules, windowed) in world.updates.iter_mut().zip(&windowed) {
                    rules.tumbling_window = tumbling.filter(|_| *windowed);
                }
            }
        }
        while world.live(u64::MAX, &mut now_ms) != End::Finished {}
        prop_assert!(world.durable.finished);
        prop_assert_eq!(world.durable.low_water, RecordNo(records));
        check_world(&world);
    }

    /// Spec 7.2, 7.3 and 7.4, to the last call: neither one more nor one less.
    #[test]
    fn a_failing_batch_is_called_as_often_as_by_aws(
        seed in any::<u64>(),
        (records, keys) in (1..80u64, 1..12u64),
        (batch_records_max, lanes) in (1..20usize, 1..5u16),
        unwanted in prop::sample::select(vec![2, 3, NONE_UNWANTED]),
        tumbling in prop::sample::select(vec![None, None, Some(7), Some(30)]),
        (retries, bisect, report_failures) in (0..5u32, any::<bool>(), any::<bool>()),
        window_ms in prop::sample::select(vec![0u64, 2000]),
        poison in prop::collection::btree_set(1..80u64, 0..8),
        crowds in any::<bool>(),
    ) {
        let rules = Rules {
            batch_records_max, lanes, retries_max: Some(retries), bisect, window: Duration::from_millis(window_ms),
            tumbling_window: tumbling.map(Duration::from_secs), ..Rules::default()
        };
        let mut world = World {
            attempts: Some(Attempts::new(&rules)),
            reports: report_failures,
            poison: poison.into_iter().filter(|number| *number <= records).collect(),
            crowds,
            ..World::new(rules, log(records, keys), seed)
        };
        world.filter_by(unwanted);
        prop_assert_eq!(world.live(u64::MAX, &mut 0), End::Finished);
        check_world(&world);
        let attempts = world.attempts.take().expect("set above");
        let given_up: BTreeMap<u64, u32> =
            world.parked.iter().map(|(number, parked)| (*number, parked.invocations)).collect();
        prop_assert_eq!((given_up, world.windows_lost), (attempts.given_up, attempts.windows_lost));
    }
}
