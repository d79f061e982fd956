//! A place for objects: a bucket of S3, or of anything that speaks like it, or a directory.
//!
//! Invariants: an object is there whole or not at all; when [`ObjectWriter::put`] answers Ok, it is there, and a crash or power
//! cut at the place does not take it back; a repeat of a put leaves what the first one left. Every call has a time limit.
//! What it does not do: it repeats nothing (whoever asks does), and it uploads in one piece, so that a put can ask for an object
//! not to be there yet and the store keeps one checksum of all its bytes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tailrace_core::EpochMs;

use super::directory::Directory;
use super::s3::{S3, S3Config};
use crate::sink::SinkError;

/// Longest key, with the prefix of the place before it. Source: S3's limit, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest part of a key between slashes: what file systems take, without the characters of a temporary name around it.
pub const KEY_PART_BYTES_MAX: usize = 245;
/// Largest object that is read. What sinks write is bounded by their flushes, far below it.
pub const READ_BYTES_MAX: u64 = 256 << 20;
/// The slowest place that is waited for: a put has its time limit and the time that its bytes take at this rate.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 128 << 10;
/// The time limit of a call where none is given.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes objects, and reads them back. Clones share all they have.
#[derive(Clone, Debug)]
pub struct ObjectWriter(Arc<Place>);

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each sink")]
enum Place {
    S3(S3),
    Directory(Directory),
}

/// Where objects go, as a configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A bucket, and what all keys start with: empty, or ending in a slash.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
    },
    /// A directory; it is made when it is needed.
    Directory(PathBuf),
}

/// How an object is to be put.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// What may be there before.
    pub over: Over<'a>,
    /// For how long nobody may change or delete it.
    pub lock: Option<Lock>,
    /// Its media type.
    pub content_type: &'static str,
}

/// What may be at a key before a put.
#[derive(Clone, Copy, Debug)]
pub enum Over<'a> {
    /// Nothing, or the very same bytes: then the put is done.
    Same,
    /// Exactly what was read under this tag; `None`: nothing.
    Read(Option<&'a Tag>),
    /// Anything.
    Anything,
}

/// Protection of an object against change. At S3 it is Object Lock, and the bucket must have it; in a directory the file loses
/// its write permissions, which keeps accidents away and nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who may shorten it.
    pub mode: LockMode,
    /// Until when.
    pub until: EpochMs,
}

/// Who may shorten a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LockMode {
    /// Those with the permission to.
    Governance,
    /// Nobody.
    Compliance,
}

/// What tells a version of an object from others of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(pub(super) String);

impl Tag {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub body: Bytes,
    /// Its version's tag.
    pub tag: Tag,
}

/// An object that is being read.
pub struct Opened {
    /// Its length.
    pub bytes: u64,
    /// Its version's tag.
    pub tag: Tag,
    pub(super) place: String,
    pub(super) timeout: Duration,
    pub(super) seen: u64,
    pub(super) pieces: BoxStream<'static, Result<Bytes, String>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("place", &self.place).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Opened {
    /// How long it may take to read it whole: its call's limit, and what its bytes take at the slowest place that is waited for.
    pub fn patience(&self) -> Duration {
        self.timeout + Duration::from_secs(self.bytes / BYTES_PER_SECOND_MIN)
    }

    /// Its next bytes; `None`: there are no more, and there were as many as it said.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let failed = |error: String| ObjectError::Failed { place: self.place.clone(), error };
        match self.pieces.next().await {
            Some(piece) => {
                let piece = piece.map_err(failed)?;
                self.seen += piece.len() as u64;
                if self.seen > self.bytes {
                    return Err(failed(format!("it has more than the {} bytes that it said", self.bytes)));
                }
                Ok(Some(piece))
            }
            None if self.seen < self.bytes => {
                Err(failed(format!("it ended after {} of {} bytes", self.seen, self.bytes)))
            }
            None => Ok(None),
        }
    }
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
}

