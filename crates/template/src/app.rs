//! Templates that are started together: the stacks of an app, each with a template of its own, which refer to each other by
//! exports, by outputs, and by SSM parameters.
//!
//! Invariants
//! - A logical id in the plan is that of the stack and that in it, `Stack/Id`, where there are several stacks, and only then.
//! - What a stack takes from another is the value as it is: the ARN of a stream stays one.
//!
//! What it does not do: it knows no order; a value is looked for when it is asked for.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::node::{Format, Node};
use crate::plan::{Counts, Plan};
use crate::resolve::{Resolved, Resolver};
use crate::stack::{Inside, StackCache};
use crate::suggest::did_you_mean;
use crate::text::{Origin, Part, Text};
use crate::value::Value;
use crate::{Options, TemplateError, amplify, names, read, stack, terraform};

/// Values of other stacks that are looked for inside of each other, at most.
const LOOKS_MAX: usize = 16;

/// Stacks that are started together, at most. AWS has 500 resources in a stack, and apps of some dozen stacks.
pub const STACKS_TOGETHER_MAX: usize = 200;

/// A template that is to be read, as a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// What it is called here: `Prod/Orders`. Used where there are several.
    pub name: String,
    /// `AWS::StackName`, where there are several.
    pub stack_name: String,
    /// Its notation.
    pub format: Format,
    /// Its text.
    pub text: String,
    /// What files of code and of templates are relative to.
    pub dir: PathBuf,
}

/// A template that is there and is not read, but for what to say when something of it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFile {
    /// What it is called here.
    pub name: String,
    /// Its name on AWS.
    pub stack_name: String,
    /// The file.
    pub file: PathBuf,
}

/// One of the templates that are started together.
pub(crate) struct Member {
    pub(crate) name: String,
    stack_name: String,
    node: Node,
    dir: PathBuf,
    options: Options,
    /// The logical ids of its resources, where there are several templates.
    ids: BTreeSet<String>,
    /// What is to be told of it: of files that it would include, and of what was no template of CloudFormation.
    pub(crate) told: Vec<String>,
}

/// A template that is not started with the others; it is read once something of it is asked for.
struct Other {
    file: StackFile,
    /// `None`: it cannot be read.
    member: OnceCell<Option<Member>>,
}

/// The templates that are started together, and what was found in them.
#[derive(Default)]
pub(crate) struct App {
    pub(crate) members: Vec<Member>,
    others: Vec<Other>,
    /// Logical ids that more than one template has: names that are made of them are not the stack's alone.
    shared_ids: BTreeSet<String>,
    /// What `AWS::StackName` is of a template that is started alone.
    pub(crate) name_alone: String,
    /// Values of parameters that no template has.
    pub(crate) unused: Vec<String>,
    /// What was found so far, by what it was looked for.
    found: RefCell<BTreeMap<String, Option<Value>>>,
    /// What is being looked for.
    looking: RefCell<Vec<String>>,
    /// Lines that were told while something was looked for.
    told: RefCell<Vec<String>>,
    /// What was looked for in templates that are not started, and the name of the one that has it.
    found_in_others: RefCell<BTreeMap<String, Option<String>>>,
}

/// What a template takes from elsewhere, and another one may have.
pub(crate) enum Wanted<'a> {
    /// What is exported under this name.
    Export(&'a str),
    /// An output of a stack, by the stack's name and its own.
    Output(&'a str, &'a str),
    /// What an SSM parameter of this name holds.
    Stored(&'a str),
}

impl Wanted<'_> {
    /// By what `--resource` gives it.
    pub(crate) fn key(&self) -> String {
        match self {
            Wanted::Export(name) => format!("import:{name}"),
            Wanted::Output(stack, output) => format!("output:{stack}.{output}"),
            Wanted::Stored(name) => format!("ssm:{name}"),
        }
    }

    fn what(&self) -> String {
        match self {
            Wanted::Export(name) => format!("the export {name}"),
            Wanted::Output(stack, output) => format!("the output {output} of the stack {stack}"),
            Wanted::Stored(name) => format!("the SSM parameter {name}"),
        }
    }

    fn name(&self) -> &str {
        match self {
            Wanted::Export(name) | Wanted::Output(_, name) | Wanted::Stored(name) => name,
        }
    }

    /// Whether one of the templates that are started may have it, as far as it is written: so that nothing is resolved of those that
    /// have not.
    fn may_be_in(&self, member: &Member) -> bool {
        match self {
            Wanted::Output(stack, _) => member.stack_name == *stack || member.name == *stack,
            _ => self.may_be_written_in(&member.node),
        }
    }

    /// Whether it may be in the text of a template.
    pub(crate) fn may_be_written_in(&self, template: &Node) -> bool {
        let may_be = |name: &Node| match name {
            Node::Text(text) => text == self.name() || text.contains("{{"),
            _ => true,
        };
        let may_have = |section: &str, has: &dyn Fn(&Node) -> bool| {
            let section = template.get(section).map_or(&[][..], Node::pairs);
            section.iter().any(|(id, node)| id.starts_with("Fn::") || has(node))
        };
        match self {
            Wanted::Export(_) => may_have("Outputs", &|output| {
                output.get("Export").and_then(|export| export.get("Name")).is_some_and(may_be)
            }),
            Wanted::Output(_, output) => template.get("Outputs").is_some_and(|outputs| outputs.get(output).is_some()),
            Wanted::Stored(name) => may_have("Resources", &|resource| {
                names::exports_of_writer(resource).is_some_and(|exports| exports.get(name).is_some())
                    || names::name_of_stored(resource).is_some_and(may_be)
            }),
        }
    }

    /// It, where this template has it.
    pub(crate) fn of(&self, resolver: &Resolver<'_>) -> Resolved<Option<Value>> {
        match self {
            Wanted::Export(name) => resolver.exported(name),
            Wanted::Output(_, output) => resolver.own_output(output).map(Some),
            Wanted::Stored(name) => Ok(resolver.own_stored(name).map(Value::Text)),
        }
    }
}

