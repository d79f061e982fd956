//! A stream's record in its two JSON forms: that of GetRecords ([`Record`]) and that of a Lambda event ([`EventRecord`]).
//! Source: docs/spec/streams.md 8 and 10.
//!
//! Keys and images are written straight from their stored bytes, and no text of ours goes through a serialiser: pages of
//! records are most of what a reader waits for. What is written depends only on the record and its stream, so that every
//! reading gives the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::json_text::{JsonText, ValueForm};
use tailrace_core::{SequenceNumber, ViewType};

/// `eventName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// `ApproximateCreationDateTime`, whole seconds since the epoch; a number with a fraction on the wire.
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

impl OperationType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            OperationType::Insert => "INSERT",
            OperationType::Modify => "MODIFY",
            OperationType::Remove => "REMOVE",
        }
    }
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

/// Whose JSON is written.
#[derive(Clone, Copy)]
enum Form<'a> {
    GetRecords,
    Event { source_arn: &'a str, values: ValueForm },
}

impl Record {
    /// Writes the record as GetRecords has it. What was taken before an error is no JSON.
    ///
    /// # Errors
    /// Its keys or an image are no stored item.
    pub fn write_json(&self, out: &mut impl JsonText) -> Result<(), CodecError> {
        self.write(Form::GetRecords, out)
    }

    fn write(&self, form: Form<'_>, out: &mut impl JsonText) -> Result<(), CodecError> {
        out.raw(br#"{"eventID":""#);
        out.raw(&self.event_id.hex());
        out.raw(br#"","eventName":""#);
        out.raw(self.event_name.name().as_bytes());
        out.raw(br#"","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"#);
        out.string(&self.aws_region);
        out.raw(br#","dynamodb":"#);
        self.write_change(form, out)?;
        if self.by_service && self.event_name == OperationType::Remove {
            out.raw(match form {
                Form::GetRecords => br#","userIdentity":{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"}"#,
                Form::Event { .. } => br#","userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
            });
        }
        if let Form::Event { source_arn, .. } = form {
            out.raw(br#","eventSourceARN":"#);
            out.string(source_arn);
        }
        out.raw(b"}");
        Ok(())
    }

    /// The member `dynamodb`.
    fn write_change(&self, form: Form<'_>, out: &mut impl JsonText) -> Result<(), CodecError> {
        let values = match form {
            Form::GetRecords => ValueForm::DynamodbJson,
            Form::Event { values, .. } => values,
        };
        out.raw(br#"{"ApproximateCreationDateTime":"#);
        out.whole(self.approximate_creation_s);
        // Whole seconds, and still a number with a fraction: languages that tell the two apart read what they read on AWS.
        out.raw(br#".0,"Keys":"#);
        StoredItem::new(&self.keys)?.write_json_as(values, out)?;
        if let Some(new) = &self.new_image {
            out.raw(br#","NewImage":"#);
            StoredItem::new(new)?.write_json_as(values, out)?;
        }
        if let Some(old) = &self.old_image {
            out.raw(br#","OldImage":"#);
            StoredItem::new(old)?.write_json_as(values, out)?;
        }
        out.raw(br#","SequenceNumber":""#);
        out.raw(&self.sequence_number.digits());
        out.raw(br#"","SizeBytes":"#);
        out.whole(self.size_bytes as u64);
        out.raw(br#","StreamViewType":""#);
        out.raw(self.stream_view_type.name().as_bytes());
        out.raw(br#""}"#);
        Ok(())
    }
}

impl EventRecord<'_> {
    /// Writes the record as an event holds it. What was taken before an error is no JSON.
    ///
    /// # Errors
    /// Its keys or an image are no stored item.
    pub fn write_json(&self, out: &mut impl JsonText) -> Result<(), CodecError> {
        self.write_json_as(ValueForm::DynamodbJson, out)
    }

    /// The same with keys and images in a form.
    ///
    /// # Errors
    /// Its keys or an image are no stored item.
    pub fn write_json_as(&self, values: ValueForm, out: &mut impl JsonText) -> Result<(), CodecError> {
        self.record.write(Form::Event { source_arn: self.event_source_arn, values }, out)
    }
}
