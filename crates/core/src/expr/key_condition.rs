//! Key conditions: the text is a condition like any other; against a key schema it becomes a value for each attribute of the
//! partition key, values of the first attributes of the sort key, and at most one condition on the one behind them.
//!
//! [`KeyCondition::parse`] finds what is wrong with the text; [`KeyCondition::resolve`], called once the table is known,
//! everything that has to do with keys. Source: docs/spec/dynamodb-api.md 5.3.

use std::sync::Arc;

use super::condition::{Comparison, Condition, Node, Operand};
use super::error::{ExprError, ExprKind};
use super::evaluate::{begins_with, order};
use super::path::Path;
use super::placeholders::Placeholders;
use crate::key::empty_key;
use crate::limits;
use crate::value::AttributeValue;

/// A key attribute of a table or an index: its name and the name of its type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAttribute<'a> {
    /// The attribute's name.
    pub name: &'a str,
    /// `S`, `N` or `B`.
    pub type_name: &'a str,
    /// The name of the index whose key it belongs to; `None`: the table's.
    pub index: Option<&'a str>,
}

/// A checked `KeyConditionExpression` (or `KeyConditions`), not yet held against a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCondition {
    pub(crate) condition: Condition,
}

/// What a query reads: one partition, and the part of it that `equal` and `range` allow.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedKeyCondition {
    /// The values of the partition key's attributes.
    pub hash: Vec<Arc<AttributeValue>>,
    /// The values of the sort key's first attributes; those before the last one that a condition names.
    pub equal: Vec<Arc<AttributeValue>>,
    /// The condition on the sort key's attribute behind them.
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

    /// Holds the condition against the key of the table or index: the attributes of its partition key, one at least, and of its
    /// sort key.
    pub fn resolve(
        &self,
        hash: &[KeyAttribute<'_>],
        range: &[KeyAttribute<'_>],
    ) -> Result<ResolvedKeyCondition, ExprError> {
        let mut found = Vec::new();
        collect(&self.condition.root, &mut found)?;
        let keys_count = hash.len() + range.len();
        // A second condition on a key of one attribute has a text of its own.
        if found.len() > keys_count.max(2) {
            return Err(ExprError::bare(format!(
                "The number of query conditions ({}) exceeds the number of key attributes defined in the schema ({})",
                found.len(),
                keys_count
            ))
            .with_classic("Conditions can be of length 1 or 2 only"));
        }
        let mut take = |key: &KeyAttribute<'_>| {
            let at = found.iter().position(|(path, _)| path.head() == key.name)?;
            Some(found.swap_remove(at).1)
        };
        let hash_conditions: Vec<_> = hash.iter().map(&mut take).collect();
        let range_conditions: Vec<_> = range.iter().map(&mut take).collect();
        let hash_values = hash_values(hash, hash_conditions)?;
        if !found.is_empty() {
            // It stands where a condition on the sort key could.
            let free = range.iter().zip(&range_conditions).find(|(_, condition)| condition.is_none());
            return Err(free.map_or_else(not_supported, |(key, _)| missed(key)));
        }
        let (equal, last) = range_values(range, range_conditions)?;
        hash.iter().zip(&hash_values).try_for_each(|(key, value)| check_value(*key, value, &HASH_SIZE))?;
        range.iter().zip(&equal).try_for_each(|(key, value)| check_value(*key, value, &RANGE_SIZE))?;
        if let (Some(key), Some(condition)) = (range.get(equal.len()), &last) {
            condition.values().try_for_each(|value| check_value(*key, value, &RANGE_SIZE))?;
        }
        Ok(ResolvedKeyCondition { hash: hash_values, equal, range: last })
    }
}

fn not_supported() -> ExprError {
    ExprError::bare("Query key condition not supported")
}

fn missed(key: &KeyAttribute<'_>) -> ExprError {
    ExprError::bare(format!("Query condition missed key schema element: {}", key.name))
}

fn listed<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    keys.collect::<Vec<_>>().join(", ")
}

