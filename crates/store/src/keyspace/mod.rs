//! The keyspace: every kind of row that the store keeps, one small file for each.
//!
//! Invariants: a key starts with the byte of its kind, so kinds never overlap; all numbers are big endian, so that the
//! order of the bytes is the order of the numbers; no key of a kind is a prefix of another key of that kind unless
//! their ranges are meant to nest; every key reads back to what it was made from. Described byte for byte in
//! docs/format.md, section Keyspace.
//!
//! Values that engines write (shards, counters, counts of items, ranges to reclaim), and marks, have their codec beside their key; other
//! values of the layers above are opaque here. It does not encode key attributes (`tailrace_core` does).

mod audit;
mod checkpoint;
mod commit;
mod counter;
mod deleted_index;
mod deleted_table;
mod delivery_stream;
mod expiry;
mod function;
mod idempotency;
mod index_build;
mod item;
mod item_count;
mod mapping;
mod mapping_name;
mod owner;
mod parked;
mod reclaim;
mod setting;
mod shard;
mod sink;
mod sink_snapshot;
mod stream;
mod table;
mod table_settings;
mod time_to_live;
mod view;

#[cfg(test)]
mod tests;

use std::ops::Bound;

use bytes::Bytes;

pub use audit::{AuditChain, AuditChainKey, AuditSubjectKey};
pub use checkpoint::CheckpointKey;
pub use commit::CommitKey;
pub use counter::CounterKey;
pub use deleted_index::DeletedIndexKey;
pub use deleted_table::DeletedTableKey;
pub use delivery_stream::{DeliveryStreamKey, RequestKey, TransformedKey};
pub use expiry::ExpiryKey;
pub use function::FunctionKey;
pub use idempotency::{IdempotencyExpiryKey, IdempotencyKey, IdempotencyScope, IdempotencyValue, Refused};
pub use index_build::{IndexBuild, IndexBuildKey};
pub use item::{ItemKey, ItemSet, SortBounds};
pub use item_count::{CountChange, ItemCount, ItemCountKey};
pub use mapping::MappingKey;
pub use mapping_name::MappingNameKey;
pub use owner::OwnerKey;
pub use parked::ParkedKey;
pub use reclaim::ReclaimKey;
pub use setting::SettingKey;
pub use shard::ShardKey;
pub use sink::SinkKey;
pub use sink_snapshot::SinkSnapshotKey;
pub use stream::{StreamKey, StreamNameKey};
pub use table::TableKey;
pub use table_settings::TableSettingsKey;
pub use time_to_live::TimeToLiveKey;
pub use view::{DroppedViewKey, GroupKey, ViewKey, ViewRow, ViewRowKey, ViewVersion};

pub use tailrace_core::{IndexId, MappingId, TableId, TtlGeneration};

use crate::engine::{Key, KeyRange};

