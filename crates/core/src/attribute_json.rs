//! Attribute values between the wire's JSON and [`AttributeValue`].
//!
//! Reading has two steps, because the service reports every wrong JSON type of a request before any wrong value:
//! [`check_value`], called by the validator of requests, answers SerializationExceptions (docs/spec/dynamodb-api.md 1.4);
//! [`read_value`] and [`read_item`] answer value errors (2.5, 3.1-3.3). The second step takes the tree apart, so that strings move.
//! Given an unchecked tree the second step still answers an error, never a panic.
//!
//! Which operation puts the envelope before a text is the caller's knowledge; whether a text takes one is known here.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::echo::{echo, echo_list};
use crate::error::{ApiError, ErrorCode};
use crate::json::Json;
use crate::limits::{ATTRIBUTE_NAME_BYTES_MAX, NESTING_LEVELS_MAX};
use crate::model::Wording;
use crate::number::{Number, NumberError};
use crate::value::{AttributeValue, Item};

/// The class of a wrong value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueErrorKind {
    /// No datatype.
    Empty,
    /// More than one datatype.
    SeveralTypes,
    /// A text that is no number, or does not fit.
    Number(NumberError),
    /// A set without members.
    EmptySet,
    /// A set with equal members.
    Duplicates,
    /// `NULL` that is not true.
    NullFalse,
    /// Too many levels.
    Nesting,
    /// An attribute name without characters, or with too many.
    Name,
}

/// A wrong attribute value, in the exact words of both wordings. Always a ValidationException.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// Its class.
    pub kind: ValueErrorKind,
    /// The text in the `current` wording, without any envelope.
    pub current: String,
    /// The text in the `classic` wording.
    pub classic: String,
    /// Whether an operation that has an envelope puts it before the `current` text (docs/spec/dynamodb-api.md 4.9).
    pub enveloped: bool,
}

impl ValueError {
    fn new(kind: ValueErrorKind, text: impl Into<String>) -> Self {
        let current = text.into();
        Self { kind, classic: current.clone(), current, enveloped: true }
    }

    fn number(error: NumberError, text: &str) -> Self {
        let kind = ValueErrorKind::Number(error);
        if error != NumberError::Syntax {
            return ValueError::new(kind, error.to_string());
        }
        let text = echo(text);
        let classic = if text.is_empty() { error.to_string() } else { format!("{error}: {text}") };
        Self { kind, current: format!("{error}: {text}"), classic, enveloped: true }
    }

    fn empty() -> Self {
        let text = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        Self { enveloped: false, ..ValueError::new(ValueErrorKind::Empty, text) }
    }

    fn several_types() -> Self {
        let text = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes";
        Self { enveloped: false, ..ValueError::new(ValueErrorKind::SeveralTypes, text) }
    }

    /// The text without any envelope.
    pub fn text(&self, wording: Wording) -> &str {
        match wording {
            Wording::Current => &self.current,
            Wording::Classic => &self.classic,
        }
    }

    /// The error answer. `operation_envelopes`: the operation is PutItem, UpdateItem or DeleteItem.
    pub fn into_api(self, wording: Wording, operation_envelopes: bool) -> ApiError {
        let text = self.text(wording);
        if operation_envelopes && self.enveloped && wording == Wording::Current {
            ApiError::validation(format!("{ENVELOPE}{text}"))
        } else {
            ApiError::validation(text)
        }
    }
}

/// What the newer layer of PutItem, UpdateItem and DeleteItem puts before most of its texts.
const ENVELOPE: &str = "1 validation error detected: ";
const PARAMETER_VALUES: &str = "One or more parameter values were invalid: ";
const SHAPE: &str = "com.amazonaws.dynamodb.v20120810.AttributeValue";
const STRUCTURE_FOUND: &str = "Start of structure or map found where not expected";

fn serialization(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::SerializationException, message)
}

// ---------------------------------------------------------------------------------------------- wrong JSON types

/// Where an attribute value stands: the text for a scalar differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a list or a map.
    Element,
    /// A member of a structure (such as `Value` of `Expected`).
    Member,
}

