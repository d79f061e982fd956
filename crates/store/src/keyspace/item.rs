//! Items: kind ‖ table id ‖ index id (varint) ‖ bucket ‖ length of the partition key (u16) ‖ partition key ‖ sort key.
//!
//! Index 0 is the table itself; the rows of the others follow it. Within one of them the order of the rows is bucket, then partition, then sort key: a scan's order, and a parallel scan's segments
//! and a stream's shards are ranges of buckets. The length makes the partition key self-delimiting whatever its bytes
//! are, so one partition is one range. The bytes of the sort key are order-preserving; a table without one has none.

use std::ops::Bound;

use bytes::Bytes;

use tailrace_core::{Bucket, IndexId, TableId};

use super::{KeyKind, after_prefix, prefix_range, push_varint, read_u16, read_u64, read_varint};
use crate::engine::{BucketRange, Key, KeyRange};

/// The items of a table, or the rows of one of its indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemSet {
    /// The table.
    pub table: TableId,
    /// The index; [`IndexId::TABLE`] for the items themselves.
    pub index: IndexId,
}

impl From<TableId> for ItemSet {
    fn from(table: TableId) -> ItemSet {
        ItemSet { table, index: IndexId::TABLE }
    }
}

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemKey {
    /// The table, or its index.
    pub set: ItemSet,
    /// The bucket of the partition key.
    pub bucket: Bucket,
    /// The partition key's bytes.
    pub partition: Bytes,
    /// The sort key's bytes; empty if the table has no sort key.
    pub sort: Bytes,
}

/// Bounds of the sort key inside a partition, by its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortBounds<'a> {
    /// The sort keys between two bounds.
    Between(Bound<&'a [u8]>, Bound<&'a [u8]>),
    /// The sort keys whose bytes begin with these.
    BeginsWith(&'a [u8]),
}

impl ItemKey {
    /// The key of the item, without building an `ItemKey` first.
    pub fn key(set: impl Into<ItemSet>, bucket: Bucket, partition: &[u8], sort: &[u8]) -> Key {
        let mut bytes = partition_prefix(set.into(), bucket, partition, sort.len());
        bytes.extend_from_slice(sort);
        Key::from_vec(bytes)
    }

    /// Appends what the keys of a partition begin with: their sort keys follow.
    pub fn push_partition(set: impl Into<ItemSet>, bucket: Bucket, partition: &[u8], out: &mut Vec<u8>) {
        let set = set.into();
        let length = u16::try_from(partition.len()).expect("invariant: a partition key is within its limit");
        out.push(KeyKind::Item as u8);
        out.extend_from_slice(&set.table.0.to_be_bytes());
        push_varint(out, set.index.0);
        out.extend_from_slice(&bucket.0.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(partition);
    }

    /// The key.
    pub fn encode(&self) -> Key {
        ItemKey::key(self.set, self.bucket, &self.partition, &self.sort)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ItemKey> {
        let rest = KeyKind::Item.strip(&key.0)?;
        let (table, rest) = read_u64(rest)?;
        let (index, rest) = read_varint(rest)?;
        let (bucket, rest) = read_u16(rest)?;
        let (length, rest) = read_u16(rest)?;
        let (partition, sort) = rest.split_at_checked(usize::from(length))?;
        Some(ItemKey {
            set: ItemSet { table: TableId(table), index: IndexId(index) },
            bucket: Bucket(bucket),
            partition: key.0.slice_ref(partition),
            sort: key.0.slice_ref(sort),
        })
    }

    /// What of the key of an item of `table` tells it from its other items: bucket, partition and sort key.
    pub(super) fn place(table: TableId, key: &Key) -> Option<&[u8]> {
        key.0.strip_prefix(&set_prefix(table.into(), 0)[..])
    }

    /// The key of the item of `table` whose place this is.
    pub(super) fn of_place(table: TableId, place: &[u8]) -> Key {
        let mut bytes = set_prefix(table.into(), place.len());
        bytes.extend_from_slice(place);
        Key::from_vec(bytes)
    }

    /// All items of a table, or all rows of one of its indexes.
    pub fn table_range(set: impl Into<ItemSet>) -> KeyRange {
        prefix_range(&set_prefix(set.into(), 0))
    }

    /// All items of a table and all rows of its indexes.
    pub fn with_indexes(table: TableId) -> KeyRange {
        prefix_range(&table_prefix(table, 0))
    }

    /// The items of a table in a range of buckets (a segment of a scan).
    pub fn bucket_range(set: impl Into<ItemSet>, buckets: BucketRange) -> KeyRange {
        let set = set.into();
        let prefix = |bucket: Bucket| {
            let mut bytes = set_prefix(set, 2);
            bytes.extend_from_slice(&bucket.0.to_be_bytes());
            bytes
        };
        KeyRange {
            start: Bound::Included(Bytes::from(prefix(buckets.first))),
            end: after_prefix(&prefix(buckets.last)),
            reverse: false,
        }
    }

    /// The items of one partition.
    pub fn partition_range(set: impl Into<ItemSet>, bucket: Bucket, partition: &[u8]) -> KeyRange {
        prefix_range(&partition_prefix(set.into(), bucket, partition, 0))
    }

    /// The items of one partition whose sort keys lie within bounds.
    pub fn sort_range(set: impl Into<ItemSet>, bucket: Bucket, partition: &[u8], bounds: &SortBounds<'_>) -> KeyRange {
        let prefix = partition_prefix(set.into(), bucket, partition, 0);
        let with = |sort: &[u8]| {
            let mut bytes = prefix.clone();
            bytes.extend_from_slice(sort);
            Bytes::from(bytes)
        };
        match bounds {
            SortBounds::BeginsWith(start) => prefix_range(&with(start)),
            SortBounds::Between(start, end) => KeyRange {
                start: match start {
                    Bound::Included(sort) => Bound::Included(with(sort)),
                    Bound::Excluded(sort) => Bound::Excluded(with(sort)),
                    Bound::Unbounded => Bound::Included(with(&[])),
                },
                end: match end {
                    Bound::Included(sort) => Bound::Included(with(sort)),
                    Bound::Excluded(sort) => Bound::Excluded(with(sort)),
                    Bound::Unbounded => after_prefix(&prefix),
                },
                reverse: false,
            },
        }
    }
}

fn table_prefix(table: TableId, capacity: usize) -> Vec<u8> {
    let mut bytes = KeyKind::Item.start(8 + capacity);
    bytes.extend_from_slice(&table.0.to_be_bytes());
    bytes
}

fn set_prefix(set: ItemSet, capacity: usize) -> Vec<u8> {
    // Nearly every table has fewer indexes in its life than one byte can tell.
    let mut bytes = table_prefix(set.table, 1 + capacity);
    push_varint(&mut bytes, set.index.0);
    bytes
}

fn partition_prefix(set: ItemSet, bucket: Bucket, partition: &[u8], capacity: usize) -> Vec<u8> {
    // Kind and table, an index, as in `set_prefix`, bucket and length.
    let mut bytes = Vec::with_capacity(9 + 1 + 4 + partition.len() + capacity);
    ItemKey::push_partition(set, bucket, partition, &mut bytes);
    bytes
}
