//! The event of a batch, as a function sees it. The record's JSON is the engine's.
//! Source: docs/spec/event-source-mapping.md 6.

use bytes::Bytes;
use tailrace_core::StreamArn;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

const OPENING: &[u8] = br#"{"Records":["#;
const CLOSING: &[u8] = b"]}";

/// Bytes of an event beside its records and the commas between them.
pub(super) const ENVELOPE_BYTES: usize = OPENING.len() + CLOSING.len();

/// Records that are written before other tasks get their turn.
const RECORDS_PER_TURN: usize = 100;

/// Bytes of a record's JSON beside its keys and images, about.
const RECORD_BYTES: usize = 512;

/// Writes the event of a batch.
///
/// # Errors
/// Corrupt, if the bytes of a record are none.
pub(super) async fn write(
    writer: &RecordWriter,
    stream_arn: &StreamArn,
    records: &[StreamRecord],
) -> Result<Bytes, StoreError> {
    let stored = |record: &StreamRecord| {
        let images = record.old.iter().chain(&record.new).map(Bytes::len).sum::<usize>();
        RECORD_BYTES + 2 * (record.meta.keys.len() + images)
    };
    let mut event = Vec::with_capacity(records.iter().map(stored).sum());
    event.extend_from_slice(OPENING);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            event.push(b',');
        }
        if index % RECORDS_PER_TURN == RECORDS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        writer.write_event(record, stream_arn, &mut event)?;
    }
    event.extend_from_slice(CLOSING);
    Ok(event.into())
}
