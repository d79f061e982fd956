//! GetItem. Source: docs/spec/dynamodb-api.md 2.5.

use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::{ApiError, Item, Json};

use super::expression_parameters::{ExpressionMaps, ExpressionParameters};
use super::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemProjection, ItemsAnswer};
use crate::{ErrorWording, Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct GetItemRequest {
    /// The table's name.
    pub table_name: String,
    /// The primary key.
    pub key: Item,
    /// What of the item is answered.
    pub projection: ItemProjection,
    /// `ConsistentRead`: every read is consistent; this one is charged as such.
    pub consistent_read: bool,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetItemAnswer {
    /// The item, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<AnsweredItem>,
    /// What the read is charged, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<ConsumedCapacity>,
}

/// What a read of items by key can have an expression in.
pub(super) static PROJECTION_ONLY: ExpressionParameters = ExpressionParameters {
    legacy: &["AttributesToGet"],
    expressions: &["ProjectionExpression"],
    with_values: &[],
    values_need: [""; 2],
};

impl ItemsAnswer for GetItemAnswer {
    fn item_bytes(&self) -> usize {
        self.item.as_ref().map_or(0, AnsweredItem::bytes)
    }
}

impl GetItemRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<GetItemRequest, ApiError> {
        let wording = ErrorWording::of_read(reading.wording);
        let table_name = reading.take_table_name(&mut body)?;
        let key = body.take("Key").unwrap_or(Json::Null);
        let maps = ExpressionMaps::take(&mut body);
        let checks = || {
            PROJECTION_ONLY.check_mixing(&body, wording)?;
            PROJECTION_ONLY.check_maps(&body, &maps, wording)
        };
        let key = if wording.is_current() {
            let key = read_item(key).map_err(|e| wording.value(e))?;
            checks()?;
            key
        } else {
            checks()?;
            read_item(key).map_err(|e| wording.value(e))?
        };
        let mut placeholders = maps.into_placeholders(wording)?;
        let projection = ItemProjection::read(&body, &mut placeholders, wording)?;
        placeholders.finish().map_err(|e| wording.expression(e))?;
        let consistent_read = member::boolean(&body, "ConsistentRead").unwrap_or(false);
        Ok(GetItemRequest { table_name, key, projection, consistent_read, capacity: CapacityDetail::of(&body) })
    }
}
