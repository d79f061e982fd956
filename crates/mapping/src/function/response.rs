//! Reading a function's answer under ReportBatchItemFailures. Source: docs/spec/event-source-mapping.md 7.4.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use tailrace_core::{RecordNo, SequenceNumber};

/// What the answer says about the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every record is done.
    AllDone,
    /// Every record counts as done, but the answer looks as if it were to say something else: somebody ought to know.
    Ignored(AnswerFault),
    /// The record at this index, and everything behind it, is to be retried; the ones before it are done.
    FailedFrom(usize),
    /// Nothing of the batch counts as done; the text says what was wrong with the answer.
    AllFailed(String),
}

/// What makes an answer under ReportBatchItemFailures nothing that is read, where its function may have meant it to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// Not JSON.
    NotJson,
    /// A string that holds the JSON of an answer.
    JsonInText,
    /// A list of failures, without the object around it.
    List,
    /// A member that is nearly called batchItemFailures.
    Misspelt(String),
    /// The answer of a function that is behind an API.
    StatusCode,
    /// It names failed records, and the mapping has not asked for them.
    NotAskedFor,
}

impl std::fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AnswerFault::NotJson => f.write_str("something that is not JSON"),
            AnswerFault::JsonInText => f.write_str(
                "a string that holds JSON, where the object itself is expected (no json.dumps or JSON.stringify)",
            ),
            AnswerFault::List => f.write_str("a list, where an object with batchItemFailures is expected"),
            AnswerFault::Misspelt(name) => write!(f, "{name:?}, where batchItemFailures is expected"),
            AnswerFault::StatusCode => f.write_str("a statusCode, where an object with batchItemFailures is expected"),
            AnswerFault::NotAskedFor => f.write_str("batchItemFailures"),
        }
    }
}

/// Names failed records in an answer that nobody asked to.
pub(super) fn names_failures(payload: &[u8]) -> bool {
    // Most answers are null: only what has the word is parsed.
    let has_word = payload.windows(MEMBER.len()).any(|window| window == MEMBER.as_bytes());
    has_word && matches!(failures(payload), Some(Failures::Some(text)) if text.trim() != "[]")
}

const MEMBER: &str = "batchItemFailures";

/// The member `state` of an answer, as it is written there; `None`: it has none.
pub(super) fn state(payload: &[u8]) -> Option<Arc<str>> {
    let read = |payload: &[u8]| {
        let members: HashMap<String, &RawValue> = serde_json::from_slice(payload).ok()?;
        members.get("state").map(|state| Arc::from(state.get()))
    };
    read(payload).or_else(|| read(&with_nulls(payload))).filter(|state: &Arc<str>| state.as_ref() != "null")
}

