//! The parameters that expressions replaced: `Expected`, `QueryFilter`, `ScanFilter`, `KeyConditions`,
//! `AttributeUpdates`, `AttributesToGet` and `ConditionalOperator`. Each is checked in its own words and becomes the same
//! tree that the matching expression becomes, so that nothing here evaluates anything.
//!
//! Values arrive converted; that one parameter does not go with another is the engine's to say.
//! Source: docs/spec/dynamodb-api.md 6.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attribute_json::check_name;
use crate::echo::echo;
use crate::expr::{
    Action, Change, Comparison, Condition, Dialect, ExprError, KeyCondition, Node, Operand, Path, Projection, SetValue,
    Update,
};
use crate::limits::ECHOED_VALUE_BYTES_MAX;
use crate::value::AttributeValue;

#[cfg(test)]
mod tests;

/// One attribute of `Expected`, as sent.
#[derive(Clone, Debug, Default)]
pub struct ExpectedAttribute {
    /// `Value`.
    pub value: Option<AttributeValue>,
    /// `Exists`.
    pub exists: Option<bool>,
    /// `ComparisonOperator`.
    pub comparison_operator: Option<String>,
    /// `AttributeValueList`.
    pub attribute_value_list: Option<Vec<AttributeValue>>,
}

/// One attribute of `QueryFilter`, `ScanFilter` or `KeyConditions`, as sent.
#[derive(Clone, Debug, Default)]
pub struct AttributeCondition {
    /// `ComparisonOperator`, whose absence the structural validation reports.
    pub comparison_operator: String,
    /// `AttributeValueList`.
    pub attribute_value_list: Vec<AttributeValue>,
}

/// One attribute of `AttributeUpdates`, as sent.
#[derive(Clone, Debug, Default)]
pub struct AttributeUpdate {
    /// `Action`; default `PUT`.
    pub action: Option<String>,
    /// `Value`.
    pub value: Option<AttributeValue>,
}

/// `ConditionalOperator`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalOperator {
    /// `AND`.
    #[default]
    And,
    /// `OR`.
    Or,
}

/// What `Expected` demands of the item. `operator`: `ConditionalOperator`, if it was sent.
pub fn expected(
    attributes: &BTreeMap<String, ExpectedAttribute>,
    operator: Option<ConditionalOperator>,
) -> Result<Condition, ExprError> {
    let mut nodes = Vec::with_capacity(attributes.len());
    for (name, attribute) in attributes {
        nodes.push(expected_node(name, attribute)?);
    }
    joined(nodes, operator)
}

/// What `QueryFilter` or `ScanFilter` lets through. `operator`: `ConditionalOperator`, if it was sent.
pub fn filter(
    attributes: &BTreeMap<String, AttributeCondition>,
    operator: Option<ConditionalOperator>,
) -> Result<Condition, ExprError> {
    let mut nodes = Vec::with_capacity(attributes.len());
    for (name, attribute) in attributes {
        nodes.push(condition_node(name, &attribute.comparison_operator, &attribute.attribute_value_list)?);
    }
    joined(nodes, operator)
}

/// The key condition that `KeyConditions` stands for.
pub fn key_conditions(attributes: &BTreeMap<String, AttributeCondition>) -> Result<KeyCondition, ExprError> {
    if attributes.is_empty() {
        return Err(ExprError::bare("Conditions must be at least length 1"));
    }
    let mut nodes = Vec::with_capacity(attributes.len());
    for (name, attribute) in attributes {
        let operator = attribute.comparison_operator.as_str();
        nodes.push(condition_node(name, operator, &attribute.attribute_value_list)?);
        if matches!(operator, "NE" | "NULL" | "NOT_NULL" | "IN" | "CONTAINS" | "NOT_CONTAINS") {
            return Err(ExprError::bare("Attempted conditional constraint is not an indexable operation"));
        }
    }
    Ok(KeyCondition { condition: Condition { root: Node::And(nodes) } })
}

