//! What `up` is given: a directory or a template, and where what belongs to it lies.

use std::path::{Path, PathBuf};

use tailrace_server::template::{Found, Templates};
use tailrace_server::{Code, StartError, template};

use crate::args::UpArgs;
use crate::{Failure, play};

/// A project that is started.
pub struct Project {
    /// The directory that is its own: the data directory lies there.
    pub home: PathBuf,
    /// Its writes, whether there are any or not.
    pub writes: PathBuf,
    stacks: Vec<String>,
    found: Result<Found, StartError>,
}

impl Project {
    /// Looks for it.
    ///
    /// # Errors
    /// A path cannot be read. That it has no template is told where one is asked for: another may be given.
    pub fn find(args: &UpArgs) -> Result<Project, Failure> {
        for path in &args.paths {
            std::fs::metadata(path)
                .map_err(|e| Failure::new(Code::NoTemplate, format_args!("cannot read {}: {e}", path.display())))?;
        }
        let first = args.paths.first().map_or(Path::new("."), PathBuf::as_path);
        let dir = match first.parent() {
            _ if first.is_dir() => first,
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let stacks = args.server.stacks();
        let found = template::find_all(&args.paths, &stacks).map_err(StartError::from);
        let home = found.as_ref().map_or(dir, |found| &found.home).to_owned();
        // Beside what was named, or where the project's own files are: a build tool's directory has none.
        let beside = dir.join(play::FILE_NAME);
        let writes = if beside.exists() { beside } else { home.join(play::FILE_NAME) };
        Ok(Project { home, writes, stacks, found })
    }

    /// Its templates: the given one, or those that were found. Tells what is to be known of that.
    ///
    /// # Errors
    /// There is none.
    pub fn templates(&self, given: Option<PathBuf>, say: impl Fn(String)) -> Result<Templates, Failure> {
        if let Some(given) = given {
            return in_directory(given, &self.stacks, say);
        }
        match &self.found {
            Ok(found) => {
                found.notices.iter().cloned().for_each(say);
                Ok(found.templates.clone())
            }
            Err(error) => Err(Failure::new(error.code(), error)),
        }
    }
}

/// The templates that were given by name: a file, the file of a tool, or those of a directory.
///
/// # Errors
/// There is none, or several of which none is chosen.
pub fn in_directory(given: PathBuf, stacks: &[String], say: impl Fn(String)) -> Result<Templates, Failure> {
    // A pipe is read once, and a file that is not there is told when it is read.
    if !given.is_dir() && !given.is_file() {
        return Ok(Templates::one(given));
    }
    let found = template::find(&given, stacks).map_err(StartError::from)?;
    found.notices.into_iter().for_each(say);
    Ok(found.templates)
}
