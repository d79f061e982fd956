//! What the service's model says of single members. All that a request breaks is told, in one answer.
//! Source: docs/spec/event-source-mapping.md 2.

use tailrace_core::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX};
use tailrace_core::{FUNCTION_REFERENCE_CHARS_MAX, FunctionReference, MappingId};

use crate::error::MappingError;
use crate::tags::Tags;

/// The model's pattern of a function's name. Regions of any name are taken, since a server may have any.
pub const FUNCTION_REFERENCE_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
/// The model's pattern of a source's ARN; as to regions, as above.
const SOURCE: &str =
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
/// The model's pattern of a key's ARN.
const KEY: &str = "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
/// The model's pattern of what has tags; as to regions, as above.
const TAGGABLE: &str = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})";
/// The model's pattern of the keys and values of tags.
const TAG: &str = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";

/// The constraints that a request breaks.
#[derive(Debug, Default)]
pub struct Constraints(Vec<String>);

impl Constraints {
    /// `value` at `member` breaks a rule; `None`: it is not given.
    pub fn broken(&mut self, member: &str, value: Option<&str>, rule: impl AsRef<str>) {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        self.unmet(member, &value, &format!("Member must {}", rule.as_ref()));
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

    /// One of `known`.
    pub fn choice(&mut self, member: &str, value: Option<&str>, known: &[&str]) {
        if let Some(value) = value.filter(|value| !known.contains(value)) {
            self.broken(member, Some(value), format!("satisfy enum value set: [{}]", known.join(", ")));
        }
    }

    /// A text of at most `chars_max` characters, and its pattern.
    pub fn text(
        &mut self,
        member: &str,
        value: Option<&str>,
        chars_max: usize,
        pattern: &str,
        has_it: fn(&str) -> bool,
    ) {
        let Some(value) = value else { return };
        if value.chars().count() > chars_max {
            self.broken(member, Some(value), format!("have length less than or equal to {chars_max}"));
        }
        if !has_it(value) {
            self.broken(member, Some(value), format!("satisfy regular expression pattern: {pattern}"));
        }
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

    /// The ARN of what has tags.
    pub fn taggable(&mut self, arn: &str) {
        if !is_taggable(arn) {
            self.broken("resource", Some(arn), format!("satisfy regular expression pattern: {TAGGABLE}"));
        }
    }

    /// Tags, which are told as a whole, whichever of them is wrong.
    pub fn tags(&mut self, tags: Option<&Tags>) {
        let Some(tags) = tags else { return };
        let shown: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let shown = format!("'{{{}}}'", shown.join(", "));
        if !tags.keys().all(|key| is_tag(key, 1, TAG_KEY_CHARS_MAX)) {
            let rules = tag_rules(1, TAG_KEY_CHARS_MAX);
            self.unmet("tags", &shown, &format!("Map keys must satisfy constraint: {rules}"));
        }
        if !tags.values().all(|value| is_tag(value, 0, TAG_VALUE_CHARS_MAX)) {
            let rules = tag_rules(0, TAG_VALUE_CHARS_MAX);
            self.unmet("tags", &shown, &format!("Map value must satisfy constraint: {rules}"));
        }
    }

    /// Keys of tags.
    pub fn tag_keys(&mut self, keys: &[String]) {
        if !keys.iter().all(|key| is_tag(key, 1, TAG_KEY_CHARS_MAX)) {
            let shown = format!("[{}]", keys.join(", "));
            self.broken("tagKeys", Some(&shown), format!("satisfy constraint: {}", tag_rules(1, TAG_KEY_CHARS_MAX)));
        }
    }

    fn unmet(&mut self, member: &str, value: &str, rule: &str) {
        self.0.push(format!("Value {value} at '{member}' failed to satisfy constraint: {rule}"));
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

/// What the model says of the parts of tags.
fn tag_rules(chars_min: usize, chars_max: usize) -> String {
    format!(
        "[Member must have length less than or equal to {chars_max}, Member must have length greater than or equal to \
         {chars_min}, Member must satisfy regular expression pattern: {TAG}, Member must not be null]"
    )
}

/// Letters, digits and spaces of any script, and `_ . : / = + - @`.
fn is_tag(text: &str, chars_min: usize, chars_max: usize) -> bool {
    let is_separator = |c: char| c.is_whitespace() && !c.is_control();
    let allowed = |c: char| c.is_alphanumeric() || is_separator(c) || "_.:/=+-@".contains(c);
    (chars_min..=chars_max).contains(&text.encode_utf16().count()) && text.chars().all(allowed)
}

fn is_taggable(arn: &str) -> bool {
    let is_word_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(is_word_byte);
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "lambda", region, account, kind, ref names @ ..] = parts[..] else { return false };
    let is_partition =
        partition.starts_with("aws") && partition.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = match (kind, names) {
        ("function", [name]) => is_word(name),
        ("function", [name, qualifier]) => is_word(name) && (*qualifier == "$LATEST" || is_word(qualifier)),
        ("event-source-mapping", [uuid]) => MappingId::parse(uuid).is_some(),
        ("code-signing-config", [id]) => id.strip_prefix("csc-").is_some_and(|id| {
            id.len() == 17 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        }),
        ("capacity-provider" | "network-connector", [name]) => is_word(name) && name.len() <= 64,
        _ => false,
    };
    is_partition && is_word(region) && is_account && is_name
}
