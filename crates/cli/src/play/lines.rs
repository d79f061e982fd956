//! The lines of a `writes.ndjson`: which there are, how each is known, and what it asks for.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read};

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tailrace_core::limits::REQUEST_BODY_BYTES_MAX;
use tailrace_engine::IdempotencyMark;
use tailrace_store::keyspace::IdempotencyScope;

/// A line that is not blank.
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// So often its text stands in the file up to here.
    occurrence: u64,
    /// `None`: it is longer than [`LINE_BYTES_MAX`], and was passed over.
    text: Option<Vec<u8>>,
    digest: [u8; 32],
}

/// The operations that a line may name: those that write items. Everything else is a template's business.
const OPERATIONS: [&str; 4] = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"];

/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The longest line that is played: one as long as the longest request may be.
pub const LINE_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX;

/// Lines are taken in groups: of this many lines, or of this many bytes and the line with which they are passed.
const GROUP_LINES: usize = 1000;
const GROUP_BYTES: usize = 1024 * 1024;

/// The lines of a file, one group after the other, so that a file of any length takes little memory: a group, and of each text
/// that was read what tells it from the others.
pub struct Lines<R> {
    from: R,
    /// Lines that were read.
    read: usize,
    /// How often a text came, by the first half of its digest: nobody finds two texts with the same.
    occurrences: HashMap<[u8; 16], u32>,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `from`, from where it stands.
    pub fn of(from: R) -> Lines<R> {
        Lines { from, read: 0, occurrences: HashMap::new() }
    }

    /// The next lines that are not blank; none: there are no more. It waits for the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn next_group(&mut self) -> io::Result<Vec<Line>> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < GROUP_LINES && bytes < GROUP_BYTES {
            let mut text = Vec::new();
            // With the end of the line, which may be two bytes.
            let read = self.from.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut text)?;
            if read == 0 {
                break;
            }
            let is_cut = read > LINE_BYTES_MAX && !text.ends_with(b"\n");
            if is_cut {
                skip_line(&mut self.from)?;
            }
            self.read += 1;
            if self.read == 1 && text.starts_with(BYTE_ORDER_MARK) {
                text.drain(..BYTE_ORDER_MARK.len());
            }
            let trimmed = text.trim_ascii();
            if trimmed.is_empty() {
                continue;
            }
            bytes += trimmed.len();
            let digest: [u8; 32] = Sha256::digest(trimmed).into();
            let mut half = [0; 16];
            half.copy_from_slice(&digest[..16]);
            let occurrence = self.occurrences.entry(half).or_default();
            *occurrence += 1;
            let occurrence = u64::from(*occurrence);
            let text = (!is_cut && trimmed.len() <= LINE_BYTES_MAX).then(|| trimmed.to_vec());
            group.push(Line { number: self.read, occurrence, text, digest });
        }
        Ok(group)
    }
}

/// Goes behind the end of the line.
fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        let (used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        from.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

impl Line {
    /// The mark that says that the line was played.
    pub fn mark(&self) -> IdempotencyMark {
        let token: Bytes = [&self.digest[..], &self.occurrence.to_be_bytes()].concat().into();
        IdempotencyMark { scope: IdempotencyScope::PlayedLine, token, request: self.digest, expires_ms: None }
    }

    /// The operation and the text of its request, as it stands in the line.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn parse(&self) -> Result<(&'static str, &str), LineError> {
        let text = self.text.as_ref().ok_or(LineError::TooLong)?;
        let members: BTreeMap<String, &RawValue> = serde_json::from_slice(text).map_err(LineError::of)?;
        let mut members = members.into_iter();
        let (Some((name, request)), None) = (members.next(), members.next()) else { return Err(LineError::OtherForm) };
        let operation = OPERATIONS.into_iter().find(|known| *known == name);
        Ok((operation.ok_or(LineError::NoWrite(name))?, request.get()))
    }
}

/// What is wrong with a line.
#[derive(Debug)]
pub enum LineError {
    /// It has more bytes than [`LINE_BYTES_MAX`].
    TooLong,
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It is not an object of one member.
    OtherForm,
    /// It names something that is none of [`OPERATIONS`].
    NoWrite(String),
}

impl LineError {
    fn of(error: serde_json::Error) -> LineError {
        if error.is_data() { LineError::OtherForm } else { LineError::NotJson(error) }
    }
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const CHARS_SHOWN_MAX: usize = 40;
        match self {
            LineError::TooLong => write!(f, "longer than {LINE_BYTES_MAX} bytes"),
            LineError::NotJson(error) => write!(f, "not JSON: {error}"),
            LineError::OtherForm => f.write_str("not of the form {\"PutItem\": {...}}"),
            LineError::NoWrite(name) => {
                let shown: String = name.chars().take(CHARS_SHOWN_MAX).collect();
                write!(f, "{shown:?} is not one of {}", OPERATIONS.join(", "))
            }
        }
    }
}