impl App {
    /// Those of these texts, beside templates that are not started.
    pub(crate) fn new(stacks: &[Stack], others: &[StackFile], options: &Options) -> Resolved<App> {
        if stacks.len() > STACKS_TOGETHER_MAX {
            let message = format!("there are {} of them, and {STACKS_TOGETHER_MAX} at most are started", stacks.len());
            return Err(TemplateError::at("stacks", message));
        }
        let mut app = App { others: others.iter().map(Other::new).collect(), ..App::default() };
        for stack in stacks {
            let member = Member::new(stack, options);
            app.members.push(match stacks.len() {
                1 => member?,
                _ => member.map_err(|error| error.within(&stack.name))?,
            });
        }
        if app.is_several() {
            app.share(options)?;
        }
        Ok(app)
    }

    /// There are several, and each has a name.
    pub(crate) fn is_several(&self) -> bool {
        self.members.len() > 1
    }

    /// Gives each of several templates what is its own of the options.
    fn share(&mut self, options: &Options) -> Resolved<()> {
        let declares = |name: &str| self.members.iter().any(|member| member.declares(name));
        let is_of_one = |name: &str| self.members.iter().any(|member| member.own_parameter(name).is_some());
        if let Some(unknown) = options.parameters.keys().find(|name| !declares(name) && !is_of_one(name)) {
            let names = self.members.iter().flat_map(|member| member.section("Parameters"));
            let hint = did_you_mean(unknown, names.map(|(name, _)| name.as_str()));
            let message = format!("no template has such a parameter{hint}");
            return Err(TemplateError::at(format!("Parameters.{unknown}"), message));
        }
        let unused = options
            .shared_parameters
            .keys()
            .filter(|name| !declares(name))
            .map(|name| format!("Parameters.{name}: no template has such a parameter; its value is not used"));
        let unused = unused.collect();
        for member in &mut self.members {
            member.options.stack_name = member.stack_name.clone();
            let node = &member.node;
            // What names the template goes before what is for all.
            let own = options.parameters.iter().filter_map(|(name, value)| Some((member.own_parameter(name)?, value)));
            let own: Vec<_> = own.map(|(name, value)| (name.to_owned(), value.clone())).collect();
            member.options.parameters.retain(|name, _| declares_parameter(node, name));
            member.options.parameters.extend(own);
            member.options.shared_parameters.retain(|name, _| declares_parameter(node, name));
            member.find_ids();
        }
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for id in self.members.iter().flat_map(|member| &member.ids) {
            *times.entry(id).or_default() += 1;
        }
        let shared_ids = times.iter().filter(|(_, times)| **times > 1).map(|(id, _)| (*id).to_owned()).collect();
        let resources: Vec<_> = self.members.iter().map(|member| self.resources_of(member, options)).collect();
        for (member, resources) in self.members.iter_mut().zip(resources) {
            member.options.resources = resources;
        }
        (self.shared_ids, self.unused, self.name_alone) = (shared_ids, unused, options.stack_name.clone());
        Ok(())
    }

