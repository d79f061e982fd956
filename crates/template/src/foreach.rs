//! What a map of the template holds beyond its text: `Fn::ForEach` loops and the files of `AWS::Include`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tailrace_core::limits::TEMPLATE_NODES_MAX;

use crate::TemplateError;
use crate::node::{Format, Node, is_intrinsic};
use crate::resolve::{Resolved, Resolver};

/// The key of a loop: `Fn::ForEach::<name>`.
const LOOP: &str = "Fn::ForEach::";

impl Resolver<'_> {
    /// The members of a map, with those that its loops and included files make.
    pub(crate) fn expanded<'n>(&self, pairs: &'n [(String, Node)], path: &str) -> Resolved<Cow<'n, [(String, Node)]>> {
        if !pairs.iter().any(|(key, _)| key.starts_with(LOOP) || key == "Fn::Transform") {
            return Ok(Cow::Borrowed(pairs));
        }
        let mut all: Vec<(String, Node)> = Vec::with_capacity(pairs.len());
        let mut keys = BTreeSet::new();
        let mut add = |more: &[(String, Node)], place: &str| {
            for (key, node) in more {
                if !keys.insert(key.clone()) {
                    return Err(TemplateError::at(place, format!("the key {key:?} is given twice")));
                }
                all.push((key.clone(), node.clone()));
            }
            Ok(())
        };
        for (key, node) in pairs {
            let place = format!("{path}.{key}");
            if key.starts_with(LOOP) {
                let made = self.deeper(&place, || self.looped(node, &place))?;
                add(&made, &place)?;
            } else if key == "Fn::Transform" {
                let Some(Node::Map(more)) = self.included(node, &place)? else { continue };
                let more = self.deeper(&place, || Ok(self.expanded(&more, path)?.into_owned()))?;
                add(&more, &place)?;
            } else {
                add(std::slice::from_ref(&(key.clone(), node.clone())), &place)?;
            }
        }
        Ok(Cow::Owned(all))
    }

    /// The maps of the template, with the files that they include: read when the first of them is asked for, and once.
    pub(crate) fn mappings(&self) -> Resolved<&Node> {
        if let Some(mappings) = self.mappings.get() {
            return Ok(mappings);
        }
        let path = "Mappings";
        let whole = self.template.get(path).map_or(&[][..], Node::pairs);
        let made = self.deeper(path, || self.whole_map(whole, path))?;
        Ok(self.mappings.get_or_init(|| made))
    }

    /// A map, and those in it, with what is included.
    fn whole_map(&self, pairs: &[(String, Node)], path: &str) -> Resolved<Node> {
        let mut whole = Vec::with_capacity(pairs.len());
        for (key, node) in self.expanded(pairs, path)?.iter() {
            let place = format!("{path}.{key}");
            let node = match node {
                Node::Map(pairs) if !is_intrinsic(pairs) || is_include(pairs) => {
                    self.deeper(&place, || self.whole_map(pairs, &place))?
                }
                other => other.clone(),
            };
            whole.push((key.clone(), node));
        }
        Ok(Node::Map(whole))
    }

    /// What a loop makes: `[identifier, collection, {key: value}]`.
    fn looped(&self, node: &Node, path: &str) -> Resolved<Vec<(String, Node)>> {
        let wrong =
            || TemplateError::at(path, "Fn::ForEach is malformed: [identifier, collection, {key: value}] is expected");
        let Node::List(parts) = node else { return Err(wrong()) };
        let [Node::Text(identifier), collection, Node::Map(body)] = parts.as_slice() else { return Err(wrong()) };
        let collection = match self.value(collection, path)? {
            crate::value::Value::List(list) => list,
            _ => return Err(wrong()),
        };
        if collection.len().saturating_mul(least(body)) > TEMPLATE_NODES_MAX {
            // Loops inside of loops: known before the first turn.
            return Err(self.too_much(path));
        }
        let mut made = Vec::new();
        for element in collection {
            let element = element.as_literal().ok_or_else(wrong)?;
            let turn = Turn::new(identifier, &element);
            let pairs: Vec<(String, Node)> = body.iter().map(|(key, node)| (turn.text(key), turn.node(node))).collect();
            for (_, node) in &pairs {
                self.count_generated(node, path)?;
            }
            made.extend(self.expanded(&pairs, path)?.into_owned());
        }
        Ok(made)
    }

    /// What `{Name: AWS::Include, Parameters: {Location: ...}}` stands for; `None`: it is named and left out.
    pub(crate) fn included(&self, node: &Node, path: &str) -> Resolved<Option<Node>> {
        let name = match node.get("Name") {
            Some(Node::Text(name)) => name.as_str(),
            _ => return Err(TemplateError::at(path, "Fn::Transform is malformed: there is no Name")),
        };
        if name != "AWS::Include" {
            self.skip(path, format_args!("the macro {name} is not run"));
            return Ok(None);
        }
        let Some(location) = node.get("Parameters").and_then(|parameters| parameters.get("Location")) else {
            return Err(TemplateError::at(path, NO_LOCATION));
        };
        let location = self.literal(location, path)?;
        if location.contains("://") {
            self.skip(path, not_included(&location));
            return Ok(None);
        }
        let file = self.dir.join(&location);
        let text = (self.options.read)(&file)
            .map_err(|error| TemplateError::at(path, format!("cannot include {}: {error}", file.display())))?;
        let format = Format::of(&file, &text);
        let included = Node::parse(&text, format)
            .map_err(|error| TemplateError::at(path, format!("{}: {error}", file.display())))?;
        self.count_generated(&included, path)?;
        Ok(Some(included))
    }
}

