//! What Query and Scan share: `Select`, filter and projection, the page of rows, and the answer.
//! Source: docs/spec/dynamodb-api.md 5.1, 5.2, 5.4.
//!
//! A page ends after `Limit` items read, or with the item that brings their sizes to 1 MiB; then it is filtered, then
//! projected. A filter may have 300 operators that each look at all of a megabyte, so pages above a small bound are
//! filtered and projected on a thread that may block: other requests go on meanwhile.

use bytes::Bytes;
use serde::Serialize;
use tailrace_core::codec::stored_size;
use tailrace_core::expr::{Condition, ExprKind, KeyCondition, Path, Placeholders, check_size};
use tailrace_core::limits::{ECHOED_VALUE_BYTES_MAX, PAGE_BYTES_MAX, PAGE_INLINE_BYTES_MAX, PAGE_INLINE_ROWS_MAX};
use tailrace_core::{ApiError, ErrorCode, Item, Json};
use tailrace_store::keyspace::ItemKey;
use tailrace_store::{KeyRange, PageLimit};

use super::consumed_capacity::{CapacityDetail, ConsumedCapacity, read_units};
use super::expression_parameters::{ExpressionMaps, Parameters};
use super::legacy_parameters::{read_filter, read_key_conditions};
use super::shown::Shown;
use super::stored_json::{AnsweredItem, decode};
use super::words::{Words, newer_enveloped};
use crate::db::Db;
use crate::failure::store_failure;
use crate::table::Table;

/// The answer of both.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PageOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<AnsweredItem>>,
    count: usize,
    scanned_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

/// A request whose expressions are sound; the table is not known yet.
pub(crate) struct PageRequest {
    pub key_condition: Option<KeyCondition>,
    /// What texts call the filter.
    pub filter_name: &'static str,
    choice: Choice,
    /// `Limit`.
    rows_max: usize,
    consistent: bool,
    capacity: CapacityDetail,
}

/// What an answer takes of the rows that were read.
struct Choice {
    filter: Option<Condition>,
    shown: Shown,
    count_only: bool,
}

impl PageRequest {
    /// Checks what the two operations check alike, in the order of the wording. The filter comes before the projection, and
    /// that before the key condition.
    pub fn read(
        body: &Json,
        maps: ExpressionMaps,
        parameters: &Parameters,
        words: Words,
        size_in_text: bool,
    ) -> Result<PageRequest, ApiError> {
        parameters.check_mixing(body, words)?;
        parameters.check_maps(body, &maps, words)?;
        check_select(body, words)?;
        let mut placeholders = maps.into_placeholders(words)?;
        let fault = |error| words.expression(error);
        let text = |name: &str| body.get(name).and_then(Json::as_str);
        let filter = text("FilterExpression")
            .map(|text| {
                check_size(ExprKind::Filter, text, size_in_text)?;
                Condition::parse(ExprKind::Filter, text, &mut placeholders)
            })
            .transpose()
            .map_err(fault)?;
        let legacy_filter = parameters.legacy.iter().find(|name| name.ends_with("Filter"));
        let filter = match (filter, legacy_filter) {
            (None, Some(name)) => read_filter(body, name, words)?,
            (filter, _) => filter,
        };
        let shown = Shown::read(body, &mut placeholders, words)?;
        let key_condition = read_key_condition(body, parameters, &mut placeholders, words)?;
        placeholders.finish().map_err(fault)?;
        let limit = body.get("Limit").and_then(Json::as_saturated_i32);
        Ok(PageRequest {
            key_condition,
            filter_name: if text("FilterExpression").is_some() { "Filter Expression" } else { "QueryFilter" },
            choice: Choice { filter, shown, count_only: text("Select") == Some("COUNT") },
            rows_max: limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX),
            consistent: body.get("ConsistentRead").and_then(Json::as_lenient_bool).unwrap_or(false),
            capacity: CapacityDetail::of(body),
        })
    }

    /// The filter's paths.
    pub fn filter_paths(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = Vec::new();
        if let Some(filter) = &self.choice.filter {
            filter.visit_paths(&mut |path| paths.push(path));
        }
        paths
    }

    /// What is shown of an item.
    pub fn shown(&self) -> &Shown {
        &self.choice.shown
    }

    /// Reads the page of `range`; `None`: a range that holds nothing.
    pub async fn page(self, db: &Db, table: &Table, range: Option<KeyRange>) -> Result<PageOutput, ApiError> {
        let limit =
            PageLimit { rows_max: self.rows_max, cost_max: PAGE_BYTES_MAX, cost: |_, value| stored_size(value) };
        let page = match range {
            Some(range) => db.store().page(range, limit).await.map_err(|e| store_failure(&e))?,
            None => tailrace_store::Page::default(),
        };
        let scanned_count = page.rows.len();
        let bytes: usize = page.rows.iter().map(|(_, value)| stored_size(value)).sum();
        // A page that a limit ended says so even if nothing is left behind it. Source: docs/spec/dynamodb-api.md 5.2.
        let ended_by_limit = scanned_count >= self.rows_max || bytes >= PAGE_BYTES_MAX;
        let last_evaluated_key = match page.rows.last() {
            Some((key, _)) if ended_by_limit => Some(read_row_key(table, key)?),
            _ => None,
        };
        let rows = page.rows.into_iter().map(|(_, value)| value).collect();
        let (items, count) = self.choice.run(rows, bytes).await?;
        Ok(PageOutput {
            items,
            count,
            scanned_count,
            last_evaluated_key,
            consumed_capacity: self.capacity.answer(&table.name, read_units(bytes, self.consistent)),
        })
    }
}

