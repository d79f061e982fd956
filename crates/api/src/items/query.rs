//! Query. Source: docs/spec/dynamodb-api.md 5.

use tailrace_core::expr::KeyCondition;
use tailrace_core::{ApiError, Item, Json};

use super::PageRequest;
use super::expression_parameters::{ExpressionMaps, ExpressionParameters};
use super::start_key::{StartKeyOf, take_start_key};
use crate::{ErrorWording, Reading, member};

/// The request.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// The table's name.
    pub table_name: String,
    /// The index.
    pub index_name: Option<String>,
    /// Which rows are read.
    pub key_condition: KeyCondition,
    /// Where the page begins: behind this key.
    pub exclusive_start_key: Option<Item>,
    /// `ScanIndexForward`: ascending.
    pub forward: bool,
    /// What is read and answered of the rows.
    pub page: PageRequest,
}

static PARAMETERS: ExpressionParameters = ExpressionParameters {
    legacy: &["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"],
    expressions: &["ProjectionExpression", "FilterExpression", "KeyConditionExpression"],
    with_values: &["FilterExpression", "KeyConditionExpression"],
    values_need: [
        "FilterExpression is null and KeyConditionExpression is null",
        "FilterExpression and KeyConditionExpression are null",
    ],
};

impl QueryRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<QueryRequest, ApiError> {
        let wording = ErrorWording::of_read(reading.wording);
        let table_name = reading.take_table_name(&mut body)?;
        let maps = ExpressionMaps::take(&mut body);
        let exclusive_start_key = take_start_key(&mut body, StartKeyOf::Query, wording)?;
        maps.check_values_early(wording)?;
        let (page, key_condition) = PageRequest::read(&body, maps, &PARAMETERS, wording, false)?;
        Ok(QueryRequest {
            table_name,
            index_name: member::text(&body, "IndexName").map(str::to_owned),
            key_condition: key_condition.expect("invariant: a query is read with its key condition"),
            exclusive_start_key,
            forward: member::boolean(&body, "ScanIndexForward").unwrap_or(true),
            page,
        })
    }
}
