//! The rows of mappings: their stored form, and the commits that make, change and remove one.
//!
//! Invariants: a stream and a function have one mapping, since the row of its name is declared by every commit that makes or
//! renames one; a mapping is changed only from what whoever changes it has seen.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, FunctionArn, FunctionReference, MappingId, StartingPosition};
use tailrace_delivery::{Rules, each, read_row};
use tailrace_engine::Caller;
use tailrace_engine::control::{self, Action};
use tailrace_store::keyspace::{MappingKey, MappingNameKey};
use tailrace_store::{Decision, Engine, Key, Reads, StoreError, Write, commit};

use crate::config::{Mapping, StreamSource};
use crate::tags::Tags;

/// The version of both rows.
const ROW_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Row {
    v: u32,
    uuid: String,
    function: String,
    function_arn: FunctionArn,
    source: StreamSource,
    starting_position: StartingPosition,
    enabled: bool,
    deleting: bool,
    modified_ms: EpochMs,
    report_failures: bool,
    #[serde(default)]
    bare_records: bool,
    #[serde(default)]
    filters: Vec<String>,
    #[serde(default)]
    metrics: Vec<String>,
    #[serde(default)]
    kms_key_arn: Option<String>,
    #[serde(default)]
    tags: Tags,
    rules: Rules,
}

/// The value of a name's row.
#[derive(Serialize, Deserialize)]
struct NameRow {
    v: u32,
    uuid: String,
}

fn read_uuid(text: &str) -> Result<MappingId, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("an event source mapping with the uuid {text:?}"));
    MappingId::parse(text).ok_or_else(corrupt)
}

fn write(row: &impl Serialize) -> Bytes {
    serde_json::to_vec(row).expect("invariant: a row has only string keys").into()
}

/// The value of a mapping's row.
pub(crate) fn encode(mapping: &Mapping) -> Bytes {
    let Mapping {
        id: _,
        function,
        source,
        starting_position,
        enabled,
        deleting,
        modified_ms,
        report_failures,
        bare_records,
        filters,
        metrics,
        kms_key_arn,
        tags,
        rules,
    } = mapping.clone();
    let FunctionReference { name, arn } = function;
    write(&Row {
        v: ROW_VERSION,
        uuid: mapping.uuid(),
        function: name,
        function_arn: arn,
        source,
        starting_position,
        enabled,
        deleting,
        modified_ms,
        report_failures,
        bare_records,
        filters,
        metrics,
        kms_key_arn,
        tags,
        rules,
    })
}

/// Reads a mapping's row.
pub(crate) fn decode(bytes: &[u8]) -> Result<Mapping, StoreError> {
    let row: Row = read_row("an event source mapping's row", ROW_VERSION, bytes)?;
    Ok(Mapping {
        id: read_uuid(&row.uuid)?,
        function: FunctionReference { name: row.function, arn: row.function_arn },
        source: row.source,
        starting_position: row.starting_position,
        enabled: row.enabled,
        deleting: row.deleting,
        modified_ms: row.modified_ms,
        report_failures: row.report_failures,
        bare_records: row.bare_records,
        filters: row.filters,
        metrics: row.metrics,
        kms_key_arn: row.kms_key_arn,
        tags: row.tags,
        rules: row.rules,
    })
}

/// The key of a mapping's row.
pub(crate) fn key(mapping: MappingId) -> Key {
    MappingKey { mapping }.encode()
}

fn name_key(mapping: &Mapping) -> Key {
    let (source_arn, function_arn) = (mapping.source.arn.clone(), mapping.function.arn.clone());
    MappingNameKey { source_arn, function_arn }.encode()
}

fn name_value(mapping: &Mapping) -> Bytes {
    write(&NameRow { v: ROW_VERSION, uuid: mapping.uuid() })
}

fn named(value: &[u8]) -> Result<MappingId, StoreError> {
    let NameRow { uuid, .. } = read_row("the name of an event source mapping", ROW_VERSION, value)?;
    read_uuid(&uuid)
}

/// A mapping with the bytes of its row.
pub(crate) type Stored = (Mapping, Bytes);

/// What became of a commit that makes or changes a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is done; these are the row's bytes.
    Done(Bytes),
    /// Another mapping has the stream and the function.
    Taken(MappingId),
    /// The row is not what the caller has seen.
    Changed,
}

pub(crate) async fn all(store: &dyn Engine) -> Result<Vec<Stored>, StoreError> {
    let mut mappings = Vec::new();
    each(store, MappingKey::range(), |_, value| {
        mappings.push((decode(&value)?, value));
        Ok(())
    })
    .await?;
    Ok(mappings)
}

pub(crate) async fn get(store: &dyn Engine, mapping: MappingId) -> Result<Option<Stored>, StoreError> {
    let value = store.get(&[key(mapping)]).await?.pop().flatten();
    value.map(|value| Ok((decode(&value)?, value))).transpose()
}

/// Makes a mapping, with `beside` in the same commit.
pub(crate) async fn create(store: &dyn Engine, mapping: &Mapping, beside: &[(Key, Bytes)]) -> Result<Put, StoreError> {
    let value = encode(mapping);
    let mut puts = vec![(name_key(mapping), name_value(mapping)), (key(mapping.id), value.clone())];
    puts.extend_from_slice(beside);
    let keys: Vec<Key> = puts.iter().map(|(key, _)| key.clone()).collect();
    let shared = [control::key()];
    let committed = commit(store, &shared, &keys, |reads| match reads.exclusive[0].as_deref().map(named).transpose() {
        Err(error) => Decision::Reject(Err(error)),
        Ok(Some(other)) => Decision::Reject(Ok(Put::Taken(other))),
        Ok(None) => {
            let record = action("CreateEventSourceMapping", mapping, reads, None, Some(&value));
            Decision::Apply(puts.iter().map(put).chain(record).collect(), Ok(Put::Done(value.clone())))
        }
    });
    committed.await?.answer
}

