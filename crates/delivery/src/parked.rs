//! Parked records: their stored form, and reading and removing them through the store.
//!
//! A row keeps the record as the log had it, so that it can be handed to the target again whatever the target is, and also
//! when nobody can read it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, MappingId, RecordNo, ShardNo};
use tailrace_store::keyspace::ParkedKey;
use tailrace_store::{Decision, Engine, Key, LogRecord, PageLimit, StoreError, Write, commit};

use crate::machine::{GiveUp, Parked, ParkedSize, stored_bytes};
use crate::observer::Shard;
use crate::rows::{self, corrupt, delete_range, each};

const PARKED_VERSION: u32 = 1;

/// Bytes of a page of parked rows after which it ends.
const PAGE_BYTES: usize = 4 << 20;

/// A parked record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRecord {
    /// The shard.
    pub shard: Shard,
    /// The record, and why it is parked.
    pub parked: Parked,
}

impl ParkedRecord {
    /// Its number.
    pub fn number(&self) -> RecordNo {
        self.parked.logged.number
    }

    /// Why it was given up, with the last error if there was one.
    pub fn why(&self) -> String {
        let reason = self.parked.reason.as_str();
        match self.parked.error.as_str() {
            "" => reason.to_owned(),
            error => format!("{reason}: {error}"),
        }
    }

    pub(crate) fn size(&self) -> ParkedSize {
        ParkedSize { records: 1, bytes: stored_bytes(&self.parked.logged) }
    }
}

/// The stored form. Shard and number are in the key.
#[derive(Serialize, Deserialize)]
struct Row {
    v: u32,
    shard_id: String,
    time_ms: EpochMs,
    reason: GiveUp,
    error: String,
    invocations: u32,
    first_failed_ms: Option<EpochMs>,
    parked_ms: EpochMs,
    meta: String,
    old: Option<String>,
    new: Option<String>,
}

/// The value of a parked record's row.
pub(crate) fn encode(shard: &Shard, parked: &Parked) -> Bytes {
    let Parked { logged, reason, error, invocations, first_failed_ms, parked_ms } = parked;
    let text = |bytes: &Bytes| BASE64.encode(bytes);
    let row = Row {
        v: PARKED_VERSION,
        shard_id: shard.id.to_string(),
        time_ms: logged.time_ms,
        reason: *reason,
        error: error.clone(),
        invocations: *invocations,
        first_failed_ms: *first_failed_ms,
        parked_ms: *parked_ms,
        meta: text(&logged.meta),
        old: logged.old.as_ref().map(text),
        new: logged.new.as_ref().map(text),
    };
    serde_json::to_vec(&row).expect("invariant: a parked record has only string keys").into()
}

/// No row is longer, key included. Base64 takes 4 bytes for 3, and JSON at most 6 for one of an error.
pub(crate) fn row_bytes_max(logged: &LogRecord, error: &str) -> u64 {
    const REST: u64 = 640;
    stored_bytes(logged).div_ceil(3) * 4 + 12 + 6 * error.len() as u64 + REST
}

/// Reads a row back.
pub(crate) fn decode(key: &Key, value: &[u8]) -> Result<ParkedRecord, StoreError> {
    const WHAT: &str = "a parked record";
    let damaged = |error: &dyn std::fmt::Display| corrupt(WHAT, error);
    let ParkedKey { shard, number, .. } = ParkedKey::decode(key).ok_or_else(|| damaged(&"its key is unreadable"))?;
    let row: Row = rows::read(WHAT, PARKED_VERSION, value)?;
    let bytes = |text: String| BASE64.decode(text).map(Bytes::from).map_err(|e| damaged(&e));
    let logged = LogRecord {
        shard,
        number,
        time_ms: row.time_ms,
        meta: bytes(row.meta)?,
        old: row.old.map(bytes).transpose()?,
        new: row.new.map(bytes).transpose()?,
    };
    let Row { reason, error, invocations, first_failed_ms, parked_ms, .. } = row;
    Ok(ParkedRecord {
        shard: Shard { no: shard, id: row.shard_id.into() },
        parked: Parked { logged, reason, error, invocations, first_failed_ms, parked_ms },
    })
}

/// Parked records of a consumer behind `after`, at most `max`.
pub(crate) async fn page(
    store: &dyn Engine,
    consumer: MappingId,
    after: Option<(ShardNo, RecordNo)>,
    max: usize,
) -> Result<Vec<ParkedRecord>, StoreError> {
    let mut range = ParkedKey::mapping_range(consumer);
    if let Some((shard, number)) = after {
        range = range.after(&ParkedKey { mapping: consumer, shard, number }.encode());
    }
    let limit = PageLimit { rows_max: max, cost_max: PAGE_BYTES, cost: |_, value| value.len() };
    let page = store.page(range, limit).await?;
    page.rows.iter().map(|(key, value)| decode(key, value)).collect()
}

