//! The offline check of a whole data directory: every frame of the log, every file of the tree.
//!
//! It changes nothing, needs no right to write, and takes no lock. Beside a server it goes on, but says so: what moves
//! under it may look like damage.

use std::path::Path;
use std::sync::Arc;

use crate::files::{Files, ReadOnlyFiles, RealFiles};
use crate::{directory, log, tree};
use tailrace_store::StoreError;

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// One line for each fault, with file and offset where there is one.
    pub faults: Vec<String>,
    /// A server has the directory open: a fault may be no more than a change that was under way.
    pub in_use: bool,
}

/// Checks the data directory at `path`.
///
/// # Errors
/// When it is none, or cannot be read at all.
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport, StoreError> {
    check_with(Arc::new(RealFiles), path)
}

/// [`check`] with the log's and the directory's own files in `files`, of which it only reads.
///
/// # Errors
/// Those of [`check`].
pub fn check_with(files: Arc<dyn Files>, path: impl AsRef<Path>) -> Result<CheckReport, StoreError> {
    let (files, path) = (ReadOnlyFiles(files), path.as_ref());
    let mut in_use = directory::look(&files, path)?;
    let faults = log::check(&files, &path.join("log"))?;
    let mut faults: Vec<String> =
        faults.into_iter().map(|fault| format!("{}: offset {}: {}", fault.file, fault.offset, fault.detail)).collect();
    faults.extend(tree::damage::check(&path.join("tree")));
    // A server may have begun or ended meanwhile.
    in_use |= directory::look(&files, path)?;
    Ok(CheckReport { faults, in_use })
}
