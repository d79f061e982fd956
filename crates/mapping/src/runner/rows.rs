//! The rows of mappings: reading and writing them through the store. No decisions.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::RecordNo as Lsn;
use tailrace_core::limits::MAPPING_ROWS_PER_PAGE;
use tailrace_store::keyspace::{CheckpointKey, MappingId, MappingKey, ParkedKey};
use tailrace_store::{Decision, Engine, Key, KeyRange, PageLimit, ShardNo, StoreError, Write, commit};

use crate::config::Mapping;
use crate::machine::{Checkpoint, GiveUp, Parked};

/// A parked record as it is stored and shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkedRecord {
    v: u32,
    /// The shard.
    pub shard: ShardNo,
    /// Its number.
    pub lsn: Lsn,
    /// When it was committed, milliseconds since the epoch.
    pub time_ms: u64,
    /// Why it was given up.
    pub reason: GiveUp,
    /// The last error; empty if there was none.
    pub error: String,
    /// Invocations that it was part of since the last progress; at least 1.
    pub invocations: u32,
    /// When its batch first failed.
    pub first_failed_ms: Option<u64>,
    /// When it was given up.
    pub parked_ms: u64,
    /// The record as the function sees it.
    pub event: Box<serde_json::value::RawValue>,
}

impl ParkedRecord {
    /// Why it was given up, with the last error if there was one.
    pub fn why(&self) -> String {
        match self.error.as_str() {
            "" => self.reason.as_str().to_owned(),
            error => format!("{}: {error}", self.reason.as_str()),
        }
    }
}

const PARKED_VERSION: u32 = 1;

fn corrupt(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {error}"))
}

fn encode_parked(shard: ShardNo, parked: &Parked) -> Result<Bytes, StoreError> {
    let event: &serde_json::value::RawValue =
        serde_json::from_slice(&parked.record.event).map_err(|e| corrupt("a record to be parked", e))?;
    let row = ParkedRecord {
        v: PARKED_VERSION,
        shard,
        lsn: parked.record.lsn,
        time_ms: parked.record.time_ms,
        reason: parked.reason,
        error: parked.error.clone(),
        invocations: parked.invocations,
        first_failed_ms: parked.first_failed_ms,
        parked_ms: parked.parked_ms,
        event: event.to_owned(),
    };
    Ok(serde_json::to_vec(&row).map_err(|e| corrupt("a record to be parked", e))?.into())
}

fn decode_parked(value: &[u8]) -> Result<ParkedRecord, StoreError> {
    let row: ParkedRecord = serde_json::from_slice(value).map_err(|e| corrupt("a parked record", e))?;
    if row.v > PARKED_VERSION {
        return Err(corrupt("a parked record", format!("version {} is newer than {PARKED_VERSION}", row.v)));
    }
    Ok(row)
}

/// All rows of a range, page by page.
async fn each(
    store: &dyn Engine,
    mut range: KeyRange,
    mut row: impl FnMut(Key, Bytes) -> Result<(), StoreError> + Send,
) -> Result<(), StoreError> {
    let limit = PageLimit { rows_max: MAPPING_ROWS_PER_PAGE, cost_max: 1 << 20, cost: |_, value| value.len() };
    loop {
        let page = store.page(range.clone(), limit).await?;
        let last = page.rows.last().map(|(key, _)| key.clone());
        for (key, value) in page.rows {
            row(key, value)?;
        }
        match last {
            Some(last) if page.limited => range = range.after(&last),
            _ => return Ok(()),
        }
    }
}

pub(super) async fn mappings(store: &dyn Engine) -> Result<Vec<Mapping>, StoreError> {
    let mut mappings = Vec::new();
    each(store, MappingKey::range(), |_, value| {
        mappings.push(Mapping::decode(&value)?);
        Ok(())
    })
    .await?;
    Ok(mappings)
}