/// Checks the JSON types of an attribute value.
///
/// # Errors
/// A SerializationException.
pub fn check_value(value: &Json, place: Place) -> Result<(), ApiError> {
    match value {
        Json::Null => Ok(()),
        Json::Object(members) => members.iter().try_for_each(|(name, value)| check_datatype(name, value)),
        Json::Array(_) => Err(serialization(format!("Unrecognized collection type class {SHAPE}"))),
        _ => Err(serialization(match place {
            Place::Element => "Unexpected value type in payload",
            Place::Member => "Unexpected field type",
        })),
    }
}

/// Checks the JSON types of a map of attribute values.
fn check_map(map: &Json) -> Result<(), ApiError> {
    match map {
        Json::Null => Ok(()),
        Json::Object(members) => members.iter().try_for_each(|(_, value)| check_value(value, Place::Element)),
        Json::Array(_) => {
            Err(serialization(format!("Unrecognized collection type java.util.Map<java.lang.String, {SHAPE}>")))
        }
        _ => Err(serialization("Unexpected field type")),
    }
}

fn check_list(list: &Json) -> Result<(), ApiError> {
    check_elements(list, |element| check_value(element, Place::Element))
}

fn check_elements(list: &Json, check: impl Fn(&Json) -> Result<(), ApiError>) -> Result<(), ApiError> {
    match list {
        Json::Null => Ok(()),
        Json::Array(elements) => elements.iter().try_for_each(check),
        Json::Object(_) => Err(serialization(STRUCTURE_FOUND)),
        _ => Err(serialization("Unexpected field type")),
    }
}

fn check_datatype(name: &str, value: &Json) -> Result<(), ApiError> {
    match name {
        "S" | "N" => check_string(value),
        "B" => check_binary(value),
        "BOOL" | "NULL" => check_bool(value),
        "SS" | "NS" => check_elements(value, check_string),
        "BS" => check_elements(value, check_binary),
        "L" => check_list(value),
        "M" => check_map(value),
        _ => Ok(()),
    }
}

fn check_string(value: &Json) -> Result<(), ApiError> {
    match value {
        Json::Null | Json::String(_) => Ok(()),
        Json::Array(_) => Err(serialization("Unrecognized collection type class java.lang.String")),
        Json::Object(_) => Err(serialization(STRUCTURE_FOUND)),
        Json::Bool(_) | Json::Integer(_) | Json::Decimal(_) => {
            Err(serialization(format!("{} cannot be converted to String", scalar_name(value))))
        }
    }
}

fn check_bool(value: &Json) -> Result<(), ApiError> {
    match value {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::String(_) if value.as_lenient_bool().is_some() => Ok(()),
        Json::String(_) => Err(serialization("Unexpected token received from parser")),
        Json::Array(_) => Err(ApiError::bare(ErrorCode::SerializationException)),
        Json::Object(_) => Err(serialization(STRUCTURE_FOUND)),
        Json::Integer(_) | Json::Decimal(_) => {
            Err(serialization(format!("{} cannot be converted to Boolean", scalar_name(value))))
        }
    }
}

fn check_binary(value: &Json) -> Result<(), ApiError> {
    match value {
        Json::Null => Ok(()),
        Json::String(text) if text.len() % 4 != 0 => Err(serialization(format!(
            "Base64 encoded length is expected a multiple of 4 bytes but found: {}",
            text.len()
        ))),
        Json::String(text) => match BASE64.decode(text) {
            Ok(_) => Ok(()),
            Err(_) => Err(serialization("Invalid last non-pad Base64 character dectected")),
        },
        Json::Array(_) => Err(serialization("Unrecognized collection type class java.nio.ByteBuffer")),
        Json::Object(_) => Err(serialization(STRUCTURE_FOUND)),
        _ => Err(serialization("only base-64-encoded strings are convertible to bytes")),
    }
}

fn scalar_name(value: &Json) -> &'static str {
    match value {
        Json::Bool(true) => "TRUE_VALUE",
        Json::Bool(false) => "FALSE_VALUE",
        Json::Integer(_) => "NUMBER_VALUE",
        Json::Decimal(_) => "DECIMAL_VALUE",
        _ => "STRING_VALUE",
    }
}

// ---------------------------------------------------------------------------------------------------- wrong values

/// Reads an attribute value whose JSON types are checked.
///
/// # Errors
/// The first wrong value, in the order of the text.
pub fn read_value(value: Json) -> Result<AttributeValue, ValueError> {
    read(value, 1, CONTAINERS_MAX)
}

