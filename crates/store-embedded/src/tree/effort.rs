//! What a read may do where it runs: a bounded number of steps and no disk on the runtime, more on a reader thread.
//!
//! Steps are an estimate of time, about a fifth of a microsecond each: what is bounded is how long a thread of the runtime
//! is held. Counting is deterministic and needs no clock.

use tailrace_core::limits;

/// A question to a source's filter.
pub(super) const FILTER_STEPS: u64 = 1;
/// A search in a memtable, or in the index of a table.
pub(super) const LOOK_STEPS: u64 = 3;
/// A block from the cache.
pub(super) const CACHED_BLOCK_STEPS: u64 = 2;
/// Bytes of a file that are read, checked and unpacked in one step.
pub(super) const READ_BYTES_PER_STEP: u64 = 128;
/// Bytes of a row whose cost is found out in one step.
pub(super) const ROW_BYTES_PER_STEP: u64 = 256;

/// What a read has left.
#[derive(Debug)]
pub(crate) struct Effort {
    left: u64,
    /// Whether it may wait for the disk.
    pub(super) disk: bool,
    /// Steps taken.
    #[cfg(test)]
    pub(super) taken: u64,
}

/// Why a read stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What is left of it needs the disk, or is long: it goes on elsewhere.
    Aside,
    /// It failed.
    Failed(lsm_tree::Error),
}

impl From<lsm_tree::Error> for Stop {
    fn from(error: lsm_tree::Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Effort {
    /// For a thread of the runtime.
    pub fn inline() -> Effort {
        Effort::new(limits::READ_INLINE_STEPS_MAX, false)
    }

    /// For so many turns at once on a reader thread.
    pub fn turns(count: u64) -> Effort {
        Effort::new(limits::READ_TURN_STEPS_MAX.saturating_mul(count), true)
    }

    /// For a thread that has time.
    pub fn unbounded() -> Effort {
        Effort::new(u64::MAX, true)
    }

    pub(super) fn new(left: u64, disk: bool) -> Effort {
        Effort {
            left,
            disk,
            #[cfg(test)]
            taken: 0,
        }
    }

    /// Takes steps, if they are left.
    pub(super) fn take(&mut self, steps: u64) -> Result<(), Stop> {
        #[cfg(test)]
        {
            self.taken += steps;
        }
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Stop::Aside)
            }
        }
    }
}
