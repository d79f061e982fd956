//! `ExclusiveStartKey` against what is read. Source: docs/spec/dynamodb-api.md 5.5.

use tailrace_api::items::INVALID_START_KEY;
use tailrace_core::expr::ResolvedKeyCondition;
use tailrace_core::key::{KeyAttribute, KeyError, ScalarType, key_value_bytes};
use tailrace_core::limits::{HASH_KEY_BYTES_MAX, RANGE_KEY_BYTES_MAX};
use tailrace_core::{ApiError, Bucket, Item};
use tailrace_store::Key;
use tailrace_store::keyspace::ItemKey;

use super::index_entries::entry_key;
use super::index_key_errors::{IndexKeyError, IndexKeyFault, IndexKeySource};
use super::key_errors::key_map_error;
use super::read_source::{ReadSource, key_values};
use crate::tables::index::Index;

/// What a start key that is no key of what is read is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MismatchText {
    /// That it is invalid.
    Short,
    /// And that it does not match the schema: a scan in the older wording.
    Long,
}

/// The place that a start key means: the row there need not exist.
pub(crate) struct StartPlace {
    /// The key of the row.
    pub row: Key,
    /// The bucket of the partition.
    pub bucket: Bucket,
}

/// The place of a start key.
///
/// # Errors
/// It is no key of what is read.
pub(crate) fn start_place(source: &ReadSource<'_>, key: &Item, text: MismatchText) -> Result<StartPlace, ApiError> {
    let row = match source.index {
        Some(index) => entry_row(source, index, key),
        None => {
            let bytes = source.table.key.bytes_of_key(key);
            bytes.map(|bytes| ItemKey::key(source.table.id, bytes.hash().bucket, &bytes.partition, &bytes.sort))
        }
    };
    let row = row.map_err(|error| match error {
        KeyError::Missing { .. } | KeyError::Type { .. } | KeyError::Superfluous => match text {
            MismatchText::Short => ApiError::validation(INVALID_START_KEY),
            MismatchText::Long => {
                ApiError::validation(format!("{INVALID_START_KEY}: The provided key element does not match the schema"))
            }
        },
        KeyError::Empty { name, scalar } => match index_key(source, &name) {
            Some((index, attribute)) => {
                IndexKeyError::new(index, attribute, IndexKeyFault::Empty(scalar)).into_api(IndexKeySource::Put)
            }
            None => key_map_error(KeyError::Empty { name, scalar }),
        },
        other => key_map_error(other),
    })?;
    let bucket = ItemKey::decode(&row).expect("invariant: the key of an item was made above").bucket;
    Ok(StartPlace { row, bucket })
}

/// The attribute of this name, if it is a key of the index that is read and not of the table.
fn index_key<'a>(source: &ReadSource<'a>, name: &str) -> Option<(&'a Index, &'a KeyAttribute)> {
    let index = source.index?;
    let attribute = index.hash.iter().chain(&index.range).find(|attribute| attribute.name == name)?;
    (!source.table.key.contains(name)).then_some((index, attribute))
}

/// The row of an index's entry, from the key attributes of the index and the table.
fn entry_row(source: &ReadSource<'_>, index: &Index, key: &Item) -> Result<Key, KeyError> {
    let hash = values(&index.hash, key, HASH_KEY_BYTES_MAX, KeyError::HashTooLong)?;
    let range = values(&index.range, key, RANGE_KEY_BYTES_MAX, KeyError::RangeTooLong)?;
    let item = source.table.key.bytes_of_item(key)?;
    if key.len() != source.cursor().len() {
        return Err(KeyError::Superfluous);
    }
    Ok(entry_key(source.table, index, &key_values(&index.hash, &hash), &key_values(&index.range, &range), &item))
}

fn values(
    attributes: &[KeyAttribute],
    key: &Item,
    bytes_max: usize,
    too_long: KeyError,
) -> Result<Vec<Vec<u8>>, KeyError> {
    let mut values = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let value = key.get(&attribute.name).ok_or_else(|| KeyError::Missing { name: attribute.name.clone() })?;
        attribute.check(value)?;
        values.push(key_value_bytes(value).expect("invariant: the value's type was checked"));
    }
    let sized = attributes.iter().zip(&values).filter(|(attribute, _)| attribute.scalar != ScalarType::N);
    let bytes: usize = sized.map(|(_, value)| value.len()).sum();
    if bytes > bytes_max { Err(too_long) } else { Ok(values) }
}

/// A query can only go on inside what it reads.
///
/// # Errors
/// The key lies outside of it.
pub(crate) fn check_within_query(
    source: &ReadSource<'_>,
    key: &Item,
    condition: &ResolvedKeyCondition,
) -> Result<(), ApiError> {
    let is = |attribute: &KeyAttribute, value| key.get(&attribute.name) == Some(value);
    let same_partition = source.hash().iter().zip(&condition.hash).all(|(attribute, value)| is(attribute, value));
    let in_range = condition.range.as_ref().map(|range| {
        let equal = source.range().iter().zip(&condition.equal).all(|(attribute, value)| is(attribute, value));
        let last = source.range().get(condition.equal.len()).and_then(|attribute| key.get(&attribute.name));
        equal && last.is_some_and(|value| range.matches(value))
    });
    let text = match (same_partition, in_range) {
        (_, Some(false)) => "The provided starting key does not match the range key predicate",
        (true, _) => return Ok(()),
        (false, None) => "The provided starting key is outside query boundaries based on provided conditions",
        (false, Some(true)) => "The query can return at most one row and cannot be restarted",
    };
    Err(ApiError::validation(text))
}

/// A scan of a segment can only go on inside the segment.
pub(crate) fn wrong_segment(segment: u32, total: u32) -> ApiError {
    ApiError::validation(format!(
        "{INVALID_START_KEY}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. \
         TotalSegments: {total} Segment: {segment}"
    ))
}
