//! What the engine's threads and methods share: its parts, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tailrace_store::StoreError;

use crate::FatalHook;
use crate::engine::readers::Readers;
use crate::latches::Latches;
use crate::log::Log;
use crate::maintenance::Chores;
use crate::overlay::Overlay;
use crate::published::Published;
use crate::queue::CommitQueue;
use crate::tree::Tree;

pub(crate) struct EngineState {
    pub clock: Arc<dyn Clock>,
    pub log: Arc<Log>,
    pub tree: Tree,
    pub latches: Latches,
    pub overlay: Overlay,
    pub readers: Readers,
    pub queue: CommitQueue,
    pub published: Published,
    /// Held while rows of a group become visible and until their number is: who holds it finds the two together.
    pub publishing: parking_lot::Mutex<()>,
    pub chores: Chores,
    pub end: End,
    /// The thread that is to panic at its next turn.
    #[cfg(test)]
    pub panicking: Mutex<Option<&'static str>>,
}

/// The engine's end.
pub(crate) struct End {
    stop: AtomicBool,
    dead: Mutex<Option<StoreError>>,
    fatal: FatalHook,
}

impl End {
    pub fn new(fatal: FatalHook) -> End {
        End { stop: AtomicBool::new(false), dead: Mutex::new(None), fatal }
    }
}

impl EngineState {
    /// True once the threads are to end, whatever is left to do.
    pub fn stopped(&self) -> bool {
        self.end.stop.load(Ordering::Acquire)
    }

    /// Tells the threads to end, whatever is left to do.
    pub fn stop(&self) {
        self.end.stop.store(true, Ordering::Release);
        self.queue.close();
        self.chores.tell(|_| ());
    }

    /// A thread has something to do. Where a test lets it panic.
    pub fn turn_of(&self, _thread: &'static str) {
        #[cfg(test)]
        assert_ne!(*self.panicking.lock(), Some(_thread), "planted");
    }

    /// Why the engine ended by itself, if it did.
    pub fn died_of(&self) -> Option<StoreError> {
        self.end.dead.lock().clone()
    }

    /// Ends everything if the result says that what was read is damaged: nothing is skipped in silence.
    pub fn checked<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Corrupt(_)) = &result {
            (self.end.fatal)(error);
        }
        result
    }

    /// Ends everything: what is on the disk is unknown, or a thread is gone.
    pub fn die(&self, error: &StoreError) {
        *self.end.dead.lock() = Some(error.clone());
        (self.end.fatal)(error);
        self.abandon(error);
        self.stop();
    }

    /// Answers everything that waits with `error`.
    pub fn abandon(&self, error: &StoreError) {
        self.queue.abandon(error);
        self.published.abandon(error);
    }

    /// True if the tree has fallen so far behind that further groups should wait (or, while it cannot be written,
    /// be refused).
    pub fn is_behind(&self) -> bool {
        self.tree.sealed_memtables() >= limits::SEALED_MEMTABLES_MAX || self.tree.young_runs() >= limits::YOUNG_RUNS_MAX
    }
}
