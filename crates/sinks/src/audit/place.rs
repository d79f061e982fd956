//! Where a trail lies: files in folders, a folder for each chain. A file holds one segment or several, one behind the other, and is named
//! by the number of its first entry, 16 digits. What was once confirmed there is never written again.

use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tailrace_core::EpochMs;
use tokio::io::AsyncRead;

use super::chain::ReadLine;
use super::entry::SIGNATURE;

/// The end of a file's name.
const FILE_END: &str = ".jsonl";
/// Digits of the number in a file's name.
const FILE_DIGITS: usize = 16;

/// A place in a file of a trail: where a segment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The chain's folder.
    pub chain: String,
    /// The file: the number of its first entry.
    pub file: u64,
    /// Where in the file, bytes; 0: it is new.
    pub offset: u64,
}

/// A segment on its way to its place.
#[derive(Clone, Debug)]
pub struct NewSegment {
    /// Its bytes.
    pub bytes: Bytes,
    /// The time of its last record.
    pub time_ms: EpochMs,
    /// What was to come there before, and was not confirmed.
    pub tried: Vec<Tried>,
}

/// A segment that was to come behind a head, and may be in the place or not. The next try may hold other bytes: a batch was shortened
/// meanwhile by what was set aside, or values are hidden by another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The hash of its last entry, hex.
    pub hash: String,
    /// Its size, bytes.
    pub bytes: u64,
}

impl Tried {
    /// Whether it is what `there` begins with, and all of it. `goes_on`: there is more than `there`.
    fn is_all_of(&self, there: &[u8], goes_on: bool) -> bool {
        let end = usize::try_from(self.bytes).ok().filter(|end| *end <= there.len() && !goes_on);
        let Some((own, behind)) = end.map(|end| there.split_at(end)) else { return false };
        let hash = |line: &[u8]| ReadLine::parse(line).and_then(|line| line.hash("hash"));
        // Its last line, or the one before the signature.
        let mut last = own.split(|byte| *byte == b'\n').rev().skip(1).take(2);
        own.ends_with(b"\n")
            && last.any(|line| hash(line).is_some_and(|hash| hash.to_string() == self.hash))
            && !behind.split_inclusive(|byte| *byte == b'\n').any(is_sound)
    }
}

impl At {
    /// The beginning of a file.
    pub fn start_of(chain: &str, file: u64) -> At {
        At { chain: chain.to_owned(), file, offset: 0 }
    }
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
    /// Another segment is there.
    #[error(
        "{0} has entries already that this data directory did not write: those of another audit trail, or it was restored from a backup. \
         They stay; let this one go on in another place"
    )]
    Taken(String),
}

/// Keeps the files of a trail.
pub trait Place: Send + Sync + 'static {
    /// Its name for people, without secrets; another name is another place.
    fn name(&self) -> String;

    /// A file that has so many bytes gets no more; 0: each segment is a file.
    fn file_bytes_max(&self) -> u64;

    /// Writes a segment, durably. An earlier try at the same segment, which was not confirmed, goes. What [`is_another`] stays, and is
    /// an error.
    fn write(&self, at: At, segment: NewSegment) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// The folders that have files, in the order of their names.
    fn chains(&self) -> BoxFuture<'_, io::Result<Vec<String>>>;

    /// The files of a folder, ascending; and the names of what is no file of a trail.
    fn files<'a>(&'a self, chain: &'a str) -> BoxFuture<'a, io::Result<(Vec<u64>, Vec<String>)>>;

    /// A file's content from there on.
    fn open<'a>(&'a self, at: &'a At) -> BoxFuture<'a, io::Result<Box<dyn AsyncRead + Send + Unpin>>>;
}

/// Whether another segment lies where the one in `bytes` is to go, which may have been confirmed: whoever restores a data directory from a
/// backup has records of the same numbers as before. An earlier try at the same segment has the same entries, as far as it came, and
/// perhaps another signature; what a power cut left is no line. At the beginning of a file, which comes there whole, all else is somebody's.
/// `goes_on`: there is more than `there`, which is more than any try at the segment: a line that is cut by its end is a whole one.
/// `tried`: what is no other one either.
pub fn is_another(there: &[u8], bytes: &[u8], is_beginning: bool, goes_on: bool, tried: &[Tried]) -> bool {
    if tried.iter().any(|tried| tried.is_all_of(there, goes_on)) {
        return false;
    }
    let is_sound = |line: &[u8]| is_sound(line) || (goes_on && !line.ends_with(b"\n"));
    let mut theirs = there.split_inclusive(|byte| *byte == b'\n');
    for own in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = theirs.next() else { return false };
        if line != own {
            let own = ReadLine::parse(own.trim_ascii_end());
            let is_signature = own.is_some_and(|own| own.text("event_name") == Some(SIGNATURE));
            return is_sound(line) || if is_signature { theirs.next().is_some_and(&is_sound) } else { is_beginning };
        }
    }
    false
}

/// Whether it is a whole line of a chain.
fn is_sound(line: &[u8]) -> bool {
    let read = line.strip_suffix(b"\n").and_then(ReadLine::parse);
    read.is_some_and(|line| {
        line.hash("hash").is_some()
            && line.hash("prev_hash").and_then(|before| line.hash_behind(&before)) == line.hash("hash")
    })
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
