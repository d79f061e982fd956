//! Maintenance: the threads that do what is to be done beside the commits. The flusher writes sealed memtables to the disk,
//! the compactor merges the tree's tables, the reclaimer removes rows that nothing can reach any more.
//!
//! Invariants: what fails for want of room is tried again, further and further apart, and told of once; any other failure
//! ends the engine. The flusher and the compactor never wait for a commit: committer and applier may wait for them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use tailrace_store::StoreError;

use crate::reclaim;
use crate::state::EngineState;

/// How long a failed flush, compaction or reclaim waits before it is tried again: at first, and at most. Each try writes
/// until the disk is full again, so a disk that stays full is not tried all the time.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(500);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15);

/// What there is to do, and what keeps it from being done.
pub(crate) struct Chores {
    work: Mutex<Work>,
    /// Told when there is something to do, and when something has been done.
    changed: Condvar,
    trouble: RwLock<Trouble>,
}

/// What there is to do.
pub(crate) struct Work {
    /// A memtable was sealed.
    pub sealed: bool,
    /// A range is to be reclaimed.
    pub reclaim: bool,
    /// The engine closes: nothing waits for compactions any more.
    pub closing: bool,
}

/// Why the tree cannot be written at present, if it cannot.
#[derive(Default)]
struct Trouble {
    flush: Option<StoreError>,
    compaction: Option<StoreError>,
}

impl Chores {
    /// Everything that an earlier life may have left is to be done.
    pub fn new() -> Chores {
        let work = Mutex::new(Work { sealed: true, reclaim: true, closing: false });
        Chores { work, changed: Condvar::new(), trouble: RwLock::default() }
    }

    /// Says what there is to do, or that something was done.
    pub fn tell(&self, tell: impl FnOnce(&mut Work)) {
        tell(&mut self.work.lock());
        self.changed.notify_all();
    }

    /// Why the tree cannot be written at present, if it cannot.
    pub fn trouble(&self) -> Option<StoreError> {
        let trouble = self.trouble.read();
        trouble.flush.clone().or_else(|| trouble.compaction.clone())
    }

    /// Waits as long as there is reason to, the tree can be written, and the engine does not close.
    pub fn wait_while(&self, reason: impl Fn() -> bool) {
        let mut work = self.work.lock();
        while reason() && !work.closing && self.trouble().is_none() {
            self.changed.wait(&mut work);
        }
    }

    /// Waits until there is something to do. False: the engine ends instead.
    fn wait_for(&self, due: impl Fn(&mut Work) -> bool, ended: impl Fn(&Work) -> bool) -> bool {
        let mut work = self.work.lock();
        loop {
            if ended(&work) {
                return false;
            }
            if due(&mut work) {
                return true;
            }
            self.changed.wait(&mut work);
        }
    }

    /// Waits for a change, but not long.
    #[cfg(test)]
    pub fn wait_a_while(&self, most: Duration) -> bool {
        !self.changed.wait_for(&mut self.work.lock(), most).timed_out()
    }
}

/// Tries of something that failed, further and further apart.
struct Retries {
    pause: Duration,
    told: Option<String>,
}

impl Retries {
    fn new() -> Retries {
        Retries { pause: RETRY_AFTER_MIN, told: None }
    }

    /// Waits for the next try, or for the end; tells of each kind of failure once.
    fn wait(&mut self, state: &EngineState, what: &str, error: &StoreError) {
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            tracing::error!(%error, "{what}; trying again until it can");
            self.told = Some(text);
        }
        let until = state.clock.monotonic_ns() + self.pause.as_nanos() as u64;
        let mut work = state.chores.work.lock();
        loop {
            let left = until.saturating_sub(state.clock.monotonic_ns());
            if left == 0 || state.stopped() || work.closing {
                break;
            }
            if state.chores.changed.wait_for(&mut work, Duration::from_nanos(left)).timed_out() {
                break;
            }
        }
        self.pause = (self.pause * 2).min(RETRY_AFTER_MAX);
    }

    fn succeeded(&mut self, what: &str) {
        if self.told.take().is_some() {
            tracing::info!("{what} again");
        }
        self.pause = RETRY_AFTER_MIN;
    }
}

/// True for what passes when there is room again. Anything else of a disk may have lost what was written before.
fn passes(error: &StoreError) -> bool {
    matches!(error, StoreError::Full(_))
}

/// The flusher: writes sealed memtables to the disk, and tells the log how far the tree has come.
pub(crate) fn run_flusher(state: &EngineState) {
    let chores = &state.chores;
    let mut retries = Retries::new();
    let due = |work: &mut Work| std::mem::take(&mut work.sealed) || chores.trouble.read().flush.is_some();
    while chores.wait_for(due, |_| state.stopped()) {
        state.turn_of("flusher");
        let mut covered = |covered| {
            state.log.set_persisted(covered);
            chores.tell(|_| ());
        };
        match state.tree.flush(&mut covered) {
            Ok(()) => {
                if chores.trouble.write().flush.take().is_some() {
                    retries.succeeded("the tree can be written");
                    chores.tell(|_| ());
                }
            }
            Err(error) if passes(&error) => {
                chores.trouble.write().flush = Some(error.clone());
                chores.tell(|_| ());
                retries.wait(state, "the tree cannot be written", &error);
            }
            Err(error) => return state.die(&error),
        }
    }
}

/// The compactor: merges tables after flushes.
pub(crate) fn run_compactor(state: &EngineState) {
    let chores = &state.chores;
    let mut retries = Retries::new();
    let mut runs = usize::MAX;
    loop {
        // What needs room waits until the memtables have had it.
        let due = |_: &mut Work| state.tree.young_runs() != runs && chores.trouble.read().flush.is_none();
        if !chores.wait_for(due, |_| state.stopped()) {
            return;
        }
        state.turn_of("compactor");
        let done = state.tree.compact(&|| state.stopped(), &mut || chores.tell(|_| ()));
        runs = state.tree.young_runs();
        match done {
            Ok(()) => {
                if chores.trouble.write().compaction.take().is_some() {
                    retries.succeeded("the tree can be compacted");
                    chores.tell(|_| ());
                }
            }
            Err(error) if passes(&error) => {
                chores.trouble.write().compaction = Some(error.clone());
                chores.tell(|_| ());
                runs = usize::MAX;
                retries.wait(state, "the tree cannot be compacted", &error);
            }
            Err(error) => return state.die(&error),
        }
    }
}

/// The reclaimer: removes what nothing can reach any more, in commits of its own, which wait like any others.
pub(crate) fn run_reclaimer(state: &Arc<EngineState>) {
    let chores = &state.chores;
    let mut retries = Retries::new();
    let due = |work: &mut Work| std::mem::take(&mut work.reclaim);
    while chores.wait_for(due, |work| work.closing || state.stopped()) {
        state.turn_of("reclaimer");
        match reclaim::run(state, &|| state.stopped() || chores.work.lock().closing) {
            Ok(()) => retries.succeeded("deleted tables' space can be reclaimed"),
            Err(StoreError::Closed) => return,
            Err(error) if passes(&error) => {
                retries.wait(state, "a deleted table's space cannot be reclaimed", &error);
                chores.work.lock().reclaim = true;
            }
            Err(error) => return state.die(&error),
        }
    }
}
