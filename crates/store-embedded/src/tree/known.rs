//! Published rows of the one kind that nearly every read and write looks at: the descriptors of tables. A look in here
//! stands for a search in the memtables and the tables.
//!
//! Invariants: what is found for a snapshot is what a search would find for it. A row that is known was read at a snapshot,
//! and no group since has written it: the applier forgets what a group writes before it publishes the group, and what was
//! read before that is not taken in any more.
//!
//! It holds a bounded number of rows, absent ones included; what does not fit any more is forgotten with all the rest.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::RwLock;
use tailrace_core::limits::DESCRIPTOR_CACHE_MAX;
use tailrace_store::keyspace::KeyKind;

use super::Seqno;

/// A row, and the snapshot at which it was read.
struct Known {
    value: Option<Bytes>,
    since: Seqno,
}

#[derive(Default)]
struct Rows {
    known: HashMap<Bytes, Known>,
    /// The newest group that wrote a row of the kind.
    written: Seqno,
}

#[derive(Default)]
pub(super) struct KnownRows {
    rows: RwLock<Rows>,
}

impl KnownRows {
    /// Whether rows like the one of this key are held.
    pub fn holds(key: &[u8]) -> bool {
        key.first() == Some(&(KeyKind::Table as u8))
    }

    /// The value of a key at a snapshot. `None`: it is not known.
    pub fn get(&self, key: &Bytes, snapshot: Seqno) -> Option<Option<Bytes>> {
        let rows = self.rows.read();
        let known = rows.known.get(key)?;
        (known.since <= snapshot).then(|| known.value.clone())
    }

    /// Takes in what was read at a snapshot.
    pub fn learn(&self, key: &Bytes, value: &Option<Bytes>, snapshot: Seqno) {
        let mut rows = self.rows.write();
        if rows.written > snapshot {
            return;
        }
        if rows.known.len() >= DESCRIPTOR_CACHE_MAX {
            rows.known.clear();
        }
        rows.known.insert(key.clone(), Known { value: value.clone(), since: snapshot });
    }

    /// Forgets a key that this group writes; to be called before the group is published.
    pub fn forget(&self, key: &Bytes, group: Seqno) {
        let mut rows = self.rows.write();
        rows.written = rows.written.max(group);
        rows.known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Bytes {
        tailrace_store::keyspace::TableKey::key(name).0
    }

    fn value(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_row_is_known_from_its_snapshot_on_until_it_is_written() {
        let known = KnownRows::default();
        assert_eq!(known.get(&key("a"), 9), None);
        known.learn(&key("a"), &value("old"), 5);
        known.learn(&key("b"), &None, 5);
        assert_eq!(known.get(&key("a"), 4), None, "an earlier snapshot may see another value");
        assert_eq!(known.get(&key("a"), 5), Some(value("old")));
        assert_eq!(known.get(&key("b"), 7), Some(None), "that there is none is known, too");
        known.forget(&key("a"), 8);
        assert_eq!(known.get(&key("a"), 7), None);
        // Whoever read it before it was written comes too late.
        known.learn(&key("a"), &value("old"), 7);
        assert_eq!(known.get(&key("a"), 8), None);
        known.learn(&key("a"), &value("new"), 8);
        assert_eq!(known.get(&key("a"), 8), Some(value("new")));
        assert_eq!(known.get(&key("a"), 7), None);
        assert_eq!(known.get(&key("b"), 8), Some(None));
    }

    #[test]
    fn no_more_rows_are_held_than_there_is_room_for() {
        let known = KnownRows::default();
        for n in 0..=DESCRIPTOR_CACHE_MAX {
            known.learn(&key(&n.to_string()), &None, 1);
        }
        assert!(known.rows.read().known.len() <= DESCRIPTOR_CACHE_MAX);
        assert_eq!(known.get(&key(&DESCRIPTOR_CACHE_MAX.to_string()), 1), Some(None));
    }
}
