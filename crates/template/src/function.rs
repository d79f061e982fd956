//! `AWS::Serverless::Function` with its events, and `AWS::Lambda::Function`.

use std::collections::BTreeMap;
use std::path::Path;

use tailrace_core::code::CodeSource;
use tailrace_core::function::{ConfigError, Family, LogLevel, Logging};
use tailrace_core::{FunctionArn, limits};

use crate::TemplateError;
use crate::node::Node;
use crate::plan::{FunctionPlan, MappingPlan, Plan};
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::suggest::{did_you_mean, nearest, slip_of};
use crate::{code, layer, mapping};

const WITHOUT_EFFECT: &[&str] = &[
    "Architectures",
    "AssumeRolePolicyDocument",
    "CapacityProviderConfig",
    "CodeSigningConfigArn",
    "Description",
    "EphemeralStorage",
    "FunctionScalingConfig",
    "KmsKeyArn",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "RecursiveLoop",
    "Role",
    "RolePath",
    "RuntimeManagementConfig",
    "SnapStart",
    "TenancyConfig",
    "Tags",
    "Tracing",
    "TracingConfig",
    "VersionDescription",
];
const NOT_APPLIED: &[&str] = &[
    "AutoPublishAlias",
    "AutoPublishCodeSha256",
    "AutoPublishAliasAllProperties",
    "DeadLetterConfig",
    "DeadLetterQueue",
    "DeploymentPreference",
    "DurableConfig",
    "EventInvokeConfig",
    "FileSystemConfigs",
    "FunctionUrlConfig",
    "ProvisionedConcurrencyConfig",
    "VpcConfig",
];

/// The type of the events that are records of a table.
const DYNAMODB: &str = "DynamoDB";

/// Runtimes of Lambda that functions are written for now, of the families that run here: what an unknown one may be a slip of.
const RUNTIMES: [&str; 16] = [
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "provided.al2",
    "provided.al2023",
];

/// Why a function is not in the plan.
pub(crate) enum Failed {
    /// Nothing is wrong with it, but it cannot run here.
    NotHere(TemplateError),
    /// Something is wrong with what the template says of it.
    Wrong(TemplateError),
}

impl From<TemplateError> for Failed {
    fn from(error: TemplateError) -> Failed {
        Failed::Wrong(error)
    }
}

