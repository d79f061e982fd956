//! The event of a batch, as a function sees it. The record's JSON is the engine's.
//! Source: docs/spec/event-source-mapping.md 6.

use bytes::Bytes;
use tailrace_core::json_text::JsonText;
use tailrace_core::limits::INVOKE_PAYLOAD_BYTES_MAX;
use tailrace_core::{EpochMs, StreamArn};
use tailrace_delivery::WindowCall;
use tailrace_engine::streams::label;
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

/// Bytes of what an event of a window has beside its records and the state, at most. An ARN of a stream has some 400 characters.
pub(super) const WINDOW_BYTES_MAX: usize = 1024;

/// A state of a window that has more of them is in no event, whatever else is in it.
pub(super) const STATE_BYTES_MAX: usize = INVOKE_PAYLOAD_BYTES_MAX - ENVELOPE_BYTES - WINDOW_BYTES_MAX;

/// What an event is.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    /// `{"Records": [...]}`.
    Records,
    /// `[...]`, as a pipe hands it over.
    Bare,
    /// As [`Form::Records`], with the tumbling window that it is in, and the shard's name.
    Window(&'a WindowCall, &'a str),
}

/// Writes the event of a batch.
///
/// # Errors
/// Corrupt, if the bytes of a record are none.
pub(super) async fn write(
    writer: &RecordWriter,
    stream_arn: &StreamArn,
    records: &[StreamRecord],
    form: Form<'_>,
) -> Result<Bytes, StoreError> {
    let stored = |record: &StreamRecord| {
        let images = record.old.iter().chain(&record.new).map(Bytes::len).sum::<usize>();
        RECORD_BYTES + 2 * (record.meta.keys.len() + images)
    };
    let mut event = Vec::with_capacity(records.iter().map(stored).sum());
    event.extend_from_slice(if matches!(form, Form::Bare) { b"[" } else { OPENING });
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            event.push(b',');
        }
        if index % RECORDS_PER_TURN == RECORDS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        writer.write_event(record, stream_arn, &mut event)?;
    }
    match form {
        Form::Records => event.extend_from_slice(CLOSING),
        Form::Bare => event.push(b']'),
        Form::Window(window, shard_id) => write_window(window, shard_id, stream_arn, &mut event),
    }
    Ok(event.into())
}

/// The members that make an event that of a window. Source: docs/spec/event-source-mapping.md 9.
fn write_window(window: &WindowCall, shard_id: &str, stream_arn: &StreamArn, event: &mut Vec<u8>) {
    let member = |event: &mut Vec<u8>, name: &str, text: &str| {
        event.extend_from_slice(name.as_bytes());
        event.string(text);
    };
    member(event, r#"],"window":{"start":"#, &whole_seconds(window.start_ms));
    member(event, r#","end":"#, &whole_seconds(window.end_ms));
    event.extend_from_slice(br#"},"state":"#);
    event.extend_from_slice(window.state.as_bytes());
    member(event, r#","shardId":"#, shard_id);
    member(event, r#","eventSourceARN":"#, stream_arn.as_str());
    let (is_final, early) = (window.is_final, window.terminated_early);
    let flags = format!(r#","isFinalInvokeForWindow":{is_final},"isWindowTerminatedEarly":{early}}}"#);
    event.extend_from_slice(flags.as_bytes());
}

/// `2020-07-30T17:00:00Z`.
fn whole_seconds(instant: EpochMs) -> String {
    let label = label::text(instant);
    format!("{}Z", label.split('.').next().unwrap_or_default())
}
