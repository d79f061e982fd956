//! A stream's record, read from the log, and its two JSON forms: that of GetRecords and that of a Lambda event. Written straight
//! from the stored bytes. Source: docs/spec/streams.md 8 and 10.
//!
//! Invariant: what is written depends only on the record and its stream, so that every reading gives the same bytes.

use std::io::{self, Write};

use bytes::Bytes;
use md5::{Digest, Md5};
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::{Item, Lsn, SequenceNumber};
use tailrace_store::{LogRecord, StoreError};

use super::record_meta::{ChangeKind, RecordMeta};
use crate::db::Db;

/// A record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its number.
    pub lsn: Lsn,
    /// The commit's time, milliseconds since the epoch.
    pub time_ms: u64,
    /// What happened, and the keys.
    pub meta: RecordMeta,
    /// The item before, stored; only if the view type has it.
    pub old: Option<Bytes>,
    /// The item after, stored; only if the view type has it.
    pub new: Option<Bytes>,
}

/// What all records of a stream have in common.
#[derive(Clone, Debug)]
pub struct RecordWriter {
    region: String,
    directory_uuid: String,
}

impl Db {
    /// A writer of records.
    pub fn record_writer(&self) -> RecordWriter {
        RecordWriter { region: self.settings.region.clone(), directory_uuid: self.directory_uuid.clone() }
    }
}

fn corrupt(error: CodecError) -> StoreError {
    StoreError::Corrupt(format!("a stream record: {error}"))
}

impl StreamRecord {
    /// Reads a record of the log.
    ///
    /// # Errors
    /// Corrupt, if its meta is none.
    pub fn read(record: LogRecord) -> Result<StreamRecord, StoreError> {
        Ok(StreamRecord {
            lsn: record.lsn,
            time_ms: record.time_ms,
            meta: RecordMeta::decode(&record.meta)?,
            old: record.old,
            new: record.new,
        })
    }

    /// Its sequence number.
    pub fn sequence_number(&self) -> SequenceNumber {
        SequenceNumber(self.lsn)
    }

    /// The key attributes.
    ///
    /// # Errors
    /// Corrupt.
    pub fn keys(&self) -> Result<Item, StoreError> {
        StoredItem::new(&self.meta.keys).and_then(|item| item.decode()).map_err(corrupt)
    }

    /// The item before, if the record holds it.
    ///
    /// # Errors
    /// Corrupt.
    pub fn old_image(&self) -> Result<Option<Item>, StoreError> {
        decode(self.old.as_ref())
    }

    /// The item after, if the record holds it.
    ///
    /// # Errors
    /// Corrupt.
    pub fn new_image(&self) -> Result<Option<Item>, StoreError> {
        decode(self.new.as_ref())
    }

    /// `SizeBytes`: keys and images by the item size rule. Source: docs/spec/streams.md 8.1.
    ///
    /// # Errors
    /// Corrupt.
    pub fn size_bytes(&self) -> Result<usize, StoreError> {
        let mut size = StoredItem::new(&self.meta.keys).map_err(corrupt)?.size();
        for image in [&self.old, &self.new].into_iter().flatten() {
            size += StoredItem::new(image).map_err(corrupt)?.size();
        }
        Ok(size)
    }
}

fn decode(stored: Option<&Bytes>) -> Result<Option<Item>, StoreError> {
    stored.map(|bytes| StoredItem::new(bytes).and_then(|item| item.decode()).map_err(corrupt)).transpose()
}

impl RecordWriter {
    /// `eventID`: the same on every reading, and no other record's.
    pub fn event_id(&self, lsn: Lsn) -> String {
        let mut id = Vec::with_capacity(32);
        self.write_event_id(lsn, &mut id);
        String::from_utf8(id).expect("invariant: hex digits are ASCII")
    }

    fn write_event_id(&self, lsn: Lsn, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digest = Md5::new().chain_update(&self.directory_uuid).chain_update(lsn.0.to_be_bytes()).finalize();
        for byte in digest {
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }

    /// Appends a record as GetRecords gives it.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn write_api(&self, record: &StreamRecord, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.write(record, None, out)
    }

    /// Appends a record as a Lambda event holds it.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn write_event(&self, record: &StreamRecord, stream_arn: &str, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.write(record, Some(stream_arn), out)
    }

    /// The bytes that [`Self::write_event`] would append: what an event's size is before it is made.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn event_bytes(&self, record: &StreamRecord, stream_arn: &str) -> Result<usize, StoreError> {
        const EVENT_ID_BYTES: usize = 32;
        let mut counted = Counted(HEAD.len() + EVENT_ID_BYTES);
        self.write_rest(record, Some(stream_arn), &mut counted)?;
        Ok(counted.0)
    }

    fn write(&self, record: &StreamRecord, event_of: Option<&str>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        out.extend_from_slice(HEAD);
        self.write_event_id(record.lsn, out);
        self.write_rest(record, event_of, out)
    }

    /// What comes behind the event's id. Neither way out can fail.
    fn write_rest(
        &self,
        record: &StreamRecord,
        event_of: Option<&str>,
        out: &mut impl Write,
    ) -> Result<(), StoreError> {
        put(b"\",\"eventName\":\"", out);
        put(record.meta.kind.name().as_bytes(), out);
        put(b"\",\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\"awsRegion\":", out);
        text(&self.region, out);
        let _ = write!(out, ",\"dynamodb\":{{\"ApproximateCreationDateTime\":{},\"Keys\":", record.time_ms / 1000);
        stored(&record.meta.keys, out)?;
        if let Some(new) = &record.new {
            put(b",\"NewImage\":", out);
            stored(new, out)?;
        }
        if let Some(old) = &record.old {
            put(b",\"OldImage\":", out);
            stored(old, out)?;
        }
        let (number, size) = (record.sequence_number(), record.size_bytes()?);
        let view = record.meta.view.name();
        let _ = write!(out, ",\"SequenceNumber\":\"{number}\",\"SizeBytes\":{size},\"StreamViewType\":\"{view}\"}}");
        if record.meta.by_service && record.meta.kind == ChangeKind::Remove {
            let identity: &[u8] = match event_of {
                None => br#","userIdentity":{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"}"#,
                Some(_) => br#","userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
            };
            put(identity, out);
        }
        if let Some(arn) = event_of {
            put(b",\"eventSourceARN\":", out);
            text(arn, out);
        }
        put(b"}", out);
        Ok(())
    }
}

const HEAD: &[u8] = b"{\"eventID\":\"";

/// Counts what is written.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn put(bytes: &[u8], out: &mut impl Write) {
    let _ = out.write_all(bytes);
}

fn text(text: &str, out: &mut impl Write) {
    serde_json::to_writer(out, text).expect("invariant: a string can be written to memory");
}

fn stored(bytes: &[u8], out: &mut impl Write) -> Result<(), StoreError> {
    let item = StoredItem::new(bytes).map_err(corrupt)?;
    serde_json::to_writer(out, &item).map_err(|e| StoreError::Corrupt(format!("a stream record: {e}")))
}