/// The record of the control stream that tells of a change; of who asked for it nothing is known here.
fn action(
    name: &str,
    mapping: &Mapping,
    reads: &Reads<'_>,
    before: Option<&Bytes>,
    after: Option<&Bytes>,
) -> Option<Write> {
    let resource = format!("event-source-mapping/{}", mapping.uuid());
    let (before, after) = (before.map(|row| &row[..]), after.map(|row| &row[..]));
    control::record(reads.shared[0].as_ref(), &Action { name, resource: &resource, before, after }, &Caller::default())
}

/// Makes `before`, as its row was seen, `after`. The stream stays; the function may change.
pub(crate) async fn change(store: &dyn Engine, (before, seen): &Stored, after: &Mapping) -> Result<Put, StoreError> {
    let value = encode(after);
    let mut keys = vec![key(after.id)];
    let mut writes = vec![put(&(key(after.id), value.clone()))];
    let renamed = name_key(before) != name_key(after);
    if renamed {
        keys.extend([name_key(after), name_key(before)]);
        writes.push(put(&(name_key(after), name_value(after))));
        writes.push(Write::Delete { key: name_key(before) });
    }
    let name = match (before.deleting, after.deleting) {
        (false, true) => "DeleteEventSourceMapping",
        _ => "UpdateEventSourceMapping",
    };
    let shared = [control::key()];
    let committed = commit(store, &shared, &keys, |reads| {
        if reads.exclusive[0].as_ref() != Some(seen) {
            return Decision::Reject(Ok(Put::Changed));
        }
        let other = reads.exclusive[1..].first().and_then(|name| name.as_deref());
        match other.map(named).transpose() {
            Err(error) => Decision::Reject(Err(error)),
            Ok(Some(other)) => Decision::Reject(Ok(Put::Taken(other))),
            Ok(None) => {
                let record = action(name, after, reads, Some(seen), Some(&value));
                Decision::Apply(writes.iter().cloned().chain(record).collect(), Ok(Put::Done(value.clone())))
            }
        }
    });
    committed.await?.answer
}

/// Removes a mapping's row and its name.
pub(crate) async fn delete(store: &dyn Engine, mapping: &Mapping) -> Result<(), StoreError> {
    let keys = [key(mapping.id), name_key(mapping)];
    let deletes = || keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
    commit(store, &[], &keys, |_| Decision::Apply(deletes(), ())).await?;
    Ok(())
}

fn put((key, value): &(Key, Bytes)) -> Write {
    Write::Put { key: key.clone(), value: value.clone() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tailrace_core::{StreamArn, StreamId};

    use std::time::Duration;

    use super::*;

    proptest! {
        #[test]
        fn a_mapping_and_its_name_read_back(
            (id, stream, modified_ms) in any::<(u128, u64, u64)>(),
            (enabled, deleting, report_failures, bare_records, bisect, latest) in any::<(bool, bool, bool, bool, bool, bool)>(),
            (batch, window_ms, lanes) in any::<(u32, u64, u16)>(),
            (retries_max, record_age_ms_max) in any::<(Option<u32>, Option<u64>)>(),
            (parked_records_max, parked_bytes_max) in any::<(u64, u64)>(),
            (filters, metrics) in (prop::collection::vec(".*", 0..3), prop::collection::vec(".*", 0..3)),
            (kms_key_arn, tags) in (any::<Option<String>>(), prop::collection::btree_map(".*", ".*", 0..3)),
            tumbling_window_ms in any::<Option<u64>>(),
            name in ".*",
            arn in ".*",
        ) {
            let rules = Rules {
                batch_records_max: batch as usize, window: Duration::from_millis(window_ms), lanes, retries_max,
                record_age_max: record_age_ms_max.map(Duration::from_millis), bisect,
                tumbling_window: tumbling_window_ms.map(Duration::from_millis), parked_records_max, parked_bytes_max,
                ..Rules::default()
            };
            let source = StreamSource { id: StreamId(stream), arn: StreamArn::new(arn.clone()), partition_key: name.clone() };
            let starting_position = if latest { StartingPosition::Latest } else { StartingPosition::TrimHorizon };
            let function = FunctionReference { name, arn: FunctionArn::new(arn) };
            let mapping = Mapping {
                id: MappingId(id), function, source, starting_position, enabled, deleting, modified_ms: EpochMs(modified_ms),
                report_failures, bare_records, filters, metrics, kms_key_arn, tags, rules,
            };
            prop_assert_eq!(decode(&encode(&mapping)).unwrap(), mapping.clone());
            prop_assert_eq!(named(&name_value(&mapping)).unwrap(), mapping.id);
        }
    }

    #[test]
    fn a_newer_row_and_damage_are_named() {
        for stored in [r#"{"v":2,"shape":"unknown"}"#, "{", r#"{"v":1}"#, r#"{"v":1,"uuid":"no"}"#] {
            assert!(matches!(decode(stored.as_bytes()), Err(StoreError::Corrupt(_))), "{stored}");
            assert!(matches!(named(stored.as_bytes()), Err(StoreError::Corrupt(_))), "{stored}");
        }
    }
}