/// Reads `payload`, the answer for the batch of the records with these numbers, in their order.
pub(super) fn read(payload: &[u8], records: &[RecordNo]) -> Verdict {
    if payload.trim_ascii().is_empty() {
        return Verdict::AllDone;
    }
    let Some(failures) = failures(payload).or_else(|| failures(&with_nulls(payload)).map(Failures::into_owned)) else {
        return Verdict::Ignored(AnswerFault::NotJson);
    };
    let failures: Vec<Value> = match failures {
        Failures::None => return near_miss(payload).map_or(Verdict::AllDone, Verdict::Ignored),
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

/// What an answer without failures may have been meant to be.
fn near_miss(payload: &[u8]) -> Option<AnswerFault> {
    match payload.trim_ascii_start().first()? {
        b'"' => {
            let text: String = serde_json::from_slice(payload).ok()?;
            (text.trim_start().starts_with('{') && text.contains(MEMBER)).then_some(AnswerFault::JsonInText)
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_slice(payload).ok()?;
            elements.first()?.get().contains("itemIdentifier").then_some(AnswerFault::List)
        }
        b'{' => {
            let members: HashMap<String, &RawValue> = serde_json::from_slice(payload).ok()?;
            let letters = |name: &str| -> String {
                let letters = name.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase());
                letters.collect::<String>().trim_end_matches('s').to_owned()
            };
            let misspelt = members.keys().find(|name| name.as_str() != MEMBER && letters(name) == letters(MEMBER));
            let misspelt = misspelt.cloned().map(AnswerFault::Misspelt);
            let named = members.contains_key(MEMBER);
            misspelt.or_else(|| (!named && members.contains_key("statusCode")).then_some(AnswerFault::StatusCode))
        }
        _ => None,
    }
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
    let member = members.get(MEMBER).map(|value| value.get()).filter(|text| *text != "null");
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

fn index_of(identifier: &str, records: &[RecordNo]) -> Option<usize> {
    let number = SequenceNumber::parse(identifier)?;
    // Parsing clamps foreign numbers, so the text has to be the record's own.
    let index = records.binary_search(&number.0).ok()?;
    (number.to_string() == identifier).then_some(index)
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: [RecordNo; 3] = [RecordNo(2), RecordNo(3), RecordNo(4)];

    fn id(number: u64) -> String {
        SequenceNumber(RecordNo(number)).to_string()
    }

    /// The records that come again.
    fn retried(payload: &str) -> &'static [RecordNo] {
        match read(payload.as_bytes(), &BATCH) {
            Verdict::AllDone | Verdict::Ignored(_) => &[],
            Verdict::FailedFrom(index) => [&BATCH as &[RecordNo], &[RecordNo(3), RecordNo(4)], &[RecordNo(4)]][index],
            Verdict::AllFailed(_) => &BATCH,
        }
    }

    /// 7.4, every row.
    #[test]
    fn what_a_response_means() {
        let one = |member: &str, value: &str| format!(r#"{{"batchItemFailures":[{{"{member}":{value}}}]}}"#);
        let two =
            format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}},{{"itemIdentifier":"{}"}}]}}"#, id(4), id(3));
        let all: &[u64] = &[2, 3, 4];
        let cases: Vec<(String, &[u64])> = vec![
            ("null".into(), &[]),
            ("\"\"".into(), &[]),
            ("{}".into(), &[]),
            ("[]".into(), &[]),
            (String::new(), &[]),
            ("not json".into(), &[]),
            (r#"{"other":1}"#.into(), &[]),
            (r#"{"batchItemFailures":[]}"#.into(), &[]),
            (r#"{"batchItemFailures":null}"#.into(), &[]),
            (one("itemIdentifier", &format!("\"{}\"", id(3))), &[3, 4]),
            (two, &[3, 4]),
            (one("itemIdentifier", &format!("\"{}\"", id(9))), all),
            (one("itemIdentifier", &id(3)), all),
            (one("itemIdentifier", "\"\""), all),
            (one("itemIdentifier", "null"), all),
            (one("itemIdentifer", &format!("\"{}\"", id(3))), all),
            (r#"{"batchItemFailures":["x"]}"#.into(), all),
            (r#"{"batchItemFailures":3}"#.into(), all),
        ];
        for (payload, expected) in cases {
            let numbers: Vec<u64> = retried(&payload).iter().map(|number| number.0).collect();
            assert_eq!(numbers, expected, "{payload}");
        }
    }

    /// 7.4, "not JSON": success, and somebody is told. NaN and Infinity, as Python writes them, do not hide a reported failure.
    #[test]
    fn an_answer_that_is_no_json_is_told() {
        let failed = format!(r#""batchItemFailures":[{{"itemIdentifier":"{}"}}]"#, id(3));
        for (payload, count, told) in [
            (format!(r#"{{{failed},"x":NaN}}"#), 2, false),
            (format!(r#"{{"y":[-Infinity,Infinity, 1.5],{failed}}}"#), 2, false),
            (format!(r#"{{"NaN":"\\\"NaN",{failed},"x":NaN}}"#), 2, false),
            (format!(r#"{{"deep":{}{},{failed}}}"#, "[".repeat(5000), "]".repeat(5000)), 2, false),
            (r#"{"score":NaN}"#.into(), 0, false),
            ("\"NaN\"".into(), 0, false),
            (" ".into(), 0, false),
            (format!("{{{failed}"), 0, true),
            ("not json".into(), 0, true),
            ("\"open \\".into(), 0, true),
        ] {
            assert_eq!(retried(&payload), &BATCH[3 - count..], "{payload}");
            let verdict = read(payload.as_bytes(), &BATCH);
            assert_eq!(verdict == Verdict::Ignored(AnswerFault::NotJson), told, "{payload}");
        }
    }

    /// What is success, and looks as if it had been meant to be something else.
    #[test]
    fn near_misses_are_told() {
        let failed = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, id(3));
        let in_text = serde_json::to_string(&failed).unwrap();
        let list = format!(r#"[{{"itemIdentifier":"{}"}}]"#, id(3));
        let misspelt = |name: &str| Some(AnswerFault::Misspelt(name.into()));
        for (payload, expected) in [
            (in_text, Some(AnswerFault::JsonInText)),
            (list, Some(AnswerFault::List)),
            (r#"{"statusCode":200,"body":"{}"}"#.to_owned(), Some(AnswerFault::StatusCode)),
            (r#"{"statusCode":200,"batchItemFailures":[]}"#.to_owned(), None),
            (r#"{"batchItemFailure":[]}"#.to_owned(), misspelt("batchItemFailure")),
            (r#"{"BatchItemFailures":[]}"#.to_owned(), misspelt("BatchItemFailures")),
            (r#"{"batch_item_failures":[]}"#.to_owned(), misspelt("batch_item_failures")),
            (r#""done""#.to_owned(), None),
            (r#"{"done":3}"#.to_owned(), None),
            ("[1]".to_owned(), None),
            ("null".to_owned(), None),
        ] {
            let verdict = read(payload.as_bytes(), &BATCH);
            assert_eq!(verdict, expected.map_or(Verdict::AllDone, Verdict::Ignored), "{payload}");
        }
        assert!(names_failures(failed.as_bytes()));
        for silent in
            ["null", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#, r#"{"x":"batchItemFailures"}"#]
        {
            assert!(!names_failures(silent.as_bytes()), "{silent}");
        }
    }

    /// Section 9: the state of an answer is carried on as it is written.
    #[test]
    fn the_state_of_an_answer_is_its_text() {
        for (payload, expected) in [
            (r#"{"state":{"b":1.50,"a":[1, 2]},"batchItemFailures":[]}"#, Some(r#"{"b":1.50,"a":[1, 2]}"#)),
            (r#"{"state":{}}"#, Some("{}")),
            (r#"{"state":"x"}"#, Some("\"x\"")),
            (r#"{"state":{"x":NaN}}"#, Some(r#"{"x":null}"#)),
            (r#"{"state":null}"#, None),
            ("{}", None),
            ("null", None),
            ("[]", None),
            ("no", None),
        ] {
            assert_eq!(state(payload.as_bytes()).as_deref(), expected, "{payload}");
        }
    }
}
