//! Templates: SAM and plain CloudFormation, YAML and JSON, and what `terraform show -json` writes, read into a plain [`Plan`]
//! of tables, functions and mappings, and a list of what was not understood.
//!
//! Invariants
//! - A property of a supported resource is used, known to be without effect here, named in `Plan::skipped`, or - where
//!   it would change which records are delivered or how data is kept - an error that names its path. None is ignored in
//!   silence.
//! - Resources of a type that is not supported are named in one line a type, and skipped. What refers to one gets a stand-in,
//!   which is named where it is used, or what the user gives for it.
//! - A function that no mapping uses never stops the reading, and neither does one that cannot run here (`Plan::not_run`).
//! - The plan depends on the text, the directory's name and the options alone; files that a template includes are read by a
//!   function of the options.
//!
//! What it does not do: it creates nothing, knows no earlier state, runs no macros, and fetches no code from a bucket.
//! A resource without a name of its own is named by its logical id, so that the name is the same at every start.

mod amplify;
mod app;
mod cidr;
mod code;
mod delivery_stream;
mod document;
mod filters;
mod foreach;
mod function;
mod given;
mod global_table;
mod indexes;
mod intrinsics;
mod json;
mod layer;
mod locate;
mod mapping;
mod names;
mod node;
mod parameter;
mod pipe;
mod plan;
mod properties;
mod read;
mod resolve;
mod settings;
mod stack;
mod standin;
mod suggest;
mod table;
mod terraform;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use tailrace_core::code::CodeSource;

pub use app::{STACKS_TOGETHER_MAX, Stack, StackFile};
pub use document::document;
pub use given::{CONFIG_ENVIRONMENT, ParameterError, parameter_pairs, parameters_of_file};
pub use locate::line_of;
pub use node::Format;
pub use plan::{
    DeliveryStreamPlan, FunctionPlan, InsightsPlan, KinesisPlan, LayerPlan, LayerUse, MappingPlan, NotRun, Plan,
    SinkPlan, Source, TablePlan, TableSettings, table_of,
};
pub use read::{not_registered, parse_stacks};
pub use suggest::did_you_mean;
pub use text::{Origin, Part, StandIn, Text};

/// What a template is read with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`.
    pub account_id: String,
    /// `AWS::StackName`.
    pub stack_name: String,
    /// Values that override the defaults of parameters, each of a parameter that is there.
    pub parameters: BTreeMap<String, String>,
    /// Values from a place that may have some for other templates; those above go before.
    pub shared_parameters: BTreeMap<String, String>,
    /// A file beside the template that looks like one of parameters, and is not read: for an error's hint.
    pub parameters_file_beside: Option<String>,
    /// What only AWS would know: `Id` (what Ref gives), `Id.Attribute` (GetAtt), `import:EXPORT`, `output:STACK.OUTPUT`, `ssm:NAME`,
    /// `secretsmanager:ID` or `secretsmanager:ID:KEY`.
    pub resources: BTreeMap<String, String>,
    /// Reads a file that the template includes.
    pub read: fn(&Path) -> std::io::Result<String>,
    /// Finds the file of this machine that a template inside of the template is.
    pub locate: Locate,
    /// Code that is an object of a bucket, and no file of this machine, is fetched afterwards: it stays what it is.
    pub fetches: bool,
    /// The changes of tables can be brought to Kinesis data streams.
    pub delivers_to_kinesis: bool,
}

/// Finds what a source is on this machine: from the template's directory, what was given for resources, and what the template
/// says. An object that is not here stays what it is.
pub type Locate = fn(&Path, &BTreeMap<String, String>, &CodeSource) -> Result<CodeSource, LocateError>;

/// A source is said to be a file of this machine, and there can be no such file: what is wrong, for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LocateError(pub String);

impl Options {
    /// The value that was given for a parameter.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).or_else(|| self.shared_parameters.get(name)).map(String::as_str)
    }

    pub(crate) fn gives(&self, name: &str) -> bool {
        self.given(name).is_some()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            stack_name: "tailrace".to_owned(),
            parameters: BTreeMap::new(),
            shared_parameters: BTreeMap::new(),
            parameters_file_beside: None,
            resources: BTreeMap::new(),
            read: |_| Err(std::io::Error::from(std::io::ErrorKind::Unsupported)),
            locate: |_, _, source| Ok(source.clone()),
            fetches: false,
            delivers_to_kinesis: false,
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

    /// The same, with what has led to it.
    pub(crate) fn because(self, why: &str) -> TemplateError {
        match self {
            TemplateError::At { path, message } => TemplateError::at(path, format!("{message}: {why}")),
            malformed @ TemplateError::Malformed(_) => malformed,
        }
    }

    /// The same, in a template of this name among others.
    pub(crate) fn within(self, template: &str) -> TemplateError {
        match self {
            TemplateError::At { path, message } => TemplateError::at(format!("{template}: {path}"), message),
            TemplateError::Malformed(why) => TemplateError::at(template, format!("the template is malformed: {why}")),
        }
    }
}
