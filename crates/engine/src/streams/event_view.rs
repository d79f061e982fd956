//! A record as patterns see it: what its event would say (see [`RecordWriter::write_event`]), read from the stored bytes where a
//! pattern asks, with nothing written. Source: docs/spec/event-source-mapping.md 6 and 8.
//!
//! Invariant: what is seen here is what the event's JSON has at the same place.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::StreamArn;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::{Elements, Encoded, EncodedValue, Members};
use tailrace_core::json_text::StoredNumber;
use tailrace_pattern::{Filter, Kind, Node};
use tailrace_store::StoreError;

use super::record::{RecordWriter, StreamRecord, corrupt};
use super::record_meta::ChangeKind;

impl RecordWriter {
    /// Whether the record's event passes the filter.
    ///
    /// # Errors
    /// Corrupt, if the stored bytes that the filter asks for are no record's.
    pub fn passes(
        &self,
        filter: &Filter,
        record: &StreamRecord,
        event_source_arn: &StreamArn,
    ) -> Result<bool, StoreError> {
        let event = Event { writer: self, record, event_source_arn: event_source_arn.as_str() };
        filter.passes(&View::Event(&event)).map_err(corrupt)
    }
}

/// What a record's event is made from.
struct Event<'a> {
    writer: &'a RecordWriter,
    record: &'a StreamRecord,
    event_source_arn: &'a str,
}

