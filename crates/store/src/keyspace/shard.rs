//! Shards by stream and number: kind ‖ stream id ‖ shard number. Written by the engines only: the layers above open,
//! seal and drop shards through `Write`, and read them through `Engine::shards`. The value is JSON.

use bytes::Bytes;
use tailrace_core::{Bucket, BucketRange, EpochMs, RecordNo};

use super::{KeyKind, prefix_range, read_u64, whole_u64};
use crate::engine::{Key, KeyRange, ShardInfo, ShardNo, StreamId};

/// The key of a shard's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardKey {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardNo,
}

/// The value, in the order of its fields.
#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    stream: StreamId,
    shard: ShardNo,
    first: Bucket,
    last: Bucket,
    parent: Option<ShardNo>,
    created_ms: EpochMs,
    first_number: RecordNo,
    sealed: Option<RecordNo>,
    horizon: RecordNo,
}

impl ShardKey {
    /// Of this shard.
    pub fn of(info: &ShardInfo) -> ShardKey {
        ShardKey { stream: info.stream, shard: info.shard }
    }

    /// The row's value.
    pub fn value(info: &ShardInfo) -> Bytes {
        let row = Row {
            stream: info.stream,
            shard: info.shard,
            first: info.range.first,
            last: info.range.last,
            parent: info.parent,
            created_ms: info.created_ms,
            first_number: info.first,
            sealed: info.sealed,
            horizon: info.horizon,
        };
        Bytes::from(serde_json::to_vec(&row).expect("invariant: a shard's row has only numbers"))
    }

    /// Reads a value back.
    pub fn read(value: &[u8]) -> Option<ShardInfo> {
        let row: Row = serde_json::from_slice(value).ok()?;
        Some(ShardInfo {
            shard: row.shard,
            stream: row.stream,
            range: BucketRange { first: row.first, last: row.last },
            parent: row.parent,
            created_ms: row.created_ms,
            first: row.first_number,
            sealed: row.sealed,
            horizon: row.horizon,
        })
    }

    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = shards_of(self.stream);
        bytes.extend_from_slice(&self.shard.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<ShardKey> {
        let (stream, rest) = read_u64(KeyKind::Shard.strip(&key.0)?)?;
        Some(ShardKey { stream: StreamId(stream), shard: ShardNo(whole_u64(rest)?) })
    }

    /// The shards of a stream, by number.
    pub fn stream_range(stream: StreamId) -> KeyRange {
        prefix_range(&shards_of(stream))
    }
}

fn shards_of(stream: StreamId) -> Vec<u8> {
    let mut bytes = KeyKind::Shard.start(16);
    bytes.extend_from_slice(&stream.0.to_be_bytes());
    bytes
}
