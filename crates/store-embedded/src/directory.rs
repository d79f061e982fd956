//! The data directory: one process at a time, one format.
//!
//! `LOCK` is locked while the engine is open; `FORMAT` holds the format's number as text. Neither is ever removed.

use std::path::Path;

use crate::files::{File, FileErrorKind, FileLock, Files, read_all};
use tailrace_store::StoreError;

/// The format that this code writes, the layout of keys and values included. A directory with a higher number was written by a newer
/// Tailrace, one with a lower number before the first release.
const FORMAT: u32 = 2;

/// Whether a process has the directory open, which exists and has a format that is known.
pub(crate) fn look(files: &dyn Files, dir: &Path) -> Result<bool, StoreError> {
    let format = dir.join("FORMAT");
    match files.open_to_read(&format) {
        Err(error) if error.kind == FileErrorKind::NotFound => Err(StoreError::NoDataDirectory(format!(
            "{} is not a data directory: it has no file FORMAT",
            dir.display()
        ))),
        Err(error) => Err(error.into()),
        Ok(file) => {
            verify_format(&*file)?;
            Ok(files.is_locked(&dir.join("LOCK"))?)
        }
    }
}

fn verify_format(file: &dyn File) -> Result<(), StoreError> {
    let text = read_all(file)?;
    let text = String::from_utf8_lossy(&text);
    match text.trim().strip_prefix("tailrace ").and_then(|number| number.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        Some(number) if number < FORMAT => Err(StoreError::EarlierFormat(format!(
            "{}: format {number} is of an earlier tailrace, and this one knows format {FORMAT} only",
            file.path().display()
        ))),
        Some(number) => Err(StoreError::NewerFormat(format!(
            "{}: format {number} is newer than this tailrace, which knows formats up to {FORMAT}",
            file.path().display()
        ))),
        None => Err(StoreError::Corrupt(format!(
            "{}: offset 0: expected `tailrace <number>`, found {text:?}",
            file.path().display()
        ))),
    }
}

/// Locks the directory (made if missing) and checks its format.
pub(crate) fn enter(files: &dyn Files, dir: &Path) -> Result<Box<dyn FileLock>, StoreError> {
    files.create_dir(dir)?;
    let lock = files.lock(&dir.join("LOCK")).map_err(|error| match error.kind {
        FileErrorKind::Locked => {
            StoreError::InUse(format!("the data directory {} is in use by another process", dir.display()))
        }
        _ => error.into(),
    })?;
    let format = dir.join("FORMAT");
    match files.open(&format) {
        Ok(file) => verify_format(&*file).map(|()| lock),
        Err(error) if error.kind == FileErrorKind::NotFound => {
            // The format is written before anything else, so data without it is not a directory that was just begun.
            if files.list(&dir.join("log")).is_ok_and(|names| !names.is_empty()) {
                return Err(StoreError::Corrupt(format!("{}: missing beside a log", format.display())));
            }
            let fresh = dir.join("FORMAT.new");
            if let Err(error) = files.remove(&fresh)
                && error.kind != FileErrorKind::NotFound
            {
                return Err(error.into());
            }
            let file = files.create(&fresh)?;
            file.write_at(format!("tailrace {FORMAT}\n").as_bytes(), 0)?;
            file.sync_data()?;
            files.rename(&fresh, &format)?;
            files.sync_dir(dir)?;
            Ok(lock)
        }
        Err(error) => Err(error.into()),
    }
}
