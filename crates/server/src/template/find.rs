//! Finds the template of what `up` is given: a file, a project's directory, or the directory that a build tool wrote.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tailrace_core::limits::FUNCTION_CODE_ENTRIES_MAX;

use super::TemplateFileError;
use super::assembly::{self, Stack};

/// Where a template is looked for in a directory, in this order: what `sam build` made, then what people write, then what
/// the CDK and Serverless made. A `manifest.json` counts if it is that of a cloud assembly.
pub(super) const NAMES: [&str; 8] = [
    SAM_BUILT,
    "template.yaml",
    "template.yml",
    "template.json",
    assembly::MANIFEST,
    "cdk.out/manifest.json",
    SERVERLESS,
    ".serverless/cloudformation-template-update-stack.json",
];

const SAM_BUILT: &str = ".aws-sam/build/template.yaml";
const SERVERLESS: &str = "cloudformation-template-update-stack.json";

/// Directories of build tools, which come and go: what is to stay lies in the directory around them.
const BUILD_DIRECTORIES: [&str; 3] = [".aws-sam/build", "cdk.out", ".serverless"];

/// A template that was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub template: PathBuf,
    /// The project's directory, in which the data directory lies.
    pub home: PathBuf,
    /// What the user should know of it, one line each.
    pub notices: Vec<String>,
}

/// Finds the template of a file or a directory; `stack` chooses among those of a cloud assembly.
///
/// # Errors
/// There is none, or there are several and none is chosen.
pub fn find(path: &Path, stack: Option<&str>) -> Result<Found, TemplateFileError> {
    if path.is_file() {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.file_name().is_some_and(|name| name == assembly::MANIFEST)
            && let Some(stacks) = assembly::stacks(dir)
        {
            return of_assembly(dir, stacks, stack);
        }
        return Ok(Found { template: path.to_owned(), home: home_of(dir), notices: Vec::new() });
    }
    for name in NAMES {
        let template = path.join(name);
        if !template.is_file() {
            continue;
        }
        let dir = template.parent().unwrap_or(path);
        if name.ends_with(assembly::MANIFEST) {
            match assembly::stacks(dir) {
                Some(stacks) => return of_assembly(dir, stacks, stack),
                None => continue,
            }
        }
        if let Some(stack) = stack {
            return Err(TemplateFileError::NoStacks { path: template, stack: stack.to_owned() });
        }
        let notices = if name == SAM_BUILT { stale_build(path, &template).into_iter().collect() } else { Vec::new() };
        return Ok(Found { template, home: home_of(path), notices });
    }
    Err(TemplateFileError::NotFound { dir: path.to_owned(), hint: hint(path) })
}

fn of_assembly(dir: &Path, stacks: Vec<Stack>, wanted: Option<&str>) -> Result<Found, TemplateFileError> {
    let (shown, is_one): (Vec<String>, _) =
        (stacks.iter().map(|stack| stack.shown.clone()).collect(), stacks.len() == 1);
    let chosen = stacks.into_iter().find(|stack| wanted.map_or(is_one, |wanted| stack.is_called(wanted)));
    match chosen {
        Some(Stack { template, .. }) => Ok(Found { template, home: home_of(dir), notices: Vec::new() }),
        None => {
            Err(TemplateFileError::Stacks { dir: dir.to_owned(), stacks: shown, wanted: wanted.map(str::to_owned) })
        }
    }
}

/// The project's directory of a directory with a template.
fn home_of(dir: &Path) -> PathBuf {
    // Named through the working directory, it has no name of its own.
    let absolute = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    for built in BUILD_DIRECTORIES {
        if absolute.ends_with(built) {
            let levels = Path::new(built).components().count();
            return absolute.ancestors().nth(levels).unwrap_or(dir).to_owned();
        }
    }
    dir.to_owned()
}

/// What a project that has no template yet has to be put through.
fn hint(dir: &Path) -> Option<&'static str> {
    let has = |names: &[&str]| names.iter().any(|name| dir.join(name).is_file());
    if has(&["serverless.yml", "serverless.yaml", "serverless.json", "serverless.ts", "serverless.js"]) {
        Some("this is a Serverless project: run `serverless package` first")
    } else if has(&["cdk.json"]) {
        Some("this is a CDK project: run `cdk synth` first")
    } else {
        None
    }
}

/// Whether something was written after the build that should be part of it.
fn stale_build(project: &Path, built: &Path) -> Option<String> {
    let made = built.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let newer = newer_source(project, made)?;
    let own = ["template.yaml", "template.yml"].into_iter().find(|name| project.join(name).is_file());
    let instead = own.map(|own| format!(", or start with {}", project.join(own).display())).unwrap_or_default();
    Some(format!(
        "{} is older than {}: run `sam build`{instead}",
        built.display(),
        newer.strip_prefix(project).unwrap_or(&newer).display()
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
