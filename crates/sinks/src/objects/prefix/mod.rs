//! Prefix expressions: what the keys of objects start with. Source: docs/spec/sinks.md 2.2.
//!
//! Invariant: what an expression makes depends on nothing but what [`Facts`] say, all of which are a flush's own: its repeat
//! gets the same keys.

pub mod time;

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use tailrace_core::EpochMs;

use time::TimePattern;
pub use time::Zone;

/// Longest expression. Source: docs/spec/sinks.md 2.2, model.
pub const EXPRESSION_CHARS_MAX: usize = 1024;
/// Longest prefix that an expression may make. Source: docs/spec/sinks.md 2.2.
pub const PREFIX_CHARS_MAX: usize = 512;
const RANDOM_CHARS: usize = 11;
/// What is appended where no time is in an expression.
const DEFAULT_TIME: &str = "yyyy/MM/dd/HH/";

/// An expression, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Time(TimePattern),
    /// With its place among the random strings of the expression.
    Random(u8),
    ErrorType,
    Key(PartitionKey),
}

/// A partition key that an expression uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKey {
    /// Its name.
    pub name: String,
    /// Who finds its value.
    pub from: KeySource,
}

/// Who finds the value of a partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A query over the record.
    Query,
    /// The transforming function.
    Lambda,
}

/// Which prefix an expression is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixKind {
    /// Of the records.
    Records,
    /// Of those that failed.
    Errors,
}

/// What an expression is evaluated with.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// When the oldest record of the object was written.
    pub oldest: EpochMs,
    /// Where times are told.
    pub zone: Zone,
    /// What random strings are made of: unique to the flush, and the same for its repeat.
    pub seed: &'a str,
    /// What failed, for the prefix of errors.
    pub error_type: &'a str,
    /// The values of partition keys, by name.
    pub keys: &'a [(&'a str, Cow<'a, str>)],
}

/// An expression is none, or breaks a rule. The texts are for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The rules that the service states for a prefix and its prefix of errors.
    // The first word is the service's own. Recorded; the rules but the first one are inferred from the guide.
    #[error("Ths supplied prefix(es) do not satisfy the following constraint: {0}")]
    Constraint(&'static str),
    /// Longer than [`EXPRESSION_CHARS_MAX`].
    #[error("the prefix has {0} characters; {EXPRESSION_CHARS_MAX} are the most")]
    Long(usize),
    /// Something within `!{}`.
    #[error("the expression `!{{{expression}}}` is unknown: {why}")]
    Expression {
        /// What is there.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
}

const NO_ERROR_PREFIX: &str = "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions";
const NO_ERROR_TYPE: &str = "ErrorOutputPrefix must contain at least one instance of !{firehose:error-output-type} when it contains expressions";
const ERROR_TYPE_OF_RECORDS: &str = "Prefix cannot contain !{firehose:error-output-type}";
const KEY_OF_ERRORS: &str = "ErrorOutputPrefix cannot contain partition keys";
const OPENED: &str = "the sequence !{ can only appear in expressions of the form !{namespace:value}";

impl Prefix {
    /// Reads an expression. That of records gets `yyyy/MM/dd/HH/` at its end if it has no time and no partition key in it.
    ///
    /// # Errors
    /// It is none, or has what one of its kind may not have.
    pub fn parse(text: &str, kind: PrefixKind) -> Result<Prefix, PrefixError> {
        let chars = text.chars().count();
        if chars > EXPRESSION_CHARS_MAX {
            return Err(PrefixError::Long(chars));
        }
        let mut parts = Vec::new();
        let (mut rest, mut randoms) = (text, 0);
        while let Some((before, behind)) = rest.split_once("!{") {
            push_literal(&mut parts, before);
            let (expression, after) = close(behind).ok_or(PrefixError::Constraint(OPENED))?;
            parts.push(Part::read(expression, &mut randoms)?);
            rest = after;
        }
        push_literal(&mut parts, rest);
        let mut prefix = Prefix { parts };
        match kind {
            PrefixKind::Records => {
                if prefix.parts.contains(&Part::ErrorType) {
                    return Err(PrefixError::Constraint(ERROR_TYPE_OF_RECORDS));
                }
                if !prefix.parts.iter().any(|part| matches!(part, Part::Time(_) | Part::Key(_))) {
                    let time = TimePattern::parse(DEFAULT_TIME).expect("invariant: the default is a pattern");
                    prefix.parts.push(Part::Time(time));
                }
            }
            PrefixKind::Errors => {
                if prefix.partition_keys().next().is_some() {
                    return Err(PrefixError::Constraint(KEY_OF_ERRORS));
                }
                if prefix.has_expressions() && !prefix.parts.contains(&Part::ErrorType) {
                    return Err(PrefixError::Constraint(NO_ERROR_TYPE));
                }
            }
        }
        Ok(prefix)
    }

    /// Reads the two prefixes of a destination as the service does, where each may be missing.
    ///
    /// # Errors
    /// One of them is none, or the two do not go together.
    pub fn parse_pair(records: Option<&str>, errors: Option<&str>) -> Result<(Prefix, Prefix), PrefixError> {
        let records = records.unwrap_or_default();
        let parsed = Prefix::parse(records, PrefixKind::Records)?;
        let errors = match errors.filter(|errors| !errors.is_empty()) {
            Some(errors) => Prefix::parse(errors, PrefixKind::Errors)?,
            None if records.contains("!{") => return Err(PrefixError::Constraint(NO_ERROR_PREFIX)),
            None => {
                let default = format!("{records}!{{firehose:error-output-type}}/!{{timestamp:{DEFAULT_TIME}}}");
                Prefix::parse(&default, PrefixKind::Errors)?
            }
        };
        Ok((parsed, errors))
    }

    /// The partition keys that it uses.
    pub fn partition_keys(&self) -> impl Iterator<Item = &PartitionKey> {
        self.parts.iter().filter_map(|part| match part {
            Part::Key(key) => Some(key),
            _ => None,
        })
    }

    fn has_expressions(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Literal(_)))
    }

    /// Makes the prefix. Without a value for a key that it uses, nothing stands there. It may be longer than
    /// [`PREFIX_CHARS_MAX`]: that is for whoever asks to look at.
    pub fn evaluate(&self, facts: &Facts<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Time(pattern) => pattern.write(facts.oldest, facts.zone, &mut out),
                Part::Random(use_no) => out.push_str(&random(facts.seed, *use_no)),
                Part::ErrorType => out.push_str(facts.error_type),
                Part::Key(key) => {
                    let value = facts.keys.iter().find(|(name, _)| *name == key.name);
                    out.push_str(value.map_or("", |(_, value)| value));
                }
            }
        }
        out
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
}

