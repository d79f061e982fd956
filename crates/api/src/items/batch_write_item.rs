//! BatchWriteItem. The operation speaks the older wording only. Source: docs/spec/dynamodb-api.md 7.1.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tailrace_core::attribute_json::read_item;
use tailrace_core::limits::{BATCH_WRITE_REQUESTS_MAX, ITEM_BYTES_MAX};
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, Item, Json, Wording};

use super::{CapacityDetail, ConsumedCapacity, ItemCollectionMetrics};
use crate::{ErrorWording, Reading};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct BatchWriteItemRequest {
    /// The tables in the order in which they were sent. A table may stand here twice: by its name and by its ARN.
    pub tables: Vec<TableWrites>,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
    /// `ReturnItemCollectionMetrics`: the item collections are told.
    pub item_collection_metrics: bool,
}

/// The writes of one table.
#[derive(Clone, Debug, Default)]
pub struct TableWrites {
    /// The table's name.
    pub table_name: String,
    /// The table as it was sent: what was not written goes back under it.
    pub sent_as: String,
    /// The writes.
    pub writes: Vec<BatchWrite>,
}

/// One write, as a request and an answer spell it.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchWrite {
    /// Puts this item.
    Put(Item),
    /// Deletes the item of this key.
    Delete(Item),
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchWriteItemAnswer {
    /// What was not written because its table was throttled, by table as it was sent.
    pub unprocessed_items: BTreeMap<String, Vec<BatchWrite>>,
    /// What the writes are charged, table by table, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<Vec<ConsumedCapacity>>,
    /// The item collections of tables with a local index, if that was asked for and there are such tables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub item_collection_metrics: BTreeMap<String, Vec<ItemCollectionMetrics>>,
}

impl Serialize for BatchWrite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (request, member, attributes) = match self {
            BatchWrite::Put(item) => ("PutRequest", "Item", item),
            BatchWrite::Delete(key) => ("DeleteRequest", "Key", key),
        };
        serializer.collect_map([(request, BTreeMap::from([(member, attributes)]))])
    }
}

impl BatchWriteItemRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<BatchWriteItemRequest, ApiError> {
        let capacity = CapacityDetail::of(&body);
        let item_collection_metrics = ItemCollectionMetrics::asked(&body);
        let mut tables = Vec::new();
        if let Some(Json::Object(given)) = body.take("RequestItems") {
            if given.is_empty() {
                return Err(ApiError::validation("The requestItems parameter is required for BatchWriteItem"));
            }
            for (table, writes) in given {
                let table_name = reading.table_name(&table)?.to_owned();
                let Json::Array(writes) = writes else { continue };
                let writes = writes.into_iter().map(BatchWrite::read).collect::<Result<_, _>>()?;
                tables.push(TableWrites { table_name, sent_as: table, writes });
            }
        }
        if tables.iter().map(|table| table.writes.len()).sum::<usize>() > BATCH_WRITE_REQUESTS_MAX {
            return Err(ApiError::validation("Too many items requested for the BatchWriteItem call"));
        }
        Ok(BatchWriteItemRequest { tables, capacity, item_collection_metrics })
    }
}

impl BatchWrite {
    fn read(mut write: Json) -> Result<BatchWrite, ApiError> {
        let wording = ErrorWording::of_read(Wording::Classic);
        let mut attributes = |request: &str, member: &str| -> Option<Result<Item, ApiError>> {
            let attributes = write.take(request)?.take(member).unwrap_or(Json::Null);
            Some(read_item(attributes).map_err(|e| wording.value(e)))
        };
        match (attributes("PutRequest", "Item"), attributes("DeleteRequest", "Key")) {
            (Some(item), None) => {
                let item = item?;
                if item_size(&item) > ITEM_BYTES_MAX {
                    return Err(ApiError::validation("Item size has exceeded the maximum allowed size"));
                }
                Ok(BatchWrite::Put(item))
            }
            (None, Some(key)) => Ok(BatchWrite::Delete(key?)),
            _ => Err(ApiError::validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
                 datatypes",
            )),
        }
    }
}