/// A place in an event.
#[derive(Clone)]
enum View<'a> {
    Event(&'a Event<'a>),
    /// The member `dynamodb`.
    Change(&'a StreamRecord),
    UserIdentity,
    /// The attributes of an item, or of an M.
    Members(Members<'a>),
    /// A value with its tag.
    Tagged(EncodedValue<'a>),
    Texts(Elements<'a>),
    Numbers(Elements<'a>),
    Binaries(Elements<'a>),
    Values(Elements<'a>),
    Bool(bool),
    Number(f64),
    Text(&'a str),
    Decimal(StoredNumber<'a>),
    Binary(&'a [u8]),
    Written(String),
}

impl<'a> Node for View<'a> {
    type Error = CodecError;

    fn kind(&self) -> Result<Kind<'_>, CodecError> {
        Ok(match self {
            View::Event(_) | View::Change(_) | View::UserIdentity | View::Members(_) | View::Tagged(_) => Kind::Object,
            View::Texts(_) | View::Numbers(_) | View::Binaries(_) | View::Values(_) => Kind::Array,
            View::Bool(value) => Kind::Bool(*value),
            View::Number(number) => Kind::Number(*number),
            View::Text(text) => Kind::Text(Cow::Borrowed(text)),
            View::Decimal(number) => Kind::Text(Cow::Owned(number.decimal())),
            View::Binary(bytes) => Kind::Text(Cow::Owned(BASE64.encode(bytes))),
            View::Written(text) => Kind::Text(Cow::Borrowed(text)),
        })
    }

    fn member(&self, name: &str) -> Result<Option<Self>, CodecError> {
        match self {
            View::Event(event) => Ok(event.member(name)),
            View::Change(record) => change_member(record, name),
            View::UserIdentity => Ok(match name {
                "type" => Some(View::Text("Service")),
                "principalId" => Some(View::Text("dynamodb.amazonaws.com")),
                _ => None,
            }),
            View::Members(members) => Ok(members.find(name)?.map(View::Tagged)),
            View::Tagged(value) => Ok(match (name, value.read()?) {
                ("S", Encoded::S(text)) => Some(View::Text(text)),
                ("N", Encoded::N(number)) => Some(View::Decimal(number)),
                ("B", Encoded::B(bytes)) => Some(View::Binary(bytes)),
                ("BOOL", Encoded::Bool(value)) => Some(View::Bool(value)),
                ("NULL", Encoded::Null) => Some(View::Bool(true)),
                ("SS", Encoded::Ss(elements)) => Some(View::Texts(elements)),
                ("NS", Encoded::Ns(elements)) => Some(View::Numbers(elements)),
                ("BS", Encoded::Bs(elements)) => Some(View::Binaries(elements)),
                ("L", Encoded::L(elements)) => Some(View::Values(elements)),
                ("M", Encoded::M(members)) => Some(View::Members(members)),
                _ => None,
            }),
            _ => Ok(None),
        }
    }

    fn any_element(&self, answer: &mut dyn FnMut(Self) -> Result<bool, CodecError>) -> Result<bool, CodecError> {
        let (mut elements, next): (_, NextElement<'a>) = match self {
            View::Texts(elements) => (elements.clone(), |elements| Ok(elements.next_text()?.map(View::Text))),
            View::Numbers(elements) => (elements.clone(), |elements| Ok(elements.next_number()?.map(View::Decimal))),
            View::Binaries(elements) => (elements.clone(), |elements| Ok(elements.next_bytes()?.map(View::Binary))),
            View::Values(elements) => (elements.clone(), |elements| Ok(elements.next_value()?.map(View::Tagged))),
            _ => return Ok(false),
        };
        while let Some(element) = next(&mut elements)? {
            if answer(element)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Reads the next element of a set or a list.
type NextElement<'a> = fn(&mut Elements<'a>) -> Result<Option<View<'a>>, CodecError>;

impl<'a> Event<'a> {
    fn member(&self, name: &str) -> Option<View<'a>> {
        let record = self.record;
        Some(match name {
            "eventID" => View::Written(self.writer.event_id(record).to_string()),
            "eventName" => View::Text(record.meta.kind.name()),
            "eventVersion" => View::Text("1.1"),
            "eventSource" => View::Text("aws:dynamodb"),
            "awsRegion" => View::Text(self.writer.region()),
            "dynamodb" => View::Change(record),
            "userIdentity" if record.meta.by_service && record.meta.kind == ChangeKind::Remove => View::UserIdentity,
            "eventSourceARN" => View::Text(self.event_source_arn),
            _ => return None,
        })
    }
}

fn change_member<'a>(record: &'a StreamRecord, name: &str) -> Result<Option<View<'a>>, CodecError> {
    let item = |stored: &'a [u8]| Ok(View::Members(StoredItem::new(stored)?.members()));
    Ok(Some(match name {
        "ApproximateCreationDateTime" => View::Number(record.time_ms.seconds() as f64),
        "Keys" => item(&record.meta.keys)?,
        "NewImage" => match &record.new {
            Some(new) => item(new)?,
            None => return Ok(None),
        },
        "OldImage" => match &record.old {
            Some(old) => item(old)?,
            None => return Ok(None),
        },
        "SequenceNumber" => View::Written(record.sequence_number().to_string()),
        "SizeBytes" => View::Number(record.encoded_size()? as f64),
        "StreamViewType" => View::Text(record.meta.view.name()),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tailrace_core::codec::encode_stored;
    use tailrace_core::{AttributeValue, EpochMs, Item, Number, RecordNo, ShardNo, ViewType};

    use super::*;
    use crate::streams::record_meta::RecordMeta;

    /// Leaves of a document with their paths; arrays are stepped through.
    fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                path.push(name.clone());
                leaves(value, path, found);
                path.pop();
            }),
            Value::Array(elements) => elements.iter().for_each(|element| leaves(element, path, found)),
            scalar => found.push((path.clone(), scalar.clone())),
        }
    }

    fn pattern_at(path: &[String], test: Value) -> Value {
        path.iter().rev().fold(json!([test]), |inner, name| json!({ name: inner }))
    }

    fn any_value() -> impl Strategy<Value = AttributeValue> {
        let number = || any::<i32>().prop_map(|number| Number::parse(&number.to_string()).unwrap());
        let scalar = prop_oneof![
            "[a-c]{0,3}".prop_map(AttributeValue::S),
            number().prop_map(AttributeValue::N),
            any::<[u8; 3]>().prop_map(|bytes| AttributeValue::B(bytes.to_vec())),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null),
            prop::collection::btree_set("[a-c]{1,2}", 1..3).prop_map(AttributeValue::Ss),
            prop::collection::btree_set(number(), 1..3).prop_map(AttributeValue::Ns),
            prop::collection::btree_set(any::<[u8; 2]>().prop_map(|bytes| bytes.to_vec()), 1..3)
                .prop_map(AttributeValue::Bs),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
                prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(AttributeValue::M),
            ]
        })
    }

    fn any_item() -> impl Strategy<Value = Item> {
        prop::collection::btree_map("[a-c]{1,2}", any_value(), 1..4)
    }

    proptest! {
        /// A filter says of the stored bytes what it says of the event that a function would get: at every place of the one
        /// event, and at the places of another.
        #[test]
        fn the_stored_record_is_filtered_as_its_event(
            items in prop::collection::vec(any_item(), 3),
            others in any_item(),
            (kind, view) in (0..3usize, 0..4usize),
            by_service in any::<bool>(),
        ) {
            let stored = |item: &Item| Bytes::from(encode_stored(item));
            let kind = [ChangeKind::Insert, ChangeKind::Modify, ChangeKind::Remove][kind];
            let view = ViewType::ALL[view];
            let record = StreamRecord {
                shard: ShardNo(3),
                number: RecordNo(77),
                time_ms: EpochMs(1_732_000_000_123),
                meta: RecordMeta { kind, view, by_service, caller: None, keys: stored(&items[0]) },
                old: view.has_old().then(|| stored(&items[1])),
                new: view.has_new().then(|| stored(&items[2])),
            };
            let writer = RecordWriter::of_directory("us-east-1", "d");
            let arn = StreamArn::new("arn:s");
            let event = |record: &StreamRecord| -> Value {
                let mut text = Vec::new();
                writer.write_event(record, &arn, &mut text).unwrap();
                serde_json::from_slice(&text).unwrap()
            };
            let written = event(&record);
            let mut found = Vec::new();
            leaves(&written, &mut Vec::new(), &mut found);
            let strange = StreamRecord { new: Some(stored(&others)), number: RecordNo(78), ..record.clone() };
            leaves(&event(&strange), &mut Vec::new(), &mut found);
            for (path, scalar) in found {
                for test in [scalar.clone(), json!({"exists": false}), json!({"anything-but": "a"}), json!("b")] {
                    let pattern = pattern_at(&path, test).to_string();
                    let filter = Filter::parse([pattern.as_str()].into_iter()).unwrap();
                    let of_event = filter.passes(&&written).unwrap();
                    prop_assert_eq!(writer.passes(&filter, &record, &arn).unwrap(), of_event, "{} of {}", pattern, written);
                }
            }
        }
    }
}