    /// What was given for the resources of a template: by an `Id` that it has, or that nobody has, or by `Stack/Id`, which goes before.
    /// What has no logical id is for all.
    fn resources_of(&self, member: &Member, options: &Options) -> BTreeMap<String, String> {
        let names_a_stack = |name: &str| self.members.iter().any(|other| other.own_part(name).is_some());
        let is_for_it = |name: &str| {
            let id = name.split(['.', '/']).next().unwrap_or(name);
            name.contains(':') || member.has(id) || !self.members.iter().any(|other| other.has(id))
        };
        let given = || options.resources.iter();
        let general = given().filter(|(name, _)| !names_a_stack(name) && is_for_it(name));
        let general = general.map(|(name, value)| (name.as_str(), value));
        let own = given().filter_map(|(name, value)| Some((member.own_part(name)?, value)));
        general.chain(own).map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// The names of several; none: there is one.
    pub(crate) fn names(&self) -> Vec<String> {
        let named = if self.is_several() { self.members.as_slice() } else { &[] };
        named.iter().map(|member| member.name.clone()).collect()
    }

    /// Lines that were told while something was looked for, and were not taken yet.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.take()
    }

    /// More than one template has this logical id.
    pub(crate) fn shares(&self, id: &str) -> bool {
        self.shared_ids.contains(id)
    }
}

fn declares_parameter(node: &Node, name: &str) -> bool {
    node.get("Parameters").is_some_and(|parameters| parameters.get(name).is_some())
}

impl Member {
    fn new(stack: &Stack, options: &Options) -> Resolved<Member> {
        let document = Node::parse(&stack.text, stack.format)?;
        let (node, mut told) = match terraform::template_of(&document) {
            Some(converted) => (converted.template, converted.told),
            None => (document, Vec::new()),
        };
        let (node, not_included) = read::with_included(node, &stack.dir, options)?;
        let node = amplify::with_tables(node);
        told.extend(not_included);
        Ok(Member {
            name: stack.name.clone(),
            stack_name: stack.stack_name.clone(),
            node,
            dir: stack.dir.clone(),
            options: options.clone(),
            ids: BTreeSet::new(),
            told,
        })
    }

    /// Finds its logical ids: also those that loops and included files make.
    fn find_ids(&mut self) {
        let written = self.section("Resources").iter().map(|(id, _)| id.clone());
        self.ids = match self.section("Resources").iter().any(|(id, _)| id.starts_with("Fn::")) {
            false => written.collect(),
            true => {
                // What was given for the resources is shared out by their ids. What is wrong with the template is told when it is read.
                let options = Options { resources: BTreeMap::new(), ..self.options.clone() };
                let resolver = Resolver::in_stack(&self.node, &self.dir, &options, Inside::default());
                resolver.map_or_else(
                    |_| written.collect(),
                    |resolver| resolver.resources().iter().map(|(id, _)| id.clone()).collect(),
                )
            }
        };
    }

    fn section(&self, name: &str) -> &[(String, Node)] {
        self.node.get(name).map_or(&[], Node::pairs)
    }

    /// It has stacks inside.
    fn has_stacks(&self) -> bool {
        stack::has_stacks(&self.node)
    }

    /// It has a resource of this logical id.
    fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// What a name says behind the template's.
    fn own_part<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.name.as_str())?.strip_prefix('/')
    }

    /// Its parameter that is meant by `Stack/Name`.
    fn own_parameter<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.own_part(name).filter(|name| self.declares(name))
    }

    fn declares(&self, parameter: &str) -> bool {
        declares_parameter(&self.node, parameter)
    }

    /// It as a place of names.
    pub(crate) fn resolver<'a>(&'a self, shared: &Rc<StackCache>) -> Resolved<Resolver<'a>> {
        let prefix = if shared.app.is_several() { format!("{}/", self.name) } else { String::new() };
        let place = Inside::of_app(prefix, Rc::clone(shared));
        Resolver::in_stack(&self.node, &self.dir, &self.options, place).map_err(|error| self.named(shared, error))
    }

    /// An error with the name of the template, where there are several.
    pub(crate) fn named(&self, shared: &StackCache, error: TemplateError) -> TemplateError {
        if shared.app.is_several() { error.within(&self.name) } else { error }
    }

    /// A line with the name of the template, where there are several.
    pub(crate) fn line(&self, shared: &StackCache, line: &str) -> String {
        if shared.app.is_several() { format!("{}: {line}", self.name) } else { line.to_owned() }
    }

    /// Names it in the places that a plan keeps of what was added since.
    pub(crate) fn name_places(&self, shared: &StackCache, plan: &mut Plan, since: Counts) {
        if shared.app.is_several() {
            plan.name_template(since, &self.name);
        }
    }
}