/// Splits behind `!{`: the expression, and what follows its brace. A brace within quotes is part of a pattern.
fn close(behind: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, char) in behind.char_indices() {
        match char {
            '\'' => quoted = !quoted,
            '}' if !quoted => return Some((&behind[..at], &behind[at + 1..])),
            _ => {}
        }
    }
    None
}

impl Part {
    fn read(expression: &str, randoms: &mut u8) -> Result<Part, PrefixError> {
        let (namespace, value) = expression.split_once(':').ok_or(PrefixError::Constraint(OPENED))?;
        let wrong = |why: String| PrefixError::Expression { expression: expression.to_owned(), why };
        let key = |from| {
            let name = value.to_owned();
            let known = !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || "_-.".contains(char));
            if known {
                Ok(Part::Key(PartitionKey { name, from }))
            } else {
                Err(wrong("the key has no name".to_owned()))
            }
        };
        match (namespace, value) {
            ("timestamp", pattern) => match TimePattern::parse(pattern) {
                Ok(pattern) => Ok(Part::Time(pattern)),
                Err(error) => Err(wrong(error.to_string())),
            },
            ("firehose", "random-string") => {
                *randoms = randoms.saturating_add(1);
                Ok(Part::Random(*randoms))
            }
            ("firehose", "error-output-type") => Ok(Part::ErrorType),
            ("firehose", _) => Err(wrong("the values of firehose are random-string and error-output-type".to_owned())),
            ("partitionKeyFromQuery", _) => key(KeySource::Query),
            ("partitionKeyFromLambda", _) => key(KeySource::Lambda),
            _ => Err(wrong(
                "the namespaces are timestamp, firehose, partitionKeyFromQuery and partitionKeyFromLambda".to_owned(),
            )),
        }
    }
}

