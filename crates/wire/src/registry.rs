//! The open connections: who is in, who has to go.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::connection::{Patience, Watch};

type Connections = HashMap<u64, (Arc<Watch>, AbortHandle)>;

/// The open connections. Cheap to clone: a handle.
#[derive(Clone, Default)]
pub struct Registry {
    connections: Arc<Mutex<Connections>>,
    ticks: Arc<AtomicU32>,
}

/// A connection's place in the registry; given up on drop.
pub struct Entry {
    number: u64,
    registry: Registry,
    /// The connection's marks.
    pub watch: Arc<Watch>,
}

impl Registry {
    /// Enters a connection, whose task `spawn` starts. Numbers rise with the connections' ages and are used once.
    pub fn enter(&self, number: u64, spawn: impl FnOnce(Entry) -> AbortHandle) {
        let watch = Arc::new(Watch::new(Arc::clone(&self.ticks)));
        let entry = Entry { number, registry: self.clone(), watch: Arc::clone(&watch) };
        // Locked across the spawn, so that the task cannot leave the registry before it is in it.
        let mut connections = self.connections.lock();
        let handle = spawn(entry);
        connections.insert(number, (watch, handle));
    }

    /// One more tick has passed: cuts the connections that have kept the server waiting for longer than they may.
    pub fn sweep(&self, patience: &Patience) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        for (watch, task) in self.connections.lock().values() {
            if watch.overdue(patience) {
                task.abort();
            }
        }
    }

    /// Asks the connection that has been idle for the longest to close; of several the oldest. False: none is idle.
    pub fn evict(&self) -> bool {
        let connections = self.connections.lock();
        let idle = connections.iter().filter_map(|(number, (watch, _))| Some((watch.idle_ticks()?, number, watch)));
        let longest = idle.min_by_key(|(ticks, number, _)| (std::cmp::Reverse(*ticks), **number));
        longest.map(|(_, _, watch)| watch.ask_to_leave()).is_some()
    }

    /// Asks every connection to close.
    pub fn evict_all(&self) {
        for (watch, _) in self.connections.lock().values() {
            watch.ask_to_leave();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.connections.lock().remove(&self.number);
    }
}
