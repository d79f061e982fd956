//! The state machine of one mapping and one shard: `(state, input, now) -> (state, actions)`.
//!
//! It decides what is read, which records make a batch, when the function is invoked, what its outcome means, what is
//! given up and parked, and what the checkpoint says. Every rule of docs/spec/event-source-mapping.md 4, 5 and 7 is here.
//!
//! Invariants:
//! - A record leaves the machine only when the function accepted it, or as a parked copy in the commit whose
//!   checkpoint steps over it. The checkpoint never runs ahead of either.
//! - In a lane one batch is under way at a time and batches are in order; a partition key has one lane.
//! - A lane hands out a batch only when its last outcome is in a commit that was asked for, and one commit is under
//!   way at a time: a crash repeats at most, per lane, the batch in flight and the one whose commit is not yet durable.
//! - What is read ahead, parked and remembered is bounded.
//!
//! It reads no clock, draws no random number, and does no I/O. It does not know tables, streams or functions.

mod backoff;
mod checkpoint;
mod lane;
mod response;
mod rules;
mod types;

#[cfg(test)]
mod tests;

pub use checkpoint::{Attempt, CHECKPOINT_VERSION, Checkpoint, CheckpointError, LastResult};
pub use rules::Rules;
pub use types::{
    Action, GiveUp, Input, Invocation, InvocationId, LaneState, LogRead, Now, Outcome, Parked, Record, Status,
};

use lane::{Lane, Phase};
use response::Verdict;
use tailrace_core::RecordNo as Lsn;
use tailrace_core::limits::{
    GET_RECORDS_MAX, MAPPING_ERROR_BYTES_MAX, MAPPING_FETCH_BYTES_MAX, MAPPING_READ_AHEAD_BYTES_MAX,
};

/// The state machine of a mapping's shard.
#[derive(Debug)]
pub struct ShardMachine {
    rules: Rules,
    lanes: Vec<Lane>,
    read: Lsn,
    horizon: Lsn,
    fetching: bool,
    caught_up: bool,
    ended: bool,
    durable: Checkpoint,
    committing: Option<Checkpoint>,
    dirty: bool,
    to_park: Vec<Parked>,
    parked_records: u64,
    parked_bytes: u64,
    trimmed_gaps: u64,
    last: Option<LastResult>,
    next_invocation: u64,
    /// The instant of the last step.
    now: Now,
    stopping: bool,
    over: bool,
}

impl ShardMachine {
    /// A machine that goes on from `checkpoint`, with so many parked records of the shard on disk.
    pub fn new(rules: Rules, checkpoint: Checkpoint, parked_records: u64, parked_bytes: u64) -> Self {
        let lanes = checkpoint.done.iter().zip(&checkpoint.attempts);
        Self {
            rules,
            lanes: lanes.map(|(done, attempt)| Lane::new(*done, attempt.clone())).collect(),
            read: checkpoint.low_water,
            horizon: Lsn::ZERO,
            fetching: false,
            caught_up: false,
            ended: false,
            committing: None,
            dirty: false,
            to_park: Vec::new(),
            parked_records,
            parked_bytes,
            trimmed_gaps: checkpoint.trimmed_gaps,
            last: checkpoint.last.clone(),
            next_invocation: 0,
            now: Now::default(),
            stopping: false,
            over: checkpoint.finished,
            durable: checkpoint,
        }
    }

