//! Template files: where they are found, and that the code that they name is there. What is in them is read by the crate
//! `tailrace-template`, which knows no disk.

mod assembly;
mod find;
mod nearby;
mod objects;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use find::{ALL_STACKS, DATA_DIRECTORY, Found, find, find_all, home_of};
use tailrace_core::code::CodeSource;
use tailrace_core::limits::{TEMPLATE_BYTES_MAX, TERRAFORM_BYTES_MAX};
pub use tailrace_template::*;

use crate::buckets::not_here;
use crate::code::Code;
use crate::files;
use objects::Objects;

/// The templates that are started: one, or the stacks of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    /// Those that are started, each behind those on which it depends.
    pub chosen: Vec<StackFile>,
    /// Others of the same app.
    pub others: Vec<StackFile>,
}

impl Templates {
    /// One template.
    pub fn one(file: impl Into<PathBuf>) -> Templates {
        Templates { chosen: vec![find::named(file.into())], others: Vec::new() }
    }

    /// The files of those that are started.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.chosen.iter().map(|stack| stack.file.as_path())
    }

    /// Adds those of another app. A stack whose name is taken gets another one.
    pub fn add(&mut self, more: Templates) {
        for mut stack in more.chosen {
            let name = stack.name.clone();
            let mut n = 1;
            while self.chosen.iter().any(|other| other.name == stack.name) {
                n += 1;
                stack.name = format!("{name}-{n}");
                stack.stack_name.clone_from(&stack.name);
            }
            self.chosen.push(stack);
        }
        self.others.extend(more.others);
    }
}

/// Why a template file cannot be used: one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum TemplateFileError {
    /// A directory without a template.
    #[error("no template in {}: looked for {}{}", dir.display(), find::NAMES.join(", "), behind(hint.as_deref()))]
    NotFound {
        /// The directory.
        dir: PathBuf,
        /// What makes one of what is there.
        hint: Option<String>,
    },
    /// A cloud assembly with several stacks, of which none is chosen, or not with that one.
    #[error("{}", of_stacks(dir, stacks, wanted.as_deref()))]
    Stacks {
        /// The assembly.
        dir: PathBuf,
        /// The stacks that it has.
        stacks: Vec<String>,
        /// The one that was asked for.
        wanted: Option<String>,
    },
    /// A stack was asked for, and what there is is one template.
    #[error("--stack {stack} chooses among the stacks of a cdk.out, and {} is one template", path.display())]
    NoStacks {
        /// The template.
        path: PathBuf,
        /// What was asked for.
        stack: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the template {}: {}", path.display(), source)]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is something else, of which a tool can make a template.
    #[error("{} is no template, but {what}", path.display())]
    Else {
        /// The file.
        path: PathBuf,
        /// What it is, and what makes a template of it.
        what: String,
    },
    /// A text that is no YAML, or no JSON.
    #[error("the template {} is malformed: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// Something at a place in the template.
    #[error(transparent)]
    Content(TemplateError),
}

/// Why a file of parameters cannot be used, for the user; which file it is, whoever names it tells.
#[derive(Debug, thiserror::Error)]
pub enum ParametersFileError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// What it says is wrong.
    #[error(transparent)]
    Content(#[from] ParameterError),
}

