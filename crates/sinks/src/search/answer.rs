//! The answer to a bulk: what became of each document, read piece by piece.
//!
//! Invariants: what is kept is one item of the answer at a time, at most [`ITEM_BYTES_MAX`], and an outcome for each document. An
//! answer counts only if it is whole: one JSON document, to its last brace, with an item for each document in the order in which
//! they were sent. Everything else is an error, never a success. Source: docs/spec/sinks.md 3.3.

use std::fmt;

use serde::Deserialize;

/// Longest item of an answer, bytes. Our reason: its error tells the value that did not fit, of at most 400 KB, escaped.
const ITEM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest rest of an answer, bytes, besides two for each document.
const SHELL_BYTES_MAX: usize = 64 * 1024;

/// Longest text of an error that is kept, bytes.
const ERROR_BYTES_MAX: usize = 1024;

/// Only these members of an answer are asked for.
pub(super) const MEMBERS: &str = "errors,error.type,error.reason,items.*.status,items.*.error.type,items.*.error.reason,\
                                  items.*.error.caused_by.reason";

/// What is done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Written, if its version is newer.
    Index,
    /// Removed, if its version is newer.
    Delete,
    /// Written, if there is none.
    Create,
}

impl Op {
    /// Its word in a bulk.
    pub fn word(self) -> &'static str {
        match self {
            Op::Index => "index",
            Op::Delete => "delete",
            Op::Create => "create",
        }
    }
}

/// A refusal, in the target's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer, or of the document in it.
    pub status: u16,
    /// For people; empty if the target says nothing.
    pub words: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.words {
            "" => write!(f, "{}", self.status),
            words => write!(f, "{}: {words}", self.status),
        }
    }
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, or a newer one is, or the target has removed it.
    Done,
    /// Not now: why.
    Again(Refusal),
    /// Never: why.
    Rejected(Refusal),
    /// Its index is not there: why.
    NoIndex(Refusal),
}

/// An answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// It ends too early, or is no JSON, or not that of a bulk.
    #[error("the answer to a bulk is damaged: {0}")]
    Damaged(String),
    /// It is too long.
    #[error("the answer to a bulk has more than {0} bytes where it should have few")]
    TooLong(usize),
}

/// Reads an answer.
#[derive(Debug)]
pub(super) struct AnswerReader {
    ops: Vec<Op>,
    outcomes: Vec<Outcome>,
    /// The answer with a 0 in the place of each item.
    shell: Vec<u8>,
    /// What there is of the item that is being read.
    item: Vec<u8>,
    in_item: bool,
    /// The opening braces and brackets around the place.
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
}

/// Deepest nesting of an answer.
const DEPTH_MAX: usize = 16;

impl AnswerReader {
    /// For the answer to a bulk that does `ops`.
    pub fn new(ops: Vec<Op>) -> AnswerReader {
        AnswerReader {
            outcomes: Vec::with_capacity(ops.len()),
            ops,
            shell: Vec::new(),
            item: Vec::new(),
            in_item: false,
            open: Vec::new(),
            in_string: false,
            escaped: false,
        }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// It is no answer.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), AnswerError> {
        piece.iter().try_for_each(|byte| self.take(*byte))
    }

    /// The outcomes: one for each document.
    ///
    /// # Errors
    /// The answer is not whole.
    pub fn finish(self) -> Result<Vec<Outcome>, AnswerError> {
        let shell: Shell = serde_json::from_slice(&self.shell).map_err(damaged)?;
        let (sent, told) = (self.ops.len(), shell.items.len());
        if told != sent || self.outcomes.len() != sent {
            return Err(AnswerError::Damaged(format!("{told} items for {sent} documents")));
        }
        Ok(self.outcomes)
    }

    fn take(&mut self, byte: u8) -> Result<(), AnswerError> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return self.keep(byte);
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                if self.open == b"{[" && byte == b'{' {
                    self.keep(b'0')?;
                    self.in_item = true;
                }
                if self.open.len() == DEPTH_MAX {
                    return Err(AnswerError::Damaged("it is nested too deep".to_owned()));
                }
                self.open.push(byte);
            }
            b'}' | b']' => {
                // That the two are of one kind is seen when the piece is parsed.
                self.open.pop();
                if self.in_item && self.open == b"{[" {
                    self.keep(byte)?;
                    self.in_item = false;
                    return self.end_item();
                }
            }
            _ => {}
        }
        self.keep(byte)
    }

    fn keep(&mut self, byte: u8) -> Result<(), AnswerError> {
        let (kept, most) = match self.in_item {
            true => (&mut self.item, ITEM_BYTES_MAX),
            false => (&mut self.shell, SHELL_BYTES_MAX + 2 * self.ops.len()),
        };
        if kept.len() == most {
            return Err(AnswerError::TooLong(most));
        }
        kept.push(byte);
        Ok(())
    }

    fn end_item(&mut self) -> Result<(), AnswerError> {
        let index = self.outcomes.len();
        let op = *self.ops.get(index).ok_or_else(|| AnswerError::Damaged("there are too many items".to_owned()))?;
        let item: Item = serde_json::from_slice(&self.item).map_err(damaged)?;
        let result = match op {
            Op::Index => item.index,
            Op::Delete => item.delete,
            Op::Create => item.create,
        };
        let result =
            result.ok_or_else(|| AnswerError::Damaged(format!("item {index} is not of the {} there", op.word())))?;
        self.outcomes.push(result.outcome(op));
        self.item.clear();
        Ok(())
    }
}

