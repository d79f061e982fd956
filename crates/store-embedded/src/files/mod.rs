//! The file layer: the few file operations that the store's own files need, behind a small trait, so that a test can
//! forget, tear and reorder what was not synced, count syncs, and make any of them fail.
//!
//! Invariants: every error names the file; a write is durable only after [`File::sync_data`], a name only after
//! [`Files::sync_dir`]; nothing is cached here. It deliberately has no append mode and no cursor: every offset is the
//! caller's.

mod read_only;
mod real;
mod sim;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use read_only::ReadOnlyFiles;
pub use real::RealFiles;
pub use sim::{Fault, Pending, SectorFate, SimFiles};

use tailrace_store::StoreError;

/// The sector: what a disk writes whole or not at all, and what the simulated layer loses, zeroes and reorders.
pub const SECTOR_BYTES: usize = 512;

/// An operation of the file layer, as errors and injected faults name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileOp {
    /// Opening an existing file.
    Open,
    /// Making a file that must not exist.
    Create,
    /// Making a directory.
    CreateDir,
    /// Listing a directory.
    List,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making a directory's entries durable.
    SyncDir,
    /// Taking the advisory lock.
    Lock,
    /// Reading.
    Read,
    /// Writing (filling with zeros included).
    Write,
    /// Changing the length.
    SetLen,
    /// Making a file's data durable.
    Sync,
    /// Asking for the length.
    Len,
}

impl fmt::Display for FileOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileOp::Open => "open",
            FileOp::Create => "create",
            FileOp::CreateDir => "create directory",
            FileOp::List => "list",
            FileOp::Rename => "rename",
            FileOp::Remove => "remove",
            FileOp::SyncDir => "sync directory",
            FileOp::Lock => "lock",
            FileOp::Read => "read",
            FileOp::Write => "write",
            FileOp::SetLen => "set length of",
            FileOp::Sync => "sync",
            FileOp::Len => "stat",
        })
    }
}

/// What the caller should do about a [`FileError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileErrorKind {
    /// No room on the device, over the quota, or no file descriptor left: refuse, and try again later.
    Full,
    /// The file or directory is not there.
    NotFound,
    /// The name is taken.
    Exists,
    /// Another process holds the lock.
    Locked,
    /// The file ends before what was to be read.
    Short,
    /// Anything else.
    Other,
}

/// A file operation that failed: which, on what, why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {op} {}: {reason}", .path.display())]
pub struct FileError {
    /// The operation.
    pub op: FileOp,
    /// The file or directory.
    pub path: PathBuf,
    /// What to do about it.
    pub kind: FileErrorKind,
    /// The operating system's words.
    pub reason: String,
}

impl FileError {
    /// An error of `op` on `path` for `source`.
    pub fn new(op: FileOp, path: &Path, source: &std::io::Error) -> Self {
        let kind = match source.kind() {
            _ if is_full(source) => FileErrorKind::Full,
            std::io::ErrorKind::NotFound => FileErrorKind::NotFound,
            std::io::ErrorKind::AlreadyExists => FileErrorKind::Exists,
            std::io::ErrorKind::WouldBlock => FileErrorKind::Locked,
            std::io::ErrorKind::UnexpectedEof => FileErrorKind::Short,
            _ => FileErrorKind::Other,
        };
        Self { op, path: path.to_path_buf(), kind, reason: source.to_string() }
    }
}

/// True for what passes when something else is given up: no room on the device, over the quota, too many open files.
pub fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        match error.kind {
            FileErrorKind::Full => StoreError::Full(error.to_string()),
            _ => StoreError::Io(error.to_string()),
        }
    }
}

/// Holds the advisory lock of a file until it is dropped.
pub trait FileLock: Send + Sync + fmt::Debug {}

/// A file system as the store sees it.
pub trait Files: Send + Sync + fmt::Debug + 'static {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError>;
    /// Opens an existing file for reading only: no right to write it is needed, and writing to it fails.
    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError>;
    /// Makes a new, empty file; it must not exist.
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError>;
    /// Makes a directory and its parents, each made durable in its own parent; it may exist.
    fn create_dir(&self, path: &Path) -> Result<(), FileError>;
    /// The names of the files in `dir`, sorted.
    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError>;
    /// Renames within one directory, replacing `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;
    /// Removes a file; handles that are open stay readable.
    fn remove(&self, path: &Path) -> Result<(), FileError>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), FileError>;
    /// Bytes that are free for files in `dir`, if that can be told.
    fn room(&self, dir: &Path) -> Option<u64>;
    /// Takes the exclusive advisory lock of `path` (made if missing), or fails at once with [`FileErrorKind::Locked`].
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError>;
    /// Whether somebody holds the lock of `path`; false for a file that is not there. Needs no right to write it.
    fn is_locked(&self, path: &Path) -> Result<bool, FileError>;
}

/// An open file.
pub trait File: Send + Sync + fmt::Debug {
    /// Where it was opened or made; errors name it.
    fn path(&self) -> &Path;
    /// Its size, bytes.
    fn size(&self) -> Result<u64, FileError>;
    /// Fills `buf` from `offset`; a file that ends before is an error ([`FileErrorKind::Short`]).
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), FileError>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FileError>;
    /// Writes zeros over `offset..offset + len` for real (no hole, no unwritten extent), so that later writes there
    /// need no room and no metadata.
    fn zero_fill(&self, offset: u64, len: u64) -> Result<(), FileError>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> Result<(), FileError>;
    /// Makes data and length durable.
    fn sync_data(&self) -> Result<(), FileError>;
}

/// The whole content of `file`.
///
/// # Errors
/// The file layer's.
pub fn read_all(file: &dyn File) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0; file.size()? as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
