//! The intrinsic functions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::limits::TEMPLATE_NODES_MAX;

use crate::TemplateError;
use crate::app::Wanted;
use crate::cidr;
use crate::node::Node;
use crate::resolve::{Resolved, Resolver};
use crate::suggest::did_you_mean;
use crate::text::{Origin, Part, StandIn, Text};
use crate::value::Value;

/// The functions of CloudFormation and of its language extensions, for suggestions.
const NAMES: &[&str] = &[
    "Fn::And",
    "Fn::Base64",
    "Fn::Cidr",
    "Fn::Equals",
    "Fn::FindInMap",
    "Fn::ForEach",
    "Fn::GetAZs",
    "Fn::GetAtt",
    "Fn::GetStackOutput",
    "Fn::If",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Length",
    "Fn::Not",
    "Fn::Or",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Fn::ToJsonString",
    "Fn::Transform",
];

impl Resolver<'_> {
    pub(super) fn intrinsic(&self, name: &str, argument: &Node, path: &str) -> Resolved<Value> {
        let wrong = || TemplateError::at(path, format!("{name} is malformed"));
        let text = |text: Text| Ok(Value::Text(text));
        match (name, argument) {
            ("Ref", Node::Text(target)) => self.reference(target, path),
            // With AWS::LanguageExtensions a logical id may be the result of a function.
            ("Ref", computed @ Node::Map(_)) => self.reference(&self.literal(computed, path)?, path),
            ("Condition", Node::Text(condition)) => Ok(Value::Bool(self.condition(condition, path)?)),
            ("Fn::GetAtt", Node::Text(text)) => {
                let (id, attribute) = text.split_once('.').ok_or_else(wrong)?;
                self.attribute(id, attribute, path)
            }
            ("Fn::GetAtt", Node::List(parts)) => {
                let [id @ (Node::Text(_) | Node::Map(_)), attribute @ ..] = parts.as_slice() else {
                    return Err(wrong());
                };
                if attribute.is_empty() {
                    return Err(wrong());
                }
                let id = self.literal(id, path)?;
                let attribute: Vec<String> =
                    attribute.iter().map(|part| self.literal(part, path)).collect::<Result<_, _>>()?;
                self.attribute(&id, &attribute.join("."), path)
            }
            ("Fn::Sub", Node::Text(template) | Node::Number(template)) => text(self.substitute(template, &[], path)?),
            ("Fn::Sub", Node::List(parts)) => match parts.as_slice() {
                [Node::Text(template)] => text(self.substitute(template, &[], path)?),
                [Node::Text(template), Node::Map(variables)] => text(self.substitute(template, variables, path)?),
                _ => Err(wrong()),
            },
            ("Fn::Join", Node::List(parts)) => {
                let [Node::Text(delimiter), elements] = parts.as_slice() else { return Err(wrong()) };
                let elements = self.list(elements, path)?.ok_or_else(wrong)?;
                let mut joined = Text::default();
                for (n, element) in elements.iter().enumerate() {
                    if n > 0 {
                        joined.push(Part::Literal(delimiter.clone()));
                    }
                    joined.append(element.as_text().ok_or_else(wrong)?);
                }
                text(self.with_dynamic(joined))
            }
            ("Fn::If", Node::List(parts)) => {
                let chosen = self.branch(parts, path)?;
                self.value(chosen, path)
            }
            ("Fn::Select", Node::List(parts)) => {
                let [index, elements] = parts.as_slice() else { return Err(wrong()) };
                let index = self.value(index, path)?;
                let elements = self.list(elements, path)?.ok_or_else(wrong)?;
                let number = index.as_literal().and_then(|index| index.parse::<usize>().ok());
                let index = match (number, index.origin()) {
                    (Some(number), _) => number,
                    (None, Some(origin)) => return text(Text::stand_in("0", origin.clone())),
                    (None, None) => return Err(wrong()),
                };
                match (elements.get(index), elements.iter().find_map(Value::origin)) {
                    (Some(element), _) => Ok(element.clone()),
                    // A stand-in has not as many pieces as the real one.
                    (None, Some(origin)) => text(Text::stand_in(index.to_string(), origin.clone())),
                    (None, None) => Err(TemplateError::at(path, format!("Fn::Select: there is no element {index}"))),
                }
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
            ("Fn::FindInMap", Node::List(parts)) => self.find_in_map(parts, path),
            ("Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not", _) => Ok(Value::Bool(self.logic(name, argument, path)?)),
            ("Fn::ImportValue", argument) => self.of_elsewhere(&Wanted::Export(&self.literal(argument, path)?), path),
            ("Fn::GetStackOutput", Node::Map(parts)) => self.stack_output(parts, path),
            ("Fn::Base64", argument) => {
                let value = self.value(argument, path)?;
                let (plain, origin) = (value.as_literal(), value.origin());
                let encoded = BASE64.encode(plain.ok_or_else(wrong)?);
                text(origin.map_or_else(|| Text::literal(&encoded), |origin| Text::stand_in(&encoded, origin.clone())))
            }
            ("Fn::Cidr", Node::List(parts)) => self.subnets(parts, path),
            ("Fn::GetAZs", argument) => {
                let region = match self.value(argument, path)?.as_literal() {
                    Some(region) if !region.is_empty() => region,
                    _ => self.options.region.clone(),
                };
                let zone = |letter| Value::Text(Text::literal(format!("{region}{letter}")));
                Ok(Value::List(["a", "b", "c"].map(zone).to_vec()))
            }
            ("Fn::Length", argument) => match self.value(argument, path)? {
                Value::List(list) => Ok(Value::Number(list.len().to_string())),
                other => Err(TemplateError::at(path, format!("Fn::Length: a list is expected, not {}", other.brief()))),
            },
            ("Fn::ToJsonString", argument) => match self.value(argument, path)? {
                value @ (Value::List(_) | Value::Map(_)) => text(json_text(&value)),
                other => {
                    let message = format!("Fn::ToJsonString: a map or a list is expected, not {}", other.brief());
                    Err(TemplateError::at(path, message))
                }
            },
            ("Fn::Transform", argument) => match self.included(argument, path)? {
                Some(node) => self.value(&node, path),
                None => Ok(Value::Absent),
            },
            _ if NAMES.contains(&name) => Err(wrong()),
            _ => {
                let hint = did_you_mean(name, NAMES.iter().copied());
                Err(TemplateError::at(path, format!("there is no function {name}{hint}")))
            }
        }
    }

    /// A list. What stands in for one, or was given for it, is a text with commas between its elements: only AWS knows that it is
    /// no text.
    fn list(&self, node: &Node, path: &str) -> Resolved<Option<Vec<Value>>> {
        let text = match self.value(node, path)? {
            Value::List(list) => return Ok(Some(list)),
            Value::Text(text) => text,
            _ => return Ok(None),
        };
        let is_given =
            text.as_literal().is_some_and(|text| self.options.resources.values().any(|given| *given == text));
        let elements = (is_given || text.origins().next().is_some()).then(|| text.split(",")).flatten();
        Ok(elements.map(|elements| elements.into_iter().map(Value::Text).collect()))
    }

    fn find_in_map(&self, parts: &[Node], path: &str) -> Resolved<Value> {
        let (keys, default) = match parts {
            [keys @ .., Node::Map(options)]
                if keys.len() == 3 && options.iter().any(|(name, _)| name == "DefaultValue") =>
            {
                (keys, options.iter().find(|(name, _)| name == "DefaultValue").map(|(_, value)| value))
            }
            keys => (keys, None),
        };
        if keys.len() != 3 {
            return Err(TemplateError::at(path, "Fn::FindInMap is malformed"));
        }
        let mut found = Some(self.mappings()?);
        let mut place = "Mappings".to_owned();
        for key in keys {
            let value = self.value(key, path)?;
            let text = value.as_literal();
            let text =
                text.ok_or_else(|| TemplateError::at(path, format!("a text is expected, not {}", value.brief())))?;
            let below = found.map_or(&[][..], Node::pairs);
            match (below.iter().find(|(name, _)| *name == text), default) {
                (Some((_, node)), _) => found = Some(node),
                (None, Some(default)) => return self.value(default, path),
                (None, None) => {
                    // What is by region or by account is there for those of the user's.
                    if text == self.options.region || text == self.options.account_id {
                        return self.by_place(keys, &format!("{place}.{text}"), path);
                    }
                    let mut message = format!("Fn::FindInMap: {place} has no {text:?}");
                    if let Some(origin) = value.origin() {
                        message =
                            format!("{message}, which stands in for {}: give it with {}", origin.what, origin.option);
                    } else {
                        message += &did_you_mean(&text, below.iter().map(|(name, _)| name.as_str()));
                    }
                    return Err(TemplateError::at(path, message));
                }
            }
            place = format!("{place}.{text}");
        }
        found.map_or(Ok(Value::Absent), |node| self.value(node, path))
    }

    /// What stands in for a value of a map that has none for the region, or the account, of this server.
    fn by_place(&self, keys: &[Node], what: &str, path: &str) -> Resolved<Value> {
        let name = keys.last().map(|key| self.literal(key, path)).transpose()?.unwrap_or_default();
        let origin =
            Origin { what: what.to_owned(), option: "--region, or in the template".to_owned(), is_resource: false };
        Ok(Value::Text(Text::stand_in(self.place().named(&name), origin)))
    }

    /// `Fn::Cidr`: as many blocks of this size as are asked for.
    fn subnets(&self, parts: &[Node], path: &str) -> Resolved<Value> {
        let wrong = || TemplateError::at(path, "Fn::Cidr is malformed");
        let (block, count, bits) = match parts {
            [block, count] => (block, count, None),
            [block, count, bits] => (block, count, Some(bits)),
            _ => return Err(wrong()),
        };
        let value = self.value(block, path)?;
        let count: usize = self.literal(count, path)?.parse().map_err(|_| wrong())?;
        let bits = bits.map(|bits| self.literal(bits, path)?.parse::<u32>().map_err(|_| wrong())).transpose()?;
        let literal = value.as_literal().ok_or_else(wrong)?;
        let blocks: Vec<Text> = match (cidr::subnets(&literal, count, bits), value.origin()) {
            (Some(blocks), None) => blocks.into_iter().map(Text::literal).collect(),
            (_, Some(origin)) => {
                (0..count.min(256)).map(|n| Text::stand_in(format!("10.0.{n}.0/24"), origin.clone())).collect()
            }
            (None, None) => {
                let message = format!("Fn::Cidr: {literal:?} has no {count} blocks of this size");
                return Err(TemplateError::at(path, message));
            }
        };
        Ok(Value::List(blocks.into_iter().map(Value::Text).collect()))
    }

    fn logic(&self, name: &str, argument: &Node, path: &str) -> Resolved<bool> {
        let wrong = || TemplateError::at(path, format!("{name} is malformed"));
        let Node::List(operands) = argument else { return Err(wrong()) };
        let truth = |node: &Node| match self.value(node, path)? {
            Value::Bool(value) => Ok(value),
            // A condition may come from a map or a parameter, as a text.
            Value::Text(text) if text.as_literal().as_deref() == Some("true") => Ok(true),
            Value::Text(text) if text.as_literal().as_deref() == Some("false") => Ok(false),
            other => Err(TemplateError::at(path, format!("{name}: {} is no condition", other.brief()))),
        };
        match (name, operands.as_slice()) {
            ("Fn::Equals", [left, right]) => {
                let (left, right) = (self.value(left, path)?, self.value(right, path)?);
                if let Some(origin) = left.origin().or(right.origin()) {
                    let Origin { what, option, .. } = origin;
                    self.skip(path, format_args!("decided by a stand-in for {what}; give it with {option}"));
                }
                // The comparison is one of texts: 1 and "1" are equal.
                Ok(match (left.as_text(), right.as_text()) {
                    (Some(left), Some(right)) => match (left.as_literal(), right.as_literal()) {
                        (Some(left), Some(right)) => left == right,
                        _ => left == right,
                    },
                    _ => left == right,
                })
            }
            ("Fn::Not", [operand]) => Ok(!truth(operand)?),
            ("Fn::And", [_, _, ..]) => operands.iter().try_fold(true, |all, node| Ok(truth(node)? && all)),
            ("Fn::Or", [_, _, ..]) => operands.iter().try_fold(false, |any, node| Ok(truth(node)? || any)),
            _ => Err(wrong()),
        }
    }

    /// `Fn::Sub`: `${Name}`, `${Id.Attribute}`, and `${!Literal}`.
    fn substitute(&self, text: &str, variables: &[(String, Node)], path: &str) -> Resolved<Text> {
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
                    None if !variables.is_empty() && !self.is_known(name) => {
                        return Err(self.unknown_variable(name, variables, path));
                    }
                    None => self.reference(name, path)?,
                },
            };
            let wrong = || TemplateError::at(path, format!("Fn::Sub: ${{{name}}} is {}, no text", value.brief()));
            let text = value.as_text().ok_or_else(wrong)?;
            self.count_bytes(text.bytes(), path)?;
            result.append(text);
        }
        result.push(Part::Literal(rest.to_owned()));
        Ok(self.with_dynamic(result))
    }

    /// The text with its dynamic references (`{{resolve:ssm:name}}`) replaced.
    pub(super) fn with_dynamic(&self, text: Text) -> Text {
        let Some(whole) = text.as_literal().filter(|whole| whole.contains("{{resolve:")) else { return text };
        let mut result = Text::default();
        // What a part of it stands in for is not forgotten.
        let origin = text.origins().next();
        let part = |text: &str| match origin {
            Some(origin) => Part::StandIn(StandIn { text: text.to_owned(), origin: origin.clone() }),
            None => Part::Literal(text.to_owned()),
        };
        let mut rest = whole.as_str();
        while let Some((before, after)) = rest.split_once("{{resolve:") {
            let Some((reference, behind)) = after.split_once("}}") else { break };
            result.push(part(before));
            result.append(self.dynamic(reference));
            rest = behind;
        }
        result.push(part(rest));
        result
    }

    /// What `{{resolve:<reference>}}` stands for.
    fn dynamic(&self, reference: &str) -> Text {
        let (service, rest) = reference.split_once(':').unwrap_or((reference, ""));
        if service.starts_with("ssm") {
            let (name, _version) = rest.split_once(':').unwrap_or((rest, ""));
            return self.stored(name).unwrap_or_else(|| self.stand_in_of(&Wanted::Stored(name)));
        }
        // `<id>:SecretString:<key>:<stage>:<version>`; the id may be an ARN.
        let (secret, field) = rest.split_once(":SecretString").unwrap_or((rest, ""));
        // One of this template is named by its stand-in.
        let name = secret.split_once(":secret:").map_or(secret, |(_, name)| name);
        let secret = name.strip_suffix("-000000").unwrap_or(name);
        let field = field.trim_start_matches(':').split(':').next().unwrap_or_default();
        let name = if field.is_empty() { secret.to_owned() } else { format!("{secret}:{field}") };
        let shown = if field.is_empty() { "secret" } else { field };
        let what = format!("the secret {name}");
        self.given_or(&format!("{service}:{name}"), what, false, || format!("tailrace-{shown}"))
    }

    /// The text with the ARNs of streams as far as they are known: all but their labels.
    fn opened(&self, text: Text) -> Text {
        let mut opened = Text::default();
        for part in text.0 {
            match part {
                Part::StreamOf(id) => {
                    let name = self.stack.shared.tables.borrow().get(&id).cloned().unwrap_or_else(|| id.clone());
                    opened.push(Part::Literal(format!("{}/stream/", self.table_arn(&name))));
                    opened.push(Part::LabelOf(id));
                }
                part => opened.push(part),
            }
        }
        opened
    }

    /// Counts the values that loops and included files make: together they must not blow a template up.
    pub(super) fn count_generated(&self, node: &Node, path: &str) -> Resolved<()> {
        self.generated.set(self.generated.get() + node.count());
        if self.generated.get() > TEMPLATE_NODES_MAX {
            return Err(self.too_much(path));
        }
        Ok(())
    }

    pub(super) fn too_much(&self, path: &str) -> TemplateError {
        TemplateError::at(path, format!("with its loops the template has more than {TEMPLATE_NODES_MAX} values"))
    }
}

