//! The entries of an item in the indexes of its table, and how they change with it. Pure. docs/format.md, Index entries.
//!
//! Invariants: an item has an entry in an index exactly if it has every key attribute of it, of the right type and size; an
//! entry that is there and stays as it is, is not written; of a stored item only what is needed is looked at, and nothing decoded.

use std::collections::BTreeSet;

use bytes::Bytes;
use smallvec::SmallVec;
use tailrace_core::codec::{EncodedAttribute, StoredItem, push_picked, stored_size};
use tailrace_core::index_key::{KeyValue, partition_bytes, push_item_key, push_sort_value};
use tailrace_core::key::{KeyBytes, ScalarType, partition_hash};
use tailrace_core::limits::ITEM_BYTES_MAX;
use tailrace_core::{ApiError, ErrorCode, Number};
use tailrace_store::keyspace::{ItemKey, ItemSet};
use tailrace_store::{Key, Write};

use super::index_key_errors::{IndexKeyError, IndexKeyFault, KeyPart};
use super::stored_item::corrupt;
use crate::table::Table;
use crate::tables::index::{Index, IndexKind, IndexProjection};

/// An entry: its key, and the stored item that a read of the index shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: Key,
    pub value: Bytes,
}

/// How an item's entry in an index changes: there is one of the two at least. They differ, but in an index that is being filled,
/// where the one before may not have been entered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryChange<'t> {
    pub index: &'t Index,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

/// Why an item's entries cannot be told.
#[derive(Clone, Debug)]
pub(crate) enum EntriesError {
    /// The item cannot be read.
    Corrupt(ApiError),
    /// It must not be stored: a key attribute of an index has a value that no key has.
    Key(IndexKeyError),
    /// It must not be stored: with its entries in local indexes it is over the limit of an item.
    TooLarge,
}

/// The key and the value of an item's entry in an index of its table; `None`: it has none, because a key attribute is not there,
/// or is none that the index takes.
///
/// # Errors
/// The item cannot be read.
pub(crate) fn entries_of(index: &Index, stored: &Bytes, table: &Table) -> Result<Option<(Key, Bytes)>, ApiError> {
    let names = names(table, std::iter::once(index));
    let parts = Parts::of(&names, stored)?;
    let Ok(Some(values)) = parts.key_values(index)? else { return Ok(None) };
    let entry = parts.entry(table, index, &values)?;
    Ok(Some((entry.key, entry.value)))
}

/// Makes the entries of many items in an index, as [`entries_of`] makes one, in one piece of memory.
pub(crate) struct EntryWriter<'t> {
    table: &'t Table,
    index: &'t Index,
    names: Vec<&'t str>,
    bytes: Vec<u8>,
    /// Where the key and the value of each end.
    ends: Vec<(usize, usize)>,
}

impl<'t> EntryWriter<'t> {
    /// One for about so many bytes.
    pub fn new(table: &'t Table, index: &'t Index, bytes: usize) -> EntryWriter<'t> {
        let names = names(table, std::iter::once(index));
        EntryWriter { table, index, names, bytes: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    /// Makes the entry of an item. False: it has none.
    ///
    /// # Errors
    /// The item cannot be read.
    pub fn push(&mut self, stored: &Bytes) -> Result<bool, ApiError> {
        let start = self.bytes.len();
        let pushed = self.try_push(stored);
        if pushed.is_err() {
            self.bytes.truncate(start);
        }
        pushed
    }

    fn try_push(&mut self, stored: &Bytes) -> Result<bool, ApiError> {
        let parts = Parts::of(&self.names, stored)?;
        let Ok(Some(values)) = parts.key_values(self.index)? else { return Ok(false) };
        parts.push_key(self.table, self.index, &values, &mut self.bytes)?;
        let key_end = self.bytes.len();
        // Also where it is the item itself, which lies among others that would stay in memory with it.
        parts.push_value(self.table, self.index, &mut self.bytes)?;
        self.ends.push((key_end, self.bytes.len()));
        Ok(true)
    }

    /// The entries, in the order of their items.
    pub fn finish(self) -> Vec<Entry> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let entry = |(key, value): (usize, usize)| {
            let from = std::mem::replace(&mut start, value);
            Entry { key: Key(bytes.slice(from..key)), value: bytes.slice(key..value) }
        };
        self.ends.into_iter().map(entry).collect()
    }
}

