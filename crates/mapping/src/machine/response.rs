//! Reading a function's answer under ReportBatchItemFailures. Source: docs/spec/event-source-mapping.md 7.4.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
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
    let Some(failures) = failures(payload).or_else(|| failures(&with_nulls(payload)).map(Failures::into_owned)) else {
        return Verdict::NotJson;
    };
    let failures: Vec<Value> = match failures {
        Failures::None => return Verdict::AllDone,
        Failures::Some(text) => match serde_json::from_str(&text) {
            Ok(failures) => failures,
            Err(_) => {
                return Verdict::AllFailed(format!(
                    "batchItemFailures is not a list: {}",
                    shortened(text.into_owned())
                ));
            }
        },
    };
    let mut lowest: Option<usize> = None;
    for failure in &failures {
        let index = failure.get("itemIdentifier").and_then(Value::as_str).and_then(|text| index_of(text, records));
        let Some(index) = index else {
            return Verdict::AllFailed(format!(
                "batchItemFailures names no record of the batch: {}",
                shortened(failure.to_string())
            ));
        };
        lowest = Some(lowest.map_or(index, |lowest| lowest.min(index)));
    }
    lowest.map_or(Verdict::AllDone, Verdict::FailedFrom)
}

/// What an answer says of failures: nothing, or the text of the member.
enum Failures<'a> {
    None,
    Some(Cow<'a, str>),
}

impl Failures<'_> {
    fn into_owned(self) -> Failures<'static> {
        match self {
            Failures::None => Failures::None,
            Failures::Some(text) => Failures::Some(Cow::Owned(text.into_owned())),
        }
    }
}

/// Finds the member in an answer; `None`: no JSON. What else is in the answer is stepped over without recursion, however
/// deep it nests: it must not keep a reported failure from being seen.
fn failures(payload: &[u8]) -> Option<Failures<'_>> {
    if !payload.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice::<IgnoredAny>(payload).ok().map(|_| Failures::None);
    }
    let members: HashMap<String, &RawValue> = serde_json::from_slice(payload).ok()?;
    let member = members.get("batchItemFailures").map(|value| value.get()).filter(|text| *text != "null");
    Some(member.map_or(Failures::None, |text| Failures::Some(Cow::Borrowed(text))))
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

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
        text.push('…');
    }
    text
}
