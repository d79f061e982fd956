//! Items: kind ‖ table id ‖ bucket ‖ length of the partition key (u16) ‖ partition key ‖ sort key.
//!
//! The order of a table's rows is bucket, then partition, then sort key: a scan's order, and a parallel scan's segments
//! and a stream's shards are ranges of buckets. The length makes the partition key self-delimiting whatever its bytes
//! are, so one partition is one range. The bytes of the sort key are order-preserving; a table without one has none.

use std::ops::Bound;

use bytes::Bytes;

use tailrace_core::{Bucket, TableId};

use super::{KeyKind, after_prefix, prefix_range, read_u16, read_u64};
use crate::engine::{BucketRange, Key, KeyRange};

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemKey {
    /// The table.
    pub table: TableId,
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
    pub fn key(table: TableId, bucket: Bucket, partition: &[u8], sort: &[u8]) -> Key {
        let mut bytes = partition_prefix(table, bucket, partition, sort.len());
        bytes.extend_from_slice(sort);
        Key::from_vec(bytes)
    }

    /// The key.
    pub fn encode(&self) -> Key {
        ItemKey::key(self.table, self.bucket, &self.partition, &self.sort)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ItemKey> {
        let rest = KeyKind::Item.strip(&key.0)?;
        let (table, rest) = read_u64(rest)?;
        let (bucket, rest) = read_u16(rest)?;
        let (length, rest) = read_u16(rest)?;
        let (partition, sort) = rest.split_at_checked(usize::from(length))?;
        Some(ItemKey {
            table: TableId(table),
            bucket: Bucket(bucket),
            partition: key.0.slice_ref(partition),
            sort: key.0.slice_ref(sort),
        })
    }

    /// All items of a table.
    pub fn table_range(table: TableId) -> KeyRange {
        prefix_range(&table_prefix(table, 0))
    }

    /// The items of a table in a range of buckets (a segment of a scan).
    pub fn bucket_range(table: TableId, buckets: BucketRange) -> KeyRange {
        let prefix = |bucket: Bucket| {
            let mut bytes = table_prefix(table, 2);
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
    pub fn partition_range(table: TableId, bucket: Bucket, partition: &[u8]) -> KeyRange {
        prefix_range(&partition_prefix(table, bucket, partition, 0))
    }

    /// The items of one partition whose sort keys lie within bounds.
    pub fn sort_range(table: TableId, bucket: Bucket, partition: &[u8], bounds: &SortBounds<'_>) -> KeyRange {
        let prefix = partition_prefix(table, bucket, partition, 0);
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

fn partition_prefix(table: TableId, bucket: Bucket, partition: &[u8], capacity: usize) -> Vec<u8> {
    let length = u16::try_from(partition.len()).expect("invariant: a partition key is within its limit");
    let mut bytes = table_prefix(table, 4 + partition.len() + capacity);
    bytes.extend_from_slice(&bucket.0.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(partition);
    bytes
}