/// Reads a value of `ExpressionAttributeValues` whose JSON types are checked. It may nest one level deeper than an item, as
/// long as it is only compared with: an update that would store it refuses it. Source: docs/spec/dynamodb-api.md 3.3.
///
/// # Errors
/// The first wrong value, in the order of the text.
pub fn read_expression_value(value: Json) -> Result<AttributeValue, ValueError> {
    read(value, 1, CONTAINERS_MAX + 1)
}

/// Reads an item or a key whose JSON types are checked.
///
/// # Errors
/// The first wrong value or empty name, in the order of the text.
pub fn read_item(map: Json) -> Result<Item, ValueError> {
    read_members(map, 0, CONTAINERS_MAX)
}

/// Lists and maps in each other: what they hold is a level of its own.
const CONTAINERS_MAX: usize = NESTING_LEVELS_MAX - 1;

fn read_members(
    map: Json,
    level: usize,
    containers_max: usize,
) -> Result<BTreeMap<String, AttributeValue>, ValueError> {
    let Json::Object(members) = map else { return Err(ValueError::empty()) };
    let mut out = Vec::with_capacity(members.len());
    for (name, value) in members {
        check_name(&name)?;
        out.push((name, read(value, level + 1, containers_max)?));
    }
    Ok(out.into_iter().collect())
}

fn read(value: Json, level: usize, containers_max: usize) -> Result<AttributeValue, ValueError> {
    let Json::Object(members) = value else { return Err(ValueError::empty()) };
    let mut members = members.into_iter().filter(|(name, value)| is_datatype(name) && *value != Json::Null);
    let (datatype, value) = members.next().ok_or_else(ValueError::empty)?;
    if members.next().is_some() {
        return Err(ValueError::several_types());
    }
    if level > containers_max && matches!(datatype.as_str(), "L" | "M") {
        return Err(too_deep(&value, level));
    }
    match (datatype.as_str(), value) {
        ("S", Json::String(text)) => Ok(AttributeValue::S(text)),
        ("N", Json::String(text)) => read_number(&text).map(AttributeValue::N),
        ("B", Json::String(text)) => read_binary(&text).map(AttributeValue::B),
        ("BOOL", value) => value.as_lenient_bool().map(AttributeValue::Bool).ok_or_else(ValueError::empty),
        ("NULL", value) => match value.as_lenient_bool() {
            Some(true) => Ok(AttributeValue::Null),
            Some(false) => {
                let text = format!("{PARAMETER_VALUES}Null attribute value types must have the value of true");
                Err(ValueError::new(ValueErrorKind::NullFalse, text))
            }
            None => Err(ValueError::empty()),
        },
        ("SS", Json::Array(members)) => read_strings(members),
        ("NS", Json::Array(members)) => read_numbers(members),
        ("BS", Json::Array(members)) => read_binaries(members),
        ("L", Json::Array(elements)) => {
            let elements = elements.into_iter().map(|element| read(element, level + 1, containers_max));
            elements.collect::<Result<_, _>>().map(AttributeValue::L)
        }
        ("M", map @ Json::Object(_)) => read_members(map, level, containers_max).map(AttributeValue::M),
        _ => Err(ValueError::empty()),
    }
}

/// Checks the length of an attribute's name.
///
/// # Errors
/// The name is empty, or too long.
pub fn check_name(name: &str) -> Result<(), ValueError> {
    match name.len() {
        0 => Err(ValueError::new(ValueErrorKind::Name, "Empty attribute name")),
        1..=ATTRIBUTE_NAME_BYTES_MAX => Ok(()),
        _ => {
            // What AWS says of an item's name is not known; this is its text for ExpressionAttributeNames.
            let text = format!("Attribute name is too large, must be less than {} bytes", ATTRIBUTE_NAME_BYTES_MAX + 1);
            Err(ValueError::new(ValueErrorKind::Name, text))
        }
    }
}

fn is_datatype(name: &str) -> bool {
    matches!(name, "S" | "N" | "B" | "BOOL" | "NULL" | "SS" | "NS" | "BS" | "L" | "M")
}

fn read_number(text: &str) -> Result<Number, ValueError> {
    Number::parse(text).map_err(|error| ValueError::number(error, text))
}

fn read_binary(text: &str) -> Result<Vec<u8>, ValueError> {
    BASE64.decode(text).map_err(|_| ValueError::empty())
}

