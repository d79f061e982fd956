//! Query. Source: docs/spec/dynamodb-api.md 5.

use std::ops::Bound;
use std::sync::Arc;

use tailrace_api::ErrorWording;
use tailrace_api::items::{PageAnswer, PageRequest, QueryRequest};
use tailrace_core::expr::{ExprError, KeyAttribute, KeyCondition, RangeCondition, ResolvedKeyCondition};
use tailrace_core::key::{key_value_bytes, partition_hash};
use tailrace_core::{ApiError, AttributeValue, KeySchema, TableId};
use tailrace_store::KeyRange;
use tailrace_store::keyspace::{ItemKey, SortBounds};

use crate::Caller;
use crate::db::Db;
use crate::items::projection::{check_key_paths, check_projection};
use crate::items::read::{check_no_index, filter_paths, read_page};
use crate::items::start_key::{MismatchText, check_within_query, start_key_bytes};

/// Runs Query.
///
/// # Errors
/// What the client is to read.
pub async fn query(db: &Db, request: QueryRequest, _caller: &Caller<'_>) -> Result<PageAnswer, ApiError> {
    let table = db.table(&request.table_name).await?;
    check_no_index(request.index_name.as_deref())?;
    let schema = &table.key;
    let wording = ErrorWording::of_read(db.settings().wording);
    let condition = resolve(&request.key_condition, schema).map_err(|e| wording.expression(e))?;
    match request.page.keys_in_filter {
        true => check_key_paths(&table, filter_paths(&request.page))?,
        false => check_filter(&request.page, schema)?,
    }
    check_projection(&request.page.projection, &table)?;
    let mut range = range_of(table.id, &condition);
    if !request.forward {
        range = range.reversed();
    }
    if let Some(start) = &request.exclusive_start_key {
        let bytes = start_key_bytes(schema, start, MismatchText::Short)?;
        check_within_query(schema, start, &condition)?;
        let key = ItemKey::key(table.id, bytes.hash().bucket, &bytes.partition, &bytes.sort);
        range = range.after(&key);
    }
    read_page(db, &table, request.page, (!range.is_empty()).then_some(range)).await
}

fn resolve(condition: &KeyCondition, schema: &KeySchema) -> Result<ResolvedKeyCondition, ExprError> {
    condition.resolve(
        KeyAttribute { name: &schema.hash.name, type_name: schema.hash.scalar.name() },
        schema.range.as_ref().map(|range| KeyAttribute { name: &range.name, type_name: range.scalar.name() }),
    )
}

/// A filter of a query says nothing of the key.
fn check_filter(page: &PageRequest, schema: &KeySchema) -> Result<(), ApiError> {
    match filter_paths(page).into_iter().find(|path| schema.contains(path.head())) {
        Some(path) => Err(ApiError::validation(format!(
            "{} can only contain non-primary key attributes: Primary key attribute: {}",
            if page.legacy_filter { "QueryFilter" } else { "Filter Expression" },
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
