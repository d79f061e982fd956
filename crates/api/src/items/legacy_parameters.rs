//! The parameters that expressions replaced, out of a request: `Expected`, `QueryFilter`, `ScanFilter`, `KeyConditions`,
//! `AttributeUpdates` and `ConditionalOperator`. `tailrace_core::legacy` turns them into the trees of expressions.
//! Source: docs/spec/dynamodb-api.md 6.

use std::collections::BTreeMap;

use tailrace_core::attribute_json::{ValueError, check_name, read_value};
use tailrace_core::expr::{Condition, ExprError, KeyCondition, Update};
use tailrace_core::legacy::{
    AttributeCondition, AttributeUpdate, ConditionalOperator, ExpectedAttribute, attribute_updates,
    conditional_operator_alone, expected, filter, key_conditions, null_condition, null_expectation,
};
use tailrace_core::{ApiError, AttributeValue, Json};

use crate::ErrorWording;

/// The condition of `Expected`; `None`: there is none.
pub(crate) fn read_expected(body: &Json, wording: ErrorWording) -> Result<Option<Condition>, ApiError> {
    let operator = conditional_operator(body);
    check_no_null(body, "Expected", wording, null_expectation)?;
    let Some(attributes) = members(body, "Expected", wording, |attribute| {
        Ok(ExpectedAttribute {
            value: value(attribute)?,
            exists: attribute.get("Exists").and_then(Json::as_lenient_bool),
            comparison_operator: text(attribute, "ComparisonOperator"),
            attribute_value_list: value_list(attribute)?,
        })
    })?
    else {
        return none_to_join(operator, wording);
    };
    some_condition(&attributes, operator, wording, expected)
}

/// The condition of `QueryFilter` or `ScanFilter`; `None`: there is none.
pub(crate) fn read_filter(body: &Json, name: &str, wording: ErrorWording) -> Result<Option<Condition>, ApiError> {
    let operator = conditional_operator(body);
    check_no_null(body, name, wording, null_condition)?;
    match members(body, name, wording, read_attribute_condition)? {
        Some(attributes) => some_condition(&attributes, operator, wording, filter),
        None => none_to_join(operator, wording),
    }
}

/// The key condition of `KeyConditions`; `None`: there is none.
pub(crate) fn read_key_conditions(body: &Json, wording: ErrorWording) -> Result<Option<KeyCondition>, ApiError> {
    check_no_null(body, "KeyConditions", wording, null_condition)?;
    let attributes = members(body, "KeyConditions", wording, read_attribute_condition)?;
    attributes.map(|attributes| key_conditions(&attributes)).transpose().map_err(|e| wording.expression(e))
}

/// The update of `AttributeUpdates`; `None`: there is none, or it updates nothing.
pub(crate) fn read_attribute_updates(body: &Json, wording: ErrorWording) -> Result<Option<Update>, ApiError> {
    let attributes = members(body, "AttributeUpdates", wording, |attribute| {
        Ok(AttributeUpdate { action: text(attribute, "Action"), value: value(attribute)? })
    })?;
    let attributes = attributes.filter(|attributes| !attributes.is_empty());
    attributes.map(|attributes| attribute_updates(&attributes)).transpose().map_err(|e| wording.expression(e))
}

fn some_condition<T>(
    attributes: &BTreeMap<String, T>,
    operator: Option<ConditionalOperator>,
    wording: ErrorWording,
    read: impl Fn(&BTreeMap<String, T>, Option<ConditionalOperator>) -> Result<Condition, ExprError>,
) -> Result<Option<Condition>, ApiError> {
    if attributes.is_empty() {
        return none_to_join(operator, wording);
    }
    read(attributes, operator).map(Some).map_err(|e| wording.expression(e))
}

fn none_to_join(operator: Option<ConditionalOperator>, wording: ErrorWording) -> Result<Option<Condition>, ApiError> {
    match operator {
        Some(_) => Err(wording.expression(conditional_operator_alone())),
        None => Ok(None),
    }
}

fn conditional_operator(body: &Json) -> Option<ConditionalOperator> {
    match body.get("ConditionalOperator").and_then(Json::as_str)? {
        "OR" => Some(ConditionalOperator::Or),
        _ => Some(ConditionalOperator::And),
    }
}

/// Refuses a null for an attribute, before anything else that is wrong with the others.
fn check_no_null(body: &Json, name: &str, wording: ErrorWording, fault: fn(&str) -> ExprError) -> Result<(), ApiError> {
    let attributes = body.get(name).and_then(Json::as_object).unwrap_or_default();
    match attributes.iter().find(|(_, attribute)| *attribute == Json::Null) {
        Some((name, _)) => Err(wording.expression(fault(name))),
        None => Ok(()),
    }
}

fn members<T>(
    body: &Json,
    name: &str,
    wording: ErrorWording,
    read: impl Fn(&Json) -> Result<T, ValueError>,
) -> Result<Option<BTreeMap<String, T>>, ApiError> {
    let Some(attributes) = body.get(name).and_then(Json::as_object) else { return Ok(None) };
    let mut out = BTreeMap::new();
    for (name, attribute) in attributes {
        check_name(name).map_err(|e| wording.value(e))?;
        out.insert(name.clone(), read(attribute).map_err(|e| wording.value(e))?);
    }
    Ok(Some(out))
}

fn read_attribute_condition(attribute: &Json) -> Result<AttributeCondition, ValueError> {
    Ok(AttributeCondition {
        comparison_operator: text(attribute, "ComparisonOperator").unwrap_or_default(),
        attribute_value_list: value_list(attribute)?.unwrap_or_default(),
    })
}

fn text(attribute: &Json, name: &str) -> Option<String> {
    attribute.get(name).and_then(Json::as_str).map(str::to_owned)
}

fn value(attribute: &Json) -> Result<Option<AttributeValue>, ValueError> {
    attribute.get("Value").cloned().map(read_value).transpose()
}

fn value_list(attribute: &Json) -> Result<Option<Vec<AttributeValue>>, ValueError> {
    let list = attribute.get("AttributeValueList").and_then(Json::as_array);
    list.map(|list| list.iter().cloned().map(read_value).collect()).transpose()
}
