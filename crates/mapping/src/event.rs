//! A stream record as a function sees it, and the event around a batch of them. The record's JSON is the engine's.
//! Source: docs/spec/event-source-mapping.md 6.

use bytes::Bytes;
use tailrace_core::codec::StoredItem;
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::{LogRecord, StoreError};

use crate::config::StreamSource;
use crate::machine::Record;

/// The event around its records.
pub fn envelope(records: &[Record]) -> Bytes {
    let length: usize = records.iter().map(|record| record.event.len() + 1).sum();
    let mut event = Vec::with_capacity(length + 14);
    event.extend_from_slice(br#"{"Records":["#);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            event.push(b',');
        }
        event.extend_from_slice(&record.event);
    }
    event.extend_from_slice(b"]}");
    event.into()
}

/// Makes a record of the log one for a function.
///
/// # Errors
/// Corrupt, if the record's bytes are none.
pub fn record(source: &StreamSource, writer: &RecordWriter, logged: LogRecord) -> Result<Record, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt(format!("a stream record of {}: {what}", source.arn));
    let record = StreamRecord::read(logged)?;
    let keys = StoredItem::new(&record.meta.keys).map_err(|e| corrupt(e.to_string()))?;
    let partition = keys.attribute(&source.partition_key).map_err(|e| corrupt(e.to_string()))?;
    let partition = partition.as_ref().and_then(key_value_bytes);
    let partition = partition.ok_or_else(|| corrupt(format!("no partition key {:?}", source.partition_key)))?;
    let images = record.old.iter().chain(&record.new).map(Bytes::len).sum::<usize>();
    let mut event = Vec::with_capacity(512 + 2 * (record.meta.keys.len() + images));
    writer.write_event(&record, &source.arn, &mut event)?;
    let key_hash = u64::from(partition_hash(&partition).lane);
    Ok(Record { lsn: record.number, time_ms: record.time_ms, key_hash, event: event.into() })
}
