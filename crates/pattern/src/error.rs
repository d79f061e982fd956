//! Why a pattern is none, and why a list of them is no filter.

use tailrace_core::limits::{FILTER_PATTERNS_MAX, PATTERN_CHARS_MAX, PATTERN_COMBINATIONS_MAX};

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(path))]
pub struct PatternError {
    /// The names that lead to the place; empty: the pattern itself.
    pub path: Vec<String>,
    /// What is wrong there.
    pub reason: Reason,
}

fn place(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!("{}: ", path.join(".")) }
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Not an object.
    #[error("a pattern is an object")]
    NotAnObject,
    /// An object without members.
    #[error("an object without members matches nothing")]
    EmptyObject,
    /// A list without values.
    #[error("a list without values matches nothing")]
    EmptyList,
    /// A value that stands where a list of values is expected.
    #[error("an object or a list of values is expected: [{0}] instead of {0}")]
    NotAList(String),
    /// A list in a list of values.
    #[error("a value of the list is itself a list")]
    ListInList,
    /// An operator with several members, or none.
    #[error("an operator is an object with exactly one member")]
    NotOneOperator,
    /// Nobody knows the operator.
    #[error("{0:?} is no operator")]
    UnknownOperator(String),
    /// The operator's value is not what it takes.
    #[error("{operator} takes {takes}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// More than one way to read the pattern's `$or`s than can be tried.
    #[error("its $or have more than {PATTERN_COMBINATIONS_MAX} combinations")]
    TooManyCombinations,
}

/// Texts that make no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// More patterns than a filter has.
    #[error("a filter has at most {FILTER_PATTERNS_MAX} patterns, not {0}")]
    TooMany(usize),
    /// A pattern is too long.
    #[error("pattern {} has more than {PATTERN_CHARS_MAX} characters", .index + 1)]
    TooLong {
        /// Which, from 0.
        index: usize,
        /// Its text.
        text: String,
    },
    /// A text is no pattern.
    #[error("pattern {}: {error}", .index + 1)]
    Invalid {
        /// Which, from 0.
        index: usize,
        /// Why.
        error: PatternError,
    },
}
