//! Reading a function's answer under ReportBatchItemFailures. Source: spec/event-source-mapping.md 7.4.

use std::borrow::Cow;

use serde_json::Value;
use tailrace_core::SequenceNumber;

use super::types::Record;

/// What the answer says about the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every record is done.
    AllDone,
    /// The answer is no JSON. Every record counts as done, but somebody ought to know.
    NotJson,
    /// The record at this index, and everything behind it, is to be retried; the ones before it are done.
    FailedFrom(usize),
    /// Nothing of the batch counts as done; the text says what was wrong with the answer.
    AllFailed(String),
}

/// Reads `payload`, the answer for the batch `records`.
pub(crate) fn read(payload: &[u8], records: &[Record]) -> Verdict {
    if payload.trim_ascii().is_empty() {
        return Verdict::AllDone;
    }
    let answer = match serde_json::from_slice(payload).or_else(|_| serde_json::from_slice(&with_nulls(payload))) {
        Ok(Value::Object(answer)) => answer,
        Ok(_) => return Verdict::AllDone,
        Err(_) => return Verdict::NotJson,
    };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Verdict::AllDone,
        Some(Value::Array(failures)) => failures,
        Some(other) => return Verdict::AllFailed(format!("batchItemFailures is not a list: {}", shortened(other))),
    };
    let mut lowest: Option<usize> = None;
    for failure in failures {
        let index = failure.get("itemIdentifier").and_then(Value::as_str).and_then(|text| index_of(text, records));
        let Some(index) = index else {
            return Verdict::AllFailed(format!(
                "batchItemFailures names no record of the batch: {}",
                shortened(failure)
            ));
        };
        lowest = Some(lowest.map_or(index, |lowest| lowest.min(index)));
    }
    lowest.map_or(Verdict::AllDone, Verdict::FailedFrom)
}

/// The answer with `null` for the numbers that Python writes and JSON does not have: a failure reported beside one of them
/// counts.
fn with_nulls(payload: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let (mut copied, mut at, mut in_text) = (0, 0, false);
    while at < payload.len() {
        let rest = &payload[at..];
        let word = [b"NaN".as_slice(), b"Infinity", b"-Infinity"].into_iter().find(|word| rest.starts_with(word));
        match (in_text, rest[0], word) {
            // What is escaped does not end the text.
            (true, b'\\', _) => at += 2,
            (_, b'"', _) => {
                in_text = !in_text;
                at += 1;
            }
            (false, _, Some(word)) => {
                out.extend_from_slice(&payload[copied..at]);
                out.extend_from_slice(b"null");
                at += word.len();
                copied = at;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(payload);
    }
    out.extend_from_slice(&payload[copied..]);
    Cow::Owned(out)
}

fn index_of(identifier: &str, records: &[Record]) -> Option<usize> {
    let number = SequenceNumber::parse(identifier)?;
    // Parsing clamps foreign numbers, so the text has to be the record's own.
    let index = records.binary_search_by_key(&number.0, |record| record.lsn).ok()?;
    (number.to_string() == identifier).then_some(index)
}

fn shortened(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
        text.push('…');
    }
    text
}