    /// Takes what happened and answers what is to be done, in this order. Begin with [`Input::Tick`]; after each step
    /// see to it that a tick comes at [`Self::next_wake_mono_ms`].
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.over {
            return actions;
        }
        self.now = now;
        match input {
            Input::Tick => {}
            Input::Fetched(read) => self.fetched(read, now, &mut actions),
            Input::Invoked { id, outcome, jitter } => self.invoked(id, outcome, jitter, now, &mut actions),
            Input::Committed => self.committed(),
            Input::Configure(rules) => {
                self.rules = rules;
                self.retry_at_once(true);
            }
            Input::Wake => self.retry_at_once(false),
            Input::ParkedRemoved { records, bytes } => {
                self.parked_records = self.parked_records.saturating_sub(records);
                self.parked_bytes = self.parked_bytes.saturating_sub(bytes);
                for lane in self.lanes.iter_mut().filter(|lane| lane.phase == Phase::ParkedFull) {
                    lane.phase = Phase::Ready;
                }
            }
            Input::Horizon(horizon) => self.horizon = self.horizon.max(horizon),
            Input::Stop => self.stopping = true,
        }
        self.settle(now, &mut actions);
        actions
    }

    /// When the machine wants to be stepped even if nothing happens.
    pub fn next_wake_mono_ms(&self) -> Option<u64> {
        if self.over || self.stopping {
            return None;
        }
        let lanes = self.lanes.iter().filter(|lane| !lane.unissued);
        lanes
            .filter_map(|lane| match lane.phase {
                Phase::Retry { at_mono_ms } => {
                    Some(self.expiry_mono_ms(lane).map_or(at_mono_ms, |expiry| expiry.min(at_mono_ms)))
                }
                Phase::Ready if lane.piece.is_empty() => lane.window_end(self.rules.window_ms),
                _ => None,
            })
            .min()
    }

    /// When the first record of the batch in hand becomes too old, as the clocks stood at the last step.
    fn expiry_mono_ms(&self, lane: &Lane) -> Option<u64> {
        let too_old_ms = lane.piece.first()?.time_ms + self.rules.record_age_ms_max? + 1;
        Some(self.now.mono_ms + too_old_ms.saturating_sub(self.now.wall_ms))
    }

    /// The machine as it stands.
    pub fn status(&self) -> Status {
        Status {
            position: self.durable.low_water,
            read: self.read,
            caught_up: self.caught_up,
            ended: self.ended,
            pending_records: self.lanes.iter().map(Lane::pending_records).sum(),
            oldest_ms: self.lanes.iter().filter_map(Lane::oldest).map(|record| record.time_ms).min(),
            durable: !self.dirty && self.committing.is_none(),
            lanes: self.lanes.iter().map(|lane| lane_state(lane, &self.rules)).collect(),
            lanes_wanted: Some(self.rules.lanes()).filter(|wanted| *wanted != self.lanes.len()),
            parked_records: self.parked_records,
            parked_bytes: self.parked_bytes,
            trimmed_gaps: self.trimmed_gaps,
            last: self.last.clone(),
        }
    }

    fn fetched(&mut self, read: LogRead, now: Now, actions: &mut Vec<Action>) {
        self.fetching = false;
        self.horizon = self.horizon.max(read.horizon);
        // Whoever had read everything and waited cannot have missed a record: only other shards' numbers were passed.
        let waited = std::mem::replace(&mut self.caught_up, !read.more);
        if read.horizon > self.read.next() && !waited {
            actions.push(Action::Trimmed { after: self.read, horizon: read.horizon });
            self.trimmed_gaps += 1;
            self.dirty = true;
            self.read = Lsn(read.horizon.0 - 1);
        }
        let lanes = self.lanes.len() as u64;
        for record in read.records {
            debug_assert!(record.lsn > self.read, "records are read in order");
            self.read = record.lsn;
            let lane = (record.key_hash % lanes) as usize;
            self.lanes[lane].push(record, now.mono_ms);
        }
        self.read = self.read.max(read.next);
        self.ended = read.ended;
    }

    fn invoked(&mut self, id: InvocationId, outcome: Outcome, jitter: u32, now: Now, actions: &mut Vec<Action>) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.phase == Phase::Invoking(id)) else {
            return;
        };
        lane.phase = Phase::Ready;
        let verdict = match outcome {
            Outcome::Answered(payload) if self.rules.report_failures => response::read(&payload, &lane.piece),
            Outcome::Answered(_) => Verdict::AllDone,
            Outcome::FunctionError(error) => Verdict::AllFailed(error),
            // A stop refuses what waits; that says nothing about the function.
            Outcome::NotInvoked(_) if self.stopping => return,
            Outcome::NotInvoked(error) => {
                // No retry is spent and no checkpoint needed: nothing was tried.
                let failure = lane.failure_mut(now.wall_ms);
                failure.not_invoked = failure.not_invoked.saturating_add(1);
                failure.error = bounded_error(error);
                let error = Some(failure.error.clone());
                self.last = Some(LastResult { at_ms: now.wall_ms, error, not_invoked: true });
                let at_mono_ms = now.mono_ms + backoff::delay_ms(failure.not_invoked, jitter);
                lane.phase = Phase::Retry { at_mono_ms };
                return;
            }
        };
        self.dirty = true;
        lane.unissued = true;
        let error = match verdict {
            Verdict::AllDone | Verdict::NotJson => {
                if verdict == Verdict::NotJson {
                    actions.push(Action::AnswerIgnored);
                }
                let count = lane.piece.len();
                lane.remove_done(count, now.mono_ms);
                self.last = Some(LastResult { at_ms: now.wall_ms, error: None, not_invoked: false });
                return;
            }
            Verdict::FailedFrom(index) => {
                let error = String::from("the function reported failed records");
                let failure = lane.failure_mut(now.wall_ms);
                failure.error.clone_from(&error);
                failure.not_invoked = 0;
                if index > 0 {
                    // Progress: the remainder has all its attempts before it, and is tried at once.
                    failure.invocations = 0;
                    lane.remove_done(index, now.mono_ms);
                } else {
                    lane.phase = count_failure(&self.rules, lane, jitter, now);
                }
                error
            }
            Verdict::AllFailed(error) => {
                let error = bounded_error(error);
                let splits = self.rules.bisect && lane.piece.len() > 1;
                let failure = lane.failure_mut(now.wall_ms);
                failure.error.clone_from(&error);
                failure.not_invoked = 0;
                if splits {
                    // Splitting spends no attempt. It ends by itself, so it needs no back-off.
                    failure.invocations = 0;
                    lane.bisect();
                } else {
                    lane.phase = count_failure(&self.rules, lane, jitter, now);
                }
                error
            }
        };
        self.last = Some(LastResult { at_ms: now.wall_ms, error: Some(error), not_invoked: false });
    }

    fn committed(&mut self) {
        if let Some(checkpoint) = self.committing.take() {
            self.durable = checkpoint;
        }
    }

    fn retry_at_once(&mut self, also_parked_full: bool) {
        for lane in &mut self.lanes {
            match lane.phase {
                Phase::Retry { .. } => lane.phase = Phase::Ready,
                Phase::ParkedFull if also_parked_full => lane.phase = Phase::Ready,
                _ => {}
            }
        }
    }

    /// Does everything that the state allows.
    fn settle(&mut self, now: Now, actions: &mut Vec<Action>) {
        loop {
            self.change_lanes();
            self.issue_commit(actions);
            let mut parked = false;
            if !self.stopping {
                for index in 0..self.lanes.len() {
                    parked |= self.hand_out(index, now, actions);
                }
            }
            if !parked {
                break;
            }
        }
        self.fetch(actions);
        if self.durable.finished {
            self.over = true;
            actions.push(Action::Finished);
        } else if self.stopping && self.quiet() && self.committing.is_none() {
            self.over = true;
            actions.push(Action::Stopped);
        }
    }

    /// The number of lanes changes only when the old lanes are empty: who did what is then the same question for all.
    fn change_lanes(&mut self) {
        let wanted = self.rules.lanes();
        if self.lanes.len() == wanted || !self.drained() {
            return;
        }
        let unissued = self.lanes.iter().any(|lane| lane.unissued);
        self.lanes = (0..wanted).map(|_| Lane::new(self.read, None)).collect();
        for lane in &mut self.lanes {
            lane.unissued = unissued;
        }
    }

    /// Nothing that was read is pending, and everything that any lane has done before was read past.
    fn drained(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_empty() && lane.done_before <= self.read)
    }

    fn quiet(&self) -> bool {
        !self.lanes.iter().any(|lane| matches!(lane.phase, Phase::Invoking(_)))
    }

    fn checkpoint(&self) -> Checkpoint {
        let done: Vec<Lsn> = self.lanes.iter().map(|lane| lane.done(self.read)).collect();
        let low_water = done.iter().copied().min().unwrap_or(self.read);
        let mut checkpoint = Checkpoint::starting_after(low_water, done.len() as u16);
        checkpoint.done = done;
        checkpoint.attempts = self.lanes.iter().map(Lane::attempt).collect();
        checkpoint.finished = self.ended && self.drained();
        checkpoint.trimmed_gaps = self.trimmed_gaps;
        checkpoint.last.clone_from(&self.last);
        checkpoint
    }

    fn issue_commit(&mut self, actions: &mut Vec<Action>) {
        if self.committing.is_some() {
            return;
        }
        let ending = (self.ended && self.drained()) || (self.stopping && self.quiet());
        if !self.dirty && !ending {
            return;
        }
        let checkpoint = self.checkpoint();
        if !self.dirty && checkpoint == self.durable {
            return;
        }
        debug_assert!(checkpoint.low_water >= self.durable.low_water, "a checkpoint never goes back");
        self.dirty = false;
        for lane in &mut self.lanes {
            lane.unissued = false;
        }
        self.committing = Some(checkpoint.clone());
        actions.push(Action::Commit { checkpoint, parked: std::mem::take(&mut self.to_park) });
    }

    /// Hands out the lane's next batch if there is one that is due. True: records were parked instead, look again.
    fn hand_out(&mut self, index: usize, now: Now, actions: &mut Vec<Action>) -> bool {
        let flush = self.flush();
        let lane = &mut self.lanes[index];
        match lane.phase {
            _ if lane.unissued => return false,
            Phase::Invoking(_) | Phase::ParkedFull => return false,
            Phase::Retry { at_mono_ms } if now.mono_ms < at_mono_ms => {
                // What becomes too old is given up at its time; the younger ones go on waiting.
                let expired = self.expired(index, now);
                return expired > 0 && self.park(index, expired, GiveUp::RecordAgeExceeded, now);
            }
            Phase::Retry { .. } | Phase::Ready => lane.phase = Phase::Ready,
        }
        if let Some(until) = lane.restoring_until() {
            if self.read < until && !self.ended {
                return false;
            }
            lane.restore(now.mono_ms);
        }
        if lane.piece.is_empty() {
            lane.take_batch(self.rules.batch_records_max, self.rules.window_ms, flush, now.mono_ms);
        }
        if lane.piece.is_empty() {
            return false;
        }
        let expired = self.expired(index, now);
        if expired > 0 {
            return self.park(index, expired, GiveUp::RecordAgeExceeded, now);
        }
        let lane = &mut self.lanes[index];
        let failed_before = lane.failure.as_ref().map_or(0, |failure| failure.invocations);
        if self.rules.exhausted(failed_before) {
            let count = lane.piece.len();
            return self.park(index, count, GiveUp::RetryAttemptsExhausted, now);
        }
        let id = InvocationId(self.next_invocation);
        self.next_invocation += 1;
        lane.phase = Phase::Invoking(id);
        actions.push(Action::Invoke(Invocation { id, lane: index as u16, failed_before, records: lane.piece.clone() }));
        false
    }

    /// How many records at the head of the lane's batch are too old, or failing and no longer kept by the stream.
    fn expired(&self, index: usize, now: Now) -> usize {
        let lane = &self.lanes[index];
        let too_old = |record: &&Record| {
            let age_ms = now.wall_ms.saturating_sub(record.time_ms);
            self.rules.record_age_ms_max.is_some_and(|max| age_ms > max)
                || (lane.failure.is_some() && record.lsn < self.horizon)
        };
        lane.piece.iter().take_while(too_old).count()
    }

    /// Nothing more can be gathered for a batch, or need not be.
    fn flush(&self) -> bool {
        let no_window = self.rules.window_ms == 0 && self.caught_up;
        no_window || self.ended || self.read_ahead_full() || self.lanes.len() != self.rules.lanes()
    }

    fn read_ahead_full(&self) -> bool {
        self.lanes.iter().map(Lane::waiting_records).sum::<usize>() >= self.rules.waiting_records_max()
            || self.lanes.iter().map(Lane::waiting_bytes).sum::<usize>() >= MAPPING_READ_AHEAD_BYTES_MAX
    }

    /// Sets the first `count` records of the lane's batch aside, as far as there is room. True: at least one.
    fn park(&mut self, index: usize, count: usize, reason: GiveUp, now: Now) -> bool {
        let lane = &mut self.lanes[index];
        let (mut records, mut bytes, mut fitting) = (self.parked_records, self.parked_bytes, 0);
        for record in &lane.piece[..count] {
            records += 1;
            bytes += record.event.len() as u64;
            if records > self.rules.parked_records_max || bytes > self.rules.parked_bytes_max {
                break;
            }
            (self.parked_records, self.parked_bytes, fitting) = (records, bytes, fitting + 1);
        }
        if fitting < count {
            lane.phase = Phase::ParkedFull;
        } else if count == lane.piece.len() {
            lane.phase = Phase::Ready;
        }
        if fitting == 0 {
            return false;
        }
        let failure = lane.failure.clone();
        let (error, invocations, first_failed_ms) = match failure {
            Some(failure) => (failure.error, failure.invocations.max(1), Some(failure.first_failed_ms)),
            None => (String::new(), 1, None),
        };
        for record in lane.remove_done(fitting, now.mono_ms) {
            let (error, parked_ms) = (error.clone(), now.wall_ms);
            self.to_park.push(Parked { record, reason, error, invocations, first_failed_ms, parked_ms });
        }
        self.dirty = true;
        true
    }

    fn fetch(&mut self, actions: &mut Vec<Action>) {
        if self.fetching || self.ended || self.stopping {
            return;
        }
        // A batch that is to be restored is read whole whatever the bounds say now: it was within them once.
        let restoring = self.lanes.iter().any(|lane| lane.restoring_until().is_some_and(|until| self.read < until));
        let wanted = if self.lanes.len() == self.rules.lanes() {
            !self.read_ahead_full()
        } else {
            self.lanes.iter().any(|lane| lane.done_before > self.read)
        };
        if restoring || wanted {
            self.fetching = true;
            actions.push(Action::Fetch {
                after: self.read,
                records_max: GET_RECORDS_MAX,
                bytes_max: MAPPING_FETCH_BYTES_MAX,
                wait: self.caught_up,
            });
        }
    }
}

