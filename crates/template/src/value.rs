//! A value of the template after its intrinsic functions were applied.

use crate::node::Node;
use crate::text::{Origin, Part, StandIn, Text};

/// What an element takes beside its text.
const ELEMENT_BYTES: usize = 32;

/// A value after its intrinsic functions were applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(Text),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// `AWS::NoValue`: as if it were not written.
    Absent,
}

impl Value {
    /// The text of a scalar.
    pub(crate) fn as_text(&self) -> Option<Text> {
        match self {
            Value::Bool(value) => Some(Text::literal(value.to_string())),
            Value::Number(text) => Some(Text::literal(text.clone())),
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The text of a scalar that is wholly known.
    pub(crate) fn as_literal(&self) -> Option<String> {
        self.as_text()?.as_literal()
    }

    /// The value as JSON; `None`: a part of it is not known yet, or is not there.
    pub(crate) fn as_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            Value::Text(text) => text.as_literal()?.into(),
            Value::List(list) => {
                let present = list.iter().filter(|value| **value != Value::Absent);
                serde_json::Value::Array(present.map(Value::as_json).collect::<Option<_>>()?)
            }
            Value::Map(pairs) => {
                let present = pairs.iter().filter(|(_, value)| *value != Value::Absent);
                let member = |(key, value): &(String, Value)| Some((key.clone(), value.as_json()?));
                serde_json::Value::Object(present.map(member).collect::<Option<_>>()?)
            }
            Value::Absent => return None,
        })
    }

    /// How many bytes it has, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Value::Number(text) => text.len(),
            Value::Text(text) => text.bytes(),
            Value::List(list) => list.iter().map(|value| ELEMENT_BYTES + value.bytes()).sum(),
            Value::Map(pairs) => pairs.iter().map(|(key, value)| ELEMENT_BYTES + key.len() + value.bytes()).sum(),
            Value::Null | Value::Bool(_) | Value::Absent => 0,
        }
    }

    /// What a part of it stands in for.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        match self {
            Value::Text(text) => text.origins().next(),
            Value::List(list) => list.iter().find_map(Value::origin),
            Value::Map(pairs) => pairs.iter().find_map(|(_, value)| value.origin()),
            _ => None,
        }
    }

    /// The same, where what stands in for a part of it can be given with this, too.
    pub(crate) fn with_option(self, option: &str) -> Value {
        match self {
            Value::Text(mut text) => {
                for part in &mut text.0 {
                    if let Part::StandIn(StandIn { origin, .. }) = part {
                        origin.option = format!("{option}, or {}", origin.option);
                    }
                }
                Value::Text(text)
            }
            Value::List(list) => Value::List(list.into_iter().map(|value| value.with_option(option)).collect()),
            value => value,
        }
    }

    pub(crate) fn brief(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => text.clone(),
            Value::Text(text) => text.as_literal().map_or("the ARN of a stream".to_owned(), |text| format!("{text:?}")),
            Value::List(_) => "a list".to_owned(),
            Value::Map(pairs) => match pairs.as_slice() {
                [(key, _)] => format!("{{{key}: ...}}"),
                _ => "a map".to_owned(),
            },
            Value::Absent => "nothing".to_owned(),
        }
    }

    /// The value in the text's form; `None`: a part of it is not known yet, or stands in for something.
    pub(crate) fn into_node(self) -> Option<Node> {
        Some(match self {
            Value::Null | Value::Absent => Node::Null,
            Value::Bool(value) => Node::Bool(value),
            Value::Number(text) => Node::Number(text),
            Value::Text(text) => Node::Text(text.as_literal().filter(|_| text.origins().next().is_none())?),
            Value::List(list) => Node::List(list.into_iter().map(Value::into_node).collect::<Option<_>>()?),
            Value::Map(pairs) => {
                Node::Map(pairs.into_iter().map(|(key, value)| Some((key, value.into_node()?))).collect::<Option<_>>()?)
            }
        })
    }
}
