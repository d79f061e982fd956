//! The rows of tables that are in use, kept in memory beside the tree: every request asks for one, and it almost never
//! changes.
//!
//! Invariants: a kept row is the newest published one, as of the group that it bears; a snapshot before that group does not
//! get it, and looks in the tree. The applier changes what is kept before the group is published. A reader keeps what it
//! found only if nothing was changed since before its snapshot, so that it never puts an older row in place of a newer one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use tailrace_core::limits::DESCRIPTOR_CACHE_MAX;
use tailrace_store::keyspace::KeyKind;

use super::{Change, Seqno};

#[derive(Default)]
pub(super) struct Descriptors {
    rows: RwLock<HashMap<Bytes, (Bytes, Seqno)>>,
    /// Raised by every change of what is kept but by readers.
    version: AtomicU64,
}

impl Descriptors {
    fn concerns(key: &[u8]) -> bool {
        key.first() == Some(&(KeyKind::Table as u8))
    }

    /// Taken before a snapshot, and given to [`Descriptors::found`].
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The value of a key at a group. `None`: the tree must be asked.
    pub fn get(&self, key: &Bytes, seqno: Seqno) -> Option<Bytes> {
        if !Descriptors::concerns(key) {
            return None;
        }
        let rows = self.rows.read();
        rows.get(key).filter(|(_, since)| *since <= seqno).map(|(value, _)| value.clone())
    }

    /// The tree had this value of a key at a group, in a snapshot that was taken after `version`.
    pub fn found(&self, key: &Bytes, value: &Option<Bytes>, seqno: Seqno, version: u64) {
        let (true, Some(value)) = (Descriptors::concerns(key), value) else { return };
        let mut rows = self.rows.write();
        if self.version() != version {
            return;
        }
        if rows.len() >= DESCRIPTOR_CACHE_MAX {
            rows.clear();
        }
        // Of its own: a part of a block of the tree would keep the whole block.
        rows.insert(Bytes::copy_from_slice(key), (Bytes::copy_from_slice(value), seqno));
    }

    /// The applier changes a key with this group, which is not published yet.
    pub fn change(&self, (key, value): &Change, seqno: Seqno) {
        if !Descriptors::concerns(key) {
            return;
        }
        let mut rows = self.rows.write();
        self.version.fetch_add(1, Ordering::AcqRel);
        match value {
            Some(value) if rows.len() < DESCRIPTOR_CACHE_MAX => {
                rows.insert(key.clone(), (value.clone(), seqno));
            }
            _ => {
                rows.remove(key);
            }
        }
    }
}
