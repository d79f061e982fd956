//! Values, parameters and conditions, resolved when they are asked for.
//!
//! Only what a supported resource uses is resolved, so a template may hold anything in the parts that are skipped. What only
//! AWS knows has a stand-in, whose origin stays with the text: whoever uses the value decides whether that will do.
//! Circles (a name that depends on itself, a condition that asks itself) are errors, and so is depth beyond a bound.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use crate::app::Wanted;
use crate::node::{Node, is_intrinsic};
use crate::stack::{self, Inside};
use crate::standin::Place;
use crate::suggest::{did_you_mean, nearest};
use crate::text::{Origin, Text};
use crate::value::Value;
use crate::{Options, TemplateError, parameter};

/// References inside of references, at most: deeper is a circle.
const DEPTH_MAX: usize = 64;

/// References that are followed, at most: what names two things, each of which names two, is a template that never ends. AWS has
/// 500 resources of 200 references.
const REFERENCES_MAX: usize = 1_000_000;

/// The sections of a template, with those of SAM.
const SECTIONS: [&str; 12] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Globals",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
    "Transform",
];

/// Bytes of all values that functions give, at most. AWS takes templates of 1 MB.
const VALUES_BYTES_MAX: usize = 64 << 20;

/// The template as a place of names.
pub(crate) struct Resolver<'a> {
    pub(super) template: &'a Node,
    pub(crate) options: &'a Options,
    /// What local files are relative to.
    pub(super) dir: &'a Path,
    /// The resources and the conditions, with what loops and included files add.
    pub(super) resources: Cow<'a, [(String, Node)]>,
    conditions: Cow<'a, [(String, Node)]>,
    /// The maps, once one was asked for.
    pub(super) mappings: OnceCell<Node>,
    /// The parameters with a value.
    parameters: BTreeMap<&'a str, Value>,
    /// How deep the reference being followed is.
    depth: Cell<usize>,
    /// References that were followed so far.
    followed: Cell<usize>,
    /// Bytes that functions have given so far.
    given_bytes: Cell<usize>,
    /// Values that loops have made so far.
    pub(super) generated: Cell<usize>,
    /// The names of the template's own SSM parameters are being compared with one that is looked for.
    pub(super) comparing_names: Cell<bool>,
    /// The tables whose stream ARN is used, and where.
    pub(super) streams: RefCell<Vec<(String, String)>>,
    /// What is not applied: one line each.
    skipped: RefCell<Vec<String>>,
    /// The parameters that have the value of an output of another template, and whose it is.
    pub(super) taken: RefCell<BTreeMap<String, String>>,
    /// Where it stands among stacks, and those inside.
    pub(super) stack: Inside,
}

pub(crate) type Resolved<T> = Result<T, TemplateError>;

