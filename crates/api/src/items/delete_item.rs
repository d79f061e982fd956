//! DeleteItem. Source: docs/spec/dynamodb-api.md 2.5, 4.8.

use tailrace_core::expr::Condition;
use tailrace_core::{ApiError, Item, Json};

use super::CapacityDetail;
use super::write_parameters::{ReturnValues, WriteKind, WriteParameters};
use crate::Reading;

/// The request.
#[derive(Clone, Debug, Default)]
pub struct DeleteItemRequest {
    /// The table's name.
    pub table_name: String,
    /// The primary key.
    pub key: Item,
    /// What must hold of the item that is there.
    pub condition: Option<Condition>,
    /// `ReturnValues`: none, or the old item.
    pub return_values: ReturnValues,
    /// `ReturnValuesOnConditionCheckFailure`: a condition that does not hold brings the item.
    pub return_item_on_failure: bool,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
    /// `ReturnItemCollectionMetrics`: the item collection is told.
    pub item_collection_metrics: bool,
}

impl DeleteItemRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<DeleteItemRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        let WriteParameters {
            attributes,
            update: _,
            condition,
            return_values,
            capacity,
            item_collection_metrics,
            return_item_on_failure,
        } = WriteParameters::read(WriteKind::Delete, &mut body, reading)?;
        Ok(DeleteItemRequest {
            table_name,
            key: attributes,
            condition,
            return_values,
            return_item_on_failure,
            capacity,
            item_collection_metrics,
        })
    }
}