/// Refuses an item that an index of its table cannot take.
///
/// # Errors
/// The first fault, or the item cannot be read.
pub(crate) fn check_index_keys(table: &Table, stored: &Bytes) -> Result<(), EntriesError> {
    if table.indexes.is_empty() {
        return Ok(());
    }
    let mut names: Vec<&str> =
        table.live_indexes().flat_map(Index::attributes).map(|attribute| attribute.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let parts = Parts::of(&names, stored).map_err(EntriesError::Corrupt)?;
    for index in table.live_indexes() {
        if let Err(error) = parts.key_values(index).map_err(EntriesError::Corrupt)? {
            return Err(told_first(table, Some(&parts), error));
        }
    }
    check_local_size(table, stored)
}

/// Refuses an item that is too large together with its entries in the local indexes. Source: docs/spec/dynamodb-api.md 3.4.
///
/// # Errors
/// [`EntriesError::TooLarge`], or the item cannot be read.
fn check_local_size(table: &Table, stored: &Bytes) -> Result<(), EntriesError> {
    let local = || table.live_indexes().filter(|index| index.kind == IndexKind::Local);
    let mut size = stored_size(stored);
    // An entry is no larger than its item, so few items need a closer look.
    if size * (1 + local().count()) <= ITEM_BYTES_MAX {
        return Ok(());
    }
    for index in local() {
        let entry = entries_of(index, stored, table).map_err(EntriesError::Corrupt)?;
        size += entry.map_or(0, |(_, value)| stored_size(&value));
    }
    if size > ITEM_BYTES_MAX { Err(EntriesError::TooLarge) } else { Ok(()) }
}

/// What becomes of the entries of an item that changes from `old` to `new`, which differ.
///
/// # Errors
/// The new item is one that an index cannot take, or one of them cannot be read.
pub(crate) fn entry_changes<'t>(
    table: &'t Table,
    old: Option<&Bytes>,
    new: Option<&Bytes>,
) -> Result<Vec<EntryChange<'t>>, EntriesError> {
    if table.indexes.is_empty() {
        return Ok(Vec::new());
    }
    let names = names(table, table.live_indexes());
    let old = old.map(|old| Parts::of(&names, old)).transpose().map_err(EntriesError::Corrupt)?;
    let new = new.map(|new| Parts::of(&names, new)).transpose().map_err(EntriesError::Corrupt)?;
    let mut changes = Vec::new();
    for index in table.live_indexes() {
        match entry_change(table, index, old.as_ref(), new.as_ref()) {
            Ok(change) => changes.extend(change),
            Err(EntriesError::Key(error)) => return Err(told_first(table, new.as_ref(), error)),
            Err(error) => return Err(error),
        }
    }
    if let Some(new) = new {
        check_local_size(table, new.stored)?;
    }
    Ok(changes)
}

/// Of several keys that are wrong, one of another type is told first. Source: DynamoDB Local.
fn told_first(table: &Table, new: Option<&Parts<'_, '_>>, error: IndexKeyError) -> EntriesError {
    let is_type = |error: &IndexKeyError| matches!(error.fault, IndexKeyFault::Type { .. });
    if is_type(&error) {
        return EntriesError::Key(error);
    }
    for index in table.live_indexes() {
        match new.map(|parts| parts.key_values(index)) {
            Some(Ok(Err(other))) if is_type(&other) => return EntriesError::Key(other),
            Some(Err(damage)) => return EntriesError::Corrupt(damage),
            _ => {}
        }
    }
    EntriesError::Key(error)
}

fn entry_change<'t>(
    table: &'t Table,
    index: &'t Index,
    old: Option<&Parts<'_, '_>>,
    new: Option<&Parts<'_, '_>>,
) -> Result<Option<EntryChange<'t>>, EntriesError> {
    let entry = |parts: Option<&Parts<'_, '_>>, values: Option<&KeyValues<'_>>| match (parts, values) {
        (Some(parts), Some(values)) => parts.entry(table, index, values).map(Some).map_err(EntriesError::Corrupt),
        _ => Ok(None),
    };
    // What stands there although the index does not take it was there before the index: it has no entry.
    let old_values = match old {
        Some(parts) => parts.key_values(index).map_err(EntriesError::Corrupt)?.unwrap_or(None),
        None => None,
    };
    let new_values = match new {
        Some(parts) => parts.key_values(index).map_err(EntriesError::Corrupt)?.map_err(EntriesError::Key)?,
        None => None,
    };
    let same_key = old_values == new_values;
    if same_key && new_values.is_none() {
        return Ok(None);
    }
    // Whoever changes an item enters it: the backfill, which has read it before, leaves it to him. So an entry that stays as it is,
    // is written as long as it may not be there.
    let is_there = index.is_counted();
    // An entry of keys alone stays as it is while they do.
    if is_there && same_key && index.projection == IndexProjection::KeysOnly {
        return Ok(None);
    }
    let after = entry(new, new_values.as_ref())?;
    let before = entry(old, old_values.as_ref())?;
    Ok((before != after || !is_there).then_some(EntryChange { index, before, after }))
}

