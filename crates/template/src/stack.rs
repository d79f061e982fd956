//! Stacks inside of a stack: `AWS::CloudFormation::Stack` and `AWS::Serverless::Application` whose template is a file of this
//! machine. Their resources are part of the one plan.
//!
//! Invariants
//! - A logical id in the plan is that of the stack and that in it, `Stack/Id`, so that no two are the same.
//! - Values go both ways as they are: a parameter that is the ARN of a stream stays one, and so does an output.
//!
//! What it does not do: a template that is somewhere else, in a bucket or in the application repository, is named and skipped;
//! what refers to its outputs gets stand-ins.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tailrace_core::code::CodeSource;

use crate::app::{App, Wanted};
use crate::code::{self, asset_path};
use crate::node::{Format, Node};
use crate::plan::Plan;
use crate::resolve::{Resolved, Resolver};
use crate::suggest::did_you_mean;
use crate::value::Value;
use crate::{LocateError, Options, TemplateError, amplify, read};

/// The types that are stacks.
pub(crate) const STACKS: [&str; 2] = ["AWS::CloudFormation::Stack", "AWS::Serverless::Application"];

/// Stacks inside of each other, at most: deeper is a template that names itself.
const LEVELS_MAX: usize = 8;

/// Stacks in a template and in each other, at most: each is a file that is read. AWS has 500 resources in a template.
const STACKS_MAX: usize = 500;

/// What an attribute begins with that is an output.
const OUTPUTS: &str = "Outputs.";

/// A template inside of another.
pub(crate) struct Loaded {
    file: PathBuf,
    /// As the outer template names it, for messages.
    shown: String,
    node: Node,
}

/// Where a resolver stands among the stacks.
#[derive(Default)]
pub(crate) struct Inside {
    /// What stands in front of a logical id in the plan: empty, or `Outer/Inner/`.
    pub(crate) prefix: String,
    /// What of that is the stack's among several that are started together.
    pub(crate) member: String,
    level: usize,
    /// The values that the outer stack gives.
    pub(crate) given: BTreeMap<String, Value>,
    pub(crate) shared: Rc<StackCache>,
}

impl Inside {
    /// One of the templates that are started together, with what stands in front of its ids.
    pub(crate) fn of_app(prefix: String, shared: Rc<StackCache>) -> Inside {
        Inside { member: prefix.clone(), prefix, shared, ..Inside::default() }
    }

    /// What stands in front of what is given for a resource inside of a stack: empty, or `Outer/Inner/`.
    pub(crate) fn place(&self) -> &str {
        self.prefix.strip_prefix(self.member.as_str()).unwrap_or(&self.prefix)
    }

    /// It is inside of another stack, which gives the values of its parameters.
    pub(crate) fn is_inside(&self) -> bool {
        self.level > 0
    }

    /// It is one of several templates that are started together, and not inside of one.
    pub(crate) fn is_of_app(&self) -> bool {
        self.level == 0 && !self.prefix.is_empty()
    }
}

/// What the stacks of a template have in common, by their ids in the plan: each is read once, however often it is asked for.
#[derive(Default)]
pub(crate) struct StackCache {
    pub(crate) app: App,
    loaded: RefCell<BTreeMap<String, Option<Rc<Loaded>>>>,
    outputs: RefCell<BTreeMap<(String, String), Value>>,
    /// Templates that were read.
    files: RefCell<Vec<PathBuf>>,
    /// The names of tables whose streams are used.
    pub(crate) tables: RefCell<BTreeMap<String, String>>,
}

impl StackCache {
    /// What these templates have in common.
    pub(crate) fn of(app: App) -> StackCache {
        StackCache { app, ..StackCache::default() }
    }

    /// The templates inside that were read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
    }
}

