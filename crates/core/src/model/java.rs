//! Values as the service's errors print them: strings bare, lists `[a, b]`, maps `{k=v}`, structures
//! `Shape(member=value)`. Bounded, since a request may be large.

use super::shape::{Kind, Shape, ShapeId};
use crate::Json;
use crate::echo::{echo, echo_text};
use crate::limits::ECHOED_VALUE_BYTES_MAX;

/// The text of a value.
pub(super) fn text(shapes: &[Shape], id: ShapeId, json: &Json) -> String {
    if let Json::String(text) = json {
        return echo_text(text).to_owned();
    }
    let mut out = String::new();
    write(shapes, id, json, &mut out);
    let end = echo(&out).len();
    if end < out.len() {
        out.truncate(end);
        out.extend(match json {
            Json::Array(_) => Some(']'),
            Json::Object(_) => Some(if out.starts_with('{') { '}' } else { ')' }),
            _ => None,
        });
    }
    out
}

fn write(shapes: &[Shape], id: ShapeId, json: &Json, out: &mut String) {
    if out.len() > ECHOED_VALUE_BYTES_MAX {
        return;
    }
    let shape = &shapes[id.0];
    match (&shape.kind, json) {
        (_, Json::String(text)) => out.push_str(echo(text)),
        (Kind::Integer, number) if number.as_saturated_i32().is_some() => {
            out.push_str(&number.as_saturated_i32().unwrap_or_default().to_string());
        }
        (_, number @ (Json::Integer(_) | Json::Decimal(_))) => {
            out.push_str(&number.as_saturated_i64().unwrap_or_default().to_string());
        }
        (_, Json::Bool(value)) => out.push_str(if *value { "true" } else { "false" }),
        (Kind::List(element), Json::Array(elements)) => {
            out.push('[');
            for (index, json) in elements.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(shapes, *element, json, out);
            }
            out.push(']');
        }
        (Kind::Map { value, .. }, Json::Object(entries)) => {
            out.push('{');
            for (index, (key, json)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                out.push_str(echo(key));
                out.push('=');
                write(shapes, *value, json, out);
            }
            out.push('}');
        }
        (Kind::Structure(members), given @ Json::Object(_)) => {
            out.push_str(&shape.name);
            out.push('(');
            let given = members.iter().filter_map(|member| given.get(&member.name).map(|json| (member, json)));
            for (index, (member, json)) in given.enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                out.push_str(&member.path);
                out.push('=');
                write(shapes, member.shape, json, out);
            }
            out.push(')');
        }
        (Kind::Value, Json::Object(given)) => {
            out.push_str("AttributeValue(");
            for (index, (name, _)) in given.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                out.push_str(name);
            }
            out.push(')');
        }
        _ => out.push_str("null"),
    }
}
