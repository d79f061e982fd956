//! The tree of a template's text, the same for YAML and JSON.

use std::path::Path;

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

impl Format {
    /// The notation of a file by its name; where that says nothing, what begins as JSON does is JSON.
    pub fn of(file: &Path, text: &str) -> Format {
        let begins = || text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']);
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Format::Json,
            Some("yaml" | "yml") => Format::Yaml,
            _ if begins() => Format::Json,
            _ => Format::Yaml,
        }
    }
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
        match Node::parse_any(text, format)? {
            node @ Node::Map(_) => Ok(node),
            _ => Err(TemplateError::Malformed("a map with Resources is expected".to_owned())),
        }
    }

    /// As above; what it is is not looked at.
    pub(crate) fn parse_any(text: &str, format: Format) -> Result<Node, TemplateError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match format {
            Format::Json => json::parse(text),
            Format::Yaml => yaml::parse(text),
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

    /// How many values it is made of.
    pub(crate) fn count(&self) -> usize {
        match self {
            Node::List(list) => 1 + list.iter().map(Node::count).sum::<usize>(),
            Node::Map(pairs) => 1 + pairs.iter().map(|(_, node)| node.count()).sum::<usize>(),
            _ => 1,
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
    match pairs {
        // The statement of a policy has a member of this name, too.
        [(name, argument)] if name == "Condition" => matches!(argument, Node::Text(_)),
        [(name, _)] => name == "Ref" || (name.starts_with("Fn::") && !name.starts_with("Fn::ForEach")),
        _ => false,
    }
}
