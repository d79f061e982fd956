//! Views: what is kept of tables that are computed from other tables. Three kinds of rows.
//!
//! - A view by its name: kind ‖ name. What its versions are.
//! - The rows of a version: kind ‖ number of the version u64 ‖ part ‖ what the part says. All of a version are one range, which is
//!   reclaimed when the version is dropped; its number is never used again.
//! - A version that was dropped and whose rows are still to be handed to `Engine::reclaim`: kind ‖ number of the version u64.
//!
//! Parts: `01` what is applied of a shard: shard u64; `02` what is applied of a snapshot: name of the table; `03` a group: its key;
//! `04` a member of a group's side structure: key of the group ‖ number of the structure u8 ‖ member. A group's key is the
//! length of the partition key of its item u16 ‖ partition key ‖ length of the sort key u16 ‖ sort key, so it shows its own end.
//! The members of a structure follow each other in the order of their bytes.

use bytes::Bytes;

use super::{KeyKind, prefix_range, read_u16, read_u64, text, whole_u64};
use crate::engine::{Key, KeyRange, ShardNo};

const SHARD: u8 = 1;
const SNAPSHOT: u8 = 2;
const GROUP: u8 = 3;
const MEMBER: u8 = 4;

/// The number of a version of a view: unique in a data directory, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ViewVersion(pub u64);

/// The key of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewKey {
    /// Its name.
    pub name: String,
}

