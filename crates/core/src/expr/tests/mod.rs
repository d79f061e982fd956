//! Tests of the expression language: texts of errors, answers for items, updates against a naive model, arbitrary text.

mod errors;
mod keys;
mod properties;
mod results;

use std::collections::BTreeMap;

use super::*;
use crate::number::Number;
use crate::value::{AttributeValue, Item};

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(number).unwrap())
}

fn l(elements: impl IntoIterator<Item = AttributeValue>) -> AttributeValue {
    AttributeValue::L(elements.into_iter().collect())
}

fn m<'a>(members: impl IntoIterator<Item = (&'a str, AttributeValue)>) -> AttributeValue {
    AttributeValue::M(item(members))
}

fn ss<'a>(members: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::Ss(members.into_iter().map(str::to_owned).collect())
}

fn item<'a>(attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The placeholders that the tables of this module use.
fn placeholders() -> Placeholders {
    let names = [("#a", "a"), ("#b", "b"), ("#dots", "x.y")];
    let values = [
        (":v", s("x")),
        (":n", n("1")),
        (":m", n("0")),
        (":bool", AttributeValue::Bool(true)),
        (":null", AttributeValue::Null),
        (":l", l([n("1")])),
        (":map", m([("k", n("1"))])),
        (":ss", ss(["a"])),
        (":bytes", AttributeValue::B(vec![1, 2])),
        (":empty", s("")),
        (":type", s("S")),
    ];
    Placeholders::new(
        Some(names.into_iter().map(|(key, name)| (key.to_owned(), name.to_owned())).collect()),
        Some(values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>()),
    )
    .unwrap()
}

fn condition(text: &str) -> Result<Condition, ExprError> {
    Condition::parse(ExprKind::Condition, text, &mut placeholders())
}

fn update(text: &str) -> Result<Update, ExprError> {
    Update::parse(text, &mut placeholders())
}

fn projection(text: &str) -> Result<Projection, ExprError> {
    Projection::parse(text, &mut placeholders())
}

/// What follows `Invalid <X>Expression: ` in the error of `result`; `ok` when there is none.
fn fault<T>(kind: ExprKind, result: Result<T, ExprError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => match error.text.strip_prefix(&format!("Invalid {}: ", kind.parameter())) {
            Some(detail) => detail.to_owned(),
            None => error.text,
        },
    }
}
