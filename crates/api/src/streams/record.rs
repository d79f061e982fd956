//! A stream's record in its two JSON forms: that of GetRecords ([`Record`]) and that of a Lambda event ([`EventRecord`]).
//! Source: docs/spec/streams.md 8 and 10.
//!
//! Keys and images are written straight from their stored bytes. What is written depends only on the record and its stream,
//! so that every reading gives the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use serde::ser::{Error, SerializeStruct};
use serde::{Serialize, Serializer};
use tailrace_core::codec::StoredItem;
use tailrace_core::{SequenceNumber, ViewType};

/// `eventName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationType {
    /// There was no item.
    Insert,
    /// The item changed.
    Modify,
    /// There is no item any more.
    Remove,
}

/// `eventID`: the same on every reading, and no other record's. Written in lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId(pub [u8; 16]);

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `eventID`.
    pub event_id: EventId,
    /// `eventName`.
    pub event_name: OperationType,
    /// `awsRegion`.
    pub aws_region: Arc<str>,
    /// `ApproximateCreationDateTime`, seconds since the epoch.
    pub approximate_creation_s: u64,
    /// The key attributes, as a stored item.
    pub keys: Bytes,
    /// The item after, stored; only if the view type has it.
    pub new_image: Option<Bytes>,
    /// The item before, stored; only if the view type has it.
    pub old_image: Option<Bytes>,
    /// `SequenceNumber`.
    pub sequence_number: SequenceNumber,
    /// `SizeBytes`: keys and images by the item size rule.
    pub size_bytes: usize,
    /// `StreamViewType`.
    pub stream_view_type: ViewType,
    /// The service itself removed the item (time to live): `userIdentity` says so.
    pub by_service: bool,
}

/// A record as a Lambda event holds it.
#[derive(Clone, Copy, Debug)]
pub struct EventRecord<'a> {
    /// The record.
    pub record: &'a Record,
    /// `eventSourceARN`.
    pub event_source_arn: &'a str,
}

impl EventId {
    /// Its digits.
    fn hex(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 32];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        hex
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).expect("invariant: hex digits are ASCII"))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.hex()).expect("invariant: hex digits are ASCII"))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write(None, serializer)
    }
}

impl Serialize for EventRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.write(Some(self.event_source_arn), serializer)
    }
}

impl Record {
    fn write<S: Serializer>(&self, event_source_arn: Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
        let by_service = self.by_service && self.event_name == OperationType::Remove;
        let members = 6 + usize::from(by_service) + usize::from(event_source_arn.is_some());
        let mut record = serializer.serialize_struct("Record", members)?;
        record.serialize_field("eventID", &self.event_id)?;
        record.serialize_field("eventName", &self.event_name)?;
        record.serialize_field("eventVersion", "1.1")?;
        record.serialize_field("eventSource", "aws:dynamodb")?;
        record.serialize_field("awsRegion", &*self.aws_region)?;
        record.serialize_field("dynamodb", &Change(self))?;
        if by_service {
            match event_source_arn {
                None => record.serialize_field("userIdentity", &Identity::SERVICE)?,
                Some(_) => record.serialize_field("userIdentity", &EventIdentity::SERVICE)?,
            }
        }
        if let Some(arn) = event_source_arn {
            record.serialize_field("eventSourceARN", arn)?;
        }
        record.end()
    }
}

/// The member `dynamodb`.
struct Change<'a>(&'a Record);

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let images = usize::from(record.new_image.is_some()) + usize::from(record.old_image.is_some());
        let mut change = serializer.serialize_struct("StreamRecord", 5 + images)?;
        change.serialize_field("ApproximateCreationDateTime", &record.approximate_creation_s)?;
        change.serialize_field("Keys", &Stored(&record.keys))?;
        if let Some(new) = &record.new_image {
            change.serialize_field("NewImage", &Stored(new))?;
        }
        if let Some(old) = &record.old_image {
            change.serialize_field("OldImage", &Stored(old))?;
        }
        change.serialize_field("SequenceNumber", &Number(record.sequence_number))?;
        change.serialize_field("SizeBytes", &record.size_bytes)?;
        change.serialize_field("StreamViewType", &record.stream_view_type)?;
        change.end()
    }
}

struct Number(SequenceNumber);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::describe_stream::number(&self.0, serializer)
    }
}

/// An item from its stored bytes.
struct Stored<'a>(&'a Bytes);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredItem::new(self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// `userIdentity` as GetRecords spells it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    r#type: &'static str,
    principal_id: &'static str,
}

impl Identity {
    const SERVICE: Identity = Identity { r#type: "Service", principal_id: "dynamodb.amazonaws.com" };
}

/// `userIdentity` as an event spells it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventIdentity {
    r#type: &'static str,
    principal_id: &'static str,
}

impl EventIdentity {
    const SERVICE: EventIdentity = EventIdentity { r#type: "Service", principal_id: "dynamodb.amazonaws.com" };
}