/// The mappings that the DynamoDB events of a SAM function ask for. Events of other types are named.
pub(crate) fn events(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<Vec<MappingPlan>, TemplateError> {
    let mut mappings = Vec::new();
    let globals = resolver.globals("Function", resource);
    let mut properties = Properties::of(resolver, id, resource, globals.as_ref())?;
    let Some(mut events) = properties.map("Events")? else { return Ok(mappings) };
    for name in events.entries() {
        let Some(mut event) = events.map(&name)? else { continue };
        match event.required_text("Type")?.as_str() {
            DYNAMODB => {
                let properties = event.map("Properties")?.ok_or_else(|| event.missing("Properties"))?;
                let function = resolver.name_of(id, resource, "FunctionName")?;
                mappings.extend(mapping::event(&resolver.global(&format!("{id}{name}")), (id, &function), properties)?);
                event.finish();
            }
            other => {
                let why = format!("events of type {other} are not supported; skipped{}", meant_by(other));
                events.skip(&name, &why);
            }
        }
    }
    Ok(mappings)
}

/// The one type of events that is read, where another name was likely meant to be it.
fn meant_by(kind: &str) -> String {
    let is_it = kind.to_ascii_lowercase().contains("dynamo");
    did_you_mean(if is_it { DYNAMODB } else { kind }, [DYNAMODB])
}

/// A function of either kind; its events are read apart.
pub(crate) fn function(
    resolver: &Resolver<'_>,
    id: &str,
    kind: &str,
    resource: &Node,
    dir: &Path,
) -> Result<FunctionPlan, Failed> {
    let name = resolver.name_of(id, resource, "FunctionName")?;
    Plan::check_function_name(resolver, id, &name)?;
    let is_serverless = kind == "AWS::Serverless::Function";
    let globals = if is_serverless { resolver.globals("Function", resource) } else { None };
    let mut properties = Properties::of(resolver, id, resource, globals.as_ref())?;
    no_image(&mut properties)?;
    let runtime = properties.required_text("Runtime")?;
    if Family::of(&runtime).is_none() {
        let hint = slip_of(&runtime, RUNTIMES);
        let why = format!("{}{hint}", ConfigError::UnsupportedRuntime(runtime));
        return Err(Failed::NotHere(TemplateError::at(properties.at("Runtime"), why)));
    }
    // Code in the template counts, even where the globals say where the others' is.
    let inline = if is_serverless { code::inline(&mut properties, "InlineCode", &runtime)? } else { None };
    let (code_path, code) = match inline {
        Some(source) => {
            properties.without_effect(&["CodeUri"]);
            (properties.at("InlineCode"), source)
        }
        None if is_serverless => {
            let source = code::CODE_URI.source(&mut properties, resource, &runtime, dir)?;
            (properties.at("CodeUri"), source.unwrap_or_else(|| CodeSource::Path(dir.to_owned())))
        }
        None => {
            let source = code::CODE.source(&mut properties, resource, &runtime, dir)?;
            (properties.at("Code"), source.ok_or_else(|| properties.missing("Code"))?)
        }
    };
    if is_serverless {
        properties.without_effect(&["Events"]);
    } else if properties.node("Events").is_some() {
        let why = "an AWS::Lambda::Function has none, so nothing is delivered by it; skipped; did you mean \
                   AWS::Serverless::Function, or an AWS::Lambda::EventSourceMapping?";
        properties.skip("Events", why);
    }
    properties.without_effect(&["FunctionName"]);
    properties.without_effect(WITHOUT_EFFECT);
    properties.not_applied(NOT_APPLIED);
    let layers = layer::used(&mut properties)?;
    let handler = match properties.text("Handler")? {
        Some(handler) => handler,
        // A `bootstrap` has no use for it.
        None if runtime.starts_with("provided") => "bootstrap".to_owned(),
        None => return Err(properties.missing("Handler").into()),
    };
    let timeout_s = properties.integer_or_default("Timeout", 1, i64::from(limits::FUNCTION_TIMEOUT_MAX_S))?;
    let (memory_min, memory_max) = (limits::FUNCTION_MEMORY_MIN_MB, limits::FUNCTION_MEMORY_MAX_MB);
    let memory_mb = properties.integer_or_default("MemorySize", i64::from(memory_min), i64::from(memory_max))?;
    let reserved = properties.integer_or_default("ReservedConcurrentExecutions", 0, i64::from(u32::MAX))?;
    let mut environment = BTreeMap::new();
    if let Some(mut outer) = properties.map("Environment")? {
        if outer.peek("Variables").is_none() {
            for name in outer.entries().iter().filter(|name| !is_slip(name, "Variables")) {
                outer.node(name);
                outer.skip(name, "skipped: the variables of a function are in a map Variables of Environment");
            }
        }
        if let Some(mut variables) = outer.map("Variables")? {
            // It would name a script of a layer that is run in the runtime's place.
            variables.not_applied(&["AWS_LAMBDA_EXEC_WRAPPER"]);
            for name in variables.entries() {
                if variables.peek(&name) == Some(&Node::Null) {
                    variables.skip(&name, "null is no text: the variable is not set (an empty text is \"\")");
                }
                if let Some(text) = variables.text_with_streams(&name)? {
                    environment.insert(name, text);
                }
            }
        }
        outer.finish();
    }
    let logging = logging(&mut properties)?;
    properties.finish();
    let function = FunctionPlan {
        logical_id: resolver.global(id),
        arn: FunctionArn::new(resolver.function_arn(&name)),
        name,
        handler,
        runtime,
        code,
        code_path,
        layers,
        timeout_s: timeout_s.map_or(limits::FUNCTION_TIMEOUT_DEFAULT_S, |value| value as u32),
        memory_mb: memory_mb.map_or(limits::FUNCTION_MEMORY_DEFAULT_MB, |value| value as u32),
        environment,
        reserved_concurrency: reserved.map(|value| value as u32),
        logging,
    };
    function.check()?;
    Ok(function)
}

/// Whether a name is likely meant to be this one.
fn is_slip(name: &str, of: &str) -> bool {
    nearest(name, [of]).is_some()
}

/// How lines are written. The group has no meaning here.
fn logging(properties: &mut Properties<'_>) -> Result<Logging, TemplateError> {
    let Some(mut config) = properties.map("LoggingConfig")? else { return Ok(Logging::default()) };
    config.without_effect(&["LogGroup"]);
    let json = config.word("LogFormat", &[("Text", false), ("JSON", true)])?.unwrap_or_default();
    let application_level = config.word("ApplicationLogLevel", &LogLevel::ALL)?;
    let system_level = config.word("SystemLogLevel", &LogLevel::OF_THE_PLATFORM)?;
    for (name, is_given) in
        [("ApplicationLogLevel", application_level.is_some()), ("SystemLogLevel", system_level.is_some())]
    {
        if is_given && !json {
            config.skip(name, "has no effect: AWS refuses a level beside the LogFormat Text");
        }
    }
    config.finish();
    Ok(Logging { json, application_level, system_level })
}

/// An image has no runtime here. To be asked first: it has no Runtime either.
fn no_image(properties: &mut Properties<'_>) -> Result<(), Failed> {
    properties.refuse("ImageUri", code::NO_IMAGES).map_err(Failed::NotHere)?;
    match properties.word("PackageType", &[("Zip", false), ("Image", true)])? {
        Some(true) => Err(Failed::NotHere(TemplateError::at(properties.at("PackageType"), code::NO_IMAGES))),
        _ => Ok(()),
    }
}
