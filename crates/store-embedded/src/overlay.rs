//! The overlay: the newest value of every key that is enqueued and not yet published. Read only under the key's latch.
//!
//! Invariants: an entry is put before its commit can be published, and dropped after its commit is published unless a
//! newer one has replaced it; so under the latch "not in the overlay" means "the published value is the newest".
//! Its size is bounded by the commits in flight.

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;

use crate::queue::Ticket;
use crate::tree::key_hash;

/// Parts with a lock each, so that committing tasks and the applier seldom meet.
const PARTS: u64 = 64;

/// The newest value of a key, and the commit that it is of.
struct Pending {
    key: Bytes,
    value: Option<Bytes>,
    ticket: Ticket,
}

pub(crate) struct Overlay {
    parts: Vec<Mutex<HashTable<Pending>>>,
}

impl Overlay {
    pub fn new() -> Overlay {
        Overlay { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }

    fn part(&self, hash: u64) -> &Mutex<HashTable<Pending>> {
        // Within a part the table looks at the other bits.
        &self.parts[((hash >> 40) % PARTS) as usize]
    }

    /// The pending value of a key and the ticket of its commit.
    pub fn get(&self, key: &Bytes) -> Option<(Option<Bytes>, Ticket)> {
        let hash = key_hash(key);
        let part = self.part(hash).lock();
        part.find(hash, |pending| pending.key == key).map(|pending| (pending.value.clone(), pending.ticket))
    }

    /// Sets the pending value of a key.
    pub fn put(&self, key: Bytes, value: Option<Bytes>, ticket: Ticket) {
        let hash = key_hash(&key);
        let mut part = self.part(hash).lock();
        match part.entry(hash, |pending| pending.key == key, |pending| key_hash(&pending.key)) {
            Entry::Occupied(mut pending) => {
                let pending = pending.get_mut();
                (pending.value, pending.ticket) = (value, ticket);
            }
            Entry::Vacant(place) => {
                place.insert(Pending { key, value, ticket });
            }
        }
    }

    /// Drops the entry of a key unless it belongs to a commit above `settled`.
    pub fn drop_settled(&self, key: &Bytes, settled: Ticket) {
        let hash = key_hash(key);
        let mut part = self.part(hash).lock();
        if let Ok(pending) = part.find_entry(hash, |pending| pending.key == key && pending.ticket <= settled) {
            pending.remove();
        }
    }
}