impl EntryChange<'_> {
    /// The writes of the change. `put`: the index of the item's `Put` among the commit's writes, and its value.
    pub fn add_writes(self, put: Option<(usize, &Bytes)>, writes: &mut Vec<Write>) {
        let EntryChange { before, after, .. } = self;
        if let Some(before) = before
            && after.as_ref().is_none_or(|after| after.key != before.key)
        {
            writes.push(Write::Delete { key: before.key });
        }
        writes.extend(after.map(|Entry { key, value }| match put {
            Some((of, item)) if is_same(item, &value) => Write::PutSame { key, of },
            _ => Write::Put { key, value },
        }));
    }
}

/// Whether they are the same bytes in memory.
fn is_same(a: &Bytes, b: &Bytes) -> bool {
    (a.as_ptr(), a.len()) == (b.as_ptr(), b.len())
}

/// The attributes that entries of these indexes are made of, ascending; of one that projects all, those of its key.
fn names<'t>(table: &'t Table, indexes: impl Iterator<Item = &'t Index>) -> Vec<&'t str> {
    let mut names: BTreeSet<&str> = table.key.attributes().map(|attribute| attribute.name.as_str()).collect();
    for index in indexes {
        names.extend(index.attributes().map(|attribute| attribute.name.as_str()));
        if let IndexProjection::Include(included) = &index.projection {
            names.extend(included.iter().map(String::as_str));
        }
    }
    names.into_iter().collect()
}

/// The values of an index's key attributes: most have one or two, and none more than eight.
type KeyValues<'v> = SmallVec<[KeyValue<'v>; 4]>;

/// The parts of a stored item that entries are made of.
struct Parts<'n, 'v> {
    names: &'n [&'n str],
    attributes: Vec<Option<EncodedAttribute<'v>>>,
    stored: &'v Bytes,
}

