//! The item collection that an item belongs to: the items of its partition key, in a table with local indexes.
//! Source: docs/spec/dynamodb-api.md 7.4.

use tailrace_api::items::ItemCollectionMetrics;
use tailrace_core::Item;

use crate::table::Table;
use crate::tables::index::IndexKind;

/// What is told of the collection of an item. `attributes`: the item or its key. `None`: the table has no local index.
pub(crate) fn item_collection(table: &Table, attributes: &Item) -> Option<ItemCollectionMetrics> {
    if !table.indexes.iter().any(|index| index.kind == IndexKind::Local) {
        return None;
    }
    let name = &table.key.hash.name;
    let value = attributes.get(name)?;
    Some(ItemCollectionMetrics::of(Item::from([(name.clone(), value.clone())])))
}
