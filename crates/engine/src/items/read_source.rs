//! What a query or a scan reads: the items of a table, or the entries of one of its indexes.
//!
//! It knows the key that the rows lie under, and so what a key condition and a start key mean, and what the rows hold.
//! Source: docs/spec/dynamodb-api.md 5.3, 5.4, 5.5, 8.1.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::PARAMETER_VALUES;
use tailrace_api::items::{ItemProjection, PageRequest};
use tailrace_core::codec::StoredItem;
use tailrace_core::expr::{RangeCondition, ResolvedKeyCondition};
use tailrace_core::index_key::{KeyValue, above_prefix, partition_bytes, push_sort_prefix, push_sort_value};
use tailrace_core::key::{KeyAttribute, key_value_bytes, partition_hash};
use tailrace_core::limits::ECHOED_VALUE_BYTES_MAX;
use tailrace_core::{ApiError, AttributeValue, ErrorCode, IndexId, Item};
use tailrace_store::keyspace::{ItemKey, ItemSet, SortBounds};
use tailrace_store::{Key, KeyRange};

use super::read::filter_paths;
use super::stored_item::corrupt;
use crate::table::Table;
use crate::tables::index::{Index, IndexKind, IndexProjection, IndexStatus};

/// The items of a table, or the entries of one of its indexes.
#[derive(Clone, Copy)]
pub(crate) struct ReadSource<'t> {
    pub table: &'t Table,
    pub index: Option<&'t Index>,
}

impl<'t> ReadSource<'t> {
    /// What `IndexName` means.
    ///
    /// # Errors
    /// There is no such index, or it cannot be read, or not so.
    pub fn find(table: &'t Table, name: Option<&str>, page: &PageRequest) -> Result<ReadSource<'t>, ApiError> {
        let Some(name) = name else { return Ok(ReadSource { table, index: None }) };
        let Some(index) = table.live_indexes().find(|index| index.name == name) else {
            // The text repeats a long name to a bound.
            let name = &name[..name.floor_char_boundary(ECHOED_VALUE_BYTES_MAX)];
            return Err(ApiError::validation(format!("The table does not have the specified index: {name}")));
        };
        if index.status == IndexStatus::Creating {
            let text = format!("Cannot read from backfilling global secondary index: {name}");
            return Err(ApiError::validation(text));
        }
        if page.consistent_read && index.kind == IndexKind::Global {
            return Err(ApiError::validation("Consistent reads are not supported on global secondary indexes"));
        }
        Ok(ReadSource { table, index: Some(index) })
    }

    /// The rows.
    pub fn set(&self) -> ItemSet {
        let index = self.index.map_or(IndexId::TABLE, |index| index.id);
        ItemSet { table: self.table.id, index }
    }

    /// The attributes of the partition key.
    pub fn hash(&self) -> &'t [KeyAttribute] {
        match self.index {
            Some(index) => &index.hash,
            None => std::slice::from_ref(&self.table.key.hash),
        }
    }

