//! The offline check of a whole data directory: every frame of the log, every file of the tree.
//!
//! It changes nothing, needs no right to write, and takes no lock. Beside a server it goes on, but says so: what moves
//! under it may look like damage.

use std::path::Path;
use std::sync::Arc;

use crate::files::{Files, ReadOnlyFiles, RealFiles};
use crate::log::SetAsideError;
use crate::{directory, log, tree};
use tailrace_core::limits;
use tailrace_store::StoreError;

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// One line for each fault, with file and offset where there is one.
    pub faults: Vec<String>,
    /// One line for each piece that was damaged and is set aside: what is lost with it.
    pub set_aside: Vec<String>,
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
    let checked = log::check(&files, &path.join("log"))?;
    let line = |fault: log::LogFault| format!("{}: offset {}: {}", fault.file, fault.offset, fault.detail);
    let mut faults: Vec<String> = checked.faults.into_iter().map(line).collect();
    let set_aside = checked.set_aside.into_iter().map(line).collect();
    faults.extend(tree::damage::check(&path.join("tree")));
    // A server may have begun or ended meanwhile.
    in_use |= directory::look(&files, path)?;
    Ok(CheckReport { faults, set_aside, in_use })
}

/// Sets aside a damaged piece of the log of a directory that no process has open, so that the store goes on without it.
/// `place` is `FILE:OFFSET` as the check names it. Says what is lost. Writes that are in the log alone are lost only if
/// `lose_writes` says so.
///
/// # Errors
/// When there is no such damage, writes would be lost, the directory is in use, or it cannot be read or written.
pub fn set_aside(path: impl AsRef<Path>, place: &str, lose_writes: bool) -> Result<String, SetAsideError> {
    let path = path.as_ref();
    let (file, offset) = place
        .rsplit_once(':')
        .and_then(|(file, offset)| Some((log::segment_number(Path::new(file))?, offset.parse().ok()?)))
        .ok_or_else(|| SetAsideError::NoPlace(place.to_owned()))?;
    directory::look(&ReadOnlyFiles(Arc::new(RealFiles)), path)?;
    let _lock = directory::enter(&RealFiles, path)?;
    // The tree alone knows up to where it holds everything.
    let (_tree, persisted) = tree::Tree::open(&path.join("tree"), limits::MEMTABLE_BYTES, limits::BLOCK_CACHE_BYTES)?;
    log::set_aside(&RealFiles, &path.join("log"), file, offset, persisted, lose_writes)
}
