//! What `up` is given: a directory or a template, and where what belongs to it lies.

use std::path::{Path, PathBuf};

use tailrace_server::template::Found;
use tailrace_server::{Code, StartError, template};

use crate::args::UpArgs;
use crate::{Failure, play};

/// A project that is started.
pub struct Project {
    /// The directory that is its own: the data directory lies there.
    pub home: PathBuf,
    /// Its writes, whether there are any or not.
    pub writes: PathBuf,
    stack: Option<String>,
    found: Result<Found, StartError>,
}

impl Project {
    /// Looks for it.
    ///
    /// # Errors
    /// The path cannot be read. That it has no template is told where one is asked for: another may be given.
    pub fn find(args: &UpArgs) -> Result<Project, Failure> {
        let path = &args.path;
        std::fs::metadata(path)
            .map_err(|e| Failure::new(Code::NoTemplate, format_args!("cannot read {}: {e}", path.display())))?;
        let dir = match path.parent() {
            _ if path.is_dir() => path,
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let stack = args.server.stack();
        let found = template::find(path, stack.as_deref()).map_err(StartError::from);
        let home = found.as_ref().map_or(dir, |found| &found.home).to_owned();
        // Beside what was named, or where the project's own files are: a build tool's directory has none.
        let beside = dir.join(play::FILE_NAME);
        let writes = if beside.exists() { beside } else { home.join(play::FILE_NAME) };
        Ok(Project { home, writes, stack, found })
    }

    /// Its template: the given one, or the one that was found. Tells what is to be known of that.
    ///
    /// # Errors
    /// There is none.
    pub fn template(&self, given: Option<PathBuf>, say: impl Fn(String)) -> Result<PathBuf, Failure> {
        if let Some(given) = given {
            return in_directory(given, self.stack.as_deref(), say);
        }
        match &self.found {
            Ok(found) => {
                found.notices.iter().cloned().for_each(say);
                Ok(found.template.clone())
            }
            Err(error) => Err(Failure::new(error.code(), error)),
        }
    }
}

/// The template that was given by name: a file, or that of a directory.
///
/// # Errors
/// The directory has none, or several.
pub fn in_directory(given: PathBuf, stack: Option<&str>, say: impl Fn(String)) -> Result<PathBuf, Failure> {
    if !given.is_dir() {
        return Ok(given);
    }
    let found = template::find(&given, stack).map_err(StartError::from)?;
    found.notices.into_iter().for_each(say);
    Ok(found.template)
}
