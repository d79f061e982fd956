//! The expression parameters of a request: what may stand beside what, the two maps, and the order in which their faults
//! are reported. Source: docs/spec/dynamodb-api.md 2.5 and 4.3.
//!
//! It parses no expression: an operation parses its own, in its own order, with the [`Placeholders`] made here.

use std::collections::BTreeMap;

use tailrace_core::attribute_json::{ValueError, ValueErrorKind, read_expression_value};
use tailrace_core::codec::encode_value;
use tailrace_core::expr::{
    ExprError, Placeholders, check_names, check_value_keys, invalid_value, names_without_expression,
    values_without_expression,
};
use tailrace_core::size::value_size;
use tailrace_core::{ApiError, AttributeValue, Json};

use crate::ErrorWording;

/// `ExpressionAttributeNames` and `ExpressionAttributeValues`, read and not yet judged.
pub(crate) struct ExpressionMaps {
    /// `None`: the name is null.
    names: Option<BTreeMap<String, Option<String>>>,
    values: Option<Vec<(String, Result<AttributeValue, ValueError>)>>,
}

/// What an operation can have an expression in.
pub(crate) struct ExpressionParameters {
    /// Its older parameters, in the order in which the texts list them.
    pub legacy: &'static [&'static str],
    /// Its expressions, in that order.
    pub expressions: &'static [&'static str],
    /// The expressions that can use values.
    pub with_values: &'static [&'static str],
    /// What the text about values without such an expression lists: in the newer wording, and in the older.
    pub values_need: [&'static str; 2],
}

impl ExpressionParameters {
    /// Refuses expressions beside older parameters. KeyConditions alone may stand beside a filter or a projection: it is
    /// in the way of a KeyConditionExpression only. Source: docs/spec/dynamodb-api.md 6.
    pub fn check_mixing(&self, body: &Json, wording: ErrorWording) -> Result<(), ApiError> {
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
        Err(wording.enveloped(format!(
            "Can not use both expression and non-expression parameters in the same request: \
             Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
            legacy.join(", "),
            expressions.join(", ")
        )))
    }

    /// Refuses maps that no expression could use.
    pub fn check_maps(&self, body: &Json, maps: &ExpressionMaps, wording: ErrorWording) -> Result<(), ApiError> {
        let any = |names: &[&str]| names.iter().any(|name| body.get(name).is_some());
        if maps.names.is_some() && !any(self.expressions) {
            return Err(wording.expression(names_without_expression()));
        }
        if maps.values.is_some() && !any(self.with_values) {
            let need = match (wording.is_current(), wording.envelopes) {
                (true, true) => None,
                (true, false) => Some(self.values_need[0]),
                (false, _) => Some(self.values_need[1]),
            };
            return Err(wording.expression(values_without_expression(need)));
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

    /// Does as if no values had been sent.
    pub fn forget_values(&mut self) {
        self.values = None;
    }

    /// What the values weigh; those that are wrong, nothing.
    pub fn values_size(&self) -> usize {
        self.values.iter().flatten().filter_map(|(_, value)| value.as_ref().ok()).map(value_size).sum()
    }

    /// Appends what the maps mean, in the same bytes whatever the order in which they were sent.
    pub fn write_meaning(&self, out: &mut Vec<u8>) {
        for (key, name) in self.names.iter().flatten() {
            for text in [key.as_str(), name.as_deref().unwrap_or_default()] {
                out.extend_from_slice(&text.len().to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        let mut values: Vec<_> = self.values.iter().flatten().collect();
        values.sort_unstable_by_key(|(key, _)| key);
        for (key, value) in values {
            out.extend_from_slice(&key.len().to_be_bytes());
            out.extend_from_slice(key.as_bytes());
            if let Ok(value) = value {
                encode_value(value, out);
            }
        }
    }

    /// The faults in values that the newer wording reports together with those of items and keys.
    pub fn check_values_early(&self, wording: ErrorWording) -> Result<(), ApiError> {
        if !wording.is_current() {
            return Ok(());
        }
        let early = |error: &&ValueError| matches!(error.kind, ValueErrorKind::Number(_) | ValueErrorKind::Duplicates);
        let errors = self.values.iter().flatten().filter_map(|(_, value)| value.as_ref().err());
        match errors.into_iter().find(early) {
            Some(error) => Err(wording.value(error.clone())),
            None => Ok(()),
        }
    }

    /// The placeholders, after all checks of both maps: keys, then values.
    pub fn into_placeholders(self, wording: ErrorWording) -> Result<Placeholders, ApiError> {
        let fault = |error| wording.expression(error);
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
                    let text = invalid_value(&key, error.text(wording.wording));
                    fault(if error.enveloped { ExprError::enveloped(text) } else { ExprError::bare(text) })
                })?;
                read.insert(key, value);
            }
            values = Some(read);
        }
        Placeholders::new(names, values).map_err(fault)
    }
}
