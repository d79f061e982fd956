//! What PutItem, UpdateItem and DeleteItem have in common: an item or a key, expressions, `ReturnValues`, the answer; and the
//! order in which the faults of a request are reported, in both wordings. Source: docs/spec/dynamodb-api.md 2.5.

use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::expr::{Condition, ExprKind, Update};
use tailrace_core::limits::ITEM_BYTES_MAX;
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, Item, Json};

use super::expression_parameters::{ExpressionMaps, ExpressionParameters};
use super::legacy_parameters::{read_attribute_updates, read_expected};
use super::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemCollectionMetrics, ItemsAnswer};
use crate::{ErrorWording, Reading, member};

/// The answer of all three.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WriteItemAnswer {
    /// What `ReturnValues` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AnsweredItem>,
    /// What the write is charged, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<ConsumedCapacity>,
    /// The item collection, if the table has a local index and that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_collection_metrics: Option<ItemCollectionMetrics>,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteKind {
    Put,
    Update,
    Delete,
}

/// `ReturnValues`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnValues {
    /// Nothing.
    #[default]
    None,
    /// The item as it was.
    AllOld,
    /// What the update names, as it was.
    UpdatedOld,
    /// The item as it is.
    AllNew,
    /// What the update names, as it is.
    UpdatedNew,
}

/// The parameters of a write, with sound values and expressions.
pub(super) struct WriteParameters {
    /// The item of a put, else the key.
    pub attributes: Item,
    pub update: Option<Update>,
    pub condition: Option<Condition>,
    pub return_values: ReturnValues,
    pub capacity: CapacityDetail,
    pub item_collection_metrics: bool,
    pub return_item_on_failure: bool,
}

static CONDITION_ONLY: ExpressionParameters = ExpressionParameters {
    legacy: &["Expected", "ConditionalOperator"],
    expressions: &["ConditionExpression"],
    with_values: &["ConditionExpression"],
    values_need: ["ConditionExpression is null"; 2],
};

static UPDATE_AND_CONDITION: ExpressionParameters = ExpressionParameters {
    legacy: &["AttributeUpdates", "Expected", "ConditionalOperator"],
    expressions: &["UpdateExpression", "ConditionExpression"],
    with_values: &["UpdateExpression", "ConditionExpression"],
    values_need: ["UpdateExpression and ConditionExpression are null"; 2],
};

impl ItemsAnswer for WriteItemAnswer {
    fn item_bytes(&self) -> usize {
        self.attributes.as_ref().map_or(0, AnsweredItem::bytes)
    }
}

impl WriteParameters {
    /// Reads a request of this kind.
    pub fn read(kind: WriteKind, body: &mut Json, reading: &Reading<'_>) -> Result<WriteParameters, ApiError> {
        let wording = ErrorWording::of_write(reading.wording);
        let parameters = if kind == WriteKind::Update { &UPDATE_AND_CONDITION } else { &CONDITION_ONLY };
        let maps = ExpressionMaps::take(body);
        let name = if kind == WriteKind::Put { "Item" } else { "Key" };
        let attributes = body.take(name).unwrap_or(Json::Null);
        let read_attributes = || read_item(attributes).map_err(|e| wording.value(e));
        let (attributes, expressions) = if wording.is_current() {
            let attributes = read_attributes()?;
            maps.check_values_early(wording)?;
            if kind == WriteKind::Delete {
                check_return_values(kind, body, wording)?;
            }
            parameters.check_mixing(body, wording)?;
            parameters.check_maps(body, &maps, wording)?;
            let expressions = parse(body, maps, wording)?;
            check_return_values(kind, body, wording)?;
            check_item_size(kind, &attributes)?;
            (attributes, expressions)
        } else {
            parameters.check_mixing(body, wording)?;
            parameters.check_maps(body, &maps, wording)?;
            let attributes = read_attributes()?;
            check_return_values(kind, body, wording)?;
            check_item_size(kind, &attributes)?;
            (attributes, parse(body, maps, wording)?)
        };
        let (update, condition) = expressions;
        Ok(WriteParameters {
            attributes,
            update,
            condition,
            return_values: ReturnValues::of(body),
            capacity: CapacityDetail::of(body),
            item_collection_metrics: ItemCollectionMetrics::asked(body),
            return_item_on_failure: member::text(body, "ReturnValuesOnConditionCheckFailure") == Some("ALL_OLD"),
        })
    }
}

impl ReturnValues {
    fn of(body: &Json) -> ReturnValues {
        match member::text(body, "ReturnValues") {
            Some("ALL_OLD") => ReturnValues::AllOld,
            Some("UPDATED_OLD") => ReturnValues::UpdatedOld,
            Some("ALL_NEW") => ReturnValues::AllNew,
            Some("UPDATED_NEW") => ReturnValues::UpdatedNew,
            _ => ReturnValues::None,
        }
    }
}

fn check_return_values(kind: WriteKind, body: &Json, wording: ErrorWording) -> Result<(), ApiError> {
    match ReturnValues::of(body) {
        ReturnValues::None | ReturnValues::AllOld => Ok(()),
        _ if kind == WriteKind::Update => Ok(()),
        _ => Err(wording.enveloped("ReturnValues can only be ALL_OLD or NONE")),
    }
}

fn check_item_size(kind: WriteKind, item: &Item) -> Result<(), ApiError> {
    if kind == WriteKind::Put && item_size(item) > ITEM_BYTES_MAX {
        return Err(ApiError::validation("Item size has exceeded the maximum allowed size"));
    }
    Ok(())
}

fn parse(
    body: &Json,
    maps: ExpressionMaps,
    wording: ErrorWording,
) -> Result<(Option<Update>, Option<Condition>), ApiError> {
    let mut placeholders = maps.into_placeholders(wording)?;
    let fault = |error| wording.expression(error);
    let text = |name: &str| member::text(body, name);
    // The newer layer reports an empty condition before an empty update.
    if wording.is_current() && text("UpdateExpression") == Some("") && text("ConditionExpression") == Some("") {
        Condition::parse(ExprKind::Condition, "", &mut placeholders).map_err(fault)?;
    }
    let update =
        text("UpdateExpression").map(|text| Update::parse(text, &mut placeholders)).transpose().map_err(fault)?;
    let condition = text("ConditionExpression")
        .map(|text| Condition::parse(ExprKind::Condition, text, &mut placeholders))
        .transpose()
        .map_err(fault)?;
    placeholders.finish().map_err(fault)?;
    // Expressions do not stand beside what they replaced: that was checked.
    let update = match update {
        None => read_attribute_updates(body, wording)?,
        update => update,
    };
    let condition = match condition {
        None => read_expected(body, wording)?,
        condition => condition,
    };
    Ok((update, condition))
}