impl Resolver<'_> {
    /// A logical id as the plan has it.
    pub(crate) fn global(&self, id: &str) -> String {
        format!("{}{id}", self.stack.prefix)
    }

    /// The name that a resource without one gets in this stack.
    pub(crate) fn generated_name(&self, id: &str, chars_max: usize) -> String {
        let prefix = self.name_prefix(id);
        // The CDK's ids of stacks may have characters that no name has.
        let plain = |stack: &str| short(stack).replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-");
        let whole: String = prefix.split_terminator('/').map(|stack| plain(stack) + "-").collect();
        let whole = whole + id;
        if whole.len() <= chars_max {
            return whole;
        }
        // The end tells more than the beginning, and the hash tells it from others with the same end.
        let hash = whole
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let hash = format!("{:08x}-", hash >> 32);
        let end = whole.len() - (chars_max - hash.len());
        // A letter that is more than one byte is left out whole; the name is refused later, as every one with such a letter.
        hash + &whole[whole.ceil_char_boundary(end)..]
    }

    /// The stacks that a name of this logical id tells. Of several that are started together the own one is told only where another
    /// has the id, too: so a name is the same with the others and without.
    fn name_prefix(&self, id: &str) -> &str {
        let Inside { prefix, member, shared, .. } = &self.stack;
        let inside = prefix.strip_prefix(member.as_str()).unwrap_or(prefix);
        let outermost = inside.split_once('/').map_or(id, |(stack, _)| stack);
        if shared.app.shares(outermost) { prefix } else { inside }
    }

    /// What stands in front of a logical id that is too short for a table's name: the stack's name, as CloudFormation, too, puts it in
    /// front of names that it makes; of several stacks that of one alone, unless another has the id, too.
    pub(crate) fn stack_name_for(&self, id: &str) -> String {
        let Inside { prefix, member, shared, .. } = &self.stack;
        if !shared.app.is_several() || self.name_prefix(id) == prefix {
            return self.options.stack_name.clone();
        }
        let inside = prefix.strip_prefix(member.as_str()).unwrap_or(prefix);
        inside
            .split_terminator('/')
            .fold(shared.app.name_alone.clone(), |name, stack| format!("{name}-{}", short(stack)))
    }

    /// The output of a stack, where `attribute` is one and the stack's template is here.
    pub(crate) fn output(&self, id: &str, attribute: &str, path: &str) -> Resolved<Option<Value>> {
        let Some(name) = attribute.strip_prefix(OUTPUTS) else { return Ok(None) };
        let Some(resource) = self.stack_resource(id) else { return Ok(None) };
        let key = (self.global(id), name.to_owned());
        if let Some(value) = self.stack.shared.outputs.borrow().get(&key) {
            return Ok(Some(value.clone()));
        }
        let value = self.deeper(path, || self.within(id, resource, |inner| inner.own_output(name)))?;
        if let Some(value) = &value {
            self.stack.shared.outputs.borrow_mut().insert(key, value.clone());
        }
        Ok(value)
    }

    /// What one of the stacks inside has, at whatever depth. One that asks for the same itself, or that has something wrong, has not:
    /// what is wrong is told where it is read. Nothing is resolved of one that cannot have it: what that asks for may be what is being
    /// looked for, and would be taken for missing.
    pub(crate) fn of_stacks_inside(&self, wanted: &Wanted<'_>) -> Option<Value> {
        let stacks = self.resources().iter().filter_map(|(id, _)| Some((id, self.stack_resource(id)?)));
        let is_there = |resource: &Node| match resource.get("Condition") {
            Some(Node::Text(condition)) => self.condition(condition, "").unwrap_or(false),
            _ => true,
        };
        stacks.filter(|(_, resource)| is_there(resource)).find_map(|(id, resource)| {
            let loaded = self.loaded(id, resource).ok().flatten()?;
            let may_have = wanted.may_be_written_in(&loaded.node);
            if !may_have && !has_stacks(&loaded.node) {
                return None;
            }
            let look = |inner: &Resolver<'_>| {
                let own = if may_have { wanted.of(inner)? } else { None };
                Ok(own.or_else(|| inner.of_stacks_inside(wanted)))
            };
            self.within(id, resource, look).ok().flatten().flatten()
        })
    }

    fn stack_resource(&self, id: &str) -> Option<&Node> {
        let resource = self.resources().iter().find(|(name, _)| name == id).map(|(_, resource)| resource)?;
        is_stack(resource).then_some(resource)
    }

    /// An output of this template.
    pub(crate) fn own_output(&self, name: &str) -> Resolved<Value> {
        let path = format!("Outputs.{name}.Value");
        let outputs = self.template.get("Outputs").map_or(&[][..], Node::pairs);
        let outputs = self.expanded(outputs, "Outputs")?;
        let output = outputs.iter().find(|(own, _)| own == name).and_then(|(_, output)| output.get("Value"));
        match output {
            Some(node) => self.value(node, &path),
            None => {
                let hint = did_you_mean(name, outputs.iter().map(|(own, _)| own.as_str()));
                Err(TemplateError::at("Outputs", format!("there is no output {name}{hint}")))
            }
        }
    }

    /// Adds to the plan what `add` makes of each stack inside; what it stores of places is told with the template's name.
    pub(crate) fn add_stacks(
        &self,
        plan: &mut Plan,
        stacks: &[(&str, &Node)],
        add: &mut dyn FnMut(&Resolver<'_>, &mut Plan) -> Resolved<()>,
    ) -> Resolved<()> {
        for (id, resource) in stacks {
            let before = plan.counts();
            self.within(id, resource, |inner| add(inner, plan))?;
            if let Some(loaded) = self.loaded(id, resource)? {
                plan.name_template(before, &loaded.shown);
            }
        }
        Ok(())
    }

    /// Runs `body` with the resolver of a stack; `None`: its template is not here, which is named.
    fn within<T>(
        &self,
        id: &str,
        resource: &Node,
        body: impl FnOnce(&Resolver<'_>) -> Resolved<T>,
    ) -> Resolved<Option<T>> {
        let Some(loaded) = self.loaded(id, resource)? else { return Ok(None) };
        let path = format!("Resources.{id}.Properties.Parameters");
        if self.stack.level >= LEVELS_MAX {
            return Err(TemplateError::at(path, "the stacks go too deep, or in a circle"));
        }
        let parameters = resource.get("Properties").and_then(|own| own.get("Parameters"));
        let parameters = parameters.map(|node| self.deeper(&path, || self.value(node, &path))).transpose()?;
        let given: BTreeMap<String, Value> = match parameters {
            None | Some(Value::Absent | Value::Null) => BTreeMap::new(),
            Some(Value::Map(pairs)) => pairs.into_iter().collect(),
            Some(other) => return Err(TemplateError::at(path, format!("a map is expected, not {}", other.brief()))),
        };
        let options = self.options_of(id, &given);
        let dir = loaded.file.parent().unwrap_or(Path::new("/"));
        let place = Inside {
            prefix: self.global(&format!("{id}/")),
            member: self.stack.member.clone(),
            level: self.stack.level + 1,
            given,
            shared: Rc::clone(&self.stack.shared),
        };
        let inner = Resolver::in_stack(&loaded.node, dir, &options, place).and_then(|inner| {
            let made = body(&inner);
            for line in inner.skipped() {
                self.tell(format!("{}: {line}", loaded.shown));
            }
            self.streams.borrow_mut().extend(inner.streams_needed());
            made
        });
        inner.map(Some).map_err(|error| error.within(&loaded.shown))
    }

    /// What a stack inside is read with.
    fn options_of(&self, id: &str, given: &BTreeMap<String, Value>) -> Options {
        let literal = |value: &Value| match value {
            Value::List(list) => {
                let texts = list.iter().map(|value| value.as_literal());
                texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
            }
            value => value.as_literal(),
        };
        // What is given for `Stack/Id` is for `Id` in the stack; what has no logical id is for all.
        let inside = format!("{id}/");
        let resources = self.options.resources.iter().filter_map(|(name, value)| {
            let own = name.strip_prefix(&inside).or_else(|| name.contains(':').then_some(name.as_str()))?;
            Some((own.to_owned(), value.clone()))
        });
        Options {
            stack_name: format!("{}-{}", self.options.stack_name, short(id)),
            // One that is not known before the tables are made is given as it is, without the rules of its declaration.
            parameters: given.iter().filter_map(|(name, value)| Some((name.clone(), literal(value)?))).collect(),
            shared_parameters: BTreeMap::new(),
            resources: resources.collect(),
            ..self.options.clone()
        }
    }

    /// The template of a stack; `None`: it is not here, which is named.
    fn loaded(&self, id: &str, resource: &Node) -> Resolved<Option<Rc<Loaded>>> {
        let whole = self.global(id);
        if let Some(loaded) = self.stack.shared.loaded.borrow().get(&whole) {
            return Ok(loaded.clone());
        }
        if self.stack.shared.loaded.borrow().len() >= STACKS_MAX {
            let path = format!("Resources.{id}");
            return Err(TemplateError::at(path, format!("the template has more than {STACKS_MAX} stacks")));
        }
        let loaded = self.load(id, resource)?.map(Rc::new);
        self.stack.shared.loaded.borrow_mut().insert(whole, loaded.clone());
        Ok(loaded)
    }

    fn load(&self, id: &str, resource: &Node) -> Resolved<Option<Loaded>> {
        let property = match resource.get("Type") {
            Some(Node::Text(kind)) if kind == "AWS::Serverless::Application" => "Location",
            _ => "TemplateURL",
        };
        let path = format!("Resources.{id}.Properties.{property}");
        let source = match asset_path(resource, property) {
            Some(asset) => CodeSource::Path(self.dir.join(asset)),
            None => {
                let node = resource.get("Properties").and_then(|own| own.get(property));
                let node = node.ok_or_else(|| TemplateError::at(&path, "this property is required"))?;
                let value = self.deeper(&path, || self.value(node, &path))?;
                match value.as_literal() {
                    Some(text) => code::of_address(&text, self.dir),
                    // The application repository: an id and a version.
                    None => None,
                }
                .unwrap_or_else(|| {
                    let key = match node.get("ApplicationId") {
                        Some(Node::Text(id)) => id.clone(),
                        _ => value.brief(),
                    };
                    CodeSource::Object { bucket: String::new(), key }
                })
            }
        };
        let located = (self.options.locate)(self.dir, &self.options.resources, &source);
        let file = match located.map_err(|LocateError(why)| TemplateError::at(&path, why))? {
            CodeSource::Path(file) => file,
            CodeSource::Object { .. } | CodeSource::Inline { .. } => {
                let place = match &source {
                    CodeSource::Object { bucket, key } if bucket.is_empty() => key.clone(),
                    other => other.to_string(),
                };
                let why = format_args!("its template is not here ({place}); the stack is skipped");
                self.skip(&format!("Resources.{id}"), why);
                return Ok(None);
            }
        };
        let shown = file.strip_prefix(self.dir).unwrap_or(&file).display().to_string();
        let failed = |why: &dyn std::fmt::Display| TemplateError::at(&path, format!("{shown}: {why}"));
        let text = (self.options.read)(&file).map_err(|error| failed(&error))?;
        let node = Node::parse(&text, Format::of(&file, &text)).map_err(|error| failed(&error))?;
        let dir = file.parent().unwrap_or(Path::new("/"));
        let (node, not_included) = read::with_included(node, dir, self.options).map_err(|error| failed(&error))?;
        let node = amplify::with_tables(node);
        not_included.iter().for_each(|line| self.tell(format!("{shown}: {line}")));
        self.stack.shared.files.borrow_mut().push(file.clone());
        Ok(Some(Loaded { file, shown, node }))
    }
}

/// Whether a template has stacks inside, or loops that may make some.
pub(crate) fn has_stacks(template: &Node) -> bool {
    let resources = template.get("Resources").map_or(&[][..], Node::pairs);
    resources.iter().any(|(id, resource)| id.starts_with("Fn::") || is_stack(resource))
}

/// Whether a resource is a stack.
pub(crate) fn is_stack(resource: &Node) -> bool {
    matches!(resource.get("Type"), Some(Node::Text(kind)) if STACKS.contains(&kind.as_str()))
}

/// Whether a value cannot be told as a text: parts of it are known later, or stand in for something.
pub(crate) fn stays_as_it_is(value: &Value) -> bool {
    let elements = match value {
        Value::List(list) => list.as_slice(),
        value => std::slice::from_ref(value),
    };
    elements
        .iter()
        .filter_map(Value::as_text)
        .any(|text| text.as_literal().is_none() || text.origins().next().is_some())
}

/// A stack's logical id without what the CDK puts behind the name that its author gave it.
fn short(id: &str) -> &str {
    match id.find("NestedStack") {
        Some(0) | None => id,
        Some(end) => &id[..end],
    }
}
