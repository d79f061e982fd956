//! Records in the log: what a client put, as the keys of a hidden stream's record; and their ids.

use bytes::Bytes;
use tailrace_core::codec::{CodecError, StoredItem, encode_stored};
use tailrace_core::encoded::Encoded;
use tailrace_core::{ApiError, AttributeValue, EpochMs, ErrorCode, Item, SequenceNumber, StreamId};
use tailrace_engine::streams::hidden;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Caller, store_failure};
use tailrace_store::keyspace::DeliveryStreamKey;
use tailrace_store::{Decision, Engine, RecordId, StoreError, Write, commit};

use crate::answer;
use crate::row::{Row, Stored};

/// The partition key of the log's stream; the same text for every record, since there is one shard and one lane.
pub const PARTITION: &str = "p";
/// What the client put.
const DATA: &str = "d";

/// A record that is delivered.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id, as the client got it.
    pub id: String,
    /// When it came.
    pub arrived_ms: EpochMs,
    /// What was put.
    pub data: Bytes,
}

impl Source {
    /// Reads a record of the log.
    ///
    /// # Errors
    /// Corrupt.
    pub fn of(record: &StreamRecord) -> Result<Source, StoreError> {
        let id = id(RecordId { shard: record.shard, number: record.number });
        Ok(Source { id, arrived_ms: record.time_ms, data: data(record)? })
    }
}

/// What was put, without a copy.
///
/// # Errors
/// Corrupt.
pub fn data(record: &StreamRecord) -> Result<Bytes, StoreError> {
    let corrupt = |error: CodecError| StoreError::Corrupt(format!("a record of a delivery stream: {error}"));
    let value = StoredItem::new(&record.meta.keys).map_err(corrupt)?.members().find(DATA).map_err(corrupt)?;
    match value.map(|value| value.read()).transpose().map_err(corrupt)? {
        Some(Encoded::B(bytes)) => Ok(record.meta.keys.slice_ref(bytes)),
        _ => Err(StoreError::Corrupt("a record of a delivery stream has no data".to_owned())),
    }
}

/// The id of a record: 56 digits, as the service's have; in the order of the records of a delivery stream.
pub fn id(record: RecordId) -> String {
    format!("{:035}{}", record.shard.0, SequenceNumber(record.number))
}

fn stored(data: Vec<u8>) -> Vec<u8> {
    encode_stored(&Item::from([
        (PARTITION.to_owned(), AttributeValue::S("-".to_owned())),
        (DATA.to_owned(), AttributeValue::B(data)),
    ]))
}

/// Puts records into a delivery stream: all of them, in one commit. `seen`: its row as it was last seen.
///
/// # Errors
/// ResourceNotFoundException if it is there no more; ServiceUnavailableException while the store takes nothing.
pub async fn put(
    store: &dyn Engine,
    seen: &Stored,
    records: Vec<Vec<u8>>,
    account: &str,
    caller: &Caller<'_>,
) -> Result<Vec<String>, ApiError> {
    let keys: Vec<Vec<u8>> = records.into_iter().map(stored).collect();
    let shared = [DeliveryStreamKey::key(&seen.row.name)];
    let appends =
        |stream: StreamId| -> Vec<Write> { keys.iter().map(|keys| hidden::append(stream, keys, caller)).collect() };
    let made = commit(store, &shared, &[], |reads| match &reads.shared[0] {
        None => Decision::Reject(Ok(false)),
        Some(row) if *row == seen.bytes && !seen.row.deleted => Decision::Apply(appends(seen.row.stream), Ok(true)),
        // It was changed since.
        Some(row) => match Row::decode(row) {
            Ok(row) if row.deleted => Decision::Reject(Ok(false)),
            Ok(row) => Decision::Apply(appends(row.stream), Ok(true)),
            Err(error) => Decision::Reject(Err(error)),
        },
    });
    let made = made.await.map_err(|error| unavailable(&error))?;
    if !made.answer.map_err(|error| store_failure(&error))? {
        return Err(answer::not_found(&seen.row.name, account));
    }
    Ok(made.receipt.records.iter().map(|record| id(*record)).collect())
}

fn unavailable(error: &StoreError) -> ApiError {
    match error {
        StoreError::Full(why) => ApiError::new(ErrorCode::ServiceUnavailableException, why.clone()),
        error => store_failure(error),
    }
}