/// The values of the partition key's attributes, each of which must be equal to one. The texts of several attributes are those
/// of DynamoDB Local.
fn hash_values(
    keys: &[KeyAttribute<'_>],
    conditions: Vec<Option<RangeCondition>>,
) -> Result<Vec<Arc<AttributeValue>>, ExprError> {
    let is_equal = |condition: &Option<RangeCondition>| matches!(condition, Some(RangeCondition::Equal(_)));
    if !conditions.iter().all(is_equal) {
        return Err(match (keys, &conditions[..]) {
            ([key], [None]) => missed(key),
            ([_], _) => not_supported(),
            _ => {
                let others = keys.iter().zip(&conditions).filter(|(_, condition)| !is_equal(condition));
                let names = listed(others.map(|(key, _)| key.name));
                ExprError::bare(format!(
                    "HASH key attributes {names} must have equality conditions specified in the query"
                ))
            }
        });
    }
    let values = conditions.into_iter().filter_map(|condition| match condition {
        Some(RangeCondition::Equal(value)) => Some(value),
        _ => None,
    });
    Ok(values.collect())
}

/// The values of the sort key's first attributes, and the condition on the last one that has one.
fn range_values(
    keys: &[KeyAttribute<'_>],
    mut conditions: Vec<Option<RangeCondition>>,
) -> Result<(Vec<Arc<AttributeValue>>, Option<RangeCondition>), ExprError> {
    let Some(last) = conditions.iter().rposition(Option::is_some) else { return Ok((Vec::new(), None)) };
    let range = conditions[last].take();
    let before = keys.iter().zip(conditions).take(last);
    let (mut equal, mut others) = (Vec::new(), Vec::new());
    for (key, condition) in before {
        match condition {
            Some(RangeCondition::Equal(value)) => equal.push(value),
            _ => others.push(key.name),
        }
    }
    if others.is_empty() {
        return Ok((equal, range));
    }
    Err(ExprError::bare(format!(
        "RANGE key attributes {} must have equality conditions specified in the query because a condition is present on key \
         attribute {}",
        listed(others.into_iter()),
        keys[last].name
    )))
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
        let name = key.name;
        return Err(ExprError::bare(match key.index {
            None => empty_key(name, what),
            // The text of DynamoDB Local.
            Some(index) => format!(
                "One or more parameter values are not valid. A value specified for a secondary index key is not supported. \
                 The AttributeValue for a key attribute cannot contain an empty {what} value. IndexName: {index}, IndexKey: {name}"
            ),
        }));
    }
    if bytes > size.bytes_max {
        return Err(ExprError::parameter_values(size.text).unenveloped());
    }
    Ok(())
}

/// Takes the condition apart into one entry per key attribute, refusing whatever is not one.
fn collect<'c>(node: &'c Node, found: &mut Vec<(&'c Path, RangeCondition)>) -> Result<(), ExprError> {
    let (path, condition) = match node {
        Node::And(nodes) => return nodes.iter().try_for_each(|node| collect(node, found)),
        Node::Or(_) => return Err(invalid_operator("OR")),
        Node::Not(_) => return Err(invalid_operator("NOT")),
        Node::In(_) => return Err(invalid_operator("IN")),
        Node::Exists(_) => return Err(invalid_operator("attribute_exists")),
        Node::NotExists(_) => return Err(invalid_operator("attribute_not_exists")),
        Node::HasType(..) => return Err(invalid_operator("attribute_type")),
        Node::Contains(..) => return Err(invalid_operator("contains")),
        Node::Compare(Comparison::NotEqual, ..) => return Err(invalid_operator("<>")),
        Node::Compare(comparison, left, right) => {
            check_operands([left, right])?;
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
            check_operands(operands)?;
            let [first, lower, upper] = operands;
            let path = leading_path("BETWEEN", first)?;
            (path, RangeCondition::Between(literal(lower)?, literal(upper)?))
        }
        Node::BeginsWith(first, prefix) => {
            check_operands([first, prefix])?;
            let path = leading_path("begins_with", first)?;
            (path, RangeCondition::BeginsWith(literal(prefix)?))
        }
    };
    if found.iter().any(|(other, _)| *other == path) {
        return Err(ExprError::key_condition("KeyConditionExpressions must only contain one condition per key"));
    }
    found.push((path, condition));
    Ok(())
}

fn check_operands<'o>(operands: impl IntoIterator<Item = &'o Operand>) -> Result<(), ExprError> {
    for operand in operands {
        match operand {
            Operand::Size(_) => {
                return Err(ExprError::bare("KeyConditionExpressions cannot contain nested operations"));
            }
            Operand::Path(path) if path.is_nested() => {
                let text = "KeyConditionExpressions cannot have conditions on nested attributes";
                return Err(ExprError::key_condition(text));
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
