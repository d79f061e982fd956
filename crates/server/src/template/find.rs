//! Finds the template of what `up` is given: a file, a project's directory, or the directory that a build tool wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tailrace_core::limits::FUNCTION_CODE_ENTRIES_MAX;

use super::assembly::{self, Stack};
use super::nearby;
use super::{StackFile, TemplateFileError, Templates};
use crate::files;

/// Where a template is looked for in a directory, in this order: what `sam build` made, then what people write, then what
/// the CDK, Serverless, Terraform and Amplify made. A `manifest.json` counts if it is that of a cloud assembly.
pub(super) const NAMES: [&str; 10] = [
    SAM_BUILT,
    "template.yaml",
    "template.yml",
    "template.json",
    assembly::MANIFEST,
    "cdk.out/manifest.json",
    SERVERLESS,
    ".serverless/cloudformation-template-update-stack.json",
    TERRAFORM,
    AMPLIFY,
];

/// What Amplify made of a backend of its second generation.
const AMPLIFY: &str = ".amplify/artifacts/cdk.out/manifest.json";

const SAM_BUILT: &str = ".aws-sam/build/template.yaml";
const SERVERLESS: &str = "cloudformation-template-update-stack.json";

/// What `terraform show -json` wrote, under the name that the hint gives it.
const TERRAFORM: &str = "tfplan.json";

/// The data directory of a project, unless another one is named.
pub const DATA_DIRECTORY: &str = ".tailrace";

/// Where a template is looked for beside the file that a tool makes one from.
const BUILT: [&str; 4] =
    ["cdk.out/manifest.json", ".serverless/cloudformation-template-update-stack.json", TERRAFORM, AMPLIFY];

/// Directories of build tools, which come and go, and the command that makes each: what is to stay lies in the directory
/// around them.
const BUILD_DIRECTORIES: [(&str, &str); 4] = [
    (".aws-sam/build", "sam build"),
    // Before what it ends with.
    (".amplify/artifacts/cdk.out", "npx ampx sandbox"),
    ("cdk.out", "cdk synth"),
    (".serverless", "serverless package"),
];

/// The pattern that all stacks of an app match.
pub const ALL_STACKS: &str = "**";

/// Templates that were found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Their files.
    pub templates: Templates,
    /// The project's directory, in which the data directory lies.
    pub home: PathBuf,
    /// What the user should know of it, one line each.
    pub notices: Vec<String>,
}

/// Finds the template of a file or a directory; `wanted` chooses among those of a cloud assembly: names, or patterns of what is
/// shown, in which `*` is anything but `/`, and `**` anything.
///
/// # Errors
/// There is none, or there are several and none is chosen.
pub fn find(path: &Path, wanted: &[String]) -> Result<Found, TemplateFileError> {
    let mut found = match nearby::project_of(path) {
        Some(dir) if path.is_file() => among(&BUILT, dir, wanted)?,
        _ => found_at(path, wanted)?,
    };
    // What one tool has built at once is told once.
    found.notices.extend(found.templates.chosen.iter().find_map(|stack| stale_build(&stack.file)));
    Ok(found)
}

fn found_at(path: &Path, wanted: &[String]) -> Result<Found, TemplateFileError> {
    if path.is_file() {
        let dir = files::directory_of(path);
        if path.file_name().is_some_and(|name| name == assembly::MANIFEST)
            && let Some(stacks) = assembly::stacks(dir)
        {
            return of_assembly(dir, stacks, wanted);
        }
        return Ok(Found { templates: Templates::one(path), home: home_of(dir), notices: Vec::new() });
    }
    among(&NAMES, path, wanted)
}

/// The template of a directory under the first of these names that is there.
fn among(names: &[&str], path: &Path, wanted: &[String]) -> Result<Found, TemplateFileError> {
    for name in names {
        let template = path.join(name);
        if !template.is_file() {
            continue;
        }
        let dir = template.parent().unwrap_or(path);
        if name.ends_with(assembly::MANIFEST) {
            match assembly::stacks(dir) {
                Some(stacks) => return of_assembly(dir, stacks, wanted),
                None => continue,
            }
        }
        if let Some(stack) = wanted.iter().find(|stack| *stack != ALL_STACKS) {
            return Err(TemplateFileError::NoStacks { path: template, stack: stack.clone() });
        }
        return Ok(Found { templates: Templates::one(template), home: home_of(path), notices: Vec::new() });
    }
    Err(TemplateFileError::NotFound { dir: path.to_owned(), hint: nearby::hint(path) })
}

/// Finds the templates of several files and directories; home is the project of the first.
///
/// # Errors
/// As for each.
pub fn find_all(paths: &[PathBuf], wanted: &[String]) -> Result<Found, TemplateFileError> {
    let mut all = Found { templates: Templates::default(), home: PathBuf::new(), notices: Vec::new() };
    for (n, path) in paths.iter().enumerate() {
        let found = find(path, wanted)?;
        if n == 0 {
            all.home = found.home;
        }
        all.templates.add(found.templates);
        all.notices.extend(found.notices);
    }
    Ok(all)
}

