//! What the outcome of an invocation means: done, tried again, split, given up, parked.

use tailrace_core::RecordNo;
use tailrace_core::limits::{MAPPING_ERROR_BYTES_MAX, PARKED_COMMIT_BYTES_MAX};

use super::lane::{Lane, Phase};
use super::types::{Answer, GiveUp, InvocationId, Now, Outcome, Parked, Record};
use super::window::Windows;
use super::{LastResult, PassedOver, Rules, ShardMachine, Taken, backoff};
use crate::parked::row_bytes_max;

impl ShardMachine {
    /// Takes the end of an invocation.
    pub(super) fn invoked(&mut self, id: InvocationId, answer: Answer, jitter: u32, now: Now) {
        let Answer { outcome, state } = answer;
        let taken = self.taken.filter(|_| self.rules.mark.is_some());
        let Some(index) = self.lanes.iter().position(|lane| lane.phase == Phase::Invoking(id)) else {
            return;
        };
        let is_too_old = self.is_too_old(index, now);
        let lane = &mut self.lanes[index];
        lane.phase = Phase::Ready;
        if let Outcome::NotInvoked(error) = outcome {
            // A stop refuses what waits, and so does a change, which may have mended what was wrong: that says nothing about the
            // target as it is. What has become too old meanwhile is given up with what it waited for.
            if self.stopping || (lane.woken && (!is_too_old || lane.old_when_out)) {
                return;
            }
            // No retry is spent and no checkpoint needed: nothing was tried.
            let failure = lane.failure_mut(now.wall);
            failure.not_invoked = failure.not_invoked.saturating_add(1);
            failure.error = bounded_error(error);
            let error = Some(failure.error.clone());
            self.last = Some(LastResult { at_ms: now.wall, error, not_invoked: true });
            let at = now.monotonic.plus(backoff::delay(failure.not_invoked, jitter));
            lane.phase = Phase::Retry { at };
            return;
        }
        let outcome = match outcome {
            Outcome::Behind { at, error } if taken.is_some_and(|taken| at < taken.last) => {
                return self.go_back(at, error, now);
            }
            Outcome::Behind { error, .. } => Outcome::Failed(error),
            Outcome::DoneUntil { index, rejected, error } if rejected.is_empty() => {
                Outcome::FailedFrom { index, error }
            }
            Outcome::DoneUntil { index, rejected, .. } => {
                lane.split(index);
                Outcome::DoneExcept(rejected)
            }
            other => other,
        };
        let outcome = match outcome {
            Outcome::DoneExcept(rejected) if rejected.is_empty() => Outcome::Done,
            Outcome::DoneExcept(rejected) => {
                let last = lane.piece.last().map(Record::number);
                lane.rejected = rejected.into();
                lane.phase = Phase::Rejecting;
                self.note_taken(last);
                self.last = Some(LastResult { at_ms: now.wall, error: None, not_invoked: false });
                return;
            }
            other => other,
        };
        self.dirty = true;
        lane.unissued = true;
        let (done, error) = match outcome {
            Outcome::Done | Outcome::DoneExcept(_) => (lane.piece.len(), None),
            Outcome::FailedFrom { index, error } | Outcome::DoneUntil { index, error, .. } => {
                (index, Some((error, false)))
            }
            Outcome::Failed(error) | Outcome::NotInvoked(error) | Outcome::Behind { error, .. } => {
                (0, Some((error, self.rules.bisect)))
            }
            Outcome::Undeliverable(error) => {
                lane.undeliverable = lane.piece.len() <= 1;
                (0, Some((error, true)))
            }
        };
        let taken = done.checked_sub(1).and_then(|last| lane.piece.get(last)).map(Record::number);
        // A state is that of the records that are done with it.
        if let (Some(state), true, Some(open)) =
            (state, done > 0, self.windows.as_mut().and_then(|windows| windows.open.as_mut()))
        {
            open.take(state);
        }
        let Some((error, may_split)) = error else {
            if lane.piece.is_empty() {
                // The final call of a window.
                self.windows.as_mut().and_then(Windows::close);
            }
            lane.remove_done(done, now.monotonic);
            self.note_taken(taken);
            self.last = Some(LastResult { at_ms: now.wall, error: None, not_invoked: false });
            return;
        };
        let error = bounded_error(error);
        let records = lane.piece.len();
        let failure = lane.failure_mut(now.wall);
        failure.error.clone_from(&error);
        failure.not_invoked = 0;
        if may_split && records > 1 {
            // Splitting spends no attempt. It ends by itself, so it needs no back-off.
            failure.invocations = 0;
            lane.bisect();
        } else if (1..records).contains(&done) {
            // Progress: the remainder has all its attempts before it, and is tried at once.
            failure.invocations = 0;
            lane.remove_done(done, now.monotonic);
        } else {
            lane.phase = count_failure(&self.rules, lane, jitter, now);
            if lane.undeliverable {
                lane.phase = Phase::Ready;
            }
            let failures = lane.failure.as_ref().map_or(0, |failure| failure.invocations);
            if let (0, Some(open)) = (records, self.windows.as_mut().and_then(|windows| windows.open.as_mut())) {
                open.final_failures = failures;
            }
        }
        self.note_taken(taken);
        self.last = Some(LastResult { at_ms: now.wall, error: Some(error), not_invoked: false });
    }

