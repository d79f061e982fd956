//! The tree of a template's text, the same for YAML and JSON: short tags (`!Ref`) become their long form.

use super::TemplateError;

/// The notation of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML with CloudFormation's short tags.
    Yaml,
    /// JSON.
    Json,
}

/// A value in the template. Maps keep the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// As it is written, so that nothing is rounded.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn parse(text: &str, format: Format) -> Result<Node, TemplateError> {
        let malformed = |message: String| TemplateError::Malformed(message);
        let node = match format {
            Format::Json => Node::from_json(serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?),
            Format::Yaml => {
                let mut value: serde_yaml_ng::Value =
                    serde_yaml_ng::from_str(text).map_err(|error| malformed(error.to_string()))?;
                value.apply_merge().map_err(|error| malformed(error.to_string()))?;
                Node::from_yaml(value)?
            }
        };
        match node {
            Node::Map(_) => Ok(node),
            _ => Err(malformed("a map with Resources is expected".to_owned())),
        }
    }

    fn from_json(value: serde_json::Value) -> Node {
        match value {
            serde_json::Value::Null => Node::Null,
            serde_json::Value::Bool(value) => Node::Bool(value),
            serde_json::Value::Number(number) => Node::Number(number.to_string()),
            serde_json::Value::String(text) => Node::Text(text),
            serde_json::Value::Array(list) => Node::List(list.into_iter().map(Node::from_json).collect()),
            serde_json::Value::Object(map) => {
                Node::Map(map.into_iter().map(|(key, value)| (key, Node::from_json(value))).collect())
            }
        }
    }

    fn from_yaml(value: serde_yaml_ng::Value) -> Result<Node, TemplateError> {
        use serde_yaml_ng::Value;
        Ok(match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(value),
            Value::Number(number) => Node::Number(number.to_string()),
            Value::String(text) => Node::Text(text),
            Value::Sequence(list) => Node::List(list.into_iter().map(Node::from_yaml).collect::<Result<_, _>>()?),
            Value::Mapping(map) => {
                let mut pairs = Vec::with_capacity(map.len());
                for (key, value) in map {
                    let key = match key {
                        Value::String(text) => text,
                        Value::Number(number) => number.to_string(),
                        Value::Bool(value) => value.to_string(),
                        other => {
                            let text = format!("a key of a map has to be text, not {other:?}");
                            return Err(TemplateError::Malformed(text));
                        }
                    };
                    pairs.push((key, Node::from_yaml(value)?));
                }
                Node::Map(pairs)
            }
            Value::Tagged(tagged) => {
                let tag = tagged.tag.to_string();
                let name = tag.trim_start_matches('!').to_owned();
                let value = Node::from_yaml(tagged.value)?;
                match (name.as_str(), value) {
                    ("Ref" | "Condition", value) => Node::Map(vec![(name, value)]),
                    ("GetAtt", Node::Text(text)) => {
                        let (id, attribute) = text.split_once('.').unwrap_or((&text, ""));
                        let pair = vec![Node::Text(id.to_owned()), Node::Text(attribute.to_owned())];
                        Node::Map(vec![("Fn::GetAtt".to_owned(), Node::List(pair))])
                    }
                    (_, value) => Node::Map(vec![(format!("Fn::{name}"), value)]),
                }
            }
        })
    }

    /// The member of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members of a map; none for anything else.
    pub(super) fn pairs(&self) -> &[(String, Node)] {
        match self {
            Node::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The elements of a list, or the one value.
    pub(super) fn one_or_many(&self) -> &[Node] {
        match self {
            Node::List(list) => list,
            other => std::slice::from_ref(other),
        }
    }

    /// A few words for messages.
    pub(super) fn brief(&self) -> String {
        match self {
            Node::Null => "null".to_owned(),
            Node::Bool(value) => value.to_string(),
            Node::Number(text) => text.clone(),
            Node::Text(text) => format!("{text:?}"),
            Node::List(_) => "a list".to_owned(),
            Node::Map(pairs) => match pairs.as_slice() {
                [(key, _)] => format!("{{{key}: ...}}"),
                _ => "a map".to_owned(),
            },
        }
    }

    /// `self` with what `over` adds or replaces: maps are merged, lists are joined, other values are replaced. These
    /// are SAM's rules for Globals.
    pub(super) fn overlaid(&self, over: &Node) -> Node {
        match (self, over) {
            (Node::Map(base), Node::Map(changes)) if !is_intrinsic(base) && !is_intrinsic(changes) => {
                let mut merged = base.clone();
                for (key, value) in changes {
                    match merged.iter_mut().find(|(name, _)| name == key) {
                        Some((_, present)) => *present = present.overlaid(value),
                        None => merged.push((key.clone(), value.clone())),
                    }
                }
                Node::Map(merged)
            }
            (Node::List(base), Node::List(more)) => Node::List(base.iter().chain(more).cloned().collect()),
            _ => over.clone(),
        }
    }
}

/// Whether a map is a call of an intrinsic function.
pub(super) fn is_intrinsic(pairs: &[(String, Node)]) -> bool {
    matches!(pairs, [(name, _)] if name == "Ref" || name == "Condition" || name.starts_with("Fn::"))
}
