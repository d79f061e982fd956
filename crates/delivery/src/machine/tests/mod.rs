//! The rules of docs/spec/event-source-mapping.md as tables, and a simulation with crashes at every point.

mod attempts;
mod plans;
mod rules;
mod simulation;
mod windows;

use std::collections::VecDeque;

use bytes::Bytes;
use tailrace_core::limits::INVOKE_PAYLOAD_BYTES_MAX;
use tailrace_core::{EpochMs, RecordNo, ShardNo};
use tailrace_store::LogRecord;

use super::*;

/// Most bytes of a batch of the test's target.
pub(super) const BATCH_BYTES_MAX: usize = INVOKE_PAYLOAD_BYTES_MAX;

/// A record of the test's log.
pub(super) fn record(number: u64) -> Record {
    let meta = Bytes::from(format!("{{\"n\":{number}}}"));
    let size = meta.len();
    let logged = LogRecord {
        shard: ShardNo(1),
        number: RecordNo(number),
        time_ms: EpochMs(number * 1000),
        meta,
        old: None,
        new: None,
    };
    Record { key_hash: number, size, logged }
}

pub(super) fn machine(rules: Rules, checkpoint: Checkpoint) -> ShardMachine {
    ShardMachine::new(rules, BATCH_BYTES_MAX, checkpoint, ParkedSize::default())
}

pub(super) fn now(ms: u64) -> Now {
    Now { wall: EpochMs(1_000_000 + ms), monotonic: MonotonicMs(ms) }
}

/// Runs one machine over a fixed log: commits are durable at once, invocations wait until the test answers them.
pub(super) struct Stage {
    pub machine: ShardMachine,
    pub log: Vec<Record>,
    pub ended: bool,
    pub horizon: RecordNo,
    pub now_ms: u64,
    pub in_flight: VecDeque<Invocation>,
    pub parked: Vec<Parked>,
    pub checkpoint: Checkpoint,
    pub seen: Vec<Action>,
    /// A record of the log that cannot be read.
    pub damaged: Option<u64>,
    waiting_fetch: Option<RecordNo>,
}

impl Stage {
    pub fn new(rules: Rules, lsns: impl IntoIterator<Item = u64>) -> Stage {
        Stage::resume(rules, lsns, Checkpoint::starting_after(RecordNo::ZERO, 1))
    }

    pub fn resume(rules: Rules, lsns: impl IntoIterator<Item = u64>, checkpoint: Checkpoint) -> Stage {
        let mut stage = Stage {
            machine: machine(rules, checkpoint.clone()),
            log: lsns.into_iter().map(record).collect(),
            ended: false,
            horizon: RecordNo::ZERO,
            now_ms: 0,
            in_flight: VecDeque::new(),
            parked: Vec::new(),
            checkpoint,
            seen: Vec::new(),
            damaged: None,
            waiting_fetch: None,
        };
        stage.input(Input::Tick);
        stage
    }

    pub fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.machine.step(input, now(self.now_ms)) {
                self.seen.push(action.clone());
                match action {
                    Action::Fetch { after, wait, .. } => match self.read(after) {
                        read if wait && read.records.is_empty() && !read.ended && read.damaged.is_none() => {
                            self.waiting_fetch = Some(after)
                        }
                        read => inputs.push_back(Input::Fetched(read)),
                    },
                    Action::Invoke(invocation) => self.in_flight.push_back(invocation),
                    Action::Commit { checkpoint, parked } => {
                        self.checkpoint = Checkpoint::decode(&checkpoint.encode()).expect("readable");
                        self.parked.extend(parked);
                        inputs.push_back(Input::Committed);
                    }
                    Action::Trimmed { .. }
                    | Action::WindowLost { .. }
                    | Action::Recall(_)
                    | Action::Finished
                    | Action::Stopped => {}
                }
            }
        }
    }

    fn read(&self, after: RecordNo) -> LogRead {
        let mut records: Vec<Record> = self
            .log
            .iter()
            .filter(|record| record.number() > after && record.number() >= self.horizon)
            .cloned()
            .collect();
        let (ended, horizon) = (self.ended, self.horizon);
        let is_damaged = |record: &Record| Some(record.number().0) == self.damaged;
        if let Some(index) = records.iter().position(is_damaged) {
            let logged = records.remove(index).logged;
            records.truncate(index);
            let next = RecordNo(logged.number.0 - 1);
            let damaged = Some(Damaged { logged, error: "bad bytes".into() });
            return LogRead {
                records,
                unwanted: 0,
                newest: EpochMs::ZERO,
                next,
                more: true,
                ended: false,
                horizon,
                damaged,
            };
        }
        let next = records.last().map_or(after, Record::number);
        let newest = records.last().map_or(EpochMs::ZERO, Record::time);
        LogRead { records, unwanted: 0, newest, next, more: false, ended, horizon, damaged: None }
    }

    /// New records are published.
    pub fn append(&mut self, lsns: impl IntoIterator<Item = u64>) {
        self.log.extend(lsns.into_iter().map(record));
        self.wake_reader();
    }

    /// The shard is sealed.
    pub fn seal(&mut self) {
        self.ended = true;
        self.wake_reader();
    }

    fn wake_reader(&mut self) {
        if let Some(after) = self.waiting_fetch.take() {
            let read = self.read(after);
            self.input(Input::Fetched(read));
        }
    }

    /// The records that the function holds, oldest invocation first.
    pub fn batch(&self) -> Vec<u64> {
        self.in_flight.front().map_or_else(Vec::new, lsns)
    }

    pub fn answer(&mut self, answer: impl Into<Answer>) {
        let id = self.in_flight.pop_front().expect("an invocation is under way").id;
        self.input(Input::Invoked { id, answer: answer.into(), jitter: u32::MAX });
    }

    pub fn ok(&mut self) {
        self.answer(Outcome::Done);
    }

    pub fn fail(&mut self) {
        self.answer(Outcome::Failed("boom".into()));
    }

    /// Reports this record, and everything behind it, as failed.
    pub fn report(&mut self, number: u64) {
        let index = self.batch().iter().position(|other| *other == number).expect("a record of the batch");
        self.answer(Outcome::FailedFrom { index, error: "reported".into() });
    }

    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        self.input(Input::Tick);
    }

    /// Lets time pass until the machine wants to go on.
    pub fn wait(&mut self) -> u64 {
        let at = self.machine.next_wake().expect("the machine waits for a time").0;
        let waited = at - self.now_ms;
        self.advance(waited);
        waited
    }

    pub fn parked_lsns(&self) -> Vec<u64> {
        self.parked.iter().map(|parked| parked.logged.number.0).collect()
    }
}

pub(super) fn lsns(invocation: &Invocation) -> Vec<u64> {
    invocation.records.iter().map(|record| record.number().0).collect()
}
