//! From a pattern's text to what is asked of an event. Source: docs/spec/event-source-mapping.md 8.2.
//!
//! A `$or` is taken apart here: a pattern becomes alternatives, each a tree of fields that all have to match. So two conditions
//! on one array hold in one element of it, wherever in the pattern they stand.

use std::sync::Arc;

use serde_json::{Map, Value};
use tailrace_core::limits::{PATTERN_COMBINATIONS_MAX, PATTERN_NUMBER_MAX};

use crate::error::{PatternError, Reason};
use crate::leaf::{Leaf, Test};
use crate::operators::{Bound, Cidr, Range, Wildcard, without_case};

/// The member that stands for alternatives of objects.
const OR: &str = "$or";

/// Names of operators: a `$or` whose objects have one of these as a field is a field of that name.
pub const OPERATORS: [&str; 8] =
    ["exists", "equals-ignore-case", "prefix", "suffix", "anything-but", "numeric", "cidr", "wildcard"];

/// A field: what is asked of its value, and of the fields of its object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub name: Box<str>,
    /// All of them have to match.
    pub leaves: Vec<Arc<Leaf>>,
    pub inner: Vec<Field>,
}

/// What is asked at a path.
type Condition = (Vec<Box<str>>, Arc<Leaf>);

/// Conditions that all have to hold, and alternatives of those.
type Alternatives = Vec<Vec<Condition>>;

/// Compiles the text of a pattern into alternatives.
pub(crate) fn compile(text: &str) -> Result<Vec<Vec<Field>>, PatternError> {
    let fail = |reason| PatternError { path: Vec::new(), reason };
    // Nesting is bounded by the parser; of members with the same name it keeps the last.
    let value: Value = serde_json::from_str(text).map_err(|error| fail(Reason::NotJson(error.to_string())))?;
    let Value::Object(object) = value else { return Err(fail(Reason::NotAnObject)) };
    let mut path = Vec::new();
    let alternatives = of_object(&object, &mut path).map_err(|reason| {
        let path = path.iter().map(|name| name.to_string()).collect();
        PatternError { path, reason }
    })?;
    Ok(alternatives.into_iter().map(tree).collect())
}

/// What an object asks. On an error, `path` leads to its place.
fn of_object(object: &Map<String, Value>, path: &mut Vec<Box<str>>) -> Result<Alternatives, Reason> {
    if object.is_empty() {
        return Err(Reason::EmptyObject);
    }
    let mut all: Alternatives = vec![Vec::new()];
    for (name, value) in object {
        path.push(name.as_str().into());
        let of_member = match (value, branches(name, value)) {
            (_, Some(branches)) => {
                path.pop();
                let mut either = Alternatives::new();
                for branch in branches {
                    either.extend(of_object(branch, path)?);
                }
                path.push(name.as_str().into());
                either
            }
            (Value::Object(inner), None) => of_object(inner, path)?,
            (Value::Array(values), None) => vec![vec![(path.clone(), Arc::new(leaf(values, path)?))]],
            (other, None) => return Err(Reason::NotAList(other.to_string())),
        };
        all = both(all, of_member)?;
        path.pop();
    }
    Ok(all)
}

/// The objects of a `$or` that is one, and not a field of that name.
fn branches<'a>(name: &str, value: &'a Value) -> Option<Vec<&'a Map<String, Value>>> {
    let branches: Vec<_> =
        value.as_array().filter(|_| name == OR)?.iter().map(Value::as_object).collect::<Option<_>>()?;
    let uses_operators = branches.iter().any(|branch| branch.keys().any(|key| OPERATORS.contains(&key.as_str())));
    (branches.len() >= 2 && !uses_operators).then_some(branches)
}

