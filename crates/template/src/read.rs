//! A template's resources, one after the other, into the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use crate::app::{App, Stack, StackFile};
use crate::delivery_stream::DELIVERY_STREAM;
use crate::function::Failed;
use crate::node::{Format, Node};
use crate::plan::{FunctionPlan, NotRun, Plan};
use crate::resolve::Resolver;
use crate::stack::{STACKS, StackCache};
use crate::suggest::{did_you_mean, nearest, slip_of};
use crate::text::Origin;
use crate::{
    Options, TemplateError, amplify, delivery_stream, foreach, function, global_table, layer, mapping, names, pipe,
    table,
};

/// The transforms whose work is done here.
const TRANSFORMS: [&str; 2] = [SAM, "AWS::LanguageExtensions"];

/// The transform that makes resources of CloudFormation of those of SAM.
const SAM: &str = "AWS::Serverless-2016-10-31";

/// What the types of SAM begin with.
const SAM_TYPES: &str = "AWS::Serverless::";

/// Types that have no meaning where there are no versions, roles and deployments; what refers to one is resolved.
const WITHOUT_MEANING: [&str; 10] = [
    "AWS::CDK::Metadata",
    "AWS::Events::ApiDestination",
    "AWS::Events::Connection",
    "AWS::Lambda::Alias",
    "AWS::Lambda::LayerVersionPermission",
    "AWS::Lambda::Version",
    "AWS::SSM::Parameter",
    "AWS::Serverless::Connector",
    names::EXPORT_READER,
    names::EXPORT_WRITER,
];

/// What a resource may say beside its properties.
const ATTRIBUTES: [&str; 11] = [
    "Condition",
    "Connectors",
    "CreationPolicy",
    "DeletionPolicy",
    "DependsOn",
    "IgnoreGlobals",
    "Metadata",
    "Properties",
    "Type",
    "UpdatePolicy",
    "UpdateReplacePolicy",
];

/// Reads templates that are started together, often one, into one plan: the way in. `others` are there and not started; where
/// something of theirs is missing, they are named.
pub fn parse_stacks(stacks: &[Stack], others: &[StackFile], options: &Options) -> Result<Plan, TemplateError> {
    let shared = Rc::new(StackCache::of(App::new(stacks, others, options)?));
    let members = &shared.app.members;
    let resolvers = members.iter().map(|member| member.resolver(&shared)).collect::<Result<Vec<_>, _>>()?;
    let all = || resolvers.iter().zip(members);
    for (resolver, member) in all() {
        member.told.iter().for_each(|line| resolver.tell(line.clone()));
    }
    let mut plan = Plan { skipped: shared.app.unused.clone(), ..Plan::default() };
    // Mappings first: whether a function has to run depends on them.
    let mut layers_failed = Vec::new();
    for (resolver, member) in all() {
        let (before, failed) = (plan.counts(), layers_failed.len());
        add_data(resolver, &mut plan, &mut layers_failed).map_err(|error| member.named(&shared, error))?;
        member.name_places(&shared, &mut plan, before);
        let named = layers_failed.split_off(failed).into_iter();
        layers_failed.extend(named.map(|(arn, error)| (arn, member.named(&shared, error))));
    }
    for (resolver, member) in all() {
        let before = plan.counts();
        add_functions(resolver, &mut plan).map_err(|error| member.named(&shared, error))?;
        member.name_places(&shared, &mut plan, before);
    }
    let lines = all().flat_map(|(resolver, member)| {
        resolver.skipped().into_iter().map(|line| member.line(&shared, &line)).collect::<Vec<_>>()
    });
    lines.chain(shared.app.told()).for_each(|line| plan.tell(line));
    for (arn, error) in layers_failed {
        let uses = |function: &&FunctionPlan| function.layers.iter().any(|used| used.arn == arn);
        match plan.functions.iter().find(uses) {
            Some(function) if plan.is_mapped(&function.name) => return Err(error),
            _ => plan.tell(format!("{error}; no function that a mapping uses has the layer: it is left out")),
        }
    }
    plan.leave_out_what_does_not_run();
    layer::only_those_here(&mut plan);
    let needed: Vec<(String, String)> = all()
        .flat_map(|(resolver, member)| {
            resolver.streams_needed().into_iter().map(|(id, path)| (id, member.line(&shared, &path)))
        })
        .collect();
    let name_path = |logical_id: &str, property: &str| {
        let own = all().find_map(|(resolver, member)| {
            Some((resolver, member, logical_id.strip_prefix(resolver.stack.prefix.as_str())?))
        });
        own.map_or_else(
            || format!("Resources.{logical_id}"),
            |(resolver, member, id)| member.line(&shared, &resolver.name_path(id, property)),
        )
    };
    plan.take_streams_of_own_tables(options);
    plan.check(name_path, &needed)?;
    plan.tell_of_filters();
    tell_stand_ins(&mut plan);
    plan.files = shared.files();
    plan.stacks = shared.app.names();
    Ok(plan)
}

