//! Template files: where they are found, and that the code that they name is there. What is in them is read by the crate
//! `tailrace-template`, which knows no disk.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tailrace_core::limits::TEMPLATE_BYTES_MAX;
pub use tailrace_template::*;

/// Why a template file cannot be used: one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum TemplateFileError {
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

/// Where a template is looked for in a directory; what `sam build` made comes first.
const NAMES: &[&str] = &[".aws-sam/build/template.yaml", "template.yaml", "template.yml", "template.json"];

/// The template of a directory.
pub fn find(dir: &Path) -> Result<PathBuf, TemplateFileError> {
    NAMES
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| TemplateFileError::NotFound(dir.to_owned()))
}

/// Reads the template file `path`. Directories of code are relative to the file, and absolute in the plan: the data
/// directory keeps them, and a later start may have another working directory.
pub fn read(path: &Path, options: &Options) -> Result<Plan, TemplateFileError> {
    let unreadable = |source| TemplateFileError::Unreadable { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    if path.metadata().map_err(unreadable)?.len() > TEMPLATE_BYTES_MAX {
        let source = std::io::Error::other(format!("it is larger than {TEMPLATE_BYTES_MAX} bytes"));
        return Err(unreadable(source));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let dir = absolute.parent().unwrap_or(Path::new("/"));
    let mut plan = parse(&text, Format::of(path, &text), dir, options).map_err(|error| match error {
        TemplateError::Malformed(message) => TemplateFileError::Malformed { path: path.to_owned(), message },
        error => TemplateFileError::Content(error),
    })?;
    for function in std::mem::take(&mut plan.functions) {
        match check_code(&function) {
            Ok(()) => plan.functions.push(function),
            Err(error) if plan.is_mapped(&function.name) => return Err(TemplateFileError::Content(error)),
            Err(error) => {
                let id = &function.logical_id;
                plan.skipped.push(format!("Resources.{id}: not run, and no mapping uses it: {error}"));
            }
        }
    }
    Ok(plan)
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

/// Reads a file that a template includes; it is bounded as a template is.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read_included(path: &Path) -> std::io::Result<String> {
    if path.metadata()?.len() > TEMPLATE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {TEMPLATE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

/// The values of parameters in a file.
///
/// # Errors
/// What is wrong with it, for the user.
pub fn read_parameters(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = read_included(path).map_err(|error| error.to_string())?;
    parameters_of_file(path, &text)
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
