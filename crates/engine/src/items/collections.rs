//! The item collections that writes touch: the partitions of tables with a local index. Source: docs/spec/dynamodb-api.md 7.4.

use std::collections::BTreeMap;

use tailrace_api::items::ItemCollectionMetrics;
use tailrace_core::Item;

use crate::table::Table;

/// What is told of the collection of an item, or of a key. `asked`: the request wants it.
pub(crate) fn collection(asked: bool, table: &Table, item: &Item) -> Option<ItemCollectionMetrics> {
    if !asked || !table.has_local_index() {
        return None;
    }
    let (name, value) = item.get_key_value(&table.key.hash.name)?;
    Some(ItemCollectionMetrics::of(Item::from([(name.clone(), value.clone())])))
}

/// The collections of several writes, each once.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    /// By the name of the table.
    pub by_table: BTreeMap<String, Vec<ItemCollectionMetrics>>,
}

impl Collections {
    /// Adds the collection of an item, or of a key, unless it is there.
    pub fn note(&mut self, asked: bool, table: &Table, item: &Item) {
        let Some(collection) = collection(asked, table, item) else { return };
        let of_table = self.by_table.entry(table.name.clone()).or_default();
        if !of_table.contains(&collection) {
            of_table.push(collection);
        }
    }
}
