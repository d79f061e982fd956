//! BatchWriteItem: a commit for each item, run together. Source: docs/spec/dynamodb-api.md 7.1.
//!
//! Everything that can be refused is refused before anything is written. The operation speaks the older wording only.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::codec::encode_stored;
use tailrace_core::limits::{BATCH_WRITE_REQUESTS_MAX, ITEM_BYTES_MAX};
use tailrace_core::model::Wording;
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, Item, Json};

use super::Request;
use super::consumed_capacity::{CapacityDetail, ConsumedCapacity};
use super::item_write::{WriteKey, write_item};
use super::words::{Words, key_map_error};
use crate::db::Db;
use crate::table::Table;

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchWriteItemOutput {
    /// Always empty: nothing is throttled.
    unprocessed_items: BTreeMap<String, ()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// One write of the batch, as it is given.
enum GivenWrite {
    Put(Item),
    Delete(Item),
}

/// One write of the batch, ready to be committed. `new`: the item that is put.
struct ReadyWrite {
    table: Arc<Table>,
    key: WriteKey,
    new: Option<Bytes>,
}

/// Runs BatchWriteItem.
pub(crate) async fn batch_write_item(db: &Db, mut request: Request<'_>) -> Result<BatchWriteItemOutput, ApiError> {
    let capacity = CapacityDetail::of(&request.body);
    let mut given = Vec::new();
    if let Some(Json::Object(tables)) = request.body.take("RequestItems") {
        if tables.is_empty() {
            return Err(ApiError::validation("The requestItems parameter is required for BatchWriteItem"));
        }
        for (table, writes) in tables {
            let name = crate::names::table_name(db.settings(), &table)?.to_owned();
            let Json::Array(writes) = writes else { continue };
            let writes: Vec<GivenWrite> = writes.into_iter().map(GivenWrite::read).collect::<Result<_, _>>()?;
            given.push((name, writes));
        }
    }
    if given.iter().map(|(_, writes)| writes.len()).sum::<usize>() > BATCH_WRITE_REQUESTS_MAX {
        return Err(ApiError::validation("Too many items requested for the BatchWriteItem call"));
    }
    let mut ready = Vec::new();
    // A table may be named twice, by its name and by its ARN.
    let mut seen = HashSet::new();
    for (name, writes) in given {
        let table = db.table(&name).await?;
        for write in writes {
            let write = write.ready(&table)?;
            if !seen.insert((table.id, write.key.bytes().clone())) {
                return Err(ApiError::validation("Provided list of item keys contains duplicates"));
            }
            ready.push(write);
        }
    }
    let commits = ready.iter().map(|write| async {
        let written = write_item(db, &write.table, &write.key, &mut |_| Ok(write.new.clone())).await?;
        Ok::<_, ApiError>((write.table.name.as_str(), written.units()))
    });
    let mut charged: BTreeMap<&str, f64> = BTreeMap::new();
    for done in join_all(commits).await {
        let (table, units) = done?;
        *charged.entry(table).or_default() += units;
    }
    let consumed = charged.into_iter().filter_map(|(table, units)| capacity.answer(table, units)).collect();
    Ok(BatchWriteItemOutput {
        unprocessed_items: BTreeMap::new(),
        consumed_capacity: (capacity != CapacityDetail::None).then_some(consumed),
    })
}

impl GivenWrite {
    fn read(mut write: Json) -> Result<GivenWrite, ApiError> {
        let words = Words::of_read(Wording::Classic);
        let mut attributes = |request: &str, member: &str| -> Option<Result<Item, ApiError>> {
            let attributes = write.take(request)?.take(member).unwrap_or(Json::Null);
            Some(read_item(attributes).map_err(|e| words.value(e)))
        };
        match (attributes("PutRequest", "Item"), attributes("DeleteRequest", "Key")) {
            (Some(item), None) => {
                let item = item?;
                if item_size(&item) > ITEM_BYTES_MAX {
                    return Err(ApiError::validation("Item size has exceeded the maximum allowed size"));
                }
                Ok(GivenWrite::Put(item))
            }
            (None, Some(key)) => Ok(GivenWrite::Delete(key?)),
            _ => Err(ApiError::validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
                 datatypes",
            )),
        }
    }

    fn ready(self, table: &Arc<Table>) -> Result<ReadyWrite, ApiError> {
        let schema = &table.key;
        let (key, new) = match self {
            GivenWrite::Delete(key) => (WriteKey::of_key(schema, &key), None),
            GivenWrite::Put(item) => (WriteKey::of_item(schema, &item), Some(encode_stored(&item).into())),
        };
        Ok(ReadyWrite { table: table.clone(), key: key.map_err(key_map_error)?, new })
    }
}