/// One more failed invocation of the piece, and the wait before its next one. A piece without attempts left does not
/// wait: it is given up at once.
fn count_failure(rules: &Rules, lane: &mut Lane, jitter: u32, now: Now) -> Phase {
    let failure = lane.failure_mut(now.wall_ms);
    failure.invocations = failure.invocations.saturating_add(1);
    failure.invocations_here = failure.invocations_here.saturating_add(1);
    if rules.exhausted(failure.invocations) {
        return Phase::Ready;
    }
    Phase::Retry { at_mono_ms: now.mono_ms + backoff::delay_ms(failure.invocations, jitter) }
}

/// What the answer for `records` says has failed under ReportBatchItemFailures; `None`: nothing.
pub(crate) fn failed_records(payload: &[u8], records: &[Record]) -> Option<String> {
    match response::read(payload, records) {
        Verdict::AllDone | Verdict::NotJson => None,
        Verdict::FailedFrom(_) => Some("the function reported failed records".into()),
        Verdict::AllFailed(error) => Some(error),
    }
}

fn bounded_error(mut error: String) -> String {
    if error.len() > MAPPING_ERROR_BYTES_MAX {
        error.truncate(error.floor_char_boundary(MAPPING_ERROR_BYTES_MAX));
        error.push('…');
    }
    error
}

fn lane_state(lane: &Lane, rules: &Rules) -> LaneState {
    let error = || lane.failure.as_ref().map_or_else(String::new, |failure| failure.error.clone());
    match (lane.phase, &lane.failure) {
        (Phase::ParkedFull, _) => LaneState::ParkedFull { error: error() },
        (_, Some(failure)) => LaneState::Retrying {
            failed: failure.invocations,
            failed_here: failure.invocations_here,
            not_invoked: failure.not_invoked,
            bounded: rules.bounded(),
            ages: rules.record_age_ms_max.is_some(),
            error: error(),
        },
        (Phase::Invoking(_), None) => LaneState::Invoking,
        (Phase::Ready | Phase::Retry { .. }, None) => LaneState::Waiting,
    }
}