/// An object could not be put or read. The text is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// No object can have this key.
    #[error("no object can be named {key:?}: {why}")]
    Key {
        /// The key.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// There is another object of this key.
    #[error("{place} holds other bytes than those that belong there{}; move it away, and it is written anew", by(.release))]
    Differs {
        /// The object's address.
        place: String,
        /// The release of Tailrace that wrote it, if that is known.
        release: Option<String>,
    },
    /// Another writer was first.
    #[error("{place} was changed by another writer")]
    Changed {
        /// The object's address.
        place: String,
    },
    /// There was no answer in time.
    #[error("{place}: no answer within {} s", .after.as_secs())]
    Timeout {
        /// The object's address.
        place: String,
        /// The limit.
        after: Duration,
    },
    /// Anything else, as the place says it.
    #[error("{place}: {error}")]
    Failed {
        /// The object's address.
        place: String,
        /// What is wrong.
        error: String,
    },
}

fn by(release: &Option<String>) -> String {
    release.as_ref().map(|release| format!(" (written by {release})")).unwrap_or_default()
}

impl From<ObjectError> for SinkError {
    fn from(error: ObjectError) -> SinkError {
        SinkError(error.to_string())
    }
}

/// A place cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The address is none.
    #[error("`{to}` is no place for objects: use s3://BUCKET/PREFIX, file:///DIRECTORY or a directory's path")]
    Address {
        /// What was given.
        to: String,
    },
    /// The path of the bucket, or a setting of it, cannot be right.
    #[error("{0}")]
    Setting(String),
}

impl Destination {
    /// Reads `s3://bucket/prefix`, `file:///directory` or the path of a directory.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(to: &str) -> Result<Destination, PlaceError> {
        let wrong = || PlaceError::Address { to: to.to_owned() };
        if let Some(address) = to.strip_prefix("s3://") {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            let prefix = prefix.trim_end_matches('/');
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
            if bucket.is_empty() || !bucket.bytes().all(plain) {
                return Err(wrong());
            }
            if !prefix.is_empty() {
                check_key(prefix).map_err(|error| PlaceError::Setting(error.to_string()))?;
            }
            let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            return Ok(Destination::S3 { bucket: bucket.to_owned(), prefix });
        }
        if let Some(path) = to.strip_prefix("file://") {
            return if path.starts_with('/') { Ok(Destination::Directory(path.into())) } else { Err(wrong()) };
        }
        if to.is_empty() || to.contains("://") {
            return Err(wrong());
        }
        Ok(Destination::Directory(to.into()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Destination::Directory(path) => write!(f, "{}/", path.display()),
        }
    }
}

impl ObjectWriter {
    /// Makes a writer. Nothing is asked of the place yet.
    ///
    /// # Errors
    /// The settings cannot be right.
    pub fn new(destination: &Destination, s3: &S3Config) -> Result<ObjectWriter, PlaceError> {
        Ok(ObjectWriter(Arc::new(match destination {
            Destination::S3 { bucket, prefix } => Place::S3(S3::new(bucket, prefix, s3)?),
            Destination::Directory(path) => Place::Directory(Directory::new(path)),
        })))
    }

    /// The address of an object: `s3://bucket/prefix/key`, or the path of its file.
    pub fn address(&self, key: &str) -> String {
        match &*self.0 {
            Place::S3(s3) => s3.address(key),
            Place::Directory(directory) => directory.address(key),
        }
    }

