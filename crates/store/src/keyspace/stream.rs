//! Streams, in two kinds of rows. The descriptor by number: kind ‖ stream id. The number by ARN: kind ‖ table name ‖
//! `/` ‖ label; a table name has no slash, so the order of the keys is the order of the ARNs (ListStreams), and the
//! streams of one table are one range.

use std::ops::Bound;

use super::{KeyKind, prefix_range, text, whole_u64};
use crate::engine::{Key, KeyRange, StreamId};

/// The key of a stream's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// The stream.
    pub stream: StreamId,
}

impl StreamKey {
    /// The key.
    pub fn encode(self) -> Key {
        let mut bytes = KeyKind::Stream.start(8);
        bytes.extend_from_slice(&self.stream.0.to_be_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<StreamKey> {
        Some(StreamKey { stream: StreamId(whole_u64(KeyKind::Stream.strip(&key.0)?)?) })
    }

    /// All streams, by number.
    pub fn range() -> KeyRange {
        KeyKind::Stream.range()
    }
}

/// The key under which a stream's number is found by its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamNameKey {
    /// The table's name.
    pub table: String,
    /// The stream's label.
    pub label: String,
}

impl StreamNameKey {
    /// The key of the stream `label` of the table `table`.
    pub fn key(table: &str, label: &str) -> Key {
        let mut bytes = stream_names_of(table);
        bytes.extend_from_slice(label.as_bytes());
        Key::from_vec(bytes)
    }

    /// The key.
    pub fn encode(&self) -> Key {
        StreamNameKey::key(&self.table, &self.label)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<StreamNameKey> {
        let whole = text(KeyKind::StreamName.strip(&key.0)?)?;
        let (table, label) = whole.split_once('/')?;
        Some(StreamNameKey { table: table.to_owned(), label: label.to_owned() })
    }

    /// All streams, in the order of their ARNs.
    pub fn range() -> KeyRange {
        KeyKind::StreamName.range()
    }

    /// The streams of one table, oldest first.
    pub fn table_range(table: &str) -> KeyRange {
        prefix_range(&stream_names_of(table))
    }

    /// Those of `range` that come after the stream `label` of `table`, whether or not there is one.
    pub fn after(range: KeyRange, table: &str, label: &str) -> KeyRange {
        let start = StreamNameKey::key(table, label).0;
        KeyRange { start: Bound::Excluded(start), ..range }
    }
}

fn stream_names_of(table: &str) -> Vec<u8> {
    let mut bytes = KeyKind::StreamName.start(table.len() + 24);
    bytes.extend_from_slice(table.as_bytes());
    bytes.push(b'/');
    bytes
}
