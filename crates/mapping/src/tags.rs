//! Tags of a mapping: kept and told back. Source: docs/spec/event-source-mapping.md 1, 2.

use std::collections::BTreeMap;

use tailrace_core::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX};

use crate::error::{MappingError, invalid};

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// Checks all tags of a mapping.
pub(crate) fn check(tags: &Tags) -> Result<(), MappingError> {
    for (key, value) in tags {
        let chars = key.chars().count();
        if chars == 0 || chars > TAG_KEY_CHARS_MAX {
            return invalid(format!("A tag key has 1 to {TAG_KEY_CHARS_MAX} characters: '{key}' has {chars}."));
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return invalid(format!(
                "A tag value has at most {TAG_VALUE_CHARS_MAX} characters: that of '{key}' has more."
            ));
        }
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return invalid(format!("Tag keys that begin with 'aws:' are reserved: '{key}'."));
        }
    }
    match tags.len() {
        0..=TAGS_MAX => Ok(()),
        count => invalid(format!("A resource has at most {TAGS_MAX} tags, not {count}.")),
    }
}
