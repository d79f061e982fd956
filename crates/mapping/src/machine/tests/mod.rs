//! The rules of docs/spec/event-source-mapping.md as tables, and a simulation with crashes at every point.

mod rules;
mod simulation;

use std::collections::VecDeque;

use bytes::Bytes;
use tailrace_core::{RecordNo as Lsn, SequenceNumber};

use super::*;

/// A record of the test's log.
pub(super) fn record(lsn: u64) -> Record {
    Record { lsn: Lsn(lsn), time_ms: lsn * 1000, key_hash: lsn, event: Bytes::from(format!("{{\"n\":{lsn}}}")) }
}

pub(super) fn now(ms: u64) -> Now {
    Now { wall_ms: 1_000_000 + ms, mono_ms: ms }
}

/// Runs one machine over a fixed log: commits are durable at once, invocations wait until the test answers them.
pub(super) struct Stage {
    pub machine: ShardMachine,
    pub log: Vec<Record>,
    pub ended: bool,
    pub horizon: Lsn,
    pub now_ms: u64,
    pub in_flight: VecDeque<Invocation>,
    pub parked: Vec<Parked>,
    pub checkpoint: Checkpoint,
    pub seen: Vec<Action>,
    waiting_fetch: Option<Lsn>,
}

impl Stage {
    pub fn new(rules: Rules, lsns: impl IntoIterator<Item = u64>) -> Stage {
        Stage::resume(rules, lsns, Checkpoint::starting_after(Lsn::ZERO, 1))
    }

    pub fn resume(rules: Rules, lsns: impl IntoIterator<Item = u64>, checkpoint: Checkpoint) -> Stage {
        let mut stage = Stage {
            machine: ShardMachine::new(rules, checkpoint.clone(), 0, 0),
            log: lsns.into_iter().map(record).collect(),
            ended: false,
            horizon: Lsn::ZERO,
            now_ms: 0,
            in_flight: VecDeque::new(),
            parked: Vec::new(),
            checkpoint,
            seen: Vec::new(),
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
                        read if wait && read.records.is_empty() && !read.ended => self.waiting_fetch = Some(after),
                        read => inputs.push_back(Input::Fetched(read)),
                    },
                    Action::Invoke(invocation) => self.in_flight.push_back(invocation),
                    Action::Commit { checkpoint, parked } => {
                        self.checkpoint = Checkpoint::decode(&checkpoint.encode()).expect("readable");
                        self.parked.extend(parked);
                        inputs.push_back(Input::Committed);
                    }
                    Action::Trimmed { .. } | Action::AnswerIgnored | Action::Finished | Action::Stopped => {}
                }
            }
        }
    }

    fn read(&self, after: Lsn) -> LogRead {
        let records: Vec<Record> =
            self.log.iter().filter(|record| record.lsn > after && record.lsn >= self.horizon).cloned().collect();
        let next = records.last().map_or(after, |record| record.lsn);
        LogRead { records, next, more: false, ended: self.ended, horizon: self.horizon }
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
        self.in_flight.front().map_or_else(Vec::new, |invocation| invocation.records.iter().map(|r| r.lsn.0).collect())
    }

    pub fn answer(&mut self, outcome: Outcome) {
        let id = self.in_flight.pop_front().expect("an invocation is under way").id;
        self.input(Input::Invoked { id, outcome, jitter: u32::MAX });
    }

    pub fn ok(&mut self) {
        self.answer(Outcome::Answered(Bytes::from_static(b"null")));
    }

    pub fn fail(&mut self) {
        self.answer(Outcome::FunctionError("boom".into()));
    }

    /// Reports these records as failed.
    pub fn report(&mut self, lsns: &[u64]) {
        self.answer(Outcome::Answered(failures(lsns)));
    }

    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        self.input(Input::Tick);
    }

    /// Lets time pass until the machine wants to go on.
    pub fn wait(&mut self) -> u64 {
        let at = self.machine.next_wake_mono_ms().expect("the machine waits for a time");
        let waited = at - self.now_ms;
        self.advance(waited);
        waited
    }

    pub fn parked_lsns(&self) -> Vec<u64> {
        self.parked.iter().map(|parked| parked.record.lsn.0).collect()
    }
}

pub(super) fn failures(lsns: &[u64]) -> Bytes {
    let list: Vec<String> =
        lsns.iter().map(|lsn| format!(r#"{{"itemIdentifier":"{}"}}"#, SequenceNumber(Lsn(*lsn)))).collect();
    Bytes::from(format!(r#"{{"batchItemFailures":[{}]}}"#, list.join(",")))
}