impl Other {
    fn new(file: &StackFile) -> Other {
        Other { file: file.clone(), member: OnceCell::new() }
    }

    fn member(&self, options: &Options) -> Option<&Member> {
        let read = || {
            let StackFile { name, stack_name, file } = &self.file;
            let text = (options.read)(file).ok()?;
            let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
            let format = Format::of(file, &text);
            let stack = Stack { name: name.clone(), stack_name: stack_name.clone(), format, text, dir };
            let nothing = BTreeMap::new;
            let (parameters, resources, stack_name) = (nothing(), nothing(), stack_name.clone());
            Member::new(&stack, &Options { stack_name, parameters, resources, ..options.clone() }).ok()
        };
        self.member.get_or_init(read).as_ref()
    }
}

impl Resolver<'_> {
    /// What a template that is started with this one has, or a stack inside of one; it is looked for once.
    pub(crate) fn of_members(&self, wanted: &Wanted<'_>, path: &str) -> Resolved<Option<Value>> {
        let shared = Rc::clone(&self.stack.shared);
        let app = &shared.app;
        if !app.is_several() && !app.members.iter().any(Member::has_stacks) {
            return Ok(None);
        }
        let key = wanted.key();
        let found = app.found.borrow().get(&key).cloned();
        let value = match found {
            Some(value) => value,
            None => {
                if app.looking.borrow().len() >= LOOKS_MAX || app.looking.borrow().contains(&key) {
                    let message = "the references between the stacks go too deep, or in a circle";
                    return Err(TemplateError::at(path, message));
                }
                app.looking.borrow_mut().push(key.clone());
                let found = look(&shared, wanted);
                app.looking.borrow_mut().pop();
                let found = found?;
                app.found.borrow_mut().insert(key, found.clone());
                found
            }
        };
        // Who takes a stream needs it.
        for id in value.iter().flat_map(streams) {
            self.streams.borrow_mut().push((id.to_owned(), path.to_owned()));
        }
        Ok(value)
    }

    /// The output of another template that is started with this one and has the name of a parameter which nothing else gives: as whoever
    /// deploys them hands it over. Told, since nothing but the name says so.
    pub(crate) fn output_for(&self, parameter: &str, path: &str) -> Resolved<Option<Value>> {
        if !self.stack.is_of_app() {
            return Ok(None);
        }
        let shared = Rc::clone(&self.stack.shared);
        let own = self.stack.prefix.trim_end_matches('/');
        let has_it = |member: &&Member| {
            member.name != own && member.section("Outputs").iter().any(|(name, _)| name == parameter)
        };
        let mut members = shared.app.members.iter().filter(has_it);
        let (Some(member), None) = (members.next(), members.next()) else { return Ok(None) };
        let found = self.of_members(&Wanted::Output(&member.name, parameter), path);
        let found = found.map_err(|error| error.because(&of_output(parameter, &member.name)))?;
        let Some(value) = found else { return Ok(None) };
        let why = format!("nothing gives it; it has the value of the output {parameter} of {}", member.name);
        self.skip(&format!("Parameters.{parameter}"), why);
        self.taken.borrow_mut().insert(parameter.to_owned(), member.name.clone());
        // What stands in for a part of the output need not be given where the output is.
        Ok(Some(value.with_option(&format!("--parameter {parameter}=VALUE"))))
    }

    /// Where a value that is not what is asked for has come from, if that is a parameter which has an output's value.
    pub(super) fn taken_for(&self, node: &Node) -> String {
        let Some(("Ref", Node::Text(parameter))) = node.pairs().first().map(|(name, of)| (name.as_str(), of)) else {
            return String::new();
        };
        let taken = self.taken.borrow();
        taken.get(parameter).map_or_else(String::new, |member| format!(": {}", of_output(parameter, member)))
    }

    /// The option that gives a value which no template has that is started: one that is not started may have it.
    pub(crate) fn option_or_stack(&self, option: String, wanted: &Wanted<'_>) -> String {
        let key = wanted.key();
        let known = self.stack.shared.app.found_in_others.borrow().get(&key).cloned();
        let name = known.unwrap_or_else(|| {
            let name = self.name_of_other(wanted);
            self.stack.shared.app.found_in_others.borrow_mut().insert(key, name.clone());
            name
        });
        match name {
            Some(name) => format!("--stack {name}, which has it, or {option}"),
            None => option,
        }
    }

    /// The name of a template that is not started, and has this.
    fn name_of_other(&self, wanted: &Wanted<'_>) -> Option<String> {
        let has_it = |other: &&Other| {
            let Some(member) = other.member(self.options).filter(|member| wanted.may_be_in(member)) else {
                return false;
            };
            let found = member.resolver(&Rc::default()).and_then(|resolver| wanted.of(&resolver));
            found.is_ok_and(|found| found.is_some())
        };
        self.stack.shared.app.others.iter().find(has_it).map(|other| other.file.name.clone())
    }

    /// What stands in for a value of elsewhere.
    pub(crate) fn stand_in_of(&self, wanted: &Wanted<'_>) -> Text {
        let option = self.option_or_stack(format!("--resource {}=VALUE", wanted.key()), wanted);
        let origin = Origin { what: wanted.what(), option, is_resource: false };
        Text::stand_in(self.place().named(wanted.name()), origin)
    }

    /// A value of elsewhere: given, or of a template that is started with this one, or what stands in for it.
    pub(super) fn of_elsewhere(&self, wanted: &Wanted<'_>, path: &str) -> Resolved<Value> {
        if let Some(given) = self.options.resources.get(&wanted.key()) {
            return Ok(Value::Text(Text::literal(given.clone())));
        }
        let found = self.of_members(wanted, path)?;
        Ok(found.unwrap_or_else(|| Value::Text(self.stand_in_of(wanted))))
    }

    /// `Fn::GetStackOutput`.
    pub(super) fn stack_output(&self, parts: &[(String, Node)], path: &str) -> Resolved<Value> {
        let part = |name: &str| {
            let node = parts.iter().find(|(own, _)| own == name).map(|(_, node)| node);
            let node = node.ok_or_else(|| TemplateError::at(path, format!("Fn::GetStackOutput has no {name}")))?;
            self.literal(node, path)
        };
        let (stack, output) = (part("StackName")?, part("OutputName")?);
        self.of_elsewhere(&Wanted::Output(&stack, &output), path)
    }

    /// The value that this template exports under a name.
    fn exported(&self, name: &str) -> Resolved<Option<Value>> {
        let outputs = self.template.get("Outputs").map_or(&[][..], Node::pairs);
        for (id, output) in self.expanded(outputs, "Outputs")?.iter() {
            let Some(node) = output.get("Export").and_then(|export| export.get("Name")) else { continue };
            let path = format!("Outputs.{id}");
            if !self.literal(node, &format!("{path}.Export.Name")).is_ok_and(|own| own == name) {
                continue;
            }
            let holds = match output.get("Condition") {
                Some(Node::Text(condition)) => self.condition(condition, &path)?,
                _ => true,
            };
            if let Some(value) = output.get("Value").filter(|_| holds) {
                return self.deeper(&path, || self.value(value, &format!("{path}.Value"))).map(Some);
            }
        }
        Ok(None)
    }
}