fn damaged(error: serde_json::Error) -> AnswerError {
    AnswerError::Damaged(error.to_string())
}

#[derive(Deserialize)]
struct Shell {
    items: Vec<u8>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<ItemResult>,
    delete: Option<ItemResult>,
    create: Option<ItemResult>,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    error: Option<TargetError>,
}

/// An error as search engines tell it.
#[derive(Default, Deserialize)]
pub(super) struct TargetError {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub reason: Option<String>,
    caused_by: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    reason: Option<String>,
}

impl TargetError {
    /// An error in plain text.
    pub fn plain(text: &str) -> TargetError {
        let reason = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        TargetError { reason, ..TargetError::default() }
    }

    /// The error with the status that it came with.
    pub fn refusal(&self, status: u16) -> Refusal {
        let cause = self.caused_by.as_ref().and_then(|cause| cause.reason.as_deref());
        let words: Vec<&str> = [self.kind.as_deref(), self.reason.as_deref(), cause].into_iter().flatten().collect();
        let mut words = words.join(": ");
        truncate(&mut words);
        Refusal { status, words }
    }
}

fn truncate(text: &mut String) {
    if text.len() > ERROR_BYTES_MAX {
        let end = (0..=ERROR_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ...");
    }
}

impl ItemResult {
    fn outcome(&self, op: Op) -> Outcome {
        let none = TargetError::default();
        let error = self.error.as_ref().unwrap_or(&none);
        let kind = error.kind.as_deref();
        match (self.status, kind) {
            (200..300, None) => Outcome::Done,
            // A newer version is there, or the same one.
            (409, None | Some("version_conflict_engine_exception")) => Outcome::Done,
            // Nothing was there to be removed.
            (404, None) if op == Op::Delete => Outcome::Done,
            (404, Some("index_not_found_exception")) => Outcome::NoIndex(error.refusal(404)),
            // The index is closed: that passes.
            (400, Some("index_closed_exception")) => Outcome::Again(error.refusal(400)),
            (400, _) => Outcome::Rejected(error.refusal(400)),
            (status, _) => Outcome::Again(error.refusal(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = r#"{"took":3,"errors":true,"items":[{"index":{"status":201}},{"index":{"status":409,"error":{"type":
        "version_conflict_engine_exception","reason":"[\"}]{\\"}}},{"delete":{"status":404}}]}"#;
    const OPS: [Op; 3] = [Op::Index, Op::Index, Op::Delete];

    fn read(ops: &[Op], pieces: &[&[u8]]) -> Result<Vec<Outcome>, AnswerError> {
        let mut reader = AnswerReader::new(ops.to_vec());
        pieces.iter().try_for_each(|piece| reader.feed(piece))?;
        reader.finish()
    }

    fn one(op: Op, result: &str) -> Outcome {
        let answer = format!(r#"{{"errors":true,"items":[{{"{}":{result}}}]}}"#, op.word());
        let [outcome] = read(&[op], &[answer.as_bytes()]).unwrap().try_into().unwrap();
        outcome
    }

    /// Spec: sinks.md 3.3, the rules of item status.
    #[test]
    fn each_document_has_its_outcome() {
        let refusal = |status, words: &str| Refusal { status, words: words.to_owned() };
        let error = |status: u16, kind: &str| {
            format!(r#"{{"status":{status},"error":{{"type":"{kind}","reason":"r","caused_by":{{"reason":"c"}}}}}}"#)
        };
        for op in [Op::Index, Op::Delete, Op::Create] {
            assert_eq!(one(op, r#"{"status":200}"#), Outcome::Done);
            assert_eq!(one(op, &error(409, "version_conflict_engine_exception")), Outcome::Done);
            for status in [429, 500, 502, 503, 504, 403] {
                let expected = Outcome::Again(refusal(status, "some_exception: r: c"));
                assert_eq!(one(op, &error(status, "some_exception")), expected);
            }
            let rejected = Outcome::Rejected(refusal(400, "mapper_parsing_exception: r: c"));
            assert_eq!(one(op, &error(400, "mapper_parsing_exception")), rejected);
            let closed = Outcome::Again(refusal(400, "index_closed_exception: r: c"));
            assert_eq!(one(op, &error(400, "index_closed_exception")), closed);
            let gone = Outcome::NoIndex(refusal(404, "index_not_found_exception: r: c"));
            assert_eq!(one(op, &error(404, "index_not_found_exception")), gone);
        }
        assert_eq!(one(Op::Delete, r#"{"status":404}"#), Outcome::Done);
        assert_eq!(one(Op::Index, r#"{"status":404}"#), Outcome::Again(refusal(404, "")));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_letter() {
        let reason = "é".repeat(ERROR_BYTES_MAX);
        let result = format!(r#"{{"status":400,"error":{{"type":"t","reason":"{reason}"}}}}"#);
        let Outcome::Rejected(error) = one(Op::Index, &result) else { panic!("not rejected") };
        assert!(error.words.ends_with("é ...") && error.words.len() <= ERROR_BYTES_MAX + 4, "{error}");
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_an_error() {
        assert_eq!(read(&OPS, &[WHOLE.as_bytes()]), Ok(vec![Outcome::Done; 3]));
        for end in 0..WHOLE.len() {
            assert!(read(&OPS, &[&WHOLE.as_bytes()[..end]]).is_err(), "{}", &WHOLE[..end]);
        }
    }

    #[test]
    fn what_is_no_answer_to_this_bulk_is_an_error() {
        for answer in [
            "",
            "{}",
            "[]",
            "null",
            "{\"items\":[]}",
            "{\"items\":[0]}",
            "{\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":200}}]}",
            "{\"items\":[{\"delete\":{\"status\":200}}]}",
            "{\"items\":[{\"index\":{}}]}",
            "{\"items\":[{\"index\":{\"status\":\"200\"}}]}",
            "{\"items\":[{\"index\":{\"status\":200}]}]}",
            "{\"items\":[{\"index\":{\"status\":200}}]} {}",
            "{\"items\":[{\"index\":{\"status\":200}}]}]",
            "{\"other\":[{\"index\":{\"status\":200}}],\"items\":[0]",
            "{\"error\":{\"type\":\"t\",\"reason\":\"r\"},\"status\":400}",
            "<html>200 OK</html>",
        ] {
            assert!(read(&[Op::Index], &[answer.as_bytes()]).is_err(), "{answer}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut reader = AnswerReader::new(vec![Op::Index; 1_000]);
        reader.feed(b"{\"items\":[").unwrap();
        for index in 0..1_000 {
            let text = "x".repeat(10_000);
            let comma = if index == 0 { "" } else { "," };
            let item = format!(
                "{comma}{{\"index\":{{\"status\":400,\"error\":{{\"type\":\"t\",\"reason\":\"{text}\"}},\"more\":\"{text}\"}}}}"
            );
            reader.feed(item.as_bytes()).unwrap();
            assert!(reader.item.capacity() < 64 * 1024 && reader.shell.len() < 4 * 1024);
        }
        reader.feed(b"]}").unwrap();
        assert_eq!(reader.finish().unwrap().len(), 1_000);

        let mut endless = AnswerReader::new(vec![Op::Index]);
        endless.feed(b"{\"items\":[{\"index\":\"").unwrap();
        let error = (0..).find_map(|_| endless.feed(&[b'x'; 4096]).err());
        assert_eq!(error, Some(AnswerError::TooLong(ITEM_BYTES_MAX)));
        let mut endless = AnswerReader::new(vec![Op::Index]);
        let error = (0..).find_map(|_| endless.feed(&[b' '; 4096]).err());
        assert_eq!(error, Some(AnswerError::TooLong(SHELL_BYTES_MAX + 2)));
        let mut deep = AnswerReader::new(vec![Op::Index]);
        assert!(deep.feed(&[b'['; DEPTH_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in prop::collection::vec(0..WHOLE.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut begin = 0;
            for cut in cuts.into_iter().chain([WHOLE.len()]) {
                pieces.push(&WHOLE.as_bytes()[begin..cut]);
                begin = cut;
            }
            prop_assert_eq!(read(&OPS, &pieces), Ok(vec![Outcome::Done; 3]));
        }

        #[test]
        fn one_changed_byte_is_never_taken_for_more_than_it_says(at in 0..WHOLE.len(), byte in any::<u8>()) {
            let mut answer = WHOLE.as_bytes().to_vec();
            answer[at] = byte;
            // Whether it is an error or not, it ends, with an outcome for each document or none.
            if let Ok(outcomes) = read(&OPS, &[&answer]) {
                prop_assert_eq!(outcomes.len(), 3);
            }
        }
    }
}
