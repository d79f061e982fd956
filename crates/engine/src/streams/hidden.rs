//! Streams of Tailrace's own, without a table: no operation of the API lists or reads them. They are kept and trimmed like all others,
//! and delivered like them.
//!
//! A record is an INSERT without images; its keys, a stored item, are all that it says.

use bytes::Bytes;
use tailrace_core::key::{KeyAttribute, ScalarType};
use tailrace_core::{Bucket, BucketRange, EpochMs, KeySchema, StreamId, TableId};
use tailrace_store::keyspace::{CounterKey, StreamKey};
use tailrace_store::{Key, NewImage, Write};

use super::descriptor::Stream;
use super::record_meta::{self, ChangeKind};
use super::{label, life};
use crate::caller::Caller;
use crate::json_row;
use crate::table::{Table, TableStream, ViewType};

/// The key that a commit which opens a stream declares as its own: the counter of streams.
pub fn counter_key() -> Key {
    CounterKey::Stream.encode()
}

/// The number of the stream that is opened next. `counter`: what the commit read of [`counter_key`]; `None`: it is no counter.
pub fn next_id(counter: Option<&Bytes>) -> Option<StreamId> {
    CounterKey::next(counter).map(StreamId)
}

/// The writes that open a stream of one shard, the counter included. `name` stands for a table's, and none can have it; `partition_key`
/// is a text that the keys of each record have.
pub fn open(id: StreamId, name: &str, partition_key: &str, created_ms: EpochMs) -> [Write; 3] {
    let hash = KeyAttribute { name: partition_key.to_owned(), scalar: ScalarType::S };
    let table = Table::new(name.to_owned(), TableId(0), String::new(), created_ms, KeySchema { hash, range: None });
    // Its records have no images; what reads it is told that nothing is missing from them.
    let enabled = TableStream { id, view: ViewType::NewAndOldImages };
    let stream = Stream::new(&table, &enabled, label::text(created_ms), created_ms);
    [
        Write::Put { key: counter_key(), value: CounterKey::value(id.0 + 1) },
        Write::Put { key: StreamKey { stream: id }.encode(), value: json_row::encode(&stream) },
        Write::OpenStream { stream: id, ranges: vec![BucketRange::ALL] },
    ]
}

/// The writes that open a stream of a table's changes, the counter included: it has the table's key, and so many shards. `name` stands for a
/// table's, and none can have it.
pub(crate) fn open_capture(id: StreamId, name: String, of: &Table, created_ms: EpochMs, shards: usize) -> [Write; 3] {
    let enabled = TableStream { id, view: ViewType::NewAndOldImages };
    let mut stream = Stream::new(of, &enabled, label::text(created_ms), created_ms);
    stream.table = name;
    [
        Write::Put { key: counter_key(), value: CounterKey::value(id.0 + 1) },
        Write::Put { key: StreamKey { stream: id }.encode(), value: json_row::encode(&stream) },
        Write::OpenStream { stream: id, ranges: life::bucket_ranges(shards) },
    ]
}

/// The write that appends a record. `keys`: a stored item.
pub fn append(stream: StreamId, keys: &[u8], caller: &Caller<'_>) -> Write {
    let meta = record_meta::meta(ChangeKind::Insert, ViewType::KeysOnly, true, keys, caller);
    Write::Append { stream, bucket: Bucket::FIRST, meta, old: None, new: NewImage::None }
}

/// The writes that end a stream: its records go with it. The commit declares [`descriptor_key`].
pub fn drop(id: StreamId) -> [Write; 2] {
    [Write::Delete { key: descriptor_key(id) }, Write::DropStream { stream: id }]
}

/// The key of a stream's descriptor.
pub fn descriptor_key(id: StreamId) -> Key {
    StreamKey { stream: id }.encode()
}
