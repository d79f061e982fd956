//! `AWS::Serverless::Function` with its events, and `AWS::Lambda::Function`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tailrace_core::FunctionArn;

use tailrace_core::limits;

use crate::TemplateError;
use crate::mapping;
use crate::node::Node;
use crate::plan::{FunctionPlan, Plan};
use crate::properties::Properties;
use crate::resolve::{Resolver, Value};

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

pub(crate) fn serverless(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
    dir: &Path,
    plan: &mut Plan,
) -> Result<(), TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, resolver.globals("Function"))?;
    let code = (
        properties.at("CodeUri"),
        code_dir(&mut properties, "CodeUri", ["Bucket", "Key"], dir)?.unwrap_or_else(|| dir.to_owned()),
    );
    let events = properties.map("Events")?;
    let function = common(resolver, id, resource, properties, code)?;
    if let Some(mut events) = events {
        for name in events.entries() {
            let Some(mut event) = events.map(&name)? else { continue };
            match event.required_text("Type")?.as_str() {
                "DynamoDB" => {
                    let properties = event.map("Properties")?.ok_or_else(|| event.missing("Properties"))?;
                    let logical_id = format!("{id}{name}");
                    plan.mappings.push(mapping::event(&logical_id, &function, properties)?);
                    event.finish();
                }
                other => {
                    let why = format!("events of type {other} are not supported; skipped");
                    events.skip(&name, &why);
                }
            }
        }
    }
    plan.functions.push(function);
    Ok(())
}

pub(crate) fn lambda(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
    dir: &Path,
    plan: &mut Plan,
) -> Result<(), TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    let code_dir = code_dir(&mut properties, "Code", ["S3Bucket", "S3Key"], dir)?;
    let code = (properties.at("Code"), code_dir.ok_or_else(|| properties.missing("Code"))?);
    plan.functions.push(common(resolver, id, resource, properties, code)?);
    Ok(())
}

/// What both kinds of function have.
fn common(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
    mut properties: Properties<'_>,
    (code_path, code_dir): (String, PathBuf),
) -> Result<FunctionPlan, TemplateError> {
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
    let timeout_s = properties.integer("Timeout", 1, i64::from(limits::FUNCTION_TIMEOUT_MAX_S))?;
    let (memory_min, memory_max) = (limits::FUNCTION_MEMORY_MIN_MB, limits::FUNCTION_MEMORY_MAX_MB);
    let memory_mb = properties.integer("MemorySize", i64::from(memory_min), i64::from(memory_max))?;
    let reserved = properties.integer("ReservedConcurrentExecutions", 0, i64::from(u32::MAX))?;
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
    let name = resolver.name_of(id, resource, "FunctionName")?;
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
