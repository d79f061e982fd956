//! Reading items: one or some by their keys, confirmed together with their tables, and pages of rows.
//!
//! A page ends after `Limit` items read, or with the item that brings their sizes to 1 MiB; then it is filtered, then
//! projected. A filter may have 300 operators that each look at all of a megabyte, so pages above a small bound are
//! filtered and projected on a thread that may block: other requests go on meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, ItemProjection, PageAnswer, PageRequest};
use tailrace_core::codec::stored_size;
use tailrace_core::expr::{Condition, Path};
use tailrace_core::limits::{ECHOED_VALUE_BYTES_MAX, PAGE_BYTES_MAX, PAGE_INLINE_BYTES_MAX, PAGE_INLINE_ROWS_MAX};
use tailrace_core::{ApiError, ErrorCode, Item};
use tailrace_store::keyspace::ItemKey;
use tailrace_store::{Key, KeyRange, Page, PageLimit};

use super::capacity::read_units;
use super::projection::project;
use super::stored_item::decode;
use crate::aside::aside;
use crate::db::{Db, StoredTable};
use crate::failure::store_failure;
use crate::table::Table;

/// The stored item in a row of a table, which is confirmed in the same read.
///
/// # Errors
/// ResourceNotFoundException if the table is gone, or the store's failure.
pub(crate) async fn read_item(db: &Db, table: &Arc<StoredTable>, row: Key) -> Result<Option<Bytes>, ApiError> {
    let keys = [table.row_key.clone(), row];
    let mut values = db.rows(&keys).await?;
    let (item, descriptor) = (values.pop().flatten(), values.pop().flatten());
    db.confirm(table, descriptor.as_ref())?;
    Ok(item)
}

/// The paths of a filter.
pub(crate) fn filter_paths(page: &PageRequest) -> Vec<&Path> {
    let mut paths: Vec<&Path> = Vec::new();
    if let Some(filter) = &page.filter {
        filter.visit_paths(&mut |path| paths.push(path));
    }
    paths
}

/// There are no indexes, so every name is unknown. The text repeats a long one to a bound.
///
/// # Errors
/// An index is named.
pub(crate) fn check_no_index(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        Some(name) => {
            let name = &name[..name.floor_char_boundary(ECHOED_VALUE_BYTES_MAX)];
            Err(ApiError::validation(format!("The table does not have the specified index: {name}")))
        }
        None => Ok(()),
    }
}

/// Reads the page of `range`; `None`: a range that holds nothing.
///
/// # Errors
/// The store's failure.
pub(crate) async fn read_page(
    db: &Db,
    table: &Table,
    request: PageRequest,
    range: Option<KeyRange>,
) -> Result<PageAnswer, ApiError> {
    let rows_max = request.limit.unwrap_or(usize::MAX);
    let limit = PageLimit { rows_max, cost_max: PAGE_BYTES_MAX, cost: |_, value| stored_size(value) };
    let page = match range {
        Some(range) => db.store().page(range, limit).await.map_err(|e| store_failure(&e))?,
        None => Page::default(),
    };
    let scanned_count = page.rows.len();
    let bytes: usize = page.rows.iter().map(|(_, value)| stored_size(value)).sum();
    // A page that a limit ended says so even if nothing is left behind it. Source: docs/spec/dynamodb-api.md 5.2.
    let ended_by_limit = scanned_count >= rows_max || bytes >= PAGE_BYTES_MAX;
    let last_evaluated_key = match page.rows.last() {
        Some((key, _)) if ended_by_limit => Some(read_row_key(table, key)?),
        _ => None,
    };
    let rows = page.rows.into_iter().map(|(_, value)| value).collect();
    let PageRequest { filter, projection, count_only, consistent_read, capacity, .. } = request;
    let (items, count) = Choice { filter, projection, count_only }.run(rows, bytes).await?;
    Ok(PageAnswer {
        items,
        count,
        scanned_count,
        last_evaluated_key,
        consumed_capacity: capacity.answer(&table.name, read_units(bytes, consistent_read)),
    })
}

/// What an answer takes of the rows that were read.
struct Choice {
    filter: Option<Condition>,
    projection: ItemProjection,
    count_only: bool,
}

impl Choice {
    /// The items to show, if any are, and how many rows the filter let through. `bytes`: the size of all rows.
    async fn run(self, rows: Vec<Bytes>, bytes: usize) -> Result<(Option<Vec<AnsweredItem>>, usize), ApiError> {
        let decodes = self.filter.is_some() || !matches!(self.projection, ItemProjection::Whole);
        let short = !decodes || (rows.len() <= PAGE_INLINE_ROWS_MAX && bytes <= PAGE_INLINE_BYTES_MAX);
        aside(short, move || self.run_here(rows)).await
    }

    fn run_here(&self, rows: Vec<Bytes>) -> Result<(Option<Vec<AnsweredItem>>, usize), ApiError> {
        let mut items = Vec::new();
        let mut count = 0;
        for value in rows {
            if let Some(filter) = &self.filter
                && !filter.matches(&decode(&value)?)
            {
                continue;
            }
            count += 1;
            if !self.count_only {
                items.push(project(&self.projection, value)?);
            }
        }
        Ok(((!self.count_only).then_some(items), count))
    }
}

fn read_row_key(table: &Table, key: &Key) -> Result<Item, ApiError> {
    let row = ItemKey::decode(key);
    row.and_then(|row| table.key.read_key(&row.partition, &row.sort)).ok_or_else(|| {
        tracing::error!(table = table.name, "the key of a stored item is corrupt");
        ApiError::new(ErrorCode::InternalServerError, "the key of a stored item is corrupt")
    })
}