pub(super) fn decode_checkpoint(value: &[u8]) -> Result<Checkpoint, StoreError> {
    Checkpoint::decode(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

pub(super) async fn checkpoints(
    store: &dyn Engine,
    mapping: MappingId,
) -> Result<Vec<(ShardNo, Checkpoint)>, StoreError> {
    let mut checkpoints = Vec::new();
    each(store, CheckpointKey::mapping_range(mapping), |key, value| {
        let key = CheckpointKey::decode(&key).ok_or_else(|| corrupt("a checkpoint's key", "unreadable"))?;
        checkpoints.push((key.shard, decode_checkpoint(&value)?));
        Ok(())
    })
    .await?;
    Ok(checkpoints)
}

/// Writes a mapping and checkpoints of it in one commit.
pub(super) async fn put_mapping(
    store: &dyn Engine,
    mapping: &Mapping,
    checkpoints: &[(ShardNo, Checkpoint)],
) -> Result<(), StoreError> {
    let id = mapping.id();
    let mut rows = vec![(MappingKey { mapping: id }.encode(), Bytes::from(mapping.encode()))];
    for (shard, checkpoint) in checkpoints {
        rows.push((CheckpointKey { mapping: id, shard: *shard }.encode(), checkpoint.encode().into()));
    }
    let keys: Vec<Key> = rows.iter().map(|(key, _)| key.clone()).collect();
    commit(store, &[], &keys, |_| {
        let put = |(key, value): &(Key, Bytes)| Write::Put { key: key.clone(), value: value.clone() };
        Decision::Apply(rows.iter().map(put).collect(), ())
    })
    .await?;
    Ok(())
}

/// Writes a checkpoint and what it parks. False: the mapping is gone, nothing was written.
pub(super) async fn put_checkpoint(
    store: &dyn Engine,
    mapping: MappingId,
    shard: ShardNo,
    checkpoint: &Checkpoint,
    parked: &[Parked],
) -> Result<bool, StoreError> {
    let mut rows = vec![(CheckpointKey { mapping, shard }.encode(), Bytes::from(checkpoint.encode()))];
    for record in parked {
        let key = ParkedKey { mapping, shard, number: record.record.lsn }.encode();
        rows.push((key, encode_parked(shard, record)?));
    }
    let keys: Vec<Key> = rows.iter().map(|(key, _)| key.clone()).collect();
    let shared = [MappingKey { mapping }.encode()];
    let committed = commit(store, &shared, &keys, |reads| {
        if reads.shared[0].is_none() {
            return Decision::Reject(false);
        }
        let put = |(key, value): &(Key, Bytes)| Write::Put { key: key.clone(), value: value.clone() };
        Decision::Apply(rows.iter().map(put).collect(), true)
    })
    .await?;
    Ok(committed.answer)
}

/// Parked records of a mapping behind `after`, at most `max`.
pub(super) async fn parked(
    store: &dyn Engine,
    mapping: MappingId,
    after: Option<(ShardNo, Lsn)>,
    max: usize,
) -> Result<Vec<ParkedRecord>, StoreError> {
    let mut range = ParkedKey::mapping_range(mapping);
    if let Some((shard, lsn)) = after {
        range = range.after(&ParkedKey { mapping, shard, number: lsn }.encode());
    }
    let limit = PageLimit { rows_max: max, cost_max: 4 << 20, cost: |_, value| value.len() };
    let page = store.page(range, limit).await?;
    page.rows.iter().map(|(_, value)| decode_parked(value)).collect()
}

/// How many records of a shard are parked, and their bytes.
pub(super) async fn parked_size(
    store: &dyn Engine,
    mapping: MappingId,
    shard: ShardNo,
) -> Result<(u64, u64), StoreError> {
    let (mut records, mut bytes) = (0, 0);
    each(store, ParkedKey::shard_range(mapping, shard), |_, value| {
        records += 1;
        bytes += decode_parked(&value)?.event.get().len() as u64;
        Ok(())
    })
    .await?;
    Ok((records, bytes))
}

/// How many records of a shard are parked, and the first of them.
pub(super) async fn parked_summary(
    store: &dyn Engine,
    mapping: MappingId,
    shard: ShardNo,
) -> Result<(u64, Option<ParkedRecord>), StoreError> {
    let (mut records, mut first) = (0, None);
    each(store, ParkedKey::shard_range(mapping, shard), |_, value| {
        records += 1;
        if first.is_none() {
            first = Some(decode_parked(&value)?);
        }
        Ok(())
    })
    .await?;
    Ok((records, first))
}

/// The first parked record of a shard.
pub(super) async fn first_parked(
    store: &dyn Engine,
    mapping: MappingId,
    shard: ShardNo,
) -> Result<Option<ParkedRecord>, StoreError> {
    let limit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = store.page(ParkedKey::shard_range(mapping, shard), limit).await?;
    page.rows.first().map(|(_, value)| decode_parked(value)).transpose()
}

async fn delete(store: &dyn Engine, keys: &[Key]) -> Result<(), StoreError> {
    commit(store, &[], keys, |_| {
        Decision::Apply(keys.iter().map(|key| Write::Delete { key: key.clone() }).collect(), ())
    })
    .await?;
    Ok(())
}

/// Removes a parked record. False: it was not there any more.
pub(super) async fn delete_parked(
    store: &dyn Engine,
    mapping: MappingId,
    record: &ParkedRecord,
) -> Result<bool, StoreError> {
    let key = ParkedKey { mapping, shard: record.shard, number: record.lsn }.encode();
    let committed = commit(store, &[], std::slice::from_ref(&key), |reads| match reads.exclusive[0] {
        Some(_) => Decision::Apply(vec![Write::Delete { key: key.clone() }], true),
        None => Decision::Reject(false),
    })
    .await?;
    Ok(committed.answer)
}

/// Removes a mapping: its parked records and checkpoints first, its row last, so that a crash in between is repeated.
pub(super) async fn delete_mapping(store: &dyn Engine, mapping: MappingId) -> Result<(), StoreError> {
    for range in [ParkedKey::mapping_range(mapping), CheckpointKey::mapping_range(mapping)] {
        let limit = PageLimit { rows_max: MAPPING_ROWS_PER_PAGE, cost_max: usize::MAX, cost: |_, _| 0 };
        loop {
            let page = store.page(range.clone(), limit).await?;
            let keys: Vec<Key> = page.rows.into_iter().map(|(key, _)| key).collect();
            if !keys.is_empty() {
                delete(store, &keys).await?;
            }
            if !page.limited {
                break;
            }
        }
    }
    delete(store, &[MappingKey { mapping }.encode()]).await
}