/// The update that `AttributeUpdates` stands for.
pub fn attribute_updates(attributes: &BTreeMap<String, AttributeUpdate>) -> Result<Update, ExprError> {
    let mut actions = Vec::with_capacity(attributes.len());
    for (name, attribute) in attributes {
        let change = update_change(attribute)
            .map_err(|detail| ExprError::bare(format!("One or more parameter values were invalid: {detail}")))?;
        actions.push(Action { target: Path::attribute(name.as_str()), change });
    }
    Ok(Update { actions, dialect: Dialect::Legacy })
}

/// The projection that `AttributesToGet` stands for.
pub fn attributes_to_get(names: &[String]) -> Result<Projection, ExprError> {
    for (i, name) in names.iter().enumerate() {
        check_name(name).map_err(|error| ExprError::enveloped(error.current))?;
        if names[..i].contains(name) {
            return Err(ExprError::parameter_values(format_args!("Duplicate value in attribute name: {}", echo(name))));
        }
    }
    Ok(Projection::of(names.iter().map(|name| Path::attribute(name.as_str())).collect()))
}

/// Checks a `ConditionalOperator` that has no map of conditions to join.
pub fn conditional_operator_alone() -> ExprError {
    ExprError::enveloped("ConditionalOperator cannot be used without Filter or Expected")
}

/// The text for a null instead of an attribute's condition. A long name is repeated to a bound only.
pub fn null_condition(name: &str) -> ExprError {
    let name = &name[..name.floor_char_boundary(ECHOED_VALUE_BYTES_MAX)];
    ExprError::enveloped(format!("The filter condition for an attribute cannot be null: {name}"))
}

/// The text for a null instead of an attribute of `Expected`. A long name is repeated to a bound only.
pub fn null_expectation(name: &str) -> ExprError {
    let name = &name[..name.floor_char_boundary(ECHOED_VALUE_BYTES_MAX)];
    ExprError::parameter_values(format_args!("ExpectedAttributeValue must not be null for Attribute: {name}"))
}

fn joined(mut nodes: Vec<Node>, operator: Option<ConditionalOperator>) -> Result<Condition, ExprError> {
    if operator.is_some() {
        match nodes.len() {
            0 => return Err(conditional_operator_alone()),
            1 => {
                return Err(ExprError::enveloped(
                    "ConditionalOperator can only be used when Filter or Expected has two or more elements",
                ));
            }
            _ => {}
        }
    }
    let root = match (nodes.len(), operator.unwrap_or_default()) {
        (1, _) => nodes.remove(0),
        (_, ConditionalOperator::And) => Node::And(nodes),
        (_, ConditionalOperator::Or) => Node::Or(nodes),
    };
    Ok(Condition { root })
}

fn expected_node(name: &str, expected: &ExpectedAttribute) -> Result<Node, ExprError> {
    let fault = |detail: &str| Err(ExprError::parameter_values(format_args!("{detail} for Attribute: {}", echo(name))));
    if expected.comparison_operator.is_some() && expected.exists.is_some() {
        return fault("Exists and ComparisonOperator cannot be used together");
    }
    if expected.value.is_some() && expected.attribute_value_list.is_some() {
        return fault("Value and AttributeValueList cannot be used together");
    }
    let Some(operator) = &expected.comparison_operator else {
        if expected.attribute_value_list.is_some() {
            return fault("AttributeValueList can only be used with a ComparisonOperator");
        }
        return match (expected.exists, &expected.value) {
            (Some(false), None) => Ok(Node::NotExists(Path::attribute(name))),
            (Some(false), Some(_)) => fault("Value cannot be used when Exists is false"),
            (_, Some(value)) => condition_node(name, "EQ", std::slice::from_ref(value)),
            (Some(true), None) => fault("Value must be provided when Exists is true"),
            (None, None) => fault("Value must be provided when Exists is null"),
        };
    };
    let arguments = match (&expected.value, &expected.attribute_value_list) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(list)) => list.as_slice(),
        (None, None) if matches!(operator.as_str(), "NULL" | "NOT_NULL") => &[],
        (None, None) => {
            return fault(&format!(
                "Value or AttributeValueList must be used with ComparisonOperator: {}",
                echo(operator)
            ));
        }
    };
    condition_node(name, operator, arguments)
}

