//! Which of the two wordings of AWS's request validation the answers use. Source: spec/dynamodb-api.md, Two wordings.

/// A wording: the same error classes, other texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wording {
    /// The newer request layer.
    #[default]
    Current,
    /// The older one.
    Classic,
}

/// What the newer layer of PutItem, UpdateItem and DeleteItem puts before most of its texts, and every layer before a
/// single member-constraint error. Source: spec/dynamodb-api.md 4.9.
pub const ENVELOPE: &str = "1 validation error detected: ";
