//! JSON types against the model: SerializationException; and members that it does not have, which are ignored.
//! Source: docs/spec/dynamodb-api.md 1.4.

use super::shape::{Kind, Shape, ShapeId};
use crate::attribute_json::{Place, check_value};
use crate::{ApiError, ErrorCode, Json};

const STRUCTURE: &str = "Start of structure or map found where not expected";
const CAST: &str = "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class \
    java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module \
    java.base of loader 'bootstrap')";

/// Checks a request's types. Answers whether every member of every structure is one of the model's; what lies below an
/// unknown one is not looked at.
pub(super) fn check(shapes: &[Shape], input: ShapeId, body: &Json) -> Result<bool, ApiError> {
    let mut walk = Walk { shapes, all_known: true };
    walk.value(input, body, Place::Member).map_err(|message| ApiError {
        message: Some(message).filter(|text| !text.is_empty()),
        ..ApiError::bare(ErrorCode::SerializationException)
    })?;
    Ok(walk.all_known)
}

/// Drops the members that the model does not have, those of attribute values excepted. `kept`: unknown members of the input
/// that stay.
pub(super) fn drop_unknown(shapes: &[Shape], id: ShapeId, json: &mut Json, kept: &[String]) {
    match (&shapes[id.0].kind, json) {
        (Kind::Structure(members), Json::Object(given)) => {
            given.retain_mut(|(name, value)| match members.iter().find(|member| member.name == *name) {
                Some(member) => {
                    drop_unknown(shapes, member.shape, value, &[]);
                    true
                }
                None => kept.contains(name),
            });
        }
        (Kind::List(element), Json::Array(elements)) => {
            elements.iter_mut().for_each(|json| drop_unknown(shapes, *element, json, &[]));
        }
        (Kind::Map { value, .. }, Json::Object(entries)) => {
            entries.iter_mut().for_each(|(_, json)| drop_unknown(shapes, *value, json, &[]));
        }
        _ => {}
    }
}

struct Walk<'a> {
    shapes: &'a [Shape],
    all_known: bool,
}

impl Walk<'_> {
    /// The error is the text; empty: there is none.
    fn value(&mut self, id: ShapeId, json: &Json, place: Place) -> Result<(), String> {
        let shapes = self.shapes;
        let shape = &shapes[id.0];
        if *json == Json::Null {
            return Ok(());
        }
        match (&shape.kind, json) {
            (Kind::Value, json) => check_value(json, place).map_err(|error| error.message.unwrap_or_default()),
            (Kind::String, Json::String(_))
            | (Kind::Integer | Kind::Long | Kind::Double, Json::Integer(_) | Json::Decimal(_))
            | (Kind::Boolean, Json::Bool(_)) => Ok(()),
            (Kind::Structure(members), Json::Object(given)) => {
                for (name, value) in given {
                    match members.iter().find(|member| member.name == *name) {
                        Some(member) => self.value(member.shape, value, Place::Member)?,
                        None => self.all_known = false,
                    }
                }
                Ok(())
            }
            (Kind::List(element), Json::Array(elements)) => {
                elements.iter().try_for_each(|json| self.value(*element, json, Place::Element))
            }
            (Kind::Map { value, .. }, Json::Object(entries)) => {
                entries.iter().try_for_each(|(_, json)| self.value(*value, json, Place::Element))
            }
            (Kind::String, json) => Err(scalar(json, "String", "java.lang.String")),
            (Kind::Integer, json) => Err(scalar(json, "Integer", "java.lang.Integer")),
            (Kind::Long, json) => Err(scalar(json, "Long", "java.lang.Long")),
            (Kind::Double, json) => Err(scalar(json, "Double", "java.lang.Double")),
            (Kind::Boolean, Json::String(_)) => match json.as_lenient_bool() {
                Some(_) => Ok(()),
                None => Err("Unexpected token received from parser".to_owned()),
            },
            (Kind::Boolean, json) => Err(scalar(json, "Boolean", "java.lang.Boolean")),
            (Kind::Blob, json) => blob(json),
            (Kind::Structure(_), Json::Array(_)) => {
                Err(format!("Unrecognized collection type class com.amazonaws.dynamodb.v20120810.{}", shape.name))
            }
            (Kind::Structure(_), _) if place == Place::Element => Err("Unexpected value type in payload".to_owned()),
            (Kind::Structure(_), _) => Err("Unexpected field type".to_owned()),
            (Kind::List(_), Json::Object(_)) => Err(STRUCTURE.to_owned()),
            (Kind::Map { .. }, Json::Array(_)) => {
                Err(format!("Unrecognized collection type {}", java_type(shapes, id)))
            }
            (Kind::List(_) | Kind::Map { .. }, _) if place == Place::Element || of_collections(shapes, &shape.kind) => {
                Err(CAST.to_owned())
            }
            (Kind::List(_) | Kind::Map { .. }, _) => Err("Unexpected field type".to_owned()),
        }
    }
}

/// The maps of the batch operations have collections (or structures of collections) as values, keyed by table; their lists
/// of keys have maps as elements.
fn of_collections(shapes: &[Shape], kind: &Kind) -> bool {
    match kind {
        Kind::List(element) => matches!(shapes[element.0].kind, Kind::List(_) | Kind::Map { .. }),
        Kind::Map { key, value } => {
            shapes[key.0].name == "TableArn" || matches!(shapes[value.0].kind, Kind::List(_) | Kind::Map { .. })
        }
        _ => false,
    }
}

fn scalar(json: &Json, name: &str, class: &str) -> String {
    let token = match json {
        Json::Bool(true) => "TRUE_VALUE",
        Json::Bool(false) => "FALSE_VALUE",
        Json::Integer(_) => "NUMBER_VALUE",
        Json::Decimal(_) => "DECIMAL_VALUE",
        Json::String(_) => "STRING_VALUE",
        Json::Array(_) => return format!("Unrecognized collection type class {class}"),
        Json::Object(_) | Json::Null => return STRUCTURE.to_owned(),
    };
    format!("{token} cannot be converted to {name}")
}

fn blob(json: &Json) -> Result<(), String> {
    match json {
        Json::String(text) if !text.len().is_multiple_of(4) => {
            Err(format!("Base64 encoded length is expected a multiple of 4 bytes but found: {}", text.len()))
        }
        Json::String(text) => {
            use base64::Engine as _;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map(|_| ()).map_err(|_| "Invalid last non-pad Base64 character dectected".to_owned())
        }
        Json::Array(_) => Err("Unrecognized collection type class java.nio.ByteBuffer".to_owned()),
        Json::Object(_) => Err(STRUCTURE.to_owned()),
        _ => Err("only base-64-encoded strings are convertible to bytes".to_owned()),
    }
}

fn java_type(shapes: &[Shape], id: ShapeId) -> String {
    let shape = &shapes[id.0];
    match &shape.kind {
        Kind::String => "java.lang.String".to_owned(),
        Kind::Integer => "java.lang.Integer".to_owned(),
        Kind::Long => "java.lang.Long".to_owned(),
        Kind::Double => "java.lang.Double".to_owned(),
        Kind::Boolean => "java.lang.Boolean".to_owned(),
        Kind::Blob => "java.nio.ByteBuffer".to_owned(),
        Kind::List(element) => format!("java.util.List<{}>", java_type(shapes, *element)),
        Kind::Map { key, value } => {
            format!("java.util.Map<{}, {}>", java_type(shapes, *key), java_type(shapes, *value))
        }
        Kind::Structure(_) | Kind::Value => format!("com.amazonaws.dynamodb.v20120810.{}", shape.name),
    }
}
