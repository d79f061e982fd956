//! The lines of a `writes.ndjson`: which there are, how each is known, and what it asks for.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tailrace_engine::IdempotencyMark;
use tailrace_store::keyspace::IdempotencyScope;

/// A line that is not blank.
pub struct Line<'a> {
    /// Its number in the file, from 1.
    pub number: usize,
    /// So often its text stands in the file up to here.
    pub occurrence: u64,
    text: &'a [u8],
    digest: [u8; 32],
}

/// The operations that a line may name: those that write items. Everything else is a template's business.
const OPERATIONS: [&str; 4] = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"];

/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file that are not blank, in order.
pub fn read(file: &[u8]) -> Vec<Line<'_>> {
    let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let mut occurrences: HashMap<[u8; 32], u64> = HashMap::new();
    let texts = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let lines = texts.filter(|(_, text)| !text.is_empty()).map(|(index, text)| {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let occurrence = occurrences.entry(digest).or_default();
        *occurrence += 1;
        Line { number: index + 1, occurrence: *occurrence, text, digest }
    });
    lines.collect()
}

impl Line<'_> {
    /// The mark that says that the line was played.
    pub fn mark(&self) -> IdempotencyMark {
        let token: Bytes = [&self.digest[..], &self.occurrence.to_be_bytes()].concat().into();
        IdempotencyMark { scope: IdempotencyScope::PlayedLine, token, request: self.digest, expires_ms: None }
    }

    /// The operation and its request.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn parse(&self) -> Result<(&'static str, Value), LineError> {
        match serde_json::from_slice(self.text).map_err(LineError::NotJson)? {
            Value::Object(members) if members.len() == 1 => {
                let (name, request) = members.into_iter().next().expect("invariant: one member");
                let operation = OPERATIONS.into_iter().find(|known| *known == name);
                Ok((operation.ok_or(LineError::NoWrite(name))?, request))
            }
            _ => Err(LineError::OtherForm),
        }
    }
}

/// What is wrong with a line.
#[derive(Debug)]
pub enum LineError {
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It is not an object of one member.
    OtherForm,
    /// It names something that is none of [`OPERATIONS`].
    NoWrite(String),
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const CHARS_SHOWN_MAX: usize = 40;
        match self {
            LineError::NotJson(error) => write!(f, "not JSON: {error}"),
            LineError::OtherForm => f.write_str("not of the form {\"PutItem\": {...}}"),
            LineError::NoWrite(name) => {
                let shown: String = name.chars().take(CHARS_SHOWN_MAX).collect();
                write!(f, "{shown:?} is not one of {}", OPERATIONS.join(", "))
            }
        }
    }
}