fn of_assembly(dir: &Path, stacks: Vec<Stack>, wanted: &[String]) -> Result<Found, TemplateFileError> {
    let failed = |wanted: Option<&String>| {
        let stacks = stacks.iter().map(|stack| stack.shown.clone()).collect();
        Err(TemplateFileError::Stacks { dir: dir.to_owned(), stacks, wanted: wanted.cloned() })
    };
    if wanted.is_empty() && stacks.len() != 1 {
        return failed(None);
    }
    let mut names = BTreeSet::new();
    for one in wanted {
        let chosen = assembly::chosen(&stacks, one);
        if chosen.is_empty() {
            return failed(Some(one));
        }
        names.extend(chosen.into_iter().map(|stack| stack.shown.clone()));
    }
    let is_chosen = |stack: &Stack| wanted.is_empty() || names.contains(&stack.shown);
    let (chosen, others): (Vec<Stack>, Vec<Stack>) = assembly::in_order(stacks).into_iter().partition(is_chosen);
    let files = |stacks: Vec<Stack>| stacks.into_iter().map(StackFile::from).collect();
    let templates = Templates { chosen: files(chosen), others: files(others) };
    Ok(Found { templates, home: home_of(dir), notices: Vec::new() })
}

/// A template that is no part of an app, as a stack: it is called as its file is, or as the project is where that is called as all are.
pub(super) fn named(file: PathBuf) -> StackFile {
    let text = |name: Option<&std::ffi::OsStr>| name.map(|name| name.to_string_lossy().into_owned());
    let stem = text(file.file_name()).unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
    let dir = files::directory_of(&file);
    let is_usual = NAMES.iter().any(|name| Path::new(name).file_stem().is_some_and(|usual| *usual == *stem));
    let name = match is_usual || stem.is_empty() {
        true => text(home_of(&dir.canonicalize().unwrap_or_default()).file_name()).unwrap_or(stem),
        false => stem,
    };
    // The names of stacks on AWS have no other characters.
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    StackFile { stack_name: name.clone(), name, file }
}

/// The project's directory of a directory with a template.
pub fn home_of(dir: &Path) -> PathBuf {
    // Where an earlier start has put the data, it stays.
    if dir.join(DATA_DIRECTORY).is_dir() {
        return dir.to_owned();
    }
    built_in(dir).map_or_else(|| dir.to_owned(), |(project, _)| project)
}

/// The project that a directory was built of, and the command that does so; `None`: no tool built it.
fn built_in(dir: &Path) -> Option<(PathBuf, &'static str)> {
    // Named through the working directory, it has no name of its own.
    let absolute = dir.canonicalize().ok()?;
    // The assembly of a stage lies in that of the application.
    absolute.ancestors().find_map(|dir| {
        let (built, command) = BUILD_DIRECTORIES.into_iter().find(|(built, _)| dir.ends_with(built))?;
        Some((dir.ancestors().nth(Path::new(built).components().count())?.to_owned(), command))
    })
}

/// Whether something was written after the build that should be part of it.
fn stale_build(template: &Path) -> Option<String> {
    let (project, command) = built_in(template.parent()?)?;
    let made = template.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let newer = newer_source(&project, made)?;
    let own = ["template.yaml", "template.yml"].into_iter().find(|name| project.join(name).is_file());
    let instead = own.map(|own| format!(", or start with {}", project.join(own).display())).unwrap_or_default();
    Some(format!(
        "{} is older than {}: run `{command}`{instead}",
        template.display(),
        newer.strip_prefix(&project).unwrap_or(&newer).display()
    ))
}

/// A file of the project that is newer than this instant; of a large project the upper levels are looked at.
fn newer_source(project: &Path, than: SystemTime) -> Option<PathBuf> {
    const PASSED_OVER: [&str; 5] = ["__pycache__", "node_modules", "target", "venv", "cdk.out"];
    const ENDINGS: [&str; 11] = ["py", "js", "mjs", "cjs", "ts", "mts", "java", "kt", "go", "rs", "txt"];
    const TEMPLATES: [&str; 4] = ["template.yaml", "template.yml", "template.json", "package.json"];
    let mut entries_left = FUNCTION_CODE_ENTRIES_MAX;
    let mut level = vec![project.to_owned()];
    while !level.is_empty() {
        let mut below = Vec::new();
        for entry in level.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten() {
            entries_left = entries_left.checked_sub(1)?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !name.starts_with('.') && !PASSED_OVER.contains(&&*name) {
                    below.push(path);
                }
                continue;
            }
            let is_source = TEMPLATES.contains(&&*name)
                || path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending));
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            if is_source && written.is_ok_and(|written| written > than) {
                return Some(path);
            }
        }
        level = below;
    }
    None
}
