//! One lane: the records that wait, the batch in hand, and what is known of its failures.
//!
//! Invariants: records are in order, `piece` before `later` (its last element first) before `waiting`; `later` holds
//! something only while `piece` does. The lane decides nothing: the rules are applied by the machine around it.

use std::collections::VecDeque;

use tailrace_core::{EpochMs, MonotonicMs, RecordNo};

use super::checkpoint::Attempt;
use super::rules::Rules;
use super::types::{InvocationId, Record};

/// What the lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The next step may hand out a batch.
    Ready,
    /// The piece is with the target.
    Invoking(InvocationId),
    /// The piece is tried again at this monotonic time.
    Retry { at: MonotonicMs },
    /// The piece is to be parked and there is no room.
    ParkedFull,
    /// The piece is done but for records that are to be parked.
    Rejecting,
}

/// The failures of the batch in hand.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Failed invocations of the piece since the last progress.
    pub invocations: u32,
    /// Of these, those since the machine began: after a restart an old failure says nothing of the target as it is now.
    pub invocations_here: u32,
    /// Times in a row that the target could not be invoked.
    pub not_invoked: u32,
    /// When the batch first failed, wall clock.
    pub first_failed_ms: EpochMs,
    /// The last error.
    pub error: String,
}

#[derive(Debug)]
pub(crate) struct Lane {
    waiting: VecDeque<Record>,
    waiting_bytes: usize,
    /// Stored bytes of all records that are here.
    held_bytes: usize,
    /// When the batching window of the waiting records began.
    window_from: Option<MonotonicMs>,
    /// When the latest batch was taken.
    last_taken: Option<MonotonicMs>,
    pub piece: Vec<Record>,
    /// The version under which the bounds of the piece are in a commit.
    pub plan: Option<u32>,
    /// Records of the piece that the target will never take, by index, and why.
    pub rejected: VecDeque<(usize, String)>,
    later: Vec<Vec<Record>>,
    pub failure: Option<Failure>,
    pub phase: Phase,
    /// The lane's last outcome is in no commit yet: the next batch waits until it is in one, so that a crash
    /// repeats at most the batch in flight and the one before it.
    pub unissued: bool,
    /// The lane's last outcome gave something up, and the commit that says so is not durable yet: a crash would bring it back,
    /// behind what was handed out meanwhile.
    pub gave_up: bool,
    /// The failing batch of the checkpoint that the lane began with, until its records are read again.
    restoring: Option<Attempt>,
    /// The piece is one record that the target can never take, or the final call of a window.
    pub undeliverable: bool,
    /// Records up to here were done before the machine began.
    pub done_before: RecordNo,
    /// Something changed since the batch went out: if it was not invoked, it goes out again at once.
    pub woken: bool,
    /// The batch that is out needs no look at its age: it was recalled for that already, or is to be tried whatever its age.
    pub age_seen: bool,
    /// The final call that is out was too old already when it went out.
    pub old_when_out: bool,
}

