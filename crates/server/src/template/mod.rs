//! Templates: SAM and plain CloudFormation, YAML and JSON, read into a plain `Plan` of tables, functions and mappings.
//!
//! Invariants
//! - A property of a supported resource is used, known to be without effect here, named in `Plan::skipped`, or - where
//!   it would change which records are delivered or how data is kept - an error that names its path. None is ignored in
//!   silence.
//! - A resource of a type that is not supported is named in one line and skipped; a reference to it is an error.
//! - The plan depends on the text and the options alone; only `read` and `find` touch the disk.
//!
//! What it does not do: it creates nothing, knows no earlier state, runs no macros, and fetches no code from a bucket.
//! A resource without a name of its own is named by its logical id, so that the name is the same at every start.

mod function;
mod json;
mod mapping;
mod node;
mod parameter;
mod plan;
mod properties;
mod resolve;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use node::Format;
pub use plan::{
    AttributeType, FunctionPlan, KeyType, MappingPlan, Part, Plan, Source, TablePlan, Text, Units, ViewType,
};

use node::Node;
use resolve::Resolver;

/// The largest template, bytes. Source: CloudFormation's limit of a template in a bucket.
pub const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            stack_name: "tailrace".to_owned(),
            parameters: BTreeMap::new(),
        }
    }
}

/// Why a template cannot be used: one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A directory without a template.
    #[error("no template in {}: looked for {}", .0.display(), NAMES.join(", "))]
    NotFound(PathBuf),
    /// A file that cannot be read.
    #[error("cannot read the template {}: {}", path.display(), source)]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text that is no YAML, or no JSON.
    #[error("the template{} is malformed: {message}", .file.as_ref().map(|file| format!(" {}", file.display())).unwrap_or_default())]
    Malformed {
        /// The file, where it was read from one.
        file: Option<PathBuf>,
        /// What is wrong, with the line.
        message: String,
    },
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
    fn at(path: impl Into<String>, message: impl Into<String>) -> TemplateError {
        TemplateError::At { path: path.into(), message: message.into() }
    }
}

/// Where a template is looked for in a directory; what `sam build` made comes first.
const NAMES: &[&str] = &[".aws-sam/build/template.yaml", "template.yaml", "template.yml", "template.json"];

/// The template of a directory.
pub fn find(dir: &Path) -> Result<PathBuf, TemplateError> {
    NAMES
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| TemplateError::NotFound(dir.to_owned()))
}

/// Reads the template file `path`. Directories of code are relative to the file, and absolute in the plan: the data
/// directory keeps them, and a later start may have another working directory.
pub fn read(path: &Path, options: &Options) -> Result<Plan, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    if path.metadata().map_err(unreadable)?.len() > TEMPLATE_BYTES_MAX {
        let source = std::io::Error::other(format!("it is larger than {TEMPLATE_BYTES_MAX} bytes"));
        return Err(unreadable(source));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let format = match path.extension() {
        Some(extension) if extension == "json" => Format::Json,
        _ => Format::Yaml,
    };
    let dir = absolute.parent().unwrap_or(Path::new("/"));
    let plan = parse(&text, format, dir, options).map_err(|error| match error {
        TemplateError::Malformed { message, .. } => TemplateError::Malformed { file: Some(path.to_owned()), message },
        error => error,
    })?;
    for function in &plan.functions {
        check_code(function)?;
    }
    Ok(plan)
}

/// The directory of a function's code is there. Known at start, not at the first record.
fn check_code(function: &FunctionPlan) -> Result<(), TemplateError> {
    let dir = &function.code_dir;
    let shown = dir.display();
    let message = match dir.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) if dir.extension().is_some_and(|extension| extension == "zip") => {
            format!("zip archives are not supported yet; give the directory instead of {shown}")
        }
        Ok(_) => format!("{shown} is a file; give the directory of the code"),
        Err(error) => format!("the directory of the code cannot be used: {shown}: {error}"),
    };
    Err(TemplateError::at(&function.code_path, message))
}

/// Reads a template's text; `dir` is what directories of code are relative to.
pub fn parse(text: &str, format: Format, dir: &Path, options: &Options) -> Result<Plan, TemplateError> {
    let malformed = |message| TemplateError::Malformed { file: None, message };
    let template = Node::parse(text, format).map_err(malformed)?;
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
            "AWS::Lambda::EventSourceMapping" => {
                plan.mappings.push(mapping::resource(&resolver, id, resource)?);
            }
            other => resolver.skip(&path, format_args!("{other} is not supported; skipped")),
        }
    }
    plan.check(&resolver)?;
    plan.skipped = resolver.skipped();
    Ok(plan)
}
