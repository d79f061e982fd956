//! The checkpoints of a consumer in the store. Their stored form is [`Checkpoint`]'s own; they are written by the owner of
//! their shard ([`crate::ownership`]), and here only for shards that nobody owns yet.

use std::collections::BTreeMap;

use bytes::Bytes;
use tailrace_core::{MappingId, RecordNo, ShardNo, StreamId};
use tailrace_store::keyspace::CheckpointKey;
use tailrace_store::{Engine, Key, LogPosition, StoreError};

use crate::machine::Checkpoint;
use crate::rows::{corrupt, delete_range, each};

pub(crate) fn decode(value: &[u8]) -> Result<Checkpoint, StoreError> {
    Checkpoint::decode(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// Every checkpoint of a consumer.
pub async fn all(store: &dyn Engine, consumer: MappingId) -> Result<BTreeMap<ShardNo, Checkpoint>, StoreError> {
    let mut checkpoints = BTreeMap::new();
    each(store, CheckpointKey::mapping_range(consumer), |key, value| {
        let key = CheckpointKey::decode(&key).ok_or_else(|| corrupt("a checkpoint's key", "unreadable"))?;
        checkpoints.insert(key.shard, decode(&value)?);
        Ok(())
    })
    .await?;
    Ok(checkpoints)
}

/// Adds to what is needed of a stream the records that a consumer of it has not done: of each shard the number up to which it has.
///
/// # Errors
/// The store's.
pub async fn add_needed(
    store: &dyn Engine,
    consumer: MappingId,
    stream: StreamId,
    needed: &mut BTreeMap<ShardNo, RecordNo>,
) -> Result<(), StoreError> {
    let checkpoints = all(store, consumer).await?;
    for info in store.shards(stream).await? {
        let done = match checkpoints.get(&info.shard) {
            Some(checkpoint) if checkpoint.finished => continue,
            Some(checkpoint) => checkpoint.low_water,
            None => RecordNo::ZERO,
        };
        let least = needed.entry(info.shard).or_insert(done);
        *least = done.min(*least);
    }
    Ok(())
}

/// The rows that let a new consumer begin at a position of each shard, fixed now. A shard without one is read from its beginning.
pub(crate) async fn at(
    store: &dyn Engine,
    consumer: MappingId,
    stream: StreamId,
    lanes: u16,
    position: LogPosition,
) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let mut rows = Vec::new();
    for info in store.shards(stream).await? {
        let after = store.position(info.shard, position).await?;
        let key = CheckpointKey { mapping: consumer, shard: info.shard }.encode();
        rows.push((key, Checkpoint::starting_after(after, lanes).encode().into()));
    }
    Ok(rows)
}

pub(crate) async fn delete_all(store: &dyn Engine, consumer: MappingId) -> Result<(), StoreError> {
    delete_range(store, CheckpointKey::mapping_range(consumer)).await
}
