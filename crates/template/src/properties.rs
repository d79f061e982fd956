//! The properties of one resource, taken one by one. What nobody took is named, so nothing is lost in silence.

use crate::TemplateError;
use crate::names::not_here;
use crate::node::{Node, is_intrinsic};
use crate::resolve::Resolver;
use crate::suggest::{did_you_mean, nearest_property};
use crate::text::{Origin, Text};
use crate::value::Value;

/// A map of the template at a path.
pub(crate) struct Properties<'a> {
    resolver: &'a Resolver<'a>,
    pub(crate) path: String,
    left: Vec<(String, Node)>,
    /// Names that were asked for and are not there: what one that nobody took may be a slip of.
    asked: Vec<String>,
}

type Taken<T> = Result<Option<T>, TemplateError>;

impl<'a> Properties<'a> {
    /// The properties of a resource.
    pub(crate) fn of(
        resolver: &'a Resolver<'a>,
        id: &str,
        resource: &Node,
        globals: Option<&Node>,
    ) -> Result<Properties<'a>, TemplateError> {
        let empty = Node::Map(Vec::new());
        let own = match resource.get("Properties") {
            None | Some(Node::Null) => &empty,
            Some(own) => own,
        };
        let all = globals.map_or_else(|| own.clone(), |globals| globals.overlaid(own));
        Properties::new(resolver, format!("Resources.{id}.Properties"), all)
    }

    /// The members of a map.
    pub(crate) fn new(resolver: &'a Resolver<'a>, path: String, node: Node) -> Result<Properties<'a>, TemplateError> {
        let left = match resolver.chosen(node, &path)? {
            Node::Map(pairs) if !is_intrinsic(&pairs) => resolver.expanded(&pairs, &path)?.into_owned(),
            // A map that an intrinsic function yields is a map of values: it is turned back into the text's form.
            Node::Map(pairs) => match resolver.value(&Node::Map(pairs), &path)? {
                Value::Map(pairs) => pairs
                    .into_iter()
                    .map(|(key, value)| Some((key, value.into_node()?)))
                    .collect::<Option<_>>()
                    .ok_or_else(|| TemplateError::at(&path, "what is not known yet cannot stand here"))?,
                Value::Absent => Vec::new(),
                other => return Err(TemplateError::at(path, format!("a map is expected, not {}", other.brief()))),
            },
            other => return Err(TemplateError::at(path, format!("a map is expected, not {}", other.brief()))),
        };
        Ok(Properties { resolver, path, left, asked: Vec::new() })
    }

    /// The members of a map that was taken from this one.
    pub(crate) fn new_in(outer: &Properties<'a>, path: String, node: Node) -> Result<Properties<'a>, TemplateError> {
        Properties::new(outer.resolver, path, node)
    }

    /// The branch that stands for a node: see `Resolver::chosen`.
    pub(crate) fn chosen(&self, node: Node, path: &str) -> Result<Node, TemplateError> {
        self.resolver.chosen(node, path)
    }

    /// The user gave a value for the resource that a node refers to.
    pub(crate) fn is_given(&self, node: &Node) -> bool {
        let resources = &self.resolver.options.resources;
        matches!(node.pairs(), [(name, Node::Text(target))] if name == "Ref" && resources.contains_key(target))
    }

    /// The changes of tables can be brought to Kinesis data streams.
    pub(crate) fn delivers_to_kinesis(&self) -> bool {
        self.resolver.options.delivers_to_kinesis
    }

    /// The value of a node that was taken from this map.
    pub(crate) fn value_of(&self, node: &Node, path: &str) -> Result<Value, TemplateError> {
        self.resolver.value(node, path)
    }

    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Names a property that is left out.
    pub(crate) fn skip(&self, name: &str, why: &str) {
        self.resolver.skip(&self.at(name), why);
    }

    /// Takes a property as it is written.
    pub(crate) fn node(&mut self, name: &str) -> Option<Node> {
        match self.left.iter().position(|(key, _)| key == name) {
            Some(place) => Some(self.left.remove(place).1),
            None => {
                self.asked.push(name.to_owned());
                None
            }
        }
    }

    /// A property as it is written, which stays.
    pub(crate) fn peek(&self, name: &str) -> Option<&Node> {
        self.left.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// A property's value; `None`: not written, or `AWS::NoValue`.
    pub(crate) fn value(&mut self, name: &str) -> Taken<Value> {
        let Some(node) = self.node(name) else { return Ok(None) };
        Ok(match self.resolver.value(&node, &self.at(name))? {
            Value::Absent | Value::Null => None,
            value => Some(value),
        })
    }

    /// A text, parts of which may be known later.
    pub(crate) fn text_with_streams(&mut self, name: &str) -> Taken<Text> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        match value.as_text() {
            Some(text) => Ok(Some(text)),
            None => Err(self.wrong(name, "a text", &value)),
        }
    }

    /// A property's value, every part of which is needed as it is on AWS.
    fn needed(&mut self, name: &str) -> Taken<Value> {
        let value = self.value(name)?;
        match value.as_ref().and_then(Value::origin) {
            Some(Origin { what, option, .. }) => Err(TemplateError::at(self.at(name), not_here(what, option))),
            None => Ok(value),
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Taken<String> {
        let Some(value) = self.needed(name)? else { return Ok(None) };
        match value.as_literal() {
            Some(text) => Ok(Some(text)),
            None => Err(self.wrong(name, "a text", &value)),
        }
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, TemplateError> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Taken<bool> {
        let Some(value) = self.needed(name)? else { return Ok(None) };
        // CloudFormation takes the words in any case, and its YAML has more of them than ours.
        let word = value.as_literal().map(|text| text.to_ascii_lowercase());
        match word.as_deref() {
            Some("true" | "yes" | "on") => Ok(Some(true)),
            Some("false" | "no" | "off") => Ok(Some(false)),
            _ => Err(self.wrong(name, "true or false", &value)),
        }
    }

    /// An integer between `min` and `max`.
    pub(crate) fn integer(&mut self, name: &str, min: i64, max: i64) -> Taken<i64> {
        let value = self.needed(name)?;
        self.between(name, value, min, max)
    }

    fn between(&self, name: &str, value: Option<Value>, min: i64, max: i64) -> Taken<i64> {
        let Some(value) = value else { return Ok(None) };
        let number = value.as_literal().and_then(|text| whole(&text));
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &format!("an integer from {min} to {max}"), &value)),
        }
    }

    /// An integer that changes neither which records are delivered nor how data is kept: where a stand-in is all that there
    /// is, it is named and left out.
    pub(crate) fn integer_or_default(&mut self, name: &str, min: i64, max: i64) -> Taken<i64> {
        let value = self.value(name)?;
        if let Some(Origin { what, option, .. }) = value.as_ref().and_then(Value::origin) {
            self.skip(name, &format!("the default is taken: it comes from {what}; give it with {option}"));
            return Ok(None);
        }
        self.between(name, value, min, max)
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Taken<T> {
        let Some(value) = self.needed(name)? else { return Ok(None) };
        let text = value.as_literal();
        match words.iter().find(|(word, _)| Some(*word) == text.as_deref()) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let hint = did_you_mean(&text.unwrap_or_default(), known.iter().copied());
                let message = format!("{} is expected, not {}{hint}", known.join(" or "), value.brief());
                Err(TemplateError::at(self.at(name), message))
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Taken<Vec<String>> {
        let Some(value) = self.needed(name)? else { return Ok(None) };
        let Value::List(list) = &value else { return Err(self.wrong(name, "a list", &value)) };
        let text = |value: &Value| match value.as_literal() {
            Some(text) => Ok(text),
            None => Err(self.wrong(name, "a list of texts", value)),
        };
        list.iter().filter(|value| **value != Value::Absent).map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A document, written as JSON.
    pub(crate) fn document(&mut self, name: &str) -> Taken<String> {
        let Some(value) = self.needed(name)? else { return Ok(None) };
        let as_json = value.as_json();
        as_json.map(|document| Some(document.to_string())).ok_or_else(|| self.wrong(name, "a document", &value))
    }

    /// What was made of a property that has no effect on data: where it cannot be made, it is named and left out.
    pub(crate) fn or_skipped<T>(&self, made: Taken<T>) -> Option<T> {
        match made {
            Ok(made) => made,
            Err(TemplateError::At { path, message }) => {
                self.resolver.skip(&path, format_args!("not applied: {message}"));
                None
            }
            Err(TemplateError::Malformed(_)) => unreachable!("invariant: the text was read before"),
        }
    }

    /// A map inside of this one.
    pub(crate) fn map(&mut self, name: &str) -> Taken<Properties<'a>> {
        let path = self.at(name);
        match self.node(name) {
            None | Some(Node::Null) => Ok(None),
            Some(node) if self.resolver.value_is_absent(&node, &path)? => Ok(None),
            Some(node) => Properties::new(self.resolver, path, node).map(Some),
        }
    }

    /// A list of maps.
    pub(crate) fn maps(&mut self, name: &str) -> Taken<Vec<Properties<'a>>> {
        let path = self.at(name);
        let list = match self.node(name).map(|node| self.resolver.chosen(node, &path)).transpose()? {
            None | Some(Node::Null) => return Ok(None),
            Some(Node::List(list)) => list,
            Some(node) => match self.resolver.value(&node, &path)? {
                Value::Absent => return Ok(None),
                Value::List(values) => values
                    .into_iter()
                    .map(Value::into_node)
                    .collect::<Option<_>>()
                    .ok_or_else(|| TemplateError::at(&path, "what is not known yet cannot stand here"))?,
                other => return Err(TemplateError::at(path, format!("a list is expected, not {}", other.brief()))),
            },
        };
        let mut maps = Vec::with_capacity(list.len());
        for (n, node) in list.into_iter().enumerate() {
            let path = format!("{path}.{n}");
            if !self.resolver.value_is_absent(&node, &path)? {
                maps.push(Properties::new(self.resolver, path, node)?);
            }
        }
        Ok(Some(maps))
    }

    /// Adds a property, in the place of one with this name.
    pub(crate) fn put(&mut self, name: &str, node: Node) {
        self.node(name);
        self.left.push((name.to_owned(), node));
    }

    /// What was not taken, as it is written.
    pub(crate) fn into_node(self) -> Node {
        Node::Map(self.left)
    }

    /// All members as they are, with their paths.
    pub(crate) fn entries(&mut self) -> Vec<String> {
        self.left.iter().map(|(name, _)| name.clone()).collect()
    }

    /// These have no effect here.
    pub(crate) fn without_effect(&mut self, names: &[&str]) {
        for name in names {
            self.node(name);
        }
    }

    /// These would have an effect that Tailrace does not give: named, and left out.
    pub(crate) fn not_applied(&mut self, names: &[&str]) {
        for name in names {
            if self.node(name).is_some() {
                self.skip(name, "not applied");
            }
        }
    }

    /// These would change which records are delivered or how data is kept: unless it is empty, one stops the reading.
    pub(crate) fn refuse(&mut self, name: &str, why: &str) -> Result<(), TemplateError> {
        let Some(node) = self.node(name) else { return Ok(()) };
        let path = self.at(name);
        let is_empty = match self.resolver.value(&node, &path) {
            Ok(Value::Absent | Value::Null) => true,
            Ok(Value::List(list)) => list.is_empty(),
            Ok(Value::Map(pairs)) => pairs.is_empty(),
            _ => false,
        };
        if is_empty { Ok(()) } else { Err(TemplateError::at(path, why)) }
    }

    /// Whatever was not taken is named, and left out; `AWS::NoValue` is nothing.
    pub(crate) fn finish(self) {
        for (name, node) in &self.left {
            let path = self.at(name);
            if !matches!(self.resolver.value(node, &path), Ok(Value::Absent | Value::Null)) {
                let meant = nearest_property(name, self.asked.iter().map(String::as_str));
                let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                self.resolver.skip(&path, format_args!("this property is not known; skipped{hint}"));
            }
        }
    }

    pub(crate) fn missing(&self, name: &str) -> TemplateError {
        let left = self.left.iter().map(|(own, _)| own.as_str());
        let slip = nearest_property(name, left.filter(|own| !PROPERTIES_OF_OTHER_MEANING.contains(own)));
        let hint = slip.map(|slip| format!("; is {slip} meant to be it?")).unwrap_or_default();
        TemplateError::at(self.at(name), format!("this property is required{hint}"))
    }

    fn wrong(&self, name: &str, wanted: &str, value: &Value) -> TemplateError {
        TemplateError::at(self.at(name), format!("{wanted} is expected, not {}", value.brief()))
    }
}

/// What begins as another property does, and is not meant to be that.
const PROPERTIES_OF_OTHER_MEANING: [&str; 2] = ["CodeSigningConfigArn", "RuntimeManagementConfig"];

impl Resolver<'_> {
    /// Whether a node is left out by `AWS::NoValue`.
    fn value_is_absent(&self, node: &Node, path: &str) -> Result<bool, TemplateError> {
        match node {
            Node::Map(pairs) if is_intrinsic(pairs) => match self.chosen(node.clone(), path)? {
                Node::Map(pairs) if is_intrinsic(&pairs) => Ok(self.value(&Node::Map(pairs), path)? == Value::Absent),
                _ => Ok(false),
            },
            _ => Ok(false),
        }
    }
}

/// The whole number that a text writes, in any notation of YAML.
fn whole(text: &str) -> Option<i64> {
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    let float = || text.parse::<f64>().ok().filter(|value| value.fract() == 0.0 && value.abs() < WHOLE_FLOAT_MAX);
    let decimal = text.parse().ok();
    decimal.or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8)).or_else(|| float().map(|value| value as i64))
}

/// Every whole number below it has a float of its own.
const WHOLE_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;
