//! A filter: patterns of which one has to match. Source: docs/spec/event-source-mapping.md 8.1.

use tailrace_core::limits::{FILTER_PATTERNS_MAX, PATTERN_CHARS_MAX};

use crate::{FilterError, Node, Pattern};

/// Compiled patterns, and no others than those of which each is within its bounds. Without a pattern everything passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

impl Filter {
    /// Compiles the patterns' texts.
    ///
    /// # Errors
    /// There are too many, or the first one that is none.
    pub fn parse<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Result<Filter, FilterError> {
        if texts.len() > FILTER_PATTERNS_MAX {
            return Err(FilterError::TooMany(texts.len()));
        }
        let mut patterns = Vec::with_capacity(texts.len());
        for (index, text) in texts.enumerate() {
            if text.chars().nth(PATTERN_CHARS_MAX).is_some() {
                return Err(FilterError::TooLong { index, text: text.to_owned() });
            }
            patterns.push(Pattern::parse(text).map_err(|error| FilterError::Invalid { index, error })?);
        }
        Ok(Filter { patterns })
    }

    /// Every event passes.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the event passes: one pattern matches it, or there is none.
    ///
    /// # Errors
    /// The event's, as far as it was looked at.
    pub fn passes<N: Node>(&self, event: &N) -> Result<bool, N::Error> {
        for pattern in &self.patterns {
            if pattern.matches(event)? {
                return Ok(true);
            }
        }
        Ok(self.patterns.is_empty())
    }
}