impl<'n, 'v> Parts<'n, 'v> {
    fn of(names: &'n [&'n str], stored: &'v Bytes) -> Result<Parts<'n, 'v>, ApiError> {
        let attributes = StoredItem::new(stored).and_then(|item| item.pick(names)).map_err(corrupt)?;
        Ok(Parts { names, attributes, stored })
    }

    fn get(&self, name: &str) -> Option<&EncodedAttribute<'v>> {
        let at = self.names.binary_search(&name).ok()?;
        self.attributes[at].as_ref()
    }

    /// The values of an index's key attributes, partition key first; `None`: one is not there. The inner error: one is none that
    /// the index takes, whether the others are there or not.
    fn key_values(&self, index: &Index) -> Result<Result<Option<KeyValues<'v>>, IndexKeyError>, ApiError> {
        let mut values = KeyValues::new();
        let mut whole = true;
        for part in [KeyPart::Hash, KeyPart::Range] {
            let attributes = part.of(index);
            let mut bytes = 0;
            for attribute in attributes {
                let error = |fault| IndexKeyError::new(index, attribute, fault);
                let Some(found) = self.get(&attribute.name) else {
                    whole = false;
                    continue;
                };
                let Some(value) = found.key_value().filter(|value| value.scalar == attribute.scalar) else {
                    let actual = found.type_name().map_err(corrupt)?;
                    return Ok(Err(error(IndexKeyFault::Type { expected: attribute.scalar, actual })));
                };
                if value.bytes.is_empty() {
                    return Ok(Err(error(IndexKeyFault::Empty(value.scalar))));
                }
                bytes += size(value);
                if bytes > part.bytes_max() && attributes.len() == 1 {
                    return Ok(Err(error(IndexKeyFault::TooLong(part))));
                }
                values.push(value);
            }
            if bytes > part.bytes_max() {
                let names: Vec<&str> = attributes.iter().map(|attribute| attribute.name.as_str()).collect();
                let fault = IndexKeyFault::SeveralTooLong { part, names: names.join(", "), bytes };
                return Ok(Err(IndexKeyError::new(index, &attributes[0], fault)));
            }
        }
        Ok(Ok(whole.then_some(values)))
    }

    /// The entry that has these values of the index's key attributes.
    fn entry(&self, table: &Table, index: &Index, values: &[KeyValue<'v>]) -> Result<Entry, ApiError> {
        // The index's key attributes, and the item's key, are in both.
        let mut key = Vec::with_capacity(96);
        self.push_key(table, index, values, &mut key)?;
        let value = match &index.projection {
            IndexProjection::All => self.stored.clone(),
            _ => {
                let mut value = Vec::new();
                self.push_value(table, index, &mut value)?;
                Bytes::from(value)
            }
        };
        Ok(Entry { key: Key(Bytes::from(key)), value })
    }

    /// Appends the key of the entry that has these values of the index's key attributes.
    fn push_key(
        &self,
        table: &Table,
        index: &Index,
        values: &[KeyValue<'v>],
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let (hash, range) = values.split_at(index.hash.len());
        let (partition, sort) = self.item_key(table)?;
        push_entry_key(table, index, (hash, range), (partition, sort), out);
        Ok(())
    }

    /// Appends what the entry shows.
    fn push_value(&self, table: &Table, index: &Index, out: &mut Vec<u8>) -> Result<(), ApiError> {
        match &index.projection {
            IndexProjection::All => {
                out.extend_from_slice(self.stored);
                Ok(())
            }
            IndexProjection::KeysOnly => self.push_projected(table, index, &[], out),
            IndexProjection::Include(included) => self.push_projected(table, index, included, out),
        }
    }

    /// Appends the stored item of the keys and the included attributes.
    fn push_projected(
        &self,
        table: &Table,
        index: &Index,
        included: &[String],
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let keys = table.key.attributes().chain(index.attributes()).map(|attribute| &attribute.name);
        let mut places: SmallVec<[usize; 8]> =
            keys.chain(included).filter_map(|name| self.names.binary_search(&name.as_str()).ok()).collect();
        places.sort_unstable();
        places.dedup();
        let parts: SmallVec<[EncodedAttribute<'v>; 8]> =
            places.into_iter().filter_map(|place| self.attributes[place]).collect();
        push_picked(&parts, out).map_err(corrupt)
    }

    /// The partition and the sort part of the item's own key.
    fn item_key(&self, table: &Table) -> Result<(&'v [u8], &'v [u8]), ApiError> {
        let bytes = |name: &str| {
            let value = self.get(name).and_then(EncodedAttribute::key_value);
            value.map(|value| value.bytes).ok_or_else(|| without_key(table))
        };
        let sort = table.key.range.as_ref().map(|range| bytes(&range.name)).transpose()?;
        Ok((bytes(&table.key.hash.name)?, sort.unwrap_or_default()))
    }
}

/// The size of a value by the service's rule.
fn size(value: KeyValue<'_>) -> usize {
    match value.scalar {
        ScalarType::N => Number::decode_key(value.bytes).map_or(0, |(number, _)| number.storage_size()),
        ScalarType::S | ScalarType::B => value.bytes.len(),
    }
}

/// The key of the entry with these values of the index's key attributes, of the item with this key.
pub(crate) fn entry_key(
    table: &Table,
    index: &Index,
    hash: &[KeyValue<'_>],
    range: &[KeyValue<'_>],
    item: &KeyBytes,
) -> Key {
    let mut out = Vec::new();
    push_entry_key(table, index, (hash, range), (&item.partition, &item.sort), &mut out);
    Key(Bytes::from(out))
}

/// [`entry_key`], appended. `item`: the partition and the sort part of its key.
fn push_entry_key(
    table: &Table,
    index: &Index,
    (hash, range): (&[KeyValue<'_>], &[KeyValue<'_>]),
    item: (&[u8], &[u8]),
    out: &mut Vec<u8>,
) {
    let partition = partition_bytes(hash);
    let bucket = partition_hash(&partition).bucket;
    ItemKey::push_partition(ItemSet { table: table.id, index: index.id }, bucket, &partition, out);
    range.iter().for_each(|value| push_sort_value(*value, out));
    push_item_key(item.0, item.1, index.kind == IndexKind::Local, out);
}

fn without_key(table: &Table) -> ApiError {
    tracing::error!(table = table.name, "a stored item has no key");
    ApiError::new(ErrorCode::InternalServerError, "a stored item has no key")
}
