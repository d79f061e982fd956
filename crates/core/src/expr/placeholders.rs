//! `ExpressionAttributeNames` and `ExpressionAttributeValues` of one request: checked once, looked up while its
//! expressions are parsed, and in the end asked which were never used. Source: docs/spec/dynamodb-api.md 4.1, 4.3.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ExprError;
use crate::attribute_json::check_name;
use crate::echo::{echo, echo_list};
use crate::limits;
use crate::size::value_size;
use crate::value::AttributeValue;

#[derive(Debug)]
struct Slot<T> {
    content: T,
    used: bool,
}

/// The placeholders of a request, and which of them its expressions have used.
#[derive(Debug, Default)]
pub struct Placeholders {
    names: BTreeMap<String, Slot<String>>,
    values: BTreeMap<String, Slot<Arc<AttributeValue>>>,
}

impl Placeholders {
    /// Takes the two maps of a request after checking their keys, and that neither is empty.
    ///
    /// A caller that converts the values itself checks the keys first ([`check_names`], [`check_value_keys`]), so that
    /// a bad key is reported before a bad value.
    pub fn new(
        names: Option<BTreeMap<String, String>>,
        values: Option<BTreeMap<String, AttributeValue>>,
    ) -> Result<Placeholders, ExprError> {
        if let Some(names) = &names {
            check_names(names.iter().map(|(key, name)| (key.as_str(), Some(name.as_str()))))?;
        }
        if let Some(values) = &values {
            check_value_keys(values.keys().map(String::as_str))?;
        }
        let names_bytes: usize = names.iter().flatten().map(|(key, name)| key.len() + name.len()).sum();
        let values_bytes: usize = values.iter().flatten().map(|(key, value)| key.len() + value_size(value)).sum();
        for (bytes, what) in [
            (names_bytes, "ExpressionAttributeNames"),
            (values_bytes, "ExpressionAttributeValues"),
            (names_bytes + values_bytes, "Combined size of ExpressionAttributeNames and ExpressionAttributeValues"),
        ] {
            if bytes > limits::PLACEHOLDER_MAPS_BYTES_MAX {
                return Err(ExprError::bare(format!("{what} exceeds max size")));
            }
        }
        let names = names.unwrap_or_default().into_iter();
        let values = values.unwrap_or_default().into_iter();
        Ok(Placeholders {
            names: names.map(|(key, name)| (key, Slot { content: name, used: false })).collect(),
            values: values.map(|(key, value)| (key, Slot { content: Arc::new(value), used: false })).collect(),
        })
    }

    /// The attribute name behind `#key`, marked as used.
    pub(super) fn name(&mut self, key: &str) -> Option<&str> {
        let slot = self.names.get_mut(key)?;
        slot.used = true;
        Some(&slot.content)
    }

    /// The value behind `:key`, marked as used.
    pub(super) fn value(&mut self, key: &str) -> Option<Arc<AttributeValue>> {
        let slot = self.values.get_mut(key)?;
        slot.used = true;
        Some(Arc::clone(&slot.content))
    }

    /// To be called when every expression of the request is parsed: placeholders that none of them used are an error,
    /// names before values.
    pub fn finish(&self) -> Result<(), ExprError> {
        fn unused<T>(slots: &BTreeMap<String, Slot<T>>) -> Option<String> {
            let keys = slots.iter().filter(|(_, slot)| !slot.used).map(|(key, _)| key.as_str());
            let keys: Vec<&str> = keys.collect();
            (!keys.is_empty()).then(|| echo_list(&keys, "", ", "))
        }
        for (parameter, keys) in
            [("ExpressionAttributeNames", unused(&self.names)), ("ExpressionAttributeValues", unused(&self.values))]
        {
            if let Some(keys) = keys {
                return Err(ExprError::enveloped(format!(
                    "Value provided in {parameter} unused in expressions: keys: {{{keys}}}"
                )));
            }
        }
        Ok(())
    }
}

/// Checks `ExpressionAttributeNames`: not empty, every key a `#name`; then that no name is `None` (JSON's null), empty or too
/// long.
pub fn check_names<'a>(names: impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone) -> Result<(), ExprError> {
    check_keys("ExpressionAttributeNames", b'#', names.clone().map(|(key, _)| key))?;
    for (key, name) in names {
        let invalid = match name.map(check_name) {
            Some(Ok(())) => continue,
            Some(Err(error)) => error.current,
            None => "null".to_owned(),
        };
        return Err(ExprError::bare(format!(
            "ExpressionAttributeNames contains invalid value: {invalid} for key {key}"
        )));
    }
    Ok(())
}

/// Checks the keys of `ExpressionAttributeValues`: at least one, every one a `:value`.
pub fn check_value_keys<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), ExprError> {
    check_keys("ExpressionAttributeValues", b':', keys)
}

/// The text of a value that could not be converted, where the wording wraps it.
pub fn invalid_value(key: &str, message: &str) -> String {
    format!("ExpressionAttributeValues contains invalid value: {message} for key {key}")
}

/// The text for a names map in a request without any expression.
pub fn names_without_expression() -> ExprError {
    ExprError::enveloped("ExpressionAttributeNames can only be specified when using expressions")
}

/// The text for a values map in a request without any expression that could use it. `missing`: what the wording lists
/// behind it, such as `FilterExpression is null`; `None`: nothing.
pub fn values_without_expression(missing: Option<&str>) -> ExprError {
    const TEXT: &str = "ExpressionAttributeValues can only be specified when using expressions";
    ExprError::enveloped(missing.map_or_else(|| TEXT.to_owned(), |missing| format!("{TEXT}: {missing}")))
}

fn check_keys<'a>(parameter: &str, sigil: u8, keys: impl Iterator<Item = &'a str>) -> Result<(), ExprError> {
    let mut empty = true;
    for key in keys {
        empty = false;
        check_key(parameter, sigil, key)?;
    }
    if empty { Err(ExprError::enveloped(format!("{parameter} must not be empty"))) } else { Ok(()) }
}

fn check_key(parameter: &str, sigil: u8, key: &str) -> Result<(), ExprError> {
    let well_formed = match key.as_bytes() {
        [first, rest @ ..] => {
            *first == sigil && !rest.is_empty() && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        }
        [] => {
            return Err(ExprError::bare(format!(
                "{parameter} contains invalid key: The expression attribute map contains an empty key;"
            )));
        }
    };
    if !well_formed {
        return Err(ExprError::bare(format!("{parameter} contains invalid key: Syntax error; key: \"{}\"", echo(key))));
    }
    if key.len() > limits::PLACEHOLDER_BYTES_MAX {
        // Only the text about a name tells the size.
        let size = if sigil == b'#' { format!(" size of key: {}", key.len()) } else { String::new() };
        return Err(ExprError::bare(format!(
            "{parameter} contains invalid key: The expression attribute map contains a key that is too long;{size}"
        )));
    }
    Ok(())
}
