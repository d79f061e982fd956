//! Where a trail lies: files in folders, a folder for each chain. A file holds one segment or several, one behind the other, and is named
//! by the number of its first entry, 16 digits. What was once confirmed there is never written again.

use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tailrace_core::EpochMs;
use tokio::io::AsyncRead;

/// The end of a file's name.
const FILE_END: &str = ".jsonl";
/// Digits of the number in a file's name.
const FILE_DIGITS: usize = 16;

/// Where a segment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The chain's folder.
    pub chain: String,
    /// The file: the number of its first entry.
    pub file: u64,
    /// Where in the file, bytes; 0: it is new.
    pub offset: u64,
}

/// Why a segment is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The place itself.
    #[error("{0}")]
    Io(String),
    /// What was confirmed is not there any more.
    #[error("{file}: {found} bytes are left of {expected} that were written: the audit trail was cut off")]
    CutOff {
        /// The file.
        file: String,
        /// The bytes that are there.
        found: u64,
        /// Those that were.
        expected: u64,
    },
    /// Something else is there.
    #[error("{0} is there already, and not from this audit trail")]
    Taken(String),
}

/// Keeps the files of a trail.
pub trait Place: Send + Sync + 'static {
    /// Its name for people, without secrets; another name is another place.
    fn name(&self) -> String;

    /// A file that has so many bytes gets no more; 0: each segment is a file.
    fn file_bytes_max(&self) -> u64;

    /// Writes a segment, durably. What lies from its offset on was not confirmed, and goes: it is from an earlier try at the same
    /// segment. A file that begins with another first line is not. `time_ms`: that of the last record.
    fn write(&self, at: At, bytes: Bytes, time_ms: EpochMs) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// The folders that have files, in the order of their names.
    fn chains(&self) -> BoxFuture<'_, io::Result<Vec<String>>>;

    /// The files of a folder, ascending; and the names of what is no file of a trail.
    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, io::Result<(Vec<u64>, Vec<String>)>>;

    /// A file's content, from an offset on.
    fn open<'a>(
        &'a self,
        chain: &'a str,
        file: u64,
        offset: u64,
    ) -> BoxFuture<'a, io::Result<Box<dyn AsyncRead + Send + Unpin>>>;
}

/// The first line of a segment, which tells it from all others.
pub fn first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    &bytes[..end]
}

/// The name of a file.
pub fn file_name(file: u64) -> String {
    format!("{file:0FILE_DIGITS$}{FILE_END}")
}

/// The file of this name; `None`: it is no file of a trail.
pub fn file_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(FILE_END)?;
    let file = digits.parse().ok()?;
    (file_name(file) == name).then_some(file)
}
