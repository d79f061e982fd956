//! `AWS::Serverless::Function` with its events, and `AWS::Lambda::Function`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tailrace_core::FunctionArn;

use tailrace_core::limits;

use crate::TemplateError;
use crate::mapping;
use crate::node::Node;
use crate::plan::{FunctionPlan, MappingPlan, Plan};
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::value::Value;

/// The bucket whose keys are directories of this machine.
const LOCAL_BUCKET: &str = "local-dir";
const WITHOUT_EFFECT: &[&str] = &[
    "Architectures",
    "AssumeRolePolicyDocument",
    "CodeSigningConfigArn",
    "Description",
    "EphemeralStorage",
    "KmsKeyArn",
    "LoggingConfig",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "RecursiveLoop",
    "Role",
    "RolePath",
    "RuntimeManagementConfig",
    "SnapStart",
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
    "EventInvokeConfig",
    "FileSystemConfigs",
    "FunctionUrlConfig",
    "Layers",
    "ProvisionedConcurrencyConfig",
    "VpcConfig",
];

/// The mappings that the DynamoDB events of a SAM function ask for. Events of other types are named.
pub(crate) fn events(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<Vec<MappingPlan>, TemplateError> {
    let mut mappings = Vec::new();
    let globals = resolver.globals("Function", resource);
    let mut properties = Properties::of(resolver, id, resource, globals.as_ref())?;
    let Some(mut events) = properties.map("Events")? else { return Ok(mappings) };
    for name in events.entries() {
        let Some(mut event) = events.map(&name)? else { continue };
        match event.required_text("Type")?.as_str() {
            "DynamoDB" => {
                let properties = event.map("Properties")?.ok_or_else(|| event.missing("Properties"))?;
                let function = resolver.name_of(id, resource, "FunctionName")?;
                mappings.extend(mapping::event(&format!("{id}{name}"), (id, &function), properties)?);
                event.finish();
            }
            other => {
                let why = format!("events of type {other} are not supported; skipped");
                events.skip(&name, &why);
            }
        }
    }
    Ok(mappings)
}

/// A function of either kind; its events are read apart.
pub(crate) fn function(
    resolver: &Resolver<'_>,
    id: &str,
    kind: &str,
    resource: &Node,
    dir: &Path,
) -> Result<FunctionPlan, TemplateError> {
    let name = resolver.name_of(id, resource, "FunctionName")?;
    Plan::check_function_name(resolver, id, &name)?;
    let is_serverless = kind == "AWS::Serverless::Function";
    let globals = if is_serverless { resolver.globals("Function", resource) } else { None };
    let mut properties = Properties::of(resolver, id, resource, globals.as_ref())?;
    let (code_path, code_dir) = if is_serverless {
        properties.without_effect(&["Events"]);
        let code_dir = code_dir(&mut properties, "CodeUri", ["Bucket", "Key"], dir)?;
        (properties.at("CodeUri"), code_dir.unwrap_or_else(|| dir.to_owned()))
    } else {
        let code_dir = code_dir(&mut properties, "Code", ["S3Bucket", "S3Key"], dir)?;
        (properties.at("Code"), code_dir.ok_or_else(|| properties.missing("Code"))?)
    };
    properties.without_effect(&["FunctionName"]);
    properties.without_effect(WITHOUT_EFFECT);
    properties.not_applied(NOT_APPLIED);
    properties.refuse("ImageUri", "images are not supported; give the directory of the code")?;
    properties.refuse("InlineCode", "code in the template is not supported; give the directory of the code")?;
    properties.word("PackageType", &[("Zip", ())])?;
    let runtime = properties.required_text("Runtime")?;
    let handler = match properties.text("Handler")? {
        Some(handler) => handler,
        // A `bootstrap` has no use for it.
        None if runtime.starts_with("provided") => "bootstrap".to_owned(),
        None => return Err(properties.missing("Handler")),
    };
    let timeout_s = properties.integer_or_default("Timeout", 1, i64::from(limits::FUNCTION_TIMEOUT_MAX_S))?;
    let (memory_min, memory_max) = (limits::FUNCTION_MEMORY_MIN_MB, limits::FUNCTION_MEMORY_MAX_MB);
    let memory_mb = properties.integer_or_default("MemorySize", i64::from(memory_min), i64::from(memory_max))?;
    let reserved = properties.integer_or_default("ReservedConcurrentExecutions", 0, i64::from(u32::MAX))?;
    let mut environment = BTreeMap::new();
    if let Some(mut outer) = properties.map("Environment")? {
        if let Some(mut variables) = outer.map("Variables")? {
            for name in variables.entries() {
                if let Some(text) = variables.text_with_streams(&name)? {
                    environment.insert(name, text);
                }
            }
        }
        outer.finish();
    }
    properties.finish();
    let function = FunctionPlan {
        logical_id: id.to_owned(),
        arn: FunctionArn::new(resolver.function_arn(&name)),
        name,
        handler,
        runtime,
        code_dir,
        code_path,
        timeout_s: timeout_s.map_or(limits::FUNCTION_TIMEOUT_DEFAULT_S, |value| value as u32),
        memory_mb: memory_mb.map_or(limits::FUNCTION_MEMORY_DEFAULT_MB, |value| value as u32),
        environment,
        reserved_concurrency: reserved.map(|value| value as u32),
    };
    function.check()?;
    Ok(function)
}

/// The directory of the code: a path relative to the template, or a directory in the bucket of this machine.
fn code_dir(
    properties: &mut Properties<'_>,
    name: &str,
    [bucket, key]: [&str; 2],
    dir: &Path,
) -> Result<Option<PathBuf>, TemplateError> {
    let path = properties.at(name);
    let not_here = |what: &str| TemplateError::at(&path, format!("{what}: a directory of this machine is expected"));
    match properties.value(name)? {
        None => Ok(None),
        Some(Value::Map(pairs)) => {
            let member = |name: &str| {
                let value = pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                value.and_then(Value::as_text).and_then(|text| text.as_literal())
            };
            match (member(bucket), member(key)) {
                (Some(bucket), Some(key)) if bucket == LOCAL_BUCKET && Path::new(&key).is_absolute() => {
                    Ok(Some(PathBuf::from(key)))
                }
                (Some(bucket), _) if bucket == LOCAL_BUCKET => Err(not_here("the key is no absolute path")),
                (Some(bucket), _) => Err(not_here(&format!("the code is in the bucket {bucket}"))),
                _ => Err(not_here("code in the template, or in an image, is not supported")),
            }
        }
        Some(value) => {
            let text = value.as_text().and_then(|text| text.as_literal()).ok_or_else(|| not_here(&value.brief()))?;
            if text.contains("://") {
                return Err(not_here(&format!("the code is at {text}")));
            }
            let relative = text.strip_prefix("./").unwrap_or(&text);
            Ok(Some(if relative.is_empty() || relative == "." { dir.to_owned() } else { dir.join(relative) }))
        }
    }
}
