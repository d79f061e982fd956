//! Shards by stream and number: kind ‖ stream id ‖ shard number. Written by the engines only: the layers above open,
//! seal and drop shards through `Write`, and read them through `Engine::shards`.

use super::{KeyKind, prefix_range, read_u64, whole_u64};
use crate::engine::{Key, KeyRange, ShardNo, StreamId};

/// The key of a shard's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardKey {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardNo,
}

impl ShardKey {
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
