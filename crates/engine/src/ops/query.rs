//! Query. Source: docs/spec/dynamodb-api.md 5.

use std::ops::Bound;
use std::sync::Arc;

use tailrace_core::expr::{KeyAttribute, RangeCondition, ResolvedKeyCondition};
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_core::{ApiError, AttributeValue, KeySchema};
use tailrace_store::KeyRange;
use tailrace_store::keyspace::{ItemKey, SortBounds, TableId};

use super::Request;
use super::exclusive_start_key::{Starts, check_within_query, start_key_bytes, take_start_key};
use super::expression_parameters::{ExpressionMaps, Parameters};
use super::page_read::{PageOutput, PageRequest, check_no_index};
use super::words::Words;
use crate::db::Db;

static PARAMETERS: Parameters = Parameters {
    legacy: &["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"],
    expressions: &["ProjectionExpression", "FilterExpression", "KeyConditionExpression"],
    with_values: &["FilterExpression", "KeyConditionExpression"],
    values_need: [
        "FilterExpression is null and KeyConditionExpression is null",
        "FilterExpression and KeyConditionExpression are null",
    ],
};

/// Runs Query.
pub(crate) async fn query(db: &Db, mut request: Request<'_>) -> Result<PageOutput, ApiError> {
    let words = Words::of_read(db.settings().wording);
    let name = request.table_name(db)?;
    let maps = ExpressionMaps::take(&mut request.body);
    let start = take_start_key(&mut request.body, Starts::Query, words)?;
    maps.check_values_early(words)?;
    let page = PageRequest::read(&request.body, maps, &PARAMETERS, words, false)?;
    let forward = request.boolean("ScanIndexForward").unwrap_or(true);

    let table = db.table(&name).await?;
    check_no_index(&request.body)?;
    let schema = &table.key;
    let condition = resolve(&page, schema, words)?;
    check_filter(&page, schema)?;
    page.shown().check_key_paths(schema)?;
    let mut range = range_of(table.id, &condition);
    if !forward {
        range = range.reversed();
    }
    if let Some(start) = &start {
        let bytes = start_key_bytes(schema, start, Starts::Query, words)?;
        check_within_query(schema, start, &condition)?;
        let key = ItemKey::key(table.id, bytes.hash().bucket, &bytes.partition, &bytes.sort);
        range = range.after(&key);
    }
    page.page(db, &table, (!range.is_empty()).then_some(range)).await
}

fn resolve(page: &PageRequest, schema: &KeySchema, words: Words) -> Result<ResolvedKeyCondition, ApiError> {
    let condition = page.key_condition.as_ref().expect("invariant: a query was read with its key condition");
    condition
        .resolve(
            KeyAttribute { name: &schema.hash.name, type_name: schema.hash.scalar.name() },
            schema.range.as_ref().map(|range| KeyAttribute { name: &range.name, type_name: range.scalar.name() }),
        )
        .map_err(|e| words.expression(e))
}

/// A filter of a query says nothing of the key.
fn check_filter(page: &PageRequest, schema: &KeySchema) -> Result<(), ApiError> {
    match page.filter_paths().into_iter().find(|path| schema.contains(path.head())) {
        Some(path) => Err(ApiError::validation(format!(
            "{} can only contain non-primary key attributes: Primary key attribute: {}",
            page.filter_name,
            path.head()
        ))),
        None => Ok(()),
    }
}

/// The rows that a key condition means, ascending.
fn range_of(table: TableId, condition: &ResolvedKeyCondition) -> KeyRange {
    let bytes = |value: &Arc<AttributeValue>| {
        key_value_bytes(value).expect("invariant: a resolved key condition has values of the schema's types")
    };
    let partition = bytes(&condition.hash);
    let bucket = partition_hash(&partition).bucket;
    let between = |start: Bound<&[u8]>, end: Bound<&[u8]>| {
        ItemKey::sort_range(table, bucket, &partition, &SortBounds::Between(start, end))
    };
    match &condition.range {
        None => ItemKey::partition_range(table, bucket, &partition),
        Some(RangeCondition::Equal(value)) => {
            let bound = bytes(value);
            between(Bound::Included(&bound), Bound::Included(&bound))
        }
        Some(RangeCondition::Less(value)) => between(Bound::Unbounded, Bound::Excluded(&bytes(value))),
        Some(RangeCondition::LessEqual(value)) => between(Bound::Unbounded, Bound::Included(&bytes(value))),
        Some(RangeCondition::Greater(value)) => between(Bound::Excluded(&bytes(value)), Bound::Unbounded),
        Some(RangeCondition::GreaterEqual(value)) => between(Bound::Included(&bytes(value)), Bound::Unbounded),
        Some(RangeCondition::Between(lower, upper)) => {
            between(Bound::Included(&bytes(lower)), Bound::Included(&bytes(upper)))
        }
        Some(RangeCondition::BeginsWith(prefix)) => {
            ItemKey::sort_range(table, bucket, &partition, &SortBounds::BeginsWith(&bytes(prefix)))
        }
    }
}
