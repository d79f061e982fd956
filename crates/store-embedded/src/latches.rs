//! Striped latches: who holds a key's stripe may read its newest pending value and enqueue a change of it.
//!
//! Invariants: stripes are taken in ascending order, so two commits never wait for each other; a stripe that a commit
//! needs shared and exclusive is taken exclusive; they are held while a commit's body runs and is enqueued, never
//! across a sync or an await.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use smallvec::SmallVec;
use tailrace_store::Key;

use crate::tree::key_hash;

/// Two keys that share a stripe only wait for each other needlessly; 4,096 makes that rare with hundreds of commits at
/// once, for 64 KiB of memory.
const STRIPES: u64 = 4096;

pub(crate) struct Latches {
    stripes: Vec<RwLock<()>>,
}

/// Held stripes. A commit of one item has two, its table's descriptor and its own: they need no allocation.
pub(crate) type Latched<'a> = SmallVec<[Latch<'a>; 4]>;

/// A held stripe.
pub(crate) enum Latch<'a> {
    Shared { _stripe: RwLockReadGuard<'a, ()> },
    Exclusive { _stripe: RwLockWriteGuard<'a, ()> },
}

impl Latches {
    pub fn new() -> Latches {
        Latches { stripes: (0..STRIPES).map(|_| RwLock::new(())).collect() }
    }

    /// Waits for the stripes of the keys.
    pub fn take(&self, shared: &[Key], exclusive: &[Key]) -> Latched<'_> {
        // Whoever makes up keys must not know which of them meet: all of a client's writes would wait for each other, and with them
        // those of a table whose descriptor is in the same stripe.
        let stripe = |key: &Key| (key_hash(&key.0) % STRIPES) as usize;
        // Sorted by stripe, exclusive before shared, so that removing duplicates keeps the stronger one.
        let mut wanted: SmallVec<[(usize, bool); 4]> = SmallVec::new();
        wanted.extend(exclusive.iter().map(|key| (stripe(key), false)));
        wanted.extend(shared.iter().map(|key| (stripe(key), true)));
        wanted.sort_unstable();
        wanted.dedup_by_key(|(stripe, _)| *stripe);
        let latch = |(stripe, is_shared): (usize, bool)| match is_shared {
            true => Latch::Shared { _stripe: self.stripes[stripe].read() },
            false => Latch::Exclusive { _stripe: self.stripes[stripe].write() },
        };
        wanted.into_iter().map(latch).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn keys_that_were_made_to_meet_in_a_stripe_do_not() {
        let keys = (0u64..).map(|n| Key(Bytes::copy_from_slice(&n.to_be_bytes())));
        let met: Vec<Key> = keys.filter(|key| xxh3_64(&key.0).is_multiple_of(STRIPES)).take(64).collect();
        assert!(Latches::new().take(&[], &met).len() > 32);
    }
}
