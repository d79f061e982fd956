//! A change as the Kinesis destination of a table sends it. Source: docs/spec/sinks.md 5.
//!
//! Invariant: bytes and partition key are a function of the change, its table and the settings, so that a repeat is the same.

use md5::{Digest as _, Md5};
use tailrace_core::codec::StoredItem;
use tailrace_core::ids::uuid_text;
use tailrace_core::json_text::{JsonText, ValueForm};
use tailrace_engine::TimePrecision;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

use crate::objects::partition::record::is_ttl;

/// Bytes of a partition key: 32 hex digits.
pub(super) const PARTITION_KEY_BYTES: usize = 32;

/// What records go to one shard of the data stream by, and whose order is kept: the MD5 of the item's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PartitionKey([u8; 16]);

impl PartitionKey {
    /// That of a change: of the text of `Keys` in its record.
    pub fn of(record: &StreamRecord) -> Result<PartitionKey, StoreError> {
        let mut keys = Vec::new();
        item(&record.meta.keys, &mut keys)?;
        Ok(PartitionKey(Md5::digest(&keys).into()))
    }

    /// 32 hex digits in capitals, as AWS has them.
    pub fn text(self) -> String {
        format!("{:032X}", u128::from_be_bytes(self.0))
    }
}

/// Writes the record of a change.
pub(super) fn write(
    record: &StreamRecord,
    (writer, precision, table): (&RecordWriter, TimePrecision, &str),
    out: &mut impl JsonText,
) -> Result<(), StoreError> {
    out.raw(br#"{"awsRegion":"#);
    out.string(writer.region());
    out.raw(br#","eventID":""#);
    // The digits of the change's own: no other change has them.
    out.raw(uuid_text(u128::from_be_bytes(writer.event_id(record).0)).as_bytes());
    out.raw(br#"","eventName":""#);
    out.raw(record.meta.kind.name().as_bytes());
    out.raw(br#"","userIdentity":"#);
    out.raw(match is_ttl(record) {
        true => br#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
        false => b"null",
    });
    out.raw(br#","recordFormat":"application/json","tableName":"#);
    out.string(table);
    out.raw(br#","dynamodb":{"ApproximateCreationDateTime":"#);
    out.whole(match precision {
        TimePrecision::Millisecond => record.time_ms.0,
        TimePrecision::Microsecond => record.time_ms.0.saturating_mul(1000),
    });
    out.raw(br#","ApproximateCreationDateTimePrecision":""#);
    out.raw(precision.name().as_bytes());
    out.raw(br#"","Keys":"#);
    item(&record.meta.keys, out)?;
    for (name, image) in [("NewImage", &record.new), ("OldImage", &record.old)] {
        if let Some(image) = image {
            out.raw(b",");
            out.string(name);
            out.raw(b":");
            item(image, out)?;
        }
    }
    out.raw(br#","SizeBytes":"#);
    out.whole(record.size_bytes()? as u64);
    out.raw(br#"},"eventSource":"aws:dynamodb"}"#);
    Ok(())
}

fn item(stored: &[u8], out: &mut impl JsonText) -> Result<(), StoreError> {
    let written = StoredItem::new(stored).and_then(|item| item.write_json_as(ValueForm::DynamodbJson, out));
    written.map_err(|error| StoreError::Corrupt(format!("a stream record: {error}")))
}