/// One parked record; `None`: it is not parked.
pub(crate) async fn get(
    store: &dyn Engine,
    consumer: MappingId,
    (shard, number): (ShardNo, RecordNo),
) -> Result<Option<ParkedRecord>, StoreError> {
    let key = ParkedKey { mapping: consumer, shard, number }.encode();
    let value = store.get(std::slice::from_ref(&key)).await?.pop().flatten();
    value.map(|value| decode(&key, &value)).transpose()
}

/// How many records of a consumer are parked.
///
/// # Errors
/// The store's.
pub async fn parked_records(store: &dyn Engine, consumer: MappingId) -> Result<u64, StoreError> {
    let mut records = 0;
    each(store, ParkedKey::mapping_range(consumer), |_, _| {
        records += 1;
        Ok(())
    })
    .await?;
    Ok(records)
}

/// What of a shard is parked, and the first of it.
pub(crate) async fn summary(
    store: &dyn Engine,
    consumer: MappingId,
    shard: ShardNo,
) -> Result<(ParkedSize, Option<ParkedRecord>), StoreError> {
    let (mut size, mut first) = (ParkedSize::default(), None);
    each(store, ParkedKey::shard_range(consumer, shard), |key, value| {
        let record = decode(&key, &value)?;
        size.records += 1;
        size.bytes += record.size().bytes;
        first.get_or_insert(record);
        Ok(())
    })
    .await?;
    Ok((size, first))
}

/// The first parked record of a shard.
pub(crate) async fn first(
    store: &dyn Engine,
    consumer: MappingId,
    shard: ShardNo,
) -> Result<Option<ParkedRecord>, StoreError> {
    let limit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = store.page(ParkedKey::shard_range(consumer, shard), limit).await?;
    page.rows.first().map(|(key, value)| decode(key, value)).transpose()
}

/// Removes a parked record. False: it was not there any more.
pub(crate) async fn delete(store: &dyn Engine, consumer: MappingId, record: &ParkedRecord) -> Result<bool, StoreError> {
    let key = ParkedKey { mapping: consumer, shard: record.shard.no, number: record.number() }.encode();
    let committed = commit(store, &[], std::slice::from_ref(&key), |reads| match reads.exclusive[0] {
        Some(_) => Decision::Apply(vec![Write::Delete { key: key.clone() }], true),
        None => Decision::Reject(false),
    })
    .await?;
    Ok(committed.answer)
}

pub(crate) async fn delete_all(store: &dyn Engine, consumer: MappingId) -> Result<(), StoreError> {
    delete_range(store, ParkedKey::mapping_range(consumer)).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn a_parked_record_reads_back_and_is_no_longer_than_was_counted(
            (mapping, shard, number) in any::<(u128, u64, u64)>(),
            (time_ms, parked_ms, first_failed_ms) in any::<(u64, u64, Option<u64>)>(),
            meta in bytes(),
            old in prop::option::of(bytes()),
            new in prop::option::of(bytes()),
            error in ".*",
            controls in "[\\x00-\\x1f]*",
            invocations in any::<u32>(),
            reason in prop::sample::select(vec![
                GiveUp::RetryAttemptsExhausted, GiveUp::RecordAgeExceeded, GiveUp::Damaged, GiveUp::Rejected,
            ]),
        ) {
            let key = ParkedKey { mapping: MappingId(mapping), shard: ShardNo(shard), number: RecordNo(number) }.encode();
            let shard = Shard { no: ShardNo(shard), id: format!("shardId-{time_ms:020}-{shard:08x}").into() };
            let logged = LogRecord { shard: shard.no, number: RecordNo(number), time_ms: EpochMs(time_ms), meta, old, new };
            let error = error + &controls;
            let parked = Parked { logged, reason, error, invocations, first_failed_ms: first_failed_ms.map(EpochMs), parked_ms: EpochMs(parked_ms) };
            let row = encode(&shard, &parked);
            prop_assert!((key.as_bytes().len() + row.len()) as u64 <= row_bytes_max(&parked.logged, &parked.error));
            prop_assert_eq!(decode(&key, &row).unwrap(), ParkedRecord { shard, parked });
        }
    }

    #[test]
    fn a_newer_row_and_damage_are_named() {
        let key = ParkedKey { mapping: MappingId(1), shard: ShardNo(2), number: RecordNo(3) }.encode();
        for stored in [r#"{"v":2,"shape":"unknown"}"#, "{", r#"{"v":1}"#] {
            assert!(matches!(decode(&key, stored.as_bytes()), Err(StoreError::Corrupt(_))), "{stored}");
        }
    }
}