    /// The attributes of the sort key.
    pub fn range(&self) -> &'t [KeyAttribute] {
        match self.index {
            Some(index) => &index.range,
            None => self.table.key.range.as_slice(),
        }
    }

    /// Whether it is an attribute of the key that the rows lie under.
    pub fn has_key(&self, name: &str) -> bool {
        self.hash().iter().chain(self.range()).any(|key| key.name == name)
    }

    /// The attributes of a page's keys: those of the index, then those of the table that are none of them.
    pub fn cursor(&self) -> Vec<&'t KeyAttribute> {
        let mut attributes: Vec<&KeyAttribute> = self.hash().iter().chain(self.range()).collect();
        for key in self.table.key.attributes() {
            if !attributes.iter().any(|attribute| attribute.name == key.name) {
                attributes.push(key);
            }
        }
        attributes
    }

    /// Whether the rows hold an attribute of this name, if the item has it.
    pub fn holds(&self, name: &str) -> bool {
        let Some(index) = self.index else { return true };
        match &index.projection {
            IndexProjection::All => true,
            IndexProjection::KeysOnly => self.is_cursor(name),
            IndexProjection::Include(included) => {
                self.is_cursor(name) || included.iter().any(|included| included == name)
            }
        }
    }

    fn is_cursor(&self, name: &str) -> bool {
        self.has_key(name) || self.table.key.contains(name)
    }

    /// The names among these that the rows do not hold, each once, ascending.
    fn not_held<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
        let mut names: Vec<&str> = names.filter(|name| !self.holds(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a page's items must be fetched from the table, because the index does not hold what is asked for. `filters`: an
    /// attribute that only the filter names counts too.
    ///
    /// # Errors
    /// A global index never fetches.
    pub fn fetches(&self, page: &PageRequest, filters: bool) -> Result<bool, ApiError> {
        let Some(index) = self.index else { return Ok(false) };
        let is_global = index.kind == IndexKind::Global;
        if page.all_attributes && index.projection != IndexProjection::All {
            if is_global {
                return Err(ApiError::validation(format!(
                    "{PARAMETER_VALUES}Select type ALL_ATTRIBUTES is not supported for global secondary index {} because \
                     its projection type is not ALL",
                    index.name
                )));
            }
            return Ok(true);
        }
        let missing = match &page.projection {
            ItemProjection::Whole => Vec::new(),
            ItemProjection::Paths(projection) => self.not_held(projection.paths().iter().map(|path| path.head())),
            ItemProjection::Attributes(names) => self.not_held(names.iter().map(String::as_str)),
        };
        if is_global && !missing.is_empty() {
            return Err(ApiError::validation(format!(
                "{PARAMETER_VALUES}Global secondary index {} does not project [{}]",
                index.name,
                missing.join(", ")
            )));
        }
        let filtered = filters && !is_global && !self.not_held_by_filter(page).is_empty();
        Ok(!missing.is_empty() || filtered)
    }

    /// Refuses a filter on attributes that the index does not hold.
    ///
    /// # Errors
    /// There are such attributes.
    pub fn check_filter_is_held(&self, page: &PageRequest) -> Result<(), ApiError> {
        let missing = self.not_held_by_filter(page);
        match self.index {
            Some(index) if !missing.is_empty() => Err(ApiError::validation(format!(
                "{PARAMETER_VALUES}Secondary index {} does not project one or more filter attributes: [{}]",
                index.name,
                missing.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    /// What is shown of an item that was fetched: what the index holds, unless something else is asked for.
    pub fn shown(&self, projection: ItemProjection) -> ItemProjection {
        match (projection, self.index) {
            (ItemProjection::Whole, Some(index)) if index.projection != IndexProjection::All => {
                let mut names: Vec<String> = self.cursor().into_iter().map(|key| key.name.clone()).collect();
                if let IndexProjection::Include(included) = &index.projection {
                    names.extend(included.iter().cloned());
                }
                ItemProjection::Attributes(names)
            }
            (projection, _) => projection,
        }
    }

    fn not_held_by_filter<'p>(&self, page: &'p PageRequest) -> Vec<&'p str> {
        self.not_held(filter_paths(page).into_iter().map(|path| path.head()))
    }

    /// The rows that a key condition means, ascending.
    pub fn range_of(&self, condition: &ResolvedKeyCondition) -> KeyRange {
        let hash: Vec<Vec<u8>> = condition.hash.iter().map(bytes).collect();
        let partition = partition_bytes(&key_values(self.hash(), &hash));
        let bucket = partition_hash(&partition).bucket;
        let rows = |bounds: SortBounds<'_>| ItemKey::sort_range(self.set(), bucket, &partition, &bounds);
        let bounds = match self.index {
            None => table_bounds(condition.range.as_ref()),
            Some(_) => self.entry_bounds(condition),
        };
        match bounds {
            Bounds::All => ItemKey::partition_range(self.set(), bucket, &partition),
            Bounds::Between(start, end) => rows(SortBounds::Between(as_bytes(&start), as_bytes(&end))),
            Bounds::BeginsWith(prefix) => rows(SortBounds::BeginsWith(&prefix)),
        }
    }

    /// Bounds of the sort part of an index's entries.
    fn entry_bounds(&self, condition: &ResolvedKeyCondition) -> Bounds {
        let mut before = Vec::new();
        for (key, value) in self.range().iter().zip(&condition.equal) {
            push_sort_value(KeyValue { scalar: key.scalar, bytes: &bytes(value) }, &mut before);
        }
        let (Some(range), Some(key)) = (&condition.range, self.range().get(condition.equal.len())) else {
            return Bounds::All;
        };
        let with = |value: &Arc<AttributeValue>, push: fn(KeyValue<'_>, &mut Vec<u8>)| {
            let mut out = before.clone();
            push(KeyValue { scalar: key.scalar, bytes: &bytes(value) }, &mut out);
            out
        };
        // The entries that have the value all begin with its bytes.
        let at = |value| with(value, push_sort_value);
        let above = |value| above_prefix(at(value));
        let first = || Bound::Included(before.clone());
        let last = || if before.is_empty() { Bound::Unbounded } else { Bound::Excluded(above_prefix(before.clone())) };
        match range {
            RangeCondition::Equal(value) => Bounds::BeginsWith(at(value)),
            RangeCondition::Less(value) => Bounds::Between(first(), Bound::Excluded(at(value))),
            RangeCondition::LessEqual(value) => Bounds::Between(first(), Bound::Excluded(above(value))),
            RangeCondition::Greater(value) => Bounds::Between(Bound::Included(above(value)), last()),
            RangeCondition::GreaterEqual(value) => Bounds::Between(Bound::Included(at(value)), last()),
            RangeCondition::Between(lower, upper) => {
                Bounds::Between(Bound::Included(at(lower)), Bound::Excluded(above(upper)))
            }
            RangeCondition::BeginsWith(prefix) => Bounds::BeginsWith(with(prefix, push_sort_prefix)),
        }
    }

    /// The key that a page ends with, of its last row.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn key_of_row(&self, key: &Key, value: &Bytes) -> Result<Item, ApiError> {
        if self.index.is_none() {
            let row = ItemKey::decode(key);
            let key = row.and_then(|row| self.table.key.read_key(&row.partition, &row.sort));
            return key.ok_or_else(|| corrupt_key(self.table));
        }
        self.attributes_of(value, &self.cursor())
    }

    /// The row of the item that an entry is of.
    ///
    /// # Errors
    /// The entry cannot be read.
    pub fn item_row(&self, entry: &Bytes) -> Result<Key, ApiError> {
        let key = self.attributes_of(entry, &self.table.key.attributes().collect::<Vec<_>>())?;
        let key = self.table.key.bytes_of_key(&key).map_err(|_| corrupt_key(self.table))?;
        Ok(ItemKey::key(self.table.id, key.hash().bucket, &key.partition, &key.sort))
    }

    fn attributes_of(&self, value: &Bytes, attributes: &[&KeyAttribute]) -> Result<Item, ApiError> {
        let stored = StoredItem::new(value).map_err(corrupt)?;
        let attribute = |key: &&KeyAttribute| {
            let value = stored.attribute(&key.name).map_err(corrupt)?;
            Ok((key.name.clone(), value.ok_or_else(|| corrupt_key(self.table))?))
        };
        attributes.iter().map(attribute).collect()
    }
}

/// The values of key attributes that have these bytes.
pub(super) fn key_values<'v>(attributes: &[KeyAttribute], values: &'v [Vec<u8>]) -> Vec<KeyValue<'v>> {
    attributes.iter().zip(values).map(|(key, bytes)| KeyValue { scalar: key.scalar, bytes }).collect()
}

/// Bounds of sort keys, by their bytes.
enum Bounds {
    All,
    Between(Bound<Vec<u8>>, Bound<Vec<u8>>),
    BeginsWith(Vec<u8>),
}

fn as_bytes(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// Bounds of the sort keys of a table's items.
fn table_bounds(range: Option<&RangeCondition>) -> Bounds {
    let Some(range) = range else { return Bounds::All };
    let included = |value| Bound::Included(bytes(value));
    let excluded = |value| Bound::Excluded(bytes(value));
    match range {
        RangeCondition::Equal(value) => Bounds::Between(included(value), included(value)),
        RangeCondition::Less(value) => Bounds::Between(Bound::Unbounded, excluded(value)),
        RangeCondition::LessEqual(value) => Bounds::Between(Bound::Unbounded, included(value)),
        RangeCondition::Greater(value) => Bounds::Between(excluded(value), Bound::Unbounded),
        RangeCondition::GreaterEqual(value) => Bounds::Between(included(value), Bound::Unbounded),
        RangeCondition::Between(lower, upper) => Bounds::Between(included(lower), included(upper)),
        RangeCondition::BeginsWith(prefix) => Bounds::BeginsWith(bytes(prefix)),
    }
}

fn bytes(value: &Arc<AttributeValue>) -> Vec<u8> {
    key_value_bytes(value).expect("invariant: a resolved key condition has values of the schema's types")
}

fn corrupt_key(table: &Table) -> ApiError {
    tracing::error!(table = table.name, "the key of a stored item is corrupt");
    ApiError::new(ErrorCode::InternalServerError, "the key of a stored item is corrupt")
}