/// A value as JSON, parts of which may be known later or stand in for something.
fn json_text(value: &Value) -> Text {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let inside = |text: &str| {
        let quoted = quoted(text);
        quoted[1..quoted.len() - 1].to_owned()
    };
    let mut json = Text::default();
    let plain = |json: &mut Text, text: String| json.push(Part::Literal(text));
    match value {
        Value::Null | Value::Absent => plain(&mut json, "null".to_owned()),
        Value::Bool(value) => plain(&mut json, value.to_string()),
        Value::Number(text) => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(_) => plain(&mut json, text.clone()),
            Err(_) => plain(&mut json, quoted(text)),
        },
        Value::Text(text) => {
            plain(&mut json, "\"".to_owned());
            for part in &text.0 {
                json.push(match part {
                    Part::Literal(text) => Part::Literal(inside(text)),
                    Part::StandIn(StandIn { text, origin }) => {
                        Part::StandIn(StandIn { text: inside(text), origin: origin.clone() })
                    }
                    other => other.clone(),
                });
            }
            plain(&mut json, "\"".to_owned());
        }
        Value::List(list) => {
            plain(&mut json, "[".to_owned());
            for (n, element) in list.iter().enumerate() {
                plain(&mut json, if n > 0 { "," } else { "" }.to_owned());
                json.append(json_text(element));
            }
            plain(&mut json, "]".to_owned());
        }
        Value::Map(pairs) => {
            plain(&mut json, "{".to_owned());
            for (n, (key, member)) in pairs.iter().enumerate() {
                plain(&mut json, format!("{}{}:", if n > 0 { "," } else { "" }, quoted(key)));
                json.append(json_text(member));
            }
            plain(&mut json, "}".to_owned());
        }
    }
    json
}