impl Choice {
    /// The items to show, if any are, and how many rows the filter let through. `bytes`: the size of all rows.
    async fn run(self, rows: Vec<Bytes>, bytes: usize) -> Result<(Option<Vec<AnsweredItem>>, usize), ApiError> {
        let decodes = self.filter.is_some() || !matches!(self.shown, Shown::Whole);
        if !decodes || (rows.len() <= PAGE_INLINE_ROWS_MAX && bytes <= PAGE_INLINE_BYTES_MAX) {
            return self.run_here(rows);
        }
        match tokio::task::spawn_blocking(move || self.run_here(rows)).await {
            Ok(chosen) => chosen,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ApiError::new(ErrorCode::InternalServerError, "the server is stopping")),
            },
        }
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
                items.push(self.shown.of_stored(value)?);
            }
        }
        Ok(((!self.count_only).then_some(items), count))
    }
}

fn read_row_key(table: &Table, key: &tailrace_store::Key) -> Result<Item, ApiError> {
    let row = ItemKey::decode(key);
    row.and_then(|row| table.key.read_key(&row.partition, &row.sort)).ok_or_else(|| {
        tracing::error!(table = table.name, "the key of a stored item is corrupt");
        ApiError::new(ErrorCode::InternalServerError, "the key of a stored item is corrupt")
    })
}

/// Query needs a key condition; Scan has none.
fn read_key_condition(
    body: &Json,
    parameters: &Parameters,
    placeholders: &mut Placeholders,
    words: Words,
) -> Result<Option<KeyCondition>, ApiError> {
    if !parameters.expressions.contains(&"KeyConditionExpression") {
        return Ok(None);
    }
    match body.get("KeyConditionExpression").and_then(Json::as_str) {
        Some(text) => KeyCondition::parse(text, placeholders).map(Some).map_err(|e| words.expression(e)),
        None => read_key_conditions(body, words)?.map(Some).ok_or_else(|| {
            ApiError::validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            )
        }),
    }
}

/// The rules of `Select`, a projection beside it included.
fn check_select(body: &Json, words: Words) -> Result<(), ApiError> {
    let select = body.get("Select").and_then(Json::as_str).unwrap_or_default();
    let projection = ["ProjectionExpression", "AttributesToGet"].into_iter().find(|name| body.get(name).is_some());
    if let Some(name) = projection {
        let what = match select {
            "COUNT" => "only the Count",
            "ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES" => select,
            _ => return Ok(()),
        };
        return Err(ApiError::validation(format!("Cannot specify the {name} when choosing to get {what}")));
    }
    match select {
        "ALL_PROJECTED_ATTRIBUTES" if body.get("IndexName").is_none() => Err(newer_enveloped(
            words.wording,
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        )),
        "SPECIFIC_ATTRIBUTES" => Err(newer_enveloped(
            words.wording,
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )),
        _ => Ok(()),
    }
}

/// There are no indexes, so every name is unknown. The text repeats a long one to a bound.
pub(crate) fn check_no_index(body: &Json) -> Result<(), ApiError> {
    match body.get("IndexName").and_then(Json::as_str) {
        Some(name) => {
            let name = &name[..name.floor_char_boundary(ECHOED_VALUE_BYTES_MAX)];
            Err(ApiError::validation(format!("The table does not have the specified index: {name}")))
        }
        None => Ok(()),
    }
}