/// Eleven characters that another seed, or another use, has others for.
fn random(seed: &str, use_no: u8) -> String {
    let digest = Sha256::new().chain_update([use_no]).chain_update(seed).finalize();
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(RANDOM_CHARS).map(hex_digit).collect()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).expect("invariant: a nibble is a digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 27 August 2018, 10:30 UTC: the instant of the guide's examples.
    const AUGUST: EpochMs = EpochMs(1_535_365_800_000);

    fn evaluated(prefix: &Prefix) -> String {
        let keys = [("customer", Cow::Borrowed("c1")), ("device", Cow::Borrowed("tv"))];
        prefix.evaluate(&Facts {
            oldest: AUGUST,
            zone: Zone::UTC,
            seed: "s",
            error_type: "processing-failed",
            keys: &keys,
        })
    }

    /// docs/spec/sinks.md 2.2, the examples of the guide.
    #[test]
    fn prefixes_are_evaluated_as_the_guide_shows() {
        for (records, errors, expect) in [
            (None, None, ("2018/08/27/10/", "processing-failed/2018/08/27/10/")),
            (Some("logs/"), None, ("logs/2018/08/27/10/", "logs/processing-failed/2018/08/27/10/")),
            (
                Some("myFirehose/DeliveredYear=!{timestamp:yyyy}/anyMonth/"),
                Some("myFirehoseFailures/!{firehose:error-output-type}/!{timestamp:yyyy}/anyMonth/!{timestamp:dd}"),
                ("myFirehose/DeliveredYear=2018/anyMonth/", "myFirehoseFailures/processing-failed/2018/anyMonth/27"),
            ),
            (
                Some("c=!{partitionKeyFromQuery:customer}/d=!{partitionKeyFromLambda:device}/"),
                Some("errors/!{firehose:error-output-type}/"),
                ("c=c1/d=tv/", "errors/processing-failed/"),
            ),
            (Some("!!{timestamp:'a}b'yyyy}!"), Some("e"), ("!a}b2018!", "e")),
        ] {
            let (records, errors) = Prefix::parse_pair(records, errors).unwrap();
            assert_eq!((evaluated(&records).as_str(), evaluated(&errors).as_str()), expect);
        }
    }

    #[test]
    fn a_random_string_has_eleven_characters_and_repeats() {
        let prefix =
            Prefix::parse("!{firehose:random-string}/!{firehose:random-string}/", PrefixKind::Records).unwrap();
        let (once, again) = (evaluated(&prefix), evaluated(&prefix));
        assert_eq!(once, again);
        let parts: Vec<&str> = once.split('/').collect();
        assert_eq!((parts[0].len(), parts[1].len()), (11, 11));
        assert_ne!(parts[0], parts[1], "each use has its own");
    }

    /// docs/spec/sinks.md 2.2, validation.
    #[test]
    fn what_breaks_a_rule_is_refused() {
        let frame = "Ths supplied prefix(es) do not satisfy the following constraint: ";
        for (records, errors, expect) in [
            ("!{timestamp:yyyy/MM/dd}", None, NO_ERROR_PREFIX),
            ("!{timestamp:yyyy}", Some(""), NO_ERROR_PREFIX),
            ("a", Some("!{timestamp:yyyy}/"), NO_ERROR_TYPE),
            ("!{firehose:error-output-type}/", Some("e"), ERROR_TYPE_OF_RECORDS),
            ("a", Some("!{firehose:error-output-type}/!{partitionKeyFromQuery:a}"), KEY_OF_ERRORS),
            ("a!{b", Some("e"), OPENED),
            ("a!{b}", Some("e"), OPENED),
        ] {
            let error = Prefix::parse_pair(Some(records), errors).unwrap_err();
            assert_eq!(error.to_string(), format!("{frame}{expect}"), "{records} {errors:?}");
        }
        for (records, expect) in [
            ("!{time:yyyy}", "the expression `!{time:yyyy}` is unknown: the namespaces are"),
            ("!{firehose:x}", "the expression `!{firehose:x}` is unknown: the values of firehose are"),
            ("!{timestamp:YYYY}", "the expression `!{timestamp:YYYY}` is unknown: `Y` is the year of the week"),
            ("!{partitionKeyFromQuery:}", "the expression `!{partitionKeyFromQuery:}` is unknown: the key has no name"),
        ] {
            let error = Prefix::parse(records, PrefixKind::Records).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}");
        }
        let long = "x".repeat(EXPRESSION_CHARS_MAX + 1);
        assert_eq!(Prefix::parse(&long, PrefixKind::Records), Err(PrefixError::Long(EXPRESSION_CHARS_MAX + 1)));
    }
}
