//! The tree of a template's text, the same for YAML and JSON.

use crate::TemplateError;
use crate::{json, yaml};

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
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// As it is written, so that nothing is rounded.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads a text; what is wrong with it.
    pub(crate) fn parse(text: &str, format: Format) -> Result<Node, TemplateError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let node = match format {
            Format::Json => json::parse(text)?,
            Format::Yaml => yaml::parse(text)?,
        };
        match node {
            Node::Map(_) => Ok(node),
            _ => Err(TemplateError::Malformed("a map with Resources is expected".to_owned())),
        }
    }

    /// The member of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members of a map; none for anything else.
    pub(crate) fn pairs(&self) -> &[(String, Node)] {
        match self {
            Node::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The elements of a list, or the one value.
    pub(crate) fn one_or_many(&self) -> &[Node] {
        match self {
            Node::List(list) => list,
            other => std::slice::from_ref(other),
        }
    }

    /// A few words for messages.
    pub(crate) fn brief(&self) -> String {
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
    pub(crate) fn overlaid(&self, over: &Node) -> Node {
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
pub(crate) fn is_intrinsic(pairs: &[(String, Node)]) -> bool {
    matches!(pairs, [(name, _)] if name == "Ref" || name == "Condition" || name.starts_with("Fn::"))
}
