//! Indexes that are being filled with the items from before them: kind ‖ table id ‖ index id (u32). The row is written in the
//! commit that makes the index, and goes in the one that makes it active. Its value: length of the table's name (u16) ‖ the
//! name ‖ the row key of the last item that was looked at; none: no item was.

use bytes::Bytes;
use tailrace_core::{IndexId, TableId};

use super::{ItemSet, KeyKind, read_u16, read_u64};
use crate::engine::{Key, KeyRange};

/// The key of an index that is being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexBuildKey {
    /// The index.
    pub set: ItemSet,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBuild {
    /// The table's name, under which its descriptor is found.
    pub table: String,
    /// Items up to this row are entered.
    pub behind: Option<Key>,
}

impl IndexBuildKey {
    /// The key.
    pub fn encode(self) -> Key {
        Key::from_vec(set_key(KeyKind::IndexBuild, self.set))
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<IndexBuildKey> {
        read_set(KeyKind::IndexBuild.strip(&key.0)?).map(|set| IndexBuildKey { set })
    }

    /// All of them, by table and index.
    pub fn range() -> KeyRange {
        KeyKind::IndexBuild.range()
    }
}

impl IndexBuild {
    /// The row's value.
    pub fn encode(&self) -> Bytes {
        let length = u16::try_from(self.table.len()).expect("invariant: a table's name is within its limit");
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.table.as_bytes());
        bytes.extend_from_slice(self.behind.as_ref().map_or(&[], Key::as_bytes));
        bytes.into()
    }

    /// Reads a row's value. `None`: it is not such a value.
    pub fn decode(value: &Bytes) -> Option<IndexBuild> {
        let (length, rest) = read_u16(value)?;
        let (table, behind) = rest.split_at_checked(usize::from(length))?;
        let behind = (!behind.is_empty()).then(|| Key(value.slice_ref(behind)));
        Some(IndexBuild { table: super::text(table)?, behind })
    }
}

/// kind ‖ table id ‖ index id.
pub(super) fn set_key(kind: KeyKind, set: ItemSet) -> Vec<u8> {
    let mut bytes = kind.start(12);
    bytes.extend_from_slice(&set.table.0.to_be_bytes());
    bytes.extend_from_slice(&set.index.0.to_be_bytes());
    bytes
}

/// What stands behind the kind of [`set_key`], and nothing else.
pub(super) fn read_set(rest: &[u8]) -> Option<ItemSet> {
    let (table, rest) = read_u64(rest)?;
    let index = u32::from_be_bytes(rest.try_into().ok()?);
    Some(ItemSet { table: TableId(table), index: IndexId(index) })
}
