//! Key conditions: the text is a condition like any other; against a key schema it becomes one hash value and at most
//! one condition on the sort key.
//!
//! [`KeyCondition::parse`] finds what is wrong with the text; [`KeyCondition::resolve`], called once the table is known,
//! everything that has to do with keys. Source: docs/spec/dynamodb-api.md 5.3.

use std::sync::Arc;

use super::condition::{Comparison, Condition, Node, Operand};
use super::error::{ExprError, ExprKind};
use super::evaluate::{begins_with, order};
use super::path::Path;
use super::placeholders::Placeholders;
use crate::limits;
use crate::value::AttributeValue;

/// A key attribute: its name and the name of its type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAttribute<'a> {
    /// The attribute's name.
    pub name: &'a str,
    /// `S`, `N` or `B`.
    pub type_name: &'a str,
}

/// A checked `KeyConditionExpression` (or `KeyConditions`), not yet held against a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCondition {
    pub(crate) condition: Condition,
}

/// What a query reads: one partition, and the part of it that `range` allows.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedKeyCondition {
    /// The partition key's value.
    pub hash: Arc<AttributeValue>,
    /// The condition on the sort key.
    pub range: Option<RangeCondition>,
}

/// A condition on the sort key.
#[derive(Clone, Debug, PartialEq)]
pub enum RangeCondition {
    /// `=`.
    Equal(Arc<AttributeValue>),
    /// `<`.
    Less(Arc<AttributeValue>),
    /// `<=`.
    LessEqual(Arc<AttributeValue>),
    /// `>`.
    Greater(Arc<AttributeValue>),
    /// `>=`.
    GreaterEqual(Arc<AttributeValue>),
    /// `BETWEEN`, both bounds included.
    Between(Arc<AttributeValue>, Arc<AttributeValue>),
    /// `begins_with`.
    BeginsWith(Arc<AttributeValue>),
}

impl RangeCondition {
    /// Whether the sort key `value` meets the condition.
    pub fn matches(&self, value: &AttributeValue) -> bool {
        match self {
            RangeCondition::Equal(bound) => value == &**bound,
            RangeCondition::Less(bound) => order(value, bound).is_some_and(|order| order.is_lt()),
            RangeCondition::LessEqual(bound) => order(value, bound).is_some_and(|order| order.is_le()),
            RangeCondition::Greater(bound) => order(value, bound).is_some_and(|order| order.is_gt()),
            RangeCondition::GreaterEqual(bound) => order(value, bound).is_some_and(|order| order.is_ge()),
            RangeCondition::Between(lower, upper) => {
                order(value, lower).is_some_and(|order| order.is_ge())
                    && order(value, upper).is_some_and(|order| order.is_le())
            }
            RangeCondition::BeginsWith(prefix) => begins_with(value, prefix),
        }
    }

    fn values(&self) -> impl Iterator<Item = &Arc<AttributeValue>> {
        let (first, second) = match self {
            RangeCondition::Equal(value)
            | RangeCondition::Less(value)
            | RangeCondition::LessEqual(value)
            | RangeCondition::Greater(value)
            | RangeCondition::GreaterEqual(value)
            | RangeCondition::BeginsWith(value) => (value, None),
            RangeCondition::Between(lower, upper) => (lower, Some(upper)),
        };
        std::iter::once(first).chain(second)
    }
}

impl KeyCondition {
    /// Parses and checks a `KeyConditionExpression`, as far as that goes without a schema.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<KeyCondition, ExprError> {
        Ok(KeyCondition { condition: Condition::parse(ExprKind::KeyCondition, text, placeholders)? })
    }

    /// The key condition of a tree that is made of comparisons with `=`, `<` and the like, `BETWEEN` and `begins_with`.
    pub fn of(condition: Condition) -> KeyCondition {
        KeyCondition { condition }
    }

    /// Holds the condition against the key of the table or index.
    pub fn resolve(
        &self,
        hash: KeyAttribute<'_>,
        range: Option<KeyAttribute<'_>>,
    ) -> Result<ResolvedKeyCondition, ExprError> {
        let mut found = Vec::new();
        collect(&self.condition.root, &[Some(hash), range], &mut found)?;
        let keys_count = 1 + usize::from(range.is_some());
        if found.len() > 2 {
            return Err(ExprError::bare(format!(
                "The number of query conditions ({}) exceeds the number of key attributes defined in the schema ({})",
                found.len(),
                keys_count
            )));
        }
        let mut take = |name: &str| {
            let at = found.iter().position(|(path, _)| path.head() == name)?;
            Some(found.swap_remove(at).1)
        };
        let missed = |name: &str| ExprError::bare(format!("Query condition missed key schema element: {name}"));
        let hash_condition = take(hash.name).ok_or_else(|| missed(hash.name))?;
        let range_condition = range.and_then(|range| take(range.name));
        let not_supported = || ExprError::bare("Query key condition not supported");
        let RangeCondition::Equal(hash_value) = hash_condition else {
            return Err(not_supported());
        };
        if !found.is_empty() {
            return Err(range.map_or_else(not_supported, |range| missed(range.name)));
        }
        check_value(hash, &hash_value, &HASH_SIZE)?;
        if let (Some(range), Some(condition)) = (range, &range_condition) {
            condition.values().try_for_each(|value| check_value(range, value, &RANGE_SIZE))?;
        }
        Ok(ResolvedKeyCondition { hash: hash_value, range: range_condition })
    }
}

/// How large a value of a key attribute may be, and the text about one that is larger.
struct SizeRule {
    bytes_max: usize,
    text: &'static str,
}

