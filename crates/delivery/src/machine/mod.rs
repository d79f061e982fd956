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
//! - What the target took under a mark goes back only at the target's word, and everything behind it is read again then.
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
mod reading;
mod rules;
mod types;
mod window;

#[cfg(test)]
mod tests;

pub use checkpoint::{Attempt, CHECKPOINT_VERSION, Checkpoint, CheckpointError, LastResult, Taken};
pub use rules::Rules;
pub(crate) use types::stored_bytes;
pub use types::{
    Action, Answer, Damaged, GiveUp, Input, Invocation, InvocationId, LogRead, Now, Outcome, Parked, Record,
    ShardState, Status,
};

pub use window::{OpenWindow, WindowCall, Windows};

use lane::{Failure, Lane, Phase};
use std::time::Duration;
use window::Seen;

use tailrace_core::limits::{PASSED_OVER_COMMIT_DELAY, PASSED_OVER_COMMIT_RECORDS};
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
    /// What is still being read is of a place that was left: nobody wants it.
    left: bool,
    /// What is being read waits for room in memory.
    crowded: bool,
    caught_up: bool,
    ended: bool,
    /// The time of the newest record that was read, wanted or not.
    newest: EpochMs,
    /// Kept once there was a window.
    windows: Option<Windows>,
    taken: Option<Taken>,
    /// Where the target has gone back to since the last commit; far above all: it has not.
    went_back_to: RecordNo,
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
        let mut windows = checkpoint.windows.clone();
        if let Some(open) = windows.as_mut().and_then(|windows| windows.open.as_mut()) {
            open.last.get_or_insert(checkpoint.low_water);
        }
        Self {
            rules,
            batch_bytes_max,
            lanes: lanes.map(|(done, attempt)| Lane::new(*done, attempt.clone())).collect(),
            read: checkpoint.low_water,
            horizon: RecordNo::ZERO,
            fetching: false,
            left: false,
            crowded: false,
            caught_up: false,
            ended: false,
            newest: EpochMs::ZERO,
            windows,
            taken: checkpoint.taken,
            went_back_to: RecordNo(u64::MAX),
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
                let out = |lane: &Lane| match lane.phase {
                    Phase::Invoking(id) => Some(Action::Recall(id)),
                    _ => None,
                };
                actions.extend(self.lanes.iter().filter_map(out));
            }
            Input::Wake => self.retry_at_once(false),
            Input::ParkedRemoved(removed) => {
                self.parked_records = self.parked_records.saturating_sub(removed.records);
                self.parked_bytes = self.parked_bytes.saturating_sub(removed.bytes);
                for lane in self.lanes.iter_mut().filter(|lane| lane.phase == Phase::ParkedFull) {
                    lane.park_on();
                }
            }
            Input::ParkedIs(durable) => {
                let waiting = self.to_park.iter().map(|parked| stored_bytes(&parked.logged));
                self.parked_records = durable.records + self.to_park.len() as u64;
                self.parked_bytes = durable.bytes + waiting.sum::<u64>();
            }
            // Whoever waits with records unread does not wait at the end: what is trimmed meanwhile is missing.
            Input::Crowded => (self.crowded, self.caught_up) = (self.fetching, false),
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
                // It may still wait for its turn.
                Phase::Invoking(_) if !lane.age_seen => self.expiry(lane),
                Phase::Ready if lane.piece.is_empty() && self.takes_batches(lane) => lane.window_end(&self.rules),
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
        let end = match (self.open_window(), self.window_length(), self.lanes[0].next_waiting()) {
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

    /// When the first record of the batch in hand becomes too old, or the window whose final call that is, as the clocks stood at the
    /// last step.
    fn expiry(&self, lane: &Lane) -> Option<MonotonicMs> {
        let time = match lane.piece.first() {
            Some(record) => record.time(),
            None => self.open_window()?.end_ms,
        };
        let too_old = time.plus(self.rules.record_age_max?).next();
        Some(self.now.monotonic.plus(too_old.since(self.now.wall)))
    }

    fn open_window(&self) -> Option<&OpenWindow> {
        self.windows.as_ref()?.open.as_ref()
    }

    /// Something of what the lane has in hand is too old: records at its head, or the window whose final call it is.
    fn is_too_old(&self, index: usize, now: Now) -> bool {
        match self.lanes[index].piece.is_empty() {
            true => self
                .open_window()
                .is_some_and(|open| open.is_too_old(self.rules.record_age_max, now.wall, self.horizon)),
            false => self.expired(index, now) > 0,
        }
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
            blocked: self.lanes.iter().any(|lane| self.is_blocked(lane))
                || (damaged.is_some() && self.lanes.iter().all(Lane::waits_for_more)),
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
                Phase::Invoking(_) => lane.woken = true,
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
            for index in 0..self.lanes.len() {
                // What was rejected is set aside before a stop too: the others of its batch are done.
                if !self.stopping || self.lanes[index].phase == Phase::Rejecting {
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
        self.open_window().is_some()
    }

    /// Everything of the shard is done.
    fn finished(&self) -> bool {
        self.ended && self.drained() && !self.has_open_window()
    }

    fn quiet(&self) -> bool {
        !self.lanes.iter().any(|lane| matches!(lane.phase, Phase::Invoking(_) | Phase::Rejecting))
    }

    fn checkpoint(&self) -> Checkpoint {
        let done: Vec<RecordNo> = self.lanes.iter().map(|lane| lane.done(self.read)).collect();
        let low_water = done.iter().copied().min().unwrap_or(self.read);
        let mut checkpoint = Checkpoint::starting_after(low_water, done.len() as u16);
        checkpoint.done = done;
        checkpoint.attempts = self.lanes.iter().map(Lane::attempt).collect();
        checkpoint.finished = self.finished();
        checkpoint.windows.clone_from(&self.windows);
        checkpoint.taken = self.taken;
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
        debug_assert!(
            checkpoint.low_water >= self.durable.low_water.min(self.went_back_to),
            "a checkpoint goes back only where the target does"
        );
        self.went_back_to = RecordNo(u64::MAX);
        self.dirty = false;
        for lane in &mut self.lanes {
            lane.unissued = false;
        }
        self.committing = Some(checkpoint.clone());
        self.to_park_bytes = 0;
        actions.push(Action::Commit { checkpoint, parked: std::mem::take(&mut self.to_park) });
    }

    /// Hands out the lane's next batch if there is one that is due. True: look again, since records were parked
    /// instead or the lane is done.
    fn hand_out(&mut self, index: usize, now: Now, actions: &mut Vec<Action>) -> bool {
        let (flush, taken) = (self.flush(), self.taken.filter(|_| self.rules.mark.is_some()));
        match self.lanes[index].phase {
            _ if self.lanes[index].is_held() => return false,
            Phase::Rejecting => return self.park_rejected(index, now),
            Phase::ParkedFull => return false,
            Phase::Invoking(id) => {
                if !self.lanes[index].age_seen && self.is_too_old(index, now) {
                    let lane = &mut self.lanes[index];
                    (lane.age_seen, lane.woken) = (true, true);
                    actions.push(Action::Recall(id));
                }
                return false;
            }
            Phase::Retry { at } if now.monotonic < at => {
                // What becomes too old is given up at its time; the younger ones go on waiting.
                let expired = self.expired(index, now);
                if expired > 0 {
                    return self.park(index, expired, GiveUp::RecordAgeExceeded, now);
                }
                if !self.is_too_old(index, now) {
                    return false;
                }
            }
            Phase::Retry { .. } | Phase::Ready => {}
        }
        let lane = &mut self.lanes[index];
        lane.phase = Phase::Ready;
        if let Some(until) = lane.restoring_until() {
            let is_whole = self.read >= until || self.ended;
            // What an operator wants to be set aside is in no batch: what is before it goes out without the rest.
            if !is_whole && !self.damaged.as_ref().is_some_and(|barrier| barrier.skip) {
                return false;
            }
            lane.restore(is_whole, now.monotonic);
            if lane.is_empty() {
                // All of it was trimmed meanwhile: other lanes may have waited for that.
                return true;
            }
        }
        self.keep_to_the_window(index, now);
        if self.lanes[index].piece.is_empty() {
            if self.rules.hold {
                return false;
            }
            if let Some(done) = self.end_window(now, actions) {
                return done;
            }
            self.take_batch(index, flush, now);
            let lane = &mut self.lanes[index];
            if !lane.piece.is_empty() {
                // What the final call of its window met before it came is not its own.
                (lane.failure, lane.undeliverable) = (None, false);
            }
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
        if lane.plan.is_none() && lane.piece.len() > self.rules.batch_records_max {
            // It was made by earlier rules. One whose bounds are promised keeps them.
            lane.split(self.rules.batch_records_max.max(1));
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
        (lane.woken, lane.age_seen, lane.old_when_out) = (false, false, false);
        let records = lane.piece.clone();
        let window = self.window_length().zip(records.first().zip(records.last())).map(|(length, (first, last))| {
            let open = self.windows.get_or_insert_default().enter(first.time(), length);
            open.reaches(last.number());
            open.call(false)
        });
        actions.push(Action::Invoke(Invocation {
            id,
            lane: index as u16,
            failed_before,
            plan,
            taken,
            records,
            window,
        }));
        false
    }

    /// A batch from before there were windows may be of several: what is in hand stays with the first of them, and the rest waits
    /// for its own.
    fn keep_to_the_window(&mut self, index: usize, now: Now) {
        let Some(first) = self.lanes[index].piece.first().map(Record::time) else { return };
        let Some(end) = self.window_end(first) else { return };
        self.lanes[index].put_back_from(end, now.monotonic);
    }

    /// The end of the window that a batch whose first record has this time keeps to. While lanes of earlier rules are drained each batch
    /// is in one of its own, which is begun and ended with it.
    fn window_end(&self, first: EpochMs) -> Option<EpochMs> {
        let length = self.rules.tumbling_window?;
        let none = Windows::default();
        let windows = self.windows.as_ref().filter(|_| self.lanes.len() == 1).unwrap_or(&none);
        Some(windows.next_end(first, length))
    }

    /// Takes the next batch of a lane that has none, as far as it is due.
    fn take_batch(&mut self, index: usize, flush: bool, now: Now) {
        let before = self.lanes[index].next_waiting().and_then(|first| self.window_end(first.time()));
        // What is left of a window that is over does not wait for more.
        let flush = flush || before.is_some_and(|end| self.seen(now).is_past(end));
        // The state goes with the records.
        let state_bytes = self.open_window().filter(|_| before.is_some()).map_or(0, |open| open.state.len());
        let bytes_max = self.batch_bytes_max.saturating_sub(state_bytes);
        let lane = &mut self.lanes[index];
        lane.take_batch((self.rules.batch_records_max, bytes_max), before, &self.rules, flush, now.monotonic);
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
        let too_old = open.is_too_old(self.rules.record_age_max, now.wall, self.horizon);
        // It is tried once whatever its age: after a long rest of the server nobody has had the chance to take it.
        let was_tried = failed > 0 || lane.failure.is_some();
        if lane.undeliverable || (was_tried && (too_old || self.rules.exhausted(failed))) {
            let of_last = || self.last.as_ref()?.error.clone();
            let error = lane.failure.as_ref().map(|failure| failure.error.clone());
            let error = error.or_else(of_last).unwrap_or_default();
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
        (lane.woken, lane.age_seen, lane.old_when_out) = (false, too_old, too_old);
        let window = Some(open.call(true));
        let (failed_before, plan, taken, records) = (failed, None, None, Vec::new());
        actions.push(Action::Invoke(Invocation { id, lane: 0, failed_before, plan, taken, records, window }));
        Some(false)
    }

    /// Nothing more can be gathered for a batch, or need not be.
    fn flush(&self) -> bool {
        let no_window = !self.rules.gathers() && self.caught_up;
        no_window
            || self.ended
            || self.damaged.is_some()
            || self.read_ahead_full()
            || self.lanes.len() != self.rules.lanes()
    }
}
