//! The item collections that writes touch: the items of one partition key, in tables with local indexes.
//! Source: docs/spec/dynamodb-api.md 7.4.

use std::collections::BTreeMap;

use tailrace_api::items::ItemCollectionMetrics;
use tailrace_core::Item;

use crate::table::Table;

/// What is told of the collection of an item. `attributes`: the item or its key. `None`: the table has no local index, or
/// nobody asked.
pub(crate) fn item_collection(asked: bool, table: &Table, attributes: &Item) -> Option<ItemCollectionMetrics> {
    if !asked || !table.has_local_index() {
        return None;
    }
    let (name, value) = attributes.get_key_value(&table.key.hash.name)?;
    Some(ItemCollectionMetrics::of(Item::from([(name.clone(), value.clone())])))
}

/// Adds the collection of an item to those of the other writes, by table, unless it is there.
pub(crate) fn note_item_collection(
    collections: &mut BTreeMap<String, Vec<ItemCollectionMetrics>>,
    asked: bool,
    table: &Table,
    attributes: &Item,
) {
    let Some(collection) = item_collection(asked, table, attributes) else { return };
    let of_table = collections.entry(table.name.clone()).or_default();
    if !of_table.contains(&collection) {
        of_table.push(collection);
    }
}
