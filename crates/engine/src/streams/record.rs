//! A stream's record: read from the log, and made into the one that the API has. Source: docs/spec/streams.md 8 and 10.
//!
//! Invariant: what is made depends only on the record and its stream, so that every reading gives the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::streams::{EventId, EventRecord, OperationType, Record};
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::json_text::{JsonLength, JsonText, ValueForm};
use tailrace_core::{EpochMs, Item, RecordNo, SequenceNumber, ShardNo, StreamArn};
use tailrace_store::{LogRecord, StoreError};

use super::event_id::EventIds;
use super::record_meta::{ChangeKind, RecordMeta};
use crate::db::Db;

/// A record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its shard.
    pub shard: ShardNo,
    /// Its number there.
    pub number: RecordNo,
    /// The commit's time.
    pub time_ms: EpochMs,
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
    region: Arc<str>,
    ids: EventIds,
    of_items: bool,
}

impl Db {
    /// A writer of records.
    pub fn record_writer(&self) -> RecordWriter {
        RecordWriter::of_directory(&self.settings.region, &self.directory_uuid)
    }
}

pub(super) fn corrupt(error: CodecError) -> StoreError {
    StoreError::Corrupt(format!("a stream record: {error}"))
}

impl StreamRecord {
    /// Reads a record of the log.
    ///
    /// # Errors
    /// Corrupt, if its meta is none.
    pub fn read(record: LogRecord) -> Result<StreamRecord, StoreError> {
        Ok(StreamRecord {
            shard: record.shard,
            number: record.number,
            time_ms: record.time_ms,
            meta: RecordMeta::decode(&record.meta)?,
            old: record.old,
            new: record.new,
        })
    }

    /// Its sequence number.
    pub fn sequence_number(&self) -> SequenceNumber {
        SequenceNumber(self.number)
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
        self.encoded_size().map_err(corrupt)
    }

    pub(super) fn encoded_size(&self) -> Result<usize, CodecError> {
        let mut size = StoredItem::new(&self.meta.keys)?.size();
        for image in [&self.old, &self.new].into_iter().flatten() {
            size += StoredItem::new(image)?.size();
        }
        Ok(size)
    }
}

fn decode(stored: Option<&Bytes>) -> Result<Option<Item>, StoreError> {
    stored.map(|bytes| StoredItem::new(bytes).and_then(|item| item.decode()).map_err(corrupt)).transpose()
}

impl RecordWriter {
    /// A writer of the records of the data directory with this identity.
    pub fn of_directory(region: &str, directory_uuid: &str) -> RecordWriter {
        RecordWriter { region: region.into(), ids: EventIds::of_directory(directory_uuid), of_items: false }
    }

    /// The `eventID` of a record: the same on every reading, and no other record's.
    pub fn event_id(&self, record: &StreamRecord) -> EventId {
        match self.of_items {
            true => self.ids.of_item(record.shard, record.number, &record.meta.keys),
            false => self.ids.of(record.shard, record.number),
        }
    }

    /// One for the items of a snapshot, of which many have the number of one point of the stream: their keys tell them apart.
    pub fn of_items(&self) -> RecordWriter {
        RecordWriter { of_items: true, ..self.clone() }
    }

    /// What tells the records of this data directory from those of others, which have the same numbers.
    pub fn origin(&self) -> String {
        self.ids.of(ShardNo(0), RecordNo::ZERO).to_string()
    }

    /// The `awsRegion` of all records.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// A record as the API has it.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn record(&self, record: &StreamRecord) -> Result<Record, StoreError> {
        Ok(Record {
            event_id: self.event_id(record),
            event_name: match record.meta.kind {
                ChangeKind::Insert => OperationType::Insert,
                ChangeKind::Modify => OperationType::Modify,
                ChangeKind::Remove => OperationType::Remove,
            },
            aws_region: Arc::clone(&self.region),
            approximate_creation_s: record.time_ms.seconds(),
            keys: record.meta.keys.clone(),
            new_image: record.new.clone(),
            old_image: record.old.clone(),
            sequence_number: record.sequence_number(),
            size_bytes: record.size_bytes()?,
            stream_view_type: record.meta.view,
            by_service: record.meta.by_service,
        })
    }

    /// Appends a record as a Lambda event holds it.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn write_event(
        &self,
        record: &StreamRecord,
        stream_arn: &StreamArn,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.event(record, stream_arn, ValueForm::DynamodbJson, out)
    }

    /// The same with keys and images in a form.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn write_event_as(
        &self,
        values: ValueForm,
        record: &StreamRecord,
        stream_arn: &StreamArn,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.event(record, stream_arn, values, out)
    }

    /// The bytes that [`Self::write_event`] would append: what an event's size is before it is made.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes are no record.
    pub fn event_bytes(&self, record: &StreamRecord, stream_arn: &StreamArn) -> Result<usize, StoreError> {
        let mut length = JsonLength::default();
        self.event(record, stream_arn, ValueForm::DynamodbJson, &mut length)?;
        Ok(length.0)
    }

    fn event(
        &self,
        record: &StreamRecord,
        event_source_arn: &StreamArn,
        values: ValueForm,
        out: &mut impl JsonText,
    ) -> Result<(), StoreError> {
        let record = &self.record(record)?;
        EventRecord { record, event_source_arn: event_source_arn.as_str() }.write_json_as(values, out).map_err(corrupt)
    }
}