/// The types that are read.
fn known_kinds() -> impl Iterator<Item = &'static str> {
    let rest = ["AWS::Lambda::EventSourceMapping", "AWS::Pipes::Pipe", DELIVERY_STREAM];
    let kinds = names::TABLES.into_iter().chain(names::FUNCTIONS).chain(names::LAYERS);
    kinds.chain(STACKS).chain(rest)
}

/// Adds what a template has, and those inside of it, but for functions: tables, layers and mappings.
fn add_data(
    resolver: &Resolver<'_>,
    plan: &mut Plan,
    layers_failed: &mut Vec<(String, TemplateError)>,
) -> Result<(), TemplateError> {
    for transform in resolver.template.get("Transform").into_iter().flat_map(Node::one_or_many) {
        match transform {
            Node::Text(name) if TRANSFORMS.contains(&name.as_str()) => {}
            Node::Map(_) if is_include(transform) => {}
            other => resolver.skip("Transform", format_args!("{} is not applied", other.brief())),
        }
    }
    let mut elsewhere: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut stacks = Vec::new();
    let present = present(resolver)?;
    if let Some((_, kind, _)) = present.iter().find(|(_, kind, _)| kind.starts_with(SAM_TYPES))
        && !is_of_sam(resolver.template)
    {
        let why = format!("CloudFormation refuses {kind} without `Transform: {SAM}`; read as if it were there");
        resolver.skip("Transform", why);
    }
    for (id, kind, resource) in present {
        for (name, hint) in resolver.unknown_dependencies(resource) {
            resolver.skip(&format!("Resources.{id}.DependsOn"), format_args!("there is no resource {name}{hint}"));
        }
        match kind {
            "AWS::DynamoDB::Table" | amplify::TABLE => plan.tables.push(table::table(resolver, id, resource)?),
            "AWS::DynamoDB::GlobalTable" => plan.tables.push(global_table::global_table(resolver, id, resource)?),
            "AWS::Serverless::SimpleTable" => plan.tables.push(table::simple_table(resolver, id, resource)?),
            "AWS::Serverless::Function" => plan.mappings.extend(function::events(resolver, id, resource)?),
            "AWS::Lambda::Function" => {}
            DELIVERY_STREAM => plan.delivery_streams.push(delivery_stream::delivery_stream(resolver, id, resource)?),
            "AWS::Lambda::EventSourceMapping" => plan.mappings.extend(mapping::resource(resolver, id, resource)?),
            "AWS::Pipes::Pipe" => match pipe::pipe(resolver, id, resource)? {
                Some(pipe::Made::Mapping(mapping)) => plan.mappings.push(*mapping),
                Some(pipe::Made::Sink(sink)) => plan.sinks.push(sink),
                None => {}
            },
            kind if names::LAYERS.contains(&kind) => match layer::layer(resolver, id, resource, kind, resolver.dir) {
                Ok(layer) => plan.layers.push(layer),
                Err(error) => {
                    let name = resolver.name_of(id, resource, "LayerName");
                    layers_failed.push((name.map(|name| resolver.layer_arn(&name)).unwrap_or_default(), error));
                }
            },
            kind if STACKS.contains(&kind) => stacks.push((id, resource)),
            kind if WITHOUT_MEANING.contains(&kind) => {}
            kind => elsewhere.entry(kind).or_default().push(id),
        }
    }
    for (kind, ids) in elsewhere {
        let hint = slip_of(kind, known_kinds());
        resolver.skip(&format!("Resources.{}", ids.join(", ")), format_args!("{kind} is not supported; skipped{hint}"));
    }
    resolver.add_stacks(plan, &stacks, &mut |inner, plan| add_data(inner, plan, layers_failed))
}