fn behind(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

fn of_stacks(dir: &Path, stacks: &[String], wanted: Option<&str>) -> String {
    let (dir, names) = (dir.display(), stacks.join(", "));
    match wanted {
        _ if stacks.is_empty() => format!("{dir} has no stack"),
        Some(wanted) => format!("{dir} has no stack {wanted}: it has {names}"),
        None => format!(
            "{dir} has {} stacks: choose with --stack, which may be repeated and takes patterns, or all of them with \
             --all-stacks: {names}",
            stacks.len()
        ),
    }
}

/// Reads templates. Directories of code are relative to their files, and absolute in the plan: the data directory keeps
/// them, and a later start may have another working directory.
pub fn read(templates: &Templates, options: &Options) -> Result<Plan, TemplateFileError> {
    let stacks: Vec<Stack> = templates.chosen.iter().map(stack).collect::<Result<_, _>>()?;
    let absolute = |other: &StackFile| {
        let file = std::path::absolute(&other.file).unwrap_or_else(|_| other.file.clone());
        StackFile { file, ..other.clone() }
    };
    let others: Vec<StackFile> = templates.others.iter().map(absolute).collect();
    let mut plan = parse_stacks(&stacks, &others, options).map_err(|error| match error {
        TemplateError::Malformed(message) => {
            let path = templates.files().next().unwrap_or(Path::new("")).to_owned();
            TemplateFileError::Malformed { path, message }
        }
        TemplateError::At { path, message } => {
            let line = line(&stacks, &path).map(|line| format!(" (line {line})")).unwrap_or_default();
            TemplateFileError::Content(TemplateError::at(path, message + &line))
        }
    })?;
    // First: what does not run is what a person wants to know most.
    let not_run = plan.not_run.iter().map(|one| format!("{one} [{}]", Code::TemplateContent));
    plan.skipped.splice(0..0, not_run.collect::<Vec<_>>());
    let mut dirs: Vec<PathBuf> = Vec::new();
    let inside = plan.files.iter().filter_map(|file| file.parent());
    for dir in stacks.iter().map(|stack| stack.dir.as_path()).chain(inside) {
        if !dirs.iter().any(|other| other == dir) {
            dirs.push(dir.to_owned());
        }
    }
    let objects = Objects::of(dirs, &options.resources);
    let is_terraform = stacks.iter().any(|stack| is_terraform(stack.text.as_bytes()));
    let mut failed = Vec::new();
    for function in &mut plan.functions {
        if let Err(why) = check_code(&objects, &mut function.code, options.fetches) {
            let is_not_built = is_terraform && matches!(&function.code, CodeSource::Path(path) if !path.exists());
            let hint = if is_not_built { NOT_BUILT } else { "" };
            let message = format!("function {}: {why}{hint}", function.name);
            failed.push((function.name.clone(), TemplateError::at(&function.code_path, message)));
        }
    }
    for (name, why) in failed {
        if plan.is_mapped(&name) {
            return Err(TemplateFileError::Content(why));
        }
        plan.functions.retain(|function| function.name != name);
        plan.skipped.push(not_registered(why));
    }
    for layer in &mut plan.layers {
        let is_used = plan.functions.iter().any(|function| function.layers.iter().any(|used| used.arn == layer.arn));
        match check_code(&objects, &mut layer.content, options.fetches) {
            Err(why) if is_used => return Err(TemplateFileError::Content(TemplateError::at(&layer.content_path, why))),
            _ => {}
        }
    }
    plan.skipped.extend(told_of_parameters_beside(options));
    Ok(plan)
}

/// Reads the text of a template.
fn stack(file: &StackFile) -> Result<Stack, TemplateFileError> {
    let StackFile { name, stack_name, file: path } = file;
    let unreadable = |source| TemplateFileError::Unreadable { path: path.clone(), source };
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let bytes = files::read_bounded(path, bytes_max).map_err(unreadable)?;
    if let Some(what) = nearby::instead_of_template(path, &bytes) {
        return Err(TemplateFileError::Else { path: path.clone(), what });
    }
    let text = files::text(bytes).map_err(unreadable)?;
    let (name, stack_name, format) = (name.clone(), stack_name.clone(), Format::of(path, &text));
    Ok(Stack { name, stack_name, format, text, dir: absolute.parent().unwrap_or(Path::new("/")).to_owned() })
}

/// Most bytes of a template that begins so: what Terraform writes says in the beginning that it is Terraform's.
fn bytes_max(beginning: &[u8]) -> u64 {
    // As it is without `show -json` it is read to be told.
    let is_told = beginning.starts_with(nearby::ZIP) || beginning.starts_with(b"{\"@level\"");
    if is_told || is_terraform(beginning) { TERRAFORM_BYTES_MAX } else { TEMPLATE_BYTES_MAX }
}

/// What Terraform writes says so.
fn is_terraform(beginning: &[u8]) -> bool {
    let beginning = &beginning[..beginning.len().min(BEGINNING)];
    String::from_utf8_lossy(beginning).contains("\"terraform_version\"")
}

/// The beginning of a template, bytes, that says whose it is.
const BEGINNING: usize = 4096;

/// What is told of an archive that a configuration of Terraform names and that is not there.
const NOT_BUILT: &str = "; what the configuration builds is there behind `terraform apply` (alone, for the module \
                         terraform-aws-modules/lambda: `terraform apply -target module.NAME.null_resource.archive`)";

/// The line of a place in one of these templates; of several the place begins with the name of one.
fn line(stacks: &[Stack], place: &str) -> Option<usize> {
    if let [stack] = stacks {
        return line_of(&stack.text, place);
    }
    stacks.iter().find_map(|stack| line_of(&stack.text, place.strip_prefix(stack.name.as_str())?.strip_prefix(": ")?))
}

/// What is to be told of a file of parameters beside the template, which is not read by itself: that it has values which nothing
/// else gives, or that it could not be read either.
fn told_of_parameters_beside(options: &Options) -> Option<String> {
    let file = options.parameters_file_beside.as_deref()?;
    let values = match read_parameters(Path::new(file), CONFIG_ENVIRONMENT) {
        Ok(values) => values,
        Err(why) => {
            return Some(format!("{file} beside the template is not read by itself, nor could it be: {why}"));
        }
    };
    let is_given =
        |name: &String| options.parameters.contains_key(name) || options.shared_parameters.contains_key(name);
    let names: Vec<&str> = values.keys().filter(|name| !is_given(name)).map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("{file} beside the template is not read by itself: --parameters-file {file} takes its values ({names})")
    })
}

