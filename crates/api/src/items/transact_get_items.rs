//! TransactGetItems. The operation speaks the older wording only. Source: docs/spec/dynamodb-api.md 7.2.

use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::{ApiError, Item, Json, Wording};

use super::expression_parameters::ExpressionMaps;
use super::get_item::PROJECTION_ONLY;
use super::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemProjection, ItemsAnswer};
use crate::{ErrorWording, Reading};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct TransactGetItemsRequest {
    /// The reads, in the order of the request; at least one.
    pub gets: Vec<TransactGet>,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// The read of one item.
#[derive(Clone, Debug, Default)]
pub struct TransactGet {
    /// The table's name.
    pub table_name: String,
    /// The primary key.
    pub key: Item,
    /// What of the item is answered.
    pub projection: ItemProjection,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransactGetItemsAnswer {
    /// One for each read, in their order.
    pub responses: Vec<ItemResponse>,
    /// What the reads are charged, table by table, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// What was read of one item.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemResponse {
    /// The item; there is none, or nothing of it was asked for: `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<AnsweredItem>,
}

impl ItemsAnswer for TransactGetItemsAnswer {
    fn item_bytes(&self) -> usize {
        self.responses.iter().filter_map(|response| response.item.as_ref()).map(AnsweredItem::bytes).sum()
    }
}

impl TransactGetItemsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<TransactGetItemsRequest, ApiError> {
        let capacity = CapacityDetail::of(&body);
        let given = match body.take("TransactItems") {
            Some(Json::Array(given)) => given,
            _ => Vec::new(),
        };
        let gets = given.into_iter().map(|get| TransactGet::read(get, reading)).collect::<Result<_, _>>()?;
        Ok(TransactGetItemsRequest { gets, capacity })
    }
}

impl TransactGet {
    fn read(mut given: Json, reading: &Reading<'_>) -> Result<TransactGet, ApiError> {
        let wording = ErrorWording::of_read(Wording::Classic);
        let mut body = given.take("Get").unwrap_or(Json::Null);
        let table_name = reading.take_table_name(&mut body)?;
        let maps = ExpressionMaps::take(&mut body);
        PROJECTION_ONLY.check_maps(&body, &maps, wording)?;
        let key = read_item(body.take("Key").unwrap_or(Json::Null)).map_err(|e| wording.value(e))?;
        let mut placeholders = maps.into_placeholders(wording)?;
        let projection = ItemProjection::read(&body, &mut placeholders, wording)?;
        placeholders.finish().map_err(|e| wording.expression(e))?;
        Ok(TransactGet { table_name, key, projection })
    }
}
