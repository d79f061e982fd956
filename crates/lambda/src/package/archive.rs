//! Unpacking of a zip archive into an empty directory.
//!
//! Invariants
//! - Nothing is written outside of the directory: names that lead out of it are refused, links are made last and only to
//!   what lies inside, and nothing is written through one.
//! - What is inflated is counted as it comes, whatever the archive says of itself.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use tailrace_core::limits;
use zip::ZipArchive;
use zip::result::ZipError;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no archive, or one that is damaged or written in another way than Lambda reads.
    #[error("the zip archive cannot be read: {0}")]
    Malformed(#[from] ZipError),
    /// A name that leads out of the directory.
    #[error("the entry {0:?} of the zip archive leads out of it")]
    LeadsOut(String),
    /// More than AWS takes.
    #[error("it unzips to more than {} MB", limits::PACKAGE_BYTES_MAX / (1024 * 1024))]
    TooLarge,
    /// More entries than are taken.
    #[error("it has {0} entries, more than {max}", max = limits::PACKAGE_ENTRIES_MAX)]
    TooMany(usize),
    /// An entry that cannot be read or written.
    #[error("the entry {name:?} of the zip archive: {error}")]
    Entry {
        /// The entry.
        name: String,
        /// What the system said.
        error: io::Error,
    },
}

/// The most bytes of a link's target.
const LINK_BYTES_MAX: u64 = 4096;

/// Unpacks it.
pub(super) fn unpack(file: &mut File, into: &Path) -> Result<(), ArchiveError> {
    let mut archive = ZipArchive::new(file)?;
    if archive.len() > limits::PACKAGE_ENTRIES_MAX {
        return Err(ArchiveError::TooMany(archive.len()));
    }
    let mut links = Vec::new();
    let mut bytes_left = limits::PACKAGE_BYTES_MAX;
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number)?;
        let name = entry.name()?.into_owned();
        let relative = inside(&name).ok_or_else(|| ArchiveError::LeadsOut(name.clone()))?;
        let failed = |error| ArchiveError::Entry { name: name.clone(), error };
        let path = into.join(&relative);
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(failed)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            entry.by_ref().take(LINK_BYTES_MAX).read_to_string(&mut target).map_err(failed)?;
            links.push((name, relative, target));
        } else {
            let mode = entry.unix_mode();
            write(&mut entry, &path, mode, &mut bytes_left).map_err(|error| match error {
                WriteError::TooLarge => ArchiveError::TooLarge,
                WriteError::Io(error) => failed(error),
            })?;
        }
    }
    for (name, relative, target) in links {
        let around = relative.parent().unwrap_or(Path::new(""));
        if !stays_inside(around, &target) {
            return Err(ArchiveError::LeadsOut(name));
        }
        let path = into.join(&relative);
        let made = fs::create_dir_all(into.join(around)).and_then(|()| is_below(&path, into)).and_then(|is_below| {
            match is_below {
                true => symlink(&target, &path),
                false => Err(io::Error::other("it lies behind a link")),
            }
        });
        made.map_err(|error| ArchiveError::Entry { name, error })?;
    }
    Ok(())
}

enum WriteError {
    TooLarge,
    Io(io::Error),
}

fn write(entry: &mut impl Read, path: &Path, mode: Option<u32>, bytes_left: &mut u64) -> Result<(), WriteError> {
    let io = WriteError::Io;
    if let Some(around) = path.parent() {
        fs::create_dir_all(around).map_err(io)?;
    }
    // An archive may hold a name twice; the later one counts, as for unzip.
    let mut file = File::create(path).map_err(io)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = entry.read(&mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        *bytes_left = bytes_left.checked_sub(read as u64).ok_or(WriteError::TooLarge)?;
        file.write_all(&buffer[..read]).map_err(io)?;
    }
    // Whatever the archive says: readable by us, and executable where it says so.
    let mode = if mode.unwrap_or(0) & 0o111 != 0 { 0o755 } else { 0o644 };
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(io)
}

/// The path of an entry's name, if it stays inside. Some programs write backslashes.
fn inside(name: &str) -> Option<PathBuf> {
    let name = name.replace('\\', "/");
    let mut path = PathBuf::new();
    for component in Path::new(&name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!name.contains('\0')).then_some(path)
}

/// Whether a link in the directory `around` to `target` leads to something inside.
fn stays_inside(around: &Path, target: &str) -> bool {
    let mut depth = around.components().count();
    let target = Path::new(target);
    if target.as_os_str().is_empty() {
        return false;
    }
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Whether the directory around `path` really lies below `root`, behind whatever links there are.
fn is_below(path: &Path, root: &Path) -> io::Result<bool> {
    let around = path.parent().unwrap_or(root).canonicalize()?;
    Ok(around.starts_with(root.canonicalize()?))
}
