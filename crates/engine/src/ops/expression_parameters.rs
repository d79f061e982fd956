//! The expression parameters of a request: what may stand beside what, the two maps, and the order in which their faults
//! are reported. Source: docs/spec/dynamodb-api.md 2.5 and 4.3.
//!
//! It parses no expression: an operation parses its own, in its own order, with the [`Placeholders`] made here.

use std::collections::BTreeMap;

use tailrace_core::attribute_json::{ValueError, ValueErrorKind, read_expression_value};
use tailrace_core::expr::{
    ExprError, Path, Placeholders, check_names, check_value_keys, invalid_value, names_without_expression, nested_key,
    values_without_expression,
};
use tailrace_core::{ApiError, AttributeValue, Json, KeySchema};

use super::words::Words;

/// `ExpressionAttributeNames` and `ExpressionAttributeValues`, read and not yet judged.
pub(crate) struct ExpressionMaps {
    /// `None`: the name is null.
    names: Option<BTreeMap<String, Option<String>>>,
    values: Option<Vec<(String, Result<AttributeValue, ValueError>)>>,
}

/// What an operation can have an expression in.
pub(crate) struct Parameters {
    /// Its older parameters, in the order in which the texts list them.
    pub legacy: &'static [&'static str],
    /// Its expressions, in that order.
    pub expressions: &'static [&'static str],
    /// The expressions that can use values.
    pub with_values: &'static [&'static str],
    /// What the text about values without such an expression lists: in the newer wording, and in the older.
    pub values_need: [&'static str; 2],
}

impl Parameters {
    /// Refuses expressions beside older parameters. KeyConditions alone may stand beside a filter or a projection: it is
    /// in the way of a KeyConditionExpression only. Source: docs/spec/dynamodb-api.md 6.
    pub fn check_mixing(&self, body: &Json, words: Words) -> Result<(), ApiError> {
        let present = |names: &[&'static str]| -> Vec<&'static str> {
            names.iter().copied().filter(|name| body.get(name).is_some()).collect()
        };
        let (mut legacy, expressions) = (present(self.legacy), present(self.expressions));
        if !expressions.contains(&"KeyConditionExpression") {
            legacy.retain(|name| *name != "KeyConditions");
        }
        if legacy.is_empty() || expressions.is_empty() {
            return Ok(());
        }
        Err(words.enveloped(format!(
            "Can not use both expression and non-expression parameters in the same request: \
             Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
            legacy.join(", "),
            expressions.join(", ")
        )))
    }

    /// Refuses maps that no expression could use.
    pub fn check_maps(&self, body: &Json, maps: &ExpressionMaps, words: Words) -> Result<(), ApiError> {
        let any = |names: &[&str]| names.iter().any(|name| body.get(name).is_some());
        if maps.names.is_some() && !any(self.expressions) {
            return Err(words.expression(names_without_expression()));
        }
        if maps.values.is_some() && !any(self.with_values) {
            let need = match (words.is_current(), words.envelopes) {
                (true, true) => None,
                (true, false) => Some(self.values_need[0]),
                (false, _) => Some(self.values_need[1]),
            };
            return Err(words.expression(values_without_expression(need)));
        }
        Ok(())
    }
}

impl ExpressionMaps {
    /// Takes the two maps out of a request.
    pub fn take(body: &mut Json) -> ExpressionMaps {
        let names = body.take("ExpressionAttributeNames").and_then(|names| match names {
            Json::Object(members) => Some(members),
            _ => None,
        });
        let values = body.take("ExpressionAttributeValues").and_then(|values| match values {
            Json::Object(members) => Some(members),
            _ => None,
        });
        let name = |(key, name): (String, Json)| match name {
            Json::String(name) => (key, Some(name)),
            _ => (key, None),
        };
        ExpressionMaps {
            names: names.map(|members| members.into_iter().map(name).collect()),
            values: values
                .map(|members| members.into_iter().map(|(key, value)| (key, read_expression_value(value))).collect()),
        }
    }

    /// The faults in values that the newer wording reports together with those of items and keys.
    pub fn check_values_early(&self, words: Words) -> Result<(), ApiError> {
        if !words.is_current() {
            return Ok(());
        }
        let early = |error: &&ValueError| matches!(error.kind, ValueErrorKind::Number(_) | ValueErrorKind::Duplicates);
        let errors = self.values.iter().flatten().filter_map(|(_, value)| value.as_ref().err());
        match errors.into_iter().find(early) {
            Some(error) => Err(words.value(error.clone())),
            None => Ok(()),
        }
    }

    /// The placeholders, after all checks of both maps: keys, then values.
    pub fn into_placeholders(self, words: Words) -> Result<Placeholders, ApiError> {
        let fault = |error| words.expression(error);
        if let Some(names) = &self.names {
            check_names(names.iter().map(|(key, name)| (key.as_str(), name.as_deref()))).map_err(fault)?;
        }
        let names = self.names.map(|names| names.into_iter().filter_map(|(key, name)| Some((key, name?))).collect());
        let mut values = None;
        if let Some(given) = self.values {
            check_value_keys(given.iter().map(|(key, _)| key.as_str())).map_err(fault)?;
            let mut read = BTreeMap::new();
            for (key, value) in given {
                let value = value.map_err(|error| {
                    let text = invalid_value(&key, error.text(words.wording));
                    fault(if error.enveloped { ExprError::enveloped(text) } else { ExprError::bare(text) })
                })?;
                read.insert(key, value);
            }
            values = Some(read);
        }
        Placeholders::new(names, values).map_err(fault)
    }
}

/// Refuses a path that goes below a key attribute.
pub(crate) fn check_key_paths<'a>(
    schema: &KeySchema,
    paths: impl IntoIterator<Item = &'a Path>,
) -> Result<(), ApiError> {
    let below = |path: &&Path| path.is_nested() && schema.contains(path.head());
    match paths.into_iter().find(below) {
        Some(path) => Err(nested_key(path.head()).into_api(false)),
        None => Ok(()),
    }
}
