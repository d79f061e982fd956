//! The operating system's files.
//!
//! It deliberately uses neither O_DIRECT nor O_APPEND: reads of what was just written come from the page cache.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{File, FileError, FileLock, FileOp, Files};

/// Zeros are written in pieces of this size, each sent to the disk before the next, so that a segment that is being
/// prepared never puts a long queue of dirty pages before the committer's sync.
const ZERO_PIECE_BYTES: usize = 1024 * 1024;
static ZEROS: [u8; ZERO_PIECE_BYTES] = [0; ZERO_PIECE_BYTES];

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    path: PathBuf,
}

#[derive(Debug)]
struct RealLock {
    /// Closing the file gives the lock back.
    _file: fs::File,
}

impl FileLock for RealLock {}

fn at<T>(op: FileOp, path: &Path, result: std::io::Result<T>) -> Result<T, FileError> {
    result.map_err(|source| FileError::new(op, path, &source))
}

impl Files for RealFiles {
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let file = at(FileOp::Open, path, fs::OpenOptions::new().read(true).write(true).open(path))?;
        Ok(Arc::new(RealFile { file, path: path.to_path_buf() }))
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let file = at(FileOp::Open, path, fs::File::open(path))?;
        Ok(Arc::new(RealFile { file, path: path.to_path_buf() }))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let made = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path);
        Ok(Arc::new(RealFile { file: at(FileOp::Create, path, made)?, path: path.to_path_buf() }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::create_dir(path) {
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
            result => at(FileOp::CreateDir, path, result)?,
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError> {
        let mut names = Vec::new();
        for entry in at(FileOp::List, dir, fs::read_dir(dir))? {
            let entry = at(FileOp::List, dir, entry)?;
            if at(FileOp::List, dir, entry.file_type())?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        at(FileOp::Rename, from, fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        at(FileOp::Remove, path, fs::remove_file(path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        at(FileOp::SyncDir, dir, fs::File::open(dir).and_then(|dir| dir.sync_all()))
    }

    fn room(&self, dir: &Path) -> Option<u64> {
        let found = rustix::fs::statvfs(dir).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError> {
        let made = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = at(FileOp::Lock, path, made)?;
        let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        at(FileOp::Lock, path, locked.map_err(std::io::Error::from))?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn is_locked(&self, path: &Path) -> Result<bool, FileError> {
        let file = match fs::File::open(path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            opened => at(FileOp::Lock, path, opened)?,
        };
        // A shared lock, held for no longer than this question, is the one way to ask that sees every process.
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(true),
            Err(error) => at(FileOp::Lock, path, Err(error.into())),
        }
    }
}

impl RealFile {
    /// Sends dirty pages to the disk and waits for them. Unlike a sync it commits no metadata and empties no write cache,
    /// so it is cheap and proves nothing: it only spreads the load.
    fn write_back(&self, offset: u64, len: u64) -> Result<(), FileError> {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: the descriptor is open for as long as `self.file` lives, and the call touches no memory of ours.
        let done = unsafe { libc::sync_file_range(self.file.as_raw_fd(), offset as i64, len as i64, flags) };
        let error = std::io::Error::last_os_error();
        if done == 0 || matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE)) {
            return Ok(());
        }
        Err(FileError::new(FileOp::Sync, &self.path, &error))
    }
}

impl File for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64, FileError> {
        Ok(at(FileOp::Len, &self.path, self.file.metadata())?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), FileError> {
        at(FileOp::Read, &self.path, self.file.read_exact_at(buf, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FileError> {
        at(FileOp::Write, &self.path, self.file.write_all_at(data, offset))
    }

    fn zero_fill(&self, offset: u64, len: u64) -> Result<(), FileError> {
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let piece = ZERO_PIECE_BYTES.min((end - at) as usize);
            self.write_at(&ZEROS[..piece], at)?;
            if piece == ZERO_PIECE_BYTES {
                self.write_back(at, piece as u64)?;
            }
            at += piece as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), FileError> {
        at(FileOp::SetLen, &self.path, self.file.set_len(len))
    }

    fn sync_data(&self) -> Result<(), FileError> {
        at(FileOp::Sync, &self.path, rustix::fs::fdatasync(&self.file).map_err(std::io::Error::from))
    }
}