/// Nothing but a file makes the map.
fn is_include(pairs: &[(String, Node)]) -> bool {
    matches!(pairs, [(key, _)] if key == "Fn::Transform")
}

/// What is wrong with an include of nothing.
pub(crate) const NO_LOCATION: &str = "AWS::Include has no Location";

/// What is told of an include of something that is no file of this machine.
pub(crate) fn not_included(location: &str) -> String {
    format!("{location} is not read: only a file of this machine is included")
}

/// How many values a turn of a loop makes at least: those of the loops in it whose collections are written out.
fn least(body: &[(String, Node)]) -> usize {
    let of = |(key, node): &(String, Node)| match node {
        Node::List(parts) if key.starts_with(LOOP) => match parts.as_slice() {
            [_, Node::List(collection), Node::Map(inner)] => collection.len().saturating_mul(least(inner)),
            _ => 1,
        },
        _ => 1,
    };
    body.iter().map(of).fold(0, usize::saturating_add)
}

/// One turn of a loop: what its identifier is replaced by.
struct Turn<'a> {
    identifier: &'a str,
    element: &'a str,
    /// `${identifier}`.
    plain: String,
    /// `&{identifier}`: without what cannot be in a logical id.
    bare: String,
    bare_element: String,
}

impl<'a> Turn<'a> {
    fn new(identifier: &'a str, element: &'a str) -> Turn<'a> {
        let bare_element = element.chars().filter(char::is_ascii_alphanumeric).collect();
        Turn {
            identifier,
            element,
            plain: format!("${{{identifier}}}"),
            bare: format!("&{{{identifier}}}"),
            bare_element,
        }
    }

    fn text(&self, text: &str) -> String {
        text.replace(&self.plain, self.element).replace(&self.bare, &self.bare_element)
    }

    fn node(&self, node: &Node) -> Node {
        match node {
            Node::Text(text) => Node::Text(self.text(text)),
            Node::List(list) => Node::List(list.iter().map(|node| self.node(node)).collect()),
            Node::Map(pairs) => match pairs.as_slice() {
                [(name, Node::Text(target))] if name == "Ref" && target == self.identifier => {
                    Node::Text(self.element.to_owned())
                }
                pairs => Node::Map(pairs.iter().map(|(key, node)| (self.text(key), self.node(node))).collect()),
            },
            other => other.clone(),
        }
    }
}
