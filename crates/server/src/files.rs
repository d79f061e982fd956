//! Reads of files that others wrote, bounded by what is read and not by the length that the system tells: a device and a
//! pipe tell 0.
//!
//! Invariants: no read keeps more than its limit, and a file that was found, or that a template names, is opened only if it
//! is a regular one: a named pipe would hold the start, or a reload of the running server, for ever. What the user names at
//! the command line may be a pipe, as that of `<(command)` is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What is looked at of a file to see how much of it may be read, bytes.
const BEGINNING: u64 = 4096;

/// The bytes of a file that the user named, which may be a pipe.
///
/// # Errors
/// It cannot be read, or has more than `max` bytes.
pub fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_bounded(path, |_| max)
}

/// As [`read_at_most`], with a bound that hangs on how the file begins. It is opened once: a pipe gives what it has to one reader.
///
/// # Errors
/// It cannot be read, or has more bytes than that.
pub fn read_bounded(path: &Path, max: impl FnOnce(&[u8]) -> u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(BEGINNING).read_to_end(&mut bytes)?;
    let max = max(&bytes);
    let too_large = || io::Error::other(format!("it is larger than {max} bytes"));
    if file.metadata()?.len() > max {
        return Err(too_large());
    }
    let rest = max.saturating_add(1).saturating_sub(bytes.len() as u64);
    file.take(rest).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

/// The directory in which a file lies.
pub fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The bytes of a file that was found, or that a template names.
///
/// # Errors
/// It is no regular file, cannot be read, or has more than `max` bytes.
pub fn read_regular(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    read_at_most(path, max)
}

/// That a path leads to a regular file.
///
/// # Errors
/// It does not, or cannot be asked.
pub fn check_regular(path: &Path) -> io::Result<()> {
    let metadata = path.metadata()?;
    // A directory keeps the system's own words.
    if metadata.is_file() || metadata.is_dir() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Bytes as text.
///
/// # Errors
/// They are no UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_an_end_is_read_to_the_limit_only() {
        let error = read_at_most(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 100 bytes");
    }

    #[test]
    fn a_file_of_just_the_limit_is_read_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "ten bytes.").unwrap();
        assert_eq!(read_regular(file.path(), 10).unwrap(), b"ten bytes.");
        assert_eq!(read_regular(file.path(), 9).unwrap_err().to_string(), "it is larger than 9 bytes");
    }

    #[test]
    fn what_is_found_and_no_regular_file_is_not_opened() {
        let error = read_regular(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(error.to_string(), "it is not a regular file");
    }
}
