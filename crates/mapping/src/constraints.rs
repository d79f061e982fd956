//! What the service's model says of single members. All that a request breaks is told, in one answer.
//! Source: docs/spec/event-source-mapping.md 2.

use tailrace_core::{FUNCTION_REFERENCE_CHARS_MAX, FunctionReference};

use crate::error::MappingError;

/// The model's pattern of a function's name. Regions of any name are taken, since a server may have any.
pub const FUNCTION_REFERENCE_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
/// The model's pattern of a source's ARN; as to regions, as above.
const SOURCE: &str =
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
/// The model's pattern of a key's ARN.
const KEY: &str = "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";

/// The constraints that a request breaks.
#[derive(Debug, Default)]
pub struct Constraints(Vec<String>);

impl Constraints {
    /// `value` at `member` breaks a rule; `None`: it is not given.
    pub fn broken(&mut self, member: &str, value: Option<&str>, rule: impl AsRef<str>) {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        let rule = rule.as_ref();
        self.0.push(format!("Value {value} at '{member}' failed to satisfy constraint: Member must {rule}"));
    }

    /// A number and its bounds.
    pub fn range(&mut self, member: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        let bound = match value {
            value if value < min => format!("have value greater than or equal to {min}"),
            value if value > max => format!("have value less than or equal to {max}"),
            _ => return,
        };
        self.broken(member, Some(&value.to_string()), bound);
    }

    /// A list of at most `max` names, each of `known`.
    pub fn names(&mut self, member: &str, names: Option<&Vec<String>>, known: &[&str], max: usize) {
        let Some(names) = names else { return };
        let shown = format!("[{}]", names.join(", "));
        if names.len() > max {
            self.broken(member, Some(&shown), format!("have length less than or equal to {max}"));
        }
        if names.iter().any(|name| !known.contains(&name.as_str())) {
            let set = known.join(", ");
            let rule = format!("satisfy constraint: [Member must satisfy enum value set: [{set}]]");
            self.broken(member, Some(&shown), rule);
        }
    }

    /// A reference to a function.
    pub fn function(&mut self, reference: &str, region: &str, account_id: &str) {
        const MEMBER: &str = "functionName";
        let (value, chars) = (Some(reference), reference.chars().count());
        if chars == 0 {
            return self.broken(MEMBER, value, "have length greater than or equal to 1");
        }
        // One that is too long is no reference either; whether it has the pattern is not told then.
        if chars > FUNCTION_REFERENCE_CHARS_MAX {
            self.broken(MEMBER, value, format!("have length less than or equal to {FUNCTION_REFERENCE_CHARS_MAX}"));
        } else if FunctionReference::parse(reference, region, account_id).is_none() {
            self.broken(MEMBER, value, format!("satisfy regular expression pattern: {FUNCTION_REFERENCE_PATTERN}"));
        }
    }

    /// The ARN of a source of any kind.
    pub fn source(&mut self, arn: Option<&str>) {
        let Some(arn) = arn else { return };
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let is_arn = match parts[..] {
            ["arn", partition, service, region, account, resource] => {
                let is_account =
                    account.is_empty() || (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()));
                partition.starts_with("aws")
                    && [partition, service].into_iter().all(is_word)
                    && region.bytes().all(|byte| byte.is_ascii_graphic())
                    && !service.is_empty()
                    && is_account
                    && !resource.contains(['\n', '\r'])
            }
            _ => false,
        };
        if !is_arn {
            self.broken("eventSourceArn", Some(arn), format!("satisfy regular expression pattern: {SOURCE}"));
        }
    }

    /// The ARN of a key; an empty one is none.
    pub fn key(&mut self, arn: Option<&str>) {
        let Some(arn) = arn.filter(|arn| !arn.is_empty()) else { return };
        let parts: Vec<&str> = arn.splitn(4, ':').collect();
        let is_arn = match parts[..] {
            ["arn", partition, service, rest] => {
                let is_partition = partition.is_empty()
                    || (partition.starts_with("aws")
                        && partition.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'));
                let is_service = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
                is_partition && !service.is_empty() && service.bytes().all(is_service) && !rest.contains(['\n', '\r'])
            }
            _ => false,
        };
        if !is_arn {
            self.broken("kMSKeyArn", Some(arn), format!("satisfy regular expression pattern: {KEY}"));
        }
    }

    /// # Errors
    /// What is broken, all of it.
    pub fn check(self) -> Result<(), MappingError> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(MappingError::Validation(format!("1 validation error detected: {}", self.0[0]))),
            count => {
                Err(MappingError::Validation(format!("{count} validation errors detected: {}", self.0.join("; "))))
            }
        }
    }
}