    fn note_taken(&mut self, last: Option<RecordNo>) {
        if let (Some(mark), Some(last)) = (self.rules.mark, last) {
            self.taken = Some(Taken { mark, last });
        }
    }

    /// Reads again from `at` on, which is as far as the target is. Nothing goes out before that is durable.
    fn go_back(&mut self, at: RecordNo, error: String, now: Now) {
        let mut lane = Lane::new(at, None);
        (lane.unissued, lane.gave_up) = (true, true);
        self.lanes = vec![lane];
        self.note_taken(Some(at));
        (self.read, self.left, self.dirty) = (at, self.left || self.fetching, true);
        (self.fetching, self.crowded) = (false, false);
        self.went_back_to = at;
        (self.caught_up, self.ended, self.damaged, self.passed_over) = (false, false, None, PassedOver::default());
        self.last = Some(LastResult { at_ms: now.wall, error: Some(bounded_error(error)), not_invoked: false });
    }

    pub(super) fn push_parked(&mut self, parked: Parked) {
        self.to_park_bytes += row_bytes_max(&parked.logged, &parked.error);
        self.to_park.push(parked);
        self.dirty = true;
    }

    /// How many records at the head of the lane's batch are too old, or failing and no longer kept by the stream.
    pub(super) fn expired(&self, index: usize, now: Now) -> usize {
        let lane = &self.lanes[index];
        let too_old = |record: &&Record| {
            let age = now.wall.since(record.time());
            self.rules.record_age_max.is_some_and(|max| age > max)
                || (lane.failure.is_some() && record.number() < self.horizon)
        };
        lane.piece.iter().take_while(too_old).count()
    }

    /// Sets the first `count` records of the lane's batch aside, as far as there is room. True: at least one.
    pub(super) fn park(&mut self, index: usize, count: usize, reason: GiveUp, now: Now) -> bool {
        let lane = &mut self.lanes[index];
        let (error, invocations, first_failed_ms) = match &lane.failure {
            Some(failure) => (failure.error.clone(), failure.invocations.max(1), Some(failure.first_failed_ms)),
            None => (String::new(), 1, None),
        };
        let (mut records, mut bytes, mut fitting) = (self.parked_records, self.parked_bytes, 0);
        let mut commit_bytes = self.to_park_bytes;
        let mut lot_is_full = false;
        for record in &lane.piece[..count] {
            commit_bytes += row_bytes_max(&record.logged, &error);
            if commit_bytes > PARKED_COMMIT_BYTES_MAX && (fitting > 0 || !self.to_park.is_empty()) {
                // The rest goes into the next commit.
                break;
            }
            records += 1;
            bytes += record.stored_bytes();
            lot_is_full = records > self.rules.parked_records_max || bytes > self.rules.parked_bytes_max;
            if lot_is_full {
                break;
            }
            (self.parked_records, self.parked_bytes, fitting) = (records, bytes, fitting + 1);
        }
        if lot_is_full {
            lane.phase = Phase::ParkedFull;
        } else if fitting == lane.piece.len() {
            lane.phase = Phase::Ready;
        }
        if fitting == 0 {
            return false;
        }
        lane.gave_up = true;
        for record in lane.remove_done(fitting, now.monotonic) {
            let (logged, error, parked_ms) = (record.logged, error.clone(), now.wall);
            self.push_parked(Parked { logged, reason, error, invocations, first_failed_ms, parked_ms });
        }
        true
    }