/// Every combination of the one with the other.
fn both(one: Alternatives, other: Alternatives) -> Result<Alternatives, Reason> {
    if one.len().saturating_mul(other.len()) > PATTERN_COMBINATIONS_MAX {
        return Err(Reason::TooManyCombinations);
    }
    let combine = |left: &Vec<Condition>| {
        let left = left.clone();
        other.iter().map(move |right| left.iter().chain(right).cloned().collect()).collect::<Vec<_>>()
    };
    Ok(one.iter().flat_map(combine).collect())
}

/// The tree of conditions that all have to hold. What is quickly seen is asked first: scalars before objects, small objects
/// before large ones.
fn tree(conditions: Vec<Condition>) -> Vec<Field> {
    let mut fields = Vec::new();
    for (path, leaf) in conditions {
        insert(&mut fields, &path, leaf);
    }
    sort(&mut fields);
    fields
}

fn insert(fields: &mut Vec<Field>, path: &[Box<str>], leaf: Arc<Leaf>) {
    let [name, path @ ..] = path else { return };
    let index = fields.iter().position(|field| field.name == *name).unwrap_or_else(|| {
        fields.push(Field { name: name.clone(), leaves: Vec::new(), inner: Vec::new() });
        fields.len() - 1
    });
    let field = &mut fields[index];
    if path.is_empty() { field.leaves.push(leaf) } else { insert(&mut field.inner, path, leaf) }
}

fn sort(fields: &mut [Field]) {
    fields.iter_mut().for_each(|field| sort(&mut field.inner));
    fields.sort_by_key(conditions_below);
}

fn conditions_below(field: &Field) -> usize {
    field.inner.iter().map(|inner| 1 + inner.leaves.len() + conditions_below(inner)).sum()
}

/// The alternatives of a field's list.
fn leaf(values: &[Value], path: &[Box<str>]) -> Result<Leaf, Reason> {
    if values.is_empty() {
        return Err(Reason::EmptyList);
    }
    let mut leaf = Leaf::default();
    for value in values {
        match value {
            Value::Array(_) => return Err(Reason::ListInList),
            Value::Object(operator) => match one(operator)? {
                ("exists", Value::Bool(false)) => leaf.absent = Some(path.to_vec()),
                (name, operand) => leaf.tests.push(operator_test(name, operand)?),
            },
            Value::String(text) => leaf.texts.push(text.as_str().into()),
            Value::Null => leaf.tests.push(Test::Null),
            Value::Bool(value) => leaf.tests.push(Test::Bool(*value)),
            Value::Number(number) => leaf.tests.push(Test::Number(number.as_f64().unwrap_or(f64::NAN))),
        }
    }
    leaf.texts.sort();
    Ok(leaf)
}

fn one(operator: &Map<String, Value>) -> Result<(&str, &Value), Reason> {
    let mut members = operator.iter();
    match (members.next(), members.next()) {
        (Some((name, operand)), None) => Ok((name, operand)),
        _ => Err(Reason::NotOneOperator),
    }
}

fn operator_test(name: &str, operand: &Value) -> Result<Test, Reason> {
    match name {
        "exists" => match operand {
            Value::Bool(_) => Ok(Test::Present),
            _ => Err(Reason::Operand { operator: "exists", takes: "true or false" }),
        },
        "prefix" => affix(operand, "prefix", Test::Prefix, Test::PrefixIgnoringCase),
        "suffix" => affix(operand, "suffix", Test::Suffix, Test::SuffixIgnoringCase),
        "equals-ignore-case" => {
            let text = operand.as_str().ok_or(Reason::Operand { operator: "equals-ignore-case", takes: "a string" })?;
            Ok(Test::EqualsIgnoringCase(without_case(text)))
        }
        "wildcard" => wildcard(operand),
        "numeric" => numeric(operand),
        "cidr" => {
            let cidr = operand.as_str().and_then(Cidr::parse).map(Test::Cidr);
            cidr.ok_or(Reason::Operand { operator: "cidr", takes: "an address, a slash and a length: 10.0.0.0/8" })
        }
        "anything-but" => anything_but(operand),
        other => Err(Reason::UnknownOperator(other.to_owned())),
    }
}

