//! Packages: the one step that makes a directory of wherever code comes from.
//!
//! A directory is used in place. Whatever else there is (a zip archive, one file, a text of a template) is unpacked below
//! the data directory, in a directory named by the digest of its content: the same content is unpacked once, and what
//! changed is another directory, so that a function whose code changed is another configuration.
//!
//! Invariants
//! - A directory with the name of a digest is whole: it is filled under another name, reaches the disk, and is renamed.
//! - What a function uses is never removed. The rest goes when the server starts, and while it runs what is beyond
//!   `PACKAGES_UNUSED_MAX`.
//!
//! What it does not do: it fetches nothing from a bucket, installs no packages, and keeps no list: the names say it all.

mod archive;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tailrace_core::code::CodeSource;
use tailrace_core::limits;

pub use archive::ArchiveError;

/// Why there is no directory for a source. Each text stands behind the name of the source.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file or directory cannot be read.
    #[error("{}: {error}", path.display())]
    Source {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// An archive that cannot be unpacked.
    #[error("{}: {error}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        error: ArchiveError,
    },
    /// A file that is larger than a package may be.
    #[error("{}: it is larger than {} MB", path.display(), limits::PACKAGE_BYTES_MAX / (1024 * 1024))]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// An object of a bucket that nothing here stands for.
    #[error("the code is in the bucket {bucket}, as {key}: give what holds it here (--resource {bucket}=DIR)")]
    Elsewhere {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// The directory of the packages cannot be written.
    #[error("cannot unpack it below {}: {error}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The directory of what was unpacked.
#[derive(Debug)]
pub struct Packages {
    dir: PathBuf,
    /// Where Python keeps what it compiled of the files in a directory: below the directory's own path.
    compiled: PathBuf,
    /// Names of directories that are being filled.
    filling: AtomicU64,
}

/// A module that AWS puts beside code in a template which names it, and beside no other code.
/// Source: the documentation of CloudFormation, "cfn-response module".
struct ModuleBeside {
    /// The file of the code that it is for.
    code: &'static str,
    /// By this the code names it.
    name: &'static str,
    /// Where it lies.
    path: &'static str,
    text: &'static str,
}

const MODULES_BESIDE: [ModuleBeside; 2] = [
    ModuleBeside {
        code: "index.py",
        name: "cfnresponse",
        path: "cfnresponse.py",
        text: include_str!("cfnresponse.py"),
    },
    ModuleBeside {
        code: "index.js",
        name: "cfn-response",
        path: "node_modules/cfn-response.js",
        text: include_str!("cfn-response.js"),
    },
];

impl ModuleBeside {
    fn is_beside(&self, file_name: &str, text: &str) -> bool {
        file_name == self.code && text.contains(self.name)
    }

    fn write(&self, into: &Path) -> io::Result<()> {
        let path = into.join(self.path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, self.text)
    }
}

/// What a directory that is being filled is called; no digest begins so.
const FILLING: &str = "filling-";

impl Packages {
    /// Makes the directory; `compiled` is where Python keeps what it compiles. To be called with the data directory's lock
    /// held.
    ///
    /// # Errors
    /// The system's.
    pub fn open(dir: &Path, compiled: &Path) -> io::Result<Packages> {
        fs::create_dir_all(dir)?;
        Ok(Packages { dir: dir.canonicalize()?, compiled: compiled.to_owned(), filling: AtomicU64::new(0) })
    }

    /// The directory with the code of this source. It reads and writes the disk: call it where blocking is no matter.
    ///
    /// # Errors
    /// Why there is none.
    pub fn directory(&self, source: &CodeSource) -> Result<PathBuf, PackageError> {
        match source {
            CodeSource::Path(path) => self.of_path(path),
            CodeSource::Inline { file_name, text } => {
                let module = MODULES_BESIDE.iter().find(|module| module.is_beside(file_name, text));
                let write = |into: &Path| {
                    let written = fs::write(into.join(file_name), text);
                    written.and_then(|()| module.map_or(Ok(()), |module| module.write(into)))
                };
                let digest = digest_of_file(file_name, text.as_bytes());
                // Another one than without the module: one from before there were any may be here.
                let digest = module.map_or(digest.clone(), |module| digest_of_file(&digest, module.text.as_bytes()));
                self.unpacked(digest, |into| write(into).map_err(|error| self.failed(error)))
            }
            CodeSource::Object { bucket, key } => {
                Err(PackageError::Elsewhere { bucket: bucket.clone(), key: key.clone() })
            }
        }
    }

    fn of_path(&self, path: &Path) -> Result<PathBuf, PackageError> {
        let unreadable = |error| PackageError::Source { path: path.to_owned(), error };
        let metadata = path.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Ok(path.to_owned());
        }
        if !metadata.is_file() {
            // A pipe or a device has no end, and holds whoever opens it.
            return Err(unreadable(io::Error::other("it is no directory and no regular file")));
        }
        if metadata.len() > limits::PACKAGE_BYTES_MAX {
            return Err(PackageError::TooLarge { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(unreadable)?;
        if is_archive(path, &mut file).map_err(unreadable)? {
            let digest = digest_of_archive(&mut file).map_err(unreadable)?;
            self.unpacked(digest, |into| {
                archive::unpack(&mut file, into).map_err(|error| PackageError::Archive { path: path.to_owned(), error })
            })
        } else {
            let mut content = Vec::new();
            file.read_to_end(&mut content).map_err(unreadable)?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            let digest = digest_of_file(&name.to_string_lossy(), &content);
            self.unpacked(digest, |into| {
                let copied = fs::write(into.join(name), &content)
                    .and_then(|()| fs::set_permissions(into.join(name), metadata.permissions()));
                copied.map_err(|error| self.failed(error))
            })
        }
    }

    /// The directory of this digest, which `fill` fills if it is not there.
    fn unpacked(
        &self,
        digest: String,
        fill: impl FnOnce(&Path) -> Result<(), PackageError>,
    ) -> Result<PathBuf, PackageError> {
        let whole = self.dir.join(&digest);
        if whole.is_dir() {
            return Ok(whole);
        }
        let number = self.filling.fetch_add(1, Ordering::Relaxed);
        let filling = self.dir.join(format!("{FILLING}{number}"));
        remove(&filling).map_err(|error| self.failed(error))?;
        fs::create_dir(&filling).map_err(|error| self.failed(error))?;
        let filled = fill(&filling).and_then(|()| {
            // A name that outlives a power cut must not have files without their content behind it.
            let reached = File::open(&filling).and_then(|dir| Ok(rustix::fs::syncfs(dir)?));
            reached.and_then(|()| fs::rename(&filling, &whole)).map_err(|error| self.failed(error))
        });
        match filled {
            Ok(()) => Ok(whole),
            // Someone else was faster with the same.
            Err(_) if whole.is_dir() => {
                let _ = remove(&filling);
                Ok(whole)
            }
            Err(error) => {
                let _ = remove(&filling);
                Err(error)
            }
        }
    }

    /// Removes what none of these directories is, but for the `kept` newest ones. What cannot be removed stays for the next
    /// time.
    pub fn sweep(&self, used: &BTreeSet<PathBuf>, kept: usize) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut unused: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| !used.contains(&entry.path()))
            .map(|entry| {
                let made = entry.metadata().and_then(|metadata| metadata.modified());
                (made.unwrap_or(SystemTime::UNIX_EPOCH), entry.path())
            })
            .collect();
        unused.sort();
        unused.truncate(unused.len().saturating_sub(kept));
        for (_, path) in unused {
            let compiled = self.compiled.join(path.strip_prefix("/").unwrap_or(&path));
            if let Err(error) = remove(&path).and_then(|()| remove(&compiled)) {
                tracing::warn!(path = %path.display(), %error, "cannot remove what was unpacked");
            }
        }
    }

    fn failed(&self, error: io::Error) -> PackageError {
        PackageError::Cache { path: self.dir.clone(), error }
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a file is a zip archive: by its first bytes, whatever it is called (a .jar is one), and by its name, so that one
/// that is damaged is told as that.
fn is_archive(path: &Path, file: &mut File) -> io::Result<bool> {
    const STARTS: [&[u8; 4]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
    let mut start = [0; 4];
    let read = file.read(&mut start)?;
    io::Seek::rewind(file)?;
    let is_named_so =
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip") || ending.eq_ignore_ascii_case("jar"));
    Ok(is_named_so || (read == start.len() && STARTS.contains(&&start)))
}

fn digest_of_archive(file: &mut File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(b"archive\0");
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    io::Seek::rewind(file)?;
    Ok(name_of(hasher))
}

fn digest_of_file(name: &str, content: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"file\0");
    hasher.update((name.len() as u64).to_be_bytes());
    hasher.update(name);
    hasher.update(content);
    name_of(hasher)
}

/// Half of the digest: enough that nobody finds two contents with the same, and paths stay short.
fn name_of(hasher: Sha256) -> String {
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
