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
const REFERENCE_BYTES_MAX: usize = 256;

impl FunctionReference {
    /// Reads a name, a name with a qualifier, or a partial or whole ARN. `None`: the text is none of these.
    pub fn parse(text: &str, region: &str, account: &str) -> Option<FunctionReference> {
        let parts: Vec<&str> = text.split(':').collect();
        let (name, qualifier) = match parts[..] {
            [name] => (name, None),
            [name, qualifier] => (name, Some(qualifier)),
            [_, "function", name] => (name, None),
            [_, "function", name, qualifier] => (name, Some(qualifier)),
            ["arn", _, "lambda", _, _, "function", name] => (name, None),
            ["arn", _, "lambda", _, _, "function", name, qualifier] => (name, Some(qualifier)),
            _ => return None,
        };
        if name.is_empty() || text.len() > REFERENCE_BYTES_MAX {
            return None;
        }
        let arn = match qualifier {
            _ if parts.len() >= 7 => text.to_owned(),
            None => format!("arn:aws:lambda:{region}:{account}:function:{name}"),
            Some(qualifier) => format!("arn:aws:lambda:{region}:{account}:function:{name}:{qualifier}"),
        };
        Some(FunctionReference { name: name.to_owned(), arn: FunctionArn::new(arn) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 2, "FunctionArn in the response".
    #[test]
    fn function_references() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        for (text, expected) in [
            ("f", arn.to_owned()),
            ("f:$LATEST", format!("{arn}:$LATEST")),
            ("000000000000:function:f", arn.to_owned()),
            (arn, arn.to_owned()),
            (&format!("{arn}:7"), format!("{arn}:7")),
        ] {
            let expected = Some(FunctionReference { name: "f".to_owned(), arn: FunctionArn::new(expected) });
            assert_eq!(FunctionReference::parse(text, "us-east-1", "000000000000"), expected);
        }
        assert_eq!(FunctionReference::parse("", "r", "a"), None);
    }
}
