//! The overlay: the newest value of every key that is enqueued and not yet published. Read only under the key's latch.
//!
//! Invariants: an entry is put before its commit can be published, and dropped after its commit is published unless a
//! newer one has replaced it; so under the latch "not in the overlay" means "the published value is the newest".
//! Its size is bounded by the commits in flight.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::queue::Ticket;

/// Parts with a lock each, so that committing tasks and the applier seldom meet.
const PARTS: u64 = 64;

type Part = HashMap<Bytes, (Option<Bytes>, Ticket)>;

pub(crate) struct Overlay {
    parts: Vec<Mutex<Part>>,
}

impl Overlay {
    pub fn new() -> Overlay {
        Overlay { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }

    fn part(&self, key: &[u8]) -> &Mutex<Part> {
        &self.parts[(xxh3_64(key) % PARTS) as usize]
    }

    /// The pending value of a key and the ticket of its commit.
    pub fn get(&self, key: &Bytes) -> Option<(Option<Bytes>, Ticket)> {
        self.part(key).lock().get(key).cloned()
    }

    /// Sets the pending value of a key.
    pub fn put(&self, key: Bytes, value: Option<Bytes>, ticket: Ticket) {
        self.part(&key).lock().insert(key, (value, ticket));
    }

    /// Drops the entry of a key unless it belongs to a commit above `settled`.
    pub fn drop_settled(&self, key: &Bytes, settled: Ticket) {
        let mut part = self.part(key).lock();
        if part.get(key).is_some_and(|(_, ticket)| *ticket <= settled) {
            part.remove(key);
        }
    }
}
