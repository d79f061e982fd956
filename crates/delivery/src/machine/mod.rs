//! The state machine of one consumer and one shard: `(state, input, now) -> (state, actions)`.
//!
//! It decides what is read, which records make a batch, when the target is invoked, what its outcome means, what is
//! given up and parked, and what the checkpoint says. Every rule of docs/spec/event-source-mapping.md 4, 5 and 7 is here.
//!
//! Invariants:
//! - A record leaves the machine only when the target accepted it, or as a parked copy in the commit whose
//!   checkpoint steps over it. The checkpoint never runs ahead of either.
//! - In a lane one batch is under way at a time and batches are in order; a partition key has one lane.
//! - A lane hands out a batch only when its last outcome is in a commit that was asked for, and one commit is under
//!   way at a time: a crash repeats at most, per lane, the batch in flight and the one whose commit is not yet durable.
//!   Where that outcome gave something up, the commit is durable first: a crash would deliver it behind newer records.
//!   With [`Rules::plan`] the bounds of a batch are durable before it goes out, so that a crash repeats the very same batch.
//! - A record that cannot be read is a barrier for all lanes, since nobody knows its key: nothing behind it is read before it
//!   is in a commit as a parked copy, and that is asked for only when everything before it is done.
//! - What is read ahead, parked, parked by one commit and remembered is bounded.
//!
//! It reads no clock, draws no random number, and does no I/O. It does not know tables, streams or targets, and looks into
//! no record: it knows numbers, times, lanes and sizes.

mod backoff;
mod checkpoint;
mod lane;
mod outcome;
mod rules;
mod types;
mod window;

#[cfg(test)]
mod tests;

pub use checkpoint::{Attempt, CHECKPOINT_VERSION, Checkpoint, CheckpointError, LastResult};
pub use rules::Rules;
pub(crate) use types::stored_bytes;
pub use types::{
    Action, Answer, Damaged, GiveUp, Input, Invocation, InvocationId, LogRead, Now, Outcome, Parked, Record,
    ShardState, Status,
};

pub use window::{OpenWindow, WindowCall, Windows};

use lane::{Failure, Lane, Phase};
use outcome::bounded_error;
use std::time::Duration;
use window::Seen;

use tailrace_core::limits::{
    BACKOFF_MAX, GET_RECORDS_MAX, MAPPING_FETCH_BYTES_MAX, PASSED_OVER_COMMIT_DELAY, PASSED_OVER_COMMIT_RECORDS,
    READ_AHEAD_BESIDE_A_BATCH_BYTES_MAX,
};
use tailrace_core::{EpochMs, MonotonicMs, RecordNo, SequenceNumber};

/// Failed invocations of a batch after which its shard counts as blocked, where no rule will ever give it up and at least
/// one of them was in this life of the machine: the target may have been mended in between.
const BLOCKED_AFTER_FAILURES: u32 = 3;

/// Tries in a row to invoke a target that cannot be invoked, after which its shard counts as blocked, where no bound on age
/// will give the batch up: the machine lacks something, or the target is switched off.
const BLOCKED_AFTER_NOT_INVOKED: u32 = 3;

