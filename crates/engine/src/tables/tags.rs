//! The rules of tags. Pure. Source: docs/spec/dynamodb-api.md 8.3.

use std::collections::BTreeSet;

use tailrace_api::tables::Tag;
use tailrace_core::ApiError;
use tailrace_core::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX};

/// Checks tags that are to be set: each by itself, then all together.
pub(crate) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    for tag in tags {
        check_key(&tag.key)?;
        if !is_text(&tag.value, TAG_VALUE_CHARS_MAX) {
            return Err(ApiError::validation(format!("The Tag Value provided is invalid, Value: {}", tag.value)));
        }
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = tags.iter().find(|tag| !seen.insert(tag.key.as_str())) {
        let text = format!("Duplicate Tag Keys provided as input: Duplicate Tag Key found {}", twice.key);
        return Err(ApiError::validation(text));
    }
    check_count(tags.len())
}

/// Checks keys of tags that are to be taken away.
pub(crate) fn check_keys(keys: &[String]) -> Result<(), ApiError> {
    keys.iter().try_for_each(|key| check_key(key))?;
    check_count(keys.len())
}

/// Sets `new` among `tags`, which stay in the order of their keys.
///
/// # Errors
/// There are too many then.
pub(crate) fn set(tags: &mut Vec<Tag>, new: &[Tag]) -> Result<(), ApiError> {
    for tag in new {
        match tags.binary_search_by(|old| old.key.cmp(&tag.key)) {
            Ok(at) => tags[at].value.clone_from(&tag.value),
            Err(at) => tags.insert(at, tag.clone()),
        }
    }
    check_count(tags.len())
}

fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() || !is_text(key, TAG_KEY_CHARS_MAX) {
        return Err(ApiError::validation(format!("The Tag Key provided is invalid, Key: {key}")));
    }
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(ApiError::validation(format!("Tag Key cannot be prefixed with aws:, Key: {key}")));
    }
    Ok(())
}

fn check_count(count: usize) -> Result<(), ApiError> {
    if count > TAGS_MAX {
        return Err(ApiError::validation("Number of Tags exceed the current limit for the provided ResourceArn"));
    }
    Ok(())
}

/// Letters, digits and spaces of any script, and `+ - = . _ : / @`.
fn is_text(text: &str, chars_max: usize) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c);
    text.encode_utf16().count() <= chars_max && text.chars().all(allowed)
}
