//! A text in the notation of templates that is none: a configuration, read into plain JSON.

use crate::TemplateError;
use crate::node::{Format, Node};

/// Reads a text into JSON. A number stays as exact as JSON can say it.
///
/// # Errors
/// It is malformed: with the place.
pub fn document(text: &str, format: Format) -> Result<serde_json::Value, TemplateError> {
    Ok(json(Node::parse_any(text, format)?))
}

fn json(node: Node) -> serde_json::Value {
    match node {
        Node::Null => serde_json::Value::Null,
        Node::Bool(value) => value.into(),
        Node::Number(text) => serde_json::from_str(&text).unwrap_or_else(|_| text.into()),
        Node::Text(text) => text.into(),
        Node::List(list) => list.into_iter().map(json).collect(),
        Node::Map(pairs) => pairs.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_read() {
        let text =
            "sinks:\n  lake: {from: Orders, to: s3://lake/, flush: {seconds: 60, bytes: 64MB}, on: true, none: ~}\n";
        let expected = json!({"sinks": {"lake": {"from": "Orders", "to": "s3://lake/", "flush": {"seconds": 60, "bytes": "64MB"},
            "on": true, "none": null}}});
        assert_eq!(document(text, Format::Yaml).ok(), Some(expected.clone()));
        assert_eq!(document(&expected.to_string(), Format::Json).ok(), Some(expected));
        assert!(document("a: [", Format::Yaml).is_err());
    }
}
