//! Reading a function's answer under ReportBatchItemFailures. Source: spec/event-source-mapping.md 7.4.

use serde_json::Value;
use tailrace_core::SequenceNumber;

use super::types::Record;

/// What the answer says about the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every record is done.
    AllDone,
    /// The record at this index, and everything behind it, is to be retried; the ones before it are done.
    FailedFrom(usize),
    /// Nothing of the batch counts as done; the text says what was wrong with the answer.
    AllFailed(String),
}

/// Reads `payload`, the answer for the batch `records`.
pub(crate) fn read(payload: &[u8], records: &[Record]) -> Verdict {
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(payload) else {
        return Verdict::AllDone;
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
