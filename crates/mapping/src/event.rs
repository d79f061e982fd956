//! A stream record as a function sees it: one element of the event's `Records`. Source: spec/event-source-mapping.md 6.
//!
//! Invariant: the same record gives the same bytes every time, its `eventID` included.

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tailrace_core::SequenceNumber;
use tailrace_core::codec::StoredItem;
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_engine::streams::record_meta::RecordMeta;
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
pub fn record(source: &StreamSource, logged: &LogRecord) -> Result<Record, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt(format!("stream record {} of {}: {what}", logged.lsn, source.arn));
    let meta = RecordMeta::decode(&logged.meta)?;
    let item = |bytes| StoredItem::new(bytes).map_err(|e| corrupt(e.to_string()));
    let keys = item(&meta.keys)?;
    let partition = keys.attribute(&source.partition_key).map_err(|e| corrupt(e.to_string()))?;
    let partition = partition.as_ref().and_then(key_value_bytes);
    let partition = partition.ok_or_else(|| corrupt(format!("no partition key {:?}", source.partition_key)))?;
    let image = |bytes: &'_ Option<Bytes>, wanted: bool| -> Option<Bytes> { bytes.clone().filter(|_| wanted) };
    let (old, new) = (image(&logged.old, meta.view.has_old()), image(&logged.new, meta.view.has_new()));
    let change = Change {
        created_s: logged.time_ms / 1000,
        keys: &keys,
        new: new.as_deref().map(item).transpose()?,
        old: old.as_deref().map(item).transpose()?,
        sequence_number: SequenceNumber(logged.lsn).to_string(),
        view: meta.view.name(),
    };
    let event = Event {
        id: format!("{:016x}{:016x}", source.id.0, logged.lsn.0),
        name: meta.kind.name(),
        by_service: meta.by_service,
        change,
        source,
    };
    let event = serde_json::to_vec(&event).map_err(|e| corrupt(e.to_string()))?;
    let key_hash = u64::from(partition_hash(&partition).lane);
    Ok(Record { lsn: logged.lsn, time_ms: logged.time_ms, key_hash, event: event.into() })
}

struct Event<'a> {
    id: String,
    name: &'static str,
    by_service: bool,
    change: Change<'a>,
    source: &'a StreamSource,
}

struct Change<'a> {
    created_s: u64,
    keys: &'a StoredItem<'a>,
    new: Option<StoredItem<'a>>,
    old: Option<StoredItem<'a>>,
    sequence_number: String,
    view: &'static str,
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("eventID", &self.id)?;
        map.serialize_entry("eventName", self.name)?;
        map.serialize_entry("eventVersion", "1.1")?;
        map.serialize_entry("eventSource", "aws:dynamodb")?;
        map.serialize_entry("awsRegion", &self.source.region)?;
        map.serialize_entry("dynamodb", &self.change)?;
        if self.by_service {
            map.serialize_entry("userIdentity", &Service)?;
        }
        map.serialize_entry("eventSourceARN", &self.source.arn)?;
        map.end()
    }
}

struct Service;

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "Service")?;
        map.serialize_entry("principalId", "dynamodb.amazonaws.com")?;
        map.end()
    }
}

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // Recorded events show a number with a fraction of zero.
        map.serialize_entry("ApproximateCreationDateTime", &(self.created_s as f64))?;
        map.serialize_entry("Keys", self.keys)?;
        let images = self.new.iter().chain(&self.old);
        let size = self.keys.size() + images.map(StoredItem::size).sum::<usize>();
        if let Some(new) = &self.new {
            map.serialize_entry("NewImage", new)?;
        }
        if let Some(old) = &self.old {
            map.serialize_entry("OldImage", old)?;
        }
        map.serialize_entry("SequenceNumber", &self.sequence_number)?;
        map.serialize_entry("SizeBytes", &size)?;
        map.serialize_entry("StreamViewType", self.view)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use tailrace_core::codec::encode_stored;
    use tailrace_core::{AttributeValue, Item, Lsn};
    use tailrace_engine::ViewType;
    use tailrace_engine::streams::record_meta::ChangeKind;
    use tailrace_store::StreamId;

    use super::*;

    /// Spec 6: members, their order, and the size rule of spec/streams.md 8.1 ("MODIFY both": 26).
    #[test]
    fn a_record_as_lambda_shows_it() {
        let item = |pairs: &[(&str, &str)]| -> Item {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), AttributeValue::S((*v).to_owned()))).collect()
        };
        let stored = |pairs| Bytes::from(encode_stored(&item(pairs)));
        let (kind, view) = (ChangeKind::Modify, ViewType::NewAndOldImages);
        let meta = RecordMeta { kind, view, by_service: true, keys: stored(&[("id", "Fred")]) }.encode();
        let (old, new) = (stored(&[("id", "Fred")]), stored(&[("id", "Fred"), ("name", "Fred")]));
        let logged = LogRecord { lsn: Lsn(42), time_ms: 1_732_000_000_999, meta, old: Some(old), new: Some(new) };
        let source = StreamSource {
            id: StreamId(3),
            arn: "arn:aws:dynamodb:us-east-1:000000000000:table/T/stream/L".into(),
            partition_key: "id".into(),
            region: "us-east-1".into(),
        };
        let record = record(&source, &logged).expect("a record");
        let expected = concat!(
            r#"{"Records":[{"eventID":"0000000000000003000000000000002a","eventName":"MODIFY","eventVersion":"1.1","#,
            r#""eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1732000000.0,"#,
            r#""Keys":{"id":{"S":"Fred"}},"NewImage":{"id":{"S":"Fred"},"name":{"S":"Fred"}},"OldImage":{"id":{"S":"Fred"}},"#,
            r#""SequenceNumber":"100000000000000000042","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},"#,
            r#""userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},"#,
            r#""eventSourceARN":"arn:aws:dynamodb:us-east-1:000000000000:table/T/stream/L"}]}"#
        );
        assert_eq!(String::from_utf8_lossy(&envelope(&[record])), expected);
    }
}
