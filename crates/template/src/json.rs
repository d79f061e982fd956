//! JSON into the tree of a template. Numbers stay as they are written, maps keep their order, and a key that is given
//! twice is an error, all as in YAML.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use tailrace_core::limits::TEMPLATE_DEPTH_MAX;

use crate::TemplateError;
use crate::node::Node;

/// Reads a text; what is wrong with it, with the line.
pub(crate) fn parse(text: &str) -> Result<Node, TemplateError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| TemplateError::Malformed(error.to_string()))?;
    node(raw.get(), TEMPLATE_DEPTH_MAX).map_err(|fault| {
        let offset = (fault.place as usize).saturating_sub(text.as_ptr() as usize);
        let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        TemplateError::Malformed(format!("{} at line {line}", fault.message))
    })
}

struct Fault {
    /// Where in memory the value begins that is wrong: a place inside of the text.
    place: *const u8,
    message: String,
}

fn node(text: &str, depth: usize) -> Result<Node, Fault> {
    let fault = |message: String| Fault { place: text.as_ptr(), message };
    let depth = depth.checked_sub(1).ok_or_else(|| fault("maps and lists are nested too deeply".to_owned()))?;
    let malformed = |error: serde_json::Error| fault(error.to_string());
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(malformed)?;
            let mut map: Vec<(String, Node)> = Vec::with_capacity(members.len());
            let mut keys = HashSet::with_capacity(members.len());
            for (key, value) in members {
                if !keys.insert(key.clone()) {
                    return Err(fault(format!("the key {key:?} is given twice")));
                }
                map.push((key, node(value.get(), depth)?));
            }
            Node::Map(map)
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
            Node::List(list.into_iter().map(|element| node(element.get(), depth)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Node::Text(serde_json::from_str(text).map_err(malformed)?),
        Some(b't') => Node::Bool(true),
        Some(b'f') => Node::Bool(false),
        Some(b'n') | None => Node::Null,
        Some(_) => Node::Number(text.to_owned()),
    })
}

/// The members of a map in their order, with keys that are given twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(All)
    }
}
