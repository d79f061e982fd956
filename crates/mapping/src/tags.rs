//! Tags of a mapping: kept and told back. Source: docs/spec/event-source-mapping.md 1, 2.

use std::collections::BTreeMap;

use tailrace_core::limits::TAGS_MAX;

use crate::error::{MappingError, invalid};

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// Checks all tags of a mapping, so far as the model says nothing of them.
pub(crate) fn check(tags: &Tags) -> Result<(), MappingError> {
    let is_reserved = |key: &String| key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"));
    if tags.keys().any(is_reserved) {
        return invalid("aws: prefixed tag key names are not allowed for external use.");
    }
    match tags.len() {
        0..=TAGS_MAX => Ok(()),
        _ => invalid("Number of tags exceeds resource tag limit."),
    }
}