impl<'a> Resolver<'a> {
    /// Of a template, and where it stands among others.
    pub(crate) fn in_stack(
        template: &'a Node,
        dir: &'a Path,
        options: &'a Options,
        stack: Inside,
    ) -> Resolved<Resolver<'a>> {
        for section in ["Parameters", "Resources", "Conditions", "Mappings", "Globals"] {
            if !matches!(template.get(section), None | Some(Node::Map(_) | Node::Null)) {
                return Err(TemplateError::at(section, "a map is expected"));
            }
        }
        // A stack of an app may have outputs alone.
        if !stack.is_of_app() && matches!(template.get("Resources"), None | Some(Node::Null)) {
            let sections = template.pairs().iter().map(|(name, _)| name.as_str()).filter(|name| *name != "Resources");
            let hint = nearest("Resources", sections).map(|slip| format!("; is {slip} meant to be it?"));
            return Err(TemplateError::at("Resources", format!("there are none{}", hint.unwrap_or_default())));
        }
        let section = |name: &str| template.get(name).map_or(&[][..], Node::pairs);
        let mut parameters = BTreeMap::new();
        let mut skipped = Vec::new();
        for (name, declared) in section("Parameters") {
            let path = format!("Parameters.{name}");
            if let Some(value) = parameter::value(name, declared, options, &path, &mut skipped)? {
                parameters.insert(name.as_str(), value);
            }
            if let Some(given) = stack.given.get(name).filter(|given| stack::stays_as_it_is(given)) {
                parameters.insert(name.as_str(), given.clone());
            }
        }
        let names: Vec<&str> = section("Parameters").iter().map(|(name, _)| name.as_str()).collect();
        if let Some(unknown) = options.parameters.keys().find(|name| !names.contains(&name.as_str())) {
            let message = format!("the template has no such parameter{}", did_you_mean(unknown, names));
            return Err(TemplateError::at(format!("Parameters.{unknown}"), message));
        }
        for other in options.shared_parameters.keys().filter(|name| !names.contains(&name.as_str())) {
            skipped.push(format!("Parameters.{other}: the template has no such parameter; its value is not used"));
        }
        let mut resolver = Resolver {
            template,
            options,
            dir,
            resources: Cow::Borrowed(section("Resources")),
            conditions: Cow::Borrowed(section("Conditions")),
            mappings: OnceCell::new(),
            parameters,
            depth: Cell::new(0),
            followed: Cell::new(0),
            given_bytes: Cell::new(0),
            generated: Cell::new(0),
            comparing_names: Cell::new(false),
            streams: RefCell::default(),
            skipped: RefCell::new(skipped),
            taken: RefCell::default(),
            stack,
        };
        resolver.conditions = resolver.expanded(section("Conditions"), "Conditions")?;
        resolver.resources = resolver.expanded(section("Resources"), "Resources")?;
        resolver.check_sections();
        resolver.check_globals()?;
        resolver.check_given_resources()?;
        Ok(resolver)
    }

    /// Names what is no section of a template: CloudFormation refuses one that has any other.
    fn check_sections(&self) {
        let names = self.template.pairs().iter().map(|(name, _)| name);
        for name in names.filter(|name| !SECTIONS.contains(&name.as_str()) && !name.starts_with("Fn::")) {
            let hint = did_you_mean(name, SECTIONS);
            self.skip(
                name,
                format_args!("a template has no such section, and AWS refuses one that has; skipped{hint}"),
            );
        }
    }

    fn check_globals(&self) -> Resolved<()> {
        const READ: [&str; 3] = ["Function", "SimpleTable", "LayerVersion"];
        for (kind, properties) in self.template.get("Globals").map_or(&[][..], Node::pairs) {
            let path = format!("Globals.{kind}");
            match properties {
                _ if !READ.contains(&kind.as_str()) => {
                    self.skip(&path, format_args!("not supported; skipped{}", did_you_mean(kind, READ)));
                }
                Node::Map(_) | Node::Null => {}
                other => return Err(TemplateError::at(path, format!("a map is expected, not {}", other.brief()))),
            }
        }
        Ok(())
    }

    /// Names what is left out, in one line.
    pub(crate) fn skip(&self, path: &str, why: impl std::fmt::Display) {
        self.tell(format!("{path}: {why}"));
    }

    /// Tells the user a line, once.
    pub(crate) fn tell(&self, line: String) {
        let mut skipped = self.skipped.borrow_mut();
        if !skipped.contains(&line) {
            skipped.push(line);
        }
    }

    /// Everything that was left out.
    pub(crate) fn skipped(&self) -> Vec<String> {
        self.skipped.take()
    }

    pub(crate) fn resources(&self) -> &[(String, Node)] {
        &self.resources
    }

    /// The properties that every resource of a SAM type shares: `Globals.<kind>`, but for what the resource ignores.
    pub(crate) fn globals(&self, kind: &str, resource: &Node) -> Option<Node> {
        let globals = self.template.get("Globals").and_then(|globals| globals.get(kind));
        let globals = globals.filter(|properties| **properties != Node::Null)?;
        let ignored = resource.get("IgnoreGlobals").map_or(&[][..], Node::one_or_many);
        let is_ignored =
            |name: &str| ignored.iter().any(|text| matches!(text, Node::Text(text) if text == name || text == "*"));
        Some(Node::Map(globals.pairs().iter().filter(|(name, _)| !is_ignored(name)).cloned().collect()))
    }

    /// Tables whose stream is used, with the place of the use.
    pub(crate) fn streams_needed(&self) -> Vec<(String, String)> {
        self.streams.borrow().clone()
    }

    /// Where stand-ins are said to be.
    pub(super) fn place(&self) -> Place<'_> {
        Place { region: &self.options.region, account: &self.options.account_id }
    }

    /// Runs `body` one reference deeper.
    pub(super) fn deeper<T>(&self, path: &str, body: impl FnOnce() -> Resolved<T>) -> Resolved<T> {
        if self.depth.get() >= DEPTH_MAX {
            return Err(TemplateError::at(path, "the references go in a circle"));
        }
        self.followed.set(self.followed.get() + 1);
        if self.followed.get() > REFERENCES_MAX {
            let message = format!("the template has more than {REFERENCES_MAX} references that are followed");
            return Err(TemplateError::at(path, message));
        }
        self.depth.set(self.depth.get() + 1);
        let result = body();
        self.depth.set(self.depth.get() - 1);
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

    pub(super) fn branch<'n>(&self, parts: &'n [Node], path: &str) -> Resolved<&'n Node> {
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
            Node::Text(text) => Value::Text(self.with_dynamic(Text::literal(text.clone()))),
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
                let value = self.deeper(path, || self.intrinsic(name, argument, path))?;
                self.count_bytes(value.bytes(), path)?;
                value
            }
            Node::Map(pairs) => {
                let pairs = self.deeper(path, || self.expanded(pairs, path))?;
                let mut values = Vec::with_capacity(pairs.len());
                for (key, member) in pairs.iter() {
                    match self.value(member, &format!("{path}.{key}"))? {
                        Value::Absent => {}
                        value => values.push((key.clone(), value)),
                    }
                }
                Value::Map(values)
            }
        })
    }

    /// Counts what functions give: together it must not blow a template up.
    pub(super) fn count_bytes(&self, bytes: usize, path: &str) -> Resolved<()> {
        self.given_bytes.set(self.given_bytes.get().saturating_add(bytes));
        if self.given_bytes.get() > VALUES_BYTES_MAX {
            let message = format!("the values of the template have more than {VALUES_BYTES_MAX} bytes");
            return Err(TemplateError::at(path, message));
        }
        Ok(())
    }

    /// A value that has to be a text whose every part is known.
    pub(super) fn literal(&self, node: &Node, path: &str) -> Resolved<String> {
        let value = self.value(node, path)?;
        value
            .as_text()
            .and_then(|text| text.as_literal())
            .ok_or_else(|| TemplateError::at(path, format!("a text is expected, not {}", value.brief())))
    }

    /// Whether a condition of the template holds.
    pub(crate) fn condition(&self, name: &str, path: &str) -> Resolved<bool> {
        let Some((_, node)) = self.conditions.iter().find(|(condition, _)| condition == name) else {
            let hint = did_you_mean(name, self.conditions.iter().map(|(name, _)| name.as_str()));
            return Err(TemplateError::at(path, format!("there is no condition {name}{hint}")));
        };
        let place = format!("Conditions.{name}");
        self.deeper(&place, || match self.value(node, &place)? {
            Value::Bool(value) => Ok(value),
            other => Err(TemplateError::at(&place, format!("{} is no condition", other.brief()))),
        })
    }

    /// The value of a parameter; `None`: the template declares none of this name.
    pub(super) fn parameter(&self, name: &str, path: &str) -> Resolved<Option<Value>> {
        let Some(declared) = self.template.get("Parameters").and_then(|parameters| parameters.get(name)) else {
            return Ok(None);
        };
        let kind = match declared.get("Type") {
            Some(Node::Text(kind)) => kind.as_str(),
            _ => "String",
        };
        let value = self.parameters.get(name);
        let Some(inner) = kind.strip_prefix("AWS::SSM::Parameter::Value<") else {
            return match value {
                // Where it is used it is part of the template's text, in which these are looked for.
                Some(value) => Ok(Some(match value.clone() {
                    Value::List(list) => Value::List(list.into_iter().map(|value| self.element(value)).collect()),
                    value => self.element(value),
                })),
                // One with rules of its own is asked for: an output was not made for them.
                None if kind != "String"
                    || ["AllowedPattern", "AllowedValues"].iter().any(|rule| declared.get(rule).is_some()) =>
                {
                    Err(TemplateError::at(path, self.missing_parameter(name)))
                }
                None => match self.output_for(name, path)? {
                    Some(value) => Ok(Some(value)),
                    None => Err(TemplateError::at(path, self.missing_parameter(name))),
                },
            };
        };
        let text = match value.and_then(Value::as_text).and_then(|text| text.as_literal()) {
            // The value itself; what begins with a slash is the name of one, as CloudFormation takes it.
            Some(given) if self.options.gives(name) && !given.starts_with('/') => Text::literal(given),
            Some(key) => {
                let stand_in = || {
                    let option = format!("--parameter {name}=VALUE");
                    let option = self.option_or_stack(option, &Wanted::Stored(&key));
                    let what = format!("the parameter {name} ({kind} {key})");
                    Text::stand_in(self.place().named(&key), Origin { what, option, is_resource: false })
                };
                self.stored(&key).unwrap_or_else(stand_in)
            }
            None => return Err(TemplateError::at(path, self.missing_parameter(name))),
        };
        let is_list = inner.starts_with("List<") || inner.starts_with("CommaDelimitedList");
        let elements = is_list.then(|| text.split(",")).flatten();
        Ok(Some(match elements {
            Some(elements) => Value::List(elements.into_iter().map(Value::Text).collect()),
            None => Value::Text(text),
        }))
    }

    /// A parameter's value, or an element of it, with its dynamic references replaced.
    fn element(&self, value: Value) -> Value {
        match value {
            Value::Text(text) => Value::Text(self.with_dynamic(text)),
            value => value,
        }
    }

    /// What is said of a parameter that has no value: every way to give one.
    fn missing_parameter(&self, name: &str) -> String {
        if self.stack.is_inside() {
            let stack = self.stack.place().trim_end_matches('/');
            return format!(
                "the parameter {name} has no default and no value; give it among the Parameters of the stack {stack}"
            );
        }
        let beside = self.options.parameters_file_beside.as_deref();
        let hint =
            beside.map(|file| format!(" ({file} beside the template is not read by itself)")).unwrap_or_default();
        format!(
            "the parameter {name} has no default and no value; give it with --parameter {name}=VALUE, in a file with \
             --parameters-file FILE{hint}, or as the variable TAILRACE_PARAM_{name}"
        )
    }
}