/// The state machine of a consumer's shard.
#[derive(Debug)]
pub struct ShardMachine {
    rules: Rules,
    batch_bytes_max: usize,
    lanes: Vec<Lane>,
    read: RecordNo,
    horizon: RecordNo,
    fetching: bool,
    caught_up: bool,
    ended: bool,
    /// The time of the newest record that was read, wanted or not.
    newest: EpochMs,
    /// Kept once there was a window.
    windows: Option<Windows>,
    durable: Checkpoint,
    committing: Option<Checkpoint>,
    dirty: bool,
    passed_over: PassedOver,
    to_park: Vec<Parked>,
    to_park_bytes: u64,
    damaged: Option<Barrier>,
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

/// Records that the target does not want and no commit covers yet. They come in any number, so they make no commit each; a crash
/// looks at them again, and nobody notices.
#[derive(Clone, Copy, Debug, Default)]
struct PassedOver {
    records: usize,
    /// When the first of them was.
    since: Option<MonotonicMs>,
}

impl PassedOver {
    /// When a commit is to cover them at the latest.
    fn due(&self) -> Option<MonotonicMs> {
        let since = self.since?;
        Some(if self.records >= PASSED_OVER_COMMIT_RECORDS { since } else { since.plus(PASSED_OVER_COMMIT_DELAY) })
    }
}

/// The record that cannot be read, and how the shard gets past it.
#[derive(Debug)]
struct Barrier {
    damaged: Damaged,
    /// It is read again then: the file may have been mended.
    read_again: MonotonicMs,
    /// An operator said that it is to be set aside.
    skip: bool,
}

/// Parked records of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParkedSize {
    /// How many.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ShardMachine {
    /// A machine that goes on from `checkpoint`, with `parked` of the shard on disk. A batch has at most `batch_bytes_max`
    /// of the target's bytes, unless one record alone has more.
    pub fn new(rules: Rules, batch_bytes_max: usize, checkpoint: Checkpoint, parked: ParkedSize) -> Self {
        let lanes = checkpoint.done.iter().zip(&checkpoint.attempts);
        Self {
            rules,
            batch_bytes_max,
            lanes: lanes.map(|(done, attempt)| Lane::new(*done, attempt.clone())).collect(),
            read: checkpoint.low_water,
            horizon: RecordNo::ZERO,
            fetching: false,
            caught_up: false,
            ended: false,
            newest: EpochMs::ZERO,
            windows: checkpoint.windows.clone(),
            committing: None,
            dirty: false,
            passed_over: PassedOver::default(),
            to_park: Vec::new(),
            to_park_bytes: 0,
            damaged: None,
            parked_records: parked.records,
            parked_bytes: parked.bytes,
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
    /// see to it that a tick comes at [`Self::next_wake`].
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.over {
            return actions;
        }
        self.now = now;
        match input {
            Input::Tick => {}
            Input::Fetched(read) => self.fetched(read, now, &mut actions),
            Input::Invoked { id, answer, jitter } => self.invoked(id, answer, jitter, now),
            Input::Committed => self.committed(),
            Input::Configure(rules) => {
                self.rules = rules;
                self.retry_at_once(true);
            }
            Input::Wake => self.retry_at_once(false),
            Input::ParkedRemoved(removed) => {
                self.parked_records = self.parked_records.saturating_sub(removed.records);
                self.parked_bytes = self.parked_bytes.saturating_sub(removed.bytes);
                for lane in self.lanes.iter_mut().filter(|lane| lane.phase == Phase::ParkedFull) {
                    lane.park_on();
                }
            }
            Input::Horizon(horizon) => self.horizon = self.horizon.max(horizon),
            Input::SkipDamaged(number) => {
                if let Some(barrier) = self.damaged.as_mut().filter(|barrier| barrier.damaged.logged.number == number) {
                    barrier.skip = true;
                }
            }
            Input::Stop => self.stopping = true,
        }
        self.settle(now, &mut actions);
        actions
    }

    /// When the machine wants to be stepped even if nothing happens.
    pub fn next_wake(&self) -> Option<MonotonicMs> {
        if self.over || self.stopping {
            return None;
        }
        let read_again = self.damaged.as_ref().filter(|_| !self.fetching).map(|barrier| barrier.read_again);
        let lanes = self.lanes.iter().filter(|lane| !lane.is_held());
        lanes
            .filter_map(|lane| match lane.phase {
                // While records wait to be parked, no more are: the end of their commit is looked at anyway.
                Phase::Retry { at } if !self.to_park.is_empty() => Some(at),
                Phase::Retry { at } => Some(self.expiry(lane).map_or(at, |expiry| expiry.min(at))),
                Phase::Ready if lane.piece.is_empty() && self.takes_batches(lane) => lane.window_end(self.rules.window),
                _ => None,
            })
            .chain(read_again)
            .chain(self.window_closes())
            .chain(self.passed_over.due().filter(|_| self.committing.is_none()))
            .min()
    }

    /// Whether what waits in a lane is made batches of.
    fn takes_batches(&self, lane: &Lane) -> bool {
        !self.rules.hold && lane.restoring_until().is_none()
    }

    /// When the window of what is open or waits ends if nothing comes, as the clocks stood at the last step.
    fn window_closes(&self) -> Option<MonotonicMs> {
        let open = self.windows.as_ref().and_then(|windows| windows.open.as_ref());
        let end = match (open, self.window_length(), self.lanes[0].next_waiting()) {
            (Some(open), ..) => open.end_ms,
            (None, Some(length), Some(first)) => {
                self.windows.as_ref().unwrap_or(&Windows::default()).of(first.time(), length).1
            }
            _ => return None,
        };
        let rests = |lane: &Lane| lane.phase == Phase::Ready && !lane.is_held() && lane.restoring_until().is_none();
        let waits = self.caught_up && self.lanes.iter().all(rests);
        waits.then(|| self.now.monotonic.plus(window::closes_ms(end).since(self.now.wall)))
    }

    /// When the first record of the batch in hand becomes too old, as the clocks stood at the last step.
    fn expiry(&self, lane: &Lane) -> Option<MonotonicMs> {
        let too_old = lane.piece.first()?.time().plus(self.rules.record_age_max?).next();
        Some(self.now.monotonic.plus(too_old.since(self.now.wall)))
    }

    /// When the batch in a lane's hand is tried again; `None`: at once, or not at all.
    pub fn retry_at(&self, lane: u16) -> Option<MonotonicMs> {
        match self.lanes.get(usize::from(lane))?.phase {
            Phase::Retry { at } => Some(at),
            _ => None,
        }
    }

    /// The machine as it stands.
    pub fn status(&self) -> Status {
        let (mut state, mut error) = (ShardState::Idle, None);
        for lane in &self.lanes {
            match (lane.phase, &lane.failure) {
                (Phase::ParkedFull, failure) => {
                    let text = failure.as_ref().map_or_else(String::new, |failure| failure.error.clone());
                    (state, error) = (ShardState::Blocked, Some(text));
                }
                _ if state == ShardState::Blocked => {}
                (_, Some(failure)) => (state, error) = (ShardState::Retrying, Some(failure.error.clone())),
                (Phase::Invoking(_), None) if state == ShardState::Idle => state = ShardState::Invoking,
                (_, None) => {}
            }
        }
        let lanes_wanted = Some(self.rules.lanes()).filter(|wanted| *wanted != self.lanes.len());
        if let (Some(wanted), Some(error)) = (lanes_wanted, &mut error) {
            // Everything behind the failing record waits with it, whatever its lane.
            error.push_str(&format!(" (ParallelizationFactor becomes {wanted}, and more is read, when this is done)"));
        }
        let damaged = self.damaged.as_ref().map(|barrier| &barrier.damaged);
        if let Some(damaged) = damaged.filter(|_| state != ShardState::Blocked) {
            state = ShardState::Damaged;
            error = Some(format!("{} cannot be read: {}", SequenceNumber(damaged.logged.number), damaged.error));
        }
        let failures = || self.lanes.iter().filter_map(|lane| lane.failure.as_ref());
        let pending_records = self.pending_records();
        Status {
            position: self.durable.low_water,
            read: self.read,
            caught_up: self.caught_up,
            ended: self.ended,
            pending_records,
            oldest_ms: self.lanes.iter().filter_map(Lane::oldest).map(Record::time).min(),
            durable: !self.dirty && self.committing.is_none(),
            state,
            error,
            failed: failures().map(|failure| failure.invocations).max().unwrap_or(0),
            not_invoked: failures().map(|failure| failure.not_invoked).max().unwrap_or(0),
            blocked: self.lanes.iter().any(|lane| self.is_blocked(lane)) || (damaged.is_some() && pending_records == 0),
            damaged: damaged.map(|damaged| damaged.logged.number),
            lanes_wanted,
            parked_records: self.parked_records,
            parked_bytes: self.parked_bytes,
            trimmed_gaps: self.trimmed_gaps,
            last: self.last.clone(),
        }
    }

    /// No rule will ever end what holds the lane up.
    fn is_blocked(&self, lane: &Lane) -> bool {
        let for_good = |failure: &Failure| {
            let fails = failure.invocations >= BLOCKED_AFTER_FAILURES && failure.invocations_here > 0;
            (!self.rules.bounded() && fails)
                || (self.rules.record_age_max.is_none() && failure.not_invoked >= BLOCKED_AFTER_NOT_INVOKED)
        };
        lane.phase == Phase::ParkedFull || lane.failure.as_ref().is_some_and(for_good)
    }

    fn pending_records(&self) -> usize {
        self.lanes.iter().map(Lane::pending_records).sum()
    }

    fn fetched(&mut self, mut read: LogRead, now: Now, actions: &mut Vec<Action>) {
        self.fetching = false;
        if self.rules.hold {
            self.leave_what_is_not_planned(&mut read);
        }
        self.horizon = self.horizon.max(read.horizon);
        // Whoever had read everything and waited cannot have missed a record: only other shards' numbers were passed.
        let waited = std::mem::replace(&mut self.caught_up, !read.more);
        if read.horizon > self.read.next() && !waited {
            actions.push(Action::Trimmed { after: self.read, horizon: read.horizon });
            self.trimmed_gaps += 1;
            self.dirty = true;
            self.read = RecordNo(read.horizon.0 - 1);
        }
        let lanes = self.lanes.len() as u64;
        for record in read.records {
            debug_assert!(record.number() > self.read, "records are read in order");
            self.read = record.number();
            let lane = (record.key_hash % lanes) as usize;
            self.lanes[lane].push(record, now.monotonic);
        }
        self.read = self.read.max(read.next);
        self.newest = self.newest.max(read.newest);
        if read.unwanted > 0 {
            self.passed_over.records += read.unwanted;
            self.passed_over.since.get_or_insert(now.monotonic);
        }
        self.ended = read.ended;
        let asked = self.damaged.take().filter(|barrier| barrier.skip).map(|barrier| barrier.damaged.logged.number);
        self.damaged = read.damaged.map(|mut damaged| {
            damaged.error = bounded_error(damaged.error);
            let skip = asked == Some(damaged.logged.number);
            Barrier { damaged, read_again: now.monotonic.plus(BACKOFF_MAX), skip }
        });
    }

    /// What is behind the batches that are to be restored is not for these rules: it is read again by others, which may want
    /// other records of it.
    fn leave_what_is_not_planned(&self, read: &mut LogRead) {
        let planned = self.lanes.iter().filter_map(Lane::restoring_until).max().unwrap_or(self.read);
        let reaches_on = read.next > planned || read.records.last().is_some_and(|last| last.number() > planned);
        read.damaged.take_if(|damaged| damaged.logged.number > planned);
        if reaches_on {
            read.records.retain(|record| record.number() <= planned);
            (read.next, read.more, read.ended) = (planned, true, false);
        }
    }

    fn committed(&mut self) {
        if let Some(checkpoint) = self.committing.take() {
            self.durable = checkpoint;
            // One that has an outcome since then gave up in the next commit.
            for lane in self.lanes.iter_mut().filter(|lane| !lane.unissued) {
                lane.gave_up = false;
            }
        }
    }

    fn retry_at_once(&mut self, also_parked_full: bool) {
        if let Some(barrier) = &mut self.damaged {
            barrier.read_again = self.now.monotonic;
        }
        for lane in &mut self.lanes {
            match lane.phase {
                Phase::Retry { .. } => lane.phase = Phase::Ready,
                Phase::ParkedFull if also_parked_full => lane.park_on(),
                _ => {}
            }
        }
    }

    /// Does everything that the state allows.
    fn settle(&mut self, now: Now, actions: &mut Vec<Action>) {
        loop {
            self.change_lanes();
            self.set_damaged_aside(now);
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

    /// Steps over the damaged record as an operator wants it, when everything before it is done: only then does the checkpoint
    /// cover it, so that no restart meets it again.
    fn set_damaged_aside(&mut self, now: Now) {
        if self.stopping || self.fetching || self.pending_records() > 0 {
            return;
        }
        let Some(Barrier { damaged, .. }) = self.damaged.take_if(|barrier| barrier.skip) else { return };
        let Damaged { logged, error } = damaged;
        self.read = logged.number;
        self.parked_records += 1;
        self.parked_bytes += stored_bytes(&logged);
        let (reason, invocations, first_failed_ms, parked_ms) = (GiveUp::Damaged, 0, None, now.wall);
        self.push_parked(Parked { logged, reason, error, invocations, first_failed_ms, parked_ms });
        for lane in &mut self.lanes {
            (lane.unissued, lane.gave_up) = (true, true);
        }
    }

    /// The number of lanes changes only when the old lanes are empty: who did what is then the same question for all.
    fn change_lanes(&mut self) {
        let wanted = self.rules.lanes();
        if self.lanes.len() == wanted || !self.drained() || self.has_open_window() {
            return;
        }
        let unissued = self.lanes.iter().any(|lane| lane.unissued);
        let gave_up = self.lanes.iter().any(|lane| lane.gave_up);
        self.lanes = (0..wanted).map(|_| Lane::new(self.read, None)).collect();
        for lane in &mut self.lanes {
            (lane.unissued, lane.gave_up) = (unissued, gave_up);
        }
    }

    /// Nothing that was read is pending, and everything that any lane has done before was read past.
    fn drained(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_empty() && lane.done_before <= self.read)
    }

    /// The length of windows. While lanes of earlier rules are drained there are none: several batches would share one.
    fn window_length(&self) -> Option<Duration> {
        self.rules.tumbling_window.filter(|_| self.lanes.len() == 1)
    }

    fn has_open_window(&self) -> bool {
        self.windows.as_ref().is_some_and(|windows| windows.open.is_some())
    }

    /// Everything of the shard is done.
    fn finished(&self) -> bool {
        self.ended && self.drained() && !self.has_open_window()
    }

    fn quiet(&self) -> bool {
        !self.lanes.iter().any(|lane| matches!(lane.phase, Phase::Invoking(_)))
    }

    fn checkpoint(&self) -> Checkpoint {
        let done: Vec<RecordNo> = self.lanes.iter().map(|lane| lane.done(self.read)).collect();
        let low_water = done.iter().copied().min().unwrap_or(self.read);
        let mut checkpoint = Checkpoint::starting_after(low_water, done.len() as u16);
        checkpoint.done = done;
        checkpoint.attempts = self.lanes.iter().map(Lane::attempt).collect();
        checkpoint.finished = self.finished();
        checkpoint.windows.clone_from(&self.windows);
        checkpoint.trimmed_gaps = self.trimmed_gaps;
        checkpoint.last.clone_from(&self.last);
        checkpoint
    }

    fn issue_commit(&mut self, actions: &mut Vec<Action>) {
        if self.committing.is_some() || self.durable.finished {
            return;
        }
        let ending = self.finished() || (self.stopping && self.quiet());
        let passed_over = self.passed_over.due().is_some_and(|due| due <= self.now.monotonic);
        if !self.dirty && !ending && !passed_over {
            return;
        }
        self.passed_over = PassedOver::default();
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
        self.to_park_bytes = 0;
        actions.push(Action::Commit { checkpoint, parked: std::mem::take(&mut self.to_park) });
    }

    /// Hands out the lane's next batch if there is one that is due. True: records were parked instead, look again.
    fn hand_out(&mut self, index: usize, now: Now, actions: &mut Vec<Action>) -> bool {
        let flush = self.flush();
        let lane = &mut self.lanes[index];
        match lane.phase {
            _ if lane.is_held() => return false,
            Phase::Rejecting => return self.park_rejected(index, now),
            Phase::Invoking(_) | Phase::ParkedFull => return false,
            Phase::Retry { at } if now.monotonic < at => {
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
            lane.restore(now.monotonic);
        }
        if lane.piece.is_empty() {
            if self.rules.hold {
                return false;
            }
            if let Some(done) = self.end_window(now, actions) {
                return done;
            }
            self.take_batch(index, flush, now);
        }
        if self.lanes[index].piece.is_empty() {
            return false;
        }
        let expired = self.expired(index, now);
        if expired > 0 {
            return self.park(index, expired, GiveUp::RecordAgeExceeded, now);
        }
        let lane = &mut self.lanes[index];
        let failed_before = lane.failure.as_ref().map_or(0, |failure| failure.invocations);
        if lane.undeliverable {
            return self.park(index, 1, GiveUp::Undeliverable, now);
        }
        if self.rules.exhausted(failed_before) {
            let count = lane.piece.len();
            return self.park(index, count, GiveUp::RetryAttemptsExhausted, now);
        }
        if lane.plan != self.rules.plan {
            // A crash from here on hands the very same batch out again, once that is durable.
            lane.plan = self.rules.plan;
            (lane.unissued, lane.gave_up, self.dirty) = (true, true, true);
            return true;
        }
        let plan = lane.plan;
        let id = InvocationId(self.next_invocation);
        self.next_invocation += 1;
        lane.phase = Phase::Invoking(id);
        let records = lane.piece.clone();
        let window = self.window_length().zip(records.first()).map(|(length, first)| {
            let windows = self.windows.get_or_insert_default();
            windows.enter(first.time(), length).call(false)
        });
        actions.push(Action::Invoke(Invocation { id, lane: index as u16, failed_before, plan, records, window }));
        false
    }

    /// Takes the next batch of a lane that has none, as far as it is due.
    fn take_batch(&mut self, index: usize, flush: bool, now: Now) {
        let (mut bytes_max, mut before, mut flush) = (self.batch_bytes_max, None, flush);
        let (length, seen) = (self.window_length(), self.seen(now));
        let lane = &mut self.lanes[index];
        if let (Some(length), Some(first)) = (length, lane.next_waiting()) {
            let windows = self.windows.get_or_insert_default();
            let end = windows.next_end(first.time(), length);
            before = Some(end);
            // What is left of a window that is over does not wait for more.
            flush |= seen.is_past(end);
            // The state goes with the records.
            bytes_max = bytes_max.saturating_sub(windows.open.as_ref().map_or(0, |open| open.state.len()));
        }
        lane.take_batch((self.rules.batch_records_max, bytes_max), before, self.rules.window, flush, now.monotonic);
    }

    /// The shard as far as it was read.
    fn seen(&self, now: Now) -> Seen {
        Seen { now: now.wall, caught_up: self.caught_up, ended: self.ended, newest: self.newest }
    }

    /// Hands out the final call of a window that is over, now that nothing of it is in hand. `None`: none is, and a batch may be
    /// taken. True: the window was given up, look again.
    fn end_window(&mut self, now: Now, actions: &mut Vec<Action>) -> Option<bool> {
        let (length, seen) = (self.window_length(), self.seen(now));
        let (windows, lane) = (self.windows.as_mut()?, &mut self.lanes[0]);
        let open = windows.open.as_ref()?;
        // What waits belongs to the window first, unless it has ended early.
        let waits = |record: &Record| !open.terminated_early && record.time() < open.end_ms;
        if lane.next_waiting().is_some_and(waits) && length.is_some() || !windows.is_over(length, seen) {
            return None;
        }
        let open = windows.open.as_mut()?;
        let failed = lane.failure.as_ref().map_or(open.final_failures, |failure| failure.invocations);
        let expired = self.rules.record_age_max.is_some_and(|max| now.wall.since(open.end_ms) > max);
        if failed > 0 && (expired || self.rules.exhausted(failed)) {
            let error = lane.failure.as_ref().map(|failure| failure.error.clone()).unwrap_or_default();
            lane.remove_done(0, now.monotonic);
            lane.gave_up = true;
            self.dirty = true;
            let window = windows.close()?;
            actions.push(Action::WindowLost { window, error });
            return Some(true);
        }
        if failed > 0 {
            // It may have failed before a restart: its tries are counted on.
            lane.failure_mut(now.wall).invocations = failed;
        }
        let id = InvocationId(self.next_invocation);
        self.next_invocation += 1;
        lane.phase = Phase::Invoking(id);
        let window = Some(open.call(true));
        let (failed_before, plan, records) = (failed, None, Vec::new());
        actions.push(Action::Invoke(Invocation { id, lane: 0, failed_before, plan, records, window }));
        Some(false)
    }

    /// Nothing more can be gathered for a batch, or need not be.
    fn flush(&self) -> bool {
        let no_window = self.rules.window.is_zero() && self.caught_up;
        no_window
            || self.ended
            || self.damaged.is_some()
            || self.read_ahead_full()
            || self.lanes.len() != self.rules.lanes()
    }

    fn read_ahead_full(&self) -> bool {
        self.lanes.iter().map(Lane::waiting_records).sum::<usize>() >= self.rules.waiting_records_max()
            || self.lanes.iter().map(Lane::waiting_bytes).sum::<usize>() >= self.read_ahead_bytes_max()
    }

    /// Two batches, of large ones less.
    fn read_ahead_bytes_max(&self) -> usize {
        (2 * self.batch_bytes_max).min(self.batch_bytes_max.saturating_add(READ_AHEAD_BESIDE_A_BATCH_BYTES_MAX))
    }

    fn fetch(&mut self, actions: &mut Vec<Action>) {
        let stands_before_damage = self.damaged.as_ref().is_some_and(|barrier| self.now.monotonic < barrier.read_again);
        if self.fetching || self.ended || self.stopping || stands_before_damage {
            return;
        }
        // A batch that is to be restored is read whole whatever the bounds say now: it was within them once.
        let restoring = self.lanes.iter().any(|lane| lane.restoring_until().is_some_and(|until| self.read < until));
        let wanted = if self.rules.hold {
            false
        } else if self.lanes.len() == self.rules.lanes() {
            !self.read_ahead_full()
        } else {
            self.lanes.iter().any(|lane| lane.done_before > self.read)
        };
        if !restoring && !wanted {
            // Whoever does not read does not wait at the end: what is trimmed meanwhile is missing.
            self.caught_up = false;
            if let Some(barrier) = &mut self.damaged {
                barrier.read_again = self.now.monotonic.plus(BACKOFF_MAX);
            }
        } else {
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
