//! Intrinsic functions, parameters, conditions and references, resolved when they are asked for.
//!
//! Only what a supported resource uses is resolved, so a template may hold anything in the parts that are skipped.
//! Circles (a name that depends on itself, a condition that asks itself) are errors, and so is depth beyond a bound.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::node::{Node, is_intrinsic};
use crate::plan::{Part, TABLE_NAME_CHARS_MIN, Text};
use crate::{Options, TemplateError, parameter};

/// References inside of references, at most: deeper is a circle.
const DEPTH_MAX: usize = 64;

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

    pub(crate) fn brief(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => text.clone(),
            Value::Text(text) => text.as_literal().map_or("the ARN of a stream".to_owned(), |text| format!("{text:?}")),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Absent => "nothing".to_owned(),
        }
    }
}

/// The template as a place of names.
pub(crate) struct Resolver<'a> {
    template: &'a Node,
    pub(crate) options: &'a Options,
    parameters: BTreeMap<&'a str, Value>,
    /// How deep the reference being followed is.
    depth: RefCell<usize>,
    /// The tables whose stream ARN is used, and where.
    streams: RefCell<Vec<(String, String)>>,
    /// What is not applied: one line each.
    skipped: RefCell<Vec<String>>,
}

type Resolved<T> = Result<T, TemplateError>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(template: &'a Node, options: &'a Options) -> Resolved<Resolver<'a>> {
        for section in ["Parameters", "Resources", "Conditions", "Mappings", "Globals"] {
            if !matches!(template.get(section), None | Some(Node::Map(_) | Node::Null)) {
                return Err(TemplateError::at(section, "a map is expected"));
            }
        }
        if matches!(template.get("Resources"), None | Some(Node::Null)) {
            return Err(TemplateError::at("Resources", "there are none"));
        }
        let mut parameters = BTreeMap::new();
        let mut skipped = Vec::new();
        for (name, declared) in template.get("Parameters").map_or(&[][..], Node::pairs) {
            let path = format!("Parameters.{name}");
            parameters.insert(name.as_str(), parameter::value(name, declared, options, &path, &mut skipped)?);
        }
        if let Some(unknown) = options.parameters.keys().find(|name| !parameters.contains_key(name.as_str())) {
            return Err(TemplateError::at(format!("Parameters.{unknown}"), "the template has no such parameter"));
        }
        let resolver = Resolver {
            template,
            options,
            parameters: parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            depth: RefCell::new(0),
            streams: RefCell::default(),
            skipped: RefCell::new(skipped),
        };
        resolver.check_globals()?;
        Ok(resolver)
    }

    fn check_globals(&self) -> Resolved<()> {
        for (kind, properties) in self.template.get("Globals").map_or(&[][..], Node::pairs) {
            let path = format!("Globals.{kind}");
            match properties {
                _ if kind != "Function" && kind != "SimpleTable" => self.skip(&path, "not supported; skipped"),
                Node::Map(_) | Node::Null => {}
                other => return Err(TemplateError::at(path, format!("a map is expected, not {}", other.brief()))),
            }
        }
        Ok(())
    }

    /// Names what is left out, in one line.
    pub(crate) fn skip(&self, path: &str, why: impl std::fmt::Display) {
        self.skipped.borrow_mut().push(format!("{path}: {why}"));
    }

    /// Everything that was left out.
    pub(crate) fn skipped(&self) -> Vec<String> {
        self.skipped.take()
    }

    pub(crate) fn resources(&self) -> &'a [(String, Node)] {
        self.template.get("Resources").map_or(&[], Node::pairs)
    }

    /// The properties that every resource of a SAM type shares: `Globals.<kind>`.
    pub(crate) fn globals(&self, kind: &str) -> Option<&'a Node> {
        self.template
            .get("Globals")
            .and_then(|globals| globals.get(kind))
            .filter(|properties| **properties != Node::Null)
    }

    /// Tables whose stream is used, with the place of the use.
    pub(crate) fn streams_needed(&self) -> Vec<(String, String)> {
        self.streams.borrow().clone()
    }

    /// Runs `body` one reference deeper.
    fn deeper<T>(&self, path: &str, body: impl FnOnce() -> Resolved<T>) -> Resolved<T> {
        if *self.depth.borrow() >= DEPTH_MAX {
            return Err(TemplateError::at(path, "the references go in a circle"));
        }
        *self.depth.borrow_mut() += 1;
        let result = body();
        *self.depth.borrow_mut() -= 1;
        result
    }

    /// The branch that stands for `node`, where it is an `Fn::If`: unlike its value it still has what is inside as it is
    /// written. What the branch is called in messages is the place of the `Fn::If`.
    pub(crate) fn chosen(&self, node: Node, path: &str) -> Resolved<Node> {
        let Node::Map(pairs) = &node else { return Ok(node) };
        match pairs.as_slice() {
            [(name, Node::List(parts))] if name == "Fn::If" => {
                let chosen = self.branch(parts, path)?.clone();
                self.deeper(path, || self.chosen(chosen, path))
            }
            _ => Ok(node),
        }
    }

    fn branch<'n>(&self, parts: &'n [Node], path: &str) -> Resolved<&'n Node> {
        let [Node::Text(condition), then, otherwise] = parts else {
            return Err(TemplateError::at(path, "Fn::If is malformed"));
        };
        Ok(if self.condition(condition, path)? { then } else { otherwise })
    }

    /// The value of `node`, which stands at `path`.
    pub(crate) fn value(&self, node: &Node, path: &str) -> Resolved<Value> {
        Ok(match node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(text) => Value::Number(text.clone()),
            Node::Text(text) if text.contains("{{resolve:") => {
                return Err(TemplateError::at(path, format!("the dynamic reference {text} cannot be resolved here")));
            }
            Node::Text(text) => Value::Text(Text::literal(text.clone())),
            Node::List(list) => {
                let mut values = Vec::with_capacity(list.len());
                for (n, element) in list.iter().enumerate() {
                    match self.value(element, &format!("{path}.{n}"))? {
                        Value::Absent => {}
                        value => values.push(value),
                    }
                }
                Value::List(values)
            }
            Node::Map(pairs) if is_intrinsic(pairs) => {
                let (name, argument) = &pairs[0];
                self.deeper(path, || self.intrinsic(name, argument, path))?
            }
            Node::Map(pairs) => {
                let mut values = Vec::with_capacity(pairs.len());
                for (key, member) in pairs {
                    match self.value(member, &format!("{path}.{key}"))? {
                        Value::Absent => {}
                        value => values.push((key.clone(), value)),
                    }
                }
                Value::Map(values)
            }
        })
    }

    fn intrinsic(&self, name: &str, argument: &Node, path: &str) -> Resolved<Value> {
        let wrong = || TemplateError::at(path, format!("{name} is malformed"));
        match (name, argument) {
            ("Ref", Node::Text(target)) => self.reference(target, path),
            ("Condition", Node::Text(condition)) => Ok(Value::Bool(self.condition(condition, path)?)),
            ("Fn::GetAtt", Node::Text(text)) => {
                let (id, attribute) = text.split_once('.').ok_or_else(wrong)?;
                self.attribute(id, attribute, path)
            }
            ("Fn::GetAtt", Node::List(pair)) => match pair.as_slice() {
                [Node::Text(id), Node::Text(attribute)] => self.attribute(id, attribute, path),
                _ => Err(wrong()),
            },
            ("Fn::Sub", Node::Text(text) | Node::Number(text)) => self.substitute(text, &[], path),
            ("Fn::Sub", Node::List(parts)) => match parts.as_slice() {
                [Node::Text(text)] => self.substitute(text, &[], path),
                [Node::Text(text), Node::Map(variables)] => self.substitute(text, variables, path),
                _ => Err(wrong()),
            },
            ("Fn::Join", Node::List(parts)) => {
                let [Node::Text(delimiter), elements] = parts.as_slice() else { return Err(wrong()) };
                let Value::List(elements) = self.value(elements, path)? else { return Err(wrong()) };
                let mut joined = Text::default();
                for (n, element) in elements.iter().enumerate() {
                    if n > 0 {
                        joined.push(Part::Literal(delimiter.clone()));
                    }
                    element.as_text().ok_or_else(wrong)?.0.into_iter().for_each(|part| joined.push(part));
                }
                Ok(Value::Text(joined))
            }
            ("Fn::If", Node::List(parts)) => {
                let chosen = self.branch(parts, path)?;
                self.value(chosen, path)
            }
            ("Fn::Select", Node::List(parts)) => {
                let [index, elements] = parts.as_slice() else { return Err(wrong()) };
                let index = self.value(index, path)?.as_text().and_then(|text| text.as_literal()).ok_or_else(wrong)?;
                let Value::List(elements) = self.value(elements, path)? else { return Err(wrong()) };
                let index: usize = index.parse().map_err(|_| wrong())?;
                let beyond = || TemplateError::at(path, format!("Fn::Select: there is no element {index}"));
                elements.get(index).cloned().ok_or_else(beyond)
            }
            ("Fn::Split", Node::List(parts)) => {
                let [Node::Text(delimiter), text] = parts.as_slice() else { return Err(wrong()) };
                if delimiter.is_empty() {
                    return Err(wrong());
                }
                let value = self.value(text, path)?;
                let text = value.as_text().map(|text| self.opened(text));
                let split = text.and_then(|text| text.split(delimiter));
                let split = split.ok_or_else(|| {
                    TemplateError::at(path, format!("Fn::Split: a text is expected, not {}", value.brief()))
                })?;
                Ok(Value::List(split.into_iter().map(Value::Text).collect()))
            }
            ("Fn::FindInMap", Node::List(keys)) => {
                let mut found = self.template.get("Mappings");
                for key in keys {
                    let key = self.literal(key, path)?;
                    let missing = || TemplateError::at(path, format!("Fn::FindInMap: Mappings has no {key:?} there"));
                    found = Some(found.and_then(|map| map.get(&key)).ok_or_else(missing)?);
                }
                self.value(found.ok_or_else(wrong)?, path)
            }
            ("Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not", _) => Ok(Value::Bool(self.logic(name, argument, path)?)),
            _ => Err(TemplateError::at(path, format!("{name} cannot be resolved here"))),
        }
    }

    /// The text with the ARNs of streams as far as they are known: all but their labels.
    fn opened(&self, text: Text) -> Text {
        let mut opened = Text::default();
        for part in text.0 {
            match part {
                Part::StreamOf(id) => {
                    let name = self.named(&id, "").map_or_else(|_| id.clone(), Named::into_name);
                    opened.push(Part::Literal(format!("{}/stream/", self.table_arn(&name))));
                    opened.push(Part::LabelOf(id));
                }
                part => opened.push(part),
            }
        }
        opened
    }

    /// A value that has to be a text whose every part is known.
    fn literal(&self, node: &Node, path: &str) -> Resolved<String> {
        let value = self.value(node, path)?;
        value
            .as_text()
            .and_then(|text| text.as_literal())
            .ok_or_else(|| TemplateError::at(path, format!("a text is expected, not {}", value.brief())))
    }

    fn logic(&self, name: &str, argument: &Node, path: &str) -> Resolved<bool> {
        let wrong = || TemplateError::at(path, format!("{name} is malformed"));
        let Node::List(operands) = argument else { return Err(wrong()) };
        let truth = |node: &Node| match self.value(node, path)? {
            Value::Bool(value) => Ok(value),
            other => Err(TemplateError::at(path, format!("{name}: {} is no condition", other.brief()))),
        };
        match (name, operands.as_slice()) {
            ("Fn::Equals", [left, right]) => {
                let (left, right) = (self.value(left, path)?, self.value(right, path)?);
                // The comparison is one of texts: 1 and "1" are equal.
                Ok(match (left.as_text(), right.as_text()) {
                    (Some(left), Some(right)) => left == right,
                    _ => left == right,
                })
            }
            ("Fn::Not", [operand]) => Ok(!truth(operand)?),
            ("Fn::And", [_, _, ..]) => operands.iter().try_fold(true, |all, node| Ok(truth(node)? && all)),
            ("Fn::Or", [_, _, ..]) => operands.iter().try_fold(false, |any, node| Ok(truth(node)? || any)),
            _ => Err(wrong()),
        }
    }

    /// Whether a condition of the template holds.
    pub(crate) fn condition(&self, name: &str, path: &str) -> Resolved<bool> {
        let Some(node) = self.template.get("Conditions").and_then(|conditions| conditions.get(name)) else {
            return Err(TemplateError::at(path, format!("there is no condition {name}")));
        };
        let place = format!("Conditions.{name}");
        self.deeper(&place, || match self.value(node, &place)? {
            Value::Bool(value) => Ok(value),
            other => Err(TemplateError::at(&place, format!("{} is no condition", other.brief()))),
        })
    }

    fn reference(&self, target: &str, path: &str) -> Resolved<Value> {
        if let Some(value) = self.parameters.get(target) {
            return Ok(value.clone());
        }
        if self.template.get("Parameters").is_some_and(|parameters| parameters.get(target).is_some()) {
            return Err(TemplateError::at(path, format!("the parameter {target} has no default and no value")));
        }
        let text = |text: &str| Ok(Value::Text(Text::literal(text)));
        match target {
            "AWS::Region" => text(&self.options.region),
            "AWS::AccountId" => text(&self.options.account_id),
            "AWS::Partition" => text("aws"),
            "AWS::StackName" => text(&self.options.stack_name),
            "AWS::URLSuffix" => text("amazonaws.com"),
            "AWS::StackId" => text(&format!(
                "arn:aws:cloudformation:{}:{}:stack/{}/tailrace",
                self.options.region, self.options.account_id, self.options.stack_name
            )),
            "AWS::NoValue" => Ok(Value::Absent),
            "AWS::NotificationARNs" => Ok(Value::List(Vec::new())),
            _ => match self.named(target, path)? {
                Named::Table(name) | Named::Function(name) => text(&name),
                Named::Layer(name) => text(&self.layer_arn(&name)),
            },
        }
    }

    fn attribute(&self, id: &str, attribute: &str, path: &str) -> Resolved<Value> {
        let text = |text: String| Ok(Value::Text(Text::literal(text)));
        match (self.named(id, path)?, attribute) {
            (Named::Table(name), "Arn") => text(self.table_arn(&name)),
            (Named::Table(_), "StreamArn") => {
                self.streams.borrow_mut().push((id.to_owned(), path.to_owned()));
                Ok(Value::Text(Text(vec![Part::StreamOf(id.to_owned())])))
            }
            (Named::Function(name), "Arn") => text(self.function_arn(&name)),
            (Named::Layer(name), "LayerVersionArn" | "Arn") => text(self.layer_arn(&name)),
            _ => Err(TemplateError::at(path, format!("the attribute {id}.{attribute} cannot be resolved"))),
        }
    }

    fn table_arn(&self, name: &str) -> String {
        format!("arn:aws:dynamodb:{}:{}:table/{name}", self.options.region, self.options.account_id)
    }

    pub(crate) fn function_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{name}", self.options.region, self.options.account_id)
    }

    /// The ARN of the one version that a layer has here.
    pub(crate) fn layer_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:layer:{name}:1", self.options.region, self.options.account_id)
    }

    /// A resource that other resources may refer to, by its logical id.
    fn named(&self, id: &str, path: &str) -> Resolved<Named> {
        let Some((_, resource)) = self.resources().iter().find(|(name, _)| name == id) else {
            return Err(TemplateError::at(path, format!("there is no parameter and no resource {id}")));
        };
        if let Some(Node::Text(condition)) = resource.get("Condition")
            && !self.condition(condition, path)?
        {
            let message = format!("the resource {id} is left out, since its condition {condition} does not hold");
            return Err(TemplateError::at(path, message));
        }
        match resource.get("Type") {
            Some(Node::Text(kind)) => match kind.as_str() {
                "AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable" => {
                    Ok(Named::Table(self.name_of(id, resource, "TableName")?))
                }
                "AWS::Lambda::Function" | "AWS::Serverless::Function" => {
                    Ok(Named::Function(self.name_of(id, resource, "FunctionName")?))
                }
                "AWS::Serverless::LayerVersion" | "AWS::Lambda::LayerVersion" => {
                    Ok(Named::Layer(self.name_of(id, resource, "LayerName")?))
                }
                other => Err(TemplateError::at(path, format!("it refers to {id}, and {other} is not supported"))),
            },
            _ => Err(TemplateError::at(path, format!("it refers to {id}, which has no Type"))),
        }
    }

    /// Where the name of a resource comes from: its property, or else the resource itself.
    pub(crate) fn name_path(&self, id: &str, property: &str) -> String {
        let resource = self.resources().iter().find(|(name, _)| name == id).map(|(_, resource)| resource);
        match resource.and_then(|resource| resource.get("Properties")).and_then(|own| own.get(property)) {
            Some(_) => format!("Resources.{id}.Properties.{property}"),
            None => format!("Resources.{id}"),
        }
    }

    /// The name of a resource: its property, or else its logical id.
    pub(crate) fn name_of(&self, id: &str, resource: &Node, property: &str) -> Resolved<String> {
        let path = format!("Resources.{id}.Properties.{property}");
        let generated = || match property {
            // Too short for a table's name. CloudFormation, too, puts the stack's name in front of names that it makes.
            "TableName" if id.len() < TABLE_NAME_CHARS_MIN => format!("{}-{id}", self.options.stack_name),
            _ => id.to_owned(),
        };
        let Some(node) = resource.get("Properties").and_then(|properties| properties.get(property)) else {
            return Ok(generated());
        };
        self.deeper(&path, || match self.value(node, &path)? {
            Value::Absent | Value::Null => Ok(generated()),
            value => value
                .as_text()
                .and_then(|text| text.as_literal())
                .filter(|name| !name.is_empty())
                .ok_or_else(|| TemplateError::at(&path, format!("a name is expected, not {}", value.brief()))),
        })
    }

    /// `Fn::Sub`: `${Name}`, `${Id.Attribute}`, and `${!Literal}`.
    fn substitute(&self, text: &str, variables: &[(String, Node)], path: &str) -> Resolved<Value> {
        let mut result = Text::default();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            result.push(Part::Literal(before.to_owned()));
            let Some((name, behind)) = after.split_once('}') else {
                return Err(TemplateError::at(path, "Fn::Sub: a `${` is not closed"));
            };
            rest = behind;
            let name = name.trim();
            if let Some(literal) = name.strip_prefix('!') {
                result.push(Part::Literal(format!("${{{literal}}}")));
                continue;
            }
            let value = match variables.iter().find(|(variable, _)| variable == name) {
                Some((_, node)) => self.value(node, path)?,
                None => match name.split_once('.') {
                    Some((id, attribute)) => self.attribute(id, attribute, path)?,
                    None => self.reference(name, path)?,
                },
            };
            let wrong = || TemplateError::at(path, format!("Fn::Sub: ${{{name}}} is {}, no text", value.brief()));
            value.as_text().ok_or_else(wrong)?.0.into_iter().for_each(|part| result.push(part));
        }
        result.push(Part::Literal(rest.to_owned()));
        Ok(Value::Text(result))
    }
}

/// A resource with a name.
enum Named {
    Table(String),
    Function(String),
    Layer(String),
}

impl Named {
    fn into_name(self) -> String {
        match self {
            Named::Table(name) | Named::Function(name) | Named::Layer(name) => name,
        }
    }
}