/// Why a parameter has the value that it has, and what gives it another.
fn of_output(parameter: &str, member: &str) -> String {
    format!(
        "nothing gives the parameter {parameter}, which has the value of the output {parameter} of {member}; \
         --parameter {parameter}=VALUE gives it another"
    )
}

/// Looks for something in each template in turn.
fn look(shared: &Rc<StackCache>, wanted: &Wanted<'_>) -> Resolved<Option<Value>> {
    let members = shared.app.members.as_slice();
    let tell = |member: &Member, resolver: &Resolver<'_>| {
        let lines = resolver.skipped().into_iter().map(|line| member.line(shared, &line));
        shared.app.told.borrow_mut().extend(lines);
    };
    // A template that is alone is not asked for what it asks for.
    let asked = if shared.app.is_several() { members } else { &[] };
    for member in asked.iter().filter(|member| wanted.may_be_in(member)) {
        let resolver = member.resolver(shared)?;
        let found = wanted.of(&resolver).map_err(|error| member.named(shared, error))?;
        tell(member, &resolver);
        if found.is_some() {
            return Ok(found);
        }
    }
    // The name of a stack inside is one that AWS makes: nobody asks for its outputs by it.
    if matches!(wanted, Wanted::Output(..)) {
        return Ok(None);
    }
    for member in members {
        let resolver = member.resolver(shared)?;
        let found = resolver.of_stacks_inside(wanted);
        tell(member, &resolver);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The tables whose streams are in a value.
fn streams(value: &Value) -> Vec<&str> {
    match value {
        Value::Text(text) => text.0.iter().filter_map(stream_of).collect(),
        Value::List(list) => list.iter().flat_map(streams).collect(),
        _ => Vec::new(),
    }
}

fn stream_of(part: &Part) -> Option<&str> {
    match part {
        Part::StreamOf(table) | Part::LabelOf(table) => Some(table),
        Part::Literal(_) | Part::StandIn(_) => None,
    }
}
