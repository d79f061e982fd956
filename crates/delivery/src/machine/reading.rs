//! What a shard reads, and how far ahead.

use tailrace_core::RecordNo;
use tailrace_core::limits::{
    BACKOFF_MAX, GET_RECORDS_MAX, MAPPING_FETCH_BYTES_MAX, READ_AHEAD_BESIDE_A_BATCH_BYTES_MAX, READ_PAUSE_MAX,
};

use super::lane::Lane;
use super::outcome::bounded_error;
use super::types::{Action, LogRead, Now};
use super::{Barrier, ShardMachine};

impl ShardMachine {
    /// Takes what was read.
    pub(super) fn fetched(&mut self, mut read: LogRead, now: Now, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.left) {
            return;
        }
        (self.fetching, self.crowded) = (false, false);
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

    /// Stored bytes of the records that it holds.
    pub fn held_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::held_bytes).sum::<usize>() + self.to_park_bytes as usize
    }

    /// No more is read for now.
    pub(super) fn read_ahead_full(&self) -> bool {
        self.crowded
            || self.lanes.iter().map(Lane::waiting_records).sum::<usize>() >= self.rules.waiting_records_max()
            || self.lanes.iter().map(Lane::waiting_bytes).sum::<usize>() >= self.read_ahead_bytes_max()
    }

    /// Two batches, of large ones less.
    fn read_ahead_bytes_max(&self) -> usize {
        (2 * self.batch_bytes_max).min(self.batch_bytes_max.saturating_add(READ_AHEAD_BESIDE_A_BATCH_BYTES_MAX))
    }

    /// A batch is gathered, and all that there was is in it.
    fn is_gathering(&self) -> bool {
        let waits = |lane: &Lane| lane.waiting_records() > 0;
        self.caught_up && self.rules.gathers() && self.rules.tumbling_window.is_none() && self.lanes.iter().any(waits)
    }

    /// Asks for what is to be read next.
    pub(super) fn fetch(&mut self, actions: &mut Vec<Action>) {
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
            // It takes the place of one that was left.
            (self.fetching, self.left) = (true, false);
            actions.push(Action::Fetch {
                after: self.read,
                records_max: GET_RECORDS_MAX,
                bytes_max: MAPPING_FETCH_BYTES_MAX,
                wait: self.caught_up,
                at_once: restoring,
                not_before: self.is_gathering().then(|| {
                    let pause = (self.rules.window.max(self.rules.pace) / 2).min(READ_PAUSE_MAX);
                    self.now.monotonic.plus(pause)
                }),
            });
        }
    }
}