/// Files in which `sam` keeps the values of parameters.
const PARAMETERS_FILES: [&str; 3] = ["samconfig.toml", "samconfig.yaml", "samconfig.yml"];

/// The file of parameters that lies beside a template, or beside the directory in which `sam build` put it.
pub fn parameters_file_beside(template: &Path) -> Option<String> {
    let dir = template.parent()?;
    let built = dir.ends_with(".aws-sam/build").then(|| dir.parent()?.parent()).flatten();
    let mut dirs = std::iter::once(dir).chain(built);
    let file = dirs.find_map(|dir| PARAMETERS_FILES.iter().map(|name| dir.join(name)).find(|file| file.is_file()))?;
    Some(file.display().to_string())
}

/// The file of this machine that an object of a bucket is, as seen from a template in this directory: see
/// [`Options::locate`].
///
/// # Errors
/// A bucket that is a directory has no such file.
pub fn locate(
    dir: &Path,
    resources: &BTreeMap<String, String>,
    source: &CodeSource,
) -> Result<CodeSource, LocateError> {
    Objects::of(vec![dir.to_owned()], resources).locate(source)
}

/// Reads a file that a template includes; it is bounded as a template is.
///
/// # Errors
/// It cannot be read, is no regular file, or is too large.
pub fn read_included(path: &Path) -> std::io::Result<String> {
    files::read_regular(path, TEMPLATE_BYTES_MAX).and_then(files::text)
}

/// The values of parameters in a file; of one of SAM's those of this environment.
///
/// # Errors
/// It cannot be read, or what is wrong with it.
pub fn read_parameters(path: &Path, environment: &str) -> Result<BTreeMap<String, String>, ParametersFileError> {
    let text = files::read_at_most(path, TEMPLATE_BYTES_MAX).and_then(files::text)?;
    Ok(parameters_of_file(path, &text, environment)?)
}

/// Finds the objects of buckets, and that there is something where the code is said to be. Known at start, not at the first
/// record.
fn check_code(objects: &Objects<'_>, source: &mut CodeSource, fetches: bool) -> Result<(), String> {
    *source = objects.locate(source).map_err(|LocateError(why)| why)?;
    match source {
        CodeSource::Path(path) => match path.metadata() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the code cannot be used: {}: {error}", path.display())),
        },
        // Whether it can be had is found where it is fetched.
        CodeSource::Object { .. } if fetches => Ok(()),
        CodeSource::Inline { .. } => Ok(()),
        CodeSource::Object { bucket, key } => Err(not_here(bucket, key)),
    }
}
