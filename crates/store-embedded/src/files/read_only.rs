//! Files for whoever must change nothing: an existing file is opened for reading, and everything else is refused.

use std::path::Path;
use std::sync::Arc;

use super::{File, FileError, FileLock, FileOp, Files};

/// Other files, for reading only.
#[derive(Clone, Debug)]
pub struct ReadOnlyFiles(pub Arc<dyn Files>);

fn refused<T>(op: FileOp, path: &Path) -> Result<T, FileError> {
    Err(FileError::new(op, path, &std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem)))
}

impl Files for ReadOnlyFiles {
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.0.open_to_read(path)
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        self.0.open_to_read(path)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        refused(FileOp::Create, path)
    }

    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        refused(FileOp::CreateDir, path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError> {
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, _to: &Path) -> Result<(), FileError> {
        refused(FileOp::Rename, from)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        refused(FileOp::Remove, path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        refused(FileOp::SyncDir, dir)
    }

    fn room(&self, dir: &Path) -> Option<u64> {
        self.0.room(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError> {
        refused(FileOp::Lock, path)
    }

    fn is_locked(&self, path: &Path) -> Result<bool, FileError> {
        self.0.is_locked(path)
    }
}
