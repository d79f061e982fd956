//! A directory as a place for objects: a file each.
//!
//! Invariants: a file appears under its name when all of it is on the disk, by a rename; then the name is made durable too,
//! and the names of directories that were made for it. Names that start with a dot and end in `.tmp` are files that were not
//! finished; a repeat removes them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::store::{
    BYTES_PER_SECOND_MIN, CALL_TIMEOUT, Listed, ObjectError, Over, Put, READ_BYTES_MAX, Stored, Tag, hex,
};

/// Puts of one key come one after the other, and those of so many keys at once.
const LATCHES: usize = 32;
/// Calls at a time. Our reason: four flushes with their uploads.
const CALLS_MAX: usize = 32;
const COMPARE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// A put goes on when nobody waits for it any more, and its repeat must not write to the same file meanwhile.
    latches: Arc<[Mutex<()>; LATCHES]>,
    /// A disk that hangs, of a network for one, keeps a thread for each.
    calls: Arc<Semaphore>,
}

impl Directory {
    pub fn new(root: &Path) -> Directory {
        let latches = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        Directory { root: root.to_owned(), latches, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    pub fn address(&self, key: &str) -> String {
        self.root.join(key).display().to_string()
    }

    pub async fn put(&self, key: &str, body: Bytes, how: Put<'_>) -> Result<(), ObjectError> {
        let (root, path, address) = (self.root.clone(), self.root.join(key), self.address(key));
        let (latches, latch) = (Arc::clone(&self.latches), latch(key));
        let over = match how.over {
            Over::Same => Expect::Same,
            Over::Read(tag) => Expect::Tag(tag.cloned()),
            Over::Anything => Expect::Anything,
        };
        let locked = how.lock.is_some();
        self.on_disk(key, body.len() as u64, move || {
            let _latch = latches[latch].lock();
            match over {
                Expect::Same => match holds(&path, &body) {
                    // What made it may have ended before it was durable.
                    Ok(Some(true)) => return Ok(sync_file(&path).and_then(|()| sync_parent(&path))),
                    Ok(Some(false)) => return Err(ObjectError::Differs { place: address, release: None }),
                    Ok(None) => {}
                    Err(error) => return Ok(Err(error)),
                },
                Expect::Tag(tag) => match read(&path) {
                    Ok(there) if there.as_ref().map(|there| &there.tag) == tag.as_ref() => {}
                    Ok(_) => return Err(ObjectError::Changed { place: address }),
                    Err(error) => return Ok(Err(error)),
                },
                Expect::Anything => {}
            }
            Ok(write(&root, &path, &body, locked))
        })
        .await
    }

    pub async fn get(&self, key: &str) -> Result<Option<Stored>, ObjectError> {
        let path = self.root.join(key);
        self.on_disk(key, 0, move || Ok(read(&path))).await
    }

    pub async fn list(&self, folder: &str, after: Option<&str>, most: usize) -> Result<Vec<Listed>, ObjectError> {
        let (root, folder_path) = (self.root.clone(), self.root.join(folder));
        let after = after.map(str::to_owned);
        self.on_disk(folder, 0, move || {
            let mut found = Vec::new();
            Ok(walk(&root, &folder_path, &mut found).map(|()| {
                found.sort_unstable_by(|one: &Listed, other| one.key.cmp(&other.key));
                found.retain(|object| after.as_ref().is_none_or(|after| object.key > *after));
                found.truncate(most);
                found
            }))
        })
        .await
    }

    /// Does something where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        key: &str,
        bytes: u64,
        work: impl FnOnce() -> Result<io::Result<T>, ObjectError> + Send + 'static,
    ) -> Result<T, ObjectError> {
        let failed = |error: String| ObjectError::Failed { place: self.address(key), error };
        let after = CALL_TIMEOUT + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
        let calls = self.calls.clone();
        let call = async move {
            let permit = calls.acquire_owned().await.map_err(|error| error.to_string())?;
            let work = move || {
                // Held as long as the disk takes, whether somebody still waits or not.
                let _permit = permit;
                work()
            };
            tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
        };
        match tokio::time::timeout(after, call).await {
            Ok(Ok(result)) => result?.map_err(|error| failed(error.to_string())),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(ObjectError::Timeout { place: self.address(key), after }),
        }
    }
}

enum Expect {
    Same,
    Tag(Option<Tag>),
    Anything,
}

fn latch(key: &str) -> usize {
    key.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % LATCHES
}

fn tag(body: &[u8]) -> Tag {
    Tag(hex(&Sha256::digest(body)))
}

/// `None`: there is no such file.
fn read(path: &Path) -> io::Result<Option<Stored>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let size = file.metadata()?.len();
    if size > READ_BYTES_MAX {
        return Err(io::Error::other(format!("it has {size} bytes; {READ_BYTES_MAX} at most are read")));
    }
    let mut body = Vec::with_capacity(size as usize);
    file.read_to_end(&mut body)?;
    Ok(Some(Stored { tag: tag(&body), body: body.into() }))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a file has these bytes; `None`: there is none.
fn holds(path: &Path, body: &[u8]) -> io::Result<Option<bool>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    if file.metadata()?.len() != body.len() as u64 {
        return Ok(Some(false));
    }
    let mut piece = vec![0; COMPARE_BYTES];
    for expect in body.chunks(COMPARE_BYTES) {
        let piece = &mut piece[..expect.len()];
        file.read_exact(piece)?;
        if piece != expect {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

fn write(root: &Path, path: &Path, body: &[u8], locked: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(root);
    make_directories(parent)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let unfinished = parent.join(name);
    // What a crash has left may be one that was to be locked, and cannot be written to.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&unfinished)?;
    file.write_all(body)?;
    if locked {
        let mut permissions = file.metadata()?.permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions)?;
    }
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_parent(path)
}

/// Makes a directory and those above it, each durable before what is in it.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_parent(path)
}

fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let (Some(name), Ok(relative)) = (name.to_str(), path.strip_prefix(root)) else { continue };
        if entry.file_type()?.is_dir() {
            walk(root, &path, found)?;
        } else if let (Some(key), false) = (relative.to_str(), name.starts_with('.') && name.ends_with(".tmp")) {
            found.push(Listed { key: key.to_owned(), bytes: entry.metadata()?.len() });
        }
    }
    Ok(())
}
