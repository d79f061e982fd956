//! Reading items: one or some by their keys, confirmed together with their tables, and pages of rows.
//!
//! A page ends after `Limit` items read, or with the item that brings their sizes to 1 MiB; then it is filtered, then
//! projected. A filter may have 300 operators that each look at all of a megabyte, so pages above a small bound are
//! filtered and projected on a thread that may block: other requests go on meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_api::items::{AnsweredItem, Charge, ItemProjection, PageAnswer, PageRequest};
use tailrace_core::ApiError;
use tailrace_core::codec::stored_size;
use tailrace_core::expr::{Condition, Path};
use tailrace_core::limits::{INDEX_FETCH_STEP_ROWS, PAGE_BYTES_MAX, PAGE_INLINE_BYTES_MAX, PAGE_INLINE_ROWS_MAX};
use tailrace_store::{Key, KeyRange, Page, PageLimit};

use super::capacity::read_units;
use super::index_entries::entries_of;
use super::projection::project;
use super::read_source::ReadSource;
use super::stored_item::decode;
use crate::aside::aside;
use crate::db::{Db, StoredTable};
use crate::failure::store_failure;
use crate::tables::index::IndexKind;

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

/// Reads the page of `range`; `None`: a range that holds nothing. `fetches`: the items of an index's entries are fetched, because
/// the entries do not hold what is asked for. With the sizes of the rows, bytes: what a page may have 1 MiB of.
///
/// # Errors
/// The table or the index is throttled, or the store's failure.
pub(crate) async fn read_page(
    db: &Db,
    source: ReadSource<'_>,
    request: PageRequest,
    range: Option<KeyRange>,
    fetches: bool,
) -> Result<(PageAnswer, usize), ApiError> {
    if let Some(throttle) = &db.throttle {
        throttle.check_read(source.table, source.index)?;
    }
    let rows_max = request.limit.unwrap_or(usize::MAX);
    let bytes_max = request.bytes_max.unwrap_or(PAGE_BYTES_MAX);
    let limit = PageLimit { rows_max, cost_max: bytes_max, cost: |_, value| stored_size(value) };
    let page = match range {
        Some(range) => db.store().page(range, limit).await.map_err(|e| store_failure(&e))?,
        None => Page::default(),
    };
    let mut rows = page.rows;
    let fetched = if fetches { Some(fetch(db, &source, &mut rows, request.consistent_read).await?) } else { None };
    let scanned_count = rows.len();
    let bytes: usize = rows.iter().map(|(_, value)| stored_size(value)).sum();
    // A page that a limit ended says so even if nothing is left behind it. Source: docs/spec/dynamodb-api.md 5.2.
    let cut = fetched.as_ref().is_some_and(|fetched| fetched.cut);
    let ended_by_limit = scanned_count >= rows_max || bytes >= bytes_max || cut;
    let last_evaluated_key = match rows.last() {
        Some((key, value)) if ended_by_limit => Some(source.key_of_row(key, value)?),
        _ => None,
    };
    let PageRequest { filter, projection, count_only, consistent_read, capacity, all_attributes, .. } = request;
    let charge = charge(&source, read_units(bytes, consistent_read), fetched.as_ref().map_or(0.0, |items| items.units));
    if let Some(throttle) = &db.throttle {
        throttle.take_read(source.table, &charge);
    }
    let consumed_capacity = capacity.answer(&source.table.name, charge);
    let values = match fetched {
        Some(fetched) => fetched.items,
        None => rows.into_iter().map(|(_, value)| value).collect(),
    };
    let stored_bytes = values.iter().map(Bytes::len).sum();
    // Items that were fetched for the filter alone are not shown whole.
    let shown = match source.index {
        Some(_) if fetches && !all_attributes => source.shown(projection),
        _ => projection,
    };
    let (items, count) = Choice { filter, projection: shown, count_only }.run(values, stored_bytes).await?;
    Ok((PageAnswer { items, count, scanned_count, last_evaluated_key, consumed_capacity }, bytes))
}

/// What a page of `units` is charged, with `fetched` units for the items of an index's entries.
fn charge(source: &ReadSource<'_>, units: f64, fetched: f64) -> Charge {
    let mut charge = Charge::from(fetched);
    match source.index {
        None => charge.table += units,
        Some(index) => {
            let arm = match index.kind {
                IndexKind::Local => &mut charge.local,
                IndexKind::Global => &mut charge.global,
            };
            arm.insert(index.name.clone(), units);
        }
    }
    charge
}

/// The items of a page's entries.
struct Fetched {
    /// Those that are still there, in the same place of the index.
    items: Vec<Bytes>,
    /// What the reads are charged, each on its own.
    units: f64,
    /// The page ends with them, though the index goes on.
    cut: bool,
}

/// Fetches the items of entries, in one read unless there are very many. The page ends with the item that brings their sizes to
/// 1 MiB: the entries behind it are dropped.
async fn fetch(
    db: &Db,
    source: &ReadSource<'_>,
    rows: &mut Vec<(Key, Bytes)>,
    consistent: bool,
) -> Result<Fetched, ApiError> {
    let index = source.index.expect("invariant: only an index's entries are fetched for");
    let mut fetched = Fetched { items: Vec::with_capacity(rows.len()), units: 0.0, cut: false };
    let (mut read, mut bytes) = (0, 0);
    while read < rows.len() && bytes < PAGE_BYTES_MAX {
        let step = &rows[read..rows.len().min(read + INDEX_FETCH_STEP_ROWS)];
        let keys = step.iter().map(|(_, entry)| source.item_row(entry)).collect::<Result<Vec<Key>, ApiError>>()?;
        for ((entry, _), item) in step.iter().zip(db.rows(&keys).await?) {
            read += 1;
            let size = item.as_ref().map_or(0, |item| stored_size(item));
            fetched.units += read_units(size, consistent);
            bytes += size;
            // An item that was removed since the index was read is left out, and so is one that has another place in it by now: it may
            // be outside of what was asked for.
            if let Some(item) = item
                && entries_of(index, &item, source.table)?.is_some_and(|(place, _)| place == *entry)
            {
                fetched.items.push(item);
            }
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
    }
    fetched.cut = read < rows.len();
    rows.truncate(read);
    Ok(fetched)
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