/// The template asks for the transform of SAM, or may do so by what it includes.
fn is_of_sam(template: &Node) -> bool {
    let mut transforms = template.get("Transform").into_iter().flat_map(Node::one_or_many);
    transforms.any(|transform| !matches!(transform, Node::Text(name) if name != SAM))
}

/// What is told of a function that cannot run and that no mapping uses.
pub fn not_registered(why: impl std::fmt::Display) -> String {
    format!("{why}; no mapping uses the function: it is left out")
}

/// Adds the functions of a template, and of those inside of it.
fn add_functions(resolver: &Resolver<'_>, plan: &mut Plan) -> Result<(), TemplateError> {
    let mut stacks = Vec::new();
    for (id, kind, resource) in present(resolver)? {
        if STACKS.contains(&kind) {
            stacks.push((id, resource));
        }
        if !names::FUNCTIONS.contains(&kind) {
            continue;
        }
        let failed = match function::function(resolver, id, kind, resource, resolver.dir) {
            Ok(function) => {
                if let Some(method) = build_left_out(resource, resolver.dir).filter(|_| plan.is_mapped(&function.name))
                {
                    let why = "is not run here: `sam build` makes what runs, and `up` takes that where it is there";
                    resolver.skip(&format!("Resources.{id}.Metadata.BuildMethod"), format_args!("{method} {why}"));
                }
                plan.functions.push(function);
                continue;
            }
            Err(failed) => failed,
        };
        let name = resolver.name_of(id, resource, "FunctionName").ok().filter(|name| plan.is_mapped(name));
        match (failed, name) {
            (Failed::NotHere(error) | Failed::Wrong(error), None) => resolver.tell(not_registered(error)),
            (Failed::NotHere(error), Some(function)) => {
                plan.not_run.push(NotRun {
                    function,
                    why: error.to_string(),
                    mappings: Vec::new(),
                    enabled: Vec::new(),
                });
            }
            (Failed::Wrong(error), Some(_)) => return Err(error),
        }
    }
    resolver.add_stacks(plan, &stacks, &mut add_functions)
}

/// The way in which `sam build` makes the code of a function of what the template names, and has not yet: of those without which there
/// is no code.
fn build_left_out<'a>(resource: &'a Node, dir: &Path) -> Option<&'a str> {
    const MAKES_CODE: [&str; 4] = ["esbuild", "go1.x", "makefile", "rust-cargolambda"];
    let Some(Node::Text(method)) = resource.get("Metadata")?.get("BuildMethod") else { return None };
    let is_built = dir.components().any(|part| part.as_os_str() == ".aws-sam");
    (!is_built && MAKES_CODE.contains(&method.as_str())).then_some(method)
}

/// The resources whose condition holds: id, type and text.
fn present<'a>(resolver: &'a Resolver<'_>) -> Result<Vec<(&'a str, &'a str, &'a Node)>, TemplateError> {
    let mut present = Vec::new();
    for (id, resource) in resolver.resources() {
        let path = format!("Resources.{id}");
        let Some(Node::Text(kind)) = resource.get("Type") else {
            let hint = nearest("Type", resource.pairs().iter().map(|(name, _)| name.as_str()));
            let hint = hint.map(|slip| format!("; is {slip} meant to be it?")).unwrap_or_default();
            return Err(TemplateError::at(path, format!("there is no Type{hint}")));
        };
        if is_read(kind) {
            let names = resource.pairs().iter().map(|(name, _)| name.as_str());
            for name in names.filter(|name| !ATTRIBUTES.contains(name) && !name.starts_with("Fn::")) {
                let hint = did_you_mean(name, ATTRIBUTES);
                let why = "this attribute of a resource is not known; skipped";
                resolver.skip(&format!("{path}.{name}"), format_args!("{why}{hint}"));
            }
        }
        if let Some(condition) = resource.get("Condition").filter(|_| is_read(kind)) {
            let at = format!("{path}.Condition");
            let Node::Text(name) = condition else {
                return Err(TemplateError::at(at, "the name of a condition is expected"));
            };
            if !resolver.condition(name, &at)? {
                continue;
            }
        }
        present.push((id.as_str(), kind.as_str(), resource));
    }
    Ok(present)
}