/// One comparison of the legacy parameters, with the checks that they all share.
fn condition_node(name: &str, operator: &str, arguments: &[AttributeValue]) -> Result<Node, ExprError> {
    let (least, most) = match operator {
        "NULL" | "NOT_NULL" => (0, 0),
        "IN" => (1, usize::MAX),
        "BETWEEN" => (2, 2),
        "EQ" | "NE" | "LT" | "LE" | "GT" | "GE" | "CONTAINS" | "NOT_CONTAINS" | "BEGINS_WITH" => (1, 1),
        _ => return Err(ExprError::parameter_values("Invalid comparison operator")),
    };
    if arguments.len() < least || arguments.len() > most {
        return Err(ExprError::parameter_values(format_args!(
            "Invalid number of argument(s) for the {operator} ComparisonOperator"
        )));
    }
    for argument in arguments {
        if !takes(operator, argument) {
            return Err(ExprError::parameter_values(format_args!(
                "ComparisonOperator {operator} is not valid for {} AttributeValue type",
                argument.type_name()
            )));
        }
        if argument.type_name() != arguments[0].type_name() {
            return Err(ExprError::parameter_values("AttributeValues inside AttributeValueList must be of same type"));
        }
    }
    let path = || Operand::Path(Path::attribute(name));
    let value = |i: usize| Operand::Value(Arc::new(arguments[i].clone()));
    let compare = |comparison| Node::Compare(comparison, path(), value(0));
    Ok(match operator {
        "NULL" => Node::NotExists(Path::attribute(name)),
        "NOT_NULL" => Node::Exists(Path::attribute(name)),
        "EQ" => compare(Comparison::Equal),
        "NE" => compare(Comparison::NotEqual),
        "LT" => compare(Comparison::Less),
        "LE" => compare(Comparison::LessEqual),
        "GT" => compare(Comparison::Greater),
        "GE" => compare(Comparison::GreaterEqual),
        "CONTAINS" => Node::Contains(path(), value(0)),
        "NOT_CONTAINS" => Node::Not(Box::new(Node::Contains(path(), value(0)))),
        "BEGINS_WITH" => Node::BeginsWith(path(), value(0)),
        "IN" => Node::In(std::iter::once(path()).chain((0..arguments.len()).map(value)).collect()),
        _ => {
            if crate::expr::order(&arguments[0], &arguments[1]).is_some_and(std::cmp::Ordering::is_gt) {
                return Err(ExprError::enveloped(
                    "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
                ));
            }
            Node::Between([path(), value(0), value(1)])
        }
    })
}

/// Whether `operator` takes an argument of this type.
fn takes(operator: &str, argument: &AttributeValue) -> bool {
    let type_name = argument.type_name();
    match operator {
        "EQ" | "NE" => true,
        "BEGINS_WITH" => matches!(type_name, "S" | "B"),
        // What a list may hold; an element that is a list, map or set is not looked for.
        "CONTAINS" | "NOT_CONTAINS" => matches!(type_name, "S" | "N" | "B" | "BOOL" | "NULL"),
        _ => matches!(type_name, "S" | "N" | "B"),
    }
}

fn update_change(update: &AttributeUpdate) -> Result<Change, String> {
    let action = update.action.as_deref().unwrap_or("PUT");
    let Some(value) = &update.value else {
        return match action {
            "DELETE" => Ok(Change::Remove),
            _ => Err("Only DELETE action is allowed when no attribute value is specified".to_owned()),
        };
    };
    let is_set = matches!(value, AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_));
    let value = Arc::new(value.clone());
    match action {
        "DELETE" if is_set => Ok(Change::Delete(value)),
        "DELETE" => Err(format!("DELETE action with value is not supported for the type {}", value.type_name())),
        "ADD" if is_set || matches!(&*value, AttributeValue::N(_) | AttributeValue::L(_)) => Ok(Change::Add(value)),
        "ADD" => Err(format!("ADD action is not supported for the type {}", value.type_name())),
        _ => Ok(Change::Set(SetValue::Value(value))),
    }
}