fn string(member: Json) -> Result<String, ValueError> {
    match member {
        Json::String(text) => Ok(text),
        _ => Err(ValueError::empty()),
    }
}

fn empty_set(text: &str) -> ValueError {
    ValueError::new(ValueErrorKind::EmptySet, format!("{PARAMETER_VALUES}{text} may not be empty"))
}

fn read_strings(members: Vec<Json>) -> Result<AttributeValue, ValueError> {
    if members.is_empty() {
        return Err(empty_set("An string set "));
    }
    let members: Vec<String> = members.into_iter().map(string).collect::<Result<_, _>>()?;
    let set: BTreeSet<String> = members.iter().cloned().collect();
    if set.len() == members.len() {
        return Ok(AttributeValue::Ss(set));
    }
    let (current, classic) = (echo_list(&members, "\"", ", "), echo_list(&members, "", ", "));
    Err(ValueError {
        kind: ValueErrorKind::Duplicates,
        current: format!("{PARAMETER_VALUES}Input collection [{current}] contains duplicates."),
        classic: format!("{PARAMETER_VALUES}Input collection [{classic}] contains duplicates."),
        enveloped: true,
    })
}

fn read_numbers(members: Vec<Json>) -> Result<AttributeValue, ValueError> {
    if members.is_empty() {
        return Err(empty_set("An number set "));
    }
    let count = members.len();
    let numbers = members.into_iter().map(|member| read_number(&string(member)?));
    let set: BTreeSet<Number> = numbers.collect::<Result<_, _>>()?;
    if set.len() == count {
        return Ok(AttributeValue::Ns(set));
    }
    Err(ValueError {
        kind: ValueErrorKind::Duplicates,
        current: format!("{PARAMETER_VALUES}Input collection contains duplicates."),
        classic: "Input collection contains duplicates".to_owned(),
        enveloped: true,
    })
}

fn read_binaries(members: Vec<Json>) -> Result<AttributeValue, ValueError> {
    if members.is_empty() {
        let text = format!("{PARAMETER_VALUES}Binary sets should not be empty");
        return Err(ValueError::new(ValueErrorKind::EmptySet, text));
    }
    let members: Vec<String> = members.into_iter().map(string).collect::<Result<_, _>>()?;
    let set: BTreeSet<Vec<u8>> = members.iter().map(|text| read_binary(text)).collect::<Result<_, _>>()?;
    if set.len() == members.len() {
        return Ok(AttributeValue::Bs(set));
    }
    // The text shows every member in its canonical base64.
    let (current, classic) = (echo_list(&members, "\"", ","), echo_list(&members, "", ", "));
    Err(ValueError {
        kind: ValueErrorKind::Duplicates,
        current: format!("{PARAMETER_VALUES}Input collection [{current}]of type BS contains duplicates."),
        classic: format!("{PARAMETER_VALUES}Input collection [{classic}]of type BS contains duplicates."),
        enveloped: true,
    })
}

/// `content`: of a list or map at `level`.
fn too_deep(content: &Json, level: usize) -> ValueError {
    /// From this level on the text loses its envelope. Source: docs/spec/dynamodb-api.md 3.3.
    const ENVELOPE_LEVELS_MAX: usize = 62;
    let text = "Nesting Levels have exceeded supported limits: \
                Attributes in the item have nested levels beyond supported limit";
    let enveloped = level + content_levels(content) <= ENVELOPE_LEVELS_MAX;
    ValueError { enveloped, ..ValueError::new(ValueErrorKind::Nesting, text) }
}

/// How many levels of attribute values a tree has, the value itself counted.
fn levels(value: &Json) -> usize {
    let Json::Object(members) = value else { return 1 };
    let containers = members.iter().filter(|(name, _)| matches!(name.as_str(), "L" | "M"));
    1 + containers.map(|(_, content)| content_levels(content)).max().unwrap_or(0)
}

/// The levels below a list or map; an empty one counts as if it held something.
fn content_levels(content: &Json) -> usize {
    let below = match content {
        Json::Array(elements) => elements.iter().map(levels).max(),
        Json::Object(members) => members.iter().map(|(_, value)| levels(value)).max(),
        _ => return 0,
    };
    below.unwrap_or(1)
}

#[cfg(test)]
#[path = "attribute_json_tests.rs"]
mod tests;