fn affix(
    operand: &Value,
    operator: &'static str,
    exact: fn(Box<str>) -> Test,
    ignoring_case: fn(Box<str>) -> Test,
) -> Result<Test, Reason> {
    let wrong = Reason::Operand { operator, takes: "a string, or equals-ignore-case with one" };
    match operand {
        Value::String(text) => Ok(exact(text.as_str().into())),
        Value::Object(inner) => match one(inner) {
            Ok(("equals-ignore-case", Value::String(text))) => Ok(ignoring_case(without_case(text))),
            _ => Err(wrong),
        },
        _ => Err(wrong),
    }
}

fn wildcard(operand: &Value) -> Result<Test, Reason> {
    let takes = "a string without ** in which a backslash stands before * or another backslash";
    let wildcard = operand.as_str().and_then(Wildcard::parse).map(Test::Wildcard);
    wildcard.ok_or(Reason::Operand { operator: "wildcard", takes })
}

fn numeric(operand: &Value) -> Result<Test, Reason> {
    let takes = "\"=\" and a number, or a lower bound (> or >=), an upper one (< or <=) or both in this order, between \
                 -5e9 and 5e9";
    numeric_range(operand).map(Test::Numeric).ok_or(Reason::Operand { operator: "numeric", takes })
}

fn numeric_range(operand: &Value) -> Option<Range> {
    let number = |value: &Value| value.as_f64().filter(|number| number.abs() <= PATTERN_NUMBER_MAX);
    let bound = |[open, closed]: [&str; 2], sign: &Value, at: &Value| {
        let inclusive = match sign.as_str()? {
            sign if sign == open => false,
            sign if sign == closed => true,
            _ => return None,
        };
        Some(Bound { at: number(at)?, inclusive })
    };
    let low = |sign: &Value, at: &Value| bound([">", ">="], sign, at);
    let high = |sign: &Value, at: &Value| bound(["<", "<="], sign, at);
    match operand.as_array()?.as_slice() {
        [sign, at] if sign == "=" => {
            let bound = Some(Bound { at: number(at)?, inclusive: true });
            Some(Range { low: bound, high: bound })
        }
        [sign, at] => match low(sign, at) {
            Some(low) => Some(Range { low: Some(low), high: None }),
            None => Some(Range { low: None, high: Some(high(sign, at)?) }),
        },
        [low_sign, low_at, high_sign, high_at] => {
            let (low, high) = (low(low_sign, low_at)?, high(high_sign, high_at)?);
            (low.at < high.at).then_some(Range { low: Some(low), high: Some(high) })
        }
        _ => None,
    }
}

const ANYTHING_BUT: Reason = Reason::Operand {
    operator: "anything-but",
    takes: "a string, a number, a list of the one or the other, or one of prefix, suffix, wildcard and equals-ignore-case",
};

fn anything_but(operand: &Value) -> Result<Test, Reason> {
    let others = match operand {
        Value::String(_) | Value::Number(_) => leaf(std::slice::from_ref(operand), &[])?,
        Value::Array(values) if values.iter().all(Value::is_string) || values.iter().all(Value::is_number) => {
            leaf(values, &[])?
        }
        Value::Object(inner) => {
            let (name, operand) = one(inner).map_err(|_| ANYTHING_BUT)?;
            if !["prefix", "suffix", "equals-ignore-case", "wildcard"].contains(&name) {
                return Err(ANYTHING_BUT);
            }
            let texts = match operand {
                Value::Array(texts) => texts.as_slice(),
                text => std::slice::from_ref(text),
            };
            if texts.is_empty() || texts.iter().any(|text| text.as_str() == Some("") && name != "equals-ignore-case") {
                return Err(ANYTHING_BUT);
            }
            let tests = texts.iter().map(|text| operator_test(name, text));
            Leaf { tests: tests.collect::<Result<_, _>>()?, ..Leaf::default() }
        }
        _ => return Err(ANYTHING_BUT),
    };
    Ok(Test::AnythingBut(others))
}