impl ViewKey {
    /// The key of the view `name`.
    pub fn key(name: &str) -> Key {
        let mut bytes = KeyKind::View.start(name.len());
        bytes.extend_from_slice(name.as_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ViewKey> {
        Some(ViewKey { name: text(KeyKind::View.strip(&key.0)?)? })
    }

    /// All views, by name.
    pub fn range() -> KeyRange {
        KeyKind::View.range()
    }
}

/// The key of a group: that of its item in the view's table, in one piece that shows its own end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey(Bytes);

impl GroupKey {
    /// The group whose item has this key. Each part is within the limit of its kind.
    pub fn new(partition: &[u8], sort: &[u8]) -> GroupKey {
        let mut bytes = Vec::with_capacity(4 + partition.len() + sort.len());
        GroupKey::push(partition, sort, &mut bytes);
        GroupKey(bytes.into())
    }

    /// Appends the bytes of a group's key.
    pub fn push(partition: &[u8], sort: &[u8], out: &mut Vec<u8>) {
        for part in [partition, sort] {
            let length = u16::try_from(part.len()).expect("invariant: a key is within its limit");
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(part);
        }
    }

    /// The group of bytes that [`GroupKey::push`] appended, and nothing else.
    pub fn read(bytes: Bytes) -> Option<GroupKey> {
        let (_, rest) = split(&bytes)?;
        rest.is_empty().then_some(GroupKey(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The partition key and the sort key of its item.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        split(&self.0).expect("invariant: it was made of two parts").0
    }
}

/// Partition key and sort key, and the bytes behind them.
#[allow(clippy::type_complexity, reason = "it is taken apart at once")]
fn split(bytes: &[u8]) -> Option<((&[u8], &[u8]), &[u8])> {
    let part = |bytes| {
        let (length, rest) = read_u16(bytes)?;
        rest.split_at_checked(usize::from(length))
    };
    let (partition, rest) = part(bytes)?;
    let (sort, rest) = part(rest)?;
    Some(((partition, sort), rest))
}

/// The key of a row of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRowKey {
    /// The version.
    pub version: ViewVersion,
    /// Which row.
    pub row: ViewRow,
}

/// A row of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewRow {
    /// What is applied of a shard.
    Shard(ShardNo),
    /// What is applied of the snapshot of a table.
    Snapshot(String),
    /// A group.
    Group(GroupKey),
    /// A member of a side structure of a group.
    Member {
        /// The group.
        group: GroupKey,
        /// The structure's number in the definition.
        structure: u8,
        /// The member.
        member: Bytes,
    },
}

impl ViewRowKey {
    /// The key.
    pub fn encode(&self) -> Key {
        match &self.row {
            ViewRow::Shard(shard) => {
                let mut bytes = part(self.version, SHARD, 8);
                bytes.extend_from_slice(&shard.0.to_be_bytes());
                Key::from_vec(bytes)
            }
            ViewRow::Snapshot(table) => {
                let mut bytes = part(self.version, SNAPSHOT, table.len());
                bytes.extend_from_slice(table.as_bytes());
                Key::from_vec(bytes)
            }
            ViewRow::Group(group) => ViewRowKey::group(self.version, group),
            ViewRow::Member { group, structure, member } => ViewRowKey::member(self.version, group, *structure, member),
        }
    }

    /// The key of a group's row.
    pub fn group(version: ViewVersion, group: &GroupKey) -> Key {
        let mut bytes = part(version, GROUP, group.0.len());
        bytes.extend_from_slice(&group.0);
        Key::from_vec(bytes)
    }

    /// The key of a member's row.
    pub fn member(version: ViewVersion, group: &GroupKey, structure: u8, member: &[u8]) -> Key {
        let mut bytes = structure_prefix(version, group, structure, member.len());
        bytes.extend_from_slice(member);
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ViewRowKey> {
        let (version, rest) = read_u64(KeyKind::ViewRow.strip(&key.0)?)?;
        let (part, rest) = rest.split_first()?;
        let row = match *part {
            SHARD => ViewRow::Shard(ShardNo(whole_u64(rest)?)),
            SNAPSHOT => ViewRow::Snapshot(text(rest)?),
            GROUP => ViewRow::Group(GroupKey::read(key.0.slice_ref(rest))?),
            MEMBER => {
                let (_, behind) = split(rest)?;
                let group = GroupKey(key.0.slice_ref(&rest[..rest.len() - behind.len()]));
                let (structure, member) = behind.split_first()?;
                ViewRow::Member { group, structure: *structure, member: key.0.slice_ref(member) }
            }
            _ => return None,
        };
        Some(ViewRowKey { version: ViewVersion(version), row })
    }

    /// All rows of a version.
    pub fn range(version: ViewVersion) -> KeyRange {
        prefix_range(&of_version(version, 0))
    }

    /// The groups of a version, by key.
    pub fn groups(version: ViewVersion) -> KeyRange {
        prefix_range(&part(version, GROUP, 0))
    }

    /// The members of a structure of a group, by their bytes.
    pub fn members(version: ViewVersion, group: &GroupKey, structure: u8) -> KeyRange {
        prefix_range(&structure_prefix(version, group, structure, 0))
    }
}

fn of_version(version: ViewVersion, capacity: usize) -> Vec<u8> {
    let mut bytes = KeyKind::ViewRow.start(9 + capacity);
    bytes.extend_from_slice(&version.0.to_be_bytes());
    bytes
}

fn part(version: ViewVersion, part: u8, capacity: usize) -> Vec<u8> {
    let mut bytes = of_version(version, capacity);
    bytes.push(part);
    bytes
}

fn structure_prefix(version: ViewVersion, group: &GroupKey, structure: u8, capacity: usize) -> Vec<u8> {
    let mut bytes = part(version, MEMBER, group.0.len() + 1 + capacity);
    bytes.extend_from_slice(&group.0);
    bytes.push(structure);
    bytes
}

/// The key of the mark of a version that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedViewKey {
    /// The version.
    pub version: ViewVersion,
}

impl DroppedViewKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::DroppedView.start(8);
        bytes.extend_from_slice(&self.version.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<DroppedViewKey> {
        Some(DroppedViewKey { version: ViewVersion(whole_u64(KeyKind::DroppedView.strip(&key.0)?)?) })
    }

    /// All marks, by version.
    pub fn range() -> KeyRange {
        KeyKind::DroppedView.range()
    }
}
