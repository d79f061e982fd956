//! Words of Lambda's API that several crates share: where a mapping begins to read, and how a function is named.
//! Source: docs/spec/event-source-mapping.md 2.

use serde::{Deserialize, Serialize};

use crate::FunctionArn;

/// Where an event source mapping begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StartingPosition {
    /// The oldest record that the stream keeps.
    #[serde(rename = "TRIM_HORIZON")]
    TrimHorizon,
    /// Behind the newest record at the time of the call.
    #[serde(rename = "LATEST")]
    Latest,
}

impl StartingPosition {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            StartingPosition::TrimHorizon => "TRIM_HORIZON",
            StartingPosition::Latest => "LATEST",
        }
    }
}

/// A function as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionReference {
    /// Its name.
    pub name: String,
    /// Its ARN, with the qualifier if one was given.
    pub arn: FunctionArn,
}

/// Longest reference to a function. Source: docs/spec/event-source-mapping.md 2.
pub const FUNCTION_REFERENCE_CHARS_MAX: usize = 256;

impl FunctionReference {
    /// Reads a name, a name with a qualifier, or a partial or whole ARN, as the pattern of the service's model has them: the ARN's
    /// beginning, the region, the account and the word `function` may be left out. `None`: the text is none of these.
    ///
    /// `region` and `account` are the server's. Whatever region and account an ARN names, the function is the server's own, and so
    /// is the ARN of the answer.
    pub fn parse(text: &str, region: &str, account: &str) -> Option<FunctionReference> {
        let parts: Vec<&str> = text.split(':').collect();
        let mut rest = match parts[..] {
            ["arn", partition, "lambda", _, ..] if is_partition(partition) => &parts[3..],
            _ => &parts[..],
        };
        let whole = rest.len() < parts.len() && rest.len() >= 4;
        let is_region = |part: &str| is_region(part) || part == region || (whole && is_word(part));
        let is_account = |part: &str| is_account(part) || part == account;
        // What is left out is passed over; the name comes in any case.
        for prefix in [&is_region as &dyn Fn(&str) -> bool, &is_account, &|part: &str| part == "function"] {
            if let [part, behind @ ..] = rest
                && !behind.is_empty()
                && prefix(part)
            {
                rest = behind;
            }
        }
        let (name, qualifier) = match rest {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            _ => return None,
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| is_word_byte(byte) || byte == b'.');
        let is_qualifier = |text: &str| matches!(text, "$LATEST" | "$LATEST.PUBLISHED") || is_word(text);
        if !is_name || !qualifier.is_none_or(is_qualifier) || text.len() > FUNCTION_REFERENCE_CHARS_MAX {
            return None;
        }
        let arn = match qualifier {
            None => format!("arn:aws:lambda:{region}:{account}:function:{name}"),
            Some(qualifier) => format!("arn:aws:lambda:{region}:{account}:function:{name}:{qualifier}"),
        };
        Some(FunctionReference { name: name.to_owned(), arn: FunctionArn::new(arn) })
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_word_byte)
}

fn is_partition(text: &str) -> bool {
    text.is_empty() || (text.starts_with("aws") && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A region of the service: `eu-west-3`, `us-gov-east-1`, `eusc-de-east-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.strip_prefix("eusc-").unwrap_or(text).split('-').collect();
    let lower = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts[..] {
        [country, ref middle @ .., number] => {
            let is_country = country.len() == 2 && lower(&country);
            let is_number = number.len() == 1 && number.as_bytes()[0].is_ascii_digit();
            is_country && is_number && (1..=2).contains(&middle.len()) && middle.iter().all(lower)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 2, "FunctionArn in the response".
    #[test]
    fn function_references() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        for (text, qualifier) in [
            ("f", ""),
            ("f:$LATEST", ":$LATEST"),
            ("f:$LATEST.PUBLISHED", ":$LATEST.PUBLISHED"),
            ("function:f", ""),
            ("function:f:live-1_2", ":live-1_2"),
            ("000000000000:f:7", ":7"),
            ("000000000000:function:f", ""),
            ("us-gov-east-1:000000000000:function:f", ""),
            ("eusc-de-east-1:f", ""),
            (arn, ""),
            (&format!("{arn}:7"), ":7"),
            ("arn::lambda:function:f", ""),
            ("arn:aws:lambda:f:7", ":7"),
            // Whatever the region and the account, it is this server's function.
            ("arn:aws-cn:lambda:cn-north-1:123456789012:function:f", ""),
            ("arn:aws:lambda:anywhere:123456789012:function:f:7", ":7"),
        ] {
            let expected =
                FunctionReference { name: "f".to_owned(), arn: FunctionArn::new(format!("{arn}{qualifier}")) };
            assert_eq!(FunctionReference::parse(text, "us-east-1", "000000000000"), Some(expected), "{text}");
        }
        for (text, name) in [("function", "function"), ("a.b-c_9", "a.b-c_9"), ("local:f", "f"), ("arn:aws", "arn")] {
            let reference = FunctionReference::parse(text, "local", "a").map(|reference| reference.name);
            assert_eq!(reference.as_deref(), Some(name));
        }
        let longest = "f".repeat(256);
        assert!(FunctionReference::parse(&longest, "r", "a").is_some());
        for text in [
            "",
            ":",
            "f:",
            ":f",
            "f 0",
            "f/0",
            "f:bad!qual",
            "f:x y",
            "f:x\n",
            "f\0",
            "f:$latest",
            "f:7:8",
            "é",
            "arn:x:lambda:us-east-1:000000000000:function:f",
            "arn:aws:sqs:us-east-1:000000000000:f",
            "arn:aws:lambda:eu-west-3::function:f",
            "arn:aws:lambda:eu-west-3:1:function:f",
            &(longest + "f"),
        ] {
            assert_eq!(FunctionReference::parse(text, "us-east-1", "000000000000"), None, "{text:?}");
        }
    }
}