    /// Parks the records of the batch in hand that the target will never take; the others are done. The batch is over when all are
    /// in commits: a crash before that brings all of it back. Without room for more it waits. True: look again.
    pub(super) fn park_rejected(&mut self, index: usize, now: Now) -> bool {
        let lane = &mut self.lanes[index];
        let (invocations, first_failed_ms) = match &lane.failure {
            Some(failure) => (failure.invocations + 1, Some(failure.first_failed_ms)),
            None => (1, None),
        };
        let (mut parked, mut full) = (Vec::new(), None);
        let (mut records, mut bytes, mut commit_bytes) = (self.parked_records, self.parked_bytes, self.to_park_bytes);
        while let Some((position, error)) = lane.rejected.pop_front() {
            let Some(record) = lane.piece.get(position) else { continue };
            let error = bounded_error(error);
            let with_it = (records + 1, bytes + record.stored_bytes());
            if with_it.0 > self.rules.parked_records_max || with_it.1 > self.rules.parked_bytes_max {
                // The rest is parked when there is room. What is parked already does not come again by that.
                full = Some((position, error));
                break;
            }
            commit_bytes += row_bytes_max(&record.logged, &error);
            if commit_bytes > PARKED_COMMIT_BYTES_MAX && !(parked.is_empty() && self.to_park.is_empty()) {
                // The rest goes into the next commit.
                lane.rejected.push_front((position, error));
                break;
            }
            (records, bytes) = with_it;
            let (logged, reason, parked_ms) = (record.logged.clone(), GiveUp::Rejected, now.wall);
            parked.push(Parked { logged, reason, error, invocations, first_failed_ms, parked_ms });
        }
        if let Some((position, error)) = full {
            lane.failure_mut(now.wall).error.clone_from(&error);
            lane.rejected.push_front((position, error));
            lane.phase = Phase::ParkedFull;
            if parked.is_empty() {
                return false;
            }
        } else if lane.rejected.is_empty() {
            let whole = lane.piece.len();
            lane.phase = Phase::Ready;
            lane.remove_done(whole, now.monotonic);
        }
        (lane.unissued, lane.gave_up, self.dirty) = (true, true, true);
        (self.parked_records, self.parked_bytes) = (records, bytes);
        for record in parked {
            self.push_parked(record);
        }
        true
    }
}

pub(super) fn bounded_error(mut error: String) -> String {
    if error.len() > MAPPING_ERROR_BYTES_MAX {
        error.truncate(error.floor_char_boundary(MAPPING_ERROR_BYTES_MAX));
        error.push('…');
    }
    error
}

/// One more failed invocation of the piece, and the wait before its next one. A piece without attempts left does not
/// wait: it is given up at once.
fn count_failure(rules: &Rules, lane: &mut Lane, jitter: u32, now: Now) -> Phase {
    let failure = lane.failure_mut(now.wall);
    failure.invocations = failure.invocations.saturating_add(1);
    failure.invocations_here = failure.invocations_here.saturating_add(1);
    if rules.exhausted(failure.invocations) {
        return Phase::Ready;
    }
    Phase::Retry { at: now.monotonic.plus(backoff::delay(failure.invocations, jitter)) }
}