    /// Whether an object can have this key here, with the place's own prefix before it.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self, key: &str) -> Result<(), ObjectError> {
        match &*self.0 {
            Place::S3(s3) => s3.path(key).map(|_| ()),
            Place::Directory(_) => check_key(key),
        }
    }

    /// Puts an object.
    ///
    /// # Errors
    /// It is not known to be there as asked for.
    pub async fn put(&self, key: &str, body: Bytes, how: Put<'_>) -> Result<(), ObjectError> {
        self.check(key)?;
        match &*self.0 {
            Place::S3(s3) => s3.put(key, body, how).await,
            Place::Directory(directory) => directory.put(key, body, how).await,
        }
    }

    /// Reads an object; `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read, or is larger than [`READ_BYTES_MAX`].
    pub async fn get(&self, key: &str) -> Result<Option<Stored>, ObjectError> {
        self.check(key)?;
        match &*self.0 {
            Place::S3(s3) => s3.get(key).await,
            Place::Directory(directory) => directory.get(key).await,
        }
    }

    /// Begins to read an object of any size; `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn open(&self, key: &str) -> Result<Option<Opened>, ObjectError> {
        self.check(key)?;
        match &*self.0 {
            Place::S3(s3) => s3.open(key).await,
            Place::Directory(directory) => Ok(directory.get(key).await?.map(|Stored { body, tag }| Opened {
                bytes: body.len() as u64,
                tag,
                place: directory.address(key),
                timeout: CALL_TIMEOUT,
                seen: 0,
                pieces: futures_util::stream::iter([Ok(body)]).boxed(),
            })),
        }
    }

    /// The objects in a folder of keys (empty: all; otherwise without a slash at its end) and in its folders, in the order of the
    /// keys' bytes: those behind `after`, and at most `most`.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn list(&self, folder: &str, after: Option<&str>, most: usize) -> Result<Vec<Listed>, ObjectError> {
        if !folder.is_empty() {
            check_key(folder)?;
        }
        match &*self.0 {
            Place::S3(s3) => s3.list(folder, after, most).await,
            Place::Directory(directory) => directory.list(folder, after, most).await,
        }
    }
}

/// Whether a key can be that of an object at every place: parts between slashes, none empty, none of dots that mean a directory,
/// no control characters, within the limits.
///
/// # Errors
/// It cannot.
pub fn check_key(key: &str) -> Result<(), ObjectError> {
    let why = if key.is_empty() {
        "it is empty"
    } else if key.len() > KEY_BYTES_MAX {
        "it is longer than 1024 bytes"
    } else if key.chars().any(char::is_control) {
        "it has control characters"
    } else if key.split('/').any(str::is_empty) {
        "there is nothing between two slashes, or before the first or behind the last one"
    } else if key.split('/').any(|part| part == "." || part == "..") {
        "`.` and `..` are no names"
    } else if key.split('/').any(|part| part.len() > KEY_PART_BYTES_MAX) {
        "a part of it is longer than 245 bytes"
    } else {
        return Ok(());
    };
    Err(ObjectError::Key { key: key.to_owned(), why })
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_buckets_and_directories() {
        let s3 = |bucket: &str, prefix: &str| Destination::S3 { bucket: bucket.into(), prefix: prefix.into() };
        for (to, expect) in [
            ("s3://lake", s3("lake", "")),
            ("s3://lake/", s3("lake", "")),
            ("s3://my.lake-1/orders/raw/", s3("my.lake-1", "orders/raw/")),
            ("file:///var/lake", Destination::Directory("/var/lake".into())),
            ("lake/orders", Destination::Directory("lake/orders".into())),
        ] {
            assert_eq!(Destination::parse(to), Ok(expect), "{to}");
        }
        for to in ["", "s3://", "s3:///x", "s3://Lake!", "s3://lake//x", "s3://lake/../x", "gs://lake/x", "file://lake"]
        {
            assert!(Destination::parse(to).is_err(), "{to}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for key in ["a", "a/b=c/d.jsonl.gz", "é/ü", "..a/b..", ".a"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        let long = "x".repeat(KEY_PART_BYTES_MAX + 1);
        for key in ["", "/a", "a/", "a//b", "a/../b", "./a", "a\nb", "a\u{7f}", &long, &"x/".repeat(600)] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
