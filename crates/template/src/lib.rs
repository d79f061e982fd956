//! Templates: SAM and plain CloudFormation, YAML and JSON, read into a plain [`Plan`] of tables, functions and mappings,
//! and a list of what was not understood.
//!
//! Invariants
//! - A property of a supported resource is used, known to be without effect here, named in `Plan::skipped`, or - where
//!   it would change which records are delivered or how data is kept - an error that names its path. None is ignored in
//!   silence.
//! - A resource of a type that is not supported is named in one line and skipped; a reference to it is an error.
//! - The plan depends on the text, the directory's name and the options alone: nothing here reads a file.
//!
//! What it does not do: it creates nothing, knows no earlier state, runs no macros, and fetches no code from a bucket.
//! A resource without a name of its own is named by its logical id, so that the name is the same at every start.

mod code;
mod function;
mod indexes;
mod json;
mod layer;
mod mapping;
mod node;
mod parameter;
mod plan;
mod properties;
mod resolve;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

pub use node::Format;
pub use plan::{
    FunctionPlan, InsightsPlan, KinesisPlan, LayerPlan, LayerUse, MappingPlan, Part, Plan, Source, TablePlan,
    TableSettings, Text,
};

use node::Node;
use resolve::Resolver;

/// What a template is read with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`.
    pub account_id: String,
    /// `AWS::StackName`.
    pub stack_name: String,
    /// Values that override the defaults of parameters.
    pub parameters: BTreeMap<String, String>,
    /// What stands for resources that are not made here. A bucket that holds code is a directory of this machine.
    pub resources: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            stack_name: "tailrace".to_owned(),
            parameters: BTreeMap::new(),
            resources: BTreeMap::new(),
        }
    }
}

/// Why a template cannot be used: one line for the user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A text that is no YAML, or no JSON: what is wrong, with the line.
    #[error("the template is malformed: {0}")]
    Malformed(String),
    /// Something at a place in the template.
    #[error("{path}: {message}")]
    At {
        /// The place: `Resources.X.Properties.Y`.
        path: String,
        /// What is wrong there.
        message: String,
    },
}

impl TemplateError {
    /// Something at this place.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> TemplateError {
        TemplateError::At { path: path.into(), message: message.into() }
    }
}

/// Reads a template's text: the way in. `dir` is what directories of code are relative to.
pub fn parse(text: &str, format: Format, dir: &Path, options: &Options) -> Result<Plan, TemplateError> {
    let template = Node::parse(text, format)?;
    let resolver = Resolver::new(&template, options)?;
    let mut plan = Plan::default();
    for transform in template.get("Transform").into_iter().flat_map(Node::one_or_many) {
        match transform {
            Node::Text(name) if name == "AWS::Serverless-2016-10-31" => {}
            other => resolver.skip("Transform", format_args!("{} is not applied", other.brief())),
        }
    }
    for (id, resource) in resolver.resources() {
        let path = format!("Resources.{id}");
        let Some(Node::Text(kind)) = resource.get("Type") else {
            return Err(TemplateError::at(path, "there is no Type"));
        };
        if let Some(condition) = resource.get("Condition") {
            let at = format!("{path}.Condition");
            let Node::Text(name) = condition else {
                return Err(TemplateError::at(at, "the name of a condition is expected"));
            };
            if !resolver.condition(name, &at)? {
                continue;
            }
        }
        match kind.as_str() {
            "AWS::DynamoDB::Table" => plan.tables.push(table::table(&resolver, id, resource)?),
            "AWS::Serverless::SimpleTable" => {
                plan.tables.push(table::simple_table(&resolver, id, resource)?);
            }
            "AWS::Serverless::Function" => function::serverless(&resolver, id, resource, dir, &mut plan)?,
            "AWS::Lambda::Function" => function::lambda(&resolver, id, resource, dir, &mut plan)?,
            "AWS::Serverless::LayerVersion" | "AWS::Lambda::LayerVersion" => {
                plan.layers.push(layer::layer(&resolver, id, resource, kind, dir)?);
            }
            "AWS::Lambda::LayerVersionPermission" => {}
            "AWS::Lambda::EventSourceMapping" => {
                plan.mappings.push(mapping::resource(&resolver, id, resource)?);
            }
            other => resolver.skip(&path, format_args!("{other} is not supported; skipped")),
        }
    }
    layer::only_those_here(&mut plan, &resolver);
    plan.check(&resolver)?;
    plan.skipped = resolver.skipped();
    Ok(plan)
}