/// Something is made of resources of this type: so whether they are there is of interest.
fn is_read(kind: &str) -> bool {
    names::TABLES.contains(&kind)
        || STACKS.contains(&kind)
        || names::FUNCTIONS.contains(&kind)
        || names::LAYERS.contains(&kind)
        || kind == DELIVERY_STREAM
        || matches!(kind, "AWS::Lambda::EventSourceMapping" | "AWS::Pipes::Pipe")
}

/// The template with the file that `Transform: {Name: AWS::Include}` of the template itself names: its sections are added. And
/// what is to be told of a file that is not here.
pub(crate) fn with_included(
    template: Node,
    dir: &Path,
    options: &Options,
) -> Result<(Node, Vec<String>), TemplateError> {
    let transforms = template.get("Transform").map_or(&[][..], Node::one_or_many).to_vec();
    let (mut template, mut not_here) = (template, Vec::new());
    for transform in transforms.iter().filter(|transform| is_include(transform)) {
        let location = transform.get("Parameters").and_then(|parameters| parameters.get("Location"));
        let location = match location {
            Some(Node::Text(location)) if !location.contains("://") => location,
            // It is read before there are parameters: what would have to be resolved is not known.
            Some(other) => {
                let shown = if let Node::Text(address) = other { address.clone() } else { other.brief() };
                not_here.push(format!("Transform: {}", foreach::not_included(&shown)));
                continue;
            }
            None => return Err(TemplateError::at("Transform", foreach::NO_LOCATION)),
        };
        let at = |error: &dyn std::fmt::Display| {
            TemplateError::at("Transform", format!("cannot include {location}: {error}"))
        };
        let file = dir.join(location);
        let text = (options.read)(&file).map_err(|error| at(&error))?;
        let included = Node::parse(&text, Format::of(&file, &text)).map_err(|error| at(&error))?;
        template = included.overlaid(&template);
    }
    Ok((template, not_here))
}

fn is_include(transform: &Node) -> bool {
    matches!(transform.get("Name"), Some(Node::Text(name)) if name == "AWS::Include")
}

/// Names each variable that stands in for something, once for all functions that have it.
fn tell_stand_ins(plan: &mut Plan) {
    let mut told: Vec<(&str, &Origin, String, BTreeSet<&str>)> = Vec::new();
    for function in &plan.functions {
        for (name, text) in &function.environment {
            let Some(value) = text.resolve(|_| Some(tailrace_core::StreamArn::new("..."))) else { continue };
            for origin in text.origins() {
                match told.iter_mut().find(|(other, from, _, _)| other == name && *from == origin) {
                    Some((_, _, _, functions)) => drop(functions.insert(function.logical_id.as_str())),
                    None => {
                        told.push((name, origin, value.clone(), BTreeSet::from([function.logical_id.as_str()])));
                    }
                }
            }
        }
    }
    let lines = told.into_iter().map(|(name, Origin { what, option, .. }, value, functions)| {
        let noun = if functions.len() == 1 { "function" } else { "functions" };
        let functions: Vec<&str> = functions.into_iter().collect();
        let functions = functions.join(", ");
        format!("{noun} {functions}: {name} is a stand-in for {what}: {value}; give it with {option}")
    });
    let lines: Vec<String> = lines.collect();
    lines.into_iter().for_each(|line| plan.tell(line));
}
