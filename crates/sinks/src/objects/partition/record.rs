//! A stream's record as a document: what its JSON line says (see [`super::super::encode`]), read from the stored bytes where an
//! expression asks.
//!
//! Invariant: what is found is what the line has at the same place, in the form of its values.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::{Encoded, EncodedValue, Members};
use tailrace_core::json_text::{StoredNumber, ValueForm};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::ChangeKind;

use super::Place;
use crate::sink::SourceTable;

/// A record, and all that its line is made from.
#[derive(Clone, Copy, Debug)]
pub struct RecordDocument<'a> {
    /// The record.
    pub record: &'a StreamRecord,
    /// Its table.
    pub source: &'a SourceTable,
    /// What writes lines.
    pub writer: &'a RecordWriter,
    /// How values stand there.
    pub values: ValueForm,
}

/// A place in it.
#[derive(Clone, Debug)]
pub enum RecordPlace<'a> {
    /// The record.
    Root(RecordDocument<'a>),
    /// The member `dynamodb`.
    Change(RecordDocument<'a>),
    /// The member `userIdentity`.
    UserIdentity,
    /// An item, or the content of an M.
    Members(Members<'a>, ValueForm),
    /// A value; with types, the object of its tag.
    Value(EncodedValue<'a>, ValueForm),
    /// The content of a value behind its tag.
    Content(EncodedValue<'a>),
    /// A scalar.
    Text(Cow<'a, str>),
}

impl<'a> Place for RecordPlace<'a> {
    type Error = CodecError;

    fn member(&self, name: &str) -> Result<Option<Self>, CodecError> {
        match self {
            RecordPlace::Root(document) => Ok(document.member(name)),
            RecordPlace::Change(document) => document.change_member(name),
            RecordPlace::UserIdentity => Ok(match name {
                "type" => Some(text("Service")),
                "principalId" => Some(text("dynamodb.amazonaws.com")),
                _ => None,
            }),
            RecordPlace::Members(members, form) => {
                Ok(members.find(name)?.map(|value| RecordPlace::Value(value, *form)))
            }
            RecordPlace::Value(value, ValueForm::DynamodbJson) => {
                Ok((value.read()?.type_name() == name).then(|| RecordPlace::Content(value.clone())))
            }
            RecordPlace::Value(value, ValueForm::Plain) => match value.read()? {
                Encoded::M(members) => RecordPlace::Members(members, ValueForm::Plain).member(name),
                _ => Ok(None),
            },
            RecordPlace::Content(value) => match value.read()? {
                Encoded::M(members) => RecordPlace::Members(members, ValueForm::DynamodbJson).member(name),
                _ => Ok(None),
            },
            RecordPlace::Text(_) => Ok(None),
        }
    }

    fn element(&self, index: usize) -> Result<Option<Self>, CodecError> {
        let (value, form) = match self {
            RecordPlace::Value(value, ValueForm::Plain) => (value, ValueForm::Plain),
            RecordPlace::Content(value) => (value, ValueForm::DynamodbJson),
            _ => return Ok(None),
        };
        // An element costs the walk over those before it.
        let mut left = index;
        match value.read()? {
            Encoded::L(mut elements) => {
                while let Some(element) = elements.next_value()? {
                    if left == 0 {
                        return Ok(Some(RecordPlace::Value(element, form)));
                    }
                    left -= 1;
                }
            }
            Encoded::Ss(mut elements) => {
                while let Some(element) = elements.next_text()? {
                    if left == 0 {
                        return Ok(Some(text(element)));
                    }
                    left -= 1;
                }
            }
            Encoded::Ns(mut elements) => {
                while let Some(element) = elements.next_number()? {
                    if left == 0 {
                        return Ok(Some(number(element)));
                    }
                    left -= 1;
                }
            }
            Encoded::Bs(mut elements) => {
                while let Some(element) = elements.next_bytes()? {
                    if left == 0 {
                        return Ok(Some(binary(element)));
                    }
                    left -= 1;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn text(&self) -> Result<Option<Cow<'_, str>>, CodecError> {
        let value = match self {
            RecordPlace::Text(text) => return Ok(Some(Cow::Borrowed(text))),
            RecordPlace::Value(value, ValueForm::Plain) | RecordPlace::Content(value) => value,
            _ => return Ok(None),
        };
        Ok(match (value.read()?, self) {
            (Encoded::S(text), _) => Some(Cow::Borrowed(text)),
            (Encoded::N(number), _) => Some(Cow::Owned(number.decimal())),
            (Encoded::B(bytes), _) => Some(Cow::Owned(BASE64.encode(bytes))),
            (Encoded::Bool(value), _) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
            // With types, it is written as true.
            (Encoded::Null, RecordPlace::Content(_)) => Some(Cow::Borrowed("true")),
            _ => None,
        })
    }
}

fn text(text: &str) -> RecordPlace<'_> {
    RecordPlace::Text(Cow::Borrowed(text))
}

fn number(number: StoredNumber<'_>) -> RecordPlace<'static> {
    RecordPlace::Text(Cow::Owned(number.decimal()))
}

fn binary(bytes: &[u8]) -> RecordPlace<'static> {
    RecordPlace::Text(Cow::Owned(BASE64.encode(bytes)))
}

impl<'a> RecordDocument<'a> {
    /// The place that all paths start from.
    pub fn root(self) -> RecordPlace<'a> {
        RecordPlace::Root(self)
    }

    fn member(self, name: &str) -> Option<RecordPlace<'a>> {
        let record = self.record;
        Some(match name {
            "eventID" => RecordPlace::Text(Cow::Owned(self.writer.event_id(record).to_string())),
            "eventName" => text(record.meta.kind.name()),
            "eventVersion" => text("1.1"),
            "eventSource" => text("aws:dynamodb"),
            "awsRegion" => text(self.writer.region()),
            "dynamodb" => RecordPlace::Change(self),
            "userIdentity" if is_ttl(record) => RecordPlace::UserIdentity,
            "eventSourceARN" => text(self.source.stream_arn.as_str()),
            "tableName" => text(&self.source.table),
            _ => return None,
        })
    }

    fn change_member(self, name: &str) -> Result<Option<RecordPlace<'a>>, CodecError> {
        let record = self.record;
        let item = |stored: &'a [u8]| Ok(Some(RecordPlace::Members(StoredItem::new(stored)?.members(), self.values)));
        let owned = |text: String| Ok(Some(RecordPlace::Text(Cow::Owned(text))));
        match name {
            "ApproximateCreationDateTime" => owned(record.time_ms.seconds().to_string()),
            "Keys" => item(&record.meta.keys),
            "NewImage" => record.new.as_deref().map_or(Ok(None), item),
            "OldImage" => record.old.as_deref().map_or(Ok(None), item),
            "SequenceNumber" => owned(record.sequence_number().to_string()),
            "SizeBytes" => {
                let images = record.old.iter().chain(&record.new);
                let sizes = images.chain([&record.meta.keys]).map(|stored| Ok(StoredItem::new(stored)?.size()));
                owned(sizes.sum::<Result<usize, CodecError>>()?.to_string())
            }
            "StreamViewType" => Ok(Some(text(record.meta.view.name()))),
            _ => Ok(None),
        }
    }
}

/// Time to live removed the item.
pub(crate) fn is_ttl(record: &StreamRecord) -> bool {
    record.meta.by_service && record.meta.kind == ChangeKind::Remove
}
