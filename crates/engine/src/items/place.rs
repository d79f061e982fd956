//! Where an item is: the key of its row, and its bucket.

use tailrace_core::key::{KeyBytes, KeyError};
use tailrace_core::{ApiError, Bucket, Item};
use tailrace_store::Key;
use tailrace_store::keyspace::ItemKey;

use super::key_errors::{item_key_error, key_map_error};
use crate::table::Table;

/// The place of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ItemPlace {
    /// The key of the row.
    pub row: Key,
    /// The bucket of the partition key.
    pub bucket: Bucket,
}

impl ItemPlace {
    /// The place of an item that is put.
    ///
    /// # Errors
    /// What is wrong with its key attributes, in the words for an item.
    pub fn of_item(table: &Table, item: &Item) -> Result<ItemPlace, ApiError> {
        ItemPlace::new(table, table.key.bytes_of_item(item)).map_err(item_key_error)
    }

    /// The place of an item that is put in a batch.
    ///
    /// # Errors
    /// What is wrong with its key attributes, in the words for a key.
    pub fn of_batched_item(table: &Table, item: &Item) -> Result<ItemPlace, ApiError> {
        ItemPlace::new(table, table.key.bytes_of_item(item)).map_err(key_map_error)
    }

    /// The place that a primary key means.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn of_key(table: &Table, key: &Item) -> Result<ItemPlace, ApiError> {
        ItemPlace::new(table, table.key.bytes_of_key(key)).map_err(key_map_error)
    }

    /// The place of an item that is put, or that a primary key means (`whole` or not), and what is wrong with it as a kind.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn find(table: &Table, attributes: &Item, whole: bool) -> Result<ItemPlace, KeyError> {
        let key = if whole { table.key.bytes_of_item(attributes) } else { table.key.bytes_of_key(attributes) };
        ItemPlace::new(table, key)
    }

    fn new(table: &Table, key: Result<KeyBytes, KeyError>) -> Result<ItemPlace, KeyError> {
        let key = key?;
        let bucket = key.hash().bucket;
        Ok(ItemPlace { row: ItemKey::key(table.id, bucket, &key.partition, &key.sort), bucket })
    }
}