/// The kinds of rows. The number is the first byte of the key; a number is never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// [`SettingKey`]: what belongs to the data directory as a whole (its uuid, secrets, marks), by name.
    Setting = 0x01,
    /// [`CounterKey`]: the next number of something that is numbered for ever (tables, streams, shards).
    Counter = 0x02,
    /// [`TableKey`]: a table's descriptor, by name.
    Table = 0x03,
    /// [`StreamKey`]: a stream's descriptor, by number.
    Stream = 0x04,
    /// [`StreamNameKey`]: a stream's number, by table name and label: the order of the ARNs.
    StreamName = 0x05,
    /// [`ShardKey`]: a shard's range, parent, life and horizon. Written by the engines only.
    Shard = 0x06,
    /// [`FunctionKey`]: a function, by name.
    Function = 0x07,
    /// [`MappingKey`]: an event source mapping, by uuid.
    Mapping = 0x08,
    /// [`CheckpointKey`]: what a mapping has confirmed of a shard.
    Checkpoint = 0x09,
    /// [`ParkedKey`]: a record that the failure rules set aside.
    Parked = 0x0a,
    /// [`ReclaimKey`]: a range whose rows are being removed. Written by the engines only.
    Reclaim = 0x0b,
    /// [`DeletedTableKey`]: a deleted table whose items are still to be handed to `Engine::reclaim`.
    DeletedTable = 0x0c,
    /// [`IdempotencyKey`]: what was done once and must not be done again, by scope and token.
    Idempotency = 0x0d,
    /// [`CommitKey`]: a commit that had an id. Written by the engines only.
    Commit = 0x0e,
    /// [`OwnerKey`]: who delivers a shard of a mapping, under which epoch.
    Owner = 0x0f,
    /// [`MappingNameKey`]: the mapping of a stream and a function.
    MappingName = 0x10,
    /// [`TableSettingsKey`]: what is set for a table beside its descriptor (tags, policies and the like).
    TableSettings = 0x19,
    /// [`IndexBuildKey`]: an index that is being filled with the items from before it.
    IndexBuild = 0x20,
    /// [`DeletedIndexKey`]: a deleted index whose rows are still to be handed to `Engine::reclaim`.
    DeletedIndex = 0x21,
    /// [`ItemCountKey`]: rows and bytes of a table or an index. Written by the engines only.
    ItemCount = 0x11,
    /// [`IdempotencyExpiryKey`]: a mark that ends, by the instant of its end.
    IdempotencyExpiry = 0x12,
    /// [`TimeToLiveKey`]: a time to live of a table, enabled or ended, whose expiries have rows.
    TimeToLive = 0x18,
    /// [`ViewKey`]: a view, by name.
    View = 0x28,
    /// [`DroppedViewKey`]: a version of a view that was dropped and whose rows are still to be handed to `Engine::reclaim`.
    DroppedView = 0x29,
    /// [`AuditChainKey`]: the head of a chain of an audit trail.
    AuditChain = 0x2a,
    /// [`AuditSubjectKey`]: what an audit trail hides the values of a person with.
    AuditSubject = 0x2b,
    /// A sink.
    Sink = 0x2c,
    /// The snapshot that a sink's consumer begins with.
    SinkSnapshot = 0x2d,
    /// [`DeliveryStreamKey`]: a delivery stream, by name.
    DeliveryStream = 0x2e,
    /// [`TransformedKey`]: what a function has made of records that are being delivered.
    Transformed = 0x2f,
    /// [`RequestKey`]: a request of records that are being delivered, which is over.
    Request = 0x30,
    /// [`ViewRowKey`]: a row of a version of a view: how far it is, a group, or a member of a group. As many as items.
    ViewRow = 0x3e,
    /// [`ExpiryKey`]: when an item expires. As many as items, so behind all else but them.
    Expiry = 0x3f,
    /// [`ItemKey`]: an item. The largest kind has the highest number, so that all else stays together before it.
    Item = 0x40,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: &'static [KeyKind] = &[
        KeyKind::Setting,
        KeyKind::Counter,
        KeyKind::Table,
        KeyKind::Stream,
        KeyKind::StreamName,
        KeyKind::Shard,
        KeyKind::Function,
        KeyKind::Mapping,
        KeyKind::Checkpoint,
        KeyKind::Parked,
        KeyKind::Reclaim,
        KeyKind::DeletedTable,
        KeyKind::Idempotency,
        KeyKind::Commit,
        KeyKind::Owner,
        KeyKind::MappingName,
        KeyKind::TableSettings,
        KeyKind::IndexBuild,
        KeyKind::DeletedIndex,
        KeyKind::ItemCount,
        KeyKind::IdempotencyExpiry,
        KeyKind::TimeToLive,
        KeyKind::View,
        KeyKind::DroppedView,
        KeyKind::AuditChain,
        KeyKind::AuditSubject,
        KeyKind::Sink,
        KeyKind::SinkSnapshot,
        KeyKind::DeliveryStream,
        KeyKind::Transformed,
        KeyKind::Request,
        KeyKind::ViewRow,
        KeyKind::Expiry,
        KeyKind::Item,
    ];

    /// The kind of a key; `None` for bytes that are no key.
    pub fn of(key: &[u8]) -> Option<KeyKind> {
        let first = *key.first()?;
        KeyKind::ALL.iter().copied().find(|kind| *kind as u8 == first)
    }

    /// All rows of the kind, ascending.
    pub fn range(self) -> KeyRange {
        prefix_range(&[self as u8])
    }

    fn start(self, capacity: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + capacity);
        bytes.push(self as u8);
        bytes
    }

    fn strip(self, key: &[u8]) -> Option<&[u8]> {
        key.split_first().filter(|(first, _)| **first == self as u8).map(|(_, rest)| rest)
    }
}

impl Key {
    fn from_vec(bytes: Vec<u8>) -> Key {
        Key(Bytes::from(bytes))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl KeyRange {
    /// The same range in descending order.
    pub fn reversed(mut self) -> KeyRange {
        self.reverse = true;
        self
    }

    /// The part of the range that comes behind `key` in the range's direction: the next page after that row.
    pub fn after(mut self, key: &Key) -> KeyRange {
        if self.reverse {
            self.end = Bound::Excluded(key.0.clone());
        } else {
            self.start = Bound::Excluded(key.0.clone());
        }
        self
    }

    /// True if no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => {
                start >= end
            }
        }
    }

    /// True if `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        let above = match &self.start {
            Bound::Unbounded => true,
            Bound::Included(start) => key >= start.as_ref(),
            Bound::Excluded(start) => key > start.as_ref(),
        };
        above
            && match &self.end {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= end.as_ref(),
                Bound::Excluded(end) => key < end.as_ref(),
            }
    }
}

/// All keys that begin with `prefix`, ascending.
pub fn prefix_range(prefix: &[u8]) -> KeyRange {
    KeyRange { start: Bound::Included(Bytes::copy_from_slice(prefix)), end: after_prefix(prefix), reverse: false }
}

/// The upper end of the keys that begin with `prefix`.
fn after_prefix(prefix: &[u8]) -> Bound<Bytes> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(Bytes::from(end));
        }
    }
    Bound::Unbounded
}

fn read_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn read_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Appends `n` in little-endian groups of seven bits.
fn push_varint(bytes: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// Reads what [`push_varint`] wrote, and nothing else: a number has one form.
fn read_varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut n = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        n |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let shortest = at == 0 || *byte != 0;
            return Some((u32::try_from(n).ok().filter(|_| shortest)?, &bytes[at + 1..]));
        }
    }
    None
}

fn whole_u64(bytes: &[u8]) -> Option<u64> {
    read_u64(bytes).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
