//! What PutItem, UpdateItem and DeleteItem have in common as requests: an item or a key, expressions, `ReturnValues`; and the
//! order in which their faults are reported, in both wordings. Source: docs/spec/dynamodb-api.md 2.5.

use bytes::Bytes;
use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::expr::{Condition, ExprKind, Path, Update};
use tailrace_core::limits::ITEM_BYTES_MAX;
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, Item, Json, KeySchema};

use super::consumed_capacity::{CapacityDetail, ConsumedCapacity};
use super::expression_parameters::{ExpressionMaps, Parameters, check_key_paths};
use super::item_write::check_condition;
use super::legacy_parameters::{read_attribute_updates, read_expected};
use super::stored_json::AnsweredItem;
use super::words::Words;

/// The answer of all three.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WriteOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AnsweredItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<ConsumedCapacity>,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Put,
    Update,
    Delete,
}

/// `ReturnValues`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReturnValues {
    None,
    AllOld,
    UpdatedOld,
    AllNew,
    UpdatedNew,
}

/// A write request whose values and expressions are sound; the table is not known yet.
pub(crate) struct WriteRequest {
    /// The item of a put, else the key.
    pub attributes: Item,
    pub update: Option<Update>,
    pub condition: Option<Condition>,
    pub return_values: ReturnValues,
    pub capacity: CapacityDetail,
    /// A failed condition brings the item.
    tell_item: bool,
}

static CONDITION_ONLY: Parameters = Parameters {
    legacy: &["Expected", "ConditionalOperator"],
    expressions: &["ConditionExpression"],
    with_values: &["ConditionExpression"],
    values_need: ["ConditionExpression is null"; 2],
};

static UPDATE_AND_CONDITION: Parameters = Parameters {
    legacy: &["AttributeUpdates", "Expected", "ConditionalOperator"],
    expressions: &["UpdateExpression", "ConditionExpression"],
    with_values: &["UpdateExpression", "ConditionExpression"],
    values_need: ["UpdateExpression and ConditionExpression are null"; 2],
};

impl WriteRequest {
    /// Reads a request of this kind.
    pub fn read(kind: WriteKind, body: &mut Json, words: Words) -> Result<WriteRequest, ApiError> {
        let parameters = if kind == WriteKind::Update { &UPDATE_AND_CONDITION } else { &CONDITION_ONLY };
        let maps = ExpressionMaps::take(body);
        let member = if kind == WriteKind::Put { "Item" } else { "Key" };
        let attributes = body.take(member).unwrap_or(Json::Null);
        let read_attributes = || read_item(attributes).map_err(|e| words.value(e));
        let (attributes, expressions) = if words.is_current() {
            let attributes = read_attributes()?;
            maps.check_values_early(words)?;
            if kind == WriteKind::Delete {
                check_return_values(kind, body, words)?;
            }
            parameters.check_mixing(body, words)?;
            parameters.check_maps(body, &maps, words)?;
            let expressions = parse(body, maps, words)?;
            check_return_values(kind, body, words)?;
            check_item_size(kind, &attributes)?;
            (attributes, expressions)
        } else {
            parameters.check_mixing(body, words)?;
            parameters.check_maps(body, &maps, words)?;
            let attributes = read_attributes()?;
            check_return_values(kind, body, words)?;
            check_item_size(kind, &attributes)?;
            (attributes, parse(body, maps, words)?)
        };
        let (update, condition) = expressions;
        Ok(WriteRequest {
            attributes,
            update,
            condition,
            return_values: ReturnValues::of(body),
            capacity: CapacityDetail::of(body),
            tell_item: body.get("ReturnValuesOnConditionCheckFailure").and_then(Json::as_str) == Some("ALL_OLD"),
        })
    }

    /// Checks what the condition says of the keys.
    pub fn check_condition_paths(&self, schema: &KeySchema) -> Result<(), ApiError> {
        let mut paths: Vec<&Path> = Vec::new();
        if let Some(condition) = &self.condition {
            condition.visit_paths(&mut |path| paths.push(path));
        }
        check_key_paths(schema, paths)
    }

    /// Holds the condition against the stored item.
    pub fn check_condition(&self, old: Option<&Bytes>) -> Result<(), ApiError> {
        check_condition(self.condition.as_ref(), old, self.tell_item)
    }
}

impl ReturnValues {
    fn of(body: &Json) -> ReturnValues {
        match body.get("ReturnValues").and_then(Json::as_str) {
            Some("ALL_OLD") => ReturnValues::AllOld,
            Some("UPDATED_OLD") => ReturnValues::UpdatedOld,
            Some("ALL_NEW") => ReturnValues::AllNew,
            Some("UPDATED_NEW") => ReturnValues::UpdatedNew,
            _ => ReturnValues::None,
        }
    }
}

fn check_return_values(kind: WriteKind, body: &Json, words: Words) -> Result<(), ApiError> {
    match ReturnValues::of(body) {
        ReturnValues::None | ReturnValues::AllOld => Ok(()),
        _ if kind == WriteKind::Update => Ok(()),
        _ => Err(words.enveloped("ReturnValues can only be ALL_OLD or NONE")),
    }
}

fn check_item_size(kind: WriteKind, item: &Item) -> Result<(), ApiError> {
    if kind == WriteKind::Put && item_size(item) > ITEM_BYTES_MAX {
        return Err(ApiError::validation("Item size has exceeded the maximum allowed size"));
    }
    Ok(())
}

fn parse(body: &Json, maps: ExpressionMaps, words: Words) -> Result<(Option<Update>, Option<Condition>), ApiError> {
    let mut placeholders = maps.into_placeholders(words)?;
    let fault = |error| words.expression(error);
    let text = |name: &str| body.get(name).and_then(Json::as_str);
    // The newer layer reports an empty condition before an empty update.
    if words.is_current() && text("UpdateExpression") == Some("") && text("ConditionExpression") == Some("") {
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
        None => read_attribute_updates(body, words)?,
        update => update,
    };
    let condition = match condition {
        None => read_expected(body, words)?,
        condition => condition,
    };
    Ok((update, condition))
}
