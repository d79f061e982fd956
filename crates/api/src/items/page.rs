//! What Query and Scan share: `Select`, filter, projection, `Limit`, and the answer.
//! Source: docs/spec/dynamodb-api.md 5.1, 5.2, 5.4.

use serde::Serialize;
use tailrace_core::expr::{Condition, ExprKind, KeyCondition, Placeholders, check_size};
use tailrace_core::{ApiError, Item, Json};

use super::expression_parameters::{ExpressionMaps, ExpressionParameters};
use super::legacy_parameters::{read_filter, read_key_conditions};
use super::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemProjection, ItemsAnswer};
use crate::{ErrorWording, member};

/// What is read and answered of the rows of a query or a scan.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Which rows are answered.
    pub filter: Option<Condition>,
    /// The filter was given as `QueryFilter` or `ScanFilter`; texts call it by another name then.
    pub legacy_filter: bool,
    /// The filter may say something of the key that is queried, as that of a statement may.
    pub keys_in_filter: bool,
    /// What of the items is answered.
    pub projection: ItemProjection,
    /// `Select` is `COUNT`: no items are answered.
    pub count_only: bool,
    /// `Select` is `ALL_ATTRIBUTES`: of an index too, whatever it projects.
    pub all_attributes: bool,
    /// `Limit`: most rows that are read.
    pub limit: Option<usize>,
    /// The row that brings the sizes to so many bytes is the last one that is read, where a page consists of several reads; at most,
    /// and otherwise, 1 MiB.
    pub bytes_max: Option<usize>,
    /// `ConsistentRead`: every read is consistent; this one is charged as such.
    pub consistent_read: bool,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// The answer of both.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PageAnswer {
    /// The items, unless only their number was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<AnsweredItem>>,
    /// Rows that the filter let through.
    pub count: usize,
    /// Rows that were read.
    pub scanned_count: usize,
    /// Where the next page begins; none: there is nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_key: Option<Item>,
    /// What the page is charged, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<ConsumedCapacity>,
}

impl ItemsAnswer for PageAnswer {
    fn item_bytes(&self) -> usize {
        self.items.iter().flatten().map(AnsweredItem::bytes).sum()
    }
}

impl PageRequest {
    /// Checks what the two operations check alike, in the order of the wording: the filter comes before the projection, and
    /// that before the key condition, which only a query has.
    pub(super) fn read(
        body: &Json,
        maps: ExpressionMaps,
        parameters: &ExpressionParameters,
        wording: ErrorWording,
        size_in_text: bool,
    ) -> Result<(PageRequest, Option<KeyCondition>), ApiError> {
        parameters.check_mixing(body, wording)?;
        parameters.check_maps(body, &maps, wording)?;
        check_select(body, wording)?;
        let mut placeholders = maps.into_placeholders(wording)?;
        let fault = |error| wording.expression(error);
        let filter = member::text(body, "FilterExpression")
            .map(|text| {
                check_size(ExprKind::Filter, text, size_in_text)?;
                Condition::parse(ExprKind::Filter, text, &mut placeholders)
            })
            .transpose()
            .map_err(fault)?;
        let legacy_filter = filter.is_none();
        let older_name = parameters.legacy.iter().find(|name| name.ends_with("Filter"));
        let filter = match (filter, older_name) {
            (None, Some(name)) => read_filter(body, name, wording)?,
            (filter, _) => filter,
        };
        let projection = ItemProjection::read(body, &mut placeholders, wording)?;
        let key_condition = read_key_condition(body, parameters, &mut placeholders, wording)?;
        placeholders.finish().map_err(fault)?;
        let page = PageRequest {
            filter,
            legacy_filter,
            keys_in_filter: false,
            projection,
            count_only: member::text(body, "Select") == Some("COUNT"),
            all_attributes: member::text(body, "Select") == Some("ALL_ATTRIBUTES"),
            limit: member::integer(body, "Limit").and_then(|limit| usize::try_from(limit).ok()),
            bytes_max: None,
            consistent_read: member::boolean(body, "ConsistentRead").unwrap_or(false),
            capacity: CapacityDetail::of(body),
        };
        Ok((page, key_condition))
    }
}

/// Query needs a key condition; Scan has none.
fn read_key_condition(
    body: &Json,
    parameters: &ExpressionParameters,
    placeholders: &mut Placeholders,
    wording: ErrorWording,
) -> Result<Option<KeyCondition>, ApiError> {
    if !parameters.expressions.contains(&"KeyConditionExpression") {
        return Ok(None);
    }
    match member::text(body, "KeyConditionExpression") {
        Some(text) => KeyCondition::parse(text, placeholders).map(Some).map_err(|e| wording.expression(e)),
        None => read_key_conditions(body, wording)?.map(Some).ok_or_else(|| {
            ApiError::validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            )
        }),
    }
}

/// The rules of `Select`, a projection beside it included.
fn check_select(body: &Json, wording: ErrorWording) -> Result<(), ApiError> {
    let select = member::text(body, "Select").unwrap_or_default();
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
        "ALL_PROJECTED_ATTRIBUTES" if body.get("IndexName").is_none() => {
            Err(wording.newer_enveloped("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"))
        }
        "SPECIFIC_ATTRIBUTES" => Err(wording.newer_enveloped(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )),
        _ => Ok(()),
    }
}