const HASH_SIZE: SizeRule = SizeRule {
    bytes_max: limits::HASH_KEY_BYTES_MAX,
    text: "Size of hashkey has exceeded the maximum size limit of2048 bytes",
};
const RANGE_SIZE: SizeRule = SizeRule {
    bytes_max: limits::RANGE_KEY_BYTES_MAX,
    text: "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
};

/// A value that a key attribute is compared with, prefixes too, must be one that the attribute can have.
fn check_value(key: KeyAttribute<'_>, value: &AttributeValue, size: &SizeRule) -> Result<(), ExprError> {
    if value.type_name() != key.type_name {
        return Err(ExprError::parameter_values("Condition parameter type does not match schema type").unenveloped());
    }
    let (what, bytes) = match value {
        AttributeValue::S(text) => ("string", text.len()),
        AttributeValue::B(bytes) => ("binary", bytes.len()),
        _ => return Ok(()),
    };
    if bytes == 0 {
        return Err(ExprError::bare(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
             {what} value. Key: {}",
            key.name
        )));
    }
    if bytes > size.bytes_max {
        return Err(ExprError::parameter_values(size.text).unenveloped());
    }
    Ok(())
}

/// Takes the condition apart into one entry per key attribute, refusing whatever is not one.
fn collect<'c>(
    node: &'c Node,
    keys: &[Option<KeyAttribute<'_>>; 2],
    found: &mut Vec<(&'c Path, RangeCondition)>,
) -> Result<(), ExprError> {
    let (path, condition) = match node {
        Node::And(nodes) => return nodes.iter().try_for_each(|node| collect(node, keys, found)),
        Node::Or(_) => return Err(invalid_operator("OR")),
        Node::Not(_) => return Err(invalid_operator("NOT")),
        Node::In(_) => return Err(invalid_operator("IN")),
        Node::Exists(_) => return Err(invalid_operator("attribute_exists")),
        Node::NotExists(_) => return Err(invalid_operator("attribute_not_exists")),
        Node::HasType(..) => return Err(invalid_operator("attribute_type")),
        Node::Contains(..) => return Err(invalid_operator("contains")),
        Node::Compare(Comparison::NotEqual, ..) => return Err(invalid_operator("<>")),
        Node::Compare(comparison, left, right) => {
            check_operands([left, right], keys)?;
            let (path, value, turned) = match (left, right) {
                (Operand::Path(path), Operand::Value(value)) => (path, value, false),
                (Operand::Value(value), Operand::Path(path)) => (path, value, true),
                (Operand::Path(_), _) => return Err(several_names()),
                _ => {
                    return Err(ExprError::bare(
                        "Invalid condition in KeyConditionExpression: No key attribute specified",
                    ));
                }
            };
            (path, range_condition(*comparison, turned, Arc::clone(value)))
        }
        Node::Between(operands) => {
            check_operands(operands, keys)?;
            let [first, lower, upper] = operands;
            let path = leading_path("BETWEEN", first)?;
            (path, RangeCondition::Between(literal(lower)?, literal(upper)?))
        }
        Node::BeginsWith(first, prefix) => {
            check_operands([first, prefix], keys)?;
            let path = leading_path("begins_with", first)?;
            (path, RangeCondition::BeginsWith(literal(prefix)?))
        }
    };
    if found.iter().any(|(other, _)| *other == path) {
        return Err(ExprError::bare("KeyConditionExpressions must only contain one condition per key"));
    }
    found.push((path, condition));
    Ok(())
}

fn check_operands<'o>(
    operands: impl IntoIterator<Item = &'o Operand>,
    keys: &[Option<KeyAttribute<'_>>; 2],
) -> Result<(), ExprError> {
    for operand in operands {
        match operand {
            Operand::Size(_) => {
                return Err(ExprError::bare("KeyConditionExpressions cannot contain nested operations"));
            }
            Operand::Path(path) if path.is_nested() => {
                if keys.iter().flatten().any(|key| key.name == path.head()) {
                    return Err(nested_key(path.head()));
                }
                return Err(ExprError::bare("KeyConditionExpressions cannot have conditions on nested attributes"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text for a path that goes below a key attribute, in any expression.
pub fn nested_key(key: &str) -> ExprError {
    ExprError::bare(format!(
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: {key}"
    ))
}

/// The text for a path that goes below a key attribute of an index, in any expression.
pub fn nested_index_key(key: &str) -> ExprError {
    ExprError::bare(format!(
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: {key}"
    ))
}

fn leading_path<'o>(operator: &str, operand: &'o Operand) -> Result<&'o Path, ExprError> {
    match operand {
        Operand::Path(path) => Ok(path),
        _ => Err(ExprError::bare(format!(
            "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its \
             first operand"
        ))),
    }
}

fn literal(operand: &Operand) -> Result<Arc<AttributeValue>, ExprError> {
    match operand {
        Operand::Value(value) => Ok(Arc::clone(value)),
        _ => Err(several_names()),
    }
}

fn several_names() -> ExprError {
    ExprError::bare("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
}

fn invalid_operator(operator: &str) -> ExprError {
    ExprError::bare(format!("Invalid operator used in KeyConditionExpression: {operator}"))
}

/// `turned`: the value stands left of the comparator.
fn range_condition(comparison: Comparison, turned: bool, value: Arc<AttributeValue>) -> RangeCondition {
    match (comparison, turned) {
        (Comparison::Less, false) | (Comparison::Greater, true) => RangeCondition::Less(value),
        (Comparison::LessEqual, false) | (Comparison::GreaterEqual, true) => RangeCondition::LessEqual(value),
        (Comparison::Greater, false) | (Comparison::Less, true) => RangeCondition::Greater(value),
        (Comparison::GreaterEqual, false) | (Comparison::LessEqual, true) => RangeCondition::GreaterEqual(value),
        (Comparison::Equal | Comparison::NotEqual, _) => RangeCondition::Equal(value),
    }
}
