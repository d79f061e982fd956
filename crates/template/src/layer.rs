//! Layers: `AWS::Serverless::LayerVersion`, `AWS::Lambda::LayerVersion`, and the list by which a function names them.

use std::path::Path;

use crate::TemplateError;
use crate::code::{CONTENT, CONTENT_URI};
use crate::node::Node;
use crate::plan::{LayerPlan, LayerUse, Plan};
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::value::Value;

const WITHOUT_EFFECT: &[&str] = &[
    "CompatibleArchitectures",
    "CompatibleRuntimes",
    "Description",
    "LayerName",
    "LicenseInfo",
    "PublishLambdaVersion",
    "RetentionPolicy",
];

/// A layer of either kind.
pub(crate) fn layer(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
    kind: &str,
    dir: &Path,
) -> Result<LayerPlan, TemplateError> {
    let (form, globals, property) = match kind {
        "AWS::Serverless::LayerVersion" => (&CONTENT_URI, resolver.globals("LayerVersion", resource), "ContentUri"),
        _ => (&CONTENT, None, "Content"),
    };
    let mut properties = Properties::of(resolver, id, resource, globals.as_ref())?;
    properties.without_effect(WITHOUT_EFFECT);
    let content = form.source(&mut properties, resource, "", dir)?.ok_or_else(|| properties.missing(property))?;
    let content_path = properties.at(property);
    properties.finish();
    let name = resolver.name_of(id, resource, "LayerName")?;
    Ok(LayerPlan { logical_id: resolver.global(id), arn: resolver.layer_arn(&name), content, content_path })
}

/// The layers that a function names, in its order.
pub(crate) fn used(properties: &mut Properties<'_>) -> Result<Vec<LayerUse>, TemplateError> {
    let path = properties.at("Layers");
    let list = match properties.value("Layers")? {
        None => return Ok(Vec::new()),
        Some(Value::List(list)) => list,
        Some(other) => return Err(TemplateError::at(path, format!("a list is expected, not {}", other.brief()))),
    };
    let mut used = Vec::with_capacity(list.len());
    for (n, value) in list.iter().enumerate() {
        let path = format!("{path}.{n}");
        match value.as_literal() {
            Some(arn) => used.push(LayerUse { arn, path }),
            None => {
                let message = format!("the ARN of a layer's version is expected, not {}", value.brief());
                return Err(TemplateError::at(path, message));
            }
        }
    }
    Ok(used)
}

/// Names and leaves out the layers that the template does not make: they are on AWS, and what a function needs of them has to
/// be in its code.
pub(crate) fn only_those_here(plan: &mut Plan) {
    let Plan { functions, layers, skipped, .. } = plan;
    for function in functions {
        function.layers.retain(|used| {
            let is_here = layers.iter().any(|layer| layer.arn == used.arn);
            if !is_here {
                let arn = &used.arn;
                let why = match install(arn) {
                    Some(command) => format!("is not here: `{command}` in the directory of the code puts it there"),
                    None => "is not here: what the function needs of it has to be among its code".to_owned(),
                };
                let line = format!("{}: the layer {arn} {why}", used.path);
                if !skipped.contains(&line) {
                    skipped.push(line);
                }
            }
            is_here
        });
    }
}

/// What puts the content of a public layer beside the code.
fn install(arn: &str) -> Option<&'static str> {
    let layers = [
        ("AWSLambdaPowertoolsPython", "pip install -t . aws-lambda-powertools"),
        (
            "AWSLambdaPowertoolsTypeScript",
            "npm install @aws-lambda-powertools/logger @aws-lambda-powertools/tracer @aws-lambda-powertools/metrics",
        ),
        ("AWSSDKPandas", "pip install -t . awswrangler"),
    ];
    layers.iter().find(|(name, _)| arn.contains(name)).map(|(_, command)| *command)
}