impl Lane {
    pub fn new(done_before: RecordNo, restoring: Option<Attempt>) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            held_bytes: 0,
            window_from: None,
            last_taken: None,
            piece: Vec::new(),
            plan: None,
            rejected: VecDeque::new(),
            later: Vec::new(),
            failure: None,
            phase: Phase::Ready,
            unissued: false,
            gave_up: false,
            restoring,
            undeliverable: false,
            done_before,
            woken: false,
            age_seen: false,
            old_when_out: false,
        }
    }

    /// Takes a record that was read; one that was done before is dropped.
    pub fn push(&mut self, record: Record, now: MonotonicMs) {
        if record.number() <= self.done_before {
            return;
        }
        self.waiting_bytes += record.size;
        self.held_bytes += record.logged.bytes();
        self.waiting.push_back(record);
        if self.piece.is_empty() {
            self.window_from.get_or_insert(now);
        }
    }

    /// The next batch waits for a commit.
    pub fn is_held(&self) -> bool {
        self.unissued || self.gave_up
    }

    pub fn waiting_records(&self) -> usize {
        self.waiting.len()
    }

    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub fn pending_records(&self) -> usize {
        self.waiting.len() + self.piece.len() + self.later.iter().map(Vec::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.piece.is_empty() && self.waiting.is_empty() && self.restoring.is_none()
    }

    pub fn oldest(&self) -> Option<&Record> {
        self.piece.first().or(self.waiting.front())
    }

    /// Every record of the lane up to here is done, if everything up to `read` was read.
    pub fn done(&self, read: RecordNo) -> RecordNo {
        let done = self.oldest().map_or(read, |record| RecordNo(record.number().0 - 1));
        done.max(self.done_before)
    }

    /// The failing batch, as a checkpoint keeps it.
    pub fn attempt(&self) -> Option<Attempt> {
        if self.restoring.is_some() {
            return self.restoring.clone();
        }
        let (first, last) = (self.piece.first()?.number(), self.piece.last()?.number());
        let bisect: Vec<RecordNo> =
            self.later.iter().filter_map(|piece| piece.last()).map(|record| record.number()).collect();
        let (invocations, first_failed_ms, error) = match &self.failure {
            Some(failure) => (failure.invocations, failure.first_failed_ms, failure.error.clone()),
            None => (0, EpochMs::ZERO, String::new()),
        };
        if invocations == 0 && bisect.is_empty() && self.plan.is_none() {
            return None;
        }
        Some(Attempt { first, last, invocations, first_failed_ms, error, bisect, plan: self.plan })
    }

    /// The last record of the batch that is to be restored, if it is not yet.
    pub fn restoring_until(&self) -> Option<RecordNo> {
        self.restoring.as_ref().map(|attempt| attempt.bisect.first().copied().unwrap_or(attempt.last))
    }

    /// Nothing can be done before more is read.
    pub fn waits_for_more(&self) -> bool {
        self.restoring.is_some() || self.pending_records() == 0
    }

    /// Makes the failing batch of the checkpoint from the records that were read again. Records that were trimmed
    /// meanwhile are missing from it; unless it `is_whole`, so are its last ones, and a plan is none of what is left.
    pub fn restore(&mut self, is_whole: bool, now: MonotonicMs) {
        let Some(attempt) = self.restoring.take() else { return };
        let mut ends = vec![attempt.last];
        ends.extend(attempt.bisect.iter().rev());
        let mut pieces: Vec<Vec<Record>> = ends.iter().map(|end| self.take_up_to(*end)).collect();
        let first_is_whole = pieces.first().is_some_and(|piece| !piece.is_empty());
        pieces.retain(|piece| !piece.is_empty());
        pieces.reverse();
        self.later = pieces;
        // A batch that was planned, or split as its target wants it, may never have failed.
        let failed = attempt.first_failed_ms > EpochMs::ZERO;
        self.failure = (failed && (attempt.invocations > 0 || !attempt.bisect.is_empty())).then_some(Failure {
            invocations: 0,
            invocations_here: 0,
            not_invoked: 0,
            first_failed_ms: attempt.first_failed_ms,
            error: attempt.error,
        });
        self.next_piece(now);
        let same = self.piece.first().is_some_and(|record| record.number() == attempt.first);
        self.plan = attempt.plan.filter(|_| same && is_whole);
        if let (true, Some(failure)) = (first_is_whole, &mut self.failure) {
            failure.invocations = attempt.invocations;
        }
    }

    fn take_up_to(&mut self, end: RecordNo) -> Vec<Record> {
        let count = self.waiting.partition_point(|record| record.number() <= end);
        self.take_waiting(count)
    }

    fn take_waiting(&mut self, count: usize) -> Vec<Record> {
        let taken: Vec<Record> = self.waiting.drain(..count).collect();
        self.waiting_bytes -= taken.iter().map(|record| record.size).sum::<usize>();
        taken
    }

    /// How many waiting records the next batch takes, and whether it can take no more: one of its bounds is reached. A
    /// record that is above the bound of bytes alone is a batch of its own.
    fn next_batch(&self, records_max: usize, bytes_max: usize) -> (usize, bool) {
        if self.waiting.len() <= records_max && self.waiting_bytes <= bytes_max {
            return (self.waiting.len(), self.waiting.len() == records_max);
        }
        let mut bytes = 0;
        for (index, record) in self.waiting.iter().enumerate() {
            bytes += record.size;
            if index == records_max || (index > 0 && bytes > bytes_max) {
                return (index, true);
            }
        }
        (self.waiting.len(), true)
    }

    /// The first record that waits.
    pub fn next_waiting(&self) -> Option<&Record> {
        self.waiting.front()
    }

    /// Makes the next batch the piece in hand if it is full, if `flush` asks for it or if its window is over. It is of records
    /// that are older than `before`: with a younger one behind them, they are all that come.
    pub fn take_batch(
        &mut self,
        (records_max, bytes_max): (usize, usize),
        before: Option<EpochMs>,
        rules: &Rules,
        flush: bool,
        now: MonotonicMs,
    ) {
        debug_assert!(self.piece.is_empty(), "a batch is taken only when none is in hand");
        if self.waiting.is_empty() {
            return;
        }
        // Times never fall along a shard. The first is in any case: a window that is over takes what comes late.
        let older = |end| self.waiting.partition_point(|record| record.time() < end).max(1);
        let older = before.map_or(self.waiting.len(), older);
        let bounded = older < self.waiting.len();
        let (count, full) = self.next_batch(if bounded { records_max.min(older) } else { records_max }, bytes_max);
        if full || flush || self.window_end(rules).is_some_and(|end| now >= end) {
            self.piece = self.take_waiting(count);
            self.window_from = None;
            self.last_taken = Some(now);
        }
    }

    /// There may be room again for what is parked.
    pub fn park_on(&mut self) {
        self.phase = if self.rejected.is_empty() { Phase::Ready } else { Phase::Rejecting };
    }

    /// When the waiting records go out if no more come; `None` if they wait for nothing, or if there are none.
    pub fn window_end(&self, rules: &Rules) -> Option<MonotonicMs> {
        let from = self.window_from.filter(|_| rules.gathers())?;
        let next = self.last_taken.map_or(from, |taken| taken.plus(rules.pace));
        Some(from.plus(rules.window).max(next))
    }

    /// The first `count` records of the piece are over (done or parked).
    pub fn remove_done(&mut self, count: usize, now: MonotonicMs) -> Vec<Record> {
        let removed: Vec<Record> = self.piece.drain(..count).collect();
        self.held_bytes -= removed.iter().map(|record| record.logged.bytes()).sum::<usize>();
        self.unissued = true;
        self.plan = None;
        if self.piece.is_empty() {
            self.next_piece(now);
        } else if let Some(failure) = &mut self.failure {
            failure.not_invoked = 0;
        }
        removed
    }

    fn next_piece(&mut self, now: MonotonicMs) {
        self.undeliverable = false;
        self.plan = None;
        match self.later.pop() {
            Some(piece) => {
                self.piece = piece;
                if let Some(failure) = &mut self.failure {
                    (failure.invocations, failure.not_invoked) = (0, 0);
                }
            }
            None => {
                self.failure = None;
                self.window_from = (!self.waiting.is_empty()).then_some(now);
            }
        }
    }

    /// Splits the piece in two halves; the first stays in hand.
    pub fn bisect(&mut self) {
        debug_assert!(self.piece.len() > 1, "one record cannot be split");
        self.split(self.piece.len() / 2);
    }

    /// Splits the piece before this index; what is behind comes next.
    pub fn split(&mut self, index: usize) {
        let second = self.piece.split_off(index.min(self.piece.len()));
        self.plan = None;
        if !second.is_empty() {
            self.later.push(second);
        }
    }

    /// Of the batch in hand, and of what comes next of it, what begins with the first record of this time or a later one waits again
    /// as if it had never been tried.
    pub fn put_back_from(&mut self, time: EpochMs, now: MonotonicMs) {
        if self.piece.iter().chain(self.later.iter().flatten()).all(|record| record.time() < time) {
            return;
        }
        // The next one is last.
        let mut pieces = std::mem::take(&mut self.later);
        pieces.push(std::mem::take(&mut self.piece));
        let mut back: Vec<Record> = Vec::new();
        let mut kept = Vec::new();
        while let Some(mut piece) = pieces.pop() {
            let within = match back.is_empty() {
                true => piece.iter().position(|record| record.time() >= time).unwrap_or(piece.len()),
                false => 0,
            };
            back.extend(piece.drain(within..));
            kept.push(piece);
        }
        kept.retain(|piece| !piece.is_empty());
        kept.reverse();
        self.piece = kept.pop().unwrap_or_default();
        self.later = kept;
        self.waiting_bytes += back.iter().map(|record| record.size).sum::<usize>();
        for record in back.into_iter().rev() {
            self.waiting.push_front(record);
        }
        if self.piece.is_empty() {
            (self.failure, self.plan, self.undeliverable) = (None, None, false);
            self.window_from = Some(now);
        }
    }

    /// The failures of the batch in hand, begun now if there are none yet.
    pub fn failure_mut(&mut self, now: EpochMs) -> &mut Failure {
        self.failure.get_or_insert_with(|| Failure {
            invocations: 0,
            invocations_here: 0,
            not_invoked: 0,
            first_failed_ms: now,
            error: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tailrace_core::ShardNo;
    use tailrace_store::LogRecord;

    use super::*;

    fn record(number: u64, time_ms: u64) -> Record {
        let logged = LogRecord {
            shard: ShardNo(0),
            number: RecordNo(number),
            time_ms: EpochMs(time_ms),
            meta: Bytes::new(),
            old: None,
            new: None,
        };
        Record { key_hash: 0, size: 1, logged }
    }

    fn lane(times: &[u64]) -> Lane {
        let mut lane = Lane::new(RecordNo::ZERO, None);
        for (n, time_ms) in (1..).zip(times) {
            lane.push(record(n, *time_ms), MonotonicMs::default());
        }
        lane
    }

    /// docs/spec/event-source-mapping.md 9: a batch is of one window, but what comes late is in the next one.
    #[test]
    fn a_batch_ends_before_the_first_record_of_a_later_window() {
        for (times, end, expected) in
            [(&[1, 2, 12, 13][..], 10, 2), (&[12, 13], 10, 1), (&[1, 2], 10, 2), (&[1, 2], 2, 1)]
        {
            let mut lane = lane(times);
            lane.take_batch((100, 100), Some(EpochMs(end)), &Rules::default(), true, MonotonicMs::default());
            assert_eq!(lane.piece.len(), expected, "{times:?} before {end}");
        }
    }

    #[test]
    fn windows_are_taken_one_after_the_other() {
        let times = [1, 2, 3, 11, 12, 25, 26, 27, 28];
        let mut lane = lane(&times);
        let mut taken = Vec::new();
        for end in [10, 10, 20, 30, 30, 30] {
            // A batch of two, so that a window takes several.
            lane.take_batch((2, 100), Some(EpochMs(end)), &Rules::default(), true, MonotonicMs::default());
            taken.push(lane.piece.drain(..).map(|record| record.time().0).collect::<Vec<_>>());
        }
        assert_eq!(taken, [&[1, 2][..], &[3], &[11, 12], &[25, 26], &[27, 28], &[]]);
    }

    /// Each step asks for a batch. With a look at all records that wait for the end of a window, this would take minutes.
    #[test]
    fn a_window_that_fills_slowly_does_not_cost_a_look_at_all_of_it_each_time() {
        let mut lane = Lane::new(RecordNo::ZERO, None);
        for n in 1..=200_000 {
            lane.push(record(n, n), MonotonicMs::default());
            let end = Some(EpochMs(1_000_000));
            lane.take_batch(
                (1_000_000, usize::MAX),
                end,
                &Rules { window: Duration::from_secs(300), ..Rules::default() },
                false,
                MonotonicMs::default(),
            );
        }
        assert_eq!((lane.piece.len(), lane.waiting_records()), (0, 200_000));
    }
}
